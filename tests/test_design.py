"""The house rules of the source tree that can be checked mechanically."""

import ast
import doctest
import graphlib
import importlib
import inspect
import pkgutil
import re
import statistics
import subprocess
import sys
from pathlib import Path

import equinox as eqx
import pytest

import normix
from normix import ExponentialFamily, MarginalMixture

ROOT = Path(normix.__file__).parent
MODULES = sorted(
    module.name
    for module in pkgutil.walk_packages([str(ROOT)], "normix.")
    if not module.name.endswith("__main__")
)


# -- classes are abstract or final -------------------------------------------------


def descendants(cls: type) -> list[type]:
    """All subclasses, direct and indirect, of the public and internal modules."""
    found = []
    for child in cls.__subclasses__():
        found += [child, *descendants(child)]
    return list(dict.fromkeys(found))


def family_classes() -> list[type]:
    for name in MODULES:
        importlib.import_module(name)
    roots = (ExponentialFamily, MarginalMixture)
    every = [cls for root in roots for cls in (root, *descendants(root))]
    # Equinox makes a second class for the time of an object's initialisation.
    return [
        cls for cls in every if "_Initable" not in type(cls).__name__ + cls.__name__
    ]


def missing(cls: type) -> set[str]:
    """What a subclass has to supply before there can be instances."""
    names = set(getattr(cls, "__abstractmethods__", ()))
    names |= set(getattr(cls, "__abstractvars__", ()))
    return names | set(getattr(cls, "__abstractclassvars__", ()))


def body(cls: type, name: str):
    """The function that ``cls`` itself defines under ``name``, if it does."""
    found = cls.__dict__.get(name)
    if isinstance(found, property):
        return found.fget
    found = getattr(found, "method", found)  # as Equinox wraps it
    found = getattr(found, "__func__", found)  # of a class or static method
    return found if inspect.isfunction(found) else None


def is_abstract(function) -> bool:
    return getattr(function, "__isabstractmethod__", False)


CLASSES = family_classes()


def test_there_are_families_to_check():
    names = {cls.__name__ for cls in CLASSES}
    expected = {"Gamma", "GeneralizedInverseGaussian", "NormalInverseGaussian"}
    assert expected | {"NormalMixture", "JointNormalMixture"} <= names


@pytest.mark.parametrize("cls", CLASSES, ids=lambda cls: cls.__name__)
def test_abstract_or_final(cls):
    """Only a class that lacks something may have subclasses."""
    if cls.__subclasses__():
        assert missing(cls), f"{cls.__name__} is complete, yet has subclasses"


@pytest.mark.parametrize("cls", CLASSES, ids=lambda cls: cls.__name__)
def test_no_override_of_a_concrete_method(cls):
    for name in cls.__dict__:
        if body(cls, name) is None or (name.startswith("__") and name.endswith("__")):
            continue
        for base in cls.__mro__[1:]:
            inherited = body(base, name)
            if inherited is not None and base.__module__.startswith("normix"):
                assert is_abstract(inherited), f"{name} of {base.__name__}"


def test_the_rules_can_be_broken():
    """The checks above do see an override, a subclass and an abstract member."""

    class Base(eqx.Module):
        width: eqx.AbstractVar[int]

        def area(self):
            return self.width

    class Child(Base):
        width: int = 1

        @property
        def edge(self):
            return 0

    assert missing(Base) == {"width"}
    assert missing(Child) == set()
    assert body(Base, "area") is not None and body(Child, "area") is None
    assert body(Child, "edge") is not None
    assert is_abstract(body(ExponentialFamily, "mean"))
    assert is_abstract(body(ExponentialFamily, "from_natural"))
    assert is_abstract(body(ExponentialFamily, "sufficient_statistics"))
    assert not is_abstract(body(ExponentialFamily, "log_prob"))


# -- imports point one way ----------------------------------------------------------

# What each layer may not import, at the top of its modules and anywhere in them.
UPPER = (
    "normix.fitting",
    "normix.uncertainty",
    "normix.risk",
    "normix.diagnostics",
    "normix.adapters",
    "normix.io",
    "normix.cli",
    "normix.utils",
)
LAYERS = {
    "special": (
        ("normix.exponential_family", "normix.distributions", "normix.mixtures"),
        ("normix.distributions", "normix.mixtures", "normix.fitting"),
    ),
    "distributions": (("normix.mixtures",), ("normix.mixtures", "normix.fitting")),
    "mixtures": ((), ()),
    "fitting": ((), ()),
    "uncertainty": ((), ()),
    "risk": ((), ()),
    "diagnostics": ((), ()),
}
OWN = {
    "fitting": ("normix.fitting",),
    "uncertainty": ("normix.fitting", "normix.uncertainty"),
    "risk": ("normix.fitting", "normix.uncertainty", "normix.risk"),
    "diagnostics": (
        "normix.fitting",
        "normix.uncertainty",
        "normix.diagnostics",
        "normix.utils",
    ),
}


def imports(path: Path) -> list[tuple[str, bool]]:
    """Every module imported in ``path``, and whether at the top of the file.

    But for those that only a type checker imports.
    """
    tree = ast.parse(path.read_text(encoding="utf-8"))
    for node in ast.walk(tree):
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":
            node.body = [ast.Pass()]
    inside = {
        id(node)
        for outer in ast.walk(tree)
        if isinstance(outer, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda)
        for node in ast.walk(outer)
    }
    found = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            names = [f"{node.module}.{alias.name}" for alias in node.names]
        else:
            continue
        found += [(name, id(node) not in inside) for name in names]
    return found


def within(name: str, packages: tuple[str, ...]) -> bool:
    return any(name == p or name.startswith(p + ".") for p in packages)


@pytest.mark.parametrize("layer", LAYERS)
def test_imports_point_one_way(layer):
    files = sorted((ROOT / layer).rglob("*.py"))
    assert files
    at_top, anywhere = LAYERS[layer]
    upper = tuple(p for p in UPPER if p not in OWN.get(layer, ()))
    for path in files:
        for name, top in imports(path):
            if top:
                assert not within(name, at_top + upper), f"{path.name}: {name}"
            assert not within(name, anywhere), f"{path.name}: {name}"


# Doors: imports made when a method is called, which lead back up or around.
DOORS = {
    ("distributions.positive", "distributions.generalized_inverse_gaussian"),
    ("mixtures.marginal", "mixtures.generalized_hyperbolic"),
    ("mixtures.marginal", "fitting.em.batch"),
    ("mixtures.multivariate", "mixtures.generalized_hyperbolic"),
    ("mixtures.finite", "fitting.finite.fitter"),
    ("fitting.em.result", "uncertainty.inference"),
    ("fitting.finite.result", "uncertainty.inference"),
}


def module_graph() -> tuple[dict[str, set[str]], set[tuple[str, str]]]:
    """Which modules import which at the top; and what they import when called."""
    names = {
        ".".join(path.relative_to(ROOT).with_suffix("").parts): path
        for path in ROOT.rglob("*.py")
    }
    at_top: dict[str, set[str]] = {name: set() for name in names}
    later = set()
    for name, path in names.items():
        for imported, top in imports(path):
            if not imported.startswith("normix."):
                continue
            short = imported.removeprefix("normix.")
            target = short if short in names else short.rpartition(".")[0]
            if target not in names or target == name:
                continue
            if top:
                at_top[name].add(target)
            else:
                later.add((name, target))
    return at_top, later


def checked_only(path: Path) -> set[str]:
    """What is imported for annotations alone."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    return {
        f"{node.module}.{alias.name}".removeprefix("normix.").rpartition(".")[0]
        for block in ast.walk(tree)
        if isinstance(block, ast.If)
        and isinstance(block.test, ast.Name)
        and block.test.id == "TYPE_CHECKING"
        for node in ast.walk(block)
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    }


def test_imports_have_no_circles():
    """Not even within a layer; what is imported when called is a door, and named."""
    graph, later = module_graph()
    for name in graph:
        graph[name] -= checked_only(ROOT / (name.replace(".", "/") + ".py"))
    order = graphlib.TopologicalSorter(graph)
    order.prepare()  # raises CycleError, which names the circle
    layers = ("special.", "distributions.", "mixtures.", "fitting.")
    assert {door for door in later if door[0].startswith(layers)} == DOORS


def test_modules_are_short():
    """One concept a file: none above 400 lines, and most far below."""
    sizes = {
        path: len(path.read_text(encoding="utf-8").splitlines())
        for path in ROOT.rglob("*.py")
    }
    assert max(sizes.values()) <= 400, max(sizes, key=lambda path: sizes[path])
    assert statistics.median(sizes.values()) < 150


def test_the_base_class_knows_no_family():
    for file in (
        "exponential_family.py",
        "_arrays.py",
        "_compile.py",
        "_solving.py",
        "_powers.py",
        "divergences.py",
    ):
        for name, _ in imports(ROOT / file):
            if name == "normix.exponential_family.ExponentialFamily":
                continue  # for annotations
            below = ("normix.special", "normix._arrays", "normix._compile")
            below += ("normix.divergences", "normix._powers", "normix._solving")
            below += ("normix._inline",)
            assert not name.startswith("normix") or within(name, below), name


def test_loops_are_those_that_are_kept():
    """Where programs are inlined, JAX would unroll its own."""
    for path in ROOT.rglob("*.py"):
        if path.name != "_inline.py":
            found = re.search(
                r"lax\.(while_loop|fori_loop|scan|map)\(", path.read_text("utf-8")
            )
            assert found is None, (path, found)


def test_packages_only_re_export():
    """``from x import y as y`` and nothing else."""
    for path in ROOT.rglob("__init__.py"):
        tree = ast.parse(path.read_text(encoding="utf-8"))
        for node in tree.body:
            if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant):
                continue  # the docstring
            assert isinstance(node, ast.ImportFrom), path
            assert all(alias.name == alias.asname for alias in node.names), path


# -- importing ----------------------------------------------------------------------


def test_import_starts_no_backend():
    """Users set flags, and the number of devices, after importing normix."""
    code = """
import sys
import normix
from jax._src import xla_bridge
assert not xla_bridge.backends_are_initialized()
assert "matplotlib" not in sys.modules
import jax
jax.config.update("jax_platforms", "cpu")
jax.devices()
assert xla_bridge.backends_are_initialized()
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


# -- examples -----------------------------------------------------------------------


@pytest.mark.parametrize("name", MODULES)
def test_examples_in_docstrings(name):
    module = importlib.import_module(name)
    result = doctest.testmod(module)
    assert result.failed == 0


def test_there_are_examples():
    finder = doctest.DocTestFinder()
    public = [getattr(normix, name) for name in dir(normix) if name[0].isupper()]
    lacking = [
        cls.__name__
        for cls in public
        if inspect.isclass(cls)
        and issubclass(cls, ExponentialFamily | MarginalMixture)
        and not missing(cls)
        and not cls.__subclasses__()
        and not any(test.examples for test in finder.find(cls))
    ]
    assert lacking == []
