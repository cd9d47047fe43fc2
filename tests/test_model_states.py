"""A model in any order of fit, freeze, assign, save, load, copy and wrong use, beside what must
hold: plain arrays, and a log whose replay on a fresh model gives the same bits."""

from __future__ import annotations

import copy
import functools
import pickle
import shutil
import tempfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, reject, seed, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)
from networks import generators

import chainrule as cr
from chainrule.parameters import unique, walk

same = np.testing.assert_array_equal
RNG = np.random.default_rng(7)
N = 10
NUMBERS, WORDS = RNG.normal(size=(N, 3)), RNG.integers(0, 5, (N, 3))


def shared():
    dense = cr.Dense(3, 3)
    return [dense, cr.Tanh(), cr.Residual(dense, cr.LayerNorm(3)), cr.Dense(3, 2)]


def nested():
    branch = cr.Sequential(cr.Dense(3, 2), cr.BatchNorm(2))
    parallel = cr.Parallel(cr.Dense(3, 2), branch, merge="concat")
    return [cr.Residual(cr.Dense(3, 3), cr.Dropout(0.2)), parallel, cr.PReLU(4), cr.Dense(4, 2)]


NETWORKS = {
    "chain": lambda: [
        cr.Dense(3, 4), cr.BatchNorm(4), cr.ReLU(), cr.Dropout(0.3), cr.Dense(4, 2)
    ],
    "nested": nested,
    "shared": shared,
    "words": lambda: [
        cr.Reshape(3), cr.Embedding(5, 2, padding_idx=0), cr.Flatten(), cr.Dropout(), cr.Dense(6, 2)
    ],
}  # fmt: skip
LOSSES = {
    "squares": (cr.MeanSquaredError(), RNG.normal(size=(N, 2))),
    "classes": (cr.SoftmaxCrossEntropy(label_smoothing=0.1), np.arange(N) % 2),
    "yes or no": (cr.BinaryCrossEntropy(), RNG.integers(0, 2, (N, 2))),
}
OPTIMIZERS = {
    "SGD": lambda: cr.SGD(0.01),
    "momentum": lambda: cr.SGD(cr.CosineDecay(0.01, 30), momentum=0.9, weight_decay=0.01),
    "Adam": lambda: cr.Adam(0.01),
    "AdamW": lambda: cr.AdamW(0.01, amsgrad=True),
    "RMSprop": lambda: cr.RMSprop(0.01, centered=True, momentum=0.5),
}
OPTIONS = (
    {}, {"clip_norm": 0.5}, {"clip_value": 0.1}, {"accumulate": 2}, {"max_norm": 0.7},
    {"l1": 0.01, "decay": "weights"}, {"shuffle": False}, {"validation_split": 0.3},
    {"class_weight": "balanced"}, {"workers": 2},
)  # fmt: skip
FITS = {
    "optimizer": st.sampled_from([*OPTIMIZERS]),
    "loss": st.sampled_from([*LOSSES]),
    "batch_size": st.sampled_from([3, 4, None]),
}


class World:
    """A model with its optimizers and files; each method is an operation that changes them."""

    def __init__(self, network, number, dtype):
        self.network, self.number, self.dtype = network, number, dtype
        self.x = WORDS if network == "words" else NUMBERS
        self.model = self.fresh()
        self.optimizers = {name: make() for name, make in OPTIMIZERS.items()}
        self.folder = Path(tempfile.mkdtemp())
        self.kept = {}
        self.exploded = False

    def fresh(self):
        return cr.Model(*NETWORKS[self.network](), seed=self.number, dtype=self.dtype)

    def fit(self, optimizer, loss, model=None, x=None, **options):
        formula, y = LOSSES[loss]
        model, x = model or self.model, self.x if x is None else x
        chosen = self.optimizers[optimizer]
        try:
            history = model.fit(x, y, loss=formula, optimizer=chosen, verbose=0, **options)
        except cr.DivergenceError:
            if np.isinf(x).any():
                raise
            self.exploded = True
            reject()  # weights and moments that were drawn together, and do not go together
        return [history.epochs, *history.items()]

    def interrupted(self, optimizer, loss, at):
        def stop(batch, logs):
            if batch == at:
                raise KeyboardInterrupt

        callback = cr.LambdaCallback(on_train_batch_end=stop)
        with pytest.raises(KeyboardInterrupt):
            self.fit(optimizer, loss, batch_size=4, callbacks=[callback])

    def train_on_batch(self, optimizer, loss, rows, x=None):
        (formula, y), x = LOSSES[loss], self.x if x is None else x
        chosen = self.optimizers[optimizer]
        return self.model.train_on_batch(x[rows], y[rows], loss=formula, optimizer=chosen)

    def diverge(self, optimizer, single):
        x = self.x.copy()
        x[-1] = np.inf
        use = self.train_on_batch if single else self.fit
        options = {"rows": slice(None)} if single else {"batch_size": 2, "shuffle": False}
        with pytest.raises(cr.DivergenceError):
            use(optimizer, "squares", x=x, **options)

    def freeze(self, i, frozen):
        layers = list(unique(self.model.layers).values())
        layers[i % len(layers)].trainable = not frozen

    def assign(self, name, values, way):
        position, key = name.rsplit(".", 1)
        layer = unique(self.model.layers)[f"{position}."]
        if way == "attribute":
            setattr(layer, key, values)
        elif way == "params":
            layer.params[key] = values
        elif way == "in place":
            getattr(layer, key)[...] = values
        else:
            self.model.named_parameters()[name][...] = values

    def assign_all(self, vector):
        self.model.parameters = vector

    def halve(self):
        self.model.parameters *= 0.5

    def keep(self, slot):
        self.kept[slot] = self.model.state_dict()

    def restore(self, slot):
        self.model.load_state_dict(self.kept[slot])

    def save(self, slot):
        self.model.save(self.folder / slot)

    def load(self, slot):
        self.model = cr.Model.load(self.folder / slot)

    def bits(self):
        """All that decides what a model does from now on."""
        states = [(name, o.state_dict()) for name, o in self.optimizers.items()]
        flags = [layer._trainable for _, layer in walk(self.model.layers)]
        return [bits_of(self.model), flags, states]


def bits_of(model):
    return [model.state_dict(), generators(model)]


def equal(one, other):
    """Whether nested values are the same to the bit; that holds for arrays in dictionaries."""
    return pickle.dumps(plain(one)) == pickle.dumps(plain(other))


def plain(value):
    if isinstance(value, dict):
        return [(key, plain(item)) for key, item in value.items()]
    if isinstance(value, (list, tuple)):
        return [plain(item) for item in value]
    if isinstance(value, np.ndarray):
        return [value.dtype.str, value.shape, value.tobytes()]
    return repr(value)


def wrong(world):
    """Uses that must be refused, and must change nothing."""
    model, adam, (mse, y) = world.model, world.optimizers["Adam"], LOSSES["squares"]
    name, array = next(iter(model.named_parameters().items()))
    state, x = model.state_dict(), world.x
    layer = next(layer for _, layer in walk(model.layers) if layer.parameter_shapes)
    fit = functools.partial(model.fit, x, y, loss=mse, optimizer=adam, verbose=0)
    return [
        lambda: fit(epochs=-1),
        lambda: fit(batch_size=0),
        lambda: fit(clip_norm=float("nan")),
        lambda: fit(clip_norm=1.0, clip_value=1.0),
        lambda: fit(validation_split=1.0),
        lambda: fit(metrics=[cr.Accuracy(), cr.Accuracy()]),
        lambda: fit(callbacks=[3]),
        lambda: fit(sample_weight=np.ones(3)),
        lambda: model.fit(x, y[:4], loss=mse, optimizer=adam),
        lambda: model.fit(x, y, loss="mse", optimizer=adam),
        lambda: model.fit(x, y, loss=mse, optimizer=cr.Adam),
        lambda: model.fit(x[:0], y[:0], loss=mse, optimizer=adam),
        lambda: model.train_on_batch(x, y[:, :1], loss=mse, optimizer=adam),
        lambda: model.train_on_batch(x, np.arange(N), optimizer=adam, loss=LOSSES["classes"][0]),
        lambda: model(x[:, :2]) if world.network != "words" else model(x + 9),
        lambda: model.predict("text"),
        lambda: model.evaluate(x, y, loss=mse, batch_size=-3),
        lambda: model.backward(np.ones((N, 5)), model.forward(x)[1]),
        lambda: model.backward(np.ones((N, 2)), None),
        lambda: model.load_state_dict({}),
        lambda: model.load_state_dict({**state, name: np.ones((9, 9))}),
        lambda: model.load_state_dict({**state, [*state][-1]: "text"}),
        lambda: setattr(model, "parameters", np.ones(model.num_parameters + 1)),
        lambda: setattr(layer, name.rsplit(".", 1)[1], np.ones((*array.shape, 2))),
        lambda: setattr(layer, "trainable", 1),
        lambda: delattr(layer, name.rsplit(".", 1)[1]),
        lambda: model.layers[-1].add_parameter("new", (2,)),
        lambda: cr.Model(*model.layers),
        lambda: cr.Model.load(__file__),
        lambda: adam.load_state_dict({"steps": -1}),
        lambda: cr.gradcheck(model, "text"),
    ]


class ModelStates(RuleBasedStateMachine):
    """The model under test in `world`; beside it what must hold, as plain values."""

    @initialize(
        network=st.sampled_from([*NETWORKS]),
        number=st.integers(0, 2**32),
        dtype=st.sampled_from(["float32", "float64"]),
        frozen=st.sets(st.integers(0, 9), max_size=3),
    )
    def begin(self, network, number, dtype, frozen):
        self.start = network, number, dtype
        self.world = World(*self.start)
        self.log, self.results = [], []
        self.left = []  # models that were copied, with the bits that they had then
        self.arrays = self.world.model.state_dict()
        self.frozen = {name: False for name, _ in walk(self.world.model.layers)}
        self.steps = dict.fromkeys(OPTIMIZERS, 0)
        self.files, self.kept = {}, {}
        for i in sorted(frozen):
            self.freeze(i, True)

    @property
    def model(self):
        return self.world.model

    def do(self, operation, /, **options):
        """Do it, and note it down for the replay."""
        result = getattr(self.world, operation)(**options)
        self.log.append((operation, options))
        self.results.append(result)
        return result

    def trained(self, optimizer, steps):
        """After so many steps: what is frozen did not move, and the rest is taken over."""
        self.steps[optimizer] += steps
        now, moved = self.model.state_dict(), []
        for name, layer in unique(self.model.layers).items():
            for key in (*layer.parameter_shapes, *layer.own_buffers()):
                if self.frozen[name]:
                    same(now[name + key], self.arrays[name + key])
                elif (now[name + key] != self.arrays[name + key]).any():
                    moved.append(name + key)
        learns = any(not self.frozen[name.rsplit(".", 1)[0] + "."] for name in self.arrays)
        assert bool(moved) == (learns and steps > 0)
        self.arrays = now

    # ---- what trains ----------------------------------------------------------------------------

    @rule(
        **FITS,
        options=st.sampled_from(OPTIONS),
        initial_epoch=st.integers(0, 2),
        more=st.integers(0, 2),
    )
    def fit(self, optimizer, loss, batch_size, options, initial_epoch, more):
        if "class_weight" in options:
            loss = "classes"
        epochs, rows = initial_epoch + more, 7 if "validation_split" in options else N
        figures = self.do(
            "fit", optimizer=optimizer, loss=loss, batch_size=batch_size, epochs=epochs,
            initial_epoch=initial_epoch, **options,
        )  # fmt: skip
        names = ["loss", "val_loss"] if "validation_split" in options else ["loss"]
        assert figures[0] == list(range(initial_epoch, epochs))
        if more:
            assert [(name, len(values)) for name, values in figures[1:]] == [
                (name, more) for name in names
            ]
        batches = -(-rows // (batch_size or rows))
        self.trained(optimizer, more * -(-batches // options.get("accumulate", 1)))

    @rule(optimizer=FITS["optimizer"], loss=FITS["loss"], at=st.integers(0, 2))
    def interrupt(self, optimizer, loss, at):
        self.do("interrupted", optimizer=optimizer, loss=loss, at=at)
        self.trained(optimizer, at + 1)

    @rule(optimizer=FITS["optimizer"], loss=FITS["loss"], rows=st.sampled_from([[3], [0, 1, 7]]))
    def train_on_batch(self, optimizer, loss, rows):
        twin, (formula, y) = copy.deepcopy(self.model), LOSSES[loss]
        y_twin, caches = twin.forward(self.world.x[rows], training=True)
        value, dy = formula(y_twin, y[rows])
        twin.backward(dy, caches)
        assert self.do("train_on_batch", optimizer=optimizer, loss=loss, rows=rows) == value
        same(self.model.gradients, twin.gradients)
        if optimizer == "SGD":
            expected = twin.parameters - 0.01 * twin.gradients
            np.testing.assert_allclose(self.model.parameters, expected, rtol=1e-5, atol=1e-7)
            self.arrays = self.model.state_dict()  # a gradient may be zero, as behind dropout
            self.steps[optimizer] += 1
        else:
            self.arrays |= {k: v for k, v in self.model.state_dict().items() if self.learns(k)}
            self.steps[optimizer] += 1

    def learns(self, name):
        return not self.frozen[name.rsplit(".", 1)[0] + "."]

    @precondition(lambda self: self.start[0] != "words")
    @rule(optimizer=FITS["optimizer"], single=st.booleans())
    def diverge(self, optimizer, single):
        """Arrays and optimizer are as before the step or epoch: nothing to take over."""
        before = self.world.optimizers[optimizer].state_dict()
        self.do("diverge", optimizer=optimizer, single=single)
        assert equal(self.world.optimizers[optimizer].state_dict(), before)

    # ---- what sets ------------------------------------------------------------------------------

    @rule(i=st.integers(0, 9), frozen=st.booleans())
    def freeze(self, i, frozen):
        self.do("freeze", i=i, frozen=frozen)
        names = [*unique(self.model.layers)]
        prefix = names[i % len(names)]
        inside = [layer for name, layer in walk(self.model.layers) if name.startswith(prefix)]
        for name, layer in walk(self.model.layers):
            if any(layer is other for other in inside):
                self.frozen[name] = frozen

    @rule(
        i=st.integers(0, 99),
        number=st.integers(0, 9),
        way=st.sampled_from(["attribute", "params", "in place", "named"]),
    )
    def assign(self, i, number, way):
        names = [*self.model.named_parameters()]
        name = names[i % len(names)]
        values = np.random.default_rng(number).normal(size=self.arrays[name].shape)
        self.do("assign", name=name, values=values, way=way)
        self.arrays[name] = values.astype(self.start[2])

    @rule(number=st.integers(0, 9))
    def assign_all(self, number):
        vector = np.random.default_rng(number).normal(size=self.model.num_parameters)
        if number:
            self.do("assign_all", vector=vector)
        else:
            self.do("halve")
        begin = 0
        for name in self.model.named_parameters():
            before = self.arrays[name]
            part = vector[begin : begin + before.size]
            begin += part.size
            self.arrays[name] = part.reshape(before.shape).astype(before.dtype)
            if not number:
                self.arrays[name] = before / before.dtype.type(2)

    @rule(slot=st.sampled_from("ab"), keep=st.booleans())
    def keep_or_restore(self, slot, keep):
        if keep:
            self.do("keep", slot=slot)
            self.kept[slot] = copy.deepcopy(self.arrays)
        elif slot in self.kept:
            self.do("restore", slot=slot)
            self.arrays = copy.deepcopy(self.kept[slot])

    # ---- files and copies -----------------------------------------------------------------------

    @rule(slot=st.sampled_from("ab"), load=st.booleans(), **FITS)
    def save_or_load(self, slot, load, optimizer, loss, batch_size):
        """A loaded model behaves as a fresh one of the same seed that was given these arrays."""
        if not load or slot not in self.files:
            self.do("save", slot=slot)
            self.files[slot] = copy.deepcopy((self.arrays, self.frozen))
        if not load:
            return
        self.left = [*self.left[-2:], (self.model, bits_of(self.model))]
        self.do("load", slot=slot)
        self.arrays, self.frozen = copy.deepcopy(self.files[slot])
        assert self.model.seed == self.start[1]
        fresh = self.world.fresh()
        fresh.load_state_dict(self.arrays)
        for (name, one), (_, other) in zip(
            walk(fresh.layers), walk(self.model.layers), strict=True
        ):
            one.__dict__["_trainable"] = not self.frozen[name]
            if one.parameter_shapes:  # these have drawn, and will not draw again
                one.rng.bit_generator.state = other.rng.bit_generator.state
        self.alike(fresh, copy.deepcopy(self.model), optimizer, loss, batch_size)

    @rule(way=st.sampled_from([copy.copy, copy.deepcopy, "pickle"]), **FITS)
    def copy(self, way, optimizer, loss, batch_size):
        """Go on with a copy: the replay, which makes none, must not notice."""
        old = self.model
        before = bits_of(old)
        new = pickle.loads(pickle.dumps(old)) if way == "pickle" else way(old)
        same(new.gradients, old.gradients)
        assert new.history == old.history
        self.alike(copy.deepcopy(old), copy.deepcopy(new), optimizer, loss, batch_size)
        assert equal(bits_of(old), before)
        self.left = [*self.left[-2:], (old, before)]
        self.world.model = new

    def alike(self, one, other, optimizer, loss, batch_size):
        """Two models train to the same bits, with the same figures."""
        results = []
        for model in (one, other):
            trial = copy.copy(self.world)
            trial.optimizers = copy.deepcopy(self.world.optimizers)
            options = {"epochs": 2, "batch_size": batch_size, "model": model}
            figures = trial.fit(optimizer, loss, validation_split=0.2, **options)
            results.append([figures, bits_of(model), trial.optimizers[optimizer].state_dict()])
        assert equal(*results)

    @rule(**FITS, first=st.integers(0, 2), second=st.integers(1, 2))
    def go_on_with_initial_epoch(self, optimizer, loss, batch_size, first, second):
        """Two fits in a row are one, to the bit."""
        results = []
        for parts in ([(0, first + second)], [(0, first), (first, first + second)]):
            trial = copy.copy(self.world)
            trial.model, trial.optimizers = copy.deepcopy((self.model, self.world.optimizers))
            losses = []
            for begin, end in parts:
                figures = trial.fit(
                    optimizer, loss, batch_size=batch_size, epochs=end, initial_epoch=begin
                )
                losses += dict(figures[1:]).get("loss", [])
            results.append([losses, trial.bits()])
        assert equal(*results)

    # ---- what changes nothing -------------------------------------------------------------------

    def everything(self):
        model = self.model
        history = [model.history, model.history.epochs]
        return [self.world.bits(), model.gradients.copy(), history, model.stop_training]

    @rule(loss=FITS["loss"])
    def look(self, loss):
        before, model, x = self.everything(), self.model, self.world.x
        formula, y = LOSSES[loss]
        predictions = model(x)
        same(model.predict(x, batch_size=N), predictions)
        same(model.activations(x)[-1], predictions)
        figures = model.evaluate(x, y, loss=formula, batch_size=None)
        assert figures["loss"] == pytest.approx(formula(predictions, y)[0], rel=1e-5)
        assert model.test_on_batch(x, y, loss=formula) == figures["loss"]
        frozen = all(flag for name, flag in self.frozen.items())
        assert f"{model.num_parameters if not frozen else 0:,}" in str(model.summary())
        repr(model)
        assert equal(self.everything(), before)

    @rule(optimizer=FITS["optimizer"])
    def look_for_a_rate(self, optimizer):
        before, (formula, y) = self.everything(), LOSSES["squares"]
        chosen = self.world.optimizers[optimizer]
        if not all(self.frozen.values()):
            cr.find_lr(self.model, self.world.x, y, loss=formula, optimizer=chosen, steps=20,
                       high=0.1)  # fmt: skip
        assert equal(self.everything(), before)

    @rule(i=st.integers(0, 999))
    def use_wrongly(self, i):
        before, uses = self.everything(), wrong(self.world)
        with pytest.raises((TypeError, ValueError, AttributeError)):
            uses[i % len(uses)]()
        assert equal(self.everything(), before)

    # ---- what always holds ----------------------------------------------------------------------

    @invariant()
    def arrays_are_as_they_must_be(self):
        now = self.model.state_dict()
        assert now.keys() == self.arrays.keys()
        for name, array in self.arrays.items():
            assert now[name].dtype == self.start[2]
            same(now[name], array)
        assert {n: not layer._trainable for n, layer in walk(self.model.layers)} == self.frozen
        steps = {name: o.steps for name, o in self.world.optimizers.items()}
        assert steps == self.steps

    @invariant()
    def views_are_tied(self):
        model, names, flat = self.model, self.model.named_parameters(), []
        for name, layer in unique(model.layers).items():
            assert layer.owner_model is model
            for key in layer.parameter_shapes:
                for view in (getattr(layer, key), layer.params[key], names[name + key]):
                    assert np.shares_memory(view, model.parameters)
                    same(view, self.arrays[name + key])
                flat.append(getattr(layer, key).ravel())
            for key, buffer in layer.own_buffers().items():
                assert buffer is model.named_buffers()[name + key]
                assert any(buffer is other for other in model.buffers)
        same(np.concatenate(flat), model.parameters)
        for view in model.named_gradients().values():
            assert np.shares_memory(view, model.gradients)

    @invariant()
    def what_was_copied_is_left_alone(self):
        for model, bits in self.left:
            assert equal(bits_of(model), bits)

    def teardown(self):
        """Replay what changes something, and nothing else, on a fresh model: the same bits."""
        if not hasattr(self, "world") or self.world.exploded:
            return
        again = World(*self.start)
        try:
            for (name, options), result in zip(self.log, self.results, strict=True):
                assert equal(getattr(again, name)(**options), result), name
            assert equal(again.bits(), self.world.bits())
        finally:
            for world in (self.world, again):
                shutil.rmtree(world.folder)


@pytest.mark.parametrize(
    ("number", "examples", "steps"),
    [(1, 20, 25), pytest.param(2, 60, 40, marks=pytest.mark.slow)],
)
def test_a_model_in_any_order_of_use(number, examples, steps):
    machine = seed(number)(ModelStates)
    limits = settings(
        max_examples=examples,
        stateful_step_count=steps,
        suppress_health_check=list(HealthCheck),
    )
    run_state_machine_as_test(machine, settings=limits)
