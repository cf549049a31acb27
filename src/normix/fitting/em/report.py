"""What a fit prints."""

from __future__ import annotations

from typing import TYPE_CHECKING

import jax

from normix.fitting.em.drive import Iteration
from normix.fitting.em.outcome import Outcome
from normix.fitting.em.result import EMResult

if TYPE_CHECKING:
    from normix.fitting.em.batch import BatchEMFitter

_RULE = "=" * 60
_CLOSING = {
    Outcome.CONVERGED: "Converged after",
    Outcome.USED_UP: "Not converged after",
    Outcome.UNBOUNDED: "Likelihood unbounded, ended after",
    Outcome.DIVERGED: "Diverged after",
    Outcome.INTERRUPTED: "Interrupted after",
}


class Report:
    """Prints a header, rows and a closing line, as far as ``verbose`` asks for them.

    Of several processes that share a fit, only the first prints.
    """

    def __init__(self, verbose: int):
        self.verbose = verbose if jax.process_index() == 0 else 0

    def header(self, family: str, fitter: BatchEMFitter) -> None:
        if self.verbose < 1:
            return
        lines = {
            "Algorithm": fitter.algorithm.upper(),
            "Accelerate": fitter.acceleration,
            "E-step": fitter.e_step_backend,
            "M-step": f"{fitter.m_step_backend} / {fitter.m_step_method}",
            "Regularize": fitter.regularization,
            "Tolerance": f"{fitter.tol:.1e}",
            "Max iters": fitter.max_iter,
        }
        print(_RULE, f"EM Fitting: {family}", _RULE, sep="\n")
        for name, value in lines.items():
            print(f"{name:<10} : {value}")
        if self.verbose >= 2:
            print(f"{'iteration':>9}  {'mean log-lik':>15}  {'change':>10}")

    def row(self, at: Iteration) -> None:
        """One row for each iteration."""
        if self.verbose >= 2:
            print(f"{at.n_iter:>9}  {at.log_likelihood:>15.8f}  {at.criterion:>10.3e}")

    def starts(self, result: EMResult) -> None:
        """One row for each start of a fit with several."""
        every = result.starts
        if self.verbose < 1 or every is None:
            return
        print(f"{'start':>9}  {'mean log-lik':>15}  {'iterations':>10}")
        rows = zip(every.log_likelihood, every.n_iter, strict=True)
        for k, (log_likelihood, n_iter) in enumerate(rows):
            print(f"{k:>9}  {float(log_likelihood):>15.8f}  {int(n_iter):>10}")

    def closing(self, result: EMResult) -> None:
        if self.verbose < 1:
            return
        print(
            f"{_CLOSING[result.outcome]} {result.n_iter} iterations "
            f"({result.elapsed_time:.2f}s), final LL={result.log_likelihood:.6f}"
        )
