# pyright: reportArgumentType=false
"""Inference for exponential families, against closed forms and mpmath."""

from __future__ import annotations

import jax.numpy as jnp
import mpmath
import numpy as np
import pandas as pd
import pytest
from scipy import special

import normix
from normix import inference


def positive(n: int) -> np.ndarray:
    return np.random.default_rng(1).gamma(3.0, 2.0, n)


def covariance(information) -> np.ndarray:
    return np.linalg.inv(np.array(information, float))


def test_gamma_and_inverse_gamma():
    X, n = positive(500), 500
    for cls, sample in ((normix.Gamma, X), (normix.InverseGamma, 1 / X)):
        model = cls.fit_mle(sample)
        found = inference(model, sample)
        assert found.names == ("alpha", "beta") and found.df_model == 2
        alpha, beta = found.params
        fisher = [
            [special.polygamma(1, alpha), -1 / beta],
            [-1 / beta, alpha / beta**2],
        ]
        np.testing.assert_allclose(
            found.cov_params(), covariance(fisher) / n, rtol=1e-9
        )
    # The mean of the sample is the estimate of the mean, so its error is known.
    of_mean = inference(normix.Gamma.fit_mle(X), X).delta(lambda model: model.mean())
    alpha, beta = (float(x) for x in inference(normix.Gamma.fit_mle(X), X).params)
    np.testing.assert_allclose(of_mean.value, X.mean(), rtol=1e-12)
    np.testing.assert_allclose(of_mean.bse, np.sqrt(alpha / n) / beta, rtol=1e-9)


def test_inverse_gaussian():
    X = np.random.default_rng(2).wald(1.5, 2.0, 400)
    found = inference(normix.InverseGaussian.fit_mle(X), X)
    mu, lam = found.params
    expected = np.diag([mu**3 / lam, 2 * lam**2]) / len(X)
    np.testing.assert_allclose(found.cov_params(), expected, rtol=1e-9, atol=1e-15)
    low, high = found.conf_int().T
    assert (
        (low > 0).all() and (low < found.params).all() and (high > found.params).all()
    )


@pytest.mark.slow
def test_generalized_inverse_gaussian_against_mpmath():
    # Y of an inverse Gaussian law plus an exponential one: inside the region.
    rng = np.random.default_rng(3)
    X = rng.wald(1.0, 2.0, 150) + rng.exponential(0.2, 150)
    found = inference(normix.GeneralizedInverseGaussian.fit_mle(X), X)
    assert found.names == ("p", "a", "b")

    def log_likelihood(p, a, b):
        psi = mpmath.log(2 * mpmath.besselk(p, mpmath.sqrt(a * b)))
        psi += p * mpmath.log(b / a) / 2
        return sums[0] * (p - 1) - a * sums[1] / 2 - b * sums[2] / 2 - len(X) * psi

    with mpmath.workdps(40):
        exact = [mpmath.mpf(float(x)) for x in X]
        sums = [
            mpmath.fsum(map(mpmath.log, exact)),
            mpmath.fsum(exact),
            mpmath.fsum(1 / x for x in exact),
        ]
        at = tuple(mpmath.mpf(float(x)) for x in found.params)
        orders = [
            [
                tuple(int(k in (i, j)) + int(i == j == k) for k in range(3))
                for j in range(3)
            ]
            for i in range(3)
        ]
        second = [
            [mpmath.diff(log_likelihood, at, order) for order in row] for row in orders
        ]
        value = log_likelihood(*at)
    np.testing.assert_allclose(found.llf, float(value), rtol=1e-11)
    expected = covariance([[-x for x in row] for row in second])
    np.testing.assert_allclose(found.cov_params(), expected, rtol=1e-5)


def test_a_gig_law_at_its_edge_is_held_there():
    X = positive(300)
    law = normix.Gamma.fit_mle(X)
    edge = normix.GeneralizedInverseGaussian(p=law.alpha, a=2 * law.beta, b=0.0)
    found, of_gamma = inference(edge, X), inference(law, X)
    assert found.held == ("b is 0, a limit, and held there",)
    np.testing.assert_allclose(found.bse, [*of_gamma.bse * [1, 2], 0], rtol=1e-8)
    assert np.isnan(found.zvalues[2]) and found.df_model == 2


def test_normal():
    rng = np.random.default_rng(4)
    # Far from 0 and in unequal units, where sums of squares have lost their digits.
    X = (
        rng.normal(size=(300, 3))
        @ np.triu(rng.uniform(0.5, 1, (3, 3)))
        * [1e-4, 1, 1e6]
    )
    X += [1e2, -1e7, 1e9]
    frame = pd.DataFrame(X, columns=["a", "b", "c"])
    model = normix.MultivariateNormal.fit_mle(frame)
    found = inference(model, frame)
    assert found.names[:4] == ("mu[a]", "mu[b]", "mu[c]", "sigma[a]")
    assert found.names[4] == "sigma[b, a]"
    S, n = np.cov(X.T, bias=True), len(X)
    np.testing.assert_allclose(found.bse[:3], np.sqrt(np.diag(S) / n), rtol=1e-6)
    i, j = np.tril_indices(3)
    of_sigma = np.sqrt((S[i, i] * S[j, j] + S[i, j] ** 2) / n)
    np.testing.assert_allclose(found.bse[3:], of_sigma, rtol=1e-6)

    # A correlation: (1 - r²)/√n.
    def correlation(law):
        s = law.sigma()
        return s[0, 1] / jnp.sqrt(s[0, 0] * s[1, 1])

    r = found.delta(correlation)
    np.testing.assert_allclose(r.bse, (1 - r.value**2) / np.sqrt(n), rtol=1e-6)
    np.testing.assert_allclose(found.of_model(model), found.params, rtol=1e-12)


def test_sandwich_and_influence_of_a_normal_law():
    X = np.random.default_rng(5).standard_t(9, (250, 2)) * [1.0, 3.0]
    model = normix.MultivariateNormal.fit_mle(X)
    robust = inference(model, X, cov_type="sandwich")
    gaps = X - X.mean(axis=0)
    # The variance of a variance is that of the squares.
    np.testing.assert_allclose(
        robust.bse[2], np.std(gaps[:, 0] ** 2) / np.sqrt(len(X)), rtol=1e-9
    )
    left_out = np.delete(X, 7, axis=0)
    change = np.cov(left_out.T, bias=True)[1, 1] - np.cov(X.T, bias=True)[1, 1]
    np.testing.assert_allclose(robust.influence()[7, 4], change, rtol=0.02)


def test_weights_count_rows():
    X = positive(60)
    counts = np.random.default_rng(6).integers(0, 4, 60)
    written_out = np.repeat(X, counts)
    model = normix.Gamma.fit_mle(X, weights=counts)
    one, two = inference(model, X, weights=counts), inference(model, written_out)
    for kind in ("bse", "llf", "nobs", "bic"):
        np.testing.assert_allclose(getattr(one, kind), getattr(two, kind), rtol=1e-10)


def test_bad_input():
    X = positive(50)
    model = normix.Gamma.fit_mle(X)
    with pytest.raises(ValueError, match="nats are to be gained"):
        inference(normix.Gamma(alpha=2.0, beta=1.0), X)
    with pytest.raises(ValueError, match="of fits of mixtures"):
        inference(model, X, symmetric=True)
    with pytest.raises(ValueError, match="2 rows cannot tell of 2 parameters"):
        inference(model, X[:2])
    with pytest.raises(ValueError, match="cov_type"):
        inference(model, X, cov_type="robust")
    with pytest.raises(ValueError, match="X"):
        inference(model, -X)


def test_a_data_frame_of_the_table():
    X = positive(80)
    found = inference(normix.Gamma.fit_mle(X), X)
    table = found.to_frame()
    assert list(table.index) == ["alpha", "beta"]
    assert list(table.columns) == ["estimate", "bse", "z", "pvalue", "low", "high"]
    np.testing.assert_array_equal(table["bse"], found.bse)
    np.testing.assert_array_equal(table[["low", "high"]], found.conf_int())
