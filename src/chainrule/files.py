"""Model files: NumPy's `.npz`, with an array for each parameter and buffer and one JSON description
of the layers. Nothing in a file is ever executed: layers are built from registered names alone.

Entries of the description that a version does not know are left alone by it: one from before there
was `metadata` reads the model without. A new format is for files that an old version would misread.
A checkpoint is such a file with further members: the JSON "run" and its arrays "run/0", "run/1".
"""

from __future__ import annotations

import contextlib
import errno
import json
import math
import os
import re
import secrets
import stat
import tempfile
import warnings
from collections.abc import Callable, Mapping
from typing import IO, TYPE_CHECKING, Any, TypeVar

import numpy as np

from .archive import MAX_MEMBERS, Archive
from .described import (
    MAX_LAYERS,
    build_layers,
    check_metadata,
    compare_layers,
    describe_layers,
    entry,
    read_json,
)
from .errors import at, show
from .packing import KINDS, pack, unpack
from .parameters import unique, walk

if TYPE_CHECKING:
    from ._types import Array
    from .layer import Layer
    from .model import Model

FORMAT = 1
DESCRIPTION = "model"  # the member that holds the JSON
RUN = "run"  # the member that a checkpoint has besides
RUN_FORMAT = 1
HEADER = 128  # bytes before the numbers of an array of one axis, as NumPy writes them
MAX_HEADER = 4096
MAX_DESCRIPTION = 16 << 20  # bytes
MAX_AXES = 64  # of an array
MAX_REASON = 2000  # characters of a sentence that may quote the file

AnyModel = TypeVar("AnyModel", bound="Model")


def save(
    model: Model, path: str | os.PathLike[str], members: Mapping[str, Array] | None = None
) -> None:
    """Write a model to `path`, in one move; an error leaves an earlier file as it was.

    `members` are those of a run, from `run_members`.
    """
    _check_count("layers", sum(1 for _ in walk(model.layers)), MAX_LAYERS)
    text = _as_bytes("Model.save: layers and metadata", describe(model))
    arrays = {DESCRIPTION: text, **model.named_parameters(), **model.named_buffers()}
    arrays |= members or {}
    arrays = {name: np.asarray(array, order="C") for name, array in arrays.items()}
    _check_count("arrays", len(arrays), MAX_MEMBERS)
    replace_file(path, lambda file: np.savez(file, **arrays))  # type: ignore[arg-type]


def _check_count(what: str, n: int, most: int) -> None:
    if n > most:  # such a file could not be loaded
        raise ValueError(f"Model.save: a file holds {most} {what} at most, this model has {n}.")


def describe(model: Model) -> dict[str, Any]:
    """What a file says of a model beside its arrays, once it is known that it can be loaded."""
    from . import __version__

    description = {
        "format": FORMAT,
        "chainrule": __version__,
        "dtype": model.dtype.name,
        "seed": model.seed,
        "layers": describe_layers(model.layers),
        "frozen": [name for name, layer in unique(model.layers).items() if not layer._trainable],
        "metadata": check_metadata("Model.save: metadata", model.metadata),
    }
    try:
        layers, _, _ = _check(read_json(DESCRIPTION, json.dumps(description).encode()))
        compare_layers(model.layers, layers)
    except Exception as error:  # own layers' constructors fail in many ways
        raise ValueError(
            f"Model.save: a file of this model could not be loaded: {reason_of(error)}"
        ) from error
    return description


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
    model, _ = load_run(cls, path, wanted=False)
    warn_of_gaps(model, path, stacklevel=4)
    return model


def warn_of_gaps(model: Model, path: Any, stacklevel: int) -> None:
    """Warn of parameters and buffers that hold NaN or infinities, by name."""
    arrays = {**model.named_parameters(), **model.named_buffers()}
    gaps = {name: np.sum(~np.isfinite(array)) for name, array in arrays.items()}
    found = [f"{name} ({n} of {arrays[name].size})" for name, n in gaps.items() if n]
    if found:
        warnings.warn(
            f"{os.fsdecode(path)!r} holds numbers that are NaN or infinite, in {len(found)} of "
            f"{len(arrays)} arrays: {', '.join(found[:10])}{', ...' if len(found) > 10 else ''}.",
            stacklevel=stacklevel,
        )


def load_run(
    cls: type[AnyModel], path: str | os.PathLike[str], wanted: bool = True
) -> tuple[AnyModel, dict[str, Any] | None]:
    """As `load`, with the parts of the run; None for a model's file, or if they are not wanted."""
    path = check_path(path)
    mode = os.stat(path).st_mode  # what the operating system refuses stays an OSError
    if not (stat.S_ISREG(mode) or stat.S_ISDIR(mode)):  # opening a pipe would wait for a writer
        raise ValueError(
            f"{path!r} is not a model file that can be loaded: it is a device or a pipe."
        )
    with open(path, "rb") as file:
        try:
            return _load(cls, file, wanted)
        except Exception as error:  # own layers' constructors fail in many ways
            if isinstance(error, OSError) and error.errno != errno.EINVAL:  # EINVAL: a bad offset
                raise
            reason = reason_of(error)
            raise ValueError(
                f"{path!r} is not a model file that can be loaded: {reason}"
            ) from error


def reason_of(error: Exception) -> str:
    """A sentence for an error; of those that quote much of the file, the beginning.

    What a terminal would obey instead of showing it is escaped.
    """
    if isinstance(error, MemoryError):
        return "it takes more memory than there is."
    if isinstance(error, RecursionError):
        return "its description is nested too deep."
    if isinstance(error, KeyError):
        return f"{error} is missing in it."
    plain = isinstance(error, (TypeError, ValueError, OSError)) and str(error)
    reason = str(error) if plain else repr(error)
    shown = "".join(c if c.isprintable() else repr(c)[1:-1] for c in reason[:MAX_REASON])
    return shown if len(reason) <= MAX_REASON else f"{shown}..."


def _load(
    cls: type[AnyModel], file: IO[bytes], run_wanted: bool
) -> tuple[AnyModel, dict[str, Any] | None]:
    from . import __version__

    archive = Archive(file)
    if DESCRIPTION not in archive.members:
        raise ValueError("it has no description of a model.")
    description = _read_description(archive, DESCRIPTION)
    version = _version(description)
    with (
        at(f"it was written by chainrule {version or '?'}, this is {__version__}")
        if (version != __version__)
        else contextlib.nullcontext()
    ):  # which may have known other layers
        layers, dtype, seed = _check(description)
        metadata = check_metadata("metadata", description.get("metadata", {}))
        run, beside = _check_run(archive, version)
        _fill(layers, dtype, archive, beside)
    if run is not None and run_wanted:
        arrays = [archive.read(name, shape, kind) for name, (shape, kind) in beside.items()]
        taken: set[int] = set()
        run = {name: unpack(part, arrays, taken) for name, part in run.items()}
    model = cls(*layers, seed=seed, dtype=dtype)
    model.metadata = metadata
    return model, run if run_wanted else None


def _read_description(archive: Archive, name: str) -> dict[str, Any]:
    """The JSON of a member: an object, and strictly as JSON is defined."""
    size = archive.members[name].size - HEADER
    if not 0 < size <= MAX_DESCRIPTION - HEADER:
        raise ValueError(f"its description {name} takes {size} bytes, of 1 to {MAX_DESCRIPTION}.")
    text = archive.read(name, (size,), "uint8").tobytes()
    return read_json(name, text)


def _version(description: dict[str, Any]) -> str | None:
    """The version that wrote a file, if what it tells looks like one."""
    text = description.get("chainrule")
    return text if type(text) is str and re.fullmatch(r"[0-9A-Za-z.+!-]{1,40}", text) else None


def _check_format(what: str, found: Any, known: int, version: Any) -> None:
    if type(found) is not int or found < 1:
        raise ValueError(f"its {what} is {found!r:.40}.")
    if found > known:
        raise ValueError(
            f"it has {what} {found!r:.40}, this version reads up to {known}; it takes "
            f"{f'chainrule {version} or later' if version else 'a later version of chainrule'}."
        )


def _check_run(
    archive: Archive, version: Any
) -> tuple[dict[str, Any] | None, dict[str, tuple[tuple[int, ...], str]]]:
    """The parts of a run as they are described, and the arrays that belong to them."""
    if RUN not in archive.members:
        return None, {}
    run = _read_description(archive, RUN)
    _check_format("run's format", run.get("format"), RUN_FORMAT, version)
    arrays = {}
    for i, pair in enumerate(entry(run, "arrays", list, RUN)):
        if type(pair) is not list or len(pair) != 2 or type(pair[1]) is not list:
            raise ValueError(f"its array {RUN}/{i} is described as {pair!r}.")
        kind, shape = pair
        if type(kind) is not str or not re.fullmatch(rf"[<>|][{KINDS}]\d\d?", kind):
            raise ValueError(f"its array {RUN}/{i} is described as {kind!r}.")
        if len(shape) > MAX_AXES or not all(type(n) is int and 0 <= n < 2**63 for n in shape):
            raise ValueError(f"its array {RUN}/{i} is described with the shape {shape}.")
        arrays[f"{RUN}/{i}"] = (tuple(shape), kind)
    return entry(run, "parts", dict, RUN), arrays


def _check(description: dict[str, Any]) -> tuple[list[Layer], str, int]:
    """Build the layers of a description, after a look at its version."""
    _check_format("format", description.get("format"), FORMAT, _version(description))
    dtype, seed = description.get("dtype"), description.get("seed")
    if dtype not in ("float32", "float64"):
        raise ValueError(f"its dtype is {dtype!r}.")
    if type(seed) is not int or seed < 0:
        raise ValueError(f"its seed is {seed!r}.")
    described, frozen = (entry(description, key, list, DESCRIPTION) for key in ("layers", "frozen"))
    return build_layers(described, frozen), dtype, seed


def _fill(
    layers: list[Layer],
    dtype: str,
    archive: Archive,
    beside: Mapping[str, tuple[tuple[int, ...], str]],
) -> None:
    """Give the layers their arrays, once all names and sizes have been found right."""
    wanted: dict[str, tuple[Layer, str, tuple[int, ...]]] = {}
    for name, layer in unique(layers).items():
        for key, shape in (layer.parameter_shapes | layer.buffer_shapes).items():
            wanted[name + key] = (layer, key, shape)
    found = archive.members
    names = {*wanted, *beside, DESCRIPTION} | found.keys() & {RUN}
    if names != found.keys():
        raise ValueError(
            f"arrays are missing or too many: missing {sorted(names - found.keys())}, unknown "
            f"{sorted(found.keys() - names)}."
        )
    arrays = {name: (shape, dtype) for name, (_, _, shape) in wanted.items()} | dict(beside)
    for name, (shape, kind) in arrays.items():
        size = math.prod(shape) * np.dtype(kind).itemsize if len(shape) <= MAX_AXES else 0
        if len(shape) > MAX_AXES or not 0 < found[name].size - size <= MAX_HEADER:
            raise ValueError(f"its array {name} has not the size that {show(shape)} takes.")
    for name, (layer, key, shape) in wanted.items():
        layer.put_array(key, archive.read(name, shape, dtype))


# ---- on the disk ---------------------------------------------------------------------------------


def replace_file(path: str | os.PathLike[str], write: Callable[[Any], None]) -> None:
    """Write a file beside `path`, flush it to the disk and move it into place."""
    given = check_path(path)
    path = os.path.realpath(given)
    temporary = os.path.join(os.path.dirname(path), f".{secrets.token_hex(8)}.tmp")
    earlier = _earlier(path, given)
    mode = 0o666 if earlier is None else earlier.st_mode & 0o700
    try:
        # never readable, not even half written, by those who may not read the earlier file
        with open(temporary, "xb", opener=lambda p, f: os.open(p, f, mode)) as file:
            write(file)
            file.flush()
            if earlier is not None:
                _take_over(temporary, earlier)
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except BaseException as error:
        with contextlib.suppress(OSError):
            os.unlink(temporary)
        if isinstance(error, OSError) and error.errno is not None:
            raise OSError(error.errno, error.strerror, given) from error  # not the temporary one
        raise
    with contextlib.suppress(OSError):  # the move itself; Windows opens no folder
        folder = os.open(os.path.dirname(path), os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)


def _take_over(temporary: str, earlier: os.stat_result) -> None:
    """Give a new file the group, the owner and the permissions of an earlier one.

    Where the group cannot stay, another one gets no rights, and all others none that the group had
    not, for its members are now among them.
    """
    mode = stat.S_IMODE(earlier.st_mode)
    for owner in (-1, earlier.st_uid):  # a group by its members, an owner by root alone
        with contextlib.suppress(OSError, AttributeError):  # Windows has no chown
            os.chown(temporary, owner, earlier.st_gid)
    if os.stat(temporary).st_gid != earlier.st_gid:
        mode &= ~0o077 | (mode >> 3 & 0o7)
    os.chmod(temporary, mode)


def _earlier(path: str, given: str) -> os.stat_result | None:
    """The state of an earlier file; what a plain `open` would not write to is refused."""
    found = None
    try:
        found = os.stat(path)
    except FileNotFoundError:
        pass
    except OSError as error:
        error.filename = given
        raise
    number = 0
    if not os.path.basename(given) or (found and stat.S_ISDIR(found.st_mode)):
        number = errno.EISDIR
    elif found and not stat.S_ISREG(found.st_mode):  # a device or a pipe must not be replaced
        number = errno.EINVAL
    elif found and not os.access(path, os.W_OK):
        number = errno.EACCES
    if number:
        raise OSError(number, os.strerror(number), given)
    return found


def check_writable(path: str | os.PathLike[str]) -> None:
    """Let the operating system refuse now what it would refuse when a file is written."""
    given = check_path(path)
    target = os.path.realpath(given)
    _earlier(target, given)
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
    if "\0" in (text := os.fsdecode(path)):
        raise ValueError(f"expected the path of a file, got {path!r}, with a NUL in it.")
    try:
        os.fsencode(text)
    except UnicodeEncodeError:
        raise ValueError(
            f"expected the path of a file, got {path!r}, which this system cannot write as bytes."
        ) from None
    return text
