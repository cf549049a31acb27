"""How functions of arrays are compiled."""

from __future__ import annotations

import gc
import math
import os
from collections.abc import Callable, Hashable
from concurrent.futures import Future, ThreadPoolExecutor
from functools import cache, partial, update_wrapper
from threading import local
from typing import Any, Generic, ParamSpec, TypeVar, cast

import jax
import jax.numpy as jnp
import numpy as np

from normix._arrays import is_traced
from normix._inline import inlined

P = ParamSpec("P")
R = TypeVar("R")

# Options of XLA's compiler for the CPU. Of a program of many small operations nearly
# all of the time goes into LLVM's optimisation of code that runs for a microsecond:
# without it they compile in a quarter of the time. XLA would cut every program into 32
# parts for its threads; as programs compile side by side, that costs a quarter more.
SMALL = {
    "xla_cpu_use_fusion_emitters": False,
    "xla_backend_optimization_level": 0,
    "xla_cpu_parallel_codegen_split_count": 1,
}
# The older generator of code and a lower level of optimisation: for loops over some
# hundred numbers, and for a few passes over rows, as fast, at half of the price.
LOOPS = {
    "xla_cpu_use_fusion_emitters": False,
    "xla_backend_optimization_level": 1,
    "xla_cpu_parallel_codegen_split_count": 2,
}
# Arithmetic on rows: the newer generator makes it faster by a third.
ROWS = {
    "xla_backend_optimization_level": 1,
    "xla_cpu_parallel_codegen_split_count": 2,
}


class _Thread(local):
    """Of every thread its own."""

    rehearsing = False


_thread = _Thread()
_rehearsed: set[Hashable] = set()


@cache
def _pool() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(os.cpu_count(), thread_name_prefix="normix-compile")


def rehearse(key: Hashable, function: Callable[..., object], *args: object) -> bool:
    """Compile what ``function(*args)`` is going to need, its programs side by side.

    ``function`` is gone through with every :func:`compiled` function only prepared
    and its result a shape: the programs compile in threads of their own, while this
    one goes on to the next, and to other work until it needs the first. So
    ``function`` must not look at what they return. Once for every ``key``: **returns**
    whether this was the first time.
    """
    if key in _rehearsed:
        return False
    _rehearsed.add(key)
    outer, collects = _thread.rehearsing, gc.isenabled()
    _thread.rehearsing = True
    # Tracing makes very many small objects, few of them garbage: collections in the
    # midst of it, over all that JAX holds, take a tenth of the whole time.
    gc.disable()
    try:
        function(*args)
    finally:
        _thread.rehearsing = outer
        if collects:
            gc.enable()
    return True


class Compiled(Generic[P, R]):
    """A function under :func:`jax.jit`, with compiler options for arguments at hand.

    ``static`` names arguments that are fixed while the function compiles. Where an
    argument is traced, the function becomes a part of what is being traced; where one
    has more than ``few`` values, the options are left out.
    """

    def __init__(
        self,
        function: Callable[P, R],
        static: tuple[str, ...],
        options: dict[str, bool | int],
        few: float,
    ):
        update_wrapper(self, function)
        self._options, self._few = options, few
        self._inner = jax.jit(function, static_argnames=static)
        self._jit = partial(jax.jit, inlined(function), static_argnames=static)
        self._outer: Any = None
        self._pending: list[Future] = []

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R:
        if is_traced(args, kwargs):
            return self._inner(*args, **kwargs)
        if self._few < math.inf and _most(args) > self._few:
            return self._inner(*args, **kwargs)
        if self._outer is None:  # not at import, which should start no backend
            chosen = self._options if jax.default_backend() == "cpu" else None
            self._outer = self._jit(compiler_options=chosen)
        if _thread.rehearsing:
            lowered = self._outer.lower(*args, **kwargs)
            self._pending.append(_pool().submit(lowered.compile))
            return lowered.out_info
        while self._pending:
            self._pending.pop().result()
        try:
            return self._outer(*args, **kwargs)
        except ValueError as error:
            # Values at hand, within a function that is being traced.
            if "top-level" not in str(error):
                raise
            return self._inner(*args, **kwargs)


class OfEach(Compiled[P, R]):
    """A :class:`Compiled` function of every value of its second argument, or every row.

    Values at hand are filled up to a length of few, so that a new number of them
    compiles nothing as a rule; up to sixteen times ``few`` go by blocks. The results'
    first axes are those of the values. ``axes`` is how many axes one value has: 0 if it
    is a number, 1 if a row. ``rank`` is that of the first argument's smallest array,
    for one law: a batch of laws has more, and is left to broadcasting.
    """

    def __init__(
        self,
        function: Callable[P, R],
        static: tuple[str, ...],
        options: dict[str, bool | int],
        few: int,
        axes: int,
        rank: int,
    ):
        super().__init__(function, static, options, few)
        self._axes, self._rank = axes, rank
        # Of a single value all loops are short.
        self._of_one = Compiled(function, static, SMALL, few)

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R:
        first, values, *others = cast(tuple[Any, ...], args)
        exact: Any = super().__call__
        few = int(self._few)
        if is_traced(args, kwargs) or not _is_here(values, few):
            return exact(*args, **kwargs)
        if min(np.ndim(leaf) for leaf in jax.tree.leaves(first)) > self._rank:
            return exact(*args, **kwargs)
        shape = np.shape(values)[: np.ndim(values) - self._axes]
        n = math.prod(shape)
        if n == 1:
            exact = self._of_one
        # One number, as searches and integrals ask for, or a length that is compiled.
        if np.ndim(values) == 0 or shape == (length_for(n),):
            return exact(*args, **kwargs)
        host: Any = np.asarray(values)
        of_one = host.shape[len(shape) :]
        flat = host.reshape(n, *of_one)
        # Rows on a device of their choice stay there.
        place = _device(values)
        size = few if few < n <= _BLOCKS * few else length_for(n)
        parts = []
        for begin in range(0, max(n, 1), size):
            block = flat[begin : begin + size]
            filled = np.zeros((size if n else 0, *of_one), host.dtype)
            filled[: len(block)] = block
            filled[len(block) :] = flat[:1]  # as any other: nothing takes longer
            found = exact(first, jax.device_put(filled, place), *others, **kwargs)
            parts.append(_firsts(found, len(block)))

        def joined(*leaves):
            whole = leaves[0]
            if len(leaves) > 1:
                xp: Any = jnp if is_traced(leaves) else np
                whole = xp.concatenate(leaves)
            return whole.reshape((*shape, *whole.shape[1:]))

        told = jax.tree.map(joined, *parts)
        if is_traced(told):
            return told
        return jax.tree.map(lambda a, b: jax.device_put(a, _device(b)), told, found)


# Blocks, one after the other: beyond, one program for all is worth compiling.
_BLOCKS = 16


def _firsts(found: Any, n: int) -> Any:
    """The first ``n`` results; within a function that is traced they may be traced."""
    at_hand = found if is_traced(found) else jax.tree.map(np.asarray, found)
    return jax.tree.map(lambda leaf: leaf[:n], at_hand)


def _device(values: Any) -> Any:
    """That to which values were committed, if any."""
    chosen = isinstance(values, jax.Array) and values.committed
    return next(iter(values.devices())) if chosen else None


def _is_here(values: Any, few: int) -> bool:
    """Whether the host may read values: they are few, or in its memory."""
    if not isinstance(values, jax.Array):
        return True
    devices = values.devices()
    if len(devices) > 1 or not values.is_fully_addressable:
        return False
    # Many values on an accelerator stay there.
    return values.size <= few or next(iter(devices)).platform == "cpu"


def grid(n: int) -> int:
    """The least length of the grid that ``n`` rows fit in: 2ᵏ times 4, 5, 6 or 7."""
    unit = 16
    while 7 * unit < n:
        unit *= 2
    return next(k * unit for k in (4, 5, 6, 7) if k * unit >= n)


def length_for(n: int) -> int:
    """The length that ``n`` values are filled up to; one of five up to a thousand."""
    return next((size for size in (1, 16, 64, 256, 1024) if size >= n), grid(n))


def compiled(
    *static: str, options: dict[str, bool | int], few: float = math.inf
) -> Callable[[Callable[P, R]], Compiled[P, R]]:
    """A decorator that makes a function :class:`Compiled`."""
    return lambda function: Compiled(function, static, options, few)


def of_each(
    *static: str,
    axes: int = 0,
    rank: int = 0,
    options: dict[str, bool | int] = LOOPS,
    few: int = 4096,
) -> Callable[[Callable[P, R]], OfEach[P, R]]:
    """A decorator that makes a function :class:`OfEach`."""
    return lambda function: OfEach(function, static, options, few, axes, rank)


def _most(args: tuple[object, ...]) -> int:
    return max((np.size(leaf) for leaf in jax.tree.leaves(args)), default=0)


# Of special functions of some values: for many, the default runs faster.
of_few = partial(compiled, options=LOOPS, few=4096)
small = partial(compiled, options=SMALL)
