"""Without nonlinearities the deepest network is a single linear map.

Point 9 of the lecture. W2 (W1 x) = (W2 W1) x, so layers without a nonlinearity between them
collapse into one. Two spirals, which no line separates, show what that means: the same network is
trained with ReLU and without."""

from __future__ import annotations

import numpy as np

from chainrule import (
    Adam,
    BinaryAccuracy,
    BinaryCrossEntropy,
    Dense,
    Identity,
    Model,
    ReLU,
    datasets,
    inspection,
    plots,
)
from chainrule.examples import options, picture

arguments = options(__doc__)
x, y = datasets.spirals(400, classes=2, noise=0.15, seed=arguments.seed)
loss = BinaryCrossEntropy()


def train(nonlinearity: type[Identity] | type[ReLU]) -> tuple[Model, float]:
    """Train a network of three layers; return it with its accuracy."""
    model = Model(Dense(2, 32), nonlinearity(), Dense(32, 32), nonlinearity(), Dense(32, 1),
                  seed=arguments.seed, dtype="float64")  # fmt: skip
    model.fit(x, y[:, None], loss=loss, optimizer=Adam(lr=0.01),
              epochs=60 if arguments.quick else 150, verbose=0)  # fmt: skip
    figures = model.evaluate(x, y[:, None], loss=loss, metrics=[BinaryAccuracy()])
    return model, figures["binary_accuracy"]


linear, linear_right = train(Identity)
deep, deep_right = train(ReLU)


def one_map(model: Model) -> tuple[np.ndarray, np.ndarray, float]:
    """The product of a model's weights, and how far the model is from it, relatively.

    Rows stand left here: (x W1 + b1) W2 + b2 = x (W1 W2) + (b1 W2 + b2), then the same again.
    """
    (W1, b1), (W2, b2), (W3, b3) = ((layer.W, layer.b) for layer in model.layers[::2])
    W, b = W1 @ W2 @ W3, (b1 @ W2 + b2) @ W3 + b3  # (2, 1), (1,)
    z = model(x)
    return W[:, 0], b, float(np.abs(z - (x @ W + b)).max() / np.abs(z).max())


w, b, difference = one_map(linear)
print(f"Three layers without a nonlinearity, {linear.num_parameters} parameters, are one neuron: "
      f"\n  z = {b[0]:.3f} {w[0]:+.3f} x1 {w[1]:+.3f} x2")  # fmt: skip
print(f"Largest difference between the three and the one, relative: {difference:.1e}")
print(f"The same with ReLU between the layers: {one_map(deep)[2]:.1e}")
print(f"Two spirals: {linear_right:.1%} right without a nonlinearity, {deep_right:.1%} with ReLU")


def draw() -> object:
    import matplotlib.pyplot as plt

    figure, places = plt.subplots(1, 2, figsize=(11, 4.6))
    for ax, model, title in zip(
        places,
        (linear, deep),
        (f"Without a nonlinearity: {linear_right:.0%} right", f"With ReLU: {deep_right:.0%} right"),
        strict=True,
    ):
        plots.decision_regions(inspection.decision_regions(model, x), x, y, ax=ax)
        ax.set_title(title)
        ax.legend(loc="upper left")
    return figure


picture(draw, "09_why_nonlinearity", arguments)
if difference > 1e-12 or linear_right > 0.9 or deep_right < 0.95:
    raise SystemExit("Linear layers must collapse to one, and ReLU must separate the spirals.")
