"""One neuron splits the plane along a line into two sides.

Point 5 of the lecture. With w0 = 1 and w = [3, -2] the line is 1 + 3 x1 - 2 x2 = 0; on it the
neuron says 0.5, on one side less and on the other more. The point [-1, 2] lies far on the low
side: z = -6, y = 0.00247."""

from __future__ import annotations

import numpy as np

from chainrule import Dense, Model, Sigmoid, inspection, plots
from chainrule.examples import options, picture

arguments = options(__doc__)
dense = Dense(2, 1)
dense.W, dense.b = [[3.0], [-2.0]], [1.0]
neuron = Model(dense, Sigmoid(), dtype="float64")

x = np.array([[-1.0, 2.0]])
z, y = (float(output[0, 0]) for output in neuron.activations(x))
print(f"x = [-1, 2]: z = 1 + 3·(-1) - 2·2 = {z:g}, y = {y:.5f}")

# Points on the line, and steps from them in the direction of w and against it.
rng = np.random.default_rng(arguments.seed)
x1 = rng.uniform(-4, 4, 5 if arguments.quick else 500)
on_line = np.column_stack([x1, (1 + 3 * x1) / 2])  # solved for x2
step = np.array([3.0, -2.0]) / np.hypot(3, 2)  # of length 1
p_line, p_above, p_below = (neuron(on_line + k * step)[:, 0] for k in (0, 1, -1))
print(f"{len(x1)} points on the line:           y from {p_line.min():.6f} to {p_line.max():.6f}")
print(f"one step from it along w:    y = {p_above.mean():.5f}, everywhere the same")
print(f"one step from it against w:  y = {p_below.mean():.5f}")
corners = np.array([[-4.0, -4.0], [4.0, 4.0]])
regions = inspection.decision_regions(neuron, corners, margin=0)


def draw() -> object:
    ax = plots.decision_regions(regions, colorbar=False)
    ax.figure.colorbar(ax.images[0], ax=ax, label="y, what the neuron says")
    ax.set_title("A neuron in the plane, y = g(1 + 3 x1 - 2 x2)")
    ax.plot(*x[0], "*", color="white", mec="black", ms=16)
    letters = {"color": "black", "bbox": {"facecolor": "white", "alpha": 0.85, "lw": 0}}
    ax.annotate(f"[-1, 2]: y = {y:.5f}", x[0], (-3.6, 3.1), **letters)
    ax.text(1.2, -2.4, "z > 0, y > 0.5", **letters)
    ax.text(-3.7, 0.6, "z < 0, y < 0.5", **letters)
    return ax


picture(draw, "05_neuron_in_the_plane", arguments)
sides = np.abs(p_line - 0.5).max() < 1e-12 and p_below.max() < 0.5 < p_above.min()
if not sides or z != -6 or abs(y - 0.00247) > 5e-6:
    raise SystemExit("On the line y must be 0.5, and 0.00247 at [-1, 2].")
