"""THE contract: what every layer is, whether it comes with the library or from a user.

A layer is a forward formula and a backward formula on plain arrays. It owns its parameters, keeps
nothing of a call, and changes no array that came in or went out.
"""

from __future__ import annotations

import inspect
import weakref
from collections.abc import Mapping, MutableMapping
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

from .errors import as_numbers, cast, check_count, check_flag, show
from .initializers import constant, he_normal
from .parameters import NamedArrays

if TYPE_CHECKING:
    from numpy.typing import DTypeLike

    from ._types import Array, Shape
    from .initializers import Initializer


class Layer:
    """Base class of all layers: derive from it, declare parameters, write two formulas.

    `forward` returns ``y, cache``; `backward` takes ``dy`` and that cache and returns
    ``dx, grads``, where ``grads`` holds dL/dp under each parameter's name. The cache belongs to one
    call, so that one layer can stand twice in a network and several threads can use it at once.

    An own layer calls ``super().__init__()`` first, keeps each argument of its constructor under
    the argument's name (so that it can be printed and saved), and declares its parameters with
    `add_parameter` and its buffers with `add_buffer`; its formulas then read them as attributes. A
    layer made of layers sets ``self.children`` to a tuple of them and returns their gradients under
    their positions as text, as `Sequential` does.

    Attributes
    ----------
    params, buffers : mapping of str to array
        What is learned, and what is kept without being learned (running statistics).
    trainable : bool
        False: no gradient work, no update, no decay.
    rng : numpy.random.Generator
        The layer's own source of randomness; a `Model` hands it out.

    Examples
    --------
    >>> import numpy as np
    >>> from chainrule import Layer, gradcheck
    >>> class Scale(Layer):
    ...     '''y = x * s, with one learned factor for each feature.'''
    ...
    ...     def __init__(self, features):
    ...         super().__init__()
    ...         self.features = features
    ...         self.add_parameter("s", (features,))
    ...
    ...     def forward(self, x, training=False):
    ...         return x * self.s, x
    ...
    ...     def backward(self, dy, x, out=None, need_dx=True):
    ...         return dy * self.s, {"s": (dy * x).sum(axis=0)}
    >>> error = gradcheck(Scale(3), np.random.default_rng(0).normal(size=(4, 3)))

    References
    ----------
    R. Collobert, K. Kavukcuoglu, C. Farabet, *Torch7: A Matlab-like Environment for Machine
    Learning*, NIPS workshop BigLearn 2011: modules with local gradients.
    """

    rng: np.random.Generator
    _parameters: dict[str, tuple[tuple[int, ...], Initializer]]
    _buffers: dict[str, tuple[tuple[int, ...], float]]
    _drawn_from_system: set[str]
    _model: weakref.ref[Any] | None
    _trainable: bool
    # The layers inside this one; everything that walks a tree reads this.
    children: tuple[Layer, ...] = ()
    nesting_depth: int = 0
    # Which parameters are weights, and the axis that the weights of one unit lie along, as in
    # {"W": 0}; all others are biases or scales. None: whatever has two axes or more, along axis 0.
    weight_axes: Mapping[str, int] | None = None
    # Whether y is a probability already; losses on logits refuse to come after such a layer.
    gives_probabilities: bool = False
    # Whether y holds the values of x, perhaps in another shape or with some of them dropped.
    keeps_values: bool = False
    # Whether x holds indices, and whether a layer may stand before such a one: it only moves x.
    takes_indices: bool = False
    keeps_indices: bool = False

    def __init__(self) -> None:
        self.__dict__.update(
            _parameters={},  # name: (shape, initializer)
            _buffers={},  # name: (shape, its first number, if that stands throughout)
            _drawn_from_system=set(),  # parameters whose values no seed repeats
            _model=None,  # weak reference to the model that this layer belongs to
            _trainable=True,
        )

    # ---- the two formulas -----------------------------------------------------------------------

    def forward(self, x: Any, training: bool = False) -> tuple[Any, Any]:
        """Return ``y, cache``: the output, and whatever `backward` will need of this call."""
        raise NotImplementedError(f"{type(self).__name__} has no forward(x, training=False).")

    def backward(
        self, dy: Any, cache: Any, out: Mapping[str, Any] | None = None, need_dx: bool = True
    ) -> tuple[Any, Mapping[str, Any]]:
        """Return ``dx, grads`` from dL/dy: dL/dx and dL/dp for each parameter p.

        `out` holds arrays to write the gradients into (a layer may ignore it); with
        ``need_dx=False`` dx is not wanted and may be None.
        """
        raise NotImplementedError(f"{type(self).__name__} has no backward(dy, cache, ...).")

    def output_shape(self, input_shape: Shape) -> Shape:
        """Shape of y from the shape of x, both without the batch axis; unknown sizes are None.

        A leading ``...`` stands for any number of axes. Where nothing is said, as here, the shape
        is unknown and a model cannot check it beforehand. Raises `ValueError` for a wrong shape.
        """
        return (...,)

    def multiply_adds(self, input_shape: tuple[int, ...]) -> int:
        """How many products `forward` adds up for one row of x, as the summary shows.

        Elementwise work does not count, so it is 0 where nothing else is said, and neither do
        layers inside this one, which tell their own.

        Examples
        --------
        >>> from chainrule import Dense
        >>> Dense(3, 4).multiply_adds((5, 3))  # at five positions
        60
        """
        return 0

    # ---- parameters and buffers -----------------------------------------------------------------

    def add_parameter(
        self, name: str, shape: tuple[int, ...], init: Initializer = he_normal
    ) -> None:
        """Declare a learned array. It is drawn when it is first looked at, or by the model."""
        self._check_new_name(name)
        kind = type(self).__name__
        if self.owner_model is not None:
            raise ValueError(f"{kind}: {name} must be declared before a model takes the layer.")
        if not isinstance(shape, (tuple, list)):
            what = f"the shape of {name} must be a tuple, as in (3,)"
            raise TypeError(f"{kind}: {what}, got {shape!r}.")
        shape = tuple(check_count(kind, f"each size of {name}", size, low=0) for size in shape)
        if not callable(init):
            be = "a function (rng, shape, dtype) -> array such as chainrule.initializers.he_normal"
            raise TypeError(f"{kind}: init must be {be}, got {init!r}.")
        self._parameters[name] = (shape, init)

    def add_buffer(self, name: str, value: Array) -> None:
        """Declare an array that is saved but not learned; its first value is taken as float32."""
        self._check_new_name(name)
        array = as_numbers(what := f"{type(self).__name__}: {name}", value)
        # one number throughout, as np.broadcast_to(0.0, n), takes no memory before it is looked at
        later = array.ndim and array.size and not any(array.strides)
        values = cast(what, np.asarray(array.flat[0]) if later else array, np.float32)
        self._buffers[name] = array.shape, float(values) if later else 0.0
        if not later:
            self.__dict__[name] = values.copy(order="K")

    @property
    def params(self) -> MutableMapping[str, Any]:
        """The parameters by name, those of layers inside nested by position.

        Assigning to one copies into its array.
        """
        return NamedArrays(self, "params", self._parameters)

    @property
    def buffers(self) -> MutableMapping[str, Any]:
        """The buffers by name, as the parameters."""
        return NamedArrays(self, "buffers", self._buffers)

    @property
    def parameter_shapes(self) -> dict[str, tuple[int, ...]]:
        """Names and shapes of the layer's own parameters, without drawing them."""
        return {name: shape for name, (shape, _) in self._parameters.items()}

    @property
    def buffer_shapes(self) -> dict[str, tuple[int, ...]]:
        """Names and shapes of the layer's own buffers, without making them."""
        return {name: shape for name, (shape, _) in self._buffers.items()}

    @property
    def trainable(self) -> bool:
        """Whether the parameters learn. Setting it on a container sets it for all inside."""
        if self.children:
            own = bool(self._parameters) and self._trainable
            return own or any(child.trainable for child in self.children)
        return self._trainable

    @trainable.setter
    def trainable(self, value: bool) -> None:
        value = check_flag(type(self).__name__, "trainable", value)
        self.__dict__["_trainable"] = value
        for child in self.children:
            child.trainable = value

    @property
    def learns(self) -> bool:
        """Whether anything in this layer takes a gradient now."""
        return bool(self._parameters and self._trainable) or any(c.learns for c in self.children)

    def __getattr__(self, name: str) -> Any:
        """Draw a parameter, make a buffer, or seed the generator, when first looked at."""
        if "_parameters" not in self.__dict__ and not name.startswith("__"):
            raise RuntimeError(f"{type(self).__name__}: call super().__init__() first.")
        if name == "rng":
            self.__dict__["rng"] = np.random.default_rng()
        elif name in self.__dict__.get("_parameters", ()):
            shape, init = self._parameters[name]
            if not isinstance(init, constant):
                self._drawn_from_system.add(name)
            self.__dict__[name] = self._draw(name, shape, init, np.float32)
        elif name in self.__dict__.get("_buffers", ()):
            self.__dict__[name] = np.full(*self._buffers[name], np.float32)
        else:
            raise AttributeError(f"{type(self).__name__} has no attribute {name!r}.")
        return self.__dict__[name]

    def __setattr__(self, name: str, given: Any) -> None:
        """Copy into the array of a parameter or buffer; set anything else as it is.

        A parameter that is set before it was drawn is float64 if it is set to a float64 array.
        """
        if name not in self._parameters and name not in self._buffers:
            object.__setattr__(self, name, given)
            return
        shape = (self._parameters.get(name) or self._buffers[name])[0]
        value = as_numbers(f"{self!r}: {name}", given)
        if value.shape != shape:
            wanted, got = show(shape), show(value.shape)
            raise ValueError(f"{self!r}: {name} must have shape {wanted}, got {got}.")
        if name in self.__dict__ or name in self._buffers:
            array = getattr(self, name)
            array[...] = cast(f"{self!r}: {name}", value, array.dtype)
        else:
            kept = isinstance(given, np.ndarray) and given.dtype == np.float64
            dtype = np.float64 if kept else np.float32
            self.__dict__[name] = np.array(cast(f"{self!r}: {name}", value, dtype))
        self._drawn_from_system.discard(name)

    def __delattr__(self, name: str) -> None:
        """Refuse to cut off an array; delete anything else."""
        if name in self._parameters or name in self._buffers:
            raise AttributeError(f"{self!r}: {name} cannot be deleted, only assigned to.")
        object.__delattr__(self, name)

    def _check_new_name(self, name: str) -> None:
        if not (isinstance(name, str) and name.isidentifier()) or hasattr(type(self), name):
            raise ValueError(f"{type(self).__name__}: {name!r} cannot name an array of a layer.")
        if name in {**self._parameters, **self._buffers, **self.__dict__}:
            raise ValueError(f"{type(self).__name__}: {name!r} is an attribute already.")

    def _draw(
        self, name: str, shape: tuple[int, ...], init: Initializer, dtype: DTypeLike
    ) -> Array:
        values = np.asarray(init(self.rng, shape, dtype))
        if values.shape != shape:
            what = f"{self!r}: the initializer of {name} gave shape {show(values.shape)}"
            raise ValueError(f"{what}, not {show(shape)}.")
        return values.astype(dtype, copy=False)

    # ---- what a model does with a layer ---------------------------------------------------------

    @property
    def has_system_values(self) -> bool:
        """Whether a parameter was drawn without a seed, because it was looked at first."""
        return bool(self._drawn_from_system)

    def own_buffers(self) -> dict[str, Array]:
        """The arrays of this layer's buffers, without those of layers inside it."""
        return {name: getattr(self, name) for name in self._buffers}

    def put_array(self, name: str, array: Array) -> None:
        """Let an array stand for a parameter or buffer, as it is."""
        self.__dict__[name] = array
        self._drawn_from_system.discard(name)

    def parameter_values(self, name: str, dtype: DTypeLike) -> Array:
        """A parameter's values, drawn if nobody has looked at them; the layer stays as it is."""
        if name in self.__dict__:
            return self.__dict__[name]
        shape, init = self._parameters[name]
        return self._draw(name, shape, init, dtype)

    def move_buffers(self, dtype: DTypeLike) -> None:
        """Give the buffers a dtype."""
        for name, array in self.own_buffers().items():
            self.put_array(name, array.astype(dtype, copy=False))

    @property
    def owner_model(self) -> Any:
        """The living model that this layer belongs to, or None; held weakly."""
        return self._model() if self._model else None

    def join_model(self, model: Any, rng: np.random.Generator) -> None:
        """Belong to a model from now on, and draw from the generator that it hands out."""
        self.__dict__.update(_model=weakref.ref(model), rng=rng)

    def leave_model(self, before: dict[str, Any]) -> None:
        """Be as before, after a model that could not be built; `before` are the attributes."""
        self.__dict__ = before

    def __getstate__(self) -> dict[str, Any]:
        """Copies and pickles belong to no model."""
        return {**self.__dict__, "_model": None}

    def is_initializer(self, value: Any) -> bool:
        """Whether a parameter was declared with this value as its initializer."""
        return any(value is init for _, init in self._parameters.values())

    # ---- how a layer is printed and saved -------------------------------------------------------

    def _arguments(self) -> list[tuple[inspect.Parameter, Any]]:
        """Each argument of the constructor with its value, read from the attribute of its name."""
        arguments = []
        for name, argument in inspect.signature(type(self)).parameters.items():
            if name != "rng" and argument.kind is not argument.VAR_KEYWORD:
                if name not in self.__dict__:
                    what = f"{type(self).__name__} keeps no attribute {name!r}"
                    hint = f"write self.{name} = {name} in its __init__"
                    raise TypeError(f"{what}, so it cannot be saved: {hint}.")
                arguments.append((argument, self.__dict__[name]))
        return arguments

    def constructor_arguments(self) -> dict[str, Any]:
        """The constructor's arguments by name, as a file keeps them."""
        return {argument.name: value for argument, value in self._arguments()}

    def __repr__(self) -> str:
        """As the call that makes it, arguments left out where they are the defaults."""
        shown = []
        try:
            arguments = self._arguments()
        except TypeError:
            return f"{type(self).__name__}(...)"
        for argument, value in arguments:
            if argument.kind is argument.VAR_POSITIONAL:
                shown += [repr(item) for item in value]
            elif argument.default is argument.empty:
                shown.append(repr(value))
            elif not _same(value, argument.default):
                shown.append(f"{argument.name}={getattr(value, '__name__', repr(value))}")
        return f"{type(self).__name__}({', '.join(shown)})"


def _same(one: Any, other: Any) -> bool:
    try:
        return one is other or bool(one == other)
    except ValueError:  # an array among them
        return False


registry: dict[str, type[Layer]] = {}

LayerClass = TypeVar("LayerClass", bound=type[Layer])


def register_layer(cls: LayerClass) -> LayerClass:
    """Class decorator: let files that name an own layer be loaded.

    Files hold names, never code, and `Model.load` builds from registered names alone, so an own
    layer is registered before a file with it is opened.

    Raises
    ------
    TypeError
        For anything but a class derived from `Layer`.
    ValueError
        When another class has the name already.

    Examples
    --------
    >>> from chainrule import Layer, register_layer
    >>> @register_layer
    ... class Double(Layer):
    ...     def forward(self, x, training=False):
    ...         return 2 * x, None
    ...     def backward(self, dy, cache, out=None, need_dx=True):
    ...         return 2 * dy, {}
    """
    if not (isinstance(cls, type) and issubclass(cls, Layer)):
        raise TypeError(f"register_layer takes a class derived from Layer, got {cls!r}.")
    name, known = cls.__name__, registry.get(cls.__name__)
    same = known and (known.__module__, known.__qualname__) == (cls.__module__, cls.__qualname__)
    if known is not None and not same:
        raise ValueError(f"register_layer: {name} is taken by {known!r}; choose another name.")
    registry[name] = cls
    return cls
