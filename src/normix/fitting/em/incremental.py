"""Incremental EM: every step looks at one batch of rows."""

from __future__ import annotations

import time
from collections.abc import Iterable
from functools import partial
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Array, ArrayLike, Bool, Float, Int, PRNGKeyArray

from normix._arrays import as_float, as_weights, check_option, is_traced
from normix.exponential_family import BACKENDS, METHODS, SolverOptions
from normix.fitting.em.regularization import REGULARIZATIONS, gauge_scale
from normix.fitting.em.result import EMResult
from normix.fitting.em.rules import EtaUpdateRule, RobbinsMonroUpdate
from normix.mixtures.constraints import Constraints
from normix.mixtures.initial import tree_where
from normix.mixtures.joint import JointNormalMixture
from normix.mixtures.marginal import MarginalMixture, solver_options
from normix.mixtures.statistics import MixtureStatistics

# About how many times a printed or tracked fit looks at all of the data.
_CHECKPOINTS = 10


class IncrementalState(eqx.Module):
    """Where a stream has got to: a pytree, saved by :func:`normix.save`.

    - ``model``: the estimate so far.
    - ``joint``: the law that the next E-step is taken from; that of ``model`` but
      where steps are averaged.
    - ``eta``: the running expectations, and ``average`` their mean over the steps
      from ``average_from`` on, or None.
    - ``rule_state``: what the update rule remembers.
    - ``step``: steps done.
    - ``diverged``: whether a step was refused, being not finite or at a pole of the
      density; the state is then as before it.
    - ``log_det``: ``log |Σ|`` of the first model, which "det_sigma_x" keeps.
    """

    model: MarginalMixture
    joint: JointNormalMixture
    eta: MixtureStatistics
    average: MixtureStatistics | None
    rule_state: Any
    step: Int[Array, ""]
    diverged: Bool[Array, ""]
    log_det: Float[Array, ""]


class _Plan(NamedTuple):
    """What is fixed while a step compiles; hashable."""

    inner_iter: int
    average_from: int | None
    e_step_backend: str
    m_step: SolverOptions


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

    def _plan(self, model: MarginalMixture) -> _Plan:
        closed = model.joint.subordinator.closed_form
        solver = SolverOptions()
        if not closed:
            solver = solver_options(
                backend=self.m_step_backend, method=self.m_step_method
            )
        return _Plan(self.inner_iter, self.average_from, self.e_step_backend, solver)

    def _gauge(self) -> Array:
        return jnp.asarray(REGULARIZATIONS.index(self.regularization))

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
        plan = self._plan(model)
        return _update(state, rows, w, self.eta_update, self._gauge(), plan)

    def fit_stream(
        self,
        model: MarginalMixture,
        batches: Iterable[ArrayLike],
        *,
        progress: bool = False,
    ) -> IncrementalState:
        """One step for each of ``batches``, from any iterable of ``(m, d)`` arrays.

        Batches may differ in length. ``progress`` shows a bar (needs tqdm). The rows
        are not kept: the log-likelihood of what has passed is not known.

        **Raises**: as :meth:`update`; ``ImportError`` where tqdm is asked for and
        missing.
        """
        if progress:
            from tqdm.auto import tqdm

            batches = tqdm(batches, unit="batch")
        state = self.init(model)
        longest = 0
        for batch in batches:
            longest = max(longest, np.shape(batch)[0] if np.ndim(batch) else 0)
            state = self.update(state, *_padded(batch, longest))
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
        model.check_rows(rows)
        dtype = jnp.result_type(rows, model.joint.mu)
        rows = rows.astype(dtype)
        model = jax.tree.map(lambda leaf: as_float(leaf).astype(dtype), model)
        plan, gauge = self._plan(model), self._gauge()
        size = min(self.batch_size, rows.shape[0])
        order = _order(key, rows.shape[0], self.max_steps, size)
        state = self.init(model)
        traced = is_traced(rows, state, order)
        printed = self.verbose >= 1 and not traced

        def score():
            return _mean_log_likelihood(state.model.joint, rows, self.e_step_backend)

        stops = [self.max_steps]
        scores = []
        if self.verbose >= 1:
            count = min(_CHECKPOINTS, self.max_steps)
            marks = np.linspace(0, self.max_steps, count + 1)
            stops = [int(mark) for mark in np.rint(marks)[1:]]
            scores.append(score())
        if printed:
            print(f"Incremental EM: {type(model).__name__}, {self.max_steps} steps of")
            print(f"{size} rows; {type(self.eta_update).__name__}")
            print(f"{'step':>9}  {'mean log-lik':>15}")
            print(f"{0:>9}  {float(scores[0]):>15.8f}")
        for first, last in zip([0, *stops[:-1]], stops, strict=True):
            span = jnp.asarray(first), jnp.asarray(last)
            state = _run(state, rows, order, span, self.eta_update, gauge, plan)
            if self.verbose >= 1:
                scores.append(score())
            if printed:
                print(f"{last:>9}  {float(scores[-1]):>15.8f}")
        final = scores[-1] if scores else score()
        elapsed: Any = jnp.asarray(jnp.nan, dtype)
        steps: Any = state.step
        diverged: Any = state.diverged
        if not traced:
            jax.block_until_ready(final)
            elapsed = time.perf_counter() - began
            steps, diverged, final = int(steps), bool(diverged), float(final)
        return EMResult(
            model=state.model,
            log_likelihoods=jnp.stack(scores) if scores else None,
            param_changes=None,
            n_iter=steps,
            converged=None,
            elapsed_time=elapsed,
            log_likelihood=final,
            diverged=diverged,
            unbounded=jnp.zeros_like(diverged) if traced else False,
            criteria=None,
        )


def _padded(batch: ArrayLike, size: int) -> tuple[ArrayLike, Array | None]:
    """The batch brought to ``size`` rows, and weights that do not count what was added.

    A stream's ragged last batch then needs no program of its own.
    """
    host = np.asarray(batch)
    n = host.shape[0] if host.ndim else 0
    if n == 0:
        return host, None
    weights = np.zeros(size)
    weights[:n] = 1.0
    fill = np.repeat(host[:1], size - n, axis=0)
    return np.concatenate([host, fill]), jnp.asarray(weights)


@partial(jax.jit, static_argnums=(1, 2, 3))
def _order(key: PRNGKeyArray, n: int, steps: int, size: int) -> Int[Array, "t m"]:
    """Rows of each batch: permutations of all, one after the other."""
    epochs = -(-steps * size // n)
    keys = jax.random.split(key, epochs)
    rows = jax.vmap(lambda k: jax.random.permutation(k, n))(keys)
    return rows.ravel()[: steps * size].reshape(steps, size)


def _step(
    state: IncrementalState,
    X: Float[Array, "m d"],
    weights: Float[Array, " m"] | None,
    rule: EtaUpdateRule,
    gauge: Array,
    plan: _Plan,
) -> IncrementalState:
    """One batch; ``model`` is left to :func:`_reported`."""
    size = jnp.asarray(X.shape[0], X.dtype) if weights is None else weights.sum()

    def once(_, carry):
        joint, *_, good = carry
        sums = joint.sums(X, plan.e_step_backend, weights)
        at_pole, _ = joint.at_pole(sums)
        eta, memory = rule(
            state.eta,
            sums.means().translate(joint.mu),
            state.step + 1,
            size,
            state.rule_state,
        )
        # As they were given: the rule may return weak types or other precision.
        eta = jax.tree.map(lambda new, old: new.astype(old.dtype), eta, state.eta)
        memory = jax.tree.map(
            lambda new, old: jnp.asarray(new, old.dtype), memory, state.rule_state
        )
        joint = joint.maximised_about(
            eta.translate(-joint.mu), plan.m_step, Constraints()
        )
        joint = joint.rescaled(gauge_scale(joint, gauge, state.log_det))
        return joint, eta, memory, good & ~at_pole

    begin = state.joint, state.eta, state.rule_state, jnp.array(True)
    joint, eta, memory, good = lax.fori_loop(0, plan.inner_iter, once, begin)
    leaves = jax.tree.leaves((joint, eta))
    good = good & jnp.stack([jnp.isfinite(leaf).all() for leaf in leaves]).all()
    average = state.average
    if average is not None and plan.average_from is not None:
        count = state.step + 2 - plan.average_from
        share = jnp.where(count > 0, 1 / jnp.maximum(count, 1), 0.0)
        average = jax.tree.map(lambda a, e: a + share * (e - a), average, eta)
    new = IncrementalState(
        model=state.model,
        joint=joint,
        eta=eta,
        average=average,
        rule_state=memory,
        step=state.step + 1,
        diverged=state.diverged,
        log_det=state.log_det,
    )
    old = eqx.tree_at(lambda s: s.diverged, state, jnp.array(True))
    return tree_where(good, new, old)


def _reported(state: IncrementalState, gauge: Array, plan: _Plan) -> IncrementalState:
    """The state with the model that belongs to it."""
    joint = state.joint
    if state.average is not None and plan.average_from is not None:
        mean = joint.maximised_about(
            state.average.translate(-joint.mu), plan.m_step, Constraints()
        )
        mean = mean.rescaled(gauge_scale(mean, gauge, state.log_det))
        joint = tree_where(state.step >= plan.average_from, mean, joint)
    return eqx.tree_at(lambda s: s.model, state, type(state.model)(joint))


@partial(jax.jit, static_argnames="plan")
def _update(state, X, weights, rule, gauge, plan: _Plan) -> IncrementalState:
    return _reported(_step(state, X, weights, rule, gauge, plan), gauge, plan)


@partial(jax.jit, static_argnames="plan")
def _run(state, X, order, span, rule, gauge, plan: _Plan) -> IncrementalState:
    """The steps from ``span[0]`` to ``span[1]`` in one program."""

    def body(i, state):
        return _step(state, X[order[i]], None, rule, gauge, plan)

    return _reported(lax.fori_loop(span[0], span[1], body, state), gauge, plan)


@partial(jax.jit, static_argnames="backend")
def _mean_log_likelihood(joint: JointNormalMixture, X: Array, backend: str):
    sums = joint.sums(X, backend)
    return sums.log_likelihood / sums.weight
