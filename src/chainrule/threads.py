"""How many threads multiply matrices inside `fit`. BLAS threads meet after every product, and a
product that is small, or a core that another process wants, makes that meeting cost more than it
gains; so `fit` bounds them to one where that is known to be faster, and only while it runs."""

from __future__ import annotations

import functools
import os
import threading
import warnings
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from .layers.containers import Parallel
from .sources import ArraySource

if TYPE_CHECKING:
    from ._types import Array, Shape
    from .layer import Layer
    from .model import Model
    from .sources import Source

# What a user sets who has chosen already.
VARIABLES = (
    "OPENBLAS_NUM_THREADS",
    "OMP_NUM_THREADS",
    "MKL_NUM_THREADS",
    "BLIS_NUM_THREADS",
    "VECLIB_MAXIMUM_THREADS",
)

# Multiply-adds of a batch on its way forward between which `fit` has one BLAS thread. Below,
# OpenBLAS starts no second one: it does for a single product of more. In between two are as fast on
# a quiet machine (1.02 times at 3.3 million), and four times as slow beside a busy process. Above
# they gain too much, 1.16 times at 6.5 million and 1.25 at 13, by benchmarks/threads.py.
FROM, TO = 262_144, 6_500_000


def wants_one_thread(
    model: Model, source: Source, rows: Array | None, size: int | None, workers: int
) -> bool:
    """Whether a fit is to have one BLAS thread: for its workers, or because that is faster.

    Raises `ModuleNotFoundError` if workers need it and nothing can bound the threads.
    """
    chosen = [value for name in VARIABLES if (value := os.environ.get(name))]
    if workers > 1:
        if _controller() is None and "1" not in chosen:
            raise ModuleNotFoundError(
                f"fit: workers={workers} needs one BLAS thread for each worker. Install "
                'threadpoolctl, as by pip install "chainrule[threads]", which bounds them while '
                f"fit runs; or set {VARIABLES[0]}=1 before Python starts."
            )
        return True
    if chosen or not isinstance(source, ArraySource):
        return False
    n = source.n if rows is None else len(rows)
    try:
        products = min(n, size or n) * multiply_adds(model.layers, source.x.shape[1:])
    except Exception:  # an own layer's, or sizes that nobody knows
        return False
    return FROM <= products < TO and _controller() is not None


def multiply_adds(layers: Sequence[Layer], shape: Shape) -> int:
    """Those of a row on its way forward through a chain, as its layers tell them."""
    total = 0
    for layer in layers:
        total += layer.multiply_adds(shape)  # type: ignore[arg-type]
        beside = isinstance(layer, Parallel)
        chains: Sequence[Any] = [(f,) for f in layer.children] if beside else [layer.children]
        total += sum(multiply_adds(chain, shape) for chain in chains)
        shape = layer.output_shape(shape)
    return total


@functools.cache
def _controller() -> Any:
    """What sets the threads of the BLAS that is loaded; None without threadpoolctl."""
    try:
        from threadpoolctl import ThreadpoolController
    except ImportError:
        return None
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of other libraries that are loaded, too
        return ThreadpoolController()  # looks at all of them, so once


class OneThread:
    """A context with one BLAS thread; afterwards there are as many as before.

    The threads belong to the process, and several fits may run at once: the first to come bounds
    them, and the last to go frees them.
    """

    def __init__(self) -> None:
        self.lock, self.inside = threading.Lock(), 0

    def __enter__(self) -> None:
        with self.lock:
            if not self.inside and (controller := _controller()):
                self.limit = controller.limit(limits=1, user_api="blas")
            self.inside += 1

    def __exit__(self, *_: object) -> None:
        with self.lock:
            self.inside -= 1
            if not self.inside and _controller():
                self.limit.restore_original_limits()


one_thread = OneThread()
