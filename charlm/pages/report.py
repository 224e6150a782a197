"""A run as one page: its training and samples, and surprise, gates and units over a text."""

import math
from pathlib import Path
from urllib.parse import quote

import numpy as np

from charlm.environment import require
from charlm.errors import DrawingError
from charlm.insight.characters import Characters, characters
from charlm.insight.excerpt import excerpt, own_text
from charlm.insight.oddities import TOP
from charlm.insight.reading import Reader, Saturation, Surprise, saturation
from charlm.insight.units import TextStates, paragraph_end
from charlm.pages import plots
from charlm.pages.coloured import by_surprise
from charlm.pages.live import is_live_page
from charlm.pages.page import Markup, fill, page, safe
from charlm.pages.texts import gallery, selection
from charlm.runs.folder import Run
from charlm.runs.loading import Trained
from charlm.runs.summary import RunSummary, summarize
from charlm.storage.history import History
from charlm.terminal import duration, setting, whole_words
from charlm.text.vocabulary import Vocabulary
from charlm.training.advice import advise, text_statistics
from charlm.types import Ids

# Symbols that warm the state up before characters are shown, and how many are shown.
_WARM, _SHOWN = 300, 2_000
# Symbols over which gates are counted.
_COUNTED = 5_000
_SAMPLES = 9
_GATES = {
    "i": "input gate: how much is written",
    "f": "forget gate: how much is kept",
    "o": "output gate: how much is shown",
    "r": "reset gate: how much of the state the candidate sees",
    "z": "update gate: how much of the state is kept",
}


def report(trained: Trained, path: Path, out: Path, text: tuple[str, Ids] | None = None) -> str:
    """Return the page of a run, from its checkpoint; its model reads a text, by default its own.

    Where a page that runs the model stands beside `out`, named as the run, it is linked.
    """
    require("matplotlib", "plot", "report", DrawingError)
    run = summarize(str(path.parent if Run.of(path) else path), path.parent)
    history, ids = run.history(), own_text(trained, path, needed=text is None)
    if text is None and ids is not None:
        text = excerpt(ids, trained.config.data, text=trained.description.text)
    parts = {"Training": _training(history, trained, ids), "Samples": _samples(history)}
    parts |= _inside(trained, *text) if text else {"Surprise": fill("no text")}
    parts |= {"Settings": _settings(run, trained, path)}
    parts = {name: body for name, body in parts.items() if body}
    links = [fill("link", id=name.lower(), name=name) for name in parts]
    live = out.with_name(f"{run.name}.html")
    if live.name != out.name and is_live_page(live):
        links.append(fill("page link", href=quote(live.name), name="The model, to write with"))
    sections = [fill("section", id=name.lower(), body=body) for name, body in parts.items()]
    head = fill("report head", numbers=_numbers(run, history, trained), links=links)
    return page(run.name, _lead(trained), Markup("".join(sections)), head)


def _lead(trained: Trained) -> str:
    model, text = trained.config.model, trained.description.text
    cell = "tanh RNN" if model.cell == "rnn" else model.cell.upper()
    lead = f"A character-level {cell}, {model.layers} x {model.hidden:,} units"
    if text:
        lead += f", trained on {Path(text.path).name}, {text.characters:,} characters"
    return f"{lead}."


def _numbers(run: RunSummary, history: History, trained: Trained) -> list[Markup]:
    """Return the key figures: a label, a value and a note each."""
    progress, goal, numbers = run.progress, trained.config.train.steps, []
    if (best := run.best_loss) is not None:
        when = f", at step {run.best_step:,}" if run.best_step else ""
        bits = f"{best / math.log(2):.3f} bits a character{when}"
        numbers.append(("best validation", f"{best:.3f} nats", bits))
    if progress and progress.step:
        numbers.append(("steps", f"{progress.step:,}", f"of {goal:,}" if goal else ""))
    symbols = f"{trained.config.model.cell}, {trained.vocabulary.size} symbols"
    numbers.append(("parameters", f"{trained.model.parameters.size:,}", symbols))
    if progress and (elapsed := progress.elapsed_s):
        speeds = plots.column(history.readings, "chars_per_s")[1]
        speed = f"{np.median(speeds):,.0f} characters a second" if speeds.size else ""
        numbers.append(("time", duration(elapsed), speed))
    return [fill("number", label=name, value=value, note=note) for name, value, note in numbers]


def _training(history: History, trained: Trained, ids: Ids | None) -> Markup | None:
    readings, V = history.readings, trained.vocabulary.size
    if all(reading.loss is None and reading.validation is None for reading in readings):
        return None
    levels, advice = {f"ln {V:,}": math.log(V)}, None
    if ids is not None:
        about = trained.description.text
        text = text_statistics(ids, trained.config.data, trained.vocabulary, about)
        levels["entropy"], advice = text.entropy, advise(readings, text)
    figures = []
    for kind in ("wide", "narrow"):
        svg = plots.losses(readings, history.resumes, levels, wide=kind == "wide")
        figures.append(fill("figure", kind=kind, heading="Loss", svg=svg))
    entropy = fill("entropy", loss=f"{levels['entropy']:.2f}") if "entropy" in levels else ""
    said = fill("advice", advice=advice) if advice else ""
    levels_note = {"V": f"{V:,}", "loss": f"{math.log(V):.2f}", "entropy": entropy}
    figures.append(fill("under losses", **levels_note, advice=said))
    drawn = [
        ("Learning rate", plots.curve(readings, "learning_rate", "learning rate")),
        ("Gradient norm, before clipping", plots.curve(readings, "norm", "gradient norm")),
        ("Speed", plots.curve(readings, "chars_per_s", "characters a second")),
    ]
    figures += [fill("figure", kind="", heading=name, svg=svg) for name, svg in drawn if svg]
    steps = ", ".join(f"{step:,}" for step in history.resumes)
    resumed = fill("resumed", steps=steps) if steps else ""
    return fill("training", figures=figures, resumed=resumed)


def _samples(history: History) -> Markup | None:
    kept = [(r.step, r.validation, r.sample) for r in history.readings if r.sample is not None]
    if not kept:
        return None
    some = np.unique(np.linspace(0, len(kept) - 1, min(_SAMPLES, len(kept))).round().astype(int))
    items = []
    for step, loss, sample in (kept[k] for k in some):
        note = "the first weights" if loss is None else f"validation {loss:.3f}"
        lines = Markup("\n".join(map(safe, whole_words(sample).strip("\n").split("\n"))))
        items.append(fill("sample", step=f"{step:,}", note=note, lines=lines))
    return fill("samples", items=items)


def _inside(trained: Trained, name: str, ids: Ids) -> dict[str, Markup | None]:
    """Read a text once; return the sections on its surprise, the gates and the units."""
    vocabulary = trained.vocabulary
    items, spelled = trained.config.data.items is not None, characters(vocabulary, ids)
    reader = Reader(trained.model, vocabulary.start_id, items=items)
    near = reader.read(ids[:_COUNTED], top=TOP, states=True, gates=True)
    far = reader.read(ids[_COUNTED:], states=True)
    states = spelled.lasts(np.concatenate([near.states, far.states]))
    return {
        "Surprise": _surprise(vocabulary, name, ids[:_COUNTED], spelled, near.surprise),
        "Gates": _gates(saturation([near]), near.surprise.nats.size),
        "Cells": _cells(TextStates(spelled.text, states)),
    }


def _surprise(
    vocabulary: Vocabulary, name: str, ids: Ids, spelled: Characters, surprise: Surprise
) -> Markup:
    text = spelled.text[: int(np.searchsorted(spelled.ends, ids.size, "right"))]
    # After some characters that warm the state up, from the beginning of a line.
    begin = min(_WARM, max(0, len(text) - _SHOWN))
    line_end = text.find("\n", begin, begin + _WARM)
    begin = line_end + 1 if begin and line_end >= 0 else begin
    end = paragraph_end(text, begin, min(begin + _SHOWN, len(text)))
    place = slice(int(spelled.begins[begin]), int(spelled.ends[end - 1]))
    shown, part = ids[place], Surprise(*(array[place] for array in surprise))
    return fill(
        "report surprise",
        name=name,
        mean=f"{part.bits.sum() / (end - begin):.2f}",
        hint=fill("hint"),
        text=by_surprise("text", characters(vocabulary, shown), part, vocabulary, shown),
    )


def _gates(found: list[Saturation], count: int) -> Markup | None:
    if not found:
        return None
    rows, by_letter = [], dict[str, list[Saturation]]()
    for of_gate in found:
        by_letter.setdefault(of_gate.gate, []).append(of_gate)
        shares = {"shut": of_gate.below.mean(), "opened": of_gate.above.mean()}
        shown = {name: f"{100 * share:.0f}" for name, share in shares.items()}
        widths = {f"{name}_width": f"{100 * share:.1f}" for name, share in shares.items()}
        rows.append(fill("gate", layer=of_gate.layer, gate=of_gate.gate, **shown, **widths))
    figures = []
    for letter, group in by_letter.items():
        heading = fill("gate heading", gate=letter, meaning=_GATES[letter])
        figures.append(fill("figure", kind="", heading=heading, svg=plots.gate(group)))
    return fill("gates", count=f"{count:,}", rows=rows, figures=figures)


def _cells(read: TextStates) -> Markup:
    findings = read.find_units()
    distinct = read.distinct(findings)
    if not distinct:
        return fill("no cells")
    found = {finding.property for finding in findings}
    absent = ", ".join(name for name in read.properties if name not in found)
    return fill(
        "cells",
        selection=selection(read),
        absent=f" Too rare here to be measured: {absent}." if absent else "",
        units=gallery(read, distinct),
    )


def _settings(run: RunSummary, trained: Trained, path: Path) -> Markup:
    description, changed, kept = trained.description, [], []
    for key, value in run.settings.items():
        if key in run.changed:
            note = fill("default", value=setting(run.changed[key]))
            changed.append(_row(key, setting(value), note))
        else:
            kept.append(_row(key, setting(value)))
    about = {
        "text": description.text and description.text.path,
        "sha256": description.text and description.text.sha256,
        "checkpoint": path.name,
        **description.versions,
        "threads": description.threads,
    }
    environment = [_row(key, value) for key, value in about.items() if value is not None]
    return fill("settings", changed=changed, kept=kept, environment=environment)


def _row(key: str, value: object, note: str = "") -> Markup:
    return fill("setting", key=key, value=value, note=note)
