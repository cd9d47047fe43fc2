"""Slips of the pen that no other test noticed: benchmarks/mutants.py made them, and each is held
here by a value from the formula or by a promise of the contract."""

from __future__ import annotations

import copy

import numpy as np
import pytest

import chainrule as cr
from chainrule import backprop, numerics
from chainrule.layers.activations import Activation
from chainrule.sources import Batch
from chainrule.steps import StepRules, length, train_step

RNG = np.random.default_rng(7)
close = np.testing.assert_allclose
same = np.testing.assert_array_equal


def in_float64(layer):
    """The layer with parameters in float64, each of them away from 0 and from 1."""
    model = cr.Model(layer, seed=0, dtype="float64")
    model.parameters[:] += RNG.uniform(0.5, 1, model.parameters.shape)
    return layer


# ---- layers --------------------------------------------------------------------------------------


class Doubling(Activation):
    """y = x²; its derivative is what it kept."""

    def forward(self, x, training=False):
        return x * x, 2 * x

    def derivative(self, cache):
        return cache


def test_an_activation_may_give_its_cache_as_the_derivative():
    layer, x, dy = Doubling(), np.array([[1.0, 2.0]]), np.array([[3.0, 5.0]])
    _, cache = layer.forward(x)
    for _ in range(2):  # the second time with the same numbers
        same(layer.backward(dy, cache)[0], [[6, 20]])


@pytest.mark.parametrize("training", [False, True])
@pytest.mark.parametrize("wrap", [
    cr.Sequential, cr.Residual, cr.Parallel, cr.Model,
    lambda layer: cr.Parallel(cr.Identity(), layer, merge="concat"),
    lambda layer: cr.Residual(cr.Parallel(cr.Sequential(layer, cr.Identity()))),
])  # fmt: skip
def test_containers_tell_their_layers_whether_it_is_training(wrap, training):
    seen = []

    class Ear(cr.Layer):
        def forward(self, x, training=False):
            seen.append(training)
            return x, None

        def backward(self, dy, cache, out=None, need_dx=True):
            return dy, {}

        def output_shape(self, input_shape):
            return input_shape

    layer, x = wrap(Ear()), np.ones((2, 3), np.float32)
    layer.forward(x, training=training)
    assert seen == [training]
    layer.forward(x)  # evaluation unless told otherwise
    assert seen == [training, False]


def test_a_chain_of_dropouts_passes_all_on_unless_it_is_training():
    x = np.ones((2, 3))
    y, caches = backprop.forward([cr.Dropout(1), cr.Dropout(0.5)], x)
    assert y is x
    assert caches == [None, None]


class Reluctant(cr.Layer):
    """y = s x; it keeps what it is asked for, and gives dx whether that is wanted or not."""

    def __init__(self):
        super().__init__()
        self.add_parameter("s", (1,), cr.initializers.ones)
        self.asked = []

    def forward(self, x, training=False):
        return self.s * x, x

    def backward(self, dy, x, out=None, need_dx=True):
        self.asked.append(need_dx)
        return self.s * dy, {"s": np.array([(dy * x).sum()])}

    def output_shape(self, input_shape):
        return input_shape


def test_a_branch_that_does_not_learn_is_asked_for_dx_alone():
    frozen, free = Reluctant(), Reluctant()
    layer, x = cr.Parallel(frozen, free), np.ones((2, 3))
    frozen.trainable = False
    _, cache = layer.forward(x)
    dx, grads = layer.backward(x, cache, need_dx=False)
    assert (frozen.asked, free.asked) == ([], [False])
    assert dx is None  # whatever the branch gave
    assert list(grads) == ["1"]
    dx, _ = layer.backward(x, cache)
    assert (frozen.asked, free.asked) == ([True], [False, True])
    same(dx, 2 * x)


@pytest.mark.parametrize("need_dx", [False, True])
def test_a_chain_is_asked_for_dx_down_to_the_first_layer_that_learns(need_dx):
    layers = frozen, _, _ = Reluctant(), Reluctant(), Reluctant()
    frozen.trainable = False
    chain, x = cr.Sequential(*layers), np.ones((2, 3))
    _, cache = chain.forward(x)
    dx, grads = chain.backward(x, cache, need_dx=need_dx)
    asked = [[True], [True], [True]] if need_dx else [[], [False], [True]]
    assert [layer.asked for layer in layers] == asked
    assert (dx is not None) == need_dx
    assert list(grads) == ["1", "2"]


@pytest.mark.parametrize("layer", [
    cr.Dense(3, 2), cr.PReLU(3), cr.BatchNorm(3), cr.LayerNorm(3), cr.Residual(cr.Dense(3, 3)),
    cr.Sequential(cr.Tanh(), cr.Dense(3, 2)), cr.Parallel(cr.Dense(3, 2)),
], ids=repr)  # fmt: skip
@pytest.mark.parametrize("training", [False, True])
def test_dx_is_not_computed_where_nobody_wants_it(layer, training):
    layer, x = copy.deepcopy(layer), RNG.standard_normal((4, 3))
    y, cache = layer.forward(x, training=training)
    dx, grads = layer.backward(y, cache, need_dx=False)
    whole, all_grads = layer.backward(y, cache)
    assert dx is None
    assert whole.shape == x.shape
    assert grads.keys() == all_grads.keys() != set()


@pytest.mark.parametrize("shape", [(2, 3), (5, 2, 3), (2, 5, 2, 3), (3,)])
def test_dense_on_any_axes_is_the_sum_over_the_last(shape):
    layer = in_float64(cr.Dense(3, 2))
    x, dy = RNG.standard_normal(shape), RNG.standard_normal((*shape[:-1], 2))
    y, cache = layer.forward(x)
    dx, grads = layer.backward(dy, cache)
    close(y, np.einsum("...i,io->...o", x, layer.W) + layer.b, rtol=1e-13)
    close(dx, np.einsum("...o,io->...i", dy, layer.W), rtol=1e-13)
    axes = tuple(range(len(shape) - 1))
    close(grads["W"], np.tensordot(x, dy, (axes, axes)), rtol=1e-13, atol=1e-15)
    close(grads["b"], dy.sum(axis=axes), rtol=1e-13)


def test_dropout_of_integers_is_not_rounded():
    layer = cr.Dropout(0.2, rng=np.random.default_rng(0))
    y, m = layer.forward(np.full(1000, 4), training=True)
    assert y.dtype == m.dtype == np.float32
    assert set(y.tolist()) == {0.0, 5.0}


def test_dropout_keeps_the_number_p_itself():
    """Numbers are drawn from [0, 1), so that u >= p has the probability 1 - p to the last digit."""

    class Drawn:
        def random(self, shape, dtype):
            return np.array([[0.0, 0.25, 0.5]], dtype)

    layer = cr.Dropout(0.25)
    layer.rng = Drawn()
    same(layer.forward(np.ones((1, 3)), training=True)[0], [[0, 4 / 3, 4 / 3]])


def test_dropout_of_nothing_draws_nothing():
    rng = np.random.default_rng(0)
    before, x = rng.bit_generator.state, np.ones((2, 3))
    y, cache = cr.Dropout(0, rng=rng).forward(x, training=True)
    assert y is x
    assert cache is None
    assert rng.bit_generator.state == before


def test_a_frozen_embedding_gives_no_gradient():
    layer = cr.Embedding(3, 2)
    layer.trainable = False
    y, cache = layer.forward(np.array([0, 2]))
    assert layer.backward(y, cache) == (None, {})


@pytest.mark.parametrize("layer", [cr.BatchNorm(3), cr.LayerNorm(3)], ids=repr)
def test_norms_of_infinities_are_nan_without_a_warning(layer):
    x = np.array([[np.inf, 1, 2], [0, 3, 1], [5, 1, 0]])
    y, _ = copy.deepcopy(layer).forward(x, training=True)
    axis = 0 if isinstance(layer, cr.BatchNorm) else 1
    assert np.isnan(y).all(axis=axis).tolist() == [True, False, False]


@pytest.mark.parametrize("training", [False, True])
def test_batchnorm_of_three_axes_whose_middle_is_as_long_as_the_last(training):
    layer, x = in_float64(cr.BatchNorm(3)), RNG.standard_normal((4, 3, 3))
    flat = copy.deepcopy(layer)
    y, cache = layer.forward(x, training=training)
    y2, cache2 = flat.forward(x.reshape(12, 3), training=training)
    same(y, y2.reshape(x.shape))
    same(layer.backward(x, cache)[0], flat.backward(x.reshape(12, 3), cache2)[0].reshape(x.shape))


@pytest.mark.parametrize("n", [1, 2, 3])
@pytest.mark.parametrize("behind", [(), (3,), (2, 2)])
def test_prelu_has_a_slope_for_each_channel(n, behind):
    layer, channels = cr.PReLU(n), max(n, 2)
    layer.a = RNG.uniform(0.1, 0.9, n)
    x, dy = RNG.standard_normal((2, 4, channels, *behind))
    y, cache = layer.forward(x)
    dx, grads = layer.backward(dy, cache)
    wanted = np.zeros(channels)
    for c in range(channels):
        a = layer.a[c % n]
        same(y[:, c], np.where(x[:, c] > 0, x[:, c], a * x[:, c]))
        same(dx[:, c], np.where(x[:, c] > 0, dy[:, c], a * dy[:, c]))
        wanted[c] = (dy[:, c] * np.minimum(x[:, c], 0)).sum()
    close(grads["a"], wanted if n > 1 else [wanted.sum()], rtol=1e-12)


def test_softplus_is_the_curve_up_to_the_threshold_itself():
    x = np.array([1.0, np.nextafter(1, 2)])
    y, cache = cr.Softplus(threshold=1).forward(x)
    dx, _ = cr.Softplus(threshold=1).backward(np.ones(2), cache)
    close(y, [np.log(1 + np.e), x[1]], rtol=1e-15)
    close(dx, [1 / (1 + np.exp(-1)), 1], rtol=1e-15)


# ---- losses --------------------------------------------------------------------------------------


@pytest.mark.parametrize("loss", [cr.MeanSquaredError(), cr.KLDivergence()], ids=repr)
def test_what_has_no_weight_takes_no_part_in_the_gradient_either(loss):
    p = np.array([[np.inf, -np.inf], [-1.0, -2.0]])
    t = np.array([[0.5, 0.5], [0.5, 1.0]])
    value, d = loss(p, t, sample_weight=[0.0, 3.0])
    value1, d1 = loss(p[1:], t[1:], sample_weight=[3.0])
    same(d[0], [0, 0])
    close(d[1], d1[0] / 2, rtol=1e-15)
    assert value == pytest.approx(value1 / 2, rel=1e-15)


def test_what_has_no_weight_takes_no_part_however_unlikely_it_is():
    value, d = cr.NegativeLogLikelihood()(np.array([[-np.inf, 0], [0, -2.0]]), [0, 1], [0, 3])
    assert value == 3
    same(d, [[0, 0], [0, -1.5]])


@pytest.mark.parametrize("t", [[-0.1, 0.5], [0.5, 1.1], [0.5, np.nan]])
def test_probabilities_are_from_0_to_1(t):
    for loss, target in [(cr.BinaryCrossEntropy(), t), (cr.SoftmaxCrossEntropy(), [t])]:
        with pytest.raises(ValueError, match="from 0 to 1"):
            loss(np.zeros(np.shape(target)), target)


@pytest.mark.parametrize("off", [0.0009, -0.0009, 0.0011, -0.0011])
def test_probabilities_of_a_row_sum_to_one_within_a_thousandth(off):
    z, t = np.array([[1.0, 2.0]], np.float32), np.array([[0.25, 0.75 + off]])
    if abs(off) > 0.001:
        with pytest.raises(ValueError, match="must sum to 1"):
            cr.SoftmaxCrossEntropy()(z, t)
    else:
        d = cr.SoftmaxCrossEntropy()(z, t)[1]
        assert d.dtype == np.float32
        close(d, np.exp(z) / np.exp(z).sum() - t, rtol=1e-4)


def test_targets_are_prepared_in_the_dtype_of_the_predictions():
    for t in (np.array([[0.25, 0.75]]), np.array([[0, 1]])):
        for loss in (cr.SoftmaxCrossEntropy(), cr.BinaryCrossEntropy(), cr.MeanSquaredError()):
            prepared = loss.prepare(t, (1, 2), np.dtype("float32"))
            assert prepared.dtype == np.float32
            same(prepared, t)


@pytest.mark.parametrize(("loss", "last"), [
    (cr.MeanSquaredError(), cr.Sigmoid()), (cr.Huber(), cr.Softmax()),
    (cr.KLDivergence(), cr.LogSoftmax()), (cr.BinaryCrossEntropy(), cr.LogSoftmax()),
], ids=repr)  # fmt: skip
def test_losses_take_what_they_are_not_told_to_refuse(loss, last):
    model = cr.Model(cr.Dense(3, 2), last, seed=0, dtype="float64")
    x, t = RNG.standard_normal((4, 3)), np.full((4, 2), 0.5)
    value = model.train_on_batch(x, t, loss=loss, optimizer=cr.SGD(0.0))
    assert value == pytest.approx(loss(model(x), t)[0], rel=1e-14)


@pytest.mark.parametrize("target", [[1], [[0.0, 1.0]]])
def test_cross_entropy_where_exponentials_are_denormal(target):
    """exp(-741) has two digits left; the loss depends on the difference of the logits alone."""
    value, d = cr.SoftmaxCrossEntropy()(np.array([[-740.0, -741.0]]), target)
    assert value == pytest.approx(np.log(1 + np.e), rel=1e-14)
    share = 1 / (1 + np.exp(-1))
    close(d, [[share, -share]], rtol=1e-14)


# ---- numerics ------------------------------------------------------------------------------------

OF_CLASSES = [numerics.softmax, numerics.log_softmax, numerics.logsumexp]
OF_NUMBERS = [numerics.sigmoid, numerics.softplus, numerics.erf, numerics.normal_cdf]


@pytest.mark.parametrize("f", OF_CLASSES + OF_NUMBERS)
def test_functions_take_lists_and_integers(f):
    wanted = f(np.array([[0.0, 1.0, 3.0]]))
    for x in ([[0, 1, 3]], np.array([[0, 1, 3]], "i1"), np.array([[0, 1, 3]], "u8")):
        y = f(x)
        assert y.dtype == np.float64
        same(y, wanted)


@pytest.mark.parametrize("f", OF_CLASSES)
def test_classes_are_on_the_last_axis_unless_told_otherwise(f):
    x = RNG.standard_normal((2, 3, 4))
    close(f(x), np.stack([f(part) for part in x]), rtol=1e-15)
    e = np.exp(x)
    shares = {numerics.softmax: e / e.sum(axis=-1, keepdims=True)}
    shares[numerics.log_softmax] = np.log(shares[numerics.softmax])
    shares[numerics.logsumexp] = np.log(e.sum(axis=-1, keepdims=True))
    close(f(x), shares[f], rtol=1e-13)
    for axis in (0, 1, -2, -3):
        close(f(x, axis), np.moveaxis(f(np.moveaxis(x, axis, -1)), -1, axis), rtol=1e-14)


def test_one_class_has_all():
    for x in ([5.0], [[5.0]], [[5.0], [-3.0]]):
        same(numerics.softmax(x), np.ones_like(x))
        same(numerics.log_softmax(x), np.zeros_like(x))
        same(numerics.logsumexp(x), x)


@pytest.mark.parametrize("shape", [(0, 3), (3, 0), (0,), (2, 0, 3)])
def test_no_classes_at_all(shape):
    x = np.zeros(shape, np.float32)
    for f in (numerics.softmax, numerics.log_softmax):
        y = f(x)
        assert y.shape == shape
        assert y.dtype == np.float32
        assert y is not x
    assert (numerics.logsumexp(x) == -np.inf).all()


def test_shared_zeros_and_ones_cannot_be_changed():
    for array in (numerics.zeros((3,), np.dtype("f4")), numerics._ones(3, np.dtype("f4"))):
        with pytest.raises(ValueError, match="read-only"):
            array[0] = 5


# ---- optimizers ----------------------------------------------------------------------------------


@pytest.mark.parametrize("option", [{"betas": (0.5, 0.999)}, {"momentum_decay": 0.3}], ids=str)
def test_nadam_counts_its_product_anew_when_an_option_is_changed(option):
    p, grads = np.ones(3), RNG.standard_normal((6, 3))
    optimizer = cr.NAdam(0.1, momentum_decay=0.1)
    for g in grads[:3]:
        optimizer.step(p, g)
    other, q = cr.NAdam(0.1, **{"momentum_decay": 0.1, **option}), p.copy()
    other.load_state_dict(optimizer.state_dict())
    for name, value in option.items():
        setattr(optimizer, name, value)
    for g in grads[3:]:
        optimizer.step(p, g)
        other.step(q, g)
    same(p, q)


def test_the_first_step_of_sgd_is_the_gradient_whatever_the_state_holds():
    g, p = np.array([1.0, -2.0]), np.zeros(2)
    optimizer = cr.SGD(0.5, momentum=0.9, dampening=0.25)
    optimizer.load_state_dict({"steps": 0, "velocity": np.full(2, 7.0)})
    optimizer.step(p, g)
    same(p, -0.5 * g)
    optimizer.step(p, g)
    close(p, -0.5 * g - 0.5 * (0.9 * g + 0.75 * g), rtol=1e-15)


@pytest.mark.parametrize("decoupled", [False, True])
def test_spans_longer_than_a_block_are_updated_once_everywhere(decoupled):
    p, g = np.full(100_000, 2.0), np.linspace(-1, 1, 100_000)
    optimizer = cr.SGD(0.5)
    optimizer.decoupled_weight_decay = decoupled
    optimizer.step(p, g, [(slice(5, 40_000), None), (slice(40_010, 99_000), 0.1)])
    wanted = 2 - 0.5 * g
    wanted[40_010:99_000] -= 0.5 * 0.1 * 2
    wanted[:5] = wanted[40_000:40_010] = wanted[99_000:] = 2
    close(p, wanted, rtol=1e-14)


# ---- between gradient and update -----------------------------------------------------------------


def test_max_norm_bounds_each_word_though_float32_cannot_hold_its_squares():
    model = cr.Model(cr.Embedding(3, 2), seed=0)
    model.layers[0].W = [[3e25, 4e25], [0.3, 0.4], [0, -5e30]]
    with np.errstate(over="ignore"):  # as in fit
        StepRules("fit", max_norm=2.0).bound(model)
    close(model.layers[0].W, [[1.2, 1.6], [0.3, 0.4], [0, -2]], rtol=1e-6)


class Nothing(cr.Layer):
    """A layer whose weights are none at all."""

    def __init__(self):
        super().__init__()
        self.add_parameter("W", (3, 0), cr.initializers.ones)

    def forward(self, x, training=False):
        return x, None

    def backward(self, dy, cache, out=None, need_dx=True):
        return dy, {"W": np.zeros((3, 0))}

    def output_shape(self, input_shape):
        return input_shape


def test_max_norm_of_no_weights():
    model = cr.Model(Nothing(), cr.Dense(2, 1), seed=0)
    model.layers[1].W = [[3.0], [4.0]]
    StepRules("fit", max_norm=1.0).bound(model)
    close(model.layers[1].W, [[0.6], [0.8]], rtol=1e-6)


@pytest.mark.parametrize("scale", [1e-250, 1e-170, 1e-9, 1.0, 1e170, 1e250])
def test_the_length_of_a_gradient_in_float64(scale):
    with np.errstate(over="ignore", under="ignore"):  # as in fit
        got = length(np.array([-3.0, -4.0]) * scale)
        assert got == pytest.approx(5 * scale, rel=1e-15, abs=0)
        assert length(np.zeros(0)) == length(np.zeros(2)) == 0


def test_a_step_does_not_ask_the_first_layer_for_dx():
    model = cr.Model(Reluctant(), seed=0)
    model.train_on_batch(np.ones((2, 3)), np.ones((2, 3)), loss=cr.MeanSquaredError(),
                         optimizer=cr.SGD(0.1))  # fmt: skip
    assert model.layers[0].asked == [False]


@pytest.mark.parametrize("sizes", [[4, 4], [1, 7], [3, 2, 3]])
def test_batches_that_make_one_step_are_one_batch(sizes):
    x, y = RNG.standard_normal((8, 3)), RNG.standard_normal((8, 2))
    one = cr.Model(cr.Dense(3, 2), seed=0, dtype="float64")
    many, cuts = copy.deepcopy(one), np.cumsum(sizes)[:-1]
    parts = zip(np.split(x, cuts), np.split(y, cuts), strict=True)
    batches = [Batch(part, target, None, None) for part, target in parts]
    loss = cr.MeanSquaredError()
    value, n = train_step(one, loss.formula, cr.SGD(0.5), [Batch(x, y, None, None)])
    seen = []
    value2, n2 = train_step(
        many, loss.formula, cr.SGD(0.5), batches, None, lambda p, batch: seen.append(len(p))
    )
    assert value2 == pytest.approx(value, rel=1e-14)
    assert (n, n2, seen) == (8, 8, sizes)
    close(many.parameters, one.parameters, rtol=1e-13)


@pytest.mark.parametrize("scale", [1e-30, 1.0, 1e30])
def test_the_loss_of_a_step_keeps_its_digits(scale):
    def loss(prediction, target, weight):
        return scale / 3, 0 * prediction

    model = cr.Model(cr.Dense(3, 2), seed=0)
    x = np.ones((2, 3))
    assert model.train_on_batch(x, x, loss=loss, optimizer=cr.SGD(0.1)) == scale / 3


def test_a_gradient_left_over_has_no_part_in_a_step():
    one, other = cr.Model(cr.Dense(3, 2), seed=0), cr.Model(cr.Dense(3, 2), seed=0)
    other.gradients[:] = np.nan
    batch = Batch(np.ones((4, 3), np.float32), np.ones((4, 2), np.float32), None, None)
    for model in (one, other):
        train_step(model, cr.MeanSquaredError().formula, cr.SGD(0.5), [batch, batch])
    assert np.isfinite(one.parameters).all()
    assert np.array_equal(one.parameters, other.parameters)


def test_an_own_optimizer_is_told_what_does_not_decay():
    told = []

    class Own:
        def step(self, params, grads, spans=None):
            told.append(spans)

    model = cr.Model(cr.Dense(3, 2), seed=0)
    x = np.ones((4, 3))
    model.train_on_batch(x, x[:, :2], loss=cr.MeanSquaredError(), optimizer=Own(), decay="weights")
    assert told == [[(slice(0, 6), None), (slice(6, 8), 0.0)]]


def test_single_numbers_are_added_up():
    layer = cr.Parallel(cr.Reshape(), cr.Reshape())
    y, _ = layer.forward(np.array([[1.0], [2.0]]))
    assert y.tolist() == [2.0, 4.0]


def test_a_reshape_has_as_many_axes_as_numpy_has_beside_the_batch():
    cr.Reshape(*[1] * 63)
    with pytest.raises(ValueError, match="63"):
        cr.Reshape(*[1] * 64)


def test_containers_nest_a_hundred_deep_and_no_deeper():
    layer = cr.Tanh()
    for _ in range(100):
        layer = cr.Residual(layer)
    with pytest.raises(ValueError, match="nested 101 deep"):
        cr.Residual(layer)
