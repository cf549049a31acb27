"""GIG moments by SciPy's Bessel function, on NumPy arrays: the ``cpu`` backend."""

from __future__ import annotations

import numpy as np

from normix.special.bessel import log_kve_host

# Fourth-order central difference in the order, for E[log Y]: kve has no derivative.
# The step balances h^4 truncation against kve's rounding divided by h.
_STEP = 1e-3


# Above this many values of one order, E t is interpolated in log z.
_MANY = 400
_NODES = 96

# Below this argument K_q is its leading terms, to rounding: (z/2)^q and (z/2)^-q for
# q <= 1/2, the latter alone for larger q.
_TINY = 1e-20
_EULER, _ZETA_3, _ZETA_5 = 0.5772156649015329, 1.2020569031595943, 1.0369277551433699


def gig_host(p, a, b) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """``psi + sqrt(ab)``, ``E[log Y]``, ``E[1/Y]`` and ``E[Y]`` of ``GIG(p, a, b)``.

    ``p``, ``a`` and ``b`` broadcast. ``b = 0`` with ``p > 0`` gives the Gamma and
    ``a = 0`` with ``p < 0`` the inverse Gamma limit, with infinities for the moments
    that do not exist; outside the domain ``psi`` is infinite or NaN, and the moments
    are NaN.
    """
    p, a, b = np.broadcast_arrays(*(np.asarray(x, float) for x in (p, a, b)))
    order, negative = np.abs(p), p < 0
    with np.errstate(all="ignore"):
        rate, other = np.where(negative, b, a), np.where(negative, a, b)
        rate = np.where(rate > 0, rate, np.nan)
        other = np.where(other >= 0, other, np.nan)
        z = np.sqrt(rate) * np.sqrt(other)
        limit = z < np.finfo(float).tiny
        inner = np.where(limit | np.isnan(z), 1.0, z)
        log_kve = _log_kve(order, inner)
        ratio = np.exp(_log_kve(order - 1, inner) - log_kve)
        mean = _log_mean_of_many(order, inner)
        # In the limit psi is the logarithm of the Gamma integral.
        log_unit = np.where(limit, np.log(2 / rate), 0.5 * np.log(other / rate))
        psi = order * log_unit + np.where(limit, _log_gamma(order), np.log(2) + log_kve)
        log_y = log_unit + np.where(limit, _digamma(order), mean)
        lacking = np.where(order > 1, 0.5 * rate / (order - 1), np.inf)
        near = np.where(limit, lacking, ratio * np.sqrt(rate / other))
        near = np.where(np.isnan(z), np.nan, near)
        far = (2 * order + np.where(limit, 0.0, z * ratio)) / rate
        improper = ((np.where(negative, b, a) == 0) | (order == 0) & limit) & (p == p)
        outside = ~((a >= 0) & (b >= 0))
    psi = np.where(outside, np.nan, np.where(improper, np.inf, psi))
    return (
        psi,
        np.where(negative, -log_y, log_y),
        np.where(negative, far, near),
        np.where(negative, near, far),
    )


def gig_moments_host(p, z) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """``log K_p(z) + z``, ``E t``, ``E e^{-t}`` and ``E e^t`` of ``GIG(p, z, z)``.

    ``t = log Y``; ``p`` and ``z`` broadcast. Six calls of ``kve`` a value, or two
    where there are many values of one order.
    """
    p, z = np.broadcast_arrays(np.asarray(p, float), np.asarray(z, float))
    order = np.abs(p)
    negative = p < 0
    with np.errstate(all="ignore"):
        log_kve = _log_kve(order, z)
        near = np.exp(_log_kve(order - 1, z) - log_kve)
        far = near + 2 * order / z
        log_mean = _log_mean_of_many(order, z)
    log_mean = np.where(negative, -log_mean, log_mean)
    down = np.where(negative, far, near)
    up = np.where(negative, near, far)
    return log_kve, log_mean, down, up


def _log_gamma(x):
    from scipy import special  # here, for a quick import of normix

    return special.gammaln(x)


def _digamma(x):
    from scipy import special

    return special.digamma(x)


def _log_kve(order, z) -> np.ndarray:
    """``log K_order(z) + z``; ``kve`` overflows early at small arguments."""
    order, z = np.broadcast_arrays(np.abs(order), z)
    tiny = z < _TINY
    out = log_kve_host(order, np.where(tiny, 1.0, z))
    if tiny.any():
        out = np.where(tiny, _leading(order, np.where(tiny, z, _TINY))[0], out)
    return out


def _leading(order, z) -> tuple[np.ndarray, np.ndarray]:
    """``log K_q(z)`` and its slope in ``q``, by the leading terms at small ``z``."""
    sigma = np.log(2) - np.log(z)
    # (Γ(1+q) e^{qσ} - Γ(1-q) e^{-qσ})/(2q) = e^m sinh(l)/q, with l = q (σ + g)
    q = np.minimum(order, 0.5)
    safe = np.where(q > 0, q, 1.0)
    above, below = _log_gamma(1 + q), _log_gamma(1 - q)
    even, odd = 0.5 * (above + below), 0.5 * (above - below)
    up, down = _digamma(1 + q), _digamma(1 - q)
    flat = q < 1e-3
    series = -_EULER - q**2 * (_ZETA_3 / 3 + q**2 * _ZETA_5 / 5)
    g = np.where(flat, series, odd / safe)
    slope = np.where(
        flat,
        -q * (2 * _ZETA_3 / 3 + q**2 * 4 * _ZETA_5 / 5),
        (0.5 * (up + down) - g) / safe,
    )
    length = sigma + g
    x = q * length
    x_safe = np.where(x > 0, x, 1.0)
    sinhc = np.where(x > 0, -np.expm1(-2 * x_safe) / (2 * x_safe), 1.0)
    # coth x - 1/x
    langevin = np.where(
        x < 0.02,
        x / 3 - x**3 / 45 + 2 * x**5 / 945,
        1 / np.tanh(np.maximum(x, 0.01)) - 1 / np.maximum(x, 0.01),
    )
    small = (
        even + x + np.log(length * sinhc),
        0.5 * (up - down) + (length + q * slope) * langevin + slope / length,
    )
    large = (
        _log_gamma(np.maximum(order, 0.5)) + order * sigma - np.log(2),
        _digamma(np.maximum(order, 0.5)) + sigma,
    )
    value, slope = (
        np.where(order <= 0.5, s, t) for s, t in zip(small, large, strict=True)
    )
    return value, slope


def _log_mean(order, z) -> np.ndarray:
    """``E t``, the derivative of ``log K_q(z)`` in ``q``."""
    # E t varies with q on the scale of hypot(q, z), or of 1 where that is less, or at
    # small z of 1/log(1/z).
    scale = np.maximum(1.0, np.hypot(order, z))
    h = _STEP * scale / np.maximum(1.0, 0.2 * np.log(2 / z))
    ahead = log_kve_host(order + h, z) - log_kve_host(order - h, z)
    further = log_kve_host(order + 2 * h, z) - log_kve_host(order - 2 * h, z)
    return (8 * ahead - further) / (12 * h)


def _log_mean_of_many(p: np.ndarray, z: np.ndarray) -> np.ndarray:
    """``E t``; by a Chebyshev interpolant in ``log z`` where that resolves it."""
    tiny = z < _TINY
    out = np.empty(z.shape)
    out[tiny] = _leading(p[tiny], z[tiny])[1]
    orders, where = np.unique(p, return_inverse=True)
    for k, order in enumerate(orders):
        chosen = (where.reshape(p.shape) == k) & ~tiny
        log_z = np.log(z[chosen])
        if log_z.size > _MANY and np.isfinite(log_z).all():
            series = np.polynomial.Chebyshev.interpolate(
                lambda x, order=order: _log_mean(order, np.exp(x)),
                _NODES - 1,
                domain=[log_z.min(), log_z.max() + 1e-3],
            )
            # kve's own rounding, over the step, is about 1e-12
            size = np.abs(series.coef)
            if size[-4:].max() < 1e-11 * max(1.0, size.max()):
                out[chosen] = series.trim(1e-12)(log_z)
                continue
        out[chosen] = _log_mean(order, z[chosen])
    return out
