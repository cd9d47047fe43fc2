"""How near the library is to NumPy written by hand: a training step and a prediction of one row.

Beside `plain.py` (the formulas in order, everything preallocated, nothing checked, Adam folded and
in blocks) and beside `handwritten.py` (the same with every trick that could be found). All run in
one process on one BLAS thread, in turn; a round times all, and the figures are medians of the
rounds' ratios. Run it pinned to a core of a quiet machine: taskset -c 1 python benchmarks/step.py
"""

from __future__ import annotations

import os

for name in ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(name, "1")

import argparse
import platform
import time
from collections.abc import Callable, Iterator
from functools import partial
from itertools import pairwise
from typing import Any

import handwritten
import numpy as np
import plain

import chainrule as cr

Array = np.ndarray[Any, Any]

STEPS = [
    ((20, 64, 64, 2), 32, 1.25),
    ((784, 128, 10), 32, 1.10),
    ((784, 128, 10), 128, 1.10),
    ((784, 512, 256, 10), 128, 1.10),
    ((784, 1024, 1024, 10), 256, 1.10),
]
ROW, ROW_GOAL = (32, 64, 64, 10), 1.6


def network(sizes: tuple[int, ...]) -> cr.Model:
    layers: list[cr.Layer] = []
    for n_in, n_out in pairwise(sizes):
        layers += [cr.Dense(n_in, n_out), cr.ReLU()]
    return cr.Model(*layers[:-1], seed=0)


def seconds(f: Callable[[], object], number: int) -> float:
    start = time.perf_counter()
    for _ in range(number):
        f()
    return (time.perf_counter() - start) / number


def compare(functions: list[Callable[[], object]], rounds: int) -> tuple[Array, Array]:
    """Return the median times, and the medians of the ratios to the second, over the rounds."""
    for _ in range(3):
        for f in functions:
            f()
    number = max(1, int(0.01 / seconds(functions[1], 3)))
    times = np.empty((rounds, len(functions)))
    for i in range(rounds):
        for k in np.roll(range(len(functions)), i):  # each comes first as often as the others
            times[i, k] = seconds(functions[k], number)
    return np.median(times, axis=0), np.median(times / times[:, 1:2], axis=0)


def rows(rounds: int) -> Iterator[tuple[str, float, Array, Array]]:
    """Time an epoch of steps in fixed order: by fit, by hand, with tricks, by train_on_batch."""
    rng = np.random.default_rng(0)
    for sizes, batch, goal in STEPS:
        steps = max(20, 300_000_000 // (batch * sum(i * o for i, o in pairwise(sizes))))
        x = rng.standard_normal((steps * batch, sizes[0]), np.float32)
        y = rng.integers(0, sizes[-1], len(x))
        parts = [slice(i * batch, (i + 1) * batch) for i in range(steps)]
        model, other = network(sizes), network(sizes)
        loss, optimizer, second = cr.SoftmaxCrossEntropy(), cr.Adam(), cr.Adam()
        by_hand, with_tricks = plain.PlainStep(sizes, batch), handwritten.Step(sizes, batch)
        by_hand.p[:] = with_tricks.parameters[:] = model.parameters

        options = {"loss": loss, "optimizer": optimizer, "batch_size": batch, "shuffle": False}

        def fit(model=model, x=x, y=y, options=options) -> float:  # type: ignore[no-untyped-def]
            return model.fit(x, y, verbose=0, **options)["loss"][0]

        def each(f, x=x, y=y, parts=parts) -> float:  # type: ignore[no-untyped-def]
            return float(np.mean([f(x[part], y[part]) for part in parts]))

        ways: list[Callable[[], float]] = [
            fit,
            partial(each, by_hand.step),
            partial(each, with_tricks.step),
            partial(each, partial(other.train_on_batch, loss=loss, optimizer=second)),
        ]
        np.testing.assert_allclose([way() for way in ways[1:]], ways[0](), rtol=1e-3)  # all alike
        times, ratios = compare(list(ways), rounds)
        yield f"{'-'.join(map(str, sizes))}, batch {batch}", goal, times / steps, ratios
    model, row = network(ROW), handwritten.Predict(ROW)
    Ws = [p for name, p in model.named_parameters().items() if name.endswith("W")]
    bs = [p for name, p in model.named_parameters().items() if name.endswith("b")]
    x = rng.standard_normal((1, ROW[0]), np.float32)
    np.testing.assert_allclose(model(x), plain.predict(x, Ws, bs), rtol=1e-6)
    calls = [partial(model, x), partial(plain.predict, x, Ws, bs), partial(row.predict, x)]
    times, ratios = compare([*calls], 4 * rounds)
    name = f"one row through {'-'.join(map(str, ROW))}"
    yield name, ROW_GOAL, np.append(times, np.nan), np.append(ratios, np.nan)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=30)
    arguments = parser.parse_args()
    print(f"NumPy {np.__version__}, Python {platform.python_version()}, {platform.machine()}\n")
    print("| network | by hand, µs | chainrule | ratio | goal | train_on_batch | with tricks |")
    print("| --- | --- | --- | --- | --- | --- | --- |")
    for name, goal, times, ratios in rows(arguments.rounds):
        ours, hand, tricks, checked = times * 1e6
        each = "" if np.isnan(checked) else f"{checked:,.1f} ({ratios[3]:.2f})"
        print(
            f"| {name} | {hand:,.1f} | {ours:,.1f} | **{ratios[0]:.2f}** | {goal:.2f} | {each} | "
            f"{tricks:,.1f} ({ratios[2]:.2f}) |",
            flush=True,
        )


if __name__ == "__main__":
    main()
