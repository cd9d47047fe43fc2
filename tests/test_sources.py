"""Whatever data come as, training sees the same batches: streams, files larger than the memory and
frames train to the same bits as arrays, and no more of a file than a batch is in memory."""

from __future__ import annotations

import csv
import re
import tracemalloc

import numpy as np
import pytest

import chainrule as cr
from chainrule import SGD, Accuracy, Adam, Dense, MeanSquaredError, Model, SoftmaxCrossEntropy, Tanh
from chainrule.data import is_mapped

RNG = np.random.default_rng(3)
X, Y = RNG.normal(size=(20, 3)), RNG.normal(size=(20, 2))
LABELS = RNG.integers(0, 2, size=20)
W = RNG.uniform(0.5, 2, size=20)
LOSS = SoftmaxCrossEntropy()
BATCHES = [(X[i : i + 6], LABELS[i : i + 6], W[i : i + 6]) for i in range(0, 20, 6)]


def net(seed=0, dtype="float64"):
    return Model(Dense(3, 4), Tanh(), Dense(4, 2), seed=seed, dtype=dtype)


def fit(model, x, y=None, **options):
    options = {"loss": LOSS, "optimizer": Adam(lr=0.1), "verbose": 0, "epochs": 3, **options}
    return model.fit(x, y, **options)


def by_arrays(**options):
    model = net()
    history = fit(
        model, X, LABELS, sample_weight=W, batch_size=6, shuffle=False, metrics=[Accuracy()],
        **options,
    )  # fmt: skip
    return model.parameters, history


class Again:
    """Gives its batches anew each time it is asked, and does not tell how many."""

    def __iter__(self):
        return iter(BATCHES)


def endless():
    while True:
        yield from BATCHES


@pytest.mark.parametrize(
    ("stream", "options"),
    [
        (BATCHES, {}),
        (tuple(BATCHES), {}),
        (Again(), {}),
        (lambda rng: BATCHES, {}),
        (lambda rng: iter(BATCHES), {}),
        (iter(BATCHES * 3), {"steps_per_epoch": 4}),
        (endless(), {"steps_per_epoch": 4}),
        (lambda rng: endless(), {"steps_per_epoch": 4}),
    ],
    ids=[
        "list",
        "tuple",
        "iterable",
        "function",
        "generators",
        "iterator",
        "endless",
        "both",
    ],
)
def test_a_stream_of_batches_is_the_same_as_arrays(stream, options):
    model = net()
    history = fit(model, stream, metrics=[Accuracy()], **options)
    parameters, expected = by_arrays()
    assert np.array_equal(model.parameters, parameters)
    assert history == expected


def test_a_stream_may_be_accumulated_weighed_and_validated():
    options = {"accumulate": 2, "class_weight": {1: 2.0}}
    model = net()
    history = fit(model, BATCHES, metrics=[Accuracy()], validation_data=[(X, LABELS, W)], **options)
    parameters, expected = by_arrays(validation_data=(X, LABELS, W), **options)
    assert np.array_equal(model.parameters, parameters)
    assert history == expected
    assert list(history) == ["loss", "accuracy", "val_loss", "val_accuracy"]


def test_evaluate_takes_batches_and_does_not_draw_from_the_model():
    model = net()
    state = model.shuffle_rng.bit_generator.state
    expected = model.evaluate(X, LABELS, loss=LOSS, metrics=[Accuracy()], sample_weight=W)
    for stream in (BATCHES, iter(BATCHES), lambda rng: [rng.random() and b for b in BATCHES]):
        figures = model.evaluate(stream, loss=LOSS, metrics=[Accuracy()])
        assert figures["accuracy"] == expected["accuracy"]
        assert figures["loss"] == pytest.approx(expected["loss"], rel=1e-12)
    assert model.shuffle_rng.bit_generator.state == state


def test_a_function_is_given_the_generator_of_the_model():
    """So that the seed fixes the order, and an epoch differs from the one before."""

    def run(seed):
        orders = []

        def stream(rng):
            orders.append(rng.permutation(20))
            return [(X[rows], LABELS[rows]) for rows in np.split(orders[-1], 4)]

        model = net(seed)
        fit(model, stream)
        return orders, model.parameters

    (orders, one), (again, two), (others, _) = run(0), run(0), run(1)
    assert np.array_equal(orders, again)
    assert np.array_equal(one, two)
    assert not np.array_equal(orders[0], orders[1])
    assert not np.array_equal(orders, others)


@pytest.mark.parametrize(
    ("stream", "options", "steps"),
    [
        (BATCHES, {}, 4),
        (BATCHES, {"accumulate": 3}, 2),
        (BATCHES, {"steps_per_epoch": 3}, 3),
        (BATCHES, {"steps_per_epoch": 1, "accumulate": 2}, 1),
        (Again(), {}, None),
        (endless(), {"steps_per_epoch": 5}, 5),
    ],
)
def test_callbacks_are_told_how_many_steps_there_are_if_anyone_knows(stream, options, steps):
    counts = []

    class Watch(cr.Callback):
        def on_epoch_begin(self, epoch):
            counts.append(0)

        def on_train_batch_end(self, batch, logs):
            counts[-1] += 1

    watch = Watch()
    fit(net(), stream, callbacks=[watch], epochs=2, **options)
    assert watch.params["steps"] == steps
    assert counts == [steps or 4] * 2


def test_progress_shows_a_stream_of_unknown_length(capsys):
    fit(net(), Again(), verbose=1, epochs=2)
    assert capsys.readouterr().err.splitlines()[-1].startswith("epoch 2/2  loss ")


TE, VE = TypeError, ValueError


@pytest.mark.parametrize(
    ("x", "options", "error", "piece"),
    [
        (X, {}, TE, "fit: y is missing"),
        (3, {}, TE, "fit: y is missing"),
        ("abc", {}, TE, "must be arrays or batches, got str"),
        ({"x": X}, {}, TE, "must be arrays or batches, got dict"),
        ([], {}, VE, "gave no batch"),
        ([X], {}, TE, "batch 1 must be (x, y) or (x, y, sample_weight), got ndarray"),
        ([(X,)], {}, TE, "got tuple of 1"),
        ([[1, 2, 3, 4]], {}, TE, "got list of 4"),
        ([(X, LABELS[:3])], {}, VE, "batch 1: x has 20 rows, but y has 3"),
        ([(X[:0], LABELS[:0])], {}, VE, "batch 1: x is empty"),
        ([(X[:, :2], LABELS)], {}, VE, "does not fit"),
        ([(X, LABELS + 5)], {}, VE, "from 0 to 1"),
        ([(X, LABELS, -W)], {}, VE, "not negative"),
        (lambda rng: 3, {}, TE, "must return batches"),
        (BATCHES, {"sample_weight": W}, VE, "bring their own weights"),
        (BATCHES, {"validation_split": 0.1}, VE, "pass validation_data"),
        (BATCHES, {"class_weight": "balanced"}, VE, "which a stream does not tell"),
        (BATCHES, {"validation_data": iter(BATCHES)}, TE, "anew after each epoch"),
        (BATCHES, {"steps_per_epoch": 0}, VE, "steps_per_epoch"),
        (BATCHES, {"metrics": [cr.R2()]}, VE, "R2"),
    ],
)
def test_wrong_streams_are_refused_and_change_nothing(x, options, error, piece):
    model = net()
    before = model.parameters.copy()
    with pytest.raises(error, match=re.escape(piece)):
        fit(model, x, **options)
    assert np.array_equal(model.parameters, before)


def test_an_iterator_that_has_ended_says_what_to_do():
    model = net()
    with pytest.raises(ValueError, match=r"no batch for this epoch\. An iterator is used up once"):
        fit(model, iter(BATCHES))
    assert model.history.epochs == [0]  # the epoch it was enough for


def test_a_bad_batch_in_the_middle_names_itself():
    with pytest.raises(ValueError, match="batch 3: x has 6 rows, but y has 2"):
        fit(net(), [*BATCHES[:2], (X[:6], LABELS[:2])])


# ---- files larger than the memory ----------------------------------------------------------------


@pytest.fixture
def mapped(tmp_path):
    """An array in a file; floats that are not of the model's dtype."""

    def make(name, array):
        np.save(tmp_path / name, array)
        return np.load(tmp_path / name, mmap_mode="r")

    return make


@pytest.mark.parametrize("options", [{}, {"validation_split": 0.3}, {"shuffle": False}])
def test_a_memory_map_trains_to_the_same_bits(mapped, options):
    one, other = net(dtype="float32"), net(dtype="float32")
    metrics = [cr.R2(), cr.MeanAbsoluteError()]
    options = {"loss": MeanSquaredError(), "metrics": metrics, "batch_size": 6, **options}
    a = fit(one, X, Y, sample_weight=W, **options)
    b = fit(
        other, mapped("x.npy", X), mapped("y.npy", Y), sample_weight=mapped("w.npy", W), **options
    )
    assert np.array_equal(one.parameters, other.parameters)
    assert a == b
    assert np.array_equal(one.predict(X), one.predict(mapped("x.npy", X)))


def test_what_lies_in_a_file_is_known_as_such(mapped):
    array = mapped("x.npy", X)
    for view in (array, np.asarray(array), array[3:], np.asarray(array).T, array[:, :1]):
        assert is_mapped(view)
    for other in (X, X[3:], array + 0, array[[1, 2]].copy(), [1, 2]):
        assert not is_mapped(other)


@pytest.mark.parametrize("task", ["regression", "autoencoder", "classes"])
def test_no_more_than_batches_of_a_file_are_in_memory(tmp_path, task):
    """A file of 160 MB in float64, also as targets; what is held at a time is a fraction of it."""
    n, d = 20_000, 1000
    x = np.memmap(tmp_path / "x", np.float64, "w+", shape=(n, d))
    x[::50] = RNG.normal(size=(n // 50, d))
    outputs = {"regression": 1, "autoencoder": d, "classes": 3}[task]
    model = Model(Dense(d, 8), Dense(8, outputs), seed=0)
    y = {
        "regression": np.memmap(tmp_path / "y", np.float64, "w+", shape=(n, 1)),
        "autoencoder": x,
        "classes": np.arange(n) % 3,
    }[task]
    loss = SoftmaxCrossEntropy() if task == "classes" else MeanSquaredError()
    options = {"loss": loss, "metrics": [] if task == "classes" else [cr.R2()]}
    tracemalloc.start()
    try:
        model.fit(
            x, y, optimizer=SGD(lr=1e-4), batch_size=64, validation_split=0.2, verbose=0,
            validation_from="random", **options,
        )  # fmt: skip
        model.evaluate(x, y, batch_size=64, **options)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 40e6, f"{peak / 1e6:.1f} MB"  # validation looks at 1,024 rows at a time


def test_one_batch_is_in_memory_at_a_time():
    model = Model(Dense(1000, 2), seed=0)
    size = 1000 * 1000 * 4  # bytes of a batch

    def stream(rng):
        return ((np.zeros((1000, 1000), np.float32), np.zeros(1000, int)) for _ in range(4))

    x, y = np.zeros((4000, 1000)), np.zeros(4000, int)  # float64: batches are converted
    loss = SoftmaxCrossEntropy()
    for run in (
        lambda: model.fit(stream, loss=loss, optimizer=SGD(lr=0.1), epochs=2, verbose=0),
        lambda: model.fit(stream, loss=loss, optimizer=SGD(lr=0.1), accumulate=2, verbose=0),
        lambda: model.evaluate(stream, loss=loss),
        lambda: model.evaluate(x, y, loss=loss, batch_size=1000),
    ):
        tracemalloc.start()
        try:
            run()
            peak = tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()
        assert peak < 1.5 * size, f"{peak / size:.2f} batches"


# ---- the figures ---------------------------------------------------------------------------------


def test_a_history_as_a_table_and_as_a_file(tmp_path):
    model = net()
    history = fit(
        model, X, LABELS, metrics=[Accuracy(), cr.ConfusionMatrix()], validation_split=0.2,
        initial_epoch=8, epochs=11,
    )  # fmt: skip
    names = ["loss", "accuracy", "val_loss", "val_accuracy"]
    head, *rows = [line.split() for line in history.table().splitlines()]
    assert head == ["epoch", *names]
    assert [row[0] for row in rows] == ["9", "10", "11"]
    assert [float(row[3]) for row in rows] == pytest.approx(history["val_loss"], rel=1e-3)
    history.to_csv(tmp_path / "run.csv")
    with open(tmp_path / "run.csv", newline="", encoding="utf-8") as file:
        read = list(csv.DictReader(file))
    assert [int(row["epoch"]) for row in read] == history.epochs == [8, 9, 10]
    for name in names:
        assert [float(row[name]) for row in read] == history[name]
    assert list(read[0]) == ["epoch", *names]


def test_the_file_of_a_history_is_that_of_a_logger(tmp_path):
    log = cr.CSVLogger(tmp_path / "log.csv")
    history = fit(net(), X, LABELS, metrics=[Accuracy()], callbacks=[log])
    history.to_csv(tmp_path / "history.csv")
    assert (tmp_path / "history.csv").read_bytes() == (tmp_path / "log.csv").read_bytes()


def test_an_empty_history(tmp_path):
    history = fit(net(), X, LABELS, epochs=0)
    assert history.table() == "epoch"
    history.to_csv(tmp_path / "empty.csv")
    assert (tmp_path / "empty.csv").read_text() == "epoch\n"
    with pytest.raises(TypeError, match="path of a CSV file, got 3"):
        history.to_csv(3)
    with pytest.raises(FileNotFoundError):
        history.to_csv(tmp_path / "no" / "folder.csv")
