"""What the tests of resumed runs share: a run with everything that has a state, what it left in a
form that can be compared to the bit, and the script whose process is killed.

    python tests/resume_helpers.py FOLDER EVENT

trains in FOLDER, kills itself at the given event (0: never), and prints what a whole run left.
"""

from __future__ import annotations

import hashlib
import os
import signal
import sys

import numpy as np

import chainrule as cr
from chainrule import (
    Accuracy,
    Adam,
    BatchNorm,
    Callback,
    Checkpoint,
    ConfusionMatrix,
    CSVLogger,
    Dense,
    Dropout,
    EarlyStopping,
    Model,
    ReLU,
    SoftmaxCrossEntropy,
)
from chainrule.parameters import unique
from chainrule.resuming import text

RNG = np.random.default_rng(4)
X, Y = RNG.normal(size=(24, 3)), RNG.integers(0, 3, size=24)


def net(seed=0, dtype="float32"):
    return Model(
        Dense(3, 6), BatchNorm(6), ReLU(), Dropout(0.3), Dense(6, 3), seed=seed, dtype=dtype
    )


def exact(value):
    """A nested value such that == compares types and bits."""
    if isinstance(value, (np.ndarray, np.generic)):
        return type(value).__name__, value.dtype.str, value.shape, value.tobytes()
    if isinstance(value, dict):
        return [(k, exact(v)) for k, v in value.items()]
    if isinstance(value, (list, tuple)):
        return type(value).__name__, [exact(item) for item in value]
    return type(value).__name__, float.hex(value) if isinstance(value, float) else value


def left(model, optimizer, callbacks=()):
    """Everything that a run left behind, by what it is."""
    layers = unique(model.layers)
    rngs = {name: layer.rng.bit_generator.state for name, layer in layers.items()}
    elsewhere = ("model", "optimizer", "params", "target", "_target", "_best_target")
    told = [
        {k: v for k, v in vars(c).items() if k not in elsewhere} for c in callbacks if c.part_of_run
    ]
    values = {
        "arrays": model.state_dict(),
        "frozen": [name for name, layer in layers.items() if not layer._trainable],
        "rngs": {**rngs, "shuffle": model.shuffle_rng.bit_generator.state},
        "seeds": [model.seed, model.split_seed, model.stop_training],
        "optimizer": [optimizer.state_dict(), text(optimizer)],
        "history": [dict(model.history), model.history.epochs, model.history.class_weight],
        "callbacks": told,
    }
    return {name: exact(value) for name, value in values.items()}


def fit(model, optimizer, callbacks=(), x=X, y=Y, **options):
    call = {"loss": SoftmaxCrossEntropy(), "epochs": 6, "batch_size": 5, "verbose": 0, **options}
    return model.fit(x, y, optimizer=optimizer, callbacks=callbacks, **call)


# ---- the script ----------------------------------------------------------------------------------


class Killer(Callback):
    """Kills the process at an event: a step, the end of an epoch, or a place within a write."""

    part_of_run = False

    def __init__(self, event):
        self.left = event

    def pass_by(self, *_):
        self.left -= 1
        if self.left == 0:
            os.kill(os.getpid(), getattr(signal, "SIGKILL", signal.SIGTERM))

    on_train_batch_begin = on_train_batch_end = on_epoch_end = pass_by

    def watch_writes(self):
        savez, replace = np.savez, os.replace

        def write(file, **arrays):
            self.pass_by()
            savez(file, **arrays)
            file.flush()
            size = file.tell()
            file.truncate(size // 2)  # half of the file is on the disk
            self.pass_by()
            file.seek(0)
            file.truncate()
            savez(file, **arrays)

        def move(one, other):
            self.pass_by()
            replace(one, other)
            self.pass_by()

        np.savez, os.replace = write, move


def main(folder, event):
    os.chdir(folder)
    killer = Killer(int(event))
    killer.watch_writes()
    model, optimizer = net(), Adam(cr.CosineDecay(0.05, 400))
    callbacks = [
        Checkpoint("run.npz", keep_best=True),
        killer,
        CSVLogger("run.csv"),
        EarlyStopping(patience=12),
    ]
    fit(
        model, optimizer, callbacks, epochs=60, validation_split=0.25, resume_from="run.npz",
        metrics=[Accuracy(), ConfusionMatrix()], class_weight="balanced",
    )  # fmt: skip
    for name, value in left(model, optimizer, callbacks).items():
        print(name, hashlib.sha256(repr(value).encode()).hexdigest())
    print("epochs", model.history.epochs[-1] + 1, model.stop_training)


if __name__ == "__main__":
    main(*sys.argv[1:])
