"""What becomes of a proposal: accepted or refused, and what is proposed next."""

from __future__ import annotations

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from normix._compile import small
from normix.fitting.em.acceleration import ACCELERATIONS, Accelerator, QuasiNewton
from normix.fitting.em.outcome import Outcome
from normix.fitting.em.problem import Problem
from normix.fitting.em.step import Found, Memory
from normix.mixtures.coordinates import at_coordinates, coordinates, gauge_scale
from normix.mixtures.law import Frame, Law, Swept
from normix.mixtures.poles import at_pole
from normix.mixtures.score import score

# A fall of the mean log-likelihood by so many units in the last place of 1 + |it| is
# rounding: the tables of the E-step are good to some tens of them.
_ROUNDING = 256


class Status(NamedTuple):
    """The numbers that a fit is judged by; one vector from turn to turn."""

    outcome: Float[Array, ""]  # of Outcome
    n_iter: Float[Array, ""]  # proposals evaluated; -1 before the first E-step
    plain: Float[Array, ""]  # whether the proposal is EM's own step
    log_likelihood: Float[Array, ""]  # of the model
    change: Float[Array, ""]  # the parameter change of the last turn
    criterion: Float[Array, ""]  # what was compared with the tolerance
    share: Float[Array, ""]  # of all E[1/Y] that the nearest row has


class State(NamedTuple):
    """An accepted law, what is proposed to follow it, and how it got there.

    A turn evaluates the proposal by an E-step, which gives its log-likelihood and the
    EM step from it, accepts or refuses it, and makes the next: the E-step at the last
    law is the same code as all others.
    """

    status: Float[Array, " 7"]
    model: Float[Array, " k"]
    proposal: Float[Array, " k"]
    following: Float[Array, " k"]  # EM's step from the model, should that be refused
    accelerator: Accelerator
    memory: Memory | None  # of an update rule


@small("frame", "acceleration")
def begun(
    vector: Array, memory: Memory | None, frame: Frame, acceleration: str
) -> State:
    """The state before the first E-step."""
    nan = jnp.full_like(vector[0], jnp.nan)
    zero, one = jnp.zeros_like(nan), jnp.ones_like(nan)
    status = Status(zero, -one, one, nan, nan, nan, zero)
    law = frame.unpack(vector)
    size = jax.eval_shape(lambda: coordinates(law, False)).shape[0]
    accelerator = ACCELERATIONS[acceleration].begin(size, vector.dtype)
    return State(jnp.stack(status), vector, vector, vector, accelerator, memory)


@small("frame", "acceleration")
def judged(
    state: State,
    swept: Swept,
    found: Found,
    problem: Problem,
    frame: Frame,
    acceleration: str,
) -> State:
    """The state after the proposal's E-step."""
    old = Status(*state.status)
    law = frame.unpack(state.proposal)
    log_likelihood = swept.head[0] / swept.head[1]
    every = jnp.concatenate([state.proposal, swept.head, swept.tail])
    finite = jnp.isfinite(every).all()

    first = old.n_iter < 0
    eps = jnp.finfo(log_likelihood.dtype).eps
    slack = _ROUNDING * eps * (1 + jnp.abs(old.log_likelihood))
    rising = first | (log_likelihood >= old.log_likelihood - slack)
    if state.memory is not None:
        rising = jnp.array(True)  # a rule may have another aim
    # At a pole of the density the likelihood has no maximum to be found.
    # Of a row of mean weight, whatever weights are counted in.
    total_inv_y = problem.settings[2] * (swept.head[3] / swept.head[1])
    pole, share = at_pole(law.gig, frame.d, swept.near[0], total_inv_y)
    accepted = finite & rising & ~pole
    raw, scaled = _change(frame.unpack(state.model), law, problem)
    # The law of Y may go on when all else has come to rest. A gain of δ²/2 is a step
    # of δ standard errors of one observation, in whatever parameters.
    gain = jnp.maximum(log_likelihood - old.log_likelihood - slack, 0.0)
    scaled = jnp.maximum(scaled, jnp.sqrt(2 * gain))
    converged = accepted & ~first & (scaled <= problem.settings[0])

    # Onwards by EM's own step, or by a leap: from an accepted proposal, or after a
    # refused one from the model.
    own = jnp.where(accepted, found.following, state.following)
    ahead, leaps, accelerator = own, jnp.array(False), state.accelerator
    if acceleration != "none":
        onward = _proposal(state, law, swept, found, problem, frame)
        vector, accelerator = _where(accepted, onward, accelerator.refused())
        leap, leaps = _leap(vector, law, problem, frame)
        ahead = jnp.where(leaps, leap, own)
    if isinstance(accelerator, QuasiNewton):
        # The gain to be expected, in nats of all rows: the score in the metric of
        # the information.
        scaled = 0.5 * problem.settings[2] * accelerator.rate
        converged = accepted & ~first & (scaled <= problem.settings[0])
    onwards = Status(
        outcome=jnp.where(converged, Outcome.CONVERGED, Outcome.RUNNING),
        n_iter=old.n_iter + 1,
        plain=~leaps,
        log_likelihood=log_likelihood,
        change=raw,
        criterion=scaled,
        share=share,
    )
    # From a refused leap to another, or back to EM's own step; if that is refused,
    # nothing is left. The turn counts, and finds the model where it was.
    zero = jnp.zeros_like(raw)
    back = old._replace(
        n_iter=old.n_iter + 1, plain=~leaps, change=zero, criterion=zero
    )
    # Where EM's own step is refused. That it falls at all means that the tables of
    # the E-step, or an M-step far out, lack the digits; that it is at a pole, that the
    # likelihood is unbounded.
    ended = old._replace(
        outcome=jnp.where(pole, Outcome.UNBOUNDED, Outcome.DIVERGED),
        n_iter=jnp.maximum(old.n_iter, 0),
        log_likelihood=jnp.where(first, log_likelihood, old.log_likelihood),
    )
    over = (old.plain > 0) | pole

    def chosen(if_accepted, if_over, if_back):
        return jnp.where(accepted, if_accepted, jnp.where(over, if_over, if_back))

    def stacked(status: Status) -> Array:
        return jnp.stack([jnp.asarray(x, raw.dtype) for x in status])

    status = chosen(stacked(onwards), stacked(ended), stacked(back))
    memory = state.memory
    if memory is not None:
        memory = _where(accepted, found.memory, memory)
    return State(
        status,
        jnp.where(accepted, state.proposal, state.model),
        chosen(ahead, state.proposal, ahead),
        own,
        accelerator,
        memory,
    )


def _where(condition, new, old):
    return jax.tree.map(lambda x, y: jnp.where(condition, x, y), new, old)


def _proposal(state: State, law: Law, swept: Swept, found: Found, problem, frame):
    """The accelerator's proposal beyond an accepted law, and what it remembers."""
    unit, has_order = problem.scale, problem.settings[1] > 0
    following = frame.unpack(found.following)
    x, g = (coordinates(m.in_units(1 / unit), has_order) for m in (law, following))
    # Into a limit of the family, or out of it, leads EM alone.
    same = ((law.gig[1:] == 0) == (following.gig[1:] == 0)).all()
    x = jnp.where(same, x, jnp.nan)
    return state.accelerator.proposal(
        x, g, lambda: score(law, swept, frame, x, has_order, unit)
    )


def _leap(vector: Array, law: Law, problem: Problem, frame: Frame):
    """The law with proposed coordinates, and whether there is one."""
    unit, has_order = problem.scale, problem.settings[1] > 0
    least = problem.held.alpha_min
    if least is not None:
        # The order itself, or the logarithm of a shape.
        inside = has_order & (law.gig[1:] > 0).all()
        bound = jnp.where(inside, least, jnp.log(least))
        vector = vector.at[-2].set(jnp.maximum(vector[-2], bound))
    leap = at_coordinates(law, vector, has_order).in_units(unit)
    leap = frame.pack(leap.rescaled(gauge_scale(leap, *problem.gauge)))
    return leap, jnp.isfinite(vector).all() & jnp.isfinite(leap).all()


def _change(old: Law, new: Law, problem: Problem) -> tuple[Array, Array]:
    """The parameter change, in the data's units and in standard deviations.

    The largest over (μ, γ, L_Σ) of rms(new - old)/(1 + rms(old)). The 1 stands for
    the scale of the data, so the same change is also taken with the columns in units
    of their standard deviations: without it, returns of a hundredth would always
    look converged.
    """

    def block(before: Array, after: Array, offset: Array | float) -> Array:
        """Mean squares of the change and of the old values, in both units."""
        by = problem.scale.reshape(-1, *(1,) * (before.ndim - 1))
        moved = after - before
        both = moved, moved / by, before + offset, before / by
        return jnp.stack([(x * x).mean() for x in both])

    pairs = zip(
        (old.mu, old.gamma, *old.dispersion.parameters()),
        (new.mu, new.gamma, *new.dispersion.parameters()),
        (problem.centre, *(0.0,) * 4),
        strict=False,
    )
    rms = jnp.sqrt(jnp.stack([block(*pair) for pair in pairs]))
    ratios = (rms[:, :2] / (1 + rms[:, 2:])).max(axis=0)
    return ratios[0], ratios.max()
