"""The dump of a scenario as a study sees it: its stages, what it waits for, its law, and the settings of e05."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest

from ksim.chance.distributions import lognormal_of_mean, quantile_of
from ksim.exact.solve import Solution
from ksim.model.compose import lifecycle
from ksim.model.dump import dump_attempts, dump_plan
from ksim.model.loader import load
from ksim.model.machine import Machine
from ksim.study.dumps import dump_measures, waits_for
from ksim.study.member import Member
from ksim.study.quantities import exact_value

EXPERIMENT = Path(__file__).parents[2] / "experiments" / "e05_dump_level.py"


@pytest.fixture(scope="module")
def e05():
    spec = importlib.util.spec_from_file_location("e05", EXPERIMENT)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_measures_are_those_of_the_dump_and_of_the_solution() -> None:
    scenario = load("rack-server", ["host.memory=1 TiB", "kdump.core_collector=makedumpfile -c -d 23"]).scenario
    found = {name: value.value for name, value in dump_measures(scenario)}
    (only,) = dump_attempts(Machine(scenario))
    assert (found["dump_s"], found["vmcore_gb"]) == (only.seconds, only.bytes_written / 1e9)
    assert found["dump_s"] == found["scan_s"] + max(found["compress_s"], found["write_s"])
    solution = Solution(lifecycle(scenario))
    outages = solution.outages("software")
    assert outages is not None
    assert found["software_outage_s_mean"] == outages.mean_s
    assert found["vmcore_captured"] == solution.event_rate("vmcore") / solution.event_rate("panic")


@pytest.mark.parametrize(
    ("overrides", "stage"),
    [
        (("capture.scan_per_tib=900 s",), "scan"),
        (("kdump.core_collector=makedumpfile -c -d 31",), "compression"),
        (("capture.thread_rate=1 MB/s", "capture.scan_per_tib=900 s"), "compression"),
        (("host.disk_write=1 MB/s",), "target"),
        (("host.disk_write=1 MB/s", "kdump.nfs=a:/b"), "compression"),
        (("host.network=1 MB/s", "kdump.nfs=a:/b"), "target"),
    ],
)
def test_what_a_dump_waits_for(overrides: tuple[str, ...], stage: str) -> None:
    plan = dump_plan(Machine(load("rack-server", overrides).scenario))
    stages = {"scan": plan.scan_s, "compression": plan.compress_s, "target": plan.write_s}
    assert waits_for(stages) == stage
    assert stages[stage] == max(stages.values())


@pytest.mark.parametrize("level", [0.1, 0.5, 0.9, 0.999])
def test_the_law_of_a_dump_is_the_one_of_its_node(level: float) -> None:
    member = Member(load("rack-server", ["host.memory=2 TiB"]))
    law = lognormal_of_mean(member.dump.total_s, member.loaded.scenario.capture.dump_sigma)
    longer = exact_value(member, f"P(dump longer than): {quantile_of(law, level)!r} s", "1")
    assert longer is not None
    assert longer.value == pytest.approx(1.0 - level, rel=1e-6)


def test_a_setting_is_what_its_keys_would_load(e05) -> None:
    """e05 changes tables in place of loading 2275 scenarios: the same graphs."""
    for setting in (e05.USUAL, e05.Setting(1, "zstd", 16, "nfs"), e05.Setting(0, "none", 1, "ssh")):
        keys = [f"capture.append=nr_cpus={setting.threads}"]
        how = "-F" if setting.target == "ssh" else f"--num-threads {setting.threads}"
        keys.append(f"kdump.core_collector=makedumpfile {e05.OPTIONS[setting.compressor]}-d {setting.level} {how}")
        keys += {"nfs": ["kdump.nfs=server:/dumps"], "ssh": ["kdump.ssh=root@server"]}.get(setting.target, [])
        if setting.target in e05.DISK_WRITE:
            keys.append(f"host.disk_write={e05.DISK_WRITE[setting.target]!r} B/s")
        assert lifecycle(setting.of(load("rack-server").scenario)) == lifecycle(load("rack-server", keys).scenario)


def test_the_design_has_each_setting_once(e05) -> None:
    assert len(e05.SETTINGS) == 5 * 5 * (4 * 3 + 1)
    assert all(str(setting) == name for name, setting in e05.SETTINGS.items())


def test_effects_are_ratios_of_geometric_means(e05) -> None:
    """Of a made-up design in which each choice has a factor of its own, it comes out."""
    factors = {
        "level": dict(zip(e05.LEVELS, (9.0, 8.0, 4.0, 2.0, 1.0))),
        "compressor": dict(zip(e05.OPTIONS, (1.0, 7.0, 2.0, 3.0, 4.0))),
        "threads": dict(zip(e05.THREADS, (5.0, 4.0, 2.0, 1.0))),
        "target": dict(zip(e05.TARGETS, (3.0, 1.0, 2.0, 2.5))),
    }
    rows = []
    for name, setting in e05.SETTINGS.items():
        seconds = 10.0
        for key, of in factors.items():
            seconds *= of[getattr(setting, key)]
        rows.append(
            {"model": "design", "member": "1024 GiB", "strategy": name, "measure": "dump_s", "estimate": seconds}
        )
    own = e05.Design(rows)
    expected = {"dump level": (9.0, "31", "0"), "compressor": (7.0, "none", "zlib"), "threads": (5.0, "32", "1"),
                "target": (3.0, "nvme", "hdd")}  # fmt: skip
    for name, choice in e05.CHOICES.items():
        ratio, least, most = own.effect(choice)
        assert (pytest.approx(ratio), least, most) == expected[name]
