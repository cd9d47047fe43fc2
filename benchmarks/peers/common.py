"""The networks, weights and batches that all peers begin with, from one seed: Dense and ReLU.
Float32 throughout; a weight has the shape (inputs, outputs)."""

from __future__ import annotations

import warnings
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    import chainrule as cr

Array = np.ndarray[Any, Any]
Sizes = tuple[int, ...]


def weights(sizes: Sizes) -> list[tuple[Array, Array]]:
    """He's normal weights, and biases of zero."""
    rng = np.random.default_rng(0)
    return [
        (
            np.float32(np.sqrt(2 / n_in)) * rng.standard_normal((n_in, n_out), np.float32),
            np.zeros(n_out, np.float32),
        )
        for n_in, n_out in pairwise(sizes)
    ]


def data(sizes: Sizes, rows: int) -> tuple[Array, Array]:
    """Noise with a faint pattern for each class: there is something to learn, but no end to it."""
    rng = np.random.default_rng(1)
    patterns = rng.standard_normal((sizes[-1], sizes[0]), np.float32)
    y = rng.permutation(rows) % sizes[-1]
    x = rng.random((rows, sizes[0]), np.float32) - np.float32(0.5)
    x += np.float32(0.8 / np.sqrt(sizes[0])) * patterns[y]
    return x, y


def chainrule_model(sizes: Sizes) -> cr.Model:
    import chainrule as cr

    layers: list[cr.Layer] = []
    for n_in, n_out in pairwise(sizes):
        layers += [cr.Dense(n_in, n_out), cr.ReLU()]
    model = cr.Model(*layers[:-1], seed=0)
    parameters = model.named_parameters()
    flat = [array for pair in weights(sizes) for array in pair]
    for parameter, array in zip(parameters.values(), flat, strict=True):
        parameter[...] = array
    return model


def torch_model(sizes: Sizes) -> Any:
    import torch
    from torch import nn

    layers = []
    for W, b in weights(sizes):
        layer = nn.Linear(*W.shape)
        with torch.no_grad():
            layer.weight[...] = torch.from_numpy(W.T)
            layer.bias[...] = torch.from_numpy(b)
        layers += [layer, nn.ReLU()]
    return nn.Sequential(*layers[:-1])


def keras_model(sizes: Sizes) -> Any:
    import keras

    model = keras.Sequential([keras.Input(sizes[:1])])
    for n_out in sizes[1:-1]:
        model.add(keras.layers.Dense(n_out, activation="relu"))
    model.add(keras.layers.Dense(sizes[-1]))
    model.set_weights([array for pair in weights(sizes) for array in pair])
    return model


def sklearn_classifier(sizes: Sizes, **options: Any) -> Any:
    """A classifier with these weights; for two classes scikit-learn makes one output."""
    from sklearn.neural_network import MLPClassifier

    first_correction = np.sqrt(1 - 0.999)  # its epsilon is added before this division, not behind
    classifier = MLPClassifier(
        sizes[1:-1], alpha=0.0, learning_rate_init=0.001, epsilon=1e-8 * first_correction, **options
    )
    x, y = data(sizes, 2)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # two rows are less than a batch
        classifier.partial_fit(x, y, classes=np.arange(sizes[-1]))  # makes the arrays
    pairs = weights(sizes)
    if sizes[-1] == 2:  # P(1) = σ(z₁ - z₀)
        W, b = pairs[-1]
        pairs[-1] = (W[:, 1:] - W[:, :1], b[1:] - b[:1])
    for k, (W, b) in enumerate(pairs):
        classifier.coefs_[k][...], classifier.intercepts_[k][...] = W, b
    return classifier
