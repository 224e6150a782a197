"""charlm train: set up or resume a run, and show it learn."""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Annotated, Any

import typer

from charlm.commands.console import dim, say, size, stderr
from charlm.terminal import argument, duration, visible

if TYPE_CHECKING:
    from charlm.settings.schema import Overrides
    from charlm.training.prepare import PreparedRun
    from charlm.training.trainer import Trainer

# A text that is read sooner needs no bar.
_SHORT_S = 0.5

# Options that are other names for settings.
_SETTINGS = {
    "glob": "data.glob",
    "level": "data.level",
    "encoding": "data.encoding",
    "init_from": "train.init_from",
    "cell": "model.cell",
    "layers": "model.layers",
    "hidden": "model.hidden",
    "batch_size": "train.batch_size",
    "seq_len": "train.seq_len",
    "dropout": "train.dropout",
    "optimizer": "train.optimizer",
    "lr": "train.learning_rate",
    "steps": "train.steps",
    "epochs": "train.epochs",
    "minutes": "train.minutes",
    "seed": "train.seed",
}


def train(
    text: Annotated[
        list[Path] | None,
        typer.Argument(
            metavar="TEXT",
            help="The text to learn: a file, several, or a folder.",
            show_default="data.path",
        ),
    ] = None,
    glob: Annotated[
        str | None,
        typer.Option(help="Which files of a folder.", show_default="*.txt", rich_help_panel="Text"),
    ] = None,
    level: Annotated[
        str | None, typer.Option(help="char or byte.", show_default="char", rich_help_panel="Text")
    ] = None,
    encoding: Annotated[
        str | None, typer.Option(help="Of the files.", show_default="utf-8", rich_help_panel="Text")
    ] = None,
    init_from: Annotated[
        str | None,
        typer.Option(
            help="Begin with the weights of this checkpoint or run.", rich_help_panel="Network"
        ),
    ] = None,
    resume: Annotated[
        bool,
        typer.Option(
            "--resume", help="Go on with the newest run, or with --name.", rich_help_panel="Run"
        ),
    ] = False,
    preset: Annotated[
        str | None,
        typer.Option(
            help="short, tiny, small, medium or large; auto chooses by the text's size.",
            show_default="auto",
            rich_help_panel="Training",
        ),
    ] = None,
    cell: Annotated[
        str | None, typer.Option(help="lstm, gru or rnn.", rich_help_panel="Network")
    ] = None,
    layers: Annotated[
        int | None, typer.Option(help="Recurrent layers.", rich_help_panel="Network")
    ] = None,
    hidden: Annotated[
        int | None, typer.Option(help="Units a layer.", rich_help_panel="Network")
    ] = None,
    batch_size: Annotated[
        int | None, typer.Option(help="Streams read side by side.", rich_help_panel="Training")
    ] = None,
    seq_len: Annotated[
        str | None,
        typer.Option(
            help="Steps the gradient goes back; full for all.", rich_help_panel="Training"
        ),
    ] = None,
    dropout: Annotated[
        float | None, typer.Option(help="Rate after every layer.", rich_help_panel="Training")
    ] = None,
    optimizer: Annotated[
        str | None,
        typer.Option(
            help="adam, rmsprop, adagrad or sgd.", show_default="adam", rich_help_panel="Training"
        ),
    ] = None,
    lr: Annotated[
        float | None,
        typer.Option(
            help="Peak learning rate.",
            show_default="one that suits the optimizer",
            rich_help_panel="Training",
        ),
    ] = None,
    steps: Annotated[
        int | None,
        typer.Option(
            help="Updates; with --resume, the goal moves there.", rich_help_panel="Training"
        ),
    ] = None,
    epochs: Annotated[
        float | None, typer.Option(help="Passes over the text.", rich_help_panel="Training")
    ] = None,
    minutes: Annotated[
        float | None,
        typer.Option(
            help="As many updates as this machine makes in that time.", rich_help_panel="Training"
        ),
    ] = None,
    seed: Annotated[
        int | None, typer.Option(help="Of everything random.", rich_help_panel="Training")
    ] = None,
    name: Annotated[
        str | None,
        typer.Option(help="The run's name.", show_default="the text's stem", rich_help_panel="Run"),
    ] = None,
    set_: Annotated[
        list[str] | None,
        typer.Option(
            "--set", metavar="KEY=VALUE", help="Any setting of config.yaml.", rich_help_panel="Run"
        ),
    ] = None,
    config: Annotated[
        Path | None,
        typer.Option(help="Settings file.", show_default="./config.yaml", rich_help_panel="Run"),
    ] = None,
    checkpoints: Annotated[
        Path, typer.Option(help="Folder of all runs.", rich_help_panel="Run")
    ] = Path("checkpoints"),
    threads: Annotated[
        int | None,
        typer.Option(
            min=1, help="Threads of the BLAS.", show_default="its own", rich_help_panel="Run"
        ),
    ] = None,
    quiet: Annotated[
        bool, typer.Option("--quiet", "-q", help="Print errors only.", rich_help_panel="Run")
    ] = False,
) -> None:
    """Learn a text, or go on learning it with --resume.

    Example: charlm train data/shakespeare.txt --minutes 5
    """
    options = {key: value for key, value in locals().items() if key in _SETTINGS}
    began = time.perf_counter()
    options = {key: value for key, value in options.items() if value is not None}
    stop = _Stop()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, stop)
    if resume:
        refused: dict[str, Any] = {
            f"--{key.replace('_', '-')}": True for key in options if key != "steps"
        }
        refused |= {"--preset": preset, "--set": set_, "--config": config}
        if given := [key for key, value in refused.items() if value is not None]:
            raise typer.BadParameter(
                f"{given[0]} cannot change with --resume: a run goes on with the settings it "
                "began with; only --steps, the goal, can move"
            )
        beginning = _resume(text, name, checkpoints, steps, threads)
    else:
        overrides = _overrides(text, preset, options, set_ or [], config)
        from charlm.training.prepare import start_run

        with _reading_bar(quiet) as reading:
            beginning = start_run(
                overrides, checkpoints, name, threads=threads, reading=reading, began=began
            )
    stop.save(beginning.trainer)
    if not quiet:
        _announce(beginning)
    trainer = beginning.trainer
    if trainer.progress.step >= trainer.steps:
        if not quiet:
            more = trainer.steps * 2
            say(f"finished: all {trainer.steps:,} updates are made; --steps {more} would go on")
        return
    from charlm.training.loop import events

    if quiet:
        for _ in events(trainer):
            pass
    elif sys.stderr.isatty():
        _show_bar(trainer)
    else:
        _show_lines(trainer)
    if stop.caught and trainer.progress.step < trainer.steps:
        raise typer.Exit(128 + stop.caught)


class _Stop:
    """Answer SIGINT and SIGTERM: the first asks to save and stop, the second leaves at once.

    Until there is a run to save, the first ends the program as well, cleaning up on the way.

    Attributes:
        caught: the first signal's number, or 0.
    """

    def __init__(self) -> None:
        self.caught = 0
        self._trainer: Trainer | None = None

    def __call__(self, number: int, _: FrameType | None) -> None:
        if self.caught:
            # The last checkpoint is whole.
            os._exit(128 + number)
        self.caught = number
        if self._trainer is None:
            sys.exit(128 + number)
        self._trainer.ask_to_stop()

    def save(self, trainer: Trainer) -> None:
        """From here on there is a run to save."""
        self._trainer = trainer
        if self.caught:
            # The exit got lost, as one that is raised inside a destructor does.
            trainer.ask_to_stop()


def _overrides(
    text: list[Path] | None,
    preset: str | None,
    options: dict[str, Any],
    sets: list[str],
    file: Path | None,
) -> list[Overrides]:
    from charlm.errors import ConfigError
    from charlm.settings.files import read_yaml
    from charlm.settings.schema import Overrides

    layers = []
    if file is not None or Path("config.yaml").exists():
        layers.append(read_yaml(file or Path("config.yaml")))
    for setting in sets:
        key, equals, value = setting.partition("=")
        if not equals:
            raise ConfigError("--set", f"must be KEY=VALUE, got {setting!r}")
        layers.append(Overrides("--set", {key: value}))
    for option, value in options.items():
        layers.append(Overrides(f"--{option.replace('_', '-')}", {_SETTINGS[option]: value}))
    lengths = [f"--{key}" for key in ("steps", "epochs", "minutes") if key in options]
    if len(lengths) > 1:
        raise typer.BadParameter(f"{' and '.join(lengths)} exclude each other; give one of them")
    if preset is not None:
        layers.append(Overrides("--preset", {"preset": preset}))
    if text:
        layers.append(Overrides("TEXT", {"data.path": tuple(map(str, text))}))
    return layers


def _resume(
    texts: list[Path] | None,
    name: str | None,
    checkpoints: Path,
    steps: int | None,
    threads: int | None,
) -> PreparedRun:
    from charlm.runs.folder import find_run, newest
    from charlm.training.prepare import resume_run

    run = newest(checkpoints) if name is None else find_run(checkpoints, name)
    return resume_run(run, texts or [], steps, threads=threads)


@contextmanager
def _reading_bar(quiet: bool) -> Iterator[Callable[[int, int], None] | None]:
    """Show how a long text is read and encoded; gone as soon as that is done."""
    if quiet or not sys.stderr.isatty():
        yield None
        return
    from tqdm import tqdm

    bar = tqdm(
        desc="reading",
        unit="B",
        unit_scale=True,
        dynamic_ncols=True,
        leave=False,
        delay=_SHORT_S,
        file=stderr,
    )

    def show(done: int, total: int) -> None:
        bar.total = total
        bar.update(done - bar.n)
        if done == total:
            bar.close()

    with bar:
        yield show


def _announce(beginning: PreparedRun) -> None:
    """Say what is about to happen."""
    from charlm.text.corpus import split

    trainer = beginning.trainer
    config, streams, ids, model = trainer.config, trainer.streams, trainer.ids, trainer.model
    training, validation, test = split(ids.size, config.data.validation, config.data.test)
    corpus = (
        f"{trainer.text.path}: {ids.size:,} characters, "
        f"{trainer.vocabulary.size} distinct; {training.size:,} to learn from, "
        f"{validation.size:,} to validate"
    )
    if validation.size > trainer.validation.size:
        corpus += f" (the first {trainer.validation.size:,} while training)"
    if test.size:
        corpus += f", {test.size:,} kept back"
    say(corpus, "corpus")
    way_in = "one-hot input" if model.one_hot else f"embedding of {model.input.D}"
    say(
        f"{config.model.summary}, {way_in}: {model.parameters.size:,} parameters, "
        f"{size(beginning.memory.total)} while training",
        "model",
    )
    plan = (
        f"{trainer.steps:,} updates of {streams.B} streams x {streams.T} steps, "
        f"{trainer.steps / streams.chunks:.2g} passes over the text"
    )
    if config.train.optimizer != "adam":
        plan += f", {config.train.optimizer} at a rate of {config.train.learning_rate:g}"
    if beginning.pace:
        expected = beginning.pace.total_s(trainer.steps, trainer.validate_every)
        plan += f", about {duration(expected)}"
    say(plan, "plan")
    if trainer.run:
        say(str(trainer.run.folder), "run")
    if trainer.progress.step:
        say(f"after update {trainer.progress.step:,}", "resume")
    for note in beginning.notes:
        say(note, "note")


def _show_bar(trainer: Trainer) -> None:
    from tqdm import tqdm

    from charlm.training.events import Done, RolledBack, Sampled, Updated, Validated
    from charlm.training.loop import events

    loss, validation, characters, began = 0.0, "", 0, time.monotonic()
    bar = tqdm(
        total=trainer.steps,
        initial=trainer.progress.step,
        unit="update",
        dynamic_ncols=True,
        smoothing=0.05,
        file=stderr,
        bar_format="{percentage:3.0f}% |{bar}| {n_fmt}/{total_fmt}"
        " [{elapsed}<{remaining}{postfix}]",
    )
    with bar:
        for event in events(trainer):
            match event:
                case Updated():
                    loss = event.loss if not loss else 0.95 * loss + 0.05 * event.loss
                    characters += event.characters
                    # A coarse clock may not have moved.
                    speed = characters / max(time.monotonic() - began, 1e-3)
                    shown = f"loss {loss:.3f}{validation}, {speed:,.0f} chars/s"
                    bar.set_postfix_str(shown, refresh=False)
                    bar.update()
                case Validated():
                    validation = f", validation {event.loss:.3f}"
                    bar.write(_validation_line(event), file=stderr)
                    characters, began = 0, time.monotonic()
                case RolledBack():
                    bar.write(_rollback_line(event), file=stderr)
                    bar.n, loss = event.to, 0.0
                    bar.refresh()
                case Sampled():
                    bar.write(dim(_indented(event.text)), file=stderr)
                case Done():
                    bar.close()
                    _close(trainer, event)
                case _:
                    pass


def _show_lines(trainer: Trainer) -> None:
    from charlm.training.events import Done, RolledBack, Validated
    from charlm.training.loop import events

    for event in events(trainer):
        match event:
            case Validated():
                say(_validation_line(event))
            case RolledBack():
                say(_rollback_line(event))
            case Done():
                _close(trainer, event)
            case _:
                pass


def _validation_line(event: Any) -> str:
    mark = " (best)" if event.best else ""
    return (
        f"update {event.step:,}: loss {event.train_loss:.4f}, validation {event.loss:.4f}{mark}, "
        f"{event.chars_per_s:,.0f} chars/s"
    )


def _rollback_line(event: Any) -> str:
    from charlm.training.recovery import MOST

    return (
        f"update {event.step + 1:,}: {event.why}; back to update {event.to:,} at half the learning "
        f"rate ({event.count} of at most {MOST} times)"
    )


def _indented(text: str) -> str:
    lines = visible(text).strip("\n").splitlines()
    return "\n".join(f"    {line}" for line in lines)


def _close(trainer: Trainer, event: Any) -> None:
    from charlm.storage.history import read_history
    from charlm.training.advice import advise

    run = trainer.run
    assert run is not None
    if event.interrupted:
        say(f"stopped after update {event.step:,}, saved; go on with: {run.resuming}")
        return
    if event.early:
        say(
            f"stopped early: validation has not improved {trainer.plateau.bad_validations} times; "
            "--resume with more --steps would go on"
        )
    line = f"done: {event.step:,} updates in {duration(event.elapsed_s)}"
    if event.best_loss is not None:
        line += (
            f", validation {event.best_loss:.4f} nats per character at update {event.best_step:,}"
        )
    say(line)
    if advice := advise(read_history(run.history).readings):
        say(f"advice: {advice}")
    say(f"checkpoints: {run.folder}; write with: charlm sample {argument(run.folder)}")
