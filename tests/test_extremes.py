"""Overflow, cancellation and denormals are where formulas that are right on paper go wrong. There
every activation, loss and norm is held to values that make_extremes.py computed with 100 digits."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import chainrule as cr
from chainrule.layers.activations import Activation
from chainrule.layers.normalization import Normalization
from chainrule.losses import Loss
from chainrule.numerics import erf, normal_cdf

# How many units in the last place of the largest number that must occur on the way a result may be
# off. The table says how large that is: for a function of one number the result itself, times one
# plus its condition; for a sum its largest addend.
UNITS = 8

ACTIVATIONS = {
    "ReLU": cr.ReLU,
    "LeakyReLU": cr.LeakyReLU,
    "LeakyReLU, slope 0": lambda: cr.LeakyReLU(0),
    "PReLU": cr.PReLU,
    "ELU": cr.ELU,
    "ELU, alpha 0.5": lambda: cr.ELU(0.5),
    "SELU": cr.SELU,
    "Softplus": cr.Softplus,
    "Softplus, beta 2.5": lambda: cr.Softplus(beta=2.5),
    "SiLU": cr.SiLU,
    "GELU": cr.GELU,
    "GELU, tanh": lambda: cr.GELU(approximate="tanh"),
    "Mish": cr.Mish,
    "HardSwish": cr.HardSwish,
    "Tanh": cr.Tanh,
    "Softsign": cr.Softsign,
    "HardTanh": cr.HardTanh,
    "HardSigmoid": cr.HardSigmoid,
    "Sigmoid": cr.Sigmoid,
    "LogSigmoid": cr.LogSigmoid,
}
# Their derivatives are made from y, as the formulas of the book are: near 1 they know no more than
# y does. (PyTorch's likewise.)
FROM_Y = {"Tanh", "Sigmoid", "SiLU", "GELU, tanh"}
FUNCTIONS = {"erf": erf, "normal_cdf": normal_cdf}
ALONG_CLASSES = {"Softmax": cr.Softmax, "LogSoftmax": cr.LogSoftmax}
LOSSES = {
    "BinaryCrossEntropy": cr.BinaryCrossEntropy(),
    "SoftmaxCrossEntropy": cr.SoftmaxCrossEntropy(),
    "SoftmaxCrossEntropy, soft": cr.SoftmaxCrossEntropy(),
    "SoftmaxCrossEntropy, smoothing 0.1": cr.SoftmaxCrossEntropy(label_smoothing=0.1),
    "NegativeLogLikelihood": cr.NegativeLogLikelihood(),
    "KLDivergence": cr.KLDivergence(),
    "MeanSquaredError": cr.MeanSquaredError(),
    "MeanAbsoluteError": cr.MeanAbsoluteError(),
    "Huber": cr.Huber(),
    "Huber, delta 0.1": cr.Huber(delta=0.1),
    "Hinge": cr.Hinge(),
}
CASES = ["constant", "offsets", "last digits", "denormals", "large", "outlier"]
NORMS = {
    f"{kind.__name__}, {case}": kind
    for kind, cases in [(cr.LayerNorm, CASES), (cr.BatchNorm, [*CASES, "tall"])]
    for case in cases
}

FLOATS = pytest.mark.parametrize("dtype", [np.float32, np.float64])


def each(names):
    return pytest.mark.parametrize("name", names)


@pytest.fixture(scope="module")
def extremes():
    """What tests/reference/make_extremes.py computed."""
    with np.load(Path(__file__).parent / "reference" / "extremes.npz") as file:
        return dict(file)


@pytest.fixture
def stored(extremes, request):
    """The arrays of one case and dtype, by role, in that dtype."""
    name, dtype = request.node.callspec.params["name"], request.node.callspec.params["dtype"]
    start = f"{name}/{dtype.__name__}/"
    return {k[len(start) :]: v.astype(dtype) for k, v in extremes.items() if k.startswith(start)}


def grid(extremes, dtype):
    return extremes[f"grid/{dtype.__name__}/x"].astype(dtype)


def assert_close(got, exact, size, where, dtype, factor=1.0):
    """Equal, or off by no more than UNITS of `size` times the factor and two denormals."""
    got = np.asarray(got)
    assert got.dtype == dtype
    assert got.shape == np.shape(exact)
    with np.errstate(all="ignore"):  # where `exact` is infinite nothing is near enough
        half = np.abs(np.asarray(size, dtype)) / dtype(2)
        room = UNITS * 2 * np.spacing(half).astype(np.float64) * factor
        room += 2 * float(np.finfo(dtype).smallest_subnormal)
        right = (got == exact) | (np.abs(got.astype(np.float64) - exact) <= room)
    columns = np.broadcast_arrays(where, got, exact, room, right)
    lines = [
        f"at {w!s}: {g!r}, exactly {e!r}, may be off by {r:.2g}"
        for w, g, e, r, fine in zip(*(column.flat for column in columns), strict=True)
        if not fine
    ]
    assert not lines, "\n".join(lines)


def build(name, kind, dtype):
    layer = kind()
    if name == "PReLU":
        layer.a = np.full(1, 0.25, dtype)
    return layer


# ---- functions of one number ---------------------------------------------------------------------


@each(ACTIVATIONS)
@FLOATS
def test_activation_forward(name, dtype, stored, extremes):
    x = grid(extremes, dtype)
    y, _ = build(name, ACTIVATIONS[name], dtype).forward(x[None])
    assert_close(y[0], stored["y"], stored["y"], x, dtype, 1 + stored["y condition"])


@each(ACTIVATIONS)
@FLOATS
def test_activation_backward(name, dtype, stored, extremes):
    x = grid(extremes, dtype)
    layer = build(name, ACTIVATIONS[name], dtype)
    _, cache = layer.forward(x[None])
    dx, _ = layer.backward(np.ones((1, len(x)), dtype), cache)
    size = np.abs(x).clip(1, 100) if name in FROM_Y else stored["dx"]
    assert_close(dx[0], stored["dx"], size, x, dtype, 1 + stored["dx condition"])


@each(ACTIVATIONS)
@FLOATS
def test_activation_of_nan(name, dtype, extremes):
    x = grid(extremes, dtype)
    layer, middle = build(name, ACTIVATIONS[name], dtype), len(x) // 2
    clean, _ = layer.forward(x[None])
    y, cache = layer.forward(np.insert(x, middle, np.nan)[None])
    assert np.isnan(y[0, middle])
    np.testing.assert_array_equal(np.delete(y, middle, axis=1), clean)
    dx, _ = layer.backward(np.ones_like(y), cache)
    assert not np.isnan(np.delete(dx, middle, axis=1)).any()


@each(FUNCTIONS)
@FLOATS
def test_function(name, dtype, stored, extremes):
    """Half as many units; and erf rounds no argument, so nothing for the condition."""
    x = grid(extremes, dtype)
    y = FUNCTIONS[name](np.append(x, dtype(np.nan)))
    factor = 0.5 if name == "erf" else 0.5 + 0.5 * stored["y condition"]
    assert_close(y[:-1], stored["y"], stored["y"], x, dtype, factor)
    assert np.isnan(y[-1])


# ---- along classes -------------------------------------------------------------------------------


@each(ALONG_CLASSES)
@FLOATS
def test_along_classes(name, dtype, stored):
    layer, x = ALONG_CLASSES[name](), stored["x"]
    rows = np.array([f"{row}" for row in x])[:, None]
    y, cache = layer.forward(x)
    dx, _ = layer.backward(stored["dy"], cache)
    assert_close(y, stored["y"], stored["y size"], rows.repeat(x.shape[1], 1), dtype)
    assert_close(dx, stored["dx"], stored["dx size"], rows.repeat(x.shape[1], 1), dtype)


@each(ALONG_CLASSES)
@FLOATS
def test_a_row_with_nan_leaves_the_others_alone(name, dtype, stored):
    layer, x = ALONG_CLASSES[name](), stored["x"]
    clean, _ = layer.forward(x)
    y, _ = layer.forward(np.insert(x, 3, [np.nan, 0, 1, 2], axis=0))
    assert np.isnan(y[3]).all()
    np.testing.assert_array_equal(np.delete(y, 3, axis=0), clean)


# ---- losses --------------------------------------------------------------------------------------


@each(LOSSES)
@FLOATS
def test_loss_of_one(name, dtype, stored):
    pairs = list(zip(stored["p"][:, None], targets(stored)[:, None], strict=True))
    values, d = zip(*(LOSSES[name](*pair) for pair in pairs), strict=True)
    assert {type(value) for value in values} == {float}
    where = np.array([f"p = {p[0]}, t = {t[0]}" for p, t in pairs])
    assert_close(np.array(values, dtype), stored["value"], stored["value size"], where, dtype)
    where = where.reshape(-1, *[1] * (stored["d"].ndim - 1))
    assert_close(np.concatenate(d), stored["d"], stored["d size"], where, dtype)


@each(LOSSES)
@FLOATS
def test_loss_of_a_batch(name, dtype, stored):
    """All at once, where infinite losses must not reach the gradients of the others."""
    p, t, values, sizes = stored["p"], targets(stored), stored["value"], stored["value size"]
    value, d = LOSSES[name](p, t)
    exact, size = (stored[role] / dtype(len(p)) for role in ("d", "d size"))
    assert value == np.inf or values.max() < 1e30
    assert_close(d, exact, size, p, dtype)
    few = values < 1e30
    value, _ = LOSSES[name](p[few], t[few])
    assert_close(dtype(value), np.mean(values[few]), np.mean(sizes[few]), "all", dtype)


@each(LOSSES)
@FLOATS
def test_loss_of_nan(name, dtype, stored):
    p, t = np.zeros_like(stored["p"][:2]), targets(stored)[:2]
    clean = LOSSES[name](p, t)[1]
    p[0] = np.nan
    value, d = LOSSES[name](p, t)
    assert np.isnan(value) or stored["value size"][0] == 0
    np.testing.assert_array_equal(d[1], clean[1])


def targets(stored):
    t = stored["t"]
    return t.astype(int) if t.ndim < stored["p"].ndim else t


# ---- norms ---------------------------------------------------------------------------------------

COLUMNS = ["dgamma", "dbeta", "running_mean", "running_var"]


def normed(kind, stored, x):
    """Forward and backward of a new norm: y, dx and what has one entry for each column."""
    layer = kind(x.shape[1])
    layer.gamma, layer.beta = stored["gamma"], stored["beta"]
    layer.move_buffers(x.dtype)
    if kind is cr.BatchNorm:
        layer.running_mean, layer.running_var = layer.beta, np.abs(layer.gamma)
    y, cache = layer.forward(x, training=True)
    dx, grads = layer.backward(stored["dy"], cache)
    columns = {f"d{key}": value for key, value in grads.items()} | dict(layer.buffers)
    return y, dx, columns


@each(NORMS)
@FLOATS
def test_norm(name, dtype, stored):
    """With the mean taken twice, rows far from 0 have no smaller precision than others.

    Inputs are exact, and so nearly is their difference from any number close by. One mean alone
    would be off by its last place, 8 at 1e8 in float32, and all entries with it.
    """
    y, dx, columns = normed(NORMS[name], stored, stored["x"])
    few = len(stored["y"])
    assert y.shape == dx.shape == stored["x"].shape
    assert_close(y[:few], stored["y"], stored["y size"], stored["x"][:few], dtype)
    assert_close(dx[:few], stored["dx"], stored["dx size"], stored["x"][:few], dtype)
    for role in COLUMNS if NORMS[name] is cr.BatchNorm else COLUMNS[:2]:
        exact = stored[role]
        assert_close(columns[role], exact, stored[f"{role} size"], role, dtype)
    if name.endswith("constant"):
        np.testing.assert_array_equal(y, np.broadcast_to(stored["beta"], y.shape))
        assert not columns["dgamma"].any()


@each(NORMS)
@FLOATS
def test_norm_with_nan_leaves_the_others_alone(name, dtype, stored):
    x = stored["x"].copy()
    clean = normed(NORMS[name], stored, x)
    x[2, 1] = np.nan
    spoiled = normed(NORMS[name], stored, x)
    axis, index = (0, 2) if NORMS[name] is cr.LayerNorm else (1, 1)
    for before, after in zip(clean[:2], spoiled[:2], strict=True):
        assert np.isnan(after.take(index, axis)).all()
        np.testing.assert_array_equal(np.delete(after, index, axis), np.delete(before, index, axis))


# ---- the table itself ----------------------------------------------------------------------------


def test_every_activation_loss_and_norm_is_stored(extremes):
    names = {key.split("/")[0] for key in extremes}
    public = {kind for kind in map(cr.__dict__.get, cr.__all__) if isinstance(kind, type)}
    wanted = {kind for kind in public if issubclass(kind, (Activation, Loss, Normalization))}
    wanted = (wanted | {cr.PReLU}) - {cr.Identity}
    assert {kind.__name__ for kind in wanted} <= {name.split(",")[0] for name in names}
    tested = {*ACTIVATIONS, *FUNCTIONS, *ALONG_CLASSES, *LOSSES, *NORMS}
    assert names == tested | {"grid", "versions"}
    assert "mpmath" in str(extremes["versions"])
    assert {array.dtype.kind for array in extremes.values()} == {"f", "U"}
