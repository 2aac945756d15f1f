"""The dump of a scenario's host: makedumpfile as kdump runs it there, by what ``[host]`` and ``[capture]`` say."""

from __future__ import annotations

from dataclasses import replace

from ksim.linux.core_collector import Collector, as_kdump_runs_it, parse_core_collector
from ksim.linux.distro import capture_nr_cpus
from ksim.linux.dump_attempts import Attempt, attempts
from ksim.linux.kdump_conf import default_collector
from ksim.linux.makedumpfile import DumpPlan, Speeds, default_rates, plan_dump
from ksim.model.machine import Machine


def dump_plan(plan: Machine) -> DumpPlan:
    """Size and mean duration of the dump on this host at the first level of its collector, by stages."""
    scenario = plan.scenario
    return plan_dump(
        collector_of(plan),
        scenario.host.memory,
        scenario.workload.pages.values(),
        write_bytes_per_s=_write_bytes_per_s(plan, over_network(plan)),
        **_speeds(plan),
    )


def dump_attempts(plan: Machine, *, local: bool = False) -> tuple[Attempt, ...]:
    """The same, level by level as space allows. ``local``: to the root file system."""
    scenario = plan.scenario
    return attempts(
        collector_of(plan),
        scenario.host.memory,
        scenario.workload.pages.values(),
        write_bytes_per_s=_write_bytes_per_s(plan, over_network(plan) and not local),
        space_bytes=scenario.host.dump_space,
        **_speeds(plan),
    )


def collector_of(plan: Machine) -> Collector:
    """The core_collector as kdump really runs it on this distribution, in so many CPUs, to this target."""
    conf = plan.scenario.kdump.conf
    text = conf.values.get("core_collector") or (
        default_collector(conf.target_kind) if conf.target_kind in ("raw", "ssh") else plan.profile.core_collector
    )
    return as_kdump_runs_it(
        parse_core_collector(text), nr_cpus(plan), conf.target_kind, appends_threads=plan.profile.appends_threads
    )


def over_network(plan: Machine) -> bool:
    """Whether the dump target is on another machine."""
    return plan.scenario.kdump.conf.is_network


def nr_cpus(plan: Machine) -> int:
    """CPUs of the capture kernel."""
    return min(plan.scenario.host.cpus, capture_nr_cpus(plan.profile, plan.scenario.capture.append))


def _write_bytes_per_s(plan: Machine, network: bool) -> float:
    host = plan.scenario.host
    return host.network if network else host.disk_write


def _speeds(plan: Machine) -> Speeds:
    settings, rates = plan.scenario.capture, default_rates()
    if settings.thread_rate is not None:
        rates = {name: replace(speed, bytes_per_s=settings.thread_rate) for name, speed in rates.items()}
    return {
        "scan_s_per_tib": settings.scan_per_tib,
        "rates": rates,
        "plateau_bytes_per_s": settings.plateau,
        "struct_page_bytes": settings.struct_page,
        "read_scan": settings.read_scan,
        "read_doubles_at_bytes": settings.read_doubles_at,
    }
