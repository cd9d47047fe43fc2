"""Losses of classes: how little probability a prediction leaves to what is true. Those on logits,
the raw outputs, contain the softmax or sigmoid, so that value and gradient are one stable formula.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from .. import numerics
from ..errors import as_numbers, check_number, show
from .base import Elementwise, Loss, times

if TYPE_CHECKING:
    from .._types import Array


class BinaryCrossEntropy(Elementwise):
    r"""Cross entropy of a yes-or-no outcome, on logits z.

    :math:`L = -\frac1n \sum t \log \sigma(z) + (1 - t) \log(1 - \sigma(z))
    = \frac1n \sum \max(z, 0) - t z + \log(1 + e^{-|z|})`, and
    :math:`\partial L/\partial z = (\sigma(z) - t) / n`, over all n elements.

    Targets are in [0, 1] and have the predictions' shape. No `Sigmoid` before it.

    Raises
    ------
    TypeError, ValueError
        For targets outside [0, 1] or of another shape.

    Examples
    --------
    The lecture's numbers, f = [.1, .8, .6] for y = [1, 0, 1]:

    >>> import numpy as np
    >>> from chainrule import BinaryCrossEntropy
    >>> f, y = np.array([0.1, 0.8, 0.6]), np.array([1, 0, 1])
    >>> value, _ = BinaryCrossEntropy()(np.log(f / (1 - f)), y)
    >>> round(value, 6)
    1.474283

    References
    ----------
    I. Goodfellow, Y. Bengio, A. Courville, *Deep Learning*, MIT Press 2016, section 6.2.2.2; the
    derivation is in docs/derivations/cross_entropy.md.
    """

    takes_logits = True

    def check_target(self, target: Array) -> Array:
        return in_unit_interval(self, target)

    def terms(self, p: Array, t: Array) -> tuple[Array, Array]:
        z, e = p, np.exp(-np.abs(p))
        losses = numerics.positive(z)
        losses -= t * z
        losses += np.log1p(e)
        if not math.isfinite(float(losses.sum())):  # at z = ±inf: a zero target takes no part
            losses = times(t, numerics.softplus(-z)) + times(1 - t, numerics.softplus(z))
        d = np.maximum(e, z >= 0)  # sigmoid(z) = d / (1 + e): e on the left, 1 on the right
        e += 1
        d /= e
        d -= t
        return losses, d


class SoftmaxCrossEntropy(Loss):
    r"""Cross entropy of one class among several, on logits z with the classes on the last axis.

    :math:`L = \frac1N \sum_n \left(\log \sum_j e^{z_{nj}} - \sum_j t_{nj} z_{nj}\right)` and
    :math:`\partial L/\partial z = (\mathrm{softmax}(z) - t) / N`.

    Targets are class indices, one axis fewer than the predictions, or probabilities of their shape
    (one-hot or soft, rows that sum to one). With axes between, as in (N, T, C), the mean is over
    all of them. No `Softmax` before it.

    Parameters
    ----------
    label_smoothing : float
        :math:`t \leftarrow (1 - s) t + s / C`: s in [0, 1] of each target is spread evenly.

    Raises
    ------
    TypeError, ValueError
        For indices that are not integers, negative or out of range, for probabilities outside
        [0, 1] or rows that do not sum to one, and for other shapes.

    Examples
    --------
    >>> import numpy as np
    >>> from chainrule import SoftmaxCrossEntropy
    >>> value, d = SoftmaxCrossEntropy()(np.log([[0.2, 0.8], [0.5, 0.5]]), [1, 0])
    >>> round(value, 6), d.round(2).tolist()
    (0.458145, [[0.1, -0.1], [-0.25, 0.25]])

    References
    ----------
    I. Goodfellow, Y. Bengio, A. Courville, *Deep Learning*, MIT Press 2016, section 6.2.2.3; C.
    Szegedy et al., *Rethinking the Inception Architecture*, CVPR 2016, for label smoothing. The
    derivation is in docs/derivations/cross_entropy.md.
    """

    takes_logits = True

    def __init__(self, label_smoothing: float = 0.0) -> None:
        self.label_smoothing = check_number(
            "SoftmaxCrossEntropy", "label_smoothing", label_smoothing, low=0, high=1
        )

    def prepare(self, target: Any, shape: tuple[int, ...], dtype: Any) -> Array:
        target = as_numbers(f"{self!r}: target", target)
        if target.shape == shape:
            check_classes(self, shape)
            return self._prepare_probabilities(target, dtype)
        return class_indices(self, target, shape, or_soft=True)

    def _prepare_probabilities(self, target: Array, dtype: Any) -> Array:
        target = in_unit_interval(self, target).astype(dtype, copy=False)
        sums = target.sum(axis=-1)
        wrong = np.abs(sums - 1) > 1e-3
        if wrong.any():
            raise ValueError(
                f"{self!r}: each row of target probabilities must sum to 1, got a sum of "
                f"{float(sums[wrong][0]):g}. Where several classes can hold at once, use "
                "BinaryCrossEntropy."
            )
        return target

    def formula(
        self, prediction: Array, target: Array, weight: Array | None
    ) -> tuple[float, Array]:
        z, t, indices = prediction, target, target.ndim < prediction.ndim
        if z.ndim > 2:  # n is the product of all axes before the classes
            z = z.reshape(-1, z.shape[-1])  # (n, C)
            t = t.reshape(-1) if indices else t.reshape(z.shape)  # (n,) or (n, C)
        w = None if weight is None else np.repeat(weight, len(z) // len(weight))
        value, d = self._mean(z - numerics.max_along(z), t, w, indices)
        if not math.isfinite(value):  # logits of ±inf may still have a limit
            value, d = self._mean(numerics.shift(z), t, w, indices)
        return value, d if d.ndim == prediction.ndim else d.reshape(prediction.shape)

    def _mean(
        self, z: Array, t: Array, w: Array | None, indices: bool
    ) -> tuple[float, Array]:  # z (n, C), its largest entries 0; t (n,) or (n, C); w (n,)
        n, classes = z.shape
        smooth = self.label_smoothing
        d = np.exp(z, order="C")
        s = numerics.sum_columns(d)  # (n,); softmax(z) = d / s
        d /= (s * n)[:, None]
        if indices and not smooth:
            at = places(t, classes)
            at_target = z.take(at)
            d.reshape(-1)[at] -= d.dtype.type(1 / n)
        else:
            if indices:
                at, t = places(t, classes), np.zeros_like(d)
                t.reshape(-1)[at] = 1
            if smooth:
                t = (1 - smooth) * t
                t += smooth / classes
            at_target = times(t, z).sum(axis=1)  # (n,)
            d -= t / n
        losses = np.log(s) - at_target
        if w is None:
            return float(np.add.reduce(losses)) / n, d
        return float(np.add.reduce(times(w, losses))) / n, times(w[:, None], d)


class NegativeLogLikelihood(Loss):
    r"""Negative log-likelihood of class indices, on log-probabilities p with the classes last.

    :math:`L = -\frac1N \sum_n p_{n, t_n}` and :math:`\partial L/\partial p_{nj} = -[j = t_n] / N`.
    With axes between, as in (N, T, C), the mean is over all of them. Behind `LogSoftmax` it is
    `SoftmaxCrossEntropy` in two steps; on raw outputs it would fall without end.

    Raises
    ------
    TypeError, ValueError
        For indices that are not integers, negative or out of range, and for other shapes.

    Examples
    --------
    >>> import numpy as np
    >>> from chainrule import NegativeLogLikelihood
    >>> value, d = NegativeLogLikelihood()(np.log([[0.2, 0.8], [0.5, 0.5]]), [1, 0])
    >>> round(value, 6), d.tolist()
    (0.458145, [[0.0, -0.5], [-0.5, 0.0]])

    References
    ----------
    I. Goodfellow, Y. Bengio, A. Courville, *Deep Learning*, MIT Press 2016, section 5.5.
    """

    takes_log_probabilities = True

    def prepare(self, target: Any, shape: tuple[int, ...], dtype: Any) -> Array:
        return class_indices(self, as_numbers(f"{self!r}: target", target), shape)

    def formula(
        self, prediction: Array, target: Array, weight: Array | None
    ) -> tuple[float, Array]:
        n = target.size
        at_target = places(target.reshape(-1), prediction.shape[-1])  # (n,)
        w = np.ones(len(target), prediction.dtype) if weight is None else weight
        w = np.repeat(w, n // len(w))  # (n,)
        d = np.zeros(prediction.shape, prediction.dtype)
        d.reshape(-1)[at_target] = -w / n
        losses = times(w, -prediction.reshape(-1)[at_target])
        return float(losses.sum()) / n, d


class KLDivergence(Elementwise):
    r"""Kullback-Leibler divergence of targets t from predictions, on log-probabilities p.

    :math:`L = \frac1n \sum t (\log t - p)` and :math:`\partial L/\partial p = -t / n`, over all n
    elements (not rows), as PyTorch's ``mean``; a target of 0 takes no part.

    Targets have the predictions' shape, and need not sum to one.

    Raises
    ------
    TypeError, ValueError
        For targets that are negative or not finite, or of another shape.

    Examples
    --------
    >>> import numpy as np
    >>> from chainrule import KLDivergence
    >>> value, d = KLDivergence()(np.log([[0.5, 0.5]]), [[1.0, 0.0]])
    >>> round(value, 6), d.tolist()
    (0.346574, [[-0.5, -0.0]])

    References
    ----------
    S. Kullback, R. A. Leibler, *On Information and Sufficiency*, Annals of Mathematical Statistics
    22, 1951.
    """

    takes_log_probabilities = True

    def check_target(self, target: Array) -> Array:
        right = np.isfinite(target) & (target >= 0)
        if not right.all():
            raise ValueError(
                f"{self!r}: targets must be finite and not negative, got {target[~right][0]:g}."
            )
        return target

    def terms(self, p: Array, t: Array) -> tuple[Array, Array]:
        log_t = np.log(t.clip(np.finfo(t.dtype).smallest_subnormal, np.inf))  # finite at 0 too
        losses = t * (log_t - p)
        losses[(t == 0) & np.isinf(p)] = 0  # the limit
        return losses, -t


class Hinge(Elementwise):
    r"""Hinge loss of a yes-or-no outcome, :math:`L = \frac1n \sum \max(0, 1 - t p)`, t = 1 or -1.

    :math:`\partial L/\partial p = -t \, [t p < 1] / n` (0 at the kink), over all n elements.

    Raises
    ------
    TypeError, ValueError
        For targets other than -1 and 1, or of another shape.

    Examples
    --------
    >>> from chainrule import Hinge
    >>> value, d = Hinge()([0.5, -2.0, 3.0, 1.0], [1, 1, -1, 1])
    >>> value, d.tolist()
    (1.875, [-0.25, -0.25, 0.25, -0.0])

    References
    ----------
    C. Cortes, V. Vapnik, *Support-Vector Networks*, Machine Learning 20, 1995.
    """

    def check_target(self, target: Array) -> Array:
        wrong = (target != 1) & (target != -1)
        if wrong.any():
            raise ValueError(
                f"{self!r}: targets must be -1 or 1, got {target[wrong][0]}; from 0 and 1 they are "
                "made by 2 * y - 1."
            )
        return target

    def terms(self, p: Array, t: Array) -> tuple[Array, Array]:
        margin = 1 - t * p
        return numerics.positive(margin), -t * ~(margin <= 0)  # NaN does not hide


def class_indices(
    loss: Loss, target: Array, shape: tuple[int, ...], or_soft: bool = False
) -> Array:
    """Refuse what are no indices of classes for predictions of this shape."""
    check_classes(loss, shape)
    if target.shape != shape[:-1]:
        hint = " Pass target[..., 0]." if target.shape == (*shape[:-1], 1) else ""
        soft = f" or probabilities of shape {show(shape)}" if or_soft else ""
        raise ValueError(
            f"{loss!r}: for predictions of shape {show(shape)} the target must be class indices of "
            f"shape {show(shape[:-1])}{soft}, got {show(target.shape)}.{hint}"
        )
    if target.dtype.kind == "f":
        raise TypeError(
            f"{loss!r}: class indices must be integers, got {target.dtype}; if they are whole "
            "numbers, pass target.astype(int)."
        )
    t, classes = target.astype(np.intp, copy=False), shape[-1]
    if t.view(np.uintp).max() >= classes:  # as unsigned numbers, negative ones are the largest
        low, high = int(target.min()), int(target.max())
        raise ValueError(
            f"{loss!r}: class indices must be from 0 to {classes - 1}, for predictions with "
            f"{classes} classes; got {low if low < 0 else high}."
        )
    return t


def check_classes(loss: Loss, shape: tuple[int, ...]) -> None:
    """Refuse predictions without an axis of classes, and empty ones."""
    if len(shape) < 2:
        raise ValueError(f"{loss!r}: predictions must be (N, ..., classes), got {show(shape)}.")
    if 0 in shape:
        raise ValueError(f"{loss!r}: the batch is empty; there is nothing to take a mean of.")


def places(t: Array, classes: int) -> Array:
    """Where the classes t (n,) are in a flat (n, classes)."""
    return np.arange(0, len(t) * classes, classes) + t


def in_unit_interval(loss: Loss, target: Array) -> Array:
    """Refuse targets that are no probabilities."""
    low, high = target.min(), target.max()
    if not (low >= 0 and high <= 1):
        wrong = low if not low >= 0 else high
        raise ValueError(f"{loss!r}: targets must be from 0 to 1, got {float(wrong):g}.")
    return target
