# pyright: reportArgumentType=false, reportAttributeAccessIssue=false
"""Parameters of other books and programs: round trips, and the densities they name."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import special, stats

import normix
from normix import parametrizations as par

SCALAR = {
    "nig": {"mu_ig": 0.7, "lam": 1.9},
    "gh": {"p": 0.8, "a": 1.3, "b": 2.1},
    "vg": {"alpha": 1.7, "beta": 0.9},
    "t": {"alpha": 2.6, "beta": 1.4},
}
CLASSES = {
    "nig": "NormalInverseGaussian",
    "gh": "GeneralizedHyperbolic",
    "vg": "VarianceGamma",
    "t": "NormalInverseGamma",
}
X = np.linspace(-4.0, 5.0, 40)


def scalar(family: str, gamma: float = 0.45):
    make = getattr(normix, "Univariate" + CLASSES[family]).from_classical
    return make(mu=0.3, gamma=gamma, sigma=1.6, **SCALAR[family])


def vector(family: str):
    sigma = np.array([[1.2, 0.4, 0.1], [0.4, 0.9, -0.2], [0.1, -0.2, 2.0]])
    make = getattr(normix, CLASSES[family]).from_classical
    mu, gamma = np.array([0.3, -1.0, 0.0]), np.array([0.4, 0.0, -0.7])
    return make(mu=mu, gamma=gamma, sigma=sigma, **SCALAR[family])


BOTH_WAYS = {
    "alpha_beta": (par.to_alpha_beta, par.from_alpha_beta),
    "chi_psi": (par.to_chi_psi, par.from_chi_psi),
    "alpha_bar": (par.to_alpha_bar, par.from_alpha_bar),
}


@pytest.mark.parametrize("name", BOTH_WAYS)
@pytest.mark.parametrize("family", CLASSES)
@pytest.mark.parametrize("make", [scalar, vector])
def test_round_trips(make, family, name):
    to, back = BOTH_WAYS[name]
    model = make(family)
    known = to(model)
    again = back(**known)
    assert type(again) is type(model)
    for key, value in to(again).items():
        np.testing.assert_allclose(value, known[key], rtol=1e-14, atol=1e-15)
    x = np.asarray(model.mean()) + 0.7
    assert float(again.log_prob(x)) == pytest.approx(
        float(model.log_prob(x)), abs=1e-13
    )


@pytest.mark.parametrize("family", ["nig", "gh"])
def test_densities_are_those_of_scipy(family):
    model = scalar(family)
    law = stats.genhyperbolic(**par.to_genhyperbolic(model))
    np.testing.assert_allclose(model.pdf(X), law.pdf(X), rtol=1e-12)
    again = par.from_genhyperbolic(**par.to_genhyperbolic(model))
    np.testing.assert_allclose(again.pdf(X), model.pdf(X), rtol=1e-13)


def test_normal_inverse_gaussian_of_scipy():
    model = scalar("nig")
    known = par.to_norminvgauss(model)
    np.testing.assert_allclose(
        model.pdf(X), stats.norminvgauss(**known).pdf(X), rtol=1e-12
    )
    again = par.from_norminvgauss(**known)
    assert type(again) is type(model)
    for key, value in par.to_norminvgauss(again).items():
        assert float(value) == pytest.approx(float(known[key]), rel=1e-14)
    # A generalized hyperbolic model of order -1/2 will do.
    wider = par.to_norminvgauss(model.to_generalized_hyperbolic())
    assert float(wider["a"]) == pytest.approx(float(known["a"]), rel=1e-14)


def test_generalized_inverse_gaussian_of_scipy():
    law = normix.GIG(p=-0.7, a=1.3, b=4.1)
    known = par.to_geninvgauss(law)
    x = np.linspace(0.05, 12.0, 30)
    mine = jax.vmap(law.pdf)(x)
    np.testing.assert_allclose(mine, stats.geninvgauss(**known).pdf(x), rtol=1e-12)
    again = par.from_geninvgauss(**known)
    for one, other in zip(again.gig_params(), law.gig_params(), strict=True):
        assert float(one) == pytest.approx(float(other), rel=1e-14)
    inverse_gaussian = normix.InverseGaussian(mu=2.0, lam=3.0)
    of_it = stats.geninvgauss(**par.to_geninvgauss(inverse_gaussian))
    wanted = stats.invgauss(2 / 3, scale=3.0).pdf(x)
    np.testing.assert_allclose(of_it.pdf(x), wanted, rtol=1e-12)


def test_tensorflow_probability():
    """Its density, as its documentation gives it: of α, β, δ and μ themselves."""
    model = scalar("nig")
    known = {k: float(v) for k, v in par.to_tfp(model).items()}
    alpha, beta = known["tailweight"], known["skewness"]
    gap, delta = X - known["loc"], known["scale"]
    root = np.sqrt(delta**2 + gap**2)
    rate = np.sqrt(alpha**2 - beta**2)
    density = alpha * delta * special.k1(alpha * root) / (np.pi * root)
    density *= np.exp(delta * rate + beta * gap)
    np.testing.assert_allclose(model.pdf(X), density, rtol=1e-12)
    again = par.from_tfp(**known)
    for key, value in par.to_tfp(again).items():
        assert float(value) == pytest.approx(known[key], rel=1e-14)


def test_alpha_bar_is_the_unit_of_mean_one():
    for family in CLASSES:
        known = par.to_alpha_bar(scalar(family))
        chi_psi = par.to_chi_psi(par.from_alpha_bar(**known))
        product = float(chi_psi["chi"] * chi_psi["psi"])
        assert product == pytest.approx(float(known["alpha_bar"]) ** 2, abs=1e-13)
        mean = par.from_alpha_bar(**known).subordinator().mean()
        assert float(mean) == pytest.approx(1.0, rel=1e-14)


def test_multivariate_parameters_name_the_density():
    """That of Blaesild (Biometrika 68, 1981), written out."""
    model = vector("gh")
    known = {k: np.asarray(v) for k, v in par.to_alpha_beta(model).items()}
    lam, alpha, beta, delta, mu, unit = known.values()
    assert np.linalg.det(unit) == pytest.approx(1.0, rel=1e-13)
    x = np.array([1.0, 0.0, -0.5])
    kappa = np.sqrt(alpha**2 - beta @ unit @ beta)
    order = lam - 1.5
    root = np.sqrt(delta**2 + (x - mu) @ np.linalg.solve(unit, x - mu))
    log = lam * np.log(kappa / delta) - 1.5 * np.log(2 * np.pi)
    log -= np.log(special.kv(lam, delta * kappa))
    log += np.log(special.kv(order, alpha * root)) + order * np.log(root / alpha)
    log += beta @ (x - mu)
    assert float(model.log_prob(x)) == pytest.approx(log, rel=1e-12)


def test_under_jit_and_grad():
    def value(alpha):
        return par.from_alpha_beta(
            alpha=alpha, beta=0.3, delta=1.0, mu=0.0, family="nig"
        ).log_prob(0.7)

    slope = jax.jit(jax.grad(value))(jnp.array(1.5))
    step = 1e-5
    wanted = (float(value(1.5 + step)) - float(value(1.5 - step))) / (2 * step)
    assert float(slope) == pytest.approx(wanted, rel=1e-8)
    known = jax.jit(par.to_alpha_beta)(scalar("nig"))
    assert float(known["lam"]) == -0.5


@pytest.mark.parametrize(
    ("ask", "told"),
    [
        (lambda: par.from_alpha_beta(alpha=1, beta=2, delta=1, mu=0), "alpha must be"),
        (lambda: par.from_alpha_beta(alpha=2, beta=1, delta=-1, mu=0), "delta"),
        (lambda: par.from_alpha_beta(alpha=2, beta=1, delta=0, mu=0), "no law"),
        (lambda: par.from_alpha_beta(alpha=1, beta=1, delta=1, mu=0, lam=1), "no law"),
        (
            lambda: par.from_alpha_beta(alpha=2, beta=1, delta=1, mu=0, family="vg"),
            "no law of family 'vg'",
        ),
        (
            lambda: par.from_alpha_beta(alpha=2, beta=[1, 0], delta=1, mu=[0, 0]),
            "Delta is needed",
        ),
        (
            lambda: par.from_alpha_bar(lam=-0.5, alpha_bar=0, mu=0, sigma=1, gamma=0),
            "alpha_bar must be",
        ),
        (
            lambda: par.from_chi_psi(lam=1, chi=1, psi=1, mu=0, sigma=-1, gamma=0),
            "sigma",
        ),
        (lambda: par.to_genhyperbolic(scalar("vg")), "variance gamma"),
        (lambda: par.to_genhyperbolic(scalar("t")), "skew t"),
        (lambda: par.to_genhyperbolic(vector("gh")), "not univariate"),
        (lambda: par.to_norminvgauss(scalar("gh")), "normal inverse Gaussian"),
        (lambda: par.to_geninvgauss(normix.Gamma(alpha=1.0, beta=1.0)), "limit"),
        (lambda: par.from_geninvgauss(p=1, b=0), "b"),
        (lambda: par.to_alpha_beta(normix.Gamma(alpha=1.0, beta=1.0)), "Gamma"),
        (
            lambda: par.to_alpha_bar(
                normix.UnivariateNormalInverseGamma.from_classical(
                    mu=0, gamma=0, sigma=1, alpha=0.9, beta=1
                )
            ),
            "finite",
        ),
    ],
)
def test_bad_input_is_told(ask, told):
    with pytest.raises(ValueError, match=told):
        ask()
