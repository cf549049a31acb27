"""The joint law of one variable and its mixing variable."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import jax
import numpy as np
from jaxtyping import ArrayLike, Float

from normix._arrays import as_data, as_float, as_sample, as_series
from normix.mixtures.joint import JointNormalMixture
from normix.mixtures.model_steps import log_prob_of_rows
from normix.utils._contents import (
    CONTENTS,
    DRAWS,
    SEED,
    checked_contents,
    contour_handles,
    draw_contours,
    rowwise,
    spread_grid,
)
from normix.utils._laws import log_density
from normix.utils._panels import plain_ticks
from normix.utils._theme import CONTRAST, DATA, MODEL, require, style_axes

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Limits = tuple[float, float]


def plot_joint_1d(
    joint: JointNormalMixture,
    sample: tuple[ArrayLike, ArrayLike] | None = None,
    *,
    names: tuple[str, str] = ("x", "y"),
    contents: Sequence[float] = CONTENTS,
) -> Figure:
    """Contours of the joint density of X and its mixing variable Y, with both margins.

    - ``joint``: the law of (X, Y), X of one dimension, such as ``model.joint``.
    - ``sample``: X of shape ``(n,)`` or ``(n, 1)`` and Y of shape ``(n,)``, as
      ``joint.rvs(n)`` returns them; drawn as points and, in the margins, histograms.
    - ``names``: of X and of Y.
    - ``contents``: of each contour the probability that the law has within it.

    A line shows the conditional mean E[X | Y = y] = μ + γ y. Within a contour the
    density is higher than without: it is the smallest set of its probability, found by
    20,000 draws. Where the density grows without bound as y falls to 0, so do contours
    reach down to there.

    **Raises**: ``ValueError`` for a law of more dimensions, a sample that is not two
    finite arrays of one length, the second positive, and contents outside (0, 1).

    >>> from normix import UnivariateNormalInverseGaussian
    >>> from normix.utils.plotting import plot_joint_1d
    >>> joint = UnivariateNormalInverseGaussian.from_classical(
    ...     mu=0.0, gamma=0.5, sigma=1.0, mu_ig=1.0, lam=2.0).joint
    >>> figure = plot_joint_1d(joint, joint.rvs(200, seed=1))
    """
    shares = checked_contents(contents)
    if not isinstance(joint, JointNormalMixture) or joint.d != 1:
        raise ValueError(
            "joint must be the joint law of a mixture in one dimension, got a "
            f"{type(joint).__name__}"
        )
    if len(names) != 2 or isinstance(names, str):
        raise ValueError(f"names must be two, of X and of Y, got {names!r}")
    points = np.empty((0, 2)) if sample is None else _checked(sample)
    X, Y = joint.rvs(DRAWS, seed=SEED)
    draws = np.stack([np.asarray(X)[:, 0], np.asarray(Y)], axis=1)

    def density(rows: Float[np.ndarray, "m 2"]) -> Float[np.ndarray, " m"]:
        def block(part: Float[np.ndarray, "b 2"]) -> Any:
            pair = as_float(part[:, :1]), as_float(part[:, 1])
            return jax.vmap(joint.log_prob)(pair)

        return rowwise(block, rows)

    heights = density(draws)
    inner = draws[heights >= np.quantile(heights, 1 - shares[-1])]
    seen = np.concatenate([inner, points])
    pad = 0.05 * np.ptp(seen, axis=0)
    x_ends = float(seen[:, 0].min() - pad[0]), float(seen[:, 0].max() + pad[0])
    y_ends = 0.0, float(seen[:, 1].max() + pad[1])

    figure, centre, top, right = _panels()
    dots = {"ls": "none", "ms": 2.6, "mew": 0, "alpha": 0.5, "color": "#8C8C8C"}
    if len(points):
        many = len(points) > 500
        centre.plot(*points.T, "o", label="sample", rasterized=many, **dots)
    y = np.array(y_ends)
    mean = float(joint.mu[0]) + float(joint.gamma[0]) * y
    label = f"mean of {names[0]} given {names[1]}"
    centre.plot(mean, y, color=CONTRAST, lw=1.2, ls=":", label=label)
    y_grid = _positive_grid(draws[:, 1], y_ends[1])
    # Given a small y, X is within a few √y of μ: there the points are close, too.
    near = np.sqrt(float(joint.sigma()[0, 0]) * y_grid[y_grid < np.median(draws[:, 1])])
    about = float(joint.mu[0]) + np.concatenate([-near, [0.0], near])
    within = about[(about > x_ends[0]) & (about < x_ends[1])]
    x_grid = np.unique(np.append(within, spread_grid(draws[:, 0], x_ends)))
    draw_contours(centre, density, draws, shares, (x_grid, y_grid))
    centre.set_xlabel(names[0], parse_math=False)
    centre.set_ylabel(names[1], parse_math=False)
    centre.set_xlim(x_ends)
    centre.set_ylim(y_ends)
    plain_ticks(centre)

    of_x = np.exp(rowwise(lambda part: log_prob_of_rows(joint, part), x_grid[:, None]))
    _draw_margin(top, x_grid, of_x, points[:, 0], upright=True)
    of_y = np.exp(log_density(joint.subordinator, y_grid))
    _draw_margin(right, y_grid, of_y, points[:, 1], upright=False)
    # As high as where all but 2 % of the law are: not as a pole at 0.
    usual = of_y[y_grid > np.quantile(draws[:, 1], 0.02)].max()
    right.set_xlim(0.0, 1.15 * max(usual, _highest(right)))
    handles, _ = centre.get_legend_handles_labels()
    figure.legend(
        handles=[*handles, *contour_handles(shares)],
        loc="outside upper center",
        ncols=3,
        frameon=False,
    )
    return figure


def _positive_grid(
    values: Float[np.ndarray, " n"], last: float
) -> Float[np.ndarray, " m"]:
    """As :func:`spread_grid`, and close together towards 0 too."""
    first = float(values.min())
    near = np.geomspace(first, np.median(values), 64)
    return np.unique(np.append(near, spread_grid(values, (first, last))))


def _checked(sample: tuple[ArrayLike, ArrayLike]) -> Float[np.ndarray, "n 2"]:
    if not isinstance(sample, tuple | list) or len(sample) != 2:
        raise ValueError(f"sample must be a pair (X, Y), got {type(sample).__name__}")
    X, Y = sample
    x = np.asarray(as_data(X, columns=1))[:, 0] if np.ndim(X) == 2 else as_series(X)
    try:
        y = as_sample(Y)
    except ValueError as error:
        raise ValueError(str(error).replace("X", "Y", 1)) from None
    if len(x) != len(y):
        raise ValueError(f"Y must have shape ({len(x)},) as X has, got ({len(y)},)")
    return np.stack([np.asarray(x), np.asarray(y)], axis=1)


def _panels() -> tuple[Figure, Axes, Axes, Axes]:
    pyplot = require("matplotlib.pyplot")
    figure = pyplot.figure(figsize=(6.4, 5.6), layout="constrained")
    ratios = {"width_ratios": (4, 1), "height_ratios": (1, 3.2)}
    grid = figure.add_gridspec(2, 2, **ratios)
    centre = figure.add_subplot(grid[1, 0])
    top = figure.add_subplot(grid[0, 0], sharex=centre)
    right = figure.add_subplot(grid[1, 1], sharey=centre)
    for ax in (centre, top, right):
        style_axes(ax)
    top.tick_params(labelbottom=False)
    right.tick_params(labelleft=False)
    return figure, centre, top, right


def _draw_margin(
    ax: Axes,
    grid: Float[np.ndarray, " m"],
    density: Float[np.ndarray, " m"],
    values: Float[np.ndarray, " n"],
    *,
    upright: bool,
) -> None:
    """A margin's density, and the histogram of a sample; across unless ``upright``."""
    if len(values):
        edges = np.histogram_bin_edges(values, bins="fd")
        heights, edges = np.histogram(values, edges, density=True)
        direction = "vertical" if upright else "horizontal"
        how: dict[str, Any] = {"color": DATA, "fill": True, "alpha": 0.2, "lw": 0}
        ax.stairs(heights, edges, orientation=direction, **how)
    line = (grid, density) if upright else (density, grid)
    ax.plot(*line, color=MODEL, lw=1.6)
    if upright:
        ax.set_ylim(bottom=0.0)
        ax.set_ylabel("density")
    else:
        ax.set_xlabel("density")
    ax.locator_params(axis="y" if upright else "x", nbins=3)


def _highest(ax: Axes) -> float:
    """The highest bar of a histogram that lies across."""
    bars: Any = ax.patches
    return max((float(bar.get_data().values.max()) for bar in bars), default=0.0)
