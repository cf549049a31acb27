"""Joint cumulants from joint moments."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from itertools import product
from math import comb

import jax
import jax.numpy as jnp
from jax.custom_derivatives import SymbolicZero
from jaxtyping import Array, Float

Index = tuple[int, ...]


def multi_indices(variables: int, order: int) -> list[Index]:
    """All multi-indices of total degree at most ``order``, by degree."""
    every = product(range(order + 1), repeat=variables)
    return sorted((a for a in every if sum(a) <= order), key=lambda a: (sum(a), a))


def cumulants_from_moments(
    moments: Mapping[Index, Float[Array, "..."]],
) -> dict[Index, Float[Array, "..."]]:
    """Joint cumulants of total degree >= 1 from all joint moments up to that degree.

    Uses the recursion of the logarithm of a moment generating function (Smith,
    The American Statistician 49, 1995); moments should be taken about a point near
    the mean, so that nothing large is subtracted.
    """
    cumulants: dict[Index, Float[Array, "..."]] = {}
    for a in sorted(moments, key=lambda index: (sum(index), index)):
        if sum(a) == 0:
            continue
        i = next(j for j, degree in enumerate(a) if degree)
        lowered = tuple(degree - (j == i) for j, degree in enumerate(a))
        value = moments[a]
        for b in product(*(range(degree + 1) for degree in lowered)):
            if b == lowered:
                continue
            ways = 1
            for top, bottom in zip(lowered, b, strict=True):
                ways *= comb(top, bottom)
            raised = tuple(degree + (j == i) for j, degree in enumerate(b))
            rest = tuple(x - y for x, y in zip(lowered, b, strict=True))
            value = value - ways * cumulants[raised] * moments[rest]
        cumulants[a] = value
    return cumulants


def directional(
    partials: Mapping[Index, Float[Array, "..."]],
    index: Index,
    tangents: Sequence[Float[Array, "..."] | SymbolicZero],
) -> Float[Array, "..."]:
    """The derivative of one partial, along ``tangents``, from those one order up.

    A variable that is not being differentiated is left out rather than multiplied
    by zero: its partial may be infinite. So may that of one whose tangent is zero.
    """
    total = jnp.zeros_like(partials[index])
    for i, tangent in enumerate(tangents):
        if not isinstance(tangent, SymbolicZero):
            raised = tuple(degree + (j == i) for j, degree in enumerate(index))
            total = total + times(partials[raised], tangent)
    return total


@jax.custom_jvp
def times(factor: Float[Array, "..."], tangent: Array) -> Array:
    """``factor * tangent``, where the factor may be infinite, and then 0 for 0.

    Linear in ``tangent``: an infinite factor is two finite ones in turn, whose
    product overflows.
    """
    infinite = jnp.isinf(factor)
    big = jnp.finfo(factor.dtype).max ** 0.75
    first = jnp.where(infinite, jnp.sign(factor) * big, factor)
    return tangent * first * jnp.where(infinite, big, 1.0)


@times.defjvp
def _times_jvp(primals, tangents):
    factor, tangent = primals
    still = tangent == 0  # its product with an infinite change of the factor, too
    moved = jnp.where(still, 0.0, tangents[0] * jnp.where(still, 1.0, tangent))
    return times(factor, tangent), moved + times(factor, tangents[1])


def slope_in(function: Callable[..., Array], position: int) -> Callable[..., Array]:
    """The derivative of an elementwise function in one of its arguments."""

    def slope(*args: Array) -> Array:
        def along(x: Array) -> Array:
            return function(*args[:position], x, *args[position + 1 :])

        return jax.jvp(along, (args[position],), (jnp.ones_like(args[position]),))[1]

    return slope
