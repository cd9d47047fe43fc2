"""MNIST is too large to ship with the package, so this file finds or downloads it and reads it.

Nothing it reads is trusted: a download must match its sha256, and every file must match its format.
"""

from __future__ import annotations

import io
import os
import warnings
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from ._types import Array

PARTS = {  # part: (name of its IDX file, sha256 of that file gzipped)
    "x_train": (
        "train-images-idx3-ubyte",
        "440fcabf73cc546fa21475e81ea370265605f56be210a4024d2ca8f203523609",
    ),
    "y_train": (
        "train-labels-idx1-ubyte",
        "3552534a0a558bbed6aed32b30c495cca23d567ec52cac8be1a0730e8010255c",
    ),
    "x_test": (
        "t10k-images-idx3-ubyte",
        "8d422c7b0a1c1c79245a5bcf07fe86e33eeafee792b84584aec276f5a2dbc4e6",
    ),
    "y_test": (
        "t10k-labels-idx1-ubyte",
        "f7ae60f92e00ec6debd23a6088c31dbd2371eca3ffa0defaefb259924204aec6",
    ),
}
URLS = (
    "https://storage.googleapis.com/cvdf-datasets/mnist/",
    "https://ossci-datasets.s3.amazonaws.com/mnist/",
)
MAX_DOWNLOAD = 16 << 20  # bytes; the largest of the four files has 9.9 million
CHUNK = 1 << 20


def load(
    path: str | os.PathLike[str] | None,
) -> tuple[tuple[Array, Array], tuple[Array, Array]]:
    """Return MNIST from `path`, else CHAINRULE_DATA, else the cache folder, else the network."""
    if not isinstance(path, (str, os.PathLike, type(None))):
        raise TypeError(f"datasets.mnist: path must name a file or a folder, got {path!r}.")
    given = os.environ.get("CHAINRULE_DATA")
    if path is not None:
        source = Path(path).expanduser()
        arrays = _read_given(source, "path")
    elif given:
        source = Path(given).expanduser()
        arrays = _read_given(source, "the environment variable CHAINRULE_DATA")
    else:
        source = cache_folder()
        arrays = {}
        for part, (name, sha256) in PARTS.items():
            arrays[part] = _read_idx(io.BytesIO(_cached(source / f"{name}.gz", sha256)), part, name)
    return _pair(arrays, "train", source), _pair(arrays, "test", source)


def cache_folder() -> Path:
    """Return the folder where downloads are kept."""
    windows = os.name == "nt"
    base = os.environ.get("LOCALAPPDATA" if windows else "XDG_CACHE_HOME")
    default = Path("~/AppData/Local" if windows else "~/.cache")
    return (Path(base) if base else default).expanduser() / "chainrule"


def _pair(arrays: dict[str, Array], side: str, source: Path) -> tuple[Array, Array]:
    images, labels = arrays[f"x_{side}"], arrays[f"y_{side}"]
    if len(images) != len(labels):
        raise _refusal(
            source,
            f"as many {side} images as {side} labels",
            f"{len(images)} images and {len(labels)} labels",
        )
    x = np.divide(images.reshape(len(images), 784), 255, dtype=np.float32)
    return x, labels.astype(np.int64)


def _refusal(name: object, expected: str, got: str) -> ValueError:
    return ValueError(
        f"datasets.mnist: {name} should hold {expected}, but it holds {got}. "
        "Put a sound copy of MNIST in its place, or name another one."
    )


# ---------------------------------------------------------------- reading


def _read_given(source: Path, origin: str) -> dict[str, Array]:
    if source.is_file():
        return _read_npz(source)
    if not source.is_dir():
        raise FileNotFoundError(
            f"datasets.mnist: {origin} names {source}, but there is no such file or folder. "
            "Name an .npz file, or a folder with mnist.npz or the four IDX files."
        )
    if (source / "mnist.npz").is_file():
        return _read_npz(source / "mnist.npz")
    arrays = {}
    for part, (name, _) in PARTS.items():
        old = name.replace("-idx", ".idx")
        spellings = [source / spelling for spelling in (name, f"{name}.gz", old, f"{old}.gz")]
        found = next((file for file in spellings if file.is_file()), None)
        if found is None:
            raise FileNotFoundError(
                f"datasets.mnist: {origin} names the folder {source}, but it has no mnist.npz "
                f"and no {name} (gzipped or not). Put MNIST there, or name another place."
            )
        with found.open("rb") as file:
            arrays[part] = _read_idx(file, part, found)
    return arrays


def _check_layout(part: str, shape: tuple[int, ...], dtype: object, name: object) -> None:
    images = part.startswith("x")
    pixels = (28, 28) if images else ()
    if dtype != np.uint8 or shape[1:] != pixels or shape[:1] in ((), (0,)):
        expected = "(n, 28, 28)" if images else "(n,)"
        raise _refusal(
            name,
            f"{part} as uint8 of shape {expected} with n at least 1",
            f"{dtype} of shape {shape}",
        )


def _check_labels(part: str, array: Array, name: object) -> None:
    if part.startswith("y") and array.max() > 9:
        raise _refusal(name, f"labels from 0 to 9 in {part}", f"the label {int(array.max())}")


def _read_npz(path: Path) -> dict[str, Array]:
    arrays: dict[str, Array] = {}
    with path.open("rb") as file:
        try:
            archive = np.load(file, allow_pickle=False)
            for part in PARTS:
                arrays[part] = archive[part]
        except Exception as error:  # damaged archives fail in many ways
            raise _refusal(
                path,
                f"an .npz archive of the plain arrays {', '.join(PARTS)}",
                f"something else ({type(error).__name__})",
            ) from error
    for part, array in arrays.items():
        _check_layout(part, array.shape, array.dtype, path)
        _check_labels(part, array, path)
    return arrays


def _read_idx(file: IO[bytes], part: str, name: object) -> Array:
    """Read big-endian magic number and sizes, check them, and only then read the bytes."""
    import gzip
    import zlib

    zipped = file.read(2) == b"\x1f\x8b"
    file.seek(0)
    stream: Any = gzip.GzipFile(fileobj=file) if zipped else file
    ndim = 3 if part.startswith("x") else 1
    data = bytearray()
    try:
        header = stream.read(4 + 4 * ndim)
        if len(header) < 4 + 4 * ndim:
            raise _refusal(name, f"an IDX header of {4 + 4 * ndim} bytes", f"{len(header)} bytes")
        magic, *sizes = np.frombuffer(header, ">u4").tolist()
        if magic != 2048 + ndim:
            raise _refusal(name, f"an IDX file with magic number {2048 + ndim}", f"{magic}")
        _check_layout(part, tuple(sizes), np.dtype(np.uint8), name)
        expected = sizes[0] * (784 if ndim == 3 else 1)
        while len(data) <= expected and (chunk := stream.read(CHUNK)):
            data += chunk
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise _refusal(name, "a whole gzip file", f"a damaged one ({error})") from error
    if len(data) != expected:
        got = "more" if len(data) > expected else f"only {len(data)}"
        raise _refusal(name, f"{expected} bytes after its header, as that header says", got)
    array = np.frombuffer(data, np.uint8).reshape(sizes)
    _check_labels(part, array, name)
    return array


# ---------------------------------------------------------------- fetching


def _cached(target: Path, sha256: str) -> bytes:
    """Return the bytes of a cached file, downloading it first if it is missing or damaged."""
    import hashlib

    from .files import replace_file

    if target.is_file():
        data = target.read_bytes()
        if hashlib.sha256(data).hexdigest() == sha256:
            return data
        warnings.warn(
            f"datasets.mnist: the cached file {target} does not match its sha256, "
            "so it is downloaded again.",
            stacklevel=4,
        )
    target.parent.mkdir(parents=True, exist_ok=True)
    data = _download(target, sha256)
    replace_file(target, lambda file: file.write(data))
    return data


def _download(target: Path, sha256: str) -> bytes:
    import hashlib
    import http.client

    failures = []
    for base in URLS:
        url = base + target.name
        try:
            data = _fetch(url)
        except (OSError, http.client.HTTPException) as error:
            failures.append(f"{url}: {error}")
            continue
        if hashlib.sha256(data).hexdigest() == sha256:
            return data
        failures.append(f"{url}: what came does not match the sha256 {sha256}")
    names = ", ".join(f"{name}.gz" for name, _ in PARTS.values())
    raise ConnectionError(
        f"datasets.mnist: {target.name} could not be downloaded ({'; '.join(failures)}). "
        f"Put the files {names} into the folder {target.parent}, or call datasets.mnist(path) "
        "with the path of an mnist.npz or of a folder that holds MNIST."
    )


def _fetch(url: str) -> bytes:
    """Return what `url` answers, following redirects only as long as they stay on https."""
    import urllib.error
    import urllib.request

    class HttpsOnly(urllib.request.HTTPRedirectHandler):
        def redirect_request(
            self, req: Any, fp: Any, code: int, msg: str, headers: Any, newurl: str
        ) -> urllib.request.Request | None:
            if not newurl.lower().startswith("https://"):
                refusal = f"the redirect to {newurl} leaves https and is refused"
                raise urllib.error.HTTPError(req.full_url, code, refusal, headers, fp)
            return super().redirect_request(req, fp, code, msg, headers, newurl)

    try:
        with urllib.request.build_opener(HttpsOnly).open(url, timeout=30) as response:
            data: bytes = response.read(MAX_DOWNLOAD)
            return data
    except urllib.error.HTTPError as error:
        error.close()
        raise
