"""Steps of one process or of several, and Allreduce; process 0 is asked, the others follow it."""

import time
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from turns import serve, timed

from charlm import environment
from charlm.settings.schema import Config
from charlm.text.corpus import TextInfo, open_ids
from charlm.text.vocabulary import Vocabulary
from charlm.training.parallel import connect
from charlm.training.trainer import Trainer

V = 65
GROUP = connect()


def step(L: int, H: int, B: int, T: int, count: int) -> dict:
    """Return the median of the seconds that `count` steps of random text take."""
    config = Config().replace(
        model__layers=L, model__hidden=H, train__batch_size=B, train__seq_len=T,
        train__learning_rate=1e-6, train__steps=10**6,
    )  # fmt: skip
    vocabulary = Vocabulary("".join(map(chr, range(32, 32 + V))), " ")
    rng = np.random.default_rng(0)
    with TemporaryDirectory() as folder:
        path = Path(folder) / "ids.bin"
        rng.integers(0, V, 4 * B * T, np.uint8).tofile(path)
        ids = open_ids(path, vocabulary.dtype)
        text, threads = TextInfo("", ids.size, "", ""), environment.threads()
        trainer = Trainer(config, vocabulary, text, ids, None, GROUP, threads)
        with environment.limited(trainer.parallel.blas_threads):
            trainer.update()
            return {"seconds": timed(trainer.update, 0, count)}


def allreduce(count: int) -> dict:
    """Return the median of the seconds that one Allreduce of so many float32 numbers takes."""
    array = np.ones(count, np.float32)

    def work() -> None:
        array.fill(1)
        GROUP.sum(array)

    return {"seconds": timed(work, 0, 50) - timed(lambda: array.fill(1), 0, 50)}


JOBS = {"step": step, "allreduce": allreduce}


def asked(name: str) -> object:
    """Do a job in all processes."""

    def job(**details: object) -> dict:
        for other in range(1, GROUP.size):
            GROUP._comm.send((name, details), other)
        return JOBS[name](**details)

    return job


def follow() -> None:
    """Do what process 0 is asked for; asleep meanwhile, as a process that waits in MPI is not."""
    while True:
        while not GROUP._comm.iprobe():
            time.sleep(0.02)
        name, details = GROUP._comm.recv()
        if name == "end":
            return
        JOBS[name](**details)


if GROUP.rank:
    follow()
else:
    serve({name: asked(name) for name in JOBS})
    for other in range(1, GROUP.size):
        GROUP._comm.send(("end", {}), other)
