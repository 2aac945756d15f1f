"""Reads scenario files: TOML text, ``extends``, overrides, and errors that name file, line and key.

Layers, a later one wins key by key: general defaults, the shipped base, files from the innermost ``extends``
outwards, ``--set``. Every leaf remembers its layer, so that a table can mark what nobody measured.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ValidationError

from ksim.errors import KsimError, ScenarioError, nearest
from ksim.model.base import Base, shipped
from ksim.model.compose import families, fault_sources, lifecycle, recovery_strategies
from ksim.model.family import FamilySettings
from ksim.model.fields import param_of
from ksim.model.layers import MAX_FAULTS, Key, Layer, flat_sysctl, merge, override, read_layers, readable, short
from ksim.model.measured import with_impact
from ksim.model.problems import Problems, has
from ksim.model.scenario import LifecycleTable, Scenario
from ksim.model.schema import FaultSettings
from ksim.source import Param


@dataclass(frozen=True, slots=True)
class Loaded:
    """A scenario with the Param behind each value that no file and no option changed, by dotted key.

    ``text`` and ``settings`` are what it was made from; None for what no file and no base is behind.
    """

    scenario: Scenario
    params: Mapping[str, Param]
    text: Text | None = None
    settings: tuple[str, ...] = ()

    def assumed(self) -> dict[str, Param]:
        """The values in force that rest on an assumption."""
        return {key: param for key, param in self.params.items() if param.source.is_assumed}


def load(name: str, overrides: Sequence[str] = (), **keys: Any) -> Loaded:
    """The scenario in file ``name``, or the shipped base of that name, with ``KEY=VALUE`` overrides on top.

    ``keys`` are further top-level values (``seed=3``). Raises ScenarioError.
    """
    return read(name).load(overrides, **keys)


@dataclass(frozen=True, slots=True)
class Text:
    """A scenario as its files have it, before overrides. It can be sent to a machine that has no such files."""

    stem: str
    layers: tuple[Layer, ...]
    base: str

    def load(self, overrides: Sequence[str] = (), **keys: Any) -> Loaded:
        """As ``load``, without reading the files again."""
        try:
            options: dict[str, Any] = {}
            for text in overrides:
                merge(options, override(text))
            merge(options, {key: value for key, value in keys.items() if value is not None})
            above = [Layer("--set", flat_sysctl(options))] if options else []
            found = _resolve(self.stem, [*self.layers, *above], shipped()[self.base] if self.base else None)
        except ScenarioError as error:
            raise ScenarioError(readable(str(error))) from None
        more = (f"{key}={value}" for key, value in keys.items() if value is not None)
        return replace(found, text=self, settings=(*overrides, *more))


def read(name: str) -> Text:
    """The text of the scenario in file ``name``, or of the shipped base of that name. Raises ScenarioError."""
    try:
        layers, base = read_layers(name)
    except ScenarioError as error:
        raise ScenarioError(readable(str(error))) from None
    return Text(Path(name).stem, tuple(layers), base.name if base else "")


def bare(overrides: Sequence[str] = ()) -> Scenario:
    """A scenario of general defaults and upstream's settings in which nothing fails: for questions about Linux.

    Raises ScenarioError.
    """
    options: dict[str, Any] = {"linux": {"distro": "upstream"}}
    try:
        for text in overrides:
            merge(options, override(text))
        return _resolve("what-if", [Layer("--set", flat_sysctl(options))], None, must_fail=False).scenario
    except ScenarioError as error:
        raise ScenarioError(readable(str(error))) from None


# ---------------------------------------------------------------- validation


def _resolve(stem: str, layers: Sequence[Layer], base: Base | None, must_fail: bool = True) -> Loaded:
    stem = "".join(c if c.isprintable() else "?" for c in stem)[:80].strip() or "scenario"
    values: dict[str, Any] = {"name": base.name if base else stem}
    if base is not None:
        values["faults"] = {name: {} for name in base.faults}
        for dotted, param in base.values.items():
            tree: Any = param.value
            for part in reversed(dotted.split(".")):
                tree = {part: tree}
            merge(values, tree)
        values["name"] = base.name if not layers or not layers[0].lines else stem
    own: dict[str, Any] = {}
    for layer in layers:
        if "lifecycle" in layer.values and base is not None:
            raise ScenarioError(f"{layer.where(('lifecycle',))}lifecycle: cannot stand together with a base")
        merge(values, layer.values)
        merge(own, layer.values)
    if "lifecycle" in own:
        for layer in layers:
            _only_lifecycle(layer)
    problems = Problems(layers)
    fault_tables = values.pop("faults", {})
    found_faults = _faults(fault_tables, problems)
    own_graph = _own_graph(values.pop("lifecycle"), problems) if "lifecycle" in values else None
    try:
        scenario = Scenario.model_validate({**values, "faults": {}})
    except ValidationError as error:
        problems.add(error, Scenario)
    problems.stop()
    scenario = scenario.model_copy(update={"faults": found_faults, "lifecycle": own_graph})
    scenario, measured = with_impact(scenario, partial(has, own))
    if must_fail:
        _consistent(scenario, layers)
    return Loaded(scenario, {**dict(_params(scenario, base, own)), **measured})


def _only_lifecycle(layer: Layer) -> None:
    allowed = {"name", "seed", "horizon", "replications", "confidence", "lifecycle"}
    for key in layer.values:
        if key not in allowed:
            others = ", ".join(sorted(allowed - {"lifecycle"}))
            raise ScenarioError(
                f"{layer.where((key,))}{key}: beside [lifecycle] there are only {others}{nearest(key, allowed)}"
            )


_FAULT_NAME = re.compile(r"[A-Za-z0-9_-]{1,60}")


def _faults(tables: Any, problems: Problems) -> dict[str, FaultSettings]:
    if not isinstance(tables, dict):
        problems.one(("faults",), f"expected tables [faults.NAME], got {short(repr(tables))}")
        return {}
    if len(tables) > MAX_FAULTS:
        problems.one(("faults",), f"at most {MAX_FAULTS} tables [faults.NAME], got {len(tables)}")
        return {}
    sources = fault_sources()
    found: dict[str, FaultSettings] = {}
    for name, table in tables.items():
        if not isinstance(table, dict):
            problems.one(("faults", name), f"expected a table of keys, got {short(repr(table))}")
            continue
        if not _FAULT_NAME.fullmatch(name):
            problems.one(("faults", name), "expected a name of at most 60 letters, digits, _ and -")
            continue
        kind = table.get("kind", name)
        if not isinstance(kind, str) or kind not in sources:
            what = "unknown fault source" if "kind" in table else "unknown fault source (or add its kind = ...)"
            key = ("faults", name, "kind") if "kind" in table else ("faults", name)
            problems.one(key, f"{what} '{kind}'{nearest(str(kind), sources)} (known: {', '.join(sources)})")
            continue
        settings = sources[kind].settings
        try:
            found[name] = settings.model_validate(table)
        except ValidationError as error:
            problems.add(error, settings, ("faults", name))
    return found


def _own_graph(table: Any, problems: Problems) -> LifecycleTable | FamilySettings | None:
    """``[lifecycle]``: nodes spelled out, or the parameters of a family."""
    settings: type[LifecycleTable | FamilySettings] = LifecycleTable
    if isinstance(table, dict) and "family" in table:
        name, known = table["family"], families()
        if not isinstance(name, str) or name not in known:
            text = f"unknown family {short(repr(name))}{nearest(str(name), known)} (known: {', '.join(known)})"
            problems.one(("lifecycle", "family"), text)
            return None
        settings = known[name].settings
    try:
        return settings.model_validate(table)
    except ValidationError as error:
        problems.add(error, settings, ("lifecycle",))
    return None


def _consistent(scenario: Scenario, layers: Sequence[Layer]) -> None:
    """What only the whole scenario can show: the graph is built once, so that errors come before any work."""
    strategy = scenario.recovery.strategy
    known = recovery_strategies()
    key: Key = ("recovery", "strategy")
    if strategy not in known:
        problems = Problems(layers)
        problems.one(key, f"unknown strategy '{strategy}'{nearest(strategy, known)} (known: {', '.join(known)})")
        problems.stop()
    try:
        lifecycle(scenario)
    except KsimError as error:
        problems, text = Problems(layers), str(error)
        own = scenario.lifecycle
        if own is None:
            problems.one(("faults",) if not any(f.rate for f in scenario.faults.values()) else (), text)
        else:
            nodes = own.nodes if isinstance(own, LifecycleTable) else {}
            named = next((n for n in re.findall("'([^']*)'", text) if n in nodes), None)
            key = ("lifecycle",) if named is None else ("lifecycle", "nodes", named)
            problems.one(key, text.removeprefix("lifecycle: "))
        problems.stop()


def _params(scenario: Scenario, base: Base | None, own: Mapping[str, Any]) -> Iterator[tuple[str, Param]]:
    """The Param behind each key that no layer of the user's sets."""
    from_base = dict(base.values) if base else {}
    tables: list[tuple[Key, BaseModel]] = [((), scenario)]
    if scenario.lifecycle is not None:
        tables = [(("lifecycle",), scenario.lifecycle)] if isinstance(scenario.lifecycle, FamilySettings) else []
    tables += [(("faults", name), table) for name, table in scenario.faults.items()]
    while tables:
        prefix, table = tables.pop(0)
        for name in type(table).model_fields:
            key = (*prefix, name)
            dotted = ".".join(key)
            param = from_base.get(dotted) or param_of(type(table), name)
            if param is not None and not has(own, key):
                yield dotted, param
            elif param is None and isinstance(value := getattr(table, name), BaseModel):
                tables.append((key, value))
