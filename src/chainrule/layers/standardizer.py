"""Standardization: each feature brought to mean 0 and standard deviation 1, by what the training
rows were. As a layer it is saved with the model, so that predictions take rows as they come."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from ..errors import as_numbers, cast, check_count, show
from ..layer import Layer, register_layer

if TYPE_CHECKING:
    from .._types import Array, Shape

BLOCK = 1 << 17  # numbers that are looked at together: 1 MB
STEPS = 100  # of the dtype's numbers, at least, in one standard deviation
NOISE = 8 * np.finfo(np.float64).eps  # a feature that differs by less was computed, and is constant


@register_layer
class Standardizer(Layer):
    r"""Standardize each feature, :math:`y = (x - m) / s`, with :math:`m` and :math:`s` from `fit`.

    It stands first in a network. Mean and scale are buffers: they are saved and copied with the
    model, and training never moves them. Before `fit` they are 0 and 1.

    .. math::
        m = \frac1n \sum_i x_i, \qquad s = \sqrt{\frac1n \sum_i (x_i - m)^2}, \qquad
        \frac{\partial L}{\partial x} = \frac1s \, \frac{\partial L}{\partial y}

    A feature that never changes has :math:`s = 1`, so that it becomes 0. Should it change in new
    rows, it meets weights that were never trained; it is better left out.

    Parameters
    ----------
    num_features : int
        Size of the last axis.

    Attributes
    ----------
    mean, scale : array (num_features,)
        Buffers :math:`m` and :math:`s`.

    Raises
    ------
    TypeError, ValueError
        For other sizes; by `forward` for a wrong last axis.

    Examples
    --------
    >>> import numpy as np
    >>> from chainrule import Dense, Model, Standardizer
    >>> x = np.array([[1.0, 100.0], [3.0, 300.0]])
    >>> model = Model(Standardizer(2).fit(x), Dense(2, 1), seed=0)
    >>> model.layers[0].mean.tolist(), model.layers[0].scale.tolist()
    ([2.0, 200.0], [1.0, 100.0])
    >>> model.activations(x)[0].tolist()
    [[-1.0, -1.0], [1.0, 1.0]]

    References
    ----------
    Y. LeCun, L. Bottou, G. Orr, K.-R. Müller, *Efficient BackProp*, 1998, section 4.3. Means of
    blocks are joined as in T. Chan, G. Golub, R. LeVeque, *Updating Formulae and a Pairwise
    Algorithm for Computing Sample Variances*, COMPSTAT 1982.
    """

    mean: Array
    scale: Array

    def __init__(self, num_features: int) -> None:
        super().__init__()
        self.num_features = check_count("Standardizer", "num_features", num_features)
        self.add_buffer("mean", np.broadcast_to(0.0, self.num_features))
        self.add_buffer("scale", np.broadcast_to(1.0, self.num_features))

    def fit(self, x: Any) -> Standardizer:
        """Set mean and scale from rows, and return the layer.

        Sums are in float64, block by block, so an array that is mapped from a file is read once
        and never held whole.

        Parameters
        ----------
        x : array (N, ..., num_features)
            The training rows alone: what is known of the others must not flow into a model.

        Returns
        -------
        Standardizer
            This layer, so that it can be written into a `Model` at once.

        Raises
        ------
        TypeError, ValueError
            For no rows, another width, and numbers that are not finite; and for a feature of which
            the layer's dtype would lose the digits that matter, such as time stamps of 1.7e9 that
            differ by minutes: float32 has steps of 128 there. The layer is then as it was.
        """
        x = as_numbers(f"{self!r}: x", x)
        if x.ndim < 2 or x.size == 0:
            raise ValueError(
                f"{self!r}: fit takes rows of data (N, ..., {self.num_features}), got an array of "
                f"shape {show(x.shape)}."
            )
        self.output_shape(x.shape[1:])  # raises for another width
        mean, scale, low, high = self._moments(x)
        largest = np.maximum(abs(low), abs(high))
        constant = high - low <= NOISE * largest
        scale[constant] = 1
        dtype = self.scale.dtype
        largest = cast(f"{self!r}: x", largest, dtype)
        step = np.spacing(largest).astype(np.float64)
        for j in np.flatnonzero(~constant & (scale < STEPS * step)):
            raise ValueError(
                f"{self!r}: feature {j} has values up to {largest[j]:.6g} that differ by "
                f"{scale[j]:.2g} (standard deviation), where the numbers of {dtype} are "
                f"{step[j]:.2g} apart. Subtract an offset in float64 first"
                + (', or fit inside a Model(..., dtype="float64").' if dtype != np.float64 else ".")
            )
        self.mean, self.scale = mean, scale
        return self

    def _moments(self, x: Array) -> tuple[Array, Array, Array, Array]:
        """Mean, standard deviation, smallest and largest of each feature, (d,) in float64."""
        d = self.num_features
        n, shift, mean, squares = 0, np.zeros(d), np.zeros(d), np.zeros(d)
        low, high = np.full(d, np.inf), np.full(d, -np.inf)
        size = max(1, BLOCK // (x.size // len(x)))
        for start in range(0, len(x), size):
            rows = np.asarray(x[start : start + size], np.float64).reshape(-1, d)
            bad = np.flatnonzero(~np.isfinite(rows).all(axis=0))
            if len(bad):
                raise ValueError(
                    f"{self!r}: feature {bad[0]} holds values that are NaN or infinite. Fill gaps "
                    "first, as chainrule.tables.TableEncoder does, or leave their rows out."
                )
            low, high = np.minimum(low, rows.min(axis=0)), np.maximum(high, rows.max(axis=0))
            try:
                with np.errstate(over="raise", invalid="raise"):
                    if not n:
                        shift = rows.mean(axis=0)  # taken off all: the digits below it count
                    n, mean, squares = _join(n, mean, squares, rows - shift)
            except FloatingPointError:
                raise ValueError(
                    f"{self!r}: x holds values whose squares are too large for float64; scale the "
                    "data first."
                ) from None
        return shift + mean, np.sqrt(squares / n), low, high

    def forward(self, x: Array, training: bool = False) -> tuple[Array, None]:
        self.output_shape(x.shape[1:])  # raises for another width
        y = x - self.mean
        y /= self.scale
        return y, None

    def backward(
        self,
        dy: Array,
        cache: None,
        out: Mapping[str, Array] | None = None,
        need_dx: bool = True,
    ) -> tuple[Array | None, dict[str, Array]]:
        return dy / self.scale if need_dx else None, {}

    def output_shape(self, input_shape: Shape) -> Shape:
        if not input_shape or input_shape[-1] not in (self.num_features, None, ...):
            wanted = show((..., self.num_features))
            raise ValueError(f"{self!r} expects inputs of shape {wanted}, got {show(input_shape)}.")
        return input_shape


def _join(n: int, mean: Array, squares: Array, rows: Array) -> tuple[int, Array, Array]:
    """Take further rows (k, d) into a count, means and sums of squares about the means."""
    k, mean_rows = len(rows), rows.mean(axis=0)
    z = rows - mean_rows
    rest = z.mean(axis=0)  # what rounding left of the mean
    z -= rest
    delta = mean_rows + rest - mean
    share = k / (n + k)
    return (
        n + k,
        mean + delta * share,
        squares + (z * z).sum(axis=0) + delta * delta * (n * share),
    )
