"""A race of optimizers on one problem; each is exchanged in one word.

Point 21 of the lecture. Gradient descent, with momentum, and the adaptive rates of Adagrad,
Adadelta, RMSprop and Adam, from the same starts, over several seeds. The features of the digits
are scaled unequally, as raw data are, which is what adaptive rates are for."""

from __future__ import annotations

import numpy as np

from chainrule import (
    SGD,
    Adadelta,
    Adagrad,
    Adam,
    Dense,
    Model,
    ReLU,
    RMSprop,
    SoftmaxCrossEntropy,
    datasets,
    inspection,
    plots,
)
from chainrule.examples import options, picture

arguments = options(__doc__)
rng = np.random.default_rng(0)
(x, y), _ = datasets.digits()
x = x * rng.permutation(np.geomspace(0.003, 4, 64))  # one a thousand times as large as another
optimizers = {
    "SGD": lambda: SGD(lr=0.1),
    "SGD with momentum": lambda: SGD(lr=0.02, momentum=0.9),
    "Adagrad": lambda: Adagrad(lr=0.03),
    "Adadelta": lambda: Adadelta(lr=1.0),
    "RMSprop": lambda: RMSprop(lr=0.003),
    "Adam": lambda: Adam(lr=0.003),
}
seeds = range(arguments.seed, arguments.seed + (3 if arguments.quick else 5))
epochs = 10 if arguments.quick else 20
race = inspection.race(
    lambda seed: Model(Dense(64, 64), ReLU(), Dense(64, 10), seed=seed),
    optimizers, x, y, loss=SoftmaxCrossEntropy(), epochs=epochs, seeds=seeds,
)  # fmt: skip

start = race.losses[:, :, 0]
print(f"Loss on the training digits, mean and range of {len(seeds)} seeds; at the start "
      f"{start.mean():.2f}.")  # fmt: skip
for name, runs in zip(race.names, race.losses, strict=True):
    end = runs[:, -1]
    print(f"  {name:18} after {epochs} epochs {end.mean():7.4f}  ({end.min():.4f} to "
          f"{end.max():.4f})")  # fmt: skip


def draw() -> object:
    ax = plots.race(race)
    ax.set_ylabel("cross entropy on the training digits (nats)")
    return ax


picture(draw, "21_optimizers", arguments)
end = dict(zip(race.names, race.losses[:, :, -1].mean(axis=1), strict=True))
fast = [end.pop("RMSprop"), end.pop("Adam"), end.pop("Adagrad"), end.pop("SGD with momentum")]
if race.losses[:, :, -1].max() > 0.5 * start.min() or not max(fast) < end["SGD"]:
    raise SystemExit("All must halve the loss, and momentum and adaptive rates be ahead of SGD.")
