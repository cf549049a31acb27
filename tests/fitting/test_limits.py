# pyright: reportArgumentType=false, reportAttributeAccessIssue=false
"""Suprema at infinity: fits that end in a limit, or at a pole, and say which."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.stats

import normix

OPTIONS = dict(tol=1e-6, max_iter=500)


def total(fit, X) -> float:
    return float(fit.log_likelihood) * len(X)


@pytest.mark.parametrize("family", ["NormalInverseGaussian", "NormalInverseGamma"])
def test_the_normal_law(family):
    """Lighter tails than normal ones, symmetric: nothing beats the normal law."""
    X = np.random.default_rng(1).uniform(-1, 1, (400, 2)) * [1.0, 1e6]
    cls = getattr(normix, family)
    fit = cls.default_init(X).fit(X, symmetric=True, **OPTIONS)
    assert fit.converged and fit.boundary == "normal"
    assert "a normal law" in fit.message
    Z = X / [1.0, 1e6]
    cov = np.cov(Z.T, bias=True)
    best = scipy.stats.multivariate_normal(Z.mean(axis=0), cov).logpdf(Z).sum()
    best = best - len(X) * np.log(1e6)
    assert total(fit, X) == pytest.approx(best, abs=0.01)
    # Already where the likelihood tells no difference, far from where digits end.
    early = cls.default_init(X).fit(X, symmetric=True, tol=1e-3, max_iter=500)
    assert early.boundary == "normal" and early.n_iter < fit.n_iter


def test_the_mixing_law_itself():
    """One-sided data: the best NIG law is an inverse Gaussian one, with a place."""
    x = scipy.stats.gamma(1.6, loc=3.0, scale=2.0).rvs(400, random_state=2)
    fit = normix.UnivariateNormalInverseGaussian.default_init(x).fit(x, **OPTIONS)
    assert fit.converged and fit.boundary == "mixing"
    best = scipy.stats.invgauss(*scipy.stats.invgauss.fit(x, 0.5, loc=2.9)).logpdf(x)
    assert total(fit, x) >= best.sum() - 1e-3
    assert total(fit, x) == pytest.approx(best.sum(), abs=0.01)


def test_a_gamma_law_has_a_pole_at_its_edge():
    """Without equal rows: below shape 1 the density is infinite at the lowest one."""
    x = np.array([0, 0.02, 0.1, 0.3, 0.4, 1.1, 2.7, 6, 14, 38, 90, 210])
    cls = normix.UnivariateVarianceGamma
    near = cls.from_classical(mu=-0.5, gamma=40.0, sigma=2.0, alpha=0.6, beta=0.6)
    fit = near.fit(x, alpha_min=0.55, **OPTIONS)
    assert fit.unbounded and not fit.converged
    start = cls.default_init(x)
    bounded = start.fit(x, alpha_min="density", **OPTIONS)
    assert bounded.converged and not bounded.unbounded
    assert bounded.model.joint.subordinator.alpha >= 1.0


def test_many_equal_values():
    """Most values equal, the others far away: every family gets onto them."""
    rng = np.random.default_rng(3)
    x = np.where(rng.random(300) < 0.75, 1.0, rng.standard_cauchy(300))
    for family in ("VarianceGamma", "NormalInverseGamma", "NormalInverseGaussian"):
        cls = getattr(normix, f"Univariate{family}")
        fit = cls.default_init(x).fit(x, **OPTIONS)
        assert fit.unbounded, (family, fit.message)
        assert np.isfinite(fit.model.joint.mu).all()


@pytest.mark.parametrize("family", ["VarianceGamma", "GeneralizedHyperbolic"])
def test_a_verdict_depends_on_no_unit(family):
    """One-sided data: rescaled, shifted, in another order, weighted otherwise."""
    x = np.random.default_rng(4).gamma(3.0, size=150)
    cls = getattr(normix, f"Univariate{family}")

    def outcome(data, weights=None):
        fit = cls.default_init(data).fit(data, weights=weights, **OPTIONS)
        return fit.outcome, float(fit.log_likelihood)

    verdict, mean = outcome(x)
    for data, weights, jacobian in (
        (1e8 * x, None, 1e8),
        (1e-8 * (x + 5), None, 1e-8),
        (x[::-1].copy(), None, 1.0),
        (x, np.full(150, 1e-6), 1.0),
        (x, np.full(150, 1e6), 1.0),
    ):
        again = outcome(data, weights)
        assert again[0] == verdict
        assert again[1] + np.log(jacobian) == pytest.approx(mean, abs=2e-6 / 150)


@pytest.mark.parametrize("method", ["none", "squarem"])
def test_what_is_left_to_gain_ends_every_method(method):
    """EM creeps where no mixture made the data: a small step is no maximum."""
    x = np.random.default_rng(5).lognormal(0, 0.8, 200)
    start = normix.UnivariateNormalInverseGaussian.default_init(x)
    best = start.fit(x, **OPTIONS)
    slow = start.fit(x, acceleration=method, tol=1e-2, max_iter=2000)
    assert slow.converged
    assert total(slow, x) >= total(best, x) - 0.02
