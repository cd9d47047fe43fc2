"""What a child process of the doctor computes: whether matrix products are right, and how fast.
It is a process of its own because BLAS reads its variables only once, when NumPy is loaded.
"""

from __future__ import annotations

import json
import statistics
import sys
import time
from collections.abc import Callable, Iterator
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from .._types import Array

# (m, k, n) of products (m, k) @ (k, n). Kernels work in tiles of 4 to 64 rows and columns, so odd
# sizes reach the code for what is left at the borders; the last two are beyond the sizes for which
# some kernels have code of their own.
ODD_SIZES = ((1, 1, 1), (3, 5, 7), (17, 31, 13), (127, 1, 255), (63, 65, 129), (65, 517, 131))
TRAINING_SIZES = ((64, 784, 128), (128, 784, 512), (256, 1024, 1024))
SECONDS = 0.03  # of each size


def is_right(product: Callable[[Array, Array], Array], a: Array, b: Array) -> bool:
    """Whether a @ b agrees with a sum that no BLAS has made.

    In whatever order n products are summed, |error| <= nu / (1 - nu) |a| |b| with u = eps / 2. The
    sum to compare with, in float64, has such an error too, so twice that is the most there can be.
    A single product that is left out, or taken twice, is far beyond.
    """
    n = a.shape[-1]
    left, right = a.reshape(-1, n).astype(np.float64), b.reshape(n, -1).astype(np.float64)
    sums = np.einsum("ij,jk->ik", left, right, optimize=False)
    sizes = np.einsum("ij,jk->ik", abs(left), abs(right), optimize=False)
    found = np.asarray(product(a, b), dtype=np.float64).reshape(sums.shape)
    return bool((abs(found - sums) <= (n + 1) * np.finfo(a.dtype).eps * sizes).all())


def operands() -> Iterator[tuple[str, Array, Array]]:
    """Pairs to multiply, with a name: each kind of product that BLAS has a routine for."""
    rng = np.random.default_rng(0)
    for dtype in (np.float32, np.float64):

        def draw(*shape: int, dtype: type = dtype) -> Array:
            return rng.standard_normal(shape).astype(dtype)

        kind = np.dtype(dtype).name
        for m, k, n in ODD_SIZES:
            name = f"{m}x{k}x{n} in {kind}"
            yield name, draw(m, k), draw(k, n)
            yield f"{name}, left transposed", draw(k, m).T, draw(k, n)
            yield f"{name}, right transposed", draw(m, k), draw(n, k).T
            yield f"{name}, both transposed", draw(k, m).T, draw(n, k).T
            yield f"{name}, rows apart", draw(m, k + 3)[:, :k], draw(k, n + 5)[:, :n]
            yield f"{name}, columns apart", draw(m, 2 * k)[:, ::2], draw(k, 2 * n)[:, ::2]
            yield f"{name}, matrix by vector", draw(m, k), draw(k)
            yield f"{name}, transposed matrix by vector", draw(k, m).T, draw(k)
        for k in (1, 7, 1001):
            yield f"{k} by {k} numbers in {kind}", draw(k), draw(k)
        x = draw(165, 55)
        yield f"x.T @ x of 165x55 in {kind}", x.T, x
        yield f"x @ x.T of 165x55 in {kind}", x, x.T


def check(product: Callable[[Array, Array], Array] = np.matmul) -> list[str]:
    """Return the names of the products that are wrong."""
    return [name for name, a, b in operands() if not is_right(product, a, b)]


def rates(of: Callable[[list[float]], float], seconds: float = SECONDS) -> list[float]:
    """Return 1e9 operations in a second for float32 products of each of the training's sizes.

    `of` makes one time of many: `min` tells what kernels can do, whoever else uses the machine, and
    the median what a program gets.
    """
    rng = np.random.default_rng(0)
    found = []
    for m, k, n in TRAINING_SIZES:
        a, b = (rng.standard_normal(shape, dtype=np.float32) for shape in ((m, k), (k, n)))
        out = a @ b  # the first call is slower: BLAS takes its memory
        times: list[float] = []
        while len(times) < 3 or sum(times) < seconds:
            start = time.perf_counter()
            np.matmul(a, b, out=out)
            times.append(time.perf_counter() - start)
        found.append(2e-9 * m * k * n / of(times))
    return found


if __name__ == "__main__":
    tasks: dict[str, Callable[[], list[Any]]] = {
        "check": check,
        "best": partial(rates, min),
        "usual": partial(rates, statistics.median),
    }
    print(json.dumps(tasks[sys.argv[1]]()))
