"""What runs for long may not grow: 10,000 steps and 100,000 predictions leave as much memory in use
as a tenth of them did. And what runs beside something else, in threads and forks, is right."""

from __future__ import annotations

import gc
import os
import subprocess
import sys
import threading
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


def test_threads_predict_while_another_saves_and_loads(tmp_path):
    """Each prediction is right to the bit, and each file is the model's."""
    model = network()
    expected, path = model(X[:64]), tmp_path / "model.npz"
    model.save(path)
    wrong: list[str] = []

    def predict():
        wrong.extend(
            "prediction" for _ in range(2_000) if not np.array_equal(model(X[:64]), expected)
        )

    def save():
        for _ in range(60):
            model.save(path)

    def load():
        loaded = (cr.Model.load(path)(X[:64]) for _ in range(60))
        wrong.extend("file" for y in loaded if not np.array_equal(y, expected))

    threads = [threading.Thread(target=work) for work in (predict, predict, save, load)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=120)
    assert not any(thread.is_alive() for thread in threads)
    assert wrong == []
    assert [p.name for p in tmp_path.iterdir()] == ["model.npz"]


FORKS = """
import os, sys
import numpy as np
import chainrule as cr

x = np.random.default_rng(0).normal(size=(512, 512)).astype(np.float32)
model = cr.Model(cr.Dense(512, 512), cr.ReLU(), cr.Dense(512, 3), seed=0)
y, options = np.arange(512) % 3, {"loss": cr.SoftmaxCrossEntropy(), "verbose": 0}
model.fit(x, y, optimizer=cr.Adam(), **options)  # BLAS has started its threads
expected = model(x)
children = []
for _ in range(8):
    child = os.fork()
    if not child:
        right = np.array_equal(model(x), expected)
        model.fit(x, y, optimizer=cr.Adam(), **options)
        os._exit(0 if right and np.isfinite(model.parameters).all() else 1)
    children.append(child)
states = [os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children]
print(states, np.array_equal(model(x), expected))
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system does not fork")
def test_forks_after_blas_has_started_its_threads():
    done = subprocess.run(
        [sys.executable, "-c", FORKS], capture_output=True, text=True, timeout=120, check=True
    )
    assert done.stdout == f"{[0] * 8} True\n"
