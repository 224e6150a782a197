"""charlm train: start or resume a run, and show it learn."""

import signal
import time
from pathlib import Path
from typing import Annotated, Any

import typer

import charlm
from charlm.commands import training_view
from charlm.commands.console import say
from charlm.commands.options import CHECKPOINTS, setting, threads
from charlm.errors import ConfigError

_TEXT, _NETWORK, _TRAINING, _RUN = "Text", "Network", "Training", "Run"

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
_LENGTHS = ("steps", "epochs", "minutes")


def train(
    context: typer.Context,
    text: Annotated[
        list[Path] | None,
        typer.Argument(
            metavar="TEXT",
            help="The text to learn: a file, several, or a folder.",
            show_default="data.path",
        ),
    ] = None,
    glob: Annotated[str | None, setting("data.glob", _TEXT, default="*.txt")] = None,
    level: Annotated[str | None, setting("data.level", _TEXT, default="char")] = None,
    encoding: Annotated[str | None, setting("data.encoding", _TEXT, default="utf-8")] = None,
    init_from: Annotated[str | None, setting("train.init_from", _NETWORK)] = None,
    resume: Annotated[
        bool,
        typer.Option("--resume", help="Continue the newest run, or --name.", rich_help_panel=_RUN),
    ] = False,
    preset: Annotated[
        str | None,
        typer.Option(
            help="short, tiny, small, medium or large; auto chooses by the text's size.",
            show_default="auto",
            rich_help_panel=_TRAINING,
        ),
    ] = None,
    cell: Annotated[str | None, setting("model.cell", _NETWORK)] = None,
    layers: Annotated[int | None, setting("model.layers", _NETWORK)] = None,
    hidden: Annotated[int | None, setting("model.hidden", _NETWORK)] = None,
    batch_size: Annotated[int | None, setting("train.batch_size", _TRAINING)] = None,
    seq_len: Annotated[str | None, setting("train.seq_len", _TRAINING)] = None,
    dropout: Annotated[float | None, setting("train.dropout", _TRAINING)] = None,
    optimizer: Annotated[str | None, setting("train.optimizer", _TRAINING, default="adam")] = None,
    lr: Annotated[
        float | None,
        setting("train.learning_rate", _TRAINING, default="one that suits the optimizer"),
    ] = None,
    steps: Annotated[
        int | None,
        setting("train.steps", _TRAINING, help="Optimizer steps; with --resume, a new goal."),
    ] = None,
    epochs: Annotated[float | None, setting("train.epochs", _TRAINING)] = None,
    minutes: Annotated[float | None, setting("train.minutes", _TRAINING)] = None,
    seed: Annotated[int | None, setting("train.seed", _TRAINING)] = None,
    name: Annotated[
        str | None,
        typer.Option(help="The run's name.", show_default="the text's stem", rich_help_panel=_RUN),
    ] = None,
    set_: Annotated[
        list[str] | None,
        typer.Option(
            "--set", metavar="KEY=VALUE", help="Any setting of config.yaml.", rich_help_panel=_RUN
        ),
    ] = None,
    config: Annotated[
        Path | None,
        typer.Option(help="Settings file.", show_default="./config.yaml", rich_help_panel=_RUN),
    ] = None,
    checkpoints: Annotated[
        Path, typer.Option(help="Folder of all runs.", rich_help_panel=_RUN)
    ] = CHECKPOINTS,
    threads: Annotated[int | None, threads("its own", rich_help_panel=_RUN)] = None,
    quiet: Annotated[
        bool, typer.Option("--quiet", "-q", help="Print errors only.", rich_help_panel=_RUN)
    ] = False,
) -> None:
    """Learn a text, or continue a run with --resume.

    Example: charlm train data/shakespeare.txt --minutes 5
    """
    began = time.perf_counter()
    options = {key: context.params[key] for key in _SETTINGS if context.params[key] is not None}
    stop = training_view.Stop()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, stop)
    if resume:
        _refuse(options, preset=preset, set=set_, config=config)
        training = charlm.resume(
            name, checkpoints=checkpoints, text=text, steps=steps, threads=threads
        )
    else:
        given = [f"--{key}" for key in _LENGTHS if key in options]
        if len(given) > 1:
            raise typer.BadParameter(f"{' and '.join(given)} exclude each other; give one of them")
        with training_view.reading_bar(quiet) as reading:
            training = charlm.start(
                text or None,
                name=name,
                checkpoints=checkpoints,
                config=config or (Path("config.yaml") if Path("config.yaml").exists() else None),
                overrides=_overrides(options, set_ or [], preset),
                threads=threads,
                reading=reading,
                began=began,
            )
    stop.save(training)
    if not quiet:
        training_view.announce(training)
    if training.step >= training.plan.steps:
        if not quiet:
            done = training.plan.steps
            say(f"finished: all {done:,} steps are made; --steps {2 * done} would continue")
        return
    training_view.show(training, quiet)
    if stop.caught and training.step < training.plan.steps:
        raise typer.Exit(128 + stop.caught)


def _refuse(options: dict[str, Any], **others: Any) -> None:
    """Refuse what a resumed run cannot change."""
    given = [key for key in options if key != "steps"]
    given += [key for key, value in others.items() if value is not None]
    if given:
        raise typer.BadParameter(
            f"--{given[0].replace('_', '-')} cannot change with --resume: a run continues with the "
            "settings it began with; only --steps, the goal, can change"
        )


def _overrides(
    options: dict[str, Any], sets: list[str], preset: str | None
) -> "list[charlm.Overrides]":
    """Return what was given, each setting with the option that an error names."""
    overrides = []
    for given in sets:
        key, equals, value = given.partition("=")
        if not equals:
            raise ConfigError("--set", f"must be KEY=VALUE, got {given!r}")
        overrides.append(charlm.Overrides("--set", {key: value}))
    for option, value in options.items():
        source = f"--{option.replace('_', '-')}"
        overrides.append(charlm.Overrides(source, {_SETTINGS[option]: value}))
    if preset is not None:
        overrides.append(charlm.Overrides("--preset", {"preset": preset}))
    return overrides
