"""What is refused must be refused with a sentence that names the thing, what was expected and what
came. One table holds the wrong uses; a raw error of NumPy or of Python counts as a failure.
"""

from __future__ import annotations

import inspect

import numpy as np
import pytest

import chainrule as cr
from chainrule import initializers

X, Y = np.zeros((4, 2)), np.array([0, 1, 0, 1])
NAN, INF = float("nan"), float("inf")


def net(*layers, **options):
    return cr.Model(*(layers or (cr.Dense(2, 3), cr.Tanh(), cr.Dense(3, 2))), seed=0, **options)


def fit(model=None, x=X, y=Y, **options):
    call = {"loss": cr.SoftmaxCrossEntropy(), "optimizer": cr.SGD(0.1), "verbose": 0, **options}
    return (model or net()).fit(x, y, **call)


def step(optimizer, *sizes, dtypes=("float64", "float64")):
    for size in sizes:
        optimizer.step(np.ones(size, dtypes[0]), np.ones(size, dtypes[1]))


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


def nested(kind, levels):
    layer = cr.Identity()
    for _ in range(levels):
        layer = kind(layer)
    return layer


def twice_in_models():
    layer = cr.Dense(2, 2)
    first = net(layer)
    return first, net(layer)


def set_weight(value):
    cr.Dense(2, 1).W = value


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


def row(name, call, error, piece):
    """A row of the table."""
    return pytest.param(call, error, piece, id=name)


def each(name, make, values, piece):
    """Rows for one option and its wrong values, all refused with the same piece of a sentence."""
    return [row(f"{name} {v!r}", lambda v=v: make(v), error, piece) for v, error in values]


def table(name, make, lines):
    """Rows of (what, argument, error, piece of the sentence)."""
    return [row(f"{name} {what}", lambda v=v: make(v), *rest) for what, v, *rest in lines]


TE, VE = TypeError, ValueError
SIZES = [(0, VE), (-1, VE), (2.5, TE), (True, TE), ("3", TE), (NAN, TE)]
RATES = [(-0.1, VE), (NAN, VE), (INF, VE), ("0.1", TE), (None, TE), (True, TE)]
SHARES = [*RATES, (1.1, VE)]

ROWS = [
    # ---- layers
    *each("Dense: in", lambda v: cr.Dense(v, 2), [*SIZES, (None, TE)], "in_features must be an"),
    *each("Dense: out", lambda v: cr.Dense(2, v), [*SIZES, (None, TE)], "out_features must be an"),
    *each("Linear: in", lambda v: cr.Linear(v, 2), SIZES, "in_features must be an integer"),
    row("Dense: bias text", lambda: cr.Dense(2, 1, bias="no"), TE, "True or False"),
    row("Dense: init text", lambda: cr.Dense(2, 1, init="he"), TE, "he_normal"),
    row("Dense: W shape", lambda: set_weight(np.ones(2)), VE, "(2, 1)"),
    row("Dense: W text", lambda: set_weight("abc"), TE, "numbers"),
    row("Dense: W ragged", lambda: set_weight([[1], [1, 2]]), VE, "numbers"),
    row("Dense: width", lambda: cr.Dense(2, 1).forward(np.ones((3, 5))), VE, "(..., 2)"),
    row("Dense: trainable 1", lambda: setattr(cr.Dense(2, 1), "trainable", 1), TE, "True or False"),
    *each("Dropout: p", cr.Dropout, SHARES, "p must be a number in [0, 1]"),
    row("Dropout: rng", lambda: cr.Dropout(0.5, rng=0), TE, "default_rng(0)"),
    row("Softmax: batch", lambda: cr.Softmax(axis=0), VE, "batch"),
    *each("Softmax: axis", cr.Softmax, [("last", TE), (1.5, TE)], "axis must be an integer"),
    row("Softmax: axis 3 of 2", lambda: net(cr.Softmax(axis=3))(X), VE, "Softmax"),
    row("Softmax: axis -2 of 2", lambda: net(cr.Softmax(axis=-2))(X), VE, "batch"),
    *[
        row(f"{kind.__name__}: {what}", lambda kind=kind, v=v: kind(v), TE, piece)
        for kind in (cr.Sequential, cr.Residual, cr.Parallel, cr.Model)
        for what, v, piece in [
            ("list", [cr.ReLU()], "(*layers)"),
            ("class", cr.ReLU, "write ReLU(...)"),
            ("text", "relu", "must be a layer"),
            ("model", net(), "must be a layer"),
        ]
    ],
    row("Residual: shape", lambda: net(cr.Residual(cr.Dense(2, 3)))(X), VE, "same shape"),
    row("Residual: shape, built", lambda: net(cr.Residual(cr.Dense(2, 3))), VE, "same shape"),
    row("Residual: 200 deep", lambda: nested(cr.Residual, 200), VE, "nested"),
    row("Parallel: 2000 deep", lambda: nested(cr.Parallel, 2000), VE, "nested"),
    row("Parallel: none", lambda: cr.Parallel(), VE, "at least one branch"),
    row("Parallel: merge", lambda: cr.Parallel(cr.Tanh(), merge="mul"), VE, '"concat"'),
    row("Parallel: merge None", lambda: cr.Parallel(cr.Tanh(), merge=None), VE, "None"),
    row("Parallel: shapes", lambda: net(cr.Parallel(cr.Dense(2, 3), cr.Dense(2, 4))), VE,
        "do not go together"),
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
    # ---- losses
    *each("SoftmaxCrossEntropy: smoothing", cr.SoftmaxCrossEntropy, SHARES,
          "label_smoothing must be a number in [0, 1]"),
    *table("SoftmaxCrossEntropy:", lambda v: cr.SoftmaxCrossEntropy()(*v), [
        ("label 2 of 2", (X, [0, 1, 2, 0]), VE, "from 0 to 1"),
        ("label -1", (X, [0, 1, -1, 0]), VE, "got -1"),
        ("label 1.0", (X, [0.0, 1.0, 1.0, 0.0]), TE, "integers"),
        ("labels as a column", (X, Y[:, None]), VE, "class indices of shape (4,)"),
        ("fewer labels", (X, Y[:3]), VE, "(3,)"),
        ("text labels", (X, ["a", "b", "a", "b"]), TE, "real numbers"),
        ("no labels", (X, None), TE, "real numbers"),
        ("above 1", (X[:1], [[2.0, -1.0]]), VE, "from 0 to 1"),
        ("NaN target", (X[:1], [[NAN, 1.0]]), VE, "from 0 to 1"),
        ("rows of 1.5", (X[:1], [[1.0, 0.5]]), VE, "sum to 1"),
        ("one axis", ([0.0, 1.0], 1), VE, "(N, ..., classes)"),
        ("empty", (X[:0], Y[:0]), VE, "empty"),
        ("no classes", (X[:, :0], Y), VE, "empty"),
        ("text", ([["a", "b"]], [0]), TE, "real numbers"),
        ("complex", (X + 1j, Y), TE, "real numbers"),
        ("ragged", ([[0.0, 1.0], [0.0]], [0]), VE, "prediction"),
    ]),
    row("SoftmaxCrossEntropy: after Softmax", lambda: fit(net(cr.Softmax())), VE, "Remove the"),
    row("BinaryCrossEntropy: after Sigmoid", lambda: fit(
        net(cr.Sigmoid()), y=X, loss=cr.BinaryCrossEntropy()), VE, "Remove the Softmax or Sigmoid"),
    row("BinaryCrossEntropy: above 1", lambda: cr.BinaryCrossEntropy()(X, X + 2), VE, "got 2"),
    row("BinaryCrossEntropy: NaN", lambda: cr.BinaryCrossEntropy()(X, X + NAN), VE, "nan"),
    *[
        row(f"{type(loss).__name__}: {what}", lambda c=loss, v=v: c(*v), e, piece)
        for loss in (cr.BinaryCrossEntropy(), cr.MeanSquaredError())
        for what, v, e, piece in [
            ("(4,) to (4, 1)", (X[:, :1], Y), VE, "reshape(4, 1)"),
            ("(4, 1) to (4,)", (X[:, 0], Y[:, None]), VE, "reshape(4,)"),
            ("empty", ([], []), VE, "empty"),
            ("objects", ([1.0], [None]), TE, "real numbers"),
        ]
    ],
    *[
        row(f"{type(loss).__name__}: weight {what}", lambda c=loss, t=t, w=w: c(X, t, w), e, s)
        for loss, t in [(cr.MeanSquaredError(), X), (cr.BinaryCrossEntropy(), X),
                        (cr.SoftmaxCrossEntropy(), Y)]
        for what, w, e, s in [
            ("length", np.ones(3), VE, "one weight for each row"),
            ("column", np.ones((4, 1)), VE, "one weight for each row"),
            ("one number", 1.0, VE, "one weight for each row"),
            ("negative", [1, 1, 1, -1], VE, "not negative"),
            ("NaN", [1, 1, 1, NAN], VE, "finite"),
            ("infinite", [1, 1, 1, INF], VE, "finite"),
            ("text", ["a"] * 4, TE, "sample_weight must be real numbers"),
        ]
    ],
    # ---- metrics
    *table("Accuracy:", lambda v: cr.Accuracy().update(*v), [
        ("one column", (X[:, :1], Y), VE, "BinaryAccuracy()"),
        ("floats", (X, Y + 0.5), TE, "integers"),
        ("length", (X, Y[:3]), VE, "(3,)"),
        ("weight", (X, Y, [1, 1, 1, -1]), VE, "not negative"),
        ("label 2 of 2", (X, [0, 1, 2, 0]), VE, "from 0 to 1"),
        ("label -1", (X, [0, 1, -1, 0]), VE, "from 0 to 1"),
        ("text", ([["a", "b"]], [0]), TE, "real numbers"),
    ]),
    *each("BinaryAccuracy: threshold", cr.BinaryAccuracy, RATES[1:], "threshold must be a number"),
    *table("BinaryAccuracy:", lambda v: cr.BinaryAccuracy().update(*v), [
        ("target 2", (X, X + 2), VE, "0 or 1"),
        ("(4,) to (4, 1)", (X[:, :1], Y), VE, "(4, 1)"),
        ("text", ([["a"]], [[1]]), TE, "real numbers"),
    ]),
    # ---- optimizers
    *[
        one
        for kind, names in [(cr.SGD, ("lr", "momentum", "weight_decay")),
                            (cr.Adam, ("lr", "eps", "weight_decay"))]
        for name in names
        for one in each(f"{kind.__name__}: {name}", lambda v, k=kind, n=name: k(
            **{"lr": 0.1, n: v}), RATES, f"{name} must be a number")
    ],
    *each("SGD: dampening", lambda v: cr.SGD(0.1, dampening=v), RATES[1:], "dampening must be"),
    row("SGD: nesterov alone", lambda: cr.SGD(0.1, nesterov=True), VE, "needs a momentum"),
    row("SGD: nesterov dampened", lambda: cr.SGD(1, 0.9, 0.1, nesterov=True), VE, "dampening of 0"),
    row("SGD: nesterov text", lambda: cr.SGD(0.1, 0.9, nesterov="yes"), TE, "True or False"),
    *each("Adam: betas", lambda v: cr.Adam(betas=v), [
        ((0.9, 1.0), VE), ((-0.1, 0.9), VE), ((NAN, 0.9), VE), (0.9, TE), ((0.9,), TE),
        (("a", 0.9), TE), ("ab", TE), (None, TE)], "betas must be"),
    row("Adam: amsgrad", lambda: cr.Adam(amsgrad=1), TE, "True or False"),
    row("Adam: another size", lambda: step(cr.Adam(), 3, 4), VE, "use a new optimizer"),
    row("SGD: another size", lambda: step(cr.SGD(0.1, 0.9), 3, 4), VE, "use a new optimizer"),
    row("Adam: float32 and float64", lambda: step(cr.Adam(), 3, dtypes=("float32", "float64")), VE,
        "one size and dtype"),
    row("Adam: integers", lambda: step(cr.Adam(), 3, dtypes=("int64", "int64")), TE, "be floats"),
    row("Adam: matrix", lambda: step(cr.Adam(), (2, 2)), VE, "flat vectors"),
    row("Adam: lists", lambda: cr.Adam().step([1.0], [1.0]), TE, "NumPy arrays"),
    *each("SGD: schedule gives", lambda v: step(cr.SGD(lambda step: v), 3),
          [(NAN, VE), (INF, VE), (-0.1, VE), (None, VE), ("0.1", VE)], "schedule gave the rate"),
    *table("Adam: state", lambda v: cr.Adam().load_state_dict(v), [
        ("empty", {}, VE, "must be a count"),
        ("-1", {"steps": -1}, VE, "must be a count"),
        ("missing", {"steps": 1, "m": np.ones(2)}, VE, "expected ['m', 'v']"),
        ("sizes", {"steps": 1, "m": np.ones(2), "v": np.ones(3)}, VE, "one size"),
        ("text", {"steps": 1, "m": ["a"], "v": ["b"]}, VE, "flat"),
        ("None", None, TE, "state"),
    ]),
    # ---- callbacks
    *each("EarlyStopping: patience", lambda v: cr.EarlyStopping(patience=v), SIZES[1:], "patience"),
    *each("EarlyStopping: delta", lambda v: cr.EarlyStopping(min_delta=v), RATES, "min_delta"),
    row("EarlyStopping: mode", lambda: cr.EarlyStopping(mode="low"), VE, '"auto"'),
    row("EarlyStopping: monitor 3", lambda: cr.EarlyStopping(3), TE, "must be a name"),
    row("EarlyStopping: monitor", lambda: fit(callbacks=[cr.EarlyStopping()]), VE, "no 'val_loss'"),
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
    ]),
    row("Model: state None", lambda: net().load_state_dict(None), TE, "state"),
    row("Model: foreign file", lambda: cr.Model.load(__file__), VE, "not a model file"),
    row("Model: no file", lambda: cr.Model.load("no-such.npz"), FileNotFoundError, "no-such.npz"),
    # ---- fit, evaluate, predict
    *table("Model: fit", lambda options: fit(**options), [
        ("lengths", {"y": Y[:3]}, VE, "x has 4 rows, but y has 3 rows"),
        ("empty", {"x": X[:0], "y": Y[:0]}, VE, "empty"),
        ("y None", {"y": None}, TE, "y must be real numbers"),
        ("x text", {"x": ["a"] * 4}, TE, "real numbers"),
        ("labels", {"y": Y + 1}, VE, "from 0 to 1"),
        ("epochs -1", {"epochs": -1}, VE, "epochs"),
        ("epochs 1.5", {"epochs": 1.5}, TE, "epochs"),
        ("initial_epoch", {"initial_epoch": -1}, VE, "initial_epoch"),
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
    row("numerical_gradient: x", lambda: cr.numerical_gradient(np.sum, "abc"), TE, "numbers"),
]  # fmt: skip


@pytest.mark.parametrize(("call", "error", "piece"), ROWS)
def test_is_refused_with_a_sentence(call, error, piece):
    with pytest.raises(error) as caught:
        call()
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


def test_refused_fit_leaves_model_and_optimizer_as_they_were():
    model, optimizer = net(), cr.Adam()
    before = model.parameters.tobytes()
    with pytest.raises(ValueError, match="from 0 to 1"):
        fit(model, y=[0, 1, 0, 2], optimizer=optimizer, batch_size=1)
    assert model.parameters.tobytes() == before
    assert optimizer.steps == 0
