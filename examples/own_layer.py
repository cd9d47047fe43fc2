"""A layer of one's own is a forward formula and a backward formula.

`gradcheck` checks that they belong together, and notices where they do not. The layer then works
everywhere: in a model, in training, in a file."""

from __future__ import annotations

import numpy as np

from chainrule import (
    Adam,
    Dense,
    GradientError,
    Layer,
    MeanSquaredError,
    Model,
    gradcheck,
    initializers,
    register_layer,
)
from chainrule.examples import options, picture


@register_layer
class Sine(Layer):
    """y = sin(w x), with one learned frequency w for each feature."""

    def __init__(self, features: int) -> None:
        super().__init__()
        self.features = features
        self.add_parameter("w", (features,), initializers.normal(10.0))

    def forward(self, x, training=False):
        return np.sin(self.w * x), x  # the cache is whatever backward will need

    def backward(self, dy, x, out=None, need_dx=True):
        dz = dy * np.cos(self.w * x)  # d sin(z) / dz = cos(z), z = w x
        return dz * self.w, {"w": (dz * x).sum(axis=0)}  # dL/dx, {"w": dL/dw}


class Wrong(Sine):
    """The same with the sign of the derivative wrong, to see that the check notices."""

    def backward(self, dy, x, out=None, need_dx=True):
        dx, grads = super().backward(dy, x)
        return -dx, grads


def main() -> None:
    arguments = options(__doc__)
    rng = np.random.default_rng(arguments.seed)

    right, wrong = Sine(3), Wrong(3)
    right.rng = wrong.rng = rng  # the seed decides their parameters too
    error = gradcheck(right, rng.normal(size=(5, 3)))
    print(f"Sine: the gradients agree with finite differences, worst relative error {error:.1e}")
    try:
        gradcheck(wrong, rng.normal(size=(5, 3)))
    except GradientError as refusal:
        print(f"Wrong: {refusal}")

    x = rng.uniform(-1, 1, (512, 1))
    y = np.sin(6 * x) + 0.5 * np.sin(17 * x)  # what is to be learned
    model = Model(Dense(1, 32), Sine(32), Dense(32, 1), seed=arguments.seed)
    grid = np.linspace(-1, 1, 401)[:, None]
    before = model.predict(grid)
    history = model.fit(
        x,
        y,
        loss=MeanSquaredError(),
        optimizer=Adam(lr=0.01),
        epochs=60 if arguments.quick else 200,
        verbose=0,
    )
    mse = history["loss"][-1]
    print(f"Fitting a sum of two sines: mean squared error {history['loss'][0]:.3f} -> {mse:.2g}")

    after = model.predict(grid)

    def draw() -> object:
        import matplotlib.pyplot as plt

        _, ax = plt.subplots()
        ax.plot(grid, before, "--", color="C2", label="untrained")
        ax.plot(grid, after, color="C0", label="trained")
        ax.plot(x[::6], y[::6], "o", color="C1", ms=4, label="every sixth point of the data")
        ax.set(xlabel="x", ylabel="y", title="A network with a layer of one's own, 32 sines")
        ax.legend(loc="upper center", bbox_to_anchor=(0.5, -0.16), ncols=3)
        return ax

    path = arguments.out / "own_layer.npz"
    path.parent.mkdir(parents=True, exist_ok=True)
    model.save(path)
    same = np.array_equal(Model.load(path).predict(x), model.predict(x))
    print(f"Saved to {path} and loaded again: {'the same' if same else 'other'} predictions")
    picture(draw, "own_layer", arguments)
    if mse > 0.05 or not same:
        raise SystemExit("A right layer does better than that.")


if __name__ == "__main__":
    main()
