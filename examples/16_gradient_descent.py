"""Gradient descent walks down the loss, from a random start to a lowest point.

Points 16 and 17 of the lecture. The network y = w2 tanh(w1 x) has two weights, so its loss is a
landscape that can be drawn. Its two lowest points compute the same function; the start decides in
which of them the descent ends."""

from __future__ import annotations

import numpy as np

from chainrule import Dense, MeanSquaredError, Model, Tanh, inspection, plots
from chainrule.examples import options, picture

arguments = options(__doc__)
rng = np.random.default_rng(arguments.seed)
x = rng.uniform(-2, 2, (200, 1))
y = 1.5 * np.tanh(2.0 * x) + 0.05 * rng.normal(size=x.shape)  # the truth: w1 = 2, w2 = 1.5
model = Model(Dense(1, 1, bias=False), Tanh(), Dense(1, 1, bias=False), dtype="float64")
loss = MeanSquaredError()
RATE, SIGMA = 0.2, 1.0


def descend(steps: int) -> tuple[np.ndarray, float]:
    """The algorithm of the lecture; returns the path (steps + 1, 2) and the last loss."""
    W = model.parameters
    W[:] = rng.normal(0, SIGMA, W.shape)  # W ~ N(0, σ²)
    path = [W.copy()]
    for _ in range(steps):
        prediction, caches = model.forward(x)
        J, dprediction = loss(prediction, y)
        model.backward(dprediction, caches)  # ∂J/∂W
        W -= RATE * model.gradients  # W ← W - η ∂J/∂W
        path.append(W.copy())
    return np.array(path), J


steps = 60 if arguments.quick else 150
paths = []
print(f"η = {RATE}, from random starts W ~ N(0, {SIGMA**2:g}):")
for _ in range(3 if arguments.quick else 6):
    path, J = descend(steps)
    paths.append(path)
    start, end = (f"({w[0]:5.2f}, {w[1]:5.2f})" for w in (path[0], path[-1]))
    slope = np.linalg.norm(model.gradients)
    print(f"  {start} -> {end} after {steps} steps: J = {J:.5g}, |∂J/∂W| = {slope:.4g}")
    if J > 0.02 or slope > 0.05:
        raise SystemExit("A descent along the right gradient comes lower than that.")
print(f"The data's own noise has a mean square of {0.05**2:.4f}: no weights do much better.")

side = np.linspace(-3.5, 3.5, 41 if arguments.quick else 121)
surface = inspection.loss_surface(model, x, y, loss=loss, a=side, b=side)


def draw() -> object:
    import matplotlib.pyplot as plt

    figure = plt.figure(figsize=(11, 4.6), layout="constrained")
    left, right = figure.add_subplot(121), figure.add_subplot(122, projection="3d")
    plots.loss_surface(surface, paths[0], ax=left)
    for path in paths[1:]:
        left.plot(*path.T, color="white", lw=1.2)
        left.plot(*path[0], "s", color="white", mec="black", ms=6)
        left.plot(*path[-1], "*", color="white", mec="black", ms=12)
    plots.loss_surface(surface, paths[0], ax=right, kind="surface")
    left.set(xlabel="w1", ylabel="w2", title="J(w1, w2) and the ways down, from random starts")
    right.set(xlabel="w1", ylabel="w2", title="The same, the first way alone")
    return figure


picture(draw, "16_gradient_descent", arguments)
