"""Moments of the law of X."""

from __future__ import annotations

import jax.numpy as jnp
from jaxtyping import Array

from normix._compile import small
from normix.mixtures.joint import JointNormalMixture, times


@small()
def covariance(joint: JointNormalMixture) -> Array:
    mean, var = joint.subordinator.cumulants(2)
    skew = jnp.outer(joint.gamma, joint.gamma)
    return times(joint.sigma(), mean) + times(skew, var)


def _component_cumulants(joint: JointNormalMixture, order: int):
    # Of the cumulant generating function K_Y(γ t + σ² t²/2).
    g, s2 = joint.gamma, joint.dispersion.variances()
    k1, k2, k3, *k4 = joint.subordinator.cumulants(order)
    second = k1 * s2 + times(g**2, k2)
    third = times(3 * g * s2, k2) + times(g**3, k3)
    fourth = [3 * k2 * s2**2 + times(6 * g**2 * s2, k3) + times(g**4, k) for k in k4]
    return second, third, *fourth


@small()
def skewness(joint: JointNormalMixture) -> Array:
    second, third = _component_cumulants(joint, 3)
    exists = jnp.isfinite(third)
    return jnp.where(exists, third / second**1.5, third)


@small()
def kurtosis(joint: JointNormalMixture) -> Array:
    second, _, fourth = _component_cumulants(joint, 4)
    exists = jnp.isfinite(fourth)
    return jnp.where(exists, fourth / second**2, fourth)
