"""How a data set becomes batches: all the data, one point, or something between, in a fixed or a
shuffled order. A part of it may be held back for validation first."""

from __future__ import annotations

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


def split_rows(
    owner: str, n: int, share: float, seed: Any, classes: Array | None = None
) -> tuple[Array, Array]:
    """Split n rows at random into (the rest, a share of them), each in ascending order.

    With the class of each row, every class gives its share to within one row. The same n, share,
    seed and classes give the same split.
    """
    k = max(1, round(n * share))
    if k >= n:
        raise ValueError(f"{owner}: {share:g} of {n} rows leaves nothing to train on.")
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
