"""A perceptron from scratch in three lines, and the same number from two layers.

Point 3 of the lecture. A perceptron multiplies each input by a weight, adds the products and a
bias, and puts the sum through a nonlinearity: y = g(w0 + x·w). A `Dense(2, 1)` followed by a
`Sigmoid()` is the same thing, for many rows of inputs at once."""

from __future__ import annotations

import numpy as np

from chainrule import Dense, Model, Sigmoid, inspection, plots
from chainrule.examples import options, picture

arguments = options(__doc__)
w0, w = 1.0, np.array([3.0, -2.0])
x = np.array([-1.0, 2.0])

# From scratch: the dot product and the bias, the nonlinearity, the result.
z = w0 + x @ w
y = 1 / (1 + np.exp(-z))
print(f"From scratch:           z = {z:g}, y = {y:.5f}")

# The same in layers: W has a row for each input and a column for each neuron, (2, 1).
dense, g = Dense(2, 1), Sigmoid()
dense.W, dense.b = w[:, None], [w0]
model = Model(dense, g, dtype="float64")
rows = np.array([x])  # (1, 2): the first axis counts the rows
print(f"Dense(2, 1), Sigmoid(): z = {model.activations(rows)[0][0, 0]:g}, "
      f"y = {model(rows)[0, 0]:.5f}")  # fmt: skip

# Not only there: a thousand other inputs, one after another and in one call.
many = np.random.default_rng(arguments.seed).normal(size=(1000, 2))
one_by_one = np.array([1 / (1 + np.exp(-(w0 + row @ w))) for row in many])
at_once = model(many)[:, 0]
difference = np.abs(one_by_one - at_once).max()
print(f"Largest difference over 1000 inputs: {difference:.1e}")


def draw() -> object:
    import matplotlib.pyplot as plt

    figure, (left, right) = plt.subplots(1, 2, figsize=(10, 4.2))
    plots.network(inspection.network(model), ax=left)
    left.set_title("Two inputs, one neuron: w0 = 1, w = [3, -2]")
    curve = inspection.activation(g, -8, 8)
    right.plot(curve.z, curve.y, label="g(z)")
    right.plot(z, y, "o", color="C1", ms=9, zorder=3, label=f"x = [-1, 2]: y = {y:.5f}")
    right.set(xlabel="z = 1 + 3 x1 - 2 x2", ylabel="y = g(z)",
              title="Its nonlinearity, g(z) = 1 / (1 + exp(-z))")  # fmt: skip
    right.legend(loc="upper left")
    return figure


picture(draw, "03_perceptron", arguments)
if abs(y - 0.002473) > 5e-7 or difference > 1e-15:
    raise SystemExit("The layers must give the perceptron's own number, 0.00247.")
