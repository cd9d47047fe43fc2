"""The training step as one writes it by hand, and the measure for the library's code: the formulas
in order, each into an array allocated before, nothing checked, Adam folded and in blocks."""

from __future__ import annotations

import math
from itertools import pairwise
from typing import Any

import numpy as np

Array = np.ndarray[Any, Any]
BLOCK = 32_768


class PlainStep:
    """Dense, ReLU, ..., Dense with softmax cross entropy and Adam; everything preallocated."""

    def __init__(self, sizes: tuple[int, ...], batch: int) -> None:
        f4 = np.float32
        pairs = list(pairwise(sizes))
        n = sum(i * o + o for i, o in pairs)
        self.p, self.g, self.M, self.V = (np.zeros(n, f4) for _ in "pgMV")
        self.t, self.scratch = 0, np.empty(BLOCK, f4)
        self.W: list[Array] = []
        self.b: list[Array] = []
        self.dW: list[Array] = []
        self.db: list[Array] = []
        start = 0
        for i, o in pairs:
            stop = start + i * o
            for flat, Ws, bs in ((self.p, self.W, self.b), (self.g, self.dW, self.db)):
                Ws.append(flat[start:stop].reshape(i, o))
                bs.append(flat[stop : stop + o])
            start = stop + o
        self.y = [np.empty((batch, o), f4) for o in sizes[1:]]
        self.dy = [np.empty((batch, o), f4) for o in sizes[1:]]
        self.zeros = [np.zeros((batch, o), f4) for o in sizes[1:]]
        self.mask = [np.empty((batch, o), bool) for o in sizes[1:]]
        self.ones, self.rows = np.ones(batch, f4), np.arange(batch)
        self.column, self.batch = np.empty((batch, 1), f4), batch

    def step(self, x: Array, t: Array) -> float:
        y, dy, last = self.y, self.dy, len(self.W) - 1
        h = x
        for k, (W, b) in enumerate(zip(self.W, self.b, strict=True)):
            np.matmul(h, W, out=y[k])
            np.add(y[k], b, out=y[k])
            if k < last:
                np.maximum(y[k], self.zeros[k], out=y[k])
            h = y[k]

        z, d = y[last], dy[last]
        np.maximum.reduce(z, axis=1, keepdims=True, out=self.column)
        np.subtract(z, self.column, out=z)
        np.exp(z, out=d)
        np.add.reduce(d, axis=1, keepdims=True, out=self.column)
        np.divide(d, self.column, out=d)
        d[self.rows, t] -= 1
        np.multiply(d, np.float32(1 / self.batch), out=d)
        loss = float((np.log(self.column[:, 0]) - z[self.rows, t]).sum()) / self.batch

        for k in range(last, -1, -1):
            h = y[k - 1] if k else x
            np.matmul(h.T, dy[k], out=self.dW[k])
            np.matmul(self.ones, dy[k], out=self.db[k])
            if k:
                np.matmul(dy[k], self.W[k].T, out=dy[k - 1])
                np.greater(h, 0, out=self.mask[k - 1])
                np.multiply(dy[k - 1], self.mask[k - 1], out=dy[k - 1])
        self.update()
        return loss

    def update(self) -> None:
        self.t += 1
        c1 = (1 - 0.9) / (1 - 0.9**self.t)
        c2 = math.sqrt((1 - 0.999) / (1 - 0.999**self.t))
        rate, eps = 1e-3 * c1 / c2, 1e-8 / c2
        for i in range(0, self.p.size, BLOCK):
            p, g, M, V = (v[i : i + BLOCK] for v in (self.p, self.g, self.M, self.V))
            s = self.scratch[: p.size]
            np.multiply(M, 0.9, out=M)
            np.add(M, g, out=M)
            np.multiply(V, 0.999, out=V)
            np.multiply(g, g, out=s)
            np.add(V, s, out=V)
            np.sqrt(V, out=s)
            np.add(s, eps, out=s)
            np.divide(M, s, out=s)
            np.multiply(s, rate, out=s)
            np.subtract(p, s, out=p)


def predict(x: Array, Ws: list[Array], bs: list[Array]) -> Array:
    """Return the bare products with their activations."""
    for W, b in zip(Ws[:-1], bs[:-1], strict=True):
        x = x @ W
        x += b
        x = np.maximum(x, 0)
    return x @ Ws[-1] + bs[-1]
