# pyright: reportArgumentType=false
"""What holds for every mixture family, in all its forms."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.integrate
import scipy.stats
from scipy.special import gammaln

import normix
from normix import MultivariateNormal

from .families import FAMILIES, Record, parts, rows_log_prob

PARTS = parts()
EXHAUSTIVE = pytest.mark.exhaustive
PER_FAMILY = pytest.mark.parametrize("family", FAMILIES, ids=lambda f: f.name)
# For what compiles long: the suite takes the general family, which holds the others.
SOME = pytest.mark.parametrize(
    "family",
    [
        pytest.param(f, marks=pytest.mark.slow if k == 3 else EXHAUSTIVE)
        for k, f in enumerate(FAMILIES)
    ],
    ids=lambda f: f.name,
)


def full(family: Record) -> Any:
    return family.full(PARTS.mu, PARTS.gamma, PARTS.sigma)


def factor(family: Record) -> Any:
    return family.factor(PARTS.mu, PARTS.gamma, PARTS.F, PARTS.D)


@PER_FAMILY
def test_moments_are_those_of_draws(family):
    model = full(family)
    X, Y = (np.asarray(v) for v in model.joint.rvs(300_000, seed=1))
    np.testing.assert_allclose(X.mean(0), model.mean(), atol=0.03)
    np.testing.assert_allclose(np.cov(X.T), model.cov(), atol=0.15)
    np.testing.assert_allclose(scipy.stats.skew(X), model.skewness(), atol=0.12)
    np.testing.assert_allclose(scipy.stats.kurtosis(X), model.kurtosis(), atol=0.6)
    law = model.subordinator()
    assert scipy.stats.kstest(Y[:20_000], lambda y: law.cdf(y)).pvalue > 1e-3
    same = factor(family)
    np.testing.assert_allclose(same.cov(), model.cov(), rtol=1e-12)
    draws = np.asarray(same.rvs(300_000, seed=2))
    np.testing.assert_allclose(np.cov(draws.T), model.cov(), atol=0.15)


@PER_FAMILY
def test_forms_and_conversions_are_one_law(family):
    model, same = full(family), factor(family)
    X = np.asarray(model.rvs(40, seed=3))
    exact = rows_log_prob(model, X)
    np.testing.assert_allclose(rows_log_prob(same, X), exact, rtol=1e-12)
    lifted = model.to_generalized_hyperbolic()
    assert type(lifted).__name__ == "GeneralizedHyperbolic"
    np.testing.assert_allclose(rows_log_prob(lifted, X), exact, rtol=1e-12)
    name = {
        "VarianceGamma": "to_variance_gamma",
        "NormalInverseGaussian": "to_normal_inverse_gaussian",
        "NormalInverseGamma": "to_normal_inverse_gamma",
        "GeneralizedHyperbolic": "to_generalized_hyperbolic",
    }[family.name]
    back = getattr(lifted, name)()
    assert type(back) is type(model)
    np.testing.assert_allclose(rows_log_prob(back, X), exact, rtol=1e-9)
    # a gauge changes nothing
    for other in (model.regularize_det_sigma_one(), model.regularize_a_eq_b()):
        np.testing.assert_allclose(rows_log_prob(other, X), exact, rtol=1e-11)
    assert float(model.regularize_det_sigma_one().log_det_sigma()) == pytest.approx(
        0, abs=1e-12
    )
    # coordinates lead back
    again = model.joint.at(model.joint.coordinates())
    np.testing.assert_allclose(rows_log_prob(type(model)(again), X), exact, rtol=1e-11)


@SOME
def test_statistics_and_their_inverse(family):
    model, same = full(family), factor(family)
    X = np.asarray(model.rvs(500, seed=4))
    eta, lean = model.e_step(X), same.e_step(X)
    for name in ("E_inv_Y", "E_Y", "E_log_Y", "E_X", "E_X_inv_Y"):
        np.testing.assert_allclose(getattr(lean, name), getattr(eta, name), rtol=1e-11)
    second = np.diagonal(eta.E_XXT_inv_Y)
    np.testing.assert_allclose(lean.E_XXT_inv_Y, second, rtol=1e-11)
    # of the factors: E[Z √Y] = FᵀΣ⁻¹(E X - μ - γ E Y), and so on
    B = PARTS.F.T @ np.linalg.inv(PARTS.sigma)
    gap = np.asarray(eta.E_X - model.mu - model.gamma * eta.E_Y)
    np.testing.assert_allclose(lean.E_Z_sqrtY, B @ gap, atol=1e-11)
    gap = np.asarray(eta.E_X_inv_Y - model.mu * eta.E_inv_Y - model.gamma)
    np.testing.assert_allclose(lean.E_Z_inv_sqrtY, B @ gap, atol=1e-11)
    # weights count: two of a row are that row twice
    w = np.where(np.arange(500) < 100, 2.0, 1.0)
    doubled = np.concatenate([X[:100], X])
    by_weight = model.e_step(X, weights=w)
    for ours, theirs in zip(
        jax.tree.leaves(by_weight), jax.tree.leaves(model.e_step(doubled)), strict=True
    ):
        np.testing.assert_allclose(ours, theirs, rtol=1e-11)
    # the fixed point of a model's own expectations is the model
    for law in (model, same):
        own = law.m_step(law.compute_eta_from_model())
        for ours, exact in zip(jax.tree.leaves(own), jax.tree.leaves(law), strict=True):
            np.testing.assert_allclose(ours, exact, rtol=1e-9, atol=1e-11)
    assert np.abs(model.m_step(eta).gamma - model.gamma).max() > 1e-3


@PER_FAMILY
def test_parts_and_images(family):
    model, same = full(family), factor(family)
    x = np.asarray(model.rvs(1, seed=5))[0]
    given, rest = [3, 1], [0, 2]
    # f(x) = f(x_g) f(x_r | x_g)
    part = float(model.marginal(given).log_prob(x[given]))
    conditional = model.conditional(given, x[given])
    assert type(conditional).__name__ == "GeneralizedHyperbolic"
    other = float(conditional.log_prob(x[rest]))
    assert float(model.log_prob(x)) == pytest.approx(part + other, rel=1e-12)
    lean = same.conditional(given, x[given])
    assert type(lean).__name__ == "FactorGeneralizedHyperbolic"
    assert float(lean.log_prob(x[rest])) == pytest.approx(other, rel=1e-11)
    # an invertible map: the density by change of variables
    A, b = np.random.default_rng(6).normal(size=(4, 4)), np.arange(4.0)
    image = model.affine(A, b)
    shift = np.linalg.slogdet(A)[1]
    assert float(image.log_prob(A @ x + b)) == pytest.approx(
        float(model.log_prob(x)) - shift, rel=1e-11
    )
    w = np.array([0.5, -1.0, 2.0, 0.3])
    line = model.project(w)
    assert type(line).__name__ == "Univariate" + family.name
    assert float(line.mean()) == pytest.approx(float(w @ model.mean()), rel=1e-12)
    assert float(line.var()) == pytest.approx(float(w @ model.cov() @ w), rel=1e-12)


@SOME
def test_univariate_tails_are_integrals_of_the_density(family):
    line = full(family).project(np.array([0.5, -1.0, 2.0, 0.3]))
    sd, mean = float(line.std()), float(line.mean())
    pdf = jax.jit(line.pdf)
    x = mean + sd * np.array([-3.0, -1.0, 0.2, 2.0])
    for point, below in zip(x, np.asarray(line.cdf(x)), strict=True):
        exact = scipy.integrate.quad(
            lambda v: float(pdf(v)), point - 40 * sd, point, epsabs=1e-12, limit=300
        )[0]
        assert below == pytest.approx(exact, abs=1e-8)
    np.testing.assert_allclose(line.cdf(x) + line.sf(x), 1, rtol=1e-13)
    q = np.array([1e-12, 0.01, 0.5, 0.99])
    np.testing.assert_allclose(line.cdf(line.ppf(q)), q, rtol=1e-10)
    np.testing.assert_allclose(line.sf(line.isf(q)), q, rtol=1e-10)
    assert line.ppf(0.0) == -np.inf and line.ppf(1.0) == np.inf
    assert np.isnan(line.ppf(1.5))
    # shapes: scalars in, scalars out
    assert line.rvs(7, seed=0).shape == (7,)
    assert line.mu.shape == line.sigma().shape == line.skewness().shape == ()
    moved = line.affine(-2.0, 1.0)
    assert float(moved.cdf(1 - 2 * x[0])) == pytest.approx(
        float(line.sf(x[0])), rel=1e-10
    )
    table = line.quantile_table()
    np.testing.assert_allclose(table.ppf(q), line.ppf(q), rtol=1e-8)
    changed = line.replace(mu=line.mu + 1)
    np.testing.assert_allclose(changed.cdf(x + 1), line.cdf(x), rtol=1e-12)


@SOME
def test_information_of_joint_laws(family):
    model = full(family)
    other = model.replace(gamma=0.5 * PARTS.gamma, sigma=1.1 * PARTS.sigma)
    pair = model.joint.rvs(60_000, seed=7)
    ours = np.asarray(jax.vmap(model.joint.log_prob)(pair))
    theirs = np.asarray(jax.vmap(other.joint.log_prob)(pair))

    def close(value, samples):
        error = samples.std() / np.sqrt(len(samples))
        assert abs(float(value) - samples.mean()) < 5 * error

    close(model.joint_entropy(), -ours)
    close(model.joint_varentropy(), (ours - ours.mean()) ** 2)
    close(model.kl_divergence(other), ours - theirs)
    close(1 - model.squared_hellinger(other), np.exp(0.5 * (theirs - ours)))
    half = float(model.joint_renyi(1.5))
    close(np.exp(-0.5 * half), np.exp(0.5 * ours))
    near = float(model.joint_renyi(1 + 1e-5))
    slope = (near - float(model.joint_entropy())) / 1e-5
    assert slope == pytest.approx(-0.5 * float(model.joint_varentropy()), rel=1e-3)
    assert float(model.kl_divergence(model)) == pytest.approx(0, abs=1e-12)
    assert float(model.kl_divergence(factor(family))) == pytest.approx(0, abs=1e-11)
    # the exponential family that the joint law claims to be
    joint = model.joint
    back = type(joint).from_natural(joint.natural_params())
    for ours, exact in zip(jax.tree.leaves(back), jax.tree.leaves(joint), strict=True):
        np.testing.assert_allclose(ours, exact, rtol=1e-8, atol=1e-10)


@pytest.mark.slow
def test_divergence_across_families():
    models = [full(family) for family in FAMILIES]
    vg, nig, t, gh = models
    for p in (vg, nig, gh):
        for q in (vg, nig, gh):
            value = float(p.kl_divergence(q))
            assert value >= -1e-12
            lifted = (m.to_generalized_hyperbolic() for m in (p, q))
            assert value == pytest.approx(
                float(next(lifted).kl_divergence(next(lifted))), rel=1e-9, abs=1e-12
            )
    assert 0 < float(nig.squared_hellinger(t)) < 1
    with pytest.raises(ValueError, match="cannot be compared"):
        vg.kl_divergence(nig.marginal([0, 1]))


def test_limits_meet_the_families_that_they_are():
    """GH with a tiny parameter is near VG or skew t; Student's by SciPy."""
    mu, gamma, sigma = PARTS.mu, PARTS.gamma, PARTS.sigma
    X = np.asarray(full(FAMILIES[0]).rvs(30, seed=8))
    GH = normix.GeneralizedHyperbolic
    near = GH.from_classical(mu=mu, gamma=gamma, sigma=sigma, p=3.2, a=4.0, b=1e-12)
    np.testing.assert_allclose(
        rows_log_prob(near, X), rows_log_prob(full(FAMILIES[0]), X), rtol=1e-9
    )
    near = GH.from_classical(mu=mu, gamma=gamma, sigma=sigma, p=-9.5, a=1e-12, b=16.0)
    np.testing.assert_allclose(
        rows_log_prob(near, X), rows_log_prob(full(FAMILIES[2]), X), rtol=1e-9
    )
    t = full(FAMILIES[2]).replace(gamma=np.zeros(4))
    scale: Any = sigma * 8.0 / 9.5
    student: Any = scipy.stats.multivariate_t(mu, scale, df=19)
    np.testing.assert_allclose(rows_log_prob(t, X), student.logpdf(X), rtol=1e-12)
    # and its slope in γ at 0 exists
    slope = jax.grad(lambda g: t.replace(gamma=g).log_prob(X[0]))(jnp.zeros(4))
    white = np.linalg.solve(sigma, X[0] - mu)
    np.testing.assert_allclose(slope, white, rtol=1e-9)
    normal = MultivariateNormal.from_classical(mu=mu + gamma, sigma=sigma)
    limit = full(FAMILIES[1]).replace(lam=1e12)
    exact = np.asarray(jax.vmap(normal.log_prob)(X))
    np.testing.assert_allclose(rows_log_prob(limit, X), exact, rtol=1e-8)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"alpha": -1.0}, "alpha must be positive, got -1"),
        ({"rate": 1.0}, "unknown parameters rate; .* has alpha, beta"),
        ({"alpha": [1.0, 2.0]}, r"alpha must be a scalar, got shape \(2,\)"),
        ({"sigma": -np.eye(4)}, "sigma must be positive definite"),
        ({"gamma": np.zeros(3)}, r"gamma must have shape \(4,\)"),
    ],
)
def test_bad_parameters(change, message):
    with pytest.raises(ValueError, match=message):
        full(FAMILIES[0]).replace(**change)


def test_bad_factor_and_scalar_parameters():
    vg = factor(FAMILIES[0])
    with pytest.raises(ValueError, match=r"F must have shape \(4, r\)"):
        vg.replace(F=np.ones((3, 1)))
    with pytest.raises(ValueError, match="D must be positive"):
        vg.replace(D=-np.ones(4))
    with pytest.raises(ValueError, match="missing parameters beta"):
        normix.UnivariateVarianceGamma.from_classical(
            mu=0.0, gamma=0.0, sigma=1.0, alpha=1.0
        )
    with pytest.raises(ValueError, match="mu must be a scalar"):
        vector: Any = [0.0]
        normix.UnivariateVarianceGamma.from_classical(
            mu=vector, gamma=0.0, sigma=1.0, alpha=1.0, beta=1.0
        )


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda m: m.marginal([4]), "indices must lie within 0 to 3"),
        (lambda m: m.marginal([1, 1]), "each once"),
        (lambda m: m.marginal([0.5]), "list of integers"),
        (lambda m: m.conditional([0, 1, 2, 3], np.zeros(4)), "must leave a component"),
        (lambda m: m.conditional([0], np.zeros(2)), r"x must have shape \(1,\)"),
        (lambda m: m.affine(np.ones((2, 4))), "linearly independent rows"),
        (lambda m: m.affine(np.ones((1, 3))), r"A must have shape \(m, 4\)"),
        (lambda m: m.project(np.zeros(3)), r"w must have shape \(4,\)"),
    ],
)
def test_bad_parts(call, message):
    with pytest.raises(ValueError, match=message):
        call(full(FAMILIES[0]))


def test_a_dispersion_that_is_small_against_the_skewness():
    """Σ → 0 leaves X = μ + γY, whose density is that of Y: nothing may cancel."""
    law = normix.InverseGaussian(mu=1.0, lam=1.0)
    for sigma, tolerance in ((1e-8, 1e-7), (1e-12, 1e-9), (1e-20, 1e-9)):
        nig = normix.UnivariateNormalInverseGaussian.from_classical(
            mu=0.0, gamma=1.0, sigma=sigma, mu_ig=1.0, lam=1.0
        )
        got = np.asarray(nig.log_prob(np.array([0.3, 0.7, 2.5])))
        exact = [float(law.log_prob(x)) for x in (0.3, 0.7, 2.5)]
        np.testing.assert_allclose(got, exact, atol=10 * tolerance)


# -- moments that do not exist -------------------------------------------------------


def test_moments_that_do_not_exist():
    """Of a skew t: alpha is half the degrees of freedom."""
    nan, inf = np.nan, np.inf
    rows = (  # alpha, gamma; mean, variance, skewness, kurtosis
        (0.5, 0.0, (nan, nan, nan, nan)),
        (0.5, 0.3, (inf, nan, nan, nan)),
        (0.5, -0.3, (-inf, nan, nan, nan)),
        (0.7, 0.0, (0, inf, nan, nan)),
        (1.2, 0.0, (0, 2.5, nan, inf)),
        (1.2, 0.3, (0.75, inf, nan, nan)),
        (1.7, 0.0, (0, 0.5 / 0.7, 0, inf)),
        (2.5, -0.3, (-0.1, 1 / 3 + 0.02, -inf, inf)),
        (3.0, 0.0, (0, 0.25, 0, 3)),
    )
    for alpha, gamma, want in rows:
        law = normix.UnivariateNormalInverseGamma.from_classical(
            mu=0.0, gamma=gamma, sigma=1.0, alpha=alpha, beta=0.5
        )
        got = [law.mean(), law.var(), law.skewness(), law.kurtosis()]
        if alpha == 2.5:
            want = (want[0], 0.5 / 1.5 + 0.09 * (0.5 / 1.5) ** 2 / 0.5, *want[2:])
        np.testing.assert_allclose(got, want, err_msg=f"{alpha}, {gamma}")
    # Of components with and without skewness.
    law = normix.NormalInverseGamma.from_classical(
        mu=np.zeros(3),
        gamma=np.array([0.0, 0.3, -0.3]),
        sigma=np.eye(3),
        alpha=1.2,
        beta=0.5,
    )
    want = [[2.5, nan, nan], [nan, inf, -inf], [nan, -inf, inf]]
    np.testing.assert_allclose(law.cov(), want)


def test_no_nearest_law_where_a_mean_is_infinite():
    law = normix.GeneralizedHyperbolic.from_classical(
        mu=[0.0], gamma=[0.0], sigma=[[1.0]], p=-0.5, a=0.0, b=1.0
    )
    for convert in (law.to_variance_gamma, law.to_normal_inverse_gaussian):
        with pytest.raises(ValueError, match="infinite"):
            convert()
    exact = law.to_normal_inverse_gamma()
    assert float(exact.joint.subordinator.alpha) == pytest.approx(0.5)


# -- far from 0, and at the limits ----------------------------------------------------


@pytest.mark.parametrize("shift", [1e6, 1e8])
def test_joint_likelihood_of_data_far_from_zero(shift):
    rng = np.random.default_rng(0)
    X, Y = np.round(rng.normal(size=(300, 2)), 3), rng.gamma(2.0, size=300)
    want = normix.JointVarianceGamma.fit_mle((X, Y))
    got = normix.JointVarianceGamma.fit_mle((X + shift, Y))
    np.testing.assert_allclose(got.sigma(), want.sigma(), rtol=1e-7)
    np.testing.assert_allclose(got.gamma, want.gamma, atol=1e-7)
    np.testing.assert_allclose(got.mu - shift, want.mu, atol=1e-7)
    # and its density at such points
    gap = got.log_prob((X[0] + shift, Y[0])) - want.log_prob((X[0], Y[0]))
    assert abs(float(gap)) < 1e-6


def test_the_normal_limit():
    """Density, tails and quantiles, as the shape grows."""
    x = np.array([-8.0, -2.0, 0.3, 2.0, 8.0])
    reference = scipy.stats.norm
    for shape in (1e10, 1e12, 1e15):
        for family in (
            normix.UnivariateNormalInverseGamma,
            normix.UnivariateVarianceGamma,
        ):
            law = family.from_classical(
                mu=0.0, gamma=0.0, sigma=1.0, alpha=shape, beta=shape
            )
            # What is left of the limit is of the order of 1/shape.
            tolerance = 1e4 / shape + 2e-13
            for got, want in (
                (law.log_prob(x), reference.logpdf(x)),
                (law.logcdf(x), reference.logcdf(x)),
                (law.logsf(x), reference.logsf(x)),
                (law.ppf(np.array([1e-10, 0.3, 0.975])), [-6.361340902404056] * 3),
            ):
                if len(got) == 3:
                    want = reference.ppf([1e-10, 0.3, 0.975])
                    tolerance += 1e-10
                np.testing.assert_allclose(got, want, rtol=tolerance)


def test_points_at_the_ends_of_the_range():
    nig = normix.UnivariateNormalInverseGaussian.from_classical(
        mu=0.0005, gamma=-0.0003, sigma=1e-4, mu_ig=1.0, lam=0.8
    )
    x = np.array([1e20, 9.96921e36, 1e100])
    for sign in (1, -1):
        # Exponential tails, whose rates are those of the density.
        b, s2 = -0.0003, 1e-4
        rate = np.sqrt((0.8 + b * b / s2) / s2) - sign * b / s2
        near, far = (nig.logsf, nig.logcdf) if sign > 0 else (nig.logcdf, nig.logsf)
        np.testing.assert_allclose(near(sign * x), -rate * x, rtol=1e-12)
        np.testing.assert_array_equal(far(sign * x), 0)
        np.testing.assert_allclose(nig.log_prob(sign * x), -rate * x, rtol=1e-12)
    ends = nig.log_prob(np.array([-np.inf, np.inf, np.nan]))
    np.testing.assert_array_equal(ends, [-np.inf, -np.inf, np.nan])
    # A power tail of which squares overflow: t with df = 0.2.
    law = normix.UnivariateNormalInverseGamma.from_classical(
        mu=0.0, gamma=0.0, sigma=1.0, alpha=0.1, beta=0.1
    )
    df = 0.2
    constant = gammaln(0.5 * (df + 1)) - gammaln(0.5 * df) + 0.5 * df * np.log(df)
    constant -= 0.5 * np.log(np.pi)
    x = np.array([1e30, 1e157, 1e300])
    log_density = constant - (df + 1) * np.log(x)
    np.testing.assert_allclose(law.log_prob(x), log_density, rtol=1e-12)
    np.testing.assert_allclose(law.logsf(x), log_density + np.log(x / df), rtol=1e-11)
    assert float(law.ppf(1e-32)) == pytest.approx(-7.508e157, rel=1e-4)
