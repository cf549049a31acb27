# pyright: reportArgumentType=false
"""The multivariate normal law against SciPy."""

from __future__ import annotations

from typing import Any

import jax
import numpy as np
import pytest
import scipy.stats

from normix import MultivariateNormal

MU = np.array([1.0, -2.0, 0.5])
SIGMA: Any = np.array([[2.0, 0.3, -0.4], [0.3, 1.0, 0.2], [-0.4, 0.2, 3.0]])
NORMAL = MultivariateNormal.from_classical(MU, SIGMA)
REFERENCE = scipy.stats.multivariate_normal(MU, SIGMA)


def test_density_and_moments():
    x = REFERENCE.rvs(6, random_state=0)
    np.testing.assert_allclose(
        jax.vmap(NORMAL.log_prob)(x), REFERENCE.logpdf(x), rtol=1e-12
    )
    np.testing.assert_allclose(NORMAL.cov(), SIGMA, rtol=1e-13)
    np.testing.assert_allclose(NORMAL.std() ** 2, np.diag(SIGMA), rtol=1e-13)
    second = SIGMA + np.outer(MU, MU)
    expected = np.concatenate([MU, second.ravel()])
    np.testing.assert_allclose(NORMAL.expectation_params(), expected, rtol=1e-12)


def test_round_trips_and_likelihood():
    for back in (
        MultivariateNormal.from_natural(NORMAL.natural_params()),
        MultivariateNormal.from_expectation(NORMAL.expectation_params()),
    ):
        np.testing.assert_allclose(back.mu, MU, rtol=1e-11)
        np.testing.assert_allclose(back.sigma(), SIGMA, rtol=1e-10, atol=1e-12)
    X = np.asarray(NORMAL.rvs(4000, seed=2))
    fitted = MultivariateNormal.fit_mle(X)
    np.testing.assert_allclose(fitted.mean(), X.mean(0), rtol=1e-12)
    np.testing.assert_allclose(fitted.cov(), np.cov(X.T, bias=True), rtol=1e-9)
    distance = np.einsum("ni,ij,nj->n", X - MU, np.linalg.inv(SIGMA), X - MU)
    assert scipy.stats.kstest(distance, scipy.stats.chi2(3).cdf).pvalue > 1e-3


def test_fisher_information_is_the_covariance_of_the_statistics():
    # Isserlis: Cov(x_i, x_j x_k) = Σ_ij μ_k + Σ_ik μ_j
    fisher = np.asarray(NORMAL.fisher_information())
    np.testing.assert_allclose(fisher[:3, :3], SIGMA, rtol=1e-10, atol=1e-12)
    cross = np.einsum("ij,k->ijk", SIGMA, MU) + np.einsum("ik,j->ijk", SIGMA, MU)
    np.testing.assert_allclose(
        fisher[:3, 3:], cross.reshape(3, 9), rtol=1e-10, atol=1e-11
    )


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: MultivariateNormal.from_classical(MU, -SIGMA), "positive definite"),
        (lambda: MultivariateNormal.from_classical(MU, SIGMA[:2]), r"shape \(d, d\)"),
        (lambda: MultivariateNormal(MU, SIGMA[:2, :2]), r"mu \(d,\) and L_Sigma"),
        (
            lambda: MultivariateNormal.from_expectation(np.zeros(12)),
            "positive definite",
        ),
        (lambda: MultivariateNormal.fit_mle(np.ones(4)), r"shape \(n, d\)"),
    ],
)
def test_refusals(call, message):
    with pytest.raises(ValueError, match=message):
        call()


# -- far from 0 --------------------------------------------------------------------


@pytest.mark.parametrize(
    ("dtype", "shift"), [(np.float32, 1e4), (np.float64, 1e8), (np.float64, 1e15)]
)
def test_density_far_from_zero(dtype, shift):
    """That of the deviations: SciPy's at 0."""
    mu, root = np.full(2, shift, dtype), np.eye(2, dtype=dtype)
    root[1, 0] = 0.5
    gaps = np.array([[0, 0], [1, 0], [-2, 3]])
    law = MultivariateNormal(mu=mu, L_Sigma=root)
    got = jax.vmap(law.log_prob)(mu + gaps.astype(dtype))
    want = scipy.stats.multivariate_normal(np.zeros(2), root @ root.T).logpdf(gaps)
    np.testing.assert_allclose(got, want, rtol=2e-6 if dtype == np.float32 else 1e-14)
    assert got.dtype == dtype
    other = MultivariateNormal(mu=mu + np.array([1, 0], dtype), L_Sigma=root)
    np.testing.assert_allclose(law.kl_divergence(other), 0.625, rtol=1e-6)


@pytest.mark.parametrize("shift", [1e6, 1e8, 1e12])
def test_likelihood_of_data_far_from_zero(shift):
    X = np.round(np.random.default_rng(0).normal(size=(300, 2)), 3) + shift
    weights = np.random.default_rng(1).integers(0, 3, 300).astype(float)
    centred = X - shift
    for w in (None, weights):
        fitted = MultivariateNormal.fit_mle(X, weights=w)
        want = MultivariateNormal.fit_mle(centred, weights=w)
        np.testing.assert_allclose(fitted.sigma(), want.sigma(), rtol=1e-9)
        np.testing.assert_allclose(fitted.mu - shift, want.mu, atol=1e-15 * shift)


def test_single_precision_data_far_from_zero():
    """With double precision enabled they are taken to it."""
    X = (1000 + np.random.default_rng(0).normal(size=(300, 2))).astype(np.float32)
    fitted = MultivariateNormal.fit_mle(X)
    want = np.cov(X.astype(float).T, bias=True)
    np.testing.assert_allclose(fitted.sigma(), want, rtol=1e-9)
