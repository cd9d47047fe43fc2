"""The figures of a training run, epoch by epoch: as lists to compute with, as a table to read, as a
file for others. A picture of them is `chainrule.plots.training_curves`."""

from __future__ import annotations

import csv
import os
from collections.abc import Mapping
from typing import Any

import numpy as np

from ._types import Text


class History(dict[str, list[Any]]):
    """The figures of a training run: a list for each name, a number for each epoch.

    Of a metric whose result is an array, such as `ConfusionMatrix`, it holds an array for each.

    Attributes
    ----------
    epochs : list of int
        The number of each epoch, counted from 0.
    class_weight : dict or None
        What each class weighed in the loss; for ``"balanced"``, the weights that were found.

    Examples
    --------
    >>> from chainrule import SGD, Dense, MeanSquaredError, Model
    >>> history = Model(Dense(1, 1, init=lambda rng, shape, dtype: 0 * rng.random(shape))).fit(
    ...     [[1.0]], [[2.0]], loss=MeanSquaredError(), optimizer=SGD(0.25), epochs=3, verbose=0)
    >>> history["loss"]
    [4.0, 0.0, 0.0]
    >>> history.table()
    epoch  loss
        1     4
        2     0
        3     0
    """

    def __init__(self) -> None:
        super().__init__()
        self.epochs: list[int] = []
        self.class_weight: dict[int, float] | None = None

    def add(self, epoch: int, figures: Mapping[str, Any]) -> None:
        """Write down an epoch, all of it or nothing: Ctrl-C may come in between."""
        n = len(self.epochs)
        try:
            for name, value in figures.items():
                self.setdefault(name, []).append(value)
            self.epochs.append(epoch)
        except BaseException:
            for name, values in list(self.items()):
                del values[n:]
                if not values:
                    del self[name]
            raise

    def table(self) -> str:
        """The figures as text, a row for each epoch, counted from 1; arrays are left out."""
        head, *rows = self._rows()
        cells = [["epoch", *head[1:]]]
        cells += [[str(row[0] + 1), *map(_short, row[1:])] for row in rows]
        widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
        return Text(
            "\n".join(
                "  ".join(f"{cell:>{w}}" for cell, w in zip(row, widths, strict=True))
                for row in cells
            )
        )

    def to_csv(self, path: str | os.PathLike[str]) -> None:
        """Write the figures to a CSV file, a row for each epoch; an earlier file is replaced.

        Epochs are counted from 0 and arrays left out, as in a file of `CSVLogger`. Numbers are
        written with all their digits.

        Raises
        ------
        TypeError, OSError
            For a path that is none, and what the operating system refuses.
        """
        if not isinstance(path, (str, os.PathLike)):
            raise TypeError(f"History.to_csv: expected the path of a CSV file, got {path!r}.")
        with open(path, "w", newline="", encoding="utf-8") as file:
            csv.writer(file, lineterminator="\n").writerows(self._rows())

    def _rows(self) -> list[list[Any]]:
        """A header, and for each epoch its number and all figures that are numbers."""
        names = [name for name, values in self.items() if all(np.ndim(v) == 0 for v in values)]
        columns = [self.epochs, *(map(to_python, self[name]) for name in names)]
        return [["epoch", *names], *map(list, zip(*columns, strict=True))]


def _short(value: Any) -> str:
    """A cell of the table; what is no number, as an own metric may give, as it is."""
    return f"{value:.4g}" if isinstance(value, (int, float)) else str(value)


def to_python(value: Any) -> Any:
    """A number of Python's, from one of NumPy's as well."""
    return value.item() if isinstance(value, (np.generic, np.ndarray)) else value
