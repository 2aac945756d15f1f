"""The lifecycle graph as text: Graphviz DOT, Mermaid, and plain data. ``graph_svg`` draws it without either."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from ksim.chance.distributions import Constant, Law
from ksim.model.lifecycle import Branch, Clock, Lifecycle, Service
from ksim.units import show_duration

FILL = {Service.UP: "#d7ecd0", Service.DEGRADED: "#fbe9b7", Service.DOWN: "#f3cfcf"}


def duration(law: Law) -> str:
    """A law for an edge: the constant, or the mean after a tilde."""
    return show_duration(law.mean) if isinstance(law, Constant) else f"~{show_duration(law.mean)}"


def edge_label(way: Branch | Clock) -> str:
    """What decides a way, and how long it takes."""
    if isinstance(way, Clock):
        return f"{way.name} {duration(way.after)}"
    parts = [] if way.p == 1.0 else [f"{way.p:.4g}"]
    if way.dwell.mean > 0.0:
        parts.append(duration(way.dwell))
    return " ".join(parts)


def edges_of(life: Lifecycle) -> Iterator[tuple[str, str, str]]:
    graph = life.graph
    for source, target, data in graph.edges(data=True):
        yield source, target, " | ".join(filter(None, (edge_label(way) for way in data["ways"])))


def dot(life: Lifecycle) -> str:
    """Graphviz: boxes are choices, ellipses are races; green up, yellow degraded, red down."""
    lines = [
        "digraph lifecycle {",
        "  rankdir=LR; node [style=filled, fontname=sans]; edge [fontname=sans, fontsize=10];",
    ]
    for node in life.nodes:
        shape = "ellipse" if node.clocks else "box"
        lines.append(f"  {_quoted(node.name)} [shape={shape}, fillcolor={_quoted(FILL[node.service])}];")
    lines += [f"  {_quoted(a)} -> {_quoted(b)} [label={_quoted(label)}];" for a, b, label in edges_of(life)]
    return "\n".join([*lines, "}"]) + "\n"


def _quoted(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
    return f'"{escaped}"'


def mermaid(life: Lifecycle) -> str:
    """Mermaid flowchart, as Markdown viewers draw it."""
    lines = ["flowchart LR"]
    for i, node in enumerate(life.nodes):
        left, right = ("([", "])") if node.clocks else ("[", "]")
        lines.append(f'  n{i}{left}"{_entity(node.name)}"{right}:::{node.service.value}')
    for a, b, label in edges_of(life):
        arrow = f'-- "{_entity(label)}" -->' if label else "-->"
        lines.append(f"  n{life.index[a]} {arrow} n{life.index[b]}")
    lines += [f"  classDef {service.value} fill:{color},stroke:#555" for service, color in FILL.items()]
    return "\n".join(lines) + "\n"


def _entity(text: str) -> str:
    return text.replace("&", "#amp;").replace('"', "#quot;").replace("<", "#lt;").replace(">", "#gt;")


def as_json(life: Lifecycle) -> dict[str, Any]:
    """Nodes and edges as plain data."""
    nodes = [
        {"name": n.name, "phase": n.phase, "service": n.service.value, "kind": "race" if n.clocks else "choice",
         "event": n.event} for n in life.nodes
    ]  # fmt: skip
    edges = []
    for node in life.nodes:
        for way in node.ways:
            decides: dict[str, Any] = {"clock": way.name} if isinstance(way, Clock) else {"p": way.p}
            law = {"law": str(way.law), "mean_s": way.law.mean}
            edges.append({"source": node.name, "target": way.to, **decides, **law, "cause": way.cause})
    return {"entry": life.entry, "nodes": nodes, "edges": edges}
