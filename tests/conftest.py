"""What all tests share: the reference values, and how hypothesis works. Its examples are the same
in every run, so that a red test stays red until it is mended."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import settings

settings.register_profile("repeatable", derandomize=True, deadline=None, max_examples=40)
settings.load_profile("repeatable")


@pytest.fixture(scope="session")
def reference() -> dict[str, np.ndarray]:
    """What PyTorch computed for every case; tests/reference/make_reference.py made it."""
    with np.load(Path(__file__).parent / "reference" / "reference.npz") as file:
        return dict(file)
