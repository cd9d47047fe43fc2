"""Layers made of layers: one after another, around a shortcut, or side by side. Each knows only how
the gradients of its parts add up; the engine does the rest."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from .. import backprop
from ..errors import check_choice, show
from ..layer import Layer, register_layer
from .embedding import Embedding

if TYPE_CHECKING:
    from .._types import Array, Shape

# Each level of nesting costs a few of Python's stack frames, of which there are a thousand.
MAX_DEPTH = 100


class Container(Layer):
    """What all layers made of layers share: `children`, and parameters nested by position."""

    def __init__(self, children: Sequence[Layer]) -> None:
        super().__init__()
        for child in children:
            check_layer(type(self).__name__, child)
        self.children = tuple(children)
        self.nesting_depth = 1 + max((child.nesting_depth for child in children), default=0)
        if self.nesting_depth > MAX_DEPTH:
            raise ValueError(
                f"{type(self).__name__}: containers are nested {self.nesting_depth} deep, at most "
                f"{MAX_DEPTH} levels work. (Sequential in Sequential does not count.)"
            )


@register_layer
class Sequential(Container):
    r"""Layers one after another, :math:`y = f_n(\ldots f_2(f_1(x)))`.

    The gradient goes back through them in the opposite order: :math:`\partial L/\partial x =
    \partial L/\partial y \cdot f_n' \cdots f_1'`. A `Sequential` inside a `Sequential` is taken
    apart, so that any depth of nesting is one flat chain.

    Parameters
    ----------
    *layers : Layer

    Raises
    ------
    TypeError
        For anything that is not a layer.

    Examples
    --------
    >>> from chainrule import Dense, ReLU, Sequential
    >>> Sequential(Sequential(Dense(2, 3), ReLU()), Dense(3, 1))
    Sequential(Dense(2, 3), ReLU(), Dense(3, 1))
    """

    def __init__(self, *layers: Layer) -> None:
        super().__init__(splice(layers))
        self.layers = self.children

    def forward(self, x: Array, training: bool = False) -> tuple[Array, list[Any]]:
        return backprop.forward(self.layers, x, training)

    def backward(
        self,
        dy: Array,
        cache: list[Any],
        out: Mapping[str, Any] | None = None,
        need_dx: bool = True,
    ) -> tuple[Array | None, dict[str, Any]]:
        return backprop.backward(self.layers, dy, cache, out, need_dx)

    def output_shape(self, input_shape: Shape) -> Shape:
        return chain_shape(self.layers, input_shape)

    @property
    def gives_probabilities(self) -> bool:  # type: ignore[override]
        return bool(self.layers) and last_computing(self.layers).gives_probabilities

    @property
    def takes_indices(self) -> bool:  # type: ignore[override]
        return begins_with_indices(self.layers)

    @property
    def keeps_indices(self) -> bool:  # type: ignore[override]
        return all(layer.keeps_indices for layer in self.layers)


@register_layer
class Residual(Container):
    r"""A chain of layers with a shortcut round it, :math:`y = x + f(x)`.

    :math:`\partial L/\partial x = g + g \cdot f'(x)` with :math:`g = \partial L/\partial y`: one
    part of the gradient reaches the input whatever f does, so that very deep networks learn.

    Parameters
    ----------
    *layers : Layer
        The chain f; its output has the shape of its input.

    Raises
    ------
    TypeError, ValueError
        For what is not a layer, and for a chain that changes the shape.

    Examples
    --------
    >>> import numpy as np
    >>> from chainrule import Residual, Tanh
    >>> y, cache = Residual(Tanh()).forward(np.zeros((1, 2)))
    >>> dx, _ = Residual(Tanh()).backward(np.ones((1, 2)), cache)
    >>> y.tolist(), dx.tolist()
    ([[0.0, 0.0]], [[2.0, 2.0]])

    References
    ----------
    K. He, X. Zhang, S. Ren, J. Sun, *Deep Residual Learning for Image Recognition*, CVPR 2016.
    """

    def __init__(self, *layers: Layer) -> None:
        super().__init__(splice(layers))
        self.layers = self.children
        if begins_with_indices(self.layers):
            raise ValueError(f"{self!r} would add indices to vectors; put the Embedding before it.")
        shape = self.output_shape((...,))
        try:
            chain_shape(self.layers, shape)  # y has x's shape, so the layers must take y too
        except ValueError as error:
            raise ValueError(
                f"{self!r} adds its input to the output of its layers, so both must have the same "
                f"shape; the output has {show(shape)}, but {error}"
            ) from None

    def forward(self, x: Array, training: bool = False) -> tuple[Array, list[Any]]:
        f, caches = backprop.forward(self.layers, x, training)
        if f.shape != x.shape:
            self._refuse(f.shape[1:], x.shape[1:])
        return x + f, caches

    def backward(
        self,
        dy: Array,
        cache: list[Any],
        out: Mapping[str, Any] | None = None,
        need_dx: bool = True,
    ) -> tuple[Array | None, dict[str, Any]]:
        df, grads = backprop.backward(self.layers, dy, cache, out, need_dx)
        return (None if df is None else dy + df), grads

    def output_shape(self, input_shape: Shape) -> Shape:
        shape = chain_shape(self.layers, input_shape)
        if not compatible(shape, input_shape):
            self._refuse(shape, input_shape)
        return input_shape if ... not in input_shape else shape

    def _refuse(self, shape: Shape, input_shape: Shape) -> None:
        raise ValueError(
            f"{self!r} adds its input of shape {show(input_shape)} to the output of its layers, "
            f"which must have the same shape but has {show(shape)}."
        )


@register_layer
class Parallel(Container):
    r"""Branches side by side on one input, added up or put next to each other.

    ``merge="add"``: :math:`y = \sum_i f_i(x)`; ``"concat"``: :math:`y = [f_1(x), f_2(x), \ldots]`
    on the last axis. Either way :math:`\partial L/\partial x = \sum_i g_i \cdot f_i'(x)`, where
    :math:`g_i` is :math:`\partial L/\partial y`, or its part for branch i.

    Parameters
    ----------
    *branches : Layer
    merge : "add" or "concat"

    Raises
    ------
    TypeError, ValueError
        For no branch, for what is not a layer, another merge, and shapes that do not go together.

    Examples
    --------
    >>> import numpy as np
    >>> from chainrule import Identity, Parallel, Tanh
    >>> layer = Parallel(Identity(), Tanh(), merge="concat")
    >>> y, cache = layer.forward(np.zeros((1, 2)))
    >>> y.shape
    (1, 4)

    References
    ----------
    C. Szegedy et al., *Going Deeper with Convolutions*, CVPR 2015.
    """

    def __init__(self, *branches: Layer, merge: str = "add") -> None:
        super().__init__(branches)
        if not branches:
            raise ValueError("Parallel: give at least one branch, as in Parallel(Dense(2, 3)).")
        check_choice("Parallel", "merge", merge, ("add", "concat"))
        self.branches = self.children
        self.merge = merge
        takes = [branch.takes_indices for branch in branches]
        if len(set(takes)) > 1:
            raise ValueError(
                f"{self!r}: branch {takes.index(True)} takes indices and branch "
                f"{takes.index(False)} takes numbers; all branches have one input."
            )

    def forward(self, x: Array, training: bool = False) -> tuple[Array, tuple[Sequence[Any], Any]]:
        ys, caches = zip(*(f.forward(x, training=training) for f in self.branches), strict=True)
        self._merged_shape([y.shape for y in ys])
        if self.merge == "concat":
            if ys[0].ndim == 1:
                self._merged_shape([()])  # refused: the only axis is the batch
            widths = np.cumsum([y.shape[-1] for y in ys[:-1]])  # where the parts of dy begin
            return np.concatenate(ys, axis=-1), (caches, widths)
        y = ys[0]
        for other in ys[1:]:
            y = y + other  # never in place: a branch may have given its input, or keep its output
        return y, (caches, None)

    def backward(
        self,
        dy: Array,
        cache: tuple[Sequence[Any], Any],
        out: Mapping[str, Any] | None = None,
        need_dx: bool = True,
    ) -> tuple[Array | None, dict[str, Any]]:
        caches, widths = cache
        dys = [dy] * len(caches) if widths is None else np.split(dy, widths, axis=-1)
        dx, grads = None, {}
        for i, branch in enumerate(self.branches):
            if not (need_dx or branch.learns):
                continue
            views = out.get(str(i)) if out else None
            d, g = backprop.backward_one(branch, dys[i], caches[i], views, need_dx)
            if g:
                grads[str(i)] = g
            if need_dx and d is not None:
                dx = d if dx is None else dx + d
        return dx, grads

    def output_shape(self, input_shape: Shape) -> Shape:
        return self._merged_shape([branch.output_shape(input_shape) for branch in self.branches])

    @property
    def gives_probabilities(self) -> bool:  # type: ignore[override]
        return any(branch.gives_probabilities for branch in self.branches)

    @property
    def takes_indices(self) -> bool:  # type: ignore[override]
        return self.branches[0].takes_indices

    def _merged_shape(self, shapes: Sequence[Shape]) -> Shape:
        first, concat = shapes[0], self.merge == "concat"
        if concat and () in shapes:
            raise ValueError(
                f"{self!r}: samples of shape () have no axis along which they can be put next to "
                "each other; Reshape(1) gives them one."
            )
        for i, shape in enumerate(shapes[1:], 1):
            one, other = (_leading(first), _leading(shape)) if concat else (first, shape)
            if not compatible(one, other):
                raise ValueError(
                    f"{self!r}: the shapes of branches 0 and {i} do not go together: "
                    f"{show(first)} and {show(shape)}."
                )
        if concat:
            sizes = [shape[-1] for shape in shapes]
            known = [size for size in sizes if isinstance(size, int)]
            last = sum(known) if len(known) == len(sizes) else None
            return (*_leading(first), last)
        return first


def _leading(shape: Shape) -> Shape:
    """A shape without its last axis; `...` still stands for any number of axes."""
    return shape if shape == (...,) else shape[:-1]


def splice(layers: Sequence[Any]) -> list[Layer]:
    """Take apart every plain Sequential among the layers."""
    flat: list[Layer] = []
    for layer in layers:
        flat += layer.layers if type(layer) is Sequential else [layer]
    return flat


def chain_shape(layers: Sequence[Layer], shape: Shape) -> Shape:
    """Shape behind a chain, or a `ValueError` that names the two layers that do not fit."""
    for i, layer in enumerate(layers):
        try:
            shape = layer.output_shape(shape)
        except ValueError as error:
            if i == 0:
                raise
            raise ValueError(
                f"Layers {i - 1} and {i} do not fit: {layers[i - 1]!r} gives outputs of shape "
                f"{show(shape)}, but {error}"
            ) from None
    return shape


def last_computing(layers: Sequence[Layer]) -> Layer:
    """The last layer that does more than pass values on; the very last if there is none."""
    return next((layer for layer in reversed(layers) if not layer.keeps_values), layers[-1])


def begins_with_indices(layers: Sequence[Layer]) -> bool:
    """Whether the input of a chain is indices; a layer of indices behind others is refused."""
    takes, still = False, True
    for i, layer in enumerate(layers):
        if layer.takes_indices:
            if not still:
                raise ValueError(
                    f"Layers {i - 1} and {i} do not fit: {layer!r} takes indices, so it must come "
                    f"first, or behind layers that only move numbers, not behind {layers[i - 1]!r}."
                )
            takes = True
        still = still and layer.keeps_indices
    return takes


def embeddings(layers: Sequence[Layer]) -> Iterator[Embedding]:
    """The tables that the whole input of these layers goes to, if it is indices."""
    for layer in layers:
        if isinstance(layer, Embedding):
            yield layer
        elif type(layer) in (Sequential, Parallel):
            yield from embeddings(layer.children)


def compatible(one: Shape, other: Shape) -> bool:
    """Whether two shapes can be equal, unknown sizes (None, ...) being anything."""
    if len(one) != len(other) and ... not in (*one, *other):
        return False
    for a, b in zip(reversed(one), reversed(other), strict=False):  # `...` stands first
        if a is ... or b is ...:
            return True
        if a is not None and b is not None and a != b:
            return False
    return True


def check_layer(owner: str, layer: Any) -> None:
    """Refuse what is not a layer, with the usual reasons."""
    if isinstance(layer, Layer):
        return
    if isinstance(layer, type) and issubclass(layer, Layer):
        raise TypeError(f"{owner}: got the class {layer.__name__}; write {layer.__name__}(...).")
    if isinstance(layer, (list, tuple)):
        raise TypeError(f"{owner}: got a {type(layer).__name__}; write {owner}(*layers).")
    raise TypeError(f"{owner}: every argument must be a layer such as Dense(2, 1), got {layer!r}.")
