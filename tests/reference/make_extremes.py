"""Makes extremes.npz: exact values where floating point is hard for activations, losses and norms.
Run it with mpmath installed, python tests/reference/make_extremes.py; it computes with 100 digits
from the definitions and does not import the library that it checks."""

from __future__ import annotations

import platform
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import mpmath as mp
import numpy as np

mp.mp.dps = 100
Real = Any  # an mpf, or an object array of them
INF, exp, log1p = mp.inf, mp.exp, mp.log1p
EXACT, EXP, LOG1P, SQRT = (np.frompyfunc(f, 1, 1) for f in (mp.mpf, exp, log1p, mp.sqrt))
DTYPES: dict[str, Any] = {"float32": np.float32, "float64": np.float64}
DENORMAL = {"float32": 1e-40, "float64": 1e-310}
LARGEST = {name: float(np.finfo(kind).max) for name, kind in DTYPES.items()}
arrays: dict[str, np.ndarray] = {}
rng = np.random.default_rng(20261124)


# "Huber/float32/d" holds what is exact, rounded to that dtype; "Huber/float32/d size" the largest
# number that has to be rounded on the way there, whose last place decides what error is allowed.
def keep(name: str, dtype: str, values: Any) -> None:
    kind, values = DTYPES[dtype], np.array(values, object)
    with np.errstate(over="ignore"):
        rounded = [float(kind(float(value))) for value in values.ravel()]
    owner, role = name.split("/")
    arrays[f"{owner}/{dtype}/{role}"] = np.array(rounded).reshape(values.shape)


def table(name: str, dtype: str, roles: str, *values: Any) -> None:
    for role, value in zip(roles.split(", "), values, strict=True):
        keep(f"{name}/{role}", dtype, value)


def inputs(values: Any, dtype: str) -> Real:
    """Round to the dtype; from here on they are exact."""
    return EXACT(np.array(values).astype(dtype).astype(float))


# ---- functions of one number ---------------------------------------------------------------------


def S(x: Real) -> Real:
    """Return the logistic sigmoid; of 1 - S(x) = S(-x) the right side is used throughout."""
    return 1 / (1 + exp(-x))


def slope_of_tanh(x: Real) -> Real:
    e = exp(-2 * abs(x))
    return 4 * e / (1 + e) ** 2


def normal_cdf(x: Real) -> Real:
    return mp.mpf(0) if x < -1e5 else mp.erfc(-x / mp.sqrt(2)) / 2  # exp(-1e10 / 2) is no double


def density(x: Real) -> Real:
    return exp(-x * x / 2) / mp.sqrt(2 * mp.pi)


def gelu_tanh(x: Real) -> tuple[Real, Real]:
    """Return y = x (1 + tanh u) / 2 = x S(2 u) and dy/dx."""
    root, c = mp.sqrt(2 / mp.pi), mp.mpf("0.044715")
    u, u_slope = root * (x + c * x**3), root * (1 + 3 * c * x**2)
    return x * S(2 * u), S(2 * u) + x * S(2 * u) * S(-2 * u) * 2 * u_slope


def leaky(a: str) -> tuple[Any, ...]:
    a = mp.mpf(a)
    limits = (-INF if a else 0, INF, a, 1)
    return lambda x: x if x > 0 else a * x, lambda x: mp.mpf(1) if x > 0 else a, limits


def elu(alpha: str, scale: str = "1") -> tuple[Any, ...]:
    alpha, scale = mp.mpf(alpha), mp.mpf(scale)
    return (
        lambda x: scale * (x if x > 0 else alpha * mp.expm1(x)),
        lambda x: scale * (1 if x > 0 else alpha * exp(x)),
        (-scale * alpha, INF, 0, scale),
    )


def softplus(beta: str) -> tuple[Any, ...]:
    b = mp.mpf(beta)  # the line y = x where b x is above torch's threshold of 20
    return (
        lambda x: x if b * x > 20 else log1p(exp(b * x)) / b,
        lambda x: mp.mpf(1) if b * x > 20 else S(b * x),
        (0, INF, 0, 1),
    )


def clipped(x: Real, low: Real, high: Real) -> Real:
    return min(max(x, mp.mpf(low)), mp.mpf(high))


def hard_sigmoid(x: Real) -> Real:
    return clipped(x + 3, 0, 6) / 6


def mish_slope(x: Real) -> Real:
    s = log1p(exp(x))
    return mp.tanh(s) + x * slope_of_tanh(s) * S(x)


SELU = "1.6732632423543772848170429916717", "1.0507009873554804934193349852946"
GATE = (0, INF, 0, 1)

# name: (f, f', (f(-inf), f(inf), f'(-inf), f'(inf))). At a kink f' is PyTorch's, which is the slope
# on the left for the rectifiers and 0 for HardTanh; the kinks of HardSwish and HardSigmoid, and
# where Softplus becomes a line, are not on the grid.
ACTIVATIONS: dict[str, tuple[Any, ...]] = {
    "ReLU": leaky("0"),
    "LeakyReLU": leaky("0.01"),
    "LeakyReLU, slope 0": leaky("0"),
    "PReLU": leaky("0.25"),
    "ELU": elu("1"),
    "ELU, alpha 0.5": elu("0.5"),
    "SELU": elu(*SELU),
    "Softplus": softplus("1"),
    "Softplus, beta 2.5": softplus("2.5"),
    "SiLU": (lambda x: x * S(x), lambda x: S(x) + x * S(x) * S(-x), GATE),
    "GELU": (lambda x: x * normal_cdf(x), lambda x: normal_cdf(x) + x * density(x), GATE),
    "GELU, tanh": (lambda x: gelu_tanh(x)[0], lambda x: gelu_tanh(x)[1], GATE),
    "Mish": (lambda x: x * mp.tanh(log1p(exp(x))), mish_slope, GATE),
    "HardSwish": (
        lambda x: x * hard_sigmoid(x),
        lambda x: x / 3 + mp.mpf(1) / 2 if abs(x) < 3 else mp.mpf(int(x > 0)),
        GATE,
    ),
    "Tanh": (mp.tanh, slope_of_tanh, (-1, 1, 0, 0)),
    "Softsign": (lambda x: x / (1 + abs(x)), lambda x: 1 / (1 + abs(x)) ** 2, (-1, 1, 0, 0)),
    "HardTanh": (lambda x: clipped(x, -1, 1), lambda x: mp.mpf(abs(x) < 1), (-1, 1, 0, 0)),
    "HardSigmoid": (hard_sigmoid, lambda x: mp.mpf(abs(x) < 3) / 6, (0, 1, 0, 0)),
    "Sigmoid": (S, lambda x: S(x) * S(-x), (0, 1, 0, 0)),
    "LogSigmoid": (lambda x: -log1p(exp(-x)), lambda x: S(-x), (-INF, 0, 1, 0)),
    "erf": (mp.erf, lambda x: 2 * exp(-x * x) / mp.sqrt(mp.pi), (-1, 1, 0, 0)),
    "normal_cdf": (normal_cdf, density, (0, 1, 0, 0)),
}
GRID = [0, 1e-8, 0.1, 0.49, 0.5, 0.7, 1, 1.5, 2, 2.9, 3.1, 5, 10, 17, 20.5, 30, 88, 100, 1e4]
MORE = {"float32": [], "float64": [37, 300, 700, 745]}


def condition(f: Callable[[Real], Real], x: Real) -> float:
    """|x f'(x) / f(x)|: how many units the result moves when x moves by one; 0 where undefined."""
    if not f(x):
        return 0.0
    h = mp.mpf("1e-25")
    return float(abs((f(x * (1 + h)) / f(x) - 1) / h))


for dtype in DTYPES:
    half = [*GRID, *MORE[dtype], DENORMAL[dtype], LARGEST[dtype]]
    x = inputs([*half, *(-v for v in half)], dtype)
    keep("grid/x", dtype, [*x, -INF, INF])
    arrays[f"grid/{dtype}/x"][len(half)] = -0.0
    for name, (f, slope, limits) in ACTIVATIONS.items():
        for role, g, ends in (("y", f, limits[:2]), ("dx", slope, limits[2:])):
            keep(f"{name}/{role}", dtype, [*map(g, x), *ends])
            values = arrays[f"{name}/{dtype}/{role}"][:-2]
            numbers = [condition(g, v) if y else 0.0 for v, y in zip(x, values, strict=True)]
            arrays[f"{name}/{dtype}/{role} condition"] = np.array([*numbers, 0.0, 0.0])

# ---- along classes -------------------------------------------------------------------------------

NO, BACK = -np.inf, "x, dy, y, y size, dx, dx size"


def rows(dtype: str) -> list[list[float]]:
    d, low = DENORMAL[dtype], {"float32": 100, "float64": 745}[dtype]
    return [
        [1, 2, 4, -1], [20, 0, 0, 0], [1e4, -1e4, 0, 1], [1e4] * 4, [-1e4, -1e4, -1e4, 1e4],
        [np.inf, 1, 2, -3], [np.inf, NO, 0, 5], [NO, 1, 2, 3], [NO, NO, 0.5, 2], [NO, NO, NO, 7],
        [d, -d, 0, 2 * d], [0, -0.5 * low, -0.9 * low, -low], [LARGEST[dtype], NO, 0, 1],
        [LARGEST[dtype], -LARGEST[dtype], 0, 1], [1e8, 1e8 + 8, 1e8 - 8, 0],
    ]  # fmt: skip


@np.vectorize(otypes=[object])
def times(a: Real, b: Real) -> Real:
    """a * b, where 0 takes what is infinite away."""
    return a * b if a and b else mp.mpf(0)


def log_softmax(x: Real) -> tuple[Real, Real, Real, Real]:
    """Return it and softmax with their sizes; x (n, classes)."""
    m = x.max(axis=1, keepdims=True)
    z = np.where(x == m, mp.mpf(0), x - m)
    rest = EXP(z)
    rest[np.arange(len(x)), (z == 0).argmax(axis=1)] = mp.mpf(0)
    y = z - LOG1P(rest.sum(axis=1, keepdims=True))
    # The sum that the logarithm is taken of is 1 or more, and has been rounded. An exponential is
    # off by as many units as its argument is large, since that was rounded too.
    size = np.maximum(-z, mp.mpf(1))
    return y, size, EXP(y), times(EXP(y), 1 + size)


for dtype in DTYPES:
    x = inputs(rows(dtype), dtype)
    g = inputs(rng.normal(size=x.shape), dtype)
    y, y_size, p, p_size = log_softmax(x)
    dot, total = (p * g).sum(axis=1, keepdims=True), g.sum(axis=1, keepdims=True)
    dot_size = (p_size * abs(g)).sum(axis=1, keepdims=True)
    total_size = abs(g).sum(axis=1, keepdims=True)
    dx, dx_size = p * (g - dot), p_size * (abs(g) + dot_size)
    table("Softmax", dtype, BACK, x, g, p, p_size, dx, dx_size)
    dx, dx_size = g - p * total, abs(g) + p_size * total_size
    table("LogSoftmax", dtype, BACK, x, g, y, y_size, dx, dx_size)

# ---- losses: of one entry, or one row of classes, each; value, its size, gradient, its size ------


def binary_cross_entropy(z: Real, t: Real) -> tuple[Real, ...]:
    bend = log1p(exp(-abs(z)))
    left, right = max(-z, 0) + bend, max(z, 0) + bend  # log(1 + e^-z), log(1 + e^z)
    value, sigma = times(t, left) + times(1 - t, right), S(z)
    d = (1 - t) * sigma - t * S(-z)
    return value, max(value, z) if 0 < t < 1 else value, d, max(sigma, t)


def kl_divergence(p: Real, t: Real) -> tuple[Real, ...]:
    log_t = mp.log(t) if t else mp.mpf(0)
    return times(t, log_t - p), times(t, max(abs(log_t), abs(p))), -t, t


def squared(p: Real, t: Real) -> tuple[Real, ...]:
    r = p - t
    return r * r, r * r, 2 * r, abs(r)


def absolute(p: Real, t: Real) -> tuple[Real, ...]:
    return abs(p - t), abs(p - t), mp.sign(p - t), 1


def huber(p: Real, t: Real, delta: str = "1") -> tuple[Real, ...]:
    r, d = p - t, mp.mpf(delta)
    value = r * r / 2 if abs(r) <= d else d * (abs(r) - d / 2)
    return value, value, clipped(r, -d, d), min(abs(r), d)


def hinge(p: Real, t: Real) -> tuple[Real, ...]:
    value = max(mp.mpf(0), 1 - t * p)
    return value, max(1, value), -t if t * p < 1 else mp.mpf(0), 1


def cross_entropy(z: Real, t: Real, smooth: str = "0") -> tuple[Real, ...]:
    y, y_size, p, p_size = log_softmax(z)
    t = (1 - mp.mpf(smooth)) * t + mp.mpf(smooth) / 4
    value, size = times(t, -y).sum(axis=1), times(t, y_size).sum(axis=1)
    return value, np.maximum(size, mp.mpf(1)), p - t, np.maximum(p_size, t)


def likelihood(p: Real, t: Real) -> tuple[Real, ...]:
    value = times(t, -p).sum(axis=1)
    return value, abs(value), -t, t


PAIR = "p, t, value, value size, d, d size"
for dtype in DTYPES:
    tiny, top, inf = DENORMAL[dtype], LARGEST[dtype], np.inf
    logits = [0, tiny, 1e-8, 0.1, 1, 17, 30, 88, 100, 1e4, top, inf]
    values = [0, tiny, 1e-8, 0.1, 0.5, 1, 3, 1e4, 1e8, inf]
    errors = [(sign * v, t) for v in values for sign in (1, -1) for t in (0, 0.25, -1e4)]
    errors += [(1e8, 1e8 - 8), (tiny, -tiny), (top, 0), (0.1, 0.1)]
    minus = [0, -tiny, -1e-8, -0.5, -17, -100, -1e4, -inf]
    entries = {
        "BinaryCrossEntropy": (
            binary_cross_entropy,
            [(s * z, t) for z in logits for s in (1, -1) for t in (0, 1, 0.5, tiny, 0.9)],
        ),
        "KLDivergence": (kl_divergence, [(p, t) for p in minus for t in (0, tiny, 1e-8, 0.3, 1)]),
        "MeanSquaredError": (squared, errors),
        "MeanAbsoluteError": (absolute, errors),
        "Huber": (huber, errors),
        "Huber, delta 0.1": (partial(huber, delta="0.1"), errors),
        "Hinge": (hinge, [(s * v, t) for v in [*values, top] for s in (1, -1) for t in (1, -1)]),
    }
    for name, (f, pairs) in entries.items():
        p, t = inputs(pairs, dtype).T
        results = np.array([f(*pair) for pair in zip(p, t, strict=True)], object).T
        table(name, dtype, PAIR, p, t, *results)

    # each row of predictions with each target
    given, logs = rows(dtype), [minus[:4], minus[4:], [NO, NO, 0, NO]]
    one_hot, soft = np.eye(4), [[0, 0.5, 0.25, 0.25], [0.25, 0, 0, 0.75]]
    for name, f, p, t in [
        ("SoftmaxCrossEntropy", cross_entropy, given, one_hot),
        ("SoftmaxCrossEntropy, soft", cross_entropy, given, soft),
        (
            "SoftmaxCrossEntropy, smoothing 0.1",
            partial(cross_entropy, smooth="0.1"),
            given,
            one_hot,
        ),
        ("NegativeLogLikelihood", likelihood, logs, one_hot),
    ]:
        if (
            "smoothing" in name
        ):  # a share of every class: differences as large as 2 LARGEST overflow
            p = [row for row in p if np.abs(row).max() < LARGEST[dtype]]
        p, t = inputs(np.repeat(p, len(t), axis=0), dtype), inputs([*t] * len(p), dtype)
        target = t if name.endswith("soft") else t.argmax(axis=1)
        table(name, dtype, PAIR, p, target, *f(p, t))

# ---- norms ---------------------------------------------------------------------------------------

EPS, MOMENTUM = mp.mpf("1e-5"), mp.mpf("0.1")
FEW = 16  # rows of a tall matrix whose results are kept


def norm(name: str, dtype: str, values: Any) -> None:
    """Keep x, dy, gamma, beta, and what follows from them.

    Inputs are exact, so x - mean loses no more than its own last place, however far from 0 they
    are, if the mean is right to that: what counts is the largest entry of x_hat. Below the smallest
    normal number last places are equal, so a denormal x - mean counts as that number.
    """
    x = inputs(values, dtype)
    dy = inputs(np.round(rng.normal(size=x.shape) * 64) / 64, dtype)
    gamma, beta = inputs(rng.normal(size=(2, x.shape[1])), dtype)
    beta[0] = mp.mpf(0)
    axis = 1 if name.startswith("LayerNorm") else 0

    def mean(a: Real) -> Real:
        return a.sum(axis=axis, keepdims=True) / x.shape[axis]

    z, g = x - mean(x), gamma * dy
    var = mean(z * z)
    inv = 1 / SQRT(var + EPS)
    hat = z * inv
    smallest = inv * mp.mpf(float(np.finfo(DTYPES[dtype]).smallest_normal))
    top = np.maximum(abs(hat).max(axis=axis, keepdims=True), smallest)
    size = inv * (abs(g).max(axis=axis, keepdims=True) + top * mean(abs(g * hat)))
    y, y_size = gamma * hat + beta, top * abs(gamma) + abs(beta) + 0 * x
    dx, dx_size = inv * (g - mean(g) - hat * mean(g * hat)), size + 0 * x
    table(name, dtype, "x, dy, gamma, beta", x, dy, gamma, beta)
    table(name, dtype, "y, y size, dx, dx size", y[:FEW], y_size[:FEW], dx[:FEW], dx_size[:FEW])
    table(name, dtype, "dgamma, dgamma size", (dy * hat).sum(axis=0), (abs(dy) * top).sum(axis=0))
    table(name, dtype, "dbeta, dbeta size", dy.sum(axis=0), abs(dy).sum(axis=0))
    if axis == 0:  # the running statistics start from beta and |gamma|
        unbiased, m = var[0] * len(x) / (len(x) - 1), MOMENTUM
        moved, moved_size = (
            (1 - m) * a + m * mean(b)[0] for a, b in ((beta, x), (abs(beta), abs(x)))
        )
        table(name, dtype, "running_mean, running_mean size", moved, moved_size)
        moved = (1 - m) * abs(gamma) + m * unbiased
        table(name, dtype, "running_var, running_var size", moved, moved)


for dtype, kind in DTYPES.items():
    steps, signs = rng.integers(0, 4, (6, 6)), rng.choice([-1.0, 1.0], (6, 6))
    signs[0] = signs[:, 0] = [1, -1] * 3
    for case, values in {
        "constant": np.full((6, 6), 1e8),
        "offsets": 1e8 + 8.0 * steps,
        "last digits": 1e8 + float(np.spacing(kind(1e8))) * steps,
        "denormals": DENORMAL[dtype] * (steps - 2),
        "large": 1e4 * signs,
        "outlier": np.where(np.eye(6), 1e6, 1.0),
    }.items():
        norm(f"LayerNorm, {case}", dtype, values)
        norm(f"BatchNorm, {case}", dtype, values)
    noise = rng.integers(-40, 41, (4096, 2)) * [1 / 1024, 1 / 16384]
    norm("BatchNorm, tall", dtype, 1000 + noise)

versions = f"mpmath {mp.__version__}, numpy {np.__version__}, python {platform.python_version()}"
arrays["versions"] = np.array(versions)
np.savez_compressed(Path(__file__).with_name("extremes.npz"), **arrays)
print(f"{len(arrays)} arrays, {versions}")
