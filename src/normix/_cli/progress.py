"""News of a running fit."""

from __future__ import annotations

import contextlib
import os
import shutil
import sys
import time
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from normix.fitting.em.drive import Iteration

_SECONDS_A_CHANGE = 0.05  # faster than that is not read


class Progress:
    """Says on standard error what is being done.

    On a terminal it is one line that changes; elsewhere a few lines.
    ``at_first_iteration`` is called before the first is shown.
    """

    def __init__(
        self, live: bool, at_first_iteration: Callable[[], object] | None = None
    ):
        self._live = live
        self._at_first_iteration = at_first_iteration
        self._start = self._shown = time.perf_counter()
        self._width = 0

    def iteration(self, at: Iteration) -> None:
        """Show an iteration of a fit: what its ``callback`` is told."""
        if self._at_first_iteration is not None:
            self._at_first_iteration()
            self._at_first_iteration = None
        # Elsewhere than on a terminal: 1, 2, 5, 10, 20, 50, 100, ...
        self.show(
            f"iteration {at.n_iter}: mean log-likelihood {at.log_likelihood:.8f}, "
            f"change {at.criterion:.3e}",
            always=str(at.n_iter).rstrip("0") in ("1", "2", "5"),
        )

    def show(self, text: str, *, always: bool = True) -> None:
        """Replace what is shown; unless ``always``, only on a terminal."""
        if not self._live:
            if always:
                click.echo(text, err=True)
            return
        now = time.perf_counter()
        if not always and now - self._shown < _SECONDS_A_CHANGE:
            return
        self._shown = now
        line = f"{now - self._start:5.1f} s  {text}"
        line = line[: shutil.get_terminal_size().columns - 1]
        self._overwrite(line)

    def clear(self) -> None:
        """Take the changing line away."""
        if self._live:
            self._overwrite("")
            click.echo("\r", err=True, nl=False)

    def _overwrite(self, line: str) -> None:
        click.echo("\r" + line.ljust(self._width), err=True, nl=False)
        self._width = len(line)


@contextlib.contextmanager
def progress(
    at_first_iteration: Callable[[], object] | None = None,
) -> Iterator[Progress]:
    """A :class:`Progress` that cleans up after itself."""
    live = sys.stderr.isatty() and os.environ.get("TERM") != "dumb"
    shown = Progress(live, at_first_iteration)
    try:
        yield shown
    finally:
        shown.clear()
