"""The wrong uses of metrics, for tests/test_wrong_use.py. What is wrong to one metric on classes is
wrong to all of them, so each is asked the same."""

from __future__ import annotations

import numpy as np
from wrong_use_rows import COUNTS, FLAGS, INF, NAN, REALS, TE, VE, X, Y, each, row, table

import chainrule as cr

# What is wrong to every metric on classes, as (what, arguments of update, error, piece).
OF_CLASSES = [
    ("floats", (X, Y + 0.5), TE, "class indices must be integers, got float64"),
    ("lengths", (X, Y[:3]), VE, "class indices of shape (4,) or one-hot of shape (4, 2), got (3,)"),
    ("column", (X, Y[:, None]), VE, "got (4, 1)"),
    ("label 2 of 2", (X, [0, 1, 2, 0]), VE, "from 0 to 1, got 0 to 2"),
    ("label -1", (X, [0, 1, -1, 0]), VE, "from 0 to 1, got -1 to 1"),
    ("several labels", (X, X + 1), VE, "must sum to 1 in each row, got 2"),
    ("no label", (X, X), VE, "must sum to 1 in each row, got 0"),
    ("NaN", (X + NAN, Y), VE, "predictions hold NaN"),
    ("NaN as a label", (X, X + NAN), VE, "from 0 to 1"),
    ("text", ([["a", "b"]], [0]), TE, "predictions must be real numbers"),
    ("text as a label", (X, list("abab")), TE, "targets must be real numbers"),
    ("weight -1", (X, Y, [1, 1, 1, -1]), VE, "not negative"),
    ("weights", (X, Y, [1, 1]), VE, "one weight for each row, shape (4,); got (2,)"),
]
OF_ONE_OUTPUT = [
    ("(4,) to (4, 1)", (X[:, :1], Y), VE, "shape (4, 1), got (4,). The sizes agree"),
    ("(4, 1) to (4,)", (X[:, 0], Y[:, None]), VE, "shape (4,), got (4, 1). The sizes agree"),
    ("one output, target 2", (X[:, 0], Y + 1), VE, "must be 0 or 1, got 2"),
    ("one output, target 0.5", (X[:, 0], Y / 2), VE, "must be 0 or 1, got 0.5"),
    ("one output, target NaN", (X[:, 0], Y + NAN), VE, "must be 0 or 1, got nan"),
    ("one output, NaN", (X[:, 0] + NAN, Y), VE, "predictions hold NaN"),
    ("class indices", ([0, 1, 2, 2], [0, 1, 2, 1]), VE, "inspection.confusion_matrix"),
    ("a number", (1.0, 1), VE, "must have rows"),
]
WIDER = np.zeros((4, 3))


def update_twice(metric, first, second):
    metric.update(first, Y)
    metric.update(second, Y)


METRIC_ROWS = [
    *[
        one
        for kind in (cr.Accuracy, cr.TopKAccuracy, cr.Precision, cr.Recall, cr.F1,
                     cr.ConfusionMatrix, cr.ROCAUC)
        for one in table(f"{kind.__name__}:", lambda v, kind=kind: kind().update(*v), OF_CLASSES)
    ],
    *[
        one
        for kind in (cr.Precision, cr.Recall, cr.F1, cr.ConfusionMatrix, cr.ROCAUC)
        for one in [
            *table(f"{kind.__name__}:", lambda v, kind=kind: kind().update(*v), OF_ONE_OUTPUT),
            row(f"{kind.__name__}: widths", lambda kind=kind: update_twice(
                kind() if kind in (cr.ConfusionMatrix, cr.ROCAUC) else kind("macro"), WIDER, X),
                VE, "the batches before had 3 classes, this one has 2; call reset()"),
        ]
    ],
    *[
        one
        for kind in (cr.Precision, cr.Recall, cr.F1)
        for one in [
            *each(f"{kind.__name__}: average", kind,
                  [("weighted", VE), (3, VE), (["macro"], VE), (True, VE)],
                  'average must be "binary", "macro", "micro" or None, got'),
            *each(f"{kind.__name__}: threshold", lambda v, kind=kind: kind(threshold=v), REALS,
                  "threshold must be a number"),
            row(f"{kind.__name__}: binary", lambda kind=kind: kind().update(WIDER, Y), VE,
                f'got 3 classes; write {kind.__name__}(average="macro")'),
        ]
    ],
    *[
        row(f"{kind.__name__}: one column", lambda kind=kind: kind().update(X[:, :1], Y), VE,
            "BinaryAccuracy()")
        for kind in (cr.Accuracy, cr.TopKAccuracy)
    ],
    *each("BinaryAccuracy: threshold", cr.BinaryAccuracy, REALS, "threshold must be a number"),
    *table("BinaryAccuracy:", lambda v: cr.BinaryAccuracy().update(*v), [
        *OF_ONE_OUTPUT,
        ("text", ([["a"]], [[1]]), TE, "real numbers"),
    ]),
    *each("TopKAccuracy: k", cr.TopKAccuracy, COUNTS, "k must be an integer, at least 1"),
    *each("ConfusionMatrix: threshold", cr.ConfusionMatrix, REALS, "threshold must be a number"),
    row("ConfusionMatrix: classes", lambda: cr.ConfusionMatrix().update(np.zeros((1, 10_001)), [0]),
        VE, "10001 classes are more than the 10000"),
    *each("ROCAUC: from_logits", cr.ROCAUC, FLAGS, "from_logits must be True or False"),
    row("ROCAUC: probabilities", lambda: cr.ROCAUC().update(np.full((8, 2), 0.5), [0, 1] * 4), VE,
        "ROCAUC(from_logits=False)"),
    row("ROCAUC: two of +inf", lambda: cr.ROCAUC().update([[INF, INF, 0]], [0]), VE, "no softmax"),
    row("ROCAUC: all of -inf", lambda: cr.ROCAUC().update([[-INF, -INF]], [0]), VE, "no softmax"),
    *[
        one
        for kind in (cr.R2, cr.RootMeanSquaredError)
        for one in table(f"{kind.__name__}:", lambda v, kind=kind: kind().update(*v), [
            ("(4,) to (4, 1)", (X[:, :1], Y), VE, "got (4,). The sizes agree"),
            ("(4, 1) to (4,)", (X[:, 0], Y[:, None]), VE, "got (4, 1). The sizes agree"),
            ("lengths", (X, X[:3]), VE, "shape (4, 2), got (3, 2)"),
            ("a number", (1.0, 1.0), VE, "must have rows"),
            ("text", (["a"], ["b"]), TE, "predictions must be real numbers"),
            ("complex", (X, X + 1j), TE, "targets must be real numbers"),
            ("weight -1", (X, X, [1, 1, 1, -1]), VE, "not negative"),
            ("weight NaN", (X, X, [1, 1, 1, NAN]), VE, "finite"),
            ("weights", (X, X, X), VE, "one weight for each row, shape (4,); got (4, 2)"),
        ])
    ],
    row("R2: widths", lambda: [r2.update(x, x) for r2 in [cr.R2()] for x in (X, WIDER)], VE,
        "the batches before had 2 outputs, this one has 3"),
]  # fmt: skip
