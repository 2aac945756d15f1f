"""Dump level, compressor, threads and target, from 4 GiB to 16 TiB: dump time, size of the vmcore, outage.

And ksim's dump against published ones: each line of e05_published.csv is one number.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from itertools import product
from pathlib import Path
from typing import Any, NamedTuple

from ksim.linux.capture_memory import per_cpu_bytes
from ksim.model.loader import Loaded
from ksim.model.scenario import Scenario
from ksim.model.schema_linux import Capture
from ksim.report.claims import compared, is_prediction, member_of
from ksim.report.dump_figure import chart
from ksim.report.experiment import main
from ksim.report.rows import Row
from ksim.study.claims import ask, claims_of, findings_of, members_of
from ksim.study.compare import Study, row_of
from ksim.study.dumps import STAGES, dump_measures, waits_for
from ksim.study.experiment import Experiment, Point
from ksim.study.pool import Progress

FOLDER = Path(__file__).parent
MEMORY_GIB = (4, 16, 64, 256, 1024, 4096, 16384)
LEVELS = (0, 1, 17, 23, 31)
OPTIONS = {"none": "", "zlib": "-c ", "lzo": "-l ", "snappy": "-p ", "zstd": "-z "}
THREADS = (1, 4, 16, 32)
DISK_WRITE = {"hdd": 150e6, "nvme": 3e9}
"""B/s; nfs and ssh have the 1150 MB/s of the host's own network."""
TARGETS = (*DISK_WRITE, "nfs", "ssh")


class Setting(NamedTuple):
    """One alternative; its text is the strategy of its rows."""

    level: int
    compressor: str
    threads: int
    target: str

    def __str__(self) -> str:
        threads = "1 thread" if self.threads == 1 else f"{self.threads} threads"
        return f"-d {self.level}, {self.compressor}, {threads}, {self.target}"

    def of(self, scenario: Scenario) -> Scenario:
        """The scenario with it. kdump gives a stream for ssh no threads."""
        own = {"nfs": {"nfs": "server:/dumps"}, "ssh": {"ssh": "root@server"}}.get(self.target, {})
        how = "-F" if self.target == "ssh" else f"--num-threads {self.threads}"
        own["core_collector"] = f"makedumpfile {OPTIONS[self.compressor]}-d {self.level} {how}"
        rate = DISK_WRITE.get(self.target, scenario.host.disk_write)
        return scenario.model_copy(
            update={
                "kdump": scenario.kdump.model_copy(update=own),
                "host": scenario.host.model_copy(update={"disk_write": rate}),
                "capture": scenario.capture.model_copy(update={"append": f"nr_cpus={self.threads}"}),
            }
        )


SETTINGS = {
    str(setting): setting
    for setting in (Setting(*of) for of in product(LEVELS, OPTIONS, THREADS, TARGETS))
    if setting.target != "ssh" or setting.threads == 1
}
USUAL = Setting(31, "lzo", 1, "hdd")


def design(variants: Mapping[str, Loaded], workers: int | None, progress: Progress | None) -> Study:
    """Every setting on one host: its dump by stages, and what becomes of an outage, exactly."""
    (loaded,) = variants.values()
    rows: list[Row] = []
    for number, (name, setting) in enumerate(SETTINGS.items(), 1):
        rows += [row_of(loaded, name, *found) for found in dump_measures(setting.of(loaded.scenario))]
        if progress is not None:
            progress(number, len(SETTINGS))
    return Study(rows, {}, [], "variant")


def points() -> Iterator[Point]:
    """The design by memory, then one per scenario that published numbers are about."""
    for gib in MEMORY_GIB:
        parameters = {"model": "design", "member": f"{gib} GiB"}
        yield Point(parameters, (f"host.memory={gib} GiB",), observes=design)
    for (model, scenario, overrides), claims in members_of(claims_of(FOLDER / "e05_published.csv")).items():
        texts = [text.removeprefix("host.").removeprefix("kdump.core_collector=") for text in overrides]
        parameters = {"model": model, "member": "; ".join(texts)}
        path = str(FOLDER / "scenarios" / f"{scenario}.toml")
        yield Point(parameters, overrides, path, partial(ask, claims, walkers=()))


# ---------------------------------------------------------------- what it says


class Design:
    """The rows of the design, by memory in GiB, setting and measure."""

    def __init__(self, rows: Sequence[Row]) -> None:
        own = (row for row in rows if row["model"] == "design")
        self._found = {(row["member"], row["strategy"], row["measure"]): float(row["estimate"]) for row in own}

    def of(self, gib: int, setting: Setting, measure: str) -> float:
        return self._found[f"{gib} GiB", str(setting), measure]

    def bound(self, gib: int, setting: Setting) -> str:
        """What most of the dump's time goes into."""
        return waits_for({what: self.of(gib, setting, measure) for what, measure in STAGES.items()})

    def effect(self, of: Callable[[Setting], object], levels: Sequence[int] = LEVELS) -> tuple[float, str, str]:
        """How far the values of one choice lie apart in dump time, by geometric means over everything else.

        As (ratio, least, most), at 1 TiB. ssh has one thread: it counts only where targets are compared, and
        these at one thread.
        """
        by_target = of(USUAL) == USUAL.target
        kept = [s for s in SETTINGS.values() if (s.threads == 1 if by_target else s.target != "ssh")]
        logs: dict[object, list[float]] = {}
        for setting in kept:
            if setting.level in levels:
                logs.setdefault(of(setting), []).append(math.log(self.of(1024, setting, "dump_s")))
        means = {value: math.fsum(found) / len(found) for value, found in logs.items()}
        least, most = min(means, key=lambda v: means[v]), max(means, key=lambda v: means[v])
        return math.exp(means[most] - means[least]), str(least), str(most)


CHOICES: dict[str, Callable[[Setting], object]] = {
    "dump level": lambda s: s.level,
    "compressor": lambda s: s.compressor,
    "threads": lambda s: s.threads,
    "target": lambda s: s.target,
}


def finds(rows: Sequence[Row]) -> list[str]:
    """Which choice matters, where the knees are, what binds, what it costs; then the published numbers."""
    own = Design(rows)
    return [
        *_matters(own), _sizes(own), *_bounds(own), _knees(own), _compressors(own), _outages(own), _timeouts(own),
        _threads_cost(own), *_published(rows),
    ]  # fmt: skip


def _matters(own: Design) -> Iterator[str]:
    for levels, start in ((LEVELS, "From"), ((31,), "At -d 31, from")):
        parts = []
        for name, choice in CHOICES.items():
            ratio, least, most = own.effect(choice, levels)
            if least != most:
                parts.append((ratio, f"{ratio:.2g} by {name} ({least} to {most})"))
        listed = ", ".join(text for _, text in sorted(parts, reverse=True))
        yield f"{start} the best value to the worst, all else averaged, a dump takes so many times as long: {listed}."


def _sizes(own: Design) -> str:
    sizes = {level: own.of(1024, USUAL._replace(level=level), "vmcore_gb") for level in LEVELS}
    compressed = {name: own.of(1024, USUAL._replace(compressor=name), "vmcore_gb") for name in OPTIONS}
    return (
        f"The vmcore of 1 TiB with lzo: {', '.join(f'{gb:.3g} GB at -d {level}' for level, gb in sizes.items())}; at "
        f"-d 31 {', '.join(f'{gb:.3g} with {name}' for name, gb in compressed.items())}."
    )


def _bounds(own: Design) -> Iterator[str]:
    for level in (31, 1):
        kept = [s for s in SETTINGS.values() if s.level == level]
        counts = {what: sum(own.bound(1024, s) == what for s in kept) for what in ("scan", "compression", "target")}
        best, scan = min(own.of(1024, s, "dump_s") for s in kept), own.of(1024, kept[0], "scan_s")
        listed = ", ".join(f"{n} wait for the {what}" for what, n in counts.items())
        yield (
            f"-d {level}: of {len(kept)} settings {listed}; the fastest dump of 1 TiB takes {best:.3g} s, of which the "
            f"scan {scan:.3g} s."
        )


def _knees(own: Design) -> str:
    """Threads at which the target takes over from compression: beyond them more gain nothing."""
    parts = []
    for target in ("hdd", "nfs", "nvme"):
        knees = []
        for name in OPTIONS:
            one = Setting(1, name, 1, target)
            by_target = own.of(1024, one, "compress_s") / own.of(1024, one, "write_s")
            at_most = own.of(1024, one, "compress_s") / own.of(1024, one._replace(threads=THREADS[-1]), "compress_s")
            knees.append(f"{name} {max(1.0, min(by_target, at_most)):.2g}")
        parts.append(f"{target}: {', '.join(knees)}")
    return (
        f"The knee of --num-threads at -d 1, where the target, the plateau of all threads or their largest number ends "
        f"the gain: {'; '.join(parts)}. Every stage is in proportion to memory, so these hold for any memory."
    )


def _compressors(own: Design) -> str:
    parts, never = [], set(OPTIONS)
    for target in ("hdd", "nfs", "nvme"):
        best = []
        for threads in THREADS:
            times = {name: own.of(1024, Setting(1, name, threads, target), "dump_s") for name in OPTIONS}
            fastest = min(times, key=lambda name: times[name])
            never.discard(fastest)
            best.append(f"{fastest} at {threads}")
        parts.append(f"{target}: {', '.join(best)}")
    return (
        f"The fastest compressor at -d 1, by target and threads: {'; '.join(parts)}; never: "
        f"{', '.join(name for name in OPTIONS if name in never) or 'none'}."
    )


def _outages(own: Design) -> str:
    parts = []
    for gib in (4, 256, 4096, 16384):
        captured = {s: own.of(gib, s, "vmcore_captured") for s in SETTINGS.values() if s.level == 31}
        enough = [s for s, share in captured.items() if share >= 0.99 * max(captured.values())]
        lengths = {s: own.of(gib, s, "software_outage_s_mean") for s in enough}
        best = min(lengths, key=lambda s: lengths[s])
        usual = own.of(gib, USUAL, "software_outage_s_mean")
        parts.append(f"{gib} GiB: {usual:.4g} s, at best {lengths[best]:.4g} s ({best})")
    return (
        f"A software outage of the rack server with {USUAL}, and with that setting of -d 31 which is shortest among "
        f"those that lose no captures: {'; '.join(parts)}."
    )


def _timeouts(own: Design) -> str:
    parts = []
    for level in LEVELS:
        shares = {gib: own.of(gib, USUAL._replace(level=level), "vmcore_captured") for gib in MEMORY_GIB}
        most = max(shares.values())
        first = next((gib for gib, share in shares.items() if gib > 64 and share < 0.9 * most), None)
        parts.append(f"-d {level} " + ("nowhere" if first is None else f"from {first} GiB on ({shares[first]:.2g})"))
    return (
        f"Sites give a dump up after {Capture().timeout:g} s. With lzo, one thread and the hard disk that costs more "
        f"than a tenth of the captures (memory in steps of 4; share captured there): {', '.join(parts)}."
    )


def _threads_cost(own: Design) -> str:
    parts = []
    for gib in (4, 16, 64):
        shares = [own.of(gib, USUAL._replace(threads=n), "vmcore_captured") for n in THREADS]
        parts.append(f"{gib} GiB: {', '.join(f'{share:.2g}' for share in shares)}")
    return (
        f"Threads need crashkernel memory ({per_cpu_bytes(2) / 2**20:.2g} MiB for each CPU by Debian's estimate). "
        f"Share of panics with a vmcore at {', '.join(map(str, THREADS))} threads under the defaults of RHEL 9: "
        f"{'; '.join(parts)}."
    )


def _published(rows: Sequence[Row]) -> Iterator[str]:
    found = findings_of(_claims(rows), member_of)
    published = [f for f in found if f.is_reproduced is not None]
    same = [f for f in published if f.is_reproduced]
    worst = max((abs(f.difference or 0.0) for f in same), default=0.0)
    others = [
        f"{f.model} {f.quantity}{f' ({f.member})' if f.member else ''} {100.0 * (f.difference or 0.0):+.2g} %"
        for f in published
        if not f.is_reproduced
    ]
    free = [f for f in published if is_prediction(f)]
    right = [f for f in free if f.is_reproduced]
    yield (
        f"Published dumps: {len(same)} of {len(published)} numbers within 15 % (the largest difference among them "
        f"{100.0 * worst:.2g} %), {len(right)} of {len(free)} where nothing was fitted to them; beyond it: "
        f"{'; '.join(others) or 'none'}."
    )
    bounds = {(f.model, f.quantity): float(f.exact["estimate"]) for f in found if f.published is None and f.exact}
    times = [f.exact["estimate"] for f in found if f.model == "K8" and f.exact is not None]
    yield (
        f"Bounds that were published without a number to compare: a vmcore at -d 31 has "
        f"{100.0 * bounds['K1', 'vmcore, share of memory']:.2g} % of memory by the defaults (K1: often under 10 %); a "
        f"dump of 2 TiB takes {bounds['K13', 'dump']:.3g} s in the mean and exceeds 300 s with probability "
        f"{bounds['K13', 'P(dump longer than): 300 s']:.2g}, 1800 s with "
        f"{bounds['K13', 'P(dump longer than): 1800 s']:.1g} (K13: 300 s are not enough, sites set 1800 s); from 25 to "
        f"33 to 41 threads K8's dump goes from {times[3]:.3g} to {times[4]:.3g} to {times[5]:.3g} s (K9: the gain ends "
        f"at 16 to 32 threads)."
    )


def _claims(rows: Sequence[Row]) -> list[Row]:
    return [row for row in rows if row["model"] != "design"]


def tells(rows: Sequence[Row]) -> str:
    """The table of published numbers, then those that are not in it."""
    return f"## Published dumps\n\n{compared(_claims(rows))}\n{(FOLDER / 'e05_not_compared.md').read_text('utf-8')}"


def draws(rows: Sequence[Row], title: str) -> Any:
    """Dump times by threads with what they wait for, outages by memory, and the published numbers."""
    own = Design(rows)
    dumps = [
        {
            "level": f"-d {s.level}", "target": s.target, "compressor": s.compressor, "threads": s.threads,
            "s": own.of(1024, s, "dump_s"), "waits for": own.bound(1024, s),
        }
        for target, level in product(("nvme", "hdd"), (1, 23, 31))
        for s in SETTINGS.values()
        if (s.target, s.level) == (target, level)
    ]  # fmt: skip
    outages = [
        {"GiB": gib, "level": f"-d {level}", "s": own.of(gib, USUAL._replace(level=level), "software_outage_s_mean")}
        for level in LEVELS
        for gib in MEMORY_GIB
    ]
    return chart(dumps, outages, findings_of(_claims(rows), member_of), title)


EXPERIMENT = Experiment(
    name="e05_dump_level",
    question="What do dump level, compressor, threads and target cost?",
    scenarios=("rack-server",),
    expectation=(
        "The dump level decides, since it decides how much is read; at -d 31 little is left to compress, so that the "
        "scan soon binds and threads gain nothing, while at -d 0 or 1 one thread of any compressor is slower than the "
        "target and threads pay until the target or the plateau binds. zlib is never worth its time but on slow "
        "targets. Dumps of published machines come out within 15 %."
    ),
    points=tuple(points()),
    engine="exact",
    tells=tells,
    finds=finds,
    draws=draws,
)

if __name__ == "__main__":
    main(EXPERIMENT)
