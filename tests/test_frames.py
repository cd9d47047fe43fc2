"""Frames and series of pandas come in wherever arrays do, although the library never imports
pandas. Each result is compared with that of the plain array."""

from __future__ import annotations

import numpy as np
import pytest

import chainrule as cr
from chainrule.errors import as_numbers
from chainrule.tables import TableEncoder, encode_classes, take_classes

pd = pytest.importorskip("pandas")

RNG = np.random.default_rng(6)
X = np.column_stack([RNG.normal(size=60), RNG.integers(0, 5, 60), RNG.random(60) < 0.5])
Y = (X[:, 0] + X[:, 2] > 0.5).astype(np.int64)
FRAME = pd.DataFrame(
    {"a": X[:, 0], "b": X[:, 1].astype(np.int8), "c": X[:, 2] > 0}, index=RNG.permutation(60) + 7
)
TARGET = pd.Series(Y, index=FRAME.index)
TEXTS = pd.DataFrame({"a": [1.0, 2], "city": ["x", "y"], "day": pd.to_datetime(["2020-01-01"] * 2)})


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        (FRAME, X),
        (TARGET, Y),
        (FRAME["c"], X[:, 2] > 0),
        (FRAME.astype({"a": "float32"})[["a"]], X[:, :1].astype("f4")),
        (FRAME.convert_dtypes(), X),
        (pd.DataFrame({"a": pd.array([1, None], "Int64"), "b": pd.array([True, None], "boolean")}),
         [[1, 1], [np.nan, np.nan]]),
        (pd.Series(pd.array([1, 2], "Int64")), [1, 2]),
        (pd.DataFrame({"a": pd.Categorical([3, None, 4])}), [[3], [np.nan], [4]]),
        (pd.DataFrame({"a": pd.Categorical([3, None, 4]), "b": [1, 2, 3]}),
         [[3, 1], [np.nan, 2], [4, 3]]),  # and not -2**63
        (pd.Series([2, 1.5, True], dtype=object), [2, 1.5, 1]),
        (pd.DataFrame(index=[0, 1]), np.zeros((2, 0))),
        (pd.DataFrame([[1, 2.5], [3, 4]], columns=["a", "a"]), [[1, 2.5], [3, 4]]),
    ],
)  # fmt: skip
def test_numbers_are_those_of_the_array(values, expected):
    array = as_numbers("x", values)
    assert type(array) is np.ndarray
    np.testing.assert_array_equal(array, expected)
    if isinstance(expected, np.ndarray) and expected.dtype == np.float32:
        assert array.dtype == np.float32  # not widened


def test_a_frame_of_one_block_is_not_copied():
    frame = pd.DataFrame(X)
    assert np.shares_memory(as_numbers("x", frame), frame.to_numpy())


@pytest.mark.parametrize(
    ("values", "piece"),
    [
        (TEXTS, "these columns hold texts, dates or other objects: 'city', 'day'. Encode them"),
        (TEXTS[["a", "day"]], "objects: 'day'. Encode them first, as chainrule.tables.TableEnc"),
        (pd.DataFrame({"n": ["1", "2"]}), "objects: 'n'"),  # texts that look like numbers
        (pd.DataFrame({"n": pd.Series(["1", 2], dtype=object)}), "objects: 'n'"),
        (pd.DataFrame({"n": pd.Series([1, None], dtype=object)}), "objects: 'n'"),
        (pd.DataFrame({"n": pd.Categorical(["a", "b"])}), "objects: 'n'"),
        (pd.DataFrame({f"c{i}": ["a"] for i in range(12)}), "'c9', .... Encode"),
        (TEXTS["city"], "real numbers"),
        (TEXTS["day"], "real numbers"),
    ],
)
def test_columns_of_texts_are_named(values, piece):
    with pytest.raises(TypeError) as error:
        as_numbers("fit: x", values)
    assert str(error.value).startswith("fit: x must be real numbers")
    assert piece in str(error.value)


def trained(x, y, validation, weight):
    model = cr.Model(cr.Standardizer(3).fit(x), cr.Dense(3, 2), seed=0)
    loss, options = cr.SoftmaxCrossEntropy(), {"sample_weight": weight, "batch_size": 16}
    history = model.fit(x, y, loss=loss, optimizer=cr.Adam(0.1), epochs=3, verbose=0,
                        validation_data=validation, metrics=[cr.Accuracy()], **options)  # fmt: skip
    figures = model.evaluate(x, y, loss=loss, metrics=[cr.ConfusionMatrix()])
    return [model.predict(x), model(x), history["val_loss"], *figures.values()]


def test_training_with_frames_is_training_with_arrays():
    weight = pd.Series(RNG.random(60), index=FRAME.index)
    frames = trained(FRAME, TARGET, (FRAME, TARGET), weight)
    nullable = trained(FRAME.convert_dtypes(), TARGET.convert_dtypes(), (FRAME, TARGET), weight)
    arrays = trained(X, Y, (X, Y), weight.to_numpy())
    for one, other, expected in zip(frames, nullable, arrays, strict=True):
        np.testing.assert_array_equal(one, expected)
        np.testing.assert_array_equal(other, expected)


def test_targets_may_be_a_frame_of_one_column():
    model = cr.Model(cr.Dense(3, 1), seed=0)
    options = {"loss": cr.BinaryCrossEntropy(), "metrics": [cr.BinaryAccuracy()]}
    assert model.evaluate(FRAME, TARGET.to_frame(), **options) == model.evaluate(
        X, Y[:, None], **options
    )


def test_a_fit_on_texts_says_what_to_do():
    with pytest.raises(TypeError, match=r"fit: x must .*'city', 'day'.*TableEncoder"):
        cr.Model(cr.Dense(3, 2)).fit(TEXTS, [0, 1], loss=cr.SoftmaxCrossEntropy(),
                                     optimizer=cr.SGD(0.1))  # fmt: skip


def test_frames_are_split_by_position_whatever_their_index():
    parts = cr.split(FRAME, TARGET, X, stratify=TARGET, seed=4)
    plain = cr.split(X, stratify=Y, seed=4)
    for (frame, target, x), rows in zip(parts, plain, strict=True):
        assert isinstance(frame, pd.DataFrame)
        assert isinstance(target, pd.Series)
        np.testing.assert_array_equal(as_numbers("x", frame), rows)
        np.testing.assert_array_equal(x, rows)
        assert list(target.index) == list(frame.index)
    categories = pd.Series(pd.Categorical(np.array(["b", "a"])[Y]))
    np.testing.assert_array_equal(cr.split(X, stratify=categories, seed=4)[1], plain[1])


@pytest.mark.parametrize("nullable", [False, True])
def test_a_frame_is_encoded_as_rows_of_text_are(nullable):
    frame = pd.DataFrame(
        {"hours": [3, np.nan, 8.5, 1], "city": pd.Categorical(["x", None, "y", "x"]),
         "code": ["p", "q", None, "q"], "yes": [True, False, True, True]}
    )  # fmt: skip
    frame = frame.convert_dtypes() if nullable else frame
    encoder = TableEncoder().fit(frame)
    assert encoder.feature_names == ["hours", "hours is missing", "city=x", "city=y",
                                     "city is missing", "code=p", "code=q", "code is missing",
                                     "yes"]  # fmt: skip
    rows = [{"yes": "1", "hours": "", "code": "q", "city": "NA"}]
    expected = [[3.0, 1, 0, 0, 1, 0, 1, 0, 1]]
    assert encoder.encode(rows).tolist() == expected
    assert encoder.encode(frame.iloc[[1]].assign(yes=True)).tolist() == expected


def test_classes_are_taken_out_of_a_frame():
    frame = FRAME.assign(grade=np.array(["a", "b", None])[np.arange(60) % 3])
    others, labels, names = take_classes(frame, "grade")
    assert isinstance(others, pd.DataFrame)
    np.testing.assert_array_equal(as_numbers("x", others), X[np.arange(60) % 3 < 2])
    assert (labels.tolist(), names) == ([0, 1] * 20, ["a", "b"])
    assert list(frame.columns) == ["a", "b", "c", "grade"]


def test_classes_and_one_hot_take_series():
    labels, names = encode_classes(pd.Series(["b", "a"] * 3))
    assert (labels.tolist(), names) == ([1, 0] * 3, ["a", "b"])
    np.testing.assert_array_equal(cr.one_hot(TARGET, 2), np.eye(2)[Y])
