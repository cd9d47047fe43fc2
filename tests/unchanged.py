"""Whether what is refused leaves everything as it was. Every public call is wrapped for the time of
a test: when the outermost one raises, the object and all arguments must be as when it began.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import pytest

import chainrule as cr
from chainrule import preparation, tables
from chainrule.layer import registry

# What is made anew when it is needed, and says nothing of a model or layer.
DERIVED = {"_shapes", "_views", "_finish", "_learning", "_spans", "_weight_spans", "_model"}
DERIVED |= {"_scratch"}
TOLD = {"model", "optimizer", "params"}  # to a callback, before it is asked anything


def picture(thing: Any, seen: dict[int, int] | None = None) -> Any:
    """All that a thing holds, in a form that can be compared: bits of arrays, states, options."""
    seen = {} if seen is None else seen
    if type(thing) is int:
        return hex(thing)  # which any number of digits has
    if isinstance(thing, (type, type(None), bool, int, float, complex, str, bytes)):
        return repr(thing)
    if id(thing) in seen:
        return "seen", seen[id(thing)]
    seen[id(thing)] = len(seen)
    if isinstance(thing, np.ndarray):
        inside = [repr(v) for v in thing.flat] if thing.dtype.hasobject else thing.tobytes()
        return thing.dtype.str, thing.shape, thing.strides, inside
    if isinstance(thing, np.random.Generator):
        return repr([thing.bit_generator.state, thing.bit_generator.seed_seq])
    if isinstance(thing, (set, frozenset)):
        return type(thing).__name__, sorted(repr(item) for item in thing)
    if isinstance(thing, dict):
        return [(repr(key), picture(value, seen)) for key, value in thing.items()]
    if isinstance(thing, (list, tuple)):
        return [type(thing).__name__, *(picture(value, seen) for value in thing)]
    if not callable(thing) or hasattr(type(thing), "__dict__"):
        if isinstance(thing, cr.Layer) and "_buffers" in vars(thing):
            for name in vars(thing)["_buffers"]:
                getattr(thing, name)  # makes it, if nobody has looked at it
        left_out = TOLD if isinstance(thing, cr.Callback) else DERIVED
        return type(thing).__name__, [
            (name, picture(value, seen))
            for name, value in getattr(thing, "__dict__", {}).items()
            if name not in left_out
        ]
    return type(thing).__name__


def world() -> Any:
    """What every call could reach: the registered layers, NumPy's own generator and its errors."""
    _, key, *place = np.random.get_state()  # noqa: NPY002
    return list(registry.items()), key.tobytes(), place, np.geterr()


class Watch:
    """Wraps calls, and keeps what the outermost one was seen to change before it raised."""

    def __init__(self) -> None:
        self.inside = False
        self.calls = 0
        self.changed: list[str] = []

    def wrap(self, name: str, call: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(call)
        def watched(*args: Any, **options: Any) -> Any:
            if self.inside:
                return call(*args, **options)
            held = args[1:] if name.endswith("__init__") else args
            before = picture([*held, options]), world()
            self.inside = True
            try:
                return call(*args, **options)
            except Exception:
                self.calls += 1
                if (picture([*held, options]), world()) != before:
                    self.changed.append(name)
                raise
            finally:
                self.inside = False

        return watched


def classes() -> Iterator[type]:
    """The library's own classes that a user meets, with their bases."""
    public = [*vars(cr).values(), *vars(tables).values(), *vars(preparation).values()]
    seen = {base for c in public if isinstance(c, type) for base in c.__mro__}
    yield from (c for c in seen if c.__module__.startswith("chainrule."))


@contextmanager
def watching() -> Iterator[Watch]:
    """Wrap every public call of the library."""
    watch = Watch()
    with pytest.MonkeyPatch.context() as patch:
        for cls in classes():
            if issubclass(cls, BaseException):
                continue
            for name, call in list(vars(cls).items()):
                public = not name.startswith("_") or name in ("__call__", "__init__", "__setattr__")
                if public and inspect.isfunction(call):
                    patch.setattr(cls, name, watch.wrap(f"{cls.__name__}.{name}", call))
        for module in (cr, tables, preparation):
            for name, call in list(vars(module).items()):
                if not name.startswith("_") and inspect.isfunction(call):
                    patch.setattr(module, name, watch.wrap(name, call))
        yield watch
