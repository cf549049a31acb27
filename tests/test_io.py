"""Saving and loading models."""

import doctest
import json
from pathlib import Path

import jax
import numpy as np
import pytest

import normix
from normix import (
    Gamma,
    GeneralizedInverseGaussian,
    InverseGaussian,
    JointNormalInverseGaussian,
    MultivariateNormal,
    NormalInverseGaussian,
    io,
)

SIGMA = np.array([[1 / 3, 0.1, 0.0], [0.1, np.pi, -0.7], [0.0, -0.7, 2.0]])
MU = np.array([0.1, -1e-300, 1e17 / 3])
PARAMETERS = dict(
    mu=MU,
    gamma=np.array([-0.0, 2 / 3, 5e-324]),
    sigma=SIGMA,
    mu_ig=0.1 + 0.2,
    lam=1e-3 / 7,
)
MODELS = {
    "gamma": lambda: Gamma(alpha=0.1, beta=1 / 3),
    "inverse Gaussian": lambda: InverseGaussian(mu=np.e, lam=1e300),
    "GIG": lambda: GeneralizedInverseGaussian(p=-0.3, a=1 / 7, b=2.0),
    "GIG at its edge": lambda: GeneralizedInverseGaussian(p=0.3, a=1 / 7, b=0.0),
    "normal": lambda: MultivariateNormal.from_classical(MU, SIGMA),
    "NIG": lambda: NormalInverseGaussian.from_classical(**PARAMETERS),
    "joint NIG": lambda: JointNormalInverseGaussian.from_classical(**PARAMETERS),
    "one dimension": lambda: NormalInverseGaussian.from_classical(
        mu=np.array([0.1]),
        gamma=np.array([0.2]),
        sigma=np.array([[0.3]]),
        mu_ig=1.0,
        lam=2.0,
    ),
    "not finite": lambda: MultivariateNormal(
        mu=np.array([np.nan, np.inf]),
        L_Sigma=np.array([[-np.inf, 0.0], [1.0, np.nan]]),
    ),
    "a batch": lambda: Gamma(alpha=np.arange(1.0, 5.0) / 3, beta=np.ones(4)),
}


def assert_identical(model, other) -> None:
    assert type(other) is type(model)
    leaves, structure = jax.tree.flatten(model)
    others, other_structure = jax.tree.flatten(other)
    assert other_structure == structure
    for leaf, twin in zip(leaves, others, strict=True):
        assert isinstance(twin, jax.Array)
        # The dtype's weakness counts too: it would compile everything again.
        assert (twin.dtype, twin.weak_type) == (leaf.dtype, leaf.weak_type)
        assert twin.shape == leaf.shape
        assert np.asarray(twin).tobytes() == np.asarray(leaf).tobytes()


@pytest.mark.parametrize("make", MODELS.values(), ids=MODELS.keys())
@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_round_trip_is_exact(make, dtype, tmp_path: Path) -> None:
    model = jax.tree.map(lambda leaf: leaf.astype(dtype), make())
    path = tmp_path / "model.json"
    normix.save(model, path)
    assert_identical(model, normix.load(path))
    again = tmp_path / "again.json"
    normix.save(normix.load(path), str(again))
    assert again.read_bytes() == path.read_bytes()


def test_file_is_valid_json_that_reads_well(tmp_path: Path) -> None:
    path = tmp_path / "model.json"
    normix.save(MODELS["NIG"](), path)
    text = path.read_text()

    def refuse(constant):
        raise AssertionError(f"{constant} is not JSON")

    document = json.loads(text, parse_constant=refuse)
    assert document["format"] == "normix model"
    assert document["version"] == 1
    assert document["class"] == "NormalInverseGaussian"
    assert document["joint"]["mu"]["dtype"] == "float64"
    assert document["joint"]["mu"]["values"] == MU.tolist()
    assert document["joint"]["subordinator"] == {
        "class": "InverseGaussian",
        "mu": {"dtype": "float64", "values": 0.1 + 0.2},
        "lam": {"dtype": "float64", "values": 1e-3 / 7},
    }
    # A row of the Cholesky factor stands on a line of its own.
    rows = document["joint"]["dispersion"]["L"]["values"]
    lines = [line.strip().rstrip(",") for line in text.splitlines()]
    assert all(json.dumps(row) in lines for row in rows)


def test_not_finite_is_valid_json(tmp_path: Path) -> None:
    path = tmp_path / "model.json"
    normix.save(MODELS["not finite"](), path)
    assert '"nan"' in path.read_text()
    assert '"-inf"' in path.read_text()


def test_only_distributions_are_saved(tmp_path: Path) -> None:
    path = tmp_path / "model.json"
    path.write_text("kept")
    with pytest.raises(ValueError, match="cannot save a BatchEMFitter; accepted are"):
        normix.save(normix.BatchEMFitter(), path)
    with pytest.raises(ValueError, match="cannot save 'text'"):
        normix.save("text", path)  # pyright: ignore[reportArgumentType]
    assert path.read_text() == "kept"


def test_no_file(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        normix.load(tmp_path / "nothing.json")


@pytest.mark.parametrize(
    "content", [b"", b"a,b\n1,2\n", b"\xff\xfe\x00", b"[1, 2]", b'{"class": "Gamma"}']
)
def test_other_files_are_refused(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "other.json"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=r"other\.json is not a normix model"):
        normix.load(path)


def number(value, dtype="float64"):
    return {"dtype": dtype, "values": value}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"version": 2}, "format version 2; this normix reads up to 1: upgrade"),
        ({"version": "new"}, "version must be a positive integer, got 'new'"),
        ({"class": "Cauchy"}, "model has unknown class 'Cauchy'; known are .*Gamma"),
        ({"class": None}, "unknown class None"),
        ({"alpha": {"class": "os.system"}}, "alpha has unknown class 'os.system'"),
        ({"rate": number(1.0)}, "Gamma has the fields alpha, beta; the file gives"),
        ({"alpha": 2.0}, "alpha is neither a class nor an array"),
        ({"alpha": number("two")}, "alpha is not an array: could not convert"),
        ({"alpha": number([[1.0], [1.0, 2.0]])}, "alpha is not an array"),
        ({"alpha": number(1.0, "decimal")}, "alpha is not an array: .*decimal"),
        ({"alpha": number(-1.0)}, "Gamma: alpha must be positive, got -1.0"),
    ],
)
def test_damage_is_named(change: dict, message: str, tmp_path: Path) -> None:
    path = tmp_path / "model.json"
    normix.save(Gamma(alpha=2.0, beta=1.0), path)
    path.write_text(json.dumps(json.loads(path.read_text()) | change))
    with pytest.raises(ValueError, match=message) as caught:
        normix.load(path)
    assert str(path) in str(caught.value)


def damaged(path: Path, model, change) -> Path:
    """The file of a model, changed."""
    normix.save(model, path)
    document = json.loads(path.read_text())
    change(document)
    path.write_text(json.dumps(document))
    return path


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda j: j.update(mu=number([0.0] * 5)), r"gamma must have shape \(d,\)"),
        (lambda j: j.update(gamma=number([0.0])), r"gamma must have shape .*\(1,\)"),
        (lambda j: j.update(gamma=None), "JointNormalInverseGaussian: gamma is null"),
        (lambda j: j.update(dispersion=j["mu"]), "CholeskyDispersion or .*ArrayImpl"),
        (lambda j: j["dispersion"].update(L=number([1.0])), r"L must be \(d, d\)"),
        (lambda j: j["subordinator"].update(mu=number([1.0, 2.0])), "InverseGaussian"),
        (lambda j: j.update(subordinator=j["dispersion"]), "must be a InverseGaussian"),
        (lambda j: j.update({"class": "JointVarianceGamma"}), "must be a Gamma, got"),
    ],
)
def test_parts_that_do_not_fit_are_named(change, message: str, tmp_path: Path) -> None:
    model = MODELS["NIG"]()
    path = damaged(tmp_path / "m.json", model, lambda doc: change(doc["joint"]))
    with pytest.raises(ValueError, match=f"m.json: .*{message}"):
        normix.load(path)


def test_records_and_states_that_do_not_fit(tmp_path: Path) -> None:
    model = MODELS["NIG"]()
    path = tmp_path / "m.json"
    eta = model.compute_eta_from_model()
    damaged(path, eta, lambda doc: doc.update(E_X=number([0.0])))
    with pytest.raises(ValueError, match=r"E_X_inv_Y must have shape \(1,\)"):
        normix.load(path)
    state = normix.IncrementalEMFitter().init(model)
    normix.save(state, path)
    assert_identical(state, normix.load(path))
    gamma = {"class": "Gamma", "alpha": number(1.0), "beta": number(1.0)}
    damaged(path, state, lambda doc: doc.update(model=gamma))
    with pytest.raises(ValueError, match="a model and a joint law of one family"):
        normix.load(path)
    normix.save(MODELS["one dimension"]().compute_eta_from_model(), path)
    eta = json.loads(path.read_text())
    del eta["format"], eta["version"]
    damaged(path, state, lambda doc: doc.update(eta=eta))
    with pytest.raises(ValueError, match="eta.E_X must have shape"):
        normix.load(path)


FORMS = {
    "full": lambda: (MODELS["NIG"](), ["a", "b", "é, \"c\""]),
    "factor": lambda: (
        normix.FactorVarianceGamma.from_classical(
            mu=np.zeros(2), gamma=MU[:2], F=np.ones((2, 1)), D=MU[2] * np.ones(2),
            alpha=2.0, beta=1 / 3,
        ),
        ["a", "b"],
    ),
    "univariate": lambda: (
        normix.UnivariateNormalInverseGamma.from_classical(
            mu=0.1, gamma=1 / 3, sigma=2.0, alpha=3.0, beta=0.7
        ),
        ["a"],
    ),
    "joint": lambda: (MODELS["joint NIG"](), ["a", "b", "c"]),
    "state": lambda: (
        normix.IncrementalEMFitter().init(MODELS["NIG"]()), ["a", "b", "c"]
    ),
    "positive": lambda: (MODELS["gamma"](), ["a"]),
    "normal": lambda: (MODELS["normal"](), ["a", "b", "c"]),
}  # fmt: skip


@pytest.mark.parametrize("make", FORMS.values(), ids=FORMS.keys())
def test_names_of_columns(make, tmp_path: Path) -> None:
    """They come back, beside the same model, and the rest of the file is as without."""
    model, names = make()
    path, bare = tmp_path / "model.json", tmp_path / "bare.json"
    normix.save(model, path, columns=tuple(np.array(names)))
    normix.save(model, bare)
    assert normix.load_columns(path) == tuple(names)
    assert normix.load_columns(bare) is None
    assert_identical(model, normix.load(path))
    document = json.loads(path.read_text(encoding="utf-8"))
    assert document.pop("columns") == names
    assert document == json.loads(bare.read_text(encoding="utf-8"))


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        (["a", "b"], "columns must be 3, as the NormalInverseGaussian has; got 2"),
        (["a", "b", "a"], "columns must be different, got 'a' twice"),
        (["a", "b", 3], r"columns must be a sequence of strings, got \['a', 'b', 3\]"),
        ("abc", "columns must be a sequence of strings, got 'abc'"),
        ([], r"columns must be a sequence of strings, got \[\]"),
        (3, "columns must be a sequence of strings, got 3"),
    ],
)
def test_names_that_do_not_fit(columns, message: str, tmp_path: Path) -> None:
    """Neither written nor read."""
    model, path = MODELS["NIG"](), tmp_path / "model.json"
    with pytest.raises(ValueError, match=f"^{message}"):
        normix.save(model, path, columns=columns)
    assert not path.exists()
    damaged(path, model, lambda document: document.update(columns=columns))
    for read in (normix.load, normix.load_columns):
        with pytest.raises(ValueError, match=f"model.json: {message}"):
            read(path)


def test_only_laws_have_columns(tmp_path: Path) -> None:
    eta = MODELS["NIG"]().compute_eta_from_model()
    with pytest.raises(ValueError, match="of a law; a NormalMixtureEta has none"):
        normix.save(eta, tmp_path / "eta.json", columns=["a", "b", "c"])


def test_double_precision_is_not_truncated(tmp_path: Path) -> None:
    path = tmp_path / "model.json"
    normix.save(Gamma(alpha=2.0, beta=1.0), path)
    with jax.enable_x64(False):
        with pytest.raises(ValueError, match=r'"jax_enable_x64", True\) first'):
            normix.load(path)


def test_every_public_distribution_is_registered() -> None:
    families = normix.ExponentialFamily, normix.MarginalMixture
    abstract = (
        *families,
        normix.FactorNormalMixture,
        normix.JointNormalMixture,
        normix.NormalMixture,
        normix.UnivariateNormalMixture,
    )
    public = {
        value
        for value in vars(normix).values()
        if isinstance(value, type) and issubclass(value, families)
    }
    assert public - set(abstract) <= set(io._CLASSES.values())


def test_docstring_examples() -> None:
    result = doctest.testmod(io)
    assert result.attempted > 0
    assert result.failed == 0
