"""The learning-rate range test: train a copy of a network while the rate grows, and see where the
loss falls best and where it bursts. It tells in a few steps what whole trainings would."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from .border import check_batch_size, check_optimizer, formula_of
from .errors import DivergenceError, check_count, check_number
from .model import Model
from .sources import ArraySource, Batch
from .steps import train_step

if TYPE_CHECKING:
    from ._types import Array
    from .losses import Loss
    from .optimizers import Optimizer


class RangeTest(NamedTuple):
    """Losses of a training whose rate grew from step to step."""

    rates: Array  # (n,) ascending
    losses: Array  # (n,) of each step's batch, before the update at that rate
    smoothed: Array  # (n,) their running mean
    suggestion: float  # one of the rates; NaN where the loss did not fall


def find_lr(
    model: Model,
    x: Any,
    y: Any,
    *,
    loss: Loss | Callable[..., tuple[float, Array]],
    optimizer: Optimizer,
    low: float = 1e-7,
    high: float = 10.0,
    steps: int = 100,
    batch_size: int | None = 32,
    smoothing: float = 0.9,
    stop_factor: float = 4.0,
    sample_weight: Any = None,
) -> RangeTest:
    r"""Find a learning rate: train with rates that grow from step to step, and look at the loss.

    The rates are a geometric row. The losses :math:`\ell_t` become a running mean that is right
    from its first step on,

    .. math:: m_t = \beta m_{t-1} + (1 - \beta) \ell_t, \qquad s_t = \frac{m_t}{1 - \beta^{t + 1}}

    and the test ends early when a loss or gradient is not finite, or when

    .. math:: s_t - b > (k - 1) |b|, \qquad b = \min_{i \le t} s_i

    which is :math:`s_t > k b` where losses are positive. The suggestion is the rate at which s
    falls most steeply before its minimum. The slope at a step is that of a straight line through s
    over the logarithm of the rate, fitted from a tenth of `steps` before to a tenth after it, so
    that the noise of single batches does not count. It is a rate to start from, not the best one.

    A copy of model and optimizer is trained. Both stay as they are to the bit, whatever happens:
    parameters, buffers, gradients, random generators, history, state, rate.

    Parameters
    ----------
    model : Model
    x, y : array (N, ...)
        Taken in the batches that `Model.fit` would take next.
    loss : Loss, or a function as `Model.fit` takes it
    optimizer : Optimizer
        Goes on from its state; a rate or schedule of its own is not looked at.
    low, high : float
        First and last rate.
    steps : int
        How many rates, 10 or more.
    batch_size : int or None
    smoothing : float
        :math:`\beta`, from 0 to below 1.
    stop_factor : float
        k, above 1.
    sample_weight : array (N,), optional

    Returns
    -------
    RangeTest
        ``rates, losses, smoothed`` of shape (n,), with n at most `steps`, and ``suggestion``, a
        float: NaN where the loss did not fall. `chainrule.plots.find_lr` draws it.

    Raises
    ------
    TypeError, ValueError
        For options outside their ranges, for what `fit` refuses, for an optimizer without an `lr`,
        and for a model or optimizer of which there can be no copy.
    DivergenceError
        When the first loss or gradient is not finite already.

    Examples
    --------
    >>> from chainrule import SGD, Dense, Model, ReLU, SoftmaxCrossEntropy, datasets, find_lr
    >>> (x, y), _ = datasets.digits()
    >>> model = Model(Dense(64, 32), ReLU(), Dense(32, 10), seed=0)
    >>> result = find_lr(model, x, y, loss=SoftmaxCrossEntropy(), optimizer=SGD(0.1, momentum=0.9))
    >>> 0.03 < result.suggestion < 0.3
    True

    References
    ----------
    L. Smith, *Cyclical Learning Rates for Training Neural Networks*, WACV 2017, section 3.3. The
    running mean and the multiple of the best loss are those of fastai.
    """
    owner = "find_lr"
    if not isinstance(model, Model):
        raise TypeError(f"{owner}: model must be a Model, got {model!r}.")
    low = check_number(owner, "low", low, low=0, open_low=True)
    high = check_number(owner, "high", high, low=low, open_low=True)
    steps = check_count(owner, "steps", steps, low=10, high=1_000_000)
    size = check_batch_size(owner, batch_size)
    beta = check_number(owner, "smoothing", smoothing, low=0, high=1, open_high=True)
    k = check_number(owner, "stop_factor", stop_factor, low=1, open_low=True)
    model, optimizer = _copies(owner, model, optimizer)  # the caller's are not touched below
    check_optimizer(model, optimizer)
    if not hasattr(optimizer, "lr"):
        raise TypeError(f"{owner}: it sets optimizer.lr, which {optimizer!r} does not have.")
    source = ArraySource(owner, model, loss, x, y, sample_weight)
    formula = formula_of(loss)
    rates = np.geomspace(low, high, steps)
    losses: list[float] = []
    smoothed: list[float] = []
    mean, best = 0.0, math.inf
    order = _endless(source, size, model.shuffle_rng)
    with np.errstate(all="ignore"):
        for lr in rates:
            optimizer.lr = float(lr)
            try:
                value, _ = train_step(model, formula, optimizer, [next(order)])
            except DivergenceError as error:
                if not losses:
                    raise DivergenceError(
                        f"{owner}: in the first step, before any update, {error} Look for values "
                        "in the data that are not finite or not scaled."
                    ) from None
                break
            losses.append(value)
            mean = beta * mean + (1 - beta) * value
            s = mean / (1 - beta ** len(losses))
            smoothed.append(s)
            best = min(best, s)
            if s - best > (k - 1) * abs(best):
                break
    n = len(losses)
    found = RangeTest(rates[:n], np.array(losses), np.array(smoothed), math.nan)
    return found._replace(suggestion=steepest(found.rates, found.smoothed, steps // 10))


def steepest(rates: Array, smoothed: Array, reach: int) -> float:
    """The rate at which the loss falls most steeply before its minimum; NaN if it does not fall.

    Slopes are those of lines through `reach` steps to both sides, those to the right as far as
    there are any.
    """
    z, lowest, slope = np.log(rates), math.nan, 0.0
    for i in range(reach, int(smoothed.argmin()) + 1):
        near = slice(i - reach, i + reach + 1)
        d = z[near] - z[near].mean()
        here = (d @ smoothed[near]) / (d @ d)
        if here < slope:
            lowest, slope = float(rates[i]), here
    return lowest


def _endless(source: ArraySource, size: int | None, rng: np.random.Generator) -> Iterator[Batch]:
    """The batches of one epoch after the other."""
    while True:
        yield from source.batches(size, rng)


def _copies(owner: str, model: Model, optimizer: Any) -> tuple[Model, Any]:
    """Copies of both, made together, in case one of them knows the other."""
    try:
        return copy.deepcopy((model, optimizer))
    except Exception as error:
        raise TypeError(
            f"{owner}: it trains a copy, and copy.deepcopy of {model!r} or {optimizer!r} fails: "
            f"{error}"
        ) from error
