"""The η → θ solver of GIG laws by SciPy, on NumPy's numbers: the ``cpu`` backend."""

from __future__ import annotations

import numpy as np

from normix.special._gig_host import gig_moments_host

# Below it a law counts as one on the boundary.
_LOWEST = np.log(np.finfo(float).tiny)


def host_solve(r0, c0, limit, p0, log_z0, *, method: str, maxiter: int, tol: float):
    """``p``, ``log z``, ``log(E e^t/E e^-t)`` by SciPy, with ``kve`` as the kernel."""
    from scipy import optimize  # here, for a quick import of normix

    r0, c0, limit = float(r0), float(c0), float(limit)

    def value_and_slope(x):
        p, log_z, log_s = (float(v) for v in x)
        z = np.exp(max(log_z, _LOWEST))
        log_kve, log_mean, down, up = gig_moments_host(p, z)
        grow, spread = np.exp(r0 / 2), np.cosh(log_s)
        value = (
            log_kve + p * log_s - p * c0 + z * (np.expm1(r0 / 2) + grow * (spread - 1))
        )
        slope = (
            log_s + log_mean - c0,
            z * (grow * spread - 0.5 * (up + down)),
            p + z * grow * np.sinh(log_s),
        )
        return float(value), np.array(slope, float)

    x0 = np.array([p0, log_z0, 0.0], float)
    if method == "newton":
        # Scale eliminated, the square system (r, c); damped where a step overshoots.
        def misfit(x):
            _, log_mean, down, up = gig_moments_host(x[0], np.exp(max(x[1], _LOWEST)))
            r = np.log(up) + np.log(down)
            c = log_mean - 0.5 * (np.log(up) - np.log(down))
            return np.array([r / r0 - 1, (c - c0) / limit], float)

        found = optimize.least_squares(
            misfit,
            x0[:2],
            method="lm",
            xtol=1e-15,
            ftol=1e-15,
            gtol=1e-15,
        )
        return _with_tilt(found.x)
    # In units in which a concentrated law, too, has curvatures of about one.
    width = np.hypot(p0, np.exp(log_z0)) ** 0.5
    unit = np.array([max(width, 1.0), 1.0, 1.0 / max(width, 1.0)])

    def in_units(x):
        value, slope = value_and_slope(x * unit)
        return value, slope * unit

    found = optimize.minimize(
        in_units,
        x0 / unit,
        jac=True,
        method="L-BFGS-B" if method == "lbfgs" else "BFGS",
        options={"maxiter": 10 * maxiter, "gtol": tol * 1e-2}
        | ({"ftol": 1e-16} if method == "lbfgs" else {}),
    )
    return _with_tilt((np.asarray(found.x) * unit)[:2])


def _with_tilt(x: np.ndarray) -> np.ndarray:
    """``p``, ``log z`` and ``log(E e^t/E e^-t)`` of that law."""
    _, _, down, up = gig_moments_host(x[0], np.exp(max(x[1], _LOWEST)))
    return np.append(x, np.log(up) - np.log(down))
