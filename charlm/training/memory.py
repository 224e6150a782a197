"""How much memory a training takes: a sum over its arrays, known before any of them is there.

    bytes = 4 (weights + work) + ids                                      float32; 8-byte ids

    P         V D + sum over layers of G H (D_k + H + 1) + V (H + 1)      the parameters
    weights   P (2 + optimizer's states + 1 averaged)                     with their gradient
              + 2 or 3 copies of each product's block                     W, W^T, partial gradient
    work      T B (what a layer remembers of a step)                      the caches
              + 1,024 columns of each product                             gathered for its gradient

G is 4 gates for LSTM, 3 for GRU, 1 for the tanh RNN; D_0 is the embedding's width, D_k is H. Where
the embedding is folded into the first layer's weights, x is one-hot: X = V rows instead of D.

What is left out are views, the interpreter and its libraries: about 60 MB, whatever the sizes.
"""

from dataclasses import dataclass
from typing import NamedTuple

from charlm.errors import ConfigError
from charlm.nn.embedding import ROWS, folding_pays
from charlm.nn.linear import GRADIENT_COLUMNS
from charlm.nn.output import steps_abreast
from charlm.settings.schema import Config

_GATES = {"lstm": 4, "gru": 3, "rnn": 1}
_STATES = {"lstm": 2, "gru": 1, "rnn": 1}
# Arrays as long as the parameters that an optimizer keeps.
_MOMENTS = {"adam": 2, "rmsprop": 1, "adagrad": 1, "sgd": 1}
_FLOAT, _ID = 4, 8


@dataclass(frozen=True)
class Need:
    """Say what the arrays of a training take, in bytes.

    Attributes:
        parameters: how many numbers are learned.
        weights: what grows with them alone.
        work: what grows with the streams and the steps of a chunk as well.
    """

    parameters: int
    weights: int
    work: int

    @property
    def total(self) -> int:
        """Return the sum."""
        return self.weights + self.work


class _Block(NamedTuple):
    """Describe a product's block of weights."""

    M: int  # rows
    K: int  # columns
    X: int  # columns of the copy that is multiplied by: more where an embedding is folded in
    wanted: int  # columns whose inputs need a gradient


def need(config: Config, V: int) -> Need:
    """Add up a training's arrays.

    Args:
        config: resolved: `train.seq_len` is a number.
        V: size of the vocabulary.
    """
    model, train = config.model, config.train
    T, B, L, H = train.seq_len, train.batch_size, model.layers, model.hidden
    assert isinstance(T, int)
    one_hot = model.embedding == "one-hot"
    D = V if one_hot else H if model.embedding == "auto" else int(model.embedding)
    folded = not one_hot and not train.embedding_dropout and folding_pays(V, D)
    looked_up = not one_hot and not folded

    layers = [_blocks(model.cell, D, V if folded else D, H, D if looked_up else 0)]
    layers += [_blocks(model.cell, H, H, H, H)] * (L - 1)
    recurrent = [block for blocks in layers for block in blocks]
    output = _Block(V, H + 1, H + 1, H)
    every = [*recurrent, output]

    P = (0 if one_hot else V * D) + sum(q.M * q.K for q in every)
    weights = P * (2 + _MOMENTS[train.optimizer])
    weights += sum(q.M * (2 * q.X + q.wanted) for q in every)
    if folded:
        # The gradient of the folded block, what it is unfolded into, and the embedding's.
        weights += recurrent[0].M * (recurrent[0].X + recurrent[0].K) + D * V
    if train.average:
        weights += P + sum(q.M * q.X for q in every)

    columns = max(1, GRADIENT_COLUMNS // B) * B
    work = columns * sum(q.M + q.X for q in recurrent)
    for k in range(L):
        X = (V if folded else D) if k == 0 else H
        work += _tape(model.cell, T, B, X, H)
    work += T * (H + 1) * B + steps_abreast(T, B, V) * B * V
    # A looked-up embedding's gradient is summed over sorted columns.
    work += 2 * ROWS * T * B if looked_up else 0
    # The state that enters at an epoch's start, and the gradient that enters from behind.
    work += 2 * L * _STATES[model.cell] * H * B
    work += L * H * B if train.dropout else 0
    work += D * B if train.embedding_dropout else 0
    return Need(P, _FLOAT * weights, _FLOAT * work + _ID * (T + 1) * B)


def _blocks(cell: str, D: int, X: int, H: int, dx: int) -> list[_Block]:
    """Return a layer's blocks: one, or for the GRU one of the input and one of the state."""
    M = _GATES[cell] * H
    if cell == "gru":
        return [_Block(M, D + 1, X + 1, dx), _Block(M, H + 1, H + 1, H)]
    return [_Block(M, D + H + 1, X + H + 1, dx + H)]


def _tape(cell: str, T: int, B: int, X: int, H: int) -> int:
    """Return the numbers that a layer's cache holds, its scratch arrays included."""
    match cell:
        case "lstm":  # [x; h; 1], gates, c, tanh c; dh, dc, scratch, gates' gradients
            return B * ((T + 1) * (X + 2 * H + 1) + T * 5 * H + 7 * H)
        case "gru":  # [x; 1], [h; 1], gates, ah_n; recurrent products, three gradients, scratch
            return B * (T * (X + 1) + (T + 1) * (H + 1) + T * 4 * H + 11 * H)
        case _:  # [x; h; 1], h'; the gradients of both
            return B * ((T + 1) * (X + H + 1) + T * H + 2 * H)


def check(needed: Need, free: int | None, config: Config) -> None:
    """Refuse a training that the memory has no room for.

    Args:
        needed: what it needs.
        free: bytes that there are; None where that is not known.
        config: the settings, to say which to lower.

    Raises:
        ConfigError: there is too little.
    """
    if free is None or needed.total <= free:
        return
    keys = ["model.hidden", "model.layers"]
    if needed.work > needed.weights:
        keys = ["train.batch_size", "train.seq_len"]
    settings = config.as_dict()
    now = " or ".join(f"{key} ({settings[key[:5]][key[6:]]})" for key in keys)
    raise ConfigError(
        "train",
        f"needs {_size(needed.total)} of memory, got {_size(free)} that are free here",
        f"lower {now}",
    )


def _size(count: int) -> str:
    return f"{count / 1e9:,.1f} GB" if count >= 1e9 else f"{count / 1e6:,.1f} MB"
