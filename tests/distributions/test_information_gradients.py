"""Gradients of entropy and divergence against differences at 40 digits."""

from __future__ import annotations

from functools import cache

import jax
import jax.numpy as jnp
import mpmath
import numpy as np
import pytest
from mpmath import mp, mpf

from normix import GIG, Gamma, InverseGamma, InverseGaussian, kl_divergence

from ..special import oracles

STEP = mpf("1e-10")
# The family, its parameters, and a function to those of the same law as a GIG.
LAWS = [
    (GIG, (-0.7, 0.9, 2.0), lambda p, a, b: (p, a, b)),
    (GIG, (12.0, 1e-3, 5e2), lambda p, a, b: (p, a, b)),
    (InverseGaussian, (1.3, 0.7), lambda m, k: (mpf(-1) / 2, k / m**2, k)),
    (Gamma, (2.3, 1.7), lambda s, r: (s, 2 * r, mpf(0))),
    (InverseGamma, (3.1, 0.4), lambda s, r: (-s, mpf(0), 2 * r)),
]
OTHER = (mpf("0.4"), mpf("1.5"), mpf(1))  # the GIG that the divergences are to


def moments(p, a, b):
    """The log-partition, ``E[log Y]``, ``E[1/Y]`` and ``E[Y]``."""
    if a and b:
        k = oracles.gig_cumulants(p, a, b, order=1)
        return k[0, 0, 0], k[1, 0, 0], k[0, 1, 0], k[0, 0, 1]
    shape, rate = abs(p), (a or b) / 2  # a gamma law, or that of its inverse
    psi = mpmath.loggamma(shape) - shape * mpmath.log(rate)
    log_y, inv_y = mpmath.psi(0, shape) - mpmath.log(rate), rate / (shape - 1)
    y = shape / rate
    return (psi, log_y, inv_y, y) if a else (psi, -log_y, y, inv_y)


def entropy(p, a, b):
    psi, log_y, inv_y, y = moments(p, a, b)
    return psi - (p - 1) * log_y + (a * y + b * inv_y) / 2


def divergence(p, a, b):
    """To the law ``OTHER``."""
    (psi, log_y, inv_y, y), (q, c, d) = moments(p, a, b), OTHER
    of_other = moments(q, c, d)[0]
    return of_other - psi - (q - p) * log_y + ((c - a) * y + (d - b) * inv_y) / 2


def slopes(function, parameters, to_gig):
    """Central differences of fourth order."""
    out = []
    for k in range(len(parameters)):

        def at(n, k=k):
            moved = [mpf(x) for x in parameters]
            moved[k] += n * STEP
            return function(*to_gig(*moved))

        out.append((8 * (at(1) - at(-1)) - (at(2) - at(-2))) / (12 * STEP))
    return np.array([float(x) for x in out])


@cache
def derivatives(family):
    """Of entropy and divergence, forward and reverse, compiled."""
    other = GIG(*(float(x) for x in OTHER))

    def both(x):
        law = family(*x)
        return jnp.stack([law.entropy(), kl_divergence(law, other)])

    return jax.jit(jax.jacfwd(both)), jax.jit(jax.jacrev(both))


@pytest.mark.parametrize(
    ("family", "parameters", "to_gig"), LAWS, ids=[str(law[:2]) for law in LAWS]
)
def test_gradients(family, parameters, to_gig):
    forward, reverse = (d(jnp.array(parameters)) for d in derivatives(family))
    with mp.workdps(oracles.DIGITS):
        want = [slopes(f, parameters, to_gig) for f in (entropy, divergence)]
    np.testing.assert_allclose(forward, np.array(want), rtol=1e-7)
    np.testing.assert_allclose(reverse, np.array(want), rtol=1e-7)
