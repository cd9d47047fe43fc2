"""Variants of Adam: with the largest gradient for the mean square, with a look ahead, with a slow
start. What they share with it is in `Moments`."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from ..errors import check_flag, check_number
from .adam import Moments, check_betas
from .base import Optimizer, Schedule, decay_and_add, descend

if TYPE_CHECKING:
    from .._types import Array


class Adamax(Optimizer):
    r"""Adam with the largest recent gradient in place of the mean square.

    .. math::
        g &\leftarrow g + \lambda w \\
        m &\leftarrow \beta_1 m + (1 - \beta_1) g \qquad \hat m = m / (1 - \beta_1^t) \\
        u &\leftarrow \max(\beta_2 u, |g| + \epsilon) \\
        w &\leftarrow w - \eta \, \hat m / u

    Parameters
    ----------
    lr : float or callable
        Learning rate :math:`\eta`, or a function of the step.
    betas : pair of float
        :math:`\beta_1, \beta_2`, each in [0, 1).
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
    >>> from chainrule import Adamax
    >>> w = np.array([1.0, 2.0])
    >>> Adamax(0.1).step(w, np.array([3.0, -0.001]))
    >>> w.round(4).tolist()
    [0.9, 2.1]

    References
    ----------
    D. P. Kingma, J. Ba, *Adam: A Method for Stochastic Optimization*, ICLR 2015, section 7.1.
    """

    _state = ("m", "u")

    def __init__(
        self,
        lr: float | Schedule = 2e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0.0,
    ) -> None:
        super().__init__(lr, weight_decay)
        self.betas = check_betas("Adamax", betas)
        self.eps = check_number("Adamax", "eps", eps, low=0)

    def prepare(self, lr: float, step: int) -> float:
        beta1 = self.betas[0]
        return lr * (1 - beta1) / (1 - beta1**step)

    def update(self, p: Array, g: Array, t: Array, s: Array, block: slice, numbers: float) -> None:
        rate = numbers
        M = decay_and_add(self._vectors["m"][block], self.betas[0], g)
        u = self._vectors["u"][block]
        u *= self.betas[1]
        np.abs(g, out=t)
        t += self.eps
        np.maximum(u, t, out=u)
        np.divide(M, u, out=t)
        t *= rate
        p -= t


class NAdam(Moments):
    r"""Adam with Nesterov's momentum: the mean is looked at one step ahead.

    .. math::
        g &\leftarrow g + \lambda w, \quad m, v, \hat v \text{ as in Adam} \\
        \mu_t &= \beta_1 (1 - \tfrac12 \, 0.96^{t \psi}) \\
        \hat m &= \frac{\mu_{t+1} m}{1 - \prod_{i=1}^{t+1} \mu_i} + \frac{(1 - \mu_t) g}{1 -
        \prod_{i=1}^{t} \mu_i} \\
        w &\leftarrow w - \eta \, \hat m / (\sqrt{\hat v} + \epsilon)

    Parameters
    ----------
    lr : float or callable
        Learning rate :math:`\eta`, or a function of the step.
    betas : pair of float
        :math:`\beta_1, \beta_2`, each in [0, 1).
    eps : float
        :math:`\epsilon`.
    weight_decay : float
        :math:`\lambda`, an L2 penalty.
    momentum_decay : float
        :math:`\psi`, how soon the momentum :math:`\mu` grows to :math:`\beta_1`.
    decoupled_weight_decay : bool
        Decay as in `AdamW`.

    Raises
    ------
    TypeError, ValueError
        For options outside their ranges.

    Examples
    --------
    >>> import numpy as np
    >>> from chainrule import NAdam
    >>> w = np.array([1.0, 2.0])
    >>> NAdam(0.1).step(w, np.array([3.0, -0.001]))
    >>> w.round(4).tolist()
    [0.8944, 2.1056]

    References
    ----------
    T. Dozat, *Incorporating Nesterov Momentum into Adam*, ICLR workshop 2016; the formulas are
    those of torch.optim.NAdam.
    """

    def __init__(
        self,
        lr: float | Schedule = 2e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0.0,
        momentum_decay: float = 4e-3,
        decoupled_weight_decay: bool = False,
    ) -> None:
        super().__init__(lr, betas, eps, weight_decay)
        self.decoupled_weight_decay = check_flag(
            "NAdam", "decoupled_weight_decay", decoupled_weight_decay
        )
        self.momentum_decay = check_number("NAdam", "momentum_decay", momentum_decay, low=0)
        self._product: tuple[Any, int, float] = None, 0, 1.0  # see `product`

    def momentum(self, step: int) -> float:
        """The momentum mu of a step."""
        return self.betas[0] * (1 - 0.5 * 0.96 ** (step * self.momentum_decay))

    def product(self, step: int) -> float:
        """The product of all momenta up to a step: one factor more than in the step before.

        It is a function of step and options, so it is counted anew when a state was loaded or an
        option changed; after some thousand factors it is 0.
        """
        options = self.betas[0], self.momentum_decay
        known, last, product = self._product
        if known != options or last > step:
            last, product = 0, 1.0
        while last < step and product:
            last += 1
            product *= self.momentum(last)
        self._product = options, step, product
        return product

    def prepare(self, lr: float, step: int) -> tuple[float, float, float]:
        product = self.product(step)
        mu, ahead = self.momentum(step), self.momentum(step + 1)
        by_g = (1 - mu) / (1 - product)
        by_m = (1 - self.betas[0]) * ahead / (1 - product * ahead)
        c2 = self.corrections(step)[1]
        return lr * by_g / c2, by_m / by_g, self.eps / c2

    def update(
        self,
        p: Array,
        g: Array,
        t: Array,
        s: Array,
        block: slice,
        numbers: tuple[float, float, float],
    ) -> None:
        rate, ratio, eps = numbers
        M, V = self.moments(g, t, block)
        np.multiply(M, ratio, out=s)
        s += g
        descend(p, rate, s, V, eps, t)


class RAdam(Moments):
    r"""Adam that waits with its mean square until enough gradients make it trustworthy.

    .. math::
        g &\leftarrow g + \lambda w, \quad m, \hat m, v \text{ as in Adam} \\
        \rho_\infty &= 2 / (1 - \beta_2) - 1, \qquad \rho_t = \rho_\infty - 2 t \beta_2^t / (1 -
        \beta_2^t) \\
        r_t &= \sqrt{\frac{(\rho_t - 4)(\rho_t - 2) \rho_\infty}{(\rho_\infty - 4)(\rho_\infty - 2)
        \rho_t}} \\
        w &\leftarrow w - \eta \, \hat m \, r_t \sqrt{1 - \beta_2^t} / (\sqrt v + \epsilon)
        \quad \text{where } \rho_t > 5, \text{ else } w - \eta \, \hat m

    Parameters
    ----------
    lr : float or callable
        Learning rate :math:`\eta`, or a function of the step.
    betas : pair of float
        :math:`\beta_1, \beta_2`, each in [0, 1).
    eps : float
        :math:`\epsilon`.
    weight_decay : float
        :math:`\lambda`, an L2 penalty.
    decoupled_weight_decay : bool
        Decay as in `AdamW`.

    Raises
    ------
    TypeError, ValueError
        For options outside their ranges.

    Examples
    --------
    >>> import numpy as np
    >>> from chainrule import RAdam
    >>> w = np.array([1.0, 2.0])
    >>> RAdam(0.1).step(w, np.array([3.0, -0.001]))
    >>> w.round(4).tolist()
    [0.7, 2.0001]

    References
    ----------
    L. Liu et al., *On the Variance of the Adaptive Learning Rate and Beyond*, ICLR 2020; the
    formulas are those of torch.optim.RAdam.
    """

    def __init__(
        self,
        lr: float | Schedule = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0.0,
        decoupled_weight_decay: bool = False,
    ) -> None:
        super().__init__(lr, betas, eps, weight_decay)
        self.decoupled_weight_decay = check_flag(
            "RAdam", "decoupled_weight_decay", decoupled_weight_decay
        )

    def prepare(self, lr: float, step: int) -> tuple[float, float | None]:
        c1, c2 = self.corrections(step)
        beta2 = self.betas[1]
        whole = 2 / (1 - beta2) - 1
        rho = whole - 2 * step * beta2**step / (1 - beta2**step)
        if rho <= 5:
            return lr * c1, None
        r = math.sqrt((rho - 4) * (rho - 2) * whole / ((whole - 4) * (whole - 2) * rho))
        return lr * c1 * r / c2, self.eps / math.sqrt(1 - beta2)

    def update(
        self,
        p: Array,
        g: Array,
        t: Array,
        s: Array,
        block: slice,
        numbers: tuple[float, float | None],
    ) -> None:
        rate, eps = numbers
        M, V = self.moments(g, t, block)
        if eps is None:
            p -= np.multiply(M, rate, out=t)
        else:
            descend(p, rate, M, V, eps, t)
