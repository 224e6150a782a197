"""What does this machine do with a preset? Updates of a network that learns noise, timed.

A text of its own characters would not change the speed, only the loss.
"""

import statistics
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from charlm import environment
from charlm.config import PRESETS, Config, Layer, resolve
from charlm.errors import ConfigError
from charlm.terminal import brief
from charlm.text.corpus import IdFile, TextInfo
from charlm.text.vocabulary import Vocabulary
from charlm.training import memory
from charlm.training.trainer import Trainer

# As many as tinyshakespeare has.
CHARACTERS = 65
_ENDLESS = 10**6


@dataclass(frozen=True)
class Speed:
    """Say how fast a preset trains here.

    Attributes:
        preset: its name.
        config: its settings.
        parameters: how many numbers it learns.
        nbytes: the memory of its arrays.
        chars_per_s: characters read a second, in full updates.
    """

    preset: str
    config: Config
    parameters: int
    nbytes: int
    chars_per_s: float

    @property
    def minutes_per_million(self) -> float:
        """Return the minutes that a million characters take, read once."""
        return 1e6 / self.chars_per_s / 60


def bench(presets: Sequence[str] = tuple(PRESETS), seconds: float = 10.0) -> Iterator[Speed]:
    """Time one preset after the other, and yield each as soon as it is measured.

    Args:
        presets: short, tiny, small, medium or large.
        seconds: for all of them; an update of each is made in any case.

    Raises:
        ConfigError: there is no such preset; or, as soon as it is its turn, too little memory.
    """
    if unknown := [preset for preset in presets if preset not in PRESETS]:
        raise ConfigError(
            f"bench: preset must be one of {', '.join(PRESETS)}, got {brief(unknown[0])}"
        )
    configs = [resolve([Layer("bench", {"preset": preset})])[0] for preset in presets]
    return (_measure(config, seconds / len(configs)) for config in configs)


def _measure(config: Config, seconds: float) -> Speed:
    began = time.perf_counter()
    # A preset may count epochs, and noise has none.
    config = config.replace(train__steps=_ENDLESS, train__epochs=None)
    needed = memory.need(config, CHARACTERS)
    memory.check(needed, environment.free_memory(), config)
    vocabulary = Vocabulary("".join(map(chr, range(32, 32 + CHARACTERS))), " ")
    noise = np.random.default_rng(0).integers(0, CHARACTERS, 100_000, vocabulary.dtype)
    with TemporaryDirectory() as folder:
        path = Path(folder) / "ids.bin"
        noise.tofile(path)
        ids = IdFile(path, vocabulary.dtype)
        trainer = Trainer(
            config, vocabulary, TextInfo(config.preset, ids.size, "", ""), ids, run=None
        )
        # The first update meets cold caches and fresh memory: it counts only where it is alone.
        times = [_update_s(trainer)]
        while time.perf_counter() - began + times[-1] < seconds:
            times.append(_update_s(trainer))
        ids.close()
    characters = trainer.streams.B * trainer.streams.T
    update_s = statistics.median(times[1:] or times)
    return Speed(config.preset, config, needed.parameters, needed.total, characters / update_s)


def _update_s(trainer: Trainer) -> float:
    began = time.perf_counter()
    trainer.update()
    return time.perf_counter() - began
