"""All the data, one point or a mini-batch: a step's noise against its cost.

Point 22 of the lecture. The variance of the gradient falls as one over the size of the batch, and
the time of a step hardly grows while the batch is small. A mini-batch is where both meet: at a rate
where one point is lost in its noise, all the data have hardly begun."""

from __future__ import annotations

import time

import numpy as np

from chainrule import SGD, Dense, Model, ReLU, SoftmaxCrossEntropy, datasets, inspection, plots
from chainrule.examples import options, picture

arguments = options(__doc__)
(x, y), _ = datasets.digits()
loss = SoftmaxCrossEntropy()
sizes = [1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024]
n, RATE = len(x), 0.5


def network(seed: int) -> Model:
    """A small network for digits."""
    return Model(Dense(64, 32), ReLU(), Dense(32, 10), seed=seed)


# ---- noise: how far a batch's gradient is from that of all the data, for several networks
seeds = range(arguments.seed, arguments.seed + (2 if arguments.quick else 5))
draws = 200 if arguments.quick else 400
noises = [
    inspection.gradient_variance(network(seed), x, y, loss=loss, batch_sizes=sizes, seed=seed,
                                 draws=draws)
    for seed in seeds
]  # fmt: skip
variance = np.array([noise.variance for noise in noises])  # (seeds, sizes)
# Rows that were drawn are not drawn again: the variance is σ²/B · (N - B)/(N - 1).
slope = np.polyfit(np.log(sizes), np.log((variance / [(n - B) / (n - 1) for B in sizes]).mean(0)),
                   1)[0]  # fmt: skip

# The same for single rows without the library's help: |g_n - g|² for every row n.
model = network(arguments.seed)
rows = []
for i in range(n):
    prediction, caches = model.forward(x[i : i + 1])
    model.backward(loss(prediction, y[i : i + 1])[1], caches)
    rows.append(model.gradients.astype(np.float64))
by_row = np.sum((rows - np.mean(rows, axis=0)) ** 2, axis=1).mean()

# ---- cost: the time of a step
model, optimizer = network(arguments.seed), SGD(lr=0.01)
times = []
for size in sizes:
    runs = []
    for _ in range(20 if arguments.quick else 100):
        start = time.perf_counter()
        model.train_on_batch(x[:size], y[:size], loss=loss, optimizer=optimizer)
        runs.append(time.perf_counter() - start)
    times.append(np.median(runs) * 1e6)

print(f"batch   variance of the gradient, mean and range of {len(seeds)} networks   a step, µs")
for size, column, micro in zip(sizes, variance.T, times, strict=True):
    print(f"{size:5}   {column.mean():9.5f}  ({column.min():.5f} to {column.max():.5f})"
          f"{'':22}{micro:10.0f}")  # fmt: skip
print(f"The variance falls as the batch to the power of {slope:.3f}; theory: -1.")
print(f"Of single rows, first network: {variance[0, 0]:.2f} from {draws} draws, {by_row:.2f} from "
      "all rows.")  # fmt: skip

# ---- both together: the same number of epochs with each
epochs = 4 if arguments.quick else 15
curves = {}
for name, size in (("one point", 1), ("mini-batch of 32", 32), ("all the data", None)):
    race = inspection.race(network, {name: lambda: SGD(lr=RATE)}, x, y, loss=loss, epochs=epochs,
                           batch_size=size, seeds=seeds)  # fmt: skip
    curves[name] = race.losses[0]
    print(f"{name:17} loss after {epochs} epochs of {-(-n // (size or n))} steps: "
          f"{race.losses[0, :, -1].mean():.4f}")  # fmt: skip


def draw() -> object:
    import matplotlib.pyplot as plt

    figure = plt.figure(figsize=(9.5, 7.6), layout="constrained")
    left, middle, right = figure.subplot_mosaic("AB;CC").values()
    norm = np.mean([noise.squared_norm for noise in noises])
    plots.gradient_variance(
        inspection.GradientVariance(np.array(sizes), variance.mean(axis=0), float(norm), n), ax=left
    )
    low, high = variance.min(axis=0), variance.max(axis=0)
    left.fill_between(sizes, low, high, color="C0", alpha=0.25, lw=0, label="range of networks")
    left.legend(fontsize=8.5)
    left.set_title("Noise: variance of the gradient")
    middle.loglog(sizes, times, "o-", label="a step")
    middle.loglog(sizes, times[0] * np.array(sizes), "--", label="one step for each row")
    middle.set(xlabel="batch size (rows)", ylabel="time (µs)", title="Cost: time of a step")
    middle.legend()
    for (name, runs), line in zip(curves.items(), ("-", "--", "-."), strict=True):
        plots.spread(np.arange(epochs + 1), runs, ax=right, label=name, ls=line)
    right.set(xlabel="epoch", ylabel="cross entropy, training digits (nats)", yscale="log",
              title=f"SGD, rate {RATE}, mean and range of {len(seeds)} seeds")  # fmt: skip
    right.legend()
    return figure


picture(draw, "22_batches", arguments)
learned = curves["mini-batch of 32"][:, -1].max() < 0.5 * curves["mini-batch of 32"][:, 0].min()
if not (-1.15 < slope < -0.85 and 0.7 < variance[0, 0] / by_row < 1.4 and learned):
    raise SystemExit("The variance must fall as 1 / batch size, and the mini-batch must learn.")
