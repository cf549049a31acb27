r"""What the inference of a finite mixture stands on, from that of its components.

Let :math:`r_{ij}` be the share that row i has in component j, and :math:`s_{ij}` the
score of the row by the component's parameters. With the component known the score is
:math:`S_{ij} = (0, \dots, s_{ij}, \dots, 0, e_j - \pi)`, the last part by the
logarithms of the weights over the last one's; without it :math:`\sum_j r_{ij} S_{ij}`,
and Louis' formula (J. R. Stat. Soc. B 44, 1982) gives the information: that of the
components, rows counting by their shares, less the covariance of :math:`S_{ij}` given
the row.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, ArrayLike, Float

from normix.mixtures.coordinates import Moving
from normix.mixtures.finite import FiniteMixture
from normix.mixtures.joint import JointNormalMixture
from normix.mixtures.law import Frame
from normix.mixtures.marginal import MarginalMixture
from normix.mixtures.observed import At
from normix.uncertainty.of_mixture import (
    MixtureParameters,
    joint_moved,
    told_by_mixture,
)
from normix.uncertainty.told import Told, enough, numbers


@dataclass(frozen=True, eq=False)
class FiniteParameters:
    """The parameters of all components and the weights, by coordinates of all."""

    model: FiniteMixture
    parts: tuple[MixtureParameters, ...]

    def of_model(self, model: FiniteMixture) -> Float[Array, " p"]:
        each = zip(self.parts, model.components, strict=True)
        found = [part.of_model(component) for part, component in each]
        return jnp.concatenate([*found, model.weights])

    def derivative(self, f: Callable[[Any], ArrayLike]) -> tuple[Array, Array]:
        kinds = tuple(_kind(part) for part in self.parts)
        places = [part.at for part in self.parts]
        return _slopes_of(f, kinds, places, self.model.weights)


_Kind = tuple[
    type[MarginalMixture],
    type[JointNormalMixture],
    Frame,
    Moving,
    tuple[int, ...],
]


def _kind(part: MixtureParameters) -> _Kind:
    model, chart = part.model, part.chart
    free = tuple(np.flatnonzero(chart.free).tolist())
    return type(model), type(model.joint), model.joint.frame, chart.moving, free


@partial(jax.jit, static_argnums=(0, 1))
def _slopes_of(
    f: Callable[[Any], ArrayLike],
    kinds: tuple[_Kind, ...],
    places: list[At],
    weights: Float[Array, " k"],
) -> tuple[Array, Array]:
    """``f`` of the model, and its derivatives; for the same ``f`` compiled once."""
    ends = np.cumsum([len(free) for *_, free in kinds])

    def moved(step: Array) -> Array:
        *steps, by_weights = jnp.split(step, ends)
        components = [
            family(joint_moved(part, joint, frame, moving, free, at))
            for part, (family, joint, frame, moving, free), at in zip(
                steps, kinds, places, strict=True
            )
        ]
        # By the logarithms of the weights over the last one's.
        logits = jnp.log(weights) + jnp.append(by_weights, 0.0)
        return numbers(f(FiniteMixture(jax.nn.softmax(logits), components)))

    here = jnp.zeros(int(ends[-1]) + len(kinds) - 1, weights.dtype)
    return moved(here), jax.jacfwd(moved)(here)


def told_by_finite(
    model: FiniteMixture,
    rows: Float[np.ndarray, "n d"],
    w: Float[np.ndarray, " n"] | None,
    symmetric: bool,
    columns: Sequence[object] | None,
    gaps: bool,
) -> Told:
    """What rows of positive weight say of a finite mixture; see :func:`inference`.

    With ``gaps`` NaN is a missing entry.
    """
    from scipy import linalg  # here, for a quick import of normix

    counts = np.ones(len(rows)) if w is None else np.asarray(w, float)
    as_given = rows[:, 0] if model.components[0]._axes == 1 else rows
    missing = "em" if gaps else "raise"
    shares = np.asarray(model.predict_proba(as_given, missing), float)
    told = []
    for j, component in enumerate(model.components):
        own = np.asarray(counts * shares[:, j], rows.dtype)
        # A row of no share at all says nothing, but keeps its place among the scores.
        own = np.maximum(own, np.finfo(rows.dtype).tiny)
        held = None, symmetric, None, None
        told.append(told_by_mixture(component, rows, own, *held, columns, gaps))
    sizes = [part.information.shape[0] for part in told]
    weights = np.asarray(model.weights, float)
    free = sum(sizes) + model.k - 1
    enough(len(rows), free - sum(part.redundant.shape[1] for part in told))
    # By row: the score, and with the component known those of each, times its share.
    by_weights = (shares - weights)[:, :-1]
    own_scores = [shares[:, [j]] * part.scores for j, part in enumerate(told)]
    scores = np.concatenate([*own_scores, by_weights], axis=1)
    ends = np.cumsum([0, *sizes])
    # Known components: their information, that of the weights, and products of scores.
    known, between = np.zeros((free, free)), np.zeros((free, free))
    tail = slice(int(ends[-1]), free)
    pi = weights[:-1]
    known[tail, tail] = counts.sum() * (np.diag(pi) - np.outer(pi, pi))
    for j, part in enumerate(told):
        own = slice(int(ends[j]), int(ends[j + 1]))
        known[own, own] = part.information
        weighed = (counts * shares[:, j])[:, None] * part.scores
        towards = np.eye(model.k)[j, :-1] - pi
        between[own, own] = weighed.T @ part.scores
        between[own, tail] = np.outer(weighed.sum(axis=0), towards)
        between[tail, own] = between[own, tail].T
        size = (counts * shares[:, j]).sum()
        between[tail, tail] += size * np.outer(towards, towards)
    lost = between - scores.T @ (counts[:, None] * scores)
    slopes = linalg.block_diag(
        *(part.slopes for part in told),
        (np.diag(weights) - np.outer(weights, weights))[:, :-1],
    )
    redundant = linalg.block_diag(
        *(part.redundant for part in told), np.zeros((model.k - 1, 0))
    )
    k = model.k
    return Told(
        parameters=FiniteParameters(
            model, tuple(_parameters(part.parameters) for part in told)
        ),
        names=(
            *(f"{j}: {name}" for j, part in enumerate(told) for name in part.names),
            *(f"weight[{j}]" for j in range(k)),
        ),
        params=np.concatenate([*(part.params for part in told), weights]),
        positive=np.concatenate([*(part.positive for part in told), np.ones(k, bool)]),
        slopes=np.asarray(slopes),
        scores=scores,
        information=known - lost,
        redundant=np.asarray(redundant),
        mean_llf=float(model.marginal_log_likelihood(as_given, w, missing)),
        held=tuple(
            f"component {j}: {note}"
            for j, part in enumerate(told)
            for note in part.held
        ),
    )


def _parameters(of_component: Any) -> MixtureParameters:
    assert isinstance(of_component, MixtureParameters)
    return of_component
