"""Several threads for one step: each takes a shard of the batch forward and back, and they meet
once, where their gradients are added. They share the parameters, which nobody writes meanwhile."""

from __future__ import annotations

import copy
import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import partial
from itertools import pairwise
from queue import SimpleQueue
from typing import TYPE_CHECKING, Any

import numpy as np

from . import backprop
from .optimizers import Optimizer
from .optimizers.base import SHARED_BLOCK
from .parameters import unique
from .sources import Batch
from .steps import differentiate
from .threads import insist

if TYPE_CHECKING:
    from ._types import Array
    from .layer import Layer
    from .model import Model
    from .steps import Spans

PLAIN = (bool, int, float, str, np.generic, type(None))


class Replica:
    """A model's chain for another thread: the same parameters, but all else of its own.

    The copies' parameters are the very arrays of the model's layers. To a step a replica looks as a
    model does.
    """

    def __init__(self, model: Model, rngs: Sequence[Any], gradients: Array) -> None:
        self.model, self.gradients = model, gradients
        originals = unique(model.layers).values()
        memo: dict[int, Any] = {id(model): model}
        memo |= {id(layer.rng): rng for layer, rng in zip(originals, rngs, strict=True)}
        for layer in originals:
            memo |= {id(array): array for array in map(layer.__dict__.get, layer.parameter_shapes)}
        self.layers: tuple[Layer, ...] = copy.deepcopy(model.layers, memo)
        self.pairs = list(zip(originals, unique(self.layers).values(), strict=True))
        for layer, other in self.pairs:  # also where an own layer copies itself in another way
            for name in layer.parameter_shapes:
                other.put_array(name, layer.__dict__[name])
        self.buffers = [b for _, layer in self.pairs for b in layer.own_buffers().values()]
        self._learning: list[bool] | None = None

    def follow(self) -> None:
        """Take over what the model's layers are now: buffers, and options that are plain values."""
        for layer, other in self.pairs:
            other.__dict__.update({k: v for k, v in vars(layer).items() if isinstance(v, PLAIN)})
        for own, buffer in zip(self.buffers, self.model.buffers, strict=True):
            own[...] = buffer
        flat = self.model._flat
        learning = flat.learning()
        if learning != self._learning:
            self._views, self._finish = flat.gradient_views(self.gradients)
            self._learning = learning

    def pull(self, dy: Array, caches: list[Any], need_dx: bool) -> None:
        """As `Model.pull`, into the own gradient."""
        backprop.backward(self.layers, dy, caches, self._views, need_dx)
        self._finish()


class Crew:
    """The threads of one fit; the calling one computes the first shard, on the model itself.

    Parameters
    ----------
    model : Model
    n : int
        How many shards a batch has, where it has as many rows.

    Raises
    ------
    TypeError
        For layers that cannot be copied.
    """

    def __init__(self, model: Model, n: int) -> None:
        self.model, self.n = model, n
        self.threads: list[threading.Thread] = []
        self.calls: SimpleQueue[Callable[[], None] | None] = SimpleQueue()
        self.gradients = [np.zeros_like(model.gradients) for _ in range(n - 1)]
        self.replicas: list[Replica] = []
        self.seeds: list[int] = []
        layers = unique(model.layers).values()
        for layer in layers:
            if not isinstance(layer.rng, np.random.Generator):
                raise TypeError(
                    f"fit: with several workers the rng of each layer must be a "
                    f"numpy.random.Generator; that of {layer!r} is {layer.rng!r}."
                )
        try:
            Replica(model, [layer.rng for layer in layers], model.gradients)
        except Exception as error:
            raise TypeError(
                f"fit: workers={n} train on copies of the layers, and copy.deepcopy of "
                f"{model!r} fails: {error}"
            ) from error

    def __enter__(self) -> Crew:
        return self

    def __exit__(self, *_: object) -> None:
        insist(self._dismiss)

    def _dismiss(self) -> None:
        self._tell()
        for thread in self.threads:
            if thread.is_alive():
                thread.join()

    def _tell(self) -> None:
        for _ in getattr(self, "threads", ()):
            self.calls.put(None)

    __del__ = _tell  # where Ctrl-C came just before `__exit__`

    def begin_epoch(self) -> None:
        """Have new replicas, as the model is now, with generators seeded from the model's own.

        So a run that is resumed at an epoch draws what it would have drawn without the stop.
        """
        self.replicas = []
        self.seeds = [
            int(layer.rng.integers(2**63)) for layer in unique(self.model.layers).values()
        ]

    def differentiate(
        self, loss: Callable[..., tuple[float, Array]], batch: Batch
    ) -> tuple[float, Array, float]:
        """As `steps.differentiate`, in shards; with the sum of the gradient's squares.

        The shards' gradients are added in the order of the rows.
        """
        parts = shards(batch, self.n)
        shares = [len(part.x) / len(batch.x) for part in parts]
        while (k := len(self.replicas)) < len(parts) - 1:
            rngs = [np.random.default_rng([seed, k]) for seed in self.seeds]
            self.replicas.append(Replica(self.model, rngs, self.gradients[k]))
        replicas = self.replicas[: len(parts) - 1]
        for replica in replicas:
            replica.follow()
        chains: list[Model | Replica] = [self.model, *replicas]
        results = self.together(
            [
                partial(differentiate, chain, loss, part, share)
                for chain, part, share in zip(chains, parts, shares, strict=True)
            ]
        )
        square = self._add([replica.gradients for replica in replicas])
        mean_of_buffers([self.model.buffers, *(r.buffers for r in replicas)], shares)
        values, predictions = zip(*results, strict=True)
        mean = sum(share * value for share, value in zip(shares, values, strict=True))
        return mean, np.concatenate(predictions), square

    def update(self, optimizer: Any, params: Array, grads: Array, spans: Spans) -> None:
        """A step of the optimizer, its blocks dealt out if it is one of ours."""
        step = optimizer.step  # which may be an own function, put in its place
        ours = getattr(step, "__func__", None) is Optimizer.step
        step(params, grads, spans, *([self] if ours else []))

    def together(self, jobs: Sequence[Callable[[], Any]]) -> list[Any]:
        """Do at most n jobs at once, the first in this thread; return what they return, in order.

        What one raises comes when all have ended, the first of several. Ctrl-C may come anywhere in
        this thread, so it holds no lock that another one waits for, as `concurrent.futures` does.
        """
        todo, begun, ended = list(enumerate(jobs))[:0:-1], [None], [None]
        answers: list[Any] = [None] * len(jobs)
        bell: SimpleQueue[None] = SimpleQueue()  # rung once by each call, when it has ended

        def call() -> None:
            begun.append(None)  # before it takes a job, so that `wait` misses none
            with suppress(IndexError):  # given up below
                i, job = todo.pop()
                answers[i] = _caught(job)
            ended.append(None)
            bell.put(None)

        def wait() -> None:
            while todo or len(ended) < len(begun):
                bell.get()

        calls = len(todo)
        try:
            self._call(call, calls)
            calls = 0
            answers[0] = _quiet(jobs[0]), None
        finally:
            if calls:  # nobody may come for what is left
                todo.clear()
            insist(wait)
        try:
            for _, error in answers:
                if error is not None:
                    raise error
            return [value for value, _ in answers]
        finally:
            answers.clear()
            error = None  # an error knows this frame

    def _call(self, call: Callable[[], None], times: int) -> None:
        """Have threads make a call, each once."""
        while len(self.threads) < times:
            number = len(self.threads)
            thread = threading.Thread(
                target=_serve, args=(self.calls,), name=f"chainrule_{number}", daemon=True
            )
            self.threads.append(thread)
            thread.start()
        for _ in range(times):
            self.calls.put(call)

    def _add(self, others: Sequence[Array]) -> float:
        """Add gradients to the model's, in this order; return the sum of the squares.

        Long ones are cut, a part for each thread.
        """
        g = self.model.gradients
        n = self.n if g.size > 2 * SHARED_BLOCK else 1

        def add(start: int, stop: int) -> float:
            square = 0.0
            for i in range(start, stop, SHARED_BLOCK):
                block = slice(i, min(i + SHARED_BLOCK, stop))
                for other in others:
                    g[block] += other[block]
                square += float(np.dot(g[block], g[block]))  # while it is in the cache
            return square

        cuts = [g.size * i // n for i in range(n + 1)]
        return sum(self.together([partial(add, *cut) for cut in pairwise(cuts)]))


def shards(batch: Batch, n: int) -> list[Batch]:
    """A batch in n parts, or as many as it has rows, whose sizes differ by one at most."""
    rows = len(batch.x)
    n = min(n, rows)
    cuts = [slice(rows * i // n, rows * (i + 1) // n) for i in range(n)]
    return [Batch(*(None if a is None else a[cut] for a in batch)) for cut in cuts]  # type: ignore[arg-type]


def mean_of_buffers(buffers: Sequence[Sequence[Array]], shares: Sequence[float]) -> None:
    """Make the first buffers the mean of all; b + sum s_i (b_i - b) keeps those that are equal."""
    for first, *others in zip(*buffers, strict=True):
        change = np.zeros_like(first)
        for other, share in zip(others, shares[1:], strict=True):
            difference = np.subtract(other, first, where=other != first, out=np.zeros_like(first))
            change += share * difference
        first += change


def _serve(calls: SimpleQueue[Callable[[], None] | None]) -> None:
    while (call := calls.get()) is not None:
        call()


def _caught(job: Callable[[], Any]) -> tuple[Any, BaseException | None]:
    try:
        return _quiet(job), None
    except BaseException as error:
        return None, error


def _quiet(job: Callable[[], Any]) -> Any:
    with np.errstate(all="ignore"):  # each thread has its own
        return job()
