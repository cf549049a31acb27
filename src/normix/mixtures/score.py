r"""The score: derivatives of the log-likelihood, from what an E-step has gathered.

Fisher's identity: let :math:`Q(c) = \hat\eta \cdot \theta(c) - \psi(\theta(c))` be the
expected log-density of the complete data, with the E-step's expectations
:math:`\hat\eta` held fixed. At the law of the E-step its gradient is that of the mean
log-likelihood
(Dempster, Laird & Rubin, J. R. Stat. Soc. B 39, 1977). The derivatives of the mixing
law's :math:`\psi` are its own expectations, which the E-step's table has as well: no
Bessel function is differentiated.
"""

from __future__ import annotations

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from normix.mixtures.coordinates import Moving, pulled_back
from normix.mixtures.law import Frame, Law, Swept
from normix.mixtures.posterior import expected, gaps_of_rows, posterior_laws
from normix.mixtures.statistics import MixtureStatistics, PosteriorMeans
from normix.special.gig import gig_means


def score(
    at: Law,
    swept: Swept,
    frame: Frame,
    moving: Moving,
    unit: Float[Array, " d"],
) -> Float[Array, " k"]:
    """The gradient of the mean log-likelihood at ``at``.

    By :func:`~normix.mixtures.coordinates.coordinates` of the law of ``X/unit``;
    ``swept`` is the E-step at ``at``. What is fixed, such as an argument that is 0 in a
    limit, has the derivative 0.
    """
    own = swept.head[5:] / swept.head[1]
    slopes = slopes_given(at, frame.means(swept), own).in_units(unit)
    return pulled_back(at.in_units(1 / unit), slopes, moving)


def score_of_rows(
    at: Law, X: Float[Array, "n d"], moving: Moving
) -> Float[Array, "n k"]:
    """The gradient of every row's log-density, by the coordinates of ``at``.

    Differentiable.
    """
    posterior = posterior_laws(at, X)
    # Of the rows and of the mixing law itself: one kernel.
    every = (jnp.append(x, y) for x, y in zip(posterior, at.gig, strict=True))
    found = jnp.stack(gig_means(*every), axis=-1)

    def of_row(x, given_x):
        return score_of_row(at, x - at.mu, given_x, found[-1], moving)

    return jax.vmap(of_row)(X, found[:-1])


def score_of_rows_seen(
    at: Law,
    X: Float[Array, "n d"],
    moving: Moving,
    own: Float[Array, " 3"] | None = None,
) -> Float[Array, "n k"]:
    """The same of rows in which NaN is a missing entry; 0 for one without any entry.

    ``own``: the means of the mixing law, where they are known.
    """
    gaps, posterior = gaps_of_rows(at, X)
    if own is None:
        every = (jnp.append(x, y) for x, y in zip(posterior, at.gig, strict=True))
        found = jnp.stack(gig_means(*every), axis=-1)
        found, own = found[:-1], found[-1]
    else:
        found = jnp.stack(gig_means(*posterior), axis=-1)
    one = jnp.ones_like(at.gig[0])

    def of_row(of_gaps, given):
        eta = expected(at, of_gaps, PosteriorMeans(*given[:, None]), one)
        return pulled_back(at, slopes_given(at, eta, own), moving)

    scores = jax.vmap(of_row)(gaps, found)
    return jnp.where(gaps.d[:, None] > 0, scores, 0.0)


def score_of_row(
    at: Law,
    gap: Float[Array, " d"],
    given: Float[Array, " 3"],
    own: Float[Array, " 3"],
    moving: Moving,
) -> Float[Array, " k"]:
    """Of one row, ``gap = x - μ``; ``given``: the means of Y there, ``own`` its own."""
    one = PosteriorMeans(*given[:, None])
    eta = at.dispersion.collect(gap[None], jnp.zeros_like(at.mu), at.gamma, one)
    return pulled_back(at, slopes_given(at, eta, own), moving)


def slopes_given(
    at: Law,
    eta: MixtureStatistics,
    own: Float[Array, " 3"],
    mu: Float[Array, " d"] | None = None,
) -> Law:
    """Of the expected log-density of the complete data, by μ, γ, Σ and (p, a, b).

    ``own``: the means of the mixing law itself. ``eta``: those of ``X`` less a point
    that ``mu`` is counted from, by default the law's own μ.
    """
    _, a, b = at.gig
    excess = jnp.stack(
        [
            eta.E_log_Y - own[0],
            # At the limits, where these may be infinite, a or b does not move.
            -0.5 * jnp.where(a > 0, eta.E_Y - own[2], 0.0),
            -0.5 * jnp.where(b > 0, eta.E_inv_Y - own[1], 0.0),
        ]
    )
    about = jnp.zeros_like(at.mu) if mu is None else mu
    given_y = at.dispersion.gradient(eta, about, at.gamma)
    return Law(*given_y, excess)
