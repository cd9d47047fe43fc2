"""Dropout: in training each pass silences another random part of the units, so that none can rely
on a single other. At test time all units speak, and nothing has to be scaled."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from ..errors import check_number
from ..layer import Layer, register_layer

if TYPE_CHECKING:
    from .._types import Array, Shape


@register_layer
class Dropout(Layer):
    r"""Inverted dropout, :math:`y = x m / (1 - p)` with :math:`m \sim \mathrm{Bernoulli}(1-p)`.

    In evaluation :math:`y = x`. The gradient is :math:`\partial L/\partial x = g m / (1 - p)` with
    the same mask.

    Parameters
    ----------
    p : float
        Probability that a unit is dropped, from 0 (nothing happens) to 1 (all is zero).
    rng : numpy.random.Generator, optional
        For a layer that is used alone; seeded from the system if not given. A `Model` replaces it
        by one of its own, made from its seed.

    Raises
    ------
    TypeError, ValueError
        For a p outside [0, 1] or NaN.

    Examples
    --------
    >>> import numpy as np
    >>> from chainrule import Dropout
    >>> layer = Dropout(0.5, rng=np.random.default_rng(1))
    >>> y, cache = layer.forward(np.ones(6, np.float32), training=True)
    >>> y.tolist()
    [0.0, 2.0, 2.0, 2.0, 0.0, 0.0]
    >>> layer.forward(np.ones(6, np.float32))[0].tolist()
    [1.0, 1.0, 1.0, 1.0, 1.0, 1.0]

    References
    ----------
    N. Srivastava et al., *Dropout: A Simple Way to Prevent Neural Networks from Overfitting*, JMLR
    15, 2014.
    """

    keeps_values = True

    def __init__(self, p: float = 0.5, rng: np.random.Generator | None = None) -> None:
        super().__init__()
        self.p = check_number("Dropout", "p", p, low=0, high=1)
        if rng is not None:
            if not isinstance(rng, np.random.Generator):
                raise TypeError(
                    f"Dropout: rng must be a numpy.random.Generator such as "
                    f"np.random.default_rng(0), got {rng!r}."
                )
            self.rng = rng

    def forward(self, x: Array, training: bool = False) -> tuple[Array, Array | None]:
        if not training or self.p == 0:
            return x, None
        if x.dtype.kind != "f":
            x = x.astype(np.float32)
        if self.p == 1:
            m = np.zeros_like(x)
        else:
            keep = self.rng.random(x.shape, dtype=np.float32) >= self.p
            m = np.multiply(keep, x.dtype.type(1 / (1 - self.p)), dtype=x.dtype)
        return x * m, m

    def backward(
        self,
        dy: Array,
        cache: Array | None,
        out: Mapping[str, Any] | None = None,
        need_dx: bool = True,
    ) -> tuple[Array, dict[str, Array]]:
        return (dy if cache is None else dy * cache), {}

    def output_shape(self, input_shape: Shape) -> Shape:
        return input_shape
