"""EM for the normal inverse Gaussian: an iteration, a fit, a fit in a new process."""

from __future__ import annotations

import resource
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
from scipy.linalg import solve_triangular
from scipy.special import kve

from benchmarks.timing import Row, in_new_process, race
from normix import BatchEMFitter, IncrementalEMFitter, NormalInverseGaussian

PROBLEMS = ((5_000, 3), (100_000, 10))


def data(n: int, d: int) -> np.ndarray:
    """Heavy-tailed, skewed NIG data."""
    rng = np.random.default_rng(0)
    y = rng.wald(1.0, 1.5, n)
    root = np.eye(d) + 0.3 * np.tril(rng.normal(size=(d, d)), -1)
    noise = rng.normal(size=(n, d)) @ root.T
    return y[:, None] * np.linspace(-0.3, 0.4, d) + np.sqrt(y)[:, None] * noise


def numpy_iteration(X, mu, gamma, sigma, a, b):
    """One EM iteration as a NumPy script would write it, three ``kve`` a row."""
    n, d = X.shape
    root = np.linalg.cholesky(sigma)
    white = solve_triangular(root, (X - mu).T, lower=True)
    skew = solve_triangular(root, gamma, lower=True)
    p = -0.5 - d / 2
    rate, b_post = a + skew @ skew, b + (white**2).sum(0)
    z, scale = np.sqrt(rate * b_post), np.sqrt(b_post / rate)
    k = kve(p, z)
    y, w = scale * kve(p + 1, z) / k, kve(p - 1, z) / k / scale
    A, B = w.mean(), y.mean()
    m, q = X.mean(0), (X * w[:, None]).mean(0)
    gamma = (A * m - q) / (A * B - 1)
    mu = m - gamma * B
    cross = np.outer(q, mu) + np.outer(m, gamma)
    sigma = (X * w[:, None]).T @ X / n - 0.5 * (cross + cross.T)
    lam = 1 / (A - 1 / B)
    loglik = np.log(k).sum()  # a fit watches it
    return mu, gamma, sigma, lam / B**2, lam, loglik


def numpy_fit(X, start, iterations: int):
    """That many iterations."""
    _, a, b = start.subordinator().gig_params()
    state = [np.asarray(v) for v in (start.mu, start.gamma, start.sigma())]
    state += [float(a), float(b)]
    for _ in range(iterations):
        *state, _ = numpy_iteration(X, *state)
    return state


def clock(run: Callable[[], object]) -> float:
    """Seconds of one call."""
    begin = time.perf_counter()
    jax.block_until_ready(run())
    return time.perf_counter() - begin


def cold(n: int, d: int) -> float:
    """Seconds of a whole process: start, imports, ``default_init``, fit."""
    script = (
        "from benchmarks.em import data\n"
        "from normix import NormalInverseGaussian as N\n"
        f"X = data({n}, {d})\n"
        "N.default_init(X).fit(X, tol=1e-5)\n"
    )
    begin = time.perf_counter()
    in_new_process(script)
    return time.perf_counter() - begin


def peak_memory() -> float:
    """The most memory, in MB, that this process has held.

    Not ``ru_maxrss`` where there is better: Linux hands that on from the parent.
    """
    status = Path("/proc/self/status")
    for line in status.read_text().splitlines() if status.exists() else []:
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) / 1024
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / (2**20 if sys.platform == "darwin" else 1024)


def memory(n: int, d: int) -> tuple[float, float]:
    """Size of the data and the growth of a process that fits them, in MB.

    The growth is that of the peak resident memory over what the process held before
    it made the data; a small fit has been compiled by then.
    """
    script = (
        "import jax, jax.numpy as jnp\n"
        "from benchmarks.em import data, peak_memory\n"
        "from normix import NormalInverseGaussian as N\n"
        f"small = jnp.asarray(data(40_000, {d}))\n"
        "N.default_init(small).fit(small, max_iter=2, tol=0.0)\n"
        "before = peak_memory()\n"
        f"X = jax.random.normal(jax.random.key(0), ({n}, {d}))\n"
        "X.block_until_ready()\n"
        "N.default_init(X).fit(X, max_iter=3, tol=0.0)\n"
        "print(X.nbytes / 2**20, peak_memory() - before)\n"
    )
    size, growth = in_new_process(script)
    return size, growth


def run() -> list[Row]:
    """Each problem: one iteration, a fit to ``tol=1e-5``, a cold process; steps."""
    rows = []
    for n, d in PROBLEMS:
        rows += compare(n, d)
        jax.clear_caches()
    return rows + incremental_steps()


def incremental_steps(m: int = 512, d: int = 2) -> list[Row]:
    """A step of incremental EM on a batch: inside a fit, and by ``update``."""
    X = jnp.asarray(data(20_000, d))
    start = NormalInverseGaussian.default_init(X)
    key = jax.random.key(0)

    def fit(steps):
        fitter = IncrementalEMFitter(batch_size=m, max_steps=steps)
        fitter.fit(start, X, key=key)
        return statistics.median(
            clock(lambda: fitter.fit(start, X, key=key).model) for _ in range(7)
        )

    fitter = IncrementalEMFitter()
    state = fitter.update(fitter.init(start), X[:m])
    batch = X[:m]
    update = statistics.median(
        clock(lambda: fitter.update(state, batch)) for _ in range(300)
    )
    label = f"NIG, incremental step, {m} rows, d = {d}"
    return [
        Row(f"{label}, in a fit", (fit(1_100) - fit(100)) / 1_000),
        Row(f"{label}, by update", update),
    ]


def one_iteration(n: int, d: int, *, steps: int = 10, rounds: int = 5) -> Row:
    """One iteration: what more of them add to a fit."""
    X = data(n, d)
    on_device = jnp.asarray(X)
    start = NormalInverseGaussian.default_init(on_device)

    def fit(count: int) -> float:
        fitter = BatchEMFitter(max_iter=count, tol=0.0)
        return clock(lambda: fitter.fit(start, on_device).model.mu)

    fit(1)
    ours, theirs = [], []
    for _ in range(rounds):
        ours.append((fit(1 + steps) - fit(1)) / steps)
        theirs.append(clock(lambda: numpy_fit(X, start, steps)[0]) / steps)
    return Row(
        f"EM iteration, n = {n:,}, d = {d}",
        statistics.median(ours),
        "NumPy + kve:",
        statistics.median(theirs),
    )


def compare(n: int, d: int, steps: int = 10) -> list[Row]:
    """The timings of one problem."""
    X = data(n, d)
    on_device = jnp.asarray(X)
    start = NormalInverseGaussian.default_init(on_device)
    fitter = BatchEMFitter(tol=1e-5, max_iter=500)

    label = f"n = {n:,}, d = {d}"
    rounds = 15 if n < 50_000 else 5
    each = one_iteration(n, d, steps=steps, rounds=rounds)
    result = fitter.fit(start, on_device)
    fit = race(
        f"fit, warm, {label} ({result.n_iter} iterations)",
        lambda: fitter.fit(start, on_device).model,
        "NumPy + kve:",
        lambda: numpy_fit(X, start, result.n_iter),
        rounds=max(3, rounds // 3),
    )
    process = Row(f"fit, cold process, {label}", cold(n, d), "warm fit:", fit.seconds)
    return [each, fit, process]
