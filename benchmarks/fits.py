"""Whole fits: every family from ``default_init``, beside other packages; many fits.

Packages to compare with are those of the extra ``bench``; what is not installed, or
fails, is said in the row.
"""

from __future__ import annotations

import contextlib
import importlib
import io
import statistics
import time
import warnings
from collections.abc import Callable
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np

from benchmarks.em import clock, one_iteration
from benchmarks.timing import Row, in_new_process
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
REFERENCE = Path(__file__).parents[2] / "shared" / "data" / "smi_stocks.csv"
FITTER = BatchEMFitter(tol=1e-6, max_iter=2_000)

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


def median(run: Callable[[], object], rounds: int = 5) -> float:
    """Median seconds of a call that has been made before."""
    return statistics.median(clock(run) for _ in range(rounds))


def cold(family: str, d: int) -> tuple[float, float]:
    """Seconds of the first ``default_init`` and fit in a process, imports apart."""
    script = (
        "import jax.numpy as jnp, normix\n"
        "from benchmarks.fits import FITTER, N, clock, data\n"
        f"family = normix.{family}\n"
        f"X = jnp.asarray(data(family, N, {d}))\n"
        "made = []\n"
        "first = clock(lambda: made.append(family.default_init(X)) or made[0].mu)\n"
        "print(first, clock(lambda: FITTER.fit(made[0], X).model.mu))\n"
    )
    start, fit = in_new_process(script)
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


def bootstrap(fits: int = 200, n: int = 1_000, d: int = 2) -> tuple[float, ...]:
    """Fits to resampled rows in one call, of no fit before it in the process.

    Seconds of the first call and of a later one; the largest difference in the mean
    log-likelihood from single fits, and how many fits converged.
    """
    X = jnp.asarray(data(NormalInverseGaussian, n, d))
    start = GeneralizedHyperbolic.default_init(X)
    fitter = BatchEMFitter()
    chosen = jax.random.randint(jax.random.key(0), (fits, n), 0, n)
    every = jax.jit(jax.vmap(lambda rows: fitter.fit(start, X[rows])))
    first = clock(lambda: every(chosen).model.mu)
    warm = median(lambda: every(chosen).model.mu, 3)
    done = every(chosen)
    gaps = [
        abs(float(together) - float(fitter.fit(start, X[rows]).log_likelihood))
        for rows, together in zip(chosen, done.log_likelihood, strict=True)
    ]
    return first, warm, max(gaps), float(jnp.sum(done.converged))


def bootstrap_rows() -> list[Row]:
    """The rows of :func:`bootstrap`, in a new process."""
    first, warm, gap, converged = in_new_process(
        "from benchmarks.fits import bootstrap\nprint(*bootstrap())\n"
    )
    label = "200 GeneralizedHyperbolic fits, vmap, n = 1,000, d = 2"
    note = f"{converged:.0f} converged; log-likelihoods as of single fits to {gap:.0e}"
    return [
        Row(f"{label}, first in a process", first, "warm:", warm),
        Row(label, warm, note=note),
    ]


def reference() -> list[Row]:
    """Every family on five stocks of the Swiss market, where that file is at hand.

    From ``default_init``; the E-steps are those to the stop, and those until the
    total log-likelihood is within 1e-6 of the highest that a longer fit finds.
    """
    if not REFERENCE.exists():
        return []
    X = jnp.asarray(
        np.loadtxt(REFERENCE, delimiter=",", skiprows=1, usecols=range(2, 7))
    )
    rows = []
    for family in LAWS:

        def fit(tol, family=family):
            fitter = BatchEMFitter(tol=tol, max_iter=500, track_ll=True)
            return fitter.fit(family.default_init(X), X)

        longer = np.asarray(fit(1e-9).log_likelihoods) * len(X)
        near = int(np.argmax(longer >= longer.max() - 1e-6)) + 2
        result = fit(1e-6)
        seconds = median(lambda fit=fit: fit(1e-6).model, 15)
        total = float(result.log_likelihood) * len(X)
        note = f"{result.n_iter + 1} E-steps, {near} to within 1e-6; {total:.8f}"
        label = f"{family.__name__}, default_init and fit, five stocks"
        rows.append(Row(label, seconds, note=note))
    return rows


def run() -> list[Row]:
    """Every family in every dimension, a bootstrap, real data, single iterations."""
    rows = []
    for family in LAWS:
        for d in DIMENSIONS:
            rows += whole(family, d)
        jax.clear_caches()
    rows += bootstrap_rows()
    rows += reference()
    rows.append(one_iteration(5_000, 3, steps=50))
    rows.append(one_iteration(1_000_000, 10, steps=2, rounds=2))
    return rows
