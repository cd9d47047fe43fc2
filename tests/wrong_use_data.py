"""The wrong uses of what prepares data, for tests/test_wrong_use.py: tables and their encoder,
parts, one-hot rows and the standardizer."""

from __future__ import annotations

import numpy as np
from wrong_use_rows import COUNTS, INF, NAN, REALS, SIZES, TE, VE, X, Y, each, net, row, table

import chainrule as cr
from chainrule.tables import (
    TableEncoder,
    class_report,
    column_kinds,
    encode_classes,
    read_csv,
    take_classes,
)

COLUMNS = {"hours": [1, None, 2.5, 4], "programme": ["arts", "law", "arts", "law"]}
NUMBER = {"name": "hours", "kind": "number", "gaps": True, "fill": 2.5}
TEXTS = {"name": "hours", "kind": "category", "gaps": True, "categories": ["a", "b"]}


def encode(change):
    return TableEncoder().fit(COLUMNS).encode({**COLUMNS, **change})


def described(**change):
    return TableEncoder.from_dict({"columns": [{**NUMBER, **change}], "dropped": {}})


def classes(**change):
    rows = [{"x": i, "c": "ab"[i % 2]} for i in range(20)]
    return take_classes(**{"rows": rows, "target": "c", **change})


def save(metadata):
    model = net()
    model.metadata = metadata
    model.save("never-written.npz")


def nested(levels):
    value = {}
    for _ in range(levels):
        value = {"a": value}
    return value


DATA_ROWS = [
    *each("Standardizer: num_features", cr.Standardizer, COUNTS, "num_features must be an integer"),
    *table("Standardizer: fit", lambda x: cr.Standardizer(2).fit(x), [
        ("width", np.ones((4, 3)), VE, "inputs of shape (..., 2), got (3,)"),
        ("one row", np.ones(2), VE, "rows of data (N, ..., 2), got an array of shape (2,)"),
        ("number", 1.0, VE, "got an array of shape ()"),
        ("empty", X[:0], VE, "got an array of shape (0, 2)"),
        ("NaN", np.add(X, [0, NAN]), VE, "feature 1 holds values that are NaN or inf"),
        ("inf", np.add(X, [INF, 0]), VE, "feature 0 holds values that are NaN or infinite"),
        ("text", [["a", "b"]], TE, "x must be real numbers"),
        ("None", None, TE, "x must be real numbers"),
        ("steps", [[1e9, 0], [1e9 + 1, 1]], VE, "feature 0 has values up to 1e+09 that differ by"),
        ("too large", [[1e39, 0], [0, 1]], VE, "too large for float32"),
        ("squares", [[1e200, 0], [0, 1]], VE, "squares are too large for float64"),
    ]),
    row("Standardizer: input", lambda: cr.Standardizer(2).forward(np.ones((4, 3))), VE,
        "Standardizer(2) expects inputs of shape (..., 2), got (3,)"),
    row("Standardizer: chain", lambda: net(cr.Dense(2, 3), cr.Standardizer(2)), VE,
        "Standardizer(2) expects"),
    # ---- one_hot
    *table("one_hot: labels", cr.one_hot, [
        ("floats", [0.0, 1.0], TE, "must be integers, got float64"),
        ("negative", [1, -1], VE, "must be from 0, got -1 to 1"),
        ("text", ["a"], TE, "must be real numbers"),
        ("None", None, TE, "must be real numbers"),
        ("ragged", [[0], [1, 2]], VE, "rows of unequal length"),
        ("none", [], VE, "there are no labels; give num_classes"),
    ]),
    row("one_hot: too large", lambda: cr.one_hot([0, 3], 3), VE, "from 0 to 2, got 0 to 3"),
    row("one_hot: no classes", lambda: cr.one_hot([0, 10**15]), VE, "more memory than there is"),
    row("one_hot: identities", lambda: cr.one_hot([0, 2**62]), VE, "more memory than there is"),
    *each("one_hot: num_classes", lambda v: cr.one_hot(Y, v), SIZES, "num_classes must be an int"),
    *each("one_hot: dtype", lambda v: cr.one_hot(Y, dtype=v),
          [("banana", TE), (object, TE), ("U3", TE), ("complex64", TE)], "dtype must be one of"),
    # ---- split
    row("split: nothing", lambda: cr.split(), TE, "give what is to be split"),
    row("split: lengths", lambda: cr.split(X, Y[:3]), VE, "same number of rows, got [4, 3]"),
    row("split: no rows", lambda: cr.split(X[:0]), VE, "0 rows are too few for shares of"),
    row("split: one row", lambda: cr.split(X[:1]), VE, "1 rows are too few for shares"),
    row("split: too few", lambda: cr.split(X, shares=(0.1, 0.9)), VE, "4 rows are too few for"),
    *each("split: array", cr.split, [(3, TE), ("text", TE), (None, TE), ({1: 2}, TE),
                                     (np.array(1), TE)], "argument 0 must hold rows"),
    *each("split: share", lambda v: cr.split(X, shares=(v, 0.5)), [*REALS, (0, VE), (1, VE)],
          "each share must be a number in (0, 1)"),
    *each("split: shares", lambda v: cr.split(X, shares=v),
          [((0.5, 0.4), VE), ((0.5,), VE), ((0.6, 0.6), VE), ((), VE)], "must sum to 1"),
    *each("split: shares", lambda v: cr.split(X, shares=v), [(0.5, TE), (None, TE), ("a", TE)],
          "shares must be a list"),
    *each("split: seed", lambda v: cr.split(X, seed=v), SIZES[1:], "seed must be an integer"),
    row("split: seed None", lambda: cr.split(X, seed=None), TE, "seed must be an integer"),
    *table("split: stratify", lambda v: cr.split(X, stratify=v), [
        ("length", Y[:3], VE, "one class for each of the 4 rows, shape (4,); got (3,)"),
        ("list", ["a"], VE, "got (1,)"),
        ("matrix", X, VE, "got (4, 2)"),
        ("rows", [[1]] * 4, TE, "must hold numbers or texts, one for each row, got lists"),
        ("text", "abab", TE, "stratify must be a list"),
        ("True", True, TE, "stratify must be a list"),
    ]),
    # ---- tables
    *each("TableEncoder: kinds", TableEncoder, [(3, TE), (["a"], TE)], "kinds must be a dict"),
    row("TableEncoder: kind", lambda: TableEncoder({"a": "numbers"}), VE,
        "the kind of 'a' must be \"number\", \"category\" or \"dropped\", got 'numbers'"),
    *table("TableEncoder: fit", lambda v: TableEncoder().fit(v), [
        ("number", 3, TE, "a table must be a list of rows, each a dict"),
        ("array", X, TE, "got ndarray"),
        ("lists", [[1, 2]], TE, "a table must be a list of rows"),
        ("no rows", [], VE, "the table has no rows"),
        ("empty columns", {"a": []}, VE, "the table has no rows"),
        ("lengths", {"a": [1], "b": [1, 2]}, VE, "of one length, got [1, 2]"),
        ("a text as a column", {"a": "abc"}, TE, "a value for each row, got 'abc'"),
        ("an array of rows as a column", {"a": np.ones((3, 2))}, VE, "of shape (3, 2)"),
        ("infinite", {"a": [1, INF]}, VE, "the column 'a' holds inf in row 2, which is infinite"),
        ("an integer that is too large", {"a": [1, 10**400]}, VE, "in row 2, which is infinite"),
        ("infinite text", [{"a": "1"}, {"a": "1e999"}], VE, "'1e999' in row 2"),
        ("nothing of use", {"a": [1, 1], "b": ["", None]}, VE,
         "no column can be used: 'a': every row has 1; 'b': it is empty"),
        ("names", {1: [1, 2], "1": [2, 3]}, VE, "two columns of the table have the name '1'"),
    ]),
    row("TableEncoder: no number", lambda: TableEncoder({"programme": "number"}).fit(COLUMNS), VE,
        "the column 'programme' holds numbers, but row 1 has 'arts'"),
    row("TableEncoder: not fitted", lambda: TableEncoder().encode(COLUMNS), VE, "call fit"),
    row("TableEncoder: column", lambda: TableEncoder().fit(COLUMNS).encode({"hours": [1]}), VE,
        "the column 'programme' is missing; there are 'hours'"),
    *table("TableEncoder: encode", encode, [
        ("text", {"hours": [1, 2, "three", 4]}, VE, "'hours' holds numbers, but row 3 has 'three'"),
        ("infinite", {"hours": [1, 2, 3, -INF]}, VE, "-inf in row 4, which is infinite"),
    ]),
    *[
        row(f"TableEncoder: described {what}", make, VE, "no description of an encoder")
        for what, make in [
            ("None", lambda: TableEncoder.from_dict(None)),
            ("a list", lambda: TableEncoder.from_dict([])),
            ("empty", lambda: TableEncoder.from_dict({})),
            ("without columns", lambda: TableEncoder.from_dict({"columns": [], "dropped": {}})),
            ("twice", lambda: TableEncoder.from_dict({"columns": [NUMBER] * 2, "dropped": {}})),
            ("dropped", lambda: TableEncoder.from_dict({"columns": [NUMBER], "dropped": {"a": 1}})),
            ("dropped list", lambda: TableEncoder.from_dict({"columns": [NUMBER], "dropped": []})),
            ("text", lambda: TableEncoder.from_dict({"columns": "a", "dropped": {}})),
            ("name", lambda: described(name=3)),
            ("kind", lambda: described(kind="text")),
            ("gaps", lambda: described(gaps=1)),
            ("fill", lambda: described(fill="2")),
            ("fill True", lambda: described(fill=True)),
            ("fill NaN", lambda: described(fill=NAN)),
            ("more", lambda: described(more=3)),
            ("categories", lambda: described(**TEXTS)),
        ]
    ],
    *[
        row(f"TableEncoder: categories {v!r}", lambda v=v: TableEncoder.from_dict(
            {"columns": [{**TEXTS, "categories": v}], "dropped": {}}), VE, "no description")
        for v in ([], "ab", [1], ["a", "a"], None)
    ],
    row("column_kinds: array", lambda: column_kinds(X), TE, "a table must be a list of rows"),
    *table("encode_classes:", encode_classes, [
        ("one", ["a"] * 5, VE, "two classes or more, and every row has 'a'"),
        ("none", [], VE, "two classes or more"),
        ("rare", list("aaabbbc"), VE, "1 of 3 classes have fewer than 3 rows, such as 'c'"),
        ("amounts", [i / 7 for i in range(90)], VE, "90 different numbers, which are amounts"),
        ("gaps", ["a", None, "b"], VE, "gaps among the classes"),
        ("text", "abc", TE, "a value for each row"),
    ]),
    row("encode_classes: unknown", lambda: encode_classes(["a", "c"], ["a", "b"]), VE,
        "the class 'c' is none of 'a', 'b'"),
    row("take_classes: column", lambda: classes(target="d"), VE, "no column 'd', but 'x', 'c'"),
    row("take_classes: alone", lambda: classes(rows=[{"c": "a"}] * 30), VE, "no column beside 'c'"),
    row("take_classes: few", lambda: classes(rows=[{"x": 1, "c": "a"}, {"x": 1, "c": ""}] * 19), VE,
        "19 rows with a class are too few; it takes 20"),
    row("take_classes: x", lambda: classes(target="x"), VE, "'x' cannot be the target: 20 of 20"),
    *each("class_report: counts", class_report, [(X, VE), (3, VE), (X[0], VE)], "shape (C, C)"),
    row("class_report: names", lambda: class_report([[1]], ["a", "b"]), VE,
        "1 classes, but 2 names"),
    row("class_report: text", lambda: class_report("abc"), TE, "real numbers"),
    *each("read_csv: path", read_csv, [(3, TE), (None, TE)], "expected the path of a file"),
    # ---- metadata
    *table("Model: metadata", save, [
        ("None", None, TE, "metadata must be a dict, got None"),
        ("list", ["a"], TE, "metadata must be a dict"),
        ("array", {"a": {"b": [X]}}, TE, "metadata['a']['b'][0] is a ndarray"),
        ("number of NumPy", {"a": np.float64(1)}, TE, "metadata['a'] is a float64"),
        ("tuple", {"a": (1, 2)}, TE, "metadata['a'] is a tuple"),
        ("set", {"a": {1}}, TE, "metadata['a'] is a set"),
        ("NaN", {"a": [NAN]}, TE, "metadata['a'][0] is nan, which JSON has no number for"),
        ("inf", {"a": -INF}, TE, "metadata['a'] is -inf"),
        ("key", {"a": {1: 2}}, TE, "metadata['a']: keys must be texts, got 1"),
        ("deep", nested(51), TE, "metadata is nested more than 50 deep"),
        ("large", {"a": "b" * (17 << 20)}, VE, "take 17"),
    ]),
]  # fmt: skip
