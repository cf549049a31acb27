"""normix's laws as NumPyro distributions, against SciPy and within NumPyro."""

import importlib
import sys
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist
import pytest
import scipy.stats
from numpyro.distributions.batch_util import promote_batch_shape
from numpyro.infer import MCMC, NUTS, Predictive, log_likelihood

import normix
from normix.adapters import numpyro as laws

stats: Any = scipy.stats
X = np.array([-12.0, -3.0, -0.4, 0.1, 0.7, 2.0, 5.0, 15.0])  # one is μ
MU, GAMMA, SIGMA = 0.1, 0.4, 1.7
MIXING = {
    "VarianceGamma": {"alpha": 1.6, "beta": 1.2},
    "NormalInverseGaussian": {"mu_ig": 0.8, "lam": 1.3},
    "NormalInverseGamma": {"alpha": 2.6, "beta": 1.7},
    "GeneralizedHyperbolic": {"p": 0.7, "a": 1.1, "b": 0.6},
}


def of_scalars(name, **changes):
    """A law of one variable, and the same of normix."""
    values = {"mu": MU, "gamma": GAMMA, "sigma": SIGMA} | MIXING[name] | changes
    model = getattr(normix, "Univariate" + name).from_classical(**values)
    return getattr(laws, "Univariate" + name)(**values), model


# -- densities -----------------------------------------------------------------------


def genhyperbolic(p, a, b):
    delta = np.sqrt(SIGMA * b)
    beta = GAMMA / SIGMA
    alpha = np.hypot(beta, np.sqrt(a / SIGMA))
    return stats.genhyperbolic(p, alpha * delta, beta * delta, MU, delta)


def asymmetric_laplace(rate):
    """Of exponential Y: the rates on either side are roots of a quadratic equation."""
    root = np.hypot(GAMMA, np.sqrt(2 * rate * SIGMA))
    up, down = (root - GAMMA) / SIGMA, (root + GAMMA) / SIGMA
    kappa, scale = np.sqrt(up / down), 1 / np.sqrt(up * down)
    return stats.laplace_asymmetric(kappa, MU, scale)


def nig_of_scipy(mu_ig, lam):
    delta, beta = np.sqrt(SIGMA * lam), GAMMA / SIGMA
    alpha = np.hypot(beta, np.sqrt(lam / SIGMA) / mu_ig)
    return stats.norminvgauss(alpha * delta, beta * delta, MU, delta)


@pytest.mark.parametrize(
    "name, changes, reference",
    [
        ("NormalInverseGaussian", {}, nig_of_scipy(0.8, 1.3)),
        ("GeneralizedHyperbolic", {}, genhyperbolic(0.7, 1.1, 0.6)),
        ("VarianceGamma", {"alpha": 1.0}, asymmetric_laplace(1.2)),
        ("NormalInverseGamma", {"gamma": 0.0}, stats.t(5.2, MU, np.sqrt(1.7**2 / 2.6))),
    ],
)
def test_laws_are_those_of_scipy(name, changes, reference, key):
    law, _ = of_scalars(name, **changes)
    np.testing.assert_allclose(law.log_prob(X), reference.logpdf(X), rtol=1e-10)
    mean, variance = reference.stats("mv")
    np.testing.assert_allclose((law.mean, law.variance), (mean, variance), rtol=1e-9)
    # Draws between the values of X: as many as expected, up to chance.
    draws = np.asarray(law.sample(key, (4000,)))
    edges = np.concatenate([[-np.inf], X[1:-1], [np.inf]])
    expected = 4000 * np.diff(reference.cdf(edges))
    counts = np.histogram(draws, edges)[0]
    assert stats.chisquare(counts, expected).pvalue > 1e-3


def test_quantiles_are_those_of_scipy():
    """Of one law, of shifts of it, and of several."""
    law, _ = of_scalars("NormalInverseGaussian")
    reference = nig_of_scipy(0.8, 1.3)
    q = reference.cdf(X)
    np.testing.assert_allclose(law.cdf(X), q, rtol=1e-6)  # of SciPy, far out
    np.testing.assert_allclose(law.icdf(law.cdf(X)), X, rtol=1e-9)
    values = {"gamma": GAMMA, "sigma": SIGMA, "mu_ig": 0.8}
    shifted = laws.UnivariateNormalInverseGaussian(mu=MU + X, lam=1.3, **values)
    np.testing.assert_allclose(shifted.cdf(2 * X), q, rtol=1e-6)
    lam = np.array([[1.3], [0.4]])
    several = laws.UnivariateNormalInverseGaussian(mu=MU, lam=lam, **values)
    q = np.stack([q, nig_of_scipy(0.8, 0.4).cdf(X)])
    np.testing.assert_allclose(several.cdf(X), q, rtol=1e-6)


def test_positive_laws_are_those_of_scipy(key):
    edges = np.array([0.05, 0.3, 0.8, 1.5, 3.0])
    p, a, b = 0.7, 0.9, 1.4
    batch = np.array([[-1.3], [2.5]])
    gig = laws.GeneralizedInverseGaussian
    for law, reference in (
        (gig(p, a, b), stats.geninvgauss(p, np.sqrt(a * b), scale=np.sqrt(b / a))),
        (laws.InverseGaussian(0.8, 1.4), stats.invgauss(0.8 / 1.4, scale=1.4)),
    ):
        np.testing.assert_allclose(law.log_prob(edges), reference.logpdf(edges), 1e-10)
        np.testing.assert_allclose(law.cdf(edges), reference.cdf(edges), rtol=1e-6)
        np.testing.assert_allclose(law.icdf(law.cdf(edges)), edges, rtol=1e-9)
        np.testing.assert_allclose(law.mean, reference.mean(), rtol=1e-7)
        np.testing.assert_allclose(law.variance, reference.var(), rtol=1e-6)
        draws = np.asarray(law.sample(key, (4000,)))
        ends = np.concatenate([[0], edges, [np.inf]])
        expected = 4000 * np.diff(reference.cdf(ends))
        assert stats.chisquare(np.histogram(draws, ends)[0], expected).pvalue > 1e-3
    several = gig(batch, a, b)
    reference = stats.geninvgauss(batch, np.sqrt(a * b), scale=np.sqrt(b / a))
    assert several.batch_shape == (2, 1)
    np.testing.assert_allclose(several.log_prob(edges), reference.logpdf(edges), 1e-10)
    draws = several.sample(key, (4000,))
    assert draws.shape == (4000, 2, 1)
    gap = (draws.mean(0) - reference.mean()) / (reference.std() / np.sqrt(4000))
    assert (abs(gap) < 4).all()


def test_vectors_without_skewness_are_those_of_student():
    root = np.array([[1.2, 0.0, 0.0], [0.3, 0.8, 0.0], [-0.5, 0.2, 1.5]])
    alpha, beta, mu = 2.1, 1.3, np.array([0.1, -0.2, 0.3])
    x = np.random.default_rng(0).normal(size=(5, 3)) * [1, 4, 30]
    sigma = root @ root.T
    reference = stats.multivariate_t(mu, beta / alpha * sigma, 2 * alpha)
    for given in ({"scale_tril": root}, {"sigma": sigma}):
        law = laws.NormalInverseGamma(mu=mu, alpha=alpha, beta=beta, **given)
        np.testing.assert_allclose(law.log_prob(x), reference.logpdf(x), rtol=1e-12)
        np.testing.assert_allclose(law.sigma, sigma, rtol=1e-13)
    np.testing.assert_allclose(law.covariance_matrix, sigma * beta / (alpha - 1))
    np.testing.assert_allclose(law.mean, mu)


# -- derivatives ---------------------------------------------------------------------


@pytest.mark.parametrize("name", MIXING)
def test_slopes_are_those_of_differences(name):
    """In reverse mode, by all arguments; without skewness too, and in a row at μ."""
    kind = partial(getattr(laws, "Univariate" + name), validate_args=False)
    weights = np.linspace(1, 2, len(X))

    @jax.jit
    def slopes(values, x):
        return jax.value_and_grad(lambda v, x: weights @ kind(**v).log_prob(x), (0, 1))(
            values, x
        )

    def value(values, x):
        return slopes(values, x)[0]

    step = 1e-5
    for gamma in (0.4, 0.0):
        at = {"mu": MU, "gamma": gamma, "scale": 1.3} | MIXING[name]
        by_values, by_x = slopes(at, X)[1]
        for key in at:
            up, down = (value(at | {key: at[key] + h}, X) for h in (step, -step))
            expected = (up - down) / (2 * step)
            np.testing.assert_allclose(by_values[key], expected, rtol=1e-6, atol=1e-8)
        for k in range(len(X)):
            up, down = (
                value(at, X + h * (np.arange(len(X)) == k)) for h in (step, -step)
            )
            expected = (up - down) / (2 * step)
            np.testing.assert_allclose(by_x[k], expected, rtol=1e-6, atol=1e-8)


def test_slopes_at_a_cusp_are_finite():
    """A row at μ itself, as of days without a trade, must not spoil a gradient."""
    for alpha in (0.8, 1.6):
        for gamma in (0.0, 0.4):

            def total(scale, alpha, gamma=gamma):
                law = laws.UnivariateVarianceGamma(
                    gamma=gamma, scale=scale, alpha=alpha, beta=1.2, validate_args=False
                )
                return law.log_prob(jnp.array([0.0, 0.0, 0.7])).sum()

            assert np.isfinite(jax.grad(total, (0, 1))(1.3, alpha)).all()


def test_slopes_of_vectors_are_those_of_the_model():
    d, rng = 3, np.random.default_rng(1)
    root = jnp.asarray(np.tril(rng.normal(size=(d, d)), -1) + np.diag([1.0, 0.7, 2.0]))
    at = {"mu": jnp.zeros(d), "gamma": jnp.array([0.4, -0.3, 0.0]), "lam": 1.3}
    x = jnp.asarray(rng.normal(size=(6, d)) * 3)

    def ours(values, root):
        law = laws.NormalInverseGaussian(mu_ig=0.8, scale_tril=root, **values)
        return law.log_prob(x).sum()

    def normixs(values, root):
        model = normix.NormalInverseGaussian.from_classical(
            mu_ig=0.8, sigma=root @ root.T, **values
        )
        return jax.vmap(model.log_prob)(x).sum()

    found = jax.jit(jax.value_and_grad(ours, (0, 1)))(at, root)
    expected = jax.jit(jax.value_and_grad(normixs, (0, 1)))(at, root)
    for one, other in zip(
        jax.tree.leaves(found), jax.tree.leaves(expected), strict=True
    ):
        other = jnp.tril(other) if other.ndim == 2 else other  # what moves L alone
        np.testing.assert_allclose(one, other, rtol=1e-8, atol=1e-10)


# -- batches -------------------------------------------------------------------------


@pytest.mark.parametrize(
    "shapes, value, expected",
    [
        ({}, (4, 1), (4, 1)),
        ({"mu": (5,), "scale": (5,), "gamma": (3, 1)}, (5,), (3, 5)),
        ({"mu_ig": (2, 1, 1), "lam": (5,), "gamma": (3, 1)}, (), (2, 3, 5)),
    ],
)
def test_batches_are_many_laws(shapes, value, expected):
    rng = np.random.default_rng(2)
    names = "mu", "gamma", "scale", "mu_ig", "lam"
    values = {k: np.exp(rng.normal(size=shapes.get(k, ()))) for k in names}
    x = rng.normal(size=value)
    law = laws.UnivariateNormalInverseGaussian(**values)
    batch = np.broadcast_shapes(*shapes.values())
    assert law.batch_shape == batch == law.mean.shape == law.variance.shape
    assert law.sample(jax.random.key(0), (7,)).shape == (7, *batch)
    *all_values, at = np.broadcast_arrays(*values.values(), x)
    sizes = dict(zip(names, all_values, strict=True))
    delta = sizes["scale"] * np.sqrt(sizes["lam"])
    beta = sizes["gamma"] / sizes["scale"] ** 2
    rate = np.sqrt(sizes["lam"]) / (sizes["scale"] * sizes["mu_ig"])
    reference = stats.norminvgauss(
        np.hypot(beta, rate) * delta, beta * delta, sizes["mu"], delta
    )
    found = law.log_prob(x)
    assert found.shape == expected
    np.testing.assert_allclose(found, reference.logpdf(at), rtol=1e-9)


def test_batches_of_vectors_are_many_laws():
    d, rng = 2, np.random.default_rng(3)
    mu, gamma = rng.normal(size=(4, 1, d)), rng.normal(size=(3, d))
    root = np.tril(rng.normal(size=(4, 1, d, d)), -1) + np.diag([1.0, 0.5])
    alpha, x = np.exp(rng.normal(size=3)), rng.normal(size=(5, 4, 3, d))
    law = laws.VarianceGamma(mu=mu, gamma=gamma, scale_tril=root, alpha=alpha, beta=1.1)
    assert law.batch_shape == (4, 3) and law.event_shape == (d,)
    assert law.mean.shape == (4, 3, d) and law.sigma.shape == (4, 1, d, d)

    def one(mu, gamma, root, alpha, x):
        model = normix.VarianceGamma.from_classical(
            mu=mu, gamma=gamma, sigma=root @ root.T, alpha=alpha, beta=1.1
        )
        return model.log_prob(x), model.cov()

    each = jnp.vectorize(one, signature="(d),(d),(d,d),(),(d)->(),(d,d)")
    density, cov = jax.jit(each)(mu, gamma, root, alpha, x)
    np.testing.assert_allclose(law.log_prob(x), density, rtol=1e-9)
    np.testing.assert_allclose(law.covariance_matrix, cov[0], rtol=1e-12)
    draws = law.sample(jax.random.key(0), (4000,))
    assert draws.shape == (4000, 4, 3, d)
    spread = np.sqrt(law.variance / 4000)
    assert (abs(draws.mean(0) - law.mean) < 4.5 * spread).all()


def test_draws_move_with_location_skewness_and_scale(key):
    def draw(mu, gamma, scale):
        law = laws.UnivariateVarianceGamma(
            mu=mu, gamma=gamma, scale=scale, alpha=1.6, beta=1.2
        )
        return law.sample(key)

    x, slopes = jax.value_and_grad(draw, (0, 1, 2))(0.1, 0.4, 1.3)
    # X = μ + γY + σ√Y Z is linear in all three.
    np.testing.assert_allclose(0.1 + 0.4 * slopes[1] + 1.3 * slopes[2], x)


# -- NumPyro's own machinery ---------------------------------------------------------


def test_expand_to_event_and_mask():
    law, model = of_scalars("NormalInverseGaussian")
    x = np.linspace(-2, 2, 12).reshape(4, 3)
    each = np.asarray(model.log_prob(x))
    wide = law.expand([4, 3])
    assert wide.sample(jax.random.key(0), (2,)).shape == (2, 4, 3)
    np.testing.assert_allclose(wide.log_prob(x), each)
    np.testing.assert_allclose(wide.to_event(1).log_prob(x), each.sum(1))
    mask = x > 0
    np.testing.assert_allclose(wide.mask(mask).log_prob(x), np.where(mask, each, 0))


def test_distributions_are_pytrees():
    law, model = of_scalars("NormalInverseGaussian")
    leaves, tree = jax.tree.flatten(law)
    again = jax.tree.unflatten(tree, leaves)
    np.testing.assert_allclose(
        jax.jit(lambda d, x: d.log_prob(x))(again, 0.3), model.log_prob(0.3)
    )
    np.testing.assert_allclose(again.sigma, SIGMA)

    def make(mu, root):
        return laws.NormalInverseGaussian(mu=mu, scale_tril=root, mu_ig=1.0, lam=2.0)

    roots = jnp.stack([jnp.eye(2), 2 * jnp.eye(2), jnp.array([[1.0, 0], [0.5, 1.0]])])
    many = promote_batch_shape(jax.vmap(make)(jnp.ones((3, 2)), roots))
    assert many.batch_shape == (3,) and many.event_shape == (2,)
    x = jnp.zeros(2)
    expected = [make(jnp.ones(2), root).log_prob(x) for root in roots]
    np.testing.assert_allclose(many.log_prob(x), expected)
    assert many.sample(jax.random.key(0), (5,)).shape == (5, 3, 2)


def test_keys_of_either_kind():
    law, _ = of_scalars("NormalInverseGaussian")
    old, new = (
        law.sample(jax.random.PRNGKey(1), (3,)),
        law.sample(jax.random.key(1), (3,)),
    )
    np.testing.assert_array_equal(old, new)


# -- models of normix ----------------------------------------------------------------


@pytest.mark.parametrize("name", MIXING)
def test_models_of_all_families_and_forms(name):
    mu, gamma = np.array([0.1, 0.2, -0.3]), np.array([0.4, 0.0, -0.1])
    F, D = np.array([[0.5], [0.2], [-0.4]]), np.array([1.0, 0.5, 0.7])
    sigma, parts = F @ F.T + np.diag(D), {"mu": mu, "gamma": gamma} | MIXING[name]
    factor = getattr(normix, "Factor" + name).from_classical(F=F, D=D, **parts)
    full = getattr(normix, name).from_classical(sigma=sigma, **parts)
    for model in (factor, full):
        law = laws.from_model(model)
        assert type(law) is getattr(laws, name)
        for key, value in (parts | {"sigma": sigma}).items():
            np.testing.assert_allclose(getattr(law, key), value, rtol=1e-13)
    same = laws.from_model(of_scalars(name)[1])
    assert type(same) is getattr(laws, "Univariate" + name)
    values = {"mu": MU, "gamma": GAMMA, "sigma": SIGMA} | MIXING[name]
    for key, value in values.items():
        np.testing.assert_allclose(getattr(same, key), value, rtol=1e-13)


def test_models_of_other_laws():
    x = 0.7
    for model in (
        normix.GIG(p=0.3, a=1.0, b=2.0),
        normix.InverseGaussian(mu=1.2, lam=0.8),
        normix.Gamma(alpha=1.3, beta=2.0),
        normix.InverseGamma(alpha=1.3, beta=2.0),
    ):
        law = laws.from_model(model)
        np.testing.assert_allclose(law.log_prob(x), model.log_prob(x))
    normal = normix.MultivariateNormal.from_classical(
        np.array([0.1, 0.2]), np.array([[1, 0.3], [0.3, 2]])
    )
    law = laws.from_model(normal)
    np.testing.assert_allclose(law.log_prob(np.ones(2)), normal.log_prob(np.ones(2)))
    _, mixture = of_scalars("VarianceGamma")
    others: tuple[Any, ...] = mixture.joint, law, 3.0
    for other in others:
        with pytest.raises(ValueError, match="model must be a mixture, a positive law"):
            laws.from_model(other)


def test_a_batch_of_models_is_a_batch():
    def make(mu, alpha):
        return normix.FactorVarianceGamma.from_classical(
            mu=mu,
            gamma=jnp.zeros(2),
            F=jnp.ones((2, 1)),
            D=jnp.ones(2),
            alpha=alpha,
            beta=1.0,
        )

    mu, alpha = jnp.arange(6.0).reshape(3, 2), jnp.array([1.5, 2.0, 3.0])
    law = laws.from_model(jax.vmap(make)(mu, alpha))
    assert law.batch_shape == (3,)
    expected = [
        make(m, a).log_prob(jnp.ones(2)) for m, a in zip(mu, alpha, strict=True)
    ]
    np.testing.assert_allclose(law.log_prob(jnp.ones(2)), expected)


# -- bad input -----------------------------------------------------------------------


def test_bad_parameters_are_named():
    nig = partial(laws.UnivariateNormalInverseGaussian, mu_ig=1.0, lam=1.0)
    vectors = partial(laws.NormalInverseGaussian, mu_ig=1.0, lam=1.0)
    for make, message in (
        (lambda: nig(), "give sigma or scale, got none"),
        (lambda: nig(sigma=1.0, scale=1.0), "give sigma or scale, got both"),
        (lambda: nig(sigma=-1.0), "invalid sigma parameter"),
        (lambda: nig(scale=1.0, mu=np.nan), "invalid mu parameter"),
        (lambda: nig(scale=1.0, mu_ig=0.0), "invalid mu_ig parameter"),
        (lambda: nig(scale=np.ones(2), mu=np.ones(3)), r"do not broadcast: mu \(3,\)"),
        (lambda: vectors(sigma=1.0), r"sigma must have shape \(..., d, d\), got \(\)"),
        (lambda: vectors(scale_tril=np.ones((2, 3))), r"scale_tril must have shape"),
        (
            lambda: vectors(sigma=np.eye(2), mu=np.ones(3)),
            r"mu must have shape \(..., 2",
        ),
        (lambda: vectors(sigma=-np.eye(2)), "invalid sigma parameter"),
        (lambda: laws.InverseGaussian(1.0, -1.0), "invalid lam parameter"),
        (lambda: laws.GeneralizedInverseGaussian(1.0, 0.0, 1.0), "a = 0 needs p < 0"),
        (lambda: of_scalars("GeneralizedHyperbolic", p=-1.0, b=0.0)[0], "b = 0 needs"),
    ):
        with pytest.raises(ValueError, match=message):
            make()


def test_values_outside():
    law, _ = of_scalars("NormalInverseGaussian")
    with pytest.warns(UserWarning, match="Out-of-support"):
        assert law.log_prob(np.inf) == -np.inf
    wald = laws.InverseGaussian(1.0, 1.0, validate_args=False)
    assert wald.log_prob(-1.0) == -np.inf
    pole = laws.UnivariateVarianceGamma(scale=1.0, alpha=0.4, beta=1.0)
    assert pole.log_prob(0.0) == np.inf
    far = laws.UnivariateNormalInverseGamma(scale=1.0, alpha=1.0, beta=1.0)
    # A t law of 2 degrees of freedom, where squares overflow.
    np.testing.assert_allclose(
        far.log_prob(1e200), stats.t(2).logpdf(1e100) - 300 * np.log(10), rtol=1e-12
    )


def test_without_numpyro(monkeypatch):
    monkeypatch.setitem(sys.modules, "numpyro", None)
    monkeypatch.delitem(sys.modules, "normix.adapters.numpyro.base")
    with pytest.raises(ImportError, match="pip install numpyro"):
        importlib.import_module("normix.adapters.numpyro.base")


# -- inference -----------------------------------------------------------------------


def regression(X, y=None):
    """A linear regression with skewed, heavy-tailed errors."""
    alpha = numpyro.sample("alpha", dist.Normal(0, 5))
    beta = numpyro.sample("beta", dist.Normal(0, 5).expand([X.shape[1]]).to_event(1))
    gamma = numpyro.sample("gamma", dist.Normal(0, 1))
    scale = numpyro.sample("scale", dist.HalfNormal(2))
    lam = numpyro.sample("lam", dist.LogNormal(0, 1))
    errors = laws.UnivariateNormalInverseGaussian(
        mu=alpha + X @ beta, gamma=gamma, scale=scale, mu_ig=1.0, lam=lam
    )
    with numpyro.plate("rows", X.shape[0]):
        numpyro.sample("y", errors, obs=y)


TRUTH = {
    "alpha": 0.3,
    "beta": np.array([1.0, -0.5]),
    "gamma": 0.4,
    "scale": 0.8,
    "lam": 0.7,
}


def simulated(n, seed):
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(n, 2))
    errors = normix.UnivariateNormalInverseGaussian.from_classical(
        mu=TRUTH["alpha"],
        gamma=TRUTH["gamma"],
        sigma=TRUTH["scale"] ** 2,
        mu_ig=1.0,
        lam=TRUTH["lam"],
    )
    return X, X @ TRUTH["beta"] + np.asarray(errors.rvs(n, seed))


def test_predictive_and_log_likelihood(key):
    X, y = simulated(20, 0)
    prior = Predictive(regression, num_samples=6)(key, X)
    assert prior["y"].shape == (6, 20)
    values = {k: v for k, v in prior.items() if k != "y"}
    found = log_likelihood(regression, values, X, y)["y"]
    for k in range(2):
        law = laws.UnivariateNormalInverseGaussian(
            mu=values["alpha"][k] + X @ values["beta"][k],
            gamma=values["gamma"][k],
            scale=values["scale"][k],
            mu_ig=1.0,
            lam=values["lam"][k],
        )
        np.testing.assert_allclose(found[k], law.log_prob(y), rtol=1e-10)


@pytest.mark.slow
def test_nuts_finds_the_truth(key):
    X, y = simulated(200, 1)
    mcmc = MCMC(NUTS(regression), num_warmup=300, num_samples=400, progress_bar=False)
    mcmc.run(key, X, y)
    assert not mcmc.get_extra_fields()["diverging"].any()
    for name, draws in mcmc.get_samples().items():
        gap = abs(draws.mean(0) - TRUTH[name]) / draws.std(0)
        assert (gap < 3).all(), name
