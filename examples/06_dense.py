"""A dense layer is a row of perceptrons, and one matrix product.

Points 6 and 7 of the lecture. Each neuron of `Dense(2, 2)` has its own weights, and so its own line
in the plane: the layer gives what two perceptrons give. Written out from scratch, with weights,
bias, matrix product and nonlinearity, a layer is equal to `Dense` to the last bit."""

from __future__ import annotations

import numpy as np

from chainrule import Dense, Model, ReLU, Sigmoid, inspection, plots, sigmoid
from chainrule.examples import options, picture

arguments = options(__doc__)
rng = np.random.default_rng(arguments.seed)

# ---- point 6: two perceptrons against Dense(2, 2) ------------------------------------------------
w1, b1 = np.array([3.0, -2.0]), 1.0
w2, b2 = np.array([1.0, 2.0]), -1.0
dense = Dense(2, 2)
dense.W, dense.b = np.column_stack([w1, w2]), [b1, b2]  # a column for each neuron
layer = Model(dense, Sigmoid(), dtype="float64")
x = np.array([-1.0, 2.0])
two = np.array([sigmoid(x @ w1 + b1), sigmoid(x @ w2 + b2)])
print(f"Two perceptrons at [-1, 2]:   {two.round(5)}")
print(f"Dense(2, 2), Sigmoid():       {layer(x[None])[0].round(5)}\n")


# ---- point 7: a layer from scratch ---------------------------------------------------------------
class ScratchDense:
    """The lecture's layer: its weights, its bias, and a call."""

    def __init__(self, n_in: int, n_out: int) -> None:
        self.W = rng.normal(0, np.sqrt(2 / n_in), (n_in, n_out)).astype(np.float32)
        self.b = rng.normal(0, 0.1, n_out).astype(np.float32)

    def __call__(self, x: np.ndarray) -> np.ndarray:  # x (n, n_in)
        z = np.matmul(x, self.W) + self.b  # (n, n_out)
        return np.maximum(z, 0)  # the nonlinearity, ReLU


equal = []
for n, n_in, n_out in [(1, 2, 3), (32, 64, 128), (200, 784, 100)]:
    scratch = ScratchDense(n_in, n_out)
    one_liner = Model(Dense(n_in, n_out), ReLU())
    one_liner.layers[0].W, one_liner.layers[0].b = scratch.W, scratch.b
    rows = rng.normal(size=(n, n_in)).astype(np.float32)
    equal.append(np.array_equal(scratch(rows), one_liner(rows)))
    word = "every bit the same" if equal[-1] else "not the same"
    print(f"{n:3} rows through Dense({n_in}, {n_out}), ReLU() and from scratch: {word}")
corners = np.array([[-4.0, -4.0], [4.0, 4.0]])


def draw() -> object:
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(1, 3, figsize=(11, 3.6))
    plots.network(inspection.network(layer), ax=axes[0])
    axes[0].set_title("Dense(2, 2)")
    for k, ax in enumerate(axes[1:]):
        regions = inspection.decision_regions(lambda x, k=k: layer(x)[:, k], corners, margin=0)
        plots.decision_regions(regions, ax=ax, colorbar=False)
        ax.set_title(f"Neuron {k + 1}: W[:, {k}] = {dense.W[:, k].tolist()}, b = {dense.b[k]:g}")
    figure.colorbar(axes[2].images[0], ax=axes[2], label="y, what the neuron says")
    return figure


picture(draw, "06_dense", arguments)
if np.abs(layer(x[None])[0] - two).max() > 1e-15 or not all(equal):
    raise SystemExit("The layer must be its neurons, and equal to the one from scratch.")
