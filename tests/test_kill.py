"""A process can be killed at any moment, also while it writes. Whatever it left, the next one goes
on, and what comes out in the end is to the bit what a run gives that nobody disturbed."""

from __future__ import annotations

import random
import subprocess
import sys
from pathlib import Path

import pytest

from chainrule import Model

SCRIPT = Path(__file__).with_name("resume_helpers.py")


def run(folder, event=0):
    """What the script printed; None if it killed itself."""
    done = subprocess.run(
        [sys.executable, "-W", "error", str(SCRIPT), str(folder), str(event)],
        capture_output=True, text=True, timeout=120,
    )  # fmt: skip
    if done.returncode:
        assert not done.stdout
        assert event, done.stderr
        assert "Error" not in done.stderr
        return None
    return done.stdout


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory):
    folder = tmp_path_factory.mktemp("undisturbed")
    return run(folder), {name: (folder / name).read_bytes() for name in ("run.csv", "run.best.npz")}


def check(folder, undisturbed):
    """The last process ended the run; one more finds it ended."""
    text, contents = undisturbed
    assert text.endswith("True\n")  # ended by early stopping
    for _ in range(2):
        assert run(folder) == text
        for name, content in contents.items():
            assert (folder / name).read_bytes() == content
    names = {path.name for path in folder.iterdir() if path.suffix != ".tmp"}
    assert names == {"run.npz", "run.csv", "run.best.npz"}


def test_killed_within_an_epoch_within_a_write_and_behind_it(tmp_path, undisturbed):
    # of an epoch of 4 steps: 8 events of steps, 4 of the best model, 1 of the epoch, 4 of the run
    killed = {"a step": 8 + 4 + 1 + 4 + 3, "half of the file": 8 + 4 + 1 + 2, "the move": 17}
    assert list(map(run, [tmp_path] * 3, killed.values())) == [None] * 3
    assert len(list(tmp_path.glob(".*.tmp"))) == 1  # the half of a file
    check(tmp_path, undisturbed)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(2))
def test_killed_at_any_moment_until_it_is_done(seed, tmp_path, undisturbed):
    choose, kills = random.Random(seed), 0
    while run(tmp_path, choose.randrange(1, 60)) is None:
        kills += 1
        if (tmp_path / "run.npz").exists():  # whole at any moment
            Model.load(tmp_path / "run.npz")
    assert kills >= 20
    check(tmp_path, undisturbed)
