"""EM for finite mixtures: a step of all components together.

All in coordinates centred at the data's mean, a vector for each component; the weights
go by their logarithms.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float

from normix._compile import small
from normix.exponential_family import SolverOptions
from normix.mixtures.law import Frame, Law, Swept
from normix.mixtures.maximum import mixing_maximised, normal_maximised
from normix.mixtures.memberships import swept_in_shares
from normix.mixtures.patterns import Patterned
from normix.mixtures.rows import Blocks
from normix.mixtures.subordinator import Subordinator
from normix.special._mode import typical_value


class Member(NamedTuple):
    """What is fixed of a component while programs compile; hashable."""

    frame: Frame
    law: type[Subordinator]

    @property
    def has_shape_bound(self) -> bool:
        """Whether ``alpha_min`` bounds its shape: that of a variance gamma law."""
        return self.law.bounded_below and not self.law.has_order


class Bounds(NamedTuple):
    """What keeps components from vanishing, and from shrinking onto a few rows.

    ``least``: what Σ exceeds, see :func:`within`. ``share``: the least weight.
    ``alpha_min``: the least shape of variance gamma members; None for no bound.
    """

    least: Any  # a matrix
    share: float
    alpha_min: Any


# The least spread of a component beside that of all rows, in standard deviations.
MIN_SCALE = 1e-3


def bounds_for(
    cov: Float[np.ndarray, "d d"],
    n: float,
    k: int,
    members: tuple[Member, ...],
    *,
    min_scale: float = MIN_SCALE,
    min_rows: float | None = None,
    alpha_min: Any = "density",
) -> Bounds:
    """The bounds for ``n`` rows with a covariance; see the fitter's options.

    **Raises**: ``ValueError`` where the rows are too few for all components.
    """
    d = len(cov)
    if min_rows is None:
        min_rows = max(m.frame.r + 2 if m.frame.r else d + 1 for m in members)
    rows = float(min_rows)
    if k * rows > n:
        raise ValueError(
            f"{n:g} rows are too few for {k} components of {rows:g} rows at least"
        )
    shaped = any(member.has_shape_bound for member in members)
    if isinstance(alpha_min, str):
        alpha_min = 0.5 * (d + 1)
    shape = alpha_min if shaped else None
    shape = None if shape is None else np.asarray(shape, cov.dtype)
    return Bounds(min_scale**2 * cov, rows / n, shape)


class Place(NamedTuple):
    """A finite mixture on the way of a fit."""

    log_weights: Float[np.ndarray, " k"]
    vectors: list[Array]


class Stepped(NamedTuple):
    """The E-step at a place, and EM's step from there.

    ``shares``: the mean shares of rows that the components have; ``held`` tells which
    components the bounds hold.
    """

    log_likelihood: float  # mean over rows
    shares: Float[np.ndarray, " k"]
    swept: list[Swept]
    following: Place
    held: np.ndarray


def em_step(
    place: Place,
    rows: Blocks | Patterned,
    members: tuple[Member, ...],
    bounds: Bounds,
    gauge: Array,
    symmetric: bool,
) -> Stepped:
    """One EM step of all components."""
    frames = [member.frame for member in members]
    log_weights: Any = place.log_weights
    totals, swept = swept_in_shares(rows, log_weights, place.vectors, frames)
    weight = totals[1:].sum()
    shares = totals[1:] / weight
    weights, held = at_least(shares, bounds.share)
    vectors = []
    for j, member in enumerate(members):
        at = following = place.vectors[j]
        if shares[j] > 0:  # else nothing tells where it should go
            alpha_min = bounds.alpha_min if member.has_shape_bound else None
            head, of = swept[j].head, member.law
            gig = mixing_maximised(head, of, SolverOptions(), None, alpha_min)
            rest = None, gauge, member.frame, symmetric
            free, _ = normal_maximised(at, swept[j], gig, *rest)
            following, narrow = within(free, bounds.least, member.frame)
            if narrow:
                # The bound is in a unit that the law of Y gives. With that law as it
                # is, μ, γ and the Σ that is cut off are the best: the step ascends.
                own, _ = normal_maximised(at, swept[j], None, *rest)
                following, _ = within(own, bounds.least, member.frame)
                held[j] = True
            if not np.isfinite(np.asarray(following)).all():
                # On equal rows at its μ alone: nothing is left that tells of Σ.
                following, held[j] = at, True
        vectors.append(following)
    following = Place(np.log(weights), vectors)
    return Stepped(float(totals[0] / weight), shares, swept, following, held)


def at_least(
    shares: Float[np.ndarray, " k"], least: float
) -> tuple[Float[np.ndarray, " k"], np.ndarray]:
    """The weights of maximum likelihood, none below ``least``; and which are held."""
    held = np.zeros(len(shares), bool)
    found = shares
    while (found < least).any():
        held |= found < least
        rest = (1 - least * held.sum()) / shares[~held].sum()
        found = np.where(held, least, shares * rest)
    return found, held


@small("frame")
def within(vector: Array, least: Array, frame: Frame) -> tuple[Array, Array]:
    """A law with Σ above ``least`` along every direction; and whether that moved it.

    In the unit of Y in which the density of ``log Y`` is highest at 0.
    """
    kept, narrow = bounded(frame.unpack(vector), least)
    return frame.pack(kept), narrow


def bounded(law: Law, least: Float[Array, "d d"]) -> tuple[Law, Bool[Array, ""]]:
    """The law of :func:`within`, and whether it is another."""
    y = typical_value(*law.gig)
    kept, narrow = law.dispersion.scaled(y).at_least(least)
    # To the last bit, where the bound is met.
    flat = jnp.where(narrow, kept.scaled(1 / y).flat(), law.dispersion.flat())
    form, d, r = type(law.dispersion), law.mu.shape[0], law.dispersion.rank
    return law._replace(dispersion=form.from_flat(flat, d, r)), narrow
