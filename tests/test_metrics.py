"""Metrics are fed batch by batch and must give the figure of all rows together, whatever the sizes
of the batches. Every expected value is counted by hand or with plain NumPy on all rows at once."""

from __future__ import annotations

import numpy as np
import pytest

from chainrule import (
    Accuracy,
    BinaryAccuracy,
    BinaryCrossEntropy,
    Dense,
    MeanSquaredError,
    Model,
    RootMeanSquaredError,
    SoftmaxCrossEntropy,
    Tanh,
)
from chainrule.metrics import as_metric

RNG = np.random.default_rng(11)
Z, LABELS = RNG.normal(size=(10, 3)), RNG.integers(3, size=10)
X, W = RNG.normal(size=(10, 3)), RNG.uniform(0.5, 2, size=10)
PARTS = [slice(0, 1), slice(1, 7), slice(7, 10)]


def feed(metric, prediction, target, weight=None):
    for rows in PARTS:
        metric.update(prediction[rows], target[rows], None if weight is None else weight[rows])
    return metric.result()


def test_accuracy_is_the_share_of_right_rows_over_unequal_batches():
    right = Z.argmax(axis=1) == LABELS
    assert 0 < right.sum() < 10
    assert feed(Accuracy(), Z, LABELS) == right.sum() / 10
    assert feed(Accuracy(), Z, np.eye(3)[LABELS]) == right.sum() / 10
    assert feed(Accuracy(), Z, LABELS, W) == pytest.approx(W[right].sum() / W.sum(), rel=1e-14)


def test_accuracy_counts_every_position_of_a_sequence():
    z = np.array([[[2.0, 1], [0, 1]], [[3, 4], [5, 4]]])  # classes 0 1, 1 0
    target = np.array([[0, 0], [1, 0]])
    metric = Accuracy()
    metric.update(z, target)
    assert metric.result() == 3 / 4
    metric.reset()
    metric.update(z, target, [1, 3])  # rows of 1/2 and of 1
    assert metric.result() == (1 * 0.5 + 3 * 1) / 4


def test_binary_accuracy_looks_at_the_side_of_the_threshold():
    z, t = Z[:, :1], (LABELS > 0)[:, None].astype(float)
    right = ((z > 0) == (t == 1)).ravel()
    assert 0 < right.sum() < 10
    assert feed(BinaryAccuracy(), z, t) == right.mean()
    assert feed(BinaryAccuracy(), z, t, W) == pytest.approx(W[right].sum() / W.sum(), rel=1e-14)
    p = 1 / (1 + np.exp(-z))
    assert feed(BinaryAccuracy(threshold=0.5), p, t) == right.mean()
    assert feed(BinaryAccuracy(), p, t) == t.mean()  # all probabilities are above 0
    for kind in (int, bool, "float32"):
        assert feed(BinaryAccuracy(), z, t.astype(kind)) == right.mean()


@pytest.mark.parametrize("weight", [None, W])
def test_losses_as_metrics_are_the_weighted_mean_of_all_rows(weight):
    w = np.ones(10) if weight is None else weight
    softmax = np.exp(Z) / np.exp(Z).sum(axis=1, keepdims=True)
    one_hot = np.eye(3)[LABELS]
    sigma = 1 / (1 + np.exp(-Z))
    binary = -(one_hot * np.log(sigma) + (1 - one_hot) * np.log(1 - sigma)).mean(axis=1)
    for loss, target, losses, name in (
        (MeanSquaredError(), one_hot, ((Z - one_hot) ** 2).mean(axis=1), "mean_squared_error"),
        (SoftmaxCrossEntropy(), LABELS, -np.log(softmax[range(10), LABELS]),
         "softmax_cross_entropy"),
        (BinaryCrossEntropy(), one_hot, binary, "binary_cross_entropy"),
    ):  # fmt: skip
        metric = as_metric(loss)
        assert metric.name == name
        assert not metric.higher_is_better
        assert feed(metric, Z, target, weight) == pytest.approx(
            (w * losses).sum() / w.sum(), rel=1e-12
        )


@pytest.mark.parametrize("make", [Accuracy, BinaryAccuracy, lambda: as_metric(MeanSquaredError())])
def test_reset_forgets_and_nothing_gives_nan(make):
    metric = make()
    z, target = Z[:4, :2], np.eye(2)[[0, 1, 0, 1]]
    assert np.isnan(metric.result())
    metric.update(z, target)
    first = metric.result()
    metric.update(-z, target)
    metric.reset()
    assert np.isnan(metric.result())
    metric.update(z, target)
    assert metric.result() == first
    assert type(first) is float


def test_names_and_directions_are_those_of_the_history():
    assert [m.name for m in (Accuracy(), BinaryAccuracy())] == ["accuracy", "binary_accuracy"]
    assert Accuracy().higher_is_better
    assert BinaryAccuracy().higher_is_better


def test_a_squared_error_is_the_square_of_its_root_with_weights_and_lengths():
    """Sequences of two lengths, and a row without weight: each entry counts with its row's."""
    square, root, total, of = as_metric(MeanSquaredError()), RootMeanSquaredError(), 0, 0
    for length in (1, 4):
        p, t = RNG.normal(size=(2, 3, length, 2))
        w = np.array([0.0, 1, 2])
        square.update(p, t, w)
        root.update(p, t, w)
        total += (w * ((p - t) ** 2).sum(axis=(1, 2))).sum()
        of += w.sum() * length * 2
    assert square.result() == pytest.approx(total / of, rel=1e-12)
    assert root.result() == pytest.approx(np.sqrt(total / of), rel=1e-12)


def test_a_batch_of_no_rows_adds_nothing_to_a_loss():
    metric = as_metric(SoftmaxCrossEntropy())
    metric.update(Z[:0], LABELS[:0])
    assert np.isnan(metric.result())
    expected = SoftmaxCrossEntropy()(Z, LABELS)[0]
    for rows in (slice(0, 4), slice(4, 4), slice(4, 10)):
        metric.update(Z[rows], LABELS[rows])
    assert metric.result() == pytest.approx(expected, rel=1e-14)


def test_the_loss_of_a_fit_is_still_divided_by_the_rows():
    model = Model(Dense(3, 3), seed=0, dtype="float64")
    loss = MeanSquaredError()
    call = {"loss": loss, "metrics": [loss], "sample_weight": W}
    figures = model.evaluate(X, Z, **call, batch_size=4)
    losses = ((model(X) - Z) ** 2).mean(axis=1)
    assert figures["loss"] == pytest.approx((W * losses).sum() / 10, rel=1e-12)
    assert figures["mean_squared_error"] == pytest.approx(np.average(losses, weights=W), rel=1e-12)


@pytest.mark.parametrize("name", ["", None, 3, "epoch", "val_loss"])
def test_names_that_mean_something_else_in_a_history_are_refused(name):
    metric = Accuracy()
    metric.name = name
    with pytest.raises(ValueError, match="set its `name`"):
        as_metric(metric)


@pytest.mark.parametrize("size", [None, 1, 3, 10, 64])
def test_evaluate_is_the_formula_whatever_the_batches(size):
    model = Model(Dense(3, 4), Tanh(), Dense(4, 3), seed=0, dtype="float64")
    before = model.state_dict()
    figures = model.evaluate(
        X, LABELS, loss=SoftmaxCrossEntropy(), metrics=[Accuracy()], sample_weight=W,
        batch_size=size,
    )  # fmt: skip
    z = model(X)
    losses = np.log(np.exp(z).sum(axis=1)) - z[range(10), LABELS]
    right = z.argmax(axis=1) == LABELS
    assert figures == {
        "loss": pytest.approx((W * losses).sum() / 10, rel=1e-12),
        "accuracy": pytest.approx((W * right).sum() / W.sum(), rel=1e-12),
    }
    assert all(np.array_equal(before[name], a) for name, a in model.state_dict().items())


def test_predict_in_parts_is_predict_at_once():
    model = Model(Dense(3, 4), Tanh(), Dense(4, 3), seed=0, dtype="float64")
    expected = model(X)
    for size in (None, 1, 4, 6, 100):
        np.testing.assert_allclose(model.predict(X, batch_size=size), expected, rtol=1e-12)
    for size in (0, -1, 2.5, True):
        with pytest.raises((ValueError, TypeError), match="batch_size"):
            model.predict(X, batch_size=size)


@pytest.mark.parametrize(
    ("metric", "prediction", "target", "sentence"),
    [
        (Accuracy(), Z[:, :1], LABELS, r"\(10, 1\).*BinaryAccuracy"),
        (Accuracy(), Z[:, 0], LABELS, r"\(10,\).*BinaryAccuracy"),
        (Accuracy(), Z, LABELS[:, None], r"\(10,\).*\(10, 3\), got \(10, 1\)"),
        (Accuracy(), Z, LABELS[:4], r"got \(4,\)"),
        (Accuracy(), Z, LABELS / 1, "must be integers"),
        (Accuracy(), Z, LABELS.astype(str), "real numbers"),
        (Accuracy(), Z, Z, "one-hot"),
        (BinaryAccuracy(), Z[:, :1], LABELS > 0, r"\(10, 1\), got \(10,\)"),
        (BinaryAccuracy(), Z[:, 0], LABELS, "0 or 1"),
        (BinaryAccuracy(), Z[:, 0], Z[:, 0], "0 or 1"),
        (BinaryAccuracy(), Z[:, 0], (LABELS > 0).astype(str), "real numbers"),
        (as_metric(MeanSquaredError()), Z, LABELS, r"\(10, 3\), got \(10,\)"),
    ],
)
def test_targets_that_do_not_fit_are_refused(metric, prediction, target, sentence):
    with pytest.raises((ValueError, TypeError), match=sentence):
        metric.update(prediction, target)


@pytest.mark.parametrize("weight", [W[:3], W[:, None], -W, np.full(10, np.nan)])
def test_wrong_weights_are_refused(weight):
    for metric in (Accuracy(), as_metric(SoftmaxCrossEntropy())):
        with pytest.raises(ValueError, match="sample_weight"):
            metric.update(Z, LABELS, weight)


def test_options_and_things_that_are_no_metrics_are_refused():
    for threshold in (np.nan, np.inf, "0", None):
        with pytest.raises((ValueError, TypeError), match="threshold"):
            BinaryAccuracy(threshold)
    for wrong in ("accuracy", Accuracy, MeanSquaredError, None, 3):
        with pytest.raises(TypeError, match=r"metrics: .*(write|as in)"):
            as_metric(wrong)


def test_evaluate_refuses_two_metrics_of_one_name():
    model = Model(Dense(3, 3), seed=0)
    metrics = [BinaryAccuracy(), BinaryAccuracy(threshold=0.5)]
    with pytest.raises(ValueError, match="a name of its own"):
        model.evaluate(X, np.eye(3)[LABELS], loss=MeanSquaredError(), metrics=metrics)
