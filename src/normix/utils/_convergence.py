"""Pictures of how a fit converged."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, cast

import numpy as np
from jaxtyping import Float

from normix.fitting.em.result import EMResult
from normix.utils._theme import CONTRAST, MODEL, require, style_axes

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


def plot_em_convergence(
    result: EMResult, *, tol: float | None = None, axes: Sequence[Axes] | None = None
) -> Figure:
    """The log-likelihood and what is compared with ``tol``, by iteration.

    ``tol`` draws the fitter's tolerance; ``axes`` are two to draw into.

    **Raises**: ``ValueError`` for a result without histories, or other than two axes.

    >>> from normix import BatchEMFitter, NormalInverseGaussian
    >>> from normix.datasets import load_sp500_returns
    >>> from normix.utils.plotting import plot_em_convergence
    >>> X = load_sp500_returns(["AAPL", "JPM", "XOM"]).values
    >>> fitter = BatchEMFitter(tol=1e-5, track_ll=True)
    >>> result = fitter.fit(NormalInverseGaussian.default_init(X), X)
    >>> figure = plot_em_convergence(result, tol=fitter.tol)
    """
    log_likelihoods, changes = histories(result)
    if axes is None:
        pyplot = require("matplotlib.pyplot")
        figure, axes = pyplot.subplots(1, 2, figsize=(9, 3.6), layout="constrained")
    axes = list(np.ravel(np.asarray(axes, dtype=object)))
    if len(axes) != 2:
        raise ValueError(f"axes must be two, got {len(axes)}")
    left, right = axes
    draw_log_likelihoods(left, log_likelihoods)
    left.set_title("Mean log-likelihood")
    style_axes(right)
    # A change of exactly 0 has no place on a log axis.
    shown = np.where(changes > 0, changes, np.nan)
    right.plot(np.arange(1, len(changes) + 1), shown, color=MODEL, marker="o", ms=3)
    right.set_yscale("log")
    if tol is not None and tol > 0:
        right.axhline(tol, color=CONTRAST, linestyle="--", label=f"tolerance {tol:g}")
        right.legend()
    _count_iterations(right)
    right.set_title("Parameter change")
    return cast("Figure", left.figure)


def histories(result: EMResult) -> tuple[np.ndarray, np.ndarray]:
    """The log-likelihoods and the criteria of the iterations done."""
    if result.log_likelihoods is None or result.criteria is None:
        raise ValueError(
            "result has no history to plot: fit with "
            "BatchEMFitter(track_ll=True), or with verbose=1"
        )
    values, changes = (
        np.asarray(result.log_likelihoods),
        np.asarray(result.criteria),
    )
    if values.ndim != 1:
        raise ValueError(
            "result must be of one fit, got histories of shape "
            f"{values.shape}; choose one of the batch by jax.tree.map"
        )
    done = int(result.n_iter)  # fits under jit pad their histories
    if done < 1:
        raise ValueError("result has no history to plot: no iteration was done")
    return values[:done], changes[:done]


def draw_log_likelihoods(ax: Axes, values: Float[np.ndarray, " k"]) -> None:
    style_axes(ax)
    ax.plot(np.arange(1, len(values) + 1), values, color=MODEL, marker="o", ms=3)
    ax.locator_params(axis="y", nbins=5)
    ax.ticklabel_format(axis="y", useOffset=False)
    _count_iterations(ax)


def _count_iterations(ax: Axes) -> None:
    ticker = require("matplotlib.ticker")
    ax.xaxis.set_major_locator(ticker.MaxNLocator(integer=True))
    ax.set_xlabel("iteration")
