"""Tables from CSV files, as spreadsheets and other programs write them. Whatever is wrong with a
file is told in one sentence, with the line where it was found."""

from __future__ import annotations

import contextlib
import os
import re
from itertools import islice
from typing import Any

from .columns import to_number

SEPARATORS = ",;\t"
LOOK = 50  # lines, to find the separator
SEPARATOR_LINE = re.compile(r"sep=(.)\r?\n")
MARKED = re.compile(r"[+-]?\d*[.,]\d+(?:[eE][+-]?\d+)?")  # a number with a point or a comma
THOUSANDS = re.compile(r"[+-]?[1-9]\d{0,2}[.,]\d{3}")


def read_csv(path: str | os.PathLike[str]) -> list[dict[str, str]]:
    r"""Read a CSV file with a header as a list of rows, each a dict of texts by column.

    The file is UTF-8, with or without a byte order mark. Fields are separated by commas, semicolons
    or tabs: by that which gives the first lines one number of fields, and most of them. They may be
    quoted, and hold separators and line ends then. Between semicolons 3,5 is the number 3.5. Spaces
    round a field and empty lines are left out, and so is Excel's first line ``sep=;``, which
    tells the separator. A column without a name is called after its position, as "column 1".

    Parameters
    ----------
    path : str or path

    Returns
    -------
    list of dict of str to str

    Raises
    ------
    OSError
        What the operating system refuses, such as a missing file.
    ValueError
        For a file that is empty, binary, not in UTF-8 or without rows; for column names that are
        numbers or stand twice; for a line with more or fewer fields than the header; and, but
        between commas, for a column of numbers of which nobody can tell what the marks in them
        mean, as 3,5 beside 3.5, or 1.234 beside 999, which may be thousands.

    Examples
    --------
    >>> import os, tempfile
    >>> from chainrule.tables import read_csv
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = os.path.join(folder, "students.csv")
    ...     with open(path, "w", encoding="utf-8") as file:
    ...         _ = file.write("hours;programme\n3,5;arts\n;law\n")
    ...     read_csv(path)
    [{'hours': '3.5', 'programme': 'arts'}, {'hours': '', 'programme': 'law'}]
    """
    import csv
    import io

    if not isinstance(path, (str, os.PathLike)):
        raise TypeError(f"read_csv: expected the path of a file, got {path!r}.")
    with open(path, "rb") as file:
        text = _text(os.fsdecode(path), file.read())
    name = repr(os.fsdecode(path))
    told = SEPARATOR_LINE.match(text)
    text = text[told.end() :] if told else text

    def lines(separator: str) -> Any:
        source = io.StringIO(text, newline="")
        return csv.reader(source, delimiter=separator, skipinitialspace=True, strict=True)

    def fits(separator: str) -> tuple[bool, int]:
        counts = []
        with contextlib.suppress(csv.Error):  # a quote that this separator does not end
            for row in islice(lines(separator), LOOK):
                counts += [len(row)] if any(row) else []
        return len(set(counts)) == 1 and counts[0] > 1, counts[0] if counts else 0

    separator = told[1] if told else max(SEPARATORS, key=fits)
    reader = lines(separator)
    rows: list[dict[str, str]] = []
    header: list[str] = []
    try:
        for row in reader:
            cells = [cell.strip() for cell in row]
            if not any(cells):
                continue
            if not header:
                header = _header(name, cells)
                continue
            if len(cells) != len(header):
                raise ValueError(
                    f"{name}, line {reader.line_num + bool(told)}: {len(cells)} fields, where the "
                    f"header has {len(header)}, separated by {separator!r}."
                )
            rows.append(dict(zip(header, cells, strict=True)))
    except csv.Error as error:
        raise ValueError(
            f"{name}, line {reader.line_num + bool(told)}: the quotes do not fit ({error})."
        ) from None
    if not rows:
        raise ValueError(f"{name} has a header and no rows.")
    if separator != ",":
        for column in header:
            _read_commas(name, column, rows, separator == ";")
    return rows


def _read_commas(path: str, column: str, rows: list[dict[str, str]], decimal: bool) -> None:
    """Write the decimal commas of a column as points; refuse marks that may mean two things."""
    marked = [row[column] for row in rows if MARKED.fullmatch(row[column])]
    commas = [cell for cell in marked if "," in cell]
    points = [cell for cell in marked if "." in cell]
    plain = [row[column] for row in rows if row[column].isdecimal()]
    beside = None
    if commas and points:
        beside = commas[0], points[0]
    elif marked and plain and all(map(THOUSANDS.fullmatch, marked)) and max(map(len, plain)) < 4:
        beside = marked[0], plain[0]  # without a mark there are only numbers below 1,000
    if beside:
        raise ValueError(
            f"{path}: the column {column!r} holds {beside[0]!r} beside {beside[1]!r}, so that its "
            "marks may stand for fractions or thousands; write the numbers as 1234.5."
        )
    if commas and decimal:
        for row in rows:
            if MARKED.fullmatch(row[column]):
                row[column] = row[column].replace(",", ".")


def _text(path: str, data: bytes) -> str:
    """Decode a file, or say what it is instead."""
    if b"\0" in data[:65_536] and not data.startswith((b"\xff\xfe", b"\xfe\xff")):
        raise ValueError(f"{path!r} is a binary file and no CSV; export the table as CSV.")
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise ValueError(f"{path!r} is not in UTF-8 (line {line}); save it as UTF-8.") from None
    if not text.strip():
        raise ValueError(f"{path!r} is empty.")
    return text


def _header(path: str, names: list[str]) -> list[str]:
    """The names of the columns, or a sentence on what is wrong with them."""
    if all(to_number(name) is not None for name in names):
        raise ValueError(
            f"{path}: the first line must hold the names of the columns, it holds numbers."
        )
    names = [name or f"column {i}" for i, name in enumerate(names, 1)]
    twice = [name for name in names if names.count(name) > 1]
    if twice:
        raise ValueError(f"{path}: two columns have the name {twice[0]!r}.")
    return names
