"""One loop for values that can be looked at and for values that are being traced."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import Any, Protocol, TypeVar

import jax
import numpy as np
from jaxtyping import Array, Bool, Float

from normix._arrays import is_traced
from normix._inline import while_loop


def eagerly(*values: object) -> AbstractContextManager:
    """A context in which the host may drive pieces, if all values can be looked at.

    Also inside a function that is being traced, where JAX would otherwise trace what is
    done to them. Elsewhere it does nothing: within JAX's context every constant of a
    function that compiles would be a program of its own.
    """
    if is_traced(values) or not is_traced(jax.device_put(np.zeros(()))):
        return nullcontext()
    return jax.ensure_compile_time_eval()


class HasStatus(Protocol):
    """A state of which a few numbers decide how it goes on."""

    @property
    def status(self) -> Float[Array, " k"]: ...


State = TypeVar("State", bound=HasStatus)


def repeat(
    running: Callable[[Array], Bool[Array, ""]],
    step: Callable[[State], State],
    state: State,
) -> State:
    """``step`` again and again while ``running(state.status)``.

    The host drives it and looks at nothing but the status, unless the state is traced:
    then the same functions make up a :func:`jax.lax.while_loop`.
    """
    if is_traced(state):
        return while_loop(lambda s: running(s.status), step, state)
    status: Any = np.asarray(state.status)
    while running(status):
        state = step(state)
        status = np.asarray(state.status)
    return jax.block_until_ready(state)
