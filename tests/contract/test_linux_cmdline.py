"""The kernel command line: words, and what crashkernel= really reserves."""

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ksim.errors import LinuxError
from ksim.linux.cmdline import boot_parameters, crashkernel, crashkernel_request, memparse

MIB = 1 << 20
GIB = 1 << 30
TABLE = Path(__file__).parents[1] / "data" / "crashkernel_expected.jsonl"
ROWS = [row for row in map(json.loads, TABLE.read_text(encoding="utf-8").splitlines()) if "SOURCE" not in row]


@pytest.mark.parametrize("row", ROWS, ids=lambda row: f"{row['cmdline']} at {row['system_ram_mb']} MiB")
def test_request_is_what_the_kernel_parses(row):
    asked = crashkernel_request(row["cmdline"], row["system_ram_mb"] * MIB)
    status = "EINVAL" if asked.is_malformed else "ok" if asked.size else "none"
    low = asked.low // MIB if asked.high else None
    seen = (status, asked.size // MIB, asked.offset // MIB if asked.size else 0, asked.high, low)
    assert seen == tuple(row[key] for key in ("status", "expect_mb", "base_mb", "high", "low_mb"))


def test_table_covers_every_outcome():
    assert len(ROWS) >= 40
    assert {row["status"] for row in ROWS} == {"ok", "none", "EINVAL"}
    assert {row["high"] for row in ROWS} == {True, False}


@pytest.mark.parametrize(
    ("text", "value", "used"),
    [
        ("128M", 128 * MIB, 4),
        ("2g", 2 * GIB, 2),
        ("1T", 1 << 40, 2),
        ("1P", 1 << 50, 2),
        ("1e", 1 << 60, 2),
        ("7k", 7 << 10, 2),
        ("0x40000000", GIB, 10),
        ("0X10M", 16 * MIB, 5),
        ("010M", 8 * MIB, 4),
        ("0", 0, 1),
        ("09", 0, 1),
        ("0x", 0, 1),
        ("M", 0, 1),
        ("", 0, 0),
        ("auto", 0, 0),
        ("-1", 0, 0),
        ("512M,high", 512 * MIB, 4),
    ],
)
def test_memparse(text, value, used):
    assert memparse(text) == (value, used)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("auto", "auto is a RHEL 7/8 kernel patch, not upstream"),
        ("no", "memory value expected"),
        ("256M_", "unrecognized char: _"),
        ("1G-1536M:192M,2G-", "Memory value expected"),
        ("1G:192M", "'-' expected"),
        ("4G-2G:192M", "end <= start"),
        ("2G-2G:192M", "end <= start"),
        ("1G-4G192M:", "':' expected"),
        ("1G-:16G", "invalid size"),
        ("1G-:64M@x", "Memory value expected after '@'"),
        ("64Mb,high", "unrecognized char: b"),
    ],
)
def test_malformed_value_reserves_nothing_and_says_why(text, reason):
    seen = crashkernel(f"ro crashkernel={text} quiet", 1920 * MIB)
    assert (seen.bytes, seen.low_bytes, seen.text) == (0, 0, text)
    assert reason in seen.why


def test_no_parameter_is_not_malformed():
    seen = crashkernel("ro quiet", 8 * GIB)
    assert (seen.bytes, seen.text, seen.why) == (0, "", "no crashkernel= on the command line")


def test_last_plain_one_wins_and_beats_high():
    assert crashkernel("crashkernel=128M crashkernel=256M", 8 * GIB).bytes == 256 * MIB
    assert crashkernel("crashkernel=128M crashkernel=512M,high crashkernel=64M,low", 8 * GIB).bytes == 128 * MIB
    assert crashkernel("crashkernel=1G,high crashkernel=512M,high", 8 * GIB).bytes == 512 * MIB
    # A malformed plain one does not give way to ,high: only a missing one does.
    assert crashkernel("crashkernel=auto crashkernel=512M,high", 8 * GIB).bytes == 0


def test_search_is_by_substring_of_the_raw_line():
    assert crashkernel("xcrashkernel=128M", 8 * GIB).bytes == 128 * MIB
    assert crashkernel("init=/bin/sh -- crashkernel=128M", 8 * GIB).bytes == 128 * MIB
    assert crashkernel('crashkernel="128M"', 8 * GIB).bytes == 0


def test_other_parameters_with_ranges_do_not_matter():
    line = "kfence.booting_max=0-2G:0,2G-32G:2M,32G-:1G crashkernel=192M"
    assert crashkernel(line, 8 * GIB).bytes == 192 * MIB


def test_range_end_is_exclusive_and_ram_is_rounded_up_to_128_mib():
    line = "crashkernel=2G-4G:320M,4G-:512M"
    assert crashkernel(line, 4 * GIB - 128 * MIB).bytes == 320 * MIB
    assert crashkernel(line, 4 * GIB - 128 * MIB + 1).bytes == 512 * MIB


def test_low_part_of_high():
    assert crashkernel("crashkernel=512M,high", 64 * GIB).low_bytes == 256 * MIB
    assert crashkernel("crashkernel=512M,high crashkernel=72M,low", 64 * GIB).low_bytes == 72 * MIB
    assert crashkernel("crashkernel=512M,high crashkernel=0,low", 64 * GIB).low_bytes == 0
    assert crashkernel("crashkernel=512M,high crashkernel=x,low", 64 * GIB).bytes == 0
    assert crashkernel("crashkernel=72M,low", 64 * GIB).bytes == 0


def test_placement():
    # A small machine has nothing above 4 GiB: ,high falls back and needs no low part.
    small = crashkernel("crashkernel=512M,high", 2 * GIB)
    assert (small.bytes, small.low_bytes) == (512 * MIB, 0)
    # Too large for below 4 GiB: goes above and takes a low part.
    large = crashkernel("crashkernel=4G", 64 * GIB)
    assert (large.bytes, large.low_bytes) == (4 * GIB, 256 * MIB)
    assert crashkernel("crashkernel=4G", 4 * GIB + MIB).bytes == 0
    assert crashkernel("crashkernel=256M@1G", 2 * GIB).bytes == 256 * MIB
    assert crashkernel("crashkernel=256M@1G", 1 * GIB).bytes == 0
    assert crashkernel("crashkernel=256M@100T", 64 * GIB).bytes == 0


def test_cma_is_refused_and_not_ignored():
    with pytest.raises(LinuxError, match="not modelled yet"):
        crashkernel("crashkernel=128M crashkernel=1G,cma", 8 * GIB)


@given(st.text(alphabet='0123456789KMGTxX-:,@highlowauto ="', max_size=40), st.integers(0, 1 << 44))
def test_never_raises_and_never_takes_all_memory(text, ram):
    seen = crashkernel(f"crashkernel={text}", ram)
    assert 0 <= seen.bytes < max(ram, 1)
    assert seen.why


@given(st.integers(1, 1 << 40), st.integers(1, 1 << 40))
def test_more_memory_never_reserves_less_of_a_plain_size(one, other):
    small, large = sorted((one, other))
    assert crashkernel("crashkernel=256M", small).bytes <= crashkernel("crashkernel=256M", large).bytes


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("ro quiet", [("ro", None), ("quiet", None)]),
        ('a="b c" d', [("a", "b c"), ("d", None)]),
        ('"a=b c" d=', [("a", "b c"), ("d", "")]),
        ('dyndbg="file x +p; file y +p"  z\n', [("dyndbg", "file x +p; file y +p"), ("z", None)]),
        ("a=b=c", [("a", "b=c")]),
        ("=a", [("=a", None)]),
        ("a -- b=1", [("a", None)]),
        ('a="b', [("a", "b")]),
        ("  ", []),
    ],
)
def test_boot_parameters(line, words):
    assert boot_parameters(line) == words
