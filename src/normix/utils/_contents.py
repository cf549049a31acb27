"""Contours of densities of two variables, each by the probability that it holds."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import Float

from normix._arrays import as_float
from normix.distributions.multivariate_normal import MultivariateNormal
from normix.mixtures.model_steps import log_prob_of_rows
from normix.utils._laws import Law
from normix.utils._theme import DASHES, MODEL, require

if TYPE_CHECKING:
    from matplotlib.axes import Axes

CONTENTS = (0.5, 0.9, 0.99)
# Draws of the model by which contents are found: that of the 90 % contour is known to
# 0.2 %, which moves it by less than its line is wide.
DRAWS, SEED = 20_000, 0
_POINTS = 97  # of the grid along each axis
_BLOCK = 4096

Density = Callable[[Float[np.ndarray, "m 2"]], Float[np.ndarray, " m"]]


def checked_contents(contents: Sequence[float]) -> list[float]:
    """Contents in ascending order.

    **Raises**: ``ValueError`` for what are no different probabilities in (0, 1).
    """
    found = sorted(float(c) for c in contents)
    if not found or not (0 < found[0] and found[-1] < 1):
        raise ValueError(
            f"contents must be probabilities between 0 and 1, got {contents}"
        )
    if len(set(found)) < len(found) or len(found) > len(DASHES):
        raise ValueError(
            f"contents must be up to {len(DASHES)} different ones, got {contents}"
        )
    return found


def density_of_pair(model: Law, i: int, j: int) -> Density:
    """The log-density of columns ``i`` and ``j`` of a model, of rows ``(m, 2)``."""
    if isinstance(model, MultivariateNormal):
        chosen = [i, j]
        mean = np.asarray(model.mu)[chosen]
        return _normal(mean, np.asarray(model.sigma())[np.ix_(chosen, chosen)])
    law: Any = model
    select = np.zeros((2, law.d))
    select[0, i] = select[1, j] = 1.0
    joint = law.affine(select).joint
    return lambda rows: rowwise(
        lambda block: log_prob_of_rows(joint, as_float(block)), rows
    )


def _normal(mean: Float[np.ndarray, " 2"], sigma: Float[np.ndarray, "2 2"]) -> Density:
    root = np.linalg.cholesky(sigma)
    log_peak = -np.log(2 * np.pi * root[0, 0] * root[1, 1])

    def log_density(rows: Float[np.ndarray, "m 2"]) -> Float[np.ndarray, " m"]:
        white = np.linalg.solve(root, (rows - mean).T)
        return log_peak - 0.5 * (white**2).sum(axis=0)

    return log_density


def rowwise(
    f: Callable[[Float[np.ndarray, "m k"]], Any], rows: Float[np.ndarray, "n k"]
) -> Float[np.ndarray, " n"]:
    """A function of rows, by blocks of one length: for it compiles but once."""
    size = -(-len(rows) // _BLOCK) * _BLOCK
    padded = np.pad(rows, ((0, size - len(rows)), (0, 0)), mode="edge")
    parts = [np.asarray(f(part)) for part in np.split(padded, size // _BLOCK)]
    return np.concatenate(parts)[: len(rows)]


def levels_of(
    log_density: Density, draws: Float[np.ndarray, "m 2"], contents: list[float]
) -> Float[np.ndarray, " k"]:
    """The log-density above which the law has the probability ``contents``.

    By draws of the law itself: the sets of highest density (Hyndman, The American
    Statistician 50, 1996).
    """
    return np.quantile(log_density(draws), 1 - np.asarray(contents))


def spread_grid(
    values: Float[np.ndarray, " n"], limits: tuple[float, float]
) -> Float[np.ndarray, " m"]:
    """Points between two limits, close together where most of the values are."""
    quarter, centre, three_quarters = np.quantile(values, [0.25, 0.5, 0.75])
    scale = 0.5 * (three_quarters - quarter) or np.ptp(values)
    low, high = (np.arcsinh((end - centre) / scale) for end in limits)
    return centre + scale * np.sinh(np.linspace(low, high, _POINTS))


def draw_contours(
    ax: Axes,
    log_density: Density,
    draws: Float[np.ndarray, "m 2"],
    contents: list[float],
    grids: tuple[Float[np.ndarray, " m"], Float[np.ndarray, " k"]],
) -> None:
    """Contours of a density, one dash pattern for each content."""
    levels = levels_of(log_density, draws, contents)
    x, y = grids
    rows = np.stack(np.meshgrid(x, y), axis=-1).reshape(-1, 2)
    heights = log_density(rows).reshape(len(y), len(x))
    # At a pole of the density: the highest of the others.
    heights = np.where(heights == np.inf, heights[heights < np.inf].max(), heights)
    order = np.argsort(levels)
    effects = require("matplotlib.patheffects")
    lines = ax.contour(
        x,
        y,
        np.maximum(heights, levels.min() - 50),  # -inf outside of the support
        levels=levels[order],
        colors=MODEL,
        linestyles=[DASHES[k] for k in order],
        linewidths=1.5,
    )
    # A light edge, by which lines are seen on a cloud of points.
    lines.set_path_effects([effects.withStroke(linewidth=3.2, foreground="white")])


def contour_handles(contents: list[float]) -> list[Any]:
    """What stands for the contours in a legend."""
    Line2D = require("matplotlib.lines").Line2D
    return [
        Line2D(
            [], [], color=MODEL, ls=DASHES[k], lw=1.5, label=f"{100 * c:g} % contour"
        )
        for k, c in enumerate(contents)
    ]
