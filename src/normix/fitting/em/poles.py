"""What a fit says of equal rows, at which a likelihood may be unbounded.

See :mod:`normix.mixtures.poles` for what a pole is.
"""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, ArrayLike, Float

from normix._missing import without_gaps
from normix._passes import RowPasses
from normix.fitting.em.outcome import AT_REST, Outcome
from normix.mixtures.initial import mean_and_covariance
from normix.mixtures.joint import JointNormalMixture
from normix.mixtures.limits import nearness
from normix.mixtures.marginal import MarginalMixture

_AT_ONCE = 8192  # rows whose bits stay in a cache

# What a fit was made to: rows at hand, on several devices, or read in passes.
Source = np.ndarray | Array | RowPasses


def largest_group(
    data: Source, weights: Float[np.ndarray, " n"] | None = None
) -> int | None:
    """How many rows are equal, at most; None where not all rows are at hand.

    Weights, all positive, count rows, whatever their scale: a row six times as heavy as
    others is six equal rows.
    """
    if not isinstance(data, np.ndarray):
        return None
    labels = _hashes(data)
    if weights is None:
        ordered = np.sort(labels)
        if not (ordered[1:] == ordered[:-1]).any():
            return 1  # as a rule, and at the price of a sort
    order = np.argsort(labels, kind="stable")
    at = np.nonzero(labels[order][1:] == labels[order][:-1])[0]
    one, other = data[order[at]], data[order[at + 1]]
    if ((one != other) & ~(np.isnan(one) & np.isnan(other))).any():
        # Different rows share a label, as next to never: the rows themselves decide.
        labels = np.unique(data, axis=0, return_inverse=True)[1].ravel()
        order = np.argsort(labels, kind="stable")
    labels = labels[order]
    begins = np.append(0, np.nonzero(labels[1:] != labels[:-1])[0] + 1)
    one = np.ones(len(data)) if weights is None else weights / _unit(weights)
    sizes = np.add.reduceat(one[order], begins)
    return max(1, int(sizes.max() + 1e-6))


def _hashes(data: Float[np.ndarray, "n d"]) -> np.ndarray:
    """A whole number for each row, from the bits of its values: no rounding."""
    labels = np.zeros(len(data), np.uint64)
    factor, mix = np.uint64(0x9E3779B97F4A7C15), np.uint64(29)
    for begin in range(0, len(data), _AT_ONCE):
        rows = data[begin : begin + _AT_ONCE].astype(float, order="C")
        bits = (rows + 0.0).view(np.uint64)  # -0.0 is 0.0
        label = labels[begin : begin + _AT_ONCE]
        for column in bits.T:
            label ^= column
            label *= factor  # modulo 2^64
            label ^= label >> mix
    return labels


def _unit(weights: Float[np.ndarray, " n"]) -> float:
    """The weight of one row.

    The least, where all are multiples of it as counts are; else that in the middle.
    """
    least = float(weights.min())
    counts = weights / least
    rounding = np.minimum(1e-6 * counts, 0.01)
    whole = (np.abs(counts - np.rint(counts)) <= rounding).all()
    return least if whole else float(np.median(weights))


# Of all E[1/Y], at a pole. Equal rows that are many may have half of it elsewhere.
_MOST = 0.9
# The width of a law beside that of its data, in any direction, which one at rest has.
_WIDTH = 1e-3


def ends_at_pole(
    outcome: Outcome,
    fitted: JointNormalMixture,
    data: Source,
    scale: Float[ArrayLike, " d"],
    share: float,
    weights: Float[np.ndarray, " n"] | None = None,
    thin: bool = False,
) -> bool:
    """Whether a fit that seems to be at rest, or has lost its digits, is at a pole.

    See :func:`drawn_onto_rows`. Digits are lost on the way to a pole between rows that
    are few as well, on a line or a plane: where the law is so narrow beside the data,
    in some direction, that Σ has lost half of its digits. Or it ends before, where Σ
    all but vanishes beside γγᵀ, which ``thin`` tells: a law that is at rest there is
    not narrow beside its data as well.
    """
    lost, rests = outcome == Outcome.DIVERGED, outcome in AT_REST
    half = float(np.finfo(fitted.mu.dtype).eps) ** 0.25
    if lost or (rests and thin):
        width = _narrowest(fitted, data, np.asarray(scale, float))
        if width <= (_WIDTH if thin else half):
            return True
    about = data, fitted.mu, scale, share, weights
    return (lost or rests) and drawn_onto_rows(*about)


def _narrowest(
    fitted: JointNormalMixture, data: Source, scale: Float[np.ndarray, " d"]
) -> float:
    """The least width of a law about its typical value, by that of the data there.

    In any direction; of rows that are not at hand, along the columns alone.
    """
    law = fitted.law()
    near = nearness(law)
    skew = near.y * law.gamma / jnp.sqrt(near.omega)
    sigma = near.y * law.dispersion.matrix() + jnp.outer(skew, skew)
    between = np.outer(scale, scale)
    whole = np.asarray(sigma, float) / between
    if not np.isfinite(whole).all():
        return np.inf
    if not isinstance(data, np.ndarray):
        return float(np.sqrt(np.diagonal(whole).min()))
    from scipy import linalg  # here, for a quick import of normix

    cov = np.asarray(mean_and_covariance(without_gaps(data))[1], float) / between
    try:
        widths = linalg.eigh(whole, cov, eigvals_only=True)
    except linalg.LinAlgError:  # so few rows that their covariance has no root
        widths = np.diagonal(whole) / np.diagonal(cov)
    return float(np.sqrt(max(widths.min(), 0.0)))


def drawn_onto_rows(
    data: Source,
    mu: Float[ArrayLike, " d"],
    scale: Float[ArrayLike, " d"],
    share: float,
    weights: Float[np.ndarray, " n"] | None = None,
) -> bool:
    """Whether the row nearest to μ, with its equals, has nearly all of ``E[1/Y]``.

    ``share`` is that of one row of weight 1, and ``scale`` weighs the columns.
    """
    if share <= 0:
        return False
    mu, scale = np.asarray(mu), np.asarray(scale)
    if isinstance(data, RowPasses):
        mass = _mass_in_passes(data, mu, scale, weights)
    else:
        # Rows on several devices stay there.
        mass = (_mass if isinstance(data, np.ndarray) else _mass_jit)(
            data, mu, scale, weights
        )
    return float(mass) * share >= _MOST


def _mass(X, mu, scale, weights):
    """The weight of the rows that equal the one nearest to ``mu``."""
    xp: Any = np if isinstance(X, np.ndarray) else jnp  # at hand, compile nothing
    gaps = (abs(X - mu) / scale).max(axis=1)
    gaps = xp.where(xp.isnan(gaps), np.inf, gaps)  # rows with a missing entry
    if weights is not None:
        gaps = xp.where(weights > 0, gaps, np.inf)
    same = (X == X[gaps.argmin()]).all(axis=1)
    return same.sum() if weights is None else (same * weights).sum()


_mass_jit = jax.jit(_mass)


def _mass_in_passes(data: RowPasses, mu: np.ndarray, scale: np.ndarray, weights):
    least, nearest, mass, done = np.inf, mu, 0.0, 0
    for chunk in data.chunks():
        w = np.ones(len(chunk))
        if weights is not None:
            w = weights[done : done + len(chunk)]
        done += len(chunk)
        rows, w = chunk[w > 0], w[w > 0]
        if len(rows) == 0:
            continue
        gaps = (np.abs(rows - mu) / scale).max(axis=1)
        gaps = np.where(np.isnan(gaps), np.inf, gaps)  # rows with a missing entry
        first = int(gaps.argmin())
        if gaps[first] < least:
            least, nearest, mass = gaps[first], np.array(rows[first]), 0.0
        mass += float(w[(rows == nearest).all(axis=1)].sum())
    return mass


def caveat(model: MarginalMixture, bounded: bool, ties: int | None) -> str:
    """What to know of a maximum beside which the likelihood is unbounded."""
    has_pole = model.joint.subordinator.bounded_below
    if not has_pole or bounded or ties in (None, 1):
        return ""
    return (
        f"; a local maximum: {ties} observations are equal, and with a shape "
        f"below {0.5 * model.d:g} and the location there the likelihood is "
        "unbounded (alpha_min excludes that)"
    )
