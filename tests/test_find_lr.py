"""The range test finds rates that train, ends when it should, computes what it says, and leaves
model and optimizer as they were to the bit, however it ends."""

from __future__ import annotations

import threading

import numpy as np
import pytest
from cases import OPTIMIZERS
from numpy.testing import assert_allclose, assert_array_equal

import chainrule as cr
from chainrule.rate_finder import RangeTest, steepest

DIGITS, TEST_DIGITS = cr.datasets.digits()
LOSS = cr.SoftmaxCrossEntropy()


def digits(seed=0, **options):
    return cr.Model(cr.Dense(64, 32), cr.ReLU(), cr.Dense(32, 10), seed=seed, **options)


def find(model=None, optimizer=None, data=DIGITS, loss=LOSS, **options):
    return cr.find_lr(
        model or digits(), *data, loss=loss, optimizer=optimizer or cr.SGD(0.1), **options
    )


# ---- what it finds -------------------------------------------------------------------------------

LINE = np.random.default_rng(0).normal(size=(500, 8))
TASKS = {
    "digits": (digits, *DIGITS, LOSS),
    "a line": (
        lambda seed: cr.Model(cr.Dense(8, 1), seed=seed),
        LINE,
        LINE.sum(axis=1, keepdims=True),
        cr.MeanSquaredError(),
    ),
    "with BatchNorm": (
        lambda seed: cr.Model(
            cr.Dense(64, 32), cr.BatchNorm(32), cr.ReLU(), cr.Dense(32, 10), seed=seed
        ),
        *DIGITS,
        LOSS,
    ),
}
WAYS = {"SGD": cr.SGD, "momentum": lambda lr: cr.SGD(lr, momentum=0.9), "Adam": cr.Adam}


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("task", TASKS)
def test_the_suggestion_trains(task, way):
    """Better than a rate thirty times smaller, and thirty times larger."""
    build, x, y, loss = TASKS[task]
    for seed in (0, 1, 2):
        result = cr.find_lr(build(seed), x, y, loss=loss, optimizer=WAYS[way](0.1))
        after = []
        for factor in (1 / 30, 1, 30):
            model = build(seed)
            try:
                model.fit(x, y, loss=loss, optimizer=WAYS[way](factor * result.suggestion),
                          epochs=2, verbose=0)  # fmt: skip
                after.append(model.evaluate(x, y, loss=loss)["loss"])
            except cr.DivergenceError:
                after.append(np.inf)
        assert after[1] < min(after[0], after[2])
        assert after[1] < 0.3 * build(seed).evaluate(x, y, loss=loss)["loss"]


def test_noise_before_the_fall_is_not_taken_for_it():
    """At rates that move nothing batches differ too; the largest such step is no suggestion."""
    found = [find(digits(seed), cr.Adam(), batch_size=8).suggestion for seed in range(10)]
    assert 0.005 < min(found) < max(found) < 0.2


def test_steepest_is_where_a_known_curve_is_steepest():
    rates = np.geomspace(1e-6, 1, 121)
    z = np.log10(rates)
    fall = 1 - 1 / (1 + np.exp(-4 * (z + 3)))  # steepest at 1e-3
    assert steepest(rates, fall + np.exp(9 * (z + 1)), 12) == pytest.approx(1e-3)
    assert np.isnan(steepest(rates, 1 - fall, 12))
    assert np.isnan(steepest(rates, np.ones(121), 12))
    assert np.isnan(steepest(rates[:5], fall[:5], 12))


def test_a_line_is_fitted_as_numpy_fits_one():
    rng = np.random.default_rng(0)
    rates, losses = np.geomspace(1e-4, 1, 40), np.linspace(3, 0, 40) + rng.normal(size=40)
    end = int(losses.argmin())
    slopes = {
        i: np.polyfit(np.log(rates[i - 4 : i + 5]), losses[i - 4 : i + 5], 1)[0]
        for i in range(4, end + 1)
    }
    assert steepest(rates, losses, 4) == rates[min(slopes, key=slopes.get)]


# ---- what it computes ----------------------------------------------------------------------------


@pytest.mark.parametrize("weighted", [False, True])
def test_is_the_training_with_these_rates_written_by_hand(weighted):
    weight = np.linspace(0.5, 1.5, len(DIGITS[0])) if weighted else None
    result = find(low=1e-5, high=0.1, steps=60, batch_size=40, smoothing=0.8, sample_weight=weight)
    assert_allclose(result.rates, 1e-5 * (0.1 / 1e-5) ** (np.arange(60) / 59), rtol=1e-12)
    (x, y), model, optimizer = DIGITS, digits(), cr.SGD(0.1)
    losses, smoothed, mean = [], [], 0.0
    while len(losses) < 60:
        order = model.shuffle_rng.permutation(len(x))
        for start in range(0, len(x), 40):
            rows = order[start : start + 40]
            if len(losses) < 60:
                optimizer.lr = float(result.rates[len(losses)])
                w = None if weight is None else weight[rows]
                options = {"loss": LOSS, "optimizer": optimizer, "sample_weight": w}
                losses.append(model.train_on_batch(x[rows], y[rows], **options))
                mean = 0.8 * mean + 0.2 * losses[-1]
                smoothed.append(mean / (1 - 0.8 ** len(losses)))
    assert_array_equal(result.losses, losses)
    assert_allclose(result.smoothed, smoothed, rtol=1e-14)
    assert type(result) is RangeTest
    assert {type(part) for part in result[:3]} == {np.ndarray}
    assert {part.dtype for part in result[:3]} == {np.dtype("f8")}
    assert type(result.suggestion) is float


def test_a_mean_of_one_loss_is_the_loss():
    result = find(smoothing=0, steps=20)
    assert_array_equal(result.losses, result.smoothed)


def test_twice_gives_the_same_bits():
    model, optimizer = digits(), cr.Adam()
    one, other = find(model, optimizer), find(model, optimizer)
    assert one.losses.tobytes() == other.losses.tobytes()
    assert one.suggestion == other.suggestion


@pytest.mark.parametrize("batch_size", [None, 1, 7, 10_000])
def test_any_batch_goes_round_the_data_until_the_steps_are_made(batch_size):
    data = DIGITS[0][:10], DIGITS[1][:10]
    assert len(find(data=data, batch_size=batch_size, steps=25, high=0.01).rates) == 25


def test_a_schedule_of_the_optimizers_own_is_not_looked_at():
    one = find(optimizer=cr.Adam(0.1))
    assert_array_equal(one.losses, find(optimizer=cr.Adam(cr.OneCycle(0.1, 3))).losses)


def test_goes_on_from_the_state_of_a_used_optimizer():
    model, optimizer = digits(), cr.Adam(0.01)
    model.fit(*DIGITS, loss=LOSS, optimizer=optimizer, verbose=0)
    result = find(model, optimizer, steps=10, high=1e-3)
    (x, y), order = DIGITS, model.shuffle_rng.permutation(len(DIGITS[0]))
    for step, lr in enumerate(result.rates):
        optimizer.lr, rows = float(lr), order[32 * step : 32 * step + 32]
        loss = model.train_on_batch(x[rows], y[rows], loss=LOSS, optimizer=optimizer)
        assert loss == result.losses[step]


@pytest.mark.parametrize("kind", OPTIMIZERS)
def test_every_optimizer(kind):
    result = find(optimizer=OPTIMIZERS[kind](), steps=30)
    assert np.isfinite(result.losses).all()


# ---- how it ends ---------------------------------------------------------------------------------


def bowl(value):
    """A loss that does what a list says, whatever the predictions."""
    values = iter(value)

    def loss(prediction, target, weight):
        return next(values), np.zeros_like(prediction)

    return loss


def run_on(values, **options):
    """The range test of these losses."""
    options = {"steps": len(values), "smoothing": 0, "low": 1e-3, **options}
    return find(loss=bowl(values), **options)


def test_ends_where_the_loss_exceeds_a_multiple_of_its_best():
    values = [3.0, 2.0, 1.0, 2.0, 3.9, 4.0, 4.1, 1.0, 1.0, 1.0]
    assert run_on(values).losses.tolist() == values[:7]
    assert run_on(values, stop_factor=1.5).losses.tolist() == values[:4]
    assert run_on(values, stop_factor=100).losses.tolist() == values


def test_losses_below_zero_end_it_too():
    values = [1.0, -1.0, -2.0, 0.0, 3.9, 4.1, 0.0, 0.0, 0.0, 0.0]
    assert run_on(values).losses.tolist() == values[:6]


@pytest.mark.parametrize("last", [np.nan, np.inf, -np.inf])
def test_ends_where_the_loss_is_not_finite_and_leaves_it_out(last):
    values = [3.0, 2.0, 1.5, last, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0]
    result = run_on(values)
    assert result.losses.tolist() == values[:3]
    assert len(result.rates) == len(result.smoothed) == 3


def test_ends_without_a_warning_where_a_network_overflows():
    result = find(data=(LINE, LINE[:, :1]), model=cr.Model(cr.Dense(8, 1), seed=0),
                  loss=cr.MeanSquaredError(), high=1e30, stop_factor=1e300)  # fmt: skip
    assert len(result.rates) < 100
    assert np.isfinite(result.losses).all()


def test_no_suggestion_where_the_loss_does_not_fall():
    assert np.isnan(run_on(list(np.linspace(1, 2, 30))).suggestion)
    assert np.isnan(run_on([1.0] * 30).suggestion)
    with pytest.raises(ValueError, match="lr must be a number"):
        cr.SGD(run_on([1.0] * 30).suggestion)


def test_data_that_are_not_finite_are_told_at_once():
    with pytest.raises(cr.DivergenceError, match=r"find_lr: in the first step.*the inputs hold"):
        find(data=(np.full_like(DIGITS[0], np.nan), DIGITS[1]))


# ---- everything is as it was ---------------------------------------------------------------------


class Noisy(cr.Layer):
    """Adds noise in every mode, from the model's generator and from one of its own."""

    def __init__(self, features):
        super().__init__()
        self.features = features
        self.own = np.random.default_rng(7)
        self.add_parameter("s", (features,), cr.initializers.ones)
        self.add_buffer("calls", 0.0)

    def forward(self, x, training=False):
        self.calls = self.calls + 1
        noise = self.rng.normal(size=x.shape) + self.own.normal(size=x.shape)
        return x * self.s + 0.01 * noise.astype(x.dtype), x

    def backward(self, dy, x, out=None, need_dx=True):
        return dy * self.s, {"s": (dy * x).sum(axis=0)}


def everything(model, optimizer):
    """All that a training could change, as text and bytes."""
    generators = [model.shuffle_rng]
    for layer in model.layers:
        generators += [layer.rng, *([layer.own] if hasattr(layer, "own") else [])]
    state = {key: np.asarray(value).tobytes() for key, value in optimizer.state_dict().items()}
    return {
        "arrays": {name: array.tobytes() for name, array in model.state_dict().items()},
        "gradients": model.gradients.tobytes(),
        "generators": [rng.bit_generator.state for rng in generators],
        "history": (dict(model.history), list(model.history.epochs), id(model.history)),
        "stop_training": model.stop_training,
        "trainable": [layer.trainable for layer in model.layers],
        "spans": model.spans,
        "optimizer": (state, optimizer.steps, optimizer.lr, repr(optimizer)),
        "attributes": sorted(vars(optimizer)),
    }


def used(optimizer=None):
    """A model of everything that has a state, after a training, and its optimizer."""
    shared = cr.Dense(16, 16)
    model = cr.Model(cr.Dense(64, 16), cr.BatchNorm(16), shared, cr.ReLU(), cr.Dropout(0.3),
                     shared, Noisy(16), cr.Dense(16, 10), seed=3)  # fmt: skip
    optimizer = optimizer or cr.Adam(cr.LinearWarmup(0.01, 5))
    model.fit(*DIGITS, loss=LOSS, optimizer=optimizer, epochs=2, verbose=0)
    model.layers[0].trainable = False
    model.stop_training = True
    return model, optimizer


@pytest.mark.parametrize("kind", OPTIMIZERS)
def test_model_and_optimizer_are_as_they_were(kind):
    model, optimizer = used(OPTIMIZERS[kind]())
    before = everything(model, optimizer)
    find(model, optimizer, high=1e6)
    assert everything(model, optimizer) == before


def test_training_goes_on_as_if_nothing_had_been():
    runs = []
    for look in (False, True):
        model, optimizer = used()
        if look:
            find(model, optimizer)
        model.fit(*DIGITS, loss=LOSS, optimizer=optimizer, verbose=0)
        runs.append(everything(model, optimizer))
        runs[-1]["history"] = runs[-1]["history"][:2]
    assert runs[0] == runs[1]


@pytest.mark.parametrize("error", [KeyboardInterrupt, RuntimeError, MemoryError])
@pytest.mark.parametrize("call", [1, 2, 30])
def test_whatever_is_raised_leaves_them_as_they_were(error, call):
    calls = []

    def loss(prediction, target, weight):
        calls.append(1)
        if len(calls) == call:
            raise error
        return LOSS(prediction, target, weight)

    model, optimizer = used()
    before = everything(model, optimizer)
    with pytest.raises(error):
        find(model, optimizer, loss=loss)
    assert everything(model, optimizer) == before


def test_an_interrupt_inside_the_step_of_an_optimizer_leaves_them_too():
    class Interrupted(cr.Adam):
        def update(self, p, *rest):
            super().update(p, *rest)
            if self.steps == 20:
                raise KeyboardInterrupt

    model, optimizer = digits(), Interrupted(0.01)
    before = everything(model, optimizer)
    with pytest.raises(KeyboardInterrupt):
        find(model, optimizer)
    assert everything(model, optimizer) == before


@pytest.mark.parametrize(
    "wrong",
    [{"data": (DIGITS[0], DIGITS[1] + 9)}, {"data": (DIGITS[0], DIGITS[1][:5])}, {"steps": 1},
     {"loss": "mse"}, {"data": (np.full_like(DIGITS[0], np.nan), DIGITS[1])}],
)  # fmt: skip
def test_what_is_refused_leaves_them_as_they_were(wrong):
    model, optimizer = used()
    before = everything(model, optimizer)
    with pytest.raises((ValueError, TypeError, cr.DivergenceError)):
        find(model, optimizer, **wrong)
    assert everything(model, optimizer) == before


def test_views_and_layers_are_still_those_of_the_model():
    model = digits()
    weights, layers = model.layers[0].W, model.layers
    find(model)
    assert model.layers is layers
    assert model.layers[0].W is weights
    assert np.shares_memory(weights, model.parameters)
    assert model.layers[0].owner_model is model


def test_others_can_predict_meanwhile():
    model = digits()
    expected, different = model.predict(TEST_DIGITS[0]), []
    stop = threading.Event()

    def watch():
        while not stop.is_set():
            different.append(not np.array_equal(model.predict(TEST_DIGITS[0]), expected))

    thread = threading.Thread(target=watch)
    thread.start()
    find(model)
    stop.set()
    thread.join()
    assert different
    assert not any(different)


def test_an_own_optimizer_that_knows_its_model():
    class Own:
        def __init__(self, model, lr):
            self.model, self.lr = model, lr

        def step(self, params, grads, spans=None):
            assert params is self.model.parameters
            params -= self.lr * grads

    model = digits()
    own = Own(model, 0.1)
    assert_array_equal(find(model, own).losses, find(model, cr.SGD(0.1)).losses)
    assert own.model is model
    assert own.lr == 0.1


def test_an_optimizer_that_cannot_be_copied_is_named():
    optimizer = cr.SGD(0.1)
    optimizer.lock = threading.Lock()
    with pytest.raises(TypeError, match=r"find_lr: it trains a copy, and copy.deepcopy of"):
        find(optimizer=optimizer)


def test_indices_and_float64_are_taken():
    words = np.random.default_rng(0).integers(0, 9, (60, 3))
    model = cr.Model(cr.Embedding(9, 4), cr.Flatten(), cr.Dense(12, 3), seed=0, dtype="float64")
    result = find(model, cr.Adam(), data=(words, words[:, 0] % 3))
    assert 1e-3 < result.suggestion < 1
