"""Progress: what a person who waits wants to see, on standard error. Where there is nothing to
watch, no terminal or no tqdm, it is a line for an epoch."""

from __future__ import annotations

import contextlib
import math
import sys
import time
from collections.abc import Mapping
from typing import Any

from ..errors import check_choice, check_number, listed
from .base import Callback, is_scalar

PACE = 0.5  # seconds between two drawings, about


class ProgressBar(Callback):
    """Print a line for an epoch, with its figures and its time, to standard error.

    Where standard error is a terminal and tqdm is installed, a bar below the lines shows how many
    steps of the whole training are done, and how long the rest will take. It is of ASCII alone,
    because a terminal does not tell what else it knows. There the lines of epochs that take less
    than half a second come several at a time. When standard error can no longer be written,
    as when a terminal was closed, training goes on without.

    Parameters
    ----------
    every : float
        Seconds that lie between two lines at least; the first and the last epoch are always shown.

    Raises
    ------
    TypeError, ValueError
        For what is no number of seconds.

    Examples
    --------
    >>> from chainrule import ProgressBar
    >>> progress = ProgressBar(every=10.0)  # for fit(..., callbacks=[progress])

    References
    ----------
    `tqdm <https://tqdm.github.io>`_, installed by ``pip install "chainrule[progress]"``.
    """

    part_of_run = False
    _bar: Any = None

    def __init__(self, every: float = 0.0) -> None:
        self.every = check_number("ProgressBar", "every", every, low=0)

    def on_train_begin(self) -> None:
        self._shown, self._done = -math.inf, 0
        self._held_back: list[tuple[int, Mapping[str, Any], float]] = []
        self._make_bar = bar_class()

    def on_epoch_begin(self, epoch: int) -> None:
        self._start = time.perf_counter()
        steps = self.params["steps"]  # None for a stream that does not tell
        self._before = epoch * steps if steps else self._done
        self._batch = -1
        self._next = math.inf  # the first step of this epoch after which the bar is drawn
        if self._make_bar is not None:
            if self._bar is None:
                self._bar = self._make_bar(
                    total=steps and self.params["epochs"] * steps, initial=self._before,
                    unit="step", file=sys.stderr, ascii=True, leave=False, dynamic_ncols=True,
                    smoothing=0,
                )  # fmt: skip
                self._due, self._drawn = self._before, (self._before, self._start)
            self._next = self._due - self._before

    def on_train_batch_end(self, batch: int, logs: Mapping[str, Any]) -> None:
        self._batch = batch
        if batch >= self._next:  # all that most steps cost
            self._draw(self._before + batch + 1)

    def _draw(self, done: int) -> None:
        """Draw the bar, under lines that wait, and settle after how many steps to do so again."""
        (before, then), now = self._drawn, time.perf_counter()
        self._bar.n = done
        if self._held_back and not self.every:
            self._shown = now
            self._print()
        else:
            self._bar.refresh()
        in_time = (done - before) * PACE / max(now - then, 1e-9)
        self._due = done + max(1, round(min(in_time, 10 * (done - before)))) - 1
        self._next, self._drawn = self._due - self._before, (done, now)

    def on_epoch_end(self, epoch: int, logs: Mapping[str, Any]) -> None:
        now = time.perf_counter()
        if self.every:  # of lines that come too soon the last alone is kept
            self._held_back.clear()
        self._held_back.append((epoch, logs, now - self._start))
        self._done = self._before + (self.params["steps"] or self._batch + 1)
        pace = 0.0
        if self._bar is not None:
            self._bar.n = self._done  # whole, if it was stopped within
            pace = PACE
        if now - self._shown >= max(self.every, pace):
            self._shown = now
            self._print()

    def on_train_end(self) -> None:
        self._print()
        if self._bar is not None:
            self._bar.close()
            self._bar = None

    def _print(self) -> None:
        """Write the lines that were held back, above the bar."""
        if self._held_back and sys.stderr is not None:
            text = "\n".join(line(self.params["epochs"], *epoch) for epoch in self._held_back)
            encoding = getattr(sys.stderr, "encoding", None) or "utf-8"
            text = text.encode(encoding, "backslashreplace").decode(encoding)
            with contextlib.suppress(OSError, ValueError):  # the terminal is gone, or was closed
                if self._bar is not None:
                    self._bar.write(text, file=sys.stderr)
                else:
                    print(text, file=sys.stderr, flush=True)
        self._held_back.clear()


def line(epochs: int, epoch: int, logs: Mapping[str, Any], seconds: float) -> str:
    """What is shown of an epoch."""
    figures = "  ".join(f"{name} {float(v):.4g}" for name, v in logs.items() if is_scalar(v))
    return f"epoch {epoch + 1:{len(str(epochs))}}/{epochs}  {figures}  {seconds:.2f}s"


def bar_class() -> Any:
    """tqdm's class where it is installed and someone watches, else None."""
    try:
        if not sys.stderr.isatty():
            return None
        from tqdm import tqdm
    except (ImportError, AttributeError, ValueError):  # no stream, or one that is closed
        return None
    return type("Bar", (tqdm,), {"monitor_interval": 0})  # without a thread of its own


def check_callbacks(callbacks: Any, verbose: Any) -> list[Callback]:
    """Return the callbacks, with one that shows progress where wanted."""
    check_choice("fit", "verbose", verbose, ("auto", 0, 1))
    chosen = listed("callbacks", callbacks)
    for i, callback in enumerate(chosen):
        if not isinstance(callback, Callback):
            hint = f"; write {callback.__name__}()" if isinstance(callback, type) else ""
            raise TypeError(f"callbacks: expected Callback objects, got {callback!r}{hint}.")
        if any(callback is other for other in chosen[:i]):
            raise ValueError(f"callbacks: {callback!r} stands there twice; it would count twice.")
    if verbose and not any(isinstance(callback, ProgressBar) for callback in chosen):
        chosen.append(ProgressBar(every=0.5 if verbose == "auto" else 0.0))
    return chosen
