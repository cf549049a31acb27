r"""The mixing variable given the data: densities of rows, and the E-step.

Given ``X = x``, ``Y`` is :math:`\mathrm{GIG}(p - d/2, a + \gamma^\top\Sigma^{-1}\gamma,
b + (x-\mu)^\top\Sigma^{-1}(x-\mu))`. The E-step has three pieces. :func:`row_products`
goes through the rows and says which of these laws there are; a table is made for them
(:func:`~normix.special.gig_shared.gig_table`), which takes most of the compiling and
has one size for all data; :func:`collected` goes through the rows again.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Bool, Float

from normix.mixtures.dispersion import InnerProducts, slope_along
from normix.mixtures.law import Frame, Law, Swept
from normix.mixtures.statistics import MixtureStatistics, PosteriorMeans
from normix.special._hypot import hypot
from normix.special._mode import fall, mode, typical_value
from normix.special.gig import gig_log_mass, gig_means, gig_means_cpu
from normix.special.gig_shared import (
    Query,
    Table,
    gig_means_by_table,
    gig_means_shared,
    query,
)

_LOG_2PI = math.log(2 * math.pi)
# Beyond it distances may have squares that overflow, in single precision too.
FAR = 1e10


def log_density_of_rows(law: Law, X: Float[Array, "n d"]) -> Float[Array, " n"]:
    """The log-density of every row under the law of X alone; differentiable.

    The integral over ``log y`` of the prior's density times a normal one, whose product
    is, but for a factor, the posterior's density: from the two at the posterior's mode.
    """
    gap = X - law.mu
    size = jnp.abs(gap).max(axis=1)
    finite = size < jnp.inf
    # In units of Y in which squares of distances do not overflow.
    unit = lax.stop_gradient(jnp.where(finite & (size > FAR), size, 1.0))
    gap = jnp.where(finite[:, None], gap, 0.0) / jnp.sqrt(unit)[:, None]
    products = law.dispersion.inner_products(gap, law.gamma)
    d, log_det = X.shape[1], law.dispersion.log_det()
    value = log_density_about_mode(law.gig, products, d, log_det, unit)
    outside = jnp.where(jnp.isnan(X).any(axis=1), jnp.nan, -jnp.inf)
    return jnp.where(finite, value, outside)


def log_density_seen(law: Law, X: Float[Array, "n d"]) -> Float[Array, " n"]:
    """The same of the entries that are not NaN, under the law of those columns.

    0 for a row without any.
    """
    mask = ~jnp.isnan(X)
    gap = jnp.where(mask, X - law.mu, 0.0)
    size = jnp.abs(gap).max(axis=1)
    finite = size < jnp.inf
    unit = lax.stop_gradient(jnp.where(finite & (size > FAR), size, 1.0))
    gap = jnp.where(finite[:, None], gap, 0.0) / jnp.sqrt(unit)[:, None]

    def of_row(r, seen):
        found = law.dispersion.seen(seen, r[None], law.gamma)
        products = law.dispersion.inner_products(found.rows, found.gamma)
        one = InnerProducts(
            products.quadratic[0], products.cross[0], products.skew, products.across[0]
        )
        return one, found.log_det

    products, log_det = jax.vmap(of_row)(gap, mask)
    d = mask.sum(axis=1)
    value = log_density_about_mode(law.gig, products, d, log_det, unit)
    return jnp.where(d == 0, 0.0, jnp.where(finite, value, -jnp.inf))


def log_density_about_mode(
    gig: Array, products: InnerProducts, d: Any, log_det: Array, unit: Array
) -> Array:
    """Of rows in units of ``√unit``, by their inner products."""
    # A row that is μ is at rest, but for a cusp: squares have no slope there, of which
    # roots would make infinity times 0.
    quadratic, across = (
        jnp.where(x > 0, x, 0.0) for x in (products.quadratic, products.across)
    )
    products = products._replace(quadratic=quadratic, across=across)
    p, a, b = gig
    skew = products.skew * unit
    posterior = p - 0.5 * d, a * unit + skew, b / unit + products.quadratic
    posterior = jnp.broadcast_arrays(*posterior)
    both = [jnp.append(x, y) for x, y in zip(posterior, (p, a, b), strict=True)]
    mass = gig_log_mass(*both)  # posteriors and prior: one kernel
    pole = mass[:-1] == jnp.inf
    y, log_y = mode(*(jnp.where(pole, 1.0, v) for v in posterior))
    log_y = log_y + jnp.log(unit)
    cross = products.cross * jnp.sqrt(unit)
    along = slope_along(cross, skew)
    # Without skewness the same in the terms that then have slopes.
    flat = cross * (along / y - 2) + skew * y
    gap = _beyond_mode(along, y, posterior, b / unit + products.across, a * unit)
    part = jnp.where(skew > 0, (skew * gap) * (gap / y), flat)
    distance = products.across / y + part
    constant = d * _LOG_2PI + log_det
    value = -0.5 * (constant + d * log_y + distance) - fall(p, a, b, log_y)
    return jnp.where(pole, jnp.inf, value + (mass[:-1] - mass[-1]))


def _beyond_mode(along, y, posterior, near, a) -> Array:
    """``along - y``, of the row's place along γ and the posterior's mode.

    Far along γ the two are large and close: with ``near = b + across`` and ``a`` of the
    prior the difference is a quotient. Their squares may overflow, the parts may not.
    """
    p, rate, far = posterior
    # Elsewhere the parts of the quotient are larger than the difference.
    ahead = (rate * along > jnp.abs(p)) & (rate * along > near / along)
    t, rate, far = (jnp.where(ahead, x, 1.0) for x in (along, rate, far))
    root = hypot(p, jnp.sqrt(rate) * jnp.sqrt(far))
    total = root + rate * t
    rest = p * (p / total) + (rate / total) * near - (rate / total) * t * (a * t)
    return jnp.where(ahead, -(p + rest) / rate, along - y)


def _log_density(gig: Array, gaps: Gaps, psi: Array, products: InnerProducts) -> Array:
    """From ``psi + sqrt(ab)``, posterior less prior."""
    _, a, b = gig
    quadratic, cross, skew, across = products
    # What is left, cross less the difference of these roots.
    prior = jnp.sqrt(a * b)
    roots = prior + jnp.sqrt((a + skew) * (b + quadratic))
    product = a * quadratic + b * skew + quadratic * skew
    exponent = cross - product / jnp.where(roots > 0, roots, 1.0)
    # Where Σ is small against γ the two are large and close. With the row's part
    # along γ, t γ, and the one across it, the difference is a quotient of terms
    # of one sign.
    t = slope_along(cross, skew)
    rest = a * t**2 + b
    steep = cross > 10
    middle = jnp.where(steep, rest + 2 * t * prior, 1.0)
    gap = skew * (a * t**2 - b) ** 2 / middle
    gap = gap + (a + skew) * across
    exponent = jnp.where(steep, -gap / jnp.where(steep, roots + cross, 1.0), exponent)
    constant = -0.5 * gaps.d * _LOG_2PI - 0.5 * gaps.log_det
    return constant + exponent + psi


def posterior_means(
    law: Law, X: Float[Array, "n d"], backend: str
) -> tuple[Array, Array, Array]:
    """``E[log Y]``, ``E[1/Y]`` and ``E[Y]`` of every row; differentiable."""
    return gig_means(*posterior_laws(law, X), backend=backend)


def posterior_laws(law: Law, X: Float[Array, "n d"]) -> list[Float[Array, " n"]]:
    """``(p, a, b)`` of Y given every row."""
    products = law.dispersion.inner_products(X - law.mu, law.gamma)
    return jnp.broadcast_arrays(*posterior_of(law, products, law.mu.shape[0]))


# -- the pieces of an E-step ---------------------------------------------------------


class Gaps(NamedTuple):
    """Rows less μ, completed where they have missing entries; of one pattern.

    ``gamma``, ``log_det`` and ``d``: γ, ``log |Σ|`` and the number of columns, as far
    as they matter to what is seen. ``mask`` and ``left``: see :class:`Seen`; None where
    all is seen.
    """

    rows: Float[Array, "n d"]
    gamma: Float[Array, " d"]
    log_det: Float[Array, ""]
    d: Any
    mask: Bool[Array, " d"] | None = None
    left: Array | None = None


def gaps_of(
    law: Law, X: Float[Array, "n d"], mask: Bool[Array, " d"] | None = None
) -> Gaps:
    """Of rows of which the columns in ``mask`` are seen; None stands for all."""
    rows, dispersion = X - law.mu, law.dispersion
    if mask is None:
        return Gaps(rows, law.gamma, dispersion.log_det(), law.mu.shape[0])
    seen = dispersion.seen(mask, rows, law.gamma)
    size = mask.sum().astype(rows.dtype)
    return Gaps(seen.rows, seen.gamma, seen.log_det, size, mask, seen.left)


class RowProducts(NamedTuple):
    """What the first piece hands to the last: see :class:`InnerProducts`."""

    quadratic: Float[Array, " n"]
    cross: Float[Array, " n"]
    across: Float[Array, " n"]
    skew: Float[Array, ""]


def gaps_of_rows(
    law: Law, X: Float[Array, "n d"]
) -> tuple[Gaps, tuple[Array, Array, Array]]:
    """Of rows in which NaN is a missing entry, each by itself; and their laws of Y.

    Every field has an axis of rows in front.
    """

    def of_row(x, seen):
        gaps = gaps_of(law, jnp.where(seen, x, law.mu)[None], seen)
        products = law.dispersion.inner_products(gaps.rows, gaps.gamma)
        p, a, b = posterior_of(law, products, gaps.d)
        return gaps, (p, a, b[0])

    return jax.vmap(of_row)(X, ~jnp.isnan(X))


def expected(
    law: Law, gaps: Gaps, means: PosteriorMeans, weight: Float[Array, ""]
) -> MixtureStatistics:
    """Sums over rows, by weight, of the expected statistics of ``X - μ``."""
    zero = jnp.zeros_like(law.mu)
    eta = law.dispersion.collect(gaps.rows, zero, gaps.gamma, means)
    if gaps.mask is None or gaps.left is None:
        return eta
    kappa = law.gamma - gaps.gamma
    return law.dispersion.completed(eta, gaps.mask, kappa, gaps.left, weight)


def row_products(
    law: Law,
    X: Float[Array, "n d"],
    gaps: Gaps,
    weights: Float[Array, " n"] | None,
) -> tuple[RowProducts, Query, Float[Array, " d_and_1"]]:
    """Inner products of rows, the laws that a table has to cover, and the nearest row.

    Rows of weight 0 do not count.
    """
    products = law.dispersion.inner_products(gaps.rows, gaps.gamma)
    # A row that is μ itself may have an infinite weight E[1/Y]. It enters as a
    # limit: so near that no density with a peak tells the difference, and with a
    # weight that is finite.
    least = jnp.finfo(gaps.rows.dtype).tiny ** 0.75 * typical_value(*law.gig)
    quadratic = jnp.maximum(products.quadratic, least)
    counts = True if weights is None else weights > 0
    distance = jnp.where(counts, quadratic, jnp.inf)
    first = jnp.argmin(distance)
    # What does not count must have moments all the same, to be multiplied by 0.
    quadratic = jnp.where(counts, quadratic, quadratic[first])
    parts = RowProducts(quadratic, products.cross, products.across, products.skew)
    p, a, b = posterior_of(law, parts, gaps.d)
    asked = query((p[None], a[None], b[None]), law.gig[:, None])
    nearest, row = law.gig[2] + distance[first], X[first]
    if gaps.mask is not None:
        # What is seen of a row is at a pole only if that has one.
        nearest = jnp.where(p < 0, nearest, jnp.inf)
        row = jnp.where(gaps.mask, row, law.mu + gaps.rows[first])
    return parts, asked, jnp.append(nearest, row)


def posterior_of(
    law: Law, parts: RowProducts | InnerProducts, d: Any
) -> tuple[Array, Array, Array]:
    """``(p, a, b)`` of Y given rows, of which ``d`` columns are seen."""
    p, a, b = law.gig
    return p - 0.5 * d, a + parts.skew, b + parts.quadratic


def means_by_table(
    law: Law, parts: RowProducts, d: Any, table: Table
) -> tuple[Array, ...]:
    """Log-partitions and moments of the rows' laws, interpolated."""
    p, a, b = posterior_of(law, parts, d)
    found = gig_means_by_table(table, p[None], a[None], b[None])
    return tuple(x[0] for x in found)


def log_densities(
    law: Law, gaps: Gaps, psi: Float[Array, " n"], parts: RowProducts
) -> Float[Array, " n"]:
    """Of rows, from their log-partitions."""
    products = InnerProducts(parts.quadratic, parts.cross, parts.skew, parts.across)
    return _log_density(law.gig, gaps, psi, products)


def collected(
    law: Law,
    gaps: Gaps,
    weights: Float[Array, " n"] | None,
    parts: RowProducts,
    near: Float[Array, " d_and_1"],
    found: tuple[Array, ...],
    own: Float[Array, " 3"],
    frame: Frame,
) -> Swept:
    """Sums over rows, ``found`` being their log-partitions and moments.

    ``own``: the moments of the mixing law itself.
    """
    psi, log_y, inv_y, y = found
    means = PosteriorMeans(log_y, inv_y, y, weights)
    log_density = log_densities(law, gaps, psi, parts)
    n = jnp.asarray(gaps.rows.shape[0], gaps.rows.dtype)
    weight = n if weights is None else weights.sum()
    eta = expected(law, gaps, means, weight)
    of_y = means.total(log_density), weight, eta.E_log_Y, eta.E_inv_Y, eta.E_Y
    # By weight as all sums. What is infinite, no score asks for.
    own = weight * jnp.where(jnp.isfinite(own), own, 0.0)
    return Swept(jnp.append(jnp.stack(of_y), own), frame.tail(eta), near)


def swept_rows(
    law: Law,
    X: Float[Array, "n d"],
    weights: Float[Array, " n"] | None,
    frame: Frame,
    backend: str,
) -> Swept:
    """The whole E-step as one function of arrays.

    The statistics are those of ``X - μ``: near a row that coincides with μ its
    weight ``E[1/Y]`` is enormous, and only its distance to μ must be, too.
    """
    gaps = gaps_of(law, X)
    parts, _, near = row_products(law, X, gaps, weights)
    means = gig_means_cpu if backend == "cpu" else gig_means_shared
    found, own = means(posterior_of(law, parts, gaps.d), tuple(law.gig))
    return collected(law, gaps, weights, parts, near, found, own, frame)


def joined(a: Swept, b: Swept) -> Swept:
    """The same of both sets of rows together."""
    near = jnp.where(a.near[0] <= b.near[0], a.near, b.near)
    return Swept(a.head + b.head, a.tail + b.tail, near)
