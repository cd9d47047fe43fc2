"""Callbacks: what happens beside training, at its hooks. The names of the hooks are Keras'.

A callback sees the model, the optimizer and the run's plan; it ends training by setting
`self.model.stop_training`.
"""

from .base import Callback, LambdaCallback, TerminateOnNaN, looks_at_batches
from .checkpoint import Checkpoint
from .early_stopping import EarlyStopping
from .logs import CSVLogger
from .plateau import ReduceLROnPlateau
from .progress import ProgressBar, check_callbacks

__all__ = [
    "CSVLogger",
    "Callback",
    "Checkpoint",
    "EarlyStopping",
    "LambdaCallback",
    "ProgressBar",
    "ReduceLROnPlateau",
    "TerminateOnNaN",
    "check_callbacks",
    "looks_at_batches",
]
