"""One step of training: predict, measure the loss, send the gradient back, update. What may stand
between gradient and update is here too: a penalty, clipping, and a bound for the weights."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from . import backprop
from .errors import DivergenceError, check_choice, check_number

if TYPE_CHECKING:
    from ._types import Array
    from .model import Model
    from .optimizers import Optimizer
    from .sources import Batch
    from .workers import Crew, Replica

    Spans: TypeAlias = list[tuple[slice, float | None]] | None


class StepRules:
    """What a step does beside the formulas: penalties, clipping, a bound for the weights.

    `Model.fit` describes the options. A new object does nothing of it.
    """

    def __init__(
        self,
        owner: str,
        *,
        l1: Any = 0.0,
        decay: Any = "all",
        max_norm: Any = None,
        clip_norm: Any = None,
        clip_value: Any = None,
    ) -> None:
        def limit(name: str, value: Any) -> float | None:
            return None if value is None else check_number(owner, name, value, low=0, open_low=True)

        self.l1 = check_number(owner, "l1", l1, low=0)
        check_choice(owner, "decay", decay, ("all", "weights"))
        self.decays_biases = decay == "all"
        self.max_norm = limit("max_norm", max_norm)
        self.clip_norm = limit("clip_norm", clip_norm)
        self.clip_value = limit("clip_value", clip_value)
        if clip_norm is not None and clip_value is not None:
            raise ValueError(f"{owner}: give clip_norm or clip_value, not both.")

    def spans(self, model: Model) -> Spans:
        """What the optimizer is told to update, and with which decay."""
        return model.spans if self.decays_biases else model.weight_spans

    def change(self, model: Model, g: Array) -> None:
        """Add the penalty's gradient to g, then clip it."""
        if self.l1:  # dL/dw + l1 sign(w), of the loss L + l1 sum |w|
            spans = self.spans(model)  # none at all where everything is frozen
            for where, decay in [(slice(None), None)] if spans is None else spans:
                if decay is None:
                    g[where] += np.sign(model.parameters[where]) * self.l1
        if self.clip_value is not None:
            np.clip(g, -self.clip_value, self.clip_value, out=g)
        if self.clip_norm is not None:
            norm = length(g)
            if norm > self.clip_norm:
                g *= self.clip_norm / norm

    def bound(self, model: Model) -> None:
        """Shorten the weights of each unit that became longer than `max_norm`."""
        if self.max_norm is not None:
            for _, W, axis in model.weights(frozen=False):
                norms = np.linalg.norm(W, axis=axis, keepdims=True)
                if not np.isfinite(norms).all():  # squares that float32 cannot hold
                    norms = np.linalg.norm(W.astype(np.float64), axis=axis, keepdims=True)
                if norms.size and norms.max() > self.max_norm:
                    W *= (self.max_norm / np.maximum(norms, self.max_norm)).astype(W.dtype)


def length(g: Array) -> float:
    """The Euclidean length of a vector, also where squares are beyond its dtype."""
    square = float(np.dot(g, g))
    if 1e-20 < square < math.inf:
        return math.sqrt(square)
    largest = float(np.abs(g).max(initial=0.0))
    return largest and largest * math.sqrt(np.square(g / largest, dtype=np.float64).sum())


def train_step(
    model: Model,
    loss: Callable[..., tuple[float, Array]],
    optimizer: Optimizer,
    batches: Iterable[Batch],
    rules: StepRules | None = None,
    see: Callable[[Array, Batch], None] | None = None,
    crew: Crew | None = None,
) -> tuple[float, int]:
    """One step on checked arrays: predict, measure, send the gradient back, update.

    Several batches make one step together: loss and gradient are the means over all their rows.
    Each is asked for when the one before is used up, and shown to `see` with its predictions. A
    crew takes each in shards. Returns the loss before the update, and the number of rows. A loss or
    gradient that is not finite raises `DivergenceError`. Whatever is raised before the update
    leaves parameters, buffers and optimizer as they were.
    """
    buffers = [(buffer, buffer.copy()) for buffer in model.buffers]
    g, mean = model.gradients, None
    value, n = 0.0, 0
    try:
        for batch in batches:
            if n and mean is None:
                mean = g.copy()  # a second batch writes over g
            with np.errstate(all="ignore"):  # what overflows is told once, below
                if crew is None:
                    part, prediction = differentiate(model, loss, batch)
                    square = float(np.dot(g, g))
                else:
                    part, prediction, square = crew.differentiate(loss, batch)
                if not math.isfinite(square) and not np.isfinite(g).all():  # not the sum
                    raise DivergenceError(f"the gradient is not finite; {_blame_backward(model)}")
                if see is not None:
                    see(prediction, batch)
            n += len(batch.x)
            share = len(batch.x) / n  # each batch's loss is a mean over its rows
            value += share * (part - value)
            if mean is not None:
                mean += share * (g - mean)
            del batch, prediction  # makes room for the next
        if mean is not None:
            g[...] = mean
        step = optimizer.step if crew is None else partial(crew.update, optimizer)
        with np.errstate(all="ignore"):
            if rules is None:
                step(model.parameters, g, model.spans)
            else:
                rules.change(model, g)
                decays = getattr(optimizer, "weight_decay", True)  # without, one span is faster
                spans = rules.spans(model) if decays else model.spans
                step(model.parameters, g, spans)
                rules.bound(model)
        return value, n
    except BaseException:
        for buffer, before in buffers:  # those of a norm had taken in the batch
            buffer[...] = before
        raise


def differentiate(
    model: Model | Replica,
    loss: Callable[..., tuple[float, Array]],
    batch: Batch,
    share: float = 1.0,
) -> tuple[float, Array]:
    """Loss and predictions of a batch; `model.gradients` becomes `share` times its gradient."""
    prediction, caches = backprop.forward(model.layers, batch.x, training=True)
    value, dy = loss(prediction, batch.y, batch.loss_weight)
    if not math.isfinite(value):
        blame = _blame_forward(model, batch.x, batch.y)
        raise DivergenceError(f"the loss is {value}; {blame}")
    model.pull(dy if share == 1 else dy * share, caches, need_dx=False)
    return value, prediction


def _blame_forward(model: Model | Replica, x: Array, y: Array) -> str:
    """Name the first thing on the way forward that is not finite."""
    if not np.isfinite(x).all():
        return "the inputs hold values that are not finite."
    if y.dtype.kind == "f" and not np.isfinite(y).all():
        return "the targets hold values that are not finite."
    for training in (True, False):  # another dropout may leave out what is not finite
        h = x
        for i, layer in enumerate(model.layers):
            h, _ = layer.forward(h, training=training)
            if not np.isfinite(h).all():
                return f"the first output that is not finite is that of layer {i}, {layer!r}."
    return "all outputs are finite, so it is the loss itself that overflows."


def _blame_backward(model: Model) -> str:
    """Name the parameter nearest to the output whose gradient is not finite."""
    name, layer = _last_bad(model, model.named_gradients())
    return f"on the way back it is first that of {name}, in {layer!r}."


def is_finite(model: Model) -> bool:
    """Whether all parameters and buffers are finite."""
    arrays = (model.parameters, *(buffer.ravel() for buffer in model.buffers))
    with np.errstate(all="ignore"):  # a sum of squares may overflow where no number has
        return all(math.isfinite(np.dot(a, a)) or bool(np.isfinite(a).all()) for a in arrays)


def blame_state(model: Model) -> str:
    """Name a parameter or buffer that an update took beyond what its dtype holds."""
    name, layer = _last_bad(model, model.named_parameters() | model.named_buffers())
    return f"the update made {name}, in {layer!r}, larger than {model.dtype} can hold."


def _last_bad(model: Model, arrays: Mapping[str, Array]) -> tuple[str, Any]:
    names = [name for name, array in arrays.items() if not np.isfinite(array).all()]
    return names[-1], model.layers[int(names[-1].split(".")[0])]
