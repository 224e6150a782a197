"""Train, and work with runs; `charlm.language_model` has what a trained model can do.

    train(text, hidden=256)      train on a text, to the end         -> LanguageModel
    start(text, hidden=256)      the same, event by event            -> Training
    resume("my-run")             continue a run                      -> Training
    load("my-run")               load a checkpoint                   -> LanguageModel
    list_runs, describe          all runs, one of them               -> RunSummary
    compare, check               their differences, their files      -> dict, [Finding]
    report("my-run")             how it learned, and its inside      -> a page, as HTML
    gradients("lstm")            the gradient through a fresh cell   -> Gradients
    export, import_, fetch       files for other programs, known texts

Settings are the keys of config.yaml without their section: `hidden`, `learning_rate`, `seed`.
Values out of range raise ConfigError.
"""

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, Unpack

import numpy as np

from charlm.errors import ConfigError, TextError
from charlm.language_model import CHECKPOINTS, LanguageModel, PathLike, load
from charlm.runs import summary
from charlm.runs.check import Finding, check_run
from charlm.runs.folder import Run, find_run
from charlm.settings.files import read_yaml
from charlm.settings.resolve import resolve
from charlm.settings.schema import FIELDS, KEYS, Config, Overrides, Settings, coerce, unknown_key
from charlm.storage.history import read_history
from charlm.text.corpus import split
from charlm.text.source import STRING
from charlm.text.vocabulary import OnUnknown
from charlm.training import loop
from charlm.training.advice import advise, text_statistics
from charlm.training.events import Event
from charlm.training.parallel import connect
from charlm.training.prepare import PreparedRun, resume_run, start_run
from charlm.training.progress import shown, shows_bars, tqdm_bar

if TYPE_CHECKING:
    from charlm.insight.gradients import Gradients
    from charlm.runs.summary import RunSummary


class StartOptions(Settings, total=False):
    """The keyword arguments of `start`."""

    string: str | None
    name: str | None
    resume: bool
    checkpoints: PathLike
    config: PathLike | None
    preset: str | None
    overrides: Sequence[Overrides]
    threads: int | None
    reading: Callable[[int, int], object] | None
    began: float | None


class TrainingPlan(NamedTuple):
    """What a training is about to do."""

    text: str  # its name
    characters: int  # of the text, or bytes at byte level; of items with the symbol that ends each
    items: int | None  # independent items; None for one text
    symbols: int  # V, the size of the vocabulary
    training: int  # characters that are trained on
    validation: int  # characters to validate on
    validated: int  # how many of these are read at each validation
    test: int  # characters that are never read
    embedding: int  # width of the embedding; 0 for one-hot input
    parameters: int  # how many numbers are learned
    nbytes: int  # memory of each process of the training, in bytes
    steps: int  # optimizer steps, all in all
    streams: int  # B, streams in a step
    time_steps: int  # T, time steps in a step
    epochs: float  # passes over the training part
    threads: int  # of each process
    processes: int  # that share the streams
    step_s: float | None  # seconds that a step takes; None where it was not timed
    expected_s: float | None  # the same of the whole training


class Training:
    """A training that is ready to run: iterate over it, or call `run`.

    for event in charlm.start("my-text.txt", steps=500):
        ...
    """

    def __init__(self, prepared: PreparedRun) -> None:
        self._trainer = prepared.trainer
        assert prepared.trainer.run is not None
        self._run = prepared.trainer.run
        self.folder: Path = self._run.folder  # the run's
        self.config: Config = self._trainer.config  # resolved
        self.notes: Sequence[str] = tuple(prepared.notes)  # what was chosen or found, by lines
        self.plan: TrainingPlan = _plan(prepared)

    @property
    def step(self) -> int:
        """Return the optimizer steps made so far."""
        return self._trainer.progress.step

    @property
    def resume_command(self) -> str:
        """Return the shell command that resumes this run."""
        return self._run.resuming()

    def __iter__(self) -> Iterator[Event]:
        """Train to the goal and yield the events.

        Raises:
            Diverged: the loss or the gradient is no longer finite.
            RunError: a checkpoint could not be written.
        """
        yield from loop.events(self._trainer)

    def stop(self) -> None:
        """Save and end after the current step; may be called from a thread or signal handler."""
        self._trainer.stop_asked = True

    def events(self, bar: Any) -> Iterator[Event]:
        """Train to the goal, yield the events, and show them on a tqdm bar; raises likewise."""
        return shown(self, bar)

    def run(
        self, callback: Callable[[Event], object] | None = None, *, progress: bool | None = None
    ) -> LanguageModel:
        """Train to the goal and return the best model.

        Args:
            callback: called with every event.
            progress: show tqdm's bar; where None, on a terminal and in a notebook.
        """
        events = iter(self)
        if shows_bars() if progress is None else progress:
            events = self.events(tqdm_bar(self.step, self.plan.steps))
        for event in events:
            if callback:
                callback(event)
        return self.model()

    def advice(self) -> str | None:
        """Return in one line what the losses so far suggest to change; None where they are few."""
        trainer = self._trainer
        text = text_statistics(trainer.ids, self.config.data, trainer.vocabulary, trainer.text)
        return advise(read_history(self._run.history).readings, text)

    def model(self) -> LanguageModel:
        """Load the best weights so far, or the last ones before the first validation."""
        return load(self.folder)


def train(
    text: PathLike | Sequence[PathLike] | None = None,
    *,
    callback: Callable[[Event], object] | None = None,
    progress: bool | None = None,
    **options: Unpack[StartOptions],
) -> LanguageModel:
    """Train on a text, and return the model with the lowest validation loss.

    The arguments are those of `start`, and `callback` and `progress` of `Training.run`.
    """
    return start(text, **options).run(callback, progress=progress)


def start(
    text: PathLike | Sequence[PathLike] | None = None,
    *,
    string: str | None = None,
    name: str | None = None,
    resume: bool = False,
    checkpoints: PathLike = CHECKPOINTS,
    config: PathLike | None = None,
    preset: str | None = None,
    overrides: Sequence[Overrides] = (),
    threads: int | None = None,
    reading: Callable[[int, int], object] | None = None,
    began: float | None = None,
    **settings: Unpack[Settings],
) -> Training:
    """Prepare a training in a run's folder of its own.

    Args:
        text: a file, a folder, or several, read as one text.
        string: the text itself, in place of a file's name.
        name: the run's; the text's stem where None, with a number where that is taken.
        resume: continue the run of this name where there is one, with the settings that it began
            with; `steps` is its goal.
        checkpoints: the folder of all runs.
        config: a settings file; no file is read where None.
        preset: short, list, tiny, small, medium or large; None or `auto` chooses by the text.
        overrides: settings by their dotted keys, each with the source that an error names; a later
            one replaces an earlier one, all those of the file, and `settings` theirs.
        threads: that share the streams; where None, the number that `set_threads` or a
            variable such as OPENBLAS_NUM_THREADS says, else one, or as many as there are usable
            CPUs if that is faster in a few timed steps; fewer than 50 steps use one.
        reading: called with the text's bytes read so far, and all of them.
        began: when `minutes` began, by `time.perf_counter`; now where None.
        **settings: the keys of config.yaml without their section.

    Raises:
        ConfigError: a setting is unknown or out of range.
        TextError: the text cannot be read, or is too short.
        RunError: the name is taken, or the run's folder cannot be made.
    """
    for key in settings:
        if key not in KEYS and key not in FIELDS:
            raise unknown_key("charlm", key, StartOptions.__annotations__)
    given = {KEYS.get(key, key): _plain(value) for key, value in settings.items()}
    if preset is not None:
        given["preset"] = preset
    if text is not None and string is not None:
        raise ConfigError("text and string", "exclude each other", "give one of them")
    if string is not None:
        given["data.path"] = (STRING,)
    if text is not None:
        given["data.path"] = tuple(map(str, _several(text)))
    layers = [] if config is None else [read_yaml(Path(config))]
    layers += [*overrides, Overrides("charlm", given)]
    prepared = start_run(
        layers,
        Path(checkpoints),
        name,
        string=string,
        resume=resume,
        threads=threads,
        reading=reading,
        began=began,
    )
    return Training(prepared)


def resume(
    name: str | None = None,
    *,
    checkpoints: PathLike = CHECKPOINTS,
    text: PathLike | Sequence[PathLike] | None = None,
    steps: int | None = None,
    threads: int | None = None,
) -> Training:
    """Continue a run exactly where it stopped.

    Args:
        name: the run's; the newest where None.
        checkpoints: the folder of all runs.
        text: where its text is now, if it moved.
        steps: a new goal.
        threads: that share the streams; as many as the run had where None.

    Raises:
        ConfigError: the goal is no whole number of at least 1.
        RunError: there is no such run.
        CheckpointError: its checkpoint cannot be used.
        TextError: the text is not the one it began with.
    """
    folder, steps = Path(checkpoints), coerce("charlm", "train.steps", _plain(steps))
    moved_to = [Path(path) for path in _several(text)]
    run = connect().once(lambda: find_run(folder, name))
    return Training(resume_run(run, moved_to, steps, threads))


def list_runs(checkpoints: PathLike = CHECKPOINTS) -> "list[RunSummary]":
    """Return all runs, the one that was saved last first; raise RunError where there is none."""
    return summary.all_runs(Path(checkpoints))


def describe(where: PathLike, *, checkpoints: PathLike = CHECKPOINTS) -> "RunSummary":
    """Return what the files of a run say about it, the number of its parameters included.

    Args:
        where: a checkpoint file, a run's folder or name.
        checkpoints: the folder of all runs.

    Raises:
        CheckpointError: there is no such run, or none of its checkpoints can be read.
    """
    return summary.summarize(str(where), Path(checkpoints))


def compare(summaries: "Sequence[RunSummary]") -> dict[str, list[Any]]:
    """Return what differs between runs: its key -> each run's value, None where it has none."""
    return summary.compare(summaries)


def check(where: PathLike, *, checkpoints: PathLike = CHECKPOINTS) -> list[Finding]:
    """Check the files of a run, given by its name or folder; nothing is changed.

    Returns:
        One finding a file, whose state is `ok`, `note` or `wrong`; the last is on the whole run.

    Raises:
        RunError: there is no such run.
    """
    return check_run(str(where), Path(checkpoints))


def export(
    model: LanguageModel | PathLike | None = None,
    to: str | None = None,
    out: PathLike | None = None,
    *,
    force: bool = False,
    text: PathLike | None = None,
    float32: bool = False,
    checkpoints: PathLike = CHECKPOINTS,
) -> Path:
    """Write a model to a file that other programs read, or to a page, and return its path.

    Args:
        model: a model, or what `load` takes.
        to: pytorch, safetensors, onnx or html; by what `out` ends in where None.
        out: the file; the run's name, in the current folder, where None.
        force: replace a file that is there.
        text: what a page begins with, and is searched for units; the run's own where None.
        float32: keep the weights of a page in float32, instead of float16.
        checkpoints: the folder of all runs.

    Raises:
        ConfigError: neither `to` nor `out` says which format; or `text` or `float32` are given for
            another one than html.
        ExchangeError: the file is there or cannot be written, the format's library is missing, or
            the model is too large for the format.
        TextError: the text cannot be read, or the model does not know one of its characters.
    """
    from charlm.exchange.formats import Format, format_of
    from charlm.exchange.transfer import export_model
    from charlm.insight.excerpt import excerpt, own_text, whole_lines
    from charlm.insight.units import CHARACTERS

    if to is not None and to not in list(Format):
        raise ConfigError("to", f"must be pytorch, safetensors, onnx or html, got {to!r}")
    format_ = Format(to) if to else (format_of(Path(out)) if out else None)
    if format_ is None:
        raise ConfigError("to", "is missing", "say pytorch, safetensors, onnx or html")
    if format_ is not Format.HTML and (text is not None or float32):
        raise ConfigError("text, float32", f"only for html, got {format_.value}")
    if not isinstance(model, LanguageModel):
        model = load(model, checkpoints=checkpoints)
    run, ids = Run.of(model.path.absolute()), None
    name = run.folder.name if run else model.path.stem
    out = Path(name + format_.suffix if out is None else out)
    if text is not None:
        ids = model._ids(Path(text), CHARACTERS)
    elif format_ is Format.HTML:
        ids = own_text(model._trained, model.path, needed=False)
        if ids is not None:
            _, ids = excerpt(ids, model.config.data, text=model._trained.description.text)
            if model.config.data.items is None and "\n" in model.vocabulary.symbols:
                ids = whole_lines(ids, model.vocabulary.symbols.index("\n"))
    export_model(model._trained, format_, out, force=force, name=name, text=ids, float32=float32)
    return out


def import_(
    file: PathLike, name: str | None = None, *, checkpoints: PathLike = CHECKPOINTS
) -> LanguageModel:
    """Make a run of a file that charlm exported, and return its model.

    Args:
        file: a .pt, .pth or .safetensors file, perhaps trained further since.
        name: the run's; the file's stem where None.
        checkpoints: the folder of all runs.

    Raises:
        ExchangeError: it is no such file, or its tensors do not fit its description.
        CheckpointError: it is damaged.
        RunError: the run cannot be made.
    """
    from charlm.exchange.transfer import import_run

    return load(import_run(Path(file), Path(checkpoints), name).best)


def gradients(
    cell: str = "lstm",
    *,
    lags: int = 64,
    scale: float = 1.0,
    forget_bias: float = 1.0,
    hidden: int = 64,
    layers: int = 1,
    seed: int = 0,
) -> "Gradients":
    """Return the norms of the gradient back in time through a fresh cell that reads random symbols.

    Args:
        cell: lstm, gru or rnn.
        lags: K, how many steps back; at least 2.
        scale: factor of the recurrent matrices, which are drawn orthogonal.
        forget_bias: the LSTM's; training begins with `model.forget_bias`.
        hidden: units a layer.
        layers: recurrent layers.
        seed: of the weights and symbols.
    """
    from charlm.insight.gradients import of_untrained

    settings = {"cell": cell, "hidden": hidden, "layers": layers, "forget_bias": forget_bias}
    given = Overrides("gradients", {f"model.{key}": value for key, value in settings.items()})
    return of_untrained(resolve([given]).config.model, lags, scale=scale, seed=seed)


def report(
    where: PathLike | None = None,
    *,
    text: PathLike | None = None,
    out: PathLike | None = None,
    checkpoints: PathLike = CHECKPOINTS,
    on_unknown: OnUnknown = "error",
) -> str:
    """Return the page of a run, as HTML; needs matplotlib.

    Args:
        where: a checkpoint file, a run's folder or name; the newest run where None.
        text: what it reads; the run's own validation text where None.
        out: where it will be saved, in the run's folder where None: a page of the model beside it,
            named as the run, is linked.
        checkpoints: the folder of all runs.
        on_unknown: as for `load`.

    Raises:
        DrawingError: matplotlib is not installed.
        CheckpointError, RunError: as for `load`.
        TextError: the text cannot be read, or the model does not know one of its characters.
    """
    from charlm.insight.units import CHARACTERS
    from charlm.pages.report import report as report_page

    model = load(where, checkpoints=checkpoints, on_unknown=on_unknown)
    read = None if text is None else (str(text), model._ids(Path(text), CHARACTERS))
    saved = page_path(model.path) if out is None else Path(out)
    return report_page(model._trained, model.path, saved, read)


def page_path(checkpoint: PathLike) -> Path:
    """Return where the page of a checkpoint belongs: in its run's folder, or beside the file."""
    path = Path(checkpoint)
    run = Run.of(path)
    return run.page if run else path.with_suffix(".html")


def save_page(path: PathLike, page: str) -> None:
    """Write a page; one of charlm's is replaced, any other file is a DrawingError."""
    from charlm.pages.page import write_page

    write_page(Path(path), page)


def _plan(prepared: PreparedRun) -> TrainingPlan:
    trainer, pace = prepared.trainer, prepared.pace
    config, model, streams, size = trainer.config, trainer.model, trainer.streams, trainer.ids.size
    training, validation, test = split(trainer.ids, config.data, trainer.text)
    return TrainingPlan(
        text=trainer.text.path,
        characters=size,
        items=sum(trainer.text.items) or None,
        symbols=trainer.vocabulary.size,
        training=training.size,
        validation=validation.size,
        validated=trainer.validation.size,
        test=test.size,
        embedding=0 if model.one_hot else model.input.D,
        parameters=model.parameters.size,
        nbytes=prepared.memory.total,
        steps=trainer.steps,
        streams=streams.B,
        time_steps=streams.T,
        epochs=trainer.steps / streams.steps_per_pass,
        threads=trainer.parallel.threads,
        processes=trainer.group.size,
        step_s=None if pace is None else pace.step_s,
        expected_s=None if pace is None else pace.total_s(trainer.steps, trainer.validate_every),
    )


def _several(text: PathLike | Sequence[PathLike] | None) -> Sequence[PathLike]:
    if text is None:
        return []
    if isinstance(text, bytes):
        raise TypeError("text: must be a path or several, got bytes; os.fsdecode makes it one")
    paths = [text] if isinstance(text, str | Path) else text
    if "" in paths:
        # Path("") is the current folder.
        raise TextError("text", "is an empty name", "name a file or folder")
    return paths


def _plain(value: Any) -> Any:
    """Return a setting as a file would hold it: paths as texts, numbers not NumPy's."""
    if isinstance(value, np.generic):
        return value.item()
    return str(value) if isinstance(value, Path) else value
