"""The course's own lab: two dense layers and plain descent read MNIST in five epochs.

It is the first network that a student of the lecture trains on real images.

Source: MIT 6.S191, Introduction to Deep Learning, lab 2 part 1 in PyTorch,
https://github.com/MITDeepLearning/introtodeeplearning (lab2/PT_Part1_MNIST.ipynb).
Configuration: 784-128-10 with ReLU, softmax cross entropy, SGD with rate 0.1, batches of 64, 5
epochs, all 60,000 training images, initial values as PyTorch draws them.
Published: about 97 % on the training data, counted while the last epoch trains."""

from __future__ import annotations

import time
from typing import Any

import numpy as np

from chainrule import SGD, Accuracy, Dense, Model, ReLU, SoftmaxCrossEntropy, datasets, plots
from chainrule.examples import options, picture

PUBLISHED = 97.0  # percent, "approximately"


def uniform(rng: np.random.Generator, shape: tuple[int, ...], dtype: Any) -> Any:
    """Draw W (in, out) as PyTorch's Linear does: uniform on ±1/sqrt(in)."""
    return (rng.uniform(-1, 1, shape) / np.sqrt(shape[0])).astype(dtype)


def network(seed: int) -> Model:
    """Make the lab's network; the biases are drawn as the weights are."""
    model = Model(Dense(784, 128, init=uniform), ReLU(), Dense(128, 10, init=uniform), seed=seed)
    rng, parameters = np.random.default_rng(seed), model.named_parameters()
    parameters["0.b"][...] = rng.uniform(-1, 1, 128) / np.sqrt(784)
    parameters["2.b"][...] = rng.uniform(-1, 1, 10) / np.sqrt(128)
    return model


def main() -> None:
    arguments = options(__doc__)
    rows, seeds, epochs = (20_000, 1, 5) if arguments.quick else (60_000, 5, 5)
    (x, y), test = datasets.mnist()
    training, testing = [], []  # the accuracies of each epoch, by seed
    for seed in range(arguments.seed, arguments.seed + seeds):
        model, start = network(seed), time.perf_counter()
        history = model.fit(
            x[:rows], y[:rows], loss=SoftmaxCrossEntropy(), optimizer=SGD(0.1), epochs=epochs,
            batch_size=64, validation_data=test, metrics=[Accuracy()], verbose=0,
        )  # fmt: skip
        training.append(100 * np.array(history["accuracy"]))
        testing.append(100 * np.array(history["val_accuracy"]))
        print(f"seed {seed}: training data {training[-1][-1]:.2f} %, test data "
              f"{testing[-1][-1]:.2f} %, {time.perf_counter() - start:.1f} s")  # fmt: skip
    last, tested = np.array(training)[:, -1], np.array(testing)[:, -1]
    print(f"mean (range), {seeds} seeds: training data {last.mean():.2f} % ({last.min():.2f} to "
          f"{last.max():.2f}), test data {tested.mean():.2f} % ({tested.min():.2f} to "
          f"{tested.max():.2f}); published about {PUBLISHED:.0f} % on training data")  # fmt: skip

    def draw() -> object:
        epoch = np.arange(1, epochs + 1)
        ax = plots.spread(epoch, training, label="training data, while it trains")
        plots.spread(epoch, testing, ax, label="test data, after the epoch", ls="--")
        ax.axhline(PUBLISHED, color="gray", ls=":", label="published, after 5 epochs")
        ax.set(xlabel="epoch", ylabel="accuracy (%)", xticks=epoch)
        ax.legend()
        return ax

    picture(draw, "course_lab", arguments)
    if last.mean() < (93 if arguments.quick else 96.5):
        raise SystemExit("Right formulas come nearer to the published figure.")


if __name__ == "__main__":
    main()
