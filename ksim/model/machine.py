"""What Linux does on one machine: the settings in force, what crashkernel= reserves, decisions about events."""

from __future__ import annotations

from functools import cached_property
from typing import Any

from ksim.linux.cmdline import boot_parameters
from ksim.linux.crashkernel import Reservation, crashkernel
from ksim.linux.distro import PROFILES, Profile
from ksim.linux.escalation import Decision, escalate
from ksim.linux.events import EVENTS
from ksim.linux.platform import kernel_settings
from ksim.linux.rules import Strike
from ksim.linux.sysctl import Settings, parse_release
from ksim.linux.vocabulary import Release
from ksim.model.scenario import Scenario


class Machine:
    """The Linux side of a scenario: its ``[host]`` and ``[linux]`` tables, read by the rules of the kernel."""

    def __init__(self, scenario: Scenario) -> None:
        self.scenario = scenario

    @property
    def profile(self) -> Profile:
        """The distribution."""
        return PROFILES[self.scenario.linux.distro]

    @property
    def release(self) -> Release:
        return parse_release(self.scenario.linux.release)

    @cached_property
    def linux(self) -> Settings:
        """The settings in force: build and platform, the distribution's, the command line's, then the sysctls'."""
        own = self.scenario.linux
        return kernel_settings(self.profile, self.scenario.host.hypervisor, own.cmdline, own.sysctl, self.release)

    @cached_property
    def cmdline(self) -> str:
        """The command line; an empty one means the distribution's default crashkernel=."""
        return self.scenario.linux.cmdline or self.profile.crashkernel_for(self.scenario.host.memory)

    @cached_property
    def words(self) -> dict[str, str | None]:
        """Boot parameters by name, the last of each."""
        return dict(boot_parameters(self.cmdline))

    @cached_property
    def reservation(self) -> Reservation:
        """What ``crashkernel=`` reserves."""
        return crashkernel(self.cmdline, self.scenario.host.memory, self.release, auto=self.profile.auto)

    @property
    def crash_kernel_loaded(self) -> bool:
        """Whether kdump.service has a reservation to load its kernel into, and may load it."""
        return self.reservation.bytes > 0 and self.linux.crash_kernel_loadable

    def strike(self, event: str, **state: Any) -> Strike:
        """``event`` in this state of this machine."""
        return Strike(EVENTS[event], self.linux, **{"crash_kernel_loaded": self.crash_kernel_loaded, **state})

    def decide(self, event: str, **state: Any) -> Decision:
        """What Linux does about ``event``."""
        return escalate(self.strike(event, **state), has_cma=self.reservation.cma_bytes > 0)
