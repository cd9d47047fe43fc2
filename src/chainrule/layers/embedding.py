"""Embedding: a table of vectors that are learned, one for each index, as for words or categories.
Looking up row i is the product of a one-hot vector with the table, without the zeros."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from ..errors import as_numbers, check_count
from ..initializers import normal
from ..layer import Layer, register_layer

if TYPE_CHECKING:
    from numpy.typing import DTypeLike

    from .._types import Array, Shape


@register_layer
class Embedding(Layer):
    r"""Table of vectors, :math:`y = W_x` for integers x: (n, ...) -> (n, ..., embedding_dim).

    :math:`\partial L/\partial W_i = \sum_{x_n = i} g_n` with :math:`g = \partial L/\partial y`.
    Indices have no gradient, so dx is None. In a model they stay integers from the input on, so an
    Embedding comes first, or behind layers that only move numbers, such as `Reshape`. A layer of
    your own that holds one says so by ``takes_indices = True`` in its class.

    Parameters
    ----------
    num_embeddings : int
        How many vectors; indices are from 0 to num_embeddings - 1.
    embedding_dim : int
        Size of each.
    padding_idx : int, optional
        An index whose vector starts at zero and takes no gradient (on purpose, so that `gradcheck`
        will find a difference where it occurs).

    Raises
    ------
    TypeError, ValueError
        For sizes that are no positive integers and a padding_idx out of range; by `forward` for
        indices that are no integers, or out of range.

    Examples
    --------
    >>> import numpy as np
    >>> from chainrule import Embedding
    >>> layer = Embedding(3, 2, padding_idx=0)
    >>> layer.W = [[0.0, 0.0], [1.0, 2.0], [3.0, 4.0]]
    >>> y, cache = layer.forward(np.array([[1, 0], [2, 1]]))
    >>> y.tolist()
    [[[1.0, 2.0], [0.0, 0.0]], [[3.0, 4.0], [1.0, 2.0]]]
    >>> dx, grads = layer.backward(np.ones_like(y), cache)
    >>> dx, grads["W"].tolist()
    (None, [[0.0, 0.0], [2.0, 2.0], [1.0, 1.0]])

    References
    ----------
    Y. Bengio, R. Ducharme, P. Vincent, C. Jauvin, *A Neural Probabilistic Language Model*, JMLR 3,
    2003. W starts from a normal distribution of variance 1, as torch.nn.Embedding's.
    """

    W: Array
    weight_axes: Mapping[str, int] = {"W": 1}
    takes_indices = True

    def __init__(
        self, num_embeddings: int, embedding_dim: int, padding_idx: int | None = None
    ) -> None:
        super().__init__()
        self.num_embeddings = check_count("Embedding", "num_embeddings", num_embeddings)
        self.embedding_dim = check_count("Embedding", "embedding_dim", embedding_dim)
        self.padding_idx = padding_idx
        if padding_idx is not None:
            self.padding_idx = check_count("Embedding", "padding_idx", padding_idx, low=0)
            if padding_idx >= num_embeddings:
                raise ValueError(
                    f"Embedding: padding_idx must be from 0 to {num_embeddings - 1}, got "
                    f"{padding_idx}."
                )
        shape = (self.num_embeddings, self.embedding_dim)
        self.add_parameter("W", shape, partial(_draw, padding_idx=self.padding_idx))

    def check_indices(self, x: Any) -> Array:
        """Return indices as integers of the machine's kind, or refuse them."""
        x = as_numbers(f"{self!r}: indices", x)
        if x.dtype.kind not in "iu":
            hint = "; if they are whole numbers, pass x.astype(int)" if x.dtype.kind == "f" else ""
            raise TypeError(f"{self!r} takes integer indices, got {x.dtype}{hint}.")
        i = x.astype(np.intp, copy=False)
        # as unsigned numbers, negative ones are the largest
        if i.size and i.view(np.uintp).max() >= self.num_embeddings:
            low, high = int(x.min()), int(x.max())
            raise ValueError(
                f"{self!r}: indices must be from 0 to {self.num_embeddings - 1}, got "
                f"{low if low < 0 else high}."
            )
        return i

    def forward(self, x: Array, training: bool = False) -> tuple[Array, Array]:
        x = self.check_indices(x)
        return self.W[x], x

    def backward(
        self, dy: Array, cache: Array, out: Mapping[str, Array] | None = None, need_dx: bool = True
    ) -> tuple[None, dict[str, Array]]:
        if not self.trainable:
            return None, {}
        i, g = cache.reshape(-1), dy.reshape(-1, self.embedding_dim)  # (n,), (n, d)
        dW = (out or {}).get("W")
        if dW is None:
            dW = np.empty(self.W.shape, g.dtype)
        if self.num_embeddings > len(i):  # sum over those that occur alone
            rows, i = np.unique(i, return_inverse=True)
            dW[...] = 0
            dW[rows] = _sums(i, g, len(rows))
        else:
            dW[...] = _sums(i, g, self.num_embeddings)
        if self.padding_idx is not None:
            dW[self.padding_idx] = 0
        return None, {"W": dW}

    def output_shape(self, input_shape: Shape) -> Shape:
        return (*input_shape, self.embedding_dim)


def _sums(i: Array, g: Array, n: int) -> Array:
    """Sum the rows of g (m, d) that share an index i (m,), for each of n indices: (n, d).

    `bincount` sums in float64, and is three times as fast as `np.add.at` for hundreds of indices.
    """
    d = g.shape[1]
    at = (i * d)[:, None] + np.arange(d)  # places in a flat (n, d)
    return np.bincount(at.reshape(-1), g.reshape(-1), n * d).reshape(n, d)


def _draw(
    rng: np.random.Generator,
    shape: tuple[int, ...],
    dtype: DTypeLike,
    padding_idx: int | None,
) -> Array:
    W = normal(1.0)(rng, shape, dtype)
    if padding_idx is not None:
        W[padding_idx] = 0
    return W
