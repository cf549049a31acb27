"""Why a fit ended."""

from __future__ import annotations

import enum


class Outcome(enum.IntEnum):
    """Why a fit ended; ``Outcome.CONVERGED.prose`` says it in words."""

    RUNNING = 0
    CONVERGED = 1
    USED_UP = 2
    UNBOUNDED = 3
    DIVERGED = 4
    INTERRUPTED = 5
    STEPS_DONE = 6
    STEPS_REFUSED = 7

    @property
    def word(self) -> str:
        """The reason in a word or two, for counts of many fits."""
        words = {Outcome.USED_UP: "not converged"}
        return words.get(self, self.name.lower().replace("_", " "))

    @property
    def prose(self) -> str:
        """The reason as a sentence."""
        return _PROSE[self]


# With a model that may be a maximum.
AT_REST = (Outcome.CONVERGED, Outcome.USED_UP)

_PROSE = {
    Outcome.RUNNING: "not ended",
    Outcome.CONVERGED: "converged: no more than the tolerance is to be gained",
    Outcome.USED_UP: "not converged: the iterations were used up",
    Outcome.UNBOUNDED: (
        "unbounded: the likelihood has no maximum here; an observation drew the "
        "location onto a pole of the density. Bound the shape from below by alpha_min "
        '(alpha_min="density"), or choose a family without poles (normal inverse '
        "Gaussian, skew t)"
    ),
    Outcome.DIVERGED: (
        "diverged: a step was not finite or lowered the likelihood; the model is that "
        "of the last accepted iteration"
    ),
    Outcome.INTERRUPTED: (
        "interrupted: the model is that of the last complete iteration"
    ),
    Outcome.STEPS_DONE: "steps done",
    Outcome.STEPS_REFUSED: "steps done; some were refused",
}
