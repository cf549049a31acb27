"""Fits of finite mixtures: EM for all components together, accelerated."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import KW_ONLY
from typing import Any, NamedTuple

import equinox as eqx
import jax
import numpy as np
from jaxtyping import Array, ArrayLike, Float

from normix._arrays import as_float, check_option, is_traced
from normix._missing import MISSING, without_gaps
from normix._passes import passes_over
from normix.fitting.em.data import FitData, data_of
from normix.fitting.em.outcome import Outcome
from normix.fitting.finite.result import FiniteMixtureResult
from normix.fitting.finite.turn import (
    Turned,
    back,
    begun,
    moved,
    onward,
    probing,
    turned,
)
from normix.mixtures.finite import FiniteMixture
from normix.mixtures.finite_steps import (
    MIN_SCALE,
    Bounds,
    Member,
    Place,
    at_least,
    bounds_for,
    within,
)
from normix.mixtures.initial import mean_and_covariance
from normix.mixtures.joint import JointNormalMixture
from normix.mixtures.maximum import nowhere
from normix.mixtures.model_steps import of_vector, packed
from normix.mixtures.patterns import Patterned
from normix.mixtures.rows import Blocks

# A fall of the mean log-likelihood by so many units in the last place of 1 + |it| is
# rounding: the tables of the E-step are good to some tens of them.
_ROUNDING = 256


class MixtureIteration(NamedTuple):
    """What a callback is told after each iteration; ``gain``: what is to be had yet."""

    n_iter: int
    log_likelihood: float
    gain: float


class FiniteMixtureFitter(eqx.Module):
    """Fits :class:`~normix.FiniteMixture` models by EM, accelerated.

    What is not observed are the mixing variables, and which component a row is of. One
    E-step finds both, by the same pieces as a fit of one law. EM's steps are
    extrapolated by a quasi-Newton method, as those of :class:`~normix.BatchEMFitter`,
    and the likelihood does not fall.

    - ``max_iter``, ``tol``: stop after so many iterations, or when no more than ``tol``
      of log-likelihood, in nats over all rows, is to be gained.
    - ``symmetric``: hold γ = 0 in all components.
    - ``alpha_min``: the least shape of variance gamma components: a number, "density"
      ((d + 1)/2, which bounds their densities), or None.
    - ``min_scale``: the least spread of a component, as a part of the standard
      deviation of all rows along any direction. Without it a component could shrink
      onto a few rows, and the likelihood grow for ever (Hathaway, Ann. Statist. 13,
      1985). It bounds Σ, in the unit of Y in which the density of ``log Y`` is highest
      at 0; of factor forms, ``D``. While it holds a component, the law of its Y stays.
    - ``min_rows``: the least weight of a component, in rows; by default ``d + 1``, and
      of factor forms two more than the factors.
    - ``verbose``: 0 silent, 1 header and closing line, 2 a row an iteration.
    - ``track_ll``: keep the history of the log-likelihood.

    **Raises**: ``ValueError`` for an option out of range.

    >>> import numpy as np
    >>> from normix import FiniteMixture, FiniteMixtureFitter
    >>> rng = np.random.default_rng(0)
    >>> X = np.concatenate([rng.standard_t(5, 300) - 5, rng.standard_t(5, 200) + 5])
    >>> start = FiniteMixture.default_init(X, 2, n_starts=2)
    >>> result = FiniteMixtureFitter().fit(start, X)
    >>> result.converged, [round(float(w), 1) for w in sorted(result.model.weights)]
    (True, [0.4, 0.6])
    """

    _: KW_ONLY
    max_iter: int = eqx.field(static=True, default=500)
    tol: float = eqx.field(static=True, default=1e-3)
    symmetric: bool = eqx.field(static=True, default=False)
    alpha_min: ArrayLike | str | None = "density"
    min_scale: float = eqx.field(static=True, default=MIN_SCALE)
    min_rows: float | None = eqx.field(static=True, default=None)
    verbose: int = eqx.field(static=True, default=0)
    track_ll: bool = eqx.field(static=True, default=False)

    def __hash__(self) -> int:
        return id(self)  # an array has no hash

    def __check_init__(self):
        if self.max_iter < 1:
            raise ValueError(f"max_iter must be at least 1, got {self.max_iter}")
        if not self.tol > 0:
            raise ValueError(f"tol must be positive, got {self.tol}")
        if not 0 < self.min_scale < 1:
            raise ValueError(f"min_scale must be in (0, 1), got {self.min_scale}")
        if self.min_rows is not None and not self.min_rows > 0:
            raise ValueError(f"min_rows must be positive, got {self.min_rows}")
        if self.verbose not in (0, 1, 2):
            raise ValueError(f"verbose must be 0, 1 or 2, got {self.verbose!r}")
        if isinstance(self.alpha_min, str):
            check_option("alpha_min", self.alpha_min, ("density",))
        elif self.alpha_min is not None and not float(as_float(self.alpha_min)) > 0:
            raise ValueError(f"alpha_min must be positive, got {self.alpha_min}")

    def fit(
        self,
        model: FiniteMixture,
        X: ArrayLike,
        *,
        weights: Float[ArrayLike, " n"] | None = None,
        callback: Callable[[MixtureIteration], object] | None = None,
        missing: str = "raise",
    ) -> FiniteMixtureResult:
        """Fit to ``X``, starting at ``model``.

        - ``X``: shape ``(n, d)``, or ``(n,)`` for univariate components.
        - ``weights``: shape ``(n,)``, not negative; they count the rows.
        - ``callback``: called after each iteration with its number, the mean
          log-likelihood, and by how much it may still rise, in nats over all rows.
        - ``missing``: NaN marks a missing entry. "em" uses what each row has, "drop"
          leaves out rows that lack an entry, "raise" refuses them.

        Ctrl-C returns the last complete iteration. The order of the components is that
        of ``model``.

        **Raises**: ``ValueError`` for data of another width, NaN or infinite entries,
        too few rows for all components, columns that are constant or depend on each
        other; and for traced values and data that are not in memory: these fits do not
        work under ``jit`` and ``vmap``.
        """
        check_option("missing", missing, MISSING)
        began = time.perf_counter()
        first = model.components[0]
        if is_traced(model, X, weights) or passes_over(X, first._axes) is not None:
            raise ValueError(
                "a finite mixture is fitted to rows in memory, and not under jit or "
                "vmap"
            )
        data = data_of(first, X, weights, None, missing, False)
        if not isinstance(data.rows, Blocks | Patterned):
            raise ValueError("a finite mixture is fitted to rows on one device")
        run = _Run(self, model, data, data.rows)
        self._told(f"Fitting a mixture of {model.k} components, {data.n:g} rows")
        ended = run.to_the_end(callback, self._told)
        centre = data.rows.centre
        joints = [
            of_vector(vector, member.frame, type(component.joint), centre)
            for vector, member, component in zip(
                ended.place.vectors, run.members, model.components, strict=True
            )
        ]
        shares = np.exp(ended.place.log_weights)
        fitted = FiniteMixture(
            shares / shares.sum(),
            [type(c)(j) for c, j in zip(model.components, joints, strict=True)],
        )
        kept = self.verbose >= 1 or self.track_ll
        result = FiniteMixtureResult(
            model=fitted,
            log_likelihoods=jax.device_put(np.array(run.history)) if kept else None,
            n_iter=max(run.n_iter, 0),
            elapsed_time=time.perf_counter() - began,
            log_likelihood=ended.log_likelihood,
            outcome=run.outcome,
            at_bound=ended.at_bound,
            n_obs=float(data.total),
            left_out=data.left_out,
            missing_share=data.missing_share,
            symmetric=self.symmetric,
        )
        self._told(
            f"{result.message} after {result.n_iter} iterations "
            f"({result.elapsed_time:.2f} s), final LL={result.log_likelihood:.6f}"
        )
        return result

    def _told(self, line: str, level: int = 1) -> None:
        if self.verbose >= level:
            print(line)


class _Accepted(NamedTuple):
    """A place that the fit has come to, and where EM goes from there."""

    place: Place
    log_likelihood: float
    following: Place
    at_bound: tuple[int, ...]


# What a proposal is: EM's own step, a leap of the accelerator, or its probe.
_PLAIN, _LEAP, _PROBE = "plain", "leap", "probe"


class _Run:
    """One fit, turn by turn."""

    def __init__(
        self,
        fitter: FiniteMixtureFitter,
        model: FiniteMixture,
        data: FitData,
        rows: Blocks | Patterned,
    ):
        self._fitter, self._rows = fitter, rows
        self._n = float(data.n)
        self.members = tuple(
            Member(c.joint.frame, type(c.joint.subordinator)) for c in model.components
        )
        seen: Any = without_gaps(data.source)
        _, cov = mean_and_covariance(np.asarray(seen), data.weights)
        self._bounds: Bounds = bounds_for(
            cov.astype(rows.scale.dtype),
            self._n,
            model.k,
            self.members,
            min_scale=fitter.min_scale,
            min_rows=fitter.min_rows,
            alpha_min=fitter.alpha_min,
        )
        dtype = rows.scale.dtype
        self._gauge = nowhere(self.members[0].frame, dtype)[2]
        joints = [
            _with_shape(c.joint, self._bounds.alpha_min)
            if member.has_shape_bound and self._bounds.alpha_min is not None
            else c.joint
            for c, member in zip(model.components, self.members, strict=True)
        ]
        vectors = [
            within(
                _centred(packed(joint), rows.centre, fitter.symmetric),
                self._bounds.least,
                member.frame,
            )[0]
            for joint, member in zip(joints, self.members, strict=True)
        ]
        weights, _ = at_least(np.asarray(model.weights, dtype), self._bounds.share)
        self._proposal = Place(np.log(weights), vectors)
        self._kind = _PLAIN
        self._accelerator: Any = None
        self.n_iter, self.history = -1, []
        self.outcome = Outcome.USED_UP

    def to_the_end(self, callback, told) -> _Accepted:
        """The last accepted place; :attr:`outcome` says why it is the last."""
        at: _Accepted | None = None
        try:
            while self.n_iter < self._fitter.max_iter:
                found = turned(
                    self._proposal,
                    self._rows,
                    self.members,
                    self._bounds,
                    self._gauge,
                    self._fitter.symmetric,
                )
                self.n_iter += 1
                before = at
                at, over = self._judged(found, before)
                if at is not before and before is not None:
                    self._report(at, callback, told)
                if over is not None:
                    self.outcome = over
                    break
        except KeyboardInterrupt:
            if at is None:
                raise
            self.outcome = Outcome.INTERRUPTED
        assert at is not None
        return at

    def _judged(
        self, found: Turned, before: _Accepted | None
    ) -> tuple[_Accepted, Outcome | None]:
        """Accept or refuse the proposal; make the next, or say why there is none."""
        step, kind, n = found.step, self._kind, self._n
        value, tol = step.log_likelihood, self._fitter.tol
        old = -np.inf if before is None else before.log_likelihood
        eps = float(np.finfo(self._rows.scale.dtype).eps)
        slack = _ROUNDING * eps * (1 + abs(old)) if before is not None else 0.0
        good = found.finite and not found.at_pole and value >= old - slack
        if good:
            at = _Accepted(
                self._proposal,
                value,
                step.following,
                tuple(np.nonzero(step.held)[0].tolist()),
            )
            x, g, slope = found.point
            known = begun(x) if self._accelerator is None else self._accelerator
            point, self._accelerator = onward(known, x, g, slope)
            self._gain = 0.5 * n * float(self._accelerator.rate)
            following = _LEAP
            if self._gain <= tol:
                # Nothing by the metric at hand, and then nothing by a probe either.
                if kind == _PROBE and n * (value - old) <= tol:
                    return at, Outcome.CONVERGED
                point, self._accelerator = probing(self._accelerator)
                following = _PROBE
            self._propose(at, point, following)
            return at, None
        if before is None:
            at = _Accepted(self._proposal, value, self._proposal, ())
            return at, Outcome.UNBOUNDED if found.at_pole else Outcome.DIVERGED
        if kind == _PROBE:
            return before, Outcome.CONVERGED
        if kind == _PLAIN:
            if found.at_pole:
                return before, Outcome.UNBOUNDED
            # A fall within the tolerance: the digits end here, at rest.
            stays = found.finite and n * (old - value) <= tol
            return before, Outcome.CONVERGED if stays else Outcome.DIVERGED
        point, self._accelerator = back(self._accelerator)
        self._propose(before, point, _LEAP)
        return before, None

    def _propose(self, at: _Accepted, point: Array, kind: str) -> None:
        """The place with these coordinates, or EM's own step where there is none."""
        scale = self._rows.scale
        there = moved(at.place, point, self._bounds, scale, self.members)
        if there is None:
            self._proposal, self._kind = at.following, _PLAIN
        else:
            self._proposal, self._kind = there, kind

    def _report(self, at: _Accepted, callback, told) -> None:
        self.history.append(at.log_likelihood)
        told(f"{self.n_iter:>9}  {at.log_likelihood:>15.8f}  {self._gain:>10.3e}", 2)
        if callback is not None:
            callback(MixtureIteration(self.n_iter, at.log_likelihood, self._gain))


def _with_shape(joint: JointNormalMixture, alpha_min: Any) -> JointNormalMixture:
    """The law with a shape of at least that."""
    law = joint.subordinator.bounded(None, jax.device_put(alpha_min))
    return eqx.tree_at(lambda j: j.subordinator, joint, law)


def _centred(vector: Array, centre: Any, symmetric: bool) -> Any:
    """A law of X less a centre, without skewness if it is to have none."""
    host = np.array(vector, centre.dtype)
    d = len(centre)
    host[:d] -= centre
    if symmetric:
        host[d : 2 * d] = 0.0
    return jax.device_put(host)
