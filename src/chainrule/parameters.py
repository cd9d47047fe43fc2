"""One flat vector for all parameters of a network and one for all gradients, with views by name.

An optimizer, clipping, copying weights or adding the gradients of several workers is then one line
each on a flat vector, while every layer goes on seeing its own `W` and `b`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, MutableMapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import DTypeLike

    from ._types import Array
    from .layer import Layer


class NamedArrays(MutableMapping[str, Any]):
    """The parameters or buffers of a layer by name, those of layers inside it nested by position.

    Assigning copies into the array, its shape checked, so a view of a flat vector is never cut off.
    """

    def __init__(self, layer: Layer, kind: str, names: Mapping[str, Any]) -> None:
        self._layer, self._kind, self._names = layer, kind, names

    def __getitem__(self, name: str) -> Any:
        if name in self._names:
            return getattr(self._layer, name)
        if name in self:
            return getattr(self._layer.children[int(name)], self._kind)
        raise KeyError(f"{self._layer} has no {name!r} among its {self._kind} {list(self)}.")

    def __setitem__(self, name: str, value: Array) -> None:
        if name in self._names:
            setattr(self._layer, name, value)
        elif name in self:
            raise TypeError(f"{self._layer}: assign to the arrays in {self._kind}[{name!r}].")
        else:
            raise KeyError(f"{self._layer} has no {name!r} among its {self._kind} {list(self)}.")

    def __delitem__(self, name: str) -> None:
        raise TypeError(f"{self._layer}: {name!r} cannot be deleted, only assigned to.")

    def __contains__(self, name: object) -> bool:
        return name in list(self)

    def __iter__(self) -> Iterator[str]:
        yield from self._names
        for i, child in enumerate(self._layer.children):
            if getattr(child, self._kind):
                yield str(i)

    def __len__(self) -> int:
        return len(list(iter(self)))

    def __repr__(self) -> str:
        return repr(dict(self))


def walk(layers: Sequence[Layer], prefix: str = "") -> Iterator[tuple[str, Layer]]:
    """Yield every position of a tree of layers with its name, as in ("1.0.", Dense(2, 3))."""
    for i, layer in enumerate(layers):
        yield f"{prefix}{i}.", layer
        yield from walk(layer.children, f"{prefix}{i}.")


def unique(layers: Sequence[Layer]) -> dict[str, Layer]:
    """Each layer of a tree once, by the name of its first standing."""
    first: dict[int, tuple[str, Layer]] = {}
    for name, layer in walk(layers):
        first.setdefault(id(layer), (name, layer))
    return dict(first.values())


class Slot(NamedTuple):
    """Where one parameter lies in the flat vectors."""

    layer: Layer
    key: str
    where: slice
    shape: tuple[int, ...]

    @property
    def weight_axis(self) -> int | None:
        """The axis along which the weights of one unit lie; None for biases and scales."""
        axes = self.layer.weight_axes
        return axes.get(self.key) if axes is not None else 0 if len(self.shape) > 1 else None


def _check_weight_axes(layer: Layer) -> None:
    """Refuse what names no parameter of a layer, or an axis that it does not have."""
    axes, shapes = layer.weight_axes, layer.parameter_shapes
    if axes is None:
        return
    if not isinstance(axes, Mapping):
        raise TypeError(f'{layer!r}: weight_axes must be like {{"W": 0}}, got {axes!r}.')
    for name, axis in axes.items():
        if name not in shapes:
            raise ValueError(
                f"{layer!r}: weight_axes names {name!r}, the parameters are {list(shapes)}."
            )
        n = len(shapes[name])
        if isinstance(axis, bool) or not isinstance(axis, int) or not -n <= axis < n:
            raise ValueError(
                f"{layer!r}: weight_axes must give {name} an axis from 0 to {n - 1}, got {axis!r}."
            )


class FlatParameters:
    """The flat vectors of a tree of layers; a layer that stands twice is packed once.

    Building one moves the layers' values into the vector `values`, drawing those that were never
    looked at, and leaves the layers with views of it.
    """

    def __init__(self, layers: Sequence[Layer], dtype: DTypeLike) -> None:
        self.layers = layers
        self.slots: dict[str, Slot] = {}
        start = 0
        for name, layer in unique(layers).items():
            _check_weight_axes(layer)
            for key, shape in layer.parameter_shapes.items():
                stop = start + int(np.prod(shape, dtype=np.int64))
                self.slots[name + key] = Slot(layer, key, slice(start, stop), shape)
                start = stop
        self._owners = [slot.layer for slot in self.slots.values()]
        try:
            self.values = np.empty(start, dtype)
            self.gradients = np.zeros(start, dtype)
        except (MemoryError, ValueError):  # ValueError: more than NumPy can count
            size = 2 * start * np.dtype(dtype).itemsize / 1e9
            raise ValueError(
                f"Model: {start:,} parameters and their gradients take {size:,.0f} GB, which is "
                "more memory than there is."
            ) from None
        for slot in self.slots.values():  # nothing is moved before everything is drawn
            self.view(self.values, slot)[...] = slot.layer.parameter_values(slot.key, dtype)
        for slot in self.slots.values():
            slot.layer.put_array(slot.key, self.view(self.values, slot))
        for layer in unique(layers).values():
            layer.move_buffers(dtype)

    @staticmethod
    def view(flat: Array, slot: Slot) -> Array:
        """One parameter's part of a flat vector, in its shape."""
        return flat[slot.where].reshape(slot.shape)

    def named(self, flat: Array) -> dict[str, Array]:
        """Views of a flat vector by name, as in {"0.W": view, "0.b": view}."""
        return {name: self.view(flat, slot) for name, slot in self.slots.items()}

    def named_buffers(self) -> dict[str, Array]:
        """The buffers by name, as in {"1.running_mean": array}."""
        return {
            name + key: array
            for name, layer in unique(self.layers).items()
            for key, array in layer.own_buffers().items()
        }

    def learning(self) -> list[bool]:
        """For each parameter, whether it learns at present."""
        return [layer._trainable for layer in self._owners]  # asked in every step

    def spans(self, biases: bool = True) -> list[tuple[slice, float | None]]:
        """Slices of the flat vectors that learn, each with its weight decay.

        That is None, the optimizer's own; or 0 for what is no weight, if biases are left out.
        """
        return self._joined(True, biases)

    def frozen(self) -> list[slice]:
        """Slices of the flat vectors that do not learn."""
        return [where for where, _ in self._joined(False)]

    def _joined(self, learning: bool, biases: bool = True) -> list[tuple[slice, float | None]]:
        """Slices that learn or do not, neighbours of one decay joined."""
        joined: list[tuple[slice, float | None]] = []
        for slot in self.slots.values():
            if slot.layer._trainable == learning:
                decay = None if biases or slot.weight_axis is not None else 0.0
                start = slot.where.start
                if joined and joined[-1][0].stop == start and joined[-1][1] == decay:
                    start = joined.pop()[0].start
                joined.append((slice(start, slot.where.stop), decay))
        return joined

    def gradient_views(self, flat: Array) -> tuple[dict[str, Any], Callable[[], None]]:
        """Views of a flat gradient nested as the layers are, and what must be done after a pass.

        The second and later standings of a layer get scratch arrays; the function that comes second
        adds them to the first. What is frozen has no view, and its part of `flat` becomes zero.
        """
        frozen = self.frozen()
        first = {(id(slot.layer), slot.key): slot for slot in self.slots.values()}
        taken: set[tuple[int, str]] = set()
        pairs: list[tuple[Array, Array]] = []

        def nest(layers: Sequence[Layer]) -> dict[str, Any]:
            nested = {}
            for i, layer in enumerate(layers):
                views: dict[str, Any] = {}
                for key in layer.parameter_shapes if layer._trainable else ():
                    slot = first[id(layer), key]
                    views[key] = self.view(flat, slot)
                    if (id(layer), key) in taken:
                        pairs.append((views[key], np.zeros_like(views[key])))
                        views[key] = pairs[-1][1]
                    taken.add((id(layer), key))
                views.update(nest(layer.children))
                if views:
                    nested[str(i)] = views
            return nested

        views = nest(self.layers)

        def finish() -> None:
            for part in frozen:
                flat[part] = 0
            for total, share in pairs:
                total += share

        return views, finish
