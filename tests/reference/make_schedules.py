"""Makes schedules.npz: the rates of PyTorch's schedulers for the schedules of the table of cases.

Run it with PyTorch installed: python tests/reference/make_schedules.py. It does not import the
library that it checks. Beside the rates, as in "StepDecay/rates", stand steps of optimizers with a
scheduler, as in "SGD with OneCycle/path".
"""

from __future__ import annotations

import platform
import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from torch import optim
from torch.optim import lr_scheduler as torchs

torch.set_default_dtype(torch.float64)
torch.manual_seed(20261123)
warnings.simplefilter("error")
# `SequentialLR` hands its schedulers a step, which they call out of date themselves.
warnings.filterwarnings("ignore", "The epoch parameter in `scheduler.step", UserWarning)
arrays: dict[str, np.ndarray] = {}

Make = Callable[[optim.Optimizer], torchs.LRScheduler]


def warmup(steps: int, start_factor: float, after: Make) -> Make:
    def make(optimizer: optim.Optimizer) -> torchs.LRScheduler:
        if start_factor > 0:
            first = torchs.LinearLR(optimizer, start_factor, total_iters=steps)
        else:  # which `LinearLR` refuses
            first = torchs.LambdaLR(optimizer, lambda t: t / steps)
        return torchs.SequentialLR(optimizer, [first, after(optimizer)], [steps])

    return make


def one_cycle(max_lr: float, steps: int, **options: object) -> Make:
    return lambda o: torchs.OneCycleLR(o, max_lr, steps, cycle_momentum=False, **options)


# Each with the rate of the optimizer and the number of steps.
CASES: dict[str, tuple[float, int, Make]] = {
    "StepDecay": (0.1, 100, lambda o: torchs.StepLR(o, 30)),
    "StepDecay, gamma": (0.7, 40, lambda o: torchs.StepLR(o, 7, gamma=0.5)),
    "StepDecay, step_size of 1": (0.7, 20, lambda o: torchs.StepLR(o, 1, gamma=0.9)),
    "StepDecay, gamma of 0": (0.7, 20, lambda o: torchs.StepLR(o, 7, gamma=0.0)),
    "ExponentialDecay": (0.1, 60, lambda o: torchs.ExponentialLR(o, 0.95)),
    "ExponentialDecay, steps": (0.3, 60, lambda o: torchs.ExponentialLR(o, 0.1 ** (1 / 20))),
    "ExponentialDecay, gamma of 1": (0.3, 9, lambda o: torchs.ExponentialLR(o, 1.0)),
    "CosineDecay": (0.1, 51, lambda o: torchs.CosineAnnealingLR(o, 50)),
    "CosineDecay, final": (0.5, 51, lambda o: torchs.CosineAnnealingLR(o, 50, eta_min=0.02)),
    "CosineDecay, steps of 1": (0.1, 2, lambda o: torchs.CosineAnnealingLR(o, 1, eta_min=0.02)),
    "OneCycle": (0.1, 100, one_cycle(0.4, 100)),
    "OneCycle, linear": (0.1, 100, one_cycle(0.4, 100, anneal_strategy="linear")),
    "OneCycle, all": (
        0.1,
        37,
        one_cycle(
            0.9, 37, pct_start=0.41, div_factor=7.0, final_div_factor=33.0, anneal_strategy="linear"
        ),
    ),
    "OneCycle, up alone": (0.1, 30, one_cycle(0.4, 30, pct_start=1.0)),
    "OneCycle, down alone": (0.1, 30, one_cycle(0.4, 30, pct_start=0.0)),
    "OneCycle, steps of 1": (0.1, 1, one_cycle(0.4, 1)),
    "OneCycle, steps of 5": (0.1, 5, one_cycle(0.4, 5)),
    "LinearWarmup": (0.2, 30, warmup(10, 0.0, lambda o: torchs.ConstantLR(o, factor=1.0))),
    "LinearWarmup, steps of 1": (0.2, 5, warmup(1, 0.25, lambda o: torchs.StepLR(o, 2))),
    "LinearWarmup, StepDecay": (0.2, 40, warmup(10, 0.1, lambda o: torchs.StepLR(o, 9))),
    "LinearWarmup, CosineDecay": (
        0.2,
        51,
        warmup(10, 1 / 3, lambda o: torchs.CosineAnnealingLR(o, 40, eta_min=0.01)),
    ),
}


def run(optimizer: optim.Optimizer, make: Make, steps: int) -> list[float]:
    """The rate of each step."""
    scheduler, rates = make(optimizer), []
    for t in range(steps):
        rates.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        if t + 1 < steps:
            scheduler.step()
    return rates


for name, (lr, steps, make) in CASES.items():
    arrays[f"{name}/rates"] = np.array(run(optim.SGD([torch.zeros(1)], lr), make, steps))

# ---- optimizers with a scheduler -----------------------------------------------------------------

PATHS: dict[str, tuple[Callable[[torch.Tensor], optim.Optimizer], Make]] = {
    "SGD with OneCycle": (
        lambda p: optim.SGD([p], 0.1, momentum=0.9, foreach=False),
        one_cycle(0.4, 20),
    ),
    "AdamW with LinearWarmup": (
        lambda p: optim.AdamW([p], 0.2, foreach=False),
        warmup(5, 0.0, lambda o: torchs.CosineAnnealingLR(o, 12, eta_min=0.01)),
    ),
}
for name, (make_optimizer, make) in PATHS.items():
    start, gradients, path = torch.randn(5), torch.randn(17, 5), []
    p = start.clone().requires_grad_()
    optimizer = make_optimizer(p)
    scheduler = make(optimizer)
    for g in gradients:
        p.grad = g.clone()
        optimizer.step()
        scheduler.step()
        path.append(p.detach().clone())
    for role, value in [("start", start), ("gradients", gradients), ("path", torch.stack(path))]:
        arrays[f"{name}/{role}"] = value.numpy()

versions = f"torch {torch.__version__}, numpy {np.__version__}, python {platform.python_version()}"
arrays["versions"] = np.array(versions)
np.savez_compressed(Path(__file__).with_name("schedules.npz"), **arrays)
print(f"{len(arrays)} arrays, {versions}")
