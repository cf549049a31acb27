"""Finite mixtures: how long a fit takes, and how good fits of simulated groups are.

Fifty problems of two to four skewed groups with heavy tails, in two to five dimensions:
the log-likelihood beside that of the truth, and beside scikit-learn's Gaussian mixture
the criterion of Schwarz and the adjusted Rand index of the groups that are found.
"""

from __future__ import annotations

import statistics
import time
from typing import NamedTuple

import numpy as np
from sklearn.metrics import adjusted_rand_score
from sklearn.mixture import GaussianMixture

import normix
from benchmarks.timing import Row, in_new_process
from normix import FiniteMixture

PROBLEMS = 50
_FIRST = """
import time
import numpy as np
from benchmarks.finite import three_groups
from normix import FiniteMixture
X = three_groups()
begin = time.perf_counter()
FiniteMixture.default_init(X, 3).fit(X)
print(time.perf_counter() - begin)
"""


def three_groups() -> np.ndarray:
    """10,000 rows of five columns."""
    random = np.random.default_rng(1)
    parts = [
        normix.NormalInverseGaussian.from_classical(
            mu=3 * random.normal(size=5),
            gamma=0.5 * random.normal(size=5),
            sigma=np.eye(5),
            mu_ig=1.0,
            lam=1.0,
        )
        for _ in range(3)
    ]
    return np.asarray(FiniteMixture(np.array([0.5, 0.3, 0.2]), parts).rvs(10_000))


class Problem(NamedTuple):
    """Rows, the group of each, and the law that they are of."""

    X: np.ndarray
    labels: np.ndarray
    truth: FiniteMixture


def problem(seed: int) -> Problem:
    """Skewed groups, the centres of any two at least 4 apart; 400 rows a group."""
    random = np.random.default_rng(seed)
    k, d = 2 + seed % 3, 2 + seed % 4
    while True:
        centres = 3 * random.normal(size=(k, d))
        gaps = np.linalg.norm(centres[:, None] - centres[None], axis=2)
        if gaps[np.triu_indices(k, 1)].min() > 4:
            break
    parts = []
    for mu in centres:
        turn = np.linalg.qr(random.normal(size=(d, d)))[0]
        sigma = (turn * random.uniform(0.3, 1.5, d)) @ turn.T
        parts.append(
            normix.NormalInverseGaussian.from_classical(
                mu=mu,
                gamma=random.normal(size=d),
                sigma=sigma,
                mu_ig=1.0,
                lam=random.uniform(0.5, 2.0),
            )
        )
    truth = FiniteMixture(random.dirichlet(np.full(k, 8.0)), parts)
    X, labels = truth.rvs_labelled(400 * k, seed=seed)
    return Problem(np.asarray(X), np.asarray(labels), truth)


def _medians(X: np.ndarray) -> tuple[float, float]:
    """Seconds of a start with its fit, and of scikit-learn's Gaussian mixture."""
    mine, other = [], []
    for _ in range(6):
        begin = time.perf_counter()
        FiniteMixture.default_init(X, 3).fit(X)
        middle = time.perf_counter()
        GaussianMixture(3, n_init=10, random_state=0).fit(X)
        mine.append(middle - begin)
        other.append(time.perf_counter() - middle)
    return statistics.median(mine[1:]), statistics.median(other[1:])


def _simulated() -> Row:
    begin = time.perf_counter()
    ended, above, better, indices = 0, 0, 0, []
    for seed in range(PROBLEMS):
        X, labels, truth = problem(seed)
        result = FiniteMixture.default_init(X, truth.k).fit(X)
        ended += result.converged and not result.at_bound
        above += result.log_likelihood >= float(truth.marginal_log_likelihood(X))
        gaussian = min(
            (GaussianMixture(k, n_init=3, random_state=0).fit(X) for k in range(1, 8)),
            key=lambda one: one.bic(X),
        )
        better += result.bic <= gaussian.bic(X)
        found = (np.asarray(law.predict(X)) for law in (result.model, truth, gaussian))
        indices.append([adjusted_rand_score(labels, groups) for groups in found])
    mine, best, other = np.mean(indices, axis=0)
    note = (
        f"converged inside the bounds {ended}, log-likelihood of the truth or more "
        f"{above}, BIC of the best Gaussian mixture or less {better}; adjusted Rand "
        f"index {mine:.3f}, of the truth {best:.3f}, of Gaussian mixtures {other:.3f}"
    )
    seconds = (time.perf_counter() - begin) / PROBLEMS
    return Row(f"{PROBLEMS} simulated problems, each", seconds, note=note)


def run() -> list[Row]:
    """All of it."""
    mine, other = _medians(three_groups())
    name = "10,000 x 5, three NIG components, 10 starts"
    (first,) = in_new_process(_FIRST)
    return [
        Row(name, mine, "Gaussian mixture of scikit-learn", other),
        Row("the same in a new process", first),
        _simulated(),
    ]
