"""Information of the joint law of a mixture and its mixing variable, in closed form.

Given Y the vector X is normal, so every quantity is one of the GIG law: the chain rule
for divergences, and normal integrals that leave a GIG integral behind. Nothing is
subtracted in natural parameters, where the limits a = 0 and b = 0 would be lost in
rounding.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import jax.numpy as jnp
from jaxtyping import Array, Float

from normix.mixtures.cholesky import CholeskyDispersion
from normix.special.gig import gig_log_partition

if TYPE_CHECKING:
    from normix.mixtures.joint import JointNormalMixture

_LOG_2PI = math.log(2 * math.pi)


def log_density_power(
    joint: JointNormalMixture, alpha: Float[Array, ""]
) -> Float[Array, ""]:
    r"""``log ∫∫ f(x, y)^α dx dy``.

    Over x the normal density leaves :math:`(2\pi y)^{-d(\alpha-1)/2}
    |\Sigma|^{-(\alpha-1)/2} \alpha^{-d/2}`, and a power of y changes the order of the
    GIG.
    """
    p, a, b = joint.subordinator.gig_params()
    d, excess = joint.d, alpha - 1
    order = alpha * (p - 1) + 1 - 0.5 * d * excess
    return (
        gig_log_partition(order, alpha * a, alpha * b)
        - alpha * gig_log_partition(p, a, b)
        - 0.5 * excess * (d * _LOG_2PI + joint.log_det_sigma())
        - 0.5 * d * jnp.log(alpha)
    )


def _displacement(p: JointNormalMixture, q: JointNormalMixture, root):
    """The inner products of the differences of μ and γ in the metric of ``root``."""
    between = CholeskyDispersion(root)
    gap, skew_gap = p.mu - q.mu, p.gamma - q.gamma
    squares, cross, skew, _ = between.inner_products(gap[None, :], skew_gap)
    return squares[0], cross[0], skew


def kl_divergence(p: JointNormalMixture, q: JointNormalMixture) -> Float[Array, ""]:
    """The divergence of the mixing laws and the mean one of the normal laws given Y."""
    root_p, root_q = (jnp.linalg.cholesky(law.sigma()) for law in (p, q))
    ratio = jnp.linalg.solve(root_q, root_p)  # LU of a triangular matrix: itself
    log_ratio = 2 * (jnp.log(jnp.diagonal(root_q)) - jnp.log(jnp.diagonal(root_p)))
    normal = 0.5 * ((ratio**2).sum() - p.d + log_ratio.sum())
    square, cross, skew = _displacement(p, q, root_q)
    means = p.subordinator.to_gig().expectation_params()
    # A mean that is infinite does not matter where nothing asks for it.
    terms = jnp.where(square > 0, square * means[1], 0.0) + 2 * cross
    terms = terms + jnp.where(skew > 0, skew * means[2], 0.0)
    return p.subordinator.kl_divergence(q.subordinator) + normal + 0.5 * terms


def log_affinity(p: JointNormalMixture, q: JointNormalMixture) -> Float[Array, ""]:
    """``log ∫∫ sqrt(f_p f_q) dx dy``: Bhattacharyya's of two normal laws, given Y."""
    root = jnp.linalg.cholesky(0.5 * (p.sigma() + q.sigma()))
    log_det = 2 * jnp.log(jnp.diagonal(root)).sum()
    square, cross, skew = _displacement(p, q, root)
    (p1, a1, b1), (p2, a2, b2) = (law.subordinator.gig_params() for law in (p, q))
    between = gig_log_partition(
        0.5 * (p1 + p2), 0.5 * (a1 + a2) + 0.25 * skew, 0.5 * (b1 + b2) + 0.25 * square
    )
    psi = 0.5 * (gig_log_partition(p1, a1, b1) + gig_log_partition(p2, a2, b2))
    normal = 0.25 * (p.log_det_sigma() + q.log_det_sigma()) - 0.5 * log_det
    return between - psi + normal - 0.25 * cross
