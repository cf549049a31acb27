"""Sphinx configuration; `make docs` builds the pages.

The tutorials are text notebooks in notebooks/, which docs/tutorials links to. They are
executed during the build, and one that raises fails it.
"""

import hashlib
import os
import sys
import typing
from importlib import import_module
from importlib.metadata import version as _version
from pathlib import Path

_ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(Path(__file__).parent))  # for _mathml

# Makes jaxtyping's annotations short, `Float[Array, 'd']`; read when it is imported.
typing.GENERATING_DOCUMENTATION = "normix"  # pyright: ignore

# The notebooks run in processes of their own, which share what is compiled.
_folder = import_module("normix").cache_compilations()
os.environ["JAX_COMPILATION_CACHE_DIR"] = str(_folder)
os.environ["JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS"] = "0"
os.environ["JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES"] = "-1"

project = "normix"
author = "The normix developers"
project_copyright = "2026, The normix developers"
release = version = _version("normix")

extensions = [
    "_mathml",
    "myst_nb",
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "sphinx.ext.napoleon",
    "sphinx.ext.viewcode",
]
exclude_patterns = ["_build", "**/.ipynb_checkpoints"]
templates_path = ["_templates"]

smartquotes = False  # they would bend the quotes of option strings

html_math_renderer = "mathml"
html_theme = "furo"
html_title = f"normix {release}"
html_static_path = ["_static"]
html_css_files = ["normix.css"]

# API pages.
autosummary_generate = True
autodoc_member_order = "bysource"
autodoc_typehints_format = "short"
maximum_signature_line_length = 88
napoleon_google_docstring = False
napoleon_use_rtype = False

# Pages and notebooks.
myst_enable_extensions = ["amsmath", "colon_fence", "deflist", "dollarmath"]
myst_heading_anchors = 3
nb_execution_mode = "cache"
nb_execution_timeout = 600
nb_execution_raise_on_error = True
nb_execution_show_tb = True
nb_merge_streams = True


def _digest_of_the_code() -> str:
    """Return a digest of all that a notebook's outputs depend on, but the notebook."""
    digest = hashlib.sha256()
    digest.update((_ROOT / "constraints.txt").read_bytes())
    for path in sorted((_ROOT / "src").rglob("*")):
        if path.is_file() and "__pycache__" not in path.parts:
            digest.update(path.read_bytes())
    return digest.hexdigest()[:16]


# A notebook's outputs are kept until it, the code or the pins change.
nb_execution_cache_path = str(
    Path(__file__).parent / "_build" / "jupyter_cache" / _digest_of_the_code()
)
