"""What importing a library costs over importing NumPy: seconds, and megabytes of memory.
Each import is made in a fresh process whose bytecode was compiled before."""

from __future__ import annotations

import statistics
import subprocess
import sys
from collections.abc import Callable
from functools import partial

from worker import Run

PROBE = """
import time, resource
import numpy
start = time.perf_counter()
{}
seconds = time.perf_counter() - start
print(seconds, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
"""
KERAS = "import os; os.environ['KERAS_BACKEND'] = '{}'; import keras"
CASES: dict[str, tuple[()]] = {"import, over import numpy": ()}
TOLERANCE = 0.0, float("inf")  # nothing to agree on; the number is the memory
BLAS: tuple[str, ...] = ()
Prepared = tuple[Run, list[float]]


def turn_of(peer: str) -> tuple[int, int]:
    return 0, 1


def probe(statement: str) -> tuple[float, float]:
    """Seconds, and the largest memory in kB."""
    done = subprocess.run(
        [sys.executable, "-c", PROBE.format(statement)], capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise ImportError(done.stderr.strip().splitlines()[-1])
    seconds, kilobytes = done.stdout.split()
    return float(seconds), float(kilobytes)


def imports(statement: str, threads: int) -> Prepared:
    probe(statement)  # compiles the bytecode
    pairs = [(probe(statement)[1], probe("pass")[1]) for _ in range(2)]
    megabytes = statistics.median(with_it - without for with_it, without in pairs) / 1e3

    def run(steps: int) -> float:
        return statistics.mean(probe(statement)[0] for _ in range(steps))

    return run, [megabytes]


PEERS: dict[str, Callable[..., Prepared]] = {
    "chainrule": partial(imports, "import chainrule"),
    "PyTorch": partial(imports, "import torch"),
    "JAX": partial(imports, "import jax, optax"),
    "Keras on PyTorch": partial(
        imports, "import os; os.environ['KERAS_BACKEND'] = 'torch'; import keras"
    ),
    "Keras on JAX": partial(
        imports, "import os; os.environ['KERAS_BACKEND'] = 'jax'; import keras"
    ),
    "scikit-learn": partial(imports, "import sklearn.neural_network"),
    "ONNX Runtime": partial(imports, "import onnxruntime"),
}
