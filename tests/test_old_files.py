"""A file that a version wrote must be loaded by every later one, to the same bits. The files were
made once by `tests/reference/make_files.py`, and are never made anew."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import pytest

from chainrule import Model
from chainrule.files import load_run

FOLDER = Path(__file__).parent / "reference"
SUMS = {  # the files are those of then
    "format_1_model.npz": "e3de98b42b5890752aad4a48f06c9765056e17af219d2327ce3541897581b3c8",
    "format_1_table.npz": "3572719c5c4ea47fb8dd2ed6c4ce18029ccd1f6638b6fb12048806de372401d1",
    "format_1_run.npz": "09cac04cd7a84592bca256ff1d8de3c4cef608411daae822a749b60320ee9a9d",
}
MODEL = (
    "Model(Standardizer(4), Dense(4, 4), BatchNorm(4, momentum=0.25), Parallel(Residual("
    "Dense(4, 4, bias=False), Tanh()), Identity(), Dense(4, 4, bias=False), merge='concat'), "
    "Parallel(Dense(12, 4), Sequential(Dropout(p=0.25), Dense(12, 4))), LayerNorm((4,), "
    "eps=0.001), ReLU(), LeakyReLU(negative_slope=0.25), PReLU(num_parameters=4), ELU(alpha=0.5), "
    "SELU(), Softplus(beta=2.0), SiLU(), GELU(), Mish(), HardSwish(), Softsign(), HardTanh(), "
    "HardSigmoid(), Sigmoid(), LogSigmoid(), LogSoftmax(), Softmax(), Reshape(2, -1), Flatten(), "
    "dtype='float64')"
)


@pytest.mark.parametrize("name", SUMS)
def test_the_files_are_those_of_then(name):
    assert hashlib.sha256((FOLDER / name).read_bytes()).hexdigest() == SUMS[name]


def test_a_model_of_format_1():
    model = Model.load(FOLDER / "format_1_model.npz")
    assert repr(model) == MODEL
    assert (model.seed, model.split_seed, model.dtype) == (2**70, 3389591344, np.float64)
    of = {"n": 10**30, "x": 0.1, "none": [None, True]}
    assert model.metadata == {"names": ["ä", "b"], "of": of}
    assert model.parameters.tolist() == [(i - 9) / 64 for i in range(160)]
    assert {name: array.tolist() for name, array in model.named_buffers().items()} == {
        "0.mean": [1, 1.125, 1.25, 1.375],
        "0.scale": [2, 2.125, 2.25, 2.375],
        "2.running_mean": [3, 3.125, 3.25, 3.375],
        "2.running_var": [4, 4.125, 4.25, 4.375],
    }
    shared = model.layers[3].branches[2]
    assert shared is model.layers[3].branches[0].layers[0]
    frozen = [layer for layer in (*model.layers, shared) if not layer._trainable]
    assert frozen == [model.layers[5], shared]


def test_a_table_of_format_1():
    model = Model.load(FOLDER / "format_1_table.npz")
    assert repr(model) == (
        "Model(Embedding(5, 2, padding_idx=0), Flatten(), Dense(4, 1), dtype='float32')"
    )
    assert model.parameters.dtype == np.float32
    assert model.parameters.tolist() == [(i - 9) / 64 for i in range(15)]


def test_a_run_of_format_1():
    path = FOLDER / "format_1_run.npz"
    model, run = load_run(Model, path)
    W, b = np.float32([-1.3968042, 1.4774203]), np.float32([0.44881278])
    for values in (model.state_dict(), run["callback 0, EarlyStopping,"]["best_state"]):
        assert {k: v.ravel().tolist() for k, v in values.items()} == {
            "0.W": W.tolist(),
            "0.b": b.tolist(),
        }
    assert (run["done"], run["ended"], run["epochs"]) == (2, False, [0, 1])
    assert run["figures"] == {"loss": [0.42688898245493573, 0.0938149094581604]}
    assert run["options"] == {
        "lr": 0.25, "weight_decay": 0.0, "betas": (0.9, 0.999), "eps": 1e-8, "amsgrad": False,
    }  # fmt: skip
    assert run["optimizer"]["steps"] == 2
    m = np.float32([-0.62899524, -0.6994437, -1.1271755])
    assert run["optimizer"]["m"].tobytes() == m.tobytes()
    state = run["generators"]["shuffle_rng"]["state"]
    assert state["state"] == 287995856027922711951460388625411760605
    assert np.array_equal(Model.load(path).parameters, model.parameters)
