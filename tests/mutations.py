"""Good files changed at random, and a process of its own that opens what a stranger may have made:
with little memory, a few seconds for each file, and a judgement of what came out."""

from __future__ import annotations

import contextlib
import copy
import hashlib
import io
import json
import multiprocessing
import struct
import tempfile
import warnings
from pathlib import Path

import hostile
import numpy as np
from resume_helpers import fit as fit_run
from resume_helpers import left, net

import chainrule as cr

MEMORY = 256 << 20  # bytes of address space beside those of the process that has imported NumPy
SECONDS = 10  # for one file
ROOM = "more memory than there is"

# ---- changes -------------------------------------------------------------------------------------


def regions(content):
    """Where what lies in an archive: local headers, headers of arrays, numbers, the directory."""
    end = struct.unpack("<L", content[-6:-2])[0]
    found, at = {"local": [], "array": [], "numbers": []}, 0
    while at < end:
        a, b = struct.unpack("<2H", content[at + 26 : at + 30])
        start = at + 30 + a + b
        (size,) = struct.unpack("<Q", content[start - 8 : start]) if b else (0,)
        length = 10 + struct.unpack("<H", content[start + 8 : start + 10])[0]
        found["local"].append((at, start))
        found["array"].append((start, start + length))
        found["numbers"].append((start + length, start + size))
        at = start + size
    return {
        **found,
        "directory": [(end, len(content) - 22)],
        "end": [(len(content) - 22, len(content))],
    }


def flipped(region):
    """Flip one bit of a region."""

    def change(rng, content):
        spans = [(a, b) for a, b in regions(content)[region] if b > a]
        a, b = spans[rng.integers(len(spans))]
        i, changed = int(rng.integers(a, b)), bytearray(content)
        changed[i] ^= 1 << int(rng.integers(8))
        return bytes(changed)

    return change


def block(rng, content, longest=300):
    a = int(rng.integers(len(content)))
    return a, a + int(rng.integers(1, longest))


def cut(rng, content):
    n = int(rng.integers(len(content)))
    return content[:n] if rng.random() < 0.7 else content[n:]


def inserted(rng, content):
    a, b = block(rng, content)
    middle = content[a:b] if rng.random() < 0.5 else rng.bytes(b - a)
    at = int(rng.integers(len(content) + 1))
    return content[:at] + middle + content[at:]


def removed(rng, content):
    a, b = block(rng, content)
    return content[:a] + content[b:]


def overwritten(rng, content):
    a, b = block(rng, content, 60)
    filling = (bytes(b - a), b"\xff" * (b - a), rng.bytes(b - a))[rng.integers(3)]
    return content[:a] + filling + content[b:]


def swapped(rng, content):
    (a, b), (c, d) = sorted(block(rng, content) for _ in range(2))
    b = min(b, c)
    return content[:a] + content[c:d] + content[b:c] + content[a:b] + content[d:]


def some_member(rng, parts, of=None):
    names = [name for name in parts if of is None or name in of]
    return names[rng.integers(len(names))]


def numbers(rng, content):
    """Other bytes in an array, with the checksum that fits."""
    parts = hostile.members(content)
    name = some_member(rng, parts)
    changed = bytearray(parts[name])
    for _ in range(int(rng.integers(1, 4))):
        changed[rng.integers(len(changed))] = rng.integers(256)
    return hostile.pack({**parts, name: bytes(changed)})


def renamed(rng, content):
    """Members that change their names or places, or are missing."""
    parts = hostile.members(content)
    one, other = some_member(rng, parts), some_member(rng, parts)
    kind = rng.integers(3)
    if kind == 0:
        return hostile.pack({n: d for n, d in parts.items() if n != one})
    if kind == 1:
        return hostile.pack({**parts, one: parts[other], other: parts[one]})
    return hostile.pack({n if n != one else f"{n[:-4]}0.npy": d for n, d in parts.items()})


def nodes(value):
    """Every place in a JSON value: what holds it, and its key."""
    items = value.items() if isinstance(value, dict) else enumerate(value)
    for key, item in items:
        yield value, key
        if isinstance(item, (dict, list)):
            yield from nodes(item)


def edited(rng, content):
    """A description with a value that is another, or missing, or stands elsewhere."""
    parts = hostile.members(content)
    name = some_member(rng, parts, ("model.npy", "run.npy"))
    text = hostile.described(parts, name)
    for _ in range(int(rng.integers(1, 3))):
        places = list(nodes(text))
        holder, key = places[rng.integers(len(places))]
        other, of = places[rng.integers(len(places))]
        kind = rng.integers(6)
        if kind == 0:
            del holder[key]
        elif kind == 1:
            holder[key] = copy.deepcopy(other[of])
        elif kind == 2 and isinstance(holder, dict):
            holder["same_as" if rng.random() < 0.3 else "more"] = holder.pop(key)
        elif kind == 3 and type(holder[key]) in (int, float):
            holder[key] = (
                holder[key] * (-1, 2, 0.5, 10**6)[rng.integers(4)] + rng.integers(2).item()
            )
        else:
            holder[key] = copy.deepcopy(hostile.VALUES[rng.integers(len(hostile.VALUES))])
    return hostile.pack({**parts, name: hostile.as_member(json.dumps(text))})


def mistyped(rng, content):
    """A description with some other letters."""
    parts = hostile.members(content)
    name = some_member(rng, parts, ("model.npy", "run.npy"))
    text = bytearray(np.load(io.BytesIO(parts[name])).tobytes())
    digits = [i for i, letter in enumerate(text) if chr(letter).isdigit()]
    if rng.random() < 0.5:  # most of these are JSON still
        text[digits[rng.integers(len(digits))]] = b"0123456789"[rng.integers(10)]
        return hostile.pack({**parts, name: hostile.as_member(bytes(text))})
    for _ in range(int(rng.integers(1, 3))):
        text[rng.integers(len(text))] = b'0123456789{}[]",:eE.-+ \\\0\xfftruefalsn'[
            rng.integers(35)
        ]
    return hostile.pack({**parts, name: hostile.as_member(bytes(text))})


# name: (how, whether the checksums fit, so that another model may come out)
MUTATIONS = {
    "a bit of a header": (flipped("local"), False),
    "a bit of an array's header": (flipped("array"), False),
    "a bit of the numbers": (flipped("numbers"), False),
    "a bit of the directory": (flipped("directory"), False),
    "a bit of the end": (flipped("end"), False),
    "cut": (cut, False),
    "inserted": (inserted, False),
    "removed": (removed, False),
    "overwritten": (overwritten, False),
    "swapped": (swapped, False),
    "numbers, zipped anew": (numbers, True),
    "members, zipped anew": (renamed, True),
    "JSON, zipped anew": (edited, True),
    "letters of JSON, zipped anew": (mistyped, True),
}

# ---- judgement -----------------------------------------------------------------------------------


def of_model(model):
    """Everything that a model's file holds, as one text."""
    arrays = [(k, v.dtype.str, v.shape, v.tobytes()) for k, v in model.state_dict().items()]
    frozen = [layer.trainable for layer in model.layers]
    told = [repr(model), model.seed, frozen, model.metadata, arrays]
    return hashlib.sha256(repr(told).encode()).hexdigest()


def load(path, good):
    """Load a model: "refused", "same", or "other" if it is another one that keeps its bits."""
    try:
        model = cr.Model.load(path)
    except ValueError as error:
        if ROOM in str(error) or len(str(error)) > 4000 or str(path) not in str(error):
            raise RuntimeError(str(error)) from None
        return "refused"
    if of_model(model) == good:
        return "same"
    again = path.with_suffix(".again")
    model.save(again)
    if of_model(cr.Model.load(again)) != of_model(model):
        raise RuntimeError("a model that does not survive its own file")
    return "other"


def resume(path, good):
    """Resume a run to its fifth epoch; a refusal leaves model, optimizer and callback alone."""
    model, optimizer = net(), cr.Adam(0.05)
    before = left(model, optimizer)
    try:
        fit_run(model, optimizer, hostile.watchers(), resume_from=path, epochs=5)
    except ValueError as error:
        if ROOM in str(error) or len(str(error)) > 8000:
            raise RuntimeError(str(error)) from None
        if "cannot be resumed" in str(error) and left(model, optimizer) != before:
            raise RuntimeError("refused, and changed something") from None
        return "refused"
    except cr.DivergenceError:
        return "other"
    return "same" if repr(left(model, optimizer)) == good else "other"


def judge(path, is_run, good):
    """What became of a file; for a checkpoint what `fit` made of it."""
    if not is_run:
        return load(path, good[0])
    loaded, resumed = load(path, good[0]), resume(path, good[1])
    return "other" if loaded == "other" and resumed != "refused" else resumed


def serve(pipe, folder):
    """The process: it gets (bytes, is_run), and answers with a judgement or an error."""
    import resource

    warnings.simplefilter("ignore")
    folder = Path(folder)
    model, run = hostile.good_model(folder), hostile.good_run(folder)
    goods = {}
    for is_run, content in ((False, model), (True, run)):
        path = folder / "good"
        path.write_bytes(content)
        first, second = net(), cr.Adam(0.05)
        fit_run(first, second, hostile.watchers(), epochs=5)
        goods[is_run] = of_model(cr.Model.load(path)), repr(left(first, second))
        assert judge(path, is_run, goods[is_run]) == "same"
    used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (used + MEMORY, used + MEMORY))
    resident = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    pipe.send((model, run))
    path = folder / "file"
    with contextlib.suppress(EOFError):
        while True:
            content, is_run = pipe.recv()
            path.write_bytes(content)
            try:
                found = judge(path, is_run, goods[is_run])
            except BaseException as error:
                found = f"{type(error).__name__}: {error}"[:300]
            grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - resident
            pipe.send((found, grown))


class Judge:
    """A process that opens files; one that dies or takes too long is started anew."""

    def __init__(self):
        self.grown = 0  # the most resident memory that a file has taken, kB
        self._start()

    def _start(self):
        self.folder = tempfile.TemporaryDirectory()
        context = multiprocessing.get_context("spawn")
        self.pipe, other = context.Pipe()
        self.process = context.Process(target=serve, args=(other, self.folder.name), daemon=True)
        self.process.start()
        other.close()
        self.model, self.run = self.pipe.recv()

    def __call__(self, content, is_run):
        """ "refused", "same", "other", or a text that says what went wrong."""
        try:
            self.pipe.send((content, is_run))
            if self.pipe.poll(SECONDS):
                found, grown = self.pipe.recv()
                self.grown = max(self.grown, grown)
                return found
            found = f"no answer in {SECONDS} s"
        except (EOFError, OSError):
            found = "the process died"
        self.close()
        self._start()
        return found

    def close(self):
        self.process.kill()
        self.process.join()
        self.folder.cleanup()


def is_right(found, consistent):
    """Refused, or the same; another model only from a file whose checksums fit."""
    return found in ("refused", "same") or (consistent and found == "other")


def by_rules(judge):
    """Each kind of file by rule: (kind, whether it is a checkpoint, bytes, whether it may load)."""
    for kind in RULES:
        for is_run, good in ((False, judge.model), (True, judge.run)):
            if is_run and kind not in ("archives", "names", "runs"):
                continue
            for item in getattr(hostile, kind)(good):
                content, free = item if isinstance(item, tuple) else (item, False)
                yield kind, is_run, content, free


RULES = ("archives", "names", "headers", "texts", "sizes", "layers", "runs")
