"""What becomes of a proposal: accepted or refused, and what is proposed next."""

from __future__ import annotations

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from normix._compile import small
from normix.fitting.em.acceleration import (
    ACCELERATIONS,
    Accelerator,
    QuasiNewton,
    Score,
)
from normix.fitting.em.outcome import Outcome
from normix.fitting.em.problem import Problem
from normix.fitting.em.step import Found, Memory
from normix.mixtures.coordinates import (
    Moving,
    at_coordinates,
    coordinates,
    gauge_scale,
)
from normix.mixtures.law import Frame, Law, Swept
from normix.mixtures.limits import (
    at_edge,
    collapsed,
    flattest,
    nearness,
    within_reach,
)
from normix.mixtures.poles import at_pole
from normix.mixtures.score import score
from normix.special._mode import typical_value

# A fall of the mean log-likelihood by so many units in the last place of 1 + |it| is
# rounding: the tables of the E-step are good to some tens of them.
_ROUNDING = 256
# And near the normal law by so many units times ω.
_CANCELLING = 128


class Status(NamedTuple):
    """The numbers that a fit is judged by; one vector from turn to turn."""

    outcome: Float[Array, ""]  # of Outcome
    n_iter: Float[Array, ""]  # proposals evaluated; -1 before the first E-step
    # Of the proposal: 1 for EM's own step, 0 for a leap, -1 for one that was cut short
    # at a limit.
    plain: Float[Array, ""]
    log_likelihood: Float[Array, ""]  # of the model
    change: Float[Array, ""]  # the parameter change of the last turn
    criterion: Float[Array, ""]  # what was compared with the tolerance
    share: Float[Array, ""]  # of all E[1/Y] that the nearest row has
    omega: Float[Array, ""]  # how near the model is to limits: see Nearness
    s: Float[Array, ""]


class State(NamedTuple):
    """An accepted law, what is proposed to follow it, and how it got there.

    A turn evaluates the proposal by an E-step, which gives its log-likelihood and the
    EM step from it, accepts or refuses it, and makes the next: the E-step at the last
    law is the same code as all others.
    """

    status: Float[Array, " 9"]
    model: Float[Array, " k"]
    proposal: Float[Array, " k"]
    following: Float[Array, " k"]  # EM's step from the model, should that be refused
    accelerator: Accelerator
    # What is still to be gained, for an acceleration that does not know it.
    monitor: QuasiNewton | None
    memory: Memory | None  # of an update rule


@small("frame", "acceleration")
def begun(
    vector: Array, memory: Memory | None, frame: Frame, acceleration: str
) -> State:
    """The state before the first E-step."""
    nan = jnp.full_like(vector[0], jnp.nan)
    zero, one = jnp.zeros_like(nan), jnp.ones_like(nan)
    status = Status(zero, -one, one, nan, nan, nan, *(zero,) * 3)
    law = frame.unpack(vector)
    size = jax.eval_shape(lambda: coordinates(law, Moving(True, True))).shape[0]
    accelerator = ACCELERATIONS[acceleration].begin(size, vector.dtype)
    monitor = None
    # A rule may have another aim than the likelihood.
    if memory is None and acceleration != "quasi-newton":
        monitor = QuasiNewton.begin(size, vector.dtype)
    at = vector, vector, vector
    return State(jnp.stack(status), *at, accelerator, monitor, memory)


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
    # Near the normal law the terms of a log-density are some ω, and cancel.
    near = nearness(law)
    slack = slack + _CANCELLING * eps * jnp.minimum(near.omega, flattest(eps.dtype))
    rising = first | (log_likelihood >= old.log_likelihood - slack)
    if state.memory is not None:
        rising = jnp.array(True)  # a rule may have another aim
    # At a pole of the density the likelihood has no maximum to be found.
    # Of a row of mean weight, whatever weights are counted in.
    tol, n = problem.settings
    total_inv_y = n * (swept.head[3] / swept.head[1])
    nearest = swept.near[0]
    pole, share = at_pole(law.gig, frame.d, nearest, total_inv_y)
    pole = pole | at_edge(law, near, nearest) | collapsed(law, near, problem.scale)
    accepted = finite & rising & ~pole
    # A leap that lowers the likelihood says nothing of poles, nor does a probe.
    probed = jnp.array(False)
    if isinstance(state.accelerator, QuasiNewton):
        probed = state.accelerator.probed
    pole = pole & ((finite & rising) | (old.plain > 0)) & ~probed
    raw, scaled = _change(frame.unpack(state.model), law, problem)
    # The law of Y may go on when all else has come to rest. A gain of δ²/2 is a step
    # of δ standard errors of one observation, in whatever parameters.
    gain = jnp.maximum(log_likelihood - old.log_likelihood - slack, 0.0)
    scaled = jnp.maximum(scaled, jnp.sqrt(2 * gain))

    # Onwards by EM's own step, or by a leap: from an accepted proposal, or after a
    # refused one from the model.
    own = jnp.where(accepted, found.following, state.following)
    ahead, plain, accelerator = own, jnp.ones_like(old.plain), state.accelerator
    monitor = state.monitor
    if acceleration != "none" or monitor is not None:
        following = frame.unpack(found.following)
        before = _moving(frame.unpack(state.model), frame.unpack(state.following))
        moving = _moving(law, following)
        x, g, slope = known(law, following, swept, before, moving, problem, frame)
        if monitor is not None:
            monitor = _where(accepted, monitor.proposal(x, g, slope)[1], monitor)
            scaled = jnp.maximum(scaled, 0.5 * n * monitor.rate)
    rests = scaled <= tol
    if acceleration != "none":
        onward = accelerator.proposal(x, g, slope)
        if isinstance(onward[1], QuasiNewton):
            # The gain to be expected, in nats of all rows: the score in the metric of
            # the information. Beyond a limit that cut the whole step short nothing is.
            scaled = 0.5 * n * onward[1].rate
            scaled = jnp.where(old.plain < 0, jnp.minimum(scaled, n * gain), scaled)
            # Nothing by the metric, and then nothing by a probe either.
            settled = scaled <= tol
            rests = settled & probed & (n * gain <= tol)
            onward = _where(settled & ~rests, onward[1].probe(), onward)
        vector, accelerator = _where(accepted, onward, accelerator.refused())
        chart = _where(accepted, moving, before)
        there, leaps, cut = leap(vector, law, chart, problem, frame)
        ahead = jnp.where(leaps, there, own)
        plain = jnp.where(leaps, jnp.where(cut & accepted, -1.0, 0.0), 1.0)
    converged = accepted & ~first & rests
    onwards = Status(
        outcome=jnp.where(converged, Outcome.CONVERGED, Outcome.RUNNING),
        n_iter=old.n_iter + 1,
        plain=plain,
        log_likelihood=log_likelihood,
        change=raw,
        criterion=scaled,
        share=share,
        omega=near.omega,
        s=near.s,
    )
    # From a refused leap to another, or back to EM's own step; if that is refused,
    # nothing is left. The turn counts, and finds the model where it was.
    zero = jnp.zeros_like(raw)
    back = old._replace(n_iter=old.n_iter + 1, plain=plain, change=zero, criterion=zero)
    at_rest = old._replace(n_iter=old.n_iter + 1, outcome=Outcome.CONVERGED)
    back = _where(probed, at_rest, back)
    # Where EM's own step is refused. That it falls at all means that the tables of
    # the E-step, or an M-step far out, lack the digits; that it is at a pole, that the
    # likelihood is unbounded.
    # A fall within the tolerance is neither: the digits end here, at rest.
    stays = ~first & finite & (n * (old.log_likelihood - log_likelihood) <= tol)
    lost = jnp.where(stays, Outcome.CONVERGED, Outcome.DIVERGED)
    ended = old._replace(
        outcome=jnp.where(pole, Outcome.UNBOUNDED, lost),
        n_iter=jnp.maximum(old.n_iter, 0),
        log_likelihood=jnp.where(first, log_likelihood, old.log_likelihood),
    )
    over = ((old.plain > 0) & ~probed) | pole

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
        monitor,
        memory,
    )


def _where(condition, new, old):
    return jax.tree.map(lambda x, y: jnp.where(condition, x, y), new, old)


def _moving(at: Law, following: Law) -> Moving:
    """What EM moves: constraints, and limits that a fit has come to, hold the rest."""
    return Moving((at.mu != following.mu).any(), at.gig[0] != following.gig[0])


def known(
    law: Law, following: Law, swept, before, moving, problem, frame
) -> tuple[Array, Array, Score]:
    """What an accelerator is told of an accepted law: its place, EM's, the score."""
    unit = problem.scale
    x, g = (coordinates(m.in_units(1 / unit), moving) for m in (law, following))
    # Into a limit of the family, or out of it, leads EM alone; as where the chart
    # changes, in which the accelerator remembers.
    same = ((law.gig[1:] == 0) == (following.gig[1:] == 0)).all()
    same = same & (moving.mu == before.mu) & (moving.p == before.p)
    x = jnp.where(same, x, jnp.nan)
    return x, g, lambda: score(law, swept, frame, moving, unit)


def leap(vector: Array, law: Law, moving: Moving, problem: Problem, frame: Frame):
    """The law with proposed coordinates; whether there is one, and was cut short."""
    unit = problem.scale
    least = problem.held.alpha_min
    inside = (law.gig[1:] > 0).all()
    if least is not None:
        # In the limit a coordinate is the logarithm of the shape.
        bounded = jnp.maximum(vector[-2], jnp.log(least))
        vector = vector.at[-2].set(jnp.where(inside, vector[-2], bounded))
    vector, cut = within_reach(law, vector, moving)
    leap = at_coordinates(law, vector, moving).in_units(unit)
    leap = leap.rescaled(typical_value(*law.gig))  # the unit of Y is kept
    if least is not None:
        order = jnp.maximum(leap.gig[0], least)
        leap = leap._replace(gig=leap.gig.at[0].set(order))
    leap = frame.pack(leap.rescaled(gauge_scale(leap, *problem.gauge)))
    return leap, jnp.isfinite(vector).all() & jnp.isfinite(leap).all(), cut


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
