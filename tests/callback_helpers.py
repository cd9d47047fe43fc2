"""What the tests of callbacks share: a small network with a buffer, a fit of it, and a script that
stands in for a validation loss."""

from __future__ import annotations

import math

import numpy as np

from chainrule import SGD, BinaryAccuracy, Callback, Dense, Layer, MeanSquaredError, Model
from chainrule.initializers import ones

RNG = np.random.default_rng(5)
X, Y = RNG.normal(size=(8, 2)), RNG.normal(size=(8, 1))
NAN, INF = math.nan, math.inf


class Count(Layer):
    """y = x * s; its buffer counts training passes and is seen in evaluation."""

    def __init__(self):
        super().__init__()
        self.add_parameter("s", (1,), ones)
        self.add_buffer("calls", [0.0])

    def forward(self, x, training=False):
        if training:
            self.calls = self.calls + 1
        return x * self.s + 0.01 * self.calls, x

    def backward(self, dy, x, out=None, need_dx=True):
        return dy * self.s, {"s": (dy * x).sum(axis=0)}


class Script(Callback):
    """Put given figures in the place of a monitored one, and keep each epoch's state."""

    def __init__(self, values, monitor="val_loss"):
        self.values, self.monitor, self.states = values, monitor, []

    def on_epoch_end(self, epoch, logs):
        logs[self.monitor] = self.values[len(self.states)]
        self.states.append(self.model.state_dict())


def net():
    return Model(Dense(2, 1), Count(), seed=0, dtype="float64")


def fit(model, callbacks=(), **options):
    call = {"loss": MeanSquaredError(), "optimizer": SGD(0.05), "epochs": 9, "batch_size": None}
    call |= {"validation_data": (X, Y), "verbose": 0, "callbacks": callbacks}
    return model.fit(X, Y, **(call | options))


class BinaryCount(BinaryAccuracy):
    """An accuracy that takes any target."""

    name = "accuracy"

    def values(self, prediction, target):
        return prediction > target


def same(state, model):
    return all(np.array_equal(a, state[name]) for name, a in model.state_dict().items())
