"""Divergences against quadrature, within families and across them."""

from __future__ import annotations

import itertools
from functools import cache

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import normix
from normix import (
    GIG,
    Gamma,
    InverseGamma,
    InverseGaussian,
    MultivariateNormal,
    kl_divergence,
    squared_hellinger,
)
from normix.divergences import kl_divergence_from_psi, squared_hellinger_from_psi

from .distributions.registry import log_density_of_log, log_grid

# Parameters, and those of the same law as a GIG.
LAWS = {
    Gamma: [(2.0, 1.5), (0.7, 0.1), (9.0, 3.0), (40.0, 2.0)],
    InverseGamma: [(3.0, 1.5), (0.8, 0.1), (9.0, 3.0), (1.5, 20.0)],
    InverseGaussian: [(1.3, 0.7), (2.0, 4.0), (0.5, 8.0), (1.0, 100.0)],
    GIG: [(-0.7, 0.9, 2.0), (1.0, 1.0, 1.0), (0.0, 0.5, 0.2), (-20.0, 3.0, 50.0),
          (3.5, 3.0, 0.0), (-4.5, 0.0, 2.0)],
}  # fmt: skip
AS_GIG = {
    Gamma: lambda alpha, beta: (alpha, 2 * beta, 0.0),
    InverseGamma: lambda alpha, beta: (-alpha, 0.0, 2 * beta),
    InverseGaussian: lambda mu, lam: (-0.5, lam / mu**2, lam),
    GIG: lambda p, a, b: (p, a, b),
}
PAIRS = [*((f, f) for f in LAWS), (Gamma, InverseGaussian), (InverseGamma, GIG)]
PAIRS += [(InverseGaussian, Gamma), (GIG, InverseGamma), (Gamma, InverseGamma)]
every_pair = pytest.mark.parametrize(
    "pair", PAIRS, ids=lambda pair: f"{pair[0].__name__}-{pair[1].__name__}"
)


def integral(values, s) -> float:
    return float(values.sum() * (s[1] - s[0]))


def log_density(law, s):
    """Of log X, for a GIG variable X."""
    p, a, b = law
    return log_density_of_log(p, a, b, s)


def kl_by_quadrature(p, q) -> float:
    """Of GIG laws, over log x; infinite where a moment is missing."""
    (order, a, b), (_, a_q, b_q) = p, q
    if (b == 0 and b_q > 0 and order <= 1) or (a == 0 and a_q > 0 and order >= -1):
        return np.inf
    s = log_grid(*p, 2.0) if a > 0 and b > 0 else _long_grid(order, a, b)
    log_p, log_q = log_density(p, s), log_density(q, s)
    return integral(np.exp(log_p) * np.where(log_p > -700, log_p - log_q, 0.0), s)


def _long_grid(order, a, b):
    """Of a Gamma or inverse Gamma law, to where x or 1/x too has no mass left."""
    near = log_grid(order, a, b)
    beyond = log_grid(order - 1, a, b) if b == 0 and order > 1 else near
    beyond = log_grid(order + 1, a, b) if a == 0 and order < -1 else beyond
    ends = min(near[0], beyond[0]), max(near[-1], beyond[-1])
    return np.linspace(*ends, 8001)


def hellinger_by_quadrature(p, q) -> float:
    middle = tuple(0.5 * (np.array(p) + np.array(q)))
    s = log_grid(*middle)
    half = 0.5 * (log_density(p, s) + log_density(q, s))
    return 1 - integral(np.exp(half), s)


@cache
def computed(pair):
    """Both divergences for all pairs of members, and their arguments as GIG laws."""
    first, second = pair
    rows = list(itertools.product(LAWS[first], LAWS[second]))
    left = np.array([row[0] for row in rows]).T
    right = np.array([row[1] for row in rows]).T

    def both(x, y):
        p, q = first(*x), second(*y)
        return kl_divergence(p, q), squared_hellinger(p, q)

    kl, hellinger = jax.jit(jax.vmap(both, (1, 1)))(left, right)
    laws = [(AS_GIG[first](*x), AS_GIG[second](*y)) for x, y in rows]
    return np.asarray(kl), np.asarray(hellinger), laws


@every_pair
def test_kl_divergence(pair):
    kl, _, laws = computed(pair)
    want = np.array([kl_by_quadrature(*row) for row in laws])
    size = np.maximum(1.0, np.abs(want))
    with np.errstate(invalid="ignore"):
        error = np.where(kl == want, 0.0, np.abs(kl - want) / size)
    assert error.max() <= 1e-9, laws[error.argmax()]
    assert (kl >= -1e-12).all()
    same = [p == q for p, q in laws]
    assert np.abs(kl[same]).max(initial=0) <= 1e-12
    assert (kl[np.logical_not(same)] > 1e-4).all()


@every_pair
def test_squared_hellinger_distance(pair):
    _, hellinger, laws = computed(pair)
    want = [hellinger_by_quadrature(*row) for row in laws]
    np.testing.assert_allclose(hellinger, want, rtol=1e-9, atol=1e-11)
    assert (hellinger >= -1e-12).all() and (hellinger <= 1).all()
    same = [p == q for p, q in laws]
    assert np.abs(hellinger[same]).max(initial=0) <= 1e-12


def test_infinite_divergence():
    """A moment that the second law asks of the first is missing."""
    missing = [
        (GIG(p=1.0, a=1.0, b=0.0), GIG(p=-2.0, a=0.0, b=1.0)),
        (GIG(p=-1.0, a=0.0, b=1.0), GIG(p=1.0, a=1.0, b=0.0)),
        (GIG(p=0.5, a=1.0, b=0.0), GIG(p=0.5, a=1.0, b=1e-3)),
        (GIG(p=-0.5, a=0.0, b=1.0), GIG(p=-0.5, a=1e-3, b=1.0)),
    ]
    for p, q in missing:
        assert float(kl_divergence(p, q)) == np.inf
        assert 0 < float(squared_hellinger(p, q)) < 1
    # Not asked for: the same missing moments, and a finite divergence
    p, q = GIG(p=0.5, a=1.0, b=0.0), GIG(p=0.7, a=2.0, b=0.0)
    same = Gamma(0.5, 0.5).kl_divergence(Gamma(0.7, 1.0))
    assert float(p.kl_divergence(q)) == pytest.approx(float(same), rel=1e-12)


def test_scale_does_not_matter():
    """Not to rounding either: units in which one law is standard come first."""
    p, q = GIG(p=0.3, a=1.0, b=2.0), GIG(p=0.4, a=1.5, b=1.0)
    want = float(p.kl_divergence(q)), float(p.squared_hellinger(q))
    for s in (1e-8, 1e8):
        left, right = p.scaled(s), q.scaled(s)
        got = float(left.kl_divergence(right)), float(left.squared_hellinger(right))
        np.testing.assert_allclose(got, want, rtol=1e-12)


def test_gradients():
    """Of KL in both laws' natural parameters; by the moments of the first."""
    p, q = GIG(p=0.3, a=1.0, b=2.0), GIG(p=0.4, a=1.5, b=1.0)

    def kl(theta_p, theta_q):
        return GIG.from_natural(theta_p).kl_divergence(GIG.from_natural(theta_q))

    by_p, by_q = jax.jit(jax.grad(kl, (0, 1)))(p.natural_params(), q.natural_params())
    step = q.natural_params() - p.natural_params()
    np.testing.assert_allclose(by_p, -p.fisher_information() @ step, rtol=1e-9)
    want = q.expectation_params() - p.expectation_params()
    np.testing.assert_allclose(by_q, want, rtol=1e-9)


# -- normal laws -------------------------------------------------------------------

NORMALS = [
    MultivariateNormal.from_classical(mu, sigma)
    for mu, sigma in [
        (np.array([1.0, -2.0]), np.array([[2.0, 0.3], [0.3, 1.0]])),
        (np.array([0.0, 0.5]), np.array([[1.0, -0.8], [-0.8, 1.0]])),
        (np.array([10.0, 0.0]), np.array([[1e4, 99.0], [99.0, 1.0]])),
    ]
]


@pytest.mark.parametrize(("i", "j"), list(itertools.product(range(3), repeat=2)))
def test_normal_laws(i, j):
    """Closed forms."""
    p, q = NORMALS[i], NORMALS[j]
    s_p, s_q = np.asarray(p.sigma()), np.asarray(q.sigma())
    shift = np.asarray(q.mu - p.mu)

    def log_det(matrix):
        return np.linalg.slogdet(matrix)[1]

    kl = np.trace(np.linalg.solve(s_q, s_p)) - 2 + log_det(s_q) - log_det(s_p)
    kl = 0.5 * (kl + shift @ np.linalg.solve(s_q, shift))
    middle = 0.5 * (s_p + s_q)
    log_affinity = 0.25 * (log_det(s_p) + log_det(s_q)) - 0.5 * log_det(middle)
    log_affinity -= shift @ np.linalg.solve(middle, shift) / 8
    got = float(kl_divergence(p, q))
    assert got == pytest.approx(kl, rel=1e-9, abs=1e-12)
    assert got >= -1e-12
    distance = float(squared_hellinger(p, q))
    assert distance == pytest.approx(-np.expm1(log_affinity), rel=1e-9, abs=1e-12)


def test_normal_laws_far_from_the_origin():
    """Translation changes nothing, not even the rounding of the result."""
    p, q = NORMALS[:2]
    far = 1e6 * np.ones(2)
    moved = [MultivariateNormal(law.mu + far, law.L_Sigma) for law in (p, q)]
    want = float(p.kl_divergence(q))
    assert float(moved[0].kl_divergence(moved[1])) == pytest.approx(want, rel=1e-8)


def test_other_spaces():
    with pytest.raises(ValueError, match="Gamma.*cannot be compared.*Normal"):
        kl_divergence(Gamma(1.0, 1.0), NORMALS[0])
    with pytest.raises(ValueError, match="2 dimensions cannot be compared"):
        squared_hellinger(NORMALS[0], MultivariateNormal(np.zeros(3), np.eye(3)))
    with pytest.raises(ValueError, match="cannot be compared"):
        kl_divergence(NORMALS[0], Gamma(1.0, 1.0))


# -- the functional forms ----------------------------------------------------------


def test_from_log_partitions():
    """Of the exponential law: psi = -log(-theta)."""

    def psi(theta):
        return -jnp.log(-theta[0])

    p, q = np.array([-2.0]), np.array([-5.0])
    kl = kl_divergence_from_psi(psi, jax.grad(psi), p, q)
    assert float(kl) == pytest.approx(np.log(2 / 5) + 5 / 2 - 1, rel=1e-13)
    distance = squared_hellinger_from_psi(psi, p, q)
    assert float(distance) == pytest.approx(1 - np.sqrt(10) / 3.5, rel=1e-13)


@pytest.mark.parametrize("name", ["kl_divergence", "squared_hellinger"])
def test_what_cannot_be_compared(name):
    nig = normix.NormalInverseGaussian.from_classical(
        mu=np.zeros(1), gamma=np.zeros(1), sigma=np.eye(1), mu_ig=1.0, lam=1.0
    )
    gamma = normix.Gamma(alpha=1.0, beta=1.0)
    normal = normix.MultivariateNormal.from_classical(np.zeros(1), np.eye(1))
    function = getattr(normix, name)
    for other in (gamma, normal, nig.joint, 3.0, None):
        kind = type(other).__name__
        with pytest.raises(ValueError, match=f"other must be a mixture, got a {kind}"):
            getattr(nig, name)(other)
    for other in (nig, 3.0, None):
        for law in (gamma, normal, nig.joint):
            for pair in ((law, other), (other, law)):
                with pytest.raises(ValueError, match="two exponential families"):
                    function(*pair)
            with pytest.raises(ValueError, match=type(other).__name__):
                getattr(law, name)(other)
    with pytest.raises(ValueError, match="joint law, model.joint"):
        function(nig, nig)
