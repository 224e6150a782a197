"""How charlm train shows a training: announcements, a bar or lines, and signals."""

import math
import os
import statistics
import sys
import time
from types import FrameType
from typing import TYPE_CHECKING

import charlm
from charlm.commands.console import bar, say, size, stderr
from charlm.commands.drawing import styled, wrap
from charlm.terminal import argument, duration, visible, whole_words

if TYPE_CHECKING:
    from charlm import Done, Training

# Of samples.
_INDENT = "    "
# Steps are slow where the median of at least so many, in at least so many seconds, is above the
# usual time by this factor.
_SLOW, _SLOW_STEPS, _SLOW_S = 3, 5, 10.0


class Stop:
    """An answer to SIGINT and SIGTERM: the first saves and stops, the second exits at once.

    Until there is a run to save, the first raises SystemExit, which cleans up.
    """

    def __init__(self) -> None:
        self.caught = 0  # the first signal's number
        self._training: Training | None = None

    def __call__(self, number: int, _: FrameType | None) -> None:
        """Handle a signal."""
        if self.caught:
            # The last checkpoint is whole.
            os._exit(128 + number)
        self.caught = number
        if self._training is None:
            sys.exit(128 + number)
        self._training.stop()

    def save(self, training: "Training") -> None:
        """Stop this training, and let it save, from now on."""
        self._training = training
        if self.caught:
            # The SystemExit got lost, as one that is raised inside a destructor does.
            training.stop()


class Slowdown:
    """Detection of steps that take several times as long as timed, or as the fastest so far."""

    def __init__(self, step_s: float | None) -> None:
        self._usual_s = math.inf if step_s is None else step_s
        self._recent: list[float] = []
        self._recent_s = 0.0

    def add(self, seconds: float) -> float:
        """Count a step; return the factor by which the recent ones are slow, 0 if they are not."""
        self._recent.append(seconds)
        self._recent_s += seconds
        if len(self._recent) < _SLOW_STEPS or self._recent_s < _SLOW_S:
            return 0.0
        # A coarse clock may not have moved.
        median_s = max(statistics.median(self._recent), 1e-6)
        self._recent, self._recent_s = [], 0.0
        factor, self._usual_s = median_s / self._usual_s, min(median_s, self._usual_s)
        return factor if factor > _SLOW else 0.0


def announce(training: "Training") -> None:
    """Report the text, the model, the plan and the run before the training starts."""
    plan, train = training.plan, training.config.train
    items = "" if plan.items is None else f"{plan.items:,} item{'s' * (plan.items > 1)}, "
    corpus = (
        f"{plan.text}: {items}{plan.characters:,} characters, {plan.symbols} distinct; "
        f"{plan.training:,} to learn from, {plan.validation:,} to validate"
    )
    if plan.validation > plan.validated:
        corpus += f" (the first {plan.validated:,} while training)"
    if plan.test:
        corpus += f", {plan.test:,} kept back"
    say(corpus, "corpus")
    network_input = f"embedding of {plan.embedding}" if plan.embedding else "one-hot input"
    say(
        f"{training.config.model.summary}, {network_input}: {plan.parameters:,} parameters, "
        f"{size(plan.nbytes)} while training{' in each process' * (plan.processes > 1)}",
        "model",
    )
    steps = (
        f"{plan.steps:,} steps of {plan.streams} streams x {plan.time_steps} time steps, "
        f"{plan.epochs:.2g} passes over the text"
    )
    if train.optimizer != "soap":
        steps += f", {train.optimizer} at a rate of {train.learning_rate:g}"
    if plan.processes > 1:
        steps += f", {plan.processes} processes"
    if plan.expected_s is not None:
        steps += f", about {duration(plan.expected_s)}"
    say(steps, "plan")
    say(str(training.folder), "run")
    if training.step:
        say(f"after step {training.step:,}", "resume")
    for note in training.notes:
        say(note, "note")


def show(training: "Training", quiet: bool) -> bool:
    """Train, and show it: with a bar and samples on a terminal, in lines elsewhere.

    Return whether the training was interrupted.
    """
    interrupted = False
    if quiet:
        for event in training:
            interrupted = isinstance(event, charlm.Done) and event.interrupted
        return interrupted
    slowdown, slow, before = Slowdown(training.plan.step_s), 0.0, time.monotonic()
    progress = bar(
        total=training.plan.steps,
        initial=training.step,
        unit="step",
        smoothing=0.05,
        bar_format=charlm.BAR_FORMAT,
    )
    for event in training.events(progress):
        match event:
            case charlm.Updated():
                if not slow and (slow := slowdown.add(time.monotonic() - before)):
                    progress.write(_slow(training, slow), file=stderr)
            case charlm.Validated():
                mark = " (best)" if event.best else ""
                progress.write(
                    f"step {event.step:,}: loss {event.train_loss:.4f}, validation "
                    f"{event.loss:.4f}{mark}, {event.chars_per_s:,.0f} chars/s",
                    file=stderr,
                )
            case charlm.RolledBack():
                progress.write(
                    f"step {event.step + 1:,}: {event.why}; back to step {event.to:,} at half "
                    f"the learning rate (rollback {event.count})",
                    file=stderr,
                )
            case charlm.Sampled() if not progress.disable:
                columns = (progress.format_dict["ncols"] or 80) - len(_INDENT)
                text = visible(whole_words(event.text).strip("\n"))
                lines = [_INDENT + line for line in wrap(text, max(columns, 8))]
                progress.write(styled("\n".join(lines), "dim", stderr), file=stderr)
            case charlm.Done():
                _close(training, event)
                interrupted = event.interrupted
            case _:
                pass
        before = time.monotonic()
    return interrupted


def _slow(training: "Training", factor: float) -> str:
    """Return what slow steps suggest."""
    line = f"steps take {factor:.0f} times as long as before: other programs may use the CPUs"
    if training.plan.threads > 1:
        line += f"; Ctrl-C and {training.resume_command} --threads 1 may be faster"
    return line


def _close(training: "Training", event: "Done") -> None:
    if event.interrupted:
        say(f"stopped after step {event.step:,}, saved; resume with: {training.resume_command}")
        return
    if event.early:
        say(
            f"stopped early: validation has not improved for {training.config.train.patience} "
            "times; --resume with more --steps would continue"
        )
    line = f"done: {event.step:,} steps in {duration(event.elapsed_s)}"
    if event.best_loss is not None:
        line += f", validation {event.best_loss:.4f} nats per character at step {event.best_step:,}"
    say(line)
    if advice := training.advice():
        say(f"advice: {advice}")
    say(f"checkpoints: {training.folder}; write with: charlm sample {argument(training.folder)}")
