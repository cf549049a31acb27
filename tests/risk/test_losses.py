# pyright: reportArgumentType=false, reportAttributeAccessIssue=false
"""Measures of loss of univariate laws, against integrals at 30 digits."""

from __future__ import annotations

import csv
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import integrate, stats

import normix

CSV_PATH = Path(__file__).with_name("losses_reference.csv")
NAMES = {
    "NormalInverseGaussian": ("mu_ig", "lam"),
    "VarianceGamma": ("alpha", "beta"),
    "NormalInverseGamma": ("alpha", "beta"),
    "GeneralizedHyperbolic": ("p", "a", "b"),
}
NIG = normix.UnivariateNormalInverseGaussian.from_classical(
    mu=0.1, gamma=-0.3, sigma=1.2, mu_ig=1.0, lam=0.8
)


def law(row: dict[str, str]):
    names = ("mu", "gamma", "sigma", *NAMES[row["family"]])
    columns = ("mu", "gamma", "sigma", "one", "two", "three")
    given = {name: float(row[c]) for name, c in zip(names, columns, strict=False)}
    return getattr(normix, f"Univariate{row['family']}").from_classical(**given)


def test_against_integrals_of_the_density():
    with CSV_PATH.open() as file:
        rows = list(csv.DictReader(file))
    assert {row["family"] for row in rows} == set(NAMES)
    # All as generalized hyperbolic laws, in its limits too: one program.
    models = [law(row).to_generalized_hyperbolic() for row in rows]
    together = jax.tree.map(lambda *leaves: jnp.stack(leaves), *models)
    level = jnp.array([float(row["level"]) for row in rows])
    x = jnp.array([float(row["x"]) for row in rows])

    def measures(model, level, x):
        return (
            model.value_at_risk(level),
            model.expected_shortfall(level),
            model.partial_moment(x, 1),
            model.partial_moment(x, 2),
        )

    found = jax.jit(jax.vmap(measures))(together, level, x)
    names = "value_at_risk", "expected_shortfall", "first", "second"
    for name, values in zip(names, found, strict=True):
        want = np.array([float(row[name]) for row in rows])
        np.testing.assert_allclose(values, want, rtol=1e-10, err_msg=name)


@pytest.mark.parametrize("family", NAMES)
def test_each_family_as_a_generalized_hyperbolic_law(family):
    with CSV_PATH.open() as file:
        row = next(row for row in csv.DictReader(file) if row["family"] == family)
    found = law(row).value_at_risk(float(row["level"]))
    np.testing.assert_allclose(found, float(row["value_at_risk"]), rtol=1e-10)


def test_identities():
    x = jnp.array([-40.0, -3.0, 0.2, 4.0, 60.0])
    lower, upper = (NIG.partial_moment(x, 1, side) for side in (False, True))
    np.testing.assert_allclose(lower - upper, x - NIG.mean(), rtol=1e-12)
    second = NIG.partial_moment(x, 2) + NIG.partial_moment(x, 2, True)
    np.testing.assert_allclose(second, NIG.var() + (x - NIG.mean()) ** 2, rtol=1e-12)
    np.testing.assert_allclose(NIG.partial_moment(x, 0), NIG.cdf(x), rtol=1e-15)
    np.testing.assert_allclose(NIG.omega(x), upper / lower, rtol=1e-14)
    levels = jnp.array([1e-9, 0.1, 0.5, 0.9, 1 - 1e-9])
    np.testing.assert_allclose(NIG.sf(-NIG.value_at_risk(levels)), levels, rtol=1e-12)
    e = NIG.expectile(levels)
    balance = levels * NIG.partial_moment(-e, 1)
    np.testing.assert_allclose(
        balance, (1 - levels) * NIG.partial_moment(-e, 1, True), rtol=1e-11
    )
    np.testing.assert_allclose(NIG.expectile(0.5), -NIG.mean(), rtol=1e-14)
    # The mean of the losses below the level and above it.
    shortfall = NIG.expected_shortfall(1e-9)
    np.testing.assert_allclose(shortfall, -NIG.mean(), rtol=1e-6)


def test_expectiles_without_a_mean_of_y():
    """A symmetric skew t law has a mean where its Y has none."""
    law = normix.UnivariateNormalInverseGamma.from_classical(
        mu=0.2, gamma=0.0, sigma=1.0, alpha=0.75, beta=1.0
    )
    student = stats.t(1.5, loc=0.2, scale=np.sqrt(1 / 0.75))
    e = float(law.expectile(0.9))
    below = integrate.quad(lambda x: (-x - e) * student.pdf(x), -np.inf, -e)[0]
    above = integrate.quad(lambda x: (e + x) * student.pdf(x), -e, np.inf)[0]
    np.testing.assert_allclose(0.9 * below, 0.1 * above, rtol=1e-7)


def test_nearly_normal_laws():
    model = normix.UnivariateNormalInverseGaussian.from_classical(
        mu=0.2, gamma=0.0, sigma=4.0, mu_ig=1.0, lam=1e10
    )
    level = 0.99
    z = stats.norm.ppf(level)
    np.testing.assert_allclose(model.value_at_risk(level), 2 * z - 0.2, rtol=1e-8)
    shortfall = 2 * stats.norm.pdf(z) / (1 - level) - 0.2
    np.testing.assert_allclose(model.expected_shortfall(level), shortfall, rtol=1e-8)


@pytest.mark.parametrize(
    "measure",
    [
        "value_at_risk",
        "expected_shortfall",
        pytest.param("expectile", marks=pytest.mark.exhaustive),
    ],
)
def test_derivatives(measure):
    """By the parameters and the level, against differences; twice, too."""
    c = NIG.coordinates()

    @jax.jit
    def value(c, level):
        return getattr(NIG.at(c), measure)(level)

    slopes, by_level = jax.jit(jax.grad(value, (0, 1)))(c, 0.99)
    h = 1e-5
    steps = h * jnp.eye(len(c))
    differences = [(value(c + s, 0.99) - value(c - s, 0.99)) / (2 * h) for s in steps]
    np.testing.assert_allclose(slopes, differences, rtol=1e-7, atol=1e-8)
    difference = (value(c, 0.99 + 1e-6) - value(c, 0.99 - 1e-6)) / 2e-6
    np.testing.assert_allclose(by_level, difference, rtol=1e-7)


def test_what_does_not_exist_is_said():
    heavy = normix.UnivariateNormalInverseGamma.from_classical(
        mu=0.0, gamma=-1.0, sigma=1.0, alpha=0.8, beta=1.0
    )
    assert np.isfinite(heavy.value_at_risk(0.99))
    with pytest.raises(ValueError, match="the losses of this law have no mean"):
        heavy.expected_shortfall(0.99)
    with pytest.raises(ValueError, match="no mean"):
        heavy.expectile(0.9)
    assert heavy.partial_moment(0.0, 1) == np.inf
    # Of the tail that skewness leaves every moment is finite.
    assert np.isfinite(heavy.partial_moment(0.0, 2, True))
    for level in (0.0, 1.0, -0.5, np.nan):
        with pytest.raises(ValueError, match="between 0 and 1"):
            NIG.expected_shortfall(level)
    with pytest.raises(ValueError, match="order must be 0, 1 or 2"):
        NIG.partial_moment(0.0, 3)


def test_sums_over_periods():
    for day in (
        NIG,
        normix.UnivariateVarianceGamma.from_classical(
            mu=0.1, gamma=-0.3, sigma=1.2, alpha=1.5, beta=2.0
        ),
    ):
        days = day.aggregate(10)
        np.testing.assert_allclose(days.mean(), 10 * day.mean(), rtol=1e-13)
        np.testing.assert_allclose(days.var(), 10 * day.var(), rtol=1e-13)
        kurtosis = day.kurtosis() / 10
        np.testing.assert_allclose(days.kurtosis(), kurtosis, rtol=1e-12)
        sums = np.asarray(day.rvs(200_000, 3)).reshape(-1, 10).sum(axis=1)
        assert stats.kstest(np.asarray(days.cdf(sums)), "uniform").pvalue > 1e-3
    many = normix.NormalInverseGaussian.from_classical(
        mu=[0.1, 0.2], gamma=[0.1, 0], sigma=[[1, 0.5], [0.5, 1]], mu_ig=2.0, lam=1.0
    )
    np.testing.assert_allclose(many.aggregate(2.5).cov(), 2.5 * many.cov(), rtol=1e-13)
    t = normix.UnivariateNormalInverseGamma.from_classical(
        mu=0.0, gamma=0.0, sigma=1.0, alpha=3.0, beta=3.0
    )
    with pytest.raises(ValueError, match="sums of a UnivariateNormalInverseGamma"):
        t.aggregate(10)
    with pytest.raises(ValueError, match="must be positive"):
        NIG.aggregate(0)


def test_only_losses_need_a_mean():
    """Of a law whose gains have none; its tail of losses falls exponentially."""
    law = normix.UnivariateNormalInverseGamma.from_classical(
        mu=0.0, gamma=1.0, sigma=1.0, alpha=0.9, beta=1.0
    )
    value, level = law.value_at_risk(0.95), 0.95
    excess, _ = integrate.quad(lambda x: float(law.cdf(x)), -60, -float(value))
    np.testing.assert_allclose(
        law.expected_shortfall(level), value + excess / 0.05, rtol=1e-7
    )
    with pytest.raises(ValueError, match="gains of this law have no mean"):
        law.expectile(level)
    with pytest.raises(ValueError, match="losses of this law have no mean"):
        law.affine(-1.0).expected_shortfall(level)
