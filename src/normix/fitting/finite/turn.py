"""One turn of a fit of a finite mixture, and where accelerators go from there."""

from __future__ import annotations

from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from normix._compile import small
from normix.fitting.em.acceleration import QuasiNewton
from normix.mixtures.coordinates import Moving, at_coordinates, coordinates
from normix.mixtures.finite_steps import (
    Bounds,
    Member,
    Place,
    Stepped,
    at_least,
    bounded,
    em_step,
)
from normix.mixtures.law import Swept
from normix.mixtures.limits import within_reach
from normix.mixtures.patterns import Patterned
from normix.mixtures.poles import at_pole
from normix.mixtures.rows import Blocks
from normix.mixtures.score import score
from normix.special._mode import typical_value


class Turned(NamedTuple):
    """An EM step, and what accelerators want to know of it.

    ``point``: the coordinates of the place, of where EM goes, and the gradient of the
    mean log-likelihood.
    """

    step: Stepped
    point: tuple[Array, Array, Array]
    finite: bool
    at_pole: bool


def turned(
    place: Place,
    rows: Blocks | Patterned,
    members: tuple[Member, ...],
    bounds: Bounds,
    gauge: Array,
    symmetric: bool,
) -> Turned:
    """The E-step at a place, and what follows from it."""
    step = em_step(place, rows, members, bounds, gauge, symmetric)
    points, flags = [], []
    for j, member in enumerate(members):
        share: Any = np.asarray(step.shares[j])
        held: Any = np.asarray(step.held[j])
        both = place.vectors[j], step.following.vectors[j], step.swept[j]
        point, flag = _charted(*both, share, held, rows.scale, member)
        points.append(point)
        flags.append(flag)
    weights = place.log_weights, step.following.log_weights, step.shares
    finite, pole = np.asarray(_stacked(flags)).T
    return Turned(
        step,
        _joined(*weights, points),
        bool(np.isfinite(step.log_likelihood) and finite.all()),
        bool(pole.any()),
    )


@small("member")
def _charted(
    at: Array,
    following: Array,
    swept: Swept,
    share: Array,
    held: Array,
    scale: Float[Array, " d"],
    member: Member,
) -> tuple[Array, Array]:
    """A component's part of :attr:`Turned.point`; whether it is finite, at a pole."""
    frame = member.frame
    law, ahead = frame.unpack(at), frame.unpack(following)
    moving = Moving(True, member.law.has_order)
    x, g = (coordinates(m.in_units(1 / scale), moving) for m in (law, ahead))
    slope = share * score(law, swept, frame, moving, scale)
    # What a bound holds does not move with an accelerator either.
    place = np.arange(x.shape[0])
    normal = (place >= frame.d) & (place < x.shape[0] - 2)
    g = jnp.where(held & normal, x, g)
    # Into a limit of the family, or out of it, leads EM alone.
    same = ((law.gig[1:] == 0) == (ahead.gig[1:] == 0)).all()
    x = jnp.where(same, x, jnp.nan)
    pole, _ = at_pole(law.gig, frame.d, swept.near[0], swept.head[3])
    empty = share == 0  # nothing is known, and nothing matters
    g, slope = jnp.where(empty, x, g), jnp.where(empty, 0.0, slope)
    every = jnp.concatenate([following, swept.head, swept.tail])
    finite = jnp.isfinite(every).all()
    return jnp.stack([x, g, slope]), jnp.stack([finite, pole & ~empty])


@small()
def _stacked(flags: list[Array]) -> Array:
    return jnp.stack(flags)


@small()
def _joined(log_weights, log_following, shares, points: list[Array]):
    weights = jnp.stack([log_weights, log_following, shares - jnp.exp(log_weights)])
    return tuple(jnp.concatenate([weights, *points], axis=1))


def moved(
    place: Place,
    point: Float[Array, " k"],
    bounds: Bounds,
    scale: Float[np.ndarray, " d"],
    members: tuple[Member, ...],
) -> Place | None:
    """The mixture with coordinates ``point``, within the bounds; None if not finite.

    ``place`` is one beside it.
    """
    k = len(members)
    host = np.asarray(point)
    if not np.isfinite(host).all():
        return None
    raised = np.exp(host[:k] - host[:k].max())
    weights, _ = at_least(raised / raised.sum(), bounds.share)
    each = np.split(host[k:], np.cumsum([_size(member) for member in members])[:-1])
    vectors = []
    for at, part, member in zip(place.vectors, each, members, strict=True):
        alpha_min = bounds.alpha_min if member.has_shape_bound else None
        vectors.append(_at(at, part, bounds.least, scale, alpha_min, member))
    if not np.isfinite(np.asarray(_all(vectors))).all():
        return None
    return Place(np.log(weights), vectors)


@small()
def _all(vectors: list[Array]) -> Array:
    return jnp.concatenate(vectors)


def _size(member: Member) -> int:
    """How many coordinates a component has."""
    d, r = member.frame.d, member.frame.r
    return 2 * d + 2 + (d + d * r if r else d * (d + 1) // 2)


@small("member")
def _at(at, point, least, scale, alpha_min, member: Member) -> Array:
    law = member.frame.unpack(at)
    if alpha_min is not None:  # in the limit a coordinate is the logarithm of the shape
        point = point.at[-2].set(jnp.maximum(point[-2], jnp.log(alpha_min)))
    moving = Moving(True, member.law.has_order)
    point, _ = within_reach(law, point, moving)
    there = at_coordinates(law, point, moving).in_units(scale)
    there = there.rescaled(typical_value(*law.gig))  # the unit of Y is kept
    return member.frame.pack(bounded(there, least)[0])


@small()
def begun(x: Array) -> QuasiNewton:
    """An accelerator that has seen nothing."""
    return QuasiNewton.begin(x.shape[0], x.dtype)


@small()
def onward(accelerator: QuasiNewton, x, g, slope):
    """The next proposal, and the accelerator after it."""
    return accelerator.proposal(x, g, lambda: slope)


@small()
def probing(accelerator: QuasiNewton):
    """A probe of a metric in which EM is too short."""
    return accelerator.probe()


@small()
def back(accelerator: QuasiNewton):
    """The proposal after one that was refused."""
    return accelerator.refused()
