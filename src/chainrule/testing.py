"""Property tests for layers: strategies of hypothesis for inputs, and one check of the contract. A
user's own layer is tested in two lines; hypothesis is imported here and nowhere else."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from .errors import GradientError, as_numbers, show
from .gradcheck import gradcheck
from .layer import Layer
from .parameters import unique

try:
    from hypothesis import strategies as st
    from hypothesis.extra import numpy as hnp
except ImportError as error:  # pragma: no cover
    raise ImportError(
        'chainrule.testing needs hypothesis: pip install "chainrule[testing]"'
    ) from error

if TYPE_CHECKING:
    from numpy.typing import DTypeLike

    from ._types import Array

LAYOUTS = ("C", "F", "reversed", "strided", "read-only")


def in_layout(x: Array, layout: str) -> Array:
    """Return the same values in another layout of memory.

    Parameters
    ----------
    x : array
    layout : "C", "F", "reversed" (negative strides), "strided" (every second entry of a larger
        array) or "read-only"

    Examples
    --------
    >>> import numpy as np
    >>> from chainrule.testing import in_layout
    >>> in_layout(np.zeros((2, 3)), "reversed").strides
    (-24, -8)
    """
    if layout == "C":
        return np.array(x, order="C")
    if layout == "F":
        return np.array(x, order="F")
    every = (slice(None, None, -1),) * x.ndim
    if layout == "reversed":
        return np.array(x[every], order="C")[every]
    if layout == "strided":
        larger = np.zeros([2 * size for size in x.shape], x.dtype)
        part = larger[(slice(None, None, 2),) * x.ndim]
        part[...] = x
        return part
    if layout == "read-only":
        y = np.array(x)
        y.setflags(write=False)
        return y
    raise ValueError(f"in_layout: layout must be one of {LAYOUTS}, got {layout!r}.")


def shapes(
    *features: int, min_batch: int = 0, max_batch: int = 4, max_between: int = 0
) -> st.SearchStrategy[tuple[int, ...]]:
    """Shapes of inputs: a batch, up to `max_between` further axes, then the given features.

    Examples
    --------
    >>> from chainrule.testing import shapes
    >>> shapes(3, max_between=2)  # (0, 3), (4, 2, 3), (1, 1, 3, 3), ...
    builds(...)
    """
    batch = st.integers(min_batch, max_batch)
    between = st.lists(st.integers(1, 3), max_size=max_between)
    return st.builds(lambda n, axes: (n, *axes, *features), batch, between)


def inputs(
    *features: int,
    dtypes: Sequence[DTypeLike] = ("float32", "float64"),
    layouts: Sequence[str] = LAYOUTS,
    min_batch: int = 0,
    max_batch: int = 4,
    max_between: int = 0,
    bound: float = 3.0,
) -> st.SearchStrategy[Array]:
    """Input arrays of all kinds: batches of 0 to `max_batch`, dtypes, layouts of memory.

    Parameters
    ----------
    *features : int
        Sizes of the axes behind the batch.
    dtypes, layouts : sequence
        To choose from.
    min_batch, max_batch, max_between : int
        See `shapes`.
    bound : float
        Entries are from -bound to bound; those of integer dtypes, for layers of indices, from 0 to
        bound.

    Examples
    --------
    A test of an own layer, in two lines::

        @given(x=chainrule.testing.inputs(3))
        def test_scale(x):
            chainrule.testing.check_layer(Scale(3), x)

    See Also
    --------
    check_layer
    """
    shape = shapes(*features, min_batch=min_batch, max_batch=max_batch, max_between=max_between)
    numbers = st.floats(-bound, bound, width=32, allow_subnormal=False)

    def arrays(dtype: DTypeLike) -> st.SearchStrategy[Array]:
        elements = st.integers(0, int(bound)) if np.dtype(dtype).kind in "iu" else numbers
        return hnp.arrays(np.dtype(dtype), shape, elements=elements)

    values = st.sampled_from(dtypes).flatmap(arrays)
    return st.builds(in_layout, values, st.sampled_from(layouts))


def check_layer(layer: Layer, x: Any, **options: Any) -> None:
    """Check everything that the contract of a layer promises, on one input.

    Gradients against central differences, in training and in evaluation; inputs, outputs and
    cotangents unchanged; two forwards before two backwards in either order; evaluation between a
    forward and its backward; ``out=`` and ``need_dx=False``; the same result for any layout of
    memory; float32 in, float32 out; `output_shape`; an empty batch.

    Parameters
    ----------
    layer : Layer
        Left as it is.
    x : array
        An input, in any layout; an empty batch is checked as such.
    **options
        For `gradcheck`, as in ``atol=1e-4``.

    Raises
    ------
    GradientError
        An `AssertionError` that says what is broken.

    Examples
    --------
    >>> import numpy as np
    >>> from chainrule import Dense
    >>> from chainrule.testing import check_layer
    >>> check_layer(Dense(3, 2), np.ones((4, 3)))
    """
    if not isinstance(layer, Layer):
        raise TypeError(f"check_layer takes a layer, got {layer!r}.")
    if isinstance(x, tuple):
        raise TypeError("check_layer takes one array; for layers of several inputs use gradcheck.")
    try:
        _check_layer(layer, as_numbers("check_layer: x", x), options)
    except (TypeError, ValueError, AttributeError, LookupError) as error:
        raise GradientError(f"{layer!r} does not work: {error}") from error


def _check_layer(original: Layer, x: Array, options: dict[str, Any]) -> None:
    layer = original
    run = _Run(copy.deepcopy(layer))
    for training in (True, False):
        y, dx, grads = run(x, training)
        _check_types(run.layer, x, y, dx, grads)
        _check_shapes(run.layer, x, y, dx, grads)
        _check_orders(run, x, training)
        _check_arguments(run, x, training)
        contiguous = run(np.array(x, order="C"), training)
        _same("another layout of memory", (y, dx, grads), contiguous, exact=False)
        if len(x):
            gradcheck(original, x, training=training, **options)


class _Run:
    """One layer from one state: every call starts with the same generators and buffers."""

    def __init__(self, layer: Layer) -> None:
        self.layer = layer
        self.parts = list(unique([layer]).values())
        for part in self.parts:  # drawn now, so that the generators' states come after it
            for name in part.parameter_shapes:
                getattr(part, name)
        self.states = [part.rng.bit_generator.state for part in self.parts]
        self.buffers = [copy.deepcopy(part.own_buffers()) for part in self.parts]

    def reset(self) -> None:
        for part, state, buffers in zip(self.parts, self.states, self.buffers, strict=True):
            part.rng.bit_generator.state = state
            for name, value in buffers.items():
                part.buffers[name][...] = value

    def forward(self, x: Array, training: bool) -> tuple[Array, Any]:
        self.reset()
        return self.layer.forward(x, training=training)

    def __call__(self, x: Array, training: bool) -> tuple[Any, Any, Any]:
        before = x.copy()
        y, cache = self.forward(x, training)
        y_before, dy = y.copy(), cotangent(y)
        dx, grads = self.layer.backward(dy, cache)
        _same("x, which must not be changed", x, before)
        _same("y, which must not be changed", y, y_before)
        _same("dy, which must not be changed", dy, cotangent(y))
        return y, dx, grads


def cotangent(y: Array) -> Array:
    """Return dL/dy of y's shape and dtype, the same each time, with no two entries alike."""
    return np.random.default_rng(y.size).standard_normal(y.shape).astype(y.dtype)


def _leaves(tree: Any) -> list[Array]:
    if isinstance(tree, dict):
        return [leaf for part in tree.values() for leaf in _leaves(part)]
    if isinstance(tree, tuple):
        return [leaf for part in tree for leaf in _leaves(part)]
    return [] if tree is None else [tree]


def _same(what: str, one: Any, other: Any, exact: bool = True) -> None:
    pairs = list(zip(_leaves(one), _leaves(other), strict=True))
    for a, b in pairs:
        scale = float(np.abs(b).max(initial=0.0)) or 1.0
        bound = 0.0 if exact else 50 * float(np.finfo(a.dtype).eps) * scale
        if a.shape != b.shape or not np.allclose(a, b, rtol=0, atol=bound, equal_nan=True):
            raise GradientError(f"The result is not the same: {what}; {a} and {b}.")


def _check_types(layer: Layer, x: Array, y: Array, dx: Any, grads: Any) -> None:
    if x.dtype == np.float32:
        for name, array in [("y", y), ("dx", dx), *(("a gradient", g) for g in _leaves(grads))]:
            if array is not None and array.dtype != np.float32:
                raise GradientError(f"{layer!r}: float32 came in, but {name} is {array.dtype}.")


def _check_shapes(layer: Layer, x: Array, y: Array, dx: Any, grads: Any) -> None:
    if len(y) != len(x):
        raise GradientError(f"{layer!r}: {len(x)} rows came in and {len(y)} went out.")
    if dx is not None and dx.shape != x.shape:
        raise GradientError(f"{layer!r}: dx has shape {show(dx.shape)}, not {show(x.shape)}.")
    told = layer.output_shape(x.shape[1:])
    unknown = any(size is None or size is ... for size in told)
    if not unknown and told != y.shape[1:]:
        raise GradientError(
            f"{layer!r}: output_shape tells {show(told)}, the output has {show(y.shape[1:])}."
        )
    if not layer.children and layer.learns:
        shapes = {name: g.shape for name, g in grads.items()}
        if shapes != layer.parameter_shapes:
            raise GradientError(
                f"{layer!r}: backward gave gradients of shapes {shapes}, expected "
                f"{layer.parameter_shapes}."
            )


def _check_orders(run: _Run, x: Array, training: bool) -> None:
    """Two passes that cross each other, with an evaluation between them."""
    layer, other = run.layer, np.array(x[::-1])
    if x.dtype.kind == "f":
        other *= 0.5
    alone = run(x, training), run(other, training)
    for first, second in ((0, 1), (1, 0)):
        passes = [run.forward(x, training), run.forward(other, training)]
        layer.forward(x)
        results: dict[int, Any] = {}
        for i in (first, second):
            y, cache = passes[i]
            results[i] = (y, *layer.backward(cotangent(y), cache))
        for i in (0, 1):
            _same("two forwards, an evaluation, then two backwards", results[i], alone[i])


def _check_arguments(run: _Run, x: Array, training: bool) -> None:
    """``out=`` may be used or ignored, but must not change anything; need_dx=False likewise."""
    y, dx, grads = run(x, training)
    dy = cotangent(y)
    _, cache = run.forward(x, training)
    views = _like(grads)
    dx_out, grads_out = run.layer.backward(dy, cache, out=views)
    _same("backward with out=", (dx_out, grads_out), (dx, grads))
    _, grads_alone = run.layer.backward(dy, cache, need_dx=False)
    _same("backward with need_dx=False", grads_alone, grads)


def _like(grads: Any) -> Any:
    """Arrays of the gradients' shapes, full of NaN."""
    if isinstance(grads, dict):
        return {name: _like(part) for name, part in grads.items()}
    return np.full_like(grads, np.nan)
