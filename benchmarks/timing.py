"""Medians of interleaved runs."""

from __future__ import annotations

import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

import jax


@dataclass(frozen=True)
class Row:
    """Median seconds of normix and, where there is one, of the reference."""

    name: str
    seconds: float
    reference: str = ""
    reference_seconds: float | None = None
    note: str = ""

    @property
    def ratio(self) -> float | None:
        """How many times faster than the reference."""
        if self.reference_seconds is None:
            return None
        return self.reference_seconds / self.seconds

    def record(self) -> dict[str, Any]:
        """What goes into the JSON file."""
        return asdict(self) | {"ratio": self.ratio}


def in_new_process(script: str) -> list[float]:
    """The numbers that a script prints, run in double precision by a new Python."""
    begin = "import jax; jax.config.update('jax_enable_x64', True)\n"
    done = subprocess.run(
        [sys.executable, "-c", begin + script],
        check=True,
        stdout=subprocess.PIPE,
        text=True,
    )
    return [float(word) for word in done.stdout.split()]


def race(
    name: str,
    ours: Callable[[], object],
    reference: str,
    theirs: Callable[[], object],
    *,
    share: float = 1.0,
    rounds: int = 15,
) -> Row:
    """Time two callables in turn, after one unmeasured call of each.

    The reference does the ``share`` of the work: its time is scaled up.
    """
    clocks: tuple[list[float], list[float]] = ([], [])
    for k in range(rounds + 1):
        for clock, run in zip(clocks, (ours, theirs), strict=True):
            begin = time.perf_counter()
            jax.block_until_ready(run())
            if k:
                clock.append(time.perf_counter() - begin)
    first, second = (statistics.median(clock) for clock in clocks)
    return Row(name, first, reference, second / share)


def show(title: str, rows: list[Row]) -> None:
    """Print a table."""
    print(f"\n{title}")
    for row in rows:
        other = row.reference
        if row.reference_seconds is not None:
            other += f" {_time(row.reference_seconds)} ({row.ratio:.2f}x)"
        others = "; ".join(part for part in (other, row.note) if part)
        print(f"  {row.name:<46} {_time(row.seconds):>10}   {others}", flush=True)


def _time(seconds: float) -> str:
    for unit, size in (("h", 3600.0), ("s", 1.0), ("ms", 1e-3), ("us", 1e-6)):
        if seconds >= size:
            return f"{seconds / size:.3g} {unit}"
    return f"{seconds / 1e-9:.3g} ns"
