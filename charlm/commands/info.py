"""charlm info: list the runs, describe one, or tell in what several differ."""

from __future__ import annotations

import math
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from charlm.commands.console import say, show, size
from charlm.commands.tables import shorten, symbols, table
from charlm.terminal import duration, printable, setting

if TYPE_CHECKING:
    from charlm.runs.description import Description
    from charlm.runs.summary import RunSummary
    from charlm.storage.history import History

# What is wrapped is wrapped here where there is no terminal.
_COLUMNS = 80
_LABEL = 13
_VOCABULARY_LINES = 6
_VALIDATIONS = 10
_CELL = 32
_LARGEST = 1e18


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
    json: Annotated[bool, typer.Option("--json", help="Print one JSON document.")] = False,
    checkpoints: Annotated[Path, typer.Option(help="Folder of all runs.")] = Path("checkpoints"),
) -> None:
    """List the runs, describe one, or tell in what several differ; with --check, check them.

    Example: charlm info shakespeare shakespeare-2
    """
    from charlm.runs.summary import all_runs, compare, summarize

    if check:
        _check(runs or [str(run.folder) for run in all_runs(checkpoints)], checkpoints, json)
        return
    document: dict[str, Any]
    if not runs:
        facts = all_runs(checkpoints)
        document = {"checkpoints": str(checkpoints), "runs": [_entry(q) for q in facts]}
        lines = _listed(facts)
    elif len(runs) == 1:
        document, lines = _described(summarize(runs[0], checkpoints))
    else:
        several = [summarize(where, checkpoints) for where in runs]
        for problem in (problem for q in several for problem in q.problems):
            say(f"damaged: {problem}")
        differences = compare(several)
        document = {"runs": runs, "differences": differences}
        lines = _compared(runs, differences)
    show(_json(document) if json else "\n".join(lines))


def _check(runs: list[str], checkpoints: Path, json: bool) -> None:
    """Show what was found; the exit code is 1 where something is wrong."""
    from charlm.runs.check import check_run

    found = {where: check_run(where, checkpoints) for where in runs}
    if json:
        show(_json({where: [q._asdict() for q in found[where]] for where in runs}))
    else:
        rows: list[list[str]] = []
        for where, findings in found.items():
            rows.append([printable(where)])
            rows += [[f"  {q.state}", printable(q.file), printable(q.text)] for q in findings]
        show("\n".join(table(rows, "lll")))
    if any(q.state == "wrong" for findings in found.values() for q in findings):
        raise typer.Exit(1)


def _entry(facts: RunSummary) -> dict[str, Any]:
    """Return what is known at a glance, for JSON."""
    from datetime import UTC, datetime

    meta = facts.description.as_dict() if facts.description else {}
    progress = meta.get("progress", {})
    return {
        "name": facts.name,
        "folder": str(facts.folder),
        "text": meta.get("text", {}),
        "model": meta.get("config", {}).get("model"),
        "step": progress.get("step"),
        "steps": _goal(facts),
        "best_loss": facts.best_loss,
        "best_step": facts.best_step,
        "elapsed_s": progress.get("elapsed_s"),
        "saved": datetime.fromtimestamp(facts.saved, UTC).isoformat(timespec="seconds"),
        "bytes": facts.nbytes,
        "problems": facts.problems,
    }


def _listed(facts: list[RunSummary]) -> list[str]:
    rows = [["run", "model", "updates", "best", "age", "size", "text"]]
    for q in facts:
        if q.problems:
            rows.append([printable(q.name), f"damaged: {printable(q.problems[0])}"])
            continue
        assert q.description is not None
        text = q.description.text
        rows.append(
            [
                printable(q.name),
                _model(q.description),
                f"{_count(q.progress and q.progress.step)}/{_count(_goal(q))}",
                "-" if q.best_loss is None else f"{_loss(q.best_loss)} at {_count(q.best_step)}",
                _age(q.saved),
                _bytes(q.nbytes),
                printable(Path(text.path).name) if text else "-",
            ]
        )
    return table(rows, "LllllrL", _terminal())


def _described(facts: RunSummary) -> tuple[dict[str, Any], list[str]]:
    """Tell everything about a run, for JSON and in lines."""
    history, description = facts.history(), facts.description
    assert description is not None
    meta = description.as_dict()
    changed = {key: f"default {setting(value)}" for key, value in facts.changed.items()}
    document = _entry(facts) | {
        "checkpoint": str(facts.checkpoint),
        "parameters": facts.parameters,
        "vocabulary": meta["vocabulary"],
        "config": meta["config"],
        "changed": list(changed),
        "files": facts.files,
        "threads": description.threads,
        "versions": description.versions,
        "history": {
            "readings": [reading.as_dict() for reading in history.readings],
            "resumes": history.resumes,
            "rollbacks": [rollback.as_dict() for rollback in history.rollbacks],
            "torn": history.torn,
        },
    }
    room = _terminal() or _COLUMNS
    lines = [
        *_outline(facts, description, room),
        *_settings(facts.settings, changed, room),
        *_losses(history),
        *(f"damaged: {printable(problem)}" for problem in facts.problems),
    ]
    return document, lines


def _outline(facts: RunSummary, description: Description, room: int) -> list[str]:
    """Say what a run is and how far it has come, a line each."""
    when = time.strftime("%Y-%m-%d %H:%M", time.localtime(facts.saved))
    progress, text, best = description.progress, description.text, "-"
    if facts.best_loss is not None:
        best = f"{_loss(facts.best_loss)} nats per character at update {_count(facts.best_step)}"
    files = [f"{printable(name)} {_bytes(count)}" for name, count in facts.files.items()]
    versions = [f"{printable(key)} {setting(q)}" for key, q in description.versions.items()]
    is_byte = description.config.data.level == "byte"
    characters = "" if is_byte else description.vocabulary.symbols
    told = {
        "run": [printable(facts.name)],
        "checkpoint": [printable(str(facts.checkpoint))],
        "text": [printable(text.path) if text else "-"],
        "characters": [_count(text and text.characters)],
        "sha256": [printable(text.sha256) if text else "-"],
        "model": [f"{_model(description)}, {_count(facts.parameters)} parameters"],
        "vocabulary": [
            "256 bytes" if is_byte else f"{len(characters):,} characters",
            *symbols(characters, room - _LABEL, _VOCABULARY_LINES),
        ],
        "updates": [f"{_count(progress and progress.step)} of {_count(_goal(facts))}"],
        "best": [best],
        "elapsed": ["-" if progress is None else duration(progress.elapsed_s)],
        "saved": [f"{when}, {_age(facts.saved)} ago"],
        "files": _wrapped(files, room - _LABEL),
        "versions": _wrapped(versions or ["-"], room - _LABEL),
        "threads": [_count(description.threads)],
    }
    return [
        f"{'' if k else label:<{_LABEL}}{line}".rstrip()
        for label, lines in told.items()
        for k, line in enumerate(lines)
    ]


def _settings(settings: dict[str, Any], changed: dict[str, str], room: int) -> list[str]:
    if not settings:
        return []
    rows = [(f"  {printable(q)}", setting(settings[q]), note) for q, note in changed.items()]
    kept = [f"{printable(q)} {setting(value)}" for q, value in settings.items() if q not in changed]
    lines = []
    if rows:
        lines += ["", "settings that differ from the defaults", *table(rows, "lLl", _terminal())]
    if kept:
        lines += ["", "settings left at their defaults"]
        lines += [f"  {line}" for line in _wrapped(kept, room - 2)]
    return lines


def _losses(history: History) -> list[str]:
    """Lay out the last validations; where there is none yet, the last readings."""
    measured = [r for r in history.readings if r.loss is not None or r.validation is not None]
    readings = [r for r in measured if r.validation is not None] or measured
    if not readings:
        return []
    losses = [r.validation for r in readings if r.validation is not None]
    rows = [["  update", "training", "validation", "elapsed", ""]]
    for reading in readings[-_VALIDATIONS:]:
        best = bool(losses) and reading.validation == min(losses)
        rows.append(
            [
                f"  {_count(reading.step)}",
                _loss(reading.loss if reading.train_loss is None else reading.train_loss),
                _loss(reading.validation),
                "-" if reading.elapsed_s is None else duration(reading.elapsed_s),
                "best" if best else "",
            ]
        )
    shown = len(rows) - 1
    cut = f", the last {shown} of {len(readings):,}" if len(readings) > shown else ""
    lines = ["", f"losses in nats per character{cut}", *table(rows, "rrrrl")]
    if history.resumes:
        lines.append(f"  resumed after update {', '.join(map(_count, history.resumes))}")
    for back in history.rollbacks:
        steps, why = f"{_count(back.step)} to {_count(back.to)}", printable(back.why)
        lines.append(f"  back from update {steps}, half the rate: {why}")
    if history.torn:
        lines.append(f"  lines that cannot be read: {history.torn:,}")
    return lines


def _compared(names: list[str], differences: dict[str, list[Any]]) -> list[str]:
    if not differences:
        return ["nothing differs: settings, text, vocabulary, updates and losses are the same"]
    rows = [["", *map(printable, names)]]
    for key, values in differences.items():
        cells = [shorten(_cell(key, value), _CELL) for value in values]
        if len(set(cells)) == 1:
            # It differs in what is not shown, which matters for all but a time.
            if key == "progress.elapsed_s":
                continue
            cells = [setting(value) for value in values]
        rows.append([printable(key), *cells])
    return table(rows, "l" + "L" * len(names), _terminal())


def _cell(key: str, value: Any) -> str:
    if value is None:
        return "-"
    match key:
        case "text.sha256":
            return setting(value)[:12]
        case "text.characters" | "vocabulary.size" | "parameters" | "progress.step":
            return _count(value)
        case "progress.best_loss":
            return _loss(value)
        case "progress.elapsed_s":
            return duration(value)
        case "vocabulary.unshared":
            first, *more = symbols(value, _CELL // 2, 1) or ["-"]
            return first + "…" * bool(more)
    return setting(value)


def _json(document: Any) -> str:
    import json

    return json.dumps(_finite(document), indent=1)


def _finite(content: Any) -> Any:
    """Return what JSON can hold: it knows no infinity, and nothing that is not a number."""
    if isinstance(content, dict):
        return {key: _finite(value) for key, value in content.items()}
    if isinstance(content, list | tuple):
        return [_finite(value) for value in content]
    return None if isinstance(content, float) and not math.isfinite(content) else content


def _terminal() -> int | None:
    """Return the columns of the terminal; None where stdout is none."""
    import shutil
    import sys

    terminal = sys.stdout is not None and sys.stdout.isatty()
    return shutil.get_terminal_size().columns if terminal else None


def _wrapped(parts: list[str], columns: int) -> list[str]:
    """Return the parts in lines, a comma between two."""
    lines = [""]
    for k, part in enumerate(parts):
        piece = part + ("," if k < len(parts) - 1 else "")
        if lines[-1] and len(lines[-1]) + 1 + len(piece) > columns:
            lines.append("")
        lines[-1] += f" {piece}" if lines[-1] else piece
    return lines


def _model(description: Description) -> str:
    model = description.config.model
    return f"{model.cell} {model.layers}x{model.hidden}"


def _goal(facts: RunSummary) -> int | None:
    return facts.description.config.train.steps if facts.description else None


def _count(number: Any) -> str:
    return f"{number:,}" if _is_number(number) else "-"


def _loss(number: Any) -> str:
    return f"{number:.4f}" if _is_number(number) else "-"


def _is_number(value: Any) -> bool:
    """Say whether there is a number that can be shown; a damaged history may hold any."""
    return isinstance(value, int | float) and abs(value) < _LARGEST


def _bytes(count: int) -> str:
    return size(count) if count >= 1e6 else f"{count / 1e3:.1f} kB"


def _age(moment: float) -> str:
    """Return how long ago a moment is, in whole units."""
    seconds = max(0.0, time.time() - moment)
    for unit, length, below in (("s", 1, 90), ("min", 60, 90), ("h", 3600, 48)):
        if seconds < length * below:
            return f"{seconds // length:.0f} {unit}"
    return f"{seconds // 86400:,.0f} days"
