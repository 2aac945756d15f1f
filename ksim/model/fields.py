"""Types of the values in a scenario, and how a default carries its Param.

Quantities are texts with units in the file and plain SI numbers (or laws) in the model; serialised again they
are texts in SI units, so that "1.5 min" and "90 s" are the same scenario.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from typing import Annotated, Any, TypeVar

from pydantic import BaseModel, ConfigDict, Field, PlainSerializer, PlainValidator, Strict, model_validator

from ksim.chance.distributions import Law
from ksim.chance.grammar import SHORTEST_S, parse_law
from ksim.errors import UnitError
from ksim.source import Param, Source
from ksim.units import LONGEST_S, YEAR_S, duration_s, rate_per_s, size_bytes, throughput_bytes_per_s

T = TypeVar("T")


def _quantity(parse: Callable[[str], float], unit: str, per: float = 1.0) -> tuple[PlainValidator, PlainSerializer]:
    def show(value: float) -> str:
        return f"{value * per!r} {unit}"

    return PlainValidator(_zero_or(parse)), PlainSerializer(show, return_type=str)


def _zero_or(parse: Callable[[str], T]) -> Callable[[object], T]:
    """Only 0 needs no unit, and so no quotes."""
    return lambda value: parse("0" if type(value) in (int, float) and value == 0 else value)  # type: ignore[arg-type]


def _probability(value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0.0 <= value <= 1.0:
        raise UnitError(f"expected a probability from 0 to 1, got {show_value(value)}")
    return float(value)


def show_value(value: object) -> str:
    shown = repr(value)
    return shown if len(shown) <= 60 else shown[:57] + "..."


def _name(value: object) -> str:
    if not isinstance(value, str) or not value.strip() or len(value) > 80 or not value.isprintable():
        raise UnitError(f"expected a name of 1 to 80 printable characters, got {show_value(value)}")
    return value


def _label(value: object) -> str:
    return "" if value == "" else _name(value)


def _sysctl_value(value: object) -> int | str:
    if isinstance(value, bool) or not isinstance(value, int | str) or len(str(value)) > 40:
        raise UnitError(f"expected an integer, as sysctl(8) takes it, got {show_value(value)}")
    return int(value) if re.fullmatch(r"-?(0|[1-9][0-9]*)", str(value)) else value


def _rate(text: str) -> float:
    rate = rate_per_s(text)
    if rate and not 1.0 / LONGEST_S <= rate <= 1.0:
        raise UnitError(f"a rate is 0, or from 1e-9 /y to 1 /s, not {show_value(text)}")
    return rate


def _or_none(text: object) -> float | None:
    return None if text == "none" else _zero_or(duration_s)(text)


def _mean_time(text: object) -> float:
    seconds = _zero_or(duration_s)(text)
    if seconds < SHORTEST_S:
        raise UnitError(f"expected a mean time longer than zero, got {show_value(text)}")
    return seconds


def _bytes_or_none(text: object) -> int | None:
    return None if text == "none" else _zero_or(size_bytes)(text)


def _throughput_or_none(text: object) -> float | None:
    return None if text == "none" else _zero_or(throughput_bytes_per_s)(text)


def _show_throughput_or_none(value: float | None) -> str:
    return "none" if value is None else f"{value!r} B/s"


def _law_or_none(text: object) -> Law | None:
    return None if text == "none" else _zero_or(parse_law)(text)


def _show_law_or_none(value: Law | None) -> str:
    return "none" if value is None else str(value)


def _show_bytes_or_none(value: int | None) -> str:
    return "none" if value is None else f"{value!r} B"


def _show_or_none(value: float | None) -> str:
    return "none" if value is None else f"{value!r} s"


LawText = Annotated[Law, PlainValidator(_zero_or(parse_law)), PlainSerializer(str, return_type=str)]
LawOrNone = Annotated[Law | None, PlainValidator(_law_or_none), PlainSerializer(_show_law_or_none, return_type=str)]
Seconds = Annotated[float, *_quantity(duration_s, "s")]
MeanTime = Annotated[float, PlainValidator(_mean_time), PlainSerializer(lambda value: f"{value!r} s", return_type=str)]
"""The mean of an exponential time."""
SecondsOrNone = Annotated[float | None, PlainValidator(_or_none), PlainSerializer(_show_or_none, return_type=str)]
Bytes = Annotated[int, *_quantity(size_bytes, "B")]
BytesOrNone = Annotated[
    int | None, PlainValidator(_bytes_or_none), PlainSerializer(_show_bytes_or_none, return_type=str)
]
PerSecond = Annotated[float, *_quantity(_rate, "/y", YEAR_S)]
BytesPerSecond = Annotated[float, *_quantity(throughput_bytes_per_s, "B/s")]
BytesPerSecondOrNone = Annotated[
    float | None, PlainValidator(_throughput_or_none), PlainSerializer(_show_throughput_or_none, return_type=str)
]
Probability = Annotated[float, PlainValidator(_probability)]
Name = Annotated[str, PlainValidator(_name)]
Label = Annotated[str, PlainValidator(_label)]
"""A name or nothing."""
SysctlValue = Annotated[int | str, PlainValidator(_sysctl_value)]
Whole = Annotated[int, Strict()]
"""An integer and nothing that can be read as one: neither true nor "1"."""
Number = Annotated[float, Strict()]


class Table(BaseModel):
    """A table of a scenario: unknown keys are errors, values cannot change."""

    model_config = ConfigDict(extra="forbid", frozen=True, validate_default=True, arbitrary_types_allowed=True)


class Shares(Table):
    """Probabilities of alternatives, in sum 1."""

    @model_validator(mode="after")
    def _sum_to_one(self) -> Shares:
        total = math.fsum(self.values().values())
        if abs(total - 1.0) > 1e-9:
            raise ValueError(f"these probabilities must sum to 1, they sum to {total:.12g}")
        return self

    def values(self) -> dict[str, float]:
        return {name: float(getattr(self, name)) for name in type(self).model_fields}


def param(value: Any, unit: str, low: str, high: str, source: Source, what: str = "") -> Any:
    """A field whose default is a Param; the scenario loader finds it again by ``param_of``."""
    return field_of(Param(value, unit, low, high, source, what))


def field_of(found: Param) -> Any:
    """The same for a Param that stands elsewhere."""
    return Field(default=found.value, description=found.what, json_schema_extra={"param": found})  # type: ignore[dict-item]


def param_of(table: type[BaseModel], name: str) -> Param | None:
    extra = table.model_fields[name].json_schema_extra
    return extra.get("param") if isinstance(extra, dict) else None  # type: ignore[return-value]
