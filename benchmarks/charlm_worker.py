"""What charlm does, measured inside its own process; see turns.py."""

import numpy as np
from turns import kept, serve

from charlm.generation.filters import Filters
from charlm.generation.sampler import Sampler
from charlm.nn.linear import GRADIENT_COLUMNS
from charlm.nn.model import Model
from charlm.nn.output import steps_per_block
from charlm.optim.clipping import clip, global_norm
from charlm.optim.optimizers import Adam
from charlm.settings.schema import ModelConfig, TrainConfig
from charlm.text.vocabulary import Vocabulary


def network(cell: str, L: int, H: int, V: int, embedding: str = "auto", training: bool = True):
    model = Model(
        ModelConfig(cell=cell, layers=L, hidden=H, embedding=embedding), V, training=training
    )
    model.initialize(0)
    return model


def update(cell: str, L: int, H: int, B: int, T: int, V: int, embedding: str = "auto"):
    """Forward, backward, clipping, Adam, and the weights taken over."""
    model = network(cell, L, H, V, embedding)
    cache, state = model.cache(T, B), [model.zero_state(B)]
    optimizer = Adam(model.parameters, model.gradient, TrainConfig())
    ids = np.random.default_rng(0).integers(0, V, (T + 1, B))

    def work() -> None:
        _, state[0] = model.loss_and_gradient(ids[:-1], ids[1:], state[0], cache)
        clip(model.gradient.flat, global_norm(model.gradient.flat), 1.0)
        optimizer.step(1e-3)
        model.refresh()

    return work


def products(cell: str, L: int, H: int, B: int, T: int, V: int, embedding: str = "auto"):
    """The matrix products of an update alone, each on arrays that stay where they are."""
    model = network(cell, L, H, V, embedding)
    works = [alone(linear, B, T, 1) for layer in model.layers for linear in layer.linears]
    works.append(alone(model.output.linear, B, T, steps_per_block(T, B, V)))
    return lambda: [work() for work in works]


def output(cell: str, L: int, H: int, B: int, T: int, V: int):
    """The output layer's three products alone."""
    model = network(cell, L, H, V)
    return alone(model.output.linear, B, T, steps_per_block(T, B, V))


def alone(linear, B: int, T: int, abreast: int):
    """The products of one linear layer in a step, `abreast` time steps at a time."""
    M, K = linear.W.shape
    columns = [min(abreast, T - t) * B for t in range(0, T, abreast)]
    x, a = np.ones((K, columns[0]), np.float32), np.ones((M, columns[0]), np.float32)
    dx = np.ones((linear.WT.shape[0], columns[0]), np.float32)
    steps = max(1, min(T, GRADIENT_COLUMNS // B))
    gathered = [min(steps, T - t) * B for t in range(0, T, steps)]
    das, xs = np.ones((M, gathered[0]), np.float32), np.ones((K, gathered[0]), np.float32)

    def work() -> None:
        for N in columns:
            np.matmul(linear.W, x[:, :N], out=a[:, :N])
        for N in columns:
            np.matmul(linear.WT, a[:, :N], out=dx[:, :N])
        for N in gathered:
            np.matmul(das[:, :N], xs[:, :N].T, out=linear.partial)

    return work


def samples(cell: str, L: int, H: int, V: int, streams: int, count: int):
    """Symbols drawn one after the other at temperature 0.8."""
    model = network(cell, L, H, V, training=False)
    vocabulary = Vocabulary("".join(map(chr, range(32, 32 + V))), " ")
    sampler = Sampler(model, vocabulary, Filters(0.8), streams=streams, seed=0)
    if streams == 1:
        return lambda: sum(map(len, sampler.characters(count)))
    return lambda: sampler.write(count)


def vectors(cell: str, L: int, H: int, V: int, streams: int, count: int):
    """The products of so many steps of sampling alone."""
    model = network(cell, L, H, V, training=False)
    works = [
        (
            linear.W,
            np.ones((linear.W.shape[1], streams), np.float32),
            np.ones((linear.W.shape[0], streams), np.float32),
        )
        for part in (*(layer.linears for layer in model.layers), (model.output.linear,))
        for linear in part
    ]

    def work() -> None:
        for _ in range(count):
            for W, x, a in works:
                np.matmul(W, x, out=a)

    return work


serve({
    "update": kept(update), "products": kept(products), "output": kept(output),
    "samples": kept(samples), "vectors": kept(vectors),
})  # fmt: skip
