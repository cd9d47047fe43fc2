"""Activations whose outputs are probabilities, or their logarithms. In front of a loss on logits
none of them is wanted: there the loss contains it, in one stable formula."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from .. import numerics
from ..errors import check_count
from ..layer import register_layer
from .activations import Activation

if TYPE_CHECKING:
    from .._types import Array, Shape


@register_layer
class Sigmoid(Activation):
    r"""Logistic sigmoid, :math:`y = 1 / (1 + e^{-x})`, :math:`dy/dx = y (1 - y)`.

    The derivative is exact to the digits of y: 0 in float32 from 17 on.

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

    def derivative(self, y: Array) -> Array:
        d = 1 - y
        d *= y
        return d


@register_layer
class LogSigmoid(Activation):
    r"""Logarithm of the sigmoid, :math:`y = -\log(1 + e^{-x})`, :math:`dy/dx = \sigma(-x)`.

    Examples
    --------
    >>> import numpy as np
    >>> from chainrule import LogSigmoid
    >>> y, cache = LogSigmoid().forward(np.array([-1e4, 0.0, np.inf]))
    >>> dx, _ = LogSigmoid().backward(np.ones(3), cache)
    >>> y.round(6).tolist(), dx.tolist()
    ([-10000.0, -0.693147, -0.0], [1.0, 0.5, 0.0])

    References
    ----------
    I. Goodfellow, Y. Bengio, A. Courville, *Deep Learning*, MIT Press 2016, section 3.10.
    """

    def forward(self, x: Array, training: bool = False) -> tuple[Array, Array]:
        x = numerics.as_float(x)
        y = numerics.softplus(-x)
        return np.negative(y, out=y), x

    def derivative(self, x: Array) -> Array:
        return numerics.sigmoid(-x)


class AlongClasses(Activation):
    """An activation along one axis, that of the classes, which must not be the batch.

    Parameters
    ----------
    axis : int
        The axis of the classes; not 0, the batch.
    """

    def __init__(self, axis: int = -1) -> None:
        super().__init__()
        name = type(self).__name__
        self.axis = check_count(name, "axis", axis, low=-64)
        if axis == 0:
            raise ValueError(f"{name}: axis 0 is the batch; choose the axis of the classes.")

    def output_shape(self, input_shape: Shape) -> Shape:
        if not input_shape:
            raise ValueError(f"{self!r} needs an axis of classes behind the batch.")
        if ... not in input_shape:
            self.check_axis(1 + len(input_shape))
        return input_shape

    def check_axis(self, ndim: int) -> None:
        """Refuse inputs that have no such axis, or whose batch it would be."""
        if self.axis != -1 and not (0 < self.axis < ndim or -ndim < self.axis < 0):
            raise ValueError(
                f"{self!r} cannot act on inputs of {ndim} axes: axis 0 is the batch, the last is "
                f"{ndim - 1}."
            )


@register_layer
class Softmax(AlongClasses):
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
        For an axis that is not an integer, or is the batch; by `forward` for inputs without it.

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

    def forward(self, x: Array, training: bool = False) -> tuple[Array, Array]:
        self.check_axis(x.ndim)
        y = numerics.softmax(x, axis=self.axis)
        return y, y

    def backward(
        self, dy: Array, cache: Array, out: Mapping[str, Any] | None = None, need_dx: bool = True
    ) -> tuple[Array, dict[str, Array]]:
        y = cache
        dx = dy * y
        np.subtract(dy, numerics.sum_along(dx, self.axis), out=dx)
        dx *= y
        return dx, {}


@register_layer
class LogSoftmax(AlongClasses):
    r"""Logarithm of the softmax, :math:`y_i = x_i - \log \sum_j e^{x_j}`.

    With :math:`g = \partial L/\partial y`: :math:`\partial L/\partial x_i = g_i - e^{y_i} \sum_j
    g_j`. `NegativeLogLikelihood` and `KLDivergence` take such outputs.

    Parameters
    ----------
    axis : int
        The axis of the classes; not 0, the batch.

    Raises
    ------
    TypeError, ValueError
        For an axis that is not an integer, or is the batch; by `forward` for inputs without it.

    Examples
    --------
    >>> import numpy as np
    >>> from chainrule import LogSoftmax
    >>> y, cache = LogSoftmax().forward(np.array([[0.0, 0.0], [1e4, -1e4]]))
    >>> y.round(4).tolist()
    [[-0.6931, -0.6931], [0.0, -20000.0]]

    References
    ----------
    The derivation is in docs/derivations/softmax.md.
    """

    def forward(self, x: Array, training: bool = False) -> tuple[Array, Array]:
        self.check_axis(x.ndim)
        y = numerics.log_softmax(x, axis=self.axis)
        return y, y

    def backward(
        self, dy: Array, cache: Array, out: Mapping[str, Any] | None = None, need_dx: bool = True
    ) -> tuple[Array, dict[str, Array]]:
        y = cache
        dx = np.exp(y)
        dx *= numerics.sum_along(dy, self.axis)
        return np.subtract(dy, dx, out=dx), {}
