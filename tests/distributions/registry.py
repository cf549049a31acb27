"""One record a distribution: its parameters, and the truth about it.

A new distribution is tested by adding a record to ``ORACLES``; the laws that every
record must obey are in ``test_laws.py``. Laws on (0, ∞) are all within the GIG family:
their truth is one integral, by the trapezoid rule in ``log x``.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
import scipy.stats

from normix import GIG, Gamma, InverseGamma, InverseGaussian, MultivariateNormal

Parameters = dict[str, Any]
_NODES = 4001
_DROP = 45.0  # e^-45 ~ 3e-20


@dataclass(frozen=True)
class Oracle:
    """A distribution and its reference, in NumPy and SciPy alone."""

    name: str
    family: Any
    make: Callable[..., Any]
    """The distribution from keyword parameters; works under ``vmap``."""
    typical: list[Parameters]
    extreme: list[Parameters]
    log_density: Callable[[Parameters, np.ndarray], np.ndarray]
    grid: Callable[[Parameters], tuple[np.ndarray, np.ndarray]]
    """Nodes and weights: ``sum(weights * f)`` is the integral of ``f``, to rounding."""
    statistics: Callable[[np.ndarray], np.ndarray]
    """``t(x)`` of the rows of ``x``."""
    uniforms: Callable[[Parameters, np.ndarray], np.ndarray]
    """Samples mapped so that they are uniform if they are from the law."""
    log_power: Callable[[Parameters, float], float]
    """The logarithm of the integral of the density to a power."""
    unattainable: list[tuple[list[float], str]]
    """Expectations of no member, and the inequality that each violates."""
    gig: Callable[[Parameters], tuple[float, float, float]] | None = None
    """``(p, a, b)`` of the same law as a GIG, of positive laws."""
    scipy: Callable[[Parameters], Any] | None = None
    """SciPy's law, where its tails are right."""

    @property
    def cases(self) -> list[Parameters]:
        return self.typical + self.extreme

    def moments(self, parameters: Parameters):
        """The integral of the density, E[t] and Cov[t]; E[x] and Var[x]."""
        x, weights = self.grid(parameters)
        weights = weights * np.exp(self.log_density(parameters, x))
        t = self.statistics(x)
        eta = weights @ t
        centred = t - eta
        mean = weights @ x
        return (
            weights.sum(),
            eta,
            centred.T @ (weights[:, None] * centred),
            mean,
            weights @ (x - mean) ** 2,
        )


# -- positive laws, by the trapezoid rule in log x ----------------------------------


def _terms(p: float, a: float, b: float) -> tuple[float, float, float]:
    """The mode of the density of log x, and the weights of the terms of ``drop``."""
    root = np.hypot(p, np.sqrt(a) * np.sqrt(b))
    total = root + abs(p)
    rest = a * b / total
    if p >= 0:
        return np.log(total / a), total, rest
    return np.log(b / total), rest, total


def drop(p: float, a: float, b: float, s):
    """How far the log-density of log x at ``s`` is below that at its mode.

    Two terms that are never negative: nothing cancels, however narrow the law.
    """
    mode, plus, minus = _terms(p, a, b)
    u = np.asarray(s) - mode
    with np.errstate(over="ignore", invalid="ignore"):
        right, left = np.expm1(u) - u, np.expm1(-u) + u
        value = 0.5 * np.where(plus > 0, plus * right, 0.0)
        return value + 0.5 * np.where(minus > 0, minus * left, 0.0)


def proper(p: float, a: float, b: float) -> bool:
    return (a > 0 or p < 0) and (b > 0 or p > 0)


@cache
def log_grid(p: float, a: float, b: float, margin: float = 2) -> np.ndarray:
    """Over log x for GIG(p, a, b), to where the density has dropped by e^-45.

    Where it falls faster than any power, by ``margin`` times the distance more, so
    that moments of that order fit; and by a part of its fall where it does not.
    """
    mode = _terms(p, a, b)[0]
    ends = []
    for sign, rate in ((-1, b), (1, a)):
        more = margin if rate > 0 else min(margin, 0.25 * abs(p))
        near, far = 0.0, 1e-6
        while drop(p, a, b, mode + sign * far) <= _DROP + more * far:
            near, far = far, 2 * far
        for _ in range(30):
            middle = 0.5 * (near + far)
            inside = drop(p, a, b, mode + sign * middle) <= _DROP + more * middle
            near, far = (middle, far) if inside else (near, middle)
        ends.append(mode + sign * far)
    return np.linspace(ends[0], ends[1], _NODES)


@cache
def _log_mass(p: float, a: float, b: float) -> float:
    """log ∫ exp(-drop(s)) ds."""
    s = log_grid(p, a, b)
    return float(np.log(np.exp(-drop(p, a, b, s)).sum() * (s[1] - s[0])))


def log_density_of_log(p: float, a: float, b: float, s):
    """Of log X at ``s``, for ``X ~ GIG(p, a, b)``."""
    return -drop(p, a, b, s) - _log_mass(p, a, b)


def log_moment(p: float, a: float, b: float, k: float) -> float:
    """log E[X^k], infinite where there is no such moment."""
    if not proper(p + k, a, b):
        return np.inf
    s = log_grid(p + k, a, b)
    value = k * s + log_density_of_log(p, a, b, s)
    return float(
        value.max() + np.log(np.exp(value - value.max()).sum() * (s[1] - s[0]))
    )


def _positive_oracle(
    gig: Callable[[Parameters], tuple[float, float, float]], **record
) -> Oracle:
    def log_density(q, x):
        s = np.log(x)
        return log_density_of_log(*gig(q), s) - s

    def grid(q):
        s = log_grid(*gig(q))
        return np.exp(s), (s[1] - s[0]) * np.exp(s)

    def uniforms(q, x):
        s = log_grid(*gig(q))
        mass = np.exp(log_density_of_log(*gig(q), s)) * (s[1] - s[0])
        return np.interp(np.log(x), s, np.cumsum(mass) - mass / 2)

    def log_power(q, alpha):
        p, a, b = gig(q)
        at = alpha * (p - 1) + 1, alpha * a, alpha * b
        if not proper(*at):
            return np.inf
        s = log_grid(*at)
        value = alpha * (log_density_of_log(p, a, b, s) - s) + s
        top = value.max()
        return float(top + np.log(np.exp(value - top).sum() * (s[1] - s[0])))

    return Oracle(
        gig=gig,
        log_density=log_density,
        grid=grid,
        uniforms=uniforms,
        log_power=log_power,
        **record,
    )


# -- the normal law, by the trapezoid rule in whitened coordinates -------------------


def _normal_grid(q):
    root = np.linalg.cholesky(np.asarray(q["sigma"]))
    d = len(root)
    axis, step = np.linspace(-10, 10, 61, retstep=True)
    white = np.array(list(itertools.product(axis, repeat=d)))
    volume = step**d * np.prod(np.diag(root))
    return np.asarray(q["mu"]) + white @ root.T, np.full(len(white), volume)


def _normal_uniforms(q, x):
    """Of the squared distance from the mean; the direction is left to the moments."""
    centred = x - np.asarray(q["mu"])
    distance = np.einsum(
        "ni,ij,nj->n", centred, np.linalg.inv(np.asarray(q["sigma"])), centred
    )
    return scipy.stats.chi2(x.shape[1]).cdf(distance)


def _normal_statistics(x):
    return np.concatenate([x, np.einsum("ni,nj->nij", x, x).reshape(len(x), -1)], 1)


def _normal_log_density(q, x):
    return scipy.stats.multivariate_normal(q["mu"], q["sigma"]).logpdf(x)


def _normal_log_power(q, alpha):
    x, weights = _normal_grid(q)  # wide enough for powers from 1/2
    return float(np.log(weights @ np.exp(alpha * _normal_log_density(q, x))))


def _named(names: str, *rows: tuple) -> list[Parameters]:
    return [dict(zip(names.split(), row, strict=True)) for row in rows]


_JENSEN = "-log E[1/X] < E[log X] < log E[X]"

ORACLES = [
    _positive_oracle(
        name="Gamma",
        family=Gamma,
        make=Gamma,
        gig=lambda q: (q["alpha"], 2 * q["beta"], 0.0),
        scipy=lambda q: scipy.stats.gamma(q["alpha"], scale=1 / q["beta"]),
        typical=_named("alpha beta", (2.0, 1.5), (0.7, 0.1), (9.0, 3.0)),
        extreme=_named("alpha beta", (0.1, 1e6), (400.0, 1e-8), (1.0, 1e8)),
        statistics=lambda x: np.stack([np.log(x), x], axis=1),
        unattainable=[
            ([1.0, 2.0], "E[log X] < log E[X]"),
            ([np.log(2.0), 2.0], "E[log X] < log E[X]"),
            ([-1.0, -2.0], "E[log X] < log E[X]"),
        ],
    ),
    _positive_oracle(
        name="InverseGamma",
        family=InverseGamma,
        make=InverseGamma,
        gig=lambda q: (-q["alpha"], 0.0, 2 * q["beta"]),
        scipy=lambda q: scipy.stats.invgamma(q["alpha"], scale=q["beta"]),
        typical=_named("alpha beta", (5.0, 1.5), (4.5, 0.1), (9.0, 3.0)),
        extreme=_named("alpha beta", (400.0, 1e8), (4.0, 1e-8), (50.0, 1e-3)),
        statistics=lambda x: np.stack([-1 / x, np.log(x)], axis=1),
        unattainable=[
            ([-2.0, -1.0], "-log E[1/X] < E[log X]"),
            ([-2.0, -np.log(2.0)], "-log E[1/X] < E[log X]"),
            ([2.0, 1.0], "-log E[1/X] < E[log X]"),
        ],
    ),
    _positive_oracle(
        name="InverseGaussian",
        family=InverseGaussian,
        make=InverseGaussian,
        gig=lambda q: (-0.5, q["lam"] / q["mu"] ** 2, q["lam"]),
        scipy=lambda q: scipy.stats.invgauss(q["mu"] / q["lam"], scale=q["lam"]),
        typical=_named("mu lam", (1.3, 0.7), (2.0, 4.0), (0.5, 8.0)),
        extreme=_named("mu lam", (1e6, 1e4), (1e-6, 1e-3), (3.0, 3e4), (1e-8, 1e-8)),
        statistics=lambda x: np.stack([x, 1 / x], axis=1),
        unattainable=[
            ([0.5, 1.0], "E[X] E[1/X] > 1"),
            ([2.0, 0.5], "E[X] E[1/X] > 1"),
            ([-2.0, -1.0], "E[X] E[1/X] > 1"),
        ],
    ),
    _positive_oracle(
        name="GIG",
        family=GIG,
        make=GIG,
        gig=lambda q: (q["p"], q["a"], q["b"]),
        typical=_named(
            "p a b",
            (-0.7, 0.9, 2.0),
            (1.0, 1.0, 1.0),
            (-0.5, 1.0, 4.0),
            (0.0, 0.5, 0.2),
        ),
        extreme=_named(
            "p a b",
            (0.3, 1e-6, 1e-6),
            (-40.0, 3.0, 2.0),
            (4.0, 1e8, 1e-8),
            (50.0, 1e-4, 1e-8),
            (-50.0, 1e12, 1e-4),
            (2.0, 1e-4, 1e12),
            (3.5, 3.0, 0.0),
            (-4.5, 0.0, 2e4),
            (-2.0, 1e-9, 1e5),
        ),
        statistics=lambda x: np.stack([np.log(x), 1 / x, x], axis=1),
        unattainable=[
            ([3.0, 1.0, 2.0], _JENSEN),
            ([-1.0, 2.0, 2.0], _JENSEN),
            ([0.0, 1.0, 1.0], _JENSEN),
            ([0.0, -1.0, 2.0], _JENSEN),
        ],
    ),
    Oracle(
        name="MultivariateNormal",
        family=MultivariateNormal,
        make=MultivariateNormal.from_classical,
        typical=_named(
            "mu sigma",
            ([1.0, -2.0], [[2.0, 0.3], [0.3, 1.0]]),
            ([0.0, 0.5], [[1.0, -0.8], [-0.8, 1.0]]),
        ),
        extreme=_named(
            "mu sigma",
            ([1e-3, 2e-3], [[1e-6, 0.0], [0.0, 4e-6]]),
            ([10.0, 0.0], [[1e4, 99.0], [99.0, 1.0]]),
        ),
        log_density=_normal_log_density,
        grid=_normal_grid,
        statistics=_normal_statistics,
        uniforms=_normal_uniforms,
        log_power=_normal_log_power,
        unattainable=[
            ([1.0, 1.0, 1.0, 0.0, 0.0, 2.0], "positive definite"),
            ([0.0, 0.0, 1.0, 2.0, 2.0, 1.0], "positive definite"),
        ],
    ),
]
POSITIVE = [oracle for oracle in ORACLES if oracle.gig is not None]
