"""A run as a file, and a run from a file: everything that the epochs to come depend on. What cannot
be saved, as data and functions, is compared, so that no run goes on as a mixture of two."""

from __future__ import annotations

import contextlib
import copy
import inspect
import json
import numbers
import os
import re
import zlib
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from . import files
from .callbacks import Callback, Checkpoint
from .described import entry
from .errors import check_number, show
from .history import History
from .model import Model
from .parameters import unique
from .sources import ArraySource

if TYPE_CHECKING:
    from ._types import Array
    from .sources import Source

# What a checksum is made of, at most: rows, for each may have to be read from a disk, and numbers.
ROWS, NUMBERS = 1000, 1 << 19


class Run:
    """A run of `fit` that is written to files, or goes on from one.

    Parameters
    ----------
    model, optimizer, callbacks
        Those of the fit.
    path : str or os.PathLike, optional
        A checkpoint to go on from; there need be none yet.

    Attributes
    ----------
    split_seed : int
        What rows to validate with are drawn from: the model's, or that of the checkpoint.
    """

    def __init__(
        self, model: Model, optimizer: Any, callbacks: Sequence[Callback], path: Any
    ) -> None:
        self.model, self.optimizer, self.path = model, optimizer, path
        for method in ("state_dict", "load_state_dict"):
            if not hasattr(optimizer, method):
                raise TypeError(
                    f"{optimizer!r} has no {method}, so a run with it can be neither saved nor "
                    "resumed."
                )
        self.callbacks = [callback for callback in callbacks if callback.part_of_run]
        self.checkpoints = [c for c in callbacks if isinstance(c, Checkpoint)]
        # what a callback may change during the run, as it was before
        self.start = {
            "frozen layers": frozen(model),
            **{f"the optimizer's {k}": text(v) for k, v in options(optimizer).items()},
        }
        self.settings: dict[str, Any] = {}
        self.split_seed = model.split_seed
        self.saved: dict[str, Any] | None = None
        if path is not None:
            if not isinstance(path, (str, os.PathLike)):
                raise TypeError(f"fit: resume_from must be the path of a file, got {path!r}.")
            self.path = os.fsdecode(path)
            if self._is_there():
                self._read()

    # ---- to a file -------------------------------------------------------------------------------

    def check_saving(self) -> None:
        """Refuse at the start of a fit what would be refused after its first epoch."""
        if self.checkpoints:
            self._members(0)
        paths = [path for checkpoint in self.checkpoints for path in checkpoint.targets()]
        files_of_fit = [os.path.realpath(path) for path in paths]
        for i, path in enumerate(paths):
            # the best model, say, under the run of another checkpoint
            if files_of_fit[i] in files_of_fit[:i]:
                raise ValueError(f"Checkpoint: two files of this fit would be {path!r}.")
            files.check_writable(path)

    def save(self, epoch: int) -> None:
        """Write the checkpoints that are due after this epoch, counted from 0."""
        due = [checkpoint.target for checkpoint in self.checkpoints if checkpoint.is_due(epoch)]
        if due:
            members = self._members(epoch + 1)
            for path in due:
                files.save(self.model, path, members)

    def _members(self, done: int) -> dict[str, Array]:
        model, optimizer = self.model, self.optimizer
        history = model.history if done else History()
        numbers = {}
        for name, value in options(optimizer).items():
            if not callable(value):
                numbers[name] = value
            elif text(value) != self.start.get(f"the optimizer's {name}"):
                raise TypeError(f"Checkpoint: {name} became {value!r}, which cannot be saved.")
        return files.run_members(
            {
                "done": done,
                "ended": bool(model.stop_training),
                "settings": self.settings,
                "start": self.start,
                "split_seed": model.split_seed,
                "generators": {name: state_of(name, r) for name, r in generators(model).items()},
                "options": numbers,
                "optimizer": optimizer.state_dict(),
                "epochs": history.epochs,
                "figures": dict(history),
                **{name: callback.state_dict() for name, callback in self._named()},
            }
        )

    def _named(self) -> list[tuple[str, Callback]]:
        """The callbacks by the names that their parts of the file have."""
        return [(f"callback {i}, {type(c).__name__},", c) for i, c in enumerate(self.callbacks)]

    # ---- from a file -----------------------------------------------------------------------------

    @contextlib.contextmanager
    def _resuming(self) -> Iterator[None]:
        """Name the file in whatever is wrong with it; what the system refuses stays an OSError."""
        try:
            yield
        except OSError:
            raise
        except Exception as error:
            reason = files.reason_of(error)
            raise ValueError(
                f"fit: the run in {self.path!r} cannot be resumed: {reason}"
            ) from error

    def _is_there(self) -> bool:
        """Asked of the path alone: an own layer that misses a file of its own is no new run."""
        try:
            os.stat(files.check_path(self.path))
        except FileNotFoundError:
            return False
        return True

    def _read(self) -> None:
        """Read the checkpoint and compare the models."""
        with self._resuming():
            self.saved_model, saved = files.load_run(Model, self.path)
            if saved is None:
                raise ValueError(
                    "the file holds a model and no run. Model.load opens it; files to resume from "
                    "are written by Checkpoint."
                )
            for name in ("settings", "start", "options", "generators", "figures"):
                entry(saved, name, dict, files.RUN)
            if architecture(self.saved_model) != architecture(self.model):
                raise ValueError(f"it is that of {self.saved_model!r}, not of {self.model!r}.")
            seed = saved["split_seed"]
            if type(seed) is not int or seed < 0:
                raise ValueError(f"its split_seed is {seed!r}.")
        files.warn_of_gaps(self.saved_model, self.path, stacklevel=6)
        self.saved, self.split_seed = saved, seed

    def compare(
        self,
        data: tuple[Source, Array | None],
        validation: tuple[Source | None, Array | None],
        settings: Mapping[str, Any],
        epochs: int,
    ) -> None:
        """Refuse to go on with other data (a source, and which of its rows) or settings."""
        if self.path is not None and getattr(data[0], "is_iterator", False):
            raise ValueError(
                "fit: resume_from needs batches that can be had again: an iterator cannot be put "
                "where the run stopped. Pass a list, or a function that makes a new one."
            )
        self.settings = {
            "data": fingerprint(*data),
            "validation": fingerprint(*validation),
            "optimizer": type(self.optimizer).__name__,
            "callbacks": [type(callback).__name__ for callback in self.callbacks],
            **{name: text(value) for name, value in settings.items()},
        }
        if self.saved is None:
            return
        with self._resuming():
            then, start, done = (self.saved[key] for key in ("settings", "start", "done"))
            then = {"workers": "1", **then}  # of files from before there were any
            now = {f"the optimizer's {k}": text(v) for k, v in self.saved["options"].items()}
            now["frozen layers"] = frozen(self.saved_model)
            pairs = [(k, then[k], v) for k, v in self.settings.items()]
            pairs += [(k, start.get(k), v) for k, v in self.start.items() if now.get(k) != v]
            different = [f"{k} was {was}, and is {now}" for k, was, now in pairs if was != now]
            if different:
                raise ValueError(
                    f"{'; '.join(different)}. A run goes on with the same data and settings, only "
                    "epochs may grow. To train its model in another way, open it with Model.load."
                )
            if done > epochs:
                raise ValueError(f"it has had {done} epochs already, more than epochs={epochs}.")

    def restore(self, history: History) -> tuple[int, bool]:
        """Take everything over; return how many epochs are done, and whether training ended.

        The file is checked before the model is touched.
        """
        if self.saved is None:
            return 0, False
        model, optimizer, saved = self.model, self.optimizer, self.saved
        before = optimizer.state_dict()
        drawn = generators(model)
        with self._resuming():
            done, ended, epochs = saved["done"], saved["ended"], saved["epochs"]
            figures = {name: list(values) for name, values in saved["figures"].items()}
            counts = all(type(n) is int and n >= 0 for n in (done, *epochs))
            if not counts or type(ended) is not bool:
                raise ValueError("its epochs are not counts.")
            if not all(type(k) is str and type(v) is list for k, v in saved["figures"].items()):
                raise ValueError("its figures are not lists with names.")
            check_options(optimizer, saved["options"])
            for name, rng in drawn.items():
                check_state(name, rng, saved["generators"][name])
            try:
                optimizer.load_state_dict(saved["optimizer"])
                if hasattr(optimizer, "check"):
                    optimizer.check(model.parameters, model.gradients)
                for name, callback in self._named():
                    callback.load_state_dict(saved[name])
            except Exception:
                optimizer.load_state_dict(before)
                raise
        for name, value in saved["options"].items():
            setattr(optimizer, name, value)
        model.load_state_dict(self.saved_model.state_dict())
        layers = unique(model.layers)
        for name, layer in unique(self.saved_model.layers).items():
            layers[name].__dict__["_trainable"] = layer._trainable
        for name, rng in drawn.items():
            rng.bit_generator.state = saved["generators"][name]
        model.seed, model.split_seed = self.saved_model.seed, self.split_seed
        model.metadata = model.metadata or self.saved_model.metadata  # the next file has it too
        model.stop_training = ended
        history.update(figures)
        history.epochs = list(epochs)
        self.start = saved["start"]
        return done, ended


# ---- what is compared, and what is drawn from ----------------------------------------------------


def text(value: Any) -> str:
    """A value as it is printed, without what differs from process to process."""
    return re.sub(r" at 0x[0-9a-fA-F]+", "", repr(value))


def architecture(model: Model) -> str:
    """The layers with their arguments, and the dtype."""
    described = files.describe(model)
    return json.dumps([described["layers"], described["dtype"]])


def frozen(model: Model) -> str:
    """The layers that do not learn, by name."""
    return text(files.describe(model)["frozen"])


def options(optimizer: Any) -> dict[str, Any]:
    """The optimizer's public attributes that are numbers, texts or functions."""
    plain = (bool, int, float, str, tuple, np.generic, type(None))
    return {
        name: value
        for name, value in getattr(optimizer, "__dict__", {}).items()
        if name[0] != "_" and name != "steps" and (isinstance(value, plain) or callable(value))
    }


def check_options(optimizer: Any, given: Mapping[str, Any]) -> None:
    """Refuse options of a file that this optimizer does not have, or of another kind."""
    own = {name: value for name, value in options(optimizer).items() if not callable(value)}
    if given.keys() != own.keys():
        raise ValueError(f"the optimizer's options are {list(own)}, those saved {list(given)}.")
    for name, value in given.items():
        for number in value if type(value) is tuple else (value,):
            if _kind(number) is float:
                check_number("the optimizer", name, number)
        if len({_kind(v) for v in (value, own[name]) if v is not None}) > 1:
            raise ValueError(f"the optimizer's {name} is {own[name]!r}, that saved {value!r}.")
    kind = type(optimizer)
    if kind.__module__.startswith("chainrule."):  # its constructor knows the ranges
        kind(**{k: given.get(k, getattr(optimizer, k)) for k in inspect.signature(kind).parameters})


def _kind(value: Any) -> Any:
    """The type of an option, `float` for every real number; of a tuple that of its items too."""
    if type(value) is tuple:
        return tuple(map(_kind, value))
    return float if type(value) is not bool and isinstance(value, numbers.Real) else type(value)


def fingerprint(source: Source | None, rows: Array | None) -> str:
    """Data as a text: how many rows, and a checksum of some of them; a stream cannot be seen."""
    if not isinstance(source, ArraySource):
        return "none" if source is None else "batches"
    chosen = np.arange(source.n) if rows is None else rows
    per_row = max(1, source.x.size // source.n)
    count = min(len(chosen), ROWS, max(1, NUMBERS // per_row))
    checksum = zlib.crc32(chosen.tobytes())
    sample = chosen[np.linspace(0, len(chosen) - 1, count).astype(np.intp)]
    (batch,) = source.batches(None, None, sample)
    for array in batch:
        if array is not None:
            checksum = zlib.crc32(array.tobytes(), checksum)
    return f"{len(chosen)} rows of {show(source.x.shape[1:])} with checksum {checksum:08x}"


def generators(model: Model) -> dict[str, Any]:
    """Every random generator of a model by name."""
    layers = {f"{name}rng": layer.rng for name, layer in unique(model.layers).items()}
    return {"shuffle_rng": model.shuffle_rng, **layers}


def state_of(name: str, rng: Any) -> dict[str, Any]:
    """The state of a generator, as plain numbers and arrays."""
    if not isinstance(rng, np.random.Generator):
        raise TypeError(
            f"Checkpoint: {name} must be a numpy.random.Generator to be saved, got {rng!r}."
        )
    return dict(rng.bit_generator.state)


def check_state(name: str, rng: np.random.Generator, state: Mapping[str, Any]) -> None:
    """Refuse a state that is none of this generator, which stays as it is."""
    trial = copy.deepcopy(rng.bit_generator)
    kinds = [s["bit_generator"] for s in (state, trial.state)]
    if kinds[0] != kinds[1]:
        raise ValueError(f"{name} was drawn by {kinds[0]}, and is by {kinds[1]}.")
    inner = state["state"]
    for where, key, last in ((inner, "pos", 624), (state, "buffer_pos", 4)):
        if key in where and (type(where[key]) is not int or not 0 <= where[key] <= last):
            # NumPy would take it, and read from there: MT19937 has 624 numbers, Philox four
            raise ValueError(f"the state of {name} is out of range.")
    trial.state = state
    if str(trial.state) != str(state):
        raise ValueError(f"the state of {name} is out of range.")
