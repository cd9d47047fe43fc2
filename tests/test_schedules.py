"""Every schedule of the table against PyTorch's schedulers to 1e-12, at its edges, and inside every
optimizer; and that schedules are values: equal, printed as made, copied, never changed."""

from __future__ import annotations

import copy
import dataclasses
import math
import pickle
from pathlib import Path

import numpy as np
import pytest
from cases import OPTIMIZERS, SCHEDULES
from numpy.testing import assert_allclose, assert_array_equal

import chainrule as cr

EVERY = pytest.mark.parametrize("name", SCHEDULES)
FAR = [10**3, 10**6, 10**12, 10**18]


@pytest.fixture(scope="module")
def torchs():
    """What PyTorch's schedulers gave; tests/reference/make_schedules.py wrote it down."""
    with np.load(Path(__file__).parent / "reference" / "schedules.npz") as file:
        return dict(file)


@EVERY
def test_rates_are_pytorchs(name, torchs):
    expected = torchs[f"{name}/rates"]
    rates = [SCHEDULES[name]()(step) for step in range(len(expected))]
    assert {type(rate) for rate in rates} == {float}
    assert_allclose(rates, expected, rtol=1e-12, atol=1e-15)


def test_every_reference_is_used(torchs):
    assert {key.split("/")[0] for key in torchs if key.endswith("/rates")} == set(SCHEDULES)
    assert "torch" in str(torchs["versions"])


@pytest.mark.parametrize(
    ("name", "optimizer"),
    [
        ("SGD with OneCycle", lambda: cr.SGD(cr.OneCycle(0.4, 20), momentum=0.9)),
        (
            "AdamW with LinearWarmup",
            lambda: cr.AdamW(cr.LinearWarmup(cr.CosineDecay(0.2, 12, 0.01), 5)),
        ),
    ],
)
def test_steps_with_a_schedule_are_pytorchs(name, optimizer, torchs):
    optimizer, p = optimizer(), torchs[f"{name}/start"].copy()
    for g, expected in zip(torchs[f"{name}/gradients"], torchs[f"{name}/path"], strict=True):
        optimizer.step(p, g)
        assert_allclose(p, expected, rtol=0, atol=1e-12)


@EVERY
@pytest.mark.parametrize("kind", OPTIMIZERS)
def test_every_optimizer_takes_every_schedule(kind, name):
    """A step with a schedule is, bit for bit, the step with the rate that it gives."""
    rng = np.random.default_rng(0)
    schedule, start = SCHEDULES[name](), rng.normal(size=4)
    by_schedule, by_hand = OPTIMIZERS[kind](), OPTIMIZERS[kind]()
    by_schedule.lr = schedule
    p, q = start.copy(), start.copy()
    for step in range(12):
        g = rng.normal(size=4)
        assert by_schedule.rate() == schedule(step)
        by_schedule.step(p, g)
        by_hand.lr = schedule(step)
        by_hand.step(q, g)
        assert_array_equal(p, q)
    assert np.isfinite(p).all()


# ---- edges ---------------------------------------------------------------------------------------


@EVERY
def test_far_beyond_the_last_step_rates_are_finite_and_stay(name):
    rates = [SCHEDULES[name]()(step) for step in FAR]
    assert all(0 <= rate < math.inf for rate in rates)
    assert rates == sorted(rates, reverse=True)
    if not name.startswith(
        ("StepDecay", "ExponentialDecay", "LinearWarmup, st", "LinearWarmup, S")
    ):
        assert len(set(rates)) == 1


@EVERY
def test_a_rate_of_zero_stays_zero(name):
    made = SCHEDULES[name]()
    rates = {"lr", "max_lr", "final", "after"} & {field.name for field in dataclasses.fields(made)}
    made = dataclasses.replace(made, **dict.fromkeys(rates, 0.0))
    assert [made(step) for step in [*range(110), *FAR]] == [0.0] * 114


def test_first_and_last_rates_are_exact():
    """Not to round-off: the numbers that were given."""
    cosine = cr.CosineDecay(0.1, 7, final=0.003)
    assert [cosine(t) for t in (0, 7, 8, 10**9)] == [0.1, 0.003, 0.003, 0.003]
    cycle = cr.OneCycle(0.3, 100, pct_start=0.25, div_factor=10, final_div_factor=100)
    assert [cycle(t) for t in (0, 24, 99, 100)] == [0.03, 0.3, 0.03 / 100, 0.03 / 100]
    assert cr.StepDecay(0.1, 3)(0) == cr.ExponentialDecay(0.1, 0.5)(0) == 0.1
    assert cr.LinearWarmup(cosine, 5)(5) == 0.1
    assert cr.LinearWarmup(cosine, 5)(0) == 0.0
    assert cr.LinearWarmup(cosine, 5)(12) == 0.003


@pytest.mark.parametrize("make", [cr.SGD, lambda lr: cr.StepDecay(lr, 3)])
def test_an_integer_beyond_all_floats_is_refused_as_other_numbers_are(make):
    with pytest.raises(ValueError, match="lr must be a number"):
        make(10**400)


def test_steps_of_one():
    assert [cr.StepDecay(1, 1, 0.5)(t) for t in range(3)] == [1, 0.5, 0.25]
    assert [cr.CosineDecay(1, 1, 0.5)(t) for t in range(3)] == [1, 0.5, 0.5]
    assert [cr.LinearWarmup(1, 1)(t) for t in range(3)] == [0, 1, 1]
    assert [cr.OneCycle(1, 1, pct_start=1)(t) for t in range(3)] == [1, 1, 1]


def test_a_cycle_whose_way_up_is_one_step_begins_at_the_top():
    """PyTorch divides by zero here."""
    for anneal in ("cos", "linear"):
        assert cr.OneCycle(0.4, 10, pct_start=0.1, anneal=anneal)(0) == 0.4


@pytest.mark.parametrize("steps", [*range(1, 30), 1000])
@pytest.mark.parametrize("share", [0.0, 0.1, 0.3, 0.5, 1 / 3, 0.97, 1.0])
def test_a_cycle_rises_and_falls_between_its_ends(steps, share):
    cycle = cr.OneCycle(0.4, steps, pct_start=share, div_factor=5, final_div_factor=20)
    rates = [cycle(step) for step in range(steps + 3)]
    top = int(np.argmax(rates))
    assert rates[: top + 1] == sorted(rates[: top + 1])
    assert rates[top:] == sorted(rates[top:], reverse=True)
    assert 0.4 / 5 / 20 <= min(rates) <= max(rates) <= 0.4
    assert share == 1 or rates[-1] == 0.4 / 5 / 20


def test_a_cycle_may_end_higher_than_it_began():
    cycle = cr.OneCycle(1.0, 10, div_factor=20, final_div_factor=0.1)
    assert cycle(9) == pytest.approx(0.5)


# ---- composed ------------------------------------------------------------------------------------


def test_schedules_are_composed_at_will():
    inner = cr.LinearWarmup(lambda step: 1.0 / (1 + step), steps=2, start_factor=0.5)
    outer = cr.LinearWarmup(inner, steps=2)
    assert [outer(t) for t in range(7)] == [0, 0.25, 0.5, 0.75, 1.0, 0.5, 1 / 3]
    assert cr.LinearWarmup(np.float32(0.5), 4)(2) == 0.25
    assert cr.LinearWarmup(lambda step: np.float32(0.5), 4)(9) == 0.5


@pytest.mark.parametrize("wrong", [math.nan, math.inf, -0.1])
def test_a_function_that_gives_no_rate_is_named(wrong):
    schedule = cr.LinearWarmup(lambda step: wrong, steps=2)
    with pytest.raises(ValueError, match=r"LinearWarmup: after\(0\) must be a number in \[0, inf"):
        schedule(1)
    with pytest.raises(ValueError, match=r"LinearWarmup: after\(5\) must be"):
        schedule(7)


# ---- values --------------------------------------------------------------------------------------


@EVERY
def test_is_equal_printed_copied_and_hashed_as_a_value(name):
    one, other = SCHEDULES[name](), SCHEDULES[name]()
    assert one == other
    assert hash(one) == hash(other)
    assert eval(repr(one), vars(cr)) == one
    for copied in (copy.copy(one), copy.deepcopy(one), pickle.loads(pickle.dumps(one))):
        assert copied == one
        assert type(copied) is type(one)
        assert [copied(t) for t in range(60)] == [one(t) for t in range(60)]
    assert all(one != make() for key, make in SCHEDULES.items() if key != name)
    with pytest.raises(AttributeError):
        one.steps = 3


def test_kinds_with_the_same_numbers_differ():
    assert cr.StepDecay(0.5, 3, 0.1) != cr.CosineDecay(0.5, 3, 0.1)
    assert cr.StepDecay(1, 3) == cr.StepDecay(np.float64(1), np.int64(3))
    assert repr(cr.StepDecay(np.float64(1), np.int64(3))) == (
        "StepDecay(lr=1.0, step_size=3, gamma=0.1)"
    )


def test_an_optimizer_shows_its_schedule():
    assert "lr=CosineDecay(lr=0.1, steps=9, final=0.0)" in repr(cr.SGD(cr.CosineDecay(0.1, 9)))


@EVERY
def test_the_order_of_the_steps_does_not_count(name):
    schedule = SCHEDULES[name]()
    there = [schedule(t) for t in range(50)]
    assert [schedule(t) for t in reversed(range(50))] == there[::-1]
    assert schedule(np.int64(7)) == there[7]


def test_training_taken_up_again_has_the_rates_of_the_whole():
    x, y = cr.datasets.moons(40)
    runs = []
    for parts in ([6], [2, 4, 6]):
        model = cr.Model(cr.Dense(2, 5), cr.Tanh(), cr.Dense(5, 2), seed=0)
        optimizer, begun = cr.Adam(cr.LinearWarmup(cr.CosineDecay(0.1, 20), 4)), 0
        for end in parts:
            again = cr.Adam(cr.LinearWarmup(cr.CosineDecay(0.1, 20), 4))
            again.load_state_dict(optimizer.state_dict())
            optimizer = again
            model.fit(x, y, loss=cr.SoftmaxCrossEntropy(), optimizer=optimizer, batch_size=10,
                      initial_epoch=begun, epochs=end, verbose=0)  # fmt: skip
            begun = end
        assert optimizer.steps == 24
        runs.append(model.parameters.tobytes())
    assert runs[0] == runs[1]
