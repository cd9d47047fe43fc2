"""A run that was stopped and resumed is the run that was never stopped: the same bits, and the same
memory of every callback, wherever it was stopped."""

from __future__ import annotations

import json
import math
import os
import shutil

import numpy as np
import pytest
from cases import OPTIMIZERS
from resume_helpers import RNG, X, Y, exact, fit, left, net

import chainrule as cr
from chainrule import (
    SGD,
    Accuracy,
    Adam,
    Callback,
    Checkpoint,
    ConfusionMatrix,
    CSVLogger,
    Dense,
    DivergenceError,
    EarlyStopping,
    LambdaCallback,
    Model,
    ProgressBar,
    ReduceLROnPlateau,
    TerminateOnNaN,
)

pytestmark = pytest.mark.usefixtures("folder")

NAN, INF = math.nan, math.inf


class Again:
    """A run that can be made anew, as the script of a new process would."""

    def __init__(
        self, optimizer=lambda: Adam(0.05), callbacks=list, model=net, last=False, **options
    ):
        self.make, self.options, self.last = (model, optimizer, callbacks), options, last

    def __call__(self, path="run.npz", resume=True, **options):
        model, optimizer, others = (make() for make in self.make)
        callbacks = [*others, Checkpoint(path)] if self.last else [Checkpoint(path), *others]
        fit(
            model, optimizer, callbacks, resume_from=path if resume else None,
            **(self.options | options),
        )  # fmt: skip
        return model, optimizer, callbacks

    def to(self, epochs, **options):
        return left(*self(epochs=epochs, **options))


def in_one_and_in_parts(again, stops=(1, 2, 4), epochs=6):
    """What a run leaves that goes through, and one that is stopped."""
    through = again.to(epochs, path="whole.npz")
    for stop in stops:
        again.to(stop)
    return through, again.to(epochs)


# ---- the same bits -------------------------------------------------------------------------------


@pytest.mark.parametrize("make", OPTIMIZERS.values(), ids=OPTIMIZERS)
def test_every_optimizer_goes_on(make):
    whole, parts = in_one_and_in_parts(Again(make), stops=[3], epochs=4)
    assert parts == whole


def stream(rng):
    for _ in range(3):
        rows = rng.integers(24, size=6)
        yield X[rows], Y[rows]


WAYS = {
    "plain": {},
    "float64": {"model": lambda: net(dtype="float64")},
    "not shuffled": {"shuffle": False},
    "all rows": {"batch_size": None},
    "accumulate": {"accumulate": 2},
    "workers": {"workers": 2},
    "rows held back": {"validation_split": 0.25, "metrics": [Accuracy(), ConfusionMatrix()]},
    "the last rows": {"validation_split": 0.25, "validation_from": "tail"},
    "validation data": {"validation_data": (X[:7], Y[:7])},
    "class weights": {"class_weight": "balanced", "validation_split": 0.25},
    "sample weights": {"sample_weight": RNG.random(24)},
    "rules": {"l1": 0.01, "decay": "weights", "clip_norm": 1.0, "max_norm": 2.0},
    "a schedule": {"optimizer": lambda: SGD(cr.LinearWarmup(cr.CosineDecay(0.1, 40), 9), 0.9)},
    "a function as a schedule": {"optimizer": lambda: SGD(lambda step: 0.1 / (1 + step))},
    "stream": {"x": stream, "y": None, "validation_data": lambda rng: list(stream(rng))},
    "list of batches": {"x": [(X[:9], Y[:9]), (X[9:], Y[9:])], "y": None, "steps_per_epoch": 2},
}


@pytest.mark.parametrize("options", WAYS.values(), ids=WAYS)
def test_stopped_at_any_epoch_it_goes_on(options):
    again = Again(**options)
    whole = again.to(6, path="whole.npz")
    for stop in range(1, 7):  # stopped after every epoch
        parts = again.to(stop)
    assert parts == whole


@pytest.mark.parametrize("stop", range(1, 6))
def test_from_every_epoch_it_is_the_same_way(stop):
    again = Again(validation_split=0.25, metrics=[Accuracy(), ConfusionMatrix()])
    whole = again(epochs=6, path="whole.npz")
    assert whole[0].history["val_confusion_matrix"][0].shape == (3, 3)  # arrays are compared too
    again.to(stop)
    assert again.to(6) == left(*whole)


def test_it_is_not_the_checkpoint_that_makes_the_run():
    model, optimizer = net(), Adam(0.05)
    fit(model, optimizer)
    assert left(model, optimizer) == Again().to(6)


def test_without_a_seed_the_file_brings_it():
    again = Again(model=lambda: net(seed=None), validation_split=0.25)
    again.to(2)
    shutil.copy("run.npz", "other.npz")
    through = again.to(6)
    again.to(4, path="other.npz")
    assert again.to(6, path="other.npz") == through


def test_a_model_that_was_loaded_goes_on():
    fit(net(), Adam(), epochs=2)
    net().save("base.npz")
    whole, parts = in_one_and_in_parts(Again(model=lambda: Model.load("base.npz")))
    assert parts == whole
    again = Again()
    again.to(3, path="a.npz")
    again.make = (lambda: Model.load("a.npz"), *again.make[1:])
    assert again.to(6, path="a.npz") == Again().to(6, path="another.npz")


def test_metadata_come_back_where_there_are_none(tmp_path):
    path, options = tmp_path / "run.npz", {"loss": cr.SoftmaxCrossEntropy(), "verbose": 0}
    for metadata, epochs, expected in (
        ({"a": 1}, 1, {"a": 1}),
        ({}, 2, {"a": 1}),
        ({"b": 2}, 3, {"b": 2}),
    ):
        model = net()
        model.metadata = metadata
        model.fit(X, Y, optimizer=Adam(), epochs=epochs, callbacks=[Checkpoint(path)],
                  resume_from=path, **options)  # fmt: skip
        assert model.metadata == Model.load(path).metadata == expected


def test_in_one_process_with_the_objects_that_were_used():
    whole = Again(callbacks=lambda: [EarlyStopping(patience=9)], validation_split=0.25)
    through = whole.to(6, path="whole.npz")
    model, optimizer, stopping = net(), Adam(0.05), EarlyStopping(patience=9)
    for epochs in (2, 4, 6):
        callbacks = [Checkpoint("run.npz"), stopping]
        fit(
            model, optimizer, callbacks, epochs=epochs, validation_split=0.25,
            resume_from="run.npz",
        )  # fmt: skip
    assert left(model, optimizer, callbacks) == through


def test_layers_of_every_kind_and_other_generators():
    def model():
        shared = Dense(4, 4)
        one = Model(
            Dense(3, 4), cr.Residual(shared, cr.Dropout(0.5)), shared, cr.PReLU(4),
            cr.LayerNorm((4,)), cr.Dropout(0.2), Dense(4, 3), seed=0,
        )  # fmt: skip
        one.layers[5].rng = np.random.Generator(np.random.MT19937(3))
        one.layers[1].children[1].rng = np.random.Generator(np.random.Philox(3))
        one.shuffle_rng = np.random.Generator(np.random.SFC64(3))
        return one

    whole, parts = in_one_and_in_parts(Again(model=model))
    assert parts == whole


def test_layers_that_are_freed_on_the_way_stay_free():
    class Thaw(Callback):
        def on_epoch_end(self, epoch, logs):
            if epoch == 1:
                self.model.layers[0].trainable = True

    def model():
        one = net()
        one.layers[0].trainable = False
        return one

    again = Again(model=model, callbacks=lambda: [Thaw()])
    whole, parts = in_one_and_in_parts(again)
    assert parts == whole
    assert whole["frozen"] == ("list", [])
    again.make = (net, *again.make[1:])
    again.to(6)  # as it is now
    again.make = (model, *again.make[1:])
    again.to(1, path="early.npz")
    again.make = (net, *again.make[1:])
    with pytest.raises(ValueError, match=r"frozen layers was \['0\.'\], and is \[\]"):
        again.to(6, path="early.npz")


# ---- the memory of callbacks ---------------------------------------------------------------------


class Script(Callback):
    """Put a figure in the place of the validation loss."""

    def __init__(self, values):
        self.values = values

    def on_epoch_end(self, epoch, logs):
        logs["val_loss"] = self.values[epoch]


VALUES = [5.0, 4.0, 4.5, NAN, 4.2, 3.0, 3.5, 3.6, 3.7, 3.8, 3.9, 1.0]
MEMORIES = {
    "EarlyStopping": (lambda: EarlyStopping(patience=4), 10),
    "EarlyStopping, last weights": (
        lambda: EarlyStopping(patience=4, restore_best_weights=False), 10,
    ),
    "EarlyStopping, late": (lambda: EarlyStopping(patience=2, start_from_epoch=4), 8),
    "ReduceLROnPlateau": (lambda: ReduceLROnPlateau(factor=0.5, patience=2, min_lr=0.002), 12),
    "ReduceLROnPlateau, cooldown": (lambda: ReduceLROnPlateau(patience=1, cooldown=2), 12),
    "CSVLogger": (lambda: CSVLogger("log.csv"), 12),
    "TerminateOnNaN": (lambda: TerminateOnNaN(), 12),
    "Checkpoint": (lambda: Checkpoint("best.npz", keep_best=True), 12),
    "Checkpoint, max": (lambda: Checkpoint("a.npz", 5, True, mode="max"), 12),
}  # fmt: skip


@pytest.mark.parametrize(("make", "epochs"), MEMORIES.values(), ids=MEMORIES)
@pytest.mark.parametrize("last", [False, True])
def test_the_memory_of_callbacks(make, epochs, last, folder):
    """A Checkpoint that stands first writes last all the same."""

    def callbacks():
        return [Script(VALUES), make()]

    again = Again(callbacks=callbacks, last=last, validation_split=0.25, batch_size=None)
    whole = again.to(12, path="whole.npz")
    files = {
        p.name: p.read_bytes() for p in folder.iterdir() if "log" in p.name or "best" in p.name
    }
    assert len(whole["history"][1][1][1]) == epochs
    for stop in (1, 3, 4, 7, 8, 9, 10, 12):
        parts = again.to(stop)
    assert parts == whole
    for name, content in files.items():
        assert (folder / name).read_bytes() == content


def test_early_stopping_ends_it_for_good_and_epochs_may_grow():
    def callbacks():
        return [Script(VALUES + VALUES), EarlyStopping(patience=4)]

    again = Again(callbacks=callbacks, validation_split=0.25)
    model, optimizer, (_, _, stopping) = again(epochs=12)
    assert (stopping.stopped_epoch, stopping.best_epoch, model.stop_training) == (9, 5, True)
    ended = left(model, optimizer, [stopping])
    best = model.parameters.copy()
    for epochs in (12, 24):
        model, optimizer, (_, _, stopping) = again(epochs=epochs)
        assert left(model, optimizer, [stopping]) == ended
    assert not np.array_equal(Model.load("run.npz").parameters, best)  # from before the best
    # one that ran to its last epoch goes on with the weights of that epoch, not with the best
    short = Again(callbacks=lambda: [Script(VALUES), EarlyStopping()], validation_split=0.25)
    through = short.to(6, path="b.npz")
    assert short.to(4, path="c.npz") == short.to(4, path="c.npz")
    assert short.to(6, path="c.npz") == through


def test_rates_that_fell_stay_down():
    again = Again(
        callbacks=lambda: [Script(VALUES), ReduceLROnPlateau(factor=0.5, patience=2)],
        validation_split=0.25,
    )
    again.to(5)
    _, optimizer, (_, _, plateau) = again(epochs=12)
    # figures without a better one: epochs 2 and 3; 6 and 7; 8 and 9
    assert plateau.reductions == [(3, 0.025), (7, 0.0125), (9, 0.00625)]
    assert optimizer.lr == 0.00625


def test_an_optimizer_whose_rate_fell_and_a_new_one_go_on_alike():
    again = Again(
        callbacks=lambda: [Script(VALUES), ReduceLROnPlateau(factor=0.5, patience=2)],
        validation_split=0.25,
    )
    whole = again.to(12, path="whole.npz")
    used = again(epochs=5)[1]
    assert used.lr == 0.025
    first = again.make
    again.make = (first[0], lambda: used, first[2])
    again.to(8)  # as after Ctrl-C
    again.make = first
    assert again.to(12) == whole


class Momentum(Callback):
    """Changes an option of the optimizer by a number that it draws."""

    def on_train_begin(self):
        self.rng = np.random.default_rng(1)
        self.drawn = []

    def on_epoch_end(self, epoch, logs):
        self.drawn.append(self.rng.random())
        self.optimizer.momentum = np.float64(self.drawn[-1])

    def state_dict(self):
        return {"rng": self.rng.bit_generator.state, "drawn": self.drawn}

    def load_state_dict(self, state):
        self.rng.bit_generator.state, self.drawn = state["rng"], state["drawn"]


def test_own_callbacks_and_what_they_change_of_the_optimizer():
    again = Again(lambda: SGD(0.1, 0.5), lambda: [Momentum()])
    whole = again(epochs=6, path="whole.npz")
    for stop in (1, 2, 4, 6):
        parts = again(epochs=stop)
    for one, other in zip(whole[:2], parts[:2], strict=True):
        assert repr(one) == repr(other)
    assert np.array_equal(whole[0].parameters, parts[0].parameters)
    assert whole[2][1].drawn == parts[2][1].drawn
    assert len(whole[2][1].drawn) == 6


def test_rows_behind_the_checkpoint_are_dropped_and_lost_ones_written_again(folder):
    log = folder / "log.csv"
    log.write_text("epoch,loss\n7,0.5\n")  # of an earlier run
    again = Again(callbacks=lambda: [CSVLogger("log.csv", append=True)])
    again.to(3)
    kept = log.read_text()
    assert kept.startswith("epoch,loss\n7,0.5\n0,")
    whole = again.to(5, path="whole.npz") and kept
    for content in (kept + "3,0.25\n4,0.1", kept[:-9], ""):
        log.write_text(content)
        shutil.copy("run.npz", "copy.npz")
        again.to(4, path="copy.npz")
        assert log.read_text().startswith(whole)
        assert [line.split(",")[0] for line in log.read_text().split()] == ["epoch", *"70123"]
    of_others = "epoch,loss\n1,2\n", kept + "0,0.25\n1,0.2\n", kept + "3,0.2\n4,0.1\n0,0.25\n"
    for content in of_others:  # of one alone, and of one that was appended since
        log.write_text(content)
        for epochs in (3, 4):
            with pytest.raises(ValueError, match="not the log of the run"):
                again.to(epochs)
        assert log.read_text() == content


def test_callbacks_that_only_look_on_may_come_and_go():
    whole = Again().to(4)
    again = Again(callbacks=lambda: [LambdaCallback(), ProgressBar()])
    os.remove("run.npz")
    again.to(2)
    assert Again().to(4) == whole
    again.to(5)


def test_a_thousand_layers_go_on():
    def deep():
        chain = Dense(3, 3)
        for i in range(999):  # each Sequential inside the next
            chain = cr.Sequential(chain, cr.ReLU() if i % 2 else Dense(3, 3, bias=False))
        return Model(chain, seed=0)

    parts = []
    for epochs in ((2,), (1, 2)):
        for last in epochs:
            model = deep()
            assert len(model.layers) == 1000
            path = f"{len(epochs)}.npz"
            fit(model, Adam(0.05), [Checkpoint(path)], epochs=last, resume_from=path)
        parts.append((model.parameters.tobytes(), str(model.history)))
    assert parts[0] == parts[1]


# ---- when a file is written ----------------------------------------------------------------------


@pytest.mark.parametrize(("every", "epochs", "written"), [(1, 3, [1, 2, 3]), (2, 5, [2, 4, 5]),
                                                          (9, 3, [3])])  # fmt: skip
def test_every_so_many_epochs_and_after_the_last(every, epochs, written):
    seen = []

    class Look(Callback):
        def on_epoch_begin(self, epoch):
            self.look()

        def look(self):
            if os.path.exists("run.npz"):
                done = Model.load("run.npz"), np.load("run.npz")["run"].tobytes()
                parts = json.loads(done[1])["parts"]
                if not seen or seen[-1] != parts["done"]:
                    seen.append(parts["done"])

        on_train_end = look

    fit(net(), Adam(), [Look(), Checkpoint("run.npz", every)], epochs=epochs)
    assert seen == written


def test_a_run_that_is_stopped_is_written_then():
    stop = LambdaCallback(on_epoch_end=lambda epoch, logs: setattr(model, "stop_training", True))
    model = net()
    fit(model, Adam(), [Checkpoint("run.npz", every=4), stop])
    assert np.array_equal(Model.load("run.npz").parameters, model.parameters)
    assert fit(model, Adam(), [Checkpoint("run.npz", every=4)], resume_from="run.npz").epochs == [0]
    assert model.stop_training


def test_a_checkpoint_is_the_model_as_of_its_epoch():
    states = []
    watch = LambdaCallback(on_epoch_end=lambda epoch, logs: states.append(model.state_dict()))
    model = net()
    model.layers[4].trainable = False
    fit(model, Adam(), [Checkpoint("run.npz", every=2), watch], epochs=3)
    loaded = Model.load("run.npz")
    assert exact(loaded.state_dict()) == exact(states[-1])
    assert not loaded.layers[4].trainable
    assert loaded.seed == 0


def test_a_best_model_that_is_no_longer_there_is_missed():
    """Which epoch was best is known from the run, its weights were in the other file alone."""

    def run(epochs):
        kept = Checkpoint("run.npz", keep_best=True, monitor="loss", mode="max")
        fit(net(), Adam(0.05), [kept], epochs=epochs, resume_from="run.npz")
        return kept

    assert run(2).best_epoch == 0  # the largest loss is that before training
    os.remove("run.best.npz")
    with pytest.warns(UserWarning, match=r"of epoch 1, is no longer at 'run\.best\.npz'"):
        run(3)


def test_the_best_model_has_a_file_of_its_own():
    states, kept = [], Checkpoint("run.npz", every=100, keep_best=True)
    watch = LambdaCallback(on_epoch_end=lambda epoch, logs: states.append(model.state_dict()))
    model = net()
    fit(model, Adam(), [Script(VALUES), watch, kept], epochs=8, validation_split=0.25)
    assert (kept.best, kept.best_epoch, kept.best_path) == (3.0, 5, "run.best.npz")
    assert exact(Model.load("run.best.npz").state_dict()) == exact(states[5])
    fit(net(), Adam(), [Checkpoint("last", keep_best=True, monitor="loss", mode="max")], epochs=2)
    assert {"last", "last.best"} < set(os.listdir())


@pytest.mark.parametrize("quiet", [[], [TerminateOnNaN()]])
def test_after_a_divergence_the_last_good_epoch_is_in_the_file(quiet):
    def poison(epoch):
        if epoch == 2:
            model.parameters[0] = NAN

    model = net()
    callbacks = [Checkpoint("run.npz"), LambdaCallback(on_epoch_begin=poison), *quiet]
    if quiet:
        assert fit(model, Adam(0.05), callbacks).epochs == [0, 1]
    else:
        with pytest.raises(DivergenceError):
            fit(model, Adam(0.05), callbacks)
    again = Again(callbacks=lambda: quiet)
    assert again.to(6) == again.to(6, path="whole.npz")


@pytest.mark.parametrize("hook", ["on_train_batch_end", "on_epoch_end", "on_epoch_begin"])
def test_after_ctrl_c_it_goes_on(hook):
    count = []

    def interrupt(*_):
        count.append(1)
        if len(count) == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fit(
            net(), Adam(0.05), [Checkpoint("run.npz"), LambdaCallback(**{hook: interrupt})],
            resume_from="run.npz",
        )  # fmt: skip
    assert Again().to(6) == Again().to(6, path="whole.npz")


def test_a_file_that_is_not_there_starts_afresh_and_so_does_none():
    whole = Again().to(3)
    model, optimizer = net(), Adam(0.05)
    fit(model, optimizer, [Checkpoint("new.npz")], epochs=3, resume_from="missing.npz")
    assert left(model, optimizer, []) | {"callbacks": whole["callbacks"]} == whole
    assert Again().to(3, resume=False) == whole
    assert not os.path.exists("missing.npz")


def test_a_run_may_be_resumed_without_being_written():
    Again().to(3)
    with open("run.npz", "rb") as file:
        before = file.read()
    model, optimizer = net(), Adam(0.05)
    fit(model, optimizer, resume_from="run.npz")
    assert left(model, optimizer) == Again().to(6, path="whole.npz")
    with open("run.npz", "rb") as file:
        assert file.read() == before


def test_paths_are_those_of_the_start(folder):
    (folder / "inside").mkdir()
    go = LambdaCallback(on_epoch_begin=lambda epoch: os.chdir(folder / "inside"))
    kept = Checkpoint("run.npz", keep_best=True, monitor="loss")
    fit(net(), Adam(), [kept, go], epochs=2)
    assert sorted(os.listdir(folder)) == ["inside", "run.best.npz", "run.npz"]
