"""The nonlinearities: without one between them, dense layers collapse into a single linear map.
Here stands what all of them share, and those that squash every number into an interval."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from ..errors import check_number
from ..layer import Layer, register_layer

if TYPE_CHECKING:
    from .._types import Array, Shape


class Activation(Layer):
    r"""A function of each number, :math:`y = f(x)`, so that :math:`dL/dx = dL/dy \cdot f'(x)`.

    A derived class writes `forward` and `derivative`. The cache is whichever of x and y gives the
    derivative best; the layers around keep most of these arrays anyway. Formulas go on in the array
    that they began with (``y += ...``): with few arrays alive at once, memory that is in the cache
    is used again, which is up to six times as fast for large ones.
    """

    def derivative(self, cache: Any) -> Array:
        """dy/dx as a new array, from what `forward` kept."""
        raise NotImplementedError

    def backward(
        self, dy: Array, cache: Any, out: Mapping[str, Any] | None = None, need_dx: bool = True
    ) -> tuple[Array, dict[str, Array]]:
        d = self.derivative(cache)
        if d.dtype != dy.dtype or d is cache:  # a mask, or nothing to write to
            return dy * d, {}
        d *= dy
        return d, {}

    def output_shape(self, input_shape: Shape) -> Shape:
        return input_shape


@register_layer
class Tanh(Activation):
    r"""Hyperbolic tangent, :math:`y = \tanh x`, :math:`dy/dx = 1 - y^2`.

    The derivative is exact to the digits of y: 0 in float32 from 9 on.

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

    def derivative(self, y: Array) -> Array:
        d = y * y
        return np.subtract(1, d, out=d)


@register_layer
class Softsign(Activation):
    r"""Softsign, :math:`y = x / (1 + |x|)`, :math:`dy/dx = 1 / (1 + |x|)^2`.

    Examples
    --------
    >>> import numpy as np
    >>> from chainrule import Softsign
    >>> y, cache = Softsign().forward(np.array([-3.0, 1.0, np.inf]))
    >>> dx, _ = Softsign().backward(np.ones(3), cache)
    >>> y.tolist(), dx.tolist()
    ([-0.75, 0.5, 1.0], [0.0625, 0.25, 0.0])

    References
    ----------
    X. Glorot, Y. Bengio, *Understanding the difficulty of training deep feedforward neural
    networks*, AISTATS 2010.
    """

    def forward(self, x: Array, training: bool = False) -> tuple[Array, Array]:
        y = x.clip(-1e30, 1e30)  # where y is ±1; inf / inf would be NaN
        d = np.abs(y)
        d += 1
        y /= d
        return y, x

    def derivative(self, x: Array) -> Array:
        d = np.abs(x)
        d += 1
        np.divide(1, d, out=d)
        d *= d
        return d


@register_layer
class HardTanh(Activation):
    r"""Clipping, :math:`y = \min(\max(x, a), b)`, :math:`dy/dx = [a < x < b]` (0 at both kinks).

    Parameters
    ----------
    min_val, max_val : float
        a and b, with a < b.

    Raises
    ------
    TypeError, ValueError
        For what is not a number, and for a >= b.

    Examples
    --------
    >>> import numpy as np
    >>> from chainrule import HardTanh
    >>> y, cache = HardTanh().forward(np.array([-3.0, 0.5, 1.0]))
    >>> dx, _ = HardTanh().backward(np.ones(3), cache)
    >>> y.tolist(), dx.tolist()
    ([-1.0, 0.5, 1.0], [0.0, 1.0, 0.0])

    References
    ----------
    R. Collobert, *Large Scale Machine Learning*, thesis, Université Paris 6, 2004.
    """

    def __init__(self, min_val: float = -1.0, max_val: float = 1.0) -> None:
        super().__init__()
        self.min_val = check_number("HardTanh", "min_val", min_val)
        self.max_val = check_number("HardTanh", "max_val", max_val)
        if not self.min_val < self.max_val:
            raise ValueError(
                f"HardTanh: min_val must be below max_val, got {min_val!r} and {max_val!r}."
            )

    def forward(self, x: Array, training: bool = False) -> tuple[Array, Array]:
        y = x.clip(self.min_val, self.max_val)
        return y, y

    def derivative(self, y: Array) -> Array:
        return (y > self.min_val) & (y < self.max_val)


@register_layer
class HardSigmoid(Activation):
    r"""A sigmoid of three lines, :math:`y = \min(\max(x + 3, 0), 6) / 6`.

    :math:`dy/dx = [-3 < x < 3] / 6` (0 at both kinks).

    Examples
    --------
    >>> import numpy as np
    >>> from chainrule import HardSigmoid
    >>> y, cache = HardSigmoid().forward(np.array([-3.0, 0.0, 1.5, 4.0]))
    >>> dx, _ = HardSigmoid().backward(np.ones(4), cache)
    >>> y.tolist(), dx.round(4).tolist()
    ([0.0, 0.5, 0.75, 1.0], [0.0, 0.1667, 0.1667, 0.0])

    References
    ----------
    M. Courbariaux, Y. Bengio, J.-P. David, *BinaryConnect*, NIPS 2015; the slope of 1/6 is that of
    A. Howard et al., *Searching for MobileNetV3*, ICCV 2019.
    """

    gives_probabilities = True

    def forward(self, x: Array, training: bool = False) -> tuple[Array, Array]:
        return hard_sigmoid(x), x

    def derivative(self, x: Array) -> Array:
        return hard_sigmoid_derivative(x)


def hard_sigmoid(x: Array) -> Array:
    """A line from 0 at -3 to 1 at 3, level on either side."""
    y = (x + 3.0).clip(0, 6)
    y /= 6
    return y


def hard_sigmoid_derivative(x: Array) -> Array:
    """1/6 between the kinks, 0 at them and beyond."""
    return (np.abs(x) < 3) / x.dtype.type(6)
