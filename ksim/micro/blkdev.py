"""A block device and its driver: a queue, parallel channels, and commands that are never answered.

A command that gets no answer times out, is aborted and tried again; where aborting fails, the error handler freezes the
whole adapter and climbs its ladder of resets, and at the end of it the device is offline (``ksim.linux.block``). The
block layer never panics; EIO goes up to whoever asked.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from heapq import heappush
from typing import Any, Literal

from ksim.linux.block import DISKS, Kind, abort_s, reset_rungs_s
from ksim.linux.console import devices
from ksim.linux.vocabulary import Release
from ksim.linux.watermarks import PAGE_BYTES
from ksim.micro.clock import LATER, Clock, Due
from ksim.micro.strike import Trigger
from ksim.units import to_ns, to_s

Op = Literal["read", "write", "flush"]


class Request:
    """One command. ``done`` is called once, in the disk's interrupt; ``failed``: it ended with EIO.

    ``due_ns``: when the disk will have answered, if nothing stops it.
    """

    __slots__ = (
        "began_ns",
        "done",
        "due_ns",
        "failed",
        "is_over",
        "issued_ns",
        "op",
        "pages",
        "sector",
        "tries",
    )

    def __init__(self, clock: Clock, op: Op, pages: int, done: Callable[[Request], Any], sector: int = 0) -> None:
        self.op, self.pages, self.done, self.sector = op, pages, done, sector
        self.issued_ns = self.began_ns = self.due_ns = clock._now
        self.tries = 0
        self.failed = self.is_over = False


def _never() -> Trigger:
    return Trigger(float)  # which is never asked


@dataclass(slots=True)
class Ladder:
    """How this device fails.

    Per command the chance to get no answer (``lost``), and to end with EIO: a read at a bad sector (``medium``), a
    write, a flush; and the chance that an abort, and each reset after it, helps.
    """

    lost: Trigger
    medium: Trigger
    abort_works: Callable[[], bool]
    reset_works: Callable[[], bool]
    write_error: Trigger = field(default_factory=_never)
    flush_error: Trigger = field(default_factory=_never)


class BlockDevice:
    """A disk. ``channels``: commands that it works on at once. ``service_ns``: draws the time of one command without
    its data; ``page_ns``: of each page, on the one link that all channels share. ``log``: takes lines of the console.
    ``on_irq``: called in each of its interrupts.

    ``issued`` = ``completed`` + ``failed`` + ``in_flight`` at all times.
    """

    def __init__(
        self,
        clock: Clock,
        name: str,
        kind: Kind,
        *,
        channels: int,
        service_ns: dict[Op, Callable[[], int]],
        page_ns: Mapping[Op, int],
        ladder: Ladder,
        log: Callable[[list[str]], None],
        on_irq: Callable[[], None] | None = None,
        armed: Mapping[str, object] | None = None,
        release: Release = (6, 12),
        timeout_s: float | None = None,
    ) -> None:
        self.clock, self.name, self.kind = clock, name, kind
        self.channels, self._service_ns, self._page_ns = channels, service_ns, page_ns
        self.ladder, self._log, self._release = ladder, log, release
        self._on_irq, self._armed = on_irq, armed
        self._rules = DISKS[kind]
        self._timeout_ns = to_ns(self._rules.timeout_s if timeout_s is None else timeout_s)
        self._heap, self._eid = clock._queue, clock._eid
        self.queue: deque[Request] = deque()
        self.busy: dict[Request, None] = {}
        self.is_offline = False
        self.thaws_ns = self._link_free_ns = 0
        self.issued = self.completed = self.failed = self.reads = 0
        self.resets = self.timeouts = 0
        self.busy_ns = 0

    @property
    def _controller(self) -> str:
        return self.name.partition("n1")[0]

    @property
    def in_flight(self) -> int:
        return len(self.queue) + len(self.busy)

    @property
    def is_frozen(self) -> bool:
        return self.clock.now < self.thaws_ns

    def submit(self, request: Request) -> None:
        """Hands a command to the driver; ``request.done`` is called when it is over."""
        self.issued += 1
        if request.op == "read":
            self.reads += 1
        if self.is_offline:
            if self.kind == "scsi":
                self._log([devices.rejecting_offline()])
            self.clock.after(0, lambda: self._fail(request, "I/O"))
            self.queue.append(request)
        elif len(self.busy) < self.channels and self.clock._now >= self.thaws_ns:
            self._begin(request)
        else:
            self.queue.append(request)

    def freeze(self, lasts_ns: int) -> None:
        """Nothing moves for so long: commands under way end that much later."""
        now: int = self.clock.now
        added = now + lasts_ns - max(now, self.thaws_ns)
        if added <= 0:
            return
        self.thaws_ns = now + lasts_ns
        for request in self.busy:
            request.due_ns += added
        self.clock.after(lasts_ns, self._refill)

    # ---------------------------------------------------------------- one command

    def _begin(self, request: Request) -> None:
        self.busy[request] = None
        request.began_ns = link_ns = self.clock._now
        is_lost = self.ladder.lost.due
        if is_lost():
            request.due_ns = link_ns + self._timeout_ns
            self.clock.after(self._timeout_ns, lambda: self._times_out(request))
            return
        if link_ns < self._link_free_ns:
            link_ns = self._link_free_ns
        op = request.op
        self._link_free_ns = link_ns = link_ns + request.pages * self._page_ns[op]
        service_ns = self._service_ns[op]
        request.due_ns = due_ns = link_ns + service_ns()
        heappush(self._heap, (due_ns, next(self._eid), partial(self._answered, request)))

    def _answered(self, request: Request) -> Due:
        now = self.clock._now
        if request.due_ns > now or request.is_over:  # the adapter was frozen meanwhile, or is gone
            if not request.is_over:
                heappush(self._heap, (request.due_ns, next(self._eid), partial(self._answered, request)))
            return LATER
        if self._armed and self._on_irq is not None:
            self._on_irq()
        del self.busy[request]
        self.busy_ns += now - request.began_ns
        op, ladder = request.op, self.ladder
        error = ladder.medium if op == "read" else ladder.write_error if op == "write" else ladder.flush_error
        is_error = error.due
        if is_error():
            due: Due = LATER
            self._fail(request, "critical medium" if op == "read" else "I/O")
        else:
            self.completed += 1
            request.is_over = True
            done = request.done
            due = done(request) or LATER
        if self.queue:
            self._refill()
        return due

    def _refill(self) -> None:
        while self.queue and len(self.busy) < self.channels and not self.is_frozen and not self.is_offline:
            self._begin(self.queue.popleft())

    def _fail(self, request: Request, status: str) -> None:
        if request in self.queue:
            self.queue.remove(request)
        self.failed += 1
        request.failed = request.is_over = True
        line = devices.io_error(self.name, request.sector, request.op.upper(), 0, status=status, release=self._release)
        self._log([line])
        self.clock.put(request.done(request))

    # ---------------------------------------------------------------- no answer

    def _times_out(self, request: Request) -> None:
        late_ns = request.due_ns - self.clock.now
        if request.failed:
            return
        if late_ns > 0:
            self.clock.after(late_ns, lambda: self._times_out(request))
            return
        self.timeouts += 1
        request.tries += 1
        self._log([self._timeout_line(request)])
        works = self.ladder.abort_works()
        goes_on = self._retry if works else self._recover
        self.clock.after(to_ns(abort_s(self.kind, works=works)), lambda: goes_on(request))

    def _timeout_line(self, request: Request, *, aborted: bool = False) -> str:
        age_s = round(to_s(self.clock.now - request.began_ns))
        if self.kind == "scsi":
            return devices.scsi_failed(request.tries, "DID_TIME_OUT", "DRIVER_OK", age_s, self.name)
        op, size = request.op.upper(), request.pages * PAGE_BYTES
        return devices.nvme_timeout(
            self._controller, request.tries, 1, op, size, aborted=aborted, release=self._release
        )

    def _retry(self, request: Request) -> None:
        """The command goes out again, at the head of the queue, until its retries are spent."""
        self.busy.pop(request, None)
        if request.failed:
            return
        if request.tries > self._rules.retries:
            self._fail(request, "timeout")
        else:
            self.queue.appendleft(request)
        self._refill()

    def _recover(self, request: Request) -> None:
        """The error handler: everything on this adapter waits while it climbs the ladder."""
        if self.is_offline:
            return
        if self.is_frozen:  # one run of the error handler takes care of all
            self.clock.after(self.thaws_ns - self.clock.now, lambda: self._retry(request))
            return
        self.resets += 1
        if self.kind == "nvme":
            self._log([self._timeout_line(request, aborted=True)])
        lasts_s, saved = 0.0, False
        for rung_s in reset_rungs_s(self.kind):
            lasts_s += rung_s
            if self.ladder.reset_works():
                saved = True
                break
        self.freeze(to_ns(lasts_s))
        end = self._retry if saved else self._goes_offline
        self.clock.after(to_ns(lasts_s), lambda: end(request))

    def _goes_offline(self, request: Request) -> None:
        if self.is_offline:
            return
        self.is_offline = True
        gone = devices.nvme_removed(self._controller, release=self._release)
        self._log([gone if self.kind == "nvme" else devices.scsi_offlined()])
        self.busy.pop(request, None)
        for waiting in [request, *self.busy, *self.queue]:
            self.busy.pop(waiting, None)
            self._fail(waiting, "I/O")
