"""How parameters are drawn before training: functions of (rng, shape, dtype) that return an array.

The scale decides whether signals and gradients neither die out nor explode on their way through
many layers, so each of these keeps a variance constant under its own assumption.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

import numpy as np

from .errors import check_number

if TYPE_CHECKING:
    from numpy.typing import DTypeLike

    from ._types import Array

    Initializer: TypeAlias = Callable[[np.random.Generator, tuple[int, ...], DTypeLike], Array]


def he_normal(rng: np.random.Generator, shape: tuple[int, ...], dtype: DTypeLike) -> Array:
    r"""He et al. (2015), normal: std :math:`\sqrt{2 / n_{in}}`, for layers before a ReLU.

    The default of every layer here.

    Examples
    --------
    >>> import numpy as np
    >>> from chainrule import initializers
    >>> W = initializers.he_normal(np.random.default_rng(0), (800, 100), "float32")
    >>> W.shape, W.dtype.name, round(float(W.std()), 3)
    ((800, 100), 'float32', 0.05)

    References
    ----------
    K. He, X. Zhang, S. Ren, J. Sun, *Delving Deep into Rectifiers*, ICCV 2015.
    """
    return _normal(rng, shape, dtype, math.sqrt(2 / _fans(shape)[0]))


def he_uniform(rng: np.random.Generator, shape: tuple[int, ...], dtype: DTypeLike) -> Array:
    r"""He et al. (2015), uniform on :math:`\pm\sqrt{6 / n_{in}}`, for layers before a ReLU."""
    return _uniform(rng, shape, dtype, math.sqrt(6 / _fans(shape)[0]))


def glorot_normal(rng: np.random.Generator, shape: tuple[int, ...], dtype: DTypeLike) -> Array:
    r"""Glorot & Bengio (2010), normal: std :math:`\sqrt{2 / (n_{in} + n_{out})}`, before a tanh.

    References
    ----------
    X. Glorot, Y. Bengio, *Understanding the difficulty of training deep feedforward neural
    networks*, AISTATS 2010.
    """
    return _normal(rng, shape, dtype, math.sqrt(2 / sum(_fans(shape))))


def glorot_uniform(rng: np.random.Generator, shape: tuple[int, ...], dtype: DTypeLike) -> Array:
    r"""Glorot & Bengio (2010), uniform on :math:`\pm\sqrt{6 / (n_{in} + n_{out})}`."""
    return _uniform(rng, shape, dtype, math.sqrt(6 / sum(_fans(shape))))


def lecun_normal(rng: np.random.Generator, shape: tuple[int, ...], dtype: DTypeLike) -> Array:
    r"""LeCun et al. (1998), normal: std :math:`\sqrt{1 / n_{in}}`, for SELU and linear layers.

    References
    ----------
    Y. LeCun, L. Bottou, G. Orr, K.-R. Müller, *Efficient BackProp*, 1998, section 4.6.
    """
    return _normal(rng, shape, dtype, math.sqrt(1 / _fans(shape)[0]))


def lecun_uniform(rng: np.random.Generator, shape: tuple[int, ...], dtype: DTypeLike) -> Array:
    r"""LeCun et al. (1998), uniform on :math:`\pm\sqrt{3 / n_{in}}`."""
    return _uniform(rng, shape, dtype, math.sqrt(3 / _fans(shape)[0]))


def orthogonal(rng: np.random.Generator, shape: tuple[int, ...], dtype: DTypeLike) -> Array:
    """Saxe et al. (2014): rows or columns, whichever are fewer, are orthonormal.

    The Q of a QR decomposition of a normal matrix, its signs fixed by R's diagonal so that it is
    uniform over the orthogonal group. More than two axes are folded into (..., last).

    Examples
    --------
    >>> import numpy as np
    >>> from chainrule import initializers
    >>> W = initializers.orthogonal(np.random.default_rng(0), (5, 3), "float64")
    >>> bool(np.allclose(W.T @ W, np.eye(3)))
    True

    References
    ----------
    A. Saxe, J. McClelland, S. Ganguli, *Exact solutions to the nonlinear dynamics of learning in
    deep linear neural networks*, ICLR 2014.
    """
    if len(shape) < 2:
        raise ValueError(f"orthogonal: the shape needs two axes or more, got {shape}.")
    rows, columns = math.prod(shape[:-1]), shape[-1]
    q, r = np.linalg.qr(rng.standard_normal((max(rows, columns), min(rows, columns))))
    q *= np.where(np.diagonal(r) < 0, -1.0, 1.0)
    return (q if rows >= columns else q.T).reshape(shape).astype(dtype)


@dataclass(frozen=True)
class normal:
    r"""Normal with mean 0 and the given standard deviation: the lecture's :math:`N(0, \sigma^2)`.

    Examples
    --------
    >>> import chainrule
    >>> from chainrule import initializers
    >>> chainrule.Dense(784, 128, init=initializers.normal(0.01))
    Dense(784, 128, init=normal(std=0.01))
    """

    std: float

    def __post_init__(self) -> None:
        check_number("normal", "std", self.std, low=0)

    def __call__(self, rng: np.random.Generator, shape: tuple[int, ...], dtype: DTypeLike) -> Array:
        return _normal(rng, shape, dtype, self.std)


@dataclass(frozen=True)
class constant:
    """Every entry the same. `zeros` and `ones` are the two that are wanted most.

    Examples
    --------
    >>> import numpy as np
    >>> from chainrule import initializers
    >>> initializers.constant(0.5)(np.random.default_rng(0), (3,), "float32").tolist()
    [0.5, 0.5, 0.5]
    """

    value: float

    def __post_init__(self) -> None:
        check_number("constant", "value", self.value)

    def __call__(self, rng: np.random.Generator, shape: tuple[int, ...], dtype: DTypeLike) -> Array:
        return np.full(shape, self.value, dtype)


zeros = constant(0.0)
ones = constant(1.0)


def _fans(shape: tuple[int, ...]) -> tuple[int, int]:
    """Inputs and outputs of a unit: W has shape (..., in, out); a vector counts for both."""
    if len(shape) < 2:
        shape = (*shape, *shape) or (1, 1)
    return max(1, math.prod(shape[:-1])), max(1, shape[-1])


def _normal(
    rng: np.random.Generator, shape: tuple[int, ...], dtype: DTypeLike, std: float
) -> Array:
    values = rng.standard_normal(shape, dtype=np.dtype(dtype))  # type: ignore[arg-type]
    values *= std
    return values


def _uniform(
    rng: np.random.Generator, shape: tuple[int, ...], dtype: DTypeLike, bound: float
) -> Array:
    values = rng.random(shape, dtype=np.dtype(dtype))  # type: ignore[arg-type]
    values *= 2 * bound
    values -= bound
    return values
