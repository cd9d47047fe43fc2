"""The example for files of one's own: bad files end with one sentence and no traceback, and a
model that was saved says the same in a new process."""

from __future__ import annotations

import csv
import runpy
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

SCRIPT = Path(__file__).parent.parent / "examples" / "csv_classifier.py"
HEADER = ["id", "hours", "city", "empty", "grade"]


def rows(n=90, grade=lambda i: "abc"[i % 3]):
    rng = np.random.default_rng(8)
    return [
        [i + 1, "" if i % 9 == 4 else f"{2 * (i % 3) + rng.random():.3f}",
         ["rome", "", "oslo"][i % 3 if i % 5 else 0], "", grade(i)]
        for i in range(n)
    ]  # fmt: skip


def write(path, lines, header=HEADER, separator=","):
    with open(path, "w", newline="", encoding="utf-8") as file:
        csv.writer(file, delimiter=separator).writerows([header, *lines])
    return path


def run(monkeypatch, folder, *arguments):
    """Run the script in this process; return how it ended."""
    monkeypatch.chdir(folder)
    monkeypatch.setattr(sys, "argv", [str(SCRIPT), "--quick", *map(str, arguments)])
    try:
        runpy.run_path(str(SCRIPT), run_name="__main__")
    except SystemExit as end:
        return end.code
    return None


BAD = {
    "one class": (lambda f: write(f, rows(grade=lambda i: "a")), "every row has 'a'"),
    "a single row": (lambda f: write(f, rows(grade=lambda i: "b" if i else "a")),
                     "1 of 2 classes have fewer than 3 rows, such as 'a'"),
    "amounts": (lambda f: write(f, rows(grade=lambda i: i * i)), "that is regression"),
    "the target alone": (lambda f: write(f, [["a"], ["b"]] * 20, ["grade"]), "no column beside"),
    "another target": (lambda f: write(f, [[1, 2]] * 20, ["x", "y"]),
                       "no column 'grade', but 'x', 'y'"),
    "few rows": (lambda f: write(f, rows(12)), "12 rows with a class are too few"),
    "infinite": (lambda f: write(f, [*rows(), [91, "inf", "", "", "a"]]),
                 "'hours' holds 'inf' in row 91, which is infinite"),
    "of no use": (lambda f: write(f, [[i, f"n{i}", "ab"[i % 2]] for i in range(30)],
                                  ["id", "name", "grade"]),
                  "'id': it numbers the rows; 'name': it has 30 different texts"),
    "twice": (lambda f: write(f, rows(), ["a", "b", "b", "c", "grade"]), "two columns have the na"),
    "fields": (lambda f: write(f, [*rows(), [1, 2]]), "line 92: 2 fields, where the header has 5"),
    "header only": (lambda f: write(f, []), "has a header and no rows"),
    "empty": (lambda f: f.write_bytes(b""), "is empty"),
    "binary": (lambda f: f.write_bytes(bytes(range(256))), "is a binary file"),
    "latin": (lambda f: f.write_bytes("grade,b\nü,1\n".encode("latin-1")), "not in UTF-8 (line 2)"),
    "missing": (lambda f: None, "bad.csv: No such file or directory."),
    "folder": (lambda f: f.mkdir(), "bad.csv: "),
}  # fmt: skip


@pytest.mark.parametrize("name", BAD)
def test_a_bad_file_ends_with_a_sentence(name, tmp_path, monkeypatch, capsys):
    make, sentence = BAD[name]
    make(tmp_path / "bad.csv")
    said = run(monkeypatch, tmp_path, "bad.csv", "--target", "grade")
    assert sentence in said
    assert said.endswith(".")
    assert "\n" not in said
    assert capsys.readouterr().out == ""
    assert not (tmp_path / "out").exists()


def test_other_wrong_calls_end_with_a_sentence(tmp_path, monkeypatch):
    data = write(tmp_path / "a.csv", rows())
    assert "--target COLUMN" in run(monkeypatch, tmp_path, data)
    assert "there is no FILE" in run(monkeypatch, tmp_path, "--target", "grade")
    assert "No such file" in run(monkeypatch, tmp_path, "--predict", data)
    assert "not a model file" in run(monkeypatch, tmp_path, "--predict", data, "--model", data)
    import chainrule as cr

    cr.Model(cr.Dense(2, 1)).save(tmp_path / "other.npz")
    said = run(monkeypatch, tmp_path, "--predict", data, "--model", "other.npz")
    assert said == "other.npz is a model, but not one of this script's."


def test_a_folder_that_cannot_be_is_found_before_the_training(tmp_path, monkeypatch, capsys):
    data = write(tmp_path / "a.csv", rows())
    said = run(monkeypatch, tmp_path, data, "--target", "grade", "--out", "a.csv")
    assert said == "a.csv: File exists."
    assert "Test accuracy" not in capsys.readouterr().out


def test_what_the_figures_hide_is_said(tmp_path, monkeypatch, capsys):
    names = ["Yes", "yes", "$5 and $^"]
    lines = rows(200, lambda i: "rare" if i in (20, 80, 150) else names[i % 3])
    data = write(tmp_path / "a.csv", lines)
    assert run(monkeypatch, tmp_path, data, "--target", "grade", "--seed", 1) is None
    said = capsys.readouterr().out
    assert "Only capitals tell these classes apart: 'Yes', 'yes'." in said
    assert "No test row is of 'rare': how those do is not known." in said
    assert (tmp_path / "out" / "csv_classifier.png").exists()


def test_the_made_up_students_take_no_file_that_a_user_may_have(tmp_path):
    from chainrule.examples import made_up_students

    (tmp_path / "students.csv").write_text("mine")
    assert all("made_up" in path.name for path in made_up_students(tmp_path, 0))
    assert (tmp_path / "students.csv").read_text() == "mine"


@pytest.mark.slow
def test_train_save_and_predict_in_a_new_process(tmp_path, monkeypatch, capsys):
    data = write(tmp_path / "a.csv", [*rows(), [91, "3", "rome", "", ""]], separator=";")
    assert run(monkeypatch, tmp_path, data, "--target", "grade", "--out", "o") is None
    said = capsys.readouterr().out
    for piece in ("90 rows, and 1 without a class", "63 to train, 13 to validate, 14 to test",
                  "'id' is left out: it numbers the rows.", "'empty' is left out: it is empty.",
                  "features: hours, hours is missing, city=oslo, city=rome, city is missing",
                  "precision", "Test accuracy", "Always saying"):  # fmt: skip
        assert piece in said
    turned = [[line[2], line[1], "more"] for line in rows()]
    new = write(tmp_path / "new.csv", [*turned, ["bern", "", ""]], ["city", "hours", "else"], "\t")
    command = [sys.executable, "-W", "error", str(SCRIPT), "--predict", str(new), "--out", "o"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "Training had no 'city' of 'bern'." in done.stdout
    with open(tmp_path / "o" / "predictions.csv", newline="", encoding="utf-8") as file:
        found = list(csv.DictReader(file))
    assert len(found) == 91
    guesses = [row["predicted class"] for row in found[:90]]
    assert np.mean([guess == row[-1] for guess, row in zip(guesses, rows(), strict=True)]) > 0.9
    assert all(1 / 3 <= float(row["probability"]) <= 1 for row in found)

    # the same by hand, from the same file
    import chainrule as cr

    model = cr.Model.load(tmp_path / "o" / "csv_classifier.npz")
    encoder = cr.tables.TableEncoder.from_dict(model.metadata["encoder"])
    p = cr.softmax(model.predict(encoder.encode(cr.tables.read_csv(data)[:90])))
    assert [model.metadata["classes"][i] for i in p.argmax(axis=1)] == guesses

    write(new, turned, ["city", "minutes", "else"])
    said = run(monkeypatch, tmp_path, "--predict", new, "--out", "o")
    assert said == "the column 'hours' is missing; there are 'city', 'minutes', 'else'."
