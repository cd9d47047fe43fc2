"""Whether memory stays flat: 10,000 steps of `fit`, of `train_on_batch` and of an own loop, and
100,000 predictions of one row by `model(x)` and by `predict`, each in a process of its own.

Resident memory is read after a tenth of the work, by which time everything has been allocated that
stays, and at the end. Of Python's own allocations, NumPy's arrays among them, tracemalloc knows
every byte; it is asked in a second run, because it makes all of it several times slower.
"""

from __future__ import annotations

import gc
import multiprocessing
import os
import sys
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

import chainrule as cr

STEPS, PREDICTIONS = 10_000, 100_000


def network() -> cr.Model:
    return cr.Model(
        cr.Dense(32, 64), cr.BatchNorm(64), cr.ReLU(), cr.Dropout(0.2), cr.Dense(64, 10), seed=0
    )


RNG = np.random.default_rng(0)
X, Y = RNG.standard_normal((4000, 32), np.float32), RNG.integers(0, 10, 4000)
OPTIONS: dict[str, Any] = {"loss": cr.SoftmaxCrossEntropy(), "optimizer": cr.Adam()}


def by_fit(model: cr.Model, n: int) -> None:
    """A hundred steps an epoch, with all that one usually adds."""
    model.fit(
        X, Y, epochs=n // 100, batch_size=32, verbose=0, metrics=[cr.Accuracy()],
        validation_split=0.2, callbacks=[cr.EarlyStopping(patience=n)], **OPTIONS,
    )  # fmt: skip


def by_batch(model: cr.Model, n: int) -> None:
    for _ in range(n):
        model.train_on_batch(X[:32], Y[:32], **OPTIONS)


def own_loop(model: cr.Model, n: int) -> None:
    for _ in range(n):
        prediction, caches = model.forward(X[:32], training=True)
        model.backward(OPTIONS["loss"](prediction, Y[:32])[1], caches, need_dx=False)
        OPTIONS["optimizer"].step(model.parameters, model.gradients)


def call(model: cr.Model, n: int) -> None:
    for _ in range(n):
        model(X[:1])


def predict(model: cr.Model, n: int) -> None:
    for _ in range(n):
        model.predict(X[:1])


WORK: dict[str, tuple[Callable[[cr.Model, int], None], int]] = {
    "steps of fit": (by_fit, STEPS),
    "train_on_batch": (by_batch, STEPS),
    "own loop": (own_loop, STEPS),
    "model(x), one row": (call, PREDICTIONS),
    "predict(x), one row": (predict, PREDICTIONS),
}


def resident() -> int:
    """Bytes of this process that are in memory."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def used(traced: bool) -> int:
    """Bytes in use: Python's own, or all of this process that are in memory."""
    return tracemalloc.get_traced_memory()[0] if traced else resident()


def measure(name: str, traced: bool) -> int:
    """By how many bytes memory grew between a tenth and the end."""
    work, n = WORK[name]
    model = network()
    if traced:
        n //= 10
        tracemalloc.start()
    work(model, n // 10)
    gc.collect()
    before = used(traced)
    work(model, n)
    gc.collect()
    return used(traced) - before


def main() -> None:
    if not Path("/proc/self/statm").exists():
        sys.exit("This script reads /proc, which this system does not have.")
    print("| work | times | resident, kB | Python's, kB, in a tenth |")
    print("| --- | --- | --- | --- |")
    with multiprocessing.get_context("spawn").Pool(1, maxtasksperchild=1) as pool:
        for name, (_, n) in WORK.items():
            grown, traced = (pool.apply(measure, (name, traced)) for traced in (False, True))
            print(f"| {name} | {n:,} | {grown / 1e3:+,.0f} | {traced / 1e3:+,.1f} |", flush=True)


if __name__ == "__main__":
    main()
