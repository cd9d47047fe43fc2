"""The wrong uses of layers and losses, and the helpers that write such rows. They stand apart from
tests/test_wrong_use.py, which tests them with its own, so that both can be read at once."""

from __future__ import annotations

import numpy as np
import pytest

import chainrule as cr

X, Y = np.zeros((4, 2)), np.array([0, 1, 0, 1])
NAN, INF = float("nan"), float("inf")


def net(*layers, **options):
    return cr.Model(*(layers or (cr.Dense(2, 3), cr.Tanh(), cr.Dense(3, 2))), seed=0, **options)


def fit(model=None, x=X, y=Y, **options):
    call = {"loss": cr.SoftmaxCrossEntropy(), "optimizer": cr.SGD(0.1), "verbose": 0, **options}
    return (model or net()).fit(x, y, **call)


def nested(kind, levels):
    layer = cr.Identity()
    for _ in range(levels):
        layer = kind(layer)
    return layer


def set_weight(value):
    cr.Dense(2, 1).W = value


def row(name, call, error, piece):
    """A row of the table."""
    return pytest.param(call, error, piece, id=name)


def each(name, make, values, piece):
    """Rows for one option and its wrong values, all refused with the same piece of a sentence."""
    return [row(f"{name} {v!r}", lambda v=v: make(v), error, piece) for v, error in values]


def table(name, make, lines):
    """Rows of (what, argument, error, piece of the sentence)."""
    return [row(f"{name} {what}", lambda v=v: make(v), *rest) for what, v, *rest in lines]


def numbers(options):
    """Rows for options that are numbers: (class, first arguments, name, wrong values, interval)."""
    return [
        one
        for kind, args, name, values, interval in options
        for one in each(
            f"{kind.__name__}: {name}",
            lambda v, kind=kind, args=args, name=name: kind(*args, **{name: v}),
            values,
            f"{name} must be a number in {interval}, got",
        )
    ]


TE, VE = TypeError, ValueError
SIZES = [(0, VE), (-1, VE), (2.5, TE), (True, TE), ("3", TE), (NAN, TE), (INF, TE)]
COUNTS = [*SIZES, (None, TE)]
RATES = [(-0.1, VE), (NAN, VE), (INF, VE), ("0.1", TE), (None, TE), (True, TE)]
REALS, POSITIVE, SHARES = RATES[1:], [*RATES, (0, VE)], [*RATES, (1.1, VE)]
FLAGS = [(1, TE), (None, TE), ("yes", TE)]


# ---- indices: whichever way they come in, a model is left as it was ------------------------------


def words(*layers):
    return net(*(layers or (cr.Embedding(3, 2), cr.Flatten(), cr.Dense(4, 2))))


def last(index, dtype="int64"):
    """Indices of which only the last can be wrong."""
    x = np.array([[0, 1], [2, 0], [1, 2], [0, 0]], dtype)
    x[-1, -1] = index
    return x


def train_on_words(train):
    """Call a way to train with model and optimizer, which must be as they were afterwards."""
    model = words(cr.Embedding(3, 2), cr.BatchNorm(2), cr.Flatten(), cr.Dense(4, 2))
    optimizer = cr.Adam()
    before = {name: array.tobytes() for name, array in model.state_dict().items()}
    try:
        train(model, optimizer)
    finally:
        after = {name: array.tobytes() for name, array in model.state_dict().items()}
        assert (after, optimizer.steps) == (before, 0)


LOSS = cr.SoftmaxCrossEntropy()
WAYS = {
    "forward": lambda x: cr.Embedding(3, 2).forward(x),
    "call": lambda x: words()(x),
    "activations": lambda x: words().activations(x),
    "behind Reshape": lambda x: words(cr.Reshape(2, 1), cr.Identity(), cr.Embedding(3, 2))(x),
    "in branches": lambda x: words(cr.Parallel(cr.Embedding(3, 2), cr.Embedding(3, 2)))(x),
    "predict": lambda x: words().predict(x, batch_size=1),
    "evaluate": lambda x: words().evaluate(x, Y, loss=LOSS, batch_size=1),
    "fit": lambda x: train_on_words(
        lambda model, optimizer: fit(model, x, optimizer=optimizer, batch_size=1, shuffle=False)
    ),
    "validation": lambda x: train_on_words(
        lambda model, optimizer: fit(model, last(0), optimizer=optimizer, validation_data=(x, Y))
    ),
    "train_on_batch": lambda x: train_on_words(
        lambda model, optimizer: model.train_on_batch(x, Y, loss=LOSS, optimizer=optimizer)
    ),
}
INDICES = [
    ("floats", last(0, "float64"), TE, "takes integer indices, got float64; if they are whole"),
    ("NaN", last(NAN, "float32"), TE, "takes integer indices, got float32"),
    ("bools", last(0, "bool"), TE, "takes integer indices, got bool"),
    ("negative", last(-1), VE, "indices must be from 0 to 2, got -1"),
    ("too large", last(3, ">i4"), VE, "indices must be from 0 to 2, got 3"),
    ("too large for int8", last(200, "uint8"), VE, "indices must be from 0 to 2, got 200"),
    ("text", [["a", "b"]] * 4, TE, "must be real numbers"),
    ("None", [[None, 1]] * 4, TE, "must be real numbers"),
    ("complex", last(0, "complex128"), TE, "must be real numbers"),
    ("ragged", [[0, 1], [2]] * 2, VE, "rows of unequal length"),
]

LAYER_ROWS = [
    *each("Dense: in", lambda v: cr.Dense(v, 2), COUNTS, "in_features must be an"),
    *each("Dense: out", lambda v: cr.Dense(2, v), COUNTS, "out_features must be an"),
    *each("Linear: in", lambda v: cr.Linear(v, 2), SIZES, "in_features must be an integer"),
    row("Dense: bias text", lambda: cr.Dense(2, 1, bias="no"), TE, "True or False"),
    row("Dense: init text", lambda: cr.Dense(2, 1, init="he"), TE, "he_normal"),
    row("Dense: W shape", lambda: set_weight(np.ones(2)), VE, "(2, 1)"),
    row("Dense: W text", lambda: set_weight("abc"), TE, "numbers"),
    row("Dense: W ragged", lambda: set_weight([[1], [1, 2]]), VE, "numbers"),
    row("Dense: width", lambda: cr.Dense(2, 1).forward(np.ones((3, 5))), VE, "(..., 2)"),
    row("Dense: trainable 1", lambda: setattr(cr.Dense(2, 1), "trainable", 1), TE, "True or False"),
    *each("Dropout: p", cr.Dropout, SHARES, "p must be a number in [0, 1]"),
    row("BatchNorm: eps that vanishes", lambda: cr.BatchNorm(2, 1e-50), VE, "eps=1e-50 is less"),
    row("LayerNorm: eps that vanishes", lambda: cr.LayerNorm(2, 1e-46), VE, "than float32 can"),
    row("Layer: large buffer", lambda: cr.Layer().add_buffer("b", [1e300]), VE, "too large for fl"),
    row("Layer: large buffer throughout", lambda: cr.Layer().add_buffer(
        "b", np.broadcast_to(1e300, 9)), VE, "b holds values too large for float32"),
    row("Dropout: p of more digits than a text", lambda: cr.Dropout(10**5000), VE, "got inf"),
    row("Dropout: rng", lambda: cr.Dropout(0.5, rng=0), TE, "default_rng(0)"),
    # ---- embedding
    *each("Embedding: num", lambda v: cr.Embedding(v, 2), COUNTS, "num_embeddings must be an int"),
    *each("Embedding: dim", lambda v: cr.Embedding(2, v), COUNTS, "embedding_dim must be an int"),
    *each("Embedding: padding", lambda v: cr.Embedding(3, 2, v), SIZES[1:], "padding_idx must be"),
    row("Embedding: padding 3 of 3", lambda: cr.Embedding(3, 2, 3), VE, "from 0 to 2, got 3"),
    *[one for way, use in WAYS.items() for one in table(f"Embedding: {way},", use, INDICES)],
    *[row(f"Embedding: 2**64 - 1, {way}", lambda use=use: use(np.full((4, 2), 2**64 - 1, "u8")),
          VE, "from 0 to 2, got 18446744073709551615") for way, use in WAYS.items()],
    row("Embedding: one number", lambda: words()(1), VE, "must have a batch axis"),
    row("Embedding: 3 indices in a row for 2", lambda: words()(np.zeros((4, 3), int)), VE,
        "Flatten() gives outputs of shape (6,), but Dense(4, 2) expects"),
    row("Embedding: an empty list", lambda: words(cr.Embedding(3, 2))([]), TE, "got float64"),
    *[
        row(f"Embedding: behind {before!r}", lambda b=before: words(b, cr.Embedding(3, 2)), VE,
            f"must come first, or behind layers that only move numbers, not behind {before!r}")
        for before in (cr.Dense(2, 2), cr.Dropout(0.5), cr.ReLU(), cr.LogSoftmax(),
                       cr.BatchNorm(2), cr.Embedding(3, 2), cr.Parallel(cr.ReLU()))
    ],
    row("Embedding: behind more", lambda: words(cr.Sequential(cr.Flatten(), cr.Tanh()),
        cr.Identity(), cr.Embedding(3, 2)), VE, "Layers 2 and 3 do not fit: Embedding(3, 2)"),
    row("Embedding: in a branch, behind ReLU", lambda: words(cr.Parallel(cr.Sequential(cr.ReLU(),
        cr.Embedding(3, 2)))), VE, "Layers 0 and 1 do not fit: Embedding(3, 2) takes indices"),
    # ---- reshape
    *each("Reshape:", cr.Reshape, [(0, VE), (-2, VE), *SIZES[2:], (None, TE)], "Reshape: "),
    *each("Reshape: 2,", lambda v: cr.Reshape(2, v), [(-2, VE), (2.5, TE), ([3], TE)],
          "each size must be an integer, at least -1; got"),
    *table("Reshape:", lambda v: cr.Reshape(*v), [
        ("size 0", (2, 0), VE, "must be positive, or -1 for what is left over; got 0"),
        ("two unknown", (-1, 2, -1), VE, "only one of the sizes can be -1, got (-1, 2, -1)"),
        ("list", ([2, 3],), TE, "write Reshape(2, 3), got [2, 3]"),
        ("tuple", ((2, 3),), TE, "write Reshape(2, 3), got (2, 3)"),
    ]),
    *[
        row(f"Reshape: {what}", call, VE, f"{sizes} cannot take samples of shape (5,), which hold "
            f"5 numbers, not {needed}.")
        for sizes, layer, needed in [("Reshape(2, 3)", cr.Reshape(2, 3), "6"),
                                     ("Reshape(-1, 3)", cr.Reshape(-1, 3), "a multiple of 3"),
                                     ("Reshape()", cr.Reshape(), "1")]
        for what, call in [
            (f"{sizes}, forward", lambda r=layer: r.forward(np.ones((4, 5)))),
            (f"{sizes}, call", lambda r=layer: net(r)(np.ones((4, 5)))),
            (f"{sizes}, built", lambda r=layer: net(cr.Reshape(5), r)),
        ]
    ],
    # ---- normalization
    *each("BatchNorm: size", cr.BatchNorm, [*COUNTS, ((2, 3), TE)], "num_features must be an int"),
    *each("LayerNorm: size", cr.LayerNorm, [*COUNTS, ((2, 0), VE), ((2, 2.5), TE), ((2, "a"), TE)],
          "normalized_shape must be an integer, at least 1; got"),
    row("LayerNorm: ()", lambda: cr.LayerNorm(()), VE, "must hold a size or more, got ()"),
    *[
        row(f"{kind.__name__}: {what}", lambda kind=kind, use=use: use(kind(3)), VE,
            f"{kind.__name__}(3) expects inputs of shape (..., 3), got {got}")
        for kind in (cr.BatchNorm, cr.LayerNorm)
        for what, use, got in [
            ("width", lambda norm: norm.forward(X), "(2,)"),
            ("width in training", lambda norm: norm.forward(X, training=True), "(2,)"),
            ("channels first", lambda norm: norm.forward(np.ones((4, 3, 2))), "(3, 2)"),
            ("one axis", lambda norm: norm.forward(np.ones(3)), "()"),
            ("width, built", lambda norm: net(cr.Dense(2, 4), norm), "(..., 4)"),
            ("width, call", lambda norm: net(norm)(X), "(2,)"),
            ("width, fit", lambda norm: fit(net(norm)), "(2,)"),
        ]
    ],
    row("LayerNorm: shape", lambda: cr.LayerNorm((3, 2)).forward(X), VE, "(..., 3, 2), got (2,)"),
    row("LayerNorm: shape, built", lambda: net(cr.Reshape(2, 3), cr.LayerNorm((3, 2))), VE,
        "gives outputs of shape (2, 3), but LayerNorm((3, 2)) expects"),
    *table("BatchNorm: running_var", lambda v: setattr(cr.BatchNorm(2), "running_var", v), [
        ("shape", np.ones(3), VE, "running_var must have shape (2,), got (3,)"),
        ("text", "abc", TE, "running_var must be real numbers"),
    ]),
    *table("BatchNorm: state", lambda v: net(cr.BatchNorm(2)).load_state_dict(v), [
        ("without buffers", {"0.gamma": [1, 1], "0.beta": [0, 0]}, VE,
         "missing ['0.running_mean', '0.running_var']"),
        ("shape", {"0.gamma": [1, 1], "0.beta": [0, 0], "0.running_mean": [0, 0],
                   "0.running_var": [1]}, VE, "0.running_var must have shape (2,), got (1,)"),
    ]),
    # ---- activations
    *numbers([
        (cr.BatchNorm, (3,), "eps", POSITIVE, "(0, inf)"),
        (cr.BatchNorm, (3,), "momentum", SHARES, "[0, 1]"),
        (cr.LayerNorm, (3,), "eps", POSITIVE, "(0, inf)"),
        (cr.LeakyReLU, (), "negative_slope", REALS, "(-inf, inf)"),
        (cr.PReLU, (), "init", REALS, "(-inf, inf)"),
        (cr.ELU, (), "alpha", REALS, "(-inf, inf)"),
        (cr.Softplus, (), "beta", POSITIVE, "(0, inf)"),
        (cr.Softplus, (), "threshold", [*RATES, (-1, VE)], "[0, inf)"),
        (cr.HardTanh, (), "min_val", REALS, "(-inf, inf)"),
        (cr.HardTanh, (), "max_val", REALS, "(-inf, inf)"),
    ]),
    *each("HardTanh: bounds", lambda v: cr.HardTanh(*v), [((1, 1), VE), ((2, 1), VE), ((1,), VE)],
          "min_val must be below max_val, got "),
    *each("GELU: approximate", cr.GELU, [("erf", VE), (None, VE), (True, VE), (["tanh"], VE),
                                         (np.array(["none", "tanh"]), VE)],
          'approximate must be "none" or "tanh", got'),
    *each("PReLU: num", cr.PReLU, COUNTS, "num_parameters must be an integer, at least 1; got"),
    *table("PReLU: channels", lambda use: use(cr.PReLU(3)), [
        ("last", lambda f: f.forward(np.ones((4, 2, 3))), VE, "channels first behind the batch"),
        ("call", lambda f: net(f)(X), VE, "(3, ...), channels first behind the batch, got (2,)"),
        ("none", lambda f: f.forward(np.ones(3)), VE, "shape (3, ...)"),
        ("built", lambda f: net(cr.Reshape(4), f), VE, "inputs of shape (3, ...)"),
    ]),
    *[
        one
        for kind in (cr.Softmax, cr.LogSoftmax)
        for one in [
            row(f"{kind.__name__}: batch", lambda k=kind: k(axis=0), VE, "batch"),
            *each(f"{kind.__name__}: axis", kind, [("last", TE), (1.5, TE), (None, TE),
                  (True, TE), (-65, VE)], "axis must be an integer"),
            row(f"{kind.__name__}: axis 3 of 2", lambda k=kind: net(k(axis=3))(X), VE,
                f"{kind.__name__}(axis=3) cannot act on inputs of 2 axes"),
            row(f"{kind.__name__}: axis -2 of 2", lambda k=kind: net(k(axis=-2))(X), VE, "batch"),
            row(f"{kind.__name__}: one axis", lambda k=kind: net(k())(X[0]), VE, "axis of classes"),
        ]
    ],
    # ---- containers
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
    row("Residual: Reshape", lambda: net(cr.Residual(cr.Reshape(2, 1)))(X), VE, "same shape"),
    row("Residual: 200 deep", lambda: nested(cr.Residual, 200), VE, "nested"),
    row("Residual: Embedding", lambda: words(cr.Residual(cr.Embedding(3, 2))), VE,
        "Residual(Embedding(3, 2)) would add indices to vectors; put the Embedding before it"),
    row("Parallel: 2000 deep", lambda: nested(cr.Parallel, 2000), VE, "nested"),
    row("Parallel: none", lambda: cr.Parallel(), VE, "at least one branch"),
    row("Parallel: merge", lambda: cr.Parallel(cr.Tanh(), merge="mul"), VE, '"concat"'),
    row("Parallel: merge None", lambda: cr.Parallel(cr.Tanh(), merge=None), VE, "None"),
    row("Parallel: shapes", lambda: net(cr.Parallel(cr.Dense(2, 3), cr.Dense(2, 4))), VE,
        "do not go together"),
    row("Parallel: indices and numbers", lambda: words(cr.Parallel(cr.Embedding(3, 2),
        cr.Dense(2, 2))), VE, "branch 0 takes indices and branch 1 takes numbers"),
    row("Parallel: numbers and indices", lambda: words(cr.Parallel(cr.Identity(),
        cr.Embedding(3, 2))), VE, "branch 1 takes indices and branch 0 takes numbers"),
]  # fmt: skip


# ---- losses --------------------------------------------------------------------------------------

ELEMENTWISE = [  # with a right target
    (cr.BinaryCrossEntropy(), X), (cr.MeanSquaredError(), X), (cr.MeanAbsoluteError(), X),
    (cr.Huber(), X), (cr.Hinge(), X + 1), (cr.KLDivergence(), X),
]  # fmt: skip
CLASSES = [cr.SoftmaxCrossEntropy(), cr.NegativeLogLikelihood()]


def ending(*layers):
    return net(cr.Dense(2, 2), *layers)


LOSS_ROWS = [
    *numbers([
        (cr.SoftmaxCrossEntropy, (), "label_smoothing", SHARES, "[0, 1]"),
        (cr.Huber, (), "delta", POSITIVE, "(0, inf)"),
    ]),
    *[
        one
        for loss in CLASSES
        for one in table(f"{type(loss).__name__}:", lambda v, loss=loss: loss(*v), [
            ("label 2 of 2", (X, [0, 1, 2, 0]), VE, "from 0 to 1, for predictions with 2 classes"),
            ("label -1", (X, [0, 1, -1, 0]), VE, "got -1"),
            ("label 1.0", (X, [0.0, 1.0, 1.0, 0.0]), TE, "must be integers, got float64"),
            ("label NaN", (X, [0, 1, 1, NAN]), TE, "must be integers, got float64"),
            ("labels as a column", (X, Y[:, None]), VE, "class indices of shape (4,)"),
            ("fewer labels", (X, Y[:3]), VE, "(3,)"),
            ("text labels", (X, ["a", "b", "a", "b"]), TE, "target must be real numbers"),
            ("no labels", (X, None), TE, "target must be real numbers"),
            ("one axis", ([0.0, 1.0], 1), VE, "predictions must be (N, ..., classes), got (2,)"),
            ("empty", (X[:0], Y[:0]), VE, "empty"),
            ("no classes", (X[:, :0], Y), VE, "empty"),
            ("text", ([["a", "b"]], [0]), TE, "prediction must be real numbers"),
            ("complex", (X + 1j, Y), TE, "prediction must be real numbers"),
            ("ragged", ([[0.0, 1.0], [0.0]], [0]), VE, "prediction must be an array of numbers"),
        ])
    ],
    *table("SoftmaxCrossEntropy:", lambda v: cr.SoftmaxCrossEntropy()(*v), [
        ("above 1", (X[:1], [[2.0, -1.0]]), VE, "from 0 to 1"),
        ("NaN target", (X[:1], [[NAN, 1.0]]), VE, "from 0 to 1"),
        ("rows of 1.5", (X[:1], [[1.0, 0.5]]), VE, "sum to 1"),
    ]),
    row("NegativeLogLikelihood: one-hot", lambda: cr.NegativeLogLikelihood()(X, X), VE,
        "class indices of shape (4,), got (4, 2)"),
    row("NegativeLogLikelihood: fit", lambda: fit(ending(cr.LogSoftmax()), y=Y + 1,
        loss=cr.NegativeLogLikelihood()), VE, "from 0 to 1, for predictions with 2 classes; got 2"),
    *[
        row(f"{type(loss).__name__}: {what}", lambda c=loss, v=v: c(*v), e, piece)
        for loss, _ in ELEMENTWISE
        for what, v, e, piece in [
            ("(4,) to (4, 1)", (X[:, :1], Y), VE, "reshape(4, 1)"),
            ("(4, 1) to (4,)", (X[:, 0], Y[:, None]), VE, "reshape(4,)"),
            ("labels", (X, Y), VE, "predictions' shape (4, 2), got (4,)"),
            ("empty", ([], []), VE, "empty"),
            ("objects", ([1.0], [None]), TE, "target must be real numbers"),
            ("text", (["a"], [1.0]), TE, "prediction must be real numbers"),
            ("complex", ([1.0], [1j]), TE, "target must be real numbers"),
        ]
    ],
    row("BinaryCrossEntropy: above 1", lambda: cr.BinaryCrossEntropy()(X, X + 2), VE, "got 2"),
    row("BinaryCrossEntropy: NaN", lambda: cr.BinaryCrossEntropy()(X, X + NAN), VE, "nan"),
    *each("Hinge: target", lambda v: cr.Hinge()([1.0, 1.0], [1, v]), [
        (0, VE), (0.5, VE), (-2, VE), (NAN, VE), (INF, VE)], "targets must be -1 or 1, got"),
    row("Hinge: 0 and 1", lambda: cr.Hinge()(X[:, 0], Y), VE, "made by 2 * y - 1"),
    row("Hinge: bools", lambda: cr.Hinge()(X[:, 0], Y == 1), VE, "-1 or 1, got False"),
    row("Hinge: fit", lambda: fit(y=X, loss=cr.Hinge()), VE, "-1 or 1, got 0.0"),
    *each("KLDivergence: target", lambda v: cr.KLDivergence()([1.0, 1.0], [1, v]), [
        (-1, VE), (-1e-9, VE), (NAN, VE), (INF, VE)],
        "targets must be finite and not negative, got "),
    row("KLDivergence: fit", lambda: fit(y=X - 1, loss=cr.KLDivergence()), VE, "not negative"),
    *[
        row(f"{type(loss).__name__}: after {last!r}", lambda c=loss, y=y, f=last: fit(
            ending(f, cr.Identity()), y=y, loss=c), VE, piece)
        for losses, piece in [
            ([(cr.SoftmaxCrossEntropy(), Y), (cr.BinaryCrossEntropy(), X)],
             "takes logits, but the model ends with"),
            ([(cr.NegativeLogLikelihood(), Y), (cr.KLDivergence(), X)],
             "takes logarithms of probabilities, but the model ends with"),
        ]
        for loss, y in losses
        for last in (cr.Softmax(), cr.Sigmoid(), cr.HardSigmoid(), cr.Parallel(cr.Softmax()))
    ],
    *[
        row(f"{type(loss).__name__}: weight {what}", lambda c=loss, t=t, w=w: c(X, t, w), e, s)
        for loss, t in [*ELEMENTWISE, *((loss, Y) for loss in CLASSES)]
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
]  # fmt: skip
