"""Missing entries: what they cost, in time and memory, and what they are worth.

Iterations beside those of complete data, in one run; growth with the number of
patterns; peak memory of a fit in a process of its own; and estimates from all rows
against those from complete rows, over simulated samples.
"""

from __future__ import annotations

import statistics
import time

import jax
import numpy as np

import normix
from benchmarks.timing import Row, in_new_process
from normix import BatchEMFitter
from normix.datasets import load_sp500_returns

SAMPLES = 200
FEW, MANY = (BatchEMFitter(tol=0.0, max_iter=n, acceleration="none") for n in (10, 40))


def holed(X: np.ndarray, share: float, seed: int = 0) -> np.ndarray:
    """Entries missing at random, in rows that have one at least."""
    gone = np.random.default_rng(seed).uniform(size=X.shape) < share
    gone[gone.all(axis=1), 0] = False
    return np.where(gone, np.nan, X)


def listed_later(X: np.ndarray) -> np.ndarray:
    """The last five columns begin a third into the sample."""
    X = X.copy()
    X[: len(X) // 3, 5:] = np.nan
    return X


def _iteration(model, X: np.ndarray, missing: str) -> float:
    """Seconds of one, beyond what a fit takes to begin; the median of several."""
    times = []
    for _ in range(9):
        seconds = []
        for fitter in (FEW, MANY):
            begin = time.perf_counter()
            fit = fitter.fit(model, X, missing=missing)
            seconds.append((time.perf_counter() - begin, fit.n_iter))
        (few, n_few), (many, n_many) = seconds
        times.append((many - few) / (n_many - n_few))
    return statistics.median(times[1:])


def iterations() -> list[Row]:
    """Of the stock returns, 4529 x 10."""
    X = np.asarray(load_sp500_returns().values)
    cases = {
        "five columns begin later": (listed_later(X), "3"),
        "20 % missing at random": (holed(X, 0.2), "8"),
    }
    rows = []
    for cls in (normix.NormalInverseGaussian, normix.FactorNormalInverseGaussian):
        model = cls.default_init(X)
        plain = _iteration(model, X, "raise")
        asked = _iteration(model, X, "em")
        note = f"{asked / plain:.2f} times that of missing='raise' (target 1.05)"
        rows.append(Row(f"{cls.__name__}, an iteration, complete", asked, note=note))
        for name, (holes, target) in cases.items():
            took = _iteration(model, holes, "em")
            patterns = len(np.unique(np.isnan(holes), axis=0))
            note = (
                f"{took / plain:.2f} times that of complete data (target {target}), "
                f"{patterns} patterns"
            )
            rows.append(Row(f"{cls.__name__}, an iteration, {name}", took, note=note))
    return rows


def patterns() -> list[Row]:
    """20,000 rows of ten columns in more and more patterns."""
    truth = normix.NormalInverseGaussian.default_init(load_sp500_returns().values)
    X = np.asarray(truth.rvs(20_000, 1))
    rng = np.random.default_rng(2)
    rows = []
    for count in (2, 10, 100, 1000):
        masks = rng.uniform(size=(count, 10)) < 0.2
        masks[masks.all(axis=1), 0] = False
        masks[0] = False
        holes = np.where(masks[rng.integers(0, count, len(X))], np.nan, X)
        took = _iteration(truth, holes, "em")
        rows.append(Row(f"an iteration, 20,000 rows, {count} patterns", took))
    return rows


MEMORY = """
import ctypes, gc, re
from pathlib import Path
import numpy as np
import normix
from benchmarks.missing import holed
from normix.datasets import load_sp500_returns
X = np.tile(holed(load_sp500_returns().values, 0.2), (50, 1))
fitter = normix.BatchEMFitter(max_iter=5)
model = normix.NormalInverseGaussian.default_init(X, missing="em")
fitter.fit(model, X, missing="em")  # what compiling takes is not of the data

def megabytes(name):
    told = Path("/proc/self/status").read_text()
    return int(re.search(name + r":\\s+(\\d+)", told).group(1)) / 1024

gc.collect()
ctypes.CDLL(None).malloc_trim(0)  # what is free goes back to the system
held = megabytes("VmRSS")
Path("/proc/self/clear_refs").write_text("5")  # Linux: the peak begins anew
fitter.fit(model, X, missing="em")
print((megabytes("VmHWM") - held) / (X.nbytes / 2**20))
"""


def memory() -> Row:
    """Fifty times the stock returns, with 20 % missing; beside the data themselves."""
    begin = time.perf_counter()
    (ratio,) = in_new_process(MEMORY)
    note = f"peak {ratio:.1f} times the data, beside them (target 6)"
    return Row("memory of a fit, 226,450 x 10", time.perf_counter() - begin, note=note)


def estimates() -> list[Row]:
    """With 20 % missing at random, from all rows and from complete ones."""
    factor = np.array([0.5, 0.8, 0.3, 0.6, 0.4])
    truth = normix.NormalInverseGaussian.from_classical(
        mu=np.zeros(5),
        gamma=np.full(5, 0.2),
        sigma=np.outer(factor, factor) + 0.5 * np.eye(5),
        mu_ig=1.0,
        lam=1.5,
    )

    sd = np.sqrt(np.diagonal(np.asarray(truth.cov())))
    lower = np.tril_indices(5)

    def gaps(model) -> np.ndarray:
        """Of laws, by Kullback and Leibler; of moments, in units of the truth's."""
        mean = np.asarray(model.mean() - truth.mean()) / sd
        cov = np.asarray(model.cov() - truth.cov()) / np.outer(sd, sd)
        moments = (mean**2).sum() + (cov[lower] ** 2).sum()
        return np.array([float(truth.kl_divergence(model)), moments])

    begin, nearer, failed = time.perf_counter(), np.zeros(2), 0
    for seed in range(SAMPLES):
        X = holed(np.asarray(truth.rvs(1000, seed)), 0.2, seed)
        start = normix.NormalInverseGaussian.default_init(X, missing="em")
        em, drop = (start.fit(X, missing=kind) for kind in ("em", "drop"))
        failed += not (em.converged and drop.converged)
        nearer += gaps(em.model) < gaps(drop.model)
    by_law, by_moments = 100 * nearer / SAMPLES
    note = (
        f"{by_law:.1f} % nearer to the truth than by complete rows (target 95), by "
        f"moments {by_moments:.1f} %; {failed} of {2 * SAMPLES} fits did not converge"
    )
    return [Row("fits, 1,000 x 5", (time.perf_counter() - begin) / SAMPLES, note=note)]


def run() -> list[Row]:
    """All of them."""
    jax.config.update("jax_enable_x64", True)
    return [*iterations(), *patterns(), memory(), *estimates()]
