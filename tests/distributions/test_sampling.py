"""Draws by the million over many laws, and whether their p-values are uniform."""

from __future__ import annotations

import jax
import numpy as np
import pytest
import scipy.stats

from normix import GIG

from .registry import log_density_of_log, log_grid, log_moment

Law = tuple[float, float, float]
N = 1_000_000


def laws() -> list[Law]:
    """``(p, a, b)``: a seeded spread over the domain, and its boundaries."""
    rng = np.random.default_rng(17)
    p = np.append(rng.uniform(-50, 50, 12), rng.uniform(-3, 3, 14))
    z, scale = 10.0 ** rng.uniform(-6, 4, 26), 10.0 ** rng.uniform(-8, 8, 26)
    shape = np.array([0.02, 0.1, 0.4, 1.0, 3.0, 60.0, 1e4])
    rate = 10.0 ** rng.uniform(-8, 8, 7)
    zero = np.zeros(7)
    rows = np.concatenate(
        [
            np.stack([p, z / scale, z * scale], axis=1),
            np.stack([shape, 2 * rate, zero], axis=1),
            np.stack([-shape, zero, 2 * rate], axis=1),
        ]
    )
    return [(float(p), float(a), float(b)) for p, a, b in rows]


def p_value(log_x: np.ndarray, law: Law) -> float:
    """Of Kolmogorov and Smirnov's test."""
    p, a, b = law
    s = log_grid(p, a, b)
    mass = np.exp(log_density_of_log(p, a, b, s)) * (s[1] - s[0])
    # Beyond the least double there is only its rank to compare.
    uniform = np.interp(log_x, s, np.cumsum(mass) - mass / 2)
    return float(scipy.stats.kstest(uniform, "uniform").pvalue)


@pytest.mark.slow
@pytest.mark.parametrize("method", ["exact", "inversion"])
def test_each_law(method):
    """Each p-value and score, and that the p-values are uniform."""
    p_values, scores = [], []
    for k, law in enumerate(laws()):
        x = np.asarray(GIG(*law).rvs(N, seed=k, method=method))
        assert not np.isnan(x).any(), law
        # What underflows in either direction is left out of the comparison.
        tiny = np.finfo(float).tiny
        log_x = np.log(np.clip(x, tiny, 1 / tiny))
        p_values.append(p_value(log_x, law))
        assert p_values[-1] > 1e-5, law
        scores += standard_scores(log_x, law)
        assert np.abs(scores).max() < 5, law
    assert len(p_values) == 40 and len(scores) >= 60
    # Neither too many small ones nor, as from a bad generator, too few
    assert scipy.stats.kstest(p_values, "uniform").pvalue > 1e-3


def standard_scores(log_x: np.ndarray, law: Law) -> list[float]:
    """Of the means of powers, where a central limit can be spoken of."""
    (p, a, b), scores = law, []
    for order in (-1.0, 1.0, 2.0):
        first, second, fourth = (log_moment(p, a, b, j * order) for j in (1, 2, 4))
        if np.isfinite(fourth):
            spread = np.sqrt(np.expm1(second - 2 * first) / N)
            if spread < 0.03:  # else a few draws decide
                scores.append((np.exp(order * log_x - first).mean() - 1) / spread)
    return scores


@pytest.mark.slow
def test_draws_are_independent():
    """Ranks of neighbours, and of streams from split keys, are not correlated."""
    law = GIG(p=0.1, a=1e-3, b=1e-3)
    first, second = jax.random.split(jax.random.key(0))
    for method in ("exact", "inversion"):
        x = np.asarray(law.rvs(N, key=first, method=method))
        y = np.asarray(law.rvs(N, key=second, method=method))
        ranks, others = scipy.stats.rankdata(x), scipy.stats.rankdata(y)
        for left, right in ((ranks[1:], ranks[:-1]), (ranks, others)):
            assert abs(np.corrcoef(left, right)[0, 1]) < 4.5 / np.sqrt(N)
        assert len(np.unique(x)) > 0.999 * N
