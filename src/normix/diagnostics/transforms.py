"""The probability integral transform, and Rosenblatt's."""

from __future__ import annotations

from typing import Any

import jax
import numpy as np
from jaxtyping import Array, ArrayLike, Float

from normix._arrays import as_series
from normix._columns import like
from normix.diagnostics._grid import normal_tails
from normix.diagnostics._rows import rows_of, whitened
from normix.distributions import MultivariateNormal
from normix.distributions.positive import PositiveFamily
from normix.mixtures.marginal import MarginalMixture

TESTABLE = (MarginalMixture, MultivariateNormal, PositiveFamily)


def pit(model: Any, X: Float[ArrayLike, "n ..."]) -> Float[Array, "n ..."]:
    """What a law gives each observation: independent and uniform where it is right.

    - ``model``: a mixture, a normal law, or a positive law of one variable.
    - ``X``: observations, shape ``(n, d)``, or ``(n,)`` for one variable. NaN marks
      missing entries of a multivariate law, whose values are NaN.

    Of one variable it is the probability ``P(X <= x)``. Of several it is Rosenblatt's
    transform (Ann. Math. Statist. 23, 1952), of shape ``(n, d)``: column j holds
    ``P(X_j <= x_j)`` given the row's columns before j, and so depends on their order.
    A data frame gives a data frame. Not under ``jit``.

    **Raises**: ``ValueError`` for another model, and data that do not fit it.

    >>> import numpy as np
    >>> from normix import NormalInverseGaussian
    >>> from normix.diagnostics import pit
    >>> model = NormalInverseGaussian.from_classical(
    ...     mu=[0, 0], gamma=[0, 0], sigma=[[1, 0.5], [0.5, 1]], mu_ig=1, lam=1)
    >>> np.round(pit(model, [[0.0, 0.0], [1.0, 0.5]]), 3).tolist()
    [[0.5, 0.5], [0.876, 0.5]]
    """
    rows, lower, _ = transformed(model, X, missing=True)
    if rows.ndim == 1:
        return jax.device_put(lower[:, 0])
    return like(X, lower)


def transformed(
    model: Any, X: ArrayLike, *, missing: bool
) -> tuple[np.ndarray, Float[np.ndarray, "n d"], Float[np.ndarray, "n d"]]:
    """Checked data, and of every entry both tails: ``P(X <= x)`` and ``P(X > x)``."""
    if not isinstance(model, TESTABLE):
        raise ValueError(
            "a test needs a mixture, a MultivariateNormal or a positive law of one "
            f"variable, got a {type(model).__name__}"
        )
    if isinstance(model, PositiveFamily):
        x = np.asarray(as_series(X))
        return x, np.asarray(model.cdf(x))[:, None], np.asarray(model.sf(x))[:, None]
    rows = rows_of(model, X, missing=missing)
    lower, upper = tails_of(model, rows)
    flat = isinstance(model, MarginalMixture) and model._axes == 1
    return (rows[:, 0] if flat else rows), lower, upper


def tails_of(
    model: Any, rows: Float[np.ndarray, "n d"]
) -> tuple[Float[np.ndarray, "n d"], Float[np.ndarray, "n d"]]:
    """Both tails of every entry, given the entries before it in its row."""
    from scipy import special  # here, for a quick import of normix

    lower, upper = np.full(rows.shape, np.nan), np.full(rows.shape, np.nan)
    for group in whitened(model, rows):
        e, g = group.e, group.skew
        if group.gig is None:
            found = special.ndtr(e), special.ndtr(-e)
        else:
            p, a, b = group.gig
            # Each entry seen is one more normal observation of Y.
            known_b = b + _sums_before(e**2)
            known_a = a + _sums_before(g**2)
            columns = [
                normal_tails(p - 0.5 * j, known_a[j], known_b[:, j], g[j], e[:, j])
                for j in range(e.shape[1])
            ]
            found = (np.stack(side, axis=1) for side in zip(*columns, strict=True))
        places = np.ix_(group.rows, group.columns)
        lower[places], upper[places] = found
    return lower, upper


def _sums_before(x: Float[np.ndarray, "... k"]) -> Float[np.ndarray, "... k"]:
    """Of each entry the sum of those before it."""
    sums = np.zeros_like(x)
    np.cumsum(x[..., :-1], axis=-1, out=sums[..., 1:])
    return sums
