"""How a data set becomes batches: all the data, one point, or something between, in a fixed or a
shuffled order. A part of it may be held back for validation first."""

from __future__ import annotations

import mmap
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

if TYPE_CHECKING:
    from ._types import Array

Rows: TypeAlias = "slice | Array"


def batches(
    n: int,
    batch_size: int | None,
    rng: np.random.Generator | None = None,
    rows: Array | None = None,
) -> Iterator[Rows]:
    """Yield the rows of each batch, every row once; the last batch may be smaller.

    `batch_size` None stands for all rows, 1 for one point, more for a mini-batch. With `rng` the
    order is shuffled anew; without, batches are slices, which copy nothing. `rows` restricts all
    this to some rows.
    """
    size = batch_size or max(n, 1)
    order = rows
    if rng is not None:
        order = rng.permutation(n) if rows is None else rng.permutation(rows)
    for start in range(0, n if rows is None else len(rows), size):
        part = slice(start, start + size)
        yield part if order is None else order[part]


def chunks(array: Array) -> Iterator[Rows]:
    """Rows of about half a million numbers at a time, for what looks at all of an array."""
    return batches(len(array), max(1, len(array) * (1 << 19) // max(array.size, 1)))


def split_rows(
    owner: str, n: int, share: float, seed: Any, classes: Array | None = None
) -> tuple[Array, Array]:
    """Split n rows at random into (the rest, a share of them), each in ascending order.

    With the class of each row, every class gives its share to within one row. The same n, share,
    seed and classes give the same split.
    """
    k = held_back(owner, n, share)
    rng = np.random.default_rng(seed)
    order = rng.permutation(n)
    if classes is not None:  # class behind class, each in random order, and so are the classes
        _, index = np.unique(classes, return_inverse=True)
        block = rng.permutation(n)[index.ravel()]
        order = order[np.argsort(block[order], kind="stable")]
    # k rows at equal distances: a stretch of m rows gives k m / n of them, up or down to a whole
    taken = (np.arange(k) * n + rng.integers(n)) // k
    rest = np.ones(n, bool)
    rest[order[taken]] = False
    return np.flatnonzero(rest), np.flatnonzero(~rest)


def held_back(owner: str, n: int, share: float) -> int:
    """How many rows a share of n is: one at least, and not all."""
    k = max(1, round(n * share))
    if k >= n:
        raise ValueError(f"{owner}: {share:g} of {n} rows leaves nothing to train on.")
    return k


def classes_of(y: Array) -> Array | None:
    """The class (N,) of each row, where targets are classes by their looks; else None.

    Classes are integers or booleans (N,) or (N, 1), floats that are all 0 and 1 or all -1 and 1,
    and rows (N, C) of one 1 and zeros. No loss is asked, so that one data set has one answer.
    """
    if y.ndim == 2 and y.shape[1] > 1:
        parts = [y[rows] for rows in chunks(y)]
        for part in parts:  # most that is not one-hot shows that in its first rows
            if not (((part == 0) | (part == 1)).all() and (part.sum(axis=1) == 1).all()):
                return None
        return np.concatenate([part.argmax(axis=1) for part in parts])
    if y.ndim not in (1, 2) or y.size != len(y):
        return None
    y = y.reshape(-1)
    if y.dtype.kind == "f":
        if not any(np.isin(y[:64], pair).all() and np.isin(y, pair).all() for pair in PAIRS):
            return None
        return y.astype(np.int64)
    return y


PAIRS = ((0, 1), (-1, 1))


def is_mapped(array: Any) -> bool:
    """Whether an array lies in a file, and is perhaps larger than the memory."""
    while isinstance(array, np.ndarray):
        if isinstance(array, np.memmap):
            return True
        array = array.base
    return isinstance(array, mmap.mmap)
