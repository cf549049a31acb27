"""The EM iteration over rows that are read in chunks, from the host."""

from __future__ import annotations

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from normix._passes import RowPasses
from normix.fitting.em import loop
from normix.mixtures.joint import JointNormalMixture
from normix.mixtures.statistics import MixtureSums

# Rows a block, unless told otherwise: of ten columns five megabytes.
BLOCK = 65_536


class Sweeps:
    """E-steps over all rows, a block at a time."""

    def __init__(
        self,
        rows: RowPasses,
        weights: Float[np.ndarray, " n"] | None,
        n: int,
        dtype: np.dtype,
        block: int | None,
    ):
        self._rows, self._weights, self._n, self._dtype = rows, weights, n, dtype
        # Blocks of one length, so that hardly any row is filled up.
        count = -(-n // (BLOCK if block is None else block))
        self._block = -(-n // count)

    def __call__(
        self, model: JointNormalMixture, problem: loop.Problem, plan: loop.Plan
    ) -> MixtureSums:
        """The sums over a whole pass."""
        total = _nothing(model)
        every = self._rows.blocks(self._block, self._n, self._weights, self._dtype)
        for rows, weights in every:
            before = total
            total = _add(total, model, rows, weights, problem, plan)
            # While this block is computed, the next is read; no further ahead.
            jax.block_until_ready(before)
        return total


def turn(
    state: loop.State, sweep: Sweeps, n: int, problem: loop.Problem, plan: loop.Plan
) -> loop.State:
    """:func:`loop.step`, of which a pass over all rows is a part."""
    at = state.proposal
    sums = sweep(at, problem, plan)
    if plan.algorithm == "mcecm":
        at = _half_step(jnp.asarray(0), at, sums, problem, plan)
        at = _half_step(jnp.asarray(1), at, sweep(at, problem, plan), problem, plan)
        found = loop.Step(at, state.eta, state.rule_state)
    else:
        size = jnp.asarray(n, problem.centre.dtype)
        found = _em_step(state, sums, size, problem, plan)
    return jax.block_until_ready(_judged(state, sums, found, problem, plan))


def _nothing(model: JointNormalMixture) -> MixtureSums:
    """The sums over no rows."""
    zero = jnp.zeros_like(model.mu[0])
    return MixtureSums(
        totals=jax.tree.map(jnp.zeros_like, model.expectations()),
        log_likelihood=zero,
        weight=zero,
        location=model.mu,
        nearest=zero + jnp.inf,
        nearest_row=model.mu,
    )


@partial(jax.jit, static_argnames="plan")
def _add(total: MixtureSums, model, rows: Array, weights: Array, problem, plan):
    problem = problem._replace(weights=weights)
    return total.merge(loop.sweep(model, rows, problem, plan))


_em_step = partial(jax.jit, static_argnames="plan")(loop.em_step)
_half_step = partial(jax.jit, static_argnames="plan")(loop.half_step)
_judged = partial(jax.jit, static_argnames="plan")(loop.judged)
