"""Layers that pass numbers on as they are, at most in another shape. Their gradients are the same
numbers, in the shape that was before."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from ..errors import check_count, show
from ..layer import Layer, register_layer

if TYPE_CHECKING:
    from .._types import Array, Shape

MAX_AXES = 63  # of NumPy's 64


class Passing(Layer):
    """What passes numbers on; a derived class tells the shape in `output_shape`."""

    keeps_values = True
    keeps_indices = True

    def forward(self, x: Array, training: bool = False) -> tuple[Array, tuple[int, ...]]:
        return x.reshape(len(x), *self.output_shape(x.shape[1:])), x.shape

    def backward(
        self,
        dy: Array,
        cache: tuple[int, ...],
        out: Mapping[str, Any] | None = None,
        need_dx: bool = True,
    ) -> tuple[Array, dict[str, Array]]:
        return dy.reshape(cache), {}


@register_layer
class Identity(Passing):
    """Pass everything on unchanged: y = x, dL/dx = dL/dy. Useful as a branch of `Parallel`."""

    def output_shape(self, input_shape: Shape) -> Shape:
        return input_shape


@register_layer
class Flatten(Passing):
    """Flatten all axes but the batch: (n, a, b, ...) -> (n, a*b*...).

    Examples
    --------
    >>> import numpy as np
    >>> from chainrule import Flatten
    >>> y, shape = Flatten().forward(np.zeros((5, 28, 28)))
    >>> y.shape, shape
    ((5, 784), (5, 28, 28))
    """

    def output_shape(self, input_shape: Shape) -> Shape:
        return (_size(input_shape),)


@register_layer
class Reshape(Passing):
    """Give each sample another shape: ``(n, ...) -> (n, *shape)``, in C order.

    Parameters
    ----------
    *shape : int
        Without the batch axis; one of the sizes may be -1, which is what is left over. Without any,
        samples of one number each become plain numbers, (n, 1) -> (n,).

    Raises
    ------
    TypeError, ValueError
        For sizes that are no positive integers, or a second -1; for samples of another size, as
        soon as that is known: when the model is built, or by `forward`.

    Examples
    --------
    >>> import numpy as np
    >>> from chainrule import Reshape
    >>> y, _ = Reshape(28, -1).forward(np.zeros((5, 784)))
    >>> y.shape
    (5, 28, 28)
    """

    def __init__(self, *shape: int) -> None:
        super().__init__()
        if len(shape) == 1 and isinstance(shape[0], (list, tuple)):
            sizes = ", ".join(map(str, shape[0]))
            raise TypeError(f"Reshape: write Reshape({sizes}), got {shape[0]!r}.")
        if len(shape) > MAX_AXES:
            raise ValueError(
                f"Reshape: an array has {MAX_AXES} axes at most, besides that of the batch; got "
                f"{len(shape)} sizes."
            )
        self.shape = tuple(check_count("Reshape", "each size", size, low=-1) for size in shape)
        if 0 in self.shape:
            raise ValueError("Reshape: sizes must be positive, or -1 for what is left over; got 0.")
        if self.shape.count(-1) > 1:
            raise ValueError(f"Reshape: only one of the sizes can be -1, got {self.shape}.")

    def output_shape(self, input_shape: Shape) -> Shape:
        size, known = _size(input_shape), math.prod(n for n in self.shape if n > 0)
        if size is not None and (size % known or (size != known and -1 not in self.shape)):
            raise ValueError(
                f"{self!r} cannot take samples of shape {show(input_shape)}, which hold {size} "
                f"numbers, not {'a multiple of ' if -1 in self.shape else ''}{known}."
            )
        return tuple(n if n > 0 else (size if size is None else size // known) for n in self.shape)


def _size(shape: Shape) -> int | None:
    """How many numbers a sample holds, None where that is not known."""
    sizes = [size for size in shape if isinstance(size, int)]
    return math.prod(sizes) if len(sizes) == len(shape) else None
