"""The texts of scenario files that name a law; they are parsed, never evaluated.

90 s                                constant
exponential(mean=30 s)              lognormal(mean=300 s, sigma=0.5)   lognormal(median=69 min, sigma=1.25)
weibull(shape=0.75, mean=4380 h)    uniform(5 s, 30 s)                 loguniform(1 ms, 1 s)
empirical(1.2 s, 3.4 s, 5 s)        each value with the same probability
"""

from __future__ import annotations

import re
from collections.abc import Callable

from ksim.chance.distributions import (
    Constant,
    Empirical,
    Exponential,
    Law,
    LogNormal,
    LogUniform,
    Uniform,
    Weibull,
    lognormal_of_mean,
    weibull_of_mean,
)
from ksim.errors import UnitError, nearest
from ksim.units import duration_s

_CALL = re.compile(r"\s*([A-Za-z_]+)\s*\((.*)\)\s*\Z", re.DOTALL)
MAX_VALUES = 10_000
SHORTEST_S = 1e-15
"""Shorter durations, but for 0, are typing errors; ratios of LONGEST_S to it, and squares, stay within a float."""


def parse_law(text: str) -> Law:
    """The law that ``text`` names (grammar: module docstring). Raises UnitError with the nearest valid name."""
    if not isinstance(text, str):
        raise UnitError(f"not a duration or distribution: {text!r} (write for example '90 s')")
    call = _CALL.match(text)
    if call is None:
        return Constant(_duration(text))
    name, inside = call[1], call[2]
    if name not in _GRAMMAR:
        raise UnitError(f"unknown distribution '{name}'{nearest(name, _GRAMMAR)} (known: {', '.join(_GRAMMAR)})")
    return _GRAMMAR[name](name, [part.strip() for part in inside.split(",")])


def _named(name: str, parts: list[str], allowed: tuple[str, ...]) -> dict[str, str]:
    found: dict[str, str] = {}
    for part in parts:
        key, equals, value = (piece.strip() for piece in part.partition("="))
        if not equals:
            raise UnitError(f"{name}() takes named values ({', '.join(allowed)}), not '{part}'")
        if key not in allowed:
            raise UnitError(f"{name}() has no '{key}'{nearest(key, allowed)}")
        if key in found:
            raise UnitError(f"{name}() has '{key}' twice")
        found[key] = value
    return found


def _need(name: str, found: dict[str, str], *wanted: str) -> None:
    if set(found) != set(wanted):
        raise UnitError(f"{name}() needs {' and '.join(wanted)}, got {' and '.join(found) or 'nothing'}")


def _number(name: str, key: str, text: str, low: float, high: float) -> float:
    try:
        value = float(text)
    except ValueError:
        raise UnitError(f"{name}({key}=...) needs a plain number, not '{text}'") from None
    if not low <= value <= high:
        raise UnitError(f"{name}({key}=...) must lie between {low:g} and {high:g}, not {text}")
    return value


def _positive(name: str, key: str, text: str) -> float:
    value = _duration(text)
    if value <= 0.0:
        raise UnitError(f"{name}({key}=...) must be longer than zero")
    return value


def _duration(text: str) -> float:
    value = duration_s(text)
    if 0.0 < value < SHORTEST_S:
        raise UnitError(f"a duration is 0 or at least {SHORTEST_S:g} s, not '{text.strip()}'")
    return value


def _exponential(name: str, parts: list[str]) -> Law:
    found = _named(name, parts, ("mean",))
    _need(name, found, "mean")
    return Exponential(_positive(name, "mean", found["mean"]))


def _lognormal(name: str, parts: list[str]) -> Law:
    found = _named(name, parts, ("mean", "median", "sigma"))
    centre = "mean" if "mean" in found else "median"
    _need(name, found, centre, "sigma")
    sigma = _number(name, "sigma", found["sigma"], 0.0, 4.0)
    value = _positive(name, centre, found[centre])
    if centre == "mean" or sigma == 0.0:
        return lognormal_of_mean(value, sigma)
    return LogNormal(value, sigma)


def _weibull(name: str, parts: list[str]) -> Law:
    found = _named(name, parts, ("mean", "scale", "shape"))
    centre = "mean" if "mean" in found else "scale"
    _need(name, found, centre, "shape")
    shape = _number(name, "shape", found["shape"], 0.2, 50.0)
    value = _positive(name, centre, found[centre])
    return weibull_of_mean(value, shape) if centre == "mean" else Weibull(value, shape)


def _between(law: type[Uniform] | type[LogUniform], lowest: float) -> Callable[[str, list[str]], Law]:
    def build(name: str, parts: list[str]) -> Law:
        if len(parts) != 2:
            raise UnitError(f"{name}() takes a lower and an upper duration")
        low, high = _duration(parts[0]), _duration(parts[1])
        if not lowest <= low < high:
            raise UnitError(f"{name}() needs {'0 <' if lowest else '0 <='} lower < upper, not {', '.join(parts)}")
        return law(low, high)

    return build


def _empirical(name: str, parts: list[str]) -> Law:
    if len(parts) > MAX_VALUES:
        raise UnitError(f"{name}() takes at most {MAX_VALUES} values")
    return Empirical(tuple(sorted(_duration(part) for part in parts)))


_GRAMMAR: dict[str, Callable[[str, list[str]], Law]] = {
    "exponential": _exponential,
    "lognormal": _lognormal,
    "weibull": _weibull,
    "uniform": _between(Uniform, 0.0),
    "loguniform": _between(LogUniform, SHORTEST_S),
    "empirical": _empirical,
}
