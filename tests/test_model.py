"""The model packs every parameter into one flat vector and guards the border; a view that is cut
off or an input that slips through trains on, silently wrong. Each promise has a test here."""

from __future__ import annotations

import copy
import gc
import threading

import numpy as np
import pytest
from cases import OPTIMIZERS

import chainrule as cr
from chainrule import Dense, Dropout, Identity, Model, Parallel, ReLU, Residual, Sequential, Tanh
from chainrule.initializers import ones, zeros

RNG = np.random.default_rng(7)
X, DY = RNG.normal(size=(6, 3)), RNG.normal(size=(6, 2))


class Scale(cr.Layer):
    """y = x * s; its backward misbehaves as it is told to."""

    def __init__(self, features, behaviour="good"):
        super().__init__()
        self.features, self.behaviour = features, behaviour
        self.add_parameter("s", (features,), ones)

    def forward(self, x, training=False):
        return x * self.s, x

    def backward(self, dy, x, out=None, need_dx=True):
        grads = {"s": (dy * x).sum(axis=0)}
        return dy * self.s, {} if self.behaviour == "returns none" else grads


class Count(cr.Layer):
    """y = x * s, and a buffer counts the training passes."""

    def __init__(self):
        super().__init__()
        self.add_parameter("s", (), ones)
        self.add_buffer("calls", 0.0)

    def forward(self, x, training=False):
        if training:
            self.calls = self.calls + 1
        return x * self.s, x

    def backward(self, dy, x, out=None, need_dx=True):
        return dy * self.s, {"s": (dy * x).sum()}


def net(seed=0, dtype="float64"):
    return Model(
        Dense(3, 4),
        Residual(Tanh(), Dense(4, 4), Dropout(0.5)),
        Dense(4, 2),
        seed=seed,
        dtype=dtype,
    )


def push(model, x=X, dy=DY, **options):
    """The gradient of sum(dy * model(x)); returns a copy."""
    _, caches = model.forward(x)
    model.backward(dy, caches, **options)
    return model.gradients.copy()


def nested(depth, wrap):
    layer = Dense(2, 2)
    for _ in range(depth):
        layer = wrap(layer)
    return layer


# ---- packing -------------------------------------------------------------------------------------


def test_parameters_lie_in_the_flat_vector_in_order_of_their_names():
    model = net()
    names = ["0.W", "0.b", "1.1.W", "1.1.b", "2.W", "2.b"]
    assert list(model.named_parameters()) == list(model.named_gradients()) == names
    for flat, named in (
        (model.parameters, model.named_parameters()),
        (model.gradients, model.named_gradients()),
    ):
        flat[:] = np.arange(flat.size)
        assert np.array_equal(np.concatenate([a.ravel() for a in named.values()]), flat)
        assert [a.shape for a in named.values()] == [(3, 4), (4,), (4, 4), (4,), (4, 2), (2,)]
    assert model.num_parameters == 12 + 4 + 16 + 4 + 8 + 2
    assert model.layers[1].layers[1].W[0, 0] == 16


def test_assigning_to_a_parameter_copies_into_the_flat_vector():
    model, given = net(), np.full((4, 2), 3.0)
    last = model.layers[2]
    last.params["W"] = given
    last.b = [5, 6]
    model.layers[1].params["1"]["b"] = [1, 2, 3, 4]
    given[:] = 0
    assert model.parameters[-10:].tolist() == [3.0] * 8 + [5, 6]
    assert model.named_parameters()["1.1.b"].tolist() == [1, 2, 3, 4]
    with pytest.raises(ValueError, match=r"W .*\(4, 2\).*\(2, 4\)"):
        last.W = np.zeros((2, 4))


def test_a_layer_that_stands_twice_is_packed_once_and_its_gradient_is_the_sum():
    shared, x, dy = Dense(3, 3), X, RNG.normal(size=X.shape)
    twice = Model(shared, Tanh(), Residual(shared), seed=0, dtype="float64")
    copies = Model(copy.deepcopy(shared), Tanh(), Residual(copy.deepcopy(shared)), dtype="float64")
    assert np.array_equal(copies.parameters, np.tile(twice.parameters, 2))
    total = push(copies, x, dy).reshape(2, -1).sum(axis=0)
    assert list(twice.named_parameters()) == ["0.W", "0.b"]
    for _ in range(2):  # a second pass finds no remains of the first
        np.testing.assert_allclose(push(twice, x, dy), total, rtol=1e-12)


def test_layers_set_by_hand_keep_their_values():
    layer = Dense(3, 2)
    layer.W, layer.b = np.arange(6).reshape(3, 2), [7, 8]
    model = Model(layer, seed=1)
    assert model.parameters.tolist() == [0, 1, 2, 3, 4, 5, 7, 8]


def test_layers_set_by_hand_keep_their_values_in_float64():
    layer = Dense(3, 2)
    layer.W = w = RNG.normal(size=(3, 2))
    Model(layer, dtype="float64")
    assert np.array_equal(layer.W, w)


def test_one_seed_gives_the_same_bits_and_another_gives_others():
    one, same, other = net(5), net(5), net(6)
    assert np.array_equal(one.parameters, same.parameters)
    assert not np.array_equal(one.parameters, other.parameters)
    a, b = (m.forward(X, training=True)[0] for m in (one, same))
    assert np.array_equal(a, b)


def test_a_seed_warns_of_layers_that_were_drawn_from_the_system():
    layer = Dense(3, 2)
    drawn = layer.W.copy()
    with pytest.warns(UserWarning, match=r"seed=0 .*Dense\(3, 2\)"):
        model = Model(layer, seed=0)
    assert np.array_equal(model.layers[0].W, drawn)


def test_printing_and_asking_for_shapes_draw_nothing():
    layer, expected = Dense(3, 2), Model(Dense(3, 2), seed=0).parameters
    assert repr(layer) == "Dense(3, 2)"
    assert layer.output_shape((3,)) == (2,)
    assert list(layer.params) == ["W", "b"]
    assert np.array_equal(Model(layer, seed=0).parameters, expected)


def test_asking_for_a_name_draws_nothing():
    layer = Dense(3, 2)
    assert "W" in layer.params
    Model(layer, seed=0)


def test_a_layer_belongs_to_one_living_model():
    layer = Dense(3, 2)
    first = Model(layer, seed=0)
    values = first.parameters.copy()
    for second in (lambda: Model(layer), lambda: Model(Residual(Identity()), Sequential(layer))):
        with pytest.raises(ValueError, match=r"Dense\(3, 2\) belongs to another model.*deepcopy"):
            second()
    assert np.array_equal(Model(copy.deepcopy(layer)).parameters, values)
    del first
    gc.collect()
    assert np.array_equal(Model(layer).parameters, values)


def test_layers_that_do_not_fit_are_both_named():
    with pytest.raises(ValueError, match=r"Dense\(3, 5\).*\(\.\.\., 5\).*Dense\(4, 1\).*4\)"):
        Model(Dense(3, 5), Dense(4, 1))
    with pytest.raises(ValueError, match=r"branches 0 and 1.*2\).*3\)"):
        Model(Parallel(Dense(3, 2), Dense(3, 3)))


def test_a_model_of_nothing_is_refused():
    with pytest.raises(ValueError, match="at least one layer"):
        Model(Sequential())


def test_a_parameter_is_not_named_as_an_argument_that_is_kept():
    class Shift(Identity):
        def __init__(self, bias=True):
            super().__init__()
            self.bias = bias
            self.add_parameter("bias", (3,), zeros)

    with pytest.raises(ValueError, match="bias"):
        Shift()


# ---- forward and backward ------------------------------------------------------------------------


def test_forward_and_backward_are_the_formulas():
    model = Model(Dense(3, 4), Tanh(), Dense(4, 2), seed=0, dtype="float64")
    W1, b1, W2, b2 = model.named_parameters().values()
    h = np.tanh(X @ W1 + b1)
    y, caches = model.forward(X)
    np.testing.assert_allclose(y, h @ W2 + b2, rtol=1e-12)
    model.gradients[:] = 99  # replaced, not added to
    dx = model.backward(DY, caches)
    g = DY @ W2.T * (1 - h**2)
    expected = [X.T @ g, g.sum(0), h.T @ DY, DY.sum(0)]
    np.testing.assert_allclose(
        model.gradients, np.concatenate([a.ravel() for a in expected]), rtol=1e-12
    )
    np.testing.assert_allclose(dx, g @ W1.T, rtol=1e-12)
    model.gradients[:] = 99
    assert model.backward(DY, caches, need_dx=False) is None
    np.testing.assert_allclose(model.gradients[:12].reshape(3, 4), X.T @ g, rtol=1e-12)
    for hidden, output in zip(model.activations(X), [X @ W1 + b1, h, y], strict=True):
        np.testing.assert_allclose(hidden, output, rtol=1e-12)


def test_backward_refuses_a_bad_dy_and_foreign_caches():
    model = net()
    before = push(model)
    y, caches = model.forward(X)
    for dy in (DY[:, :1], DY[:3], DY[:, 0], 1.0):
        with pytest.raises(ValueError, match=r"dy must .*\(6, 2\), got"):
            model.backward(dy, caches)
    with pytest.raises(TypeError, match="dy must be real numbers"):
        model.backward(DY.astype(str), caches)
    for foreign in (None, y, list(caches.caches), Model(Dense(3, 2)).forward(X)[1]):
        with pytest.raises(TypeError, match="caches"):
            model.backward(DY, foreign)
    assert np.array_equal(model.gradients, before)


def test_backward_refuses_caches_of_another_model_of_the_same_length():
    with pytest.raises(TypeError, match="caches"):
        net(0).backward(DY, net(1).forward(X)[1])


@pytest.mark.parametrize("freeze", ["leaf", "inside", "container"])
def test_frozen_layers_have_no_gradient_and_others_the_same(freeze):
    model = net()
    free = push(model)
    layer, where = {
        "leaf": (model.layers[0], slice(0, 16)),
        "inside": (model.layers[1].layers[1], slice(16, 36)),
        "container": (model.layers[1], slice(16, 36)),
    }[freeze]
    layer.trainable = False
    frozen = push(model, need_dx=False)
    assert not frozen[where].any()
    free[where], whole = 0, free.copy()
    assert np.array_equal(frozen, free)
    layer.trainable = True
    assert np.array_equal(push(model), whole)


@pytest.mark.parametrize("make", OPTIMIZERS.values(), ids=OPTIMIZERS)
def test_frozen_layers_do_not_move(make):
    model, optimizer = net(), make()
    options = {"loss": cr.MeanSquaredError(), "optimizer": optimizer}
    model.train_on_batch(X, DY, **options)  # momentum has gathered
    model.layers[1].trainable = False
    before = model.parameters.copy()
    for _ in range(3):
        model.train_on_batch(X, DY, **options)
    moved = model.parameters != before
    assert not moved[16:36].any()
    assert moved[:16].any()
    assert moved[36:].any()
    model.layers[1].trainable = True
    model.train_on_batch(X, DY, **options)
    assert (model.parameters != before)[16:36].any()


@pytest.mark.parametrize("inside", [lambda s: s, Residual, lambda s: Parallel(Identity(), s)])
def test_own_layers_that_forget_things(inside):
    good = Scale(2)
    model = Model(Dense(3, 2), inside(good), seed=0, dtype="float64")
    h = X @ model.layers[0].W
    model.gradients[:] = 99
    np.testing.assert_allclose(push(model)[-2:], (DY * h).sum(0), rtol=1e-12)  # ignores `out`
    good.trainable = False  # returns a gradient nevertheless
    assert push(model)[-2:].tolist() == [0, 0]
    good.trainable, good.behaviour = True, "returns none"
    push(model)
    model.gradients[:] = 99
    assert push(model)[-2:].tolist() == [0, 0]


# ---- the border ----------------------------------------------------------------------------------


def test_all_kinds_of_numbers_are_converted_exactly():
    model = Model(Dense(3, 2), seed=0)
    whole = np.array([[1, 0, 1], [0, 1, 1]])
    expected = model(whole.astype(np.float32))
    read_only = whole.astype(np.float32)
    read_only.flags.writeable = False
    strided = np.repeat(whole.astype(np.float32), 2, axis=1)[::-1, ::2][::-1]
    kinds = ("int8", "uint64", ">i4", "bool", "float16", "float64", ">f4", ">f8")
    for x in (whole.tolist(), read_only, strided, *(whole.astype(kind) for kind in kinds)):
        y = model(x)
        assert y.dtype == np.float32
        assert np.array_equal(y, expected)
    assert model(np.zeros((0, 3))).shape == (0, 2)


@pytest.mark.parametrize(
    "x", [[["a", "b", "c"]], np.array([[None, 1, 2]]), np.ones((1, 3)) * 1j, np.array(["1", "2"])]
)
def test_what_is_no_number_is_refused(x):
    for use in (net(), net().predict, net().activations, net().forward):
        with pytest.raises(TypeError, match="x must be real numbers"):
            use(x)


def test_wrong_shapes_are_refused_with_both_shapes_and_the_layer():
    with pytest.raises(ValueError, match=r"\(5, 7\).*Dense\(3, 4\).*\(\.\.\., 3\).*\(7,\)"):
        net()(np.zeros((5, 7)))
    with pytest.raises(ValueError, match=r"Dense\(3, 4\).*a single row is x\[None\]"):
        net()(np.zeros(3))
    with pytest.raises(ValueError, match="batch axis"):
        net()(1.0)


def test_float64_is_kept_throughout():
    model = net(dtype="float64")
    y, caches = model.forward(X.astype(np.float32))
    assert {y.dtype, model.backward(DY, caches).dtype, model.parameters.dtype} == {np.dtype("f8")}
    assert Model(Count(), dtype="float64").layers[0].calls.dtype == np.float64


def test_summary_tells_the_numbers():
    model = net(dtype="float32")
    model.layers[0].trainable = False
    lines = str(model.summary()).splitlines()
    assert lines[1].split()[-3:] == ["16", "12", "frozen"]
    assert [line.split()[-2] for line in lines[2:4]] == ["20", "10"]
    assert "46 parameters, 30 of them learn; float32" in lines[4]


# ---- large nets and threads ----------------------------------------------------------------------


@pytest.mark.parametrize(
    "layer", [nested(1000, Sequential), Sequential(*[Tanh()] * 999, Dense(2, 2))]
)
def test_a_thousand_layers_meet_no_limit(layer, tmp_path):
    model = Model(layer, seed=0)
    y, caches = model.forward(np.ones((1, 2)))
    model.backward(np.ones_like(y), caches)
    assert model.gradients[-2:].tolist() == [1, 1]
    model.save(tmp_path / "m")
    for twin in (copy.deepcopy(model), Model.load(tmp_path / "m")):
        assert np.array_equal(twin(np.ones((1, 2))), y)


def test_other_nesting_is_plainly_refused_when_too_deep():
    deep = nested(100, Residual)
    assert copy.deepcopy(Model(deep, seed=0))(np.ones((1, 2))).shape == (1, 2)
    for wrap in (Residual, Parallel):
        with pytest.raises(ValueError, match="nested 101 deep"):
            nested(101, wrap)


def test_threads_that_predict_at_once_agree_with_one_alone():
    model = Model(Dense(3, 16), ReLU(), Dropout(0.5), Residual(Dense(16, 16)), seed=0)
    inputs = [RNG.normal(size=(n, 3)) for n in (1, 5, 17, 40)]
    alone, found = [model(x) for x in inputs], [[] for _ in inputs]
    gate = threading.Barrier(len(inputs))

    def work(i):
        gate.wait()
        found[i] = [model(inputs[i]) for _ in range(50)]

    threads = [threading.Thread(target=work, args=(i,)) for i in range(len(inputs))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for expected, outputs in zip(alone, found, strict=True):
        assert len(outputs) == 50
        assert all(np.array_equal(y, expected) for y in outputs)
