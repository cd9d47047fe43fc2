"""The loss is one number that says how wrong a network is.

Points 13, 14 and 15 of the lecture. The empirical loss J(W) is the mean of the losses of all rows.
For a yes or no it is the cross entropy, here on the raw output before the sigmoid, where it is
right at any size; for real numbers it is the mean squared error."""

from __future__ import annotations

import textwrap

import numpy as np

from chainrule import Adam, BinaryCrossEntropy, Dense, MeanSquaredError, Model, Sigmoid
from chainrule.examples import options, picture

arguments = options(__doc__)
cross_entropy, squared_error = BinaryCrossEntropy(), MeanSquaredError()

# Three students [4, 5], [2, 1], [5, 8]: what a network said, f, and how it was, y.
f, y = np.array([0.1, 0.8, 0.6]), np.array([1.0, 0.0, 1.0])
each = -(y * np.log(f) + (1 - y) * np.log(1 - f))
logits = np.log(f / (1 - f))  # sigmoid(logits) = f
value, gradient = cross_entropy(logits, y)
print("Cross entropy, -(y log f + (1 - y) log(1 - f)):")
print(f"  of each row {each.round(6)}, their mean {each.mean():.6f}")
print(f"  BinaryCrossEntropy on the logits {logits.round(3)}: {value:.6f}")
print(f"  its gradient, (f - y) / 3: {gradient.round(4)}")

grades, truth = np.array([30.0, 80.0, 85.0]), np.array([90.0, 20.0, 95.0])
mse, _ = squared_error(grades, truth)
print(f"Mean squared error of the grades {grades} for {truth}: {mse:.2f}\n")

print("Logits of any size, cross entropy where the answer is wrong and where it is right:")
far = [(z, cross_entropy([z], [t])) for z in (-1e4, 1e4) for t in (1.0, 0.0)]
for z, (value_far, slope) in far:
    print(f"  logit {z:7.0f}: loss {value_far:7.1f}, gradient {slope[0]:4.1f}")
stable = [found for _, (found, _) in far] == [1e4, 0, 0, 1e4]

# A loss on logits behind a Sigmoid would apply the sigmoid twice: fit notices.
rows = np.array([[4.0, 5.0], [2.0, 1.0], [5.0, 8.0]])
refused = ""
try:
    model = Model(Dense(2, 3), Sigmoid(), Dense(3, 1), Sigmoid(), seed=arguments.seed)
    model.fit(rows, y[:, None], loss=cross_entropy, optimizer=Adam(), verbose=0)
except ValueError as error:
    refused = str(error)
print(f"\nBehind a Sigmoid, fit says:\n{textwrap.indent(textwrap.fill(refused, 86), '  ')}")


def draw() -> object:
    import matplotlib.pyplot as plt

    figure, (left, right) = plt.subplots(1, 2, figsize=(11, 4.2))
    p = np.linspace(0.005, 0.995, 400)
    grade = np.linspace(0, 100, 400)
    for color, target, style in (("C0", 1, "-"), ("C1", 0, "--")):
        losses = [cross_entropy([z], [target])[0] for z in np.log(p / (1 - p))]
        left.plot(p, losses, style, color=color, label=f"target {target}")
        left.plot(f[y == target], each[y == target], "o", color=color, ms=8)
    left.set(xlabel="prediction f (probability)", ylabel="loss of one row (nats)",
             title=f"Cross entropy; the three students' mean is {value:.3f}")  # fmt: skip
    left.legend(loc="upper center")
    for k, style in enumerate(("-", "--", "-.")):
        losses = [squared_error([g], truth[[k]])[0] for g in grade]
        right.plot(grade, losses, style, color=f"C{k}", label=f"target {truth[k]:.0f}")
        right.plot(grades[k], (grades[k] - truth[k]) ** 2, "o", color=f"C{k}", ms=8)
    right.set(xlabel="prediction f (grade)", ylabel="loss of one row (grade²)",
              title=f"Squared error; the three grades' mean is {mse:.2f}")  # fmt: skip
    right.legend(loc="upper center")
    return figure


picture(draw, "13_losses", arguments)
numbers = abs(value - 1.474283) < 5e-7 and abs(each.mean() - value) < 1e-12
if not numbers or abs(mse - 7300 / 3) > 1e-9 or not stable or "Remove the Softmax" not in refused:
    raise SystemExit("The lecture's numbers are 1.474283 and 2433.33.")
