"""Layers that change shapes and not values. Their gradients are the same numbers, in the shape
that was before."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from ..layer import Layer, register_layer

if TYPE_CHECKING:
    from .._types import Array, Shape


@register_layer
class Flatten(Layer):
    """Flatten all axes but the batch: (n, a, b, ...) -> (n, a*b*...).

    Examples
    --------
    >>> import numpy as np
    >>> from chainrule import Flatten
    >>> y, shape = Flatten().forward(np.zeros((5, 28, 28)))
    >>> y.shape, shape
    ((5, 784), (5, 28, 28))
    """

    keeps_values = True

    def forward(self, x: Array, training: bool = False) -> tuple[Array, tuple[int, ...]]:
        return x.reshape(len(x), math.prod(x.shape[1:])), x.shape

    def backward(
        self,
        dy: Array,
        cache: tuple[int, ...],
        out: Mapping[str, Any] | None = None,
        need_dx: bool = True,
    ) -> tuple[Array, dict[str, Array]]:
        return dy.reshape(cache), {}

    def output_shape(self, input_shape: Shape) -> Shape:
        sizes = [size for size in input_shape if isinstance(size, int)]
        return (math.prod(sizes) if len(sizes) == len(input_shape) else None,)
