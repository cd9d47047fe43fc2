"""`fit(workers=2)`, the batch in shards over two Python threads, beside one thread on two cores.
The losses must agree; the comparison is made twice, with a busy neighbour on a core and without."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import compare_steps
from common import Sizes
from compare_steps import TOLERANCE, fit, turn_of
from worker import Run

__all__ = ["BLAS", "BLAS_THREADS", "CASES", "PEERS", "TOLERANCE", "turn_of"]

CASES: dict[str, tuple[Sizes, int, int]] = dict(list(compare_steps.CASES.items())[3:])
PEERS: dict[str, Callable[..., tuple[Run, list[float]]]] = {
    "one thread": fit,
    "workers=2": partial(fit, workers=2),
    "two BLAS threads": fit,
}
BLAS = tuple(PEERS)
BLAS_THREADS = {"two BLAS threads": 2}  # the others have one
