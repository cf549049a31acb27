"""What is a parameter of a fit, and what was held, bounded or came to a limit."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from normix._compile import small
from normix.distributions import Gamma, InverseGamma, InverseGaussian
from normix.mixtures.coordinates import Moving
from normix.mixtures.joint import JointNormalMixture
from normix.mixtures.law import Frame
from normix.mixtures.limits import flattest, nearness, thinnest
from normix.mixtures.low_rank import FactorDispersion, turns_of
from normix.mixtures.marginal import MarginalMixture

# The parameters of Y that remain once its mean is 1.
_SHAPES: dict[type, tuple[str, ...]] = {
    Gamma: ("alpha",),
    InverseGamma: ("alpha",),
    InverseGaussian: ("lam",),
}


class Chart(NamedTuple):
    """Which coordinates are free, and why the others are not.

    ``names``: the parameters of Y that are told. ``redundant``: directions in which
    the law of X does not change, as columns.
    """

    moving: Moving
    free: np.ndarray
    names: tuple[str, ...]
    notes: tuple[str, ...]
    redundant: np.ndarray


_turns = small()(turns_of)


@small("frame")
def _places(vector: Array, frame: Frame) -> Array:
    """How near a law is to the normal one, and to that of ``μ + γY`` alone."""
    near = nearness(frame.unpack(vector))
    return jnp.stack([near.omega, near.s])


def chart_of(
    model: MarginalMixture,
    vector: Array,
    fix: Mapping[str, Any] | Iterable[str] | None,
    symmetric: bool,
    boundary: str | None,
    alpha_min: float | None,
) -> Chart:
    """The chart of a model, also given as a vector, whose fit held this.

    **Raises**: ``ValueError`` for names that cannot be held, values that the model does
    not have, and a symmetric model with a skewness.
    """
    joint, d = model.joint, model.d
    p, a, b = (float(x) for x in np.asarray(vector)[-3:])
    omega, s = (float(x) for x in _places(vector, joint.frame))
    dtype = vector.dtype
    fixed = _checked(model, fix, float(p))
    if symmetric and np.any(np.asarray(joint.gamma) != 0):
        raise ValueError("symmetric=True, but the model's gamma is not 0")
    has_order = bool(joint.subordinator.has_order)
    moving = Moving("mu" not in fixed, has_order and "p" not in fixed)
    size = joint.chart_size
    free = np.zeros(size + 2, bool)
    free[joint.free] = True
    notes = []
    if not moving.mu:
        free[:d] = False
        notes.append("mu is fixed")
    if symmetric:
        free[d : 2 * d] = False
        notes.append("gamma is 0 by assumption")
    if has_order and not moving.p:
        free[size] = False
        notes.append("p is fixed")
    rounding = 8 * float(np.finfo(dtype).eps)
    if alpha_min is not None and abs(p) <= (1 + rounding) * alpha_min:
        free[size] = False
        notes.append("the shape is at its bound, alpha_min, and held there")
    if has_order and (a == 0 or b == 0):
        free[size + 1] = False
        limit = "variance gamma" if b == 0 else "skew t"
        notes.append(f"the fit ended in a limit, a {limit} law, and is held there")
    if boundary == "normal" or omega >= 0.5 * flattest(dtype):
        free[d : 2 * d] = free[size:] = False
        notes.append(
            "the fit ended in a limit, a normal law: the law of Y and gamma are held"
        )
    elif boundary == "mixing" or s >= 0.5 * thinnest(dtype):
        free[d : 2 * d] = False
        notes.append(
            "the fit ended in a limit, Σ vanishing beside γγᵀ: the share and the "
            "direction of gamma are held"
        )
    shape = ("p",) if moving.p else ()
    names = (*shape, "alpha_bar") if has_order else _SHAPES[type(joint.subordinator)]
    redundant = _rotations(joint, free) if joint.dispersion.rank else np.zeros((0, 0))
    return Chart(moving, free, names, tuple(notes), redundant)


def _checked(
    model: MarginalMixture, fix: Mapping[str, Any] | Iterable[str] | None, p: float
) -> set[str]:
    names = set(fix or ())
    holdable = {"mu", "p"} if model.joint.subordinator.has_order else {"mu"}
    unknown = sorted(names - holdable)
    if unknown:
        raise ValueError(
            f"fix names {', '.join(unknown)}; a {type(model).__name__} can hold "
            f"{', '.join(sorted(holdable))}"
        )
    if isinstance(fix, Mapping):
        own = {"mu": np.asarray(model.joint.mu), "p": p}
        for name, value in fix.items():
            if not np.allclose(np.atleast_1d(value), own[name], rtol=1e-6):
                raise ValueError(
                    f"fix[{name!r}] is {value}, but the model's {own[name]}"
                )
    return names


def _rotations(joint: JointNormalMixture, free: np.ndarray) -> np.ndarray:
    """Directions in which F turns, ``F -> F K`` with an antisymmetric K."""
    dispersion = joint.dispersion
    assert isinstance(dispersion, FactorDispersion)
    turns = np.asarray(_turns(dispersion.F))
    before = len(free) - 2 - turns.shape[1]
    return np.pad(turns, ((0, 0), (before, 2))).T[free]
