"""The table of cases: every public layer, loss, optimizer and schedule with its options, one row
each. It drives gradient, dtype, layout, composition and reference tests; a class without a row
fails one."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import chainrule as cr


@dataclass(frozen=True)
class LayerCase:
    """A layer, the sizes of its input behind the batch, and how many axes may stand between."""

    make: Callable[[], cr.Layer]
    features: tuple[int, ...]
    max_between: int = 0
    training: bool = True  # the mode of the reference values
    reference: bool = True  # False: random, its values are tested by their statistics
    indices: int = 0  # how many: for layers that take indices, not numbers
    atol: float = 1e-12  # of the reference values

    @property
    def dtype(self) -> str:
        return "int64" if self.indices else "float32"


def two(merge: str) -> cr.Layer:
    extra = [cr.Identity()] if merge == "concat" else []
    return cr.Parallel(
        cr.Dense(3, 2), cr.Sequential(cr.Dense(3, 2), cr.Tanh()), *extra, merge=merge
    )


def frozen(layer: cr.Layer) -> cr.Layer:
    layer.trainable = False
    return layer


def twice() -> cr.Layer:
    dense = cr.Dense(3, 3)
    return cr.Sequential(dense, cr.Tanh(), dense)


LAYERS = {
    "Dense": LayerCase(lambda: cr.Dense(3, 2), (3,), max_between=2),
    "Dense, no bias": LayerCase(lambda: cr.Dense(3, 2, bias=False), (3,), max_between=2),
    "Dense, more axes": LayerCase(lambda: cr.Linear(3, 2), (5, 4, 3)),
    "Identity": LayerCase(cr.Identity, (3,), max_between=2),
    "Flatten": LayerCase(cr.Flatten, (2, 3)),
    "Dropout": LayerCase(lambda: cr.Dropout(0.3), (3,), max_between=2, reference=False),
    "Dropout, evaluation": LayerCase(lambda: cr.Dropout(0.5), (3,), training=False),
    "Dropout, p = 0": LayerCase(lambda: cr.Dropout(0), (3,)),
    "Dropout, p = 1": LayerCase(lambda: cr.Dropout(p=1.0), (3,)),
    "Reshape": LayerCase(lambda: cr.Reshape(3, 2), (6,)),
    "Reshape, -1": LayerCase(lambda: cr.Reshape(-1, 3), (2, 3, 2)),
    "Reshape, to numbers": LayerCase(lambda: cr.Reshape(), (1,)),
    "ReLU": LayerCase(cr.ReLU, (5,), max_between=2),
    "LeakyReLU": LayerCase(cr.LeakyReLU, (5,), max_between=2),
    "LeakyReLU, slope 0": LayerCase(lambda: cr.LeakyReLU(0), (5,)),
    "LeakyReLU, slope 1.5": LayerCase(lambda: cr.LeakyReLU(1.5), (5,)),
    "LeakyReLU, slope below 0": LayerCase(lambda: cr.LeakyReLU(negative_slope=-0.3), (5,)),
    "PReLU": LayerCase(cr.PReLU, (5,), max_between=2),
    "PReLU, channels": LayerCase(lambda: cr.PReLU(3), (3,)),
    "PReLU, channels, more axes": LayerCase(lambda: cr.PReLU(num_parameters=3), (3, 2, 2)),
    "PReLU, init": LayerCase(lambda: cr.PReLU(init=-0.5), (5,)),
    "ELU": LayerCase(cr.ELU, (5,), max_between=2),
    "ELU, alpha": LayerCase(lambda: cr.ELU(alpha=0.4), (5,)),
    "SELU": LayerCase(cr.SELU, (5,), max_between=2),
    "Softplus": LayerCase(cr.Softplus, (5,), max_between=2),
    "Softplus, beta": LayerCase(lambda: cr.Softplus(beta=2.5), (5,)),
    "Softplus, threshold": LayerCase(lambda: cr.Softplus(0.5, threshold=0.3), (5,)),
    "SiLU": LayerCase(cr.SiLU, (5,), max_between=2),
    "GELU": LayerCase(cr.GELU, (5,), max_between=2),
    "GELU, tanh": LayerCase(lambda: cr.GELU(approximate="tanh"), (5,), max_between=2),
    "Mish": LayerCase(cr.Mish, (5,), max_between=2),
    "HardSwish": LayerCase(cr.HardSwish, (5,), max_between=2),
    "Tanh": LayerCase(cr.Tanh, (5,), max_between=2),
    "Softsign": LayerCase(cr.Softsign, (5,), max_between=2),
    "HardTanh": LayerCase(cr.HardTanh, (5,), max_between=2),
    "HardTanh, bounds": LayerCase(lambda: cr.HardTanh(min_val=-0.5, max_val=2.0), (5,)),
    # PyTorch's slope is 1/6 in float32, whatever the dtype
    "HardSigmoid": LayerCase(cr.HardSigmoid, (5,), max_between=2, atol=1e-7),
    "Sigmoid": LayerCase(cr.Sigmoid, (5,), max_between=2),
    "LogSigmoid": LayerCase(cr.LogSigmoid, (5,), max_between=2),
    "Softmax": LayerCase(cr.Softmax, (5,), max_between=2),
    "Softmax, axis 1": LayerCase(lambda: cr.Softmax(axis=1), (3, 2)),
    "LogSoftmax": LayerCase(cr.LogSoftmax, (5,), max_between=2),
    "LogSoftmax, axis 1": LayerCase(lambda: cr.LogSoftmax(axis=1), (3, 2)),
    "BatchNorm": LayerCase(lambda: cr.BatchNorm(3), (3,), max_between=2),
    "BatchNorm, evaluation": LayerCase(lambda: cr.BatchNorm(3), (3,), training=False),
    "BatchNorm, frozen": LayerCase(lambda: frozen(cr.BatchNorm(3)), (3,)),
    "BatchNorm, more axes": LayerCase(lambda: cr.BatchNorm(3), (2, 4, 3)),
    "BatchNorm, eps, momentum": LayerCase(lambda: cr.BatchNorm(3, eps=0.1, momentum=0.7), (3,)),
    "BatchNorm, momentum 0": LayerCase(lambda: cr.BatchNorm(3, momentum=0.0), (3,)),
    "LayerNorm": LayerCase(lambda: cr.LayerNorm(5), (5,), max_between=2),
    "LayerNorm, more axes": LayerCase(lambda: cr.LayerNorm((2, 3)), (4, 2, 3), max_between=1),
    "LayerNorm, eps": LayerCase(lambda: cr.LayerNorm(5, eps=0.1), (5,)),
    "Embedding": LayerCase(lambda: cr.Embedding(4, 3), (), max_between=2, indices=4),
    "Embedding, large": LayerCase(lambda: cr.Embedding(50, 2), (3,), indices=50),
    "Embedding, padding": LayerCase(
        lambda: cr.Embedding(4, 3, padding_idx=3), (2,), max_between=2, indices=3
    ),
    # no layer of PyTorch's; its values are tested in tests/test_standardizer.py
    "Standardizer": LayerCase(lambda: cr.Standardizer(3), (3,), max_between=2, reference=False),
    "Standardizer, fitted": LayerCase(
        lambda: cr.Standardizer(3).fit([[0.5, -3.0, 7.0], [1.5, 2.0, 7.0], [4.0, 3.0, 7.0]]),
        (3,),
        max_between=2,
        reference=False,
    ),
    "Sequential": LayerCase(
        lambda: cr.Sequential(cr.Dense(3, 4), cr.Tanh(), cr.Dense(4, 2)), (3,), max_between=1
    ),
    "Residual": LayerCase(
        lambda: cr.Residual(cr.Dense(3, 5), cr.Tanh(), cr.Dense(5, 3)), (3,), max_between=1
    ),
    "Parallel, add": LayerCase(lambda: two("add"), (3,), max_between=1),
    "Parallel, concat": LayerCase(lambda: two("concat"), (3,), max_between=1),
    "a layer twice": LayerCase(twice, (3,)),
}


@dataclass(frozen=True)
class LossCase:
    """A loss; its prediction and target are those of the reference values."""

    make: Callable[[], cr.losses.Loss]


LOSSES = {
    "MeanSquaredError": LossCase(cr.MeanSquaredError),
    "MeanSquaredError, one axis": LossCase(cr.MeanSquaredError),
    "MeanAbsoluteError": LossCase(cr.MeanAbsoluteError),
    "Huber": LossCase(cr.Huber),
    "Huber, delta": LossCase(lambda: cr.Huber(delta=0.4)),
    "Hinge": LossCase(cr.Hinge),
    "KLDivergence": LossCase(cr.KLDivergence),
    "KLDivergence, any targets": LossCase(cr.KLDivergence),
    "NegativeLogLikelihood": LossCase(cr.NegativeLogLikelihood),
    "NegativeLogLikelihood, more axes": LossCase(cr.NegativeLogLikelihood),
    "BinaryCrossEntropy": LossCase(cr.BinaryCrossEntropy),
    "BinaryCrossEntropy, soft": LossCase(cr.BinaryCrossEntropy),
    "SoftmaxCrossEntropy": LossCase(cr.SoftmaxCrossEntropy),
    "SoftmaxCrossEntropy, soft": LossCase(cr.SoftmaxCrossEntropy),
    "SoftmaxCrossEntropy, more axes": LossCase(cr.SoftmaxCrossEntropy),
    "SoftmaxCrossEntropy, more axes, soft": LossCase(cr.SoftmaxCrossEntropy),
    "SoftmaxCrossEntropy, smoothed": LossCase(lambda: cr.SoftmaxCrossEntropy(0.1)),
    "SoftmaxCrossEntropy, soft, smoothed": LossCase(
        lambda: cr.SoftmaxCrossEntropy(label_smoothing=0.3)
    ),
}

OPTIMIZERS = {
    "SGD": lambda: cr.SGD(0.1),
    "SGD, weight_decay": lambda: cr.SGD(0.1, weight_decay=0.05),
    "SGD, momentum": lambda: cr.SGD(0.1, momentum=0.9),
    "SGD, dampening": lambda: cr.SGD(0.1, momentum=0.9, dampening=0.3),
    "SGD, nesterov": lambda: cr.SGD(0.1, momentum=0.8, nesterov=True),
    "SGD, momentum, dampening, weight_decay": lambda: cr.SGD(0.1, 0.7, 0.5, 0.1),
    "SGD, nesterov, weight_decay": lambda: cr.SGD(0.1, 0.7, weight_decay=0.1, nesterov=True),
    "Adagrad": cr.Adagrad,
    "Adagrad, lr_decay": lambda: cr.Adagrad(0.1, lr_decay=0.2),
    "Adagrad, weight_decay": lambda: cr.Adagrad(0.1, weight_decay=0.1),
    "Adagrad, all": lambda: cr.Adagrad(
        0.2, lr_decay=0.1, weight_decay=0.1, initial_accumulator_value=0.5, eps=1e-3
    ),
    "Adadelta": cr.Adadelta,
    "Adadelta, weight_decay": lambda: cr.Adadelta(weight_decay=0.1),
    "Adadelta, rho of 0": lambda: cr.Adadelta(rho=0.0),
    "Adadelta, all": lambda: cr.Adadelta(0.5, rho=0.7, eps=1e-3, weight_decay=0.1),
    "RMSprop": cr.RMSprop,
    "RMSprop, alpha of 0": lambda: cr.RMSprop(alpha=0.0),
    "RMSprop, weight_decay": lambda: cr.RMSprop(weight_decay=0.1),
    "RMSprop, momentum": lambda: cr.RMSprop(0.05, momentum=0.9),
    "RMSprop, centered": lambda: cr.RMSprop(0.05, centered=True),
    "RMSprop, centered, momentum": lambda: cr.RMSprop(0.05, centered=True, momentum=0.5),
    "RMSprop, all": lambda: cr.RMSprop(
        0.1, alpha=0.8, eps=1e-3, weight_decay=0.1, momentum=0.7, centered=True
    ),
    "AdamW": cr.AdamW,
    "AdamW, weight_decay of 0": lambda: cr.AdamW(weight_decay=0.0),
    "AdamW, amsgrad": lambda: cr.AdamW(0.1, amsgrad=True),
    "AdamW, all": lambda: cr.AdamW(
        0.05, betas=(0.8, 0.95), eps=1e-3, weight_decay=0.2, amsgrad=True
    ),
    "Adamax": cr.Adamax,
    "Adamax, weight_decay": lambda: cr.Adamax(0.1, weight_decay=0.1),
    "Adamax, all": lambda: cr.Adamax(0.05, betas=(0.8, 0.95), eps=1e-3, weight_decay=0.2),
    "NAdam": cr.NAdam,
    "NAdam, momentum_decay": lambda: cr.NAdam(0.1, momentum_decay=0.1),
    "NAdam, weight_decay": lambda: cr.NAdam(0.1, weight_decay=0.1),
    "NAdam, decoupled": lambda: cr.NAdam(0.1, weight_decay=0.1, decoupled_weight_decay=True),
    "NAdam, all": lambda: cr.NAdam(
        0.05, betas=(0.8, 0.95), eps=1e-3, weight_decay=0.2, momentum_decay=0.01
    ),
    "RAdam": cr.RAdam,
    "RAdam, betas": lambda: cr.RAdam(0.1, betas=(0.5, 0.9)),
    "RAdam, betas of 0": lambda: cr.RAdam(0.1, betas=(0.0, 0.0)),
    "RAdam, weight_decay": lambda: cr.RAdam(0.1, weight_decay=0.1),
    "RAdam, decoupled": lambda: cr.RAdam(0.1, weight_decay=0.1, decoupled_weight_decay=True),
    "RAdam, all": lambda: cr.RAdam(0.05, betas=(0.8, 0.95), eps=1e-3, weight_decay=0.2),
    "Adam": cr.Adam,
    "Adam, lr": lambda: cr.Adam(0.1),
    "Adam, betas": lambda: cr.Adam(0.1, betas=(0.5, 0.9)),
    "Adam, betas of 0": lambda: cr.Adam(0.1, betas=(0.0, 0.0)),
    "Adam, eps": lambda: cr.Adam(0.1, eps=0.1),
    "Adam, weight_decay": lambda: cr.Adam(0.1, weight_decay=0.1),
    "Adam, amsgrad": lambda: cr.Adam(0.1, amsgrad=True),
    "Adam, all": lambda: cr.Adam(0.05, betas=(0.8, 0.95), eps=1e-3, weight_decay=0.2, amsgrad=True),
}

SCHEDULES = {
    "StepDecay": lambda: cr.StepDecay(0.1, 30),
    "StepDecay, gamma": lambda: cr.StepDecay(0.7, 7, gamma=0.5),
    "StepDecay, step_size of 1": lambda: cr.StepDecay(0.7, step_size=1, gamma=0.9),
    "StepDecay, gamma of 0": lambda: cr.StepDecay(0.7, 7, 0),
    "ExponentialDecay": lambda: cr.ExponentialDecay(0.1, 0.95),
    "ExponentialDecay, steps": lambda: cr.ExponentialDecay(0.3, 0.1, steps=20),
    "ExponentialDecay, gamma of 1": lambda: cr.ExponentialDecay(0.3, gamma=1),
    "CosineDecay": lambda: cr.CosineDecay(0.1, 50),
    "CosineDecay, final": lambda: cr.CosineDecay(0.5, 50, final=0.02),
    "CosineDecay, steps of 1": lambda: cr.CosineDecay(0.1, steps=1, final=0.02),
    "OneCycle": lambda: cr.OneCycle(0.4, 100),
    "OneCycle, linear": lambda: cr.OneCycle(0.4, 100, anneal="linear"),
    "OneCycle, all": lambda: cr.OneCycle(
        0.9, 37, pct_start=0.41, div_factor=7.0, final_div_factor=33.0, anneal="linear"
    ),
    "OneCycle, up alone": lambda: cr.OneCycle(0.4, 30, pct_start=1),
    "OneCycle, down alone": lambda: cr.OneCycle(0.4, 30, pct_start=0),
    "OneCycle, steps of 1": lambda: cr.OneCycle(0.4, steps=1),
    "OneCycle, steps of 5": lambda: cr.OneCycle(0.4, 5),
    "LinearWarmup": lambda: cr.LinearWarmup(0.2, 10),
    "LinearWarmup, steps of 1": lambda: cr.LinearWarmup(cr.StepDecay(0.2, 2), 1, 0.25),
    "LinearWarmup, StepDecay": lambda: cr.LinearWarmup(cr.StepDecay(0.2, 9), 10, start_factor=0.1),
    "LinearWarmup, CosineDecay": lambda: cr.LinearWarmup(
        cr.CosineDecay(0.2, 40, 0.01), steps=10, start_factor=1 / 3
    ),
}
