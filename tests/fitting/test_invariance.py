# pyright: reportArgumentType=false
"""A fit of random data has an outcome, and it depends on nothing that it should not.

Not on the units of the columns, where their zero is, the order of the rows, the unit of
the weights, nor on whether a row of weight 2 is written twice. The suite runs a sample;
``make test ARGS="-m exhaustive -k invariance"`` runs 10,000 problems.
"""

from __future__ import annotations

import numpy as np
import pytest

import normix
from normix import Outcome

FAMILIES = (
    "VarianceGamma",
    "NormalInverseGamma",
    "NormalInverseGaussian",
    "GeneralizedHyperbolic",
)
A_GROUP = 500  # problems: 4 families, 5 dimensions make 10,000
A_SAMPLE = 6
CASES = [
    pytest.param(family, d, count, marks=mark)
    for family in FAMILIES
    for d in range(1, 6)
    for count, mark in ((A_SAMPLE, pytest.mark.slow), (A_GROUP, pytest.mark.exhaustive))
    if count == A_GROUP or d in (1, 2, 4)
]


def problem(rng: np.random.Generator, d: int) -> np.ndarray:
    """Between d + 2 and 500 rows: of a mixture, light-tailed, or one-sided."""
    n = int(np.exp(rng.uniform(np.log(d + 2), np.log(500))))
    noise = rng.normal(size=(n, d)) @ np.tril(rng.normal(size=(d, d)) + 2 * np.eye(d))
    kind = rng.integers(4)
    if kind == 0:
        return rng.normal(0, 1, d) * rng.exponential(1, (n, 1)) + noise
    if kind == 1:
        return noise / np.sqrt(rng.gamma(rng.uniform(0.5, 5), size=(n, 1)))
    if kind == 2:
        return noise + rng.uniform(-3, 3, (n, d))
    return np.exp(0.5 * noise / np.abs(noise).max(axis=0))


def fitted(start, X: np.ndarray, **options) -> tuple[normix.EMResult, float]:
    """A fit, and its log-likelihood in nats over all rows."""
    fit = start.fit(X, tol=1e-7, max_iter=500, **options)
    for leaf in (fit.model.mu, fit.model.gamma, fit.model.sigma()):
        assert np.isfinite(leaf).all()
    return fit, float(fit.log_likelihood) * len(X)


@pytest.mark.parametrize("family, d, count", CASES)
def test_a_verdict_depends_on_the_law_alone(family, d, count):
    """The same outcome, and the same likelihood as far as digits go.

    In a limit these end at some 1e-5 nats, see normix.mixtures.limits; and where few
    rows leave a flat ridge, or several maxima beside a pole, rounding chooses: of four
    rows in two dimensions Σ all but vanishes in one of them.
    """
    cls = getattr(normix, family)
    rng = np.random.default_rng([FAMILIES.index(family), d])
    plain, all_of_them, verdicts, of_few = [], [], [], []
    for _ in range(count):
        X = problem(rng, d)
        n = len(X)
        start = cls.default_init(X)
        fit, total = fitted(start, X)
        assert fit.outcome != Outcome.DIVERGED
        unit = 10.0 ** rng.uniform(-8, 8, d)
        shift = rng.normal(0, 10, d) * unit
        moved = start.affine(np.diag(unit), shift)
        weights = np.where(rng.random(n) < 0.3, 2.0, 1.0)
        twice = np.repeat(X, weights.astype(int), axis=0)
        others = [
            fitted(moved, X * unit + shift),
            fitted(start, X[rng.permutation(n)]),
            fitted(start, X, weights=np.full(n, 1e6)),
            fitted(start, X, weights=np.full(n, 1e-6)),
        ]
        others[0] = others[0][0], others[0][1] + n * np.log(unit).sum()
        pairs = [((fit, total), other) for other in others]
        once, value = fitted(start, X, weights=weights)
        pairs.append(((once, value / n * len(twice)), fitted(start, twice)))
        for (one, value), (two, other) in pairs:
            same = one.outcome == two.outcome
            # Weights in another unit name the same limit.
            same = same and (two is not others[3][0] or one.boundary == two.boundary)
            (verdicts if n > 4 * d else of_few).append(same)
            if one.converged and two.converged and n > 4 * d:
                all_of_them.append(abs(value - other))
                if one.boundary is None and two.boundary is None and n > 20 * d:
                    plain.append(abs(value - other))
    assert np.mean(verdicts) > 0.95
    assert np.mean(verdicts + of_few) > 0.85
    assert (np.array(all_of_them) < 0.01).mean() > 0.95
    assert len(plain) < 10 or np.median(plain) < 1e-6
