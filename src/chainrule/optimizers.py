"""Optimizers: how a step is made from a gradient. Each works in place on flat vectors, owns its
state and its count of steps, and never holds the parameters.

The formulas are PyTorch's. Work is done in blocks that fit the cache, so that each of the passes
over a block finds it there.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from .errors import check_flag, check_number

if TYPE_CHECKING:
    from ._types import Array

Schedule: TypeAlias = Callable[[int], float]
Span: TypeAlias = "tuple[slice, float | None]"

BLOCK = 32_768  # elements: 128 kB of float32, so that the three or four vectors fit the L2 cache


class Optimizer:
    r"""Base class: ``step(params, grads, spans=None)`` updates `params` in place.

    A derived class names its state vectors in `_state`, and writes `prepare`, which gives the
    numbers of a step, and `update`, which uses them on one block. All parameters share one count of
    steps, so those that were frozen at first are stepped as of that count when they are freed.

    Parameters
    ----------
    lr : float or callable
        The learning rate, or a function of the step's number, counted from 0.
    weight_decay : float
        L2 penalty: the gradient becomes :math:`g + \lambda w`.
    """

    #: Names of the vectors that are kept from step to step.
    _state: tuple[str, ...] = ()

    def __init__(self, lr: float | Schedule, weight_decay: float = 0.0) -> None:
        name = type(self).__name__
        self.lr = lr if callable(lr) else check_number(name, "lr", lr, low=0)
        self.weight_decay = check_number(name, "weight_decay", weight_decay, low=0)
        self.steps = 0
        self._vectors: dict[str, Array] = {}
        self._scratch: tuple[Array, Array] | None = None

    def step(self, params: Array, grads: Array, spans: Sequence[Span] | None = None) -> None:
        """Take one step, in place.

        Parameters
        ----------
        params, grads : array (n,), float32 or float64
            Flat vectors; `grads` is left as it is.
        spans : sequence of (slice, weight decay or None), optional
            The parts to update, each with a weight decay that stands in for the optimizer's own.

        Raises
        ------
        TypeError, ValueError
            For vectors that do not fit each other, or the state of earlier steps.
        """
        self.check(params, grads)
        blocks = list(self._blocks(len(params), spans))
        numbers = self.prepare(self.rate(), self.steps + 1)
        scratches = self._start(params)
        for block, decay in blocks:
            p, g = params[block], grads[block]
            t, u = (scratch[: len(p)] for scratch in scratches)
            if decay:
                np.multiply(p, decay, out=u)
                u += g
                g = u  # g = g + decay * p, in scratch of its own
            self.update(p, g, t, block, numbers)
        self.steps += 1

    def rate(self) -> float:
        """The learning rate of the next step, by the schedule if `lr` is one."""
        lr = self.lr(self.steps) if callable(self.lr) else self.lr
        if not (isinstance(lr, (int, float, np.number)) and 0 <= lr < math.inf):
            source = "the schedule gave the rate" if callable(self.lr) else "lr is"
            raise ValueError(
                f"{type(self).__name__}: {source} {lr!r} at step {self.steps}; expected a finite "
                "number, 0 or more."
            )
        return float(lr)

    def prepare(self, lr: float, step: int) -> Any:
        """Numbers that all blocks of a step share; the first step is 1."""
        raise NotImplementedError

    def update(self, p: Array, g: Array, t: Array, block: slice, numbers: Any) -> None:
        """Update one block p in place from its gradient g, with t to write into."""
        raise NotImplementedError

    def state_dict(self) -> dict[str, Any]:
        """Copies of the state's vectors and the count of steps."""
        return {"steps": self.steps, **{name: v.copy() for name, v in self._vectors.items()}}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take over a state, copied; the optimizer is as it was if the state does not fit."""
        name = type(self).__name__
        if not isinstance(state, Mapping):
            raise TypeError(f"{name}: expected the dict of a state_dict, got {state!r}.")
        vectors = {key: np.array(value) for key, value in state.items() if key != "steps"}
        steps = state.get("steps")
        if isinstance(steps, bool) or not isinstance(steps, (int, np.integer)) or steps < 0:
            raise ValueError(f"{name}: the state's steps must be a count, got {steps!r}.")
        if set(vectors) != (set(self._state) if steps else set(vectors) & set(self._state)):
            raise ValueError(
                f"{name}: the state has the vectors {sorted(vectors)}, expected "
                f"{sorted(self._state)}."
            )
        if len({(v.shape, v.dtype) for v in vectors.values()}) > 1 or any(
            v.ndim != 1 or v.dtype.kind != "f" for v in vectors.values()
        ):
            raise ValueError(f"{name}: the state's vectors must be flat, of one size and dtype.")
        self.steps, self._vectors, self._scratch = int(steps), vectors, None

    def check(self, params: Array, grads: Array) -> None:
        """Refuse vectors that do not fit each other, or the state of earlier steps."""
        if not (isinstance(params, np.ndarray) and isinstance(grads, np.ndarray)):
            raise TypeError(f"{type(self).__name__}: params and grads must be NumPy arrays.")
        if params.dtype.kind != "f":
            raise TypeError(f"{type(self).__name__}: params must be floats, got {params.dtype}.")
        if not params.flags.writeable:
            raise ValueError(f"{type(self).__name__}: params are read-only; pass a copy.")
        if params.shape != grads.shape or params.ndim != 1 or params.dtype != grads.dtype:
            raise ValueError(
                f"{type(self).__name__}: params and grads must be flat vectors of one size and "
                f"dtype, got {params.shape} of {params.dtype} and {grads.shape} of {grads.dtype}."
            )
        vector = next(iter(self._vectors.values()), params)  # all are of one size and dtype
        if vector.shape != params.shape or vector.dtype != params.dtype:
            raise ValueError(
                f"{type(self).__name__}: its state is for {vector.shape[0]} parameters of "
                f"{vector.dtype}, got {params.shape[0]} of {params.dtype}; use a new optimizer for "
                "another model."
            )

    def _start(self, params: Array) -> tuple[Array, Array]:
        """Make what is missing of state and scratch, at the first step and for other vectors."""
        if len(self._vectors) < len(self._state):
            for name in self._state:
                self._vectors.setdefault(name, np.zeros_like(params))
        scratch, size = self._scratch, min(BLOCK, len(params))
        if scratch is None or scratch[0].dtype != params.dtype or len(scratch[0]) < size:
            scratch = np.empty(size, params.dtype), np.empty(size, params.dtype)
            self._scratch = scratch
        return scratch

    def _blocks(self, n: int, spans: Sequence[Span] | None) -> Iterator[tuple[slice, float]]:
        """Cut the spans into blocks, each with its decay; wrong spans are refused."""
        if spans is None:
            for i in range(0, n, BLOCK):
                yield slice(i, min(i + BLOCK, n)), self.weight_decay
            return
        end = 0
        for span in spans:
            if not (isinstance(span, (tuple, list)) and len(span) == 2 and type(span[0]) is slice):
                raise TypeError(
                    f"{type(self).__name__}: spans are pairs (slice, weight decay or None), got "
                    f"{span!r}."
                )
            start, stop, stride = span[0].indices(n)
            if stride != 1 or start < end:
                raise ValueError(
                    f"{type(self).__name__}: spans must be slices without a step, one behind the "
                    f"other; got {span[0]} after {end}."
                )
            end, decay = max(start, stop), self.weight_decay
            if span[1] is not None:
                decay = check_number(type(self).__name__, "the decay of a span", span[1], low=0)
            for i in range(start, stop, BLOCK):
                yield slice(i, min(i + BLOCK, stop)), decay

    def __repr__(self) -> str:
        options = {k: v for k, v in vars(self).items() if k[0] != "_" and k != "steps"}
        return f"{type(self).__name__}({', '.join(f'{k}={v!r}' for k, v in options.items())})"


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
        self, p: Array, g: Array, t: Array, block: slice, numbers: tuple[float, float, float]
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


class Adam(Optimizer):
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
        super().__init__(lr, weight_decay)
        self.betas = check_betas("Adam", betas)
        self.eps = check_number("Adam", "eps", eps, low=0)
        self.amsgrad = check_flag("Adam", "amsgrad", amsgrad)

    @property
    def _state(self) -> tuple[str, ...]:  # type: ignore[override]
        return ("m", "v", "v_max") if self.amsgrad else ("m", "v")

    def prepare(self, lr: float, step: int) -> tuple[float, float]:
        beta1, beta2 = self.betas
        c1 = (1 - beta1) / (1 - beta1**step)  # m_hat = c1 M
        c2 = math.sqrt((1 - beta2) / (1 - beta2**step))  # sqrt(v_hat) = c2 sqrt(V)
        return lr * c1 / c2, self.eps / c2

    def update(
        self, p: Array, g: Array, t: Array, block: slice, numbers: tuple[float, float]
    ) -> None:
        rate, eps = numbers
        M, V = self._vectors["m"][block], self._vectors["v"][block]
        M *= self.betas[0]
        M += g
        V *= self.betas[1]
        V += np.multiply(g, g, out=t)
        if self.amsgrad:
            V = np.maximum(self._vectors["v_max"][block], V, out=self._vectors["v_max"][block])
        np.sqrt(V, out=t)
        t += eps
        np.divide(M, t, out=t)
        t *= rate
        p -= t


def check_betas(owner: str, betas: Any) -> tuple[float, float]:
    """Refuse anything but two numbers in [0, 1)."""
    if not isinstance(betas, (tuple, list)) or len(betas) != 2:
        raise TypeError(f"{owner}: betas must be a pair of numbers in [0, 1), got {betas!r}.")
    one, two = (check_number(owner, "betas", b, low=0, high=1, open_high=True) for b in betas)
    return one, two
