"""The hooks that training calls, and the callbacks that are hardly more than a hook. Everything a
callback may look at is an attribute that `fit` sets before the first hook."""

from __future__ import annotations

import numbers
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from ..model import Model


class Callback:
    """Base class: every hook does nothing.

    Attributes
    ----------
    model : Model
        The model in training.
    optimizer : Optimizer
        The optimizer that trains it.
    params : dict
        ``"epochs"``, ``"steps"`` in an epoch (None for a stream that does not tell), and
        ``"monitors"``: the name of every number that the history will hold, with whether higher is
        better.
    part_of_run : bool
        False for one that only looks on: it may be there or not when a run is resumed.

    Examples
    --------
    >>> from chainrule import Callback
    >>> class Stop(Callback):
    ...     def on_epoch_end(self, epoch, logs):
    ...         self.model.stop_training = logs["loss"] < 0.01
    """

    model: Model
    optimizer: Any
    params: Mapping[str, Any]
    part_of_run: bool = True

    def state_dict(self) -> dict[str, Any]:
        """What a `Checkpoint` has to keep: plain values and arrays, whatever epochs to come need.

        Called after ``on_epoch_end``. Here nothing.
        """
        return {}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Take over what `state_dict` gave; called after ``on_train_begin`` when a run is resumed.

        Raise `ValueError` for what does not fit.
        """

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


HOOKS = [name for name in vars(Callback) if name.startswith("on_")]


def looks_at_batches(callback: Callback) -> bool:
    """Whether a callback has a hook of its own for steps; training calls no others so often."""
    return any(
        getattr(getattr(callback, name), "__func__", None) is not getattr(Callback, name)
        for name in ("on_train_batch_begin", "on_train_batch_end")
    )


def is_scalar(value: Any) -> bool:
    """Whether a figure is one real number; that of a confusion matrix is not."""
    if isinstance(value, np.ndarray) and value.ndim == 0:
        value = value.item()
    return isinstance(value, (numbers.Real, np.bool_))


class LambdaCallback(Callback):
    """A callback from functions, each called with what its hook is given.

    Parameters
    ----------
    **hooks : function
        By the hook's name: ``on_train_begin()``, ``on_train_end()``, ``on_epoch_begin(epoch)``,
        ``on_epoch_end(epoch, logs)``, ``on_train_batch_begin(batch)``,
        ``on_train_batch_end(batch, logs)``.

    Raises
    ------
    TypeError
        For a hook that there is not, and for what is no function.

    Examples
    --------
    >>> from chainrule import LambdaCallback
    >>> losses = []
    >>> callback = LambdaCallback(on_epoch_end=lambda epoch, logs: losses.append(logs["loss"]))

    References
    ----------
    Keras' ``LambdaCallback``, whose hooks of a batch and of a training take ``logs`` as well.
    """

    part_of_run = False

    def __init__(self, **hooks: Callable[..., Any]) -> None:
        for name, function in hooks.items():
            if name not in HOOKS:
                raise TypeError(
                    f"LambdaCallback: there is no hook {name!r}, only {', '.join(HOOKS)}."
                )
            if not callable(function):
                raise TypeError(f"LambdaCallback: {name} must be a function, got {function!r}.")
            setattr(self, name, function)


class TerminateOnNaN(Callback):
    """End training quietly where `DivergenceError` would be raised, as it is without this callback.

    A loss, a gradient or a weight that is not finite ends training in any case, and the weights
    from before the epoch are put back. With this callback `fit` returns the history of the epochs
    before; that epoch is not in it, and has no ``on_epoch_end``.

    Attributes
    ----------
    epoch : int or None
        The epoch in which training ended, counted from 0; None if it did not end so.
    message : str or None
        What `DivergenceError` would have said.

    Examples
    --------
    >>> import numpy as np
    >>> from chainrule import SGD, Dense, MeanSquaredError, Model, TerminateOnNaN
    >>> x, watch = np.ones((4, 1)), TerminateOnNaN()
    >>> history = Model(Dense(1, 1), seed=0).fit(
    ...     x, 2 * x, loss=MeanSquaredError(), optimizer=SGD(lr=1e30), epochs=9, verbose=0,
    ...     callbacks=[watch])
    >>> watch.epoch
    1
    >>> history.epochs
    [0]

    References
    ----------
    Keras' ``TerminateOnNaN``, which looks at the loss alone and keeps the weights as they are.
    """

    epoch: int | None = None
    message: str | None = None

    def on_train_begin(self) -> None:
        self.epoch, self.message = None, None

    def end_training(self, epoch: int, message: str) -> None:
        """Write down where and why, and stop; training calls this."""
        self.epoch, self.message = epoch, message
        self.model.stop_training = True
