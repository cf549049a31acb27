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
