"""Efficient portfolios: the least risk for every mean return."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import jax.numpy as jnp
import numpy as np
from jaxtyping import ArrayLike, Float

from normix._arrays import check_count, check_option
from normix.mixtures.multivariate import VectorMixture
from normix.risk.portfolio import MEASURE_NAMES, Portfolio, value_and_gradient

if TYPE_CHECKING:
    import pandas as pd


class Frontier(NamedTuple):
    """Efficient portfolios, from the one of least risk to the one of greatest mean.

    ``weights``: shape ``(n, d)``; ``means`` and ``risks``: shape ``(n,)``, of the
    ``measure`` at its ``level``.
    """

    weights: Float[np.ndarray, "n d"]
    means: Float[np.ndarray, " n"]
    risks: Float[np.ndarray, " n"]
    measure: str
    level: float
    columns: tuple[object, ...]

    def to_frame(self) -> pd.DataFrame:
        """A data frame of pandas: mean, risk and the weights of each portfolio."""
        import pandas as pd

        table = pd.DataFrame(self.weights, columns=list(self.columns))
        table.insert(0, "risk", self.risks)
        table.insert(0, "mean", self.means)
        return table


class _Feasible(NamedTuple):
    """``low <= w <= high``, ``budget`` and ``A w`` between ``least`` and ``most``."""

    low: np.ndarray
    high: np.ndarray
    A: np.ndarray
    least: np.ndarray
    most: np.ndarray


def efficient_frontier(
    model: VectorMixture,
    n: int = 20,
    *,
    measure: str = "expected_shortfall",
    level: float = 0.95,
    bounds: tuple[ArrayLike, ArrayLike] = (0.0, 1.0),
    budget: float = 1.0,
    constraints: Sequence[tuple[ArrayLike, float, float]] = (),
    columns: Sequence[object] | None = None,
) -> Frontier:
    """The portfolios of least risk for ``n`` means, from the least risk of all on.

    - ``model``: the law of the assets' returns.
    - ``measure``, ``level``: as of :meth:`Portfolio.gradient`.
    - ``bounds``: the least and the greatest weight, numbers or of shape ``(d,)``;
      ``(0, 1)`` allows no short sales.
    - ``budget``: the sum of the weights.
    - ``constraints``: triples ``(a, least, most)`` that stand for
      ``least <= aᵀw <= most``, with ``a`` of shape ``(d,)``; ends may be infinite.
    - ``columns``: the names of the assets.

    By sequential quadratic programming (SciPy's SLSQP) with exact gradients; expected
    shortfall is convex in the weights, and so its minimum is the only one.

    **Raises**: ``ValueError`` for constraints that no portfolio meets, and which; other
    measures, levels and shapes; and ``RuntimeError`` where the optimiser fails.

    >>> from normix import NormalInverseGaussian
    >>> from normix.risk import efficient_frontier
    >>> model = NormalInverseGaussian.from_classical(
    ...     mu=[0.1, 0.2], gamma=[0, 0], sigma=[[1, 0], [0, 4]], mu_ig=1, lam=1
    ... )
    >>> frontier = efficient_frontier(model, 3)
    >>> [round(float(w), 3) for w in frontier.weights[-1]]
    [0.0, 1.0]
    """
    check_count("n", n)
    if n < 1:
        raise ValueError("n must be at least 1")
    check_option("measure", measure, MEASURE_NAMES)
    d = model.d
    names = tuple(range(d)) if columns is None else tuple(columns)
    if len(names) != d:
        raise ValueError(f"{len(names)} names of columns for {d} columns")
    feasible = _feasible(d, bounds, budget, constraints)
    start = _some(feasible)
    level_ = Portfolio(model, np.ones(d))._checked(measure, level)
    mean = np.asarray(model.mean(), float)
    scale = float(np.sqrt(np.trace(np.asarray(model.cov())) / d))

    def risk(w: np.ndarray) -> tuple[float, np.ndarray]:
        # In units of a typical deviation, which the optimiser's tolerances are for.
        weights = jnp.asarray(w)
        value, slopes = value_and_gradient(model.joint, weights, level_, measure)
        return float(value) / scale, np.asarray(slopes, float) / scale

    safest = _least(risk, start, feasible, None)
    best = _greatest(mean, feasible)
    targets = np.linspace(mean @ safest, mean @ best, n)
    weights = [safest]
    for k, target in enumerate(targets[1:-1], start=1):
        # Between the last and the one of greatest mean: feasible, and not far.
        rest = (target - mean @ weights[-1]) / (mean @ best - mean @ weights[-1])
        guess = weights[-1] + rest * (best - weights[-1])
        weights.append(_least(risk, guess, feasible, (mean, targets[k])))
    if n > 1:
        weights.append(_least(risk, best, feasible, (mean, targets[-1])))
    every = np.array(weights)
    risks = np.array([risk(w)[0] * scale for w in every])
    return Frontier(every, every @ mean, risks, measure, float(level), names)


def _feasible(d: int, bounds, budget: float, constraints) -> _Feasible:
    low, high = (np.broadcast_to(np.asarray(x, float), (d,)) for x in bounds)
    if (low > high).any():
        k = int(np.argmax(low > high))
        raise ValueError(f"the bounds of weight {k} are {low[k]:g} and {high[k]:g}")
    rows, least, most = [np.ones(d)], [budget], [budget]
    for k, (a, below, above) in enumerate(constraints):
        row = np.asarray(a, float)
        if row.shape != (d,):
            raise ValueError(
                f"constraint {k} must have a vector of shape ({d},), got {row.shape}"
            )
        if not below <= above:
            raise ValueError(f"constraint {k} is between {below:g} and {above:g}")
        rows.append(row)
        least.append(below)
        most.append(above)
    return _Feasible(low, high, np.array(rows), np.array(least), np.array(most))


def _some(feasible: _Feasible) -> np.ndarray:
    """A portfolio that meets all constraints; ``ValueError`` names one that cannot be.

    By a linear programme that makes what is lacking least.
    """
    from scipy import optimize  # here, for a quick import of normix

    low, high, A, least, most = feasible
    m, d = A.shape
    slack = np.hstack([np.eye(m), -np.eye(m)])
    cost = np.append(np.zeros(d), np.ones(2 * m))
    matrix = np.vstack([np.hstack([A, slack]), -np.hstack([A, slack])])
    limit = np.concatenate([most, -least])
    kept = np.isfinite(limit)
    box = [*zip(low, high, strict=True), *[(0, None)] * (2 * m)]
    found = optimize.linprog(cost, matrix[kept], limit[kept], bounds=box)
    if found.x is None:
        raise ValueError(f"no portfolio meets the bounds: {found.message}")
    lacking = np.abs(slack @ found.x[d:])
    if lacking.max() > 1e-9 * max(1.0, np.abs(limit[kept]).max()):
        k = int(lacking.argmax())
        name = "the budget" if k == 0 else f"constraint {k - 1}"
        raise ValueError(
            f"no portfolio meets all constraints: {name} is {lacking[k]:.3g} out of "
            "reach, given the bounds and the others"
        )
    return found.x[:d]


def _greatest(mean: np.ndarray, feasible: _Feasible) -> np.ndarray:
    from scipy import optimize  # here, for a quick import of normix

    low, high, A, least, most = feasible
    matrix, limit = np.vstack([A, -A]), np.concatenate([most, -least])
    kept = np.isfinite(limit)
    box = list(zip(low, high, strict=True))
    found = optimize.linprog(-mean, matrix[kept], limit[kept], bounds=box)
    if found.x is None:
        raise ValueError(
            "the mean has no greatest value: bound the weights on both sides"
        )
    return found.x


def _least(risk: Any, start: np.ndarray, feasible: _Feasible, mean) -> np.ndarray:
    """The portfolio of least risk, of a given mean if one is asked for."""
    from scipy import optimize  # here, for a quick import of normix

    low, high, A, least, most = feasible
    asked = []
    equal = least == most
    rows, values = A[equal], least[equal]
    if mean is not None:
        unit = np.abs(mean[0]).max() or 1.0
        rows = np.vstack([rows, mean[0] / unit])
        values = np.append(values, mean[1] / unit)
    asked.append(
        {"type": "eq", "fun": lambda w: rows @ w - values, "jac": lambda w: rows}
    )
    for sign, ends in ((1.0, -least), (-1.0, most)):
        kept = np.isfinite(ends) & ~equal
        if kept.any():
            part, end = sign * A[kept], ends[kept]
            asked.append(
                {
                    "type": "ineq",
                    "fun": lambda w, part=part, end=end: part @ w + end,
                    "jac": lambda w, part=part: part,
                }
            )
    found = optimize.minimize(
        risk,
        start,
        jac=True,
        method="SLSQP",
        bounds=list(zip(low, high, strict=True)),
        constraints=asked,
        options={"ftol": 1e-11, "maxiter": 300},
    )
    # 8: no further descent can be told from rounding.
    if found.status not in (0, 8):
        raise RuntimeError(f"the optimiser failed: {found.message}")
    return np.clip(found.x, low, high)
