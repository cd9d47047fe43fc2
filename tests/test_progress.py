"""A bar is seen by people alone: where standard error is no terminal, or tqdm is not installed,
there are plain lines. What is shown above a bar are the same lines."""

from __future__ import annotations

import io
import os
import re
import struct
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from callback_helpers import fit, net

from chainrule import Callback, LambdaCallback, ProgressBar


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
    assert {0, 5, 9} <= set(seen(terminal)[1])


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
