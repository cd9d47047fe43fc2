"""How cost grows with the batch, the width, the depth and the number of rows, and peak memory.

A training step (Adam, softmax cross entropy, float32), or an epoch of `fit` for the rows, is timed
over a geometric range of each, on one BLAS thread: all sizes in turn, medians over the rounds. On a
log-log scale cost grows by a slope, fitted over the upper half of each range; beside it stands that
of the count of operations. The peak that `tracemalloc` sees stands beside what `Model.summary`
foretells. Run it pinned to a core of a quiet machine: taskset -c 1 python benchmarks/scaling.py
"""

from __future__ import annotations

import os

for name in ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ[name] = "1"

import argparse
import platform
import re
import time
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

import chainrule as cr

Array = np.ndarray[Any, Any]

FEATURES, CLASSES, BATCH = 64, 10, 128
# Results of one number that an entry takes beside the products: bias, ReLU, its mask and gradient,
# the sum of the bias' gradient; all that the loss does; the passes of Adam over a parameter.
OF_UNIT, OF_CLASS, OF_PARAMETER = 5, 10, 10


class Size(NamedTuple):
    """One point: a network with hidden layers of a width, a batch, and rows of data."""

    width: int = 256
    depth: int = 2
    batch: int = BATCH
    rows: int = BATCH

    def build(self) -> cr.Model:
        layers: list[cr.Layer] = []
        n_in = FEATURES
        for _ in range(self.depth):
            layers += [cr.Dense(n_in, self.width), cr.ReLU()]
            n_in = self.width
        return cr.Model(*layers, cr.Dense(n_in, CLASSES), seed=0)

    def data(self) -> tuple[Array, Array]:
        rng = np.random.default_rng(0)
        x = rng.standard_normal((self.rows, FEATURES), np.float32)
        return x, rng.integers(0, CLASSES, self.rows)


class Axis(NamedTuple):
    """A range of sizes, and what is timed of each."""

    name: str
    values: list[int]
    size: Callable[[int], Size]
    what: str  # the line of the summary, too


AXES = [
    Axis("batch", [2**k for k in range(3, 13)], lambda n: Size(batch=n, rows=n), "training step"),
    Axis("width", [2**k for k in range(4, 11)], lambda n: Size(width=n), "training step"),
    Axis("depth", [2**k for k in range(7)], lambda n: Size(width=128, depth=n), "training step"),
    Axis("rows", [2**k for k in range(8, 17)], lambda n: Size(width=128, rows=n), "fit"),
]


class Point(NamedTuple):
    """What was found at one size."""

    seconds: float
    operations: float
    peak: float  # bytes
    foretold: float


def work(size: Size, what: str) -> Callable[[], object]:
    """A step on one batch, or an epoch over all rows, which can be repeated."""
    model, (x, y) = size.build(), size.data()
    loss, optimizer = cr.SoftmaxCrossEntropy(), cr.Adam()
    if what == "fit":
        options: dict[str, Any] = {"batch_size": size.batch, "verbose": 0}
        return lambda: model.fit(x, y, loss=loss, optimizer=optimizer, **options)
    return lambda: model.train_on_batch(x, y, loss=loss, optimizer=optimizer)


def operations(size: Size) -> float:
    """Multiply-adds of the products, and results of the elementwise operations."""
    model = size.build()
    found = re.search(r"(\S+) in a training step", model.summary(input_shape=(FEATURES,)))
    assert found
    of_row = int(found[1].replace(",", ""))
    of_row += OF_UNIT * size.width * size.depth + OF_CLASS * CLASSES
    steps = -(-size.rows // size.batch)
    return size.rows * of_row + steps * OF_PARAMETER * model.num_parameters


def memory(size: Size, what: str) -> tuple[float, float]:
    """The peak of a second run, with the model and all that it holds, and what is foretold."""
    tracemalloc.start()
    try:
        run = work(size, what)
        run()
        tracemalloc.reset_peak()
        run()
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    if what == "fit":  # which is told without the data
        peak -= sum(array.nbytes for array in size.data())
    text = size.build().summary(
        batch_size=size.batch,
        loss=cr.SoftmaxCrossEntropy(),
        optimizer=cr.Adam(),
        input_shape=(FEATURES,),
    )
    found = re.search(rf"^{what} +(\S+)", text, re.M)
    assert found
    foretold = float(found[1].replace(",", "")) * 1e6
    if what == "fit":  # the summary counts the shuffled order of one batch, as it knows no rows
        foretold += (size.rows - size.batch) * np.dtype(np.intp).itemsize
    return peak, foretold


def times(axis: Axis, rounds: int) -> Array:
    """Median seconds of each size; a round times all, and each comes first as often as others."""
    runs = [work(axis.size(value), axis.what) for value in axis.values]
    numbers = []
    for run in runs:
        run()
        start = time.perf_counter()
        run()
        numbers.append(max(1, round(0.01 / (time.perf_counter() - start))))
    seconds = np.empty((rounds, len(runs)))
    for i in range(rounds):
        for k in np.roll(range(len(runs)), i):
            start = time.perf_counter()
            for _ in range(numbers[k]):
                runs[k]()
            seconds[i, k] = (time.perf_counter() - start) / numbers[k]
    return np.median(seconds, axis=0)


def slope(values: list[int], costs: Array) -> float:
    """Of log cost over log size, by least squares over the upper half of the range."""
    half = len(values) // 2
    return float(np.polyfit(np.log(values[half:]), np.log(costs[half:]), 1)[0])


def table(axis: Axis, points: list[Point]) -> str:
    what = "an epoch" if axis.what == "fit" else "a step"
    lines = [
        f"| {axis.name} | {what}, µs | million operations | peak, MB | foretold, MB | ratio |",
        "| --- | --- | --- | --- | --- | --- |",
    ]
    for value, point in zip(axis.values, points, strict=True):
        lines.append(
            f"| {value:,} | {point.seconds * 1e6:,.0f} | {point.operations / 1e6:,.2f} | "
            f"{point.peak / 1e6:,.2f} | {point.foretold / 1e6:,.2f} | "
            f"{point.foretold / point.peak:.2f} |"
        )
    columns = [np.array(column) for column in zip(*points, strict=True)]
    time_, count, peak, foretold = (slope(axis.values, column) for column in columns)
    lines.append(
        f"| **slope** | **{time_:.2f}** | **{count:.2f}** | **{peak:.2f}** | **{foretold:.2f}** | |"
    )
    return "\n".join(lines)


def draw(found: dict[str, list[Point]]) -> Any:
    """Times and memory on log-log scales, as points, beside what was counted, as lines."""
    from chainrule.plots.style import matplotlib

    figure, rows = matplotlib().subplots(2, len(AXES), figsize=(13, 6.2), sharex="col")
    for k, axis in enumerate(AXES):
        points = found[axis.name]
        seconds, count, peak, foretold = (np.array(c) for c in zip(*points, strict=True))
        line = count * (seconds[-1] / count[-1])  # through the last point
        epoch = axis.what == "fit"
        for ax, measured, beside, names in (
            (rows[0, k], seconds * 1e3, line * 1e3, ("measured", "operations")),
            (rows[1, k], peak / 1e6, foretold / 1e6, ("measured", "foretold")),
        ):
            ax.loglog(axis.values, beside, "--", color="C1", label=names[1])
            ax.loglog(axis.values, measured, "o", color="C0", label=names[0], ms=5)
            ax.legend(loc="upper left", fontsize=9)
            if beside.max() < 2 * beside.min():  # nearly level: a scale that does not magnify
                ax.set_ylim(beside.min() / 2, beside.max() * 2)
        slopes = slope(axis.values, seconds), slope(axis.values, count)
        rows[0, k].set_title(f"slope {slopes[0]:.2f}; of operations {slopes[1]:.2f}")
        rows[0, k].set_ylabel("ms an epoch" if epoch else "ms a step")
        rows[1, k].set_ylabel("peak of fit, MB" if epoch else "peak of a step, MB")
        rows[1, k].set_xlabel(axis.name)
    return figure


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--out", type=Path, help="a folder for the picture, scaling.svg")
    given = parser.parse_args()
    np.empty(3_000_000)  # freed at once: from then on glibc keeps freed memory, as behind any data
    print(f"NumPy {np.__version__}, Python {platform.python_version()}, {platform.machine()}")
    found = {}
    for axis in AXES:
        sizes = [axis.size(value) for value in axis.values]
        seconds = times(axis, given.rounds)
        found[axis.name] = [
            Point(float(second), operations(size), *memory(size, axis.what))
            for second, size in zip(seconds, sizes, strict=True)
        ]
        print(f"\n{table(axis, found[axis.name])}", flush=True)
    if given.out:
        from chainrule import plots

        print(f"\n{plots.save(lambda: draw(found), given.out / 'scaling.svg')}")


if __name__ == "__main__":
    main()
