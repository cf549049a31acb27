"""Batch EM: every iteration sweeps all of the data."""

from __future__ import annotations

import time
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, ArrayLike, Float

from normix._arrays import as_data, check_option, is_traced
from normix.exponential_family import BACKENDS, METHODS, SolverOptions
from normix.fitting.em import loop
from normix.fitting.em.regularization import REGULARIZATIONS
from normix.fitting.em.report import Report
from normix.fitting.em.result import EMResult
from normix.mixtures.initial import check_full_rank
from normix.mixtures.marginal import MarginalMixture, solver_options

ALGORITHMS = ("em",)
# Iterations are handed to the device in blocks that take about this long, so that
# Ctrl-C is answered within it.
_SECONDS_A_BLOCK = 0.25


class BatchEMFitter(eqx.Module):
    """Fits a mixture to an ``(n, d)`` array by the EM algorithm.

    - ``algorithm``: "em".
    - ``max_iter``, ``tol``: stop after so many iterations, or when the parameter
      change falls to ``tol``: the largest over (μ, γ, L_Σ) of
      rms(new - old)/(1 + rms(old)), both in the data's units and with each column in
      units of its standard deviation, which makes it mean the same for returns of
      0.01 as for returns of 1 per cent.
    - ``verbose``: 0 silent, 1 header and closing line, 2 a row an iteration.
    - ``regularization``: "none", or the gauge kept after every M-step:
      "det_sigma_one" (det Σ = 1), "det_sigma_x" (det Σ as in the initial model),
      "a_eq_b".
    - ``e_step_backend``: "jax", or "cpu" for :func:`scipy.special.kve`.
    - ``m_step_backend``, ``m_step_method``: "jax" or "cpu" (SciPy); "newton", "lbfgs"
      or "bfgs", for subordinators without a closed-form M-step.
    - ``track_ll``: keep the histories even when ``verbose`` is 0.
    - ``m_step_kwargs``: ``maxiter`` and ``tol`` of the subordinator's solver.

    The log-likelihood never falls from one iteration to the next.

    **Raises**: ``ValueError`` for an unknown option or a number out of range.

    >>> from normix import BatchEMFitter, NormalInverseGaussian
    >>> from normix.datasets import load_sp500_returns
    >>> X = load_sp500_returns(["AAPL", "XOM"]).values
    >>> fitter = BatchEMFitter(tol=1e-5)
    >>> result = fitter.fit(NormalInverseGaussian.default_init(X), X)
    >>> result.converged
    True
    """

    algorithm: str = eqx.field(static=True, default="em")
    max_iter: int = eqx.field(static=True, default=200)
    tol: float = eqx.field(static=True, default=1e-3)
    verbose: int = eqx.field(static=True, default=0)
    regularization: str = eqx.field(static=True, default="none")
    e_step_backend: str = eqx.field(static=True, default="jax")
    m_step_backend: str = eqx.field(static=True, default="jax")
    m_step_method: str = eqx.field(static=True, default="newton")
    track_ll: bool = eqx.field(static=True, default=False)
    m_step_kwargs: dict[str, Any] | None = eqx.field(static=True, default=None)

    def __init__(
        self,
        *,
        algorithm: str = "em",
        max_iter: int = 200,
        tol: float = 1e-3,
        verbose: int = 0,
        regularization: str = "none",
        e_step_backend: str = "jax",
        m_step_backend: str = "jax",
        m_step_method: str = "newton",
        track_ll: bool = False,
        m_step_kwargs: dict[str, Any] | None = None,
    ):
        check_option("algorithm", algorithm, ALGORITHMS)
        check_option("regularization", regularization, REGULARIZATIONS)
        check_option("e_step_backend", e_step_backend, BACKENDS)
        check_option("m_step_backend", m_step_backend, BACKENDS)
        check_option("m_step_method", m_step_method, METHODS)
        if verbose not in (0, 1, 2):
            raise ValueError(f"verbose must be 0, 1 or 2, got {verbose!r}")
        if max_iter < 1:
            raise ValueError(f"max_iter must be at least 1, got {max_iter}")
        if not tol >= 0:
            raise ValueError(f"tol must not be negative, got {tol}")
        self.algorithm = algorithm
        self.max_iter = max_iter
        self.tol = tol
        self.verbose = verbose
        self.regularization = regularization
        self.e_step_backend = e_step_backend
        self.m_step_backend = m_step_backend
        self.m_step_method = m_step_method
        self.track_ll = track_ll
        self.m_step_kwargs = m_step_kwargs
        self._solver()  # checks them

    def _solver(self) -> SolverOptions:
        """How the subordinator's M-step is solved."""
        return solver_options(
            **{"backend": self.m_step_backend, "method": self.m_step_method}
            | (self.m_step_kwargs or {})
        )

    def _plan(self, model: MarginalMixture) -> loop.Plan:
        # A closed-form M-step has no use for options: the same plan, compiled once.
        closed = model.joint.subordinator.closed_form
        solver = SolverOptions() if closed else self._solver()
        return loop.Plan(self.max_iter, self.e_step_backend, solver)

    def fit(self, model: MarginalMixture, X: Float[ArrayLike, "n d"]) -> EMResult:
        """Fit to the rows of ``X``, shape ``(n, d)``, starting from ``model``.

        Works under ``jit`` and ``vmap``, where nothing is printed. Ctrl-C returns the
        last complete iteration.

        **Raises**: ``ValueError`` for data of another width, fewer than ``d + 1``
        rows, constant columns, NaN or infinite entries.
        """
        start = time.perf_counter()
        X = as_data(X, columns=model.d)
        check_full_rank(X)
        plan = self._plan(model)
        dtype = jnp.result_type(X, model.mu)
        X = X.astype(dtype)
        model = jax.tree.map(lambda leaf: leaf.astype(dtype), model)
        tol = jnp.asarray(self.tol, dtype)
        gauge = jnp.asarray(REGULARIZATIONS.index(self.regularization))
        if is_traced(model, X):
            fitted, state = loop.solve(model, X, tol, gauge, plan)
            return self._result(fitted, state, jnp.asarray(jnp.nan, dtype))

        report = Report(self.verbose)
        report.header(type(model).__name__, self)
        problem, state = loop.init_jit(model, X, tol, gauge, plan.max_iter)
        state, interrupted = _drive(state, X, problem, plan, report)
        fitted = jax.block_until_ready(loop.finish_jit(state, problem))
        elapsed = time.perf_counter() - start
        result = self._result(fitted, state, elapsed, interrupted)
        report.closing(result)
        return result

    def _result(
        self, model, state: loop.State, elapsed, interrupted: bool = False
    ) -> EMResult:
        kept = self.verbose >= 1 or self.track_ll
        scalars = (state.n_iter, state.converged, state.log_likelihood, state.diverged)
        histories = (state.log_likelihoods, state.param_changes, state.criteria)
        if not is_traced(*scalars):
            n = max(int(state.n_iter), 0)
            histories = tuple(history[:n] for history in histories)
            scalars = n, *(leaf.item() for leaf in scalars[1:])
        return EMResult(
            model=model,
            log_likelihoods=histories[0] if kept else None,
            param_changes=histories[1] if kept else None,
            n_iter=scalars[0],
            converged=scalars[1],
            elapsed_time=elapsed,
            log_likelihood=scalars[2],
            diverged=scalars[3],
            criteria=histories[2] if kept else None,
            interrupted=interrupted,
        )


def _drive(
    state: loop.State,
    X: Array,
    problem: loop.Problem,
    plan: loop.Plan,
    report: Report,
) -> tuple[loop.State, bool]:
    """Run to the end in blocks; the last whole state, and whether Ctrl-C ended it."""
    block = 1
    try:
        while bool(state.pending):
            began = time.perf_counter()
            state = jax.block_until_ready(
                loop.advance_jit(state, X, problem, jnp.asarray(block), plan)
            )
            took = time.perf_counter() - began
            report.row(state)
            if not report.every_iteration and took < _SECONDS_A_BLOCK:
                block = min(8 * block, plan.max_iter)
    except KeyboardInterrupt:
        return state, True
    return state, False
