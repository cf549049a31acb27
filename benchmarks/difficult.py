"""Fits of data that no normal mixture made, against the best that a search finds.

``python -m benchmarks.difficult [--seeds FIRST LAST] [--d D] [--families NIG,...]
[--problems FILE] [--best FILE] [--search] [--peers]``

``--search`` looks for the best likelihoods that are not kept yet, which takes about a
second for each family and set, and keeps them. ``--problems`` names a Python file with
a function ``problem(seed, n, d)`` that makes other sets; its best likelihoods are kept
in the file that ``--best`` names.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import scipy.optimize
import scipy.stats

import normix
from normix import BatchEMFitter

jax.config.update("jax_enable_x64", True)

FAMILIES = {
    "NIG": "NormalInverseGaussian",
    "VG": "VarianceGamma",
    "t": "NormalInverseGamma",
    "GH": "GeneralizedHyperbolic",
}
PEERS = {"NIG": scipy.stats.norminvgauss, "GH": scipy.stats.genhyperbolic}
KEPT = Path(__file__).parent / "results" / "difficult_best.json"
N = 600
TOL = 1e-6


def problem(seed: int, n: int = N, d: int = 1) -> np.ndarray:
    """Data ``(n,)``, or ``(n, d)`` for more than one column; of eight kinds."""
    rng = np.random.default_rng([seed, d])
    noise = rng.standard_normal((n, d))
    kinds = (
        # one-sided, with and without a hard edge
        lambda: rng.standard_gamma(rng.uniform(0.7, 5.0), (n, d)),
        lambda: np.exp(rng.uniform(0.3, 1.3) * noise),
        # two humps
        lambda: _humps(rng, noise),
        # lighter tails than the normal law's
        lambda: rng.uniform(-1, 1, (n, d)) + rng.uniform(0.02, 0.25) * noise,
        # levels in place of changes
        lambda: np.exp(0.02 * np.cumsum(noise, axis=0)),
        # extremes, of either sign
        lambda: (
            rng.choice([-1, 1]) * rng.gumbel(size=(n, d)) + rng.uniform(0, 0.5) * noise
        ),
        # far outliers
        lambda: noise + 40 * (rng.random((n, 1)) < 0.02) * rng.standard_t(1.2, (n, d)),
        # a common factor that skews
        lambda: (
            rng.exponential(1, (n, 1)) * rng.standard_normal(d)
            + rng.uniform(0.05, 1.0) * noise
        ),
    )
    x = kinds[seed % 8]() * 10.0 ** rng.integers(-4, 5)
    if seed // 8 % 2:  # rounded: values repeat
        x = np.round(x / x.std(axis=0), 2)
    return x[:, 0] if d == 1 else x


def _humps(rng: np.random.Generator, noise: np.ndarray) -> np.ndarray:
    n, d = noise.shape
    centre, width = rng.uniform(-6, 6, d), rng.uniform(0.1, 2.0)
    second = rng.random((n, 1)) < rng.uniform(0.1, 0.9)
    return np.where(second, centre + width * noise, noise)


# -- the search ----------------------------------------------------------------------


@jax.jit
def _value_and_gradient(like, point, X):
    """Of minus the mean log-likelihood."""
    at = like.at(point)
    return -at.joint.log_prob_marginal(X).mean(), -at.score(X).mean(axis=0)


def starts(first, X: np.ndarray) -> list[np.ndarray]:
    """Coordinates of eight laws: the first, a symmetric one, and six skewed ones.

    Those have light, middling and heavy tails, on either side of standardised data.
    """
    d = X.shape[1]
    point = np.asarray(first.coordinates())
    mixing = 2 * d + d * (d + 1) // 2
    root = np.linalg.cholesky(np.cov(X.T, bias=True).reshape(d, d))
    white = np.linalg.solve(root, X.T)
    direction = (white**2).sum(axis=0) @ white.T
    direction = direction / np.linalg.norm(direction)
    whole = np.log(np.diagonal(root)), root[np.tril_indices(d, -1)]
    normal = np.concatenate([np.zeros(2 * d), *whole])
    found = [point, np.concatenate([normal, point[mixing:]])]
    for share in (-1.1, 1.1):  # arsinh of √(δᵀΣ⁻¹δ)
        for log_omega in (-1.0, 0.5, 2.0):
            other = np.concatenate([normal, point[mixing:]])
            other[d : 2 * d] = share * direction
            other[mixing] = log_omega
            found.append(other)
    return found


def search(family: str, X: np.ndarray) -> float | None:
    """The highest log-likelihood from eight starts; None where it has no bound.

    By SciPy's L-BFGS-B on the exact likelihood. Each end is a start of a fit besides,
    which knows a pole when it sees one.
    """
    rows = X.reshape(len(X), -1)
    unit = rows.std(axis=0)
    rows = (rows - rows.mean(axis=0)) / unit
    cls = getattr(normix, FAMILIES[family])
    first = cls.default_init(rows)
    fitter = BatchEMFitter(tol=1e-8, max_iter=1000)
    data = jnp.asarray(rows)

    def objective(point):
        value, slope = _value_and_gradient(first, point, data)
        return float(value), np.asarray(slope)

    best = -np.inf
    for point in starts(first, rows):
        with np.errstate(all="ignore"):
            end = scipy.optimize.minimize(
                objective, point, jac=True, method="L-BFGS-B", options={"maxiter": 300}
            )
        model = first.at(end.x)
        if not np.isfinite(end.fun) or not np.isfinite(end.x).all():
            model = first.at(point)
        fit = fitter.fit(model, rows)
        if not (fit.unbounded or fit.diverged):
            best = max(best, float(fit.log_likelihood) * len(rows))
    return best - len(rows) * np.log(unit).sum() if np.isfinite(best) else None


# -- what is shown -------------------------------------------------------------------


def compare(family: str, d: int, seeds: range, make: Callable, best: dict) -> list:
    """A record of each fit: the shortfall in nats, E-steps, outcome, seconds."""
    cls = getattr(normix, ("Univariate" if d == 1 else "") + FAMILIES[family])
    records = []
    for seed in seeds:
        X = make(seed, N, d)
        began = time.perf_counter()
        fit = cls.default_init(X).fit(X, tol=TOL)
        seconds = time.perf_counter() - began
        known = best.get(f"{family} {d} {seed}")
        total = float(fit.log_likelihood) * N
        short = np.nan if known is None else known - total
        outcome = fit.outcome.name.lower()
        records.append((seed, short, int(fit.n_iter), outcome, seconds, total))
    return records


def by_peer(family: str, seeds: range, make: Callable, best: dict) -> list:
    """The same of SciPy's fits of univariate laws, columns standardised."""
    records = []
    for seed in seeds:
        x = make(seed, N, 1)
        unit = x.std()
        began = time.perf_counter()
        total = np.nan
        with np.errstate(all="ignore"):
            try:
                found = PEERS[family].fit((x - x.mean()) / unit)
                total = PEERS[family].logpdf((x - x.mean()) / unit, *found).sum()
            except (RuntimeError, scipy.stats.FitError):
                pass
        seconds = time.perf_counter() - began
        known = best.get(f"{family} 1 {seed}")
        short = np.nan if known is None else known + N * np.log(unit) - total
        records.append((seed, short, 0, "", seconds, total))
    return records


def show(title: str, records: list) -> None:
    """One line of figures, and one of what ended how."""
    short = np.array([r[1] for r in records])
    steps = np.array([r[2] for r in records])
    known = np.isfinite(short)
    shares = "no best likelihood known"
    if known.any():
        near = (short[known] <= 0.01).mean()
        shares = (
            f"within .01 nats {near:6.1%}, more than .5 short "
            f"{(short[known] > 0.5).sum():3d}, worst {short[known].max():8.3g}"
        )
    seconds = np.median([r[4] for r in records])
    print(
        f"{title:16} {shares}; E-steps median {np.median(steps):3.0f}, "
        f"95 % {np.quantile(steps, 0.95):3.0f}; {1e3 * seconds:.0f} ms"
    )
    print(f"{'':16} {dict(Counter(r[3] for r in records))}", flush=True)
    far = sorted(records, key=lambda r: -np.nan_to_num(r[1], nan=-np.inf))[:5]
    listed = ", ".join(f"{r[0]}: {r[1]:.3g}" for r in far if r[1] > 0.01)
    if listed:
        print(f"{'':16} farthest short, by seed: {listed}", flush=True)


def _maker(path: str | None) -> Callable[..., np.ndarray]:
    if path is None:
        return problem
    spec: Any = importlib.util.spec_from_file_location("problems", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.problem


def main() -> None:
    """Run what the command line asks for."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.difficult")
    parser.add_argument("--seeds", type=int, nargs=2, default=(1000, 1100))
    parser.add_argument("--d", type=int, default=1)
    parser.add_argument("--families", default="NIG,VG,t,GH")
    parser.add_argument("--problems")
    parser.add_argument("--best", type=Path, default=KEPT)
    parser.add_argument("--search", action="store_true")
    parser.add_argument("--peers", action="store_true")
    asked = parser.parse_args()
    make, seeds = _maker(asked.problems), range(*asked.seeds)
    best = json.loads(asked.best.read_text()) if asked.best.exists() else {}
    for family in asked.families.split(","):
        if asked.search:
            for seed in seeds:
                key = f"{family} {asked.d} {seed}"
                if key not in best:
                    best[key] = search(family, make(seed, N, asked.d))
            asked.best.write_text(json.dumps(best, indent=0) + "\n")
        records = compare(family, asked.d, seeds, make, best)
        show(f"{family}, d = {asked.d}", records)
        for seed, short, *_, total in records:
            key = f"{family} {asked.d} {seed}"
            if asked.search and short < 0:  # the search found less
                best[key] = total
        if asked.peers and asked.d == 1 and family in PEERS:
            show(f"SciPy's {family}", by_peer(family, seeds, make, best))
    if asked.search:
        asked.best.write_text(json.dumps(best, indent=0) + "\n")


if __name__ == "__main__":
    main()
