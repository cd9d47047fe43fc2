"""What the summary foretells is what is measured: memory against the peak that `tracemalloc` sees,
multiply-adds against the formula. And nobody can tell afterwards that a summary was asked for."""

from __future__ import annotations

import gc
import re
import threading
import tracemalloc

import numpy as np
import pytest

import chainrule as cr

RNG = np.random.default_rng(0)
LINES = {"parameters": "parameters and buffers", "gradients": "gradients", "fit": "fit",
         "state": "optimizer state", "activations": "activations", "step": "training step",
         "temporaries": "temporaries", "prediction": "prediction"}  # fmt: skip


def told(text, line):
    """The bytes of a line, None where it shows "?"."""
    shown = re.search(rf"^{LINES[line]} +(\S+)", text, re.M)[1]
    return None if shown == "?" else float(shown.replace(",", "")) * 1e6


def products(text):
    """Multiply-adds of a row, forward and in a step."""
    found = re.search(r"^(\S+) multiply-adds .* (\S+) in a training step$", text, re.M)
    return tuple(int(n.replace(",", "")) for n in found.groups())


def column(text, model, which):
    """A column of the table of layers, read by where its head ends or begins."""
    head, *rows = text.splitlines()[: 1 + len(model.layers)]
    if which == "output":
        return [row[head.index("output") : head.index("  parameters")].strip() for row in rows]
    return [row[: head.index(which) + len(which)].split()[-1] for row in rows]


# ---- memory, against what is measured ------------------------------------------------------------


class Copies(cr.Layer):
    """A dense layer that ignores `out`, tells no shape, and keeps more than it needs."""

    def __init__(self, n, m):
        super().__init__()
        self.n, self.m = n, m
        self.add_parameter("W", (n, m))

    def forward(self, x, training=False):
        return x @ self.W, {"x": x, "copy": [x.copy()]}

    def backward(self, dy, cache, out=None, need_dx=True):
        return dy @ self.W.T, {"W": cache["x"].T @ dy}


def dense(n, m):
    return cr.Dense(n, m, init=cr.initializers.zeros)  # quick to draw


def wide():
    return [dense(1000, 2500), cr.ReLU(), dense(2500, 2500), cr.ReLU(), dense(2500, 10)]


def narrow(kind=cr.ReLU):
    return [dense(64, 128), kind(), dense(128, 128), kind(), dense(128, 10)]


def mixed():
    return [
        dense(64, 128), cr.BatchNorm(128), cr.ReLU(), cr.Dropout(0.5),
        cr.Residual(dense(128, 128), cr.LayerNorm(128), cr.Tanh()),
        cr.Parallel(dense(128, 64), cr.Sequential(dense(128, 64), cr.Sigmoid()), merge="concat"),
        dense(128, 10),
    ]  # fmt: skip


def words(n):
    return [cr.Embedding(n, 128), cr.Flatten(), dense(20 * 128, 64), cr.ReLU(), dense(64, 5)]


def shared():
    layer = dense(2000, 2000)
    return [layer, cr.ReLU(), layer, cr.ReLU(), layer]


def auto():
    return [dense(784, 32), cr.Tanh(), dense(32, 784)]


def freeze(model):
    model.layers[2].trainable = False


SCE, MSE = cr.SoftmaxCrossEntropy(), cr.MeanSquaredError()
MODELS = {  # layers, shape of a row, rows, optimizer, loss, and options
    "wide, SGD": (wide, (1000,), 32, lambda: cr.SGD(0.1), SCE, {}),
    "wide, Adam": (wide, (1000,), 32, cr.Adam, SCE, {}),
    "tall, ReLU": (narrow, (64,), 24_000, cr.Adam, SCE, {}),
    "tall, mixed": (mixed, (64,), 12_000, cr.Adam, SCE, {}),
    "words, a large table": (lambda: words(50_000), (20,), 400, cr.Adam, SCE, {"words": 50_000}),
    "large rows": (lambda: [dense(10_000, 100), cr.ReLU(), dense(100, 2)], (10_000,), 1200,
                   lambda: cr.SGD(0.1), SCE, {}),  # two batches would be told from one
    "own": (lambda: [Copies(200, 3000), cr.Tanh(), Copies(3000, 500)], (200,), 1500, cr.Adam, None,
            {}),
    "auto": (auto, (784,), 4000, cr.Adam, MSE, {}),
    "one hidden": (lambda: [dense(4, 1000), cr.Tanh(), dense(1000, 2)], (4,), 6000, cr.Adam, MSE,
                   {}),
}  # fmt: skip
SLOW = {
    "wide, momentum": (wide, (1000,), 32, lambda: cr.SGD(0.1, 0.9), SCE, {}),
    "wide, amsgrad": (wide, (1000,), 32, lambda: cr.Adam(amsgrad=True), SCE, {}),
    "wide, Adagrad": (wide, (1000,), 32, cr.Adagrad, SCE, {}),
    "wide, frozen": (wide, (1000,), 32, cr.Adam, SCE, {"change": freeze}),
    "wide, float64": (wide, (1000,), 32, cr.Adam, SCE, {"dtype": "float64"}),
    "one row": (wide, (1000,), 1, cr.Adam, SCE, {}),
    "tall, mixed, float64": (mixed, (64,), 8000, cr.RMSprop, SCE, {"dtype": "float64"}),
    "tall, GELU": (lambda: narrow(cr.GELU), (64,), 12_000, cr.Adam, SCE, {}),
    "tall, PReLU": (lambda: narrow(cr.PReLU), (64,), 18_000, cr.Adam, SCE, {}),
    "words, more than the table": (lambda: words(5000), (20,), 2000, cr.Adam, SCE,
                                   {"words": 5000}),
    "words, a small table": (lambda: words(50), (20,), 2000, cr.Adam, SCE, {"words": 50}),
    "auto, cross entropy": (auto, (784,), 8000, cr.Adam, cr.BinaryCrossEntropy(), {}),
    "shared": (shared, (2000,), 64, cr.Adam, MSE, {}),
    "positions": (narrow, (50, 64), 400, cr.Adam, SCE, {}),
    "deep": (lambda: [part() for _ in range(300) for part in (lambda: dense(64, 64), cr.ReLU)],
             (64,), 500, cr.Adam, MSE, {}),
}  # fmt: skip


def batch(model, shape, n, loss, vocabulary):
    if vocabulary:
        x = RNG.integers(0, vocabulary, (n, *shape))
    else:
        x = RNG.standard_normal((n, *shape), np.float32).astype(model.dtype)
    y_shape = model(x[:1]).shape[1:]
    if loss is SCE:
        return x, RNG.integers(0, y_shape[-1], (n, *y_shape[:-1]))
    return x, np.zeros((n, *y_shape), model.dtype)


def measured(build, shape, n, optimizer, loss, vocabulary):
    """The peaks of train_on_batch with its batch, of fit without the data, of a prediction."""
    gc.collect()
    tracemalloc.start()
    try:
        model, optimizer = build(), optimizer()
        before = tracemalloc.get_traced_memory()[0]
        x, y = batch(model, shape, n, loss, vocabulary)
        twice = np.concatenate([x, x]), np.concatenate([y, y])
        data = tracemalloc.get_traced_memory()[0] - before
        peaks = []
        for run in (
            lambda: model(x),
            lambda: [model.train_on_batch(x, y, loss=loss, optimizer=optimizer) for _ in "12"],
            lambda: model.fit(
                *twice, loss=loss, optimizer=optimizer, batch_size=n, epochs=2, verbose=0
            ),
        ):
            gc.collect()
            tracemalloc.reset_peak()
            run()
            peaks.append(tracemalloc.get_traced_memory()[1])
    finally:
        tracemalloc.stop()
    prediction, step, fit = peaks
    rest = data - x.nbytes - y.nbytes
    return {"prediction": prediction - y.nbytes - rest, "step": step - rest, "fit": fit - data}


@pytest.mark.parametrize(
    "case",
    [*MODELS.values(), *(pytest.param(case, marks=pytest.mark.slow) for case in SLOW.values())],
    ids=[*MODELS, *SLOW],
)
def test_memory_is_what_is_measured(case):
    layers, shape, n, optimizer, loss, options = case

    def build():
        model = cr.Model(*layers(), seed=0, dtype=options.get("dtype", "float32"))
        options.get("change", lambda model: None)(model)
        return model

    text = build().summary(batch_size=n, optimizer=optimizer(), loss=loss, input_shape=shape)
    peaks = measured(build, shape, n, optimizer, loss or MSE, options.get("words"))
    assert peaks["step"] > 50e6
    for line, peak in peaks.items():
        if peak > 50e6:  # below, Python's own objects begin to count
            assert abs(told(text, line) / peak - 1) < 0.03, (line, peak, text)


def test_the_lines_by_hand():
    """Dense, Tanh, Dense with n rows: kept are x, tanh's y and the predictions, in float64."""
    model = cr.Model(cr.Dense(10, 1000), cr.Tanh(), cr.Dense(1000, 20), seed=0, dtype="float64")
    n, p = 5000, 11_000 + 20_020
    text = model.summary(batch_size=n, optimizer=cr.SGD(0.1, 0.9))
    assert told(text, "parameters") == told(text, "gradients") == told(text, "state") == 0.25e6
    assert model.parameters.nbytes == 8 * p
    kept = 8 * n * (10 + 1000 + 20)
    assert abs(told(text, "activations") - kept) < 0.02e6
    # on the way back, through tanh: its dy, and 1 - y * y in one array; the loss's target and dy
    back = 8 * n * (2 * 1000 + 2 * 20) + 3 * 8 * p
    assert abs(told(text, "temporaries") - back) < 0.02e6
    assert abs(told(text, "step") - 3 * 8 * p - kept - back) < 0.03e6
    again = model.summary(batch_size=n, optimizer=cr.SGD(0.1, 0.9))
    for line in ("activations", "temporaries", "step", "fit", "prediction"):
        assert abs(told(again, line) - told(text, line)) < 0.02e6  # Python's own objects, no more


@pytest.mark.parametrize(("optimizer", "vectors"), [
    (cr.SGD(0.1), 0), (cr.SGD(0.1, 0.9), 1), (cr.Adagrad(), 1), (cr.Adam(), 2), (None, 2),
    (cr.Adam(amsgrad=True), 3), (cr.RMSprop(momentum=0.9, centered=True), 3),
])  # fmt: skip
def test_each_optimizer_has_its_vectors(optimizer, vectors):
    model = cr.Model(dense(1000, 1000), seed=0)
    text = model.summary(optimizer=optimizer)
    assert told(text, "state") == pytest.approx(vectors * 4.004e6, abs=0.006e6)
    assert type(optimizer or cr.Adam()).__name__ in text
    if optimizer:
        assert (optimizer.steps, optimizer.state_dict()) == (0, {"steps": 0})


def test_an_optimizer_of_ones_own_has_a_state_that_nobody_knows():
    class Plain:
        def step(self, params, grads, spans=None):
            params -= grads

    text = cr.Model(dense(10, 10), seed=0).summary(optimizer=Plain())
    assert [told(text, line) for line in ("state", "step", "fit")] == [None] * 3
    assert told(text, "activations") is not None


# ---- multiply-adds -------------------------------------------------------------------------------


def test_multiply_adds_are_those_of_the_products():
    model = cr.Model(cr.Dense(7, 5), cr.ReLU(), cr.Residual(cr.Dense(5, 5), cr.Tanh()),
                     cr.Parallel(cr.Dense(5, 3), cr.Dense(5, 2, bias=False), merge="concat"),
                     cr.Dense(5, 4), seed=0)  # fmt: skip
    each = [35, 0, 25, 25, 20]
    text = model.summary()
    assert column(text, model, "multiply-adds") == [str(n) for n in each]
    assert column(text, model, "output") == ["(5,)"] * 4 + ["(4,)"]
    # forward, dL/dW, and dL/dx of all but the first layer
    assert products(text) == (sum(each), 3 * sum(each) - each[0])
    text = model.summary(input_shape=(6, 7))
    assert products(text) == (6 * sum(each), 6 * (3 * sum(each) - each[0]))
    assert column(text, model, "output")[-1] == "(6, 4)"


def test_multiply_adds_of_frozen_and_shared_layers():
    layer = cr.Dense(6, 6)
    model = cr.Model(cr.Dense(4, 6), layer, cr.Sigmoid(), layer, cr.Dense(6, 3), seed=0)
    assert products(model.summary()) == (24 + 36 + 36 + 18, 3 * 114 - 24)
    model.layers[0].trainable = False  # so the one behind it needs no dL/dx
    assert products(model.summary()) == (114, 24 + 2 * 36 + 3 * 36 + 3 * 18)
    assert "shared" in model.summary().splitlines()[4]
    model.layers[4].trainable = False
    assert products(model.summary()) == (114, 24 + 2 * 36 + 3 * 36 + 2 * 18)
    layer.trainable = False
    assert products(model.summary()) == (114, 114)


def test_an_own_layer_tells_its_products_and_its_shape_is_seen():
    class Pairs(cr.Layer):
        """All products of two features of a sample, (n, d) -> (n, d, d)."""

        def forward(self, x, training=False):
            return x[:, :, None] * x[:, None], x

        def backward(self, dy, x, out=None, need_dx=True):
            return ((dy + dy.swapaxes(1, 2)) * x[:, None]).sum(axis=2), {}

        def multiply_adds(self, input_shape):
            return input_shape[0] ** 2

    model = cr.Model(cr.Dense(3, 5), Pairs(), cr.Flatten(), cr.Dense(25, 2), seed=0)
    text = model.summary()
    assert column(text, model, "output") == ["(5,)", "(5, 5)", "(25,)", "(2,)"]
    assert products(text) == (15 + 25 + 50, 2 * 15 + 2 * 25 + 3 * 50)
    assert cr.Layer().multiply_adds((3,)) == 0


# ---- the shape of a row --------------------------------------------------------------------------


@pytest.mark.parametrize(("layers", "shape"), [
    ([cr.Dense(3, 4)], "(3,)"),
    ([cr.BatchNorm(3), cr.Dense(3, 4)], "(3,)"),
    ([cr.Standardizer(3), cr.Tanh()], "(3,)"),
    ([cr.LayerNorm((2, 3)), cr.Flatten(), cr.Dense(6, 1)], "(2, 3)"),
    ([cr.Dropout(0.5), cr.Tanh(), cr.PReLU(3), cr.Dense(3, 4)], "(3,)"),
    ([cr.Flatten(), cr.Dense(784, 2)], "(784,)"),
    ([cr.Reshape(2, 3), cr.Dense(3, 4)], "(6,)"),
    ([cr.Embedding(5, 4), cr.Dense(4, 2)], "()"),
    ([cr.Reshape(2, 1), cr.Embedding(5, 4), cr.Flatten(), cr.Dense(8, 2)], "(2,)"),
    ([cr.Residual(cr.Tanh(), cr.Dense(3, 3))], "(3,)"),
    ([cr.Residual(cr.Tanh()), cr.Dense(3, 3)], "(3,)"),
    ([cr.Parallel(cr.Identity(), cr.Dense(3, 3))], "(3,)"),
    ([cr.Tanh()], None),
    ([cr.Embedding(5, 4), cr.Flatten(), cr.Dense(8, 2)], None),
    ([Copies(3, 4)], None),
    ([cr.Reshape(-1, 2), cr.Dense(2, 3)], None),
    ([cr.LogSoftmax(axis=2)], None),
])  # fmt: skip
def test_the_first_layers_tell_the_shape_where_they_can(layers, shape):
    text = cr.Model(*layers, seed=0).summary()
    if shape is None:
        assert text.splitlines()[-1].startswith("?: give input_shape")
        assert [told(text, line) for line in ("activations", "step", "prediction")] == [None] * 3
        assert "\n? multiply-adds for each row of a batch, ? in a training step\n" in text
        assert None not in [told(text, line) for line in ("parameters", "gradients", "state")]
    else:
        assert f"in batches of 32 rows of shape {shape}\n" in text
        assert "?" not in text


def test_the_shape_of_data_that_were_seen_is_known():
    model = cr.Model(cr.Embedding(5, 4), cr.Flatten(), cr.Dense(8, 2), seed=0)
    assert "?" in model.summary()
    assert column(model.summary(), model, "output") == ["(..., 4)", "(None,)", "(2,)"]
    model(np.zeros((3, 2), int))
    assert column(model.summary(), model, "output") == ["(2, 4)", "(8,)", "(2,)"]
    assert "?" not in model.summary()


def test_a_layer_that_fails_leaves_the_rest_of_the_table():
    class Picky(cr.Layer):
        def forward(self, x, training=False):
            raise RuntimeError("no zeros, please")

    model = cr.Model(cr.Dense(3, 4), Picky(), seed=0)
    lines = model.summary().splitlines()
    assert lines[1].split() == ["0", "Dense(3,", "4)", "(...,", "4)", "16", "?"]
    assert lines[-1] == "?: a batch of shape (2, 3) fails with RuntimeError: no zeros, please"
    assert not tracemalloc.is_tracing()


@pytest.mark.parametrize("layers", [
    [cr.Tanh(), cr.Flatten()],
    [cr.Sequential(*[cr.Tanh()] * 999, cr.Dense(2, 2))],
    [cr.Dense(2, 2), cr.Reshape()],
    [cr.Dropout(1.0)],
])  # fmt: skip
def test_models_of_every_kind_have_a_summary(layers):
    model = cr.Model(*layers, seed=0)
    shape = (1,) if isinstance(model.layers[-1], cr.Reshape) else (2,)
    if shape == (1,):
        model = cr.Model(cr.Dense(1, 1), cr.Reshape(), seed=0)
    for size in (1, 2, 3, 100_000):
        assert "?" not in model.summary(batch_size=size, input_shape=shape)


# ---- nobody can tell afterwards ------------------------------------------------------------------


def test_the_model_is_as_it_was():
    def train(ask):
        model = cr.Model(*mixed(), seed=1)
        optimizer, x = cr.Adam(), np.random.default_rng(2).normal(size=(20, 64))
        y = np.arange(20) % 10
        model.train_on_batch(x, y, loss=SCE, optimizer=optimizer)
        before = [
            model.gradients.tobytes(),
            {k: v.tobytes() for k, v in model.state_dict().items()},
        ]
        if ask:
            model.summary(batch_size=10_000, optimizer=optimizer, loss=SCE)
        assert before == [
            model.gradients.tobytes(), {k: v.tobytes() for k, v in model.state_dict().items()}
        ]  # fmt: skip
        assert all("forward" not in vars(layer) for layer in model.layers)
        model.fit(x, y, loss=SCE, optimizer=optimizer, epochs=2, batch_size=7, verbose=0)
        return model.parameters.tobytes()

    assert train(ask=True) == train(ask=False)


def test_parameters_are_not_copied():
    model = cr.Model(*wide(), seed=0)
    gc.collect()
    tracemalloc.start()
    try:
        model.summary(batch_size=1)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    largest = 4 * 2500 * 2500  # room for one gradient, as a step writes them elsewhere
    assert peak < 1.1 * largest < 0.8 * model.parameters.nbytes


def test_who_traces_memory_goes_on_with_the_peak_that_was_there():
    model = cr.Model(dense(10, 10), seed=0)
    tracemalloc.start()
    try:
        for size in (50_000_000, 0):
            np.empty(size, np.uint8)
            tracemalloc.reset_peak() if size == 0 else None
            before = tracemalloc.get_traced_memory()[1]
            text = model.summary(batch_size=10_000)
            after = tracemalloc.get_traced_memory()[1]
            assert tracemalloc.is_tracing()
            assert before <= after < before + 6e6
            assert told(text, "activations") == pytest.approx(10_000 * 80, abs=0.01e6)
    finally:
        tracemalloc.stop()


def test_threads_take_turns():
    model = cr.Model(*narrow(), seed=0)
    alone = model.summary(batch_size=5000)
    texts = []
    threads = [
        threading.Thread(target=lambda: texts.append(model.summary(batch_size=5000)))
        for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    close = [abs(told(text, "step") / told(alone, "step") - 1) < 0.05 for text in texts]
    assert close == [True] * 4
    assert not tracemalloc.is_tracing()
