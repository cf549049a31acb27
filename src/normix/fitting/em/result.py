"""What a fit returns."""

from __future__ import annotations

from typing import Any

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, Float

from normix.mixtures.marginal import MarginalMixture


class EMResult(eqx.Module):
    """The outcome of an EM fit: a frozen record and a pytree.

    - ``model``: the fitted model; the last finite one if a step failed.
    - ``log_likelihoods``: the mean log-likelihood after each iteration, or None when
      neither ``verbose >= 1`` nor ``track_ll`` asked for it.
    - ``param_changes``: the parameter change of each iteration, or None.
    - ``n_iter``: iterations done.
    - ``converged``: whether the change fell to ``tol``.
    - ``elapsed_time``: seconds, compilation included (NaN inside ``jit``).
    - ``log_likelihood``: the mean log-likelihood of ``model``.
    - ``diverged``: whether a step was not finite and was refused.
    - ``criteria``: what was compared with ``tol`` in each iteration: the larger of the
      parameter change and the same with every column in units of its standard
      deviation; None as the other histories.
    - ``interrupted``: whether Ctrl-C ended the fit.

    Inside ``jit`` or ``vmap`` every field is an array, and the histories have
    ``max_iter`` entries, NaN after the last iteration.
    """

    model: MarginalMixture
    log_likelihoods: Float[Array, " n_iter"] | None
    param_changes: Float[Array, " n_iter"] | None
    n_iter: Any
    converged: Any
    elapsed_time: Any
    log_likelihood: Any
    diverged: Any
    criteria: Float[Array, " n_iter"] | None
    interrupted: bool = eqx.field(static=True, default=False)

    @property
    def message(self) -> str:
        """Why the fit ended, in words; for a batch of fits, how many ended how."""
        if jnp.ndim(self.converged):
            converged, diverged = int(self.converged.sum()), int(self.diverged.sum())
            rest = self.converged.size - converged - diverged
            return f"{converged} converged, {diverged} diverged, {rest} not converged"
        if self.interrupted:
            return "interrupted: the model is that of the last complete iteration"
        if self.diverged:
            return (
                "diverged: a step was not finite; the model is that of the last "
                "finite iteration"
            )
        if self.converged:
            return "converged: the parameter change fell to the tolerance"
        return "not converged: the iterations were used up"
