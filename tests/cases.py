"""The table of cases: every public layer, loss and optimizer with its options, one row each. It
drives gradient, dtype, layout, composition and reference tests; a class without a row fails one."""

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


def two(merge: str) -> cr.Layer:
    extra = [cr.Identity()] if merge == "concat" else []
    return cr.Parallel(
        cr.Dense(3, 2), cr.Sequential(cr.Dense(3, 2), cr.Tanh()), *extra, merge=merge
    )


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
    "ReLU": LayerCase(cr.ReLU, (5,), max_between=2),
    "Sigmoid": LayerCase(cr.Sigmoid, (5,), max_between=2),
    "Tanh": LayerCase(cr.Tanh, (5,), max_between=2),
    "Softmax": LayerCase(cr.Softmax, (5,), max_between=2),
    "Softmax, axis 1": LayerCase(lambda: cr.Softmax(axis=1), (3, 2)),
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
    "Adam": cr.Adam,
    "Adam, lr": lambda: cr.Adam(0.1),
    "Adam, betas": lambda: cr.Adam(0.1, betas=(0.5, 0.9)),
    "Adam, betas of 0": lambda: cr.Adam(0.1, betas=(0.0, 0.0)),
    "Adam, eps": lambda: cr.Adam(0.1, eps=0.1),
    "Adam, weight_decay": lambda: cr.Adam(0.1, weight_decay=0.1),
    "Adam, amsgrad": lambda: cr.Adam(0.1, amsgrad=True),
    "Adam, all": lambda: cr.Adam(0.05, betas=(0.8, 0.95), eps=1e-3, weight_decay=0.2, amsgrad=True),
}
