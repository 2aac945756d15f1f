"""``--assumed``: every value of a scenario that nobody measured, moved through its range, one at a time."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import replace
from typing import Any

from ksim.chance.distributions import Constant
from ksim.chance.grammar import parse_law
from ksim.errors import KsimError, ScenarioError, UnitError
from ksim.model.loader import Loaded, Text
from ksim.source import Param
from ksim.study.sweep.designs import Design
from ksim.study.sweep.factors import Levels, Range, law_with_mean, range_of
from ksim.study.sweep.plan import Host, How, Plan


def assumed_plan(loaded: Loaded, how: How) -> tuple[Plan, list[str]]:
    """The plan, and the keys that are left out since they have no range. Raises ScenarioError where nothing is left."""
    return plan_over(loaded, how, loaded.assumed(), f"{loaded.scenario.name}-assumed")


def plan_over(loaded: Loaded, how: How, params: Mapping[str, Param], name: str) -> tuple[Plan, list[str]]:
    """The same over any parameters of a scenario."""
    ends = {key: ends_of(loaded, key, param) for key, param in sorted(params.items())}
    factors = tuple(levels for levels in ends.values() if levels is not None)
    if not factors:
        raise ScenarioError(f"{name}: none of these values has a range that could be swept")
    host = Host("host", _text(loaded), loaded.settings, factors)
    return Plan(name, (host,), Design("one-at-a-time"), how), [key for key, levels in ends.items() if levels is None]


def plan_at_random(
    loaded: Loaded, how: How, params: Mapping[str, Param], name: str, points: int, seed: int = 0
) -> tuple[Plan, list[str]]:
    """All of those that are numbers, moved through their ranges together: a Latin hypercube; and the keys left out.

    A range over more than a factor of ten is evenly spread in the logarithm.
    """
    found: dict[str, Range | None] = {}
    for key, param in sorted(params.items()):
        found[key] = _range(key, param) if ends_of(loaded, key, param) is not None else None
    ranges = tuple(one for one in found.values() if one is not None)
    host = Host("host", _text(loaded), loaded.settings, ranges)
    plan = Plan(name, (host,), Design("latin-hypercube", points, seed), how)
    return plan, [key for key, one in found.items() if one is None]


def _range(key: str, param: Param) -> Range | None:
    shape = ""
    if isinstance(param.value, Mapping | bool):
        return None
    low, high = (param.low, param.high) if isinstance(param.value, str) else (float(param.low), float(param.high))
    if isinstance(param.value, int):
        low, high = int(low), int(high)
    elif isinstance(param.value, str):
        with suppress(UnitError):
            shape = "" if isinstance(parse_law(param.value), Constant) else param.value
    try:
        even = range_of(key, low, high, False, 2, shape)
        if isinstance(param.value, str) and not even.unit:
            return None  # a release is no number
        return replace(even, is_log=even.low > 0.0 and even.high > 10.0 * even.low)
    except KsimError:
        return None  # ends in two units, or words


def _text(loaded: Loaded) -> Text:
    if loaded.text is None:
        raise ScenarioError(f"{loaded.scenario.name}: no file and no base is behind it")
    return loaded.text


def ends_of(loaded: Loaded, key: str, param: Param) -> Levels | None:
    """A parameter at both ends of its range; None where it has none, or where neither of them can be loaded."""
    found: dict[str, Any] = {}
    for end in (param.low, param.high):
        value = _value_at(param, end) if end else None
        if value is None:
            continue
        try:
            other = _text(loaded).load((*loaded.settings, Levels(key, (end,), (value,)).setting(0)))
        except KsimError:
            continue  # an end that this host cannot have
        if other.scenario != loaded.scenario:
            found[end] = value
    return Levels(key, tuple(found), tuple(found.values())) if found else None


def _value_at(param: Param, end: str) -> Any:
    """The value of a parameter at one end: a number, a quantity, a law with that mean, or shares."""
    if isinstance(param.value, Mapping):
        return _shares_at(param.value, end)
    if isinstance(param.value, bool):
        return end == "true" if end in ("true", "false") else None
    if isinstance(param.value, int | float):
        return int(end) if isinstance(param.value, int) and end.isdecimal() else float(end)
    try:
        parse_law(param.value)
        return law_with_mean(param.value, end)
    except (UnitError, TypeError):
        return end


def _shares_at(shares: Mapping[str, Any], end: str) -> dict[str, float] | None:
    """Shares with some of them at an end ("fsck 0.2, reinstall 0.1"), and the others in proportion."""
    try:
        ends = {name: float(share) for name, share in (part.split() for part in end.split(","))}
    except ValueError:
        return None
    left = 1.0 - sum(ends.values())
    if not set(ends) <= set(shares) or left < 0.0 or not all(isinstance(s, int | float) for s in shares.values()):
        return None
    rest = sum(share for name, share in shares.items() if name not in ends)
    if rest <= 0.0:
        return None
    return {name: ends[name] if name in ends else share * left / rest for name, share in shares.items()}
