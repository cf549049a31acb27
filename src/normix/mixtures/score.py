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

from normix.mixtures.coordinates import Moving, at_coordinates
from normix.mixtures.law import Frame, Law, Swept
from normix.special._mode import typical_value


def score(
    at: Law,
    swept: Swept,
    frame: Frame,
    point: Float[Array, " k"],
    moving: Moving,
    unit: Float[Array, " d"],
) -> Float[Array, " k"]:
    """The gradient of the mean log-likelihood at ``point``, the coordinates of ``at``.

    They are those of :func:`~normix.mixtures.coordinates.coordinates`, of ``X/unit``;
    ``swept`` is the E-step at ``at``. What is fixed, such as an argument that is 0 in a
    limit, has the derivative 0.
    """
    eta = frame.means(swept)
    _, a, b = at.gig
    own_log_y, own_inv_y, own_y = swept.head[5:] / swept.head[1]
    excess = jnp.stack(
        [
            eta.E_log_Y - own_log_y,
            # At the limits, where these may be infinite, a or b does not move.
            -0.5 * jnp.where(a > 0, eta.E_Y - own_y, 0.0),
            -0.5 * jnp.where(b > 0, eta.E_inv_Y - own_inv_y, 0.0),
        ]
    )
    given_y = at.dispersion.gradient(eta, jnp.zeros_like(at.mu), at.gamma)
    # From the point's law to that of the E-step, in its units of X and of Y, every
    # parameter is multiplied by a number: so is its slope, on the way back.
    slopes = Law(*given_y, excess).in_units(unit).rescaled(typical_value(*at.gig))
    return jax.vjp(lambda c: at_coordinates(at, c, moving), point)[1](slopes)[0]
