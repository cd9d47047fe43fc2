"""What is particular to the norms, the embedding, Reshape and single activations. The table of
cases holds what all layers share; here each is held against another path to the same numbers."""

from __future__ import annotations

import copy
import pickle

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import chainrule as cr
from chainrule.testing import LAYOUTS, in_layout, inputs

RNG = np.random.default_rng(0)
X, Y = RNG.standard_normal((12, 3)) * 5 + 2, RNG.standard_normal((12, 1))
SEEDS = st.integers(0, 2**31)
close = np.testing.assert_allclose
same = np.testing.assert_array_equal


def net(*layers, dtype="float64"):
    return cr.Model(*layers, seed=0, dtype=dtype)


def fit(model, x=X, y=Y, loss=None, optimizer=None, **options):
    loss, optimizer = loss or cr.MeanSquaredError(), optimizer or cr.Adam(0.05)
    return model.fit(x, y, loss=loss, optimizer=optimizer, verbose=0, **options)


def run(layer, x, dy=None, **options):
    """Value and gradients of one pass."""
    y, cache = layer.forward(x, **options)
    return y, *layer.backward(np.ones_like(y) if dy is None else dy, cache)


def value_of(layer, x):
    return layer.forward(x)[0]


def saved(model, tmp_path):
    model.save(tmp_path / "model")
    return cr.Model.load(tmp_path / "model")


WAYS_TO_COPY = {
    "save": saved,
    "copy": lambda model, _: copy.deepcopy(model),
    "pickle": lambda model, _: pickle.loads(pickle.dumps(model)),
}


# ---- BatchNorm -----------------------------------------------------------------------------------


def test_batchnorm_one_row_moves_the_mean_alone_and_no_row_moves_nothing():
    layer = cr.BatchNorm(3, momentum=0.25)
    layer.beta = [1, 2, 3]
    y, _ = layer.forward(X[:1], training=True)
    same(y, [[1, 2, 3]])
    close(layer.running_mean, 0.25 * X[0], rtol=1e-6)
    same(layer.running_var, 1)
    before = layer.running_mean.tobytes()
    assert layer.forward(X[:0], training=True)[0].shape == (0, 3)
    assert layer.running_mean.tobytes() == before


def test_batchnorm_frozen_is_a_fixed_scale_in_front_of_what_learns():
    mean, var, gamma, beta = RNG.random((4, 3)) + 0.5
    norm = cr.BatchNorm(3)
    model, plain = net(norm, cr.Dense(3, 1)), net(cr.Dense(3, 1))
    norm.gamma, norm.beta, norm.running_mean, norm.running_var = gamma, beta, mean, var
    plain.layers[0].W = model.layers[1].W
    norm.trainable = False
    state = model.state_dict()
    options = {"epochs": 5, "batch_size": 5, "shuffle": False}
    history = fit(model, **options)
    scaled = gamma * (X - mean) / np.sqrt(var + 1e-5) + beta
    close(history["loss"], fit(plain, scaled, **options)["loss"], rtol=1e-10)
    for name in ("0.gamma", "0.beta", "0.running_mean", "0.running_var"):
        assert model.state_dict()[name].tobytes() == state[name].tobytes()


def test_batchnorm_goes_back_as_it_came_though_it_is_frozen_or_freed_between():
    layer, dy = cr.BatchNorm(3), RNG.standard_normal((12, 3))
    _, dx, _ = run(copy.deepcopy(layer), X, dy, training=True)
    _, cache = layer.forward(X, training=True)
    layer.trainable = False
    got, grads = layer.backward(dy, cache)
    same(got, dx)
    assert grads == {}
    _, cache = layer.forward(X, training=True)  # frozen: by the running statistics
    inv = 1 / np.sqrt(layer.running_var.astype(float) + 1e-5)
    shifted = X - layer.running_mean
    layer.trainable = True
    layer.forward(X + 9, training=True)  # moves the statistics before that pass goes back
    got, grads = layer.backward(dy, cache)
    close(got, dy * inv, rtol=1e-6)
    close(grads["gamma"], (dy * shifted * inv).sum(axis=0), rtol=1e-5)


@pytest.mark.parametrize("momentum", [0, 0.3, 1])
def test_batchnorm_momentum_weighs_the_new_statistics(momentum):
    model = net(cr.BatchNorm(3, momentum=momentum))
    for _ in range(2):
        model.forward(X, training=True)
    old = (1 - momentum) ** 2
    buffers = model.named_buffers()
    assert {b.dtype for b in buffers.values()} == {np.dtype("f8")}
    close(buffers["0.running_mean"], (1 - old) * X.mean(axis=0), rtol=1e-14)
    close(buffers["0.running_var"], old + (1 - old) * X.var(axis=0, ddof=1), rtol=1e-14)


@pytest.mark.parametrize("way", WAYS_TO_COPY)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_batchnorm_statistics_are_kept_to_the_bit(way, dtype, tmp_path):
    model = net(cr.Dense(3, 4), cr.BatchNorm(4), cr.Dense(4, 1), dtype=dtype)
    fit(model, epochs=3)
    other, state = WAYS_TO_COPY[way](model, tmp_path), model.state_dict()
    assert other.predict(X).tobytes() == model.predict(X).tobytes()
    fit(other)
    assert not np.array_equal(other.named_buffers()["1.running_mean"], state["1.running_mean"])
    for name, array in model.state_dict().items():
        assert array.tobytes() == state[name].tobytes()
    other.load_state_dict(state)
    assert other.predict(X).tobytes() == model.predict(X).tobytes()


def test_batchnorm_best_statistics_come_back_with_the_best_weights():
    model = net(cr.BatchNorm(3, momentum=0.5), cr.Dense(3, 8), cr.Tanh(), cr.Dense(8, 1))
    stopping, held_back = cr.EarlyStopping(patience=40), (X[8:], Y[8:])
    history = fit(model, X[:8], Y[:8], epochs=40, batch_size=3, validation_data=held_back,
                  callbacks=[stopping])  # fmt: skip
    assert stopping.best_epoch < 39
    assert model.evaluate(*held_back, loss=cr.MeanSquaredError())["loss"] == min(
        history["val_loss"]
    )


def test_batchnorm_statistics_are_put_back_after_divergence():
    model = net(cr.BatchNorm(3), cr.Dense(3, 1))
    fit(model)
    before, x = model.state_dict(), X.copy()
    x[-1, 0] = np.inf
    with pytest.raises(cr.DivergenceError, match="inputs"):
        fit(model, x, batch_size=4, shuffle=False)
    for name, array in model.state_dict().items():
        assert array.tobytes() == before[name].tobytes()


def test_batchnorm_running_mean_is_as_exact_as_the_numbers():
    rng = np.random.default_rng(0)
    x = (1e8 + 100 * rng.standard_normal((4096, 2))).astype(np.float32)
    layer = cr.BatchNorm(2, momentum=1.0)
    layer.forward(x, training=True)
    close(layer.running_mean, x.astype(float).mean(axis=0), rtol=1e-7)


def test_a_loss_that_fails_leaves_the_statistics_alone():
    def own(prediction, target, sample_weight=None):
        if len(prediction) > 1:
            raise ValueError("no")
        return 1.0, prediction

    model = net(cr.BatchNorm(3), cr.Dense(3, 1))
    before = model.state_dict()
    with pytest.raises(ValueError, match="no"):
        fit(model, loss=own)
    for name, array in model.state_dict().items():
        assert array.tobytes() == before[name].tobytes()


def test_a_step_that_is_not_made_leaves_the_statistics_alone():
    model = net(cr.BatchNorm(3), cr.Dense(3, 1))
    before, x = model.state_dict(), X.copy()
    x[-1, 0] = np.inf
    with pytest.raises(cr.DivergenceError):
        model.train_on_batch(x, Y, loss=cr.MeanSquaredError(), optimizer=cr.SGD(0.1))
    for name, array in model.state_dict().items():
        assert array.tobytes() == before[name].tobytes()


@pytest.mark.parametrize("layer", [cr.BatchNorm(3), cr.LayerNorm(3)], ids=repr)
def test_a_variance_beyond_float32_is_told_and_no_output_of_zero(layer):
    x = (X * 1e25).astype(np.float32)
    assert np.isnan(layer.forward(x, training=True)[0]).all()
    with pytest.raises(cr.DivergenceError, match="layer 0"):
        fit(net(copy.deepcopy(layer), cr.Dense(3, 1), dtype="float32"), x, batch_size=12)


# ---- LayerNorm -----------------------------------------------------------------------------------


def test_layernorm_of_a_row_knows_no_other_row():
    layer, other = cr.LayerNorm(3), X.copy()
    other[1:] = np.nan
    y, dx, _ = run(layer, X, X)
    y2, dx2, _ = run(layer, other, X)
    same(y2[0], y[0])
    same(dx2[0], dx[0])
    close(y[0], (X[0] - X[0].mean()) / np.sqrt(X[0].var() + 1e-5), rtol=1e-12)


@given(SEEDS, st.floats(0.01, 100), st.floats(-100, 100))
def test_layernorm_does_not_see_shift_and_scale_of_a_row(seed, scale, shift):
    layer, x = cr.LayerNorm(6, eps=1e-30), np.random.default_rng(seed).standard_normal((3, 6))
    close(layer.forward(scale * x + shift)[0], layer.forward(x)[0], rtol=0, atol=1e-9)


def test_layernorm_of_a_number_of_a_tuple_and_of_a_file_are_one(tmp_path):
    for one, other in [(cr.LayerNorm(3), (3,)), (cr.LayerNorm((4, 3)), [4, 3])]:
        x, model = X.reshape(-1, 4, 3), net(cr.LayerNorm(other, eps=1e-3))
        one.eps = 1e-3
        y, dx, grads = run(one, x, x)
        loaded = saved(model, tmp_path)
        assert repr(loaded) == repr(model)
        for layer in (model.layers[0], loaded.layers[0]):
            y2, dx2, grads2 = run(layer, x, x)
            same(y2, y)
            same(dx2, dx)
            same(grads2["gamma"], grads["gamma"])


# ---- Embedding and Reshape -----------------------------------------------------------------------

WORDS = np.random.default_rng(1).integers(0, 5, (40, 2))
LABELS = WORDS.sum(axis=1) % 2


def into(model, **values):
    for name, value in values.items():
        model.named_parameters()[f"0.{name}"][...] = value
    return model


@given(SEEDS, st.integers(2, 40), st.integers(0, 9), st.sampled_from(LAYOUTS),
       st.sampled_from(["i1", "u1", ">i2", "<u4", ">u8", "i8"]))  # fmt: skip
def test_embedding_is_the_product_with_one_hot_vectors(seed, num, n, layout, dtype):
    rng = np.random.default_rng(seed)
    x = in_layout(rng.integers(0, num, (n, 3)).astype(dtype), layout)
    W, dy = rng.standard_normal((num, 2)), rng.standard_normal((n, 3, 2))
    layer = cr.Embedding(num, 2)
    layer.W = W
    one_hot = np.eye(num)[x.astype(int)]
    y, dx, grads = run(layer, x, dy)
    assert dx is None
    close(y, one_hot @ W, rtol=0, atol=1e-14)
    close(grads["W"], np.tensordot(one_hot, dy, ((0, 1), (0, 1))), rtol=0, atol=1e-13)


def test_embedding_learns_as_a_dense_layer_on_one_hot_vectors():
    model = net(cr.Embedding(5, 4), cr.Flatten(), cr.Dense(8, 2))
    dense = net(cr.Dense(5, 4, bias=False), cr.Flatten(), cr.Dense(8, 2))
    dense.parameters = model.parameters
    options = {"y": LABELS, "loss": cr.SoftmaxCrossEntropy(), "epochs": 60}
    one = fit(model, WORDS.astype(np.uint8), **options, optimizer=cr.SGD(0.5))["loss"]
    other = fit(dense, np.eye(5)[WORDS], **options, optimizer=cr.SGD(0.5))["loss"]
    close(one, other, rtol=1e-8)
    assert one[-1] < 0.5 * one[0]
    assert model.summary().split("\n")[1].split("  ", 2)[2].split() == ["(2,", "4)", "20", "0"]
    figures = model.evaluate(WORDS, LABELS, loss=cr.SoftmaxCrossEntropy(), batch_size=7)
    close(figures["loss"], cr.SoftmaxCrossEntropy()(dense(np.eye(5)[WORDS]), LABELS)[0], rtol=1e-8)
    close(model.predict(WORDS.tolist(), batch_size=7), dense(np.eye(5)[WORDS]), atol=1e-8)


@pytest.mark.parametrize(("before", "shape"), [
    ([], (2,)), ([cr.Reshape(2, 1)], (2, 1)), ([cr.Flatten(), cr.Identity()], (2,)),
    ([cr.Sequential(cr.Reshape(1, -1), cr.Identity())], (1, 2)),
], ids=str)  # fmt: skip
@pytest.mark.parametrize(("wrap", "summands", "parts"), [
    (lambda e: e, 1, 1), (cr.Sequential, 1, 1), (cr.Parallel, 1, 1),
    (lambda e: cr.Parallel(e, cr.Sequential(cr.Identity(), e)), 2, 1),
    (lambda e: cr.Parallel(cr.Sequential(e, cr.Identity()), e, merge="concat"), 1, 2),
], ids=["alone", "Sequential", "branch", "added", "side by side"])  # fmt: skip
def test_embedding_takes_indices_through_what_only_moves_them(before, shape, wrap, summands, parts):
    model = net(*copy.deepcopy(before), wrap(cr.Embedding(5, 3)))
    W, counts = model.parameters.reshape(5, 3), np.bincount(WORDS.ravel(), minlength=5)
    y, caches = model.forward(WORDS)
    same(y, np.concatenate([summands * W[WORDS.reshape(40, *shape)]] * parts, axis=-1))
    for need_dx in (True, False):
        model.gradients[:] = np.nan
        assert model.backward(np.ones_like(y), caches, need_dx) is None
        same(model.gradients.reshape(5, 3), np.tile(summands * parts * counts[:, None], 3))
    same(model.activations(WORDS.astype(">i2"))[-1], y)
    same(model.predict(WORDS, batch_size=7), y)
    assert model.predict(WORDS[:0]).shape == (0, *y.shape[1:])


def test_indices_never_pass_through_float32():
    large = 2**24 + 1  # the first whole number that float32 does not have
    model = net(cr.Embedding(large + 1, 1), cr.Flatten(), dtype="float32")
    model.parameters[:] = 0
    model.parameters[-3:] = [5, 6, 7]
    for x in ([[large]], np.array([[large]], ">i4"), np.array([[large]], "u8")):
        assert model(x).item() == model.predict(x).item() == 7
    fit(model, [[large]], [[9.0]], optimizer=cr.SGD(0.25))
    assert model.parameters[-3:].tolist() == [5, 6, 8]  # 7 - 0.25 * 2 * (7 - 9)


class TwoTables(cr.Layer):
    """One table for each of two columns, which the library cannot know."""

    takes_indices = True

    def __init__(self):
        super().__init__()
        self.children = (cr.Embedding(3, 2), cr.Embedding(100, 2))

    def forward(self, x, training=False):
        ys, caches = zip(*(t.forward(x[:, i]) for i, t in enumerate(self.children)), strict=True)
        return np.concatenate(ys, axis=-1), caches

    def backward(self, dy, caches, out=None, need_dx=True):
        parts = zip(self.children, np.split(dy, 2, axis=-1), caches, strict=True)
        return None, {str(i): t.backward(d, c)[1] for i, (t, d, c) in enumerate(parts)}


def test_an_own_layer_gives_its_tables_their_own_columns():
    x = np.array([[0, 50], [1, 99], [2, 0], [0, 3]])
    assert cr.gradcheck(TwoTables(), x) < 1e-6
    model = net(TwoTables(), cr.Dense(4, 1))
    loss = fit(model, x, Y[:4], epochs=20)["loss"]
    assert loss[-1] < loss[0] / 2


def test_embedding_of_the_padding_stays_zero(tmp_path):
    model = net(cr.Embedding(5, 3, padding_idx=2), cr.Flatten(), cr.Dense(6, 2))
    for optimizer in (cr.Adam(0.1, weight_decay=0.0), cr.RMSprop(momentum=0.9), cr.NAdam()):
        before = model.layers[0].W.copy()
        fit(model, WORDS, LABELS, cr.SoftmaxCrossEntropy(), optimizer, epochs=3)
        assert (model.layers[0].W == 0).all(axis=1).tolist() == [False, False, True, False, False]
        assert (before != model.layers[0].W).any(axis=1).sum() == 4
        model = saved(model, tmp_path)
        assert repr(model.layers[0]) == "Embedding(5, 3, padding_idx=2)"


def test_reshape_and_flatten_undo_each_other(tmp_path):
    model = net(cr.Reshape(2, -1), cr.Reshape(-1, 2, 2), cr.Flatten())
    for m in (model, saved(model, tmp_path)):
        x = X.reshape(3, 12)
        y, caches = m.forward(x)
        same(y, x)
        same(m.backward(2 * x, caches), 2 * x)
        assert [a.shape for a in m.activations(x)] == [(3, 2, 6), (3, 3, 2, 2), (3, 12)]
    unknown = net(cr.Dense(3, 4), cr.Reshape(-1, 2))  # how many is known with the input alone
    assert "(12, 2)" in unknown.summary(input_shape=(6, 3))
    x = X.reshape(2, 6, 3)
    same(unknown(x), value_of(unknown.layers[0], x).reshape(2, 12, 2))


# ---- activations ---------------------------------------------------------------------------------


@given(inputs(5, bound=80))
def test_probabilities_are_the_exponentials_of_their_logarithms(x):
    tiny, rtol = np.finfo(x.dtype).tiny, 200 * np.finfo(x.dtype).eps
    for plain, log in [(cr.Softmax(), cr.LogSoftmax()), (cr.Sigmoid(), cr.LogSigmoid())]:
        with np.errstate(under="ignore"):
            close(value_of(plain, x), np.exp(value_of(log, x)), rtol=rtol, atol=tiny)


def test_selu_keeps_mean_0_and_variance_1():
    grid = np.linspace(-12, 12, 240_001)
    y, share = value_of(cr.SELU(), grid), np.exp(-grid * grid / 2) / np.sqrt(2 * np.pi) * 1e-4
    close([(share * y).sum(), (share * y * y).sum()], [0, 1], rtol=0, atol=1e-8)
    y = value_of(cr.SELU(), np.random.default_rng(0).standard_normal(1_000_000))
    squares = (y - y.mean()) ** 2
    assert abs(y.mean()) < 5 * y.std() / 1000
    assert abs(squares.mean() - 1) < 5 * squares.std() / 1000


@given(inputs(5, dtypes=["float64"]), st.floats(-2, 2), st.floats(0.1, 5))
def test_rectifiers_agree_where_their_formulas_do(x, a, positive):
    prelu = net(cr.PReLU(init=0))
    prelu.layers[0].a = np.array([a])
    for one, other in zip(run(cr.LeakyReLU(a), x)[:2], run(prelu.layers[0], x)[:2], strict=True):
        same(one, other)
    relu, above = np.maximum(x, 0), x > 0
    same(value_of(cr.ELU(a), x)[above], x[above])
    close(value_of(cr.ELU(a), x)[~above], a * (np.exp(x[~above]) - 1), rtol=0, atol=1e-14)
    for beta in (positive, 100 * positive):
        gap = value_of(cr.Softplus(beta), x) - relu
        assert (gap >= 0).all()
        assert (gap <= np.log(2) / beta * (1 + 1e-12)).all()
    y, dx, _ = run(cr.HardTanh(a, a + positive), x)
    same(y, np.minimum(np.maximum(x, a), a + positive))
    same(dx, (x > a) & (x < a + positive))


def test_gelu_by_tanh_is_near_to_gelu():
    x = np.linspace(-12, 12, 100_001)
    gap = np.abs(value_of(cr.GELU("tanh"), x) - value_of(cr.GELU(), x))
    assert 4e-4 < gap.max() < 5e-4


@pytest.mark.parametrize("layer", [
    cr.ReLU(), cr.LeakyReLU(), cr.PReLU(), cr.ELU(), cr.SELU(), cr.Softplus(), cr.Softplus(3),
    cr.Tanh(), cr.Softsign(), cr.HardTanh(), cr.HardSigmoid(), cr.Sigmoid(), cr.LogSigmoid(),
], ids=repr)  # fmt: skip
def test_what_rises_falls_by_rounding_alone(layer):
    scales = np.repeat(np.array([20, 1, 0.01], "f4"), 100_000)
    x = np.sort(scales * np.random.default_rng(0).standard_normal(300_000).astype("f4"))
    y = value_of(layer, x[:, None])[:, 0]
    assert y[-1] > y[0]
    assert (np.diff(y) >= -4 * np.spacing(np.abs(y[1:]))).all()
