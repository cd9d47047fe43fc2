"""Callbacks: what happens beside training, at its hooks. The names of the hooks are Keras'.

A callback sees the model as `self.model` and the run's plan as `self.params`; it ends training by
setting `self.model.stop_training`.
"""

from __future__ import annotations

import math
import sys
import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from .errors import check_count, check_flag, check_number

if TYPE_CHECKING:
    from .model import Model


class Callback:
    """Base class: every hook does nothing.

    Attributes
    ----------
    model : Model
        The model in training.
    params : dict
        ``"epochs"``, ``"steps"`` in an epoch, and ``"monitors"``: the name of every number that the
        history will hold, with whether higher is better.

    Examples
    --------
    >>> from chainrule import Callback
    >>> class Stop(Callback):
    ...     def on_epoch_end(self, epoch, logs):
    ...         self.model.stop_training = logs["loss"] < 0.01
    """

    model: Model
    params: Mapping[str, Any]

    def on_train_begin(self) -> None:
        """Before the first epoch of a fit; what is wrong is best refused here."""

    def on_train_end(self) -> None:
        """After the last epoch, however training ended."""

    def on_epoch_begin(self, epoch: int) -> None:
        """Before an epoch, counted from 0."""

    def on_epoch_end(self, epoch: int, logs: Mapping[str, Any]) -> None:
        """After an epoch, with its figures."""

    def on_train_batch_begin(self, batch: int) -> None:
        """Before a step, counted from 0 in each epoch."""

    def on_train_batch_end(self, batch: int, logs: Mapping[str, Any]) -> None:
        """After a step, with its loss."""


class EarlyStopping(Callback):
    """Stop when the monitored figure no longer improves, and put the best weights back.

    Parameters
    ----------
    monitor : str
        A key of the history, such as ``"val_loss"``.
    min_delta : float
        What counts as an improvement is better by more than this.
    patience : int
        Number of epochs without improvement after which training stops; with 0 the first one ends
        it.
    mode : "auto", "min" or "max"
        Whether lower or higher is better; "auto" knows it of every loss and metric.
    restore_best_weights : bool
        Put parameters and buffers of the best epoch back however training ends: stopped, run to
        its last epoch, interrupted or diverged.
    start_from_epoch : int
        Epochs before this one are not looked at.

    Attributes
    ----------
    best, best_epoch : float, int or None
    stopped_epoch : int or None
        The epoch after which this callback ended training; None if it did not.

    Raises
    ------
    TypeError, ValueError
        For options outside their ranges; at the start of a fit for a monitor that will not exist.

    Examples
    --------
    >>> from chainrule import EarlyStopping
    >>> stopping = EarlyStopping(patience=3)

    References
    ----------
    L. Prechelt, *Early Stopping - But When?*, in Neural Networks: Tricks of the Trade, 1998.
    """

    def __init__(
        self,
        monitor: str = "val_loss",
        min_delta: float = 0.0,
        patience: int = 5,
        mode: str = "auto",
        restore_best_weights: bool = True,
        start_from_epoch: int = 0,
    ) -> None:
        if not isinstance(monitor, str):
            raise TypeError(f"EarlyStopping: monitor must be a name, got {monitor!r}.")
        if mode not in ("auto", "min", "max"):
            raise ValueError(f'EarlyStopping: mode must be "auto", "min" or "max", got {mode!r}.')
        self.monitor, self.mode = monitor, mode
        self.min_delta = check_number("EarlyStopping", "min_delta", min_delta, low=0)
        self.patience = check_count("EarlyStopping", "patience", patience, low=0)
        self.restore_best_weights = check_flag(
            "EarlyStopping", "restore_best_weights", restore_best_weights
        )
        self.start_from_epoch = check_count(
            "EarlyStopping", "start_from_epoch", start_from_epoch, low=0
        )
        self._forget()

    def _forget(self) -> None:
        self.best: float | None = None
        self.best_epoch: int | None = None
        self.stopped_epoch: int | None = None
        self._best_state: dict[str, Any] | None = None
        self._waited = 0

    def on_train_begin(self) -> None:
        self._forget()
        monitors = self.params["monitors"]
        if self.monitor not in monitors:
            hint = ""
            if self.monitor.startswith("val_") and "val_loss" not in monitors:
                hint = " Pass validation_data=(x, y) or validation_split=0.1 to fit."
            raise ValueError(
                f"EarlyStopping: there will be no {self.monitor!r} to monitor, only "
                f"{', '.join(monitors)}.{hint}"
            )
        higher = monitors[self.monitor] if self.mode == "auto" else self.mode == "max"
        self._sign = -1.0 if higher else 1.0

    def on_epoch_end(self, epoch: int, logs: Mapping[str, Any]) -> None:
        if epoch < self.start_from_epoch:
            return
        value = logs[self.monitor]
        gain = math.inf if self.best is None else self._sign * (self.best - value)
        if not math.isnan(value) and gain > self.min_delta:
            self.best, self.best_epoch, self._waited = value, epoch, 0
            if self.restore_best_weights:
                self._best_state = self.model.state_dict()
            return
        self._waited += 1
        if self._waited >= max(self.patience, 1):
            self.stopped_epoch = epoch
            self.model.stop_training = True

    def on_train_end(self) -> None:
        if self._best_state is not None:
            self.model.load_state_dict(self._best_state)
            self._best_state = None


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
