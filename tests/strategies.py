"""Hypothesis strategies: laws, and random lifecycles that are always valid.

Swarm testing: each example first switches kinds of laws, of nodes and of services off, so that the extremes (only
races, only constants, never degraded) come up as often as the mixtures.
"""

from hypothesis import strategies as st

from ksim.chance.distributions import Constant, Empirical, Exponential, Law, LogNormal, LogUniform, Uniform, Weibull
from ksim.model.lifecycle import Branch, Budget, Clock, Lifecycle, Node, Service

SEEDS = st.integers(0, 2**64 - 1)
REPLICATIONS = st.integers(0, 10**6)


def seconds(low: float = 0.5, high: float = 1000.0) -> st.SearchStrategy[float]:
    return st.floats(low, high)


def _pair(law: type[Uniform] | type[LogUniform]) -> st.SearchStrategy[Law]:
    # the factor keeps the two ends apart: a law between equal ends is refused by the grammar
    return st.builds(lambda low, factor: law(low, low * factor), seconds(), st.floats(1.01, 1000.0))


LAWS: dict[str, st.SearchStrategy[Law]] = {
    "constant": st.builds(Constant, seconds()),
    "exponential": st.builds(Exponential, seconds()),
    "lognormal": st.builds(LogNormal, seconds(), st.floats(0.01, 2.0)),
    "weibull": st.builds(Weibull, seconds(), st.floats(0.4, 10.0)),
    "uniform": _pair(Uniform),
    "loguniform": _pair(LogUniform),
    "empirical": st.lists(seconds(), min_size=1, max_size=8).map(lambda values: Empirical(tuple(sorted(values)))),
}


def laws(kinds: list[str] | None = None) -> st.SearchStrategy[Law]:
    """Any law of the grammar with a mean above zero."""
    return st.one_of([LAWS[kind] for kind in kinds or LAWS])


def _some(names: list[str]) -> st.SearchStrategy[list[str]]:
    return st.lists(st.sampled_from(names), min_size=1, max_size=len(names), unique=True).map(sorted)


BUDGETS = {"oops": Budget.SOFTWARE, "board": Budget.HARDWARE, "update": Budget.PLANNED}
CAUSES = sorted(BUDGETS)


@st.composite
def lifecycles(draw: st.DrawFn, max_nodes: int = 8) -> Lifecycle:
    """A valid graph of 2 to ``max_nodes`` nodes: a ring through all of them and random ways besides.

    The ring makes every node reachable and returning; zero dwells lead only forwards, so time passes on every
    cycle. Node names are not in the order of the ring.
    """
    n = draw(st.integers(2, max_nodes))
    names = [f"n{i}" for i in draw(st.permutations(range(n)))]
    law = laws(draw(_some(list(LAWS))))
    kinds = draw(_some(["choice", "race"]))
    services = draw(_some(["up", "degraded", "down"]))
    has_instants = draw(st.booleans())
    served = [Service.UP, *(Service(draw(st.sampled_from(services))) for _ in range(n - 1))]
    # at least one node is down, or there is nothing to study
    served[draw(st.integers(1, n - 1))] = Service.DOWN

    def cause(i: int, j: int) -> str:
        begins = served[i] is not Service.DOWN and served[j] is Service.DOWN
        return draw(st.sampled_from(CAUSES)) if begins else ""

    def dwell(i: int, j: int) -> Law:
        return Constant(0.0) if has_instants and j > i and draw(st.booleans()) else draw(law)

    nodes = []
    for i in range(n):
        targets = [(i + 1) % n, *draw(st.lists(st.integers(0, n - 1), max_size=3))]
        event = draw(st.sampled_from(["", "panic", "vmcore"]))
        head = (names[i], draw(st.sampled_from(["a", "b", "c"])), served[i])
        if draw(st.sampled_from(kinds)) == "choice":
            weights = [draw(st.integers(1, 100)) for _ in targets]
            branches = tuple(
                Branch(names[j], dwell(i, j), weight / sum(weights), cause(i, j))
                for j, weight in zip(targets, weights, strict=True)
            )
            nodes.append(Node(*head, branches=branches, event=event))
        else:
            clocks = tuple(Clock(f"{names[i]}.{k}", draw(law), names[j], cause(i, j)) for k, j in enumerate(targets))
            nodes.append(Node(*head, clocks=clocks, event=event))
    return Lifecycle(names[0], tuple(nodes), BUDGETS)
