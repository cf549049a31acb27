"""Conversion and checking of what users pass in."""

from __future__ import annotations

import warnings
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer
from jaxtyping import Array, ArrayLike

_warned = False


def _warn_single_precision() -> None:
    global _warned
    if not _warned and not jax.config.read("jax_enable_x64"):
        _warned = True
        warnings.warn(
            "normix is running in single precision; for double precision call "
            'jax.config.update("jax_enable_x64", True) before creating arrays',
            stacklevel=4,
        )


def as_float(x: ArrayLike) -> Array:
    """``x`` as a JAX array of floating dtype."""
    _warn_single_precision()
    if not isinstance(x, jax.Array):
        # A copy, made by NumPy: jnp.asarray compiles a program for every shape.
        return jax.device_put(np.array(as_floating(x)))
    dtype = x.dtype
    if not jnp.issubdtype(dtype, jnp.floating):
        dtype = jnp.result_type(float)
    if x.dtype == dtype and not x.weak_type:
        return x
    # An explicit dtype also drops weak types, which would compile everything twice.
    return jnp.asarray(x, dtype=dtype)


def as_floating(x: ArrayLike) -> np.ndarray:
    """``x`` as a NumPy array of a floating dtype that JAX has; not a copy if it is."""
    array = np.asarray(x)
    floating = np.issubdtype(array.dtype, np.floating) or array.dtype == jnp.bfloat16
    dtype = array.dtype if floating else np.dtype(float)
    return np.asarray(array, jax.dtypes.canonicalize_dtype(dtype))


def is_traced(*values) -> bool:
    """Whether any value is abstract, so that it cannot be looked at."""
    return any(isinstance(leaf, Tracer) for leaf in jax.tree.leaves(values))


def is_spread(array: Array | np.ndarray) -> bool:
    """Whether an array lies on several devices, perhaps of several processes."""
    if is_traced(array) or not isinstance(array, jax.Array):
        return False
    return len(array.sharding.device_set) > 1


def check_positive(owner: str, **values: Array) -> None:
    """Raise ``ValueError`` where a visible parameter is not positive.

    NaN passes: it is how a failed estimate is flagged under ``jit``.
    """
    for name, value in values.items():
        if not is_traced(value) and np.any(np.asarray(value) <= 0):
            raise ValueError(f"{owner}: {name} must be positive, got {value}")


def check_option(name: str, value: object, options: tuple[str, ...]) -> None:
    """Raise ``ValueError`` for a string that is not one of ``options``."""
    if value not in options:
        listed = ", ".join(repr(option) for option in options)
        raise ValueError(f"{name} must be one of {listed}; got {value!r}")


def check_count(name: str, n: int) -> None:
    """Raise ``ValueError`` for a negative number of things."""
    if n < 0:
        raise ValueError(f"{name} must be at least 0, got {n}")


def as_weights(weights: ArrayLike, n: int) -> Array:
    """Weights of ``n`` observations as a finite, not negative ``(n,)`` float array."""
    array = as_float(weights)
    if array.shape != (n,):
        raise ValueError(f"weights must have shape ({n},), got {array.shape}")
    if not is_traced(array):
        # What is spread is not gathered.
        xp = jnp if is_spread(array) else np
        here = xp.asarray(array)
        if not (xp.isfinite(here).all() and (here >= 0).all() and here.sum() > 0):
            raise ValueError(
                "weights must be finite and not negative, with a positive sum"
            )
    return array


def _as_rows(X: ArrayLike) -> Array | np.ndarray:
    """Floats of the enabled precision; what is at hand stays with NumPy.

    Single-precision data become double where that is enabled, as their statistics lose
    more to rounding than the data have lost; a copy only then.
    """
    wide = jax.dtypes.canonicalize_dtype(float)
    if isinstance(X, jax.Array):
        array = as_float(X)
        return array if array.dtype == wide else array.astype(wide)
    _warn_single_precision()
    return np.asarray(as_floating(X), wide)


def as_data(X: ArrayLike, *, columns: int | None = None) -> Array | np.ndarray:
    """Observations as a finite ``(n, d)`` float array, of JAX's or NumPy's.

    **Raises**: ``ValueError`` for another number of dimensions or columns, for no
    rows, and for NaN or infinite entries (with their count and first row). Values
    that are being traced are not looked at.
    """
    array = _as_rows(X)
    if array.ndim != 2:
        raise ValueError(
            f"X must have shape (n, d), got {array.shape}; "
            "a single series is X[:, None]"
        )
    if columns is not None and array.shape[1] != columns:
        raise ValueError(
            f"X must have {columns} columns as the model has, got shape {array.shape}"
        )
    if array.shape[0] == 0 or array.shape[1] == 0:
        raise ValueError(f"X must not be empty, got shape {array.shape}")
    _check_finite(array)
    return array


def as_series(X: ArrayLike) -> Array | np.ndarray:
    """Observations of one variable as a finite ``(n,)`` float array.

    **Raises**: ``ValueError`` for another shape, no values, NaN or infinite ones.
    """
    array = _as_rows(X)
    if array.ndim != 1 or array.shape[0] == 0:
        raise ValueError(f"X must have shape (n,) with n >= 1, got {array.shape}")
    _check_finite(array)
    return array


def as_sample(X: ArrayLike) -> Array | np.ndarray:
    """Observations of one positive variable as a finite ``(n,)`` float array."""
    array = as_series(X)
    if is_traced(array):
        return array
    here = np.asarray(array)
    if not (here > 0).all():
        row = int(np.argmax(here <= 0))
        raise ValueError(f"X must be positive, got {here[row]} in row {row}")
    return array


def _check_finite(array: Array | np.ndarray) -> None:
    if is_traced(array):
        return
    xp: Any = jnp if is_spread(array) else np  # what is spread is not gathered
    finite = xp.isfinite(xp.asarray(array))
    if not finite.all():
        row = (~finite).reshape(len(finite), -1).any(axis=1).argmax()
        raise ValueError(
            f"X must be finite, got {int((~finite).sum())} NaN or infinite values, "
            f"the first in row {int(row)}"
        )
