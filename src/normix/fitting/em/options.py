"""Options that the fitters share, checked; and what of them depends on the model."""

from dataclasses import KW_ONLY
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from equinox import AbstractVar
from jaxtyping import Array, ArrayLike

from normix._arrays import as_float, check_option, is_traced
from normix.exponential_family import BACKENDS, METHODS, SolverOptions
from normix.fitting.em.problem import Held
from normix.fitting.em.rules import EtaUpdateRule, Shrinkage
from normix.mixtures.coordinates import REGULARIZATIONS
from normix.mixtures.expected import check_record, check_record_class
from normix.mixtures.marginal import MarginalMixture
from normix.mixtures.maximum import solver_options
from normix.mixtures.statistics import FactorMixtureStats, NormalMixtureEta

ALGORITHMS = ("em", "mcecm")
# The least shapes by name, above d/2: for a likelihood that distinct rows bound, and
# for finite means of 1/Y given any observation, by a margin.
ALPHA_MIN = {"density": 0.5, "inverse_moment": 1.1}


class Options(eqx.Module):
    """What the fitters have in common: see :class:`~normix.BatchEMFitter`."""

    _: KW_ONLY
    verbose: int = eqx.field(static=True, default=0)
    regularization: str = eqx.field(static=True, default="none")
    symmetric: bool = eqx.field(static=True, default=False)
    fix: dict[str, Any] | None = None
    alpha_min: ArrayLike | str | None = None
    e_step_backend: str = eqx.field(static=True, default="jax")
    m_step_backend: str = eqx.field(static=True, default="jax")
    m_step_method: str = eqx.field(static=True, default="newton")
    m_step_kwargs: dict[str, Any] | None = eqx.field(static=True, default=None)
    eta_update: AbstractVar[EtaUpdateRule | None]

    def __hash__(self) -> int:
        # By identity, options may be dictionaries and arrays, which have no hash: so
        # that jax.jit(fitter.fit) works.
        return id(self)

    def __check_init__(self):
        check_option("regularization", self.regularization, REGULARIZATIONS)
        check_option("e_step_backend", self.e_step_backend, BACKENDS)
        check_option("m_step_backend", self.m_step_backend, BACKENDS)
        check_option("m_step_method", self.m_step_method, METHODS)
        if isinstance(self.alpha_min, str):
            check_option("alpha_min", self.alpha_min, tuple(ALPHA_MIN))
        if self.verbose not in (0, 1, 2):
            raise ValueError(f"verbose must be 0, 1 or 2, got {self.verbose!r}")
        self.solver()  # checks them

    def solver(self) -> SolverOptions:
        """How the subordinator's M-step is solved."""
        return solver_options(
            **{"backend": self.m_step_backend, "method": self.m_step_method}
            | (self.m_step_kwargs or {})
        )

    def held(self, model: MarginalMixture) -> Held:
        """What is held fixed or bounded in fits of such a model, checked.

        **Raises**: ``ValueError`` for a parameter that cannot be held, or a value that
        does not fit.
        """
        fix = dict(self.fix or {})
        subordinator = model.joint.subordinator
        holdable = ("mu", "p") if subordinator.has_order else ("mu",)
        unknown = sorted(set(fix) - set(holdable))
        if unknown:
            raise ValueError(
                f"fix names {', '.join(unknown)}; a {type(model).__name__} can hold "
                f"{', '.join(holdable)}"
            )
        mu, p = fix.get("mu"), fix.get("p")
        if mu is not None:
            mu = jnp.atleast_1d(as_float(mu))
            if mu.shape != (model.d,):
                raise ValueError(
                    f'fix["mu"] must have shape ({model.d},), got {mu.shape}'
                )
            _check_finite('fix["mu"]', mu)
        if p is not None:
            p = as_float(p)
            if p.ndim:
                raise ValueError(f'fix["p"] must be a scalar, got shape {p.shape}')
            _check_finite('fix["p"]', p)
        self._check_rule(model)
        return Held(mu, p, self._alpha_min(model, p))

    def held_names(self) -> tuple[str, ...]:
        """What the fit holds: of "mu", "p" and "gamma"."""
        return (*sorted(self.fix or ()), *(("gamma",) if self.symmetric else ()))

    def _check_rule(self, model: MarginalMixture) -> None:
        """Raise ``ValueError`` for a rule with records of another form or size."""
        owner, form = type(model).__name__, model._dispersion_class
        rule = self.eta_update
        while isinstance(rule, Shrinkage):
            r = model.joint.dispersion.rank
            check_record(owner, rule.eta0, form, model.d, r, "eta0")
            rule = rule.base
        records = NormalMixtureEta | FactorMixtureStats
        parts = jax.tree.leaves(
            self.eta_update, is_leaf=lambda part: isinstance(part, records)
        )
        for part in parts:
            if isinstance(part, records):
                check_record_class(owner, part, form, "a record of eta_update")

    def _alpha_min(self, model: MarginalMixture, p: Array | None) -> Array | None:
        least = self.alpha_min
        if least is None:
            return None
        if not model.joint.subordinator.bounded_below:
            raise ValueError(
                f"alpha_min bounds the shape of variance gamma and generalized "
                f"hyperbolic models; a {type(model).__name__} has no pole"
            )
        if p is not None:
            raise ValueError('alpha_min and fix["p"] exclude each other')
        if isinstance(least, str):
            least = 0.5 * model.d + ALPHA_MIN[least]
        least = as_float(least)
        if least.ndim or (not is_traced(least) and not float(least) > 0):
            raise ValueError(f"alpha_min must be a positive number, got {least}")
        return least


def bounded(held: Held, d: int) -> bool:
    """Whether what is held excludes a pole of the density."""
    least = held.alpha_min if held.p is None else held.p
    if least is None or is_traced(least):
        return False
    return float(least) >= 0.5 * (d + 1)


def _check_finite(name: str, value: Array) -> None:
    if not is_traced(value) and not np.isfinite(np.asarray(value)).all():
        raise ValueError(f"{name} must be finite, got {value}")
