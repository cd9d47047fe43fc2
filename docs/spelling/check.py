"""Check the spelling: each word of the pages' prose, of captions and alternative texts, of the
docstrings and of what the examples print is in the dictionary or in words.txt.

Code, formulas, names and links are left out. A word of words.txt that nothing needs is reported as
well, so that the list stays short. It needs pyspellchecker: python -m pip install ".[docs]"
"""

from __future__ import annotations

import ast
import re
from pathlib import Path

from spellchecker import SpellChecker

ROOT = Path(__file__).parents[2]
WORDS = Path(__file__).with_name("words.txt")
NO_PROSE = re.compile(
    r"^(```+|:::+).*?^\1 *$|\$\$.*?\$\$|\$[^$]+\$|`+[^`]+`+|\]\([^)]*\)|\{[^}\n]*\}|https?://\S+",
    re.DOTALL | re.MULTILINE,
)


# A picture's block is prose: its alternative text and its caption, without its options.
PICTURE = re.compile(r"^(```+|:::+)\{(?:figure|image)\}.*\n(.*?)^\1 *$", re.DOTALL | re.MULTILINE)
OPTION = re.compile(r"^:(?!alt:)[\w-]+:.*$|^:alt:", re.MULTILINE)
# Of a docstring: sections that are code, or names of people, and what is no prose in the others.
SECTIONS = re.compile(r"^(?:Examples|References)\n-+.*", re.DOTALL | re.MULTILINE)
NO_WORDS = re.compile(
    r"\.\. math::.*?(?=\n\n\S|\Z)|^(?:Parameters|Attributes|Returns|Raises)\n-+$"
    r"|^\S[^\n]* : [^\n]*$|^\w+(?:, \w+)*$|``.*?``|`[^`]+`|:math:`[^`]*`|https?://\S+",
    re.DOTALL | re.MULTILINE,
)


def words(text: str) -> list[tuple[int, str]]:
    """Each word of the prose with the number of its line; names such as ReLU are none."""
    text = PICTURE.sub(lambda found: "\n" + OPTION.sub("", found[2]) + "\n", text)
    prose = NO_PROSE.sub(lambda found: "\n" * found[0].count("\n") or " ", text)
    return [
        (number, word.lower())
        for number, line in enumerate(prose.splitlines(), 1)
        for word in re.findall(r"[^\W\d_]{3,}", line)
        if word[1:].islower() or word.isupper()
    ]


def said(path: Path) -> str:
    """The docstrings of a Python file and, of an example, the texts that it prints."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    texts = [
        NO_WORDS.sub(" ", SECTIONS.sub("", ast.get_docstring(node) or ""))
        for node in ast.walk(tree)
        if isinstance(node, (ast.Module, ast.ClassDef, ast.FunctionDef))
    ]
    if "examples" in path.parts:
        calls = [node for node in ast.walk(tree) if isinstance(node, ast.Call)]
        texts += [
            text.value
            for call in calls
            if ast.unparse(call.func) in ("print", "SystemExit")
            for text in ast.walk(call)
            if isinstance(text, ast.Constant) and isinstance(text.value, str)
        ]
    return "\n".join(texts)


def main() -> None:
    """Print what is wrong, and end with an error if there is anything."""
    dictionary = SpellChecker()
    ours = set(WORDS.read_text(encoding="utf-8").split())
    pages = [ROOT / "README.md", ROOT / "CHANGELOG.md", ROOT / "benchmarks" / "README.md"]
    pages += [ROOT / "benchmarks" / "peers" / "README.md"]
    pages += sorted(path for path in ROOT.glob("docs/**/*.md") if "_made" not in path.parts)
    needed: set[str] = set()
    wrong = []
    sources = sorted([*ROOT.glob("src/**/*.py"), *ROOT.glob("examples/**/*.py")])
    for page in [*pages, *sources]:
        found = words(page.read_text("utf-8") if page.suffix == ".md" else said(page))
        unknown = dictionary.unknown(word for _, word in found)
        needed |= unknown
        wrong += [
            f"{page.relative_to(ROOT)}:{number}: {word}"
            for number, word in found
            if word in unknown - ours
        ]
    wrong += [f"{WORDS.relative_to(ROOT)}: nothing needs {word}" for word in sorted(ours - needed)]
    print(
        "\n".join(wrong) or f"The spelling of {len(pages)} pages and {len(sources)} files is right."
    )
    if wrong:
        raise SystemExit("A right word that the dictionary lacks goes into words.txt.")


if __name__ == "__main__":
    main()
