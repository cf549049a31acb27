"""One step of incremental EM, and what a stream carries from one to the next."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import chain
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int, PRNGKeyArray

from normix._arrays import is_traced
from normix._compile import grid, rehearse, small
from normix._inline import scan
from normix._loops import eagerly
from normix.fitting.em.problem import Plan, Problem
from normix.fitting.em.step import Memory, in_unit, mixing, updated
from normix.mixtures.in_one import InOne, Layout
from normix.mixtures.joint import JointNormalMixture
from normix.mixtures.law import Frame, Swept, statistics_head
from normix.mixtures.marginal import MarginalMixture
from normix.mixtures.maximum import normal_maximised
from normix.mixtures.patterns import patterned
from normix.mixtures.poles import at_pole
from normix.mixtures.rows import Moments, Rows, blocks_in_memory
from normix.mixtures.statistics import MixtureStatistics


class IncrementalState(eqx.Module):
    """Where a stream has got to: a pytree, saved by :func:`normix.save`.

    - ``model``: the estimate so far.
    - ``joint``: the law that the next E-step is taken from; that of ``model`` but
      where steps are averaged.
    - ``eta``: the running expectations, and ``average`` their mean over the steps
      from ``average_from`` on, or None.
    - ``rule_state``: what the update rule remembers.
    - ``step``: steps done.
    - ``diverged``: whether a step was refused, being not finite or at a pole of the
      density; the state is then as before it.
    - ``log_det``: ``log |Σ|`` of the first model, which "det_sigma_x" keeps.
    """

    model: MarginalMixture
    joint: JointNormalMixture
    eta: MixtureStatistics
    average: MixtureStatistics | None
    rule_state: Any
    step: Int[Array, ""]
    diverged: Bool[Array, ""]
    log_det: Float[Array, ""]


class Inner(NamedTuple):
    """How a batch is gone through; hashable."""

    iterations: int
    average_from: int | None
    gaps: bool = False  # whether NaN stands for a missing entry


# A variance below so many units in the last place of the moment it was found from is
# rounding.
_ROUNDING = 256


class _Running(NamedTuple):
    """The state in the arrays that the pieces of a step take.

    ``status``: steps done, and whether one was refused.
    """

    status: Float[Array, " 2"]
    vector: Float[Array, " k"]
    memory: Memory
    average: MixtureStatistics | None
    gauge: Float[Array, " 2"]


def first_state(
    model: MarginalMixture, rule_state: Any, averaged: bool
) -> IncrementalState:
    """The state before the first batch."""
    return _first_state(model, model.joint.expectations(), rule_state, averaged)


@small("averaged")
def _first_state(
    model: MarginalMixture, eta: MixtureStatistics, rule_state: Any, averaged: bool
) -> IncrementalState:
    dtype = model.joint.mu.dtype

    def fixed(leaf):
        # Not weakly typed: a state and its successor are of one type.
        leaf = jnp.asarray(leaf)
        floating = jnp.issubdtype(leaf.dtype, jnp.floating)
        return jnp.asarray(leaf, dtype if floating else leaf.dtype)

    return IncrementalState(
        model=model,
        joint=model.joint,
        eta=eta,
        average=jax.tree.map(jnp.zeros_like, eta) if averaged else None,
        rule_state=jax.tree.map(fixed, rule_state),
        step=jnp.zeros((), jnp.result_type(int)),
        diverged=jnp.array(False),
        log_det=model.log_det_sigma(),
    )


def batch_order(key: PRNGKeyArray, n: int, steps: int, size: int) -> Int[Any, "t m"]:
    """Rows of each batch: permutations of all, one after the other; under ``jit``."""
    keys = jax.random.split(key, -(-steps * size // n))
    rows = jax.vmap(lambda k: jax.random.permutation(k, n))(keys).ravel()
    return rows[: steps * size].reshape(steps, size)


def batches(
    key: PRNGKeyArray, n: int, steps: int, size: int
) -> Iterator[Int[np.ndarray, " m"]]:
    """The same one by one, for a key at hand: no more than one permutation is held."""
    keys = jax.random.split(key, -(-steps * size // n))
    data, kind = np.asarray(jax.random.key_data(keys)), str(jax.random.key_impl(keys))
    left = np.zeros(0, int)
    following = iter(data)
    for _ in range(steps):
        while len(left) < size:
            new = np.asarray(_permutation(next(following), n, kind))
            left = np.concatenate([left, new]) if len(left) else new
        yield left[:size]
        left = left[size:]


@small("n", "kind")
def _permutation(key: Array, n: int, kind: str) -> Int[Array, " n"]:
    return jax.random.permutation(jax.random.wrap_key_data(key, impl=kind), n)


@small("plan")
def _begun(state: IncrementalState, problem: Problem, plan: Plan) -> _Running:
    dtype = state.log_det.dtype
    status = jnp.stack([state.step.astype(dtype), state.diverged.astype(dtype)])
    vector = plan.frame.pack(state.joint.law())
    gauge = jnp.stack([problem.gauge[0], state.log_det])
    memory = Memory(state.eta, state.rule_state)
    return _Running(status, vector, memory, state.average, gauge)


def _step(
    running: _Running,
    rows: Rows,
    size: Any,
    problem: Problem,
    plan: Plan,
    inner: Inner,
) -> _Running:
    """One batch."""
    frame, rule = plan.frame, problem.rule
    assert rule is not None
    at, before = running.vector, _Gone(running.memory)
    for left in reversed(range(inner.iterations)):
        swept = rows.swept(at, frame, plan.e_step_backend)
        # All from the same expectations, in the unit of Y that the gauge has led to.
        memory, step = before.memory, running.status
        mixed, memory = updated(
            at, swept, memory, rule, problem.centre, step, size, frame
        )
        gig = mixing(mixed, problem, plan)
        held, gauge = problem.held.mu, running.gauge
        vector, unit = normal_maximised(
            at, mixed, gig, held, gauge, frame, plan.symmetric
        )
        if left:
            before = _gone_on(before, at, vector, swept, mixed, unit, frame)
            at = vector
        else:
            running = _ended(
                running, before, at, vector, swept, mixed, memory, unit, frame, inner
            )
    return running


class _Gone(NamedTuple):
    """What earlier iterations on a batch leave: in their unit of Y."""

    memory: Memory
    scale: Any = 1.0  # of that unit
    good: Any = True


@small("frame")
def _gone_on(before: _Gone, at, vector, swept, mixed, unit, frame: Frame) -> _Gone:
    """After an iteration that another follows."""
    good = before.good & _of_use(at, vector, swept, mixed, unit, frame)
    return _Gone(in_unit(before.memory, unit), before.scale * unit, good)


def _of_use(at, vector, swept: Swept, mixed: Swept, unit, frame: Frame) -> Array:
    """Whether an iteration is of use."""
    law = frame.unpack(at)
    pole, _ = at_pole(law.gig, frame.d, swept.near[0], swept.head[3])
    return ~pole & _of_full_rank(vector, frame.means(mixed), unit, frame)


def _of_full_rank(vector, about: MixtureStatistics, unit, frame: Frame) -> Array:
    """Whether Σ is more than the rounding of the second moments that it came from."""
    dispersion = frame.unpack(vector).dispersion.scaled(unit)
    own, second = dispersion.parameters()[-1], about.E_XXT_inv_Y
    own, second = (jnp.diagonal(x) if x.ndim == 2 else x for x in (own, second))
    return (own**2 > _ROUNDING * jnp.finfo(own.dtype).eps * second).all()


@small("frame", "inner")
def _ended(
    running: _Running,
    before: _Gone,
    at: Array,
    vector: Array,
    swept: Swept,
    mixed: Swept,
    memory: Memory,
    unit: Array,
    frame: Frame,
    inner: Inner,
) -> _Running:
    """The next state; that before the batch, where it is of no use."""
    _, scale, good = _gone_on(before, at, vector, swept, mixed, unit, frame)
    memory = in_unit(memory, unit)
    leaves = [jnp.isfinite(x).all() for x in jax.tree.leaves((vector, memory.eta))]
    good = good & jnp.stack(leaves).all()
    average, average_from = running.average, inner.average_from
    if average is not None and average_from is not None:
        count = running.status[0] + 2 - average_from
        share = jnp.where(count > 0, 1 / jnp.maximum(count, 1), 0.0)
        average = average.rescaled(scale)
        average = jax.tree.map(lambda a, e: a + share * (e - a), average, memory.eta)
    steps, refused = running.status
    done = jnp.stack([steps + 1, refused]), vector, memory, average
    left = jnp.stack([steps, jnp.ones_like(steps)]), *running[1:4]
    chosen = jax.tree.map(lambda x, y: jnp.where(good, x, y), done, left)
    status, vector, memory, average = chosen
    return _Running(status, vector, memory, average, running.gauge)


def _reported(
    state: IncrementalState,
    running: _Running,
    problem: Problem,
    plan: Plan,
    inner: Inner,
) -> IncrementalState:
    """The state with the model that belongs to it."""
    mean = None
    if running.average is not None and inner.average_from is not None:
        frame, held = plan.frame, problem.held
        about = _averaged(running.vector, running.average, frame)
        gig = mixing(about, problem, plan)
        gauge, symmetric = running.gauge, plan.symmetric
        mean, _ = normal_maximised(
            running.vector, about, gig, held.mu, gauge, frame, symmetric
        )
    return _as_state(state, running, mean, plan.frame, inner.average_from)


@small("frame")
def _averaged(vector: Array, average: MixtureStatistics, frame: Frame) -> Swept:
    eta = average.translate(-frame.unpack(vector).mu)
    zero, one = jnp.zeros_like(eta.E_Y), jnp.ones_like(eta.E_Y)
    head = statistics_head(zero, one, eta.E_log_Y, eta.E_inv_Y, eta.E_Y)
    return Swept(head, frame.tail(eta), jnp.full(frame.d + 1, jnp.inf, head.dtype))


@small("frame", "average_from")
def _as_state(
    state: IncrementalState, running: _Running, mean, frame: Frame, average_from
) -> IncrementalState:
    family, best = type(state.joint), running.vector
    if mean is not None:
        best = jnp.where(running.status[0] >= average_from, mean, best)
    steps, refused = running.status
    return IncrementalState(
        model=type(state.model)(family.of_law(frame.unpack(best))),
        joint=family.of_law(frame.unpack(running.vector)),
        eta=running.memory.eta,
        average=running.average,
        rule_state=running.memory.rule_state,
        step=steps.astype(state.step.dtype),
        diverged=refused > 0,
        log_det=state.log_det,
    )


def _rows(X, weights, dtype, gaps: bool) -> tuple[Rows, Any]:
    """A batch for an E-step, and its size by weight."""
    d = X.shape[1]
    zero = np.zeros(d, dtype)
    if is_traced(X, weights):
        moments = jnp.asarray(zero), jnp.asarray(zero)
        size = jnp.asarray(X.shape[0], dtype) if weights is None else weights.sum()
        return InOne(X.astype(dtype), weights, moments, Layout(), gaps), size
    X, size = np.asarray(X), X.shape[0]
    if weights is not None:
        weights = np.asarray(weights)
        size = weights.sum()
    moments = Moments(zero, zero)
    if gaps and np.isnan(X).any():
        rows = patterned(X, weights, moments, dtype, tables=False)
    else:
        rows = blocks_in_memory(X, weights, moments, dtype, grid(X.shape[0]), once=True)
    return rows, np.asarray(size, dtype)


def update(
    state: IncrementalState,
    X: Float[Array, "m d"],
    weights: Float[Array, " m"] | None,
    problem: Problem,
    plan: Plan,
    inner: Inner,
) -> IncrementalState:
    """The state after one more batch."""
    with eagerly(state, X, weights, problem):
        rows, size = _rows(X, weights, np.dtype(state.log_det.dtype), inner.gaps)
        running = _begun(state, problem, plan)
        running = _step(running, rows, size, problem, plan, inner)
        return _reported(state, running, problem, plan, inner)


def run(
    state: IncrementalState,
    X: Any,
    order: Any,
    problem: Problem,
    plan: Plan,
    inner: Inner,
) -> IncrementalState:
    """A step for each of ``order``: places in ``X`` of a batch, ``(m,)``.

    An array of shape ``(t, m)`` where anything is traced.
    """
    dtype = np.dtype(state.log_det.dtype)
    running = _begun(state, problem, plan)

    def one(running, chosen):
        rows, size = _rows(X[chosen], None, dtype, inner.gaps)
        return _step(running, rows, size, problem, plan, inner)

    if is_traced(running, X, order, problem):
        X = jnp.asarray(X)
        running = scan(lambda r, chosen: (one(r, chosen), None), running, order)[0]
        return _reported(state, running, problem, plan, inner)
    with eagerly():
        order = iter(order)
        first = next(order, None)
        if plan.by_jax and first is not None:
            rows, size = _rows(X[first], None, dtype, inner.gaps)
            if (outline := rows.outline) is not None:
                kinds = outline.size, dtype, jax.tree.structure((running, problem))
                asked = running, outline, size, problem, plan, inner
                rehearse((plan, inner, *kinds), _step, *asked)
        for chosen in order if first is None else chain([first], order):
            running = one(running, chosen)
        return _reported(state, running, problem, plan, inner)
