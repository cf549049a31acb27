"""What a fit returns."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, ArrayLike, Float

from normix._arrays import is_traced
from normix.fitting.em.outcome import Outcome
from normix.fitting.em.poles import caveat
from normix.mixtures.charted import n_parameters

if TYPE_CHECKING:
    from normix.uncertainty.inference import Inference

_LIMITS = {
    "normal": "a normal law",
    "mixing": "the mixing law itself, with Σ vanishing beside γγᵀ",
    "variance gamma": "a variance gamma law",
    "skew t": "a skew t law",
}


class EMResult(eqx.Module):
    """The outcome of an EM fit: a frozen record and a pytree.

    - ``model``: the fitted model; the last accepted one if a step failed.
    - ``log_likelihoods``: the mean log-likelihood after each iteration, or None when
      neither ``verbose >= 1`` nor ``track_ll`` asked for it.
    - ``param_changes``: the parameter change of each iteration, or None.
    - ``n_iter``: iterations done: E-steps after the first; where a fit went on from row
      to row, or by way of a family within, those of all its fits.
    - ``converged``: whether no more than ``tol`` was to be gained; None for
      incremental fits, which make as many steps as they are asked for.
    - ``elapsed_time``: seconds, compilation included (NaN inside ``jit``).
    - ``log_likelihood``: the mean log-likelihood of ``model``.
    - ``outcome``: an :class:`Outcome`, why the fit ended; ``converged``,
      :attr:`diverged`, :attr:`unbounded`, :attr:`interrupted` and :attr:`message` are
      read from it.
    - ``ties``: the size of the largest group of equal observations, where one of six
      times the weight is six; None where they are not all at hand, or where neither the
      family nor how the fit ended makes it matter.
    - ``criteria``: what was compared with ``tol`` in each iteration. Of a quasi-Newton
      fit: the log-likelihood still to be gained, over all rows. Of others: the largest
      of that, the parameter change, the same with every column in units of its
      standard deviation, and √(2 gain) of the mean log-likelihood. 0 where a proposal
      was refused. None as the histories.
    - ``starts``: of a fit with several starts the results of all, each field with an
      axis of starts in front; else None.
    - ``edge``: see :attr:`boundary`.
    - ``n_obs``: how many observations there were, by weight.
    - ``left_out``: how many rows were left out for what they lack; ``missing_share``:
      of the entries of the others, how many are missing.
    - ``held``: what the fit held, of "mu", "p" and "gamma"; ``alpha_min``: its bound.
    - ``bounded``: whether ``alpha_min`` kept the likelihood bounded, or a fixed order.

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
    outcome: Any
    criteria: Float[Array, " n_iter"] | None = None
    ties: int | None = eqx.field(static=True, default=None)
    starts: EMResult | None = None
    bounded: bool = eqx.field(static=True, default=False)
    edge: str | None = eqx.field(static=True, default=None)
    n_obs: Any = None
    left_out: int = eqx.field(static=True, default=0)
    missing_share: float = eqx.field(static=True, default=0.0)
    held: tuple[str, ...] = eqx.field(static=True, default=())
    alpha_min: float | None = eqx.field(static=True, default=None)

    @property
    def diverged(self) -> Any:
        """Whether a step was refused: it was not finite or lowered the likelihood."""
        return (self.outcome == Outcome.DIVERGED) | (
            self.outcome == Outcome.STEPS_REFUSED
        )

    @property
    def unbounded(self) -> Any:
        """Whether the likelihood grows without bound around ``model``.

        Its location has been drawn onto one or several equal observations.
        """
        return self.outcome == Outcome.UNBOUNDED

    @property
    def interrupted(self) -> Any:
        """Whether Ctrl-C ended the fit."""
        return self.outcome == Outcome.INTERRUPTED

    @property
    def boundary(self) -> str | None:
        """The limit of its family that the fit has ended in; None for none.

        - "normal": the variance of Y vanishes, or the law is no better than the normal
          one with the data's mean and covariance, by .01 of log-likelihood.
        - "mixing": Σ vanishes beside γγᵀ, so that Y is a function of X; X in one
          dimension has the law of ``μ + γY`` itself.
        - "variance gamma", "skew t": of a generalized hyperbolic model, ``b = 0`` or
          ``a = 0``.

        ``model`` is finite, and in digits of its likelihood at the limit.
        """
        return self.edge

    @property
    def n_parameters(self) -> int:
        """The free parameters: without those that were held or are redundant.

        A limit that the fit has ended in takes none away.
        """
        return n_parameters(self.model.joint, self.held)

    @property
    def aic(self) -> Any:
        """Akaike's criterion: less is better."""
        return 2 * self.n_parameters - 2 * self._total

    @property
    def bic(self) -> Any:
        """Schwarz's criterion: less is better."""
        return np.log(self.n_obs) * self.n_parameters - 2 * self._total

    @property
    def _total(self) -> Any:
        return self.n_obs * self.log_likelihood

    def __repr__(self) -> str:
        lines = [
            f"{type(self.model).__name__} fit",
            f"  ended:           {self.message}",
        ]
        if not jnp.ndim(self.outcome) and not is_traced(self):
            total, mean = float(self._total), float(self.log_likelihood)
            lines += [
                f"  observations:    {float(self.n_obs):g}{self._gaps}",
                f"  log-likelihood:  {total:.6g}, {mean:.6g} an observation",
                f"  parameters:      {self.n_parameters}",
                f"  AIC, BIC:        {float(self.aic):.6g}, {float(self.bic):.6g}",
                f"  iterations:      {int(self.n_iter)} in "
                f"{float(self.elapsed_time):.3g} s",
            ]
        return "\n".join(lines)

    @property
    def _missing(self) -> str:
        """What the fit did about missing entries, if there were any."""
        if self.missing_share:
            return "em"
        return "drop" if self.left_out else "raise"

    @property
    def _gaps(self) -> str:
        """What is missing, in words."""
        left_out = f", {self.left_out} left out" if self.left_out else ""
        if not self.missing_share:
            return left_out
        return f"{left_out}; {100 * self.missing_share:.3g}% of their entries missing"

    def inference(
        self,
        X: ArrayLike,
        weights: Float[ArrayLike, " n"] | None = None,
        cov_type: str = "observed",
        *,
        columns: Sequence[str] | None = None,
        missing: str | None = None,
    ) -> Inference:
        """Standard errors, intervals and what follows; see :func:`normix.inference`.

        ``X`` and ``weights`` are those of the fit. What it held is known, and whether
        it had missing entries, which ``missing`` says otherwise.
        """
        from normix.uncertainty.inference import inference  # the layer above

        return inference(
            self.model,
            X,
            weights,
            cov_type,
            fix=[name for name in self.held if name != "gamma"],
            symmetric="gamma" in self.held,
            alpha_min=self.alpha_min,
            boundary=self.edge,
            columns=columns,
            missing=self._missing if missing is None else missing,
        )

    @property
    def message(self) -> str:
        """Why the fit ended, in words; for a batch of fits, how many ended how."""
        if jnp.ndim(self.outcome):
            codes, counts = np.unique(np.asarray(self.outcome), return_counts=True)
            named = zip(codes.astype(int), counts, strict=True)
            return ", ".join(f"{count} {Outcome(code).word}" for code, count in named)
        outcome = Outcome(int(self.outcome))
        if outcome in (Outcome.STEPS_DONE, Outcome.STEPS_REFUSED):
            return f"{self.n_iter} {outcome.prose}"
        if outcome == Outcome.UNBOUNDED and self.ties not in (None, 1):
            return f"{outcome.prose}; up to {self.ties} observations are equal"
        if outcome == Outcome.CONVERGED:
            where = f", in a limit: {_LIMITS[self.edge]}" if self.edge else ""
            return outcome.prose + where + caveat(self.model, self.bounded, self.ties)
        return outcome.prose
