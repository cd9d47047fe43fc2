"""The roots of Adam: a rate for each parameter by the size of its gradients so far. They differ in
how they forget, and in what they make of the rate."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from ..errors import check_flag, check_number
from .base import Optimizer, Schedule, decay_and_add, descend

if TYPE_CHECKING:
    from .._types import Array


class Adagrad(Optimizer):
    r"""Adagrad: the rate shrinks with the sum of all squared gradients so far.

    .. math::
        g &\leftarrow g + \lambda w \\
        s &\leftarrow s + g^2 \\
        w &\leftarrow w - \frac{\eta}{1 + (t - 1) \delta} \, g / (\sqrt s + \epsilon)

    Parameters
    ----------
    lr : float or callable
        Learning rate :math:`\eta`, or a function of the step.
    lr_decay : float
        :math:`\delta`.
    weight_decay : float
        :math:`\lambda`, an L2 penalty.
    initial_accumulator_value : float
        What s starts from.
    eps : float
        :math:`\epsilon`.

    Raises
    ------
    TypeError, ValueError
        For options outside their ranges.

    Examples
    --------
    >>> import numpy as np
    >>> from chainrule import Adagrad
    >>> w = np.array([1.0, 2.0])
    >>> Adagrad(0.1).step(w, np.array([3.0, -0.001]))
    >>> w.round(4).tolist()
    [0.9, 2.1]

    References
    ----------
    J. Duchi, E. Hazan, Y. Singer, *Adaptive Subgradient Methods for Online Learning and Stochastic
    Optimization*, JMLR 12, 2011.
    """

    _state = ("s",)

    def __init__(
        self,
        lr: float | Schedule = 1e-2,
        lr_decay: float = 0.0,
        weight_decay: float = 0.0,
        initial_accumulator_value: float = 0.0,
        eps: float = 1e-10,
    ) -> None:
        super().__init__(lr, weight_decay)
        self.lr_decay = check_number("Adagrad", "lr_decay", lr_decay, low=0)
        self.initial_accumulator_value = check_number(
            "Adagrad", "initial_accumulator_value", initial_accumulator_value, low=0
        )
        self.eps = check_number("Adagrad", "eps", eps, low=0)

    @property
    def _start_value(self) -> float:  # type: ignore[override]
        return self.initial_accumulator_value

    def prepare(self, lr: float, step: int) -> float:
        return lr / (1 + (step - 1) * self.lr_decay)

    def update(self, p: Array, g: Array, t: Array, s: Array, block: slice, numbers: float) -> None:
        rate, total = numbers, self._vectors["s"][block]
        total += np.multiply(g, g, out=t)
        descend(p, rate, g, total, self.eps, t)


class Adadelta(Optimizer):
    r"""Adadelta: steps in the weights' own unit, by the mean squares of gradients and of steps.

    .. math::
        g &\leftarrow g + \lambda w \\
        v &\leftarrow \rho v + (1 - \rho) g^2 \\
        d &= g \sqrt{u + \epsilon} / \sqrt{v + \epsilon} \\
        u &\leftarrow \rho u + (1 - \rho) d^2 \\
        w &\leftarrow w - \eta d

    Kept are :math:`v / (1 - \rho)` and :math:`u / (1 - \rho)`, with :math:`\epsilon / (1 - \rho)`.

    Parameters
    ----------
    lr : float or callable
        Factor :math:`\eta`, or a function of the step.
    rho : float
        :math:`\rho`, in [0, 1).
    eps : float
        :math:`\epsilon`.
    weight_decay : float
        :math:`\lambda`, an L2 penalty.

    Raises
    ------
    TypeError, ValueError
        For options outside their ranges.

    Examples
    --------
    >>> import numpy as np
    >>> from chainrule import Adadelta
    >>> w = np.array([1.0, 2.0])
    >>> Adadelta(1.0).step(w, np.array([3.0, -0.001]))
    >>> w.round(4).tolist()
    [0.9968, 2.001]

    References
    ----------
    M. D. Zeiler, *ADADELTA: An Adaptive Learning Rate Method*, arXiv:1212.5701, 2012.
    """

    _state = ("v", "u")

    def __init__(
        self,
        lr: float | Schedule = 1.0,
        rho: float = 0.9,
        eps: float = 1e-6,
        weight_decay: float = 0.0,
    ) -> None:
        super().__init__(lr, weight_decay)
        self.rho = check_number("Adadelta", "rho", rho, low=0, high=1, open_high=True)
        self.eps = check_number("Adadelta", "eps", eps, low=0)

    def prepare(self, lr: float, step: int) -> tuple[float, float]:
        return lr, self.eps / (1 - self.rho)

    def update(
        self, p: Array, g: Array, t: Array, s: Array, block: slice, numbers: tuple[float, float]
    ) -> None:
        (lr, eps), u = numbers, self._vectors["u"][block]
        v = decay_and_add(self._vectors["v"][block], self.rho, np.multiply(g, g, out=t))
        np.add(v, eps, out=t)
        np.add(u, eps, out=s)
        s /= t
        np.sqrt(s, out=s)
        s *= g  # the step d
        decay_and_add(u, self.rho, np.multiply(s, s, out=t))
        s *= lr
        p -= s


class RMSprop(Optimizer):
    r"""RMSprop: the gradient divided by the root of its recent mean square.

    .. math::
        g &\leftarrow g + \lambda w \\
        v &\leftarrow \alpha v + (1 - \alpha) g^2 \\
        d &= g / (\sqrt v + \epsilon) \\
        w &\leftarrow w - \eta d \quad \text{(with momentum: } b \leftarrow \mu b + d, \ w - \eta b)

    ``centered`` takes the variance :math:`v - a^2` for v, with :math:`a \leftarrow \alpha a + (1 -
    \alpha) g`, and 0 where rounding makes that negative. Kept are :math:`v / (1 - \alpha)` and
    :math:`a / (1 - \alpha)`, and :math:`b \sqrt{1 - \alpha}`.

    Parameters
    ----------
    lr : float or callable
        Learning rate :math:`\eta`, or a function of the step.
    alpha : float
        :math:`\alpha`, in [0, 1).
    eps : float
        :math:`\epsilon`.
    weight_decay : float
        :math:`\lambda`, an L2 penalty.
    momentum : float
        :math:`\mu`, 0 for none.
    centered : bool

    Raises
    ------
    TypeError, ValueError
        For options outside their ranges.

    Examples
    --------
    >>> import numpy as np
    >>> from chainrule import RMSprop
    >>> w = np.array([1.0, 2.0])
    >>> RMSprop(0.01).step(w, np.array([3.0, -0.001]))
    >>> w.round(4).tolist()
    [0.9, 2.1]

    References
    ----------
    T. Tieleman, G. Hinton, *Lecture 6.5, rmsprop*, Neural Networks for Machine Learning, Coursera
    2012; A. Graves, *Generating Sequences With Recurrent Neural Networks*, arXiv:1308.0850, 2013,
    for the centred form.
    """

    def __init__(
        self,
        lr: float | Schedule = 1e-2,
        alpha: float = 0.99,
        eps: float = 1e-8,
        weight_decay: float = 0.0,
        momentum: float = 0.0,
        centered: bool = False,
    ) -> None:
        super().__init__(lr, weight_decay)
        self.alpha = check_number("RMSprop", "alpha", alpha, low=0, high=1, open_high=True)
        self.eps = check_number("RMSprop", "eps", eps, low=0)
        self.momentum = check_number("RMSprop", "momentum", momentum, low=0)
        self.centered = check_flag("RMSprop", "centered", centered)

    @property
    def _state(self) -> tuple[str, ...]:  # type: ignore[override]
        return ("v", *(["a"] if self.centered else []), *(["b"] if self.momentum else []))

    def prepare(self, lr: float, step: int) -> tuple[float, float]:
        c = math.sqrt(1 - self.alpha)
        return lr / c, self.eps / c

    def update(
        self, p: Array, g: Array, t: Array, s: Array, block: slice, numbers: tuple[float, float]
    ) -> None:
        rate, eps = numbers
        v = decay_and_add(self._vectors["v"][block], self.alpha, np.multiply(g, g, out=t))
        if self.centered:
            a = decay_and_add(self._vectors["a"][block], self.alpha, g)
            np.multiply(a, a, out=t)
            t *= 1 - self.alpha
            np.subtract(v, t, out=t)
            v = np.maximum(t, 0, out=t)
        if self.momentum:
            b = self._vectors["b"][block]
            b *= self.momentum
            descend(b, -1.0, g, v, eps, t)  # b += g / (sqrt(v) + eps)
            p -= np.multiply(b, rate, out=t)
        else:
            descend(p, rate, g, v, eps, t)
