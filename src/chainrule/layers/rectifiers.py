"""Rectifiers: they let what is positive through, and differ in what they do with the rest. Their
slope of one keeps the gradient's size however many layers it passes."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from .. import numerics
from ..errors import check_count, check_number, show
from ..initializers import constant
from ..layer import Layer, register_layer
from .activations import Activation

if TYPE_CHECKING:
    from .._types import Array, Shape


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
        y = numerics.positive(x)
        return y, y

    def derivative(self, y: Array) -> Array:
        return y > numerics.zeros((), y.dtype)


@register_layer
class LeakyReLU(Activation):
    r"""Leaky ReLU, :math:`y = \max(x, 0) + a \min(x, 0)`.

    :math:`dy/dx` is 1 for x > 0 and the negative slope a elsewhere, at the kink too.

    Parameters
    ----------
    negative_slope : float
        a, any number.

    Raises
    ------
    TypeError, ValueError
        For a slope that is no finite number.

    Examples
    --------
    >>> import numpy as np
    >>> from chainrule import LeakyReLU
    >>> y, cache = LeakyReLU(0.1).forward(np.array([-2.0, 0.0, 2.0]))
    >>> dx, _ = LeakyReLU(0.1).backward(np.ones(3), cache)
    >>> y.tolist(), dx.tolist()
    ([-0.2, 0.0, 2.0], [0.1, 0.1, 1.0])

    References
    ----------
    A. Maas, A. Hannun, A. Ng, *Rectifier Nonlinearities Improve Neural Network Acoustic Models*,
    ICML workshop 2013.
    """

    def __init__(self, negative_slope: float = 0.01) -> None:
        super().__init__()
        self.negative_slope = check_number("LeakyReLU", "negative_slope", negative_slope)

    def forward(self, x: Array, training: bool = False) -> tuple[Array, Array]:
        a = self.negative_slope
        if a == 0:  # 0 times -inf would be NaN, and the limit is 0
            return numerics.positive(x), x
        y = a * x
        return (np.maximum if a < 1 else np.minimum)(x, y, out=y), x  # the upper or lower line

    def derivative(self, x: Array) -> Array:
        return _derivative(x, self.negative_slope)


@register_layer
class PReLU(Layer):
    r"""Leaky ReLU whose slope is learned, :math:`y = \max(x, 0) + a \min(x, 0)`.

    With :math:`g = \partial L/\partial y`: :math:`\partial L/\partial x = g \, ([x > 0] + a \,
    [x \le 0])` and :math:`\partial L/\partial a = \sum g \min(x, 0)`, over all entries that share
    an a.

    Parameters
    ----------
    num_parameters : int
        1 for one a, or one for each channel; channels are axis 1 of x.
    init : float
        What a starts from.

    Raises
    ------
    TypeError, ValueError
        For a number of parameters below 1, and an init that is no number; by `forward` for another
        number of channels.

    Examples
    --------
    >>> import numpy as np
    >>> from chainrule import PReLU
    >>> layer = PReLU(2)
    >>> y, cache = layer.forward(np.array([[-4.0, 4.0], [-8.0, -4.0]]))
    >>> y.tolist()
    [[-1.0, 4.0], [-2.0, -1.0]]
    >>> dx, grads = layer.backward(np.ones((2, 2)), cache)
    >>> dx.tolist(), grads["a"].tolist()
    ([[0.25, 1.0], [0.25, 0.25]], [-12.0, -4.0])

    References
    ----------
    K. He, X. Zhang, S. Ren, J. Sun, *Delving Deep into Rectifiers*, ICCV 2015.
    """

    a: Array

    def __init__(self, num_parameters: int = 1, init: float = 0.25) -> None:
        super().__init__()
        self.num_parameters = check_count("PReLU", "num_parameters", num_parameters)
        self.init = check_number("PReLU", "init", init)
        self.add_parameter("a", (num_parameters,), constant(self.init))

    def forward(self, x: Array, training: bool = False) -> tuple[Array, Array]:  # x (n, C, ...)
        self.output_shape(x.shape[1:])  # raises for other channels
        y = self._slopes(x.ndim) * numerics.negative(x)
        y += numerics.positive(x)
        return y, x

    def backward(
        self, dy: Array, cache: Array, out: Mapping[str, Array] | None = None, need_dx: bool = True
    ) -> tuple[Array | None, dict[str, Array]]:
        x, grads = cache, {}
        if self.trainable:
            each = np.multiply(dy, numerics.negative(x), order="C")  # (n, C, ...)
            n, channels = len(x), self.num_parameters
            each = each.reshape(n, channels, math.prod(x.shape[1:]) // channels).sum(axis=2)
            grads["a"] = numerics.sum_rows(each, (out or {}).get("a"))
        if not need_dx:
            return None, grads
        dx = _derivative(x, self._slopes(x.ndim))
        dx *= dy
        return dx, grads

    def output_shape(self, input_shape: Shape) -> Shape:
        channels = self.num_parameters
        if channels > 1 and input_shape[:1] not in ((channels,), (None,), (...,)):
            raise ValueError(
                f"{self!r} expects inputs of shape ({channels}, ...), channels first behind the "
                f"batch, got {show(input_shape)}."
            )
        return input_shape

    def _slopes(self, ndim: int) -> Array:
        """Return a in the shape that multiplies x, (C, 1, ...)."""
        return self.a if self.num_parameters == 1 else self.a.reshape(-1, *[1] * (ndim - 2))


def _derivative(x: Array, a: Array | float) -> Array:
    """1 where x > 0, else a, exactly."""
    m = (x > 0).astype(x.dtype)
    d = 1.0 - m
    d *= a
    d += m
    return d


@register_layer
class ELU(Activation):
    r"""Exponential linear unit, :math:`y = \max(x, 0) + \alpha (e^{\min(x, 0)} - 1)`.

    :math:`dy/dx` is 1 for x > 0 and :math:`\alpha e^x` elsewhere.

    Parameters
    ----------
    alpha : float
        :math:`\alpha`, minus the value at :math:`-\infty`.

    Raises
    ------
    TypeError, ValueError
        For an alpha that is no finite number.

    Examples
    --------
    >>> import numpy as np
    >>> from chainrule import ELU
    >>> y, cache = ELU().forward(np.array([-np.inf, -np.log(2), 0.0, 3.0]))
    >>> dx, _ = ELU().backward(np.ones(4), cache)
    >>> y.round(9).tolist(), dx.round(9).tolist()
    ([-1.0, -0.5, 0.0, 3.0], [0.0, 0.5, 1.0, 1.0])

    References
    ----------
    D.-A. Clevert, T. Unterthiner, S. Hochreiter, *Fast and Accurate Deep Network Learning by
    Exponential Linear Units (ELUs)*, ICLR 2016.
    """

    def __init__(self, alpha: float = 1.0) -> None:
        super().__init__()
        self.alpha = check_number("ELU", "alpha", alpha)

    def forward(self, x: Array, training: bool = False) -> tuple[Array, Array]:
        x = numerics.as_float(x)
        y = np.expm1(numerics.negative(x))
        y *= self.alpha
        y += numerics.positive(x)
        return y, x

    def derivative(self, x: Array) -> Array:
        d = np.exp(numerics.negative(x))  # 1 for x > 0
        if self.alpha != 1:
            d *= _derivative(x, self.alpha)
        return d


@register_layer
class SELU(ELU):
    r"""Scaled ELU, :math:`y = \lambda (\max(x, 0) + \alpha (e^{\min(x, 0)} - 1))`.

    With :math:`\lambda = 1.0507\ldots` and :math:`\alpha = 1.6732\ldots` mean 0 and variance 1 are
    a stable fixed point from layer to layer. :math:`dy/dx` is :math:`\lambda` for x > 0 and
    :math:`\lambda \alpha e^x` elsewhere.

    Examples
    --------
    >>> import numpy as np
    >>> from chainrule import SELU
    >>> y, cache = SELU().forward(np.array([-np.inf, 0.0, 1.0]))
    >>> y.round(4).tolist()
    [-1.7581, 0.0, 1.0507]

    References
    ----------
    G. Klambauer, T. Unterthiner, A. Mayr, S. Hochreiter, *Self-Normalizing Neural Networks*, NIPS
    2017; all digits of the two constants are in its appendix.
    """

    scale = 1.0507009873554804934193349852946

    def __init__(self) -> None:
        super().__init__(alpha=1.6732632423543772848170429916717)

    def forward(self, x: Array, training: bool = False) -> tuple[Array, Array]:
        y, cache = super().forward(x)
        with np.errstate(over="ignore"):
            y *= self.scale
        return y, cache

    def derivative(self, x: Array) -> Array:
        d = super().derivative(x)
        d *= self.scale
        return d


@register_layer
class Softplus(Activation):
    r"""Softplus, :math:`y = \log(1 + e^{\beta x}) / \beta`, a smooth ReLU; dy/dx = sigma(beta x).

    Where :math:`\beta x` is above the threshold it is the line y = x, with slope 1.

    Parameters
    ----------
    beta : float
        :math:`\beta > 0`; the larger, the nearer to ReLU.
    threshold : float
        0 or more.

    Raises
    ------
    TypeError, ValueError
        For options outside their ranges.

    Examples
    --------
    >>> import numpy as np
    >>> from chainrule import Softplus
    >>> y, cache = Softplus().forward(np.array([-np.inf, 0.0, 1e4]))
    >>> dx, _ = Softplus().backward(np.ones(3), cache)
    >>> y.round(6).tolist(), dx.tolist()
    ([0.0, 0.693147, 10000.0], [0.0, 0.5, 1.0])

    References
    ----------
    C. Dugas, Y. Bengio, F. Bélisle, C. Nadeau, R. Garcia, *Incorporating Second-Order Functional
    Knowledge for Better Option Pricing*, NIPS 2000.
    """

    def __init__(self, beta: float = 1.0, threshold: float = 20.0) -> None:
        super().__init__()
        self.beta = check_number("Softplus", "beta", beta, low=0, open_low=True)
        self.threshold = check_number("Softplus", "threshold", threshold, low=0)

    def forward(self, x: Array, training: bool = False) -> tuple[Array, Array]:
        z = self._scaled(x)
        y = np.log1p(np.exp(-np.abs(z)))
        y /= self.beta
        y *= z <= self.threshold
        y += numerics.positive(x)
        return y, x

    def derivative(self, x: Array) -> Array:
        z = self._scaled(x)
        d = numerics.sigmoid(z)
        return np.maximum(d, z > self.threshold, out=d)

    def _scaled(self, x: Array) -> Array:
        with np.errstate(over="ignore"):  # infinity will do
            return self.beta * x
