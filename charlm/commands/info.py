"""charlm info: list the runs, describe one, or compare several; with --check, check them."""

import shutil
import sys
import textwrap
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

import charlm
from charlm.commands.console import say, show, size, to_json
from charlm.commands.drawing import shorten, symbols, table
from charlm.commands.options import CHECKPOINTS, Checkpoints, Json
from charlm.terminal import duration, printable, setting, symbol

if TYPE_CHECKING:
    from charlm import History, RunSummary

# What is wrapped is wrapped here where there is no terminal.
_COLUMNS = 80
_LABEL = 13
_VOCABULARY_LINES = 6
_VALIDATIONS = 10
_CELL = 32


def info(
    runs: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="RUN",
            help="A run's name or folder, or an .npz file. Several are compared; without any, "
            "all runs are listed.",
        ),
    ] = None,
    check: Annotated[
        bool, typer.Option("--check", help="Check the files of a run, and say what can be done.")
    ] = False,
    json: Json = False,
    checkpoints: Checkpoints = CHECKPOINTS,
) -> None:
    """List the runs, describe one, or compare several; with --check, check them.

    Example: charlm info shakespeare shakespeare-2
    """
    document: Any
    if check:
        where = runs or [str(run.folder) for run in charlm.list_runs(checkpoints)]
        found = {run: charlm.check(run, checkpoints=checkpoints) for run in where}
        document, lines = found, _checked(found)
    elif not runs:
        summaries = charlm.list_runs(checkpoints)
        document = {"checkpoints": str(checkpoints), "runs": [_entry(run) for run in summaries]}
        lines = _listed(summaries)
    elif len(runs) == 1:
        summary = charlm.describe(runs[0], checkpoints=checkpoints)
        document, lines = _document(summary), _described(summary)
    else:
        summaries = [charlm.describe(run, checkpoints=checkpoints) for run in runs]
        for problem in (problem for run in summaries for problem in _problems(run)):
            say(problem)
        document = {"runs": runs, "differences": charlm.compare(summaries)}
        lines = _compared(runs, document["differences"])
    show(to_json(document, indent=1) if json else "\n".join(map(printable, lines)))
    if check and any(one.state == "wrong" for findings in found.values() for one in findings):
        raise typer.Exit(1)


def _checked(found: "dict[str, list[charlm.Finding]]") -> list[str]:
    rows = []
    for run, findings in found.items():
        rows += [[run, "", ""], *([f"  {one.state}", one.file, one.text] for one in findings)]
    return table(rows, "lll")


def _entry(run: "RunSummary") -> dict[str, Any]:
    """Return what is known at a glance, for JSON."""
    meta = run.description.as_dict() if run.description else {}
    progress = meta.get("progress", {})
    return {
        "name": run.name,
        "folder": str(run.folder),
        "text": meta.get("text", {}),
        "model": meta.get("config", {}).get("model"),
        "step": progress.get("step"),
        "steps": run.settings.get("train.steps"),
        "best_loss": run.best_loss,
        "best_step": run.best_step,
        "elapsed_s": progress.get("elapsed_s"),
        "saved": datetime.fromtimestamp(run.saved, UTC).isoformat(timespec="seconds"),
        "bytes": run.nbytes,
        "problems": run.problems,
    }


def _document(run: "RunSummary") -> dict[str, Any]:
    """Return everything about a run, for JSON."""
    assert run.description is not None
    meta = run.description.as_dict()
    return _entry(run) | {
        "checkpoint": str(run.checkpoint),
        "parameters": run.parameters,
        **{key: meta.get(key) for key in ("vocabulary", "config", "threads", "versions")},
        "changed": list(run.changed),
        "files": run.files,
        "history": run.history(),
    }


def _listed(summaries: "Sequence[RunSummary]") -> list[str]:
    rows = [["run", "model", "steps", "best", "age", "size", "text"]]
    for run in summaries:
        text = run.description and run.description.text
        best = "-" if run.best_loss is None else f"{_loss(run.best_loss)} at {run.best_step:,}"
        name = Path(text.path).name if text else "-"
        facts = [_model(run), _steps(run, "/"), best, _age(run), size(run.nbytes)]
        rows.append([run.name, *facts, name])
    problems = [line for run in summaries for line in _problems(run)]
    return table(rows, "LllllrL", _terminal()) + problems


def _described(run: "RunSummary") -> list[str]:
    """Lay out a run, how far it has come, its settings and its losses."""
    description = run.description
    assert description is not None
    columns = _terminal() or _COLUMNS
    progress, text, best = run.progress, description.text, "-"
    if run.best_loss is not None:
        best = f"{_loss(run.best_loss)} nats per character at step {run.best_step:,}"
    known = "" if description.config.data.level == "byte" else description.vocabulary.symbols
    when = time.strftime("%Y-%m-%d %H:%M", time.localtime(run.saved))
    files = [f"{name} {size(count)}" for name, count in run.files.items()]
    versions = [f"{name} {setting(version)}" for name, version in description.versions.items()]
    facts: dict[str, str | list[str]] = {
        "run": run.name,
        "checkpoint": str(run.checkpoint),
        "text": text.path if text else "-",
        "characters": _count(text.characters if text else None),
        "sha256": text.sha256 if text else "-",
        "model": f"{_model(run)}, {_count(run.parameters)} parameters",
        "vocabulary": [
            f"{len(known):,} characters" if known else "256 bytes",
            *symbols(known, columns - _LABEL, _VOCABULARY_LINES),
        ],
        "steps": _steps(run, " of "),
        "best": best,
        "elapsed": duration(progress.elapsed_s) if progress else "-",
        "saved": f"{when}, {_age(run)} ago",
        "files": _wrapped(files, columns - _LABEL),
        "versions": _wrapped(versions, columns - _LABEL) or "-",
        "threads": _count(description.threads),
    }
    lines = [
        f"{'' if k else label:<{_LABEL}}{line}".rstrip()
        for label, fact in facts.items()
        for k, line in enumerate([fact] if isinstance(fact, str) else fact)
    ]
    changed = [
        [f"  {key}", setting(run.settings[key]), f"default {setting(default)}"]
        for key, default in run.changed.items()
    ]
    kept = [
        f"{key} {setting(value)}" for key, value in run.settings.items() if key not in run.changed
    ]
    lines += ["", "settings that differ from the defaults", *table(changed, "lLl", _terminal())]
    lines += ["", "settings left at their defaults"]
    lines += [f"  {line}" for line in _wrapped(kept, columns - 2)]
    return [*lines, *_losses(run.history()), *_problems(run)]


def _losses(history: "History") -> list[str]:
    """Lay out the last validations; before the first one, the last readings."""
    measured = [r for r in history.readings if r.loss is not None or r.validation is not None]
    readings = [r for r in measured if r.validation is not None] or measured
    if not readings:
        return []
    lowest = min((r.validation for r in readings if r.validation is not None), default=None)
    rows = [["  step", "training", "validation", "elapsed", ""]]
    rows += [
        [
            f"  {reading.step:,}",
            _loss(reading.loss if reading.train_loss is None else reading.train_loss),
            _loss(reading.validation),
            "-" if reading.elapsed_s is None else duration(reading.elapsed_s),
            "best" if lowest is not None and reading.validation == lowest else "",
        ]
        for reading in readings[-_VALIDATIONS:]
    ]
    cut = f", the last {_VALIDATIONS} of {len(readings):,}" * (len(readings) > _VALIDATIONS)
    lines = ["", f"losses in nats per character{cut}", *table(rows, "rrrrl")]
    if history.resumes:
        lines.append(f"  resumed after step {', '.join(map(_count, history.resumes))}")
    lines += [
        f"  rolled back from step {rollback.step:,} to {rollback.to:,}, half the learning rate: "
        f"{rollback.why}"
        for rollback in history.rollbacks
    ]
    if history.torn:
        lines.append(f"  lines that cannot be read: {history.torn:,}")
    return lines


def _problems(run: "RunSummary") -> list[str]:
    return [f"damaged: {problem}" for problem in run.problems]


def _compared(names: Sequence[str], differences: "dict[str, list[Any]]") -> list[str]:
    if not differences:
        return ["nothing differs: settings, text, vocabulary, steps and losses are the same"]
    rows = [["", *names]]
    for key, values in differences.items():
        show_value = _SHOWN.get(key, setting)
        cells = ["-" if value is None else shorten(show_value(value), _CELL) for value in values]
        if len(set(cells)) == 1:
            # They differ in what is not shown.
            cells = [setting(value) for value in values]
        rows.append([key, *cells])
    return table(rows, "l" + "L" * len(names), _terminal())


def _terminal() -> int | None:
    """Return the columns of the terminal; None where stdout is none."""
    terminal = sys.stdout is not None and sys.stdout.isatty()
    return shutil.get_terminal_size().columns if terminal else None


def _wrapped(parts: Sequence[str], columns: int) -> list[str]:
    """Return the parts in lines, a comma between two; none is broken."""
    text = ", ".join(printable(part).replace(" ", "\xa0") for part in parts)
    lines = textwrap.wrap(text, columns, break_long_words=False, break_on_hyphens=False)
    return [line.replace("\xa0", " ") for line in lines]


def _model(run: "RunSummary") -> str:
    if run.description is None:
        return "-"
    model = run.description.config.model
    return f"{model.cell} {model.layers}x{model.hidden}"


def _steps(run: "RunSummary", of: str) -> str:
    made = run.progress.step if run.progress else None
    return f"{_count(made)}{of}{_count(run.settings.get('train.steps'))}"


def _count(number: int | None) -> str:
    return "-" if number is None else f"{number:,}"


def _loss(number: float | None) -> str:
    return "-" if number is None else f"{number:.4f}"


def _age(run: "RunSummary") -> str:
    return duration(max(0.0, time.time() - run.saved))


# How a comparison shows what is not shown as config.yaml would have it.
_SHOWN: dict[str, Callable[[Any], str]] = {
    "text.characters": _count,
    "text.sha256": lambda digest: setting(digest)[:12],
    "vocabulary.size": _count,
    "vocabulary.unshared": lambda known: "".join(map(symbol, known)) or "-",
    "parameters": _count,
    "progress.step": _count,
    "progress.best_loss": _loss,
    "progress.elapsed_s": duration,
}
