"""News of a running fit."""

from __future__ import annotations

import contextlib
import io
import os
import shutil
import sys
import time
from collections.abc import Callable, Iterator

import click

_SECONDS_A_CHANGE = 0.05  # faster than that is not read


class Progress(io.TextIOBase):
    """Says on standard error what is being done.

    On a terminal it is one line that changes; elsewhere a few lines. It also takes
    the place of standard output for a fitter with ``verbose=2``, whose rows it shows;
    ``at_first_row`` is called before the first.
    """

    def __init__(self, live: bool, at_first_row: Callable[[], object] | None = None):
        self._live = live
        self._at_first_row = at_first_row
        self._start = self._shown = time.perf_counter()
        self._partial = ""
        self._width = 0

    def write(self, text: str, /) -> int:
        *lines, self._partial = (self._partial + text).split("\n")
        for line in lines:
            cells = line.split()
            if len(cells) == 3 and cells[0].isdecimal():
                if self._at_first_row is not None:
                    self._at_first_row()
                    self._at_first_row = None
                # Elsewhere than on a terminal: 1, 2, 5, 10, 20, 50, 100, ...
                self.show(
                    "iteration {}: mean log-likelihood {}, change {}".format(*cells),
                    always=cells[0].rstrip("0") in ("1", "2", "5"),
                )
        return len(text)

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
def progress(at_first_row: Callable[[], object] | None = None) -> Iterator[Progress]:
    """A :class:`Progress` that cleans up after itself."""
    live = sys.stderr.isatty() and os.environ.get("TERM") != "dumb"
    shown = Progress(live, at_first_row)
    try:
        yield shown
    finally:
        shown.clear()
