"""The mixture families, one record each, for tests that run over all of them."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

import normix
from normix import MarginalMixture


class Record(NamedTuple):
    """A family and parameters of its mixing variable with four finite moments."""

    name: str
    mixing: dict[str, float]

    def form(self, prefix: str = "") -> Any:
        """The class of one form of the family."""
        return getattr(normix, prefix + self.name)

    def full(self, mu, gamma, sigma, **mixing: float) -> Any:
        return self.form().from_classical(
            mu=mu, gamma=gamma, sigma=sigma, **(self.mixing | mixing)
        )

    def factor(self, mu, gamma, F, D) -> Any:
        return self.form("Factor").from_classical(
            mu=mu, gamma=gamma, F=F, D=D, **self.mixing
        )


FAMILIES = (
    Record("VarianceGamma", {"alpha": 3.2, "beta": 2.0}),
    Record("NormalInverseGaussian", {"mu_ig": 1.0, "lam": 1.5}),
    Record("NormalInverseGamma", {"alpha": 9.5, "beta": 8.0}),
    Record("GeneralizedHyperbolic", {"p": 0.7, "a": 1.2, "b": 0.9}),
)


class Parts(NamedTuple):
    """The parts that every family is given in d = 4 dimensions."""

    mu: np.ndarray
    gamma: np.ndarray
    F: np.ndarray
    D: np.ndarray
    sigma: np.ndarray


def parts() -> Parts:
    rng = np.random.default_rng(0)
    mu, gamma = rng.normal(size=4), 0.4 * rng.normal(size=4)
    F, D = rng.normal(size=(4, 2)), rng.uniform(0.3, 1.0, 4)
    return Parts(mu, gamma, F, D, F @ F.T + np.diag(D))


def rows_log_prob(model: MarginalMixture, X) -> np.ndarray:
    """The log-density of every row."""
    from normix.mixtures.model_steps import log_prob_of_rows

    return np.asarray(log_prob_of_rows(model.joint, model._rows(X)))
