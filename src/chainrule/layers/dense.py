"""The dense layer, the lecture's `x @ W + b`. Nearly all of a network's time is spent in its three
matrix products, so each is one product of BLAS, written straight to where it belongs."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING

from ..errors import check_count, check_flag, show
from ..initializers import he_normal, zeros
from ..layer import Layer, register_layer
from ..numerics import product, sum_rows

if TYPE_CHECKING:
    from .._types import Array, Shape
    from ..initializers import Initializer


@register_layer
class Dense(Layer):
    r"""Dense (fully connected) layer, :math:`y = x W + b`.

    With :math:`g = \partial L / \partial y`:

    .. math::
        \partial L/\partial x = g W^T, \quad \partial L/\partial W = x^T g, \quad
        \partial L/\partial b = \sum_n g_n

    Acts on the last axis; any number of axes may stand before it, and the sums run over them all.
    `Linear` is the same class.

    Parameters
    ----------
    in_features, out_features : int
        Sizes of the last axis of x and of y.
    bias : bool
        Whether there is a b.
    init : function (rng, shape, dtype) -> array
        How W, of shape (in_features, out_features), is drawn; b starts at zero.

    Raises
    ------
    TypeError, ValueError
        For sizes that are not positive integers; by `forward` for a wrong last axis.

    Examples
    --------
    >>> import numpy as np
    >>> from chainrule import Dense
    >>> layer = Dense(2, 1)
    >>> layer.W, layer.b = [[3.0], [-2.0]], [1.0]
    >>> y, cache = layer.forward(np.array([[-1.0, 2.0]]))
    >>> y.tolist()
    [[-6.0]]
    >>> dx, grads = layer.backward(np.array([[1.0]]), cache)
    >>> dx.tolist(), grads["W"].tolist(), grads["b"].tolist()
    ([[3.0, -2.0]], [[-1.0], [2.0]], [1.0])

    References
    ----------
    I. Goodfellow, Y. Bengio, A. Courville, *Deep Learning*, MIT Press 2016, chapter 6; the
    derivation is in docs/derivations/dense.md.
    """

    W: Array
    b: Array

    def __init__(
        self,
        in_features: int,
        out_features: int,
        bias: bool = True,
        init: Initializer = he_normal,
    ) -> None:
        super().__init__()
        self.in_features = check_count("Dense", "in_features", in_features)
        self.out_features = check_count("Dense", "out_features", out_features)
        self.bias = check_flag("Dense", "bias", bias)
        self.init = init
        self.add_parameter("W", (in_features, out_features), init)
        if bias:
            self.add_parameter("b", (out_features,), zeros)

    def forward(self, x: Array, training: bool = False) -> tuple[Array, Array]:  # x (..., in)
        if x.ndim == 2 and x.shape[1] == self.in_features:
            y = x.dot(self.W)  # (n, out)
        else:
            self.output_shape(x.shape)  # raises for another last axis, with both shapes
            y = _matrix(x).dot(self.W)
        if self.bias:  # for one row: NumPy adds what has one shape without its broadcasting
            y += self.b if len(y) > 1 else self.b[None]
        return y if x.ndim == 2 else y.reshape(*x.shape[:-1], self.out_features), x

    def backward(
        self,
        dy: Array,  # (..., out)
        cache: Array,
        out: Mapping[str, Array] | None = None,
        need_dx: bool = True,
    ) -> tuple[Array | None, dict[str, Array]]:
        x, g = cache, dy  # (n, in), (n, out)
        if g.ndim != 2:
            x, g = _matrix(x), _matrix(g)
        out = out or {}
        grads = {}
        if self.trainable:
            grads["W"] = product(x.T, g, out.get("W"))
            if self.bias:
                grads["b"] = sum_rows(g, out.get("b"))
        if not need_dx:
            return None, grads
        dx = product(g, self.W.T)
        return dx if cache.ndim == 2 else dx.reshape(cache.shape), grads

    def output_shape(self, input_shape: Shape) -> Shape:
        if input_shape[-1:] not in ((self.in_features,), (None,), (...,)):
            raise ValueError(
                f"{self!r} expects inputs of shape (..., {self.in_features}), "
                f"got {show(input_shape)}."
            )
        before = (...,) if input_shape == (...,) else input_shape[:-1]
        return (*before, self.out_features)

    def multiply_adds(self, input_shape: tuple[int, ...]) -> int:
        return math.prod(input_shape) * self.out_features


Linear = Dense


def _matrix(x: Array) -> Array:
    """All axes but the last as one: (..., d) -> (n, d)."""
    return x.reshape(-1, x.shape[-1])
