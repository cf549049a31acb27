"""Risk: efficient frontiers beside Monte Carlo, and backtests.

The frontier of ten stocks, twenty means, against two Monte Carlo ways: the linear
programme of Rockafellar & Uryasev (J. Risk 2, 2000), and descent on the sample's
expected shortfall with its exact gradient, also on a million draws as a check.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable

import jax
import numpy as np
from scipy import optimize, sparse

import normix
from benchmarks.timing import Row
from normix.datasets import load_sp500_returns
from normix.risk import Frontier, Portfolio, backtest, efficient_frontier

LEVEL, POINTS, DRAWS, CHECK = 0.95, 20, 100_000, 1_000_000


def _seconds(function: Callable[[], object], rounds: int = 5) -> float:
    """The median of some runs, after one that does not count."""
    function()
    times = []
    for _ in range(rounds):
        begin = time.perf_counter()
        function()
        times.append(time.perf_counter() - begin)
    return statistics.median(times)


def _sample_shortfall(X: np.ndarray, w: np.ndarray) -> tuple[float, np.ndarray]:
    """Of a sample, and its gradient."""
    losses = -X @ w
    count = round(len(X) * (1 - LEVEL))
    worst = np.argpartition(losses, len(X) - count)[-count:]
    return float(losses[worst].mean()), -X[worst].mean(axis=0)


def _by_descent(X: np.ndarray, mean: np.ndarray, target: float, start) -> np.ndarray:
    """The weights of least shortfall of a sample, for one mean."""
    scale = float(X.std())
    rows = np.stack([np.ones(len(mean)), mean / np.abs(mean).max()])
    values = np.array([1.0, target / np.abs(mean).max()])

    def risk(w):
        value, slope = _sample_shortfall(X, w)
        return value / scale, slope / scale

    found = optimize.minimize(
        risk,
        start,
        jac=True,
        method="SLSQP",
        bounds=[(0, 1)] * len(mean),
        constraints=[
            {"type": "eq", "fun": lambda w: rows @ w - values, "jac": lambda w: rows}
        ],
        options={"ftol": 1e-9, "maxiter": 100},
    )
    return found.x


def _by_programme(X: np.ndarray, mean: np.ndarray, target: float) -> np.ndarray:
    """The same by the linear programme in weights, quantile and excesses."""
    n, d = X.shape
    cost = np.concatenate([np.zeros(d), [1.0], np.full(n, 1 / (n * (1 - LEVEL)))])
    excess = sparse.hstack([-X, -np.ones((n, 1)), -sparse.eye(n)], format="csc")
    zeros = np.zeros(n + 1)
    equal = np.stack([np.append(np.ones(d), zeros), np.append(mean, zeros)])
    found = optimize.linprog(
        cost,
        A_ub=excess,
        b_ub=np.zeros(n),
        A_eq=equal,
        b_eq=[1.0, target],
        bounds=[(0, 1)] * d + [(None, None)] + [(0, None)] * n,
        method="highs-ipm",
    )
    return found.x[:d]


def _above(model, frontier: Frontier, draws: np.ndarray) -> tuple[float, float]:
    """How far the frontier is above that of descent on a sample, in standard errors of
    the sample's shortfall, and by the exact one, relatively; the worst of all points.
    """
    mean = np.asarray(model.mean())
    errors, exact = [], []
    for w, target in zip(frontier.weights, frontier.means, strict=True):
        other = _by_descent(draws, mean, target, w)
        losses = -draws @ w
        worst = np.sort(losses)[-round(len(draws) * (1 - LEVEL)) :]
        # Its variance: of the tail's mean, and of the tail's weight.
        spread = worst.var() + LEVEL * (worst.mean() - worst[0]) ** 2
        error = np.sqrt(spread / len(worst))
        gap = _sample_shortfall(draws, w)[0] - _sample_shortfall(draws, other)[0]
        errors.append(gap / error)
        ours, theirs = (
            float(Portfolio(model, v).expected_shortfall(LEVEL)) for v in (w, other)
        )
        exact.append(ours / theirs - 1)
    return max(errors), max(exact)


def frontiers() -> list[Row]:
    """Ten stocks, a normal inverse Gaussian law."""
    X = np.asarray(load_sp500_returns().values)
    model = normix.NormalInverseGaussian.default_init(X).fit(X).model
    mean = np.asarray(model.mean())

    def ours() -> Frontier:
        return efficient_frontier(model, POINTS, level=LEVEL)

    found, seconds = ours(), _seconds(ours)
    draws = np.asarray(model.rvs(DRAWS, key=jax.random.key(1)))

    def descents() -> None:
        sample = np.asarray(model.rvs(DRAWS, key=jax.random.key(2)))
        for w, target in zip(found.weights, found.means, strict=True):
            _by_descent(sample, mean, target, w * 0 + 0.1)

    def programme() -> None:
        _by_programme(draws, mean, float(found.means[POINTS // 2]))

    descent = _seconds(descents, rounds=3)
    begin = time.perf_counter()
    programme()
    whole = POINTS * (time.perf_counter() - begin)
    check = np.asarray(model.rvs(CHECK, key=jax.random.key(3)))
    errors, exact = _above(model, found, check)
    title = f"mean-shortfall frontier, 10 stocks, {POINTS} points"
    return [
        Row(
            title,
            seconds,
            "linear programme",
            whole,
            note=f"of {DRAWS:,} draws, {POINTS} times the time of one point; target 20",
        ),
        Row(title, seconds, "descent", descent, note=f"on {DRAWS:,} draws"),
        Row(
            "above descent on 1e6 draws",
            seconds,
            note=f"{errors:.2f} standard errors of the sample's shortfall at most; by "
            f"the exact shortfall {exact:.1e}, relatively",
        ),
    ]


def backtests() -> list[Row]:
    """1,000 fits of a year in four columns, each from the one before."""
    X = np.asarray(load_sp500_returns().values)[:1250, :4]
    rows = []
    for family in (normix.NormalInverseGaussian, normix.GeneralizedHyperbolic):
        start = family.default_init(X[:250])
        found = backtest(start, X)

        def again(start=start):
            return backtest(start, X)

        converged = (found.outcomes == normix.Outcome.CONVERGED).sum()
        rows.append(
            Row(
                f"backtest, 1,000 fits of 250 x 4, {family.__name__}",
                _seconds(again, rounds=3),
                note=f"{converged} converged; target 20 s",
            )
        )
        begin = time.perf_counter()
        str(again())
        rows.append(
            Row(
                f"the same with its tests at three levels, {family.__name__}",
                time.perf_counter() - begin,
                note="the first summary, compiling included",
            )
        )
    return rows


def run() -> list[Row]:
    """All of the suite."""
    return [*frontiers(), *backtests()]
