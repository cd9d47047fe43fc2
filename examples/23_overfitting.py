"""Too small a network underfits, too large a one overfits: one noisy curve, three sizes.

Point 23 of the lecture. Thirty noisy points of a sine are learned by a line, by a small and by a
large network, over several seeds. The large one comes nearest to the points it has seen, the small
one to those it has not."""

from __future__ import annotations

import numpy as np

from chainrule import Adam, Dense, MeanSquaredError, Model, Tanh, plots
from chainrule.examples import options, picture

arguments = options(__doc__)
loss = MeanSquaredError()
NOISE = 0.3
sizes = {
    "a line: underfits": lambda seed: Model(Dense(1, 1), seed=seed),
    "4 hidden units: fits": lambda seed: Model(Dense(1, 4), Tanh(), Dense(4, 1), seed=seed),
    "2 × 128 hidden units: overfits": lambda seed: Model(
        Dense(1, 128), Tanh(), Dense(128, 128), Tanh(), Dense(128, 1), seed=seed
    ),
}
seeds = range(arguments.seed, arguments.seed + (2 if arguments.quick else 5))
epochs = 1500 if arguments.quick else 3000


def sample(count: int, seed: list[int]) -> tuple[np.ndarray, np.ndarray]:
    """Noisy points of a sine."""
    rng = np.random.default_rng(seed)
    x = rng.uniform(-3, 3, (count, 1))
    return x, np.sin(1.5 * x) + NOISE * rng.normal(size=x.shape)


results: dict[str, np.ndarray] = {}
fits: dict[str, tuple] = {}
side = np.linspace(-3, 3, 301)[:, None]
print(f"Mean squared error, mean and range of {len(seeds)} seeds; the noise alone is {NOISE**2}.")
for name, build in sizes.items():
    errors = []
    for seed in seeds:
        (x, y), test = sample(30, [seed, 0]), sample(1000, [seed, 1])
        model = build(seed)
        model.fit(x, y, loss=loss, optimizer=Adam(lr=0.01), epochs=epochs, batch_size=None,
                  verbose=0)  # fmt: skip
        errors.append([model.evaluate(*data, loss=loss)["loss"] for data in ((x, y), test)])
        fits.setdefault(name, (x, y, model(side)))
    seen, unseen = results[name] = np.array(errors).T
    print(f"  {name:31} seen {seen.mean():.3f} ({seen.min():.3f} to {seen.max():.3f}), unseen "
          f"{unseen.mean():.3f} ({unseen.min():.3f} to {unseen.max():.3f})")  # fmt: skip


def draw() -> object:
    import matplotlib.pyplot as plt

    figure, all_axes = plt.subplots(1, 3, figsize=(11, 3.9), sharey=True, layout="constrained")
    for ax, (name, (x, y, fit)) in zip(all_axes, fits.items(), strict=True):
        plots.spread(side[:, 0], np.sin(1.5 * side).T, ax=ax, label="the truth", ls=":",
                     color="gray")  # fmt: skip
        plots.spread(side[:, 0], fit.T, ax=ax, label="the network")
        ax.plot(x, y, "o", color="C1", ms=5, label="what it has seen")
        seen, unseen = (part.mean() for part in results[name])
        ax.set(xlabel="x", title=f"{name}\nerror seen {seen:.2f}, unseen {unseen:.2f}",
               ylim=(-2.2, 2.6))  # fmt: skip
    all_axes[0].set_ylabel("y")
    all_axes[0].legend(loc="upper left", fontsize=8)
    return figure


picture(draw, "23_overfitting", arguments)
line, fit, over = (result.mean(axis=1) for result in results.values())
if not (over[0] < fit[0] < line[0] and fit[1] < over[1] and fit[1] < line[1]):
    raise SystemExit("The large network must be best on what it saw, the small one on the rest.")
