"""The exceptions of the library's own, and the checks of options that every constructor makes.

Everything else that is refused is a plain `ValueError` or `TypeError` with a full sentence.
"""

from __future__ import annotations

import math
import numbers
from typing import Any


class GradientError(AssertionError):
    """A gradient does not agree with finite differences, or a layer breaks its contract."""


class DivergenceError(FloatingPointError):
    """Training met a loss or a gradient that is not finite."""


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
    """Return `value` as it came, or refuse it: a real number from `low` to `high`, never NaN."""
    left, right = "(["[not open_low], ")]"[not open_high]
    wanted = f"a number in {left}{low:g}, {high:g}{right}"
    if isinstance(value, bool) or not isinstance(value, numbers.Real):
        raise TypeError(f"{owner}: {name} must be {wanted}, got {value!r}.")
    number = float(value)
    above = number > low if open_low else number >= low
    below = number < high if open_high else number <= high
    if not (above and below and math.isfinite(number)):
        raise ValueError(f"{owner}: {name} must be {wanted}, got {value!r}.")
    return number


def check_count(owner: str, name: str, value: Any, *, low: int = 1) -> int:
    """Return `value` as an int, or refuse it: a whole number, at least `low`."""
    if isinstance(value, bool) or not isinstance(value, numbers.Integral):
        raise TypeError(f"{owner}: {name} must be an integer, at least {low}; got {value!r}.")
    if value < low:
        raise ValueError(f"{owner}: {name} must be an integer, at least {low}; got {value!r}.")
    return int(value)


def check_flag(owner: str, name: str, value: Any) -> bool:
    """Return `value` as a bool, or refuse it: True or False and nothing else."""
    if type(value).__name__ not in ("bool", "bool_"):
        raise TypeError(f"{owner}: {name} must be True or False, got {value!r}.")
    return bool(value)


def show(shape: tuple[Any, ...]) -> str:
    """A shape as it is written: (..., 128), (None, 3)."""
    inner = ", ".join("..." if size is ... else str(size) for size in shape)
    return f"({inner},)" if len(shape) == 1 else f"({inner})"
