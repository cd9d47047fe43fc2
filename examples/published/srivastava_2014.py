"""Srivastava's comparison: with dropout the same network makes fewer errors on MNIST.

Their networks take a million steps; these are smaller and see a sixth of the images, where there
is more to overfit. What can be compared is the order, not the figures.

Source: N. Srivastava et al., Dropout: A Simple Way to Prevent Neural Networks from Overfitting,
JMLR 15, 2014, table 2 and appendix B.1, https://jmlr.org/papers/v15/srivastava14a.html.
Configuration: 784-512-512-10 with ReLU (theirs: 3 layers of 1024); as in theirs dropout 0.2 of the
pixels and 0.5 of the hidden units, max-norm c = 2; 10,000 of the 60,000 training images, batches of
64, 40 epochs of Adam whose rate falls from 0.001 to 0 (theirs: SGD with momentum 0.95).
Published: 1.60 % errors without dropout, 1.25 % with it, 1.06 % with max-norm as well."""

from __future__ import annotations

import time
from itertools import pairwise
from typing import Any

import numpy as np

from chainrule import (
    Accuracy,
    Adam,
    Dense,
    Dropout,
    Model,
    ReLU,
    SoftmaxCrossEntropy,
    datasets,
    plots,
)
from chainrule.examples import options, picture

WAYS = {"without dropout": 1.60, "with dropout": 1.25, "and max-norm": 1.06}  # published, percent


def network(dropout: bool, units: int, seed: int) -> Model:
    """Make 784-units-units-10, with the paper's dropout or without."""
    pixels, hidden = (0.2, 0.5) if dropout else (0.0, 0.0)
    return Model(
        Dropout(pixels), Dense(784, units), ReLU(), Dropout(hidden), Dense(units, units), ReLU(),
        Dropout(hidden), Dense(units, 10), seed=seed,
    )  # fmt: skip


def main() -> None:
    arguments = options(__doc__)
    rows, units, seeds, epochs = (5_000, 256, 1, 8) if arguments.quick else (10_000, 512, 5, 40)
    (x, y), test = datasets.mnist()
    steps = epochs * -(-rows // 64)
    runs = {}  # the errors after each epoch, (seeds, epochs), by way
    for way, published in list(WAYS.items())[: 2 if arguments.quick else 3]:
        start, errors = time.perf_counter(), []
        for seed in range(arguments.seed, arguments.seed + seeds):
            model = network(way != "without dropout", units, seed)
            history = model.fit(
                x[:rows], y[:rows], loss=SoftmaxCrossEntropy(),
                optimizer=Adam(lambda step: 0.001 * (1 - step / steps)), epochs=epochs,
                batch_size=64, validation_data=test, metrics=[Accuracy()],
                max_norm=2.0 if way == "and max-norm" else None, verbose=0,
            )  # fmt: skip
            errors.append(100 - 100 * np.array(history["val_accuracy"]))
        runs[way] = np.array(errors)
        last = runs[way][:, -1]
        print(f"{way:15}  {last.mean():.2f} % errors ({last.min():.2f} to {last.max():.2f}), "
              f"{time.perf_counter() - start:.0f} s; published {published:.2f} %",
              flush=True)  # fmt: skip
    for before, after in pairwise(runs):
        change = runs[after][:, -1] - runs[before][:, -1]
        print(f"{before} -> {after}: {change.mean():+.2f} points, fewer errors with "
              f"{(change < 0).sum()} of {seeds} seeds")  # fmt: skip

    def draw() -> object:
        ax: Any = None
        for (way, errors), line in zip(runs.items(), ("--", "-", ":"), strict=False):
            ax = plots.spread(np.arange(1, epochs + 1), errors, ax, label=way, ls=line)
        ax.set(xlabel="epoch", ylabel="errors on the test images (%)")
        ax.legend()
        return ax

    picture(draw, "srivastava_2014", arguments)
    end = {way: errors[:, -1].mean() for way, errors in runs.items()}
    if arguments.quick and max(end.values()) > 10:  # too few steps for the order to show
        raise SystemExit("Each way learns when every formula is right.")
    if not arguments.quick and end["without dropout"] <= end["with dropout"]:
        raise SystemExit("With dropout there are fewer errors when every formula is right.")


if __name__ == "__main__":
    main()
