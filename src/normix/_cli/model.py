"""The saved model that a command is about."""

from __future__ import annotations

from typing import Any

from normix._cli.failure import Failure


def load_model(path: str) -> tuple[Any, tuple[str, ...] | None]:
    """The model in a file, in double precision, and the names of its columns.

    Has JAX compute in double precision, and keep what it compiles.

    **Raises**: :class:`Failure` for what cannot be read or is no model.
    """
    import jax
    import jax.numpy as jnp

    import normix
    from normix.io import read

    jax.config.update("jax_enable_x64", True)
    normix.cache_compilations()
    try:
        model, columns = read(path)
    except OSError as error:
        raise Failure(f"cannot read {path}: {error.strerror}") from None
    except ValueError as error:
        raise Failure(str(error)) from None
    return jax.tree.map(lambda x: x.astype(jnp.float64), model), columns


def named(columns: tuple[str, ...] | None, d: int) -> tuple[str, ...]:
    """The columns, or ``x1, x2, ...`` of a model that was saved without names."""
    return tuple(f"x{k}" for k in range(1, d + 1)) if columns is None else columns
