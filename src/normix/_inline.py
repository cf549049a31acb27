"""Programs without programs inside, and loops that stay loops in them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import wraps
from threading import local
from typing import Any, ParamSpec, TypeVar

import jax
from jax import lax

P = ParamSpec("P")
R = TypeVar("R")


class _Thread(local):
    """Of every thread its own."""

    inlining = False


_thread = _Thread()


def inlined(function: Callable[P, R]) -> Callable[P, R]:
    """``function``, traced without programs inside.

    Most functions of :mod:`jax.numpy`, ``+`` among them, are under :func:`jax.jit` by
    themselves. Each such call is looked up, traced and lowered on its own, which takes
    a third of the whole time until the compiler begins.
    """

    @wraps(function)
    def flat(*args: P.args, **kwargs: P.kwargs) -> R:
        with _inlining(True):
            return function(*args, **kwargs)

    return flat


@contextmanager
def _inlining(on: bool) -> Iterator[None]:
    """A context in which functions under :func:`jax.jit` are inlined, or are not."""
    before = _thread.inlining
    with jax.disable_jit(on):
        _thread.inlining = on
        try:
            yield
        finally:
            _thread.inlining = before


def _kept(loop: Callable[P, R]) -> Callable[P, R]:
    """A loop of :mod:`jax.lax`, or a program, that stays one within :func:`inlined`.

    JAX would unroll the loop there. The functions that it calls are inlined.
    """

    @wraps(loop)
    def kept(*args: P.args, **kwargs: P.kwargs) -> R:
        if not _thread.inlining:
            return loop(*args, **kwargs)
        bodies: Any = (inlined(arg) if callable(arg) else arg for arg in args)
        with _inlining(False):
            return loop(*bodies, **kwargs)

    return kept


def traced_once(function: Callable[P, R]) -> Callable[P, R]:
    """``function`` as a program of its own, also within :func:`inlined`.

    For what is called more than once there: calls after the first are not traced.
    """
    return _kept(jax.jit(inlined(function) if _thread.inlining else function))


fori_loop = _kept(lax.fori_loop)
scan = _kept(lax.scan)
map_in_turn = _kept(lax.map)
while_loop = _kept(lax.while_loop)
