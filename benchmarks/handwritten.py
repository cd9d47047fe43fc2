"""The training step of a multilayer perceptron, written by hand as fast as NumPy allows.

It exists to be compared with: the time that clean code, one class per layer, takes beyond this
is the price of clarity.

Every large array is allocated once, nothing is checked, and the elementwise operations have the
spellings that measured fastest, or within a tenth of it, from 32 x 64 to 256 x 1024:

- ``maximum(z, zeros)`` with a full array of zeros, up to four times as fast as with a number;
- the gradient of ReLU multiplies the bits of dy, read as integers, by the sign (0 or 1) of the
  bits of y, which needs no cast from a comparison's bool to float;
- bound methods such as ``x.dot`` for the products, and arrays of no dimension for constants,
  because either saves a part of a microsecond per call;
- behind the first layer everything is stored transposed, (features, batch): the softmax then
  reduces along whole rows, and small products come in the orders that BLAS is quickest at.

Run as a script it checks itself and prints its times.
"""

from __future__ import annotations

import os

if __name__ == "__main__":
    for _name in ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS"):
        os.environ.setdefault(_name, "1")

import math
import time
from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Any

import numpy as np

Array = np.ndarray[Any, Any]

LR, BETA1, BETA2, EPS = 1e-3, 0.9, 0.999, 1e-8
BLOCK = 32_768  # elements per block of Adam: its five arrays stay in the second-level cache


def views(flat: Array, sizes: Sequence[int]) -> list[tuple[Array, Array]]:
    """The views W (in, out) and b (out,) of each layer into the flat vector W1, b1, W2, b2, ..."""
    pairs, start = [], 0
    for n, m in pairwise(sizes):
        stop = start + n * m
        pairs.append((flat[start:stop].reshape(n, m), flat[stop : stop + m]))
        start = stop + m
    return pairs


def he_normal(sizes: Sequence[int], seed: int, dtype: Any) -> Array:
    """The flat vector of initial parameters: weights normal(0, sqrt(2 / in)), biases zero."""
    rng = np.random.default_rng(seed)
    count = sum((n + 1) * m for n, m in pairwise(sizes))
    flat = np.zeros(count, dtype)
    for W, _ in views(flat, sizes):
        W[...] = rng.normal(0.0, math.sqrt(2.0 / W.shape[0]), W.shape)
    return flat


class Step:
    """Forward, backward and Adam for Dense, ReLU, ..., Dense with at least one hidden layer."""

    def __init__(
        self, sizes: Sequence[int], batch: int, seed: int = 0, dtype: Any = np.float32
    ) -> None:
        self.parameters = he_normal(sizes, seed, dtype)
        self.gradients = np.zeros_like(self.parameters)
        self.batch = batch
        self.ones = np.ones(batch, dtype)
        integer = np.dtype(f"i{np.dtype(dtype).itemsize}")
        widest = max(sizes[1:]) * batch
        zeros = np.zeros(widest, dtype)
        mask = np.empty(widest, integer)

        # z and dz are (batch, h1) for the first layer, (h, batch) for the others; a hidden z
        # becomes y = max(z, 0) in place, a hidden dy becomes dz in place.
        parameters, gradients = views(self.parameters, sizes), views(self.gradients, sizes)
        (self.W, self.b), (self.dW, self.db) = parameters[0], gradients[0]
        self.z, self.dz = (np.empty((batch, sizes[1]), dtype) for _ in "zd")
        y, dy, yT = self.z, self.dz, self.z.T  # yT (h, batch), however y is stored
        self.forward: list[tuple[Any, ...]] = []
        self.backward: list[tuple[Any, ...]] = []
        for layer in range(1, len(sizes) - 1):
            (W, b), (dW, db) = parameters[layer], gradients[layer]
            z, dz = (np.empty((sizes[layer + 1], batch), dtype) for _ in "zd")
            hidden = (y, zeros[: y.size].reshape(y.shape))
            self.forward.append((*hidden, W.T.dot, yT, z, b[:, None]))
            dx = (dz.T.dot, W.T, dy) if layer == 1 else (W.dot, dz, dy)
            bits = (y.view(integer), mask[: y.size].reshape(y.shape), dy.view(integer))
            self.backward.append((yT.dot, dz.T, dW, dz.dot, db, *dx, *bits))
            y, dy, yT = z, dz, z
        self.backward.reverse()

        self.logits, self.dlogits = y, dy  # (classes, batch)
        self.flat = dy.reshape(-1)
        self.columns = np.arange(batch)
        self.index = np.empty(batch, np.int64)
        self.top, self.total, self.picked, self.losses = (np.empty(batch, dtype) for _ in range(4))
        self.sum_classes = np.ones(sizes[-1], dtype).dot
        self.n, self.stride = np.array(batch, dtype), np.array(batch)

        self.t = 0
        self.beta1, self.beta2 = np.array(BETA1, dtype), np.array(BETA2, dtype)
        self.rate, self.eps = np.empty((), dtype), np.empty((), dtype)
        p, g = self.parameters, self.gradients
        M, V, scratch = np.zeros_like(p), np.zeros_like(p), np.empty(BLOCK, dtype)
        starts = range(0, p.size, BLOCK)
        cuts = [slice(i, min(i + BLOCK, p.size)) for i in starts]
        self.blocks = [(p[c], g[c], M[c], V[c], scratch[: c.stop - c.start]) for c in cuts]

    def loss(self, x: Array, y: Array) -> float:
        """The mean cross entropy; leaves its gradient by the logits in ``dlogits``."""
        add, subtract, maximum = np.add, np.subtract, np.maximum
        z = self.z
        x.dot(self.W, z)
        add(z, self.b, z)
        for z, zeros, dot, yT, out, b in self.forward:
            maximum(z, zeros, out=z)
            dot(yT, out)
            add(out, b, out)
        # With s the sum of e = exp(z - max z): loss = log s - (z - max z)[y] and
        # dz = (e - s * onehot(y)) / (s * batch).
        e, s, top, index, flat = self.dlogits, self.total, self.top, self.index, self.flat
        picked, losses = self.picked, self.losses
        np.maximum.reduce(self.logits, 0, out=top)
        subtract(self.logits, top, e)
        np.multiply(y, self.stride, index)
        add(index, self.columns, index)
        flat.take(index, None, picked, "clip")
        np.exp(e, e)
        self.sum_classes(e, s)
        flat[index] -= s
        np.log(s, losses)
        subtract(losses, picked, losses)
        np.multiply(s, self.n, s)
        np.divide(e, s, e)
        return float(self.ones.dot(losses)) / self.batch

    def gradient(self, x: Array) -> None:
        """Fill ``gradients``, after ``loss`` of the same x."""
        sign, multiply, ones = np.sign, np.multiply, self.ones
        for dot, dzT, dW, dot1, db, dotx, right, dy, y_bits, mask, dy_bits in self.backward:
            dot(dzT, dW)
            dot1(ones, db)
            dotx(right, dy)
            sign(y_bits, mask)  # y >= 0, and never -0.0
            multiply(dy_bits, mask, dy_bits)
        x.T.dot(self.dz, self.dW)
        ones.dot(self.dz, self.db)

    def update(self) -> None:
        """One step of Adam with the factors 1 - beta folded out of the moments.

        M = m / (1 - beta1) and V = v / (1 - beta2) take ten passes instead of fourteen.
        """
        self.t = t = self.t + 1
        c1 = (1 - BETA1) / (1 - BETA1**t)
        c2 = math.sqrt((1 - BETA2) / (1 - BETA2**t))
        beta1, beta2, rate, eps = self.beta1, self.beta2, self.rate, self.eps
        rate[...] = LR * c1 / c2
        eps[...] = EPS / c2
        add, subtract, multiply = np.add, np.subtract, np.multiply
        divide, sqrt = np.divide, np.sqrt
        for p, g, M, V, s in self.blocks:
            multiply(M, beta1, M)
            add(M, g, M)
            multiply(V, beta2, V)
            multiply(g, g, s)
            add(V, s, V)
            sqrt(V, s)
            add(s, eps, s)
            divide(M, s, s)
            multiply(s, rate, s)
            subtract(p, s, p)

    def step(self, x: Array, y: Array) -> float:
        """Train on x (batch, in) and labels y (batch,); the loss before the update."""
        loss = self.loss(x, y)
        self.gradient(x)
        self.update()
        return loss


class Predict:
    """The logits of one row, nothing but products, sums and maxima."""

    def __init__(self, sizes: Sequence[int], seed: int = 0) -> None:
        self.parameters = he_normal(sizes, seed, np.float32)
        layers = views(self.parameters, sizes)
        outs = [np.empty((1, m), np.float32) for m in sizes[1:]]
        rows = [out[0] for out in outs]  # vectors: one dimension is cheaper to walk than two
        (self.W, self.b), self.z, self.out = layers[0], rows[0], outs[-1]
        self.rest = [
            (y, np.zeros_like(y), y.dot, W, z, b)
            for y, z, (W, b) in zip(rows[:-1], rows[1:], layers[1:], strict=True)
        ]

    def predict(self, x: Array) -> Array:
        """The logits (1, classes) of x (1, in), in a buffer that the next call overwrites."""
        add, maximum = np.add, np.maximum
        z = self.z
        x[0].dot(self.W, z)
        add(z, self.b, z)
        for y, zeros, dot, W, z, b in self.rest:
            maximum(y, zeros, out=y)
            dot(W, z)
            add(z, b, z)
        return self.out


def gradient_error() -> float:
    """The largest difference of the gradient from central differences, in float64."""
    rng = np.random.default_rng(1)
    net = Step((4, 7, 6, 5, 3), 8, dtype=np.float64)
    net.parameters += 0.1 * rng.standard_normal(net.parameters.size)  # biases too
    x, y = rng.standard_normal((8, 4)), rng.integers(0, 3, 8)
    net.loss(x, y)
    net.gradient(x)
    analytic, p, h = net.gradients.copy(), net.parameters, 1e-5
    numeric = np.empty_like(p)
    for i in range(p.size):
        middle = p[i]
        p[i] = middle + h
        above = net.loss(x, y)
        p[i] = middle - h
        below = net.loss(x, y)
        p[i] = middle
        numeric[i] = (above - below) / (2 * h)
    return float(np.abs(analytic - numeric).max())


def adam_error(steps: int = 20) -> float:
    """The largest difference of the parameters from the textbook's Adam, in float64."""
    rng = np.random.default_rng(2)
    net = Step((200, 200, 10), 1, dtype=np.float64)  # more than one block
    p = net.parameters.copy()
    m, v = np.zeros_like(p), np.zeros_like(p)
    for t in range(1, steps + 1):
        g = rng.standard_normal(p.size)
        net.gradients[...] = g
        net.update()
        m = BETA1 * m + (1 - BETA1) * g
        v = BETA2 * v + (1 - BETA2) * g**2
        m_hat, v_hat = m / (1 - BETA1**t), v / (1 - BETA2**t)
        p = p - LR * m_hat / (np.sqrt(v_hat) + EPS)
    return float(np.abs(net.parameters - p).max())


def median_time(call: Callable[[], object], repeats: int = 9, seconds: float = 0.1) -> float:
    """The median time of a call, in microseconds, over repeats of about the given seconds."""
    call()
    start = time.perf_counter()
    call()
    number = max(1, round(seconds / (time.perf_counter() - start)))
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        for _ in range(number):
            call()
        times.append((time.perf_counter() - start) / number)
    return 1e6 * float(np.median(times))


def main() -> None:
    error = gradient_error()
    print(f"gradient against central differences: {error:.1e}")
    assert error < 1e-8
    error = adam_error()
    print(f"Adam against the textbook, 20 steps:  {error:.1e}")
    assert error < 1e-12

    rng = np.random.default_rng(0)
    networks = [
        ((20, 64, 64, 2), 32),
        ((784, 128, 10), 32),
        ((784, 128, 10), 128),
        ((784, 512, 256, 10), 128),
        ((784, 1024, 1024, 10), 256),
    ]
    for sizes, batch in networks:
        net = Step(sizes, batch)
        # Several batches, so that the loss, and with it the gradient, does not run to zero.
        xs = rng.standard_normal((8, batch, sizes[0]), dtype=np.float32)
        ys = rng.integers(0, sizes[-1], (8, batch))
        batches = list(zip(xs, ys, strict=True))

        def epoch(net: Step = net, batches: list[tuple[Array, Array]] = batches) -> None:
            for x, y in batches:
                net.step(x, y)

        name = "-".join(map(str, sizes))
        print(f"step, {name} at batch {batch}: {median_time(epoch) / len(batches):.1f} us")

    sizes = (32, 64, 64, 10)
    row, predict = rng.standard_normal((1, 32), dtype=np.float32), Predict(sizes).predict
    print(f"predict one row, 32-64-64-10: {median_time(lambda: predict(row)):.2f} us")


if __name__ == "__main__":
    main()
