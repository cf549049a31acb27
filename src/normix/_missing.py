"""Missing entries of data: NaN, and what may be done about them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np
from jaxtyping import Float

from normix._arrays import check_option, is_spread, is_traced

MISSING = ("raise", "drop", "em")

_ROWS_AT_ONCE = 4096


class Present(NamedTuple):
    """Rows that a fit is made to.

    ``left_out``: how many rows are not among them; ``share``: of the entries of those
    that are, how many are missing.
    """

    rows: Any
    weights: Any
    left_out: int = 0
    share: float = 0.0

    @property
    def has_gaps(self) -> bool:
        """Whether entries are missing, as far as can be seen."""
        return self.share > 0


def present(rows: Any, weights: Any, missing: str) -> Present:
    """The rows that count, shape ``(n, d)``: those without NaN, or with any entry.

    Where rows cannot be told apart, as they are traced or lie on several devices,
    those that do not count have the weight 0 instead.

    **Raises**: ``ValueError`` where there is none.
    """
    check_option("missing", missing, MISSING)
    if missing == "raise":
        return Present(rows, weights)
    if is_traced(rows, weights) or is_spread(rows):
        return _present_by_weight(rows, weights, missing)
    seen = ~np.isnan(np.asarray(rows))
    counts: np.ndarray = (np.all if missing == "drop" else np.any)(seen, axis=1)
    if weights is not None:
        counts = counts & (np.asarray(weights) > 0)
    if not counts.any():
        raise ValueError(
            "X has no row without a missing entry"
            if missing == "drop"
            else "X has no entry that is not missing"
        )
    if counts.all():
        return Present(rows, weights, 0, float(1 - seen.mean()))
    left_out = int(len(counts) - counts.sum())
    if weights is not None:
        # Rows of weight 0 are not left out for what they lack.
        left_out -= int((np.asarray(weights) <= 0).sum())
        weights = np.asarray(weights)[counts]
    kept = np.asarray(rows)[counts]
    return Present(kept, weights, left_out, float(1 - seen[counts].mean()))


def _present_by_weight(rows: Any, weights, missing: str) -> Present:
    known = not is_traced(rows)
    xp: Any = jnp if is_spread(rows) or not known else np
    rows = xp.asarray(rows)
    gone = xp.isnan(rows)
    if known and not bool(gone.any()):
        return Present(rows, weights)
    counts = ~(gone.any(axis=1) if missing == "drop" else gone.all(axis=1))
    one = xp.ones_like(rows[:, 0]) if weights is None else weights
    w = jnp.where(counts, one, 0.0)
    left_out = int((~counts).sum()) if known else 0
    if missing == "drop":
        return Present(xp.where(gone, 0.0, rows), w, left_out)
    share = 1.0  # for all that is known
    if known:
        share = float((gone & counts[:, None]).sum() / (counts.sum() * rows.shape[1]))
    return Present(rows, w, left_out, share)


def seen_together(X: Float[np.ndarray, "n d"]) -> Float[np.ndarray, "d d"]:
    """In how many rows two columns are both seen."""
    together = np.zeros((X.shape[1],) * 2)
    for begin in range(0, len(X), _ROWS_AT_ONCE):
        counted = (~np.isnan(X[begin : begin + _ROWS_AT_ONCE])).astype(float)
        together += counted.T @ counted
    return together


def check_seen(
    together: Float[np.ndarray, "d d"],
    names: Sequence[object] | None = None,
    *,
    pairs: bool = True,
) -> None:
    """Raise ``ValueError`` for a column without entries; or two never seen together.

    ``together``: see :func:`seen_together`. Two that are never seen together, asked for
    by ``pairs``, leave an entry of a full Σ undetermined.
    """

    def named(*columns: int) -> str:
        return " and ".join(
            str(k) if names is None else repr(names[k]) for k in columns
        )

    empty = np.flatnonzero(np.diagonal(together) == 0)
    if len(empty):
        raise ValueError(f"column {named(int(empty[0]))} of X has no entry at all")
    if not pairs:
        return
    apart = np.argwhere(np.tril(together == 0))
    if len(apart):
        i, j = (int(k) for k in apart[0])
        raise ValueError(
            f"columns {named(j, i)} of X are never seen together, so that their entry "
            "of Σ is not determined: leave one of them out, or fit a factor form"
        )


def without_gaps(X: Any) -> Any:
    """Rows as they are, or :func:`completed` where some of what is at hand is NaN."""
    if is_traced(X) or is_spread(X) or not np.isnan(np.asarray(X)).any():
        return X
    return completed(present(np.asarray(X), None, "em").rows)


class NormalMoments(NamedTuple):
    """Of the normal law: mean, covariance, and the log-likelihood of all rows."""

    mean: Float[np.ndarray, " d"]
    cov: Float[np.ndarray, "d d"]
    log_likelihood: float


def normal_moments(
    X: Float[np.ndarray, "n d"], tol: float = 1e-6, max_iter: int = 1000
) -> NormalMoments:
    """The normal law of maximum likelihood for rows with missing entries, by EM.

    Until an iteration gains no more than ``tol``.
    """
    rows = _standardised(X)
    mu, sigma, last = np.zeros(X.shape[1]), np.eye(X.shape[1]), -np.inf
    for _ in range(max_iter):
        at = mu, sigma
        found = _regressed(rows, *at, None)
        mu, sigma = found.moments()
        if found.log_likelihood - last <= tol:
            break
        last = found.log_likelihood
    jacobian = (rows.mask * np.log(rows.spread)).sum()
    scale = np.outer(rows.spread, rows.spread)
    mean = rows.centre + rows.spread * at[0]
    return NormalMoments(mean, scale * at[1], found.log_likelihood - float(jacobian))


def completed(X: Float[np.ndarray, "n d"]) -> Float[np.ndarray, "n d"]:
    """Rows with something plausible for what is missing, for a start of EM.

    The regression under a normal law, of which the moments come from a few steps of
    its EM; and a draw of the rest, in the scale of the row's own distance from the
    mean, as tails are wherever a whole row is far out.
    """
    rows = _standardised(X)
    mu, sigma = np.zeros(X.shape[1]), np.eye(X.shape[1])
    for _ in range(_STEPS):
        mu, sigma = _regressed(rows, mu, sigma, None).moments()
        # Columns that are hardly ever seen together may leave it singular.
        sigma = sigma + 1e-6 * np.eye(len(mu))
    noise = np.random.default_rng(0).normal(size=X.shape)
    found = _regressed(rows, mu, sigma, noise)
    filled = rows.centre + rows.spread * (found.filled + found.draws)
    return np.where(rows.mask, X, filled)


_STEPS = 5
# Numbers in the factorisations of some rows at once.
_AT_ONCE = 500_000


class _Standardised(NamedTuple):
    """Columns less their means, by standard deviations; 0 for a missing entry."""

    Z: np.ndarray
    mask: np.ndarray
    centre: np.ndarray
    spread: np.ndarray
    patterns: np.ndarray  # masks, each once
    which: np.ndarray  # the pattern of each row


def _standardised(X: np.ndarray) -> _Standardised:
    mask = ~np.isnan(X)
    centre, spread = np.nanmean(X, axis=0), np.nanstd(X, axis=0)
    spread = np.where(spread > 0, spread, 1.0)
    Z = np.where(mask, (X - centre) / spread, 0.0)
    patterns, which = np.unique(mask, axis=0, return_inverse=True)
    return _Standardised(Z, mask, centre, spread, patterns, which.ravel())


class _Regressed(NamedTuple):
    """Rows completed by regression, the sum of what it leaves, draws of that."""

    filled: np.ndarray
    rest: np.ndarray
    draws: np.ndarray
    log_likelihood: float

    def moments(self) -> tuple[np.ndarray, np.ndarray]:
        """The mean and the covariance that follow."""
        mu = self.filled.mean(axis=0)
        about = self.filled - mu
        return mu, (about.T @ about + self.rest) / len(self.filled)


def _regressed(rows: _Standardised, mu, sigma, noise) -> _Regressed:
    Z, d = rows.Z, len(mu)
    filled, draws, rest = Z.copy(), np.zeros_like(Z), np.zeros((d, d))
    total, every = 0.0, max(1, _AT_ONCE // (d * d))
    eye = np.eye(d)
    for begin in range(0, len(rows.patterns), every):
        part = rows.patterns[begin : begin + every]
        both = part[:, :, None] & part[:, None]
        across = np.where(~part[:, :, None] & part[:, None], sigma, 0.0)
        whole = np.where(both, sigma, eye)
        inverse, log_det = np.linalg.inv(whole), np.linalg.slogdet(whole)[1]
        slope = across @ inverse
        neither = ~part[:, :, None] & ~part[:, None]
        left = np.where(neither, sigma, 0.0) - slope @ np.swapaxes(across, 1, 2)
        at = np.flatnonzero((rows.which >= begin) & (rows.which < begin + len(part)))
        for first in range(0, len(at), every):
            here = at[first : first + every]
            of = rows.which[here] - begin
            mask, gap = rows.mask[here], np.where(rows.mask[here], Z[here] - mu, 0.0)
            guess = mu + (slope[of] @ gap[..., None])[..., 0]
            filled[here] = np.where(mask, Z[here], guess)
            rest += left[of].sum(axis=0)
            squares = (gap[:, None] @ inverse[of] @ gap[..., None])[:, 0, 0]
            size = mask.sum(axis=1)
            total -= 0.5 * (squares + log_det[of] + size * np.log(2 * np.pi)).sum()
            if noise is not None:
                scale = np.sqrt(squares / np.maximum(size, 1))
                ones = np.where(part[:, :, None] & (eye > 0), 1.0, 0.0) + 1e-9 * eye
                root = np.linalg.cholesky(left + ones)[of]
                drawn = (root @ np.where(mask, 0.0, noise[here])[..., None])[..., 0]
                draws[here] = np.where(mask, 0.0, drawn * scale[:, None])
    return _Regressed(filled, rest, draws, float(total))
