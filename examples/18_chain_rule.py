"""Backpropagation is the chain rule, factor by factor from the loss to a weight.

Point 18 of the lecture. In the network x -> w1 -> z -> w2 -> ŷ each factor of ∂J/∂w1 = ∂J/∂ŷ ·
∂ŷ/∂z · ∂z/∂w1 is printed, beside a finite difference and beside what the library computes."""

from __future__ import annotations

import numpy as np

from chainrule import Dense, MeanSquaredError, Model, Sigmoid, gradcheck, plots
from chainrule.examples import options, picture

arguments = options(__doc__)
rng = np.random.default_rng(arguments.seed)
x, y = 1.5, 0.8
w1, w2 = rng.choice([-1, 1], 2) * rng.uniform(0.5, 1.5, 2)


def J(w1: float, w2: float) -> float:
    """The loss of one example: J = (ŷ - y)², ŷ = w2 z, z = g(w1 x), g the sigmoid."""
    z = 1 / (1 + np.exp(-w1 * x))
    return (w2 * z - y) ** 2


z = 1 / (1 + np.exp(-w1 * x))
prediction = w2 * z
print(f"x = {x}, y = {y}, w1 = {w1:.4f}, w2 = {w2:.4f}: z = {z:.4f}, ŷ = {prediction:.4f}, "
      f"J = {J(w1, w2):.4f}\n")  # fmt: skip

dJ_dprediction = 2 * (prediction - y)  # J = (ŷ - y)²
dprediction_dw2 = z  # ŷ = w2 z
dprediction_dz = w2
dz_dw1 = z * (1 - z) * x  # g' = g (1 - g)
by_hand = [dJ_dprediction * dprediction_dz * dz_dw1, dJ_dprediction * dprediction_dw2]

eps = 1e-6
by_difference = [
    (J(w1 + eps, w2) - J(w1 - eps, w2)) / (2 * eps),
    (J(w1, w2 + eps) - J(w1, w2 - eps)) / (2 * eps),
]

model = Model(Dense(1, 1, bias=False), Sigmoid(), Dense(1, 1, bias=False), dtype="float64")
model.parameters = [w1, w2]
output, caches = model.forward([[x]])
_, dy = MeanSquaredError()(output, [[y]])
model.backward(dy, caches)

print(f"∂J/∂w2 = ∂J/∂ŷ · ∂ŷ/∂w2         = {dJ_dprediction:.6f} · {dprediction_dw2:.6f}"
      f" = {by_hand[1]:.6f}")  # fmt: skip
print(f"∂J/∂w1 = ∂J/∂ŷ · ∂ŷ/∂z · ∂z/∂w1 = {dJ_dprediction:.6f} · {dprediction_dz:.6f} · "
      f"{dz_dw1:.6f} = {by_hand[0]:.6f}\n")  # fmt: skip
print("            chain rule   finite difference   chainrule")
for i, name in enumerate(("w1", "w2")):
    print(f"  ∂J/∂{name}    {by_hand[i]:10.6f}   {by_difference[i]:17.6f}   "
          f"{model.gradients[i]:9.6f}")  # fmt: skip
error = gradcheck(model, rng.normal(size=(5, 1)))
print(f"gradcheck of the network on five random inputs: worst relative error {error:.1e}")


def draw() -> object:
    import matplotlib.pyplot as plt

    figure, both = plt.subplots(1, 2, figsize=(10, 4), layout="constrained")
    weights = np.array([w1, w2])
    for i, ax in enumerate(both):
        side = weights[i] + np.linspace(-2.5, 2.5, 201)
        runs = [J(w, w2) if i == 0 else J(w1, w) for w in side]
        plots.spread(side, [runs], ax=ax, label=f"J(w{i + 1})")
        tangent = J(w1, w2) + by_hand[i] * (side - weights[i])
        ax.plot(side, tangent, "--", label=f"slope ∂J/∂w{i + 1} = {by_hand[i]:.3f}")
        ax.plot(weights[i], J(w1, w2), "o", color="C0", ms=8)
        ax.set(xlabel=f"w{i + 1}", ylabel="loss J", ylim=(-0.1 * max(runs), 1.35 * max(runs)))
        ax.legend(loc="upper center")
    return figure


picture(draw, "18_chain_rule", arguments)
off = max(np.abs(np.subtract(by_hand, by_difference)).max(),
          np.abs(by_hand - model.gradients).max())  # fmt: skip
if off > 1e-7 or error > 1e-6 or not np.abs(by_hand).min() > 0:
    raise SystemExit("Chain rule, finite difference and library must give the same gradient.")
