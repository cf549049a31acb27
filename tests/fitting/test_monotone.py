"""EM never lowers the log-likelihood and never returns NaN: 400 random problems.

The problems of one shape run in one vectorised fit. The suite runs a sample;
``make test ARGS="-m exhaustive"`` runs all 400 with both algorithms.
"""

from __future__ import annotations

import zlib

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from normix import (
    BatchEMFitter,
    GeneralizedHyperbolic,
    NormalInverseGamma,
    NormalInverseGaussian,
    VarianceGamma,
)

FAMILIES = (
    VarianceGamma,
    NormalInverseGamma,
    NormalInverseGaussian,
    GeneralizedHyperbolic,
)
KINDS = ("heavy tail", "strong skew", "near-Gaussian", "tiny n")
DIMENSIONS = (1, 2, 5, 20)
A_GROUP = 25  # problems: 4 families, 4 dimensions, 25 of all kinds make 400
# (family, d, kind, algorithm) that every run of the suite includes
SAMPLE = {
    (VarianceGamma, 1, "heavy tail", "em"),
    (NormalInverseGamma, 2, "strong skew", "em"),
    (NormalInverseGaussian, 5, "near-Gaussian", "mcecm"),
    (GeneralizedHyperbolic, 2, "tiny n", "em"),
    (GeneralizedHyperbolic, 1, "heavy tail", "mcecm"),
}
CASES = [
    pytest.param(
        *case, marks=pytest.mark.slow if case in SAMPLE else pytest.mark.exhaustive
    )
    for family in FAMILIES
    for d in DIMENSIONS
    for kind in KINDS
    for algorithm in ("em", "mcecm")
    for case in [(family, d, kind, algorithm)]
]


def mixing(rng: np.random.Generator, family: type, kind: str, n: int) -> np.ndarray:
    """Draws of a mixing variable of the family's own kind, or one like it."""
    shape = {"heavy tail": 0.6, "strong skew": 1.0, "near-Gaussian": 40.0}
    alpha = shape.get(kind, 1.5) * rng.uniform(0.8, 1.3)
    if family is VarianceGamma:
        return rng.gamma(alpha, 1 / alpha, n)
    if family is NormalInverseGamma:
        return 1 / rng.gamma(1 + alpha, 1 / alpha, n)
    if family is NormalInverseGaussian:
        return rng.wald(1.0, alpha, n)
    return rng.wald(1.0, alpha, n) * rng.gamma(4 * alpha, 1 / (4 * alpha), n)


def problems(family: type, d: int, kind: str) -> np.ndarray:
    """Data sets of one shape, ``(m, n, d)``."""
    share = {"heavy tail": 7, "strong skew": 6, "near-Gaussian": 6, "tiny n": 6}
    n = d + 2 if kind == "tiny n" else 60 + 10 * d
    rng = np.random.default_rng(zlib.crc32(f"{family.__name__} {d} {kind}".encode()))
    sets = []
    for _ in range(share[kind]):
        y = mixing(rng, family, kind, n)
        root = np.eye(d) + 0.3 * np.tril(rng.normal(size=(d, d)), -1)
        skew = rng.normal(size=d) * (3.0 if kind == "strong skew" else 0.3)
        noise = rng.normal(size=(n, d)) @ root.T
        sets.append(
            rng.normal(size=d) + y[:, None] * skew + np.sqrt(y)[:, None] * noise
        )
    return np.array(sets) * 10.0 ** rng.uniform(-2, 2)


def test_there_are_400_problems():
    groups = [
        len(problems(family, d, kind))
        for family in FAMILIES
        for d in DIMENSIONS
        for kind in KINDS
    ]
    assert sum(groups) == 4 * 4 * A_GROUP


@pytest.mark.parametrize(("family", "d", "kind", "algorithm"), CASES)
def test_log_likelihood_never_falls(family, d, kind, algorithm):
    sets = jnp.asarray(problems(family, d, kind))
    fitter = BatchEMFitter(algorithm=algorithm, max_iter=60, tol=0.0, track_ll=True)

    @jax.jit
    @jax.vmap
    def fit(X):
        start = family.default_init(X)
        return start.marginal_log_likelihood(X), fitter.fit(start, X)

    begun, result = fit(sets)
    for leaf in jax.tree.leaves((begun, result.model, result.log_likelihood)):
        assert bool(jnp.isfinite(leaf).all())
    ended = np.asarray(result.n_iter)
    for start, history, n in zip(
        np.asarray(begun), np.asarray(result.log_likelihoods), ended, strict=True
    ):
        values = np.append(start, history[:n])
        assert np.isfinite(values).all()
        assert (np.diff(values) >= -1e-10 * np.maximum(1, np.abs(values[1:]))).all()
    # A fit that ends before its iterations do says why.
    said = np.asarray(result.unbounded | result.diverged)
    assert said[ended < 60].all()
    if kind == "near-Gaussian":
        assert not said.any()
