"""What the inference of a mixture stands on: scores, information, parameters."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, ArrayLike, Float

from normix.mixtures.coordinates import Moving, at_coordinates, coordinates
from normix.mixtures.joint import JointNormalMixture
from normix.mixtures.law import Frame
from normix.mixtures.marginal import MarginalMixture
from normix.mixtures.model_steps import mean_log_likelihood, packed
from normix.mixtures.observed import (
    At,
    classical_of,
    information_of,
    law_at,
    placed,
)
from normix.mixtures.observed_gaps import information_seen
from normix.mixtures.rows import moments_of
from normix.special._mode import typical_value
from normix.uncertainty.held import Chart, chart_of
from normix.uncertainty.parameters import is_positive, parameter_names, parameter_units
from normix.uncertainty.told import Told, enough, numbers


@dataclass(frozen=True, eq=False)
class MixtureParameters:
    """The classical parameters of a mixture, and functions of it by its coordinates."""

    model: MarginalMixture
    chart: Chart
    at: At

    def of_model(self, model: MarginalMixture) -> Float[Array, " p"]:
        law, y = model.joint.law(), model.joint.subordinator.mean()
        unit = jnp.where(jnp.isfinite(y), y, typical_value(*law.gig))
        return classical_of(law, unit, self.chart.names)

    def derivative(self, f: Callable[[Any], ArrayLike]) -> tuple[Array, Array]:
        kind = type(self.model), type(self.model.joint), self.model.joint.frame
        free = tuple(np.flatnonzero(self.chart.free).tolist())
        return _slopes_of(f, *kind, self.chart.moving, free, self.at)


@partial(jax.jit, static_argnums=(0, 1, 2, 3, 4, 5))
def _slopes_of(
    f: Callable[[Any], ArrayLike],
    family: type[MarginalMixture],
    joint: type[JointNormalMixture],
    frame: Frame,
    moving: Moving,
    free: tuple[int, ...],
    at: At,
) -> tuple[Array, Array]:
    """``f`` of the model, and its derivatives; for the same ``f`` compiled once."""

    def moved(step: Array) -> Array:
        return numbers(f(family(joint_moved(step, joint, frame, moving, free, at))))

    here = jnp.zeros(len(free), at.vector.dtype)
    return moved(here), jax.jacfwd(moved)(here)


def joint_moved(
    step: Float[Array, " k"],
    joint: type[JointNormalMixture],
    frame: Frame,
    moving: Moving,
    free: tuple[int, ...],
    at: At,
) -> JointNormalMixture:
    """The law whose free coordinates are those of ``at`` and a step."""
    law = law_at(at, frame)
    point = coordinates(law, moving).at[np.array(free, int)].add(step)
    law = at_coordinates(law, point, moving)
    return joint.of_law(law.in_units(at.unit).translated(at.centre))


def told_by_mixture(
    model: MarginalMixture,
    rows: Float[np.ndarray, "n d"],
    w: Float[np.ndarray, " n"] | None,
    fix: Mapping[str, Any] | Iterable[str] | None,
    symmetric: bool,
    alpha_min: ArrayLike | None,
    boundary: str | None,
    columns: Sequence[object] | None,
    gaps: bool,
) -> Told:
    """What rows of positive weight say of a mixture; see :func:`inference`.

    With ``gaps`` NaN is a missing entry.
    """
    vector = packed(model.joint)
    least = None if alpha_min is None else float(np.asarray(alpha_min))
    chart = chart_of(model, vector, fix, symmetric, boundary, least)
    enough(len(rows), int(chart.free.sum()) - chart.redundant.shape[1])
    moments = moments_of(rows, missing=gaps)
    at = placed(vector, *moments)
    frame = model.joint.frame
    p, a, _ = (float(x) for x in np.asarray(vector)[-3:])
    unit_mean = a > 0 or p < -1  # where E[Y] is finite
    shape = frame, chart.moving, chart.names, unit_mean
    of_rows = information_seen if gaps else information_of
    found, free = of_rows(at, rows, w, *shape), chart.free
    units = parameter_units(np.asarray(moments.scale, float), len(chart.names))
    params = np.asarray(found.classical, float) * units
    params[: model.d] += np.asarray(moments.centre, float)
    by_jax = jnp.asarray(rows), None if w is None else jnp.asarray(w)
    names = *parameter_names(model.d, columns, model._axes == 1), *chart.names
    return Told(
        parameters=MixtureParameters(model, chart, at),
        names=names,
        params=params,
        positive=np.array([is_positive(name) for name in names]),
        slopes=np.asarray(found.slopes, float)[:, free] * units[:, None],
        scores=found.scores[:, free],
        information=found.information[np.ix_(free, free)],
        redundant=chart.redundant,
        mean_llf=float(mean_log_likelihood(model.joint, *by_jax, gaps)),
        held=chart.notes,
    )
