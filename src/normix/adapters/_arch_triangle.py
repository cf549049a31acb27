"""The laws of the shape triangle of :mod:`normix.adapters.arch`.

The mixing variable Y has mean 1 and variance ``v = ξ²/((1 - ξ)(1 + ξ))``.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from scipy import optimize

from normix.special.bessel import log_kve_host

Gig = tuple[float, float, float]

# Smaller arguments of Bessel functions are taken for 0.
_LEAST_LOG_ARGUMENT = -300.0


def inverse_spread(xi: float) -> float:
    """``1/v`` of ξ."""
    return (1 - xi) * (1 + xi) / xi**2


def _bessel_ratio(order: float, z: float) -> float:
    """``K_m(z) / K_{m-1}(z)`` of the order m."""
    above, below = log_kve_host(np.array([order, order - 1]), np.array(z))
    return math.exp(above - below)


def _argument(xi: float, kappa: float) -> float:
    r"""The z for which ``Var Y/E[Y]²`` of ``GIG(p, z, z)`` is v; 0 at the limit.

    With :math:`m = |p + 1|` and :math:`t = K_m(z)/K_{m-1}(z)`,
    :math:`1 + v = K_{m+1} K_{m-1}/K_m^2 = 1/t^2 + 2m/(zt)`, a sum of positive terms
    that falls as z grows.
    """
    if kappa == 1:
        return 0.0
    if math.isnan(xi + kappa):
        return math.nan
    m = kappa / xi**2
    wanted = -math.log((1 - xi) * (1 + xi))

    def excess(log_z: float) -> float:
        z = math.exp(log_z)
        t = _bessel_ratio(m, z)
        return math.log(1 / t**2 + 2 * m / (z * t)) - wanted

    above = math.log(2 + inverse_spread(xi))
    while excess(above) > 0:
        above += 1
    below = above - 1
    while excess(below) < 0:
        below -= 2 * (above - below)
        if below < _LEAST_LOG_ARGUMENT:
            return 0.0
    exact = np.finfo(float).eps
    found: Any = optimize.brentq(excess, below, above, xtol=exact, rtol=4 * exact)
    return math.exp(found)


def inverse_gaussian(xi: float) -> Gig:
    """``(p, a, b)`` of the NIG law's Y."""
    shape = inverse_spread(xi)
    return -0.5, shape, shape


def gamma(xi: float) -> Gig:
    """``(p, a, b)`` of the variance gamma law's Y."""
    shape = inverse_spread(xi)
    return shape, 2 * shape, 0.0


def inverse_gamma(xi: float) -> Gig:
    """``(p, a, b)`` of the skew t law's Y."""
    alpha = 2 + inverse_spread(xi)
    return -alpha, 0.0, 2 * (alpha - 1)


def generalized(xi: float, kappa: float) -> Gig:
    """``(p, a, b)`` of the order ``p = -1 + κ/ξ²``, with ``κ`` in ``[-1, 1]``."""
    z = _argument(xi, abs(kappa))
    if z == 0:
        return gamma(xi) if kappa > 0 else inverse_gamma(xi)
    order = kappa / xi**2
    mean = _bessel_ratio(order, z)
    return order - 1, z * mean, z / mean


def mixture(xi: float, chi: float, gig: Gig) -> np.ndarray:
    """μ, γ, the root of Σ, and p, a, b, of mean 0 and variance 1."""
    rho = chi / xi
    # ρ/√v
    gamma = rho / xi * math.sqrt((1 - xi) * (1 + xi))
    sd = math.sqrt((1 - rho) * (1 + rho))
    return np.array([-gamma, gamma, sd, *gig])
