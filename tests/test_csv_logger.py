"""A log file is read by others, while it is written and long after. So its rows have to be there
whatever ends the run, and nothing may be mixed into a file that is another's."""

from __future__ import annotations

import csv
import re
import subprocess
import sys
from pathlib import Path

import pytest
from callback_helpers import INF, NAN, BinaryCount, Script, X, fit, net, same

from chainrule import (
    SGD,
    ConfusionMatrix,
    CSVLogger,
    Dense,
    EarlyStopping,
    LambdaCallback,
    Model,
    SoftmaxCrossEntropy,
)


def rows(path):
    with open(path, newline="", encoding="utf-8") as file:
        return list(csv.reader(file))


def test_a_row_for_each_epoch_with_every_figure(tmp_path):
    path = tmp_path / "run.csv"
    history = fit(net(), [CSVLogger(path)], epochs=3, initial_epoch=1, metrics=[BinaryCount()])
    header, *found = rows(path)
    assert header == ["epoch", "loss", "accuracy", "val_loss", "val_accuracy"]
    assert [row[0] for row in found] == ["1", "2"]
    for i, name in enumerate(header[1:], 1):
        assert [float(row[i]) for row in found] == history[name]  # all digits
    assert path.read_bytes().count(b"\n") == 3


def test_figures_that_are_no_numbers_are_written_and_arrays_are_not(tmp_path):
    path = tmp_path / "run.csv"
    fit(net(), [Script([NAN, INF]), CSVLogger(str(path))], epochs=2)
    assert [row[2] for row in rows(path)] == ["val_loss", "nan", "inf"]
    Model(Dense(2, 2), seed=0).fit(
        X, [0, 1] * 4, loss=SoftmaxCrossEntropy(), optimizer=SGD(0.1), verbose=0,
        metrics=[ConfusionMatrix()], callbacks=[CSVLogger(path)],
    )  # fmt: skip
    assert [len(row) for row in rows(path)] == [2, 2]


def test_an_earlier_file_is_replaced_when_an_epoch_has_ended(tmp_path):
    path = tmp_path / "run.csv"
    path.write_text("a result of last week\n")
    with pytest.raises(ValueError, match="no 'val_x'"):
        fit(net(), [CSVLogger(path), EarlyStopping("val_x")])
    fit(net(), [CSVLogger(path)], epochs=0)
    assert path.read_text() == "a result of last week\n"
    log = CSVLogger(path)
    for epochs in (3, 2):
        fit(net(), [log], epochs=epochs)
        assert len(rows(path)) == 1 + epochs


@pytest.mark.parametrize("append", [False, True])
@pytest.mark.parametrize("linked", [False, True])
def test_a_fit_that_another_callback_refuses_leaves_no_file(tmp_path, append, linked):
    path = tmp_path / "run.csv"
    if linked:
        (tmp_path / "folder").mkdir()
        path.symlink_to(tmp_path / "folder" / "target.csv")
    log = CSVLogger(path, append=append)
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(ValueError, match="no 'val_x'"):
        fit(net(), [log, EarlyStopping("val_x")])
    assert sorted(tmp_path.rglob("*")) == before
    fit(net(), [log], epochs=0)
    assert sorted(tmp_path.rglob("*")) == before
    fit(net(), [log], epochs=2)
    assert len(rows(path)) == 3
    assert path.is_symlink() == linked


def test_a_fit_that_is_refused_leaves_a_torn_row_as_it_was(tmp_path):
    path = tmp_path / "run.csv"
    for header, message in (("epoch,loss,val_loss", "no 'val_x'"), ("epoch,loss", "val_loss;")):
        path.write_text(f"{header}\n0,0.2")
        with pytest.raises(ValueError, match=message):
            fit(net(), [CSVLogger(path, append=True), EarlyStopping("val_x")])
        assert path.read_text() == f"{header}\n0,0.2"


def test_rows_are_appended_under_one_header(tmp_path):
    path = tmp_path / "run.csv"
    log = CSVLogger(path, append=True)
    fit(net(), [log], epochs=2)
    fit(net(), [log], epochs=4, initial_epoch=2)
    assert [row[0] for row in rows(path)] == ["epoch", "0", "1", "2", "3"]


@pytest.mark.parametrize("start", ["", "\ufeff"])
@pytest.mark.parametrize("end", ["\r\n", "\n", ""])
def test_columns_keep_their_order_and_a_torn_row_its_line(tmp_path, start, end):
    path = tmp_path / "run.csv"
    path.write_bytes(f"{start}epoch,val_loss,loss\r\n0,7,8\r\n1,7{end}".encode())
    history = fit(net(), [CSVLogger(path, append=True)], epochs=3, initial_epoch=2)
    *_, torn, last = rows(path)
    assert torn == ["1", "7"]
    assert last == ["2", repr(history["val_loss"][0]), repr(history["loss"][0])]


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (b"epoch,loss\n", "because of val_loss"),
        (b"a,b\n1,2\n", "no log of this kind"),
        (b"\n", "no log of this kind"),
        (b"epoch,loss,loss\n", "no log of this kind"),
        (b"\xff\xfe\x00", "no log of this kind"),
        (b"PK\x03\x04\x00\x00", "no log of this kind"),
    ],
)
def test_a_header_that_does_not_fit_is_refused_before_training(tmp_path, content, sentence):
    path, model = tmp_path / "run.csv", net()
    path.write_bytes(content)
    before = model.state_dict()
    with pytest.raises(ValueError, match=f"CSVLogger.*{sentence}.*append=False"):
        fit(model, [CSVLogger(path, append=True)])
    assert path.read_bytes() == content
    assert same(before, model)


def test_a_column_that_no_figure_fills_is_refused_after_the_first_epoch(tmp_path):
    path = tmp_path / "run.csv"
    path.write_text("epoch,loss,val_loss,old\n")
    with pytest.raises(ValueError, match="because of old;"):
        fit(net(), [CSVLogger(path, append=True)])
    assert path.read_text() == "epoch,loss,val_loss,old\n"


@pytest.mark.parametrize("path", [None, 3, b"run.csv", [], sys.stdout])
def test_what_is_no_path_is_refused(path):
    with pytest.raises(TypeError, match="CSVLogger: path"):
        CSVLogger(path)


def test_what_the_system_refuses_is_an_oserror_before_training(tmp_path):
    model = net()
    before = model.state_dict()
    with pytest.raises(IsADirectoryError if sys.platform != "win32" else PermissionError):
        fit(model, [CSVLogger(tmp_path)])
    with pytest.raises(FileNotFoundError, match=re.escape("run.csv")):
        fit(model, [CSVLogger(tmp_path / "none" / "run.csv")])
    assert same(before, model)


def test_a_run_that_changes_its_folder_goes_on_with_its_file(tmp_path, monkeypatch):
    (tmp_path / "other").mkdir()
    monkeypatch.chdir(tmp_path)
    move = LambdaCallback(on_epoch_begin=lambda epoch: monkeypatch.chdir(tmp_path / "other"))
    fit(net(), [CSVLogger("run.csv"), move], epochs=2)
    assert len(rows(tmp_path / "run.csv")) == 3


@pytest.mark.parametrize("append", [False, True])
def test_a_log_that_is_moved_away_during_the_run_goes_on_under_a_header(tmp_path, append):
    path = tmp_path / "run.csv"
    path.write_text("epoch,loss,val_loss\n7,1,1" if append else "")
    move = LambdaCallback(on_epoch_begin=lambda epoch: epoch == 2 and path.rename(tmp_path / "old"))
    fit(net(), [CSVLogger(path, append=append), move], epochs=4)
    header = ["epoch", "loss", "val_loss"]
    earlier = [["7", "1", "1"]] if append else []
    assert rows(tmp_path / "old")[: 1 + len(earlier)] == [header, *earlier]
    assert [row[0] for row in rows(path)] == ["epoch", "2", "3"]
    assert rows(path)[0] == header


def test_a_killed_run_keeps_its_rows(tmp_path):
    code = (
        "import os\nfrom callback_helpers import fit, net\n"
        "from chainrule import CSVLogger, LambdaCallback\n"
        "kill = lambda epoch: os._exit(9) if epoch == 3 else None\n"
        f"fit(net(), [CSVLogger({str(tmp_path / 'run.csv')!r}),"
        " LambdaCallback(on_epoch_begin=kill)])\n"
    )
    run = subprocess.run([sys.executable, "-c", code], cwd=Path(__file__).parent, timeout=60)
    assert run.returncode == 9
    assert [row[0] for row in rows(tmp_path / "run.csv")] == ["epoch", "0", "1", "2"]


@pytest.mark.parametrize("error", [KeyboardInterrupt, RuntimeError])
def test_an_interrupted_run_keeps_its_rows_and_leaves_no_file_open(tmp_path, error):
    def interrupt(batch):
        if len(log) == 2:
            raise error

    path, log = tmp_path / "run.csv", []
    note = LambdaCallback(
        on_epoch_end=lambda epoch, logs: log.append(epoch), on_train_batch_begin=interrupt
    )
    with pytest.raises(error):
        fit(net(), [CSVLogger(path), note])
    assert len(rows(path)) == 3
    path.unlink()  # of an open file, refused by some systems; a warning of Python's elsewhere
