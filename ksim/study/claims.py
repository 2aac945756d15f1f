"""Published numbers as claims: each is asked of ksim's readers, and a verdict says what came of it.

A claim is a line of a CSV file: ``model, scenario, set, quantity, unit, published, within, source``. ``scenario`` and
``set`` (overrides, separated by ";") name a member of a family, ``quantity`` is one of ``ksim.study.quantities``.
``published`` is the number as it was printed, or empty: then the readers are only compared with each other. ``within``
is the relative accuracy that its authors claim; empty: half a unit of the last digit.

Each reader is a column: the exact one, and each of WALKERS, which is asked for paths.
"""

from __future__ import annotations

import csv
import math
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path as File
from statistics import NormalDist
from typing import Any, Protocol

from ksim import compiled
from ksim.errors import ScenarioError
from ksim.evidence.account import Account
from ksim.evidence.transition import Path
from ksim.macro.walker import Walker
from ksim.model.lifecycle import Lifecycle
from ksim.model.loader import Loaded
from ksim.study.compare import Row, Study, row_of
from ksim.study.estimate import Estimate, normal_quantile
from ksim.study.member import Member
from ksim.study.pool import Progress, pieces_of, work_on
from ksim.study.quantities import exact_value, quantity, sampled_value
from ksim.study.replicate import CHUNKS_WORTH_A_POOL, collector_paused

COLUMNS = ("model", "scenario", "set", "quantity", "unit", "published", "within", "source")
OF_EXACT = 1e-12
"""Relative accuracy that the exact reader itself claims."""
PUBLISHED, EXACT = "published", "exact"
"""Methods of rows; the method of a published number goes on with its source."""


@dataclass(frozen=True, slots=True)
class Claim:
    """One line of the file; ``open`` is how far from ``published`` the number that was rounded to it may be."""

    model: str
    scenario: str
    overrides: tuple[str, ...]
    quantity: str
    unit: str
    published: float | None
    open: float
    source: str


def claims_of(path: File) -> list[Claim]:
    """The claims of a file. Raises ScenarioError, with file and line, for one that asks for nothing known."""
    with path.open(encoding="utf-8", newline="") as file:
        lines = csv.DictReader(file)
        if tuple(lines.fieldnames or ()) != COLUMNS:
            raise ScenarioError(f"{path}:1: expected the columns {', '.join(COLUMNS)}")
        return [_claim(line, f"{path}:{number}: ") for number, line in enumerate(lines, 2)]


def _claim(line: Mapping[str, str], where: str) -> Claim:
    try:
        quantity(line["quantity"])
        published = float(line["published"]) if line["published"] else None
        relative = float(line["within"]) if line["within"] else None
    except ValueError as error:
        raise ScenarioError(f"{where}{error}") from None
    if published is None:
        left_open = 0.0
    else:
        left_open = _half_a_digit(line["published"]) if relative is None else relative * abs(published)
    sets = tuple(text.strip() for text in line["set"].split(";") if text.strip())
    return Claim(
        line["model"], line["scenario"], sets, line["quantity"], line["unit"], published, left_open, line["source"]
    )


def _half_a_digit(text: str) -> float:
    mantissa, _, exponent = text.lower().partition("e")
    decimals = len(mantissa.partition(".")[2])
    return 0.5 * 10.0 ** (int(exponent or 0) - decimals)


def members_of(claims: Iterable[Claim]) -> dict[tuple[str, str, tuple[str, ...]], list[Claim]]:
    """The claims by (model, scenario, overrides): one member of a family each, in the order of the file."""
    found: dict[tuple[str, str, tuple[str, ...]], list[Claim]] = {}
    for claim in claims:
        found.setdefault((claim.model, claim.scenario, claim.overrides), []).append(claim)
    return found


# ---------------------------------------------------------------- readers


class Walks(Protocol):
    """A reader that samples: it walks replications of a graph under a seed."""

    def path(self, replication: int, horizon_s: float) -> Path: ...


@dataclass(frozen=True, slots=True)
class Walk:
    """What one reader is to walk of one member."""

    reader: str
    life: Lifecycle
    seed: int
    horizon_s: float


class Bookkeeper:
    """Walks pieces of it into accounts."""

    def __init__(self, walk: Walk) -> None:
        self._walk, self._walker = walk, WALKERS[walk.reader](walk.life, walk.seed)

    def run(self, first: int, count: int) -> Account:
        account = Account(self._walk.life.layout, self._walk.horizon_s)
        with collector_paused():
            for replication in range(first, first + count):
                account.add(self._walker.path(replication, self._walk.horizon_s))
        return account


def _compiled(life: Lifecycle, seed: int) -> Walks:
    from ksim.compiled.walk import Walker as Compiled  # late: Numba is heavy, and may not be there

    return Compiled(life, seed)


WALKERS: dict[str, Callable[[Lifecycle, int], Walks]] = {"simulated": Walker, "compiled": _compiled}
"""Readers that sample, by the method that their rows name: each is a column."""
PIECE = 512


def readers() -> list[str]:
    """Those of WALKERS that are there."""
    return [name for name in WALKERS if name != "compiled" or compiled.available()]


def account_of(reader: str, member: Member, workers: int | None, progress: Progress | None) -> Account:
    """What that reader sees of a member."""
    scenario = member.loaded.scenario
    walk = Walk(reader, member.life, scenario.seed, scenario.horizon)
    pieces = pieces_of(scenario.replications, PIECE)
    if reader == "compiled" or len(pieces) < CHUNKS_WORTH_A_POOL:
        workers = 1  # most members are small, and processes take longer to start than that
    total, done = Account(member.life.layout, scenario.horizon), 0
    for (_, count), account in work_on(walk, Bookkeeper, pieces, workers or os.cpu_count() or 1):
        total.merge(account)
        done += count
        if progress is not None:
            progress(done, scenario.replications)
    return total


def ask(
    claims: Sequence[Claim],
    variants: Mapping[str, Loaded],
    workers: int | None,
    progress: Progress | None,
    walkers: Sequence[str] | None = None,
) -> Study:
    """Rows of all ``claims`` about one member: published, exact, and of each of WALKERS (or of those named)."""
    (loaded,) = variants.values()
    member = Member(loaded)
    accounts = {
        name: account_of(name, member, workers, progress) for name in (readers() if walkers is None else walkers)
    }
    rows: list[Row] = []
    for claim in claims:
        answers: list[Estimate | None] = []
        if claim.published is not None:
            method = f"{PUBLISHED}: {claim.source}"
            answers.append(Estimate(claim.published, claim.open, 1.0, 0, claim.unit, method))
        answers.append(exact_value(member, claim.quantity, claim.unit))
        answers += [
            sampled_value(account, member, claim.quantity, claim.unit, name) for name, account in accounts.items()
        ]
        rows += [row_of(loaded, claim.model, claim.quantity, answer) for answer in answers if answer is not None]
    return Study(rows, {}, [])


# ---------------------------------------------------------------- verdicts


@dataclass(frozen=True, slots=True)
class Finding:
    """What the readers say to one claim. ``difference``: of exact to published, relative; ``scores``: of each reader
    against exact, in standard errors, where it has enough data."""

    model: str
    member: str
    quantity: str
    unit: str
    published: Row | None
    exact: Row | None
    others: Mapping[str, Row]
    difference: float | None
    scores: Mapping[str, float]

    @property
    def is_last_digit(self) -> bool:
        """Whether exact is one unit of the last digit away, as a number that was cut off instead of rounded may be."""
        if self.published is None or self.exact is None:
            return False
        apart = abs(float(self.exact["estimate"]) - float(self.published["estimate"]))
        return apart <= 3.0 * float(self.published["half_width"])

    @property
    def is_reproduced(self) -> bool | None:
        """Whether exact rounds to what was published; None where one of them is missing."""
        if self.published is None or self.exact is None:
            return None
        value = float(self.published["estimate"])
        apart = abs(float(self.exact["estimate"]) - value)
        allowed = self.published["half_width"] * (1.0 + 1e-9) + self.exact["half_width"] + OF_EXACT * abs(value)
        return apart <= float(allowed)

    def verdict(self, limit: float) -> str:
        """In words; ``limit`` is the largest score that counts as agreement."""
        agree = all(abs(score) <= limit for score in self.scores.values())
        if not agree:
            return "READERS DISAGREE"
        if self.is_reproduced is None:
            return "readers agree" if self.scores else "no comparison"
        if self.is_reproduced:
            return "reproduced"
        return "last digit" if self.is_last_digit else "differs"


ENOUGH = 10.0
"""Smallest expected number of hits, and of misses, at which a share is compared by its standard error."""
FALSE_ALARM = 1e-3
"""P(any score of all claims beyond the limit), if all readers are right."""


def score_limit(findings: Sequence[Finding]) -> float:
    """Largest score of an agreement: FALSE_ALARM split evenly over all claims that have one."""
    many = sum(bool(found.scores) for found in findings)
    return NormalDist().inv_cdf(1.0 - FALSE_ALARM / (2 * max(1, many)))


def findings_of(rows: Iterable[Row], member: Callable[[Row], str]) -> list[Finding]:
    """One finding for each claim behind the rows, in their order; ``member`` names the member that a row is about."""
    groups: dict[tuple[str, str, str, str], list[Row]] = {}
    for row in rows:
        groups.setdefault((row["strategy"], row["scenario"], member(row), row["measure"]), []).append(row)
    return [_finding(model, name, measure, own) for (model, _, name, measure), own in groups.items()]


def _finding(model: str, member: str, measure: str, rows: Sequence[Row]) -> Finding:
    published = exact = None
    others: dict[str, Row] = {}
    for row in rows:
        if row["method"].startswith(PUBLISHED):
            published = row
        elif row["method"] == EXACT:
            exact = row
        else:
            others[row["method"]] = row
    difference = None
    if published is not None and exact is not None and published["estimate"]:
        difference = exact["estimate"] / published["estimate"] - 1.0
    scores = {}
    for name, row in others.items():
        found = None if exact is None else _score(measure, row, exact)
        if found is not None:
            scores[name] = found
    return Finding(model, member, measure, rows[0]["unit"], published, exact, others, difference, scores)


def _score(measure: str, row: Mapping[str, Any], exact: Mapping[str, Any]) -> float | None:
    """Standard normal if both readers are right; None where there is too little data to say."""
    apart = row["estimate"] - exact["estimate"]
    if quantity(measure)[0].is_probability:
        p, n = exact["estimate"], row["n"]
        if not min(n * p, n * (1.0 - p)) >= ENOUGH:
            return None
        return float(apart / math.sqrt(p * (1.0 - p) / n))
    if not row["half_width"]:
        return None
    return float(apart * normal_quantile(row["confidence"]) / row["half_width"])
