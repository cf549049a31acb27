"""Probability integral transforms, which are uniform where a model is right."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import ArrayLike, Float

from normix._arrays import as_data, as_series, check_count
from normix.utils._laws import names_of
from normix.utils._panels import (
    MOST_PANELS,
    check_level,
    given_or_new,
    head,
    legend_above,
)
from normix.utils._theme import DATA, GREY, MODEL, style_axes

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


def plot_pit(
    u: Float[ArrayLike, "n ..."],
    *,
    bins: int | None = None,
    level: float = 0.95,
    names: Sequence[str] | None = None,
    axes: Sequence[Axes] | None = None,
) -> Figure:
    """Histograms of probability integral transforms, with the band of uniform ones.

    - ``u``: the model's distribution function at its data, shape ``(n,)`` or
      ``(n, d)``, within [0, 1]; NaN are left out.
    - ``bins``: how many, of equal width; by default 20 (Diebold, Gunther & Tay,
      International Economic Review 39, 1998), or fewer that expect 10 values each.
    - ``level``: the probability, at least, with which the density of any one bin keeps
      within the band, if ``u`` are independent and uniform: a count is binomial. Of 20
      bins one in 20 may leave a band of 95 %.
    - ``names``: of the columns; by default those of a data frame.
    - ``axes``: one a column, to draw into.

    Heights are densities, 1 for uniform values. A hump says that the model's law is too
    wide, a trough that it is too narrow, a slope that it is shifted. The first 35
    columns are drawn.

    **Raises**: ``ValueError`` for values outside [0, 1], a column without any, and
    names, axes, bins or a level that do not fit.

    >>> from normix import NormalInverseGaussian
    >>> from normix.datasets import load_sp500_returns
    >>> from normix.utils.plotting import plot_pit
    >>> x = load_sp500_returns(["JPM"]).values
    >>> nig = NormalInverseGaussian.default_init(x).fit(x).model.project([1.0])
    >>> figure = plot_pit(nig.cdf(x[:, 0]), names=["JPM"])
    """
    check_level(level)
    if bins is not None:
        check_count("bins", bins)
        if bins < 1:
            raise ValueError(f"bins must be at least 1, got {bins}")
    columns = _checked(u)
    labels = names_of(u, columns.shape[1], names, "u")[:MOST_PANELS]
    seen = [x[~np.isnan(x)] for x in columns.T[:MOST_PANELS]]
    for label, x in zip(labels, seen, strict=True):
        if not len(x):
            raise ValueError(f"column {label!r} of u has no entry at all")
    figure, panels = given_or_new(axes, len(labels), size=(3.4, 2.5))
    for ax, label, x in zip(panels, labels, seen, strict=True):
        _draw(ax, x, min(20, max(2, len(x) // 10)) if bins is None else bins, level)
        head(ax, label)
    if axes is None:
        legend_above(figure, panels)
    return figure


def _checked(u: ArrayLike) -> Float[np.ndarray, "n d"]:
    try:
        two = np.ndim(u) == 2
        values = np.asarray((as_data if two else as_series)(u, missing=True))
    except ValueError as error:
        raise ValueError(str(error).replace("X", "u", 1)) from None
    outside = (values < 0) | (values > 1)
    if outside.any():
        row = int(outside.reshape(len(values), -1).any(axis=1).argmax())
        raise ValueError(
            f"u must lie within [0, 1], got {int(outside.sum())} values outside, the "
            f"first in row {row}"
        )
    return values if two else values[:, None]


def _draw(ax: Axes, u: Float[np.ndarray, " n"], bins: int, level: float) -> None:
    from scipy import stats  # here, for a quick import of normix

    style_axes(ax)
    n = len(u)
    counts, edges = np.histogram(u, bins=bins, range=(0.0, 1.0))
    tail = 0.5 * (1 - level)
    # Counts that are left by no more than half of 1 - level at either end.
    low, high = stats.binom.ppf([tail, 1 - tail], n, 1 / bins) * bins / n
    ax.axhspan(
        low, high, color=MODEL, alpha=0.22, lw=0, label=f"{100 * level:g} % band"
    )
    for end in (low, high):
        ax.axhline(end, color=MODEL, lw=0.8, label="_band")
    ax.axhline(1.0, color=GREY, lw=1.0, ls="--", label="uniform")
    heights = counts * bins / n
    ax.stairs(heights, edges, fill=True, color=DATA, alpha=0.1, lw=0)
    ax.stairs(heights, edges, baseline=None, color=DATA, lw=1.4, label="data")
    ax.set_xlim(0.0, 1.0)
    ax.set_ylim(0.0, 1.12 * max(heights.max(), high))
    ax.set_xlabel("probability integral transform")
    ax.set_ylabel("density")
