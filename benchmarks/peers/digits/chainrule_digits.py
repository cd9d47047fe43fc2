"""From the files of digits to a trained classifier and its predictions, with chainrule.
Its folder of data comes as the argument, and it prints the share of test digits that are right."""

import sys
from pathlib import Path

import numpy as np

from chainrule import Adam, Dense, Model, ReLU, SoftmaxCrossEntropy

folder = Path(sys.argv[1])
x, y, x_test, y_test = (np.load(folder / f"{n}.npy") for n in ("x", "y", "x_test", "y_test"))
model = Model(Dense(64, 64), ReLU(), Dense(64, 10), seed=0)
model.fit(
    x, y, loss=SoftmaxCrossEntropy(), optimizer=Adam(lr=0.001), epochs=30, batch_size=32, verbose=0
)
print((model.predict(x_test).argmax(axis=1) == y_test).mean())
