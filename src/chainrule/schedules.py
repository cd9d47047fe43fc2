"""Learning rates that change while training goes on: pure functions from the step, counted from 0,
to a rate. An optimizer takes one as its `lr`, and nothing else has to know of it."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from .errors import check_choice, check_count, check_number, check_rate


@dataclass(frozen=True)
class Schedule:
    """Base class: checks the step, and leaves the formula to `rate`.

    A schedule remembers nothing of the steps before, so training that goes on from a saved count of
    steps goes on with the right rate. It cannot be changed; two with the same options are equal.
    Any other function of the step does as well for an optimizer.
    """

    def __call__(self, step: int) -> float:
        """The rate of a step, counted from 0; a `TypeError` or `ValueError` for another step."""
        if not (type(step) is int and step >= 0):  # what an optimizer gives, in each step
            step = check_count(type(self).__name__, "step", step, low=0)
        return self.rate(step)

    def rate(self, step: int) -> float:
        """The formula, for a step that was checked."""
        raise NotImplementedError(f"{type(self).__name__} has no rate(step).")

    def _keep(self, **options: Any) -> None:
        """Set options, checked, in spite of `frozen`."""
        for name, value in options.items():
            object.__setattr__(self, name, value)


@dataclass(frozen=True)
class StepDecay(Schedule):
    r"""Multiply the rate by a factor every so many steps.

    .. math:: \eta_t = \eta \, \gamma^{\lfloor t / s \rfloor}

    Parameters
    ----------
    lr : float
        :math:`\eta`: the rate at first, 0 or more.
    step_size : int
        s: for how many steps a rate stands.
    gamma : float
        :math:`\gamma`, from 0 to 1.

    Raises
    ------
    TypeError, ValueError
        For options outside their ranges.

    Examples
    --------
    >>> from chainrule import SGD, StepDecay
    >>> schedule = StepDecay(0.8, step_size=10, gamma=0.5)
    >>> schedule(0), schedule(9), schedule(10), schedule(20)
    (0.8, 0.8, 0.4, 0.2)
    >>> optimizer = SGD(lr=schedule)

    References
    ----------
    PyTorch's ``StepLR``. K. He, X. Zhang, S. Ren, J. Sun, *Deep Residual Learning for Image
    Recognition*, CVPR 2016, section 3.4, divide their rate by 10 in this way.
    """

    lr: float
    step_size: int
    gamma: float = 0.1

    def __post_init__(self) -> None:
        self._keep(
            lr=check_number("StepDecay", "lr", self.lr, low=0),
            step_size=check_count("StepDecay", "step_size", self.step_size),
            gamma=check_number("StepDecay", "gamma", self.gamma, low=0, high=1),
        )

    def rate(self, step: int) -> float:
        return self.lr * self.gamma ** (step // self.step_size)


@dataclass(frozen=True)
class ExponentialDecay(Schedule):
    r"""Multiply the rate by a factor over so many steps, a little at each.

    .. math:: \eta_t = \eta \, \gamma^{t / s}

    Parameters
    ----------
    lr : float
        :math:`\eta`: the rate at first, 0 or more.
    gamma : float
        :math:`\gamma`, from 0 to 1.
    steps : int
        s: over how many steps the rate falls by :math:`\gamma`.

    Raises
    ------
    TypeError, ValueError
        For options outside their ranges.

    Examples
    --------
    >>> from chainrule import ExponentialDecay
    >>> schedule = ExponentialDecay(0.8, gamma=0.25, steps=100)
    >>> schedule(0), schedule(50), schedule(100)
    (0.8, 0.4, 0.2)

    References
    ----------
    PyTorch's ``ExponentialLR``, which has a step of 1, and Keras' ``ExponentialDecay``.
    """

    lr: float
    gamma: float
    steps: int = 1

    def __post_init__(self) -> None:
        self._keep(
            lr=check_number("ExponentialDecay", "lr", self.lr, low=0),
            gamma=check_number("ExponentialDecay", "gamma", self.gamma, low=0, high=1),
            steps=check_count("ExponentialDecay", "steps", self.steps),
        )

    def rate(self, step: int) -> float:
        return self.lr * self.gamma ** (step / self.steps)


@dataclass(frozen=True)
class CosineDecay(Schedule):
    r"""Let the rate fall along half a cosine: slowly, then fast, then slowly; it stays at the end.

    .. math:: \eta_t = \eta_T + (\eta_0 - \eta_T) \, \frac{1 + \cos(\pi t / T)}{2},
              \quad t \le T

    Parameters
    ----------
    lr : float
        :math:`\eta_0`: the rate at first, 0 or more.
    steps : int
        T: the step from which on the rate is `final`.
    final : float
        :math:`\eta_T`, from 0 to `lr`.

    Raises
    ------
    TypeError, ValueError
        For options outside their ranges.

    Examples
    --------
    >>> from chainrule import CosineDecay
    >>> schedule = CosineDecay(0.5, steps=100, final=0.1)
    >>> schedule(0), round(schedule(50), 3), schedule(100), schedule(1000)
    (0.5, 0.3, 0.1, 0.1)

    References
    ----------
    I. Loshchilov, F. Hutter, *SGDR: Stochastic Gradient Descent with Warm Restarts*, ICLR 2017;
    without the restarts. PyTorch's ``CosineAnnealingLR``, whose rate rises again after T.
    """

    lr: float
    steps: int
    final: float = 0.0

    def __post_init__(self) -> None:
        lr = check_number("CosineDecay", "lr", self.lr, low=0)
        self._keep(
            lr=lr,
            steps=check_count("CosineDecay", "steps", self.steps),
            final=check_number("CosineDecay", "final", self.final, low=0, high=lr),
        )

    def rate(self, step: int) -> float:
        return between(self.lr, self.final, half_cosine(min(step / self.steps, 1.0)))


@dataclass(frozen=True)
class OneCycle(Schedule):
    r"""Let the rate rise to a maximum, and fall far below where it began.

    It begins at :math:`\eta_0 = \eta / d`, is at :math:`\eta` at the step :math:`t_1 = p T - 1`,
    and at :math:`\eta_0 / f` at the last, T - 1, and from there on. On the way from a to b,

    .. math:: \eta_t = (1 - c) \, a + c \, b, \qquad c = \frac{1 - \cos(\pi u)}{2}

    with the share u of the way that was gone; or c = u, if `anneal` is "linear".

    Parameters
    ----------
    max_lr : float
        :math:`\eta`: the largest rate, 0 or more.
    steps : int
        T: all steps of the training.
    pct_start : float
        p: the share of the steps in which the rate rises, from 0 to 1. Where that is one step or
        less there is no way up.
    div_factor : float
        d: the rate begins at `max_lr` / d; 1 or more.
    final_div_factor : float
        f: the rate ends at its beginning / f; 1 / d or more.
    anneal : "cos" or "linear"

    Raises
    ------
    TypeError, ValueError
        For options outside their ranges.

    Examples
    --------
    >>> from chainrule import OneCycle
    >>> schedule = OneCycle(1.0, steps=100)
    >>> [round(schedule(step), 6) for step in (0, 29, 64, 99, 1000)]
    [0.04, 1.0, 0.500002, 4e-06, 4e-06]

    References
    ----------
    L. Smith, N. Topin, *Super-Convergence: Very Fast Training of Neural Networks Using Large
    Learning Rates*, 2018. PyTorch's ``OneCycleLR`` with ``cycle_momentum=False``.
    """

    max_lr: float
    steps: int
    pct_start: float = 0.3
    div_factor: float = 25.0
    final_div_factor: float = 1e4
    anneal: str = "cos"

    def __post_init__(self) -> None:
        name = "OneCycle"
        check_choice(name, "anneal", self.anneal, ("cos", "linear"))
        d = check_number(name, "div_factor", self.div_factor, low=1)
        self._keep(
            max_lr=check_number(name, "max_lr", self.max_lr, low=0),
            steps=check_count(name, "steps", self.steps),
            pct_start=check_number(name, "pct_start", self.pct_start, low=0, high=1),
            div_factor=d,
            final_div_factor=check_number(
                name, "final_div_factor", self.final_div_factor, low=1 / d
            ),
        )

    def rate(self, step: int) -> float:
        first = self.max_lr / self.div_factor
        peak, last = self.pct_start * self.steps - 1, self.steps - 1
        step = min(step, last)
        if step <= peak:
            start, end, way = first, self.max_lr, step / peak if peak > 0 else 1.0
        else:
            start, end = self.max_lr, first / self.final_div_factor
            way = (step - peak) / (last - peak)
        return between(start, end, half_cosine(way) if self.anneal == "cos" else way)


@dataclass(frozen=True)
class LinearWarmup(Schedule):
    r"""Let the rate rise linearly first, and follow another schedule from its own step 0 on.

    .. math:: \eta_t = \begin{cases}
              \left(a + (1 - a) \, t / s\right) \eta'_0 & t < s \\
              \eta'_{t - s} & t \ge s \end{cases}

    Parameters
    ----------
    after : float or callable
        :math:`\eta'`: a rate, another schedule, or any function of the step.
    steps : int
        s: the first step that is not of the warm-up.
    start_factor : float
        a, from 0 to 1. With 0 the first update has the rate 0.

    Raises
    ------
    TypeError, ValueError
        For options outside their ranges, and in a step for a function that gives no rate.

    Examples
    --------
    A hundred steps up, and nine hundred down:

    >>> from chainrule import CosineDecay, LinearWarmup
    >>> schedule = LinearWarmup(CosineDecay(0.1, steps=900), steps=100)
    >>> [round(schedule(step), 6) for step in (0, 50, 100, 550, 1000)]
    [0.0, 0.05, 0.1, 0.05, 0.0]

    References
    ----------
    P. Goyal et al., *Accurate, Large Minibatch SGD: Training ImageNet in 1 Hour*, 2017, section
    2.2. PyTorch's ``SequentialLR`` of ``LinearLR`` and the other schedule.
    """

    after: float | Callable[[int], float]
    steps: int
    start_factor: float = 0.0

    def __post_init__(self) -> None:
        name = "LinearWarmup"
        self._keep(
            after=check_rate(name, "after", self.after),
            steps=check_count(name, "steps", self.steps),
            start_factor=check_number(name, "start_factor", self.start_factor, low=0, high=1),
        )

    def rate(self, step: int) -> float:
        if step >= self.steps:
            return self._rate_after(step - self.steps)
        return between(self.start_factor, 1.0, step / self.steps) * self._rate_after(0)

    def _rate_after(self, step: int) -> float:
        if not callable(self.after):
            return self.after
        rate = self.after(step)
        if type(rate) is float and 0 <= rate < math.inf:
            return rate
        return check_number("LinearWarmup", f"after({step})", rate, low=0)


def between(start: float, end: float, way: float) -> float:
    """From start to end, both hit exactly, with `way` from 0 to 1."""
    return (1 - way) * start + way * end


def half_cosine(way: float) -> float:
    """From 0 to 1 and as far, beginning and ending slowly."""
    return (1 - math.cos(math.pi * way)) / 2
