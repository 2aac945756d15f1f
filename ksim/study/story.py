"""One crash in full: the last moments at micro scale, then the way back of the same host, until the service answers.

The boot is played by ``ksim.micro``; where it ends, the lifecycle graph of the same scenario is entered at the
junction that this ending leads to, and walked once.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

from ksim.errors import ScenarioError
from ksim.linux.console import Look, prefixed, report
from ksim.linux.console.capture import RESETS, STARTS, capture_report
from ksim.linux.panic import Cause
from ksim.macro.walker import Walker
from ksim.micro.causes import Asked
from ksim.micro.machine import Boot, Ending, Entry
from ksim.micro.recorder import Recorder
from ksim.micro.strike import POINTS
from ksim.model.compose import CRASH, recovery, strategy_named
from ksim.model.lifecycle import Lifecycle, Service
from ksim.model.scenario import Scenario
from ksim.model.schema import Pages
from ksim.model.schema_micro import Micro
from ksim.study.pool import Progress
from ksim.units import YEAR_S, to_ns, to_s

WINDOW_S = 1.0
"""What a recording shows before the end of the boot."""
LONGEST_S = 10 * YEAR_S


class Stage(NamedTuple):
    """A phase of the way back: seconds since the boot began."""

    phase: str
    start_s: float
    end_s: float
    event: str


@dataclass(frozen=True)
class Story:
    """``stages``: from the end of the boot to the first answer; empty for one that goes on and serves."""

    scenario: Scenario
    boot: Boot
    ending: Ending
    faults: tuple[Asked, ...]
    stages: tuple[Stage, ...]
    recorder: Recorder | None

    @property
    def downtime_s(self) -> float:
        """From the end of the boot to the first answer."""
        return self.stages[-1].end_s - self.stages[0].start_s if self.stages else 0.0

    @property
    def detected_s(self) -> float:
        """From the fault to the panic."""
        return to_s(self.ending.at_ns - self.ending.struck_ns) if self.ending.kind == "panicked" else 0.0


def tell(
    scenario: Scenario,
    faults: Sequence[Asked] = (),
    *,
    replication: int = 0,
    strategy: str | None = None,
    record: bool = False,
    progress: Progress | None = None,
) -> Story:
    """Plays one boot and the recovery after it. ``record``: the last second is recorded, for a picture.

    ``progress``: called with seconds of the boot, played and in all. A recording needs the moment of the end, so the
    boot is played twice, and goes the same way both times. Raises ScenarioError for a workload that does not fit, and
    a scenario with a graph of its own.
    """
    if scenario.lifecycle is not None:
        raise ScenarioError("a scenario with its own [lifecycle] says nothing about the kernel at work")
    if scenario.micro is None:
        scenario = scenario.model_copy(update={"micro": Micro()})
    strategy_named(scenario, strategy)  # before the boot is played, and also where nothing needs recovery
    boot = Boot(scenario, replication, faults=faults)
    plays = 2 if record else 1
    ending = boot.run(progress=_part(progress, 0, plays))
    recorder = None
    if record:
        recorder = Recorder(max(0, ending.at_ns - to_ns(WINDOW_S)))
        boot = Boot(scenario, replication, faults=faults, recorder=recorder)
        ending = boot.run(progress=_part(progress, 1, plays))
    goes_on = ending.kind == "survived" and ending.serves
    stages = () if goes_on else _way_back(scenario, _junction(boot, ending), ending, strategy, replication)
    return Story(scenario, boot, ending, tuple(faults), stages, recorder)


def _part(progress: Progress | None, play: int, plays: int) -> Progress | None:
    """Progress of one play of several."""
    return None if progress is None else lambda done, total: progress(play * total + done, plays * total)


def _junction(boot: Boot, ending: Ending) -> str:
    if ending.kind != "panicked":
        return "dead" if all(cpu.is_lost for cpu in boot.scheduler.cpus) else "wedged"
    decision = ending.decision
    assert decision is not None
    cause: Cause = "machine_check" if decision.strike.event.family == "machine_check" else ""
    return f"panic {cause}".strip()


def _way_back(
    scenario: Scenario, junction: str, ending: Ending, strategy: str | None, replication: int
) -> tuple[Stage, ...]:
    # the dump that follows is a dump of this memory
    workload = scenario.workload.model_copy(update={"pages": Pages(**ending.impact.pages)})
    life = recovery(scenario.model_copy(update={"workload": workload}), junction, strategy)
    walker = Walker(life, scenario.seed, batch=1)
    horizon_s = 90 * 86400.0
    while True:
        stages = _stages(life, walker, replication, horizon_s, to_s(ending.at_ns))
        if stages or horizon_s >= LONGEST_S:
            return tuple(stages)
        horizon_s *= 10.0


def _stages(life: Lifecycle, walker: Walker, replication: int, horizon_s: float, at_s: float) -> list[Stage]:
    """Phases from the crash to the first node that serves; empty if the horizon comes first."""
    found: list[Stage] = []
    node, since_s = life[life.entry], 0.0
    for step in walker.path(replication, horizon_s).transitions(life.layout):
        if step.cause != CRASH:
            stage = Stage(node.phase, at_s + since_s, at_s + step.time_s, node.event)
            if found and found[-1].phase == stage.phase:
                stage = Stage(stage.phase, found[-1].start_s, stage.end_s, found[-1].event or stage.event)
                found.pop()
            found.append(stage)
        node, since_s = life[step.target], step.time_s
        if node.service is not Service.DOWN:
            return [stage for stage in found if stage.end_s > stage.start_s or stage.event]
    return []


# ---------------------------------------------------------------- the console


def console(story: Story) -> tuple[str, ...]:
    """The log of the crashed kernel and of the capture kernel, as a serial console shows both."""
    lines: list[str] = []
    for entry in story.boot.console:
        text = entry.lines if entry.decision is None else report(entry.decision, look(story, entry))
        lines += prefixed(text, start_s=to_s(entry.at_ns))
    phases = {stage.phase for stage in story.stages}
    events = {stage.event for stage in story.stages}
    if "capture boot" in phases or "capture failed" in phases or "dump" in phases:
        conf = story.scenario.kdump.conf
        result = "saved" if "vmcore" in events else "failed"
        lines += capture_report(result, failure_action=conf.failure_action, final_action=conf.final_action)  # type: ignore[arg-type]
    if "kexec" in phases:
        lines.append(STARTS)
    elif "firmware" in phases:
        lines.append(RESETS)
    return tuple(lines)


def look(story: Story, entry: Entry) -> Look:
    """The machine, and the function in which this report's fault struck."""
    host = story.scenario.host
    asked = next(
        (a for a in story.faults if entry.decision and a.fault.event == entry.decision.strike.event.name), None
    )
    plain = Look(release=f"{story.scenario.linux.release}.0", cpu=entry.cpu, cpus=host.cpus)
    if asked is None:
        return plain
    point = POINTS[asked.point]
    return replace(
        plain,
        function=f"{point.name}+0x1f3/0x4c0",
        module=point.module,
        file=f"{point.file}:123",
    )
