"""What data need before the first training: parts to train on, to validate and to test on, and
classes written as one-hot rows. Both are plain functions on whatever holds rows."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from .data import split_rows
from .errors import as_numbers, check_count, check_number, listed, show

if TYPE_CHECKING:
    from numpy.typing import DTypeLike

    from ._types import Array


def split(
    *arrays: Any, shares: Sequence[float] = (0.8, 0.2), stratify: Any = None, seed: int = 0
) -> list[Any]:
    """Split rows at random into parts, the same rows of each array: to train, validate, test.

    Parameters
    ----------
    *arrays : array (N, ...), list, or frame
        Of the same number of rows N. Lists give lists, frames of pandas give frames, arrays mapped
        from files are read at the chosen rows alone.
    shares : sequence of float
        The share of the rows that each part gets; they sum to 1.
    stratify : sequence (N,), optional
        The class of each row: numbers or texts. Every class then gives each part its share, to
        within one row of two parts and two rows of more.
    seed : int
        The same seed and number of rows, and the same classes, give the same parts.

    Returns
    -------
    list
        A part for each share, its rows in the order that they had. Of one array the parts are such
        rows; of several a part is a tuple, with the rows of each.

    Raises
    ------
    TypeError, ValueError
        For no arrays, what has no rows, different numbers of rows, shares that do not sum to 1,
        and too few rows for a part.

    Examples
    --------
    >>> import numpy as np
    >>> from chainrule import split
    >>> x, y = np.arange(20).reshape(10, 2), np.array([0, 1] * 5)
    >>> (x_train, y_train), (x_test, y_test) = split(x, y, stratify=y)
    >>> x_train.shape, y_test.tolist()
    ((8, 2), [0, 1])
    >>> train, validation, test = split(list("abcdefghij"), shares=(0.6, 0.2, 0.2), seed=1)
    >>> len(train), len(validation), len(test)
    (6, 2, 2)

    References
    ----------
    W. Madow, L. Madow, *On the Theory of Systematic Sampling*, Annals of Mathematical Statistics
    15, 1944.
    """
    n = _number_of_rows(arrays)
    parts = [check_number("split", "each share", s, low=0, high=1, open_low=True, open_high=True)
             for s in listed("split: shares", shares)]  # fmt: skip
    if abs(sum(parts) - 1) > 1e-9:
        raise ValueError(f"split: shares must sum to 1, got {shares!r}, which sum to {sum(parts)}.")
    seed = check_count("split", "seed", seed, low=0, high=None)
    classes = None if stratify is None else _codes(stratify, n)
    bounds = np.round(n * np.cumsum([0.0, *parts])).astype(int)
    sizes = np.diff(bounds)
    if sizes.min() < 1:
        raise ValueError(f"split: {n} rows are too few for shares of {shares!r}: a part is empty.")
    rest, chosen = np.arange(n), []
    for i in range(len(parts) - 1, 0, -1):  # the last part first, each from what is left
        of_rest = None if classes is None else classes[rest]
        share = sizes[i] / len(rest)
        stay, leave = split_rows("split", len(rest), share, [seed, i], of_rest)
        chosen.append(rest[leave])
        rest = rest[stay]
    chosen.append(rest)
    taken = [tuple(_take(array, rows) for array in arrays) for rows in reversed(chosen)]
    return [part[0] for part in taken] if len(arrays) == 1 else list(taken)


def _number_of_rows(arrays: Sequence[Any]) -> int:
    """Check that all have rows, and the same number of them."""
    if not arrays:
        raise TypeError("split: give what is to be split, as in split(x, y).")
    counts = []
    for i, array in enumerate(arrays):
        rows = isinstance(array, (list, tuple)) or hasattr(array, "iloc") or hasattr(array, "shape")
        if not rows or getattr(array, "shape", True) == ():
            raise TypeError(
                f"split: argument {i} must hold rows (an array, a list or a frame), got "
                f"{type(array).__name__}."
            )
        counts.append(len(array))
    if len(set(counts)) > 1:
        raise ValueError(f"split: all must have the same number of rows, got {counts}.")
    return counts[0]


def _codes(stratify: Any, n: int) -> Array:
    """The class of each row as a number, by first appearance: texts and numbers are the same."""
    shape = getattr(stratify, "shape", None)
    if shape is None:
        shape = (len(listed("split: stratify", stratify)),)
    if shape != (n,):
        raise ValueError(
            f"split: stratify must hold one class for each of the {n} rows, shape ({n},); got "
            f"{show(shape)}."
        )
    values = stratify.tolist() if hasattr(stratify, "tolist") else list(stratify)
    values = [None if isinstance(v, float) and v != v else v for v in values]  # no NaN is another
    codes: dict[Any, int] = {}
    try:
        return np.array([codes.setdefault(value, len(codes)) for value in values], np.intp)
    except TypeError:
        raise TypeError(
            "split: stratify must hold numbers or texts, one for each row, got "
            f"{type(values[0]).__name__}s."
        ) from None


def _take(array: Any, rows: Array) -> Any:
    """Rows of an array, a list or a frame, by position."""
    if isinstance(array, (list, tuple)):
        return [array[i] for i in rows]
    return array.iloc[rows] if hasattr(array, "iloc") else array[rows]


def one_hot(labels: Any, num_classes: int | None = None, dtype: DTypeLike = "float32") -> Array:
    """Write class indices as rows with a single 1: y[..., c] is 1 where the label is c, else 0.

    `SoftmaxCrossEntropy` takes class indices as they are; this is for losses on each output, such
    as `MeanSquaredError`, and for categories among the inputs.

    Parameters
    ----------
    labels : array (N,) or (N, ...) of int
    num_classes : int, optional
        C; if not given, one more than the largest label.
    dtype : dtype of numbers

    Returns
    -------
    array (N, C) or (N, ..., C)

    Raises
    ------
    TypeError, ValueError
        For labels that are no integers or lie outside 0 to C - 1, for no labels without
        `num_classes`, and for a dtype that holds no numbers.

    Examples
    --------
    >>> from chainrule import one_hot
    >>> one_hot([0, 2, 1]).tolist()
    [[1.0, 0.0, 0.0], [0.0, 0.0, 1.0], [0.0, 1.0, 0.0]]
    >>> one_hot([1], num_classes=4, dtype=int)
    array([[0, 1, 0, 0]])
    """
    array = as_numbers("one_hot: labels", labels)
    if num_classes is not None:
        num_classes = check_count("one_hot", "num_classes", num_classes)
    elif not array.size:
        raise ValueError("one_hot: there are no labels; give num_classes.")
    if array.dtype.kind not in "iub" and array.size:  # an empty list is one of floats
        raise TypeError(
            f"one_hot: labels must be integers, got {array.dtype}; if they are whole numbers, "
            "write labels.astype(int)."
        )
    low, high = (int(array.min()), int(array.max())) if array.size else (0, 0)
    count = high + 1 if num_classes is None else num_classes
    if low < 0 or high >= count:
        top = "" if num_classes is None else f" to {count - 1}"
        raise ValueError(f"one_hot: labels must be from 0{top}, got {low} to {high}.")
    try:
        kind = np.dtype(dtype)
    except TypeError:
        kind = None
    if kind is None or kind.kind not in "fiub":
        raise TypeError(f"one_hot: dtype must be one of numbers, as float32, got {dtype!r}.")
    try:
        y = np.zeros((array.size, count), kind)
    except (MemoryError, ValueError):  # ValueError: more than NumPy can count
        raise ValueError(
            f"one_hot: {array.size} rows of {count} classes take more memory than there is."
        ) from None
    y[np.arange(array.size), array.ravel().astype(np.intp)] = 1
    return y.reshape(*array.shape, count)
