"""One row through 32-64-64-10 by each peer: what a small model costs where it answers one request.
The probabilities must agree; a call begins and ends with an array of NumPy."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from common import (
    Array,
    chainrule_model,
    keras_model,
    sklearn_classifier,
    torch_model,
    weights,
)
from worker import Run, clocked

SIZES = 32, 64, 64, 10
CASES: dict[str, tuple[()]] = {"32-64-64-10": ()}
TOLERANCE = 1e-4, 1e-6
BLAS = "chainrule", "chainrule, predict", "NumPy by hand", "scikit-learn"
Prepared = tuple[Run, list[float]]


def turn_of(peer: str) -> tuple[int, int]:
    calls = 30 if peer.startswith("Keras") else 200 if peer == "scikit-learn" else 2000
    return calls // 5, calls


def row() -> Array:
    return np.random.default_rng(2).random((1, SIZES[0]), np.float32)


def predicting(predict: Callable[[Array], Any], *, logits: bool = True) -> Prepared:
    """The call on the row, and the probabilities that it gives."""
    x = row()
    y = np.asarray(predict(x), np.float64)
    p = np.exp(y) / np.exp(y).sum() if logits else y
    return lambda steps: clocked(lambda: predict(x), steps), p.ravel().tolist()


def call(threads: int) -> Prepared:
    return predicting(chainrule_model(SIZES))


def predict(threads: int) -> Prepared:
    return predicting(chainrule_model(SIZES).predict)


def by_hand(threads: int) -> Prepared:
    """The bare products with their activations."""
    *hidden, (W_last, b_last) = weights(SIZES)

    def network(x: Array) -> Array:
        for W, b in hidden:
            x = x @ W
            x += b
            x = np.maximum(x, 0)
        return x @ W_last + b_last

    return predicting(network)


def onnx_runtime(threads: int) -> Prepared:
    import onnx
    import onnxruntime
    from onnx import helper, numpy_helper

    nodes, constants, name = [], [], "x"
    for k, pair in enumerate(weights(SIZES)):
        constants += [numpy_helper.from_array(a, f"{n}{k}") for n, a in zip("Wb", pair)]  # noqa: B905
        nodes.append(helper.make_node("Gemm", [name, f"W{k}", f"b{k}"], [f"z{k}"]))
        nodes.append(helper.make_node("Relu", [f"z{k}"], [f"h{k}"]))
        name = f"h{k}"
    kind = onnx.TensorProto.FLOAT
    first = helper.make_tensor_value_info("x", kind, [1, SIZES[0]])
    last = helper.make_tensor_value_info(nodes[-1].input[0], kind, [1, SIZES[-1]])
    graph = helper.make_graph(nodes[:-1], "network", [first], [last], constants)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.checker.check_model(model)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    session = onnxruntime.InferenceSession(
        model.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )
    return predicting(lambda x: session.run(None, {"x": x})[0])


def pytorch(kind: str) -> Callable[[int], Prepared]:
    def peer(threads: int) -> Prepared:
        import torch

        torch.set_num_threads(threads)
        model = torch_model(SIZES).eval()
        if kind == "traced":
            model = torch.jit.freeze(torch.jit.trace(model, torch.from_numpy(row())))
        if kind == "compiled":
            model = torch.compile(model)

        def predict(x: Array) -> Any:
            with torch.inference_mode():
                return model(torch.from_numpy(x)).numpy()

        for _ in range(3):  # a traced network is optimized in its first calls
            predict(row())
        return predicting(predict)

    return peer


def jax_jit(threads: int) -> Prepared:
    import jax
    from jax import numpy as jnp

    p = [(jnp.array(W), jnp.array(b)) for W, b in weights(SIZES)]

    @jax.jit  # type: ignore[untyped-decorator]
    def network(p: Any, x: Any) -> Any:
        for W, b in p[:-1]:
            x = jax.nn.relu(x @ W + b)
        return x @ p[-1][0] + p[-1][1]

    return predicting(lambda x: np.asarray(network(p, x)))


def sklearn(threads: int) -> Prepared:
    return predicting(sklearn_classifier(SIZES).predict_proba, logits=False)


def keras(backend: str, way: str) -> Callable[[int], Prepared]:
    def peer(threads: int) -> Prepared:
        import os

        os.environ["KERAS_BACKEND"] = backend
        if backend == "torch":
            import torch

            torch.set_num_threads(threads)
        from keras import ops

        model = keras_model(SIZES)
        if way == "predict":
            return predicting(lambda x: model.predict(x, verbose=0))
        return predicting(lambda x: ops.convert_to_numpy(model(x)))

    return peer


PEERS: dict[str, Callable[..., Prepared]] = {
    "chainrule": call,
    "chainrule, predict": predict,
    "NumPy by hand": by_hand,
    "ONNX Runtime": onnx_runtime,
    "PyTorch, eager": pytorch("eager"),
    "PyTorch, traced": pytorch("traced"),
    "PyTorch, compiled": pytorch("compiled"),
    "JAX": jax_jit,
    "scikit-learn": sklearn,
    "Keras on JAX, predict": keras("jax", "predict"),
    "Keras on JAX, call": keras("jax", "call"),
    "Keras on PyTorch, predict": keras("torch", "predict"),
    "Keras on PyTorch, call": keras("torch", "call"),
}
