"""Fits whose law has a cusp, where every row is a local maximum: on from row to row.

The density of a variance gamma law of shape ``α < (d + 1)/2`` behaves like
``c - |x - μ|^(2α - d)`` about its location, and its slope there is unbounded. So the
likelihood, as a function of μ, has a local maximum at every row nearby, and a fit ends
at one that it came by. Which of them is the highest, only trying tells.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from normix.fitting.em.drive import Iteration
from normix.fitting.em.outcome import Outcome
from normix.fitting.em.result import EMResult
from normix.mixtures.joint import JointNormalMixture

# Rows that are tried, by their place from the nearest on: one after the other first,
# as cusps are, then farther on, as the slower changes of the likelihood are.
_PLACES = (1, 2, 3, 4, 6, 9, 13, 19, 28, 40)
# How many of them a fit begins at: those with the highest likelihood.
_FITS = 3

Told = Callable[[Iteration], object]


def has_cusp(joint: JointNormalMixture) -> bool:
    """Whether the density's slope at the location is unbounded, and it is not."""
    p, _, b = np.asarray(joint.law().gig)
    return b == 0 and 0.5 * joint.d < p < 0.5 * (joint.d + 1)


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
    of the best law so far.
    """
    every, best, tried = [first], first, set()
    n_iter = int(first.n_iter)
    while n_iter < max_iter:
        at = best.model.joint
        places = [k for k in _nearby(rows, np.asarray(at.mu), scale) if k not in tried]
        beside = [_moved(at, rows[k]) for k in places]
        values = np.array([log_likelihood(law) for law in beside])
        # Highest first; what is not finite last.
        order = np.argsort(-np.where(np.isfinite(values), values, -np.inf))[:_FITS]
        highest = best
        for k in order:
            tried.add(places[k])
            telling = _counting(told, n_iter, best.log_likelihood)
            fit = again(beside[k], telling, max_iter - n_iter)
            n_iter += int(fit.n_iter)
            every.append(fit)
            if fit.interrupted:
                return _together(every, best, Outcome.INTERRUPTED)
            if fit.converged and fit.log_likelihood > highest.log_likelihood:
                highest = fit
            if n_iter >= max_iter:
                break
        if not highest.log_likelihood > best.log_likelihood + least:
            break
        best = highest
    return _together(every, best, best.outcome)


def _nearby(rows: np.ndarray, mu: np.ndarray, scale: np.ndarray) -> Iterator[int]:
    """Rows by their places from ``mu`` on; equal ones count once, that at it not."""
    gaps = (((rows - mu) / scale) ** 2).sum(axis=1)
    place, last = 0, mu
    for k in np.argsort(gaps, kind="stable"):
        if np.isnan(gaps[k]) or place >= _PLACES[-1]:
            return
        if (rows[k] == last).all():
            continue
        place, last = place + 1, rows[k]
        if place in _PLACES:
            yield int(k)


def _moved(joint: JointNormalMixture, row: np.ndarray) -> JointNormalMixture:
    """With its location at a row, and skewed so that it keeps its mean."""
    mu = jnp.asarray(row, joint.mu.dtype)
    share = (joint.mu - mu) / joint.subordinator.mean()
    gamma = jnp.where(jnp.any(joint.gamma != 0), joint.gamma + share, joint.gamma)
    return eqx.tree_at(lambda j: (j.mu, j.gamma), joint, (mu, gamma))


def _counting(told: Told, before: int, best: Array) -> Told:
    """What tells of a fit, as of a part of a longer one."""

    def tell(at: Iteration) -> None:
        value = max(at.log_likelihood, float(best))
        told(at._replace(n_iter=before + at.n_iter, log_likelihood=value))

    return tell


def _together(every: list[EMResult], best: EMResult, outcome: Outcome) -> EMResult:
    """The best of fits, with the iterations of all."""

    def joined(histories, of_best: bool = False):
        if any(history is None for history in histories):
            return None
        whole = np.concatenate([np.asarray(history) for history in histories])
        return jnp.asarray(np.maximum.accumulate(whole) if of_best else whole)

    return dataclasses.replace(
        best,
        n_iter=sum(int(fit.n_iter) for fit in every),
        outcome=outcome,
        converged=outcome == Outcome.CONVERGED,
        log_likelihoods=joined([fit.log_likelihoods for fit in every], True),
        param_changes=joined([fit.param_changes for fit in every]),
        criteria=joined([fit.criteria for fit in every]),
    )
