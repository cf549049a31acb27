"""Histograms, and where densities beside them are drawn."""

from __future__ import annotations

import math

import numpy as np
from jaxtyping import Float

_POINTS = 201  # half of the grid on which a density is drawn


def density_grid(
    column: Float[np.ndarray, " n"], first: float, last: float
) -> Float[np.ndarray, " m"]:
    """Points from somewhat below ``first`` to above ``last``, half of them central."""
    pad = 0.1 * (last - first)
    low, high = first - pad, last + pad
    quarter, middle, three_quarters = np.quantile(column, [0.25, 0.5, 0.75])
    reach = 4 * (three_quarters - quarter)
    centre = np.linspace(max(low, middle - reach), min(high, middle + reach), _POINTS)
    return np.sort(np.append(np.linspace(low, high, _POINTS), centre))


def histogram(column: Float[np.ndarray, " n"]) -> Float[np.ndarray, "3 bins"]:
    """A histogram that is fit for a log axis: centres, densities, standard errors.

    Bins of Scott's width (Biometrika 66, 1979) are joined from both ends inwards until
    each holds five observations: a bin of one says little and an empty one has no
    logarithm. A centre is the mean of what is in the bin.
    """
    n = len(column)
    width = 3.49 * column.std() / n ** (1 / 3)
    bins = min(max(math.ceil(np.ptp(column) / width), 5), 1000)
    counts, edges = np.histogram(column, bins=bins)
    sums, _ = np.histogram(column, bins=edges, weights=column)
    # Bins from the left end to the peak are closed on their right, the others on
    # their left, so that the loose ends of both meet at the peak.
    peak, least = int(counts.argmax()), min(5, 1 + n // 10)
    starts = {0, peak}
    for order, after in ((range(peak), 1), (range(len(counts) - 1, peak, -1), 0)):
        held = 0
        for k in order:
            held += counts[k]
            if held >= least:
                starts.add(k + after)
                held = 0
    first = np.array(sorted(starts))
    counts, sums = np.add.reduceat(counts, first), np.add.reduceat(sums, first)
    widths = np.diff(np.append(edges[first], edges[-1]))
    some = counts > 0
    counts, sums, widths = counts[some], sums[some], widths[some]
    heights = counts / (n * widths)
    return np.stack([sums / counts, heights, heights / np.sqrt(counts)])
