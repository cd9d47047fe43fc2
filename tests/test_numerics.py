"""Softmax, sigmoid and their kin decide whether training survives large numbers, so they are held
to exact values of 20 digits, computed apart with mpmath. Where a limit exists it must be met.
"""

from __future__ import annotations

import numpy as np
import pytest

import chainrule as cr
from chainrule.numerics import (
    SMALL,
    logsumexp,
    max_along,
    negative,
    positive,
    shift,
    sigmoid,
    softmax,
    softplus,
    sum_along,
    sum_columns,
    sum_rows,
)

INF, NAN = np.inf, np.nan
FLOATS = pytest.mark.parametrize("dtype", [np.float32, np.float64])

# x, sigmoid(x), softplus(x)
EXACT = [
    (-90.0, 8.1940126239905154304e-40, 8.1940126239905154304e-40),  # a denormal in float32
    (-17.0, 4.1399375473943306009e-8, 4.1399376330897474477e-8),
    (-1.5, 0.18242552380635634039, 0.2014132779827524095),
    (-0.25, 0.43782349911420189597, 0.57593941987884356221),
    (0.0, 0.5, 0.69314718055994530942),
    (0.5, 0.62245933120185456464, 0.97407698418010668087),
    (3.0, 0.95257412682243321912, 3.0485873515737420588),
    (17.0, 0.99999995860062452606, 17.000000041399376331),
    (40.0, 1.0, 40.0),
]
LIMITS = [
    (1e4, 1.0, 1e4),
    (-1e4, 0.0, 0.0),
    (INF, 1.0, INF),
    (-INF, 0.0, 0.0),
    (NAN, NAN, NAN),
    (1e-40, 0.5, 0.69314718055994530942),
    (-0.0, 0.5, 0.69314718055994530942),
]


def assert_ulps(got, exact, dtype, ulps=4):
    exact = np.asarray(exact, dtype)
    assert got.dtype == dtype
    assert got.shape == exact.shape
    finite = np.isfinite(exact)
    np.testing.assert_array_equal(got[~finite], exact[~finite])
    assert np.all(np.abs(got[finite] - exact[finite]) <= ulps * np.spacing(np.abs(exact[finite])))


@FLOATS
def test_sigmoid_and_softplus_are_exact(dtype):
    x, s, p = (np.array(column, dtype) for column in zip(*EXACT, *LIMITS, strict=True))
    assert_ulps(sigmoid(x), s, dtype)
    assert_ulps(softplus(x), p, dtype)
    before = x.tobytes()
    assert_ulps(np.array([sigmoid(v) for v in x]), s, dtype)  # one by one, as 0-d
    assert x.tobytes() == before


def test_far_left_in_float64():
    x = np.array([-700.0])
    assert_ulps(sigmoid(x), [9.8596765437597708567e-305], np.float64)
    assert_ulps(softplus(x), [9.8596765437597708567e-305], np.float64)


# a row, its softmax, its logsumexp; NaN where there is no limit
ROWS = [
    ([1.0, 2.0, 4.0],
     [0.042010066134066051018, 0.11419519938459447893, 0.84379473448133947005], 4.1698460195562856),
    ([1e4, 1e4, -1e4], [0.5, 0.5, 0.0], 1e4 + 0.69314718055994530942),
    ([1e4, 0.0, -1e4], [1.0, 0.0, 0.0], 1e4),
    ([-1e4, -1e4, -1e4], [1 / 3, 1 / 3, 1 / 3], -1e4 + 1.0986122886681096914),
    ([1e-40, 0.0, -1e-40], [1 / 3, 1 / 3, 1 / 3], 1.0986122886681096914),
    ([INF, 0.0, -INF], [1.0, 0.0, 0.0], INF),
    ([-INF, 0.0, 0.0], [0.0, 0.5, 0.5], 0.69314718055994530942),
    ([-INF, -INF, 2.0], [0.0, 0.0, 1.0], 2.0),
    ([INF, INF, 0.0], [NAN, NAN, NAN], INF),
    ([-INF, -INF, -INF], [NAN, NAN, NAN], -INF),
    ([NAN, 0.0, 0.0], [NAN, NAN, NAN], NAN),
    ([INF, NAN, 0.0], [NAN, NAN, NAN], NAN),
]  # fmt: skip


@FLOATS
@pytest.mark.parametrize(("row", "probabilities", "log_sum"), ROWS)
def test_softmax_and_logsumexp(row, probabilities, log_sum, dtype):
    x = np.array([row, [0.0, 0.0, 0.0]], dtype)  # a bad row leaves its neighbour alone
    y = softmax(x)
    if np.isnan(probabilities).any():
        assert np.isnan(y[0]).any()
        assert np.isnan(y[0]).all() or np.isinf(row).any()
    else:
        assert_ulps(y[0], probabilities, dtype)
    assert_ulps(y[1], [1 / 3] * 3, dtype)
    assert_ulps(logsumexp(x)[0], [log_sum], dtype)
    assert_ulps(softmax(x.T, axis=0), y.T, dtype, 0)


@pytest.mark.parametrize(("dtype", "large"), [(np.float32, 3e38), (np.float64, 1.5e308)])
def test_the_largest_finite_numbers(dtype, large):
    x = np.array([large, -large, 0.0], dtype)
    assert_ulps(softmax(x), [1.0, 0.0, 0.0], dtype)
    assert_ulps(logsumexp(x), [large], dtype)


def test_shift():
    x = np.array([[1.0, 3.0, 2.0], [INF, 5.0, -INF], [-INF, 4.0, 4.0]])
    expected = [[-2.0, 0.0, -1.0], [0.0, -INF, -INF], [-INF, 0.0, 0.0]]
    np.testing.assert_array_equal(shift(x), expected)
    np.testing.assert_array_equal(shift(x.T, axis=0).T, expected)
    assert np.isnan(shift(np.array([INF, INF]))).all()
    assert shift(x.astype(np.float32)).dtype == np.float32


@pytest.mark.parametrize("f", [sigmoid, softplus, softmax, logsumexp])
def test_lists_integers_and_empty_arrays(f):
    exact = f(np.array([[1.0, 2.0]]))
    np.testing.assert_array_equal(f([[1.0, 2.0]]), exact)
    np.testing.assert_array_equal(f(np.array([[1, 2]])), exact)
    assert f([[True, False]]).dtype == np.float64
    empty = f(np.zeros((0, 3), np.float32))
    assert empty.shape[0] == 0
    assert empty.dtype == np.float32


@FLOATS
def test_zero_axes(dtype):
    assert sigmoid(dtype(0)) == 0.5
    assert sigmoid(dtype(0)).dtype == dtype
    assert sigmoid(2) == pytest.approx(0.88079707797788244406, rel=1e-15)


def test_logsumexp_of_no_classes_is_minus_infinity():
    np.testing.assert_array_equal(logsumexp(np.zeros((3, 0))), np.full((3, 1), -INF))


def test_sigmoid_in_float16():
    x = np.array([-INF, -9, 0, 5, 9, 12, 60000, INF, NAN], np.float16)
    exact = [0, 0.00012339457598623172, 0.5, 0.99330714907571516, 1, 1, 1, 1, NAN]
    assert_ulps(sigmoid(x), exact, np.float16)


# ---- spellings that depend on sizes and layouts ----------------------------------------------


@FLOATS
@pytest.mark.parametrize("n", [1, 7, SMALL // 7, SMALL // 7 + 1])
def test_positive_and_negative_parts(n, dtype):
    x = np.tile(np.array([-INF, -2.5, -0.0, 0.0, 1e-40, INF, NAN], dtype), (n, 1))
    y, z = positive(x), negative(x)
    np.testing.assert_array_equal(y, [[0, 0, 0, 0, dtype(1e-40), INF, NAN]] * n)
    np.testing.assert_array_equal(z, [[-INF, -2.5, 0, 0, 0, 0, NAN]] * n)
    assert y.dtype == z.dtype == dtype
    assert y.shape == z.shape == x.shape
    assert y.flags.writeable


@FLOATS
@pytest.mark.parametrize(
    "shape", [(5, 1), (5, 10), (5, 32), (5, 33), (5, 128), (5, 129), (3, 4, 6)]
)
def test_largest_and_sum_along_an_axis(shape, dtype):
    x = np.random.default_rng(1).standard_normal(shape).astype(dtype)
    x[0, ..., 0], x[1, ..., 0] = INF, NAN
    for axis in (-1, len(shape) - 1, 1, -2):
        for given in (x, np.asfortranarray(x), x[::-1, ::-1]):
            wanted = np.asarray(given, np.longdouble)
            most, total = max_along(given, axis), sum_along(given, axis)
            np.testing.assert_array_equal(most, wanted.max(axis=axis, keepdims=True))
            right = wanted.sum(axis=axis, keepdims=True)
            size = np.abs(wanted).sum(axis=axis, keepdims=True)
            finite = np.isfinite(right)
            np.testing.assert_array_equal(total[~finite], right[~finite])
            error = np.abs(total[finite] - right[finite])
            assert (error <= 4 * np.finfo(dtype).eps * size[finite]).all()
            assert most.dtype == total.dtype == dtype
            assert most.shape == total.shape


@pytest.mark.parametrize("shape", [(3, 0), (0, 3), (2, 0, 3)])
def test_largest_and_sum_of_nothing(shape):
    x = np.zeros(shape, np.float32)
    assert (max_along(x) == -INF).all()
    assert (sum_along(x, -1) == 0).all()
    assert max_along(x).shape == sum_along(x, -1).shape == (*shape[:-1], 1)


@FLOATS
@pytest.mark.parametrize("d", [1, 2, 10, 128, 129, 5000])
def test_sum_of_columns(d, dtype):
    x = np.random.default_rng(2).standard_normal((9, d)).astype(dtype)
    exact = x.astype(np.longdouble).sum(axis=1)
    size = np.abs(x).sum(axis=1)
    assert (np.abs(sum_columns(x) - exact) <= 4 * np.finfo(dtype).eps * size).all()
    x[2, 0], x[5, 0] = NAN, INF
    y = sum_columns(x)
    assert np.flatnonzero(~np.isfinite(y)).tolist() == [2, 5]
    assert y.dtype == dtype
    assert y.shape == (9,)


# ---- sum_rows --------------------------------------------------------------------------------


def test_sum_rows_is_accurate_over_millions_of_float32_rows():
    x = np.random.default_rng(0).standard_normal((2_500_000, 3), np.float32) + np.float32(1)
    exact = x.sum(axis=0, dtype=np.float64)
    np.testing.assert_allclose(sum_rows(x), exact, rtol=1e-6)
    assert np.abs(x.sum(axis=0) / exact - 1).max() > 1e-6  # NumPy's own would not pass


@FLOATS
@pytest.mark.parametrize("n", [0, 1, 5, 1024, 1025, 2048, 3000])
def test_sum_rows(n, dtype):
    x = np.arange(2 * n, dtype=dtype).reshape(n, 2) % 7
    exact = [sum(column) for column in x.T.tolist()]  # small integers: exact in either dtype
    out = np.full(2, NAN, dtype)
    for given in (x, np.asfortranarray(x), np.repeat(x, 2, axis=1)[:, ::2], x[::-1]):
        assert sum_rows(given).tolist() == exact
        assert sum_rows(given).dtype == dtype
        assert sum_rows(given, out=out) is out
        assert out.tolist() == exact


# ---- activations and losses at the edges ---------------------------------------------------------


@FLOATS
def test_activations_at_the_edges(dtype):
    x = np.array([[1.0, 1e4, -1e4, INF, -INF, NAN]], dtype)
    limits = {
        cr.ReLU: ([1.0, 1e4, 0, INF, 0, NAN], [1, 1, 0, 1, 0]),
        cr.Sigmoid: ([0.73105857863000487926, 1, 0, 1, 0, NAN], [0.19661193324148185, 0, 0, 0, 0]),
        cr.Tanh: ([0.76159415595576488812, 1, -1, 1, -1, NAN], [0.41997434161402607, 0, 0, 0, 0]),
    }
    for kind, (values, slopes) in limits.items():
        y, cache = kind().forward(x)
        assert_ulps(y, [values], dtype)
        dx, _ = kind().backward(np.ones_like(y), cache)
        assert dx.dtype == dtype
        np.testing.assert_allclose(dx[0, :5], slopes, rtol=1e-6)
    assert np.isnan(cr.Softmax().forward(x)[0]).all()


# logits, target, value, gradient: C = 2, N = 1
CROSS_ENTROPY = [
    ([1e4, -1e4], 0, 0.0, [0, 0]),
    ([1e4, -1e4], 1, 2e4, [1, -1]),
    ([INF, 0.0], 0, 0.0, [0, 0]),
    ([INF, 0.0], 1, INF, [1, -1]),
    ([-INF, 0.0], 0, INF, [-1, 1]),
    ([-INF, 0.0], 1, 0.0, [0, 0]),
    ([-INF, 0.0, 0.0], [0, 0.5, 0.5], 0.69314718055994530942, [0, 0, 0]),
    ([-INF, 0.0, 0.0], [0, 1.0, 0.0], 0.69314718055994530942, [0, -0.5, 0.5]),
    ([-INF, 0.0, 0.0], [0.5, 0.5, 0.0], INF, [-0.5, 0, 0.5]),
    ([NAN, 0.0], 1, NAN, [NAN, NAN]),
    ([1.0, 2.0, 4.0], 0, 3.1698460195562856488,
     [0.042010066134066051018 - 1, 0.11419519938459447893, 0.84379473448133947005]),
]  # fmt: skip


@FLOATS
@pytest.mark.parametrize(("logits", "target", "value", "gradient"), CROSS_ENTROPY)
def test_softmax_cross_entropy_at_the_edges(logits, target, value, gradient, dtype):
    loss = cr.SoftmaxCrossEntropy()
    got, d = loss(np.array([logits], dtype), [target])
    assert type(got) is float
    assert d.dtype == dtype
    np.testing.assert_allclose(got, value, rtol=1e-6)
    np.testing.assert_allclose(d, [gradient], rtol=1e-6, atol=1e-7)
    # a harmless second row: the mean of two
    pair = np.array([logits, np.zeros(len(logits))], dtype)
    got, d = loss(pair, [target, target])
    np.testing.assert_allclose(got, (value + np.log(len(logits))) / 2, rtol=1e-6)
    np.testing.assert_allclose(d[0], np.array(gradient) / 2, rtol=1e-6, atol=1e-7)


def test_softmax_cross_entropy_keeps_small_losses_in_float64():
    value, d = cr.SoftmaxCrossEntropy()(np.array([[20.0, 0.0]]), [0])
    assert value == pytest.approx(2.0611536203143807032e-9, rel=1e-6)  # log(1 + e^-20)
    assert d[0, 1] == pytest.approx(2.0611536181902035813e-9, rel=1e-12)  # sigmoid(-20)


@pytest.mark.parametrize("logits", [[INF, 0.0], [NAN, 0.0]])
def test_a_row_of_weight_zero_takes_no_part_in_softmax_cross_entropy(logits):
    value, d = cr.SoftmaxCrossEntropy()(np.array([logits, [0.0, 0.0]]), [0, 0], [0.0, 1.0])
    assert value == pytest.approx(0.69314718055994530942 / 2)
    np.testing.assert_allclose(d, [[0, 0], [-0.25, 0.25]])


def test_a_row_of_weight_zero_takes_no_part_in_binary_cross_entropy():
    value, d = cr.BinaryCrossEntropy()(np.array([[INF], [0.0]]), [[0], [0]], [0.0, 1.0])
    assert value == pytest.approx(0.69314718055994530942 / 2)
    np.testing.assert_allclose(d, [[0], [0.25]])


@FLOATS
@pytest.mark.parametrize(("z", "t", "value", "slope"), [
    (1e4, 0, 1e4, 1), (1e4, 1, 0, 0), (1e4, 0.5, 5e3, 0.5), (-1e4, 0, 0, 0), (-1e4, 1, 1e4, -1),
    (INF, 1, 0, 0), (INF, 0, INF, 1), (-INF, 0, 0, 0), (-INF, 1, INF, -1), (INF, 0.5, INF, 0.5),
    (NAN, 0, NAN, NAN), (NAN, 1, NAN, NAN), (0, 0.5, 0.69314718055994530942, 0),
    (-17, 0, 4.1399376330897474477e-8, 4.1399375473943306009e-8),
    (-90, 0, 8.1940126239905154304e-40, 8.1940126239905154304e-40),
])  # fmt: skip
def test_binary_cross_entropy_at_the_edges(z, t, value, slope, dtype):
    got, d = cr.BinaryCrossEntropy()(np.array([[z]], dtype), [[t]])
    assert type(got) is float
    np.testing.assert_allclose(got, value, rtol=1e-6)
    np.testing.assert_allclose(d, [[slope]], rtol=1e-6)
    assert d.dtype == dtype
    # beside a row of log 2, whose value is finite
    got, d = cr.BinaryCrossEntropy()(np.array([[z], [0]], dtype), [[t], [1]])
    np.testing.assert_allclose(got, (value + np.log(2)) / 2, rtol=1e-6)
    np.testing.assert_allclose(d, [[slope / 2], [-0.25]], rtol=1e-6, atol=1e-44)
