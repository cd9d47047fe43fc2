"""The learning rate: too small is stuck, too large diverges, between them it learns.

Point 20 of the lecture. The same network with six rates, over several seeds. Where the loss is no
longer a finite number, training stops with a plain message and puts the weights of before that
epoch back; the picture shows how it came to that, step by step."""

from __future__ import annotations

import textwrap
from functools import partial

import numpy as np

from chainrule import (
    SGD,
    Callback,
    Dense,
    DivergenceError,
    MeanSquaredError,
    Model,
    Tanh,
    inspection,
    plots,
)
from chainrule.examples import options, picture

arguments = options(__doc__)
rng = np.random.default_rng(arguments.seed)
x = rng.uniform(-1, 1, (256, 1))
y = np.sin(4 * x) + 0.05 * rng.normal(size=x.shape)
loss = MeanSquaredError()
epochs = 100 if arguments.quick else 200
seeds = range(arguments.seed, arguments.seed + (2 if arguments.quick else 5))
rates = (0.000001, 0.001, 0.01, 0.1, 1.0, 10.0)


def network(seed: int) -> Model:
    """One input, 32 hidden units, one output."""
    return Model(Dense(1, 32), Tanh(), Dense(32, 1), seed=seed)


race = inspection.race(
    network, {rate: partial(SGD, rate) for rate in rates}, x, y, loss=loss, epochs=epochs,
    seeds=seeds,
)  # fmt: skip
start = race.losses[:, :, 0].mean()
print(f"Loss before training {start:.3f}; after {epochs} epochs, mean and range of {len(seeds)} "
      "seeds:")  # fmt: skip
for rate, runs in zip(rates, race.losses, strict=True):
    end = runs[:, -1]
    if np.isfinite(end).all():
        print(f"  rate {rate:<8g} {end.mean():8.4f}  ({end.min():.4f} to {end.max():.4f})")
    else:
        print(f"  rate {rate:<8g} diverged in {np.isnan(end).sum()} of {len(end)} runs")


class Steps(Callback):
    """Keeps the loss of every step."""

    def __init__(self) -> None:
        self.losses: list[float] = []

    def on_train_batch_end(self, batch, logs) -> None:
        self.losses.append(logs["loss"])


steps = {}
model = network(arguments.seed)
message = ""
print("\nWhat the library says of the largest rate:")
for rate in rates[-3:]:
    model, watch = network(arguments.seed), Steps()
    try:
        model.fit(x, y, loss=loss, optimizer=SGD(rate), epochs=4, callbacks=[watch], verbose=0)
    except DivergenceError as error:
        message = str(error)
    steps[rate] = watch.losses
print(textwrap.indent(textwrap.fill(f"DivergenceError: {message}", 86), "  "))


def draw() -> object:
    import matplotlib.pyplot as plt

    figure, (left, right) = plt.subplots(2, 1, figsize=(8, 8), layout="constrained")
    plots.learning_rates(race, ax=left)
    left.set(ylabel="mean squared error on the training data", title="All epochs")
    drawn = [line for line in left.lines if not line.get_label().startswith("_")]
    for (rate, losses), line in zip(steps.items(), drawn[-3:], strict=True):
        diverged = len(losses) < 32
        label = f"{rate}, diverged at step {len(losses) + 1}" if diverged else f"{rate}"
        color, dashes = line.get_color(), line.get_linestyle()
        right.plot(range(1, len(losses) + 1), losses, color=color, ls=dashes, label=label)
        if diverged:
            right.plot(len(losses), losses[-1], "X", color=color, ms=9)
    right.set(xlabel="step", ylabel="loss of the step", yscale="log", title="The first steps")
    right.legend(title="learning rate")
    return figure


picture(draw, "20_learning_rate", arguments)
ends = race.losses[:, :, -1]
stuck = (ends[0] > 0.8 * race.losses[0, :, 0]).all()
kept = np.isfinite(model.parameters).all()
if not (stuck and ends[3].mean() < 0.1 and np.isnan(ends[-1]).all() and message and kept):
    raise SystemExit("The smallest rate must be stuck, 0.1 learn, and the largest diverge.")
