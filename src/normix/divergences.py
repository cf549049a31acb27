"""How far apart two laws of one exponential family are."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import jax
import jax.numpy as jnp
from jaxtyping import Array, ArrayLike, Float

from normix._arrays import as_float

if TYPE_CHECKING:
    from normix.exponential_family import ExponentialFamily

LogPartition = Callable[[Array], Array]


def kl_divergence(p: ExponentialFamily, q: ExponentialFamily) -> Float[Array, ""]:
    r"""The Kullback-Leibler divergence :math:`E_p[\log p(X) - \log q(X)]`, in nats.

    Infinite where a moment of ``p`` that ``q`` asks for does not exist. Positive laws
    of different families are compared as generalized inverse Gaussian laws.

    **Raises**: ``ValueError`` for laws on different spaces.

    >>> from normix import Gamma, InverseGaussian, kl_divergence
    >>> p, q = Gamma(alpha=2.0, beta=1.0), InverseGaussian(mu=2.0, lam=3.0)
    >>> round(float(kl_divergence(p, p)), 12), float(kl_divergence(p, q)) > 0
    (0.0, True)
    """
    _check_laws(p, q)
    return _kl(p, q)


def squared_hellinger(p: ExponentialFamily, q: ExponentialFamily) -> Float[Array, ""]:
    r"""The squared Hellinger distance :math:`1 - \int\sqrt{p(x)\,q(x)}\,dx`, in [0, 1].

    **Raises**: ``ValueError`` for laws on different spaces.

    >>> from normix import Gamma, squared_hellinger
    >>> p, q = Gamma(alpha=2.0, beta=1.0), Gamma(alpha=2.0, beta=3.0)
    >>> round(float(squared_hellinger(p, q)), 12)  # 1 - (sqrt(3)/2)^2
    0.25
    """
    _check_laws(p, q)
    return _hellinger(p, q)


def _check_laws(*laws: object) -> None:
    """Raise ``ValueError`` for what has no density of exponential form."""
    from normix.exponential_family import ExponentialFamily

    for law in laws:
        if not isinstance(law, ExponentialFamily):
            mixture = isinstance(getattr(law, "joint", None), ExponentialFamily)
            hint = "; a mixture is compared by its joint law, model.joint"
            raise ValueError(
                f"two exponential families are compared, got a {type(law).__name__}"
                + (hint if mixture else "")
            )


def kl_divergence_from_psi(
    psi: LogPartition, grad_psi: LogPartition, theta_p: ArrayLike, theta_q: ArrayLike
) -> Float[Array, ""]:
    r"""KL divergence from a log-partition: its Bregman divergence.

    :math:`\psi(\theta_q) - \psi(\theta_p) - (\theta_q-\theta_p)^\top
    \nabla\psi(\theta_p)`; parameters of shape ``(k,)``.

    **Raises**: ``ValueError`` for other shapes.
    """
    theta_p, theta_q = _two_vectors(theta_p, theta_q)
    step = theta_q - theta_p
    # A moment that does not exist does not matter where nothing asks for it.
    slope = jnp.where(step == 0, 0.0, step * grad_psi(theta_p)).sum()
    return psi(theta_q) - psi(theta_p) - slope


def squared_hellinger_from_psi(
    psi: LogPartition, theta_p: ArrayLike, theta_q: ArrayLike
) -> Float[Array, ""]:
    r"""Squared Hellinger distance from a log-partition.

    :math:`1 - \exp\{\psi(\tfrac12(\theta_p+\theta_q)) - \tfrac12\psi(\theta_p)
    - \tfrac12\psi(\theta_q)\}`; parameters of shape ``(k,)``.

    **Raises**: ``ValueError`` for other shapes.
    """
    theta_p, theta_q = _two_vectors(theta_p, theta_q)
    middle = psi(0.5 * (theta_p + theta_q))
    return 0.0 - jnp.expm1(middle - 0.5 * (psi(theta_p) + psi(theta_q)))  # not -0


def _two_vectors(theta_p: ArrayLike, theta_q: ArrayLike) -> tuple[Array, Array]:
    p, q = as_float(theta_p), as_float(theta_q)
    if p.ndim != 1 or p.shape != q.shape:
        raise ValueError(
            f"theta_p and theta_q must have one shape (k,), got {p.shape} and {q.shape}"
        )
    return p, q


def kl_within(p: ExponentialFamily, q: ExponentialFamily) -> Array:
    """KL divergence of two laws of one family, from its log-partition."""
    psi = p._log_partition_from_theta
    theta_p, theta_q = p.natural_params(), q.natural_params()
    # The slope of psi towards q, which is exact also where some moment is infinite.
    value, slope = jax.jvp(psi, (theta_p,), (theta_q - theta_p,))
    return psi(theta_q) - value - slope


def log_affinity_within(p: ExponentialFamily, q: ExponentialFamily) -> Array:
    """``log ∫ sqrt(pq)`` of two laws of one family, from its log-partition."""
    psi = p._log_partition_from_theta
    theta_p, theta_q = p.natural_params(), q.natural_params()
    return psi(0.5 * (theta_p + theta_q)) - 0.5 * (psi(theta_p) + psi(theta_q))


@jax.jit
def _kl(p: ExponentialFamily, q: ExponentialFamily) -> Array:
    return p._kl(q)


@jax.jit
def _hellinger(p: ExponentialFamily, q: ExponentialFamily) -> Array:
    return 0.0 - jnp.expm1(p._log_affinity(q))  # not -0
