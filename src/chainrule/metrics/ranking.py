"""How well scores put the right rows first, whatever threshold is chosen later. The area under the
curve needs the ranks of all scores, so they are kept until the result is asked for."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from ..errors import as_numbers, check_flag
from ..numerics import as_float, logsumexp
from .base import Metric
from .targets import class_targets, has_classes, position_weights, same_width, yes_or_no

if TYPE_CHECKING:
    from .._types import Array


class ROCAUC(Metric):
    r"""The area under the ROC curve: how often a row of the class scores above a row that is not.

    .. math:: P(s_+ > s_-) + \tfrac12 P(s_+ = s_-)

    over all pairs of a positive and a negative row, exactly, by ranks. With several classes it is
    the mean over the classes of each against the rest.

    Parameters
    ----------
    from_logits : bool
        For two outputs or more: class c is ranked by :math:`\log p_c - \log (1 - p_c)` with p the
        softmax of the predictions, which never saturates. False takes predictions as they are, such
        as the probabilities of a model that ends with Softmax. One output is always taken as it is.

    Notes
    -----
    Predictions are (N, ..., C) with class indices or one-hot targets, or one output, (N,) or
    (N, ..., 1), with targets of 0 and 1. A row counts with its sample weight. The result is NaN, as
    in scikit-learn but without a warning, when rows of a class are missing or there are no others;
    so it is with no rows. All scores are kept, N C numbers of the predictions' dtype.

    Raises
    ------
    TypeError, ValueError
        For targets that do not fit, scores that are NaN, logits whose softmax is NaN, and batches
        of probabilities, which sum to 1, where logits are expected.

    Examples
    --------
    >>> from chainrule import ROCAUC
    >>> auc = ROCAUC()
    >>> auc.update([0.1, 0.4, 0.35], [0, 0, 1])
    >>> auc.update([0.8], [1])
    >>> auc.result()
    0.75

    References
    ----------
    J. A. Hanley, B. J. McNeil, *The meaning and use of the area under a receiver operating
    characteristic (ROC) curve*, Radiology 143, 1982.
    """

    name = "roc_auc"

    def __init__(self, from_logits: bool = True) -> None:
        self.from_logits = check_flag("ROCAUC", "from_logits", from_logits)
        self.reset()

    def reset(self) -> None:
        self._classes: int | None = None
        self._batches: list[tuple[Array, Array, Array | None]] = []
        self._alike: int | None = 0

    def update(self, prediction: Any, target: Any, sample_weight: Any = None) -> None:
        prediction = as_numbers("ROCAUC: predictions", prediction)
        target = as_numbers("ROCAUC: targets", target)
        if has_classes(prediction):
            truth = class_targets("ROCAUC", prediction, target).ravel()
            classes = prediction.shape[-1]
            alike = self._count_alike(prediction.reshape(-1, classes))
            scores = self._kept(prediction.reshape(-1, classes))
        else:
            truth = yes_or_no("ROCAUC", prediction, target).ravel()
            scores, classes, alike = prediction.reshape(-1, 1), 2, None
        weight = position_weights(sample_weight, len(prediction), len(truth))
        self._classes = same_width("ROCAUC", self._classes, classes)
        self._alike = alike
        # copies, because the caller may write the next batch into the same arrays
        kept = None if weight is None else weight.copy()
        self._batches.append((scores.copy(), truth.copy(), kept))

    def result(self) -> float:
        if not self._batches:
            return float("nan")
        scores = np.concatenate([s for s, _, _ in self._batches])  # (n, C), or (n, 1)
        truth = np.concatenate([t for _, t, _ in self._batches])  # (n,)
        weight = None
        if any(w is not None for _, _, w in self._batches):
            parts = [np.ones(len(t)) if w is None else w for _, t, w in self._batches]
            weight = np.concatenate(parts)
        if self._classes == 2:
            return area(scores[:, 0], truth == 1, weight)
        scores = log_odds(scores) if self.from_logits else scores  # at once: it is a dozen passes
        each = [area(scores[:, c], truth == c, weight) for c in range(scores.shape[1])]
        return float(np.mean(each))

    def _kept(self, z: Array) -> Array:
        """What is kept of predictions (n, C): of two classes, what ranks the second."""
        if self.from_logits:
            z = as_float(z)
            if not np.isfinite(z).all() and np.isnan(log_odds(z)).any():
                raise ValueError(
                    "ROCAUC: some logits have no softmax: two of a row are +inf, or all are -inf."
                )
            z = log_odds(z) if z.shape[1] == 2 else z
        return z[:, 1:] if z.shape[1] == 2 else z

    def _count_alike(self, z: Array) -> int | None:
        """How many rows there were that all look like probabilities; None once one does not."""
        if self._alike is None or not self.from_logits:
            return None
        if not len(z):
            return self._alike
        if z.min() < 0 or not np.all(abs(z.sum(axis=1) - 1) < 1e-4):
            return None
        if self._alike + len(z) >= 8:  # fewer logits may look so by chance
            raise ValueError(
                "ROCAUC: predictions must be logits, got rows of probabilities; write "
                "ROCAUC(from_logits=False)."
            )
        return self._alike + len(z)

    def __repr__(self) -> str:
        return f"ROCAUC(from_logits={self.from_logits!r})"


def log_odds(z: Array) -> Array:
    """log p - log (1 - p) for each class, p the softmax of logits z (n, C).

    It is z_c - logsumexp of the others. For the largest, which may be near to one, the others are
    summed by themselves; for the rest, the largest is among the others, and nothing cancels.
    """
    with np.errstate(all="ignore"):  # infinities have odds of -inf or inf
        if z.shape[1] == 2:
            return np.stack([z[:, 0] - z[:, 1], z[:, 1] - z[:, 0]], axis=1)
        top = z.argmax(axis=1)[:, None]  # (n, 1)
        d = np.subtract(z, np.take_along_axis(z, top, axis=1), order="C")  # (n, C), at most 0
        np.put_along_axis(d, top, -np.inf, axis=1)
        rest = logsumexp(d)  # (n, 1) all but the largest
        odds: Array = d - np.log1p(np.maximum(np.exp(rest) - np.exp(d), 0))
        np.put_along_axis(odds, top, -rest, axis=1)
    return odds


def area(scores: Array, positive: Array, weight: Array | None = None) -> float:
    """The area under the ROC curve of scores (n,); NaN without a positive or a negative row."""
    if not len(scores):
        return float("nan")
    order = np.argsort(scores, kind="stable")
    s = scores[order]
    w = np.ones(len(s), np.int64) if weight is None else weight[order]
    starts = np.flatnonzero(np.r_[True, s[1:] != s[:-1]])  # where each distinct score begins
    yes = np.add.reduceat(np.where(positive[order], w, 0), starts)
    no = np.add.reduceat(np.where(positive[order], 0, w), starts)
    if not (yes.any() and no.any()):
        return float("nan")
    below = np.cumsum(no)
    total = below[-1].item()
    below = np.r_[0, below[:-1]]  # and not the sum less its last term, which is not exact
    if weight is None:
        won = (yes * (2 * below + no)).sum()  # each pair twice, a tie once
        return float(won.item() / (2 * yes.sum().item() * total))
    share = (2 * below + no) / (2 * total)  # at most 1, and 1 where all are below
    return float((yes * share).sum() / yes.sum())
