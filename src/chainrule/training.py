"""Training: the algorithm of the lecture. Take a batch, predict, measure the loss, send the
gradient back, make a step; again and again, with the figures of every epoch written down."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from . import backprop
from .callbacks import Callback, TerminateOnNaN, check_callbacks, looks_at_batches
from .data import batches, split_rows
from .errors import (
    DivergenceError,
    as_numbers,
    cast,
    check_count,
    check_flag,
    check_number,
    listed,
    show,
)
from .losses.base import Loss, prepare_weight
from .metrics import LossMetric, Metric, as_metric

if TYPE_CHECKING:
    from ._types import Array
    from .model import Model
    from .optimizers import Optimizer


class History(dict[str, list[Any]]):
    """The figures of a training run: a list for each name, a number for each epoch.

    Of a metric whose result is an array, such as `ConfusionMatrix`, it holds an array for each.

    Attributes
    ----------
    epochs : list of int
        The number of each epoch, counted from 0.
    """

    def __init__(self) -> None:
        super().__init__()
        self.epochs: list[int] = []

    def add(self, epoch: int, figures: Mapping[str, Any]) -> None:
        """Write down an epoch."""
        self.epochs.append(epoch)
        for name, value in figures.items():
            self.setdefault(name, []).append(value)


def train_step(
    model: Model,
    loss: Callable[..., tuple[float, Array]],
    optimizer: Optimizer,
    x: Array,
    y: Array,
    weight: Array | None = None,
) -> tuple[float, Array]:
    """One step on checked arrays: predict, measure, send the gradient back, update.

    Returns the loss and the predictions before the update. A loss or gradient that is not finite
    raises `DivergenceError`. A step that is not made, for whatever reason, changes nothing.
    """
    buffers = [(buffer, buffer.copy()) for buffer in model.buffers]
    try:
        prediction, caches = backprop.forward(model.layers, x, training=True)
        value, dy = loss(prediction, y, weight)
        if not math.isfinite(value):
            raise DivergenceError(f"the loss is {value}; {_blame_forward(model, x, y)}")
        model.pull(dy, caches, need_dx=False)
        g = model.gradients
        if not math.isfinite(np.dot(g, g)) and not np.isfinite(g).all():  # not the sum alone
            raise DivergenceError(f"the gradient is not finite; {_blame_backward(model)}")
        optimizer.step(model.parameters, g, model.spans)
        return value, prediction
    except BaseException:
        for buffer, before in buffers:  # those of a norm had taken in the batch
            buffer[...] = before
        raise


def fit(
    model: Model,
    x: Any,
    y: Any,
    *,
    loss: Any,
    optimizer: Any,
    epochs: int,
    batch_size: int | None,
    validation_data: Any,
    validation_split: float,
    metrics: Iterable[Any],
    callbacks: Iterable[Callback],
    shuffle: bool,
    sample_weight: Any,
    initial_epoch: int,
    verbose: Any,
) -> History:
    """Train a model; `Model.fit` describes it."""
    check_optimizer(model, optimizer)
    epochs = check_count("fit", "epochs", epochs, low=0)
    initial_epoch = check_count("fit", "initial_epoch", initial_epoch, low=0)
    shuffle = check_flag("fit", "shuffle", shuffle)
    size = check_batch_size("fit", batch_size)
    x, y, weight = check_data("fit", model, loss, x, y, sample_weight)
    metrics = check_metrics(model, metrics, x, y)
    validation, rows = None, None
    split = check_number("fit", "validation_split", validation_split, low=0, high=1, open_high=True)
    if validation_data is not None:
        if split:
            raise ValueError("fit: give validation_data or validation_split, not both.")
        if not isinstance(validation_data, (tuple, list)) or len(validation_data) not in (2, 3):
            raise TypeError("fit: validation_data must be (x, y) or (x, y, sample_weight).")
        validation = check_data("fit: validation_data", model, loss, *validation_data)
    elif split:
        seed = [model.split_seed, len(x)]
        rows, held_back = split_rows("validation_split", len(x), split, seed)
        w = None if weight is None else weight[held_back]
        validation = (x[held_back], y[held_back], w)
    callbacks = check_callbacks(callbacks, verbose)

    monitors = {"loss": False}
    monitors |= {m.name: m.higher_is_better for m in metrics if m.higher_is_better is not None}
    if validation is not None:
        monitors |= {f"val_{name}": higher for name, higher in monitors.items()}
    n = len(x) if rows is None else len(rows)
    steps = -(-n // (size or n))
    by_batch = [callback for callback in callbacks if looks_at_batches(callback)]
    model.stop_training = False
    for callback in callbacks:
        callback.model, callback.optimizer = model, optimizer
        callback.params = {"epochs": epochs, "steps": steps, "monitors": monitors}
    for callback in callbacks:
        callback.on_train_begin()
    model.history = history = History()
    with contextlib.ExitStack() as stack:  # each on_train_end is called, whatever the others do
        for callback in reversed(callbacks):
            stack.callback(callback.on_train_end)
        for epoch in range(initial_epoch, epochs):
            last_good = model.state_dict(), _state_of(optimizer)
            for callback in callbacks:
                callback.on_epoch_begin(epoch)
            order = batches(len(x), size, model.shuffle_rng if shuffle else None, rows)
            try:
                figures = _train_epoch(
                    model, loss, optimizer, (x, y, weight), order, metrics, by_batch
                )
            except DivergenceError as error:
                model.load_state_dict(last_good[0])
                if last_good[1] is not None:
                    optimizer.load_state_dict(last_good[1])
                message = (
                    f"Training stopped in epoch {epoch + 1}, {error} The weights are those before "
                    "this epoch, or the best where EarlyStopping keeps them, and so is the state "
                    f"of {optimizer!r}. Look for values in the data that are not finite or not "
                    "scaled, and try a smaller learning rate."
                )
                quiet = [c for c in callbacks if isinstance(c, TerminateOnNaN)]
                if not quiet:
                    raise DivergenceError(message) from None
                for callback in quiet:
                    callback.end_training(epoch, message)
                break
            if validation is not None:
                after = evaluate_arrays(model, loss, metrics, *validation)
                figures |= {f"val_{name}": value for name, value in after.items()}
            history.add(epoch, figures)
            for callback in callbacks:
                callback.on_epoch_end(epoch, figures)
            if model.stop_training:
                break
    return history


def _state_of(optimizer: Any) -> Any:
    """A copy of an optimizer's state; None for a user's own that has none to give."""
    return optimizer.state_dict() if hasattr(optimizer, "load_state_dict") else None


def _train_epoch(
    model: Model,
    loss: Any,
    optimizer: Optimizer,
    data: tuple[Array, Array, Array | None],
    order: Iterable[Any],
    metrics: Sequence[Metric],
    callbacks: Sequence[Callback],
) -> dict[str, Any]:
    """Make a step for each batch; return the means over the epoch."""
    x, y, weight = data
    formula = formula_of(loss)
    mean_loss = LossMetric(loss, "loss")
    for metric in metrics:
        metric.reset()
    with np.errstate(all="ignore"):  # what overflows is found by train_step, and told once
        for step, rows in enumerate(order):
            for callback in callbacks:
                callback.on_train_batch_begin(step)
            w = None if weight is None else weight[rows]
            t = y[rows]
            try:
                value, p = train_step(model, formula, optimizer, model.convert(x[rows]), t, w)
            except DivergenceError as error:
                raise DivergenceError(f"step {step + 1}: {error}") from None
            mean_loss.add(value, len(p))
            for metric in metrics:
                metric.update(p, t, w)
            for callback in callbacks:
                callback.on_train_batch_end(step, {"loss": value})
            if model.stop_training:
                break
        arrays = [model.parameters, *model.named_buffers().values()]
        if not all(np.isfinite(array).all() for array in arrays):  # the last step may overflow
            raise DivergenceError(f"step {step + 1}: {_blame_state(model)}")
    return {metric.name: metric.result() for metric in (mean_loss, *metrics)}


def evaluate_arrays(
    model: Model,
    loss: Any,
    metrics: Sequence[Metric],
    x: Array,
    y: Array,
    weight: Array | None,
    batch_size: int | None = 1024,
) -> dict[str, Any]:
    """Loss and metrics in evaluation mode, on checked arrays, batch by batch."""
    formula = formula_of(loss)
    mean_loss = LossMetric(loss, "loss")
    for metric in metrics:
        metric.reset()
    with np.errstate(all="ignore"):
        for rows in batches(len(x), batch_size):
            prediction = model(x[rows])
            w = None if weight is None else weight[rows]
            mean_loss.add(formula(prediction, y[rows], w)[0], len(prediction))
            for metric in metrics:
                metric.update(prediction, y[rows], w)
    return {metric.name: metric.result() for metric in (mean_loss, *metrics)}


# ---- the border: what comes in is checked here, before anything is changed -----------------------


def check_data(
    owner: str, model: Model, loss: Any, x: Any, y: Any, sample_weight: Any = None
) -> tuple[Array, Array, Array | None]:
    """Check inputs, targets and weights against the model and the loss."""
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
        model.check_indices(x)
    if isinstance(loss, Loss):
        y = loss.prepare(y, shape, model.dtype)
    elif y.dtype.kind == "f":
        y = cast(f"{owner}: y", y, model.dtype)
    weight = prepare_weight(sample_weight, (len(x),), model.dtype)
    if not isinstance(loss, Loss):  # a user's own shows on one row whether it can be called
        with np.errstate(all="ignore"):
            formula_of(loss)(model(x[:1]), y[:1], None if weight is None else weight[:1])
    return x, y, weight


def check_loss(model: Model, loss: Any) -> None:
    """Refuse names and classes, and a loss on logits after a softmax or sigmoid."""
    if isinstance(loss, (str, type)) or not callable(loss):
        name = loss.__name__ if isinstance(loss, type) else "SoftmaxCrossEntropy"
        raise TypeError(f"loss must be an instance, as in loss={name}(), got {loss!r}.")
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


def check_metrics(model: Model, metrics: Any, x: Array, y: Array) -> list[Metric]:
    """Return the metrics, after each has seen the targets once beside predictions of zero."""
    chosen = [as_metric(metric) for metric in listed("metrics", metrics)]
    names = [metric.name for metric in chosen]
    if len({"loss", *names}) != 1 + len(names):
        raise ValueError(f"metrics: each needs a name of its own, got {names} beside 'loss'.")
    zeros = np.broadcast_to(np.zeros((), model.dtype), model.prediction_shape(x))
    with np.errstate(all="ignore"):
        for metric in chosen:
            metric.reset()
            metric.update(zeros, y)
            metric.reset()
    return chosen


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


def _blame_forward(model: Model, x: Array, y: Array) -> str:
    """Name the first thing on the way forward that is not finite."""
    if not np.isfinite(x).all():
        return "the inputs hold values that are not finite."
    if y.dtype.kind == "f" and not np.isfinite(y).all():
        return "the targets hold values that are not finite."
    for i, output in enumerate(model.activations(x)):
        if not np.isfinite(output).all():
            return f"the first output that is not finite is that of layer {i}, {model.layers[i]!r}."
    return "all outputs are finite, so it is the loss itself that overflows."


def _blame_backward(model: Model) -> str:
    """Name the parameter nearest to the output whose gradient is not finite."""
    name, layer = _last_bad(model, model.named_gradients())
    return f"on the way back it is first that of {name}, in {layer!r}."


def _blame_state(model: Model) -> str:
    """Name a parameter or buffer that an update took beyond what its dtype holds."""
    name, layer = _last_bad(model, model.named_parameters() | model.named_buffers())
    return f"the update made {name}, in {layer!r}, larger than {model.dtype} can hold."


def _last_bad(model: Model, arrays: Mapping[str, Array]) -> tuple[str, Any]:
    names = [name for name, array in arrays.items() if not np.isfinite(array).all()]
    return names[-1], model.layers[int(names[-1].split(".")[0])]
