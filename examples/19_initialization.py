"""The size of the first random weights decides whether a deep network learns.

Point 19 of the lecture, second part. Ten dense layers with ReLU, drawn with four initial sizes,
over several seeds. Too small and the signal dies on its way, too large and it explodes; He's rule,
a variance of 2 / n, keeps it. A second picture has the histograms layer by layer."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from chainrule import (
    SGD,
    Dense,
    Layer,
    Model,
    ReLU,
    SoftmaxCrossEntropy,
    datasets,
    initializers,
    inspection,
    plots,
)
from chainrule.examples import options, picture

arguments = options(__doc__)
(x, y), _ = datasets.digits()
loss = SoftmaxCrossEntropy()
rules: dict[str, Any] = {
    "normal, std 0.02": initializers.normal(0.02),
    "Glorot, variance 2 / (n + m)": initializers.glorot_normal,
    "He, variance 2 / n": initializers.he_normal,
    "normal, std 0.4": initializers.normal(0.4),
}
seeds = range(arguments.seed, arguments.seed + (2 if arguments.quick else 5))
epochs = 8 if arguments.quick else 15


def network(init: Any) -> Callable[[int], Model]:
    """Ten hidden layers of 64 units, as a function of the seed."""

    def build(seed: int) -> Model:
        layers: list[Layer] = []
        for _ in range(10):
            layers += [Dense(64, 64, init=init), ReLU()]
        return Model(*layers, Dense(64, 10), seed=seed)

    return build


rows = []
signals = {}
histograms: dict[str, list[inspection.Histograms]] = {}
for name, init in rules.items():
    build = network(init)
    model = build(arguments.seed)
    forward = inspection.histograms(model, x)
    back = inspection.histograms(model, x, y, loss=loss, of="gradients")
    behind = slice(1, -1, 2)  # each ReLU
    signals[name] = forward.std[behind], back.std[behind]
    histograms[name] = [
        h._replace(names=h.names[behind], counts=h.counts[behind], std=h.std[behind])
        for h in (forward, back)
    ]
    result = inspection.race(build, {name: lambda: SGD(0.02)}, x, y, loss=loss, epochs=epochs,
                             seeds=seeds)  # fmt: skip
    rows.append(result.losses[0])
    (first, last), end = forward.std[[1, -2]], result.losses[0, :, -1]
    outcome = f"{np.mean(end):.3f} ({end.min():.3f} to {end.max():.3f})"
    if not np.isfinite(end).all():
        outcome = f"{np.isnan(end).sum()} of {len(end)} runs diverged"
    print(f"{name:29} std of activations, layer 1: {first:.2g}, layer 10: {last:.2g}")
    print(f"{'':29} loss after {epochs} epochs: {outcome}")
race = inspection.Race(tuple(rules), np.arange(epochs + 1), np.array(rows))


def draw() -> object:
    import matplotlib.pyplot as plt

    figure = plt.figure(figsize=(9.5, 7.6), layout="constrained")
    left, middle, right = figure.subplot_mosaic("AB;CC").values()
    lines = ("o-", "s--", "^-.", "D:")
    for (name, (out, back)), line in zip(signals.items(), lines, strict=True):
        left.plot(range(1, 11), out, line, label=name)
        middle.plot(range(1, 11), back, line, label=name)
    plots.race(race, ax=right)
    for ax, what in ((left, "activations"), (middle, "gradients dL/dy")):
        ax.set(yscale="log", xlabel="hidden layer", ylabel=f"std of the {what}",
               title=f"Before training: {what}")  # fmt: skip
        ax.set_xticks(range(1, 11))
    right.set(title="Training", ylabel="cross entropy, training digits (nats)")
    legend = right.get_legend()
    if legend is not None:
        legend.set_title(f"initialization\nmean and range, {len(seeds)} seeds")
    return figure


def draw_histograms() -> object:
    import matplotlib.pyplot as plt

    figure, places = plt.subplots(2, 2, figsize=(9.5, 10), layout="constrained")
    for row, name in zip(places, list(rules)[2:0:-1], strict=True):  # He's rule, then Glorot's
        for ax, h in zip(row, histograms[name], strict=True):
            plots.histograms(h, ax=ax)
            ax.set_title(f"{name}: {h.of}")
    return figure


picture(draw, "19_initialization", arguments)
picture(draw_histograms, "19_initialization_histograms", arguments)
he, small = race.losses[2, :, -1], race.losses[0, :, -1]
if he.max() > 0.5 or small.min() < 2:
    raise SystemExit("He's rule must train this network, and weights of 0.02 must not.")
