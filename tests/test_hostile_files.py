"""A file from a stranger is refused with a sentence, whatever it holds, without much memory or time
taken: files made by rules and good ones changed at random, and each way in that once was open."""

from __future__ import annotations

import io
import json
import os
import signal
import stat
import struct
import subprocess
import sys
import tracemalloc
import warnings
import zipfile
from pathlib import Path

import hostile
import mutations
import numpy as np
import pytest
from hostile import DENSE, HUGE, RELU, with_layers
from mutations import MUTATIONS, Judge, by_rules, is_right
from resume_helpers import fit, left, net

import chainrule as cr
from chainrule import Adam, Checkpoint, Layer, Model, register_layer

pytest.importorskip("resource")


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture(scope="module")
def judge():
    process = Judge()
    yield process
    process.close()


# ---- many files ----------------------------------------------------------------------------------


def by_rule(judge, step, start):
    tried = 0
    for i, (kind, is_run, content, free) in enumerate(by_rules(judge)):
        if kind != "layers" or i % step == start:
            found = judge(content, is_run)
            assert found == "refused" or (free and found == "other"), (kind, i, found)
            tried += 1
    return tried


def mutated(judge, seed, budget):
    rng, harmless = np.random.default_rng(seed), 0
    for kind, (change, consistent) in MUTATIONS.items():
        for is_run, good in ((False, judge.model), (True, judge.run)):
            for i in range(budget):
                found = judge(change(rng, good), is_run)
                assert is_right(found, consistent), (kind, i, found)
                harmless += found == "same"
    return harmless


def test_files_by_rules_are_refused(judge):
    assert by_rule(judge, 10, 3) > 900
    assert judge.grown < 100e3  # kB


def test_files_changed_at_random_are_refused_or_the_same(judge):
    harmless = mutated(judge, 0, 8)
    assert 0 < harmless < 40  # dates of the directory and the like


@pytest.mark.slow
def test_every_layer_with_every_wrong_argument(judge):
    assert by_rule(judge, 1, 0) > 5000


@pytest.mark.slow
def test_more_files_changed_at_random(judge):
    mutated(judge, 1, 60)


def test_the_judge_sees_what_is_wrong(judge, monkeypatch):
    """What is no good file's: another model, another error, no answer, a death."""
    other = with_layers([DENSE], GOOD)
    assert judge(other, False) == "other"
    assert not is_right("other", False)
    assert judge(judge.model, False) == judge(judge.run, True) == "same"
    judge.process.kill()
    judge.process.join()
    assert judge(judge.model, False) == "the process died"
    os.kill(judge.process.pid, signal.SIGSTOP)
    monkeypatch.setattr(mutations, "SECONDS", 0)
    assert judge(judge.model, False) == "no answer in 0 s"
    monkeypatch.undo()
    assert judge(judge.model, False) == "same"


# ---- memory --------------------------------------------------------------------------------------

TWICE = {"class": "Residual", "arguments": {"layers": [RELU]}}
for _ in range(30):
    TWICE = {"class": "Residual", "arguments": {"layers": [TWICE]}}
LARGE = {
    "Dense": [{"class": "Dense", "arguments": {"in_features": 10**6, "out_features": 10**6}}],
    "BatchNorm": [{"class": "BatchNorm", "arguments": {"num_features": 2 * 10**9}}],
    "Standardizer": [{"class": "Standardizer", "arguments": {"num_features": 2 * 10**9}}],
    "many": [{"class": "BatchNorm", "arguments": {"num_features": 10**8}}] * 20,
    "Embedding": [
        {"class": "Embedding", "arguments": {"num_embeddings": HUGE, "embedding_dim": HUGE}}
    ],
    "Reshape": [{"class": "Reshape", "arguments": {"shape": [HUGE] * 20_000}}],
    "LayerNorm": [{"class": "LayerNorm", "arguments": {"normalized_shape": [HUGE] * 20_000}}],
    "doubled": [hostile.doubled(TWICE, ".0")],
}


@pytest.mark.parametrize("layers", LARGE.values(), ids=LARGE)
def test_a_small_file_takes_little_memory(layers):
    content = with_layers(layers)
    Path("a").write_bytes(content)
    tracemalloc.start()
    try:
        refused("a")
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 500_000 + 30 * len(content)


def peak_of_loading(path):
    tracemalloc.start()
    try:
        Model.load(path)
        return tracemalloc.get_traced_memory()[1] / os.path.getsize(path)
    finally:
        tracemalloc.stop()


def test_memory_grows_with_the_file():
    """As SECURITY.md says: three times the numbers, forty times the description."""
    Model(cr.Dense(500, 500), cr.BatchNorm(500), seed=0).save("a")
    assert peak_of_loading("a") < 3.1
    model = Model(cr.Tanh(), seed=0)
    for item in ([], {}, {"": []}, 0.5):
        model.metadata = {"a": [item] * 20_000}
        model.save("a")
        assert peak_of_loading("a") < 40
    Model(*[cr.Tanh() for _ in range(2000)], seed=0).save("a")
    assert peak_of_loading("a") < 30e6 / 10_000 * 2000 / os.path.getsize("a")


def refused(path, sentence=None):
    with pytest.raises(ValueError, match=sentence) as error:
        Model.load(path)
    assert "is not a model file that can be loaded: " in str(error.value)
    assert len(str(error.value)) < 3000


def run_file(change):
    """Write a checkpoint whose JSON was changed, its checksums right."""
    fit(net(), Adam(0.05), [Checkpoint("run.npz")], epochs=2)
    parts = hostile.members(Path("run.npz").read_bytes())
    text = hostile.described(parts, "run.npy")
    more = change(text) or {}
    parts |= {"run.npy": hostile.as_member(json.dumps(text)), **more}
    Path("run.npz").write_bytes(hostile.pack(parts))


def not_resumed(sentence, model=None):
    model, optimizer = model or net(), Adam(0.05)
    before = left(model, optimizer)
    with pytest.raises(ValueError, match=sentence) as error:
        fit(model, optimizer, resume_from="run.npz")
    assert "cannot be resumed" in str(error.value)
    assert left(model, optimizer) == before


@pytest.mark.parametrize("kind", ["floats", "list"])
def test_an_array_without_numbers_is_no_list_of_a_billion(kind):
    def change(run):
        n = len(run["arrays"])
        run["arrays"].append(["<f8", [10**9, 0]])
        run["parts"]["more"] = {kind: n}
        return {f"run/{n}.npy": hostile.npy(np.zeros((10**9, 0)))}

    run_file(change)
    tracemalloc.start()
    try:
        not_resumed(f"'{kind}' that no run has")
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 1e6


def test_an_array_belongs_to_one_value():
    run_file(lambda run: run["parts"].update(more=[{"floats": 2}] * 1000))
    not_resumed("a value is array 2 of 3, or two values are")


# ---- sentences -----------------------------------------------------------------------------------

GOOD = {"0.W.npy": np.ones((2, 2), "f4"), "0.b.npy": np.ones(2, "f4")}
PARTS = hostile.members(with_layers([DENSE], GOOD))
SENTENCES = {
    "later": (with_layers([RELU], format=2, chainrule="9.1"), "takes chainrule 9.1 or later"),
    "compressed": (hostile.pack(PARTS, {"": {"method": 8}}), "'model.npy' is compressed"),
    "encrypted": (hostile.pack(PARTS, {"0.W.npy": {"flags": 1}}), "'0.W.npy' is compressed or enc"),
    "crc": (hostile.pack(PARTS, {"0.W.npy": {"crc": 3}}), "0.W is damaged: its checksum"),
    "twice": (hostile.pack(PARTS, twice=["0.W.npy"]), "have one name, '0.W.npy'"),
    "overlap": (hostile.pack(PARTS, {"0.W.npy": {"offset": 0}}), "does not begin where"),
    "hole": (hostile.pack(PARTS, between=b"\0"), "does not begin where the one before ends"),
    "behind": (hostile.pack(PARTS, behind=b"\0"), "bytes behind the archive"),
    "before": (hostile.pack(PARTS, before=b"\0"), "'model.npy' does not begin"),
    "comment": (hostile.pack(PARTS, end={"comment": b"hi"}), "is no archive of arrays"),
    "path": (hostile.pack({**PARTS, "../x.npy": b""}), r"'\.\./x\.npy' has a name that no array"),
    "two headers": (hostile.pack(PARTS, {"0.b.npy": {"local": {"crc": 1}}}), "two headers that do"),
    "objects": (hostile.pack({**PARTS, "0.b.npy": hostile.says("'|O'")}), r"\|O.*expected.*<f4"),
    "key twice": (hostile.pack({"model.npy": hostile.as_member('{"a": 1, "a": 2}')}), "key twice"),
    "NaN": (hostile.pack({"model.npy": hostile.as_member('{"a": NaN}')}), "NaN, which is no"),
    "1e999": (hostile.pack({"model.npy": hostile.as_member('{"a": 1e999}')}), "1e999, which is no"),
    "digits": (hostile.pack({"model.npy": hostile.as_member('{"a": ' + "1" * 9999)}), "00 digits"),
    "deep": (hostile.pack({"model.npy": hostile.as_member('{"a":' * 10**5)}), "nested too deep"),
    "many": (with_layers([RELU] * 10_001), "more than 10000 layers"),
    "doubled": (with_layers(LARGE["doubled"]), "more than 10000 layers, shared ones counted anew"),
    "cycle": (
        with_layers([{"class": "Residual", "arguments": {"layers": [{"same_as": ".0"}]}}]),
        r"same as '\.0', and none stands there before",
    ),
    "no class": (with_layers([{"arguments": {}}]), "'class' must be a str, got None"),
    "no layer": (with_layers([3]), "3 stands among its layers"),
    "missing": (with_layers([{"class": "Dense", "arguments": {}}]), "cannot be built: .*in_feat"),
    "too many": (
        with_layers([{"class": "ReLU", "arguments": {"rng": 1}}]), r"it has no arguments \['rng'\]",
    ),
    "wrong type": (
        with_layers([{"class": "Dropout", "arguments": {"p": "a"}}]), "Dropout cannot be b.* p",
    ),
    "frozen": (with_layers([RELU], frozen=["1."]), r"'1\.' is named as frozen"),
}  # fmt: skip


@pytest.mark.parametrize(("content", "sentence"), SENTENCES.values(), ids=SENTENCES)
def test_each_has_its_sentence(content, sentence):
    Path("a").write_bytes(content)
    refused("a", sentence)


def test_what_is_written_here_by_hand_can_be_loaded():
    """Without a lie the archives above are right."""
    for content in (with_layers([DENSE], GOOD), hostile.pack(PARTS)):
        Path("a").write_bytes(content)
        assert Model.load("a").parameters.tolist() == [1.0] * 6


def test_large_archives_are_read():
    """Behind 65,535 members an archive ends with other records, which the reader knows."""
    from chainrule.archive import Archive

    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        for i in range(66_000):
            archive.writestr(f"run/{i}.npy", b"")
    assert len(Archive(file).members) == 66_000
    whole = file.getvalue()
    at = whole.rindex(b"PK\6\6")
    for i, other in ((at + 4, b"\x2d"), (at + 24, b"\1"), (at + 16, b"\1"), (at + 56 + 8, b"\0")):
        with pytest.raises(ValueError, match=r"end it do not agree|members, expected|bytes"):
            Archive(io.BytesIO(whole[:i] + other + whole[i + 1 :]))


# ---- runs ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(("kind", "name"), [("MT19937", "pos"), ("Philox", "buffer_pos")])
def test_a_generator_does_not_read_beyond_its_numbers(kind, name):
    """NumPy takes any place, and reads from there at the next draw."""

    def model():
        made = net()
        made.layers[3].rng = np.random.Generator(getattr(np.random, kind)(3))
        return made

    fit(model(), Adam(0.05), [Checkpoint("run.npz")], epochs=2)
    parts = hostile.members(Path("run.npz").read_bytes())
    text = json.dumps(hostile.described(parts, "run.npy"))
    at = text.index(f'["{name}", ') + len(name) + 5
    end = text.index("]", at)
    for number in (10**6, -1, 2**40, "true", "1.5"):
        changed = hostile.as_member(f"{text[:at]}{number}{text[end:]}")
        Path("run.npz").write_bytes(hostile.pack({**parts, "run.npy": changed}))
        not_resumed("3.rng is out of range", model())


OPTIONS = {
    "a method": ("step", 3), "a class": ("__class__", 3), "text": ("lr", "0.1"),
    "none": ("lr", True),
    "betas": ("betas", {"tuple": ["a", 0.9]}), "one beta": ("betas", {"tuple": [0.9]}),
    "infinite": ("lr", {"float": "inf"}), "no range": ("betas", {"tuple": [1.0, 0.9]}),
    "NaN": ("eps", {"float": "nan"}), "flag": ("amsgrad", 1),
}  # fmt: skip


@pytest.mark.parametrize(("name", "value"), OPTIONS.values(), ids=OPTIONS)
def test_options_that_the_optimizer_does_not_have_are_refused(name, value):
    def change(run):
        pairs = run["parts"]["options"]["dict"]
        pairs[:] = [pair for pair in pairs if pair[0] != name] + [[name, value]]

    run_file(change)
    not_resumed(f"the optimizer.*{name}|Adam: {name}")


def test_numbers_that_are_not_finite_are_told():
    model = cr.Model(cr.Dense(2, 3), cr.BatchNorm(3), seed=0)
    model.layers[0].W[0, :2] = [np.nan, np.inf]
    model.layers[1].running_var[1] = np.inf
    model.save("a")
    with pytest.warns(UserWarning, match=r"'a' holds numbers .* 2 of 6 arrays: 0\.W \(2 of 6\), "
                                         r"1\.running_var \(1 of 3\)\.") as told:  # fmt: skip
        loaded = Model.load("a")
    assert told[0].filename == __file__
    assert np.array_equal(loaded.parameters, model.parameters, equal_nan=True)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(UserWarning, match="NaN or infinite"):
            Model.load("a")


def test_a_run_with_weights_that_are_nan_tells_it_and_stops():
    fit(net(), Adam(0.05), [Checkpoint("run.npz")], epochs=2)
    parts = hostile.members(Path("run.npz").read_bytes())
    array = np.load(io.BytesIO(parts["0.W.npy"]))
    array[0] = np.nan
    Path("run.npz").write_bytes(hostile.pack({**parts, "0.W.npy": hostile.npy(array)}))
    with (
        pytest.warns(UserWarning, match=r"0\.W \(6 of 18\)"),
        pytest.raises(cr.DivergenceError),
    ):
        fit(net(), Adam(0.05), resume_from="run.npz")


# ---- what comes back -----------------------------------------------------------------------------


@register_layer
class Weird(Layer):
    """An own layer with an infinite option, layers behind it, and a buffer in Fortran's order."""

    def __init__(self, limit, *layers, share=-np.inf):
        super().__init__()
        self.limit, self.layers, self.share = limit, layers, share
        self.children = layers
        self.add_buffer("table", np.asfortranarray(np.arange(6.0).reshape(2, 3)))

    def forward(self, x, training=False):
        return x, None


def test_own_layers_come_back_whole():
    model = Model(Weird(np.inf, cr.Tanh(), share=np.nan), seed=0)
    model.save("a")
    (layer,) = Model.load("a").layers
    assert layer.limit == np.inf
    assert np.isnan(layer.share)
    assert repr(layer.layers) == "(Tanh(),)"
    assert layer.table.tolist() == [[0, 1, 2], [3, 4, 5]]
    with zipfile.ZipFile("a") as archive:  # strict JSON, for other programs too
        text = np.load(io.BytesIO(archive.read("model.npy"))).tobytes()
    assert b"Infinity" not in text
    assert b"NaN" not in text


def test_what_could_not_be_loaded_is_not_saved():
    model = Model(*[cr.Tanh() for _ in range(10_001)], seed=0)
    with pytest.raises(ValueError, match="holds 10000 layers at most, this model has 10001"):
        model.save("a")
    model = Model(cr.Tanh())
    model.metadata["a"] = 10**5000
    with pytest.raises(TypeError, match=r"metadata\['a'\] is an integer of more than"):
        model.save("a")
    assert os.listdir() == []
    Model(*[cr.Tanh() for _ in range(10_000)], seed=0).save("a")
    assert len(Model.load("a").layers) == 10_000


# ---- the disk ------------------------------------------------------------------------------------

FULL = """
import resource, signal, sys
import chainrule as cr
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
model = cr.Model(cr.Dense(20, 30), seed=0)
resource.setrlimit(resource.RLIMIT_FSIZE, (1500, 1500))
try:
    model.save("model")
except OSError as error:
    print(error)
"""


def test_a_disk_that_fills_up_leaves_the_old_file_and_no_litter():
    """The limit on a file's size stands for a full disk: writing fails in the middle."""
    hostile.model().save("model")
    before = Path("model").read_bytes()
    call = [sys.executable, "-c", FULL]
    done = subprocess.run(call, capture_output=True, text=True, check=True)
    assert "File too large: 'model'" in done.stdout
    assert os.listdir() == ["model"]
    assert Path("model").read_bytes() == before


def test_pipes_and_devices_are_neither_read_nor_replaced(folder):
    os.mkfifo("pipe")
    (folder / "link").symlink_to("/dev/null")
    for name in ("pipe", "link"):
        with pytest.raises(ValueError, match="device or a pipe"):
            Model.load(name)
        with pytest.raises(OSError, match=f"Invalid argument: '{name}'"):
            hostile.model().save(name)
        with pytest.raises(OSError, match=f"Invalid argument: '.*/{name}'"):
            fit(net(), Adam(), [Checkpoint(name)], epochs=1)
    assert stat.S_ISFIFO(os.stat("pipe").st_mode)
    assert sorted(os.listdir()) == ["link", "pipe"]
    assert stat.S_ISCHR(os.stat("/dev/null").st_mode)


@pytest.mark.parametrize("keep_best", [True, False])
def test_the_file_of_the_best_model_is_tried_before_training(folder, keep_best):
    (folder / "run.best.npz").mkdir()
    checkpoint = Checkpoint("run.npz", keep_best=keep_best, monitor="loss")
    if keep_best:
        model = net()
        before = model.parameters.copy()
        with pytest.raises(IsADirectoryError, match=r"run\.best\.npz"):
            fit(model, Adam(), [checkpoint], epochs=1)
        assert np.array_equal(model.parameters, before)
    else:
        fit(net(), Adam(), [checkpoint], epochs=1)
    assert (folder / "run.npz").exists() != keep_best


def test_a_path_with_a_nul_is_refused():
    for call in (Model.load, hostile.model().save):
        with pytest.raises(ValueError, match=r"got 'a\\x00b', with a NUL in it"):
            call("a\0b")


def test_a_path_that_is_no_text_of_the_system_is_refused():
    for call in (Model.load, hostile.model().save):
        with pytest.raises(ValueError, match=r"got '\\ud800', which this system cannot write"):
            call("\ud800")


def test_a_file_that_may_not_be_written_to_stays(monkeypatch):
    hostile.model().save("model")
    before = Path("model").read_bytes()
    with monkeypatch.context() as patch:
        patch.setattr(os, "access", lambda path, mode: False)  # root may always
        with pytest.raises(PermissionError, match="'model'"):
            Model(cr.Tanh()).save("model")
    assert Path("model").read_bytes() == before


def test_nobody_else_can_read_a_private_file_while_it_is_written(folder, monkeypatch):
    hostile.model().save(folder / "model")
    (folder / "model").chmod(0o600)
    seen, savez = [], np.savez

    def watched(file, **arrays):
        seen.append(stat.S_IMODE(os.stat(file.name).st_mode))
        savez(file, **arrays)

    monkeypatch.setattr(np, "savez", watched)
    hostile.model().save(folder / "model")
    assert seen == [0o600]
    assert stat.S_IMODE((folder / "model").stat().st_mode) == 0o600


def test_the_folder_is_flushed_after_the_move(folder, monkeypatch):
    """Without it a new name can be lost by a loss of power."""
    done, sync, move = [], os.fsync, os.replace
    monkeypatch.setattr(os, "replace", lambda *a: (done.append("move"), move(*a)))

    def fsync(file):
        done.append("folder" if stat.S_ISDIR(os.fstat(file).st_mode) else "file")
        sync(file)

    monkeypatch.setattr(os, "fsync", fsync)
    hostile.model().save(folder / "model")
    assert done == ["file", "move", "folder"]


def test_links_that_lead_nowhere(folder):
    (folder / "round").symlink_to("round")
    with pytest.raises(OSError, match="round"):
        hostile.model().save("round")
    (folder / "new").symlink_to("target")
    hostile.model().save("new")
    assert (folder / "target").is_file()
    assert (folder / "new").is_symlink()
    assert struct.unpack("<4s", (folder / "target").read_bytes()[:4]) == (b"PK\3\4",)
