"""What a picture of a network shows, as plain arrays: NumPy alone computes them.

Each function returns a named tuple of arrays, and the function of the same name in
`chainrule.plots` draws it.
"""

from .functions import (
    Activation,
    Regions,
    activation,
    confusion_matrix,
    decision_regions,
)
from .landscapes import Surface, loss_landscape, loss_surface
from .layers import Histograms, Network, histograms, network, weight_images
from .runs import GradientVariance, Race, gradient_variance, race

__all__ = [
    "Activation",
    "GradientVariance",
    "Histograms",
    "Network",
    "Race",
    "Regions",
    "Surface",
    "activation",
    "confusion_matrix",
    "decision_regions",
    "gradient_variance",
    "histograms",
    "loss_landscape",
    "loss_surface",
    "network",
    "race",
    "weight_images",
]
