"""Densities and draws of mixtures whose parameters have batch axes."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial
from typing import Any, TypeVar

import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, ArrayLike, Float, PRNGKeyArray

from normix.mixtures.cholesky import CholeskyDispersion
from normix.mixtures.dispersion import InnerProducts
from normix.mixtures.families import Family
from normix.mixtures.joint import JointNormalMixture
from normix.mixtures.posterior import FAR, log_density_about_mode
from normix.mixtures.subordinator import Subordinator

Real = Float[Array, "..."]
Law = TypeVar("Law")


def floats(*values: ArrayLike) -> list[Array]:
    """Arrays of one floating dtype, each of its own shape."""
    dtype = jnp.result_type(*values)
    if not jnp.issubdtype(dtype, jnp.floating):
        dtype = jnp.result_type(float)
    return [jnp.asarray(value, dtype) for value in values]


def joint_of(
    family: Family, mu: Array, gamma: Array, root: Array, mixing: dict[str, Array]
) -> JointNormalMixture:
    """The law of ``(X, Y)``; ``mu`` and ``gamma`` ``(d,)``, ``root`` ``(d, d)``."""
    dispersion = CholeskyDispersion(root)
    return family.joint(
        mu, gamma, dispersion, law_of(family.joint._subordinator_class, mixing)
    )


def law_of(kind: Callable[..., Law], parameters: dict[str, Array]) -> Law:
    """A positive law of this kind, whose parameters broadcast to one shape."""
    values = jnp.broadcast_arrays(*parameters.values())
    return kind(**dict(zip(parameters, values, strict=True)))


def in_groups(
    function: Callable[..., Any],
    shape: tuple[int, ...],
    batch: tuple[int, ...],
    shared: tuple[Array, ...],
    rows: tuple[Array, ...],
) -> Any:
    """``function(shared, rows, size)`` of each group of rows that share parameters.

    ``shared`` have the axes ``batch`` in front, which broadcasts against ``shape``,
    the axes of the rows. The function takes one set of parameters and the ``size``
    rows that have them along the first axis, and returns arrays with such an axis;
    they come back with the axes ``shape``. Of one group it is called once, without
    ``vmap``, which would turn branches that no row needs into work for all.
    """
    axes = (1,) * (len(shape) - len(batch)) + batch
    order = sorted(range(len(shape)), key=lambda k: axes[k] == 1)  # groups first
    back = sorted(range(len(shape)), key=lambda k: order[k])
    groups, size = math.prod(batch), math.prod(shape) // max(math.prod(batch), 1)

    def split(x):
        event = range(len(shape), x.ndim)
        x = jnp.transpose(x, (*order, *event))
        return x.reshape(groups, size, *x.shape[len(shape) :])

    def joined(x):
        event = x.shape[2:]
        x = x.reshape(*(shape[k] for k in order), *event)
        return jnp.transpose(x, (*back, *range(len(shape), x.ndim)))

    by_group = [x.reshape(groups, *x.shape[len(batch) :]) for x in shared]
    split_rows = [split(x) for x in rows]

    def of_group(own, theirs):
        return function(tuple(own), tuple(theirs), size)

    if groups == 1:
        one = of_group([x[0] for x in by_group], [x[0] for x in split_rows])
        found = jax.tree.map(lambda x: x[None], one)
    else:
        found = jax.vmap(of_group)(by_group, split_rows)
    return jax.tree.map(joined, found)


@partial(jax.jit, static_argnums=(0, 3))
def draws_of(
    kind: Callable[..., Any],
    key: PRNGKeyArray,
    parameters: dict[str, Array],
    shape: tuple[int, ...],
) -> Array:
    """Draws of positive laws; their parameters broadcast against ``shape``."""
    values = jnp.broadcast_arrays(*parameters.values())
    batch = values[0].shape

    def of_group(shared, rows, size):
        own_key, *own = shared
        return law_of(kind, dict(zip(parameters, own, strict=True)))._draw(
            own_key, size
        )

    keys = jax.random.split(key, batch)
    return in_groups(of_group, shape, batch, (keys, *values), ())


# -- the density ---------------------------------------------------------------------


@partial(jax.jit, static_argnums=(0, 1))
def log_density(
    kind: type[Subordinator],
    core: int,
    value: ArrayLike,
    mu: ArrayLike,
    gamma: ArrayLike,
    root: ArrayLike,
    mixing: dict[str, ArrayLike],
) -> Real:
    """The log-density, see :func:`normix.mixtures.posterior.log_density_of_rows`.

    The special function that takes the time is evaluated at every row and, for rows of
    one mixing law, once more: rows that differ in μ, γ or Σ cost no more than others.
    """
    value, mu, gamma, root, *rest = floats(value, mu, gamma, root, *mixing.values())
    gap = value - mu
    gig = law_of(kind, dict(zip(mixing, rest, strict=True))).gig_params()
    normal = jnp.broadcast_shapes(
        gamma.shape[: gamma.ndim - core], root.shape[: root.ndim - 2 * core]
    )
    shape = gap.shape[: gap.ndim - core]
    shape = jnp.broadcast_shapes(shape, normal, gig[0].shape)
    event = gap.shape[gap.ndim - core :]
    gap = jnp.broadcast_to(gap, shape + event)
    size = jnp.abs(gap).max(axis=-1) if core else jnp.abs(gap)
    finite = size < jnp.inf
    # In units of Y in which squares of distances do not overflow.
    unit = lax.stop_gradient(jnp.where(finite & (size > FAR), size, 1.0))
    per_row = (lambda x: x[..., None]) if core else (lambda x: x)
    gap = jnp.where(per_row(finite), gap, 0.0) / per_row(jnp.sqrt(unit))
    of_rows = _products_of_vectors if core else _products_of_scalars
    products, log_det = of_rows(gap, gamma, root, shape, normal)
    spread = [jnp.broadcast_to(x, shape) for x in (*products, log_det, unit)]

    def of_group(gig, rows, size):
        *four, log_det, unit = rows
        found = InnerProducts(*four)
        return log_density_about_mode(gig, found, math.prod(event), log_det, unit)

    found = in_groups(of_group, shape, gig[0].shape, gig, tuple(spread))
    outside = jnp.where(jnp.isnan(size), jnp.nan, -jnp.inf)
    return jnp.where(finite, found, outside)


def _products_of_scalars(gap, gamma, scale, shape, normal):
    white, skew = gap / scale, gamma / scale
    square = white * white
    # Nothing is across γ, not even rounding.
    across = jnp.where(skew * skew > 0, 0.0, square)
    products = InnerProducts(square, skew * white, skew * skew, across)
    return products, 2 * jnp.log(scale)


def _products_of_vectors(gap, gamma, root, shape, normal):
    d = gap.shape[-1]

    def of_group(shared, rows, size):
        gamma, root = shared
        dispersion = CholeskyDispersion(root)
        found = dispersion.inner_products(rows[0], gamma)
        values = *found, dispersion.log_det()
        return [jnp.broadcast_to(x, (size,)) for x in values]

    shared = (
        jnp.broadcast_to(gamma, (*normal, d)),
        jnp.broadcast_to(root, (*normal, d, d)),
    )
    *four, log_det = in_groups(of_group, shape, normal, shared, (gap,))
    return InnerProducts(*four), log_det
