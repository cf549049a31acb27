"""Fits whose likelihood has a local maximum at every row."""

from typing import Any

import jax
import numpy as np
import pytest

import normix
from normix.fitting.em import cusps


def peaked(seed: int, d: int, n: int = 300) -> np.ndarray:
    """Draws of a variance gamma law whose density has a cusp."""
    rng = np.random.default_rng(seed)
    y = rng.gamma(0.5 * d + 0.2, 1.0, n)[:, None]
    X = 0.5 * y + np.sqrt(y) * rng.normal(size=(n, d))
    return X[:, 0] if d == 1 else X


def family(d: int):
    return normix.UnivariateVarianceGamma if d == 1 else normix.VarianceGamma


OPTIONS: Any = {"tol": 1e-6, "max_iter": 500}


@pytest.mark.parametrize(("d", "seed"), [(1, 0), (1, 6), (2, 4)])
def test_no_row_nearby_is_a_higher_maximum(d, seed, monkeypatch):
    """Against fits with the location held at each of the 40 rows that are nearest."""
    X, n = peaked(seed, d), 300
    start = family(d).default_init(X)
    fit = start.fit(X, **OPTIONS)
    assert fit.converged and fit.boundary is None
    rows = X.reshape(n, d)
    order = np.argsort(((rows - np.asarray(fit.model.mu)) ** 2).sum(axis=1))[:40]
    held = [fit.model.fit(X, fix={"mu": X[k]}, **OPTIONS) for k in order]
    best = max(float(one.log_likelihood) for one in held if one.converged)
    assert n * (best - float(fit.log_likelihood)) < 0.001
    # A fit that stays at the cusp that it comes to is lower as a rule.
    monkeypatch.setattr(cusps, "_FITS", 0)
    alone = start.fit(X, **OPTIONS)
    assert float(alone.log_likelihood) <= float(fit.log_likelihood)
    assert int(alone.n_iter) < int(fit.n_iter)


def test_what_is_told_is_of_one_fit():
    X, told = peaked(4, 1), []
    start = family(1).default_init(X)
    fitter = normix.BatchEMFitter(track_ll=True, **OPTIONS)
    fit = fitter.fit(start, X, callback=told.append)
    n_iter = int(fit.n_iter)
    assert [at.n_iter for at in told] == list(range(1, n_iter + 1))
    history, changes = np.asarray(fit.log_likelihoods), np.asarray(fit.param_changes)
    assert history.shape == changes.shape == (n_iter,)
    assert (np.diff(history) >= 0).all()
    assert history[-1] == float(fit.log_likelihood)
    value = fit.model.marginal_log_likelihood(X)
    # Near a cusp, where rounding of the location is seen.
    np.testing.assert_allclose(fit.log_likelihood, value, rtol=1e-7)
    some = normix.BatchEMFitter(tol=1e-6, max_iter=n_iter - 20).fit(start, X)
    assert int(some.n_iter) == n_iter - 20


def test_ctrl_c_among_the_rows():
    X = peaked(4, 1)
    start = family(1).default_init(X)
    whole = start.fit(X, **OPTIONS)

    def stop(at):
        if at.n_iter == int(whole.n_iter) - 10:
            raise KeyboardInterrupt

    fit = start.fit(X, callback=stop, **OPTIONS)
    assert fit.interrupted and int(fit.n_iter) < int(whole.n_iter)
    assert np.isfinite(fit.log_likelihood)


def test_what_is_in_hand_is_returned():
    """When Ctrl-C comes in one of the fits, and when the iterations are used up."""
    X, told = peaked(2, 1), []
    start = family(1).default_init(X)
    options: Any = OPTIONS | {"track_ll": True}
    whole = start.fit(X, callback=told.append, **options)
    for stop in range(int(whole.n_iter) - 70, int(whole.n_iter), 24):
        short = start.fit(X, **(options | {"max_iter": stop}))
        assert int(short.n_iter) == stop
        assert float(short.log_likelihood) == np.max(np.asarray(short.log_likelihoods))

        def ends(at, stop=stop):
            if at.n_iter == stop:
                raise KeyboardInterrupt

        cut = start.fit(X, callback=ends, **options)
        assert cut.interrupted
        reached = max(at.log_likelihood for at in told[:stop])
        np.testing.assert_allclose(cut.log_likelihood, reached, rtol=1e-12)
    values = [at.log_likelihood for at in told]
    assert (np.diff(values) >= -1e-12).all()


def test_ctrl_c_between_two_fits(monkeypatch):
    X, fits = peaked(4, 1), []
    start = family(1).default_init(X)
    moved = cusps._moved

    def second_time(joint, row):
        fits.append(row)
        if len(fits) > len(cusps._PLACES):
            raise KeyboardInterrupt
        return moved(joint, row)

    whole = start.fit(X, **OPTIONS)
    monkeypatch.setattr(cusps, "_moved", second_time)
    cut = start.fit(X, **OPTIONS)
    assert cut.interrupted and 0 < int(cut.n_iter) < int(whole.n_iter)
    monkeypatch.setattr(cusps, "_FITS", 0)
    fits.clear()
    alone = start.fit(X, **OPTIONS)
    assert float(alone.log_likelihood) < float(cut.log_likelihood)


def test_the_order_of_rows_does_not_matter():
    X = peaked(4, 1)
    start = family(1).default_init(X)
    one, other = start.fit(X, **OPTIONS), start.fit(X[::-1], **OPTIONS)
    gap = 300 * abs(float(one.log_likelihood) - float(other.log_likelihood))
    assert gap < 1e-4


def test_where_nothing_is_tried():
    """A location or a shape that is held, a rule with its own aim, traced rows."""
    X = peaked(4, 1)
    start = family(1).default_init(X)
    free = start.fit(X, **OPTIONS)
    held = start.fit(X, fix={"mu": 0.0}, **OPTIONS)
    assert float(held.model.mu) == 0.0 and int(held.n_iter) < int(free.n_iter)
    smooth = start.fit(X, alpha_min="density", **OPTIONS)
    assert float(smooth.model.alpha) >= 1.0
    traced = jax.jit(lambda X: normix.BatchEMFitter(**OPTIONS).fit(start, X))(X)
    assert float(traced.log_likelihood) <= float(free.log_likelihood)
    assert int(traced.n_iter) < int(free.n_iter)


def test_the_weights_of_rows_count():
    """Rows without weight are no places for the location."""
    X = peaked(6, 1)
    start = family(1).default_init(X)
    alone = start.fit(X, **OPTIONS)
    more = np.concatenate([X, np.linspace(-0.5, 0.5, 200)])
    weights = np.concatenate([np.ones(300), np.zeros(200)])
    fit = start.fit(more, weights=weights, **OPTIONS)
    assert np.abs(float(fit.model.mu) - X).min() < 1e-9
    np.testing.assert_allclose(fit.log_likelihood, alone.log_likelihood, rtol=1e-6)
