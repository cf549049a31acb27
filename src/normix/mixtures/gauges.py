"""The same law of X with another unit of Y."""

from typing import Self

import equinox as eqx
import jax.numpy as jnp
from equinox import AbstractVar
from jaxtyping import ArrayLike

from normix._arrays import as_scalar
from normix.mixtures.coordinates import gauge_a_eq_b
from normix.mixtures.joint import JointNormalMixture


class Gauged(eqx.Module):
    """A law of X that is made of a joint law, which can be written in many gauges."""

    joint: AbstractVar[JointNormalMixture]

    def regularize_det_sigma(self, target_log_det: ArrayLike = 0.0) -> Self:
        """The same law in the gauge with ``log |Σ| = target_log_det``, a scalar."""
        target = as_scalar("target_log_det", target_log_det)
        s = jnp.exp((self.joint.log_det_sigma() - target) / self.joint.d)
        return type(self)(self.joint.rescaled(s))

    def regularize_det_sigma_one(self) -> Self:
        """The same law in the gauge with ``|Σ| = 1``."""
        return self.regularize_det_sigma(0.0)

    def regularize_a_eq_b(self) -> Self:
        """The same law in the gauge in which the subordinator has ``a = b``.

        Where one of them is 0 there is none; ``E[Y]`` or ``E[1/Y]`` is made 1.
        """
        gig = jnp.stack(self.joint.subordinator.gig_params())
        return type(self)(self.joint.rescaled(gauge_a_eq_b(gig)))
