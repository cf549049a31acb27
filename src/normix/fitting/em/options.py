"""Options of a fit that depend on the model: what may be held fixed."""

from __future__ import annotations

from typing import TYPE_CHECKING

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from normix._arrays import as_float, is_traced
from normix.mixtures.constraints import Constraints
from normix.mixtures.marginal import MarginalMixture

if TYPE_CHECKING:
    from normix.fitting.em.batch import BatchEMFitter

ALGORITHMS = ("em", "mcecm")
# The least shapes by name, above d/2: for a density without a pole, and for finite
# means of 1/Y given any observation. The margin keeps both from being just finite.
ALPHA_MIN = {"density": 0.1, "inverse_moment": 1.1}


def constraints_for(fitter: BatchEMFitter, model: MarginalMixture) -> Constraints:
    """The fitter's constraints on such a model, checked.

    **Raises**: ``ValueError`` for a parameter that cannot be held, or a value that
    does not fit.
    """
    fix = dict(fitter.fix or {})
    subordinator = model.joint.subordinator
    holdable = ("mu", "p") if subordinator.has_order else ("mu",)
    unknown = sorted(set(fix) - set(holdable))
    if unknown:
        raise ValueError(
            f"fix names {', '.join(unknown)}; a {type(model).__name__} can hold "
            f"{', '.join(holdable)}"
        )
    mu = fix.get("mu")
    if mu is not None:
        mu = jnp.atleast_1d(as_float(mu))
        if mu.shape != (model.d,):
            raise ValueError(f'fix["mu"] must have shape ({model.d},), got {mu.shape}')
        _check_finite('fix["mu"]', mu)
    p = fix.get("p")
    if p is not None:
        p = as_float(p)
        if p.ndim:
            raise ValueError(f'fix["p"] must be a scalar, got shape {p.shape}')
        _check_finite('fix["p"]', p)
    return Constraints(fitter.symmetric, mu, p, _alpha_min(fitter, model, p))


def _alpha_min(fitter, model, p) -> Array | None:
    least = fitter.alpha_min
    if least is None:
        return None
    if not model.joint.subordinator.bounded_below:
        raise ValueError(
            f"alpha_min bounds the shape of variance gamma and generalized hyperbolic "
            f"models; a {type(model).__name__} has no pole"
        )
    if p is not None:
        raise ValueError('alpha_min and fix["p"] exclude each other')
    if isinstance(least, str):
        least = 0.5 * model.d + ALPHA_MIN[least]
    least = as_float(least)
    if least.ndim or (not is_traced(least) and not float(least) > 0):
        raise ValueError(f"alpha_min must be a positive number, got {least}")
    return least


def _check_finite(name: str, value: Array) -> None:
    if not is_traced(value) and not np.isfinite(np.asarray(value)).all():
        raise ValueError(f"{name} must be finite, got {value}")
