"""A file must give back the very model that was saved, and whatever else is found at its path must
be refused by name. Copies in memory keep the same promise: the same bits, and independent."""

from __future__ import annotations

import copy
import io
import json
import os
import pickle
import stat
import zipfile

import numpy as np
import pytest

import chainrule as cr
from chainrule import Dense, Dropout, Layer, Model, Parallel, Residual, Sequential, Tanh
from chainrule import register_layer as register

RNG = np.random.default_rng(9)
X, Y = RNG.normal(size=(6, 3)), RNG.normal(size=(6, 2))


@register
class Centred(Layer):
    """y = (x - mean) * s, where training passes move the buffer."""

    def __init__(self, features, sizes=None, label=None, share=0.25):
        super().__init__()
        self.features, self.sizes, self.label, self.share = features, sizes, label, share
        self.add_parameter("s", (features,), cr.initializers.ones)
        self.add_buffer("mean", np.zeros(features))

    def forward(self, x, training=False):
        if training:
            self.mean = self.mean + self.share * (x.mean(axis=0) - self.mean)
        return (x - self.mean) * self.s, (x - self.mean)

    def backward(self, dy, x, out=None, need_dx=True):
        return dy * self.s, {"s": (dy * x).sum(axis=0)}


class Stranger(Tanh):
    """An own layer that is not registered."""


def net(dtype="float32"):
    shared = Dense(4, 4, bias=False)
    model = Model(
        Dense(3, 4),
        Parallel(Sequential(shared, Tanh()), Residual(Dense(4, 4), Centred(4)), merge="concat"),
        Residual(Dense(8, 4), shared, Dense(4, 8)),
        Dropout(0.25),
        Dense(8, 2),
        seed=3,
        dtype=dtype,
    )
    model.layers[1].branches[1].layers[0].trainable = False
    model.layers[4].trainable = False
    fit(model)
    return model


def fit(model, **options):
    call = {"batch_size": 4, "verbose": 0, **options}
    return model.fit(X, Y, loss=cr.MeanSquaredError(), optimizer=cr.SGD(0.003), **call)


def same(one, other):
    a, b = one.state_dict(), other.state_dict()
    return a.keys() == b.keys() and all(
        np.array_equal(a[name], b[name]) and a[name].dtype == b[name].dtype for name in a
    )


@pytest.fixture
def saved(tmp_path):
    path = tmp_path / "model"
    net().save(path)
    return path


# ---- the way there and back ---------------------------------------------------------------


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_a_file_gives_back_the_same_model(dtype, tmp_path):
    model = net(dtype)
    model.save(tmp_path / "a")
    loaded = Model.load(tmp_path / "a")
    assert same(loaded, model)
    assert model.state_dict()["1.1.1.mean"].any()
    assert (loaded.dtype, loaded.seed, loaded.split_seed) == (dtype, 3, model.split_seed)
    assert repr(loaded) == repr(model)
    assert loaded.num_parameters == 16 + 16 + 20 + 4 + 36 + 40 + 18
    assert loaded.layers[2].layers[1] is loaded.layers[1].branches[0].layers[0]
    assert np.array_equal(loaded(X), model(X))
    for m in (model, loaded):
        frozen = [m.layers[1].branches[1].layers[0], m.layers[4]]
        assert [layer.trainable for layer in frozen] == [False, False]
        assert m.layers[1].trainable
        _, caches = m.forward(X)
        m.backward(Y, caches)
    assert np.array_equal(loaded.gradients, model.gradients)
    assert not loaded.named_gradients()["4.W"].any()


def test_arguments_of_own_layers_come_back(tmp_path):
    layer = Centred(3, [4, [5, 6.5]], "über \n quoted '\"", share=np.float64(0.1))
    Model(layer).save(tmp_path / "a")
    loaded = Model.load(tmp_path / "a").layers[0]
    assert (loaded.sizes, loaded.label, loaded.share) == ((4, (5, 6.5)), layer.label, 0.1)


def test_tuples_come_back_as_tuples(tmp_path):
    Model(Centred(3, (1, 2))).save(tmp_path / "a")
    assert Model.load(tmp_path / "a").layers[0].sizes == (1, 2)


@pytest.mark.parametrize("name", ["plain", "two words.npz", "ünï.bin", "a.npz.bak", ".hidden"])
def test_the_path_is_used_as_given(name, tmp_path, monkeypatch):
    model = net()
    monkeypatch.chdir(tmp_path)
    for path in (tmp_path / name, str(tmp_path / name), name):
        model.save(path)
        assert os.listdir(tmp_path) == [name]
        assert same(Model.load(path), model)


# ---- files: what cannot be saved, or must not be lost --------------------------------------------


def test_a_layer_that_is_not_registered_is_refused_when_saving(saved):
    before = saved.read_bytes()
    for layers in ([Stranger()], [Residual(Stranger())]):
        with pytest.raises(TypeError, match=r"Stranger\(\).*register_layer"):
            Model(*layers).save(saved)
    assert saved.read_bytes() == before


@pytest.mark.parametrize("argument", [{"a": 1}, 1j, np.zeros(2)])
def test_arguments_that_a_file_cannot_hold_are_refused(argument, tmp_path):
    with pytest.raises(TypeError, match=r"Centred.* argument label"):
        Model(Centred(2, label=argument)).save(tmp_path / "a")
    assert os.listdir(tmp_path) == []


def test_a_function_that_is_no_initializer_is_refused_when_saving(tmp_path):
    with pytest.raises(TypeError, match="label"):
        Model(Centred(2, label=np.sin)).save(tmp_path / "a")


@register
class Doubled(Layer):
    """An own layer that does not keep its argument as it came."""

    def __init__(self, features):
        super().__init__()
        self.features = 2 * features
        self.add_parameter("s", (self.features,))

    def forward(self, x, training=False):
        return x * self.s, x


@register
class Percent(Tanh):
    """An own layer that does not keep its argument as it came, and has no shapes to tell it by."""

    def __init__(self, percent):
        super().__init__()
        self.percent = percent / 100


@register
class BeginsFrozen(Dense):
    """An own layer that does not learn until it is told to."""

    def __init__(self, in_features, out_features):
        super().__init__(in_features, out_features)
        self.trainable = False


@register
class Drawn(Layer):
    """An own layer that cannot be built without its initializer, which no file holds."""

    def __init__(self, init):
        super().__init__()
        self.init = init
        self.add_parameter("s", (2,), init)

    def forward(self, x, training=False):
        return x * self.s, x


def knotted():
    (knot := []).append(knot)
    return knot


def changed(layer, **attributes):
    vars(layer).update(attributes)
    return layer


UNLOADABLE = {
    "an argument kept otherwise": (lambda: Doubled(2), ValueError, r"'0\.s' of shape \(8,\), and"),
    "a number kept otherwise": (lambda: Percent(50), ValueError, r"Percent\(0\.5\), would be Per"),
    "an argument left out": (lambda: Drawn(cr.initializers.ones), ValueError, "Drawn cannot be b"),
    "an option made wrong": (lambda: changed(Dropout(0.5), p=2), ValueError, "p must be a number"),
    "a size made wrong": (lambda: changed(Dense(2, 2), out_features=3), ValueError, r"'0\.W' of"),
    "a list in itself": (lambda: Centred(2, label=knotted()), TypeError, "nested too deep"),
    "digits": (lambda: Centred(2, label=10**5000), TypeError, "label is an integer of more than 3"),
}


@pytest.mark.parametrize(("layer", "error", "sentence"), UNLOADABLE.values(), ids=UNLOADABLE)
def test_what_could_not_be_loaded_again_is_not_saved(layer, error, sentence, saved):
    """A file that nobody can open is a lost model, found out when it is too late."""
    before, model = saved.read_bytes(), Model(layer(), seed=0)
    with pytest.raises(error, match=sentence):
        model.save(saved)
    checkpoint = cr.Checkpoint(saved)
    with pytest.raises(error, match=sentence):  # before the first epoch, not after it
        model.fit(
            np.ones((3, 2)), np.ones((3, 2)), loss=cr.MeanSquaredError(), optimizer=cr.SGD(0.1),
            callbacks=[checkpoint], verbose=0,
        )  # fmt: skip
    assert saved.read_bytes() == before
    assert os.listdir(saved.parent) == [saved.name]


@pytest.mark.parametrize("error", [OSError(28, "disk full"), KeyboardInterrupt(), MemoryError()])
def test_a_failed_save_leaves_the_old_file_whole_and_no_litter(error, saved, monkeypatch):
    def half(file, *_, **__):
        file.write(b"half a file")
        raise error

    before = saved.read_bytes()
    monkeypatch.setattr(np, "savez", half)
    for path in (saved, saved.with_name("new")):
        with pytest.raises(type(error)):
            net().save(path)
    assert os.listdir(saved.parent) == [saved.name]
    assert saved.read_bytes() == before


def test_what_the_system_refuses_is_an_oserror(saved):
    inside = saved.parent / "folder"
    inside.mkdir()
    for path in (saved.parent / "nowhere" / "a", saved / "a", inside):
        with pytest.raises(OSError, match=f"'{path}'$"):  # this path, and no other beside it
            net().save(path)
        with pytest.raises(OSError, match=str(path.name)):
            Model.load(path)
    assert sorted(os.listdir(saved.parent)) == ["folder", "model"]
    with pytest.raises(FileNotFoundError):
        Model.load(saved.parent / "missing")
    for path in (f"{saved}/", f"{saved.parent}/new/", ""):  # what `open` would not write to
        with pytest.raises(OSError, match=r"directory: '.*'$"):
            net().save(path)
    assert sorted(os.listdir(saved.parent)) == ["folder", "model"]


@pytest.mark.skipif(os.name == "nt", reason="POSIX permissions and links")
def test_permissions_and_links_stay(saved):
    saved.chmod(0o640)
    net().save(saved)
    assert stat.S_IMODE(saved.stat().st_mode) == 0o640
    link, model = saved.with_name("latest"), net("float64")
    link.symlink_to(saved.name)
    model.save(link)
    assert link.is_symlink()
    assert same(Model.load(saved), model)
    fresh = saved.with_name("fresh")
    model.save(fresh)
    (plain := saved.with_name("plain")).write_bytes(b"")
    assert fresh.stat().st_mode == plain.stat().st_mode


@pytest.mark.skipif(not hasattr(os, "chown"), reason="POSIX owners and groups")
def test_owner_and_group_stay_or_nobody_new_may_read(saved, monkeypatch):
    """A file of a group may not become readable to the members of another one."""
    saved.chmod(0o664)
    asked, state = [], os.stat

    def foreign(path, *rest, **options):  # the earlier file is that of another group
        found = list(state(path, *rest, **options))
        if str(path) == os.path.realpath(saved):
            found[4:6] = 12345, 23456
        return os.stat_result(found)

    def chown(path, owner, group):
        asked.append((owner, group))
        raise PermissionError

    for mode, wanted in (0o664, 0o604), (0o604, 0o600), (0o660, 0o600):
        saved.chmod(mode)
        with monkeypatch.context() as patch:
            patch.setattr(os, "stat", foreign)
            patch.setattr(os, "chown", chown)
            net().save(saved)
        assert stat.S_IMODE(saved.stat().st_mode) == wanted
    assert asked == [(-1, 23456), (12345, 23456)] * 3
    if os.geteuid() == 0:  # who alone may give a file away
        os.chown(saved, 12345, 23456)
        saved.chmod(0o640)
        net().save(saved)
        found = saved.stat()
        kept = found.st_uid, found.st_gid, stat.S_IMODE(found.st_mode)
        assert kept == (12345, 23456, 0o640)


def test_a_layer_that_its_constructor_froze_learns_again_when_loaded(tmp_path):
    """Who took the freezing back did so for the file too, and for a run that goes on."""
    for trainable in (True, False):
        model = Model(BeginsFrozen(3, 3), BeginsFrozen(3, 2), seed=0)
        model.layers[1].trainable = trainable
        model.save(tmp_path / "a")
        loaded = [layer.trainable for layer in Model.load(tmp_path / "a").layers]
        assert loaded == [False, trainable]
        file = tmp_path / f"run {trainable}"
        for epochs in (1, 2):
            again = Model(BeginsFrozen(3, 3), BeginsFrozen(3, 2), seed=0)
            again.layers[1].trainable = trainable
            fit(again, epochs=epochs, callbacks=[cr.Checkpoint(file)], resume_from=file)
        assert [layer.trainable for layer in again.layers] == [False, trainable]


# ---- files: what is refused ----------------------------------------------------------------------


def rewrite(path, members=None, without=(), compression=zipfile.ZIP_STORED, **described):
    """Change members of a file, or entries of its description."""
    with zipfile.ZipFile(path) as archive:
        content = {name: archive.read(name) for name in archive.namelist()}
    text = json.loads(np.load(io.BytesIO(content["model.npy"])).tobytes())
    text |= described
    content["model.npy"] = npy(np.frombuffer(json.dumps(text).encode(), np.uint8))
    content |= members or {}
    with zipfile.ZipFile(path, "w", compression) as archive:
        for name, data in content.items():
            if name not in without:
                archive.writestr(name, data)


def npy(array):
    file = io.BytesIO()
    np.lib.format.write_array(file, np.asarray(array), allow_pickle=True)
    return file.getvalue()


def claim(shape, data=b"\0" * 24):
    """An array whose header says another size."""
    file = io.BytesIO()
    header = {"descr": "<f4", "fortran_order": False, "shape": shape}
    np.lib.format.write_array_header_1_0(file, header)
    return file.getvalue() + data


def refused(path, sentence=None):
    with pytest.raises(ValueError, match=sentence) as error:
        Model.load(path)
    assert repr(str(path)) in str(error.value)
    assert len(str(error.value)) > len(repr(str(path))) + 20


def dense(a, b):
    return {"class": "Dense", "arguments": {"in_features": a, "out_features": b}, "trainable": True}


def stranger(name):
    return [{"class": name, "arguments": {}, "trainable": True}]


W, F4 = "4.W.npy", np.float32
BROKEN = b"\x93NUMPY\1\0\x40\0" + b"{'descr': '<f4', 'shape': (3,2)".ljust(64)
CHANGES = {
    "missing": ({"without": [W]}, r"missing \['4\.W'\]"),
    "extra": ({"members": {"9.W.npy": npy(0)}}, r"unknown \['9\.W'\]"),
    "not an array": ({"members": {"readme.txt": b"hi"}}, r"readme\.txt"),
    "shape": ({"members": {W: npy(np.zeros((2, 8), F4))}}, r"4\.W .*\(2, 8\).*\(8, 2\)"),
    "dtype": ({"members": {W: npy(np.zeros((8, 2)))}}, r"4\.W .*<f8.*expected.*<f4"),
    "pickle": ({"members": {W: npy(np.full((8, 2), None))}}, r"4\.W .*\|O.*expected"),
    "pickled description": (
        {"members": {"model.npy": npy(np.array(None))}},
        r"array model says .*\|O",
    ),
    "too large": ({"members": {W: npy(np.zeros((8, 9999), F4))}}, r"4\.W has not the size"),
    "newer": ({"format": 2, "chainrule": "7.1"}, r"format 2.*7\.1 or later"),
    "a newer layer": (
        {"layers": stranger("Convolution"), "chainrule": "7.1"},
        rf"written by chainrule 7\.1, this is {cr.__version__}: The layer 'Convolution' is not kn",
    ),
    "a newer array": (
        {"layers": [dense(3, 2)], "frozen": [], "chainrule": "7.1"},
        r"written by chainrule 7\.1, .*: arrays are missing",
    ),
    "newer, with a version to confuse a terminal": (
        {"format": 2, "chainrule": "7\x1b[31m\n"},
        r"written by chainrule \?, .*takes a later version of chainrule\.$",
    ),
    "newer, with a version without an end": (
        {"format": 10**4000, "chainrule": "7" * 10**6},
        r"format 10{39}, .*takes a later version of chainrule\.$",
    ),
    "newer, without a version": ({"format": 2, "chainrule": None}, "a later version of chainrule"),
    "no format": ({"format": None}, "its format is None"),
    "unknown": ({"layers": stranger("Stranger")}, r"'Stranger' is not known.*register_layer"),
    "import": ({"layers": stranger("os.system")}, "not known"),
    "same as none": ({"layers": [{"same_as": "7"}]}, None),
    "deep": ({"members": {"model.npy": npy(np.frombuffer(b"[" * 99_999, np.uint8))}}, None),
    "negative seed": ({"seed": -1}, "seed"),
    "flag as seed": ({"seed": True}, "seed"),
    "claims petabytes": ({"members": {W: claim((10**15,))}}, None),
    "broken header": ({"members": {W: BROKEN}}, None),
    "description claims petabytes": ({"members": {"model.npy": claim((10**15,))}}, None),
    "format 0": ({"format": 0}, "format"),
    "trailing in array": ({"members": {W: claim((8, 2), bytes(64) + b"more")}}, r"4\.W"),
}


@pytest.mark.parametrize(("change", "sentence"), CHANGES.values(), ids=CHANGES)
def test_files_that_do_not_fit_are_refused(change, sentence, saved):
    rewrite(saved, **change)
    refused(saved, sentence)


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_two_arrays_of_one_name_are_refused(saved):
    with zipfile.ZipFile(saved, "a") as archive:
        archive.writestr(W, npy(np.zeros((8, 2), F4)))
    refused(saved, "one name")


def test_a_file_of_layers_that_do_not_fit_each_other_is_refused(tmp_path):
    Model(Dense(3, 2), Dense(2, 1), seed=0).save(tmp_path / "a")
    arrays = {"1.W.npy": npy(np.zeros((3, 1), F4))}
    rewrite(tmp_path / "a", arrays, layers=[dense(3, 2), dense(3, 1)])
    refused(tmp_path / "a", r"Dense\(3, 2\).*Dense\(3, 1\)")


def test_foreign_files_are_refused(tmp_path):
    path = tmp_path / "foreign"
    np.savez(tmp_path / "other.npz", a=1)
    np.save(tmp_path / "array.npy", np.zeros(3))
    pickled = pickle.dumps({"a": 1})
    others = [(tmp_path / name).read_bytes() for name in ("other.npz", "array.npy")]
    for content in (b"", b"PK\3\4", b"just a text\n" * 99, pickled, *others):
        path.write_bytes(content)
        refused(path)


def test_cut_files_are_refused(saved):
    whole = saved.read_bytes()
    for length in np.linspace(0, len(whole) - 1, 40).astype(int):
        saved.write_bytes(whole[:length])
        refused(saved)


@pytest.mark.parametrize("behind", [True, False])
def test_bytes_that_do_not_belong_to_it_are_refused(behind, saved):
    whole = saved.read_bytes()
    saved.write_bytes(whole + b"more" if behind else b"more" + whole)
    refused(saved)


def flips(path, positions, model):
    """Flip single bytes: each file is refused, or the byte was one that carries nothing."""
    whole, harmless = path.read_bytes(), 0
    for i in positions:
        path.write_bytes(whole[:i] + bytes([whole[i] ^ 0xFF]) + whole[i + 1 :])
        try:
            loaded = Model.load(path)
        except ValueError as error:
            named = repr(str(path)) in str(error)
        else:
            named = same(loaded, model) and repr(loaded) == repr(model)
            harmless += 1
        assert named, i
    return harmless


def test_flipped_bytes_are_refused(saved):
    size, model = saved.stat().st_size, net()
    with zipfile.ZipFile(saved) as archive:
        starts = [i.header_offset + 30 + len(i.filename) + 28 for i in archive.infolist()]
        data = [(s, i.file_size) for s, i in zip(starts, archive.infolist(), strict=True)]
    inside = [start + k * length // 7 for start, length in data for k in range(6)]
    assert flips(saved, inside, model) == 0
    net().save(saved)
    assert flips(saved, range(0, size - 22, 41), model) < 50  # dates in the directory and the like


def test_flipped_bytes_at_the_end_are_refused(saved):
    size = saved.stat().st_size
    flips(saved, range(size - 22, size), net())


# ---- copies --------------------------------------------------------------------------------------


@pytest.mark.parametrize("clone", [copy.deepcopy, lambda m: pickle.loads(pickle.dumps(m))])
def test_copies_keep_everything_and_are_tied_anew(clone):
    model = Model(Dense(3, 4), Centred(4), Dropout(0.5), Dense(4, 2), seed=0, dtype="float64")
    model.layers[0].trainable = False
    fit(model)
    twin = clone(model)
    for name in ("parameters", "gradients"):
        assert np.array_equal(getattr(twin, name), getattr(model, name))
        assert not np.shares_memory(getattr(twin, name), getattr(model, name))
    assert np.array_equal(twin.layers[1].mean, model.layers[1].mean)
    assert twin.layers[1].mean.any()
    assert not twin.layers[0].trainable
    with pytest.raises(ValueError, match="belongs to another model"):
        Model(twin.layers[0])
    before = model.parameters.copy()
    fit(twin, epochs=2)
    assert np.array_equal(twin.parameters[-10:-2].reshape(4, 2), twin.layers[3].W)
    assert np.array_equal(model.parameters, before)
    fit(model, epochs=2)  # the same masks, the same order
    assert np.array_equal(twin.parameters, model.parameters)
    assert not np.array_equal(model.parameters, before)


def test_a_shallow_copy_does_not_cut_the_original_off():
    model = net()
    shallow = copy.copy(model)
    model.parameters[:] = 0
    assert not model(X).any()
    assert shallow is not model


# ---- metadata ------------------------------------------------------------------------------------

METADATA = {"names": ["ä", "b"], "of": {"c": [1, 2.5, None, True, 0.1, 10**30], "": {}}, "list": []}


def test_metadata_comes_back_as_it_was(tmp_path):
    model = net()
    assert model.metadata == {}
    model.metadata = copy.deepcopy(METADATA)
    model.save(tmp_path / "a")
    for twin in (Model.load(tmp_path / "a"), copy.deepcopy(model)):
        assert twin.metadata == METADATA
        assert same(twin, model)
        twin.metadata["names"].append("c")
        assert model.metadata == METADATA
    model.metadata["later"] = 1  # the attribute is a plain dict
    model.save(tmp_path / "a")
    assert Model.load(tmp_path / "a").metadata["later"] == 1


def test_metadata_that_cannot_be_saved_leaves_the_old_file(saved):
    before, model = saved.read_bytes(), net()
    model.metadata["a"] = {"b": [float("nan")]}
    with pytest.raises(TypeError, match=r"Model\.save: metadata\['a'\]\['b'\]\[0\] is nan"):
        model.save(saved)
    assert saved.read_bytes() == before


def test_files_from_before_there_was_metadata_are_loaded(saved):
    with zipfile.ZipFile(saved) as archive:
        text = np.load(io.BytesIO(archive.read("model.npy"))).tobytes()
    old = {key: value for key, value in json.loads(text).items() if key != "metadata"}
    assert old.keys() == {"format", "chainrule", "dtype", "seed", "layers", "frozen"}
    rewrite(saved, {"model.npy": npy(np.frombuffer(json.dumps(old).encode(), np.uint8))})
    assert same(Model.load(saved), net())
    assert Model.load(saved).metadata == {}


@pytest.mark.parametrize("wrong", [None, [], "a", {"a": float("nan")}, {"a": float("inf")}])
def test_metadata_that_is_none_is_refused_when_loading(wrong, saved):
    rewrite(saved, metadata=wrong)
    refused(saved, "metadata")


def test_the_largest_metadata_that_can_be_saved_can_be_loaded(tmp_path, monkeypatch):
    monkeypatch.setattr("chainrule.files.MAX_DESCRIPTION", 10_000)
    model = Model(Tanh(), seed=0)
    for size in (5_700, 5_800, 5_900, 9_900):
        model.metadata = {"a": "b" * size}
        try:
            model.save(tmp_path / "a")
        except ValueError as error:
            assert "bytes as JSON" in str(error)  # noqa: PT017
        else:
            assert Model.load(tmp_path / "a").metadata == model.metadata
