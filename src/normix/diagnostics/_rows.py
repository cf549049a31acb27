"""Rows in the coordinates in which a law is independent, given its mixing variable."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float

from normix._arrays import as_data
from normix.distributions import MultivariateNormal
from normix.mixtures.marginal import MarginalMixture


class Whitened(NamedTuple):
    r"""Rows with entries in the same columns, and the law of these columns.

    ``e`` is :math:`L^{-1}(x - \mu)` with :math:`\Sigma = LL^\top`; given Y its entries
    are independent, normal with mean ``skew * Y`` and variance ``Y``. ``gig``: ``(p, a,
    b)`` of Y; None of a normal law, of which Y is 1.
    """

    rows: np.ndarray
    columns: np.ndarray
    e: Float[np.ndarray, "m k"]
    skew: Float[np.ndarray, " k"]
    gig: tuple[float, float, float] | None


def whitened(model: Any, X: Float[np.ndarray, "n d"]) -> Iterator[Whitened]:
    """The rows of ``X`` by what is seen of them; rows of NaN alone are left out."""
    mu, skew, sigma, gig = _parameters(model)
    patterns, which = np.unique(~np.isnan(X), axis=0, return_inverse=True)
    for k, seen in enumerate(patterns):
        columns, rows = np.flatnonzero(seen), np.flatnonzero(which.ravel() == k)
        if not len(columns):
            continue
        L = np.linalg.cholesky(sigma[np.ix_(columns, columns)])
        e = np.linalg.solve(L, (X[np.ix_(rows, columns)] - mu[columns]).T).T
        g = np.linalg.solve(L, skew[columns])
        yield Whitened(rows, columns, e, g, gig)


def _parameters(model: Any):
    if isinstance(model, MultivariateNormal):
        mu, sigma = np.asarray(model.mu, float), np.asarray(model.sigma(), float)
        return mu, np.zeros_like(mu), sigma, None
    assert isinstance(model, MarginalMixture)
    joint = model.joint
    arrays = joint.mu, joint.gamma, joint.sigma()
    mu, gamma, sigma = (np.asarray(part, float) for part in arrays)
    p, a, b = (float(part) for part in joint.subordinator.gig_params())
    return mu, gamma, sigma, (p, a, b)


def rows_of(model: Any, X: Any, *, missing: bool) -> Float[np.ndarray, "n d"]:
    """Checked rows of data for a mixture or a normal law; NaN only if ``missing``.

    **Raises**: ``ValueError`` for data that do not fit the law.
    """
    if isinstance(model, MarginalMixture):
        rows = model._rows(X, model.d, missing=missing)
    else:
        rows = as_data(X, columns=model.d, missing=missing)
    return np.asarray(rows, float)
