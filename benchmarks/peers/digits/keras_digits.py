"""From the files of digits to a trained classifier and its predictions, with Keras on JAX.
Its folder of data comes as the argument, and it prints the share of test digits that are right."""

import os
import sys
from pathlib import Path

import numpy as np

os.environ["KERAS_BACKEND"] = "jax"
import keras

keras.utils.set_random_seed(0)
folder = Path(sys.argv[1])
x, y, x_test, y_test = (np.load(folder / f"{n}.npy") for n in ("x", "y", "x_test", "y_test"))
model = keras.Sequential(
    [keras.Input((64,)), keras.layers.Dense(64, activation="relu"), keras.layers.Dense(10)]
)
model.compile(
    optimizer=keras.optimizers.Adam(0.001),
    loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True),
)
model.fit(x, y, epochs=30, batch_size=32, verbose=0)
print((model.predict(x_test, verbose=0).argmax(axis=1) == y_test).mean())
