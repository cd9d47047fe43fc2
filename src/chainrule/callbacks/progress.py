"""Progress: what a person who waits wants to see. It goes to standard error, a line for an epoch,
so that it never mixes with results."""

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

    Parameters
    ----------
    every : float
        Seconds that lie between two lines at least; the first and the last epoch are always shown.

    Examples
    --------
    >>> from chainrule import ProgressBar
    >>> progress = ProgressBar(every=10.0)  # for fit(..., callbacks=[progress])
    """

    def __init__(self, every: float = 0.0) -> None:
        self.every = check_number("ProgressBar", "every", every, low=0)

    def on_train_begin(self) -> None:
        self._shown = float("-inf")
        self._held_back: str | None = None

    def on_epoch_begin(self, epoch: int) -> None:
        self._start = time.perf_counter()

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
        self._print()

    def _print(self) -> None:
        if self._held_back is not None and sys.stderr is not None:
            print(self._held_back, file=sys.stderr, flush=True)
        self._held_back = None


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
