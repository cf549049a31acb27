"""The normal inverse Gaussian law against quadrature, closed forms and SciPy."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import mpmath as mp
import numpy as np
import pytest
import scipy.integrate
import scipy.stats
from jax.test_util import check_grads

from normix import (
    InverseGaussian,
    JointNormalInverseGaussian,
    MultivariateNormal,
    NormalInverseGaussian,
    NormalMixtureEta,
)
from normix.mixtures.in_one import Layout, swept_in_one
from normix.mixtures.model_steps import packed


def model(d: int, seed: int, lam: float = 1.5, mu_ig: float = 0.8, skew: float = 0.5):
    rng = np.random.default_rng(seed)
    root = np.tril(rng.normal(size=(d, d)) * 0.4, -1) + np.diag(rng.uniform(0.5, 2, d))
    return NormalInverseGaussian.from_classical(
        mu=rng.normal(size=d),
        gamma=skew * rng.normal(size=d),
        sigma=root @ root.T,
        mu_ig=mu_ig,
        lam=lam,
    )


def mixture_integral(nig, x, weight=lambda y: 1.0) -> mp.mpf:
    """∫ weight(y) N(x; μ + γy, yΣ) IG(y) dy at 30 digits."""
    with mp.workdps(30):
        mu, gamma = (mp.matrix(np.asarray(v).tolist()) for v in (nig.mu, nig.gamma))
        sigma = mp.matrix(np.asarray(nig.sigma()).tolist())
        inverse, det, d = sigma**-1, mp.det(sigma), nig.d
        m, lam = mp.mpf(float(nig.mu_ig)), mp.mpf(float(nig.lam))
        x = mp.matrix(np.asarray(x).tolist())

        def integrand(t):
            y = mp.exp(t)
            r = x - mu - gamma * y
            quad = (r.T * inverse * r)[0] / y
            normal = mp.exp(-quad / 2) / mp.sqrt((2 * mp.pi * y) ** d * det)
            ig = mp.sqrt(lam / (2 * mp.pi * y**3)) * mp.exp(
                -lam * (y - m) ** 2 / (2 * m**2 * y)
            )
            return weight(y) * normal * ig * y

        # the trapezoid rule in log y converges exponentially here
        step = mp.mpf(1) / 32
        return step * mp.fsum(integrand(k * step) for k in range(-32 * 14, 32 * 9))


CASES = [
    (1, 0, 1.5, 0.5),
    (2, 1, 0.05, 0.5),
    (3, 2, 20.0, 0.1),
    (2, 3, 1.0, 4.0),
    (4, 4, 0.5, 0.0),
]


@pytest.mark.parametrize(("d", "seed", "lam", "skew"), CASES)
def test_density_and_posterior_are_those_of_the_joint(d, seed, lam, skew):
    nig = model(d, seed, lam=lam, skew=skew)
    X = np.asarray(nig.rvs(2, seed=seed))
    X = np.vstack([X, np.asarray(nig.mu), 4 * X[0]])
    given = nig.joint.conditional_expectations(X)
    on_host = nig.joint.conditional_expectations(X, backend="cpu")
    for i, x in enumerate(X):
        density = mixture_integral(nig, x)
        assert float(nig.log_prob(x)) == pytest.approx(
            float(mp.log(density)), abs=2e-13
        )
        for name, weight in (
            ("E_log_Y", mp.log),
            ("E_inv_Y", lambda y: 1 / y),
            ("E_Y", lambda y: y),
        ):
            exact = float(mixture_integral(nig, x, weight) / density)
            assert float(given[name][i]) == pytest.approx(exact, rel=1e-12, abs=1e-13)
            assert float(on_host[name][i]) == pytest.approx(exact, rel=1e-9, abs=1e-10)


def test_one_dimension_is_scipy_norminvgauss():
    mu, gamma, s2, m, lam = 0.3, -0.4, 2.0, 1.3, 0.7
    nig = NormalInverseGaussian.from_classical(
        mu=np.array([mu]),
        gamma=np.array([gamma]),
        sigma=np.array([[s2]]),
        mu_ig=m,
        lam=lam,
    )
    # α² = (a + γ²/σ²)/σ², β = γ/σ², δ² = b σ² in SciPy's a = αδ, b = βδ
    delta, beta = np.sqrt(lam * s2), gamma / s2
    alpha = np.sqrt((lam / m**2 + gamma**2 / s2) / s2)
    reference: Any = scipy.stats.norminvgauss(alpha * delta, beta * delta, mu, delta)
    x = np.linspace(-60, 60, 121)
    ours = jax.vmap(nig.log_prob)(x[:, None])
    np.testing.assert_allclose(ours, reference.logpdf(x), rtol=1e-12, atol=1e-12)
    mean, var, skew, kurt = reference.stats("mvsk")
    np.testing.assert_allclose(nig.mean()[0], mean, rtol=1e-13)
    np.testing.assert_allclose(nig.cov()[0, 0], var, rtol=1e-13)
    np.testing.assert_allclose(nig.skewness()[0], skew, rtol=1e-12)
    np.testing.assert_allclose(nig.kurtosis()[0], kurt, rtol=1e-12)
    draws = np.asarray(nig.rvs(20_000, seed=3))[:, 0]
    # SciPy's cdf integrates numerically: on a grid, then interpolated
    grid = np.linspace(draws.min() - 1, draws.max() + 1, 400)
    cdf = np.interp(draws, grid, reference.cdf(grid))
    assert scipy.stats.kstest(cdf, "uniform").pvalue > 1e-3


def test_log_prob_gradient_and_hessian():
    nig = model(3, 7)
    x = jnp.asarray(nig.rvs(1, seed=1)[0])

    def log_prob(x, lam, gamma):
        changed = NormalInverseGaussian.from_classical(
            mu=nig.mu, gamma=gamma, sigma=nig.sigma(), mu_ig=nig.mu_ig, lam=lam
        )
        return changed.log_prob(x)

    args = (x, nig.lam, nig.gamma)
    check_grads(log_prob, args, order=2, rtol=2e-5, atol=2e-5)


def test_far_tail_and_near_normal_limit():
    nig = model(2, 5)
    # log-density is asymptotically linear: finite where the density underflows
    far = float(nig.log_prob(np.array([1e6, -1e6])))
    assert np.isfinite(far) and far < -1e5
    # λ → ∞ with E[Y] = 1: normal with mean μ + γ and covariance Σ
    sigma: Any = np.array([[1.0, 0.3], [0.3, 2.0]])
    gamma = np.array([0.5, -0.2])
    limit = NormalInverseGaussian.from_classical(
        mu=np.zeros(2), gamma=gamma, sigma=sigma, mu_ig=1.0, lam=1e12
    )
    x = np.array([0.7, 0.1])
    normal: Any = scipy.stats.multivariate_normal(gamma, sigma)
    assert float(limit.log_prob(x)) == pytest.approx(normal.logpdf(x), abs=1e-10)


def test_moments_of_draws():
    nig = model(3, 11, lam=4.0)
    X, Y = nig.joint.rvs(400_000, seed=5)
    np.testing.assert_allclose(X.mean(0), nig.mean(), atol=0.012)
    np.testing.assert_allclose(np.cov(X.T), nig.cov(), atol=0.03)
    reference = scipy.stats.invgauss(float(nig.mu_ig / nig.lam), scale=float(nig.lam))
    assert scipy.stats.kstest(np.asarray(Y[:20_000]), reference.cdf).pvalue > 1e-3
    np.testing.assert_array_equal(nig.rvs(7, seed=5), nig.joint.rvs(7, seed=5)[0])
    key = jax.random.key(9)
    np.testing.assert_array_equal(nig.rvs(7, key=key), nig.rvs(7, seed=9))


def test_joint_is_the_exponential_family_that_it_claims():
    joint = model(2, 13).joint
    X, Y = joint.rvs(5, seed=0)
    for x, y in zip(np.asarray(X), np.asarray(Y), strict=True):
        given_y: Any = scipy.stats.multivariate_normal(
            np.asarray(joint.mu + joint.gamma * y), np.asarray(joint.sigma()) * y
        )
        ig = joint.subordinator
        law: Any = scipy.stats.invgauss(float(ig.mu / ig.lam), scale=float(ig.lam))
        exact = given_y.logpdf(x) + law.logpdf(y)
        assert float(joint.log_prob_joint(x, y)) == pytest.approx(exact, rel=1e-12)
    # ∇ψ(θ) is the vector of expectations, which has a closed form
    eta = joint.expectations()
    assert isinstance(eta, NormalMixtureEta)
    np.testing.assert_allclose(
        joint.expectation_params(), eta.vector(), rtol=1e-11, atol=1e-12
    )
    for back in (
        JointNormalInverseGaussian.from_natural(joint.natural_params()),
        JointNormalInverseGaussian.from_expectation(eta),
        JointNormalInverseGaussian.from_expectation(eta.vector()),
        JointNormalInverseGaussian.fit_mle(joint.rvs(50, seed=1)).from_expectation(eta),
    ):
        for ours, exact in zip(
            jax.tree.leaves(back), jax.tree.leaves(joint), strict=True
        ):
            np.testing.assert_allclose(ours, exact, rtol=1e-10, atol=1e-12)
    assert isinstance(NormalMixtureEta.from_vector(eta.vector()), NormalMixtureEta)


def test_e_step_averages_the_posterior_and_chunks_agree():
    nig = model(3, 17, lam=0.3)
    X = np.asarray(nig.rvs(1500, seed=2))
    given = nig.joint.conditional_expectations(X)
    w = np.asarray(given["E_inv_Y"])
    averages: Any = (
        w.mean(),
        np.asarray(given["E_Y"]).mean(),
        np.asarray(given["E_log_Y"]).mean(),
        X.mean(0),
        (X * w[:, None]).mean(0),
        (X * w[:, None]).T @ X / len(X),
    )
    exact = NormalMixtureEta(*averages)
    whole = nig.e_step(X)

    @jax.jit
    def in_chunks(rows):
        at = packed(nig.joint), jnp.zeros(nig.d)
        swept = swept_in_one(at, rows, None, nig.joint.frame, "jax", Layout(400))
        return nig.joint.frame.means(swept).translate(nig.mu)

    pieces = in_chunks(jnp.asarray(X))
    for name in NormalMixtureEta.__dataclass_fields__:
        expected = getattr(exact, name)
        np.testing.assert_allclose(getattr(whole, name), expected, rtol=1e-11)
        np.testing.assert_allclose(
            getattr(nig.e_step(X, backend="cpu"), name), expected, rtol=1e-8
        )
        np.testing.assert_allclose(getattr(pieces, name), expected, rtol=1e-11)
    # translating the statistics is translating the data
    shift = np.array([3.0, -1.0, 0.5])
    moved = whole.translate(jnp.asarray(shift)).E_XXT_inv_Y
    direct = ((X + shift) * w[:, None]).T @ (X + shift) / len(X)
    np.testing.assert_allclose(moved, direct, rtol=1e-11)


def test_m_step_maximises_the_expected_complete_likelihood():
    nig = model(2, 19)
    eta = nig.e_step(nig.rvs(800, seed=1))
    assert isinstance(eta, NormalMixtureEta)
    best = nig.m_step(eta)

    def objective(leaves):
        changed = jax.tree.unflatten(jax.tree.structure(best.joint), leaves)
        theta = changed.natural_params()
        vector = eta.vector()
        return theta @ vector - changed.log_partition()

    gradient = jax.grad(objective)(jax.tree.leaves(best.joint))
    for leaf in gradient:
        np.testing.assert_allclose(
            np.tril(leaf) if leaf.ndim == 2 else leaf, 0, atol=1e-9
        )
    # the two halves together are the whole
    halves = nig.m_step_normal(eta).m_step_subordinator(eta)
    for ours, exact in zip(jax.tree.leaves(halves), jax.tree.leaves(best), strict=True):
        np.testing.assert_allclose(ours, exact, rtol=1e-13)
    # and the fixed point of a model's own expectations is the model
    own = nig.m_step(nig.compute_eta_from_model())
    for ours, exact in zip(jax.tree.leaves(own), jax.tree.leaves(nig), strict=True):
        np.testing.assert_allclose(ours, exact, rtol=1e-10, atol=1e-12)


def test_gauges_leave_the_law_alone():
    nig = model(3, 23)
    X = nig.rvs(50, seed=0)
    one = nig.regularize_det_sigma_one()
    two = nig.regularize_det_sigma(target_log_det=1.7)
    equal = nig.regularize_a_eq_b()
    assert abs(float(jnp.linalg.det(one.sigma())) - 1) < 1e-12
    assert float(two.log_det_sigma()) == pytest.approx(1.7, abs=1e-13)
    _, a, b = equal.subordinator().gig_params()
    assert float(a) == pytest.approx(float(b), rel=1e-13)
    exact = jax.vmap(nig.log_prob)(X)
    for other in (one, two, equal):
        np.testing.assert_allclose(jax.vmap(other.log_prob)(X), exact, rtol=1e-12)


def test_default_init_matches_the_moments_and_nearly_the_optimum():
    for seed, lam, skew in (
        (0, 1.2, 0.5),
        (1, 0.3, 0.0),
        (2, 10.0, 0.1),
        (3, 0.5, 1.5),
    ):
        true = model(2, seed, lam=lam, mu_ig=1.0, skew=skew)
        X = true.rvs(3000, seed=seed)
        start = NormalInverseGaussian.default_init(X)
        np.testing.assert_allclose(start.mean(), X.mean(0), atol=1e-12)
        np.testing.assert_allclose(start.cov(), np.cov(X.T, bias=True), rtol=1e-10)
        reached = float(start.marginal_log_likelihood(X))
        normal = MultivariateNormal.fit_mle(X)
        gaussian = float(jax.vmap(normal.log_prob)(X).mean())
        best = start.fit(X, max_iter=300, tol=1e-6).log_likelihood
        assert gaussian - 1e-3 < reached <= best
        # strong skewness claims more variance than the sample's: further off then
        assert reached > best - (0.2 if skew > 1 else 0.05)


def test_views_and_types():
    nig = model(2, 29)
    assert isinstance(nig.subordinator(), InverseGaussian)
    assert nig.d == 2
    np.testing.assert_allclose(nig.L_Sigma @ nig.L_Sigma.T, nig.sigma(), rtol=1e-14)
    assert float(nig.log_det_sigma()) == pytest.approx(
        np.linalg.slogdet(np.asarray(nig.sigma()))[1], rel=1e-12
    )
    assert [p.shape for p in nig.em_convergence_params()] == [(2,), (2,), (2, 2)]
    mean_log = float(nig.marginal_log_likelihood(nig.rvs(40, seed=0)))
    rows = jax.vmap(nig.log_prob)(nig.rvs(40, seed=0))
    assert mean_log == pytest.approx(float(rows.mean()), rel=1e-13)


def test_density_integrates_to_one():
    nig = model(2, 31, lam=2.0)

    def density(x, y):
        return float(pdf(jnp.array([x, y])))

    pdf = jax.jit(nig.pdf)
    grid = np.linspace(-25, 25, 401)
    points = np.stack(np.meshgrid(grid, grid, indexing="ij"), -1).reshape(-1, 2)
    values = jax.jit(jax.vmap(nig.pdf))(points).reshape(401, 401)
    total = scipy.integrate.trapezoid(scipy.integrate.trapezoid(values, grid), grid)
    assert total == pytest.approx(1.0, abs=1e-6)
    assert density(0.1, 0.2) == pytest.approx(float(nig.pdf(jnp.array([0.1, 0.2]))))


GOOD = {
    "mu": [0.0, 0.0],
    "gamma": [0.0, 0.0],
    "sigma": np.eye(2),
    "mu_ig": 1.0,
    "lam": 1.0,
}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"mu": np.zeros((2, 1))}, r"mu must have shape \(d,\)"),
        ({"gamma": [0.0]}, r"gamma must have shape \(2,\)"),
        ({"sigma": np.eye(3)}, r"sigma must have shape \(2, 2\)"),
        ({"sigma": np.ones((2, 3))}, r"sigma must have shape \(d, d\)"),
        ({"sigma": [[1.0, 2.0], [2.0, 1.0]]}, "sigma must be positive definite"),
        ({"sigma": [[1.0, 2.0], [0.0, 9.0]]}, "sigma must be symmetric"),
        ({"mu": [0.0, np.nan]}, "mu must be finite"),
        ({"lam": -1.0}, "lam must be positive, got -1"),
        ({"mu_ig": 0.0}, "mu must be positive, got 0"),
    ],
)
def test_bad_parameters(change, message):
    with pytest.raises(ValueError, match=message):
        NormalInverseGaussian.from_classical(**(GOOD | change))


def test_bad_observations():
    nig = NormalInverseGaussian.from_classical(**GOOD)
    with pytest.raises(ValueError, match=r"x must have shape \(2,\), got \(3,\)"):
        nig.log_prob(np.zeros(3))
    with pytest.raises(ValueError, match="2 columns as the model has"):
        nig.marginal_log_likelihood(np.zeros((5, 3)))
    with pytest.raises(ValueError, match="backend must be one of 'jax', 'cpu'"):
        nig.e_step(np.zeros((5, 2)), backend="gpu")
    with pytest.raises(ValueError, match="unknown solver options"):
        nig.m_step(nig.compute_eta_from_model(), steps=3)
    with pytest.raises(ValueError, match="3 columns|2 rows"):
        NormalInverseGaussian.default_init(np.zeros((2, 3)) + np.eye(2, 3))
    with pytest.raises(ValueError, match="n must be at least 0"):
        nig.rvs(-1)
