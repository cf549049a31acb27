"""Mahalanobis distances, and the law that they have under a model."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import ArrayLike, Float

from normix.diagnostics._chi_squared import noncentral_tails
from normix.diagnostics._grid import nodes_of
from normix.diagnostics._rows import Whitened, rows_of, whitened
from normix.distributions import MultivariateNormal
from normix.mixtures.marginal import MarginalMixture


class DistanceLaw(NamedTuple):
    r"""The law of :math:`Q = (X - \mu)^\top\Sigma^{-1}(X - \mu)`.

    Given Y, ``Q/Y`` is noncentral chi-squared with ``d`` degrees of freedom and the
    noncentrality ``skew Y``, where ``skew`` is :math:`\gamma^\top\Sigma^{-1}\gamma`;
    ``gig`` holds ``(p, a, b)`` of Y, None where Y is 1.
    """

    d: int
    skew: float
    gig: tuple[float, float, float] | None

    def cdf(self, q: Float[ArrayLike, "..."]) -> Float[np.ndarray, "..."]:
        """``P(Q <= q)``, elementwise."""
        return self._tails(q)[0]

    def sf(self, q: Float[ArrayLike, "..."]) -> Float[np.ndarray, "..."]:
        """``P(Q > q)``, elementwise, without the cancellation of 1 - cdf."""
        return self._tails(q)[1]

    def ppf(self, u: Float[ArrayLike, "..."]) -> Float[np.ndarray, "..."]:
        """``q`` with ``P(Q <= q) = u``, elementwise; NaN outside [0, 1]."""
        from scipy import optimize  # here, for a quick import of normix

        def one(u: float) -> float:
            if not 0 < u < 1:
                return {0.0: 0.0, 1.0: np.inf}.get(u, np.nan)

            def excess(log_q: float) -> float:
                lower, upper = self._tails(math.exp(log_q))
                return float(lower - u if u < 0.5 else (1 - u) - upper)

            low = high = 0.0
            while excess(low) > 0:
                low -= 4.0
            while excess(high) < 0:
                high += 4.0
            root: Any = optimize.brentq(excess, low, high, xtol=1e-13)
            return math.exp(root)

        found = np.array([one(x) for x in np.ravel(np.asarray(u, float))])
        return found.reshape(np.shape(u))

    def _tails(self, q: Any) -> tuple[np.ndarray, np.ndarray]:
        shape, q = np.shape(q), np.ravel(np.asarray(q, float))
        lower, upper = np.empty(q.shape), np.empty(q.shape)
        if self.gig is None:
            one = np.full(1, self.skew)
            lower, upper = noncentral_tails(q[:, None], self.d, one)
        else:
            p, a, b = self.gig
            for rows, y, w in nodes_of(p, a, np.full(q.shape, b), self.skew, q):
                given = q[rows, None] / y
                below, above = noncentral_tails(given, self.d, self.skew * y)
                lower[rows], upper[rows] = (w * below).sum(1), (w * above).sum(1)
        return lower.reshape(shape), upper.reshape(shape)


class Distances(NamedTuple):
    """Squared distances of observations from a law's location.

    - ``values``: shape ``(n,)``.
    - ``pvalues``: under the model, the probability of a greater one; small for
      outliers, and uniform where the model is right. Of a row with missing entries both
      are of the columns it has.
    - ``law``: that of the values of rows without missing entries.
    """

    values: Float[np.ndarray, " n"]
    pvalues: Float[np.ndarray, " n"]
    law: DistanceLaw


def mahalanobis(model: Any, X: Float[ArrayLike, "n d"]) -> Distances:
    r"""The squared distances :math:`(x - \mu)^\top\Sigma^{-1}(x - \mu)`, and their law.

    - ``model``: a mixture, or a ``MultivariateNormal``, of which these are
      Mahalanobis's own.
    - ``X``: observations, shape ``(n, d)``, or ``(n,)`` for a univariate model; NaN
      marks missing entries.

    The distribution function is a sum over the mixing variable, by the trapezoid rule.
    Not under ``jit``.

    **Raises**: ``ValueError`` for another model, and data that do not fit it.

    >>> from normix import NormalInverseGaussian
    >>> from normix.diagnostics import mahalanobis
    >>> model = NormalInverseGaussian.from_classical(
    ...     mu=[0, 0], gamma=[0, 0], sigma=[[1, 0], [0, 4]], mu_ig=1, lam=1)
    >>> found = mahalanobis(model, [[0.0, 0.0], [3.0, 8.0]])
    >>> found.values.tolist()
    [0.0, 25.0]
    >>> bool(found.pvalues[1] < 0.01)
    True
    """
    if not isinstance(model, MarginalMixture | MultivariateNormal):
        raise ValueError(
            "distances need a mixture or a MultivariateNormal, got a "
            f"{type(model).__name__}"
        )
    rows = rows_of(model, X, missing=True)
    n, d = rows.shape
    values, pvalues = np.full(n, np.nan), np.full(n, np.nan)
    for group in whitened(model, rows):
        values[group.rows] = q = (group.e**2).sum(axis=1)
        pvalues[group.rows] = _law(group).sf(q)
    (complete,) = whitened(model, np.zeros((1, d)))
    return Distances(values, pvalues, _law(complete))


def _law(group: Whitened) -> DistanceLaw:
    return DistanceLaw(len(group.skew), float(group.skew @ group.skew), group.gig)
