"""How a data set becomes batches: all the data, one point, or something between, in a fixed or a
shuffled order. A part of it may be held back for validation first."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, TypeAlias

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


def validation_rows(n: int, share: float, seed: int) -> tuple[Array, Array]:
    """Split n rows at random into (training, validation), each in ascending order.

    The split depends on the seed, the share and n alone, so that a second fit of the same model
    never trains on rows that validated the first.
    """
    held_back = max(1, round(n * share))
    if held_back >= n:
        raise ValueError(f"validation_split: {share:g} of {n} rows leaves nothing to train on.")
    order = np.random.default_rng([seed, n]).permutation(n)
    return np.sort(order[held_back:]), np.sort(order[:held_back])
