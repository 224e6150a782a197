"""The library: what `import charlm` gives. The command line does nothing that this cannot.

    train(text, hidden=256)      learn a text, to the end        -> LanguageModel
    start(text, hidden=256)      the same, its events one by one -> Training
    resume("my-run")             go on with a run                -> Training
    load("my-run")               a checkpoint                    -> LanguageModel
    check("my-run")              are its files whole?            -> [Finding]
    gradients("lstm")            a fresh cell, looked into       -> Gradients
    report("my-run")             how it learned, and its inside  -> a page, as HTML

Settings are the keys of config.yaml without their section: `hidden`, `learning_rate`, `seed`.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple, TypeAlias

import numpy as np

from charlm.evaluation import dynamic, score
from charlm.generation.copies import AT_LEAST, Copy, find_copies
from charlm.generation.filters import Filters
from charlm.generation.sampler import Sampler
from charlm.insight.characters import characters
from charlm.insight.comparison import FORGET_BIAS
from charlm.insight.gradients import Gradients, of_text, of_untrained
from charlm.insight.oddities import Oddity, OddityFinder
from charlm.insight.properties import properties
from charlm.insight.reading import Reader, Saturation, Surprise, saturation
from charlm.insight.units import CHARACTERS, UnitFinding, find_units
from charlm.pages import texts
from charlm.pages.report import report as report_of
from charlm.runs.check import Finding as Finding
from charlm.runs.check import check_run
from charlm.runs.folder import find_checkpoint, find_run, newest
from charlm.runs.loading import Trained, load_model
from charlm.runs.training_text import learned_text
from charlm.settings.files import read_yaml
from charlm.settings.resolve import resolve
from charlm.settings.schema import KEYS, Config, Overrides, coerce
from charlm.storage.history import read_history
from charlm.text.vocabulary import OnUnknown, Vocabulary
from charlm.training import loop
from charlm.training.advice import advise
from charlm.training.events import Event
from charlm.training.prepare import PreparedRun, start_run
from charlm.training.prepare import resume_run as go_on
from charlm.types import Array, States

PathLike: TypeAlias = str | Path
_CHECKPOINTS = Path("checkpoints")


class Evaluation(NamedTuple):
    """Hold a text's score with the state carried, and in cold windows of 256 characters."""

    carried: score.Score
    cold: score.Score


class LanguageModel:
    """Use a trained model: write, score, look inside.

    Args:
        trained: what a checkpoint gave.
        path: the checkpoint.

    Attributes:
        path: the checkpoint.
        vocabulary: the symbols it knows.
        config: the settings it was trained with.
        parameters: name -> array, such as `lstm.0.Wx`; views, see `update`.
    """

    def __init__(self, trained: Trained, path: Path) -> None:
        self._trained, self._model = trained, trained.model
        self.path = path
        self.vocabulary: Vocabulary = trained.vocabulary
        self.config: Config = trained.config
        self.parameters: Mapping[str, Array] = trained.model.parameters.views

    def __repr__(self) -> str:
        """Name the checkpoint and the network."""
        return (
            f"<LanguageModel {self.path}: {self.config.model.summary}, "
            f"{self.vocabulary.size} symbols>"
        )

    def update(self) -> None:
        """Take over what was written into `parameters`."""
        self._model.refresh()

    def sampler(
        self,
        *,
        start: str = "",
        temperature: float = 0.8,
        top_k: int | None = None,
        top_p: float | None = None,
        min_p: float | None = None,
        stop: str | Sequence[str] = (),
        on_unknown: OnUnknown = "error",
        streams: int = 1,
        seed: int | None = None,
        scored: bool = False,
    ) -> Sampler:
        """Make a sampler, which draws step by step.

        Args:
            start: what the model reads before it writes.
            temperature: at least 0; 0 is greedy, 1 leaves the model's probabilities.
            top_k: draw from the k likeliest only.
            top_p: draw from the likeliest that make up this share.
            min_p: leave out what is less likely than this share of the likeliest.
            stop: texts to end after.
            on_unknown: what becomes of unknown characters of the start text.
            streams: how many texts, drawn side by side.
            seed: the same seed gives the same text; None takes a new one.
            scored: sum up `log_probs`, in nats.

        Raises:
            ConfigError: a value is out of range.
            UnknownCharacter: the start text holds a character that the model never saw.
        """
        return Sampler(
            self._model,
            self.vocabulary,
            Filters(temperature, top_k, top_p, min_p),
            start=start,
            on_unknown=on_unknown,
            streams=streams,
            stop=stop,
            seed=_seed() if seed is None else seed,
            scored=scored,
        )

    def stream(self, length: int = 500, **options: Any) -> Iterator[str]:
        """Yield a text as it is drawn, without the start text.

        Args:
            length: symbols to draw, at the most.
            **options: those of `sampler`, but for `streams`.
        """
        return self.sampler(**options).characters(length)

    def sample(self, length: int = 500, **options: Any) -> str:
        """Return a text, the start text included.

        Args:
            length: symbols to draw, at the most.
            **options: those of `sampler`, but for `streams`.
        """
        return str(options.get("start", "")) + "".join(self.stream(length, **options))

    def evaluate(self, text: str) -> Evaluation:
        """Score a text.

        Raises:
            UnknownCharacter: it holds a character that the model never saw.
            ValueError: it is empty.
        """
        ids, start_id = self._encode(text), self.vocabulary.start_id
        return Evaluation(
            score.carried(self._model, ids, start_id), score.cold(self._model, ids, start_id)
        )

    def evaluate_dynamic(self, text: str, *, learning_rate: float = dynamic.RATE) -> score.Score:
        """Score a text with a copy that goes on learning from what it has scored.

        The figure compares with its like only; `evaluate` is that of fixed weights.

        Args:
            text: what to score.
            learning_rate: at least 0; at 0 nothing is learned.

        Raises:
            UnknownCharacter: the text holds a character that the model never saw.
            CheckpointError: the run's text is not beside its checkpoint.
            ConfigError: the learning rate is out of range.
            Diverged: the loss is no longer finite.
            ValueError: the text is empty.
        """
        learned, ids = learned_text(self._trained, self.path), self._encode(text)
        start_id = self.vocabulary.start_id
        return dynamic.dynamic(self._model, learned, ids, start_id, learning_rate)

    def copies(self, text: str, *, at_least: int = AT_LEAST) -> list[Copy]:
        """Find what a text quotes from the one that was learned, character by character.

        Args:
            text: such as what `sample` returns.
            at_least: how long a copy has to be.

        Returns:
            The copies, the longest first, none overlapping a longer one.

        Raises:
            CheckpointError: the run's text is not beside its checkpoint.
            UnknownCharacter: it holds a character that the model never saw.
            ConfigError: `at_least` is below 1.
        """
        learned = learned_text(self._trained, self.path)
        return find_copies(learned, [self.vocabulary.encode(text)], at_least)[0]

    def log_probs(self, text: str) -> Array:
        """Return ln p of each symbol of a text, given all before it.

        Returns:
            (symbols,) nats, none above 0; symbols are bytes at byte level.

        Raises:
            UnknownCharacter: it holds a character that the model never saw.
            ValueError: it is empty.
        """
        ids = self._encode(text)
        found: Array = -self._reader().read(ids).surprise.nats
        return found

    def surprise(self, text: str, top: int = 5) -> Surprise:
        """Tell how surprised the model is by each symbol of a text, and what it expected.

        Args:
            text: symbols are its characters, or its bytes at byte level.
            top: how many of the likeliest symbols to tell.

        Returns:
            `bits` and `nats` (symbols,); `likeliest` (symbols, top) ids, the first one first, and
            their `probabilities`.

        Raises:
            UnknownCharacter: it holds a character that the model never saw.
            ValueError: it is empty.
        """
        return self._reader().read(self._encode(text), top=top).surprise

    def oddities(self, text: str, count: int = 10) -> list[Oddity]:
        """Find the places of a text that surprise most; raises as `surprise`."""
        finder = OddityFinder(self._model, self.vocabulary, count)
        for _ in finder.read(self._encode(text)):
            pass
        return finder.oddities

    def states(self, text: str) -> Array:
        """Return every unit's state after each symbol of a text; raises as `surprise`.

        Returns:
            (symbols, L, H) from -1 to 1: tanh(c) of an LSTM, h of a GRU and a tanh RNN.
        """
        return self._reader().read(self._encode(text), states=True).states

    def gates(self, text: str) -> list[Saturation]:
        """Tell how often gates are shut or wide open while a text is read; raises as `surprise`.

        Returns:
            For each layer's gates (H,) shares of the time `below` 0.1 and `above` 0.9; empty for a
            tanh RNN.
        """
        return saturation(self._reader().pieces(self._encode(text), gates=True))

    def cells(self, text: str, count: int = 10) -> list[UnitFinding]:
        """Find the units that tell most of a text; raises as `surprise`.

        Args:
            text: its first 20,000 symbols are read.
            count: how many units, at the most.

        Returns:
            Each with its property and its correlation on the text's last third, strongest first.
        """
        return find_units(*self._looked_at(text)[1:], count)

    def heat_page(self, text: str, title: str = "Surprise") -> str:
        """Make a page, as HTML, of a text coloured by surprise; raises as `surprise`."""
        ids = self._encode(text)
        shown = ids[: texts.MOST]
        return texts.surprise_page(title, self._trained, shown, ids.size, self.oddities(text))

    def cells_page(
        self, text: str, unit: tuple[int, int] | None = None, title: str = "Cells"
    ) -> str:
        """Make a page, as HTML, of a text coloured by a unit's state; raises as `surprise`.

        Args:
            text: its first 20,000 symbols are read.
            unit: (layer, number); the units that tell most where None.
            title: the page's.
        """
        spelled, states, told = self._looked_at(text)
        if unit is None:
            return texts.units_page(title, spelled, states, told, find_units(states, told))
        return texts.unit_page(title, spelled, states[(slice(None), *unit)], *unit)

    def _looked_at(self, text: str) -> tuple[str, Array, dict[str, Array]]:
        """Return a text's characters, every unit's state after each, and their properties."""
        ids = self._encode(text)[:CHARACTERS]
        spelled = characters(self.vocabulary, ids)
        states = self._reader().read(ids, states=True).states
        return spelled.text, spelled.lasts(states), properties(spelled.text)

    def forward(self, ids: Array, state: States | None = None) -> tuple[Array, States]:
        """Run the network.

        Args:
            ids: (T, B) symbols, one column a stream.
            state: what enters; the zero state where None.

        Returns:
            logits: (T, V, B) of the symbols that come next.
            state: what leaves, a tuple of (H, B) arrays a layer: (h, c) for LSTM, (h,) otherwise.

        Raises:
            ValueError: the ids are not (T, B), or not all of the vocabulary.
        """
        ids = np.asarray(ids)
        if ids.ndim != 2 or not ids.size or not np.issubdtype(ids.dtype, np.integer):
            raise ValueError(f"ids: must be (T, B) whole numbers, got {ids.dtype} {ids.shape}")
        if ids.min() < 0 or ids.max() >= self.vocabulary.size:
            raise ValueError(f"ids: must be from 0 to {self.vocabulary.size - 1}")
        ids = ids.astype(np.intp)
        T, B = ids.shape
        cache = self._model.cache(T, B)
        leaving = self._model.forward(ids, self.zero_state(B) if state is None else state, cache)
        logits = np.stack([self._model.output.forward(cache.output, t).copy() for t in range(T)])
        return logits, [tuple(q.copy() for q in layer) for layer in leaving]

    def gradients(self, text: str, *, lags: int = 64) -> Gradients:
        """Follow the gradient back in time while the model reads a text, at 16 places of it.

        Args:
            text: of at least 2 lags + 2 characters.
            lags: K, how many steps back; at least 2.

        Raises:
            UnknownCharacter: the text holds a character that the model never saw.
            TextError: it is too short.
            ConfigError: there are too few lags.
        """
        return of_text(self._model, self._encode(text), lags)

    def zero_state(self, B: int = 1) -> States:
        """Return the state at the beginning of a text, for B streams."""
        return self._model.zero_state(B)

    def _reader(self) -> Reader:
        return Reader(self._model, self.vocabulary.start_id)

    def _encode(self, text: str) -> Array:
        if not len(text):
            raise ValueError("the text is empty")
        return self.vocabulary.encode(text)


class Training:
    """Iterate over a training: each step makes it go on to its next event.

        for event in charlm.start("my-text.txt", steps=500):
            ...

    Attributes:
        folder: the run's.
        config: its settings, resolved.
        notes: what there is to say before it begins, one line each.
    """

    def __init__(self, beginning: PreparedRun) -> None:
        self._trainer = beginning.trainer
        assert beginning.trainer.run is not None
        self._run = beginning.trainer.run
        self.folder: Path = self._run.folder
        self.config: Config = self._trainer.config
        self.notes: Sequence[str] = tuple(beginning.notes)

    def __iter__(self) -> Iterator[Event]:
        """Train to the goal, and yield what happens.

        Raises:
            Diverged: the loss or the gradient is no longer finite.
            RunError: a checkpoint could not be written.
        """
        yield from loop.events(self._trainer)

    def stop(self) -> None:
        """Save and end after the update that is being made; may be called from a thread."""
        self._trainer.ask_to_stop()

    def run(self, callback: Callable[[Event], object] | None = None) -> LanguageModel:
        """Train to the goal.

        Args:
            callback: is called with every event.

        Returns:
            The best model.
        """
        for event in self:
            if callback:
                callback(event)
        return self.model()

    def advice(self) -> str | None:
        """Say in one line what the losses so far suggest to change; None where they are few."""
        return advise(read_history(self._run.history).readings)

    def model(self) -> LanguageModel:
        """Load the best weights so far, or the last ones where nothing was validated yet."""
        return load(self.folder)


def train(
    text: PathLike | Sequence[PathLike] | None = None,
    *,
    callback: Callable[[Event], object] | None = None,
    **options: Any,
) -> LanguageModel:
    """Learn a text.

    Args:
        text: a file, a folder, or several; one text all together.
        callback: is called with every event of the training.
        **options: those of `start`, settings included: `hidden=256, steps=200`.

    Returns:
        The model with the lowest validation loss.
    """
    return start(text, **options).run(callback)


def start(
    text: PathLike | Sequence[PathLike] | None = None,
    *,
    name: str | None = None,
    checkpoints: PathLike = _CHECKPOINTS,
    config: PathLike | None = None,
    preset: str | None = None,
    reading: Callable[[int, int], object] | None = None,
    **settings: Any,
) -> Training:
    """Begin a training in a run's folder of its own.

    Args:
        text: a file, a folder, or several; one text all together.
        name: the run's; the text's stem where None.
        checkpoints: the folder of all runs.
        config: a settings file; no file is read where None.
        preset: short, tiny, small, medium or large; `auto` or None chooses by the text's size.
        reading: is told how many of the text's bytes are read, and how many there are.
        **settings: the keys of config.yaml without their section.

    Raises:
        ConfigError: a setting is unknown or out of range.
        TextError: the text cannot be read, or is too short.
        RunError: the run's folder cannot be made.
    """
    given = {KEYS.get(key, key): _plain(value) for key, value in settings.items()}
    if preset is not None:
        given["preset"] = preset
    if text is not None:
        given["data.path"] = tuple(map(str, _several(text)))
    layers = [] if config is None else [read_yaml(Path(config))]
    layers.append(Overrides("charlm", given))
    return Training(start_run(layers, Path(checkpoints), name, reading=reading))


def resume(
    name: str | None = None,
    *,
    checkpoints: PathLike = _CHECKPOINTS,
    text: PathLike | Sequence[PathLike] | None = None,
    steps: int | None = None,
) -> Training:
    """Go on with a run as if it had never stopped.

    Args:
        name: the run's; the newest where None.
        checkpoints: the folder of all runs.
        text: where its text is now, if it moved.
        steps: a new goal.

    Raises:
        ConfigError: the goal is no whole number of at least 1.
        RunError: there is no such run.
        CheckpointError: its checkpoint cannot be used.
        TextError: the text is not the one it began with.
    """
    folder, steps = Path(checkpoints), coerce("charlm", "train.steps", _plain(steps))
    run = newest(folder) if name is None else find_run(folder, name)
    return Training(go_on(run, [Path(q) for q in _several(text)], steps))


def load(where: PathLike | None = None, *, checkpoints: PathLike = _CHECKPOINTS) -> LanguageModel:
    """Load a trained model.

    Args:
        where: a checkpoint file, a run's folder or name; the newest run where None.
        checkpoints: the folder of all runs.

    Raises:
        CheckpointError: there is no such checkpoint, or it is damaged.
        RunError: there is no run yet.
    """
    path = find_checkpoint(None if where is None else str(where), Path(checkpoints))
    return LanguageModel(load_model(path), path)


def check(where: PathLike, *, checkpoints: PathLike = _CHECKPOINTS) -> list[Finding]:
    """Check the files of a run, and say what can be done with it; nothing is changed.

    Args:
        where: a run's name or folder.
        checkpoints: the folder of all runs.

    Returns:
        A finding a file, whose state is `ok`, `note` or `wrong`; the last one is on the whole run.

    Raises:
        RunError: there is no such run.
    """
    return check_run(str(where), Path(checkpoints))


def gradients(
    cell: str = "lstm",
    *,
    lags: int = 64,
    scale: float = 1.0,
    forget_bias: float = FORGET_BIAS,
    hidden: int = 64,
    layers: int = 1,
    seed: int = 0,
) -> Gradients:
    """Follow the gradient back in time through fresh cells, which read symbols drawn at random.

    Args:
        cell: lstm, gru or rnn.
        lags: K, how many steps back; at least 2.
        scale: what the recurrent matrices, drawn orthogonal, are multiplied by.
        forget_bias: the LSTM's; training begins with `model.forget_bias`.
        hidden: units a layer.
        layers: recurrent layers.
        seed: of the weights and symbols.

    Raises:
        ConfigError: a value is out of range.
    """
    settings = {"cell": cell, "hidden": hidden, "layers": layers, "forget_bias": forget_bias}
    given = Overrides("gradients", {f"model.{key}": value for key, value in settings.items()})
    return of_untrained(resolve([given]).config.model, lags, scale=scale, seed=seed)


def report(
    where: PathLike | None = None,
    *,
    text: PathLike | None = None,
    checkpoints: PathLike = _CHECKPOINTS,
) -> str:
    """Make the page of a run, as HTML; needs matplotlib.

    Args:
        where: a checkpoint file, a run's folder or name; the newest run where None.
        text: what it reads; the run's own validation text where None.
        checkpoints: the folder of all runs.

    Raises:
        DrawingError: matplotlib is not installed.
        CheckpointError: there is no such checkpoint, or it is damaged.
        RunError: there is no run yet.
        TextError: the text cannot be read, or the model does not know one of its characters.
    """
    path = find_checkpoint(None if where is None else str(where), Path(checkpoints))
    return report_of(path, None if text is None else Path(text))


def _several(text: PathLike | Sequence[PathLike] | None) -> Sequence[PathLike]:
    if text is None:
        return []
    if isinstance(text, bytes):
        raise TypeError("text: must be a path or several, got bytes; os.fsdecode makes it one")
    return [text] if isinstance(text, str | Path) else text


def _plain(value: Any) -> Any:
    """Return a setting as a file would hold it, where paths are texts and numbers not NumPy's."""
    if isinstance(value, np.generic):
        return value.item()
    return str(value) if isinstance(value, Path) else value


def _seed() -> int:
    return int(np.random.SeedSequence().generate_state(1)[0])
