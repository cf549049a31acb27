"""Tests of fit: time, p-values when the law is right, and power when it is wrong."""

from __future__ import annotations

import statistics
import time
from typing import Any

import jax
import numpy as np
from scipy import stats

import normix
from benchmarks.timing import Row
from normix.diagnostics import test_fit

ALL = ("ks", "ad", "cvm", "energy")
SIMULATIONS, RESAMPLES, ROWS = 500, 99, 200
POWER_SIMULATIONS = 100

_PLACE = {"mu": [0.0, 1.0], "gamma": [0.3, -0.2], "sigma": [[1.0, 0.5], [0.5, 1.0]]}
NIG = normix.NormalInverseGaussian.from_classical(**_PLACE, mu_ig=1.0, lam=1.0)
VG = normix.VarianceGamma.from_classical(**_PLACE, alpha=2.5, beta=2.5)
SKEW_T = normix.NormalInverseGamma.from_classical(**_PLACE, alpha=2.0, beta=1.0)


def times() -> list[Row]:
    """Of 200 refits of NIG, 1,000 x 2."""
    X = np.asarray(NIG.rvs(1000, key=jax.random.key(1)))
    model = normix.NormalInverseGaussian.default_init(X).fit(X).model
    rows = []
    for statistic, name in (("ad", "Anderson-Darling"), (ALL, "all four")):
        for batch in (1, 200):
            seconds = []
            for k in range(4):
                begin = time.perf_counter()
                test_fit(model, X, statistic, 200, key=jax.random.key(k), batch=batch)
                seconds.append(time.perf_counter() - begin)
            how = "one after the other" if batch == 1 else "in one vmapped call"
            rows.append(
                Row(
                    f"200 refits of NIG 1,000 x 2, {how}: {name}",
                    statistics.median(seconds[1:]),
                    note=f"first {seconds[0]:.1f} s; target 3 s warm",
                )
            )
    return rows


def pvalues(truth: Any, family: Any, simulations: int) -> np.ndarray:
    """Of all tests, shape ``(simulations, 4)``; samples that no fit converged to are
    left out.
    """
    found = []
    for k in range(simulations):
        draw, key = jax.random.split(jax.random.key(k))
        X = np.asarray(truth.rvs(ROWS, key=draw))
        if family is normix.MultivariateNormal:
            model = family.fit_mle(X)
        else:
            fit: Any = family.default_init(X).fit(X)
            if not fit.converged:
                continue
            model = fit.model
        results = test_fit(model, X, ALL, RESAMPLES, key=key, batch=1)
        found.append([result.pvalue for result in results])
    return np.array(found)


def run() -> list[Row]:
    """All of the suite; minutes."""
    rows = times()
    begin = time.perf_counter()
    right = pvalues(NIG, normix.NormalInverseGaussian, SIMULATIONS)
    # Of whole multiples of 1/(RESAMPLES + 1), to which uniform noise is added.
    noise = np.random.default_rng(0).random(right.shape) / (RESAMPLES + 1)
    uniform = [stats.kstest(p, "uniform").pvalue for p in (right - noise).T]
    told = ", ".join(f"{name} {p:.2f}" for name, p in zip(ALL, uniform, strict=True))
    rows.append(
        Row(
            f"{len(right)} samples of NIG, {ROWS} x 2: p-values uniform?",
            time.perf_counter() - begin,
            note=f"p-value of Kolmogorov and Smirnov's test: {told} (above .01)",
        )
    )
    cases = (
        (NIG, normix.MultivariateNormal),
        (SKEW_T, normix.VarianceGamma),
        (VG, normix.NormalInverseGamma),
        (SKEW_T, normix.NormalInverseGaussian),
    )
    for truth, family in cases:
        begin = time.perf_counter()
        found = pvalues(truth, family, POWER_SIMULATIONS)
        shares = ", ".join(
            f"{name} {100 * (p <= 0.05).mean():.0f} %"
            for name, p in zip(ALL, found.T, strict=True)
        )
        rows.append(
            Row(
                f"power at .05: {family.__name__} fitted to {type(truth).__name__}",
                time.perf_counter() - begin,
                note=f"{shares}, of {len(found)} samples of {ROWS} rows",
            )
        )
    return rows
