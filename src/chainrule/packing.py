"""Nested plain values as JSON and arrays beside it: what a run remembers, for a file that holds no
code. Every number comes back to the bit, and everything as the type that it was."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from ._types import Array

KINDS = "biufc"  # of the arrays: numbers and booleans


def pack(what: str, value: Any, arrays: list[Array]) -> Any:
    """Return a value as JSON holds it; its arrays are put behind `arrays`.

    Everything that JSON has no word for is an object with one key, which says what it is. A list
    of floats is one array, and so is a list of arrays of one shape: a history of a million epochs
    is then a few arrays.

    Raises
    ------
    TypeError
        For a value of another type; `what` says in the message whose it is.
    """

    def put(array: Array) -> int:
        if array.dtype.kind not in KINDS:
            raise refusal(f"an array of dtype {array.dtype}")
        arrays.append(np.asarray(array, order="C"))
        return len(arrays) - 1

    def refusal(of: str) -> TypeError:
        return TypeError(
            f"{what} holds {of}, which cannot be saved; a file holds None, numbers, texts, arrays "
            "of numbers, and lists, tuples and dictionaries of these."
        )

    def inner(value: Any) -> Any:
        kind = type(value)
        if value is None or kind in (bool, int, str):
            return value
        if kind is float:  # JSON has neither infinities nor NaN
            return value if math.isfinite(value) else {"float": repr(value)}
        if kind is dict:
            return {"dict": [[inner(k), inner(v)] for k, v in value.items()]}
        if kind is tuple:
            return {"tuple": [inner(item) for item in value]}
        if isinstance(value, np.ndarray):
            return {"array": put(value)}
        if isinstance(value, np.generic):
            return {"scalar": put(np.asarray(value))}
        if kind is not list:
            raise refusal(f"a {kind.__name__}")
        if value and all(type(item) is float for item in value):
            return {"floats": put(np.array(value))}
        if _is_even(value):
            return {"list": put(np.array(value))}
        return [inner(item) for item in value]

    return inner(value)


def _is_even(values: list[Any]) -> bool:
    """Whether these are arrays of one type and shape, or NumPy's numbers of one type."""
    if not values or not isinstance(values[0], (np.ndarray, np.generic)):
        return False
    first = values[0]
    if not first.size:  # a list of any length would take no room in the file
        return False
    if isinstance(first, np.ndarray) and not first.ndim:
        return False
    return all(
        type(v) is type(first) and (v.shape, v.dtype) == (first.shape, first.dtype) for v in values
    )


def unpack(described: Any, arrays: list[Array], taken: set[int]) -> Any:
    """The value of a description that `pack` made, or a `ValueError`.

    `taken` grows by the arrays that belong to it. Each belongs to one value, so that what comes out
    is not much larger than what went in.
    """

    def take(i: Any) -> Array:
        if type(i) is not int or not 0 <= i < len(arrays) or i in taken:
            raise ValueError(f"a value is array {i!r} of {len(arrays)}, or two values are.")
        taken.add(i)
        return arrays[i]

    def outer(described: Any) -> Any:
        if isinstance(described, list):
            return [outer(item) for item in described]
        if not isinstance(described, dict):
            return described
        if len(described) != 1:
            raise ValueError(f"it holds a value of the kinds {sorted(described)}.")
        ((kind, content),) = described.items()
        if kind == "dict" and isinstance(content, list):
            return _dict([outer(pair) for pair in content])
        if kind == "tuple" and isinstance(content, list):
            return tuple(map(outer, content))
        if kind == "float" and content in ("inf", "-inf", "nan"):
            return float(content)
        if kind == "array":
            return take(content)
        if kind == "scalar" and not (array := take(content)).ndim:
            return array[()]
        if kind == "floats" and (array := take(content)).ndim == 1 and array.dtype == np.float64:
            return array.tolist()
        if kind == "list" and (array := take(content)).ndim and array.size:
            return list(array)
        raise ValueError(f"it holds a value of the kind {kind!r} that no run has.")

    return outer(described)


def _dict(pairs: list[Any]) -> dict[Any, Any]:
    if not all(type(pair) is list and len(pair) == 2 for pair in pairs):
        raise ValueError("it holds a dictionary that is no list of keys and values.")
    try:
        found = dict(pairs)
    except TypeError:  # lists, which no key can be
        raise ValueError("it holds a dictionary with a list for a key.") from None
    if len(found) != len(pairs):
        raise ValueError(f"it holds a key twice, among {list(found)}.")
    return found
