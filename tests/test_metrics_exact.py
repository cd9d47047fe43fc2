"""Every metric gives the figure of all rows together, whatever the batches, also where it is
undefined. It is scikit-learn's, stored in reference/metrics.npz, and that of a plain loop."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
from metric_helpers import CUTS, feed, make
from numpy.testing import assert_allclose

import chainrule as cr
from chainrule.metrics.ranking import log_odds

REFERENCE = dict(np.load(Path(__file__).parent / "reference" / "metrics.npz"))
CASES = sorted({name.split("/")[0] for name in REFERENCE} - {"versions"})
RNG = np.random.default_rng(3)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("case", CASES)
def test_all_metrics_are_those_of_scikit_learn_whatever_the_batches(case, dtype):
    p, t, w = (REFERENCE[f"{case}/{role}"] for role in "ptw")
    p, t = p.astype(dtype), t.astype(dtype) if t.dtype.kind == "f" else t
    shapes = [(p, t)]
    if p.ndim == 1:
        shapes.append((p[:, None], t[:, None]))  # as a model gives it
    elif t.ndim == 1:
        shapes.append((p, np.eye(p.shape[1], dtype=dtype)[t]))
    for name, weight in (("plain", None), ("weighted", w), ("weighted", w.astype("float32"))):
        values = REFERENCE[f"{case}/{dtype}/{name}"]
        for figure in REFERENCE[f"{case}/figures"]:
            metric = make(figure)
            size = np.size(feed(metric, p, t))
            expected, values = values[:size], values[size:]
            for prediction, target in shapes:
                for cuts in CUTS:
                    result = feed(metric, prediction, target, weight, cuts)
                    single = weight is not None and weight.dtype == "float32"
                    close = {"rtol": 1e-6 if single else 1e-11, "atol": 1e-7 if single else 1e-12}
                    assert_allclose(np.ravel(result), expected, **close, err_msg=figure)
                    assert np.ndim(result) > 0 or type(result) is float
                    if metric.higher_is_better is None:
                        assert isinstance(result, np.ndarray)
        assert values.size == 0


def test_the_reference_has_every_metric_and_the_hard_cases():
    figures = {name for case in CASES for name in REFERENCE[f"{case}/figures"]}
    assert {name.split("(")[0] for name in figures} == {
        name for name in cr.metrics.__all__ if name not in ("Metric", "LossMetric", "as_metric")
    }
    assert str(REFERENCE["versions"]).startswith("scikit-learn")
    assert np.isnan(REFERENCE["binary, only ones/float64/plain"]).sum() == 1  # the area


# ---- against loops over rows, from the definitions ----------------------------------------------


def weigh(weights, chosen):
    return sum(w for w, yes in zip(weights, chosen, strict=True) if yes)


def ratio(part, whole):
    return part / whole if whole else 0.0


def loop_of_classes(z, t, w):
    """Figures of logits (n, C) by counting rows."""
    n, c = z.shape
    guess = [max(range(c), key=lambda j: z[i, j]) for i in range(n)]  # the first of equal ones
    matrix = [[weigh(w, (t == i) & (np.array(guess) == j)) for j in range(c)] for i in range(c)]
    hit = [matrix[i][i] for i in range(c)]
    said, so = [sum(row[j] for row in matrix) for j in range(c)], [sum(row) for row in matrix]
    figures = {"ConfusionMatrix()": matrix, "Accuracy()": sum(hit) / sum(w)}
    top = [sorted(range(c), key=lambda j: -z[i, j])[:2] for i in range(n)]
    figures["TopKAccuracy(2)"] = weigh(w, [t[i] in top[i] for i in range(n)]) / sum(w)
    for kind, parts, wholes in (
        ("Precision", hit, said), ("Recall", hit, so),
        ("F1", [2 * h for h in hit], [a + b for a, b in zip(said, so, strict=True)]),
    ):  # fmt: skip
        each = [ratio(a, b) for a, b in zip(parts, wholes, strict=True)]
        occurs = [i for i in range(c) if said[i] + so[i]]
        figures[f"{kind}(average=None)"] = each
        figures[f'{kind}(average="macro")'] = sum(each[i] for i in occurs) / len(occurs)
        figures[f'{kind}(average="micro")'] = sum(parts) / sum(wholes)
        if c == 2:
            figures[f"{kind}()"] = each[1]
    return figures


def loop_of_pairs(score, positive, w):
    """The area under the ROC curve: every positive row against every other."""
    won = total = 0
    for i in range(len(score)):
        for j in range(len(score)):
            if positive[i] and not positive[j]:
                total += w[i] * w[j]
                won += w[i] * w[j] * ((score[i] > score[j]) + (score[i] == score[j]) / 2)
    return won / total if total else math.nan


def loop_of_numbers(p, t, w):
    """R2 and RMSE of (n, d)."""
    n, d = p.shape
    each, squares = [], 0
    for k in range(d):
        mean = sum(w[i] * t[i, k] for i in range(n)) / sum(w)
        missed = sum(w[i] * (t[i, k] - p[i, k]) ** 2 for i in range(n))
        each.append(1 - missed / sum(w[i] * (t[i, k] - mean) ** 2 for i in range(n)))
        squares += missed
    return sum(each) / d, math.sqrt(squares / d / sum(w))


@pytest.mark.parametrize("classes", [2, 3, 6])
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("kind", [float, np.float32, int])
def test_counts_are_those_of_a_loop_with_ties_and_empty_classes(classes, weighted, kind):
    for n in (1, 2, 13, 30):
        z = RNG.integers(-2, 3, size=(n, classes)).astype(kind)
        t = RNG.integers(max(classes - 1, 2), size=n)
        w = RNG.integers(0, 3, size=n) + 0.5 if weighted else np.ones(n)
        for figure, expected in loop_of_classes(z, t, w).items():
            result = feed(make(figure), z, t, w if weighted else None, (1, n // 2))
            assert_allclose(result, expected, rtol=1e-12, atol=1e-15, err_msg=figure)


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("kind", [float, np.float32, int, bool])
def test_the_area_is_that_of_all_pairs(weighted, kind):
    for n in (1, 2, 13, 30):
        s = RNG.integers(-2, 3, size=(n, 3)).astype(kind)
        t = RNG.integers(3, size=n)
        w = RNG.integers(0, 3, size=n) * 1.0 if weighted else np.ones(n)
        weight = w if weighted else None
        one = loop_of_pairs(s[:, 0], t > 0, w)
        assert_allclose(feed(cr.ROCAUC(), s[:, 0], t > 0, weight, (1, n // 2)), one, rtol=1e-12)
        of_each = np.mean([loop_of_pairs(s[:, c], t == c, w) for c in range(3)])
        metric = cr.ROCAUC(from_logits=False)
        assert_allclose(feed(metric, s, t, weight, (1, n // 2)), of_each, rtol=1e-12)
        if kind is not bool:
            odds = log_odds(s.astype(float))
            of_each = np.mean([loop_of_pairs(odds[:, c], t == c, w) for c in range(3)])
            result = feed(cr.ROCAUC(), s.astype(float), t, weight, (1, n // 2))
            assert_allclose(result, of_each, rtol=1e-12)


@pytest.mark.parametrize("shape", [(9,), (9, 1), (9, 3), (9, 2, 3)])
@pytest.mark.parametrize("kind", ["float32", "float64", "int64", "uint8"])
def test_numbers_are_those_of_a_loop(shape, kind):
    p, t = RNG.integers(0, 9, size=(2, *shape)).astype(kind)
    w = RNG.uniform(0.5, 2, size=9)
    last = shape[-1] if len(shape) > 1 else 1
    each = math.prod(shape) // last // 9  # positions of a row
    for weight, weights in ((None, np.ones(9)), (w, w)):
        flat = [a.reshape(-1, last).astype(float) for a in (p, t)]
        r2, rmse = loop_of_numbers(*flat, np.repeat(weights, each))
        for cuts in CUTS:
            assert_allclose(feed(cr.R2(), p, t, weight, cuts), r2, rtol=1e-12)
            assert_allclose(feed(cr.RootMeanSquaredError(), p, t, weight, cuts), rmse, rtol=1e-12)


# ---- where floating point is hard ---------------------------------------------------------------


def test_confident_logits_of_float32_do_not_tie():
    # softmax rounds all of these to 1 and 0, and would put every row beside every other
    z = np.array([[30, 0, 0], [40, 0, 0], [50, 0, 0], [60, 0, 0]], np.float32)
    t = np.array([1, 2, 0, 0])
    odds = log_odds(z)
    assert odds.dtype == np.float32
    assert_allclose(odds[:, 0], z[:, 0] - math.log(2), rtol=1e-6)
    assert_allclose(odds[:, 1], -z[:, 0], rtol=1e-6)
    metric = cr.ROCAUC()
    metric.update(z, t)
    assert metric.result() == pytest.approx((1 + 1 + 2 / 3) / 3)


@pytest.mark.parametrize("classes", [2, 3, 10])
def test_log_odds_are_those_of_softmax(classes):
    z = RNG.normal(scale=3, size=(50, classes))
    p = cr.softmax(z)
    assert_allclose(log_odds(z), np.log(p) - np.log1p(-p), rtol=1e-9, atol=1e-12)
    assert_allclose(log_odds(np.asfortranarray(z)), log_odds(z), rtol=1e-14)


def test_infinite_scores_have_ranks():
    metric = cr.ROCAUC()
    metric.update([-np.inf, 0.0, np.inf, np.inf], [0, 1, 1, 0])
    assert metric.result() == (1 + 0 + 1 + 0.5) / 4
    metric.reset()
    metric.update([[np.inf, 0, 0], [0, -np.inf, 1], [2, 1, -np.inf]], [0, 2, 1])
    assert metric.result() == pytest.approx((1 + 1 + 1) / 3)


def test_a_large_mean_costs_no_digits_and_a_constant_is_constant():
    t = np.arange(1000.0) % 7
    p = t + np.sin(np.arange(1000))
    expected = feed(cr.R2(), p, t)
    for shift in (2.0**30, -(2.0**40)):  # exact shifts, up to the rounding of p
        assert feed(cr.R2(), p + shift, t + shift, cuts=(10, 500)) == pytest.approx(expected, 1e-3)
        assert feed(cr.R2(), np.round(p) + shift, t + shift, cuts=(3, 9)) == pytest.approx(
            feed(cr.R2(), np.round(p), t), rel=1e-13
        )
    tenths = np.full(1000, 0.1)  # their computed mean is not 0.1
    assert tenths.mean() != 0.1
    assert feed(cr.R2(), tenths, tenths, np.full(1000, 1.3), (3, 500)) == 1
    assert feed(cr.R2(), tenths + 1, tenths, cuts=(3, 500)) == 0


def test_numbers_that_are_not_finite_pass_through():
    for kind in (cr.R2, cr.RootMeanSquaredError):
        assert math.isnan(feed(kind(), np.array([1, np.nan, 2]), np.ones(3)))
        assert not math.isfinite(feed(kind(), np.array([1, np.inf, 2]), np.arange(3)))
        assert not math.isfinite(feed(kind(), np.array([1e200, 2]), np.array([1.0, -1e200])))


def test_large_arrays_are_taken_in_pieces():
    t = RNG.normal(size=(40_000, 4)).astype(np.float32)
    p = t + RNG.normal(size=t.shape).astype(np.float32)
    wide_t, wide_p = t.astype(float), p.astype(float)
    squares = (wide_t - wide_p) ** 2
    r2 = 1 - squares.sum(axis=0) / ((wide_t - wide_t.mean(axis=0)) ** 2).sum(axis=0)
    assert feed(cr.R2(), p, t) == pytest.approx(r2.mean(), rel=1e-12)
    rmse = feed(cr.RootMeanSquaredError(), p, t)
    assert rmse == pytest.approx(math.sqrt(squares.mean()), rel=1e-12)
