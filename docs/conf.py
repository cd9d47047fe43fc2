"""How the book is built: Sphinx with Markdown pages, and everything in it from this checkout.

Before anything is read, every example runs, so that the pages show what the code prints and draws.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from docutils import nodes
from docutils.utils.math import MathError
from docutils.utils.math.latex2mathml import tex2mathml
from sphinx.application import Sphinx
from sphinx.errors import ExtensionError
from sphinx.util import logging

import chainrule

ROOT = Path(__file__).parent.parent
MADE = Path("docs", "_made")  # below ROOT: NAME.txt and the pictures of each example
QUICK = bool(os.environ.get("CHAINRULE_BOOK_QUICK"))
LOG = logging.getLogger(__name__)

project = "chainrule"
author = copyright = "the chainrule authors"
release = version = chainrule.__version__
extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon"]
exclude_patterns = ["_made", "spelling"]
nitpicky = True
# Single backticks in a docstring also name arguments and attributes, which have no entry.
nitpick_ignore_regex = [("py:obj", ".*")]

myst_enable_extensions = ["attrs_inline", "colon_fence", "deflist", "dollarmath"]
myst_heading_anchors = 3

autodoc_typehints = "none"  # the docstrings say it in words, with shapes
autodoc_preserve_defaults = True
autodoc_member_order = "bysource"
default_role = "py:obj"
napoleon_google_docstring = False
napoleon_use_param = napoleon_use_rtype = False
napoleon_custom_sections = [("Attributes", "params_style")]
add_module_names = False

html_theme = "furo"
pygments_dark_style = "github-dark"
html_title = "chainrule"
html_static_path = ["_static"]
html_css_files = ["book.css"]
html_math_renderer = "mathml"
html_copy_source = False


def make(script: Path) -> str | None:
    """Run an example if it, or what it rests on, is newer than its output; return its error."""
    printed = ROOT / MADE / f"{script.stem}.txt"
    shortened = printed.with_suffix(".quick")  # is there if the output is that of a quick run
    sources = [script, script.with_name("__init__.py"), *(ROOT / "src").rglob("*.py")]
    newest = max(source.stat().st_mtime for source in sources)
    if printed.exists() and printed.stat().st_mtime > newest and (QUICK or not shortened.exists()):
        return None
    LOG.info("running %s", script.name)
    command = [sys.executable, "-W", "error", str(script), "--out", str(MADE), "--dark"]
    command += ["--quick"] if QUICK else []
    settings = {"MPLBACKEND": "agg", "OPENBLAS_NUM_THREADS": "1", "PYTHONUTF8": "1"}
    done = subprocess.run(
        command, cwd=ROOT, env=os.environ | settings, capture_output=True, encoding="utf-8"
    )
    if done.returncode:
        return f"{script.name} fails:\n{done.stdout}{done.stderr}"
    printed.parent.mkdir(exist_ok=True)
    shortened.touch() if QUICK else shortened.unlink(missing_ok=True)
    printed.write_text(done.stdout.replace(str(MADE), "out"), encoding="utf-8")
    return None


def make_all(app: Sphinx) -> None:
    """Run all examples, two at a time; none may fail."""
    scripts = sorted((ROOT / "examples").glob("[!_]*.py"))
    with ThreadPoolExecutor(2) as pool:
        errors = [error for error in pool.map(make, scripts) if error]
    if errors:
        raise ExtensionError("\n\n".join(errors))


def link_derivations(
    app: Sphinx, what: str, name: str, subject: Any, options: Any, lines: list[str]
) -> None:
    """Make a link of each derivation that a docstring names by its file."""
    file = re.compile(r"docs(/derivations/\w+)\.md")
    lines[:] = [file.sub(r":doc:`\1`", line) for line in lines]


# What has to be mended of docutils' formulas, as patterns and replacements: in TeX, \frac12 and
# \hat x_i; in MathML, the space round the names of functions, and two signs that must not grow with
# their neighbours, or must (book.css draws the bar of \overline).
SPACE = '<mspace width="0.17em"></mspace>'
TEX = {
    r"(\\[dt]?frac)\s*(\d)\s*(\d)": r"\1{\2}{\3}",
    r"\\(?:hat|bar|tilde|vec|dot)\s*(?:\w|\\\w+|\{[^{}]*\})(?=_)": r"{{}\g<0>}",
}
MATHML = {
    r"(?<=</m[in]>)\s*(?=<mi>\w\w+</mi>\s*<mo>&ApplyFunction;)": SPACE,
    r"<mo>&ApplyFunction;</mo>(?!\s*<mo stretchy=.false.>\()": SPACE,
    r"<mo>(max|min)</mo>": r"<mi>\1</mi>",
    r"<mo>‖</mo>": '<mo stretchy="false">‖</mo>',
    r'<mo accent="true">_</mo>': '<mo accent="true" class="bar">_</mo>',
}


def mend(formula: str, patterns: dict[str, str]) -> str:
    """Replace each pattern in a formula."""
    for pattern, right in patterns.items():
        formula = re.sub(pattern, right, formula)
    return formula


def math(block: bool) -> Callable[[Any, nodes.Element], None]:
    """A formula as MathML, which browsers draw by themselves: no script, nothing to load."""

    def visit(translator: Any, node: nodes.Element) -> None:
        formula = mend(node.astext(), TEX)
        try:
            formula = mend(tex2mathml(formula, as_block=block), MATHML)
        except MathError as error:
            LOG.warning("%s in the formula %s", error, node.astext(), location=node)
        translator.body.append(f'<div class="math">{formula}</div>' if block else formula)
        raise nodes.SkipNode

    return visit


def setup(app: Sphinx) -> dict[str, bool]:
    """Called by Sphinx."""
    app.connect("builder-inited", make_all)
    app.connect("autodoc-process-docstring", link_derivations)
    app.add_html_math_renderer("mathml", (math(False), None), (math(True), None))
    return {"parallel_read_safe": True, "parallel_write_safe": True}
