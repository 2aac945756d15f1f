"""Values at the ends of what the grammar takes, in every key: refused, or solved without a warning and without NaN.

``test_bad_input`` makes files wrong; here each file is well formed and each value has the right type, which gets much
further: into the graph, the quadrature of races and the elimination.
"""

from __future__ import annotations

import json
import tempfile
import warnings
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from ksim.errors import NotSolvable, ScenarioError
from ksim.exact.solve import Solution
from ksim.model.compose import lifecycle, recovery_strategies
from ksim.model.loader import Loaded, load
from ksim.study import measures
from ksim.study.tails import tails

LAWS = st.sampled_from(
    ["0", "0 s", "1e-300 s", "1 ns", "1 s", "3 min", "1e9 y", "empirical(0 s)", "empirical(0 s, 1e9 y)",
     "empirical(1 s, 1 s, 2 s)", "uniform(0 s, 1e9 y)", "uniform(1 s, 1.0000000000000002 s)", "loguniform(1 ns, 1e9 y)",
     "loguniform(1e-300 s, 1e9 y)", "loguniform(1 s, 1.0000000000000002 s)", "exponential(mean=1e9 y)",
     "exponential(mean=1e-300 s)", "exponential(mean=1 ns)", "lognormal(mean=1 s, sigma=4)",
     "lognormal(median=1e9 y, sigma=4)", "lognormal(mean=1 s, sigma=1e-300)", "lognormal(median=1 h, sigma=1e-9)",
     "weibull(mean=1e9 y, shape=0.2)", "weibull(scale=1 ns, shape=0.2)", "weibull(mean=1 s, shape=50)",
     "weibull(mean=1e-300 s, shape=0.2)"]
)  # fmt: skip
LIMITS = st.sampled_from(["none", "0 s", "1 ns", "1 s", "1 min", "1e9 y"])
RATES = st.sampled_from(["0", "1e-9 /y", "1e-3 /y", "1 /y", "1e5 /y", "1 /s", "1e9 /s", "1e-300 /y"])
SHARES = st.sampled_from(["0", "1", "0.5", "1e-300", "1e-17", "0.9999999999999999"])
SIZES = st.sampled_from(["64 MiB", "1 GB", "3 GiB", "200 MiB", "1 TiB", "4096 TiB", "1e300 B"])
SPEEDS = st.sampled_from(["1 kB/s", "1 GB/s", "1e290 TB/s", "1e-300 B/s"])
CMDLINES = st.sampled_from(
    ["", "quiet", "crashkernel=2T", "crashkernel=99999999999999999999G", "crashkernel=1G,high crashkernel=1G,low",
     "crashkernel=0x10M@4G", "crashkernel=1-:1M@", "panic=-1 oops=panic nowatchdog", "watchdog_thresh=99999999999"]
)  # fmt: skip
KEYS: dict[str, st.SearchStrategy[str]] = {
    **{f"host.boot.{p}": LAWS for p in ("firmware", "loader", "kernel", "initrd", "userspace", "application")},
    **{f"capture.{p}": LAWS for p in ("boot", "failed", "finish")},
    **{f"kexec.{p}": LAWS for p in ("jump", "failed")},
    **{f"recovery.{p}": LAWS for p in ("journal", "fsck", "reinstall", "operator")},
    **{f"faults.{name}.rate": RATES for name in ("kernel_oops", "kernel_hang", "machine_check", "hardware_repair")},
    **{
        f"faults.{name}.shape": st.sampled_from(["0.2", "0.7", "1", "1.5", "50"])
        for name in ("kernel_oops", "kernel_hang")
    },
    "faults.kernel_oops.detect": LAWS,
    "faults.kernel_hang.soft_lockup_delay": LAWS,
    "faults.hardware_repair.repair": LAWS,
    **dict.fromkeys(("host.watchdog", "host.bmc", "capture.timeout"), LIMITS),
    **dict.fromkeys(("capture.success", "capture.hangs", "kexec.success", "kexec.hangs"), SHARES),
    **dict.fromkeys(("faults.kernel_oops.leaks_lock", "faults.machine_check.resets"), SHARES),
    **dict.fromkeys(("host.memory", "capture.memory"), SIZES),
    **dict.fromkeys(("host.disk_write", "host.network"), SPEEDS),
    "host.cpus": st.sampled_from(["1", "8192"]),
    "capture.dump_sigma": st.sampled_from(["0", "1e-300", "0.8", "4"]),
    "capture.scan_per_tib": st.sampled_from(["0 s", "1 ns", "1e9 y"]),
    "kdump.failure_action": st.sampled_from(["reboot", "halt", "shell"]),
    "kdump.core_collector": st.sampled_from(["cp", "makedumpfile -d 0", "makedumpfile -c -d 31 --num-threads 99999"]),
    "linux.cmdline": CMDLINES,
    "linux.distro": st.sampled_from(["upstream", "rhel8", "ubuntu24.10", "sles15"]),
    "linux.sysctl.kernel.panic_on_oops": st.sampled_from(["0", "1", "-1"]),
    "linux.sysctl.kernel.panic": st.sampled_from(["0", "-1", "2147483647"]),
    "linux.sysctl.kernel.watchdog_thresh": st.sampled_from(["0", "60"]),
    "linux.sysctl.kernel.oops_limit": st.sampled_from(["0", "1", "2", "16", "17", "4294967295"]),
}


@st.composite
def changes(draw: st.DrawFn) -> dict[str, str]:
    keys = draw(st.lists(st.sampled_from(sorted(KEYS)), min_size=1, max_size=12, unique=True))
    return {key: draw(KEYS[key]) for key in keys}


def check(loaded: Loaded, strategy: str | None) -> None:
    """Solved, or said to be not solvable; never a warning of numpy, an infinity or a NaN."""
    life = lifecycle(loaded.scenario, strategy)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        try:
            solution = Solution(life)
        except NotSolvable:
            return
        rows = measures.exact(solution, loaded.scenario.horizon, with_tails=False) + measures.visits(solution)
    json.dumps([found.value for _, found in rows], allow_nan=False)
    values = {name: found.value for name, found in rows}
    assert 0.0 <= values["availability"] <= 1.0
    assert all(value >= 0.0 for name, value in values.items() if name != "downtime_min_in_horizon"), values


@settings(max_examples=8)
@given(change=changes(), strategy=st.sampled_from(sorted(recovery_strategies())))
def test_quantiles_of_extreme_values_are_enclosed_or_refused(change: dict[str, str], strategy: str) -> None:
    try:
        scenario = load("vm", [f"{key}={value}" for key, value in change.items()]).scenario
        solution = Solution(lifecycle(scenario, strategy))
    except (ScenarioError, NotSolvable):
        return
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found, notes = tails(solution)
    json.dumps([(value.value, value.half_width) for _, value in found], allow_nan=False)
    assert all(value.value >= 0.0 for _, value in found)
    assert all(note.startswith("no exact ") for note in notes)


@settings(max_examples=500)
@given(
    change=changes(),
    strategy=st.sampled_from(sorted(recovery_strategies())),
    base=st.sampled_from(["vm", "rack-server"]),
)
def test_extreme_values_are_refused_or_solved(change: dict[str, str], strategy: str, base: str) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        try:
            loaded = load(base, [f"{key}={value}" for key, value in change.items()])
        except ScenarioError as error:
            problem = str(error)
        else:
            problem = ""
    if problem:
        assert problem.startswith("--set: ")
        return
    check(loaded, strategy)


NODES = ("up", "slow", "down", "worse")


@st.composite
def graphs(draw: st.DrawFn) -> str:
    """A ``[lifecycle]`` in TOML; some are broken."""
    names = draw(st.lists(st.sampled_from(NODES), min_size=1, max_size=4, unique=True))
    targets = st.sampled_from([*names, "up"])
    causes = st.sampled_from(["a", "b", "a", ""])
    lines = ['replications = 2\n[lifecycle]\nentry = "up"\nbudgets = { a = "software", b = "hardware" }']
    for name in dict.fromkeys(["up", *names]):
        service = draw(st.sampled_from(["up", "degraded", "down"])) if name != "up" else "up"
        lines.append(f'[lifecycle.nodes.{name}]\nservice = "{service}"')
        n = draw(st.integers(1, 3))
        if draw(st.booleans()):
            shares = draw(st.sampled_from([[1.0], [0.5, 0.5], [0.2, 0.3, 0.5], [1e-17, 1.0], [0.5, 0.4]]))
            ways = [
                f'{{ to = "{draw(targets)}", dwell = "{draw(LAWS)}", p = {p}, cause = "{draw(causes)}" }}'
                for p in shares
            ]
            lines.append(f"branches = [{', '.join(ways)}]")
        else:
            ways = [
                f'c{i} = {{ to = "{draw(targets)}", after = "{draw(LAWS)}", cause = "{draw(causes)}" }}'
                for i in range(n)
            ]
            lines.append(f"clocks = {{ {', '.join(ways)} }}")
    return "\n".join(lines)


@settings(max_examples=700)
@given(text=graphs())
def test_graphs_of_extreme_laws_are_refused_or_solved(text: str) -> None:
    with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings():
        warnings.simplefilter("error")
        path = Path(folder) / "own.toml"
        path.write_text(text)
        try:
            loaded = load(str(path))
        except ScenarioError as error:
            problem = str(error)
        else:
            problem = ""
    if problem:
        assert problem.startswith(str(path))
        return
    check(loaded, None)
