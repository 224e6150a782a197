"""What charlm does, measured inside its own process; see turns.py."""

import sys

import numpy as np
from turns import kept, serve

from charlm import environment
from charlm.generation.filters import Filters
from charlm.generation.sampler import Sampler
from charlm.nn.linear import GRADIENT_COLUMNS
from charlm.nn.model import Model
from charlm.nn.output import steps_per_block
from charlm.settings.schema import Config, ModelConfig
from charlm.text.corpus import TextInfo
from charlm.text.vocabulary import Vocabulary
from charlm.training.data_parallel import DataParallel
from charlm.training.planning import measure
from charlm.training.trainer import Trainer


def network(cell: str, L: int, H: int, V: int, embedding: str = "auto", training: bool = True):
    model = Model(
        ModelConfig(cell=cell, layers=L, hidden=H, embedding=embedding), V, training=training
    )
    model.initialize(0)
    return model


def update(cell: str, L: int, H: int, B: int, T: int, V: int, embedding: str = "auto"):
    """Forward, backward, clipping, Adam, and the weights taken over, as `charlm train` does it.

    The number of threads is timed as there; dropout and averaged weights, which PyTorch's side does
    not have, are off.
    """
    config = Config().replace(
        model__cell=cell, model__layers=L, model__hidden=H, model__embedding=embedding,
        data__validation=0.0, train__batch_size=B, train__seq_len=T, train__dropout=0.0,
        train__average=0.0, train__learning_rate=1e-6, train__steps=10**6,
        train__optimizer="adam",
    )  # fmt: skip
    vocabulary = Vocabulary("".join(map(chr, range(32, 32 + V))), " ")
    ids = np.random.default_rng(0).integers(0, V, 8 * B * (T + 1)).astype(vocabulary.dtype)
    given = config, vocabulary, TextInfo("", ids.size, "", ""), ids
    pace = measure(*given, environment.thread_counts())
    if pace.note:
        print(pace.note, file=sys.stderr)
    trainer = Trainer(*given, None, threads=pace.threads)

    def work() -> None:
        with environment.limited(trainer.parallel.blas_threads):
            trainer.update()

    return work


def products(cell: str, L: int, H: int, B: int, T: int, V: int, embedding: str = "auto"):
    """The matrix products of an update alone, each on arrays that stay where they are."""
    model = network(cell, L, H, V, embedding)
    parallel = DataParallel(model, 1, B, [], environment.thread_counts()[-1])
    works = []
    for replica, share in zip(parallel.models, parallel.shares, strict=True):
        b, output = share.stop - share.start, replica.output.linear
        steps = [alone(linear, b, T, 1) for linear in replica.linears if linear is not output]
        works.append([*steps, alone(output, b, T, steps_per_block(T, b, V))])

    def of_replica(r: int) -> None:
        parallel.models[r].choose_products()
        for work in works[r]:
            work()

    def work() -> None:
        with environment.limited(parallel.blas_threads):
            parallel.run(of_replica)

    return work


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
            linear.forward(x[:, :N], a[:, :N])
        for N in columns:
            linear.backward(a[:, :N], dx[:, :N])
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
