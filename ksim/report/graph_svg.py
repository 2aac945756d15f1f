"""The lifecycle graph as SVG, for machines without Graphviz: columns by distance, few crossings, labelled arrows."""

from __future__ import annotations

from html import escape

import networkx as nx

from ksim.model.lifecycle import Lifecycle
from ksim.report.graph import FILL, edges_of

WIDTH, HEIGHT = 170, 34
COLUMN, ROW = 300, 70
MARGIN = 30


def svg(life: Lifecycle) -> str:
    """Boxes are choices, rounded ones races; green up, yellow degraded, red down; dashed arrows lead back."""
    columns = _columns(life)
    height: float = max(len(names) for names in columns) * ROW + 2 * MARGIN
    place: dict[str, tuple[float, float]] = {}
    for column, names in enumerate(columns):
        top = (height - len(names) * ROW) / 2
        for row, name in enumerate(names):
            place[name] = (MARGIN + column * COLUMN, top + row * ROW + (ROW - HEIGHT) / 2)
    width = MARGIN * 2 + (len(columns) - 1) * COLUMN + WIDTH
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" viewBox="0 0 {width} {height}" '
        'font-family="sans-serif" font-size="12">',
        '<defs><marker id="head" viewBox="0 0 8 8" refX="8" refY="4" markerWidth="8" markerHeight="8" orient="auto">'
        '<path d="M0,0 L8,4 L0,8 z" fill="#555"/></marker></defs>',
        f'<rect width="{width}" height="{height}" fill="white"/>',
    ]
    parts += [_edge(place[a], place[b], label) for a, b, label in edges_of(life)]
    for node in life.nodes:
        x, y = place[node.name]
        parts.append(
            f'<rect x="{x:g}" y="{y:g}" width="{WIDTH}" height="{HEIGHT}" rx="{HEIGHT / 2 if node.clocks else 4:g}" '
            f'fill="{FILL[node.service]}" stroke="#555"/>'
            f'<text x="{x + WIDTH / 2:g}" y="{y + HEIGHT / 2 + 4:g}" text-anchor="middle">{escape(node.name)}</text>'
        )
    return "\n".join([*parts, "</svg>"]) + "\n"


def _columns(life: Lifecycle) -> list[list[str]]:
    """Nodes by their longest way from the entry; within a column near their neighbours (barycentre sweeps)."""
    graph = nx.DiGraph((a, b) for a, b in life.graph.edges if b != life.entry and a != b)
    graph.add_node(life.entry)
    while not nx.is_directed_acyclic_graph(graph):
        graph.remove_edge(*nx.find_cycle(graph)[-1][:2])
    columns = [sorted(layer) for layer in nx.topological_generations(graph)]
    depth = {name: x for x, names in enumerate(columns) for name in names}
    for sweep in range(8):
        order = {name: y - len(names) / 2 for names in columns for y, name in enumerate(names)}
        for names in columns:
            near = {
                name: [order[other] for other in (graph.pred[name] if sweep % 2 == 0 else graph.succ[name])]
                for name in names
            }
            names.sort(key=lambda name: (sum(near[name]) / len(near[name]) if near[name] else order[name], depth[name]))
    return columns


def _edge(start: tuple[float, float], end: tuple[float, float], label: str) -> str:
    forward = end[0] > start[0]
    x1, y1 = start[0] + WIDTH, start[1] + HEIGHT / 2
    x2, y2 = end[0], end[1] + HEIGHT / 2
    if not forward:
        # back to an earlier column: below the boxes, from their undersides
        x1, y1, x2, y2 = start[0] + WIDTH / 2, start[1] + HEIGHT, end[0] + WIDTH / 2, end[1] + HEIGHT
        curve = f"M{x1:g},{y1:g} C{x1:g},{y1 + 60:g} {x2:g},{y2 + 60:g} {x2:g},{y2:g}"
        return f'<path d="{curve}" fill="none" stroke="#bbb" stroke-dasharray="4 3" marker-end="url(#head)"/>'
    bend = (x2 - x1) / 2
    curve = f"M{x1:g},{y1:g} C{x1 + bend:g},{y1:g} {x2 - bend:g},{y2:g} {x2:g},{y2:g}"
    path = f'<path d="{curve}" fill="none" stroke="#777" marker-end="url(#head)"/>'
    if not label:
        return path
    # beyond the middle of the curve, where the ways out of one node have parted
    t = 0.62
    x = x1 + 3 * (1 - t) ** 2 * t * bend + 3 * (1 - t) * t**2 * (x2 - bend - x1) + t**3 * (x2 - x1)
    y = y1 + (3 * t**2 - 2 * t**3) * (y2 - y1) - 3
    return path + f'<text x="{x:g}" y="{y:g}" font-size="10" text-anchor="middle" fill="#333">{escape(label)}</text>'
