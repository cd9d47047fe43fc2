"""Stochastic gradient descent, the lecture's rule: a step against the gradient. Momentum lets it
roll on where gradients agree from step to step."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from ..errors import check_flag, check_number
from .base import Optimizer, Schedule

if TYPE_CHECKING:
    from .._types import Array


class SGD(Optimizer):
    r"""Stochastic gradient descent, with momentum on request.

    .. math::
        g &\leftarrow g + \lambda w \\
        v &\leftarrow \mu v + (1 - d) g \quad (v = g \text{ at the first step}) \\
        w &\leftarrow w - \eta v \quad \text{(Nesterov: } w - \eta (g + \mu v))

    Without momentum :math:`w \leftarrow w - \eta g`, the lecture's rule.

    Parameters
    ----------
    lr : float or callable
        Learning rate :math:`\eta`, or a function of the step.
    momentum : float
        :math:`\mu`, 0 for none.
    dampening : float
        d, how much of each gradient after the first is left out of the momentum.
    weight_decay : float
        :math:`\lambda`, an L2 penalty.
    nesterov : bool
        Look ahead; needs momentum and no dampening.

    Raises
    ------
    TypeError, ValueError
        For options outside their ranges.

    Examples
    --------
    >>> import numpy as np
    >>> from chainrule import SGD
    >>> w = np.array([1.0, 2.0])
    >>> SGD(0.1).step(w, np.array([1.0, -1.0]))
    >>> w.tolist()
    [0.9, 2.1]

    References
    ----------
    I. Sutskever et al., *On the importance of initialization and momentum in deep learning*, ICML
    2013; the formulas are those of torch.optim.SGD.
    """

    def __init__(
        self,
        lr: float | Schedule,
        momentum: float = 0.0,
        dampening: float = 0.0,
        weight_decay: float = 0.0,
        nesterov: bool = False,
    ) -> None:
        super().__init__(lr, weight_decay)
        self.momentum = check_number("SGD", "momentum", momentum, low=0)
        self.dampening = check_number("SGD", "dampening", dampening)
        self.nesterov = check_flag("SGD", "nesterov", nesterov)
        if self.nesterov and (self.momentum == 0 or self.dampening != 0):
            raise ValueError("SGD: nesterov needs a momentum above 0 and a dampening of 0.")

    @property
    def _state(self) -> tuple[str, ...]:  # type: ignore[override]
        return ("velocity",) if self.momentum else ()

    def prepare(self, lr: float, step: int) -> tuple[float, float, float]:
        first = step == 1
        return lr, 0.0 if first else self.momentum, 1.0 if first else 1 - self.dampening

    def update(
        self,
        p: Array,
        g: Array,
        t: Array,
        s: Array,
        block: slice,
        numbers: tuple[float, float, float],
    ) -> None:
        lr, momentum, share = numbers
        if self.momentum:
            v = self._vectors["velocity"][block]
            v *= momentum
            if share == 1:
                v += g
            else:
                v += np.multiply(g, share, out=t)
            if self.nesterov:
                np.multiply(v, self.momentum, out=t)
                t += g
                g = t
            else:
                g = v
        p -= np.multiply(g, lr, out=t)
