"""Metrics: what people want to know of a model besides its loss. Each is streaming and exact: it is
fed batch after batch, of any sizes, and gives the figure of all rows together."""

from .accuracy import Accuracy, BinaryAccuracy, TopKAccuracy
from .base import LossMetric, Metric, as_metric
from .confusion import F1, ConfusionMatrix, Precision, Recall
from .ranking import ROCAUC
from .regression import R2, RootMeanSquaredError

__all__ = [
    "F1",
    "R2",
    "ROCAUC",
    "Accuracy",
    "BinaryAccuracy",
    "ConfusionMatrix",
    "LossMetric",
    "Metric",
    "Precision",
    "Recall",
    "RootMeanSquaredError",
    "TopKAccuracy",
    "as_metric",
]
