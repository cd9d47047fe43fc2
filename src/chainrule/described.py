"""Layers and metadata as JSON, and layers from such a description, which may be a stranger's: built
of registered names and plain values alone, and counted before they are built of each other."""

from __future__ import annotations

import inspect
import json
import math
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from .errors import at
from .layer import Layer, registry
from .parameters import unique

MAX_LEVELS = 50  # of lists and dicts in metadata
MAX_LAYERS = 10_000  # standings: a container that stands twice counts twice, with all inside
MAX_DIGITS = 4300  # of an integer, which Python reads from a text


# ---- to a description ----------------------------------------------------------------------------


def describe_layers(layers: Sequence[Layer]) -> list[Any]:
    """The layers of a model as JSON holds them; refuse what it cannot."""
    try:
        described: list[Any] = _plain(None, "layers", layers, {}, "")
    except RecursionError:
        raise TypeError("Model.save: an argument of a layer is nested too deep.") from None
    return described


def _describe(layer: Layer, seen: dict[int, str], name: str) -> dict[str, Any]:
    """Class and arguments of a layer; one that stood before is named by its first position."""
    if id(layer) in seen:
        return {"same_as": seen[id(layer)]}
    seen[id(layer)] = name
    if registry.get(type(layer).__name__) is not type(layer):
        raise TypeError(
            f"{layer!r} cannot be saved: its class is not registered. Decorate it with "
            "@chainrule.register_layer."
        )
    arguments = {
        key: _plain(layer, key, value, seen, f"{name}.{key}")
        for key, value in layer.constructor_arguments().items()
        if not layer.is_initializer(value)  # that has done its work: the values are saved
    }
    return {"class": type(layer).__name__, "arguments": arguments}


def _plain(layer: Any, key: str, value: Any, seen: dict[int, str], name: str) -> Any:
    """Return a value that JSON holds, layers described, or refuse it."""
    if isinstance(value, Layer):
        return _describe(value, seen, name)
    if isinstance(value, (list, tuple)):
        return [_plain(layer, key, item, seen, f"{name}.{i}") for i, item in enumerate(value)]
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, float) and not math.isfinite(value):
        return {"float": repr(float(value))}  # JSON has no number for it
    if type(value) is int:
        _check_digits(f"{type(layer).__name__} cannot be saved: its argument {key}", value)
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    raise TypeError(
        f"{layer!r} cannot be saved: its argument {key} is a {type(value).__name__}; a file holds "
        "numbers, texts, booleans, None, layers, and lists of these."
    )


def check_metadata(what: str, value: Any) -> dict[str, Any]:
    """Return metadata that JSON gives back as it is; refuse anything else."""
    if not isinstance(value, dict):
        raise TypeError(f"{what} must be a dict, got {value!r}.")
    _check_json(what, value, MAX_LEVELS)
    return value


def _check_json(what: str, value: Any, levels: int) -> None:
    """Refuse what JSON cannot hold, or would give back as something else."""
    if levels < 0:
        raise TypeError(f"{what.partition('[')[0]} is nested more than {MAX_LEVELS} deep.")
    if type(value) is dict:
        for key, item in value.items():
            if type(key) is not str:
                raise TypeError(f"{what}: keys must be texts, got {key!r}.")
            _check_json(f"{what}[{key!r}]", item, levels - 1)
    elif type(value) is list:
        for i, item in enumerate(value):
            _check_json(f"{what}[{i}]", item, levels - 1)
    elif type(value) is float and not math.isfinite(value):
        raise TypeError(f"{what} is {value}, which JSON has no number for; write None or a text.")
    elif type(value) is int:
        _check_digits(what, value)
    elif value is not None and type(value) not in (bool, int, float, str):
        raise TypeError(
            f"{what} is a {type(value).__name__}; a file holds dicts, lists, texts, numbers, "
            "booleans and None. Arrays and NumPy's numbers become such by .tolist()."
        )


def _check_digits(what: str, value: int) -> None:
    if value.bit_length() > 3 * MAX_DIGITS:  # 2**3 < 10
        raise TypeError(f"{what} is an integer of more than {MAX_DIGITS * 9 // 10} digits.")


# ---- from a description --------------------------------------------------------------------------


def read_json(name: str, text: bytes) -> dict[str, Any]:
    """The JSON object of a text, read as strictly as JSON is defined, without doubled keys."""
    description = json.loads(
        text.decode(),
        parse_constant=_number,
        parse_float=_number,
        parse_int=_integer,
        object_pairs_hook=_object,
    )
    if type(description) is not dict:
        raise ValueError(f"its description {name!r} is none of chainrule's.")
    return description


def _number(text: str) -> float:
    if not math.isfinite(value := float(text)):
        raise ValueError(f"its description holds {text}, which is no number of JSON.")
    return value


def _integer(text: str) -> int:
    if len(text) > MAX_DIGITS:
        raise ValueError(f"its description holds an integer of more than {MAX_DIGITS} digits.")
    return int(text)


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError(f"its description holds a key twice, among {list(found)}.")
    return found


def entry(description: dict[str, Any], key: str, kind: type, what: str) -> Any:
    """An entry that must be there, and of a type."""
    value = description.get(key)
    if type(value) is not kind:
        raise ValueError(f"{what}: {key!r} must be a {kind.__name__}, got {value!r}.")
    return value


def build_layers(described: list[Any], frozen: list[Any]) -> list[Layer]:
    """The layers of a description, those frozen that are named."""
    builder = _Builder()
    layers = list(builder.value(described, ""))
    builder.count(layers)
    for layer in layers:
        if not isinstance(layer, Layer):
            raise ValueError(f"{layer!r} stands among its layers.")
    by_name = unique(layers)
    seen: set[str] = set()
    for name in frozen:
        if type(name) is not str or name not in by_name or name in seen:
            raise ValueError(f"{name!r} is named as frozen, and is no layer of it or named twice.")
        seen.add(name)
    for name, layer in by_name.items():  # a constructor may have frozen what learns by now
        layer.__dict__["_trainable"] = name not in seen
    return layers


def compare_layers(own: Sequence[Layer], built: Sequence[Layer]) -> None:
    """Refuse layers that have become others when they were built anew from their arguments."""
    first, second = _shapes(own), _shapes(built)
    for name in (*first, *second):
        if first.get(name) != second.get(name):
            raise ValueError(
                f"built anew from their arguments, the layers would have {name!r} of shape "
                f"{second.get(name)}, and it is {first.get(name)}; keep each argument of a "
                "constructor as it came."
            )
    pairs = zip(describe_layers(own), describe_layers(built), strict=True)
    for i, (described, anew) in enumerate(pairs):
        if described != anew:
            raise ValueError(
                f"built anew from its arguments, layer {i}, {own[i]!r}, would be {built[i]!r}; "
                "keep each argument of a constructor as it came."
            )


def _shapes(layers: Sequence[Layer]) -> dict[str, tuple[int, ...]]:
    """The shapes of all parameters and buffers by name."""
    return {
        name + key: shape
        for name, layer in unique(layers).items()
        for key, shape in (layer.parameter_shapes | layer.buffer_shapes).items()
    }


class _Builder:
    """Builds layers from registered names and plain arguments, and counts them."""

    def __init__(self) -> None:
        self.built: dict[str, Layer] = {}  # by where they are described
        self.standings: dict[int, int] = {}  # by id: of a layer with all inside it

    def value(self, described: Any, name: str) -> Any:
        """The value of a description; JSON has one kind of list, and arguments are tuples."""
        if isinstance(described, dict):
            return _infinite(described) if "float" in described else self.layer(described, name)
        if isinstance(described, list):
            return tuple(self.value(item, f"{name}.{i}") for i, item in enumerate(described))
        return described

    def layer(self, described: dict[str, Any], name: str) -> Layer:
        if "same_as" in described:
            first = entry(described, "same_as", str, "a layer")
            if first not in self.built:
                raise ValueError(f"a layer is the same as {first!r}, and none stands there before.")
            return self.built[first]
        kind = _registered(entry(described, "class", str, "a layer"))
        given = entry(described, "arguments", dict, kind.__name__)
        arguments = {key: self.value(value, f"{name}.{key}") for key, value in given.items()}
        standings = 1 + self.count(arguments.values())
        with at(f"its layer {kind.__name__} cannot be built"):
            layer = _call(kind, arguments)
        self.built[name], self.standings[id(layer)] = layer, standings
        if len(self.built) > MAX_LAYERS:
            raise ValueError(f"it has more than {MAX_LAYERS} layers.")
        return layer

    def count(self, values: Iterable[Any]) -> int:
        """How many layers stand in these values: asked before one is built around them."""
        count = sum(
            self.count(v) if isinstance(v, tuple) else self.standings.get(id(v), 0) for v in values
        )
        if count > MAX_LAYERS:
            raise ValueError(f"it has more than {MAX_LAYERS} layers, shared ones counted anew.")
        return count


def _infinite(described: dict[str, Any]) -> float:
    if described not in ({"float": "inf"}, {"float": "-inf"}, {"float": "nan"}):
        raise ValueError(f"a layer has the argument {described!r}, which is no number.")
    return float(described["float"])


def _registered(name: str) -> type[Layer]:
    """The class of a name in a file, or a `ValueError` that says how to register it."""
    if name not in registry:
        raise ValueError(
            f"The layer {name!r} is not known here. If it is your own, decorate its class with "
            "@chainrule.register_layer before loading."
        )
    return registry[name]


def _call(kind: type[Layer], arguments: dict[str, Any]) -> Layer:
    """Call a constructor with such arguments as `Layer.constructor_arguments` names, no others."""
    signature = inspect.signature(kind)
    known = [
        name
        for name, parameter in signature.parameters.items()
        if name != "rng" and parameter.kind is not parameter.VAR_KEYWORD
    ]
    if unknown := sorted(arguments.keys() - known):
        raise ValueError(f"it has no arguments {unknown}, only {known}.")
    for name in known:
        several = signature.parameters[name].kind is inspect.Parameter.VAR_POSITIONAL
        if several and type(arguments.get(name, ())) is not tuple:
            raise ValueError(f"{name} must be a list, got {arguments[name]!r}.")
    given = {name: arguments[name] for name in known if name in arguments}
    bound = inspect.BoundArguments(signature, given)
    bound.apply_defaults()
    return kind(*bound.args, **bound.kwargs)
