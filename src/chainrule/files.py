"""Model files: NumPy's `.npz`, with an array for each parameter and buffer and one JSON description
of the layers. Nothing in a file is ever executed: layers are built from registered names alone.

Entries of the description that a version does not know are left alone by it: one from before there
was `metadata` reads the model without. A new format is for files that an old version would misread.
A checkpoint is such a file with further members: the JSON "run" and its arrays "run/0", "run/1".
"""

from __future__ import annotations

import contextlib
import errno
import inspect
import json
import math
import os
import re
import secrets
import tempfile
import zipfile
from collections.abc import Callable, Mapping
from typing import IO, TYPE_CHECKING, Any, TypeVar

import numpy as np

from .errors import show
from .layer import Layer, registry
from .packing import KINDS, pack, unpack
from .parameters import unique

if TYPE_CHECKING:
    from ._types import Array
    from .model import Model

FORMAT = 1
DESCRIPTION = "model"  # the member that holds the JSON
RUN = "run"  # the member that a checkpoint has besides
RUN_FORMAT = 1
HEADER = 128  # bytes before the numbers of an array of one axis, as NumPy writes them
MAX_HEADER = 4096
MAX_DESCRIPTION = 16 << 20  # bytes
MAX_LEVELS = 50  # of lists and dicts in metadata

AnyModel = TypeVar("AnyModel", bound="Model")


def save(
    model: Model, path: str | os.PathLike[str], members: Mapping[str, Array] | None = None
) -> None:
    """Write a model to `path`, in one move; an error leaves an earlier file as it was.

    `members` are those of a run, from `run_members`.
    """
    text = _as_bytes("Model.save: layers and metadata", describe(model))
    arrays = {DESCRIPTION: text, **model.named_parameters(), **model.named_buffers()}
    arrays |= members or {}
    replace_file(path, lambda file: np.savez(file, **arrays))  # type: ignore[arg-type]


def describe(model: Model) -> dict[str, Any]:
    """What a file says of a model beside its arrays."""
    from . import __version__

    return {
        "format": FORMAT,
        "chainrule": __version__,
        "dtype": model.dtype.name,
        "seed": model.seed,
        "layers": _plain(None, "layers", model.layers, {}, ""),
        "frozen": [name for name, layer in unique(model.layers).items() if not layer._trainable],
        "metadata": _check_metadata("Model.save: metadata", model.metadata),
    }


def run_members(parts: Mapping[str, Any]) -> dict[str, Array]:
    """The members of a run, from its parts: plain values and arrays, nested at will."""
    arrays: list[Array] = []
    described = {name: pack(f"Checkpoint: {name}", part, arrays) for name, part in parts.items()}
    run = {
        "format": RUN_FORMAT,
        "parts": described,
        "arrays": [[a.dtype.str, a.shape] for a in arrays],
    }
    members = {f"{RUN}/{i}": array for i, array in enumerate(arrays)}
    return {RUN: _as_bytes("Checkpoint: the names and settings of the run", run), **members}


def _as_bytes(what: str, description: dict[str, Any]) -> Array:
    text = json.dumps(description).encode()
    if len(text) > MAX_DESCRIPTION - MAX_HEADER:  # such a file could not be loaded
        raise ValueError(
            f"{what} take {len(text)} bytes as JSON, of {MAX_DESCRIPTION - MAX_HEADER} at "
            "most; metadata is for names and settings."
        )
    return np.frombuffer(text, np.uint8)


def load(cls: type[AnyModel], path: str | os.PathLike[str]) -> AnyModel:
    """Build the model of a file; whatever is wrong with the file is a `ValueError`."""
    return load_run(cls, path, wanted=False)[0]


def load_run(
    cls: type[AnyModel], path: str | os.PathLike[str], wanted: bool = True
) -> tuple[AnyModel, dict[str, Any] | None]:
    """As `load`, with the parts of the run; None for a model's file, or if they are not wanted."""
    path = check_path(path)
    with open(path, "rb") as file:  # what the operating system refuses stays an OSError
        try:
            return _load(cls, file, wanted)
        except Exception as error:  # damaged archives and headers fail in many ways
            if isinstance(error, OSError) and error.errno != errno.EINVAL:  # EINVAL: a bad offset
                raise
            raise ValueError(f"{path!r} is not a model file that can be loaded: {error}") from error


def _load(
    cls: type[AnyModel], file: IO[bytes], run_wanted: bool
) -> tuple[AnyModel, dict[str, Any] | None]:
    with zipfile.ZipFile(file) as archive:
        members = archive.infolist()
        sizes = {member.filename.removesuffix(".npy"): member.file_size for member in members}
        if len(sizes) != len(members):
            raise ValueError("two of its members have one name.")
        if DESCRIPTION not in sizes:
            raise ValueError("it has no description of a model.")
        if min(member.header_offset for member in members) or not _ends_as_archive(file):
            raise ValueError("there are bytes before or behind the archive.")
        description = _read_description(archive, DESCRIPTION, sizes)
        layers, dtype, seed = _check(description)
        metadata = _check_metadata("metadata", description.get("metadata", {}))
        run, beside = _check_run(archive, sizes)
        _fill(layers, dtype, sizes, archive, beside)
        if run is not None and run_wanted:
            arrays = [_read(archive, name, shape, kind) for name, (shape, kind) in beside.items()]
            run = {name: unpack(part, arrays) for name, part in run.items()}
    model = cls(*layers, seed=seed, dtype=dtype)
    model.metadata = metadata
    return model, run if run_wanted else None


def _read_description(archive: zipfile.ZipFile, name: str, sizes: dict[str, int]) -> Any:
    if sizes[name] > MAX_DESCRIPTION:
        raise ValueError(f"its description is larger than {MAX_DESCRIPTION} bytes.")
    return json.loads(_read(archive, name, (sizes[name] - HEADER,), "uint8").tobytes())


def _check_run(
    archive: zipfile.ZipFile, sizes: dict[str, int]
) -> tuple[dict[str, Any] | None, dict[str, tuple[tuple[int, ...], str]]]:
    """The parts of a run as they are described, and the arrays that belong to them."""
    if RUN not in sizes:
        return None, {}
    run = _read_description(archive, RUN, sizes)
    if run["format"] != RUN_FORMAT:
        raise ValueError(f"its run has format {run['format']!r}, expected {RUN_FORMAT}.")
    arrays = {}
    for i, (kind, shape) in enumerate(run["arrays"]):
        if not re.fullmatch(rf"[<>|][{KINDS}]\d\d?", kind):
            raise ValueError(f"its array {RUN}/{i} is described as {kind!r}.")
        if not all(type(size) is int and size >= 0 for size in shape):
            raise ValueError(f"its array {RUN}/{i} is described with the shape {shape}.")
        arrays[f"{RUN}/{i}"] = (tuple(shape), kind)
    return dict(run["parts"]), arrays


def replace_file(path: str | os.PathLike[str], write: Callable[[Any], None]) -> None:
    """Write a file beside `path`, flush it to the disk and move it into place."""
    given = check_path(path)
    path = os.path.realpath(given)
    temporary = os.path.join(os.path.dirname(path), f".{secrets.token_hex(8)}.tmp")
    try:
        with open(temporary, "xb") as file:
            write(file)
            file.flush()
            os.fsync(file.fileno())
        if os.path.exists(path):
            os.chmod(temporary, os.stat(path).st_mode & 0o7777)
        os.replace(temporary, path)
    except BaseException as error:
        with contextlib.suppress(OSError):
            os.unlink(temporary)
        if isinstance(error, OSError) and error.errno is not None:
            error.filename, error.filename2 = given, None  # not the temporary one's
        raise


def check_writable(path: str | os.PathLike[str]) -> None:
    """Let the operating system refuse now what it would refuse when a file is written."""
    given = check_path(path)
    target = os.path.realpath(given)
    if os.path.isdir(target):
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), given)
    try:
        with tempfile.TemporaryFile(dir=os.path.dirname(target)):
            pass
    except OSError as error:
        error.filename = given
        raise


def check_path(path: Any) -> str:
    """Return a path as text; refuse what is none."""
    if not isinstance(path, (str, os.PathLike)):
        raise TypeError(f"expected the path of a model file, got {path!r}.")
    return os.fsdecode(path)


# ---- layers as JSON ------------------------------------------------------------------------------


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
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    raise TypeError(
        f"{layer!r} cannot be saved: its argument {key} is a {type(value).__name__}; a file holds "
        "numbers, texts, booleans, None, layers, and lists of these."
    )


def _check_metadata(what: str, value: Any) -> dict[str, Any]:
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
    elif value is not None and type(value) not in (bool, int, float, str):
        raise TypeError(
            f"{what} is a {type(value).__name__}; a file holds dicts, lists, texts, numbers, "
            "booleans and None. Arrays and NumPy's numbers become such by .tolist()."
        )


def _check(description: Any) -> tuple[list[Layer], str, int]:
    """Build the layers of a description, after a look at its version."""
    if not isinstance(description, dict):
        raise ValueError("its description is none of chainrule's.")
    version, dtype, seed = (description.get(key) for key in ("format", "dtype", "seed"))
    if type(version) is not int or version < 1:
        raise ValueError(f"its format is {version!r}.")
    if version > FORMAT:
        raise ValueError(
            f"it has format {version}, this version reads up to {FORMAT}; it takes "
            f"chainrule {description.get('chainrule')} or later."
        )
    if dtype not in ("float32", "float64"):
        raise ValueError(f"its dtype is {dtype!r}.")
    if type(seed) is not int:
        raise ValueError(f"its seed is {seed!r}.")
    layers = list(_value(description["layers"], {}, ""))
    by_name = unique(layers)
    for name in description["frozen"]:
        by_name[name].__dict__["_trainable"] = False
    return layers, dtype, seed


def _value(described: Any, built: dict[str, Layer], name: str) -> Any:
    """The value of a description; JSON has one kind of list, and arguments are tuples."""
    if isinstance(described, dict):
        return _build(described, built, name)
    if isinstance(described, list):
        return tuple(_value(item, built, f"{name}.{i}") for i, item in enumerate(described))
    return described


def _build(entry: dict[str, Any], built: dict[str, Layer], name: str) -> Layer:
    """Build a layer from its registered name and plain arguments."""
    if "same_as" in entry:
        return built[entry["same_as"]]
    kind = _registered_layer(entry["class"])
    arguments = {k: _value(v, built, f"{name}.{k}") for k, v in entry["arguments"].items()}
    positional: tuple[Any, ...] = ()
    for parameter in inspect.signature(kind).parameters.values():
        if parameter.kind is parameter.VAR_POSITIONAL:
            positional = arguments.pop(parameter.name, ())
    built[name] = layer = kind(*positional, **arguments)
    return layer


def _ends_as_archive(file: IO[bytes]) -> bool:
    """Whether the record that ends an archive, of 22 bytes without a comment, ends the file."""
    file.seek(-22, os.SEEK_END)
    return file.read(4) == b"PK\x05\x06"


def _read(archive: zipfile.ZipFile, name: str, shape: tuple[int, ...], dtype: str) -> Array:
    """Read one array, once its header tells what is expected; never more, never a pickle."""
    with archive.open(f"{name}.npy") as member:
        if np.lib.format.read_magic(member) != (1, 0):
            raise ValueError(f"its array {name} has another version of NumPy's format.")
        found, fortran, kind = np.lib.format.read_array_header_1_0(member)
        if found != shape or kind != np.dtype(dtype) or fortran:
            raise ValueError(
                f"its array {name} is {kind} of shape {show(found)}, expected {dtype} of shape "
                f"{show(shape)}."
            )
        size = math.prod(shape) * np.dtype(dtype).itemsize
        data = member.read(size)
        if len(data) != size or member.read(1):
            raise ValueError(f"its array {name} has not the length that its shape tells.")
    return np.frombuffer(data, dtype).reshape(shape).copy()


def _fill(
    layers: list[Layer],
    dtype: str,
    sizes: dict[str, int],
    archive: zipfile.ZipFile,
    beside: Mapping[str, tuple[tuple[int, ...], str]],
) -> None:
    """Give the layers their arrays, once all names and sizes have been found right."""
    wanted: dict[str, tuple[Layer, str, tuple[int, ...]]] = {}
    for name, layer in unique(layers).items():
        for key, shape in layer.parameter_shapes.items():
            wanted[name + key] = (layer, key, shape)
        for key, array in layer.own_buffers().items():
            wanted[name + key] = (layer, key, array.shape)
    names = {*wanted, *beside, DESCRIPTION} | sizes.keys() & {RUN}
    if names != sizes.keys():
        raise ValueError(
            f"arrays are missing or too many: missing {sorted(names - sizes.keys())}, unknown "
            f"{sorted(sizes.keys() - names)}."
        )
    arrays = {name: (shape, dtype) for name, (_, _, shape) in wanted.items()} | dict(beside)
    for name, (shape, kind) in arrays.items():
        if not 0 < sizes[name] - math.prod(shape) * np.dtype(kind).itemsize <= MAX_HEADER:
            raise ValueError(f"its array {name} has not the size that {show(shape)} takes.")
    for name, (layer, key, shape) in wanted.items():
        layer.put_array(key, _read(archive, name, shape, dtype))


def _registered_layer(name: str) -> type[Layer]:
    """The class of a name in a file, or a `ValueError` that says how to register it."""
    if name not in registry:
        raise ValueError(
            f"The layer {name!r} is not known here. If it is your own, decorate its class with "
            "@chainrule.register_layer before loading."
        )
    return registry[name]
