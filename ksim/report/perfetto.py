"""A run as a trace: Chrome trace JSON, which opens in Perfetto's interface (ui.perfetto.dev; offline, ``vizviewer``).

A track is a process (a machine, a device) or one of its threads (a CPU, a task). On it lie slices, which must nest;
instants; counters; async slices, which may overlap because each request has an ident of its own; and arrows from
one slice to another. All times are integer nanoseconds from the start of the run; the file holds microseconds with
up to three decimals, and the viewer gets the same integers back (``tests/contract/test_perfetto.py`` asks it).
The text depends only on the calls made and, for events that begin together, on their order.
"""

from __future__ import annotations

import bisect
import json
import math
from pathlib import Path
from typing import Any

from ksim.errors import TraceError, nearest

Value = str | int | float | bool
LATEST_NS = 2**51
"""About 26 days. The viewer multiplies a double by 1000, which gives every integer back only up to here."""

SCOPES = {"t": "thread", "p": "process", "g": "global"}
# Order at one point in time: what ends makes room for what begins; arrows then find their slice open, and come before
# the instants, which would catch them.
END, BEGIN, ARROW, MARK = range(4)
Lane = tuple[str | int, ...]


class TraceBuilder:
    """Takes events in any order; ``text`` and ``write`` give the file. Raises TraceError for what no viewer shows."""

    def __init__(self) -> None:
        self._processes: dict[int, list[dict[str, Any]]] = {}
        self._threads: dict[tuple[int, int], list[dict[str, Any]]] = {}
        self._timed: list[tuple[int, int, int, int, dict[str, Any]]] = []  # at_ns, END.., tie, call, event
        self._slices: dict[Lane, list[tuple[int, int, int, str]]] = {}  # start_ns, -end_ns, call, name
        self._ends_of_flows: list[tuple[Lane, int, str]] = []

    # ------------------------------------------------------------ tracks

    def process(self, pid: int, name: str, sort_index: int | None = None) -> None:
        """A group of tracks; ``pid`` from 1. Chrome's viewer goes by ``sort_index``, Perfetto's v52 does not."""
        if pid in self._processes:
            raise TraceError(f"process {pid} is there already, as '{name_of(self._processes[pid])}'")
        self._processes[pid] = _header("process", {"pid": number(pid, "pid")}, name, sort_index)

    def thread(self, pid: int, tid: int, name: str, sort_index: int | None = None) -> None:
        """A track of a known process; ``tid`` from 1, once in its process (another process may use it too)."""
        self._known(pid)
        if (pid, tid) in self._threads:
            raise TraceError(f"thread {tid} of process {pid} is there already, as '{name_of(self._threads[pid, tid])}'")
        self._threads[pid, tid] = _header("thread", {"pid": pid, "tid": number(tid, "tid")}, name, sort_index)

    # ------------------------------------------------------------ events

    def slice(
        self, pid: int, tid: int, name: str, /, start_ns: int, end_ns: int, category: str = "", **args: Value
    ) -> None:
        """What a thread does from start to end. Slices of one thread lie inside or beside each other."""
        self._known(pid, tid)
        span(name, start_ns, end_ns)
        self._slices.setdefault(("thread", pid, tid), []).append((start_ns, -end_ns, len(self._timed), name))
        event = {"ph": "X", "pid": pid, "tid": tid, "name": name, "cat": category, "ts": us(start_ns)}
        self._add(start_ns, BEGIN, -end_ns, {**event, "dur": us(end_ns - start_ns)}, args)

    def instant(self, pid: int, tid: int, name: str, /, at_ns: int, scope: str = "t", **args: Value) -> None:
        """A mark at one time, drawn over its thread (scope "t"), its process ("p") or everything ("g")."""
        self._known(pid, tid)
        if scope not in SCOPES:
            raise TraceError(f"instant '{name}': scope is one of {', '.join(SCOPES)}, not '{scope}'")
        event = {"ph": "i", "pid": pid, "tid": tid, "name": name, "s": scope, "ts": us(moment(name, at_ns))}
        self._add(at_ns, MARK, 0, event, args)

    def counter(self, pid: int, name: str, /, at_ns: int, **values: float) -> None:
        """Values that hold from now on. Each key is a track of its own, called "name key"."""
        self._known(pid)
        if not values:
            raise TraceError(f"counter '{name}' has no value")
        for key, value in values.items():
            if isinstance(value, bool | str):
                raise TraceError(f"counter '{name}': {key} is a number, not {value!r}")
        event = {"ph": "C", "pid": pid, "name": name, "ts": us(moment(name, at_ns))}
        self._add(at_ns, MARK, 0, event, values)

    def async_slice(
        self, pid: int, category: str, name: str, ident: int | str, /, start_ns: int, end_ns: int, **args: Value
    ) -> None:
        """A request in a queue: may overlap others of the process. Those of one category and ident must nest."""
        self._known(pid)
        span(name, start_ns, end_ns)
        lane = ("async", pid, category, str(ident))
        self._slices.setdefault(lane, []).append((start_ns, -end_ns, len(self._timed), name))
        event = {"pid": pid, "tid": 0, "name": name, "cat": category, "id2": {"local": str(ident)}}
        self._add(start_ns, BEGIN, -end_ns, {"ph": "b", **event, "ts": us(start_ns)}, args)
        # A slice of no length ends right after its own beginning, all others before anything begins.
        when = (BEGIN, -end_ns) if start_ns == end_ns else (END, -start_ns)
        self._add(end_ns, *when, {"ph": "e", **event, "ts": us(end_ns)}, {})

    def flow(self, name: str, source: tuple[int, int, int], target: tuple[int, int, int], category: str = "") -> None:
        """An arrow between two slices, each given by (pid, tid, a time in ns at which the slice is open)."""
        ident = len(self._ends_of_flows) // 2 + 1
        if source[2] > target[2]:
            raise TraceError(f"flow '{name}' ends at {target[2]} ns, before it starts at {source[2]} ns")
        for phase, (pid, tid, at_ns) in (("s", source), ("f", target)):
            self._known(pid, tid)
            self._ends_of_flows.append((("thread", pid, tid), moment(name, at_ns), name))
            event = {"ph": phase, "pid": pid, "tid": tid, "name": name, "cat": category, "id": ident, "ts": us(at_ns)}
            self._add(at_ns, ARROW, 0, event | ({"bp": "e"} if phase == "f" else {}), {})

    # ------------------------------------------------------------ results

    @property
    def events(self) -> list[dict[str, Any]]:
        """All events as they stand in the file: names of tracks first, then by time. Checks that slices nest."""
        self._check()
        headers = [*sorted(self._processes.items()), *sorted(self._threads.items())]
        timed = sorted(self._timed, key=lambda entry: entry[:4])
        return [event for _, group in headers for event in group] + [entry[-1] for entry in timed]

    def text(self) -> str:
        """The file, one event on a line."""
        lines = [json.dumps(event, ensure_ascii=False, allow_nan=False) for event in self.events]
        return '{"displayTimeUnit": "ns", "traceEvents": [\n' + ",\n".join(lines) + "\n]}\n"

    def write(self, path: Path | str) -> None:
        Path(path).write_text(self.text(), "utf-8", newline="\n")

    # ------------------------------------------------------------ checks

    def _add(self, at_ns: int, order: int, tie: int, event: dict[str, Any], args: dict[str, Any]) -> None:
        for key, value in args.items():
            finite = not isinstance(value, float) or math.isfinite(value)
            if not isinstance(value, Value) or not finite or (isinstance(value, int) and abs(value) >= 2**63):
                raise TraceError(
                    f"'{event['name']}': {key} is a text, a finite number or a 64-bit integer, not {value!r}"
                )
        if event.get("cat") == "":
            del event["cat"]
        self._timed.append((at_ns, order, tie, len(self._timed), event | ({"args": args} if args else {})))

    def _known(self, pid: int, tid: int | None = None) -> None:
        if pid not in self._processes:
            raise TraceError(f"no process {pid}: call process({pid}, name) first{_hint(pid, self._processes)}")
        if tid is not None and (pid, tid) not in self._threads:
            known = [other for owner, other in self._threads if owner == pid]
            raise TraceError(
                f"no thread {tid} in process {pid}: call thread({pid}, {tid}, name) first{_hint(tid, known)}"
            )

    def _check(self) -> None:
        """Viewers drop or cut a slice that crosses another, and an arrow that starts at nothing."""
        outermost: dict[Lane, list[tuple[int, int]]] = {}
        for lane, slices in self._slices.items():
            around: list[tuple[int, str]] = []
            top = outermost[lane] = []
            for start_ns, minus_end_ns, _, name in sorted(slices):
                while around and around[-1][0] <= start_ns:
                    around.pop()
                if around and around[-1][0] < -minus_end_ns:
                    raise TraceError(
                        f"{_lane(lane)}: '{name}' ({start_ns} to {-minus_end_ns} ns) starts inside "
                        f"'{around[-1][1]}' and ends after it ({around[-1][0]} ns)"
                    )
                if not around:
                    top.append((start_ns, -minus_end_ns))
                around.append((-minus_end_ns, name))
        for lane, at_ns, name in self._ends_of_flows:
            top = outermost.get(lane, [])
            place = bisect.bisect_right(top, at_ns, key=lambda slice_: slice_[0]) - 1
            if place < 0 or top[place][1] <= at_ns:
                raise TraceError(f"flow '{name}': no slice of {_lane(lane)} is open at {at_ns} ns")


def us(time_ns: int) -> float:
    """Microseconds; written to JSON, this is the exact decimal with up to three places (below 2**51 ns)."""
    return time_ns / 1000


def moment(name: str, at_ns: int) -> int:
    if isinstance(at_ns, bool) or not isinstance(at_ns, int):
        raise TraceError(f"'{name}': times are integer nanoseconds, not {at_ns!r}")
    if not 0 <= at_ns <= LATEST_NS:
        raise TraceError(f"'{name}': {at_ns} ns is outside 0 to {LATEST_NS} ns, where a viewer keeps times exactly")
    return at_ns


def span(name: str, start_ns: int, end_ns: int) -> None:
    if moment(name, end_ns) < moment(name, start_ns):
        raise TraceError(f"'{name}' ends at {end_ns} ns, before it starts at {start_ns} ns")


def number(value: int, what: str) -> int:
    # Viewers take 0 for the idle task, and keep 32 bits.
    if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value < 2**31:
        raise TraceError(f"a {what} is an integer from 1 to 2147483647, not {value!r}")
    return value


def name_of(header: list[dict[str, Any]]) -> str:
    return str(header[0]["args"]["name"])


def _header(kind: str, owner: dict[str, int], name: str, sort_index: int | None) -> list[dict[str, Any]]:
    said: list[tuple[str, dict[str, Value]]] = [(f"{kind}_name", {"name": name})]
    if sort_index is not None:
        said.append((f"{kind}_sort_index", {"sort_index": sort_index}))
    return [{"ph": "M", **owner, "name": what, "args": args} for what, args in said]


def _lane(lane: Lane) -> str:
    kind, pid, *rest = lane
    return f"thread {rest[0]} of process {pid}" if kind == "thread" else f"{rest[0]} {rest[1]} of process {pid}"


def _hint(wanted: int, known: Any) -> str:
    return nearest(str(wanted), map(str, known))
