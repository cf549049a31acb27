"""Checked data of a fit, in the form that their place asks for."""

from __future__ import annotations

from typing import Any, NamedTuple, cast

import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Array, ArrayLike

from normix._arrays import as_weights, is_spread, is_traced
from normix._columns import Independence, column_names
from normix._missing import check_seen, present
from normix._passes import Data, RowPasses, passes_over
from normix.fitting.em.poles import Source
from normix.mixtures.in_one import InOne, layout_of, rows_on_devices, sample_of
from normix.mixtures.marginal import MarginalMixture
from normix.mixtures.patterns import PatternedPasses, patterned
from normix.mixtures.rows import (
    Moments,
    Rows,
    block_length,
    blocks_in_memory,
    blocks_in_passes,
    moments_of,
)


class FitData(NamedTuple):
    """Rows for E-steps, and other views of them."""

    rows: Rows
    n: Any  # rows that weigh something
    total: Any  # their weight
    dtype: np.dtype
    # Rows for random starts, and for what is told of equal rows; NaN where missing.
    # The latter None under jit.
    sample: np.ndarray | Array | None
    source: Source | None = None
    weights: Any = None  # theirs; None counts each once
    left_out: int = 0  # rows that missing entries have cost
    missing_share: float = 0.0  # of the entries of the other rows


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


def data_of(
    model: MarginalMixture,
    X: Data,
    weights: ArrayLike | None,
    chunk_size: int | None,
    missing: str,
    traced: bool,
) -> FitData:
    """The data of a fit, checked; ``traced``: whether options of it are traced.

    **Raises**: ``ValueError`` for data or weights that are not as the fit asks for.
    """
    passes = passes_over(X, model._axes)
    if passes is not None:
        if is_traced(model):
            raise ValueError("data that are read in chunks cannot be fitted under jit")
        return _in_passes(model, passes, weights, chunk_size, missing)
    gaps = missing != "raise"
    rows: Any = model._rows(cast(ArrayLike, X), model.d, missing=gaps)
    w: Any = None if weights is None else as_weights(weights, rows.shape[0])
    in_sight = not (is_traced(rows, w) or is_spread(rows))
    dtype = np.dtype(jnp.result_type(rows, model.joint.mu))
    layout = layout_of(rows, chunk_size)
    rows, w, left_out, share = kept = present(rows, w, missing)
    em = missing == "em" and kept.has_gaps
    seen = rows
    if w is not None and in_sight:
        seen = rows[np.asarray(w) > 0]  # the others do not exist
    model.check_rows(seen, column_names(X), missing=em)
    told = {"left_out": left_out, "missing_share": share}
    if traced or is_traced(rows, w, model):
        rows = rows.astype(dtype)
        w = None if w is None else w.astype(dtype)
        # Where the fit counts from is no matter of its derivatives.
        moments = lax.stop_gradient(moments_of(rows, missing=em))
        n = counted(rows.shape[0], w), total(rows.shape[0], w)
        return FitData(InOne(rows, w, moments, layout, em), *n, dtype, rows)
    if layout.mesh is not None:
        spread = rows_on_devices(rows, w, dtype, layout, em)
        sample = sample_of(rows, layout)
        n = counted(rows.shape[0], w), total(rows.shape[0], w)
        return FitData(spread, *n, dtype, sample, rows, w, **told)
    host, weighed = np.asarray(rows), None if w is None else np.asarray(w)
    seen = host if weighed is None else host[weighed > 0]
    kept_w = None if weighed is None else weighed[weighed > 0]
    n = float(len(seen)), total(len(seen), kept_w)
    if em:
        moments = moments_of(seen, missing=True)
        in_memory = patterned(seen, kept_w, moments, dtype, chunk_size)
        return FitData(in_memory, *n, dtype, seen, seen, kept_w, **told)
    size = block_length(len(host), chunk_size)
    blocks = blocks_in_memory(host, weighed, moments_of(host), dtype, size)
    return FitData(blocks, *n, dtype, host, seen, kept_w, **told)


def _in_passes(
    model: MarginalMixture,
    passes: RowPasses,
    weights: ArrayLike | None,
    chunk_size: int | None,
    missing: str,
) -> FitData:
    watch = Independence(equal_only=model.takes_collinear)
    gaps, left_out = missing != "raise", 0
    w = None if weights is None else np.asarray(weights)
    if gaps:
        passes = passes.without_gaps(missing)
        kept = passes.kept()
        left_out = sum(int((~counts).sum()) for counts in kept)
        if w is not None and left_out:
            w = np.asarray(as_weights(w, sum(map(len, kept))))[np.concatenate(kept)]

    def check(chunk):
        rows = np.asarray(model._rows_of_chunk(chunk, model.d, missing=gaps))
        watch.see(rows[~np.isnan(rows).any(axis=1)] if gaps else rows)

    found = passes.moments(check)
    model.check_fit(found.n, model.d, found.constant, watch.dependent())
    w = None if w is None else np.asarray(as_weights(w, found.n))
    dtype = np.dtype(jnp.result_type(found.dtype, model.joint.mu))
    moments = Moments(found.mean.astype(dtype), found.scale.astype(dtype))
    size = block_length(found.n, chunk_size)
    asked = passes, found.n, w, moments, dtype, size
    n = counted(found.n, w), total(found.n, w)
    share = 0.0
    if found.together is None:
        rows: Rows = blocks_in_passes(*asked)
    else:
        check_seen(found.together, pairs=not model.takes_collinear)
        share = 1 - float(np.trace(found.together)) / (found.n * model.d)
        rows = PatternedPasses(*asked)
    told = {"left_out": left_out, "missing_share": share}
    return FitData(rows, *n, dtype, None, passes, w, **told)
