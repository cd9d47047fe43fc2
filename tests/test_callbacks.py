"""Callbacks act beside training, and early stopping decides which weights are kept. A script of
figures stands in for a validation loss here, so that every epoch's verdict can be worked out."""

from __future__ import annotations

import contextlib
import re

import numpy as np
import pytest
from callback_helpers import INF, NAN, BinaryCount, Count, Script, X, Y, fit, net, same
from unchanged import picture

import chainrule as cr
from chainrule import (
    SGD,
    Accuracy,
    BatchNorm,
    Callback,
    Dense,
    DivergenceError,
    Dropout,
    EarlyStopping,
    MeanSquaredError,
    Model,
    ProgressBar,
    ReLU,
    SoftmaxCrossEntropy,
    datasets,
)


def run(values, monitor="val_loss", **options):
    """Train by a script; return the stopping, and how many epochs there were."""
    stopping = EarlyStopping(monitor, **options)
    values = list(values)
    history = fit(
        net(), [Script(values, monitor), stopping], epochs=len(values), metrics=[BinaryCount()]
    )
    return stopping, len(history.epochs)


# ---- when it stops -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "values", "best", "epochs"),
    [
        ({"patience": 2}, [5, 4, 6, 6, 1], 1, 4),
        ({"patience": 2}, [5, 6, 4, 6, 3, 9, 9, 1], 4, 7),  # each improvement counts anew
        ({"patience": 1}, [5, 4, 6, 1], 1, 3),
        ({"patience": 0}, [5, 4, 6, 1], 1, 3),
        ({"patience": 0}, [5, 5, 1], 0, 2),  # equal is not better
        ({"patience": 2, "min_delta": 1.0}, [5, 4, 3.5, 3, 2.6, 1], 2, 5),
        ({"patience": 9}, [5, 4, 6], 1, 3),
        ({"patience": 1, "mode": "max"}, [5, 6, 4, 9], 1, 3),
        ({"patience": 1, "mode": "max", "min_delta": 1.0}, [5, 6, 9], 0, 2),
        ({"patience": 1, "mode": "min"}, [5, 4, 6, 9], 1, 3),
        ({"patience": 1, "start_from_epoch": 3}, [0, 7, 8, 5, 4, 6, 1], 4, 6),
        ({"patience": 2}, [NAN, 5, NAN, NAN, 1], 1, 4),
        ({"patience": 2}, [NAN, NAN, 1], None, 2),
        ({"patience": 2}, [INF, 5, INF, 4, INF, INF, 1], 3, 6),
    ],
)
def test_when_training_stops(options, values, best, epochs):
    stopping, ran = run(values, **options)
    assert ran == epochs
    assert stopping.best_epoch == best
    assert stopping.best == (None if best is None else values[best])
    assert stopping.stopped_epoch == (None if epochs == len(values) else epochs - 1)


@pytest.mark.parametrize(
    ("monitor", "best"), [("val_loss", 1), ("loss", 1), ("val_accuracy", 0), ("accuracy", 0)]
)
def test_auto_knows_what_is_better(monitor, best):
    assert run([0.5, 0.4, 0.45], monitor, patience=9)[0].best_epoch == best


def test_auto_knows_it_of_losses_used_as_metrics():
    stopping = EarlyStopping("val_mean_squared_error", patience=9)
    script = Script([3, 2, 4], "val_mean_squared_error")
    fit(net(), [script, stopping], epochs=3, metrics=[MeanSquaredError()])
    assert stopping.best_epoch == 1


# ---- what it leaves behind -----------------------------------------------------------------------


class Raise(Callback):
    def __init__(self, epoch):
        self.epoch = epoch

    def on_epoch_begin(self, epoch):
        if epoch == self.epoch:
            raise KeyboardInterrupt


class Poison(Callback):
    def on_epoch_begin(self, epoch):
        if epoch == 4:
            self.model.parameters[:] = np.nan


@pytest.mark.parametrize("end", ["stopped", "ran out", "interrupted", "diverged"])
@pytest.mark.parametrize("restore", [True, False])
def test_the_best_weights_and_buffers_are_put_back_however_it_ends(end, restore):
    model, script = net(), Script([5, 4, 3, 6, 6, 6, 6, 6, 6])
    stopping = EarlyStopping(patience=2 if end == "stopped" else 9, restore_best_weights=restore)
    more = {"interrupted": [Raise(4)], "diverged": [Poison()]}.get(end, [])
    wanted = {"interrupted": KeyboardInterrupt, "diverged": DivergenceError}.get(end)
    if wanted:
        with pytest.raises(wanted):
            fit(model, [script, stopping, *more])
    else:
        fit(model, [script, stopping])
    epochs = {"stopped": 5, "ran out": 9, "interrupted": 4, "diverged": 4}[end]
    assert len(model.history.epochs) == epochs == len(script.states)
    assert stopping.best_epoch == 2
    assert same(script.states[2 if restore else epochs - 1], model)
    assert model.layers[1].calls == (3 if restore else epochs)


@pytest.mark.parametrize("restore", [False, True])
def test_ctrl_c_within_an_epoch_keeps_history_and_weights(restore):
    class Interrupt(Callback):
        def on_train_batch_end(self, batch, logs):
            self.weights = self.model.parameters.copy()
            if len(script.states) == 3 and batch == 1:
                raise KeyboardInterrupt

    model, script, interrupt = net(), Script([3, 1, 2]), Interrupt()
    stopping = EarlyStopping(restore_best_weights=restore)
    with pytest.raises(KeyboardInterrupt):
        fit(model, [script, interrupt, stopping], batch_size=3)
    assert model.history.epochs == [0, 1, 2]
    assert len(model.history["val_loss"]) == 3
    expected = interrupt.weights if not restore else script.states[1]
    assert same(expected, model) if restore else np.array_equal(model.parameters, expected)
    fit(model, epochs=1)
    assert np.isfinite(model.parameters).all()


def test_an_epoch_stands_in_the_history_whole_or_not_at_all():
    """Ctrl-C may come while its figures are written down."""

    class Interrupted(dict):
        def items(self):
            yield "loss", 1.0
            raise KeyboardInterrupt

    history = cr.History()
    for epoch in (0, 1):
        with pytest.raises(KeyboardInterrupt):
            history.add(epoch, Interrupted())
        assert ("loss" in history) == (epoch > 0)
        history.add(epoch, {"loss": 2.0, "accuracy": 0.5})
        assert history == {"loss": [2.0] * (epoch + 1), "accuracy": [0.5] * (epoch + 1)}
        assert history.epochs == list(range(epoch + 1))


def test_a_state_is_a_copy_and_is_loaded_all_or_nothing():
    model, other = net(), Model(Dense(2, 1), Count(), seed=1, dtype="float64")
    fit(model, epochs=2)
    state = model.state_dict()
    assert list(state) == ["0.W", "0.b", "1.s", "1.calls"]
    assert state["1.calls"] == 2
    expected, before = {n: a.copy() for n, a in state.items()}, other.state_dict()
    model.parameters[:] = 0
    assert all(np.array_equal(state[name], a) for name, a in expected.items())
    without = {name: a for name, a in state.items() if name != "1.calls"}
    for wrong, name in (
        (without, "1.calls"),
        (state | {"9.W": np.zeros(1)}, "9.W"),
        (state | {"1.calls": np.zeros(2)}, "1.calls"),
        (state | {"1.calls": ["a"]}, "1.calls"),
    ):
        with pytest.raises((ValueError, TypeError), match=re.escape(name)):
            other.load_state_dict(wrong)
        assert same(before, other)
    other.load_state_dict(state)
    state["0.W"][:] = 77
    assert same(expected, other)


def test_evaluate_gives_the_best_figure_again():
    model, stopping = net(), EarlyStopping(patience=3)
    history = fit(model, [stopping], optimizer=SGD(0.6), epochs=8, batch_size=3)
    assert stopping.best == min(history["val_loss"]) != history["val_loss"][-1]
    assert model.evaluate(X, Y, loss=MeanSquaredError())["loss"] == stopping.best


@pytest.mark.parametrize("end", ["stopped", "ran out", "interrupted", "diverged"])
def test_evaluate_gives_the_best_figure_again_with_batchnorm_and_dropout(end):
    x, y = datasets.moons(200, seed=0)
    model = Model(Dense(2, 16), BatchNorm(16), ReLU(), Dropout(0.3), Dense(16, 2), seed=1)
    stopping = EarlyStopping(patience=2 if end == "stopped" else 99)
    more = {"interrupted": [Raise(4)], "diverged": [Poison()]}.get(end, [])
    wanted = {"interrupted": KeyboardInterrupt, "diverged": DivergenceError}.get(end)
    with pytest.raises(wanted) if wanted else contextlib.nullcontext():
        model.fit(
            x[50:], y[50:], loss=SoftmaxCrossEntropy(), optimizer=SGD(5.0), epochs=9,
            validation_data=(x[:50], y[:50]), callbacks=[stopping, *more], verbose=0,
        )  # fmt: skip
    figures = model.history["val_loss"]
    assert stopping.best == min(figures) < figures[-1]
    assert model.evaluate(x[:50], y[:50], loss=SoftmaxCrossEntropy())["loss"] == stopping.best


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_evaluate_gives_the_best_figure_again_behind_a_batchnorm(dtype):
    """Running statistics belong to the epoch as well; 3,000 rows are three batches of 1,024."""
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(3000, 3)), rng.integers(0, 2, size=3000)
    model = Model(
        cr.Dense(3, 8), cr.BatchNorm(8), cr.ReLU(), cr.Dropout(0.3), cr.Dense(8, 2), seed=0,
        dtype=dtype,
    )  # fmt: skip
    stopping, loss = EarlyStopping(patience=2), cr.SoftmaxCrossEntropy()
    history = model.fit(
        x[:200], y[:200], loss=loss, optimizer=cr.Adam(0.05), epochs=30, verbose=0,
        validation_data=(x, y), callbacks=[stopping],
    )  # fmt: skip
    assert stopping.stopped_epoch is not None
    assert history["val_loss"][-1] > min(history["val_loss"])
    assert model.evaluate(x, y, loss=loss)["loss"] == stopping.best == min(history["val_loss"])


def test_a_fit_that_is_refused_leaves_what_callbacks_remember(tmp_path):
    """The best figure of the last fit, say, when another callback or the run will not begin."""
    model, optimizer, path = Model(Dense(2, 1), seed=0), SGD(0.1), tmp_path / "run.npz"
    used = [
        EarlyStopping(patience=1, min_delta=9),
        cr.ReduceLROnPlateau("loss"),
        cr.CSVLogger(tmp_path / "run.csv"),
        cr.Checkpoint(path, keep_best=True),
    ]
    options = {"optimizer": optimizer, "epochs": 9}
    fit(model, used, **options)
    assert model.stop_training
    assert used[0].best is not None
    before = picture([model, optimizer, used])
    of_another_run = [EarlyStopping(patience=1, min_delta=8), *used[1:]]
    for callbacks, sentence, more in [
        ([*used, EarlyStopping("val_x")], "no 'val_x'", {}),
        ([*used, cr.Checkpoint(path)], "two files", {}),
        (of_another_run, "had min_delta=9", {"resume_from": path}),
    ]:
        with pytest.raises(ValueError, match=sentence):
            fit(model, callbacks, **options, **more)
        assert picture([model, optimizer, used]) == before


def test_a_second_fit_starts_afresh():
    model, stopping = net(), EarlyStopping(patience=1)
    fit(model, [Script([2, 1, 3]), stopping])
    assert (stopping.best, stopping.stopped_epoch) == (1, 2)
    script = Script([9, 8, 8.5])
    fit(model, [script, stopping], epochs=3)
    assert (stopping.best, stopping.best_epoch, stopping.stopped_epoch) == (8, 1, 2)
    assert same(script.states[1], model)


def test_another_callbacks_error_at_the_end_does_not_lose_the_best_weights():
    class Bad(Callback):
        def on_train_end(self):
            raise RuntimeError("disk full")

    model, script = net(), Script([5, 4, 6])
    with pytest.raises(RuntimeError, match="disk full"):
        fit(model, [Bad(), script, EarlyStopping(patience=9)], epochs=3)
    assert same(script.states[1], model)


@pytest.mark.parametrize(
    ("monitor", "options", "sentence"),
    [
        ("val_loss", {"validation_data": None}, "'val_loss'.*loss.*validation_data"),
        ("val_acuracy", {}, "'val_acuracy'.*loss, accuracy, val_loss, val_accuracy"),
        ("mean_squared_error", {}, "'mean_squared_error'"),
    ],
)
def test_a_monitor_that_will_not_exist_is_refused_before_training(monitor, options, sentence):
    model, later = net(), Script([])
    before = model.state_dict()
    with pytest.raises(ValueError, match=sentence):
        fit(model, [EarlyStopping(monitor), later], metrics=[BinaryCount()], **options)
    assert same(before, model)
    assert not later.states


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("monitor", None), ("min_delta", -1), ("min_delta", NAN), ("patience", -1),
        ("patience", 1.5), ("mode", "lowest"), ("restore_best_weights", 1),
        ("start_from_epoch", -1),
    ],
)  # fmt: skip
def test_wrong_options_are_refused(name, value):
    with pytest.raises((ValueError, TypeError), match=f"EarlyStopping.*{name}"):
        EarlyStopping(**{name: value})


def test_one_callback_twice_is_refused():
    """It would wait for half as long, and a log would have each row twice."""
    stopping = EarlyStopping(patience=4)
    with pytest.raises(ValueError, match=r"callbacks: .*EarlyStopping.* stands there twice"):
        fit(net(), [stopping, ProgressBar(), stopping])


# ---- hooks ---------------------------------------------------------------------------------------


class Recorder(Callback):
    """Write every hook down with its arguments."""

    def __init__(self, log):
        self.log = log

    def on_train_begin(self):
        self.log.append(("train begin", dict(self.params), self.model.num_parameters))

    def on_train_end(self):
        self.log.append("train end")

    def on_epoch_begin(self, epoch):
        self.log.append(("epoch begin", epoch))

    def on_epoch_end(self, epoch, logs):
        self.log.append(("epoch end", epoch, *logs))

    def on_train_batch_begin(self, batch):
        self.log.append(("batch begin", batch))

    def on_train_batch_end(self, batch, logs):
        self.log.append(("batch end", batch, *logs))


def test_hooks_come_in_order_with_their_arguments():
    log = []
    model = Model(Dense(2, 2), seed=0)
    options = {"loss": SoftmaxCrossEntropy(), "optimizer": SGD(0.1), "metrics": [Accuracy()]}
    model.fit(
        X, [0, 1] * 4, batch_size=5, epochs=3, initial_epoch=1, validation_split=0.25,
        callbacks=[Recorder(log)], verbose=0, **options,
    )  # fmt: skip
    monitors = {"loss": False, "accuracy": True, "val_loss": False, "val_accuracy": True}
    batches = [("batch begin", 0), ("batch end", 0, "loss")]
    batches += [("batch begin", 1), ("batch end", 1, "loss")]
    assert log == [
        ("train begin", {"epochs": 3, "steps": 2, "monitors": monitors}, 6),
        *(("epoch begin", 1), *batches, ("epoch end", 1, *monitors)),
        *(("epoch begin", 2), *batches, ("epoch end", 2, *monitors)),
        "train end",
    ]


def test_the_loss_of_a_batch_is_that_of_its_step():
    seen = []

    class See(Callback):
        def on_train_batch_end(self, batch, logs):
            seen.append(logs["loss"])

    history = fit(net(), [See()], batch_size=5, epochs=1)
    assert history["loss"][0] == pytest.approx((5 * seen[0] + 3 * seen[1]) / 8, rel=1e-14)


def test_own_callbacks_stop_training_and_the_next_fit_is_not_stopped():
    class Stop(Callback):
        def on_epoch_end(self, epoch, logs):
            self.model.stop_training = epoch == 2

    model = net()
    assert fit(model, [Stop()]).epochs == [0, 1, 2]
    assert fit(model, epochs=4).epochs == [0, 1, 2, 3]


@pytest.mark.parametrize(
    ("verbose", "lines"), [(0, []), (1, [1, 2, 3]), (True, [1, 2, 3]), ("auto", [1, 3])]
)
def test_progress_is_ascii_on_standard_error(verbose, lines, capsys):
    history = fit(net(), epochs=3, verbose=verbose)
    out, err = capsys.readouterr()
    assert out == ""
    assert err.isascii()
    shown = err.splitlines()
    if verbose == "auto":  # the second is shown only on a machine that is very slow
        shown = [shown[0], shown[-1]]
    assert [line.split()[1] for line in shown] == [f"{n}/3" for n in lines]
    if shown:
        assert f"val_loss {history['val_loss'][-1]:.4g}" in shown[-1]


@pytest.mark.parametrize(
    ("bar", "shown"), [(ProgressBar(), "12345"), (ProgressBar(every=3600), "15")]
)
def test_a_bar_shows_the_first_and_the_last_epoch_and_others_when_it_is_time(bar, shown, capsys):
    for _ in range(2):  # a bar can be used again
        fit(net(), [bar], epochs=5)
        lines = capsys.readouterr().err.splitlines()
        assert [line.split("/")[0] for line in lines] == [f"epoch {n}" for n in shown]


def test_a_bar_of_the_users_own_is_the_only_one(capsys):
    fit(net(), [ProgressBar()], epochs=2, verbose=1)
    assert len(capsys.readouterr().err.splitlines()) == 2


@pytest.mark.parametrize("every", [-1, NAN, "1"])
def test_a_bar_refuses_other_times(every):
    with pytest.raises((ValueError, TypeError), match="ProgressBar: every"):
        ProgressBar(every)
