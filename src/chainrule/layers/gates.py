"""Activations that let x through a gate of its own, y = x g(x), with g rising from 0 to 1. They are
smooth, and a little below zero on the left."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from .. import numerics
from ..layer import register_layer
from .activations import Activation, hard_sigmoid, hard_sigmoid_derivative

if TYPE_CHECKING:
    from .._types import Array

# All gates are 0 or 1 to the last digit beyond: with x held within, ±inf needs no case of its own.
BOUND = 1000.0


class Gate(Activation):
    r"""An activation :math:`y = x \, g(x)`, with :math:`dy/dx = g(x) + x \, g'(x)`.

    A derived class writes `gate`, and for finite numbers `gate_derivative`.
    """

    def gate(self, x: Array) -> Array:
        """g(x), from 0 to 1."""
        raise NotImplementedError

    def gate_derivative(self, x: Array, g: Array) -> Array:
        """g'(x) as a new array, with g(x) given."""
        raise NotImplementedError

    def forward(self, x: Array, training: bool = False) -> tuple[Array, tuple[Array, Array]]:
        g = self.gate(x)
        y = x.clip(-BOUND, np.inf)
        y *= g
        return y, (x, g)

    def derivative(self, cache: tuple[Array, Array]) -> Array:
        x, g = cache
        x = x.clip(-BOUND, BOUND)
        d = self.gate_derivative(x, g)
        d *= x
        d += g
        return d


@register_layer
class SiLU(Gate):
    r"""Sigmoid linear unit (swish), :math:`y = x \, \sigma(x)`.

    :math:`dy/dx = \sigma(x) + x \, \sigma(x) (1 - \sigma(x))`.

    Examples
    --------
    >>> import numpy as np
    >>> from chainrule import SiLU
    >>> y, cache = SiLU().forward(np.array([-np.inf, 0.0, 1.0]))
    >>> dx, _ = SiLU().backward(np.ones(3), cache)
    >>> y.round(4).tolist(), dx.round(4).tolist()
    ([-0.0, 0.0, 0.7311], [0.0, 0.5, 0.9277])

    References
    ----------
    S. Elfwing, E. Uchibe, K. Doya, *Sigmoid-Weighted Linear Units for Neural Network Function
    Approximation in Reinforcement Learning*, Neural Networks 107, 2018.
    """

    def gate(self, x: Array) -> Array:
        return numerics.sigmoid(x)

    def gate_derivative(self, x: Array, g: Array) -> Array:
        d = 1 - g
        d *= g
        return d


@register_layer
class GELU(Gate):
    r"""Gaussian error linear unit, :math:`y = x \, \Phi(x)`.

    :math:`\Phi(x) = \frac12 (1 + \mathrm{erf}(x / \sqrt 2))` is the normal distribution's share
    below x, and :math:`dy/dx = \Phi(x) + x \, \varphi(x)` with its density :math:`\varphi`.

    ``approximate="tanh"`` puts :math:`\sigma(2u) = \frac12 (1 + \tanh u)` for :math:`\Phi`, with
    :math:`u = \sqrt{2/\pi} \, (x + 0.044715 \, x^3)`.

    Parameters
    ----------
    approximate : "none" or "tanh"

    Raises
    ------
    ValueError
        For any other.

    Examples
    --------
    >>> import numpy as np
    >>> from chainrule import GELU
    >>> x = np.array([-3.0, 0.0, 1.0])
    >>> GELU().forward(x)[0].round(5).tolist()
    [-0.00405, 0.0, 0.84134]
    >>> GELU(approximate="tanh").forward(x)[0].round(5).tolist()
    [-0.00364, 0.0, 0.84119]

    References
    ----------
    D. Hendrycks, K. Gimpel, *Gaussian Error Linear Units (GELUs)*, arXiv:1606.08415, 2016. How
    :math:`\Phi` is computed, and how exactly, is in docs/derivations/gelu.md.
    """

    def __init__(self, approximate: str = "none") -> None:
        super().__init__()
        if not (isinstance(approximate, str) and approximate in ("none", "tanh")):
            raise ValueError(f'GELU: approximate must be "none" or "tanh", got {approximate!r}.')
        self.approximate = approximate

    def gate(self, x: Array) -> Array:
        if self.approximate == "none":
            return numerics.normal_cdf(x)
        x = x.clip(-BOUND, BOUND)
        u = x * x
        u *= CUBIC
        u += 1
        u *= x
        u *= 2 * ROOT
        return numerics.sigmoid(u)

    def gate_derivative(self, x: Array, g: Array) -> Array:
        if self.approximate == "none":
            d = x * x
            d *= -0.5
            np.exp(d, out=d)
            d *= 1 / math.sqrt(2 * math.pi)
            return d
        d = x * x
        d *= 3 * CUBIC
        d += 1
        d *= 2 * ROOT
        d *= g
        d *= 1 - g
        return d


ROOT, CUBIC = math.sqrt(2 / math.pi), 0.044715


@register_layer
class Mish(Gate):
    r"""Mish, :math:`y = x \tanh(\log(1 + e^x))`.

    With :math:`e = e^x` the gate is :math:`q / (q + 2)`, :math:`q = e (e + 2)`, and its derivative
    :math:`4 e (1 + e) / (q + 2)^2`; the derivation is in docs/derivations/mish.md.

    Examples
    --------
    >>> import numpy as np
    >>> from chainrule import Mish
    >>> y, cache = Mish().forward(np.array([-np.inf, 0.0, 1.0]))
    >>> dx, _ = Mish().backward(np.ones(3), cache)
    >>> y.round(4).tolist(), dx.round(4).tolist()
    ([-0.0, 0.0, 0.8651], [0.0, 0.6, 1.049])

    References
    ----------
    D. Misra, *Mish: A Self Regularized Non-Monotonic Activation Function*, BMVC 2020.
    """

    def gate(self, x: Array) -> Array:
        e = np.exp(x.clip(-np.inf, 40))  # beyond, the gate is 1 to the last digit
        q = e + 2
        q *= e
        q /= np.add(q, 2, out=e)
        return q

    def gate_derivative(self, x: Array, g: Array) -> Array:
        e = np.exp(x.clip(-np.inf, 40))
        s = e + 2
        s *= e
        s += 2  # q + 2
        d = e + 1
        d *= e
        d *= 4
        d /= s
        d /= s
        return d


@register_layer
class HardSwish(Gate):
    r"""SiLU of straight pieces, :math:`y = x \min(\max(x + 3, 0), 6) / 6`.

    :math:`dy/dx` is 0 up to -3, 1 from 3 on, and :math:`x/3 + 1/2` between.

    Examples
    --------
    >>> import numpy as np
    >>> from chainrule import HardSwish
    >>> y, cache = HardSwish().forward(np.array([-4.0, -1.0, 0.0, 4.0]))
    >>> dx, _ = HardSwish().backward(np.ones(4), cache)
    >>> y.round(4).tolist(), dx.round(4).tolist()
    ([-0.0, -0.3333, 0.0, 4.0], [0.0, 0.1667, 0.5, 1.0])

    References
    ----------
    A. Howard et al., *Searching for MobileNetV3*, ICCV 2019.
    """

    def gate(self, x: Array) -> Array:
        return hard_sigmoid(x)

    def gate_derivative(self, x: Array, g: Array) -> Array:
        return hard_sigmoid_derivative(x)
