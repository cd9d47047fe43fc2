"""The two type names that signatures share, and a text that consoles show as it is. They cost
nothing at run time: NumPy's typing module is imported by type checkers alone."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeAlias

if TYPE_CHECKING:
    from types import EllipsisType

    from numpy.typing import NDArray

    Array: TypeAlias = NDArray[Any]
    # A shape without its batch axis: None for a size that is not known, a leading `...` for any
    # number of further axes, as in (..., 784).
    Shape: TypeAlias = tuple[int | EllipsisType | None, ...]


class Text(str):
    """A text that a console shows as it is."""

    __slots__ = ()

    def __repr__(self) -> str:
        return str(self)
