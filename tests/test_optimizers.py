"""Every optimizer of the table against PyTorch's twenty steps to 1e-9, and what holds for all: in
place, in blocks, by spans, with a state that can be taken out and put back."""

from __future__ import annotations

import numpy as np
import pytest
from cases import OPTIMIZERS

import chainrule as cr
from chainrule.optimizers.base import BLOCK
from chainrule.workers import Crew

EVERY = pytest.mark.parametrize("name", OPTIMIZERS)


def run(optimizer, p, gradients, **options):
    path = []
    for g in gradients:
        optimizer.step(p, g, **options)
        path.append(p.copy())
    return np.array(path)


@EVERY
def test_twenty_steps_are_pytorchs(name, reference):
    p = reference[f"{name}/start"].copy()
    path = run(OPTIMIZERS[name](), p, reference[f"{name}/gradients"])
    atol = 1e-7 if name.startswith("NAdam") else 1e-9  # PyTorch's product of mu is float32
    np.testing.assert_allclose(path, reference[f"{name}/path"], rtol=0, atol=atol)


@EVERY
def test_float32_stays_float32_and_gradients_stay_as_they_are(name, reference):
    p = reference[f"{name}/start"].astype(np.float32)
    gradients = reference[f"{name}/gradients"].astype(np.float32)
    gradients.setflags(write=False)
    optimizer = OPTIMIZERS[name]()
    path = run(optimizer, p, gradients)
    assert path.dtype == np.float32
    assert {v.dtype for v in optimizer.state_dict().values() if isinstance(v, np.ndarray)} <= {
        np.dtype("f4")
    }
    np.testing.assert_allclose(path, reference[f"{name}/path"], rtol=1e-3, atol=1e-3)


@EVERY
def test_blocks_do_not_show(name):
    """Each entry is updated as it would be alone, wherever a block ends."""
    rng = np.random.default_rng(0)
    n = 2 * BLOCK + 3
    start, gradients = rng.standard_normal(n), rng.standard_normal((3, n))
    whole = run(OPTIMIZERS[name](), start.copy(), gradients)
    for i in (0, BLOCK - 1, BLOCK, 2 * BLOCK, n - 1):
        alone = run(OPTIMIZERS[name](), start[i : i + 1].copy(), gradients[:, i : i + 1])
        np.testing.assert_array_equal(whole[:, i], alone[:, 0])


@pytest.mark.parametrize("n", [2, 3])
@EVERY
def test_blocks_dealt_out_to_threads_do_not_show(name, n, monkeypatch):
    monkeypatch.setattr("chainrule.optimizers.base.SHARED_BLOCK", 5)
    rng = np.random.default_rng(4)
    start, gradients = rng.standard_normal(32), rng.standard_normal((3, 32))
    spans = [(slice(0, 11), None), (slice(11, 13), 0.5), (slice(17, 32), None)]
    alone = run(OPTIMIZERS[name](), start.copy(), gradients, spans=spans)
    with Crew(cr.Model(cr.Dense(1, 1)), n) as crew:
        shared = run(OPTIMIZERS[name](), start.copy(), gradients, spans=spans, crew=crew)
    np.testing.assert_array_equal(shared, alone)


@EVERY
def test_spans_leave_the_rest_alone_and_bring_their_own_decay(name):
    rng = np.random.default_rng(1)
    start, gradients = rng.standard_normal(10), rng.standard_normal((4, 10))
    optimizer = OPTIMIZERS[name]()
    path = run(optimizer, start.copy(), gradients, spans=[(slice(2, 5), None), (slice(7, 9), 0.3)])
    np.testing.assert_array_equal(path[-1][[0, 1, 5, 6, 9]], start[[0, 1, 5, 6, 9]])
    own = run(OPTIMIZERS[name](), start[2:5].copy(), gradients[:, 2:5])
    np.testing.assert_array_equal(path[:, 2:5], own)
    other = OPTIMIZERS[name]()
    other.weight_decay = 0.3
    decayed = run(other, start[7:9].copy(), gradients[:, 7:9])
    np.testing.assert_array_equal(path[:, 7:9], decayed)


@EVERY
def test_neighbouring_spans_are_walked_as_one_and_keep_their_decays(name, monkeypatch):
    """Spans of many decays, cut by blocks of four: each entry is as it would be alone."""
    monkeypatch.setattr("chainrule.optimizers.base.BLOCK", 4)
    rng = np.random.default_rng(3)
    start, gradients = rng.standard_normal(14), rng.standard_normal((3, 14))
    decays = [0.0, 0.0, None, 0.3, 0.3, 0.3, 0.3, 0.3, 0.3, "frozen", 0.1, None, 0.0, 0.2]
    spans = [(slice(i, i + 1), d) for i, d in enumerate(decays) if d != "frozen"]
    spans[3:9] = [(slice(3, 7), 0.3), (slice(7, 7), 0.9), (slice(7, 9), 0.3)]
    path = run(OPTIMIZERS[name](), start.copy(), gradients, spans=spans)
    for i, decay in enumerate(decays):
        if decay == "frozen":
            assert (path[:, i] == start[i]).all()
            continue
        alone = OPTIMIZERS[name]()
        alone.weight_decay = alone.weight_decay if decay is None else decay
        one = run(alone, start[i : i + 1].copy(), gradients[:, i : i + 1])
        np.testing.assert_array_equal(path[:, i], one[:, 0])


@EVERY
def test_state_taken_out_and_put_back_goes_on_with_the_same_bits(name):
    rng = np.random.default_rng(2)
    start, gradients = rng.standard_normal(6), rng.standard_normal((6, 6))
    whole = run(OPTIMIZERS[name](), start.copy(), gradients)
    first, second, p = OPTIMIZERS[name](), OPTIMIZERS[name](), start.copy()
    run(first, p, gradients[:3])
    state = first.state_dict()
    run(first, p.copy(), gradients[3:])  # must not reach the copy that was taken
    second.load_state_dict(state)
    np.testing.assert_array_equal(run(second, p, gradients[3:]), whole[3:])
    assert second.steps == 6


@EVERY
def test_rate_zero_and_no_parameters(name):
    optimizer = OPTIMIZERS[name]()
    optimizer.step(np.zeros(0), np.zeros(0))
    still = OPTIMIZERS[name]()
    still.lr = 0.0
    p = np.array([1.0, -2.0])
    still.step(p, np.array([5.0, 1.0]))
    assert p.tolist() == [1, -2]


def test_without_a_state_any_vectors_will_do():
    optimizer = cr.SGD(0.5)
    for n, dtype in ((3, np.float32), (4, np.float32), (4, np.float64)):
        p = np.ones(n, dtype)
        optimizer.step(p, np.full(n, 1 / 3, dtype))
        assert p.tolist() == (np.ones(n, dtype) - dtype(0.5) * np.full(n, 1 / 3, dtype)).tolist()


def test_a_schedule_is_asked_for_each_step_from_zero():
    asked = []
    optimizer = cr.SGD(lambda step: asked.append(step) or 1 / (1 + step))
    p = np.array([0.0])
    path = run(optimizer, p, np.ones((3, 1)))
    assert asked == [0, 1, 2]
    np.testing.assert_allclose(path[:, 0], [-1, -1.5, -1.5 - 1 / 3])


def test_ten_steps_of_a_network_are_pytorchs(reference):
    model = cr.Model(
        cr.Dense(5, 8), cr.ReLU(), cr.Dense(8, 6), cr.Tanh(), cr.Dense(6, 3), dtype="float64"
    )
    for name, value in model.named_parameters().items():
        value[...] = reference[f"trajectory/param/{name}"]
    x, t = reference["trajectory/x"], reference["trajectory/target"]
    optimizer, loss = cr.Adam(0.05), cr.SoftmaxCrossEntropy()
    losses = [model.train_on_batch(x, t, loss=loss, optimizer=optimizer) for _ in range(10)]
    np.testing.assert_allclose(losses, reference["trajectory/losses"], rtol=0, atol=1e-10)
