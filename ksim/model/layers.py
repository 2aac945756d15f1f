"""The layers of a scenario as they come in: files with ``extends``, and overrides of the command line."""

from __future__ import annotations

import os.path
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from ksim.errors import ScenarioError, nearest
from ksim.model.base import Base, shipped
from ksim.model.scenario import Scenario

MAX_BYTES = 2**20
"""A scenario is written by hand; anything larger is a wrong file."""
MAX_DEPTH = 16
MAX_NESTING = 32
"""Tables in tables: a scenario needs six levels. Everything below here may recurse."""
MAX_FAULTS = 64
SHOWN_PROBLEMS = 8
SHOWN_LETTERS = 500

SYSCTLS = ("kernel", "vm")
"""Overrides that begin with these are sysctls: ``--set kernel.panic=10`` is linux.sysctl.kernel.panic."""

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


def read_layers(name: str) -> tuple[list[Layer], Base | None]:
    bases = shipped()
    layers: list[Layer] = []
    seen: list[Path] = []
    where = ""
    path = Path(name)
    while True:
        if name in bases and not os.path.isfile(path):
            return layers[::-1], bases[name]
        layer = _scenario(path, name, where)
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


def _scenario(path: Path, name: str, where: str) -> Layer:
    try:
        return read_toml(path)
    except OSError as error:
        bases = shipped()
        raise ScenarioError(
            f"{where}{'extends: ' if where else ''}cannot read scenario '{short(name)}': {reason_of(error)} "
            f"(a path to a .toml file, or one of {', '.join(bases)}){nearest(name[:200], bases)}"
        ) from None


def reason_of(error: OSError) -> str:
    """What the system says of a file that cannot be read."""
    return error.strerror or str(error)


def read_toml(path: Path) -> Layer:
    """A file of ours as a layer. Raises OSError where it cannot be read, ScenarioError where it makes no sense."""
    origin = str(path)
    try:
        with path.open("rb") as file:
            raw = file.read(MAX_BYTES + 1)
    except ValueError as error:  # a NUL in the name
        raise OSError(str(error)) from None
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
    return Layer(origin, flat_sysctl(values), _lines(text))


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
                found.setdefault(one_sysctl(table), number)
        elif "=" in stripped and not stripped.startswith("#"):
            head = _path(stripped.partition("=")[0] + " = 0")
            for length in range(1, len(head) + 1):
                found.setdefault(one_sysctl(table + head[:length]), number)
    return found


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


def one_sysctl(path: Key) -> Key:
    """The name of a sysctl is one key, however its dots were written."""
    return (*path[:2], ".".join(path[2:])) if path[:2] == ("linux", "sysctl") and len(path) > 2 else path


def override(text: str) -> dict[str, Any]:
    """``KEY=VALUE``: the value as TOML if it is TOML, else as text. Sysctl names need no quotes."""
    key, equals, value = text.partition("=")
    if not text.isascii() and text.encode(errors="ignore").decode() != text:
        raise ScenarioError(f"--set {short(ascii(text))}: not a text in UTF-8")
    if not equals or not key.strip():
        raise ScenarioError(f"--set {short(text)!r}: expected KEY=VALUE (for example host.memory='512 GiB')")
    path = _path(f"{key} = 0") if key.count(".") <= MAX_NESTING else ()
    if not path:
        raise ScenarioError(f"--set {short(text)!r}: '{short(key)}' is no key (for example faults.kernel_oops.rate)")
    if path[0] in SYSCTLS and len(path) > 1:
        path = ("linux", "sysctl", *path)
    path = one_sysctl(path)
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


def readable(text: str) -> str:
    """A message as one paragraph of short lines: names and values in it come from a file that may hold anything."""
    lines = ("".join(c if c.isprintable() else ascii(c)[1:-1] for c in line) for line in text.split("\n"))
    return "\n".join(short(line, SHOWN_LETTERS) for line in lines if line.strip())


def short(text: str, length: int = 80) -> str:
    return text if len(text) <= length else text[: length - 3] + "..."


def flat_sysctl(values: Mapping[str, Any]) -> dict[str, Any]:
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


def merge(into: dict[str, Any], values: Mapping[str, Any]) -> None:
    for key, value in values.items():
        if isinstance(value, Mapping) and isinstance(into.get(key), dict):
            merge(into[key], value)
        else:
            into[key] = _copy(value)


def _copy(value: Any) -> Any:
    return {key: _copy(inner) for key, inner in value.items()} if isinstance(value, Mapping) else value
