"""Checked data of a fit, in the form that their place asks for."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Array

from normix._arrays import is_traced
from normix.fitting.em.poles import Source
from normix.mixtures.rows import Rows


class FitData(NamedTuple):
    """Rows for E-steps, and other views of them."""

    rows: Rows
    n: Any  # rows that weigh something
    total: Any  # their weight
    dtype: np.dtype
    sample: np.ndarray | Array | None  # rows for random starts
    source: Source | None = None  # for what is told of equal rows; None under jit
    weights: Any = None  # theirs; None counts each once


def counted(n: int, weights: Array | np.ndarray | None) -> Any:
    """How many of ``n`` rows weigh something; an array under ``jit``."""
    if weights is None:
        return float(n)
    count = (weights > 0).sum()
    return count if is_traced(count) else float(count)


def total(n: int, weights: Array | np.ndarray | None) -> Any:
    """The weight of all rows; an array under ``jit``."""
    if weights is None:
        return float(n)
    weight = weights.sum()
    return weight if is_traced(weight) else float(weight)
