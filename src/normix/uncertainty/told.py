"""What data say of a model near it, whatever the model is."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple, Protocol

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, ArrayLike, Bool, Float


class Parameters(Protocol):
    """The parameters that are told, and the coordinates that they depend on."""

    def of_model(self, model: Any) -> Float[Array, " p"]:
        """The parameters of another model of the family."""
        ...

    def derivative(self, f: Callable[[Any], ArrayLike]) -> tuple[Array, Array]:
        """The value of a function of the model, and its slopes by free coordinates."""
        ...


class Told(NamedTuple):
    """Scores and information of rows, in coordinates of which k are free.

    ``slopes``: of the parameters by those; ``positive``: which parameters are, whose
    intervals are in the logarithm. ``redundant``: directions in which the law
    does not change, as columns. ``mean_llf``: the log-likelihood of a row.
    """

    parameters: Parameters
    names: tuple[str, ...]
    params: Float[np.ndarray, " p"]
    positive: Bool[np.ndarray, " p"]
    slopes: Float[np.ndarray, "p k"]
    scores: Float[np.ndarray, "n k"]
    information: Float[np.ndarray, "k k"]
    redundant: Float[np.ndarray, "k r"]
    mean_llf: float
    held: tuple[str, ...]


def enough(n: int, k: int) -> None:
    """Raise ``ValueError`` for fewer rows than parameters."""
    if n <= k:
        rows = "1 row" if n == 1 else f"{n} rows"
        raise ValueError(f"{rows} cannot tell of {k} parameters")


def numbers(value: object) -> Array:
    """What a function of the model returned, as an array; else ``ValueError``."""
    try:
        found = jnp.asarray(value)
    except (TypeError, ValueError):
        found = None
    if found is None or not jnp.issubdtype(found.dtype, jnp.inexact):
        raise ValueError(f"f must return a number or an array of them, got {value!r}")
    return found
