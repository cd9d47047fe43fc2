"""What the training loop costs: `fit` beside the same steps called by hand, on a small network.

By hand is the loop of docs/howto/own_loop.md: `forward`, the loss, `backward`, the optimizer's
`step`, on the same shuffled rows. Lean is that loop without the checks of the public calls, which
`fit` makes once for all batches. All are timed in turn in one process on one BLAS thread; figures
are medians over rounds. Run it pinned to a core of a quiet machine:
taskset -c 1 python benchmarks/fit.py
"""

from __future__ import annotations

import os

for name in ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(name, "1")

import argparse
import platform
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
from step import compare, network

import chainrule as cr
from chainrule import backprop

SIZES, BATCH, STEPS = (20, 64, 64, 2), 32, 200
GOAL = 1.15


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=40)
    arguments = parser.parse_args()
    rng = np.random.default_rng(0)
    x = rng.standard_normal((STEPS * BATCH, SIZES[0]), np.float32)
    y = rng.integers(0, SIZES[-1], len(x))
    loss, formula = cr.SoftmaxCrossEntropy(), cr.SoftmaxCrossEntropy().formula

    def by_hand(model: cr.Model, optimizer: cr.Adam) -> float:
        order, losses = model.shuffle_rng.permutation(len(x)), []
        for start in range(0, len(x), BATCH):
            rows = order[start : start + BATCH]
            prediction, caches = model.forward(x[rows], training=True)
            value, d = loss(prediction, y[rows])
            model.backward(d, caches, need_dx=False)
            optimizer.step(model.parameters, model.gradients)
            losses.append(value)
        return float(np.mean(losses))

    def lean(model: cr.Model, optimizer: cr.Adam) -> float:
        order, losses = model.shuffle_rng.permutation(len(x)), []
        for start in range(0, len(x), BATCH):
            rows = order[start : start + BATCH]
            prediction, caches = backprop.forward(model.layers, x[rows], training=True)
            value, d = formula(prediction, y[rows], None)
            model.pull(d, caches, need_dx=False)
            optimizer.step(model.parameters, model.gradients)
            losses.append(value)
        return float(np.mean(losses))

    def fit(model: cr.Model, optimizer: cr.Adam, **options: Any) -> float:
        history = model.fit(
            x, y, loss=loss, optimizer=optimizer, batch_size=BATCH, verbose=0, **options
        )
        return float(history["loss"][0])

    everything: dict[str, Any] = {
        "metrics": [cr.Accuracy()], "sample_weight": np.ones(len(x)), "class_weight": "balanced",
        "clip_norm": 1.0, "l1": 1e-5, "decay": "weights", "max_norm": 4.0,
    }  # fmt: skip
    ways: dict[str, Callable[..., float]] = {
        "fit": fit,
        "by hand": by_hand,
        "lean": lean,
        "fit, accuracy": partial(fit, metrics=[cr.Accuracy()]),
        "fit, accumulate=2": partial(fit, accumulate=2),
        "fit, accuracy, weights, L1, clipping, max-norm": partial(fit, **everything),
    }
    calls = {name: partial(way, network(SIZES), cr.Adam()) for name, way in ways.items()}
    first = [call() for call in list(calls.values())[:3]]
    np.testing.assert_allclose(first, first[0], rtol=1e-6)  # the same steps
    times, ratios = compare(list(calls.values()), arguments.rounds)
    print(f"NumPy {np.__version__}, Python {platform.python_version()}, {platform.machine()};")
    print(f"{'-'.join(map(str, SIZES))}, batch {BATCH}, Adam; an epoch of {STEPS} steps\n")
    print("| way | µs a step | beside by hand |")
    print("| --- | --- | --- |")
    for name, time, ratio in zip(calls, times, ratios, strict=True):
        goal = f" (goal {GOAL:.2f})" if name == "fit" else ""
        print(f"| {name} | {time / STEPS * 1e6:.1f} | {ratio:.2f}{goal} |")


if __name__ == "__main__":
    main()
