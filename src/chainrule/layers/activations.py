"""The nonlinearities: without one between them, dense layers collapse into a single linear map.
Each stands here with its derivative beside it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from .. import numerics
from ..errors import check_count
from ..layer import Layer, register_layer

if TYPE_CHECKING:
    from .._types import Array, Shape


class Activation(Layer):
    """A function without parameters that keeps the shape.

    The cache is the output y, which the next layer keeps as its input anyway: it costs no memory.
    """

    def output_shape(self, input_shape: Shape) -> Shape:
        return input_shape


@register_layer
class Identity(Activation):
    """Pass everything on unchanged: y = x, dL/dx = dL/dy. Useful as a branch of `Parallel`."""

    keeps_values = True

    def forward(self, x: Array, training: bool = False) -> tuple[Array, None]:
        return x, None

    def backward(
        self, dy: Array, cache: None, out: Mapping[str, Any] | None = None, need_dx: bool = True
    ) -> tuple[Array, dict[str, Array]]:
        return dy, {}


@register_layer
class ReLU(Activation):
    r"""Rectified linear unit, :math:`y = \max(x, 0)`, :math:`dy/dx = [x > 0]` (0 at the kink).

    NaN passes through.

    Examples
    --------
    >>> import numpy as np
    >>> from chainrule import ReLU
    >>> y, cache = ReLU().forward(np.array([-1.0, 0.0, 2.0]))
    >>> dx, _ = ReLU().backward(np.ones(3), cache)
    >>> y.tolist(), dx.tolist()
    ([0.0, 0.0, 2.0], [0.0, 0.0, 1.0])

    References
    ----------
    X. Glorot, A. Bordes, Y. Bengio, *Deep Sparse Rectifier Neural Networks*, AISTATS 2011.
    """

    def forward(self, x: Array, training: bool = False) -> tuple[Array, Array]:
        y = np.maximum(x, numerics.zeros(x.shape[-1:], x.dtype))
        return y, y

    def backward(
        self, dy: Array, cache: Array, out: Mapping[str, Any] | None = None, need_dx: bool = True
    ) -> tuple[Array, dict[str, Array]]:
        y = cache
        return dy * (y > numerics.zeros((), y.dtype)), {}


@register_layer
class Sigmoid(Activation):
    r"""Logistic sigmoid, :math:`y = 1 / (1 + e^{-x})`, :math:`dy/dx = y (1 - y)`.

    Examples
    --------
    >>> import numpy as np
    >>> from chainrule import Sigmoid
    >>> y, cache = Sigmoid().forward(np.array([0.0]))
    >>> dx, _ = Sigmoid().backward(np.ones(1), cache)
    >>> y.tolist(), dx.tolist()
    ([0.5], [0.25])

    See Also
    --------
    chainrule.sigmoid : the function alone, with its source.
    """

    gives_probabilities = True

    def forward(self, x: Array, training: bool = False) -> tuple[Array, Array]:
        y = numerics.sigmoid(x)
        return y, y

    def backward(
        self, dy: Array, cache: Array, out: Mapping[str, Any] | None = None, need_dx: bool = True
    ) -> tuple[Array, dict[str, Array]]:
        y = cache
        return dy * (y * (1 - y)), {}


@register_layer
class Tanh(Activation):
    r"""Hyperbolic tangent, :math:`y = \tanh x`, :math:`dy/dx = 1 - y^2`.

    Examples
    --------
    >>> import numpy as np
    >>> from chainrule import Tanh
    >>> y, cache = Tanh().forward(np.array([0.0, np.inf]))
    >>> dx, _ = Tanh().backward(np.ones(2), cache)
    >>> y.tolist(), dx.tolist()
    ([0.0, 1.0], [1.0, 0.0])

    References
    ----------
    Y. LeCun, L. Bottou, G. Orr, K.-R. Müller, *Efficient BackProp*, 1998, section 4.4.
    """

    def forward(self, x: Array, training: bool = False) -> tuple[Array, Array]:
        y = np.tanh(x)
        return y, y

    def backward(
        self, dy: Array, cache: Array, out: Mapping[str, Any] | None = None, need_dx: bool = True
    ) -> tuple[Array, dict[str, Array]]:
        y = cache
        return dy * (1 - y * y), {}


@register_layer
class Softmax(Activation):
    r"""Softmax, :math:`y_i = e^{x_i} / \sum_j e^{x_j}`: positive numbers that sum to one.

    With :math:`g = \partial L/\partial y`: :math:`\partial L/\partial x_i = y_i (g_i - \sum_j g_j
    y_j)`. To train a classifier leave it out and use `SoftmaxCrossEntropy`, which takes logits.

    Parameters
    ----------
    axis : int
        The axis of the classes; not 0, the batch.

    Raises
    ------
    TypeError, ValueError
        For an axis that is not an integer, or is the batch.

    Examples
    --------
    >>> import numpy as np
    >>> from chainrule import Softmax
    >>> y, cache = Softmax().forward(np.log([[1.0, 3.0]]))
    >>> y.round(4).tolist()
    [[0.25, 0.75]]

    References
    ----------
    The derivation is in docs/derivations/softmax.md.
    """

    gives_probabilities = True

    def __init__(self, axis: int = -1) -> None:
        super().__init__()
        self.axis = check_count("Softmax", "axis", axis, low=-64)
        if axis == 0:
            raise ValueError("Softmax: axis 0 is the batch; choose the axis of the classes.")

    def forward(self, x: Array, training: bool = False) -> tuple[Array, Array]:
        self._check_axis(x.ndim)
        y = numerics.softmax(x, axis=self.axis)
        return y, y

    def backward(
        self, dy: Array, cache: Array, out: Mapping[str, Any] | None = None, need_dx: bool = True
    ) -> tuple[Array, dict[str, Array]]:
        y = cache
        return y * (dy - (dy * y).sum(axis=self.axis, keepdims=True)), {}

    def output_shape(self, input_shape: Shape) -> Shape:
        if not input_shape:
            raise ValueError(f"{self!r} needs an axis of classes behind the batch.")
        if ... not in input_shape:
            self._check_axis(1 + len(input_shape))
        return input_shape

    def _check_axis(self, ndim: int) -> None:
        if self.axis != -1 and not (0 < self.axis < ndim or -ndim < self.axis < 0):
            raise ValueError(
                f"{self!r} cannot act on inputs of {ndim} axes: axis 0 is the batch, the last is "
                f"{ndim - 1}."
            )
