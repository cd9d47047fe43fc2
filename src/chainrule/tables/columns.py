"""The columns of a table and their cells: what is a gap, a number or a category, and which columns
tell something of new rows."""

from __future__ import annotations

import math
import numbers
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np

from ..errors import show

if TYPE_CHECKING:
    from .._types import Array

GAPS = {"", "na", "n/a", "nan", "null", "?"}
NUMBER, CATEGORY, DROPPED = "number", "category", "dropped"
MAX_CATEGORIES = 100
MAX_NUMERIC_CLASSES = 20
TRUTH = {"true": 1.0, "false": 0.0}
LARGEST = 1e150  # so that squares are numbers
MIN_ROWS = 20
WHOLE = re.compile(r"[+-]?\d+\.0+")
NEARLY = re.compile(r"[^a-zA-Z]*\d[^a-zA-Z]*")  # digits and no letters: 45%, 1,234, 3,5
MIN_ROWS_OF_A_CLASS = 3  # one each to train, to validate and to test


def column_kinds(table: Any) -> dict[str, str]:
    """Judge each column by its values: "number", "category", or "dropped" with a reason.

    Dropped is what tells nothing of new rows: empty columns, columns that always have the same
    value, whole numbers that only number the rows, and texts of which nearly every row has its own,
    such as names.

    Parameters
    ----------
    table : list of dict, or mapping of columns

    Raises
    ------
    TypeError, ValueError
        For what is no table, no rows, and numbers that are infinite or too large, with their row.

    Examples
    --------
    >>> from chainrule.tables import column_kinds
    >>> column_kinds({"hours": ["3", "", "8"], "passed": ["no", "no", "yes"], "tutor": [""] * 3})
    {'hours': 'number', 'passed': 'category', 'tutor': 'dropped: it is empty'}
    """
    return {name: _kind(name, cells) for name, cells in columns_of(table).items()}


def encode_classes(answers: Any, names: Sequence[str] | None = None) -> tuple[Array, list[str]]:
    """Number the classes of a column of answers, and refuse a column that is none of classes.

    Parameters
    ----------
    answers : sequence (N,)
        Texts or numbers.
    names : sequence of str, optional
        The classes, in the order of their indices. If not given they are found and sorted, and each
        must have three rows, one each to train, to validate and to test.

    Returns
    -------
    labels : array (N,) of int64
    names : list of str

    Raises
    ------
    ValueError
        For gaps, fewer than two classes, classes of one or two rows, classes that are not among
        `names`, and numbers of more than 20 different values, which are amounts and no classes.

    Examples
    --------
    >>> from chainrule.tables import encode_classes
    >>> encode_classes(["yes", "no", "no", "yes", "yes", "no"])
    (array([1, 0, 0, 1, 1, 0]), ['no', 'yes'])
    """
    cells = cells_of(answers)
    if any(is_gap(cell) for cell in cells):
        raise ValueError("there are gaps among the classes; leave these rows out.")
    texts = [text_of(cell) for cell in cells]
    counts = Counter(texts)
    if names is None:
        values = [to_number(cell) for cell in counts]
        numeric = all(value is not None for value in values)
        if numeric and len(counts) > MAX_NUMERIC_CLASSES:
            raise ValueError(
                f"it holds {len(counts)} different numbers, which are amounts and no classes: that "
                "is regression, with MeanSquaredError and one output."
            )
        if len(counts) < 2:
            raise ValueError(
                f"it takes two classes or more, and every row has {next(iter(counts), None)!r}."
            )
        rare = sorted(name for name, count in counts.items() if count < MIN_ROWS_OF_A_CLASS)
        if rare:
            raise ValueError(
                f"{len(rare)} of {len(counts)} classes have fewer than {MIN_ROWS_OF_A_CLASS} rows, "
                f"such as {rare[0]!r}; one each is needed to train, to validate and to test. Join "
                "rare classes, or leave their rows out."
            )
        names = sorted(counts, key=(lambda t: (to_number(t), t)) if numeric else None)
    names = [text_of(name) for name in names]
    index = {name: i for i, name in enumerate(names)}
    unknown = sorted(counts.keys() - index.keys())
    if unknown:
        raise ValueError(f"the class {unknown[0]!r} is none of {', '.join(map(repr, names))}.")
    return np.array([index[text] for text in texts], np.int64), names


def take_classes(rows: Any, target: str) -> tuple[Any, Array, list[str]]:
    """Take the column of the classes out of a table; rows without a class are left out.

    Parameters
    ----------
    rows : list of dict, mapping of columns, or frame
    target : str
        The name of the column.

    Returns
    -------
    rows : list of dict, or frame
        Without that column; a frame of pandas stays one.
    labels, names
        As `encode_classes` gives them.

    Raises
    ------
    TypeError, ValueError
        For a column that is not there, or alone, or none of classes; and for fewer than 20 rows.

    Examples
    --------
    >>> from chainrule.tables import take_classes
    >>> rows = [{"hours": hours, "passed": "yes" if hours > 9 else "no"} for hours in range(20)]
    >>> others, labels, names = take_classes(rows, "passed")
    >>> others[12], labels.tolist()[8:12], names
    ({'hours': 12}, [0, 0, 1, 1], ['no', 'yes'])
    """
    columns = columns_of(rows)
    names = list(columns)
    if target not in names:
        raise ValueError(f"there is no column {target!r}, but {', '.join(map(repr, names))}.")
    if len(names) == 1:
        raise ValueError(f"there is no column beside {target!r}, so nothing tells the classes.")
    cells = columns.pop(target)
    known = [i for i, cell in enumerate(cells) if not is_gap(cell)]
    if len(known) < MIN_ROWS:
        raise ValueError(
            f"{len(known)} rows with a class are too few; it takes {MIN_ROWS} to train, to "
            "validate and to test."
        )
    try:
        labels, classes = encode_classes([cells[i] for i in known])
    except ValueError as error:
        raise ValueError(f"the column {target!r} cannot be the target: {error}") from None
    if hasattr(rows, "iloc"):
        others = [j for j, name in enumerate(names) if name != target]
        return rows.iloc[known, others], labels, classes
    left = [{name: column[i] for name, column in columns.items()} for i in known]
    return left, labels, classes


def is_gap(cell: Any) -> bool:
    """Whether a cell holds nothing: None, NaN, an empty text, NA, N/A, NaN, null or ?.

    Examples
    --------
    >>> from chainrule.tables import is_gap
    >>> [is_gap(cell) for cell in ("", " n/a ", None, 0, "none")]
    [True, True, True, False, False]
    """
    if isinstance(cell, str):
        return cell.strip().lower() in GAPS
    if cell is None or type(cell).__name__ in ("NAType", "NaTType"):  # pandas'
        return True
    return isinstance(cell, numbers.Number) and bool(cell != cell)


def to_number(cell: Any) -> float | None:
    """The number that a cell holds or spells, or None; true is 1 and false 0, in any case."""
    if isinstance(cell, str) and cell.strip().lower() in TRUTH:
        return TRUTH[cell.strip().lower()]
    spelled = isinstance(cell, str) and "_" not in cell  # Python reads 1_000, tables do not
    if not spelled and not isinstance(cell, (numbers.Number, np.bool_)):  # Decimal is no Real
        return None
    try:
        return float(cell)
    except (TypeError, ValueError):  # a complex one, a text
        return None
    except OverflowError:  # of an integer
        return math.inf


def number_in(name: str, i: int, cell: Any) -> float | None:
    """The number of a cell, None for a gap; refuse anything else."""
    value = None if is_gap(cell) else to_number(cell)
    if value is None and not is_gap(cell):
        raise ValueError(f"the column {name!r} holds numbers, but row {i + 1} has {cell!r}.")
    if value is not None and abs(value) > LARGEST:
        why = "infinite" if math.isinf(value) else "too large to compute with"
        raise ValueError(f"the column {name!r} holds {cell!r} in row {i + 1}, which is {why}.")
    return value


def text_of(cell: Any) -> str:
    """A cell as the text of a category; 3.0 is 3, as a column with gaps holds and writes it."""
    if isinstance(cell, (float, np.floating)) and cell.is_integer():
        return str(int(cell))
    text = str(cell).strip()
    return text.partition(".")[0] if WHOLE.fullmatch(text) else text


def columns_of(table: Any) -> dict[str, list[Any]]:
    """A list of rows, a mapping of columns or a frame as a dict of columns of one length."""
    if hasattr(table, "items"):
        named = [(str(name), cells_of(cells)) for name, cells in table.items()]
        columns = dict(named)
        if len(columns) < len(named):
            names = [name for name, _ in named]
            twice = next(name for name in names if names.count(name) > 1)
            raise ValueError(f"two columns of the table have the name {twice!r}.")
    elif isinstance(table, (list, tuple)) and all(isinstance(row, Mapping) for row in table):
        every = dict.fromkeys(name for row in table for name in row)  # a row may lack some
        columns = {str(name): [row.get(name) for row in table] for name in every}
    else:
        raise TypeError(
            "a table must be a list of rows, each a dict, or a dict of columns, or a frame; got "
            f"{type(table).__name__}."
        )
    lengths = {len(cells) for cells in columns.values()}
    if len(lengths) > 1:
        raise ValueError(f"the columns of a table must be of one length, got {sorted(lengths)}.")
    if lengths in (set(), {0}):
        raise ValueError("the table has no rows.")
    return columns


def cells_of(values: Any) -> list[Any]:
    """A column as a list of Python's own values."""
    if isinstance(values, (str, bytes)) or not hasattr(values, "__iter__"):
        raise TypeError(f"a column must hold a value for each row, got {values!r}.")
    if getattr(values, "ndim", 1) != 1:
        raise ValueError(
            "a column must hold one value for each row, got an array of shape "
            f"{show(values.shape)}."
        )
    return list(values.tolist() if hasattr(values, "tolist") else values)


def _kind(name: str, cells: list[Any]) -> str:
    """The kind of a column, or why it is dropped."""
    held = [cell for cell in cells if not is_gap(cell)]
    texts = {text_of(cell) for cell in held}
    values = [to_number(cell) for cell in held]
    spelled = sum(value is not None for value in values)
    if not held:
        return f"{DROPPED}: it is empty"
    if len(texts) == 1 and len(held) == len(cells):
        return f"{DROPPED}: every row has {held[0]!r}"
    if spelled == len(held):
        for i, cell in enumerate(cells):
            number_in(name, i, cell)  # raises for infinities
        return f"{DROPPED}: it numbers the rows" if _counts_rows(values, cells) else NUMBER
    if len(texts) > max(len(held) / 2, 2) or len(texts) > MAX_CATEGORIES:
        others = [c for c, value in zip(held, values, strict=True) if value is None]
        what = ""
        if spelled > len(held) / 2:
            what = f", {others[0]!r} among them beside numbers"
        elif all(NEARLY.fullmatch(str(cell)) for cell in others):
            what = "; a number is written as 1234.5"
        return f"{DROPPED}: it has {len(texts)} different texts in {len(held)} rows{what}"
    return CATEGORY


def _counts_rows(values: list[Any], cells: list[Any]) -> bool:
    """Whether whole numbers rise from row to row, with few left out: a number of the row."""
    n = len(cells)
    whole = len(values) == n and all(value.is_integer() for value in values)
    rising = whole and all(a < b for a, b in pairwise(values))
    return n >= 8 and rising and values[-1] - values[0] < 3 * n
