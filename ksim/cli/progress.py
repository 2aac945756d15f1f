"""A progress bar on stderr."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ksim.study.pool import Progress as Report


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
