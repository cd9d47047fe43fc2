"""Whether memory stays flat: 10,000 steps of `fit`, of `train_on_batch` and of an own loop, and
100,000 predictions of one row by `model(x)` and by `predict`, each in a process of its own. And
whether results stay right in threads that predict while others save and load, and in forks.

Resident memory is read after a tenth of the work, by which time everything has been allocated that
stays, and at the end. Of Python's own allocations, NumPy's arrays among them, tracemalloc knows
every byte; it is asked in a second run, because it makes all of it several times slower.
"""

from __future__ import annotations

import gc
import multiprocessing
import os
import sys
import tempfile
import threading
import time
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

import chainrule as cr

STEPS, PREDICTIONS = 10_000, 100_000
SECONDS, FORKS = 60, 200
HUNG = 60  # seconds without an end


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


def threads(seconds: float) -> str:
    """Four threads predict with one model, a fifth saves it, a sixth loads it."""
    model, done = network(), {"predictions": 0, "files written": 0, "files read": 0, "wrong": 0}
    expected, rows = model(X), np.array_split(np.arange(len(X)), 100)
    expected_rows = [model(X[r]) for r in rows]
    lock = threading.Lock()

    def count(what: str, right: bool) -> None:
        with lock:
            done[what] += 1
            done["wrong"] += not right

    def predict() -> None:
        for r, y in zip(rows, expected_rows, strict=True):
            count("predictions", np.array_equal(model(X[r]), y))

    def save() -> None:
        model.save(path)
        count("files written", os.listdir(folder) == ["model.npz"])

    def load() -> None:
        count("files read", np.array_equal(cr.Model.load(path)(X), expected))

    def run(seconds: float) -> int:
        """Number of threads that did not come to an end."""
        end = time.monotonic() + seconds

        def again(work: Callable[[], None]) -> None:
            while time.monotonic() < end:
                work()

        work = [predict] * 4 + [save, load]
        running = [threading.Thread(target=again, args=(w,), daemon=True) for w in work]
        for thread in running:
            thread.start()
        for thread in running:
            thread.join(timeout=max(0.0, end - time.monotonic()) + HUNG)
        return sum(thread.is_alive() for thread in running)

    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "model.npz")
        model.save(path)
        hung = run(seconds / 4)  # the pools of memory of new threads fill
        before = resident()
        hung += run(seconds)
        grown = resident() - before
    figures = ", ".join(f"{n:,} {what}" for what, n in done.items())
    return f"threads, {seconds:.0f} s: {figures}, {hung} hung; resident {grown / 1e3:+,.0f} kB"


def forks(n: int) -> str:
    """Children of a process whose BLAS has its threads: each predicts, trains, and is compared."""
    x = np.random.default_rng(0).standard_normal((512, 512), np.float32)
    y = np.arange(512) % 3
    model = cr.Model(cr.Dense(512, 512), cr.ReLU(), cr.Dense(512, 3), seed=0)
    model.fit(x, y, verbose=0, **OPTIONS)
    state, optimizer = model.state_dict(), OPTIONS["optimizer"].state_dict()

    def trained() -> bytes:
        model.load_state_dict(state)
        OPTIONS["optimizer"].load_state_dict(optimizer)
        model.fit(x, y, shuffle=False, verbose=0, **OPTIONS)
        return model(x).tobytes()

    expected, right, hung = trained(), 0, 0
    for _ in range(n):
        child = os.fork()
        if not child:
            os._exit(0 if trained() == expected else 1)
        end = time.monotonic() + HUNG
        while (done := os.waitpid(child, os.WNOHANG))[0] == 0 and time.monotonic() < end:
            time.sleep(0.005)
        if done[0] == 0:
            hung += 1
            os.kill(child, 9)
            os.waitpid(child, 0)
        else:
            right += os.waitstatus_to_exitcode(done[1]) == 0
    wrong = n - right - hung
    return f"forks: {n} children predicted and trained, {right} right, {wrong} wrong, {hung} hung"


def main() -> None:
    if not Path("/proc/self/statm").exists():
        sys.exit("This script reads /proc, which this system does not have.")
    print("| work | times | resident, kB | Python's, kB, in a tenth |")
    print("| --- | --- | --- | --- |")
    with multiprocessing.get_context("spawn").Pool(1, maxtasksperchild=1) as pool:
        for name, (_, n) in WORK.items():
            grown, traced = (pool.apply(measure, (name, traced)) for traced in (False, True))
            print(f"| {name} | {n:,} | {grown / 1e3:+,.0f} | {traced / 1e3:+,.1f} |", flush=True)
        print()
        print(pool.apply(threads, (SECONDS,)), flush=True)
        print(pool.apply(forks, (FORKS,)), flush=True)


if __name__ == "__main__":
    main()
