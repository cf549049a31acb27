"""``log α - digamma(α)`` and its inverse against mpmath."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import mpmath
import numpy as np

from normix.special.deviance import unit_deviance
from normix.special.gamma import (
    inverse_log_minus_digamma,
    log_gamma_remainder,
    log_minus_digamma,
)

from .oracles import worst

ALPHA = np.concatenate([10.0 ** np.linspace(-12, 12, 97), [0.5, 1.0, 1.46, 2.0, 10.0]])


def exact(alpha, derivative=0):
    """``log α - ψ(α)`` or a derivative of it, at 60 digits."""
    with mpmath.workdps(60):
        x = mpmath.mpf(alpha)
        if derivative == 0:
            return float(mpmath.log(x) - mpmath.digamma(x))
        power = (-1) ** (derivative - 1) * mpmath.factorial(derivative - 1)
        return float(power / x**derivative - mpmath.psi(derivative, x))


def test_values():
    """With all digits even where the two terms agree in most of theirs."""
    want = [exact(x) for x in ALPHA]
    assert worst(log_minus_digamma(ALPHA), want) <= 1e-14


def test_derivatives():
    slope = jax.grad(log_minus_digamma)
    for derivative, f in ((1, slope), (2, jax.jacfwd(slope))):
        want = [exact(x, derivative) for x in ALPHA]
        assert worst(jax.jit(jax.vmap(f))(ALPHA), want) <= 1e-13


def test_inverse():
    g = np.array([exact(x) for x in ALPHA])
    alpha = inverse_log_minus_digamma(g)
    # At large α, g = 1/(2α): α is as well determined as g is. The same at small α.
    assert worst(alpha, ALPHA) <= 1e-14


def test_inverse_derivatives():
    g = np.array([exact(x) for x in ALPHA])
    want = [1 / exact(x, 1) for x in ALPHA]
    for mode in (jax.grad, jax.jacfwd):
        slopes = jax.jit(jax.vmap(mode(inverse_log_minus_digamma)))(g)
        assert worst(slopes, want) <= 1e-13
    curvature = jax.jit(jax.vmap(jax.hessian(inverse_log_minus_digamma)))(g)
    want = [-exact(x, 2) / exact(x, 1) ** 3 for x in ALPHA]
    assert worst(curvature, want) <= 1e-12


def test_inverse_outside_its_domain():
    g = np.array([0.0, -1e-300, -2.0, np.nan])
    assert np.isnan(inverse_log_minus_digamma(g)).all()
    # Nor do they spoil the gradients of their neighbours.
    slopes = jax.jit(jax.vmap(jax.grad(inverse_log_minus_digamma)))(
        np.array([-1.0, exact(2.0)])
    )
    assert worst(slopes[1], 1 / exact(2.0, 1)) <= 1e-13


def test_single_precision():
    alpha = np.geomspace(1e-6, 1e6, 61).astype(np.float32)
    g = log_minus_digamma(alpha)
    assert g.dtype == jnp.float32
    assert worst(g, [exact(float(x)) for x in alpha]) <= 1e-5
    back = inverse_log_minus_digamma(g)
    assert back.dtype == jnp.float32
    assert worst(back, alpha) <= 1e-5


def test_remainder_of_the_log_gamma_function():
    alpha = np.geomspace(1e-300, 1e15, 64)
    with mpmath.workdps(60):
        want = [
            float(mpmath.loggamma(a) - (a * mpmath.log(a) - a))
            for a in map(mpmath.mpf, alpha)
        ]
    got = jax.jit(log_gamma_remainder)(alpha)
    np.testing.assert_allclose(got, want, rtol=4e-15, atol=4e-15)
    slope = jax.vmap(jax.grad(log_gamma_remainder))(alpha[20:])
    np.testing.assert_allclose(slope, -log_minus_digamma(alpha[20:]), rtol=1e-9)


def test_unit_deviance():
    """On both sides of where its formula changes, and where q is lost to rounding."""
    gap = np.concatenate([-np.geomspace(1e-12, 0.999, 40), np.geomspace(1e-12, 9, 40)])
    with mpmath.workdps(60):
        want = [float(g - mpmath.log1p(g)) for g in map(mpmath.mpf, gap)]
    np.testing.assert_allclose(unit_deviance(gap, np.log1p(gap)), want, rtol=4e-15)
    assert float(unit_deviance(-1.0, -800.0)) == 799
