"""A trained model: write text with it, score texts, look inside.

    load("my-run")  ->  LanguageModel  ->  sample, stream, samples, items, sampler
                                           evaluate, evaluate_dynamic, log_probs
                                           forward, surprise, oddities, states, gates, cells,
                                           unit_trace, gradients, attribution, copies, heat_page,
                                           cells_page

A text argument that is a `str` is the text itself. A `Path`, or a list of them, names files and
folders; they are read with the run's own encoding, level and glob. A model of independent items
reads any text as such items, each with the symbol behind it that ends it.

What only looking inside needs is imported there: a model that writes is loaded sooner without it.
"""

import os
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import islice, repeat
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias, TypedDict, Unpack, cast, get_args

import numpy as np

from charlm.errors import ConfigError, TextError
from charlm.evaluation import score
from charlm.generation.filters import Filters, is_number
from charlm.generation.sampler import Drawn, Sampler
from charlm.nn.model import Model
from charlm.nn.stepper import Mixture
from charlm.runs.folder import find_checkpoint
from charlm.runs.loading import Trained, load_model
from charlm.settings.schema import Config, unknown_key
from charlm.terminal import brief
from charlm.text.corpus import encode_source
from charlm.text.ngrams import NGrams
from charlm.text.source import Source
from charlm.text.vocabulary import OnUnknown, Vocabulary
from charlm.types import Array, Ids, States

if TYPE_CHECKING:
    from charlm.generation.copies import Copy
    from charlm.insight.gradients import Gradients
    from charlm.insight.oddities import Heat, Oddity
    from charlm.insight.reading import Reader, Saturation, Surprise
    from charlm.insight.units import TextStates, UnitFinding, UnitTrace

PathLike: TypeAlias = str | Path
Text: TypeAlias = str | Path | Sequence[Path]
CHECKPOINTS = Path("checkpoints")
# Streams drawn side by side; memory grows with them.
_STREAMS = 64
_LONGEST_NAME = 255
# Items that are looked up in the learned list in one pass, at most.
_LOOKED_UP = 8192
# So many items in a row that are left out, and no more are drawn.
_IN_A_ROW = 10_000


class Evaluation(NamedTuple):
    """A text's score with the state carried, and in cold windows of 256 characters."""

    carried: score.Score
    cold: score.Score


@dataclass(frozen=True)
class Sample:
    """A text that a model wrote."""

    text: str  # the start text and what was written
    start: str
    written: str
    characters: int  # how many were written; the end of an item is one
    symbols: int  # the same in symbols: bytes at byte level
    log_prob: float  # ln p of these, in nats, at temperature 1 and without filters
    index: int  # among the samples, from 0
    seed: int  # of all samples
    ended: bool = False  # with a stop text, or as an item; otherwise it has the greatest length
    known: bool | None = None  # the item is in the learned list; None where it was not looked up

    def likelihood(self) -> float:
        """Return the mean log-probability of its symbols."""
        return self.log_prob / max(1, self.symbols)


class Samples(Iterator[Sample]):
    """The texts that a model draws, one after the other, and the items that it leaves out.

    Args:
        drawn: texts without end.
        count: how many to yield.
        look_up: returns which items are in the learned list; None to look nothing up.
        new: leave out items that are in the learned list.
        unique: leave out items that were drawn before; takes about 100 bytes of memory an item.

    Attributes:
        known: items left out so far since they are in the learned list.
        repeated: items left out so far since they were drawn before.
    """

    def __init__(
        self,
        drawn: Iterator[Sample],
        count: int,
        look_up: Callable[[Sequence[str]], list[bool]] | None = None,
        *,
        new: bool = False,
        unique: bool = False,
    ) -> None:
        self.known = self.repeated = 0
        self._drawn, self._count, self._look_up = drawn, count, look_up
        self._new, self._unique = new, unique
        self._chosen = self._choose()

    def __next__(self) -> Sample:
        return next(self._chosen)

    def _choose(self) -> Iterator[Sample]:
        seen: set[int] = set()
        index = in_a_row = 0
        for one in self._looked_up():
            if self._new and one.known:
                self.known += 1
            elif self._unique and hash(one.text) in seen:
                self.repeated += 1
            else:
                if self._unique:
                    seen.add(hash(one.text))
                yield replace(one, index=index)
                index, in_a_row = index + 1, 0
                if index == self._count:
                    return
                continue
            in_a_row += 1
            if in_a_row == _IN_A_ROW:
                found = f"found {index:,} of {self._count:,} items"
                reason = f"{self.known:,} in the learned list, {self.repeated:,} repeated"
                problem = f"{found}, and left out the last {in_a_row:,} in a row ({reason})"
                raise ConfigError("sample", problem, "draw fewer, or at a higher temperature")

    def _looked_up(self) -> Iterator[Sample]:
        """Look up texts in groups, which grow: each group is a pass over the learned list."""
        if self._look_up is None:
            yield from self._drawn
            return
        size = min(self._count, _STREAMS)
        while group := list(islice(self._drawn, size)):
            known = self._look_up([one.text for one in group])
            for one, is_known in zip(group, known, strict=True):
                yield replace(one, known=is_known)
            size = min(2 * size, _LOOKED_UP)


class Drawing(TypedDict, total=False):
    """How a text is drawn."""

    start: str  # what the model reads before it writes
    temperature: float  # at least 0; 0 is greedy, 1 leaves the model's probabilities; default 0.8
    top_k: int | None  # draw from the k most probable symbols only
    top_p: float | None  # draw from the most probable symbols that make up this probability
    min_p: float | None  # leave out what is below this fraction of the highest probability
    stop: str | Sequence[str]  # texts to end after
    min_length: int  # symbols to draw before a stop text or an item's end counts
    on_unknown: OnUnknown  # what becomes of unknown characters of the start text
    seed: int | None  # the same seed gives the same text; a new one where None
    ngram_weight: float  # of the n-grams of the training text, mixed in, from 0 to 1; default 0
    # Called with the symbols of the start text that are read, and their number.
    reading: Callable[[int, int], object] | None


class Choosing(Drawing, total=False):
    """Which of the texts that are drawn are kept; see `LanguageModel.samples`."""

    best_of: int
    new: bool
    unique: bool


class LanguageModel:
    """A trained model.

    Methods that read a text raise TextError, which is a ValueError, where it is empty or cannot be
    read, and UnknownCharacter where it holds a character that the vocabulary lacks. Where the
    vocabulary has an unknown symbol, that one stands for such characters; with an `on_unknown` of
    "skip" or "replace" they are left out or replaced. Values out of range raise ConfigError. What
    reads the training text, or its validation part, raises CheckpointError where that is not beside
    the checkpoint, or is not the one the model was trained on.
    """

    path: Path  # the checkpoint
    vocabulary: Vocabulary  # the symbols, with `encode` and `decode`
    config: Config  # the settings it was trained with
    on_unknown: OnUnknown  # what becomes of characters that the vocabulary lacks
    # Name -> array, such as `lstm.0.Wx`: views, what is written into them is used by the next call.
    parameters: Mapping[str, Array]

    def __init__(self, trained: Trained, path: Path, on_unknown: OnUnknown = "error") -> None:
        self._trained, self.path, self.on_unknown = trained, path, on_unknown
        self.vocabulary, self.config = trained.vocabulary, trained.config
        self.parameters = trained.model.parameters.views

    def __repr__(self) -> str:
        """Return the checkpoint and the size of the network."""
        return (
            f"<LanguageModel {self.path}: {self.config.model.summary}, "
            f"{self.vocabulary.size} symbols>"
        )

    def sampler(
        self, *, streams: int = 1, n: int = 0, scored: bool = False, **drawing: Unpack[Drawing]
    ) -> Sampler:
        """Return a sampler, which draws step by step.

        Args:
            streams: B, how many texts are drawn side by side.
            n: which of the seed's draws.
            scored: sum up `log_probs`, in nats.
            **drawing: see `Drawing`.
        """
        for key in drawing:
            if key not in Drawing.__annotations__:
                known = [*Drawing.__annotations__, "length", "count", "best_of"]
                raise unknown_key("sample", key, known, "help(charlm.Drawing) lists them")
        others = cast(dict[str, Any], {"seed": None, "on_unknown": self.on_unknown, **drawing})
        mixture = self._mixture(others.pop("ngram_weight", 0))
        keys = [key for key in others if key in ("temperature", "top_k", "top_p", "min_p")]
        filters = Filters(**{key: others.pop(key) for key in keys})
        if others["seed"] is None:
            others["seed"] = _new_seed()
        return Sampler(
            self._model, self.vocabulary, filters, streams=streams, n=n, scored=scored,
            items=self._has_items, mixture=mixture, **others,
        )  # fmt: skip

    def stream(self, length: int = 500, **drawing: Unpack[Drawing]) -> Iterator[str]:
        """Yield a text of at most `length` symbols as it is drawn, without the start text."""
        return self.sampler(**drawing).characters(length)

    def sample(self, length: int = 500, **drawing: Unpack[Drawing]) -> str:
        """Return a text, the start text included; arguments as in `stream`."""
        sampler = self.sampler(**drawing)
        return sampler.start + "".join(sampler.characters(length))

    def samples(
        self,
        count: int,
        length: int = 500,
        *,
        best_of: int = 1,
        new: bool = False,
        unique: bool = False,
        compare: bool = False,
        **drawing: Unpack[Drawing],
    ) -> Samples:
        """Draw several texts, or items, up to 64 side by side.

        Args:
            count: how many.
            length: symbols to draw for each, at most.
            best_of: draw so many for each text, and keep the most probable one, per symbol.
            new: leave out items that are in the learned list.
            unique: leave out items that were drawn before.
            compare: say of each item whether it is in the learned list.
            **drawing: see `Drawing`.

        Raises:
            ConfigError: a value is out of range, or only for models of items. While it iterates:
                10,000 items in a row were left out.
        """
        for name, value in (("count", count), ("best_of", best_of)):
            if value < 1:
                raise ConfigError(name, f"must be at least 1, got {value}")
        if new or unique or compare:
            self._check_items("new, unique, compare")
        if new or compare:
            # Where it is missing, nothing is drawn.
            _ = self.training_text
        streams = _STREAMS if new or unique else min(count * best_of, _STREAMS)
        one = self.sampler(streams=streams, scored=True, **drawing)
        texts = one.texts(length)
        best = (max(islice(texts, best_of), key=Drawn.likelihood) for _ in repeat(None))
        drawn = (
            Sample(one.start + text.written, one.start, *text[:-1], 0, one.seed, text.ended)
            for text in best
        )
        look_up = self.known_items if new or compare else None
        return Samples(drawn, count, look_up, new=new, unique=unique)

    def items(self, count: int, length: int = 500, **options: Unpack[Choosing]) -> Iterator[str]:
        """Yield items, such as names, that a model of independent items draws; as `samples`."""
        self._check_items("items")
        return (one.text for one in self.samples(count, length, **options))

    def evaluate(self, text: Text, *, ngram_weight: float = 0) -> Evaluation:
        """Return a text's scores: mean cross-entropy in nats per character.

        Independent items are scored each on its own, with the symbol that ends it. With an
        `ngram_weight` it is the mixture with the n-grams of the training text that is scored.
        """
        mixture, items, model = self._mixture(ngram_weight), self._has_items, self._model
        ids, start_id = self._ids(text), self.vocabulary.start_id
        return Evaluation(
            score.carried(model, ids, start_id, items=items, mixture=mixture),
            score.cold(model, ids, start_id, items=items, mixture=mixture),
        )

    def evaluate_dynamic(self, text: Text, *, learning_rate: float | None = None) -> score.Score:
        """Score a text with a copy of the model that is trained on what it has scored.

        Compare it with other dynamic scores only; `evaluate` is that of fixed weights.

        Args:
            text: what to score.
            learning_rate: at least 0; 0 trains nothing; None for 0.001.

        Raises:
            Diverged: the loss is no longer finite.
        """
        from charlm.evaluation.dynamic import RATE, dynamic

        rate, start_id = RATE if learning_rate is None else learning_rate, self.vocabulary.start_id
        ids, learned = self._ids(text), self.training_text
        return dynamic(self._model, learned, ids, start_id, rate, items=self._has_items)

    def log_probs(self, text: Text) -> Array:
        """Return ln p of each symbol of a text, given all before it: (symbols,) nats."""
        log_probs: Array = -self.surprise(text, top=0).nats
        return log_probs

    def forward(self, ids: Array, state: States | None = None) -> tuple[Array, States]:
        """Return logits (T, V, B) of the symbols after ids (T, B), and the state after the last.

        Time comes first: one column is one stream. A state has a tuple of (H, B) arrays a layer:
        (h, c) for LSTM, (h,) for GRU and RNN. The zero state is before the first where None.

        Raises:
            ValueError: the ids are not (T, B), or not all of the vocabulary.
        """
        ids = np.asarray(ids)
        if ids.ndim != 2 or not ids.size or not np.issubdtype(ids.dtype, np.integer):
            raise ValueError(f"ids: must be (T, B) whole numbers, got {ids.dtype} {ids.shape}")
        if ids.min() < 0 or ids.max() >= self.vocabulary.size:
            raise ValueError(f"ids: must be from 0 to {self.vocabulary.size - 1}")
        model, (T, B) = self._model, ids.shape
        cache = model.cache(T, B)
        state_out = model.forward(
            ids.astype(np.intp), self.zero_state(B) if state is None else state, cache
        )
        logits = np.stack([model.output.forward(cache.output, t).copy() for t in range(T)])
        return logits, [tuple(part.copy() for part in layer) for layer in state_out]

    def zero_state(self, B: int = 1) -> States:
        """Return the state at the beginning of a text, for B streams."""
        return self._trained.model.zero_state(B)

    @cached_property
    def training_text(self) -> Ids:
        """Return the ids of the text that the model was trained on, memory-mapped."""
        from charlm.runs.loading import learned_text

        return learned_text(self._trained, self.path)

    def copies(self, text: str, *, at_least: int | None = None) -> "list[Copy]":
        """Find what of a text stands verbatim in the text that the model was trained on.

        Copies have `at_least` characters, 32 where None. The longest comes first, and none overlaps
        a longer one.
        """
        return self.copies_in([text], at_least=at_least)[0]

    def copies_in(self, texts: Sequence[str], *, at_least: int | None = None) -> "list[list[Copy]]":
        """Find the copies in each of several texts, in one pass; as `copies`."""
        from charlm.generation.copies import AT_LEAST, find_copies

        ids = [self.vocabulary.encode(text) for text in texts]
        return find_copies(self.training_text, ids, AT_LEAST if at_least is None else at_least)

    def copied_lines(self, text: str) -> list[str]:
        """Return those lines of a text, empty ones left out, that are lines of the training text.

        What follows the last newline is no whole line.
        """
        lines = list(filter(None, text.split("\n")[:-1]))
        known = self._stand_whole(lines, "\n")
        return [line for line, found in zip(lines, known, strict=True) if found]

    def known_items(self, items: Sequence[str]) -> list[bool]:
        """Return which of several items are in the list that the model was trained on."""
        return self._stand_whole(items, self.vocabulary.start)

    def _stand_whole(self, parts: Sequence[str], separator: str) -> list[bool]:
        """Return which texts stand in the training text between two separators."""
        from charlm.generation.copies import find_items

        vocabulary = self.vocabulary
        if vocabulary.unknown(separator):
            return [False] * len(parts)
        known = [part for part in parts if not vocabulary.unknown(part)]
        boundary, *ids = (vocabulary.encode(part) for part in [separator, *known])
        found = dict(zip(known, find_items(self.training_text, int(boundary[0]), ids), strict=True))
        return [found.get(part, False) for part in parts]

    def surprise(self, text: Text, top: int = 5) -> "Surprise":
        """Return the surprise of each symbol of a text, and the `top` most probable in its place.

        Returns:
            `bits` and `nats` (symbols,); `likeliest` (symbols, top) ids, the first one first, and
            their `probabilities`.
        """
        return self._reader().read(self._ids(text), top=top).surprise

    def heat(self, text: Text, count: int = 10) -> "Heat":
        """Return a reader of a text: each character's surprise, and the `count` oddest places."""
        from charlm.insight.oddities import Heat

        ids = self._ids(text)
        return Heat(self._model, self.vocabulary, ids, count, items=self._has_items)

    def oddities(self, text: Text, count: int = 10) -> "list[Oddity]":
        """Return the most surprising places of a text, in descending order."""
        return self._whole_heat(text, count).oddities

    def states(self, text: Text) -> Array:
        """Return every unit's state after each symbol of a text, (symbols, L, H) from -1 to 1.

        It is tanh(c) of an LSTM, and h of a GRU and a tanh RNN.
        """
        return self._reader().read(self._ids(text), states=True).states

    def text_states(self, text: Text, most: int = 20_000) -> "TextStates":
        """Return the characters of a text's first `most` symbols, and the states after each."""
        from charlm.insight.characters import characters
        from charlm.insight.units import TextStates

        ids = self._ids(text, most)
        spelled = characters(self.vocabulary, ids)
        states = self._reader().read(ids, states=True).states
        return TextStates(spelled.text, spelled.lasts(states))

    def gates(self, text: Text) -> "list[Saturation]":
        """Return how often gates are shut or open while a text is read.

        For each layer's gates these are (H,) fractions of the symbols `below` 0.1 and `above` 0.9.
        A tanh RNN has no gates.
        """
        from charlm.insight.reading import saturation

        return saturation(self._reader().gates(self._ids(text)))

    def cells(self, text: Text, count: int = 10) -> "list[UnitFinding]":
        """Return the units most correlated with properties of a text's first 20,000 symbols.

        Each has its property and its correlation on the text's last third, the strongest first.
        """
        return self.text_states(text).find_units(count)

    def unit_trace(self, text: Text, unit: tuple[int, int], most: int = 1000) -> "UnitTrace":
        """Return a unit's gates and state after each of a text's first `most` symbols.

        Of a character of several symbols, they are those after its last one.

        Raises:
            ConfigError: there is no such unit (layer, number).
        """
        from charlm.insight.characters import characters
        from charlm.insight.units import UnitTrace

        self._check_unit(unit)
        (layer, number), ids = unit, self._ids(text, most)
        pieces = list[dict[str, Array]]()
        cell = self._model.layers[layer]
        # f, i, o and r, z are the order of the equations, and alphabetical.
        gates, memory = sorted(cell.SIGMOIDS), "tanh(c)" if "c" in cell.STATES else "h"
        for read in self._reader().gates(ids, states=True):
            piece = {gate: read.gates[layer, gate][:, number] for gate in gates}
            piece[memory] = read.states[:, layer, number]
            # Copies: a view would keep the values of all units.
            pieces.append({name: values.copy() for name, values in piece.items()})
        spelled = characters(self.vocabulary, ids)
        joined = {name: np.concatenate([piece[name] for piece in pieces]) for name in pieces[0]}
        values = {name: spelled.lasts(each) for name, each in joined.items()}
        return UnitTrace(spelled.text, layer, number, values)

    def gradients(self, text: Text | None = None, *, lags: int = 64) -> "Gradients":
        """Return the norms of the gradient back in time, while the model reads a text.

        Args:
            text: of at least 2 lags + 2 characters, read at 16 places; the run's own validation
                text where None.
            lags: K, how many steps back; at least 2.
        """
        from charlm.insight.excerpt import validation_text
        from charlm.insight.gradients import of_text, symbols_read

        if text is None:
            ids, where = validation_text(self.path, self._trained, symbols_read(lags)), self.path
            return of_text(self._model, ids, lags, str(where))
        return of_text(self._model, self._ids(text), lags, _name(text) or "text")

    def attribution(self, text: Text, k: int, *, most: int = 200) -> Array:
        """Return how much each earlier symbol of a text mattered to symbol k.

            norms_j = || d ln p(id_k | start, id_0, ..., id_{k-1}) / d x_j ||

        x_j is the network's input where symbol j is read: a column of the embedding, or a one-hot
        column. The gradient is computed in float64.

        Args:
            text: what is read.
            k: from 0; -1 is the last symbol.
            most: how many symbols back, at least 1.

        Returns:
            (min(k, most),) norms for j = max(0, k - most) .. k-1.

        Raises:
            ConfigError: `k` is no symbol of the text, or `most` is below 1.
        """
        from charlm.insight.attribution import attribution

        ids = self._ids(text)
        if not -ids.size <= k < ids.size:
            problem = f"must be a symbol of the text, from 0 to {ids.size - 1}, got {k}"
            raise ConfigError("k", problem)
        if most < 1:
            raise ConfigError("most", f"must be at least 1, got {most}")
        start_id = self.vocabulary.start_id
        return attribution(self._model, ids, k % ids.size, start_id, most, items=self._has_items)

    def heat_page(self, text: "Text | Heat", title: str = "") -> str:
        """Return a page, as HTML, of a text coloured by surprise.

        Args:
            text: a text, or what `heat` returned, read to its end.
            title: the page's; a file's name where empty.
        """
        from charlm.insight.oddities import Heat
        from charlm.pages.texts import surprise_page

        heat = text if isinstance(text, Heat) else self._whole_heat(text)
        return surprise_page(title or Path(_name(text)).name or "Surprise", heat)

    def cells_page(
        self,
        text: "Text | TextStates | UnitTrace",
        unit: tuple[int, int] | None = None,
        title: str = "",
    ) -> str:
        """Return a page, as HTML, of a text coloured by a unit's state.

        Args:
            text: its first 20,000 symbols are read; or what `text_states` returned; or what
                `unit_trace` returned, for rows of the unit's gates and state below the text.
            unit: (layer, number); the units most correlated with properties of the text where None.
            title: the page's; a file's name where empty.

        Raises:
            ConfigError: there is no such unit.
        """
        from charlm.insight.units import TextStates, UnitTrace
        from charlm.pages.texts import states_page, trace_page

        title = title or Path(_name(text)).name or "Cells"
        if isinstance(text, UnitTrace):
            return trace_page(title, text)
        if unit is not None:
            self._check_unit(unit)
        states = text if isinstance(text, TextStates) else self.text_states(text)
        return states_page(title, states, unit)

    @property
    def _model(self) -> Model:
        """The network; weights that were changed in `parameters` count from now on."""
        self._trained.model.refresh()
        return self._trained.model

    def _whole_heat(self, text: Text, count: int = 10) -> "Heat":
        """Return `heat` of a text, read to its end."""
        heat = self.heat(text, count)
        for _ in heat:
            pass
        return heat

    def _reader(self) -> "Reader":
        from charlm.insight.reading import Reader

        return Reader(self._model, self.vocabulary.start_id, items=self._has_items)

    @cached_property
    def _ngrams(self) -> NGrams:
        return NGrams(self.training_text, self.vocabulary.size)

    def _mixture(self, weight: float) -> Mixture | None:
        """Return what a weight of the n-grams mixes with the network; None for 0."""
        if not is_number(weight) or not 0 <= weight <= 1:
            raise ConfigError("ngram_weight", f"must be a number from 0 to 1, got {brief(weight)}")
        return Mixture(self._ngrams, weight) if weight else None

    @property
    def _has_items(self) -> bool:
        return self.config.data.items is not None

    def _check_unit(self, unit: tuple[int, int]) -> None:
        L, H = self.config.model.layers, self.config.model.hidden
        if not (0 <= unit[0] < L and 0 <= unit[1] < H):
            raise ConfigError("unit", f"must be from (0, 0) to ({L - 1}, {H - 1}), got {unit}")

    def _check_items(self, where: str) -> None:
        if not self._has_items:
            advice = "train one with items, such as items='line'"
            raise ConfigError(where, "only for a model of independent items", advice)

    def unknown(self, text: Text) -> dict[str, int]:
        """Return how often each character occurs in a text that the vocabulary lacks."""
        counts: Counter[str] = Counter()
        is_piece = isinstance(text, str) and not self._has_items
        for piece in [text] if is_piece else self._source(text).pieces():
            if isinstance(piece, str):
                counts.update(self.vocabulary.unknown(self.vocabulary.normal_form(piece)))
        return dict(counts.most_common())

    def _ids(self, text: Text, most: int | None = None) -> Ids:
        """Return a text's ids, or the first `most` of them."""
        if isinstance(text, str) and 0 < len(text) < _LONGEST_NAME and os.path.isfile(text):
            problem = f"{brief(text)} is the name of a file"
            raise TextError("text", problem, "a pathlib.Path of it reads the file")
        if isinstance(text, str) and not self._has_items:
            unknown = self.vocabulary.unknown_id is not None and self.on_unknown == "error"
            ids = self.vocabulary.encode(
                self.vocabulary.normal_form(text),
                on_unknown="replace" if unknown else self.on_unknown,
            )[:most]
        else:
            ids = encode_source(self._source(text), self.vocabulary, most, self.on_unknown)
        if not ids.size:
            raise TextError(_name(text) or "the text", "is empty", "name a text to read")
        return ids

    def _source(self, text: Text) -> Source:
        if isinstance(text, str):
            return Source.of_string(text, self.config.data)
        paths = [text] if isinstance(text, Path) else text
        if not (isinstance(paths, list | tuple) and paths and isinstance(paths[0], Path)):
            raise TypeError(f"text: must be a str, a Path or Paths, got {brief(text)}")
        return replace(Source.find(paths, self.config.data), is_fixed=True)


def load(
    where: PathLike | None = None,
    *,
    checkpoints: PathLike = CHECKPOINTS,
    on_unknown: OnUnknown = "error",
) -> LanguageModel:
    """Load a trained model.

    Args:
        where: a checkpoint file, a run's folder or name; the newest run where None.
        checkpoints: the folder of all runs.
        on_unknown: what becomes of characters in texts that the model does not know: `error`, or
            `skip`, or `replace` by the closest known character or the unknown symbol.

    Raises:
        ConfigError: `on_unknown` is none of these.
        CheckpointError: there is no such checkpoint, or it is damaged.
        RunError: there is no run yet.
    """
    if on_unknown not in get_args(OnUnknown):
        raise ConfigError("on_unknown", f"must be error, skip or replace, got {brief(on_unknown)}")
    path = find_checkpoint(None if where is None else str(where), Path(checkpoints))
    return LanguageModel(load_model(path), path, on_unknown)


def _name(text: object) -> str:
    """Return the path of a text, or of the first of several; nothing for what is no path."""
    first = text[0] if isinstance(text, list | tuple) else text
    return str(first) if isinstance(first, Path) else ""


def _new_seed() -> int:
    return int(np.random.SeedSequence().generate_state(1)[0])
