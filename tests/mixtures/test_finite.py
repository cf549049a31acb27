# pyright: reportArgumentType=false, reportAttributeAccessIssue=false
"""Finite mixtures as laws: densities, tails, moments, draws, parts."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import integrate, stats

import normix
from normix import FiniteMixture


def nig(mu, gamma, sigma, lam):
    return normix.UnivariateNormalInverseGaussian.from_classical(
        mu=mu, gamma=gamma, sigma=sigma, mu_ig=1.0, lam=lam
    )


def by_scipy(mu, gamma, sigma, lam):
    """The same law by the parameters of SciPy."""
    alpha = np.sqrt(lam / sigma + (gamma / sigma) ** 2)
    scale = np.sqrt(lam * sigma)
    return stats.norminvgauss(alpha * scale, gamma / sigma * scale, mu, scale)


PARTS = (-2.0, 0.3, 0.5, 1.5), (1.5, -0.6, 2.0, 0.8)
WEIGHTS = np.array([0.3, 0.7])
SCALAR = FiniteMixture(WEIGHTS, [nig(*part) for part in PARTS])
SCIPY = [by_scipy(*part) for part in PARTS]


def vectors() -> FiniteMixture:
    """Members of two families and three forms, in three dimensions."""
    mu, skew = np.array([1.0, -2.0, 0.5]), np.array([0.4, 0.0, -0.3])
    sigma = np.array([[1.0, 0.3, 0.0], [0.3, 2.0, -0.4], [0.0, -0.4, 1.5]])
    return FiniteMixture(
        [0.5, 0.2, 0.3],
        [
            normix.NormalInverseGaussian.from_classical(
                mu=mu, gamma=skew, sigma=sigma, mu_ig=1.0, lam=2.0
            ),
            normix.VarianceGamma.from_classical(
                mu=-mu, gamma=-skew, sigma=2 * sigma, alpha=4.0, beta=4.0
            ),
            normix.FactorNormalInverseGamma.from_classical(
                mu=0 * mu, gamma=skew, F=np.ones((3, 1)), D=np.ones(3), alpha=4, beta=3
            ),
        ],
    )


def test_density_and_tails_are_those_of_scipy():
    x = np.linspace(-12, 12, 50)
    density = WEIGHTS @ [law.pdf(x) for law in SCIPY]
    np.testing.assert_allclose(SCALAR.pdf(x), density, rtol=1e-10)
    for mine, name in ((SCALAR.cdf, "cdf"), (SCALAR.sf, "sf")):
        wanted = WEIGHTS @ [getattr(law, name)(x) for law in SCIPY]
        np.testing.assert_allclose(mine(x), wanted, rtol=1e-5, atol=1e-12)


def test_quantiles_invert_the_distribution_function():
    q = np.array([1e-200, 1e-9, 0.02, 0.5, 0.9, 1 - 1e-9])
    x = SCALAR.ppf(q)
    np.testing.assert_allclose(SCALAR.cdf(x)[:4], q[:4], rtol=1e-11)
    np.testing.assert_allclose(SCALAR.sf(x)[4:], 1 - q[4:], rtol=1e-9)
    np.testing.assert_allclose(SCALAR.sf(SCALAR.isf(q)), q, rtol=1e-11)
    ends = np.asarray(SCALAR.ppf([0.0, 1.0, np.nan, -1.0]))
    assert ends[0] == -np.inf and ends[1] == np.inf and np.isnan(ends[2:]).all()


@pytest.mark.slow
def test_quantiles_have_derivatives():
    def quantile(w, q):
        parts = SCALAR.components
        return FiniteMixture(jnp.stack([w, 1 - w]), parts).ppf(q)

    for q in (0.05, 0.97):
        x = float(SCALAR.ppf(q))
        value, slope = jax.jit(jax.value_and_grad(quantile))(WEIGHTS[0], q)
        assert float(value) == pytest.approx(x, rel=1e-12)
        one, other = (float(c.cdf(x)) for c in SCALAR.components)
        wanted = -(one - other) / float(SCALAR.pdf(x))
        assert float(slope) == pytest.approx(wanted, rel=1e-9)


def test_moments_are_integrals_of_the_density():
    def moment(f):
        return integrate.quad(
            lambda x: f(x) * float(SCALAR.pdf(x)), -60, 60, limit=200
        )[0]

    mean = moment(lambda x: x)
    assert float(SCALAR.mean()) == pytest.approx(mean, rel=1e-7)
    assert float(SCALAR.cov()) == pytest.approx(
        moment(lambda x: (x - mean) ** 2), rel=1e-7
    )


def test_covariance_of_vectors_is_that_of_projections():
    model = vectors()
    w = np.array([0.5, -1.0, 2.0])
    assert float(model.project(w).cov()) == pytest.approx(
        float(w @ model.cov() @ w), rel=1e-12
    )
    assert float(model.project(w).mean()) == pytest.approx(
        float(w @ model.mean()), rel=1e-12
    )


def test_draws_have_the_law():
    draws, labels = SCALAR.rvs_labelled(4000, seed=1)
    assert (
        stats.kstest(np.asarray(draws), lambda x: np.asarray(SCALAR.cdf(x))).pvalue
        > 0.01
    )
    assert stats.binomtest(int(labels.sum()), 4000, 0.7).pvalue > 0.01
    w = np.array([1.0, 1.0, -1.0])
    image = np.asarray(vectors().rvs(4000, seed=2)) @ w
    law = vectors().project(w)
    assert stats.kstest(image, lambda x: np.asarray(law.cdf(x))).pvalue > 0.01


def test_a_law_is_its_marginal_times_its_conditional():
    model, x = vectors(), np.array([0.7, -1.0, 2.0])
    given = model.conditional([2, 0], x[[2, 0]])
    both = model.marginal([2, 0]).log_prob(x[[2, 0]]) + given.log_prob(x[[1]])
    assert float(both) == pytest.approx(float(model.log_prob(x)), rel=1e-12)
    assert isinstance(given.components[0], normix.GeneralizedHyperbolic)


def test_probabilities_of_components_are_bayes_rule():
    model = vectors()
    X = np.asarray(model.rvs(20, seed=3))
    each = np.array([[float(c.pdf(x)) for c in model.components] for x in X])
    joint = each * np.asarray(model.weights)
    wanted = joint / joint.sum(axis=1, keepdims=True)
    np.testing.assert_allclose(model.predict_proba(X), wanted, rtol=1e-9)
    assert (np.asarray(model.predict(X)) == wanted.argmax(axis=1)).all()
    mean = np.log(joint.sum(axis=1)).mean()
    assert float(model.marginal_log_likelihood(X)) == pytest.approx(mean, rel=1e-10)


def test_missing_entries_leave_the_law_of_the_rest():
    model = vectors()
    X = np.asarray(model.rvs(6, seed=4)).copy()
    X[:3, 1] = np.nan
    part = model.marginal([0, 2])
    found = model.predict_proba(X, missing="em")
    np.testing.assert_allclose(
        found[:3], part.predict_proba(X[:3][:, [0, 2]]), rtol=1e-9
    )
    np.testing.assert_allclose(found[3:], model.predict_proba(X[3:]), rtol=1e-9)
    seen = [float(model.log_prob_observed(x)) for x in X]
    empty = np.vstack([X[3:], np.full((1, 3), np.nan)])
    of_all = model.predict_proba(empty, missing="em")
    np.testing.assert_allclose(of_all[:3], found[3:], rtol=1e-9)
    np.testing.assert_allclose(of_all[3], model.weights, rtol=1e-12)
    total = float(model.marginal_log_likelihood(X, missing="em"))
    assert total == pytest.approx(np.mean(seen), rel=1e-10)
    assert seen[0] == pytest.approx(float(part.log_prob(X[0, [0, 2]])), rel=1e-10)


def test_traced_calls_agree():
    model = vectors()
    X = np.asarray(model.rvs(5, seed=5))
    each = jax.jit(jax.vmap(model.log_prob))(X)
    np.testing.assert_allclose(each, [model.log_prob(x) for x in X], rtol=1e-12)
    mean = jax.jit(lambda m: m.marginal_log_likelihood(X))(model)
    assert float(mean) == pytest.approx(float(each.mean()), rel=1e-12)
    slope = jax.grad(lambda w: FiniteMixture(w, model.components).log_prob(X[0]))(
        model.weights
    )
    pdfs = [float(c.pdf(X[0])) for c in model.components]
    np.testing.assert_allclose(slope, pdfs / np.exp(each[0]), rtol=1e-9)


def test_saved_and_loaded_to_the_last_bit(tmp_path):
    model = vectors()
    normix.save(model, tmp_path / "model.json", columns=["a", "b", "c"])
    again = normix.load(tmp_path / "model.json")
    assert jax.tree.structure(model) == jax.tree.structure(again)
    for one, other in zip(jax.tree.leaves(model), jax.tree.leaves(again), strict=True):
        assert (np.asarray(one) == np.asarray(other)).all()
    assert normix.load_columns(tmp_path / "model.json") == ("a", "b", "c")


@pytest.mark.parametrize(
    ("build", "told"),
    [
        (lambda: FiniteMixture([], []), "needs a component"),
        (lambda: FiniteMixture([0.5, 0.6], SCALAR.components), "sum 1"),
        (lambda: FiniteMixture([1.5, -0.5], SCALAR.components), "probabilities"),
        (lambda: FiniteMixture([1.0], SCALAR.components), r"shape \(2,\)"),
        (lambda: FiniteMixture([1.0], [normix.Gamma(alpha=1.0, beta=1.0)]), "Gamma"),
        (
            lambda: FiniteMixture(
                [0.5, 0.5], [SCALAR.components[0], vectors().components[0]]
            ),
            "same number of dimensions",
        ),
        (lambda: vectors().cdf(0.0), "univariate"),
        (lambda: SCALAR.marginal([0]), "mixtures of vectors"),
        (lambda: FiniteMixture.default_init(np.zeros((5, 2)), 2, "cauchy"), "unknown"),
        (lambda: FiniteMixture.default_init(np.arange(9.0), 0), "at least 1"),
        (lambda: FiniteMixture.default_init(np.arange(9.0), 2, factors=1), "factors"),
        (lambda: FiniteMixture.default_init(np.arange(3.0), 2), "too few"),
    ],
)
def test_bad_input_is_told(build, told):
    with pytest.raises(ValueError, match=told):
        build()


def test_batches_of_models_are_pytrees():
    many = jax.vmap(lambda w: FiniteMixture(jnp.stack([w, 1 - w]), SCALAR.components))(
        jnp.array([0.2, 0.6])
    )
    assert many.weights.shape == (2, 2)
