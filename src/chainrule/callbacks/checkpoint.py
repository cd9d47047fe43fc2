"""A run as a file from which it goes on as if it had never stopped. This callback says where and
when; what belongs to a run is written by `fit`, once all callbacks have seen the epoch."""

from __future__ import annotations

import os
import warnings
from collections.abc import Mapping
from typing import Any

from ..errors import check_count, check_flag
from .monitors import Monitoring


class Checkpoint(Monitoring):
    """Write the whole state of a run to a file, from which ``fit(resume_from=path)`` goes on.

    The file is written when an epoch has ended and all other callbacks have seen it, wherever this
    one stands in the list; an earlier file is whole until the new one is. It can be opened with
    `Model.load` too, which gives the model as of that epoch.

    Parameters
    ----------
    path : str or os.PathLike
        Used as given. An earlier file is replaced.
    every : int
        The number of epochs from one file to the next. After the last epoch there is always one.
    keep_best : bool
        Write the model of the best epoch to a second file, as `Model.save` does.
    monitor : str
        With `keep_best`, the key of the history that says which epoch is best.
    mode : "auto", "min" or "max"
        With `keep_best`, whether lower or higher is better; "auto" knows it of every loss and
        metric.

    Attributes
    ----------
    best_path : str
        The second file: `path` with ``.best`` before its extension.
    best, best_epoch : float, int or None
        With `keep_best`, the best figure and its epoch, counted from 0.

    Raises
    ------
    TypeError, ValueError
        For options outside their ranges; at the start of a fit for what a file cannot hold, and for
        a monitor that will not exist.
    OSError
        For a file that cannot be written, at the start of a fit as far as that can be known.

    Examples
    --------
    >>> from chainrule import Checkpoint
    >>> checkpoint = Checkpoint("run.npz", every=5, keep_best=True)
    >>> checkpoint.best_path
    'run.best.npz'

    In the script: ``model.fit(..., callbacks=[checkpoint], resume_from="run.npz")``.

    References
    ----------
    Keras' ``BackupAndRestore`` and ``ModelCheckpoint``.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        every: int = 1,
        keep_best: bool = False,
        monitor: str = "val_loss",
        mode: str = "auto",
    ) -> None:
        if not isinstance(path, (str, os.PathLike)):
            raise TypeError(f"Checkpoint: path must be that of a file, got {path!r}.")
        super().__init__(monitor, mode, min_delta=0, patience=0)
        self.path = os.fsdecode(path)
        self.every = check_count("Checkpoint", "every", every)
        self.keep_best = check_flag("Checkpoint", "keep_best", keep_best)
        root, extension = os.path.splitext(self.path)
        self.best_path = f"{root}.best{extension}"

    def _forget(self) -> None:
        super()._forget()
        self.best_epoch: int | None = None

    @property
    def part_of_run(self) -> bool:  # type: ignore[override]
        """Whether there is something to remember: which epoch was best."""
        return self.keep_best

    def on_train_begin(self) -> None:
        if self.keep_best:
            super().on_train_begin()
        # for a run that changes its folder
        self.target, self._best_target = map(os.path.abspath, (self.path, self.best_path))

    def on_epoch_end(self, epoch: int, logs: Mapping[str, Any]) -> None:
        if self.keep_best and self._improves(logs[self.monitor]):
            self.best_epoch = epoch
            self.model.save(self._best_target)

    def targets(self) -> list[str]:
        """The files that will be written; training asks whether they can be."""
        return [self.target, self._best_target] if self.keep_best else [self.target]

    def is_due(self, epoch: int) -> bool:
        """Whether the run is written after this epoch, counted from 0; training asks."""
        is_last = epoch + 1 == self.params["epochs"] or self.model.stop_training
        return is_last or (epoch + 1) % self.every == 0

    def state_dict(self) -> dict[str, Any]:
        return {**super().state_dict(), "best_epoch": self.best_epoch}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        super().load_state_dict(state)
        self._check_epochs(best_epoch=state["best_epoch"])
        self.best_epoch = state["best_epoch"]
        if self.best_epoch is not None and not os.path.exists(self.best_path):
            warnings.warn(
                f"Checkpoint: the best model so far, of epoch {self.best_epoch + 1}, is no longer "
                f"at {self.best_path!r}; the file will be there again after a better epoch.",
                stacklevel=2,
            )
