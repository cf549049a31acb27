"""The Gauss-Legendre rules, against mpmath."""

from __future__ import annotations

import mpmath
import numpy as np
import pytest

from normix.special import _legendre

EPS = np.finfo(float).eps
RULES = {
    48: (_legendre.NODES, _legendre.WEIGHTS),
    32: (_legendre.NODES_32, _legendre.WEIGHTS_32),
}


@pytest.mark.parametrize("n", RULES)
def test_legendre_rule(n):
    """On [0, 1], at 40 digits: weights are 1/((1 - x²) P'(x)²) at the roots x."""
    nodes, weights = RULES[n]
    assert len(nodes) == n and (np.diff(nodes) > 0).all()
    with mpmath.workdps(40):
        for x, w in zip(2 * nodes - 1, weights, strict=True):
            root = mpmath.findroot(lambda s: mpmath.legendre(n, s), mpmath.mpf(x))
            slope = n * (mpmath.legendre(n - 1, root) - root * mpmath.legendre(n, root))
            slope /= 1 - root**2
            assert abs(x - root) <= 2 * EPS
            assert abs(w * (1 - root**2) * slope**2 - 1) <= 2 * EPS
