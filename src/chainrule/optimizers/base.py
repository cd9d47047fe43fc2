"""What all optimizers share: rate, weight decay, spans, state, and the walk over the parameters. It
goes in blocks that fit the cache, so that each of the passes over a block finds it there."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from ..errors import as_numbers, check_number, check_rate, listed, show

if TYPE_CHECKING:
    from .._types import Array
    from ..workers import Crew

Schedule: TypeAlias = Callable[[int], float]
Span: TypeAlias = "tuple[slice, float | None]"
Block: TypeAlias = "tuple[slice, list[tuple[slice, float]]]"  # with the parts of it that decay

BLOCK = 32_768  # elements: 128 kB of float32, so that the three or four vectors fit the L2 cache
# Of several threads at once. After each pass over a block a thread wants Python's lock, and where
# they meet one waits: two threads take 3.0 ms for 1.9 million parameters with blocks of 32,768, 2.1
# with twice and 1.6 with four times as many; one thread takes 2.4.
SHARED_BLOCK = 4 * BLOCK


class Optimizer:
    r"""Base class: ``step(params, grads, spans=None)`` updates `params` in place.

    A derived class names its state vectors in `_state`, and writes `prepare`, which gives the
    numbers of a step, and `update`, which uses them on one block. All parameters share one count of
    steps, so those that were frozen at first are stepped as of that count when they are freed.

    Parameters
    ----------
    lr : float or callable
        The learning rate, or a schedule: a function of the step's number, counted from 0.
    weight_decay : float
        :math:`\lambda`: the gradient becomes :math:`g + \lambda w`, an L2 penalty; decoupled, the
        weights become :math:`(1 - \eta \lambda) w`.
    """

    #: Names of the vectors that are kept from step to step, and what they start from.
    _state: tuple[str, ...] = ()
    _start_value: float = 0.0
    #: Whether weight decay shrinks the weights themselves, as AdamW's, and leaves the gradient.
    decoupled_weight_decay: bool = False

    def __init__(self, lr: float | Schedule, weight_decay: float = 0.0) -> None:
        name = type(self).__name__
        self.lr = check_rate(name, "lr", lr)
        self.weight_decay = check_number(name, "weight_decay", weight_decay, low=0)
        self.steps = 0
        self._vectors: dict[str, Array] = {}
        self._scratch: list[tuple[Array, Array, Array]] = []

    def step(
        self,
        params: Array,
        grads: Array,
        spans: Sequence[Span] | None = None,
        crew: Crew | None = None,
    ) -> None:
        """Take one step, in place.

        Parameters
        ----------
        params, grads : array (n,), float32 or float64
            Flat vectors; `grads` is left as it is.
        spans : sequence of (slice, weight decay or None), optional
            The parts to update, each with a weight decay that stands in for the optimizer's own.
        crew : optional
            The threads of a `fit` with several workers, among which the blocks are dealt out.

        Raises
        ------
        TypeError, ValueError
            For vectors that do not fit each other, or the state of earlier steps.
        """
        self.check(params, grads)
        size = BLOCK if crew is None else SHARED_BLOCK
        blocks = list(self._blocks(len(params), size, spans))
        lr = self.rate()
        numbers = self.prepare(lr, self.steps + 1)
        k = len(blocks)
        n = 1 if crew is None else max(1, min(crew.n, k))
        scratch = self._start(params, n, size)
        if crew is None:
            self._walk(params, grads, blocks, lr, numbers, scratch[0])
        else:
            shares = [blocks[k * i // n : k * (i + 1) // n] for i in range(n)]
            crew.together(
                [
                    partial(self._walk, params, grads, share, lr, numbers, own)
                    for share, own in zip(shares, scratch, strict=True)
                ]
            )
        self.steps += 1

    def _walk(
        self,
        params: Array,
        grads: Array,
        blocks: Sequence[Block],
        lr: float,
        numbers: Any,
        scratch: tuple[Array, Array, Array],
    ) -> None:
        """Update these blocks, one after another."""
        for block, decays in blocks:
            p, g = params[block], grads[block]
            t, s, u = scratch
            if len(p) < len(t):
                t, s, u = t[: len(p)], s[: len(p)], u[: len(p)]
            if decays and self.decoupled_weight_decay:
                for part, decay in decays:
                    p[part] *= 1 - lr * decay
            elif decays:
                u[...] = g
                g = u  # g = g + decay * p, in scratch of its own
                for part, decay in decays:
                    u[part] += np.multiply(p[part], decay, out=t[part])
            self.update(p, g, t, s, block, numbers)

    def rate(self) -> float:
        """The learning rate of the next step, by the schedule if `lr` is one."""
        lr = self.lr(self.steps) if callable(self.lr) else self.lr
        if not (isinstance(lr, (int, float, np.number)) and 0 <= lr < math.inf):
            source = "the schedule gave the rate" if callable(self.lr) else "lr is"
            raise ValueError(
                f"{type(self).__name__}: {source} {lr!r} at step {self.steps}; expected a finite "
                "number, 0 or more."
            )
        return float(lr)

    def prepare(self, lr: float, step: int) -> Any:
        """Numbers that all blocks of a step share; the first step is 1."""
        raise NotImplementedError

    def update(self, p: Array, g: Array, t: Array, s: Array, block: slice, numbers: Any) -> None:
        """Update one block p in place from its gradient g, with t and s to write into.

        Several threads may be at different blocks.
        """
        raise NotImplementedError

    def state_dict(self) -> dict[str, Any]:
        """Copies of the state's vectors and the count of steps."""
        vectors = {name: self._vectors[name] for name in self._state if name in self._vectors}
        return {"steps": self.steps, **{name: v.copy() for name, v in vectors.items()}}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take over a state, copied; the optimizer is as it was if the state does not fit."""
        name = type(self).__name__
        if not isinstance(state, Mapping):
            raise TypeError(f"{name}: expected the dict of a state_dict, got {state!r}.")
        vectors = {
            key: as_numbers(f"{name}: {key}", value).copy()
            for key, value in state.items()
            if key != "steps"
        }
        steps = state.get("steps")
        if isinstance(steps, bool) or not isinstance(steps, (int, np.integer)) or steps < 0:
            raise ValueError(f"{name}: the state's steps must be a count, got {steps!r}.")
        if steps >= 2**63:  # powers of the betas would overflow
            raise ValueError(f"{name}: the state's steps must be below 2**63, got a larger one.")
        if set(vectors) != (set(self._state) if steps else set(vectors) & set(self._state)):
            raise ValueError(
                f"{name}: the state has the vectors {sorted(vectors, key=str)}, expected "
                f"{sorted(self._state)}."
            )
        if len({(v.shape, v.dtype) for v in vectors.values()}) > 1 or any(
            v.ndim != 1 or v.dtype.kind != "f" for v in vectors.values()
        ):
            given = ", ".join(f"{k} {v.dtype} {show(v.shape)}" for k, v in vectors.items())
            raise ValueError(
                f"{name}: the state's vectors must be flat, of one size and float dtype; got "
                f"{given}."
            )
        self.steps, self._vectors, self._scratch = int(steps), vectors, []

    def check(self, params: Array, grads: Array) -> None:
        """Refuse vectors that do not fit each other, or the state of earlier steps."""
        if not (isinstance(params, np.ndarray) and isinstance(grads, np.ndarray)):
            raise TypeError(f"{type(self).__name__}: params and grads must be NumPy arrays.")
        if params.dtype.kind != "f":
            raise TypeError(f"{type(self).__name__}: params must be floats, got {params.dtype}.")
        if not params.flags.writeable:
            raise ValueError(f"{type(self).__name__}: params are read-only; pass a copy.")
        if params.shape != grads.shape or params.ndim != 1 or params.dtype != grads.dtype:
            raise ValueError(
                f"{type(self).__name__}: params and grads must be flat vectors of one size and "
                f"dtype, got {params.shape} of {params.dtype} and {grads.shape} of {grads.dtype}."
            )
        vector = next(iter(self._vectors.values()), params)  # all are of one size and dtype
        if vector.shape != params.shape or vector.dtype != params.dtype:
            raise ValueError(
                f"{type(self).__name__}: its state is for {vector.shape[0]} parameters of "
                f"{vector.dtype}, got {params.shape[0]} of {params.dtype}; use a new optimizer for "
                "another model."
            )

    def _start(self, params: Array, n: int, size: int) -> list[tuple[Array, Array, Array]]:
        """Make what is missing of the state, and of scratch for n walks at a time."""
        if len(self._vectors) < len(self._state):
            for name in self._state:
                self._vectors.setdefault(name, np.full_like(params, self._start_value))
        scratch, size = self._scratch, min(size, len(params))
        if scratch and (scratch[0][0].dtype != params.dtype or len(scratch[0][0]) < size):
            scratch.clear()
        while len(scratch) < n:
            t, s, u = (np.empty(size, params.dtype) for _ in range(3))
            scratch.append((t, s, u))
        return scratch[:n]

    def _blocks(self, n: int, size: int, spans: Sequence[Span] | None) -> Iterator[Block]:
        """Cut the spans into blocks, each with the parts of it that decay; neighbours are joined.

        Wrong spans are refused.
        """
        if spans is None:
            whole = [(slice(None), self.weight_decay)] if self.weight_decay else []
            yield from ((slice(i, min(i + size, n)), whole) for i in range(0, n, size))
            return
        end = 0
        runs: list[tuple[int, int, list[tuple[int, int, float]]]] = []  # start, stop, decays
        for span in listed("spans", spans):
            if not (isinstance(span, (tuple, list)) and len(span) == 2 and type(span[0]) is slice):
                raise TypeError(
                    f"{type(self).__name__}: spans are pairs (slice, weight decay or None), got "
                    f"{span!r}."
                )
            start, stop, stride = span[0].indices(n)
            if stride != 1 or start < end:
                raise ValueError(
                    f"{type(self).__name__}: spans must be slices without a step, one behind the "
                    f"other; got {span[0]} after {end}."
                )
            decay = self.weight_decay
            if span[1] is not None:
                decay = check_number(type(self).__name__, "the decay of a span", span[1], low=0)
            joins = bool(runs) and start == end
            begin, _, parts = runs.pop() if joins else (start, start, [])
            if decay:
                parts.append((start, stop, decay))
            runs.append((begin, end := max(start, stop), parts))
        for begin, stop, parts in runs:
            for i in range(begin, stop, size):
                k = min(i + size, stop)
                inside = [(max(a, i) - i, min(b, k) - i, d) for a, b, d in parts]
                yield slice(i, k), [(slice(a, b), d) for a, b, d in inside if a < b]

    def __repr__(self) -> str:
        options = {k: v for k, v in vars(self).items() if k[0] != "_" and k != "steps"}
        return f"{type(self).__name__}({', '.join(f'{k}={v!r}' for k, v in options.items())})"


def descend(p: Array, rate: float, a: Array, v: Array, eps: float, t: Array) -> None:
    """p = p - rate a / (sqrt(v) + eps), in place, with t to write into."""
    np.sqrt(v, out=t)
    t += eps
    np.divide(a, t, out=t)
    t *= rate
    p -= t


def decay_and_add(v: Array, factor: float, x: Array) -> Array:
    """v = factor v + x, in place: a sum of all x so far that forgets the old ones.

    A mean (1 - factor) v takes another pass; the optimizers put that number into their rates.
    """
    v *= factor
    v += x
    return v
