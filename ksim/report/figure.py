"""Figures: the phases of an outage as stacked bars. Vega-Lite by Altair, drawn offline by vl-convert."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from ksim.report.phases import in_order
from ksim.report.rows import Row

PREFIX = "software_outage_s_mean:phase="
COLORS = {
    "firmware": "#4c566a", "loader": "#8893a7", "kernel": "#b4770e", "initrd": "#dda63a", "userspace": "#edc96f",
    "application": "#7fb069", "journal_replay": "#c9d6a3", "fsck": "#a3485a", "reinstall": "#d08a97",
    "detection": "#9b59b6", "panic": "#5e3370", "capture boot": "#1f78b4", "dump": "#6fb1dc", "final action": "#bfe0f2",
    "target wait": "#08519c", "root wait": "#7a5c00",
    "service restart": "#4d7c3a", "capture failed": "#e31a1c",
    "kexec": "#00897b", "kexec failed": "#fb6a4a", "hung": "#111111", "halted": "#555555",
}  # fmt: skip


def phase_bars(rows: Sequence[Row], title: str) -> Any:
    """An Altair chart: mean seconds of a software outage by phase, one bar per strategy, one panel per scenario.

    Exact values where the rows have them, else simulated ones.
    """
    import altair as alt

    values: dict[tuple[str, str, str], dict[str, Any]] = {}
    for row in rows:
        if row["measure"].startswith(PREFIX) and row["estimate"] > 0.0:
            phase = row["measure"].removeprefix(PREFIX)
            key = (row["scenario"], row["strategy"], phase)
            if key not in values or row["method"] == "exact":
                values[key] = {
                    "scenario": row["scenario"], "strategy": row["strategy"], "phase": phase, "seconds": row["estimate"]
                }  # fmt: skip
    data = list(values.values())
    phases = in_order({value["phase"] for value in data})
    for value in data:
        value["order"] = phases.index(value["phase"])
    strategies = list(dict.fromkeys(value["strategy"] for value in data))
    scenarios = list(dict.fromkeys(value["scenario"] for value in data))
    bars = (
        alt.Chart(alt.InlineData(values=data))
        .mark_bar(stroke="white", strokeWidth=0.5)
        .encode(
            x=alt.X("seconds:Q", title="mean seconds of a software outage", stack="zero"),
            y=alt.Y("strategy:N", sort=strategies, title=None),
            color=alt.Color(
                "phase:N",
                sort=phases,
                scale=alt.Scale(domain=phases, range=[COLORS.get(phase, "#888888") for phase in phases]),
                legend=alt.Legend(title=None, orient="bottom", columns=6, symbolLimit=0),
            ),
            order=alt.Order("order:Q"),
        )
        .properties(width=620, height=alt.Step(34))
    )
    if len(scenarios) > 1:
        return (
            bars.facet(row=alt.Row("scenario:N", sort=scenarios, title=None, header=alt.Header(labelFontSize=13)))
            .resolve_scale(x="independent")
            .properties(title=title)
        )
    return bars.properties(title=title)


def lines(
    rows: Sequence[Row],
    title: str,
    *,
    measure: str,
    x: str,
    axes: tuple[str, str],
    panel: str = "",
    log_x: bool = False,
    log_y: bool = False,
) -> Any:
    """An Altair chart: ``measure`` over the numeric parameter ``x``, one line per alternative, with error bars.

    ``axes``: titles of x and y. ``panel``: a parameter with a panel for each of its values. Exact values where the rows
    have them, else simulated ones with their interval.
    """
    import altair as alt

    values: dict[tuple[str, ...], dict[str, Any]] = {}
    for row in rows:
        if row["measure"] == measure:
            key = (str(row[x]), row["strategy"], str(row.get(panel, "")), row["scenario"])
            if key not in values or row["method"] == "exact":
                half = row["half_width"] or 0.0
                values[key] = {
                    "x": _leading_number(str(row[x])), "y": row["estimate"], "low": row["estimate"] - half,
                    "high": row["estimate"] + half, "variant": row["strategy"],
                    "panel": f"{panel} {row[panel]}" if panel else row["scenario"],
                }  # fmt: skip
    data = list(values.values())
    variants = list(dict.fromkeys(value["variant"] for value in data))
    panels = list(dict.fromkeys(value["panel"] for value in data))
    scale = alt.Scale(type="log") if log_x else alt.Scale(zero=False)
    height = alt.Scale(type="log") if log_y else alt.Scale(zero=True)
    base = alt.Chart(alt.InlineData(values=data)).encode(
        x=alt.X("x:Q", title=axes[0], scale=scale),
        color=alt.Color(
            "variant:N", sort=variants, legend=alt.Legend(title=None, orient="bottom", columns=3, labelLimit=0)
        ),
    )
    curve = base.mark_line(point=True).encode(y=alt.Y("y:Q", title=axes[1], scale=height))
    chart = alt.layer(base.mark_rule().encode(y="low:Q", y2="high:Q"), curve).properties(width=300, height=220)
    if len(panels) == 1:
        return chart.properties(title=title)
    return chart.facet(column=alt.Column("panel:N", sort=panels, title=None)).properties(title=title)


def bars(values: Sequence[Mapping[str, Any]], title: str, axis: str) -> Any:
    """An Altair chart: bars from ``low`` to ``high`` by ``name``, coloured by ``kind``, one panel per ``panel``."""
    import altair as alt

    charts = []
    for panel in dict.fromkeys(value["panel"] for value in values):
        own = [dict(value) for value in values if value["panel"] == panel]
        bar = alt.Chart(alt.InlineData(values=own)).mark_bar(height=11)
        charts.append(
            bar.encode(
                x=alt.X("low:Q", title=axis),
                x2="high:Q",
                y=alt.Y("name:N", sort=[value["name"] for value in own], title=None, axis=alt.Axis(labelLimit=320)),
                color=alt.Color("kind:N", legend=alt.Legend(title=None, orient="bottom")),
            ).properties(title=panel, width=520, height=alt.Step(18))
        )
    return alt.vconcat(*charts).properties(title=title)


def _leading_number(text: str) -> float:
    """The number that a parameter's text begins with."""
    match = re.match(r"-?[0-9.]+(e[-+]?[0-9]+)?", text)
    if match is None:
        raise ValueError(f"not a numeric parameter: {text!r}")
    return float(match[0])


def svg(chart: Any) -> str:
    """The chart as SVG text."""
    import vl_convert

    text: str = vl_convert.vegalite_to_svg(chart.to_json())
    return text


def png(chart: Any) -> bytes:
    """The chart as PNG, at twice the resolution of the screen."""
    import vl_convert

    data: bytes = vl_convert.vegalite_to_png(chart.to_json(), scale=2.0)
    return data
