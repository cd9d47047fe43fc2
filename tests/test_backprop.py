"""The engine: the chain rule over any arrangement of layers, and its care for layers that users
write. Values come from finite differences or from the formula written out."""

from __future__ import annotations

import copy
import itertools

import numpy as np
import pytest

import chainrule as cr
from chainrule import backprop


class Scale(cr.Layer):
    """y = x s, with what a user's own layer may get wrong as options."""

    def __init__(self, features, habit="returns"):
        super().__init__()
        self.features, self.habit = features, habit
        self.add_parameter("s", (features,), cr.initializers.ones)

    def forward(self, x, training=False):
        return x * self.s, x

    def backward(self, dy, cache, out=None, need_dx=True):
        ds = (dy * cache).sum(axis=0)
        if self.habit == "uses out" and out is not None:
            out["s"][...] = ds
            return dy * self.s, out
        if self.habit == "returns nothing":
            return dy * self.s, {}
        if self.habit == "wrong shape":
            return dy * self.s, {"s": ds[None]}
        return dy * self.s, {"s": ds}


def passes(layers, x, dy, **options):
    y, caches = backprop.forward(layers, x, training=True)
    return y, *backprop.backward(layers, dy, caches, **options)


def test_gradient_of_two_layers_is_the_product_written_out():
    """y = tanh(x W) V: dV = h^T g, dW = x^T ((g V^T) (1 - h^2)), dx = ((g V^T)(1 - h^2)) W^T."""
    rng = np.random.default_rng(0)
    layers = [cr.Dense(3, 4, bias=False), cr.Tanh(), cr.Dense(4, 2, bias=False)]
    x, g = rng.standard_normal((5, 3)), rng.standard_normal((5, 2))
    W, V = layers[0].W, layers[2].W
    y, dx, grads = passes(layers, x, g)
    h = np.tanh(x @ W)
    dz = (g @ V.T) * (1 - h**2)
    np.testing.assert_allclose(y, h @ V)
    np.testing.assert_allclose(dx, dz @ W.T)
    np.testing.assert_allclose(grads["0"]["W"], x.T @ dz)
    np.testing.assert_allclose(grads["2"]["W"], h.T @ g)
    assert list(grads) == ["0", "2"]


def test_two_forwards_then_two_backwards_in_any_order_with_an_evaluation_between():
    rng = np.random.default_rng(1)
    model = cr.Model(cr.Dense(3, 4), cr.Tanh(), cr.Dropout(0.5), cr.Dense(4, 2), seed=0)
    xs, dys = rng.standard_normal((2, 5, 3)), rng.standard_normal((2, 5, 2))
    dropout = model.layers[2]
    state = copy.deepcopy(dropout.rng.bit_generator.state)

    def forward():
        dropout.rng.bit_generator.state = state
        return [model.forward(x, training=True)[1] for x in xs]

    expected = []
    for i in (0, 1):
        caches = forward()
        expected.append((model.backward(dys[i], caches[i]), model.gradients.copy()))
    for order in ((0, 1), (1, 0)):
        caches = forward()
        model(xs[0])
        for i in order:
            dx = model.backward(dys[i], caches[i])
            np.testing.assert_array_equal(dx, expected[i][0])
            np.testing.assert_array_equal(model.gradients, expected[i][1])


def test_need_dx_false_reaches_no_further_than_it_must():
    reached = []

    class Spy(cr.Identity):
        def backward(self, dy, cache, out=None, need_dx=True):
            reached.append(need_dx)
            return super().backward(dy, cache, out, need_dx)

    layers = [Spy(), cr.Dense(2, 2), Spy(), cr.Dense(2, 2)]
    x = np.ones((3, 2))
    _, dx, grads = passes(layers, x, x, need_dx=False)
    assert dx is None
    assert list(grads) == ["1", "3"]
    assert reached == [True]
    layers[1].trainable = layers[3].trainable = False
    assert passes(layers, x, x, need_dx=False)[1:] == (None, {})
    assert reached == [True]


@pytest.mark.parametrize("habit", ["returns", "uses out", "returns nothing"])
def test_own_layers_may_use_or_ignore_out(habit):
    layers = [Scale(2, habit), Scale(2)]
    views = {"0": {"s": np.full(2, np.nan)}, "1": {"s": np.full(2, np.nan)}}
    x, dy = np.array([[1.0, 2.0], [3.0, 4.0]]), np.ones((2, 2))
    passes(layers, x, dy, out=views)
    expected = [0, 0] if habit == "returns nothing" else [4, 6]
    assert views["0"]["s"].tolist() == expected
    assert views["1"]["s"].tolist() == [4, 6]


def test_a_gradient_of_the_wrong_shape_is_refused_with_both_shapes():
    views = {"0": {"s": np.zeros(2)}}
    with pytest.raises(ValueError, match=r"Scale.*shape \(1, 2\) for s.*shape \(2,\)"):
        passes([Scale(2, "wrong shape")], np.ones((3, 2)), np.ones((3, 2)), out=views)


def test_frozen_layers_have_no_gradient_even_if_they_forget_to_ask():
    layers = [Scale(2), Scale(2)]
    layers[0].trainable = False
    x = np.ones((1, 2))
    _, dx, grads = passes(layers, x, x)
    assert list(grads) == ["1"]
    assert dx.tolist() == [[1, 1]]


def test_shares_of_a_layer_that_stands_three_times_and_in_a_branch_add_up():
    rng = np.random.default_rng(2)
    shared = cr.Dense(3, 3)
    model = cr.Model(
        shared, cr.Tanh(), cr.Parallel(shared, cr.Residual(shared, cr.Sigmoid())), dtype="float64"
    )
    copies = cr.Model(
        copy.deepcopy(shared),
        cr.Tanh(),
        cr.Parallel(copy.deepcopy(shared), cr.Residual(copy.deepcopy(shared), cr.Sigmoid())),
        dtype="float64",
    )
    x, dy = rng.standard_normal((4, 3)), rng.standard_normal((4, 3))
    for m in (model, copies):
        _, caches = m.forward(x)
        m.backward(dy, caches)
    single = copies.gradients.reshape(3, -1).sum(axis=0)
    np.testing.assert_allclose(model.gradients, single, rtol=1e-13)
    assert cr.gradcheck(model, x) < 1e-6


def test_sequential_nested_a_thousand_deep_is_one_flat_chain():
    layer = cr.Sequential(cr.Dense(2, 2))
    for _ in range(1000):
        layer = cr.Sequential(layer, cr.Identity())
    assert len(layer.layers) == 1001
    x = np.random.default_rng(0).standard_normal((3, 2))
    y, cache = layer.forward(x)
    dx, _ = layer.backward(np.ones_like(y), cache)
    dense = layer.layers[0]
    np.testing.assert_array_equal(y, dense.forward(x)[0])
    np.testing.assert_allclose(dx, np.ones((3, 2)) @ dense.W.T)
    assert cr.gradcheck(layer, x) < 1e-6
    copied = copy.deepcopy(layer)
    np.testing.assert_array_equal(copied.forward(x)[0], y)


def test_a_thousand_layers_that_learn():
    """The derivative along a random direction of all parameters at once, by central differences."""
    pairs = [(cr.Dense(2, 2, init=cr.initializers.orthogonal), cr.Tanh()) for _ in range(500)]
    model = cr.Model(*itertools.chain.from_iterable(pairs), seed=0, dtype="float64")
    rng = np.random.default_rng(0)
    x, v = rng.standard_normal((2, 2, 2))
    _, caches = model.forward(x)
    model.backward(v, caches)
    u, start, h = rng.standard_normal(model.num_parameters), model.parameters.copy(), 1e-6
    sides = []
    for step in (h, -h):
        model.parameters[:] = start + step * u
        sides.append((v * model(x)).sum())
    assert (sides[0] - sides[1]) / (2 * h) == pytest.approx(model.gradients @ u, rel=1e-6)
