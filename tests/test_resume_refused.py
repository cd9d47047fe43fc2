"""What would go on as a mixture of two runs is refused, and so is a file that is damaged: with a
sentence, and before model and optimizer are touched. What a file can hold comes back to the bit."""

from __future__ import annotations

import io
import json
import math
import os
import re
import zipfile

import numpy as np
import pytest
from resume_helpers import X, Y, exact, fit, left, net

import chainrule as cr
from chainrule import (
    Accuracy,
    Adam,
    BatchNorm,
    Callback,
    Checkpoint,
    CSVLogger,
    Dense,
    EarlyStopping,
    LambdaCallback,
    MeanSquaredError,
    Model,
    ReduceLROnPlateau,
    ReLU,
)
from chainrule.packing import pack, unpack

pytestmark = pytest.mark.usefixtures("folder")

NAN, INF = math.nan, math.inf


def begun(epochs):
    fit(net(), Adam(0.05), [Checkpoint("run.npz")], epochs=epochs)


# ---- another run ---------------------------------------------------------------------------------


def refused(sentence, model=None, optimizer=None, callbacks=(), error=ValueError, **options):
    model, optimizer = model or net(), optimizer or Adam(0.05)
    before = left(model, optimizer)
    options = {"resume_from": "run.npz", **options}
    with pytest.raises(error, match=sentence):
        fit(model, optimizer, callbacks, **options)
    assert left(model, optimizer) == before


DIFFERENT = {
    "layers": ({"model": lambda: Model(Dense(3, 3), seed=0)}, r"that of Model\(Dense\(3, 6\)"),
    "options of a layer": (
        {"model": lambda: Model(Dense(3, 6), BatchNorm(6), ReLU(), cr.Dropout(), Dense(6, 3))},
        r"Dropout\(p=0.3\).*not of.*Dropout\(\)",
    ),
    "dtype": ({"model": lambda: net(dtype="float64")}, "float32.*float64"),
    "optimizer": ({"optimizer": lambda: cr.AdamW(0.05)}, "optimizer was Adam, and is AdamW"),
    "rate": ({"optimizer": lambda: Adam(0.1)}, "optimizer's lr was 0.05, and is 0.1"),
    "eps": ({"optimizer": lambda: Adam(0.05, eps=1e-3)}, "eps was 1e-08, and is 0.001"),
    "schedule": ({"optimizer": lambda: Adam(cr.StepDecay(0.05, 9))}, r"is StepDecay\("),
    "epochs": ({"epochs": 2}, "had 3 epochs already, more than epochs=2"),
    "batch_size": ({"batch_size": 6}, "batch_size was 5, and is 6"),
    "accumulate": ({"accumulate": 2}, "accumulate was 1, and is 2"),
    "workers": ({"workers": 3}, "workers was 1, and is 3"),
    "shuffle": ({"shuffle": False}, "shuffle was True"),
    "loss": ({"loss": cr.SoftmaxCrossEntropy(0.1)}, "loss was .*label_smoothing=0.1"),
    "metrics": ({"metrics": [Accuracy()]}, "metrics was"),
    "clip_norm": ({"clip_norm": 1.0}, "clip_norm was None, and is 1.0"),
    "rows": ({"x": X[:20], "y": Y[:20]}, "data was 24 rows .*, and is 20 rows"),
    "values": ({"x": X + 1e-5}, r"data was 24 rows of \(3,\) with checksum"),
    "targets": ({"y": Y[::-1]}, "with checksum"),
    "weights": ({"sample_weight": np.full(24, 2.0)}, "with checksum"),
    "class weights": ({"class_weight": {0: 2.0}}, "class_weight was None"),
    "rows held back": ({"validation_split": 0.25}, "validation was none, and is 6 rows"),
    "callbacks": ({"callbacks": lambda: [EarlyStopping("loss")]}, r"was \[\], .*EarlyStopping"),
    "initial_epoch": ({"initial_epoch": 2}, "no initial_epoch"),
    "an iterator": ({"x": iter([(X, Y)]), "y": None}, "an iterator cannot be put"),
}  # fmt: skip


@pytest.mark.parametrize(("change", "sentence"), DIFFERENT.values(), ids=DIFFERENT)
def test_another_run_is_refused(change, sentence):
    begun(3)
    change = dict(change)
    made = {k: change.pop(k)() for k in ("model", "optimizer", "callbacks") if k in change}
    refused(sentence, **made, **change)


@pytest.mark.parametrize(
    ("first", "second", "sentence"),
    [
        (EarlyStopping("loss", patience=3), EarlyStopping("loss", patience=4), "had patience=3"),
        (ReduceLROnPlateau("loss"), ReduceLROnPlateau("accuracy"), "had monitor='loss'"),
        (Checkpoint("a", keep_best=True, monitor="loss"),
         Checkpoint("a", keep_best=True, monitor="loss", mode="max"), "had mode='auto'"),
    ],
)  # fmt: skip
def test_callbacks_with_other_options_are_refused(first, second, sentence):
    fit(net(), Adam(0.05), [Checkpoint("run.npz"), first], metrics=[Accuracy()], epochs=2)
    refused(sentence, callbacks=[second], metrics=[Accuracy()])


def test_a_run_that_is_refused_leaves_the_log_alone(folder):
    """The rows after the checkpoint are all that is left of these epochs."""
    log = folder / "run.csv"
    fit(net(), Adam(0.05), [CSVLogger(log), EarlyStopping("loss"), Checkpoint("run.npz")], epochs=2)
    before = log.read_text() + "2,0.5\n"
    log.write_text(before)
    refused("patience=5, this", callbacks=[CSVLogger(log), EarlyStopping("loss", patience=9)])
    assert log.read_text() == before
    ended = [CSVLogger(log), EarlyStopping("loss")]
    fit(net(), Adam(0.05), ended, epochs=2, resume_from="run.npz")
    assert log.read_text() == before.removesuffix("2,0.5\n")


def test_a_generator_of_another_kind_is_refused():
    begun(2)
    model = net()
    model.layers[3].rng = np.random.Generator(np.random.MT19937(3))
    refused("3.rng was drawn by PCG64, and is by MT19937", model)


@cr.register_layer
class Words(cr.Tanh):
    """An own layer that reads a file of its own when it is built."""

    def __init__(self, path):
        super().__init__()
        self.path = path
        with open(path, encoding="utf-8") as file:
            self.text = file.read()


def test_a_run_whose_layer_misses_a_file_is_not_begun_anew(folder):
    """It would write over the run that there is."""
    (folder / "words").write_text("a b")
    model = Model(Dense(3, 3), Words("words"), seed=0)
    fit(model, Adam(0.05), [Checkpoint("run.npz")], epochs=1)
    before = (folder / "run.npz").read_bytes()
    (folder / "words").unlink()
    with pytest.raises(ValueError, match=r"could not be loaded: .*words"):
        fit(model, Adam(0.05), [Checkpoint("run.npz")], resume_from="run.npz")
    assert (folder / "run.npz").read_bytes() == before


def test_a_model_file_is_no_run():
    net().save("run.npz")
    refused("holds a model and no run. Model.load opens it")


@pytest.mark.parametrize("path", [3, b"run.npz", ["run.npz"]])
def test_what_is_no_path_is_refused(path):
    refused("resume_from must be the path", resume_from=path, error=TypeError)
    with pytest.raises(TypeError, match="path must be that of a file"):
        Checkpoint(path)


def test_what_the_system_refuses_is_an_oserror_before_training(folder):
    (folder / "inside").mkdir()
    for path in ("inside", "nowhere/run.npz"):
        refused(path.split("/")[0], callbacks=[Checkpoint(path)], error=OSError, resume_from=None)
    refused("inside", resume_from="inside", error=OSError)
    assert sorted(os.listdir(folder)) == ["inside"]


class Forgetful:
    """An own optimizer without a state that could be saved."""

    lr = 0.1

    def step(self, params, grads, spans=None):
        params -= self.lr * grads


class Holds(Callback):
    def state_dict(self):
        return {"seen": {1, 2}}


def test_what_cannot_be_saved_is_refused_before_training():
    kept = [Checkpoint("run.npz")]
    with pytest.raises(TypeError, match="has no state_dict"):
        fit(net(), Forgetful(), kept)
    refused("callback 0, Holds, holds a set", callbacks=[*kept, Holds()], error=TypeError)
    model = net()
    model.shuffle_rng = np.random.RandomState(0)
    with pytest.raises(TypeError, match=r"shuffle_rng must be a numpy\.random\.Generator"):
        fit(model, Adam(), kept)
    own = type("Unregistered", (cr.Tanh,), {})()
    with pytest.raises(TypeError, match="register_layer"):
        fit(Model(Dense(3, 3), own), Adam(), kept)
    with pytest.raises(ValueError, match="no 'val_loss' to monitor"):
        fit(net(), Adam(), [Checkpoint("run.npz", keep_best=True)])
    assert os.listdir() == []


def test_two_files_of_one_path_are_refused_before_training():
    """The best model would be lost under the run of another checkpoint."""
    for other in (Checkpoint("run.best.npz"), Checkpoint("run.npz")):
        both = [Checkpoint("run.npz", keep_best=True, monitor="loss"), other]
        refused(r"would be '.*run(.best)?\.npz'", callbacks=both, resume_from=None)
    assert os.listdir() == []


@pytest.mark.skipif(os.name == "nt", reason="links take rights there")
def test_two_names_of_one_file_are_refused_before_training(folder):
    (folder / "link.npz").symlink_to("run.best.npz")
    both = [Checkpoint("run.npz", keep_best=True, monitor="loss"), Checkpoint("link.npz")]
    refused(r"would be '.*link\.npz'", callbacks=both, resume_from=None)
    assert os.listdir() == ["link.npz"]


def test_a_rate_that_became_a_function_is_not_saved():
    change = LambdaCallback(
        on_epoch_end=lambda e, logs: setattr(optimizer, "lr", cr.StepDecay(1, 2))
    )
    optimizer = Adam()
    with pytest.raises(TypeError, match="lr became StepDecay"):
        fit(net(), optimizer, [Checkpoint("run.npz"), change])


def test_an_iterator_can_be_trained_on_and_its_model_kept():
    fit(net(), Adam(), [Checkpoint("run.npz")], iter([(X, Y)]), None, epochs=1)
    assert Model.load("run.npz").seed == 0


# ---- damaged files -------------------------------------------------------------------------------


def npy(array):
    file = io.BytesIO()
    np.lib.format.write_array(file, np.asarray(array), allow_pickle=True)
    return file.getvalue()


def rewrite(members, change=None):
    """Change members of the file, and the JSON of its run."""
    with zipfile.ZipFile("run.npz") as archive:
        content = {name: archive.read(name) for name in archive.namelist()}
    run = json.loads(np.load(io.BytesIO(content["run.npy"])).tobytes())
    if change is not None:
        change(run)
    content["run.npy"] = npy(np.frombuffer(json.dumps(run).encode(), np.uint8))
    content |= members
    with zipfile.ZipFile("run.npz", "w") as archive:
        for name, data in content.items():
            if data is not None:
                archive.writestr(name, data)


def set_part(name, value):
    return lambda run: run["parts"].update({name: value})


def drop(name):
    return lambda run: run["parts"].pop(name)


def in_text(old, new):
    return lambda run: run.update(parts=json.loads(re.sub(old, new, json.dumps(run["parts"]))))


BROKEN = {
    "an array too few": ({"run/1.npy": None}, None, r"missing \['run/1'\]"),
    "an array too many": ({"run/999.npy": npy(0)}, None, r"unknown \['run/999'\]"),
    "run without arrays": ({}, lambda run: run.update(arrays=[]), "unknown"),
    "described as objects": ({}, lambda run: run["arrays"][0].__setitem__(0, "|O8"), "O8"),
    "described as records": ({}, lambda run: run["arrays"][0].__setitem__(0, "<f8,<f8"), "f8"),
    "petabytes": ({}, lambda run: run["arrays"][0].__setitem__(1, [10**15]), "size"),
    "a shape below 0": ({}, lambda run: run["arrays"][0].__setitem__(1, [-1]), "shape"),
    "a later format": ({}, lambda run: run.update(format=2), "format 2"),
    "no JSON": ({"run.npy": npy(np.frombuffer(b"[[[", np.uint8))}, None, None),
    "a list": ({"run.npy": npy(np.frombuffer(b"[]", np.uint8))}, None, None),
    "a pickle": ({"run.npy": npy(np.array(None))}, None, None),
}
WRONG = {
    **{f"no {name}": (drop(name), name) for name in (
        "done", "ended", "settings", "start", "split_seed", "generators", "options", "optimizer",
        "epochs", "figures", "callback 0, EarlyStopping,",
    )},
    "done": (set_part("done", "3"), None),
    "a kind": (set_part("done", {"code": "print()"}), "'code'"),
    "two kinds": (set_part("done", {"a": 1, "b": 2}), None),
    "an array that is none": (set_part("options", {"array": 999}), None),
    "epochs": (set_part("epochs", [0, "1"]), "epochs are not counts"),
    "ended": (set_part("ended", 1), "epochs are not counts"),
    "seed": (set_part("split_seed", -1), "split_seed is -1"),
    **{f"{name} None": (set_part(name, None), f"'{name}' must be a dict, got None") for name in (
        "settings", "start", "options", "generators", "figures")},
    "a figure without a name": (in_text('"loss", {', 'null, {'), "not lists with names"),
    "a text to confuse a terminal": (in_text('"batch_size", "5"', r'"batch_size", "5\\u001b[2J"'),
                                     r"batch_size was 5\\x1b\[2J, and is 5"),
    "generators": (set_part("generators", {"dict": []}), "shuffle_rng"),
    "a state below 0": (in_text('"inc", ', '"inc", -'), None),
    "a state that is rounded": (in_text(r'"inc", \d+', '"inc", 1.5'), "rng is out of range"),
    "optimizer": (set_part("optimizer", {"dict": [["steps", -3]]}), "steps must be a count"),
    "no float": (set_part("optimizer", {"dict": [["steps", 10**400]]}), "steps must be below"),
    "an array twice": (set_part("optimizer", {"dict": [
        ["steps", 3], ["m", {"array": 2}], ["v", {"array": 2}]]}), "a value is array 2 of 11, or"),
    "moments": (in_text('(?<="array": )[0145]}', lambda m: f"{'45__01'[int(m[0][0])]}}}"),
                "6 parameters of float32"),
}  # fmt: skip


def damaged_run():
    fit(net(), Adam(0.05), [Checkpoint("run.npz"), EarlyStopping("loss")], epochs=3)


@pytest.mark.parametrize(("members", "change", "sentence"), BROKEN.values(), ids=BROKEN)
def test_damaged_files_are_refused_and_opened_by_nothing(members, change, sentence):
    damaged_run()
    rewrite(members, change)
    refused(sentence, callbacks=[EarlyStopping("loss")])
    with pytest.raises(ValueError, match=sentence):
        Model.load("run.npz")


def test_a_pickle_among_the_arrays_is_opened_by_nothing():
    damaged_run()
    rewrite({"run/0.npy": npy(np.array([None] * 9))})
    refused(r"run/0 .*\|O.*expected", callbacks=[EarlyStopping("loss")])
    Model.load("run.npz")  # does not look at it


@pytest.mark.parametrize(("change", "sentence"), WRONG.values(), ids=WRONG)
def test_wrong_runs_are_refused(change, sentence):
    damaged_run()
    rewrite({}, change)
    refused(sentence, callbacks=[EarlyStopping("loss")])
    refused("cannot be resumed", callbacks=[EarlyStopping("loss")])
    Model.load("run.npz")  # the model is whole


def test_cut_files_and_flipped_bytes_are_refused():
    damaged_run()
    with open("run.npz", "rb") as file:
        whole = file.read()
    with zipfile.ZipFile("run.npz") as archive:
        inside = [
            i.header_offset + 30 + len(i.filename) + 28 + k * i.file_size // 3
            for i in archive.infolist() for k in range(3)
        ]  # fmt: skip
    damaged = [whole[:n] for n in np.linspace(0, len(whole) - 1, 10).astype(int)]
    damaged += [whole[:i] + bytes([whole[i] ^ 0xFF]) + whole[i + 1 :] for i in inside]
    model, optimizer, callbacks = net(), Adam(0.05), [EarlyStopping("loss")]
    before = left(model, optimizer)
    for content in damaged:
        with open("run.npz", "wb") as file:
            file.write(content)
        with pytest.raises(ValueError, match="cannot be resumed"):
            fit(model, optimizer, callbacks, resume_from="run.npz")
    assert left(model, optimizer) == before


# ---- values --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "value",
    [
        None, True, False, 0, -(2**200), "", "a/b\0ü", 0.1, -0.0, NAN, INF, -INF, 5e-324,
        [], (), {}, [1, 2.0], [0.1, NAN, -INF, -0.0], (1, (2,)), [[1], [[]]],
        {1: 2, "1": {"a": []}},
        {("a", 1): [None]}, np.float32(0.1), np.int64(-3), np.bool_(True), [np.float32(1), 2],
        [np.float64(0.1), np.float64(NAN)], [np.float32(1), np.float64(1)], np.zeros((0, 3)),
        np.array(3), np.arange(6, dtype=">i4").reshape(2, 3), np.asfortranarray(np.eye(3)[:2]),
        [np.eye(2), np.ones((2, 2))], [np.eye(2), np.eye(3)], [np.array(1), np.array(2)],
        np.array([1 + 2j]), {"state": {"state": 2**127, "inc": 1}},
    ],
    ids=repr,
)  # fmt: skip
def test_values_come_back_as_they_were(value):
    arrays = []
    text = json.dumps(pack("a", value, arrays), allow_nan=False)
    assert exact(unpack(json.loads(text), arrays, set())) == exact(value)


@pytest.mark.parametrize(
    "value", [{1}, print, np.array("a"), np.array([None]), [np.datetime64(1, "s")], 1j, b"a",
              MeanSquaredError(), {"a": [object()]}],
)  # fmt: skip
def test_other_values_are_refused(value):
    with pytest.raises(TypeError, match=r"the thing holds an? .*which cannot be saved"):
        pack("the thing", value, [])


def test_a_long_history_is_a_few_arrays():
    arrays = []
    pack("a", {"loss": [0.5] * 1000, "matrix": [np.eye(2)] * 1000}, arrays)
    assert [a.shape for a in arrays] == [(1000,), (1000, 2, 2)]
