"""The model: the root of a network. It packs all parameters into one flat vector, owns the source
of randomness, checks what comes in, and carries the verbs: fit, evaluate, predict, save, load."""

from __future__ import annotations

import copy
import os
import warnings
from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, TypeAlias

import numpy as np

from . import backprop, summary, training
from .border import check_batch_size
from .errors import as_numbers, cast, check_choice, check_count, show
from .history import History
from .layers.containers import (
    begins_with_indices,
    chain_shape,
    check_layer,
    embeddings,
    last_computing,
    splice,
)
from .parameters import FlatParameters, walk

if TYPE_CHECKING:
    from numpy.typing import DTypeLike

    from ._types import Array, Shape
    from .callbacks import Callback
    from .layer import Layer
    from .losses import Loss
    from .metrics import Metric
    from .optimizers import Optimizer

    LossLike: TypeAlias = Loss | Callable[..., tuple[float, Array]]


class Pass(NamedTuple):
    """What `Model.backward` needs of a forward pass: each layer's cache, and y's shape."""

    caches: list[Any]
    shape: tuple[int, ...]
    layers: tuple[Layer, ...]


class Model:
    r"""A network: layers in a chain, with everything it takes to train and use them.

    Parameters
    ----------
    *layers : Layer
        A layer belongs to one model; copy one with `copy.deepcopy` to use it in a second.
    seed : int, optional
        Fixes initial weights, dropout, shuffling and the validation split. Taken from the system
        if not given.
    dtype : "float32" or "float64"
        Of all parameters and of the data that are computed with.

    Attributes
    ----------
    layers : tuple of Layer
        The chain; a `Sequential` among the arguments was taken apart.
    parameters, gradients : array (num_parameters,)
        The flat vectors; every layer's arrays are views of `parameters`.
    num_parameters : int
    history : History
        Of the last `fit`, also of one that was interrupted.
    metadata : dict
        What belongs to the model and is no number that it computes with: names of features and
        classes, say. Saved with it, as plain JSON: dicts, lists, texts, numbers, booleans, None.

    Raises
    ------
    TypeError, ValueError
        For what is not a layer, for layers that do not fit each other (both are named, with their
        shapes), for a layer of another model, and for other seeds and dtypes.

    Examples
    --------
    >>> from chainrule import Adam, BinaryCrossEntropy, Dense, Model, Tanh, datasets
    >>> x, y = datasets.xor()
    >>> model = Model(Dense(2, 8), Tanh(), Dense(8, 1), seed=0)
    >>> history = model.fit(x, y[:, None], loss=BinaryCrossEntropy(), optimizer=Adam(0.1),
    ...                     epochs=100, batch_size=None, verbose=0)
    >>> (model(x) > 0).astype(int).ravel().tolist(), y.tolist()
    ([0, 1, 1, 0], [0, 1, 1, 0])

    References
    ----------
    Flat storage of all parameters: Torch7's ``getParameters``, Collobert et al. 2011. The
    arguments of `fit` are those of Keras.
    """

    def __init__(
        self, *layers: Layer, seed: int | None = None, dtype: DTypeLike = "float32"
    ) -> None:
        for layer in layers:
            check_layer("Model", layer)
        if not (isinstance(dtype, (type, np.dtype)) and dtype in (np.float32, np.float64)):
            check_choice("Model", "dtype", dtype, ("float32", "float64"))
        if seed is not None:
            seed = check_count("Model", "seed", seed, low=0, high=None)
        self.layers = tuple(splice(layers))
        if not self.layers:
            raise ValueError("Model: give at least one layer, as in Model(Dense(2, 1)).")
        self.dtype: np.dtype[Any] = np.dtype(dtype)
        chain_shape(self.layers, (...,))
        self.takes_indices = begins_with_indices(self.layers)
        self.input_dtype = np.dtype(np.intp) if self.takes_indices else self.dtype
        positions = list(walk(self.layers))
        for _, layer in positions:
            if layer.owner_model is not None:
                raise ValueError(
                    f"Model: {layer!r} belongs to another model. Use copy.deepcopy(layer) to "
                    "start from its values; to see hidden units there is model.activations(x)."
                )
            if seed is not None and layer.has_system_values:
                warnings.warn(
                    f"Model: seed={seed} does not reach {layer!r}, whose parameters were drawn "
                    "when they were looked at before; they keep their values.",
                    stacklevel=2,
                )
        # One child of the seed for each purpose and each position, all made here and never later.
        source = np.random.SeedSequence(seed)
        self.seed = source.entropy
        split, shuffle, *children = source.spawn(2 + len(positions))
        self.split_seed = int(split.generate_state(1)[0])
        self.shuffle_rng = np.random.default_rng(shuffle)
        before = [(layer, dict(vars(layer))) for _, layer in positions]
        for (_, layer), child in zip(positions, children, strict=True):
            if layer.owner_model is not self:
                layer.join_model(self, np.random.default_rng(child))
        self.stop_training = False
        self.history = History()
        self.metadata: dict[str, Any] = {}
        try:
            self._pack()
        except BaseException:
            for layer, attributes in before:
                layer.leave_model(attributes)
            raise

    def _pack(self) -> None:
        """Tie the layers' arrays to new flat vectors."""
        self._flat = FlatParameters(self.layers, self.dtype)
        self.buffers = list(self._flat.named_buffers().values())
        self._learning: list[bool] | None = None  # what the views and spans below were made for
        self._shapes: dict[Shape, Shape] = {}  # of inputs that were checked: of their outputs

    # ---- parameters -----------------------------------------------------------------------------

    @property
    def parameters(self) -> Array:
        """All parameters as one flat vector; changing it changes the layers."""
        return self._flat.values

    @parameters.setter
    def parameters(self, values: Any) -> None:
        self._copy_in("parameters", self.parameters, values)

    @property
    def gradients(self) -> Array:
        """dL/dp of all parameters as one flat vector, as the last `backward` left it."""
        return self._flat.gradients

    @gradients.setter
    def gradients(self, values: Any) -> None:
        self._copy_in("gradients", self.gradients, values)

    def _copy_in(self, name: str, flat: Array, values: Any) -> None:
        if values is flat:  # as after `model.gradients *= 0.5`
            return
        array = as_numbers(f"Model.{name}", values)
        if array.shape != flat.shape:
            raise ValueError(
                f"Model.{name} must have shape {show(flat.shape)}, got {show(array.shape)}."
            )
        flat[...] = cast(f"Model.{name}", array, self.dtype)

    @property
    def probability_layer(self) -> Layer | None:
        """The Softmax, Sigmoid or other layer that makes the predictions probabilities, if any."""
        last = last_computing(self.layers)
        return last if last.gives_probabilities else None

    @property
    def num_parameters(self) -> int:
        """How many numbers are learned, a layer that stands twice counted once."""
        return self._flat.values.size

    @property
    def spans(self) -> list[tuple[slice, float | None]] | None:
        """The parts of the flat vectors that learn, as of the last `backward`; None for all."""
        if self._learning is None:
            self._plan()
        return self._spans

    @property
    def weight_spans(self) -> list[tuple[slice, float | None]]:
        """The parts that learn, with no decay for those that are biases or belong to norms."""
        if self._learning is None:
            self._plan()
        return self._weight_spans

    def weights(self, frozen: bool = True) -> list[tuple[str, Array, int]]:
        """Name and view of all weights, not biases, with the axis that a unit's lie along."""
        return [
            (name, self._flat.view(self.parameters, slot), slot.weight_axis)
            for name, slot in self._flat.slots.items()
            if slot.weight_axis is not None and (frozen or slot.layer._trainable)
        ]

    def named_parameters(self) -> dict[str, Array]:
        """Views of the parameters by name, as in ``{"0.W": ..., "0.b": ...}``."""
        return self._flat.named(self.parameters)

    def named_gradients(self) -> dict[str, Array]:
        """Views of the gradients by name."""
        return self._flat.named(self.gradients)

    def named_buffers(self) -> dict[str, Array]:
        """The buffers by name, as in ``{"1.running_mean": ...}``."""
        return self._flat.named_buffers()

    def state_dict(self) -> dict[str, Array]:
        """Copies of all parameters and buffers by name."""
        return {
            name: array.copy()
            for name, array in (self.named_parameters() | self.named_buffers()).items()
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Copy parameters and buffers in, all or none.

        Raises
        ------
        ValueError
            For names that are missing or too many, and for wrong shapes; nothing was changed then.
        """
        if not isinstance(state, Mapping):
            raise TypeError(f"load_state_dict: expected arrays by name, got {state!r}.")
        own = self.named_parameters() | self.named_buffers()
        missing = sorted(own.keys() - state.keys())
        unknown = sorted(state.keys() - own.keys(), key=str)
        if missing or unknown:
            raise ValueError(
                f"load_state_dict: the names do not fit this model; missing {missing}, "
                f"unknown {unknown}."
            )
        checked = {}
        for name, array in own.items():
            what = f"load_state_dict: {name}"
            given = as_numbers(what, state[name])
            if given.shape != array.shape:
                raise ValueError(
                    f"{what} must have shape {show(array.shape)}, got {show(given.shape)}."
                )
            checked[name] = cast(what, given, array.dtype)
        for name, array in own.items():
            array[...] = checked[name]

    # ---- forward and backward -------------------------------------------------------------------

    def __call__(self, x: Any) -> Array:
        """Predict, in evaluation mode: the layers one after another, nothing kept.

        Several threads may do so at once.
        """
        x = self.convert(x)
        for layer in self.layers:
            x, _ = layer.forward(x)
        y: Array = x
        return y

    def forward(self, x: Any, training: bool = False) -> tuple[Array, Pass]:
        """Return ``y, caches``: predictions, and what `backward` needs of this pass.

        Layers may keep y itself in their cache, so change a copy of it, not y.
        """
        y, caches = backprop.forward(self.layers, self.convert(x), training)
        return y, Pass(caches, y.shape, self.layers)

    def backward(self, dy: Any, caches: Pass, need_dx: bool = True) -> Array | None:
        """Send dL/dy back: writes the whole of `gradients`, returns dL/dx.

        Parameters
        ----------
        dy : array of y's shape
        caches : what `forward` returned with that y
        need_dx : bool
            False: dL/dx is not computed, and None is returned.

        Raises
        ------
        TypeError, ValueError
            For a dy of another shape, and caches that come from elsewhere.
        """
        if not isinstance(caches, Pass) or caches.layers is not self.layers:
            raise TypeError("Model.backward: caches must be what this model's forward returned.")
        dy = as_numbers("Model.backward: dy", dy)
        if dy.shape != caches.shape:
            raise ValueError(
                f"Model.backward: dy must have y's shape {show(caches.shape)}, got "
                f"{show(dy.shape)}."
            )
        return self.pull(cast("Model.backward: dy", dy, self.dtype), caches.caches, need_dx)

    def pull(self, dy: Array, caches: list[Any], need_dx: bool) -> Array | None:
        """`backward` on arrays that were checked."""
        self._plan()
        dx, _ = backprop.backward(self.layers, dy, caches, self._views, need_dx)
        self._finish()
        return dx

    def _plan(self) -> None:
        """Renew views and spans when layers were frozen or freed since they were made."""
        learning = self._flat.learning()
        if learning != self._learning:
            self._views, self._finish = self._flat.gradient_views(self.gradients)
            self._spans = None if all(learning) else self._flat.spans()
            self._weight_spans = self._flat.spans(biases=False)
            self._learning = learning

    def convert(self, x: Any) -> Array:
        """Check an input and give it the model's dtype; it is not copied if it has that already.

        Indices, where the first layers take them, stay integers.
        """
        if (
            type(x) is np.ndarray
            and x.ndim
            and x.dtype == self.input_dtype
            and x.shape[1:] in self._shapes
        ):
            return x
        x = as_numbers("Model: x", x)
        self._check_shape(x.shape)
        if self.takes_indices:
            self.check_indices(x)  # as they were given: a conversion may change what is too large
            if x.dtype.kind not in "iu":
                raise TypeError(f"Model: x must be integer indices, got {x.dtype}.")
        return cast("Model: x", x, self.input_dtype)

    def check_indices(self, x: Array) -> None:
        """Refuse indices that the model's embeddings do not have."""
        for table in embeddings(self.layers):
            table.check_indices(x)

    def prediction_shape(self, x: Array) -> tuple[int, ...]:
        """Shape of the predictions for x, found with one row where a layer does not tell."""
        shape = self._check_shape(x.shape)
        if None in shape or ... in shape:
            with np.errstate(all="ignore"):
                shape = self._shapes[x.shape[1:]] = self(x[:1]).shape[1:]
        return (len(x), *shape)  # type: ignore[arg-type]

    def _check_shape(self, shape: tuple[int, ...]) -> Shape:
        """Refuse inputs whose shape does not fit; return the shape of one prediction."""
        if not shape:
            raise ValueError("Model: x must have a batch axis, got a single number.")
        y_shape = self._shapes.get(shape[1:])
        if y_shape is None:
            try:
                y_shape = chain_shape(self.layers, shape[1:])
            except ValueError as error:
                hint = " The first axis of x is the batch: a single row is x[None]."
                raise ValueError(
                    f"Model: x of shape {show(shape)} does not fit: {error}"
                    f"{hint if len(shape) == 1 else ''}"
                ) from None
            if len(self._shapes) >= 256:
                self._shapes.clear()
            self._shapes[shape[1:]] = y_shape
        return y_shape

    def activations(self, x: Any) -> list[Array]:
        """The output of every layer of the chain, hidden ones included, in evaluation mode."""
        x = self.convert(x)
        outputs = []
        for layer in self.layers:
            x, _ = layer.forward(x)
            outputs.append(x)
        return outputs

    # ---- the verbs ------------------------------------------------------------------------------

    def fit(
        self,
        x: Any,
        y: Any = None,
        *,
        loss: LossLike,
        optimizer: Optimizer,
        epochs: int = 1,
        batch_size: int | None = 32,
        validation_data: Any = None,
        validation_split: float = 0.0,
        validation_from: Literal["random", "tail"] = "random",
        metrics: Iterable[Metric | LossLike] = (),
        callbacks: Iterable[Callback] = (),
        shuffle: bool = True,
        class_weight: Mapping[int, float] | Literal["balanced"] | None = None,
        sample_weight: Any = None,
        initial_epoch: int = 0,
        steps_per_epoch: int | None = None,
        accumulate: int = 1,
        l1: float = 0.0,
        decay: Literal["all", "weights"] = "all",
        max_norm: float | None = None,
        clip_norm: float | None = None,
        clip_value: float | None = None,
        resume_from: str | os.PathLike[str] | None = None,
        workers: int = 1,
        verbose: Literal["auto", 0, 1] | bool = "auto",
    ) -> History:
        r"""Train: minimize the mean loss over x and y by steps on batches.

        Parameters
        ----------
        x : array (N, ...), or batches
            Inputs: numbers of any kind, converted batch by batch; also a frame, or a memory map,
            of which no more than a batch is read at a time. Without y: batches ``(x, y)`` or
            ``(x, y, sample_weight)``, from an iterable, an iterator, or a function that is given a
            random generator before each epoch and returns one of these.
        y : array (N, ...)
            Targets, as the loss wants them.
        loss : Loss, or a function (prediction, target, sample_weight) -> (value, gradient)
        optimizer : Optimizer
            Goes on from its state if it was used before.
        epochs : int
            The number of the last epoch, counted from 1: how many passes over the data, if
            `initial_epoch` is 0.
        batch_size : int or None
            Rows in a batch: None for all the data, 1 for one point, else a mini-batch.
        validation_data : (x, y), (x, y, sample_weight), or batches, optional
            Looked at after each epoch and never trained on: 1,024 rows at a time, or, where
            rows are large, as many as fit into 16 MB.
        validation_split : float
            Share of the rows to hold back instead. Where y is classes, each gives that share.
        validation_from : "random" or "tail"
            Which rows are held back: drawn, by N, the classes and the model's seed alone, so that a
            second fit holds back the same; or the last ones, as for a series in time.
        metrics : list of Metric or Loss
            Each has a name of its own; results may be arrays, as those of `ConfusionMatrix`.
        callbacks : list of Callback
        shuffle : bool
            Whether each epoch has an order of its own. Batches that come ready made keep theirs.
        class_weight : dict or "balanced", optional
            Factor of the loss for the rows of a class, 1 for a class that is not named; "balanced"
            is N / (C N_c), from the rows to train on. It counts in the validation loss as well,
            and not in metrics.
        sample_weight : array (N,), optional
            The loss becomes the sum of w_n times l_n, divided by N.
        initial_epoch : int
            The epoch to begin with, counted from 0.
        steps_per_epoch : int, optional
            Where an epoch over ready-made batches ends; if not given, where they end. An iterator
            goes on from there in the next epoch, and anything else begins anew.
        accumulate : int
            How many batches make one step: its gradient is that of one batch of all their rows,
            but the memory that of a part. (A `BatchNorm` takes its means from each part.)
        l1 : float
            Adds :math:`\lambda_1 \sum |w|` to what is minimized, and not to the figures.
            :math:`\tfrac12 \lambda \sum w^2` is the optimizer's ``weight_decay``.
        decay : "all" or "weights"
            What `l1` and the optimizer's weight decay act on: all parameters, or weights alone,
            without biases and without the parameters of norms.
        max_norm : float, optional
            After each step the weights that lead into a unit, or an embedding's vector, are
            shortened to this length.
        clip_norm : float, optional
            A gradient, of all parameters together, that is longer is shortened to this length.
        clip_value : float, optional
            Each entry of the gradient is put between minus and plus this value.
        resume_from : str or os.PathLike, optional
            A file of `Checkpoint` to go on from, as if the run had never stopped; if there is none
            yet, training starts afresh. Everything else must be given as before, but `epochs` may
            be larger. A run that was ended, as by `EarlyStopping`, stays so.
        workers : int
            How many threads share each batch, on one BLAS thread each; see the guide on workers. A
            `BatchNorm` normalizes with the rows of each thread's shard; its running statistics are
            the mean of the shards', weighted by rows. Needs the extra ``threads``.
        verbose : "auto", 0 or 1
            1 prints a line for each epoch to standard error, 0 none; "auto" prints at most two
            lines a second.

        Returns
        -------
        History
            A list for ``"loss"``, for each metric, and for each of these with ``"val_"`` in
            front. The training figures are means over the epoch's steps, as Keras' are.

        Raises
        ------
        TypeError, ValueError
            For arguments that do not fit; model and optimizer are as they were. (Batches that come
            ready made are checked when they come.)
        ModuleNotFoundError
            For several workers where nothing bounds the BLAS threads.
        DivergenceError
            At the first loss or gradient that is not finite. That step is not made; weights,
            buffers and the optimizer's state are those before the epoch, and the weights the best
            if an `EarlyStopping` kept them.
        KeyboardInterrupt
            After Ctrl-C; the best weights are back if an `EarlyStopping` kept them, and
            `model.history` holds the whole epochs.

        References
        ----------
        G. King, L. Zeng, *Logistic Regression in Rare Events Data*, Political Analysis 9, 2001, for
        balanced weights; R. Pascanu, T. Mikolov, Y. Bengio, *On the Difficulty of Training
        Recurrent Neural Networks*, ICML 2013, for clipping; N. Srivastava et al., *Dropout*, JMLR
        15, 2014, for the bound on norms; E. Hoffer, I. Hubara, D. Soudry, *Train Longer, Generalize
        Better*, NIPS 2017, for norms over parts of a batch.
        """
        return training.fit(
            self,
            x,
            y,
            loss=loss,
            optimizer=optimizer,
            epochs=epochs,
            batch_size=batch_size,
            validation_data=validation_data,
            validation_split=validation_split,
            validation_from=validation_from,
            metrics=metrics,
            callbacks=callbacks,
            shuffle=shuffle,
            class_weight=class_weight,
            sample_weight=sample_weight,
            initial_epoch=initial_epoch,
            steps_per_epoch=steps_per_epoch,
            accumulate=accumulate,
            l1=l1,
            decay=decay,
            max_norm=max_norm,
            clip_norm=clip_norm,
            clip_value=clip_value,
            resume_from=resume_from,
            workers=workers,
            verbose=verbose,
        )

    def train_on_batch(
        self,
        x: Any,
        y: Any,
        *,
        loss: LossLike,
        optimizer: Optimizer,
        sample_weight: Any = None,
        class_weight: Mapping[int, float] | None = None,
        l1: float = 0.0,
        decay: Literal["all", "weights"] = "all",
        max_norm: float | None = None,
        clip_norm: float | None = None,
        clip_value: float | None = None,
    ) -> float:
        """Make one step on one batch; return the loss before it. The options are those of `fit`.

        Raises as `fit` does; parameters, buffers and optimizer are then as they were. An update
        that overflows raises `DivergenceError` too, but nothing keeps the weights before it.
        """
        return training.train_on_batch(
            self,
            x,
            y,
            loss,
            optimizer,
            sample_weight,
            class_weight,
            l1=l1,
            decay=decay,
            max_norm=max_norm,
            clip_norm=clip_norm,
            clip_value=clip_value,
        )

    def test_on_batch(
        self,
        x: Any,
        y: Any,
        *,
        loss: LossLike,
        sample_weight: Any = None,
        class_weight: Mapping[int, float] | None = None,
    ) -> float:
        """Return the loss of one batch, in evaluation mode; nothing changes.

        Raises
        ------
        TypeError, ValueError
            For data and a loss that do not fit.
        """
        figures = training.evaluate(
            self, "test_on_batch", x, y, loss, (), sample_weight, class_weight, None
        )
        return float(figures["loss"])

    def evaluate(
        self,
        x: Any,
        y: Any = None,
        *,
        loss: LossLike,
        metrics: Iterable[Metric | LossLike] = (),
        sample_weight: Any = None,
        class_weight: Mapping[int, float] | None = None,
        batch_size: int | None = 1024,
    ) -> dict[str, Any]:
        """Loss and metrics over all rows, in evaluation mode: ``{"loss": ..., "accuracy": ...}``.

        Data are as `fit` takes them. Of arrays at most `batch_size` rows are looked at together,
        fewer where these take more than 16 MB. After a fit with class weights,
        ``history.class_weight`` makes the loss the same as there.

        Raises
        ------
        TypeError, ValueError
            For data, loss and metrics that do not fit.
        """
        size = check_batch_size("evaluate", batch_size)
        return training.evaluate(
            self, "evaluate", x, y, loss, metrics, sample_weight, class_weight, size
        )

    def predict(self, x: Any, batch_size: int | None = None) -> Array:
        """Predictions for all rows, in evaluation mode.

        Parameters
        ----------
        x : array (N, ...)
        batch_size : int, optional
            Rows that are computed at a time. If not given, all rows at once while they are few,
            and 1,024 at a time beyond, which bounds the memory.

        Returns
        -------
        array (N, ...)
        """
        size = check_batch_size("predict", batch_size) or 1024
        x = as_numbers("predict: x", x)
        if x.ndim == 0 or len(x) <= size:
            return self(x)
        return np.concatenate([self(x[i : i + size]) for i in range(0, len(x), size)])

    def summary(
        self,
        *,
        batch_size: int = 32,
        optimizer: Optimizer | None = None,
        loss: LossLike | None = None,
        input_shape: tuple[int, ...] | None = None,
    ) -> str:
        """A table of the layers, and of the multiply-adds and the memory that training takes.

        It is measured by a step on a few rows of zeros, on copies of the layers: the model stays as
        it is, and nothing is drawn from its generators. Multiply-adds are those that layers tell in
        `Layer.multiply_adds`. Data, validation, metrics and callbacks come on top.

        Parameters
        ----------
        batch_size : int
            Rows in a step.
        optimizer : Optimizer, optional
            The one to train with; if not given, Adam's state is counted.
        loss : Loss or function, optional
            If not given, `MeanSquaredError`.
        input_shape : tuple of int, optional
            Of one row of x. If not given, that of data that the model has seen, else what the
            first layers tell. Where nobody knows, what depends on it is shown as "?".

        Raises
        ------
        TypeError, ValueError
            For arguments that do not fit the model.

        Examples
        --------
        >>> from chainrule import Dense, Model
        >>> print(Model(Dense(100, 10), seed=0).summary(batch_size=64).splitlines()[3])
        1,000 multiply-adds for each row of a batch, 2,000 in a training step
        """
        return summary.describe(self, batch_size, optimizer, loss, input_shape)

    # ---- files and copies -----------------------------------------------------------------------

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write layers, parameters, buffers and metadata to one file, in NumPy's ``.npz``.

        The path is used as given. The file is written beside it first and then moved into place,
        so that an earlier file is whole until the new one is.

        Raises
        ------
        TypeError
            For a layer whose arguments a file cannot hold, or that is not registered; and for
            metadata that are no plain JSON (NaN is none).
        ValueError
            For what could not be loaded again: layers that are not built from their arguments as
            they are, metadata of more than 16 MB, and more than 10,000 layers.
        OSError
            What the operating system refuses.
        """
        from . import files

        files.save(self, path)

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Model:
        """Build the model of a file that `save` or a `Checkpoint` wrote.

        Layers are built from the registered names alone; no code in a file is ever run. Numbers
        that are NaN or infinite are loaded, with a warning that names them.

        Raises
        ------
        ValueError
            For a file that is damaged, foreign, of a later version, or has unknown layers.
        OSError
            What the operating system refuses.
        """
        from . import files

        return files.load(cls, path)

    def __getstate__(self) -> dict[str, Any]:
        """Copies and pickles hold the layers; the flat vectors are tied anew."""
        state = self.__dict__.copy()
        for name in (
            "_flat",
            "_learning",
            "_shapes",
            "_views",
            "_spans",
            "_weight_spans",
            "_finish",
        ):
            state.pop(name, None)
        return {**state, "gradients": self.gradients}

    def __copy__(self) -> Model:
        """A copy of a model is always deep: a layer belongs to one model."""
        return copy.deepcopy(self)

    def __setstate__(self, state: dict[str, Any]) -> None:
        gradients = state.pop("gradients")
        self.__dict__.update(state)
        for _, layer in walk(self.layers):
            layer.join_model(self, layer.rng)
        self._pack()
        self.gradients[:] = gradients

    def __repr__(self) -> str:
        layers = ", ".join(map(repr, self.layers))
        return f"Model({layers}, dtype={self.dtype.name!r})"
