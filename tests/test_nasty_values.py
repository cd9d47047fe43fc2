"""Every option of every public class and function, and every argument of a model's verbs, is given
values that make no sense. Each is taken or refused by a sentence of ours: never by NumPy's or
Python's own error, never by hanging, and never by taking gigabytes."""

from __future__ import annotations

import ast
import inspect
import linecache
import math
import warnings
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from cases import LAYERS, LOSSES, OPTIMIZERS, SCHEDULES

import chainrule as cr

ROOT = Path(cr.__file__).parent


class Odd:
    """An object that answers nothing."""

    def __repr__(self):
        return "Odd()"


NASTY = {
    "None": None, "text": "banana", "empty text": "", "bytes": b"ab", "object": Odd(),
    "class": int, "function": len, "zero": 0, "minus": -1, "half": 0.5, "NaN": math.nan,
    "inf": math.inf, "-inf": -math.inf, "huge": 10**400, "large": 10**18, "complex": 1j,
    "True": True, "empty list": [], "list": [1, 2, 3], "texts": ["a", "b"], "dict": {"a": 1},
    "set": {1, 2}, "array": np.ones(3), "empty array": np.ones(0), "0-d": np.array(2.0),
    "objects": np.array([None, 1], dtype=object), "strings": np.array(["a", "b"]),
    "complex array": np.ones(2) * 1j, "fraction": Fraction(1, 3), "nested": [[1, 2], [3]],
    "float16": np.float16(0.5), "uint8": np.uint8(3), "generator": (i for i in ()),
    "dates": np.array(["2020-01-01"], dtype="datetime64[D]"), "range": range(3), "slice": slice(2),
}  # fmt: skip

X, Y = np.random.default_rng(0).normal(size=(8, 3)), np.arange(8) % 2
LOSS = cr.SoftmaxCrossEntropy()


def net():
    return cr.Model(cr.Dense(3, 4), cr.BatchNorm(4), cr.Tanh(), cr.Dense(4, 2), seed=0)


def arguments_of(thing):
    """The arguments that made an object, read from the attributes of their names."""
    found = {}
    for name, argument in inspect.signature(type(thing)).parameters.items():
        if argument.kind in (argument.POSITIONAL_OR_KEYWORD, argument.KEYWORD_ONLY):
            found[name] = getattr(thing, name, argument.default)
    return found


CALLS = {}
for table in (LAYERS, LOSSES, OPTIMIZERS, SCHEDULES):
    for name, case in table.items():
        thing = getattr(case, "make", case)()
        if name.split(",")[0] not in CALLS and type(thing).__module__.startswith("chainrule"):
            CALLS[type(thing).__name__] = (type(thing), arguments_of(thing))
for name in cr.__all__:
    public = getattr(cr, name)
    kinds = (cr.Callback, cr.metrics.Metric) if hasattr(cr, "metrics") else (cr.Callback,)
    if isinstance(public, type) and issubclass(public, kinds) and public is not cr.Callback:
        required = {"CSVLogger": {"path": "x.csv"}, "Checkpoint": {"path": "x.npz"}}
        CALLS[name] = (public, required.get(name) or arguments_of(public()))

BATCH = {"x": X, "y": Y, "loss": LOSS}
FIT = {
    "optimizer": cr.SGD(0.1), "epochs": 1, "batch_size": 4, "validation_data": None,
    "validation_split": 0.0, "metrics": [], "callbacks": [], "shuffle": True, "class_weight": None,
    "sample_weight": None, "initial_epoch": 0, "verbose": 0,
}  # fmt: skip
known = inspect.signature(cr.Model.fit).parameters
FIT |= {name: p.default for name, p in known.items() if name not in (*FIT, *BATCH, "self")}
STEP = {
    name: p.default
    for name, p in inspect.signature(cr.Model.train_on_batch).parameters.items()
    if name not in (*BATCH, "self", "optimizer")
}
CALLS |= {
    "Model": (
        lambda layer, **o: cr.Model(layer, **o),
        {"layer": cr.Dense(2, 2), "seed": 0, "dtype": "float32"},
    ),
    "model(x)": (lambda x: net()(x), {"x": X}),
    "predict": (lambda **o: net().predict(**o), {"x": X, "batch_size": 4}),
    "activations": (lambda **o: net().activations(**o), {"x": X}),
    "forward": (lambda **o: net().forward(**o), {"x": X}),
    "backward": (lambda dy: net().backward(dy, net().forward(X)[1]), {"dy": np.ones((8, 2))}),
    "fit": (lambda **o: net().fit(**o), {**BATCH, **FIT}),
    "evaluate": (
        lambda **o: net().evaluate(**o),
        {**BATCH, "metrics": [], "batch_size": 4, "sample_weight": None, "class_weight": None},
    ),
    "train_on_batch": (
        lambda **o: net().train_on_batch(**o), {**BATCH, "optimizer": cr.SGD(0.1), **STEP},
    ),
    "test_on_batch": (lambda **o: net().test_on_batch(**o), {**BATCH, "sample_weight": None}),
    "summary": (
        lambda **o: net().summary(**o),
        {"batch_size": 4, "optimizer": cr.SGD(0.1), "loss": LOSS, "input_shape": (3,)},
    ),
    "load_state_dict": (lambda state: net().load_state_dict(state), {"state": net().state_dict()}),
    "load": (cr.Model.load, {"path": "none.npz"}),
    "save": (lambda path: net().save(path), {"path": "model.npz"}),
    "softmax": (cr.softmax, {"x": X, "axis": -1}),
    "sigmoid": (cr.sigmoid, {"x": X}),
    "one_hot": (cr.one_hot, {"labels": Y, "num_classes": 2, "dtype": "float32"}),
    "split": (
        lambda array, **o: cr.split(array, **o),
        {"array": X, "shares": (0.5, 0.5), "stratify": None, "seed": 0},
    ),
    "Standardizer.fit": (lambda x: cr.Standardizer(3).fit(x), {"x": X}),
    "gradcheck": (
        cr.gradcheck, {"subject": cr.Tanh(), "x": X, "eps": 1e-6, "atol": 1e-5, "rtol": 1e-3},
    ),
    "find_lr": (
        cr.find_lr,
        {"model": net(), **BATCH, "optimizer": cr.SGD(0.1), "low": 1e-3, "high": 1.0, "steps": 10,
         "batch_size": 4},
    ),
    "loss": (LOSS, {"prediction": np.ones((8, 2)), "target": Y, "sample_weight": None}),
    "step": (
        lambda **o: cr.Adam().step(**o),
        {"params": np.ones(3), "grads": np.ones(3), "spans": None},
    ),
    "optimizer state": (
        lambda state: cr.Adam().load_state_dict(state), {"state": cr.Adam().state_dict()},
    ),
    "metric": (
        lambda **o: cr.Accuracy().update(**o),
        {"prediction": np.ones((8, 2)), "target": Y, "sample_weight": None},
    ),
    "encoder": (
        lambda table: cr.tables.TableEncoder().fit(table), {"table": {"a": [1.0, 2.0, 4.0]}},
    ),
    "read_csv": (cr.tables.read_csv, {"path": "none.csv"}),
    "class_report": (cr.tables.class_report, {"counts": np.eye(2), "names": None}),
}  # fmt: skip
# A function of the user's own that fails says so itself.
CALLABLE = {"validation_data", "x", "loss", "subject"}
ROWS = [
    pytest.param(call, arguments, name, id=f"{thing}: {name}")
    for thing, (call, arguments) in CALLS.items()
    for name in arguments
]


def says_so(error):
    """Whether an error was raised by a `raise` of ours."""
    trace = error.__traceback__
    while trace.tb_next is not None:
        trace = trace.tb_next
    path = trace.tb_frame.f_code.co_filename
    lines = "".join(linecache.getlines(path))
    raises = [node for node in ast.walk(ast.parse(lines)) if isinstance(node, ast.Raise)]
    here = any(node.lineno <= trace.tb_lineno <= node.end_lineno for node in raises)
    return Path(path).is_relative_to(ROOT) and here


@pytest.mark.parametrize(("call", "arguments", "name"), ROWS)
def test_nonsense_is_taken_or_refused_by_a_sentence(call, arguments, name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    wrong = []
    for what, value in NASTY.items():
        if what == "function" and name in CALLABLE:
            continue
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("error")
                call(**{**arguments, name: value})
        except (TypeError, ValueError, cr.DivergenceError) as error:
            if not says_so(error) or len(str(error)) < 20:
                wrong.append(f"{what}: {type(error).__name__}: {error}")
        except cr.GradientError:
            pass
        except OSError as error:
            if name != "path":
                wrong.append(f"{what}: {type(error).__name__}: {error}")
        except BaseException as error:
            wrong.append(f"{what}: {type(error).__name__}: {error}")
    assert not wrong, "\n".join(wrong)
