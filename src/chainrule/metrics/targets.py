"""What predictions and targets must be before anything is counted: one border for all metrics, so
that each refuses the same things in the same words."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from ..errors import show
from ..losses.base import prepare_weight

if TYPE_CHECKING:
    from .._types import Array


def check_scores(owner: str, prediction: Array) -> None:
    """Refuse predictions that are of no class."""
    if prediction.dtype.kind == "f" and np.isnan(prediction).any():
        raise ValueError(
            f"{owner}: predictions hold NaN, which is on no side and of no class; look for values "
            "in the inputs or the weights that are not finite."
        )


def has_classes(prediction: Array) -> bool:
    """Whether the last axis holds a score for each of several classes."""
    return prediction.ndim >= 2 and prediction.shape[-1] >= 2


def class_targets(owner: str, prediction: Array, target: Array) -> Array:
    """Class indices (N, ...) beside predictions (N, ..., C), from indices or one-hot targets."""
    shape = prediction.shape
    if not has_classes(prediction):
        raise ValueError(
            f"{owner}: predictions must be (N, ..., classes) with two classes or more, got "
            f"{show(shape)}; for one output use BinaryAccuracy()."
        )
    check_scores(owner, prediction)
    if target.shape == shape:
        if target.size and not 0 <= target.min() <= target.max() <= 1:
            raise ValueError(f"{owner}: one-hot targets must be from 0 to 1.")
        sums = target.sum(axis=-1)
        if not np.all(abs(sums - 1) < 1e-3):
            wrong = sums[abs(sums - 1) >= 1e-3][0]
            raise ValueError(
                f"{owner}: one-hot targets must sum to 1 in each row, got {wrong:g}; for several "
                "yes-or-no outputs use BinaryAccuracy()."
            )
        return target.argmax(axis=-1)
    if target.shape != shape[:-1]:
        raise ValueError(
            f"{owner}: for predictions of shape {show(shape)} the target must be class "
            f"indices of shape {show(shape[:-1])} or one-hot of shape {show(shape)}, got "
            f"{show(target.shape)}."
        )
    if target.dtype.kind not in "iub":
        raise TypeError(f"{owner}: class indices must be integers, got {target.dtype}.")
    if target.size and not 0 <= target.min() <= target.max() < shape[-1]:
        raise ValueError(
            f"{owner}: class indices must be from 0 to {shape[-1] - 1}, got "
            f"{target.min()} to {target.max()}."
        )
    return target


def yes_or_no(owner: str, prediction: Array, target: Array) -> Array:
    """Targets of 0 and 1 as booleans, of the predictions' shape."""
    shape = prediction.shape
    if target.shape != shape:
        same = target.size == math.prod(shape) and shape
        hint = f" The sizes agree: pass target.reshape{show(shape)}." if same else ""
        raise ValueError(
            f"{owner}: the target must have the predictions' shape {show(shape)}, got "
            f"{show(target.shape)}.{hint}"
        )
    if not shape:
        raise ValueError(f"{owner}: predictions must have rows, got one number.")
    check_scores(owner, prediction)
    right = (target == 0) | (target == 1)
    if not right.all():
        hint = ""
        if prediction.dtype.kind in "iu":
            hint = " For predictions that are class indices see inspection.confusion_matrix."
        raise ValueError(f"{owner}: targets must be 0 or 1, got {target[~right][0]:g}.{hint}")
    return target == 1


def labels(
    owner: str, prediction: Array, target: Array, threshold: float
) -> tuple[Array, Array, int]:
    """What was said and what is so, as class indices (n,) each, and the number of classes.

    Several outputs (N, ..., C) say the class of the largest; one output, (N,) or (N, ..., 1), says
    class 1 above the threshold and class 0 elsewhere.
    """
    if has_classes(prediction):
        truth = class_targets(owner, prediction, target)
        guess, classes = prediction.argmax(axis=-1), prediction.shape[-1]
    else:
        truth = yes_or_no(owner, prediction, target)
        guess, classes = prediction > threshold, 2
    return guess.ravel().astype(np.int64), truth.ravel().astype(np.int64), classes


def same_width(owner: str, before: int | None, now: int, what: str = "classes") -> int:
    """Refuse a batch with another number of classes, or outputs, than the batches before it."""
    if before not in (None, now):
        raise ValueError(
            f"{owner}: the batches before had {before} {what}, this one has {now}; call reset() "
            "before other data."
        )
    return now


def position_weights(sample_weight: Any, rows: int, n: int) -> Array | None:
    """Weights (n,) in float64: each row's for all its positions, such as those of a sequence."""
    weight = prepare_weight(sample_weight, (rows,), np.float64)
    return weight if weight is None or n == rows else np.repeat(weight, n // max(rows, 1))
