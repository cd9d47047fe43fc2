"""Metrics: what people want to know of a model besides its loss. Each is streaming and exact: it is
fed batch after batch, of any sizes, and gives the figure of all rows together."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import numpy as np

from .errors import as_numbers, check_number, show
from .losses.base import prepare_weight

if TYPE_CHECKING:
    from ._types import Array


class Metric:
    """Base class: `reset`, then `update` for each batch, then `result`.

    Attributes
    ----------
    name : str
        The metric's key in a history.
    higher_is_better : bool
        What `EarlyStopping` goes by.
    """

    name = ""
    higher_is_better = True

    def reset(self) -> None:
        """Forget all batches."""
        raise NotImplementedError

    def update(self, prediction: Array, target: Array, sample_weight: Array | None = None) -> None:
        """Take in a batch."""
        raise NotImplementedError

    def result(self) -> float:
        """Return the figure of all batches since `reset`; NaN if there was none."""
        raise NotImplementedError


class Mean(Metric):
    """A weighted mean over rows, of something that a derived class gives in `values`."""

    def __init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        self._total, self._weight = 0.0, 0.0

    def update(self, prediction: Array, target: Array, sample_weight: Array | None = None) -> None:
        values = self.values(  # (N, ...)
            as_numbers(f"{self!r}: predictions", prediction),
            as_numbers(f"{self!r}: targets", target),
        )
        if sample_weight is None:
            self._total += float(np.count_nonzero(values))
            self._weight += values.size
        else:
            w = prepare_weight(sample_weight, values.shape[:1], np.float64)
            rows = values.reshape(len(values), -1).mean(axis=1)
            self._total += float(np.dot(rows, w))  # type: ignore[arg-type]
            self._weight += float(w.sum())  # type: ignore[union-attr]

    def result(self) -> float:
        return self._total / self._weight if self._weight else float("nan")

    def values(self, prediction: Array, target: Array) -> Array:
        """For each row whether it is right, as booleans."""
        raise NotImplementedError

    def __repr__(self) -> str:
        return f"{type(self).__name__}()"


class Accuracy(Mean):
    """Share of rows whose largest output is the target's class.

    Predictions are logits or probabilities (N, ..., C); targets are class indices or one-hot.

    Raises
    ------
    TypeError, ValueError
        For targets of another shape or kind; predictions of one column want `BinaryAccuracy`.

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
        shape = prediction.shape
        if len(shape) < 2 or shape[-1] < 2:
            raise ValueError(
                f"Accuracy: predictions must be (N, ..., classes) with two classes or more, got "
                f"{show(shape)}; for one output use BinaryAccuracy()."
            )
        if target.shape == shape:
            if target.size and not 0 <= target.min() <= target.max() <= 1:
                raise ValueError("Accuracy: one-hot targets must be from 0 to 1.")
            target = target.argmax(axis=-1)
        elif target.shape != shape[:-1]:
            raise ValueError(
                f"Accuracy: for predictions of shape {show(shape)} the target must be class "
                f"indices of shape {show(shape[:-1])} or one-hot of shape {show(shape)}, got "
                f"{show(target.shape)}."
            )
        elif target.dtype.kind not in "iub":
            raise TypeError(f"Accuracy: class indices must be integers, got {target.dtype}.")
        elif target.size and not 0 <= target.min() <= target.max() < shape[-1]:
            raise ValueError(
                f"Accuracy: class indices must be from 0 to {shape[-1] - 1}, got "
                f"{target.min()} to {target.max()}."
            )
        return prediction.argmax(axis=-1) == target


class BinaryAccuracy(Mean):
    """Share of yes-or-no outputs on the right side of a threshold.

    Parameters
    ----------
    threshold : float
        0.0, because predictions are logits; 0.5 for probabilities.

    Raises
    ------
    TypeError, ValueError
        For targets of another shape than the predictions, or other than 0 and 1.

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
        if target.shape != prediction.shape:
            raise ValueError(
                f"BinaryAccuracy: the target must have the predictions' shape "
                f"{show(prediction.shape)}, got {show(target.shape)}."
            )
        if not np.isin(target, (0, 1)).all():
            wrong = target[~np.isin(target, (0, 1))][0]
            raise ValueError(f"BinaryAccuracy: targets must be 0 or 1, got {wrong:g}.")
        return (prediction > self.threshold) == (target == 1)


class LossMetric(Metric):
    """A loss looked at as a metric: its mean over all rows."""

    higher_is_better = False

    def __init__(self, loss: Any, name: str | None = None) -> None:
        self.loss = loss
        self.name = name or snake_case(getattr(loss, "__name__", type(loss).__name__))
        self.reset()

    def reset(self) -> None:
        self._total, self._rows = 0.0, 0

    def update(self, prediction: Array, target: Array, sample_weight: Array | None = None) -> None:
        self.add(self.loss(prediction, target, sample_weight)[0], len(prediction))

    def add(self, value: float, rows: int) -> None:
        """Take in the loss of a batch that was computed already."""
        self._total += float(value) * rows
        self._rows += rows

    def result(self) -> float:
        return self._total / self._rows if self._rows else float("nan")


def as_metric(metric: Any) -> Metric:
    """Return a metric as it is and a loss as a metric; refuse anything else with the right call."""
    if isinstance(metric, Metric):
        return metric
    if isinstance(metric, type):
        raise TypeError(f"metrics: got the class {metric.__name__}; write {metric.__name__}().")
    if callable(metric):
        return LossMetric(metric)
    raise TypeError(
        f"metrics: expected metrics or losses, as in metrics=[Accuracy()], got {metric!r}."
    )


def snake_case(name: str) -> str:
    """MeanSquaredError -> mean_squared_error."""
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name).lower()
