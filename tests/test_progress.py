"""A bar is seen by people alone: where standard error is no terminal, or tqdm is not installed,
there are plain lines. What is shown above a bar are the same lines."""

from __future__ import annotations

import errno
import io
import os
import re
import struct
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest
from callback_helpers import X, Y, fit, net

from chainrule import SGD, Callback, LambdaCallback, MeanSquaredError, ProgressBar
from chainrule.metrics import as_metric


class Terminal(io.StringIO):
    """A standard error that someone watches."""

    encoding = "utf-8"

    def isatty(self):
        return True

    def lines(self):
        """What stays to be read; a bar is written over."""
        return [line.rpartition("\r")[2] for line in self.getvalue().split("\n")]


@pytest.fixture
def tqdm():
    return pytest.importorskip("tqdm")


def watched(monkeypatch):
    """Put a terminal in the place of standard error; a fixture's would be captured."""
    monkeypatch.setattr(sys, "stderr", Terminal())
    return sys.stderr


def seen(terminal):
    """The numbers of the epochs whose lines stay, and the numbers of steps that bars showed."""
    epochs = [line.split()[1] for line in terminal.lines() if line.startswith("epoch")]
    return epochs, [int(n) for n in re.findall(r"\| (\d+)/\d+ \[", terminal.getvalue())]


def test_lines_stay_and_the_bar_is_wiped(tqdm, monkeypatch):
    terminal = watched(monkeypatch)
    fit(net(), [ProgressBar()], epochs=3, batch_size=4)
    epochs, steps = seen(terminal)
    assert epochs == ["1/3", "2/3", "3/3"]
    assert steps[0] == 0
    assert steps == sorted(steps)
    assert steps[-1] == 6
    assert set(terminal.lines()[-1]) <= {" "}
    assert terminal.getvalue().isascii()


def test_lines_come_when_it_is_time_beside_a_bar_too(tqdm, monkeypatch):
    terminal = watched(monkeypatch)
    fit(net(), [ProgressBar(every=3600)], epochs=4)
    assert seen(terminal)[0] == ["1/4", "4/4"]


def test_a_bar_begins_where_training_does(tqdm, monkeypatch):
    terminal = watched(monkeypatch)
    fit(net(), [ProgressBar()], epochs=5, initial_epoch=3, batch_size=4)
    assert seen(terminal)[1][0] == 6
    assert "/10 [" in terminal.getvalue()


def test_an_epoch_that_was_stopped_within_counts_whole(tqdm, monkeypatch):
    terminal = watched(monkeypatch)

    class Within(Callback):
        def on_train_batch_end(self, batch, logs):
            self.model.stop_training = True

        def on_epoch_end(self, epoch, logs):
            self.model.stop_training = False

    fit(net(), [Within(), ProgressBar()], epochs=3, batch_size=2)
    assert {0, 4, 12} <= set(seen(terminal)[1])


LONG = {"epochs": 500, "batch_size": 1, "optimizer": SGD(0.0)}


def test_steps_of_a_stream_are_counted_from_epoch_to_epoch(tqdm, monkeypatch):
    terminal = watched(monkeypatch)
    batches = [(X[i : i + 2], Y[i : i + 2]) for i in range(0, 8, 2)]
    call = {"loss": MeanSquaredError(), "optimizer": SGD(0.0), "epochs": 3, "verbose": 0}
    # a function of a generator does not tell how many batches it will give
    net().fit(lambda rng: iter(batches), callbacks=[ProgressBar()], **call)
    steps = [int(n) for n in re.findall(r"(\d+)step \[", terminal.getvalue())]
    assert steps == sorted(steps)
    assert steps[-1] == 12
    assert 4 in steps
    assert seen(terminal)[0] == ["1/3", "2/3", "3/3"]


@pytest.fixture
def clock(monkeypatch):
    """A clock that training moves: a step takes a millisecond."""
    now = [0.0]
    monkeypatch.setattr("chainrule.callbacks.progress.time.perf_counter", lambda: now[0])

    def step(batch):
        now[0] += 0.001

    return LambdaCallback(on_train_batch_begin=step)


def test_a_bar_is_drawn_twice_a_second_however_short_a_step_is(tqdm, clock, monkeypatch):
    terminal = watched(monkeypatch)
    fit(net(), [clock, ProgressBar(every=3600)], **LONG)  # four seconds
    steps = np.array(sorted(set(seen(terminal)[1])))
    assert 8 <= len(steps) <= 13
    assert set(np.diff(steps[steps > 120])[:-1]) == {500}


def test_a_bar_finds_its_pace_again_when_steps_become_longer(tqdm, clock, monkeypatch):
    terminal = watched(monkeypatch)

    def slow(batch, logs):
        if logs["loss"] < 0:
            for _ in range(999):
                clock.on_train_batch_begin(batch)

    losses = iter([1.0] * 1000 + [-1.0] * 600)  # milliseconds, then seconds

    def loss(prediction, target, weight):
        return next(losses), np.zeros_like(prediction)

    bars = [clock, LambdaCallback(on_train_batch_end=slow), ProgressBar(every=3600)]
    call = {"optimizer": SGD(0.1), "batch_size": 1, "epochs": 199, "verbose": 0}
    next(losses)  # is seen by the check of an own loss
    net().fit(X, Y, loss=loss, callbacks=bars, **call)
    steps = [n for n in seen(terminal)[1] if n > 1000]
    assert steps[:1] <= [1200]
    assert set(np.diff(steps[1:-1])) == {1}


def test_lines_of_short_epochs_come_together_and_none_is_lost(tqdm, clock, monkeypatch):
    terminal = watched(monkeypatch)
    fit(net(), [clock, ProgressBar()], **LONG)  # epochs of eight milliseconds
    epochs, steps = seen(terminal)
    assert epochs == [f"{n}/500" for n in range(1, 501)]
    assert len(steps) <= 2 * 25
    assert steps[-1] == 4000


@pytest.mark.parametrize("error", [KeyboardInterrupt, RuntimeError])
def test_a_bar_ends_with_training_and_can_be_used_again(tqdm, error, monkeypatch):
    terminal = watched(monkeypatch)

    def fail(epoch):
        if epoch == 1:
            raise error

    bar = ProgressBar()
    with pytest.raises(error):
        fit(net(), [bar, LambdaCallback(on_epoch_begin=fail)])
    assert not tqdm.tqdm._instances
    assert set(terminal.lines()[-1]) <= {" "}
    fit(net(), [bar], epochs=2)
    assert seen(terminal)[0] == ["1/9", "1/2", "2/2"]
    fit(net(), [bar], epochs=0)
    assert not tqdm.tqdm._instances


def test_a_bar_starts_no_thread(tqdm, monkeypatch):
    watched(monkeypatch)
    before, during = threading.active_count(), []
    count = LambdaCallback(on_epoch_end=lambda *_: during.append(threading.active_count()))
    fit(net(), [count, ProgressBar()], epochs=2)
    assert during == [before, before]


def screen(text):
    """What a terminal shows of this, line by line."""
    rows, row, column = [[]], 0, 0
    for piece in re.findall(r"\x1b\[A|[\s\S]", text):
        if piece == "\x1b[A":
            row -= 1
        elif piece == "\r":
            column = 0
        elif piece == "\n":
            row, column = row + 1, 0
            rows += [[]] * (row == len(rows))
        else:
            rows[row] = [*rows[row][:column], piece, *rows[row][column + 1 :]]
            column += 1
    return ["".join(each).rstrip() for each in rows]


def test_lines_stand_above_a_bar_of_the_users_own(tqdm, monkeypatch):
    terminal = watched(monkeypatch)
    for _ in tqdm.tqdm(range(2), file=terminal, ascii=True, ncols=60):
        fit(net(), [ProgressBar()], epochs=2)
    *lines, bar, end = screen(terminal.getvalue())
    assert [re.sub(r" .*s$", "", line.removeprefix("epoch ")) for line in lines] == [
        "1/2",
        "2/2",
    ] * 2
    assert "2/2 [" in bar
    assert end == ""


@pytest.mark.parametrize("with_bar", [True, False])
def test_training_goes_on_when_the_terminal_is_gone(tqdm, with_bar, monkeypatch):
    class Gone(Terminal):
        def isatty(self):
            return with_bar

        def write(self, text):
            raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(sys, "stderr", Gone())
    assert len(fit(net(), [ProgressBar()], epochs=2).epochs) == 2
    monkeypatch.setattr(sys, "stderr", Terminal())
    close = LambdaCallback(on_epoch_begin=lambda epoch: sys.stderr.close())
    assert len(fit(net(), [close, ProgressBar()], epochs=2).epochs) == 2
    assert len(fit(net(), [ProgressBar()], epochs=2).epochs) == 2  # closed before
    assert not tqdm.tqdm._instances


def test_names_are_written_as_the_stream_can(monkeypatch):
    loss = MeanSquaredError()
    metric = as_metric(loss)
    metric.name = "m\u00e9trique"
    for encoding, shown in (("ascii", b" m\\xe9trique 1"), ("utf-8", b" m\xc3\xa9trique 1")):
        stream = io.TextIOWrapper(io.BytesIO(), encoding=encoding)  # strict, as a file's is
        monkeypatch.setattr(sys, "stderr", stream)
        fit(net(), [ProgressBar()], epochs=1, metrics=[metric])
        assert shown in stream.buffer.getvalue()


def test_without_tqdm_there_are_lines_alone(monkeypatch):
    terminal = watched(monkeypatch)
    monkeypatch.setitem(sys.modules, "tqdm", None)
    fit(net(), [ProgressBar()], epochs=2)
    assert "\r" not in terminal.getvalue()
    assert seen(terminal) == (["1/2", "2/2"], [])


def test_where_nobody_watches_there_are_lines_alone(capsys):
    fit(net(), [ProgressBar()], epochs=2)
    error = capsys.readouterr().err
    assert "\r" not in error
    assert [line.split()[1] for line in error.splitlines()] == ["1/2", "2/2"]


class OnlyWrites:
    """The least that `print` can write to."""

    def __init__(self):
        self.text = ""

    def write(self, text):
        self.text += text

    def flush(self):
        pass


def test_a_standard_error_may_be_missing_or_only_write(monkeypatch):
    monkeypatch.setattr(sys, "stderr", None)
    assert len(fit(net(), [ProgressBar()], epochs=2).epochs) == 2
    monkeypatch.setattr(sys, "stderr", OnlyWrites())
    fit(net(), [ProgressBar()], epochs=2)
    assert sys.stderr.text.count("\n") == 2


@pytest.mark.parametrize("settings", [{"LC_ALL": "C"}, {"PYTHONIOENCODING": "ascii"}, {}])
def test_a_real_terminal_is_given_ascii(tqdm, settings):
    fcntl, termios = pytest.importorskip("fcntl"), pytest.importorskip("termios")
    ours, theirs = os.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("4H", 25, 80, 0, 0))
    code = "from callback_helpers import fit, net\nfit(net(), verbose=1, epochs=2)"
    with os.fdopen(ours, "rb", buffering=0) as screen:
        run = subprocess.Popen(
            [sys.executable, "-W", "error", "-c", code], stderr=theirs, cwd=Path(__file__).parent,
            env=dict(os.environ) | settings,
        )  # fmt: skip
        os.close(theirs)
        shown = b""
        try:
            while piece := screen.read(4096):
                shown += piece
        except OSError:  # how the end of a pseudo-terminal is told on Linux
            pass
        assert run.wait(timeout=60) == 0
    assert shown.isascii()
    assert b"epoch 2/2" in shown
    assert b"2/2 [" in shown
