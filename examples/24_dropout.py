"""Dropout: each pass does without another half of the units, so none relies on one other.

Point 24 of the lecture. A large network learns 300 noisy digits with and without dropout (a fifth
of the pixels, half of the hidden units), from the same seeds. In evaluation all units are there."""

from __future__ import annotations

import numpy as np

from chainrule import (
    Accuracy,
    Adam,
    Dense,
    Dropout,
    Model,
    ReLU,
    SoftmaxCrossEntropy,
    datasets,
    plots,
)
from chainrule.examples import options, picture

arguments = options(__doc__)
(x_all, y_all), (x_clean, y_test) = datasets.digits()
loss = SoftmaxCrossEntropy()

units = Dropout(0.5, rng=np.random.default_rng(arguments.seed + 2))
print("Ten units of 1 in three passes of training, and in evaluation:")
for training in (True, True, True, False):
    y, _ = units.forward(np.ones((1, 10)), training=training)
    print("  " + " ".join(f"{value:g}" for value in y[0]))

seeds = range(arguments.seed, arguments.seed + (3 if arguments.quick else 8))
epochs = 60 if arguments.quick else 100
curves, accuracies = {}, {}
for name, share in (("without dropout", 0.0), ("with dropout", 1.0)):
    losses, right = [], []
    for seed in seeds:
        rng = np.random.default_rng(seed)
        rows = rng.permutation(len(x_all))[:300]
        x = x_all[rows] + 0.25 * rng.normal(size=(300, 64))
        x_test = x_clean + 0.25 * rng.normal(size=x_clean.shape)
        model = Model(
            Dropout(0.2 * share),
            Dense(64, 256), ReLU(), Dropout(0.5 * share),
            Dense(256, 256), ReLU(), Dropout(0.5 * share),
            Dense(256, 10), seed=seed,
        )  # fmt: skip
        history = model.fit(
            x, y_all[rows], loss=loss, optimizer=Adam(lr=0.002), epochs=epochs,
            validation_data=(x_test, y_test), metrics=[Accuracy()], verbose=0,
        )  # fmt: skip
        losses.append(history["val_loss"])
        right.append(history["val_accuracy"][-1])
    curves[name], accuracies[name] = np.array(losses), np.array(right)
    end = curves[name][:, -1]
    print(f"{name:16} test loss {end.mean():.3f} ({end.min():.3f} to {end.max():.3f}), accuracy "
          f"{np.mean(right):.1%} ({min(right):.1%} to {max(right):.1%})")  # fmt: skip
gain = curves["without dropout"][:, -1] - curves["with dropout"][:, -1]
print(f"Dropout has the lower test loss for {(gain > 0).sum()} of the {len(gain)} seeds.")


def draw() -> object:
    import matplotlib.pyplot as plt

    figure, (left, right) = plt.subplots(
        1, 2, figsize=(10.5, 4.2), width_ratios=(1.7, 1), layout="constrained"
    )
    for (name, runs), line in zip(curves.items(), ("--", "-"), strict=True):
        plots.spread(np.arange(1, epochs + 1), runs, ax=left, label=name, ls=line)
    left.set(xlabel="epoch", ylabel="cross entropy on test digits (nats)", ylim=(0.2, 1.5),
             title=f"300 noisy digits, mean and range of {len(seeds)} seeds")  # fmt: skip
    left.legend()
    pairs = np.array(list(accuracies.values()))  # (2, seeds)
    right.plot([0, 1], pairs, "o-", color="gray", lw=0.8, ms=4)
    right.plot([0, 1], pairs.mean(axis=1), "D", color="C1", ms=9, label="mean")
    right.set_xticks([0, 1], list(accuracies))
    right.set(xlim=(-0.4, 1.4), ylabel="accuracy on test digits", title="A line for each seed")
    right.yaxis.set_major_formatter("{x:.1%}")
    right.legend()
    return figure


picture(draw, "24_dropout", arguments)
if gain.mean() < 0.05 or (gain > 0).mean() < 0.7:
    raise SystemExit("With dropout the loss on test digits must be lower.")
