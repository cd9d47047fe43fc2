"""Losses: how wrong a prediction is, as one number, and which way each entry of it should move.

Those for classes take logits, the raw outputs, so that value and gradient are one stable formula.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from . import numerics
from .errors import as_numbers, cast, check_number, show

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

    from ._types import Array


class Loss:
    r"""Base class: ``value, dprediction = loss(prediction, target, sample_weight=None)``.

    The value is the mean over the batch, with weights :math:`\sum_n w_n \ell_n / N`: linear in
    the weights, so that parts of a batch add up exactly. A derived class writes `formula`, and
    checks targets in `prepare`. Any other function with the same call will do as a loss too.
    """

    #: Whether predictions are raw outputs, with no Softmax or Sigmoid before the loss.
    takes_logits: bool = False

    def __call__(
        self, prediction: ArrayLike, target: ArrayLike, sample_weight: ArrayLike | None = None
    ) -> tuple[float, Array]:
        prediction = as_numbers(f"{self!r}: prediction", prediction)
        if prediction.dtype.kind != "f":
            prediction = prediction.astype(np.float64)
        target = self.prepare(target, prediction.shape, prediction.dtype)
        weight = prepare_weight(sample_weight, target.shape[:1], prediction.dtype)
        with np.errstate(all="ignore"):  # infinities are allowed; what has no limit becomes NaN
            return self.formula(prediction, target, weight)

    def prepare(self, target: Any, shape: tuple[int, ...], dtype: Any) -> Array:
        """Check a target against the predictions' shape; return it as `formula` wants it."""
        raise NotImplementedError

    def formula(
        self, prediction: Array, target: Array, weight: Array | None
    ) -> tuple[float, Array]:
        """Value and gradient from arrays that were checked."""
        raise NotImplementedError

    def __repr__(self) -> str:
        options = ", ".join(f"{name}={value!r}" for name, value in vars(self).items() if value)
        return f"{type(self).__name__}({options})"


class MeanSquaredError(Loss):
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

    def prepare(self, target: Any, shape: tuple[int, ...], dtype: Any) -> Array:
        target = same_shape(self, as_numbers(f"{self!r}: target", target), shape)
        return cast(f"{self!r}: target", target, dtype)

    def formula(
        self, prediction: Array, target: Array, weight: Array | None
    ) -> tuple[float, Array]:
        r = prediction - target
        d = r * r.dtype.type(2 / r.size)
        if weight is None:
            return float((r * r).sum()) / r.size, d
        w = by_row(weight, r.ndim)
        return float(times(w, r * r).sum()) / r.size, times(w, d)


class BinaryCrossEntropy(Loss):
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

    def prepare(self, target: Any, shape: tuple[int, ...], dtype: Any) -> Array:
        target = same_shape(self, as_numbers(f"{self!r}: target", target), shape)
        return in_unit_interval(self, target).astype(dtype, copy=False)

    def formula(
        self, prediction: Array, target: Array, weight: Array | None
    ) -> tuple[float, Array]:
        z, t = prediction, target
        e = np.exp(-np.abs(z))
        losses = np.maximum(z, z.dtype.type(0)) - t * z + np.log1p(e)
        if not math.isfinite(float(losses.sum())):  # at z = ±inf: a zero target takes no part
            yes, no = t * numerics.softplus(-z), (1 - t) * numerics.softplus(z)
            losses = np.where(t == 0, 0, yes) + np.where(t == 1, 0, no)
        d = (numerics.sigmoid(z) - t) * z.dtype.type(1 / z.size)
        if weight is None:
            return float(losses.sum()) / z.size, d
        w = by_row(weight, z.ndim)
        return float(times(w, losses).sum()) / z.size, times(w, d)


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
        if len(shape) < 2:
            raise ValueError(f"{self!r}: predictions must be (N, ..., classes), got {show(shape)}.")
        if 0 in shape:
            raise ValueError(f"{self!r}: the batch is empty; there is nothing to take a mean of.")
        if target.shape == shape:
            return self._prepare_probabilities(target, dtype)
        if target.shape != shape[:-1]:
            hint = " Pass target[..., 0]." if target.shape == (*shape[:-1], 1) else ""
            raise ValueError(
                f"{self!r}: for predictions of shape {show(shape)} the target must be class "
                f"indices of shape {show(shape[:-1])} or probabilities of shape {show(shape)}, got "
                f"{show(target.shape)}.{hint}"
            )
        if target.dtype.kind == "f":
            raise TypeError(
                f"{self!r}: class indices must be integers, got {target.dtype}; if they are whole "
                "numbers, pass target.astype(int)."
            )
        t, classes = target.astype(np.intp, copy=False), shape[-1]
        if t.view(np.uintp).max() >= classes:  # as unsigned numbers, negative ones are the largest
            low, high = int(target.min()), int(target.max())
            raise ValueError(
                f"{self!r}: class indices must be from 0 to {classes - 1}, for predictions with "
                f"{classes} classes; got {low if low < 0 else high}."
            )
        return t

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
        value, d = self._mean(z - np.maximum.reduce(z, axis=1, keepdims=True), t, w, indices)
        if not math.isfinite(value):  # logits of ±inf may still have a limit
            value, d = self._mean(numerics.shift(z), t, w, indices)
        return value, d if d.ndim == prediction.ndim else d.reshape(prediction.shape)

    def _mean(
        self, z: Array, t: Array, w: Array | None, indices: bool
    ) -> tuple[float, Array]:  # z (n, C), its largest entries 0; t (n,) or (n, C); w (n,)
        n, classes = z.shape
        smooth = self.label_smoothing
        d = np.exp(z, order="C")
        s = np.add.reduce(d, axis=1, keepdims=True)  # softmax(z) = d / s
        d /= s * n
        if indices and not smooth:
            at = np.arange(0, n * classes, classes) + t  # where the targets are in a flat array
            at_target = z.take(at)
            d.reshape(-1)[at] -= d.dtype.type(1 / n)
        else:
            t = np.eye(classes, dtype=z.dtype)[t] if indices else t
            if smooth:
                t = (1 - smooth) * t + smooth / classes
            at_target = times(t, z).sum(axis=1)  # (n,)
            d -= t / n
        losses = np.log(s[:, 0]) - at_target
        if w is None:
            return float(np.add.reduce(losses)) / n, d
        return float(np.add.reduce(times(w, losses))) / n, times(w[:, None], d)


def times(w: Array, x: Array) -> Array:
    """w * x, and 0 where w is 0, though x be infinite."""
    product: Array = w * x
    if not math.isfinite(float(product.sum())):
        product[np.broadcast_to(w == 0, product.shape)] = 0
    return product


def same_shape(loss: Loss, target: Array, shape: tuple[int, ...]) -> Array:
    """Refuse a target of another shape than the predictions', and an empty one."""
    if target.shape != shape:
        hint = ""
        if target.size == math.prod(shape):
            hint = f" The sizes agree: pass target.reshape{show(shape)}, if that is what you mean."
        raise ValueError(
            f"{loss!r}: the target must have the predictions' shape {show(shape)}, got "
            f"{show(target.shape)}.{hint}"
        )
    if not target.size:
        raise ValueError(f"{loss!r}: the batch is empty; there is nothing to take a mean of.")
    return target


def in_unit_interval(loss: Loss, target: Array) -> Array:
    """Refuse targets that are no probabilities."""
    low, high = target.min(), target.max()
    if not (low >= 0 and high <= 1):
        wrong = low if not low >= 0 else high
        raise ValueError(f"{loss!r}: targets must be from 0 to 1, got {float(wrong):g}.")
    return target


def prepare_weight(weight: Any, shape: tuple[int, ...], dtype: Any) -> Array | None:
    """Check sample weights: one for each row, finite and not negative."""
    if weight is None:
        return None
    weight = as_numbers("sample_weight", weight)
    if weight.shape != shape:
        raise ValueError(
            f"sample_weight must have one weight for each row, shape {show(shape)}; got "
            f"{show(weight.shape)}."
        )
    if not (weight.min() >= 0 and np.isfinite(weight).all()):
        raise ValueError("sample_weight must be finite and not negative.")
    return cast("sample_weight", weight, dtype)


def by_row(weight: Array, ndim: int) -> Array:
    """Weights (N,) as (N, 1, ...), to multiply arrays of `ndim` axes."""
    return weight.reshape(-1, *[1] * (ndim - 1))
