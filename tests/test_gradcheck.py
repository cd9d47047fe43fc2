"""A gradient check that passes wrong formulas is worse than none, so the tester is tested here:
small layers with one injected mistake each must be refused, and what is right must pass.
"""

from __future__ import annotations

import math

import numpy as np
import pytest

import chainrule as cr
from chainrule import GradientError, Layer, gradcheck, initializers, numerical_gradient

N = 4  # batch and features alike, so that a transposed W and a sum over the wrong axis have shapes


def normal(*shape, seed=0):
    return np.random.default_rng(seed).standard_normal(shape)


def refused(match, *arguments, **options):
    with pytest.raises(GradientError, match=match or "."):
        gradcheck(*arguments, **options)


class Affine(Layer):
    """y = x W + b; `fault` makes one mistake in what backward returns."""

    def __init__(self, fault=lambda x, W, dy, dx, grads: (dx, grads)):
        super().__init__()
        self.fault = fault
        self.add_parameter("W", (N, N))
        self.add_parameter("b", (N,), initializers.normal(1.0))

    def forward(self, x, training=False):
        return x @ self.W + self.b, x

    def backward(self, dy, cache, out=None, need_dx=True):
        grads = {"W": cache.T @ dy, "b": dy.sum(axis=0)}
        return self.fault(cache, self.W, dy, dy @ self.W.T, grads)


class Elementwise(Layer):
    """y = f(x) with f' given apart, so that it can be wrong; its one parameter is empty."""

    def __init__(self, f, df):
        super().__init__()
        self.f, self.df = f, df
        self.add_parameter("empty", (0,), initializers.zeros)

    def forward(self, x, training=False):
        return self.f(x), x

    def backward(self, dy, x, out=None, need_dx=True):
        return dy * self.df(x), {"empty": np.zeros(0)}


def sine(factors):
    """A layer y = sin x whose backward multiplies each entry by a factor."""
    return Elementwise(np.sin, lambda x: np.cos(x) * factors)


def one_percent(shape, entry):
    factors = np.ones(shape)
    factors.flat[entry] = 1.01
    return factors


WRONG_RETURNS = {
    "sign of dx": lambda x, W, dy, dx, g: (-dx, g),
    "factor 2 in dx": lambda x, W, dy, dx, g: (2 * dx, g),
    "transposed W": lambda x, W, dy, dx, g: (dy @ W, g),
    "transposed dW": lambda x, W, dy, dx, g: (dx, {**g, "W": g["W"].T}),
    "bias of zeros": lambda x, W, dy, dx, g: (dx, {**g, "b": np.zeros(N)}),
    "bias missing": lambda x, W, dy, dx, g: (dx, {"W": g["W"]}),
    "bias None": lambda x, W, dy, dx, g: (dx, {**g, "b": None}),
    "bias under another name": lambda x, W, dy, dx, g: (dx, {"W": g["W"], "B": g["b"]}),
    "mean for sum": lambda x, W, dy, dx, g: (dx, {**g, "b": dy.mean(axis=0)}),
    "sum over the wrong axis": lambda x, W, dy, dx, g: (dx, {**g, "b": dy.sum(axis=1)}),
    "first row forgotten": lambda x, W, dy, dx, g: (dx, {**g, "W": x[1:].T @ dy[1:]}),
    "NaN in dx": lambda x, W, dy, dx, g: (np.where(np.eye(N) > 0, np.nan, dx), g),
    "last entry of db": lambda x, W, dy, dx, g: (dx, {**g, "b": g["b"] * [1, 1, 1, 1.01]}),
}


@pytest.mark.parametrize("fault", WRONG_RETURNS.values(), ids=WRONG_RETURNS)
@pytest.mark.parametrize("seed", range(3))
def test_refuses_wrong_gradients(fault, seed):
    x, layer = normal(N, N, seed=100 + seed), Affine(fault)
    refused(None, layer, x, seed=seed)
    refused(None, layer, x, seed=seed, max_elements=0)  # along directions
    model = cr.Model(cr.Dense(N, N), cr.Residual(Affine(fault), cr.Tanh()), seed=seed)
    refused(None, model, x, seed=seed)


def test_the_cotangent_is_not_the_input_that_people_draw():
    x = np.random.default_rng(0).standard_normal((N, N))  # with v = x, dL/dW = x^T v is symmetric
    refused(None, Affine(WRONG_RETURNS["transposed dW"]), x)


def test_names_a_missing_gradient():
    refused("returned no gradient for 'b'", Affine(WRONG_RETURNS["bias missing"]), normal(N, N))


def test_refuses_an_infinite_gradient_of_a_large_array():
    refused(None, Elementwise(np.sin, lambda x: x * np.inf), normal(N, N), max_elements=0)


@pytest.mark.parametrize("dx", [None, np.ones(N), np.ones((1, N)), np.ones((N, N, 1))])
def test_refuses_dx_of_another_shape(dx):
    layer = Affine(lambda x, W, dy, right, g: (dx, g))
    refused(r"dx must have x's shape \(4, 4\), got", layer, normal(N, N))


BROKEN_RETURNS = {
    "no tuple": lambda x, W, dy, dx, g: dx,
    "grads None": lambda x, W, dy, dx, g: (dx, None),
    "a row for a vector": lambda x, W, dy, dx, g: (dx, {**g, "b": g["b"][None]}),
}


@pytest.mark.parametrize("fault", BROKEN_RETURNS.values(), ids=BROKEN_RETURNS)
def test_refuses_what_breaks_the_contract(fault):
    refused("Affine", Affine(fault), normal(N, N))


@pytest.mark.parametrize(
    ("dx", "sentence"), [(None, "gave no dx"), (np.ones((2, 3)), "backward does not work")]
)
def test_refuses_a_wrong_dx_deep_in_a_model(dx, sentence):
    model = cr.Model(cr.Dense(N, N), Affine(lambda x, W, dy, right, g: (dx, g)), cr.Dense(N, N))
    refused(sentence, model, normal(N, N))


def test_refuses_a_softmax_with_a_zero_backward():
    class ZeroSoftmax(cr.Softmax):
        def backward(self, dy, y, out=None, need_dx=True):
            return np.zeros_like(y), {}

    refused("ZeroSoftmax", ZeroSoftmax(), normal(3, N))


def test_refuses_one_percent_in_one_entry_of_a_small_array():
    for entry in range(6):
        refused("1 of 6 entries differ", sine(one_percent((2, 3), entry)), np.full((2, 3), 0.5))
    refused(None, sine(1.01), normal(40, 40))


def test_refuses_one_percent_in_one_entry_of_a_large_array():
    x = normal(40, 40)
    for entry in np.argsort(-np.abs(np.cos(x)), axis=None)[:20]:
        refused(None, sine(one_percent(x.shape, entry)), x, seed=int(entry))


@pytest.mark.parametrize("max_elements", [500, 0])
def test_a_tiny_gradient_is_held_to_its_own_size(max_elements):
    class Tiny(Layer):
        """y = x + c / 10^6: dL/dc is a million times smaller than dL/dx."""

        def __init__(self):
            super().__init__()
            self.add_parameter("c", (3,), initializers.zeros)

        def forward(self, x, training=False):
            return x + 1e-6 * self.c, None

        def backward(self, dy, cache, out=None, need_dx=True):
            return dy, {"c": factor * 1e-6 * dy.sum(axis=0)}

    factor = 1.0
    gradcheck(Tiny(), normal(5, 3), max_elements=max_elements)
    for factor in (2.0, -1.0, 0.0, 1.1):  # noqa: B007
        refused(r"dc\[|of c is", Tiny(), normal(5, 3), max_elements=max_elements)


@pytest.mark.parametrize("what", ["x", "y", "dy"])
def test_refuses_changes_in_place(what):
    class Careless(cr.Tanh):
        def forward(self, x, training=False):
            y = np.tanh(x)
            if what == "x":
                x *= 2
            return y, y

        def backward(self, dy, y, out=None, need_dx=True):
            dx = dy * (1 - y * y)
            if what != "x":
                {"y": y, "dy": dy}[what].fill(7)
            return dx, {}

    refused(f"^{what} was changed in place", Careless(), normal(2, 3))


@pytest.mark.parametrize("wrap", [
    lambda layer: cr.Model(cr.Dense(N, N), cr.Tanh(), layer, cr.Tanh()),
    lambda layer: cr.Sequential(cr.Tanh(), layer),
    lambda layer: cr.Residual(cr.Tanh(), layer),
    lambda layer: cr.Parallel(cr.Identity(), layer, merge="concat"),
    lambda layer: cr.Parallel(cr.Identity(), cr.Residual(cr.Sequential(cr.Tanh(), layer))),
], ids=["Model", "Sequential", "Residual", "Parallel", "three deep"])  # fmt: skip
def test_finds_a_mistake_deep_inside(wrap):
    gradcheck(wrap(Affine()), normal(3, N))
    refused(r"\.b\[", wrap(Affine(WRONG_RETURNS["bias of zeros"])), normal(3, N))


def test_refuses_a_cache_on_self_when_the_layer_stands_twice():
    class Stale(cr.Tanh):
        def forward(self, x, training=False):
            self.y = np.tanh(x)
            return self.y, None

        def backward(self, dy, cache, out=None, need_dx=True):
            return dy * (1 - self.y * self.y), {}

    layer, x = Stale(), normal(2, 3)
    gradcheck(layer, x)
    refused("dx", cr.Sequential(layer, layer), x)


def squared(factor=lambda n: 2 / n, weighted=True):
    """Mean squared error as a plain function, its gradient's factor given apart."""

    def loss(p, t, weight=None):
        r = p - np.asarray(t)
        w = np.ones(len(r)) if weight is None else np.asarray(weight)
        d = factor(r.size) * r
        return float((w[:, None] * r * r).sum()) / r.size, w[:, None] * d if weighted else d

    return loss


def test_losses():
    p, t, w = normal(4, 2), normal(4, 2, seed=1), [0.5, 2.0, 0.0, 1.0]
    gradcheck(squared(), p, t)
    gradcheck(squared(), p, t, sample_weight=w)
    for wrong in (lambda n: 2, lambda n: -2 / n, lambda n: 1 / n, lambda n: 2 / (n - 1)):
        refused("prediction", squared(wrong), p, t)
    refused("prediction", squared(weighted=False), p, t, sample_weight=w)
    refused(r"prediction's shape \(4, 2\)", lambda p, t, w: (0.0, np.zeros(4)), p, t)
    refused("in place", lambda p, t, w: (float(p.sum()), p.fill(7) or np.ones_like(p)), p, t)


def test_a_loss_takes_integer_predictions():
    gradcheck(squared(), [[1], [2]], [[1.5], [3.0]])


def relu_with(slope):
    """ReLU with the given slope at exactly 0."""
    return Elementwise(
        lambda x: np.maximum(x, 0), lambda x: np.where(x == 0, slope, (x > 0).astype(x.dtype))
    )


def test_at_a_kink_any_slope_between_its_sides_passes_and_others_are_refused_by_name():
    for slope in (0.0, 0.3, 1.0):
        gradcheck(relu_with(slope), [[0.0, 1.0, -1.0], [0.0, 0.0, 2.0]])
    for slope in (2.0, -1.0):
        refused(r"\[0, 1\] is .* kink at this entry: the sl", relu_with(slope), [[1.0, 0.0, -1.0]])


def test_many_zeros_in_a_relu_pass():
    for seed in range(20):
        gradcheck(cr.ReLU(), np.zeros((10, 10)), seed=seed)


@pytest.mark.parametrize("zeros", [1, 400])
def test_zeros_in_a_large_relu_pass(zeros):
    x = normal(30, 30)
    x.flat[:zeros] = 0
    gradcheck(cr.ReLU(), x)


class Running(Layer):
    def __init__(self):
        super().__init__()
        self.add_parameter("scale", (3,), initializers.ones)
        self.add_buffer("running_mean", np.zeros(3))

    def forward(self, x, training=False):
        z = x - self.running_mean
        if training:
            self.running_mean = 0.5 * self.running_mean + 0.5
        return z * self.scale, z

    def backward(self, dy, z, out=None, need_dx=True):
        return dy * self.scale, {"scale": (dy * z).sum(axis=0)}


@pytest.mark.parametrize("training", [True, False])
def test_leaves_everything_as_it_was(training):
    model = cr.Model(Running(), cr.Dropout(0.5), cr.Dense(3, 2), seed=0)
    model.train_on_batch(normal(4, 3), np.zeros((4, 2)), loss=cr.MeanSquaredError(),
                         optimizer=cr.SGD(0.1))  # fmt: skip

    def everything():
        arrays = [*model.state_dict().items(), ("gradients", model.gradients)]
        bits = [(name, a.dtype, a.tobytes()) for name, a in arrays]
        return bits, [layer.rng.bit_generator.state for layer in model.layers]

    before, x, fresh = everything(), normal(4, 3), cr.Dense(3, 2)
    gradcheck(model, x, training=training)
    gradcheck(fresh, x, training=training)
    assert x.tobytes() == normal(4, 3).tobytes()
    assert not fresh.has_system_values  # nothing was drawn
    for layer in model.layers:
        gradcheck(layer, normal(4, 3), training=training)
    assert everything() == before
    assert np.shares_memory(model.layers[2].W, model.parameters)


def frozen(layer):
    layer.trainable = False
    return layer


class Product(Layer):
    def __init__(self, fault=lambda da, db: (da, db)):
        super().__init__()
        self.fault = fault

    def forward(self, x, training=False):
        return x[0] * x[1], x

    def backward(self, dy, x, out=None, need_dx=True):
        return self.fault(dy * x[1], dy * x[0]), {}


PAIR = normal(2, 3), normal(2, 3, seed=1)
TWICE = Affine()
RIGHT = {
    "stands twice": (lambda: cr.Sequential(TWICE, cr.Tanh(), TWICE), normal(3, N)),
    "dropout": (lambda: cr.Dropout(0.5, rng=np.random.default_rng(0)), normal(5, 6)),
    "two dropouts in a model": (lambda: cr.Model(cr.Dropout(), cr.Dropout(0.2)), normal(9, 6)),
    "float32": (lambda: cr.Dense(3, 2), normal(4, 3).astype(np.float32)),
    "integers": (lambda: cr.Dense(3, 2), np.arange(6).reshape(2, 3)),
    "model": (lambda: cr.Model(cr.Dense(3, 4), cr.Tanh(), cr.Dense(4, 2)), normal(4, 3)),
    "frozen layer": (lambda: frozen(cr.Dense(3, 2)), normal(4, 3)),
    "partly frozen": (lambda: cr.Model(frozen(cr.Dense(3, 3)), cr.Dense(3, 2)), normal(4, 3)),
    "two inputs": (Product, PAIR),
    "large": (lambda: cr.Dense(40, 30), normal(20, 40)),
    "empty batch": (lambda: cr.Dense(3, 2), normal(0, 3)),
    "x of 1e4": (lambda: cr.Sequential(cr.Dense(3, 4), cr.ReLU()), 1e4 * normal(4, 3)),
    "x of 1e-4": (lambda: cr.Sequential(cr.Dense(3, 4), cr.Tanh()), 1e-4 * normal(4, 3)),
    "sin at 1e4": (lambda: sine(1.0), 1e4 * normal(4, 3)),
    "log at 1e-4": (lambda: Elementwise(np.log, np.reciprocal), 1e-4 * (1 + normal(4, 3) ** 2)),
}  # fmt: skip


@pytest.mark.parametrize(("make", "x"), RIGHT.values(), ids=RIGHT)
@pytest.mark.parametrize("training", [True, False])
def test_what_is_right_passes(make, x, training):
    error = gradcheck(make(), x, training=training)
    assert type(error) is float
    assert 0 <= error < 1e-3


def test_two_inputs_are_told_apart():
    refused(r"dL/dx\[1\]\[", Product(lambda da, db: (da, 2 * db)), PAIR)
    refused(r"dx\[0\] must have", Product(lambda da, db: (None, db)), PAIR)


@pytest.mark.parametrize("dx", [None, (PAIR[0],)])
def test_refuses_what_is_no_pair(dx):
    refused(None, Product(lambda da, db: dx), PAIR)


def test_messages_name_layer_array_entry_and_both_values():
    seen = []

    def fault(x, W, dy, dx, g):
        seen.append(dy.copy())
        return dx, {**g, "b": np.array([*g["b"][:3], 12.5])}

    with pytest.raises(GradientError, match=r"^Affine\(") as caught:
        gradcheck(Affine(fault), np.ones((2, N)))
    right = seen[0][:, 3].sum()  # dL/db is the sum of dy over the rows
    assert f"dL/db[3] is 12.5 by backward, {right:.6g} by central" in str(caught.value)
    assert "1 of 4 entries differ" in str(caught.value)
    model = cr.Model(cr.Dense(N, N), Affine(fault))
    refused(r"Model\(.*dL/d1\.b\[3\] is 12\.5 by backward", model, normal(2, N))


def test_numerical_gradient():
    close, x = np.testing.assert_allclose, normal(2, 3)
    x.setflags(write=False)  # left as it is
    close(numerical_gradient(lambda a: (a**3).sum(), x), 3 * x**2, atol=1e-8)
    close(numerical_gradient(lambda a: math.prod(a.flat), x), x.prod() / x, atol=1e-8)
    close(numerical_gradient(lambda a: float(np.exp(a)), 1), math.e, rtol=1e-8)
    close(numerical_gradient(np.sum, [[1, 2], [3, 4]]), 1, rtol=1e-8)
    close(numerical_gradient(lambda a: (a**2).sum(), [1e6 + 0.3]), 2e6 + 0.6, rtol=1e-8)
    assert numerical_gradient(np.sum, np.zeros((0, 3))).shape == (0, 3)
