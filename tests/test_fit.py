"""Training is the lecture's loop and nothing else: its steps are compared with plain NumPy, and its
results to the bit with themselves. Whatever goes wrong must be told before anything has changed."""

from __future__ import annotations

import warnings

import numpy as np
import pytest

import chainrule as cr
from chainrule import (
    SGD,
    Accuracy,
    Adam,
    Callback,
    Dense,
    DivergenceError,
    Dropout,
    EarlyStopping,
    MeanSquaredError,
    Model,
    Sigmoid,
    Softmax,
    SoftmaxCrossEntropy,
    Tanh,
)

RNG = np.random.default_rng(3)
X, Y = RNG.normal(size=(10, 3)), RNG.normal(size=(10, 2))
LABELS = np.arange(10) % 2
W = RNG.uniform(0.5, 2, size=10)


class Noisy(cr.Layer):
    """An own layer without out=: y = x * s, with a buffer that every training pass changes."""

    def __init__(self):
        super().__init__()
        self.add_parameter("s", (2,), cr.initializers.ones)
        self.add_buffer("mean", np.zeros(2))

    def forward(self, x, training=False):
        if training:
            self.mean = x.mean(axis=0)
        return x * self.s, x

    def backward(self, dy, x, out=None, need_dx=True):
        return dy * self.s, {"s": (dy * x).sum(axis=0)}


class Watch(Callback):
    """Write down the weights after every step."""

    def __init__(self):
        self.weights = []

    def on_train_batch_end(self, batch, logs):
        self.weights.append(self.model.parameters.copy())


def net(seed=0, dtype="float64"):
    return Model(Dense(3, 4), Tanh(), Dense(4, 2), seed=seed, dtype=dtype)


def random_net():
    return Model(Dense(3, 2), Dropout(0.3), Noisy(), seed=0, dtype="float64")


def fit(model, x=X, y=Y, **options):
    call = {"loss": MeanSquaredError(), "optimizer": SGD(0.1), "verbose": 0, **options}
    return model.fit(x, y, **call)


def mse(prediction, target, weight=None):
    """An own loss, with no checks."""
    r = prediction - target
    w = np.ones(len(r)) if weight is None else weight
    return (w[:, None] * r**2).mean(), 2 * w[:, None] * r / r.size


def by_hand(start, batches, lr, epochs, weight=None):
    """SGD on a net 3-4-2 with tanh; returns weights, and each epoch's loss."""
    W1, b1, W2, b2 = (a.copy() for a in start)
    weight = np.ones(10) if weight is None else weight
    losses = []
    for _ in range(epochs):
        total = 0
        for rows in batches:
            x, t, w = X[rows], Y[rows], weight[rows][:, None]
            h = np.tanh(x @ W1 + b1)
            r = h @ W2 + b2 - t
            total += (w * r**2).mean() * len(x)
            g2 = 2 * w * r / r.size
            g1 = (g2 @ W2.T) * (1 - h**2)
            W2, b2 = W2 - lr * h.T @ g2, b2 - lr * g2.sum(axis=0)
            W1, b1 = W1 - lr * x.T @ g1, b1 - lr * g1.sum(axis=0)
        losses.append(total / 10)
    return np.concatenate([a.ravel() for a in (W1, b1, W2, b2)]), losses


def everything(model, optimizer):
    """All that a fit may change, as texts to compare."""
    rngs = [model.shuffle_rng] + [layer.rng for layer in model.layers]
    state = model.state_dict() | optimizer.state_dict() | {"gradients": model.gradients}
    return (
        {name: np.asarray(value).tobytes() for name, value in state.items()},
        [str(rng.bit_generator.state) for rng in rngs],
        dict(model.history),
    )


# ---- right ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(("size", "parts"), [(None, 1), (1, 10), (4, 3), (5, 2), (10, 1), (99, 1)])
@pytest.mark.parametrize("weight", [None, W])
def test_fit_is_the_steps_of_the_lecture(size, parts, weight):
    model = net()
    step = size or 10
    rows = [slice(i, i + step) for i in range(0, 10, step)]
    assert len(rows) == parts
    expected, losses = by_hand(model.named_parameters().values(), rows, 0.1, 3, weight)
    history = fit(model, batch_size=size, epochs=3, shuffle=False, sample_weight=weight)
    np.testing.assert_allclose(model.parameters, expected, rtol=0, atol=1e-12)
    np.testing.assert_allclose(history["loss"], losses, rtol=1e-12)


def test_shuffling_uses_every_row_once_in_each_epoch():
    seen = []

    def spy(p, t, w):
        seen.append(t[:, 0].copy())
        return mse(p, t, w)

    numbers = np.tile(np.arange(10.0)[:, None], 2)
    fit(net(), y=numbers, loss=spy, batch_size=4, epochs=3)
    assert [len(part) for part in seen] == [1] + [4, 4, 2] * 3  # one row first, to try the loss
    epochs = np.concatenate(seen[1:]).reshape(3, 10)
    assert (np.sort(epochs) == np.arange(10)).all()
    assert len({tuple(epoch) for epoch in epochs}) == 3


def test_rows_targets_and_weights_stay_together_when_shuffled():
    x = np.arange(1.0, 11)[:, None]
    model = Model(cr.Identity(), seed=0)

    def check(p, t, w):
        assert np.array_equal(p, t)
        assert np.array_equal(p[:, 0], w)
        return 0.0, 0 * p

    fit(model, x, x, loss=check, sample_weight=x[:, 0], batch_size=3, epochs=2)


def test_one_seed_is_one_training_to_the_bit():
    ends = []
    for epochs in [(4,), (4,), (2, 4), (1, 3, 4)]:
        model, optimizer, first, losses = random_net(), Adam(0.01), 0, []
        for last in epochs:
            history = fit(
                model, optimizer=optimizer, epochs=last, initial_epoch=first, batch_size=3
            )
            assert history.epochs == list(range(first, last))
            first, losses = last, losses + history["loss"]
        ends.append((model.state_dict(), losses, optimizer.state_dict()))
    for state, losses, moments in ends[1:]:
        assert losses == ends[0][1]
        assert all(np.array_equal(state[name], a) for name, a in ends[0][0].items())
        assert all(np.array_equal(moments[name], a) for name, a in ends[0][2].items())


def test_the_optimizer_goes_on_where_it_was():
    model, optimizer = net(), SGD(0.1, momentum=0.9)
    fit(model, optimizer=optimizer, batch_size=None, epochs=2)
    assert optimizer.state_dict()["steps"] == 2
    velocity = optimizer.state_dict()["velocity"]
    before = model.parameters.copy()
    fit(model, optimizer=optimizer, batch_size=None)
    np.testing.assert_allclose(
        before - model.parameters, 0.1 * (0.9 * velocity + model.gradients), rtol=1e-9
    )


def test_history_holds_every_figure_of_every_epoch():
    model = net()
    loss, metrics = SoftmaxCrossEntropy(), [Accuracy(), MeanSquaredError()]
    history = fit(
        model, y=np.eye(2)[LABELS], loss=loss, metrics=metrics, epochs=3,
        validation_data=(X[:4], np.eye(2)[LABELS[:4]]),
    )  # fmt: skip
    names = ["loss", "accuracy", "mean_squared_error"]
    assert list(history) == [*names, *(f"val_{name}" for name in names)]
    assert all(len(values) == 3 for values in history.values())
    assert all(type(value) is float for values in history.values() for value in values)
    assert history.epochs == [0, 1, 2]
    assert model.history is history
    z = model(X[:4])
    log_p = z - np.log(np.exp(z).sum(axis=1, keepdims=True))
    targets = LABELS[:4]
    assert history["val_loss"][-1] == pytest.approx(-log_p[range(4), targets].mean(), rel=1e-12)
    assert history["val_accuracy"][-1] == (z.argmax(axis=1) == targets).mean()
    assert history["val_mean_squared_error"][-1] == pytest.approx(
        ((z - np.eye(2)[targets]) ** 2).mean(), rel=1e-12
    )


def test_training_figures_are_those_of_one_epoch():
    model, metric = net(), Accuracy()
    right = (model(X).argmax(axis=1) == LABELS).mean()
    metric.update(np.eye(2)[[0] * 50], [1] * 50)  # left over from elsewhere
    call = {"loss": SoftmaxCrossEntropy(), "metrics": [metric], "optimizer": SGD(0), "epochs": 2}
    assert fit(model, y=LABELS, batch_size=3, **call)["accuracy"] == [right, right]


def test_rows_held_back_are_the_same_for_one_seed_and_never_trained_on():
    model = net()
    seen = []

    def spy(p, t, w):
        seen.append(t[:, 0])
        return mse(p, t, w)

    numbers = np.tile(np.arange(10.0)[:, None], 2)
    fit(model, y=numbers, loss=spy, validation_split=0.3, batch_size=None)
    train, held_back = (sorted(rows.tolist()) for rows in seen[1:])
    assert (len(train), len(held_back)) == (7, 3)
    assert sorted(train + held_back) == list(range(10))
    fit(model, y=numbers, loss=spy, validation_split=0.3, batch_size=None)
    assert sorted(seen[5].tolist()) == held_back
    assert any(sorted(_held_back(seed)) != held_back for seed in range(1, 6))
    poisoned, clean = Y.copy(), net()
    poisoned[[int(i) for i in held_back]] = np.nan
    fit(clean, validation_split=0.3, epochs=2, batch_size=3)
    other = net()
    history = fit(other, y=poisoned, validation_split=0.3, epochs=2, batch_size=3)
    assert np.array_equal(other.parameters, clean.parameters)
    assert np.isnan(history["val_loss"]).all()


def _held_back(seed):
    rows = []
    fit(
        net(seed), y=np.tile(np.arange(10.0)[:, None], 2), validation_split=0.3, batch_size=None,
        loss=lambda p, t, w: (rows.append(t[:, 0].tolist()) or 0.0, 0 * p),
    )  # fmt: skip
    return rows[-1]


def test_own_losses_and_own_layers_train():
    one, other = net(), net()
    fit(one, loss=mse, sample_weight=W, batch_size=4, epochs=2)
    fit(other, sample_weight=W, batch_size=4, epochs=2)
    np.testing.assert_allclose(one.parameters, other.parameters, rtol=0, atol=1e-12)
    model = random_net()
    history = fit(model, epochs=20, batch_size=None)
    assert history["loss"][-1] < history["loss"][0]
    assert (model.layers[2].s != 1).all()
    with pytest.raises(ValueError, match=r"gradient of shape \(2,\).*\(1, 2\)"):
        fit(net(), loss=lambda p, t, w: (0.0, np.zeros(2)))


def test_train_on_batch_is_one_step():
    model, twin = net(), net()
    expected = mse(model(X), Y)[0]
    assert model.train_on_batch(X, Y, loss=MeanSquaredError(), optimizer=SGD(0.1)) == pytest.approx(
        expected, rel=1e-12
    )
    fit(twin, batch_size=None, shuffle=False)
    assert np.array_equal(model.parameters, twin.parameters)


# ---- wrong: refused before anything changes ------------------------------------------------------

OF_TWO = Adam()
OF_TWO.step(np.zeros(2), np.zeros(2))
CLASSES = {"y": LABELS, "loss": SoftmaxCrossEntropy()}
WRONG = [
    ({"x": np.zeros((0, 3)), "y": np.zeros((0, 2))}, "empty"),
    ({"x": X[:4]}, "x has 4 rows, but y has 10"),
    ({"x": X[:, :2]}, r"Dense\(3, 2\) expects .*3\), got \(2,\)"),
    ({"x": X[:, :2]}, r"\(10, 2\)"),
    ({"y": Y[:, 0]}, r"\(10, 2\), got \(10,\)"),
    ({"y": Y.astype(str)}, "real numbers"),
    ({**CLASSES, "y": LABELS + 1}, "from 0 to 1.* got 2"),
    ({**CLASSES, "y": LABELS - 1}, "from 0 to 1.* got -1"),
    ({**CLASSES, "y": LABELS / 1}, "must be integers"),
    ({**CLASSES, "y": LABELS[:, None]}, r"\(10, 2\), got \(10, 1\)"),
    ({"loss": "mse"}, "loss must be an instance, as in loss="),
    ({"loss": MeanSquaredError}, r"loss=MeanSquaredError\(\)"),
    ({"optimizer": "adam"}, "optimizer must be an instance, as in optimizer="),
    ({"optimizer": Adam}, r"optimizer=Adam\("),
    ({"metrics": ["accuracy"]}, r"metrics=\[Accuracy\(\)\]"),
    ({"metrics": [Accuracy]}, r"write Accuracy\(\)"),
    ({"metrics": Accuracy()}, r"metrics=\["),
    ({"metrics": [MeanSquaredError(), MeanSquaredError()]}, "a name of its own"),
    ({"callbacks": ["stop"]}, "Callback objects"),
    ({"callbacks": [EarlyStopping]}, r"write EarlyStopping\(\)"),
    ({"callbacks": [EarlyStopping()]}, "'val_loss'.*validation_data"),
    ({"batch_size": 0}, "batch_size"),
    ({"batch_size": 2.5}, "batch_size"),
    ({"epochs": -1}, "epochs"),
    ({"epochs": True}, "epochs"),
    ({"initial_epoch": -1}, "initial_epoch"),
    ({"shuffle": "yes"}, "shuffle"),
    ({"verbose": "loud"}, "verbose"),
    ({"validation_split": 1.0}, "validation_split"),
    ({"validation_split": 0.99}, "validation_split"),
    ({"validation_split": 0.5, "validation_data": (X, Y)}, "not both"),
    ({"validation_data": X}, "validation_data"),
    ({"validation_data": (X, Y[:3])}, "validation_data.*10 rows.*3 rows"),
    ({"sample_weight": W[:3]}, r"sample_weight.*\(10,\).*\(3,\)"),
    ({"sample_weight": -W}, "sample_weight.*negative"),
    ({"metrics": [cr.BinaryAccuracy()]}, "0 or 1"),
    ({"optimizer": OF_TWO}, "state is for 2 parameters"),
    ({"x": X[:, :2], "loss": mse}, r"\(10, 2\).*Dense\(3, 2\)"),
    ({"validation_data": (X[:, :2], Y), "loss": mse}, r"\(10, 2\)"),
]  # fmt: skip


@pytest.mark.parametrize(("wrong", "sentence"), WRONG)
def test_wrong_uses_change_nothing(wrong, sentence):
    model = random_net()
    optimizer = wrong.get("optimizer", SGD(0.1, momentum=0.9))
    keeper = optimizer if isinstance(optimizer, (SGD, Adam)) else SGD(0.1)
    before = everything(model, keeper)
    with pytest.raises((ValueError, TypeError), match=sentence):
        fit(model, **{"optimizer": optimizer, **wrong})
    assert everything(model, keeper) == before


def test_losses_on_logits_refuse_probabilities():
    for last, loss in ((Softmax(), SoftmaxCrossEntropy()), (Sigmoid(), cr.BinaryCrossEntropy())):
        model = Model(Dense(3, 2), cr.Sequential(last), seed=0)
        y = np.eye(2)[LABELS]
        for use in (lambda m=model, t=y, k=loss: fit(m, y=t, loss=k),
                    lambda m=model, t=y, k=loss: m.evaluate(X, t, loss=k)):  # fmt: skip
            with pytest.raises(ValueError, match=rf"takes logits.*{last!r}".replace("()", r"\(\)")):
                use()


# ---- badly ended ---------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_a_rate_too_large_ends_in_a_divergence_error(dtype):
    model, watch = net(dtype=dtype), Watch()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(DivergenceError, match=r"epoch \d+, step \d.*SGD\(lr=1000000") as error:
            fit(model, optimizer=SGD(1e6), epochs=200, batch_size=3, callbacks=[watch])
    epoch = int(str(error.value).split("epoch ")[1].split(",")[0])
    assert len(model.history["loss"]) == epoch - 1
    start = (epoch - 1) * 4 - 1  # the last step of the epoch before
    expected = watch.weights[start] if epoch > 1 else net(dtype=dtype).parameters
    assert np.array_equal(model.parameters, expected)
    assert np.isfinite(model.parameters).all()


@pytest.mark.parametrize("epochs", [1, 2])
def test_weights_that_overflow_at_the_end_of_an_epoch_are_not_kept(epochs):
    model = net(dtype="float32")
    with pytest.raises(DivergenceError):
        fit(model, y=1e3 * Y, optimizer=SGD(1e38), epochs=epochs, batch_size=None)
    assert np.isfinite(model.parameters).all()


BAD = np.where(np.arange(10)[:, None] == 4, np.nan, X)


@pytest.mark.parametrize(
    ("options", "named"),
    [
        ({"x": BAD}, "epoch 1, step 1.*inputs"),
        ({"y": BAD[:, :2]}, "epoch 1, step 1.*targets"),
        ({"loss": lambda p, t, w: (1.0, p * np.inf)}, r"gradient .*3\.s, in Noisy\(\)"),
    ],
)
def test_what_is_not_finite_is_named(options, named):
    model = Model(Dense(3, 4), Tanh(), Dense(4, 2), Noisy(), seed=0, dtype="float64")
    model.layers[0].W = np.ones((3, 4))
    before = model.parameters.copy()
    with pytest.raises(DivergenceError, match=named):
        fit(model, **{"batch_size": None, **options})
    assert np.array_equal(model.parameters, before)


@pytest.mark.parametrize("which", ["x", "y"])
def test_data_beyond_float32_is_refused(which):
    with pytest.raises(ValueError, match="too large for float32"):
        fit(net(dtype="float32"), **{which: {"x": X, "y": Y}[which] * 1e300})
