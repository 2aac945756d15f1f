"""Two hosts, one of them enough, and a failover that does not always work.

Model    Both work and share nothing. Of the failures of one, a share ``coverage`` is noticed: the service is down for
         ``failover`` and goes on with the other host. The rest is an outage of ``uncovered`` until somebody starts the
         service on the other host. One repair unit; the second failure before the repair is an outage until a repair
         is done. Nothing fails during the failover. All times but ``failover`` and ``uncovered`` are exponential.
Sources  Arnold, "The concept of coverage and its effect on the reliability model of a repairable system", IEEE Trans.
         Computers C-22, 1973.
Solved   yes.
"""

from __future__ import annotations

from ksim.chance.distributions import Exponential
from ksim.model.family import Family, FamilySettings
from ksim.model.fields import LawText, MeanTime, Probability, param
from ksim.model.lifecycle import Branch, Budget, Clock, Lifecycle, Node, Service, trimmed
from ksim.source import assumed

EXAMPLE = assumed("an example: two failures a year and host")


class Settings(FamilySettings):
    """Keys of ``[lifecycle]`` for this family."""

    fails: MeanTime = param("4380 h", "s", "100 h", "10 y", EXAMPLE, "mean time to the failure of one host")
    repair: MeanTime = param("15 min", "s", "1 min", "30 d", EXAMPLE, "mean time to repair one host")
    coverage: Probability = param(0.95, "1", "0.5", "1", EXAMPLE, "P(a failure is noticed and the failover works)")
    failover: LawText = param("exponential(mean=30 s)", "s", "0 s", "10 min", EXAMPLE, "outage of a failover")
    uncovered: LawText = param("exponential(mean=1 h)", "s", "1 min", "1 d", EXAMPLE, "outage of one that fails")


def build(own: Settings) -> Lifecycle:
    up, down = Service.UP, Service.DOWN
    instant = Exponential(own.fails / 2.0)
    nodes = (
        Node(
            "both", "both", up, (
                Branch("failover", instant, own.coverage, "covered"),
                Branch("uncovered", instant, 1.0 - own.coverage, "uncovered"),
            ),
        ),
        Node("failover", "failover", down, (Branch("one", own.failover),)),
        Node("uncovered", "uncovered", down, (Branch("one", own.uncovered),)),
        Node(
            "one", "one", up, clocks=(
                Clock("repair", Exponential(own.repair), "both"),
                Clock("second failure", Exponential(own.fails), "none", "exhausted"),
            ),
        ),
        Node("none", "none", down, (Branch("one", Exponential(own.repair)),)),
    )  # fmt: skip
    budgets = {"covered": Budget.HARDWARE, "uncovered": Budget.SOFTWARE, "exhausted": Budget.HARDWARE}
    return Lifecycle("both", trimmed(nodes, "both"), budgets)


FAMILY = Family(
    name="duplex",
    summary="two hosts with coverage, failover, and one repair unit",
    settings=Settings,
    build=build,
)
