"""A fit from its first E-step to the end: from the host, or as one traced loop."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from normix._compile import rehearse, small
from normix._inline import while_loop
from normix.fitting.em.acceptance import State, Status, begun, judged
from normix.fitting.em.outcome import Outcome
from normix.fitting.em.problem import Asked, Plan, Problem, posed
from normix.fitting.em.step import Found, Memory, em_step
from normix.mixtures.model_steps import of_vector
from normix.mixtures.rows import Blocks, Rows


class Iteration(NamedTuple):
    """What a callback is told after each iteration."""

    n_iter: int
    log_likelihood: float
    change: float
    criterion: float


# A history has a row an iteration: the log-likelihood, the parameter change, and what
# was compared with the tolerance.
History = Float[Array, "n_iter 3"]
_RECORDED = slice(3, 6)


def turn(state: State, rows: Rows, problem: Problem, plan: Plan) -> State:
    """Evaluate the proposal, accept or refuse it, and make the next."""
    done = None if problem.rule is None else _steps(state.status)
    swept, found = em_step(state.proposal, state.memory, done, rows, problem, plan)
    return judged(state, swept, found, problem, plan.frame, plan.acceleration)


@small()
def _steps(status: Array) -> Array:
    """How many steps led to the proposal: none at first."""
    return status[1:2] + 1


def _unfinished(status, max_iter: int):
    return (status[0] == Outcome.RUNNING) & (status[1] < max_iter)


def rehearsed(asked: Asked, memory: Memory | None, rows: Blocks, plan: Plan) -> None:
    """Compile the programs of a fit side by side, if the host is to drive it.

    Shapes will do for all values.
    """

    def opening():
        problem, vector = posed(asked, plan)
        state = begun(vector, memory, plan.frame, plan.acceleration)
        # What takes the longest to compile comes first.
        swept, found = plan.frame.nothing(vector.dtype), Found(vector, memory)
        judged(state, swept, found, problem, plan.frame, plan.acceleration)
        turn(state, rows, problem, plan)
        of_vector(vector, plan.frame, type(asked.model), rows.centre)

    if plan.by_jax:
        kinds = jax.tree.structure((memory, asked))
        rehearse((plan, rows.size, str(rows.centre.dtype), kinds), opening)


def driven(
    vector: Array,
    memory: Memory | None,
    rows: Rows,
    problem: Problem,
    plan: Plan,
    max_iter: int,
    callback: Callable[[Iteration], object] | None = None,
) -> tuple[State, np.ndarray, np.ndarray]:
    """The last whole state, its status and the history, driven by the host.

    Ctrl-C ends it, and is told by the status.
    """
    state = begun(vector, memory, plan.frame, plan.acceleration)
    status = np.asarray(state.status)
    history = []
    try:
        while _unfinished(status, max_iter):
            n_before = status[1]
            following = turn(state, rows, problem, plan)
            status, state = np.asarray(following.status), following
            if status[1] > max(n_before, 0):
                history.append(status[_RECORDED])
                if callback is not None:
                    callback(Iteration(int(status[1]), *map(float, history[-1])))
    except KeyboardInterrupt:
        status = np.array(status)
        status[0] = Outcome.INTERRUPTED
    return state, status, np.array(history).reshape(-1, 3)


def traced(
    vector: Array,
    memory: Memory | None,
    rows: Rows,
    problem: Problem,
    plan: Plan,
    max_iter: int,
) -> tuple[State, Array, History]:
    """The same under ``jit`` and ``vmap``; the history has ``max_iter`` rows."""

    def body(carry):
        state, history = carry
        before = state.status[1]
        state = turn(state, rows, problem, plan)
        n = state.status[1]
        index = jnp.where(n > jnp.maximum(before, 0), n - 1, max_iter).astype(int)
        entry = state.status[_RECORDED]
        return state, history.at[index].set(entry, mode="drop")

    history = jnp.full((max_iter, 3), jnp.nan, vector.dtype)
    start = begun(vector, memory, plan.frame, plan.acceleration), history
    state, history = while_loop(
        lambda carry: _unfinished(carry[0].status, max_iter), body, start
    )
    return state, state.status, history


def ended(status: Array) -> Status:
    """The numbers, with a fit that is not over counted as out of iterations."""
    at = Status(*status)
    over = at.outcome == Outcome.RUNNING
    xp = jnp if isinstance(status, jax.Array) else np
    outcome = xp.where(over, Outcome.USED_UP, at.outcome).astype(int)
    return at._replace(outcome=outcome, n_iter=at.n_iter.astype(int))
