"""`Standardizer` against exact rational arithmetic, in blocks and out of a file; inside a model,
saved and copied; and what it refuses, because it would lose the digits that matter."""

from __future__ import annotations

import copy
import pickle
import statistics
from fractions import Fraction

import numpy as np
import pytest

import chainrule as cr
from chainrule.layers import standardizer

RNG = np.random.default_rng(4)
X = RNG.normal(size=(50, 3)) * [1, 1e-4, 1e4] + [5, 1e-2, -3e5]


def exact(column):
    """Mean and standard deviation in rational arithmetic, rounded once."""
    values = [Fraction(v) for v in np.asarray(column, np.float64).ravel().tolist()]
    return float(statistics.mean(values)), float(statistics.pstdev(values))


def fitted(x, dtype="float64"):
    """A layer inside a model, so that its buffers have the dtype."""
    model = cr.Model(cr.Standardizer(np.shape(x)[-1]), dtype=dtype)
    model.layers[0].fit(x)
    return model.layers[0]


@pytest.mark.parametrize("block", [1, 6, 7, 100, 1 << 17])
def test_mean_and_scale_are_exact_whatever_the_blocks(block, monkeypatch):
    monkeypatch.setattr(standardizer, "BLOCK", block)
    layer = fitted(X)
    for j in range(3):
        np.testing.assert_allclose((layer.mean[j], layer.scale[j]), exact(X[:, j]), rtol=1e-14)


@pytest.mark.parametrize("offset", [1e8, -1e12])
def test_a_large_offset_costs_no_digits(offset, monkeypatch):
    monkeypatch.setattr(standardizer, "BLOCK", 64)
    x = offset + RNG.normal(size=(300, 1))  # sums of squares would lose all of them
    layer = fitted(x)
    np.testing.assert_allclose((layer.mean[0], layer.scale[0]), exact(x), rtol=1e-13)


@pytest.mark.parametrize("dtype", ["f2", "f4", "i2", "u1", "i8", "?"])
def test_any_kind_of_numbers(dtype):
    x = (RNG.random((40, 2)) * 9).astype(dtype)
    x[:2] = [[0, 1], [1, 0]]
    layer = cr.Standardizer(2).fit(x)
    for j in range(2):
        np.testing.assert_allclose((layer.mean[j], layer.scale[j]), exact(x[:, j]), rtol=1e-6)


def test_all_axes_but_the_last_are_rows():
    x = RNG.normal(size=(4, 5, 3))
    one, other = fitted(x), fitted(x.reshape(20, 3))
    np.testing.assert_allclose(one.mean, other.mean, rtol=1e-15)
    np.testing.assert_allclose(one.scale, other.scale, rtol=1e-15)


def test_a_mapped_file_is_read_in_blocks(tmp_path, monkeypatch):
    monkeypatch.setattr(standardizer, "BLOCK", 30)
    np.save(tmp_path / "x.npy", X)
    mapped = np.load(tmp_path / "x.npy", mmap_mode="r")
    seen, right = [], standardizer._join

    def join(n, mean, squares, rows):
        seen.append(len(rows))
        return right(n, mean, squares, rows)

    monkeypatch.setattr(standardizer, "_join", join)
    np.testing.assert_allclose(fitted(mapped).mean, X.mean(axis=0), rtol=1e-14)
    assert seen == [10] * 5


def test_output_has_mean_0_and_deviation_1_and_the_inverse_is_the_input():
    layer = fitted(X)
    y, cache = layer.forward(X)
    assert cache is None
    np.testing.assert_allclose(y.mean(axis=0), 0, atol=1e-9)
    np.testing.assert_allclose(y.std(axis=0), 1, rtol=1e-9)
    np.testing.assert_allclose(y * layer.scale + layer.mean, X, rtol=1e-12)
    dx, grads = layer.backward(np.ones_like(y), cache)
    np.testing.assert_allclose(dx[0] * X.std(axis=0), 1, rtol=1e-9)
    assert grads == {}


@pytest.mark.parametrize("value", [0.0, 0.1, -7e8, 1e30])
def test_a_constant_feature_becomes_0(value):
    x = np.column_stack([np.full(1000, value), RNG.normal(size=1000)])
    model = cr.Model(cr.Standardizer(2))
    layer = model.layers[0].fit(x)
    assert layer.scale[0] == 1
    assert not model(x)[:, 0].any()  # although 0.1 a thousand times has another computed mean
    x[::2, 0] *= 1 + 2e-16
    assert cr.Standardizer(2).fit(x).scale[0] == 1  # rounded, not different


def test_a_constant_is_its_own_mean_to_the_last_digit():
    for n in range(1, 60):
        for value in (0.1, 1 / 3, 1e15 / 7):
            assert fitted(np.full((n, 1), value)).mean[0] == value


def test_before_fit_it_passes_on():
    np.testing.assert_array_equal(cr.Model(cr.Standardizer(3), dtype="float64")(X), X)


def test_training_and_freezing_never_move_it():
    model = cr.Model(cr.Standardizer(3), cr.Dense(3, 1), seed=0, dtype="float64")
    before = copy.deepcopy(dict(model.layers[0].fit(X).buffers))
    y = (X[:, :1] - 5) > 0
    model.fit(X, y, loss=cr.BinaryCrossEntropy(), optimizer=cr.Adam(0.1), epochs=30, verbose=0)
    for name, array in model.layers[0].buffers.items():
        np.testing.assert_array_equal(array, before[name])
    assert model.num_parameters == 4
    assert np.mean((model(X) > 0) == y) > 0.9  # scales of 1e-4 to 1e4 do no harm


def test_it_is_saved_and_copied_with_its_model(tmp_path):
    model = cr.Model(cr.Standardizer(3).fit(X), cr.Dense(3, 2), seed=0)
    model.save(tmp_path / "a")
    for twin in (cr.Model.load(tmp_path / "a"), copy.deepcopy(model),
                 pickle.loads(pickle.dumps(model))):  # fmt: skip
        np.testing.assert_array_equal(twin(X), model(X))
        np.testing.assert_array_equal(twin.layers[0].mean, model.layers[0].mean)
    twin.layers[0].fit(X + 1)  # arrays of its own
    np.testing.assert_allclose(twin.layers[0].mean[0] - model.layers[0].mean[0], 1, rtol=1e-5)
    assert repr(model.layers[0]) == "Standardizer(3)"


def test_fit_moves_the_arrays_that_the_model_has():
    model = cr.Model(cr.Standardizer(3), cr.Dense(3, 1), seed=0)
    model.layers[0].fit(X)
    assert model.named_buffers()["0.mean"] is model.layers[0].mean
    assert model.named_buffers()["0.mean"].any()
    np.testing.assert_array_equal(model.state_dict()["0.scale"], model.layers[0].scale)


# ---- what is refused -------------------------------------------------------------------------

MINUTES = 1.7e9 + 60.0 * np.arange(100)[:, None]  # time stamps: float32 has steps of 128 there


def test_what_float32_cannot_tell_apart_is_refused_and_float64_takes_it():
    with pytest.raises(
        ValueError, match=r"1\.70001e\+09 .*float32 are 1\.3e\+02 apart.*\"float64\""
    ):
        cr.Standardizer(1).fit(MINUTES)
    layer = fitted(MINUTES)
    np.testing.assert_allclose((layer.mean[0], layer.scale[0]), exact(MINUTES), rtol=1e-12)
    assert cr.Standardizer(1).fit(MINUTES - 1.7e9).scale[0] > 1000  # the advice works
    cr.Standardizer(1).fit(1.7e9 + 3600.0 * np.arange(100)[:, None])  # days can be told apart
    with pytest.raises(ValueError, match=r"float64 are .*apart. Subtract an offset in float64 f"):
        fitted(1e16 + 4 * np.arange(50)[:, None])


@pytest.mark.parametrize("low", [0.5, 99, 101, 1e4])
def test_the_border_is_a_hundred_steps_in_a_deviation(low):
    step = float(np.spacing(np.float32(1.7e9)))
    x = 1.7e9 + low * step * np.array([[-1.0], [1.0]] * 20)  # standard deviation: low steps
    if low > 100:
        cr.Standardizer(1).fit(x)
    else:
        with pytest.raises(ValueError, match="apart"):
            cr.Standardizer(1).fit(x)


def test_a_refused_fit_leaves_the_layer_as_it_was():
    layer = cr.Standardizer(3).fit(X)
    before = layer.mean.copy(), layer.scale.copy()
    holed = X.copy()
    holed[7, 1] = np.nan
    for bad in (
        holed,
        np.where(X[3] < X, np.inf, X),
        X[:, :2],
        X[:0],
        X[0],
        X * 1e200,
        X * [1, 1, 1e302],
    ):
        with pytest.raises(ValueError, match=r"Standardizer\(3\)"):
            layer.fit(bad)
        np.testing.assert_array_equal(layer.mean, before[0])
        np.testing.assert_array_equal(layer.scale, before[1])


def test_dx_is_not_computed_where_nobody_wants_it():
    assert cr.Standardizer(3).backward(np.ones((2, 3)), None, need_dx=False) == (None, {})
