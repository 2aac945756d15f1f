"""What is wrong with a scenario, said once: file, line, key, what was expected, the nearest valid name."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any, get_args

from pydantic import BaseModel, ValidationError

from ksim.errors import ScenarioError, nearest
from ksim.model.layers import SHOWN_PROBLEMS, Key, Layer, short


class Problems:
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
        # the last layer that says most of the key: of a key that is missing, the table around it
        layer = max(reversed(self._layers), key=lambda layer: _depth(layer.values, key), default=None)
        self._found.append((f"{layer.where(key)}{said}" if layer else said).replace("\n", "\\n"))

    def add(self, error: ValidationError, model: type[BaseModel], prefix: Key = ()) -> None:
        for item in error.errors(include_url=False):
            if self._count >= SHOWN_PROBLEMS:
                self._count += 1  # a wrong file can have a hundred thousand of them
                continue
            key = tuple(str(part) for part in item["loc"])
            context = item.get("ctx", {})
            got = f", got {short(repr(item['input']))}"
            if item["type"] == "extra_forbidden":
                names = _fields_at(model, key[:-1])
                text = f"unknown key{nearest(key[-1], names)} (known here: {', '.join(names)})"
            elif item["type"] == "missing":
                text = "required, but not given"
            elif item["type"] == "value_error":
                key, text = _narrowed(model, key, str(context["error"]))
            elif item["type"] in ("model_type", "dict_type"):
                text = f"expected a table of keys{got}"
            elif item["type"] in ("tuple_type", "list_type"):
                text = f"expected a list{got}"
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


def has(values: Any, key: Key) -> bool:
    return _depth(values, key) == len(key)


def _depth(values: Any, key: Key) -> int:
    """How many parts of the key are there."""
    for depth, part in enumerate(key):
        if not isinstance(values, Mapping) or part not in values:
            return depth
        values = values[part]
    return len(key)


def _fields_at(model: type[BaseModel], key: Key) -> list[str]:
    """Names that a table of the schema knows."""
    current: Any = model
    for part in key:
        if isinstance(current, type) and issubclass(current, BaseModel) and part in current.model_fields:
            current = current.model_fields[part].annotation
        while get_args(current):  # dict[str, X], tuple[X, ...], X | None: go on with X
            current = next((a for a in get_args(current) if isinstance(a, type) and issubclass(a, BaseModel)), object)
    return list(current.model_fields) if isinstance(current, type) and issubclass(current, BaseModel) else []
