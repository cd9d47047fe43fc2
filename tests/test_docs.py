"""What the documents show is true: their Python blocks run, their links lead somewhere, and the two
commands of the README are single lines of shell."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
DOCUMENTS = sorted([ROOT / "README.md", *ROOT.glob("docs/**/*.md"), *ROOT.glob("benchmarks/*.md")])
EVERY = pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))


@EVERY
def test_python_blocks_run(path, tmp_path, monkeypatch, capfd):
    monkeypatch.chdir(tmp_path)
    for code in re.findall(r"^```python\n(.*?)^```$", path.read_text(), re.S | re.M):
        exec(compile(code, str(path), "exec"), {})
    if path == ROOT / "README.md":
        accuracy = int(re.search(r"(\d+)% of the test digits", capfd.readouterr().out)[1])
        assert accuracy >= 95


@EVERY
def test_links_inside_the_repository_exist(path):
    links = re.findall(r"\]\(([^)#]+)", path.read_text())
    local = [link for link in links if not link.startswith("http")]
    assert [link for link in local if not (path.parent / link).exists()] == []


@pytest.mark.parametrize("heading", ["Run it", "Test it"])
def test_commands_are_one_line_of_valid_shell(heading):
    text = (ROOT / "README.md").read_text()
    block = re.search(rf"^## {heading}\n.*?^```sh\n(.*?)^```$", text, re.S | re.M)[1]
    assert len(block.splitlines()) == 1
    subprocess.run(["sh", "-n", "-c", block], check=True)
