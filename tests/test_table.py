"""The table of cases is complete: each public layer, loss, optimizer and schedule has a row, each
row a reference value, and each option of each constructor is set by some row."""

from __future__ import annotations

import inspect

import pytest
from cases import LAYERS, LOSSES, OPTIMIZERS, SCHEDULES

import chainrule as cr
from chainrule.losses import Loss
from chainrule.optimizers import Optimizer
from chainrule.schedules import Schedule


def public(base: type) -> set[type]:
    values = [getattr(cr, name) for name in cr.__all__]
    return {v for v in values if isinstance(v, type) and issubclass(v, base) and v is not base}


TABLES = [
    (cr.Layer, {name: case.make for name, case in LAYERS.items()}),
    (Loss, {name: case.make for name, case in LOSSES.items()}),
    (Optimizer, OPTIMIZERS),
    (Schedule, SCHEDULES),
]


@pytest.mark.parametrize(("base", "rows"), TABLES, ids=lambda value: getattr(value, "__name__", ""))
def test_every_public_class_has_a_row(base, rows):
    assert public(base) - {type(make()) for make in rows.values()} == set()


@pytest.mark.parametrize(("base", "rows"), TABLES, ids=lambda value: getattr(value, "__name__", ""))
def test_every_option_is_set_by_some_row(base, rows):
    made = [make() for make in rows.values()]
    for kind in public(base):
        for name, argument in inspect.signature(kind).parameters.items():
            if argument.default is argument.empty or name in ("rng", "init"):
                continue
            values = {repr(getattr(item, name)) for item in made if type(item) is kind}
            assert values - {repr(argument.default)}, f"no row sets {kind.__name__}'s {name}"


def test_every_row_has_a_reference_value(reference):
    wanted = {f"{name}/y" for name, case in LAYERS.items() if case.reference}
    wanted |= {f"{name}/value" for name in LOSSES} | {f"{name}/path" for name in OPTIMIZERS}
    assert wanted - reference.keys() == set()
    assert "torch" in str(reference["versions"])
