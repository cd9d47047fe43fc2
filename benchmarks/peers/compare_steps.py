"""A training step of each peer: Adam, softmax cross entropy, float32, the same weights and batches.
A call makes so many steps over the batches in order; losses of the first three must agree."""

from __future__ import annotations

import inspect
import time
from collections.abc import Callable
from itertools import cycle, islice
from typing import Any

import numpy as np
from common import Array, Sizes, chainrule_model, data, sklearn_classifier, torch_model, weights
from worker import Run, clocked

CASES: dict[str, tuple[Sizes, int, int]] = {  # sizes, batch, steps of a turn
    "20-64-64-2, batch 32": ((20, 64, 64, 2), 32, 800),
    "784-128-10, batch 32": ((784, 128, 10), 32, 200),
    "784-128-10, batch 128": ((784, 128, 10), 128, 100),
    "784-512-256-10, batch 128": ((784, 512, 256, 10), 128, 24),
    "784-1024-1024-10, batch 256": ((784, 1024, 1024, 10), 256, 10),
    "784-2048-2048-2048-10, batch 512": ((784, 2048, 2048, 2048, 10), 512, 5),
}
Step = Callable[[Any, Any], Any]
CHECKED = 3
TOLERANCE = 1e-3, 0.0  # relative, absolute
BLAS = "chainrule", "train_on_batch", "products", "scikit-learn"  # take NumPy's kernels


def batches(sizes: Sizes, batch: int, steps: int) -> list[tuple[Array, Array]]:
    x, y = rows(sizes, batch, steps)
    return [(x[i : i + batch], y[i : i + batch]) for i in range(0, len(x), batch)]


def rows(sizes: Sizes, batch: int, steps: int) -> tuple[Array, Array]:
    return data(sizes, batch * max(steps, CHECKED))


def over(parts: list[tuple[Any, Any]], step: Step) -> Run:
    """Steps over the batches in order, again and again."""

    def run(steps: int) -> float:
        some = list(islice(cycle(parts), steps))
        start = time.perf_counter()
        for x, y in some:
            step(x, y)
        return (time.perf_counter() - start) / steps

    return run


def checked(step: Step, parts: list[tuple[Any, Any]]) -> list[float]:
    return [float(step(x, y)) for x, y in parts[:CHECKED]]


def turn_of(peer: str, sizes: Sizes, batch: int, steps: int) -> tuple[int, int]:
    """Steps of a turn that are not timed, and those that are."""
    return max(1, steps // 4), steps


def fit(
    threads: int, sizes: Sizes, batch: int, steps: int, **options: Any
) -> tuple[Run, list[float]]:
    """A step inside `fit`: the clock runs from the beginning of an epoch to its end."""
    import chainrule as cr

    unknown = options.keys() - inspect.signature(cr.Model.fit).parameters.keys()
    if unknown:
        raise ImportError(f"fit does not take {', '.join(unknown)} in this version")

    class Clock(cr.Callback):
        def on_epoch_begin(self, epoch: int) -> None:
            self.start = time.perf_counter()

        def on_epoch_end(self, epoch: int, logs: Any) -> None:
            self.seconds = time.perf_counter() - self.start

    model, optimizer, loss = chainrule_model(sizes), cr.Adam(), cr.SoftmaxCrossEntropy()
    x, y = rows(sizes, batch, steps)
    clock = Clock()

    def epoch(x: Array, y: Array) -> float:
        history = model.fit(
            x, y, loss=loss, optimizer=optimizer, batch_size=batch, shuffle=False, verbose=0,
            callbacks=[clock], **options,
        )  # fmt: skip
        return float(history["loss"][0])

    def run(steps: int) -> float:
        epoch(x[: steps * batch], y[: steps * batch])
        return clock.seconds / steps

    return run, checked(epoch, batches(sizes, batch, steps))


def train_on_batch(threads: int, sizes: Sizes, batch: int, steps: int) -> tuple[Run, list[float]]:
    import chainrule as cr

    model, optimizer, loss = chainrule_model(sizes), cr.Adam(), cr.SoftmaxCrossEntropy()
    parts = batches(sizes, batch, steps)

    def step(x: Array, y: Array) -> float:
        return model.train_on_batch(x, y, loss=loss, optimizer=optimizer)

    return over(parts, step), checked(step, parts)


def products(threads: int, sizes: Sizes, batch: int, steps: int) -> tuple[Run, list[float]]:
    """The matrix products of a step and nothing else: Y = X W, dW = Xᵀ dY, dX = dY Wᵀ."""
    x = data(sizes, batch)[0]
    Ws = [W for W, _ in weights(sizes)]
    hs = [x, *(np.ones((batch, n), np.float32) for n in sizes[1:])]
    dWs, dhs = [np.empty_like(W) for W in Ws], [np.ones_like(h) for h in hs]

    def step() -> None:
        for k, W in enumerate(Ws):
            np.matmul(hs[k], W, out=hs[k + 1])
        for k in range(len(Ws) - 1, -1, -1):
            np.matmul(hs[k].T, dhs[k + 1], out=dWs[k])
            if k:
                np.matmul(dhs[k + 1], Ws[k].T, out=dhs[k])

    return lambda steps: clocked(step, steps), []


def pytorch(kind: str) -> Callable[..., tuple[Run, list[float]]]:
    """PyTorch with one of its ways to make the step of Adam, or with a compiled network."""

    def peer(threads: int, sizes: Sizes, batch: int, steps: int) -> tuple[Run, list[float]]:
        import torch

        torch.set_num_threads(threads)
        model = torch_model(sizes)
        options = {"foreach": {"foreach": True}, "fused": {"fused": True}}
        options["compiled"] = {"fused": True}
        optimizer = torch.optim.Adam(model.parameters(), lr=0.001, **options.get(kind, {}))

        def value(x: Any, y: Any) -> Any:
            return torch.nn.functional.cross_entropy(model(x), y)

        if kind == "compiled":
            torch.compiler.reset()
            value = torch.compile(value)

        def step(x: Any, y: Any) -> Any:
            optimizer.zero_grad(set_to_none=True)
            loss = value(x, y)
            loss.backward()
            optimizer.step()
            return loss.detach()

        parts = [
            (torch.from_numpy(x), torch.from_numpy(y)) for x, y in batches(sizes, batch, steps)
        ]
        return over(parts, step), checked(step, parts)

    return peer


def jax_jit(threads: int, sizes: Sizes, batch: int, steps: int) -> tuple[Run, list[float]]:
    """JAX's compiled step with optax, which may write over the parameters that it is given."""
    import jax
    import optax
    from jax import numpy as jnp

    optimizer = optax.adam(0.001)

    def value(p: Any, x: Any, y: Any) -> Any:
        for W, b in p[:-1]:
            x = jax.nn.relu(x @ W + b)
        z = x @ p[-1][0] + p[-1][1]
        return optax.softmax_cross_entropy_with_integer_labels(z, y).mean()

    def update(p: Any, state: Any, x: Any, y: Any) -> Any:
        loss, gradient = jax.value_and_grad(value)(p, x, y)
        change, state = optimizer.update(gradient, state, p)
        return optax.apply_updates(p, change), state, loss

    compiled = jax.jit(update, donate_argnums=(0, 1))
    p = [(jnp.array(W), jnp.array(b)) for W, b in weights(sizes)]
    held = p, optimizer.init(p)
    parts = [(jnp.array(x), jnp.array(y)) for x, y in batches(sizes, batch, steps)]

    def step(x: Any, y: Any) -> Any:
        nonlocal held
        *held, loss = compiled(*held, x, y)
        return loss

    def run(steps: int) -> float:
        some = list(islice(cycle(parts), steps))
        start = time.perf_counter()
        for x, y in some:
            step(x, y)
        jax.block_until_ready(held)
        return (time.perf_counter() - start) / steps

    return run, checked(step, parts)


def sklearn(threads: int, sizes: Sizes, batch: int, steps: int) -> tuple[Run, list[float]]:
    """The steps inside one `partial_fit`, which goes through its rows once in batches."""
    classifier = sklearn_classifier(sizes, batch_size=batch, shuffle=False)
    x, y = rows(sizes, batch, steps)

    def run(steps: int) -> float:
        start = time.perf_counter()
        classifier.partial_fit(x[: steps * batch], y[: steps * batch])
        return (time.perf_counter() - start) / steps

    def step(x: Array, y: Array) -> float:
        classifier.partial_fit(x, y)
        return float(classifier.loss_curve_[-1])

    vars(classifier).pop("_optimizer", None)  # partial_fit makes another, whose first step is 1
    check = checked(step, batches(sizes, batch, steps))
    return run, check[:1] if sizes[-1] == 2 else check


PEERS: dict[str, Callable[..., tuple[Run, list[float]]]] = {
    "chainrule": fit,
    "train_on_batch": train_on_batch,
    "products": products,
    "scikit-learn": sklearn,
    "PyTorch, default": pytorch("default"),
    "PyTorch, foreach": pytorch("foreach"),
    "PyTorch, fused": pytorch("fused"),
    "PyTorch, compiled": pytorch("compiled"),
    "JAX": jax_jit,
}
