"""Incremental EM: every step looks at one batch of rows."""

from __future__ import annotations

import time
from collections.abc import Iterable
from itertools import islice
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import ArrayLike, Float, PRNGKeyArray

from normix._arrays import as_float, as_weights, is_traced
from normix._columns import column_names
from normix._missing import present
from normix.fitting.em import stream
from normix.fitting.em.options import Options
from normix.fitting.em.outcome import Outcome
from normix.fitting.em.problem import Plan, Problem
from normix.fitting.em.result import EMResult
from normix.fitting.em.rules import EtaUpdateRule, RobbinsMonroUpdate
from normix.fitting.em.stream import IncrementalState
from normix.mixtures.coordinates import REGULARIZATIONS
from normix.mixtures.marginal import MarginalMixture

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


class IncrementalEMFitter(Options):
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
    - ``regularization``, ``symmetric``, ``fix``, ``alpha_min``, ``e_step_backend``,
      ``m_step_backend``, ``m_step_method``, ``m_step_kwargs``: as of
      :class:`~normix.BatchEMFitter`.

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

    eta_update: EtaUpdateRule = eqx.field(
        default=None,
        converter=lambda rule: RobbinsMonroUpdate() if rule is None else rule,
    )
    batch_size: int = eqx.field(static=True, default=256)
    max_steps: int = eqx.field(static=True, default=200)
    inner_iter: int = eqx.field(static=True, default=1)
    average_from: int | None = eqx.field(static=True, default=None)

    def __check_init__(self):
        counts = {
            "batch_size": self.batch_size,
            "max_steps": self.max_steps,
            "inner_iter": self.inner_iter,
            "average_from": 1 if self.average_from is None else self.average_from,
        }
        for name, count in counts.items():
            if count < 1:
                raise ValueError(f"{name} must be at least 1, got {count}")

    def init(self, model: MarginalMixture) -> IncrementalState:
        """The state before the first batch, with the model's own expectations."""
        model = jax.tree.map(as_float, model)
        rule = self.eta_update.initial_state()
        return stream.first_state(model, rule, self.average_from is not None)

    def update(
        self,
        state: IncrementalState,
        X_batch: ArrayLike,
        weights: Float[ArrayLike, " m"] | None = None,
        missing: str = "raise",
    ) -> IncrementalState:
        """The state after one more batch, of shape ``(m, d)``.

        ``(m,)`` for a univariate model. The state that is given stays as it is.
        ``missing``: as of :meth:`BatchEMFitter.fit`.

        **Raises**: ``ValueError`` for a batch that is empty, of another width or not
        finite, naming its place in the stream, and weights that do not fit.
        """
        return _updated(self, state, X_batch, weights, missing)

    def fit_stream(
        self,
        start: MarginalMixture | IncrementalState,
        batches: Iterable[ArrayLike],
        *,
        progress: bool = False,
        missing: str = "raise",
    ) -> IncrementalState:
        """One step for each of ``batches``, from any iterable of ``(m, d)`` arrays.

        ``start`` is a model, or a state from which the stream goes on. Batches may
        differ in length. ``progress`` shows a bar (needs tqdm). The rows are not kept:
        the log-likelihood of what has passed is not known. ``missing``: as of
        :meth:`BatchEMFitter.fit`; a batch of which nothing is left is passed over.

        **Raises**: :class:`StreamError`, a ``ValueError``, as :meth:`update`, with the
        state before the batch; ``ImportError`` where tqdm is asked for and missing.
        """
        if progress:
            from tqdm.auto import tqdm

            batches = tqdm(batches, unit="batch")
        resumed = isinstance(start, IncrementalState)
        state = start if resumed else self.init(start)
        for batch in batches:
            try:
                state = _updated(self, state, batch, None, missing)
            except ValueError as error:
                raise StreamError(str(error), state) from None
        return state

    def fit(
        self,
        model: MarginalMixture,
        X: ArrayLike,
        *,
        key: PRNGKeyArray,
        missing: str = "raise",
    ) -> EMResult:
        """Fit to the rows of ``X``, shape ``(n, d)``, in ``max_steps`` random batches.

        ``X`` has shape ``(n,)`` for a univariate model. ``key``, a JAX random key,
        decides the order of the rows: one permutation after the other, so that none
        comes again before all have been seen. Of fewer rows than ``batch_size`` a
        batch is all. ``missing``: as of :meth:`BatchEMFitter.fit`.

        Works under ``jit`` and ``vmap``, where nothing is printed. In the result
        ``converged`` is None; ``log_likelihoods``, if kept, begin with the start and
        then belong to evenly spaced steps.

        **Raises**: ``ValueError`` as :meth:`BatchEMFitter.fit` does.
        """
        began = time.perf_counter()
        gaps = missing != "raise"
        found = present(model._rows(X, model.d, missing=gaps), None, missing)
        if found.weights is not None:
            raise ValueError(
                f'missing="{missing}" needs data that can be looked at, not tracers'
            )
        rows, gaps = found.rows, found.has_gaps
        model.check_rows(rows, column_names(X), missing=gaps)
        dtype = jnp.result_type(rows, model.joint.mu)
        rows = rows.astype(dtype)
        model = jax.tree.map(lambda leaf: as_float(leaf).astype(dtype), model)
        size = min(self.batch_size, rows.shape[0])
        state = self.init(model)
        problem, plan = _problem(self, model)
        traced = is_traced(rows, state, key, problem)
        printed = self.verbose >= 1 and not traced
        asked = key, rows.shape[0], self.max_steps, size
        order: Any = stream.batch_order(*asked) if traced else stream.batches(*asked)
        if not traced:
            rows = np.asarray(rows)

        def score():
            return state.model.marginal_log_likelihood(rows_seen, missing=missing)

        rows_seen = rows if model._axes == 2 else rows[:, 0]
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
            span = order[first:last] if traced else islice(order, last - first)
            state = stream.run(state, rows, span, problem, plan, _inner(self, gaps))
            if self.verbose >= 1:
                scores.append(score())
            if printed:
                print(f"{last:>9}  {float(scores[-1]):>15.8f}")
        final = scores[-1] if scores else score()
        refused, done = Outcome.STEPS_REFUSED, Outcome.STEPS_DONE
        elapsed: Any = jnp.asarray(jnp.nan, dtype)
        n_iter: Any = state.step
        outcome: Any = jnp.where(state.diverged, refused, done)
        if not traced:
            jax.block_until_ready(final)
            elapsed = time.perf_counter() - began
            n_iter, final = int(n_iter), float(final)
            outcome = Outcome(int(outcome))
        return EMResult(
            model=state.model,
            log_likelihoods=jnp.stack(scores) if scores else None,
            param_changes=None,
            n_iter=n_iter,
            converged=None,
            elapsed_time=elapsed,
            log_likelihood=final,
            outcome=outcome,
            n_obs=float(rows.shape[0]),
            left_out=found.left_out,
            missing_share=found.share,
            held=self.held_names(),
        )


# Functions, not methods: Equinox takes some tens of microseconds to bind a method, and
# a step takes no longer than some hundreds.


def _problem(
    fitter: IncrementalEMFitter, model: MarginalMixture
) -> tuple[Problem, Plan]:
    joint = model.joint
    plan = Plan(
        joint.frame,
        type(joint.subordinator),
        e_step_backend=fitter.e_step_backend,
        m_step=fitter.solver(),
        symmetric=fitter.symmetric,
    )
    dtype = np.dtype(joint.mu.dtype)
    zero: Any = np.zeros(model.d, dtype)
    one: Any = np.ones(model.d, dtype)
    gauge: Any = np.array([REGULARIZATIONS.index(fitter.regularization), 0.0], dtype)
    settings: Any = np.zeros(2, dtype)
    held, rule = fitter.held(model), fitter.eta_update
    problem = Problem(zero, one, gauge, settings, held, rule)
    return problem, plan


def _inner(fitter: IncrementalEMFitter, gaps: bool) -> stream.Inner:
    return stream.Inner(fitter.inner_iter, fitter.average_from, gaps)


def _updated(
    fitter: IncrementalEMFitter, state: IncrementalState, X_batch, weights, missing: str
) -> IncrementalState:
    """One more batch."""
    model, gaps = state.model, missing != "raise"
    try:
        rows = model._rows(X_batch, model.d, missing=gaps)
        w = None if weights is None else as_weights(weights, rows.shape[0])
        if gaps and not is_traced(rows) and np.isnan(np.asarray(rows)).all():
            return state
        found = present(rows, w, missing)
    except ValueError as error:
        place = "" if is_traced(state.step) else f"batch {int(state.step) + 1}: "
        raise ValueError(f"{place}{error}") from None
    gaps = missing == "em" and found.has_gaps
    problem, plan = _problem(fitter, model)
    inner = _inner(fitter, gaps)
    return stream.update(state, found.rows, found.weights, problem, plan, inner)
