"""What a fit of a finite mixture returns."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import equinox as eqx
import numpy as np
from jaxtyping import Array, ArrayLike, Float

from normix.fitting.em.outcome import Outcome
from normix.mixtures.finite import FiniteMixture

if TYPE_CHECKING:
    from normix.uncertainty.inference import Inference


class FiniteMixtureResult(eqx.Module):
    """The outcome of a fit of a :class:`~normix.FiniteMixture`: a frozen record.

    - ``model``: the fitted model, of the class that was fitted.
    - ``log_likelihoods``: the mean log-likelihood after each iteration, or None when
      neither ``verbose >= 1`` nor ``track_ll`` asked for it.
    - ``n_iter``: iterations done: E-steps after the first.
    - ``elapsed_time``: seconds, compilation included.
    - ``log_likelihood``: the mean log-likelihood of ``model``.
    - ``outcome``: an :class:`~normix.Outcome`, why the fit ended.
    - ``at_bound``: the components that a bound holds, which would have vanished or
      shrunk onto a few rows without it; by number, mostly none.
    - ``n_obs``: how many observations there were, by weight.
    - ``left_out``: how many rows were left out for what they lack; ``missing_share``:
      of the entries of the others, how many are missing.
    - ``symmetric``: whether γ was held at 0.
    """

    model: FiniteMixture
    log_likelihoods: Float[Array, " n_iter"] | None
    n_iter: int
    elapsed_time: float
    log_likelihood: float
    outcome: Outcome = eqx.field(static=True)
    at_bound: tuple[int, ...] = eqx.field(static=True, default=())
    n_obs: float = np.nan
    left_out: int = eqx.field(static=True, default=0)
    missing_share: float = eqx.field(static=True, default=0.0)
    symmetric: bool = eqx.field(static=True, default=False)

    @property
    def converged(self) -> bool:
        """Whether no more than ``tol`` of log-likelihood was to be gained."""
        return self.outcome == Outcome.CONVERGED

    @property
    def diverged(self) -> bool:
        """Whether a step was not finite or lowered the likelihood."""
        return self.outcome == Outcome.DIVERGED

    @property
    def unbounded(self) -> bool:
        """Whether an observation drew a component onto a pole of its density."""
        return self.outcome == Outcome.UNBOUNDED

    @property
    def interrupted(self) -> bool:
        """Whether Ctrl-C ended the fit."""
        return self.outcome == Outcome.INTERRUPTED

    @property
    def n_parameters(self) -> int:
        """The free parameters: those of the components, and ``k - 1`` weights."""
        held = self.model.k * self.model.d if self.symmetric else 0
        return self.model.n_parameters - held

    @property
    def aic(self) -> float:
        """Akaike's criterion: less is better."""
        return 2 * self.n_parameters - 2 * self._total

    @property
    def bic(self) -> float:
        """Schwarz's criterion: less is better."""
        return float(np.log(self.n_obs)) * self.n_parameters - 2 * self._total

    @property
    def _total(self) -> float:
        return self.n_obs * self.log_likelihood

    @property
    def message(self) -> str:
        """Why the fit ended, in words."""
        told = self.outcome.prose
        if self.at_bound:
            which = ", ".join(map(str, self.at_bound))
            one = len(self.at_bound) == 1
            told += (
                f"; component{'' if one else 's'} {which} at a bound: without it "
                f"{'it' if one else 'they'} would vanish or shrink onto a few rows; "
                "fewer components, or another start, may serve better"
            )
        return told

    def __repr__(self) -> str:
        weights = ", ".join(f"{w:.3g}" for w in np.asarray(self.model.weights))
        lines = [
            f"{type(self.model).__name__} fit, {self.model.k} components",
            f"  ended:           {self.message}",
            f"  weights:         {weights}",
            f"  observations:    {self.n_obs:g}",
            f"  log-likelihood:  {self._total:.6g}, {self.log_likelihood:.6g} an "
            "observation",
            f"  parameters:      {self.n_parameters}",
            f"  AIC, BIC:        {self.aic:.6g}, {self.bic:.6g}",
            f"  iterations:      {self.n_iter} in {self.elapsed_time:.3g} s",
        ]
        return "\n".join(lines)

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

        ``X`` and ``weights`` are those of the fit. Whether it had missing entries is
        known, unless ``missing`` says otherwise.

        **Raises**: ``ValueError`` where a bound holds a component, and as
        :func:`normix.inference`.
        """
        from normix.uncertainty.inference import inference  # the layer above

        if self.at_bound:
            which = ", ".join(map(str, self.at_bound))
            raise ValueError(
                f"a bound holds component {which}, and the likelihood has no maximum "
                "there: there are no standard errors"
            )
        if missing is None:
            missing = "drop" if self.left_out else "raise"
            missing = "em" if self.missing_share else missing
        how = {"symmetric": self.symmetric, "columns": columns, "missing": missing}
        return inference(self.model, X, weights, cov_type, **how)
