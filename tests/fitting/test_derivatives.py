# pyright: reportArgumentType=false, reportOperatorIssue=false
"""Derivatives of a whole fit, by the data and the weights, against refits."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import normix
from normix import BatchEMFitter

TRUTH = normix.NormalInverseGaussian.from_classical(
    mu=[0.0, 0.1], gamma=[0.3, -0.2], sigma=[[1.0, 0.3], [0.3, 0.5]], mu_ig=1.0, lam=1.0
)
FITTER = BatchEMFitter(tol=0.0, max_iter=60)


@pytest.mark.slow
@pytest.mark.parametrize(
    "form", ["", pytest.param("Factor", marks=pytest.mark.exhaustive)]
)
def test_a_fit_is_an_implicit_function(form):
    """Both modes agree, and with fits to data that were moved a little."""
    X = jnp.asarray(TRUTH.rvs(200, seed=1))
    rng = np.random.default_rng(0)
    cls = getattr(normix, form + "NormalInverseGaussian")
    start = cls.default_init(X, *((1,) if form else ()))

    def told(X, w):
        fit = FITTER.fit(start, X, weights=w)
        moments = fit.model.mean(), fit.model.cov().ravel()
        return jnp.concatenate([*moments, fit.log_likelihood[None]])

    w = jnp.asarray(rng.uniform(0.5, 1.5, 200))
    by_X, by_w = (jnp.asarray(rng.normal(size=x.shape)) for x in (X, w))

    @jax.jit
    def both(X, w):
        _, forward = jax.jvp(told, (X, w), (by_X, by_w))
        _, pull = jax.vjp(told, X, w)
        return forward, *jax.vmap(pull)(jnp.eye(7))

    forward, back_X, back_w = both(X, w)
    backward = (back_X * by_X).sum(axis=(1, 2)) + back_w @ by_w
    np.testing.assert_allclose(backward, forward, rtol=1e-10)
    many = jax.jit(jax.vmap(lambda h: told(X + h * by_X, w + h * by_w)))
    h = 2e-3
    far_down, down, up, far_up = many(h * jnp.array([-2.0, -1.0, 1.0, 2.0]))
    differences = (8 * (up - down) - (far_up - far_down)) / (12 * h)
    np.testing.assert_allclose(forward, differences, rtol=1e-5, atol=1e-7)


@pytest.mark.slow
def test_by_a_weight_it_is_the_influence():
    """Leaving out a row is a change of its weight by -1, to first order."""
    X = np.asarray(TRUTH.rvs(200, seed=1))
    cls = normix.UnivariateNormalInverseGaussian
    x = jnp.asarray(X[:, 0])
    fit = FITTER.fit(cls.default_init(x), x)

    def told(w):
        model = FITTER.fit(fit.model, x, weights=w).model
        return jnp.stack([model.mean(), model.var()])

    slopes = jax.jit(jax.jacrev(told))(jnp.ones(200))
    both = fit.inference(x).influence(lambda m: jnp.stack([m.mean(), m.var()]))
    np.testing.assert_allclose(slopes, -both.T, rtol=1e-6, atol=1e-10)
