"""``python -m benchmarks [OUT.json [SUITE ...]]``: timings, printed and as JSON.

The suites are cold, kernel, gig, em, fits, large, inference, missing, risk, goodness
and finite; all of them unless some are named. How far fits of difficult data get is
shown by ``python -m benchmarks.difficult``.
"""

from __future__ import annotations

import json
import os
import platform
import sys
from pathlib import Path

import jax

jax.config.update("jax_enable_x64", True)


def processor() -> str:
    """The processor's name; its architecture where the system does not say."""
    listed = Path("/proc/cpuinfo")
    for line in listed.read_text().splitlines() if listed.exists() else []:
        if line.startswith("model name"):
            return line.split(":", 1)[1].strip()
    return platform.processor() or platform.machine()


def main() -> None:
    """Run the benchmarks in turn."""
    from benchmarks import (
        cold,
        em,
        finite,
        fits,
        gig,
        goodness,
        inference,
        kernel,
        large,
        missing,
        risk,
    )
    from benchmarks.timing import show

    default = Path(__file__).parent / "results" / "latest.json"
    path = Path(sys.argv[1]) if len(sys.argv) > 1 else default
    machine = {
        "processor": processor(),
        "cores": len(os.sched_getaffinity(0))
        if hasattr(os, "sched_getaffinity")
        else os.cpu_count(),
        "python": platform.python_version(),
        "jax": jax.__version__,
        "device": jax.devices()[0].device_kind,
    }
    print(", ".join(f"{key} {value}" for key, value in machine.items()))
    report: dict[str, object] = {"machine": machine}
    suites = {
        "cold": ("First answers, in new processes", cold.run),
        "kernel": ("Bessel kernel (20,000 elements)", kernel.run),
        "gig": ("GIG law", gig.run),
        "em": ("EM, normal inverse Gaussian", em.run),
        "fits": ("Whole fits", fits.run),
        "large": ("Rows on disk", large.run),
        "inference": ("Standard errors", inference.run),
        "missing": ("Missing entries", missing.run),
        "risk": ("Risk", risk.run),
        "goodness": ("Goodness of fit", goodness.run),
        "finite": ("Finite mixtures", finite.run),
    }
    chosen = sys.argv[2:] or list(suites)
    if unknown := set(chosen) - set(suites):
        sys.exit(f"no suite {', '.join(sorted(unknown))}: {', '.join(suites)}")
    for title, run in (suites[name] for name in chosen):
        rows = run()
        show(title, rows)
        report[title] = [row.record() for row in rows]
    if "em" in chosen:
        size, growth = em.memory(1_000_000, 10)
        print(
            f"\nPeak memory of a fit, n = 1,000,000, d = 10: {growth:.0f} MB, "
            f"{growth / size:.2f} x the data"
        )
        report["memory"] = {"data_mb": size, "peak_growth_mb": growth}
    path.write_text(json.dumps(report, indent=1) + "\n")
    print(f"\nwritten to {path}")


if __name__ == "__main__":
    main()
