"""The exceptions of the library's own, and the checks of options that every constructor makes.

Everything else that is refused is a plain `ValueError` or `TypeError` with a full sentence.
"""

from __future__ import annotations

import contextlib
import math
import numbers
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from ._types import Array


class GradientError(AssertionError):
    """A gradient does not agree with finite differences, or a layer breaks its contract."""


class DivergenceError(FloatingPointError):
    """Training met a loss or a gradient that is not finite."""


@contextlib.contextmanager
def at(place: str) -> Iterator[None]:
    """Put a place in front of the message of what is refused inside."""
    try:
        yield
    except (TypeError, ValueError) as error:
        if len(error.args) == 1 and not str(error).startswith(place):
            error.args = (f"{place}: {error}",)
        raise


def check_number(
    owner: str,
    name: str,
    value: Any,
    *,
    low: float = -math.inf,
    high: float = math.inf,
    open_low: bool = False,
    open_high: bool = False,
) -> float:
    """Return `value` as a float, or refuse it: a real number from `low` to `high`, never NaN."""
    if is_real := isinstance(value, numbers.Real) and not isinstance(value, bool):
        try:
            number = float(value)
        except OverflowError:  # an integer beyond all floats, and perhaps all texts
            value = number = math.inf
        above = number > low if open_low else number >= low
        below = number < high if open_high else number <= high
        if above and below and math.isfinite(number):
            return number
    left = "(" if open_low or low == -math.inf else "["
    right = ")" if open_high or high == math.inf else "]"
    wanted = f"a number in {left}{low:g}, {high:g}{right}"
    kind = ValueError if is_real else TypeError
    raise kind(f"{owner}: {name} must be {wanted}, got {value!r}.")


def check_count(
    owner: str, name: str, value: Any, *, low: int = 1, high: int | None = 2**31 - 1
) -> int:
    """Return `value` as an int, or refuse it: a whole number, at least `low`."""
    if isinstance(value, bool) or not isinstance(value, numbers.Integral):
        raise TypeError(f"{owner}: {name} must be an integer, at least {low}; got {value!r}.")
    if value < low:
        raise ValueError(f"{owner}: {name} must be an integer, at least {low}; got {value!r}.")
    if high is not None and int(value) > high:
        raise ValueError(f"{owner}: {name} must be an integer up to {high}, got a larger one.")
    return int(value)


def check_choice(owner: str, name: str, value: Any, choices: tuple[Any, ...]) -> Any:
    """Return a value that is one of a few; refuse any other."""
    plain = isinstance(value, (str, int, type))  # whatever else compares in its own way
    if not plain or value not in choices:
        *others, last = [f'"{c}"' if isinstance(c, str) else repr(c) for c in choices]
        wanted = f"{', '.join(others)} or {last}"
        raise ValueError(f"{owner}: {name} must be {wanted}, got {value!r}.")
    return value


def check_flag(owner: str, name: str, value: Any) -> bool:
    """Return `value` as a bool, or refuse it: True or False and nothing else."""
    if type(value).__name__ not in ("bool", "bool_"):
        raise TypeError(f"{owner}: {name} must be True or False, got {value!r}.")
    return bool(value)


def check_rate(owner: str, name: str, value: Any) -> Any:
    """Return a rate as a float, or a function of the step as it is; anything else is refused."""
    if isinstance(value, type):
        raise TypeError(
            f"{owner}: {name} must be a number or a schedule made with its options, as in "
            f"CosineDecay(0.1, steps=1000), got {value!r}."
        )
    return value if callable(value) else check_number(owner, name, value, low=0)


def listed(name: str, values: Any) -> list[Any]:
    """Return a list from any sequence, and refuse what is none."""
    try:
        if isinstance(values, str):
            raise TypeError
        return list(values)
    except TypeError:
        raise TypeError(f"{name} must be a list, as in {name}=[...], got {values!r}.") from None


def as_numbers(what: str, values: Any) -> Array:
    """Return an array of real numbers, or refuse texts, objects, complex numbers, ragged lists.

    Frames and series of pandas are taken column by column, their gaps as NaN.
    """
    try:
        array = _from_frame(what, values) if hasattr(values, "iloc") else np.asarray(values)
    except ValueError:
        raise ValueError(
            f"{what} must be an array of numbers, got rows of unequal length."
        ) from None
    if _is_masked(values):  # asarray would uncover them
        raise ValueError(
            f"{what} has masked entries, which would count as they are; fill them, as by "
            "x.filled(0), or leave their rows out."
        )
    if array.dtype.kind not in "fiub":
        got = "None" if values is None else f"an array of dtype {array.dtype}"
        raise TypeError(f"{what} must be real numbers, got {got}.")
    return array


def _is_masked(values: Any) -> bool:
    """Whether a masked entry is in an array, or in an array of a list, however deep."""
    if isinstance(values, (list, tuple)):
        return any(_is_masked(v) for v in values if isinstance(v, (list, tuple, np.ndarray)))
    derived = isinstance(values, np.ndarray) and type(values) is not np.ndarray
    return derived and bool(np.any(getattr(values, "mask", False)))


def _from_frame(what: str, values: Any) -> Array:
    """The numbers of a frame or a series, whose columns may be of different dtypes."""
    if not hasattr(values, "columns"):
        return _column(values)
    if all(isinstance(dtype, np.dtype) for dtype in values.dtypes):
        whole = np.asarray(values)  # of pandas' own dtypes it may make integers of gaps
        if whole.dtype.kind in "fiub":  # no copy where the frame is one block
            return whole
    columns = [_column(values.iloc[:, j]) for j in range(len(values.columns))]
    other = [name for name, column in zip(values.columns, columns, strict=True)
             if column.dtype.kind not in "fiub"]  # fmt: skip
    if other:
        raise TypeError(
            f"{what} must be real numbers, but these columns hold texts, dates or other objects: "
            f"{', '.join(map(repr, other[:10]))}{', ...' if len(other) > 10 else ''}. Encode them "
            "first, as chainrule.tables.TableEncoder does, or leave them out."
        )
    return np.column_stack(columns) if columns else np.zeros(values.shape)


def _column(series: Any) -> Array:
    """A series as an array: of numbers if it holds nothing else."""
    array = np.asarray(series)
    if array.dtype.kind in "fiub":
        return array
    if getattr(series.dtype, "kind", "O") in "fiub":  # numbers with gaps, in a dtype of pandas
        return np.asarray(series.to_numpy(dtype=np.float64, na_value=np.nan))
    plain = np.asarray(series.tolist()) if array.dtype.kind == "O" else array
    return plain if plain.dtype.kind in "fiub" else array


def cast(what: str, array: Array, dtype: Any) -> Array:
    """Return an array in another dtype, uncopied if it has it; refuse finite values beyond it."""
    try:
        with np.errstate(over="raise"):
            return array.astype(dtype, copy=False)
    except FloatingPointError:
        raise ValueError(
            f"{what} holds values too large for {np.dtype(dtype)}; scale the data, or use "
            'Model(..., dtype="float64").'
        ) from None


def show(shape: tuple[Any, ...]) -> str:
    """A shape as it is written: (..., 128), (None, 3)."""
    inner = ", ".join("..." if size is ... else str(size) for size in shape)
    return f"({inner},)" if len(shape) == 1 else f"({inner})"
