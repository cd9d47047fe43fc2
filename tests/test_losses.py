"""Every loss of the table against PyTorch's values and central differences, with weights and
without, and the lecture's own numbers."""

from __future__ import annotations

import numpy as np
import pytest
from cases import LOSSES
from hypothesis import given
from hypothesis import strategies as st

import chainrule as cr
from chainrule.testing import LAYOUTS, in_layout

EVERY = pytest.mark.parametrize("name", LOSSES)


def data(reference, name):
    return tuple(reference[f"{name}/{part}"] for part in ("prediction", "target", "weight"))


@EVERY
@pytest.mark.parametrize("weighted", [False, True])
def test_values_and_gradients_are_pytorchs(name, weighted, reference):
    prediction, target, weight = data(reference, name)
    label = "weighted " if weighted else ""
    value, d = LOSSES[name].make()(prediction, target, weight if weighted else None)
    assert type(value) is float
    assert value == pytest.approx(float(reference[f"{name}/{label}value"]), abs=1e-12)
    np.testing.assert_allclose(d, reference[f"{name}/{label}gradient"], rtol=0, atol=1e-12)


@EVERY
@pytest.mark.parametrize("layout", LAYOUTS)
def test_gradients_are_within_1e_6_of_central_differences(name, layout, reference):
    prediction, target, weight = data(reference, name)
    prediction, target = in_layout(prediction, layout), in_layout(target, layout)
    loss = LOSSES[name].make()
    assert cr.gradcheck(loss, prediction, target) < 1e-6
    assert cr.gradcheck(loss, prediction, target, sample_weight=weight) < 1e-6


@EVERY
def test_float32_in_float32_out(name, reference):
    prediction, target, weight = data(reference, name)
    for w in (None, weight):
        value, d = LOSSES[name].make()(prediction.astype(np.float32), target, w)
        assert (type(value), d.dtype) == (float, np.float32)


@EVERY
def test_nothing_that_came_in_is_changed(name, reference):
    prediction, target, weight = (in_layout(a, "read-only") for a in data(reference, name))
    copies = prediction.copy(), target.copy(), weight.copy()
    LOSSES[name].make()(prediction, target, weight)
    for array, copied in zip((prediction, target, weight), copies, strict=True):
        np.testing.assert_array_equal(array, copied)


@EVERY
def test_parts_of_a_batch_add_up(name, reference):
    """Linear in the weights: a batch is the sum of its parts, each weighted by its share."""
    prediction, target, weight = data(reference, name)
    loss, n = LOSSES[name].make(), len(prediction)
    value, d = loss(prediction, target, weight)
    parts = [slice(0, 2), slice(2, n)]
    shares = [(len(weight[p]) / n, *loss(prediction[p], target[p], weight[p])) for p in parts]
    assert sum(share * v for share, v, _ in shares) == pytest.approx(value, abs=1e-12)
    rows = np.concatenate([share * g for share, _, g in shares])
    np.testing.assert_allclose(rows, d, rtol=0, atol=1e-12)


@EVERY
def test_weights_of_one_are_no_weights(name, reference):
    prediction, target, _ = data(reference, name)
    loss = LOSSES[name].make()
    value, d = loss(prediction, target)
    value1, d1 = loss(prediction, target, np.ones(len(prediction)))
    assert value1 == pytest.approx(value, abs=1e-14)
    np.testing.assert_allclose(d1, d, rtol=0, atol=1e-15)


@given(st.integers(2, 6), st.integers(1, 5), st.integers(0, 2**31))
def test_one_hot_is_the_index(classes, n, seed):
    rng = np.random.default_rng(seed)
    z, t = rng.standard_normal((n, classes)), rng.integers(0, classes, n)
    for smoothing in (0.0, 0.2):
        loss = cr.SoftmaxCrossEntropy(smoothing)
        value, d = loss(z, t)
        value2, d2 = loss(z, np.eye(classes, dtype=int)[t])
        assert value2 == pytest.approx(value, abs=1e-12)
        np.testing.assert_allclose(d2, d, rtol=0, atol=1e-13)


def test_the_lectures_binary_cross_entropy():
    """f = [.1, .8, .6] for y = [1, 0, 1]: -(log .1 + log .2 + log .6) / 3 = 1.474283."""
    f, y = np.array([0.1, 0.8, 0.6]), np.array([1, 0, 1])
    value, _ = cr.BinaryCrossEntropy()(np.log(f / (1 - f)), y)
    assert value == pytest.approx(-(np.log(0.1) + np.log(0.2) + np.log(0.6)) / 3, abs=1e-12)
    assert round(value, 6) == 1.474283


def test_the_lectures_mean_squared_error():
    """Grades f = [30, 80, 85] for y = [90, 20, 95]: (3600 + 3600 + 100) / 3 = 2433.33."""
    value, _ = cr.MeanSquaredError()(np.array([30.0, 80, 85]), np.array([90, 20, 95]))
    assert value == pytest.approx(7300 / 3)


def test_labels_of_any_integer_kind():
    z = np.random.default_rng(0).standard_normal((3, 4))
    expected, _ = cr.SoftmaxCrossEntropy()(z, np.array([0, 3, 1]))
    for dtype in ("u1", ">i4", "i8", "u8"):
        assert cr.SoftmaxCrossEntropy()(z, np.array([0, 3, 1], dtype))[0] == expected
