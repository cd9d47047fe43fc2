"""Shards of a batch on several threads: the gradient is the whole batch's, runs repeat to the bit,
and whatever goes wrong in a thread leaves the model as it was and no thread behind."""

from __future__ import annotations

import contextlib
import itertools
import os
import re
import signal
import sys
import threading
import time
import warnings
from contextlib import ExitStack

import numpy as np
import pytest
from resume_helpers import exact, left
from resume_helpers import fit as resumable
from resume_helpers import net as random_net

import chainrule as cr
from chainrule import (
    SGD,
    Accuracy,
    Adam,
    BatchNorm,
    Checkpoint,
    Dense,
    DivergenceError,
    Dropout,
    EarlyStopping,
    Embedding,
    Flatten,
    LambdaCallback,
    Layer,
    LayerNorm,
    Model,
    Parallel,
    ReLU,
    Residual,
    Sequential,
    SoftmaxCrossEntropy,
    Tanh,
    threads,
)
from chainrule.border import formula_of
from chainrule.sources import ArraySource, Batch
from chainrule.steps import train_step
from chainrule.workers import Crew, shards

RNG = np.random.default_rng(0)
X, Y = RNG.normal(size=(23, 4)), RNG.integers(0, 3, size=23)
LOSS = SoftmaxCrossEntropy()


@pytest.fixture(autouse=True)
def _no_thread_remains():
    before = set(threading.enumerate())
    yield
    assert set(threading.enumerate()) == before


def net(*layers, dtype="float64", seed=1):
    layers = layers or (Dense(4, 5), Tanh(), Dense(5, 3))
    return Model(*layers, seed=seed, dtype=dtype)


def fit(model, x=X, y=Y, **options):
    call = {"loss": LOSS, "optimizer": SGD(0.1), "batch_size": 7, "workers": 2, "verbose": 0}
    return model.fit(x, y, **{**call, **options})


class Watch(SGD):
    """Keeps the gradients that it was given, and changes nothing."""

    def __init__(self):
        super().__init__(0.0)
        self.seen = []

    def step(self, params, grads, spans=None):
        self.seen.append(grads.copy())
        super().step(params, grads, spans)


class Scale(Layer):
    """An own layer that ignores `out`, with a loop for a reference of its own."""

    def __init__(self, features):
        super().__init__()
        self.features = features
        self.add_parameter("s", (features,))

    def forward(self, x, training=False):
        return x * self.s, x

    def backward(self, dy, x, out=None, need_dx=True):
        return dy * self.s, {"s": (dy * x).sum(axis=0)}


class Beside(Layer):
    """An own container that keeps its layers under names of its own."""

    def __init__(self, left, right):
        super().__init__()
        self.left, self.right = left, right
        self.children = (left, right)

    def forward(self, x, training=False):
        (a, first), (b, second) = (f.forward(x, training=training) for f in self.children)
        return a * b, (a, b, first, second)

    def backward(self, dy, cache, out=None, need_dx=True):
        a, b, first, second = cache
        out = out or {}
        da, one = self.left.backward(dy * b, first, out=out.get("0"))
        db, other = self.right.backward(dy * a, second, out=out.get("1"))
        return da + db, {name: g for name, g in (("0", one), ("1", other)) if g}


def twice():
    shared = Dense(4, 4)
    return net(shared, Tanh(), shared, Sequential(Tanh(), shared), Dense(4, 3))


def nested():
    inner = Residual(Dense(4, 4), Parallel(Tanh(), Sequential(Scale(4), LayerNorm(4))))
    return net(Parallel(inner, Dense(4, 2), merge="concat"), Residual(Tanh(), inner_of(6)),
               Dense(6, 3))  # fmt: skip


def inner_of(n):
    return Parallel(Dense(n, n, bias=False), Beside(Scale(n), Dense(n, n)))


def frozen():
    model = net(Dense(4, 5), Tanh(), Dense(5, 5), Scale(5), Dense(5, 3))
    model.layers[0].trainable = model.layers[2].trainable = False
    return model


def of_words():
    return net(Embedding(9, 3), Flatten(), Dense(6, 3))


WORDS = RNG.integers(0, 9, size=(23, 2))
NETS = {
    "a chain": (net, X),
    "a layer that stands twice": (twice, X),
    "containers": (nested, X),
    "frozen layers": (frozen, X),
    "an embedding": (of_words, WORDS),
}
OPTIONS = {
    "plain": {},
    "all rows": {"batch_size": None},
    "accumulate": {"accumulate": 3},
    "weights": {"class_weight": "balanced", "sample_weight": RNG.random(23)},
    "rules": {"l1": 0.1, "clip_norm": 0.05, "decay": "weights", "max_norm": 1.0},
}


# ---- the same gradients --------------------------------------------------------------------------


@pytest.mark.parametrize("options", OPTIONS.values(), ids=OPTIONS)
@pytest.mark.parametrize(("make", "x"), NETS.values(), ids=NETS)
def test_the_gradient_is_that_of_the_whole_batch(make, x, options):
    figures, gradients, models = [], [], []
    for workers in (1, 2, 3):
        models.append(make())
        watch = Watch()
        history = fit(
            models[-1], x, optimizer=watch, workers=workers, metrics=[Accuracy()], epochs=2,
            **options,
        )  # fmt: skip
        figures.append(history)
        gradients.append(watch.seen)
    assert np.abs(gradients[0]).max() > 0.001
    for i in (1, 2):
        np.testing.assert_allclose(gradients[i], gradients[0], rtol=0, atol=1e-12)
        np.testing.assert_allclose(models[i].parameters, models[0].parameters, rtol=0, atol=1e-12)
        np.testing.assert_allclose(figures[i]["loss"], figures[0]["loss"], rtol=0, atol=1e-12)
        assert figures[i]["accuracy"] == figures[0]["accuracy"]


def test_training_comes_to_the_same():
    one, other = net(), net()
    fit(one, optimizer=Adam(0.01), epochs=5, workers=1)
    fit(other, optimizer=Adam(0.01), epochs=5, workers=3)
    np.testing.assert_allclose(other.parameters, one.parameters, rtol=0, atol=1e-9)


def test_a_stream_is_cut_as_well():
    batches = [(X[:9], Y[:9]), (X[9:], Y[9:])]
    one, other = net(), net()
    fit(one, batches, None, workers=1)
    fit(other, batches, None, workers=3)
    np.testing.assert_allclose(other.parameters, one.parameters, rtol=0, atol=1e-12)


@pytest.mark.parametrize(("rows", "n", "sizes"), [(7, 3, {2, 3}), (2, 9, {1}), (8, 2, {4})])
def test_shards_differ_by_one_row_at_most(rows, n, sizes):
    parts = shards(Batch(X[:rows], Y[:rows], None, X[:rows, 0]), n)
    assert len(parts) == min(rows, n)
    assert {len(part.x) for part in parts} == sizes
    assert np.array_equal(np.concatenate([part.x for part in parts]), X[:rows])
    assert np.array_equal(np.concatenate([part.y for part in parts]), Y[:rows])
    assert {part.loss_weight for part in parts} == {None}
    assert np.array_equal(np.concatenate([part.sample_weight for part in parts]), X[:rows, 0])


def test_more_workers_than_rows():
    one, other = net(), net()
    fit(one, batch_size=4, workers=1)  # the last batch has three rows
    fit(other, batch_size=4, workers=1000)
    np.testing.assert_allclose(other.parameters, one.parameters, rtol=0, atol=1e-12)


def test_metrics_see_the_rows_in_order_in_the_calling_thread():
    seen = []

    class Seen(Accuracy):
        def update(self, prediction, target, sample_weight=None):
            if len(prediction) > 1 and prediction.any():
                seen.append((prediction, target, threading.current_thread()))
            super().update(prediction, target, sample_weight)

    model = net()
    expected = model(X[:11])
    fit(model, X[:11], Y[:11], batch_size=None, shuffle=False, metrics=[Seen()], workers=3)
    prediction, target, thread = seen[0]
    np.testing.assert_allclose(prediction, expected, atol=1e-14)
    assert np.array_equal(target, Y[:11])
    assert thread is threading.main_thread()


def test_each_shard_has_a_thread_of_its_own():
    together = threading.Barrier(3, timeout=30)

    class Meeting(Tanh):
        def forward(self, x, training=False):
            if training:
                together.wait()  # nobody passes before all three are here
            return super().forward(x, training)

        def __deepcopy__(self, memo):
            return Meeting()

    fit(net(Dense(4, 5), Meeting(), Dense(5, 3)), workers=3, batch_size=None)


def test_own_layers_that_copy_themselves_share_the_parameters_too():
    class Severed(Scale):
        def __deepcopy__(self, memo):
            other = Severed(self.features)
            other.s = self.s
            return other

    one, other = (net(Severed(4), Dense(4, 3)) for _ in range(2))
    fit(one, epochs=3, workers=1)
    fit(other, epochs=3)
    np.testing.assert_allclose(other.parameters, one.parameters, rtol=0, atol=1e-12)


def test_another_name_of_a_parameter_is_the_parameter_in_all_threads():
    class Named(Scale):
        def forward(self, x, training=False):
            return x * self.again, x

    results = []
    for workers in (1, 2):
        model = net(Named(4), Dense(4, 3))
        model.layers[0].again = model.layers[0].s
        fit(model, epochs=3, workers=workers)
        results.append(model.parameters.copy())
    np.testing.assert_allclose(results[1], results[0], rtol=0, atol=1e-12)


# ---- the same bits -------------------------------------------------------------------------------


@pytest.mark.parametrize("workers", [2, 3])
def test_two_runs_have_the_same_bits(workers):
    runs = []
    for _ in range(2):
        model, optimizer = random_net(), Adam(0.05)
        resumable(model, optimizer, metrics=[Accuracy()], workers=workers)
        runs.append(left(model, optimizer))
    assert runs[0] == runs[1]
    assert np.isfinite(model.parameters).all()


def test_each_thread_drops_other_units_and_each_epoch_anew():
    masks = []

    class Seen(Dropout):
        def forward(self, x, training=False):
            y, m = super().forward(x, training)
            if training:
                masks.append((m > 0).tobytes())
            return y, m

        def __deepcopy__(self, memo):  # with the list of all
            other = Seen(self.p)
            other.rng = memo[id(self.rng)]
            return other

    fit(net(Seen(0.5), Dense(4, 3)), np.ones((48, 4)), np.zeros(48, int), batch_size=24, epochs=2,
        workers=3)  # fmt: skip
    assert len(masks) == len(set(masks)) == 3 * 2 * 2  # threads, epochs, batches


def test_the_order_of_the_rows_does_not_depend_on_the_workers():
    orders = []
    for workers in (1, 2, 3):
        model, seen = net(Dropout(), Dense(4, 3)), []
        loss = formula_watching(seen)
        fit(model, loss=loss, batch_size=1, epochs=2, workers=workers)
        orders.append(seen)
    assert orders[0] == orders[1] == orders[2]


def formula_watching(seen):
    def loss(prediction, target, weight=None):
        seen.append(int(target[0]))
        return LOSS.formula(prediction, target, weight)

    return loss


def share_out(monkeypatch):
    """Have blocks so small that the gradient and the optimizer's step of any net are shared out."""
    monkeypatch.setattr("chainrule.workers.SHARED_BLOCK", 8)
    monkeypatch.setattr("chainrule.optimizers.base.SHARED_BLOCK", 8)


@pytest.fixture
def small_blocks(monkeypatch):
    share_out(monkeypatch)


@pytest.mark.parametrize("workers", [2, 3])
@pytest.mark.parametrize(
    "options", [{}, {"decay": "weights"}, {"clip_norm": 0.1}, {"accumulate": 2}], ids=str
)
def test_shared_blocks_do_not_show(workers, options, monkeypatch):
    """Each number is added and updated as it would be in one thread."""

    def trained():
        model = net()
        optimizer = cr.AdamW(0.01, weight_decay=0.5)
        fit(model, optimizer=optimizer, workers=workers, epochs=3, **options)
        return model.parameters.tobytes(), model.gradients.tobytes(), exact(optimizer.state_dict())

    whole = trained()
    share_out(monkeypatch)
    assert trained() == whole


@pytest.mark.usefixtures("small_blocks")
def test_a_step_of_the_optimizer_is_made_in_each_thread():
    names = set()

    class Told(Adam):
        def update(self, *block):
            names.add(threading.current_thread().name.split("_")[0])
            time.sleep(0.01)  # so that no thread can take two shares
            super().update(*block)

    fit(net(), optimizer=Told(), workers=3, batch_size=None)
    assert len(names) == 2  # the calling one, and those of the crew


@pytest.mark.usefixtures("small_blocks")
@pytest.mark.parametrize("name", ["2.W", "0.b"])
def test_a_gradient_that_is_not_finite_is_found_in_any_part(name):
    class Bad(Dense):
        def backward(self, dy, cache, out=None, need_dx=True):
            dx, grads = super().backward(dy, cache, out=out, need_dx=need_dx)
            grads[name[2:]].reshape(-1)[-1] = np.inf
            return dx, grads

    layers = [Dense(4, 5), Tanh(), Dense(5, 3)]
    layers[int(name[0])] = Bad(*((4, 5) if name[0] == "0" else (5, 3)))
    with pytest.raises(DivergenceError, match=re.escape(f"first that of {name}")):
        fit(net(*layers))


@pytest.mark.parametrize("workers", [1, 2])
def test_an_optimizer_s_step_may_be_replaced(workers):
    model, optimizer, seen = net(), SGD(0.1), []
    step = optimizer.step

    def watched(params, grads, spans=None):
        seen.append(len(grads))
        step(params, grads, spans)

    optimizer.step = watched
    fit(model, optimizer=optimizer, workers=workers)
    assert seen == [model.num_parameters] * 4


@pytest.mark.usefixtures("small_blocks")
def test_an_error_of_the_optimizer_in_a_thread_comes_through():
    class Broken(Adam):
        def update(self, p, g, t, s, block, numbers):
            if block.start >= 8:
                raise ZeroDivisionError
            super().update(p, g, t, s, block, numbers)

    with pytest.raises(ZeroDivisionError):
        fit(net(), optimizer=Broken())


@pytest.mark.parametrize("by", ["resume_from", "initial_epoch"])
def test_a_run_that_stops_goes_on_to_the_same_bits(by, tmp_path):
    def part(model, optimizer, first, last, path):
        options = {"resume_from": path} if by == "resume_from" else {"initial_epoch": first}
        resumable(
            model, optimizer, [Checkpoint(path)], epochs=last, workers=2,
            metrics=[Accuracy()], **options,
        )  # fmt: skip
        return exact(model.state_dict()), left(model, optimizer)["rngs"]

    whole = part(random_net(), Adam(0.05), 0, 5, tmp_path / "whole.npz")
    model, optimizer = random_net(), Adam(0.05)
    for first, last in ((0, 2), (2, 3), (3, 5)):
        if by == "resume_from":  # as after a new start of the process
            model, optimizer = random_net(), Adam(0.05)
        parts = part(model, optimizer, first, last, tmp_path / "parts.npz")
    assert parts == whole


def test_a_run_goes_on_with_as_many_workers(tmp_path):
    path = tmp_path / "run.npz"
    resumable(random_net(), Adam(), [Checkpoint(path)], epochs=1, workers=2)
    with pytest.raises(ValueError, match="workers was 2, and is 1"):
        resumable(random_net(), Adam(), epochs=2, resume_from=path)
    resumable(random_net(), Adam(), epochs=2, workers=2, resume_from=path)


@pytest.mark.parametrize("workers", [1, 2])
def test_a_file_from_before_there_were_workers_had_one(workers, tmp_path, monkeypatch):
    path = tmp_path / "run.npz"
    from chainrule import files

    run_members = files.run_members

    def older(run):
        settings = {k: v for k, v in run["settings"].items() if k != "workers"}
        return run_members({**run, "settings": settings})

    monkeypatch.setattr(files, "run_members", older)
    resumable(random_net(), Adam(), [Checkpoint(path)], epochs=1)
    if workers == 1:
        resumable(random_net(), Adam(), epochs=2, resume_from=path)
    else:
        with pytest.raises(ValueError, match="workers was 1, and is 2"):
            resumable(random_net(), Adam(), epochs=2, workers=workers, resume_from=path)


# ---- buffers -------------------------------------------------------------------------------------


def test_each_shard_normalizes_its_own_rows_and_statistics_are_means():
    m = 0.25
    model = net(BatchNorm(4, momentum=m), Dense(4, 3))
    model.layers[0].running_mean = start = RNG.normal(size=4)
    watch = Watch()
    x = X[:5]
    fit(model, x, Y[:5], batch_size=None, shuffle=False, optimizer=watch)
    parts = x[:2], x[2:]
    mean = 0.4 * parts[0].mean(0) + 0.6 * parts[1].mean(0)
    var = 0.4 * parts[0].var(0, ddof=1) + 0.6 * parts[1].var(0, ddof=1)
    norm = model.layers[0]
    np.testing.assert_allclose(norm.running_mean, (1 - m) * start + m * mean, atol=1e-14)
    np.testing.assert_allclose(norm.running_var, (1 - m) + m * var, atol=1e-14)
    gradient = 0
    for part, rows, share in ((parts[0], slice(0, 2), 0.4), (parts[1], slice(2, 5), 0.6)):
        other = net(BatchNorm(4), Dense(4, 3))
        prediction, caches = other.forward(part, training=True)
        other.backward(LOSS(prediction, Y[rows])[1], caches)
        gradient = gradient + share * other.gradients
    np.testing.assert_allclose(watch.seen[0], gradient, atol=1e-14)


def test_all_shards_go_on_from_the_mean():
    m, mean, var = 0.5, np.zeros(4), np.ones(4)
    model = net(BatchNorm(4, momentum=m), Dense(4, 3))
    fit(model, X[:9], Y[:9], batch_size=5, epochs=2, shuffle=False)
    cuts = (0, 2, 5), (5, 7, 9)  # of the two batches
    for a, b, c in (*cuts, *cuts):
        share = (b - a) / (c - a)
        one, other = X[a:b], X[b:c]
        mean += m * (share * one.mean(0) + (1 - share) * other.mean(0) - mean)
        var += m * (share * one.var(0, ddof=1) + (1 - share) * other.var(0, ddof=1) - var)
    np.testing.assert_allclose(model.layers[0].running_mean, mean, atol=1e-14)
    np.testing.assert_allclose(model.layers[0].running_var, var, atol=1e-14)


def test_buffers_that_stay_and_frozen_norms_keep_their_bits():
    norm = BatchNorm(4)
    model = net(cr.Standardizer(4).fit(X), norm, Dense(4, 3))
    norm.running_mean, norm.running_var = RNG.normal(size=4), RNG.random(4)
    norm.trainable = False
    before = {name: array.copy() for name, array in model.named_buffers().items()}
    fit(model, epochs=3, workers=3)
    for name, array in model.named_buffers().items():
        assert np.array_equal(array, before[name]), name


def test_infinite_buffers_that_agree_stay():
    class Largest(Layer):
        def __init__(self):
            super().__init__()
            self.add_buffer("largest", np.full(1, -np.inf))

        def forward(self, x, training=False):
            return x, None

        def backward(self, dy, cache, out=None, need_dx=True):
            return dy, {}

    model = net(Dense(4, 3), Largest())
    with Crew(model, 2) as crew:
        crew.begin_epoch()
        train_step(model, LOSS.formula, SGD(0.1), [one_batch(model)], crew=crew)
    assert model.layers[1].largest == -np.inf


def one_batch(model, x=X, y=Y):
    return next(ArraySource("test", model, LOSS, x, y, None).batches(None))


# ---- callbacks that change things ----------------------------------------------------------------


def test_layers_may_be_frozen_and_freed_on_the_way():
    def changing(model):
        def thaw(epoch):
            model.layers[0].trainable = epoch == 1

        def freeze(step):
            model.layers[2].trainable = step in (1, 3)

        return LambdaCallback(on_epoch_begin=thaw, on_train_batch_begin=freeze)

    results = []
    for workers in (1, 3):
        model = net()
        fit(model, callbacks=[changing(model)], epochs=3, workers=workers)
        results.append(model.parameters.copy())
    np.testing.assert_allclose(results[1], results[0], rtol=0, atol=1e-12)


def test_options_of_layers_may_change_at_every_step():
    def loosen(model):
        def change(step):
            model.layers[1].negative_slope = 0.1 * step

        return LambdaCallback(on_train_batch_begin=change)

    results = []
    for workers in (1, 2):
        model = net(Dense(4, 5), cr.LeakyReLU(), Dense(5, 3))
        fit(model, callbacks=[loosen(model)], epochs=2, workers=workers)
        results.append(model.parameters.copy())
    np.testing.assert_allclose(results[1], results[0], rtol=0, atol=1e-12)


def test_best_weights_that_are_put_back_are_the_shards_too():
    results = []
    for workers in (1, 2):
        model = net()
        stopping = EarlyStopping("loss", patience=1)
        fit(model, optimizer=SGD(30.0), epochs=20, callbacks=[stopping], workers=workers)
        fit(model, epochs=2, workers=workers)
        results.append(model.parameters.copy())
    np.testing.assert_allclose(results[1], results[0], rtol=0, atol=1e-9)


# ---- what goes wrong -----------------------------------------------------------------------------


class Failing(Scale):
    """Fails on the way back, when a norm behind it has taken the batch in, at a row with a mark."""

    def __init__(self, features, error):
        super().__init__(features)
        self.error = error

    def backward(self, dy, x, out=None, need_dx=True):
        if (x[:, 0] > 90).any():
            raise self.error(f"row {int(x[:, 0].max())}")
        return super().backward(dy, x, out, need_dx)


class Own(Exception):
    pass


def marked(*rows):
    x = X.copy()
    x[list(rows), 0] = [200 - row for row in rows]
    return x


def untouched_by(model, optimizer, error, match, **options):
    before = {name: array.copy() for name, array in model.state_dict().items()}
    with pytest.raises(error, match=match):
        fit(model, optimizer=optimizer, batch_size=None, shuffle=False, **options)
    for name, array in model.state_dict().items():
        assert np.array_equal(array, before[name]), name
    assert optimizer.steps == 0


@pytest.mark.parametrize("error", [Own, KeyboardInterrupt, SystemExit, MemoryError])
@pytest.mark.parametrize(
    ("rows", "first"), [([1], 1), ([22], 22), ([12, 22], 12), ([3, 12, 22], 3)]
)
def test_an_error_of_any_shard_comes_through(error, rows, first):
    model = net(Failing(4, error), BatchNorm(4), Dense(4, 3))
    untouched_by(model, Adam(), error, f"row {200 - first}", x=marked(*rows), workers=3)


def test_training_goes_on_after_an_error():
    model = net(Failing(4, Own), BatchNorm(4), Dense(4, 3))
    untouched_by(model, Adam(), Own, "row", x=marked(20))
    assert fit(model, epochs=20)["loss"][-1] < 1.1


def test_all_shards_have_ended_when_an_error_comes():
    ended = []

    class Slow(Layer):
        def forward(self, x, training=False):
            if training:
                if threading.current_thread() is threading.main_thread():
                    raise Own("at once")
                time.sleep(0.05)
                ended.append(len(x))
            return x, None

    untouched_by(net(Slow(), Dense(4, 3)), Adam(), Own, "at once", workers=3)
    assert sorted(ended) == [8, 8]


@pytest.mark.skipif(not hasattr(signal, "pthread_kill"), reason="signals of POSIX")
def test_ctrl_c_while_waiting_comes_when_the_shards_have_ended():
    ended = []

    class Interrupted(Layer):
        def forward(self, x, training=False):
            if training and threading.current_thread() is not threading.main_thread():
                for _ in range(3):  # somebody who is impatient
                    time.sleep(0.02)
                    signal.pthread_kill(threading.main_thread().ident, signal.SIGINT)
                time.sleep(0.05)
                ended.append(len(x))
            return x, None

        def backward(self, dy, cache, out=None, need_dx=True):
            return dy, {}

    model = net(Interrupted(), BatchNorm(4), Dense(4, 3))
    untouched_by(model, Adam(), KeyboardInterrupt, None)
    assert ended == [12]
    assert model.history.epochs == []


def test_a_warning_that_is_an_error_comes_through():
    class Warns(Layer):
        def forward(self, x, training=False):
            if training and (x[:, 0] > 90).any():
                warnings.warn("look out", UserWarning, stacklevel=1)
            return x, None

    untouched_by(net(Warns(), Dense(4, 3)), Adam(), UserWarning, "look out", x=marked(22))


@pytest.mark.parametrize("row", [0, 22])
def test_a_loss_that_is_not_finite_names_the_layer(row):
    x = X.copy()
    x[row] = 1e200
    model = net(Dense(4, 5), Scale(5), cr.Softplus(), Dense(5, 3))
    for layer in (model.layers[0].params, model.layers[1].params):
        for array in layer.values():
            array[...] = 1e100
    untouched_by(
        model, Adam(), DivergenceError, r"epoch 1, step 1: the loss is .*layer 1, Scale\(5\)", x=x
    )


@pytest.mark.parametrize("row", [0, 22])
def test_a_gradient_that_is_not_finite_names_the_parameter(row):
    class Bad(Scale):
        def backward(self, dy, x, out=None, need_dx=True):
            return dy, {"s": np.full(self.features, np.nan if x[:, 0].max() > 90 else 1.0)}

    model = net(Bad(4), Dense(4, 3))
    sentence = r"the gradient is not finite; on the way back it is first that of 0.s, in Bad\(4\)"
    untouched_by(model, Adam(), DivergenceError, sentence, x=marked(row))


def test_divergence_later_puts_back_what_was_before_the_epoch():
    model = net(BatchNorm(4), Dense(4, 3))
    calls = iter(range(100))

    def loss(prediction, target, weight=None):
        value, d = LOSS.formula(prediction, target, weight)
        return (np.nan if next(calls) > 14 else value), d

    state = {}

    def keep(epoch):
        state.update(model.state_dict())

    with pytest.raises(DivergenceError, match="epoch 2, step"):
        fit(model, loss=loss, epochs=3, callbacks=[LambdaCallback(on_epoch_begin=keep)])
    assert exact(model.state_dict()) == exact(state)


def test_numbers_that_overflow_on_the_way_are_not_told_by_threads():
    x = X.copy()
    x[22] = 1e30  # its square is beyond float32, and saturates below

    class Square(Layer):
        def forward(self, x, training=False):
            return np.minimum(x * x, 1), x

        def backward(self, dy, x, out=None, need_dx=True):
            return dy * np.where(np.abs(x) < 1, 2 * x, 0), {}

    fit(net(Square(), Dense(4, 3), dtype="float32"), x)  # warnings are errors


@pytest.mark.parametrize(
    ("workers", "error", "piece"),
    [
        (0, ValueError, "workers must be an integer, at least 1; got 0"),
        (-1, ValueError, "workers must be an integer, at least 1; got -1"),
        (1.5, TypeError, "workers must be an integer, at least 1; got 1.5"),
        (True, TypeError, "workers must be an integer, at least 1; got True"),
        ("2", TypeError, "workers must be an integer, at least 1; got '2'"),
        (None, TypeError, "workers must be an integer, at least 1; got None"),
    ],
)
def test_other_workers_are_refused(workers, error, piece):
    untouched_by(net(), Adam(), error, re.escape(piece), workers=workers)


def test_layers_that_cannot_be_copied_are_refused_before_training():
    begun = []
    layer = Tanh()
    layer.lock = threading.Lock()
    callback = LambdaCallback(on_train_begin=lambda: begun.append(1))
    untouched_by(
        net(Dense(4, 3), layer), Adam(), TypeError, "workers=2 train on copies of the layers",
        callbacks=[callback],
    )  # fmt: skip
    assert not begun


def test_generators_of_another_kind_are_refused():
    model = net()
    model.layers[1].rng = np.random.RandomState(0)
    untouched_by(model, Adam(), TypeError, r"numpy.random.Generator; that of Tanh\(\)")


def test_layers_nested_deep_are_copied():
    layer = Dense(3, 3)
    for _ in range(90):
        layer = Residual(layer)
    fit(net(Dense(4, 3), layer))


def test_a_layer_that_knows_its_model_does_not_copy_it():
    model = net()
    model.layers[1].whole = model
    before = model.parameters
    fit(model)
    assert model.parameters is before
    assert np.shares_memory(model.layers[0].W, before)


# ---- threads of the BLAS -------------------------------------------------------------------------


@pytest.fixture
def without_threadpoolctl(monkeypatch):
    monkeypatch.setitem(sys.modules, "threadpoolctl", None)
    for name in threads.VARIABLES:
        monkeypatch.delenv(name, raising=False)
    threads._controller.cache_clear()
    yield
    threads._controller.cache_clear()


@pytest.mark.usefixtures("without_threadpoolctl")
def test_workers_need_something_that_bounds_the_threads(monkeypatch):
    piece = re.escape('pip install "chainrule[threads]"') + ".*OPENBLAS_NUM_THREADS=1"
    untouched_by(net(), Adam(), ModuleNotFoundError, f"workers=2 needs one .*{piece}")
    monkeypatch.setenv("OPENBLAS_NUM_THREADS", "2")
    untouched_by(net(), Adam(), ModuleNotFoundError, "workers=2")
    monkeypatch.setenv("OPENBLAS_NUM_THREADS", "1")
    assert len(fit(net())["loss"]) == 1


@pytest.mark.usefixtures("without_threadpoolctl")
def test_one_worker_needs_nothing():
    assert len(fit(net(), workers=1)["loss"]) == 1


def threads_inside(**options):
    """How many threads the BLAS has while `fit` runs, of how many; None where nobody can tell."""
    controller = pytest.importorskip("threadpoolctl").ThreadpoolController()

    def now():
        return [d["num_threads"] for d in controller.info() if d["user_api"] == "blas"]

    seen = []
    watch = LambdaCallback(on_train_batch_begin=lambda step: seen.append(now()))
    with controller.limit(limits=2, user_api="blas"):
        before = now()
        fit(callbacks=[watch], **options)
        assert now() == before
    if 2 not in before:
        pytest.skip("threadpoolctl does not know this BLAS, or there is one core")
    return 1 if set(seen[0]) == {1} else seen[0] == before and 2


SMALL, MIDDLE, LARGE = (4, 3), (784, 100), (784, 1000)


@pytest.mark.parametrize(
    ("size", "options", "count"),
    [
        (SMALL, {}, 2),  # no product has a second thread anyway
        (MIDDLE, {}, 1),
        (MIDDLE, {"batch_size": None}, 2),
        (MIDDLE, {"batch_size": None, "validation_split": 0.5}, 1),
        (MIDDLE, {"batch_size": 128}, 2),
        (LARGE, {}, 2),
        (SMALL, {"workers": 2}, 1),
        (LARGE, {"workers": 2}, 1),
    ],
)
def test_fit_bounds_the_threads_where_one_is_faster(size, options, count, monkeypatch):
    for name in threads.VARIABLES:
        monkeypatch.delenv(name, raising=False)
    x, y = np.zeros((128, size[0])), np.zeros(128, int)
    model = net(Dense(*size), dtype="float32")
    options = {"batch_size": 32, "workers": 1, **options}
    assert threads_inside(model=model, x=x, y=y, **options) == count


def test_what_a_user_has_set_is_left_alone(monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "2")
    x, y = np.zeros((32, 784)), np.zeros(32, int)
    model = net(Dense(*MIDDLE), dtype="float32")
    assert threads_inside(model=model, x=x, y=y, batch_size=32, workers=1) == 2


def test_fits_that_overlap_give_the_threads_back():
    controller = pytest.importorskip("threadpoolctl").ThreadpoolController()

    def now():
        return [d["num_threads"] for d in controller.info() if d["user_api"] == "blas"]

    with controller.limit(limits=2, user_api="blas"):
        seen, (one, other) = [now()], (ExitStack(), ExitStack())
        for stack in (one, other):
            threads.one_thread.until_closed(stack)
            seen.append(now())
        for stack in (one, other):  # not the last first, as fits in threads
            stack.close()
            seen.append(now())
    ones = [1] * len(seen[0])
    assert seen == [seen[0], ones, ones, ones, seen[0]]


class Interrupts:
    """Raises KeyboardInterrupt at the n-th place where Python would: beside a call, or after it."""

    def __init__(self, n, spared):
        self.n, self.count, self.spared = n, 0, spared

    def __call__(self, frame, event, argument):
        code = frame.f_code
        if event == "c_call" or {code, code.co_filename} & {__file__, *self.spared}:
            return
        self.count += 1
        if self.count == self.n:
            sys.setprofile(None)
            raise KeyboardInterrupt


def interrupted_everywhere(call, *spared):
    """Make a call again and again, each time interrupted a bit later, and yield after each."""
    for n in itertools.count(1):
        interrupts = Interrupts(n, spared)
        try:
            sys.setprofile(interrupts)
            call()
        except KeyboardInterrupt:
            pass
        finally:
            sys.setprofile(None)
        yield n
        if interrupts.count < n:
            break


def test_ctrl_c_may_come_anywhere_in_a_step_and_nothing_hangs():
    told = []

    def try_all():
        with Crew(net(), 3) as crew:
            jobs = [lambda i=i: i for i in range(3)]
            crew.together(jobs)  # the threads are there
            again = interrupted_everywhere(lambda: crew.together(jobs))
            told.extend(crew.together(jobs) for _ in again)

    thread = threading.Thread(target=try_all, daemon=True)
    thread.start()
    thread.join(30)
    assert not thread.is_alive()
    assert len(told) > 20
    assert told == [[0, 1, 2]] * len(told)


def test_threads_that_nobody_dismissed_end_with_their_crew():
    before = set(threading.enumerate())
    crew = Crew(net(), 3)
    assert crew.together([int, int, int]) == [0, 0, 0]
    threads_of_it = set(threading.enumerate()) - before
    assert len(threads_of_it) == 2
    del crew
    for thread in threads_of_it:
        thread.join(30)
        assert not thread.is_alive()


def test_ctrl_c_anywhere_gives_the_threads_back():
    controller = pytest.importorskip("threadpoolctl").ThreadpoolController()

    def bound():
        with ExitStack() as stack:
            inside.append(stack)
            threads.one_thread.until_closed(stack)

    inside, spared = [], (contextlib.__file__, threads.insist.__code__)  # a moment that stays
    with controller.limit(limits=2, user_api="blas"):
        before = controller.info()
        for n in interrupted_everywhere(bound, *spared):
            assert controller.info() == before, n
            assert not threads.one_thread.fits, n
    assert len(inside) > 20


def test_an_error_gives_the_threads_back():
    controller = pytest.importorskip("threadpoolctl").ThreadpoolController()
    before = controller.info()
    untouched_by(net(Failing(4, Own), Dense(4, 3)), Adam(), Own, "row", x=marked(2))
    assert controller.info() == before


@pytest.mark.parametrize(
    ("layers", "shape", "count"),
    [
        ([Dense(3, 4), ReLU(), Dense(4, 5)], (3,), 12 + 20),
        ([Dense(3, 4), Dense(4, 5)], (7, 3), 7 * 32),
        ([Parallel(Dense(3, 4), Sequential(Dense(3, 2), Dense(2, 4)))], (3,), 12 + 6 + 8),
        ([Residual(Dense(3, 2), Tanh(), Dense(2, 3)), Dense(3, 3)], (3,), 12 + 9),
        ([Embedding(9, 3), Flatten(), Dense(6, 3)], (2,), 18),
    ],
)
def test_multiply_adds_are_counted_as_the_summary_counts_them(layers, shape, count):
    assert threads.multiply_adds(layers, shape) == count
    text = Model(*layers, seed=0).summary(input_shape=shape)
    assert f"{count:,} multiply-adds for each row" in text


def test_layers_that_do_not_tell_leave_the_threads_alone(monkeypatch):
    for name in threads.VARIABLES:
        monkeypatch.delenv(name, raising=False)

    class Unknown(Tanh):
        def multiply_adds(self, input_shape):
            raise Own

    model = net(Dense(4, 3), Unknown())
    source = ArraySource("test", model, LOSS, X, Y, None)
    assert threads.wants_one_thread(model, source, None, None, 1) is False
    assert threads.wants_one_thread(model, source, None, None, 2) is True


def test_the_environment_is_left_alone():
    before = dict(os.environ)
    fit(net())
    assert dict(os.environ) == before


def test_the_formula_of_an_own_loss_is_cut_too():
    formula = formula_of(lambda p, t, w=None: (float(np.mean((p - t) ** 2)), 2 * (p - t) / p.size))
    one, other = net(), net()
    t = RNG.normal(size=(23, 3))
    fit(one, y=t, loss=formula, workers=1)
    fit(other, y=t, loss=formula, workers=3)
    np.testing.assert_allclose(other.parameters, one.parameters, rtol=0, atol=1e-12)
