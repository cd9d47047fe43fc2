"""The encoder of tables: it learns medians and categories from the training rows, and makes every
row after them an array of the same features."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from .columns import (
    CATEGORY,
    DROPPED,
    NUMBER,
    column_kinds,
    columns_of,
    is_gap,
    number_in,
    text_of,
)

if TYPE_CHECKING:
    from .._types import Array


class TableEncoder:
    """Make arrays of a table: numbers as they are, categories as one-hot, gaps as a column more.

    `fit` learns from the training rows: of a column of numbers its median, which fills gaps; of a
    column of texts its categories. Where training rows had gaps, a further feature says so. A
    number that is the same in all of them is left out, or a category where there are gaps beside.

    A category that training did not have becomes zeros in all of the column's features; `unseen`
    tells which those are. Features are not standardized: `chainrule.Standardizer` does that, inside
    the model.

    Parameters
    ----------
    kinds : mapping of str to str, optional
        "number", "category" or "dropped" for columns that are not to be judged by their values, as
        a postal code that looks like a number. `column_kinds` is asked for the others.

    Attributes
    ----------
    columns : list of dict
        What was learned of each column: name, kind, and whether it had gaps; the fill of numbers,
        the categories of texts.
    dropped : dict of str to str
        The columns that are left out, each with the reason.

    Raises
    ------
    TypeError, ValueError
        For other kinds.

    Examples
    --------
    >>> from chainrule.tables import TableEncoder
    >>> rows = [{"hours": "3", "programme": "arts"}, {"hours": "", "programme": "law"},
    ...         {"hours": "8.5", "programme": "arts"}, {"hours": "4", "programme": "law"}]
    >>> encoder = TableEncoder().fit(rows)
    >>> encoder.feature_names
    ['hours', 'hours is missing', 'programme=arts', 'programme=law']
    >>> encoder.encode([{"programme": "law", "hours": None}]).tolist()
    [[4.0, 1.0, 0.0, 1.0]]
    """

    def __init__(self, kinds: Mapping[str, str] | None = None) -> None:
        if kinds is not None and not isinstance(kinds, Mapping):
            raise TypeError(f"TableEncoder: kinds must be a dict of names to kinds, got {kinds!r}.")
        for name, kind in (kinds or {}).items():
            if kind not in (NUMBER, CATEGORY) and not str(kind).startswith(DROPPED):
                raise ValueError(
                    f'TableEncoder: the kind of {name!r} must be "number", "category" or '
                    f'"dropped", got {kind!r}.'
                )
        self.kinds = dict(kinds or {})
        self.columns: list[dict[str, Any]] = []
        self.dropped: dict[str, str] = {}

    def fit(self, table: Any) -> TableEncoder:
        """Learn from the training rows, and return the encoder.

        Raises
        ------
        TypeError, ValueError
            For no rows, no column of use (each is told with its reason), numbers that are infinite
            or too large, and what is no number in a column that was said to hold numbers.
        """
        table = columns_of(table)
        others = {name: cells for name, cells in table.items() if name not in self.kinds}
        kinds = {**self.kinds, **(column_kinds(others) if others else {})}
        columns, dropped = [], {}
        for name in table:
            learned = _learn(name, kinds[name], table[name])
            if isinstance(learned, str):
                dropped[name] = learned
            else:
                columns.append(learned)
        if not columns:
            reasons = "; ".join(f"{name!r}: {reason}" for name, reason in dropped.items())
            raise ValueError(f"TableEncoder: no column can be used: {reasons or 'there is none'}.")
        self.columns, self.dropped = columns, dropped
        return self

    @property
    def feature_names(self) -> list[str]:
        """The names of the features, in the order of `encode`."""
        names = []
        for column in self.columns:
            name = column["name"]
            categories = column["categories"] if column["kind"] == CATEGORY else []
            names += [f"{name}={c}" for c in categories] or [name] * (column["kind"] == NUMBER)
            names += [f"{name} is missing"] * column["gaps"]
        return names

    def encode(self, table: Any) -> Array:
        """Return an array (N, features) of float64; columns are found by name, in any order.

        Raises
        ------
        TypeError, ValueError
            For columns that are missing, and what is no number where numbers were.
        """
        table = self._own(table)
        parts = []
        for column in self.columns:
            name, cells = column["name"], table[column["name"]]
            gaps = np.array([is_gap(cell) for cell in cells], bool)
            if column["kind"] == NUMBER:
                values = (number_in(name, i, cell) for i, cell in enumerate(cells))
                numbers = np.array([math.nan if v is None else v for v in values], np.float64)
                parts.append(np.where(gaps, column["fill"], numbers)[:, None])
            else:
                places = {category: j for j, category in enumerate(column["categories"])}
                index = np.array([places.get(text_of(cell), -1) for cell in cells], np.intp)
                parts.append(index[:, None] == np.arange(len(places)))
            if column["gaps"]:
                parts.append(gaps[:, None])
        return np.hstack(parts).astype(np.float64)

    def unseen(self, table: Any) -> dict[str, list[str]]:
        """The categories that training did not have, by column: `encode` makes them zeros."""
        table, found = self._own(table), {}
        for column in self.columns:
            if column["kind"] == CATEGORY:
                texts = {text_of(cell) for cell in table[column["name"]] if not is_gap(cell)}
                if new := sorted(texts - set(column["categories"])):
                    found[column["name"]] = new
        return found

    def _own(self, table: Any) -> dict[str, list[Any]]:
        if not self.columns:
            raise ValueError("TableEncoder: call fit with the training rows first.")
        table = columns_of(table)
        missing = [c["name"] for c in self.columns if c["name"] not in table]
        if missing:
            raise ValueError(
                f"the column {missing[0]!r} is missing; there are {', '.join(map(repr, table))}."
            )
        return table

    def to_dict(self) -> dict[str, Any]:
        """What was learned, as plain JSON: to be kept in `Model.metadata`."""
        columns = [{k: list(v) if k == "categories" else v for k, v in c.items()}
                   for c in self.columns]  # fmt: skip
        return {"columns": columns, "dropped": dict(self.dropped)}

    @classmethod
    def from_dict(cls, description: Any) -> TableEncoder:
        """Build the encoder of a description that `to_dict` gave.

        Raises
        ------
        ValueError
            For anything else.
        """
        encoder = cls()
        try:
            columns, dropped = description["columns"], description["dropped"]
            for column in columns:
                _check_column(column)
            names = [column["name"] for column in columns]
            if len(set(names)) < len(names) or not names:
                raise ValueError("each column must be named once")
            texts = [*dropped.keys(), *dropped.values()]
            if not all(isinstance(text, str) for text in texts):
                raise ValueError("what was dropped must be texts")
        except (TypeError, KeyError, AttributeError, ValueError) as error:
            raise ValueError(
                f"TableEncoder.from_dict: this is no description of an encoder: {error!r}."
            ) from None
        encoder.columns, encoder.dropped = [dict(c) for c in columns], dict(dropped)
        return encoder

    def __repr__(self) -> str:
        return f"TableEncoder({len(self.columns)} columns, {len(self.feature_names)} features)"


def _learn(name: str, kind: str, cells: list[Any]) -> dict[str, Any] | str:
    """What is kept of a column, or the reason why it is dropped."""
    if kind.startswith(DROPPED):
        return kind.removeprefix(DROPPED).removeprefix(": ") or "was to be dropped"
    held = [cell for cell in cells if not is_gap(cell)]
    if not held:
        return "it is empty in the training rows"
    gaps = len(held) < len(cells)
    column = {"name": name, "kind": kind, "gaps": gaps}
    if kind == CATEGORY:
        return column | {"categories": sorted(set(map(text_of, held)))}
    found = [number_in(name, i, cell) for i, cell in enumerate(cells)]
    values = [value for value in found if value is not None]
    if min(values) == max(values):  # its weight would stay as drawn, and meet any size
        if not gaps:
            return f"every training row has {held[0]!r}"
        return column | {"kind": CATEGORY, "categories": [text_of(held[0])]}
    return column | {"fill": float(np.median(values))}


def _check_column(column: Any) -> None:
    """Refuse a column that `_learn` cannot have described."""
    last = "fill" if column["kind"] == NUMBER else "categories"
    if set(column) != {"name", "kind", "gaps", last} or column["kind"] not in (NUMBER, CATEGORY):
        raise ValueError(f"a column has {sorted(column)}")
    if not isinstance(column["name"], str) or type(column["gaps"]) is not bool:
        raise ValueError(f"name {column['name']!r}, gaps {column['gaps']!r}")
    if last == "fill":
        if type(column["fill"]) not in (int, float) or not math.isfinite(column["fill"]):
            raise ValueError(f"fill {column['fill']!r}")
        return
    texts = column["categories"]
    whole = isinstance(texts, list) and texts and all(isinstance(text, str) for text in texts)
    if not whole or len(set(texts)) < len(texts):
        raise ValueError(f"categories {texts!r}")
