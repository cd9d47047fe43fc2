"""Which class was taken for which, and the figures that follow from it: precision, recall and their
harmonic mean. They are sums of counts, so batches of any sizes add up exactly."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from ..errors import as_numbers, check_number
from .base import Metric
from .targets import labels, position_weights, same_width

if TYPE_CHECKING:
    from .._types import Array

MAX_CLASSES = 10_000  # a table of 800 MB
AVERAGES = ("binary", "macro", "micro", None)


def count_pairs(
    owner: str, guess: Array, truth: Array, classes: int, weight: Array | None = None
) -> Array:
    """C[i, j]: how many rows of class i were taken for class j, or their summed weights."""
    if classes > MAX_CLASSES:
        raise ValueError(
            f"{owner}: {classes} classes are more than the {MAX_CLASSES} that it takes."
        )
    pairs = np.bincount(truth * classes + guess, weight, minlength=classes**2)
    return pairs.reshape(classes, classes).astype(np.float64 if weight is not None else np.int64)


class ConfusionMatrix(Metric):
    """How often each class was taken for each: C[i, j] rows of class i were predicted as j.

    Parameters
    ----------
    threshold : float
        For one output alone: class 1 is said above it. 0.0, because predictions are logits.

    Notes
    -----
    Predictions are (N, ..., C) with class indices or one-hot targets, or one output, (N,) or
    (N, ..., 1), with targets of 0 and 1. The result is an array (C, C) of int64, or of float64 with
    sample weights, which are summed. Before the first batch it is of shape (0, 0); a class that
    never occurs has a row of zeros. `inspection.confusion_matrix` counts class indices.

    Raises
    ------
    TypeError, ValueError
        For targets that do not fit, scores that are NaN, and more than 10,000 classes.

    Examples
    --------
    >>> from chainrule import ConfusionMatrix
    >>> matrix = ConfusionMatrix()
    >>> matrix.update([[0.1, 0.9], [0.8, 0.2]], [1, 1])
    >>> matrix.update([[0.7, 0.3]], [0])
    >>> matrix.result().tolist()
    [[1, 0], [1, 1]]
    """

    name = "confusion_matrix"
    higher_is_better = None

    def __init__(self, threshold: float = 0.0) -> None:
        self.threshold = check_number("ConfusionMatrix", "threshold", threshold)
        self.reset()

    def reset(self) -> None:
        self._counts: Array | None = None

    def update(self, prediction: Any, target: Any, sample_weight: Any = None) -> None:
        prediction = as_numbers("ConfusionMatrix: predictions", prediction)
        target = as_numbers("ConfusionMatrix: targets", target)
        guess, truth, classes = labels("ConfusionMatrix", prediction, target, self.threshold)
        same_width("ConfusionMatrix", None if self._counts is None else len(self._counts), classes)
        weight = position_weights(sample_weight, len(prediction), len(guess))
        if self._counts is None or 8 * len(guess) > classes**2:
            counts = count_pairs("ConfusionMatrix", guess, truth, classes, weight)  # (C, C)
            self._counts = counts if self._counts is None else self._counts + counts
        else:  # a table for each batch would be work for all C^2 pairs
            if weight is not None:
                self._counts = self._counts.astype(np.float64, copy=False)
            np.add.at(self._counts, (truth, guess), 1 if weight is None else weight)

    def result(self) -> Array:
        return np.zeros((0, 0), np.int64) if self._counts is None else self._counts.copy()

    def __repr__(self) -> str:
        return f"ConfusionMatrix(threshold={self.threshold!r})"


class ByClass(Metric):
    """A share for each class, and their average; a derived class gives it as a fraction.

    It counts, for each class, the rows that were said to be of it and are (`hit`), that were said
    to be of it (`said`), and that are of it (`so`).
    """

    def __init__(self, average: str | None = "binary", threshold: float = 0.0) -> None:
        kind = type(self).__name__
        if not (average is None or (isinstance(average, str) and average in AVERAGES)):
            raise ValueError(
                f'{kind}: average must be "binary", "macro", "micro" or None, got {average!r}.'
            )
        self.average = average
        self.threshold = check_number(kind, "threshold", threshold)
        short = kind.lower()
        named = {"binary": short, None: f"{short}_by_class"}
        self.name = named.get(average, f"{average}_{short}")
        self.higher_is_better = None if average is None else True
        self.reset()

    def reset(self) -> None:
        self._counts: Array | None = None  # (3, C): hit, said, so

    def update(self, prediction: Any, target: Any, sample_weight: Any = None) -> None:
        owner = type(self).__name__
        prediction = as_numbers(f"{owner}: predictions", prediction)
        target = as_numbers(f"{owner}: targets", target)
        guess, truth, classes = labels(owner, prediction, target, self.threshold)
        if self.average == "binary" and classes != 2:
            raise ValueError(
                f'{owner}: average="binary" is for one output or two classes, got {classes} '
                f'classes; write {owner}(average="macro"), or "micro", or None for each class.'
            )
        same_width(owner, None if self._counts is None else self._counts.shape[1], classes)
        weight = position_weights(sample_weight, len(prediction), len(guess))
        hit = guess == truth
        hits = np.bincount(guess[hit], None if weight is None else weight[hit], minlength=classes)
        said, so = (np.bincount(i, weight, minlength=classes) for i in (guess, truth))
        counts = np.stack([hits, said, so])
        self._counts = counts if self._counts is None else self._counts + counts

    def result(self) -> Any:
        """Return a float, or with `average=None` an array (C,)."""
        counts = np.zeros((3, 0)) if self._counts is None else self._counts
        if not counts[2].any():  # no rows
            return np.full(counts.shape[1], np.nan) if self.average is None else float("nan")
        if self.average == "micro":
            counts = counts.sum(axis=1, keepdims=True)
        part, whole = self.fraction(*counts)
        shares = np.divide(part, whole, out=np.zeros(len(whole)), where=whole > 0)
        if self.average is None:
            return shares
        if self.average == "macro":
            return float(shares[counts[1] + counts[2] > 0].mean())
        return float(shares[-1])  # of class 1, or of all

    def fraction(self, hit: Array, said: Array, so: Array) -> tuple[Array, Array]:
        """The share's two sides, for each class."""
        raise NotImplementedError

    def __repr__(self) -> str:
        options = f"average={self.average!r}, threshold={self.threshold!r}"
        return f"{type(self).__name__}({options})"


class Precision(ByClass):
    r"""Of the rows that were said to be of a class, the share that are: :math:`TP / (TP + FP)`.

    Parameters
    ----------
    average : "binary", "macro", "micro" or None
        "binary" is the share of class 1, for one output or two classes. "macro" is the mean over
        the classes that occur among targets or predictions; "micro" counts all classes together,
        which is the accuracy; None gives an array (C,), a share for each class.
    threshold : float
        For one output alone: class 1 is said above it. 0.0, because predictions are logits.

    Notes
    -----
    Predictions are (N, ..., C) with class indices or one-hot targets, or one output, (N,) or
    (N, ..., 1), with targets of 0 and 1. A class that is never predicted has precision 0, as in
    scikit-learn, without a warning; no rows give NaN. A row of weight 0 takes no part, so a class
    that only such rows have does not occur.

    Raises
    ------
    TypeError, ValueError
        For targets that do not fit, scores that are NaN, and "binary" with more classes than two.

    Examples
    --------
    >>> from chainrule import Precision
    >>> precision = Precision()
    >>> precision.update([2.0, 1.0, -1.0, 3.0], [1, 0, 1, 1])
    >>> round(precision.result(), 4)
    0.6667

    References
    ----------
    C. J. van Rijsbergen, *Information Retrieval*, 2nd edition, Butterworths 1979, chapter 7.
    """

    def fraction(self, hit: Array, said: Array, so: Array) -> tuple[Array, Array]:
        return hit, said


class Recall(ByClass):
    r"""Of the rows that are of a class, the share that were found: :math:`TP / (TP + FN)`.

    Parameters
    ----------
    average : "binary", "macro", "micro" or None
        As in `Precision`.
    threshold : float
        For one output alone: class 1 is said above it. 0.0, because predictions are logits.

    Notes
    -----
    Predictions and targets are those of `Precision`. A class that never occurs has recall 0, as in
    scikit-learn, without a warning; no rows give NaN.

    Raises
    ------
    TypeError, ValueError
        As in `Precision`.

    Examples
    --------
    >>> from chainrule import Recall
    >>> recall = Recall(average=None)
    >>> recall.update([[2, 0, 0], [0, 1, 0], [0, 0, 1], [0, 3, 1]], [0, 1, 2, 2])
    >>> recall.result().tolist()
    [1.0, 1.0, 0.5]

    References
    ----------
    C. J. van Rijsbergen, *Information Retrieval*, 2nd edition, Butterworths 1979, chapter 7.
    """

    def fraction(self, hit: Array, said: Array, so: Array) -> tuple[Array, Array]:
        return hit, so


class F1(ByClass):
    r"""The harmonic mean of precision and recall, :math:`2 TP / (2 TP + FP + FN)`.

    Parameters
    ----------
    average : "binary", "macro", "micro" or None
        As in `Precision`; "macro" is the mean of the classes' own figures.
    threshold : float
        For one output alone: class 1 is said above it. 0.0, because predictions are logits.

    Notes
    -----
    Predictions and targets are those of `Precision`. A class that is neither predicted nor there
    has 0, as in scikit-learn, without a warning; no rows give NaN.

    Raises
    ------
    TypeError, ValueError
        As in `Precision`.

    Examples
    --------
    >>> from chainrule import F1
    >>> f1 = F1(average="macro")
    >>> f1.update([[2, 0, 0], [0, 1, 0], [0, 0, 1], [0, 3, 1]], [0, 1, 2, 2])
    >>> round(f1.result(), 4)
    0.7778

    References
    ----------
    C. J. van Rijsbergen, *Information Retrieval*, 2nd edition, Butterworths 1979, chapter 7.
    """

    def fraction(self, hit: Array, said: Array, so: Array) -> tuple[Array, Array]:
        return 2 * hit, said + so
