"""Writes files of the present format, each of which every later version must load to the same bits.

A file that stands here is never made anew: when `FORMAT` in `chainrule.files` becomes 2, further
ones come beside it, as format_2_model.npz. Run it in an empty folder:
python tests/reference/make_files.py.
"""

from __future__ import annotations

import numpy as np

import chainrule as cr
from chainrule.files import FORMAT
from chainrule.parameters import unique


def model() -> cr.Model:
    """A network with every kind of layer but those of indices, and values that need no drawing."""
    shared = cr.Dense(4, 4, bias=False)
    network = cr.Model(
        cr.Standardizer(4),
        cr.Dense(4, 4),
        cr.BatchNorm(4, momentum=0.25),
        cr.Parallel(cr.Residual(shared, cr.Tanh()), cr.Identity(), shared, merge="concat"),
        cr.Parallel(cr.Dense(12, 4), cr.Sequential(cr.Dropout(0.25), cr.Dense(12, 4))),
        cr.LayerNorm((4,), eps=1e-3),
        *(cr.ReLU(), cr.LeakyReLU(0.25), cr.PReLU(4), cr.ELU(0.5), cr.SELU(), cr.Softplus(2.0)),
        *(cr.SiLU(), cr.GELU(), cr.Mish(), cr.HardSwish(), cr.Softsign(), cr.HardTanh()),
        *(cr.HardSigmoid(), cr.Sigmoid(), cr.LogSigmoid(), cr.LogSoftmax(), cr.Softmax()),
        cr.Reshape(2, -1),
        cr.Flatten(),
        seed=2**70,
        dtype="float64",
    )
    network.layers[5].trainable = shared.trainable = False
    network.metadata = {"names": ["ä", "b"], "of": {"n": 10**30, "x": 0.1, "none": [None, True]}}
    return fill(network)


def fill(network: cr.Model) -> cr.Model:
    network.parameters[:] = (np.arange(network.num_parameters) - 9) / 64
    for i, array in enumerate(network.named_buffers().values(), 1):
        array[:] = np.arange(len(array)) / 8 + i
    return network


def main() -> None:
    model().save(f"format_{FORMAT}_model.npz")
    table = cr.Model(cr.Embedding(5, 2, padding_idx=0), cr.Flatten(), cr.Dense(4, 1), seed=1)
    fill(table).save(f"format_{FORMAT}_table.npz")
    network = cr.Model(cr.Dense(2, 1), seed=5)
    x = np.arange(12).reshape(6, 2) / 16
    network.fit(
        x, x[:, :1], loss=cr.MeanSquaredError(), optimizer=cr.Adam(0.25), epochs=2, verbose=0,
        callbacks=[cr.Checkpoint(f"format_{FORMAT}_run.npz"), cr.EarlyStopping("loss")],
    )  # fmt: skip
    for name, array in network.state_dict().items():
        print(name, array.tolist())
    print(network.history["loss"], list(unique(network.layers)))


if __name__ == "__main__":
    main()
