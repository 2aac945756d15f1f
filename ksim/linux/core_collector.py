"""The ``core_collector`` line of kdump.conf: which program writes the dump, and with which options.

Follows makedumpfile.c (main, parse_dump_level) and makedumpfile(8) of 1.7, kdump.conf(5) of kdump-utils.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Literal

from ksim.errors import LinuxError, nearest

CompressorName = Literal["none", "zlib", "lzo", "snappy", "zstd"]
LEVEL_MAX = 31


@dataclass(frozen=True, slots=True)
class Collector:
    """A core_collector: compressor, dump level 0..31, threads (0 and 1 both mean one after the other).

    ``more_levels`` are tried in turn after ENOSPC (``-d 11,31``) or at ``limit_bytes`` (``-L``). ``flattened``: a
    stream for ssh and raw targets (``-F``). ``elf``: ``-E``. ``drops_unused``: ``-e`` leaves out the struct pages
    of pages that are left out.
    """

    compressor: CompressorName
    level: int
    threads: int
    more_levels: tuple[int, ...] = ()
    limit_bytes: int | None = None
    flattened: bool = False
    elf: bool = False
    drops_unused: bool = False

    @property
    def levels(self) -> tuple[int, ...]:
        return (self.level, *self.more_levels)


_COMPRESS_FLAGS: Mapping[str, CompressorName] = {"c": "zlib", "l": "lzo", "p": "snappy", "z": "zstd"}
_PLAIN_COPIES = ("cp", "dd", "scp")
_LONG_OPTIONS = ("--message-level", "--num-threads")
_SWITCHES = {"F": "flattened", "E": "elf", "e": "drops_unused"}
_NOT_MODELLED = frozenset(
    [*(f"-{letter}" for letter in "DRXbfghivx")]
    + ["--check-params", "--config", "--cyclic-buffer", "--diskset", "--dry-run", "--dump-dmesg", "--eppic"]
    + [
        "--extension",
        "--mem-usage",
        "--non-mmap",
        "--partial-dmesg",
        "--reassemble",
        "--show-stats",
        "--split",
    ]
    + ["--splitblock-size", "--vtop", "--work-dir", "--xen-syms", "--xen-vmcoreinfo", "--xen_phys_start"]
)


def parse_core_collector(text: str) -> Collector:
    """Reads the value of ``core_collector`` in kdump.conf: ``makedumpfile -l --message-level 7 -d 31``.

    As getopt: ``-d31``, ``-ld31`` and ``--num-threads=4`` are fine and of two compressors the last one
    counts. ``cp``, ``dd`` and ``scp`` copy everything: level 0, no compression, one thread.
    ``--message-level`` is checked, it changes only what is printed. ``-F`` changes where the bytes go and not how
    many.

    Raises LinuxError for what makedumpfile refuses (``-E`` with a compressor or threads) or would silently read
    as 0, and for options that change the dump in a way that is not modelled, such as ``--split``.
    """
    words = _split(text)
    program = words[0].rpartition("/")[2]
    if program in _PLAIN_COPIES:
        if words[1:]:
            raise LinuxError(f"core_collector '{text}': options of {program} are not modelled yet")
        return Collector("none", 0, 0)
    if program != "makedumpfile":
        known = ("makedumpfile", *_PLAIN_COPIES)
        hint = nearest(program, known) or f" (expected one of {', '.join(known)})"
        raise LinuxError(f"unknown core_collector '{program}'{hint}")
    found = Collector("none", 0, 0)
    for option, value in _options(words[1:], text):
        if option in _COMPRESS_FLAGS:
            found = replace(found, compressor=_COMPRESS_FLAGS[option])
        elif option == "d":
            level, *more = _levels(value, text)
            found = replace(found, level=level, more_levels=tuple(more))
        elif option == "L":
            found = replace(found, limit_bytes=_number("-L", value, 1, None, text))
        elif option in _SWITCHES:
            found = replace(found, **{_SWITCHES[option]: True})  # type: ignore[arg-type]
        elif option == "--num-threads":
            found = replace(found, threads=_number(option, value, 0, None, text))
        elif option == "--message-level":
            _number(option, value, 0, 31, text)
    if found.elf and (found.compressor != "none" or found.threads):
        what = "threads" if found.compressor == "none" else "a compressor"
        raise LinuxError(
            f"core_collector '{text}': -E (ELF) takes no {what.removeprefix('a ')}: makedumpfile refuses, and every "
            f"dump fails"
        )
    return found


def as_kdump_runs_it(collector: Collector, capture_cpus: int) -> Collector:
    """The collector with the threads that it really gets in a capture kernel of so many CPUs.

    Since November 2024 kdump appends ``--num-threads=$(nproc)`` where there is more than one CPU, unless the
    stream is flattened or ELF. More threads than CPUs help nobody (kdump-utils kdump.sh; makedumpfile.8).
    """
    threads = collector.threads
    if not threads and capture_cpus > 1 and not (collector.flattened or collector.elf):
        threads = capture_cpus
    return replace(collector, threads=min(threads, capture_cpus))


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
    """(option, value or "") in the order of the line: "c", "d" or "--num-threads"."""
    found: list[tuple[str, str]] = []
    waiting = list(reversed(words))
    while waiting:
        word = waiting.pop()
        if not word.startswith("-") or word == "-":
            raise LinuxError(f"core_collector '{text}': unexpected '{word}' (kdump adds file names itself)")
        if word.startswith("--"):
            name, equals, value = word.partition("=")
            if name not in _LONG_OPTIONS:
                raise _unknown(name, text)
            found.append((name, value if equals else _following(name, waiting, text)))
            continue
        letters = word[1:]
        for at, letter in enumerate(letters):
            if letter in "dL":
                found.append((letter, letters[at + 1 :] or _following(f"-{letter}", waiting, text)))
                break
            if letter not in _COMPRESS_FLAGS and letter not in _SWITCHES:
                raise _unknown(f"-{letter}", text)
            found.append((letter, ""))
    return found


def _following(option: str, waiting: list[str], text: str) -> str:
    if not waiting:
        raise LinuxError(f"core_collector '{text}': {option} needs a value")
    return waiting.pop()


def _unknown(option: str, text: str) -> LinuxError:
    if option in _NOT_MODELLED:
        return LinuxError(f"core_collector '{text}': {option} of makedumpfile is not modelled yet")
    known = (*_LONG_OPTIONS, *(f"-{letter}" for letter in (*_COMPRESS_FLAGS, "d", "L", *_SWITCHES)))
    return LinuxError(f"core_collector '{text}': unknown option '{option}'{nearest(option, known)}")


def _levels(value: str, text: str) -> list[int]:
    return [_number("-d", part, 0, LEVEL_MAX, text) for part in value.split(",")]


def _number(option: str, value: str, low: int, high: int | None, text: str) -> int:
    number = int(value) if re.fullmatch(r"-?[0-9]{1,9}", value) else None
    if number is None or number < low or (high is not None and number > high):
        expected = f"a number from {low} to {high}" if high is not None else f"a number from {low} on"
        raise LinuxError(f"core_collector '{text}': {option} {value!r}: expected {expected}")
    return number
