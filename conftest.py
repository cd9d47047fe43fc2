"""What all tests share: the reference values, how hypothesis works, and pictures without a screen.
The examples of hypothesis are the same in every run, so that a red test stays red until mended."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path

if "PYTEST_XDIST_WORKER" in os.environ:  # each process has a core, and BLAS starts no threads
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import numpy as np
import pytest
from hypothesis import settings

settings.register_profile("repeatable", derandomize=True, deadline=None, max_examples=40)
settings.load_profile("repeatable")
os.environ["MPLBACKEND"] = "agg"


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder to work in, with files that are not waited for until they reach the disk."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(os, "fsync", lambda file: None)  # which takes most of the time
    return tmp_path


@pytest.fixture(scope="session")
def reference() -> dict[str, np.ndarray]:
    """What PyTorch computed for every case; tests/reference/make_reference.py made it."""
    with np.load(Path(__file__).parent / "tests" / "reference" / "reference.npz") as file:
        return dict(file)


@pytest.fixture(autouse=True)
def close_figures() -> Iterator[None]:
    """Leave no picture open, for matplotlib warns of many."""
    yield
    if "matplotlib.pyplot" in sys.modules:
        sys.modules["matplotlib.pyplot"].close("all")
