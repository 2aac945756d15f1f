"""A network card and its driver: rings, interrupts and NAPI polls, a TX queue that can hang, and the clients outside.

A packet that finds no room in the ring, or no link, is dropped, and its sender tries again after TCP's retransmission
timeout. The carrier can be lost and come back: replies wait in the TX ring meanwhile. Each CPU hears the packets of its
own flows: one that takes no more interrupts leaves them in their ring, and the rest of the card goes on. A TX queue
that hangs is seen by the TX watchdog, and the driver resets the card: the link is down meanwhile
(``ksim.linux.netdev``). No failure of a network card panics the kernel.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping, Sequence
from heapq import heappush
from typing import TYPE_CHECKING, Any

from ksim.linux.console import devices
from ksim.linux.netdev import NAPI_WEIGHT, Driver, watchdog_warns
from ksim.linux.vocabulary import Release
from ksim.micro.clock import Clock
from ksim.micro.locks import Spinlock
from ksim.micro.strike import Trigger
from ksim.units import to_ns

if TYPE_CHECKING:
    from ksim.micro.cpu import CPU
    from ksim.micro.task import Task

COALESCE_NS = 20_000
"""From a packet to its interrupt: rx-usecs of interrupt moderation, about 20 us in Intel's drivers."""
IRQ_NS, PACKET_NS = 1_000, 1_500
"""CPU time of a hard interrupt, and of one packet in softirq up to its socket. ASSUMED."""
QUEUE_LOCK_NS = 400
"""That a task holds the lock of the TX queue: a descriptor, and a write to the doorbell of the card. ASSUMED."""
RTO_NS = 200_000_000
"""TCP_RTO_MIN, include/net/tcp.h; doubled at each try."""
_WEIGHT: int = NAPI_WEIGHT.value
MAX_TRIES = 8
"""A client gives up after 51 s."""


class Call:
    """One request of a client: ``tries`` so far; ``replied``: the server has done its part."""

    __slots__ = ("issued_ns", "number", "replied", "tries")

    def __init__(self, number: int, issued_ns: int) -> None:
        self.number, self.issued_ns = number, issued_ns
        self.tries = 0
        self.replied = False


class Socket:
    """A listening socket: calls that wait for a worker, and workers that wait for a call."""

    def __init__(self, backlog: int) -> None:
        self.backlog = backlog
        self.calls: deque[Call] = deque()
        self.idle: deque[Task] = deque()

    def deliver(self, call: Call) -> bool:
        """False: the queue is full."""
        calls = self.calls
        if len(calls) >= self.backlog:
            return False
        calls.append(call)
        self.wake_one()
        return True

    def wake_one(self) -> None:
        """A worker takes the next call; the dead ones among them do not."""
        idle = self.idle
        while idle:
            task = idle.popleft()
            if task.state == "S" and not task.is_stuck:
                task.wake()
                return


class NetDevice:
    """A network card. ``byte_ns``: time on the wire; ``hang``: per packet sent; ``drop``, ``flap``: per packet that
    arrives; the latter loses the carrier for ``carrier_ns``. ``warns``: what a report of the TX watchdog is for
    releases that take it for a WARN.

    Calls: ``issued`` = ``completed`` + ``lost`` + ``in_flight`` at all times. ``latency_ns`` adds up those completed.
    """

    # What each packet asks for has slots: as with tasks, too many attributes are slow ones.
    __slots__ = (
        "__dict__", "_armed", "_blocked", "_byte_ns", "_cpus", "_eid", "_heap", "_irq", "_is_polling", "_polled_ns",
        "_sent_one", "_wire_free_ns", "clock", "completed", "drop", "flap", "hang", "is_hung", "is_up", "issued",
        "latency_ns", "packets", "queue_lock", "ring", "rules", "sending", "socket", "unheard", "worst_ns",
    )  # fmt: skip

    def __init__(
        self,
        clock: Clock,
        name: str,
        driver: str,
        rules: Driver,
        *,
        byte_ns: float,
        hang: Trigger,
        drop: Trigger,
        flap: Trigger,
        reset_ns: Callable[[], int],
        carrier_ns: Callable[[], int],
        cpus: Sequence[CPU],
        socket: Socket,
        log: Callable[[list[str]], None],
        on_irq: Callable[[str, CPU], None],
        armed: Mapping[str, Any],
        release: Release,
        warns: Callable[[], None] | None = None,
    ) -> None:
        self.clock, self.name, self.driver, self.rules = clock, name, driver, rules
        self._heap, self._eid = clock._queue, clock._eid
        self._irq, self._sent_one = self._interrupt, self._sent  # bound once
        self._byte_ns, self.hang, self.drop, self.flap = byte_ns, hang, drop, flap
        self._reset_ns, self._carrier_ns = reset_ns, carrier_ns
        self._cpus, self.socket, self._log, self._on_irq = cpus, socket, log, on_irq
        self._armed = armed
        self._release, self._warns = release, warns
        self.ring: deque[Call] = deque()
        self.unheard: dict[CPU, deque[Call]] = {}
        self._is_polling = False
        self.is_up, self.is_hung = True, False
        self.queue_lock = Spinlock("_xmit_lock", clock, QUEUE_LOCK_NS)
        self.sending: deque[tuple[Call, int]] = deque()
        self._blocked: deque[Task] = deque()
        self._wire_free_ns = 0
        self.issued = self.completed = self.lost = 0
        self.dropped = self.flaps = self.resets = self.retransmits = self.packets = 0
        self.helpers: dict[int, Task] = {}
        self._polled_ns = 0
        self.latency_ns = self.worst_ns = 0

    @property
    def in_flight(self) -> int:
        """Calls that clients still wait for."""
        return self.issued - self.completed - self.lost

    # ---------------------------------------------------------------- from outside

    def call(self) -> Call:
        """A new request of a client arrives."""
        self.issued += 1
        call = Call(self.issued, self.clock._now)
        self._arrives(call)
        return call

    def _arrives(self, call: Call) -> None:
        flaps, is_dropped, ring = self.flap.due, self.drop.due, self.ring
        if self.is_up and flaps():
            self._loses_carrier()
        if self.unheard:
            ring = self.unheard.get(self._hears(call), ring)
        if not self.is_up or len(ring) >= self.rules.rx_ring or is_dropped():
            self.dropped += 1
            self._again(call)
            return
        ring.append(call)
        if not self._is_polling and ring is self.ring:
            self._is_polling = True
            heappush(self._heap, (self.clock._now + COALESCE_NS, next(self._eid), self._irq))

    def _again(self, call: Call) -> None:
        call.tries += 1
        if call.tries > MAX_TRIES:
            self.lost += 1
            return
        self.retransmits += 1
        self.clock.after(RTO_NS << (call.tries - 1), lambda: self._arrives(call))

    def abandons(self, call: Call) -> None:
        """The worker that served it died: the connection is reset."""
        if not call.replied:
            self.lost += 1

    # ---------------------------------------------------------------- receiving

    def _hears(self, call: Call) -> CPU:
        """The CPU that the interrupts of the call's flow go to."""
        return self._cpus[call.number % len(self._cpus)]

    def unheard_by(self, deaf: CPU) -> None:
        """A CPU takes no more interrupts: those of the card stay pending, and the packets in the ring."""
        if deaf not in self.unheard:
            self.unheard[deaf] = deque(call for call in self.ring if self._hears(call) is deaf)
            self.ring = deque(call for call in self.ring if self._hears(call) is not deaf)

    def _raises(self) -> None:
        heappush(self._heap, (self.clock._now + COALESCE_NS, next(self._eid), self._irq))

    def _interrupt(self) -> None:
        """The hard interrupt only starts a poll, on the CPU that the packet's flow belongs to."""
        ring, cpus = self.ring, self._cpus
        if not ring:  # a deaf CPU has taken it all
            self._is_polling = False
            return
        cpu = cpus[ring[0].number % len(cpus)]
        if self._armed:
            self._on_irq("handle_irq_event", cpu)
            if cpu.is_deaf:
                self._raises()  # of another queue
                return
        cpu.interrupt(IRQ_NS)
        self._poll(cpu)

    def _poll(self, cpu: CPU) -> None:
        """NAPI in softirq; when it has used up its time (2 ticks), ksoftirqd goes on as a task like any other."""
        if self._armed:
            self._on_irq("napi_poll", cpu)
        if cpu.is_deaf:
            self._raises()
            return
        work_ns = self.poll_once()
        cpu.interrupt(work_ns)
        if not self.ring:
            self._polled_ns = 0
            return
        self._polled_ns += work_ns
        helper = self.helpers.get(cpu.number)
        if (
            self._polled_ns > 2 * cpu.scheduler.tick_ns
            and helper is not None
            and helper.state == "S"
            and not cpu.is_lost
        ):
            self._polled_ns = 0
            helper.wake()
        else:
            self.clock.after(work_ns, lambda: self._poll(cpu))

    def poll_once(self) -> int:
        """Up to 64 packets from the ring to their socket. The CPU time that it takes, in ns: 0 if the ring is empty."""
        ring, deliver = self.ring, self.socket.deliver
        packets = len(ring)
        if packets > _WEIGHT:
            packets = _WEIGHT
        self.packets += packets
        for _ in range(packets):
            call = ring.popleft()
            if not deliver(call):
                self.dropped += 1
                self._again(call)
        self._is_polling = bool(ring)
        return packets * PACKET_NS

    # ---------------------------------------------------------------- sending

    def has_room(self) -> bool:
        """The TX ring takes another packet."""
        return len(self.sending) < self.rules.tx_ring

    def wait_for_room(self, task: Task) -> None:
        """Wakes the task once a packet has left the ring."""
        self._blocked.append(task)

    def send(self, call: Call, size: int, after_ns: int = 0) -> None:
        """The reply to a call goes out, ``after_ns`` from now; the client has it when the wire has carried it."""
        call.replied = True
        self.packets += 1
        self.sending.append((call, size))
        hangs = self.hang.due
        if hangs() and not self.is_hung:
            self.is_hung = True
            self.clock.after(to_ns(self.rules.watchdog_timeo_s), self._watchdog)
        if self.is_up and not self.is_hung:
            self._transmit(size, after_ns)

    def _transmit(self, size: int, after_ns: int = 0) -> None:
        free = self.clock._now + after_ns
        if free < self._wire_free_ns:
            free = self._wire_free_ns
        self._wire_free_ns = free = free + 1 + int(size * self._byte_ns)
        heappush(self._heap, (free, next(self._eid), self._sent_one))

    def _sent(self) -> None:
        if self.is_hung or not self.is_up or not self.sending:
            return
        call, _ = self.sending.popleft()
        while self._blocked:
            task = self._blocked.popleft()
            if task.state == "S" and not task.is_killed:
                task.wake()
                break
        self.completed += 1
        took = self.clock._now - call.issued_ns
        self.latency_ns += took
        if took > self.worst_ns:
            self.worst_ns = took

    def _loses_carrier(self) -> None:
        """netif_carrier_off(): nothing goes out or comes in until it is back."""
        self.is_up = False
        self.flaps += 1
        if devices.prints_link(self.driver):
            self._log([devices.link_down(self.name, self.driver)])
        self.clock.after(self._carrier_ns(), self._link_up)

    def _watchdog(self) -> None:
        """dev_watchdog(): the queue stood still for so long, carrier on; most drivers reset the card."""
        if not self.is_up:
            self.clock.after(to_ns(self.rules.watchdog_timeo_s), self._watchdog)
            return
        ms = round(self.rules.watchdog_timeo_s * 1000)
        self._log([devices.netdev_watchdog(self.name, self.driver, 0, 0, ms, self._release)])
        if self._warns is not None and watchdog_warns(self._release):
            warns, self._warns = self._warns, None  # WARN_ONCE
            warns()
        if not self.rules.resets:
            self.clock.after(to_ns(self.rules.watchdog_timeo_s), self._watchdog)
            return
        self.resets += 1
        self.is_up = False
        self._log([devices.link_down(self.name, self.driver)])  # virtio_net does not come here
        self.clock.after(self._reset_ns(), self._is_reset)

    def _is_reset(self) -> None:
        self.is_hung = False
        self._link_up()

    def _link_up(self) -> None:
        """What lay in the TX ring is sent again by TCP, unless the queue hangs."""
        self.is_up = True
        if devices.prints_link(self.driver):
            self._log([devices.link_up(self.name, self.driver, round(8000 / self._byte_ns))])
        if not self.is_hung:
            for _, size in self.sending:
                self._transmit(size)
