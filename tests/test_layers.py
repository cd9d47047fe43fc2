"""Every layer of the table against PyTorch's values, against central differences, and against each
promise of the contract. What is particular to one layer has a test of its own at the end."""

from __future__ import annotations

import copy

import numpy as np
import pytest
from cases import LAYERS
from hypothesis import given
from hypothesis import strategies as st

import chainrule as cr
from chainrule.parameters import FlatParameters
from chainrule.testing import LAYOUTS, check_layer, in_layout, inputs

EVERY = pytest.mark.parametrize("name", LAYERS)


def named(tree, prefix=""):
    """Flatten nested gradients: {"0": {"W": g}} -> {"0.W": g}."""
    flat = {}
    for name, value in tree.items():
        flat |= (
            named(value, f"{prefix}{name}.") if isinstance(value, dict) else {prefix + name: value}
        )
    return flat


def in_float64(layer, values=None):
    """The layer with float64 parameters, and with the given values."""
    flat = FlatParameters([layer], np.float64)
    for name, array in flat.named(flat.values).items():
        if values is not None:
            array[...] = values[name.removeprefix("0.")]
    return layer


def random_input(case, n, rng):
    shape = (n, *case.features)
    return rng.integers(0, case.indices, shape) if case.indices else rng.standard_normal(shape)


@pytest.mark.parametrize("name", [name for name, case in LAYERS.items() if case.reference])
def test_values_and_gradients_are_pytorchs(name, reference):
    key = f"{name}/param/"
    params = {k.removeprefix(key): v for k, v in reference.items() if k.startswith(key)}
    layer = in_float64(LAYERS[name].make(), params)
    buffers = {k: f"{name}/buffer {{}}/{k}" for k in layer.buffers}
    for k, stored in buffers.items():
        layer.buffers[k] = reference[stored.format("before")]
    x, dy, atol = reference[f"{name}/x"], reference[f"{name}/dy"], LAYERS[name].atol
    y, cache = layer.forward(x, training=LAYERS[name].training)
    dx, grads = layer.backward(dy, cache)
    np.testing.assert_allclose(y, reference[f"{name}/y"], rtol=0, atol=atol)
    if LAYERS[name].indices:
        assert dx is None
    else:
        np.testing.assert_allclose(dx, reference[f"{name}/dx"], rtol=0, atol=atol)
    for k, stored in buffers.items():
        after = reference[stored.format("after")]
        np.testing.assert_allclose(layer.buffers[k], after, rtol=0, atol=atol)
    total = {k: reference[f"{name}/grad/{k}"] * 0 for k in params}
    for k, g in named(grads).items():  # a layer that stands twice gives two shares
        total[k if k in params else k.replace("2.", "0.")] += g
    for k, g in total.items() if layer.learns else ():
        np.testing.assert_allclose(g, reference[f"{name}/grad/{k}"], rtol=0, atol=atol)


@EVERY
@pytest.mark.parametrize("training", [True, False])
def test_gradients_are_within_1e_6_of_central_differences(name, training):
    case, rng = LAYERS[name], np.random.default_rng(0)
    for layout in LAYOUTS:
        x = in_layout(random_input(case, 5, rng), layout)
        assert cr.gradcheck(case.make(), x, training=training) < 1e-6


@EVERY
def test_contract_holds_for_any_batch_dtype_and_layout(name):
    case = LAYERS[name]

    kind = {"dtypes": ["int64", "uint8"], "bound": case.indices - 1} if case.indices else {}

    @given(inputs(*case.features, max_between=case.max_between, **kind))
    def check(x):
        check_layer(case.make(), x)

    check()


@EVERY
@pytest.mark.parametrize("layout", LAYOUTS)
def test_empty_batch(name, layout):
    case = LAYERS[name]
    x = in_layout(random_input(case, 0, np.random.default_rng(0)).astype(case.dtype), layout)
    layer = case.make()
    buffers = {name: array.copy() for name, array in layer.buffers.items()}
    y, cache = layer.forward(x, training=True)
    dx, grads = layer.backward(np.zeros_like(y), cache)
    assert len(y) == 0
    assert (dx is None) if case.indices else (dx.shape == x.shape)
    for name, array in buffers.items():
        np.testing.assert_array_equal(layer.buffers[name], array)
    assert all((g == 0).all() for g in named(grads).values())


@EVERY
def test_float32_in_float32_out_and_parameters_stay(name):
    case = LAYERS[name]
    model = cr.Model(case.make(), seed=0)
    x = random_input(case, 4, np.random.default_rng(1)).astype(case.dtype)
    y, caches = model.forward(x, training=True)
    dx = model.backward(np.ones_like(y), caches)
    arrays = [y, model.parameters, model.gradients, *model.named_buffers().values()]
    arrays += [] if case.indices else [dx]
    assert {array.dtype for array in arrays} == {np.dtype("f4")}


@EVERY
def test_gradients_are_written_into_given_arrays(name):
    case = LAYERS[name]
    layer = case.make()
    y, cache = layer.forward(random_input(case, 4, np.random.default_rng(5)), training=True)
    _, plain = layer.backward(np.ones_like(y), cache)

    def like(grads):
        return {k: like(g) if isinstance(g, dict) else np.full_like(g, np.nan) for k, g in
                grads.items()}  # fmt: skip

    out = like(plain)
    _, grads = layer.backward(np.ones_like(y), cache, out=out)
    given, exact = named(out), named(plain)
    for k, g in named(grads).items():
        assert g is given[k]
        np.testing.assert_array_equal(g, exact[k])


@EVERY
def test_one_instance_twice_in_a_network(name):
    case = LAYERS[name]
    if case.make().output_shape(case.features) != case.features:
        pytest.skip("its output is no input for it")
    layer = case.make()
    model = cr.Model(layer, cr.Tanh(), layer, seed=0, dtype="float64")
    assert cr.gradcheck(model, random_input(case, 4, np.random.default_rng(2))) < 1e-6


@EVERY
def test_nested_is_flat(name):
    """Round a layer, containers change neither values nor gradients."""
    case, rng = LAYERS[name], np.random.default_rng(3)
    x = random_input(case, 3, rng)
    one = in_float64(case.make())
    wrapped = cr.Sequential(
        cr.Identity(), cr.Parallel(cr.Sequential(copy.deepcopy(one))), cr.Identity()
    )
    if not name.startswith("Dropout"):
        y, cache = one.forward(x, training=True)
        y2, cache2 = wrapped.forward(x, training=True)
        dy = rng.standard_normal(y.shape)
        dx, grads = one.backward(dy, cache)
        dx2, grads2 = wrapped.backward(dy, cache2)
        np.testing.assert_array_equal(y2, y)
        np.testing.assert_array_equal(dx2, dx)
        inner = [g for _, g in sorted(named(grads2).items())]
        for g, g2 in zip([g for _, g in sorted(named(grads).items())], inner, strict=True):
            np.testing.assert_array_equal(g2, g)
    assert cr.gradcheck(wrapped, x) < 1e-6


@EVERY
def test_a_row_alone_is_the_row_in_the_batch(name):
    case = LAYERS[name]
    layer = case.make()
    x = random_input(case, 5, np.random.default_rng(4))
    together, _ = layer.forward(x)
    for i in range(5):
        alone, _ = layer.forward(x[i : i + 1])
        np.testing.assert_allclose(alone[0], together[i], rtol=1e-12, atol=1e-12)


# ---- what is particular to one layer -------------------------------------------------------------


def test_dense_is_the_formula_to_the_bit():
    rng = np.random.default_rng(0)
    W, b = rng.standard_normal((3, 2), np.float32), rng.standard_normal(2, np.float32)
    x = rng.standard_normal((5, 3), np.float32)
    layer = cr.Dense(3, 2)
    layer.W, layer.b = W, b
    np.testing.assert_array_equal(layer.forward(x)[0], x @ W + b)


def test_dense_is_the_lectures_perceptron():
    """w0 = 1, w = [3, -2]: x = [-1, 2] gives z = -6 and y = 0.00247."""
    layer = cr.Dense(2, 1)
    layer.W, layer.b = [[3], [-2]], [1]
    z, _ = layer.forward(np.array([[-1.0, 2.0]]))
    y, _ = cr.Sigmoid().forward(z)
    assert z.item() == -6
    assert round(y.item(), 5) == 0.00247


@given(st.integers(0, 2**31), st.sampled_from([0.1, 0.5, 0.9]))
def test_dropout_keeps_a_share_and_scales_it(seed, p):
    n = 4000
    layer = cr.Dropout(p, rng=np.random.default_rng(seed))
    y, cache = layer.forward(np.ones((n, 1), np.float32), training=True)
    dx, _ = layer.backward(np.full((n, 1), 3, np.float32), cache)
    kept = y != 0
    assert abs(kept.mean() - (1 - p)) < 6 * np.sqrt(p * (1 - p) / n)
    np.testing.assert_array_equal(y[kept], np.float32(1 / (1 - p)))
    np.testing.assert_allclose(dx, 3 * y, rtol=1e-6)


def test_dropout_draws_anew_each_pass_and_repeats_with_its_generator():
    x = np.ones((8, 8), np.float32)
    one, other = (cr.Dropout(0.5, rng=np.random.default_rng(7)) for _ in range(2))
    first, second = one.forward(x, training=True)[0], one.forward(x, training=True)[0]
    assert (first != second).any()
    np.testing.assert_array_equal(other.forward(x, training=True)[0], first)


def test_relu_has_gradient_zero_at_its_kink():
    _, cache = cr.ReLU().forward(np.array([[-0.0, 0.0]]))
    assert cr.ReLU().backward(np.ones((1, 2)), cache)[0].tolist() == [[0, 0]]


# x, and PyTorch's derivative there
KINKS = [
    (cr.ReLU(), {0.0: 0}),
    (cr.LeakyReLU(0.2), {0.0: 0.2}),
    (cr.PReLU(init=0.2), {0.0: np.float64(np.float32(0.2))}),
    (cr.ELU(2.0), {0.0: 2}),
    (cr.SELU(), {0.0: 1.7580993408473766}),
    (cr.HardSwish(), {-3.0: 0, 3.0: 1}),
    (cr.HardTanh(), {-1.0: 0, 1.0: 0}),
    (cr.HardSigmoid(), {-3.0: 0, 3.0: 0}),
    (cr.Softsign(), {0.0: 1}),
    (cr.Softplus(threshold=1.0), {1.0: 0.7310585786300049, 1.0000001: 1}),
]


@pytest.mark.parametrize(("layer", "derivatives"), KINKS, ids=lambda value: type(value).__name__)
def test_derivative_at_a_kink_is_pytorchs(layer, derivatives):
    x = np.array([list(derivatives)])
    _, cache = layer.forward(x)
    dx, _ = layer.backward(np.ones_like(x), cache)
    np.testing.assert_allclose(dx[0], list(derivatives.values()), rtol=1e-14)


def test_linear_is_dense():
    assert cr.Linear is cr.Dense


def test_linear_layers_collapse_into_one():
    """Without a nonlinearity W2 (W1 x) = (W2 W1) x, to round-off."""
    one, two, both = in_float64(cr.Dense(4, 6)), in_float64(cr.Dense(6, 3)), cr.Dense(4, 3)
    in_float64(both, {"W": one.W @ two.W, "b": one.b @ two.W + two.b})
    x = np.random.default_rng(0).standard_normal((7, 4))
    stacked, _ = cr.Sequential(one, two).forward(x)
    np.testing.assert_allclose(stacked, both.forward(x)[0], rtol=0, atol=1e-13)
