"""Classical parameters of a mixture, checked."""

from __future__ import annotations

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, ArrayLike

from normix._arrays import as_float, is_traced
from normix.distributions.multivariate_normal import cholesky
from normix.mixtures.dispersion import CholeskyDispersion


def classical_parts(
    mu: ArrayLike, gamma: ArrayLike, sigma: ArrayLike
) -> tuple[Array, Array, CholeskyDispersion]:
    """``mu`` and ``gamma`` of shape ``(d,)`` and the dispersion from ``(d, d)``.

    **Raises**: ``ValueError`` for shapes that do not fit, values that are not finite,
    or a dispersion that is not positive definite.
    """
    mu, gamma = as_float(mu), as_float(gamma)
    if mu.ndim != 1:
        raise ValueError(f"mu must have shape (d,), got {mu.shape}")
    if gamma.shape != mu.shape:
        raise ValueError(f"gamma must have shape {mu.shape} as mu, got {gamma.shape}")
    for name, value in (("mu", mu), ("gamma", gamma)):
        if not is_traced(value) and not np.isfinite(np.asarray(value)).all():
            raise ValueError(f"{name} must be finite, got {value}")
    root = cholesky(sigma, name="sigma")
    if root.shape[0] != mu.shape[0]:
        raise ValueError(
            f"sigma must have shape {mu.shape * 2} to fit mu, got {root.shape}"
        )
    dtype = jnp.result_type(mu, gamma, root)
    mu, gamma, root = (x.astype(dtype) for x in (mu, gamma, root))
    return mu, gamma, CholeskyDispersion(root)
