"""Kingma & Ba's race: Adam lowers the training cost of a network with dropout fastest.

As in the paper each optimizer gets the best of several rates, and all start from the same weights.
The network is smaller than theirs and learns for fewer epochs, so that it takes minutes.

Source: D. P. Kingma, J. L. Ba, Adam: A Method for Stochastic Optimization, ICLR 2015, section 6.2
and figure 2, https://arxiv.org/abs/1412.6980.
Configuration: two hidden layers of 400 ReLU (theirs: 1000) with dropout 0.5 behind each, softmax
cross entropy, batches of 128, 15 passes over the 60,000 training images (theirs: 200).
Published: "Adam shows better convergence than other methods", seen in curves of the cost."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import numpy as np

from chainrule import (
    SGD,
    Adadelta,
    Adagrad,
    Adam,
    Dense,
    Dropout,
    Model,
    ReLU,
    RMSprop,
    SoftmaxCrossEntropy,
    datasets,
    plots,
)
from chainrule.examples import options, picture

# Each optimizer as a function of its rate, with the rates that it may choose from.
RACE: dict[str, tuple[Callable[[float], Any], list[float]]] = {
    "AdaGrad": (lambda rate: Adagrad(rate), [0.003, 0.01, 0.03]),
    "RMSProp": (lambda rate: RMSprop(rate, alpha=0.9), [0.0003, 0.001, 0.003]),
    "SGDNesterov": (lambda rate: SGD(rate, momentum=0.9, nesterov=True), [0.01, 0.03, 0.1]),
    "AdaDelta": (lambda rate: Adadelta(rate, rho=0.95), [0.3, 1.0, 3.0]),
    "Adam": (lambda rate: Adam(rate), [0.0003, 0.001, 0.003]),
}
LINES = ("--", "-.", ":", (0, (5, 1)), "-")


def main() -> None:
    arguments = options(__doc__)
    rows, units, epochs, seeds = (12_000, 100, 4, 1) if arguments.quick else (60_000, 400, 15, 3)
    (x, y), _ = datasets.mnist()

    def costs(optimizer: Any, seed: int) -> list[float]:
        """The training cost of each epoch, dropout included, as the paper draws it."""
        model = Model(
            Dense(784, units), ReLU(), Dropout(0.5), Dense(units, units), ReLU(), Dropout(0.5),
            Dense(units, 10), seed=seed,
        )  # fmt: skip
        history = model.fit(
            x[:rows], y[:rows], loss=SoftmaxCrossEntropy(), optimizer=optimizer, epochs=epochs,
            batch_size=128, verbose=0,
        )  # fmt: skip
        return history["loss"]

    runs = {}  # the cost of each epoch, (seeds, epochs), by optimizer
    for name, (build, rates) in RACE.items():
        start = time.perf_counter()
        found = [costs(build(rate), arguments.seed) for rate in rates]
        best = int(np.argmin([cost[-1] for cost in found]))
        tried = ", ".join(f"{rates[i]:g}: {cost[-1]:.3f}" for i, cost in enumerate(found))
        print(f"{name:11}  last cost by rate: {tried}")
        others = range(arguments.seed + 1, arguments.seed + seeds)
        runs[name] = np.array([found[best], *(costs(build(rates[best]), i) for i in others)])
        last = runs[name][:, -1]
        print(f"{name:11}  rate {rates[best]:g}, {seeds} seeds: {last.mean():.4f} "
              f"({last.min():.4f} to {last.max():.4f}), {time.perf_counter() - start:.0f} s",
              flush=True)  # fmt: skip
    order = sorted(runs, key=lambda name: float(runs[name][:, -1].mean()))
    print(f"From the lowest cost: {', '.join(order)}; published: Adam is lowest.")

    def draw() -> object:
        ax: Any = None
        for (name, values), line in zip(runs.items(), LINES, strict=True):
            ax = plots.spread(np.arange(1, epochs + 1), values, ax, label=name, ls=line)
        ax.set(xlabel="epoch", ylabel="training cost with dropout (nats)", yscale="log")
        ax.legend()
        return ax

    picture(draw, "kingma_2015", arguments)
    if order[0] != "Adam" and not arguments.quick:
        raise SystemExit("Where all formulas are right, Adam has the lowest cost.")
    if max(values[:, -1].max() for values in runs.values()) > 1.0:
        raise SystemExit("Where all formulas are right, each of the five learns.")


if __name__ == "__main__":
    main()
