"""Tables: what is a gap, a number, a category or of no use; features that are what was said; files
as spreadsheets write them. Whatever is wrong with a file is one sentence."""

from __future__ import annotations

import json
from decimal import Decimal

import numpy as np
import pytest

import chainrule as cr
from chainrule import tables
from chainrule.tables import TableEncoder, column_kinds, encode_classes, read_csv

ROWS = [
    {"hours": "3", "programme": "arts", "age": "20", "name": "Ann"},
    {"hours": "", "programme": "law", "age": "21", "name": "Bob"},
    {"hours": " 8.5 ", "programme": "NA", "age": "19", "name": "Cid"},
    {"hours": "-1e1", "programme": "law", "age": "25", "name": "Dan"},
    {"hours": "NaN", "programme": "arts", "age": "2e1", "name": "Eve"},
]
NAMES = [
    "hours",
    "hours is missing",
    "programme=arts",
    "programme=law",
    "programme is missing",
    "age",
]
ENCODED = [[3, 0, 1, 0, 0, 20], [3, 1, 0, 1, 0, 21], [8.5, 0, 0, 0, 1, 19], [-10, 0, 0, 1, 0, 25],
           [3, 1, 1, 0, 0, 20]]  # fmt: skip


def kind(cells):
    return column_kinds({"a": cells})["a"]


# ---- the encoder -----------------------------------------------------------------------------


def test_features_are_numbers_one_hot_and_gaps():
    encoder = TableEncoder().fit(ROWS)
    assert encoder.feature_names == NAMES
    x = encoder.encode(ROWS)
    assert x.dtype == np.float64
    assert x.tolist() == ENCODED
    assert encoder.dropped == {"name": "it has 5 different texts in 5 rows"}


def test_columns_are_found_by_name_and_others_are_let_be():
    encoder = TableEncoder().fit(ROWS)
    turned = [{"new": "z", **dict(reversed(row.items()))} for row in ROWS]
    assert encoder.encode(turned).tolist() == ENCODED
    columns = {name: [row[name] for row in ROWS] for name in ("age", "hours", "programme")}
    assert encoder.encode(columns).tolist() == ENCODED
    typed = {
        **columns,
        "hours": np.array([3, np.nan, 8.5, -10, np.nan]),
        "age": [20, 21, 19.0, np.int8(25), 20],
        "programme": ["arts", "law", None, "law", "arts"],
    }
    assert encoder.encode(typed).tolist() == ENCODED  # fmt: skip


def test_what_training_did_not_have_becomes_zeros_and_is_told():
    encoder = TableEncoder().fit(ROWS)
    new = [
        {"hours": None, "programme": "physics", "age": ""},
        {"hours": 1, "programme": "", "age": 1},
    ]
    assert encoder.encode(new).tolist() == [[3, 1, 0, 0, 0, 20], [1, 0, 0, 0, 1, 1]]
    assert encoder.unseen(new) == {"programme": ["physics"]}
    assert encoder.unseen(ROWS) == {}


def test_gaps_are_filled_with_the_median_of_the_training_rows_alone():
    encoder = TableEncoder().fit({"a": [1, 2, 10, None]})
    assert encoder.encode({"a": [None, 100]}).tolist() == [[2, 1], [100, 0]]


def test_numbers_without_a_square_are_refused_with_their_place():
    encoder = TableEncoder().fit({"a": [1e149, -1e150, 0]})
    assert np.isfinite(encoder.encode({"a": ["1e150"]}) ** 2).all()
    for table in ({"a": ["1e151", 2]}, {"a": [-(10**200), 2]}):
        for call in (column_kinds, TableEncoder().fit, encoder.encode):
            with pytest.raises(ValueError, match=r"'a' holds .* in row 1, which is too large to"):
                call(table)


def test_a_number_that_training_rows_share_has_no_size():
    # its weight would stay as it was drawn, and be multiplied by whatever a new row brings
    encoder = TableEncoder({"b": "number"}).fit({"a": [5, "", 5.0], "b": [7] * 3, "c": [1, 2, 4]})
    assert encoder.feature_names == ["a=5", "a is missing", "c"]
    assert encoder.dropped == {"b": "every training row has 7"}
    new = {"a": [1e6, 5, None], "c": [1, 1, 1]}
    assert encoder.encode(new).tolist() == [[0, 0, 1], [1, 0, 1], [0, 1, 1]]
    assert encoder.unseen(new) == {"a": ["1000000"]}
    assert TableEncoder.from_dict(encoder.to_dict()).to_dict() == encoder.to_dict()


def test_a_row_may_lack_a_column_that_others_have():
    rows = [{"a": 1}, {"a": 2, "b": 5}, {"a": 3, "b": 6}]
    assert TableEncoder().fit(rows).feature_names == ["a", "b", "b is missing"]
    records = [{"x": i} if i == 3 else {"x": i * i, "c": i % 2} for i in range(30)]
    others, labels, _ = tables.take_classes(records, "c")
    assert len(others) == len(labels) == 29


def test_numbers_as_categories_are_the_same_from_files_and_frames():
    texts = {"zip": ["8001.0", "8002.0", "", "08002"]}  # as pandas writes integers beside a gap
    encoder = TableEncoder({"zip": "category"}).fit(texts)
    assert encoder.feature_names[:3] == ["zip=08002", "zip=8001", "zip=8002"]
    numbers = {"zip": [np.float32(8001), 8002.0, None, "08002"]}
    assert encoder.encode(numbers).tolist() == encoder.encode(texts).tolist()
    labels, names = encode_classes(["1.0", "2", "2.0"] * 3)
    assert (labels.tolist(), names) == ([0, 1, 1] * 3, ["1", "2"])
    assert encode_classes(["1.0", 2], names=[1, 2])[0].tolist() == [0, 1]


def test_booleans_are_the_same_from_files_and_frames():
    encoder = TableEncoder().fit({"a": [True, False, True]})
    texts = {"a": ["TRUE", "False", "true", "1", 0]}
    assert encoder.encode(texts).tolist() == [[1], [0], [1], [1], [0]]
    labels, names = encode_classes(["TRUE", "FALSE"] * 3)
    assert (labels.tolist(), names) == ([1, 0] * 3, ["FALSE", "TRUE"])


def test_kinds_can_be_set():
    encoder = TableEncoder({"age": "category", "hours": "dropped", "else": "number"}).fit(ROWS)
    assert encoder.feature_names[3:] == ["age=19", "age=20", "age=21", "age=25", "age=2e1"]
    assert encoder.dropped["hours"] == "was to be dropped"
    codes = {"zip": [8001.0, 8002.0, None, 8001.0]}  # as a column with gaps holds integers
    encoder = TableEncoder({"zip": "category"}).fit(codes)
    assert encoder.feature_names == ["zip=8001", "zip=8002", "zip is missing"]
    assert encoder.encode({"zip": ["8002"]}).tolist() == encoder.encode({"zip": [8002]}).tolist()


def test_kinds_of_all_rows_hold_where_the_training_rows_say_another():
    table = {"a": ["x", "1", "2", "3", "x", "y", "1", "2", "3", "x"], "b": [""] * 8 + ["1", "2"],
             "c": ["p", "q"] * 5}  # fmt: skip
    train = {name: cells[1:4] for name, cells in table.items()}
    encoder = TableEncoder(column_kinds(table)).fit(train)
    assert encoder.feature_names == ["a=1", "a=2", "a=3", "c=p", "c=q"]
    assert encoder.dropped == {"b": "it is empty in the training rows"}
    assert encoder.encode(table).shape == (10, 5)


def test_a_description_is_plain_json_and_gives_the_encoder_back():
    encoder = TableEncoder().fit(ROWS)
    text = json.dumps(encoder.to_dict(), allow_nan=False)
    twin = TableEncoder.from_dict(json.loads(text))
    assert twin.encode(ROWS).tolist() == ENCODED
    assert (twin.feature_names, twin.dropped) == (NAMES, encoder.dropped)
    assert twin.to_dict() == encoder.to_dict()
    twin.to_dict()["columns"][1]["categories"].append("z")
    assert twin.feature_names == NAMES
    assert repr(twin) == "TableEncoder(3 columns, 6 features)"


def test_a_refused_fit_leaves_the_encoder_as_it_was():
    encoder = TableEncoder().fit(ROWS)
    with pytest.raises(ValueError, match="infinite"):
        encoder.fit([*ROWS, {"hours": "inf"}])
    assert encoder.feature_names == NAMES


# ---- columns ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("cells", "expected"),
    [
        (["1", "2.5", "-3e2", "", "?"], "number"),
        ([1, 2.5, None, float("nan"), True], "number"),
        (["1_000", "2_000", "1_000", "2_000"], "category"),  # Python's way to write, no table's
        (["yes", "no", "yes"], "category"),
        (["yes", "no"], "category"),
        ([True, False, True], "number"),
        ([Decimal("1.5"), Decimal(2), Decimal("NaN"), None], "number"),  # as databases give them
        ([1j, 2j, 1j], "category"),
        (["TRUE", "false", " True ", ""], "number"),  # as programs write them
        ([f"{i}.5%" for i in range(9)],
         "dropped: it has 9 different texts in 9 rows; a number is written as 1234.5"),
        (["1", "2", "3", "absent", "absent", "1", "2", "3"], "category"),
        (["", None, " ", "N/A"], "dropped: it is empty"),
        (["x", "x"], "dropped: every row has 'x'"),
        (["x", "", "x"], "category"),  # that it is missing may tell something
        ([5, 5.0, 5], "dropped: every row has 5"),
        ([f"n{i}" for i in range(9)], "dropped: it has 9 different texts in 9 rows"),
        (list(range(3, 30)), "dropped: it numbers the rows"),
        (list(range(0, 40, 2)), "dropped: it numbers the rows"),  # half of the rows are elsewhere
        ([*range(29), 3], "number"),
        ([i / 2 for i in range(30)], "number"),
        ([1, 2, 3, 4], "number"),  # too few to say
        (list(range(0, 3000, 100)), "number"),
        ([*(str(i) for i in range(20)), "12 a"],
         "dropped: it has 21 different texts in 21 rows, '12 a' among them beside numbers"),
        ([f"t{i}" for i in range(101)] * 9, "dropped: it has 101 different texts in 909 rows"),
        ([f"t{i}" for i in range(100)] * 9, "category"),
    ],
)  # fmt: skip
def test_a_column_is_judged_by_its_values(cells, expected):
    assert kind(cells) == expected


@pytest.mark.parametrize(
    ("answers", "labels", "names"),
    [
        (list("bab" * 3), [1, 0, 1] * 3, ["a", "b"]),
        (["10", "9", "2"] * 3, [2, 1, 0] * 3, ["2", "9", "10"]),  # by size, not by letters
        ([10, 9.0, 2] * 3, [2, 1, 0] * 3, ["2", "9", "10"]),
        (np.array([3, 1] * 3), [1, 0] * 3, ["1", "3"]),
        ([True, False] * 3, [1, 0] * 3, ["False", "True"]),
    ],
)
def test_classes_are_numbered_in_order(answers, labels, names):
    found, given = encode_classes(answers)
    assert (found.tolist(), given) == (labels, names)
    assert found.dtype == np.int64
    assert encode_classes(answers[:2], names)[0].tolist() == labels[:2]


def test_take_classes_leaves_rows_without_one_out():
    rows = [{"x": str(i), "c": ["a", "b", "?"][i % 3]} for i in range(33)]
    others, labels, names = tables.take_classes(rows, "c")
    assert (len(others), labels.tolist(), names) == (22, [0, 1] * 11, ["a", "b"])
    assert others[2] == {"x": "3"}
    assert rows[0] == {"x": "0", "c": "a"}


def test_a_report_counts_per_cents():
    lines = tables.class_report([[3, 1, 0], [0, 0, 0], [1, 0, 0]], ["one", "b", "long name"])
    assert [line.split() for line in lines.splitlines()[1:]] == [
        ["one", "3", "1", "0", "75%"], ["b", "0", "0", "0", "-"],
        ["long", "name", "1", "0", "0", "0%"], ["precision", "75%", "0%", "-"],
    ]  # fmt: skip


def test_a_report_of_large_counts_and_long_names():
    lines = tables.class_report([[1234567, 0], [0, 20000001]], ["a\nb", "c"]).splitlines()
    assert [line.split() for line in lines[:3]] == [
        ["a", "b", "c", "recall"], ["a", "b", "1234567", "0", "100%"],
        ["c", "0", "20000001", "100%"],
    ]  # fmt: skip
    names = [f"class number {k}" for k in range(25)]
    lines = tables.class_report(np.eye(25), names).splitlines()
    assert len(lines) == 27
    assert lines[0].split() == [*map(str, range(25)), "recall"]
    assert lines[8].split()[:4] == ["7", "class", "number", "7"]
    assert max(map(len, lines)) < 180


# ---- files -----------------------------------------------------------------------------------


def written(folder, content):
    path = folder / "a.csv"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


@pytest.mark.parametrize(
    ("content", "rows"),
    [
        ("a,b\n1,x\n", [{"a": "1", "b": "x"}]),
        ("\ufeffa;b\r\n1,5;x\r\n", [{"a": "1.5", "b": "x"}]),
        ("a;b\n-,5e3;1,2,3\n", [{"a": "-.5e3", "b": "1,2,3"}]),
        ("a,b\n1.5,\"x, y\"\n", [{"a": "1.5", "b": "x, y"}]),
        ('a, b\n1, "x, y"\n', [{"a": "1", "b": "x, y"}]),
        ("a\tb\n1\t2,5\n", [{"a": "1", "b": "2,5"}]),
        ("sep=;\r\na;b\r\n1,5;x\r\n", [{"a": "1.5", "b": "x"}]),  # as Excel understands it
        ("sep=|\na|b\n1|x,y\n", [{"a": "1", "b": "x,y"}]),
        ("a;b\n1,234;2,500\n0,999;7000\n",  # three digits each, and no thousands
         [{"a": "1.234", "b": "2.500"}, {"a": "0.999", "b": "7000"}]),
        ("a,b\n1.234,x\n999,y\n", [{"a": "1.234", "b": "x"}, {"a": "999", "b": "y"}]),
        ('a,"b, c; d; e"\n1,"he said ""no""\nand left"\n',
         [{"a": "1", "b, c; d; e": 'he said "no"\nand left'}]),
        ("\n a , b \n\n 1 , x \n,\n\n2,y", [{"a": "1", "b": "x"}, {"a": "2", "b": "y"}]),
        (",b\n1,x\n", [{"column 1": "1", "b": "x"}]),  # as written with an index
        ("a\n1\n2\n", [{"a": "1"}, {"a": "2"}]),
        ("a,b\r1,x\r", [{"a": "1", "b": "x"}]),
        ("größe,b\n1,ü\n", [{"größe": "1", "b": "ü"}]),
    ],
)  # fmt: skip
def test_files_are_read_as_programs_write_them(content, rows, tmp_path):
    assert read_csv(written(tmp_path, content)) == rows


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        ("", "is empty"),
        ("\ufeff \n\n", "is empty"),
        ("a,b\n", "has a header and no rows"),
        ("a,b\n\n,\n", "has a header and no rows"),
        (b"PK\3\4\0\0\0", "is a binary file"),
        ("a,b\n1,ü\n".encode("latin-1"), r"not in UTF-8 \(line 2\); save it as UTF-8"),
        ("a,b\n1,2\n".encode("utf-16"), r"not in UTF-8 \(line 1\)"),
        ("a,b\n1,2\n\n1,2,3\n", "line 4: 3 fields, where the header has 2, separated by ','"),
        ("a;b\n1;2\n1\n", "line 3: 1 fields, where the header has 2, separated by ';'"),
        ("a;b\n1;3,5\n1;3.5\n", "the column 'b' holds '3,5' beside '3.5', so that its marks may"),
        ("a;b\n1;999\n1;1.234\n", "'b' holds '1.234' beside '999', .*write the numbers as 1234.5"),
        ("a;b\n1;12,500\n1;999\n", "'b' holds '12,500' beside '999'"),
        ("a\tb\n1\t12.500\n1\t999\n", "'b' holds '12.500' beside '999'"),
        ("sep=;\na;b\n1\n", "line 3: 1 fields, where the header has 2"),
        ("a,b,a\n1,2,3\n", "two columns have the name 'a'"),
        ("1,2\n3,4\n", "first line must hold the names"),
        ('a,b\n1,"x\n', "line 2: the quotes do not fit"),
        ('a,b\n1,"x"y\n', "line 2: the quotes do not fit"),
        ("a,b\n1," + "x" * 140_000, "line 2: .*field larger than"),
    ],
)
def test_files_that_are_wrong_are_refused_with_a_sentence(content, sentence, tmp_path):
    path = written(tmp_path, content)
    with pytest.raises(ValueError, match=sentence) as error:
        read_csv(path)
    assert str(error.value).startswith(repr(str(path)))
    assert str(error.value).endswith(".")


def test_what_the_system_refuses_is_an_oserror(tmp_path):
    for path in (tmp_path / "none.csv", tmp_path):
        with pytest.raises(OSError, match=path.name):
            read_csv(path)


def test_from_a_file_to_a_model_and_back(tmp_path):
    rng = np.random.default_rng(0)
    hours = rng.uniform(0, 40, 300)
    lines = [f"{h:.2f};{'ab'[int(h > 20)]};{'yes' if h > 20 else 'no'}" for h in hours]
    rows = read_csv(written(tmp_path, "hours;group;passed\n" + "\n".join(lines).replace(".", ",")))
    others, labels, names = tables.take_classes(rows, "passed")
    (train, y), (test, y_test) = cr.split(others, labels, stratify=labels)
    encoder = TableEncoder().fit(train)
    x = encoder.encode(train)
    model = cr.Model(cr.Standardizer(3).fit(x), cr.Dense(3, 2), seed=0)
    loss = cr.SoftmaxCrossEntropy()
    model.fit(x, y, loss=loss, optimizer=cr.Adam(0.1), epochs=10, verbose=0)
    model.metadata = {"encoder": encoder.to_dict(), "classes": names}
    model.save(tmp_path / "m.npz")
    loaded = cr.Model.load(tmp_path / "m.npz")
    again = TableEncoder.from_dict(loaded.metadata["encoder"]).encode(test)
    assert (loaded.predict(again).argmax(axis=1) == y_test).mean() == 1
    assert loaded.metadata["classes"] == ["no", "yes"]
