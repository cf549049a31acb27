"""Batch EM: every iteration sweeps all of the data."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable
from typing import cast

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, ArrayLike, Float, PRNGKeyArray

from normix._arrays import (
    as_float,
    check_option,
    is_traced,
)
from normix._loops import eagerly
from normix._missing import MISSING, without_gaps
from normix._passes import Data
from normix.fitting.em.acceleration import ACCELERATIONS
from normix.fitting.em.acceptance import Status
from normix.fitting.em.cusps import from_row_to_row, has_cusp
from normix.fitting.em.data import FitData, data_of
from normix.fitting.em.drive import Iteration, driven, ended, rehearsed, traced
from normix.fitting.em.edges import edge
from normix.fitting.em.implicit import maximised
from normix.fitting.em.nested import by_family_within, has_family_within
from normix.fitting.em.options import ALGORITHMS, Options, bounded
from normix.fitting.em.outcome import AT_REST, Outcome
from normix.fitting.em.poles import ends_at_pole, largest_group
from normix.fitting.em.problem import Asked, Held, Plan, posed
from normix.fitting.em.report import Report
from normix.fitting.em.result import EMResult
from normix.fitting.em.rules import EtaUpdateRule
from normix.fitting.em.starts import best, best_of_batch, stacked
from normix.fitting.em.step import Memory
from normix.mixtures.coordinates import REGULARIZATIONS
from normix.mixtures.in_one import InOne
from normix.mixtures.initial import (
    BEFORE_FITS,
    mean_and_covariance,
    random_joint,
)
from normix.mixtures.joint import JointNormalMixture
from normix.mixtures.limits import thinnest
from normix.mixtures.marginal import MarginalMixture
from normix.mixtures.model_steps import of_vector
from normix.mixtures.rows import (
    Blocks,
    Rows,
)


class BatchEMFitter(Options):
    """Fits a mixture to an ``(n, d)`` array by the EM algorithm.

    - ``algorithm``: "em", or "mcecm", which repeats the E-step between the M-steps of
      (μ, γ, Σ) and of the mixing law (Meng & Rubin, Biometrika 80, 1993).
    - ``acceleration``: "auto", which is "quasi-newton", or "none" with an
      ``eta_update``; "none", EM itself; "quasi-newton", limited-memory BFGS that begins
      with EM's own step (Jamshidian & Jennrich, J. R. Stat. Soc. B 59, 1997) and gets
      to the maximum where EM takes thousands of iterations; "anderson" or "squarem",
      which extrapolate EM's steps. None of them lets the likelihood fall.
    - ``max_iter``, ``tol``: stop after so many iterations, or when no more than ``tol``
      of log-likelihood, in nats over all rows, is to be gained: half the square of the
      score in the metric of the information, of which the iterations so far tell, and a
      probe where they do not. With the other accelerations, and with "none", the
      parameter change has to fall to ``tol`` as well; with an ``eta_update`` it alone
      has to. It is the largest over (μ, γ, L_Σ) of rms(new - old)/(1 + rms(old)), both
      in the data's units and with each column in units of its standard deviation, which
      makes it mean the same for returns of 0.01 as for returns of 1 per cent; and
      √(2 gain), where the gain is that of the mean log-likelihood: the step in standard
      errors of one observation.
    - ``verbose``: 0 silent, 1 header and closing line, 2 a row an iteration.
    - ``regularization``: "none", or the gauge kept after every M-step:
      "det_sigma_one" (det Σ = 1), "det_sigma_x" (det Σ as in the initial model),
      "a_eq_b".
    - ``symmetric``: hold γ = 0.
    - ``fix``: parameters to hold, by name: "mu" (shape ``(d,)``), and "p", the order
      of a generalized hyperbolic model; 1 gives hyperbolic laws.
    - ``alpha_min``: the least shape of a variance gamma model, or order of a
      generalized hyperbolic one: a number, "density" ((d + 1)/2, which bounds the
      likelihood of distinct rows) or "inverse_moment" (d/2 + 1.1, finite
      E[1/Y | x] everywhere).
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
    acceleration: str = eqx.field(static=True, default="auto")
    max_iter: int = eqx.field(static=True, default=200)
    tol: float = eqx.field(static=True, default=1e-3)
    eta_update: EtaUpdateRule | None = None
    track_ll: bool = eqx.field(static=True, default=False)
    chunk_size: int | None = eqx.field(static=True, default=None)

    def __check_init__(self):
        check_option("algorithm", self.algorithm, ALGORITHMS)
        check_option("acceleration", self.acceleration, ("auto", *ACCELERATIONS))
        if self.max_iter < 1:
            raise ValueError(f"max_iter must be at least 1, got {self.max_iter}")
        if self.chunk_size is not None and self.chunk_size < 1:
            raise ValueError(f"chunk_size must be at least 1, got {self.chunk_size}")
        if not self.tol >= 0:
            raise ValueError(f"tol must not be negative, got {self.tol}")
        plain = self.acceleration in ("auto", "none") and self.algorithm == "em"
        if self.eta_update is not None and not plain:
            raise ValueError(
                'eta_update needs algorithm="em" and acceleration="auto" or "none", '
                f"got {self.algorithm!r} and {self.acceleration!r}"
            )

    @property
    def _acceleration(self) -> str:
        """The one that "auto" stands for."""
        if self.acceleration != "auto":
            return self.acceleration
        return "quasi-newton" if self.eta_update is None else "none"

    def fit(
        self,
        model: MarginalMixture,
        X: Data,
        *,
        weights: Float[ArrayLike, " n"] | None = None,
        n_starts: int = 1,
        key: PRNGKeyArray | None = None,
        callback: Callable[[Iteration], object] | None = None,
        missing: str = "raise",
    ) -> EMResult:
        """Fit to the rows of ``X``, shape ``(n, d)``, starting from ``model``.

        ``X`` has shape ``(n,)`` for a univariate model. ``weights``, shape ``(n,)``,
        not negative, count the rows. With ``n_starts > 1`` the fit begins at ``model``
        and at random models besides, drawn with ``key`` (a JAX random key; by default
        one of seed 0); the best is returned and all are in its ``starts``.
        ``callback`` is told after each iteration, by a record of ``n_iter``,
        ``log_likelihood``, ``change`` and ``criterion``; not under ``jit``.

        Data larger than memory: ``X`` may be a :class:`numpy.memmap`, or an iterable
        of arrays ``(m, d)`` that begins anew whenever it is gone through. Every E-step
        then reads all of it, ``chunk_size`` rows at a time.

        Data on several devices: an ``X`` whose rows are placed over an axis of a mesh
        by :class:`jax.sharding.NamedSharding` stays where it is, also where the
        devices belong to several processes; all of them make the same call, and sums
        are all they exchange.

        Missing entries are NaN: ``missing="em"`` uses what each row has, by the law of
        those columns, and is right where entries are missing at random, given what is
        seen; "drop" leaves out rows with a missing entry; "raise" refuses them. Rows
        without any entry are left out.

        Where a variance gamma model has a shape below ``(d + 1)/2``, its density has a
        cusp, and the likelihood a local maximum at every row nearby. A fit to rows in
        memory, without gaps, goes on from one to the next as long as it gains; not
        under ``jit``. A generalized hyperbolic model with a free order that ends in a
        limit is fitted as a variance gamma model besides, and goes on from there if
        that is better; not under ``jit`` either. Iterations are those of all fits.

        Works under ``jit`` and ``vmap``, where nothing is printed; and under ``grad``,
        ``jvp`` and ``vjp`` by ``X`` and ``weights``, as an implicit function at its
        maximum. Ctrl-C returns the last complete iteration.

        **Raises**: ``ValueError`` for data of another width, too few rows (``d + 1``
        for a full dispersion), columns that are constant or depend on each other
        linearly (of a factor form: that are equal up to their units), NaN or infinite
        entries, an iterator that can be gone through only once, weights that do not
        fit, and constraints that the family does not have; with ``missing="em"``, a
        column without any entry, and for a full dispersion two columns that are never
        seen together.
        """
        check_option("missing", missing, MISSING)
        if n_starts < 1:
            raise ValueError(f"n_starts must be at least 1, got {n_starts}")
        with eagerly(self, model, X if isinstance(X, jax.Array) else None, weights):
            how = n_starts, key, callback, missing
            return self._fit(model, X, weights, *how)

    def _fit(self, model, X, weights, n_starts, key, callback, missing) -> EMResult:
        began = time.perf_counter()
        self.held(model)
        traced = is_traced(self)
        data = data_of(model, X, weights, self.chunk_size, missing, traced)
        dtype = jnp.result_type(data.dtype, model.joint.mu)
        joint = jax.tree.map(lambda leaf: as_float(leaf).astype(dtype), model.joint)
        if n_starts == 1:
            joints = [joint]
        elif data.sample is None:
            raise ValueError(
                "n_starts needs data in memory: find the best start on a sample"
            )
        else:
            key = jax.random.key(0) if key is None else key
            centre, cov = mean_and_covariance(without_gaps(data.sample))
            keys = jax.random.split(key, n_starts - 1)
            others = [random_joint(joint, centre, cov, k) for k in keys]
            joints = [joint, *others]
        report = Report(0 if data.source is None else self.verbose)
        report.header(type(model).__name__, self)

        def told(at: Iteration) -> None:
            if n_starts == 1:
                report.row(at)
            if callback is not None:
                callback(at)

        def run(start: JointNormalMixture) -> EMResult:
            found = self._run(model, start, data, told)
            found = self._beside_cusps(found, model, data, told)
            return self._by_family_within(found, start, model, data, told)

        if n_starts == 1:
            result = run(joint)
        elif data.source is None:
            result = best_of_batch(jax.vmap(run)(stacked(joints)))
        else:
            result = best([run(start) for start in joints], self.max_iter)
        seconds = time.perf_counter() - began
        if data.source is not None:
            result = eqx.tree_at(lambda r: r.elapsed_time, result, seconds)
        report.starts(result)
        report.closing(result)
        return result

    def _beside_cusps(self, found: EMResult, like, data: FitData, told) -> EMResult:
        """Where every row is a local maximum, the best of those nearby."""
        rows = data.source
        # A rule may have another aim than the likelihood.
        free = self.held(like).mu is None and self.eta_update is None
        if not isinstance(rows, np.ndarray) or data.missing_share > 0 or not free:
            return found
        if not (found.converged and has_cusp(found.model.joint)):
            return found

        def again(start: JointNormalMixture, told, left: int) -> EMResult:
            shorter = dataclasses.replace(self, max_iter=left)
            return shorter._run(like, start, data, told)

        def log_likelihood(joint: JointNormalMixture) -> float:
            plan, asked = self._asked(joint, data.rows, data.n, self.held(like))
            vector = posed(asked, plan)[1]
            swept = data.rows.swept(vector, plan.frame, self.e_step_backend)
            total, size = np.asarray(swept.head)[:2]
            return float(total / size)

        about = rows, np.asarray(data.rows.scale), self.tol / data.n
        how = *about, self.max_iter, told
        return from_row_to_row(found, again, log_likelihood, *how)

    def _by_family_within(self, found, start, like, data: FitData, told) -> EMResult:
        """Where a free order ended in a limit, the best that leads there."""
        free = self.held(like).p is None and self.eta_update is None
        if data.source is None or not (free and has_family_within(found, start)):
            return found

        def again(joint: JointNormalMixture, told, left: int) -> EMResult:
            shorter = dataclasses.replace(self, max_iter=left)
            model = like._sibling(joint)
            fit = shorter._run(model, joint, data, told)
            return shorter._beside_cusps(fit, model, data, told)

        least = self.tol / data.n
        return by_family_within(found, start, again, least, self.max_iter, told)

    def _run(self, like: MarginalMixture, joint, data: FitData, told) -> EMResult:
        """One fit from one start."""
        rows, held, rule = data.rows, self.held(like), self.eta_update
        plan, asked = self._asked(joint, rows, data.n, held)
        memory = None
        if rule is not None:
            memory = Memory(joint.expectations(), rule.initial_state())
        if (outline := rows.outline) is not None:
            rehearsed(asked, memory, outline, plan)
        problem, vector = posed(asked, plan)
        begin = vector, memory, rows, problem, plan, self.max_iter
        if data.source is None and memory is None:
            assert isinstance(rows, InOne)
            seen = rows.X, rows.weights, vector, problem
            how = plan, self.max_iter, rows.layout, rows.missing
            found, status, history = maximised(*how, *seen)
        elif data.source is None:
            state, status, history = traced(*begin)
            found = state.model
        else:
            state, status, history = driven(*begin, told)
            found = state.model
        fitted = of_vector(found, plan.frame, type(joint), rows.centre)
        if held.mu is not None:
            # To the last bit, which moving to the data's mean and back may change.
            mu = held.mu.astype(fitted.mu.dtype)
            fitted = eqx.tree_at(lambda j: j.mu, fitted, mu)
        at = ended(cast(Array, status))
        if data.source is not None:
            at = self._seen(fitted, at, data)
        limit = None
        if data.source is not None and at.outcome in AT_REST:
            gig, has_order = np.asarray(found)[-3:], plan.law.has_order
            # The best normal law of data with gaps is not at hand.
            known = None if data.missing_share else data.source
            limit = edge(at, gig, has_order, float(data.n), known, data.weights)
        return self._result(like, fitted, at, history, data, held, limit)

    def _asked(self, joint, rows: Rows, n, held: Held) -> tuple[Plan, Asked]:
        plan = Plan(
            joint.frame,
            joint._subordinator_class,
            self.algorithm,
            self._acceleration,
            self.e_step_backend,
            self.solver(),
            self.symmetric,
        )
        gauge = float(REGULARIZATIONS.index(self.regularization))
        numbers = self.tol, n, gauge
        return plan, Asked(
            joint, rows.centre, rows.scale, *numbers, held, self.eta_update
        )

    def _seen(self, fitted: JointNormalMixture, at: Status, data) -> Status:
        """As numbers of Python; a pole has no maximum to converge to."""
        outcome, value = Outcome(int(at.outcome)), float(at.log_likelihood)
        at = at._replace(outcome=outcome, n_iter=int(at.n_iter), log_likelihood=value)
        mean = 1.0 if data.weights is None else float(data.weights.sum() / data.n)
        about = data.source, data.rows.scale, float(at.share) / mean, data.weights
        thin = float(at.s) >= 0.1 * thinnest(fitted.mu.dtype)
        if ends_at_pole(outcome, fitted, *about, thin):
            at = at._replace(outcome=Outcome.UNBOUNDED)
        return at

    def _result(
        self,
        like,
        fitted: JointNormalMixture,
        at,
        history,
        data: FitData,
        held: Held,
        limit,
    ) -> EMResult:
        is_bounded, least = bounded(held, like.d), held.alpha_min
        ties, has_pole = None, fitted.subordinator.bounded_below and not is_bounded
        if data.source is not None and (has_pole or at.outcome == Outcome.UNBOUNDED):
            ties = largest_group(data.source, data.weights)
        kept = self.verbose >= 1 or self.track_ll
        columns = [jax.device_put(history[:, k]) for k in range(3)]
        ll, changes, criteria = columns if kept else (None,) * 3
        return EMResult(
            model=type(like)(fitted),
            log_likelihoods=ll,
            param_changes=changes,
            n_iter=at.n_iter,
            converged=at.outcome == Outcome.CONVERGED,
            elapsed_time=np.full((), np.nan),
            log_likelihood=at.log_likelihood,
            outcome=at.outcome,
            criteria=criteria,
            ties=ties,
            bounded=is_bounded,
            edge=limit,
            n_obs=data.total,
            left_out=data.left_out,
            missing_share=data.missing_share,
            held=self.held_names(),
            alpha_min=None if least is None or is_traced(least) else float(least),
        )


def _before_fit(joint: JointNormalMixture, rows: Blocks) -> None:
    """Compile a fit with the default options; see :data:`BEFORE_FITS`."""
    plan, asked = BatchEMFitter()._asked(joint, rows, float(rows.n), Held())
    rehearsed(asked, None, rows, plan)


BEFORE_FITS.append(_before_fit)
