"""Marginal densities against adaptive quadrature of the joint density over y."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import mpmath as mp
import numpy as np
import pytest
from scipy.integrate import quad
from scipy.optimize import minimize_scalar

from normix import (
    GIG,
    Gamma,
    InverseGamma,
    InverseGaussian,
    JointGeneralizedHyperbolic,
    JointNormalInverseGamma,
    JointNormalInverseGaussian,
    JointVarianceGamma,
    VarianceGamma,
)
from normix.mixtures.cholesky import CholeskyDispersion

A_GROUP = 13  # models: 4 families, 4 dimensions, 13 each make 208
JOINTS = (
    JointVarianceGamma,
    JointNormalInverseGaussian,
    JointNormalInverseGamma,
    JointGeneralizedHyperbolic,
)


def log_gig_constant(p: float, a: float, b: float) -> float:
    """``log ∫ y^{p-1} exp(-(ay + b/y)/2) dy`` at 30 digits."""
    with mp.workdps(30):
        if b == 0:
            return float(mp.loggamma(p) - p * mp.log(mp.mpf(a) / 2))
        if a == 0:
            return float(mp.loggamma(-p) + p * mp.log(mp.mpf(b) / 2))
        bessel = mp.log(mp.besselk(p, mp.sqrt(mp.mpf(a) * mp.mpf(b))))
        return float(mp.log(2) + mp.mpf(p) / 2 * mp.log(mp.mpf(b) / mp.mpf(a)) + bessel)


def reference(joint: Any, x: np.ndarray) -> float:
    """The logarithm of the integral of N(x; μ + γy, yΣ) f(y), in t = log y."""
    p, a, b = (float(v) for v in joint.subordinator.gig_params())
    root = np.asarray(joint.dispersion.L)
    residual = np.linalg.solve(root, x - np.asarray(joint.mu))
    skew = np.linalg.solve(root, np.asarray(joint.gamma))
    d = len(x)
    constant = -0.5 * d * np.log(2 * np.pi) - np.log(np.diag(root)).sum()
    constant -= log_gig_constant(p, a, b)

    def log_integrand(t):
        y = np.exp(t)
        r = residual - skew * y
        # r is formed before it is squared: near the mode nothing large cancels
        return (p - 0.5 * d) * t - 0.5 * (a * y + b / y + (r @ r) / y)

    grid = np.linspace(-80, 80, 4001)
    coarse = np.array([log_integrand(t) for t in grid])
    near = grid[np.nanargmax(coarse)]
    top: Any = minimize_scalar(
        lambda t: -log_integrand(t),
        bounds=(near - 0.1, near + 0.1),
        method="bounded",
        options={"xatol": 1e-10},
    )
    peak, height = top.x, -top.fun
    inside = grid[coarse > height - 50]
    low, high = min(inside.min(), peak) - 0.05, max(inside.max(), peak) + 0.05
    total = 0.0
    for ends in ((low, peak), (peak, high)):
        total += quad(
            lambda t: np.exp(log_integrand(t) - height),
            *ends,
            epsabs=0,
            epsrel=1e-13,
            limit=400,
        )[0]
    return constant + height + np.log(total)


def subordinator(rng: np.random.Generator, family: type) -> Any:
    """Mixing variables from nearly constant to nearly improper."""
    scale = 10 ** rng.uniform(-3, 3)
    if family is JointVarianceGamma:
        return Gamma(alpha=10 ** rng.uniform(-0.7, 2), beta=1 / scale)
    if family is JointNormalInverseGaussian:
        return InverseGaussian(mu=scale, lam=scale * 10 ** rng.uniform(-4, 3))
    if family is JointNormalInverseGamma:
        return InverseGamma(alpha=10 ** rng.uniform(-1, 2), beta=scale)
    z = 10 ** rng.uniform(-6, 3)
    return GIG(p=rng.uniform(-30, 30), a=z / scale, b=z * scale)


def models(family: type, d: int):
    rng = np.random.default_rng([d, JOINTS.index(family)])
    for _ in range(A_GROUP):
        law = subordinator(rng, family)
        root = np.eye(d) + np.tril(rng.normal(size=(d, d)), -1)
        root *= 10 ** rng.uniform(-2, 2)
        typical = float(jnp.exp(law.expectation_params()[0]))
        if family is not JointGeneralizedHyperbolic:
            typical = float(law.ppf(0.5))
        skew = rng.normal(size=d) * 10 ** rng.uniform(-3, 1) / np.sqrt(typical)
        yield (
            family(
                jnp.asarray(rng.normal(size=d)),
                jnp.asarray(root @ skew),
                CholeskyDispersion(jnp.asarray(root)),
                law,
            ),
            typical,
        )


CASES = [
    pytest.param(family, d, marks=pytest.mark.slow)
    if (k + d) % 4 == 0
    else pytest.param(family, d, marks=pytest.mark.exhaustive)
    for k, family in enumerate(JOINTS)
    for d in (1, 2, 3, 4)
]


@pytest.mark.parametrize(("family", "d"), CASES)
def test_density_is_the_integral_of_the_joint(family, d):
    laws, typical = zip(*models(family, d), strict=True)
    rng = np.random.default_rng(d)
    X = []
    for law, y in zip(laws, typical, strict=True):
        near = rng.normal(size=(2, d)) @ np.asarray(law.dispersion.L).T * np.sqrt(y)
        x = np.asarray(law.mu) + near * np.array([[0.7], [6.0]])
        X.append(x + np.asarray(law.gamma) * y)
    together = jax.tree.map(lambda *leaves: jnp.stack(leaves), *laws)
    evaluate = jax.jit(jax.vmap(lambda law, x: law.log_prob_marginal(x)))
    got = np.asarray(evaluate(together, jnp.asarray(np.array(X))))
    for values, law, rows in zip(got, laws, X, strict=True):
        for value, x in zip(values, rows, strict=True):
            # a density to 1e-10: its logarithm so, absolutely
            assert value == pytest.approx(reference(law, x), abs=1e-10, rel=1e-13)


def test_at_the_location():
    """Finite, and the closed form, where the density is; a pole where it is not."""
    for d, alpha in ((1, 0.7), (2, 1.5), (3, 1.6)):
        vg = VarianceGamma.from_classical(
            mu=np.ones(d), gamma=np.zeros(d), sigma=np.eye(d), alpha=alpha, beta=2.0
        )
        # E[Y^{-d/2}] (2π)^{-d/2}
        exact = mp.gamma(alpha - d / 2) / mp.gamma(alpha) * mp.mpf(2) ** (d / 2)
        exact = float(mp.log(exact / (2 * mp.pi) ** (d / 2)))
        assert float(vg.log_prob(np.ones(d))) == pytest.approx(exact, abs=1e-13)
        near = float(vg.log_prob(np.ones(d) + 1e-12))
        assert near == pytest.approx(exact, abs=0.05)
        pole = vg.replace(alpha=d / 2)
        assert float(pole.log_prob(np.ones(d))) == np.inf


def test_slopes_at_the_location():
    """Of a variance gamma law, by both modes, and by differences where it is smooth."""
    at = np.array([0.3, -0.2])
    for gamma in (np.zeros(2), np.array([0.4, 0.1])):
        vg = VarianceGamma.from_classical(
            mu=at, gamma=gamma, sigma=np.eye(2), alpha=2.5, beta=2.0
        )
        forward = jax.jacfwd(lambda law: law.log_prob(at))(vg)
        reverse = jax.grad(lambda law: law.log_prob(at))(vg)
        both = zip(jax.tree.leaves(forward), jax.tree.leaves(reverse), strict=True)
        for one, other in both:
            np.testing.assert_allclose(other, one, rtol=1e-12, atol=1e-14)
        slope = jax.grad(vg.log_prob)(at)
        steps = 1e-6 * np.eye(2)
        wanted = [(vg.log_prob(at + h) - vg.log_prob(at - h)) / 2e-6 for h in steps]
        np.testing.assert_allclose(slope, wanted, atol=1e-9)
