"""Makes reference.npz: what PyTorch computes for every row of the table of cases.

Run it with PyTorch installed: python tests/reference/make_reference.py. It does not import the
library that it checks. The arrays are named by case and role, as in "Dense/x" and "Dense/grad/W".
"""

from __future__ import annotations

import platform
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, optim
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


def layer_norm(x: Tensor, p: dict[str, Tensor], eps: float = 1e-5) -> Tensor:
    return F.layer_norm(x, p["gamma"].shape, p["gamma"], p["beta"], eps)


def batch_norm(
    x: Tensor,
    p: dict[str, Tensor],
    b: dict[str, Tensor],
    training: bool = True,
    momentum: float = 0.1,
    eps: float = 1e-5,
) -> Tensor:
    """Normalize the last axis; torch's channels are axis 1. The buffers b move."""
    options = (p["gamma"], p["beta"], training, momentum, eps)
    y = F.batch_norm(x.movedim(-1, 1), b["running_mean"], b["running_var"], *options)
    return y.movedim(1, -1)


AFFINE = {"gamma": (3,), "beta": (3,)}
WIDE = {"gamma": (5,), "beta": (5,)}
SIX = (6, 5)

# name: (shape of x, shapes of the parameters, function); x are indices where INDICES has the name
INDICES = {"Embedding": 4, "Embedding, large": 50, "Embedding, padding": 4}
LAYERS: dict[str, tuple[tuple[int, ...], dict[str, tuple[int, ...]], Callable[..., Tensor]]] = {
    "Dense": ((4, 3), DENSE, lambda x, p: x @ p["W"] + p["b"]),
    "Dense, no bias": ((4, 3), {"W": (3, 2)}, lambda x, p: x @ p["W"]),
    "Dense, more axes": ((2, 5, 4, 3), DENSE, lambda x, p: x @ p["W"] + p["b"]),
    "Identity": ((4, 3), {}, lambda x, p: x * 1),
    "Flatten": ((4, 2, 3), {}, lambda x, p: x.flatten(1)),
    "Dropout, evaluation": ((4, 3), {}, lambda x, p: F.dropout(x, 0.5, training=False)),
    "Dropout, p = 0": ((4, 3), {}, lambda x, p: F.dropout(x, 0.0, training=True)),
    "Dropout, p = 1": ((4, 3), {}, lambda x, p: F.dropout(x, 1.0, training=True)),
    "Reshape": ((4, 6), {}, lambda x, p: x.reshape(4, 3, 2)),
    "Reshape, -1": ((4, 2, 3, 2), {}, lambda x, p: x.reshape(4, 4, 3)),
    "Reshape, to numbers": ((4, 1), {}, lambda x, p: x.reshape(4)),
    "ReLU": (SIX, {}, lambda x, p: F.relu(x)),
    "LeakyReLU": (SIX, {}, lambda x, p: F.leaky_relu(x)),
    "LeakyReLU, slope 0": (SIX, {}, lambda x, p: F.leaky_relu(x, 0.0)),
    "LeakyReLU, slope 1.5": (SIX, {}, lambda x, p: F.leaky_relu(x, 1.5)),
    "LeakyReLU, slope below 0": (SIX, {}, lambda x, p: torch.where(x > 0, x, -0.3 * x)),
    "PReLU": (SIX, {"a": (1,)}, lambda x, p: F.prelu(x, p["a"])),
    "PReLU, channels": ((6, 3), {"a": (3,)}, lambda x, p: F.prelu(x, p["a"])),
    "PReLU, channels, more axes": (
        (4, 3, 2, 2),
        {"a": (3,)},
        lambda x, p: F.prelu(x, p["a"]),
    ),
    "PReLU, init": (SIX, {"a": (1,)}, lambda x, p: F.prelu(x, p["a"])),
    "ELU": (SIX, {}, lambda x, p: F.elu(x)),
    "ELU, alpha": (SIX, {}, lambda x, p: F.elu(x, 0.4)),
    "SELU": (SIX, {}, lambda x, p: F.selu(x)),
    "Softplus": (SIX, {}, lambda x, p: F.softplus(x)),
    "Softplus, beta": (SIX, {}, lambda x, p: F.softplus(x, 2.5)),
    "Softplus, threshold": (SIX, {}, lambda x, p: F.softplus(x, 0.5, 0.3)),
    "SiLU": (SIX, {}, lambda x, p: F.silu(x)),
    "GELU": (SIX, {}, lambda x, p: F.gelu(x)),
    "GELU, tanh": (SIX, {}, lambda x, p: F.gelu(x, approximate="tanh")),
    "Mish": (SIX, {}, lambda x, p: F.mish(x)),
    "HardSwish": (SIX, {}, lambda x, p: F.hardswish(x)),
    "Tanh": (SIX, {}, lambda x, p: torch.tanh(x)),
    "Softsign": (SIX, {}, lambda x, p: F.softsign(x)),
    "HardTanh": (SIX, {}, lambda x, p: F.hardtanh(x)),
    "HardTanh, bounds": (SIX, {}, lambda x, p: F.hardtanh(x, -0.5, 2.0)),
    "HardSigmoid": (SIX, {}, lambda x, p: F.hardsigmoid(x)),
    "Sigmoid": (SIX, {}, lambda x, p: torch.sigmoid(x)),
    "LogSigmoid": (SIX, {}, lambda x, p: F.logsigmoid(x)),
    "Softmax": (SIX, {}, lambda x, p: torch.softmax(x, -1)),
    "Softmax, axis 1": ((4, 3, 2), {}, lambda x, p: torch.softmax(x, 1)),
    "LogSoftmax": (SIX, {}, lambda x, p: torch.log_softmax(x, -1)),
    "LogSoftmax, axis 1": ((4, 3, 2), {}, lambda x, p: torch.log_softmax(x, 1)),
    "BatchNorm": ((6, 3), AFFINE, batch_norm),
    "BatchNorm, evaluation": ((6, 3), AFFINE, partial(batch_norm, training=False)),
    "BatchNorm, frozen": ((6, 3), AFFINE, partial(batch_norm, training=False)),
    "BatchNorm, more axes": ((4, 2, 4, 3), AFFINE, batch_norm),
    "BatchNorm, eps, momentum": ((6, 3), AFFINE, partial(batch_norm, eps=0.1, momentum=0.7)),
    "BatchNorm, momentum 0": ((6, 3), AFFINE, partial(batch_norm, momentum=0.0)),
    "LayerNorm": (SIX, WIDE, layer_norm),
    "LayerNorm, more axes": ((3, 4, 2, 3), {"gamma": (2, 3), "beta": (2, 3)}, layer_norm),
    "LayerNorm, eps": (SIX, WIDE, partial(layer_norm, eps=0.1)),
    "Embedding": ((7,), {"W": (4, 3)}, lambda x, p: F.embedding(x, p["W"])),
    "Embedding, large": ((6, 3), {"W": (50, 2)}, lambda x, p: F.embedding(x, p["W"])),
    "Embedding, padding": (
        (5, 2),
        {"W": (4, 3)},
        lambda x, p: F.embedding(x, p["W"], padding_idx=3),
    ),
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
    p = {key: torch.randn(size, requires_grad=True) for key, size in parameters.items()}
    if name in INDICES:
        x = torch.randint(0, INDICES[name], shape)
    else:
        x = (2 * torch.randn(shape)).requires_grad_()
    if name.startswith("BatchNorm"):
        b = {"running_mean": torch.randn(3), "running_var": torch.rand(3) + 0.5}
        for key, value in b.items():
            keep(f"{name}/buffer before/{key}", value)
        y = f(x, p, b)
        for key, value in b.items():
            keep(f"{name}/buffer after/{key}", value)
    else:
        y = f(x, p)
    dy = torch.randn(y.shape)
    y.backward(dy)
    keep(f"{name}/x", x)
    keep(f"{name}/y", y)
    keep(f"{name}/dy", dy)
    if x.grad is not None:
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
    "MeanAbsoluteError": (torch.randn(5, 3), torch.randn(5, 3), lambda p, t: (p - t).abs()),
    "Huber": (
        2 * torch.randn(5, 3),
        torch.randn(5, 3),
        lambda p, t: F.huber_loss(p, t, reduction="none"),
    ),
    "Huber, delta": (
        2 * torch.randn(5, 3),
        torch.randn(5, 3),
        lambda p, t: F.huber_loss(p, t, reduction="none", delta=0.4),
    ),
    "Hinge": (
        2 * torch.randn(5, 3),
        2 * torch.randint(0, 2, (5, 3)).double() - 1,
        lambda p, t: F.relu(1 - t * p),
    ),
    "KLDivergence": (
        torch.log_softmax(torch.randn(6, 4), -1),
        soft(6, 4),
        lambda p, t: F.kl_div(p, t, reduction="none"),
    ),
    "KLDivergence, any targets": (
        torch.randn(6, 4),
        F.relu(2 * torch.randn(6, 4)),
        lambda p, t: F.kl_div(p, t, reduction="none"),
    ),
    "NegativeLogLikelihood": (
        torch.log_softmax(torch.randn(6, 4), -1),
        torch.randint(0, 4, (6,)),
        lambda p, t: F.nll_loss(p, t, reduction="none"),
    ),
    "NegativeLogLikelihood, more axes": (
        torch.log_softmax(torch.randn(3, 5, 4), -1),
        torch.randint(0, 4, (3, 5)),
        lambda p, t: F.nll_loss(classes_last(p), t, reduction="none"),
    ),
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

SGD, ADAM = optim.SGD, optim.Adam
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
    "Adagrad": (optim.Adagrad, {}),
    "Adagrad, lr_decay": (optim.Adagrad, {"lr": 0.1, "lr_decay": 0.2}),
    "Adagrad, weight_decay": (optim.Adagrad, {"lr": 0.1, "weight_decay": 0.1}),
    "Adagrad, all": (
        optim.Adagrad,
        {
            "lr": 0.2,
            "lr_decay": 0.1,
            "weight_decay": 0.1,
            "initial_accumulator_value": 0.5,
            "eps": 1e-3,
        },
    ),
    "Adadelta": (optim.Adadelta, {}),
    "Adadelta, weight_decay": (optim.Adadelta, {"weight_decay": 0.1}),
    "Adadelta, rho of 0": (optim.Adadelta, {"rho": 0.0}),
    "Adadelta, all": (
        optim.Adadelta,
        {"lr": 0.5, "rho": 0.7, "eps": 1e-3, "weight_decay": 0.1},
    ),
    "RMSprop": (optim.RMSprop, {}),
    "RMSprop, alpha of 0": (optim.RMSprop, {"alpha": 0.0}),
    "RMSprop, weight_decay": (optim.RMSprop, {"weight_decay": 0.1}),
    "RMSprop, momentum": (optim.RMSprop, {"lr": 0.05, "momentum": 0.9}),
    "RMSprop, centered": (optim.RMSprop, {"lr": 0.05, "centered": True}),
    "RMSprop, centered, momentum": (
        optim.RMSprop,
        {"lr": 0.05, "centered": True, "momentum": 0.5},
    ),
    "RMSprop, all": (
        optim.RMSprop,
        {
            "lr": 0.1,
            "alpha": 0.8,
            "eps": 1e-3,
            "weight_decay": 0.1,
            "momentum": 0.7,
            "centered": True,
        },
    ),
    "AdamW": (optim.AdamW, {}),
    "AdamW, weight_decay of 0": (optim.AdamW, {"weight_decay": 0.0}),
    "AdamW, amsgrad": (optim.AdamW, {"lr": 0.1, "amsgrad": True}),
    "AdamW, all": (
        optim.AdamW,
        {"lr": 0.05, "betas": (0.8, 0.95), "eps": 1e-3, "weight_decay": 0.2, "amsgrad": True},
    ),
    "Adamax": (optim.Adamax, {}),
    "Adamax, weight_decay": (optim.Adamax, {"lr": 0.1, "weight_decay": 0.1}),
    "Adamax, all": (
        optim.Adamax,
        {"lr": 0.05, "betas": (0.8, 0.95), "eps": 1e-3, "weight_decay": 0.2},
    ),
    "NAdam": (optim.NAdam, {}),
    "NAdam, momentum_decay": (optim.NAdam, {"lr": 0.1, "momentum_decay": 0.1}),
    "NAdam, weight_decay": (optim.NAdam, {"lr": 0.1, "weight_decay": 0.1}),
    "NAdam, decoupled": (
        optim.NAdam,
        {"lr": 0.1, "weight_decay": 0.1, "decoupled_weight_decay": True},
    ),
    "NAdam, all": (
        optim.NAdam,
        {
            "lr": 0.05,
            "betas": (0.8, 0.95),
            "eps": 1e-3,
            "weight_decay": 0.2,
            "momentum_decay": 0.01,
        },
    ),
    "RAdam": (optim.RAdam, {}),
    "RAdam, betas": (optim.RAdam, {"lr": 0.1, "betas": (0.5, 0.9)}),
    "RAdam, betas of 0": (optim.RAdam, {"lr": 0.1, "betas": (0.0, 0.0)}),
    "RAdam, weight_decay": (optim.RAdam, {"lr": 0.1, "weight_decay": 0.1}),
    "RAdam, decoupled": (
        optim.RAdam,
        {"lr": 0.1, "weight_decay": 0.1, "decoupled_weight_decay": True},
    ),
    "RAdam, all": (
        optim.RAdam,
        {"lr": 0.05, "betas": (0.8, 0.95), "eps": 1e-3, "weight_decay": 0.2},
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
