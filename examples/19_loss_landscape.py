"""The loss of a deep network has a narrow valley; skip connections widen it.

Point 19 of the lecture. Two networks of 22 dense layers learn the digits, one of them with skip
connections, over several seeds. Around each trained network the loss is drawn along two random
directions, scaled unit by unit (Li et al. 2018), so that both pictures have the same measure."""

from __future__ import annotations

import numpy as np

from chainrule import (
    Adam,
    Dense,
    Layer,
    LayerNorm,
    Model,
    ReLU,
    Residual,
    SoftmaxCrossEntropy,
    datasets,
    inspection,
    plots,
)
from chainrule.examples import options, picture

arguments = options(__doc__)
(x, y), _ = datasets.digits()
loss = SoftmaxCrossEntropy()
WIDTH, BLOCKS = 32, 10


def network(skip: bool, seed: int) -> Model:
    """Ten blocks of two dense layers each; with skip, y = ReLU(x + F(x)) instead of ReLU(F(x))."""
    layers: list[Layer] = [Dense(64, WIDTH), ReLU()]
    for _ in range(BLOCKS):
        inner = [Dense(WIDTH, WIDTH), LayerNorm(WIDTH), ReLU(), Dense(WIDTH, WIDTH),
                 LayerNorm(WIDTH)]  # fmt: skip
        layers += [Residual(*inner), ReLU()] if skip else [*inner, ReLU()]
    return Model(*layers, Dense(WIDTH, 10), seed=seed)


seeds = range(arguments.seed, arguments.seed + (2 if arguments.quick else 4))
points = 11 if arguments.quick else 31
surfaces: dict[str, inspection.Surface] = {}
losses: dict[str, list[float]] = {}
basins: dict[str, list[float]] = {}
for skip in (False, True):
    name = "with skip connections" if skip else "plain"
    losses[name], basins[name] = [], []
    for seed in seeds:
        model = network(skip, seed)
        model.fit(x, y, loss=loss, optimizer=Adam(0.001), epochs=10 if arguments.quick else 20,
                  verbose=0)  # fmt: skip
        surface = inspection.loss_landscape(
            model, x[:400], y[:400], loss=loss, span=0.6, points=points, seed=seed
        )
        surfaces.setdefault(name, surface)
        losses[name].append(model.evaluate(x, y, loss=loss)["loss"])
        basins[name].append((surface.loss < 1).mean())  # share of the plane
    print(f"{BLOCKS * 2 + 2} dense layers, {name}, {len(seeds)} seeds:")
    print("  loss on the training digits: " + ", ".join(f"{v:.3f}" for v in losses[name]))
    print("  share of the plane around the network where the loss is below 1: "
          + ", ".join(f"{v:.1%}" for v in basins[name]))  # fmt: skip


def draw() -> object:
    import matplotlib.pyplot as plt

    figure = plt.figure(figsize=(10, 8), layout="constrained")
    both = np.array([surface.loss for surface in surfaces.values()])
    limits = float(both.min()), float(both.max())  # the same colours for both
    for column, (name, surface) in enumerate(surfaces.items()):
        above = figure.add_subplot(2, 2, 1 + column, projection="3d")
        below = figure.add_subplot(2, 2, 3 + column)
        plots.loss_landscape(surface, ax=above, kind="surface", limits=limits)
        plots.loss_landscape(surface, ax=below, limits=limits)
        above.set_title(f"{BLOCKS * 2 + 2} layers, {name}")
    return figure


picture(draw, "19_loss_landscape", arguments)
wider = np.mean(basins["with skip connections"]) > 1.5 * np.mean(basins["plain"])
if not wider or np.mean(losses["with skip connections"]) > 0.5:
    raise SystemExit("With skip connections the valley must be wide, and the loss below 0.5.")
