"""The figures of a run as a file that others can read while it is written. A run that is killed
leaves a row for each epoch it finished, because no row waits in memory."""

from __future__ import annotations

import csv
import os
from collections.abc import Mapping
from typing import Any

import numpy as np

from ..errors import check_flag
from .base import Callback, is_scalar


class CSVLogger(Callback):
    """Write a row for each epoch to a CSV file: its number, counted from 0, and its figures.

    The file is open only while a row is written. Figures that are arrays, as those of
    `ConfusionMatrix`, are left out. The text is UTF-8, with a header in the first line.

    A run that is resumed goes on with its file: rows of epochs after the checkpoint are dropped,
    and rows that got lost are written again.

    Parameters
    ----------
    path : str or os.PathLike
        An earlier file is replaced when the first epoch of a fit ends.
    append : bool
        Write behind the rows of an earlier file instead; its header has to name the same figures,
        in any order.

    Raises
    ------
    TypeError
        For a path or a flag that is none.
    ValueError
        For an earlier file whose header does not fit, at the start of a fit.
    OSError
        For a file that cannot be written, at the start of a fit as far as that can be known.

    Examples
    --------
    >>> from chainrule import CSVLogger
    >>> log = CSVLogger("run.csv")  # for fit(..., callbacks=[log])

    References
    ----------
    Keras' ``CSVLogger``, which keeps the file open.
    """

    def __init__(self, path: str | os.PathLike[str], append: bool = False) -> None:
        if not isinstance(path, (str, os.PathLike)):
            raise TypeError(f"CSVLogger: path must be that of a CSV file, got {path!r}.")
        self.path = os.fsdecode(path)
        self.append = check_flag("CSVLogger", "append", append)

    def on_train_begin(self) -> None:
        self._target = os.path.abspath(self.path)  # for a run that changes its folder
        self._torn = False
        self._content: bytes | None = None
        self._check_writable()
        self._columns = self._header() if self.append else []
        self._goes_on = bool(self._columns)
        if self._goes_on:
            self._refuse(set(self.params["monitors"]) - set(self._columns))

    def _check_writable(self) -> None:
        """Let the system refuse the file now, and not after the first epoch; leave no new one."""
        try:
            with open(os.path.realpath(self.path), "xb"):
                pass
        except FileExistsError:
            with open(self.path, "ab"):
                pass
        else:
            os.remove(os.path.realpath(self.path))

    def on_epoch_end(self, epoch: int, logs: Mapping[str, Any]) -> None:
        self._put_back()
        row: dict[str, Any] = {"epoch": epoch}
        row |= {name: np.asarray(value).item() for name, value in logs.items() if is_scalar(value)}
        lines = [[row.get(name, "") for name in self._columns or row]]
        if not self._columns:
            self._columns = list(row)
            mode = "w"
            lines.insert(0, [*self._columns])
        else:
            mode = "a"
            if self._goes_on:
                self._refuse(set(row) ^ set(self._columns))
            if not os.path.exists(self._target):  # moved away or removed meanwhile
                lines.insert(0, self._columns)
                self._torn = False
        with open(self._target, mode, newline="", encoding="utf-8") as file:
            if self._torn:
                file.write("\n")
                self._torn = False
            csv.writer(file, lineterminator="\n").writerows(lines)
        self._goes_on = False  # its columns were compared

    def state_dict(self) -> dict[str, Any]:
        """The whole file: a run that is resumed drops what was written after the checkpoint."""
        return {"columns": self._columns, "content": np.frombuffer(self._read(), np.uint8)}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        content, columns = state["content"].tobytes(), state["columns"]
        if type(columns) is not list or not all(type(name) is str for name in columns):
            raise ValueError(f"CSVLogger: its columns are {columns!r}.")
        found = self._read()
        whole_or_cut = found.startswith(content) or content.startswith(found.rstrip())
        later, _, _ = found[len(content) :].rpartition(b"\n")  # the last row may be a torn one
        epochs = _epochs(content)[-1:] + _epochs(later)  # another run begins at 0 again
        if self.append and not (whole_or_cut and epochs == sorted(set(epochs))):
            raise ValueError(
                f"CSVLogger: {self.path!r} is not the log of the run that should be resumed; "
                "use that one's path, or append=False to replace it."
            )
        self._content = content if found != content else None
        self._columns, self._goes_on, self._torn = columns, False, False

    def _put_back(self) -> None:
        """Write the log of a run that is resumed, once it is: another callback may refuse it."""
        if self._content is not None:
            with open(self._target, "wb") as file:
                file.write(self._content)
            self._content = None

    def on_train_end(self) -> None:
        self._put_back()

    def _read(self) -> bytes:
        """What the file holds; nothing where there is none."""
        try:
            with open(self._target, "rb") as file:
                return file.read()
        except FileNotFoundError:
            return b""

    def _header(self) -> list[str]:
        """Read the columns of an earlier file, none of an empty one or where there is none."""
        lines = self._read()
        if not lines:
            return []
        try:
            columns = next(csv.reader([lines.splitlines()[0].decode("utf-8-sig")]), [])
        except (UnicodeDecodeError, csv.Error):
            columns = []
        if columns[:1] != ["epoch"] or len(set(columns)) != len(columns):
            raise ValueError(
                f"CSVLogger: {self.path!r} is no log of this kind, whose first line begins with "
                "'epoch'; use another path, or append=False to replace it."
            )
        self._torn = not lines.endswith((b"\n", b"\r"))  # a run was killed while it wrote
        return columns

    def _refuse(self, names: set[str]) -> None:
        """Refuse figures that stand in the header or come from this run, and not both."""
        if names:
            raise ValueError(
                f"CSVLogger: the header of {self.path!r} is {','.join(self._columns)}, which does "
                f"not fit this run because of {', '.join(sorted(names))}; use another path, or "
                "append=False to replace it."
            )


def _epochs(lines: bytes) -> list[int]:
    """The numbers that rows begin with."""
    cells = (line.partition(b",")[0] for line in lines.splitlines())
    return [int(cell) for cell in cells if cell.isdigit()]
