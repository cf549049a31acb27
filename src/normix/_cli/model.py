"""The saved model that a command is about."""

from __future__ import annotations

from typing import Any, NamedTuple

from normix._cli.failure import Failure


class Saved(NamedTuple):
    """A law of columns, and their names; ``x1, x2, ...`` if it was saved without."""

    law: Any
    names: tuple[str, ...]
    has_names: bool


def load_model(path: str) -> Saved:
    """The law in a file, in double precision.

    Has JAX compute in double precision, and keep what it compiles.

    **Raises**: :class:`Failure` for what cannot be read, or is not one law of columns.
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
    d = _dimensions(model, path)
    law = jax.tree.map(lambda x: x.astype(jnp.float64), model)
    names = tuple(f"x{k}" for k in range(1, d + 1)) if columns is None else columns
    return Saved(law, names, columns is not None)


def _dimensions(model: Any, path: str) -> int:
    """The number of columns."""
    from normix.distributions.multivariate_normal import MultivariateNormal
    from normix.distributions.positive import PositiveFamily
    from normix.mixtures.marginal import MarginalMixture
    from normix.utils._text import words

    if isinstance(model, MarginalMixture):
        d, axes = model.d, model.joint.mu.ndim
    elif isinstance(model, MultivariateNormal):
        d, axes = model.d, model.mu.ndim
    elif isinstance(model, PositiveFamily):
        d, axes = 1, model.natural_params().ndim
    else:
        kind = words(type(model).__name__)
        raise Failure(f"{path} holds a {kind}, which is no law of columns")
    if axes > 1:
        raise Failure(f"{path} holds a batch of laws; save one of them")
    return d
