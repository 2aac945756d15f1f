"""The exact reader against hand-solved graphs in fractions and against published closed forms."""

import math
from fractions import Fraction
from pathlib import Path

import pytest
from hypothesis import assume, given, settings
from scipy import integrate, special

from ksim.chance.distributions import Constant, Exponential, LogNormal, Uniform, scaled
from ksim.errors import NotSolvable
from ksim.exact.solve import Solution, solvable
from ksim.model.base import shipped
from ksim.model.compose import lifecycle, recovery_strategies
from ksim.model.lifecycle import Branch, Budget, Clock, Lifecycle, Node, Service
from ksim.model.loader import load
from ksim.units import HOUR_S, MINUTE_S, YEAR_S
from tests.strategies import lifecycles

SCENARIOS = Path(__file__).resolve().parents[2] / "experiments" / "scenarios"
UP, DEGRADED, DOWN = Service.UP, Service.DEGRADED, Service.DOWN
SOFT, HARD = Budget.SOFTWARE, Budget.HARDWARE
NOW = Constant(0.0)

MIN_PER_YEAR = YEAR_S / MINUTE_S


def solution(name: str, strategy: str | None = None, *overrides: str) -> Solution:
    return Solution(lifecycle(load(str(SCENARIOS / f"{name}.toml"), overrides).scenario, strategy))


# ---------------------------------------------------------------- by hand


def test_two_nodes() -> None:
    """Up 8 s (exponential), down 3 s with 1/4 or uniform(1 s, 5 s) with 3/4."""
    up = Node("up", "up", UP, clocks=(Clock("fault", Exponential(8.0), "down", "crash"),))
    down = Node("down", "down", DOWN, (Branch("up", Constant(3.0), 0.25), Branch("up", Uniform(1.0, 5.0), 0.75)))
    found = Solution(Lifecycle("up", (up, down), {"crash": SOFT}))
    mean = Fraction(3)
    square = Fraction(1, 4) * 9 + Fraction(3, 4) * Fraction(1 + 5 + 25, 3)
    assert found.visits == [1.0, 1.0]
    assert found.cycle_s == 11.0
    assert found.unavailability == pytest.approx(float(mean / 11), rel=1e-15)
    outages = found.outages()
    assert outages is not None
    assert outages.rate == pytest.approx(1 / 11, rel=1e-15)
    assert outages.mean_s == pytest.approx(3.0, rel=1e-15)
    assert outages.sd_s**2 == pytest.approx(float(square - mean**2), rel=1e-13)
    # renewal-reward: (Var D E[U]^2 + Var U E[D]^2) / (E[U] + E[D])^3
    slope = ((square - mean**2) * 64 + Fraction(64) * 9) / Fraction(11) ** 3
    assert found.downtime_variance_rate == pytest.approx(float(slope), rel=1e-14)
    assert found.outages("hardware") is None
    assert found.degraded == 0.0


def three_nodes() -> Lifecycle:
    """Up 100 s; dump 10 s: 2/3 reboot, 1/3 dump again; reboot 6 s: 1/2 up, 1/6 dump again, 1/3 degraded for 20 s."""
    nodes = (
        Node("up", "up", UP, (Branch("dump", Constant(100.0), 1.0, "crash"),)),
        Node(
            "dump",
            "dump",
            DOWN,
            (Branch("boot", Constant(10.0), 2 / 3), Branch("dump", Constant(10.0), 1 / 3)),
            event="panic",
        ),
        Node(
            "boot",
            "boot",
            DOWN,
            (
                Branch("up", Exponential(6.0), 1 / 2),
                Branch("dump", Constant(6.0), 1 / 6),
                Branch("limping", Constant(6.0), 1 / 3),
            ),
        ),
        Node("limping", "limping", DEGRADED, (Branch("up", Constant(20.0)),)),
    )
    return Lifecycle("up", nodes, {"crash": HARD})


def test_three_nodes_with_loops() -> None:
    found = Solution(three_nodes())
    # visits: d = 1 + d/3 + b/6, b = 2d/3  =>  d = 9/5, b = 6/5, limping = 2/5
    d, b, limping = Fraction(9, 5), Fraction(6, 5), Fraction(2, 5)
    assert found.visits == pytest.approx([1.0, float(d), float(b), float(limping)], rel=1e-15)
    cycle = 100 + 10 * d + 6 * b + 20 * limping
    assert found.cycle_s == pytest.approx(float(cycle), rel=1e-15)
    down = 10 * d + 6 * b
    assert found.unavailability == pytest.approx(float(down / cycle), rel=1e-15)
    assert found.degraded == pytest.approx(float(20 * limping / cycle), rel=1e-15)
    assert found.event_rate("panic") == pytest.approx(float(d / cycle), rel=1e-15)
    shares = found.downtime_by_cause()
    assert shares == {"crash": pytest.approx({"dump": float(10 * d / cycle), "boot": float(6 * b / cycle)}, rel=1e-15)}


def test_three_nodes_second_moments() -> None:
    found = Solution(three_nodes()).outages("hardware")
    assert found is not None
    # m_d = 10 + (2/3) m_b + (1/3) m_d,  m_b = 6 + (1/6) m_d
    # s_d = 100 + 20 ((2/3) m_b + (1/3) m_d) + (2/3) s_b + (1/3) s_d
    # s_b = (1/2) 72 + (1/2) 36 + 12 (1/6) m_d + (1/6) s_d
    third, sixth = Fraction(1, 3), Fraction(1, 6)
    m_d = (10 + 2 * third * 6) / (1 - third - 2 * third * sixth)
    m_b = 6 + sixth * m_d
    assert m_d == Fraction(126, 5)
    b0 = Fraction(72, 2) + Fraction(36, 2) + 12 * sixth * m_d
    s_d = (100 + 20 * (2 * third * m_b + third * m_d) + 2 * third * b0) / (1 - third - 2 * third * sixth)
    assert found.mean_s == pytest.approx(float(m_d), rel=1e-15)
    assert found.sd_s == pytest.approx(math.sqrt(s_d - m_d**2), rel=1e-14)


def test_a_fault_that_strikes_between_two_outages_belongs_to_its_own_cause() -> None:
    """Two causes with different repairs, raced by exponentials: software 3 of 4 outages."""
    up = Node(
        "up",
        "up",
        UP,
        clocks=(Clock("a", Exponential(40.0), "short", "soft"), Clock("b", Exponential(120.0), "long", "hard")),
    )
    nodes = (
        up,
        Node("short", "x", DOWN, (Branch("up", Constant(2.0)),)),
        Node("long", "x", DOWN, (Branch("up", Constant(50.0)),)),
    )
    found = Solution(Lifecycle("up", nodes, {"soft": SOFT, "hard": HARD}))
    cycle = 30 + Fraction(3, 4) * 2 + Fraction(1, 4) * 50
    soft, both = found.outages("software"), found.outages()
    assert soft is not None and both is not None  # noqa: PT018
    assert (soft.rate, soft.mean_s, soft.sd_s) == pytest.approx((float(Fraction(3, 4) / cycle), 2.0, 0.0), abs=1e-12)
    assert both.mean_s == pytest.approx(14.0, rel=1e-14)
    assert found.downtime_by_cause()["hard"]["x"] == pytest.approx(float(Fraction(25, 2) / cycle), rel=1e-14)


def test_a_rare_branch_keeps_its_digits() -> None:
    up = Node("up", "up", UP, (Branch("down", Constant(1.0), 1e-12, "c"), Branch("busy", Constant(1.0), 1 - 1e-12)))
    busy = Node("busy", "up", UP, (Branch("up", Constant(1.0)),))
    down = Node("down", "down", DOWN, (Branch("up", Constant(5.0)),))
    found = Solution(Lifecycle("up", (up, busy, down), {"c": SOFT}))
    assert found.unavailability == pytest.approx(5e-12 / 2, rel=1e-11)


# ---------------------------------------------------------------- closed forms: V1, V2


def takacs(rate: float, repair: float, horizon: float, x: float) -> float:
    """P(downtime in the horizon <= x), Takacs 1957, for exponential up and down times."""
    left = horizon - x

    def integrand(y: float) -> float:
        # sqrt(rate repair left / y) I1(2 sqrt(rate repair left y)), by the scaled Bessel function
        z = 2 * math.sqrt(rate * repair * left * y)
        return math.sqrt(rate * repair * left / y) * special.i1e(z) * math.exp(z - repair * y)

    return math.exp(-rate * left) * (1 + integrate.quad(integrand, 0, x)[0])


V1_RATE, V1_REPAIR = 1 / 262_800, 1 / 10  # per minute


def test_v1_two_state() -> None:
    found = solution("v1_two_state")
    assert 1 - found.unavailability == pytest.approx(0.999961949698, abs=5e-13)
    assert found.downtime_s(YEAR_S) / MINUTE_S == pytest.approx(19.99885851, abs=5e-9)
    assert math.sqrt(found.downtime_variance_rate * YEAR_S) / MINUTE_S == pytest.approx(19.998859, abs=5e-7)
    total = V1_RATE + V1_REPAIR
    # up to exp(-total T), which is zero here
    mean = V1_RATE / total * (525_600 - 1 / total)
    assert found.downtime_s(YEAR_S) / MINUTE_S == pytest.approx(mean, rel=1e-12)


def test_v1_distribution_as_published() -> None:
    """The numbers that test_walker.py compares the walkers with."""
    assert math.exp(-V1_RATE * 525_600) == pytest.approx(0.13533528, abs=5e-9)
    assert takacs(V1_RATE, V1_REPAIR, 525_600, 20.0) == pytest.approx(0.60351671, abs=5e-9)


def test_v2_alternating_renewal() -> None:
    found = solution("v2_alternating_renewal")
    outages = found.outages()
    assert outages is not None
    assert outages.mean_s / HOUR_S == pytest.approx(2.83691819, abs=5e-9)
    assert 1 - found.unavailability == pytest.approx(0.999352721025, abs=5e-13)
    assert found.downtime_variance_rate / HOUR_S == pytest.approx(0.0146298906, abs=5e-11)
    assert math.sqrt(found.downtime_variance_rate * 10 * YEAR_S) / HOUR_S == pytest.approx(35.799, abs=5e-4)


# ---------------------------------------------------------------- crash paths: V7, E1

V7 = {"full_reboot": (375.0, 3.12498), "kdump": (477.0, 3.97497), "kdump_kexec": (238.5, 1.98749)}


@pytest.mark.parametrize("strategy", V7)
def test_v7_crash_path(strategy: str) -> None:
    mean_s, minutes = V7[strategy]
    found = solution(f"v7_crash_path_{strategy}")
    outages = found.outages()
    assert outages is not None
    assert outages.mean_s == pytest.approx(mean_s, rel=1e-14)
    assert found.unavailability * MIN_PER_YEAR == pytest.approx(minutes, abs=5e-6)


@pytest.mark.parametrize("strategy", V7)
def test_v7_files_differ_only_in_their_strategy(strategy: str) -> None:
    for other, (mean_s, _) in V7.items():
        outages = solution(f"v7_crash_path_{strategy}", other).outages()
        assert outages is not None
        assert outages.mean_s == pytest.approx(mean_s, rel=1e-14)


def test_v7_standard_deviations_by_hand() -> None:
    def sd(*ways: tuple[float, float]) -> float:
        mean = sum(p * x for p, x in ways)
        return math.sqrt(sum(p * (x - mean) ** 2 for p, x in ways))

    expected = {
        "full_reboot": 0.0,
        "kdump": sd((0.9, 455.0), (0.1, 675.0)),
        "kdump_kexec": sd((0.9 * 0.95, 160.0), (0.9 * 0.05, 760.0), (0.1, 675.0)),
    }
    for strategy, value in expected.items():
        outages = solution(f"v7_crash_path_{strategy}").outages()
        assert outages is not None
        assert outages.sd_s == pytest.approx(value, rel=1e-10, abs=1e-5)


E1 = {
    (1, "full_reboot"): 32.865445,
    (1, "kdump"): 33.594103,
    (1, "kdump_kexec"): 31.317384,
    (0, "full_reboot"): 30.369079,
    (0, "kdump"): 30.634048,
    (0, "kdump_kexec"): 29.806143,
}
E1_SOFTWARE = {"full_reboot": 3.9425, "kdump": 4.67125, "kdump_kexec": 2.39425}


@pytest.mark.parametrize(("panic_on_oops", "strategy"), E1)
def test_e1_rack_server_means(panic_on_oops: int, strategy: str) -> None:
    found = solution("e1_rack_server_means", strategy, f"linux.sysctl.kernel.panic_on_oops={panic_on_oops}")
    assert found.unavailability * MIN_PER_YEAR == pytest.approx(E1[panic_on_oops, strategy], abs=5e-7)


@pytest.mark.parametrize("strategy", E1_SOFTWARE)
def test_e1_software_part_per_year_of_up_time(strategy: str) -> None:
    found = solution("e1_rack_server_means", strategy)
    software = found.outages("software")
    assert software is not None
    down = software.rate * software.mean_s
    assert down / (1 - found.unavailability) * MIN_PER_YEAR == pytest.approx(E1_SOFTWARE[strategy], abs=1e-9)


# ---------------------------------------------------------------- always


@pytest.mark.parametrize("strategy", recovery_strategies())
@pytest.mark.parametrize("base", shipped())
def test_every_shipped_base_is_solvable(base: str, strategy: str) -> None:
    life = lifecycle(load(base).scenario, strategy)
    assert solvable(life) == []
    found = Solution(life)
    parts = math.fsum(seconds for phases in found.downtime_by_cause().values() for seconds in phases.values())
    assert parts == pytest.approx(found.unavailability, rel=1e-12)


@settings(max_examples=60)
@given(lifecycles())
def test_parts_sum_to_the_whole(life: Lifecycle) -> None:
    assume(not solvable(life))
    found = Solution(life)
    up = math.fsum(
        v * m for v, m, node in zip(found.visits, found._mean, life.nodes, strict=True) if node.service is UP
    )
    assert up / found.cycle_s + found.degraded + found.unavailability == pytest.approx(1.0, rel=1e-12)
    parts = math.fsum(seconds for phases in found.downtime_by_cause().values() for seconds in phases.values())
    assert parts == pytest.approx(found.unavailability, rel=1e-9)
    every = [found.outages(budget) for budget in (None, "software", "hardware", "planned")]
    whole, *split = [0.0 if o is None else o.rate * o.mean_s for o in every]
    assert whole == pytest.approx(found.unavailability, rel=1e-9)
    assert math.fsum(split) == pytest.approx(whole, rel=1e-9)


@settings(max_examples=60)
@given(lifecycles())
def test_doubling_all_times_halves_rates_and_keeps_shares(life: Lifecycle) -> None:
    assume(not solvable(life))
    slow = stretched(life, 2.0)
    one, two = Solution(life), Solution(slow)
    assert two.unavailability == pytest.approx(one.unavailability, rel=1e-12)
    assert two.cycle_s == pytest.approx(2 * one.cycle_s, rel=1e-12)
    assert two.downtime_variance_rate == pytest.approx(2 * one.downtime_variance_rate, rel=1e-9)
    a, b = one.outages(), two.outages()
    assert (a is None) == (b is None)
    if a is not None and b is not None:
        assert (b.rate, b.mean_s) == pytest.approx((a.rate / 2, 2 * a.mean_s), rel=1e-12)


def stretched(life: Lifecycle, factor: float) -> Lifecycle:
    """The same life with all times longer by ``factor``."""
    nodes = tuple(
        Node(
            node.name,
            node.phase,
            node.service,
            tuple(Branch(way.to, scaled(way.dwell, factor), way.p, way.cause) for way in node.branches),
            tuple(Clock(way.name, scaled(way.after, factor), way.to, way.cause) for way in node.clocks),
            node.event,
            node.stream,
        )
        for node in life.nodes
    )
    return Lifecycle(life.entry, nodes, life.budgets)


def test_a_graph_that_never_comes_back_is_refused() -> None:
    """The way back exists, but its clock always loses: found by hypothesis as a division by zero."""
    loses = (Clock("again", Constant(1.0), "down", "c"), Clock("home", Constant(2.0), "start"))
    nodes = (
        Node("start", "up", UP, (Branch("down", Constant(1.0), 1.0, "c"),)),
        Node("down", "down", DOWN, (Branch("up", Constant(1.0)),)),
        Node("up", "up", UP, clocks=loses),
    )
    life = Lifecycle("start", nodes, {"c": SOFT})
    assert [reason.split(":")[0] for reason in solvable(life)] == [
        "node 'down' never leads back to 'start'",
        "node 'up' never leads back to 'start'",
    ]
    with pytest.raises(NotSolvable, match="node 'down' never leads back"):
        Solution(life)


def test_what_cannot_be_solved_is_said_by_name() -> None:
    narrow = (Clock("a", LogNormal(100.0, 1e-9), "up"), Clock("b", Exponential(90.0), "up"))
    life = Lifecycle("up", (Node("up", "up", UP, clocks=narrow),), {})
    try:
        Solution(life)
    except NotSolvable:
        assert len(solvable(life)) == 1
        assert solvable(life)[0].startswith("node 'up'")
    else:
        assert solvable(life) == []
