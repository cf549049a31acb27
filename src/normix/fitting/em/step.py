"""One EM step: from the E-step at a law to the law that follows."""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from normix._compile import small
from normix.fitting.em.problem import Plan, Problem
from normix.fitting.em.rules import EtaUpdateRule
from normix.mixtures.coordinates import gauge_scale
from normix.mixtures.law import Frame, Swept, statistics_head
from normix.mixtures.maximum import mixing_maximised, normal_maximised
from normix.mixtures.rows import Rows
from normix.mixtures.statistics import MixtureStatistics


class Memory(NamedTuple):
    """What an update rule goes on from."""

    eta: MixtureStatistics  # in the coordinates of X itself
    rule_state: Any


class Found(NamedTuple):
    """Where EM goes from a law, and what an update rule has to remember."""

    following: Float[Array, " k"]
    memory: Memory | None


def em_step(
    at: Float[Array, " k"],
    memory: Memory | None,
    done: Float[Array, " 1"] | None,
    rows: Rows,
    problem: Problem,
    plan: Plan,
) -> tuple[Swept, Found]:
    """The E-step at a law, and EM's step from there.

    ``memory`` and ``done``, the number of steps before, are for an update rule.
    """
    swept = rows.swept(at, plan.frame, plan.e_step_backend)
    if plan.algorithm == "mcecm":
        # (μ, γ, Σ) first, then once more the E-step, and the law of Y.
        half, _ = _normal(at, swept, None, problem, plan)
        again = rows.swept(half, plan.frame, plan.e_step_backend)
        following = _with_mixing(half, mixing(again, problem, plan), problem, plan)
        return swept, Found(following, None)
    if memory is None or problem.rule is None or done is None:
        gig = mixing(swept, problem, plan)
        return swept, Found(_normal(at, swept, gig, problem, plan)[0], None)
    size = jnp.asarray(rows.n, at.dtype)
    about = problem.centre, done, size
    mixed, memory = updated(at, swept, memory, problem.rule, *about, plan.frame)
    gig = mixing(mixed, problem, plan)
    following, unit = _normal(at, mixed, gig, problem, plan)
    return swept, Found(following, in_unit(memory, unit))


def mixing(swept: Swept, problem: Problem, plan: Plan) -> Float[Array, " 3"]:
    """The mixing law of maximum likelihood, ``(p, a, b)``."""
    held = problem.held
    return mixing_maximised(swept.head, plan.law, plan.m_step, held.p, held.alpha_min)


def _normal(at, swept: Swept, gig, problem: Problem, plan: Plan):
    mu, gauge = problem.held.mu, problem.gauge
    return normal_maximised(at, swept, gig, mu, gauge, plan.frame, plan.symmetric)


@small("plan")
def _with_mixing(vector: Array, gig: Array, problem: Problem, plan: Plan) -> Array:
    law = plan.frame.unpack(vector)._replace(gig=gig)
    return plan.frame.pack(law.rescaled(gauge_scale(law, *problem.gauge)))


@small("frame")
def updated(
    at: Float[Array, " k"],
    swept: Swept,
    memory: Memory,
    rule: EtaUpdateRule,
    centre: Float[Array, " d"],
    status: Float[Array, " k"],
    size: Float[Array, ""],
    frame: Frame,
) -> tuple[Swept, Memory]:
    """What the rule makes of an E-step: statistics for the M-step, and its memory.

    ``status`` begins with the number of steps before this one. Rules speak of the
    data's own coordinates. No row is near: a rule has other aims than to climb onto
    one.
    """
    shift = frame.unpack(at).mu + centre
    eta = frame.means(swept).translate(shift)
    number = status[0].astype(int) + 1
    eta, rule_state = rule(memory.eta, eta, number, size, memory.rule_state)
    # As they were given: the rule may return weak types or other precision.
    eta = jax.tree.map(lambda new, old: new.astype(old.dtype), eta, memory.eta)
    rule_state = jax.tree.map(
        lambda new, old: jnp.asarray(new, jnp.asarray(old).dtype),
        rule_state,
        memory.rule_state,
    )
    about = eta.translate(-shift)
    one = jnp.ones_like(swept.head[0])
    of_y = about.E_log_Y, about.E_inv_Y, about.E_Y
    head = statistics_head(swept.head[0] / swept.head[1], one, *of_y)
    near = jnp.full_like(swept.near, jnp.inf)
    return Swept(head, frame.tail(about), near), Memory(eta, rule_state)


@small()
def in_unit(memory: Memory, unit: Float[Array, ""]) -> Memory:
    """A memory in the unit of Y that the gauge has led to, as of the next E-step."""
    return memory._replace(eta=memory.eta.rescaled(unit))
