"""Where batches come from: arrays, of which a batch is some rows, or a stream that makes them. To
training they are the same: both give checked batches of inputs, targets and weights."""

from __future__ import annotations

import contextlib
import numbers
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import cached_property
from itertools import islice
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias

import numpy as np

from .border import check_data, check_rows, check_targets, preparation, takes, try_loss
from .data import batches, chunks, classes_of, held_back, is_mapped, split_rows
from .errors import at, cast, check_choice, check_number, show

if TYPE_CHECKING:
    from ._types import Array
    from .metrics import Metric
    from .model import Model

    Source: TypeAlias = "ArraySource | StreamSource"

VALIDATION = "fit: validation_data"


class Batch(NamedTuple):
    """Checked arrays of one batch."""

    x: Array  # (n, ...) of the dtype that layers want
    y: Array  # (n, ...) as the loss wants it
    loss_weight: Array | None  # (n,) of the samples, times that of their classes
    sample_weight: Array | None  # (n,) of the samples alone, for metrics


class ArraySource:
    """Batches of rows of arrays, which are converted batch by batch.

    Targets are prepared once for all batches; but those in a file, that would have to be copied
    for it, again for each batch.
    """

    def __init__(self, owner: str, model: Model, loss: Any, x: Any, y: Any, weight: Any) -> None:
        self.model = model
        self.x, y, self.weight, shape = check_rows(owner, model, loss, x, y, weight)
        self.prepare: Callable[[Array], Array] | None = preparation(owner, loss, shape, model.dtype)
        self.prediction_shape = shape
        self.y = self._given = y
        if is_mapped(y):
            for rows in chunks(y):
                self.prepare(y[rows])
        else:
            self.y, self.prepare = self.prepare(y), None
        self.loss_weight = self.weight
        self.n = len(self.x)

    @cached_property
    def classes(self) -> Array | None:
        """The class (N,) of each row, if targets are classes."""
        return classes_of(self._given)

    @property
    def classes_to_weigh(self) -> Array | None:
        """The same, without targets that are a class for each position of a sequence."""
        return self.classes if one_a_row(self._given, self.prediction_shape) else None

    def check_metrics(self, metrics: Sequence[Metric]) -> None:
        """Let each metric see the targets beside predictions of zero."""
        for rows in chunks(self.y):
            check_targets(self.model, metrics, self.x[rows], self._targets(rows))

    def weigh_classes(self, weights: Mapping[int, float]) -> None:
        """Multiply the loss of each row by the weight of its class."""
        factor = factors(weights, self.classes_to_weigh, self._given, self.model.dtype)
        self.loss_weight = factor if self.weight is None else self.weight * factor

    def batches(
        self,
        size: int | None,
        rng: np.random.Generator | None = None,
        rows: Array | None = None,
    ) -> Iterator[Batch]:
        """Yield each batch of an epoch; see `data.batches`."""
        for part in batches(self.n, size, rng, rows):
            w = None if self.loss_weight is None else self.loss_weight[part]
            s = None if self.weight is None else self.weight[part]
            yield Batch(self.model.convert(self.x[part]), self._targets(part), w, s)

    def _targets(self, part: Any) -> Array:
        y = self.y[part]
        return y if self.prepare is None else self.prepare(y)


class StreamSource:
    """Batches that come ready made, each ``(x, y)`` or ``(x, y, sample_weight)``.

    From an iterable, asked anew for every epoch; from an iterator, which goes on where it was; or
    from a function of a random generator that returns one of them.
    """

    def __init__(self, owner: str, model: Model, loss: Any, stream: Any, limit: int | None) -> None:
        if hasattr(stream, "shape") or not (callable(stream) or isinstance(stream, Iterable)):
            raise TypeError(
                f"{owner}: y is missing. Without y, x must give batches (x, y): a list, an "
                f"iterator, or a function of a random generator that returns one; got "
                f"{type(stream).__name__}."
            )
        if isinstance(stream, (str, bytes, Mapping, type)):
            raise TypeError(f"{owner}: x must be arrays or batches, got {type(stream).__name__}.")
        if not isinstance(stream, Iterable) and not takes(stream, 1):
            raise TypeError(
                f"{owner}: a function that gives batches must take one argument, a random "
                f"generator, as in def batches(rng); got {stream!r}."
            )
        self.owner, self.model, self.loss, self.stream, self.limit = (
            owner, model, loss, stream, limit,
        )  # fmt: skip
        self.is_iterator = isinstance(stream, Iterator)
        self.metrics: Sequence[Metric] = ()
        self.weights: Mapping[int, float] | None = None

    def __len__(self) -> int:
        """The number of batches in an epoch; TypeError where nobody knows it."""
        known = None if callable(self.stream) or self.is_iterator else len(self.stream)
        if self.limit is None:
            return len(self.stream) if known is None else known
        return self.limit if known is None else min(known, self.limit)

    def check_metrics(self, metrics: Sequence[Metric]) -> None:
        """Let each metric see the first batch that comes."""
        self.metrics = metrics

    def weigh_classes(self, weights: Mapping[int, float]) -> None:
        """Multiply the loss of each row by the weight of its class."""
        self.weights = weights

    def batches(
        self,
        size: int | None,
        rng: np.random.Generator | None = None,
        rows: Array | None = None,
    ) -> Iterator[Batch]:
        """Yield each batch of an epoch, checked; with `rng` for a stream that is a function."""
        stream, n = self.stream, 0
        if callable(stream) and not isinstance(stream, Iterable):
            stream = stream(rng)
            if not isinstance(stream, Iterable):
                raise TypeError(
                    f"{self.owner}: the function given as x must return batches, an iterable; it "
                    f"returned {type(stream).__name__}."
                )
        for batch in islice(stream, self.limit):  # `enumerate` would keep one
            n += 1
            place = f"{self.owner}: batch {n}"
            with at(place):
                batch = self._check(place, batch)
            yield batch
            del batch  # makes room for the next
        if not n:
            hint = ""
            if self.is_iterator:
                hint = (
                    " An iterator is used up once: pass a list, or a function that makes a new "
                    "one, for several epochs; or steps_per_epoch, for one that never ends."
                )
            raise ValueError(f"{self.owner}: x gave no batch for this epoch.{hint}")

    def _check(self, owner: str, batch: Any) -> Batch:
        several = isinstance(batch, (tuple, list))
        if not several or len(batch) not in (2, 3) or isinstance(batch[0], numbers.Number):
            what = f" of {len(batch)}" if several else ""
            if several and len(batch) and isinstance(batch[0], numbers.Number):
                what += f", with {batch[0]!r} in it"
            raise TypeError(
                f"{owner} must be (x, y) or (x, y, sample_weight), got {type(batch).__name__}"
                f"{what}. If these are rows of the data, pass y as well."
            )
        x, y, weight = check_data(owner, self.model, self.loss, *batch)
        if self.metrics:
            check_targets(self.model, self.metrics, x, y)
            self.metrics = ()
        w = weight
        if self.weights is not None:
            raw = np.asarray(batch[1])
            classes = classes_of(raw) if one_a_row(raw, self.model.prediction_shape(x)) else None
            factor = factors(self.weights, classes, raw, self.model.dtype)
            w = factor if weight is None else weight * factor
        return Batch(self.model.convert(x), y, w, weight)


def source_of(
    owner: str, model: Model, loss: Any, x: Any, y: Any, weight: Any, limit: int | None = None
) -> Source:
    """Arrays if there is a y, else a stream."""
    if y is not None:
        if limit is not None:
            raise ValueError(
                f"{owner}: steps_per_epoch is for batches from an iterator; an epoch over arrays "
                "is all of their rows."
            )
        return ArraySource(owner, model, loss, x, y, weight)
    if weight is not None:
        raise ValueError(
            f"{owner}: the batches bring their own weights, (x, y, sample_weight); leave "
            "sample_weight out."
        )
    return StreamSource(owner, model, loss, x, limit)


# ---- the data of a fit ---------------------------------------------------------------------------


def hold_back(
    model: Model,
    loss: Any,
    source: Source,
    given: Any,
    split: Any,
    split_from: Any,
    split_seed: int,
) -> tuple[Array | None, Source | None, Array | None]:
    """Rows to train on, where the rows to validate with are, and which of them."""
    split = check_number("fit", "validation_split", split, low=0, high=1, open_high=True)
    check_choice("fit", "validation_from", split_from, ("random", "tail"))
    if given is not None:
        if split:
            raise ValueError("fit: give validation_data or validation_split, not both.")
        if isinstance(given, (tuple, list)) and not _are_batches(given) and len(given) in (2, 3):
            x, y, weight = (*given, None)[:3]
            with at(VALIDATION):
                return None, ArraySource(VALIDATION, model, loss, x, y, weight), None
        if isinstance(given, tuple) or hasattr(given, "shape"):
            raise TypeError("fit: validation_data must be (x, y) or (x, y, sample_weight).")
        if isinstance(given, list) and not given:
            raise ValueError("fit: validation_data is an empty list; expected (x, y) or batches.")
        stream = StreamSource(VALIDATION, model, loss, given, None)
        if stream.is_iterator:
            raise TypeError(
                "fit: validation_data must give its batches anew after each epoch: a list or a "
                f"function that makes an iterator, not {type(given).__name__}."
            )
        return None, stream, None
    if not split:
        return None, None, None
    if not isinstance(source, ArraySource):
        raise ValueError("fit: validation_split needs arrays; beside batches pass validation_data.")
    n = source.n
    if split_from == "tail":
        rows = np.arange(n)
        k = held_back("validation_split", n, split)
        return rows[:-k], source, rows[-k:]
    rest, held = split_rows("validation_split", n, split, [split_seed, n], source.classes)
    return rest, source, held


def settle(
    model: Model,
    loss: Any,
    source: Source,
    rows: Array | None,
    apart: Source | None,
    metrics: Sequence[Metric],
    class_weight: Any,
) -> dict[int, float] | None:
    """Let metrics and an own loss see the data, and weigh the classes; the weights of these."""
    weights = None
    if class_weight is not None:
        weights = class_weights("fit", class_weight, source, rows, whole=True)
    for each, owner in ((source, None), (apart, VALIDATION)):
        if each is None:
            continue
        with at(owner) if owner else contextlib.nullcontext():
            each.check_metrics(metrics)
            if weights is not None:
                each.weigh_classes(weights)
            if isinstance(each, ArraySource):
                try_loss(model, loss, each.batches(1))
    return weights


def _are_batches(given: Sequence[Any]) -> bool:
    """Whether this is a list of batches (x, y), and not [x, y] itself."""
    return type(given) is list and all(type(b) is tuple and len(b) in (2, 3) for b in given)


# ---- weights of classes --------------------------------------------------------------------------


def class_weights(
    owner: str, given: Any, source: Source, rows: Array | None = None, whole: bool = False
) -> dict[int, float]:
    r"""Check ``class_weight``, or find the balanced one: :math:`w_c = N / (C N_c)`.

    N_c of the N rows to train on are of class c. With these weights all classes have the same part
    in the loss, and the mean weight of a row is 1. Of a `whole` data set, and not of one batch or
    of test rows, each class that is named must occur.
    """
    classes = None
    if isinstance(source, ArraySource):
        classes = source.classes_to_weigh
        if classes is None:
            raise ValueError(f"{owner}: class_weight {needs_classes(source.y)}")
        classes = classes if rows is None else classes[rows]
    present, counts = np.unique([] if classes is None else classes, return_counts=True)
    if isinstance(given, str) and given == "balanced":
        if classes is None or isinstance(source, StreamSource):
            raise ValueError(
                f'{owner}: class_weight="balanced" counts the rows of each class, which a stream '
                "does not tell; give a dictionary of weights."
            )
        last = source.prediction_shape[-1]  # several outputs are one for each class
        several = len(source.prediction_shape) == 2 and last > 1
        pair = [-1, 1] if present.min() < 0 else [0, 1]
        expected = np.arange(last) if several else pair if np.isin(present, pair).all() else present
        missing = np.setdiff1d(expected, present)
        if missing.size:
            raise ValueError(
                f'{owner}: class_weight="balanced" would divide by zero: no row to train on is of '
                f"class {missing[0]}. Give a dictionary of weights."
            )
        n = len(classes)
        return {int(c): n / (len(present) * int(k)) for c, k in zip(present, counts, strict=True)}
    if not isinstance(given, Mapping):
        raise TypeError(
            f'{owner}: class_weight must be "balanced" or a dictionary of weights by class, as in '
            f"{{0: 1.0, 1: 5.0}}; got {given!r}."
        )
    weights = {}
    for key, value in given.items():
        if isinstance(key, bool) or not isinstance(key, (int, np.integer)):
            raise TypeError(f"{owner}: the keys of class_weight are class numbers, got {key!r}.")
        if whole and classes is not None and key not in present:
            raise ValueError(
                f"{owner}: class_weight has class {key}, but no row to train on is of it; the "
                f"classes are {', '.join(map(str, present[:20].tolist()))}."
            )
        weights[int(key)] = check_number(owner, f"the weight of class {key}", value, low=0)
    return weights


def one_a_row(y: Array, prediction_shape: tuple[int, ...]) -> bool:
    """Whether targets say one thing of each row: (N,), (N, 1), or one-hot beside (N, C)."""
    return y.size == len(y) or y.shape == prediction_shape


def factors(weights: Mapping[int, float], classes: Array | None, y: Array, dtype: Any) -> Array:
    """The weight (N,) of each row's class; 1 for a class that has none."""
    if classes is None:
        raise ValueError(f"class_weight {needs_classes(y)}")
    present, index = np.unique(classes, return_inverse=True)
    table = np.array([weights.get(int(c), 1.0) for c in present])
    return cast("class_weight", table, dtype)[index.ravel()]


def needs_classes(y: Array) -> str:
    """Why targets have no class for each row."""
    return (
        "needs one class for each row: targets that are integers (N,), 0 and 1, or one-hot; got "
        f"{y.dtype} of shape {show(y.shape)}."
    )
