"""Files that `Model.load` and `fit(resume_from)` must refuse, made by rules, and good ones changed
at random. An archive is written here byte by byte, so that each of its fields can lie."""

from __future__ import annotations

import inspect
import io
import json
import struct
import zipfile
import zlib

import numpy as np
from resume_helpers import X, net  # X: what the checkpoint was trained on
from resume_helpers import fit as fit_run

import chainrule as cr
from chainrule.layer import registry

HUGE = 2**31 - 1
DENSE = {"class": "Dense", "arguments": {"in_features": 2, "out_features": 2, "bias": True}}
RELU = {"class": "ReLU", "arguments": {}}


def model():
    """A small network with all that a file holds: nested, shared, frozen, buffers, metadata."""
    shared = cr.Dense(4, 4, bias=False)
    chain = [
        cr.Standardizer(3).fit(X),
        cr.Dense(3, 4),
        cr.BatchNorm(4),
        cr.Parallel(cr.Sequential(shared, cr.Tanh()), cr.Residual(shared), merge="concat"),
        cr.PReLU(),
        cr.Dense(8, 2),
    ]
    network = cr.Model(*chain, seed=3)
    network.layers[1].trainable = False
    network.metadata = {"names": ["a", "ü"], "limits": [0.5, None, True, {"n": 10**20}]}
    return network


def good_model(folder):
    model().save(folder / "good.npz")
    return (folder / "good.npz").read_bytes()


def watchers():
    """Callbacks that remember something."""
    return [cr.EarlyStopping("loss"), cr.ReduceLROnPlateau("loss", patience=1)]


def good_run(folder):
    """A checkpoint after three epochs."""
    path = folder / "run.npz"
    fit_run(net(), cr.Adam(0.05), [cr.Checkpoint(path), *watchers()], epochs=3)
    return path.read_bytes()


# ---- archives ------------------------------------------------------------------------------------


def npy(array):
    file = io.BytesIO()
    np.lib.format.write_array(file, np.asarray(array), allow_pickle=True)
    return file.getvalue()


def head(text, data=b"", version=(1, 0), size=None):
    """An array with any text as its header."""
    raw = text.encode() + b"\n"
    length = struct.pack("<H" if version == (1, 0) else "<I", len(raw) if size is None else size)
    return b"\x93NUMPY" + bytes(version) + length + raw + data


def says(descr="'<f4'", shape="(2, 2)", fortran="False", data=bytes(16), **more):
    text = f"{{'descr': {descr}, 'fortran_order': {fortran}, 'shape': {shape}, }}"
    return head(text, data, **more)


def members(content):
    """The members of a good file, by name and in its order."""
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        return {info.filename: archive.read(info) for info in archive.infolist()}


def described(parts, name="model.npy"):
    return json.loads(np.load(io.BytesIO(parts[name])).tobytes())


def as_member(text):
    return npy(np.frombuffer(text if isinstance(text, bytes) else text.encode(), np.uint8))


def pack(parts, lies=None, end=None, before=b"", between=b"", behind=b"", twice=()):
    """An archive of members; `lies` are fields of the headers of one member, or of all ("")."""
    body, directory, entries = before, b"", [*parts.items(), *((n, parts[n]) for n in twice)]
    for name, data in entries:
        lie = {**(lies or {}).get("", {}), **(lies or {}).get(name, {})}
        told = {"name": name.encode(), "crc": zlib.crc32(data), "size": len(data), "method": 0}
        told |= {"flags": 0, "extra": b"", "wide": b"", "comment": b"", "disk": 0}
        told |= {"offset": len(body), **lie}
        told = {"packed": told["size"], **told}
        local = {**told, **lie.get("local", {})}
        body += struct.pack(
            "<4s5H3L2H", b"PK\3\4", 20, local["flags"], local["method"], 0, 33, local["crc"],
            local["packed"], local["size"], len(local["name"]), len(local["extra"]),
        )  # fmt: skip
        body += local["name"] + local["extra"] + data + between
        directory += struct.pack(
            "<4s6H3L5H2L", b"PK\1\2", 20, 20, told["flags"], told["method"], 0, 33, told["crc"],
            told["packed"], told["size"], len(told["name"]), len(told["wide"]),
            len(told["comment"]), told["disk"], 0, 0, told["offset"],
        )  # fmt: skip
        directory += told["name"] + told["wide"] + told["comment"]
    fields = {"n": len(entries), "size": len(directory), "where": len(body), "comment": b""}
    fields |= end or {}
    n, total = fields["n"], fields.get("total", fields["n"])
    last = struct.pack("<4s4H2LH", b"PK\5\6", 0, 0, n, total, fields["size"], fields["where"],
                       len(fields["comment"]))  # fmt: skip
    return body + directory + last + fields["comment"] + behind


def with_layers(layers, arrays=None, **described):
    """A file with this description, and these arrays: mostly none, so that it is small."""
    base = {"format": 1, "chainrule": "0.1.0", "dtype": "float32", "seed": 0, "frozen": []}
    text = json.dumps({**base, "metadata": {}, "layers": layers, **described})
    return pack({"model.npy": as_member(text), **{k: npy(v) for k, v in (arrays or {}).items()}})


# ---- by rules: each kind is a list of files, all of which must be refused ------------------------


def archives(good):
    parts = members(good)
    name = list(parts)[-1]
    data, some = parts[name], {"model.npy": parts["model.npy"]}
    deflated = zlib.compressobj(9, zlib.DEFLATED, -15)
    bomb = npy(np.zeros(10**7, np.uint8))
    packed = deflated.compress(bomb) + deflated.flush()
    for lie in (
        {"flags": 1}, {"flags": 8}, {"flags": 0x2000}, {"method": 8}, {"method": 12},
        {"method": 99}, {"local": {"method": 8}}, {"crc": 0}, {"local": {"crc": 0}},
        {"size": len(data) - 1}, {"size": len(data) + 1}, {"size": 0}, {"size": 0xFFFFFFFE},
        {"size": 0xFFFFFFFF}, {"packed": 0}, {"packed": 0xFFFFFFFF}, {"local": {"size": 5}},
        {"size": 0xFFFFFFFF, "wide": struct.pack("<2H3Q", 1, 24, 2**62, 2**62, 2**62)},
        {"wide": struct.pack("<2HQ", 1, 8, 2**62)}, {"extra": b"\1\0\x10\0" + bytes(16)},
        {"extra": bytes(4)}, {"extra": bytes(60_000)}, {"offset": 0}, {"offset": 1},
        {"offset": 0xFFFFFFFE}, {"disk": 1}, {"comment": b"hello"}, {"local": {"name": b"x.npy"}},
        {"local": {"name": b"y" * len(name)}},
    ):  # fmt: skip
        yield pack(parts, {name: lie})
    yield pack({**parts, "big.npy": packed}, {"big.npy": {"method": 8, "size": len(bomb)}})
    yield pack(some | {"model.npy": packed}, {"": {"method": 8, "size": len(bomb)}})
    for end in (
        {"comment": b"a"}, {"comment": bytes(65_535)}, {"n": 0}, {"n": 1}, {"n": 65_535},
        {"total": 1}, {"size": 0}, {"size": 0xFFFFFFFF}, {"where": 0}, {"where": 0xFFFFFFFF},
    ):  # fmt: skip
        yield pack(parts, end=end)
    for options in (
        {"before": b"\0"}, {"before": good}, {"behind": b"\0"}, {"behind": good},
        {"between": b"\0"}, {"between": bytes(1000)}, {"twice": [name]}, {"twice": ["model.npy"]},
    ):  # fmt: skip
        yield pack(parts, **options)
    yield from (b"", b"PK\5\6" + bytes(18), b"PK\3\4", b"\x80\4N.", npy(np.zeros(3)), bytes(10**6))


def names(good):
    parts = members(good)
    first = list(parts)[1]
    for other in (
        "../x.npy", "/abs.npy", "a\\b.npy", "a\0.npy", "C:x.npy", "run/../x.npy", "a/b.npy", "",
        ".npy", "x", "x.npy/", "..npy", "model", "MODEL.npy", "mοdel.npy", "０.W.npy",
        "\u202ex.npy",
        "a" * 60_000 + ".npy", "run/0.npy", "run.npy", "\ud800".encode("utf-8", "surrogatepass"),
    ):  # fmt: skip
        raw = other if isinstance(other, bytes) else other.encode()
        for flags in (0, 0x800):
            yield pack({**parts, "x": npy(0)}, {"x": {"name": raw, "flags": flags}})
            yield pack(parts, {first: {"name": raw, "flags": flags}})
    yield pack({name: data for name, data in parts.items() if name != first})
    yield pack({name: data for name, data in parts.items() if name != "model.npy"})
    yield pack({**parts, **{f"{i}.x.npy": npy(0) for i in range(3000)}})


def headers(good):
    arrays = {"0.b.npy": npy(np.zeros(2, np.float32))}
    text = members(with_layers([DENSE]))
    whole = npy(np.zeros((2, 2), np.float32))
    wrong = [
        says(), says("'>f4'"), says("'<f8'", data=bytes(32)), says("'|O'"), says("'O'"),
        says("'<U1'"), says("'|V4'"), says("[('a', '<f4')]"), says("'<m8[s]'"),
        says("('<f4', (2,))"),
        says(fortran="True"), says(fortran="1"), says(shape="(4,)"), says(shape="(2, 2L)"),
        says(shape="[2, 2]"), says(shape="(2, -2)"), says(shape="(1000000000000,)"),
        says(shape="(True, 4)"), says(shape="(2, 2, 1)"), says(shape="2, 2"), says(shape="()"),
        says(version=(2, 0)), says(version=(3, 0)), says(version=(9, 9)), says(size=0),
        says(size=65_535), says(size=10), says(data=bytes(15)), says(data=bytes(17)),
        says(data=b""),
        says(shape="(" * 5000 + ")" * 5000), says(shape="10**1000000"), says(shape="9" * 20_000),
        says(shape="__import__('os').getpid()"), says(shape="[" * 9000), says(shape="(2,)*10**9"),
        head("{}"), head("{'descr': '<f4'}"), head("\0" * 100), head(" " * 60_000),
        head("{" * 9000),
        head("'" + "a" * 60_000), b"", b"\x93NUMPY", b"\x93NUMPY\1\0", b"\x93NUMPY\1\0\xff\xff",
        whole[:-1], whole + b"\0", whole[:60], npy(np.full((2, 2), None)), npy(np.zeros((2, 2))),
        npy(np.asfortranarray(np.arange(4, dtype=np.float32).reshape(2, 2))), b"PK\3\4" + whole[4:],
    ]  # fmt: skip
    for data in wrong[1:]:
        yield pack({**text, "0.W.npy": data, **arrays})
        yield pack({"model.npy": data})


def texts(good):
    """What stands for JSON where the description should be."""
    base = json.dumps(described(members(with_layers([RELU]))))
    for text in (
        b"", b"{", b"[]", b"null", b"0", b'"a"', b"\xff\xfe{}", b"{}" * 2, b"[" * 100_000,
        b'{"a":' * 100_000, b"[" * 10**6 + b"]" * 10**6, b"9" * 10**6, b'"' + b"\\u0061" * 10**5,
        b'{"format": 1e999}', b"\0" * 1000, b"{" + b'"a":1,' * 10**5 + b'"a":1}',
        base.replace('"seed": 0', '"seed": ' + "9" * 5000),
        base.replace('"seed": 0', '"seed": 0, "seed": 1'),
        base.replace('"seed": 0', '"seed": NaN'), base.replace('"seed": 0', '"seed": 1e400'),
        base.replace('"metadata": {}', '"metadata": {"a": -Infinity}'),
        base.replace('"metadata": {}', '"metadata": {"a": 1, "a": 2}'),
        base.replace('"metadata": {}', '"metadata": ' + '{"a":' * 60 + "1" + "}" * 60),
        base.replace('"metadata": {}', '"metadata": ' + '{"a":' * 800 + "1" + "}" * 800),
        base.replace('"format": 1', '"format": 1.0'), base + " x", "\ufeff" + base,
    ):  # fmt: skip
        yield pack({"model.npy": as_member(text)})
    for key in ("format", "dtype", "seed", "layers", "frozen"):
        good_text = json.loads(base)
        del good_text[key]
        yield pack({"model.npy": as_member(json.dumps(good_text))})
        for value in (None, -1, 0.5, "a", "float16", True, [], [[]], [None], {}, {"a": 1}, 10**30):
            if (key, value) not in (("seed", 10**30), ("frozen", [])):
                yield with_layers([RELU], **{key: value}) if key != "layers" else with_layers(value)
    for value in (None, [], 1, "a", True):
        yield with_layers([RELU], metadata=value)
    for frozen in (["9."], ["0"], ["0.", "0."], [0], [None], [["0."]], "0."):
        yield with_layers([RELU], frozen=frozen)
    yield with_layers([RELU], format=2)


def sizes(good):
    """Small files that tell of huge arrays."""
    for layers in (
        [("Dense", {"in_features": 10**6, "out_features": 10**6})],
        [("Dense", {"in_features": HUGE, "out_features": HUGE})],
        [("BatchNorm", {"num_features": HUGE})], [("BatchNorm", {"num_features": 10**8})] * 50,
        [("Standardizer", {"num_features": HUGE})],
        [("Standardizer", {"num_features": 10**8})] * 50,
        [("LayerNorm", {"normalized_shape": [HUGE] * 60})],
        [("LayerNorm", {"normalized_shape": [HUGE] * 100_000})],
        [("Embedding", {"num_embeddings": HUGE, "embedding_dim": HUGE, "padding_idx": 1})],
        [("PReLU", {"num_parameters": HUGE})], [("Reshape", {"shape": [HUGE] * 100_000})],
        [("Dense", {"in_features": 1, "out_features": 1})] * 10_001, [("Tanh", {})] * 100_000,
    ):  # fmt: skip
        yield with_layers([{"class": kind, "arguments": given} for kind, given in layers])
    for shape in ("(1000000000000,)", "(2147483647, 2147483647)", "(0, 4611686018427387904)"):
        for descr in ("'<f4'", "'|u1'", "'<c32'"):
            text = members(with_layers([DENSE]))
            yield pack({**text, "0.W.npy": says(descr, shape)})
            yield pack({"model.npy": says(descr, shape)})
    for kind in ("Residual", "Sequential", "Parallel"):
        key = "branches" if kind == "Parallel" else "layers"
        layer = RELU
        for _ in range(300):  # each in the next
            layer = {"class": kind, "arguments": {key: [layer]}}
        yield with_layers([layer])
        for wrap in ("Residual", kind):
            # each twice in the next: 2**40 layers in 40 lines
            inner = {"class": "Residual", "arguments": {"layers": [RELU]}}
            for _ in range(40):
                held = "branches" if wrap == "Parallel" else "layers"
                inner = {"class": wrap, "arguments": {held: [inner]}}
            yield with_layers([doubled(inner, ".0")])


def doubled(layer, name):
    """Let each container hold its one child twice."""
    for key in ("layers", "branches"):
        inside = layer["arguments"].get(key)
        if inside:
            child = f"{name}.{key}.0"
            layer["arguments"][key] = [doubled(inside[0], child), {"same_as": child}]
    return layer


VALUES = [
    None, -1, 0, 3, HUGE, 10**30, -(10**4000), 0.5, -1e308, 5e-324, "", "x" * 5000, "add", True,
    [], [[]], [1, 2], [1] * 20_000, ["a"], {"float": "nan"}, {"float": "inf"}, {"float": "1"}, {},
    RELU, [RELU], [RELU, {"same_as": ".0"}], {"same_as": ".0"}, {"same_as": 0}, {"class": []},
    {"class": "os.system", "arguments": {}}, {"class": "Layer", "arguments": {}},
    {"class": "Dense"},
]  # fmt: skip


NEEDED = {
    "num_features": 2, "in_features": 2, "out_features": 2, "num_embeddings": 3,
    "embedding_dim": 2, "normalized_shape": 2, "layers": [RELU], "branches": [RELU],
}  # fmt: skip


def layers(good):
    """Every layer with every wrong argument; some are right, and make a model of another kind."""
    for value in VALUES:
        yield with_layers([value]), True
        yield with_layers([RELU, value]), True
    for name, kind in sorted(registry.items()):
        if not kind.__module__.startswith("chainrule."):
            continue
        arguments = [*inspect.signature(kind).parameters, "rng", "self", "nonsense", "__class__"]
        for argument in arguments:
            rest = {k: v for k, v in NEEDED.items() if k in arguments and k != argument}
            for value in VALUES:
                given = {**rest, argument: value}
                yield with_layers([{"class": name, "arguments": given}]), True


def runs(good):
    """Checkpoints whose JSON asks for more than they hold, or for what no run has."""
    parts = members(good)
    if "run.npy" not in parts:
        return
    text = described(parts, "run.npy")

    def changed(**entries):
        return pack({**parts, "run.npy": as_member(json.dumps({**text, **entries}))})

    for entries in (
        {"format": 2}, {"format": None}, {"format": True}, {"arrays": None}, {"arrays": [None]},
        {"arrays": [["<f4"]]}, {"arrays": [["<f4", 3]]}, {"arrays": [[3, [3]]]}, {"parts": []},
        {"arrays": [["|O8", [1]]]}, {"arrays": [["<f99", [1]]]}, {"arrays": [["<f4", [10**15]]]},
        {"arrays": [["<f4", [0, 10**15]]]}, {"arrays": [["<f4", [1] * 100]]}, {"arrays": []},
        {"arrays": [["<f4", [True]]]},
    ):  # fmt: skip
        yield changed(**entries)
    for value in (
        [{"floats": 2}] * 100_000, [{"array": 2}, {"array": 2}], {"array": -1}, {"array": True},
        {"array": 10**30}, {"array": "0"}, {"floats": 3}, {"scalar": 2}, {"list": "a"}, {"code": 1},
        {}, {"a": 1, "b": 2}, {"dict": [[1, 2], [1, 3]]}, {"dict": [[[], 1]]}, {"dict": 3},
        {"tuple": 3}, {"float": "1_0"}, {"float": 3}, {"float": None},
    ):  # fmt: skip
        yield changed(parts={**text["parts"], "more": value})
    empty = npy(np.zeros((10**9, 0)))
    for kind in ("floats", "list"):
        more = {"arrays": [*text["arrays"], ["<f8", [10**9, 0]]]}
        n = len(text["arrays"])
        more["parts"] = {**text["parts"], "more": {kind: n}}
        yield pack({**parts, "run.npy": as_member(json.dumps({**text, **more})),
                    f"run/{n}.npy": empty})  # fmt: skip
