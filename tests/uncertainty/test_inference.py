# pyright: reportArgumentType=false, reportAttributeAccessIssue=false, reportOperatorIssue=false
"""Standard errors against an independent likelihood, and what an inference says."""

from __future__ import annotations

from functools import cache

import jax.numpy as jnp
import mpmath
import numpy as np
import pytest

import normix
from normix import BatchEMFitter, inference

FAMILIES = {
    "NormalInverseGaussian": ("lam",),
    "VarianceGamma": ("alpha",),
    "NormalInverseGamma": ("alpha",),
    "GeneralizedHyperbolic": ("p", "alpha_bar"),
}


def sample(n: int, d: int, law: str = "wald") -> np.ndarray:
    """Skewed rows with heavy tails, in unequal units."""
    rng = np.random.default_rng(d)
    y = {
        "wald": rng.wald(1.0, 1.0, (n, 1)),
        "gamma": rng.gamma(3, 1 / 3, (n, 1)),
        "inverse gamma": 1 / rng.gamma(3, 0.5, (n, 1)),
    }[law]
    noise = rng.normal(size=(n, d)) @ np.triu(rng.uniform(0.3, 1, (d, d)))
    return (0.15 * y + np.sqrt(y) * noise) * 10.0 ** np.arange(d)


LAWS = {"VarianceGamma": "gamma", "NormalInverseGamma": "inverse gamma"}


@cache
def fitted(family: str, d: int, n: int, **options):
    """A fit to the last digit, and its data."""
    X = sample(n, d, LAWS.get(family, "wald"))
    cls = getattr(normix, family)
    fitter = BatchEMFitter(tol=0.0, max_iter=200, **options)
    return fitter.fit(cls.default_init(X), X), X


def log_likelihood(family: str, X: np.ndarray, params) -> mpmath.mpf:
    """By the parameters of an inference, in the gauge E[Y] = 1, with mpmath alone."""
    n, d = X.shape
    mu, gamma = mpmath.matrix(params[:d]), mpmath.matrix(params[d : 2 * d])
    sigma, k = mpmath.matrix(d), 2 * d
    for i in range(d):
        for j in range(i + 1):
            sigma[i, j] = sigma[j, i] = params[k]
            k += 1
    shape = params[k:]
    if family == "NormalInverseGaussian":
        p, a, b = -mpmath.mpf(1) / 2, shape[0], shape[0]
    elif family == "VarianceGamma":
        p, a, b = shape[0], 2 * shape[0], mpmath.mpf(0)
    elif family == "NormalInverseGamma":
        p, a, b = -shape[0], mpmath.mpf(0), 2 * (shape[0] - 1)
    else:
        p, w = shape
        ratio = mpmath.besselk(p + 1, w) / mpmath.besselk(p, w)  # E[Y] √(a/b)
        a, b = w * ratio, w / ratio

    def log_partition(p, a, b):
        if b == 0:
            return mpmath.loggamma(p) + p * mpmath.log(2 / a)
        if a == 0:
            return mpmath.loggamma(-p) - p * mpmath.log(2 / b)
        bessel = mpmath.log(2 * mpmath.besselk(p, mpmath.sqrt(a * b)))
        return bessel + p * mpmath.log(b / a) / 2

    inverse = sigma**-1
    skew = (gamma.T * inverse * gamma)[0]
    total = -n * mpmath.log(mpmath.det(sigma)) / 2 - n * log_partition(p, a, b)
    half = mpmath.mpf(d) / 2
    for row in X:
        gap = mpmath.matrix([mpmath.mpf(float(x)) for x in row]) - mu
        q = (gap.T * inverse * gap)[0]
        total += (gamma.T * inverse * gap)[0] - half * mpmath.log(2 * mpmath.pi)
        total += log_partition(p - half, a + skew, b + q)
    return total


def hessian(f, at: np.ndarray) -> np.ndarray:
    """By central differences in forty digits."""
    k, steps = len(at), [mpmath.mpf(1e-9) * max(1e-3, abs(float(x))) for x in at]
    center = [mpmath.mpf(float(x)) for x in at]

    def moved(*signs):
        point = list(center)
        for i, s in signs:
            point[i] += s * steps[i]
        return f(point)

    out, middle = np.empty((k, k)), moved()
    for i in range(k):
        second = moved((i, 1)) - 2 * middle + moved((i, -1))
        out[i, i] = float(second / steps[i] ** 2)
        for j in range(i):
            mixed = moved((i, 1), (j, 1)) - moved((i, 1), (j, -1))
            mixed += moved((i, -1), (j, -1)) - moved((i, -1), (j, 1))
            out[i, j] = out[j, i] = float(mixed / (4 * steps[i] * steps[j]))
    return out


# All in one dimension, and one in two.
CASES = [
    pytest.param(
        family,
        d,
        marks=()
        if d == 1 or (d == 2 and family == "NormalInverseGaussian")
        else pytest.mark.exhaustive,
    )
    for family in FAMILIES
    for d in (1, 2, 5)
]


@pytest.mark.parametrize("family, d", CASES)
def test_information_against_an_independent_likelihood(family, d):
    """The covariance is the inverse of the Hessian by the parameters themselves."""
    fit, X = fitted(family, d, 240 if family == "GeneralizedHyperbolic" else 120)
    found = fit.inference(X)
    assert found.names[-len(FAMILIES[family]) :] == FAMILIES[family]
    with mpmath.workdps(40):
        value = log_likelihood(family, X, [mpmath.mpf(float(x)) for x in found.params])
        second = hessian(lambda point: log_likelihood(family, X, point), found.params)
    np.testing.assert_allclose(found.llf, float(value), rtol=1e-12)
    scale = np.sqrt(np.abs(np.diagonal(second)))
    expected = np.linalg.inv(-second / np.outer(scale, scale)) / np.outer(scale, scale)
    bse = np.sqrt(np.diagonal(expected))
    np.testing.assert_allclose(found.bse, bse, rtol=1e-6)
    by_bse = np.outer(bse, bse)
    np.testing.assert_allclose(
        found.cov_params() / by_bse, expected / by_bse, atol=1e-6
    )


@pytest.mark.parametrize("d", (1, pytest.param(2, marks=pytest.mark.exhaustive)))
def test_information_of_a_symmetric_skew_t_law(d):
    """Of which Y given a row is in a limit, too: an inverse Gamma law."""
    fit, X = fitted("NormalInverseGamma", d, 120, symmetric=True)
    found = fit.inference(X)
    free = np.flatnonzero(found.bse > 0)
    assert found.df_model == len(free) and len(free) == len(found.names) - d

    def value(point):
        params = [mpmath.mpf(float(x)) for x in found.params]
        for k, x in zip(free, point, strict=True):
            params[k] = x
        return log_likelihood("NormalInverseGamma", X, params)

    with mpmath.workdps(40):
        second = hessian(value, found.params[free])
    scale = np.sqrt(np.abs(np.diagonal(second)))
    expected = np.linalg.inv(-second / np.outer(scale, scale)) / np.outer(scale, scale)
    bse = np.sqrt(np.diagonal(expected))
    np.testing.assert_allclose(found.bse[free], bse, rtol=1e-6)


@pytest.mark.parametrize("family", FAMILIES)
def test_the_three_covariances(family):
    """Each from the scores and the information in public."""
    fit, X = fitted(family, 2, 400)
    observed, opg, sandwich = (
        fit.inference(X, cov_type=kind) for kind in ("observed", "opg", "sandwich")
    )
    scores = np.asarray(fit.model.score(X))
    # Invariant under a change of coordinates, up to the Jacobian that all three share.
    influence = observed.influence()
    np.testing.assert_allclose(
        influence.T @ influence, sandwich.cov_params(), rtol=1e-7, atol=1e-12
    )
    assert scores.shape == (400, observed.df_model)
    gram = np.linalg.inv(scores.T @ scores)
    of_mean = observed.delta(lambda model: model.mean())
    by_opg = opg.delta(lambda model: model.mean())
    assert np.all(np.abs(np.log(of_mean.bse / by_opg.bse)) < 0.5)
    # A coordinate is a function of the model as any other.
    found = opg.delta(lambda model: model.coordinates())
    np.testing.assert_allclose(found.bse, np.sqrt(np.diagonal(gram)), rtol=1e-6)


@pytest.mark.parametrize("family", ["NormalInverseGaussian", "GeneralizedHyperbolic"])
def test_units_weights_and_names(family):
    """Columns in other units, rows of weight 2 for rows twice; a frame's names."""
    fit, X = fitted(family, 2, 400)
    plain = fit.inference(X)
    unit, shift = np.array([1e-6, 1e5]), np.array([3.0, -2e5])
    moved = inference(fit.model.affine(np.diag(unit), shift), X * unit + shift)
    factors = np.concatenate([unit, unit, np.outer(unit, unit)[np.tril_indices(2)]])
    k = len(factors)
    np.testing.assert_allclose(moved.bse[:k] / factors, plain.bse[:k], rtol=1e-6)
    np.testing.assert_allclose(moved.bse[k:], plain.bse[k:], rtol=1e-6)
    twice = inference(fit.model, np.concatenate([X, X]))
    heavy = inference(fit.model, X, weights=np.full(len(X), 2.0))
    np.testing.assert_allclose(heavy.bse, twice.bse, rtol=1e-9)
    np.testing.assert_allclose(twice.bse * np.sqrt(2), plain.bse, rtol=1e-9)
    assert heavy.nobs == twice.nobs == 800
    assert (heavy.llf, heavy.bic) == pytest.approx((twice.llf, twice.bic))

    class Frame(np.ndarray):
        columns = ("A", "B")

    named = inference(fit.model, X.view(Frame)).names
    assert named[:6] == (
        "mu[A]",
        "mu[B]",
        "gamma[A]",
        "gamma[B]",
        "sigma[A]",
        "sigma[B, A]",
    )
    text, html = str(plain.summary()), plain._repr_html_()
    assert all(name in text and name in html for name in plain.names)
    assert fit.n_parameters == plain.df_model
    assert (fit.aic, fit.bic) == pytest.approx((plain.aic, plain.bic))
    low, high = plain.conf_int().T
    assert np.all((low < plain.params) & (plain.params < high))
    assert np.all(low[[4, 6, -1]] > 0)


def test_influence_is_that_of_leaving_a_row_out():
    """Against refits without it."""
    fit, X = fitted("NormalInverseGaussian", 2, 400)
    found = fit.inference(X)
    change = found.influence()
    chosen = np.arange(40)
    true = []
    for i in chosen:
        weights = np.ones(len(X))
        weights[i] = 0.0
        refit = fit.model.fit(X, weights=weights, tol=1e-10)
        true.append(inference(refit.model, X, weights).params - found.params)
    for one, other in zip(change[chosen].T, np.array(true).T, strict=True):
        assert np.corrcoef(one, other)[0, 1] > 0.999


def test_what_is_held_is_no_parameter():
    """Fixed, symmetric, at a bound: standard errors of 0, and a word."""
    cls, X = normix.GeneralizedHyperbolic, sample(300, 2)
    start = cls.default_init(X)
    held = BatchEMFitter(fix={"p": -0.5}, symmetric=True, tol=1e-10, max_iter=1000)
    fit = held.fit(start, X)
    found = fit.inference(X)
    assert found.df_model == fit.n_parameters == 2 + 3 + 1
    assert np.all(found.bse[2:4] == 0) and found.names[-1] == "alpha_bar"
    assert "gamma is 0" in found.held[0] and "p is fixed" in found.held[1]
    # As the normal inverse Gaussian fit without skewness.
    nig = BatchEMFitter(symmetric=True, tol=1e-10, max_iter=1000)
    other = nig.fit(normix.NormalInverseGaussian.default_init(X), X).inference(X)
    np.testing.assert_allclose(found.bse, other.bse, rtol=1e-5)
    with pytest.raises(ValueError, match="not at a maximum"):
        inference(fit.model, X)
    mean = np.asarray(X.mean(axis=0))
    fixed = BatchEMFitter(fix={"mu": mean}, tol=1e-10).fit(start, X).inference(X)
    assert np.all(fixed.bse[:2] == 0) and fixed.df_model == 2 + 3 + 2


def test_a_factor_form():
    """Against differences of the score; turning the loadings changes no error."""
    rng = np.random.default_rng(0)
    X = sample(400, 1) @ np.ones((1, 5)) + rng.standard_t(5, (400, 5))
    cls = normix.FactorNormalInverseGaussian
    fit = BatchEMFitter(tol=1e-10, max_iter=3000).fit(cls.default_init(X, 1), X)
    found = fit.inference(X)
    assert found.df_model == fit.n_parameters == 4 * 5 + 1
    point = np.asarray(fit.model.coordinates())
    k = len(point)

    def total(c):
        return np.asarray(fit.model.at(jnp.asarray(c)).score(X)).sum(axis=0)

    steps = 1e-4 * np.eye(k)
    differences = [(total(point + e) - total(point - e)) / 2e-4 for e in steps]
    inverse = np.linalg.inv(-np.array(differences))
    errors = found.delta(lambda model: model.coordinates()).bse
    np.testing.assert_allclose(errors, np.sqrt(np.diagonal(inverse)), rtol=1e-5)
    two = cls.default_init(X, 2).fit(X, tol=1e-8, max_iter=3000)
    turn = np.array([[0.6, -0.8], [0.8, 0.6]])
    turned = two.model.replace(F=np.asarray(two.model.F) @ turn)
    one, other = two.inference(X), inference(turned, X)
    assert one.df_model == other.df_model == two.n_parameters == 5 * 5 - 1 + 1
    np.testing.assert_allclose(one.bse, other.bse, rtol=1e-6)


def test_a_fit_that_ended_in_a_limit():
    """Nearly normal data: the law of Y is held in its limit, and said."""
    X = np.random.default_rng(1).uniform(-1, 1, (400, 2))
    start = normix.NormalInverseGaussian.default_init(X)
    fit = BatchEMFitter(symmetric=True, max_iter=500).fit(start, X)
    assert fit.boundary == "normal"
    found = fit.inference(X)
    assert found.df_model == 5
    assert "normal law" in found.held[1]
    expected = np.sqrt(X.var(axis=0) / len(X))
    errors = found.delta(lambda model: model.mean()).bse
    np.testing.assert_allclose(errors, expected, rtol=1e-3)


def test_bad_input():
    fit, X = fitted("NormalInverseGaussian", 2, 400)
    with pytest.raises(ValueError, match="cov_type"):
        fit.inference(X, cov_type="robust")
    with pytest.raises(ValueError, match="nats are to be gained"):
        inference(normix.NormalInverseGaussian.default_init(X), X)
    with pytest.raises(ValueError, match="8 rows cannot tell of 8 parameters"):
        inference(fit.model, X[:8])
    with pytest.raises(ValueError, match="fix names lam"):
        inference(fit.model, X, fix=["lam"])
    with pytest.raises(ValueError, match="gamma is not 0"):
        inference(fit.model, X, symmetric=True)
    with pytest.raises(ValueError, match="but the model's"):
        inference(fit.model, X, fix={"mu": [7.0, 7.0]})
    found = fit.inference(X)
    with pytest.raises(ValueError, match="number"):
        found.delta(lambda model: "mean")
    with pytest.raises(ValueError, match="alpha"):
        found.conf_int(1.5)
    with pytest.raises(ValueError, match="shape"):
        fit.inference(X[:, :1])
