"""A law by unconstrained coordinates, and the score of every row."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import normix

FAMILIES = (
    "NormalInverseGaussian",
    "VarianceGamma",
    "NormalInverseGamma",
    "GeneralizedHyperbolic",
)


def rows(n: int, d: int, seed: int = 0) -> np.ndarray:
    """Heavy-tailed, skewed rows of very different sizes."""
    rng = np.random.default_rng(seed)
    y = rng.wald(1.0, 1.5, n)[:, None]
    return (0.3 * y + np.sqrt(y) * rng.normal(size=(n, d))) * 10.0 ** np.arange(d)


def start(form: str, family: str) -> tuple:
    X = rows(40, 1 if form == "Univariate" else 3)
    X = X[:, 0] if form == "Univariate" else X
    cls = getattr(normix, form + family)
    return cls.default_init(X, *([1] if form == "Factor" else [])), X


@pytest.mark.parametrize("form", ["", "Factor", "Univariate"])
@pytest.mark.parametrize("family", FAMILIES)
def test_score(family, form):
    """Fisher's identity against the derivative of the log-density itself."""
    model, X = start(form, family)
    point = model.coordinates()

    @jax.jit
    def by_differentiation(point):
        return jax.jacfwd(lambda c: model.at(c).joint.log_prob_marginal(rows))(point)

    rows = jnp.asarray(X.reshape(len(X), -1))
    want, got = by_differentiation(point), model.score(X)
    assert got.shape == (len(X), len(point))
    scale = np.abs(want).max(axis=0)
    np.testing.assert_allclose(got / scale, want / scale, rtol=1e-9, atol=1e-11)


@pytest.mark.parametrize("form", ["", "Factor", "Univariate"])
@pytest.mark.parametrize("family", FAMILIES)
def test_coordinates_and_back(family, form):
    """The same law of X, in another gauge; and coordinates of any value are a law."""
    model, X = start(form, family)
    point = model.coordinates()
    back = model.at(point)
    np.testing.assert_allclose(back.coordinates(), point, rtol=1e-10, atol=1e-10)
    want = model.marginal_log_likelihood(X)
    np.testing.assert_allclose(back.marginal_log_likelihood(X), want, rtol=1e-11)
    random = np.random.default_rng(1).normal(0, 2, point.shape)
    other = model.at(random)
    assert np.isfinite(other.marginal_log_likelihood(X))
    np.testing.assert_allclose(other.coordinates(), random, rtol=1e-9, atol=1e-9)
    with pytest.raises(ValueError, match="coordinates must have shape"):
        model.at(random[1:])


def test_a_maximum_of_weighted_rows():
    """There the scores cancel, by weight; also where all is traced."""
    X = rows(300, 2)
    w = np.random.default_rng(2).uniform(0.1, 3.0, 300)
    start = normix.NormalInverseGaussian.default_init(X)
    fit = start.fit(X, weights=w, tol=1e-9)
    assert fit.converged
    size = np.sqrt((fit.model.score(X) ** 2).sum(axis=0))
    np.testing.assert_allclose(w @ fit.model.score(X) / size, 0, atol=1e-3)
    assert np.abs(start.score(X).sum(axis=0) / size).max() > 0.1
    many = jax.vmap(jax.jit(lambda X: fit.model.score(X)))(X.reshape(3, 100, 2))
    np.testing.assert_allclose(
        many.reshape(300, -1), fit.model.score(X), rtol=1e-9, atol=1e-9
    )
