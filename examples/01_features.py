"""A network learns its own features from raw pixels.

Point 1 of the lecture. One classifier sees seven features made by hand, such as the amount of ink
and the centre of mass; a network sees the 64 pixels alone. The picture shows the weights of its
hidden units as images, noise before training and strokes after."""

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
seed, epochs = arguments.seed, 15 if arguments.quick else 60


def by_hand(x: np.ndarray) -> np.ndarray:
    """Seven features that somebody thought of: (n, 64) -> (n, 7)."""
    image = x.reshape(-1, 8, 8)
    ink = image.sum(axis=(1, 2))
    rows, columns = image.sum(axis=2) / ink[:, None], image.sum(axis=1) / ink[:, None]  # (n, 8)
    place = np.arange(8)
    centre = rows @ place, columns @ place
    width = [np.sqrt(p @ place**2 - c**2) for p, c in zip((rows, columns), centre, strict=True)]
    mirrored = [np.abs(image - np.flip(image, k)).mean(axis=(1, 2)) for k in (1, 2)]
    return np.column_stack([ink, *centre, *width, *mirrored])


def train(model: Model, x: np.ndarray, x_test: np.ndarray) -> float:
    """Train on the digits; return the accuracy on the test digits."""
    optimizer = Adam(lr=0.005, weight_decay=0.003)  # what a unit does not need decays
    model.fit(x, y, loss=loss, optimizer=optimizer, epochs=epochs, verbose=0)
    return model.evaluate(x_test, y_test, loss=loss, metrics=[Accuracy()])["accuracy"]


def smoothness(images: np.ndarray) -> float:
    """Correlation of the weights of neighbouring pixels: 0 for noise, 1 for plain surfaces."""
    pairs = np.stack([images[:, :, :-1].ravel(), images[:, :, 1:].ravel()])
    return float(np.corrcoef(pairs)[0, 1])


(x, y), (x_test, y_test) = datasets.digits()
loss = SoftmaxCrossEntropy()
hand, hand_test = by_hand(x), by_hand(x_test)
mean, std = hand.mean(axis=0), hand.std(axis=0)
from_hand = train(Model(Dense(7, 10), seed=seed), (hand - mean) / std, (hand_test - mean) / std)
model = Model(Dense(64, 24), ReLU(), Dense(24, 10), seed=seed)
before = inspection.weight_images(model, (8, 8))
from_pixels = train(model, x, x_test)
after = inspection.weight_images(model, (8, 8))
print(f"Seven features made by hand: {from_hand:.1%} of {len(y_test)} test digits are right")
print(f"Features learned from pixels: {from_pixels:.1%}")
print(f"Correlation of neighbouring weights: {smoothness(before):.2f} before training, "
      f"{smoothness(after):.2f} after")  # fmt: skip


def draw() -> object:
    import matplotlib.pyplot as plt

    figure, places = plt.subplots(1, 2, figsize=(11, 4))
    for ax, images, title in zip(places, (before, after), ("Untrained", "Trained"), strict=True):
        plots.weight_images(images, ax=ax, columns=6)
        ax.set_title(f"{title}: first-layer weights of 24 units")
    return figure


picture(draw, "01_features", arguments)
if from_pixels < 0.93 or from_pixels < from_hand + 0.1 or smoothness(after) < 0.2:
    raise SystemExit("A right network finds better features than these.")
