"""How many threads multiply matrices inside `fit`. BLAS threads meet after every product, and a
product that is small, or a core that another process wants, makes that meeting cost more than it
gains; so `fit` bounds them to one where that is known to be faster, and only while it runs."""

from __future__ import annotations

import contextlib
import functools
import os
import threading
import warnings
from collections.abc import Callable, Sequence
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
    """Fits with one BLAS thread; afterwards there are as many as before.

    The threads belong to the process, and several fits may run at once: the first to come bounds
    them, and the last to go frees them.
    """

    def __init__(self) -> None:
        self.lock, self.fits = threading.Lock(), set[object]()

    def until_closed(self, stack: contextlib.ExitStack) -> None:
        """Bound the threads until a stack is closed, also where Ctrl-C comes on the way."""
        fit = object()
        stack.callback(insist, functools.partial(self._free, fit))
        with self.lock:
            controller = None if self.fits else _controller()
            if controller:
                self.before = controller.limit(limits=None)  # takes note, and changes nothing
            self.fits.add(fit)
            if controller:
                controller.limit(limits=1, user_api="blas")

    def _free(self, fit: object) -> None:
        with self.lock:
            if self.fits == {fit} and _controller():
                self.before.restore_original_limits()
            self.fits.discard(fit)


one_thread = OneThread()


def insist(waiting: Callable[[], object]) -> None:
    """Wait to the end; Ctrl-C is raised afterwards, so that no thread still runs then."""
    interrupt: BaseException | None = None
    while True:
        try:
            waiting()
            break
        except KeyboardInterrupt as error:
            interrupt = error
    try:
        if interrupt is not None:
            raise interrupt
    finally:
        interrupt = None  # it knows this frame
