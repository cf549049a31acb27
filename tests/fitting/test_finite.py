# pyright: reportArgumentType=false, reportAttributeAccessIssue=false
"""Fits of finite mixtures, against the truth, other programs and themselves."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import optimize, special, stats
from sklearn.metrics import adjusted_rand_score
from sklearn.mixture import GaussianMixture

import normix
from normix import FiniteMixture


class Problem:
    """Rows of a mixture of skewed components, their groups, and the mixture."""

    def __init__(self, seed: int):
        random = np.random.default_rng(seed)
        k, d = 2 + seed % 3, 2 + seed % 4
        self.k, self.n = k, 400 * k
        turns = [np.linalg.qr(random.normal(size=(d, d)))[0] for _ in range(k)]
        parts = [
            normix.NormalInverseGaussian.from_classical(
                mu=mu,
                gamma=random.normal(size=d),
                sigma=(turn * random.uniform(0.3, 1.5, d)) @ turn.T,
                mu_ig=1.0,
                lam=random.uniform(0.5, 2.0),
            )
            for mu, turn in zip(_apart(random, k, d), turns, strict=True)
        ]
        self.truth = FiniteMixture(random.dirichlet(np.full(k, 8.0)), parts)
        X, labels = self.truth.rvs_labelled(self.n, seed=seed)
        self.X, self.labels = np.asarray(X), np.asarray(labels)


def _apart(random: np.random.Generator, k: int, d: int) -> np.ndarray:
    """Centres of which no two are closer than 4."""
    while True:
        centres = 3 * random.normal(size=(k, d))
        gaps = np.linalg.norm(centres[:, None] - centres[None], axis=2)
        if gaps[np.triu_indices(k, 1)].min() > 4:
            return centres


def solved(seed: int) -> tuple[Problem, Any]:
    problem = Problem(seed)
    start = FiniteMixture.default_init(problem.X, problem.k)
    return problem, start.fit(problem.X, track_ll=True)


def check_simulated(seed: int) -> None:
    problem, result = solved(seed)
    n, X = problem.n, problem.X
    assert result.converged and not result.at_bound, result.message
    of_truth = float(problem.truth.marginal_log_likelihood(X))
    assert result.log_likelihood >= of_truth
    gaussian = min(
        GaussianMixture(k, n_init=3, random_state=0).fit(X).bic(X) for k in range(1, 8)
    )
    assert result.bic <= gaussian
    mine = adjusted_rand_score(problem.labels, np.asarray(result.model.predict(X)))
    best = adjusted_rand_score(problem.labels, np.asarray(problem.truth.predict(X)))
    assert mine >= best - 0.05
    history = np.asarray(result.log_likelihoods)
    assert (np.diff(history) >= -1e-12 * n).all()


@pytest.mark.slow
@pytest.mark.parametrize("seed", [0, 10])
def test_simulated_problems(seed):
    check_simulated(seed)


@pytest.mark.exhaustive
@pytest.mark.parametrize("seed", [s for s in range(50) if s not in (0, 10)])
def test_simulated_problems_all(seed):
    check_simulated(seed)


def two_groups(n: int = 600) -> np.ndarray:
    random = np.random.default_rng(5)
    y = random.wald(1.0, 1.0, n)
    one = random.random(n) < 0.35
    return np.where(one, -3 - 0.5 * y, 1.5 + 0.8 * y) + np.sqrt(y) * random.normal(
        size=n
    )


def test_as_high_as_a_search_on_the_density_of_scipy():
    """L-BFGS from the truth, on the sum of two normal inverse Gaussian densities."""
    X = two_groups()
    result = FiniteMixture.default_init(X, 2).fit(X, tol=1e-6)

    def loss(c):
        each = []
        for mu, gamma, log_scale, log_lam in (c[:4], c[4:8]):
            scale, lam = np.exp(log_scale), np.exp(log_lam)
            a = np.sqrt(lam + gamma**2)
            each.append(stats.norminvgauss.logpdf(X, a, gamma, mu, scale))
        log_w = -np.logaddexp(0, [-c[8], c[8]])
        return -special.logsumexp(np.array(each) + log_w[:, None], axis=0).sum()

    start = np.array([-3, -0.5, 0, 0, 1.5, 0.8, 0, 0, np.log(0.35 / 0.65)])
    found = optimize.minimize(loss, start, method="L-BFGS-B")
    assert result.converged
    assert len(X) * result.log_likelihood == pytest.approx(-found.fun, abs=1e-3)


def test_one_component_is_a_fit_of_one_law():
    X = np.asarray(Problem(0).X)
    for family, model in (
        ("nig", normix.NormalInverseGaussian),
        ("t", normix.NormalInverseGamma),
    ):
        alone = model.default_init(X).fit(X, tol=1e-6)
        mixed = FiniteMixture.default_init(X, 1, family).fit(X, tol=1e-6)
        assert mixed.log_likelihood == pytest.approx(
            float(alone.log_likelihood), abs=1e-8
        )
        assert mixed.n_parameters == alone.n_parameters


def test_a_row_of_weight_two_is_two_rows():
    X = two_groups(200)
    start = FiniteMixture.default_init(X, 2)
    weights = 1.0 + (np.arange(200) % 3 == 0)
    weights[7] = 0.0
    twice = np.concatenate([np.delete(X, 7), X[np.arange(200) % 3 == 0]])
    one = start.fit(X, weights=weights, tol=1e-6)
    other = start.fit(twice, tol=1e-6)
    assert one.n_obs == len(twice)
    assert one.log_likelihood == pytest.approx(other.log_likelihood, abs=1e-8)


def test_components_of_other_families_and_symmetric_ones():
    X = np.asarray(Problem(0).X)
    both = FiniteMixture.default_init(X, 2)
    one = both.components[0]
    start = FiniteMixture(
        both.weights, [one, both.components[1].to_generalized_hyperbolic()]
    )
    free, wider = both.fit(X, tol=1e-6), start.fit(X, tol=1e-6)
    assert type(wider.model.components[1]).__name__ == "GeneralizedHyperbolic"
    assert wider.n_parameters == free.n_parameters + 1
    assert wider.log_likelihood >= free.log_likelihood - 1e-9
    flat = both.fit(X, symmetric=True)
    assert all((np.asarray(c.gamma) == 0).all() for c in flat.model.components)
    assert flat.n_parameters == free.n_parameters - 2 * 2
    assert flat.log_likelihood < free.log_likelihood


@pytest.mark.slow
def test_factors_and_variance_gamma():
    X = np.asarray(Problem(2).X)
    full = FiniteMixture.default_init(X, 4, "vg").fit(X)
    low = FiniteMixture.default_init(X, 4, "vg", factors=1).fit(X)
    for result in (full, low):
        assert result.converged
        assert all(float(c.alpha) >= 2.5 - 1e-9 for c in result.model.components)
    assert low.n_parameters < full.n_parameters
    assert low.log_likelihood < full.log_likelihood


@pytest.mark.slow
def test_missing_entries():
    problem = Problem(0)
    X, random = problem.X.copy(), np.random.default_rng(0)
    X[random.random(X.shape) < 0.15] = np.nan
    X[:, 0][:300] = np.nan
    X[-1] = np.nan
    result = FiniteMixture.default_init(X, 2, missing="em").fit(
        X, missing="em", tol=1e-6, track_ll=True
    )
    lacking = int(np.isnan(X).all(axis=1).sum())
    assert result.converged and result.left_out == lacking >= 1
    mean = float(result.model.marginal_log_likelihood(X, missing="em"))
    assert result.log_likelihood == pytest.approx(mean, abs=1e-9)
    history = np.asarray(result.log_likelihoods)
    assert (np.diff(history) >= -1e-9).all()
    # Not far from where the truth leads, and no lower.
    again = problem.truth.fit(X, missing="em", tol=1e-6)
    assert result.log_likelihood >= again.log_likelihood - 1e-5
    whole = X[~np.isnan(X).any(axis=1)]
    dropped = problem.truth.fit(X, missing="drop")
    assert dropped.n_obs == len(whole)


def test_a_component_on_few_rows_is_held_and_told():
    """Fifty equal rows: without a bound the likelihood would grow for ever."""
    random = np.random.default_rng(1)
    X = random.normal(size=(400, 2))
    X[:50] = [0.3, 0.4]
    start = FiniteMixture.default_init(X, 2)
    near = start.components[1].replace(
        mu=np.array([0.3, 0.4]), gamma=np.zeros(2), sigma=1e-3 * np.eye(2)
    )
    onto = FiniteMixture([0.8, 0.2], [start.components[0], near])
    result = onto.fit(X)
    assert result.at_bound == (1,) and result.converged
    assert "component 1 at a bound" in result.message
    assert np.isfinite(result.log_likelihood)
    sd = np.sqrt(np.linalg.eigvalsh(result.model.components[1].sigma()))
    assert sd.min() > 1e-4
    wider = onto.fit(X, min_scale=0.1)
    assert wider.log_likelihood < result.log_likelihood
    with pytest.raises(ValueError, match="a bound holds component 1"):
        result.inference(X)


def test_a_start_outside_the_bounds_is_brought_inside():
    random = np.random.default_rng(1)
    X = random.normal(size=(400, 2))
    X[:50] = [0.3, 0.4]

    def part(mu, s):
        return normix.NormalInverseGaussian.from_classical(
            mu=mu, gamma=[0.0, 0.0], sigma=s * np.eye(2), mu_ig=1.0, lam=1.0
        )

    start = FiniteMixture([0.8, 0.2], [part([0.0, 0.0], 1.0), part([0.3, 0.4], 1e-5)])
    result = start.fit(X, min_scale=0.1)
    assert result.converged and result.at_bound == (1,)
    assert np.linalg.eigvalsh(result.model.components[1].sigma()).min() > 1e-3


def test_a_start_below_the_least_shape_is_brought_above():
    X = two_groups(300)
    parts = [
        normix.UnivariateVarianceGamma.from_classical(
            mu=mu, gamma=0.0, sigma=2.0, alpha=0.2, beta=0.2
        )
        for mu in (-3.0, 2.0)
    ]
    result = FiniteMixture([0.4, 0.6], parts).fit(X, track_ll=True)
    assert result.converged
    assert all(float(c.alpha) >= 1 - 1e-12 for c in result.model.components)


@pytest.mark.parametrize("min_scale", [1e-3, 0.03, 0.2])
def test_held_fits_end_at_rest(min_scale):
    random = np.random.default_rng(0)
    z = np.concatenate([random.standard_t(5, 300) - 5, random.standard_t(5, 200) + 5])
    z[:25] = -4.0
    start = FiniteMixture.default_init(z, 3)
    result = start.fit(z, min_scale=min_scale, track_ll=True)
    assert result.converged, result.message
    assert (np.diff(np.asarray(result.log_likelihoods)) >= -1e-9).all()


def test_a_component_without_rows_keeps_the_least_weight():
    X = two_groups(300)
    start = FiniteMixture.default_init(X, 2)
    far = FiniteMixture(
        [0.2, 0.3, 0.5], [start.components[0].affine(1.0, 1e6), *start.components]
    )
    result = far.fit(X)
    assert result.at_bound == (0,)
    assert float(result.model.weights[0]) == pytest.approx(2 / 300, rel=1e-6)


def autodiff_inference(result: Any, X: Any, weights: Any):
    """Estimates and standard errors by the Hessian of the log-likelihood.

    In two dimensions, with two components; by differences of its exact gradient.
    """

    observed = bool(np.isnan(X).any())

    def parts(c):
        for j in range(2):
            v = c[8 * j : 8 * j + 8]
            L = jnp.stack(
                [jnp.stack([jnp.exp(v[4]), 0.0]), jnp.stack([v[5], jnp.exp(v[6])])]
            )
            yield v[:2], v[2:4], L @ L.T, jnp.exp(v[7])

    def loss(c):
        pi = jax.nn.softmax(jnp.append(c[16], 0.0))
        components = [
            normix.NormalInverseGaussian.from_classical(
                mu=mu, gamma=gamma, sigma=sigma, mu_ig=1.0, lam=lam
            )
            for mu, gamma, sigma, lam in parts(c)
        ]
        mixture = FiniteMixture(pi, components)
        of_row = mixture.log_prob_observed if observed else mixture.log_prob
        return -(weights * jax.vmap(of_row)(X)).sum()

    def told(c):
        pi = jax.nn.softmax(jnp.append(c[16], 0.0))
        each = [
            jnp.concatenate([mu, gamma, sigma[np.tril_indices(2)], lam[None]])
            for mu, gamma, sigma, lam in parts(c)
        ]
        return jnp.concatenate([*each, pi])

    at = []
    for model in result.model.components:
        unit = float(model.mu_ig)
        L = np.linalg.cholesky(unit * np.asarray(model.sigma()))
        at += [*model.mu, *(unit * model.gamma)]
        at += [
            np.log(L[0, 0]),
            L[1, 0],
            np.log(L[1, 1]),
            np.log(float(model.lam) / unit),
        ]
    w = np.asarray(result.model.weights)
    c = jnp.array([*at, np.log(w[0] / w[1])])
    gradient, steps = jax.jit(jax.grad(loss)), 1e-4 * np.eye(len(c))
    curved = [(gradient(c + h) - gradient(c - h)) / 2e-4 for h in steps]
    covariance = np.linalg.inv(np.array(curved))
    slopes = np.asarray(jax.jacobian(told)(c))
    return told(c), np.sqrt(np.diagonal(slopes @ covariance @ slopes.T))


@pytest.mark.parametrize(
    "gaps",
    [
        pytest.param(False, marks=pytest.mark.slow),
        pytest.param(True, marks=pytest.mark.exhaustive),
    ],
)
def test_standard_errors_are_those_of_the_hessian(gaps):
    truth = FiniteMixture(
        [0.6, 0.4],
        [
            normix.NormalInverseGaussian.from_classical(
                mu=mu, gamma=gamma, sigma=[[1, 0.3], [0.3, 1]], mu_ig=1.0, lam=0.7
            )
            for mu, gamma in (([0, 0], [0.5, 0]), ([4, 2], [0, -0.5]))
        ],
    )
    X = np.asarray(truth.rvs(300, seed=0)).copy()
    if gaps:
        X[::7, 1] = np.nan
    missing = "em" if gaps else "raise"
    weights = 1.0 + (np.arange(300) % 2)
    result = truth.fit(X, weights=weights, tol=1e-11, missing=missing)
    found = result.inference(X, weights)
    params, bse = autodiff_inference(result, X, weights)
    np.testing.assert_allclose(found.params, params, rtol=1e-10)
    np.testing.assert_allclose(found.bse, bse, rtol=1e-4)
    assert found.names[0] == "0: mu[0]" and found.names[-1] == "weight[1]"
    if not gaps:
        of_weight = found.delta(_first_weight)
        assert float(of_weight.bse) == pytest.approx(found.bse[-2], rel=1e-9)
        sandwich = result.inference(X, weights, "sandwich").bse
        assert (np.abs(np.log(sandwich / found.bse)) < 1).all()


def _first_weight(model):
    return model.weights[0]


def test_interrupted_by_the_keyboard():
    X = two_groups(300)

    def press(at):
        if at.n_iter == 3:
            raise KeyboardInterrupt

    result = FiniteMixture.default_init(X, 2).fit(X, tol=1e-9, callback=press)
    assert result.interrupted and result.n_iter == 3
    assert np.isfinite(result.log_likelihood)


def test_what_is_printed(capsys):
    X = two_groups(300)
    result = FiniteMixture.default_init(X, 2).fit(X, verbose=2)
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) >= 2 + len(np.asarray(result.log_likelihoods))
    assert "2 components, 300 rows" in lines[0] and "converged" in lines[-1]
    assert "2 components" in repr(result) and "weights:" in repr(result)


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"max_iter": 0}, "max_iter"),
        ({"tol": 0.0}, "tol"),
        ({"min_scale": 2.0}, "min_scale"),
        ({"min_rows": 200.0}, "too few"),
        ({"alpha_min": "big"}, "alpha_min"),
        ({"missing": "skip"}, "missing"),
        ({"weights": np.ones(3)}, "weights"),
        ({"verbose": 5}, "verbose"),
    ],
)
def test_bad_options_are_told(options, told):
    X = two_groups(300)
    start = FiniteMixture(
        [0.5, 0.5],
        [
            normix.UnivariateNormalInverseGaussian.from_classical(
                mu=m, gamma=0.0, sigma=1.0, mu_ig=1.0, lam=1.0
            )
            for m in (-3.0, 2.0)
        ],
    )
    with pytest.raises(ValueError, match=told):
        start.fit(X, **options)


def test_not_under_jit():
    X = two_groups(50)
    start = FiniteMixture.default_init(X, 2)
    with pytest.raises(ValueError, match="not under jit"):
        jax.jit(lambda x: start.fit(x).log_likelihood)(jnp.asarray(X))


def test_a_start_on_equal_rows_does_not_fail():
    """More columns than rows, rows three times each: components on one of them."""
    rows = np.random.default_rng(0).uniform(size=(8, 30)).repeat(3, axis=0)
    for key in jax.random.split(jax.random.key(0), 2):
        how = {"factors": 1, "n_starts": 3, "key": key}
        start = FiniteMixture.default_init(rows, 3, "vg", **how)
        result = start.fit(rows, max_iter=20)
        for leaf in jax.tree.leaves((start, result.model)):
            assert np.isfinite(np.asarray(leaf)).all()
        assert np.isfinite(result.log_likelihood)
