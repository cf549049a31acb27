"""The EM iteration: init, step, terminate, and one loop that runs them."""

from __future__ import annotations

from functools import partial
from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Bool, Float, Int

from normix.exponential_family import SolverOptions
from normix.fitting.em.regularization import gauge_scale
from normix.mixtures.marginal import MarginalMixture
from normix.mixtures.rows import sum_over_rows


class Plan(NamedTuple):
    """What is fixed while a fit compiles; hashable."""

    max_iter: int
    e_step_backend: str
    m_step: SolverOptions


class Problem(NamedTuple):
    """What is measured on the data once, and what the fit is asked for.

    The data themselves are passed beside it: an output of a compiled function is a
    copy, and there should be none of them.
    """

    centre: Float[Array, " d"]
    scale: Float[Array, " d"]
    tol: Float[Array, ""]
    regularization: Int[Array, ""]
    log_det: Float[Array, ""]


class State(NamedTuple):
    """An accepted model, the M-step made from it, and how it got there.

    Both models live in coordinates centred at the column means. A turn of the loop
    evaluates the proposal by an E-step, accepts it, and makes the next: the E-step at
    the last model, which gives its log-likelihood, is the same code as all others.
    """

    model: MarginalMixture
    proposal: MarginalMixture
    pending: Bool[Array, ""]  # the proposal has not been evaluated
    log_likelihood: Float[Array, ""]
    n_iter: Int[Array, ""]  # M-steps accepted; -1 before the first E-step
    converged: Bool[Array, ""]
    diverged: Bool[Array, ""]
    log_likelihoods: Float[Array, " max_iter"]
    param_changes: Float[Array, " max_iter"]
    criteria: Float[Array, " max_iter"]


def _translate(model: MarginalMixture, shift: Float[Array, " d"]) -> MarginalMixture:
    return eqx.tree_at(lambda m: m.joint, model, model.joint.translated(shift))


def _e_step(model: MarginalMixture, X: Array, problem: Problem, backend: str):
    # About the column means: raw second moments would cancel where the mean is large.
    sums = sum_over_rows(
        lambda rows: model.joint.row_sums(rows - problem.centre, backend), X
    )
    return jax.tree.map(lambda total: total / X.shape[0], sums)


def init(
    model: MarginalMixture, X: Array, tol: Array, regularization: Array, max_iter: int
) -> tuple[Problem, State]:
    """The problem, and the state before the first E-step."""
    centre = X.mean(axis=0)
    # Data that are not finite must not reach the model that comes back.
    centre = jnp.where(jnp.isfinite(centre), centre, 0.0)
    spread = ((X - centre) ** 2).mean(axis=0)
    scale = jnp.where(spread > 0, jnp.sqrt(spread), 1.0)
    log_det = model.log_det_sigma()
    problem = Problem(centre, scale, tol, regularization, log_det)
    model = _translate(model, -centre)
    history = jnp.full(max_iter, jnp.nan, X.dtype)
    state = State(
        model=model,
        proposal=model,
        pending=jnp.array(True),
        log_likelihood=jnp.asarray(jnp.nan, X.dtype),
        n_iter=jnp.asarray(-1, jnp.result_type(int)),
        converged=jnp.array(False),
        diverged=jnp.array(False),
        log_likelihoods=history,
        param_changes=history,
        criteria=history,
    )
    return problem, state


def change(old: MarginalMixture, new: MarginalMixture, problem: Problem):
    """The parameter change, in the data's units and in standard deviations.

    The largest over (μ, γ, L_Σ) of rms(new - old)/(1 + rms(old)). The 1 stands for
    the scale of the data, so the same change is also taken with the columns in units
    of their standard deviations: without it, returns of a hundredth would always
    look converged.
    """

    def rms(x):
        return jnp.sqrt((x * x).mean())

    def largest(shift, unit):
        ratios = []
        pairs = zip(
            old.em_convergence_params(), new.em_convergence_params(), strict=True
        )
        for before, after in pairs:
            by = unit.reshape(unit.shape + (1,) * (before.ndim - 1))
            offset = shift if before is old.mu else 0.0
            top, bottom = rms((after - before) / by), rms((before + offset) / by)
            ratios.append(top / (1 + bottom))
        return jnp.stack(ratios).max()

    raw = largest(problem.centre, jnp.ones_like(problem.scale))
    return raw, jnp.maximum(raw, largest(0.0, problem.scale))


def step(state: State, X: Array, problem: Problem, plan: Plan) -> State:
    """Evaluate the proposal; accept it if finite; make the next by an M-step."""
    model, k = state.proposal, state.n_iter
    eta, log_likelihood = _e_step(model, X, problem, plan.e_step_backend)
    leaves = jax.tree.leaves((model, eta, log_likelihood))
    finite = jnp.stack([jnp.isfinite(leaf).all() for leaf in leaves]).all()
    raw, scaled = change(state.model, model, problem)
    converged = (k >= 0) & (scaled <= problem.tol)

    following = model.m_step(eta, **plan.m_step._asdict())
    scale = gauge_scale(following, problem.regularization, problem.log_det)
    joint = following.joint.rescaled(scale)
    following = eqx.tree_at(lambda m: m.joint, following, joint)

    index = jnp.where(k >= 0, k, plan.max_iter)  # the initial model leaves no entry
    new = State(
        model=model,
        proposal=following,
        pending=~converged & (k + 1 < plan.max_iter),
        log_likelihood=log_likelihood,
        n_iter=k + 1,
        converged=converged,
        diverged=state.diverged,
        log_likelihoods=state.log_likelihoods.at[index].set(
            log_likelihood, mode="drop"
        ),
        param_changes=state.param_changes.at[index].set(raw, mode="drop"),
        criteria=state.criteria.at[index].set(scaled, mode="drop"),
    )
    old = state._replace(
        pending=jnp.array(False),
        diverged=jnp.array(True),
        n_iter=jnp.maximum(k, 0),
    )
    return jax.tree.map(lambda x, y: jnp.where(finite, x, y), new, old)


def advance(
    state: State, X: Array, problem: Problem, n_steps: Array, plan: Plan
) -> State:
    """At most ``n_steps`` turns more."""

    def body(carry):
        state, left = carry
        return step(state, X, problem, plan), left - 1

    def unfinished(carry):
        state, left = carry
        return state.pending & (left > 0)

    return lax.while_loop(unfinished, body, (state, n_steps))[0]


def finish(state: State, problem: Problem) -> MarginalMixture:
    """The model in the data's own coordinates."""
    return _translate(state.model, problem.centre)


init_jit = jax.jit(init, static_argnames="max_iter")
advance_jit = jax.jit(advance, static_argnames="plan")
finish_jit = jax.jit(finish)


@partial(jax.jit, static_argnames="plan")
def solve(
    model: MarginalMixture, X: Array, tol: Array, regularization: Array, plan: Plan
):
    """A whole fit in one call, for use inside ``jit`` and ``vmap``."""
    problem, state = init(model, X, tol, regularization, plan.max_iter)
    state = advance(state, X, problem, jnp.asarray(plan.max_iter + 1), plan)
    return finish(state, problem), state
