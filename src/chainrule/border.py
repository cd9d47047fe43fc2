"""The border of training: what comes in is checked here, before anything is changed. Behind it
there are arrays of the right shape, and losses, metrics and optimizers that can be called."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from .data import chunks
from .errors import as_numbers, cast, check_count, listed, show
from .losses.base import Loss, prepare_weight
from .metrics import Metric, as_metric

if TYPE_CHECKING:
    from ._types import Array
    from .model import Model


def check_data(
    owner: str, model: Model, loss: Any, x: Any, y: Any, sample_weight: Any = None
) -> tuple[Array, Array, Array | None]:
    """Check inputs, targets and weights against the model and the loss."""
    x, y, weight, shape = check_rows(owner, model, loss, x, y, sample_weight)
    return x, preparation(owner, loss, shape, model.dtype)(y), weight


def check_rows(
    owner: str, model: Model, loss: Any, x: Any, y: Any, sample_weight: Any
) -> tuple[Array, Array, Array | None, tuple[int, ...]]:
    """As `check_data`, with targets as they came, and the shape of the predictions."""
    check_loss(model, loss)
    x = as_numbers(f"{owner}: x", x)
    if x.ndim == 0 or len(x) == 0:
        raise ValueError(f"{owner}: x is empty, of shape {show(x.shape)}; expected rows of data.")
    y = as_numbers(f"{owner}: y", y)
    if y.ndim == 0 or len(y) != len(x):
        rows = "no rows" if y.ndim == 0 else f"{len(y)} rows"
        raise ValueError(f"{owner}: x has {len(x)} rows, but y has {rows}.")
    shape = model.prediction_shape(x)
    if x.dtype.kind == "f" and x.dtype.itemsize > model.dtype.itemsize and x.size:
        cast(f"{owner}: x", np.array([x.min(), x.max()]), model.dtype)
    if model.takes_indices:
        for part in chunks(x):  # as a whole they would be copied
            model.check_indices(x[part])
    weight = prepare_weight(sample_weight, (len(x),), model.dtype)
    return x, y, weight, shape


def preparation(
    owner: str, loss: Any, shape: tuple[int, ...], dtype: Any
) -> Callable[[Array], Array]:
    """What makes targets of any number of rows as the loss wants them, and checks them."""
    if isinstance(loss, Loss):
        return lambda y: loss.prepare(y, (len(y), *shape[1:]), dtype)
    return lambda y: cast(f"{owner}: y", y, dtype) if y.dtype.kind == "f" else y


def check_loss(model: Model, loss: Any) -> None:
    """Refuse names and classes, and a loss on logits after a softmax or sigmoid."""
    if isinstance(loss, (str, type)) or not callable(loss):
        name = loss.__name__ if isinstance(loss, type) else "SoftmaxCrossEntropy"
        raise TypeError(f"loss must be an instance, as in loss={name}(), got {loss!r}.")
    if not isinstance(loss, Loss) and not takes(loss, 3):
        raise TypeError(
            f"the loss {loss!r} must take (prediction, target, sample_weight), in this order; the "
            "last is None where there are no weights."
        )
    last = model.probability_layer
    if getattr(loss, "takes_logits", False) and last is not None:
        raise ValueError(
            f"{loss!r} takes logits, but the model ends with {last!r} and gives probabilities. "
            "Remove the Softmax or Sigmoid: the loss contains it; for probabilities "
            "apply chainrule.softmax or chainrule.sigmoid to the predictions."
        )
    if getattr(loss, "takes_log_probabilities", False) and last is not None:
        raise ValueError(
            f"{loss!r} takes logarithms of probabilities, but the model ends with {last!r} and "
            "gives probabilities. Put LogSoftmax() or LogSigmoid() in its place."
        )


def try_loss(model: Model, loss: Any, batches: Iterator[Any]) -> None:
    """Call a user's own loss on the first batch, which shows whether it can be called."""
    if not isinstance(loss, Loss):
        x, y, weight, _ = next(batches)
        with np.errstate(all="ignore"):
            formula_of(loss)(model(x), y, weight)


def takes(function: Any, n: int) -> bool:
    """Whether a call with n arguments fits; True where Python cannot tell."""
    try:
        inspect.signature(function).bind(*[None] * n)
    except TypeError:
        return False
    except ValueError:
        return True
    return True


def check_metrics(metrics: Any) -> list[Metric]:
    """Return the metrics, each with a name of its own."""
    chosen = [as_metric(metric) for metric in listed("metrics", metrics)]
    names = [metric.name for metric in chosen]
    if len({"loss", *names}) != 1 + len(names):
        raise ValueError(f"metrics: each needs a name of its own, got {names} beside 'loss'.")
    return chosen


def check_targets(model: Model, metrics: Sequence[Metric], x: Array, y: Array) -> None:
    """Let each metric see targets beside predictions of zero, and forget them."""
    zeros = np.broadcast_to(np.zeros((), model.dtype), model.prediction_shape(x))
    with np.errstate(all="ignore"):
        for metric in metrics:
            metric.reset()
            metric.update(zeros, y)
            metric.reset()


def check_optimizer(model: Model, optimizer: Any) -> None:
    """Refuse names and classes, and an optimizer whose state is for another model."""
    if isinstance(optimizer, (str, type)) or not callable(getattr(optimizer, "step", None)):
        name = optimizer.__name__ if isinstance(optimizer, type) else "Adam"
        raise TypeError(
            f"optimizer must be an instance, as in optimizer={name}(lr=0.001), got {optimizer!r}."
        )
    if hasattr(optimizer, "check"):
        optimizer.check(model.parameters, model.gradients)
        optimizer.rate()


def check_batch_size(owner: str, batch_size: Any) -> int | None:
    """None for all rows, or a positive integer."""
    return None if batch_size is None else check_count(owner, "batch_size", batch_size)


def formula_of(loss: Any) -> Callable[..., tuple[float, Array]]:
    """The loss to call on arrays that were checked; of a user's own, the results are checked."""
    if isinstance(loss, Loss):
        return loss.formula

    def formula(prediction: Array, target: Array, weight: Array | None) -> tuple[float, Array]:
        result = loss(prediction, target, weight)
        try:
            value, d = result
            if np.ndim(value) != 0:
                raise TypeError
            value, d = float(value), np.asarray(d)
        except (TypeError, ValueError):
            raise TypeError(
                f"the loss {loss!r} must return (value, gradient), a number and an array."
            ) from None
        if d.shape != prediction.shape:
            raise ValueError(
                f"the loss {loss!r} gave a gradient of shape {show(d.shape)}, expected the "
                f"predictions' shape {show(prediction.shape)}."
            )
        return value, d.astype(prediction.dtype, copy=False)

    return formula
