"""Conversion and checking of what users pass in."""

from __future__ import annotations

import operator
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
    """``x`` as a JAX array of floating dtype; ``ValueError`` for no numbers."""
    _warn_single_precision()
    if isinstance(x, list | tuple) and is_traced(x):
        return jnp.asarray(x, jnp.result_type(float))
    if not isinstance(x, jax.Array):
        # A copy, made by NumPy: jnp.asarray compiles a program for every shape.
        return jax.device_put(np.array(as_floating(x)))
    dtype = x.dtype
    if not jnp.issubdtype(dtype, jnp.floating):
        if not (jnp.issubdtype(dtype, jnp.integer) or dtype.kind == "b"):
            raise ValueError(f"real numbers are expected, got an array of {dtype}")
        dtype = jnp.result_type(float)
    if x.dtype == dtype and not x.weak_type:
        return x
    # An explicit dtype also drops weak types, which would compile everything twice.
    return jnp.asarray(x, dtype=dtype)


def as_floating(x: ArrayLike) -> np.ndarray:
    """``x`` as a NumPy array of a floating dtype that JAX has; not a copy if it is.

    **Raises**: ``ValueError`` for what does not consist of real numbers, with the first
    entry that is none and its place; a data frame's column is named. None among
    numbers is a missing one, NaN.
    """
    try:
        array = np.asarray(x)
    except ValueError as error:  # lists of different lengths
        raise ValueError(f"an array of numbers is expected: {error}") from None
    if array.dtype.kind not in "fiub" and array.dtype != jnp.bfloat16:
        array = _numbers(array, getattr(x, "columns", None))
    floating = np.issubdtype(array.dtype, np.floating) or array.dtype == jnp.bfloat16
    dtype = array.dtype if floating else np.dtype(float)
    return np.asarray(array, jax.dtypes.canonicalize_dtype(dtype))


def _numbers(array: np.ndarray, names: Any) -> np.ndarray:
    """The numbers in an array of objects."""
    found = np.empty(array.shape, float)
    alone = array.ndim == 0
    for place in np.ndindex(array.shape):
        cell = array[place]
        try:
            if isinstance(cell, str | bytes | np.datetime64 | np.timedelta64):
                raise TypeError
            if isinstance(cell, complex | np.complexfloating):
                raise TypeError
            found[place] = np.nan if cell is None and not alone else float(cell)
        except (TypeError, ValueError):
            where = [f"row {place[0]}"] if place else []
            if len(place) > 1:
                name = place[1] if names is None else repr(names[place[1]])
                where.append(f"column {name}")
            text = repr(cell.item() if isinstance(cell, np.generic) else cell)
            text = text if len(text) <= 80 else type(cell).__name__
            raise ValueError(
                f"real numbers are expected, got {text}"
                + (f" in {', '.join(where)}" if where else "")
            ) from None
    return found


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
    check_one_shape(owner, **values)
    for name, value in values.items():
        if not is_traced(value) and np.any(np.asarray(value) <= 0):
            raise ValueError(f"{owner}: {name} must be positive, got {value}")


def check_one_shape(owner: str, **values: Array) -> None:
    """Raise ``ValueError`` where parameters differ in shape: scalars, as a rule."""
    shapes = {name: np.shape(value) for name, value in values.items()}
    if len(set(shapes.values())) > 1:
        listed = ", ".join(f"{name} {shape}" for name, shape in shapes.items())
        raise ValueError(f"{owner}: the parameters must be scalars, got {listed}")


def as_scalar(name: str, value: ArrayLike) -> Array:
    """A float of no axes; ``ValueError`` names what has some."""
    array = as_float(value)
    if array.ndim:
        raise ValueError(f"{name} must be a scalar, got shape {array.shape}")
    return array


def check_option(name: str, value: object, options: tuple[str, ...]) -> None:
    """Raise ``ValueError`` for a string that is not one of ``options``."""
    if value not in options:
        listed = ", ".join(repr(option) for option in options)
        raise ValueError(f"{name} must be one of {listed}; got {value!r}")


def check_count(name: str, n: int) -> None:
    """Raise ``ValueError`` for what is not a number of things, 0 or more."""
    try:
        operator.index(n)
    except TypeError:
        raise ValueError(f"{name} must be an integer, got {n!r}") from None
    if n < 0:
        raise ValueError(f"{name} must be at least 0, got {n}")


def as_weights(weights: ArrayLike, n: int) -> Array:
    """Weights of ``n`` observations as a finite, not negative ``(n,)`` float array."""
    try:
        array = as_float(weights)
    except ValueError as error:
        raise ValueError(f"weights: {error}") from None
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
    try:
        if isinstance(X, jax.Array):
            array = as_float(X)
            return array if array.dtype == wide else array.astype(wide)
        _warn_single_precision()
        return np.asarray(as_floating(X), wide)
    except ValueError as error:
        raise ValueError(f"X: {error}") from None


def as_data(
    X: ArrayLike, *, columns: int | None = None, missing: bool = False
) -> Array | np.ndarray:
    """Observations as a finite ``(n, d)`` float array, of JAX's or NumPy's.

    ``missing`` lets NaN pass.

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
    _check_finite(array, missing)
    return array


def as_series(X: ArrayLike, *, missing: bool = False) -> Array | np.ndarray:
    """Observations of one variable as a finite ``(n,)`` float array.

    A data frame of one column will do. ``missing`` lets NaN pass.

    **Raises**: ``ValueError`` for another shape, no values, NaN or infinite ones.
    """
    array = _as_rows(X)
    if hasattr(X, "columns") and array.shape[1:] == (1,):
        array = array[:, 0]
    if array.ndim != 1 or array.shape[0] == 0:
        raise ValueError(f"X must have shape (n,) with n >= 1, got {array.shape}")
    _check_finite(array, missing)
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


def _check_finite(array: Array | np.ndarray, missing: bool = False) -> None:
    if is_traced(array):
        return
    xp: Any = jnp if is_spread(array) else np  # what is spread is not gathered
    here = xp.asarray(array)
    finite = ~xp.isinf(here) if missing else xp.isfinite(here)
    if not finite.all():
        row = (~finite).reshape(len(finite), -1).any(axis=1).argmax()
        kind = "infinite values" if missing else "NaN or infinite values"
        advice = ""
        if not missing and not xp.isinf(here).any():
            advice = '; missing="em" or "drop" takes NaN for missing entries'
        raise ValueError(
            f"X must be finite, got {int((~finite).sum())} {kind}, "
            f"the first in row {int(row)}{advice}"
        )
