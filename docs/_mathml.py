"""Formulas as MathML, written when the pages are built.

Every current browser shows MathML by itself, so that the pages need no script and no
network. docutils has the translation; this is the door through which Sphinx calls it.
"""

import re

from docutils import nodes
from docutils.utils.math import MathError
from docutils.utils.math.latex2mathml import tex2mathml
from sphinx.util import logging

_THIN_SPACE = '<mspace width="0.167em"/>'
_LOG = logging.getLogger(__name__)


def braced(tex: str) -> str:
    r"""Return the formula with braces round arguments that are one digit.

    An argument of TeX is one token, one digit: ``\frac12 x`` is a half of x. docutils
    reads a whole number, twelve over x.
    """
    tex = re.sub(r"(\\[dt]?frac|\\sqrt|[\^_])\s*(\d)", r"\1{\2}", tex)
    return re.sub(r"(\\[dt]?frac\s*(?:\{[^{}]*\}|[A-Za-z]))\s*(\d)", r"\1{\2}", tex)


def _formula(node: nodes.Element, as_block: bool) -> str:
    try:
        formula = tex2mathml(braced(node.astext()), as_block=as_block)
    except (MathError, AttributeError) as failure:
        _LOG.warning("no MathML for %r: %s", node.astext(), failure, location=node)
        return ""
    # As in TeX: log x has a thin space, log(x) has none, and bars keep their size.
    formula = re.sub(r"<mo>&ApplyFunction;</mo>(?!\s*<mo)", _THIN_SPACE, formula)
    return re.sub(r"<mo([^>]*)>([|‖])</mo>", r'<mo\1 stretchy="false">\2</mo>', formula)


def _inline(translator, node: nodes.Element) -> None:
    translator.body.append(_formula(node, as_block=False))
    raise nodes.SkipNode


def _block(translator, node: nodes.Element) -> None:
    opening = translator.starttag(node, "div", CLASS="math")
    translator.body.append(f"{opening}{_formula(node, as_block=True)}</div>\n")
    raise nodes.SkipNode


def setup(app) -> dict[str, bool]:
    app.add_html_math_renderer("mathml", (_inline, None), (_block, None))
    return {"parallel_read_safe": True, "parallel_write_safe": True}
