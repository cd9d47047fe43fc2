"""A rate that falls when nothing gets better any more. It cannot be a function of the step, as
schedules are, because it depends on what training has reached; so it is a callback."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..errors import check_count, check_number
from .monitors import Monitoring


class ReduceLROnPlateau(Monitoring):
    r"""Multiply the learning rate by a factor when the monitored figure no longer improves.

    .. math:: \eta \leftarrow \max(\gamma \, \eta, \, \eta_{\min})

    It sets ``optimizer.lr`` between two epochs. The rate stays there after training; the figures
    that decide are forgotten at the start of each fit.

    Parameters
    ----------
    monitor : str
        A key of the history, such as ``"val_loss"``.
    factor : float
        :math:`\gamma`, from 0 to below 1.
    patience : int
        Number of epochs without improvement after which the rate falls; with 0 the first one makes
        it fall.
    mode : "auto", "min" or "max"
        Whether lower or higher is better; "auto" knows it of every loss and metric.
    min_delta : float
        What counts as an improvement is better by more than this.
    cooldown : int
        Number of epochs after the rate fell in which those without improvement are not counted.
    min_lr : float
        :math:`\eta_{\min}`: the rate does not fall below.

    Attributes
    ----------
    best : float or None
        The best figure of this fit.
    reductions : list of (int, float)
        The epoch after which the rate fell, counted from 0, and the new rate.

    Raises
    ------
    TypeError, ValueError
        For options outside their ranges; at the start of a fit for a monitor that will not exist,
        and beside a schedule.

    Examples
    --------
    >>> from chainrule import ReduceLROnPlateau
    >>> plateau = ReduceLROnPlateau(factor=0.5, patience=3, min_lr=1e-5)

    References
    ----------
    Keras' ``ReduceLROnPlateau``, with its rule and its defaults. In PyTorch's the rate falls an
    epoch later, and `min_delta` is a share of the best figure.
    """

    def __init__(
        self,
        monitor: str = "val_loss",
        factor: float = 0.1,
        patience: int = 10,
        mode: str = "auto",
        min_delta: float = 1e-4,
        cooldown: int = 0,
        min_lr: float = 0.0,
    ) -> None:
        super().__init__(monitor, mode, min_delta, patience)
        name = "ReduceLROnPlateau"
        self.factor = check_number(name, "factor", factor, low=0, high=1, open_high=True)
        self.cooldown = check_count(name, "cooldown", cooldown, low=0)
        self.min_lr = check_number(name, "min_lr", min_lr, low=0)

    def _forget(self) -> None:
        super()._forget()
        self.reductions: list[tuple[int, float]] = []
        self._cooling = 0

    def on_train_begin(self) -> None:
        super().on_train_begin()
        lr = getattr(self.optimizer, "lr", None)
        if callable(lr):
            raise ValueError(
                f"ReduceLROnPlateau: the rate of {self.optimizer!r} is a schedule, which sets it "
                "at each step. Give the optimizer a number, or leave out this callback."
            )
        check_number("ReduceLROnPlateau", "the optimizer's lr", lr, low=0)

    def state_dict(self) -> dict[str, Any]:
        own = {"reductions": self.reductions, "cooling": self._cooling}
        return {**super().state_dict(), **own}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        super().load_state_dict(state)
        reductions, cooling = state["reductions"], state["cooling"]
        if type(reductions) is not list or type(cooling) is not int or cooling < 0:
            raise ValueError(f"ReduceLROnPlateau: {reductions=}, {cooling=} are none of it.")
        self.reductions, self._cooling = reductions, cooling

    def on_epoch_end(self, epoch: int, logs: Mapping[str, Any]) -> None:
        if self._cooling:
            self._cooling -= 1
            self._waited = 0
        if self._improves(logs[self.monitor]):
            return
        if self._cooling:
            self._waited = 0
        elif self._is_out_of_patience() and self.optimizer.lr > self.min_lr:
            self.optimizer.lr = max(self.factor * float(self.optimizer.lr), self.min_lr)
            self.reductions.append((epoch, self.optimizer.lr))
            self._cooling, self._waited = self.cooldown, 0
