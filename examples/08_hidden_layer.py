"""A hidden layer moves the points until a line separates them.

Point 8 of the lecture. A network with one hidden layer has two weight matrices. What its hidden
units say is in no data set, it is not observed, hence the name; `model.activations(x)` shows it.
The task is XOR, which no straight line solves. In the plane of two hidden units one does."""

from __future__ import annotations

from chainrule import (
    Adam,
    BinaryAccuracy,
    BinaryCrossEntropy,
    Dense,
    Model,
    Tanh,
    datasets,
    inspection,
    plots,
)
from chainrule.examples import options, picture

arguments = options(__doc__)
x, y = datasets.xor(400, noise=0.12, seed=arguments.seed)
loss = BinaryCrossEntropy()


def train(hidden: bool, seed: int) -> tuple[Model, float]:
    """Train a network with two hidden units or none; return it with its loss."""
    layers = [Dense(2, 2), Tanh(), Dense(2, 1)] if hidden else [Dense(2, 1)]
    model = Model(*layers, seed=seed)
    history = model.fit(x, y[:, None], loss=loss, optimizer=Adam(lr=0.05),
                        epochs=40 if arguments.quick else 100, verbose=0)  # fmt: skip
    return model, history["loss"][-1]


def accuracy(model: Model) -> float:
    return model.evaluate(x, y[:, None], loss=loss, metrics=[BinaryAccuracy()])["binary_accuracy"]


# So small a network finds the answer from some random starts only: the best of several is kept.
starts = [train(True, seed) for seed in range(arguments.seed, arguments.seed + 8)]
model, _ = min(starts, key=lambda start: start[1])
without, _ = train(False, arguments.seed)
print("Loss from eight random starts:", " ".join(f"{value:.2f}" for _, value in starts))
print(f"Right on XOR: without a hidden layer {accuracy(without):.1%}, with one "
      f"{accuracy(model):.1%}\n")  # fmt: skip
for name, array in model.named_parameters().items():
    print(f"{name}, shape {array.shape}: {array.astype(float).round(2).tolist()}")

corners, answers = datasets.xor()
hidden, z = model.activations(corners)[1:]  # after the tanh, (4, 2), and the output, (4, 1)
print("\nWhat the two hidden units say:")
for corner, h, answer, logit in zip(corners, hidden, answers, z[:, 0], strict=True):
    print(f"  x = {corner.tolist()}: hidden {h.round(2)}, output {logit:6.2f}, true class {answer}")


def draw() -> object:
    import matplotlib.pyplot as plt

    figure, (left, middle, right) = plt.subplots(1, 3, figsize=(11, 3.7))
    plots.network(inspection.network(model), ax=left)
    left.set_title("Two weight matrices")
    regions = inspection.decision_regions(model, x)
    plots.decision_regions(regions, x, y, ax=middle, colorbar=False)
    middle.set_title("The inputs: no line separates them")
    h = model.activations(x)[1]
    output = Model(Dense(2, 1))  # the last layer alone, on the hidden units' values
    output.load_state_dict({"0.W": model.layers[2].W, "0.b": model.layers[2].b})
    plots.decision_regions(inspection.decision_regions(output, h), h, y, ax=right)
    right.set(xlabel="hidden unit 1", ylabel="hidden unit 2", title="The hidden units: a line does")
    for ax in (middle, right):
        ax.legend(loc="upper center", bbox_to_anchor=(0.5, -0.14), ncols=2)
    return figure


picture(draw, "08_hidden_layer", arguments)
if accuracy(model) < 0.97 or accuracy(without) > 0.85:
    raise SystemExit("Two hidden units solve XOR, and no network without them does.")
