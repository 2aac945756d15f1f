"""Reads scenario files: TOML text, ``extends``, overrides, and errors that name file, line and key.

Layers, a later one wins key by key: general defaults, the shipped base, files from the innermost ``extends``
outwards, ``--set``. Every leaf remembers its layer, so that a table can mark what nobody measured.
"""

from __future__ import annotations

import os.path
import re
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, get_args

from pydantic import BaseModel, ValidationError

from ksim.errors import KsimError, ScenarioError, nearest
from ksim.model.base import Base, shipped
from ksim.model.compose import fault_sources, lifecycle, recovery_strategies
from ksim.model.scenario import Scenario
from ksim.model.schema import FaultSettings, param_of
from ksim.source import Param

MAX_BYTES = 2**20
"""A scenario is written by hand; anything larger is a wrong file."""
MAX_DEPTH = 16
MAX_NESTING = 32
"""Tables in tables: a scenario needs six levels. Everything below here may recurse."""
MAX_FAULTS = 64
SHOWN_PROBLEMS = 8
SHOWN_LETTERS = 500

Key = tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Layer:
    """Values of one origin: a file (``lines`` knows where its keys stand) or the command line."""

    origin: str
    values: Mapping[str, Any]
    lines: Mapping[Key, int] = field(default_factory=dict)

    def where(self, key: Key) -> str:
        """ "file:line: ", with the line of the key or of the nearest table around it."""
        for length in range(len(key), 0, -1):
            if key[:length] in self.lines:
                return f"{self.origin}:{self.lines[key[:length]]}: "
        return f"{self.origin}: "


@dataclass(frozen=True, slots=True)
class Loaded:
    """A scenario with the Param behind each value that no file and no option changed, by dotted key."""

    scenario: Scenario
    params: Mapping[str, Param]

    def assumed(self) -> dict[str, Param]:
        """The values in force that rest on an assumption."""
        return {key: param for key, param in self.params.items() if param.source.is_assumed}


def load(name: str, overrides: Sequence[str] = (), **keys: Any) -> Loaded:
    """The scenario in file ``name``, or the shipped base of that name, with ``KEY=VALUE`` overrides on top.

    ``keys`` are further top-level values (``seed=3``). Raises ScenarioError.
    """
    try:
        layers, base = _layers(name)
        options: dict[str, Any] = {}
        for text in overrides:
            _merge(options, _override(text))
        _merge(options, {key: value for key, value in keys.items() if value is not None})
        if options:
            layers.append(Layer("--set", _flat_sysctl(options)))
        return _resolve(Path(name).stem, layers, base)
    except ScenarioError as error:
        raise ScenarioError(_readable(str(error))) from None


def _readable(text: str) -> str:
    """A message as one paragraph of short lines: names and values in it come from a file that may hold anything."""
    lines = ("".join(c if c.isprintable() else ascii(c)[1:-1] for c in line) for line in text.split("\n"))
    return "\n".join(_short(line, SHOWN_LETTERS) for line in lines if line.strip())


def _layers(name: str) -> tuple[list[Layer], Base | None]:
    bases = shipped()
    layers: list[Layer] = []
    seen: list[Path] = []
    where = ""
    path = Path(name)
    while True:
        if name in bases and not os.path.isfile(path):
            return layers[::-1], bases[name]
        layer = _read(path, name, where)
        real = path.resolve()
        if real in seen:
            raise ScenarioError(f"{where}extends: goes round in a circle: {' -> '.join(p.name for p in [*seen, real])}")
        if len(seen) == MAX_DEPTH:
            raise ScenarioError(f"{where}extends: more than {MAX_DEPTH} files deep")
        seen.append(real)
        values = dict(layer.values)
        parent = values.pop("extends", None)
        layers.append(Layer(layer.origin, values, layer.lines))
        if parent is None:
            return layers[::-1], None
        where = layer.where(("extends",))
        if not isinstance(parent, str) or not parent:
            raise ScenarioError(f"{where}extends: expected the name of a base or a path, got {parent!r}")
        name, path = parent, real.parent / parent


def _read(path: Path, name: str, where: str) -> Layer:
    origin = str(path)
    try:
        with path.open("rb") as file:
            raw = file.read(MAX_BYTES + 1)
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        bases = shipped()
        raise ScenarioError(
            f"{where}{'extends: ' if where else ''}cannot read scenario '{_short(name)}': {reason} "
            f"(a path to a .toml file, or one of {', '.join(bases)}){nearest(name[:200], bases)}"
        ) from None
    if len(raw) > MAX_BYTES:
        raise ScenarioError(f"{origin}: larger than {MAX_BYTES // 2**20} MiB; this is no scenario file")
    try:
        text = raw.decode("utf-8-sig")
        if any(line.partition("=")[0].count(".") > MAX_NESTING for line in text.splitlines() if line[:1] != "#"):
            raise RecursionError  # before tomllib, which takes the square of the depth
        values = tomllib.loads(text)
        _check_sane(values)
    except UnicodeDecodeError as error:
        line = raw[: error.start].count(b"\n") + 1
        raise ScenarioError(f"{origin}:{line}: not a text file in UTF-8") from None
    except tomllib.TOMLDecodeError as error:
        raise ScenarioError(f"{origin}: not valid TOML: {error}") from None
    except RecursionError:
        raise ScenarioError(f"{origin}: nested too deeply (a scenario has at most {MAX_NESTING} levels)") from None
    except ValueError:
        raise ScenarioError(f"{origin}: a number with hundreds of digits") from None
    return Layer(origin, _flat_sysctl(values), _lines(text))


def _check_sane(values: Any) -> None:
    """Raises RecursionError for more than MAX_NESTING levels, ValueError for integers that Python cannot print."""
    level, depth = [values], 0
    while level:
        if depth > MAX_NESTING:
            raise RecursionError
        if any(isinstance(v, int) and v.bit_length() > 1024 for v in level):
            raise ValueError
        inside = (v.values() if isinstance(v, dict) else v for v in level if isinstance(v, dict | list))
        level, depth = [value for values in inside for value in values], depth + 1


def _lines(text: str) -> dict[Key, int]:
    """Where keys and tables stand. Line by line, each head parsed as TOML of its own: good enough for messages."""
    found: dict[Key, int] = {}
    table: Key = ()
    for number, line in enumerate(text.split("\n"), 1):
        stripped = line.strip()
        if stripped.startswith("["):
            head = _path(stripped.strip("[]").split("]")[0] + " = 0")
            if head:
                table = head
                found.setdefault(_one_sysctl(table), number)
        elif "=" in stripped and not stripped.startswith("#"):
            head = _path(stripped.partition("=")[0] + " = 0")
            for length in range(1, len(head) + 1):
                found.setdefault(_one_sysctl(table + head[:length]), number)
    return found


def _one_sysctl(path: Key) -> Key:
    """The name of a sysctl is one key, however its dots were written."""
    return (*path[:2], ".".join(path[2:])) if path[:2] == ("linux", "sysctl") and len(path) > 2 else path


def _path(text: str) -> Key:
    """The key path of a TOML line, or () if it is none."""
    try:
        value: Any = tomllib.loads(text)
    except (ValueError, RecursionError):
        return ()
    path: list[str] = []
    while isinstance(value, dict) and len(value) == 1:
        key, value = next(iter(value.items()))
        path.append(key)
    return tuple(path)


def _override(text: str) -> dict[str, Any]:
    """``KEY=VALUE``: the value as TOML if it is TOML, else as text. Sysctl names need no quotes."""
    key, equals, value = text.partition("=")
    if not text.isascii() and text.encode(errors="ignore").decode() != text:
        raise ScenarioError(f"--set {_short(ascii(text))}: not a text in UTF-8")
    if not equals or not key.strip():
        raise ScenarioError(f"--set {_short(text)!r}: expected KEY=VALUE (for example host.memory='512 GiB')")
    path = _path(f"{key} = 0") if key.count(".") <= MAX_NESTING else ()
    if not path:
        raise ScenarioError(f"--set {_short(text)!r}: '{_short(key)}' is no key (for example faults.kernel_oops.rate)")
    path = _one_sysctl(path)
    if path[0] == "extends":
        raise ScenarioError("--set extends=...: name the other scenario in place of this one")
    try:
        parsed = tomllib.loads(f"x = {value}")
        found: Any = parsed["x"] if len(parsed) == 1 else value
        _check_sane(found)
    except (ValueError, RecursionError):  # no TOML, or a number with hundreds of digits
        found = value.strip()
    if not isinstance(found, str) and _takes_text(path):
        found = value.strip()
    for part in reversed(path):
        found = {part: found}
    return found  # type: ignore[no-any-return]


def _takes_text(path: Key) -> bool:
    """Whether the schema wants a text here: ``--set linux.release=6.1`` is no number."""
    table: Any = Scenario
    for part in path[:-1]:
        field = table.model_fields.get(part) if isinstance(table, type) and issubclass(table, BaseModel) else None
        table = field.annotation if field else None
    is_table = isinstance(table, type) and issubclass(table, BaseModel)
    return is_table and path[-1] in table.model_fields and table.model_fields[path[-1]].annotation is str


def _merge(into: dict[str, Any], values: Mapping[str, Any]) -> None:
    for key, value in values.items():
        if isinstance(value, Mapping) and isinstance(into.get(key), dict):
            _merge(into[key], value)
        else:
            into[key] = _copy(value)


def _copy(value: Any) -> Any:
    return {key: _copy(inner) for key, inner in value.items()} if isinstance(value, Mapping) else value


# ---------------------------------------------------------------- validation


def _resolve(stem: str, layers: Sequence[Layer], base: Base | None) -> Loaded:
    stem = "".join(c if c.isprintable() else "?" for c in stem)[:80].strip() or "scenario"
    values: dict[str, Any] = {"name": base.name if base else stem}
    if base is not None:
        values["faults"] = {name: {} for name in base.faults}
        for dotted, param in base.values.items():
            tree: Any = param.value
            for part in reversed(dotted.split(".")):
                tree = {part: tree}
            _merge(values, tree)
        values["name"] = base.name if not layers or not layers[0].lines else stem
    own: dict[str, Any] = {}
    for layer in layers:
        if "lifecycle" in layer.values and base is not None:
            raise ScenarioError(f"{layer.where(('lifecycle',))}lifecycle: cannot stand together with a base")
        _merge(values, layer.values)
        _merge(own, layer.values)
    if "lifecycle" in own:
        for layer in layers:
            _only_lifecycle(layer)
    problems = _Problems(layers)
    fault_tables = values.pop("faults", {})
    found_faults = _faults(fault_tables, problems)
    try:
        scenario = Scenario.model_validate({**values, "faults": {}})
    except ValidationError as error:
        problems.add(error, Scenario)
    problems.stop()
    scenario = scenario.model_copy(update={"faults": found_faults})
    _consistent(scenario, layers)
    return Loaded(scenario, dict(_params(scenario, base, own)))


def _flat_sysctl(values: Mapping[str, Any]) -> dict[str, Any]:
    """``[linux.sysctl] kernel.panic = 10`` without quotes means the same key as with them."""
    result: dict[str, Any] = _copy(values)
    linux = result.get("linux")
    if isinstance(linux, dict) and isinstance(linux.get("sysctl"), dict):
        flat: dict[str, Any] = {}
        todo = [((), linux["sysctl"])]
        while todo:
            prefix, table = todo.pop(0)
            for key, value in table.items():
                if isinstance(value, dict):
                    todo.append(((*prefix, key), value))  # type: ignore[arg-type]
                else:
                    flat[".".join((*prefix, key))] = value
        linux["sysctl"] = flat
    return result


def _only_lifecycle(layer: Layer) -> None:
    allowed = {"name", "seed", "horizon", "replications", "confidence", "lifecycle"}
    for key in layer.values:
        if key not in allowed:
            others = ", ".join(sorted(allowed - {"lifecycle"}))
            raise ScenarioError(
                f"{layer.where((key,))}{key}: beside [lifecycle] there are only {others}{nearest(key, allowed)}"
            )


_FAULT_NAME = re.compile(r"[A-Za-z0-9_-]{1,60}")


def _faults(tables: Any, problems: _Problems) -> dict[str, FaultSettings]:
    if not isinstance(tables, dict):
        problems.one(("faults",), f"expected tables [faults.NAME], got {_short(repr(tables))}")
        return {}
    if len(tables) > MAX_FAULTS:
        problems.one(("faults",), f"at most {MAX_FAULTS} tables [faults.NAME], got {len(tables)}")
        return {}
    sources = fault_sources()
    found: dict[str, FaultSettings] = {}
    for name, table in tables.items():
        if not isinstance(table, dict):
            problems.one(("faults", name), f"expected a table of keys, got {_short(repr(table))}")
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


def _consistent(scenario: Scenario, layers: Sequence[Layer]) -> None:
    """What only the whole scenario can show: the graph is built once, so that errors come before any work."""
    strategy = scenario.recovery.strategy
    known = recovery_strategies()
    key: Key = ("recovery", "strategy")
    if strategy not in known:
        problems = _Problems(layers)
        problems.one(key, f"unknown strategy '{strategy}'{nearest(strategy, known)} (known: {', '.join(known)})")
        problems.stop()
    try:
        lifecycle(scenario)
    except KsimError as error:
        problems, text = _Problems(layers), str(error)
        if scenario.lifecycle is None:
            problems.one(("faults",) if not any(f.rate for f in scenario.faults.values()) else (), text)
        else:
            named = next((n for n in re.findall("'([^']*)'", text) if n in scenario.lifecycle.nodes), None)
            key = ("lifecycle",) if named is None else ("lifecycle", "nodes", named)
            problems.one(key, text.removeprefix("lifecycle: "))
        problems.stop()


class _Problems:
    """Collects what is wrong, to say it all in one message."""

    def __init__(self, layers: Sequence[Layer]) -> None:
        self._layers = layers
        self._found: list[str] = []
        self._count = 0

    def one(self, key: Key, text: str) -> None:
        self._count += 1
        if self._count > SHOWN_PROBLEMS:
            return
        said = f"{'.'.join(key)}: {text}" if key else text
        for layer in reversed(self._layers):
            if _has(layer.values, key):
                self._found.append(f"{layer.where(key)}{said}")
                return
        origin = f"{self._layers[-1].origin}: " if self._layers else ""
        self._found.append(f"{origin}{said}")

    def add(self, error: ValidationError, model: type[BaseModel], prefix: Key = ()) -> None:
        for item in error.errors(include_url=False):
            if self._count >= SHOWN_PROBLEMS:
                self._count += 1  # a wrong file can have a hundred thousand of them
                continue
            key = tuple(str(part) for part in item["loc"])
            context = item.get("ctx", {})
            got = f", got {_short(repr(item['input']))}"
            if item["type"] == "extra_forbidden":
                names = _fields_at(model, key[:-1])
                text = f"unknown key{nearest(key[-1], names)} (known here: {', '.join(names)})"
            elif item["type"] == "missing":
                text = "required, but not given"
            elif item["type"] == "value_error":
                key, text = _narrowed(model, key, str(context["error"]))
            elif item["type"] in ("model_type", "dict_type"):
                text = f"expected a table of keys{got}"
            elif item["type"] == "literal_error":
                names = re.findall("'([^']*)'", context["expected"])
                text = f"expected {context['expected']}{got}{nearest(str(item['input']), names)}"
            else:
                text = item["msg"].replace("Input should be", "expected", 1) + got
            self.one(prefix + key, text)

    def stop(self) -> None:
        if self._found:
            more = self._count - SHOWN_PROBLEMS
            raise ScenarioError("\n".join([*self._found, *([f"... and {more} more"] if more > 0 else [])]))


def _narrowed(model: type[BaseModel], key: Key, text: str) -> tuple[Key, str]:
    """A table says "name: what is wrong" about one of its keys: the name belongs to the key path."""
    table, colon, rest = text.partition(": ")
    name, dot, sysctl = table.partition(".")
    if colon and name in _fields_at(model, key):
        return (*key, name, *([sysctl] if dot else [])), rest
    return key, text


def _has(values: Any, key: Key) -> bool:
    for part in key:
        if not isinstance(values, Mapping) or part not in values:
            return False
        values = values[part]
    return True


def _fields_at(model: type[BaseModel], key: Key) -> list[str]:
    """Names that a table of the schema knows."""
    current: Any = model
    for part in key:
        if isinstance(current, type) and issubclass(current, BaseModel) and part in current.model_fields:
            current = current.model_fields[part].annotation
        while get_args(current):  # dict[str, X], tuple[X, ...], X | None: go on with X
            current = next((a for a in get_args(current) if isinstance(a, type) and issubclass(a, BaseModel)), object)
    return list(current.model_fields) if isinstance(current, type) and issubclass(current, BaseModel) else []


def _params(scenario: Scenario, base: Base | None, own: Mapping[str, Any]) -> Iterator[tuple[str, Param]]:
    """The Param behind each key that no layer of the user's sets."""
    if scenario.lifecycle is not None:
        return
    from_base = dict(base.values) if base else {}
    tables: list[tuple[Key, BaseModel]] = [((), scenario)]
    tables += [(("faults", name), table) for name, table in scenario.faults.items()]
    while tables:
        prefix, table = tables.pop(0)
        for name in type(table).model_fields:
            key = (*prefix, name)
            dotted = ".".join(key)
            param = from_base.get(dotted) or param_of(type(table), name)
            if param is not None and not _has(own, key):
                yield dotted, param
            elif param is None and isinstance(value := getattr(table, name), BaseModel):
                tables.append((key, value))


def _short(text: str, length: int = 80) -> str:
    return text if len(text) <= length else text[: length - 3] + "..."
