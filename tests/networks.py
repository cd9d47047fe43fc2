"""Random networks of all public layers, drawn by hypothesis from the table of cases: chains and
nestings several levels deep, shared and frozen layers, indices, and inputs of every kind."""

from __future__ import annotations

import copy
import math
from dataclasses import dataclass

import numpy as np
from cases import LAYERS
from hypothesis import strategies as st

import chainrule as cr
from chainrule.parameters import unique
from chainrule.testing import LAYOUTS, in_layout

DEPTH = 3  # levels of containers
LARGE = 30  # numbers in a sample: a larger one is led through a Dense
INDICES = [row for row in LAYERS.values() if row.indices]
NUMBERS = {}  # rows by their class, each of which is drawn as often as others
for row in LAYERS.values():
    if not row.indices:
        NUMBERS.setdefault(type(row.make()), []).append(row)
INITS = (cr.initializers.he_normal, cr.initializers.glorot_uniform, cr.initializers.orthogonal)

# Layers that are made to the measure of their input, of `last` features; `m` is drawn.
SIZED = {
    "Dense": lambda last, m: cr.Dense(last, m),
    "Linear": lambda last, m: cr.Linear(last, m, bias=False),
    "Dense, init": lambda last, m: cr.Dense(last, m, init=INITS[m % 3]),
    "BatchNorm": lambda last, m: cr.BatchNorm(last, momentum=0.3),
    "LayerNorm": lambda last, m: cr.LayerNorm(last),
}


@dataclass(frozen=True)
class Case:
    """Layers in a chain, and an input for them: n samples of a shape, of a dtype, in a layout."""

    layers: tuple[cr.Layer, ...]
    features: tuple[int, ...]
    indices: int  # how many, where the input is indices
    n: int
    seed: int
    dtype: str  # of the input; ">f4" is big-endian
    layout: str
    precision: str  # of the model, where both are promised to work

    def model(self, dtype: str = "float64") -> cr.Model:
        """A new model each time, its parameters and buffers moved off their zeros and ones."""
        model = cr.Model(*copy.deepcopy(self.layers), seed=self.seed, dtype=dtype)
        rng = np.random.default_rng([self.seed, 1])
        model.parameters += 0.3 * rng.standard_normal(model.num_parameters)
        for name, buffer in model.named_buffers().items():
            spread = rng.random(buffer.shape)
            buffer += spread if name.endswith("var") else spread - 0.5
        return model

    def values(self, n: int | None = None, number: int = 0) -> np.ndarray:
        """n samples, in C order."""
        rng = np.random.default_rng([self.seed, 2, number])
        shape = (self.n if n is None else n, *self.features)
        if self.indices:
            return rng.integers(0, self.indices, shape)
        return rng.standard_normal(shape)

    def x(self) -> np.ndarray:
        """The input as it was drawn: in its dtype and layout."""
        return in_layout(self.values().astype(self.dtype), self.layout)

    def targets(self, y: np.ndarray) -> np.ndarray:
        rng = np.random.default_rng([self.seed, 3])
        return rng.standard_normal(y.shape).astype(y.dtype)


class _Builder:
    """Draws pieces of a chain, each with the shape behind it; a piece is a list of layers."""

    def __init__(self, draw):
        self.draw = draw
        self.made = []  # finished layers, which may stand again, and the shapes before them

    def whole(self, low, high):
        return self.draw(st.integers(low, high))

    def one_of(self, values):
        return self.draw(st.sampled_from(values))

    def chain(self, shape, depth, low=1, high=4):
        layers = []
        for _ in range(self.whole(low, high)):
            piece, shape = self.piece(shape, depth)
            layers += piece
        return layers, shape

    def piece(self, shape, depth):
        if math.prod(shape) > LARGE:
            return adapted(shape, (self.whole(1, 4),))
        kinds = ["row", "row", "row", "sized", "again", "again"]
        kinds += ["Sequential", "Residual", "add", "concat"] if depth else []
        kind = self.one_of(kinds)
        if kind == "row":
            return self.row(shape, self.one_of(NUMBERS[self.one_of([*NUMBERS])]))
        if kind == "sized" and shape:
            name = self.one_of([*SIZED])
            return self.finish([], SIZED[name](shape[-1], self.whole(1, 4)), shape)
        if kind == "again" and self.made:
            learning = [one for one in self.made if one[0].learns]
            layer, wanted = self.one_of(learning or self.made)
            before, _ = adapted(shape, wanted)
            return [*before, layer], layer.output_shape(wanted)
        if kind in ("Sequential", "Residual", "add", "concat"):
            return self.container(kind, shape, depth - 1)
        return self.row(shape, LAYERS["Tanh"])

    def row(self, shape, row):
        """A row of the table, behind what gives it the shape that it needs."""
        layer, before = row.make(), []
        if not fits(layer, shape):
            before, shape = adapted(shape, row.features)
        return self.finish(before, layer, shape)

    def finish(self, before, layer, shape):
        if self.whole(0, 9) == 9:
            layer.trainable = False
        self.made.append((layer, shape))
        return [*before, layer], layer.output_shape(shape)

    def container(self, kind, shape, depth):
        if kind == "Sequential":
            layers, _ = self.chain(shape, depth, low=0)
            return self.finish([], cr.Sequential(*layers), shape)
        if kind == "Residual":
            layers, after = self.chain(shape, depth, high=3)
            return self.finish([], cr.Residual(*layers, *adapted(after, shape)[0]), shape)
        branches, wanted = [], None
        before, shape = adapted(shape, shape or (2,))
        for _ in range(self.whole(1, 3)):
            layers, after = self.chain(shape, depth, low=0, high=2)
            if wanted is None:
                layers, wanted = layers + adapted(after, after or (1,))[0], after or (1,)
            else:
                last = self.whole(1, 4) if kind == "concat" else wanted[-1]
                layers += adapted(after, (*wanted[:-1], last))[0]
            alone = len(layers) == 1 and self.whole(0, 1)
            branches.append(layers[0] if alone else cr.Sequential(*layers))
        return self.finish(before, cr.Parallel(*branches, merge=kind), shape)

    def front(self):
        """An embedding, or several side by side, perhaps behind layers that move the indices."""
        row = self.one_of(INDICES)
        features = self.one_of([(), (2,), (3, 2)])
        shape, layers = features, []
        for _ in range(self.whole(0, 2)):
            mover = self.one_of(
                [cr.Identity(), cr.Flatten(), cr.Reshape(-1, 1), cr.Sequential(cr.Identity())]
            )
            layers.append(mover)
            shape = mover.output_shape(shape)
        table = row.make()
        if self.whole(0, 2) == 2:
            other = table if self.whole(0, 1) else row.make()
            table = cr.Parallel(table, other, merge=self.one_of(["add", "concat"]))
        layer, shape = self.finish([], table, shape)
        self.made.clear()  # a table cannot stand behind layers that compute
        return layers + layer, shape, features, row.indices


def fits(layer, shape):
    """Whether a layer takes samples of a shape."""
    try:
        layer.output_shape(shape)
    except ValueError:
        return False
    return not any(inner.takes_indices for inner in (layer, *layer.children))


def adapted(shape, wanted):
    """Layers that lead from samples of one shape to another, and that shape; none if equal."""
    if shape == wanted:
        return [], shape
    if shape and wanted and shape[:-1] == wanted[:-1]:
        return [cr.Dense(shape[-1], wanted[-1])], wanted
    size = math.prod(wanted)
    layers = [cr.Flatten(), cr.Dense(math.prod(shape), size)]
    return (layers if len(wanted) == 1 else [*layers, cr.Reshape(*wanted)]), wanted


@st.composite
def cases(draw):
    """Draw a network with an input for it."""
    build, front, indices = _Builder(draw), [], 0
    features = draw(st.lists(st.integers(1, 4), max_size=3).map(tuple))
    shape = features
    if draw(st.integers(0, 4)) == 4:
        front, shape, features, indices = build.front()
    layers, _ = build.chain(shape, DEPTH, high=5)
    if not cr.Sequential(*front, *layers).layers:  # as Sequential(Sequential())
        layers = [cr.Identity()]
    dtypes = ("int64", "uint8", ">i4") if indices else ("float32", "float64", ">f4", ">f8")
    return Case(
        (*front, *layers),
        features,
        indices,
        n=draw(st.sampled_from([4, 1, 0, 2, 3, 7])),
        seed=draw(st.integers(0, 2**32 - 1)),
        dtype=draw(st.sampled_from(dtypes)),
        layout=draw(st.sampled_from(LAYOUTS)),
        precision=draw(st.sampled_from(["float32", "float64"])),
    )


def generators(model):
    """The states of all generators of a model."""
    parts = [model.shuffle_rng, *(layer.rng for layer in unique(model.layers).values())]
    return [rng.bit_generator.state for rng in parts]
