"""What is refused must be refused with a sentence that names the thing, what was expected and what
came. One table holds the wrong uses; a raw error of NumPy or of Python counts as a failure.
"""

from __future__ import annotations

import inspect

import numpy as np
import pytest
from unchanged import Watch, picture, watching
from wrong_use_data import DATA_ROWS
from wrong_use_metrics import METRIC_ROWS
from wrong_use_rates import RATE_ROWS
from wrong_use_rows import (
    FLAGS,
    INF,
    LAYER_ROWS,
    LOSS_ROWS,
    NAN,
    RATES,
    SIZES,
    TE,
    VE,
    X,
    Y,
    each,
    fit,
    net,
    numbers,
    row,
    table,
)

import chainrule as cr
from chainrule import initializers
from chainrule.layer import registry


def step(optimizer, *sizes, dtypes=("float64", "float64")):
    for size in sizes:
        optimizer.step(np.ones(size, dtypes[0]), np.ones(size, dtypes[1]))


PLATEAU = {
    "monitor": [(3, TE), (None, TE)],
    "factor": [*RATES, (1, VE)],
    "patience": SIZES[1:],
    "mode": [("low", VE), (None, VE)],
    "min_delta": RATES,
    "cooldown": SIZES[1:],
    "min_lr": RATES,
}


class OwnScale(cr.Layer):
    """A right layer with one argument."""

    def __init__(self, features, keep=True):
        super().__init__()
        if keep:
            self.features, self.keep = features, keep
        self.add_parameter("s", (features,), initializers.ones)

    def forward(self, x, training=False):
        return x * self.s, x

    def backward(self, dy, x, out=None, need_dx=True):
        return dy * self.s, {"s": (dy * x).sum(axis=0)}


class Forgets(OwnScale):
    def __init__(self):
        pass


class ForgetsAndSets(OwnScale):
    def __init__(self):
        self.features = 2


def twice_in_models():
    layer = cr.Dense(2, 2)
    first = net(layer)
    return first, net(layer)


def load_state(change):
    model = net()
    state = model.state_dict()
    change(state)
    model.load_state_dict(state)


def back(dy):
    model = net()
    return model.backward(dy, model.forward(X)[1])


def save(layer):
    net(layer).save("never-written.npz")


BELOW_ONE = [*RATES, (1, VE), (1.5, VE)]
BETAS = [((0.9, 1.0), VE), ((-0.1, 0.9), VE), ((NAN, 0.9), VE), ((0.9, INF), VE), (0.9, TE),
         ((0.9,), TE), ((0.9, 0.9, 0.9), TE), (("a", 0.9), TE), ((None, 0.9), TE),
         ((True, 0.9), TE), ("ab", TE), (None, TE)]  # fmt: skip
# Each with the names of its options that are numbers from 0 on.
OPTIMIZERS = {
    cr.SGD: ["lr", "momentum", "weight_decay"],
    cr.Adagrad: ["lr", "lr_decay", "weight_decay", "initial_accumulator_value", "eps"],
    cr.Adadelta: ["lr", "eps", "weight_decay"],
    cr.RMSprop: ["lr", "eps", "weight_decay", "momentum"],
    cr.Adam: ["lr", "eps", "weight_decay"],
    cr.AdamW: ["lr", "eps", "weight_decay"],
    cr.Adamax: ["lr", "eps", "weight_decay"],
    cr.NAdam: ["lr", "eps", "weight_decay", "momentum_decay"],
    cr.RAdam: ["lr", "eps", "weight_decay"],
}
V = np.ones(2)

ROWS = [
    *LAYER_ROWS,
    *LOSS_ROWS,
    *RATE_ROWS,
    *DATA_ROWS,
    # ---- own layers
    row("Layer: forgets super, sets", ForgetsAndSets, RuntimeError, "super().__init__()"),
    row("Layer: forgets super, Model", lambda: net(Forgets()), RuntimeError, "super()"),
    row("Layer: forgets super, check", lambda: cr.gradcheck(Forgets(), X), RuntimeError, "super()"),
    row("Layer: forgets super, run", lambda: Forgets().forward(X), RuntimeError, "super()"),
    row("Layer: keeps no attribute", lambda: save(cr.register_layer(OwnScale)(2, keep=False)), TE,
        "self.features = features"),
    row("Layer: not registered", lambda: save(type("Unknown", (OwnScale,), {})(2)), TE,
        "register_layer"),
    row("Layer: no forward", lambda: net(cr.Layer())(X), NotImplementedError, "no forward"),
    row("Layer: name", lambda: cr.Layer().add_parameter("params", (2,)), VE, "cannot name"),
    row("Layer: shape -1", lambda: OwnScale(-1).s, VE, "each size of s"),
    row("Layer: shape 2.5", lambda: OwnScale(2.5).s, TE, "each size of s"),
    row("Layer: shape no tuple", lambda: cr.Layer().add_parameter("s", 3), TE, "shape"),
    *table("register_layer:", cr.register_layer, [
        ("number", 3, TE, "derived from Layer"),
        ("class", dict, TE, "derived from Layer"),
        ("instance", cr.ReLU(), TE, "class"),
        ("taken", type("Dense", (cr.Layer,), {}), VE, "taken"),
    ]),
    *METRIC_ROWS,
    # ---- optimizers
    *numbers([
        *((kind, (0.1,) if name != "lr" else (), name, RATES, "[0, inf)")
          for kind, names in OPTIMIZERS.items() for name in names),
        (cr.SGD, (0.1,), "dampening", RATES[1:], "(-inf, inf)"),
        (cr.RMSprop, (), "alpha", BELOW_ONE, "[0, 1)"),
        (cr.Adadelta, (), "rho", BELOW_ONE, "[0, 1)"),
    ]),
    row("SGD: nesterov alone", lambda: cr.SGD(0.1, nesterov=True), VE, "needs a momentum"),
    row("SGD: nesterov dampened", lambda: cr.SGD(1, 0.9, 0.1, nesterov=True), VE, "dampening of 0"),
    *[
        one
        for kind in (cr.Adam, cr.AdamW, cr.Adamax, cr.NAdam, cr.RAdam)
        for one in each(f"{kind.__name__}: betas", lambda v, kind=kind: kind(betas=v), BETAS,
                        f"{kind.__name__}: betas must be a")
    ],
    *[
        one
        for kind, flag in [(cr.SGD, "nesterov"), (cr.RMSprop, "centered"), (cr.Adam, "amsgrad"),
                           (cr.AdamW, "amsgrad"), (cr.NAdam, "decoupled_weight_decay"),
                           (cr.RAdam, "decoupled_weight_decay")]
        for one in each(f"{kind.__name__}: {flag}", lambda v, kind=kind, flag=flag: kind(
            lr=0.1, **{flag: v}), FLAGS, f"{flag} must be True or False, got")
    ],
    row("SGD: another size", lambda: step(cr.SGD(0.1, 0.9), 3, 4), VE, "use a new optimizer"),
    *[
        row(f"{kind.__name__}: {what}", lambda kind=kind, use=use: use(kind()), error, piece)
        for kind in list(OPTIMIZERS)[1:]
        for what, use, error, piece in [
            ("another size", lambda o: step(o, 3, 4), VE, "3 parameters of float64, got 4"),
            ("float32 and float64", lambda o: step(o, 3, dtypes=("float32", "float64")), VE,
             "one size and dtype"),
            ("integers", lambda o: step(o, 3, dtypes=("int64", "int64")), TE, "be floats"),
            ("matrix", lambda o: step(o, (2, 2)), VE, "flat vectors"),
            ("lists", lambda o: o.step([1.0], [1.0]), TE, "NumPy arrays"),
            ("state empty", lambda o: o.load_state_dict({}), VE, "must be a count, got None"),
            ("state -1", lambda o: o.load_state_dict({"steps": -1}), VE, "must be a count, got -1"),
            ("state True", lambda o: o.load_state_dict({"steps": True}), VE, "must be a count"),
            ("state None", lambda o: o.load_state_dict(None), TE, "expected the dict"),
            ("state without vectors", lambda o: o.load_state_dict({"steps": 1}), VE,
             "the state has the vectors [], expected ["),
        ]
    ],
    *each("SGD: schedule gives", lambda v: step(cr.SGD(lambda step: v), 3),
          [(NAN, VE), (INF, VE), (-0.1, VE), (None, VE), ("0.1", VE)], "schedule gave the rate"),
    *each("RAdam: schedule gives", lambda v: step(cr.RAdam(lambda step: v), 3),
          [(NAN, VE), (-0.1, VE), (None, VE)], "schedule gave the rate"),
    *table("Adam: state", lambda v: cr.Adam().load_state_dict({"steps": 1, **v}), [
        ("missing", {"m": V}, VE, "has the vectors ['m'], expected ['m', 'v']"),
        ("sizes", {"m": V, "v": np.ones(3)}, VE, "one size"),
        ("text", {"m": ["a"], "v": ["b"]}, TE, "m must be real numbers"),
        ("ragged", {"m": [[1], [1, 2]], "v": np.ones(2)}, VE, "m must be an array of numbers"),
        ("number as a key", {3: np.ones(2), "v": np.ones(2)}, VE, "the vectors [3, 'v']"),
    ]),
    *table("RMSprop: state, centred,", lambda v: cr.RMSprop(centered=True).load_state_dict(v), [
        ("without a", {"steps": 1, "v": V}, VE, "has the vectors ['v'], expected ['a', 'v']"),
        ("with b", {"steps": 1, "v": V, "a": V, "b": V}, VE, "expected ['a', 'v']"),
        ("of Adam", {"steps": 1, "v": V, "m": V}, VE, "['m', 'v'], expected ['a', 'v']"),
        ("unknown at 0", {"steps": 0, "b": V}, VE, "has the vectors ['b'], expected ['a', 'v']"),
        ("sizes", {"steps": 1, "v": V, "a": np.ones(3)}, VE, "flat, of one size and float dtype"),
        ("dtypes", {"steps": 1, "v": V, "a": np.ones(2, "f4")}, VE, "float64 (2,), a float32"),
        ("matrices", {"steps": 1, "v": X, "a": X}, VE, "must be flat"),
        ("integers", {"steps": 1, "v": Y, "a": Y}, VE, "must be flat"),
    ]),
    row("RMSprop: state of the centred", lambda: cr.RMSprop().load_state_dict(
        {"steps": 1, "v": V, "a": V}), VE, "has the vectors ['a', 'v'], expected ['v']"),
    row("AdamW: state without v_max", lambda: cr.AdamW(amsgrad=True).load_state_dict(
        {"steps": 1, "m": V, "v": V}), VE, "expected ['m', 'v', 'v_max']"),
    # ---- callbacks
    *each("EarlyStopping: patience", lambda v: cr.EarlyStopping(patience=v), SIZES[1:], "patience"),
    *each("EarlyStopping: delta", lambda v: cr.EarlyStopping(min_delta=v), RATES, "min_delta"),
    row("EarlyStopping: mode", lambda: cr.EarlyStopping(mode="low"), VE, '"auto"'),
    row("EarlyStopping: monitor 3", lambda: cr.EarlyStopping(3), TE, "must be a name"),
    row("EarlyStopping: monitor", lambda: fit(callbacks=[cr.EarlyStopping()]), VE, "no 'val_loss'"),
    *[
        row
        for name, values in PLATEAU.items()
        for row in each(f"ReduceLROnPlateau: {name}", lambda v, name=name: cr.ReduceLROnPlateau(
            **{name: v}), values, name)
    ],
    row("LambdaCallback: hook", lambda: cr.LambdaCallback(on_end=print), TE, "no hook 'on_end'"),
    row("LambdaCallback: 3", lambda: cr.LambdaCallback(on_train_end=3), TE, "must be a function"),
    *each("Checkpoint: path", cr.Checkpoint, [(3, TE), (None, TE)], "path must be that of a file"),
    *each("Checkpoint: every", lambda v: cr.Checkpoint("a", every=v), SIZES[1:], "every must be"),
    *each("Checkpoint: keep_best", lambda v: cr.Checkpoint("a", keep_best=v), FLAGS, "keep_best"),
    row("Checkpoint: mode", lambda: cr.Checkpoint("a", mode="low"), VE, '"auto"'),
    row("Checkpoint: monitor 3", lambda: cr.Checkpoint("a", monitor=3), TE, "must be a name"),
    row("Checkpoint: monitor", lambda: fit(callbacks=[cr.Checkpoint("a", keep_best=True)]), VE,
        "no 'val_loss'"),
    *each("CSVLogger: append", lambda v: cr.CSVLogger("a", v), FLAGS, "append must be True"),
    *each("ProgressBar: every", cr.ProgressBar, RATES, "every must be a number"),
    # ---- model
    row("Model: none", lambda: cr.Model(), VE, "at least one layer"),
    row("Model: an empty Sequential", lambda: fit(net(cr.Sequential())), VE, "one layer"),
    row("Model: chain", lambda: net(cr.Dense(2, 3), cr.Dense(4, 1)), VE, "Layers 0 and 1 do not"),
    row("Model: dtype float16", lambda: net(dtype="float16"), VE, '"float64"'),
    row("Model: dtype text", lambda: net(dtype="banana"), VE, '"float64"'),
    row("Model: dtype None", lambda: net(dtype=None), VE, '"float64"'),
    *each("Model: seed", lambda v: cr.Model(cr.Tanh(), seed=v), SIZES[1:], "seed must be"),
    row("Model: layer of another", lambda: twice_in_models(), VE, "copy.deepcopy"),
    *table("Model: x", lambda v: net()(v), [
        ("width", np.ones((3, 5)), VE, "(..., 2)"),
        ("one row", np.ones(2), VE, "x[None]"),
        ("number", 1.0, VE, "batch axis"),
        ("text", [["a", "b"]], TE, "real numbers"),
        ("objects", [[None, 1]], TE, "real numbers"),
        ("complex", X + 1j, TE, "real numbers"),
        ("ragged", [[1, 2], [3]], VE, "x"),
    ]),
    row("Model: dy", lambda: back(np.ones((4, 3))), VE, "(4, 2)"),
    row("Model: caches", lambda: net().backward(np.ones((4, 2)), []), TE, "caches"),
    *table("Model: state", lambda change: load_state(change), [
        ("missing", lambda s: s.pop("0.W"), VE, "missing ['0.W']"),
        ("unknown", lambda s: s.update({"9.W": 1}), VE, "unknown ['9.W']"),
        ("shape", lambda s: s.update({"0.b": np.ones(2)}), VE, "0.b must have shape (3,)"),
        ("text", lambda s: s.update({"0.b": "abc"}), TE, "0.b must be real numbers"),
        ("number as a key", lambda s: s.update({0: 1, "a": 1}), VE, "unknown [0, 'a']"),
    ]),
    row("Model: state None", lambda: net().load_state_dict(None), TE, "state"),
    row("Model: foreign file", lambda: cr.Model.load(__file__), VE, "not a model file"),
    row("Model: no file", lambda: cr.Model.load("no-such.npz"), FileNotFoundError, "no-such.npz"),
    # ---- fit, evaluate, predict
    *table("Model: fit", lambda options: fit(**options), [
        ("lengths", {"y": Y[:3]}, VE, "x has 4 rows, but y has 3 rows"),
        ("empty", {"x": X[:0], "y": Y[:0]}, VE, "empty"),
        ("y None", {"y": None}, TE, "y is missing"),
        ("x text", {"x": ["a"] * 4}, TE, "real numbers"),
        ("labels", {"y": Y + 1}, VE, "from 0 to 1"),
        ("epochs -1", {"epochs": -1}, VE, "epochs"),
        ("epochs 1.5", {"epochs": 1.5}, TE, "epochs"),
        ("initial_epoch", {"initial_epoch": -1}, VE, "initial_epoch"),
        ("resume_from", {"resume_from": 3}, TE, "must be the path of a file, got 3"),
        ("both epochs", {"resume_from": "no-such", "initial_epoch": 2}, VE, "no initial_epoch"),
        ("shuffle", {"shuffle": "yes"}, TE, "True or False"),
        ("verbose", {"verbose": 7}, VE, "verbose"),
        ("split 1", {"validation_split": 1.0}, VE, "validation_split"),
        ("split NaN", {"validation_split": NAN}, VE, "validation_split"),
        ("both", {"validation_split": 0.5, "validation_data": (X, Y)}, VE, "not both"),
        ("validation x alone", {"validation_data": X}, TE, "must be (x, y)"),
        ("validation y", {"validation_data": (X, Y[:2])}, VE, "validation_data"),
        ("loss text", {"loss": "mse"}, TE, "loss=SoftmaxCrossEntropy()"),
        ("loss class", {"loss": cr.MeanSquaredError}, TE, "loss=MeanSquaredError()"),
        ("optimizer text", {"optimizer": "adam"}, TE, "optimizer=Adam("),
        ("optimizer class", {"optimizer": cr.SGD}, TE, "optimizer=SGD("),
        ("metric text", {"metrics": "accuracy"}, TE, "metrics=[...]"),
        ("metric texts", {"metrics": ["accuracy"]}, TE, "metrics=[Accuracy()]"),
        ("metric class", {"metrics": [cr.Accuracy]}, TE, "write Accuracy()"),
        ("metric alone", {"metrics": cr.Accuracy()}, TE, "metrics=[...]"),
        ("callback class", {"callbacks": [cr.ProgressBar]}, TE, "write ProgressBar()"),
        ("callback alone", {"callbacks": cr.ProgressBar()}, TE, "callbacks=[...]"),
        ("weights", {"sample_weight": [1, 1, 1]}, VE, "one weight for each row"),
    ]),
    *each("Model: fit batch", lambda v: fit(batch_size=v), SIZES, "batch_size must be"),
    *each("Model: predict batch", lambda v: net().predict(X, batch_size=v), SIZES, "batch_size"),
    *each("Model: evaluate batch", lambda v: net().evaluate(
        X, Y, loss=cr.SoftmaxCrossEntropy(), batch_size=v), SIZES, "batch_size must be"),
    *each("Model: summary batch", lambda v: net().summary(batch_size=v), [*SIZES, (None, TE)],
          "summary: batch_size must be an integer"),
    *table("Model: summary", lambda options: net().summary(**options), [
        ("input_shape number", {"input_shape": 2}, TE, "must be a tuple, as in (784,), got 2"),
        ("input_shape text", {"input_shape": "2"}, TE, "must be a tuple"),
        ("input_shape None", {"input_shape": (None, 2)}, TE, "each size of input_shape"),
        ("input_shape 0", {"input_shape": (0, 2)}, VE, "each size of input_shape"),
        ("input_shape of a batch", {"input_shape": (2, 5)}, VE, "without the batch axis, does not"),
        ("optimizer class", {"optimizer": cr.SGD}, TE, "optimizer=SGD("),
        ("loss text", {"loss": "mse"}, TE, "loss=SoftmaxCrossEntropy()"),
    ]),
    row("Model: summary softmax", lambda: net(cr.Dense(2, 2), cr.Softmax()).summary(
        loss=cr.SoftmaxCrossEntropy()), VE, "takes logits"),
    # ---- functions
    *[
        row(f"{f.__name__}: {what}", lambda f=f, v=v: f(v), TE, "real numbers")
        for f in (cr.sigmoid, cr.softmax)
        for what, v in [("text", "abc"), ("complex", np.array([1j]))]
    ],
    row("sigmoid: None", lambda: cr.sigmoid(None), TE, "real numbers"),
    row("softmax: axis 5", lambda: cr.softmax(X, axis=5), VE, "axis"),
    row("softmax: no axis", lambda: cr.softmax(1.0), VE, "axis"),
    *each("gradcheck:", lambda v: cr.gradcheck(v, X), [(cr.ReLU, TE), ("a", TE)], "takes a layer"),
    row("gradcheck: x text", lambda: cr.gradcheck(cr.ReLU(), "abc"), TE, "numbers"),
    row("gradcheck: x complex", lambda: cr.gradcheck(cr.ReLU(), X + 1j), TE, "numbers"),
    row("gradcheck: seed", lambda: cr.gradcheck(cr.ReLU(), X, seed="a"), TE, "seed must be"),
    *each("gradcheck: eps", lambda v: cr.gradcheck(cr.ReLU(), X, eps=v), [*RATES, (0, VE)], "eps"),
    *each("gradcheck: atol", lambda v: cr.gradcheck(cr.ReLU(), X, atol=v), RATES, "atol"),
    *each("gradcheck: rtol", lambda v: cr.gradcheck(cr.ReLU(), X, rtol=v), RATES, "rtol"),
    *each("gradcheck: elements", lambda v: cr.gradcheck(cr.ReLU(), X, max_elements=v), SIZES[1:],
          "max_elements"),
    *each("numerical_gradient: eps", lambda v: cr.numerical_gradient(sum, X, eps=v), RATES, "eps"),
    row("numerical_gradient: array", lambda: cr.numerical_gradient(np.sin, X), TE, "a number"),
    row("numerical_gradient: none", lambda: cr.numerical_gradient(lambda x: None, X), TE, "got No"),
    row("numerical_gradient: x", lambda: cr.numerical_gradient(np.sum, "abc"), TE, "numbers"),
]  # fmt: skip


@pytest.fixture(scope="module")
def watch():
    with watching() as watch:
        yield watch


@pytest.mark.parametrize(("call", "error", "piece"), ROWS)
def test_is_refused_with_a_sentence_and_changes_nothing(watch, call, error, piece):
    watch.changed.clear()
    with pytest.raises(error) as caught:
        call()
    assert not watch.changed
    assert caught.type is error  # NumPy's AxisError is a ValueError too
    assert piece in str(caught.value)


def test_every_public_name_with_arguments_has_a_row():
    named = {row.id.split(":")[0] for row in ROWS}
    for name in cr.__all__:
        public = getattr(cr, name)
        if not callable(public) or (isinstance(public, type) and issubclass(public, BaseException)):
            continue
        if inspect.signature(public).parameters:
            assert name in named


def test_watching_sees_what_a_refused_call_has_changed(monkeypatch):
    """The watch itself can fail: by parameters, options, generators, arguments, and the world."""
    world = np.random.get_state()  # noqa: NPY002
    model, optimizer, x = net(cr.Dense(2, 2), cr.Dropout()), cr.Adam(), X.copy()
    changes = [
        lambda: model.layers[0].W.__setitem__(0, 7),
        lambda: model.gradients.fill(3),
        lambda: model.layers[1].rng.random(),
        lambda: model.layers[1].rng.spawn(1),
        lambda: model.layers[0]._drawn_from_system.add("W"),
        lambda: setattr(model.layers[0], "trainable", False),
        lambda: model.metadata.update(a=1),
        lambda: setattr(optimizer, "lr", 0.5),
        lambda: optimizer.step(np.ones(2), np.ones(2)),
        lambda: x.fill(9),
        lambda: np.random.seed(9),  # noqa: NPY002
        lambda: np.seterr(under="raise"),
        lambda: monkeypatch.setitem(registry, "Other", cr.Layer),
    ]
    for change in changes:

        def refused(*_, change=change):
            change()
            raise ValueError("refused")

        watch = Watch()
        with np.errstate(), pytest.raises(ValueError, match="refused"):
            watch.wrap("fit", refused)(model, optimizer, x)
        assert watch.changed == ["fit"]
    np.random.set_state(world)  # noqa: NPY002


def test_a_refusal_within_training_leaves_model_and_optimizer_as_they_were():
    """Labels are looked at before the first step, also where the batch with the bad one is last."""
    model, optimizer = net(), cr.Adam()
    before = picture([model, optimizer])
    with pytest.raises(ValueError, match="from 0 to 1"):
        fit(model, y=[0, 1, 0, 2], optimizer=optimizer, batch_size=1)
    assert picture([model, optimizer]) == before
