"""How functions of arrays are compiled."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial, wraps
from typing import ParamSpec, TypeVar

import jax
import numpy as np

from normix._arrays import is_traced

P = ParamSpec("P")
R = TypeVar("R")

# Options of XLA's compiler for the CPU. Of a program of many small operations nearly
# all of the time goes into LLVM's optimisation of code that runs for a microsecond:
# without it they compile in a quarter of the time.
SMALL = {"xla_cpu_use_fusion_emitters": False, "xla_backend_optimization_level": 0}
# The older generator of code and a lower level of optimisation: for loops over some
# hundred numbers, and for a few passes over rows, as fast, at half of the price.
LOOPS = {"xla_cpu_use_fusion_emitters": False, "xla_backend_optimization_level": 1}
# Arithmetic on rows: the newer generator makes it faster by a third.
ROWS = {"xla_backend_optimization_level": 1}


def compiled(
    *static: str, options: dict[str, bool | int], few: float = math.inf
) -> Callable[[Callable[P, R]], Callable[P, R]]:
    """A decorator: :func:`jax.jit`, with compiler options for arguments at hand.

    ``static`` names arguments that are fixed while the function compiles. Where an
    argument is traced, the function becomes a part of what is being traced; where one
    has more than ``few`` values, the options are left out.
    """

    def decorate(function: Callable[P, R]) -> Callable[P, R]:
        inner = jax.jit(function, static_argnames=static)
        outer: list[Callable[P, R]] = []

        @wraps(function)
        def call(*args: P.args, **kwargs: P.kwargs) -> R:
            if is_traced(args, kwargs) or (few < math.inf and _most(args) > few):
                return inner(*args, **kwargs)
            if not outer:  # not at import, which should start no backend
                chosen = options if jax.default_backend() == "cpu" else None
                outer.append(
                    jax.jit(function, static_argnames=static, compiler_options=chosen)
                )
            try:
                return outer[0](*args, **kwargs)
            except ValueError as error:
                # Values at hand, within a function that is being traced.
                if "top-level" not in str(error):
                    raise
                return inner(*args, **kwargs)

        return call

    return decorate


def _most(args: tuple[object, ...]) -> int:
    return max((np.size(leaf) for leaf in jax.tree.leaves(args)), default=0)


# Of special functions of some values: for many, the default runs faster.
of_few = partial(compiled, options=LOOPS, few=4096)
small = partial(compiled, options=SMALL)
