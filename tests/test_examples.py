"""Every example runs as a user runs it, in a folder of its own, and reaches its figure: each ends
with an error where a network that learned nothing would."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

EXAMPLES = Path(__file__).parent.parent / "examples"


def run(name, *arguments, folder):
    command = [sys.executable, "-W", "error", str(EXAMPLES / f"{name}.py"), *arguments]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=True)


@pytest.mark.parametrize("name", sorted(path.stem for path in EXAMPLES.glob("*.py")))
def test_help_names_the_four_options(name, tmp_path):
    text = run(name, "--help", folder=tmp_path).stdout
    assert all(option in text for option in ("--help", "--seed", "--quick", "--out"))


@pytest.mark.slow
def test_digits_reach_97_percent_over_five_seeds(tmp_path):
    done = run("digits", folder=tmp_path)
    assert float(re.search(r"mean of 5 seeds: ([\d.]+)%", done.stdout)[1]) >= 97
    assert "epoch  1/60" in done.stderr
    assert "taken for" in done.stdout


@pytest.mark.slow
@pytest.mark.parametrize("seed", ["0", "7"])
def test_will_i_pass_is_wrong_at_first_and_right_at_last(seed, tmp_path):
    text = run("will_i_pass", "--quick", "--seed", seed, folder=tmp_path).stdout
    untrained = [float(answer) for answer in re.findall(r"\b0\.\d\d\b", text.splitlines()[1])]
    assert len(untrained) == 20
    assert min(untrained) < 0.3 < 0.7 < max(untrained)
    assert float(re.search(r"\[4, 5\] passes with ([\d.]+);", text)[1]) > 0.9


@pytest.mark.slow
def test_own_layer_is_checked_and_its_wrong_twin_refused(tmp_path):
    text = run("own_layer", "--quick", "--out", "here", folder=tmp_path).stdout
    assert "Sine: the gradients agree" in text
    assert "Wrong: Wrong(3): dL/dx" in text
    assert (tmp_path / "here" / "own_layer.npz").exists()
