"""chainrule: deep learning that you can read, on NumPy alone.

Every layer is a forward formula and a backward formula on plain arrays; an engine of a few lines
chains them.
"""

from . import datasets, initializers, inspection, plots, tables
from .callbacks import (
    Callback,
    Checkpoint,
    CSVLogger,
    EarlyStopping,
    LambdaCallback,
    ProgressBar,
    ReduceLROnPlateau,
    TerminateOnNaN,
)
from .errors import DivergenceError, GradientError
from .gradcheck import gradcheck, numerical_gradient
from .history import History
from .layer import Layer, register_layer
from .layers.activations import HardSigmoid, HardTanh, Softsign, Tanh
from .layers.containers import Parallel, Residual, Sequential
from .layers.dense import Dense, Linear
from .layers.dropout import Dropout
from .layers.embedding import Embedding
from .layers.gates import GELU, HardSwish, Mish, SiLU
from .layers.normalization import BatchNorm, LayerNorm
from .layers.probabilities import LogSigmoid, LogSoftmax, Sigmoid, Softmax
from .layers.rectifiers import ELU, SELU, LeakyReLU, PReLU, ReLU, Softplus
from .layers.reshape import Flatten, Identity, Reshape
from .layers.standardizer import Standardizer
from .losses import (
    BinaryCrossEntropy,
    Hinge,
    Huber,
    KLDivergence,
    MeanAbsoluteError,
    MeanSquaredError,
    NegativeLogLikelihood,
    SoftmaxCrossEntropy,
)
from .metrics import (
    F1,
    R2,
    ROCAUC,
    Accuracy,
    BinaryAccuracy,
    ConfusionMatrix,
    Precision,
    Recall,
    RootMeanSquaredError,
    TopKAccuracy,
)
from .model import Model
from .numerics import sigmoid, softmax
from .optimizers import (
    SGD,
    Adadelta,
    Adagrad,
    Adam,
    Adamax,
    AdamW,
    NAdam,
    RAdam,
    RMSprop,
)
from .preparation import one_hot, split
from .rate_finder import find_lr
from .schedules import CosineDecay, ExponentialDecay, LinearWarmup, OneCycle, StepDecay

__version__ = "0.1.0"

__all__ = [
    "ELU",
    "F1",
    "GELU",
    "R2",
    "ROCAUC",
    "SELU",
    "SGD",
    "Accuracy",
    "Adadelta",
    "Adagrad",
    "Adam",
    "AdamW",
    "Adamax",
    "BatchNorm",
    "BinaryAccuracy",
    "BinaryCrossEntropy",
    "CSVLogger",
    "Callback",
    "Checkpoint",
    "ConfusionMatrix",
    "CosineDecay",
    "Dense",
    "DivergenceError",
    "Dropout",
    "EarlyStopping",
    "Embedding",
    "ExponentialDecay",
    "Flatten",
    "GradientError",
    "HardSigmoid",
    "HardSwish",
    "HardTanh",
    "Hinge",
    "History",
    "Huber",
    "Identity",
    "KLDivergence",
    "LambdaCallback",
    "Layer",
    "LayerNorm",
    "LeakyReLU",
    "Linear",
    "LinearWarmup",
    "LogSigmoid",
    "LogSoftmax",
    "MeanAbsoluteError",
    "MeanSquaredError",
    "Mish",
    "Model",
    "NAdam",
    "NegativeLogLikelihood",
    "OneCycle",
    "PReLU",
    "Parallel",
    "Precision",
    "ProgressBar",
    "RAdam",
    "RMSprop",
    "ReLU",
    "Recall",
    "ReduceLROnPlateau",
    "Reshape",
    "Residual",
    "RootMeanSquaredError",
    "Sequential",
    "SiLU",
    "Sigmoid",
    "Softmax",
    "SoftmaxCrossEntropy",
    "Softplus",
    "Softsign",
    "Standardizer",
    "StepDecay",
    "Tanh",
    "TerminateOnNaN",
    "TopKAccuracy",
    "datasets",
    "find_lr",
    "gradcheck",
    "initializers",
    "inspection",
    "numerical_gradient",
    "one_hot",
    "plots",
    "register_layer",
    "sigmoid",
    "softmax",
    "split",
    "tables",
]
