"""What the distributions need of NumPyro, and how they hold their parameters."""

from __future__ import annotations

from typing import Any

import jax.numpy as jnp
import numpy as np
from jaxtyping import ArrayLike

from normix._arrays import is_traced

try:
    from numpyro import distributions as distributions
    from numpyro.distributions import Distribution as Distribution
    from numpyro.distributions import constraints as constraints
    from numpyro.distributions.util import lazy_property as lazy_property
    from numpyro.distributions.util import promote_shapes as promote_shapes
    from numpyro.distributions.util import validate_sample as validate_sample
except ImportError as error:
    raise ImportError(
        "normix.adapters.numpyro needs NumPyro: pip install numpyro"
    ) from error


def set_parameters(
    owner: Distribution, values: dict[str, ArrayLike], axes: dict[str, int]
) -> tuple[int, ...]:
    """Set attributes, padded to the same number of batch axes; the batch's shape.

    ``axes`` says how many axes of a value, if any, belong to an event.

    **Raises**: ``ValueError`` for shapes that do not broadcast.
    """
    shapes = {}
    for name, value in values.items():
        shape = jnp.shape(value)
        cut = len(shape) - axes.get(name, 0)
        shapes[name] = shape[:cut], shape[cut:]
    try:
        batch = np.broadcast_shapes(*(front for front, _ in shapes.values()))
    except ValueError:
        listed = (f"{name} {jnp.shape(value)}" for name, value in values.items())
        raise ValueError(
            f"{type(owner).__name__}: the shapes of the parameters do not broadcast: "
            f"{', '.join(listed)}"
        ) from None
    for name, value in values.items():
        padded = (1,) * len(batch) + shapes[name][1]
        promoted: Any = promote_shapes(value, shape=padded)
        setattr(owner, name, promoted[0])
    return batch


def check_gig(law: Distribution) -> None:
    """Raise ``ValueError`` where ``p``, ``a`` and ``b`` are not those of a GIG law.

    What is traced is not looked at.
    """
    # set_parameters has set them, which a type checker does not see.
    values = law.p, law.a, law.b  # pyright: ignore
    if is_traced(values):
        return
    p, a, b = map(np.asarray, values)
    if np.any((b == 0) & (p <= 0) | (a == 0) & (p >= 0)):
        raise ValueError(
            f"{type(law).__name__}: b = 0 needs p > 0 and a = 0 needs p < 0, "
            f"got p={p}, a={a}, b={b}"
        )
