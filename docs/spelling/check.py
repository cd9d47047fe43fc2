"""Check the spelling of the pages: each word of their prose is in the dictionary or in words.txt.

Code, formulas and links are left out. A word of words.txt that no page needs is reported as well,
so that the list stays short. It needs pyspellchecker: python -m pip install ".[docs]"
"""

from __future__ import annotations

import re
from pathlib import Path

from spellchecker import SpellChecker

ROOT = Path(__file__).parents[2]
WORDS = Path(__file__).with_name("words.txt")
NO_PROSE = re.compile(
    r"^(```+|:::+).*?^\1 *$|\$\$.*?\$\$|\$[^$]+\$|`+[^`]+`+|\]\([^)]*\)|\{[^}\n]*\}|https?://\S+",
    re.DOTALL | re.MULTILINE,
)


def words(text: str) -> list[tuple[int, str]]:
    """Each word of the prose with the number of its line."""
    prose = NO_PROSE.sub(lambda found: "\n" * found[0].count("\n") or " ", text)
    return [
        (number, word.lower())
        for number, line in enumerate(prose.splitlines(), 1)
        for word in re.findall(r"[^\W\d_]{3,}", line)
    ]


def main() -> None:
    """Print what is wrong, and end with an error if there is anything."""
    dictionary = SpellChecker()
    ours = set(WORDS.read_text(encoding="utf-8").split())
    pages = [ROOT / "README.md", ROOT / "CHANGELOG.md", ROOT / "benchmarks" / "README.md"]
    pages += sorted(path for path in ROOT.glob("docs/**/*.md") if "_made" not in path.parts)
    needed: set[str] = set()
    wrong = []
    for page in pages:
        found = words(page.read_text(encoding="utf-8"))
        unknown = dictionary.unknown(word for _, word in found)
        needed |= unknown
        wrong += [
            f"{page.relative_to(ROOT)}:{number}: {word}"
            for number, word in found
            if word in unknown - ours
        ]
    wrong += [f"{WORDS.relative_to(ROOT)}: no page needs {word}" for word in sorted(ours - needed)]
    print("\n".join(wrong) or f"The spelling of {len(pages)} pages is right.")
    if wrong:
        raise SystemExit("A right word that the dictionary lacks goes into words.txt.")


if __name__ == "__main__":
    main()
