"""Makes reference.npz: what PyTorch computes for every row of the table of cases.

Run it with PyTorch installed: python tests/reference/make_reference.py. It does not import the
library that it checks. The arrays are named by case and role, as in "Dense/x" and "Dense/grad/W".
"""

from __future__ import annotations

import platform
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

torch.set_default_dtype(torch.float64)
torch.manual_seed(20261123)
arrays: dict[str, np.ndarray] = {}


def keep(name: str, value: Tensor) -> None:
    arrays[name] = value.detach().numpy().copy()


# ---- layers: x, parameters -> y, with the gradients under a random cotangent ---------------------

DENSE = {"W": (3, 2), "b": (2,)}
TWO = {"0.W": (3, 4), "0.b": (4,), "2.W": (4, 2), "2.b": (2,)}
ROUND = {"0.W": (3, 5), "0.b": (5,), "2.W": (5, 3), "2.b": (3,)}
SIDE = {"0.W": (3, 2), "0.b": (2,), "1.0.W": (3, 2), "1.0.b": (2,)}
TWICE = {"0.W": (3, 3), "0.b": (3,)}


def chain(x: Tensor, p: dict[str, Tensor]) -> Tensor:
    return torch.tanh(x @ p["0.W"] + p["0.b"]) @ p["2.W"] + p["2.b"]


LAYERS: dict[str, tuple[tuple[int, ...], dict[str, tuple[int, ...]], Callable[..., Tensor]]] = {
    "Dense": ((4, 3), DENSE, lambda x, p: x @ p["W"] + p["b"]),
    "Dense, no bias": ((4, 3), {"W": (3, 2)}, lambda x, p: x @ p["W"]),
    "Dense, more axes": ((2, 5, 4, 3), DENSE, lambda x, p: x @ p["W"] + p["b"]),
    "Identity": ((4, 3), {}, lambda x, p: x * 1),
    "Flatten": ((4, 2, 3), {}, lambda x, p: x.flatten(1)),
    "Dropout, evaluation": ((4, 3), {}, lambda x, p: F.dropout(x, 0.5, training=False)),
    "Dropout, p = 0": ((4, 3), {}, lambda x, p: F.dropout(x, 0.0, training=True)),
    "Dropout, p = 1": ((4, 3), {}, lambda x, p: F.dropout(x, 1.0, training=True)),
    "ReLU": ((6, 5), {}, lambda x, p: F.relu(x)),
    "Sigmoid": ((6, 5), {}, lambda x, p: torch.sigmoid(x)),
    "Tanh": ((6, 5), {}, lambda x, p: torch.tanh(x)),
    "Softmax": ((6, 5), {}, lambda x, p: torch.softmax(x, -1)),
    "Softmax, axis 1": ((4, 3, 2), {}, lambda x, p: torch.softmax(x, 1)),
    "Sequential": ((4, 3), TWO, chain),
    "Residual": ((4, 3), ROUND, lambda x, p: x + chain(x, p)),
    "Parallel, add": (
        (4, 3),
        SIDE,
        lambda x, p: (x @ p["0.W"] + p["0.b"]) + torch.tanh(x @ p["1.0.W"] + p["1.0.b"]),
    ),
    "Parallel, concat": (
        (4, 3),
        SIDE,
        lambda x, p: torch.cat(
            [x @ p["0.W"] + p["0.b"], torch.tanh(x @ p["1.0.W"] + p["1.0.b"]), x], -1
        ),
    ),
    "a layer twice": (
        (4, 3),
        TWICE,
        lambda x, p: torch.tanh(x @ p["0.W"] + p["0.b"]) @ p["0.W"] + p["0.b"],
    ),
}

for name, (shape, parameters, f) in LAYERS.items():
    x = (2 * torch.randn(shape)).requires_grad_()
    p = {key: torch.randn(size, requires_grad=True) for key, size in parameters.items()}
    y = f(x, p)
    dy = torch.randn(y.shape)
    y.backward(dy)
    keep(f"{name}/x", x)
    keep(f"{name}/y", y)
    keep(f"{name}/dy", dy)
    keep(f"{name}/dx", x.grad)
    for key, value in p.items():
        keep(f"{name}/param/{key}", value)
        keep(f"{name}/grad/{key}", value.grad)

# ---- losses: prediction, target -> value and gradient, with and without weights ------------------


def classes_last(prediction: Tensor) -> Tensor:
    return prediction.movedim(-1, 1) if prediction.ndim > 2 else prediction


def cross_entropy(p: Tensor, t: Tensor, smoothing: float = 0.0) -> Tensor:
    t = classes_last(t) if t.ndim == p.ndim else t
    return F.cross_entropy(classes_last(p), t, label_smoothing=smoothing, reduction="none")


def soft(*shape: int) -> Tensor:
    return torch.softmax(torch.randn(shape), -1)


LOSSES: dict[str, tuple[Tensor, Tensor, Callable[[Tensor, Tensor], Tensor]]] = {
    "MeanSquaredError": (torch.randn(5, 3), torch.randn(5, 3), lambda p, t: (p - t) ** 2),
    "MeanSquaredError, one axis": (torch.randn(5), torch.randn(5), lambda p, t: (p - t) ** 2),
    "BinaryCrossEntropy": (
        3 * torch.randn(5, 2),
        torch.randint(0, 2, (5, 2)).double(),
        lambda p, t: F.binary_cross_entropy_with_logits(p, t, reduction="none"),
    ),
    "BinaryCrossEntropy, soft": (
        3 * torch.randn(5, 2),
        torch.rand(5, 2),
        lambda p, t: F.binary_cross_entropy_with_logits(p, t, reduction="none"),
    ),
    "SoftmaxCrossEntropy": (3 * torch.randn(6, 4), torch.randint(0, 4, (6,)), cross_entropy),
    "SoftmaxCrossEntropy, soft": (3 * torch.randn(6, 4), soft(6, 4), cross_entropy),
    "SoftmaxCrossEntropy, more axes": (
        torch.randn(3, 5, 4),
        torch.randint(0, 4, (3, 5)),
        cross_entropy,
    ),
    "SoftmaxCrossEntropy, more axes, soft": (torch.randn(3, 5, 4), soft(3, 5, 4), cross_entropy),
    "SoftmaxCrossEntropy, smoothed": (
        torch.randn(6, 4),
        torch.randint(0, 4, (6,)),
        lambda p, t: cross_entropy(p, t, 0.1),
    ),
    "SoftmaxCrossEntropy, soft, smoothed": (
        torch.randn(6, 4),
        soft(6, 4),
        lambda p, t: cross_entropy(p, t, 0.3),
    ),
}

for name, (prediction, target, terms) in LOSSES.items():
    weight = torch.rand(len(prediction))
    for label, w in (("", torch.ones(len(prediction))), ("weighted ", weight)):
        p = prediction.clone().requires_grad_()
        losses = terms(p, target)
        value = (losses * w.reshape(-1, *[1] * (losses.ndim - 1))).mean()
        value.backward()
        keep(f"{name}/{label}value", value)
        keep(f"{name}/{label}gradient", p.grad)
    keep(f"{name}/prediction", prediction)
    keep(f"{name}/target", target)
    keep(f"{name}/weight", weight)

# ---- optimizers: twenty steps on given gradients -------------------------------------------------

SGD, ADAM = torch.optim.SGD, torch.optim.Adam
OPTIMIZERS = {
    "SGD": (SGD, {"lr": 0.1}),
    "SGD, weight_decay": (SGD, {"lr": 0.1, "weight_decay": 0.05}),
    "SGD, momentum": (SGD, {"lr": 0.1, "momentum": 0.9}),
    "SGD, dampening": (SGD, {"lr": 0.1, "momentum": 0.9, "dampening": 0.3}),
    "SGD, nesterov": (SGD, {"lr": 0.1, "momentum": 0.8, "nesterov": True}),
    "SGD, momentum, dampening, weight_decay": (
        SGD,
        {"lr": 0.1, "momentum": 0.7, "dampening": 0.5, "weight_decay": 0.1},
    ),
    "SGD, nesterov, weight_decay": (
        SGD,
        {"lr": 0.1, "momentum": 0.7, "nesterov": True, "weight_decay": 0.1},
    ),
    "Adam": (ADAM, {}),
    "Adam, lr": (ADAM, {"lr": 0.1}),
    "Adam, betas": (ADAM, {"lr": 0.1, "betas": (0.5, 0.9)}),
    "Adam, betas of 0": (ADAM, {"lr": 0.1, "betas": (0.0, 0.0)}),
    "Adam, eps": (ADAM, {"lr": 0.1, "eps": 0.1}),
    "Adam, weight_decay": (ADAM, {"lr": 0.1, "weight_decay": 0.1}),
    "Adam, amsgrad": (ADAM, {"lr": 0.1, "amsgrad": True}),
    "Adam, all": (
        ADAM,
        {"lr": 0.05, "betas": (0.8, 0.95), "eps": 1e-3, "weight_decay": 0.2, "amsgrad": True},
    ),
}

for name, (kind, options) in OPTIMIZERS.items():
    p = torch.randn(9, requires_grad=True)
    gradients = torch.randn(20, 9) * torch.logspace(-3, 2, 9)  # of very different sizes
    optimizer = kind([p], **options)
    keep(f"{name}/start", p)
    keep(f"{name}/gradients", gradients)
    path = []
    for g in gradients:
        p.grad = g.clone()
        optimizer.step()
        path.append(p.detach().clone())
    keep(f"{name}/path", torch.stack(path))

# ---- ten steps of a small network ----------------------------------------------------------------

x, t = torch.randn(16, 5), torch.randint(0, 3, (16,))
p = {
    "0.W": torch.randn(5, 8),
    "0.b": torch.randn(8),
    "2.W": torch.randn(8, 6),
    "2.b": torch.randn(6),
    "4.W": torch.randn(6, 3),
    "4.b": torch.randn(3),
}
for key, value in p.items():
    keep(f"trajectory/param/{key}", value)
    value.requires_grad_()
keep("trajectory/x", x)
keep("trajectory/target", t)
optimizer = ADAM(p.values(), lr=0.05)
losses = []
for _ in range(10):
    h = F.relu(x @ p["0.W"] + p["0.b"])
    h = torch.tanh(h @ p["2.W"] + p["2.b"])
    loss = F.cross_entropy(h @ p["4.W"] + p["4.b"], t)
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    losses.append(loss.detach())
keep("trajectory/losses", torch.stack(losses))

versions = f"torch {torch.__version__}, numpy {np.__version__}, python {platform.python_version()}"
arrays["versions"] = np.array(versions)
np.savez_compressed(Path(__file__).with_name("reference.npz"), **arrays)
print(f"{len(arrays)} arrays, {versions}")
