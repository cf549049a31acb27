# pyright: reportArgumentType=false
"""Expectations and sums that do not belong to the model that is given them."""

from __future__ import annotations

import re

import equinox as eqx
import jax
import numpy as np
import pytest

from normix import (
    AffineUpdate,
    BatchEMFitter,
    FactorMixtureStats,
    IdentityUpdate,
    IncrementalEMFitter,
    MixtureSums,
    NormalMixtureEta,
    Shrinkage,
)

from .families import FAMILIES, parts

P = parts()
FULL = FAMILIES[1].full(P.mu, P.gamma, P.sigma)
FACTOR = FAMILIES[1].factor(P.mu, P.gamma, P.F, P.D)
SCALAR = FAMILIES[1].full([0.0], [0.0], [[1.0]])


def full_record(d: int = 4) -> NormalMixtureEta:
    vector = np.zeros(d)
    return NormalMixtureEta(2.0, 1.0, -0.2, vector, vector, np.eye(d))


def factor_record(d: int = 4, r: int = 2) -> FactorMixtureStats:
    v, z = np.zeros(d), np.zeros(r)
    return FactorMixtureStats(
        2.0, 1.0, -0.2, v, v, v + 2.0, np.zeros((d, r)), z, z, np.eye(r)
    )


def sums(totals) -> MixtureSums:
    v = np.zeros(totals.E_X.shape)
    return MixtureSums(totals, -1.0, 1.0, v, np.inf, v, np.zeros(9))


def refuses(*parts: str):
    return pytest.raises(ValueError, match="(?s)" + ".*".join(map(re.escape, parts)))


OTHERS = [
    (FULL, factor_record(), ("NormalMixtureEta", "FactorMixtureStats")),
    (FACTOR, full_record(), ("FactorMixtureStats", "NormalMixtureEta")),
    (FULL, full_record(3), ("E_X must have shape (4,)", "(3,)")),
    (SCALAR, full_record(2), ("E_X must have shape (1,)", "(2,)")),
    (FACTOR, factor_record(3), ("E_X must have shape (4,)", "(3,)")),
    (FACTOR, factor_record(r=1), ("E_XZT_inv_sqrtY must", "(4, 2)", "(4, 1)")),
]


@pytest.mark.parametrize("call", ["m_step", "m_step_normal", "m_step_subordinator"])
@pytest.mark.parametrize(("model", "eta", "said"), OTHERS)
def test_expectations_of_another_form_or_size(call, model, eta, said):
    with refuses(*said):
        getattr(model, call)(eta)
    with refuses(*said):
        model.m_step(sums(eta))
    # Shapes are known under jit, too.
    with refuses(*said):
        jax.jit(getattr(model, call))(eta)


def test_no_expectations_at_all():
    with refuses("eta must be a NormalMixtureEta", "got a ndarray"):
        FULL.m_step(np.zeros(6))
    with refuses("eta must be a NormalMixtureEta", "got a FactorMixtureStats"):
        type(FULL).from_expectation(factor_record())
    with refuses("eta must be a FactorMixtureStats", "got a NormalMixtureEta"):
        type(FACTOR).from_expectation(full_record())


@pytest.mark.parametrize(
    ("field", "value", "shape"),
    [
        ("E_Y", np.ones(2), "()"),
        ("E_X", np.ones(()), "(0,)"),
        ("E_X_inv_Y", np.ones((4, 1)), "(4,)"),
        ("E_XXT_inv_Y", np.ones(4), "(4, 4)"),
        ("E_XXT_inv_Y", np.ones((4, 3)), "(4, 4)"),
    ],
)
def test_fields_that_do_not_fit_each_other(field, value, shape):
    eta = eqx.tree_at(lambda eta: getattr(eta, field), full_record(), value)
    with refuses(f"eta.{field} must have shape {shape}", str(value.shape)):
        type(FULL).from_expectation(eta)


@pytest.mark.parametrize(("model", "eta", "said"), OTHERS)
def test_rules_with_records_of_another_model(model, eta, said, key):
    X = np.random.default_rng(0).normal(size=(9, model.d))
    rule = Shrinkage(IdentityUpdate(), eta, 0.1)
    with refuses("eta0", *said):
        BatchEMFitter(eta_update=rule).fit(model, X)
    with refuses("eta0", *said):
        fitter = IncrementalEMFitter(eta_update=Shrinkage(rule, eta, 0.2))
        fitter.fit(model, X, key=key)
    if not isinstance(eta, type(model.compute_eta_from_model())):
        with refuses("a record of eta_update", *said):
            BatchEMFitter(eta_update=AffineUpdate(b=eta)).fit(model, X)
