"""Models to and from readable JSON, exactly."""

from __future__ import annotations

import dataclasses
import json
import os
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from normix.distributions import (
    Gamma,
    GeneralizedInverseGaussian,
    InverseGamma,
    InverseGaussian,
    MultivariateNormal,
)
from normix.exponential_family import ExponentialFamily
from normix.fitting.em.stream import IncrementalState
from normix.mixtures.cholesky import CholeskyDispersion
from normix.mixtures.expected import check_record
from normix.mixtures.families import FAMILIES
from normix.mixtures.finite import FiniteMixture
from normix.mixtures.joint import JointNormalMixture
from normix.mixtures.low_rank import FactorDispersion
from normix.mixtures.marginal import MarginalMixture
from normix.mixtures.statistics import FactorMixtureStats, NormalMixtureEta

_FORMAT = "normix model"
_VERSION = 1

# What a file may hold, nested parts included.
_CLASSES: dict[str, type[eqx.Module]] = {
    cls.__name__: cls
    for cls in (
        CholeskyDispersion,
        Gamma,
        GeneralizedInverseGaussian,
        InverseGamma,
        InverseGaussian,
        MultivariateNormal,
        FactorDispersion,
        FactorMixtureStats,
        IncrementalState,
        NormalMixtureEta,
        FiniteMixture,
        *(cls for family in FAMILIES.values() for cls in family),
    )
}


def save(
    model: eqx.Module,
    path: str | os.PathLike[str],
    columns: Sequence[str] | None = None,
) -> None:
    """Write a model to ``path`` as JSON that :func:`load` restores bit by bit.

    - ``model``: a distribution, expectations, or the state of an incremental fit.
    - ``columns``: the names of the columns that a law or a state is about, as many as
      it has dimensions; :func:`load_columns` reads them.

    The file names the class of the model and of its parts and lists their fields:
    the classical parameters, with a dispersion or covariance by its Cholesky factor.

    **Raises**: ``ValueError`` for an object that is none of these, and for columns that
    are not so many different strings.

    >>> import tempfile, pathlib, normix
    >>> path = pathlib.Path(tempfile.mkdtemp()) / "gamma.json"
    >>> normix.save(normix.Gamma(alpha=2.0, beta=0.5), path, columns=["wait"])
    >>> float(normix.load(path).mean())
    4.0
    """
    document: dict[str, Any] = {"format": _FORMAT, "version": _VERSION}
    encoded = _encode(model)
    if columns is not None:
        document["columns"] = list(_checked_columns(model, columns))
    text = _layout(document | encoded) + "\n"  # complete before the file is touched
    Path(path).write_text(text, encoding="utf-8")


def load(path: str | os.PathLike[str]) -> Any:
    """The model that :func:`save` wrote to ``path``.

    Arrays come back with the dtype that they had.

    **Raises**: ``ValueError`` for a file that is not such a file or is damaged, an
    unknown class, a format newer than this version of normix, or double precision
    while JAX has it switched off; ``FileNotFoundError`` where there is no file.
    """
    return read(path)[0]


def load_columns(path: str | os.PathLike[str]) -> tuple[str, ...] | None:
    """The names of columns that :func:`save` wrote to ``path``; None without names.

    **Raises**: as :func:`load`.

    >>> import tempfile, pathlib, normix
    >>> path = pathlib.Path(tempfile.mkdtemp()) / "gamma.json"
    >>> normix.save(normix.Gamma(alpha=2.0, beta=0.5), path, columns=["wait"])
    >>> normix.load_columns(path)
    ('wait',)
    """
    return read(path)[1]


def read(path: str | os.PathLike[str]) -> tuple[Any, tuple[str, ...] | None]:
    """The model in a file and the names of its columns, of one reading."""
    try:
        document = json.loads(Path(path).read_text(encoding="utf-8"))
    except ValueError as error:  # not UTF-8, or not JSON
        raise ValueError(f"{path} is not a normix model: {error}") from None
    if not isinstance(document, dict) or document.get("format") != _FORMAT:
        raise ValueError(
            f'{path} is not a normix model: it lacks "format": "{_FORMAT}"'
        )
    version = document.get("version")
    if not isinstance(version, int) or version < 1:
        raise ValueError(f"{path}: version must be a positive integer, got {version!r}")
    if version > _VERSION:
        raise ValueError(
            f"{path} has format version {version}; this normix reads up to "
            f"{_VERSION}: upgrade normix to load it"
        )
    apart = ("format", "version", "columns")
    parts = {k: v for k, v in document.items() if k not in apart}
    try:
        model = _decode(parts, "model")
        if "columns" not in document:
            return model, None
        return model, _checked_columns(model, document["columns"])
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from None


def _checked_columns(model: eqx.Module, columns: Any) -> tuple[str, ...]:
    """The names, or ``ValueError`` where they cannot be those of the model."""
    name = type(model).__name__
    if isinstance(model, IncrementalState):
        model = model.model
    of_vectors = MarginalMixture, FiniteMixture, JointNormalMixture, MultivariateNormal
    if isinstance(model, of_vectors):
        d = model.d
    elif isinstance(model, ExponentialFamily):
        d = 1
    else:
        raise ValueError(f"columns are those of a law; a {name} has none")
    several = isinstance(columns, Iterable) and not isinstance(columns, str | dict)
    listed = list(columns) if several else []
    if not listed or not all(isinstance(column, str) for column in listed):
        raise ValueError(f"columns must be a sequence of strings, got {columns!r}")
    twice = [column for k, column in enumerate(listed) if column in listed[:k]]
    if twice:
        raise ValueError(f"columns must be different, got {twice[0]!r} twice")
    if len(listed) != d:
        raise ValueError(f"columns must be {d}, as the {name} has; got {len(listed)}")
    return tuple(map(str, listed))


def _encode(value: Any) -> Any:
    if isinstance(value, eqx.Module):
        name = type(value).__name__
        if _CLASSES.get(name) is not type(value):
            raise ValueError(f"cannot save a {name}; accepted are {_known()}")
        fields = dataclasses.fields(value)
        return {"class": name} | {
            f.name: _encode(getattr(value, f.name)) for f in fields
        }
    if isinstance(value, jax.Array | np.ndarray | np.generic):
        array = np.asarray(value)
        return {"dtype": array.dtype.name, "values": _numbers(array.tolist())}
    if value is None:
        return None
    if isinstance(value, tuple):
        return {"tuple": [_encode(item) for item in value]}
    raise ValueError(f"cannot save {value!r}: expected a normix distribution")


def _numbers(value: Any) -> Any:
    """Nested lists with the floats that JSON lacks as strings."""
    if isinstance(value, list):
        return [_numbers(item) for item in value]
    if isinstance(value, float) and not np.isfinite(value):
        return str(value)
    return value


def _decode(value: Any, where: str) -> Any:
    if isinstance(value, dict) and "class" in value:
        cls = _CLASSES.get(str(value["class"]))
        if cls is None:
            raise ValueError(
                f"{where} has unknown class {value['class']!r}; known are {_known()}"
            )
        parts = {k: _decode(v, k) for k, v in value.items() if k != "class"}
        names = [f.name for f in dataclasses.fields(cls)]
        if set(parts) != set(names):
            raise ValueError(
                f"{cls.__name__} has the fields {', '.join(names)}; the file gives "
                f"{', '.join(parts) or 'none'}"
            )
        null = [name for name, part in parts.items() if part is None]
        if null and cls is not IncrementalState:
            raise ValueError(f"{cls.__name__}: {null[0]} is null")
        made = cls(**parts)
        if isinstance(made, IncrementalState):
            _check_state(made)
        elif isinstance(made, NormalMixtureEta | FactorMixtureStats):
            factors = isinstance(made, FactorMixtureStats)
            form = FactorDispersion if factors else CholeskyDispersion
            check_record("model", made, form, name=cls.__name__)
        return made
    if isinstance(value, dict) and set(value) == {"dtype", "values"}:
        return _array(value["dtype"], value["values"], where)
    if value is None:
        return None
    if isinstance(value, dict) and set(value) == {"tuple"}:
        return tuple(_decode(item, where) for item in value["tuple"])
    raise ValueError(f"{where} is neither a class nor an array")


def _check_state(state: IncrementalState) -> None:
    """Raise ``ValueError`` where the parts of a state are not of one model."""
    model, joint = state.model, state.joint
    if not isinstance(model, MarginalMixture) or type(joint) is not model._joint_class:
        raise ValueError(
            "an IncrementalState has a model and a joint law of one family, got "
            f"a {type(model).__name__} and a {type(joint).__name__}"
        )
    owner, form = type(model).__name__, model._dispersion_class
    size = model.d, model.joint.dispersion.rank
    check_record(owner, state.eta, form, *size, name="eta")
    if state.average is not None:
        check_record(owner, state.average, form, *size, name="average")


def _array(name: Any, values: Any, where: str) -> jax.Array:
    try:
        dtype = jnp.dtype(name)
        array = np.array(values, dtype=dtype)
    except (TypeError, ValueError) as error:
        raise ValueError(f"{where} is not an array: {error}") from None
    if jax.dtypes.canonicalize_dtype(dtype) != dtype:
        raise ValueError(
            f"{where} is {dtype.name}, which JAX has switched off; call "
            'jax.config.update("jax_enable_x64", True) first'
        )
    return jnp.asarray(array)


def _known() -> str:
    return ", ".join(sorted(_CLASSES))


def _layout(value: Any, indent: str = "") -> str:
    """JSON with a line for each field and for each row of a matrix."""
    inner = indent + "  "
    if isinstance(value, dict) and "values" not in value:
        pairs = (f"{json.dumps(k)}: {_layout(v, inner)}" for k, v in value.items())
        return "{\n" + ",\n".join(inner + pair for pair in pairs) + f"\n{indent}}}"
    if isinstance(value, dict):
        dtype = json.dumps(value["dtype"])
        return f'{{"dtype": {dtype}, "values": {_layout(value["values"], indent)}}}'
    if isinstance(value, list) and value and isinstance(value[0], list | dict):
        rows = ",\n".join(inner + _layout(row, inner) for row in value)
        return f"[\n{rows}\n{indent}]"
    return json.dumps(value, allow_nan=False)
