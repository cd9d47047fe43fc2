"""Train on real handwritten digits in seconds and look at the mistakes.

This is the whole job: data, network, training, early stopping, the accuracy on digits never seen,
and which of them the network takes for which."""

from __future__ import annotations

import time

import numpy as np

from chainrule import (
    Accuracy,
    Adam,
    Dense,
    Dropout,
    EarlyStopping,
    Model,
    ReLU,
    SoftmaxCrossEntropy,
    datasets,
    inspection,
    plots,
    softmax,
)
from chainrule.examples import options, picture


def train(seed: int, epochs: int, verbose: bool) -> tuple[Model, EarlyStopping, float]:
    """Train one network; return it, what stopped it, and its accuracy on the test digits."""
    (x, y), (x_test, y_test) = datasets.digits()
    model = Model(Dense(64, 128), ReLU(), Dropout(0.2), Dense(128, 10), seed=seed)
    loss, stopping = SoftmaxCrossEntropy(), EarlyStopping(patience=10)
    model.fit(
        x,
        y,
        loss=loss,
        optimizer=Adam(lr=0.003),
        epochs=epochs,
        batch_size=32,
        validation_split=0.1,
        metrics=[Accuracy()],
        callbacks=[stopping],
        verbose=verbose,
    )
    figures = model.evaluate(x_test, y_test, loss=loss, metrics=[Accuracy()])
    return model, stopping, figures["accuracy"]


def as_text(image: np.ndarray) -> list[str]:
    """Draw 8 x 8 grey values with characters."""
    return ["".join(" .:-=+*#%@"[round(9 * v)] * 2 for v in row) for row in image.reshape(8, 8)]


def show_mistakes(model: Model, count: int = 4) -> None:
    """Print the test digits that the network is most surely wrong about."""
    _, (x, y) = datasets.digits()
    p = softmax(model.predict(x))
    guess = p.argmax(axis=1)
    wrong = np.flatnonzero(guess != y)
    wrong = wrong[np.argsort(-p[wrong, guess[wrong]])][:count]
    print(f"\n{(guess != y).sum()} of {len(y)} test digits are wrong; the surest mistakes:\n")
    for lines in zip(*(as_text(x[i]) for i in wrong), strict=True):
        print("   ".join(lines))
    captions = [f"{y[i]}, taken for {guess[i]}" for i in wrong]
    print("   ".join(f"{caption:16}" for caption in captions))


def draw(model: Model, stopping: EarlyStopping) -> object:
    """Draw the curves of training, the table of what was taken for what, and mistakes."""
    import matplotlib.pyplot as plt

    _, (x, y) = datasets.digits()
    prediction = model.predict(x)
    guess = prediction.argmax(axis=1)
    figure = plt.figure(figsize=(11, 4.0))
    rows = "AAAABBBBCD;AAAABBBBEF;AAAABBBBGH"
    axes = figure.subplot_mosaic(rows, gridspec_kw={"wspace": 0.06})
    curves, table = axes.pop("A"), axes.pop("B")
    plots.training_curves(model.history, ax=curves, stop=stopping.best_epoch)
    curves.set(ylabel="cross entropy (nats)", yscale="log", title="Training")
    plots.confusion_matrix(inspection.confusion_matrix(prediction, y), ax=table)
    table.set_title(f"{(guess != y).sum()} of {len(y)} test digits are wrong")
    for place, i in zip(axes.values(), np.flatnonzero(guess != y), strict=False):
        place.imshow(x[i].reshape(8, 8), cmap="gray_r")
        place.set_title(f"{y[i]}, taken for {guess[i]}", fontsize=9)
    for place in axes.values():
        place.set_axis_off()
    return figure


def main() -> None:
    arguments = options(__doc__)
    accuracies = []
    for seed in range(arguments.seed, arguments.seed + (1 if arguments.quick else 5)):
        start = time.perf_counter()
        first = seed == arguments.seed
        network, stopping, accuracy = train(seed, epochs=60, verbose=first)
        if first:
            model, first_stopping = network, stopping
            print(model.summary())
        seconds = time.perf_counter() - start
        stopped = len(network.history.epochs)
        print(f"seed {seed}: test accuracy {accuracy:.2%} after {stopped} epochs, {seconds:.1f} s")
        accuracies.append(accuracy)
    show_mistakes(model)
    print()
    picture(lambda: draw(model, first_stopping), "digits", arguments)
    seeds = "1 seed" if len(accuracies) == 1 else f"{len(accuracies)} seeds"
    print(f"Test accuracy, mean of {seeds}: {np.mean(accuracies):.2%}")
    if np.mean(accuracies) < 0.95:
        raise SystemExit("That is less than a right network reaches (95 % at least).")


if __name__ == "__main__":
    main()
