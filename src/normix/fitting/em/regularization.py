"""Gauges: which of the equivalent splits of scale between Σ and Y a fit keeps."""

from __future__ import annotations

import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from normix.mixtures.joint import JointNormalMixture
from normix.mixtures.subordinator import gauge_a_eq_b

REGULARIZATIONS = ("none", "det_sigma_one", "det_sigma_x", "a_eq_b")


def gauge_scale(
    model: JointNormalMixture,
    regularization: Int[Array, ""],
    log_det: Float[Array, ""],
) -> Float[Array, ""]:
    """The ``s`` of ``Y -> sY`` that leads to the chosen gauge.

    ``regularization`` indexes :data:`REGULARIZATIONS`: a number, so that one compiled
    fit serves all of them. ``log_det`` is the target of "det_sigma_x".
    """
    excess = model.log_det_sigma() / model.d
    log_s = jnp.stack(
        [
            jnp.zeros_like(excess),
            excess,
            excess - log_det / model.d,
            jnp.log(gauge_a_eq_b(model.subordinator)),
        ]
    )
    return jnp.exp(log_s[regularization])
