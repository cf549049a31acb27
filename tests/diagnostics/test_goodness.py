# pyright: reportArgumentType=false, reportAttributeAccessIssue=false
"""Statistics against SciPy and simulation, and tests with refits."""

from __future__ import annotations

import jax
import numpy as np
import pytest
from scipy import special, stats
from scipy.spatial import distance

import normix
from normix.diagnostics import test_fit as goodness
from normix.diagnostics.statistics import BY_TRANSFORM, _mean_norm, energy

KEY = jax.random.key(11)
ALL = ("ks", "ad", "cvm", "energy")
TRUE = normix.NormalInverseGaussian.from_classical(
    mu=np.array([0.0, 1.0]),
    gamma=np.array([0.3, -0.2]),
    sigma=np.array([[1.0, 0.5], [0.5, 1.0]]),
    mu_ig=1.0,
    lam=1.0,
)
ROWS = np.asarray(TRUE.rvs(200, key=jax.random.key(1)))


def one_column(u: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    return u[:, None], 1 - u[:, None]


def test_statistics_of_one_column():
    u = np.random.default_rng(0).random(57)
    ks = stats.kstest(u, "uniform").statistic
    cvm = stats.cramervonmises(u, "uniform").statistic
    np.testing.assert_allclose(BY_TRANSFORM["ks"](*one_column(u)), ks, rtol=1e-12)
    np.testing.assert_allclose(BY_TRANSFORM["cvm"](*one_column(u)), cvm, rtol=1e-12)
    # n times the integral of (F_n - u)²/(u (1 - u)), piece by piece.
    at, n = np.concatenate([[0.0], np.sort(u), [1.0]]), len(u)
    total = -1.0
    for k in range(n + 1):
        low, high, c = at[k], at[k + 1], k / n
        total += c**2 * (np.log(high / low) if k else 0.0)
        total += (1 - c) ** 2 * (np.log((1 - low) / (1 - high)) if k < n else 0.0)
    np.testing.assert_allclose(
        BY_TRANSFORM["ad"](*one_column(u)), n * total, rtol=1e-10
    )


def test_far_values_keep_their_weight():
    """Of values next to 0 and to 1, which the other tail tells apart."""
    lower = np.array([[1e-200], [0.5], [1.0], [1.0]])
    upper = np.array([[1.0], [0.5], [1e-90], [1e-30]])
    logs = np.log([1e-200, 0.5, 1.0, 1.0]) + np.log([1e-90, 1e-30, 0.5, 1.0])
    np.testing.assert_allclose(
        BY_TRANSFORM["ad"](lower, upper), -4 - (logs * [1, 3, 5, 7]).mean(), rtol=1e-12
    )


def test_statistics_of_several_columns():
    rng = np.random.default_rng(2)
    u = rng.random((40, 3))
    u[5, 1] = np.nan
    alone = [
        {name: f(*one_column(c[~np.isnan(c)])) for name, f in BY_TRANSFORM.items()}
        for c in u.T
    ]
    for name, combine in (("ks", max), ("ad", sum), ("cvm", sum)):
        expected = combine(found[name] for found in alone)
        np.testing.assert_allclose(BY_TRANSFORM[name](u, 1 - u), expected)


@pytest.mark.parametrize("d", [1, 2, 3, 7, 400])
def test_mean_norm(d):
    """By Kummer's function where SciPy has it, and its asymptotic series far out."""
    r = np.array([0.0, 1e-3, 0.5, 2.0, 6.0])
    scale = np.sqrt(2) * np.exp(special.gammaln((d + 1) / 2) - special.gammaln(d / 2))
    expected = scale * special.hyp1f1(-0.5, d / 2, -(r**2) / 2)
    if d == 400:
        r, expected = r[:1], np.array([scale])
    np.testing.assert_allclose(_mean_norm(r**2, d), expected, rtol=1e-9)
    far = _mean_norm(np.array([1e10]), d)[0]
    np.testing.assert_allclose(far, 1e5 + 0.5 * (d - 1) * 1e-5, rtol=1e-9)


@pytest.mark.parametrize("power", [None, 3.0], ids=["nig", "t"])
def test_energy_by_simulation(power):
    model = TRUE
    if power is not None:
        model = normix.NormalInverseGamma.from_classical(
            mu=TRUE.mu, gamma=0 * TRUE.mu, sigma=TRUE.sigma(), alpha=power, beta=1.0
        )
    L = np.linalg.cholesky(np.asarray(model.sigma()))
    draws = np.asarray(model.rvs(16_000, key=jax.random.key(2)))
    e, other = (
        np.linalg.solve(L, (x - np.asarray(model.mu)).T).T for x in (ROWS, draws)
    )
    to_law = distance.cdist(e, other).mean()
    spread = distance.cdist(other[:8000], other[8000:]).mean()
    expected = 200 * (2 * to_law - distance.cdist(e, e).mean() - spread) / spread
    # Standard errors of the two means are some thousandths.
    np.testing.assert_allclose(energy(model, ROWS), expected, atol=200 * 0.008)
    # Neither units nor the order of columns nor the scale of Y matter.
    value = energy(model, ROWS)
    turned = model.affine(np.array([[0.0, 5.0], [-2.0, 0.0]]), [1.0, 2.0])
    rows = ROWS @ np.array([[0.0, -2.0], [5.0, 0.0]]) + np.array([1.0, 2.0])
    np.testing.assert_allclose(energy(turned, rows), value, rtol=1e-9)


def test_a_right_law_and_a_wrong_one():
    """One set of refits tells all statistics; a normal law is refuted."""
    fit = normix.NormalInverseGaussian.default_init(ROWS).fit(ROWS)
    results = goodness(fit.model, ROWS, ALL, 40, key=KEY)
    assert [result.name for result in results] == [
        "Kolmogorov-Smirnov",
        "Anderson-Darling",
        "Cramér-von Mises",
        "energy",
    ]
    for result in results:
        assert result.pvalue > 0.02 and result.refitted and result.n == 40
        assert len(result.draws) == 40 - result.n_failed
        larger = (result.draws >= result.statistic).sum()
        assert result.pvalue == (1 + larger) / (1 + len(result.draws))
    alone = goodness(fit.model, ROWS, "energy", 40, key=KEY)
    np.testing.assert_array_equal(alone.draws, results[-1].draws)
    assert "p-value" in str(alone) and "40 resamples refitted" in str(alone)
    normal = normix.MultivariateNormal.fit_mle(ROWS)
    for result in goodness(normal, ROWS, ALL, 40, key=KEY):
        assert result.pvalue == 1 / 41


def test_estimated_parameters_are_accounted_for():
    """Against a law given beforehand statistics are larger than against a fit."""
    fit = normix.NormalInverseGaussian.default_init(ROWS).fit(ROWS)
    fitted = goodness(fit.model, ROWS, "ad", 40, key=KEY)
    given = goodness(fit.model, ROWS, "ad", 40, key=KEY, refit=False)
    assert np.median(given.draws) > 1.5 * np.median(fitted.draws)
    assert "given beforehand" in str(given)
    shifted = goodness(fit.model, ROWS + 0.3, "ad", 40, key=KEY, refit=False)
    assert shifted.pvalue == 1 / 41


@pytest.mark.slow
def test_fits_side_by_side():
    fit = normix.NormalInverseGaussian.default_init(ROWS).fit(ROWS)
    one = goodness(fit.model, ROWS, "ad", 7, key=KEY)
    other = goodness(fit.model, ROWS, "ad", 7, key=KEY, batch=4)
    np.testing.assert_allclose(one.draws, other.draws, rtol=1e-2)


def test_positive_laws(capsys):
    x = np.asarray(normix.Gamma(alpha=2.0, beta=1.0).rvs(150, key=KEY))
    right = goodness(normix.Gamma.fit_mle(x), x, ("ks", "ad"), 30, key=KEY)
    assert min(result.pvalue for result in right) > 0.05
    wrong = goodness(
        normix.InverseGamma.fit_mle(x), x, "ad", 30, key=KEY, progress=True
    )
    assert wrong.pvalue == 1 / 31
    assert "30 fits" in capsys.readouterr().err


def test_missing_entries():
    rows = ROWS.copy()
    rows[::4, 1] = np.nan
    model = normix.NormalInverseGaussian.default_init(rows, missing="em")
    model = model.fit(rows, missing="em").model
    result = goodness(model, rows, "cvm", 10, key=KEY, missing="em")
    assert 0 < result.pvalue <= 1
    dropped = goodness(model, rows, "cvm", 10, key=KEY, missing="drop", refit=False)
    whole = rows[~np.isnan(rows).any(axis=1)]
    same = goodness(model, whole, "cvm", 10, key=KEY, refit=False)
    np.testing.assert_array_equal(dropped.draws, same.draws)
    with pytest.raises(ValueError, match="missing"):
        goodness(model, rows, "cvm", 10, key=KEY)
    with pytest.raises(ValueError, match="without missing entries"):
        goodness(model, rows, "energy", 10, key=KEY, missing="em")


def test_bad_input():
    with pytest.raises(ValueError, match="statistic"):
        goodness(TRUE, ROWS, "shapiro", key=KEY)
    with pytest.raises(ValueError, match="n must be at least 1"):
        goodness(TRUE, ROWS, "ks", 0, key=KEY)
    with pytest.raises(ValueError, match="batch"):
        goodness(TRUE, ROWS, "ks", 5, key=KEY, batch=0)
    with pytest.raises(ValueError, match="8 observations.*8 parameters"):
        goodness(TRUE, ROWS[:8], "ks", key=KEY)
    with pytest.raises(ValueError, match="got a list"):
        goodness([], ROWS, "ks", key=KEY)
    gamma = normix.Gamma(alpha=1.0, beta=1.0)
    with pytest.raises(ValueError, match="positive observations"):
        goodness(gamma, np.array([-1.0, 2.0, 3.0]), "ks", key=KEY)
    with pytest.raises(ValueError, match="is for mixtures"):
        goodness(gamma, np.array([1.0, 2.0, 3.0]), "energy", key=KEY)
    heavy = normix.UnivariateNormalInverseGamma.from_classical(
        mu=0.0, gamma=0.0, sigma=1.0, alpha=0.4, beta=1.0
    )
    with pytest.raises(ValueError, match="has a mean"):
        goodness(heavy, np.arange(10.0), "energy", key=KEY)
