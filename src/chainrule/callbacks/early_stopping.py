"""Early stopping: end training where a figure no longer improves. The weights that are kept are
those of the best epoch, because a turn is known only after it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..errors import check_count, check_flag
from .monitors import Monitoring


class EarlyStopping(Monitoring):
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
        super().__init__(monitor, mode, min_delta, patience)
        self.restore_best_weights = check_flag(
            "EarlyStopping", "restore_best_weights", restore_best_weights
        )
        self.start_from_epoch = check_count(
            "EarlyStopping", "start_from_epoch", start_from_epoch, low=0
        )

    def _forget(self) -> None:
        super()._forget()
        self.best_epoch: int | None = None
        self.stopped_epoch: int | None = None
        self._best_state: dict[str, Any] | None = None

    def on_epoch_end(self, epoch: int, logs: Mapping[str, Any]) -> None:
        if epoch < self.start_from_epoch:
            return
        if self._improves(logs[self.monitor]):
            self.best_epoch = epoch
            if self.restore_best_weights:
                self._best_state = self.model.state_dict()
        elif self._is_out_of_patience():
            self.stopped_epoch = epoch
            self.model.stop_training = True

    def state_dict(self) -> dict[str, Any]:
        own = {"best_epoch": self.best_epoch, "stopped_epoch": self.stopped_epoch}
        return {**super().state_dict(), **own, "best_state": self._best_state}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        best, own = state["best_state"], self.model.state_dict()
        if best is not None and {k: (v.shape, v.dtype) for k, v in best.items()} != {
            k: (v.shape, v.dtype) for k, v in own.items()
        }:
            raise ValueError("EarlyStopping: the best weights are those of another model.")
        super().load_state_dict(state)
        epochs = {name: state[name] for name in ("best_epoch", "stopped_epoch")}
        self._check_epochs(**epochs)
        self.__dict__.update(epochs)
        self._best_state = best

    def on_train_end(self) -> None:
        if self._best_state is not None:
            self.model.load_state_dict(self._best_state)
            self._best_state = None
