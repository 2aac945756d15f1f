"""The ``core_collector`` line of kdump.conf: which program writes the dump, and with which options.

Follows makedumpfile.c (main, parse_dump_level, check_param_for_creating_dumpfile) and makedumpfile(8) of 1.7,
kdump.sh (get_kdump_confs) and kdump.conf(5) of kdump-utils.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Literal

from ksim.errors import LinuxError, nearest
from ksim.linux.cmdline import memparse

CompressorName = Literal["none", "zlib", "lzo", "snappy", "zstd"]
LEVEL_MAX = 31
LEVELS_MAX = 32
STREAM_TARGETS = ("raw", "ssh")
"""Targets that take a stream: makedumpfile has to flatten its file (``-F``), nothing can seek in it."""


class NotModelled(LinuxError):
    """kdump would run this collector, and ksim does not know what it would cost."""


@dataclass(frozen=True, slots=True)
class Collector:
    """A core_collector: compressor, dump level 0..31, threads (0 and 1 both mean one after the other).

    ``more_levels`` are tried in turn after ENOSPC (``-d 11,31``) or at ``limit_bytes`` (``-L``). ``flattened``: a
    stream for ssh and raw targets (``-F``). ``elf``: ``-E``. ``drops_unused``: ``-e`` leaves out the struct pages
    of pages that are left out. ``non_mmap``: memory is read by read() of /proc/vmcore, as on kernels before 3.11.
    ``program`` is makedumpfile or a plain copy (cp, ...).
    """

    compressor: CompressorName
    level: int
    threads: int
    more_levels: tuple[int, ...] = ()
    limit_bytes: int | None = None
    flattened: bool = False
    elf: bool = False
    drops_unused: bool = False
    non_mmap: bool = False
    program: str = "makedumpfile"

    @property
    def levels(self) -> tuple[int, ...]:
        return (self.level, *self.more_levels)


_COMPRESS_FLAGS: Mapping[str, CompressorName] = {"-c": "zlib", "-l": "lzo", "-p": "snappy", "-z": "zstd"}
_PLAIN_COPIES = ("cat", "cp", "dd", "scp")
_SWITCHES = {"-F": "flattened", "-E": "elf", "-e": "drops_unused", "--non-mmap": "non_mmap"}
_ONLY_TALK = ("-D", "--show-stats")
_VALUES = ("-d", "-L", "--message-level", "--num-threads", "--work-dir")
_MODELLED = (*_COMPRESS_FLAGS, *_SWITCHES, *_ONLY_TALK, *_VALUES)
_NOT_MODELLED = (
    *(f"-{letter}" for letter in "bfghiRvXx"), "--check-params", "--config", "--cyclic-buffer", "--diskset",
    "--dry-run", "--dump-dmesg", "--eppic", "--extension", "--help", "--mem-usage", "--partial-dmesg",
    "--reassemble", "--split", "--splitblock-size", "--vtop", "--xen-syms", "--xen-vmcoreinfo", "--xen_phys_start",
)  # fmt: skip
_LONG = tuple(name for name in (*_MODELLED, *_NOT_MODELLED) if name.startswith("--"))


def parse_core_collector(text: str) -> Collector:
    """Reads the value of ``core_collector`` in kdump.conf: ``makedumpfile -l --message-level 7 -d 31``.

    As getopt_long: ``-d31``, ``-ld31``, ``--num-threads=4`` and ``--num-thr 4`` are fine and of two compressors the
    last one counts. ``cat``, ``cp``, ``dd`` and ``scp`` copy everything: level 0, no compression, one thread.
    ``--message-level``, ``--show-stats``, ``-D`` and ``--work-dir`` change neither bytes nor seconds; ``-F`` changes
    where the bytes go and not how many.

    Raises LinuxError for what makedumpfile refuses (``-E`` with a compressor or threads) or would silently read
    as another number, and NotModelled for options that change the dump in a way that ksim does not know.
    """
    words = _split(text)
    program = words[0].rpartition("/")[2]
    if program in _PLAIN_COPIES:
        if words[1:]:
            raise NotModelled(f"core_collector '{text}': options of {program} are not modelled yet")
        return Collector("none", 0, 0, program=program)
    if program != "makedumpfile":
        known = ("makedumpfile", *_PLAIN_COPIES)
        hint = nearest(program, known) or f" (expected one of {', '.join(known)})"
        raise NotModelled(f"unknown core_collector '{program}': kdump would run it, ksim cannot{hint}")
    found = Collector("none", 0, 0)
    has_work_dir = False
    for option, value in _options(words[1:], text):
        if option in _COMPRESS_FLAGS:
            found = replace(found, compressor=_COMPRESS_FLAGS[option])
        elif option == "-d":
            level, *more = _levels(value, text)
            found = replace(found, level=level, more_levels=tuple(more))
        elif option == "-L":
            found = replace(found, limit_bytes=_size(value, text))
        elif option in _SWITCHES:
            found = replace(found, **{_SWITCHES[option]: True})  # type: ignore[arg-type]
        elif option == "--num-threads":
            found = replace(found, threads=_number(option, value, None, text))
        elif option == "--message-level":
            _number(option, value, 31, text)
        has_work_dir |= option == "--work-dir"
    if found.elf and (found.compressor != "none" or found.threads):
        what = "threads" if found.compressor == "none" else "compressor"
        raise _refused(f"-E (ELF) takes no {what}", text)
    if found.drops_unused and not has_work_dir:
        raise _refused("-e requires --work-dir (a bitmap of all memory is written there)", text)
    return found


def as_kdump_runs_it(
    collector: Collector, capture_cpus: int, target_kind: str = "", *, appends_threads: bool = True
) -> Collector:
    """The collector with the threads that it really gets in a capture kernel of so many CPUs.

    ``appends_threads``: kdump-utils since November 2024 appends ``--num-threads=$(nproc)`` where there is more than
    one CPU, unless the stream is flattened or ELF; a number that was given before it counts no more. More threads than
    CPUs help nobody. ``target_kind`` (of KdumpConf): kdump adds ``-F`` for raw and ssh and takes it away for the rest
    (kdump-utils kdump.sh; makedumpfile.8). A plain copy stays as it is.
    """
    if collector.program != "makedumpfile":
        return collector
    flattened = target_kind in STREAM_TARGETS if target_kind else collector.flattened
    threads = collector.threads
    if appends_threads and capture_cpus > 1 and not (flattened or collector.elf):
        threads = capture_cpus
    return replace(collector, flattened=flattened, threads=min(threads, capture_cpus))


def _split(text: str) -> list[str]:
    try:
        words = shlex.split(text)
    except ValueError as error:
        raise LinuxError(f"core_collector '{text}': {error}") from None
    if words[:1] == ["core_collector"]:
        words = words[1:]
    if not words:
        raise LinuxError("core_collector is empty (write for example 'makedumpfile -l -d 31')")
    return words


def _options(words: list[str], text: str) -> list[tuple[str, str]]:
    """(option, value or "") in the order of the line: "-c", "-d" or "--num-threads"."""
    found: list[tuple[str, str]] = []
    waiting = list(reversed(words))
    while waiting:
        word = waiting.pop()
        if not word.startswith("-") or word in ("-", "--"):
            raise _refused(f"unexpected '{word}' (kdump adds file names itself)", text)
        if word.startswith("--"):
            name, equals, value = word.partition("=")
            name = _known(name, text)
            if name not in _VALUES and equals:
                raise _refused(f"{name} takes no value", text)
            found.append((name, value if equals or name not in _VALUES else _following(name, waiting, text)))
            continue
        letters = word[1:]
        for at, letter in enumerate(letters):
            name = _known(f"-{letter}", text)
            if name in _VALUES:
                found.append((name, letters[at + 1 :] or _following(name, waiting, text)))
                break
            found.append((name, ""))
    return found


def _known(option: str, text: str) -> str:
    """The full name; getopt_long() takes a long one that is cut short, where it fits only one."""
    if option not in _LONG and option.startswith("--"):
        longer = [name for name in _LONG if name.startswith(option)]
        option = longer[0] if len(longer) == 1 else option
    if option in _MODELLED:
        return option
    if option in _NOT_MODELLED:
        raise NotModelled(f"core_collector '{text}': {option} of makedumpfile is not modelled yet")
    raise _refused(f"unknown option '{option}'{nearest(option, _MODELLED)}", text)


def _refused(why: str, text: str) -> LinuxError:
    return LinuxError(f"core_collector '{text}': {why}: makedumpfile refuses")


def _following(option: str, waiting: list[str], text: str) -> str:
    if not waiting:
        raise _refused(f"{option} needs a value", text)
    return waiting.pop()


def _levels(value: str, text: str) -> list[int]:
    """strtok() skips empty parts: ``11,`` is one level."""
    parts = [part for part in value.split(",") if part] or [""]
    if len(parts) > LEVELS_MAX:
        raise _refused(f"-d lists {len(parts)} levels, expected at most {LEVELS_MAX}", text)
    return [_number("-d", part, LEVEL_MAX, text) for part in parts]


def _size(value: str, text: str) -> int:
    size, end = memparse(value)
    if end != len(value) or not size or not value[:1].isdigit():
        raise _refused(f"-L '{value}': expected a size as 500M or 20G", text)
    return size


def _number(option: str, value: str, high: int | None, text: str) -> int:
    """A number as atoi() reads it; what is no number becomes 0 there, silently, so it is refused here."""
    start = re.match(r"\s*[+-]?[0-9]{1,9}(?![0-9])", value)
    read = int(start[0]) if start else 0
    if option == "--num-threads":
        read = max(read, 0)
    expected = f"expected a number from 0 {'on' if high is None else f'to {high}'}"
    if read < 0 or (high is not None and read > high):
        raise _refused(f"{option} '{value}', {expected}", text)
    if not re.fullmatch(r"[0-9]{1,9}", value):
        raise LinuxError(f"core_collector '{text}': {option} '{value}': {expected}; makedumpfile reads it as {read}")
    return read
