"""Pictures of what `chainrule.inspection` and training have computed, drawn with matplotlib.

Every function draws on the `ax` it is given, or on a new one, and returns it. matplotlib, an extra,
is imported only when something is drawn.
"""

from .curves import (
    activation,
    find_lr,
    gradient_variance,
    learning_rates,
    race,
    spread,
    training_curves,
)
from .layers import confusion_matrix, histograms, network, weight_images
from .planes import decision_regions, loss_landscape, loss_surface
from .style import save, style

__all__ = [
    "activation",
    "confusion_matrix",
    "decision_regions",
    "find_lr",
    "gradient_variance",
    "histograms",
    "learning_rates",
    "loss_landscape",
    "loss_surface",
    "network",
    "race",
    "save",
    "spread",
    "style",
    "training_curves",
    "weight_images",
]
