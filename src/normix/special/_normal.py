r"""Normal probabilities times an exponential, as integrands.

JAX's own ``log_ndtr`` has relative errors of 4e-9 and its ``erfcx`` is 0 where it
should be 0.02; the functions here are good to a few units in the last place.
"""

from __future__ import annotations

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

Real = Float[Array, "..."]

# (1 + 2x) erfcx(x), x >= 0, in powers of (x - 3.75)/(x + 3.75): the Chebyshev series
# of degree 24, computed at 60 digits and rearranged. Its error is 5e-16.
_ERFCX = (
    1.2375126308378275796,
    -0.14024059858554696245,
    0.003585415485464429369,
    0.082276738490145207683,
    -0.10880393014174885723,
    0.09230432116037747776,
    -0.058693398589636774061,
    0.028362277418956404286,
    -0.0097465795580292755337,
    0.0017556258528952953569,
    0.00029371366559134481992,
    -0.00029015408054084171105,
    0.000051649098892682403449,
    0.00002238423915508222982,
    -0.000011444146237700523373,
    -9.7355989673677493407e-7,
    1.7516376488490621431e-6,
    -5.7218230603224087501e-8,
    -2.5866850716155885443e-7,
    2.3263508708859123732e-8,
    3.8675334242222356816e-8,
    -3.7442100809620186444e-9,
    -5.1739902141113096269e-9,
    3.1114333809799251993e-10,
    4.2514714447963897761e-10,
)
# (1 + s)^{k+1} J_k(s), k = 1 and 2, see scaled_excess, in powers of (s - c)/(s + c),
# c = 3.75 √2: Chebyshev series of degree 28, computed at 60 digits and rearranged.
# Their errors are 1e-15.
_EXCESS = (
    (
        1.2836691305991169023,
        -0.36940126829901317544,
        0.004535258210185284612,
        0.22973088197538998334,
        -0.27070641539216768441,
        0.17835225875968559889,
        -0.058849452498823478126,
        -0.015817238456118847407,
        0.034536204796045232679,
        -0.022930864970360083793,
        0.0078026728130467424031,
        -0.00024324967771407015735,
        -0.0010512124151094118722,
        0.00037198964585168506915,
        0.000062264503232824443285,
        -0.000072561486057353427665,
        2.9910658679484730307e-6,
        0.000011674035623142179275,
        -1.7907778130468143745e-6,
        -1.9031878211563397327e-6,
        4.1537943528056799704e-7,
        3.3234921146346055269e-7,
        -7.6885333935606208936e-8,
        -5.8610676267828764435e-8,
        1.1906009104145320881e-8,
        8.6506484759429082499e-9,
        -1.3945831897914063806e-9,
        -7.2864939500503695007e-10,
        9.0891426958184499479e-11,
    ),
    (
        2.7868663809201595122,
        -0.81384794244234447397,
        -0.54866630793831646799,
        1.2365998704686462794,
        -0.99593048642714845489,
        0.29537222633889819314,
        0.24332430514060961625,
        -0.35996390254418090864,
        0.19889497007505742897,
        -0.019050510709569365221,
        -0.051823056124510587612,
        0.038162477622680737798,
        -0.0084405135414471493992,
        -0.0039801673235008192722,
        0.0028977400150490186197,
        -0.000025112515973034426285,
        -0.00054455185140341127439,
        0.00009930032090344297616,
        0.000092391063306892944564,
        -0.000028574698493617788111,
        -0.000016474539896490905306,
        6.2850728817831911093e-6,
        3.2052744703170712312e-6,
        -1.1734468545446633269e-6,
        -6.2294244247917151237e-7,
        1.6871677565067206008e-7,
        9.8061075691163955547e-8,
        -1.3517619456353004604e-8,
        -8.5268133138115321379e-9,
    ),
)
_ROOT_HALF = float(np.sqrt(0.5))
_ROOT_2_OVER_PI = float(np.sqrt(2 / np.pi))


def scaled_normal_sf(m: Real) -> Real:
    r"""``Phi(-m) exp(m²/2)``, for ``m >= 0``, whose derivative is not for use.

    .. math:: \Phi(-m) = \tfrac12 e^{-m^2/2} \operatorname{erfcx}(m/\sqrt2)
    """
    x = _ROOT_HALF * m
    # Written so that x = inf, and squares of large x, do no harm.
    t = 1 - 7.5 / (x + 3.75)
    total = jnp.full_like(t, _ERFCX[-1])
    for c in _ERFCX[-2::-1]:
        total = total * t + c
    return 0.5 * total / (1 + 2 * x)


def rough_log_cdf_and_slope(m: Real) -> tuple[Real, Real, Real]:
    """``log Phi(m)``, its slope and slope + m, to 1%, by Boyd's bound on Mills' ratio.

    For searches: short to compile, smooth, and right in both limits (Boyd, 1959).
    """
    r = jnp.abs(m)
    root = jnp.sqrt((np.pi - 2) ** 2 * r * r + 2 * np.pi)
    mills_ratio = np.pi / (2 * r + root)
    below = jnp.exp(-0.5 * r * r)
    scaled = 0.5 * _ROOT_2_OVER_PI * mills_ratio
    cdf = 1 - below * scaled
    log_cdf = jnp.log(jnp.where(m < 0, scaled, cdf))
    log_cdf = log_cdf - jnp.where(m < 0, 0.5 * r * r, 0.0)
    slope = jnp.where(m < 0, 1 / mills_ratio, 0.5 * _ROOT_2_OVER_PI * below / cdf)
    # Far below 0 the two cancel.
    excess = jnp.where(m < 0, 2 / (root + (np.pi - 2) * r), slope + m)
    return log_cdf, slope, excess


@jax.custom_jvp
def weighted_cdf(g: Real, m: Real, square: Real) -> Real:
    """``exp(g) Phi(m) exp(c)``, from ``square = c - min(m, 0)²/2``.

    The constant ``c``, of no interest to derivatives, keeps the product moderate. The
    caller can form the difference without the cancellation of its two parts.
    """
    scaled = scaled_normal_sf(jnp.abs(m))
    share = jnp.where(m < 0, scaled, 1 - jnp.exp(-0.5 * m * m) * scaled)
    return jnp.exp(g + square) * share


@weighted_cdf.defjvp
def _weighted_cdf_jvp(primals, tangents):
    value = weighted_cdf(*primals)
    return value, value * tangents[0] + weighted_pdf(*primals) * tangents[1]


@jax.custom_jvp
def weighted_pdf(g: Real, m: Real, square: Real) -> Real:
    """``exp(g) phi(m) exp(c)``; see :func:`weighted_cdf`."""
    above = jnp.maximum(m, 0)
    return 0.5 * _ROOT_2_OVER_PI * jnp.exp(g + square - 0.5 * above * above)


@weighted_pdf.defjvp
def _weighted_pdf_jvp(primals, tangents):
    value = weighted_pdf(*primals)
    return value, value * (tangents[0] - primals[1] * tangents[1])


def scaled_excess(s: Real, order: int) -> Real:
    r"""``E[(Z - s)₊ᵏ] exp(s²/2)`` for ``s >= 0`` and ``k`` 1 or 2, Z standard normal.

    .. math:: \frac{J_k(s)}{\sqrt{2\pi}}, \qquad
        J_k(s) = \int_0^\infty u^k e^{-su - u^2/2}\,du

    Without the cancellation of ``1 - s J_0`` and the like. Its derivative is not for
    use.
    """
    c = 3.75 / _ROOT_HALF
    t = 1 - 2 * c / (s + c)
    total = jnp.full_like(t, _EXCESS[order - 1][-1])
    for coefficient in _EXCESS[order - 1][-2::-1]:
        total = total * t + coefficient
    return 0.5 * _ROOT_2_OVER_PI * total / (1 + s) ** (order + 1)


def normal_excess(m: Real, order: int) -> tuple[Real, Real]:
    """``E[(m - Z)₊ᵏ]``, ``k`` 0, 1 or 2, without the factor ``exp(-m²/2)`` below 0.

    And that factor's exponent.
    """
    below = jnp.minimum(m, 0.0)
    exponent = -0.5 * below * below
    scaled = scaled_normal_sf(jnp.abs(m))
    density = jnp.exp(-0.5 * m * m)
    cdf = 1 - density * scaled
    if order == 0:
        return jnp.where(m < 0, scaled, cdf), exponent
    above = jnp.maximum(m, 0.0)
    density = 0.5 * _ROOT_2_OVER_PI * density
    first = above * cdf + density
    value = first if order == 1 else above * first + cdf
    return jnp.where(m < 0, scaled_excess(-below, order), value), exponent


@partial(jax.custom_jvp, nondiff_argnums=(3,))
def weighted_excess(g: Real, m: Real, square: Real, order: int) -> Real:
    """``exp(g) E[(m - Z)₊ᵏ] exp(c)``, ``k`` 1 or 2; see :func:`weighted_cdf`."""
    return jnp.exp(g + square) * normal_excess(m, order)[0]


@weighted_excess.defjvp
def _weighted_excess_jvp(order, primals, tangents):
    value = weighted_excess(*primals, order)
    if order == 1:
        slope = weighted_cdf(*primals)
    else:
        slope = order * weighted_excess(*primals, order - 1)
    return value, value * tangents[0] + slope * tangents[1]
