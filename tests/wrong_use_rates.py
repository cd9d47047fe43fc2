"""The wrong uses of schedules and of the range test, as rows of the table in
tests/test_wrong_use.py. They stand apart from it so that it can be read at once."""

from __future__ import annotations

import numpy as np
from wrong_use_rows import (
    COUNTS,
    POSITIVE,
    RATES,
    SHARES,
    SIZES,
    TE,
    VE,
    X,
    Y,
    each,
    net,
    row,
    table,
)

import chainrule as cr


class Rateless:
    """An optimizer of one's own, without an `lr`."""

    def step(self, params, grads, spans=None):
        pass

    def __repr__(self):
        return "Rateless()"


def find_lr(**options):
    call = {"model": net(), "x": X, "y": Y, "loss": cr.SoftmaxCrossEntropy()}
    return cr.find_lr(**{**call, "optimizer": cr.SGD(0.1), **options})


def step(schedule):
    cr.SGD(schedule).step(np.ones(3), np.ones(3))


RATE, SHARE, COUNT = "a number in [0, inf)", "a number in [0, 1]", "an integer, at least 1"
# Of each schedule right options; and what each must be, with wrong values.
SCHEDULES = {
    cr.StepDecay: (
        {"lr": 0.1, "step_size": 3},
        [("lr", RATE, RATES), ("step_size", COUNT, COUNTS), ("gamma", SHARE, SHARES)],
    ),
    cr.ExponentialDecay: (
        {"lr": 0.1, "gamma": 0.5},
        [("lr", RATE, RATES), ("gamma", SHARE, SHARES), ("steps", COUNT, COUNTS)],
    ),
    cr.CosineDecay: (
        {"lr": 0.1, "steps": 3},
        [
            ("lr", RATE, RATES),
            ("steps", COUNT, COUNTS),
            ("final", "a number in [0, 0.1]", [*RATES, (0.2, VE)]),
        ],
    ),
    cr.OneCycle: (
        {"max_lr": 0.1, "steps": 3},
        [
            ("max_lr", RATE, RATES),
            ("steps", COUNT, COUNTS),
            ("pct_start", SHARE, SHARES),
            ("div_factor", "a number in [1, inf)", [*RATES, (0.9, VE)]),
            ("final_div_factor", "a number in [0.04, inf)", [*RATES, (0.03, VE)]),
            ("anneal", '"cos" or "linear", got', [("cosine", VE), (None, VE), (1, VE)]),
        ],
    ),
    cr.LinearWarmup: (
        {"after": 0.1, "steps": 3},
        [
            ("after", RATE, RATES),
            ("after", "a number or a schedule made with its", [(cr.CosineDecay, TE)]),
            ("steps", COUNT, COUNTS),
            ("start_factor", SHARE, SHARES),
        ],
    ),
}
FIND_LR = [
    ("low", "a number in (0, inf)", POSITIVE),
    ("high", "a number in (1e-07, inf)", [*POSITIVE, (1e-7, VE)]),
    ("steps", "an integer, at least 10", [*COUNTS, (9, VE)]),
    ("smoothing", "a number in [0, 1)", [*RATES, (1, VE)]),
    ("stop_factor", "a number in (1, inf)", [*POSITIVE, (1, VE)]),
    ("batch_size", COUNT, SIZES),
]
OPTIMIZERS = [cr.SGD, cr.Adagrad, cr.Adadelta, cr.RMSprop, cr.Adam, cr.AdamW, cr.Adamax, cr.NAdam,
              cr.RAdam]  # fmt: skip

RATE_ROWS = [
    *[
        one
        for kind, (right, options) in SCHEDULES.items()
        for name, wanted, values in options
        for one in each(
            f"{kind.__name__}: {name}",
            lambda v, kind=kind, right=right, name=name: kind(**{**right, name: v}),
            values,
            f"{kind.__name__}: {name} must be {wanted}",
        )
    ],
    *each("StepDecay: step", cr.StepDecay(0.1, 3), [(-1, VE), (0.5, TE), (None, TE), (True, TE)],
          "StepDecay: step must be an integer, at least 0"),
    row("LinearWarmup: after gives None", lambda: step(cr.LinearWarmup(lambda t: None, 3)), TE,
        "LinearWarmup: after(0) must be a number in [0, inf), got None"),
    row("LinearWarmup: after gives -1", lambda: step(cr.LinearWarmup(lambda t: -1, 3)), VE,
        "LinearWarmup: after(0) must be a number in [0, inf), got -1"),
    *[
        row(f"{kind.__name__}: a class of schedules", lambda kind=kind: kind(lr=cr.CosineDecay), TE,
            f"{kind.__name__}: lr must be a number or a schedule made with its options, as in Cos")
        for kind in OPTIMIZERS
    ],
    *[
        one
        for name, wanted, values in FIND_LR
        for one in each(f"find_lr: {name}", lambda v, name=name: find_lr(**{name: v}), values,
                        f"find_lr: {name} must be {wanted}")
    ],
    *table("find_lr:", lambda options: find_lr(**options), [
        ("model text", {"model": "net"}, TE, "find_lr: model must be a Model, got 'net'"),
        ("model class", {"model": cr.Model}, TE, "model must be a Model, got <class"),
        ("loss text", {"loss": "mse"}, TE, "loss=SoftmaxCrossEntropy()"),
        ("optimizer text", {"optimizer": "adam"}, TE, "optimizer=Adam("),
        ("optimizer class", {"optimizer": cr.SGD}, TE, "optimizer=SGD("),
        ("optimizer without lr", {"optimizer": Rateless()}, TE,
         "find_lr: it sets optimizer.lr, which Rateless() does not have"),
        ("lengths", {"y": Y[:3]}, VE, "find_lr: x has 4 rows, but y has 3 rows"),
        ("empty", {"x": X[:0], "y": Y[:0]}, VE, "find_lr: x is empty"),
        ("labels", {"y": Y + 1}, VE, "from 0 to 1"),
        ("width", {"x": X[:, :1]}, VE, "x of shape (4, 1) does not fit"),
        ("weights", {"sample_weight": [1, 1]}, VE, "one weight for each row"),
    ]),
]  # fmt: skip
