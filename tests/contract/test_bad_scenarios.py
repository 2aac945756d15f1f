"""Scenario files at their worst, and a message for each way to be wrong.

Every message names the file, the line, the key path, what was expected and the nearest valid name; it is one
paragraph of printable text of moderate length, whatever the file holds (``message`` checks that).
"""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from ksim.model.layers import MAX_BYTES, MAX_DEPTH, MAX_FAULTS, MAX_NESTING
from ksim.model.loader import load
from tests.contract.scenario_files import message, write

BASE = 'extends = "vm"\n'
OOPS = BASE + "[faults.kernel_oops]\n"


@pytest.mark.parametrize(
    ("text", "line", "key", "expected"),
    [
        # names at each level
        (BASE + "horizn = 3\n", 2, "horizn", "did you mean 'horizon'"),
        (BASE + "[hst]\ncpus = 3\n", 2, "hst", "did you mean 'host'"),
        (BASE + "[host]\n\n  cpu = 3\n", 4, "host.cpu", "did you mean 'cpus'"),
        (BASE + "[host.boot]\ninitrt = '3 s'\n", 3, "host.boot.initrt", "did you mean 'initrd'"),
        (BASE + "host.boot.initrt = '3 s'\n", 2, "host.boot.initrt", "did you mean 'initrd'"),
        (BASE + "host = { boot = { initrt = '3 s' } }\n", 2, "host.boot.initrt", "did you mean 'initrd'"),
        (OOPS + "rat = '3 /y'\n", 3, "faults.kernel_oops.rat", "did you mean 'rate'"),
        (OOPS + "context = { proces = 1.0 }\n", 3, "faults.kernel_oops.context.proces", "did you mean 'process'"),
        (BASE + "[faults.x]\nkind = 'kernel_hung'\n", 3, "faults.x.kind", "did you mean 'kernel_hang'"),
        (BASE + "[faults.x]\nrate = '1 /y'\n", 2, "faults.x", "kind = ..."),
        (BASE + "[linux.sysctl]\n'kernel.panik' = 1\n", 3, "linux.sysctl.kernel.panik", "did you mean 'kernel.panic'"),
        (BASE + "[linux.sysctl]\nkernel.panik = 1\n", 3, "linux.sysctl.kernel.panik", "did you mean 'kernel.panic'"),
        (BASE + "[linux.sysctl.kernel]\npanik = 1\n", 3, "linux.sysctl.kernel.panik", "did you mean 'kernel.panic'"),
        (BASE + "[linux.sysctl]\nvm.nr_hugepages = 1\n", 3, "linux.sysctl.vm.nr_hugepages", "unknown sysctl"),
        (BASE + "[recovery]\nstrategy = 'kexecreboot'\n", 3, "recovery.strategy", "did you mean 'kexec_reboot'"),
        (BASE + "[linux]\ndistro = 'rehl9'\n", 3, "linux.distro", "did you mean 'rhel9'"),
        (BASE + "[kdump]\nfailure_action = 'powerof'\n", 3, "kdump.failure_action", "did you mean 'poweroff'"),
        # values
        (BASE + "[host]\nmemory = '3 GiBB'\n", 3, "host.memory", "did you mean 'GiB'"),
        (BASE + "[host]\nmemory = '3'\n", 3, "host.memory", "no unit"),
        (BASE + "[host]\nmemory = 3\n", 3, "host.memory", "not a size"),
        (BASE + "[host]\nmemory = '3 s'\n", 3, "host.memory", "unknown unit 's'"),
        (BASE + "[host]\nmemory = '1 MiB'\n", 3, "host.memory", "64 MiB"),
        (BASE + "[host]\nmemory = '1e9 TiB'\n", 3, "host.memory", "4096 TiB"),
        (BASE + "[host]\ncpus = 0\n", 3, "host.cpus", "1 to 8192"),
        (BASE + "[host]\ncpus = -1\n", 3, "host.cpus", "1 to 8192"),
        (BASE + "[host]\ncpus = true\n", 3, "host.cpus", "integer"),
        (BASE + "[host]\ncpus = '4'\n", 3, "host.cpus", "integer"),
        (BASE + "[host]\ncpus = 4.0\n", 3, "host.cpus", "integer"),
        (BASE + "[host]\ndisk_write = '0 B/s'\n", 3, "host.disk_write", "at least 1 kB/s"),
        (BASE + "[host]\nnetwork = '1e-300 B/s'\n", 3, "host.network", "at least 1 kB/s"),
        (BASE + "[host]\nwatchdog = 'never'\n", 3, "host.watchdog", "not a duration"),
        (BASE + "[host]\nboot = 3\n", 3, "host.boot", "table"),
        (BASE + "[[host]]\ncpus = 3\n", 2, "host", "table"),
        (BASE + "faults = 3\n", 2, "faults", "tables"),
        (BASE + "[[faults]]\nrate = '1 /y'\n", 2, "faults", "tables"),
        (BASE + "[faults]\nkernel_oops = 3\n", 3, "faults.kernel_oops", "table"),
        (BASE + "[faults.x]\nkind = []\n", 3, "faults.x.kind", "unknown fault source"),
        (BASE + "[faults.x]\nkind = {}\n", 3, "faults.x.kind", "unknown fault source"),
        (BASE + '[faults."a b"]\nkind = "kernel_oops"\n', 2, "faults.a b", "expected a name"),
        (OOPS + "rate = '-1 /y'\n", 3, "faults.kernel_oops.rate", "negative"),
        (OOPS + "rate = 1\n", 3, "faults.kernel_oops.rate", "not a rate"),
        (OOPS + "rate = '1 s'\n", 3, "faults.kernel_oops.rate", "unknown unit"),
        (OOPS + "rate = '1e9 /s'\n", 3, "faults.kernel_oops.rate", "1 /s"),
        (OOPS + "rate = '1e-300 /y'\n", 3, "faults.kernel_oops.rate", "1e-9 /y"),
        (OOPS + "rate = inf\n", 3, "faults.kernel_oops.rate", "not a rate"),
        (OOPS + "shape = 0\n", 3, "faults.kernel_oops.shape", "0.2 to 50"),
        (OOPS + "shape = nan\n", 3, "faults.kernel_oops.shape", "0.2 to 50"),
        (OOPS + "shape = true\n", 3, "faults.kernel_oops.shape", "number"),
        (OOPS + "context = { process = 0.5, nmi = 0.4 }\n", 3, "faults.kernel_oops.context", "sum to 0.9"),
        (OOPS + "context = { process = nan }\n", 3, "faults.kernel_oops.context.process", "probability"),
        (OOPS + "context = { process = true }\n", 3, "faults.kernel_oops.context.process", "probability"),
        (OOPS + "leaks_lock = -0.1\n", 3, "faults.kernel_oops.leaks_lock", "probability"),
        (OOPS + "detect = 'uniform(2 s, 1 s)'\n", 3, "faults.kernel_oops.detect", "lower < upper"),
        (OOPS + "detect = 'weibull(mean=1 s, shap=1)'\n", 3, "faults.kernel_oops.detect", "did you mean 'shape'"),
        (OOPS + "detect = 'lognormal(mean=1 s, sigma=5)'\n", 3, "faults.kernel_oops.detect", "between 0 and 4"),
        (OOPS + "detect = 'lognormal(mean=1 s, sigma=nan)'\n", 3, "faults.kernel_oops.detect", "between 0 and 4"),
        (OOPS + "detect = 'empirical()'\n", 3, "faults.kernel_oops.detect", "not a duration"),
        (OOPS + "detect = 'exponential(mean=0 s)'\n", 3, "faults.kernel_oops.detect", "longer than zero"),
        (OOPS + "detect = '__import__(os)'\n", 3, "faults.kernel_oops.detect", "unknown distribution"),
        (OOPS + "detect = []\n", 3, "faults.kernel_oops.detect", "not a duration"),
        (BASE + "[linux.sysctl]\nkernel.panic = true\n", 3, "linux.sysctl.kernel.panic", "integer"),
        (BASE + "[linux.sysctl]\nkernel.panic = 1.5\n", 3, "linux.sysctl.kernel.panic", "integer"),
        (BASE + "[linux.sysctl]\nkernel.panic = 'ten'\n", 3, "linux.sysctl.kernel.panic", "integer from"),
        (BASE + "[linux.sysctl]\nkernel.panic = 3000000000\n", 3, "linux.sysctl.kernel.panic", "integer from"),
        (BASE + "[linux.sysctl]\nkernel.panic = '" + 5000 * "9" + "'\n", 3, "linux.sysctl.kernel.panic", "integer"),
        (BASE + "[linux]\nsysctl = 3\n", 3, "linux.sysctl", "table"),
        (BASE + "[linux]\nrelease = 'six'\n", 3, "linux.release", "'6.12'"),
        (BASE + "[linux]\nrelease = 6.12\n", 3, "linux.release", "string"),
        (BASE + "[linux]\ncmdline = '" + 3000 * "x" + "'\n", 3, "linux.cmdline", "2048"),
        (BASE + "[kdump]\ncore_collector = 'makedumpfile -d 32'\n", 3, "kdump.core_collector", "0 to 31"),
        (BASE + "[kdump]\nforce_rebuild = 1\nforce_no_rebuild = 1\n", 2, "kdump", "both 1; kdump.service"),
        (BASE + "[kdump]\ndefault = 'shell'\nfailure_action = 'halt'\n", 2, "kdump", "its old name"),
        (BASE + "[kdump]\nfinal_action = 'shell'\n", 3, "kdump.final_action", "none of reboot, halt, poweroff"),
        (BASE + "[kdump]\nlink_delay = '60'\n", 3, "kdump.link_delay", "unknown key"),
        (BASE + "[kdump]\nraw = 'x'\ncore_collector = 'makedumpfile'\n", 4, "kdump.core_collector", "-F"),
        (BASE + "[linux.sysctl]\nkernel.panik = 1\n", 3, "linux.sysctl.kernel.panik", "cannot stat"),
        (BASE + "[linux.sysctl]\nkernel.panic_on_taint = 1\n", 3, "linux.sysctl.kernel.panic_on_taint", "boot"),
        (BASE + "[kdump]\ncore_collector = 'mkdumpfile'\n", 3, "kdump.core_collector", "did you mean 'makedumpfile'"),
        (BASE + "[kdump]\nnfs = 'a:/b'\nssh = 'c@d'\n", 4, "kdump.ssh", "only one dump target"),
        (BASE + "[capture]\ndump_sigma = 9\n", 3, "capture.dump_sigma", "0 to 4"),
        (BASE + "[capture]\nappend = '" + 3000 * "x" + "'\n", 3, "capture.append", "2048"),
        (BASE + "[recovery]\ncrashes_again = 1.0\n", 3, "recovery.crashes_again", "at most 0.99"),
        (BASE + "[capture.memory]\nsigma = 3.0\n", 3, "capture.memory.sigma", "0 to 2"),
        (BASE + "[workload]\nprocesses = 0\n", 3, "workload.processes", "1 to 10000000"),
        (BASE + "[host]\nhypervisor = 'xen'\n", 3, "host.hypervisor", "'kvm'"),
        (BASE + "[capture]\nsuccess = '0.9'\n", 3, "capture.success", "probability"),
        (BASE + "seed = -1\n", 2, "seed", "greater than or equal to 0"),
        (BASE + "seed = 18446744073709551616\n", 2, "seed", "less than"),
        (BASE + "seed = 1.5\n", 2, "seed", "integer"),
        (BASE + "seed = true\n", 2, "seed", "integer"),
        (BASE + "seed = 1979-05-27\n", 2, "seed", "integer"),
        (BASE + "replications = 0\n", 2, "replications", "greater than or equal to 1"),
        (BASE + "replications = true\n", 2, "replications", "integer"),
        (BASE + "confidence = 1\n", 2, "confidence", "0.999999"),
        (BASE + "confidence = true\n", 2, "confidence", "number"),
        (BASE + "confidence = nan\n", 2, "confidence", "0.999999"),
        (BASE + "horizon = 0\n", 2, "horizon", "longer than zero"),
        (BASE + "horizon = '0 s'\n", 2, "horizon", "longer than zero"),
        (BASE + "horizon = '1e9 y'\n", 2, "horizon", "at most 100000 y"),
        (BASE + "horizon = '1e-320 ns'\n", 2, "horizon", "longer than zero"),
        (BASE + "horizon = 10\n", 2, "horizon", "not a duration"),
        (BASE + "name = ''\n", 2, "name", "printable"),
        (BASE + "name = '   '\n", 2, "name", "printable"),
        (BASE + 'name = "a\\nb"\n', 2, "name", "printable"),
        (BASE + "name = 3\n", 2, "name", "printable"),
        (BASE + f"name = '{81 * 'x'}'\n", 2, "name", "80"),
        (BASE + "[lifecycle]\nentry = 'a'\n", 2, "lifecycle", "base"),
        ("extends = 3\n", 1, "extends", "name of a base"),
        ("extends = ''\n", 1, "extends", "name of a base"),
        ("extends = ['vm']\n", 1, "extends", "name of a base"),
        ("seed = 3\nextends = 'rack-sever'\n", 2, "extends", "did you mean 'rack-server'"),
        ("extends = '.'\n", 1, "extends", "cannot read"),
        ('extends = "a\\u0000b"\n', 1, "extends", "cannot read"),
    ],
)  # fmt: skip
def test_file_line_key_and_what_was_expected(text: str, line: int, key: str, expected: str, tmp_path: Path) -> None:
    path = write(tmp_path, text)
    found = message(path)
    assert found.startswith(f"{path}:{line}: {key}: "), found
    assert expected in found, found


def test_several_problems_are_told_at_once_and_not_too_many(tmp_path: Path) -> None:
    found = message(write(tmp_path, BASE + "horizn = 1\nsed = 2\n[host]\ncpu = 1\n"))
    assert len(found.split("\n")) == 3
    many = message(write(tmp_path, BASE + "".join(f"a{i} = 1\n" for i in range(30))))
    assert many.split("\n")[-1] == "... and 22 more"


def test_the_message_names_the_layer_that_said_it(tmp_path: Path) -> None:
    inner = write(tmp_path, BASE + "seed = 1\n[host]\ncpus = 0\n", "inner.toml")
    top = write(tmp_path, 'extends = "inner.toml"\nseed = 2\n')
    assert message(top).startswith(f"{inner}:4: host.cpus: ")
    assert message(top, "host.cpus=-3").startswith("--set: host.cpus: ")
    assert load(top, ["host.cpus=3"]).scenario.host.cpus == 3, "a later layer mends an earlier one"


def test_a_message_in_another_order_of_lines_keeps_its_line(tmp_path: Path) -> None:
    text = '# comment = 1\nextends = "vm"\n\n[kexec]  # jump\njump = """\n3 s\n"""\nsuccess = 2\n'
    assert message(write(tmp_path, text.replace("3 s", "3 parsec"))).startswith(f"{tmp_path}/s.toml:5: kexec.jump: ")


# ---------------------------------------------------------------- files that are no scenarios


def test_a_huge_file_is_refused_at_once(tmp_path: Path) -> None:
    with (tmp_path / "huge.toml").open("wb") as file:
        file.truncate(100 * 2**20)
    start = time.process_time()
    assert "larger than 1 MiB" in message(str(tmp_path / "huge.toml"))
    assert time.process_time() - start < 1.0
    write(tmp_path, BASE + "#" * (MAX_BYTES - len(BASE)), "just.toml")
    assert load(str(tmp_path / "just.toml")).scenario.name == "just"


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (b"", "no fault source has a rate"),
        (b"\n\n# nothing\n", "no fault source has a rate"),
        (bytes(range(256)), "UTF-8"),
        (b"\x7fELF\x02\x01\x01" + bytes(100), "not valid TOML"),
        (b'a = 1\nb = "\xff"\n', ":2: not a text file in UTF-8"),
        (b"seed = 1\x00\n", "not valid TOML"),
        ("extends = 'vm'".encode("utf-16"), "UTF-8"),
        (b"seed = 1\nseed = 2\n", "not valid TOML"),
        (b"[host]\n[host]\n", "not valid TOML"),
        (b"seed = \n", "line 1"),
        (b"a = " + b"[" * 10000, "nested too deeply"),
        (b"a = " + b"{a=" * 10000, "nested too deeply"),
        (b"a = " + b"[" * 40 + b"]" * 40, "nested too deeply"),
        (b"[" + b".".join([b"a"] * 10000) + b"]\n", "nested too deeply"),
        (b"[host." + b".".join([b"a"] * 100000) + b"]\n", "nested too deeply"),
        (b"linux.sysctl." + b".".join([b"a"] * 100000) + b" = 1\n", "nested too deeply"),
        (b"seed = " + b"9" * 5000, "hundreds of digits"),
        (b"seed = 0x" + b"f" * 5000, "hundreds of digits"),
        (b"seed = [{a = [" + b"9" * 400 + b"]}]", "hundreds of digits"),
    ],
)
def test_content_that_is_no_scenario(content: bytes, expected: str, tmp_path: Path) -> None:
    start = time.process_time()
    found = message(write(tmp_path, content))
    assert time.process_time() - start < 2.0
    assert expected in found
    assert str(tmp_path) in found


def test_a_byte_order_mark_and_windows_lines_are_fine(tmp_path: Path) -> None:
    path = write(tmp_path, b"\xef\xbb\xbf" + (BASE + "seed = 3\n[host]\ncpus = 2\n").replace("\n", "\r\n").encode())
    assert load(path).scenario.seed == 3


def test_nesting_up_to_the_limit_is_read(tmp_path: Path) -> None:
    path = write(tmp_path, BASE + "a." * (MAX_NESTING - 3) + "a = 1\n")
    assert "unknown key" in message(path)


def test_a_hundred_thousand_wrong_keys_take_no_minute(tmp_path: Path) -> None:
    path = write(tmp_path, BASE + "".join(f"k{i}=1\n" for i in range(90_000)))
    start = time.process_time()
    assert message(path).endswith("... and 89992 more")
    assert time.process_time() - start < 15.0


def test_names_with_control_characters_do_not_reach_the_terminal(tmp_path: Path) -> None:
    assert "\\x1b" in message(write(tmp_path, BASE + '"\\u001b[31m" = 1\n'))
    assert "\\n\\n" in message(write(tmp_path, BASE + '"a\\n\\nb" = 1\n'))


def test_too_many_faults(tmp_path: Path) -> None:
    tables = "".join(f'[faults.f{i}]\nkind = "kernel_oops"\n' for i in range(MAX_FAULTS + 1))
    assert f"at most {MAX_FAULTS}" in message(write(tmp_path, BASE + tables))


@pytest.mark.parametrize("name", ["running", "panic", "dump", "firmware", "silent", "initrd", "capture_boot"])
def test_a_fault_cannot_take_the_name_of_a_node(name: str) -> None:
    """It would have replaced the node, and the numbers would have been wrong without a word."""
    assert f"'{name}'" in message("vm", f'faults.{name}={{kind="kernel_oops", rate="1 /y"}}')


def test_files_that_cannot_be_read(tmp_path: Path) -> None:
    for path in (str(tmp_path), "", ".", "/", str(tmp_path / "none.toml"), "x" * 300, "x" * 5000, "a\0b", "vm/x"):
        assert "cannot read scenario" in message(path)
    assert "did you mean 'rack-server'" in message("rack_server")
    assert "large-memory, rack-server, vm" in message("nothing-like-it")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_permission_denied(tmp_path: Path) -> None:
    path = write(tmp_path, BASE)
    Path(path).chmod(0)
    assert "Permission denied" in message(path)


def test_extends_that_never_ends(tmp_path: Path) -> None:
    own = write(tmp_path, 'extends = "own.toml"\n', "own.toml")
    assert message(own).startswith(f"{own}:1: extends: ")
    assert "circle" in message(own)
    for i in range(MAX_DEPTH + 1):
        write(tmp_path, f'extends = "f{i + 1}.toml"\n', f"f{i}.toml")
    write(tmp_path, BASE, f"f{MAX_DEPTH + 1}.toml")
    assert f"more than {MAX_DEPTH} files deep" in message(str(tmp_path / "f0.toml"))
    assert load(str(tmp_path / "f3.toml")).scenario.seed == 7
    (tmp_path / "a").mkdir()
    write(tmp_path, 'extends = "../a/./y.toml"\n', "a/x.toml")
    write(tmp_path, 'extends = "../a/x.toml"\n', "a/y.toml")
    assert "circle: x.toml -> y.toml -> x.toml" in message(str(tmp_path / "a" / "x.toml"))
