"""Covariances of a GIG law against those that the kernel's tower gives."""

from __future__ import annotations

import jax
import numpy as np

from normix.special.gig import gig_cumulants
from normix.special.gig_spread import gig_spread


def test_means_and_covariances():
    """All digits; of one variance those that integration by parts leaves."""
    rng = np.random.default_rng(0)
    n = 2_000
    p, z = rng.uniform(-8, 8, n), 10 ** rng.uniform(-2, 4, n)
    scale = 10 ** rng.uniform(-3, 3, n)
    params = p, z / scale, z * scale
    means, covariances = jax.jit(gig_spread)(*params)
    exact = jax.jit(lambda *x: gig_cumulants(2, False, *x))(*params)
    one = np.eye(3, dtype=int)
    for i in range(3):
        np.testing.assert_allclose(means[i], exact[tuple(one[i])], rtol=1e-11)
        for j in range(3):
            wanted = exact[tuple(one[i] + one[j])]
            error = np.abs(covariances[i, j] / wanted - 1)
            lost = 2.2e-16 * (1 + p**2) / z**2 if i == j > 0 else 0.0
            assert (error < 1e-10 + 20 * lost).all()
