"""What the three cells share: a cache that remembers a chunk, and the loops over its steps.

A cache is the workspace of one layer for T steps of B streams, allocated once and filled anew by
every chunk. Index t of a state is the state that ENTERS step t, so states are T+1 long. A slot is
everything one step needs, as views made beforehand: the loops below slice nothing.

A rolling cache has one slot whose leaving state lies where its entering state lay. Sampling and
evaluation run the very same step on it, for as many steps as they like.

    forward      x_0..x_{T-1}, state  ->  h_1..h_T, state
    backward     dh_1..dh_T, dstate   ->  dx_0..dx_{T-1}, dstate

Truncated backpropagation is: carry the state from chunk to chunk, hand in zeros as `dstate` and
drop the one that comes back.

Sources: Werbos 1990, Backpropagation through time; Williams & Peng 1990 (truncated); Glorot &
Bengio 2010 equation 16 (input weights); Saxe, McClelland & Ganguli 2014 (orthogonal recurrence).
"""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np

from charlm.nn.linear import FoldedLinear, Linear, Table
from charlm.nn.parameters import Block, Parameters
from charlm.types import Array, State


class Cache:
    """Hold what one layer remembers of a chunk.

    Attributes:
        x: (T, D, B) the layer's input; `backward` puts dx in its place.
        h: (T+1, H, B) hidden states; `backward` puts the gradient of those that enter a step in
            their place, and leaves the last one alone.
        state_in: the state at step 0, as views.
        state_out: the state after step T-1, as views.
        slots: one tuple of views a step, made for the cell's `step` and `step_backward`.
        work: the cell's scratch arrays, shared by all steps.
        dh: (H, B) the whole gradient of the h that left a step.
    """

    x: Array
    h: Array
    state_in: State
    state_out: State
    slots: Sequence[Any]
    work: Sequence[Array]
    dh: Array
    arrays: Sequence[Array]

    @property
    def nbytes(self) -> int:
        """Return the bytes of all arrays."""
        return sum(q.nbytes for q in self.arrays)


class RecurrentLayer(ABC):
    """Run one cell over time.

    Args:
        name: the layer's name in the parameters, such as `lstm.0`.
        D: width of the input.
        H: hidden units.
        needs_dx: whether the gradient of the input is wanted.

    Attributes:
        STATES: names of what is carried from step to step.
        GATES: names of the blocks of H rows that the recurrent weights are made of.
        SIGMOIDS: the cell's gates between 0 and 1, by the names of a slot's views.
        MEMORY: a slot's view of what the cell carries on, between -1 and 1.
        X: rows of the cache's x: D, or V where an embedding is folded into the weights.
    """

    STATES: ClassVar[tuple[str, ...]]
    GATES: ClassVar[tuple[str, ...]]
    SIGMOIDS: ClassVar[tuple[str, ...]]
    MEMORY: ClassVar[str]
    dtype: np.dtype[Any]
    products: tuple[Linear, ...]
    table: Table | None = None

    def __init__(self, name: str, D: int, H: int, *, needs_dx: bool = True) -> None:
        self.name, self.D, self.H, self.needs_dx = name, D, H, needs_dx
        self.X = D

    @abstractmethod
    def blocks(self) -> list[Block]:
        """Lay out the cell's parameters."""

    @abstractmethod
    def bind(self, index: int, parameters: Parameters, gradient: Parameters | None) -> None:
        """Attach the layer to its blocks, which begin at `index`.

        Where gradient is None the layer only runs forward.
        """

    @abstractmethod
    def initialize(self, views: dict[str, Array], rng: np.random.Generator) -> None:
        """Draw the initial weights into the parameters' named views."""

    @abstractmethod
    def cache(self, T: int, B: int, *, rolling: bool = False) -> Cache:
        """Allocate a workspace for T steps of B streams; T is 1 where it is rolling."""

    @abstractmethod
    def step(self, slot: Any) -> None:
        """Run the cell for one time step."""

    @abstractmethod
    def step_backward(self, slot: Any, dh: Array, work: Sequence[Array]) -> None:
        """Undo one time step.

        Args:
            slot: the step's views; dx takes the place of x, and the gradient of the h that
                entered takes the place of that h.
            dh: (H, B) the whole gradient of the h that left.
            work: the cache's scratch; other states' gradients live there from step to step.
        """

    def forward(self, state: State, cache: Cache) -> State:
        """Run over `cache.x`, which the layer below has written.

        Args:
            state: the state that enters step 0; (H, B) arrays, h first.
            cache: the workspace; holds the hidden states in `cache.h` afterwards.

        Returns:
            The state that leaves the last step, as views valid until the cache's next forward.
        """
        for entering, given in zip(cache.state_in, state, strict=True):
            np.copyto(entering, given)
        for slot in cache.slots:
            self.step(slot)
        return cache.state_out

    def backward(self, dh: Array, dstate: State, cache: Cache) -> tuple[Array, State]:
        """Run back over the cache, and add the weights' gradient to the parameters' twin.

        Args:
            dh: (T, H, B) gradient of h_1..h_T from above.
            dstate: gradient of the state that left the last step, from the chunk after this one;
                zeros cut the gradient there.
            cache: the workspace that `forward` filled; it can be run back over once.

        Returns:
            dx: (T, D, B) gradient of the input, where `cache.x` was; x itself where the layer was
                made not to need dx.
            dstate: gradient of the state that entered, as views valid until the cache's next use.
        """
        dh_next, *others = dstate
        for work, given in zip(cache.work, others, strict=False):
            np.copyto(work, given)
        for t in reversed(range(len(cache.slots))):
            np.add(dh[t], dh_next, out=cache.dh)
            self.step_backward(cache.slots[t], cache.dh, cache.work)
            dh_next = cache.h[t]
        for product in self.products:
            product.finish()
        return cache.x, (dh_next, *cache.work[: len(others)])

    def fold(self, table: Table) -> None:
        """Take an embedding into the input weights, before `bind`; x is one-hot then."""
        assert not self.needs_dx
        self.table, self.X = table, table.E.shape[1]

    def _product(self, W: Array, dW: Array | None, wanted: slice, halved: int = 0) -> Linear:
        """Make the product of a block whose first D columns are the input's."""
        if self.table is None:
            return Linear(W, dW, wanted, halved)
        return FoldedLinear(W, dW, wanted, halved, self.table)

    def zero_state(self, B: int) -> State:
        """Return the state at the beginning of a text."""
        return tuple(np.zeros((self.H, B), self.dtype) for _ in self.STATES)


def draw_input_weights(W: Array, H: int, rng: np.random.Generator) -> None:
    """Fill (gates H, D) input weights by Glorot and Bengio's rule, each gate's block alike."""
    bound = np.sqrt(6.0 / (W.shape[1] + H))
    W[...] = rng.uniform(-bound, bound, W.shape)


def draw_recurrent_weights(W: Array, rng: np.random.Generator) -> None:
    """Fill (gates H, H) recurrent weights with one random orthogonal matrix a gate."""
    H = W.shape[1]
    for top in range(0, W.shape[0], H):
        q, r = np.linalg.qr(rng.standard_normal((H, H)))
        # The signs make the draw uniform over all orthogonal matrices (Mezzadri 2007).
        W[top : top + H] = q * np.sign(np.diag(r))
