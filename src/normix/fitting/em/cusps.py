"""Fits whose law has a cusp, where every row is a local maximum: on from row to row.

The density of a variance gamma law of shape ``α < (d + 1)/2`` behaves like
``c - |x - μ|^(2α - d)`` about its location, and its slope there is unbounded. So the
likelihood, as a function of μ, has a local maximum at every row nearby, and a fit ends
at one that it came by. Which of them is the highest, only trying tells.
"""

from __future__ import annotations

from collections.abc import Callable

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float

from normix.distributions import Gamma
from normix.fitting.em.fits import Fits, Told
from normix.fitting.em.outcome import Outcome
from normix.fitting.em.result import EMResult
from normix.mixtures.joint import JointNormalMixture

# Rows that are tried, by their place from the nearest on: one after the other first,
# as cusps are, then farther on, as the slower changes of the likelihood are.
_PLACES = (1, 2, 3, 4, 6, 9, 13, 19, 28, 40)
# How many of them a fit begins at: those with the highest likelihood.
_FITS = 3


def has_cusp(joint: JointNormalMixture) -> bool:
    """Whether a variance gamma density is finite at its location, and its slope not."""
    law, d = joint.subordinator, joint.d
    return isinstance(law, Gamma) and 0.5 * d < float(law.alpha) < 0.5 * (d + 1)


def from_row_to_row(
    first: EMResult,
    again: Callable[[JointNormalMixture, Told, int], EMResult],
    log_likelihood: Callable[[JointNormalMixture], float],
    rows: Float[np.ndarray, "n d"],
    scale: Float[np.ndarray, " d"],
    least: float,
    max_iter: int,
    told: Told,
) -> EMResult:
    """The best of fits that begin at rows nearby, while they gain more than ``least``.

    - ``first``: a fit that ended at rest.
    - ``again``: fits from a law, tells of its iterations, and makes so many at most.
    - ``log_likelihood``: the mean log-likelihood of a law.
    - ``rows``: where the location may be.
    - ``scale``: weighs the columns of distances between rows.
    - ``least``: of the mean log-likelihood.

    The result counts the iterations of all fits, up to ``max_iter``, and its history is
    of the best law so far. Ctrl-C ends it with that.
    """
    way = Fits(first)
    # One of each, in an order that is not that of the data.
    rows = np.unique(rows, axis=0)
    tried: set[int] = set()
    try:
        while way.n_iter < max_iter:
            before, at = way.best.log_likelihood, way.best.model.joint
            nearby = _nearby(rows, np.asarray(at.mu), scale)
            places = [k for k in nearby if k not in tried]
            beside = [_moved(at, rows[k]) for k in places]
            values = np.array([log_likelihood(law) for law in beside])
            order = np.argsort(-values, kind="stable")
            for k in [k for k in order if np.isfinite(values[k])][:_FITS]:
                tried.add(places[k])
                left = max_iter - way.n_iter
                if left > 0:
                    way.add(again(beside[k], way.counting(told), left))
                if way.best.interrupted:
                    return way.ended(Outcome.INTERRUPTED)
            if not way.best.log_likelihood > before + least:
                break
    except KeyboardInterrupt:
        return way.ended(Outcome.INTERRUPTED)
    return way.ended(way.best.outcome)


def _nearby(rows: np.ndarray, mu: np.ndarray, scale: np.ndarray) -> list[int]:
    """Rows by their places from ``mu`` on.

    That at which it is counts as well: a law that is moved there has another skewness,
    from which a fit may go on.
    """
    gaps = (((rows - mu) / scale) ** 2).sum(axis=1)
    order = np.argsort(gaps, kind="stable")
    return [int(order[k - 1]) for k in _PLACES if k <= len(order)]


def _moved(joint: JointNormalMixture, row: np.ndarray) -> JointNormalMixture:
    """With its location at a row, and skewed so that it keeps its mean."""
    mu = jnp.asarray(row, joint.mu.dtype)
    share = (joint.mu - mu) / joint.subordinator.mean()
    gamma = jnp.where(jnp.any(joint.gamma != 0), joint.gamma + share, joint.gamma)
    return eqx.tree_at(lambda j: (j.mu, j.gamma), joint, (mu, gamma))
