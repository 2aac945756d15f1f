"""Families of published models: the printed digits, and other members against computations that share no code.

Chains are written down here a second time, as a matrix over all combinations of components, and solved by numpy;
semi-Markov models by their own formulas and scipy's quadrature.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from scipy import integrate, linalg

from ksim.exact.interval import Interval
from ksim.exact.solve import OutageMoments, Solution
from ksim.model.compose import lifecycle
from ksim.model.lifecycle import Lifecycle, Service
from ksim.model.loader import load
from ksim.study.claims import claims_of, members_of
from ksim.study.member import Member
from ksim.study.quantities import exact_value
from ksim.units import DAY_S, HOUR_S, MINUTE_S, YEAR_S

EXPERIMENTS = Path(__file__).resolve().parents[2] / "experiments"
QUICK = ("C1", "C4", "V2", "V4", "V5", "V7", "V10", "B20")
"""Models whose members are all solved in no time; e12 itself does the others."""
SLOW = "stations=4"


def member(tmp_path: Path, family: str, *keys: str) -> Lifecycle:
    path = tmp_path / "member.toml"
    path.write_text(f'[lifecycle]\nfamily = "{family}"\n', "utf-8")
    return lifecycle(load(str(path), [f"lifecycle.{key}" for key in keys]).scenario)


def outages(solution: Solution) -> OutageMoments:
    found = solution.outages()
    assert found is not None
    return found


# ---------------------------------------------------------------- as printed


MEMBERS = members_of(claims_of(EXPERIMENTS / "e12_published.csv"))


@pytest.mark.parametrize(
    "key",
    [key for key in MEMBERS if key[0] in QUICK and not any(SLOW in text for text in key[2])],
    ids=lambda key: " ".join((key[0], *key[2])),
)
def test_printed_digits(key: tuple[str, str, tuple[str, ...]]) -> None:
    own = Member(load(str(EXPERIMENTS / "scenarios" / f"{key[1]}.toml"), key[2]))
    for claim in MEMBERS[key]:
        if claim.published is not None:
            found = exact_value(own, claim.quantity, claim.unit)
            assert found is not None, claim
            allowed = claim.open * (3.0 if key[0] == "C4" else 1.0)  # from memory: perhaps cut off, not rounded
            assert found.value == pytest.approx(claim.published, rel=1e-12, abs=allowed + found.half_width), claim


def test_the_cluster_within_2000_hours(tmp_path: Path) -> None:
    """C2, N = 2. The number of states is that of the published tool, too."""
    life = member(tmp_path, "workstation_cluster")
    assert len(life.nodes) == 276
    down = {node.name: 1.0 for node in life.nodes if node.service is Service.DOWN}
    rates = {name: dict(zip(life.layout.names, values, strict=True)) for name, (values, _) in life.rewards.items()}
    own = Interval(life)
    assert own.downtime(2000 * HOUR_S) / HOUR_S == pytest.approx(0.00465919240548, rel=1e-11)
    assert own.spent(rates["repairs"], 2000 * HOUR_S) == pytest.approx(17.3697782838, rel=1e-11)
    assert own.at(rates["stations_at_work"], 20 * HOUR_S) == pytest.approx(99.8764355825, rel=1e-11)
    assert Interval(life, down).passage(2000 * HOUR_S) == pytest.approx(0.00115839557526, rel=1e-10)


EMBEDDED = {
    2: (0.24252058277362362, 0.048417523169789894, 0.6213837036832706, 0.08767819037331588, 423.8443172811176),
    3: (0.15742845575423375, 0.05236547159654829, 0.6912856291427458, 0.09892044350647212, 458.4035611904189),
}


@pytest.mark.parametrize("skipped", EMBEDDED)
def test_the_embedded_controller(tmp_path: Path, skipped: int) -> None:
    """C3: what shuts it down first, and the time until then."""
    solution = Solution(member(tmp_path, "embedded_controller", f"skipped_cycles={skipped}"))
    rate = outages(solution).rate
    shares = [solution.begins(cause) / rate for cause in ("io", "main", "sensors", "actuators")]
    up = (1.0 - solution.unavailability - solution.degraded) / rate / HOUR_S
    assert [*shares, up] == pytest.approx(EMBEDDED[skipped], rel=1e-13)


def test_the_embedded_controller_as_it_runs_on(tmp_path: Path) -> None:
    """C3 within 12 h, in the chain as published: its number of states, and the time down."""
    life = member(tmp_path, "embedded_controller", "after_shutdown=runs_on", "replacement=1000000 y")
    assert len(life.nodes) == 3478
    assert Interval(life).downtime(12 * HOUR_S) / HOUR_S == pytest.approx(0.02802901538, rel=1e-8)


# ---------------------------------------------------------------- chains, written down once more


def stationary(size: int, rates: Iterator[tuple[int, int, float]]) -> np.ndarray:
    Q = np.zeros((size, size))
    for i, j, rate in rates:
        Q[i, j] += rate
        Q[i, i] -= rate
    A = Q.T.copy()
    A[-1] = 1.0
    return np.linalg.solve(A, np.eye(size)[-1])


def test_a_cluster_of_three_with_other_rates(tmp_path: Path) -> None:
    """All combinations of (left, right, switches, backbone, what is repaired), in hours; the minimum is 2 of 3."""
    n, per_hour = 3, {"l": 1 / 100, "r": 1 / 100, "s": 1 / 300, "t": 1 / 300, "b": 1 / 700}
    mends, find = {"l": 3.0, "r": 3.0, "s": 0.5, "t": 0.5, "b": 0.2}, 6.0
    parts = "lrstb"
    full = dict(zip(parts, (n, n, 1, 1, 1), strict=True))
    states = [
        (*works, job)
        for works in itertools.product(*(range(full[p] + 1) for p in parts))
        for job in ("", *(p for p, k in zip(parts, works, strict=True) if k < full[p]))
    ]
    number = {state: i for i, state in enumerate(states)}

    def edges() -> Iterator[tuple[int, int, float]]:
        for state in states:
            *works, job = state
            for at, part in enumerate(parts):
                fewer, more = [*works], [*works]
                fewer[at] -= 1
                more[at] += 1
                if works[at]:
                    yield number[state], number[(*fewer, job)], works[at] * per_hour[part]
                if works[at] < full[part] and not job:
                    yield number[state], number[(*works, part)], find
                if job == part:
                    yield number[state], number[(*more, "")], mends[part]

    pi = stationary(len(states), edges())

    def connected(state: tuple[int, int, int, int, int, str], many: int) -> bool:
        left, right, s, t, b, _ = state
        return max(left * s, right * t, (left + right) * s * t * b) >= many

    premium = sum(p for state, p in zip(states, pi, strict=True) if connected(state, n))
    minimum = sum(p for state, p in zip(states, pi, strict=True) if connected(state, 2))
    stations = sum(p * 100 * (state[0] + state[1]) / (2 * n) for state, p in zip(states, pi, strict=True))
    repairs = sum(p * mends[state[5]] for state, p in zip(states, pi, strict=True) if state[5])
    life = member(
        tmp_path, "workstation_cluster", "stations=3", "station_fails=100 h", "switch_fails=300 h",
        "backbone_fails=700 h", "inspection=10 min", "station_repair=20 min", "switch_repair=2 h",
        "backbone_repair=5 h",
    )  # fmt: skip
    assert len(life.nodes) == len(states)
    solution = Solution(life)
    assert 1.0 - solution.unavailability - solution.degraded == pytest.approx(premium, rel=1e-10)
    assert solution.unavailability == pytest.approx(1.0 - minimum, rel=1e-8)
    assert solution.reward("stations_at_work") == pytest.approx(stations, rel=1e-10)
    assert solution.reward("repairs") * HOUR_S == pytest.approx(repairs, rel=1e-10)


def test_an_embedded_controller_whose_parts_last_for_ever(tmp_path: Path) -> None:
    """Only transient faults of input and output are left: bus and counter by hand, absorbed by too many skips.

    In hours, from the words of the model; a state is input up, output up, skipped, computed, input and output wait.
    """
    fault, reboot, cycle, most = 1 / 2.0, 60.0, 30.0, 1
    start = (True, True, 0, True, True, False)

    def ways(state: tuple) -> Iterator[tuple[float, tuple]]:
        i, o, skipped, done, inp, out = state
        if i:
            yield fault, (False, o, skipped, done, inp, out)
        else:
            yield reboot, (True, o, skipped, done or not out, True, not o)
        if o:
            yield fault, (i, False, skipped, done, inp, out)
        else:
            yield reboot, (i, True, skipped, done or inp, i, False)
        after = 0 if done else skipped + 1
        yield cycle, (i, o, after, inp and not out, i or (inp and out), not o and (out or inp))

    states, todo = {start: 0}, [start]
    for state in todo:
        for _, to in ways(state):
            if to[2] <= most and to not in states:
                states[to] = len(states)
                todo.append(to)
    Q = np.zeros((len(states), len(states)))
    for state, i in states.items():
        for rate, to in ways(state):
            Q[i, i] -= rate
            if to in states:
                Q[i, states[to]] += rate
    both_up = np.array([float(state[0] and state[1]) for state in states])
    hours = np.linalg.solve(-Q, np.array([both_up, 1.0 - both_up]).T)[0]
    never = [f"{part}_fails=900000 y" for part in ("sensor", "actuator", "processor")]
    solution = Solution(
        member(
            tmp_path, "embedded_controller", "skipped_cycles=1", "transient=2 h", "reboot=60 s", "cycle=120 s", *never
        )
    )
    rate = outages(solution).rate
    up = 1.0 - solution.unavailability - solution.degraded
    assert (up / rate / HOUR_S, solution.degraded / rate / HOUR_S) == pytest.approx(tuple(hours), rel=1e-6)
    assert solution.begins("io") / rate == pytest.approx(1.0, abs=1e-5)


def test_sensors_and_actuators_alone(tmp_path: Path) -> None:
    """Without transient faults and dead processors: two sums of exponentials race, each by its own hypoexponential."""
    solution = Solution(
        member(
            tmp_path, "embedded_controller", "sensors=4", "actuators=3", "sensor_fails=10 d", "actuator_fails=7 d",
            "processor_fails=900000 y", "transient=900000 y", "replacement=1 h",
        )
    )  # fmt: skip

    def survival(works: int, needed: int, days: float, t: float) -> float:
        stages = [k / days for k in range(works, needed - 1, -1)]
        G = np.diag([-rate for rate in stages]) + np.diag(stages[:-1], 1)
        return float(linalg.expm(G * t)[0].sum())

    mean_days = integrate.quad(lambda t: survival(4, 2, 10.0, t) * survival(3, 1, 7.0, t), 0, 400, limit=200)[0]
    found = outages(solution)
    assert (1.0 - solution.unavailability) / found.rate / DAY_S == pytest.approx(mean_days, rel=1e-5)
    density = integrate.quad(
        lambda t: (survival(4, 2, 10.0, t) - survival(4, 2, 10.0, t + 1e-4)) / 1e-4 * survival(3, 1, 7.0, t), 0, 400,
        limit=200,
    )[0]  # fmt: skip
    assert solution.begins("sensors") / found.rate == pytest.approx(density, rel=1e-4)


@pytest.mark.parametrize(
    ("lam", "mu", "xi", "eta"), [(0.6, 1.0, 0.01, 0.2), (0.3, 1.0, 0.1, 0.5), (0.5, 0.8, 0.02, 0.1)]
)
def test_breakdowns_at_any_time(tmp_path: Path, lam: float, mu: float, xi: float, eta: float) -> None:
    """Mitrany, Avi-Itzhak 1968."""
    solution = Solution(
        member(
            tmp_path, "queue_with_breakdowns", f"arrivals={lam} /s", f"service={1 / mu!r} s", f"breakdowns={xi} /s",
            f"repair={1 / eta!r} s", "room=1000",
        )
    )  # fmt: skip
    expected = lam * ((xi + eta) ** 2 + mu * xi) / ((xi + eta) * (mu * eta - lam * (xi + eta)))
    assert solution.reward("customers") == pytest.approx(expected, rel=1e-9)
    assert solution.reward("time_in_system") == pytest.approx(expected / lam, rel=1e-9)
    assert solution.unavailability == pytest.approx(xi / (xi + eta), rel=1e-9)
    assert solution.reward("full") < 1e-9


@pytest.mark.parametrize(
    ("lam", "xi", "repair", "c2"), [(0.5, 0.05, 2.0, 4.0), (0.4, 0.2, 1.0, 1.0), (0.4, 0.01, 9.0, 9.0)]
)
def test_breakdowns_in_service(tmp_path: Path, lam: float, xi: float, repair: float, c2: float) -> None:
    """Gaver 1962, exponential service of mean 1."""
    solution = Solution(
        member(
            tmp_path, "queue_with_breakdowns", f"arrivals={lam} /s", f"breakdowns={xi} /s", f"repair={repair} s",
            f"repair_c2={c2}", "strikes=in_service", "room=1000",
        )
    )  # fmt: skip
    first, second = 1 + xi * repair, 2 * (1 + xi * repair) ** 2 + xi * (1 + c2) * repair**2
    expected = first + lam * second / (2 * (1 - lam * first))
    assert solution.reward("time_in_system") == pytest.approx(expected, rel=1e-8)
    assert solution.unavailability == pytest.approx(lam * xi * repair, rel=1e-8)


def test_duplex(tmp_path: Path) -> None:
    """V6 as five balance equations, in hours."""
    fails, mend, failover, uncovered, c = 1 / 1000, 2.0, 60.0, 0.5, 0.9
    rates = [(0, 1, 2 * fails * c), (0, 2, 2 * fails * (1 - c)), (1, 3, failover), (2, 3, uncovered), (3, 0, mend)]
    pi = stationary(5, iter([*rates, (3, 4, fails), (4, 3, mend)]))
    solution = Solution(
        member(
            tmp_path, "duplex", "fails=1000 h", "repair=30 min", "coverage=0.9", "failover=exponential(mean=1 min)",
            "uncovered=exponential(mean=2 h)",
        )
    )  # fmt: skip
    assert solution.unavailability == pytest.approx(pi[1] + pi[2] + pi[4], rel=1e-10)
    by_cause = {cause: math.fsum(phases.values()) for cause, phases in solution.downtime_by_cause().items()}
    assert by_cause == pytest.approx({"covered": pi[1], "uncovered": pi[2], "exhausted": pi[4]}, rel=1e-9)
    sure = Solution(member(tmp_path, "duplex", "coverage=1.0"))
    assert "uncovered" not in sure.life.index


# ---------------------------------------------------------------- semi-Markov models by their formulas


def test_rejuvenation_by_a_constant_timer(tmp_path: Path) -> None:
    """C6, another member: P(fails before t0) = 1 - exp(-lam t0), and the mean time to the first of both."""
    lam, t0 = 1 / 2000, 300.0
    solution = Solution(
        member(
            tmp_path, "rejuvenation", "ageing=100 h", "fails=exponential(mean=2000 h)", "timer=300 h", "repair=3 h",
            "restart=30 min", "failure_cost=10.0", "restart_cost=1.0",
        )
    )  # fmt: skip
    p = -math.expm1(-lam * t0)
    down, cycle = 3.0 * p + 0.5 * (1 - p), 100.0 + p / lam + 3.0 * p + 0.5 * (1 - p)
    assert solution.unavailability == pytest.approx(down / cycle, rel=1e-12)
    assert solution.reward("cost") * HOUR_S == pytest.approx((30.0 * p + 0.5 * (1 - p)) / cycle, rel=1e-12)


@pytest.mark.parametrize("interval_h", [500.0, 1328.8, 4000.0])
def test_age_replacement(tmp_path: Path, interval_h: float) -> None:
    """V8: F d1 + (1 - F) d3 over the integral of 1 - F plus that."""
    scale = 4380.0 / math.gamma(1.5)

    def survival(t: float) -> float:
        return math.exp(-((t / scale) ** 2))

    left = survival(interval_h)
    down = (1 - left) * 0.25 + left / 60.0
    up = integrate.quad(survival, 0.0, interval_h, epsabs=0.0, epsrel=1e-12)[0]
    solution = Solution(member(tmp_path, "age_replacement", f"interval={interval_h} h"))
    assert solution.unavailability == pytest.approx(down / (up + down), rel=1e-10)


def test_the_best_age_meets_its_own_condition(tmp_path: Path) -> None:
    """At the best interval the loss is stationary: two nearby ones are worse, by the formula above."""
    path = tmp_path / "v8.toml"
    path.write_text((EXPERIMENTS / "scenarios" / "v8_age_replacement.toml").read_text("utf-8"), "utf-8")
    best = exact_value(Member(load(str(path))), "best interval", "h")
    assert best is not None
    losses = [
        Solution(member(tmp_path, "age_replacement", f"interval={best.value * factor!r} h")).unavailability
        for factor in (0.99, 1.0, 1.01)
    ]
    assert losses[1] < min(losses[0], losses[2])
    assert losses[0] - losses[1] == pytest.approx(losses[2] - losses[1], rel=0.1)


@pytest.mark.parametrize("interval_h", [2.0, 12.0, 40.0])
def test_checkpoints(tmp_path: Path, interval_h: float) -> None:
    """Daly's mean time of one segment: (M + R) (exp((tau + d) / M) - 1), with a restart that cannot fail."""
    mtbf, saves, restart = 100.0, 0.25, 0.5
    segment = (mtbf + restart) * math.expm1((interval_h + saves) / mtbf)
    solution = Solution(
        member(
            tmp_path, "checkpoint_restart", f"interval={interval_h} h", "checkpoint=15 min", "fails=100 h",
            "restart=30 min",
        )
    )  # fmt: skip
    assert solution.event_rate("checkpoint") * HOUR_S == pytest.approx(1 / segment, rel=1e-10)
    assert outages(solution).mean_s == pytest.approx(1800.0, rel=1e-13)


def test_a_sum_of_stages(tmp_path: Path) -> None:
    solution = Solution(
        member(tmp_path, "sum_of_stages", 'stages={a = "10 s", b = "exponential(mean=20 s)", c = "uniform(0 s, 6 s)"}')
    )
    found = outages(solution)
    assert (found.mean_s, found.sd_s**2) == pytest.approx((33.0, 400.0 + 3.0), rel=1e-12)
    assert set(solution.downtime_by_cause()["failure"]) >= {"a", "b", "c"}


def weibull(shape: float, mean: float) -> Callable[[float], float]:
    scale = mean / math.gamma(1 + 1 / shape)
    return lambda t: -math.expm1(-((t / scale) ** shape))


@pytest.mark.parametrize("shape", [0.75, 1.5])
def test_the_renewal_function(tmp_path: Path, shape: float) -> None:
    """V3: m(T) = F(T) + integral of m(T - x) dF(x), on a grid of 2000 steps by the middle of each."""
    life = member(tmp_path, "alternating_renewal", f"up=weibull(shape={shape}, mean=4380 h)", "down=0 s")
    steps = 2000
    law = weibull(shape, 4380.0)
    F = np.array([law(8760.0 * k / steps) for k in range(steps + 1)])
    m = np.zeros(steps + 1)
    for k in range(1, steps + 1):
        middles = 0.5 * (m[k - 1 :: -1][:k] + m[k:0:-1][:k]) if k > 1 else np.zeros(1)
        # the first of these middles holds half of m[k] itself, still zero here
        m[k] = (F[k] + float(np.dot(middles, np.diff(F)[:k]))) / (1.0 - 0.5 * F[1])
    assert Interval(life).entries({"down"}, YEAR_S) == pytest.approx(float(m[-1]), rel=2e-3)


def test_the_hazard_of_lanl_gives_its_rates_back(tmp_path: Path) -> None:
    """B20: 0.174 failures by the operating system per node and year, 1.30 in all, with repairs that take time."""
    for rate in (0.174, 1.30):
        life = member(
            tmp_path, "alternating_renewal", f"up=weibull(shape=0.7, mean={8760 / rate!r} h)",
            "down=lognormal(median=40.125 min, sigma=1.199)",
        )  # fmt: skip
        found = outages(Solution(life))
        repair = 40.125 * math.exp(1.199**2 / 2) * MINUTE_S
        assert found.rate * YEAR_S == pytest.approx(1 / (1 / rate + repair / YEAR_S), rel=1e-10)
        assert found.mean_s == pytest.approx(repair, rel=1e-12)
