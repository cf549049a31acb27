"""Gamma, inverse Gaussian and GIG against SciPy, over typical and extreme members."""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.stats

from normix import GIG, Gamma, InverseGaussian


class Oracle(NamedTuple):
    family: Any
    parameters: list[tuple[float, ...]]  # the first is typical, the others extreme
    reference: Any  # parameters -> frozen SciPy law
    unattainable: list[float]
    inequality: str


def geninvgauss(p, a, b):
    if b == 0:
        return scipy.stats.gamma(p, scale=2 / a)
    if a == 0:
        return scipy.stats.invgamma(-p, scale=b / 2)
    return scipy.stats.geninvgauss(p, np.sqrt(a * b), scale=np.sqrt(b / a))


ORACLES = {
    "Gamma": Oracle(
        Gamma,
        [(2.0, 1.5), (0.3, 1e6), (250.0, 1e-4)],
        lambda alpha, beta: scipy.stats.gamma(alpha, scale=1 / beta),
        [1.0, 2.0],
        r"E\[log X\] < log E\[X\]",
    ),
    "InverseGaussian": Oracle(
        InverseGaussian,
        [(1.3, 0.7), (1e-3, 5.0), (40.0, 2.0)],
        lambda mu, lam: scipy.stats.invgauss(mu / lam, scale=lam),
        [0.5, 1.0],
        r"E\[X\] E\[1/X\] > 1",
    ),
    "GIG": Oracle(
        GIG,
        [(-0.7, 0.9, 2.0), (3.0, 4.0, 1e-3), (-9.0, 1.0, 30.0), (2.5, 3.0, 0.0),
         (-3.5, 0.0, 2.0)],
        geninvgauss,
        [3.0, 1.0, 2.0],
        r"-log E\[1/X\] < E\[log X\] < log E\[X\]",
    ),
}  # fmt: skip
MEMBERS = [(name, p) for name, oracle in ORACLES.items() for p in oracle.parameters]


@pytest.fixture(params=MEMBERS, ids=str)
def member(request):
    name, parameters = request.param
    oracle = ORACLES[name]
    return oracle, oracle.family(*parameters), oracle.reference(*parameters)


def test_density_and_moments_are_scipys(member):
    _, law, reference = member
    x = reference.ppf([1e-6, 0.01, 0.3, 0.5, 0.9, 0.99, 1 - 1e-9])
    ours = jax.vmap(law.log_prob)(x)
    np.testing.assert_allclose(ours, reference.logpdf(x), rtol=1e-9, atol=1e-9)
    np.testing.assert_allclose(jax.jit(law.log_prob)(x[2]), ours[2], rtol=1e-13)
    np.testing.assert_allclose(law.pdf(x[3]), reference.pdf(x[3]), rtol=1e-9)
    np.testing.assert_allclose(law.mean(), reference.mean(), rtol=1e-9)
    np.testing.assert_allclose(law.var(), reference.var(), rtol=1e-7)
    np.testing.assert_allclose(law.std(), reference.std(), rtol=1e-7)
    assert float(law.log_prob(-1.0)) == -np.inf


def test_expectation_and_fisher_are_moments_of_the_statistics(member):
    _, law, reference = member
    low, high = np.log(reference.ppf([1e-14, 1 - 1e-14]))
    statistics = jax.jit(law.sufficient_statistics)
    log_prob = jax.jit(law.log_prob)

    # the trapezoid rule in log x, with room for the tails
    grid = np.linspace(low - 8, high + 3, 1501)
    t = np.asarray(jax.vmap(statistics)(np.exp(grid)))
    weights = np.exp(np.asarray(jax.vmap(log_prob)(np.exp(grid))) + grid)
    weights = np.where(np.isfinite(weights), weights, 0) * (grid[1] - grid[0])
    assert weights.sum() == pytest.approx(1, abs=1e-9)
    keep = weights > 0
    eta = (weights[keep, None] * t[keep]).sum(0)
    np.testing.assert_allclose(law.expectation_params(), eta, rtol=2e-7, atol=1e-8)
    spread = t[keep] - eta
    cov = (weights[keep, None] * spread).T @ spread
    scale = np.sqrt(np.outer(np.diag(cov), np.diag(cov)))
    np.testing.assert_allclose(law.fisher_information() / scale, cov / scale, atol=2e-4)


def test_round_trips(member):
    oracle, law, _ = member
    leaves = jax.tree.leaves(law)
    theta = law.natural_params()
    for exact, back in zip(
        leaves, jax.tree.leaves(oracle.family.from_natural(theta)), strict=True
    ):
        np.testing.assert_allclose(back, exact, rtol=1e-12)
    eta = law.expectation_params()
    fitted = oracle.family.from_expectation(eta, theta0=theta)
    scale = np.maximum(np.abs(eta), 1) if oracle.family is GIG else np.abs(eta)
    error = np.abs(fitted.expectation_params() - eta) / scale
    assert error.max() < 1e-10
    # ψ(θ) - θ·η is least at the solution
    best = float(oracle.family.bregman_divergence(theta, eta))
    for step in 0.05 * np.eye(len(theta)):
        for sign in (-1, 1):
            moved = theta * (1 + sign * step)
            assert float(oracle.family.bregman_divergence(moved, eta)) >= best - 1e-9


def test_draws(member):
    _, law, reference = member
    x = np.asarray(law.rvs(20_000, seed=7))
    assert scipy.stats.kstest(x, reference.cdf).pvalue > 1e-3
    np.testing.assert_array_equal(law.rvs(20_000, key=jax.random.key(7)), x)
    assert not np.array_equal(law.rvs(20_000, seed=8), x)
    several = jax.vmap(lambda k: law.rvs(50, key=k))(
        jax.random.split(jax.random.key(0), 3)
    )
    assert np.isfinite(several).all() and np.unique(several).size == 150


@pytest.mark.parametrize("name", ORACLES)
def test_maximum_likelihood(name):
    oracle = ORACLES[name]
    law = oracle.family(*oracle.parameters[0])
    x = law.rvs(3000, seed=1)
    eta = jax.vmap(oracle.family.sufficient_statistics)(x).mean(0)
    fitted = oracle.family.fit_mle(x)
    np.testing.assert_allclose(fitted.expectation_params(), eta, rtol=1e-10)
    warm = law.fit(x)
    np.testing.assert_allclose(
        warm.natural_params(), fitted.natural_params(), rtol=1e-8
    )
    total = jax.vmap(fitted.log_prob)(x).sum()
    assert float(total) >= float(jax.vmap(law.log_prob)(x).sum())
    # vmap = loop, and the implicit derivative is the inverse Fisher information
    many = jax.vmap(oracle.family.from_expectation)(jnp.stack([eta, eta * 1.0]))
    for leaf, one in zip(jax.tree.leaves(many), jax.tree.leaves(fitted), strict=True):
        np.testing.assert_allclose(leaf[1], one, rtol=1e-10)
    slope = jax.jacobian(lambda e: oracle.family.from_expectation(e).natural_params())(
        eta
    )
    unit = slope @ fitted.fisher_information()
    np.testing.assert_allclose(unit, np.eye(len(eta)), atol=1e-8)


@pytest.mark.parametrize("backend", ["jax", "cpu"])
@pytest.mark.parametrize("method", ["newton", "lbfgs", "bfgs"])
def test_gig_solvers_agree(backend, method):
    law = GIG(-0.7, 0.9, 2.0)
    eta = law.expectation_params(backend=backend)
    fitted = GIG.from_expectation(eta, backend=backend, method=method)
    best = float(GIG.bregman_divergence(law.natural_params(), eta))
    reached = float(GIG.bregman_divergence(fitted.natural_params(), eta))
    assert reached == pytest.approx(best, abs=1e-9)


def test_gig_batch_and_backends():
    p, a, b = np.array([-0.7, 3.0, 0.5]), np.array([0.9, 4.0, 2.0]), 2.0
    ours = GIG.expectation_params_batch(p, a, b)
    for row, member in zip(ours, zip(p, a, strict=True), strict=True):
        law = geninvgauss(member[0], member[1], b)
        assert float(row[2]) == pytest.approx(law.mean(), rel=1e-9)
        inverse = geninvgauss(-member[0], b, member[1])
        assert float(row[1]) == pytest.approx(inverse.mean(), rel=1e-9)
    host = GIG.expectation_params_batch(p, a, b, backend="cpu")
    np.testing.assert_allclose(host, ours, rtol=1e-9, atol=1e-10)
    fisher = GIG(-0.7, 0.9, 2.0).fisher_information(backend="cpu")
    np.testing.assert_allclose(
        fisher, GIG(-0.7, 0.9, 2.0).fisher_information(), rtol=1e-8
    )


def test_single_precision():
    for oracle in ORACLES.values():
        parameters = [jnp.float32(v) for v in oracle.parameters[0]]
        law = oracle.family(*parameters)
        double = oracle.family(*map(float, parameters))
        eta = law.expectation_params()
        assert eta.dtype == jnp.float32
        np.testing.assert_allclose(
            eta, double.expectation_params(), rtol=2e-5, atol=1e-6
        )
        assert law.rvs(5).dtype == jnp.float32


@pytest.mark.parametrize("name", ORACLES)
def test_refusals(name):
    oracle = ORACLES[name]
    with pytest.raises(ValueError, match=oracle.inequality):
        oracle.family.from_expectation(np.array(oracle.unattainable))
    flagged = jax.jit(oracle.family.from_expectation)(np.array(oracle.unattainable))
    assert any(bool(jnp.isnan(leaf)) for leaf in jax.tree.leaves(flagged))
    with pytest.raises(ValueError, match="method must be one of 'newton'"):
        oracle.family.from_expectation(np.ones(3), method="simplex")
    with pytest.raises(
        ValueError, match="2 NaN or infinite values, the first in row 1"
    ):
        oracle.family.fit_mle(np.array([1.0, np.nan, np.inf]))
    with pytest.raises(ValueError, match=r"must be positive, got -2\.0 in row 1"):
        oracle.family.fit_mle(np.array([1.0, -2.0]))
    with pytest.raises(ValueError, match=r"shape \(n,\)"):
        oracle.family.fit_mle(np.ones((3, 2)))
    with pytest.raises(ValueError, match="backend must be one of"):
        oracle.family(*oracle.parameters[0]).expectation_params(backend="gpu")


def test_parameters_out_of_range():
    with pytest.raises(ValueError, match="beta must be positive, got -1"):
        Gamma(alpha=1.0, beta=-1.0)
    with pytest.raises(ValueError, match="lam must be positive"):
        InverseGaussian(mu=1.0, lam=0.0)
    with pytest.raises(ValueError, match="a must not be negative"):
        GIG(p=1.0, a=-1.0, b=1.0)
    with pytest.raises(ValueError, match="b = 0 needs p > 0"):
        GIG(p=-1.0, a=1.0, b=0.0)
