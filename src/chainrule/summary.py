"""The table of a model: its layers, and what they cost in memory and multiply-adds. What a step
takes is measured on a few rows of zeros and extrapolated, so that it holds for own layers too."""

from __future__ import annotations

import copy
import math
import threading
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple, cast

import numpy as np

from . import backprop
from ._types import Text
from .border import check_loss, check_optimizer, formula_of
from .errors import check_count, show
from .layers.containers import Parallel, Residual, Sequential, chain_shape, embeddings
from .layers.dense import Dense
from .layers.embedding import Embedding
from .layers.normalization import Normalization
from .layers.reshape import Reshape
from .layers.standardizer import Standardizer
from .losses import MeanSquaredError
from .optimizers import Adam
from .optimizers.base import BLOCK
from .parameters import walk

if TYPE_CHECKING:
    from ._types import Array, Shape
    from .layer import Layer
    from .model import Model

ONE_AT_A_TIME = threading.Lock()  # there is one tracer of memory for all threads
SAMPLE = 4_000_000  # bytes that the smaller of two samples takes, where the batch is larger


class Costs(NamedTuple):
    """What was measured: multiply-adds of one row, and bytes at a batch size."""

    shapes: list[Shape]  # of the output of each layer of the chain
    forward: list[int]  # multiply-adds of each layer of the chain
    step: int  # multiply-adds forward and back
    kept: int  # the batch, the caches and the predictions
    peak: int  # the most at once in a step, with what is kept
    predicting: int  # the most at once in evaluation


def describe(model: Model, batch_size: Any, optimizer: Any, loss: Any, input_shape: Any) -> Text:
    """The summary of a model; `Model.summary` describes it."""
    size = check_count("summary", "batch_size", batch_size)
    optimizer = Adam() if optimizer is None else optimizer
    loss = MeanSquaredError() if loss is None else loss
    check_optimizer(model, optimizer)
    check_loss(model, loss)
    shape = _find_input_shape(model, input_shape)
    costs, why = None, "give input_shape, the shape of a row of x, as in input_shape=(784,)"
    if shape is not None:
        try:
            with ONE_AT_A_TIME:
                costs = Measurement(model, shape, loss, size).costs()
        except Exception as error:  # of an own layer or loss; the rest of the table stands
            why = f"a batch of shape {show((2, *shape))} fails with {type(error).__name__}: {error}"
    lines = [*_layers(model, costs), *_memory(model, costs, size, shape, optimizer)]
    return Text("\n".join(lines if costs else [*lines, f"?: {why}"]))


# ---- the tables -------------------------------------------------------------------------------


def _layers(model: Model, costs: Costs | None) -> list[str]:
    """Lines for the layers of the chain and their sums."""
    slots = model._flat.slots
    sizes: dict[str, int] = {}  # of the parameters, by position in the chain
    for name, slot in slots.items():
        position = name.split(".")[0]
        sizes[position] = sizes.get(position, 0) + slot.where.stop - slot.where.start
    shapes, shape = costs.shapes if costs else [], cast("Shape", (...,))
    seen: set[int] = set()
    rows = [("", "layer", "output", "parameters", "multiply-adds", "")]
    for i, layer in enumerate(model.layers):
        if not costs:
            shapes.append(shape := layer.output_shape(shape))
        note = "shared" if id(layer) in seen else "" if layer.trainable else "frozen"
        seen.update(id(inner) for _, inner in walk([layer]))
        counts = f"{sizes.get(str(i), 0):,}", f"{costs.forward[i]:,}" if costs else "?"
        rows.append((str(i), repr(layer), show(shapes[i]), *counts, note))
    learning = sum(s.where.stop - s.where.start for s in slots.values() if s.layer._trainable)
    forward, step = (f"{sum(costs.forward):,}", f"{costs.step:,}") if costs else "??"
    return [
        *_table(rows, right=(0, 3, 4)),
        f"{model.num_parameters:,} parameters, {learning:,} of them learn; {model.dtype.name}, "
        f"{model.parameters.nbytes / 1e6:,.2f} MB",
        f"{forward} multiply-adds for each row of a batch, {step} in a training step",
    ]


def _memory(
    model: Model, costs: Costs | None, size: int, shape: Shape | None, optimizer: Any
) -> list[str]:
    """Lines for the memory at a batch size."""
    parameters = model.parameters.nbytes
    buffers = sum(buffer.nbytes for buffer in model.buffers)
    gradients = parameters + _second_standings(model) * model.dtype.itemsize
    names = getattr(optimizer, "_state", None)
    state = None if names is None else len(names) * parameters
    scratch = 3 * min(BLOCK, model.num_parameters) * model.dtype.itemsize
    kept = temporaries = step = fit = predicting = None
    if costs:
        kept = costs.kept
        temporaries = costs.peak - kept + scratch + buffers  # a step copies the buffers
        predicting = 2 * parameters + buffers + costs.predicting  # gradients are there too
    if costs and state is not None:
        held = parameters + buffers + gradients + state
        step = held + scratch + buffers + costs.peak
        copies = parameters + buffers + state  # those that an epoch begins with
        order = size * np.dtype(np.intp).itemsize  # of shuffled rows, a batch at the least
        fit = copies + order + step
    rows = [
        ("parameters and buffers", parameters + buffers, ""),
        ("gradients", gradients, ""),
        ("optimizer state", state, type(optimizer).__name__),
        ("activations", kept, "the batch, what backward needs, predictions"),
        ("temporaries", temporaries, "the most at once beside these"),
        ("training step", step, "all of these together"),
        ("fit", fit, "a step, and copies of what an epoch began with"),
        ("prediction", predicting, "instead of a step"),
    ]
    of_shape = "" if shape is None else f" of shape {show(shape)}"
    head = ("memory", "MB", f"in batches of {size:,} rows{of_shape}")
    return _table(
        [head, *((name, "?" if n is None else f"{n / 1e6:,.2f}", note) for name, n, note in rows)],
        right=(1,),
    )


def _table(rows: Sequence[tuple[str, ...]], right: tuple[int, ...]) -> list[str]:
    """Lines with the cells of each column below each other."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return [
        "  ".join(
            f"{cell:>{w}}" if k in right else f"{cell:<{w}}"
            for k, (cell, w) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in rows
    ]


def _second_standings(model: Model) -> int:
    """How many numbers the gradients of layers take that stand in a second place."""
    seen: set[int] = set()
    count = 0
    for _, layer in walk(model.layers):
        if id(layer) in seen and layer._trainable:
            count += sum(math.prod(shape) for shape in layer.parameter_shapes.values())
        seen.add(id(layer))
    return count


# ---- the shape of a row -----------------------------------------------------------------------


def _find_input_shape(model: Model, given: Any) -> tuple[int, ...] | None:
    """The shape that was given, else that of data seen, else what the first layer tells."""
    if given is None:
        seen: Any = next(reversed(model._shapes), None)
        return seen if seen is not None else _told(model.layers)
    if not isinstance(given, (tuple, list)):
        raise TypeError(f"summary: input_shape must be a tuple, as in (784,), got {given!r}.")
    shape = tuple(check_count("summary", "each size of input_shape", size) for size in given)
    try:
        chain_shape(model.layers, shape)
    except ValueError as error:
        raise ValueError(
            f"summary: input_shape {show(shape)}, without the batch axis, does not fit: {error}"
        ) from None
    return shape


def _told(layers: Sequence[Layer]) -> tuple[int, ...] | None:
    """The simplest shape that the layers tell of their input, if it fits them."""
    try:
        shape = _first_told(layers)
        if shape is not None:
            chain_shape(layers, shape)
        return shape
    except (ValueError, TypeError):  # an own layer may not know what to do with an unknown size
        return None


def _first_told(layers: Sequence[Layer]) -> tuple[int, ...] | None:
    """The shape that the first layer tells that has one, behind those that keep any shape."""
    for layer in layers:
        shape: tuple[int, ...] | None = None
        if isinstance(layer, Dense):
            shape = (layer.in_features,)
        elif isinstance(layer, Standardizer):
            shape = (layer.num_features,)
        elif isinstance(layer, Normalization):
            shape = layer.parameter_shapes["gamma"]
        elif isinstance(layer, Embedding):
            shape = ()
        elif isinstance(layer, Reshape) and -1 not in layer.shape:
            shape = (math.prod(layer.shape),)
        elif isinstance(layer, (Sequential, Residual)):
            shape = _first_told(layer.children)
        elif isinstance(layer, Parallel):
            told = (_first_told([branch]) for branch in layer.children)
            shape = next((one for one in told if one is not None), None)
        if shape is not None or layer.output_shape((None,)) != (None,):
            return shape
    return None


# ---- the measurement --------------------------------------------------------------------------


class Measurement:
    """A step on a few rows of zeros, on copies of the layers that share the parameters alone.

    NumPy reports its arrays to `tracemalloc`. The peak is read at each entry into a layer and each
    exit, forward and back. Between two readings memory is a line in the number of rows, so two
    samples give each line, and the largest of them at the batch size is the peak there.
    """

    def __init__(self, model: Model, shape: tuple[int, ...], loss: Any, size: int) -> None:
        import tracemalloc  # costs time to load and is seldom needed

        self.tracer = tracemalloc
        self.shape, self.dtype, self.size = shape, model.input_dtype, size
        self.loss, self.formula = loss, formula_of(loss)
        arrays = [slot.layer.__dict__[slot.key] for slot in model._flat.slots.values()]
        memo = {id(array): array for array in arrays}
        self.layers: tuple[Layer, ...] = copy.deepcopy(model.layers, memo)
        # Gradients are written, one over the other, where nobody reads them.
        self.waste = np.empty(max((array.size for array in arrays), default=0), model.dtype)
        self.views = self.gradient_views(self.layers)
        self.words = min((table.num_embeddings for table in embeddings(self.layers)), default=1)
        self.watch()

    def costs(self) -> Costs:
        """Measure, and say what it comes to at the batch size."""
        start, stop = self.tracer.start, self.tracer.stop
        others = self.tracer.is_tracing()
        if not others:
            start()
        try:
            peak = self.tracer.get_traced_memory()[1]
            with np.errstate(all="ignore"):
                kept, *peaks = self.at_size(self.step)
                products = self.shapes, self.forward, self.multiply_adds
                (predicting,) = self.at_size(self.predict)
        finally:
            if others:  # the peak that was there is the peak again
                np.empty(max(0, peak - self.tracer.get_traced_memory()[0]), np.uint8)
            else:
                stop()
        return Costs(*products, kept, max(peaks), predicting)

    def at_size(self, run: Callable[[int], list[int]]) -> list[int]:
        """Bytes at the batch size: measured there, or on the line through two smaller samples."""

        def measured(n: int) -> list[int]:
            run(n)  # this one fills what is cached, as vectors of ones
            return run(n)

        few = min(self.size, 2)
        n = max(2, int(SAMPLE * few / max(1, *measured(few))))
        if 2 * n >= self.size:
            return measured(self.size)
        pairs = zip(measured(n), measured(2 * n), strict=True)
        return [int(a + (b - a) * ((self.size - n) / n)) for a, b in pairs]

    def step(self, n: int) -> list[int]:
        """Bytes that n rows keep, and the peaks on the way."""
        x = self.begin(n)
        y, caches = backprop.forward(self.layers, x, training=True)
        self.read()
        kept = self.tracer.get_traced_memory()[0] - self.base
        target = self.target(y)
        self.tracer.reset_peak()
        _, dy = self.formula(y, target, None)
        self.read()
        backprop.backward(self.layers, dy, caches, self.views, need_dx=False)
        self.read()
        return [kept, *self.peaks]

    def predict(self, n: int) -> list[int]:
        """The peak of a prediction of n rows."""
        y = x = self.begin(n)
        for layer in self.layers:
            y, _ = layer.forward(y)
        self.read()
        del x  # not before: a caller keeps it
        return [max(self.peaks)]

    def begin(self, n: int) -> Array:
        """Forget what was read, and make a batch: zeros, or as many indices as are likely."""
        self.peaks: list[int] = []
        self.shapes: list[Shape] = []
        self.forward: list[int] = []
        self.multiply_adds = self.depth = self.inside = 0
        self.base = self.tracer.get_traced_memory()[0]
        self.tracer.reset_peak()
        if self.dtype.kind == "f":
            return np.zeros((n, *self.shape), self.dtype)
        different = max(1, self.words * n // self.size)  # so that this grows with n as the rest
        x = np.arange(n * math.prod(self.shape), dtype=self.dtype).reshape(n, *self.shape)
        return np.remainder(x, different, out=x)

    def read(self) -> None:
        """Write down the peak since the last reading."""
        self.peaks.append(self.tracer.get_traced_memory()[1] - self.base)
        self.tracer.reset_peak()

    def target(self, y: Array) -> Array:
        """Targets that the loss takes for these predictions."""
        prepare = getattr(self.loss, "prepare", lambda target, *_: target)
        try:
            target: Array = prepare(np.ones_like(y), y.shape, y.dtype)
            self.formula(y, target, None)
        except Exception:  # classes, then
            target = prepare(np.zeros(y.shape[:-1], np.intp), y.shape, y.dtype)
        return target

    def gradient_views(self, layers: Sequence[Layer]) -> dict[str, Any]:
        """Room for gradients, nested as the layers are, all in one place."""
        nested = {}
        for i, layer in enumerate(layers):
            views: dict[str, Any] = {
                name: self.waste[: math.prod(shape)].reshape(shape)
                for name, shape in (layer.parameter_shapes if layer._trainable else {}).items()
            }
            views |= self.gradient_views(layer.children)
            if views:
                nested[str(i)] = views
        return nested

    def watch(self) -> None:
        """Let every layer, those inside others too, tell when it is entered and left."""
        for layer in {id(layer): layer for _, layer in walk(self.layers)}.values():
            self.watch_layer(layer)

    def watch_layer(self, layer: Layer) -> None:
        """Wrap both formulas of a copy."""
        forward, backward = layer.forward, layer.backward
        products: list[int] = []  # multiply-adds of passes forward that have not come back

        def watched_forward(x: Array, training: bool = False) -> Any:
            self.read()
            self.depth += 1
            result = forward(x, training=training)
            self.depth -= 1
            self.read()
            count = int(layer.multiply_adds(x.shape[1:]))
            products.append(count)
            self.multiply_adds += count
            self.inside += count
            if not self.depth:  # a layer of the chain
                self.shapes.append(np.shape(result[0])[1:])
                self.forward.append(self.inside)
                self.inside = 0
            return result

        def watched_backward(dy: Array, cache: Any, out: Any = None, need_dx: bool = True) -> Any:
            self.read()
            result = backward(dy, cache, out=out, need_dx=need_dx)
            self.read()
            learns = bool(layer._trainable and layer.parameter_shapes)
            self.multiply_adds += products.pop() * (learns + need_dx)  # a product for each
            return result

        layer.__dict__.update(forward=watched_forward, backward=watched_backward)
