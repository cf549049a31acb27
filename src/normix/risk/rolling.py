"""A law for every day, fitted to the days before it."""

from __future__ import annotations

import hashlib
import os
import time
from pathlib import Path
from typing import NamedTuple
from zipfile import BadZipFile

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from normix._compile import small
from normix._progress import Counter
from normix.fitting.em.batch import BatchEMFitter
from normix.fitting.em.outcome import Outcome
from normix.fitting.em.result import EMResult
from normix.mixtures.cholesky import CholeskyDispersion
from normix.mixtures.law import Frame, Law
from normix.mixtures.marginal import MarginalMixture

# A law of one variable as a vector: μ, γ, the root of Σ, and the law of Y.
OF_RETURN = Frame(CholeskyDispersion, 1, 0)
_SIZE = 6
_SECONDS_A_CHECKPOINT = 5.0


class Schedule(NamedTuple):
    """Day ``t`` is foretold from ``window`` days before it, or all if ``expanding``;
    and every ``refit`` days anew.
    """

    window: int
    refit: int
    expanding: bool

    def rows(self, t: int) -> slice:
        """The rows that the law of row ``t`` is fitted to."""
        return slice(0 if self.expanding else t - self.window, t)


class Rolled(NamedTuple):
    """The laws of the return, as vectors, and how the fits that gave them ended."""

    laws: Float[np.ndarray, "n 6"]
    outcomes: Int[np.ndarray, " n"]


class _State(NamedTuple):
    """How far the fits have come: enough to go on with the same result."""

    rolled: Rolled
    done: int
    vector: np.ndarray  # of the last model


def rolled(
    model: MarginalMixture,
    X: Float[np.ndarray, "n d"],
    w: Float[np.ndarray, " d"],
    schedule: Schedule,
    fitter: BatchEMFitter,
    missing: str,
    checkpoint: Path | None,
    progress: bool,
) -> Rolled:
    """The law of ``wᵀX`` for every row from ``window`` on; fewer after Ctrl-C."""
    n = len(X) - schedule.window
    frame = model.joint.frame
    print_ = _fingerprint(model, X, w, schedule, fitter, missing)
    state = None if checkpoint is None else _read(checkpoint, print_, n)
    if state is None:
        nothing = Rolled(np.full((n, _SIZE), np.nan), np.zeros(n, int))
        state = _State(nothing, 0, np.asarray(frame.pack(model.joint.law())))
    (laws, outcomes), done, vector = state
    saved, weights = time.perf_counter(), jnp.asarray(w)
    law = laws[done - 1] if done else None
    failed = int((outcomes[:done] != Outcome.CONVERGED).sum())
    try:
        with Counter(n, "days", shown=progress, before=done) as counter:
            for k in range(done, n):
                if law is None or k % schedule.refit == 0:
                    rows = schedule.rows(schedule.window + k)
                    start = _of(model, jnp.asarray(vector))
                    fit = _fit(start, X, rows, fitter, missing)
                    if fit.interrupted:
                        break
                    outcomes[k] = fit.outcome
                    packed = frame.pack(fit.model.joint.law())
                    law = np.asarray(_of_return(packed, weights, frame))
                    vector = np.asarray(packed)
                else:
                    outcomes[k] = outcomes[k - 1]
                laws[k], done = law, k + 1
                failed += outcomes[k] != Outcome.CONVERGED
                note = f", {failed} not converged" if failed else ""
                counter.tell(done, note)
                late = time.perf_counter() - saved > _SECONDS_A_CHECKPOINT
                if checkpoint is not None and late:
                    _write(
                        checkpoint,
                        print_,
                        _State(Rolled(laws, outcomes), k + 1, vector),
                    )
                    saved = time.perf_counter()
    except KeyboardInterrupt:
        pass
    if checkpoint is not None:
        _write(checkpoint, print_, _State(Rolled(laws, outcomes), done, vector))
    if done < 1:
        raise KeyboardInterrupt
    return Rolled(laws[:done], outcomes[:done])


def _fit(
    start: MarginalMixture,
    X: np.ndarray,
    rows: slice,
    fitter: BatchEMFitter,
    missing: str,
) -> EMResult:
    """A fit from the law of the day before; from the data alone where that fails."""
    here = X[rows] if start._axes == 2 else X[rows, 0]
    try:
        fit = fitter.fit(start, here, missing=missing)
        if fit.interrupted or fit.outcome == Outcome.CONVERGED:
            return fit
        rank = start.joint.dispersion.rank
        size = (rank,) if rank else ()
        anew = type(start).default_init(here, *size, missing=missing)
        other = fitter.fit(anew, here, missing=missing)
    except ValueError as error:
        raise ValueError(f"rows {rows.start} to {rows.stop - 1}: {error}") from None
    return other if _better(other, fit) else fit


def _better(one: EMResult, other: EMResult) -> bool:
    ends = [
        (fit.outcome == Outcome.CONVERGED, fit.log_likelihood) for fit in (one, other)
    ]
    return ends[0] > ends[1]


def _of(model: MarginalMixture, vector: Array) -> MarginalMixture:
    """The model of the same class and size that a vector holds."""
    return type(model)(type(model.joint).of_law(model.joint.frame.unpack(vector)))


@small("frame")
def _of_return(vector: Array, w: Array, frame: Frame) -> Array:
    """The law of ``wᵀX``, as a vector."""
    law = frame.unpack(vector)
    spread = w @ law.dispersion.matrix() @ w
    root = CholeskyDispersion(jnp.sqrt(spread)[None, None])
    mu, gamma = (w @ law.mu)[None], (w @ law.gamma)[None]
    return OF_RETURN.pack(Law(mu, gamma, root, law.gig))


# -- checkpoints ---------------------------------------------------------------------


def _fingerprint(model, X, w, schedule, fitter, missing) -> str:
    """Of all that the result depends on."""
    digest = hashlib.sha256(repr((type(model), schedule, fitter, missing)).encode())
    for leaf in (*jax.tree.leaves((model, fitter)), X, w):
        array = np.ascontiguousarray(leaf)
        digest.update(repr((array.shape, array.dtype)).encode() + array.tobytes())
    return digest.hexdigest()


def _read(path: Path, print_: str, n: int) -> _State | None:
    """What was saved, None where nothing was.

    **Raises**: ``ValueError`` for a file of other work.
    """
    if not path.exists():
        return None
    try:
        with np.load(path) as held:
            parts = {name: held[name] for name in ("print", "laws", "outcomes")}
            done, vector = int(held["done"]), held["vector"]
    except (KeyError, OSError, ValueError, EOFError, BadZipFile) as error:
        raise ValueError(f"{path} is not a checkpoint of a backtest: {error}") from None
    if str(parts["print"]) != print_ or len(parts["laws"]) != n:
        raise ValueError(
            f"{path} is the checkpoint of another backtest: of other data, another "
            "model or other options; remove it, or name another file"
        )
    return _State(Rolled(parts["laws"], parts["outcomes"]), done, vector)


def _write(path: Path, print_: str, state: _State) -> None:
    """Save, so that a stop at any time leaves the file before or this one."""
    part = path.with_name(path.name + ".part")
    (laws, outcomes), done, vector = state
    with part.open("wb") as file:
        np.savez(
            file,
            print=print_,
            laws=laws,
            outcomes=outcomes,
            done=done,
            vector=vector,
        )
    os.replace(part, path)
