"""How near predicted numbers are to the true ones. Sums run in float64, piece by piece, so that
neither a large mean nor a large array costs digits or memory."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np

from ..errors import as_numbers
from ..losses.base import same_shape
from .base import Metric
from .targets import position_weights, same_width

if TYPE_CHECKING:
    from .._types import Array

PIECE = 2**16  # numbers that are float64 at a time


def pieces(
    metric: Metric, prediction: Any, target: Any, sample_weight: Any
) -> Iterator[tuple[Array, Array, Array]]:
    """Yield predictions (n, d), targets (n, d) and weights (n,) in float64; d is the last axis.

    Rows of weight 0 are left out. What does not fit is refused before the first piece.
    """
    p = as_numbers(f"{metric!r}: predictions", prediction)
    t = as_numbers(f"{metric!r}: targets", target)
    if p.ndim == 0:
        raise ValueError(f"{metric!r}: predictions must have rows, got one number.")
    if t.shape != p.shape:
        same_shape(metric, t, p.shape)
    d = p.shape[-1] if p.ndim > 1 else 1
    rows = p.size // max(d, 1)
    weight = position_weights(sample_weight, len(p), rows)
    p, t = p.reshape(rows, d), t.reshape(rows, d)
    for start in range(0, rows, step := max(1, PIECE // max(d, 1))):
        part = slice(start, start + step)
        p64, t64 = p[part].astype(np.float64), t[part].astype(np.float64)
        w = np.ones(len(p64)) if weight is None else weight[part]
        if not w.all():
            p64, t64, w = p64[w > 0], t64[w > 0], w[w > 0]
        if p64.size:
            yield p64, t64, w


class R2(Metric):
    r"""The share of the targets' variance that is explained, the coefficient of determination.

    .. math:: R^2 = 1 - \frac{\sum_n w_n (t_n - p_n)^2}{\sum_n w_n (t_n - \bar t)^2}

    with :math:`\bar t` the weighted mean of the targets. 1 is perfect, 0 as good as that mean, less
    is worse. With several outputs, (N, ..., d), it is the mean of the outputs' own figures.

    Notes
    -----
    As in scikit-learn, without a warning: for a constant target 1 if it is met exactly and 0 if
    not; NaN for fewer rows than two. Rows of weight 0 are no rows. NaN passes through.

    Raises
    ------
    TypeError, ValueError
        For targets of another shape than the predictions.

    Examples
    --------
    >>> from chainrule import R2
    >>> r2 = R2()
    >>> r2.update([2.5, 0.0], [3, -0.5])
    >>> r2.update([2, 8], [2, 7])
    >>> round(r2.result(), 4)
    0.9486

    References
    ----------
    S. Wright, *Correlation and causation*, Journal of Agricultural Research 20, 1921.
    """

    name = "r2"

    def __init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        self._rows, self._weight = 0, 0.0
        self._first: Array | None = None  # (d,) a constant target less its first row is exactly 0
        self._mean: Any = 0.0  # (d,) of the targets less the first
        self._spread: Any = 0.0  # (d,) sum of w (t - mean)^2
        self._missed: Any = 0.0  # (d,) sum of w (t - p)^2

    def update(self, prediction: Any, target: Any, sample_weight: Any = None) -> None:
        with np.errstate(all="ignore"):
            for p, t, w in pieces(self, prediction, target, sample_weight):
                if self._first is None:
                    self._first = t[0]
                same_width("R2", len(self._first), t.shape[1], "outputs")
                self._missed = self._missed + w @ (t - p) ** 2
                t = t - self._first
                total = float(w.sum())
                mean = w @ t / total
                step, share = mean - self._mean, total / (self._weight + total)
                self._spread = self._spread + w @ (t - mean) ** 2 + step**2 * self._weight * share
                self._mean = self._mean + step * share
                self._rows, self._weight = self._rows + len(t), self._weight + total

    def result(self) -> float:
        if self._rows < 2:
            return float("nan")
        with np.errstate(all="ignore"):
            each = 1 - self._missed / self._spread
            of_constant = np.where(self._missed == 0, 1.0, 0 * self._missed)  # NaN stays NaN
        return float(np.where(self._spread == 0, of_constant, each).mean())

    def __repr__(self) -> str:
        return "R2()"


class RootMeanSquaredError(Metric):
    r"""The root of the mean squared error, in the targets' own unit.

    .. math:: \sqrt{\frac{\sum_n w_n \lVert t_n - p_n \rVert^2}{d \sum_n w_n}}

    The mean is over all entries, as that of `MeanSquaredError`; for several outputs, (N, ..., d),
    it is the root of the mean and not the mean of the roots.

    Notes
    -----
    No rows, or none with a weight above 0, give NaN. NaN passes through.

    Raises
    ------
    TypeError, ValueError
        For targets of another shape than the predictions.

    Examples
    --------
    >>> from chainrule import RootMeanSquaredError
    >>> error = RootMeanSquaredError()
    >>> error.update([[1.0], [2.0]], [[1.0], [6.0]])
    >>> error.update([[0.0], [0.0]], [[0.0], [0.0]])
    >>> error.result()
    2.0

    References
    ----------
    C. F. Gauss, *Theoria combinationis observationum erroribus minimis obnoxiae*, 1823.
    """

    name = "root_mean_squared_error"
    higher_is_better = False

    def __init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        self._total, self._weight = 0.0, 0.0

    def update(self, prediction: Any, target: Any, sample_weight: Any = None) -> None:
        with np.errstate(all="ignore"):
            for p, t, w in pieces(self, prediction, target, sample_weight):
                self._total += float((w @ (t - p) ** 2).sum())
                self._weight += float(w.sum()) * t.shape[1]

    def result(self) -> float:
        return math.sqrt(self._total / self._weight) if self._weight else float("nan")

    def __repr__(self) -> str:
        return "RootMeanSquaredError()"
