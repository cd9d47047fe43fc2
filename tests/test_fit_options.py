"""What `fit` does beside the plain loop: clipping, penalties, bounds, accumulation, weights of
classes, and what it holds back. Each is compared with its formula or with the plain loop."""

from __future__ import annotations

import re

import numpy as np
import pytest
from cases import OPTIMIZERS

import chainrule as cr
from chainrule import (
    SGD,
    Accuracy,
    AdamW,
    BatchNorm,
    Dense,
    Dropout,
    Embedding,
    Flatten,
    LayerNorm,
    MeanSquaredError,
    Model,
    PReLU,
    ReLU,
    SoftmaxCrossEntropy,
)
from chainrule.data import classes_of, split_rows
from chainrule.losses.base import Elementwise
from chainrule.steps import length

RNG = np.random.default_rng(3)
X, Y = RNG.normal(size=(20, 3)), RNG.normal(size=(20, 2))
LABELS = np.array([0, 0, 1, 0, 2] * 4)  # 12, 4 and 4
W = RNG.uniform(0.5, 2, size=20)


def net(out=2, seed=0, dtype="float64"):
    return Model(Dense(3, 4), cr.Tanh(), Dense(4, out), seed=seed, dtype=dtype)


def fit(model, y=Y, x=X, **options):
    options = {"loss": MeanSquaredError(), "optimizer": SGD(lr=0.1), "verbose": 0, **options}
    return model.fit(x, y, **options)


def gradient(model, x=X, y=Y, loss=None, weight=None):
    prediction, caches = model.forward(x, training=True)
    model.backward((loss or MeanSquaredError())(prediction, y, weight)[1], caches)
    return model.gradients.copy()


def one_step(change, **options):
    """Weights after a step of SGD with rate 1 on all rows, and what `change` makes of g."""
    model = net()
    before, g = model.parameters.copy(), gradient(model)
    fit(model, optimizer=SGD(lr=1.0), batch_size=None, **options)
    return model.parameters, before - change(g, before)


# ---- between gradient and update -----------------------------------------------------------------


@pytest.mark.parametrize("part", [0.1, 0.9, 3.0])
def test_clip_norm_shortens_and_keeps_the_direction(part):
    norm = np.linalg.norm(gradient(net()))
    after, expected = one_step(
        lambda g, p: g * min(1, part * norm / np.linalg.norm(g)), clip_norm=part * norm
    )
    np.testing.assert_allclose(after, expected, rtol=1e-12)


def test_clip_value_bounds_each_entry():
    after, expected = one_step(lambda g, p: np.clip(g, -0.05, 0.05), clip_value=0.05)
    np.testing.assert_allclose(after, expected, rtol=1e-12)
    assert (np.abs(gradient(net())) > 0.05).any()


@pytest.mark.parametrize("scale", [1e-25, 1.0, 1e25])
def test_the_norm_of_a_gradient_whose_squares_float32_cannot_hold(scale):
    g = np.array([3, -4], np.float32) * np.float32(scale)
    with np.errstate(over="ignore"):  # as in fit
        assert length(g) == pytest.approx(5 * scale, rel=1e-6)
    assert length(np.zeros(3, np.float32)) == 0


def test_l1_adds_the_sign_of_the_weights():
    after, expected = one_step(lambda g, p: g + 0.3 * np.sign(p), l1=0.3)
    np.testing.assert_allclose(after, expected, rtol=1e-12)


def test_l1_is_the_gradient_of_the_penalty():
    """By central differences of loss + l1 sum |w|."""
    model, l1, step = net(), 0.3, 1e-6

    def objective(p):
        model.parameters[:] = p
        return MeanSquaredError()(model(X), Y)[0] + l1 * np.abs(p).sum()

    start = model.parameters.copy()
    numeric = [
        (objective(start + step * e) - objective(start - step * e)) / (2 * step)
        for e in np.eye(len(start))
        if e @ start  # no derivative at 0, where the biases are
    ]
    model.parameters[:] = start
    fit(model, optimizer=SGD(lr=1.0), batch_size=None, l1=l1)
    np.testing.assert_allclose((start - model.parameters)[start != 0], numeric, rtol=1e-7)


def test_the_history_is_the_loss_without_the_penalty():
    plain = fit(net(), optimizer=SGD(lr=0.0), batch_size=None)["loss"]
    assert fit(net(), optimizer=SGD(lr=0.0), batch_size=None, l1=9.0)["loss"] == plain


LAYERS = [Dense(3, 4), BatchNorm(4), PReLU(4), LayerNorm((4,)), Dense(4, 2)]


def mixed():
    import copy

    model = Model(*map(copy.deepcopy, LAYERS), seed=0, dtype="float64")
    for array in model.named_parameters().values():
        array[...] = np.random.default_rng(7).uniform(0.5, 1.5, size=array.shape)
    return model


@pytest.mark.parametrize(
    "options",
    [{"optimizer": AdamW(lr=0.1, weight_decay=0.5)}, {"optimizer": SGD(lr=0.1), "l1": 0.5}],
    ids=["weight decay", "l1"],
)
def test_biases_and_norms_are_left_out_of_the_decay(options):
    """With a gradient of zero only the decay moves anything."""

    class Nothing(Elementwise):
        def terms(self, p, t):
            return 0 * p, 0 * p

    decayed = {}
    for decay in ("all", "weights"):
        model = mixed()
        before = {name: array.copy() for name, array in model.named_parameters().items()}
        one = {name: v for name, v in options.items() if name != "optimizer"}
        optimizer = type(options["optimizer"])(
            lr=0.1, weight_decay=options["optimizer"].weight_decay
        )
        fit(model, loss=Nothing(), batch_size=None, optimizer=optimizer, decay=decay, **one)
        after = model.named_parameters()
        decayed[decay] = {n for n in before if not np.array_equal(before[n], after[n])}
    assert decayed["all"] == set(before)
    assert decayed["weights"] == {"0.W", "4.W"}


def test_an_own_layer_says_which_of_its_arrays_are_weights():
    class Own(cr.Layer):
        def __init__(self, axes):
            super().__init__()
            if axes is not None:
                self.weight_axes = axes
            self.add_parameter("matrix", (2, 2))
            self.add_parameter("vector", (2,))

        def forward(self, x, training=False):
            return x @ self.matrix * self.vector, None

        def backward(self, dy, cache, out=None, need_dx=True):
            return dy, {"matrix": np.zeros((2, 2)), "vector": np.zeros(2)}

    x = np.ones((2, 2))
    for axes, moved in [(None, {"0.matrix"}), ({}, set()), ({"vector": 0}, {"0.vector"})]:
        model = Model(Own(axes), seed=0)
        before = {name: array.copy() for name, array in model.named_parameters().items()}
        optimizer = SGD(lr=0.1, weight_decay=0.1)
        model.fit(x, x, loss=MeanSquaredError(), optimizer=optimizer, decay="weights", verbose=0)
        after = model.named_parameters()
        assert {n for n in before if not np.array_equal(before[n], after[n])} == moved


def test_max_norm_bounds_the_weights_of_each_unit():
    model = Model(Embedding(5, 3), Flatten(), Dense(6, 4), cr.Tanh(), Dense(4, 2), seed=0)
    x = np.random.default_rng(0).integers(0, 5, size=(20, 2))
    free, bound = np.array(model.layers[0].W), 0.7
    options = {"loss": SoftmaxCrossEntropy(), "optimizer": SGD(lr=0.0), "verbose": 0}
    model.fit(x, LABELS % 2, max_norm=bound, **options)
    norms = np.linalg.norm(free, axis=1, keepdims=True)
    expected = free * np.minimum(1, bound / norms)
    np.testing.assert_allclose(model.layers[0].W, expected, rtol=1e-6)
    assert (norms > bound).sum() > 0
    assert np.linalg.norm(model.layers[2].W, axis=0).max() <= bound * (1 + 1e-6)
    options["optimizer"] = SGD(lr=1.0)
    model.fit(x, LABELS % 2, max_norm=bound, epochs=5, **options)
    for layer, axis in [(0, 1), (2, 0), (4, 0)]:
        assert np.linalg.norm(model.layers[layer].W, axis=axis).max() <= bound * (1 + 1e-6)


def test_max_norm_holds_weights_whose_squares_float32_cannot():
    model = Model(Dense(2, 1), seed=0)
    model.layers[0].W = [[3e25], [4e25]]
    fit(model, np.zeros((2, 1)), np.zeros((2, 2)), optimizer=SGD(lr=0.0), max_norm=2.0)
    np.testing.assert_allclose(model.layers[0].W, [[1.2], [1.6]], rtol=1e-6)


@pytest.mark.parametrize("make", OPTIMIZERS.values(), ids=OPTIMIZERS)
def test_frozen_layers_do_not_move_whatever_is_asked_for(make):
    model = mixed()
    model.layers[1].trainable = model.layers[4].trainable = False
    before = {name: array.copy() for name, array in model.named_parameters().items()}
    fit(
        model, optimizer=make(), epochs=3, l1=0.1, max_norm=0.1, clip_norm=0.5, decay="weights",
        accumulate=2, batch_size=4,
    )  # fmt: skip
    after = model.named_parameters()
    still = {n for n in before if np.array_equal(before[n], after[n])}
    assert still == {"1.gamma", "1.beta", "4.W", "4.b"}


def test_frozen_layers_have_no_part_in_the_norm():
    model = net()
    model.layers[2].trainable = False
    g = gradient(model)
    before, bound = model.parameters.copy(), np.linalg.norm(g) / 2
    fit(model, optimizer=SGD(lr=1.0), batch_size=None, clip_norm=bound)
    assert np.linalg.norm(before - model.parameters) == pytest.approx(bound, rel=1e-12)


def test_one_batch_takes_the_same_options():
    options = {"l1": 0.1, "decay": "weights", "max_norm": 1.0, "clip_norm": 0.2}
    by_fit, by_hand = net(), net()
    fit(by_fit, batch_size=None, shuffle=False, **options)
    by_hand.train_on_batch(X, Y, loss=MeanSquaredError(), optimizer=SGD(lr=0.1), **options)
    assert np.array_equal(by_fit.parameters, by_hand.parameters)


def test_the_loss_of_one_batch_changes_nothing():
    model = Model(Dense(3, 4), BatchNorm(4), Dropout(0.5), Dense(4, 2), seed=0, dtype="float64")
    before, rng = model.state_dict(), model.layers[2].rng.bit_generator.state
    value = model.test_on_batch(X, Y, loss=MeanSquaredError(), sample_weight=W)
    assert type(value) is float
    assert value == pytest.approx((W[:, None] * (model(X) - Y) ** 2).mean(), rel=1e-12)
    assert all(np.array_equal(before[n], a) for n, a in model.state_dict().items())
    assert model.layers[2].rng.bit_generator.state == rng


# ---- accumulation --------------------------------------------------------------------------------


@pytest.mark.parametrize("make", OPTIMIZERS.values(), ids=OPTIMIZERS)
@pytest.mark.parametrize("weight", [None, W])
def test_parts_of_a_batch_make_the_step_of_the_whole(make, weight):
    """Of 20 rows: steps of 12 and 8 in parts of 4, and of 15 and 5 in parts of 5."""
    for whole, part, k in [(12, 4, 3), (15, 5, 3), (20, 7, 3)]:
        one, other = net(), net()
        options = {"epochs": 3, "sample_weight": weight}
        a = fit(one, batch_size=whole, optimizer=make(), **options)
        b = fit(other, batch_size=part, accumulate=k, optimizer=make(), **options)
        if part * k == whole:
            np.testing.assert_allclose(other.parameters, one.parameters, rtol=1e-9, atol=1e-12)
            np.testing.assert_allclose(b["loss"], a["loss"], rtol=1e-12)


@pytest.mark.parametrize("k", [1, 3, 50])
def test_the_last_step_takes_what_is_left(k):
    steps = []

    class Watch(cr.Callback):
        def on_train_batch_end(self, batch, logs):
            steps.append(batch)

    watch, optimizer = Watch(), SGD(lr=0.1)
    fit(net(), batch_size=3, accumulate=k, optimizer=optimizer, callbacks=[watch])
    assert steps == list(range(-(-7 // k)))
    assert watch.params["steps"] == optimizer.steps == len(steps)


def test_metrics_see_every_part():
    one, other = net(3), net(3)
    options = {"loss": SoftmaxCrossEntropy(), "metrics": [Accuracy(), cr.ROCAUC()]}
    a = fit(one, LABELS, batch_size=20, **options)
    b = fit(other, LABELS, batch_size=7, accumulate=3, **options)
    assert b["accuracy"] == a["accuracy"]
    assert b["roc_auc"] == pytest.approx(a["roc_auc"], rel=1e-12)


def test_a_part_that_is_not_finite_undoes_the_step():
    x = X.copy()
    x[19] = np.inf
    model = Model(Dense(3, 4), BatchNorm(4), Dense(4, 2), seed=0, dtype="float64")
    before = model.state_dict()
    with pytest.raises(cr.DivergenceError, match="epoch 1, step 1"):
        fit(model, x=x, batch_size=5, accumulate=4, shuffle=False)
    assert all(np.array_equal(before[n], a) for n, a in model.state_dict().items())


# ---- weights of classes --------------------------------------------------------------------------

GIVEN = {0: 0.5, 2: 3.0}
BY_ROW = np.array([{0: 0.5, 1: 1.0, 2: 3.0}[c] for c in LABELS])


@pytest.mark.parametrize("targets", [LABELS, np.eye(3)[LABELS]], ids=["indices", "one-hot"])
@pytest.mark.parametrize("weight", [None, W])
def test_class_weight_is_a_weight_of_each_row(targets, weight):
    one, other = net(3), net(3)
    options = {"loss": SoftmaxCrossEntropy(), "epochs": 3, "batch_size": 6}
    by_row = BY_ROW if weight is None else BY_ROW * W
    a = fit(one, targets, sample_weight=by_row, **options)
    b = fit(other, targets, sample_weight=weight, class_weight=GIVEN, **options)
    np.testing.assert_allclose(other.parameters, one.parameters, rtol=1e-12)
    np.testing.assert_allclose(b["loss"], a["loss"], rtol=1e-12)
    assert b.class_weight == GIVEN


def test_balanced_weights():
    """scikit-learn 1.9: compute_class_weight("balanced", classes=[0, 1, 2], y=LABELS)."""
    history = fit(net(3), LABELS, loss=SoftmaxCrossEntropy(), class_weight="balanced")
    expected = {0: 0.5555555555555556, 1: 1.6666666666666667, 2: 1.6666666666666667}
    assert history.class_weight == pytest.approx(expected, rel=1e-15)


def test_balanced_weights_for_yes_and_no():
    yes = (LABELS == 1).astype(float)[:, None]  # 4 of 20
    for loss, y in [(cr.BinaryCrossEntropy(), yes), (cr.Hinge(), 2 * yes - 1)]:
        history = fit(net(1), y, loss=loss, class_weight="balanced")
        no = 0 if loss.takes_logits else -1
        assert history.class_weight == {no: 20 / (2 * 16), 1: 20 / (2 * 4)}


def test_balanced_weights_count_the_rows_to_train_on():
    history = fit(
        net(3), LABELS, loss=SoftmaxCrossEntropy(), class_weight="balanced", validation_split=0.25
    )
    assert history.class_weight == {0: 15 / (3 * 9), 1: 15 / (3 * 3), 2: 15 / (3 * 3)}


def test_metrics_do_not_see_class_weights_and_the_validation_loss_does():
    model = net(3)
    options = {"loss": SoftmaxCrossEntropy(), "metrics": [Accuracy(), MeanIsRows()]}
    data = (X[:7], LABELS[:7])
    history = fit(
        model, LABELS, optimizer=SGD(lr=0.0), class_weight=GIVEN, validation_data=data, **options
    )
    plain = model.evaluate(*data, **options)
    assert history["accuracy"] == [model.evaluate(X, LABELS, **options)["accuracy"]]
    assert history["val_accuracy"] == [plain["accuracy"]]
    weighted = model.evaluate(*data, **options, class_weight=history.class_weight)
    by_row = SoftmaxCrossEntropy()(model(data[0]), data[1], BY_ROW[:7])[0]
    assert history["val_loss"] == [weighted["loss"]] != [plain["loss"]]
    assert weighted["loss"] == pytest.approx(by_row, rel=1e-12)
    assert model.test_on_batch(
        *data, loss=SoftmaxCrossEntropy(), class_weight=GIVEN
    ) == pytest.approx(by_row, rel=1e-12)


class MeanIsRows(cr.metrics.Metric):
    """Remembers whether it saw weights."""

    name = "seen"

    def reset(self):
        self.seen = 0

    def update(self, prediction, target, sample_weight=None):
        self.seen += sample_weight is not None

    def result(self):
        assert not self.seen
        return 0.0


# ---- what is held back ---------------------------------------------------------------------------


@pytest.mark.parametrize(("n", "share", "held"), [(10, 0.2, 2), (11, 0.3, 3), (3, 0.01, 1)])
def test_the_tail_is_held_back_on_request(n, share, held):
    model, x = Model(Dense(1, 1), seed=0, dtype="float64"), np.arange(float(n))[:, None]
    history = fit(
        model, x, x, optimizer=SGD(lr=0.0), validation_split=share, validation_from="tail"
    )
    tail = model.evaluate(x[-held:], x[-held:], loss=MeanSquaredError())["loss"]
    rest = model.evaluate(x[:-held], x[:-held], loss=MeanSquaredError())["loss"]
    assert history["val_loss"] == pytest.approx([tail], rel=1e-12)
    assert history["loss"] == pytest.approx([rest], rel=1e-12)


def test_a_split_depends_on_seed_rows_and_classes_alone():
    for classes in (None, np.arange(40) % 3):
        one = split_rows("", 40, 0.25, [5, 40], classes)
        again = split_rows("", 40, 0.25, [5, 40], classes)
        other = split_rows("", 40, 0.25, [6, 40], classes)
        assert all(np.array_equal(a, b) for a, b in zip(one, again, strict=True))
        assert not np.array_equal(one[1], other[1])


@pytest.mark.parametrize("n", [4, 10, 97, 1000])
@pytest.mark.parametrize("share", [0.1, 0.25, 0.5, 0.7])
def test_each_class_gives_its_share(n, share):
    for seed in range(20):
        classes = np.random.default_rng(seed).choice(4, p=[0.6, 0.2, 0.15, 0.05], size=n)
        rest, held = split_rows("", n, share, seed, classes)
        assert len(held) == max(1, round(n * share))
        assert np.array_equal(np.sort(np.concatenate([rest, held])), np.arange(n))
        for c in range(4):
            wanted = len(held) / n * np.count_nonzero(classes == c)
            assert abs(np.count_nonzero(classes[held] == c) - wanted) < 1


@pytest.mark.parametrize("classes", [None, np.arange(30), np.arange(30) % 2])
def test_every_row_is_held_back_as_often(classes):
    """1,200 splits of a fifth: 240 times each, with a standard deviation of 14."""
    counts = np.zeros(30)
    for seed in range(1200):
        counts[split_rows("", 30, 0.2, seed, classes)[1]] += 1
    assert abs(counts - 240).max() < 4.5 * np.sqrt(1200 * 0.2 * 0.8)


def test_classes_are_known_by_their_looks():
    ones = np.eye(3)[[0, 2, 1]]
    for y, expected in [
        (np.array([3, 1, 3]), [3, 1, 3]),
        (np.array([[3], [1]]), [3, 1]),
        (np.array([True, False]), [1, 0]),
        (np.array([0.0, 1.0]), [0, 1]),
        (np.array([[-1.0], [1.0]]), [-1, 1]),
        (ones, [0, 2, 1]),
        (ones.astype(int), [0, 2, 1]),
    ]:
        assert classes_of(y).tolist() == expected
    for y in [
        np.array([0.0, 0.5]), np.array([0.0, 1, 2]), np.array([-1.0, 0, 1]), ones * 0.5,
        np.array([[1, 1], [0, 1]]), np.zeros((3, 4)), np.zeros((3, 1, 1)), np.array([np.nan, 1]),
    ]:  # fmt: skip
        assert classes_of(y) is None


def test_the_split_is_the_same_for_indices_and_one_hot_and_in_a_second_fit():
    y, seen = np.arange(20) % 2, []

    class Watch(MeanSquaredError):
        def formula(self, prediction, target, weight):
            seen[-1].update(prediction.ravel().round(6).tolist())
            return super().formula(prediction, target, weight)

    for targets in (y[:, None], y[:, None].astype(float), y[:, None]):
        seen.append(set())
        model = Model(Dense(1, 1, bias=False), seed=4, dtype="float64")
        model.layers[0].W = [[1.0]]
        x = np.arange(20.0)[:, None]
        for _ in range(2):
            fit(model, targets, x, loss=Watch(), optimizer=SGD(lr=0.0), validation_split=0.3)
        assert len(seen[-1]) == 20
    trained = []
    for targets in (y, np.eye(2)[y]):
        model = net(2)
        fit(model, targets, loss=SoftmaxCrossEntropy(), validation_split=0.3, epochs=2)
        trained.append(model.parameters)
    np.testing.assert_allclose(*trained, rtol=1e-12)


# ---- what is refused -----------------------------------------------------------------------------

TE, VE = TypeError, ValueError


@pytest.mark.parametrize(
    ("options", "error", "piece"),
    [
        ({"class_weight": {3: 1.0}}, VE, "class 3, but no row to train on is of it"),
        ({"class_weight": {0: -1.0}}, VE, "the weight of class 0"),
        ({"class_weight": {0: np.nan}}, VE, "the weight of class 0"),
        ({"class_weight": {"a": 1.0}}, TE, "class numbers, got 'a'"),
        ({"class_weight": "equal"}, TE, '"balanced" or a dictionary'),
        ({"class_weight": [1.0, 2.0]}, TE, '"balanced" or a dictionary'),
        ({"class_weight": "balanced", "y": LABELS % 2}, VE, "no row to train on is of class 2"),
        ({"clip_norm": 0}, VE, "clip_norm"),
        ({"clip_norm": "1"}, TE, "clip_norm"),
        ({"clip_value": -1.0}, VE, "clip_value"),
        ({"clip_norm": 1.0, "clip_value": 1.0}, VE, "not both"),
        ({"l1": -1.0}, VE, "l1"),
        ({"l1": np.nan}, VE, "l1"),
        ({"max_norm": 0.0}, VE, "max_norm"),
        ({"decay": "biases"}, VE, '"all" or "weights"'),
        ({"accumulate": 0}, VE, "accumulate"),
        ({"accumulate": 1.5}, TE, "accumulate"),
        ({"workers": 0}, VE, "workers must be an integer, at least 1"),
        ({"workers": "2"}, TE, "workers must be an integer, at least 1"),
        ({"steps_per_epoch": 3}, VE, "steps_per_epoch is for batches"),
        ({"validation_from": "head"}, VE, '"random" or "tail"'),
        ({"validation_split": 0.99}, VE, "leaves nothing to train on"),
    ],
)
def test_wrong_options_are_refused_before_anything_changes(options, error, piece):
    model, optimizer = net(3), cr.Adam()
    before = model.parameters.copy()
    y = options.pop("y", LABELS)
    with pytest.raises(error, match=re.escape(piece)):
        fit(model, y, loss=SoftmaxCrossEntropy(), optimizer=optimizer, **options)
    assert np.array_equal(model.parameters, before)
    assert optimizer.steps == 0


def test_class_weights_need_classes():
    with pytest.raises(ValueError, match=r"integers \(N,\), 0 and 1, or one-hot; got float64"):
        fit(net(), class_weight={0: 1.0})
    with pytest.raises(ValueError, match="no row to train on is of class 1"):
        fit(net(1), np.zeros((20, 1)), loss=cr.BinaryCrossEntropy(), class_weight="balanced")


def test_one_class_may_be_weighed_by_name():
    history = fit(net(3), 0 * LABELS, loss=SoftmaxCrossEntropy(), class_weight={0: 2.0})
    assert history.class_weight == {0: 2.0}


@pytest.mark.parametrize("workers", [1, 2])
def test_a_step_with_options_is_float32_throughout(workers):
    model = Model(Dense(3, 4), BatchNorm(4), ReLU(), Dense(4, 3), seed=0)
    fit(
        model, LABELS, loss=SoftmaxCrossEntropy(), class_weight="balanced", sample_weight=W, l1=0.1,
        max_norm=1.0, clip_norm=1.0, accumulate=2, batch_size=4, decay="weights", workers=workers,
    )  # fmt: skip
    arrays = {**model.named_parameters(), **model.named_buffers(), **model.named_gradients()}
    assert {array.dtype for array in arrays.values()} == {np.dtype("float32")}
