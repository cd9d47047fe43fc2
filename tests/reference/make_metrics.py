"""Makes metrics.npz: what scikit-learn computes for every case of the metrics, all rows at once.
Run it with scikit-learn installed, python tests/reference/make_metrics.py; it does not import the
library that it checks."""

from __future__ import annotations

import platform
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import sklearn
from sklearn import metrics as sk

arrays: dict[str, np.ndarray] = {}
rng = np.random.default_rng(20261125)
SCORES = {"Precision": sk.precision_score, "Recall": sk.recall_score, "F1": sk.f1_score}


def softmax(z: np.ndarray) -> np.ndarray:
    e = np.exp(z - z.max(axis=1, keepdims=True))
    return e / e.sum(axis=1, keepdims=True)


def keep(case: str, p: Any, t: Any, figures: Any) -> None:
    """Store a case's inputs, and its figures in both dtypes, without and with weights.

    They stand in one row, each flat, in the order of their names.
    """
    p, t = np.array(p), np.array(t)
    w = rng.uniform(0.2, 3, size=len(p))
    arrays[f"{case}/p"], arrays[f"{case}/t"], arrays[f"{case}/w"] = p, t, w
    for dtype in ("float32", "float64"):
        for name, weight in (("plain", None), ("weighted", w)):
            inputs = p.astype(dtype).astype(float)  # what the metric sees, in float64
            target = t.astype(dtype).astype(float) if t.dtype.kind == "f" else t
            values = figures(inputs, target, weight)
            arrays[f"{case}/{dtype}/{name}"] = np.concatenate(
                [np.ravel(v) for v in values.values()]
            )
            arrays[f"{case}/figures"] = np.array(list(values))


# ---- one output: scores (n,), targets of 0 and 1 -------------------------------------------------


def binary(z: np.ndarray, t: np.ndarray, w: np.ndarray | None) -> dict[str, Any]:
    guess, both = (z > 0).astype(int), {"labels": [0, 1], "sample_weight": w}
    figures = {
        "BinaryAccuracy()": sk.accuracy_score(t, guess, sample_weight=w),
        "ConfusionMatrix()": sk.confusion_matrix(t, guess, **both),
        "ROCAUC()": sk.roc_auc_score(t, z, sample_weight=w),
    }
    for kind, score in SCORES.items():
        figures[f"{kind}()"] = score(t, guess, sample_weight=w)
        figures[f"{kind}(average=None)"] = score(t, guess, average=None, **both)
        for average in ("macro", "micro"):
            figures[f'{kind}(average="{average}")'] = score(
                t, guess, average=average, sample_weight=w
            )
    return figures


# ---- several outputs: logits (n, C), class indices -----------------------------------------------


def classes(z: np.ndarray, t: np.ndarray, w: np.ndarray | None) -> dict[str, Any]:
    c, p = list(range(z.shape[1])), softmax(z)
    guess, labelled = z.argmax(axis=1), {"labels": c, "sample_weight": w}
    figures = {
        "Accuracy()": sk.accuracy_score(t, guess, sample_weight=w),
        "ConfusionMatrix()": sk.confusion_matrix(t, guess, **labelled),
    }
    if len(c) == 2:
        figures["ROCAUC()"] = sk.roc_auc_score(t, p[:, 1], sample_weight=w)
    else:
        figures["ROCAUC()"] = sk.roc_auc_score(t, p, multi_class="ovr", **labelled)
        # of ties scikit-learn takes the last first, so the classes are mirrored
        last = len(c) - 1
        for k in (1, 2, 3, len(c), 9):
            figures[f"TopKAccuracy({k})"] = sk.top_k_accuracy_score(
                last - t, z[:, ::-1], k=k, **labelled
            )
    for kind, score in SCORES.items():
        figures[f"{kind}(average=None)"] = score(t, guess, average=None, **labelled)
        for average in ("macro", "micro"):
            figures[f'{kind}(average="{average}")'] = score(
                t, guess, average=average, sample_weight=w
            )
        if len(c) == 2:
            figures[f"{kind}()"] = score(t, guess, sample_weight=w)
    return figures


def ranks(p: np.ndarray, t: np.ndarray, w: np.ndarray | None) -> dict[str, Any]:
    labelled = {"labels": list(range(p.shape[1])), "sample_weight": w}
    value = sk.roc_auc_score(t, p, multi_class="ovr", **labelled)
    return {"ROCAUC(from_logits=False)": value}


# ---- numbers: predictions and targets of one shape -----------------------------------------------


def regression(p: np.ndarray, t: np.ndarray, w: np.ndarray | None) -> dict[str, Any]:
    return {
        "R2()": sk.r2_score(t, p, sample_weight=w),
        # over all entries, so the root is taken last
        "RootMeanSquaredError()": np.sqrt(sk.mean_squared_error(t, p, sample_weight=w)),
    }


warnings.simplefilter("ignore")  # a figure that is undefined warns there, and has a value

n = 37
score, answer = rng.normal(size=n), rng.integers(2, size=n)
keep("binary", score, answer, binary)
keep("binary, ties", np.round(2 * score) / 2, answer, binary)
keep("binary, all one score", np.zeros(n), answer, binary)
keep("binary, one sample", score[:1], answer[:1], binary)
keep("binary, only ones", score, np.ones(n, int), binary)
keep("binary, only zeros", score, np.zeros(n, int), binary)
keep("binary, none said", -abs(score), answer, binary)
keep("binary, none said and none there", -abs(score), np.zeros(n, int), binary)
keep("binary, all right", answer - 0.5, answer, binary)

logits, label = rng.normal(size=(n, 4)), rng.integers(4, size=n)
logits[np.arange(n), label] += 0.5
keep("classes", logits, label, classes)
keep("classes, ties", logits[np.arange(n) % 5], label, classes)
keep("classes, ties within rows", np.round(logits), label, lambda z, t, w: {
    figure: value for figure, value in classes(z, t, w).items() if "AUC" not in figure
})  # fmt: skip
keep("classes, one sample", logits[:1], label[:1], classes)
keep("classes, one class", logits, np.full(n, 2), classes)
keep("classes, one never there", logits, np.where(label == 3, 0, label), classes)
never = logits - [0, 0, 0, 100]
keep("classes, one never said", never, label, classes)
keep("classes, one neither", never, np.where(label == 3, 0, label), classes)
keep("classes, two", logits[:, :2], label % 2, classes)
keep("classes, two, one there", logits[:, :2], np.ones(n, int), classes)
eighths = np.array([[4, 2, 2], [1, 4, 3], [2, 2, 4], [4, 3, 1], [3, 4, 1], [1, 1, 6], [2, 3, 3]])
keep("ranks", eighths[rng.integers(7, size=n)] / 8, label % 3, ranks)

truth = rng.normal(size=n)
guess = truth + rng.normal(size=n) / 2
keep("numbers", guess, truth, regression)
keep("numbers, worse than the mean", -guess, truth, regression)
keep("numbers, far from 0", guess + 1e4, truth + 1e4, regression)
keep("numbers, met", truth, truth, regression)
keep("numbers, one sample", guess[:1], truth[:1], regression)
keep("numbers, constant", guess, np.full(n, 0.75), regression)
keep("numbers, constant and met", np.full(n, 0.75), np.full(n, 0.75), regression)
two = np.stack([truth, 3 * truth[::-1]], axis=1)
keep("numbers, two outputs", two + rng.normal(size=(n, 2)), two, regression)
two[:, 1] = 2.0
keep("numbers, two outputs, one constant", two + rng.normal(size=(n, 2)), two, regression)

versions = f"scikit-learn {sklearn.__version__}, NumPy {np.__version__}"
arrays["versions"] = np.array(f"{versions}, Python {platform.python_version()}")
np.savez_compressed(Path(__file__).with_name("metrics.npz"), **arrays)
print(len(arrays), "arrays")
