"""The look of the pictures, and access to Matplotlib."""

from __future__ import annotations

import importlib
import math
import os
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# Okabe & Ito's palette, told apart by colour-blind readers, without its yellow, which
# is too pale for lines.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#333333")
MODEL, CONTRAST, DATA = COLOURS[0], COLOURS[1], "#3C3C3C"
GREY, GRID = "#666666", "#E6E6E6"
# Dashes tell lines apart where colours do not, in grey.
DASHES = ("-", "--", "-.", ":", (0, (7, 2)), (0, (3, 1, 1, 1, 1, 1)))


def set_theme(*, scale: float = 1.0) -> None:
    """Set Matplotlib's defaults to the look of the normix pictures.

    Colours that colour-blind readers can tell apart, no frame, a light grid;
    ``scale`` multiplies the sizes of text and lines.

    **Raises**: ``ValueError`` for a ``scale`` that is not positive.

    >>> from normix.utils.plotting import set_theme
    >>> set_theme(scale=1.2)  # for slides
    """
    if not (scale > 0 and math.isfinite(scale)):
        raise ValueError(f"scale must be positive and finite, got {scale}")
    matplotlib = require("matplotlib")
    cycler = require("cycler").cycler
    matplotlib.rcParams.update(
        {
            "figure.figsize": (7.0, 4.3),
            "figure.dpi": 110,
            "figure.facecolor": "white",
            "savefig.dpi": 200,
            "savefig.bbox": "tight",
            "axes.prop_cycle": cycler(color=COLOURS),
            "axes.axisbelow": True,
            "axes.edgecolor": GREY,
            "axes.facecolor": "white",
            "axes.grid": True,
            "axes.labelcolor": "#333333",
            "axes.labelsize": 10 * scale,
            "axes.linewidth": 0.8 * scale,
            "axes.spines.right": False,
            "axes.spines.top": False,
            "axes.titlelocation": "left",
            "axes.titlesize": 11 * scale,
            "axes.titleweight": "bold",
            "font.size": 10 * scale,
            "grid.color": GRID,
            "grid.linewidth": 0.7 * scale,
            "image.cmap": "viridis",
            "legend.fontsize": 9.5 * scale,
            "legend.frameon": False,
            "lines.linewidth": 1.8 * scale,
            "lines.markersize": 4.5 * scale,
            "text.color": "#222222",
            "xtick.color": GREY,
            "xtick.labelcolor": "#333333",
            "xtick.labelsize": 9 * scale,
            "ytick.color": GREY,
            "ytick.labelcolor": "#333333",
            "ytick.labelsize": 9 * scale,
        }
    )


def law_styles(count: int) -> list[dict[str, Any]]:
    """Of so many lines a colour and dashes each: no two alike of up to 42."""
    return [
        {
            "color": COLOURS[k % len(COLOURS)],
            "linestyle": DASHES[k % len(DASHES)],
            "linewidth": 1.8,
        }
        for k in range(count)
    ]


def style_axes(ax: Axes) -> Axes:
    """Give one axes the look of :func:`set_theme`; returns it."""
    ax.spines[["top", "right"]].set_visible(False)
    ax.spines[["left", "bottom"]].set_color(GREY)
    ax.tick_params(color=GREY, labelcolor="#333333")
    ax.grid(True, which="major", color=GRID, linewidth=0.7)
    ax.set_axisbelow(True)
    return ax


def savefig(fig: Figure, path: str | os.PathLike[str]) -> None:
    """Write ``fig`` to ``path``, tightly cropped; the suffix names the format."""
    fig.savefig(os.fspath(path), dpi=200, bbox_inches="tight", facecolor="white")


def require(name: str) -> Any:
    """A module of Matplotlib's, or an ``ImportError`` that says how to get it."""
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] not in ("matplotlib", "cycler"):
            raise
        raise ImportError("pictures need Matplotlib: pip install matplotlib") from None
