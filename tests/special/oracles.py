"""Oracles at 40 digits for the tests of the Bessel and GIG kernels."""

from __future__ import annotations

import itertools
from typing import Any, NamedTuple

import mpmath
import numpy as np
from mpmath import mp, mpf

DIGITS = 40
_DROP = 110  # terms below exp(-110) ~ 1e-48 of the largest are left out
_STEP = 0.08  # exp(-pi^2/h) ~ 1e-53 for a strip of width pi/2
_NODES = 400  # at least, for a narrow integrand


class Law(NamedTuple):
    """``t = log Y - log(scale)`` on nodes, for ``Y ~ GIG(p, a, b)``."""

    log_k: mpf  # log K_p(sqrt(ab))
    z: Any
    log_scale: mpf  # log(sqrt(b/a))
    nodes: list[mpf]
    weights: list[mpf]

    def mean(self, f) -> Any:
        return mpmath.fdot(self.weights, map(f, self.nodes))


def law(p: Any, a: Any, b: Any) -> Law:
    """GIG(p, a, b), by the trapezoid rule on ``exp(p t - z cosh t)``."""
    with mp.workdps(DIGITS):
        p, a, b = mpf(p), mpf(a), mpf(b)
        z = mpmath.sqrt(a * b)
        mode = mpmath.asinh(p / z)
        omega = mpmath.sqrt(p * p + z * z)

        def drop(t):
            return p * mode - omega - (p * t - z * mpmath.cosh(t))

        ends = []
        for sign in (-1, 1):
            near, far = mpf(0), mpf("1e-8")
            # exp(2|t|) more, for the second moments of exp(±t)
            while drop(mode + sign * far) < _DROP + 3 * far:
                near, far = far, 2 * far
            for _ in range(8):
                mid = (near + far) / 2
                if drop(mode + sign * mid) < _DROP + 3 * mid:
                    near = mid
                else:
                    far = mid
            ends.append(far)
        count = max(_NODES, int((ends[0] + ends[1]) / _STEP))
        h = (ends[0] + ends[1]) / count
        nodes = [mode - ends[0] + k * h for k in range(count + 1)]
        weights = [mpmath.exp(-drop(t)) for t in nodes]
        total = mpmath.fsum(weights)
        log_k = p * mode - omega + mpmath.log(h * total / 2)
        return Law(log_k, z, mpmath.log(b / a) / 2, nodes, [w / total for w in weights])


def joint_cumulants(variables: list[list[mpf]], weights: list[mpf], order: int):
    """Joint cumulants of degree 1, 2 (and 3) as a dict of multi-indices to mpf."""
    out, centred = {}, []
    indices = range(len(variables))

    def key(*chosen):
        return tuple(chosen.count(i) for i in indices)

    for i, values in enumerate(variables):
        mean = mpmath.fdot(weights, values)
        out[key(i)] = mean
        centred.append([x - mean for x in values])
    for degree in range(2, order + 1):  # up to three, these are central moments
        for chosen in itertools.combinations_with_replacement(indices, degree):
            total = mpf(0)
            for w, *xs in zip(weights, *(centred[i] for i in chosen), strict=True):
                total += w * mpmath.fprod(xs)
            out[key(*chosen)] = total
    return out


def gig_cumulants(p: float, a: float, b: float, order: int) -> dict:
    """Cumulants of ``(log Y, 1/Y, Y)`` and, at ``(0, 0, 0)``, the log-partition."""
    with mp.workdps(DIGITS):
        at = law(p, a, b)
        y = [mpmath.exp(t + at.log_scale) for t in at.nodes]
        variables = [[t + at.log_scale for t in at.nodes], [1 / v for v in y], y]
        out = joint_cumulants(variables, at.weights, order)
        out[0, 0, 0] = mpmath.log(2) + p * at.log_scale + at.log_k
        return out


def bessel_partials(v: float, z: float) -> dict:
    """All partials of ``log K_v(z)`` of degree 1 to 3."""
    with mp.workdps(DIGITS):
        at = law(v, z, z)
        variables = [at.nodes, [-mpmath.cosh(t) for t in at.nodes]]
        return joint_cumulants(variables, at.weights, 3)


def log_k_scaled(p: float, z: float) -> float:
    """``log K_p(z) + z``."""
    with mp.workdps(DIGITS):
        at = law(p, z, z)
        return float(at.log_k + at.z)


def worst(got, want, *, floor=0.0) -> float:
    """The largest error relative to ``want``, or to ``floor`` where that is larger.

    Equal infinities count as no error, NaN or one infinity as infinite.
    """
    got, want = np.broadcast_arrays(np.asarray(got, float), np.asarray(want, float))
    with np.errstate(all="ignore"):
        error = np.abs(got - want) / np.maximum(np.abs(want), floor)
    error = np.where(got == want, 0.0, error)
    return float(np.where(np.isnan(error), np.inf, error).max())
