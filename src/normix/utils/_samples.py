"""Laws of one variable: densities, distribution functions and samples."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, cast

import jax
import numpy as np
from jaxtyping import ArrayLike, Float, PRNGKeyArray

from normix._arrays import as_series, check_count
from normix.fitting.em.result import EMResult
from normix.utils._convergence import draw_log_likelihoods, histories
from normix.utils._laws import (
    Law,
    checked_laws,
    columns_of,
    in_blocks,
    law_label,
    log_density,
    margin,
    quantiles,
)
from normix.utils._panels import (
    MOST_PANELS,
    given_or_new,
    head,
    legend_above,
    panels_of,
    plain_ticks,
)
from normix.utils._theme import DATA, MODEL, law_styles, style_axes

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_POINTS = 401
# What of a law is shown: all but so much at either end.
_ENDS = 1e-3


def plot_mle_fit(
    model: Law,
    X: Float[ArrayLike, "n ..."],
    *,
    result: EMResult | None = None,
    names: Sequence[str] | None = None,
    axes: Sequence[Axes] | None = None,
) -> Figure:
    """A histogram of the data with the density of a fitted law.

    - ``model``: a law of one variable, such as ``Gamma.fit_mle(X)``; of a mixture or
      normal law of more there is a panel for every margin.
    - ``X``: the data, shape ``(n,)``, or ``(n, d)`` for a law of vectors; NaN are
      missing entries, of which a column shows the others.
    - ``result``: the fit that the model is of; adds a panel with its log-likelihood by
      iteration.
    - ``names``: of the columns; by default those of a data frame.
    - ``axes``: one a panel, to draw into.

    Axes are linear, and end no further than eight interquartile ranges from the median;
    tails are what :func:`~normix.utils.plotting.plot_margins` shows. The first 35
    columns are drawn.

    **Raises**: ``ValueError`` for data, names or axes that do not fit the model, a
    column of one value, and a result without histories.

    >>> from normix import Gamma
    >>> from normix.utils.plotting import plot_mle_fit
    >>> X = Gamma(alpha=2.0, beta=1.0).rvs(500, seed=0)
    >>> figure = plot_mle_fit(Gamma.fit_mle(X), X)
    """
    columns = columns_of(model, X, names)[0][:MOST_PANELS]
    log_likelihoods = None if result is None else histories(result)[0]
    count, wide = len(columns), log_likelihoods is not None
    if axes is None:
        figure, panels = panels_of(count, wide, size=(3.8, 2.9))
    else:
        figure, panels = given_or_new(axes, count + wide, size=(3.8, 2.9))
    label = law_label(model)
    for j, (name, values) in enumerate(columns):
        _draw_fit(panels[j], margin(model, j), values, "data", label)
        panels[j].set_xlabel(name, parse_math=False)
        panels[j].set_ylabel("density")
    if log_likelihoods is not None:
        draw_log_likelihoods(panels[-1], log_likelihoods)
        panels[-1].set_ylabel("mean log-likelihood")
    if axes is None:
        legend_above(figure, panels[:1])
    return figure


def plot_pdf_cdf_comparison(
    laws: Mapping[str, Law],
    *,
    x: Float[ArrayLike, " m"] | None = None,
    axes: Sequence[Axes] | None = None,
) -> Figure:
    """The densities and the distribution functions of several laws, side by side.

    - ``laws``: laws of one variable by label.
    - ``x``: where, shape ``(m,)``; by default from the least to the greatest of the
      laws' 0.1 % and 99.9 % quantiles, of each no further than eight interquartile
      ranges from its median.
    - ``axes``: two to draw into, for the densities and the distribution functions.

    The axis cuts off a density that grows without bound.

    **Raises**: ``ValueError`` for what is no dictionary of laws of one variable, an
    ``x`` of another shape, and other than two axes.

    >>> from normix import Gamma, InverseGaussian
    >>> from normix.utils.plotting import plot_pdf_cdf_comparison
    >>> figure = plot_pdf_cdf_comparison(
    ...     {"gamma": Gamma(alpha=2.0, beta=2.0),
    ...      "inverse Gaussian": InverseGaussian(mu=1.0, lam=2.0)})
    """
    found = checked_laws(laws)
    if x is None:
        ends = np.stack([_ends(law) for law in found.values()])
        grid = _grid(ends[:, 0].min(), ends[:, 1].max(), list(found.values()))
    else:
        grid = np.sort(np.asarray(as_series(x)))
    figure, panels = given_or_new(axes, 2, size=(4.3, 3.2))
    left, right = panels
    tops = []
    for (label, law), style in zip(found.items(), law_styles(len(found)), strict=True):
        density = np.exp(log_density(law, grid))
        left.plot(grid, density, label=label, **style)
        right.plot(grid, np.exp(in_blocks(law.logcdf, grid)), label=label, **style)
        tops.append(_top(law, density))
    for ax, title in ((left, "density"), (right, "probability P(X ≤ x)")):
        style_axes(ax)
        ax.set_xlim(grid[0], grid[-1])
        ax.set_xlabel("x")
        ax.set_ylabel(title)
    left.set_ylim(0.0, 1.08 * max(tops))
    right.set_ylim(0.0, 1.02)
    if axes is None:
        legend_above(figure, [left])
    return figure


def plot_sample_histograms(
    laws: Mapping[str, Law],
    *,
    n: int = 5000,
    seed: int = 42,
    key: PRNGKeyArray | None = None,
    axes: Sequence[Axes] | None = None,
) -> Figure:
    """Draws of several laws beside their densities, a panel for each.

    - ``laws``: laws of one variable by label.
    - ``n``: how many draws of each, at least 2.
    - ``seed``: of all, as ``rvs`` takes it; ``key``, a JAX random key, replaces it, and
      is split between the laws.
    - ``axes``: one a law, to draw into.

    Panels end at the law's 0.1 % and 99.9 % quantiles, and no further than eight
    interquartile ranges from its median: draws beyond count in the heights of the
    histogram, but are not shown.

    **Raises**: ``ValueError`` for what is no dictionary of laws of one variable, an
    ``n`` that is less than 2, and axes that do not fit.

    >>> from normix import GIG, UnivariateNormalInverseGaussian
    >>> from normix.utils.plotting import plot_sample_histograms
    >>> nig = UnivariateNormalInverseGaussian.from_classical(
    ...     mu=0.0, gamma=0.5, sigma=1.0, mu_ig=1.0, lam=1.0)
    >>> figure = plot_sample_histograms(
    ...     {"GIG": GIG(p=0.5, a=1.0, b=1.0), "NIG": nig}, n=1000)
    """
    found = checked_laws(laws)
    check_count("n", n)
    if n < 2:
        raise ValueError(f"n must be at least 2, got {n}")
    keys = None if key is None else jax.random.split(key, len(found))
    figure, panels = given_or_new(axes, len(found), size=(3.4, 2.7))
    for k, (label, law) in enumerate(found.items()):
        source = cast(Any, laws[label])
        how = {"seed": seed} if keys is None else {"key": keys[k]}
        values = np.asarray(source.rvs(n, **how)).reshape(n)
        _draw_fit(panels[k], law, values, f"{n:,} draws", "density", _ends(law))
        head(panels[k], label)
        panels[k].set_xlabel("x")
        panels[k].set_ylabel("density")
    if axes is None:
        legend_above(figure, panels[:1])
    return figure


def _draw_fit(
    ax: Axes,
    law: Any,
    values: Float[np.ndarray, " n"],
    data_label: str,
    law_label: str,
    ends: tuple[float, float] | None = None,
) -> None:
    """A histogram of all values, as far as it is shown, with a density."""
    style_axes(ax)
    low, high = _central(values) if ends is None else ends
    quarters = np.subtract(*np.quantile(values, [0.75, 0.25]))
    # The width of Freedman & Diaconis (Z. Wahrscheinlichkeitstheorie 57, 1981).
    width = 2 * quarters / len(values) ** (1 / 3)
    bins = int(np.clip((high - low) / width, 5, 200)) if width > 0 else 20
    counts, edges = np.histogram(values, bins=bins, range=(low, high))
    heights = counts / (len(values) * np.diff(edges))
    ax.stairs(heights, edges, fill=True, color=DATA, alpha=0.2, lw=0, label=data_label)
    ax.stairs(heights, edges, color=DATA, lw=0.8)
    grid = _grid(low, high, [law])
    density = np.exp(log_density(law, grid))
    ax.plot(grid, density, color=MODEL, lw=1.8, label=law_label)
    ax.set_xlim(low, high)
    ax.set_ylim(0.0, 1.08 * max(heights.max(), _top(law, density)))
    plain_ticks(ax)


def _central(values: Float[np.ndarray, " n"]) -> tuple[float, float]:
    """The range of values, no further than eight interquartile ranges out.

    From 0 on, where positive values come near to it.
    """
    quarter, middle, three_quarters = np.quantile(values, [0.25, 0.5, 0.75])
    reach = 8 * (three_quarters - quarter) or np.inf
    low, high = max(values.min(), middle - reach), min(values.max(), middle + reach)
    if 0 < low < 0.1 * high:
        low = 0.0
    return float(low), float(high)


def _ends(law: Any) -> tuple[float, float]:
    """Where a law is drawn: its outer quantiles, no further out than data would be."""
    return _central(quantiles(law, np.linspace(_ENDS, 1 - _ENDS, 999)))


def _grid(low: float, high: float, laws: Sequence[Any]) -> Float[np.ndarray, " m"]:
    """Evenly spaced points, and others where the laws are."""
    p = np.linspace(_ENDS, 1 - _ENDS, 201)
    parts = [np.linspace(low, high, _POINTS), *(quantiles(law, p) for law in laws)]
    points = np.unique(np.concatenate(parts))
    return points[(points >= low) & (points <= high)]


def _top(law: Any, density: Float[np.ndarray, " m"]) -> float:
    """The highest density that is shown: of a pole not all."""
    usual = np.exp(log_density(law, quantiles(law, np.linspace(0.005, 0.995, 100))))
    inside = density[np.isfinite(density)]
    # Bell shapes and exponential peaks are no higher than this.
    return float(min(inside.max(initial=0.0), 1.5 * np.quantile(usual, 0.75)))
