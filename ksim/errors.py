"""What can go wrong, by name. Every message is one sentence that a user can act on.

All classes take positional arguments only: SimPy rebuilds a failed event's exception from ``.args``.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class KsimError(Exception):
    """Root of all errors that ksim raises on purpose."""


class UnitError(KsimError, ValueError):
    """A text that should be a quantity or a distribution is not one."""


class ScenarioError(KsimError, ValueError):
    """A scenario that cannot be read or does not make sense: file, line, key, what was expected."""


class LinuxError(KsimError, ValueError):
    """A Linux artefact (sysctl, command line, core_collector) that Linux or its tools would refuse."""


class GraphError(KsimError, ValueError):
    """A lifecycle graph that breaks a rule of ``Lifecycle.check``."""


class TraceError(KsimError, ValueError):
    """An event that a trace viewer would refuse, or draw wrongly without a word."""


class NotSolvable(KsimError):
    """The exact reader cannot answer; the message says why, by node."""


class InvariantViolation(KsimError):
    """The evidence contradicts itself: a bug in ksim, never a matter of input."""


def nearest(name: str, names: Iterable[str]) -> str:
    """``"; did you mean 'x'?"`` for the closest of ``names``, or an empty text."""
    found = difflib.get_close_matches(name[:100], sorted(names), n=1, cutoff=0.5)
    return f"; did you mean '{found[0]}'?" if found else ""
