"""What a fit is asked for, and what is measured on its data once."""

from __future__ import annotations

from typing import Any, NamedTuple

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, Float

from normix._compile import small
from normix.exponential_family import SolverOptions
from normix.fitting.em.rules import EtaUpdateRule
from normix.mixtures.joint import JointNormalMixture
from normix.mixtures.law import Frame
from normix.mixtures.subordinator import Subordinator


class Plan(NamedTuple):
    """What is fixed while a fit compiles; hashable."""

    frame: Frame
    law: type[Subordinator]
    algorithm: str = "em"
    acceleration: str = "none"
    e_step_backend: str = "jax"
    m_step: SolverOptions = SolverOptions()
    symmetric: bool = False

    @property
    def by_jax(self) -> bool:
        """Whether no piece is left to SciPy, which has to look at values."""
        solved = not self.law.closed_form
        return self.e_step_backend == "jax" and not (
            solved and self.m_step.backend == "cpu"
        )


class Held(NamedTuple):
    """What is held fixed or bounded; None stands for nothing."""

    mu: Float[Array, " d"] | None = None
    p: Float[Array, ""] | None = None
    alpha_min: Float[Array, ""] | None = None


class Problem(NamedTuple):
    """All models live in coordinates centred at the column means.

    ``gauge``: its place among :data:`~normix.mixtures.coordinates.REGULARIZATIONS`,
    and the ``log |Σ|`` that "det_sigma_x" keeps. ``settings``: the tolerance and the
    number of rows. Numbers, so that one program serves them all.
    """

    centre: Float[Array, " d"]
    scale: Float[Array, " d"]
    gauge: Float[Array, " 2"]
    settings: Float[Array, " 2"]
    held: Held
    rule: EtaUpdateRule | None


class Asked(NamedTuple):
    """What a fit begins with: a model, and what the caller asks for, as numbers."""

    model: JointNormalMixture
    centre: Float[Array, " d"]
    scale: Float[Array, " d"]
    tol: Any
    n: Any
    gauge: Any
    held: Held
    rule: EtaUpdateRule | None


@small("plan")
def posed(asked: Asked, plan: Plan) -> tuple[Problem, Float[Array, " k"]]:
    """The problem, and where its iteration starts: as a vector, feasible."""
    model, centre, scale, tol, n, gauge, held, rule = asked
    dtype = centre.dtype
    settings = jnp.stack([jnp.asarray(x, dtype) for x in (tol, n)])
    gauge = jnp.stack([jnp.asarray(x, dtype) for x in (gauge, model.log_det_sigma())])
    if held.mu is not None:
        model = eqx.tree_at(lambda m: m.mu, model, held.mu.astype(dtype))
    if plan.symmetric:
        model = eqx.tree_at(lambda m: m.gamma, model, jnp.zeros_like(model.gamma))
    bounded = model.subordinator.bounded(held.p, held.alpha_min)
    model = eqx.tree_at(lambda m: m.subordinator, model, bounded)
    model = model.translated(-centre)
    about = None if held.mu is None else held.mu - centre
    problem = Problem(centre, scale, gauge, settings, held._replace(mu=about), rule)
    return problem, plan.frame.pack(model.law()).astype(dtype)
