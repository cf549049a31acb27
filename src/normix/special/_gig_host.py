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


def gig_moments_host(p, z) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """``log K_p(z) + z``, ``E t``, ``E e^{-t}`` and ``E e^t`` of ``GIG(p, z, z)``.

    ``t = log Y``; ``p`` and ``z`` broadcast. Six calls of ``kve`` a value, or two
    where there are many values of one order.
    """
    p, z = np.broadcast_arrays(np.asarray(p, float), np.asarray(z, float))
    order = np.abs(p)
    with np.errstate(all="ignore"):
        log_kve = log_kve_host(order, z)
        near = np.exp(log_kve_host(order - 1, z) - log_kve)
        far = near + 2 * order / z
        log_mean = _log_mean_of_many(p, z)
    negative = p < 0
    down = np.where(negative, far, near)
    up = np.where(negative, near, far)
    return log_kve, log_mean, down, up


def _log_mean(p, z) -> np.ndarray:
    """``E t``, the derivative of ``log K_p(z)`` in ``p``."""
    # E t varies with p on the scale of hypot(p, z), or of 1 where that is less.
    h = _STEP * np.maximum(1.0, np.hypot(p, z))
    ahead = log_kve_host(p + h, z) - log_kve_host(p - h, z)
    further = log_kve_host(p + 2 * h, z) - log_kve_host(p - 2 * h, z)
    return (8 * ahead - further) / (12 * h)


def _log_mean_of_many(p: np.ndarray, z: np.ndarray) -> np.ndarray:
    """``E t``; by a Chebyshev interpolant in ``log z`` where that resolves it."""
    out = np.empty(z.shape)
    orders, where = np.unique(p, return_inverse=True)
    for k, order in enumerate(orders):
        chosen = where.reshape(p.shape) == k
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
