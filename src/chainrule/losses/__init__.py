"""Losses: how wrong a prediction is, as one number, and which way each entry of it should move.
Each is called as ``value, dprediction = loss(prediction, target, sample_weight=None)``."""

from .base import Loss
from .classification import (
    BinaryCrossEntropy,
    Hinge,
    KLDivergence,
    NegativeLogLikelihood,
    SoftmaxCrossEntropy,
)
from .regression import Huber, MeanAbsoluteError, MeanSquaredError

__all__ = [
    "BinaryCrossEntropy",
    "Hinge",
    "Huber",
    "KLDivergence",
    "Loss",
    "MeanAbsoluteError",
    "MeanSquaredError",
    "NegativeLogLikelihood",
    "SoftmaxCrossEntropy",
]
