# pyright: reportArgumentType=false, reportOperatorIssue=false
"""Resampled fits against standard errors that are known otherwise."""

from __future__ import annotations

import jax
import numpy as np
import pytest

import normix
from normix import BatchEMFitter, Outcome, bootstrap

KEY = jax.random.key(3)
TRUTH = normix.NormalInverseGaussian.from_classical(
    mu=[0.0, 0.1], gamma=[0.3, -0.2], sigma=[[1.0, 0.3], [0.3, 0.5]], mu_ig=1.0, lam=1.0
)


def fitted(n: int = 500):
    X = np.asarray(TRUTH.rvs(n, seed=1))
    fit = normix.NormalInverseGaussian.default_init(X).fit(X, tol=1e-8)
    return fit, X


def mean(model):
    return model.mean()


@pytest.mark.parametrize("kind", ["rows", "parametric", "block"])
def test_standard_errors_agree(kind):
    """With those of the inference, as far as 150 resamples tell."""
    fit, X = fitted()
    found = bootstrap(fit.model, X, 150, key=KEY, kind=kind)
    assert found.n_failed == 0 and len(found.outcomes) == 150
    sd = np.asarray(found.std(mean))
    exact = fit.inference(X, cov_type="sandwich").delta(mean).bse
    np.testing.assert_allclose(sd, exact, rtol=0.2)
    values = found.estimate(mean)
    assert values.shape == (150, 2)
    low, high = found.conf_int(mean).T
    np.testing.assert_array_equal(low, np.quantile(values, 0.025, axis=0))
    assert np.all(low < fit.model.mean()) and np.all(high > fit.model.mean())


def test_side_by_side_is_one_after_the_other():
    """The same resamples, the same fits."""
    fit, X = fitted(300)
    fitter = BatchEMFitter(tol=1e-8)
    one, many = (
        bootstrap(fit.model, X, 5, key=KEY, fitter=fitter, batch=batch)
        for batch in (1, 4)
    )
    np.testing.assert_allclose(one.estimate(mean), many.estimate(mean), rtol=1e-6)
    assert many.outcomes.shape == (5,)


def test_intervals_with_correction():
    """Of a symmetric statistic both are nearly one; of a skewed one they differ."""
    fit, X = fitted()
    found = bootstrap(fit.model, X, 150, key=KEY)
    plain, corrected = (
        found.conf_int(mean, method=method) for method in ("percentile", "bca")
    )
    width = plain[:, 1] - plain[:, 0]
    assert np.all(np.abs(corrected - plain) < 0.25 * width[:, None])

    def shape(model):
        return model.joint.subordinator.lam / model.joint.subordinator.mu

    low, high = found.conf_int(shape, method="bca")
    assert low < shape(fit.model) < high
    # Efron's formula, with the bias and the acceleration written out.
    from scipy import special

    values = np.asarray(found.estimate(shape))
    z = special.ndtri((values < float(shape(fit.model))).mean())
    jackknife = -fit.inference(X).influence(shape)[:, 0]
    a = (jackknife**3).sum() / (6 * (jackknife**2).sum() ** 1.5)
    level = special.ndtr(z + (z - 1.959964) / (1 - a * (z - 1.959964)))
    assert low == pytest.approx(np.quantile(values, level), rel=1e-6)


def test_failed_fits_are_counted():
    fit, X = fitted(60)
    hurried = BatchEMFitter(max_iter=3, tol=1e-9)
    with pytest.raises(ValueError, match="no fit to resampled data"):
        bootstrap(fit.model, X, 3, key=KEY, fitter=hurried)
    some = BatchEMFitter(max_iter=12, tol=1e-5)
    found = bootstrap(fit.model, X, 30, key=KEY, fitter=some)
    assert found.n_failed == (found.outcomes != Outcome.CONVERGED).sum()
    assert 0 < found.n_failed < 30
    assert len(found.estimate(mean)) == 30 - found.n_failed


def test_bad_input(capsys):
    fit, X = fitted(60)
    with pytest.raises(ValueError, match="kind"):
        bootstrap(fit.model, X, 3, key=KEY, kind="wild")
    with pytest.raises(ValueError, match="n must be at least 1"):
        bootstrap(fit.model, X, 0, key=KEY)
    with pytest.raises(ValueError, match="longer than"):
        bootstrap(fit.model, X, 2, key=KEY, kind="block", block_length=61)
    found = bootstrap(fit.model, X, 2, key=KEY, kind="parametric", progress=True)
    assert "2 fits, 0 failed, " in capsys.readouterr().err
    with pytest.raises(ValueError, match="bca"):
        found.conf_int(mean, method="bca")
    with pytest.raises(ValueError, match="method"):
        found.conf_int(mean, method="normal")
    with pytest.raises(ValueError, match="alpha"):
        found.conf_int(mean, alpha=0.0)
