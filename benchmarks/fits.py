"""Whole fits: every family from ``default_init``, beside other packages; many fits.

Packages to compare with are those of the extra ``bench``; what is not installed, or
fails, is said in the row.
"""

from __future__ import annotations

import contextlib
import importlib
import io
import statistics
import subprocess
import sys
import time
import warnings
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np

from benchmarks.em import one_iteration
from benchmarks.timing import Row
from normix import (
    BatchEMFitter,
    GeneralizedHyperbolic,
    NormalInverseGamma,
    NormalInverseGaussian,
    NormalMixture,
    VarianceGamma,
)

LAWS: dict[type[NormalMixture], dict[str, float]] = {
    VarianceGamma: {"alpha": 2.0, "beta": 2.0},
    NormalInverseGaussian: {"mu_ig": 1.0, "lam": 1.5},
    NormalInverseGamma: {"alpha": 3.0, "beta": 2.0},
    GeneralizedHyperbolic: {"p": 0.5, "a": 2.0, "b": 1.0},
}
N = 2_000
DIMENSIONS = (1, 5, 10, 50)
FITTER = BatchEMFitter(acceleration="anderson", tol=1e-6, max_iter=2_000)

# What fits the same family: the law of mvem; the laws of copulax in one and in many
# dimensions.
MVEM = {
    "VarianceGamma": "multivariate_vargamma",
    "NormalInverseGaussian": "multivariate_norminvgauss",
    "NormalInverseGamma": "multivariate_genskewt",
    "GeneralizedHyperbolic": "multivariate_genhyperbolic",
}
COPULAX = {
    ("NormalInverseGaussian", 1): "univariate.nig",
    ("NormalInverseGamma", 1): "univariate.skewed_t",
    ("GeneralizedHyperbolic", 1): "univariate.gh",
    ("NormalInverseGamma", 5): "multivariate.mvt_skewed_t",
    ("GeneralizedHyperbolic", 5): "multivariate.mvt_gh",
}


def data(family: type[NormalMixture], n: int, d: int) -> np.ndarray:
    """Skewed draws from a law of the family, of correlated components."""
    rng = np.random.default_rng(0)
    root = np.eye(d) + 0.3 * np.tril(rng.normal(size=(d, d)), -1) / np.sqrt(d)
    law = family.from_classical(
        mu=jnp.zeros(d),
        gamma=jnp.linspace(-0.3, 0.4, d) if d > 1 else jnp.array([0.4]),
        sigma=jnp.asarray(root @ root.T),
        **LAWS[family],
    )
    return np.asarray(law.rvs(n, seed=1))


def clock(run: Callable[[], object]) -> float:
    """Seconds of one call."""
    begin = time.perf_counter()
    jax.block_until_ready(run())
    return time.perf_counter() - begin


def median(run: Callable[[], object], rounds: int = 5) -> float:
    """Median seconds of a call that has been made before."""
    return statistics.median(clock(run) for _ in range(rounds))


def cold(family: str, d: int) -> tuple[float, float]:
    """Seconds of the first ``default_init`` and fit in a process, imports apart."""
    script = (
        "import jax; jax.config.update('jax_enable_x64', True)\n"
        "import jax.numpy as jnp, normix\n"
        "from benchmarks.fits import FITTER, N, clock, data\n"
        f"family = normix.{family}\n"
        f"X = jnp.asarray(data(family, N, {d}))\n"
        "made = []\n"
        "first = clock(lambda: made.append(family.default_init(X)) or made[0].mu)\n"
        "print(first, clock(lambda: FITTER.fit(made[0], X).model.mu))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], check=True, capture_output=True, text=True
    )
    start, fit = (float(word) for word in done.stdout.split())
    return start, fit


def mvem_fit(family: str, X: np.ndarray) -> tuple[float, float]:
    """Seconds of mvem's fit to its own convergence, and the log-likelihood there."""
    law = importlib.import_module(f"mvem.stats.{MVEM[family]}")
    with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
        warnings.simplefilter("ignore")
        found: list[tuple] = []
        seconds = median(lambda: found.append(law.fit(X, silent=True)), 3)
    if not all(np.isfinite(value).all() for value in found[-1]):
        return seconds, np.nan
    *mixing, mu, sigma, gamma = found[-1]
    mixing = [float(np.squeeze(value)) for value in mixing]
    # All of them are generalized hyperbolic, of order p and GIG parameters chi, psi.
    if family == "NormalInverseGaussian":
        mixing = [-0.5, *mixing]
    normal = {"mu": mu, "gamma": gamma, "sigma": sigma}
    if family == "VarianceGamma":
        alpha, psi = mixing
        model = VarianceGamma.from_classical(**normal, alpha=alpha, beta=psi / 2)
    elif family == "NormalInverseGamma":
        order, chi = mixing
        model = NormalInverseGamma.from_classical(
            **normal, alpha=abs(order), beta=chi / 2
        )
    else:
        p, chi, psi = mixing
        model = GeneralizedHyperbolic.from_classical(**normal, p=p, a=psi, b=chi)
    return seconds, len(X) * float(model.marginal_log_likelihood(X))


def copulax_fit(law: str, X: np.ndarray) -> tuple[float, float]:
    """Seconds of copulax's first fit, by its defaults, and its log-likelihood."""
    module, name = law.split(".")
    fits = getattr(importlib.import_module(f"copulax.{module}"), name)
    rows = X[:, 0] if module == "univariate" else X
    found = []
    seconds = clock(lambda: found.append(fits.fit(rows)) or found[-1].params)
    return seconds, float(found[-1].loglikelihood(rows))


def beside(
    package: str,
    name: str,
    seconds: float,
    best: float,
    theirs: Callable[[], tuple[float, float]],
) -> Row:
    """A row that compares a fit, its log-likelihood ``best``, with another's."""
    try:
        importlib.import_module(package)
    except ImportError:
        return Row(name, seconds, f"{package}: not installed")
    try:
        took, reached = theirs()
    except Exception as error:  # whatever another package may raise
        return Row(name, seconds, f"{package}: raises {type(error).__name__}")
    if not np.isfinite(reached):
        return Row(name, seconds, f"{package}: ends at no finite log-likelihood")
    note = f"its log-likelihood - ours: {reached - best:+.4f}"
    return Row(name, seconds, f"{package}:", took, note)


def whole(family: type[NormalMixture], d: int) -> list[Row]:
    """The rows of one family in one dimension."""
    X = data(family, N, d)
    on_device = jnp.asarray(X)
    name, label = family.__name__, f"n = {N:,}, d = {d}"
    begin = time.perf_counter()
    start = family.default_init(on_device)
    result = FITTER.fit(start, on_device)
    compiled = time.perf_counter() - begin
    total = N * float(result.log_likelihood)
    state = "" if result.converged else ", not converged"
    state += ", unbounded" if result.unbounded else ""
    fit = median(lambda: FITTER.fit(start, on_device).model)
    init = median(lambda: family.default_init(on_device))
    note = f"{result.n_iter + 1} E-steps, log-likelihood {total:.4f}{state}"
    rows = [
        Row(f"{name}, fit, {label}", fit, note=note),
        Row(f"{name}, default_init, {label}", init),
    ]
    if d == 5:
        first, second = cold(name, d)
        rows += [
            Row(f"{name}, fit, first in a process, {label}", second, "warm:", fit),
            Row(
                f"{name}, default_init, first in a process, {label}",
                first,
                "warm:",
                init,
            ),
        ]
        both = f"{name}, default_init and fit, {label}"
        rows.append(beside("mvem", both, init + fit, total, lambda: mvem_fit(name, X)))
    law = COPULAX.get((name, d))
    if law is not None:
        both = f"{name}, default_init and fit, first, {label}"
        rows.append(
            beside("copulax", both, compiled, total, lambda: copulax_fit(law, X))
        )
    return rows


def bootstrap(fits: int = 200, n: int = 1_000, d: int = 2) -> list[Row]:
    """Many fits to resampled rows, in one call."""
    X = jnp.asarray(data(GeneralizedHyperbolic, n, d))
    start = GeneralizedHyperbolic.default_init(X)
    fitter = BatchEMFitter(acceleration="anderson", max_iter=50, tol=1e-5)
    chosen = jax.random.randint(jax.random.key(0), (fits, n), 0, n)
    every = jax.jit(jax.vmap(lambda rows: fitter.fit(start, X[rows])))
    first = clock(lambda: every(chosen).model.mu)
    warm = median(lambda: every(chosen).model.mu, 3)
    done = every(chosen)
    note = (
        f"{float(jnp.mean(done.n_iter)) + 1:.1f} E-steps on average, "
        f"{int(jnp.sum(done.converged))} converged"
    )
    label = f"{fits} GeneralizedHyperbolic fits, vmap, n = {n:,}, d = {d}"
    return [Row(label, warm, note=note), Row(f"{label}, first", first, "warm:", warm)]


def run() -> list[Row]:
    """Every family in every dimension, a bootstrap, an iteration on many rows."""
    rows = []
    for family in LAWS:
        for d in DIMENSIONS:
            rows += whole(family, d)
        jax.clear_caches()
    rows += bootstrap()
    rows.append(one_iteration(1_000_000, 10, steps=2, rounds=2))
    return rows
