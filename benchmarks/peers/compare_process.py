"""The whole process, from the command line to a trained classifier of digits and its predictions.
Each script of digits/ reads the same files, trains the same network, and must get as far."""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
from worker import Run

SCRIPTS = Path(__file__).with_name("digits")
CASES: dict[str, tuple[()]] = {"digits, 64-64-10, 30 epochs": ()}
TOLERANCE = 0.0, 0.03  # of the accuracy
BLAS = "chainrule", "scikit-learn"
Prepared = tuple[Run, list[float]]


def turn_of(peer: str) -> tuple[int, int]:
    return 0, 1


def script(name: str, threads: int) -> Prepared:
    """Run the script in a process that inherits the cores and the environment of this one."""
    from chainrule import datasets

    place = tempfile.TemporaryDirectory()  # goes when the worker lets go of `run`
    (x, y), (x_test, y_test) = datasets.digits()
    for key, array in {"x": x, "y": y, "x_test": x_test, "y_test": y_test}.items():
        np.save(Path(place.name) / f"{key}.npy", array)

    def process() -> float:
        done = subprocess.run(
            [sys.executable, str(SCRIPTS / f"{name}.py"), place.name],
            capture_output=True, text=True, check=False,
        )  # fmt: skip
        if done.returncode:
            raise ImportError(done.stderr.strip().splitlines()[-1])
        return float(done.stdout)

    def run(steps: int) -> float:
        start = time.perf_counter()
        for _ in range(steps):
            process()
        return (time.perf_counter() - start) / steps

    return run, [process()]


PEERS: dict[str, Callable[..., Prepared]] = {
    "chainrule": partial(script, "chainrule_digits"),
    "PyTorch": partial(script, "pytorch_digits"),
    "Keras on JAX": partial(script, "keras_digits"),
    "scikit-learn": partial(script, "sklearn_digits"),
}
