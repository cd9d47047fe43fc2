"""Sigmoid, tanh and ReLU, each with its derivative.

Point 4 of the lecture. The derivatives are g (1 - g), 1 - g² and 1 where z > 0. The table puts
these formulas beside what the layers' own backward gives and beside finite differences."""

from __future__ import annotations

import numpy as np

from chainrule import ReLU, Sigmoid, Tanh, inspection, numerical_gradient, plots
from chainrule.examples import options, picture

arguments = options(__doc__)
formulas = [
    (Sigmoid(), "g (1 - g)", lambda z, g: g * (1 - g)),
    (Tanh(), "1 - g²", lambda z, g: 1 - g**2),
    (ReLU(), "1 where z > 0", lambda z, g: np.where(z > 0, 1.0, 0.0)),
]
rng = np.random.default_rng(arguments.seed)
places = np.array([-2.0, -0.5, 0.5, 2.0])
worst = 0.0
for layer, formula, derivative in formulas:
    print(f"{type(layer).__name__}, derivative {formula}")
    print("      z      g(z)   formula  backward  finite difference")
    for z in np.concatenate([places, rng.uniform(-5, 5, 0 if arguments.quick else 2)]):
        x = np.array([z])
        y, cache = layer.forward(x)
        by_backward, _ = layer.backward(np.ones(1), cache)  # dL/dy = 1
        by_formula = derivative(z, y[0])
        by_difference = numerical_gradient(lambda x, g=layer: g.forward(x)[0].sum(), x)[0]
        print(f"  {z:5.2f}  {y[0]:8.5f}  {by_formula:8.5f}  {by_backward[0]:8.5f}  "
              f"{by_difference:8.5f}")  # fmt: skip
        worst = max(worst, abs(by_backward[0] - by_formula), abs(by_formula - by_difference))
print(f"Largest disagreement: {worst:.1e}")


def draw() -> object:
    import matplotlib.pyplot as plt

    figure, places = plt.subplots(1, 3, figsize=(11, 3.6))
    for ax, (layer, _, _) in zip(places, formulas, strict=True):
        plots.activation(inspection.activation(layer), ax=ax)
    return figure


picture(draw, "04_activations", arguments)
if worst > 1e-8:
    raise SystemExit("Formula, backward and finite difference must be one number.")
