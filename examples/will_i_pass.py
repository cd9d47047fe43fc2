"""Will I pass this class? The lecture's network with two inputs, three hidden units and one output:
untrained it knows nothing, told when it is wrong it learns, and the boundary moves into place."""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np

from chainrule import (
    Adam,
    BinaryAccuracy,
    BinaryCrossEntropy,
    Dense,
    Model,
    Sigmoid,
    datasets,
    sigmoid,
)

STUDENT = np.array([[4.0, 5.0]])  # 4 lectures attended, 5 hours spent on the project


def network(seed: int) -> Model:
    """Make the slide's network; its last sigmoid is in the loss, and here in `chance`."""
    return Model(Dense(2, 3), Sigmoid(), Dense(3, 1), seed=seed)


def chance(model: Model, x: np.ndarray) -> np.ndarray:
    """Return the probability of passing, (n,)."""
    return sigmoid(model.predict(x)[:, 0])


def save_picture(before: Model, after: Model, path: Path) -> bool:
    """Save the plane coloured by the prediction, untrained and trained, if matplotlib is there."""
    try:
        import matplotlib.pyplot as plt
    except ImportError:
        return False
    x, y = datasets.will_i_pass()
    side = np.linspace(0, 8, 161)
    plane = np.stack(np.meshgrid(side, side), axis=-1)  # (161, 161, 2)
    figure, both = plt.subplots(1, 2, figsize=(10, 4.4), sharey=True, layout="constrained")
    for axes, model, title in zip(both, (before, after), ("Untrained", "Trained"), strict=True):
        p = chance(model, plane.reshape(-1, 2)).reshape(161, 161)
        image = axes.pcolormesh(side, side, p, cmap="PuOr", vmin=0, vmax=1, rasterized=True)
        if p.min() < 0.5 < p.max():
            axes.contour(side, side, p, levels=[0.5], colors="black")
        axes.scatter(*x[y == 1].T, c="#5e3c99", edgecolors="white", s=70, label="passed")
        axes.scatter(*x[y == 0].T, c="#e66101", edgecolors="white", s=70, marker="s",
                     label="failed")  # fmt: skip
        axes.scatter(*STUDENT.T, c="white", edgecolors="black", s=180, marker="*", label="you")
        axes.set(xlabel="lectures attended", title=f"{title}: [4, 5] passes with "
                 f"{chance(model, STUDENT)[0]:.0%}", aspect="equal")  # fmt: skip
    both[0].set_ylabel("hours spent on the project")
    both[1].legend(loc="lower right", framealpha=0.9)
    figure.colorbar(image, ax=both, label="predicted probability of passing")
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=150)
    return True


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seed", type=int, default=3, help="seed of the trained network")
    parser.add_argument("--quick", action="store_true", help="train on a smaller sample")
    parser.add_argument("--out", type=Path, default=Path("out"), help="folder for the picture")
    arguments = parser.parse_args()

    answers = np.array([chance(network(seed), STUDENT)[0] for seed in range(20)])
    print("What 20 untrained networks say about [4, 5], who passed:")
    print("  " + " ".join(f"{answer:.2f}" for answer in np.sort(answers)))
    print(
        f"  from {answers.min():.2f} to {answers.max():.2f}; {(answers < 0.5).sum()} of 20 are "
        "wrong. They know nothing.\n"
    )

    x, y = datasets.will_i_pass(300 if arguments.quick else 1000, seed=arguments.seed)
    before, model = network(arguments.seed), network(arguments.seed)
    loss = BinaryCrossEntropy()
    history = model.fit(
        x,
        y[:, None],
        loss=loss,
        optimizer=Adam(lr=0.05),
        epochs=60,
        batch_size=32,
        metrics=[BinaryAccuracy()],
        verbose=0,
    )
    slide_x, slide_y = datasets.will_i_pass()
    right = ((chance(model, slide_x) > 0.5) == slide_y).sum()
    answer = chance(model, STUDENT)[0]
    print(f"Trained on {len(x)} students in {len(history['loss'])} epochs:")
    print(f"  loss {history['loss'][0]:.3f} -> {history['loss'][-1]:.3f}, "
          f"accuracy {history['binary_accuracy'][-1]:.1%}")  # fmt: skip
    print(f"  {right} of the slide's 10 students are right")
    print(f"  [4, 5] passes with {answer:.3f}; untrained it was {chance(before, STUDENT)[0]:.3f}")
    picture = arguments.out / "will_i_pass.png"
    if save_picture(before, model, picture):
        print(f"The picture is {picture}.")
    else:
        print("For a picture as well: pip install matplotlib")
    if answer < 0.9 or right < 10:
        raise SystemExit("A right network is surer than that.")


if __name__ == "__main__":
    main()
