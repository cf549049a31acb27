"""Fits one after the other, which count as one."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import jax
import numpy as np

from normix.fitting.em.drive import Iteration
from normix.fitting.em.outcome import AT_REST, Outcome
from normix.fitting.em.result import EMResult

Told = Callable[[Iteration], object]


class Fits:
    """Fits one after the other, and the best of them."""

    def __init__(self, first: EMResult):
        self.best, self.n_iter = first, int(first.n_iter)
        self._histories = [self._history(first)]

    def add(self, fit: EMResult) -> None:
        """Another fit; it is the best where it is higher, and at rest or cut short."""
        sound = fit.outcome in (*AT_REST, Outcome.INTERRUPTED)
        higher = sound and fit.log_likelihood > self.best.log_likelihood
        values, *others = self._history(fit)
        if values is not None:
            reached = np.full(len(values), float(self.best.log_likelihood))
            values = np.maximum(reached, values) if higher else reached
        self._histories.append((values, *others))
        self.n_iter += int(fit.n_iter)
        if higher:
            self.best = fit
        elif fit.interrupted:
            self.best = _with_outcome(self.best, Outcome.INTERRUPTED)

    def counting(self, told: Told) -> Told:
        """What tells of the next fit, as of a part of this one."""
        before, best = self.n_iter, float(self.best.log_likelihood)

        def tell(at: Iteration) -> None:
            value = max(at.log_likelihood, best)
            told(at._replace(n_iter=before + at.n_iter, log_likelihood=value))

        return tell

    def ended(self, outcome: Outcome) -> EMResult:
        """The best, with the iterations of all."""
        columns = [
            None if any(part is None for part in column) else np.concatenate(column)
            for column in zip(*self._histories, strict=True)
        ]
        ll, changes, criteria = (
            None if column is None else jax.device_put(column) for column in columns
        )
        return dataclasses.replace(
            _with_outcome(self.best, outcome),
            n_iter=self.n_iter,
            log_likelihoods=ll,
            param_changes=changes,
            criteria=criteria,
        )

    @staticmethod
    def _history(fit: EMResult) -> tuple:
        every = fit.log_likelihoods, fit.param_changes, fit.criteria
        return tuple(None if x is None else np.asarray(x) for x in every)


def _with_outcome(fit: EMResult, outcome: Outcome) -> EMResult:
    converged = outcome == Outcome.CONVERGED
    return dataclasses.replace(fit, outcome=outcome, converged=converged)
