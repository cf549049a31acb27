"""Generalized hyperbolic fits that end in a limit: by way of a family within as well.

There the likelihood has several maxima as a rule, and a free order leads to another one
than the variance gamma family does, from the same start. Of 100 sets of data in two
dimensions that no mixture made, ten ended below the variance gamma fit, by up to ten
nats.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable

from normix.distributions import Gamma
from normix.fitting.em.fits import Fits, Told
from normix.fitting.em.outcome import Outcome
from normix.fitting.em.result import EMResult
from normix.mixtures.generalized_hyperbolic import JointGeneralizedHyperbolic
from normix.mixtures.joint import JointNormalMixture
from normix.mixtures.variance_gamma import JointVarianceGamma


def has_family_within(found: EMResult, start: JointNormalMixture) -> bool:
    """Whether a fit from ``start`` ended in a limit that is not the normal law."""
    if not (isinstance(start, JointGeneralizedHyperbolic) and found.converged):
        return False
    spread = float(start.subordinator.var())
    return found.boundary not in (None, "normal") and 0 < spread < math.inf


def by_family_within(
    first: EMResult,
    start: JointNormalMixture,
    again: Callable[[JointNormalMixture, Told, int], EMResult],
    least: float,
    max_iter: int,
    told: Told,
) -> EMResult:
    """The better of two fits: ``first``, and one that begins at a variance gamma fit.

    - ``first``: a fit from ``start`` that ended at rest.
    - ``again``: fits from a law, in its family, tells of its iterations, and makes so
      many at most.
    - ``least``: what a fit has to gain, of the mean log-likelihood.

    The result counts the iterations of all fits, up to ``max_iter``, and its history is
    of the best law so far. Ctrl-C ends it with that.
    """
    way = Fits(first)
    before = float(first.log_likelihood)
    try:
        if way.n_iter < max_iter:
            within = _variance_gamma_at(start)
            left = max_iter - way.n_iter
            way.add(_as_larger(again(within, way.counting(told), left)))
        left = max_iter - way.n_iter
        better = float(way.best.log_likelihood) > before + least
        if left > 0 and better and not way.best.interrupted:
            way.add(again(way.best.model.joint, way.counting(told), left))
    except KeyboardInterrupt:
        return way.ended(Outcome.INTERRUPTED)
    return way.ended(way.best.outcome)


def _variance_gamma_at(start: JointNormalMixture) -> JointVarianceGamma:
    """With the mean and variance of Y, and so the mean and covariance of X."""
    law = start.subordinator
    mean = law.mean()
    alpha = mean * mean / law.var()
    gamma = Gamma(alpha, alpha / mean)
    return JointVarianceGamma(start.mu, start.gamma, start.dispersion, gamma)


def _as_larger(fit: EMResult) -> EMResult:
    """A variance gamma fit as one of generalized hyperbolic laws."""
    edge = "variance gamma" if fit.boundary is None else fit.boundary
    model = fit.model.to_generalized_hyperbolic()
    return dataclasses.replace(fit, model=model, edge=edge)
