"""A progress bar on stderr."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ksim.study.pool import Progress as Report
    from ksim.study.sweep.sweep import Report as SweepReport
    from ksim.study.sweep.sweep import State


class Progress:
    """A progress bar on stderr; nothing where that is no terminal or the work is over at once."""

    def __init__(self, what: str = "replications") -> None:
        self._what = what

    def __enter__(self) -> Report | None:
        self._bar: Any = None
        if not sys.stderr.isatty():
            return None
        from rich import progress
        from rich.console import Console

        columns = (
            progress.TextColumn(self._what),
            progress.BarColumn(),
            progress.MofNCompleteColumn(),
            progress.TimeRemainingColumn(),
        )
        self._bar = progress.Progress(*columns, console=Console(stderr=True), transient=True)
        self._bar.start()
        task = self._bar.add_task(self._what, total=None)

        def report(done: int, total: int) -> None:
            self._bar.update(task, completed=done, total=total)

        return report

    def __exit__(self, *_: object) -> None:
        if self._bar is not None:
            self._bar.stop()


class SweepProgress:
    """Cells done, their rate, the time that is left and the widest interval so far; nothing where no terminal is."""

    def __enter__(self) -> SweepReport | None:
        self._bar: Any = None
        if not sys.stderr.isatty():
            return None
        from rich import progress
        from rich.console import Console

        columns = (
            progress.TextColumn("cells"),
            progress.BarColumn(),
            progress.MofNCompleteColumn(),
            progress.TextColumn("{task.fields[rate]}"),
            progress.TimeRemainingColumn(),
            progress.TextColumn("{task.fields[precision]}"),
        )
        self._bar = progress.Progress(*columns, console=Console(stderr=True), transient=True)
        self._bar.start()
        task = self._bar.add_task("cells", total=None, rate="", precision="")

        def report(state: State) -> None:
            elapsed = self._bar.tasks[0].elapsed or 0.0
            rate = f"{state.computed / elapsed:.1f} /s" if elapsed > 0.0 else ""
            precision = "" if state.widest is None else f"widest ± {100 * state.widest:.2g} %"
            self._bar.update(task, completed=state.done, total=state.points, rate=rate, precision=precision)

        return report

    def __exit__(self, *_: object) -> None:
        if self._bar is not None:
            self._bar.stop()
