"""Progress: what a person who waits wants to see, on standard error. Where there is nothing to
watch, no terminal or no tqdm, it is a line for an epoch."""

from __future__ import annotations

import sys
import time
from collections.abc import Mapping
from typing import Any

import numpy as np

from ..errors import check_number, listed
from .base import Callback


class ProgressBar(Callback):
    """Print a line for an epoch, with its figures and its time, to standard error.

    Where standard error is a terminal and tqdm is installed, a bar below the lines shows how many
    steps of the whole training are done, and how long the rest will take. It is of ASCII alone,
    because a terminal does not tell what else it knows.

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

    _bar: Any = None

    def __init__(self, every: float = 0.0) -> None:
        self.every = check_number("ProgressBar", "every", every, low=0)

    def on_train_begin(self) -> None:
        self._shown = float("-inf")
        self._held_back: str | None = None
        self._make_bar = bar_class()

    def on_epoch_begin(self, epoch: int) -> None:
        self._start = time.perf_counter()
        if self._make_bar is not None:
            steps = self.params["steps"]  # None for a stream that does not tell
            if self._bar is None:
                self._bar = self._make_bar(
                    total=steps and self.params["epochs"] * steps, initial=epoch * (steps or 0),
                    unit="step", file=sys.stderr, ascii=True, leave=False, dynamic_ncols=True,
                )  # fmt: skip
            if steps:
                self._bar.update(epoch * steps - self._bar.n)  # if the last was stopped within

    def on_train_batch_end(self, batch: int, logs: Mapping[str, Any]) -> None:
        if self._bar is not None:
            self._bar.update()

    def on_epoch_end(self, epoch: int, logs: Mapping[str, Any]) -> None:
        now, epochs = time.perf_counter(), self.params["epochs"]
        numbers = {name: value for name, value in logs.items() if np.ndim(value) == 0}
        figures = "  ".join(f"{name} {value:.4g}" for name, value in numbers.items())
        line = f"epoch {epoch + 1:{len(str(epochs))}}/{epochs}  {figures}  {now - self._start:.2f}s"
        self._held_back = line
        if now - self._shown >= self.every:
            self._shown = now
            self._print()

    def on_train_end(self) -> None:
        if self._bar is not None:
            self._bar.close()
            self._bar = None
        self._print()

    def _print(self) -> None:
        if self._held_back is not None and sys.stderr is not None:
            if self._bar is not None:
                self._bar.clear()
            print(self._held_back, file=sys.stderr, flush=True)
            if self._bar is not None:
                self._bar.refresh()
        self._held_back = None


def bar_class() -> Any:
    """tqdm's class where it is installed and someone watches, else None."""
    is_watched = getattr(sys.stderr, "isatty", bool)
    if not is_watched():
        return None
    try:
        from tqdm import tqdm
    except ImportError:
        return None
    return type("Bar", (tqdm,), {"monitor_interval": 0})  # without a thread of its own


def check_callbacks(callbacks: Any, verbose: Any) -> list[Callback]:
    """Return the callbacks, with one that shows progress where wanted."""
    if verbose not in ("auto", 0, 1):
        raise ValueError(f'fit: verbose must be "auto", 0 or 1, got {verbose!r}.')
    chosen = listed("callbacks", callbacks)
    for callback in chosen:
        if not isinstance(callback, Callback):
            hint = f"; write {callback.__name__}()" if isinstance(callback, type) else ""
            raise TypeError(f"callbacks: expected Callback objects, got {callback!r}{hint}.")
    if verbose and not any(isinstance(callback, ProgressBar) for callback in chosen):
        chosen.append(ProgressBar(every=0.5 if verbose == "auto" else 0.0))
    return chosen
