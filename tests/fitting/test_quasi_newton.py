"""Quasi-Newton fits: the score, and maxima that are far away for EM alone."""

from __future__ import annotations

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.optimize

import normix
from normix.fitting.em.acceleration import QuasiNewton
from normix.mixtures.coordinates import Moving, at_coordinates, coordinates
from normix.mixtures.model_steps import packed, swept_over
from normix.mixtures.posterior import log_density_of_rows
from normix.mixtures.score import score

FAMILIES = ("NormalInverseGaussian", "VarianceGamma", "NormalInverseGamma")
EVERY = (*FAMILIES, "GeneralizedHyperbolic")


def rows(n: int, d: int = 3, seed: int = 0) -> np.ndarray:
    """Heavy-tailed, skewed rows of very different sizes."""
    rng = np.random.default_rng(seed)
    y = rng.wald(1.0, 1.5, n)[:, None]
    return (0.3 * y + np.sqrt(y) * rng.normal(size=(n, d))) * 10.0 ** np.arange(d)


# -- the score -----------------------------------------------------------------------


@partial(jax.jit, static_argnames="frame")
def by_identity(vector, swept, moving, unit, frame):
    law = frame.unpack(vector)
    point = coordinates(law.in_units(1 / unit), moving)
    return point, score(law, swept, frame, moving, unit)


@partial(jax.jit, static_argnames="frame")
def by_differentiation(vector, point, X, moving, unit, frame):
    law = frame.unpack(vector)

    def mean_log_likelihood(at):
        moved = at_coordinates(law, at, moving).in_units(unit)
        return log_density_of_rows(moved, X).mean()

    return jax.grad(mean_log_likelihood)(point)


@pytest.mark.parametrize("form", ["", "Factor"])
@pytest.mark.parametrize("family", EVERY)
def test_score(family, form):
    """Fisher's identity against the derivative of the log-density itself."""
    X = rows(60)
    cls = getattr(normix, form + family)
    joint = cls.default_init(X, *([1] if form else [])).joint
    vector, swept = swept_over(joint, jnp.asarray(X), None, False)
    unit = X.std(axis=0)
    about = Moving(True, joint.subordinator.has_order), jnp.asarray(unit), joint.frame
    point, got = by_identity(vector, swept, *about)
    want = by_differentiation(packed(joint), point, X, *about)
    assert np.abs(want).max() > 1e-2  # not at a maximum
    np.testing.assert_allclose(got, want, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("family", ["VarianceGamma", "NormalInverseGamma"])
def test_score_on_the_boundary(family):
    """Of generalized hyperbolic laws that are in the limit: along the limit."""
    X = rows(60)
    joint = getattr(normix, family).default_init(X).joint
    vector, swept = swept_over(joint, jnp.asarray(X), None, False)
    about = Moving(True, True), jnp.asarray(X.std(axis=0)), joint.frame
    point, got = by_identity(vector, swept, *about)
    want = by_differentiation(packed(joint), point, X, *about)
    np.testing.assert_allclose(got, want, rtol=1e-9, atol=1e-9)


# -- the method ----------------------------------------------------------------------


def test_on_a_quadratic():
    """BFGS proper: after as many steps as there are coordinates, at the maximum."""
    rng = np.random.default_rng(1)
    root = rng.normal(size=(4, 4))
    information = root @ root.T + np.eye(4)
    complete = information + np.diag([3.0, 1.0, 0.5, 2.0])
    top = rng.normal(size=4)

    def em(x):
        slope = information @ (top - x)
        return x + np.linalg.solve(complete, slope), slope

    def propose(state, x, g, slope):
        return state.proposal(jnp.asarray(x), jnp.asarray(g), lambda: slope)

    state, x = QuasiNewton.begin(4, np.float64), np.zeros(4)
    for _ in range(12):
        g, slope = em(x)
        ahead, state = propose(state, x, g, slope)
        x = np.where(np.isfinite(ahead), ahead, g)
    np.testing.assert_allclose(x, top, atol=1e-7)
    # A model without coordinates forgets all; the next step is EM's own.
    nan = np.full(4, np.nan)
    _, state = propose(state, nan, nan, nan)
    assert not np.any(state.steps)
    g, slope = em(np.ones(4))
    ahead, state = propose(state, np.ones(4), g, slope)
    assert np.isnan(ahead).all()


# -- fits ----------------------------------------------------------------------------


def one_sided(rng):
    return rng.gamma(1.5, size=500)


def lognormal(rng):
    return np.exp(rng.normal(0, 0.8, 500))


def humps(rng):
    return np.where(
        rng.random(500) < 0.3, rng.normal(4, 0.5, 500), rng.normal(size=500)
    )


def light(rng):
    return rng.uniform(-1, 1, 500) + rng.normal(0, 0.2, 500)


def levels(rng):
    return np.exp(np.cumsum(rng.normal(0, 0.02, 500)))


def outliers(rng):
    return 50 * rng.standard_cauchy(500) * (rng.random(500) < 0.02) + rng.normal(
        size=500
    )


HARD = [
    pytest.param(data, family, id=f"{data.__name__}-{family}")
    for data in (one_sided, lognormal, humps, light, levels, outliers)
    for family in FAMILIES
    # There the one likelihood is unbounded, and the other's Σ vanishes beside γγᵀ until
    # the E-step has no digits left.
    if (data, family)
    not in ((outliers, "VarianceGamma"), (levels, "NormalInverseGamma"))
]


@pytest.mark.parametrize(("data", "family"), HARD)
def test_nothing_is_left_to_gain(data, family):
    """On data that no mixture made, SciPy goes no higher from where the fit ended."""
    X = data(np.random.default_rng(3))
    cls = getattr(normix, f"Univariate{family}")
    fit = cls.default_init(X).fit(
        X, acceleration="quasi-newton", tol=1e-6, max_iter=300, track_ll=True
    )
    assert fit.converged
    falls = np.diff(np.asarray(fit.log_likelihoods))
    assert (falls >= -1e-10 * (1 + abs(fit.log_likelihood))).all()

    # In the coordinates of the fitted law, columns standardised.
    joint = fit.model.joint
    frame, kind = joint.frame, type(joint.subordinator)
    moving = Moving(True, kind.has_order)
    rows, unit = jnp.asarray(X)[:, None], jnp.asarray([X.std()])
    law = frame.unpack(packed(joint))
    start = np.asarray(coordinates(law.in_units(1 / unit), moving))

    def loss(point):
        value, slope = value_and_slope(law, jnp.asarray(point), rows, moving, unit)
        if not (np.isfinite(value) and np.isfinite(slope).all()):
            return 1e10, np.zeros_like(start)
        return -len(X) * float(value), -len(X) * np.asarray(slope)

    found = scipy.optimize.minimize(loss, start, jac=True, method="L-BFGS-B")
    # Where Σ vanishes beside γγᵀ, the last thousandths are beyond the E-step's digits.
    assert -found.fun - len(X) * fit.log_likelihood <= 1e-2


@jax.jit
def value_and_slope(law, point, X, moving, unit):
    def mean_log_likelihood(at):
        moved = at_coordinates(law, at, moving).in_units(unit)
        return log_density_of_rows(moved, X).mean()

    return jax.value_and_grad(mean_log_likelihood)(point)


def test_the_same_under_jit():
    X = rows(300, 2)
    start = normix.GeneralizedHyperbolic.default_init(X)
    fitter = normix.BatchEMFitter(acceleration="quasi-newton", tol=1e-6)
    driven, traced = fitter.fit(start, X), jax.jit(fitter.fit)(start, X)
    assert driven.converged
    assert bool(traced.converged)
    assert float(traced.log_likelihood) == pytest.approx(
        driven.log_likelihood, abs=1e-9
    )


def test_weights_by_their_proportions():
    """Their scale does not matter, nor does a row that weighs nothing."""
    X = rows(200, 2)
    start = normix.NormalInverseGaussian.default_init(X)
    fitter = normix.BatchEMFitter(acceleration="quasi-newton", tol=1e-6)
    plain = fitter.fit(start, X)
    for scale in (1e-6, 1e6):
        fit = fitter.fit(start, X, weights=np.full(len(X), scale))
        assert fit.converged
        assert fit.n_iter == plain.n_iter
        assert fit.log_likelihood == pytest.approx(plain.log_likelihood, abs=1e-10)
    more = np.concatenate([X, X[:40] + 1])
    weights = np.repeat([1.0, 0.0], [200, 40])
    fit = fitter.fit(start, more, weights=weights)
    assert fit.n_iter == plain.n_iter
    assert fit.log_likelihood == pytest.approx(plain.log_likelihood, abs=1e-9)
