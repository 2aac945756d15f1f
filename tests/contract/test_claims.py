"""Claims: what a file of published numbers may say, when a number counts as reproduced, and when readers disagree."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from ksim.errors import ScenarioError
from ksim.model.loader import load
from ksim.report.claims import compared, drawn, is_prediction, sentences, told
from ksim.study.claims import COLUMNS, WALKERS, ask, claims_of, findings_of, members_of, readers, score_limit
from ksim.study.member import Member
from ksim.study.quantities import QUANTITIES, exact_value, quantity

HEAD = ",".join(COLUMNS)
EXPERIMENTS = Path(__file__).parents[2] / "experiments"
PUBLISHED = sorted(EXPERIMENTS.glob("e[0-9][0-9]_published.csv"))


def written(folder: Path, *lines: str, head: str = HEAD) -> Path:
    path = folder / "claims.csv"
    path.write_text("\n".join([head, *lines]) + "\n", "utf-8")
    return path


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ("M,s,,availabilty,1,0.5,,x", "2: no quantity 'availabilty'; did you mean 'availability'?"),
        ("M,s,,availability,1,half,,x", "2: could not convert"),
        ("M,s,,availability,1,0.5,some,x", "2: could not convert"),
    ],
)
def test_a_line_that_asks_for_nothing_known(tmp_path: Path, line: str, says: str) -> None:
    with pytest.raises(ScenarioError) as caught:
        claims_of(written(tmp_path, line))
    assert says in str(caught.value)


def test_other_columns_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ScenarioError, match="expected the columns model, scenario"):
        claims_of(written(tmp_path, head="a,b"))


@pytest.mark.parametrize(
    ("text", "within", "left_open"),
    [
        ("0.490", "", 0.0005),
        ("490", "", 0.5),
        ("2.2e-6", "", 0.05e-6),
        ("3e5", "", 0.5e5),
        ("100", "1e-6", 1e-4),
        ("", "", 0.0),
    ],
)
def test_what_printed_digits_leave_open(tmp_path: Path, text: str, within: str, left_open: float) -> None:
    (claim,) = claims_of(written(tmp_path, f"M,s,a=1; b=2,availability,1,{text},{within},x"))
    assert claim.open == pytest.approx(left_open, rel=1e-12)
    assert claim.overrides == ("a=1", "b=2")


@pytest.mark.parametrize("file", PUBLISHED, ids=lambda file: file.stem)
def test_the_file_of_an_experiment(file: Path) -> None:
    """Each member loads, each claim has a source where it has a number, and none stands there twice."""
    claims = claims_of(file)
    assert claims
    assert len({(c.model, c.scenario, c.overrides, c.quantity) for c in claims}) == len(claims)
    for claim in claims:
        assert (claim.published is None) == (claim.source == ""), claim
        assert claim.source == "" or len(claim.source) > 9
    for _, scenario, overrides in members_of(claims):
        load(str(EXPERIMENTS / "scenarios" / f"{scenario}.toml"), overrides)
    assert {quantity(claim.quantity)[0] for claim in claims} <= set(QUANTITIES.values())


def test_quantities_refuse_what_is_not_there(tmp_path: Path) -> None:
    path = tmp_path / "m.toml"
    path.write_text('[lifecycle]\nfamily = "duplex"\n', "utf-8")
    member = Member(load(str(path)))
    for text, says in (
        ("reward: cost", "no reward 'cost'"),
        ("outage quantile: 2", "between 0 and 1"),
        ("best interval", "no key 'interval'"),
    ):
        with pytest.raises(ScenarioError, match=says):
            exact_value(member, text, "1")


# ---------------------------------------------------------------- verdicts


def rows(
    *, published: str | None, exact: float, simulated: float, half: float = 0.02, n: int = 100
) -> list[dict[str, Any]]:
    base = {
        "model": "M",
        "member": "",
        "scenario": "s",
        "strategy": "M",
        "baseline": "",
        "measure": "availability",
        "unit": "1",
    }
    found = []
    if published is not None:
        found.append(
            {
                **base,
                "estimate": float(published),
                "half_width": 0.005,
                "confidence": 1.0,
                "n": 0,
                "method": "published: x",
            }
        )
    found.append({**base, "estimate": exact, "half_width": 0.0, "confidence": 1.0, "n": 0, "method": "exact"})
    found.append({**base, "estimate": simulated, "half_width": half, "confidence": 0.95, "n": n, "method": "simulated"})
    return found


@pytest.mark.parametrize(
    ("published", "exact", "simulated", "verdict"),
    [
        ("0.50", 0.504, 0.51, "reproduced"),
        ("0.50", 0.496, 0.51, "reproduced"),
        ("0.50", 0.505, 0.51, "reproduced"),
        ("0.50", 0.514, 0.51, "last digit"),
        ("0.50", 0.516, 0.51, "differs"),
        ("0.50", 0.500, 0.60, "READERS DISAGREE"),
        (None, 0.500, 0.51, "readers agree"),
        (None, 0.500, 0.60, "READERS DISAGREE"),
    ],
)
def test_verdicts(published: str | None, exact: float, simulated: float, verdict: str) -> None:
    (found,) = findings_of(rows(published=published, exact=exact, simulated=simulated), lambda row: "")
    assert found.verdict(score_limit([found])) == verdict
    assert found.scores["simulated"] == pytest.approx((simulated - exact) / 0.02 * 1.959964, rel=1e-5)


def test_the_limit_grows_with_the_number_of_scores() -> None:
    one = findings_of(rows(published=None, exact=0.5, simulated=0.5), lambda row: "")
    assert score_limit(one) == pytest.approx(3.2905, abs=1e-4)
    assert score_limit(one * 100) == pytest.approx(4.4172, abs=1e-4)


def test_a_share_too_rare_to_be_seen_has_no_score() -> None:
    for n, many in ((1000, False), (100_000, True)):
        own = rows(published=None, exact=1e-3, simulated=2e-3, n=n)
        for row in own:
            row["measure"] = "P(down at the horizon)"
        (found,) = findings_of(own, lambda row: "")
        assert bool(found.scores) == many


def test_every_reader_that_walks_is_a_column_and_says_the_same(tmp_path: Path) -> None:
    path = tmp_path / "m.toml"
    path.write_text('horizon = "50 y"\nreplications = 40\n[lifecycle]\nfamily = "alternating_renewal"\n', "utf-8")
    claims = claims_of(
        written(
            tmp_path, "M,m,,availability,1,0.9999619,1e-3,by hand", "M,m,,outage,min,10,,by hand", "M,m,,outages,1/y,,,"
        )
    )
    found = ask(claims, {"m": load(str(path))}, 1, None).rows
    assert {row["method"] for row in found} == {"published: by hand", "exact", *readers()}
    assert set(readers()) <= set(WALKERS)
    for row in found:
        row |= {"model": "M", "member": ""}
        if row["method"] in WALKERS:
            same = next(r for r in found if (r["measure"], r["method"]) == (row["measure"], "simulated"))
            assert (row["estimate"], row["half_width"]) == (same["estimate"], same["half_width"])
    assert sentences(found)[0].startswith("All models: 2 of 2 published values reproduced")
    assert "same bits" in told(found) or readers() == ["simulated"]
    assert drawn(found, "title").to_dict()["hconcat"]


def test_claims_for_the_exact_reader_alone(tmp_path: Path) -> None:
    path = tmp_path / "m.toml"
    path.write_text('extends = "rack-server"\n[kdump]\ncore_collector = "makedumpfile -d 31"\n', "utf-8")
    claims = claims_of(
        written(
            tmp_path,
            'M,m,,"vmcore, share of memory",1,0.024,0.15,by hand | predicted from nothing',
            "M,m,,page scan,s,1,0.15,by hand | 1 number fitted to it",
            "M,m,,vmcore,GB,,,",
        )
    )
    found = ask(claims, {"m": load(str(path))}, 1, None, walkers=()).rows
    assert {row["method"].partition(":")[0] for row in found} == {"published", "exact"}
    for row in found:
        row |= {"model": "M", "member": ""}
    share, scan, size = findings_of(found, lambda row: "")
    assert (share.is_reproduced, scan.is_reproduced, size.is_reproduced) == (True, False, None)
    assert (is_prediction(share), is_prediction(scan), is_prediction(size)) == (True, False, False)
    table = compared(found)
    assert "yes (15 %)" in table
    assert "NO (15 %)" in table
    assert "predicted from nothing" in table
    assert "M: by hand\n" in table
    assert size.exact is not None
    assert size.exact["estimate"] == pytest.approx(0.025 * 256)
