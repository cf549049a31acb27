"""Functions of a law at arrays of any length, in lengths that are compiled already."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from jaxtyping import ArrayLike

from normix.mixtures.rows import grid

# Values at once: for so many, the functions compile with options that suit them.
_AT_ONCE = 4096


def elementwise(function: Callable[[Any], Any], x: ArrayLike) -> Any:
    """``function`` at ``x`` of any shape, by arrays of a length from the grid.

    What fills them up are copies of the first value.
    """
    values = np.asarray(x, float)
    flat, parts = values.ravel(), []
    for begin in range(0, flat.size, _AT_ONCE):
        part = flat[begin : begin + _AT_ONCE]
        filled = np.full(grid(part.size), part[0])
        filled[: part.size] = part
        parts.append(np.asarray(function(filled), float)[: part.size])
    found = np.concatenate(parts) if parts else np.zeros(0)
    return found.reshape(values.shape)[()]
