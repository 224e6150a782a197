"""The whole network: ids -> columns -> L recurrent layers -> logits -> loss, and its gradient.

    ids (T, B) -> Input -> x (T, D, B) -> layer 0 -> h -> ... -> layer L-1 -> y -> Output -> loss
                             * mask          * mask                  * mask

The model composes the layers: each reads its input from its own cache, where the layer below has
written it.
"""

import math
from collections.abc import Callable, Sequence
from functools import partial
from itertools import chain
from typing import Any, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import DTypeLike

from charlm import environment, randomness
from charlm.nn.dropout import apply_mask, draw_mask
from charlm.nn.embedding import Embedding, FoldedEmbedding, OneHot
from charlm.nn.gru import GRU
from charlm.nn.linear import SHARED_COPIES, GradBuffer, Linear
from charlm.nn.lstm import LSTM
from charlm.nn.output import Output
from charlm.nn.parameters import Block, Parameters
from charlm.nn.recurrent import RecurrentLayer
from charlm.nn.rnn import RNN
from charlm.settings.schema import ModelConfig
from charlm.types import Array, Ids, States

Recurrent: TypeAlias = RecurrentLayer[Any, Any]


class ModelCache:
    """What the whole network keeps of a chunk of T time steps of B streams."""

    def __init__(self, model: "Model", T: int, B: int, rates: Sequence[float]) -> None:
        self.T, self.B = T, B
        self.layers = [layer.cache(T, B) for layer in model.layers]
        self.output = model.output.cache(T, B)
        self.inputs = [cache.x for cache in self.layers] + [self.output.y]
        self.rates = tuple(rates) or (0.0,) * len(self.inputs)
        assert not self.rates[0] or model.input.needs_dx, "one-hot input has no features to drop"
        # L+1 dropout masks: of the input, between layers and before the output; None is 1.
        self.masks = [
            np.empty(x.shape[1:], x.dtype) if rate else None
            for rate, x in zip(self.rates, self.inputs, strict=True)
        ]
        # The gradient of the state that leaves, where it is truncated.
        self.zero_dstates = model.zero_state(B)

    def draw_masks(self, rng: np.random.Generator, first: int = 0, of: int = 0) -> None:
        """Draw the masks of a step with the step's generator.

        Where these are only some of a run's `of` streams, from number `first` on, they get the
        columns that they have in the masks of all.
        """
        for rate, mask in zip(self.rates, self.masks, strict=True):
            if mask is None:
                continue
            drawn = mask if of in (0, self.B) else np.empty((len(mask), of), mask.dtype)
            draw_mask(rate, drawn, rng)
            if drawn is not mask:
                np.copyto(mask, drawn[:, first : first + self.B])


class Model:
    """A network over V symbols and its parameters; call `refresh` after changing these.

    Args:
        dtype: float32, or float64 for checks.
        training: allocate the gradient too; without it the model only runs forward.
        masked_input: whether the embedding has dropout; it is looked up then, not folded.
        original: the model of which this is a replica.
    """

    def __init__(
        self,
        config: ModelConfig,
        V: int,
        dtype: DTypeLike = np.float32,
        *,
        training: bool = True,
        masked_input: bool = False,
        original: "Model | None" = None,
    ) -> None:
        self.config, self.V, self._masked_input = config, V, masked_input
        self.input, self.layers, self.output = _network(config, V, masked_input)
        self.one_hot = type(self.input) is OneHot
        parts: list[OneHot | Recurrent | Output] = [self.input, *self.layers, self.output]
        layouts = [part.blocks() for part in parts]
        self.parameters: Parameters = (
            Parameters(chain(*layouts), dtype) if original is None else original.parameters
        )
        self.gradient = self.parameters.zeros_like() if training else None
        begin = 0
        for part, layout in zip(parts, layouts, strict=True):
            own = slice(begin, begin + len(layout))
            gradient = None if self.gradient is None else self.gradient.blocks[own]
            part.bind(self.parameters.blocks[own], gradient)
            begin = own.stop
        if original:
            for linear, other in zip(self.linears, original.linears, strict=True):
                linear.share_copies(other)

    def replica(self) -> "Model":
        """Return a model of the same parameters, and of the copies that this one renews.

        Its gradient is its own, so that it may run in another thread meanwhile.
        """
        dtype = self.parameters.flat.dtype
        return Model(self.config, self.V, dtype, masked_input=self._masked_input, original=self)

    def initialize(self, seed: int) -> None:
        """Draw the initial weights."""
        rng = randomness.generator(seed, randomness.INITIAL_WEIGHTS)
        views = self.parameters.views
        for layer in self.layers:
            layer.initialize(views, rng)
        # One-hot input has no weights but the first layer's Wx, and draws these in its own way.
        self.input.initialize(views, rng)
        self.output.initialize(views, rng)
        self.refresh()

    @property
    def linears(self) -> list[Linear]:
        """Return the linear layers."""
        return [*chain(*(layer.linears for layer in self.layers)), self.output.linear]

    def refresh(self) -> None:
        """Renew the layers' copies of the weights; call it after every change of the weights."""
        for linear in self.linears:
            linear.refresh()

    def choose_products(self) -> None:
        """Multiply as is fastest with the threads that the BLAS has now."""
        in_blocks = environment.has_small_kernel()
        for linear in self.linears:
            linear.in_blocks = in_blocks

    def cache(self, T: int, B: int, rates: Sequence[float] = ()) -> ModelCache:
        """Allocate a cache for chunks of T time steps of B streams.

        `rates` are L+1 dropout rates: of the input, between layers and before the output; all are 0
        where it is empty.
        """
        return ModelCache(self, T, B, rates)

    def zero_state(self, B: int) -> States:
        """Return the state at the beginning of a text, a tuple per layer."""
        return [layer.zero_state(B) for layer in self.layers]

    def forward(
        self, ids: Ids, state: States, cache: ModelCache, keep: Array | None = None
    ) -> States:
        """Run (T, B) ids up to the output layer's input, in a cache of that T and B.

        `state` enters, from the chunk before or `zero_state`; `keep` is (T, B), 0 where a stream's
        state is zero before a time step. Return the state that leaves, as views valid until the
        next forward with this cache.
        """
        self.choose_products()
        x = cache.inputs[0]
        self.input.forward(ids, x)
        apply_mask(cache.masks[0], x, x)
        state_out = []
        for k, layer in enumerate(self.layers):
            state_out.append(layer.forward(state[k], cache.layers[k], keep))
            apply_mask(cache.masks[k + 1], cache.layers[k].h_out, cache.inputs[k + 1])
        return state_out

    def loss_and_gradient(
        self,
        ids: Ids,
        targets: Ids,
        state: States,
        cache: ModelCache,
        keep: Array | None = None,
        count: int | None = None,
    ) -> tuple[float, States]:
        """Run a chunk forward and backward; the gradient is truncated at the chunk's borders.

        Arguments are as for `forward`, and the (T, B) symbols that came next. Return the mean
        cross-entropy in nats per character, and the state that leaves. Where the chunk is a part of
        one with `count` characters, loss and gradient are its terms of the mean over all of these.
        """
        assert self.gradient is not None
        state_out = self.forward(ids, state, cache, keep)
        self.gradient.flat.fill(0)
        for linear in self.linears:
            linear.is_zero = True
        loss = self.output.loss_and_gradient(targets, cache.output, count)
        dh = cache.output.dy
        for k in reversed(range(len(self.layers))):
            apply_mask(cache.masks[k + 1], dh, dh)
            dh, _ = self.layers[k].backward(dh, cache.zero_dstates[k], cache.layers[k], keep)
        apply_mask(cache.masks[0], dh, dh)
        self.input.backward(ids, dh)
        return loss, state_out


def shapes(config: ModelConfig, V: int) -> dict[str, tuple[int, ...]]:
    """Return the names and shapes of a model's parameters; allocates nothing."""
    return {k: shape for block in blocks(config, V) for k, shape in block.shapes().items()}


def blocks(config: ModelConfig, V: int) -> list[Block]:
    """Return the layout of a model's parameters; allocates nothing."""
    first, layers, output = _network(config, V)
    return [*first.blocks(), *chain(*(layer.blocks() for layer in layers)), *output.blocks()]


class Memory(NamedTuple):
    """The memory that training takes, the interpreter and its libraries not counted."""

    parameters: int  # how many numbers are learned
    weights: int  # bytes of what grows with them alone
    caches: int  # bytes of what grows with the streams and time steps as well

    @property
    def total(self) -> int:
        """Return all bytes."""
        return self.weights + self.caches


def memory(
    config: ModelConfig,
    V: int,
    T: int,
    B: int,
    *,
    rates: Sequence[float],
    optimizer_states: int,
    optimizer_others: int,
    ema: bool,
    items: bool = False,
    replicas: int = 1,
    block: int = 0,
) -> Memory:
    """Add up the arrays of a float32 training; allocates nothing.

    `rates` are L+1 dropout rates. The optimizer keeps `optimizer_states` arrays as long as the
    parameters, and `optimizer_others` numbers. `ema` says that a second model holds averaged
    weights, and `items` that the state is zero where independent items begin. So many `replicas`
    share the streams; for each one, optimizer and average have a scratch array of a `block` of the
    parameters.
    """
    first, layers, output = _network(config, V, rates[0] > 0)
    linears = [linear for layer in layers for linear in layer.linears]

    def copies(*, training: bool, shared: int = 0) -> int:
        return sum(
            math.prod(shape)
            for linear in (*linears, output.linear)
            for shape in linear.shapes(training=training)[shared:]
        )

    P = sum(math.prod(shape) for shape in shapes(config, V).values())
    weights = P * (2 + optimizer_states) + optimizer_others + copies(training=True)
    weights += P + copies(training=False) if ema else 0
    weights += min(block * replicas, P) * (1 + ema)
    # A replica's gradient, and what it does not share.
    weights += (replicas - 1) * (P + copies(training=True, shared=SHARED_COPIES))

    widths, numbers = [layers[0].X] + [config.hidden] * len(layers), 0
    for r in range(replicas):
        b = (r + 1) * B // replicas - r * B // replicas
        caches = [layer.cache_shapes(T, b, training=True) for layer in layers]
        arrays = [shape for cache in caches for shape in cache.values()]
        arrays += output.cache_shapes(T, b, training=True).values()
        for linear in linears:
            arrays += GradBuffer.shapes(linear.M, linear.x_rows, b)
        arrays += [(H, b) for H, rate in zip(widths, rates, strict=True) if rate]
        if items:
            # The hidden states that leave each time step.
            arrays += [(T, config.hidden, b)] * len(layers)
        numbers += sum(map(math.prod, arrays)) + first.scratch(T, b)
    # The zero state of an epoch's start, and the zero gradient of the state that leaves; of several
    # replicas the state of all, too.
    states = config.hidden * B * sum(len(layer.STATES) for layer in layers)
    numbers += states * (2 + (replicas > 1)) + T * B * items
    ids = np.dtype(np.intp).itemsize * (T + 1) * B
    return Memory(P, 4 * weights, 4 * numbers + ids)


def _network(
    config: ModelConfig, V: int, masked_input: bool = False
) -> tuple[OneHot, list[Recurrent], Output]:
    """Make the layers; nothing is allocated before they are bound to parameters."""
    L, H = config.layers, config.hidden
    width = H if config.embedding == "auto" else config.embedding
    if width == "one-hot":
        first: OneHot = OneHot(V, f"{config.cell}.0.Wx")
    elif FoldedEmbedding.pays(V, int(width)) and not masked_input:
        first = FoldedEmbedding(V, int(width))
    else:
        first = Embedding(V, int(width))
    lstm = partial(LSTM, forget_bias=config.forget_bias)
    cells: dict[str, Callable[..., Recurrent]] = {"lstm": lstm, "gru": GRU, "rnn": RNN}
    cell = cells[config.cell]
    layers = [cell(f"{config.cell}.0", first.D, H, needs_dx=first.needs_dx, source=first)]
    layers += [cell(f"{config.cell}.{k}", H, H) for k in range(1, L)]
    return first, layers, Output(H, V)
