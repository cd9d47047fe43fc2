"""Model files: NumPy's `.npz`, with an array for each parameter and buffer and one JSON description
of the layers. Nothing in a file is ever executed: layers are built from registered names alone."""

from __future__ import annotations

import contextlib
import inspect
import json
import math
import os
import secrets
import zipfile
import zlib
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

from .errors import show
from .layer import Layer, registered_layer
from .parameters import unique

if TYPE_CHECKING:
    from ._types import Array
    from .model import Model

FORMAT = 1
DESCRIPTION = "model"  # the member that holds the JSON
HEADER = 4096  # bytes that the header of one array may take

AnyModel = TypeVar("AnyModel", bound="Model")


def save(model: Model, path: str | os.PathLike[str]) -> None:
    """Write a model to `path`, in one move; an error leaves an earlier file as it was."""
    from . import __version__

    description = {
        "format": FORMAT,
        "chainrule": __version__,
        "dtype": model.dtype.name,
        "seed": model.seed,
        "layers": _describe(model.layers, {}, ""),
    }
    text = np.frombuffer(json.dumps(description).encode(), np.uint8)
    arrays = {DESCRIPTION: text, **model.named_parameters(), **model.named_buffers()}
    replace_file(path, lambda file: np.savez(file, **arrays))  # type: ignore[arg-type]


def load(cls: type[AnyModel], path: str | os.PathLike[str]) -> AnyModel:
    """Build the model of a file; whatever is wrong with the file is a `ValueError`."""
    path = os.fspath(path)
    try:
        with zipfile.ZipFile(path) as archive:
            sizes = {info.filename: info.file_size for info in archive.infolist()}
            if len(sizes) != len(archive.infolist()):
                raise ValueError("two of its members have one name.")
            if f"{DESCRIPTION}.npy" not in sizes:
                raise ValueError("it has no description of a model.")
            read = _reader(archive)
            description = json.loads(read(DESCRIPTION).tobytes())
            layers, dtype = _check(description)
            _fill(layers, dtype, sizes, read)
    except ValueError as error:
        raise ValueError(f"{path!r} is not a model file that can be loaded: {error}") from None
    except (zipfile.BadZipFile, zlib.error, EOFError, KeyError, TypeError, RuntimeError) as error:
        raise ValueError(f"{path!r} is not a model file, or it is damaged: {error}") from None
    return cls(*layers, seed=description["seed"], dtype=dtype)


def replace_file(path: str | os.PathLike[str], write: Callable[[Any], None]) -> None:
    """Write a file beside `path`, flush it to the disk and move it into place."""
    path = os.path.realpath(path)
    temporary = f"{path}.{secrets.token_hex(4)}.tmp"
    try:
        with open(temporary, "xb") as file:
            write(file)
            file.flush()
            os.fsync(file.fileno())
        if os.path.exists(path):
            os.chmod(temporary, os.stat(path).st_mode & 0o7777)
        os.replace(temporary, path)
    except BaseException:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(temporary)
        raise


# ---- layers as JSON ------------------------------------------------------------------------------


def _describe(layers: tuple[Layer, ...], seen: dict[int, str], prefix: str) -> list[Any]:
    """Class and arguments of each layer; one that stood before is named by its first position."""
    described: list[Any] = []
    for i, layer in enumerate(layers):
        name = f"{prefix}{i}"
        if id(layer) in seen:
            described.append({"same_as": seen[id(layer)]})
            continue
        seen[id(layer)] = name
        kind = type(layer).__name__
        if registered_layer(kind) is not type(layer):
            raise TypeError(f"{layer!r}: another class is registered under the name {kind}.")
        arguments = {}
        for key, value in layer.config().items():
            if isinstance(value, tuple) and value and value is layer.children:
                arguments[key] = _describe(value, seen, f"{name}.")
            elif not callable(value):  # an initializer has done its work: the values are saved
                arguments[key] = _plain(layer, key, value)
        described.append({"class": kind, "arguments": arguments, "trainable": layer.trainable})
    return described


def _plain(layer: Layer, key: str, value: Any) -> Any:
    """Return a value that JSON holds, or refuse it."""
    if isinstance(value, (list, tuple)):
        return [_plain(layer, key, item) for item in value]
    if isinstance(value, np.generic):
        value = value.item()
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    raise TypeError(
        f"{layer!r} cannot be saved: its argument {key} is a {type(value).__name__}; a file holds "
        "numbers, texts, booleans, None, and lists of these."
    )


def _check(description: Any) -> tuple[list[Layer], str]:
    """Build the layers of a description, after a look at its version."""
    if not isinstance(description, dict) or not isinstance(description.get("format"), int):
        raise ValueError("its description is none of chainrule's.")
    if description["format"] > FORMAT:
        raise ValueError(
            f"it has format {description['format']}, this version reads up to {FORMAT}; it takes "
            f"chainrule {description.get('chainrule')} or later."
        )
    if description.get("dtype") not in ("float32", "float64"):
        raise ValueError(f"its dtype is {description.get('dtype')!r}.")
    if not isinstance(description.get("seed"), int):
        raise ValueError("its seed is not a number.")
    return _build(description["layers"], {}, ""), description["dtype"]


def _build(described: Any, built: dict[str, Layer], prefix: str) -> list[Layer]:
    """Build layers from registered names and plain arguments."""
    layers = []
    for i, entry in enumerate(described):
        name = f"{prefix}{i}"
        if "same_as" in entry:
            layers.append(built[entry["same_as"]])
            continue
        kind = registered_layer(entry["class"])
        arguments, positional = dict(entry["arguments"]), []
        for parameter in inspect.signature(kind.__init__).parameters.values():
            if parameter.kind is parameter.VAR_POSITIONAL and parameter.name in arguments:
                positional = arguments.pop(parameter.name)
                if positional and isinstance(positional[0], dict):
                    positional = _build(positional, built, f"{name}.")
        layer = kind(*positional, **arguments)
        if not layer.children:
            layer.trainable = entry["trainable"]
        built[name] = layer
        layers.append(layer)
    return layers


def _reader(archive: zipfile.ZipFile) -> Callable[[str], Array]:
    def read(name: str) -> Array:
        with archive.open(f"{name}.npy") as member:
            return np.lib.format.read_array(member, allow_pickle=False)

    return read


def _fill(
    layers: list[Layer], dtype: str, sizes: dict[str, int], read: Callable[[str], Array]
) -> None:
    """Give the layers their arrays, once names, sizes and shapes have been found right."""
    wanted: dict[str, tuple[Layer, str, tuple[int, ...]]] = {}
    for name, layer in unique(layers).items():
        for key, shape in layer.parameter_shapes.items():
            wanted[name + key] = (layer, key, shape)
        for key, array in layer.own_buffers().items():
            wanted[name + key] = (layer, key, array.shape)
    members = {f"{name}.npy" for name in [*wanted, DESCRIPTION]}
    if members != sizes.keys():
        raise ValueError(
            f"arrays are missing or too many: missing {sorted(members - sizes.keys())}, unknown "
            f"{sorted(sizes.keys() - members)}."
        )
    for name, (_, _, shape) in wanted.items():
        if sizes[f"{name}.npy"] > math.prod(shape) * 8 + HEADER:
            raise ValueError(f"its array {name} is larger than {show(shape)} takes.")
    for name, (layer, key, shape) in wanted.items():
        array = read(name)
        if array.shape != shape or array.dtype != dtype:
            raise ValueError(
                f"its array {name} is {array.dtype} of shape {show(array.shape)}, expected {dtype} "
                f"of shape {show(shape)}."
            )
        layer.put(key, array)
