"""What a bar costs: training with progress shown on a terminal, beside training without.

A pseudo-terminal stands in for the screen, and another process reads it. The ways to train take
turns; a round times all, in processor time, and the figures are medians of the rounds' ratios. The
effect is smaller than what other processes do to a ratio, so the bar's hooks are timed alone too.
"""

from __future__ import annotations

import os

for name in ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(name, "1")

import argparse
import fcntl
import struct
import subprocess
import sys
import termios
import time
from typing import Any

import numpy as np

import chainrule as cr

BATCH, STEPS, EPOCHS = 32, 200, 100
WAYS: dict[str, dict[str, Any]] = {
    "nothing": {"verbose": 0},
    "nothing, again": {"verbose": 0},  # how far apart two of the same are
    'verbose="auto"': {"verbose": "auto"},
    "verbose=1": {"verbose": 1},
}


def train(**options: Any) -> float:
    """Train 20-64-64-2; return the seconds of a step."""
    rng = np.random.default_rng(0)
    x = rng.standard_normal((STEPS * BATCH, 20), np.float32)
    y = rng.integers(0, 2, len(x))
    layers = [cr.Dense(20, 64), cr.ReLU(), cr.Dense(64, 64), cr.ReLU(), cr.Dense(64, 2)]
    model, loss, optimizer = cr.Model(*layers, seed=0), cr.SoftmaxCrossEntropy(), cr.Adam()
    start = time.process_time()
    model.fit(x, y, loss=loss, optimizer=optimizer, epochs=EPOCHS, batch_size=BATCH, **options)
    return (time.process_time() - start) / (EPOCHS * STEPS)


def alone(rounds: int = 100, steps: int = 5000) -> float:
    """Seconds that a step's hooks cost, called as `fit` calls them: the least of the rounds."""
    bar = cr.ProgressBar(every=3600)
    bar.params = {"epochs": rounds, "steps": steps, "monitors": {}}
    bar.on_train_begin()
    times = np.empty((rounds, 2))
    for i in range(rounds):
        bar.on_epoch_begin(i)
        for k, callbacks in enumerate(([], [bar])):
            start = time.process_time()
            for step in range(steps):
                for callback in callbacks:
                    callback.on_train_batch_begin(step)
                for callback in callbacks:
                    callback.on_train_batch_end(step, {"loss": 0.5})
            times[i, k] = time.process_time() - start
    bar.on_train_end()
    without, shown = times.min(axis=0) / steps
    return float(shown - without)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=50)
    rounds = parser.parse_args().rounds
    ours, theirs = os.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("4H", 25, 100, 0, 0))
    screen = subprocess.Popen(
        ["cat"], stdin=ours, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    times = np.empty((rounds, len(WAYS)))
    with os.fdopen(theirs, "w") as sys.stderr:
        train(verbose=1)
        hooks = alone()
        for i in range(rounds):
            for k in np.roll(range(len(WAYS)), i):  # each comes first as often as the others
                times[i, k] = train(**list(WAYS.values())[k])
    sys.stderr = sys.__stderr__
    screen.terminate()
    print("| shown | a step, µs | ratio | its quartiles |\n| --- | --- | --- | --- |")
    ratios = times / times[:, :1]
    for name, each, ratio in zip(WAYS, times.T, ratios.T, strict=True):
        low, middle, high = np.percentile(ratio, [25, 50, 75])
        step = np.median(each) * 1e6
        print(f"| {name} | {step:.1f} | **{middle:.3f}** | {low:.3f} to {high:.3f} |")
    print(f"\nThe hooks of a step alone: {hooks * 1e6:.2f} µs.")


if __name__ == "__main__":
    main()
