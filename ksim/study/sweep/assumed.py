"""``--assumed``: every value of a scenario that nobody measured, moved through its range, one at a time."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ksim.chance.grammar import parse_law
from ksim.errors import KsimError, ScenarioError, UnitError
from ksim.model.loader import Loaded, Text
from ksim.source import Param
from ksim.study.sweep.designs import Design
from ksim.study.sweep.factors import Levels, law_with_mean
from ksim.study.sweep.plan import Host, How, Plan


def assumed_plan(text: Text, settings: tuple[str, ...], how: How) -> tuple[Plan, list[str]]:
    """The plan, and the keys that are left out since they have no range. Raises ScenarioError where nothing is left."""
    loaded = text.load(settings)
    return plan_over(text, settings, how, loaded.assumed(), f"{loaded.scenario.name}-assumed")


def plan_over(
    text: Text, settings: tuple[str, ...], how: How, params: Mapping[str, Param], name: str
) -> tuple[Plan, list[str]]:
    """The same over any parameters of a scenario."""
    loaded = text.load(settings)
    factors, left_out = [], []
    for key, param in sorted(params.items()):
        levels = ends_of(loaded, text, settings, key, param)
        if levels is None:
            left_out.append(key)
        else:
            factors.append(levels)
    if not factors:
        raise ScenarioError(f"{name}: none of these values has a range that could be swept")
    host = Host("host", text, settings, tuple(factors))
    return Plan(name, (host,), Design("one-at-a-time"), how), left_out


def ends_of(loaded: Loaded, text: Text, settings: tuple[str, ...], key: str, param: Param) -> Levels | None:
    """A parameter at both ends of its range; None where it has none, or where neither of them can be loaded."""
    found: dict[str, Any] = {}
    for end in (param.low, param.high):
        value = _value_at(param, end) if end else None
        if value is None:
            continue
        try:
            other = text.load((*settings, Levels(key, (end,), (value,)).setting(0)))
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
