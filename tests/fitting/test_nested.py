"""Generalized hyperbolic fits that end in a limit."""

from typing import Any

import numpy as np

import normix
from normix.fitting.em import batch, nested

OPTIONS: Any = {"tol": 1e-6, "max_iter": 1000}


def levels(seed: int, n: int = 400) -> np.ndarray:
    """Prices in place of returns: no mixture made them, and they have several humps."""
    rng = np.random.default_rng(seed)
    return np.exp(np.cumsum(rng.normal(0, 0.02, (n, 2)), axis=0))


def test_no_lower_than_the_variance_gamma_fit_from_the_same_start(monkeypatch):
    """Where the fit alone is lower, by up to some nats."""
    gains, n = [], 400
    for seed in range(8):
        X = levels(seed)
        start = normix.GeneralizedHyperbolic.default_init(X)
        fit = start.fit(X, **OPTIONS)
        with monkeypatch.context() as patch:
            patch.setattr(batch, "has_family_within", lambda *_: False)
            alone = start.fit(X, **OPTIONS)
        if alone.boundary in (None, "normal"):
            assert int(fit.n_iter) == int(alone.n_iter)
            continue
        within = normix.VarianceGamma(nested._variance_gamma_at(start.joint))
        other = within.fit(X, **OPTIONS)
        least = max(float(alone.log_likelihood), float(other.log_likelihood))
        assert n * (float(fit.log_likelihood) - least) > -1e-5
        gains.append(n * (float(fit.log_likelihood) - float(alone.log_likelihood)))
        assert int(fit.n_iter) > int(alone.n_iter)
        assert isinstance(fit.model, normix.GeneralizedHyperbolic)
    assert len(gains) >= 3 and max(gains) > 0.01


def test_what_is_told_is_of_one_fit():
    told: list[Any] = []
    X = levels(0)
    start = normix.GeneralizedHyperbolic.default_init(X)
    fitter = normix.BatchEMFitter(track_ll=True, **OPTIONS)
    fit = fitter.fit(start, X, callback=told.append)
    n_iter = int(fit.n_iter)
    assert [at.n_iter for at in told] == list(range(1, n_iter + 1))
    history = np.asarray(fit.log_likelihoods)
    assert history.shape == (n_iter,)
    assert (np.diff(history) >= -1e-12).all()
    assert history[-1] == float(fit.log_likelihood)
    value = fit.model.marginal_log_likelihood(X)
    np.testing.assert_allclose(fit.log_likelihood, value, rtol=1e-7)


def test_max_iter_bounds_all_of_them():
    X = levels(0)
    start = normix.GeneralizedHyperbolic.default_init(X)
    fit = start.fit(X, tol=1e-6, max_iter=60)
    assert int(fit.n_iter) <= 60
