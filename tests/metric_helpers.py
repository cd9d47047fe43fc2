"""What the tests of metrics share: a metric from its call as text, and what it says of batches. The
batches are cut at given rows."""

from __future__ import annotations

import numpy as np

import chainrule as cr

CUTS = [(), (1, 1, 8), (5,), tuple(range(37)), (0, 36)]  # batches may be empty


def make(text):
    """A metric from its call, as the reference names it."""
    return eval(text, vars(cr))


def feed(metric, prediction, target, weight=None, cuts=()):
    """The result over the batches between the cuts."""
    inside = sorted(c for c in cuts if c <= len(prediction))
    metric.reset()
    for rows in np.split(np.arange(len(prediction)), inside):
        metric.update(prediction[rows], target[rows], None if weight is None else weight[rows])
    return metric.result()
