"""Moments of the law of X."""

from __future__ import annotations

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from normix._compile import small
from normix.mixtures.joint import JointNormalMixture, times


def _root_moment_exists(joint: JointNormalMixture, order: int) -> Array:
    """Whether ``E[Y^{order/2}]`` is finite, which is so but for laws of ``a = 0``."""
    p, a, _ = joint.subordinator.gig_params()
    return (a > 0) | (p + 0.5 * order < 0)


def _or_nan(value: Array, gamma: Array, exists: Array) -> Array:
    """An odd moment; without skewness it is one of ``sqrt(Y) Z``, infinite both ways.

    With it, the sign of γ decides: the other tail is lighter than any power.
    """
    return jnp.where((gamma == 0) & ~exists, jnp.nan, value)


@small()
def mean(joint: JointNormalMixture) -> Array:
    gamma = joint.gamma
    return _or_nan(joint.mean()[0], gamma, _root_moment_exists(joint, 1))


@small()
def covariance(joint: JointNormalMixture) -> Array:
    mean, var = joint.subordinator.cumulants(2)
    skew = jnp.outer(joint.gamma, joint.gamma)
    value = times(joint.sigma(), mean) + times(skew, var)
    # Deviations are from means that are finite.
    flat = joint.gamma == 0
    finite = jnp.where(flat, _root_moment_exists(joint, 1), mean < jnp.inf)
    # The product of two deviations has one sign far out if both are skewed, or one.
    one_sided = ~flat[:, None] & ~flat | np.eye(joint.d, dtype=bool)
    order = [_root_moment_exists(joint, k) for k in (2, 3)]
    one_sided |= jnp.where(flat[:, None] & flat, *order)
    return jnp.where(finite[:, None] & finite & one_sided, value, jnp.nan)


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
    value = third / jnp.where(jnp.isfinite(third), second**1.5, 1.0)
    value = _or_nan(value, joint.gamma, _root_moment_exists(joint, 3))
    return jnp.where(jnp.isfinite(second), value, jnp.nan)


@small()
def kurtosis(joint: JointNormalMixture) -> Array:
    second, _, fourth = _component_cumulants(joint, 4)
    value = fourth / jnp.where(jnp.isfinite(fourth), second**2, 1.0)
    return jnp.where(jnp.isfinite(second), value, jnp.nan)
