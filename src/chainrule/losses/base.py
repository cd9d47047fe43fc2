"""What all losses share: the call, the checks of what comes in, sample weights, and the mean. One
of your own needs none of this: any function with the same call will do."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from ..errors import as_numbers, cast, show

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

    from .._types import Array


class Loss:
    r"""Base class: ``value, dprediction = loss(prediction, target, sample_weight=None)``.

    The value is the mean over the batch, with weights :math:`\sum_n w_n \ell_n / N`: linear in
    the weights, so that parts of a batch add up exactly. A derived class writes `formula`, and
    checks targets in `prepare`. Any other function with the same call will do as a loss too.
    """

    #: Whether predictions are raw outputs, with no Softmax or Sigmoid before the loss.
    takes_logits: bool = False
    #: Whether predictions are logarithms of probabilities, as LogSoftmax gives them.
    takes_log_probabilities: bool = False

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


class Elementwise(Loss):
    r"""A loss for each entry of the predictions, :math:`L = \frac1n \sum \ell(p, t)` over all n.

    Targets have the predictions' shape. A derived class writes `terms`.
    """

    def prepare(self, target: Any, shape: tuple[int, ...], dtype: Any) -> Array:
        target = same_shape(self, as_numbers(f"{self!r}: target", target), shape)
        return cast(f"{self!r}: target", self.check_target(target), dtype)

    def check_target(self, target: Array) -> Array:
        """Refuse targets of the right shape that mean nothing to this loss."""
        return target

    def terms(self, p: Array, t: Array) -> tuple[Array, Array]:
        """Each entry's loss and its derivative by p, as new arrays."""
        raise NotImplementedError

    def formula(
        self, prediction: Array, target: Array, weight: Array | None
    ) -> tuple[float, Array]:
        losses, d = self.terms(prediction, target)
        n = losses.size
        if weight is not None:
            w = weight.reshape(-1, *[1] * (losses.ndim - 1))  # (N, 1, ...)
            losses, d = times(w, losses), times(w, d)
        d *= 1 / n
        return float(losses.sum()) / n, d


def times(w: Array, x: Array) -> Array:
    """w * x, and 0 where w is 0, whatever x may be: what has no weight takes no part."""
    product: Array = w * x
    if not math.isfinite(float(product.sum())):
        product[np.broadcast_to(w == 0, product.shape)] = 0
    return product


def same_shape(loss: Any, target: Array, shape: tuple[int, ...]) -> Array:
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
    if weight.size and not (weight.min() >= 0 and np.isfinite(weight).all()):
        raise ValueError("sample_weight must be finite and not negative.")
    return cast("sample_weight", weight, dtype)
