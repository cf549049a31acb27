"""The bootstrap: fits to resampled data, and intervals from them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, ArrayLike, Float, Int, PRNGKeyArray

from normix._arrays import check_option
from normix._missing import present
from normix._progress import Counter
from normix.fitting.em.batch import BatchEMFitter
from normix.fitting.em.outcome import Outcome
from normix.fitting.em.starts import stacked
from normix.mixtures.marginal import MarginalMixture
from normix.uncertainty.inference import inference

KINDS = ("rows", "parametric", "block")
METHODS = ("percentile", "bca")
# One object, by whose identity compiled batches of fits are found again.
DEFAULT_FITTER = BatchEMFitter()


@dataclass(frozen=True, eq=False)
class Bootstrap:
    """Fits to resampled data.

    - ``models``: the fitted models of those that converged, as one model with an axis
      of resamples in front of every leaf.
    - ``model``: that of the data themselves.
    - ``outcomes``: of every resample its :class:`~normix.Outcome`; those that did not
      converge are not among ``models``, and ``n_failed`` counts them.
    - ``kind``: how the data were resampled.
    """

    models: Any
    model: MarginalMixture
    outcomes: Int[np.ndarray, " n"]
    kind: str
    _data: tuple[Any, dict[str, Any]]

    @property
    def n_failed(self) -> int:
        """How many of the fits did not converge."""
        return int((self.outcomes != Outcome.CONVERGED).sum())

    def estimate(self, f: Callable[[Any], ArrayLike]) -> Float[Array, "n ..."]:
        """``f`` of every fitted model, along the first axis."""
        return _of_models(self.models, f)

    def std(self, f: Callable[[Any], ArrayLike]) -> Float[Array, "..."]:
        """The standard error of ``f``: its standard deviation over the resamples."""
        return self.estimate(f).std(axis=0, ddof=1)

    def conf_int(
        self,
        f: Callable[[Any], ArrayLike],
        *,
        alpha: float = 0.05,
        method: str = "percentile",
    ) -> Float[np.ndarray, "... 2"]:
        """An interval of confidence ``1 - alpha`` for ``f``, which may be an array.

        ``method``: "percentile", or "bca", which corrects bias and skewness (Efron,
        J. Am. Stat. Assoc. 82, 1987); its acceleration comes from the influence of
        every row, to first order, and resampled rows.

        **Raises**: ``ValueError`` for another method, an ``alpha`` outside ``(0, 1)``,
        and "bca" of a parametric bootstrap or one of blocks.
        """
        check_option("method", method, METHODS)
        if not 0 < alpha < 1:
            raise ValueError(f"alpha must be between 0 and 1, got {alpha}")
        if method == "bca" and self.kind != "rows":
            raise ValueError(f'"bca" takes resampled rows, not kind={self.kind!r}')
        values = np.asarray(self.estimate(f), float)
        ends = np.array([0.5 * alpha, 1 - 0.5 * alpha])
        shape = values.shape[1:]
        values = values.reshape(len(values), -1)
        levels = np.tile(ends, (values.shape[1], 1))
        if method == "bca":
            levels = self._corrected(f, values, ends)
        pairs = zip(values.T, levels, strict=True)
        found = np.array([np.quantile(v, level) for v, level in pairs])
        return found.reshape(*shape, 2)

    def _corrected(self, f, values: np.ndarray, ends: np.ndarray) -> np.ndarray:
        from scipy import special  # here, for a quick import of normix

        X, options = self._data
        here = np.asarray(f(self.model), float).ravel()
        below = (values < here).mean(axis=0) + 0.5 * (values == here).mean(axis=0)
        n = len(values)
        bias = special.ndtri(np.clip(below, 0.5 / n, 1 - 0.5 / n))[:, None]
        # Left out, a row changes f by minus what the jackknife's pseudo-value has.
        rows = -inference(self.model, X, **options).influence(f)
        rows = rows.reshape(len(rows), -1)
        spread = (rows**2).sum(axis=0)
        skew = (rows**3).sum(axis=0) / np.where(spread > 0, spread, 1.0) ** 1.5
        z = bias + special.ndtri(ends)
        return special.ndtr(bias + z / (1 - skew[:, None] / 6 * z))


@partial(jax.jit, static_argnums=1)
def _of_models(models: Any, f: Callable[[Any], ArrayLike]) -> Array:
    return jax.vmap(lambda model: jnp.asarray(f(model)))(models)


def _with_gaps(key: PRNGKeyArray, model: Any, rows: Array) -> Array:
    """As many draws from the model as there are rows, with their gaps."""
    return jnp.where(jnp.isnan(rows), jnp.nan, model.rvs(len(rows), key=key))


drawn_like = jax.jit(_with_gaps)


@partial(jax.jit, static_argnums=(3, 4))
def _drawn(
    key: PRNGKeyArray, model: MarginalMixture, rows: Any, kind: str, length: int
) -> Array:
    """Resampled data, as many rows as there are."""
    rows, m = jnp.asarray(rows), len(rows)
    if kind == "parametric":
        return _with_gaps(key, model, rows)
    if kind == "rows":
        return rows[jax.random.randint(key, (m,), 0, m)]
    starts = jax.random.randint(key, (-(-m // length),), 0, m - length + 1)
    return rows[(starts[:, None] + np.arange(length)).ravel()[:m]]


@partial(jax.jit, static_argnums=(4, 5, 6))
def _fitted(
    keys: PRNGKeyArray,
    fitter: BatchEMFitter,
    model: MarginalMixture,
    rows: Any,
    kind: str,
    length: int,
    missing: str,
) -> Any:
    """As many resamples as there are keys, and fits to them, side by side."""

    def one(key):
        drawn = _drawn(key, model, rows, kind, length)
        return drawn, fitter.fit(model, drawn, missing=missing)

    return jax.vmap(one)(keys)


class Refit(NamedTuple):
    """A resample, the model fitted to it, and how the fit ended."""

    rows: Any
    model: Any
    outcome: int


def refits(
    model: MarginalMixture,
    rows: Any,
    n: int,
    *,
    key: PRNGKeyArray,
    kind: str,
    fitter: BatchEMFitter,
    length: int = 1,
    batch: int = 1,
    missing: str = "raise",
) -> Iterator[Refit]:
    """Fits to ``n`` resamples of checked rows; see :func:`bootstrap`."""
    keys = jax.random.split(key, n)
    for begin in range(0, n, batch):
        if batch == 1:
            drawn = np.asarray(_drawn(keys[begin], model, rows, kind, length))
            fit = fitter.fit(model, drawn, missing=missing)
            yield Refit(drawn, fit.model, int(fit.outcome))
            continue
        # The last batch is as long as the others, and cut.
        chosen = np.minimum(np.arange(begin, begin + batch), n - 1)
        how = kind, length, missing
        every, fits = _fitted(keys[chosen], fitter, model, rows, *how)
        for k, outcome in enumerate(np.asarray(fits.outcome)[: n - begin]):
            one = jax.tree.map(lambda leaf, k=k: leaf[k], fits.model)
            yield Refit(every[k], one, int(outcome))


def bootstrap(
    model: MarginalMixture,
    X: ArrayLike,
    n: int = 200,
    *,
    key: PRNGKeyArray,
    kind: str = "rows",
    fitter: BatchEMFitter | None = None,
    block_length: int | None = None,
    batch: int = 1,
    progress: bool = False,
    missing: str = "raise",
) -> Bootstrap:
    """Fit ``n`` resamples of the data, each from ``model``.

    - ``model``: fitted to ``X``, of shape ``(m, d)``, or ``(m,)`` for a univariate one.
    - ``key``: a JAX random key.
    - ``kind``: "rows", drawn with replacement; "parametric", drawn from ``model``;
      "block", moving blocks of ``block_length`` rows, by default the cube root of m,
      for rows that depend on those before (Künsch, Ann. Statist. 17, 1989).
    - ``fitter``: by default ``BatchEMFitter()``; what the fit of ``model`` held, this
      has to hold as well.
    - ``batch``: how many fits one compiled call makes side by side. With 1 each runs on
      the programs of a single fit and nothing is compiled. A batch compiles for some
      seconds, and then fits small data several times as fast; on an accelerator it
      fills the machine. It takes memory for as many copies of the data, with a dozen
      columns besides.
    - ``progress``: whether to count the fits on standard error.
    - ``missing``: as of :meth:`BatchEMFitter.fit`; draws from ``model`` have the gaps
      of ``X``.

    **Raises**: ``ValueError`` for an unknown ``kind``, numbers that are not positive,
    data that do not fit the model, and where no fit converged.

    >>> import jax
    >>> import numpy as np
    >>> import normix
    >>> X = np.random.default_rng(0).standard_t(5, 300)
    >>> fit = normix.UnivariateNormalInverseGaussian.default_init(X).fit(X)
    >>> resampled = normix.bootstrap(fit.model, X, 20, key=jax.random.key(0))
    >>> bool(0.02 < resampled.std(lambda model: model.mean()) < 0.2)
    True
    """
    check_option("kind", kind, KINDS)
    rows = np.asarray(model._rows(X, model.d, missing=missing != "raise"))
    found = present(rows, None, missing)
    rows, missing = found.rows, "em" if found.has_gaps else "raise"
    if model._axes == 1:
        rows = rows[:, 0]
    m = len(rows)
    length = max(1, round(m ** (1 / 3))) if block_length is None else block_length
    for name, value in (("n", n), ("block_length", length), ("batch", batch)):
        if value < 1:
            raise ValueError(f"{name} must be at least 1, got {value}")
    if length > m:
        raise ValueError(f"blocks of {length} rows are longer than the {m} rows of X")
    asked = DEFAULT_FITTER if fitter is None else fitter
    models, outcomes = [], []
    how = {"kind": kind, "length": length, "batch": batch, "missing": missing}
    with Counter(n, "fits", shown=progress) as counter:
        for refit in refits(model, rows, n, key=key, fitter=asked, **how):
            outcomes.append(refit.outcome)
            if refit.outcome == Outcome.CONVERGED:
                models.append(refit.model)
            failed = len(outcomes) - len(models)
            counter.tell(len(outcomes), f", {failed} failed")
    if not models:
        raise ValueError("no fit to resampled data converged")
    held = {
        "fix": [name for name in asked.held_names() if name != "gamma"],
        "symmetric": asked.symmetric,
        "alpha_min": asked.held(model).alpha_min,
        "missing": missing,
    }
    every = stacked(models)
    return Bootstrap(every, model, np.array(outcomes), kind, (rows, held))
