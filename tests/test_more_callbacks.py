"""The callbacks beside early stopping: a rate that falls on a plateau, functions as hooks, an end
without an error. The rule of the plateau is written down once more here."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from callback_helpers import INF, NAN, BinaryCount, Script, fit, net, same

from chainrule import (
    SGD,
    Adam,
    Callback,
    CosineDecay,
    DivergenceError,
    EarlyStopping,
    LambdaCallback,
    ReduceLROnPlateau,
    TerminateOnNaN,
)

# ---- the rate falls on a plateau -----------------------------------------------------------------


def plateau(values, lr=1.0, monitor="val_loss", **options):
    """The rate of each epoch, by a script of figures."""
    rates, optimizer = [], SGD(lr)
    note = LambdaCallback(on_epoch_begin=lambda epoch: rates.append(optimizer.lr))
    callback = ReduceLROnPlateau(monitor, **({"min_delta": 0.0} | options))
    fit(net(), [Script(values, monitor), callback, note, Still()], optimizer=optimizer,
        epochs=len(values), metrics=[BinaryCount()])  # fmt: skip
    return [*rates, optimizer.lr], callback


class Still(Callback):
    """Hold the weights where they are, whatever the rate."""

    def on_epoch_begin(self, epoch):
        self.model.parameters[:] = 0.1


@pytest.mark.parametrize(
    ("options", "values", "rates"),
    [
        ({"patience": 2, "factor": 0.5}, [5, 5, 5, 5, 5], [1, 1, 1, 0.5, 0.5, 0.25]),
        ({"patience": 2, "factor": 0.5}, [5, 5, 4, 4, 4], [1, 1, 1, 1, 1, 0.5]),
        ({"patience": 1, "factor": 0.5}, [5, 5, 5], [1, 1, 0.5, 0.25]),
        ({"patience": 0, "factor": 0.5}, [5, 5, 5], [1, 1, 0.5, 0.25]),  # as with 1
        ({"patience": 0, "factor": 0.5}, [5], [1, 1]),  # the first epoch always improves
        ({"patience": 1, "factor": 0.0}, [5, 5, 5], [1, 1, 0, 0]),
        ({"patience": 1, "factor": 0.5, "min_lr": 0.4}, [5, 5, 5, 5], [1, 1, 0.5, 0.4, 0.4]),
        ({"patience": 1, "factor": 0.5, "min_lr": 2.0}, [5, 5, 5], [1, 1, 1, 1]),  # never up
        ({"patience": 1, "factor": 0.5, "cooldown": 1}, [5] * 4, [1, 1, 0.5, 0.25, 0.125]),
        ({"patience": 1, "factor": 0.5, "cooldown": 2}, [5] * 5, [1, 1, 0.5, 0.5, 0.25, 0.25]),
        ({"patience": 1, "factor": 0.5, "min_delta": 1.0}, [5, 4, 4, 3], [1, 1, 0.5, 0.25, 0.25]),
        ({"patience": 1, "factor": 0.5, "mode": "max"}, [5, 6, 5], [1, 1, 1, 0.5]),
        ({"patience": 1, "factor": 0.5}, [NAN, NAN, 5, NAN], [1, 0.5, 0.25, 0.25, 0.125]),
        ({"patience": 1, "factor": 0.5}, [5, INF, 4], [1, 1, 0.5, 0.5]),
    ],
)
def test_when_the_rate_falls(options, values, rates):
    found, callback = plateau(values, **options)
    assert found == rates
    falls = [(i, b) for i, (a, b) in enumerate(pairwise(rates)) if a != b]
    assert callback.reductions == falls


def keras_rule(values, lr, factor, patience, min_delta, cooldown, min_lr):
    """The rule as Keras has it, in its own words."""
    best, wait, counter, rates = INF, 0, 0, [lr]
    for current in values:
        if counter > 0:
            counter -= 1
            wait = 0
        if current < best - min_delta:
            best, wait = current, 0
        elif not counter > 0:
            wait += 1
            if wait >= patience and lr > min_lr:
                lr = max(lr * factor, min_lr)
                counter, wait = cooldown, 0
        rates.append(lr)
    return rates


@pytest.mark.parametrize("seed", range(40))
def test_the_rule_is_that_of_keras(seed):
    rng = np.random.default_rng(seed)
    values = [float(v) for v in rng.integers(0, 12, 25)[np.argsort(-np.arange(25) % 7)]]
    options = {
        "factor": 0.5, "patience": int(rng.integers(0, 4)), "min_delta": float(rng.integers(0, 3)),
        "cooldown": int(rng.integers(0, 4)), "min_lr": float(rng.choice([0.0, 0.1])),
    }  # fmt: skip
    rates = plateau(values, **options)[0]
    assert rates == keras_rule(values, 1.0, **options)
    assert rates[-1] < 1


def test_auto_knows_that_a_higher_accuracy_is_better():
    options = {"patience": 1, "factor": 0.5}
    assert plateau([0.5, 0.6, 0.6], monitor="val_accuracy", **options)[0] == [1, 1, 1, 0.5]
    assert plateau([0.5, 0.4], monitor="val_accuracy", **options)[0] == [1, 1, 0.5]


def test_a_second_fit_keeps_the_rate_and_forgets_the_figures():
    optimizer, callback = Adam(1.0), ReduceLROnPlateau(patience=2, factor=0.5, cooldown=5)
    fit(net(), [Script([1, 2, 2]), callback], optimizer=optimizer, epochs=3)
    assert (optimizer.lr, callback.best, callback.reductions) == (0.5, 1, [(2, 0.5)])
    fit(net(), [Script([9, 9]), callback], optimizer=Adam(1.0), epochs=2)
    assert (callback.best, callback.reductions) == (9, [])
    fit(net(), [Script([9, 9, 9]), callback], optimizer=optimizer, epochs=3)
    assert callback.reductions == [(2, 0.25)]


def test_the_new_rate_is_that_of_the_next_step():
    model, optimizer = net(), SGD(0.05)
    callback = ReduceLROnPlateau(patience=1, factor=0.0)
    script = Script([1, 1, 1])
    fit(model, [script, callback], optimizer=optimizer, epochs=3)
    assert not np.array_equal(script.states[0]["0.W"], script.states[1]["0.W"])
    assert np.array_equal(script.states[1]["0.W"], script.states[2]["0.W"])


def test_beside_a_schedule_it_is_refused_before_training():
    model = net()
    before = model.state_dict()
    with pytest.raises(ValueError, match=r"ReduceLROnPlateau: the rate of SGD.*is a schedule"):
        fit(model, [ReduceLROnPlateau()], optimizer=SGD(CosineDecay(0.1, 10)))
    assert same(before, model)


def test_an_optimizer_without_a_rate_is_refused():
    class Own:
        def step(self, params, grads, spans=None):
            pass

    with pytest.raises(TypeError, match=r"ReduceLROnPlateau: the optimizer's lr .*got None"):
        fit(net(), [ReduceLROnPlateau()], optimizer=Own())


def test_a_plateau_and_early_stopping_share_what_they_refuse():
    for kind in (EarlyStopping, ReduceLROnPlateau):
        with pytest.raises(ValueError, match=f"{kind.__name__}: there will be no 'val_x'"):
            fit(net(), [kind("val_x")])


def test_it_survives_an_interrupt_and_a_divergence():
    optimizer, callback = SGD(1.0), ReduceLROnPlateau(patience=1, factor=0.5)

    def poison(epoch):
        if epoch == 2:
            callback.model.parameters[:] = NAN

    with pytest.raises(DivergenceError):
        fit(net(), [Script([1, 1]), callback, Still(), LambdaCallback(on_epoch_begin=poison)],
            optimizer=optimizer)  # fmt: skip
    assert optimizer.lr == 0.5


# ---- functions as hooks --------------------------------------------------------------------------


def test_functions_are_called_with_what_their_hooks_get():
    calls = []

    def note(name):
        return lambda *arguments: calls.append((name, *arguments))

    names = [name for name in vars(Callback) if name.startswith("on_")]
    assert len(names) == 6
    history = fit(net(), [LambdaCallback(**{name: note(name) for name in names})], epochs=1)
    figures = {name: values[0] for name, values in history.items()}
    assert calls == [
        ("on_train_begin",), ("on_epoch_begin", 0), ("on_train_batch_begin", 0),
        ("on_train_batch_end", 0, {"loss": figures["loss"]}), ("on_epoch_end", 0, figures),
        ("on_train_end",),
    ]  # fmt: skip


def test_functions_see_the_model_and_the_optimizer_through_their_callback():
    model, optimizer, seen = net(), SGD(0.1), []
    callback = LambdaCallback(on_train_begin=lambda: seen.append(callback.model))
    callback = LambdaCallback(
        on_train_begin=lambda: seen.extend([callback.model, callback.optimizer])
    )
    fit(model, [callback], optimizer=optimizer, epochs=0)
    assert seen[0] is model
    assert seen[1] is optimizer


def test_other_hooks_are_refused():
    with pytest.raises(TypeError, match=r"no hook 'on_epoch_ends', only on_train_begin, .*_end\."):
        LambdaCallback(on_epoch_ends=print)
    with pytest.raises(TypeError, match="on_epoch_end must be a function, got 3"):
        LambdaCallback(on_epoch_end=3)
    with pytest.raises(TypeError):
        LambdaCallback(print)


# ---- an end without an error ---------------------------------------------------------------------


class Poison(Callback):
    def on_epoch_begin(self, epoch):
        if epoch == 2:
            self.model.parameters[0] = NAN


def test_training_ends_quietly_with_what_the_error_would_have_left():
    loud, quiet, watch = net(), net(), TerminateOnNaN()
    optimizers = Adam(0.1), Adam(0.1)
    with pytest.raises(DivergenceError) as caught:
        fit(loud, [Poison()], optimizer=optimizers[0])
    history = fit(quiet, [Poison(), watch], optimizer=optimizers[1])
    assert (watch.epoch, watch.message) == (2, str(caught.value))
    assert quiet.stop_training
    assert history is quiet.history
    assert history == loud.history
    assert history.epochs == [0, 1]
    assert same(loud.state_dict(), quiet)
    a, b = (optimizer.state_dict() for optimizer in optimizers)
    assert all(np.array_equal(a[name], b[name]) for name in a)


def test_the_best_weights_are_put_back_and_the_others_are_told():
    model, script, watch, log = net(), Script([3, 4]), TerminateOnNaN(), []
    end = LambdaCallback(on_train_end=lambda: log.append("end"))
    fit(model, [Poison(), watch, script, EarlyStopping(), end])
    assert same(script.states[0], model)
    assert log == ["end"]


def test_it_starts_afresh_and_is_silent_about_what_is_well():
    watch = TerminateOnNaN()
    assert watch.epoch is None
    fit(net(), [watch, Poison()])
    assert watch.epoch == 2
    assert len(fit(net(), [watch], epochs=4).epochs) == 4
    assert (watch.epoch, watch.message) == (None, None)


def test_other_errors_are_not_swallowed():
    def fail(epoch):
        raise FloatingPointError("mine")

    with pytest.raises(FloatingPointError, match="mine"):
        fit(net(), [TerminateOnNaN(), LambdaCallback(on_epoch_begin=fail)])


def test_it_ends_the_first_epoch_too():
    watch = TerminateOnNaN()
    assert fit(net(), [watch], optimizer=SGD(1e300), batch_size=4) == {}
    assert watch.epoch == 0
