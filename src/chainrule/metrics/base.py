"""What all metrics share: the call, the mean over rows, and a loss looked at as a metric. One of
your own derives from `Metric` and writes three methods."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import numpy as np

from ..errors import as_numbers
from ..losses.base import prepare_weight

if TYPE_CHECKING:
    from .._types import Array


class Metric:
    """Base class: `reset`, then `update` for each batch, then `result`.

    Attributes
    ----------
    name : str
        The metric's key in a history. It may be set, where two of a kind stand side by side.
    higher_is_better : bool or None
        What `EarlyStopping` goes by. None for a result that is an array: it stands in the history,
        but cannot be monitored, and progress does not show it.
    """

    name: str = ""
    higher_is_better: bool | None = True

    def reset(self) -> None:
        """Forget all batches."""
        raise NotImplementedError

    def update(self, prediction: Array, target: Array, sample_weight: Array | None = None) -> None:
        """Take in a batch."""
        raise NotImplementedError

    def result(self) -> Any:
        """Return the figure of all batches since `reset`, a float or an array; NaN without any."""
        raise NotImplementedError


class Mean(Metric):
    """A weighted mean over rows, of something that a derived class gives in `values`."""

    def __init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        self._total: float = 0
        self._weight: float = 0

    def update(self, prediction: Array, target: Array, sample_weight: Array | None = None) -> None:
        values = self.values(  # (N, ...)
            as_numbers(f"{self!r}: predictions", prediction),
            as_numbers(f"{self!r}: targets", target),
        )
        w = prepare_weight(sample_weight, values.shape[:1], np.float64)
        if w is None:
            self._total += int(np.count_nonzero(values))
            self._weight += values.size
        elif values.size:
            rows = np.count_nonzero(values.reshape(len(values), -1), axis=1)
            self._total += float(np.dot(rows, w))
            self._weight += float(w.sum()) * (values.size // len(values))

    def result(self) -> float:
        return self._total / self._weight if self._weight else float("nan")

    def values(self, prediction: Array, target: Array) -> Array:
        """For each row whether it is right, as booleans."""
        raise NotImplementedError

    def __repr__(self) -> str:
        return f"{type(self).__name__}()"


class LossMetric(Metric):
    """A loss looked at as a metric: its mean over all rows, with weights the weighted mean."""

    higher_is_better = False

    def __init__(self, loss: Any, name: str | None = None) -> None:
        self.loss = loss
        self.name = name or snake_case(getattr(loss, "__name__", type(loss).__name__))
        self.reset()

    def reset(self) -> None:
        self._total, self._weight = 0.0, 0.0

    def update(self, prediction: Array, target: Array, sample_weight: Array | None = None) -> None:
        if np.size(prediction) == np.size(target) == 0:  # a loss has no mean of no rows
            return
        value = float(self.loss(prediction, target, sample_weight)[0])  # sum of w l / entries
        entries = np.size(prediction)
        w = prepare_weight(sample_weight, (len(prediction),), np.float64)
        self._total += value * entries
        self._weight += entries if w is None else float(w.sum()) * (entries // len(w))

    def add(self, value: float, rows: int) -> None:
        """Take in the loss of a batch that was computed already, as `fit` means it: weights have no
        part in the number that it is divided by."""
        self._total += float(value) * rows
        self._weight += rows

    def result(self) -> float:
        return self._total / self._weight if self._weight else float("nan")


def as_metric(metric: Any) -> Metric:
    """Return a metric as it is and a loss as a metric; refuse anything else with the right call."""
    if isinstance(metric, Metric):
        name = metric.name
        if not isinstance(name, str) or name in ("", "epoch") or name.startswith("val_"):
            raise ValueError(
                f"metrics: {metric!r} has the name {name!r}; set its `name` to a text that is not "
                "empty, not 'epoch', and without 'val_' in front, which mean other things."
            )
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
