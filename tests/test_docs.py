"""What the documents show is true: their Python blocks run and print what stands below them, their
links lead somewhere, the reference misses no public name, and the lecture's table no point."""

from __future__ import annotations

import ast
import importlib
import re
import subprocess
from pathlib import Path

import pytest

import chainrule as cr

ROOT = Path(__file__).parent.parent
DOCUMENTS = sorted(
    path
    for path in [ROOT / "README.md", *ROOT.glob("docs/**/*.md"), *ROOT.glob("benchmarks/**/*.md")]
    if not {"_made", "_build"} & set(path.parts)
)
EVERY = pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
BLOCK = re.compile(r"^```python\n(.*?)^```$(?:\n+```text\n(.*?)^```$)?", re.S | re.M)
LINK = re.compile(
    r"\]\(([^)#\s]+)|^(?:```|:::)\{(?:figure|image|literalinclude)\} (\S+)", re.MULTILINE
)
NUMBER = re.compile(r"-?\d+\.\d+(?:e[+-]\d+)?")


def agree(printed, shown):
    """Whether two outputs are the same, numbers with a point give or take one in the last place."""
    words, wanted = (NUMBER.sub("#", text).split() for text in (printed, shown))
    pairs = zip(NUMBER.findall(printed), NUMBER.findall(shown), strict=False)
    return words == wanted and all(abs(float(a) - float(b)) <= 1.01 * unit(b) for a, b in pairs)


def unit(number):
    """One in the last place of a number as it is written."""
    digits, _, exponent = number.partition("e")
    return 10.0 ** (int(exponent or 0) - len(digits.partition(".")[2]))


def test_outputs_are_compared_to_the_digits_shown():
    assert agree("a 0.1234\nb", "a 0.1235 b")
    assert not agree("0.1234", "0.1236")
    assert not agree("1", "2")
    assert not agree("0.5 0.5", "0.5")
    assert agree("2.1e-09", "2.0e-09")
    assert not agree("2.1e-08", "2.1e-09")


@EVERY
def test_python_blocks_run_and_print_what_is_shown(path, tmp_path, monkeypatch, capsys):
    """The blocks of a page run one after the other; a ``text`` block behind one is its output."""
    monkeypatch.chdir(tmp_path)
    text = path.read_text(encoding="utf-8")
    names = {"__name__": f"page_{path.stem}"}
    for block in BLOCK.finditer(text):
        first = text.count("\n", 0, block.start(1))
        exec(compile("\n" * first + block[1], str(path), "exec"), names)
        printed = capsys.readouterr().out
        if block[2] is not None and not agree(printed, block[2]):
            pytest.fail(f"{path.name}, line {first + 1}: shown\n{block[2]}printed\n{printed}")
    if path == ROOT / "README.md":
        accuracy = int(re.search(r"(\d+)% of the test digits", printed)[1])
        assert accuracy >= 95


def exists(link, page):
    """Whether a link leads somewhere; pictures and outputs are there once the book is built."""
    if "_made/" in link:
        scripts = [script.stem for script in ROOT.glob("examples/[!_]*.py")]
        return any(Path(link).name.startswith(script) for script in scripts)
    return (page.parent / link).exists()


@EVERY
def test_links_inside_the_repository_exist(path):
    found = LINK.findall(path.read_text(encoding="utf-8"))
    links = [link or file for link, file in found if not link.startswith(("http", "#"))]
    assert [link for link in links if not exists(link, path)] == []


@pytest.mark.parametrize("heading", ["Run it", "Test it"])
def test_commands_are_one_line_of_valid_shell(heading):
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    block = re.search(rf"^## {heading}\n.*?^```sh\n(.*?)^```$", text, re.S | re.M)[1]
    assert len(block.splitlines()) == 1
    subprocess.run(["sh", "-n", "-c", block], check=True)


# ---- the reference --------------------------------------------------------------------------


def described():
    """The full names that the pages of the reference describe."""
    names = set()
    for page in ROOT.glob("docs/reference/*.md"):
        module = ""
        for kind, name in re.findall(r"^\.\. (\w+):: ([\w.]+)", page.read_text("utf-8"), re.M):
            if kind in ("module", "currentmodule", "automodule"):
                module = name
            if kind in ("module", "automodule"):
                names.add(name)
            elif kind != "currentmodule":
                names.add(f"{module}.{name}")
    return names


def defined_in(module):
    """The functions and classes that a file without `__all__` offers."""
    path = Path(cr.__file__).parent / f"{module}.py"
    return [
        node.name
        for node in ast.parse(path.read_text(encoding="utf-8")).body
        if isinstance(node, (ast.FunctionDef, ast.ClassDef)) and node.name[0] != "_"
    ]


def test_the_reference_misses_no_public_name():
    public = {f"chainrule.{name}" for name in cr.__all__}
    for module in ("datasets", "inspection", "plots", "tables"):
        names = importlib.import_module(f"chainrule.{module}").__all__
        public |= {f"chainrule.{module}.{name}" for name in names}
    for module in ("initializers", "testing"):
        public |= {f"chainrule.{module}.{name}" for name in defined_in(module)}
    numerics = ("log_softmax", "logsumexp", "softplus", "erf", "erfcx", "normal_cdf")
    public |= {f"chainrule.numerics.{name}" for name in numerics}
    public |= {"chainrule.losses.Loss", "chainrule.optimizers.Optimizer"}
    public |= {"chainrule.initializers.zeros", "chainrule.initializers.ones"}
    public |= {"chainrule.metrics.Metric", "chainrule.schedules.Schedule"}
    assert {"chainrule.Dense", "chainrule.initializers.he_normal"} <= public & described()
    assert public - described() == set()


@pytest.mark.parametrize("name", ["Model", "Layer", "Callback", "History"])
def test_the_reference_describes_the_methods_of(name):
    pages = "".join(page.read_text("utf-8") for page in ROOT.glob("docs/reference/*.md"))
    options = re.search(rf"^\.\. autoclass:: {name}\n((?:   :.*\n)*)", pages, re.M)[1]
    members = re.search(r":members:(.*)", options)
    assert members is not None
    public = {key for key in vars(getattr(cr, name)) if not key.startswith("_")}
    if members[1].strip():
        assert set(members[1].replace(",", " ").split()) <= public
    if name == "Layer":  # the others that an own layer writes or reads
        assert {"forward", "backward", "output_shape"} <= set(re.findall(r"\w+", members[1]))


# ---- pictures --------------------------------------------------------------------------------


@EVERY
def test_every_picture_says_in_words_what_it_shows(path):
    text = path.read_text(encoding="utf-8")
    pictures = dict(re.findall(r"!\[((?:[^\]]|\n)*)\]\(([^)]+\.png)\)", text))
    said = {file: words for words, file in pictures.items()}
    for block in re.findall(r"^```\{(?:figure|image)\} (.*?)^```$", text, re.S | re.M):
        alt = re.search(r"^:alt: (.+)$", block, re.M)
        said[block.split()[0]] = alt[1] if alt else ""
    for file, words in said.items():
        assert len(words) > 30, f"{file}: its alternative text is {words!r}"
        dark = file.replace(".png", "-dark.png")
        assert words == said.get(dark, words), f"{file} and {dark} say different things"


# ---- the lecture ----------------------------------------------------------------------------


def test_the_table_of_the_lecture_has_every_point_with_its_script_and_its_page():
    index = ROOT / "docs" / "lecture" / "index.md"
    text = index.read_text(encoding="utf-8")
    rows = re.findall(r"^\| (\d+) +\|(.*)\|(.*)\|(.*)\|$", text, re.M)
    assert [int(row[0]) for row in rows] == list(range(1, 26))
    for number, point, script, page in rows:
        assert point.strip(), number
        scripts = set(re.findall(r"`(\d\d_\w+)`", script))
        assert scripts, number
        for name in scripts:
            doc = ast.get_docstring(ast.parse((ROOT / f"examples/{name}.py").read_text("utf-8")))
            points = re.search(r"Points? ([\d, and]+) of the lecture", doc)[1]
            assert number in re.findall(r"\d+", points), name
        links = re.findall(r"\]\(([^)#]+)", page)
        assert links, number
        assert [link for link in links if not exists(link, index)] == []
