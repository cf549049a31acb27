"""Expectations that an M-step is given, checked."""

from __future__ import annotations

import numpy as np
from jaxtyping import ArrayLike

from normix.mixtures.dispersion import Dispersion
from normix.mixtures.low_rank import FactorDispersion
from normix.mixtures.statistics import (
    FactorMixtureStats,
    MixtureStatistics,
    NormalMixtureEta,
)


def record_class(form: type[Dispersion]) -> type[MixtureStatistics]:
    """The record that the E-step of a form of Σ gives."""
    factors = issubclass(form, FactorDispersion)
    return FactorMixtureStats if factors else NormalMixtureEta


def check_record(
    owner: str,
    eta: MixtureStatistics,
    form: type[Dispersion],
    d: int | None = None,
    r: int | None = None,
    name: str = "eta",
) -> None:
    """Raise ``ValueError`` for another form's record, or one whose shapes do not fit.

    ``d`` and ``r`` are the numbers of dimensions and of factors that it must have, if
    that is known.
    """
    check_record_class(owner, eta, form, name)
    d = _length(eta.E_X) if d is None else d
    if isinstance(eta, FactorMixtureStats):
        r = _length(eta.E_Z_sqrtY) if r is None else r
    shapes = (), (), (), *form.shapes(d, r or 0)
    for field, value, shape in zip(_names(eta), eta.fields(), shapes, strict=True):
        if np.shape(value) != shape:
            raise ValueError(
                f"{name}.{field} must have shape {shape} for a {owner}, "
                f"got {np.shape(value)}"
            )


def check_record_class(
    owner: str, eta: object, form: type[Dispersion], name: str = "eta"
) -> None:
    """Raise ``ValueError`` for what is not the record of this form of Σ."""
    wanted = record_class(form)
    if not isinstance(eta, wanted):
        raise ValueError(
            f"{name} must be a {wanted.__name__}, which the E-step of a {owner} gives; "
            f"got a {type(eta).__name__}"
        )


def _names(eta: MixtureStatistics) -> tuple[str, ...]:
    return tuple(type(eta).__dataclass_fields__)


def _length(x: ArrayLike) -> int:
    shape = np.shape(x)
    return shape[0] if shape else 0
