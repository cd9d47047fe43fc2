"""Spellings of the elementwise operations of layers, losses and optimizers, timed side by side.

NumPy makes one pass over memory for each operator, and its passes differ by a factor of forty. What
is used stands first of its kind, in bold; the others were tried. Results are compared before they
are timed, all in one process and in turn, in float32, at a size where calls count and at one where
the arithmetic does. Run it pinned to a core of a quiet machine:
taskset -c 1 python benchmarks/spellings.py
"""

from __future__ import annotations

import os

for name in ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ[name] = "1"

import argparse
import platform
from collections.abc import Callable
from typing import Any

import numpy as np
from step import compare

from chainrule import numerics
from chainrule.losses import SoftmaxCrossEntropy
from chainrule.optimizers.base import descend

Array = np.ndarray[Any, Any]
Spellings = dict[str, Callable[[], Any]]

ROWS = 32, 2048
FEATURES, CLASSES = 64, 10
RNG = np.random.default_rng(0)
F = np.float32


def normal(*shape: int) -> Array:
    return RNG.standard_normal(shape, F)


# ---- the table: what is used comes first ------------------------------------------------------


def relu(n: int) -> Spellings:
    x, zeros, row, zero = normal(n, FEATURES), np.zeros((n, FEATURES), F), np.zeros(FEATURES, F), 0
    return {
        "numerics.positive(x)": lambda: numerics.positive(x),
        "maximum(x, zeros)": lambda: np.maximum(x, zeros),
        "maximum(x, row of zeros)": lambda: np.maximum(x, row),
        "maximum(x, 0)": lambda: np.maximum(x, zero),
        "x.clip(0, inf)": lambda: x.clip(0, np.inf),
        "x * (x > 0)": lambda: x * (x > 0),
        "where(x > 0, x, 0)": lambda: np.where(x > 0, x, F(0)),
    }


def relu_gradient(n: int) -> Spellings:
    y, dy, zero = np.maximum(normal(n, FEATURES), 0), normal(n, FEATURES), np.zeros((), F)

    def bits() -> Array:
        sign = np.sign(y.view(np.int32))
        sign *= dy.view(np.int32)
        return sign.view(F)

    return {
        "dy * (y > zero), zero without axes": lambda: dy * (y > zero),
        "dy * (y > 0)": lambda: dy * (y > 0),
        "dy * sign(y)": lambda: dy * np.sign(y),
        "bits of dy * sign(bits of y)": bits,
        "where(y > 0, dy, 0)": lambda: np.where(y > 0, dy, F(0)),
    }


def slopes(n: int) -> Spellings:
    x, a = normal(n, FEATURES), F(0.01)
    pair = np.array([a, 1], F)

    def sum_of_two() -> Array:
        m = (x > 0).astype(F)
        d = 1 - m
        d *= a
        d += m
        return d

    return {
        "a (1 - m) + m, m = (x > 0) as floats": sum_of_two,
        "maximum(x > 0, a), for a < 1": lambda: np.maximum(x > 0, a),
        "pair.take(x > 0)": lambda: pair.take(x > 0),
        "where(x > 0, 1, a)": lambda: np.where(x > 0, F(1), a),
    }


def leaky(n: int) -> Spellings:
    x, a = normal(n, FEATURES), F(0.01)

    def lines() -> Array:
        y = a * x
        return np.maximum(x, y, out=y)

    return {
        "maximum(x, a x), for a < 1": lines,
        "max(x, 0) + a min(x, 0)": lambda: numerics.positive(x) + a * numerics.negative(x),
        "where(x > 0, x, a x)": lambda: np.where(x > 0, x, a * x),
    }


def hard_tanh(n: int) -> Spellings:
    x, one = normal(n, FEATURES), F(1)
    return {
        "x.clip(-1, 1)": lambda: x.clip(-1, 1),
        "np.clip(x, -1, 1)": lambda: np.clip(x, -1, 1),
        "minimum(maximum(x, -1), 1)": lambda: np.minimum(np.maximum(x, -one), one),
    }


def tanh_gradient(n: int) -> Spellings:
    y, dy = np.tanh(normal(n, FEATURES)), normal(n, FEATURES)

    def in_place() -> Array:
        d = y * y
        np.subtract(1, d, out=d)
        d *= dy
        return d

    return {"in the array of y * y": in_place, "(1 - y * y) * dy": lambda: (1 - y * y) * dy}


def sigmoid(n: int) -> Spellings:
    x = normal(n, FEATURES)

    def two_sides() -> Array:
        e = np.exp(-np.abs(x))
        y = np.maximum(e, np.greater_equal(x, 0))
        e += 1
        y /= e
        return y

    return {
        "e / (1 + e), e = exp(min(x, 40))": lambda: numerics.sigmoid(x),
        "exp(min(x, 0)) / (1 + exp(-abs(x)))": two_sides,
        "1 / (1 + exp(-x)), 0 below -88": lambda: 1 / (1 + np.exp(-x)),
        "1/2 + tanh(x / 2) / 2, wrong on the left": lambda: 0.5 + 0.5 * np.tanh(0.5 * x),
    }


def softplus(n: int) -> Spellings:
    x = normal(n, FEATURES)
    return {
        "max(x, 0) + log1p(exp(-abs(x)))": lambda: numerics.softplus(x),
        "logaddexp(x, 0)": lambda: np.logaddexp(x, F(0)),
    }


def bias(n: int) -> Spellings:
    x, b, out = normal(n, FEATURES), normal(FEATURES), np.empty((n, FEATURES), F)
    tiled = np.tile(b, (n, 1))
    return {
        "x + b": lambda: np.add(x, b, out=out),
        "x + b, b in each row": lambda: np.add(x, tiled, out=out),
    }


def sum_of_rows(n: int) -> Spellings:
    x, ones = normal(n, FEATURES), np.ones(n, F)
    return {
        "numerics.sum_rows(x)": lambda: numerics.sum_rows(x),
        "ones @ x": lambda: ones.dot(x),
        "x.sum(axis=0), loses digits": lambda: x.sum(axis=0),
        "einsum('ij->j', x), loses digits": lambda: np.einsum("ij->j", x),
    }


def largest(columns: int) -> Callable[[int], Spellings]:
    def of_rows(n: int) -> Spellings:
        x = normal(n, columns)
        return {
            "numerics.max_along(x)": lambda: numerics.max_along(x),
            "x.T.copy(), max(axis=0)": lambda: np.maximum.reduce(x.T.copy(), axis=0)[:, None],
            "x.max(axis=1)": lambda: x.max(axis=1, keepdims=True),
            "x.max(axis=1, initial=-inf)": lambda: x.max(axis=1, keepdims=True, initial=-np.inf),
        }

    return of_rows


def sum_of_classes(n: int) -> Spellings:
    x, ones = normal(n, CLASSES), np.ones(CLASSES, F)
    return {
        "numerics.sum_columns(x)": lambda: numerics.sum_columns(x),
        "x @ ones": lambda: x.dot(ones),
        "x.sum(axis=1)": lambda: x.sum(axis=1),
        "x.T.copy(), sum(axis=0), loses digits": lambda: np.add.reduce(x.T.copy(), axis=0),
        "einsum('ij->i', x)": lambda: np.einsum("ij->i", x),
    }


def softmax(n: int) -> Spellings:
    x = normal(n, CLASSES)

    def plain() -> Array:
        e = np.exp(x - x.max(axis=1, keepdims=True))
        return e / e.sum(axis=1, keepdims=True)

    return {"numerics.softmax(x)": lambda: numerics.softmax(x), "e / e.sum(axis=1)": plain}


def softmax_gradient(n: int) -> Spellings:
    y, g = numerics.softmax(normal(n, CLASSES)), normal(n, CLASSES)

    def in_place() -> Array:
        d = g * y
        np.subtract(g, numerics.sum_along(d, axis=1), out=d)
        d *= y
        return d

    return {
        "in the array of g * y": in_place,
        "y * (g - sum(g * y))": lambda: y * (g - (g * y).sum(axis=1, keepdims=True)),
        "y * (g - einsum('ij,ij->i', g, y))": lambda: (
            y * (g - np.einsum("ij,ij->i", g, y)[:, None])
        ),
    }


def cross_entropy(n: int) -> Spellings:
    z, t, loss = normal(n, CLASSES), RNG.integers(0, CLASSES, n), SoftmaxCrossEntropy()
    rows = np.arange(n)

    def plain() -> tuple[float, Array]:
        p = numerics.softmax(z)
        d = p.copy()
        d[rows, t] -= 1
        return float(-np.log(p[rows, t]).mean()), d / n

    return {"SoftmaxCrossEntropy": lambda: loss.formula(z, t, None), "step by step": plain}


def one_hot(n: int) -> Spellings:
    d, t, one = normal(n, CLASSES), RNG.integers(0, CLASSES, n), F(0)
    rows, flat, at = np.arange(n), d.reshape(-1), np.arange(0, n * CLASSES, CLASSES) + t

    def by_places() -> Array:
        flat[at] -= one
        return flat

    def by_pairs() -> Array:
        d[rows, t] -= one
        return flat

    def unbuffered() -> Array:
        np.subtract.at(flat, at, one)
        return flat

    def whole() -> Array:
        hot = np.zeros_like(d)
        hot[rows, t] = one
        np.subtract(d, hot, out=d)
        return flat

    return {
        "flat[places] -= 1": by_places,
        "d[rows, t] -= 1": by_pairs,
        "subtract.at(flat, places, 1)": unbuffered,
        "d -= one_hot": whole,
    }


def mask(n: int) -> Spellings:
    x, keep, scale = normal(n, FEATURES), RNG.random((n, FEATURES)) < 0.5, F(2)
    factors = keep * scale
    return {
        "x * factors, made before": lambda: x * factors,
        "x * keep * 2": lambda: x * keep * scale,
        "where(keep, 2 x, 0)": lambda: np.where(keep, x * scale, F(0)),
    }


def adam(n: int) -> Spellings:
    M, V = normal(n, FEATURES), normal(n, FEATURES) ** 2
    p, t, rate, eps = np.zeros_like(M), np.empty_like(M), 1e-3, 1e-8

    def in_place() -> Array:
        descend(p, rate, M, V, eps, t)
        return t

    def expression() -> Array:
        update: Array = rate * M / (np.sqrt(V) + eps)
        np.subtract(p, update, out=p)
        return update

    return {"optimizers.base.descend": in_place, "rate * M / (sqrt(V) + eps)": expression}


def mean_gradient(n: int) -> Spellings:
    d, out = normal(n, FEATURES), np.empty((n, FEATURES), F)
    k = 1 / d.size
    return {
        "d *= 1 / n": lambda: np.multiply(d, k, out=out),
        "d * (1 / n)": lambda: d * k,
        "d / n": lambda: d / d.size,
    }


def sign(n: int) -> Spellings:
    r, out = normal(n, FEATURES), np.empty((n, FEATURES), F)
    same = r.copy()

    def in_place() -> Array:
        same[...] = r
        return np.sign(same, out=same)

    return {
        "sign(r)": lambda: np.sign(r),
        "sign(r, out=another)": lambda: np.sign(r, out=out),
        "sign(r, out=r), and a copy": in_place,
        "(r > 0) - (r < 0)": lambda: np.subtract(r > 0, r < 0, dtype=F),
    }


OPERATIONS: dict[str, Callable[[int], Spellings]] = {
    "max(x, 0)": relu,
    "gradient of ReLU": relu_gradient,
    "LeakyReLU": leaky,
    "1 or a slope": slopes,
    "HardTanh": hard_tanh,
    "gradient of tanh": tanh_gradient,
    "sigmoid": sigmoid,
    "softplus": softplus,
    "bias": bias,
    "sum over rows": sum_of_rows,
    f"largest of {CLASSES} classes": largest(CLASSES),
    f"largest of {FEATURES} classes": largest(FEATURES),
    f"sum of {CLASSES} classes": sum_of_classes,
    f"softmax of {CLASSES} classes": softmax,
    f"gradient of softmax, {CLASSES} classes": softmax_gradient,
    f"cross entropy of {CLASSES} classes": cross_entropy,
    f"less a one-hot of {CLASSES} classes": one_hot,
    "dropout's factors": mask,
    "Adam's last line": adam,
    "mean of a gradient": mean_gradient,
    "sign": sign,
}


def check(name: str, spellings: Spellings) -> None:
    """Refuse to time what does not give the same."""
    first, *others = (np.hstack([np.ravel(part) for part in as_parts(f())]).copy()
                      for f in spellings.values())  # fmt: skip
    for key, other in zip(list(spellings)[1:], others, strict=True):
        np.testing.assert_allclose(other, first, rtol=1e-4, atol=1e-6, err_msg=f"{name}: {key}")


def as_parts(result: Any) -> tuple[Any, ...]:
    return result if isinstance(result, tuple) else (result,)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--only", default="", help="operations with this in their name")
    given = parser.parse_args()
    np.empty(3_000_000)  # freed at once: from then on glibc keeps freed memory, as behind any data
    print(f"NumPy {np.__version__}, Python {platform.python_version()}, {platform.machine()}\n")
    print("| operation | spelling |" + "".join(f" {n} rows, µs | ratio |" for n in ROWS))
    print("| --- | --- |" + " --- | --- |" * len(ROWS))
    for name, make in OPERATIONS.items():
        if given.only not in name:
            continue
        columns = []
        for n in ROWS:
            spellings = make(n)
            check(name, spellings)
            used, *others = spellings.values()
            times, ratios = compare([others[0], used, *others[1:]], given.rounds)  # to the second
            order = [1, 0, *range(2, len(times))]
            columns.append([(times[k] * 1e6, ratios[k]) for k in order])
        for k, key in enumerate(spellings):
            cells = "".join(f" {c[k][0]:,.1f} | {c[k][1]:.2f} |" for c in columns)
            shown = f"**`{key}`**" if k == 0 else f"`{key}`"
            print(f"| {'' if k else name} | {shown} |{cells}", flush=True)


if __name__ == "__main__":
    main()
