"""A run as one page: how it learned, what it wrote, where it is surprised, what is inside."""

import json
import math
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from charlm.config import Config
from charlm.insight import cells, gates
from charlm.insight.characters import Characters, characters
from charlm.insight.excerpt import Excerpt, of_file, of_run
from charlm.insight.properties import properties
from charlm.insight.surprise import Surprise, surprise
from charlm.insight.trace import memory
from charlm.nn.parameters import Array
from charlm.pages import plots
from charlm.pages.coloured import by_state, by_surprise, legend_of_states, legend_of_surprise
from charlm.pages.page import page, safe
from charlm.storage.facts import Facts, find, flat
from charlm.storage.history import History, read_history
from charlm.storage.weights import Trained, load_model

# What is shown in colours of surprise comes after what warms the state up.
_WARM, _SHOWN = 300, 2_000
_TOP = 5
_SAMPLES = 9
_CELL = 360
_GATES = {
    "i": "input gate: how much is written",
    "f": "forget gate: how much is kept",
    "o": "output gate: how much is shown",
    "r": "reset gate: how much of the state the candidate sees",
    "z": "update gate: how much of the state is kept",
}


class _Seen(NamedTuple):
    """Hold what was found in a text."""

    excerpt: Excerpt
    spelled: Characters
    surprise: Surprise
    saturation: list[gates.Saturation]
    states: Array
    told: Mapping[str, Array]
    found: list[cells.Finding]


def report(path: Path, text: Path | None = None) -> str:
    """Make the page of a run.

    Args:
        path: the checkpoint that is looked into.
        text: what it reads; the run's own validation text where None.

    Raises:
        PictureError: matplotlib is not installed.
        CheckpointError: the checkpoint, or the run's text, cannot be used.
        TextError: the text cannot be read, or the model does not know one of its characters.
    """
    plots.matplotlib()
    trained = load_model(path)
    facts = find(str(path.parent if path.name in ("best.npz", "last.npz") else path), path.parent)
    history = read_history(facts.history) if facts.history else History([], [], 0)
    excerpt = (
        of_run(path.parent, trained) if text is None else of_file(text, trained, cells.CHARACTERS)
    )
    seen = _look(trained, excerpt) if excerpt else None
    sections = {
        "Training": _training(history),
        "Samples": _samples(history),
        "Surprise": _surprise(trained, seen),
        "Gates": _gates(trained, seen),
        "Cells": _cells(seen),
        "Settings": _settings(facts),
    }
    sections = {name: content for name, content in sections.items() if content}
    links = "".join(f'<a href="#{name.lower()}">{name}</a>' for name in sections)
    body = "".join(
        f'<section id="{name.lower()}">{content}</section>' for name, content in sections.items()
    )
    head = _head(facts, history, trained)
    return page(facts.name, f"<header>{head}<nav>{links}</nav></header><main>{body}</main>")


def _look(trained: Trained, excerpt: Excerpt) -> _Seen:
    model, vocabulary, ids = trained.model, trained.vocabulary, excerpt.ids
    spelled = characters(vocabulary, ids)
    states, told = spelled.lasts(memory(model, ids, vocabulary.start_id)), properties(spelled.text)
    return _Seen(
        excerpt,
        spelled,
        surprise(model, ids[: _WARM + 2 * _SHOWN], vocabulary.start_id, _TOP),
        gates.saturation(model, ids, vocabulary.start_id),
        states,
        told,
        cells.find(states, told),
    )


def _head(facts: Facts, history: History, trained: Trained) -> str:
    model = trained.config.model
    layers = f"{model.layers} layer{'s' * (model.layers > 1)} of {model.hidden:,} units"
    text, size = facts.word("text", "path"), facts.number("text", "characters")
    learned = f", learned from {safe(Path(text).name)}, {size:,} characters" if text and size else ""
    best, step = facts.best_loss, facts.best_step
    elapsed, speeds = facts.number("progress", "elapsed_s"), plots.column(history.readings, "chars_per_s")[1]
    numbers = {}
    if best is not None:
        numbers["best validation"] = f"{best:.3f} nats", (
            f"{best / math.log(2):.3f} bits a character, at update {step:,}"
        )
    made, goal = facts.number("progress", "step"), facts.number("config", "train", "steps")
    if made:
        numbers["updates"] = f"{made:,}", f"of {goal:,}" if goal else ""
    if facts.parameters:
        numbers["parameters"] = f"{facts.parameters:,}", f"{model.cell}, {trained.vocabulary.size} symbols"
    if elapsed:
        numbers["time"] = _duration(elapsed), ""
    if speeds.size:
        numbers["speed"] = f"{np.median(speeds):,.0f}", "characters a second"
    rows = "".join(
        f"<div><dt>{label}</dt><dd>{value}<small>{more}</small></dd></div>"
        for label, (value, more) in numbers.items()
    )
    return (
        f'<h1>{safe(facts.name)}</h1><p class="lead">A character-level '
        f"{'tanh RNN' if model.cell == 'rnn' else model.cell.upper()}, {layers}{learned}.</p>"
        f'<dl class="numbers">{rows}</dl>'
    )


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
    kept = [q for q in history.readings if isinstance(q.get("sample"), str)]
    if not kept:
        return ""
    some = np.unique(np.linspace(0, len(kept) - 1, min(_SAMPLES, len(kept))).round().astype(int))
    items = []
    for q in (kept[k] for k in some):
        loss = q.get("validation")
        note = f"validation {loss:.3f}" if isinstance(loss, int | float) else "nothing learned yet"
        lines = "\n".join(safe(line) for line in q["sample"].strip("\n").split("\n"))
        items.append(
            f'<li><div><b>update {q["step"]:,}</b><span class="unit">{note}</span></div>'
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
    begin = _after_line(spelled.text, _WARM)
    N = int(np.searchsorted(spelled.ends, whole.nats.size, "right"))
    end = min(begin + _SHOWN, N)
    first, last = int(spelled.begins[begin]), int(spelled.ends[end - 1])
    shown = Characters(
        spelled.text[begin:end], spelled.begins[begin:end] - first, spelled.ends[begin:end] - first
    )
    part = Surprise(*(q[first:last] for q in whole))
    coloured = by_surprise("text", shown, part, trained.vocabulary, seen.excerpt.ids[first:last])
    mean = part.bits.sum() / max(1, end - begin)
    return (
        f"<h2>Where it is surprised</h2><p>{seen.excerpt.name}, each character coloured by "
        f"−log<sub>2</sub> of the probability that the model gave it: {mean:.2f} bits on average. "
        "Point at a character, tap it, or walk with the arrow keys, to see the five that it held "
        f"for likeliest.</p>{legend_of_surprise()}{coloured}"
    )


def _gates(trained: Trained, seen: _Seen | None) -> str:
    if seen is None or not seen.saturation:
        return ""
    rows, figures, count = [], [], len(seen.excerpt.ids)
    for letter in dict.fromkeys(q.gate for q in seen.saturation):
        of_layers = [q for q in seen.saturation if q.gate == letter]
        for q in of_layers:
            below, above = 100 * q.below.mean(), 100 * q.above.mean()
            rows.append(
                f"<tr><td>{q.layer}</td><td><i>{letter}</i></td><td>{below:.0f} %</td>"
                f'<td>{above:.0f} %</td><td><div class="share-bar"><i style="width:{below:.1f}%">'
                f'</i><i style="width:{above:.1f}%"></i></div></td></tr>'
            )
        figures.append(
            f"<figure><h3><i>{letter}</i>, {_GATES[letter]}</h3>{plots.gate(of_layers)}</figure>"
        )
    rows.sort()
    return (
        "<h2>How its gates are used</h2><p>A gate is a number between 0 and 1. Below is the share "
        f"of time, over {count:,} characters, at which it is shut (below 0.1) or wide open (above "
        "0.9).</p>"
        '<div class="scroll"><table class="gates"><tr><th>layer</th><th>gate</th><th>shut</th>'
        "<th>open</th><th>shut, between, open</th></tr>"
        f'{"".join(rows)}</table></div><p class="quiet" style="margin-top:1.5rem">A point is one '
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
    drawn = []
    for q in seen.found:
        begin, end = cells.telling(seen.spelled.text, seen.told[q.property], _CELL)
        states = seen.states[begin:end, q.layer, q.unit]
        drawn.append(
            f'<figure class="cell"><h3>{q.property}<span>layer {q.layer}, unit {q.unit}, '
            f"r = {_signed(q.correlation)}</span></h3>"
            f"{by_state(seen.spelled.text[begin:end], states)}</figure>"
        )
    absent = [name for name in seen.told if name not in {q.property for q in seen.found}]
    missing = f" Not enough of in this text: {', '.join(absent)}." if absent else ""
    N = len(seen.spelled.text)
    return (
        "<h2>What its cells tell</h2><p>Single units, each coloured by its state after it has "
        "read a character, with the property of the text that it tells. The units were chosen on "
        f"{cells.held_out(N):,} characters; <i>r</i> is the correlation on the "
        f"{N - cells.held_out(N):,} after them.{missing}</p>{legend_of_states()}"
        f'<div class="cells">{"".join(drawn)}</div>'
    )


def _settings(facts: Facts) -> str:
    defaults = flat(json.loads(json.dumps(Config().as_dict())))
    settings = ""
    for key, value in facts.settings.items():
        changed = key in defaults and value != defaults[key]
        note = f" <small>default {_value(defaults[key])}</small>" if changed else ""
        settings += _row(key, _value(value) + note, changed)
    about = {
        "text": facts.word("text", "path"),
        "sha256": facts.word("text", "sha256"),
        "checkpoint": str(facts.checkpoint),
        **{key: value for key, value in facts.section("versions").items()},
        "threads": facts.number("threads"),
    }
    rows = "".join(_row(key, safe(value)) for key, value in about.items() if value is not None)
    return (
        '<h2>Settings and environment</h2><div class="columns">'
        f'<div><h3>Settings</h3><table class="settings">{settings}</table></div>'
        f'<div><h3>Environment</h3><table class="settings">{rows}</table></div></div>'
    )


def _row(key: str, value: str, changed: bool = False) -> str:
    mark = ' class="changed"' if changed else ""
    return f"<tr{mark}><th>{safe(key)}</th><td>{value}</td></tr>"


def _value(value: Any) -> str:
    """Return a setting as config.yaml shows it, as markup."""
    if isinstance(value, list) and len(value) == 1:
        (value,) = value
    return safe(value if isinstance(value, str) else json.dumps(value, ensure_ascii=False))


def _signed(r: float) -> str:
    return f"{r:+.2f}".replace("-", "−")


def _duration(seconds: float) -> str:
    return f"{seconds:.0f} s" if seconds < 90 else f"{seconds / 60:.1f} min"


def _after_line(text: str, place: int) -> int:
    """Return where the first line after a place begins, if there is one soon."""
    end = text.find("\n", place, place + _WARM)
    return end + 1 if 0 <= end < len(text) - 1 else min(place, max(0, len(text) - _SHOWN))
