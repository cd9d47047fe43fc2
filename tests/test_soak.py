"""What runs for long may not grow: 10,000 steps and 100,000 predictions leave as much memory in use
as a tenth of them did. tracemalloc knows every byte that Python and NumPy hold."""

from __future__ import annotations

import gc
import tracemalloc

import numpy as np
import pytest

import chainrule as cr

pytestmark = pytest.mark.slow

RNG = np.random.default_rng(0)
X, Y = RNG.normal(size=(3200, 8)).astype(np.float32), RNG.integers(0, 3, size=3200)


def network():
    return cr.Model(
        cr.Dense(8, 16), cr.BatchNorm(16), cr.ReLU(), cr.Dropout(0.2), cr.Dense(16, 3), seed=0
    )


def growth(work, n):
    """Bytes that are in use after n times more than after n / 10 times."""
    tracemalloc.start()
    try:
        work(n // 10)
        gc.collect()
        before = tracemalloc.get_traced_memory()[0]
        work(n)
        gc.collect()
        return tracemalloc.get_traced_memory()[0] - before
    finally:
        tracemalloc.stop()


def test_ten_thousand_steps_of_fit():
    model, optimizer = network(), cr.Adam()

    def work(n):
        model.fit(
            X, Y, loss=cr.SoftmaxCrossEntropy(), optimizer=optimizer, epochs=n // 80, verbose=0,
            validation_split=0.2, metrics=[cr.Accuracy()],
            callbacks=[cr.EarlyStopping(patience=n)],
        )  # fmt: skip

    n = 10_000
    figures = 4 * n // 80  # numbers of the history: 24 bytes, and 8 to 16 in a list
    assert growth(work, n) < 60 * figures + 20_000


def test_ten_thousand_single_steps():
    model, optimizer = network(), cr.Adam()

    def work(n):
        for _ in range(n):
            model.train_on_batch(X[:32], Y[:32], loss=cr.SoftmaxCrossEntropy(), optimizer=optimizer)

    assert growth(work, 10_000) < 10_000


@pytest.mark.parametrize("use", ["call", "predict"])
def test_a_hundred_thousand_predictions(use):
    model = network()
    f = model if use == "call" else model.predict

    def work(n):
        for _ in range(n):
            f(X[:1])

    assert growth(work, 100_000) < 10_000


def test_inputs_of_many_shapes():
    """A model remembers the shapes it has checked, but not without bound."""
    model = cr.Model(cr.Dense(4, 2), seed=0)

    def work(n):
        for i in range(n):
            model(np.zeros((1, i % 5000 + 1, 4), np.float32))

    assert growth(work, 10_000) < 100_000
