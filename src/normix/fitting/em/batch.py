"""Batch EM: every iteration sweeps all of the data."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any, cast

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, ArrayLike, Float, PRNGKeyArray

from normix._arrays import as_float, as_weights, check_option, is_traced
from normix._passes import Data, RowPasses, passes_over
from normix.exponential_family import BACKENDS, METHODS, SolverOptions
from normix.fitting.em import loop
from normix.fitting.em.acceleration import ACCELERATIONS
from normix.fitting.em.options import ALGORITHMS, ALPHA_MIN, constraints_for
from normix.fitting.em.passes import Sweeps, turn
from normix.fitting.em.regularization import REGULARIZATIONS
from normix.fitting.em.report import Report
from normix.fitting.em.result import EMResult
from normix.fitting.em.rules import EtaUpdateRule
from normix.fitting.em.ties import equal_to_nearest, largest_group
from normix.mixtures.initial import constant_columns, random_joint
from normix.mixtures.marginal import MarginalMixture, solver_options
from normix.mixtures.rows import CHUNK, Layout, layout_of, replicated, sample_of, spread

# Iterations are handed to the device in blocks that take about this long, so that
# Ctrl-C is answered within it.
_SECONDS_A_BLOCK = 0.25


class BatchEMFitter(eqx.Module):
    """Fits a mixture to an ``(n, d)`` array by the EM algorithm.

    - ``algorithm``: "em", or "mcecm", which repeats the E-step between the M-steps of
      (μ, γ, Σ) and of the mixing law (Meng & Rubin, Biometrika 80, 1993).
    - ``acceleration``: "none", "anderson" or "squarem": extrapolates, where that does
      not lower the likelihood; to the same maximum in several times fewer iterations.
    - ``max_iter``, ``tol``: stop after so many iterations, or when the parameter
      change falls to ``tol``: the largest over (μ, γ, L_Σ) of
      rms(new - old)/(1 + rms(old)), both in the data's units and with each column in
      units of its standard deviation, which makes it mean the same for returns of
      0.01 as for returns of 1 per cent; and √(2 gain), where the gain is that of the
      mean log-likelihood: the step in standard errors of one observation.
    - ``verbose``: 0 silent, 1 header and closing line, 2 a row an iteration.
    - ``regularization``: "none", or the gauge kept after every M-step:
      "det_sigma_one" (det Σ = 1), "det_sigma_x" (det Σ as in the initial model),
      "a_eq_b".
    - ``symmetric``: hold γ = 0.
    - ``fix``: parameters to hold, by name: "mu" (shape ``(d,)``), and "p", the order
      of a generalized hyperbolic model; 1 gives hyperbolic laws.
    - ``alpha_min``: the least shape of a variance gamma model, or order of a
      generalized hyperbolic one: a number, "density" (d/2 + 0.1, a bounded density)
      or "inverse_moment" (d/2 + 1.1, finite E[1/Y | x] everywhere).
    - ``e_step_backend``: "jax", or "cpu" for :func:`scipy.special.kve`.
    - ``m_step_backend``, ``m_step_method``: "jax" or "cpu" (SciPy); "newton", "lbfgs"
      or "bfgs", for subordinators without a closed-form M-step.
    - ``eta_update``: a rule by which every E-step updates the expectations, see
      :class:`~normix.EtaUpdateRule`; None uses the E-step as it is.
    - ``track_ll``: keep the histories even when ``verbose`` is 0.
    - ``m_step_kwargs``: ``maxiter`` and ``tol`` of the subordinator's solver.
    - ``chunk_size``: rows that the E-step takes at once, which bounds the memory beside
      the data; None leaves it to normix. The estimates do not depend on it, to
      rounding.

    The log-likelihood never falls from one iteration to the next, but with an
    ``eta_update``, which may have another aim.

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
    acceleration: str = eqx.field(static=True, default="none")
    max_iter: int = eqx.field(static=True, default=200)
    tol: float = eqx.field(static=True, default=1e-3)
    verbose: int = eqx.field(static=True, default=0)
    regularization: str = eqx.field(static=True, default="none")
    symmetric: bool = eqx.field(static=True, default=False)
    fix: dict[str, Any] | None = None
    alpha_min: ArrayLike | str | None = None
    e_step_backend: str = eqx.field(static=True, default="jax")
    m_step_backend: str = eqx.field(static=True, default="jax")
    m_step_method: str = eqx.field(static=True, default="newton")
    eta_update: EtaUpdateRule | None = None
    track_ll: bool = eqx.field(static=True, default=False)
    m_step_kwargs: dict[str, Any] | None = eqx.field(static=True, default=None)
    chunk_size: int | None = eqx.field(static=True, default=None)

    def __init__(
        self,
        *,
        algorithm: str = "em",
        acceleration: str = "none",
        max_iter: int = 200,
        tol: float = 1e-3,
        verbose: int = 0,
        regularization: str = "none",
        symmetric: bool = False,
        fix: dict[str, Any] | None = None,
        alpha_min: ArrayLike | str | None = None,
        e_step_backend: str = "jax",
        m_step_backend: str = "jax",
        m_step_method: str = "newton",
        eta_update: EtaUpdateRule | None = None,
        track_ll: bool = False,
        m_step_kwargs: dict[str, Any] | None = None,
        chunk_size: int | None = None,
    ):
        check_option("algorithm", algorithm, ALGORITHMS)
        check_option("acceleration", acceleration, tuple(ACCELERATIONS))
        check_option("regularization", regularization, REGULARIZATIONS)
        check_option("e_step_backend", e_step_backend, BACKENDS)
        check_option("m_step_backend", m_step_backend, BACKENDS)
        check_option("m_step_method", m_step_method, METHODS)
        if isinstance(alpha_min, str):
            check_option("alpha_min", alpha_min, tuple(ALPHA_MIN))
        if verbose not in (0, 1, 2):
            raise ValueError(f"verbose must be 0, 1 or 2, got {verbose!r}")
        if max_iter < 1:
            raise ValueError(f"max_iter must be at least 1, got {max_iter}")
        if chunk_size is not None and chunk_size < 1:
            raise ValueError(f"chunk_size must be at least 1, got {chunk_size}")
        if not tol >= 0:
            raise ValueError(f"tol must not be negative, got {tol}")
        if eta_update is not None and (acceleration, algorithm) != ("none", "em"):
            raise ValueError(
                'eta_update needs algorithm="em" and acceleration="none", got '
                f"{algorithm!r} and {acceleration!r}"
            )
        self.algorithm = algorithm
        self.acceleration = acceleration
        self.max_iter = max_iter
        self.tol = tol
        self.verbose = verbose
        self.regularization = regularization
        self.symmetric = symmetric
        self.fix = fix
        self.alpha_min = alpha_min
        self.e_step_backend = e_step_backend
        self.m_step_backend = m_step_backend
        self.m_step_method = m_step_method
        self.eta_update = eta_update
        self.track_ll = track_ll
        self.m_step_kwargs = m_step_kwargs
        self.chunk_size = chunk_size
        self._solver()  # checks them

    def _solver(self) -> SolverOptions:
        """How the subordinator's M-step is solved."""
        return solver_options(
            **{"backend": self.m_step_backend, "method": self.m_step_method}
            | (self.m_step_kwargs or {})
        )

    def _plan(self, model: MarginalMixture, layout: Layout) -> loop.Plan:
        # A closed-form M-step has no use for options: the same plan, compiled once.
        closed = model.joint.subordinator.closed_form
        solver = SolverOptions() if closed else self._solver()
        return loop.Plan(
            self.max_iter,
            self.algorithm,
            self.acceleration,
            self.e_step_backend,
            solver,
            layout,
        )

    def _bounded(self, model: MarginalMixture) -> bool:
        """Whether the constraints exclude a pole of the density."""
        held = constraints_for(self, model)
        least = held.alpha_min if held.p is None else held.p
        if least is None or is_traced(least):
            return False
        return float(least) > 0.5 * model.d

    def _gauge(self) -> Array:
        kept = self.regularization
        if kept == "none" and self.acceleration != "none":
            kept = "a_eq_b"  # of all gauges, in which models are extrapolated
        return jnp.asarray(REGULARIZATIONS.index(kept))

    def fit(
        self,
        model: MarginalMixture,
        X: Data,
        *,
        weights: Float[ArrayLike, " n"] | None = None,
        n_starts: int = 1,
        key: PRNGKeyArray | None = None,
    ) -> EMResult:
        """Fit to the rows of ``X``, shape ``(n, d)``, starting from ``model``.

        ``X`` has shape ``(n,)`` for a univariate model. ``weights``, shape ``(n,)``,
        not negative, count the rows. With ``n_starts > 1`` the fit begins at ``model``
        and at random models besides, drawn with ``key`` (a JAX random key; by default
        one of seed 0); all run in one vectorised call, the best is returned and the
        others are in its ``starts``.

        Data larger than memory: ``X`` may be a :class:`numpy.memmap`, or an iterable
        of arrays ``(m, d)`` that begins anew whenever it is gone through. Every E-step
        then reads all of it, ``chunk_size`` rows at a time.

        Data on several devices: an ``X`` whose rows are placed over an axis of a mesh
        by :class:`jax.sharding.NamedSharding` stays where it is, also where the
        devices belong to several processes; all of them make the same call, and sums
        are all they exchange.

        Works under ``jit`` and ``vmap``, where nothing is printed. Ctrl-C returns the
        last complete iteration.

        **Raises**: ``ValueError`` for data of another width, too few rows (``d + 1``
        for a full dispersion), constant columns, NaN or infinite entries, an iterator
        that can be gone through only once, weights that do not fit, and constraints
        that the family does not have.
        """
        start = time.perf_counter()
        if n_starts < 1:
            raise ValueError(f"n_starts must be at least 1, got {n_starts}")
        passes = passes_over(X, model._axes)
        if passes is not None:
            if n_starts > 1:
                raise ValueError(
                    "n_starts needs data in memory: find the best start on a sample"
                )
            return self._fit_in_passes(model, passes, weights, start)
        rows = model._rows(cast(ArrayLike, X), model.d)
        model.check_fit(len(rows), model.d, constant_columns(rows))
        w = None if weights is None else as_weights(weights, rows.shape[0])
        layout = layout_of(rows, self.chunk_size)
        plan = self._plan(model, layout)
        dtype = jnp.result_type(rows, model.joint.mu)
        rows, w, joint = _cast((rows, w, model.joint), dtype)
        asked = self._asked(model, dtype)
        if layout.mesh is not None:
            joint, asked = replicated((joint, asked), layout)
            w = None if w is None else spread(w, layout)
        if n_starts > 1:
            key = jax.random.key(0) if key is None else key
            every = _starts(joint, sample_of(rows, layout), key, n_starts)
            fitted, states = _solve_all(every, rows, w, asked, plan)
            if is_traced(fitted, states):
                return self._best(model, fitted, states, jnp.asarray(jnp.nan, dtype))
            jax.block_until_ready(fitted)
            elapsed = time.perf_counter() - start
            report = Report(self.verbose)
            report.header(type(model).__name__, self)
            result = self._best(model, fitted, states, elapsed, rows)
            report.starts(result)
            report.closing(result)
            return result
        if is_traced(joint, rows, w, asked):
            fitted, state = loop.solve(joint, rows, w, asked, plan)
            return self._result(model, fitted, state, jnp.asarray(jnp.nan, dtype))

        problem, state = loop.init_jit(joint, rows, w, asked, plan)

        def advance(state, block):
            return loop.advance_jit(state, rows, problem, jnp.asarray(block), plan)

        return self._run(model, problem, state, advance, rows, start)

    def _asked(self, model: MarginalMixture, dtype) -> loop.Asked:
        held = _cast(constraints_for(self, model), dtype)
        tol = jnp.asarray(self.tol, dtype)
        return loop.Asked(tol, self._gauge(), held, self.eta_update)

    def _fit_in_passes(
        self, model: MarginalMixture, passes: RowPasses, weights, start: float
    ) -> EMResult:
        univariate = model._axes == 1

        def check(chunk):
            model._rows(chunk[:, 0] if univariate else chunk, model.d)

        found = passes.moments(check)
        model.check_fit(found.n, model.d, found.constant)
        dtype = jnp.result_type(found.dtype, model.joint.mu)
        w = None if weights is None else np.asarray(as_weights(weights, found.n))
        plan = self._plan(model, Layout(self.chunk_size or CHUNK))
        joint, centre, scale = _cast((model.joint, found.mean, found.scale), dtype)
        asked = self._asked(model, dtype)
        if is_traced(joint, asked):
            raise ValueError("data that are read in chunks cannot be fitted under jit")
        problem, state = loop.begin_jit(joint, centre, scale, None, asked, plan)
        sweep = Sweeps(passes, w, found.n, np.dtype(dtype), self.chunk_size)

        def advance(state, _):
            return turn(state, sweep, found.n, problem, plan)

        return self._run(model, problem, state, advance, passes, start)

    def _run(
        self,
        model: MarginalMixture,
        problem: loop.Problem,
        state: loop.State,
        advance: Callable[[loop.State, int], loop.State],
        data: Array | RowPasses,
        start: float,
    ) -> EMResult:
        """One fit from its first state to the end, reported."""
        report = Report(self.verbose)
        report.header(type(model).__name__, self)
        state, interrupted = _drive(state, advance, self.max_iter, report)
        fitted = jax.block_until_ready(loop.finish_jit(state, problem))
        elapsed = time.perf_counter() - start
        result = self._result(model, fitted, state, elapsed, data, interrupted)
        report.closing(result)
        return result

    def _result(
        self,
        like: MarginalMixture,
        fitted,
        state: loop.State,
        elapsed,
        data: Array | RowPasses | None = None,
        interrupted: bool = False,
    ) -> EMResult:
        kept = self.verbose >= 1 or self.track_ll
        if self.fix is not None and self.fix.get("mu") is not None:
            # To the last bit, which moving to the data's mean and back may change.
            mu = jnp.broadcast_to(as_float(self.fix["mu"]), fitted.mu.shape)
            fitted = eqx.tree_at(lambda j: j.mu, fitted, mu.astype(fitted.mu.dtype))
        ties, unbounded = None, state.unbounded
        if data is not None and np.ndim(state.share) == 0:
            here = equal_to_nearest(data, fitted.mu) if state.share > 0 else 0
            unbounded = bool(unbounded | (here * state.share >= 0.5))
            ties = largest_group(data)
        # An unbounded likelihood has no maximum to converge to.
        converged = state.converged & jnp.logical_not(unbounded)
        scalars = (state.n_iter, converged, state.log_likelihood, state.diverged)
        scalars = (*scalars, unbounded)
        histories = (state.log_likelihoods, state.param_changes, state.criteria)
        if data is not None and np.ndim(state.share) == 0:
            n = max(int(state.n_iter), 0)
            histories = tuple(history[:n] for history in histories)
            scalars = n, *(np.asarray(leaf).item() for leaf in scalars[1:])
        return EMResult(
            model=type(like)(fitted),
            log_likelihoods=histories[0] if kept else None,
            param_changes=histories[1] if kept else None,
            n_iter=scalars[0],
            converged=scalars[1],
            elapsed_time=elapsed,
            log_likelihood=scalars[2],
            diverged=scalars[3],
            unbounded=scalars[4],
            criteria=histories[2] if kept else None,
            ties=ties,
            bounded=self._bounded(like),
            interrupted=interrupted,
        )

    def _best(
        self, like, fitted, states: loop.State, elapsed, rows: Array | None = None
    ) -> EMResult:
        """The best of several fits, with all of them beside it."""
        every = self._result(like, fitted, states, elapsed)
        # At a pole there is no maximum, however high the likelihood.
        score = jnp.where(every.unbounded, -jnp.inf, every.log_likelihood)
        best = jnp.argmax(jnp.where(jnp.isnan(score), -jnp.inf, score))
        fitted, states = jax.tree.map(lambda leaf: leaf[best], (fitted, states))
        result = self._result(like, fitted, states, elapsed, rows)
        return eqx.tree_at(lambda r: r.starts, result, every, is_leaf=_is_none)


def _is_none(x) -> bool:
    return x is None


def _cast(tree, dtype):
    return jax.tree.map(lambda leaf: as_float(leaf).astype(dtype), tree)


@eqx.filter_jit
def _starts(joint, rows: Array, key: PRNGKeyArray, n_starts: int):
    keys = jax.random.split(key, n_starts - 1)
    others = jax.vmap(lambda k: random_joint(joint, rows, k))(keys)
    return jax.tree.map(lambda x, y: jnp.concatenate([x[None], y]), joint, others)


@eqx.filter_jit
def _solve_all(every, rows, weights, asked, plan):
    def one(joint):
        return loop.solve(joint, rows, weights, asked, plan)

    return jax.vmap(one)(every)


def _drive(
    state: loop.State,
    advance: Callable[[loop.State, int], loop.State],
    most: int,
    report: Report,
) -> tuple[loop.State, bool]:
    """Run to the end in blocks; the last whole state, and whether Ctrl-C ended it."""
    block = 1
    # Processes that share the work must all do the same, whatever their clocks say.
    alone = jax.process_count() == 1
    try:
        while bool(state.pending):
            began = time.perf_counter()
            state = jax.block_until_ready(advance(state, block))
            took = time.perf_counter() - began
            report.row(state)
            if alone and not report.every_iteration and took < _SECONDS_A_BLOCK:
                block = min(8 * block, most)
    except KeyboardInterrupt:
        return state, True
    return state, False
