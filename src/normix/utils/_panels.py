"""Panels of a figure: their arrangement, heads and ticks."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, cast

import numpy as np

from normix.utils._theme import require

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

MOST_PANELS = 35  # more cannot be read


def panels_of(
    count: int, wide: bool = False, *, size: tuple[float, float] | None = None
) -> tuple[Figure, list[Axes]]:
    """A figure with ``count`` panels; if ``wide`` a last one in the room that is left.

    ``size``: the width and height of a panel, in inches.
    """
    total = count + wide
    columns = total if total <= 3 else min(math.ceil(math.sqrt(total)), 5)
    rows = math.ceil(total / columns)
    # A few panels are larger: the legend needs six inches.
    width, height = size or ((3.6, 2.8) if columns <= 2 else (3.1, 2.2))
    pyplot = require("matplotlib.pyplot")
    figure = pyplot.figure(
        figsize=(width * columns, height * rows + 0.5), layout="constrained"
    )
    figure.get_layout_engine().set(h_pad=0.07, hspace=0.04)
    grid = figure.add_gridspec(rows, columns)
    panels = [figure.add_subplot(grid[divmod(k, columns)]) for k in range(count)]
    if wide:
        row, column = divmod(count, columns)
        panels.append(figure.add_subplot(grid[row, column:]))
    return figure, panels


def head(ax: Axes, text: str) -> None:
    ax.set_title(
        text, loc="left", fontsize="medium", fontweight="bold", pad=4, parse_math=False
    )


def few_ticks(ax: Axes) -> None:
    ticker = require("matplotlib.ticker")
    ax.xaxis.set_major_locator(ticker.MaxNLocator(nbins=5, steps=[1, 2, 5, 10]))
    ax.yaxis.set_major_locator(ticker.LogLocator(numticks=5))
    ax.yaxis.set_minor_locator(ticker.NullLocator())


def plain_ticks(ax: Axes, most: int = 5) -> None:
    ticker = require("matplotlib.ticker")
    for axis in (ax.xaxis, ax.yaxis):
        axis.set_major_locator(ticker.MaxNLocator(nbins=most, steps=[1, 2, 5, 10]))


def given_or_new(
    axes: Sequence[Axes] | Axes | None, count: int, *, size: tuple[float, float]
) -> tuple[Figure, list[Axes]]:
    """``axes``, if they are ``count``; else new ones, of a ``size`` in inches.

    **Raises**: ``ValueError`` for another number of axes.
    """
    if axes is None:
        return panels_of(count, size=size)
    given = list(np.ravel(np.asarray(axes, dtype=object)))
    if len(given) != count:
        raise ValueError(f"axes must be {count}, got {len(given)}")
    return cast("Figure", given[0].figure), given


def legend_above(figure: Figure, panels: Sequence[Axes]) -> None:
    """One legend of what the panels show, above them: it covers nothing."""
    columns = 2 if figure.get_figwidth() < 6 else 4
    drawn: dict[str, Any] = {}
    for ax in panels:
        for handle, label in zip(*ax.get_legend_handles_labels(), strict=True):
            drawn.setdefault(label, handle)
    figure.legend(
        list(drawn.values()),
        list(drawn),
        loc="outside upper center",
        ncols=min(columns, len(drawn)),
        frameon=False,
    )


def check_level(level: float) -> None:
    """Raise ``ValueError`` for what is no probability between 0 and 1."""
    if not 0 < level < 1:
        raise ValueError(f"level must be between 0 and 1, got {level}")
