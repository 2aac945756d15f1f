"""The micro reader's disk and network card, each alone on a clock, against queueing theory.

One long run gives one number. Its standard deviation comes from the exact chain: with g the solution of Poisson's
equation, the variance of an additive functional grows by E[(g(after) - g(before) + jump)^2] per unit of time.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator

import numpy as np
import pytest

from ksim.linux import netdev
from ksim.micro.blkdev import BlockDevice, Ladder, Request
from ksim.micro.clock import Clock
from ksim.micro.cpu import Scheduler
from ksim.micro.netdev import Call, NetDevice, Socket
from ksim.micro.strike import Trigger
from tests.stat import FALSE_FAIL, FALSE_PASS, assert_cdf, assert_mean, cdf_n, z

UNIT = 1_000_000
"""ns of one unit of time of the formulas: rounding to whole ns is 1e-6 of it."""
LEVELS = 160
"""Customers up to which chains are solved: the geometric tails below are under 1e-25 there."""
SEEN = z(1 - FALSE_FAIL / 2) + z(1 - FALSE_PASS) + 0.01
"""Standard deviations that one number of known variance can tell apart at the suite's two rates."""

Array = np.ndarray
Law = Callable[[np.random.Generator, int], Array]


def exponential(mean: float) -> Law:
    return lambda rng, n: rng.exponential(mean, n)


def endless(law: Law, rng: np.random.Generator) -> Iterator[int]:
    while True:
        yield from (law(rng, 4096) * UNIT).round().astype(np.int64).tolist()


# ---------------------------------------------------------------- exact chains


def chain(size: int, rates: Callable[[int], dict[int, float]]) -> Array:
    Q = np.zeros((size, size))
    for state in range(size):
        for to, rate in rates(state).items():
            if to < size:
                Q[state, to] += rate
    np.fill_diagonal(Q, -Q.sum(axis=1))
    return Q


def stationary(Q: Array) -> Array:
    A = Q.T.copy()
    A[-1] = 1.0
    return np.linalg.solve(A, np.eye(len(Q))[-1])


def poisson(Q: Array, f: Array) -> Array:
    """g with Q g = f and g = 0 in the first state."""
    return np.append(0.0, np.linalg.solve(Q[1:, 1:], f[1:]))


def solved(Q: Array, f: Array, jump: Array | float = 0.0) -> tuple[float, float]:
    """Long-run mean of f + jumps per unit of time, and the growth of the variance of its integral."""
    rates = Q - np.diag(np.diag(Q))
    pi = stationary(Q)
    earns = f + (rates * jump).sum(axis=1)
    mean = float(pi @ earns)
    g = poisson(Q, mean - earns)
    steps = g[None, :] - g[:, None] + jump
    return mean, float(pi @ (rates * steps**2).sum(axis=1))


def departures(lam: float, service: Array) -> tuple[float, float]:
    """M/G/1 at departures, ``service`` as equally likely times: mean number left behind, growth of its variance."""
    k = np.arange(LEVELS)
    log_factorial = np.array([math.lgamma(i + 1.0) for i in k])
    s = service[:, None] * lam
    arrive = np.exp(k * np.log(s) - s - log_factorial).mean(axis=0)
    P = np.zeros((LEVELS, LEVELS))
    for n in range(LEVELS):
        left = max(n - 1, 0)
        P[n, left:] = arrive[: LEVELS - left]
    P[:, -1] += 1.0 - P.sum(axis=1)
    Q = P - np.eye(LEVELS)
    pi = stationary(Q)
    mean = float(pi @ k)
    g = poisson(Q, mean - k)
    return mean, float(pi @ (P * (g[None, :] - (P @ g)[:, None]) ** 2).sum(axis=1))


# ---------------------------------------------------------------- a disk under Poisson arrivals


def never() -> Trigger:
    return Trigger(lambda: 0.5)


def no() -> bool:
    return False


class Station:
    """A disk and its arrivals. ``area``: integral of the number in the system, in ns; ``times``: of those served."""

    def __init__(self, lam: float, service: Law, channels: int = 1, seed: int = 1) -> None:
        self.rng = np.random.default_rng(seed)
        self.clock = Clock()
        draw = endless(service, self.rng).__next__
        self.disk = BlockDevice(
            self.clock,
            "sda",
            "scsi",
            channels=channels,
            service_ns={"read": draw, "write": draw, "flush": draw},
            page_ns={"read": 0, "write": 0, "flush": 0},
            ladder=Ladder(never(), never(), no, no),
            log=lambda lines: pytest.fail(str(lines)),
        )
        self.area = self.since = 0
        self.arrived = 0
        self.times: list[int] = []
        self.left: list[int] = []
        self.waiting: dict[Request, None] = {}
        self._gap = endless(exponential(1.0 / lam), self.rng).__next__
        self.clock.after(self._gap(), self._arrives)

    def look(self, was: int) -> None:
        """``was`` in the system since the last look."""
        self.area += was * (self.clock.now - self.since)
        self.since = self.clock.now

    def _arrives(self) -> None:
        self.look(self.disk.in_flight)
        self.arrived += 1
        request = Request(self.clock, "read", 1, self._done)
        self.waiting[request] = None
        self.disk.submit(request)
        self.clock.after(self._gap(), self._arrives)

    def _done(self, request: Request) -> None:
        self.look(self.disk.in_flight + 1)
        del self.waiting[request]
        self.times.append(self.clock.now - request.issued_ns)
        self.left.append(self.disk.in_flight)

    def play(self, units: float) -> None:
        self.clock.play(self.clock.now + round(units * UNIT))
        self.look(self.disk.in_flight)

    def settled(self, units: float) -> Station:
        """Past the relaxation time by far: what began empty is stationary now."""
        self.play(units)
        self.area = self.arrived = 0
        self.times, self.left = [], []
        return self


def check(station: Station, units: float, Q: Array, number: Array, lam: float, expected: float) -> None:
    """Mean number and mean time against ``expected`` = E[N]; ``number``: customers by state; arrivals go up by one."""
    mean, grows = solved(Q, number)
    assert mean == pytest.approx(expected, rel=1e-8)
    station.play(units)
    sd = math.sqrt(grows / units)
    assert_mean([station.area / UNIT / units], expected, sd, detects=SEEN * sd, what="mean number")
    up = np.sign(number[None, :] - number[:, None]).clip(min=0)
    _, grows = solved(Q, number, -expected / lam * up)
    sd = math.sqrt(grows / units) / lam
    found = station.area / UNIT / station.arrived
    assert_mean([found], expected / lam, sd, detects=SEEN * sd, what="mean time")


@pytest.mark.parametrize(("channels", "rho"), [(1, 0.6), (3, 0.7), (8, 0.8)])
def test_exponential_service(channels: int, rho: float) -> None:
    """M/M/1 and M/M/c: Erlang's C."""
    lam, units = rho * channels, 80_000.0 / channels
    offered = lam
    last = offered**channels / math.factorial(channels) / (1 - rho)
    waits = last / (sum(offered**k / math.factorial(k) for k in range(channels)) + last)
    Q = chain(LEVELS, lambda n: {n + 1: lam} | ({n - 1: float(min(n, channels))} if n else {}))
    station = Station(lam, exponential(1.0), channels, seed=channels).settled(500.0)
    check(station, units, Q, np.arange(LEVELS, dtype=float), lam, offered + waits * rho / (1 - rho))
    assert station.disk.busy_ns / UNIT / station.clock.now * UNIT == pytest.approx(offered, rel=0.05)


def test_the_time_in_a_single_server_is_exponential() -> None:
    """M/M/1, FIFO: rate mu - lambda. Every 60th is 100 units from the next, five relaxation times."""
    station = Station(0.6, exponential(1.0), seed=4).settled(500.0)
    n = cdf_n(0.1)
    station.play(60 * (n + 50) / 0.6)
    times = [t / UNIT for t in station.times[::60]]
    assert_cdf(times, lambda x: 1.0 - np.exp(-0.4 * np.maximum(x, 0.0)), detects=0.1, what="time in M/M/1")


QUANTILES = (np.arange(20_000) + 0.5) / 20_000


@pytest.mark.parametrize(
    ("service", "times", "second"),
    [
        pytest.param(lambda rng, n: np.ones(n), np.ones(1), 1.0, id="constant"),
        pytest.param(
            lambda rng, n: rng.lognormal(-0.18, 0.6, n),
            np.exp(-0.18 + 0.6 * np.vectorize(z)(QUANTILES)), math.exp(0.36), id="lognormal",
        ),
    ],
)  # fmt: skip
def test_pollaczek_khinchine(service: Law, times: Array, second: float) -> None:
    lam = 0.65
    expected = lam + lam**2 * second / (2 * (1 - lam))
    mean, grows = departures(lam, times)
    assert mean == pytest.approx(expected, rel=1e-3)
    station = Station(lam, service, seed=5).settled(500.0)
    station.play(80_000.0)
    sd = math.sqrt(grows / len(station.left))
    found = sum(station.left) / len(station.left)
    assert_mean([found], expected, sd, detects=SEEN * sd, what="number left behind")


@pytest.mark.parametrize(("channels", "lam"), [(1, 0.9), (4, 3.0)])
def test_littles_law_holds_on_every_path(channels: int, lam: float) -> None:
    """Exactly, in whole ns, outages included: who is in the system pays one ns per ns."""
    station = Station(lam, exponential(1.0), channels, seed=6)
    for pause in (0.0, 3.0, 0.5):
        station.disk.freeze(round(pause * UNIT))
        station.play(2_000.0)
        pending = sum(station.clock.now - request.issued_ns for request in station.waiting)
        assert station.area == sum(station.times) + pending
        assert station.arrived == len(station.times) + len(station.waiting) == station.disk.issued
        assert len(station.waiting) == station.disk.in_flight


# ---------------------------------------------------------------- a disk that breaks down


def breaks(station: Station, xi: float, repair: Law, *, only_busy: bool) -> None:
    """Breakdowns, which nothing but an intact disk can have; without memory, so that an idle one may be asked too."""
    gap = endless(exponential(1.0 / xi), station.rng).__next__
    lasts = endless(repair, station.rng).__next__

    def strikes() -> None:
        down = lasts() if station.disk.busy or not only_busy else 0
        station.disk.freeze(down)
        station.clock.after(down + gap(), strikes)

    station.clock.after(gap(), strikes)


def test_breakdowns_at_any_time() -> None:
    """V4 of the field data (Mitrany, Avi-Itzhak 1968), preemptive resume."""
    lam, mu, xi, eta = 0.6, 1.0, 0.01, 0.2
    expected = lam * ((xi + eta) ** 2 + mu * xi) / ((xi + eta) * (mu * eta - lam * (xi + eta)))
    assert expected == pytest.approx(2.0888030888, abs=5e-11)
    assert expected / lam == pytest.approx(3.48133848, abs=5e-9)

    def rates(state: int) -> dict[int, float]:
        n, down = divmod(state, 2)
        turns = {state - 1: eta} if down else {state + 1: xi}
        return {state + 2: lam} | turns | ({state - 2: mu} if n and not down else {})

    station = Station(lam, exponential(1.0 / mu), seed=7)
    breaks(station, xi, exponential(1.0 / eta), only_busy=False)
    number = np.arange(2 * LEVELS) // 2
    check(station.settled(2_000.0), 100_000.0, chain(2 * LEVELS, rates), number.astype(float), lam, expected)


def test_breakdowns_in_service_only() -> None:
    """V5 of the field data (Gaver 1962), repairs hyperexponential with a squared coefficient of variation of 4."""
    lam, xi, repair, c2 = 0.5, 0.05, 2.0, 4.0
    completion, second = 1 + xi * repair, 2 * (1 + xi * repair) ** 2 + xi * (1 + c2) * repair**2
    queued = lam * second / (2 * (1 - lam * completion))
    assert (completion, second, queued) == (pytest.approx(1.1), pytest.approx(3.42), pytest.approx(1.9))
    first = 0.5 * (1 + math.sqrt((c2 - 1) / (c2 + 1)))
    shares = (first, 1 - first)
    ends = [2 * p / repair for p in shares]

    def rates(state: int) -> dict[int, float]:
        n, phase = divmod(state, 3)
        if phase:
            return {state + 3: lam, state - phase: ends[phase - 1]}
        return {state + 3: lam} | ({state - 3: 1.0, state + 1: xi * shares[0], state + 2: xi * shares[1]} if n else {})

    def hyper(rng: np.random.Generator, n: int) -> Array:
        return rng.exponential(1.0, n) / np.where(rng.random(n) < first, ends[0], ends[1])

    Q = chain(3 * LEVELS, rates)
    Q[1:3] = 0.0  # no breakdown of an empty system: two states that nobody reaches
    Q[1:3, 0], Q[1, 1], Q[2, 2] = 1.0, -1.0, -1.0
    station = Station(lam, exponential(1.0), seed=8)
    breaks(station, xi, hyper, only_busy=True)
    number = np.arange(3 * LEVELS) // 3
    check(station.settled(2_000.0), 100_000.0, Q, number.astype(float), lam, lam * (queued + completion))


def test_service_is_resumed_where_it_was_interrupted() -> None:
    """To the ns, which the means above would hardly notice: outages that overlap count once."""
    station = Station(1e-9, lambda rng, n: np.full(n, 10.0), seed=11)
    done: list[int] = []
    for _ in range(2):
        station.disk.submit(Request(station.clock, "read", 1, lambda request: done.append(station.clock.now // UNIT)))
    for at, lasts in ((4, 3), (5, 2), (6, 6), (25, 1)):  # down from 4 to 12, and from 25 to 26
        station.clock.after(at * UNIT, lambda lasts=lasts: station.disk.freeze(lasts * UNIT))
    station.clock.play(100 * UNIT)
    assert done == [18, 29]


# ---------------------------------------------------------------- the wire


def card(clock: Clock, byte_ns: float = 8.0) -> NetDevice:
    scheduler = Scheduler(clock, 1, release=(6, 12), hz=250, switch_ns=0)
    return NetDevice(
        clock, "eth0", "ixgbe", netdev.driver("ixgbe"), byte_ns=byte_ns, hang=never(), drop=never(), flap=never(),
        reset_ns=lambda: 10**9, carrier_ns=lambda: 10**9, cpus=scheduler.cpus, socket=Socket(16),
        log=lambda lines: None, on_irq=lambda point, cpu: None, armed={}, release=(6, 12),
    )  # fmt: skip


def test_the_wire_is_first_come_first_served() -> None:
    """Lindley's recursion, to the ns: each packet leaves when it has been carried after all those before it."""
    clock, rng = Clock(), np.random.default_rng(9)
    nic = card(clock)
    gaps, sizes = rng.exponential(9_000.0, 400).astype(int).tolist(), rng.integers(64, 1500, 400).tolist()
    at, free, ends = 0, 0, []
    for number, (gap, size) in enumerate(zip(gaps, sizes, strict=True)):
        at += gap
        call = Call(number, at)
        clock.after(at, lambda call=call, size=size: nic.send(call, size))
        free = max(at, free) + 1 + size * 8
        ends.append((free, at))
    for done, (end, _) in enumerate(ends):
        clock.play(end - 1)
        assert nic.completed == done
        clock.play(end)
        assert nic.completed == done + 1
    assert nic.latency_ns == sum(end - issued for end, issued in ends)
    assert nic.worst_ns == max(end - issued for end, issued in ends)
    assert 0.5 < sum(sizes) * 8 / free < 1.0, "a busy wire that is idle now and then"


def test_a_busy_wire_carries_what_it_can() -> None:
    """Offered twice its rate for a second, it carries its own, and the rest afterwards."""
    clock = Clock()
    nic = card(clock, byte_ns=10.0)
    for number in range(20_000):
        clock.after(number * 50_000, lambda number=number: nic.send(Call(number, number * 50_000), 10_000))
    clock.play(10**9)
    assert nic.completed == 10**9 // 100_001
    clock.play(3 * 10**9)
    assert nic.completed == 20_000


def test_after_a_reset_the_wire_carries_in_the_old_order() -> None:
    clock = Clock()
    nic = card(clock)
    nic.hang = Trigger(lambda: 0.5, nth=2)
    for number in range(5):
        nic.send(Call(number, 0), 1000 * (number + 1))
    clock.play(5_999_999_999)
    assert (nic.completed, nic.is_up, nic.resets) == (0, False, 1)
    end = 6 * 10**9
    for number in range(5):
        end += 1 + 8000 * (number + 1)
        clock.play(end - 1)
        assert nic.completed == number
    clock.play(end)
    assert nic.completed == 5
