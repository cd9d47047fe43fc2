"""A wrong scale at the start makes deep networks die out or explode without any error message.
Each initializer is held to its formula over large matrices, and layers to drawing late and once.
"""

from __future__ import annotations

import math

import numpy as np
import pytest

import chainrule as cr
from chainrule import initializers as init

FLOATS = pytest.mark.parametrize("dtype", ["float32", "float64"])

# variance as a function of fan in and fan out
NORMAL = {
    "he_normal": lambda i, o: 2 / i,
    "glorot_normal": lambda i, o: 2 / (i + o),
    "lecun_normal": lambda i, o: 1 / i,
}
UNIFORM = {
    "he_uniform": lambda i, o: 2 / i,
    "glorot_uniform": lambda i, o: 2 / (i + o),
    "lecun_uniform": lambda i, o: 1 / i,
}
RANDOM = [*NORMAL, *UNIFORM, "orthogonal"]


def draw(name, shape, dtype="float64", seed=0):
    initializer = getattr(init, name) if isinstance(name, str) else name
    return initializer(np.random.default_rng(seed), shape, dtype)


@FLOATS
@pytest.mark.parametrize("shape", [(400, 600), (600, 300), (20, 30, 500)])
@pytest.mark.parametrize(("name", "variance"), [*NORMAL.items(), *UNIFORM.items()])
def test_mean_and_variance(name, variance, shape, dtype):
    W = draw(name, shape, dtype)
    expected = variance(math.prod(shape[:-1]), shape[-1])
    n = W.size  # standard errors: sqrt(v/n) of the mean, at most v sqrt(2/n) of the variance
    assert abs(W.mean(dtype=np.float64)) < 5 * math.sqrt(expected / n)
    assert abs(W.var(dtype=np.float64) / expected - 1) < 5 * math.sqrt(2 / n)


@pytest.mark.parametrize(("name", "variance"), NORMAL.items())
def test_normal_is_normal(name, variance):
    z = draw(name, (500, 400)) / math.sqrt(variance(500, 400))
    for bound, share in [(1.0, 0.68268949), (2.0, 0.95449974), (3.0, 0.99730020)]:
        assert np.mean(np.abs(z) < bound) == pytest.approx(share, abs=0.005)


@FLOATS
@pytest.mark.parametrize(("name", "variance"), UNIFORM.items())
def test_uniform_fills_its_bounds(name, variance, dtype):
    W = draw(name, (500, 400), dtype)
    bound = math.sqrt(3 * variance(500, 400))  # a uniform's variance is bound² / 3
    assert W.max() <= bound * (1 + 1e-6)
    assert W.min() >= -bound * (1 + 1e-6)
    assert W.max() > 0.999 * bound
    assert W.min() < -0.999 * bound
    inner = np.mean(np.abs(W) < bound / 2)
    assert inner == pytest.approx(0.5, abs=0.01)


@FLOATS
@pytest.mark.parametrize("shape", [(50, 20), (20, 50), (30, 30), (1, 5), (5, 1), (3, 4, 6)])
def test_orthogonal(shape, dtype):
    W = draw("orthogonal", shape, dtype)
    assert W.shape == shape
    assert W.dtype == dtype
    W = W.reshape(-1, shape[-1]).astype(np.float64)
    gram = W.T @ W if W.shape[0] >= W.shape[1] else W @ W.T
    np.testing.assert_allclose(gram, np.eye(len(gram)), atol=1e-6 if dtype == "float32" else 1e-14)


def test_orthogonal_has_both_signs_and_needs_two_axes():
    W = np.array([draw("orthogonal", (1, 1), seed=seed)[0, 0] for seed in range(50)])
    np.testing.assert_allclose(np.abs(W), 1)
    assert 10 < np.count_nonzero(W > 0) < 40  # uniform over the group: ±1 alike
    for shape in [(), (3,)]:
        with pytest.raises(ValueError, match="two axes"):
            draw("orthogonal", shape)


@FLOATS
@pytest.mark.parametrize("name", RANDOM)
def test_same_seed_same_bits(name, dtype):
    W = draw(name, (7, 5), dtype)
    assert W.dtype == dtype
    assert W.shape == (7, 5)
    assert draw(name, (7, 5), dtype).tobytes() == W.tobytes()
    assert draw(name, (7, 5), dtype, seed=1).tobytes() != W.tobytes()


@pytest.mark.parametrize("name", [*NORMAL, *UNIFORM])
def test_a_vector_counts_as_inputs_and_outputs(name):
    variance = {**NORMAL, **UNIFORM}[name](20_000, 20_000)
    v = draw(name, (20_000,))
    assert v.var() / variance == pytest.approx(1, abs=0.05)
    assert draw(name, ()).shape == ()


@FLOATS
def test_normal_and_constants(dtype):
    W = draw(init.normal(0.01), (500, 400), dtype)
    assert W.dtype == dtype
    assert W.std(dtype=np.float64) == pytest.approx(0.01, rel=0.01)
    assert not draw(init.normal(0), (3, 2), dtype).any()
    for initializer, value in [(init.zeros, 0), (init.ones, 1), (init.constant(-2.5), -2.5)]:
        a = draw(initializer, (3, 2), dtype)
        assert a.dtype == dtype
        assert a.tolist() == [[value] * 2] * 3


@pytest.mark.parametrize("option", [float("nan"), float("inf"), -float("inf"), "1", None, True])
def test_options_are_refused(option):
    with pytest.raises((TypeError, ValueError), match="normal: std must be a number"):
        init.normal(option)
    with pytest.raises((TypeError, ValueError), match="constant: value must be a number"):
        init.constant(option)


def test_a_negative_std_is_refused():
    with pytest.raises(ValueError, match=r"std must be a number in \[0, inf\), got -1"):
        init.normal(-1)


# ---- what layers do with them --------------------------------------------------------------------


def counting():
    """An initializer that counts its calls."""

    def ones(rng, shape, dtype):
        ones.calls += 1
        return np.ones(shape, dtype)

    ones.calls = 0
    return ones


def test_a_layer_draws_late_and_once():
    ones = counting()
    layer = cr.Dense(3, 2, init=ones)
    chain = cr.Sequential(layer, cr.ReLU())
    assert repr(layer) == "Dense(3, 2, init=ones)"
    assert layer.output_shape((3,)) == (2,)
    assert chain.output_shape((None, 3)) == (None, 2)
    assert layer.parameter_shapes == {"W": (3, 2), "b": (2,)}
    assert list(layer.params) == ["W", "b"]
    assert len(layer.params) == 2
    assert ones.calls == 0
    first = layer.W
    assert ones.calls == 1
    assert layer.W is first
    assert layer.params["W"] is first
    assert ones.calls == 1
    assert layer.b.tolist() == [0, 0]


def test_a_model_draws_each_parameter_once_in_its_own_dtype():
    dtypes = []

    def ones(rng, shape, dtype):
        dtypes.append(np.dtype(dtype).name)
        return np.ones(shape, dtype)

    shared = cr.Dense(2, 2, init=ones)
    cr.Model(shared, cr.Tanh(), shared, dtype="float64").summary()
    assert dtypes == ["float64"]


def test_a_model_keeps_values_that_were_set_and_draws_the_rest_from_its_seed():
    def build(layer):
        return cr.Model(layer, cr.Dense(2, 2), seed=3)

    W = np.array([[1.0, 2.0], [3.0, 4.0]])
    layer = cr.Dense(2, 2)
    layer.W = W
    one, two = build(layer), build(cr.Dense(2, 2))
    assert one.layers[0].W.tolist() == W.tolist()
    assert one.layers[1].W.tobytes() == two.layers[1].W.tobytes()
    looked_at = cr.Dense(2, 2)
    kept = looked_at.W.copy()
    with pytest.warns(UserWarning, match=r"seed=3 does not reach Dense\(2, 2\)"):
        model = build(looked_at)
    assert model.layers[0].W.tobytes() == kept.tobytes()


def test_the_default_is_he_normal_and_bias_zero():
    model = cr.Model(cr.Dense(400, 500), seed=0)
    assert model.layers[0].W.std() == pytest.approx(math.sqrt(2 / 400), rel=0.01)
    assert not model.layers[0].b.any()


@pytest.mark.parametrize("wrong", ["he_normal", None, 0.1, np.zeros((3, 2))])
def test_what_is_no_function_is_refused_with_the_right_call(wrong):
    with pytest.raises(TypeError, match=r"init must be a function .*chainrule\.initializers\.he_"):
        cr.Dense(3, 2, init=wrong)


def wrong_shape(rng, shape, dtype):
    return np.zeros(shape[::-1], dtype)


@pytest.mark.parametrize("use", [lambda layer: layer.W, lambda layer: cr.Model(layer)])
def test_an_initializer_of_a_wrong_shape_is_refused(use):
    layer = cr.Dense(3, 2, init=wrong_shape)
    with pytest.raises(ValueError, match=r"Dense\(3, 2.*of W gave shape \(2, 3\), not \(3, 2\)"):
        use(layer)


def test_a_refused_model_leaves_its_layers_free():
    good, bad = cr.Dense(3, 3), cr.Dense(3, 2, init=wrong_shape)
    with pytest.raises(ValueError, match="gave shape") as caught:
        cr.Model(good, bad)
    assert caught.traceback  # which holds the failed model, as an interactive session does
    cr.Model(good, cr.Dense(3, 2))


def test_values_of_any_dtype_are_converted():
    layer = cr.Dense(3, 2, init=lambda rng, shape, dtype: np.ones(shape, "int64"))
    assert layer.W.dtype == np.float32
    model = cr.Model(cr.Dense(3, 2, init=lambda rng, shape, dtype: [[1, 2]] * 3))
    assert model.layers[0].W.tolist() == [[1, 2]] * 3
    assert model.parameters.dtype == np.float32
