"""Names and units of the classical parameters."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np


def parameter_names(
    d: int, columns: Sequence[object] | None, scalar: bool
) -> tuple[str, ...]:
    """``mu``, ``gamma`` and the entries of Σ on and below its diagonal."""
    if scalar:
        return "mu", "gamma", "sigma"
    of = _columns(d, columns)
    means = normal_names(d, columns)
    return (*means[:d], *(f"gamma[{name}]" for name in of), *means[d:])


def normal_names(d: int, columns: Sequence[object] | None) -> tuple[str, ...]:
    """``mu`` and the entries of Σ on and below its diagonal."""
    of = _columns(d, columns)
    lower = [(of[i], of[j]) for i in range(d) for j in range(i + 1)]
    return (
        *(f"mu[{name}]" for name in of),
        *(
            f"sigma[{one}]" if one == two else f"sigma[{one}, {two}]"
            for one, two in lower
        ),
    )


def _columns(d: int, columns: Sequence[object] | None) -> list[str]:
    return [str(i) for i in range(d)] if columns is None else [str(c) for c in columns]


def parameter_units(scale: np.ndarray, shapes: int) -> np.ndarray:
    """What a parameter of standardised columns is multiplied by."""
    between = np.outer(scale, scale)[np.tril_indices(len(scale))]
    return np.concatenate([scale, scale, between, np.ones(shapes)])


def is_positive(name: str) -> bool:
    if name.startswith("sigma"):
        return "," not in name
    return name in ("alpha", "lam", "alpha_bar")


def in_words(direction: np.ndarray, params: np.ndarray, names: tuple[str, ...]) -> str:
    """A direction by what it moves most, relative to the size of each parameter."""
    parts = direction / np.maximum(np.abs(params), 1e-12)
    parts = parts / np.abs(parts).max()
    most = np.argsort(-np.abs(parts))[:4]
    return ", ".join(
        f"{parts[i]:+.2g} {names[i]}" for i in most if abs(parts[i]) > 0.05
    )
