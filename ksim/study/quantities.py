"""Quantities by name that published numbers are about: by each reader from the same scenario or member of a family.

A name may carry an argument, ``"reward: customers"``. What is said of "the horizon" is a matter of [0, horizon] from a
fresh start; everything else is a long-run mean, for which a simulation needs a long horizon. Values are in SI units.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace

from ksim.chance.distributions import lognormal_exceeds
from ksim.errors import NotSolvable, ScenarioError, nearest
from ksim.evidence.account import Account
from ksim.exact.enclosed import Enclosed
from ksim.exact.outage import OutageLength
from ksim.exact.solve import Solution
from ksim.exact.yearly import Downtime
from ksim.model.compose import families
from ksim.model.family import FamilySettings
from ksim.model.lifecycle import Service
from ksim.study import estimate
from ksim.study.estimate import Estimate
from ksim.study.member import Member
from ksim.units import MINUTE_S, TIME_UNITS, YEAR_S, duration_s

Exact = Callable[[Member, str], float | Enclosed]
Simulated = Callable[[Account, Member, str], Estimate | None]


@dataclass(frozen=True, slots=True)
class Quantity:
    """How each reader gives it; ``is_probability``: of an event that a replication or an outage has or has not.

    ``digits`` of the exact answer are the same on every machine: transforms are inverted by functions of NumPy, whose
    last digits are not.
    """

    exact: Exact
    simulated: Simulated | None = None
    is_probability: bool = False
    digits: int = 17


# ---------------------------------------------------------------- from an account of simulated paths


def _mean(column: Callable[[str], str], per_horizon: bool) -> Simulated:
    def simulated(account: Account, member: Member, argument: str) -> Estimate | None:
        scale = 1.0 / member.horizon_s if per_horizon else 1.0
        return estimate.mean(account.column(column(argument)), scale, "", member.loaded.scenario.confidence)

    return simulated


def _in_horizon(column: str) -> Simulated:
    return _mean(lambda argument: column.format(argument), per_horizon=False)


def _per_second(column: str) -> Simulated:
    return _mean(lambda argument: column.format(argument), per_horizon=True)


def _share_of_replications(column: str) -> Simulated:
    def simulated(account: Account, member: Member, argument: str) -> Estimate | None:
        hits = round(account.column(column.format(argument)).total)
        return estimate.proportion(hits, account.ledger.replications, member.loaded.scenario.confidence)

    return simulated


def _first_by(account: Account, member: Member, argument: str) -> Estimate | None:
    """None where some replication had two outages: the ledger does not know which came first."""
    if account.column("outages").total != account.column("struck").total:
        return None
    return _share_of_replications("outages:cause={}")(account, member, argument)


def _share_of_outages(account: Account, member: Member, argument: str) -> Estimate | None:
    begun, total = (round(account.column(name).total) for name in (f"outages:cause={argument}", "outages"))
    return estimate.proportion(begun, total, member.loaded.scenario.confidence)


def _per_outage(column: str) -> Simulated:
    return lambda account, member, argument: estimate.ratio(
        account.per_outage[column], "s", member.loaded.scenario.confidence
    )


def _times(simulated: Simulated, factor: Callable[[Member, str], float]) -> Simulated:
    def scaled(account: Account, member: Member, argument: str) -> Estimate | None:
        found = simulated(account, member, argument)
        return None if found is None else _scaled(found, factor(member, argument))

    return scaled


def _scaled(found: Estimate, factor: float) -> Estimate:
    half = None if found.half_width is None else found.half_width * factor
    return replace(found, value=found.value * factor, half_width=half)


def _availability(account: Account, member: Member, argument: str) -> Estimate | None:
    down = _per_second("downtime")(account, member, argument)
    return None if down is None else replace(down, value=1.0 - down.value)


def _outage_mean(account: Account, member: Member, argument: str) -> Estimate | None:
    return estimate.ratio(account.ledger.ratio("outage", ""), "s", member.loaded.scenario.confidence)


def _outage_quantile(account: Account, member: Member, argument: str) -> Estimate | None:
    return estimate.quantile(account.ledger.lengths[""], _level(argument), "s", member.loaded.scenario.confidence)


def _year_at_most(account: Account, member: Member, argument: str) -> Estimate | None:
    years = account.ledger.years[""]
    return estimate.proportion(years.at_most(duration_s(argument)), years.n, member.loaded.scenario.confidence)


# ---------------------------------------------------------------- from a solution


def _up_share(member: Member) -> float:
    return 1.0 - member.solution.unavailability - member.solution.degraded


def _level(argument: str) -> float:
    """The level of a quantile, between 0 and 1."""
    level = float(argument)
    if not 0.0 < level < 1.0:
        raise ScenarioError(f"a quantile has a level between 0 and 1, not {argument}")
    return level


def _complement(found: Enclosed) -> Enclosed:
    return Enclosed(1.0 - found.value, found.error)


def _over(argument: str) -> float:
    """The duration of an argument "NAME, DURATION" or "DURATION"."""
    return duration_s(argument.rpartition(",")[2])


def _reward_over(member: Member, argument: str) -> float:
    name = argument.rpartition(",")[0].strip()
    member.reward(name)
    return member.solution.reward(name) * _over(argument)


def _reward(member: Member, argument: str) -> float:
    member.reward(argument)
    return member.solution.reward(argument)


def _squared_variation(member: Member, argument: str) -> float:
    return (member.outages.sd_s / member.outages.mean_s) ** 2


def _useful(member: Member, argument: str = "") -> float:
    """Of a computation with checkpoints: the share of time that was not lost, nor spent on checkpoints."""
    return member.solution.event_rate("checkpoint") * _own_interval(member)


def _own_interval(member: Member, argument: str = "") -> float:
    found = getattr(member.loaded.scenario.lifecycle, "interval", None)
    if found is None:
        raise ScenarioError("this lifecycle has no key 'interval'")
    return float(found)


def _dump_exceeds(member: Member, argument: str) -> float:
    """P(a dump takes longer than that), by its law around the mean."""
    sigma = member.loaded.scenario.capture.dump_sigma
    return lognormal_exceeds(duration_s(argument), member.dump.total_s * math.exp(-0.5 * sigma * sigma), sigma)


GOLDEN = (math.sqrt(5.0) - 1.0) / 2.0


def _best_interval(member: Member, argument: str) -> float:
    """The ``interval`` of the family at which least is lost, from a thousandth to a thousand times the scenario's own.

    Golden section on its logarithm; the loss is smooth, so its least value leaves some 1e-7 of the interval open.
    """
    own = member.loaded.scenario.lifecycle
    assert isinstance(own, FamilySettings)
    start = math.log(_own_interval(member))

    def loss(log_interval: float) -> float:
        interval = math.exp(log_interval)
        solution = Solution(families()[own.family].build(own.model_copy(update={"interval": interval})))
        saved = solution.event_rate("checkpoint")
        return 1.0 - saved * interval if saved else solution.unavailability

    low, high = start - math.log(1e3), start + math.log(1e3)
    a, b = high - GOLDEN * (high - low), low + GOLDEN * (high - low)
    at_a, at_b = loss(a), loss(b)
    while high - low > 1e-8:
        if at_a < at_b:
            high, b, at_b = b, a, at_a
            a = high - GOLDEN * (high - low)
            at_a = loss(a)
        else:
            low, a, at_a = a, b, at_b
            b = low + GOLDEN * (high - low)
            at_b = loss(b)
    return math.exp(0.5 * (low + high))


QUANTITIES: dict[str, Quantity] = {
    # in the long run
    "availability": Quantity(lambda m, _: 1.0 - m.solution.unavailability, _availability),
    "fully up": Quantity(lambda m, _: _up_share(m), _per_second("up")),
    "downtime": Quantity(lambda m, _: m.solution.unavailability, _per_second("downtime")),
    "downtime over": Quantity(
        lambda m, over: m.solution.unavailability * _over(over),
        _times(_per_second("downtime"), lambda _, over: _over(over)),
    ),
    "reward": Quantity(_reward, _per_second("earned:{}")),
    "reward over": Quantity(
        _reward_over,
        _times(
            _mean(lambda argument: f"earned:{argument.rpartition(',')[0].strip()}", per_horizon=True),
            lambda _, over: _over(over),
        ),
    ),
    "outages": Quantity(lambda m, _: m.outages.rate, _per_second("outages")),
    "outage": Quantity(lambda m, _: m.outages.mean_s, _outage_mean),
    "outage, squared variation": Quantity(_squared_variation),
    "outage quantile": Quantity(lambda m, q: OutageLength(m.solution).quantile(_level(q)), _outage_quantile),
    "share of outages by": Quantity(
        lambda m, cause: m.solution.begins(cause) / m.outages.rate, _share_of_outages, is_probability=True
    ),
    "up between outages": Quantity(lambda m, _: _up_share(m) / m.outages.rate, _per_outage("up")),
    "degraded between outages": Quantity(lambda m, _: m.solution.degraded / m.outages.rate, _per_outage("degraded")),
    "downtime in the horizon, asymptotic sd": Quantity(
        lambda m, _: math.sqrt(m.solution.downtime_variance_rate * m.horizon_s)
    ),
    "useful": Quantity(_useful, _times(_per_second("event:checkpoint"), _own_interval)),
    "best interval": Quantity(_best_interval),
    # of the dump of a crash
    "dump": Quantity(lambda m, _: m.dump.total_s),
    "page scan": Quantity(lambda m, _: m.dump.scan_s),
    "vmcore": Quantity(lambda m, _: m.dump.output_bytes),
    "vmcore, share of memory": Quantity(lambda m, _: m.dump.output_bytes / m.loaded.scenario.host.memory),
    "P(dump longer than)": Quantity(_dump_exceeds, is_probability=True, digits=12),
    # in [0, horizon]
    "downtime in the horizon": Quantity(lambda m, _: m.interval().downtime(m.horizon_s), _in_horizon("downtime")),
    "up in the horizon": Quantity(lambda m, _: m.interval().spent(m.nodes(Service.UP), m.horizon_s), _in_horizon("up")),
    "degraded in the horizon": Quantity(
        lambda m, _: m.interval().spent(m.nodes(Service.DEGRADED), m.horizon_s), _in_horizon("degraded")
    ),
    "outages in the horizon": Quantity(
        lambda m, _: m.interval().entries(m.begin(), m.horizon_s), _in_horizon("outages")
    ),
    "reward in the horizon": Quantity(
        lambda m, name: m.interval().spent(m.reward(name), m.horizon_s), _in_horizon("earned:{}")
    ),
    "reward at the horizon": Quantity(
        lambda m, name: m.interval().at(m.reward(name), m.horizon_s), _in_horizon("at_end:{}")
    ),
    "P(outage in the horizon)": Quantity(
        lambda m, _: m.interval(m.nodes(Service.DOWN)).passage(m.horizon_s),
        _share_of_replications("struck"),
        is_probability=True,
    ),
    "P(no outage in the horizon)": Quantity(
        lambda m, _: 1.0 - m.interval(m.nodes(Service.DOWN)).passage(m.horizon_s),
        _share_of_replications("spared"),
        is_probability=True,
    ),
    "P(downtime in the first year at most)": Quantity(
        lambda m, limit: _complement(Downtime(m.solution, None, YEAR_S).exceeds(duration_s(limit))),
        _year_at_most,
        is_probability=True,
    ),
    "P(first outage in the horizon by)": Quantity(
        lambda m, cause: m.interval(m.nodes(Service.DOWN)).passage(m.horizon_s, m.begin(cause)),
        _first_by,
        is_probability=True,
    ),
    "P(down at the horizon)": Quantity(
        lambda m, _: m.interval().at(m.nodes(Service.DOWN), m.horizon_s),
        _share_of_replications("down_at_end"),
        is_probability=True,
    ),
}


def quantity(text: str) -> tuple[Quantity, str]:
    """The quantity that ``NAME`` or ``NAME: ARGUMENT`` asks for, and the argument. Raises ScenarioError."""
    name, _, argument = text.partition(":")
    if name not in QUANTITIES:
        raise ScenarioError(f"no quantity '{name}'{nearest(name, QUANTITIES)} (known: {'; '.join(QUANTITIES)})")
    return QUANTITIES[name], argument.strip()


ENCLOSED_DIGITS, INTERVAL_DIGITS = 9, 12
QUANTITIES |= {
    name: replace(found, digits=INTERVAL_DIGITS)
    for name, found in QUANTITIES.items()
    if name.endswith(("in the horizon", "at the horizon", "in the horizon)", "at the horizon)", "in the horizon by)"))
}


def _rounded(value: float, digits: int) -> float:
    return float(f"{value:.{digits}g}")


SCALES = {"1/y": YEAR_S, "min/y": YEAR_S / MINUTE_S, "GB": 1e-9}


def scale_of(unit: str) -> float:
    """What a value in SI units is multiplied with to be in ``unit``."""
    return SCALES.get(unit, 1.0 / TIME_UNITS.get(unit, 1.0))


def exact_value(member: Member, text: str, unit: str) -> Estimate | None:
    """The exact reader's answer, with a bound of its error where it encloses the truth; None where it has none."""
    found, argument = quantity(text)
    try:
        value = found.exact(member, argument)
    except NotSolvable:
        return None
    if isinstance(value, Enclosed):
        centre = _rounded(value.value * scale_of(unit), ENCLOSED_DIGITS)
        return estimate.enclosed(centre, value.error * scale_of(unit), unit)
    return estimate.exact(_rounded(value * scale_of(unit), found.digits), unit)


def sampled_value(account: Account, member: Member, text: str, unit: str, method: str) -> Estimate | None:
    """The answer of a reader that walked the paths of this account; None where the account does not hold it."""
    found, argument = quantity(text)
    value = None if found.simulated is None else found.simulated(account, member, argument)
    return None if value is None else replace(_scaled(value, scale_of(unit)), unit=unit, method=method)
