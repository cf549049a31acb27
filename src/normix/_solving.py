"""What families are solved for: parameters as vectors, and by which solver."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, NamedTuple, Protocol, runtime_checkable

from jaxtyping import Array, ArrayLike, Float

from normix._arrays import as_float, as_scalar, check_positive

if TYPE_CHECKING:
    from normix.exponential_family import ExponentialFamily

BACKENDS = ("jax", "cpu")
METHODS = ("newton", "lbfgs", "bfgs")


@runtime_checkable
class StatisticsRecord(Protocol):
    """Named expectations that can be laid out as one vector η."""

    def vector(self) -> Array: ...


class SolverOptions(NamedTuple):
    """How an iterative η → θ solver is to run; static under ``jit``."""

    maxiter: int = 100
    tol: float = 1e-10
    backend: str = "jax"
    method: str = "newton"


def as_vector(
    family: type[ExponentialFamily], name: str, value: ArrayLike
) -> Float[Array, " k"]:
    """Parameters as floats; ``ValueError`` where there are too many or too few."""
    array = as_float(value)
    one, d, square = family._terms
    k = array.shape[0] if array.ndim == 1 else 0
    sizes = (one + d * m + square * m * m for m in range(1, math.isqrt(k) + 2))
    if k not in sizes:
        powers = zip((square, d), ("d*d", "d"), strict=True)
        terms = [f"{c} {x}" if c > 1 else x for c, x in powers if c]
        terms += [str(one)] if one else []
        raise ValueError(
            f"{family.__name__}: {name} must have shape ({' + '.join(terms)},), "
            f"got {array.shape}"
        )
    return array


def as_order(alpha: ArrayLike) -> Float[Array, ""]:
    """The order of an entropy: a positive scalar."""
    order = as_scalar("alpha", alpha)
    check_positive("order of an entropy", alpha=order)
    return order
