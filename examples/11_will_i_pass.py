"""Will I pass this class? The network is wrong at first, then it learns.

Points 11 and 12 of the lecture. Two inputs, the lectures attended and the hours spent on the
project, three hidden units and one output. Untrained networks know nothing, they must be told when
they are wrong; then the boundary moves into place. The question is [4, 5], a student who passed."""

from __future__ import annotations

import numpy as np

from chainrule import (
    Adam,
    BinaryAccuracy,
    BinaryCrossEntropy,
    Dense,
    Model,
    Sigmoid,
    datasets,
    inspection,
    plots,
    sigmoid,
)
from chainrule.examples import options, picture

STUDENT = np.array([[4.0, 5.0]])  # 4 lectures attended, 5 hours spent on the project


def network(seed: int) -> Model:
    """Make the slide's network; its last sigmoid is in the loss, and here in `chance`."""
    return Model(Dense(2, 3), Sigmoid(), Dense(3, 1), seed=seed)


def chance(model: Model, x: np.ndarray) -> np.ndarray:
    """Return the probability of passing, (n,)."""
    return sigmoid(model.predict(x)[:, 0])


arguments = options(__doc__, seed=398)  # untrained it says about what the slide says: 0.1
slide_x, slide_y = datasets.will_i_pass()

answers = np.array([chance(network(seed), STUDENT)[0] for seed in range(20)])
print("What 20 untrained networks say about [4, 5], who passed:")
print("  " + " ".join(f"{answer:.2f}" for answer in np.sort(answers)))
print(f"  from {answers.min():.2f} to {answers.max():.2f}; {(answers < 0.5).sum()} of 20 are "
      "wrong. They know nothing.\n")  # fmt: skip

x, y = datasets.will_i_pass(300 if arguments.quick else 1000, seed=arguments.seed)
before, model = network(arguments.seed), network(arguments.seed)
history = model.fit(
    x,
    y[:, None],
    loss=BinaryCrossEntropy(),
    optimizer=Adam(lr=0.05),
    epochs=60,
    metrics=[BinaryAccuracy()],
    verbose=0,
)
right = ((chance(model, slide_x) > 0.5) == slide_y).sum()
answer = chance(model, STUDENT)[0]
print(f"Trained on {len(x)} students in {len(history['loss'])} epochs:")
print(f"  loss {history['loss'][0]:.3f} -> {history['loss'][-1]:.3f}, "
      f"accuracy {history['binary_accuracy'][-1]:.1%}")  # fmt: skip
print(f"  {right} of the slide's 10 students are right")
print(f"  [4, 5] passes with {answer:.3f}; untrained it was {chance(before, STUDENT)[0]:.3f}")


def draw() -> object:
    import matplotlib.pyplot as plt

    corners = np.array([[0.0, 0.0], [8.0, 8.0]])
    figure, both = plt.subplots(1, 2, figsize=(11, 4.6))
    for ax, net, title in zip(both, (before, model), ("Untrained", "Trained"), strict=True):
        regions = inspection.decision_regions(net, corners, margin=0)
        plots.decision_regions(regions, slide_x, slide_y, ax=ax, names=["failed", "passed"],
                               colorbar=False)  # fmt: skip
        ax.plot(*STUDENT[0], "*", color="white", mec="black", ms=16)
        ax.annotate("[4, 5]", STUDENT[0], (8, 8), textcoords="offset points", color="black")
        ax.set(xlabel="lectures attended", ylabel="hours spent on the project",
               title=f"{title}: [4, 5] passes with {chance(net, STUDENT)[0]:.1%}")  # fmt: skip
    figure.colorbar(both[0].images[0], ax=both, label="predicted probability of passing")
    return figure


picture(draw, "11_will_i_pass", arguments)
if answer < 0.9 or right < 10:
    raise SystemExit("A right network is surer than that.")
