"""Adam: a step for each parameter by its gradient's mean and size. So the rate says how far a
weight moves in a step, whatever the scale of its gradient."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from ..errors import check_flag, check_number
from .base import Optimizer, Schedule, descend

if TYPE_CHECKING:
    from .._types import Array


class Moments(Optimizer):
    r"""What Adam's family shares: mean m and mean square v of the gradient, forgetting the past.

    Kept are :math:`M = m / (1 - \beta_1)` and :math:`V = v / (1 - \beta_2)`.
    """

    _state = ("m", "v")

    def __init__(
        self,
        lr: float | Schedule,
        betas: tuple[float, float],
        eps: float,
        weight_decay: float,
    ) -> None:
        super().__init__(lr, weight_decay)
        name = type(self).__name__
        self.betas = check_betas(name, betas)
        self.eps = check_number(name, "eps", eps, low=0)

    def corrections(self, step: int) -> tuple[float, float]:
        """c1 and c2, with m_hat = c1 M and sqrt(v_hat) = c2 sqrt(V)."""
        beta1, beta2 = self.betas
        return (1 - beta1) / (1 - beta1**step), math.sqrt((1 - beta2) / (1 - beta2**step))

    def moments(self, g: Array, t: Array, block: slice) -> tuple[Array, Array]:
        """One block of M and V, with the gradient g taken in."""
        M, V = self._vectors["m"][block], self._vectors["v"][block]
        M *= self.betas[0]
        M += g
        V *= self.betas[1]
        V += np.multiply(g, g, out=t)
        return M, V


class Adam(Moments):
    r"""Adam: a step for each parameter by its gradient's mean and mean square.

    .. math::
        g &\leftarrow g + \lambda w \\
        m &\leftarrow \beta_1 m + (1 - \beta_1) g \qquad \hat m = m / (1 - \beta_1^t) \\
        v &\leftarrow \beta_2 v + (1 - \beta_2) g^2 \qquad \hat v = v / (1 - \beta_2^t) \\
        w &\leftarrow w - \eta \, \hat m / (\sqrt{\hat v} + \epsilon)

    With ``amsgrad`` the largest v so far stands in for v in the last line.

    Kept are :math:`M = m / (1 - \beta_1)` and :math:`V = v / (1 - \beta_2)`, and the corrections
    are folded into the rate and :math:`\epsilon`: the same up to rounding, in ten passes instead of
    fourteen. The derivation is in docs/derivations/adam.md.

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
    amsgrad : bool

    Raises
    ------
    TypeError, ValueError
        For options outside their ranges.

    Examples
    --------
    >>> import numpy as np
    >>> from chainrule import Adam
    >>> w = np.array([1.0, 2.0])
    >>> Adam(0.1).step(w, np.array([3.0, -0.001]))
    >>> w.round(4).tolist()
    [0.9, 2.1]

    References
    ----------
    D. P. Kingma, J. Ba, *Adam: A Method for Stochastic Optimization*, ICLR 2015; S. J. Reddi, S.
    Kale, S. Kumar, *On the Convergence of Adam and Beyond*, ICLR 2018, for amsgrad.
    """

    def __init__(
        self,
        lr: float | Schedule = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0.0,
        amsgrad: bool = False,
    ) -> None:
        super().__init__(lr, betas, eps, weight_decay)
        self.amsgrad = check_flag(type(self).__name__, "amsgrad", amsgrad)

    @property
    def _state(self) -> tuple[str, ...]:  # type: ignore[override]
        return ("m", "v", "v_max") if self.amsgrad else ("m", "v")

    def prepare(self, lr: float, step: int) -> tuple[float, float]:
        c1, c2 = self.corrections(step)
        return lr * c1 / c2, self.eps / c2

    def update(
        self, p: Array, g: Array, t: Array, s: Array, block: slice, numbers: tuple[float, float]
    ) -> None:
        rate, eps = numbers
        M, V = self.moments(g, t, block)
        if self.amsgrad:
            V = np.maximum(self._vectors["v_max"][block], V, out=self._vectors["v_max"][block])
        descend(p, rate, M, V, eps, t)


class AdamW(Adam):
    r"""Adam with decoupled weight decay: the weights shrink by themselves, not by the gradient.

    .. math::
        w \leftarrow (1 - \eta \lambda) w, \quad \text{then Adam's step with } \lambda = 0

    So large and small gradients' weights decay alike.

    Parameters
    ----------
    lr : float or callable
        Learning rate :math:`\eta`, or a function of the step.
    betas : pair of float
        :math:`\beta_1, \beta_2`, each in [0, 1).
    eps : float
        :math:`\epsilon`.
    weight_decay : float
        :math:`\lambda`.
    amsgrad : bool
        As in `Adam`.

    Raises
    ------
    TypeError, ValueError
        For options outside their ranges.

    Examples
    --------
    >>> import numpy as np
    >>> from chainrule import AdamW
    >>> w = np.array([1.0, 2.0])
    >>> AdamW(0.1, weight_decay=0.5).step(w, np.array([3.0, -0.001]))
    >>> w.round(4).tolist()
    [0.85, 2.0]

    References
    ----------
    I. Loshchilov, F. Hutter, *Decoupled Weight Decay Regularization*, ICLR 2019.
    """

    decoupled_weight_decay = True

    def __init__(
        self,
        lr: float | Schedule = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 1e-2,
        amsgrad: bool = False,
    ) -> None:
        super().__init__(lr, betas, eps, weight_decay, amsgrad)


def check_betas(owner: str, betas: Any) -> tuple[float, float]:
    """Refuse anything but two numbers in [0, 1)."""
    wanted = f"{owner}: betas must be a pair of numbers in [0, 1), got {betas!r}."
    if not isinstance(betas, (tuple, list)) or len(betas) != 2:
        raise TypeError(wanted)
    try:
        one, two = (check_number(owner, "betas", b, low=0, high=1, open_high=True) for b in betas)
    except (TypeError, ValueError) as error:
        raise type(error)(wanted) from None
    return one, two
