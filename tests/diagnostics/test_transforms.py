# pyright: reportArgumentType=false, reportAttributeAccessIssue=false
"""Transforms and distances against other ways to the same numbers."""

from __future__ import annotations

import jax
import mpmath
import numpy as np
import pytest
from scipy import stats

import normix
from normix.diagnostics import mahalanobis, pit
from normix.diagnostics._chi_squared import noncentral_tails
from normix.diagnostics._grid import nodes_of, normal_tails
from normix.special.mixture_tails import mixture_log_tails

SIGMA = np.array([[1.0, 0.4, 0.2], [0.4, 2.0, 0.3], [0.2, 0.3, 0.5]])
PLACE = {
    "mu": np.array([0.02, 0.05, 0.01]),
    "gamma": np.array([0.5, -1.0, 0.2]),
    "sigma": SIGMA,
}
MODELS = [
    normix.NormalInverseGaussian.from_classical(**PLACE, mu_ig=1.0, lam=1.2),
    normix.VarianceGamma.from_classical(**PLACE, alpha=2.5, beta=2.5),
    normix.NormalInverseGamma.from_classical(**PLACE, alpha=2.0, beta=1.0),
    normix.GeneralizedHyperbolic.from_classical(**PLACE, p=0.7, a=1.0, b=0.3),
]
NAMES = [type(model).__name__ for model in MODELS]
X = np.array([[0.3, -0.4, 0.1], [4.0, 2.0, -1.0], [-30.0, 5.0, 2.0], [0.1, 1e7, 0.1]])


@pytest.mark.parametrize("kind", ["narrow", "power", "gamma", "any"])
def test_tails_of_many_rows(kind):
    """Against the panels of quadrature that each law has for itself."""
    rng = np.random.default_rng(len(kind))
    n = 300
    for _ in range(5):
        a, b = 10 ** rng.uniform(-3, 3), 10 ** rng.uniform(-6, 6, n)
        p = {
            "narrow": -0.5,
            "power": rng.uniform(-8, -0.3),
            "gamma": 10 ** rng.uniform(-0.5, 3),
            "any": rng.uniform(-5, 5),
        }[kind]
        if kind == "power":
            a = 0.0
        if kind == "gamma":
            a, b = 2 * p, np.zeros(n)
        skew = rng.choice([0.0, 0.1, -1.0])
        scale = ((b.mean() + 1e-3) / (a + 1e-3)) ** 0.25
        x = rng.standard_t(2, n) * scale
        found = normal_tails(p, a, b, skew, x)
        every = (np.full(n, float(value)) for value in (p, a, skew))
        p_, a_, skew_ = every
        for tail, log_tail in zip(
            found, mixture_log_tails(p_, a_, b, skew_, x), strict=True
        ):
            kept = np.asarray(log_tail) > -600
            np.testing.assert_allclose(tail[kept], np.exp(log_tail)[kept], rtol=2e-11)


def test_means_by_nodes():
    """Of Y, and of 1/Y, by their own expectations."""
    law = normix.GeneralizedInverseGaussian(p=-1.3, a=0.7, b=2.0)
    ((_, y, weights),) = nodes_of(
        -1.3, 0.7, np.array([2.0]), 0.0, np.zeros(1), power=1.0
    )
    _, inverse, mean = law.expectation_params()
    np.testing.assert_allclose(weights[0] @ y, mean, rtol=1e-13)
    np.testing.assert_allclose(weights[0] @ (1 / y), inverse, rtol=1e-13)


@pytest.mark.parametrize("model", MODELS, ids=NAMES)
def test_rosenblatt_is_the_conditional_law(model):
    found = np.asarray(pit(model, X))
    for x, u in zip(X, found, strict=True):
        for j in range(3):
            law = model.marginal(list(range(j + 1)))
            if j:
                law = law.conditional(list(range(j)), x[:j])
            np.testing.assert_allclose(u[j], law.project([1.0]).cdf(x[j]), rtol=1e-10)


def test_transform_of_one_variable():
    law = MODELS[0].project([1.0, 0.0, 0.0])
    x = np.array([-1e3, -3.0, 0.0, 2.0, 50.0])
    assert pit(law, x).shape == (5,)
    np.testing.assert_allclose(pit(law, x), law.cdf(x), rtol=1e-10)
    gamma = normix.Gamma(alpha=2.0, beta=3.0)
    np.testing.assert_allclose(
        pit(gamma, [0.1, 2.0]), stats.gamma.cdf([0.1, 2.0], 2.0, scale=1 / 3)
    )


def test_transform_of_a_normal_law():
    normal = normix.MultivariateNormal.from_classical(PLACE["mu"], SIGMA)
    u = np.asarray(pit(normal, X))
    e = np.linalg.solve(np.linalg.cholesky(SIGMA), (X - PLACE["mu"]).T).T
    np.testing.assert_allclose(u, stats.norm.cdf(e), rtol=1e-12)


def test_factor_form_is_the_same_law():
    place = {**PLACE, "sigma": None}
    del place["sigma"]
    F, D = np.array([[1.0], [0.5], [-0.3]]), np.array([0.2, 1.0, 0.4])
    factor = normix.FactorNormalInverseGaussian.from_classical(
        **place, F=F, D=D, mu_ig=1.0, lam=1.2
    )
    full = MODELS[0].replace(sigma=F @ F.T + np.diag(D))
    np.testing.assert_allclose(pit(factor, X), pit(full, X), rtol=1e-10)
    one, two = mahalanobis(factor, X), mahalanobis(full, X)
    np.testing.assert_allclose(one.values, two.values, rtol=1e-10)


def test_missing_entries():
    model, gaps = MODELS[3], X.copy()
    gaps[0, 1] = gaps[2, 0] = gaps[2, 2] = np.nan
    u = np.asarray(pit(model, gaps))
    np.testing.assert_array_equal(np.isnan(u), np.isnan(gaps))
    np.testing.assert_allclose(u[1], np.asarray(pit(model, X))[1], rtol=1e-12)
    without = model.marginal([0, 2])
    np.testing.assert_allclose(
        u[0, [0, 2]], np.asarray(pit(without, X[:1, [0, 2]]))[0], rtol=1e-12
    )
    np.testing.assert_allclose(
        u[2, 1], model.project([0.0, 1.0, 0.0]).cdf(X[2, 1]), rtol=1e-10
    )
    found, alone = mahalanobis(model, gaps), mahalanobis(without, X[:1, [0, 2]])
    np.testing.assert_allclose(found.values[0], alone.values[0], rtol=1e-12)
    np.testing.assert_allclose(found.pvalues[0], alone.pvalues[0], rtol=1e-12)


def test_a_data_frame_keeps_its_names():
    pd = pytest.importorskip("pandas")
    frame = pd.DataFrame(X, columns=["a", "b", "c"], index=list("wxyz"))
    found = pit(MODELS[0], frame)
    assert list(found.columns) == ["a", "b", "c"] and list(found.index) == list("wxyz")


def test_distances_of_a_t_law_have_the_f_law():
    model = MODELS[2].replace(gamma=np.zeros(3), beta=2.0)
    found = mahalanobis(model, X)
    centred = X - PLACE["mu"]
    q = np.einsum("ij,ij->i", centred, np.linalg.solve(SIGMA, centred.T).T)
    np.testing.assert_allclose(found.values, q, rtol=1e-12)
    np.testing.assert_allclose(found.pvalues, stats.f.sf(q / 3, 3, 4), rtol=1e-12)
    normal = normix.MultivariateNormal.from_classical(PLACE["mu"], SIGMA)
    np.testing.assert_allclose(
        mahalanobis(normal, X).pvalues, stats.chi2.sf(q, 3), rtol=1e-12
    )


@pytest.mark.parametrize("model", MODELS, ids=NAMES)
def test_the_law_of_distances(model):
    """Of one variable it is that of being within a distance on both sides."""
    one = model.project([1.0, -1.0, 0.5])
    law = mahalanobis(one, [0.0]).law
    q = np.array([[1e-3, 0.5], [20.0, 4e3]])
    ends = (float(one.mu) + sign * np.sqrt(q * float(one.sigma())) for sign in (-1, 1))
    low, high = ends
    np.testing.assert_allclose(law.sf(q), one.cdf(low) + one.sf(high), rtol=1e-10)
    np.testing.assert_allclose(law.cdf(q), one.cdf(high) - one.cdf(low), rtol=1e-9)
    u = np.array([[0.1, 0.5], [0.99, 1 - 1e-6]])
    np.testing.assert_allclose(law.cdf(law.ppf(u)), u, rtol=1e-12)
    assert law.ppf(0.0) == 0 and law.ppf(1.0) == np.inf and np.isnan(law.ppf(2.0))


def test_noncentral_chi_squared():
    q, noncentral = (
        np.array([[0.01], [1.0], [30.0], [90.0]]),
        np.array([0.5, 3.0, 40.0]),
    )
    for d in (1, 4):
        lower, upper = noncentral_tails(q, d, noncentral)
        law = stats.ncx2(d, noncentral)
        np.testing.assert_allclose(lower, law.cdf(q), rtol=1e-9)
        np.testing.assert_allclose(upper, law.sf(q), rtol=1e-9)
    # A tail far out, as a sum of 300 terms at 30 digits.
    far = noncentral_tails(np.array([[1000.0]]), 3, np.array([0.1]))[1][0, 0]
    with mpmath.workdps(30):
        x, mean = mpmath.mpf(500), mpmath.mpf("0.05")
        terms = [
            mpmath.exp(-mean)
            * mean**j
            / mpmath.factorial(j)
            * mpmath.gammainc(j + mpmath.mpf("1.5"), x, mpmath.inf, regularized=True)
            for j in range(300)
        ]
        expected = float(mpmath.fsum(terms))
    np.testing.assert_allclose(far, expected, rtol=1e-12)


def test_draws_are_uniform():
    """Rosenblatt's values of a large sample, each and together; and distances."""
    model = MODELS[3]
    rows = np.asarray(model.rvs(20_000, key=jax.random.key(4)))
    u = np.asarray(pit(model, rows))
    for column in u.T:
        assert stats.kstest(column, "uniform").pvalue > 0.01
    correlations = stats.spearmanr(np.hstack([u, np.abs(u - 0.5)])).statistic
    assert np.abs(correlations - np.eye(6)).max() < 0.03
    assert stats.kstest(mahalanobis(model, rows).pvalues, "uniform").pvalue > 0.01


@pytest.mark.parametrize("function", [pit, mahalanobis])
def test_bad_input(function):
    with pytest.raises(ValueError, match="got a dict"):
        function({}, X)
    with pytest.raises(ValueError, match="2"):
        function(MODELS[0], X[:, :2])
    with pytest.raises(ValueError, match="infinite"):
        function(MODELS[0], np.full((4, 3), np.inf))
