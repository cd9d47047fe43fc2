"""Each activation, norm and the embedding beside PyTorch's: a table that says where we lose.

Float32 on one thread, forward alone (PyTorch's under `no_grad`) and forward with backward, at a
size where a call's overhead counts (32 x 64) and at one where the arithmetic does (2048 x 64).
PyTorch's side is its bare functions, without the modules around them, on the same memory. Results
are compared before anything is timed, and the process keeps memory that was freed, so that no page
faults are timed. A round times both in turn, and a ratio, the median of the rounds' own, is
PyTorch's time over ours: how many times as fast we are, below 1 (bold) where we lose. It needs
PyTorch (pip install torch). Run it pinned to a core of a quiet machine:
taskset -c 1 python benchmarks/layers.py
"""

from __future__ import annotations

import os

for name in ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ[name] = "1"

import argparse
import importlib
import platform
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
from step import compare

import chainrule as cr

Array = np.ndarray[Any, Any]
Row = tuple[str, cr.Layer, Callable[..., Any]]

FEATURES = 64
SIZES = 32, 2048  # rows
INDICES, VECTORS = 1024, 1000
NOT_HERE = {  # products are timed in step.py; the others only move numbers, or hand them on
    *(cr.Layer, cr.Dense, cr.Linear, cr.Dropout, cr.Flatten, cr.Identity, cr.Reshape),
    *(cr.Parallel, cr.Residual, cr.Sequential),
}


def import_torch() -> Any:
    try:
        torch: Any = importlib.import_module("torch")
    except ModuleNotFoundError as error:
        if error.name != "torch":
            raise
        raise SystemExit("This benchmark compares with PyTorch: pip install torch") from None
    torch.set_num_threads(1)
    return torch


def table(torch: Any) -> list[Row]:
    """Name, our layer, and PyTorch's function of x, the layer's buffers and its parameters."""
    f = torch.nn.functional
    rows: list[Row] = [
        ("ReLU", cr.ReLU(), f.relu),
        ("LeakyReLU", cr.LeakyReLU(), f.leaky_relu),
        ("PReLU", cr.PReLU(), f.prelu),
        ("ELU", cr.ELU(), f.elu),
        ("SELU", cr.SELU(), f.selu),
        ("Softplus", cr.Softplus(), f.softplus),
        ("SiLU", cr.SiLU(), f.silu),
        ("GELU", cr.GELU(), f.gelu),
        ("GELU, tanh", cr.GELU(approximate="tanh"), partial(f.gelu, approximate="tanh")),
        ("Mish", cr.Mish(), f.mish),
        ("HardSwish", cr.HardSwish(), f.hardswish),
        ("Tanh", cr.Tanh(), torch.tanh),
        ("Softsign", cr.Softsign(), f.softsign),
        ("HardTanh", cr.HardTanh(), f.hardtanh),
        ("HardSigmoid", cr.HardSigmoid(), f.hardsigmoid),
        ("Sigmoid", cr.Sigmoid(), torch.sigmoid),
        ("LogSigmoid", cr.LogSigmoid(), f.logsigmoid),
        ("Softmax", cr.Softmax(), partial(torch.softmax, dim=-1)),
        ("LogSoftmax", cr.LogSoftmax(), partial(torch.log_softmax, dim=-1)),
        ("BatchNorm, training", cr.BatchNorm(FEATURES), partial(f.batch_norm, training=True)),
        ("BatchNorm, evaluation", cr.BatchNorm(FEATURES), f.batch_norm),
        ("LayerNorm", cr.LayerNorm(FEATURES), lambda x, *p: f.layer_norm(x, (FEATURES,), *p)),
        (
            f"Embedding, {INDICES:,} indices into {VECTORS:,} x {FEATURES}",
            cr.Embedding(VECTORS, FEATURES),
            f.embedding,
        ),
    ]
    public = {getattr(cr, name) for name in cr.__all__}
    layers = {c for c in public if isinstance(c, type) and issubclass(c, cr.Layer)}
    missing = layers - NOT_HERE - {type(layer) for _, layer, _ in rows}
    if missing:
        names = ", ".join(sorted(c.__name__ for c in missing))
        raise SystemExit(f"Not in the table of benchmarks/layers.py: {names}")
    rng = np.random.default_rng(0)
    for _, layer, _ in rows:  # ones and zeros would hide a difference
        for array in (*layer.params.values(), *layer.buffers.values()):
            array += 0.1 * rng.standard_normal(array.shape, np.float32)
    return rows


def measure(torch: Any, row: Row, x: Array, rounds: int) -> list[tuple[float, float]]:
    """Our time in µs and the ratio: forward, then forward and backward."""
    name, layer, function = row
    training = name != "BatchNorm, evaluation"
    y, _ = layer.forward(x, training=training)
    dy = np.random.default_rng(1).standard_normal(y.shape, np.float32)

    def forward() -> Any:
        return layer.forward(x, training=training)

    def forward_and_backward() -> Any:
        y, cache = layer.forward(x, training=training)
        return y, *layer.backward(dy, cache)

    inputs, dy_ = torch.from_numpy(x), torch.from_numpy(dy)
    buffers = [torch.tensor(array) for array in layer.buffers.values()]
    parameters = [torch.from_numpy(p).requires_grad_() for p in layer.params.values()]
    arguments = [inputs, *buffers, *parameters]
    leaves = parameters if layer.takes_indices else [inputs.requires_grad_(), *parameters]

    def their_forward() -> Any:
        return function(*arguments)

    def their_forward_and_backward() -> Any:
        for leaf in leaves:
            leaf.grad = None
        y = function(*arguments)
        y.backward(dy_)
        return y

    y, dx, grads = forward_and_backward()
    grads = {key: grads[key] for key in layer.params}  # in PyTorch's order
    ours = {"y": y, **({} if dx is None else {"dx": dx}), **grads, **layer.buffers}
    theirs = [their_forward_and_backward().detach(), *(leaf.grad for leaf in leaves), *buffers]
    for (key, one), other in zip(ours.items(), map(np.asarray, theirs), strict=True):
        message = f"{name}, {len(x)} rows: {key} is not PyTorch's"
        assert one.dtype == other.dtype == np.float32, message
        size = max(1, abs(other).max()) if key in grads else 1  # sums over the batch may cancel
        np.testing.assert_allclose(one, other, rtol=1e-5, atol=1e-5 * size, err_msg=message)

    with torch.no_grad():
        times, ratios = compare([their_forward, forward], rounds)
    results = [(times[1] * 1e6, ratios[0])]
    times, ratios = compare([their_forward_and_backward, forward_and_backward], rounds)
    return [*results, (times[1] * 1e6, ratios[0])]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=30)
    parser.add_argument("--quick", action="store_true", help="three rounds, to check the script")
    options = parser.parse_args()
    rounds = 3 if options.quick else options.rounds
    np.empty(3_000_000)  # freed at once: from then on glibc keeps freed memory, as behind any data
    torch = import_torch()
    rows = table(torch)
    print(
        f"{platform.system()} {platform.machine()}, one thread; Python {platform.python_version()},"
        f" NumPy {np.__version__}, PyTorch {torch.__version__} "
        f"({torch.backends.cpu.get_cpu_capability()}); {rounds} rounds\n"
    )
    kinds = "forward", "forward and backward"
    heads = [f"{n} x {FEATURES} {kind}, µs | ratio" for n in SIZES for kind in kinds]
    print(f"| layer | {' | '.join(heads)} |")
    print(f"| --- |{' --- |' * (2 * len(heads))}")
    rng = np.random.default_rng(2)
    all_ratios = []
    for row in rows:
        name, layer, _ = row
        cells = []
        for n in SIZES:
            x: Array = 2 * rng.standard_normal((n, FEATURES), np.float32)
            if layer.takes_indices:  # of one size, shown beside the large one
                if n != SIZES[-1]:
                    cells += [" | "] * len(kinds)
                    continue
                x = rng.integers(0, VECTORS, INDICES)
            for microseconds, exact in measure(torch, row, x, rounds):
                ratio = round(float(exact), 2)  # counted as it is shown
                all_ratios.append(ratio)
                bold = "**" if ratio < 1 else ""
                cells.append(f"{microseconds:,.1f} | {bold}{ratio:.2f}{bold}")
        print(f"| {name} | {' | '.join(cells)} |", flush=True)
    ratios = np.array(all_ratios)
    won, lost = int((ratios > 1).sum()), int((ratios < 1).sum())
    print(
        f"\nOf {len(ratios)} comparisons we win {won} and lose {lost} (bold); "
        f"{len(ratios) - won - lost} are even to two digits."
    )


if __name__ == "__main__":
    main()
