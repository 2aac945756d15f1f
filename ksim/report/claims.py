"""Claims as a table and as a figure: what was published, what each reader says, and the verdict."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ksim.report.pages import block
from ksim.report.rows import Row
from ksim.report.text import Printer, number
from ksim.study.claims import Finding, findings_of, readers, score_limit


def member_of(row: Row) -> str:
    """The member that a row of an experiment about claims is about."""
    return str(row["member"])


def told(rows: Sequence[Row]) -> str:
    """The table of all claims as Markdown, one part per model."""
    findings = findings_of(rows, member_of)
    limit = score_limit(findings)
    models = dict.fromkeys(found.model for found in findings)
    parts = [
        f"z: distance of a reader from the exact value in standard errors; agreement is |z| <= {limit:.2f} (so that "
        f"all scores together raise a false alarm once in a thousand times). An empty field: not published, or nothing "
        f"that this reader can say."
    ]
    for model in models:
        own = [found for found in findings if found.model == model]
        parts.append(f"## {model}\n\n{block(lambda printer, own=own: show(printer, own, limit))}")  # type: ignore[misc]
    return "\n".join(parts)


def show(printer: Printer, findings: Sequence[Finding], limit: float) -> None:
    """A table per member, one line per claim; a sampling reader that gives the first one's very number says so."""
    names = readers()
    head = ["quantity", "unit", "published", "exact", "exact / published - 1", names[0], "z", *names[1:], "verdict"]
    members: dict[str, list[list[str]]] = {}
    for found in findings:
        first, score = found.others.get(names[0]), found.scores.get(names[0])
        line = [
            found.quantity, found.unit, _digits(found.published), _digits(found.exact),
            "" if found.difference is None else f"{found.difference:.1e}",
            _sampled(first), "" if score is None else f"{score:+.2f}",
        ]  # fmt: skip
        for name in names[1:]:
            row = found.others.get(name)
            line.append("same bits" if row and first and row["estimate"] == first["estimate"] else _sampled(row))
        members.setdefault(found.member, []).append([*line, found.verdict(limit)])
    for member, body in members.items():
        printer.table(member or "parameters as in the file", head, body)


def _sampled(row: Row | None) -> str:
    if row is None:
        return ""
    return number(row["estimate"]) + ("" if row["half_width"] is None else f" ± {row['half_width']:.2g}")


def _digits(row: Row | None) -> str:
    if row is None:
        return ""
    error = row["half_width"] if row["method"] == "exact" else 0.0
    return f"{row['estimate']:.10g}" + (f" ± {error:.1g}" if error else "")


def sentences(rows: Sequence[Row]) -> list[str]:
    """All claims in one sentence, then one per model."""
    findings = findings_of(rows, member_of)
    limit = score_limit(findings)
    found = [_sentence("All models", findings, limit)]
    for model in dict.fromkeys(finding.model for finding in findings):
        found.append(_sentence(model, [finding for finding in findings if finding.model == model], limit))
    return found


def _sentence(what: str, findings: Sequence[Finding], limit: float) -> str:
    published = [found for found in findings if found.is_reproduced is not None]
    verdicts = [found.verdict(limit) for found in findings]
    parts = []
    if published:
        same = [found for found in published if found.is_reproduced]
        text = f"{len(same)} of {len(published)} published values reproduced"
        if same:
            text += f" (relative difference at most {max(abs(found.difference or 0.0) for found in same):.0e})"
        digit = [found for found in published if not found.is_reproduced and found.is_last_digit]
        if digit:
            text += f", {len(digit)} off by one in the last digit"
        rest = [found for found in published if not found.is_reproduced and not found.is_last_digit]
        if rest:
            worst = max(abs(found.difference or 0.0) for found in rest)
            where = dict.fromkeys(found.model for found in rest)
            text += f", {len(rest)} different, by up to {100.0 * worst:.2g} %"
            text += f" ({', '.join(where)})" if len(where) > 1 else ""
        parts.append(text)
    scores = [found.scores["simulated"] for found in findings if "simulated" in found.scores]
    if scores:
        text = f"{len(scores)} simulated values within {max(map(abs, scores)):.2f} standard errors of the exact ones"
        wrong = verdicts.count("READERS DISAGREE")
        parts.append(text if not wrong else f"{text}, of which {wrong} DISAGREE (the limit is {limit:.2f})")
    return f"{what}: {'; '.join(parts) or 'nothing to compare'}."


VERDICTS = {"reproduced": "#7fb069", "last digit": "#dda63a", "differs": "#e31a1c", "READERS DISAGREE": "#5e3370"}
AGREE, DISAGREE = "#1f78b4", "#5e3370"


def drawn(rows: Sequence[Row], title: str) -> Any:
    """An Altair chart by model: relative differences of exact to published, and scores of simulated against exact."""
    import altair as alt

    findings = findings_of(rows, member_of)
    limit = score_limit(findings)
    models = list(dict.fromkeys(found.model for found in findings))
    differences = [
        {"model": found.model, "verdict": found.verdict(limit), "difference": max(abs(found.difference), 1e-16)}
        for found in findings
        if found.difference is not None
    ]
    scores: list[dict[str, Any]] = [
        {"model": found.model, "z": score, "color": AGREE if abs(score) <= limit else DISAGREE}
        for found in findings
        for score in (found.scores[name] for name in readers()[:1] if name in found.scores)
    ]
    shown = [verdict for verdict in VERDICTS if any(value["verdict"] == verdict for value in differences)]
    y = alt.Y("model:N", sort=models, scale=alt.Scale(domain=models), title=None)
    left = (
        alt.Chart(alt.InlineData(values=differences))
        .mark_tick(thickness=2)
        .encode(
            x=alt.X(
                "difference:Q",
                title="exact against published, relative difference (1e-16: none)",
                scale=alt.Scale(type="log", domain=[1e-16, 10.0]),
                axis=alt.Axis(format=".0e", values=[10.0**k for k in range(-16, 1, 4)]),
            ),
            y=y,
            color=alt.Color(
                "verdict:N",
                scale=alt.Scale(domain=shown, range=[VERDICTS[verdict] for verdict in shown]),
                legend=alt.Legend(title=None, orient="bottom", symbolLimit=0),
            ),
        )
        .properties(width=330, height=alt.Step(22))
    )
    reach = max([limit, *(abs(value["z"]) for value in scores)]) + 0.5
    points = (
        alt.Chart(alt.InlineData(values=scores))
        .mark_tick(thickness=2)
        .encode(
            x=alt.X(
                "z:Q",
                title="simulated against exact, standard errors",
                scale=alt.Scale(domain=[-reach, reach], nice=False),
            ),
            y=y,
            color=alt.Color("color:N", scale=None),
        )
    )
    edges = [{"edge": -limit}, {"edge": limit}]
    rules = alt.Chart(alt.InlineData(values=edges)).mark_rule(strokeDash=[4, 3], color="#555555").encode(x="edge:Q")
    right = alt.layer(rules, points).properties(width=330, height=alt.Step(22))
    return alt.hconcat(left, right, title=title).resolve_scale(color="independent")


def compared(rows: Sequence[Row]) -> str:
    """Claims that only the exact reader was asked for, as Markdown: a table per model and source. What a source says
    behind "|" is what ksim's parameters rest on."""
    findings = [found for found in findings_of(rows, member_of) if found.published is not None]
    tables: dict[str, list[list[str]]] = {}
    for found in findings:
        assert found.published is not None
        citation, _, rests_on = found.published["method"].partition(": ")[2].partition(" | ")
        within = float(found.published["half_width"] / found.published["estimate"])
        tables.setdefault(f"{found.model}: {citation}", []).append([
            found.member or "as in the file", found.quantity, found.unit, f"{found.published['estimate']:.4g}",
            "" if found.exact is None else f"{found.exact['estimate']:.4g}",
            "" if found.difference is None else f"{100.0 * found.difference:+.1f} %",
            f"{'yes' if found.is_reproduced else 'NO'} ({100.0 * within:.3g} %)", rests_on,
        ])  # fmt: skip
    head = ["scenario", "quantity", "unit", "published", "ksim", "difference", "within", "parameters"]

    def show_all(printer: Printer) -> None:
        for title, body in tables.items():
            printer.table(title, head, body, justify="left")

    return block(show_all)


def is_prediction(found: Finding) -> bool:
    """Whether its source says, behind "|", that no parameter of ksim was fitted to it."""
    text = "" if found.published is None else str(found.published["method"]).partition(" | ")[2]
    return text.startswith(("predicted", "ksim's defaults"))
