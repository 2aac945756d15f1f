"""The trace file, read back by Perfetto's own trace processor: what it shows, and what it complains about."""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from pathlib import Path

import pytest

from ksim.errors import TraceError
from ksim.report.perfetto import LATEST_NS, TraceBuilder
from tests.trace_processor import TraceProcessor, TraceProcessorError, query

COMPLAINTS = "SELECT name, severity, value FROM stats WHERE severity IN ('error', 'data_loss') AND value > 0"
ODD_NAME = 'disk "µ" \\ 😀'


def build() -> TraceBuilder:
    trace = TraceBuilder()
    trace.process(1, "host", sort_index=1)
    trace.process(2, ODD_NAME, sort_index=0)
    trace.thread(1, 1, "cpu 0", sort_index=0)
    trace.thread(1, 2, "cpu 1", sort_index=1)
    trace.thread(2, 1, "queue")  # the same tid as in the other process
    trace.slice(1, 1, "page fault", 1_001, 1_029, "mm", address=2**62, write=True)
    trace.slice(1, 1, "copy", 1_001, 1_010)
    trace.slice(1, 1, "syscall", 1_000, 2_000, "sys", number=-1, path="/a", share=0.5)
    trace.slice(1, 1, "next", 2_000, 2_000)
    trace.slice(1, 2, "wakes", 2_500, 3_000)
    trace.instant(1, 1, "oops", 1_005, reason="NULL")
    trace.instant(1, 1, "panic", 1_500, "p")
    trace.instant(1, 1, "power off", 3_000, "g")
    trace.counter(1, "memory", 0, free=3, used=1.5)
    trace.counter(1, "memory", 1_003, free=2, used=2.5)
    for i in range(3):
        trace.async_slice(2, "io", "read", f"request {i}", 100 * i, 100 * i + 250, sector=i)
    trace.async_slice(2, "io", "read", "request 0", 250, 300)  # begins as the other one ends
    trace.async_slice(2, "io", "merge", "request 0", 300, 300)
    trace.async_slice(2, "io", "dma", "request 1", 110, 350)  # inside, and ends with it
    trace.flow("wakeup", (1, 1, 1_005), (1, 2, 2_500))
    return trace


@pytest.fixture(scope="module")
def loaded(tmp_path_factory: pytest.TempPathFactory) -> TraceProcessor:
    path = tmp_path_factory.mktemp("trace") / "trace.json"
    build().write(path)
    return TraceProcessor(path)


def test_nothing_is_complained_about(loaded: TraceProcessor) -> None:
    assert loaded.query(COMPLAINTS) == []
    assert loaded.query("SELECT count(*) AS n FROM stats")[0]["n"] > 100  # the table is there, and full


def test_complaints_are_heard(tmp_path: Path) -> None:
    """The check above can fail: slices that cross, which TraceBuilder refuses, written by hand."""
    path = tmp_path / "bad.json"
    events = [{"ph": "X", "pid": 1, "tid": 1, "name": "a", "ts": ts, "dur": 10} for ts in (0, 5)]
    path.write_text(json.dumps({"traceEvents": events}), "utf-8")
    assert query(path, COMPLAINTS) != []
    with pytest.raises(TraceProcessorError, match="no such table"):
        query(path, "SELECT * FROM nowhere")


def test_tracks_have_their_names(loaded: TraceProcessor) -> None:
    processes = loaded.query("SELECT pid, name FROM process WHERE upid > 0 ORDER BY pid")
    assert processes == [{"pid": 1, "name": "host"}, {"pid": 2, "name": ODD_NAME}]
    threads = loaded.query(
        "SELECT pid, tid, t.name FROM thread t JOIN process USING (upid) WHERE t.name IS NOT NULL ORDER BY pid, tid"
    )
    assert [tuple(row.values()) for row in threads] == [(1, 1, "cpu 0"), (1, 2, "cpu 1"), (2, 1, "queue")]


def test_slices_and_instants_nest(loaded: TraceProcessor) -> None:
    rows = loaded.query(
        "SELECT s.name, s.ts, s.dur, s.depth, p.name AS parent, s.category FROM slice s JOIN thread_track tt "
        "ON s.track_id = tt.id JOIN thread t USING (utid) LEFT JOIN slice p ON s.parent_id = p.id "
        "WHERE t.name = 'cpu 0' ORDER BY s.ts, s.depth"
    )
    assert [tuple(row.values()) for row in rows] == [
        ("syscall", 1_000, 1_000, 0, None, "sys"),
        ("page fault", 1_001, 28, 1, "syscall", "mm"),
        ("copy", 1_001, 9, 2, "page fault", None),
        ("oops", 1_005, 0, 3, "copy", None),
        ("next", 2_000, 0, 0, None, None),
    ]
    wider = loaded.query("SELECT name, ts, dur FROM slice WHERE name IN ('panic', 'power off') ORDER BY ts")
    assert [tuple(row.values()) for row in wider] == [("panic", 1_500, 0), ("power off", 3_000, 0)]


def test_arguments_keep_type_and_value(loaded: TraceProcessor) -> None:
    rows = loaded.query(
        "SELECT a.key, coalesce(int_value, string_value, real_value) AS value, value_type AS kind "
        "FROM slice s JOIN args a USING (arg_set_id) WHERE s.name IN ('syscall', 'page fault') ORDER BY a.key"
    )
    assert [tuple(row.values()) for row in rows] == [
        ("args.address", 2**62, "int"),
        ("args.number", -1, "int"),
        ("args.path", "/a", "string"),
        ("args.share", 0.5, "real"),
        ("args.write", 1, "bool"),
    ]


def test_counters(loaded: TraceProcessor) -> None:
    rows = loaded.query(
        "SELECT t.name, p.name AS process, ts, value FROM counter c JOIN process_counter_track t ON c.track_id = t.id "
        "JOIN process p USING (upid) ORDER BY t.name, ts"
    )
    assert [tuple(row.values()) for row in rows] == [
        ("memory free", "host", 0, 3.0),
        ("memory free", "host", 1_003, 2.0),
        ("memory used", "host", 0, 1.5),
        ("memory used", "host", 1_003, 2.5),
    ]


def test_async_slices_may_overlap(loaded: TraceProcessor) -> None:
    rows = loaded.query(
        "SELECT s.name, ts, dur, depth, dense_rank() OVER (ORDER BY track_id) AS track FROM slice s "
        "WHERE category = 'io' ORDER BY track, ts, depth"
    )
    assert [tuple(row.values()) for row in rows] == [
        ("read", 0, 250, 0, 1),
        ("read", 250, 50, 0, 1),
        ("merge", 300, 0, 0, 1),
        ("read", 100, 250, 0, 2),
        ("dma", 110, 240, 1, 2),
        ("read", 200, 250, 0, 3),
    ]


def test_flow_joins_the_slices_that_were_open(loaded: TraceProcessor) -> None:
    rows = loaded.query(
        "SELECT a.name AS source, b.name AS target FROM flow f JOIN slice a ON f.slice_out = a.id "
        "JOIN slice b ON f.slice_in = b.id"
    )
    assert rows == [{"source": "copy", "target": "wakes"}]


def test_every_nanosecond_survives(tmp_path: Path) -> None:
    """Starts and lengths of all sizes up to the latest time that is accepted."""
    draw = random.Random(20261127)
    times = {*range(1_100), *range(LATEST_NS - 1_100, LATEST_NS + 1)}
    times |= {draw.randrange(2**bits) for bits in range(10, 52) for _ in range(100)}
    trace = TraceBuilder()
    trace.process(1, "host")
    trace.thread(1, 1, "cpu 0")
    for i, at_ns in enumerate(sorted(times)):
        trace.instant(1, 1, "now", at_ns)
        trace.async_slice(1, "long", "long", i, draw.randrange(at_ns + 1), at_ns)
    path = tmp_path / "trace.json"
    trace.write(path)
    processor = TraceProcessor(path)
    assert processor.query(COMPLAINTS) == []
    starts = processor.query("SELECT ts FROM slice WHERE name = 'now' ORDER BY ts")
    assert [row["ts"] for row in starts] == sorted(times)
    ends = processor.query("SELECT ts + dur AS end FROM slice WHERE name = 'long' ORDER BY 1")
    assert [row["end"] for row in ends] == sorted(times)


def test_complete_slices_keep_their_length(tmp_path: Path) -> None:
    trace = TraceBuilder()
    trace.process(1, "host")
    trace.thread(1, 1, "cpu 0")
    draw = random.Random(20261127)
    spans, at_ns = [], 0
    while at_ns < LATEST_NS // 2:
        start_ns = at_ns + draw.randrange(1 + at_ns // 50 + 100)
        at_ns = start_ns + draw.randrange(1 + at_ns // 50 + 100)
        spans.append((start_ns, at_ns))
        trace.slice(1, 1, "work", start_ns, at_ns)
    trace.write(tmp_path / "trace.json")
    rows = query(tmp_path / "trace.json", "SELECT ts, ts + dur AS end FROM slice ORDER BY ts, end")
    assert [(row["ts"], row["end"]) for row in rows] == sorted(spans)


# ---------------------------------------------------------------- without the trace processor


def test_text_is_the_same_for_any_order_of_calls() -> None:
    events: list[Callable[[TraceBuilder], None]] = [
        lambda trace: trace.slice(1, 1, "a", 0, 10),
        lambda trace: trace.slice(1, 1, "b", 0, 5),
        lambda trace: trace.async_slice(1, "io", "c", 1, 3, 9),
        lambda trace: trace.async_slice(1, "io", "d", 1, 9, 11),
        lambda trace: trace.counter(1, "e", 4, depth=1),
        lambda trace: trace.instant(1, 1, "f", 6),
    ]
    texts = set()
    for turn in range(len(events)):
        trace = TraceBuilder()
        trace.process(1, "host")
        trace.thread(1, 1, "cpu 0")
        for event in events[turn:] + events[:turn]:
            event(trace)
        assert json.loads(trace.text())["traceEvents"] == trace.events
        texts.add(trace.text())
    assert len(texts) == 1


BAD: dict[str, tuple[Callable[[TraceBuilder], object], str]] = {
    "ends early": (lambda t: t.slice(1, 1, "a", 5, 4), "'a' ends at 4 ns, before it starts at 5 ns"),
    "async ends early": (lambda t: t.async_slice(1, "io", "a", 1, 5, 4), "before it starts"),
    "flow back in time": (lambda t: t.flow("a", (1, 1, 5), (1, 1, 4)), "before it starts"),
    "no process": (lambda t: t.slice(3, 1, "a", 0, 1), r"no process 3: call process\(3, name\) first"),
    "no process of a thread": (lambda t: t.thread(3, 1, "a"), "no process 3"),
    "no thread": (lambda t: t.instant(1, 9, "a", 0), "no thread 9 in process 1"),
    "process twice": (lambda t: t.process(1, "a"), "process 1 is there already, as 'host'"),
    "thread twice": (lambda t: t.thread(1, 1, "a"), "thread 1 of process 1 is there already, as 'cpu 0'"),
    "pid 0": (lambda t: t.process(0, "a"), "a pid is an integer from 1"),
    "negative": (lambda t: t.instant(1, 1, "a", -1), "-1 ns is outside"),
    "late": (lambda t: t.instant(1, 1, "a", LATEST_NS + 1), "is outside"),
    "float": (lambda t: t.instant(1, 1, "a", 1.0), "integer nanoseconds, not 1.0"),  # type: ignore[arg-type]
    "scope": (lambda t: t.instant(1, 1, "a", 0, "x"), "scope is one of t, p, g"),
    "no value": (lambda t: t.counter(1, "a", 0), "has no value"),
    "NaN": (lambda t: t.counter(1, "a", 0, x=float("nan")), "x is a text, a finite number"),
    "text as value": (lambda t: t.counter(1, "a", 0, x="1"), "x is a number"),  # type: ignore[arg-type]
    "list": (lambda t: t.slice(1, 1, "a", 0, 1, x=[1]), "x is a text"),  # type: ignore[arg-type]
    "65 bits": (lambda t: t.slice(1, 1, "a", 0, 1, x=2**64), "64-bit"),
    "crossing": (
        lambda t: (t.slice(1, 1, "a", 0, 5), t.slice(1, 1, "b", 4, 6), t.text()),
        "thread 1 of process 1: 'b' .4 to 6 ns. starts inside 'a' and ends after it",
    ),
    "async crossing": (
        lambda t: (t.async_slice(1, "io", "a", 7, 0, 5), t.async_slice(1, "io", "b", 7, 4, 6), t.text()),
        "io 7 of process 1: 'b'",
    ),
    "flow from nothing": (
        lambda t: (t.slice(1, 1, "a", 0, 5), t.flow("f", (1, 1, 4), (1, 1, 5)), t.text()),
        "no slice of thread 1 of process 1 is open at 5 ns",
    ),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_events_are_refused(case: str) -> None:
    trace = TraceBuilder()
    trace.process(1, "host")
    trace.thread(1, 1, "cpu 0")
    act, message = BAD[case]
    with pytest.raises(TraceError, match=message):
        act(trace)


def test_arguments_may_have_any_name() -> None:
    trace = TraceBuilder()
    trace.process(1, "host")
    trace.thread(1, 1, "cpu 0")
    trace.slice(1, 1, "a", 0, 1, name="x", pid=7)
    assert trace.events[-1]["args"] == {"name": "x", "pid": 7}
