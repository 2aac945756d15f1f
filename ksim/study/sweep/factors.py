"""What a sweep varies: any key of a scenario, over levels or over a range.

A value is the text that ``--set`` takes. In a range a quantity keeps its unit, a law its shape: its mean moves.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ksim.chance.distributions import Constant, scaled
from ksim.chance.grammar import parse_law
from ksim.errors import ScenarioError, UnitError
from ksim.model.layers import override

_NUMBER = re.compile(r"\s*([-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?)\s*([A-Za-z/]*)\s*\Z")
_BARE = re.compile(r"[A-Za-z0-9_-]+\Z")
DIGITS = 12
"""Of values between the ends of a range: enough to be told apart, few enough to be read."""


@dataclass(frozen=True, slots=True)
class Levels:
    """A factor with named values: the ``texts`` that a table shows, and the values themselves."""

    key: str
    texts: tuple[str, ...]
    values: tuple[Any, ...]

    def setting(self, level: int) -> str:
        """What ``load`` takes."""
        return f"{self.key}={toml(self.values[level])}"


@dataclass(frozen=True, slots=True)
class Range:
    """A factor between two numbers of one ``unit`` (empty: plain numbers), evenly or in the logarithm.

    ``steps`` of them stand in a grid. ``whole``: only integers. ``shape``: a law, whose mean the number is; else empty.
    """

    key: str
    low: float
    high: float
    unit: str
    is_log: bool
    steps: int
    whole: bool
    shape: str = ""

    def at(self, u: float) -> tuple[str, Any]:
        """The text and the value at ``u`` in [0, 1]."""
        x = self.low * (self.high / self.low) ** u if self.is_log else self.low + u * (self.high - self.low)
        x = min(max(x, self.low), self.high)
        number = str(round(x)) if self.whole else f"{x:.{DIGITS}g}"
        text = f"{number} {self.unit}".rstrip()
        if self.shape:
            return text, law_with_mean(self.shape, text)
        return text, text if self.unit else json.loads(number)

    def levels(self, many: int | None = None) -> Levels:
        """As many values as it has steps, both ends among them; equal ones once."""
        last = (self.steps if many is None else many) - 1
        found = dict(self.at(i / last) for i in range(last + 1))
        return Levels(self.key, tuple(found), tuple(found.values()))

    def setting(self, u: float) -> str:
        """What ``load`` takes."""
        return f"{self.key}={toml(self.at(u)[1])}"


Factor = Levels | Range


def levels_of(key: str, values: Sequence[Any]) -> Levels:
    """A factor over the values that are listed. Raises ScenarioError where there are none, or one of them twice."""
    texts = tuple(map(shown, values))
    if not texts:
        raise ScenarioError("an empty list: there is nothing to vary")
    for text in texts:
        if texts.count(text) > 1:
            raise ScenarioError(f"{text!r} stands there twice")
    return Levels(key, texts, tuple(values))


def range_of(key: str, low: Any, high: Any, is_log: bool, steps: int, shape: str = "") -> Range:
    """A range by its ends, two numbers or two quantities of the same unit. Raises ScenarioError, UnitError."""
    (a, unit), (b, other) = _split(low), _split(high)
    if unit != other:
        raise ScenarioError(f"low is in '{unit}' and high in '{other}': give both in one unit")
    if not a < b:
        raise ScenarioError(f"low {low} is not below high {high}")
    if is_log and a <= 0.0:
        raise ScenarioError(f"a logarithmic range begins above 0, not at {low}")
    whole = isinstance(low, int) and isinstance(high, int)
    found = Range(key, a, b, unit, is_log, steps, whole, shape)
    found.levels(2)
    return found


def _split(value: Any) -> tuple[float, str]:
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        raise ScenarioError(f"expected a number or a quantity such as '90 s', got {value!r}")
    match = _NUMBER.match(value if isinstance(value, str) else repr(value))
    if match is None or not math.isfinite(float(match[1])):
        raise ScenarioError(f"expected a number or a quantity such as '90 s', got {value!r}")
    return float(match[1]), match[2]


def law_with_mean(law: str, mean: str) -> str:
    """The text of a law of the same shape with another mean, a duration. Raises UnitError."""
    old, new = parse_law(law), parse_law(mean)
    if not isinstance(new, Constant):
        raise UnitError(f"expected a duration, not '{mean}'")
    if new.value == 0.0 or isinstance(old, Constant) or old.mean == 0.0:
        return mean
    return str(scaled(old, new.value / old.mean))


def path_of(key: str) -> tuple[str, ...]:
    """The place of a key in a scenario, however it is spelled. Raises ScenarioError for what is none."""
    path, inside = [], override(f"{key}=0")
    while isinstance(inside, dict):
        (name, inside), *_ = inside.items()
        path.append(name)
    return tuple(path)


def collide(one: str, other: str) -> bool:
    """Whether two keys are about the same thing: equal, or one of them a table around the other."""
    a, b = path_of(one), path_of(other)
    return a[: len(b)] == b or b[: len(a)] == a


def settings(table: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """(dotted key, value) of a table in which tables may lie."""
    for name, value in table.items():
        key = name if not prefix and "." in name else f"{prefix}{name if _BARE.match(name) else json.dumps(name)}"
        if isinstance(value, Mapping):
            yield from settings(value, f"{key}.")
        else:
            yield key, value


def toml(value: Any) -> str:
    """A value as TOML."""
    match value:
        case bool():
            return str(value).lower()
        case str():
            return json.dumps(value, ensure_ascii=False)
        case Mapping():
            return "{" + ", ".join(f"{json.dumps(key)} = {toml(inner)}" for key, inner in value.items()) + "}"
        case list() | tuple():
            return "[" + ", ".join(map(toml, value)) + "]"
        case _:
            return repr(value)


def shown(value: Any) -> str:
    """A value as a table shows it: texts without quotes, but for the empty one."""
    return value if isinstance(value, str) and value else toml(value)
