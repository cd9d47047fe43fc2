"""Where `fit` once gave wrong weights, wrong figures or a message that did not help. Each case is
compared with the plain loop, with a formula, or with what the message must name."""

from __future__ import annotations

import copy
import re
import tracemalloc

import numpy as np
import pytest

import chainrule as cr
from chainrule import (
    SGD,
    Accuracy,
    Dense,
    Embedding,
    Flatten,
    History,
    MeanSquaredError,
    Model,
    SoftmaxCrossEntropy,
    Tanh,
)
from chainrule.testing import LAYOUTS, in_layout

RNG = np.random.default_rng(3)
X, Y = RNG.normal(size=(20, 3)), RNG.normal(size=(20, 2))
LABELS = np.array([0, 0, 1, 0, 2] * 4)  # 12, 4 and 4
LOSS = SoftmaxCrossEntropy()


def net(out=2, dtype="float64"):
    return Model(Dense(3, 4), Tanh(), Dense(4, out), seed=0, dtype=dtype)


def fit(model, x=X, y=Y, **options):
    options = {"loss": MeanSquaredError(), "optimizer": SGD(lr=0.1), "verbose": 0, **options}
    return model.fit(x, y, **options)


# ---- weights of classes --------------------------------------------------------------------------


def test_a_batch_without_a_class_may_be_weighed():
    """A rare class is in few batches, and perhaps in no row of a test set."""
    model, weights = net(3), {0: 2.0, 2: 5.0}
    x, y = X[:2], LABELS[:2]  # both of class 0
    expected = 2 * LOSS(model(x), y)[0]
    options = {"loss": LOSS, "class_weight": weights}
    assert model.test_on_batch(x, y, **options) == pytest.approx(expected, rel=1e-12)
    assert model.evaluate(x, y, **options)["loss"] == pytest.approx(expected, rel=1e-12)
    step = model.train_on_batch(x, y, **options, optimizer=SGD(lr=0.1))
    assert step == pytest.approx(expected, rel=1e-12)


def test_a_class_for_each_position_has_no_class_weight_even_if_it_looks_one_hot():
    """Rows of one 1 and zeros are classes 0 and 1 at four positions here, and no class of a row."""
    x, y = RNG.integers(0, 5, size=(8, 4)), np.eye(4, dtype=int)[RNG.integers(0, 4, size=8)]
    for data in [(x, y), ([(x, y)], None)]:
        for weights in ({1: 2.0}, "balanced"):
            if weights == "balanced" and data[1] is None:
                continue
            model = Model(Embedding(5, 3), Dense(3, 2), seed=0)
            with pytest.raises(ValueError, match="needs one class for each row"):
                fit(model, *data, loss=LOSS, class_weight=weights)


def test_balanced_weights_of_one_output_with_other_classes_than_two():
    """Stars from 1 to 5, 4 rows each but for the last two: 20 / (5 N_c)."""
    stars = np.array([1, 2, 3, 4, 5] * 3 + [1, 2, 3, 4, 4])[:, None]
    weights = fit(net(1), y=stars, class_weight="balanced").class_weight
    assert weights == {1: 1.0, 2: 1.0, 3: 1.0, 4: 20 / 25, 5: 20 / 15}


def test_a_class_weight_beyond_the_dtype_is_refused():
    with pytest.raises(ValueError, match="class_weight holds values too large for float32"):
        fit(net(3, "float32"), y=LABELS, loss=LOSS, class_weight={0: 1e300})


# ---- steps ---------------------------------------------------------------------------------------


def test_a_loader_that_fills_the_same_arrays_again_may_be_accumulated():
    def loader(rng):
        x, y, w = np.empty((5, 3)), np.empty((5, 2)), np.empty(5)
        for i in range(0, 20, 5):
            x[:], y[:], w[:] = X[i : i + 5], Y[i : i + 5], 1 + i
            yield x, y, w

    weights = np.repeat([1, 6, 11, 16], 5)
    one, other = net(), net()
    metrics = [cr.R2()]
    options = {"accumulate": 2, "metrics": metrics, "epochs": 2}
    a = fit(one, batch_size=5, shuffle=False, sample_weight=weights, **options)
    b = fit(other, loader, None, **options)
    assert np.array_equal(one.parameters, other.parameters)
    assert a == b


def test_one_part_of_a_step_is_in_memory_at_a_time():
    """A step of 512 rows is 41 MB of float32, and its parts of 8 rows are 0.64 MB."""
    x = np.broadcast_to(np.float64(0.5), (512, 20_000))
    model = Model(Dense(20_000, 1), seed=0)
    tracemalloc.start()
    try:
        fit(model, x, np.zeros((512, 1)), optimizer=SGD(lr=1e-6), batch_size=8, accumulate=64)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 8e6, f"{peak / 1e6:.1f} MB"


def test_indices_in_a_file_are_checked_in_pieces(tmp_path):
    """A million int32 are 4 MB in the file, and would be 8 MB as indices."""
    x = np.memmap(tmp_path / "x", np.int32, "w+", shape=(20_000, 50))
    model = Model(Embedding(5, 2), Flatten(), Dense(100, 2), seed=0)
    y = np.zeros(len(x), int)
    tracemalloc.start()
    try:
        fit(model, x, y, loss=LOSS)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 6e6, f"{peak / 1e6:.1f} MB"
    x[-1, -1] = 5
    with pytest.raises(ValueError, match="indices must be from 0 to 4, got 5"):
        fit(model, x, y, loss=LOSS)


def test_no_penalty_is_in_the_gradient_of_what_is_frozen():
    model = net()
    for layer in model.layers:
        layer.trainable = False
    before = model.parameters.copy()
    fit(model, l1=0.5, clip_norm=1.0)
    assert not model.gradients.any()
    assert np.array_equal(model.parameters, before)


def test_an_update_that_overflows_is_told_by_train_on_batch():
    model = Model(Dense(3, 1), seed=0)
    with pytest.raises(
        cr.DivergenceError, match=r"train_on_batch: the update made 0\.[Wb], in Dense"
    ):
        model.train_on_batch(1e3 * X, Y[:, :1], loss=MeanSquaredError(), optimizer=SGD(lr=1e38))


@pytest.mark.parametrize("weight_decay", [0.0, 0.1])
def test_parameters_are_cut_into_spans_only_for_a_decay(weight_decay):
    """Each span is a walk of the optimizer: of a small network's step it takes a third."""
    seen = []

    class Watch(SGD):
        def step(self, params, grads, spans=None):
            seen.append(spans)
            super().step(params, grads, spans)

    model = net()
    fit(model, optimizer=Watch(lr=0.1, weight_decay=weight_decay), l1=0.1, decay="weights")
    assert seen == [model.weight_spans if weight_decay else None]
    assert len(model.weight_spans) == 4


def test_a_layer_that_fails_in_training_alone_is_named():
    class Zero(cr.Layer):
        def forward(self, x, training=False):
            return (x / (0 * x) if training else x), None

        def backward(self, dy, cache, out=None, need_dx=True):
            return dy, {}

    model = Model(Dense(3, 4), Zero(), cr.BatchNorm(4), Dense(4, 2), seed=0)
    before = model.state_dict()
    with pytest.raises(cr.DivergenceError, match=r"not finite is that of layer 1, Zero\(\)"):
        fit(model)
    assert all(np.array_equal(before[name], a) for name, a in model.state_dict().items())


class Own(cr.Layer):
    """y = x m, with weight axes as they are given."""

    def __init__(self, axes):
        super().__init__()
        self.weight_axes = self.axes = axes
        self.add_parameter("m", (3, 3))

    def forward(self, x, training=False):
        return x @ self.m, x

    def backward(self, dy, x, out=None, need_dx=True):
        return dy @ self.m.T, {"m": x.T @ dy}


@pytest.mark.parametrize(
    ("axes", "error", "piece"),
    [
        ({"m": 2}, ValueError, "weight_axes must give m an axis from 0 to 1, got 2"),
        ({"m": "a"}, ValueError, "got 'a'"),
        ({"m": True}, ValueError, "got True"),
        ({"n": 0}, ValueError, "weight_axes names 'n', the parameters are ['m']"),
        (0, TypeError, 'weight_axes must be like {"W": 0}, got 0'),
    ],
)
def test_weight_axes_that_do_not_fit_are_refused_by_the_model(axes, error, piece):
    """And not by the first step with a `max_norm`, after its update."""
    layer = Own(axes)
    with pytest.raises(error, match=re.escape(piece)):
        Model(layer)
    assert layer.owner_model is None
    layer.weight_axes = {"m": -1}
    model = Model(layer, seed=0)
    fit(model, y=X, max_norm=0.1)
    assert np.linalg.norm(layer.m, axis=1).max() <= 0.1 * (1 + 1e-6)


# ---- validation ----------------------------------------------------------------------------------


@pytest.mark.parametrize(("numbers", "rows"), [(10, 1024), (1 << 16, 64), (1 << 20, 4)])
def test_validation_looks_at_few_rows_where_rows_are_large(numbers, rows):
    """16 MB of float32; without copies of the rows."""
    seen = []

    class First(cr.Layer):
        def forward(self, x, training=False):
            if not training:
                seen.append(len(x))
            return x[:, :1], x.shape

        def output_shape(self, input_shape):
            return (1,)

        def backward(self, dy, cache, out=None, need_dx=True):
            return np.broadcast_to(0.0, cache), {}

    model = Model(First(), Dense(1, 1), seed=0)
    zeros = np.broadcast_to(np.float32(0), (1200, numbers))
    fit(model, np.zeros((1, 3), np.float32), np.zeros((1, 1)), batch_size=8,
        validation_data=(zeros, np.zeros((1200, 1))))  # fmt: skip
    assert max(seen) == rows
    assert sum(seen) == 1200


@pytest.mark.parametrize(
    ("options", "piece"),
    [
        ({"validation_data": (X, LABELS + 5)}, "fit: validation_data: SoftmaxCrossEntropy(): "),
        ({"validation_data": (X[:, :2], LABELS)}, "fit: validation_data: Model: x of shape"),
        ({"validation_data": (X, LABELS, -1.0 * LABELS)}, "validation_data: sample_weight must be"),
        ({"validation_data": (X, np.full((20, 3), 1 / 3)), "class_weight": {0: 2.0}},
         "fit: validation_data: class_weight needs one class"),
        ({"validation_data": []}, "fit: validation_data is an empty list"),
        ({"x": [(X, LABELS), (X, LABELS + 5)]}, "fit: batch 2: SoftmaxCrossEntropy(): "),
        ({"x": [(X, LABELS), (X[:, :2], LABELS)]}, "fit: batch 2: Model: x of shape"),
        ({"x": [(X, LABELS), (X, LABELS, LABELS[:2])]}, "fit: batch 2: sample_weight must"),
        ({"x": [(X, LABELS), (X, np.full((20, 3), 1 / 3))], "class_weight": {0: 2.0}},
         "fit: batch 2: class_weight needs one class"),
        ({"validation_data": [(X, LABELS), (X, LABELS + 5)]},
         "fit: validation_data: batch 2: SoftmaxCrossEntropy(): "),
    ],
)  # fmt: skip
def test_a_message_says_which_data_or_which_batch(options, piece):
    x = options.pop("x", X)
    y = None if isinstance(x, list) else LABELS
    with pytest.raises(ValueError, match=re.escape(piece)):
        fit(net(3), x, y, loss=LOSS, **options)


@pytest.mark.parametrize(
    ("x", "piece"),
    [
        (X.tolist(), "batch 1 must be (x, y) or (x, y, sample_weight), got list of 3, with "),
        ((X, LABELS), "batch 1 must be (x, y) or (x, y, sample_weight), got ndarray. "),
    ],
)
def test_rows_without_targets_are_told_from_batches(x, piece):
    with pytest.raises(TypeError, match=re.escape(piece) + r".*pass y as well\."):
        fit(net(3), x, None, loss=LOSS)


def test_a_function_of_no_argument_is_told_what_it_must_take():
    def endless():
        while True:
            yield X, LABELS

    message = r"must take one argument, a random generator, as in def batches\(rng\); got .*endless"
    for options in ({"x": endless, "y": None}, {"y": LABELS, "validation_data": endless}):
        with pytest.raises(TypeError, match=message):
            fit(net(3), loss=LOSS, **options)


def test_no_targets_are_called_none():
    with pytest.raises(TypeError, match=r"train_on_batch: y must be real numbers, got None\."):
        net().train_on_batch(X, None, loss=MeanSquaredError(), optimizer=SGD(lr=0.1))


def test_a_loss_of_two_arguments_is_told_what_it_must_take():
    def mse(target, prediction):
        return 0.0, prediction

    with pytest.raises(TypeError, match=r"mse.*must take \(prediction, target, sample_weight\)"):
        fit(net(), loss=mse)


@pytest.mark.parametrize("stream", [False, True])
def test_an_own_loss_is_called_once_for_each_batch(stream):
    """And before training once on one row of arrays, to see whether it can be called."""
    rows = []

    def mse(prediction, target, sample_weight):
        rows.append(len(prediction))
        return MeanSquaredError()(prediction, target, sample_weight)

    model, batches = net(), [(X[i : i + 5], Y[i : i + 5]) for i in range(0, 20, 5)]
    fit(model, *((batches, None) if stream else (X, Y)), loss=mse, batch_size=5)
    assert rows == ([] if stream else [1]) + [5] * 4
    rows.clear()
    model.train_on_batch(X, Y, loss=mse, optimizer=SGD(lr=0.1))
    model.evaluate(X, Y, loss=mse)
    assert rows == [20, 20]


def test_warnings_of_hooks_and_streams_are_not_swallowed():
    def overflow(*_):
        np.float64(1) / np.float64(0)

    def stream(rng):
        overflow()
        yield X, Y

    hook = cr.LambdaCallback(on_train_batch_end=overflow)
    for options in ({"callbacks": [hook]}, {"x": stream, "y": None}):
        with pytest.warns(RuntimeWarning, match="divide by zero"):
            fit(net(), **options)
    with pytest.warns(RuntimeWarning, match="divide by zero"):
        net().evaluate(stream, loss=MeanSquaredError())


def test_masked_entries_are_not_uncovered():
    """`asarray` gives what lies under the mask, which stands for a gap."""
    masked = np.ma.masked_array(X, mask=X > 2)
    assert masked.mask.any()
    rows = list(masked)  # each with its part of the mask
    nested = [[row] for row in masked]
    for options in (
        {"x": masked},
        {"x": rows},
        {"x": nested},
        {"y": np.ma.masked_array(Y, mask=Y > 1)},
    ):
        with pytest.raises(ValueError, match=r"fit: [xy] has masked entries.*filled"):
            fit(net(), **options)
    one, other = net(), net()
    fit(one, np.ma.masked_array(X))
    fit(other)
    assert np.array_equal(one.parameters, other.parameters)


@pytest.mark.parametrize("kind", ["list", ">f8", *LAYOUTS])
def test_training_does_not_see_how_data_lie_in_memory_and_changes_nothing(kind):
    def laid(array):
        if kind == "list":
            return array.tolist()
        return array.astype(kind) if kind == ">f8" else in_layout(array, kind)

    def train(how):
        x, y, w = (how(array) for array in (X, Y, np.linspace(0.5, 1.5, 20)))
        tests, metrics, callbacks = [how(X[:4]), how(Y[:4])], [cr.R2()], [cr.TerminateOnNaN()]
        given = [x, y, w, *tests]
        before = copy.deepcopy(given)
        model = net(dtype="float32")
        history = fit(
            model, x, y, sample_weight=w, validation_data=tests, metrics=metrics, batch_size=6,
            callbacks=callbacks, optimizer=cr.Adam(0.1), epochs=3, clip_norm=0.1,
        )  # fmt: skip
        predictions = model.predict(x, batch_size=7)
        assert all(np.array_equal(a, b) for a, b in zip(given, before, strict=True))
        assert [type(a) for a in given] == [type(a) for a in before]
        assert (len(tests), len(metrics), len(callbacks)) == (2, 1, 1)
        assert predictions.dtype == model.parameters.dtype == np.float32
        return np.concatenate([model.parameters, predictions.ravel(), *history.values()])

    assert train(laid) == pytest.approx(train(np.copy), rel=1e-5, abs=1e-6)  # BLAS sums otherwise


def test_class_weights_that_came_in_stay_as_they_were():
    weights = {0: 1.0, 2: 3.0}
    options = {"loss": LOSS, "class_weight": weights}
    history = fit(net(3), X, LABELS, **options)
    history.class_weight[0] = 9.0
    net(3).evaluate(X, LABELS, **options)
    assert weights == {0: 1.0, 2: 3.0}


# ---- the figures ---------------------------------------------------------------------------------


def test_a_table_and_a_file_of_figures_that_are_no_floats(tmp_path):
    history = History()
    history.add(0, {"loss": np.float32(0.5), "none": None, "a,b": np.array(2.0), "text": "x y"})
    history.add(1, {"loss": np.nan, "none": 3, "a,b": np.int64(7), "text": "z"})
    assert history.table().splitlines() == [
        "epoch  loss  none  a,b  text",
        "    1   0.5  None    2   x y",
        "    2   nan     3    7     z",
    ]
    history.to_csv(tmp_path / "run.csv")
    assert (tmp_path / "run.csv").read_text().splitlines() == [
        'epoch,loss,none,"a,b",text', "0,0.5,,2.0,x y", "1,nan,3,7,z",
    ]  # fmt: skip


def test_metrics_see_the_rows_that_are_held_back_once():
    """Targets are shown to each metric before training, once, though they are in both parts."""
    rows = []

    class Watch(Accuracy):
        def update(self, prediction, target, sample_weight=None):
            rows.append(len(prediction))
            super().update(prediction, target, sample_weight)

    fit(net(3), y=LABELS, loss=LOSS, metrics=[Watch()], validation_split=0.2, epochs=0)
    assert sum(rows) == 20
