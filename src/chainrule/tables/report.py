"""A confusion matrix as a text, with the figures of each class beside it. A terminal is enough to
see which class is taken for which."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ..errors import as_numbers, listed, show

WIDTH = 80  # of all names side by side


def class_report(counts: Any, names: Sequence[str] | None = None) -> str:
    """Return a confusion matrix as lines of text, with recall and precision in per cent.

    Recall is the share of a class's rows that were found, precision the share of the rows that were
    said to be of it and are. Where there are no such rows stands a dash.

    Parameters
    ----------
    counts : array (C, C)
        C[i, j] rows of class i were predicted as j, as `inspection.confusion_matrix` gives them.
    names : sequence of str, optional
        Of the classes; if not given, their indices. Names that are too long to stand side by side
        are numbered, and the columns have the numbers.

    Raises
    ------
    TypeError, ValueError
        For arrays that are not square, and another number of names.

    Examples
    --------
    >>> from chainrule.tables import class_report
    >>> print(class_report([[8, 2], [0, 5]], ["no", "yes"]))
                no  yes  recall
           no    8    2     80%
          yes    0    5    100%
    precision 100%  71%
    """
    table = as_numbers("class_report: counts", counts)
    if table.ndim != 2 or table.shape[0] != table.shape[1]:
        raise ValueError(f"class_report: counts must have shape (C, C), got {show(table.shape)}.")
    labels = list(map(str, range(len(table)) if names is None else listed("names", names)))
    if len(labels) != len(table):
        raise ValueError(f"class_report: {len(table)} classes, but {len(labels)} names.")
    heads = labels = [" ".join(label.split()) for label in labels]
    if names is not None and sum(map(len, heads)) > WIDTH:
        heads = [str(k) for k in range(len(labels))]
        labels = [f"{k} {label}" for k, label in zip(heads, labels, strict=True)]
    hits = table.diagonal()
    recall, precision = _per_cent(hits, table.sum(axis=1)), _per_cent(hits, table.sum(axis=0))
    lines = [["", *heads, "recall"]]
    lines += [[name, *(f"{n:.9g}" for n in row), r]
              for name, row, r in zip(labels, table, recall, strict=True)]  # fmt: skip
    lines.append(["precision", *precision, ""])
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    return "\n".join(
        "  ".join(f"{cell:>{width}}" for cell, width in zip(line, widths, strict=True)).rstrip()
        for line in lines
    )


def _per_cent(part: Any, whole: Any) -> list[str]:
    """Shares as texts."""
    return [f"{p / w:.0%}" if w else "-" for p, w in zip(part, whole, strict=True)]
