"""The lecture's own numbers, point by point, from the public package. What is expected is computed
here from the lecture's formulas, or stands on its slides."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest

from chainrule import (
    BinaryCrossEntropy,
    Dense,
    MeanSquaredError,
    Model,
    ReLU,
    Sigmoid,
    Tanh,
    numerical_gradient,
    sigmoid,
)

RNG = np.random.default_rng(3)


def dense_of(W, b):
    """A dense layer with given weights, (in, out), and biases, (out,)."""
    layer = Dense(*np.shape(W))
    layer.W, layer.b = np.array(W, np.float64), np.array(b, np.float64)
    return layer


def perceptron(w0, w, x):
    """y = g(w0 + x·w) for one x, number by number."""
    z = w0 + math.fsum(a * b for a, b in zip(x, w, strict=True))
    return 1 / (1 + math.exp(-z))


# ---- points 3 to 7: the perceptron and the layer -------------------------------------------------


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_the_neuron_of_the_slide_says_0_00247(dtype):
    model = Model(dense_of([[3], [-2]], [1]), Sigmoid(), dtype=dtype)
    z, y = model.activations([[-1.0, 2.0]])
    assert z.tolist() == [[1 + 3 * -1 - 2 * 2]] == [[-6]]
    assert y[0, 0] == pytest.approx(1 / (1 + math.exp(6)), rel=1e-6)
    assert f"{y[0, 0]:.5f}" == "0.00247"


def test_the_neuron_splits_the_plane_at_its_line():
    model = Model(dense_of([[3], [-2]], [1]), Sigmoid(), dtype="float64")
    x1 = np.arange(-8, 9) / 2  # halves, so that nothing is rounded
    line = np.column_stack([x1, (1 + 3 * x1) / 2])  # 1 + 3 x1 - 2 x2 = 0
    assert (model(line) == 0.5).all()
    along_w = 0.1 * np.array([3, -2])
    assert (model(line + along_w) > 0.5).all()
    assert (model(line - along_w) < 0.5).all()


@pytest.mark.parametrize("n_in", [1, 2, 3, 10])
def test_a_perceptron_is_a_dense_layer_with_one_output(n_in):
    w, w0, x = RNG.normal(size=n_in), RNG.normal(), RNG.normal(size=(20, n_in))
    model = Model(dense_of(w[:, None], [w0]), Sigmoid(), dtype="float64")
    expected = [[perceptron(w0, w, row)] for row in x]
    np.testing.assert_allclose(model(x), expected, rtol=1e-13)


def test_a_dense_layer_is_one_perceptron_for_each_output():
    W, b, x = RNG.normal(size=(2, 2)), RNG.normal(size=2), RNG.normal(size=(20, 2))
    model = Model(dense_of(W, b), Sigmoid(), dtype="float64")
    expected = [[perceptron(b[k], W[:, k], row) for k in range(2)] for row in x]
    np.testing.assert_allclose(model(x), expected, rtol=1e-13)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("shape", [(1, 2, 1), (3, 2, 2), (10, 2, 3), (32, 64, 128), (200, 784, 10)])
def test_the_scratch_layer_is_dense_to_the_bit(shape, dtype):
    n, n_in, n_out = shape
    x, W, b = (RNG.normal(size=s).astype(dtype) for s in ((n, n_in), (n_in, n_out), (n_out,)))
    model = Model(Dense(n_in, n_out), ReLU(), dtype=dtype)
    model.layers[0].W, model.layers[0].b = W, b
    z = np.matmul(x, W) + b
    dense, output = model.activations(x)
    np.testing.assert_array_equal(dense, z)
    np.testing.assert_array_equal(output, np.maximum(z, 0))
    np.testing.assert_array_equal(output, model(x))


@pytest.mark.parametrize(
    ("layer", "g", "derivative"),
    [
        (Sigmoid(), lambda z: 1 / (1 + math.exp(-z)), lambda z, g: g * (1 - g)),
        (Tanh(), math.tanh, lambda z, g: 1 - g**2),
        (ReLU(), lambda z: max(z, 0.0), lambda z, g: float(z > 0)),
    ],
)
def test_the_activations_and_their_derivatives_are_the_slides(layer, g, derivative):
    z = np.linspace(-4, 4, 9)  # 0 among them
    y, cache = layer.forward(z)
    dz, _ = layer.backward(np.ones(9), cache)
    np.testing.assert_allclose(y, [g(a) for a in z], rtol=1e-13)
    np.testing.assert_allclose(dz, [derivative(a, g(a)) for a in z], rtol=0, atol=1e-15)


# ---- point 9: why nonlinearity -------------------------------------------------------------------


@pytest.mark.parametrize("sizes", [(2, 3, 1), (5, 40, 4), (3, 16, 16, 16, 16, 2)])
def test_linear_layers_collapse_into_one(sizes):
    pairs = list(itertools.pairwise(sizes))
    weights = [(RNG.normal(size=pair) / math.sqrt(pair[0]), RNG.normal(size=pair[1]))
               for pair in pairs]  # fmt: skip
    W, b = np.eye(sizes[0]), np.zeros(sizes[0])
    for W_k, b_k in weights:
        W, b = W @ W_k, b @ W_k + b_k
    x = RNG.normal(size=(50, sizes[0]))
    deep = Model(*(dense_of(*pair) for pair in weights), dtype="float64")
    one = Model(dense_of(W, b), dtype="float64")
    np.testing.assert_allclose(deep(x), one(x), rtol=0, atol=1e-13 * np.abs(one(x)).max())

    bent = [layer for pair in weights for layer in (dense_of(*pair), Tanh())][:-1]
    assert np.abs(Model(*bent, dtype="float64")(x) - one(x)).max() > 0.01 * np.abs(one(x)).max()


# ---- points 13 to 15: the loss -------------------------------------------------------------------

F, Y = np.array([0.1, 0.8, 0.6]), np.array([1.0, 0.0, 1.0])


def test_cross_entropy_of_the_slide_is_1_474283():
    value, d = BinaryCrossEntropy()(np.log(F / (1 - F)), Y)
    assert value == pytest.approx(-(math.log(0.1) + math.log(0.2) + math.log(0.6)) / 3, rel=1e-14)
    assert f"{value:.6f}" == "1.474283"
    np.testing.assert_allclose(d, (F - Y) / 3, rtol=1e-13)


def test_mean_squared_error_of_the_slide_is_2433_33():
    value, d = MeanSquaredError()([30.0, 80.0, 85.0], [90.0, 20.0, 95.0])
    assert value == pytest.approx((60**2 + 60**2 + 10**2) / 3, rel=1e-15)
    assert f"{value:.2f}" == "2433.33"
    np.testing.assert_allclose(d, [2 * -60 / 3, 2 * 60 / 3, 2 * -10 / 3], rtol=1e-15)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize(
    ("logit", "target", "value", "slope"),
    [(1e4, 0, 1e4, 1), (1e4, 1, 0, 0), (-1e4, 1, 1e4, -1), (-1e4, 0, 0, 0)],
)
def test_cross_entropy_is_stable_at_logits_of_ten_thousand(logit, target, value, slope, dtype):
    loss, d = BinaryCrossEntropy()(np.array([logit], dtype), [target])
    assert loss == value
    assert d.tolist() == [slope]


def test_the_empirical_loss_is_the_mean_of_the_rows():
    x = np.array([[4.0, 5.0], [2.0, 1.0], [5.0, 8.0]])
    model = Model(Dense(2, 3), Sigmoid(), Dense(3, 1), seed=0, dtype="float64")
    f = sigmoid(model(x)[:, 0])
    rows = -(Y * np.log(f) + (1 - Y) * np.log(1 - f))
    figures = model.evaluate(x, Y[:, None], loss=BinaryCrossEntropy())
    assert figures["loss"] == pytest.approx(rows.mean(), rel=1e-12)


# ---- point 18: the chain rule --------------------------------------------------------------------


def test_the_chain_rule_factor_by_factor():
    """x -> w1 -> tanh -> w2 -> ŷ -> J, each a number, as the slide draws it."""
    x, w1, w2, y = 0.7, 0.4, -1.3, 0.5
    z = w1 * x
    h = math.tanh(z)
    y_hat = w2 * h
    dJ_dy = 2 * (y_hat - y)  # J = (ŷ - y)²
    dy_dh = w2
    dh_dz = 1 - h**2
    dz_dw1 = x

    first, g, last, loss = dense_of([[w1]], [0]), Tanh(), dense_of([[w2]], [0]), MeanSquaredError()
    model = Model(first, g, last, dtype="float64")
    z_m, first_cache = first.forward(np.array([[x]]))
    h_m, g_cache = g.forward(z_m)
    y_m, last_cache = last.forward(h_m)
    value, dy = loss(y_m, [[y]])
    dh, last_grads = last.backward(dy, last_cache)
    dz, _ = g.backward(dh, g_cache)
    dx, first_grads = first.backward(dz, first_cache)

    def number(array):
        assert array.size == 1
        return pytest.approx(array.item(), rel=1e-13)

    assert (y_hat - y) ** 2 == pytest.approx(value, rel=1e-13)
    assert dJ_dy == number(dy)
    assert dJ_dy * dy_dh == number(dh)
    assert dJ_dy * dy_dh * dh_dz == number(dz)
    assert dJ_dy * dy_dh * dh_dz * dz_dw1 == number(first_grads["W"])
    assert dJ_dy * h == number(last_grads["W"])
    assert dJ_dy * dy_dh * dh_dz * w1 == number(dx)

    # The whole model's gradient is the same numbers, and so are the finite differences of J.
    _, caches = model.forward([[x]])
    model.backward(dy, caches)
    gradients = model.named_gradients()
    assert dJ_dy * dy_dh * dh_dz * dz_dw1 == number(gradients["0.W"])
    assert dJ_dy * h == number(gradients["2.W"])
    by_difference = numerical_gradient(lambda w: (w[1] * math.tanh(w[0] * x) - y) ** 2, [w1, w2])
    np.testing.assert_allclose(
        by_difference, [gradients["0.W"].item(), gradients["2.W"].item()], rtol=1e-8
    )
