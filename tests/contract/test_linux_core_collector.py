"""core_collector lines as makedumpfile reads them, and what kdump makes of them in the capture kernel."""

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ksim.errors import LinuxError
from ksim.linux.core_collector import LEVEL_MAX, Collector, NotModelled, as_kdump_runs_it, parse_core_collector


def copy(program):
    return Collector("none", 0, 0, program=program)


@pytest.mark.parametrize(
    ("text", "collector"),
    [
        ("makedumpfile -l --message-level 7 -d 31", Collector("lzo", 31, 0)),
        ("makedumpfile -c --message-level 1 -d 31", Collector("zlib", 31, 0)),
        ("makedumpfile -p -d 17", Collector("snappy", 17, 0)),
        ("makedumpfile -z -d31 --num-threads=8", Collector("zstd", 31, 8)),
        ("makedumpfile -l -d 31 --num-threads 16", Collector("lzo", 31, 16)),
        ("makedumpfile -F -l --message-level 7 -d 31", Collector("lzo", 31, 0, flattened=True)),
        ("makedumpfile -l --message-level 7 -d 31 -F", Collector("lzo", 31, 0, flattened=True)),
        ("makedumpfile -l -d 11,31", Collector("lzo", 11, 0, (31,))),
        ("makedumpfile -d1,17,31", Collector("none", 1, 0, (17, 31))),
        ("makedumpfile -d 11,", Collector("none", 11, 0)),
        ("makedumpfile -L 1000000 -d 31", Collector("none", 31, 0, limit_bytes=1000000)),
        ("makedumpfile -L 20G -d 31", Collector("none", 31, 0, limit_bytes=20 * 2**30)),
        ("makedumpfile -L500m", Collector("none", 0, 0, limit_bytes=500 * 2**20)),
        ("makedumpfile -E -d 31", Collector("none", 31, 0, elf=True)),
        ("makedumpfile -e --work-dir /mnt -c -d 31", Collector("zlib", 31, 0, drops_unused=True)),
        ("makedumpfile -D --show-stats --work-dir=/mnt -d 31", Collector("none", 31, 0)),
        ("makedumpfile -c -l --message-level 1 -d 31", Collector("lzo", 31, 0)),
        ("makedumpfile -l -c", Collector("zlib", 0, 0)),
        ("makedumpfile -ld31", Collector("lzo", 31, 0)),
        ("makedumpfile --num-thr 4 --mess=1", Collector("none", 0, 4)),
        ("makedumpfile", Collector("none", 0, 0)),
        ("/usr/sbin/makedumpfile -d 1 -d 31", Collector("none", 31, 0)),
        ("core_collector makedumpfile -l -d 31", Collector("lzo", 31, 0)),
        ("cp", copy("cp")),
        ("dd", copy("dd")),
        ("scp", copy("scp")),
        ("cat", copy("cat")),
    ],
)
def test_core_collector(text, collector):
    assert parse_core_collector(text) == collector


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("makedumpfile -d 32", "from 0 to 31"),
        ("makedumpfile -d -1", "from 0 to 31"),
        ("makedumpfile -d", "-d needs a value"),
        ("makedumpfile -d 11,32", "from 0 to 31"),
        ("makedumpfile -d " + ",".join(["1"] * 33), "33 levels, expected at most 32"),
        ("makedumpfile -L 0 -d 31", "expected a size as 500M or 20G"),
        ("makedumpfile -L 1GB -d 31", "expected a size as 500M or 20G"),
        ("makedumpfile -L G", "expected a size as 500M or 20G"),
        ("makedumpfile -E -d 31 --num-threads 4", "-E (ELF) takes no threads"),
        ("makedumpfile -E -l", "-E (ELF) takes no compressor"),
        ("makedumpfile -e -c -d 31", "-e requires --work-dir"),
        ("makedumpfile --num-treads 4", "did you mean '--num-threads'"),
        ("makedumpfile --sp", "unknown option '--sp'"),
        ("makedumpfile --show-stats=1", "--show-stats takes no value"),
        ("makedumpfile --message-level 32", "from 0 to 31"),
        ("makedumpfile -q", "unknown option '-q'"),
        ("makedumpfile -l -d 31 /proc/vmcore", "unexpected '/proc/vmcore'"),
    ],
)
def test_what_makedumpfile_refuses(text, reason):
    with pytest.raises(LinuxError) as failure:
        parse_core_collector(text)
    assert reason in str(failure.value)
    assert str(failure.value).endswith(": makedumpfile refuses")
    assert not isinstance(failure.value, NotModelled)


@pytest.mark.parametrize(
    ("text", "read"),
    [
        ("makedumpfile -d dump_level=31", 0),
        ("makedumpfile -d 31x", 31),
        ("makedumpfile -d ''", 0),
        ("makedumpfile -d 0x1f", 0),
        ("makedumpfile --num-threads -4", 0),
        ("makedumpfile --num-threads $(nproc)", 0),
        ("makedumpfile --message-level x", 0),
    ],
)
def test_what_makedumpfile_would_silently_read_as_another_number(text, read):
    with pytest.raises(LinuxError, match=rf"expected a number from 0 .*; makedumpfile reads it as {read}\Z"):
        parse_core_collector(text)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "empty"),
        ("core_collector", "empty"),
        ("makedumpfile -l 'x", "No closing quotation"),
    ],
)
def test_no_command_at_all(text, reason):
    with pytest.raises(LinuxError, match=reason):
        parse_core_collector(text)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("makedumpfil -l", "did you mean 'makedumpfile'"),
        ("tar", "expected one of makedumpfile"),
        ("cp --sparse=always", "options of cp are not modelled yet"),
        *(
            (f"makedumpfile {option}", f"{option} of makedumpfile is not modelled yet")
            for option in (
                "-X", "-x", "-i", "-g", "-R", "-f", "-b", "-h", "-v", "--split", "--cyclic-buffer",
                "--dump-dmesg", "--partial-dmesg", "--mem-usage", "--dry-run", "--reassemble", "--config", "--eppic",
            )
        ),
        ("makedumpfile --dump", "--dump-dmesg of makedumpfile is not modelled yet"),
    ],
)  # fmt: skip
def test_what_kdump_would_run_and_ksim_cannot(text, reason):
    with pytest.raises(NotModelled) as failure:
        parse_core_collector(text)
    assert reason in str(failure.value)


@given(st.text(max_size=60))
def test_any_text_is_read_or_refused(text):
    for line in (text, f"makedumpfile {text}", f"makedumpfile -d {text}", f"makedumpfile -L {text}"):
        with contextlib.suppress(LinuxError):
            found = parse_core_collector(line)
            assert all(0 <= level <= LEVEL_MAX for level in found.levels)
            assert found.limit_bytes is None or found.limit_bytes > 0


@pytest.mark.parametrize(
    ("text", "cpus", "threads"),
    [
        ("makedumpfile -l -d 31", 1, 0),
        ("makedumpfile -l -d 31", 4, 4),
        ("makedumpfile -F -l -d 31", 4, 0),
        ("makedumpfile -E -d 31", 4, 0),
        ("makedumpfile -l -d 31 --num-threads 2", 4, 4),
        ("makedumpfile -l -d 31 --num-threads 8", 4, 4),
        ("cp", 4, 0),
        ("scp", 4, 0),
    ],
)
def test_threads_in_the_capture_kernel(text, cpus, threads):
    assert as_kdump_runs_it(parse_core_collector(text), cpus).threads == threads


def test_a_kdump_that_appends_nothing_leaves_the_number_alone():
    for extra, threads in (("", 0), (" --num-threads 2", 2), (" --num-threads 8", 4)):
        collector = parse_core_collector(f"makedumpfile -l -d 31{extra}")
        assert as_kdump_runs_it(collector, 4, appends_threads=False).threads == threads


@pytest.mark.parametrize(
    ("text", "kind", "flattened", "threads"),
    [
        ("makedumpfile -l -d 31", "root", False, 4),
        ("makedumpfile -l -d 31", "xfs", False, 4),
        ("makedumpfile -F -l -d 31", "xfs", False, 4),
        ("makedumpfile -F -l -d 31", "nfs", False, 4),
        ("makedumpfile -F -l -d 31", "ssh", True, 0),
        ("/usr/sbin/makedumpfile -l -d 31", "ssh", True, 0),
        ("/usr/sbin/makedumpfile -l -d 31", "raw", True, 0),
    ],
)
def test_the_target_decides_on_the_stream(text, kind, flattened, threads):
    """kdump.sh takes -F away, and puts it back for raw and ssh; only without it threads are added."""
    found = as_kdump_runs_it(parse_core_collector(text), 4, kind)
    assert (found.flattened, found.threads) == (flattened, threads)
