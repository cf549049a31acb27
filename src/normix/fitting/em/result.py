"""What a fit returns."""

from __future__ import annotations

from typing import Any

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, Float


class EMResult(eqx.Module):
    """The outcome of an EM fit: a frozen record and a pytree.

    - ``model``: the fitted model; the last accepted one if a step failed.
    - ``log_likelihoods``: the mean log-likelihood after each iteration, or None when
      neither ``verbose >= 1`` nor ``track_ll`` asked for it.
    - ``param_changes``: the parameter change of each iteration, or None.
    - ``n_iter``: iterations done: E-steps after the first.
    - ``converged``: whether the change fell to ``tol``; None for incremental fits,
      which make as many steps as they are asked for.
    - ``elapsed_time``: seconds, compilation included (NaN inside ``jit``).
    - ``log_likelihood``: the mean log-likelihood of ``model``.
    - ``diverged``: whether a step was refused because it was not finite or lowered
      the log-likelihood.
    - ``unbounded``: whether the likelihood grows without bound around ``model``, whose
      location has been drawn onto one or several equal observations.
    - ``ties``: the size of the largest group of equal observations; None where they are
      not all at hand: inside ``jit``, in chunks, on several devices. Where it is more
      than 1, the likelihood of a variance gamma or generalized hyperbolic model that
      ``alpha_min`` does not bound is unbounded, and what a fit converges to is a local
      maximum.
    - ``criteria``: what was compared with ``tol`` in each iteration: the larger of the
      parameter change, the same with every column in units of its standard
      deviation, and √(2 gain) of the log-likelihood; None as the histories.
    - ``starts``: of a fit with several starts the results of all, each field with an
      axis of starts in front; else None.
    - ``bounded``: whether ``alpha_min`` kept the likelihood bounded, or a fixed order.
    - ``interrupted``: whether Ctrl-C ended the fit.

    Inside ``jit`` or ``vmap`` every field is an array, and the histories have
    ``max_iter`` entries, NaN after the last iteration.
    """

    model: Any  # a MarginalMixture, of the class that was fitted
    log_likelihoods: Float[Array, " n_iter"] | None
    param_changes: Float[Array, " n_iter"] | None
    n_iter: Any
    converged: Any
    elapsed_time: Any
    log_likelihood: Any
    diverged: Any
    unbounded: Any
    criteria: Float[Array, " n_iter"] | None
    ties: int | None = eqx.field(static=True, default=None)
    starts: EMResult | None = None
    bounded: bool = eqx.field(static=True, default=False)
    interrupted: bool = eqx.field(static=True, default=False)

    @property
    def boundary(self) -> str | None:
        """The family on the boundary of this model's own that the fit ended in.

        "variance gamma" or "skew t" for a generalized hyperbolic model with ``b = 0``
        or ``a = 0``, None in the interior and for other families.
        """
        subordinator = self.model.joint.subordinator
        if not subordinator.has_order or jnp.ndim(self.n_iter):
            return None
        _, a, b = subordinator.gig_params()
        if float(b) == 0:
            return "variance gamma"
        return "skew t" if float(a) == 0 else None

    @property
    def message(self) -> str:
        """Why the fit ended, in words; for a batch of fits, how many ended how."""
        if self.converged is None:
            refused = "; some were refused" if jnp.any(self.diverged) else ""
            return f"{self.n_iter} steps done{refused}"
        if jnp.ndim(self.converged):
            counts = {
                name: int(getattr(self, name).sum())
                for name in ("converged", "diverged", "unbounded")
            }
            rest = self.converged.size - sum(counts.values())
            listed = ", ".join(f"{count} {name}" for name, count in counts.items())
            return f"{listed}, {rest} not converged"
        if self.interrupted:
            return "interrupted: the model is that of the last complete iteration"
        if self.unbounded:
            one = self.ties in (None, 1)
            group = "" if one else f", or equal ones (there are up to {self.ties}),"
            return (
                f"unbounded: the likelihood has no maximum here; an observation{group} "
                "drew the location onto a pole of the density. Bound the shape from "
                "below by "
                'alpha_min (alpha_min="density"), or choose a family without poles '
                "(normal inverse Gaussian, skew t)"
            )
        if self.diverged:
            return (
                "diverged: a step was not finite or lowered the likelihood; the model "
                "is that of the last accepted iteration"
            )
        if self.converged:
            edge = self.boundary
            where = f", on the boundary: a {edge} law" if edge else ""
            done = f"converged: the parameter change fell to the tolerance{where}"
            return done + self._caveat()
        return "not converged: the iterations were used up"

    def _caveat(self) -> str:
        """What to know of a maximum beside which the likelihood is unbounded."""
        has_pole = self.model.joint.subordinator.bounded_below
        if not has_pole or self.bounded or self.ties in (None, 1):
            return ""
        return (
            f"; a local maximum: {self.ties} observations are equal, and with a shape "
            f"below {0.5 * self.model.d:g} and the location there the likelihood is "
            "unbounded (alpha_min excludes that)"
        )
