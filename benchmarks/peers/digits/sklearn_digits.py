"""From the files of digits to a trained classifier and its predictions, with scikit-learn.
Its folder of data comes as the argument, and it prints the share of test digits that are right."""

import sys
import warnings
from pathlib import Path

import numpy as np
from sklearn.neural_network import MLPClassifier

warnings.simplefilter("ignore")  # thirty epochs are all that is wanted
folder = Path(sys.argv[1])
x, y, x_test, y_test = (np.load(folder / f"{n}.npy") for n in ("x", "y", "x_test", "y_test"))
model = MLPClassifier(
    (64,), alpha=0.0, batch_size=32, max_iter=30, n_iter_no_change=30, random_state=0
)
model.fit(x, y)
print((model.predict(x_test) == y_test).mean())
