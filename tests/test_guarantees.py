"""What somebody who distrusts the library tries first: each test here once failed. They cover the
corners where a wrong result would have been silent."""

from __future__ import annotations

import tracemalloc

import numpy as np
import pytest

import chainrule as cr
from chainrule.layers.containers import Container
from chainrule.numerics import sum_rows
from chainrule.testing import check_layer

X = np.random.default_rng(0).standard_normal((6, 3))


class Own(cr.Layer):
    """y = x s, with a backward of one's own choice."""

    def __init__(self, forward=lambda x, s: x * s, backward=lambda dy, x, s: dy * s):
        super().__init__()
        self.f, self.b = forward, backward
        self.add_parameter("s", (3,), cr.initializers.normal(1.0))

    def forward(self, x, training=False):
        return self.f(x, self.s), x

    def backward(self, dy, x, out=None, need_dx=True):
        return self.b(dy, x, self.s), {"s": (dy * x).sum(axis=0)}


@cr.register_layer
class Head(cr.Sequential):
    """A class derived from Sequential, with an argument of its own."""

    def __init__(self, n):
        super().__init__(cr.Dense(n, n), cr.Softmax())
        self.n = n


@cr.register_layer
class Gate(Container):
    """y = s f(x): a container with a parameter of its own."""

    def __init__(self, inner):
        super().__init__([inner])
        self.inner = inner
        self.add_parameter("s", (), cr.initializers.ones)

    def forward(self, x, training=False):
        y, cache = self.children[0].forward(x, training=training)
        return self.s * y, (y, cache)

    def backward(self, dy, cache, out=None, need_dx=True):
        y, inner = cache
        dx, grads = self.children[0].backward(dy * self.s, inner, need_dx=need_dx)
        return dx, {"s": (dy * y).sum(), "0": grads}


# ---- the gradient check --------------------------------------------------------------------------


def test_a_forward_that_does_not_repeat_is_refused():
    noise = np.random.default_rng(1)
    layer = Own(lambda x, s: x * s + noise.normal(size=x.shape), lambda dy, x, s: 100 * dy)
    with pytest.raises(cr.GradientError, match="does not repeat"):
        cr.gradcheck(layer, X)


def test_a_jump_is_no_kink():
    layer = Own(lambda x, s: np.floor(x) + 0 * s, lambda dy, x, s: 3 * dy)
    with pytest.raises(cr.GradientError, match=r"dL/dx"):
        cr.gradcheck(layer, np.arange(6.0).reshape(2, 3))


def test_whole_numbers_are_differentiated_like_others():
    with pytest.raises(cr.GradientError, match=r"dL/dx"):
        cr.gradcheck(Own(backward=lambda dy, x, s: -50 * dy), [[1, 2, 3], [4, 5, 6]])
    assert cr.gradcheck(Own(), [[1, 2, 3]]) < 1e-6


def test_nothing_to_compare_is_refused():
    with pytest.raises(ValueError, match="nothing to compare"):
        cr.gradcheck(cr.Tanh(), np.zeros((0, 3)))


@pytest.mark.parametrize("scale", [20, 100])
def test_saturated_units_and_large_inputs_pass(scale):
    rng = np.random.default_rng(2)
    for seed in range(10):
        cr.gradcheck(cr.Softmax(), scale * rng.standard_normal((2, 20)), seed=seed)
    cr.gradcheck(cr.MeanSquaredError(), 1e8 * rng.standard_normal((30, 20)), np.zeros((30, 20)))


def test_a_random_layer_with_a_parameter_passes_the_contract():
    class Noisy(Own):
        def forward(self, x, training=False):
            noise = self.rng.normal(size=x.shape).astype(x.dtype) if training else 0
            return x * self.s + noise, x

    check_layer(Noisy(), np.ones((1, 3), np.float32))


# ---- own layers and containers -------------------------------------------------------------------


def test_a_container_with_its_own_parameter_works_everywhere(tmp_path):
    model = cr.Model(Gate(cr.Dense(3, 3)), seed=0, dtype="float64")
    assert list(model.named_parameters()) == ["0.s", "0.0.W", "0.0.b"]
    assert cr.gradcheck(model, X) < 1e-6
    model.layers[0].params["s"] = 2.0
    assert model.parameters[0] == 2
    with pytest.raises(TypeError, match=r"assign to the arrays in params\['0'\]"):
        model.layers[0].params["0"] = 3
    model.layers[0].trainable = False
    model.save(tmp_path / "gate")
    loaded = cr.Model.load(tmp_path / "gate")
    for m in (model, loaded):
        assert not m.layers[0].trainable
        m.gradients[:] = 5  # whatever stood there before is replaced, in frozen parts too
        _, caches = m.forward(X)
        m.backward(np.ones((6, 3)), caches)
        assert not m.gradients.any()


def test_gradients_of_arrays_that_nobody_declared_are_refused():
    class Block(cr.Layer):
        def __init__(self):
            super().__init__()
            self.inner = cr.Dense(3, 3)

        def forward(self, x, training=False):
            return self.inner.forward(x)

        def backward(self, dy, cache, out=None, need_dx=True):
            dx, grads = self.inner.backward(dy, cache)
            return dx, {"inner": grads}

    with pytest.raises(cr.GradientError, match=r"Block.*inner.*children"):
        cr.gradcheck(Block(), X)
    model = cr.Model(Block(), cr.Dense(3, 1), seed=0)
    _, caches = model.forward(X)
    with pytest.raises(ValueError, match=r"Block.*inner.*children"):
        model.backward(np.ones((6, 1)), caches)


@pytest.mark.parametrize("name", ["depth", "values", "config", "model", "put", "size", "name"])
def test_own_layers_may_keep_arguments_under_any_usual_name(name):
    layer = Own()
    setattr(layer, name, 500)
    model = cr.Model(cr.Residual(layer), seed=0, dtype="float64")
    assert getattr(layer, name) == 500
    assert cr.gradcheck(model, X) < 1e-6


def test_a_branch_that_returns_one_row_is_not_spread_over_the_batch():
    class Mean(cr.Identity):
        def forward(self, x, training=False):
            return x.mean(axis=0, keepdims=True), None

    with pytest.raises(ValueError, match="do not go together"):
        cr.Parallel(cr.Identity(), Mean()).forward(X)


def test_branches_of_a_known_and_an_unknown_rank_are_put_next_to_each_other():
    parallel = cr.Parallel(cr.Identity(), cr.Sequential(cr.Dense(3, 2)), merge="concat")
    model = cr.Model(cr.Reshape(1, 3), parallel)
    assert model(X).shape == (6, 1, 5)
    parallel = cr.Parallel(cr.Identity(), cr.Sequential(cr.Flatten(), cr.Reshape(1, 3)),
                           merge="concat")  # fmt: skip
    x = X[:, None, :]
    np.testing.assert_allclose(cr.Model(parallel, dtype="float64")(x), np.concatenate([x, x], -1))


@pytest.mark.parametrize("branches", [1, 2])
def test_single_numbers_are_not_put_next_to_each_other_along_the_batch(branches):
    class Untold(cr.Identity):
        def output_shape(self, input_shape):
            return (...,)

        def forward(self, x, training=False):
            return x, None

    x = np.ones(4)
    for branch in (cr.Identity(), Untold()):
        parallel = cr.Parallel(*[branch] * branches, merge="concat")
        for call in (parallel.forward, cr.Model(parallel)):
            with pytest.raises(ValueError, match=r"Reshape\(1\)"):
                call(x)


@pytest.mark.parametrize(
    "last",
    [
        [cr.Softmax(), cr.Identity()],
        [cr.Sigmoid(), cr.Flatten()],
        [cr.Softmax(), cr.Dropout(0)],
        [Head(3)],
        [cr.Parallel(cr.Sequential(cr.Dense(3, 3), cr.Softmax()))],
    ],
    ids=str,
)
def test_probabilities_behind_anything_are_refused_by_losses_on_logits(last):
    model = cr.Model(cr.Dense(3, 3), *last, seed=0)
    with pytest.raises(ValueError, match="takes logits"):
        model.fit(X, [0] * 6, loss=cr.SoftmaxCrossEntropy(), optimizer=cr.Adam())


# ---- models and optimizers -----------------------------------------------------------------------


def test_flat_vectors_can_be_scaled_and_assigned_in_one_line():
    model = cr.Model(cr.Dense(3, 1), seed=0)
    flat = model.gradients
    flat[:] = 1
    model.gradients *= 0.5
    model.parameters = np.arange(4)
    assert model.gradients is flat
    assert flat.tolist() == [0.5] * 4
    assert model.layers[0].W.ravel().tolist() == [0, 1, 2]
    with pytest.raises(ValueError, match=r"shape \(4,\), got \(3,\)"):
        model.parameters = np.arange(3)


def test_a_model_that_cannot_be_built_leaves_its_layers_undrawn():
    dense = cr.Dense(3, 3)
    wrong = cr.Dense(3, 3, init=lambda rng, shape, dtype: np.ones(2))
    with pytest.raises(ValueError, match="initializer of W"):
        cr.Model(dense, wrong, seed=0)
    expected = cr.Model(cr.Dense(3, 3), seed=5)
    assert np.array_equal(cr.Model(dense, seed=5).parameters, expected.parameters)


def test_arrays_of_a_layer_can_be_neither_deleted_nor_added_later():
    model = cr.Model(cr.Dense(3, 1), seed=0)
    with pytest.raises(AttributeError, match="cannot be deleted"):
        del model.layers[0].W
    with pytest.raises(ValueError, match="before a model takes"):
        model.layers[0].add_parameter("k", (2,))


def test_a_state_that_overflows_changes_nothing():
    model = cr.Model(cr.Dense(2, 2), cr.Dense(2, 2), seed=0)
    before, state = model.parameters.copy(), model.state_dict()
    state["0.W"] = np.full((2, 2), 7.0)
    state["1.W"] = np.full((2, 2), 1e300)
    with pytest.raises(ValueError, match="too large for float32"):
        model.load_state_dict(state)
    assert np.array_equal(model.parameters, before)


@pytest.mark.parametrize(
    ("spans", "error"),
    [
        ([(slice(0, 2), None), (slice(2, 4, 2), None)], ValueError),
        ([(slice(0, 3), None), (slice(2, 4), None)], ValueError),
        ([(slice(0, 2), None), (slice(2, 4), float("nan"))], ValueError),
        ([slice(0, 2)], TypeError),
    ],
)
def test_wrong_spans_are_refused_before_anything_is_updated(spans, error):
    p, optimizer = np.ones(4), cr.Adam(0.1)
    with pytest.raises(error, match="span"):
        optimizer.step(p, np.ones(4), spans)
    assert (p.tolist(), optimizer.state_dict()) == ([1] * 4, {"steps": 0})


def test_after_divergence_the_optimizer_goes_on_from_before_the_epoch():
    model = cr.Model(cr.Dense(3, 1), seed=0)
    optimizer, loss = cr.SGD(0.05, momentum=0.9), cr.MeanSquaredError()
    options = {"loss": loss, "optimizer": optimizer, "batch_size": 2, "verbose": 0}
    y = X @ [[1.0], [2.0], [3.0]]
    model.fit(X, y, epochs=2, **options)
    state, weights = optimizer.state_dict(), model.parameters.copy()
    with pytest.raises(cr.DivergenceError):
        model.fit(X * [[1], [1], [1], [1], [1e25], [1e25]], y, shuffle=False, **options)
    assert np.array_equal(optimizer.state_dict()["velocity"], state["velocity"])
    assert optimizer.steps == state["steps"]
    assert np.array_equal(model.parameters, weights)
    assert model.fit(X, y, epochs=20, **options)["loss"][-1] < 0.1


@pytest.mark.parametrize("decay", ["all", "weights"])
def test_a_penalty_leaves_no_gradient_where_everything_is_frozen(decay):
    model = cr.Model(frozen := cr.Dense(3, 1), seed=0)
    frozen.trainable = False
    loss, optimizer = cr.MeanSquaredError(), cr.SGD(0.1, weight_decay=0.1)
    model.train_on_batch(X, X[:, :1], loss=loss, optimizer=optimizer, l1=0.1, decay=decay)
    assert not model.gradients.any()


@pytest.mark.parametrize(
    "loss", [lambda p, t, w: 0.5, lambda p, t, w: ("a", p), lambda p, t, w: (p, p)]
)
def test_an_own_loss_that_returns_something_else_is_refused_at_once(loss):
    model = cr.Model(cr.Dense(3, 1), cr.Dropout(0.5), seed=0)
    before = model.shuffle_rng.bit_generator.state
    with pytest.raises(TypeError, match=r"must return \(value, gradient\)"):
        model.fit(X, X[:, :1], loss=loss, optimizer=cr.Adam())
    assert model.shuffle_rng.bit_generator.state == before


def test_an_own_metric_may_meet_infinities_without_a_warning():
    def log_mean(prediction, target, weight=None):
        return np.log(np.abs(prediction)).mean(), prediction

    model = cr.Model(cr.Dense(3, 1), seed=0)
    figures = model.evaluate(X, X[:, :1], loss=cr.MeanSquaredError(), metrics=[log_mean])
    assert figures["log_mean"] == pytest.approx(np.log(np.abs(model(X))).mean(), rel=1e-6)


def test_one_number_is_no_input_even_after_a_row_was():
    model = cr.Model(cr.Identity())
    model(np.ones(3, np.float32))
    with pytest.raises(ValueError, match="batch axis"):
        model(np.float32(5) + np.zeros((), np.float32))


# ---- numbers -------------------------------------------------------------------------------------


def test_mean_squared_error_is_exact_to_float32_over_a_million_entries():
    p = np.full(1_000_003, 0.1, np.float32)
    value, _ = cr.MeanSquaredError()(p, np.zeros_like(p))
    assert value == pytest.approx(float(np.float32(0.1)) ** 2, rel=1e-6)


def test_sums_over_rows_are_the_same_in_either_order_of_memory():
    x = np.random.default_rng(3).standard_normal((700, 5))
    np.testing.assert_allclose(sum_rows(np.asfortranarray(x)), x.sum(axis=0), rtol=1e-12)


@pytest.mark.parametrize("n", [1_025, 200_003])
def test_long_constant_rows_are_zero_in_either_order_of_memory(n):
    x = np.full((5, n), 1e4 + 0.1, np.float32)
    assert not cr.LayerNorm(n).forward(x)[0].any()
    for columns in (x.T, np.ascontiguousarray(x.T)):
        assert not cr.BatchNorm(5).forward(columns, training=True)[0].any()


@pytest.mark.parametrize(("shape", "axis"), [((4, 20_000), -1), ((2, 20_000, 4), 1)])
@pytest.mark.parametrize("order", ["C", "F"])
def test_softmax_of_many_classes_keeps_its_digits_in_any_layout(shape, axis, order):
    rng = np.random.default_rng(4)
    x = np.array(rng.standard_normal(shape), np.float32, order=order)
    e = np.exp(x.astype(np.float64))
    exact = e / e.sum(axis=axis, keepdims=True)
    np.testing.assert_allclose(cr.Softmax(axis).forward(x)[0], exact, rtol=2e-6)
    np.testing.assert_allclose(cr.LogSoftmax(axis).forward(x)[0], np.log(exact), rtol=0, atol=4e-6)


def test_slopes_of_prelu_keep_their_digits_in_any_layout():
    rng = np.random.default_rng(5)
    x, dy = (rng.random((2, 3, 100_000)).astype(np.float32) for _ in range(2))
    exact = (-x.astype(np.float64) * dy).sum(axis=(0, 2))
    for order in "CF":
        layer = cr.PReLU(3)
        _, cache = layer.forward(np.array(-x, order=order))
        _, grads = layer.backward(np.array(dy, order=order), cache)
        np.testing.assert_allclose(grads["a"], exact, rtol=1e-6)


def test_smoothed_labels_of_many_classes_take_no_square_of_memory():
    z, t = np.zeros((2, 5_000), np.float32), np.array([3, 4_999])  # a square would take 100 MB
    tracemalloc.start()
    value, d = cr.SoftmaxCrossEntropy(label_smoothing=0.1)(z, t)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 2_000_000
    assert value == pytest.approx(np.log(5_000), rel=1e-6)
    assert d[1, 4_999] == pytest.approx((1 / 5_000 - 0.9 - 0.1 / 5_000) / 2, rel=1e-5)


def test_vectors_of_many_lengths_leave_nothing_behind():
    tracemalloc.start()
    for n in range(500_000, 500_010):
        cr.ReLU().forward(np.ones(n, np.float32))
    kept, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert kept < 1_000_000


def test_not_a_number_shows_though_its_target_is_zero():
    value, _ = cr.KLDivergence()(np.array([[np.nan, -0.5]]), np.array([[0.0, 1.0]]))
    assert np.isnan(value)


def test_small_integers_are_numbers_to_every_activation():
    x = np.array([[200, 1]], np.uint8)
    for layer in (cr.LogSigmoid(), cr.ELU(), cr.Mish(), cr.Softplus(), cr.HardSwish(), cr.SiLU()):
        np.testing.assert_array_equal(layer.forward(x)[0], layer.forward(x.astype(float))[0])


def test_a_loss_of_nan_has_a_gradient_that_shows():
    _, d = cr.Hinge()([np.nan, 2.0], [1, 1])
    assert d.tolist() == [-0.5, 0]


def test_a_model_that_cannot_be_built_leaves_its_layers_as_they_were():
    """Their generators too: what is drawn afterwards is what would have been drawn."""
    dense, rng = cr.Dense(3, 2), np.random.default_rng(5)
    given = cr.Dropout(0.5)
    given.rng = rng
    layers = dense, cr.BatchNorm(2), given
    before = [dict(vars(layer)) for layer in layers]

    def init(rng, shape, dtype):
        raise ValueError("no such distribution")

    with pytest.raises(ValueError, match="no such"):
        cr.Model(*layers, cr.Dense(2, 2, init=init), seed=0, dtype="float64")
    for layer, attributes in zip(layers, before, strict=True):
        assert vars(layer).keys() == attributes.keys()
        assert all(vars(layer)[name] is value for name, value in attributes.items())
    assert given.rng is rng
    assert rng.random() == np.random.default_rng(5).random()
