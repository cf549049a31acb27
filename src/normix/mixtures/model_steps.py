"""E- and M-steps of one model: what the surface of a mixture is made of."""

from __future__ import annotations

from functools import partial
from typing import TypeVar

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from normix._arrays import is_traced
from normix._compile import ROWS, of_each, small
from normix._loops import eagerly
from normix.exponential_family import SolverOptions
from normix.mixtures.cholesky import CholeskyDispersion
from normix.mixtures.in_one import InOne, layout_of, rows_on_devices, sum_over_rows
from normix.mixtures.joint import JointNormalMixture
from normix.mixtures.law import Frame, Swept, statistics_head
from normix.mixtures.low_rank import FactorDispersion
from normix.mixtures.maximum import mixing_maximised, normal_maximised, nowhere
from normix.mixtures.patterns import patterned
from normix.mixtures.posterior import log_density_of_rows, log_density_seen
from normix.mixtures.rows import Moments, block_length, blocks_in_memory
from normix.mixtures.statistics import (
    FactorMixtureStats,
    MixtureStatistics,
    MixtureSums,
)
from normix.mixtures.subordinator import Subordinator

Joint = TypeVar("Joint", bound=JointNormalMixture)


@of_each(axes=1, options=ROWS)
def log_prob_of_rows(joint: JointNormalMixture, X: Array | np.ndarray) -> Array:
    """The log-density of every row; differentiable."""
    return joint.log_prob_marginal(jnp.asarray(X))


@of_each(axes=1, options=ROWS)
def log_prob_seen(joint: JointNormalMixture, X: Array | np.ndarray) -> Array:
    """The log-density of what is not NaN of every row; differentiable."""
    return log_density_seen(joint.law(), jnp.asarray(X))


# ``gaps`` says that NaN stands for missing entries among the rows.


def mean_log_likelihood(
    joint: JointNormalMixture,
    X: Float[Array, "n d"],
    weights: Array | None,
    gaps: bool = False,
) -> Float[Array, ""]:
    """The mean log-density of rows, by weight; of traced values differentiable."""
    if is_traced(joint, X, weights):
        return _mean_log_prob(joint, X, weights, gaps)
    total, size = np.asarray(swept_over(joint, X, weights, gaps)[1].head)[:2]
    return jnp.asarray(total / size)


def e_step_sums(
    joint: JointNormalMixture,
    X: Array,
    weights: Array | None,
    gaps: bool = False,
    backend: str = "jax",
) -> MixtureSums:
    """The E-step as sums over rows."""
    vector, swept = swept_over(joint, X, weights, gaps, backend)
    return _as_sums(vector, swept, joint.frame)


def e_step(
    joint: JointNormalMixture,
    X: Array,
    weights: Array | None,
    gaps: bool = False,
    backend: str = "jax",
) -> MixtureStatistics:
    """The E-step as means over rows."""
    return _expectations(e_step_sums(joint, X, weights, gaps, backend))


def m_step(
    joint: JointNormalMixture, sums: MixtureSums, options: SolverOptions
) -> JointNormalMixture:
    """The law of maximum likelihood for the sums of an E-step."""
    vector, swept = _as_swept(joint, sums)
    frame = joint.frame
    gig = mixing_maximised(swept.head, type(joint.subordinator), options)
    gauge = nowhere(frame, np.dtype(vector.dtype))[2]
    vector, _ = normal_maximised(vector, swept, gig, None, gauge, frame, False)
    return of_vector(vector, frame, type(joint))


def maximum(
    family: type[JointNormalMixture], eta: MixtureStatistics, options: SolverOptions
) -> JointNormalMixture:
    """The law of a family of maximum likelihood for given expectations."""
    swept = _statistics_as_swept(eta)
    gig = mixing_maximised(swept.head, family._subordinator_class, options)
    return of_vector(*_normal_of(swept, gig, eta), family)


def with_normal_part(
    joint: JointNormalMixture, eta: MixtureStatistics
) -> JointNormalMixture:
    """Only μ, γ and Σ of maximum likelihood, beside the law's own mixing law."""
    kept = joint.subordinator
    gig = jnp.stack(kept.gig_params())
    new = of_vector(*_normal_of(_statistics_as_swept(eta), gig, eta), type(joint))
    return eqx.tree_at(lambda j: j.subordinator, new, kept)


def mixing_part(
    family: type[Subordinator], eta: MixtureStatistics, options: SolverOptions
) -> Subordinator:
    """Only the mixing law of maximum likelihood."""
    swept = _statistics_as_swept(eta)
    return _mixing_law(mixing_maximised(swept.head, family, options), family)


@partial(jax.jit, static_argnames="gaps")
def _mean_log_prob(
    joint: JointNormalMixture, X: Array, weights: Array | None, gaps: bool
) -> Array:
    """Differentiable, for values that are traced."""

    def total(at, rows, w):
        density = (log_density_seen if gaps else log_density_of_rows)(at.law(), rows)
        return density.sum() if w is None else density @ w

    size = X.shape[0] if weights is None else weights.sum()
    return sum_over_rows(total, joint, X, weights, jnp.add) / size


def swept_over(
    joint: JointNormalMixture,
    X: Array,
    weights: Array | None,
    gaps: bool,
    backend: str = "jax",
) -> tuple[Array, Swept]:
    """The law as a vector and its E-step over rows, wherever they lie."""
    with eagerly(joint, X, weights):
        return _swept_over(joint, X, weights, gaps, backend)


def _swept_over(joint, X, weights, gaps: bool, backend: str) -> tuple[Array, Swept]:
    dtype = jnp.result_type(X, joint.mu)
    vector = packed(joint)
    if vector.dtype != dtype:
        vector = vector.astype(dtype)
    zero = np.zeros(joint.d, dtype)
    moments = Moments(zero, np.ones_like(zero))
    layout = layout_of(X)
    if is_traced(joint, X, weights):
        about = jnp.asarray(zero), jnp.asarray(zero)
        rows = InOne(X, weights, about, layout, gaps)
    elif layout.mesh is not None:
        rows = rows_on_devices(X, weights, dtype, layout, gaps)
        rows.centre = jnp.asarray(zero)
    else:
        host = None if weights is None else np.asarray(weights)
        size, seen = block_length(X.shape[0]), np.asarray(X)
        if gaps:
            rows = patterned(seen, host, moments, dtype)
        else:
            rows = blocks_in_memory(seen, host, moments, dtype, size)
    return vector, rows.swept(vector, joint.frame, backend)


@small()
def packed(joint: JointNormalMixture) -> Array:
    """The law as one vector."""
    return joint.frame.pack(joint.law())


@small("frame")
def _as_sums(vector: Array, swept: Swept, frame: Frame) -> MixtureSums:
    totals = frame.statistics(swept.head[2:5], swept.tail)
    mu = frame.unpack(vector).mu
    place = mu, swept.near[0], swept.near[1:], vector
    return MixtureSums(totals, swept.head[0], swept.head[1], *place)


@small()
def _expectations(sums: MixtureSums) -> MixtureStatistics:
    return sums.expectations()


@small()
def _as_swept(joint: JointNormalMixture, sums: MixtureSums) -> tuple[Array, Swept]:
    """The law moved to where the sums were taken, and these."""
    there = eqx.tree_at(lambda j: j.mu, joint, sums.location)
    frame, eta = joint.frame, sums.totals
    of_y = eta.E_log_Y, eta.E_inv_Y, eta.E_Y
    head = statistics_head(sums.log_likelihood, sums.weight, *of_y)
    near = jnp.append(sums.nearest, sums.nearest_row)
    return frame.pack(there.law()), Swept(head, frame.tail(eta), near)


@small()
def _statistics_as_swept(eta: MixtureStatistics) -> Swept:
    _, _, _, *rest = eta.fields()
    zero, one = jnp.zeros_like(eta.E_Y), jnp.ones_like(eta.E_Y)
    head = statistics_head(zero, one, eta.E_log_Y, eta.E_inv_Y, eta.E_Y)
    tail = jnp.concatenate([x.ravel() for x in rest])
    return Swept(head, tail, jnp.zeros_like(jnp.append(eta.E_X, zero)))


def _normal_of(swept: Swept, gig: Array, eta: MixtureStatistics) -> tuple[Array, Frame]:
    """μ, γ and Σ for a record of expectations, beside a mixing law; as a vector."""
    d = eta.E_X.shape[0]
    r = eta.E_ZZT.shape[0] if isinstance(eta, FactorMixtureStats) else 0
    frame = Frame(FactorDispersion if r else CholeskyDispersion, d, r)
    zero, near, gauge = nowhere(frame, np.dtype(gig.dtype))
    swept = swept._replace(near=near)
    return normal_maximised(zero, swept, gig, None, gauge, frame, False)[0], frame


@small("frame", "family")
def of_vector(
    vector: Array,
    frame: Frame,
    family: type[Joint],
    shift: Float[Array, " d"] | None = None,
) -> Joint:
    """The member of a family that a vector holds, of ``X + shift``."""
    law = frame.unpack(vector)
    return family.of_law(law if shift is None else law.translated(shift))


@small("family")
def _mixing_law(gig: Array, family: type[Subordinator]) -> Subordinator:
    return family.from_gig_params(*gig)
