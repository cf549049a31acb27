"""Classical parameters of a mixture, checked."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, ArrayLike

from normix._arrays import as_float, is_traced
from normix.distributions.multivariate_normal import cholesky
from normix.mixtures.cholesky import CholeskyDispersion
from normix.mixtures.dispersion import Dispersion
from normix.mixtures.low_rank import FactorDispersion

if TYPE_CHECKING:
    from normix.mixtures.joint import JointNormalMixture

Joint = TypeVar("Joint", bound="JointNormalMixture")


def check_scalars(**values: ArrayLike) -> tuple[Array, ...]:
    """Finite scalars, in the given order; ``ValueError`` names the one that is not."""
    arrays = {name: as_float(value) for name, value in values.items()}
    for name, value in arrays.items():
        if value.ndim:
            raise ValueError(f"{name} must be a scalar, got shape {value.shape}")
        _check_finite(name, value)
    return tuple(arrays.values())


def check_vectors(mu: ArrayLike, gamma: ArrayLike) -> tuple[Array, Array]:
    """``mu`` and ``gamma`` of shape ``(d,)``, finite."""
    mu, gamma = as_float(mu), as_float(gamma)
    if mu.ndim != 1:
        raise ValueError(f"mu must have shape (d,), got {mu.shape}")
    if gamma.shape != mu.shape:
        raise ValueError(f"gamma must have shape {mu.shape} as mu, got {gamma.shape}")
    _check_finite("mu", mu)
    _check_finite("gamma", gamma)
    return mu, gamma


def check_parts(joint: JointNormalMixture) -> None:
    """Raise ``ValueError`` where the parts of a joint law do not fit each other."""
    owner, kind = type(joint).__name__, type(joint)._subordinator_class
    if not isinstance(joint.subordinator, kind):
        raise ValueError(
            f"{owner}: the subordinator must be a {kind.__name__}, "
            f"got a {type(joint.subordinator).__name__}"
        )
    if not isinstance(joint.dispersion, Dispersion):
        raise ValueError(
            f"{owner}: the dispersion must be a CholeskyDispersion or a "
            f"FactorDispersion, got a {type(joint.dispersion).__name__}"
        )
    mu, gamma = np.shape(joint.mu), np.shape(joint.gamma)
    d = joint.dispersion.shape
    mixing = {np.shape(leaf) for leaf in jax.tree.leaves(joint.subordinator)}
    if len(mu) < 1 or gamma != mu or d != mu or mixing != {mu[:-1]}:
        raise ValueError(
            f"{owner}: mu and gamma must have shape (d,), Σ (d, d) and the parameters "
            f"of Y (); got {mu}, {gamma}, {d + d[-1:]} and "
            f"{', '.join(map(str, mixing))}"
        )


def check_marginal(
    owner: str,
    joint: JointNormalMixture,
    kind: type[JointNormalMixture],
    form: type[Dispersion],
    axes: int,
) -> None:
    """Raise ``ValueError`` where a marginal law's class does not fit its joint law.

    ``axes`` is 1 for laws of one variable.
    """
    if not isinstance(joint, kind):
        raise ValueError(
            f"a {owner} is made of a {kind.__name__}, got a {type(joint).__name__}"
        )
    if not isinstance(joint.dispersion, form):
        raise ValueError(
            f"a {owner} has a {form.__name__}, got a {type(joint.dispersion).__name__}"
        )
    if axes == 1 and joint.d != 1:
        raise ValueError(f"a {owner} has one variable, got {joint.d}")


def _check_finite(name: str, value: Array) -> None:
    if not is_traced(value) and not np.isfinite(np.asarray(value)).all():
        raise ValueError(f"{name} must be finite, got {value}")


def full_dispersion(sigma: ArrayLike, d: int) -> CholeskyDispersion:
    """From Σ of shape ``(d, d)``, symmetric and positive definite."""
    root = cholesky(sigma, name="sigma")
    if root.shape[0] != d:
        raise ValueError(f"sigma must have shape {(d, d)} to fit mu, got {root.shape}")
    return CholeskyDispersion(root)


def factor_dispersion(F: ArrayLike, D: ArrayLike, d: int) -> FactorDispersion:
    """From loadings ``(d, r)`` and positive own dispersions ``(d,)``."""
    F, D = as_float(F), as_float(D)
    if F.ndim != 2 or F.shape[0] != d or F.shape[1] == 0:
        raise ValueError(f"F must have shape ({d}, r) to fit mu, got {F.shape}")
    if D.shape != (d,):
        raise ValueError(f"D must have shape ({d},) as mu, got {D.shape}")
    _check_finite("F", F)
    _check_finite("D", D)
    if not is_traced(D) and not np.all(np.asarray(D) > 0):
        raise ValueError(f"D must be positive, got {D}")
    return FactorDispersion(F, D)


def from_parts(
    family: type[Joint],
    mu: Array,
    gamma: Array,
    dispersion: Dispersion,
    mixing: dict[str, ArrayLike],
) -> Joint:
    """A member of ``family``, all of one dtype, from checked parts and those of Y."""
    names = family._mixing_names
    unknown, lacking = set(mixing) - set(names), set(names) - set(mixing)
    if unknown or lacking:
        problem = "unknown" if unknown else "missing"
        raise ValueError(
            f"{problem} parameters {', '.join(sorted(unknown or lacking))}; the mixing "
            f"variable of a {family.__name__} has {', '.join(names)}"
        )
    values = {names[k]: check_scalars(**{k: v})[0] for k, v in mixing.items()}
    parts = mu, gamma, dispersion, values
    dtype = jnp.result_type(*jax.tree.leaves(parts))
    mu, gamma, dispersion, values = jax.tree.map(lambda x: x.astype(dtype), parts)
    try:
        subordinator = family._subordinator_class(**values)
    except ValueError as error:
        raise ValueError(f"{family.__name__}: {error}") from None
    return family(mu, gamma, dispersion, subordinator)
