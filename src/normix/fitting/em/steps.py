"""One step of incremental EM, and what a stream carries from one to the next."""

from __future__ import annotations

import dataclasses
from functools import partial
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Bool, Float, Int, PRNGKeyArray

from normix.exponential_family import SolverOptions
from normix.fitting.em.loop import all_finite
from normix.fitting.em.regularization import gauge_scale
from normix.fitting.em.rules import EtaUpdateRule
from normix.mixtures.constraints import Constraints
from normix.mixtures.initial import tree_where
from normix.mixtures.joint import JointNormalMixture
from normix.mixtures.marginal import MarginalMixture
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


class Plan(NamedTuple):
    """What is fixed while a step compiles; hashable."""

    inner_iter: int
    average_from: int | None
    e_step_backend: str
    m_step: SolverOptions


# A variance below so many units in the last place of the moment it was found from is
# rounding.
_ROUNDING = 256


def _of_full_rank(joint: JointNormalMixture, about: MixtureStatistics) -> Array:
    """Whether Σ is more than the rounding of the second moments that it came from."""
    own, second = joint.dispersion.parameters()[-1], about.E_XXT_inv_Y
    own, second = (jnp.diagonal(x) if x.ndim == 2 else x for x in (own, second))
    return (own**2 > _ROUNDING * jnp.finfo(own.dtype).eps * second).all()


@partial(jax.jit, static_argnums=(1, 2, 3))
def batch_order(key: PRNGKeyArray, n: int, steps: int, size: int) -> Int[Array, "t m"]:
    """Rows of each batch: permutations of all, one after the other."""
    epochs = -(-steps * size // n)
    keys = jax.random.split(key, epochs)
    rows = jax.vmap(lambda k: jax.random.permutation(k, n))(keys)
    return rows.ravel()[: steps * size].reshape(steps, size)


def step(
    state: IncrementalState,
    X: Float[Array, "m d"],
    weights: Float[Array, " m"] | None,
    rule: EtaUpdateRule,
    gauge: Array,
    plan: Plan,
) -> IncrementalState:
    """One batch; ``model`` is left to :func:`reported`."""
    size = jnp.asarray(X.shape[0], X.dtype) if weights is None else weights.sum()

    def once(_, carry):
        joint, *_, scale, good = carry
        sums = joint.sums(X, plan.e_step_backend, weights)
        at_pole, _ = joint.at_pole(sums)
        # All in the unit of Y that the gauge has led to.
        eta, memory = rule(
            state.eta.rescaled(scale),
            sums.means().translate(joint.mu),
            state.step + 1,
            size,
            state.rule_state,
        )
        # As they were given: the rule may return weak types or other precision.
        eta = jax.tree.map(lambda new, old: new.astype(old.dtype), eta, state.eta)
        memory = jax.tree.map(
            lambda new, old: jnp.asarray(new, old.dtype), memory, state.rule_state
        )
        about = eta.translate(-joint.mu)
        joint = joint.maximised_about(about, plan.m_step, Constraints())
        good = good & ~at_pole & _of_full_rank(joint, about)
        unit = gauge_scale(joint, gauge, state.log_det)
        joint, eta = joint.rescaled(unit), eta.rescaled(unit)
        return joint, eta, memory, scale * unit, good

    one = jnp.ones((), state.joint.mu.dtype)
    begin = state.joint, state.eta, state.rule_state, one, jnp.array(True)
    joint, eta, memory, scale, good = lax.fori_loop(0, plan.inner_iter, once, begin)
    good = good & all_finite(joint, eta)
    average = state.average
    if average is not None and plan.average_from is not None:
        count = state.step + 2 - plan.average_from
        share = jnp.where(count > 0, 1 / jnp.maximum(count, 1), 0.0)
        average = average.rescaled(scale)
        average = jax.tree.map(lambda a, e: a + share * (e - a), average, eta)
    new = dataclasses.replace(
        state,
        joint=joint,
        eta=eta,
        average=average,
        rule_state=memory,
        step=state.step + 1,
    )
    old = eqx.tree_at(lambda s: s.diverged, state, jnp.array(True))
    return tree_where(good, new, old)


def reported(state: IncrementalState, gauge: Array, plan: Plan) -> IncrementalState:
    """The state with the model that belongs to it."""
    joint = state.joint
    if state.average is not None and plan.average_from is not None:
        mean = joint.maximised_about(
            state.average.translate(-joint.mu), plan.m_step, Constraints()
        )
        mean = mean.rescaled(gauge_scale(mean, gauge, state.log_det))
        joint = tree_where(state.step >= plan.average_from, mean, joint)
    return eqx.tree_at(lambda s: s.model, state, type(state.model)(joint))


@partial(jax.jit, static_argnames="plan")
def update(state, X, weights, rule, gauge, plan: Plan) -> IncrementalState:
    return reported(step(state, X, weights, rule, gauge, plan), gauge, plan)


@partial(jax.jit, static_argnames="plan")
def run(state, X, order, span, rule, gauge, plan: Plan) -> IncrementalState:
    """The steps from ``span[0]`` to ``span[1]`` in one program."""

    def body(i, state):
        return step(state, X[order[i]], None, rule, gauge, plan)

    return reported(lax.fori_loop(span[0], span[1], body, state), gauge, plan)


@partial(jax.jit, static_argnames="backend")
def mean_log_likelihood(joint: JointNormalMixture, X: Array, backend: str):
    return joint.sums(X, backend).mean_log_likelihood()
