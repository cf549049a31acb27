r"""Convergent series for ``log K_v(z)`` at small argument and moderate order.

Temme's series (J. Comput. Phys. 19, 1975) for ``K_mu`` and ``K_{mu+1}``,
``|mu| <= 1/2``, with its two solutions paired so that nothing cancels at integer
orders, and the upward recurrence for the ratios of higher orders. The functions are
plain arithmetic, smooth in both variables, and differentiable to any order.
"""

from __future__ import annotations

import math

import jax.numpy as jnp
from jaxtyping import Array, Float

from normix._inline import fori_loop

_TERMS = 10  # (z/2)^{2k}/k!^2 at z = 1 is below 1e-18 there
# Γ(1 ± μ) = exp(E ± O): E = log(πμ/sin πμ)/2 and O/μ as polynomials in μ², which
# interpolate them at the 15 Chebyshev points of [0, 1/4] to 6e-19 (50-digit solve).
_EVEN = (
    0.0,
    0.82246703342411248576,
    0.27058080842800265098,
    0.16955717697183587207,
    0.12550967109084440537,
    0.10009939992877231061,
    0.083355217422517615618,
    0.071410475179727829747,
    0.062758541158616612958,
    0.053452863357244310525,
    0.062233805206315165951,
    -0.0045265955937282315398,
    0.1798982299064936946,
    -0.20062141612007411341,
    0.24797137445712496347,
)
_ODD = (
    -0.577215664901532861,
    -0.40068563438653071689,
    -0.20738555102888586407,
    -0.14404989674400378555,
    -0.11133426739094244356,
    -0.090953961207164359191,
    -0.076933853917808930295,
    -0.066646877904423923957,
    -0.059074183390343706231,
    -0.050589131349375345807,
    -0.059500955010827605015,
    0.0050610859299726224639,
    -0.17422691322585062533,
    0.19507142197503799675,
    -0.24046013502512127545,
)
_COSH = tuple(1 / math.factorial(2 * k) for k in range(11))
_SINHC = tuple(1 / math.factorial(2 * k + 1) for k in range(11))
_LOG_2 = math.log(2.0)


def _horner(
    coefficients: tuple[float, ...], x: Float[Array, "..."]
) -> Float[Array, "..."]:
    total = jnp.full_like(x, coefficients[-1])
    for c in coefficients[-2::-1]:
        total = total * x + c
    return total


def _loop(first: int, last: int, body, state, unroll: bool):
    if not unroll:
        return fori_loop(first, last, lambda k, x: body(k * 1.0, x), state)
    for k in range(first, last):
        state = body(k, state)
    return state


def log_kv_series(
    v: Float[Array, "..."],
    log_z: Float[Array, "..."],
    *,
    max_order: int,
    reduced: bool = False,
    unroll: bool = True,
) -> Float[Array, "..."]:
    """``log K_v(z)`` for ``0 <= v <= max_order + 1/2`` and ``z <= 1``.

    With ``reduced``, ``log(2 K_v(z) (z/2)^v)`` instead, which tends to ``log Γ(v)``
    as ``z -> 0``: the large power of ``z`` is left out, not subtracted. Unrolled, the
    loops run faster; left as loops, derivatives of high order compile in seconds
    where they would take minutes.
    """
    v, log_z = jnp.broadcast_arrays(v, log_z)
    n = jnp.round(v)
    mu = v - n
    m2 = mu * mu
    even = _horner(_EVEN, m2)
    sigma = _LOG_2 - log_z
    odd = _horner(_ODD, m2)
    length = sigma + odd
    w = mu * length
    log_x4 = -2 * sigma
    x4 = jnp.exp(log_x4)

    # Start values a = P + Q, d = (P - Q)/mu = f. Three cases, so that neither a
    # difference at w ~ 0 nor an overflow at large |w| occurs:
    first = n == 0
    flat = jnp.abs(w) < 1
    w_flat = jnp.where(flat, w, 0.0)
    w_steep = jnp.where(flat, 1.0, w)
    mu_steep = jnp.where(flat, 1.0, mu)
    cosh = _horner(_COSH, w_flat * w_flat)
    sinhc = length * _horner(_SINHC, w_flat * w_flat)
    shrink = jnp.exp(-w_flat)
    # n = 0: unscaled when flat, else scaled by e^w.
    decay = jnp.exp(jnp.where(first, -2 * w_steep, 0.0))
    # n >= 1: scaled by e^w, with one factor x4 inside a single exponential.
    carried = jnp.exp(jnp.where(first, 0.0, log_x4 - 2 * w_steep))
    lead = jnp.where(first, 1.0, x4)
    tail = jnp.where(first, decay, carried)
    factor_flat = jnp.where(first, 1.0, x4 * shrink)
    a = jnp.where(flat, factor_flat * cosh, 0.5 * (lead + tail))
    f = jnp.where(flat, factor_flat * sinhc, 0.5 * (lead - tail) / mu_steep)
    p = 0.5 * lead
    if reduced:
        scale = _LOG_2 + mu * jnp.where(first & flat, -sigma, odd)
    else:
        scale = jnp.where(first & flat, 0.0, w) + n * sigma

    def term(k, state):
        a, d, f, p, s0, s1, weight = state
        r = 1 / (k * k - m2)
        f = (k * f + a) * r
        a, d = (k * a + m2 * d) * r, (k * d + a) * r
        p = p * (k + mu) * r
        weight = weight / k  # x4^{k-1}/k!, then x4^k/k!
        s1 = s1 + weight * (p - k * f)
        weight = weight * x4
        return a, d, f, p, s0 + weight * f, s1, weight

    start = (a, f, f, p, f, jnp.full_like(f, 0.5), jnp.ones_like(f))
    s0, s1 = _loop(1, _TERMS, term, start, unroll)[4:6]

    # rho_j = (z/2) K_{mu+j+1}/K_{mu+j}; s0 carries x4 already when n >= 1.
    s0_safe = jnp.where(first, 1.0, s0)
    s1_safe = jnp.where(first, 1.0, s1)

    def ratio(j, state):
        product, x4_over_rho = state
        rho = jnp.where(j < n, mu + j + x4_over_rho, 1.0)
        return product * rho, x4 / rho

    product = _loop(1, max_order, ratio, (s1_safe, s0_safe / s1_safe), unroll)[0]
    total = jnp.where(first, s0, product)
    return even + scale + jnp.log(total)
