"""GIG moments by SciPy's Bessel function, on NumPy arrays: the ``cpu`` backend."""

from __future__ import annotations

import numpy as np

from normix.special.bessel import log_kve_host

# Fourth-order central difference in the order, for E[log Y]: kve has no derivative.
# The step balances h^4 truncation against kve's rounding divided by h.
_STEP = 1e-3


def gig_moments_host(p, z) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """``log K_p(z) + z``, ``E t``, ``E e^{-t}`` and ``E e^t`` of ``GIG(p, z, z)``.

    ``t = log Y``; ``p`` and ``z`` broadcast. Six calls of ``kve`` a value.
    """
    p, z = np.broadcast_arrays(np.asarray(p, float), np.asarray(z, float))
    order = np.abs(p)
    with np.errstate(all="ignore"):
        log_kve = log_kve_host(order, z)
        near = np.exp(log_kve_host(order - 1, z) - log_kve)
        far = near + 2 * order / z
        h = _STEP
        ahead = log_kve_host(p + h, z) - log_kve_host(p - h, z)
        further = log_kve_host(p + 2 * h, z) - log_kve_host(p - 2 * h, z)
        log_mean = (8 * ahead - further) / (12 * h)
    negative = p < 0
    down = np.where(negative, far, near)
    up = np.where(negative, near, far)
    return log_kve, log_mean, down, up
