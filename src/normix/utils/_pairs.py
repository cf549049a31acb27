"""Pairs of columns: data beside contours of a model's density."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, cast

import numpy as np
from jaxtyping import ArrayLike, Float

from normix._arrays import as_data
from normix.utils._contents import (
    CONTENTS,
    DRAWS,
    SEED,
    Density,
    checked_contents,
    contour_handles,
    density_of_pair,
    draw_contours,
    spread_grid,
)
from normix.utils._histogram import density_grid, histogram
from normix.utils._laws import (
    Column,
    Law,
    VectorLaw,
    columns_named,
    law_label,
    log_density,
    margin,
    names_of,
)
from normix.utils._panels import given_or_new, plain_ticks
from normix.utils._theme import DATA, GREY, MODEL, require, style_axes

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_MOST_COLUMNS = 8  # more cannot be read


def plot_pairs(
    model: Law,
    X: Float[ArrayLike, "n d"],
    *,
    names: Sequence[str] | None = None,
    columns: Sequence[int | str] | None = None,
    contents: Sequence[float] = CONTENTS,
) -> Figure:
    """Every pair of columns with contours of the model's density, and every column.

    - ``model``: a mixture or normal law in d dimensions, at least two.
    - ``X``: the data, shape ``(n, d)``; NaN are missing entries, and a panel shows the
      rows in which it has all that it needs.
    - ``names``: of the d columns; by default those of a data frame.
    - ``columns``: those to draw, by number or name; by default the first eight.
    - ``contents``: of each contour the probability that the model has within it.

    On the diagonal are histograms with the model's density, on a log axis; below it
    the pairs. Within a contour the density is higher than without: it is the smallest
    set of its probability, found by 20,000 draws of the model.

    **Raises**: ``ValueError`` for data or names that do not fit the model, columns
    that there are not or too many, and contents outside (0, 1).

    >>> from normix import NormalInverseGaussian
    >>> from normix.datasets import load_sp500_returns
    >>> from normix.utils.plotting import plot_pairs
    >>> returns = load_sp500_returns(["AAPL", "JPM", "XOM"])
    >>> X = returns.values
    >>> nig = NormalInverseGaussian.default_init(X).fit(X).model
    >>> figure = plot_pairs(nig, X, names=returns.columns, columns=["JPM", "XOM"])
    """
    shares = checked_contents(contents)
    d = _dimensions(model)
    labels = names_of(X, d, names)
    chosen = _chosen(columns, labels)
    data = np.asarray(as_data(X, columns=d, missing=True))[:, chosen]
    shown = columns_named(data, [labels[k] for k in chosen])
    draws = np.asarray(cast(Any, model).rvs(DRAWS, seed=SEED))[:, chosen]
    limits = [_limits(column.values) for column in shown]

    count = len(chosen)
    figure, panels = _square(count, len(shares) + 2)
    for i in range(count):
        _draw_margin(panels[i, i], margin(model, chosen[i]), shown[i], limits[i])
        for j in range(count):
            if j > i:
                panels[i, j].remove()
            if j < i:
                density = density_of_pair(model, chosen[j], chosen[i])
                rows, drawn = _complete(data[:, [j, i]]), draws[:, [j, i]]
                ends = limits[j], limits[i]
                _draw_pair(panels[i, j], rows, density, drawn, shares, ends)
                _edge(panels[i, j], bottom=i == count - 1, left=j == 0)
        panels[count - 1, i].set_xlabel(shown[i].name, parse_math=False)
        if i > 0:
            panels[i, 0].set_ylabel(shown[i].name, parse_math=False)
        panels[i, i].tick_params(labelbottom=i == count - 1)
    legend = [panels[0, 0].lines[1], panels[0, 0].lines[0], *contour_handles(shares)]
    legend[0].set_label("data")
    legend[1].set_label(f"density, {law_label(model)}, log scale")
    figure.legend(handles=legend, loc="upper center", ncols=2, frameon=False)
    return figure


def plot_marginal_2d(
    model: Law,
    X: Float[ArrayLike, "n d"] | None = None,
    *,
    columns: tuple[int | str, int | str] = (0, 1),
    names: Sequence[str] | None = None,
    contents: Sequence[float] = CONTENTS,
    ax: Axes | None = None,
) -> Figure:
    """Contours of the density of two columns of a model, with data.

    - ``model``: a mixture or normal law in d dimensions, at least two.
    - ``X``: data, shape ``(n, d)``; rows that lack one of the two entries, NaN, are
      left out. Without it the contours are drawn alone.
    - ``columns``: the two, by number or name, for the horizontal and vertical axis.
    - ``names``: of the d columns; by default those of a data frame.
    - ``contents``: of each contour the probability that the model has within it.
    - ``ax``: to draw into.

    Contours are those of :func:`~normix.utils.plotting.plot_pairs`.

    **Raises**: ``ValueError`` for data or names that do not fit the model, columns
    that are not two of them, and contents outside (0, 1).

    >>> import numpy as np
    >>> from normix import MultivariateNormal
    >>> from normix.utils.plotting import plot_marginal_2d
    >>> normal = MultivariateNormal.from_classical(mu=np.zeros(2), sigma=np.eye(2))
    >>> figure = plot_marginal_2d(normal, normal.rvs(100), names=["a", "b"])
    """
    shares = checked_contents(contents)
    d = _dimensions(model)
    labels = names_of(X, d, names)
    pair = _chosen(columns, labels)
    if len(pair) != 2:
        raise ValueError(f"columns must be two, got {columns!r}")
    draws = np.asarray(cast(Any, model).rvs(DRAWS, seed=SEED))[:, pair]
    density = density_of_pair(model, *pair)
    seen = _outer(density, draws, shares)
    rows = np.empty((0, 2))
    if X is not None:
        rows = _complete(np.asarray(as_data(X, columns=d, missing=True))[:, pair])
        seen = np.concatenate([seen, rows])
    ends = _limits(seen[:, 0]), _limits(seen[:, 1])
    figure, (ax,) = given_or_new(None if ax is None else [ax], 1, size=(5.4, 4.3))
    _draw_pair(ax, rows, density, draws, shares, ends)
    ax.set_xlabel(labels[pair[0]], parse_math=False)
    ax.set_ylabel(labels[pair[1]], parse_math=False)
    handles = contour_handles(shares)
    if X is not None:
        handles.insert(0, ax.lines[0])
    where = {"loc": "lower left", "bbox_to_anchor": (0.0, 1.0), "ncols": 2}
    ax.legend(handles=handles, frameon=False, **where)
    return figure


def _square(count: int, entries: int) -> tuple[Figure, Any]:
    """Panels side by side, with room for numbers around and a legend above them.

    Not by a layout engine, which would make room for the diagonal's numbers, that
    stand where no panel is.
    """
    pyplot = require("matplotlib.pyplot")
    left, right, bottom, top = 0.85, 0.65, 0.6, 0.2 + 0.22 * -(-entries // 2)  # inches
    inner = max(1.9 * count, 3.9)
    width, height = inner + left + right, inner + bottom + top
    figure = pyplot.figure(figsize=(width, height))
    ends = {"left": left / width, "right": 1 - right / width}
    ends |= {"bottom": bottom / height, "top": 1 - top / height}
    grid = figure.add_gridspec(count, count, wspace=0.08, hspace=0.08, **ends)
    return figure, grid.subplots(squeeze=False)


def _dimensions(model: Law) -> int:
    if not isinstance(model, VectorLaw) or model.d < 2:
        raise ValueError(
            "model must be a mixture or a normal law in two dimensions or more, got a "
            f"{type(model).__name__}"
        )
    return model.d


def _chosen(columns: Sequence[int | str] | None, names: list[str]) -> list[int]:
    """Columns by number, in the order given.

    **Raises**: ``ValueError`` for one that there is not or comes twice, and for many.
    """
    if columns is None:
        return list(range(min(len(names), _MOST_COLUMNS)))
    found = []
    for column in columns:
        if column in names:
            found.append(names.index(cast(str, column)))
        elif isinstance(column, int | np.integer) and 0 <= column < len(names):
            found.append(int(column))
        else:
            raise ValueError(
                f"columns must be among {', '.join(names)} or 0 to {len(names) - 1}, "
                f"got {column!r}"
            )
    if not found or len(set(found)) < len(found) or len(found) > _MOST_COLUMNS:
        raise ValueError(
            f"columns must be 1 to {_MOST_COLUMNS}, each once, got {columns!r}"
        )
    return found


def _complete(rows: Float[np.ndarray, "n 2"]) -> Float[np.ndarray, "m 2"]:
    return rows[~np.isnan(rows).any(axis=1)]


def _outer(
    density: Density, draws: Float[np.ndarray, "m 2"], shares: list[float]
) -> Float[np.ndarray, "k 2"]:
    """The draws within the outermost contour."""
    heights = density(draws)
    return draws[heights >= np.quantile(heights, 1 - shares[-1])]


def _limits(values: Float[np.ndarray, " n"]) -> tuple[float, float]:
    pad = 0.05 * np.ptp(values)
    return float(values.min() - pad), float(values.max() + pad)


def _draw_pair(
    ax: Axes,
    rows: Float[np.ndarray, "n 2"],
    density: Density,
    draws: Float[np.ndarray, "m 2"],
    shares: list[float],
    ends: tuple[tuple[float, float], tuple[float, float]],
) -> None:
    style_axes(ax)
    dots = {"ls": "none", "ms": 2.4, "mew": 0, "alpha": 0.5, "color": "#8C8C8C"}
    if len(rows):
        many = len(rows) > 500
        ax.plot(rows[:, 0], rows[:, 1], "o", label="data", rasterized=many, **dots)
    grids = spread_grid(draws[:, 0], ends[0]), spread_grid(draws[:, 1], ends[1])
    draw_contours(ax, density, draws, shares, grids)
    ax.set_xlim(ends[0])
    ax.set_ylim(ends[1])
    plain_ticks(ax, 4)


def _draw_margin(ax: Axes, law: Any, column: Column, ends: tuple[float, float]) -> None:
    style_axes(ax)
    centres, heights, errors = histogram(column.values)
    grid = density_grid(column.values, *ends)
    density = np.exp(log_density(law, grid))
    ax.plot(grid, density, lw=1.6, color=MODEL)
    ax.plot(centres, heights, "o", ms=3.0, mew=0, color=DATA)
    ax.set_yscale("log")
    top = max(heights.max(), density[np.isfinite(density)].max())
    ax.set_ylim(heights.min() / 5, 2 * top)
    ax.set_xlim(ends)
    ticker = require("matplotlib.ticker")
    ax.xaxis.set_major_locator(ticker.MaxNLocator(nbins=4, steps=[1, 2, 5, 10]))
    ax.yaxis.set_major_locator(ticker.LogLocator(numticks=4))
    ax.yaxis.set_minor_locator(ticker.NullLocator())
    ax.yaxis.tick_right()
    ax.spines["right"].set_visible(True)
    ax.spines["right"].set_color(GREY)
    ax.spines["left"].set_visible(False)


def _edge(ax: Axes, *, bottom: bool, left: bool) -> None:
    """Numbers at the outer panels only: panels of a row or column share them."""
    ax.tick_params(labelbottom=bottom, labelleft=left)
