"""Random networks of all public layers, nested, shared, frozen, must do what each layer alone is
promised to do. Every property has another source: differences, a flat chain, single rows."""

from __future__ import annotations

import copy
import pickle
import random
import re
import tempfile
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, seed, settings
from networks import cases, generators
from test_table import public

import chainrule as cr
from chainrule.layers.containers import chain_shape, compatible
from chainrule.parameters import unique, walk
from chainrule.testing import LAYOUTS, cotangent

same = np.testing.assert_array_equal


def close(one, other, scale=None):
    """Equal but for round-off, in float64: norms of nearly constant values make it larger."""
    scale = np.abs(other).max(initial=1.0) if scale is None else scale
    np.testing.assert_allclose(one, other, rtol=0, atol=1e-8 * scale)


class Whole(cr.Sequential):
    """A Sequential that is not taken apart, for it is a class of its own."""


# ---- the properties: each takes a case ----------------------------------------------------------


def gradient_is_the_slope(case):
    """Return the worst relative error, None where there is none.

    No one step length is right for all: some networks bend sharply, and the outputs of others are
    so large that their rounding hides short steps. One length or another must agree.
    """
    model = case.model()
    if not case.n or (case.indices and not any(layer.learns for layer in model.layers)):
        return None  # there is nothing to compare
    worst = 0.0
    for training in (True, False):
        errors, failure = [], None
        for eps in (1e-6, 1e-5, 1e-4, 1e-7, 1e-8):
            try:
                errors.append(
                    cr.gradcheck(model, case.values(), training=training, eps=eps, max_elements=12)
                )
            except cr.GradientError as error:
                failure = error
            if errors and errors[-1] < 1e-7:
                break
        if not errors:
            raise failure
        worst = max(worst, min(errors))
    return worst


def nested_is_flat(case):
    def group(layers, kind, depth=3):
        if depth == 0 or len(layers) < 2:
            return list(layers)
        i = rng.randrange(len(layers) + 1)
        parts = [part for part in (layers[:i], layers[i:]) if part]
        return [kind(*group(part, kind, depth - 1)) for part in parts]

    rng = random.Random(case.seed)
    flat, x = case.model(), case.values()
    for kind in (cr.Sequential, Whole):
        layers = group(copy.deepcopy(flat.layers), kind)
        nested = cr.Model(*layers, seed=1, dtype="float64")
        leaves = [
            [layer for layer in unique(model.layers).values() if type(layer) is not Whole]
            for model in (flat, nested)
        ]
        nested.parameters = flat.parameters
        for one, other in zip(*leaves, strict=True):
            other.rng.bit_generator.state = one.rng.bit_generator.state
        for one, other in zip(
            flat.named_buffers().values(), nested.named_buffers().values(), strict=True
        ):
            other[...] = one
        results = []
        for model in (copy.deepcopy(flat), nested):
            prediction = model(x)
            y, caches = model.forward(x, training=True)
            dx = model.backward(cotangent(y), caches)
            buffers = list(model.named_buffers().values())
            results.append(
                [prediction, y, model.gradients, *buffers, *([] if dx is None else [dx])]
            )
        for one, other in zip(*results, strict=True):
            same(other, one)
        if kind is cr.Sequential:
            assert repr(nested) == repr(flat)


def files_and_copies_hold_every_bit(case):
    model, x = case.model(case.precision), case.x()
    model.gradients[:] = 5
    y = model(x)
    with tempfile.TemporaryDirectory() as folder:
        model.save(Path(folder) / "model")
        loaded = cr.Model.load(Path(folder) / "model")
    copies = [copy.deepcopy(model), copy.copy(model), pickle.loads(pickle.dumps(model))]
    for other in (loaded, *copies):
        assert type(other) is cr.Model
        assert other.dtype == model.dtype
        assert other.seed == model.seed
        same(other.parameters, model.parameters)
        assert not np.shares_memory(other.parameters, model.parameters)
        for one, two in zip(states(model), states(other), strict=True):
            assert one[0] == two[0]
            assert one[1].dtype == two[1].dtype
            same(two[1], one[1])
        assert frozen(other) == frozen(model)
        assert sharing(other) == sharing(model)
        same(other(x), y)
    assert repr(loaded) == re.sub(r", init=\w+", "", repr(model))
    assert generators(loaded) == from_seed(case.seed, model)
    for other in copies:
        assert repr(other) == repr(model)
        assert generators(other) == generators(model)
        same(other.gradients, model.gradients)


def states(model):
    return list(model.state_dict().items())


def from_seed(number, model):
    """The generators of a model that has drawn nothing: a child of the seed for each position."""
    positions = [layer for _, layer in walk(model.layers)]
    _, shuffle, *children = np.random.SeedSequence(number).spawn(2 + len(positions))
    first = [positions.index(layer) for layer in unique(model.layers).values()]
    chosen = [shuffle, *(children[i] for i in first)]
    return [np.random.default_rng(child).bit_generator.state for child in chosen]


def frozen(model):
    return [layer._trainable for _, layer in walk(model.layers)]


def sharing(model):
    """For each position, the first at which its layer stands."""
    positions = [id(layer) for _, layer in walk(model.layers)]
    return [positions.index(one) for one in positions]


def a_batch_is_its_rows(case):
    """But for round-off: BLAS sums in another order for other sizes of a matrix."""
    model, x = case.model(), case.values()
    y = model(x)
    scale = np.abs(y).max(initial=1.0)
    for i in range(case.n):
        close(model(x[i : i + 1])[0], y[i], scale)
    same(model.predict(x), y)


def order_of_the_batch_does_not_matter(case):
    """Predictions are permuted, and a mean loss has the same gradient, but for round-off."""
    if not case.n:
        return
    model, x, loss = case.model(), case.values(), cr.MeanSquaredError()
    order = np.random.default_rng(case.seed).permutation(case.n)
    close(model(x[order]), model(x)[order])
    before = generators(model)
    copy.deepcopy(model).forward(x, training=True)
    trial = copy.deepcopy(model)
    trial.forward(x, training=True)
    training = generators(trial) == before  # otherwise each place has noise of its own
    t = case.targets(model(x))
    results = []
    for rows in (np.arange(case.n), order):
        own = copy.deepcopy(model)
        y, caches = own.forward(x[rows], training=training)
        value, dy = loss(y, t[rows])
        own.backward(dy, caches)
        results.append((value, own.gradients, *own.named_buffers().values()))
    for one, other in zip(*results, strict=True):
        close(other, one)


def layout_and_byte_order_do_not_matter(case):
    model, x = case.model(), case.x()
    plain = np.ascontiguousarray(x, x.dtype.newbyteorder("="))
    ys, caches = zip(*(model.forward(part, training=False) for part in (plain, x)), strict=True)
    close(ys[1], ys[0])
    results = []
    for cache in caches:
        dx = model.backward(cotangent(ys[0]), cache)
        results.append([model.gradients.copy(), *([] if dx is None else [dx])])
    for one, other in zip(*results, strict=True):
        close(other, one)


def nothing_given_is_changed_and_dtypes_stay(case):
    model, x = case.model(case.precision), case.x()
    before = x.copy()
    y, caches = model.forward(x, training=True)
    y_before, dy = y.copy(), cotangent(y)
    dy.setflags(write=False)
    dx = model.backward(dy, caches)
    same(x, before)
    same(y, y_before)
    same(dy, cotangent(y))
    assert (dx is None) == bool(case.indices)
    arrays = [y, model(x), model.predict(x), model.parameters, model.gradients]
    arrays += [y for y in model.activations(x) if y.dtype.kind != "i"]  # moved indices
    arrays += model.named_buffers().values()
    arrays += [] if dx is None else [dx]
    assert {array.dtype for array in arrays} == {np.dtype(case.precision)}
    assert all(np.isfinite(array).all() for array in arrays)
    if dx is not None:
        assert dx.shape == x.shape
    if not case.n:
        assert not model.gradients.any()
        for one, other in zip(states(case.model(case.precision)), states(model), strict=True):
            same(other[1], one[1])


def shapes_are_as_told(case):
    model, x = case.model(case.precision), case.x()
    shape = x.shape[1:]
    for layer, y in zip(model.layers, model.activations(x), strict=True):
        shape = layer.output_shape(shape)
        assert y.shape == (case.n, *shape)
    assert model(x).shape == (case.n, *shape)
    assert compatible(chain_shape(model.layers, (...,)), shape)
    model.summary()


def passes_may_cross(case):
    """Two forwards, an evaluation, then two backwards: as each by itself; and without dx."""
    model = case.model()
    xs = [case.values(n, number) for number, n in enumerate((case.n, 3))]
    alone, crossed = copy.deepcopy(model), copy.deepcopy(model)
    expected = []
    for x in xs:
        y, caches = alone.forward(x, training=True)
        dx = alone.backward(cotangent(y), caches)
        expected.append((y, dx, alone.gradients.copy()))
    passes = [crossed.forward(x, training=True) for x in xs]
    crossed(xs[0])
    for i in (0, 1, 0):  # a cache is not used up
        y, caches = passes[i]
        same(y, expected[i][0])
        for need_dx in (True, False):
            crossed.gradients[:] = 7
            dx = crossed.backward(cotangent(y), caches, need_dx=need_dx)
            same(crossed.gradients, expected[i][2])
            if need_dx and dx is not None:
                same(dx, expected[i][1])


def what_is_frozen_stays(case):
    model, x = case.model(), case.values(5)
    y, caches = model.forward(x, training=True)
    model.gradients[:] = 7
    model.backward(cotangent(y), caches)
    before, gradients = model.state_dict(), model.named_gradients()
    loss = cr.MeanSquaredError()
    optimizer = cr.Adam(0.01, weight_decay=0.1)
    model.fit(x, case.targets(y), loss=loss, optimizer=optimizer, epochs=1, batch_size=2, l1=0.1,
              verbose=0)  # fmt: skip
    after = model.state_dict()
    for name, layer in unique(model.layers).items():
        for key in layer.parameter_shapes:
            if not layer._trainable:
                assert not gradients[name + key].any()
                same(after[name + key], before[name + key])
            elif before[name + key].any():
                assert (after[name + key] != before[name + key]).any()
        for key in layer.own_buffers():
            if not layer._trainable:
                same(after[name + key], before[name + key])


def repr_makes_it_again(case):
    model = case.model(case.precision)
    again = eval(repr(model), {**vars(cr), **vars(cr.initializers)})
    assert repr(again) == repr(model)
    assert [type(layer) for _, layer in walk(again.layers)] == [
        type(layer) for _, layer in walk(model.layers)
    ]


PROPERTIES = [
    gradient_is_the_slope,
    nested_is_flat,
    files_and_copies_hold_every_bit,
    a_batch_is_its_rows,
    order_of_the_batch_does_not_matter,
    layout_and_byte_order_do_not_matter,
    nothing_given_is_changed_and_dtypes_stay,
    shapes_are_as_told,
    passes_may_cross,
    what_is_frozen_stays,
    repr_makes_it_again,
]


def check(properties, number, examples):
    """Hold so many networks against some properties; the number fixes which networks."""

    @seed(number)
    @settings(max_examples=examples, suppress_health_check=list(HealthCheck))
    @given(cases())
    def holds(case):
        for prop in properties:
            prop(case)

    holds()


@pytest.mark.parametrize("prop", PROPERTIES, ids=lambda prop: prop.__name__)
def test_random_networks(prop):
    check([prop], PROPERTIES.index(prop), 40)


@pytest.mark.slow
def test_many_random_networks():
    check(PROPERTIES, 100, 120)


def test_everything_is_drawn():
    seen = Counter()

    def look(case):
        layers = [layer for _, layer in walk(case.layers)]
        seen.update(type(layer) for layer in layers)
        seen["shared"] += len({id(layer) for layer in layers}) < len(layers)
        seen["frozen"] += not all(layer._trainable for layer in layers)
        seen["deep"] += any(layer.nesting_depth > 2 for layer in layers)
        seen.update(f"{layer.merge}" for layer in layers if isinstance(layer, cr.Parallel))
        behind = case.indices and not case.layers[0].takes_indices
        seen.update(
            [f"{len(case.features)} axes", f"batch {min(case.n, 2)}", case.dtype, case.layout,
             case.precision, "behind a Reshape" if behind else ""]
        )  # fmt: skip

    check([look], 200, 300)
    wanted = {"shared", "frozen", "deep", "add", "concat", "behind a Reshape", *LAYOUTS}
    wanted |= {"0 axes", "1 axes", "2 axes", "3 axes", "batch 0", "batch 1", "batch 2"}
    wanted |= {"float32", "float64", ">f4", ">f8", "int64", "uint8", ">i4"}
    assert (public(cr.Layer) | wanted) - seen.keys() == set()
