"""Quantiles of data against those of a model."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import ArrayLike, Float

from normix._arrays import check_option
from normix.utils._bands import order_bands, shown_ranks
from normix.utils._laws import (
    Law,
    columns_of,
    law_label,
    margin,
    quantiles,
)
from normix.utils._panels import (
    MOST_PANELS,
    check_level,
    given_or_new,
    head,
    legend_above,
    plain_ticks,
)
from normix.utils._theme import CONTRAST, DATA, GREY, MODEL, style_axes

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

BANDS = ("simultaneous", "pointwise")


def plot_qq(
    model: Law,
    X: Float[ArrayLike, "n ..."],
    *,
    level: float = 0.95,
    band: str = "simultaneous",
    names: Sequence[str] | None = None,
    axes: Sequence[Axes] | None = None,
) -> Figure:
    """Quantiles of each column against those of the model's margin, with a band.

    - ``model``: a mixture or normal law in d dimensions, or a law of one variable.
    - ``X``: the data, shape ``(n, d)``, or ``(n,)`` for a law of one variable; NaN are
      missing entries, of which a column shows the others.
    - ``level``: the probability with which data of the model keep within the band.
    - ``band``: "simultaneous", that all points of a column do; "pointwise", that any
      one does. Both come from the law of uniform order statistics, k of n being
      Beta(k, n + 1 - k); the simultaneous band gives all points the same level
      (Aldor-Noiman, Brown, Buja, Rolke & Stine, The American Statistician 67, 2013),
      found by the exact probability that all keep within it (Moscovich & Nadler,
      Statistics & Probability Letters 123, 2017).
    - ``names``: of the columns; by default those of a data frame.
    - ``axes``: one a column, to draw into.

    The k-th of n values is drawn against the model's quantile of (k - 1/2)/n; points
    outside the band have another marker. The axes are the data's: where tails are
    heavy the band may leave them. Of more than 5,000 values the outermost 2,500 and
    some between are drawn, and the band is theirs; the first 35 columns are drawn.

    The band is that of a model that was known before the data. Parameters that were
    estimated from the same data adapt to them, so that it is conservative: fits of the
    right family leave it less often than ``1 - level`` says.

    **Raises**: ``ValueError`` for data, names or axes that do not fit the model, a
    column of one value, a level outside (0, 1) or an unknown band.

    >>> from normix import NormalInverseGaussian
    >>> from normix.datasets import load_sp500_returns
    >>> from normix.utils.plotting import plot_qq
    >>> returns = load_sp500_returns(["AAPL", "JPM"])
    >>> X = returns.values
    >>> nig = NormalInverseGaussian.default_init(X).fit(X).model
    >>> figure = plot_qq(nig, X, names=returns.columns)
    """
    check_option("band", band, BANDS)
    check_level(level)
    columns = columns_of(model, X, names)[0][:MOST_PANELS]
    ends = [order_bands(len(x), level, band == BANDS[0]) for _, x in columns]
    figure, panels = given_or_new(axes, len(columns), size=(3.4, 3.3))
    for j, (name, values) in enumerate(columns):
        law = margin(model, j)
        _draw(panels[j], law, np.sort(values), ends[j])
        head(panels[j], name)
        panels[j].set_xlabel(f"quantile, {law_label(model)}")
        panels[j].set_ylabel("quantile, data")
    panels[0].lines[0].set_label("equal quantiles")
    panels[0].collections[0].set_label(f"{100 * level:g} % band, {band}")
    if axes is None:
        legend_above(figure, panels)
    return figure


def _draw(
    ax: Axes,
    law: Any,
    values: Float[np.ndarray, " n"],
    ends: tuple[Float[np.ndarray, " m"], Float[np.ndarray, " m"]],
) -> None:
    style_axes(ax)
    ranks = shown_ranks(len(values))
    p = (ranks - 0.5) / len(values)
    expected, low, high = quantiles(law, np.stack([p, *ends]))
    seen = values[ranks - 1]
    inside = (seen >= low) & (seen <= high)
    both = np.concatenate([seen, expected])
    both = both[np.isfinite(both)]
    pad = 0.04 * np.ptp(both)
    limits = both.min() - pad, both.max() + pad
    ax.plot(limits, limits, color=GREY, lw=1.0, ls="--", zorder=1)
    ax.fill_between(expected, low, high, color=MODEL, alpha=0.22, lw=0, zorder=0)
    for edge in (low, high):
        ax.plot(expected, edge, color=MODEL, lw=0.8, zorder=1, label="_band")
    many = len(values) > 500
    dots = {"ls": "none", "mew": 0, "ms": 2.4 if many else 3.2, "rasterized": many}
    ax.plot(expected[inside], seen[inside], "o", color=DATA, label="data", **dots)
    if not inside.all():
        size = 3.6 if many else 5.0
        crosses = {"ls": "none", "ms": size, "mew": size / 4, "color": CONTRAST}
        ax.plot(
            expected[~inside], seen[~inside], "x", label="data outside it", **crosses
        )
    ax.set_xlim(limits)
    ax.set_ylim(limits)
    ax.set_aspect("equal", adjustable="box")
    plain_ticks(ax)
