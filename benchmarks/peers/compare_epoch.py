"""An epoch as large as MNIST's the way a user runs it: 784-512-256-10 at batch 128, shuffled, with
loss and accuracy counted. The losses of the first epoch must be alike, for each peer shuffles."""

from __future__ import annotations

import os
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from common import Array, chainrule_model, keras_model, sklearn_classifier, torch_model
from common import data as made
from worker import Run

SIZES, BATCH = (784, 512, 256, 10), 128
KIND = "of MNIST" if os.environ.get("CHAINRULE_DATA") else "made up"
CASES: dict[str, tuple[int]] = {f"784-512-256-10, batch 128, 60,000 rows {KIND}": (60_000,)}
QUICK: dict[str, tuple[int]] = {f"784-512-256-10, batch 128, 6,000 rows {KIND}": (6_000,)}
TOLERANCE = 0.1, 0.02  # of the loss and of the accuracy
COMPARED = 2  # the third number is how long the first epoch takes
BLAS = "chainrule", "scikit-learn"
Prepared = tuple[Run, list[float]]


def turn_of(peer: str, rows: int) -> tuple[int, int]:
    return 0, 1


def data(rows: int) -> tuple[Array, Array]:
    """MNIST where the variable CHAINRULE_DATA names its place, else made up."""
    place = os.environ.get("CHAINRULE_DATA")
    if place:
        path = Path(place)
        with np.load(path / "mnist.npz" if path.is_dir() else path) as file:
            x = file["x_train"].reshape(-1, 784)[:rows].astype(np.float32) / 255
            return x, file["y_train"][:rows].astype(np.int64)
    return made(SIZES, rows)


def epochs(epoch: Callable[[], tuple[float, float]]) -> Prepared:
    """The first epoch, with whatever is compiled in it, and the run of those that follow."""

    def run(steps: int) -> float:
        start = time.perf_counter()
        for _ in range(steps):
            epoch()
        return (time.perf_counter() - start) / steps

    start = time.perf_counter()
    loss, accuracy = epoch()
    return run, [loss, accuracy, time.perf_counter() - start]  # the last is kept, not compared


def fit(threads: int, rows: int) -> Prepared:
    import chainrule as cr

    x, y = data(rows)
    model, optimizer, loss = chainrule_model(SIZES), cr.Adam(), cr.SoftmaxCrossEntropy()

    def epoch() -> tuple[float, float]:
        history = model.fit(
            x, y, loss=loss, optimizer=optimizer, batch_size=BATCH, metrics=[cr.Accuracy()],
            verbose=0,
        )  # fmt: skip
        return float(history["loss"][0]), float(history["accuracy"][0])

    return epochs(epoch)


def pytorch(kind: str) -> Callable[[int, int], Prepared]:
    """The plain loop, its batches by indices of a permutation or from a DataLoader."""

    def peer(threads: int, rows: int) -> Prepared:
        import torch
        from torch.utils.data import DataLoader, TensorDataset

        torch.set_num_threads(threads)
        torch.manual_seed(0)
        x, y = map(torch.from_numpy, data(rows))
        loader = DataLoader(TensorDataset(x, y), batch_size=BATCH, shuffle=True)
        model = torch_model(SIZES)
        optimizer = torch.optim.Adam(model.parameters(), lr=0.001)

        def batches() -> Any:
            if kind == "loader":
                return iter(loader)
            order = torch.randperm(len(x)).split(BATCH)
            return ((x[rows], y[rows]) for rows in order)

        def epoch() -> tuple[float, float]:
            total, right = 0.0, 0
            for some, labels in batches():
                optimizer.zero_grad()
                z = model(some)
                loss = torch.nn.functional.cross_entropy(z, labels)
                loss.backward()
                optimizer.step()
                total += loss.item() * len(some)
                right += (z.argmax(1) == labels).sum().item()
            return total / len(x), right / len(x)

        return epochs(epoch)

    return peer


def sklearn(threads: int, rows: int) -> Prepared:
    """`fit` for one epoch; it counts no accuracy, which the others do."""
    x, y = data(rows)
    classifier = sklearn_classifier(SIZES, batch_size=BATCH, max_iter=1)
    classifier.set_params(warm_start=True)  # goes on from its weights
    warnings.simplefilter("ignore")  # one epoch is not converged

    def epoch() -> tuple[float, float]:
        classifier.fit(x, y)
        return float(classifier.loss_), np.nan

    return epochs(epoch)


def keras(backend: str) -> Callable[[int, int], Prepared]:
    def peer(threads: int, rows: int) -> Prepared:
        os.environ["KERAS_BACKEND"] = backend
        if backend == "torch":
            import torch

            torch.set_num_threads(threads)
        import keras

        keras.utils.set_random_seed(0)
        x, y = data(rows)
        model = keras_model(SIZES)
        model.compile(
            optimizer=keras.optimizers.Adam(0.001, epsilon=1e-8),
            loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True),
            metrics=["accuracy"],
        )

        def epoch() -> tuple[float, float]:
            history = model.fit(x, y, batch_size=BATCH, epochs=1, verbose=0).history
            return float(history["loss"][0]), float(history["accuracy"][0])

        return epochs(epoch)

    return peer


PEERS: dict[str, Callable[..., Prepared]] = {
    "chainrule": fit,
    "PyTorch, slices": pytorch("slices"),
    "PyTorch, DataLoader": pytorch("loader"),
    "scikit-learn": sklearn,
    "Keras on PyTorch": keras("torch"),
    "Keras on JAX": keras("jax"),
}
