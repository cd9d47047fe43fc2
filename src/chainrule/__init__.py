"""chainrule: deep learning that you can read, on NumPy alone.

Every layer is a forward formula and a backward formula on plain arrays; an engine of a few lines
chains them.
"""

from . import datasets, initializers
from .callbacks import Callback, EarlyStopping, ProgressBar
from .errors import DivergenceError, GradientError
from .gradcheck import gradcheck, numerical_gradient
from .layer import Layer, register_layer
from .layers.activations import Identity, ReLU, Sigmoid, Softmax, Tanh
from .layers.containers import Parallel, Residual, Sequential
from .layers.dense import Dense, Linear
from .layers.dropout import Dropout
from .layers.reshape import Flatten
from .losses import BinaryCrossEntropy, MeanSquaredError, SoftmaxCrossEntropy
from .metrics import Accuracy, BinaryAccuracy
from .model import Model
from .numerics import sigmoid, softmax
from .optimizers import SGD, Adam
from .training import History

__version__ = "0.1.0"

__all__ = [
    "SGD",
    "Accuracy",
    "Adam",
    "BinaryAccuracy",
    "BinaryCrossEntropy",
    "Callback",
    "Dense",
    "DivergenceError",
    "Dropout",
    "EarlyStopping",
    "Flatten",
    "GradientError",
    "History",
    "Identity",
    "Layer",
    "Linear",
    "MeanSquaredError",
    "Model",
    "Parallel",
    "ProgressBar",
    "ReLU",
    "Residual",
    "Sequential",
    "Sigmoid",
    "Softmax",
    "SoftmaxCrossEntropy",
    "Tanh",
    "datasets",
    "gradcheck",
    "initializers",
    "numerical_gradient",
    "register_layer",
    "sigmoid",
    "softmax",
]
