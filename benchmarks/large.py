"""Rows on disk: time and memory of an iteration, from 1e5 to 5e7 rows."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path

import numpy as np

from benchmarks.em import data
from benchmarks.timing import Row, in_new_process

D = 10
SIZES = (100_000, 1_000_000, 10_000_000, 50_000_000)


def write(path: Path, n: int) -> None:
    """``n`` heavy-tailed rows, as a raw file: one block over and over."""
    block = data(min(n, 1_000_000), D)
    with path.open("wb") as file:
        for begin in range(0, n, len(block)):
            # Shifted a little, so that no two rows are equal.
            (block[: n - begin] + 1e-3 * begin / n).tofile(file)


def iterations(path: str, n: int) -> tuple[float, float, float]:
    """Seconds of an iteration of NIG, of ``default_init``, and the peak in MB."""
    import time

    import jax

    from benchmarks.em import peak_memory
    from normix import NormalInverseGaussian

    rows = np.memmap(path, np.float64, "r", shape=(n, D))
    begin = time.perf_counter()
    start = NormalInverseGaussian.default_init(rows)
    jax.block_until_ready(start)
    init = time.perf_counter() - begin
    # Few rows are gone through more often, so that the clock sees something.
    more = 1 + max(2, 20_000_000 // n)
    clocks = []
    for count in (1, more):
        start.fit(rows, max_iter=count, tol=0.0)  # compiles
        begin = time.perf_counter()
        result = start.fit(rows, max_iter=count, tol=0.0)
        clocks.append(time.perf_counter() - begin)
    assert np.isfinite(result.log_likelihood)
    return (clocks[1] - clocks[0]) / (more - 1), init, peak_memory()


def run() -> list[Row]:
    """Each size that there is room for, in a process of its own."""
    rows = []
    base = None
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "rows"
        for n in SIZES:
            if shutil.disk_usage(folder).free < 2 * n * D * 8:
                rows.append(
                    Row(f"NIG iteration from disk, n = {n:,}", np.nan, "no room")
                )
                continue
            write(path, n)
            seconds, init, peak = in_new_process(
                "from benchmarks.large import iterations\n"
                f"print(*iterations({str(path)!r}, {n}))\n"
            )
            base = base or seconds / n
            note = (
                f"{1e9 * seconds / n:.0f} ns a row, {seconds / n / base:.2f} x the "
                f"first; data {n * D * 8 / 2**20:,.0f} MB, peak of the process "
                f"{peak:,.0f} MB; default_init {init:.1f} s"
            )
            rows.append(
                Row(f"NIG iteration from disk, n = {n:,}, d = {D}", seconds, note=note)
            )
    return rows
