"""crashkernel=: the grammar, what is reserved on a machine, what the kernel prints, and real command lines."""

import itertools
import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ksim.linux.crashkernel import GIB, MIB, crashkernel, crashkernel_request
from ksim.linux.distro import PROFILES
from ksim.linux.sysctl import parse_release

DATA = Path(__file__).parents[1] / "data"
TABLE = DATA / "crashkernel_expected.jsonl"
ROWS = [row for row in map(json.loads, TABLE.read_text(encoding="utf-8").splitlines()) if "SOURCE" not in row]


@pytest.mark.parametrize("row", ROWS, ids=lambda row: f"{row['cmdline']} at {row['system_ram_mb']} MiB")
def test_request_is_what_the_kernel_parses(row):
    asked = crashkernel_request(row["cmdline"], row["system_ram_mb"] * MIB)
    status = "EINVAL" if asked.is_malformed else "ok" if asked.size else "none"
    low = asked.low // MIB if asked.high else None
    seen = (status, asked.size // MIB, asked.offset // MIB if asked.size else 0, asked.high, low)
    assert seen == tuple(row[key] for key in ("status", "expect_mb", "base_mb", "high", "low_mb"))


@pytest.mark.parametrize("row", ROWS, ids=lambda row: f"{row['cmdline']} at {row['system_ram_mb']} MiB")
def test_kernels_before_6_0_do_not_round_the_memory_up(row):
    """A size of all memory or more is still asked for by kernels before 6.12, and then not found."""
    ram = row["system_ram_mb"] * MIB
    asked = crashkernel_request(row["cmdline"], ram, (5, 19))
    assert (asked.size if asked.size < ram else 0) // MIB == row["expect_mb_without_128m_rounding"]


@pytest.mark.parametrize(("release", "mib"), [((5, 19), 256), ((6, 0), 512), ((6, 1), 512), ((6, 12), 512)])
def test_rounding_came_with_6_0(release, mib):
    """Linux 6.1 has it: 65535 MB of System RAM count as 64 GiB."""
    line = "crashkernel=1G-4G:192M,4G-64G:256M,64G-:512M"
    assert crashkernel(line, 65535 * MIB, release).bytes == mib * MIB


def test_table_covers_every_outcome():
    assert len(ROWS) == 662
    assert {row["status"] for row in ROWS} == {"ok", "none", "EINVAL"}
    assert {row["high"] for row in ROWS} == {True, False}


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


def test_why_nothing_is_reserved_in_words():
    """RAM below the first range, a low part alone, a range of nothing, all memory: each has its sentence."""
    ladder = crashkernel("crashkernel=2G-64G:256M,64G-:512M", GIB)
    assert ladder.why == "crashkernel=2G-64G:256M,64G-:512M: no range holds 1024 MiB of memory"
    assert ladder.message == "crashkernel size resulted in zero bytes"
    alone = crashkernel("crashkernel=512M,low", GIB)
    assert alone.why == "crashkernel=512M,low is ignored without a crashkernel=SIZE,high"
    assert crashkernel("crashkernel=0-2G:0,2G-:1G", GIB).why.endswith("asks for nothing at 1024 MiB of memory")
    everything = crashkernel("crashkernel=2G", 2 * GIB)
    assert "not less than all memory" in everything.why
    assert everything.message == ""
    assert crashkernel("crashkernel=2G", 2 * GIB, (6, 11)).message == "cannot allocate crashkernel (size:0x80000000)"


def test_no_parameter_is_not_malformed():
    seen = crashkernel("ro quiet", 8 * GIB)
    assert (seen.bytes, seen.text, seen.why) == (0, "", "no crashkernel= on the command line")


def test_last_plain_one_wins_and_beats_high():
    assert crashkernel("crashkernel=128M crashkernel=256M", 8 * GIB).bytes == 256 * MIB
    assert crashkernel("crashkernel=128M crashkernel=512M,high crashkernel=64M,low", 8 * GIB).bytes == 128 * MIB
    assert crashkernel("crashkernel=1G,high crashkernel=512M,high", 8 * GIB).bytes == 512 * MIB
    # A malformed plain one does not give way to ,high: only a missing one does.
    assert crashkernel("crashkernel=auto crashkernel=512M,high", 8 * GIB).bytes == 0


@pytest.mark.parametrize(
    ("line", "before", "since"),
    [
        ("crashkernel=auto crashkernel=512M,high", (512, 256), (0, 0)),
        ("crashkernel=auto crashkernel=512M,high crashkernel=72M,low", (512, 72), (0, 0)),
        ("crashkernel=32G-:1G crashkernel=512M,high", (512, 256), (0, 0)),
        ("crashkernel=auto crashkernel=x,high", (0, 0), (0, 0)),
        ("crashkernel=512M,high crashkernel=x,low", (512, 256), (0, 0)),
        ("crashkernel=4G crashkernel=72M,low", (4096, 72), (4096, 256)),
        ("crashkernel=256M@5G", (256, 256), (256, 0)),
        ("crashkernel=256M@5G crashkernel=0,low", (256, 0), (256, 0)),
        ("crashkernel=256M@1025M", (256, 0), (0, 0)),
        ("crashkernel=256M@1G crashkernel=512M,high", (256, 0), (256, 0)),
    ],
)
def test_what_changed_when_the_code_became_common_in_6_7(line, before, since):
    for release, mib in (((6, 1), before), ((6, 6), before), ((6, 7), since), ((6, 12), since)):
        found = crashkernel(line, 16 * GIB, release)
        assert (found.bytes // MIB, found.low_bytes // MIB) == mib, release


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


def test_cma_adds_to_another_value_since_6_17():
    line = "crashkernel=128M crashkernel=1G,cma"
    found = crashkernel(line, 8 * GIB, (6, 17))
    assert (found.bytes, found.cma_bytes, found.given_up_bytes) == (128 * MIB, GIB, 128 * MIB)
    assert "1024 MiB in CMA" in found.why
    alone = crashkernel("crashkernel=1G,cma", 8 * GIB, (6, 17))
    assert (alone.bytes, alone.cma_bytes) == (0, 0)
    assert "only adds" in alone.why
    assert crashkernel("crashkernel=4G-2G:1M crashkernel=1G,cma", 8 * GIB, (6, 17)).cma_bytes == 0


def test_cma_takes_up_to_four_ranges_and_the_number_of_a_malformed_value():
    found = crashkernel("crashkernel=256M crashkernel=3G,cma", 4 * GIB, (6, 17))
    # 1 GiB above 4 GiB and 2.75 GiB below: 1.5 GiB fits below, then 768 MiB twice
    assert found.cma_bytes == 3 * GIB
    assert found.message.splitlines()[1] == "crashkernel CMA reserved: 3072 MB in 3 ranges"
    short = crashkernel("crashkernel=256M crashkernel=4G,cma", GIB, (6, 17))
    assert 0 < short.cma_bytes < 768 * MIB + 1
    assert "crashkernel CMA reservation failed: 4096 MB requested, " in short.message
    assert crashkernel("crashkernel=256M crashkernel=1Gx,cma", 16 * GIB, (6, 17)).cma_bytes == GIB


def test_older_kernels_take_cma_for_a_plain_value_with_an_odd_character():
    found = crashkernel("crashkernel=128M crashkernel=1G,cma", 8 * GIB, (6, 12))
    assert (found.bytes, found.cma_bytes) == (0, 0)
    assert "unrecognized char: ," in found.why


@pytest.mark.parametrize(
    ("line", "ram", "release", "message"),
    [
        (
            "crashkernel=256M",
            16 * GIB,
            (6, 12),
            "crashkernel reserved: 0x00000000b0000000 - 0x00000000c0000000 (256 MB)",
        ),
        (
            "crashkernel=256M",
            16 * GIB,
            (6, 1),
            "Reserving 256MB of memory at 2816MB for crashkernel (System RAM: 16384MB)",
        ),
        ("crashkernel=4G", 4 * GIB + MIB, (6, 12), "cannot allocate crashkernel (size:0x100000000)"),
        ("crashkernel=256M@100T", 64 * GIB, (6, 12), "crashkernel reservation failed - memory is in use."),
        ("crashkernel=4G-2G:192M", 64 * GIB, (6, 12), "crashkernel: end <= start"),
        ("ro quiet", 64 * GIB, (6, 12), ""),
        ("crashkernel=auto", 64 * GIB, (6, 12), "crashkernel: memory value expected"),
        ("crashkernel=4G", 4 * GIB + MIB, (6, 1), "crashkernel reservation failed - No suitable area found."),
        (
            "crashkernel=512M,high crashkernel=72M,low",
            16 * GIB,
            (6, 12),
            "crashkernel low memory reserved: 0xbb000000 - 0xbf800000 (72 MB)\n"
            "crashkernel reserved: 0x0000000420000000 - 0x0000000440000000 (512 MB)",
        ),
        (
            "crashkernel=x crashkernel=512M,high",
            16 * GIB,
            (6, 1),
            "crashkernel: memory value expected\n"
            "Reserving 256MB of low memory at 2816MB for crashkernel (System low RAM: 3072MB)\n"
            "Reserving 512MB of memory at 16896MB for crashkernel (System RAM: 16384MB)",
        ),
        (
            "crashkernel=512M,high crashkernel=4G,low",
            16 * GIB,
            (6, 12),
            "cannot allocate crashkernel low memory (size:0x100000000).",
        ),
        (
            "crashkernel=512M,high crashkernel=4G,low",
            16 * GIB,
            (6, 1),
            "Cannot reserve 4096MB crashkernel low memory, please try smaller size.",
        ),
    ],
)
def test_what_the_kernel_prints_at_boot(line, ram, release, message):
    assert crashkernel(line, ram, release).message == message


@pytest.mark.parametrize(("distro", "ram_gib", "mib"), [
    ("rhel7", 1, 0), ("rhel7", 2, 160), ("rhel7", 1024, 224), ("rhel8", 2, 160), ("rhel8", 32, 192),
    ("rhel8", 1024, 512),
])  # fmt: skip
def test_auto_is_known_to_rhel_7_and_8_alone(distro, ram_gib, mib):
    ram = ram_gib * GIB
    assert crashkernel("crashkernel=auto", ram, auto=PROFILES[distro].auto).bytes == mib * MIB
    assert crashkernel("crashkernel=auto", ram, auto=PROFILES["rhel9"].auto).bytes == 0


def real(name):
    rows = (json.loads(line) for line in (DATA / name).read_text("utf-8").splitlines())
    return [row for row in rows if "SOURCE" not in row]


@pytest.mark.parametrize("row", real("cmdline_crashkernel.jsonl"), ids=lambda row: row["id"])
def test_command_lines_of_real_machines(row):
    """Every one is read, at every size of machine and by every kernel; what is not reserved has a reason."""
    for ram, release in itertools.product((512 * MIB, 4 * GIB, 64 * GIB, 6 << 40), ((5, 14), (6, 12), (7, 3))):
        found = crashkernel(row["cmdline"], ram, release)
        assert found.why
        assert found.text in (*row["crashkernel"], "") or "crashkernel" in found.text


OBSERVED = real("crashkernel_observed.jsonl")


@pytest.mark.parametrize("row", [r for r in OBSERVED if not r["not_comparable"]], ids=lambda row: row["id"])
def test_what_real_kernels_reserved(row):
    """Read by the kernel that printed it; where the log does not name it, by a RHEL kernel, which rounds up."""
    release = parse_release(row["kernel"]) if row["kernel"][:1].isdigit() else (6, 12)
    line = f"crashkernel={row['value'].removeprefix('crashkernel=')}"
    found = crashkernel(line, row["system_ram_mb"] * MIB, release, PROFILES["rhel8"].auto)
    assert found.bytes == row["reserved_mb"] * MIB


def test_every_other_observed_row_says_why_not():
    assert len(OBSERVED) == 15
    assert sum(not row["not_comparable"] for row in OBSERVED) == 8
    assert all(row["not_comparable"] or row["arch"] == "x86_64" for row in OBSERVED)


RELEASES = st.sampled_from([(4, 18), (5, 14), (6, 1), (6, 6), (6, 7), (6, 12), (6, 17), (7, 3)])


@given(st.text(alphabet='0123456789KMGTxX-:,@highlowcmauto ="', max_size=60), st.integers(0, 1 << 44), RELEASES)
def test_never_raises_and_never_takes_all_memory(text, ram, release):
    seen = crashkernel(f"crashkernel={text}", ram, release)
    assert 0 <= seen.bytes < max(ram, 1)
    assert seen.low_bytes >= 0
    assert seen.given_up_bytes + seen.cma_bytes <= max(ram, 0)
    assert seen.why


@given(st.integers(1, 1 << 40), st.integers(1, 1 << 40))
def test_more_memory_never_reserves_less_of_a_plain_size(one, other):
    small, large = sorted((one, other))
    assert crashkernel("crashkernel=256M", small).bytes <= crashkernel("crashkernel=256M", large).bytes
