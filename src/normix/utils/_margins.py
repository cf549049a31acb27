"""The margins of data beside those of a model."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, ArrayLike, Float

from normix._arrays import as_data
from normix._columns import constant_columns
from normix._missing import check_seen, seen_together
from normix.fitting.em.result import EMResult
from normix.mixtures.cholesky import CholeskyDispersion
from normix.mixtures.joint import JointNormalMixture
from normix.mixtures.marginal import MarginalMixture
from normix.utils._convergence import draw_log_likelihoods, histories
from normix.utils._histogram import density_grid, histogram
from normix.utils._laws import names_of
from normix.utils._panels import MOST_PANELS, few_ticks, head, panels_of
from normix.utils._text import words
from normix.utils._theme import CONTRAST, DATA, GREY, MODEL, style_axes

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_NORMAL_LABEL = "normal of the same mean and variance"


def plot_margins(
    model: MarginalMixture,
    X: Float[ArrayLike, "n d"],
    *,
    names: Sequence[str] | None = None,
    result: EMResult | None = None,
) -> Figure:
    """Each column's histogram with the fitted and a normal density, on a log axis.

    ``X`` has shape ``(n, d)``; the normal has the column's mean and variance. Where
    the histogram is thin, bins are joined. NaN are missing entries, of which a column
    shows the others. The first 35 columns are drawn. ``names``, by default those of a
    data frame, head the panels; ``result`` adds one with the log-likelihood by
    iteration.

    **Raises**: ``ValueError`` for data that do not fit the model, names that do not
    fit the data, constant columns, or a result without histories.

    >>> from normix import NormalInverseGaussian
    >>> from normix.datasets import load_sp500_returns
    >>> from normix.utils.plotting import plot_margins
    >>> returns = load_sp500_returns(["AAPL", "JPM", "XOM"])
    >>> model = NormalInverseGaussian.default_init(returns.values)
    >>> figure = plot_margins(model, returns.values, names=returns.columns)
    """
    data = np.asarray(as_data(X, columns=model.d, missing=True))
    names = names_of(X, model.d, names)
    check_seen(seen_together(data), names, pairs=False)
    constant = constant_columns(data)
    if constant:
        raise ValueError(f"X has constant columns: {constant}")
    log_likelihoods = None if result is None else histories(result)[0]

    columns = [column[~np.isnan(column)] for column in data.T[:MOST_PANELS]]
    histograms = [histogram(column) for column in columns]
    grids = np.stack(
        [
            density_grid(x, h[0, 0], h[0, -1])
            for x, h in zip(columns, histograms, strict=True)
        ]
    )
    densities = np.exp(margin_log_densities(model.joint, jnp.asarray(grids)))

    figure, panels = panels_of(len(columns), log_likelihoods is not None)
    label = words(type(model).__name__)
    for j, column in enumerate(columns):
        _draw_margin(panels[j], column, histograms[j], grids[j], densities[j], label)
        head(panels[j], names[j])
    if log_likelihoods is not None:
        draw_log_likelihoods(panels[-1], log_likelihoods)
        head(panels[-1], "Mean log-likelihood")
    figure.supylabel("density, log scale", fontsize="medium")
    drawn = dict(zip(*reversed(panels[0].get_legend_handles_labels()), strict=True))
    labels = ["data", label, _NORMAL_LABEL]
    figure.legend(
        [drawn[name] for name in labels],
        labels,
        loc="outside upper center",
        ncols=3,
        frameon=False,
    )
    return figure


@jax.jit
def margin_log_densities(
    joint: JointNormalMixture, grids: Float[Array, "d m"]
) -> Float[Array, "d m"]:
    """The log-density of each margin of ``X`` on its own grid, all in one go.

    Margin j is the one-dimensional mixture of ``mu[j]``, ``gamma[j]`` and
    ``sigma[j, j]`` with the same mixing variable.
    """

    def margin(mu, gamma, variance, grid):
        dispersion = CholeskyDispersion(jnp.sqrt(variance)[None, None])
        one = type(joint)(mu[None], gamma[None], dispersion, joint.subordinator)
        return one.log_prob_marginal(grid[:, None])

    m = grids.shape[0]
    variances = joint.dispersion.variances()
    return jax.vmap(margin)(joint.mu[:m], joint.gamma[:m], variances[:m], grids)


def _draw_margin(
    ax: Axes,
    column: Float[np.ndarray, " n"],
    binned: Float[np.ndarray, "3 bins"],
    grid: Float[np.ndarray, " m"],
    density: Float[np.ndarray, " m"],
    label: str,
) -> None:
    style_axes(ax)
    centres, heights, errors = binned
    deviation = column.std()
    z = (grid - column.mean()) / deviation
    normal = np.exp(-0.5 * z * z) / (deviation * math.sqrt(2 * math.pi))
    dots = {"fmt": "o", "ms": 3.2, "mew": 0, "color": DATA}
    bars = {"ecolor": GREY, "elinewidth": 0.7, "zorder": 3}
    ax.errorbar(centres, heights, errors, label="data", **dots, **bars)
    ax.fill_between(grid, density, color=MODEL, alpha=0.08, lw=0)
    ax.plot(grid, density, lw=1.8, color=MODEL, label=label)
    ax.plot(grid, normal, "--", lw=1.4, color=CONTRAST, label=_NORMAL_LABEL)
    ax.set_yscale("log")
    # From the data: the normal's tails would take the axis down to 1e-300.
    top = max(heights.max(), density.max(), normal.max())
    ax.set_ylim(heights.min() / 5, 2 * top)
    ax.set_xlim(grid[0], grid[-1])
    few_ticks(ax)
