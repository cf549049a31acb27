"""Densities, tails and quantiles of univariate mixtures against mpmath.

Laws are drawn from nearly normal (shapes to 1e8) to nearly improper (shapes of 0.05),
skewness from none to 1e4 standard deviations, locations and scales over 1e±8. Relative
to a probability all is to hold to 1e-10, or to its logarithm if that is larger, beyond
what rounding of the standardised argument moves it by.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from mpmath import mp, mpf

import normix

from . import make_against_mpmath_reference as reference

EPS = np.finfo(float).eps
LARGEST = np.finfo(float).max
TOLERANCE = 1e-10
FAR = 1e290  # divided by the smallest scales, still a number
Values = np.ndarray[Any, np.dtype[np.float64]]

families = pytest.mark.parametrize("family", reference.MIXING)


@cache
def program(family: str, f: Callable[..., Any]) -> Callable[..., Any]:
    """``f(law, argument, ...)`` for stacked parameters."""
    names = reference.MIXING[family]
    form: Any = getattr(normix, f"Univariate{family}")

    def one(mu, gamma, sigma, mixing, *rest):
        parts = dict(zip(names, mixing, strict=True))
        return f(form.from_classical(mu=mu, gamma=gamma, sigma=sigma, **parts), *rest)

    return jax.jit(jax.vmap(one))


def evaluate(
    points: list[reference.Point], f: Callable[..., Any], *arguments: Values
) -> Any:
    """``f(law, argument, ...)`` at every point."""
    normal = [jnp.array([p[k] for p in points]) for k in (1, 2, 3)]
    mixing = tuple(jnp.array([p.mixing for p in points]).T)
    run = program(points[0].family, f)
    return jax.tree.map(np.asarray, run(*normal, mixing, *map(jnp.asarray, arguments)))


def log_density(law: Any, x: Any) -> Any:
    return law.log_prob(x)


def log_tails(law: Any, x: Any) -> Any:
    return law.logcdf(x), law.logsf(x), law.cdf(x), law.sf(x)


def quantiles(law: Any, lower: Any, upper: Any) -> Any:
    return law.ppf(lower), law.isf(upper)


def xs(points: list[reference.Point]) -> Values:
    return np.array([p.x for p in points])


def report(error: Values, allowed: Values, points: list[reference.Point]) -> None:
    bad = ~(error <= allowed)
    assert not bad.any(), [(points[k], error[k], allowed[k]) for k in bad.nonzero()[0]]


# -- densities -----------------------------------------------------------------------


@cache
def scattered(family: str) -> list[reference.Point]:
    return reference.points(family, reference.DENSITIES, 300.0)


@families
def test_density(family: str) -> None:
    """Out to 1e300, where a logarithm may be too large to be represented."""
    points = scattered(family)
    got = evaluate(points, log_density, xs(points))
    error, allowed = np.zeros(len(points)), np.full(len(points), TOLERANCE)
    with mp.workdps(reference.DPS):
        for k, point in enumerate(points):
            law, gap = reference.law_of(point), mpf(point.x) - mpf(point.mu)
            want = reference.log_density(law, gap)
            size = max(mpf(1), abs(want))
            if size > LARGEST or mp.isinf(want):
                error[k] = 0.0 if got[k] == float(want) else np.inf
                continue
            error[k] = abs(mpf(float(got[k])) - want) / size
            allowed[k] += 2 * EPS * abs(reference.elasticity(law, gap)) / size
    report(error, allowed, points)


# -- tails ---------------------------------------------------------------------------


@cache
def known(family: str) -> tuple[list[reference.Point], dict[str, Values]]:
    """The rows of the file, repeated: one shape to compile for."""
    rows = [row for row in reference.read() if row[0].family == family]
    rows = [rows[k % len(rows)] for k in range(reference.DENSITIES)]
    values = {c: np.array([v[c] for _, v in rows]) for c in reference.COLUMNS}
    return [p for p, _ in rows], values


def steepness(points: list[reference.Point], values: dict[str, Values]) -> Values:
    """Of the logarithm of the smaller tail: density by probability."""
    smaller = np.minimum(values["log_cdf"], values["log_sf"])
    return np.exp(values["log_pdf"] - smaller)


@pytest.mark.slow
@families
def test_tails(family: str) -> None:
    points, values = known(family)
    log_cdf, log_sf, cdf, sf = evaluate(points, log_tails, xs(points))
    smaller = np.minimum(values["log_cdf"], values["log_sf"])
    gap = np.abs(xs(points) - np.array([p.mu for p in points]))
    rounding = 2 * EPS * gap * steepness(points, values)
    size = np.maximum(1.0, np.abs(smaller))
    allowed = TOLERANCE + rounding / size
    report(np.abs(np.minimum(log_cdf, log_sf) - smaller) / size, allowed, points)
    # The larger is 1 less the smaller, to as many digits.
    some = smaller > -650
    for logarithm, probability, name in (
        (log_cdf, cdf, "log_cdf"),
        (log_sf, sf, "log_sf"),
    ):
        want = np.where(some, values[name], -1.0)
        error = np.where(some, np.abs(logarithm / want - 1), 0.0)
        report(error, allowed * size, points)
        error = np.where(some, np.abs(probability / np.exp(want) - 1), 0.0)
        report(error, allowed * size, points)


@pytest.mark.slow
@families
def test_quantiles(family: str) -> None:
    """They find the points again, in units of the probability beyond."""
    points, values = known(family)
    smaller = np.minimum(values["log_cdf"], values["log_sf"])
    upper = values["log_sf"] < values["log_cdf"]
    q = [np.exp(values[name]) for name in ("log_cdf", "log_sf")]
    found = evaluate(points, quantiles, *q)
    x, mu = xs(points), np.array([p.mu for p in points])
    steep = steepness(points, values)
    rounding = 2 * EPS * (np.abs(x) + np.abs(mu) + np.abs(x - mu)) * steep
    allowed = TOLERANCE + EPS * np.abs(smaller) + rounding
    some = smaller > -690
    near, far = np.where(upper, found[::-1], found)
    report(np.where(some, np.abs(near - x) * steep, 0.0), allowed, points)
    # From the larger probability, which has few digits of the smaller.
    some = smaller > np.log(1e-6)
    lost = 2 * EPS * np.exp(np.where(some, -smaller, 0.0))
    report(np.where(some, np.abs(far - x) * steep, 0.0), allowed + lost, points)


@pytest.mark.slow
@families
def test_round_trip(family: str) -> None:
    """Probabilities down to 1e-300, of tails too far to be integrated as well."""
    points = scattered(family)
    log_cdf, log_sf, cdf, sf = evaluate(points, log_tails, xs(points))
    assert not np.isnan(log_cdf).any() and not np.isnan(log_sf).any()
    np.testing.assert_allclose(cdf + sf, 1, rtol=1e-14)
    q = 10 ** np.linspace(-300, -0.4, len(points))
    mu = np.array([p.mu for p in points])
    for k, x in enumerate(evaluate(points, quantiles, q, q)):
        sign = 1 if k else -1
        at_end = evaluate(points, log_tails, np.full(len(points), sign * FAR))[k]
        some = at_end < np.log(q)  # else the quantile is beyond
        assert some.sum() >= 0.8 * len(points)
        assert np.isfinite(x[some]).all()
        x = np.where(some, x, mu)
        # Between the probabilities at neighbours of x.
        step = 2 * EPS * (np.abs(x) + np.abs(mu))
        less = evaluate(points, log_tails, x + sign * step)[k]
        more = evaluate(points, log_tails, x - sign * step)[k]
        error = np.maximum(less - np.log(q), np.log(q) - more)
        error = np.where(some, error, 0.0)
        report(error, TOLERANCE + EPS * np.abs(np.log(q)), points)
