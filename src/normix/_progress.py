"""How far work of many like parts has come, on standard error."""

from __future__ import annotations

import sys
import time
from typing import Self

_SECONDS_A_CHANGE = 0.1  # faster than that is not read


class Counter:
    """Tells how many of ``n`` parts are done, and about how long the rest will take.

    To be used by ``with``; ``shown=False`` tells nothing. ``before`` of the parts were
    done already, in no time of this work.
    """

    def __init__(self, n: int, what: str, *, shown: bool, before: int = 0):
        self._n, self._what, self._shown = n, what, shown
        self._before = before
        self._start = time.perf_counter()
        self._last = -float("inf")
        self._width = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._shown and self._width:
            print(file=sys.stderr)

    def tell(self, done: int, note: str = "") -> None:
        """Show that ``done`` parts are, with a note."""
        now = time.perf_counter()
        late = done < self._n and now - self._last < _SECONDS_A_CHANGE
        if not self._shown or late:
            return
        self._last = now
        spent, here = now - self._start, done - self._before
        left = spent / here * (self._n - done) if here > 0 else 0.0
        text = f"{done} of {self._n} {self._what}{note}, {left:.0f} s left"
        if done == self._n:
            text = f"{done} {self._what}{note}, {spent:.1f} s"
        print(f"\r{text:<{self._width}}", end="", file=sys.stderr, flush=True)
        self._width = len(text)
