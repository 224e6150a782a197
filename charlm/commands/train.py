"""charlm train: start or resume a run, and show it learn."""

import signal
import time
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import typer

import charlm
from charlm.commands import training_view
from charlm.commands.console import reading_bar, say
from charlm.commands.options import CHECKPOINTS, renamed, setting, threads
from charlm.errors import ConfigError, TextError

_TEXT, _NETWORK, _TRAINING = "Text", "Network", "Training"
_run = partial(typer.Option, rich_help_panel="Run")

# Options that are not called as their settings are.
_SETTINGS = {"lr": "learning_rate"}
_LENGTHS = ("steps", "epochs", "minutes")


def train(
    context: typer.Context,
    text: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="TEXT",
            help="The text to learn: a file, several, or a folder.",
            show_default="data.path",
        ),
    ] = None,
    glob: Annotated[str | None, setting("glob", _TEXT, default="*.txt")] = None,
    level: Annotated[str | None, setting("level", _TEXT, default="char")] = None,
    encoding: Annotated[str | None, setting("encoding", _TEXT, default="utf-8")] = None,
    items: Annotated[str | None, setting("items", _TEXT)] = None,
    init_from: Annotated[str | None, setting("init_from", _NETWORK)] = None,
    resume: Annotated[bool, _run("--resume", help="Continue the newest run, or --name.")] = False,
    resume_or_start: Annotated[
        bool,
        _run(
            "--resume-or-start",
            help="Continue the run of this name where there is one, else start it: the command "
            "for a job that may be started again.",
        ),
    ] = False,
    preset: Annotated[
        str | None,
        typer.Option(
            help="short, list, tiny, small, medium or large; auto chooses by the text's size.",
            show_default="auto",
            rich_help_panel=_TRAINING,
        ),
    ] = None,
    cell: Annotated[str | None, setting("cell", _NETWORK, help="lstm, gru or rnn.")] = None,
    layers: Annotated[int | None, setting("layers", _NETWORK)] = None,
    hidden: Annotated[int | None, setting("hidden", _NETWORK)] = None,
    batch_size: Annotated[int | None, setting("batch_size", _TRAINING)] = None,
    seq_len: Annotated[str | None, setting("seq_len", _TRAINING)] = None,
    dropout: Annotated[float | None, setting("dropout", _TRAINING)] = None,
    optimizer: Annotated[
        str | None,
        setting("optimizer", _TRAINING, help="soap, adam, rmsprop, adagrad, sgd.", default="soap"),
    ] = None,
    lr: Annotated[
        float | None,
        setting("learning_rate", _TRAINING, "--lr", "--learning-rate", default="the optimizer's"),
    ] = None,
    steps: Annotated[
        int | None, setting("steps", _TRAINING, help="Optimizer steps; with --resume, a new goal.")
    ] = None,
    epochs: Annotated[float | None, setting("epochs", _TRAINING)] = None,
    minutes: Annotated[float | None, setting("minutes", _TRAINING)] = None,
    seed: Annotated[int | None, setting("seed", _TRAINING)] = None,
    name: Annotated[
        str | None, _run(help="The run's name.", show_default="the text's stem")
    ] = None,
    set_: Annotated[
        list[str] | None, _run("--set", metavar="KEY=VALUE", help="Any setting of config.yaml.")
    ] = None,
    config: Annotated[
        Path | None, _run(help="Settings file.", show_default="./config.yaml")
    ] = None,
    checkpoints: Annotated[Path, _run(help="Folder of all runs.")] = CHECKPOINTS,
    threads: Annotated[
        int | None,
        threads(
            "1, 2, 4, ... or all CPUs, timed; with --resume as before",
            "Threads, which share the streams.",
            rich_help_panel="Run",
        ),
    ] = None,
    quiet: Annotated[bool, _run("--quiet", "-q", help="Print errors only.")] = False,
) -> None:
    """Learn a text, or continue a run with --resume.

    Example: charlm train data/shakespeare.txt --minutes 5
    """
    began = time.perf_counter()
    # Of several processes one shows the training.
    quiet = quiet or charlm.launched().rank > 0
    options = {
        name: value
        for name, value in context.params.items()
        if _SETTINGS.get(name, name) in charlm.KEYS and value is not None
    }
    stop = training_view.Stop()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, stop)
    if resume and resume_or_start:
        raise typer.BadParameter("--resume and --resume-or-start exclude each other")
    if resume:
        if (
            text
            and len(text) == 1
            and not Path(text[0]).exists()
            and (checkpoints / text[0]).is_dir()
        ):
            raise typer.BadParameter(f"{text[0]} is a run: --resume --name {text[0]}")
        fixed = [*options, *(name for name in ("preset", "set_", "config") if context.params[name])]
        for option in fixed:
            if option != "steps":
                raise typer.BadParameter(
                    f"{_called(option)} cannot change with --resume: a run continues with the "
                    "settings it began with; only --steps, the goal, can change"
                )
        training = charlm.resume(
            name, checkpoints=checkpoints, text=text, steps=steps, threads=threads
        )
    else:
        given = [f"--{key}" for key in _LENGTHS if key in options]
        if len(given) > 1:
            raise typer.BadParameter(f"{' and '.join(given)} exclude each other; give one of them")
        with reading_bar(hidden=quiet) as reading:
            try:
                training = charlm.start(
                    text or None,
                    name=name,
                    resume=resume_or_start,
                    checkpoints=checkpoints,
                    config=config
                    or (Path("config.yaml") if Path("config.yaml").exists() else None),
                    overrides=_overrides(options, set_ or [], preset),
                    threads=threads,
                    reading=reading,
                    began=began,
                )
            except TextError as error:
                raise renamed(error, {}, "" if text else "name a text: charlm train TEXT") from None
    stop.save(training)
    if not quiet:
        if not (text or resume):
            paths = ", ".join(training.config.data.path)
            say(f"no text was named: this learns {paths}, the setting data.path", "note")
        training_view.announce(training)
    if training.step >= training.plan.steps:
        if not quiet:
            done = training.plan.steps
            more = f"{training.resume_command} --steps {2 * done}"
            say(f"finished: all {done:,} steps are made; continue with: {more}")
        return
    if training_view.show(training, quiet):
        # The signal may have been another process's.
        raise typer.Exit(128 + (stop.caught or signal.SIGTERM))


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
        key = charlm.KEYS[_SETTINGS.get(option, option)]
        overrides.append(charlm.Overrides(_called(option), {key: value}))
    if preset is not None:
        overrides.append(charlm.Overrides("--preset", {"preset": preset}))
    return overrides


def _called(option: str) -> str:
    return f"--{option.strip('_').replace('_', '-')}"
