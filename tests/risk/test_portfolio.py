# pyright: reportArgumentType=false, reportAttributeAccessIssue=false
"""Portfolios and efficient frontiers."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import optimize

import normix
from normix.risk import Portfolio, efficient_frontier

MODEL = normix.NormalInverseGaussian.from_classical(
    mu=np.array([0.02, 0.05, 0.01]),
    gamma=np.array([0.05, -0.1, 0.02]),
    sigma=np.array([[1.0, 0.4, 0.2], [0.4, 2.0, 0.3], [0.2, 0.3, 0.5]]),
    mu_ig=1.0,
    lam=1.2,
)
W = np.array([0.5, 0.2, 0.3])
CHOSEN = "expected_shortfall"
MEASURES = ("value_at_risk", "expected_shortfall", "expectile", "standard_deviation")


def value(portfolio: Portfolio, measure: str):
    if measure == "standard_deviation":
        return portfolio.standard_deviation()
    return getattr(portfolio, measure)(0.99)


@pytest.mark.parametrize(
    "measure",
    [
        pytest.param(name, marks=pytest.mark.exhaustive if name == "expectile" else ())
        for name in MEASURES
    ],
)
def test_contributions_sum_to_the_measure(measure):
    portfolio = Portfolio(MODEL, W)
    parts = portfolio.contributions(measure, 0.99)
    np.testing.assert_allclose(parts.sum(), value(portfolio, measure), rtol=1e-12)


def test_moments_are_those_of_what_is_held():
    """A column without a weight may have no variance, or no mean."""
    portfolio = Portfolio(MODEL, W)
    np.testing.assert_allclose(portfolio.mean(), W @ MODEL.mean(), rtol=1e-12)
    deviation = np.sqrt(W @ MODEL.cov() @ W)
    np.testing.assert_allclose(portfolio.standard_deviation(), deviation, rtol=1e-12)
    for alpha in (1.5, 0.9):  # of the first column the variance is infinite at 0.9
        skewed = normix.NormalInverseGamma.from_classical(
            mu=np.array([0.3, 0]),
            gamma=np.array([0, 0.1]),
            sigma=np.eye(2),
            alpha=alpha,
            beta=1,
        )
        held = Portfolio(skewed, [2.0, 0])
        assert held.mean() == pytest.approx(0.6)
        second = 4 / (alpha - 1) if alpha > 1 else np.inf  # E[Y] = 1/(alpha - 1)
        assert held.standard_deviation() == pytest.approx(np.sqrt(second))


@pytest.mark.slow
@pytest.mark.parametrize(
    "measure",
    [
        pytest.param(name, marks=() if name == CHOSEN else pytest.mark.exhaustive)
        for name in MEASURES
    ],
)
def test_derivatives(measure):
    portfolio = Portfolio(MODEL, W)
    slopes, second = portfolio.gradient(measure), portfolio.hessian(measure)
    h = 1e-4
    for k, step in enumerate(h * np.eye(3)):
        ends = [value(Portfolio(MODEL, W + s * step), measure) for s in (1, -1)]
        np.testing.assert_allclose(slopes[k], (ends[0] - ends[1]) / (2 * h), rtol=1e-7)
        ends = [Portfolio(MODEL, W + s * step).gradient(measure) for s in (1, -1)]
        np.testing.assert_allclose(
            second[k], (ends[0] - ends[1]) / (2 * h), rtol=1e-6, atol=1e-7
        )
    # Homogeneous of degree 1.
    np.testing.assert_allclose(second @ W, 0, atol=1e-11)


def test_a_portfolio_is_its_law():
    portfolio = Portfolio(MODEL, {"b": 0.4, "c": 0.6}, columns=["a", "b", "c"])
    np.testing.assert_array_equal(portfolio.weights, [0, 0.4, 0.6])
    law = MODEL.project(portfolio.weights)
    np.testing.assert_allclose(portfolio.mean(), law.mean(), rtol=1e-13)
    np.testing.assert_allclose(portfolio.standard_deviation(), law.std(), rtol=1e-13)
    for one, two in (
        (portfolio.partial_moment(0.1), law.partial_moment(0.1)),
        (portfolio.omega(0.1), law.omega(0.1)),
        (portfolio.expected_shortfall(0.9), law.expected_shortfall(0.9)),
    ):
        np.testing.assert_allclose(one, two, rtol=1e-14)
    draws = np.asarray(MODEL.rvs(400_000, 1)) @ np.asarray(portfolio.weights)
    worst = -np.sort(draws)[: len(draws) // 100]
    error = worst.std() / np.sqrt(len(worst))
    assert abs(portfolio.expected_shortfall(0.99) - worst.mean()) < 5 * error


@pytest.mark.slow
def test_derivatives_through_a_portfolio():
    def risk(w):
        return Portfolio(MODEL, w).expected_shortfall(0.99)

    slopes = jax.jit(jax.grad(risk))(jnp.asarray(W))
    np.testing.assert_allclose(slopes, Portfolio(MODEL, W).gradient(), rtol=1e-9)


def test_frontier_against_another_optimiser():
    frontier = efficient_frontier(MODEL, 5, level=0.95)
    assert (np.diff(frontier.means) > 0).all() and (np.diff(frontier.risks) > 0).all()
    np.testing.assert_allclose(frontier.weights.sum(axis=1), 1, atol=1e-9)
    assert frontier.weights.min() >= 0
    mean = np.asarray(MODEL.mean())
    for w, target, risk in zip(
        frontier.weights, frontier.means, frontier.risks, strict=True
    ):
        np.testing.assert_allclose(w @ mean, target, rtol=1e-9)
        law = MODEL.project(w)
        np.testing.assert_allclose(risk, law.expected_shortfall(0.95), rtol=1e-12)
    # Of three assets with a budget and a mean one number is left: a scan.
    for k in (1, 3):
        target = frontier.means[k]
        basis = np.array([np.ones(3), mean])
        free = np.cross(basis[0], basis[1])
        at = np.linalg.lstsq(basis, np.array([1.0, target]), rcond=None)[0]

        def risk_at(t, at=at, free=free):
            w = at + t * free / np.linalg.norm(free)
            if w.min() < -1e-12:
                return 1e3 - 1e3 * w.min()
            return float(Portfolio(MODEL, w).expected_shortfall(0.95))

        scan = np.linspace(-2, 2, 81)
        best = scan[int(np.argmin([risk_at(t) for t in scan]))]
        found = optimize.minimize_scalar(
            risk_at, bounds=(best - 0.05, best + 0.05), options={"xatol": 1e-9}
        )
        assert frontier.risks[k] <= found.fun * (1 + 1e-9)


def test_frontier_constraints():
    limits = [([1, 0, 0], 0.2, np.inf), ([0, 1, 1], -np.inf, 0.7)]
    frontier = efficient_frontier(
        MODEL, 4, bounds=(-0.2, [0.8, 0.6, 1.0]), constraints=limits, columns="abc"
    )
    w = frontier.weights
    assert (w[:, 0] >= 0.3 - 1e-9).all() and (w[:, 1:].sum(axis=1) <= 0.7 + 1e-9).all()
    assert (w <= np.array([0.8, 0.6, 1.0]) + 1e-12).all() and w.min() >= -0.2 - 1e-12
    table = frontier.to_frame()
    assert list(table.columns) == ["mean", "risk", "a", "b", "c"]


def test_bad_input():
    with pytest.raises(ValueError, match=r"weights must have shape \(3,\)"):
        Portfolio(MODEL, [0.5, 0.5])
    with pytest.raises(ValueError, match="unknown column 'z'"):
        Portfolio(MODEL, {"z": 1.0}, columns=["a", "b", "c"])
    with pytest.raises(ValueError, match="not all 0"):
        Portfolio(MODEL, [0.0, 0.0, 0.0])
    with pytest.raises(ValueError, match="a portfolio needs a multivariate mixture"):
        Portfolio(MODEL.project(W), [1.0])
    with pytest.raises(ValueError, match="measure must be one of"):
        Portfolio(MODEL, W).gradient("variance")
    with pytest.raises(ValueError, match="between 0 and 1"):
        Portfolio(MODEL, W).gradient("expected_shortfall", 1.2)
    heavy = normix.NormalInverseGamma.from_classical(
        mu=np.zeros(3), gamma=-np.ones(3), sigma=np.eye(3), alpha=0.9, beta=1.0
    )
    with pytest.raises(ValueError, match="the losses of this law have no mean"):
        Portfolio(heavy, W).contributions()
    with pytest.raises(ValueError, match="the budget is 0.7 out of reach"):
        efficient_frontier(MODEL, bounds=(0, 0.1))
    with pytest.raises(ValueError, match="constraint 0 is 0.4 out of reach"):
        efficient_frontier(
            MODEL, constraints=[([1, 0, 0], 0.6, 1), ([1, 0, 0], 0, 0.2)]
        )
    with pytest.raises(ValueError, match="the bounds of weight 0 are 1 and 0"):
        efficient_frontier(MODEL, bounds=(1, 0))
    with pytest.raises(ValueError, match="bound the weights on both sides"):
        efficient_frontier(MODEL, bounds=(-np.inf, np.inf))
