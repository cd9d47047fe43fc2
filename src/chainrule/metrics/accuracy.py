"""The share of rows that are right: by the largest output, by the k largest, or by the side of a
threshold."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from ..errors import check_count, check_number
from .base import Mean
from .targets import class_targets, yes_or_no

if TYPE_CHECKING:
    from .._types import Array


class Accuracy(Mean):
    """Share of rows whose largest output is the target's class.

    Predictions are logits or probabilities (N, ..., C); targets are class indices or one-hot. Of
    equal outputs the first counts. No rows give NaN.

    Raises
    ------
    TypeError, ValueError
        For targets of another shape or kind, and predictions that are NaN; predictions of one
        column want `BinaryAccuracy`.

    Examples
    --------
    >>> from chainrule import Accuracy
    >>> accuracy = Accuracy()
    >>> accuracy.update([[0.1, 0.9], [0.8, 0.2]], [1, 1])
    >>> accuracy.update([[0.3, 0.7]], [1])
    >>> round(accuracy.result(), 4)
    0.6667
    """

    name = "accuracy"

    def values(self, prediction: Array, target: Array) -> Array:
        truth = class_targets("Accuracy", prediction, target)
        return prediction.argmax(axis=-1) == truth


class BinaryAccuracy(Mean):
    """Share of yes-or-no outputs on the right side of a threshold.

    Parameters
    ----------
    threshold : float
        0.0, because predictions are logits; 0.5 for probabilities.

    Raises
    ------
    TypeError, ValueError
        For targets of another shape than the predictions, or other than 0 and 1, and for
        predictions that are NaN.

    Examples
    --------
    >>> from chainrule import BinaryAccuracy
    >>> accuracy = BinaryAccuracy()
    >>> accuracy.update([[2.0], [-1.0], [0.5], [3.0]], [[1], [0], [0], [1]])
    >>> accuracy.result()
    0.75
    """

    name = "binary_accuracy"

    def __init__(self, threshold: float = 0.0) -> None:
        super().__init__()
        self.threshold = check_number("BinaryAccuracy", "threshold", threshold)

    def values(self, prediction: Array, target: Array) -> Array:
        truth = yes_or_no("BinaryAccuracy", prediction, target)
        return (prediction > self.threshold) == truth

    def __repr__(self) -> str:
        return f"BinaryAccuracy(threshold={self.threshold!r})"


class TopKAccuracy(Mean):
    """Share of rows whose target is among the k classes with the largest outputs.

    Predictions are logits or probabilities (N, ..., C); targets are class indices or one-hot. Of
    equal outputs the first counts, so that k = 1 is `Accuracy`. With C classes or fewer than k,
    every row is right. No rows give NaN.

    Parameters
    ----------
    k : int

    Raises
    ------
    TypeError, ValueError
        For targets of another shape or kind, and predictions that are NaN or of one column.

    Examples
    --------
    >>> from chainrule import TopKAccuracy
    >>> accuracy = TopKAccuracy(k=2)
    >>> accuracy.update([[0.1, 0.6, 0.3], [0.5, 0.2, 0.3]], [2, 1])
    >>> accuracy.result(), accuracy.name
    (0.5, 'top_2_accuracy')
    """

    def __init__(self, k: int = 5) -> None:
        super().__init__()
        self.k = check_count("TopKAccuracy", "k", k)
        self.name = f"top_{self.k}_accuracy"

    def values(self, prediction: Array, target: Array) -> Array:
        truth = class_targets("TopKAccuracy", prediction, target)[..., None].astype(np.int64)
        score = np.take_along_axis(prediction, truth, axis=-1)  # (N, ..., 1)
        before = np.arange(prediction.shape[-1]) < truth  # (N, ..., C)
        ahead = (prediction > score) | ((prediction == score) & before)
        return np.count_nonzero(ahead, axis=-1) < self.k

    def __repr__(self) -> str:
        return f"TopKAccuracy(k={self.k})"
