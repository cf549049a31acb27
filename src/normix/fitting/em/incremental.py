"""Incremental EM: every step looks at one batch of rows."""

from __future__ import annotations

import time
from collections.abc import Iterable
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, ArrayLike, Float, PRNGKeyArray

from normix._arrays import as_float, as_weights, check_option, is_traced
from normix.exponential_family import BACKENDS, METHODS, SolverOptions
from normix.fitting.em import steps
from normix.fitting.em.regularization import REGULARIZATIONS
from normix.fitting.em.result import EMResult
from normix.fitting.em.rules import EtaUpdateRule, RobbinsMonroUpdate
from normix.fitting.em.steps import IncrementalState
from normix.mixtures.initial import constant_columns
from normix.mixtures.marginal import MarginalMixture, solver_options

# About how many times a printed or tracked fit looks at all of the data.
_CHECKPOINTS = 10


class StreamError(ValueError):
    """A batch of a stream that cannot be used; ``state`` is that before it.

    ``fitter.fit_stream(error.state, batches)`` goes on with the batches after it, if
    ``batches`` is an iterator.
    """

    def __init__(self, message: str, state: IncrementalState):
        super().__init__(message)
        self.state = state


class IncrementalEMFitter(eqx.Module):
    """Fits a mixture by EM on batches of rows, drawn from an array or out of a stream.

    A step takes the E-step on a batch, updates the running expectations by a rule and
    maximises the likelihood for these (Cappé & Moulines, J. R. Stat. Soc. B 71, 2009).

    - ``eta_update``: the rule, see :class:`~normix.EtaUpdateRule`; None stands for
      ``RobbinsMonroUpdate(tau0=10.0)``.
    - ``batch_size``, ``max_steps``: rows a step, and steps, of :meth:`fit`.
    - ``inner_iter``: EM iterations on each batch, all from the same running
      expectations.
    - ``average_from``: from this step on, counted from 1, report the maximum for the
      mean of the running expectations instead of the last of them (Polyak–Ruppert
      averaging; takes a rule whose weights fall more slowly than 1/t, such as
      :class:`~normix.PolynomialUpdate`).
    - ``verbose``: 1 prints, and keeps, the log-likelihood of all rows at about ten
      checkpoints.
    - ``regularization``, ``e_step_backend``, ``m_step_backend``, ``m_step_method``: as
      of :class:`~normix.BatchEMFitter`.

    **Raises**: ``ValueError`` for an unknown option or a number out of range.

    >>> import jax
    >>> from normix import EWMAUpdate, IncrementalEMFitter, NormalInverseGaussian
    >>> from normix.datasets import load_sp500_returns
    >>> X = load_sp500_returns(["AAPL", "XOM"]).values
    >>> fitter = IncrementalEMFitter(eta_update=EWMAUpdate(w=0.1), max_steps=50)
    >>> start = NormalInverseGaussian.default_init(X)
    >>> result = fitter.fit(start, X, key=jax.random.key(0))
    >>> result.n_iter
    50

    A stream, batch by batch:

    >>> state = fitter.init(start)
    >>> state = fitter.update(state, X[:500])
    >>> state = fitter.update(state, X[500:1000])
    >>> state.model.d
    2
    """

    eta_update: EtaUpdateRule
    batch_size: int = eqx.field(static=True, default=256)
    max_steps: int = eqx.field(static=True, default=200)
    inner_iter: int = eqx.field(static=True, default=1)
    average_from: int | None = eqx.field(static=True, default=None)
    verbose: int = eqx.field(static=True, default=0)
    regularization: str = eqx.field(static=True, default="none")
    e_step_backend: str = eqx.field(static=True, default="jax")
    m_step_backend: str = eqx.field(static=True, default="jax")
    m_step_method: str = eqx.field(static=True, default="newton")

    def __init__(
        self,
        *,
        eta_update: EtaUpdateRule | None = None,
        batch_size: int = 256,
        max_steps: int = 200,
        inner_iter: int = 1,
        average_from: int | None = None,
        verbose: int = 0,
        regularization: str = "none",
        e_step_backend: str = "jax",
        m_step_backend: str = "jax",
        m_step_method: str = "newton",
    ):
        check_option("regularization", regularization, REGULARIZATIONS)
        check_option("e_step_backend", e_step_backend, BACKENDS)
        check_option("m_step_backend", m_step_backend, BACKENDS)
        check_option("m_step_method", m_step_method, METHODS)
        if verbose not in (0, 1, 2):
            raise ValueError(f"verbose must be 0, 1 or 2, got {verbose!r}")
        counts = {
            "batch_size": batch_size,
            "max_steps": max_steps,
            "inner_iter": inner_iter,
            "average_from": 1 if average_from is None else average_from,
        }
        for name, count in counts.items():
            if count < 1:
                raise ValueError(f"{name} must be at least 1, got {count}")
        self.eta_update = RobbinsMonroUpdate() if eta_update is None else eta_update
        self.batch_size = batch_size
        self.max_steps = max_steps
        self.inner_iter = inner_iter
        self.average_from = average_from
        self.verbose = verbose
        self.regularization = regularization
        self.e_step_backend = e_step_backend
        self.m_step_backend = m_step_backend
        self.m_step_method = m_step_method

    def init(self, model: MarginalMixture) -> IncrementalState:
        """The state before the first batch, with the model's own expectations."""
        model = jax.tree.map(as_float, model)
        eta = model.joint.expectations()
        average = None
        if self.average_from is not None:
            average = jax.tree.map(jnp.zeros_like, eta)
        dtype = model.joint.mu.dtype

        def fixed(leaf):
            # Not weakly typed: a state and its successor are of one type.
            leaf = jnp.asarray(leaf)
            floating = jnp.issubdtype(leaf.dtype, jnp.floating)
            return jnp.asarray(leaf, dtype if floating else leaf.dtype)

        return IncrementalState(
            model=model,
            joint=model.joint,
            eta=eta,
            average=average,
            rule_state=jax.tree.map(fixed, self.eta_update.initial_state()),
            step=jnp.zeros((), jnp.result_type(int)),
            diverged=jnp.array(False),
            log_det=model.log_det_sigma(),
        )

    def update(
        self,
        state: IncrementalState,
        X_batch: ArrayLike,
        weights: Float[ArrayLike, " m"] | None = None,
    ) -> IncrementalState:
        """The state after one more batch, of shape ``(m, d)``.

        ``(m,)`` for a univariate model. The state that is given stays as it is.

        **Raises**: ``ValueError`` for a batch that is empty, of another width or not
        finite, naming its place in the stream, and weights that do not fit.
        """
        return _updated(self, state, X_batch, weights, 0)

    def fit_stream(
        self,
        start: MarginalMixture | IncrementalState,
        batches: Iterable[ArrayLike],
        *,
        progress: bool = False,
    ) -> IncrementalState:
        """One step for each of ``batches``, from any iterable of ``(m, d)`` arrays.

        ``start`` is a model, or a state from which the stream goes on. Batches may
        differ in length. ``progress`` shows a bar (needs tqdm). The rows are not kept:
        the log-likelihood of what has passed is not known.

        **Raises**: :class:`StreamError`, a ``ValueError``, as :meth:`update`, with the
        state before the batch; ``ImportError`` where tqdm is asked for and missing.
        """
        if progress:
            from tqdm.auto import tqdm

            batches = tqdm(batches, unit="batch")
        resumed = isinstance(start, IncrementalState)
        state = start if resumed else self.init(start)
        longest = 0
        for batch in batches:
            longest = max(longest, *np.shape(batch)[:1])
            # One program for all: with weights, as the ragged last batch needs them.
            weights = np.ones(np.shape(batch)[:1])
            try:
                state = _updated(self, state, batch, weights, longest)
            except ValueError as error:
                raise StreamError(str(error), state) from None
        return state

    def fit(
        self, model: MarginalMixture, X: ArrayLike, *, key: PRNGKeyArray
    ) -> EMResult:
        """Fit to the rows of ``X``, shape ``(n, d)``, in ``max_steps`` random batches.

        ``X`` has shape ``(n,)`` for a univariate model. ``key``, a JAX random key,
        decides the order of the rows: one permutation after the other, so that none
        comes again before all have been seen. Of fewer rows than ``batch_size`` a
        batch is all.

        Works under ``jit`` and ``vmap``, where nothing is printed. In the result
        ``converged`` is None; ``log_likelihoods``, if kept, begin with the start and
        then belong to evenly spaced steps.

        **Raises**: ``ValueError`` as :meth:`BatchEMFitter.fit` does.
        """
        began = time.perf_counter()
        rows = model._rows(X, model.d)
        model.check_fit(len(rows), model.d, constant_columns(rows))
        dtype = jnp.result_type(rows, model.joint.mu)
        rows = rows.astype(dtype)
        model = jax.tree.map(lambda leaf: as_float(leaf).astype(dtype), model)
        plan, gauge = _plan(self, model), _gauge(self)
        size = min(self.batch_size, rows.shape[0])
        order = steps.batch_order(key, rows.shape[0], self.max_steps, size)
        state = self.init(model)
        traced = is_traced(rows, state, order)
        printed = self.verbose >= 1 and not traced

        def score():
            joint = state.model.joint
            return steps.mean_log_likelihood(joint, rows, self.e_step_backend)

        stops = [self.max_steps]
        scores = []
        if self.verbose >= 1:
            count = min(_CHECKPOINTS, self.max_steps)
            marks = np.linspace(0, self.max_steps, count + 1)
            stops = [int(mark) for mark in np.rint(marks)[1:]]
            scores.append(score())
        if printed:
            rule = type(self.eta_update).__name__
            print(f"Incremental EM Fitting: {type(model).__name__} by {rule}")
            print(f"{self.max_steps} steps of {size} rows")
            print(f"{'step':>9}  {'mean log-lik':>15}")
            print(f"{0:>9}  {float(scores[0]):>15.8f}")
        for first, last in zip([0, *stops[:-1]], stops, strict=True):
            span = jnp.asarray(first), jnp.asarray(last)
            rule = self.eta_update
            state = steps.run(state, rows, order, span, rule, gauge, plan)
            if self.verbose >= 1:
                scores.append(score())
            if printed:
                print(f"{last:>9}  {float(scores[-1]):>15.8f}")
        final = scores[-1] if scores else score()
        elapsed: Any = jnp.asarray(jnp.nan, dtype)
        n_iter: Any = state.step
        diverged: Any = state.diverged
        if not traced:
            jax.block_until_ready(final)
            elapsed = time.perf_counter() - began
            n_iter, diverged, final = int(n_iter), bool(diverged), float(final)
        return EMResult(
            model=state.model,
            log_likelihoods=jnp.stack(scores) if scores else None,
            param_changes=None,
            n_iter=n_iter,
            converged=None,
            elapsed_time=elapsed,
            log_likelihood=final,
            diverged=diverged,
            unbounded=jnp.zeros_like(diverged) if traced else False,
            criteria=None,
        )


# Functions, not methods: Equinox takes some tens of microseconds to bind a method, and
# a step takes no longer than some hundreds.


def _plan(fitter: IncrementalEMFitter, model: MarginalMixture) -> steps.Plan:
    closed = model.joint.subordinator.closed_form
    solver = SolverOptions()
    if not closed:
        solver = solver_options(
            backend=fitter.m_step_backend, method=fitter.m_step_method
        )
    return steps.Plan(
        fitter.inner_iter, fitter.average_from, fitter.e_step_backend, solver
    )


def _gauge(fitter: IncrementalEMFitter) -> Array:
    return jnp.asarray(REGULARIZATIONS.index(fitter.regularization))


def _updated(
    fitter: IncrementalEMFitter, state, X_batch, weights, size: int
) -> IncrementalState:
    """One more batch, filled up to ``size`` rows where it has fewer."""
    model = state.model
    try:
        rows = model._rows(X_batch, model.d)
        w = None if weights is None else as_weights(weights, rows.shape[0])
    except ValueError as error:
        place = "" if is_traced(state.step) else f"batch {int(state.step) + 1}: "
        raise ValueError(f"{place}{error}") from None
    dtype = model.joint.mu.dtype
    rows = rows.astype(dtype)
    w = None if w is None else w.astype(dtype)
    if rows.shape[0] < size:
        rows, w = _padded(rows, w, size)
    plan = _plan(fitter, model)
    return steps.update(state, rows, w, fitter.eta_update, _gauge(fitter), plan)


def _padded(rows: Array, weights: Array | None, size: int) -> tuple[Array, Array]:
    """The rows brought to ``size``, and weights that do not count what was added.

    A stream's ragged last batch then needs no program of its own.
    """
    counts = jnp.ones(rows.shape[0], rows.dtype) if weights is None else weights
    missing = size - rows.shape[0]
    fill = jnp.repeat(rows[:1], missing, axis=0)
    return jnp.concatenate([rows, fill]), jnp.pad(counts, (0, missing))
