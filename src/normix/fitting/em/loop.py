"""The EM iteration: init, step, terminate, and one loop that runs them."""

from __future__ import annotations

from functools import partial
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Bool, Float, Int

from normix.exponential_family import SolverOptions
from normix.fitting.em.acceleration import ACCELERATIONS, Accelerator
from normix.fitting.em.regularization import gauge_scale
from normix.fitting.em.rules import EtaUpdateRule
from normix.mixtures.constraints import Constraints
from normix.mixtures.initial import tree_where
from normix.mixtures.joint import JointNormalMixture
from normix.mixtures.rows import Layout
from normix.mixtures.statistics import MixtureStatistics, MixtureSums

# A fall of the mean log-likelihood by so many units in the last place of 1 + |it| is
# rounding: the tables of the E-step are good to some tens of them.
_ROUNDING = 256


class Plan(NamedTuple):
    """What is fixed while a fit compiles; hashable."""

    max_iter: int
    algorithm: str
    acceleration: str
    e_step_backend: str
    m_step: SolverOptions
    layout: Layout


class Asked(NamedTuple):
    """What a fit is asked for, besides the data and the plan."""

    tol: Float[Array, ""]
    regularization: Int[Array, ""]
    constraints: Constraints
    rule: EtaUpdateRule | None


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
    weights: Float[Array, " n"] | None
    constraints: Constraints
    rule: EtaUpdateRule | None


class State(NamedTuple):
    """An accepted model, what is proposed to follow it, and how it got there.

    All models live in coordinates centred at the column means. A turn of the loop
    evaluates the proposal by an E-step, which gives its log-likelihood and the EM step
    from it, accepts or refuses it, and makes the next: the E-step at the last model is
    the same code as all others.
    """

    model: JointNormalMixture
    proposal: JointNormalMixture
    following: JointNormalMixture  # EM's step from the model, should that be refused
    plain: Bool[Array, ""]  # whether the proposal is that step
    pending: Bool[Array, ""]  # the proposal has not been evaluated
    log_likelihood: Float[Array, ""]
    n_iter: Int[Array, ""]  # proposals evaluated; -1 before the first E-step
    converged: Bool[Array, ""]
    diverged: Bool[Array, ""]
    unbounded: Bool[Array, ""]
    share: Float[Array, ""]
    accelerator: Accelerator
    eta: MixtureStatistics | None  # of the last step, in the data's own coordinates
    rule_state: Any
    log_likelihoods: Float[Array, " max_iter"]
    param_changes: Float[Array, " max_iter"]
    criteria: Float[Array, " max_iter"]


def init(
    model: JointNormalMixture,
    X: Array,
    weights: Array | None,
    asked: Asked,
    plan: Plan,
) -> tuple[Problem, State]:
    """The problem, and the state before the first E-step."""
    centre = X.mean(axis=0)
    # Data that are not finite must not reach the model that comes back.
    centre = jnp.where(jnp.isfinite(centre), centre, 0.0)
    spread = ((X - centre) ** 2).mean(axis=0)
    scale = jnp.where(spread > 0, jnp.sqrt(spread), 1.0)
    return begin(model, centre, scale, weights, asked, plan)


def begin(
    model: JointNormalMixture,
    centre: Array,
    scale: Array,
    weights: Array | None,
    asked: Asked,
    plan: Plan,
) -> tuple[Problem, State]:
    """:func:`init` for data with these column means and standard deviations."""
    dtype, rule = centre.dtype, asked.rule
    problem = Problem(
        centre,
        scale,
        asked.tol,
        asked.regularization,
        model.log_det_sigma(),
        weights,
        asked.constraints.translated(-centre),
        rule,
    )
    eta = None if rule is None else model.expectations()
    model = _feasible(model.translated(-centre), problem.constraints)
    size = model.coordinates().shape[0]
    accelerator = ACCELERATIONS[plan.acceleration].begin(size, dtype)
    history = jnp.full(plan.max_iter, jnp.nan, dtype)
    no = jnp.array(False)
    state = State(
        model=model,
        proposal=model,
        following=model,
        plain=jnp.array(True),
        pending=jnp.array(True),
        log_likelihood=jnp.asarray(jnp.nan, dtype),
        n_iter=jnp.asarray(-1, jnp.result_type(int)),
        converged=no,
        diverged=no,
        unbounded=no,
        share=jnp.zeros((), dtype),
        accelerator=accelerator,
        eta=eta,
        rule_state=None if rule is None else rule.initial_state(),
        log_likelihoods=history,
        param_changes=history,
        criteria=history,
    )
    return problem, state


def _feasible(model: JointNormalMixture, constraints: Constraints):
    """The model with the parameters that are held at their values."""
    if constraints.mu is not None:
        model = eqx.tree_at(lambda m: m.mu, model, constraints.mu)
    if constraints.symmetric:
        model = eqx.tree_at(lambda m: m.gamma, model, jnp.zeros_like(model.gamma))
    law = model.subordinator.bounded(constraints.p, constraints.alpha_min)
    return eqx.tree_at(lambda m: m.subordinator, model, law)


def change(old: JointNormalMixture, new: JointNormalMixture, problem: Problem):
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
        before_and_after = (
            (model.mu, model.gamma, *model.dispersion.parameters())
            for model in (old, new)
        )
        for before, after in zip(*before_and_after, strict=True):
            by = unit.reshape(unit.shape + (1,) * (before.ndim - 1))
            offset = shift if before is old.mu else 0.0
            top, bottom = rms((after - before) / by), rms((before + offset) / by)
            ratios.append(top / (1 + bottom))
        return jnp.stack(ratios).max()

    raw = largest(problem.centre, jnp.ones_like(problem.scale))
    return raw, jnp.maximum(raw, largest(0.0, problem.scale))


def _in_gauge(model: JointNormalMixture, problem: Problem) -> JointNormalMixture:
    scale = gauge_scale(model, problem.regularization, problem.log_det)
    return model.rescaled(scale)


def sweep(model: JointNormalMixture, X: Array, problem: Problem, plan: Plan):
    """The E-step on all rows."""
    # About the column means: raw second moments would cancel where these are large.
    return model.sums(
        X,
        plan.e_step_backend,
        problem.weights,
        shift=problem.centre,
        layout=plan.layout,
    )


class Step(NamedTuple):
    """Where EM goes from a proposal, and what an update rule made of the E-step."""

    following: JointNormalMixture
    eta: MixtureStatistics | None
    rule_state: Any


def em_step(
    state: State, sums: MixtureSums, size: Array, problem: Problem, plan: Plan
) -> Step:
    """EM's step from the proposal, ``sums`` being its E-step on ``size`` rows."""
    model = state.proposal
    if problem.rule is None or state.eta is None:
        new = model.maximised_about(
            sums.means(), plan.m_step, problem.constraints, sums
        )
        return Step(_in_gauge(new, problem), None, None)
    # Rules speak of the data's own coordinates.
    shift = model.mu + problem.centre
    eta = sums.means().translate(shift)
    eta, memory = problem.rule(state.eta, eta, state.n_iter + 2, size, state.rule_state)
    new = model.maximised_about(eta.translate(-shift), plan.m_step, problem.constraints)
    # What is remembered has to be in the unit of Y of the next E-step.
    unit = gauge_scale(new, problem.regularization, problem.log_det)
    return Step(new.rescaled(unit), eta.rescaled(unit), memory)


def half_step(
    k: Array | int,
    at: JointNormalMixture,
    sums: MixtureSums,
    problem: Problem,
    plan: Plan,
) -> JointNormalMixture:
    """MCECM's step, of which the E-step is repeated before its second half.

    The first, ``k = 0``, finds (μ, γ, Σ); the other the law of Y.
    """
    new = at.maximised_about(sums.means(), plan.m_step, problem.constraints, sums)
    normal = eqx.tree_at(lambda m: m.subordinator, new, at.subordinator)
    mixing = eqx.tree_at(lambda m: m.subordinator, at, new.subordinator)
    return _in_gauge(tree_where(k == 0, normal, mixing), problem)


def _evaluated(state: State, X: Array, problem: Problem, plan: Plan):
    """The E-step at the proposal, and EM's step from it."""
    model = state.proposal
    if plan.algorithm == "mcecm":

        def half(k, carry):
            at, first = carry
            sums = sweep(at, X, problem, plan)
            return half_step(k, at, sums, problem, plan), tree_where(
                k == 0, sums, first
            )

        shapes = jax.eval_shape(lambda m: sweep(m, X, problem, plan), model)
        start = model, jax.tree.map(jnp.zeros_like, shapes)
        new, sums = lax.fori_loop(0, 2, half, start)
        return sums, Step(new, state.eta, state.rule_state)
    sums = sweep(model, X, problem, plan)
    size = jnp.asarray(X.shape[0], X.dtype)
    return sums, em_step(state, sums, size, problem, plan)


def all_finite(*trees) -> Bool[Array, ""]:
    """Whether every entry of the pytrees is finite."""
    return jnp.stack([jnp.isfinite(x).all() for x in jax.tree.leaves(trees)]).all()


def step(state: State, X: Array, problem: Problem, plan: Plan) -> State:
    """Evaluate the proposal, accept or refuse it, and make the next."""
    sums, found = _evaluated(state, X, problem, plan)
    return judged(state, sums, found, problem, plan)


def judged(
    state: State, sums: MixtureSums, found: Step, problem: Problem, plan: Plan
) -> State:
    """The state after the proposal's E-step: accepted or refused, with the next."""
    model, k = state.proposal, state.n_iter
    following, eta, rule_state = found
    log_likelihood = sums.mean_log_likelihood()
    finite = all_finite(model, sums, log_likelihood)

    eps = jnp.finfo(log_likelihood.dtype).eps
    slack = _ROUNDING * eps * (1 + jnp.abs(state.log_likelihood))
    rising = (k < 0) | (log_likelihood >= state.log_likelihood - slack)
    if problem.rule is not None:
        rising = jnp.array(True)  # a rule may have another aim
    # At a pole of the density the likelihood has no maximum to be found.
    at_pole, share = model.at_pole(sums)
    accepted = finite & rising & ~at_pole
    raw, scaled = change(state.model, model, problem)
    # The law of Y may go on when all else has come to rest. A gain of δ²/2 is a step
    # of δ standard errors of one observation, in whatever parameters.
    gain = jnp.maximum(log_likelihood - state.log_likelihood - slack, 0.0)
    scaled = jnp.maximum(scaled, jnp.sqrt(2 * gain))
    converged = accepted & (k >= 0) & (scaled <= problem.tol)

    # Onwards from an accepted proposal, by extrapolation if there is one.
    unit = problem.scale
    x, g = (m.in_units(1 / unit).coordinates() for m in (model, following))
    vector, accelerator = state.accelerator.proposal(x, g)
    leap = model.at(vector).in_units(unit)
    if problem.constraints.alpha_min is not None:
        leap = _feasible(leap, problem.constraints)
    extrapolated = all_finite(vector, leap)
    ahead = tree_where(extrapolated, _in_gauge(leap, problem), following)
    index = jnp.where(k >= 0, k, plan.max_iter)  # the initial model leaves no entry

    def noted(kept, changes):
        histories = state.log_likelihoods, state.param_changes, state.criteria
        entries = kept, *changes
        return [
            history.at[index].set(entry, mode="drop")
            for history, entry in zip(histories, entries, strict=True)
        ]

    ll, changes, criteria = noted(log_likelihood, (raw, scaled))
    onwards = State(
        model=model,
        proposal=ahead,
        following=following,
        plain=~extrapolated,
        pending=~converged & (k + 1 < plan.max_iter),
        log_likelihood=log_likelihood,
        n_iter=k + 1,
        converged=converged,
        diverged=state.diverged,
        unbounded=state.unbounded,
        share=share,
        accelerator=accelerator,
        eta=eta,
        rule_state=rule_state,
        log_likelihoods=ll,
        param_changes=changes,
        criteria=criteria,
    )
    # From a refused leap back to EM's own step; if that is refused, nothing is left.
    # The turn counts, and finds the model where it was.
    zero = jnp.zeros_like(raw)
    ll, changes, criteria = noted(state.log_likelihood, (zero, zero))
    back = state._replace(
        proposal=state.following,
        plain=jnp.array(True),
        pending=(k + 1 < plan.max_iter),
        n_iter=k + 1,
        accelerator=state.accelerator.refused(),
        log_likelihoods=ll,
        param_changes=changes,
        criteria=criteria,
    )
    # Where EM's own step is refused. That it falls at all means that the tables of
    # the E-step, or an M-step far out, lack the digits; that it is at a pole, that the
    # likelihood is unbounded.
    ended = state._replace(
        pending=jnp.array(False),
        n_iter=jnp.maximum(k, 0),
        log_likelihood=jnp.where(k < 0, log_likelihood, state.log_likelihood),
        diverged=~at_pole,
        unbounded=at_pole,
    )
    refused = tree_where(state.plain | at_pole, ended, back)
    return tree_where(accepted, onwards, refused)


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


def finish(state: State, problem: Problem) -> JointNormalMixture:
    """The model in the data's own coordinates."""
    return state.model.translated(problem.centre)


@partial(jax.jit, static_argnames="plan")
def solve(
    model: JointNormalMixture,
    X: Array,
    weights: Array | None,
    asked: Asked,
    plan: Plan,
) -> tuple[JointNormalMixture, State]:
    """A whole fit as one function of arrays."""
    problem, state = init(model, X, weights, asked, plan)
    state = advance(state, X, problem, jnp.asarray(plan.max_iter + 1), plan)
    return finish(state, problem), state


begin_jit = partial(jax.jit, static_argnames="plan")(begin)
init_jit = partial(jax.jit, static_argnames="plan")(init)
advance_jit = partial(jax.jit, static_argnames="plan")(advance)
finish_jit = jax.jit(finish)
