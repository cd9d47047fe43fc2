"""Metrics in use: no rows, rows without weight, arrays that are written anew, sequences. In `fit`
and `evaluate` a result may be an array, which stands in the history and is no monitor."""

from __future__ import annotations

import copy
import math
import pickle
from fractions import Fraction

import numpy as np
import pytest
from metric_helpers import feed, make
from numpy.testing import assert_allclose, assert_array_equal

import chainrule as cr

RNG = np.random.default_rng(3)

NUMBERS = ["Accuracy()", "TopKAccuracy(2)", "ROCAUC()", "R2()", "RootMeanSquaredError()",
           "BinaryAccuracy()", "Precision()", "Recall('macro')", "F1('micro')"]  # fmt: skip
EVERY = [*NUMBERS, "ConfusionMatrix()", "Precision(None)", "Recall(None)", "F1(None)"]
Z, T, W = RNG.normal(size=(12, 2)), np.eye(2)[RNG.integers(2, size=12)], RNG.uniform(1, 2, 12)


@pytest.mark.parametrize("figure", NUMBERS)
def test_no_rows_give_nan(figure):
    metric = make(figure)
    assert math.isnan(metric.result())
    metric.update(Z[:0], T[:0])
    assert math.isnan(metric.result())
    metric.update(Z[:0], T[:0], [])
    assert math.isnan(metric.result())
    metric.update(Z, T, np.zeros(12))
    assert math.isnan(metric.result())


def test_arrays_of_no_rows():
    matrix, share = cr.ConfusionMatrix(), cr.Precision(average=None)
    assert matrix.result().shape == (0, 0)
    assert share.result().shape == (0,)
    for metric in (matrix, share):
        metric.update(Z[:0], T[:0])
    assert_array_equal(matrix.result(), np.zeros((2, 2)))
    assert_array_equal(share.result(), [np.nan, np.nan])


@pytest.mark.parametrize("figure", EVERY)
def test_rows_of_weight_0_take_no_part(figure):
    w = W * (np.arange(12) % 3 > 0)
    z = np.where(w[:, None] > 0, Z, 1e30)
    metric = make(figure)
    expected = feed(metric, Z[w > 0], T[w > 0], w[w > 0])
    assert_allclose(feed(metric, z, T, w, (1, 5)), expected, rtol=1e-12)


@pytest.mark.parametrize("figure", EVERY)
def test_batches_with_and_without_weights_add_up(figure):
    metric = make(figure)
    expected = feed(metric, Z, T, np.r_[np.ones(7), W[7:]])
    metric.reset()
    metric.update(Z[:7], T[:7])
    metric.update(Z[7:], T[7:], W[7:])
    assert_allclose(metric.result(), expected, rtol=1e-12)


@pytest.mark.parametrize("figure", EVERY)
def test_reset_copies_and_what_belongs_to_the_caller(figure):
    metric = make(figure)
    first = feed(metric, Z, T, W)
    kept = first if np.ndim(first) == 0 else first.copy()
    again = copy.deepcopy(metric), pickle.loads(pickle.dumps(metric))
    z, t, w = Z.copy(), T.copy(), W.copy()
    for array in (z, t, w):
        array.flags.writeable = False
    assert_array_equal(feed(metric, z, t, w), kept)
    metric.reset()
    z, t, w = Z.copy(), T.copy(), W.copy()
    metric.update(z, t, w)
    for array in (z, t, w):
        array[:] = 0.5  # the next batch, in the same memory
    assert_array_equal(metric.result(), kept)
    assert_array_equal(metric.result(), kept)  # asking changes nothing
    metric.update(Z[::-1], T)
    assert_array_equal(first, kept)  # a result that was given stays as it was
    for other in again:
        assert_array_equal(other.result(), kept)


@pytest.mark.parametrize(("metric", "score", "truth"), [
    (cr.ROCAUC(), Z[:, 0], Z[:, 1] > 0),
    (cr.ROCAUC(from_logits=False), Z, (Z[:, 1] > 0).astype(int)),
])  # fmt: skip
def test_ranks_are_those_of_the_scores_that_came(metric, score, truth):
    expected = feed(metric, score, truth, W)
    z, t, w = score.copy(), truth.copy(), W.copy()
    metric.reset()
    metric.update(z, t, w)
    z[:], t[:], w[:] = z[::-1].copy(), t[0], 1
    assert metric.result() == expected


@pytest.mark.parametrize("kind", [cr.ConfusionMatrix, lambda: cr.F1(average=None)])
def test_a_result_may_be_written_into(kind):
    metric = kind()
    result = feed(metric, Z, T)
    kept = result.copy()
    result[:] = 0
    assert_array_equal(metric.result(), kept)


@pytest.mark.parametrize("figure", EVERY)
def test_a_refused_batch_changes_nothing(figure):
    metric = make(figure)
    expected = feed(metric, Z, T, W)
    for wrong in ((Z, T[:5]), (Z, T, -W), (Z, T, W[:3]), ([["a", "b"]], T)):
        with pytest.raises((ValueError, TypeError)):
            metric.update(*wrong)
    assert_array_equal(metric.result(), expected)


@pytest.mark.parametrize("make_input", [
    lambda a: a.tolist(), np.asfortranarray, lambda a: a.astype(">f8"),
    lambda a: np.stack([a, a], axis=-1)[..., 0], lambda a: a[::-1].copy()[::-1],
])  # fmt: skip
def test_lists_and_arrays_of_any_layout(make_input):
    for figure in EVERY:
        expected = feed(make(figure), Z, T, W)
        metric = make(figure)
        metric.update(make_input(Z), make_input(T), make_input(W))
        assert_allclose(metric.result(), expected, rtol=1e-12)


def test_positions_of_a_sequence_have_their_row_s_weight():
    z, t = RNG.normal(size=(6, 4, 3)), RNG.integers(3, size=(6, 4))
    w = RNG.uniform(1, 2, size=6)
    for figure in ("Accuracy()", "TopKAccuracy(2)", "ConfusionMatrix()", "F1('macro')", "ROCAUC()"):
        expected = feed(make(figure), z.reshape(24, 3), t.ravel(), np.repeat(w, 4))
        assert_allclose(feed(make(figure), z, t, w, (2,)), expected, rtol=1e-12)
    ones = np.ones(6)  # sequences of two lengths: weights of 1 are no weights
    short, long = (z[:, :1], t[:, :1]), (z, t)
    for figure in ("Accuracy()", "F1('macro')"):
        plain, weighted = make(figure), make(figure)
        for part in (short, long):
            plain.update(*part)
            weighted.update(*part, ones)
        assert plain.result() == pytest.approx(weighted.result(), rel=1e-14)


def test_thresholds_are_for_probabilities():
    z, t = RNG.normal(size=20), RNG.integers(2, size=20)
    p = cr.sigmoid(z)
    for kind in (cr.Precision, cr.Recall, cr.F1, cr.ConfusionMatrix, cr.BinaryAccuracy):
        expected = feed(kind(), z, t)
        assert_array_equal(feed(kind(threshold=0.5), p, t), expected)
        assert not np.array_equal(feed(kind(), p, t), expected)
        assert "threshold=0.5" in repr(kind(threshold=0.5))
    metric = cr.ConfusionMatrix()
    metric.update([0.0, -0.0, 5e-324], [1, 1, 1])  # on the threshold is not above it
    assert metric.result().tolist() == [[0, 0], [2, 1]]


def test_the_confusion_matrix_is_that_of_inspection():
    z, t = RNG.normal(size=(50, 4)), RNG.integers(4, size=50)
    result = feed(cr.ConfusionMatrix(), z, t, cuts=(7, 30))
    assert_array_equal(result, cr.inspection.confusion_matrix(z, t))
    assert result.dtype == np.int64
    assert feed(cr.ConfusionMatrix(), z, t, np.ones(50, int)).dtype == np.float64


@pytest.mark.parametrize("weights", [(None, None), (None, 1), (1, None), (1, 1)])
def test_a_table_of_many_classes_is_that_of_all_rows(weights):
    """Batches that are small beside the table are added in place."""
    metric, expected = cr.ConfusionMatrix(), np.zeros((60, 60))
    results = []
    for weighted in weights * 3:
        z, t = RNG.normal(size=(9, 60)), RNG.integers(60, size=9)
        w = RNG.uniform(1, 2, size=9) if weighted else None
        metric.update(z, t, w)
        for i, (row, truth) in enumerate(zip(z, t, strict=True)):
            expected[truth, row.argmax()] += 1 if w is None else w[i]
        results.append((metric.result(), expected.copy()))
    for result, then in results:
        assert_allclose(result, then, rtol=1e-13)
    assert metric.result().dtype == (np.int64 if weights == (None, None) else np.float64)
    with pytest.raises(ValueError, match="the batches before had 60 classes"):
        metric.update(Z, [0] * 12)


def test_probabilities_are_found_out_in_small_batches_too():
    p = cr.softmax(RNG.normal(size=(8, 3)))
    metric = cr.ROCAUC()
    for i in range(7):  # logits may look so by chance
        metric.update(p[i : i + 1], [i % 3])
    with pytest.raises(ValueError, match="got rows of probabilities"):
        metric.update(p[7:], [0])
    metric.reset()
    metric.update(p[:7], [0, 1, 2, 0, 1, 2, 0])
    metric.update([[3.0, -1, 0]], [0])  # so they were logits
    metric.update(p, [0, 1, 2, 0, 1, 2, 0, 1])


def test_a_perfect_order_has_an_area_of_1_and_none_has_more():
    for n in range(2, 300):
        s, w = RNG.normal(size=n), RNG.uniform(0.1, 3, size=n)
        if 0 < (s > 0).sum() < n:
            assert feed(cr.ROCAUC(), s, s > 0, w) == 1
            assert feed(cr.ROCAUC(), -s, s > 0, w) == 0


def test_names_and_directions():
    for metric, name, higher in (
        (cr.TopKAccuracy(), "top_5_accuracy", True), (cr.TopKAccuracy(k=3), "top_3_accuracy", True),
        (cr.Precision(), "precision", True), (cr.Recall(average="macro"), "macro_recall", True),
        (cr.F1(average="micro"), "micro_f1", True), (cr.F1(average=None), "f1_by_class", None),
        (cr.ConfusionMatrix(), "confusion_matrix", None), (cr.ROCAUC(), "roc_auc", True),
        (cr.R2(), "r2", True), (cr.RootMeanSquaredError(), "root_mean_squared_error", False),
    ):  # fmt: skip
        assert (metric.name, metric.higher_is_better) == (name, higher)


# ---- in fit and evaluate ------------------------------------------------------------------------


def net():
    return cr.Model(cr.Dense(2, 5), cr.Tanh(), cr.Dense(5, 3), seed=0)


X, Y = RNG.normal(size=(40, 2)), RNG.integers(3, size=40)
METRICS = ["ConfusionMatrix()", "F1(None)", "F1('macro')", "TopKAccuracy(2)", "ROCAUC()"]


def fit(model, **options):
    call = {"loss": cr.SoftmaxCrossEntropy(), "optimizer": cr.SGD(0.1), "batch_size": 7}
    call |= {"epochs": 3, "metrics": [make(text) for text in METRICS], "verbose": 0}
    return model.fit(X, Y, **(call | options))


def test_arrays_stand_in_the_history():
    history = fit(net(), validation_data=(X[:9], Y[:9]))
    assert len(history) == 12
    for name, shape in (("confusion_matrix", (3, 3)), ("f1_by_class", (3,)), ("roc_auc", ())):
        for prefix in ("", "val_"):
            figures = history[prefix + name]
            assert [np.shape(figure) for figure in figures] == [shape] * 3
            assert figures[0] is not figures[1]
    assert [int(matrix.sum()) for matrix in history["confusion_matrix"]] == [40] * 3
    assert [int(matrix.sum()) for matrix in history["val_confusion_matrix"]] == [9] * 3


@pytest.mark.parametrize("size", [1, 7, 64, None])
@pytest.mark.parametrize("weight", [None, RNG.uniform(1, 2, size=40)])
def test_evaluate_gives_the_figures_of_all_rows(size, weight):
    model = net()
    figures = model.evaluate(
        X, Y, loss=cr.SoftmaxCrossEntropy(), metrics=[make(text) for text in METRICS],
        sample_weight=weight, batch_size=size,
    )  # fmt: skip
    for text in METRICS:
        metric = make(text)
        metric.update(model(X), Y, weight)
        assert_allclose(figures[metric.name], metric.result(), rtol=1e-5)


def test_numbers_can_be_monitored_and_arrays_cannot():
    stopping = cr.EarlyStopping("val_macro_f1", patience=1)
    history = fit(net(), callbacks=[stopping], validation_data=(X, Y), epochs=20)
    assert stopping.best == max(history["val_macro_f1"])
    for mode in ("auto", "max"):
        with pytest.raises(ValueError, match=r"no 'confusion_matrix' to monitor, only loss, mac"):
            fit(net(), callbacks=[cr.EarlyStopping("confusion_matrix", mode=mode)])


class Strange(cr.metrics.Metric):
    """A metric whose result is anything."""

    name = "strange"

    def __init__(self, results):
        self.results = results

    def reset(self):
        pass

    def update(self, prediction, target, sample_weight=None):
        pass

    def result(self):
        return self.results.pop(0)


@pytest.mark.parametrize("result", [None, "good", {"a": 1}, 1 + 2j, [1, 2], np.ones(2)])
def test_what_is_no_number_is_kept_and_not_shown_or_monitored(result, capsys):
    history = fit(net(), metrics=[Strange([result])], epochs=1, verbose=1)
    assert history["strange"] == [result]
    assert "strange" not in capsys.readouterr().err
    with pytest.raises(TypeError, match="EarlyStopping: 'strange' must be a number"):
        fit(net(), metrics=[Strange([result])], callbacks=[cr.EarlyStopping("strange")])


@pytest.mark.parametrize(
    "kind", [float, np.float32, np.bool_, np.array, np.int16, Fraction], ids=str
)
def test_numbers_of_any_kind_are_shown_and_monitored(kind, capsys):
    buffer = [kind(0), kind(1), kind(0)]
    stopping = cr.EarlyStopping("strange", patience=9)
    fit(net(), metrics=[Strange(buffer)], callbacks=[stopping], verbose=1)
    assert capsys.readouterr().err.count("strange ") == 3
    assert (type(stopping.best), stopping.best, stopping.best_epoch) == (float, 1.0, 1)


def test_progress_shows_numbers_alone(capsys):
    fit(net(), verbose=1, epochs=1)
    line = capsys.readouterr().err
    assert "macro_f1 0." in line
    assert "roc_auc 0." in line
    assert "confusion" not in line
    assert "by_class" not in line
    assert line.count("\n") == 1


def test_curves_of_arrays_are_refused():
    pytest.importorskip("matplotlib")
    history = fit(net(), epochs=1)
    with pytest.raises(ValueError, match="'confusion_matrix' holds an array for each epoch"):
        cr.plots.training_curves(history, figures=["loss", "confusion_matrix"])


def test_one_output_and_numbers_in_fit():
    model = cr.Model(cr.Dense(2, 1), seed=0)
    y = (X[:, :1] > 0).astype(int)
    metrics = [cr.Precision(), cr.Recall(), cr.F1(), cr.ROCAUC(), cr.ConfusionMatrix()]
    call = {"optimizer": cr.SGD(1.0), "epochs": 100, "batch_size": None, "verbose": 0}
    history = model.fit(X, y, loss=cr.BinaryCrossEntropy(), metrics=metrics, **call)
    assert all(history[m.name][-1] > 0.95 for m in metrics[:4])
    model = cr.Model(cr.Dense(2, 1), seed=0)
    metrics = [cr.R2(), cr.RootMeanSquaredError(), cr.MeanSquaredError(), cr.MeanAbsoluteError()]
    history = model.fit(X, X[:, :1], loss=cr.MeanSquaredError(), metrics=metrics,
                        **call | {"optimizer": cr.SGD(0.1)})  # fmt: skip
    assert history["r2"][-1] > 0.99
    rmse = np.array(history["root_mean_squared_error"])
    assert_allclose(rmse**2, history["mean_squared_error"], rtol=1e-5)


def test_two_of_a_kind_stand_side_by_side_under_names_of_their_own():
    strict = cr.Precision(threshold=2.0)
    strict.name = "strict_precision"
    model = cr.Model(cr.Dense(2, 1), seed=0)
    figures = model.evaluate(X, Y[:, None] > 0, loss=cr.BinaryCrossEntropy(),
                             metrics=[cr.Precision(), strict, cr.Precision("macro")])  # fmt: skip
    assert list(figures) == ["loss", "precision", "strict_precision", "macro_precision"]
