"""Derivatives of a whole fit, by the data and the weights, at its maximum.

A maximum is an implicit function: with the score ``S(c; X, w) = 0`` and the observed
information ``I = -dS/dc``, a change of the data moves the estimate by ``I^{-1} dS``.
Nothing is propagated through the iteration, and both modes of differentiation are one
linear solve.
"""

from __future__ import annotations

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from normix.fitting.em.drive import History, traced
from normix.fitting.em.problem import Plan, Problem
from normix.mixtures.coordinates import (
    Moving,
    at_coordinates,
    coordinates,
    gauge_scale,
)
from normix.mixtures.in_one import InOne, Layout
from normix.mixtures.law import Law
from normix.mixtures.low_rank import FactorDispersion, turns_of
from normix.mixtures.observed import in_one, law_at, placed_in_trace
from normix.mixtures.observed_gaps import in_one_seen
from normix.mixtures.posterior import log_density_of_rows, log_density_seen
from normix.mixtures.score import score_of_rows, score_of_rows_seen
from normix.special._mode import typical_value

_LOG_LIKELIHOOD = 3  # its place in a status


@partial(jax.custom_jvp, nondiff_argnums=(0, 1, 2, 3))
def maximised(
    plan: Plan,
    max_iter: int,
    layout: Layout,
    missing: bool,
    X: Float[Array, "n d"],
    weights: Float[Array, " n"] | None,
    vector: Float[Array, " k"],
    problem: Problem,
) -> tuple[Float[Array, " k"], Array, History]:
    """The law, the status and the history of a traced fit of maximum likelihood.

    Differentiable in ``X`` and ``weights``, the law and the log-likelihood. With
    ``missing`` NaN is a missing entry.
    """
    moments = problem.centre, problem.scale
    rows = InOne(X, weights, moments, layout, missing)
    state, status, history = traced(vector, None, rows, problem, plan, max_iter)
    return state.model, status, history


@maximised.defjvp
def _maximised_jvp(plan, max_iter, layout, missing, primals, tangents):
    X, weights, _, problem = primals
    found, status, history = maximised(plan, max_iter, layout, missing, *primals)
    rows, own = X - problem.centre, plan.frame.unpack(found)
    # All in columns of unit scale, and in the gauge of the chart.
    unit, scale = typical_value(*own.gig), problem.scale
    at = placed_in_trace(found, jnp.zeros_like(scale), scale)
    law = law_at(at, plan.frame)
    held = problem.held
    moving = Moving(held.mu is None, bool(plan.law.has_order) and held.p is None)

    def total_score(X, w):
        of_rows = score_of_rows_seen if missing else score_of_rows
        scores = of_rows(law, (X - problem.centre) / scale, moving)
        return scores.sum(axis=0) if w is None else w @ scores

    def log_likelihood(X, w):
        of_rows = log_density_seen if missing else log_density_of_rows
        density = of_rows(own, X - problem.centre)
        return density.mean() if w is None else w @ density / w.sum()

    def along(function):
        if weights is None:
            return jax.jvp(lambda x: function(x, None), (X,), tangents[:1])[1]
        return jax.jvp(function, (X, weights), tangents[:2])[1]

    def placed(c):
        there = at_coordinates(law, c, moving).in_units(scale).rescaled(unit)
        there = there.rescaled(gauge_scale(there, *problem.gauge))
        return plan.frame.pack(there)

    of_traced = in_one_seen if missing else in_one
    information = of_traced(at, rows, weights, plan.frame, moving)
    free = _free(plan, law, moving)
    kept = jnp.where(free[:, None] & free, information, 0.0)
    kept = kept + jnp.diag(jnp.where(free, 0.0, 1.0)) + _rotations(law, information)
    step = jnp.linalg.solve(kept, jnp.where(free, along(total_score), 0.0))
    point = coordinates(law, moving)
    moved = jax.jvp(placed, (point,), (step,))[1]
    change = jnp.zeros_like(status).at[_LOG_LIKELIHOOD].set(along(log_likelihood))
    return (found, status, history), (moved, change, jnp.zeros_like(history))


def _free(plan: Plan, law: Law, moving: Moving) -> Array:
    """The coordinates that the fit has moved."""
    d, size = plan.frame.d, coordinates(law, moving).shape[0] - 2
    free = np.ones(size, bool)
    if not moving.mu:
        free[:d] = False
    if plan.symmetric:
        free[d : 2 * d] = False
    inside = (law.gig[1:] > 0).all()
    own = plan.law.own_coordinates
    order = 0 in own and (moving.p or not plan.law.has_order)
    # In a limit of a law with an order the other coordinate does not move.
    shape = inside if plan.law.has_order else jnp.array(True)
    mixing = jnp.stack([jnp.array(order), shape & (1 in own)])
    return jnp.concatenate([jnp.asarray(free), mixing])


def _rotations(law: Law, information: Float[Array, "k k"]) -> Float[Array, "k k"]:
    """What makes the directions regular in which loadings turn, and no score is."""
    dispersion = law.dispersion
    if not isinstance(dispersion, FactorDispersion):
        return jnp.zeros_like(information)
    turns = turns_of(dispersion.F)
    before = information.shape[0] - 2 - turns.shape[1]
    turns = jnp.pad(turns, ((0, 0), (before, 2)))
    return turns.T @ turns * jnp.abs(jnp.diagonal(information)).max()
