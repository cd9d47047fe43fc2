"""What callbacks share that follow a figure: which one, whether lower or higher is better, and what
counts as an improvement. What is wrong with a monitor is refused here, before training begins."""

from __future__ import annotations

import inspect
import math
from collections.abc import Mapping
from typing import Any

from ..errors import check_choice, check_count, check_number
from .base import Callback, is_scalar


class Monitoring(Callback):
    """Base class: keeps the best value of a figure, and counts the epochs without a better one."""

    def __init__(self, monitor: str, mode: str, min_delta: float, patience: int) -> None:
        owner = type(self).__name__
        if not isinstance(monitor, str):
            raise TypeError(f"{owner}: monitor must be a name, got {monitor!r}.")
        check_choice(owner, "mode", mode, ("auto", "min", "max"))
        self.monitor, self.mode = monitor, mode
        self.min_delta = check_number(owner, "min_delta", min_delta, low=0)
        self.patience = check_count(owner, "patience", patience, low=0)
        self._forget()

    def _forget(self) -> None:
        self.best: float | None = None
        self._waited = 0

    def on_train_begin(self) -> None:
        self._forget()
        monitors = self.params["monitors"]
        if self.monitor not in monitors:
            hint = ""
            if self.monitor.startswith("val_") and "val_loss" not in monitors:
                hint = " Pass validation_data=(x, y) or validation_split=0.1 to fit."
            raise ValueError(
                f"{type(self).__name__}: there will be no {self.monitor!r} to monitor, only "
                f"{', '.join(monitors)}.{hint}"
            )
        higher = monitors[self.monitor] if self.mode == "auto" else self.mode == "max"
        self._sign = -1.0 if higher else 1.0

    def state_dict(self) -> dict[str, Any]:
        return {"options": self._options(), "best": self.best, "waited": self._waited}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        for name, value in self._options().items():
            if state["options"][name] != value:
                raise ValueError(
                    f"{type(self).__name__}: the run that should be resumed had "
                    f"{name}={state['options'][name]!r}, this callback has {value!r}."
                )
        best, waited = state["best"], state["waited"]
        if not (best is None or is_scalar(best)) or type(waited) is not int or waited < 0:
            raise ValueError(f"{type(self).__name__}: best={best!r}, waited={waited!r} are none.")
        self.best, self._waited = best, waited

    def _check_epochs(self, **epochs: Any) -> None:
        """Refuse a saved epoch that is none."""
        for name, epoch in epochs.items():
            if epoch is not None and (type(epoch) is not int or epoch < 0):
                raise ValueError(f"{type(self).__name__}: its {name} is {epoch!r}.")

    def _options(self) -> dict[str, Any]:
        """The constructor's arguments, without those that may differ when a run is resumed."""
        names = inspect.signature(type(self)).parameters.keys() - {"path", "every"}
        return {name: vars(self)[name] for name in sorted(names & vars(self).keys())}

    def _improves(self, value: Any) -> bool:
        """Take in an epoch's value; NaN never improves, and the first number always does."""
        if not is_scalar(value):
            raise TypeError(
                f"{type(self).__name__}: {self.monitor!r} must be a number to be monitored, got "
                f"{value!r}; a metric of arrays has higher_is_better = None."
            )
        value = float(value)
        gain = math.inf if self.best is None else self._sign * (self.best - value)
        if not math.isnan(value) and gain > self.min_delta:
            self.best, self._waited = value, 0
            return True
        self._waited += 1
        return False

    def _is_out_of_patience(self) -> bool:
        return self._waited >= max(self.patience, 1)
