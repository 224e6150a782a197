"""A run as one page: how it learned, what it wrote, where it is surprised, what is inside."""

import json
import math
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from charlm.insight.characters import Characters, characters
from charlm.insight.excerpt import of_file, of_run
from charlm.insight.properties import properties
from charlm.insight.reading import Reader, Saturation, Surprise, saturation
from charlm.insight.units import UnitFinding, find_units, paragraph_end
from charlm.pages import plots
from charlm.pages.coloured import by_surprise, legend_of_states, legend_of_surprise
from charlm.pages.page import page, safe
from charlm.pages.texts import HINT, TOP, chosen, gallery
from charlm.runs.loading import Trained, load_model
from charlm.runs.summary import RunSummary, find, flat
from charlm.settings.schema import Config
from charlm.storage.history import History, read_history
from charlm.types import Array, Ids

# What is shown in colours of surprise comes after what warms the state up.
_WARM, _SHOWN = 300, 2_000
# So much is enough for shares of time.
_COUNTED = 5_000
_SAMPLES = 9
_GATES = {
    "i": "input gate: how much is written",
    "f": "forget gate: how much is kept",
    "o": "output gate: how much is shown",
    "r": "reset gate: how much of the state the candidate sees",
    "z": "update gate: how much of the state is kept",
}


class _Seen(NamedTuple):
    """Hold what was found in a text."""

    name: str
    ids: Ids
    spelled: Characters
    surprise: Surprise
    saturation: list[Saturation]
    states: Array
    told: Mapping[str, Array]
    found: list[UnitFinding]


def report(path: Path, text: Path | None = None) -> str:
    """Make the page of a run.

    Args:
        path: the checkpoint that is looked into.
        text: what it reads; the run's own validation text where None.

    Raises:
        DrawingError: matplotlib is not installed.
        CheckpointError: the checkpoint, or the run's text, cannot be used.
        TextError: the text cannot be read, or the model does not know one of its characters.
    """
    plots.matplotlib()
    trained = load_model(path)
    facts = find(str(path.parent if path.name in ("best.npz", "last.npz") else path), path.parent)
    history = read_history(facts.history) if facts.history else History([], [], [], 0)
    excerpt = of_run(path, trained) if text is None else of_file(text, trained)
    seen = _look(trained, *excerpt) if excerpt else None
    sections = {
        "Training": _training(history),
        "Samples": _samples(history),
        "Surprise": _surprise(trained, seen),
        "Gates": _gates(trained, seen),
        "Cells": _cells(seen),
        "Settings": _settings(facts, path),
    }
    sections = {name: content for name, content in sections.items() if content}
    links = "".join(f'<a href="#{name.lower()}">{name}</a>' for name in sections)
    body = "".join(
        f'<section id="{name.lower()}">{content}</section>' for name, content in sections.items()
    )
    head = _head(facts, history, trained)
    return page(facts.name, f"<header>{head}<nav>{links}</nav></header><main>{body}</main>")


def _look(trained: Trained, name: str, ids: Ids) -> _Seen:
    vocabulary = trained.vocabulary
    spelled, reader = characters(vocabulary, ids), Reader(trained.model, vocabulary.start_id)
    near = reader.read(ids[:_COUNTED], top=TOP, states=True, gates=True)
    far = reader.read(ids[_COUNTED:], states=True)
    states = spelled.lasts(np.concatenate([near.states, far.states]))
    told = properties(spelled.text)
    found = find_units(states, told)
    shown = Surprise(*(array[: _WARM + 2 * _SHOWN] for array in near.surprise))
    return _Seen(name, ids, spelled, shown, saturation([near]), states, told, found)


def _head(facts: RunSummary, history: History, trained: Trained) -> str:
    model, size = trained.config.model, facts.number("text", "characters")
    cell = "tanh RNN" if model.cell == "rnn" else model.cell.upper()
    lead = f"A character-level {cell}, {model.layers} x {model.hidden:,} units"
    if (text := facts.word("text", "path")) and size:
        lead += f", learned from {safe(Path(text).name)}, {size:,} characters"
    numbers = "".join(
        f"<div><dt>{label}</dt><dd>{value}<small>{more}</small></dd></div>"
        for label, value, more in _numbers(facts, history, trained)
    )
    return (
        f'<h1>{safe(facts.name)}</h1><p class="lead">{lead}.</p><dl class="numbers">{numbers}</dl>'
    )


def _numbers(
    facts: RunSummary, history: History, trained: Trained
) -> Iterator[tuple[str, str, str]]:
    """Yield what there is to know at a glance: a label, a number, what belongs to it."""
    best, at = facts.best_loss, facts.best_step
    made, goal = facts.number("progress", "step"), facts.number("config", "train", "steps")
    if best is not None:
        when = f", at update {at:,}" if at else ""
        bits = f"{best / math.log(2):.3f} bits a character{when}"
        yield "best validation", f"{best:.3f} nats", bits
    if made:
        yield "updates", f"{made:,}", f"of {goal:,}" if goal else ""
    if facts.parameters:
        symbols = f"{trained.config.model.cell}, {trained.vocabulary.size} symbols"
        yield "parameters", f"{facts.parameters:,}", symbols
    if elapsed := facts.number("progress", "elapsed_s"):
        speeds = plots.column(history.readings, "chars_per_s")[1]
        speed = f"{np.median(speeds):,.0f} characters a second" if speeds.size else ""
        yield "time", _duration(elapsed), speed


def _training(history: History) -> str:
    readings = history.readings
    if not (plots.column(readings, "loss")[0].size or plots.column(readings, "validation")[0].size):
        return ""
    pictures = [
        ("wide", "Loss", plots.losses(readings, history.resumes, wide=True)),
        ("narrow", "Loss", plots.losses(readings, history.resumes, wide=False)),
        ("", "Learning rate", plots.curve(readings, "learning_rate", "learning rate")),
        ("", "Gradient norm, before clipping", plots.curve(readings, "norm", "gradient norm")),
        ("", "Speed", plots.curve(readings, "chars_per_s", "characters a second")),
    ]
    figures = "".join(
        f'<figure class="{kind}"><h3>{name}</h3>{picture}</figure>'
        for kind, name, picture in pictures
        if picture
    )
    resumed = ""
    if history.resumes:
        steps = ", ".join(f"{step:,}" for step in history.resumes)
        resumed = f'<p class="quiet">Dotted: it was resumed after update {steps}.</p>'
    return (
        "<h2>How it learned</h2><p>A loss of <i>x</i> nats means that the model was, at each "
        "character, as undecided as between e<sup><i>x</i></sup> equally likely ones.</p>"
        f'<div class="plots">{figures}</div>{resumed}'
    )


def _samples(history: History) -> str:
    kept = [(r, r.sample) for r in history.readings if r.sample is not None]
    if not kept:
        return ""
    some = np.unique(np.linspace(0, len(kept) - 1, min(_SAMPLES, len(kept))).round().astype(int))
    items = []
    for reading, sample in (kept[k] for k in some):
        loss = reading.validation
        note = "the first weights" if loss is None else f"validation {loss:.3f}"
        lines = "\n".join(safe(line) for line in sample.strip("\n").split("\n"))
        items.append(
            f'<li><div><b>update {reading.step:,}</b><span class="unit">{note}</span></div>'
            f"<pre>{lines}</pre></li>"
        )
    return (
        "<h2>From noise to verse</h2><p>What it wrote after so many updates.</p>"
        f'<ol class="samples">{"".join(items)}</ol>'
    )


def _surprise(trained: Trained, seen: _Seen | None) -> str:
    if seen is None:
        return (
            "<h2>Inside</h2><p>Where it is surprised, and what its gates and cells do, is seen "
            "while it reads. There is no text in this run's folder; name one with "
            "<code>--text</code>.</p>"
        )
    spelled, whole = seen.spelled, seen.surprise
    begin = _begin(spelled.text)
    N = int(np.searchsorted(spelled.ends, whole.nats.size, "right"))
    end = min(begin + _SHOWN, N)
    end = paragraph_end(spelled.text[:N], begin, end)
    first, last = int(spelled.begins[begin]), int(spelled.ends[end - 1])
    shown = Characters(
        spelled.text[begin:end], spelled.begins[begin:end] - first, spelled.ends[begin:end] - first
    )
    part = Surprise(*(q[first:last] for q in whole))
    coloured = by_surprise("text", shown, part, trained.vocabulary, seen.ids[first:last])
    mean = part.bits.sum() / max(1, end - begin)
    return (
        f"<h2>Where it is surprised</h2><p>{safe(seen.name)}, each character coloured by "
        "&minus;log<sub>2</sub> of the probability that the model gave it: "
        f"{mean:.2f} bits on average. {HINT}</p>{legend_of_surprise()}{coloured}"
    )


def _gates(trained: Trained, seen: _Seen | None) -> str:
    if seen is None or not seen.saturation:
        return ""
    figures, count = [], min(_COUNTED, seen.ids.size)
    rows: dict[int, str] = {}
    for letter in dict.fromkeys(q.gate for q in seen.saturation):
        of_layers = [q for q in seen.saturation if q.gate == letter]
        for q in of_layers:
            below, above = 100 * q.below.mean(), 100 * q.above.mean()
            rows[q.layer] = rows.get(q.layer, "") + (
                f"<tr><td>{q.layer}</td><td><i>{letter}</i></td><td>{below:.0f} %</td>"
                f'<td>{above:.0f} %</td><td><div class="share-bar"><i style="width:{below:.1f}%">'
                f'</i><i style="width:{above:.1f}%"></i></div></td></tr>'
            )
        figures.append(
            f"<figure><h3><i>{letter}</i>, {_GATES[letter]}</h3>{plots.gate(of_layers)}</figure>"
        )
    return (
        "<h2>How its gates are used</h2><p>A gate is a number between 0 and 1. Below is the share "
        f"of time, over {count:,} characters, at which it is shut (below 0.1) or wide open (above "
        "0.9).</p>"
        '<div class="scroll"><table class="gates"><tr><th>layer</th><th>gate</th><th>shut</th>'
        "<th>open</th><th>shut, between, open</th></tr>"
        f'{"".join(rows[k] for k in sorted(rows))}</table></div><p class="quiet">A point is one '
        "unit. At the lower right stand gates that are nearly always open; a forget gate there "
        "makes a memory that lasts. At the upper left stand those that are nearly always shut. "
        "The picture is that of Karpathy, Johnson &amp; Li 2015.</p>"
        f'<div class="plots">{"".join(figures)}</div>'
    )


def _cells(seen: _Seen | None) -> str:
    if seen is None:
        return ""
    if not seen.found:
        return (
            "<h2>What its cells tell</h2><p>The text is too short, or too much of a kind, to hold "
            "units against it.</p>"
        )
    absent = [name for name in seen.told if name not in {q.property for q in seen.found}]
    missing = f" Too rare here to be measured: {', '.join(absent)}." if absent else ""
    text = seen.spelled.text
    return (
        f"<h2>What its cells tell</h2><p>{chosen(text)}{missing}</p>{legend_of_states()}"
        f"{gallery(text, seen.states, seen.told, seen.found)}"
    )


def _settings(facts: RunSummary, path: Path) -> str:
    defaults = flat(json.loads(json.dumps(Config().as_dict())))
    changed = kept = ""
    for key, value in facts.settings.items():
        if value == defaults.get(key):
            kept += _row(key, _value(value))
        else:
            note = f" <small>default {_value(defaults[key])}</small>" if key in defaults else ""
            changed += _row(key, _value(value) + note)
    about = {
        "text": facts.word("text", "path"),
        "sha256": facts.word("text", "sha256"),
        "checkpoint": path.name,
        **facts.section("versions"),
        "threads": facts.number("threads"),
    }
    rows = "".join(_row(key, safe(value)) for key, value in about.items() if value is not None)
    return (
        '<h2>Settings and environment</h2><div class="columns">'
        "<div><h3>Settings that differ from the defaults</h3>"
        f'<table class="settings">{changed}</table>'
        f"<details><summary>those left at their defaults</summary>"
        f'<table class="settings">{kept}</table></details></div>'
        f'<div><h3>Environment</h3><table class="settings">{rows}</table></div></div>'
    )


def _row(key: str, value: str) -> str:
    return f"<tr><th>{safe(key)}</th><td>{value}</td></tr>"


def _value(value: Any) -> str:
    """Return a setting as config.yaml shows it, as markup."""
    if isinstance(value, list) and len(value) == 1:
        (value,) = value
    return safe(value if isinstance(value, str) else json.dumps(value, ensure_ascii=False))


def _duration(seconds: float) -> str:
    return f"{seconds:.0f} s" if seconds < 90 else f"{seconds / 60:.1f} min"


def _begin(text: str) -> int:
    """Return where to begin to show a text: after some of it, with a line, if it is long enough."""
    warm = min(_WARM, max(0, len(text) - _SHOWN))
    line_end = text.find("\n", warm, warm + _WARM)
    return line_end + 1 if warm and line_end >= 0 else warm
