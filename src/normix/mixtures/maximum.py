"""The M-step: the law of maximum likelihood for given expectations, in two pieces."""

from __future__ import annotations

from functools import cache
from typing import Any

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from normix._arrays import check_option, is_traced
from normix._compile import LOOPS, compiled, small
from normix.exponential_family import BACKENDS, METHODS, SolverOptions
from normix.mixtures.constraints import Constraints, Pin
from normix.mixtures.coordinates import gauge_scale
from normix.mixtures.law import Frame, Law, Swept
from normix.mixtures.poles import on_row
from normix.mixtures.subordinator import Subordinator
from normix.special.gig_inverse import gig_from_expectation_host


def solver_options(**options: Any) -> SolverOptions:
    """Checked options for the subordinator's solver."""
    unknown = set(options) - set(SolverOptions._fields)
    if unknown:
        raise ValueError(
            f"unknown solver options {sorted(unknown)}; "
            f"accepted are {', '.join(SolverOptions._fields)}"
        )
    chosen = SolverOptions(**options)
    check_option("backend", chosen.backend, BACKENDS)
    check_option("method", chosen.method, METHODS)
    return chosen


def mixing_maximised(
    head: Float[Array, " 8"],
    family: type[Subordinator],
    options: SolverOptions,
    p: Float[Array, ""] | None = None,
    alpha_min: Float[Array, ""] | None = None,
) -> Float[Array, " 3"]:
    """The mixing law's ``(p, a, b)``, from the ``head`` of a :class:`Swept`.

    ``p`` and ``alpha_min`` are as of ``family.closest_to_mixing``.
    """
    by_scipy = options.backend == "cpu" and not family.closed_form
    if by_scipy and p is None and alpha_min is None and not is_traced(head):
        weight, *of_y = np.asarray(head)[1:5]
        eta = np.asarray(of_y) / weight
        return gig_from_expectation_host(
            eta, options.method, options.maxiter, options.tol
        )
    if family.closed_form:
        return _closed(head, family, None, None, alpha_min)
    return _solved(head, family, options, p, alpha_min)


def _mixing(head, family, options, p, alpha_min):
    log_y, inv_y, y = head[2:5] / head[1]
    law = family.closest_to_mixing(log_y, inv_y, y, options, p, alpha_min)
    return jnp.stack(law.gig_params())


_closed = small("family", "options")(_mixing)
_solved = compiled("family", "options", options=LOOPS)(_mixing)


@small("frame", "symmetric")
def normal_maximised(
    vector: Float[Array, " k"],
    swept: Swept,
    gig: Float[Array, " 3"] | None,
    mu: Float[Array, " d"] | None,
    gauge: Float[Array, " 2"],
    frame: Frame,
    symmetric: bool,
) -> tuple[Float[Array, " k"], Float[Array, ""]]:
    """μ, γ and Σ from the E-step at the law in ``vector``, beside the mixing law.

    That is ``gig``, or where it is None the law's own.

    ``mu`` and ``symmetric`` hold μ, or γ at 0. Otherwise a μ that has come to a row at
    a cusp of the density, to rounding, is moved onto it and stays there: the row's
    weight holds it, but leaves no digits to tell by how little it would move.

    The law is brought into a gauge, see
    :func:`~normix.mixtures.coordinates.gauge_scale`. **Returns** it and the unit of Y
    that this took.
    """
    at = frame.unpack(vector)
    gig = at.gig if gig is None else gig
    pin, held = None, Constraints(symmetric, None if mu is None else mu - at.mu)
    if mu is None:
        # Of posterior orders above 1 the weight of a row at μ is finite: no cusp.
        cusp = at.gig[0] - 0.5 * frame.d <= 1
        stays = cusp & on_row(at.gig, swept.near[0])
        pin = Pin(stays, swept.near[1:] - at.mu)
    shift, gamma, dispersion = frame.form.maximised(frame.means(swept), held, pin)
    location = at.mu + shift if mu is None else mu
    if pin is not None:
        location = jnp.where(pin.stay, swept.near[1:], location)
    law = Law(location, gamma, dispersion, gig)
    unit = gauge_scale(law, gauge[0], gauge[1])
    return frame.pack(law.rescaled(unit)), unit


@cache
def nowhere(frame: Frame, dtype: np.dtype) -> tuple[Any, Any, Any]:
    """In place of an E-step: no law, no near row; and no gauge."""
    size = 2 * frame.d + frame.form.stored(frame.d, frame.r) + 3
    near = np.full(frame.d + 1, np.inf, dtype)
    return np.zeros(size, dtype), near, np.zeros(2, dtype)
