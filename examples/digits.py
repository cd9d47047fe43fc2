"""Train on real handwritten digits in seconds, report the accuracy on digits never seen, and look
at the mistakes. This is the whole job: data, network, training, early stopping, evaluation."""

from __future__ import annotations

import argparse
import time
from pathlib import Path

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
    softmax,
)


def train(seed: int, epochs: int, verbose: bool) -> tuple[Model, float]:
    """Train one network; return it with its accuracy on the test digits."""
    (x, y), (x_test, y_test) = datasets.digits()
    model = Model(Dense(64, 128), ReLU(), Dropout(0.2), Dense(128, 10), seed=seed)
    loss = SoftmaxCrossEntropy()
    model.fit(
        x,
        y,
        loss=loss,
        optimizer=Adam(lr=0.003),
        epochs=epochs,
        batch_size=32,
        validation_split=0.1,
        metrics=[Accuracy()],
        callbacks=[EarlyStopping(patience=10)],
        verbose=verbose,
    )
    return model, model.evaluate(x_test, y_test, loss=loss, metrics=[Accuracy()])["accuracy"]


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


def save_picture(model: Model, path: Path) -> bool:
    """Save curves and mistakes as a picture, if matplotlib is there."""
    try:
        import matplotlib.pyplot as plt
    except ImportError:
        return False
    _, (x, y) = datasets.digits()
    guess = model.predict(x).argmax(axis=1)
    wrong = np.flatnonzero(guess != y)[:6]
    figure = plt.figure(figsize=(10, 4), layout="constrained")
    axes = figure.subplot_mosaic("AAABCD;AAAEFG")
    curves = axes.pop("A")
    epochs = np.array(model.history.epochs) + 1
    curves.plot(epochs, model.history["loss"], color="#0072B2", label="training")
    curves.plot(epochs, model.history["val_loss"], color="#D55E00", ls="--", label="validation")
    curves.set(xlabel="epoch", ylabel="cross entropy (nats)", yscale="log", title="Training")
    curves.legend()
    for place, i in zip(axes.values(), wrong, strict=False):
        place.imshow(x[i].reshape(8, 8), cmap="gray_r")
        place.set_title(f"{y[i]}, taken for {guess[i]}", fontsize=9)
    for place in axes.values():
        place.set_axis_off()
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=150)
    return True


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seed", type=int, default=0, help="first seed (default 0)")
    parser.add_argument("--quick", action="store_true", help="one seed instead of five")
    parser.add_argument("--out", type=Path, default=Path("out"), help="folder for the picture")
    arguments = parser.parse_args()

    accuracies = []
    for seed in range(arguments.seed, arguments.seed + (1 if arguments.quick else 5)):
        start = time.perf_counter()
        first = seed == arguments.seed
        network, accuracy = train(seed, epochs=60, verbose=first)
        if first:
            model = network
            print(model.summary())
        seconds = time.perf_counter() - start
        stopped = len(network.history.epochs)
        print(f"seed {seed}: test accuracy {accuracy:.2%} after {stopped} epochs, {seconds:.1f} s")
        accuracies.append(accuracy)
    show_mistakes(model)
    picture = arguments.out / "digits.png"
    if save_picture(model, picture):
        print(f"\nThe picture is {picture}.")
    else:
        print("\nFor a picture as well: pip install matplotlib")
    seeds = "1 seed" if len(accuracies) == 1 else f"{len(accuracies)} seeds"
    print(f"Test accuracy, mean of {seeds}: {np.mean(accuracies):.2%}")
    if np.mean(accuracies) < 0.95:
        raise SystemExit("That is less than a right network reaches (95 % at least).")


if __name__ == "__main__":
    main()
