"""The figure of dumps: time by threads with what it waits for, outages by memory, published numbers against ksim's."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ksim.report.claims import is_prediction
from ksim.study.claims import Finding

Values = Sequence[Mapping[str, Any]]
BOUNDS = {"scan": "circle", "compression": "triangle-up", "target": "square"}
COMPRESSORS = {"none": "#666666", "zlib": "#e31a1c", "lzo": "#1f78b4", "snappy": "#6fb1dc", "zstd": "#7fb069"}
TOLERANCE = 15.0


def chart(dumps: Values, outages: Values, findings: Sequence[Finding], title: str) -> Any:
    """An Altair chart.

    ``dumps``: seconds for each TiB of RAM ("s") by level, target, compressor, threads, with "waits for"; ``outages``:
    seconds ("s") by "GiB" and level.
    """
    import altair as alt

    rows = [
        alt.hconcat(*(_by_threads(dumps, level, target) for level in _each(dumps, "level")))
        for target in _each(dumps, "target")
    ]
    below = alt.hconcat(_by_memory(outages), _differences(findings)).resolve_scale(color="independent")
    whole = alt.vconcat(alt.vconcat(*rows).resolve_scale(color="shared", shape="shared"), below, title=title)
    return whole.resolve_scale(color="independent", shape="independent")


def _each(values: Values, key: str) -> list[str]:
    return list(dict.fromkeys(str(value[key]) for value in values))


def _by_threads(dumps: Values, level: str, target: str) -> Any:
    import altair as alt

    own = [dict(value) for value in dumps if (value["level"], value["target"]) == (level, target)]
    seconds = [float(value["s"]) for value in dumps]
    base = alt.Chart(alt.InlineData(values=own)).encode(
        x=alt.X(
            "threads:Q",
            title="threads",
            scale=alt.Scale(type="log", domain=[0.9, 36], nice=False),
            axis=alt.Axis(values=[1, 4, 16, 32]),
        ),
        y=alt.Y(
            "s:Q",
            title="dump, s per TiB of RAM",
            scale=alt.Scale(type="log", domain=[0.8 * min(seconds), 1.2 * max(seconds)], nice=False),
            axis=alt.Axis(values=[30, 100, 300, 1000, 3000, 10000, 30000], format="~d"),
        ),
        color=alt.Color(
            "compressor:N",
            scale=alt.Scale(domain=list(COMPRESSORS), range=list(COMPRESSORS.values())),
            legend=alt.Legend(title="compressor"),
        ),
    )
    points = base.mark_point(filled=True, size=45, opacity=1.0).encode(
        shape=alt.Shape(
            "waits for:N",
            scale=alt.Scale(domain=list(BOUNDS), range=list(BOUNDS.values())),
            legend=alt.Legend(title="waits for"),
        )
    )
    return alt.layer(base.mark_line(), points).properties(width=225, height=150, title=f"{level}, {target}")


def _by_memory(outages: Values) -> Any:
    import altair as alt

    return (
        alt.Chart(alt.InlineData(values=[dict(value) for value in outages]))
        .mark_line(point=True)
        .encode(
            x=alt.X("GiB:Q", title="RAM, GiB", scale=alt.Scale(type="log"), axis=alt.Axis(values=[4, 64, 1024, 16384])),
            y=alt.Y("s:Q", title="software outage, s"),
            color=alt.Color("level:N", sort=_each(outages, "level"), legend=alt.Legend(title="level")),
        )
        .properties(width=225, height=180, title="lzo, 1 thread, hdd")
    )


def _differences(findings: Sequence[Finding]) -> Any:
    import altair as alt

    values = [
        {
            "of": f"{found.model} {found.quantity}",
            "difference": 100.0 * found.difference,
            "rests on": "nothing fitted" if is_prediction(found) else "fitted",
        }
        for found in findings
        if found.difference is not None
    ]
    order = list(dict.fromkeys(str(value["of"]) for value in values))
    ticks = (
        alt.Chart(alt.InlineData(values=values))
        .mark_tick(thickness=2)
        .encode(
            x=alt.X("difference:Q", title="ksim against published, %"),
            y=alt.Y("of:N", sort=order, title=None, axis=alt.Axis(labelLimit=0)),
            color=alt.Color(
                "rests on:N",
                scale=alt.Scale(domain=["fitted", "nothing fitted"], range=["#dda63a", "#5e3370"]),
                legend=alt.Legend(title="parameters"),
            ),
        )
    )
    edges = alt.Chart(alt.InlineData(values=[{"edge": -TOLERANCE}, {"edge": TOLERANCE}]))
    rules = edges.mark_rule(strokeDash=[4, 3], color="#555555").encode(x="edge:Q")
    return alt.layer(rules, ticks).properties(width=300, height=alt.Step(22), title="published dumps")
