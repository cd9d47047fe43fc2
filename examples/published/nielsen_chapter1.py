"""Nielsen's first network: sigmoids, the quadratic cost and plain descent read MNIST.

It is the smallest published figure that a wrong formula anywhere in the chain would miss.

Source: M. A. Nielsen, Neural Networks and Deep Learning, Determination Press 2015, chapter 1,
http://neuralnetworksanddeeplearning.com/chap1.html (his program: network.py).
Configuration: 784-30-10 and 784-100-10, weights and biases drawn from N(0, 1), the quadratic cost
C = 1/(2n) sum |y - a|^2, eta 3.0, mini-batches of 10, 30 epochs, the first 50,000 training images.
Published: 95.42 % with 30 hidden units and 96.59 % with 100, right in the best epoch on the 10,000
test images, in the best of three runs."""

from __future__ import annotations

import time
from typing import Any

import numpy as np

from chainrule import (
    SGD,
    Accuracy,
    Dense,
    MeanSquaredError,
    Model,
    Sigmoid,
    datasets,
    initializers,
    plots,
)
from chainrule.examples import options, picture

PUBLISHED = {30: 95.42, 100: 96.59}  # percent, by the number of hidden units
# His C is half a sum over the 10 outputs, our loss a mean over them: C is 10 / 2 times our loss.
RATE = 3.0 * 10 / 2
STUCK = 90.0  # percent: runs that stay below it never learn one of the digits, or several


def network(units: int, seed: int) -> Model:
    """Make 784-units-10, all parameters from N(0, 1)."""
    normal = initializers.normal(1.0)
    model = Model(
        Dense(784, units, init=normal), Sigmoid(), Dense(units, 10, init=normal), Sigmoid(),
        seed=seed,
    )  # fmt: skip
    rng = np.random.default_rng(seed)
    for name, array in model.named_parameters().items():
        if name.endswith("b"):  # a view, so writing into it sets the layer's b
            array[...] = rng.standard_normal(array.shape)
    return model


def main() -> None:
    arguments = options(__doc__)
    rows, seeds, epochs = (20_000, 3, 8) if arguments.quick else (50_000, 10, 30)
    (x, y), (x_test, y_test) = datasets.mnist()
    one_hot = np.eye(10, dtype=np.float32)
    runs = {}  # the accuracy after each epoch, (seeds, epochs), by units
    for units in [30] if arguments.quick else [30, 100]:
        accuracies = []
        for seed in range(arguments.seed, arguments.seed + seeds):
            model, start = network(units, seed), time.perf_counter()
            history = model.fit(
                x[:rows], one_hot[y[:rows]], loss=MeanSquaredError(), optimizer=SGD(RATE),
                epochs=epochs, batch_size=10, validation_data=(x_test, one_hot[y_test]),
                metrics=[Accuracy()], verbose=0,
            )  # fmt: skip
            accuracies.append(100 * np.array(history["val_accuracy"]))
            best, last = accuracies[-1].max(), accuracies[-1][-1]
            print(f"784-{units}-10, seed {seed}: best {best:.2f} %, last {last:.2f} %, "
                  f"{time.perf_counter() - start:.0f} s", flush=True)  # fmt: skip
        runs[units] = np.array(accuracies)
        bests = runs[units].max(axis=1)
        free = bests[bests >= STUCK]
        print(f"784-{units}-10, best epochs of {seeds} runs: median {np.median(bests):.2f} %, best "
              f"{bests.max():.2f} %; published {PUBLISHED[units]} %")  # fmt: skip
        if len(free):
            print(f"784-{units}-10, the {len(free)} runs above {STUCK:.0f} %: mean "
                  f"{free.mean():.2f} % ({free.min():.2f} to {free.max():.2f})\n")  # fmt: skip

    def draw() -> object:
        ax: Any = None
        for units, color, line in ((30, "C0", "-"), (100, "C1", "--")):
            for i, accuracy in enumerate(runs.get(units, [])):  # single runs: a mean hides them
                label = None if i else f"784-{units}-10, {seeds} runs"
                ax = plots.spread(
                    np.arange(1, epochs + 1), [accuracy], ax, label=label, color=color, ls=line
                )
        ax.set(xlabel="epoch", ylabel="accuracy on the test images (%)")
        ax.legend(loc="lower right")
        return ax

    picture(draw, "nielsen_chapter1", arguments)
    least = {30: 88.0} if arguments.quick else {30: 94.9, 100: 96.0}
    if any(runs[units].max() < least[units] for units in runs):
        raise SystemExit("Right formulas come nearer to the published figures.")


if __name__ == "__main__":
    main()
