"""Losses of numbers: how far a prediction is from its target. They differ in how much more a large
error counts than a small one, and so in what an outlier can do."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from ..errors import check_number
from .base import Elementwise

if TYPE_CHECKING:
    from .._types import Array


class MeanSquaredError(Elementwise):
    r"""Mean squared error, :math:`L = \frac1n \sum (p - t)^2` over all n elements.

    :math:`\partial L/\partial p = 2 (p - t) / n`.

    Raises
    ------
    TypeError, ValueError
        For a target of another shape: (N,) is not (N, 1), which NumPy would spread to (N, N).

    Examples
    --------
    >>> from chainrule import MeanSquaredError
    >>> value, d = MeanSquaredError()([[30.0], [80.0], [85.0]], [[90.0], [20.0], [95.0]])
    >>> round(value, 2), d.round(2).tolist()
    (2433.33, [[-40.0], [40.0], [-6.67]])

    References
    ----------
    C. M. Bishop, *Pattern Recognition and Machine Learning*, Springer 2006, section 1.2.5.
    """

    def terms(self, p: Array, t: Array) -> tuple[Array, Array]:
        r = p - t
        losses = r * r
        r *= 2
        return losses, r


class MeanAbsoluteError(Elementwise):
    r"""Mean absolute error, :math:`L = \frac1n \sum |p - t|` over all n elements.

    :math:`\partial L/\partial p = \mathrm{sign}(p - t) / n`, 0 where both are equal. The best
    constant prediction is the median, so an outlier counts no more than any other.

    Raises
    ------
    TypeError, ValueError
        For a target of another shape.

    Examples
    --------
    >>> from chainrule import MeanAbsoluteError
    >>> value, d = MeanAbsoluteError()([1.0, 2.0, 5.0, 3.0], [1.0, 4.0, 1.0, 2.0])
    >>> value, d.tolist()
    (1.75, [0.0, -0.25, 0.25, 0.25])

    References
    ----------
    C. M. Bishop, *Pattern Recognition and Machine Learning*, Springer 2006, section 1.5.5.
    """

    def terms(self, p: Array, t: Array) -> tuple[Array, Array]:
        r = p - t
        return np.abs(r), np.sign(r)


class Huber(Elementwise):
    r"""Huber's loss: squared for small errors, absolute for large ones.

    With :math:`r = p - t` and :math:`c = \min(|r|, \delta)`: :math:`L = \frac1n \sum c \, (|r| -
    c/2)`, that is :math:`r^2/2` up to :math:`\delta`, a line of slope :math:`\delta` beyond, and
    :math:`\partial L/\partial p = \min(\max(r, -\delta), \delta) / n`.

    Parameters
    ----------
    delta : float
        :math:`\delta > 0`, where the line begins.

    Raises
    ------
    TypeError, ValueError
        For a delta that is not positive, and a target of another shape.

    Examples
    --------
    >>> from chainrule import Huber
    >>> value, d = Huber(delta=1.0)([0.5, 4.0], [0.0, 0.0])
    >>> value, d.tolist()
    (1.8125, [0.25, 0.5])

    References
    ----------
    P. J. Huber, *Robust Estimation of a Location Parameter*, Annals of Mathematical Statistics 35,
    1964.
    """

    def __init__(self, delta: float = 1.0) -> None:
        self.delta = check_number("Huber", "delta", delta, low=0, open_low=True)

    def terms(self, p: Array, t: Array) -> tuple[Array, Array]:
        r = p - t
        size = np.abs(r)
        c = size.clip(-np.inf, self.delta)
        return c * (size - 0.5 * c), r.clip(-self.delta, self.delta)
