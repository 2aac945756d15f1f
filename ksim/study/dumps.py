"""What the dump of one scenario costs: its stages and size, and what becomes of an outage with it, exactly."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from ksim.exact.solve import Solution
from ksim.model.compose import lifecycle
from ksim.model.dump import dump_plan
from ksim.model.machine import Machine
from ksim.model.scenario import Scenario
from ksim.study import estimate
from ksim.study.measures import MIN_PER_YEAR, Measure
from ksim.units import MINUTE_S, YEAR_S

STAGES = {"scan": "scan_s", "compression": "compress_s", "target": "write_s"}
"""What a dump can wait for, by the measure that says how long it takes; the last two run at the same time."""


def dump_measures(scenario: Scenario) -> Iterator[Measure]:
    """Mean seconds and gigabytes of the dump at the first level of the collector; software outages under the scenario's
    own strategy; the share of panics whose vmcore is saved."""
    dump, solution = dump_plan(Machine(scenario)), Solution(lifecycle(scenario))
    found = [
        ("dump_s", dump.total_s, "s"),
        ("scan_s", dump.scan_s, "s"),
        ("compress_s", dump.compress_s, "s"),
        ("write_s", dump.write_s, "s"),
        ("vmcore_gb", dump.output_bytes / 1e9, "GB"),
    ]
    outages, panics = solution.outages("software"), solution.event_rate("panic")
    if outages is not None:
        found += [
            ("software_outage_s_mean", outages.mean_s, "s"),
            ("software_downtime_min_per_year", outages.rate * outages.mean_s * YEAR_S / MINUTE_S, MIN_PER_YEAR),
        ]
    if panics:
        found.append(("vmcore_captured", solution.event_rate("vmcore") / panics, "1"))
    for name, value, unit in found:
        yield name, estimate.exact(value, unit)


def waits_for(stages: Mapping[str, float]) -> str:
    """Which of STAGES most of the time goes into, by the seconds of each."""
    copy = max(stages["compression"], stages["target"])
    if stages["scan"] > copy:
        return "scan"
    return "compression" if stages["compression"] == copy else "target"
