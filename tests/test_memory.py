"""The memory of a step is what its formulas need: arrays are counted, layer by layer and for whole
networks, so that a copy that nobody needs, or a calculation in float64, makes a test fail."""

from __future__ import annotations

import tracemalloc

import numpy as np
import pytest
from cases import LOSSES, OPTIMIZERS

import chainrule as cr

D, N = 64, 4000  # an array of activations is (N, D): 1 MB in float32
ONE = 4 * N * D
RNG = np.random.default_rng(0)
FEW = 0.15  # of such an array: sums and means over rows or features, and Python's own objects


def dense(n=D, m=D):
    return cr.Dense(n, m, init=cr.initializers.zeros)


# What a layer takes, in arrays of (N, D) floats; a mask of truths is a quarter of one in float32.
# - forward: the most at once, with the output;
# - kept: what is left, the output and what only backward needs;
# - backward: the most at once, with the gradient that it returns.
# x and dy are there already. Formulas go on in the array that they began with.
LAYERS = {
    # y is the cache, and backward has a mask and dx
    "ReLU": (cr.ReLU, 1, 1, 1.25),
    "HardTanh": (cr.HardTanh, 1, 1, 1.25),
    # y is the cache, and backward has dx alone
    "Tanh": (cr.Tanh, 1, 1, 1),
    "Sigmoid": (cr.Sigmoid, 2, 1, 1),
    "Softmax": (cr.Softmax, 1, 1, 1),
    "LogSoftmax": (cr.LogSoftmax, 2, 1, 1),
    # x is the cache; y and the slopes are sums of two terms, or products of two factors
    "LeakyReLU": (cr.LeakyReLU, 1, 1, 2),
    "PReLU": (cr.PReLU, 2, 1, 2),
    "ELU": (cr.ELU, 2, 1, 2),
    "SELU": (cr.SELU, 2, 1, 3),
    "Softplus": (cr.Softplus, 3, 1, 3),
    "LogSigmoid": (cr.LogSigmoid, 3, 1, 3),
    "Softsign": (cr.Softsign, 2, 1, 1),
    "HardSigmoid": (cr.HardSigmoid, 2, 1, 1.25),
    # the gate is kept beside x
    "SiLU": (cr.SiLU, 2, 2, 2),
    "GELU": (cr.GELU, 2.25, 2, 2),  # with the blocks of the error function
    "GELU, tanh": (lambda: cr.GELU(approximate="tanh"), 4, 2, 3),
    "Mish": (cr.Mish, 3, 2, 4),
    "HardSwish": (cr.HardSwish, 2, 2, 2.25),
    # the factors are kept, and made from a mask
    "Dropout": (cr.Dropout, 2.25, 2, 1),
    # x_hat is kept; LayerNorm has g gamma beside dx
    "BatchNorm": (lambda: cr.BatchNorm(D), 2, 2, 1),
    "LayerNorm": (lambda: cr.LayerNorm(D), 2, 2, 2),
    "Standardizer": (lambda: cr.Standardizer(D), 1, 1, 1),
    # products go straight to where they belong, and what moves numbers gives views
    "Dense": (dense, 1, 1, 1),
    "Flatten": (cr.Flatten, 0, 0, 0),
    "Reshape": (lambda: cr.Reshape(8, 8), 0, 0, 0),
    "Identity": (cr.Identity, 0, 0, 0),
    # two gradients, or a half and a whole one, and their sum
    "Residual": (lambda: cr.Residual(dense()), 2, 1, 2),
    "Parallel": (lambda: cr.Parallel(dense(), cr.Identity()), 2, 1, 2),
    "Parallel, concat": (
        lambda: cr.Parallel(dense(D, D // 2), dense(D, D // 2), merge="concat"), 2, 1, 3
    ),
}  # fmt: skip

# Arrays at once within a loss, with the gradient; predictions and targets are there already.
OF_LOSSES = {
    "MeanSquaredError": 2,  # the squares, and the gradient in the array of the differences
    "MeanAbsoluteError": 3,
    "Huber": 5,
    "Hinge": 3.5,
    "KLDivergence": 3,
    "BinaryCrossEntropy": 3.25,
    "SoftmaxCrossEntropy": 2,  # the logits less their largest, and the gradient
    "SoftmaxCrossEntropy, smoothed": 4,  # and targets, times the logits
    "NegativeLogLikelihood": 1,
}


def peaks(*calls):
    """The most that each call takes at once, and what it leaves; it gets the last one's result."""
    tracemalloc.start()
    try:
        found, result = [], None
        for call in calls:
            before = tracemalloc.get_traced_memory()[0]
            tracemalloc.reset_peak()
            result = call(result)
            after, peak = tracemalloc.get_traced_memory()
            found += [peak - before, after - before]
    finally:
        tracemalloc.stop()
    return found


def normal(*shape, dtype="float32"):
    return RNG.standard_normal(shape).astype(dtype)


def layer_peaks(layer, dtype="float32"):
    """Forward, kept and backward of a layer, in arrays of the dtype."""
    layer = cr.Model(layer, seed=0, dtype=dtype).layers[0]
    x = normal(N, D, dtype=dtype)
    y, cache = layer.forward(x, training=True)  # fills what is shared
    dy = normal(*y.shape, dtype=dtype)
    layer.backward(dy, cache)
    del y, cache
    forward, kept, backward, _ = peaks(
        lambda _: layer.forward(x, training=True), lambda result: layer.backward(dy, result[1])
    )
    return np.array([forward, kept, backward]) / (N * D * np.dtype(dtype).itemsize)


@pytest.mark.parametrize("name", LAYERS)
def test_a_layer_takes_what_its_formulas_need(name):
    make, *wanted = LAYERS[name]
    found = layer_peaks(make())
    assert (found <= np.array(wanted) + FEW).all(), (found, wanted)


@pytest.mark.parametrize("name", LAYERS)
def test_float64_takes_twice_as_much(name):
    """In arrays of its own it takes the same, masks apart: nothing is float64 in either."""
    make, *wanted = LAYERS[name]
    found = layer_peaks(make(), "float64")
    assert (found <= np.array(wanted) + FEW).all(), (found, wanted)


def test_every_layer_has_a_row():
    public = {kind for kind in map(cr.__dict__.get, cr.__all__) if isinstance(kind, type)}
    made = {type(make()) for make, *_ in LAYERS.values()}
    assert {kind for kind in public if issubclass(kind, cr.Layer)} - made == {
        cr.Layer, cr.Embedding, cr.Sequential  # below; and nothing but a chain
    }  # fmt: skip


def test_an_embedding_takes_its_vectors_and_sums_in_float64():
    """Back, for each number: its place in the table and itself, both of 8 bytes, to be summed."""
    layer = cr.Model(cr.Embedding(D, D), seed=0).layers[0]
    i = RNG.integers(0, D, N)
    forward, kept, backward, _ = peaks(
        lambda _: layer.forward(i), lambda result: layer.backward(result[0], result[1])
    )
    assert forward < (1 + FEW) * ONE
    assert kept < (1 + FEW) * ONE
    assert backward < (2 + 2 + FEW) * ONE


@pytest.mark.parametrize("name", OF_LOSSES)
def test_a_loss_takes_what_its_formula_needs(name):
    loss = LOSSES[name].make()
    p = normal(N, D)
    if name.startswith(("Softmax", "Negative")):
        y = RNG.integers(0, D, N)
    else:
        y = np.ones((N, D), np.float32)
    target = loss.prepare(y, p.shape, p.dtype)
    loss.formula(p, target, None)
    peak, kept = peaks(lambda _: loss.formula(p, target, None))
    assert peak <= (OF_LOSSES[name] + FEW) * ONE
    assert kept <= (1 + FEW) * ONE


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_an_optimizer_takes_nothing_new(name):
    """State and three blocks to write into are there after the first step."""
    optimizer = OPTIMIZERS[name]()
    p, g = normal(1_000_000), normal(1_000_000)
    optimizer.step(p, g)
    peak, kept = peaks(lambda _: optimizer.step(p, g))
    assert peak < 0.02 * p.nbytes
    assert kept < 0.001 * p.nbytes


# ---- whole steps ---------------------------------------------------------------------------------


def step_peak(layers, dtype="float32", optimizer=cr.Adam, x=None):
    """The peak of a step on a batch that is there already, in arrays."""
    model, optimizer = cr.Model(*layers, seed=0, dtype=dtype), optimizer()
    x = normal(N, D, dtype=dtype) if x is None else x
    y = RNG.integers(0, D, N)

    def step(_):
        model.train_on_batch(x, y, loss=cr.SoftmaxCrossEntropy(), optimizer=optimizer)

    step(None)
    return peaks(step)[0] / (N * D * np.dtype(dtype).itemsize)


KEEP_X = {  # as a cache, or within one
    "LeakyReLU", "PReLU", "ELU", "SELU", "Softplus", "LogSigmoid", "Softsign", "HardSigmoid",
    "SiLU", "GELU", "GELU, tanh", "Mish", "HardSwish", "Dense", "Residual", "Parallel",
    "Parallel, concat",
}  # fmt: skip


@pytest.mark.parametrize("name", LAYERS)
def test_a_step_takes_what_its_layers_keep_and_one_backward(name):
    """Three blocks of Dense and a layer, and a Dense that predicts.

    What each keeps, the layer's x if it is its cache, predictions, the loss's gradient and that
    which comes to the last block: beside them there is room for one layer's backward.
    """
    make, _, kept, backward = LAYERS[name]
    kept = max(1, kept) + (name in KEEP_X)  # the next layer keeps what one passes on
    layers = [layer for _ in range(3) for layer in (dense(), make(), cr.Flatten())]
    assert step_peak([*layers, dense()]) <= 3 * kept + 3 + max(1, backward) + FEW


def test_a_step_of_words_takes_what_embeddings_keep():
    """Indices need no gradient, so an Embedding comes first; its sums of 8 bytes are the most."""
    x = RNG.integers(0, 50, (N, 4))
    layers = [cr.Embedding(50, D // 4), cr.Flatten(), dense(), cr.ReLU(), dense()]
    # kept are the vectors, y of ReLU and predictions; the loss's gradient and that of the vectors
    assert step_peak(layers, x=x) <= 3 + 2 + (2 + 2) + FEW


def test_a_step_takes_less_than_six_times_the_parameters_where_they_are_most():
    """Parameters, gradients and Adam's two vectors are there; three blocks come with a step."""
    model, optimizer = cr.Model(dense(1000, 1000), dense(1000, 1000), seed=0), cr.Adam()
    x, y = normal(2, 1000), [0, 1]

    def step(_):
        model.train_on_batch(x, y, loss=cr.SoftmaxCrossEntropy(), optimizer=optimizer)

    first, kept = peaks(step)
    again, left = peaks(step)
    vector = model.parameters.nbytes
    assert kept <= (2 + FEW) * vector  # m and v, and what is written into
    assert first <= (2 + FEW) * vector
    assert again < 0.02 * vector
    assert left < 0.001 * vector


# ---- no float64 ----------------------------------------------------------------------------------


class Seen(np.ndarray):
    """An array that passes its kind on, and writes down the dtype of all that comes of it."""

    def __array_finalize__(self, other):
        if self.size >= N:  # more than numbers for each feature
            DTYPES.add(self.dtype.name)


DTYPES = set()


def seen(run):
    DTYPES.clear()
    run()
    return DTYPES - {"bool"}


def through(layer):
    """Forward and back through a layer in float32."""
    layer = cr.Model(layer, seed=0).layers[0]
    x = normal(N, D).view(Seen)

    def run():
        y, cache = layer.forward(x, training=True)
        layer.backward(normal(*y.shape).view(Seen), cache)

    return run


@pytest.mark.parametrize("name", LAYERS)
def test_a_layer_makes_no_float64_of_float32(name):
    assert seen(through(LAYERS[name][0]())) <= {"float32"}


@pytest.mark.parametrize("name", OF_LOSSES)
def test_a_loss_makes_no_float64_of_float32(name):
    loss, target = LOSSES[name].make(), np.ones((N, D), np.float32)
    if name.startswith(("Softmax", "Negative")):
        target = RNG.integers(0, D, N)
    p = normal(N, D).view(Seen)
    assert seen(lambda: loss.formula(p, target, None)) <= {"float32"}


# ---- slips are noticed ---------------------------------------------------------------------------


class UpInForward(cr.ReLU):
    def forward(self, x, training=False):
        y = np.maximum(x.astype(np.float64), 0).astype(x.dtype)
        return y, y


class UpInBackward(cr.ReLU):
    def backward(self, dy, cache, out=None, need_dx=True):
        return (dy * (cache > 0).astype(np.float64)).astype(dy.dtype), {}


class Copied(cr.ReLU):
    def forward(self, x, training=False):
        y, _ = super().forward(x)
        return y, y.copy()


class CopiedBack(cr.ReLU):
    def backward(self, dy, cache, out=None, need_dx=True):
        return super().backward(dy.copy(), cache)


@pytest.mark.parametrize("slip", [UpInForward, UpInBackward, Copied, CopiedBack])
def test_slips_are_noticed(slip):
    """The same numbers, and a test above fails for each."""
    x, dy = normal(5, D), normal(5, D)
    (y, cache), (right, _) = slip().forward(x), cr.ReLU().forward(x)
    np.testing.assert_array_equal(y, right)
    np.testing.assert_array_equal(slip().backward(dy, cache)[0], cr.ReLU().backward(dy, y)[0])
    _, *wanted = LAYERS["ReLU"]
    more = layer_peaks(slip()) > np.array(wanted) + FEW
    assert more.tolist() == [slip in (UpInForward, Copied), slip is Copied,
                             slip in (UpInBackward, CopiedBack)]  # fmt: skip
    assert ("float64" in seen(through(slip()))) == (slip in (UpInForward, UpInBackward))
    if slip is not UpInForward:  # whose arrays are gone before backward begins
        layers = [layer for _ in range(3) for layer in (dense(), slip())]
        assert step_peak([*layers, dense()]) > 3 * 1 + 3 + 1.25 + FEW
