"""What the three cells share: the cache of a chunk, and the loops over its time steps.

A cache holds what one layer computes for T time steps of B streams, allocated once and filled anew
by every chunk. Index t of a state is the state that enters time step t, so states are T+1 long. A
step cache holds everything that one time step needs, as views made beforehand: the loops below
slice nothing.

A rolling cache has one time step, whose leaving state lies where its entering state lay. Sampling
and evaluation run the same `step` on it, any number of times.

    forward      x_0..x_{T-1}, state  ->  h_1..h_T, state
    backward     dh_1..dh_T, dstate   ->  dx_0..dx_{T-1}, dstate

Truncated backpropagation through time: carry the state from chunk to chunk, pass zeros as `dstate`,
and drop the `dstate` that is returned.

Where an independent item begins inside a chunk, `keep` is 0 for its stream: the state that enters
that time step is zero, and no gradient leaves it.

    state_t *= keep_t           dstate_t *= keep_t

Sources: Werbos 1990, Backpropagation through time; Williams & Peng 1990 (truncated); Glorot &
Bengio 2010 equation 16 (input weights); Saxe, McClelland & Ganguli 2014 (orthogonal recurrence).
"""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any, ClassVar, Generic, TypeAlias, TypeVar

import numpy as np

from charlm.nn.embedding import OneHot
from charlm.nn.linear import GradBuffer, Linear
from charlm.nn.parameters import Block, aligned_zeros
from charlm.types import Array, State

Shapes: TypeAlias = dict[str, tuple[int, ...]]
StepCacheT = TypeVar("StepCacheT")


class Cache(ABC, Generic[StepCacheT]):
    """What one layer keeps of a chunk, and the scratch arrays of its time steps."""

    x: Array  # (T, D, B) the layer's input
    h: Array  # (T+1, H, B) hidden states that enter a time step, and the last that leaves one
    h_out: Array  # (T, H, B) hidden states that leave a time step: h[1:], with `keep` a copy
    states: list[State]  # views of the state that enters each time step
    state_in: State  # views of the state that enters time step 0
    state_out: State  # views of the state that leaves time step T-1
    steps: list[StepCacheT]  # one per time step
    dx: Array  # (T, D, B) gradient of the input; (T, 0, B) where the layer does not need it
    dh: Array  # (H, B) gradient of the h that leaves the time step at hand
    dh_in: list[Array]  # (H, B) gradient of the h that enters it, for each time step
    dstate: State = ()  # gradients of the other states, carried from time step to time step
    buffers: Sequence[GradBuffer] = ()  # one per linear layer, for its weight gradient

    @abstractmethod
    def memory(self, t: int) -> Array:
        """Return what the cell remembers after time step t, from -1 to 1: (H, B)."""

    @abstractmethod
    def gate(self, name: str, t: int) -> Array:
        """Return one of the gates between 0 and 1 at time step t: (H, B)."""


CacheT = TypeVar("CacheT", bound=Cache[Any])


class RecurrentLayer(ABC, Generic[CacheT, StepCacheT]):
    """One cell over time, from D inputs to H hidden units.

    Its name in the parameters is such as `lstm.0`; `needs_dx` asks for the gradient of the input;
    `source` is the input layer of a network's first layer.
    """

    STATES: ClassVar[tuple[str, ...]]  # what is carried from time step to time step
    GATES: ClassVar[tuple[str, ...]]  # the blocks of H rows of the recurrent weights
    SIGMOIDS: ClassVar[tuple[str, ...]]  # the gates between 0 and 1
    dtype: "np.dtype[Any]"
    linears: tuple[Linear, ...]
    training: bool

    def __init__(
        self, name: str, D: int, H: int, *, needs_dx: bool = True, source: OneHot | None = None
    ) -> None:
        self.name, self.D, self.H, self.needs_dx = name, D, H, needs_dx
        self._input_linear = Linear if source is None else source.first_linear

    @property
    def X(self) -> int:  # noqa: N802 (a size)
        """Return the rows of x: D, or V where an embedding is folded into the weights."""
        return self.linears[0].x_rows - self.linears[0].K + self.D

    @abstractmethod
    def blocks(self) -> list[Block]:
        """Describe the cell's parameters, a block per linear layer."""

    def bind(self, blocks: list[Array], gradient: list[Array] | None) -> None:
        """Attach the layer's blocks of the parameters and of their gradient.

        Where gradient is None the layer only runs forward.
        """
        self.dtype, self.training = blocks[0].dtype, gradient is not None
        for k, linear in enumerate(self.linears):
            linear.bind(blocks[k], None if gradient is None else gradient[k])

    def initialize(self, views: dict[str, Array], rng: np.random.Generator) -> None:
        """Draw the initial weights into the parameters' named views; biases are zero."""
        draw_input_weights(views[f"{self.name}.Wx"], self.H, rng)
        draw_recurrent_weights(views[f"{self.name}.Wh"], rng)
        for block in self.blocks():
            for name, shape in block.shapes().items():
                if len(shape) == 1:
                    views[name][...] = 0

    @abstractmethod
    def cache_shapes(self, T: int, B: int, *, training: bool) -> Shapes:
        """Return the shapes of a cache's arrays by name; `training` adds those of backward."""

    @abstractmethod
    def cache(self, T: int, B: int, *, rolling: bool = False) -> CacheT:
        """Allocate a cache for T time steps of B streams; T is 1 where it is rolling."""

    @abstractmethod
    def step(self, s: StepCacheT) -> None:
        """Run the cell for one time step."""

    @abstractmethod
    def step_backward(self, s: StepCacheT, cache: CacheT) -> None:
        """Backpropagate through one time step: from `cache.dh` to `dx`, `dh_in` and `dstate`."""

    def forward(self, state: State, cache: CacheT, keep: Array | None = None) -> State:
        """Run over `cache.x`, which the layer below has written, and fill `cache.h_out`.

        Args:
            state: enters time step 0, as (H, B) arrays, h first.
            cache: of the chunk.
            keep: (T, B) 0 where a stream's state is zero before a time step, else 1.

        Returns:
            The state that leaves the last time step, as views valid until the next forward.
        """
        for place, given in zip(cache.state_in, state, strict=True):
            np.copyto(place, given)
        if keep is None:
            cache.h_out = cache.h[1:]
            for s in cache.steps:
                self.step(s)
            return cache.state_out
        if not cache.h_out.flags.owndata:
            cache.h_out = np.empty(cache.h_out.shape, self.dtype)
        for t, s in enumerate(cache.steps):
            for part in cache.states[t]:
                np.multiply(part, keep[t], out=part)
            self.step(s)
            np.copyto(cache.h_out[t], cache.h[t + 1])
        return cache.state_out

    def backward(
        self, dh: Array, dstate: State, cache: CacheT, keep: Array | None = None
    ) -> tuple[Array, State]:
        """Backpropagate through the chunk, and add to the gradient of the weights.

        Args:
            dh: (T, H, B) gradient of h_1..h_T from the layer above.
            dstate: gradient of the state that left the last time step, from the next chunk; zeros
                truncate the gradient there.
            cache: filled by `forward`.
            keep: as for `forward`.

        Returns:
            dx: (T, D, B) gradient of the input; (T, 0, B) where the layer does not need it.
            dstate: gradient of the state that entered, as views valid until the next backward.
        """
        dh_next, *others = dstate
        for place, given in zip(cache.dstate, others, strict=True):
            np.copyto(place, given)
        for t in reversed(range(len(cache.steps))):
            np.add(dh[t], dh_next, out=cache.dh)
            if keep is not None:
                # The forward pass set a part of it to zero for the time step after.
                np.copyto(cache.h[t + 1], cache.h_out[t])
            self.step_backward(cache.steps[t], cache)
            dh_next = cache.dh_in[t]
            if keep is not None:
                for part in (dh_next, *cache.dstate):
                    np.multiply(part, keep[t], out=part)
        for linear, buffer in zip(self.linears, cache.buffers, strict=True):
            linear.flush_grad(buffer)
        return cache.dx, (dh_next, *cache.dstate)

    def zero_state(self, B: int) -> State:
        """Return the state at the beginning of a text."""
        return tuple(np.zeros((self.H, B), self.dtype) for _ in self.STATES)

    def _allocate(self, T: int, B: int) -> dict[str, Array]:
        shapes = self.cache_shapes(T, B, training=self.training)
        return {name: aligned_zeros(shape, self.dtype) for name, shape in shapes.items()}

    def _buffers(self, B: int) -> tuple[GradBuffer, ...]:
        return tuple(linear.buffer(B) for linear in self.linears) if self.training else ()


def draw_input_weights(W: Array, H: int, rng: np.random.Generator) -> None:
    """Fill (gates H, D) input weights by Glorot and Bengio's rule, each gate's block alike."""
    bound = np.sqrt(6.0 / (W.shape[1] + H))
    W[...] = rng.uniform(-bound, bound, W.shape)


def draw_recurrent_weights(W: Array, rng: np.random.Generator) -> None:
    """Fill (gates H, H) recurrent weights with one random orthogonal matrix a gate."""
    H = W.shape[1]
    for top in range(0, W.shape[0], H):
        orthogonal, r = np.linalg.qr(rng.standard_normal((H, H)))
        # The signs make the draw uniform over all orthogonal matrices (Mezzadri 2007).
        W[top : top + H] = orthogonal * np.sign(np.diag(r))
