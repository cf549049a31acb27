r"""Means and covariances of ``(log Y, 1/Y, Y)`` for many GIG laws, by one sum.

:func:`normix.special.gig.gig_cumulants` gives them, and their derivatives, to all
digits for all laws: a large program. Here they are for laws within the family,
``a, b > 0``, and without derivatives: the moments about the mode of ``log Y`` that
:func:`~normix.special.gig_sum.about_mode` sums, and integration by parts.
"""

from __future__ import annotations

import jax.numpy as jnp
from jaxtyping import Array, Float

from normix.special.gig_sum import about_mode

Real = Float[Array, "..."]


def gig_spread(
    p: Real, a: Real, b: Real
) -> tuple[Float[Array, "3 ..."], Float[Array, "3 3 ..."]]:
    """``E`` and ``Cov`` of ``(log Y, 1/Y, Y)``, ``Y ~ GIG(p, a, b)``, of one shape.

    To all digits, but for the variances of ``Y`` and ``1/Y``: one of them, that of
    ``1/Y`` if ``p > 0``, to about ``eps (1 + p²/ab)`` in relation to itself.
    """
    negative, q = p < 0, jnp.abs(p)
    log_z = 0.5 * (jnp.log(a) + jnp.log(b))
    at = about_mode(q, log_z, all_moments=True)
    assert at.above is not None and at.square is not None
    assert at.u_above is not None and at.u_below is not None
    minus = jnp.exp(2 * log_z - jnp.log(at.plus))
    # Of u = log(Y/mode), e^{-u} and e^u. With ∫ (e^{±u} e^{-D(u)})' du = 0 the second
    # moments of Y and 1/Y follow from the first.
    above, below = at.above, at.below
    var_up = (2 + 2 * (q + 1) * above) / at.plus - above * (2 + above)
    var_down = (2 + 2 * (1 - q) * below) / minus - below * (2 + below)
    log_up, log_down = at.u_above - at.u * above, at.u_below - at.u * below
    between = -(above + below + above * below)
    var_log = at.square - at.u * at.u
    # Y -> 1/Y for negative orders.
    log_mode = jnp.log(at.plus) - log_z
    turn = jnp.where(negative, -1.0, 1.0)
    up, down = (jnp.where(negative, x, y) for x, y in ((below, above), (above, below)))
    var_up, var_down = (
        jnp.where(negative, x, y) for x, y in ((var_down, var_up), (var_up, var_down))
    )
    log_up, log_down = (
        turn * jnp.where(negative, x, y)
        for x, y in ((log_down, log_up), (log_up, log_down))
    )
    mode = jnp.exp(turn * log_mode + 0.5 * (jnp.log(b) - jnp.log(a)))
    means = jnp.stack([jnp.log(mode) + turn * at.u, (1 + down) / mode, (1 + up) * mode])
    unit = jnp.stack([jnp.ones_like(mode), 1 / mode, mode])
    rows = [
        [var_log, log_down, log_up],
        [log_down, var_down, between],
        [log_up, between, var_up],
    ]
    covariances = jnp.stack([jnp.stack(row) for row in rows])
    return means, covariances * unit[:, None] * unit
