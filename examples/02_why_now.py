"""More data make a network better, and whole batches make it fast.

Point 2 of the lecture. The first figure is the accuracy on test digits against the number of
training digits, with about the same number of steps for each. The second is the time for one call
with all rows against a Python loop over them."""

from __future__ import annotations

import time
from collections.abc import Callable

import numpy as np

from chainrule import Accuracy, Adam, Dense, Model, ReLU, SoftmaxCrossEntropy, datasets, plots
from chainrule.examples import options, picture

arguments = options(__doc__)
sizes = [20, 100, 1437] if arguments.quick else [20, 50, 100, 200, 400, 800, 1437]
seeds = range(arguments.seed, arguments.seed + (3 if arguments.quick else 5))
steps = 300 if arguments.quick else 1000
(x, y), (x_test, y_test) = datasets.digits()


def accuracy(size: int, seed: int) -> float:
    """Train on so many digits, drawn at random; return the share of right test digits."""
    rows = np.random.default_rng(seed).permutation(len(x))[:size]
    model = Model(Dense(64, 64), ReLU(), Dense(64, 10), seed=seed)
    loss, optimizer = SoftmaxCrossEntropy(), Adam(lr=0.003)
    epochs = steps // -(-size // 32)  # an epoch has size / 32 steps, rounded up
    model.fit(x[rows], y[rows], loss=loss, optimizer=optimizer, epochs=epochs, verbose=0)
    return model.evaluate(x_test, y_test, loss=loss, metrics=[Accuracy()])["accuracy"]


runs = np.array([[accuracy(size, seed) for size in sizes] for seed in seeds])  # (seeds, sizes)
print(f"Accuracy on {len(y_test)} test digits, mean and range over {len(runs)} seeds:")
for size, column in zip(sizes, runs.T, strict=True):
    print(f"  {size:5} training digits: {column.mean():.1%} ({column.min():.1%} to "
          f"{column.max():.1%})")  # fmt: skip


def best_time(f: Callable[[], object]) -> float:
    """The shortest of many runs, in seconds: what else the machine does makes none shorter."""
    times: list[float] = []
    while len(times) < 5 or sum(times) < 0.1:
        start = time.perf_counter()
        f()
        times.append(time.perf_counter() - start)
    return min(times)


model = Model(Dense(64, 64), ReLU(), Dense(64, 10), seed=arguments.seed)


def loop() -> np.ndarray:
    """Predict row by row."""
    return np.concatenate([model(x[i : i + 1]) for i in range(len(x))])


at_once, one_by_one = best_time(lambda: model(x)), best_time(loop)
difference = np.abs(model(x) - loop()).max()
print(
    f"\n{len(x)} digits in one call: {at_once * 1e3:.2f} ms, in a loop: {one_by_one * 1e3:.1f} ms, "
    f"{one_by_one / at_once:.0f} times as long"
)
print(f"Largest difference of the two results: {difference:.1e}")


def draw() -> object:
    import matplotlib.pyplot as plt

    figure, (left, right) = plt.subplots(1, 2, figsize=(11, 4.2), width_ratios=(1.6, 1))
    plots.spread(sizes, runs, ax=left, label=f"mean and range of {len(runs)} seeds")
    left.set(xscale="log", xlabel="number of training digits", ylabel="accuracy on test digits",
             title="More data, the same network")  # fmt: skip
    left.set_xticks(sizes, [str(size) for size in sizes])
    left.minorticks_off()
    left.yaxis.set_major_formatter("{x:.0%}")
    left.legend(loc="lower right")
    bars = right.bar(["one call", "Python loop"], [at_once * 1e3, one_by_one * 1e3], width=0.6,
                     color=["C0", "C1"])  # fmt: skip
    right.bar_label(bars, fmt="%.2f ms")
    right.margins(y=0.1)
    right.set(ylabel="time (ms)", title=f"{len(x)} digits through the network")
    return figure


picture(draw, "02_why_now", arguments)
gained = runs[:, -1].mean() - runs[:, 0].mean()
if gained < 0.15 or runs[:, -1].mean() < 0.93 or difference > 1e-4:
    raise SystemExit("More data must help, and a loop must not change the results.")
