"""Normalization: numbers brought to mean 0 and variance 1, then scaled and shifted as is learned.
`BatchNorm` looks at each feature over the batch, `LayerNorm` at each sample over its features."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from ..errors import check_count, check_number, show
from ..initializers import ones, zeros
from ..layer import Layer, register_layer
from ..numerics import sum_rows

if TYPE_CHECKING:
    from .._types import Array, Shape


TALL = 65_536  # rows beyond which the second mean is rounded as well, and taken off once more


class Normalization(Layer):
    r"""What both share: :math:`y = \gamma \hat x + \beta`, with gradients of both.

    The last axes, those of :math:`\gamma`, are folded into one, and those before into another, so
    that formulas are about matrices, x (n, d).
    """

    gamma: Array
    beta: Array
    weight_axes: Mapping[str, int] = {}

    def declare(self, name: str, sizes: Sequence[int], eps: float) -> tuple[int, ...]:
        """Check the options that both have, declare the parameters, return their shape."""
        owner = type(self).__name__
        shape = tuple(check_count(owner, name, size) for size in sizes)
        self.eps = check_number(owner, "eps", eps, low=0, open_low=True)
        if np.float32(self.eps) == 0:  # where nothing varies, 0 would be divided by 0
            raise ValueError(f"{owner}: eps={eps!r} is less than float32 can hold.")
        self.add_parameter("gamma", shape, ones)
        self.add_parameter("beta", shape, zeros)
        return shape

    def normalize(self, x: Array, training: bool) -> tuple[Array, Any]:
        """Return x_hat (n, d), a new array, and what `through` will need beside it."""
        raise NotImplementedError

    def through(self, g: Array, x_hat: Array, rest: Any, sums: tuple[Array, Array] | None) -> Array:
        """dL/dx (n, d) from g = dL/dy; with the sums over the rows of g and g x_hat, if known."""
        raise NotImplementedError

    def forward(self, x: Array, training: bool = False) -> tuple[Array, tuple[Array, Any]]:
        self.output_shape(x.shape[1:])  # raises for other shapes
        with np.errstate(invalid="ignore", over="ignore"):  # what has no limit becomes NaN
            x_hat, rest = self.normalize(self._matrix(x), training)
            y = x_hat * self.gamma.reshape(-1)
            y += self.beta.reshape(-1)
        return y.reshape(x.shape), (x_hat, rest)

    def backward(
        self,
        dy: Array,
        cache: tuple[Array, Any],
        out: Mapping[str, Array] | None = None,
        need_dx: bool = True,
    ) -> tuple[Array | None, dict[str, Array]]:
        x_hat, rest = cache
        g, grads, sums = self._matrix(dy), {}, None
        if self.trainable:
            sums = _sums(g, x_hat)  # dL/dbeta, dL/dgamma
            grads = {"gamma": sums[1].reshape(self.gamma.shape)}
            grads["beta"] = sums[0].reshape(self.gamma.shape)
            for name, view in out.items() if out else ():
                view[...] = grads[name]
                grads[name] = view
        dx = self.through(g, x_hat, rest, sums).reshape(dy.shape) if need_dx else None
        return dx, grads

    def output_shape(self, input_shape: Shape) -> Shape:
        shape = self.parameter_shapes["gamma"]
        fits = len(input_shape) >= len(shape) or input_shape[:1] == (...,)
        for size, wanted in zip(reversed(input_shape), reversed(shape), strict=False):
            fits = fits and size in (wanted, None, ...)
        if not fits:
            raise ValueError(
                f"{self!r} expects inputs of shape {show((..., *shape))}, got {show(input_shape)}."
            )
        return input_shape

    def _matrix(self, x: Array) -> Array:
        """Fold the axes: (..., d) -> (n, d)."""
        d = math.prod(self.parameter_shapes["gamma"])
        return x if x.ndim == 2 and x.shape[1] == d else x.reshape(x.size // d, d)


@register_layer
class BatchNorm(Normalization):
    r"""Batch normalization of each feature, :math:`y = \gamma \hat x + \beta`.

    In training, with mean and variance of the batch (biased; over all axes but the last):
    :math:`\hat x = (x - \mu) / \sqrt{\sigma^2 + \epsilon}`. Running statistics follow them,
    :math:`r \leftarrow (1 - m) r + m s`, the variance unbiased; in evaluation, and while the layer
    is frozen, they stand in for the batch's.

    With :math:`g = \partial L/\partial y` and means over the batch:

    .. math::
        \partial L/\partial x = \frac{\gamma}{\sqrt{\sigma^2 + \epsilon}}
        \left(g - \overline{g} - \hat x \, \overline{g \hat x}\right)

    in training, :math:`g \gamma / \sqrt{r + \epsilon}` in evaluation; :math:`\partial L/\partial
    \gamma = \sum g \hat x`, :math:`\partial L/\partial \beta = \sum g`.

    A batch of one has no variance: its output is :math:`\beta`, and it moves the running mean
    alone. An empty one moves nothing.

    Parameters
    ----------
    num_features : int
        Size of the last axis.
    eps : float
        :math:`\epsilon`.
    momentum : float
        m, the weight of the new value, from 0 to 1.

    Attributes
    ----------
    running_mean, running_var : array (num_features,)
        Buffers, from 0 and 1.

    Raises
    ------
    TypeError, ValueError
        For options outside their ranges; by `forward` for a wrong last axis.

    Examples
    --------
    >>> import numpy as np
    >>> from chainrule import BatchNorm
    >>> layer = BatchNorm(1)
    >>> y, cache = layer.forward(np.array([[1.0], [3.0]]), training=True)
    >>> y.round(3).tolist(), layer.running_mean, layer.running_var
    ([[-1.0], [1.0]], array([0.2], dtype=float32), array([1.1], dtype=float32))

    References
    ----------
    S. Ioffe, C. Szegedy, *Batch Normalization*, ICML 2015; the derivation is in
    docs/derivations/normalization.md.
    """

    running_mean: Array
    running_var: Array

    def __init__(self, num_features: int, eps: float = 1e-5, momentum: float = 0.1) -> None:
        super().__init__()
        (self.num_features,) = self.declare("num_features", [num_features], eps)
        self.momentum = check_number("BatchNorm", "momentum", momentum, low=0, high=1)
        self.add_buffer("running_mean", np.broadcast_to(0.0, self.num_features))
        self.add_buffer("running_var", np.broadcast_to(1.0, self.num_features))

    def normalize(self, x: Array, training: bool) -> tuple[Array, tuple[Array, bool]]:
        by_batch = training and self.trainable and len(x) > 0
        if not by_batch:
            inv = 1 / np.sqrt(self.running_var + self.eps)  # (d,)
            x_hat = x - self.running_mean
            x_hat *= inv
            return x_hat, (inv, by_batch)
        x_hat, mean, var = standardize(x)
        m, n = self.momentum, len(x)
        running = self.running_mean
        running += m * (mean - running)
        if n > 1:
            running = self.running_var
            running += m * (var * (n / (n - 1)) - running)
        inv = 1 / np.sqrt(var + self.eps)
        x_hat *= inv
        return x_hat, (inv, by_batch)

    def through(
        self,
        g: Array,
        x_hat: Array,
        rest: tuple[Array, bool],
        sums: tuple[Array, Array] | None,
    ) -> Array:
        inv, by_batch = rest
        if by_batch:
            one, other = sums or _sums(g, x_hat)
            dx = centre(g, x_hat, one / len(g), other / len(g))
            dx *= self.gamma * inv
            return dx
        return g * (self.gamma * inv)


@register_layer
class LayerNorm(Normalization):
    r"""Layer normalization of each sample, :math:`y = \gamma \hat x + \beta`.

    With mean and variance (biased) over the last axes of each sample: :math:`\hat x = (x - \mu) /
    \sqrt{\sigma^2 + \epsilon}`, the same in training and in evaluation.

    With :math:`g = \gamma \, \partial L/\partial y` and means over the same axes:

    .. math::
        \partial L/\partial x = \frac{1}{\sqrt{\sigma^2 + \epsilon}}
        \left(g - \overline{g} - \hat x \, \overline{g \hat x}\right)

    and :math:`\partial L/\partial \gamma = \sum_n \hat x \, \partial L/\partial y`,
    :math:`\partial L/\partial \beta = \sum_n \partial L/\partial y`.

    Parameters
    ----------
    normalized_shape : int or tuple of int
        Sizes of the last axes.
    eps : float
        :math:`\epsilon`.

    Raises
    ------
    TypeError, ValueError
        For options outside their ranges; by `forward` for other last axes.

    Examples
    --------
    >>> import numpy as np
    >>> from chainrule import LayerNorm
    >>> y, cache = LayerNorm(3).forward(np.array([[1.0, 2.0, 3.0], [1e8, 1e8, 1e8]]))
    >>> y.round(3).tolist()
    [[-1.225, 0.0, 1.225], [0.0, 0.0, 0.0]]

    References
    ----------
    J. L. Ba, J. R. Kiros, G. E. Hinton, *Layer Normalization*, arXiv:1607.06450, 2016; the
    derivation is in docs/derivations/normalization.md.
    """

    def __init__(self, normalized_shape: int | tuple[int, ...], eps: float = 1e-5) -> None:
        super().__init__()
        if isinstance(normalized_shape, (tuple, list)):
            if not normalized_shape:
                raise ValueError("LayerNorm: normalized_shape must hold a size or more, got ().")
            self.normalized_shape: Any = self.declare("normalized_shape", normalized_shape, eps)
        else:
            (self.normalized_shape,) = self.declare("normalized_shape", [normalized_shape], eps)

    def normalize(self, x: Array, training: bool) -> tuple[Array, Array]:
        x_hat, _, var = standardize(x.T)  # over each sample, as BatchNorm does over each feature
        inv = 1 / np.sqrt(var + self.eps)  # (n,)
        x_hat *= inv
        return x_hat.T, inv

    def through(
        self, g: Array, x_hat: Array, rest: Array, sums: tuple[Array, Array] | None
    ) -> Array:
        g, d = g * self.gamma.reshape(-1), x_hat.shape[1]
        means = sum_rows(g.T) / d, sum_rows((g * x_hat).T) / d  # (n,)
        dx = centre(g.T, x_hat.T, *means)
        dx *= rest
        return dx.T


def _sums(g: Array, x_hat: Array) -> tuple[Array, Array]:
    """Sums over the rows of g and of g x_hat."""
    return sum_rows(g), sum_rows(g * x_hat)


def standardize(x: Array) -> tuple[Array, Array, Array]:
    """Return x - mean, mean and biased variance over the rows; x (n, d).

    The mean is taken twice: the first one's rounding error is what is left as the mean of the
    differences. So a constant column of 1e8 gives zeros in float32 too. A variance beyond the
    dtype's numbers is NaN.
    """
    n = len(x)
    mean = sum_rows(x) / n
    z = x - mean
    for _ in range(1 if n <= TALL else 2):
        rest = sum_rows(z) / n
        z -= rest
        mean += rest
    var = sum_rows(z * z) / n
    var[np.isinf(var)] = np.nan  # x_hat would be 0, as if nothing had overflowed
    return z, mean, var


def centre(g: Array, x_hat: Array, mean: Array, mean_hat: Array) -> Array:
    """g - mean - x_hat mean_hat, a new array; g and x_hat (n, d), the means (d,)."""
    dx = x_hat * mean_hat
    dx += mean
    return np.subtract(g, dx, out=dx)
