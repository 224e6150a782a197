"""The whole network: ids -> columns -> L recurrent layers -> logits -> loss, and back.

    ids (T, B) -> Input -> x (T, D, B) -> layer 0 -> h -> ... -> layer L-1 -> y -> Output -> loss
                             * mask          * mask                  * mask

The rooms below do the work; this one only passes each cache's result on to the next cache.
"""

from collections.abc import Sequence
from typing import TypeAlias

import numpy as np
from numpy.typing import DTypeLike

from charlm import randomness
from charlm.nn.dropout import apply_mask, draw_mask
from charlm.nn.embedding import Embedding, FoldedEmbedding, Input, OneHot, folding_pays
from charlm.nn.gru import GRU
from charlm.nn.lstm import LSTM
from charlm.nn.output import Output, OutputCache
from charlm.nn.parameters import Parameters
from charlm.nn.recurrent import Cache, RecurrentLayer
from charlm.nn.rnn import RNN
from charlm.settings.schema import ModelConfig
from charlm.types import Array, States

Room: TypeAlias = Input | RecurrentLayer | Output


class ModelCache:
    """Hold the workspace of the whole network for T steps of B streams.

    Attributes:
        layers: one cache a recurrent layer.
        output: the output layer's.
        masks: L+1 dropout masks, of the input, between layers and before the output; None is 1.
        zero_dstates: what comes back from the next chunk where the gradient is cut.
    """

    def __init__(self, model: "Model", T: int, B: int, rates: Sequence[float]) -> None:
        self.T, self.B = T, B
        self.layers: list[Cache] = [layer.cache(T, B) for layer in model.layers]
        self.output: OutputCache = model.output.cache(T, B)
        self.inputs = [cache.x for cache in self.layers] + [self.output.y]
        self.rates = tuple(rates) or (0.0,) * len(self.inputs)
        assert not self.rates[0] or model.input.needs_dx, "characters are no channels to drop"
        self.masks = [
            np.empty(x.shape[1:], x.dtype) if rate else None
            for rate, x in zip(self.rates, self.inputs, strict=True)
        ]
        self.zero_dstates = model.zero_state(B)
        for layer in model.layers if model.gradient else ():
            for product in layer.products:
                product.reserve(B)

    def draw_masks(self, rng: np.random.Generator) -> None:
        """Draw the masks of an update with the update's generator."""
        for rate, mask in zip(self.rates, self.masks, strict=True):
            if mask is not None:
                draw_mask(rate, mask, rng)


class Model:
    """Hold the network's parameters and run it.

    Args:
        config: cell, layers, hidden units and embedding.
        V: size of the vocabulary.
        dtype: float32, or float64 for checks.
        training: allocate the gradient too; without it the model only runs forward.
        masked_input: whether there will be dropout on the embedding, which is looked up then.

    Attributes:
        parameters: all weights; call `prepare` after changing them.
        gradient: their gradient, of the last chunk.
    """

    def __init__(
        self,
        config: ModelConfig,
        V: int,
        dtype: DTypeLike = np.float32,
        *,
        training: bool = True,
        masked_input: bool = False,
    ) -> None:
        self.config, self.V = config, V
        self.input, self.layers, self.output = _rooms(config, V, masked_input)
        self.one_hot = isinstance(self.input, OneHot)
        rooms: list[Room] = [self.input, *self.layers, self.output]
        layouts = [room.blocks() for room in rooms]
        self.parameters = Parameters((block for layout in layouts for block in layout), dtype)
        self.gradient = self.parameters.zeros_like() if training else None
        index = 0
        for room, layout in zip(rooms, layouts, strict=True):
            room.bind(index, self.parameters, self.gradient)
            index += len(layout)
            if room is self.input and self.input.table:
                self.layers[0].fold(self.input.table)
        self.products = [product for layer in self.layers for product in layer.products]
        self.products.append(self.output.product)

    def initialize(self, seed: int) -> None:
        """Draw the initial weights."""
        rng = randomness.generator(seed, randomness.INITIAL_WEIGHTS)
        views = self.parameters.views
        for layer in self.layers:
            layer.initialize(views, rng)
        self.input.initialize(views, rng)
        self.output.initialize(views, rng)
        self.refresh()

    def refresh(self) -> None:
        """Take over changed weights."""
        for product in self.products:
            product.refresh()

    def cache(self, T: int, B: int, rates: Sequence[float] = ()) -> ModelCache:
        """Allocate a workspace for chunks of T steps of B streams.

        Args:
            T: steps.
            B: streams.
            rates: L+1 dropout rates: of the input, between layers and before the output; none
                where empty.
        """
        return ModelCache(self, T, B, rates)

    def zero_state(self, B: int) -> States:
        """Return the state at the beginning of a text, a tuple a layer."""
        return [layer.zero_state(B) for layer in self.layers]

    def forward(self, ids: Array, state: States, cache: ModelCache) -> States:
        """Run a chunk up to the output layer's input.

        Args:
            ids: (T, B) characters.
            state: what enters, from the chunk before or `zero_state`.
            cache: the workspace, of the same T and B; its masks are applied.

        Returns:
            The state that leaves, as views valid until the cache's next forward.
        """
        x = cache.inputs[0]
        self.input.forward(ids, x)
        apply_mask(cache.masks[0], x, x)
        leaving = []
        for k, layer in enumerate(self.layers):
            leaving.append(layer.forward(state[k], cache.layers[k]))
            apply_mask(cache.masks[k + 1], cache.layers[k].h[1:], cache.inputs[k + 1])
        return leaving

    def loss_and_gradient(
        self, ids: Array, targets: Array, state: States, cache: ModelCache
    ) -> tuple[float, States]:
        """Run a chunk forward and back; the gradient is cut at the chunk's beginning.

        Args:
            ids: (T, B) characters.
            targets: (T, B) the characters that came next.
            state: what enters.
            cache: the workspace, of the same T and B.

        Returns:
            loss: mean cross-entropy in nats per character.
            state: what leaves, as views valid until the cache's next forward.
        """
        assert self.gradient is not None
        leaving = self.forward(ids, state, cache)
        self.gradient.flat.fill(0)
        loss = self.output.loss_and_gradient(targets, cache.output)
        dh = cache.output.y
        for k in reversed(range(len(self.layers))):
            apply_mask(cache.masks[k + 1], dh, dh)
            dh, _ = self.layers[k].backward(dh, cache.zero_dstates[k], cache.layers[k])
        apply_mask(cache.masks[0], dh, dh)
        self.input.backward(ids, dh)
        return loss, leaving


def shapes(config: ModelConfig, V: int) -> dict[str, tuple[int, ...]]:
    """Return the names and shapes of a model's parameters; allocates nothing.

    Args:
        config: as for `Model`.
        V: size of the vocabulary.
    """
    way_in, layers, output = _rooms(config, V)
    rooms: list[Room] = [way_in, *layers, output]
    blocks = [block for room in rooms for block in room.blocks()]
    return {name: shape for block in blocks for name, shape in block.shapes().items()}


def _rooms(
    config: ModelConfig, V: int, masked_input: bool = False
) -> tuple[Input, list[RecurrentLayer], Output]:
    """Lay the network out; nothing is allocated before its rooms are bound to parameters."""
    L, H = config.layers, config.hidden
    width = H if config.embedding == "auto" else config.embedding
    if width == "one-hot":
        way_in: Input = OneHot(V, f"{config.cell}.0.Wx")
    else:
        folded = folding_pays(V, int(width)) and not masked_input
        way_in = (FoldedEmbedding if folded else Embedding)(V, int(width))
    layers = []
    for k in range(L):
        D = H if k else way_in.D
        needs_dx = k > 0 or way_in.needs_dx
        layers.append(_layer(config, f"{config.cell}.{k}", D, H, needs_dx))
    return way_in, layers, Output(H, V)


def _layer(config: ModelConfig, name: str, D: int, H: int, needs_dx: bool) -> RecurrentLayer:
    match config.cell:
        case "lstm":
            return LSTM(name, D, H, needs_dx=needs_dx, forget_bias=config.forget_bias)
        case "gru":
            return GRU(name, D, H, needs_dx=needs_dx)
        case "rnn":
            return RNN(name, D, H, needs_dx=needs_dx)
