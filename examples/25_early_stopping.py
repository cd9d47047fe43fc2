"""Early stopping: end where the test loss turns, with the weights it had there.

Point 25 of the lecture. A network that overfits 1,000 digits, over several seeds: the loss on what
it learns falls to nothing, that on other digits turns. `EarlyStopping` puts the best weights back,
and `evaluate` gives the lowest test loss again, to the last digit. (The digits that choose the
epoch give the figure here; for an honest one keep a third part for the end.)"""

from __future__ import annotations

import numpy as np

from chainrule import (
    Adam,
    Dense,
    EarlyStopping,
    Model,
    ReLU,
    SoftmaxCrossEntropy,
    datasets,
    plots,
)
from chainrule.examples import options, picture

arguments = options(__doc__)
(x_all, y_all), test = datasets.digits()
loss = SoftmaxCrossEntropy()
seeds = range(arguments.seed, arguments.seed + (3 if arguments.quick else 8))
epochs = 80 if arguments.quick else 150


def train(seed: int, *callbacks: EarlyStopping) -> Model:
    """Train on 1,000 digits, drawn at random; the other side is the test part."""
    rows = np.random.default_rng(seed).permutation(len(x_all))[:1000]
    model = Model(Dense(64, 128), ReLU(), Dense(128, 10), seed=seed)
    model.fit(x_all[rows], y_all[rows], loss=loss, optimizer=Adam(lr=0.01), epochs=epochs,
              validation_data=test, callbacks=callbacks, verbose=0)  # fmt: skip
    return model


print("seed  lowest test loss  at epoch  at the end   stopped after  loss then")
rows, seen, unseen = [], [], []
for seed in seeds:
    history = train(seed).history  # to the end, to see the whole curve
    stopping = EarlyStopping(monitor="val_loss", patience=20)
    model = train(seed, stopping)
    restored = model.evaluate(*test, loss=loss)["loss"]
    seen.append(history["loss"])
    unseen.append(history["val_loss"])
    turn = int(np.argmin(history["val_loss"]))
    rows.append((history["val_loss"][turn], turn + 1, history["val_loss"][-1], restored))
    print(f"{seed:4}  {rows[-1][0]:16.4f}  {turn + 1:8}  {rows[-1][2]:10.4f}   "
          f"{len(model.history.epochs):13}  {restored:9.4f}")  # fmt: skip
    if restored != stopping.best or restored != min(model.history["val_loss"]):
        raise SystemExit("The best weights must be back, to the last digit.")
lowest, turns, last, restored_losses = np.array(rows).T
print(f"The test loss turns at epoch {turns.mean():.0f} ± {turns.std():.0f} and has risen by "
      f"{(last / lowest - 1).mean():.0%} ± {(last / lowest).std():.0%} at the end;\nstopped early "
      f"it is {(restored_losses / lowest - 1).mean():.0%} above the lowest.")  # fmt: skip
last_history, last_stop = model.history, stopping.best_epoch


def draw() -> object:
    import matplotlib.pyplot as plt

    figure, (left, right) = plt.subplots(1, 2, figsize=(11, 4.2), layout="constrained")
    axis = np.arange(1, epochs + 1)
    plots.spread(axis, seen, ax=left, label="training digits")
    plots.spread(axis, unseen, ax=left, label="test digits", ls="--")
    left.plot(turns, lowest, "o", mfc="none", color="C1", mew=1.6, label="turning points")
    left.set(xlabel="epoch", ylabel="cross entropy (nats)", ylim=(0, 0.25),
             title=f"Without stopping, {len(seeds)} seeds")  # fmt: skip
    left.legend()
    plots.training_curves(last_history, ax=right, stop=last_stop)
    right.set(ylabel="cross entropy (nats)", ylim=(0, 0.25), title="With EarlyStopping, one seed")
    return figure


picture(draw, "25_early_stopping", arguments)
if (last / lowest).mean() < 1.1 or restored_losses.mean() > 0.5 * (lowest.mean() + last.mean()):
    raise SystemExit("The test loss must turn, and stopping must end near its lowest point.")
