"""A deep network is layers stacked on layers.

Point 10 of the lecture. `Model(Dense, ReLU, Dense, ReLU, Dense)` is such a stack: the output of
each layer is the input of the next, and `summary()` lists them. Three spirals, learned by stacks of
different depth and the same width, show what more layers add."""

from __future__ import annotations

import numpy as np

from chainrule import (
    Accuracy,
    Adam,
    Dense,
    Model,
    ReLU,
    SoftmaxCrossEntropy,
    datasets,
    inspection,
    plots,
)
from chainrule.examples import options, picture

arguments = options(__doc__)
width, epochs = 5, 60 if arguments.quick else 200
x, y = datasets.spirals(600, noise=0.15, seed=arguments.seed)
x_test, y_test = datasets.spirals(2000, noise=0.15, seed=arguments.seed + 1000)
loss = SoftmaxCrossEntropy()


def accuracy(model: Model) -> float:
    """Train on the spirals; return the accuracy on other points of them."""
    model.fit(x, y, loss=loss, optimizer=Adam(lr=0.02), epochs=epochs, verbose=0)
    return model.evaluate(x_test, y_test, loss=loss, metrics=[Accuracy()])["accuracy"]


deep = Model(Dense(2, width), ReLU(), Dense(width, width), ReLU(), Dense(width, 3),
             seed=arguments.seed)  # fmt: skip
print(deep.summary())

# What the model does: each layer's output is the next one's input.
h = x_test
for layer in deep.layers:
    h, _ = layer.forward(h)
same = np.array_equal(h, deep(x_test))
print(f"Layer by layer gives {'the same' if same else 'something else'} as one call.\n")

print(f"Accuracy on new points of three spirals, hidden layers of {width} units, "
      "mean and range of 5 seeds:")  # fmt: skip
figures = []  # (depths, seeds)
for depth in range(4):
    hidden = [2, *[width] * depth]
    models = []
    for seed in range(arguments.seed, arguments.seed + 5):
        stack = [part for n in hidden[:-1] for part in (Dense(n, width), ReLU())]
        models.append(Model(*stack, Dense(hidden[-1], 3), seed=seed))
    column = [accuracy(model) for model in models]
    figures.append(column)
    print(f"  hidden layers {depth}, parameters {models[0].num_parameters:2}: "
          f"{np.mean(column):.1%} ({min(column):.1%} to {max(column):.1%})")  # fmt: skip
reached = accuracy(deep)


def draw() -> object:
    import matplotlib.pyplot as plt

    figure, (left, right) = plt.subplots(1, 2, figsize=(11, 4.6), width_ratios=(1.2, 1))
    plots.network(inspection.network(deep), ax=left)
    left.set_title("Two hidden layers, trained")
    plots.decision_regions(inspection.decision_regions(deep, x), x, y, ax=right)
    right.set_title(f"What it makes of the plane: {reached:.0%} right")
    return figure


picture(draw, "10_deep_network", arguments)
if np.mean(figures[2]) < 0.8 or np.mean(figures[0]) > 0.7 or not same:
    raise SystemExit("Two hidden layers must do better than this, a network without them worse.")
