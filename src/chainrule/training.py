"""Training: the algorithm of the lecture. Take a batch, predict, measure the loss, send the
gradient back, make a step; again and again, with the figures of every epoch written down."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from typing import TYPE_CHECKING, Any

import numpy as np

from .border import (
    check_batch_size,
    check_loss,
    check_metrics,
    check_optimizer,
    formula_of,
)
from .callbacks import Callback, Checkpoint, TerminateOnNaN, check_callbacks, looks_at_batches
from .errors import DivergenceError, check_count, check_flag
from .history import History
from .metrics import LossMetric, Metric
from .sources import ArraySource, StreamSource, class_weights, hold_back, settle, source_of
from .steps import StepRules, blame_state, is_finite, train_step
from .threads import one_thread, wants_one_thread

if TYPE_CHECKING:
    from ._types import Array
    from .model import Model
    from .optimizers import Optimizer
    from .sources import Batch, Source
    from .workers import Crew


def fit(
    model: Model,
    x: Any,
    y: Any,
    *,
    loss: Any,
    optimizer: Any,
    epochs: int,
    batch_size: int | None,
    validation_data: Any,
    validation_split: float,
    validation_from: str,
    metrics: Iterable[Any],
    callbacks: Iterable[Callback],
    shuffle: bool,
    class_weight: Any,
    sample_weight: Any,
    initial_epoch: int,
    steps_per_epoch: int | None,
    accumulate: int,
    resume_from: Any,
    workers: int,
    verbose: Any,
    **rules: Any,
) -> History:
    """Train a model; `Model.fit` describes it."""
    check_loss(model, loss)
    check_optimizer(model, optimizer)
    epochs = check_count("fit", "epochs", epochs, low=0)
    initial_epoch = check_count("fit", "initial_epoch", initial_epoch, low=0)
    shuffle = check_flag("fit", "shuffle", shuffle)
    size = check_batch_size("fit", batch_size)
    accumulate = check_count("fit", "accumulate", accumulate)
    workers = check_count("fit", "workers", workers)
    step_rules = StepRules("fit", **rules)
    if steps_per_epoch is not None:
        steps_per_epoch = check_count("fit", "steps_per_epoch", steps_per_epoch)
    limit = None if steps_per_epoch is None else steps_per_epoch * accumulate
    callbacks = check_callbacks(callbacks, verbose)
    run = None
    if resume_from is not None or any(isinstance(c, Checkpoint) for c in callbacks):
        from .resuming import Run  # costs time to load

        if resume_from is not None and initial_epoch:
            raise ValueError("fit: resume_from knows the epoch to go on with; no initial_epoch.")
        run = Run(model, optimizer, callbacks, resume_from)
    source = source_of("fit", model, loss, x, y, sample_weight, limit)
    chosen = check_metrics(metrics)
    rows, validation, validation_rows = hold_back(
        model, loss, source, validation_data, validation_split, validation_from,
        model.split_seed if run is None else run.split_seed,
    )  # fmt: skip
    apart = validation if validation is not source else None
    weights = settle(model, loss, source, rows, apart, chosen, class_weight)
    if run is not None:
        settings = {
            "loss": loss, "metrics": [(m.name, m) for m in chosen], "batch_size": size,
            "accumulate": accumulate, "shuffle": shuffle, "class_weight": weights,
            "steps_per_epoch": steps_per_epoch, "workers": workers, **rules,
        }  # fmt: skip
        run.compare((source, rows), (validation, validation_rows), settings, epochs)
    crew = None
    if workers > 1:
        from .workers import Crew  # costs time to load

        crew = Crew(model, workers)
    alone = wants_one_thread(model, source, rows, size, workers)

    steps = count_steps(source, rows, size, accumulate)
    by_batch = [callback for callback in callbacks if looks_at_batches(callback)]
    monitors = monitors_of(chosen, validation is not None)
    history = History()
    history.class_weight = weights
    ended = False
    with _as_before(model, callbacks):
        model.stop_training = False
        for callback in callbacks:
            callback.model, callback.optimizer = model, optimizer
            callback.params = {"epochs": epochs, "steps": steps, "monitors": monitors}
        for callback in callbacks:
            callback.on_train_begin()
        if run is not None:
            run.check_saving()
            if resume_from is not None:
                initial_epoch, ended = run.restore(history)
    model.history = history
    rng = model.shuffle_rng if shuffle or isinstance(source, StreamSource) else None
    with contextlib.ExitStack() as stack:  # each on_train_end is called, whatever the others do
        for callback in reversed(callbacks):
            stack.callback(callback.on_train_end)
        if alone:
            one_thread.until_closed(stack)
        if crew is not None:
            stack.enter_context(crew)
        for epoch in range(initial_epoch, initial_epoch if ended else epochs):
            last_good: Any = None  # lets go of the copies of the epoch before
            last_good = model.state_dict(), _state_of(optimizer)
            for callback in callbacks:
                callback.on_epoch_begin(epoch)
            order = groups(source.batches(size, rng, rows), accumulate)
            if crew is not None:
                crew.begin_epoch()
            try:
                figures = _train_epoch(
                    model, loss, optimizer, order, step_rules, chosen, by_batch, crew
                )
            except DivergenceError as error:
                _put_back(model, optimizer, last_good, epoch, error, callbacks)
                break
            if validation is not None:
                after = evaluate_source(model, loss, chosen, validation, rows=validation_rows)
                figures |= {f"val_{name}": value for name, value in after.items()}
            history.add(epoch, figures)
            for callback in callbacks:
                callback.on_epoch_end(epoch, figures)
            if run is not None:  # when all have seen the epoch
                run.save(epoch)
            if model.stop_training:
                break
    return history


@contextlib.contextmanager
def _as_before(model: Model, callbacks: Sequence[Callback]) -> Iterator[None]:
    """Give callbacks their memory back when one of them, or the run, refuses to begin."""
    stopped, told = model.stop_training, [(c, dict(vars(c))) for c in callbacks]
    try:
        yield
    except BaseException:
        model.stop_training = stopped
        for callback, attributes in told:
            vars(callback).clear()
            vars(callback).update(attributes)
        raise


def count_steps(
    source: Source, rows: Array | None, size: int | None, accumulate: int
) -> int | None:
    """Steps in an epoch; None for a stream that does not tell."""
    if isinstance(source, ArraySource):
        n = source.n if rows is None else len(rows)
        count = -(-n // (size or n))
    else:
        try:
            count = len(source)
        except TypeError:
            return None
    return -(-count // accumulate)


def monitors_of(metrics: Sequence[Metric], validated: bool) -> dict[str, bool]:
    """The name of every number that the history will hold, with whether higher is better."""
    monitors = {"loss": False}
    monitors |= {m.name: m.higher_is_better for m in metrics if m.higher_is_better is not None}
    if validated:
        monitors |= {f"val_{name}": higher for name, higher in monitors.items()}
    return monitors


def _put_back(
    model: Model,
    optimizer: Any,
    last_good: tuple[Any, Any],
    epoch: int,
    error: DivergenceError,
    callbacks: Sequence[Callback],
) -> None:
    """After a divergence: what was before the epoch; raise, or end training if that is wanted."""
    model.load_state_dict(last_good[0])
    if last_good[1] is not None:
        optimizer.load_state_dict(last_good[1])
    message = (
        f"Training stopped in epoch {epoch + 1}, {error} The weights are those before this epoch, "
        f"or the best where EarlyStopping keeps them, and so is the state of {optimizer!r}. Look "
        "for values in the data that are not finite or not scaled, and try a smaller learning rate."
    )
    quiet = [callback for callback in callbacks if isinstance(callback, TerminateOnNaN)]
    if not quiet:
        raise DivergenceError(message) from None
    for callback in quiet:
        callback.end_training(epoch, message)


def groups(batches: Iterator[Batch], k: int) -> Iterator[Iterator[Batch]]:
    """Yield k batches at a time, or what is left; each group is used up before the next."""

    def group(held: list[Batch]) -> Iterator[Batch]:
        yield held.pop()  # nobody else has it, so that it goes before the next comes
        yield from islice(batches, k - 1)

    for batch in batches:
        held = [batch]
        del batch
        yield group(held)


def _state_of(optimizer: Any) -> Any:
    """A copy of an optimizer's state; None for a user's own that has none to give."""
    return optimizer.state_dict() if hasattr(optimizer, "load_state_dict") else None


def _train_epoch(
    model: Model,
    loss: Any,
    optimizer: Optimizer,
    order: Iterator[Iterator[Batch]],
    rules: StepRules,
    metrics: Sequence[Metric],
    callbacks: Sequence[Callback],
    crew: Crew | None = None,
) -> dict[str, Any]:
    """Make a step for every few batches; return the means over the epoch."""
    formula = formula_of(loss)
    mean_loss = LossMetric(loss, "loss")
    for metric in metrics:
        metric.reset()

    def see(prediction: Array, batch: Batch) -> None:
        for metric in metrics:
            metric.update(prediction, batch.y, batch.sample_weight)

    for step, group in enumerate(order):
        for callback in callbacks:
            callback.on_train_batch_begin(step)
        try:
            value, n = train_step(model, formula, optimizer, group, rules, see, crew)
        except DivergenceError as error:
            raise DivergenceError(f"step {step + 1}: {error}") from None
        mean_loss.add(value, n)
        for callback in callbacks:
            callback.on_train_batch_end(step, {"loss": value})
        if model.stop_training:
            break
    if not is_finite(model):  # the last step may overflow
        raise DivergenceError(f"step {step + 1}: {blame_state(model)}")
    return {metric.name: metric.result() for metric in (mean_loss, *metrics)}


def train_on_batch(
    model: Model,
    x: Any,
    y: Any,
    loss: Any,
    optimizer: Any,
    sample_weight: Any,
    class_weight: Any,
    **rules: Any,
) -> float:
    """One step on one batch; `Model.train_on_batch` describes it."""
    owner = "train_on_batch"
    check_optimizer(model, optimizer)
    step_rules = StepRules(owner, **rules)
    source = ArraySource(owner, model, loss, x, y, sample_weight)
    if class_weight is not None:
        source.weigh_classes(class_weights(owner, class_weight, source))
    value, _ = train_step(model, formula_of(loss), optimizer, source.batches(None), step_rules)
    if not is_finite(model):  # fit would find it in the next step, but there may be none
        raise DivergenceError(
            f"train_on_batch: {blame_state(model)} Put back weights from before, as of "
            "model.state_dict(), and try a smaller learning rate."
        )
    return value


def evaluate(
    model: Model,
    owner: str,
    x: Any,
    y: Any,
    loss: Any,
    metrics: Any,
    sample_weight: Any,
    class_weight: Any,
    batch_size: int | None,
) -> dict[str, Any]:
    """Loss and metrics of data as a user has them; `Model.evaluate` describes it."""
    check_loss(model, loss)
    source = source_of(owner, model, loss, x, y, sample_weight)
    chosen = check_metrics(metrics)
    source.check_metrics(chosen)
    if class_weight is not None:
        source.weigh_classes(class_weights(owner, class_weight, source))
    return evaluate_source(model, loss, chosen, source, batch_size)


def evaluate_source(
    model: Model,
    loss: Any,
    metrics: Sequence[Metric],
    source: Source,
    batch_size: int | None = 1024,
    rows: Array | None = None,
) -> dict[str, Any]:
    """Loss and metrics in evaluation mode, batch by batch of 16 MB of inputs at most."""
    if batch_size is not None and isinstance(source, ArraySource):
        batch_size = min(batch_size, max(1, (1 << 22) * source.n // max(source.x.size, 1)))
    formula = formula_of(loss)
    mean_loss = LossMetric(loss, "loss")
    for metric in metrics:
        metric.reset()
    rng = None if isinstance(source, ArraySource) else np.random.default_rng(model.split_seed)
    for batch in source.batches(batch_size, rng, rows):
        with np.errstate(all="ignore"):
            prediction = model(batch.x)
            mean_loss.add(formula(prediction, batch.y, batch.loss_weight)[0], len(prediction))
            for metric in metrics:
                metric.update(prediction, batch.y, batch.sample_weight)
        del batch, prediction  # makes room for the next
    return {metric.name: metric.result() for metric in (mean_loss, *metrics)}
