"""Study files: what is varied, and what is asked, in TOML.

    scenario = "rack-server"                    # a shipped base, or a path beside the study file
    strategies = ["full_reboot", "kexec_reboot"]
    measures = ["software_downtime_min_per_year"]
    [factors]
    "host.boot.firmware" = ["60 s", "300 s", "600 s"]
    "recovery.operator" = { low = "5 min", high = "120 min", scale = "log", steps = 5 }

Errors name file, line and key, as those of scenarios do.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, PlainValidator, ValidationError

from ksim.errors import KsimError, ScenarioError
from ksim.model.fields import Label, Name, Table, Whole
from ksim.model.layers import Key, Layer, read_toml, readable, reason_of, short
from ksim.model.loader import read
from ksim.model.problems import Problems
from ksim.study.engine import Engine
from ksim.study.measures import check_name
from ksim.study.rarities import question_of
from ksim.study.sequential import Target
from ksim.study.sweep.cells import CELL_COLUMNS
from ksim.study.sweep.designs import SAMPLED, Design, Kind, Point, check_salib
from ksim.study.sweep.factors import Factor, Levels, Range, collide, levels_of, range_of, settings, shown
from ksim.study.sweep.plan import DEFAULT_MEASURES, HOST, Host, How, Plan, check_strategies
from ksim.units import duration_s

RUN_KEYS = ("seed", "horizon", "replications", "confidence")
"""Of a scenario; a study may give them for all of its hosts."""


def _budget(text: Any) -> float | None:
    return None if text is None else duration_s(text)


class RangeTable(Table):
    """A factor between two values: ``steps`` of them in a grid; ``shape``: a law whose mean they are."""

    low: Any
    high: Any
    scale: Literal["linear", "log"] = "linear"
    steps: Annotated[Whole, Field(ge=2, le=1000)] = 5
    shape: str = ""


class DesignTable(Table):
    """``points``: of a sampled design; trajectories of morris, base samples of sobol-indices."""

    kind: Kind = "grid"
    points: Annotated[Whole, Field(ge=2, le=1_000_000)] = 64
    seed: Annotated[Whole, Field(ge=0, lt=2**32)] = 0


class HostTable(Table):
    """A kind of host with factors of its own, beside those of the study."""

    name: Name
    scenario: str
    set: dict[str, Any] = Field(default_factory=dict)
    factors: dict[str, Any] = Field(default_factory=dict)


class StudyTable(Table):
    """A study file."""

    name: Label = ""
    scenario: str = ""
    set: dict[str, Any] = Field(default_factory=dict)
    hosts: tuple[HostTable, ...] = ()
    seed: Any = None
    horizon: Any = None
    replications: Any = None
    confidence: Any = None
    design: DesignTable = DesignTable()
    factors: dict[str, Any] = Field(default_factory=dict)
    points: tuple[dict[str, Any], ...] = ()
    strategies: tuple[Name, ...] = ()
    variants: dict[Name, dict[str, Any]] = Field(default_factory=dict)
    measures: tuple[Name, ...] = Field(default=DEFAULT_MEASURES, min_length=1)
    engine: Engine = "auto"
    precision: dict[Name, Name] = Field(default_factory=dict)
    rare: tuple[Name, ...] = ()
    budget: Annotated[float | None, PlainValidator(_budget)] = None


def plan_of(path: Path, overrides: Sequence[str] = ()) -> Plan:
    """The plan of a study file; ``overrides`` are settings for all of its points. Raises ScenarioError."""
    try:
        layer = read_toml(path)
    except OSError as error:
        raise ScenarioError(
            f"cannot read study '{short(str(path))}': {reason_of(error)} (a path to a .toml file)"
        ) from None
    try:
        return _Reader(path, layer, tuple(overrides)).plan()
    except ScenarioError as error:
        raise ScenarioError(readable(str(error))) from None


class _Reader:
    """Reads one study file; every message begins with the line that it is about."""

    def __init__(self, path: Path, layer: Layer, overrides: tuple[str, ...]) -> None:
        self._path, self._layer, self._overrides = path, layer, overrides

    def plan(self) -> Plan:
        table = self._table()
        how = How(
            strategies=table.strategies,
            variants={name: self._settings(own, ("variants", name)) for name, own in table.variants.items()},
            measures=tuple(dict.fromkeys([*table.measures, *table.precision])),
            engine=table.engine,
            precision=dict(table.precision),
            rare=table.rare,
        )
        self._check(table, how)
        design = Design(table.design.kind, table.design.points, table.design.seed)
        hosts = tuple(self._hosts(table, design))
        return Plan(table.name or self._path.stem, hosts, design, how, table.budget)

    def _table(self) -> StudyTable:
        problems = Problems([self._layer])
        try:
            return StudyTable.model_validate(dict(self._layer.values))
        except ValidationError as error:
            problems.add(error, StudyTable)
        problems.stop()
        raise AssertionError("a problem stops")

    def _check(self, table: StudyTable, how: How) -> None:
        if bool(table.scenario) == bool(table.hosts):
            self._fail(("hosts",), "give either scenario = ... or tables [[hosts]]")
        if how.strategies and how.variants:
            self._fail(("variants",), "strategies and variants: compare either the one or the other")
        self._try(("strategies",), lambda: check_strategies(how.strategies))
        for name in table.measures:
            self._try(("measures",), lambda name=name: check_name(name))
        for text in table.rare:
            self._try(("rare",), lambda text=text: question_of(text))
        for name, text in table.precision.items():
            self._try(("precision", name), lambda name=name: check_name(name))
            self._try(("precision", name), lambda text=text: Target.parse(text))
        if table.precision and table.replications is not None:
            self._fail(("replications",), "a precision is asked for: that decides how many there are")
        if table.precision and table.engine == "exact":
            self._fail(("precision",), "exact values have no half-width: leave precision out, or the engine")
        if table.design.kind == "list":
            if table.factors or not table.points:
                self._fail(("design",), "a list has tables [[points]] in place of [factors]")
        elif table.points:
            self._fail(("points",), 'points are for a [design] of kind = "list"')
        if table.design.kind in ("morris", "sobol-indices"):
            self._try(("design", "kind"), check_salib)
        if table.design.kind not in SAMPLED:
            for key in ("points", "seed"):
                if key in self._layer.values.get("design", {}):
                    self._fail(("design", key), f"a {table.design.kind} design takes no {key}")
        names = [host.name for host in table.hosts]
        for name in names:
            if names.count(name) > 1:
                self._fail(("hosts",), f"two hosts are named '{name}'")

    def _hosts(self, table: StudyTable, design: Design) -> Iterator[Host]:
        run = {key: getattr(table, key) for key in RUN_KEYS if getattr(table, key) is not None}
        common = [*self._settings({**run, **table.set}, ("set",))]
        for host in table.hosts or (HostTable(name="host", scenario=table.scenario),):
            where: Key = ("hosts", "scenario") if table.hosts else ("scenario",)
            text = self._try(where, lambda host=host: read(self._beside(host.scenario)))
            own = [*common, *self._settings(host.set, ("hosts", "set")), *self._overrides]
            self._try(where, lambda text=text, own=own: text.load(own))
            factors = (*self._factors(table.factors, ("factors",)), *self._factors(host.factors, ("hosts", "factors")))
            points = tuple(self._listed(table.points)) if design.kind == "list" else ()
            keys = [*(factor.key for factor in factors), *dict.fromkeys(k for p in points for k, _ in p.parameters)]
            self._check_keys(keys, own, table.variants)
            yield Host(host.name, text, tuple(own), factors, points)

    def _check_keys(self, keys: Sequence[str], own: Sequence[str], variants: Mapping[str, Mapping[str, Any]]) -> None:
        """What is varied is varied once, and set nowhere else."""
        for i, key in enumerate(keys):
            if key in (HOST, *CELL_COLUMNS):
                self._fail(("factors", key), "this is a column of every table: make a study for each value of it")
            for other in keys[:i]:
                if self._try(("factors", key), lambda key=key, other=other: collide(key, other)):
                    self._fail(("factors", key), f"varied twice: {other} is the same, or a part of it")
            for setting in own:
                if collide(key, setting.partition("=")[0]):
                    self._fail(("factors", key), f"varied, and set: {setting}")
            for name, table in variants.items():
                if any(collide(key, one) for one, _ in settings(table)):
                    self._fail(("factors", key), f"varied, and set by variant '{name}'")

    def _beside(self, name: str) -> str:
        """A path is meant from where the study file lies."""
        beside = self._path.parent / name
        return str(beside) if beside.is_file() else name

    def _settings(self, table: Mapping[str, Any], where: Key) -> tuple[str, ...]:
        found = [levels_of(key, [value]).setting(0) for key, value in settings(table)]
        if where[0] == "variants" and not found:
            self._fail(where, "a variant without settings")
        return tuple(found)

    def _factors(self, table: Mapping[str, Any], where: Key) -> Iterator[Factor]:
        for key, value in _flat(table):
            yield self._try((*where, key), lambda key=key, value=value: _factor(key, value))

    def _listed(self, tables: Sequence[Mapping[str, Any]]) -> Iterator[Point]:
        seen: list[Mapping[str, Any]] = []
        for i, table in enumerate(tables):
            if not table or table in seen:
                self._fail(("points",), f"point {i + 1} {'is empty' if not table else 'stands there twice'}")
            seen.append(table)
            pairs = list(settings(table))
            yield Point(tuple((key, shown(value)) for key, value in pairs), self._settings(table, ("points",)))

    def _try(self, key: Key, work: Any) -> Any:
        """Runs ``work``; what it finds wrong is said of ``key``."""
        try:
            return work()
        except KsimError as error:
            self._fail(key, str(error).removeprefix("--set: "))

    def _fail(self, key: Key, text: str) -> None:
        raise ScenarioError(f"{self._layer.where(key)}{'.'.join(key)}: {text}")


def _flat(table: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """(dotted key, list or table of a range) of the factors, however their dots were written."""
    for name, value in table.items():
        if isinstance(value, Mapping) and not {"low", "high"} & set(value):
            yield from _flat(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", value


def _factor(key: str, value: Any) -> Levels | Range:
    if isinstance(value, list):
        return levels_of(key, value)
    if not isinstance(value, Mapping):
        raise ScenarioError(f"expected a list of values or a range with low and high, got {short(repr(value))}")
    try:
        table = RangeTable.model_validate(dict(value))
    except ValidationError as error:
        found = sorted(error.errors(include_url=False), key=lambda item: item["type"] != "extra_forbidden")
        wrong = ".".join(map(str, found[0]["loc"]))
        raise ScenarioError(f"{wrong}: {found[0]['msg']} (known: {', '.join(RangeTable.model_fields)})") from None
    return range_of(key, table.low, table.high, table.scale == "log", table.steps, table.shape)
