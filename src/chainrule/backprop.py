"""The engine: it sends an array forward through a chain of layers, and the gradient back.

This is all of backpropagation. Each layer knows its own local gradient; the chain rule multiplies
them from the output to the input, and the sum over everything is one loop in either direction.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from ._types import Array
    from .layer import Layer


def forward(layers: Sequence[Layer], x: Array, training: bool = False) -> tuple[Array, list[Any]]:
    """y = f_n(... f_2(f_1(x))), with the cache of every layer."""
    caches = []
    for layer in layers:
        result = layer.forward(x, training=training)
        if type(result) is not tuple or len(result) != 2:
            raise TypeError(
                f"{layer!r}: forward must return y, cache; got {type(result).__name__}."
            )
        x, cache = result
        caches.append(cache)
    return x, caches


def backward(
    layers: Sequence[Layer],
    dy: Array,
    caches: Sequence[Any],
    out: Mapping[str, Any] | None = None,
    need_dx: bool = True,
) -> tuple[Array | None, dict[str, Any]]:
    """dL/dx, and dL/dp of every parameter p by the layer's position, from dL/dy."""
    grads = {}
    first = 0
    if not need_dx:  # nothing below the first layer that learns has to be reached
        while first < len(layers) and not layers[first].learns:
            first += 1
    for i in reversed(range(first, len(layers))):
        name = str(i)
        views = out.get(name) if out else None
        dy, g = backward_one(layers[i], dy, caches[i], views, need_dx or i > first)
        if g:
            grads[name] = g
        if dy is None and i > first:
            if layers[i].takes_indices:  # they have no gradient, and nothing before them learns
                break
            raise ValueError(f"{layers[i]!r}: backward gave no dx for the layer before it.")
    return (dy if need_dx else None), dict(reversed(grads.items()))


def backward_one(
    layer: Layer, dy: Array, cache: Any, out: Mapping[str, Any] | None, need_dx: bool
) -> tuple[Any, Mapping[str, Any]]:
    """One layer's backward, with its gradients in `out` whatever the layer did with it."""
    result = layer.backward(dy, cache, out=out, need_dx=need_dx)
    if type(result) is not tuple or len(result) != 2 or not isinstance(result[1], dict):
        raise TypeError(f"{layer!r}: backward must return dx, grads; got {type(result).__name__}.")
    dx, grads = result
    if grads and not layer.learns:
        if not layer.children and not layer.parameter_shapes:
            raise ValueError(
                f"{layer!r}: backward gave gradients for {list(grads)}, but the layer has no "
                "parameters; declare them with add_parameter, and layers inside as `children`."
            )
        grads = {}
    if out is not None:
        _settle(layer, out, grads)
    return dx, grads


def _settle(layer: Layer, out: Mapping[str, Any], grads: Mapping[str, Any]) -> None:
    """Copy what a layer returned elsewhere, and write zeros where it returned nothing."""
    if len(grads) > len(out) and not layer.children:
        raise ValueError(
            f"{layer!r}: backward gave gradients for {list(grads)}, the parameters are {list(out)}."
        )
    for name, view in out.items():
        grad = grads.get(name)
        if grad is view:
            continue
        if isinstance(view, dict):
            _settle(layer, view, grad or {})
        elif grad is None:
            if grads.keys() - out.keys() and not layer.children:
                raise ValueError(
                    f"{layer!r}: backward gave gradients for {list(grads)}, not for {name!r}."
                )
            view[...] = 0
        elif np.shape(grad) == view.shape:
            view[...] = grad
        else:
            raise ValueError(
                f"{layer!r}: backward gave a gradient of shape {np.shape(grad)} for {name}, "
                f"expected the parameter's shape {view.shape}."
            )
