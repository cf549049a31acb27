"""Both tails of data beside those of laws."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import ArrayLike, Float

from normix._arrays import as_series, check_option
from normix.utils._laws import Law, checked_laws, columns_named, in_blocks
from normix.utils._panels import given_or_new, head, legend_above
from normix.utils._theme import DATA, law_styles, require, style_axes

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

CENTRES = ("median", "zero")
_POINTS = 256  # of a curve


def plot_tails(
    X: Float[ArrayLike, " n"],
    models: Mapping[str, Law],
    *,
    about: str = "median",
    name: str = "x",
    axes: Sequence[Axes] | None = None,
) -> Figure:
    """The probabilities of both tails of one variable, on logarithmic axes.

    - ``X``: the data, shape ``(n,)``; NaN are missing entries, and left out.
    - ``models``: laws of one variable by label, drawn beside each other. Of a law of
      vectors, ``project(w)`` is that of one portfolio or column.
    - ``about``: where tails begin, at the "median" m of the data or at "zero".
    - ``name``: of the variable, with its unit.
    - ``axes``: two to draw into, for the left and the right tail.

    The left panel has P(X < m - t), the right one P(X > m + t), both by the distance
    t > 0. Each observation is a point at its own distance, at the share (k - 1/2)/n, k
    its rank from the end; the outer half of a tail is drawn. A straight line is a tail
    that falls as a power, a curve that bends down one that falls faster.

    **Raises**: ``ValueError`` for data of another shape or of one value, for what is no
    dictionary of laws of one variable, and for other than two axes.

    >>> from normix import NormalInverseGaussian, VarianceGamma
    >>> from normix.datasets import load_sp500_returns
    >>> from normix.utils.plotting import plot_tails
    >>> x = load_sp500_returns(["JPM"]).values
    >>> laws = {
    ...     "NIG": NormalInverseGaussian.default_init(x).fit(x).model.project([1.0]),
    ...     "VG": VarianceGamma.default_init(x).fit(x).model.project([1.0]),
    ... }
    >>> figure = plot_tails(x[:, 0], laws, name="daily log return of JPM")
    """
    check_option("about", about, CENTRES)
    data = np.asarray(as_series(X, missing=True))[:, None]
    ((_, values),) = columns_named(data, [name])
    laws = checked_laws(models, "models")
    centre = float(np.median(values)) if about == "median" else 0.0
    if not (values.min() < centre < values.max()):
        raise ValueError(
            f"about={about!r} leaves a tail without data; X lies between "
            f"{values.min():g} and {values.max():g}"
        )
    figure, panels = given_or_new(axes, 2, size=(4.4, 3.7))
    where = "median" if about == "median" else "0"
    for ax, sign, side in zip(panels, (-1, 1), ("Left", "Right"), strict=True):
        _draw(ax, values, laws, centre, sign)
        head(ax, f"{side} tail")
        direction = "below" if sign < 0 else "above"
        ax.set_xlabel(f"{name}: distance {direction} {where}")
        ax.set_ylabel("probability beyond")
    bottom = min(ax.get_ylim()[0] for ax in panels)
    for ax in panels:
        ax.set_ylim(bottom, 1.0)
    if axes is None:
        legend_above(figure, panels)
    return figure


def _draw(
    ax: Axes,
    values: Float[np.ndarray, " n"],
    laws: dict[str, Any],
    centre: float,
    sign: int,
) -> None:
    style_axes(ax)
    n = len(values)
    distances = np.sort(sign * (values - centre))[::-1]
    share = (np.arange(n) + 0.5) / n
    outer = distances >= np.median(distances[distances > 0])
    t, seen = distances[outer], share[outer]
    grid = np.geomspace(t[-1], 1.5 * t[0], _POINTS)
    dots = {"ls": "none", "ms": 3.2, "mew": 0, "color": DATA, "rasterized": n > 500}
    ax.plot(t, seen, "o", label="data", zorder=1.8, **dots)
    styles = law_styles(len(laws))
    for (label, law), style in zip(laws.items(), styles, strict=True):
        log_tail = law.logsf if sign > 0 else law.logcdf
        tail = np.exp(in_blocks(log_tail, centre + sign * grid))
        ax.plot(grid, np.where(tail > 0, tail, np.nan), label=label, **style)
    ax.set_xscale("log")
    ax.set_yscale("log")
    ax.set_xlim(grid[0], grid[-1])
    ax.set_ylim(0.2 / n, 1.0)
    ticker = require("matplotlib.ticker")
    ax.yaxis.set_minor_locator(ticker.NullLocator())
    decades = np.log10(grid[-1] / grid[0])
    if decades < 2:  # where powers of ten alone would be one or two
        ax.xaxis.set_major_locator(ticker.LogLocator(subs=(1.0, 2.0, 5.0)))
        ax.xaxis.set_major_formatter(ticker.FormatStrFormatter("%g"))
    else:
        ax.xaxis.set_major_locator(ticker.LogLocator(numticks=6))
    ax.xaxis.set_minor_formatter(ticker.NullFormatter())
