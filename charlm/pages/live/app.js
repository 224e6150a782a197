// The page's state, and what its controls do. The reader has read the text; the caret is a moment
// in it, and everything that is shown is the model at that moment.
"use strict";

const $ = (id) => document.getElementById(id);
const model = decodeModel($("model"));
const vocabulary = new Vocabulary(model), network = new Network(model);
const reader = new Reader(network, vocabulary), input = $("input");
const calm = matchMedia("(prefers-reduced-motion: reduce)");

// Characters a second by the slider's place; the last is as fast as it goes.
const SPEEDS = [2, 5, 10, 25, 60, 150, Infinity];
// Milliseconds of a frame for writing, and for reading; the rest is for drawing.
const BUDGET = 14, READING_BUDGET = 60;
// Texts that can be returned to, and milliseconds within which edits of a kind are one.
const MOST_UNDOS = 100, BURST = 1000;
// Unknown characters that are named.
const MOST_NAMED = 20;
// Symbols that are looked back over, and milliseconds that a pointer rests before they are.
const LOOK_BACK = 100, REST = 90;
// Up to so many characters a second, values are seen to flow through the cell.
const SLOW = 5;

const state = {
  layer: model.units[0]?.layer ?? 0, unit: model.units[0]?.unit ?? 0, colouredBy: "surprise",
  writing: false, left: 0, written: 0,
  due: 0,       // characters that may be written by now, at the chosen speed
  shaded: 0,    // characters that have their colour
  pointed: -1,  // the character that the tip is of
  marked: [],   // spans that are underlined, and their classes
  follow: true, // the caret is to be scrolled into view
  flow: 0,      // milliseconds in which values are to flow through the cell
  renamed: false, // the language has changed
};
const undos = []; // {ids, caret} before each change, the last one last
let random, frameAsked = false, lastFrame = 0, lookBackTimer = 0, fitted = "";
let lastEdit = { kind: "", time: 0 };

const text = new TextField($("field"), $("letters"), input, vocabulary);
const bars = new Bars($("bars"), vocabulary, take);
const units = new Units($("grids"), network, model.units, choose);
const cell = new CellDrawing($("drawing"), model.cell, $("equations"));
const strips = new Strips($("strips"), network.gates, vocabulary, {
  point: (k, canvas) => point(text.characters.findIndex(({ end }) => end > k), canvas),
  leave: hideTip,
});

// The index of the character behind the caret; while the page writes, the caret is at the end.
function caret() {
  return state.writing ? text.characters.length : text.caret;
}

// The symbols before the caret, as far as they have been read.
function moment() {
  return Math.min(text.symbolsBefore(caret()), reader.length);
}

function speed() {
  return SPEEDS[$("speed").value];
}

// The settings to draw by; a filter at the end of its slider is off.
function settings() {
  const [temperature, topK, topP, minP] = ["temperature", "topK", "topP", "minP"]
    .map((id) => Number($(id).value));
  return {
    temperature,
    topK: topK < Number($("topK").max) ? topK : null,
    topP: topP < 1 ? topP : null,
    minP: minP > 0 ? minP : null,
  };
}

// The probabilities that the symbol at a position is drawn by.
function weightsAt(k) {
  return weigh(reader.logits(k), settings(), reader.banned(k));
}

// ---- Writing

function write() {
  if (state.writing) return pause();
  document.body.classList.remove("composing");
  remember();
  text.truncate(text.caret);
  reader.truncate(text.ids.length);
  seedRandom();
  Object.assign(state, { writing: true, left: number("length"), written: 0, due: 1, follow: true });
  hideTip();
  showTransport();
  ask();
}

function pause() {
  if (!state.writing) return;
  state.writing = false;
  text.update(text.string.length);
  showTransport();
  say(label("wrote", state.written, symbolName()));
  ask();
}

function writeSymbol(id = draw(weightsAt(reader.length), random)) {
  text.append(id);
  reader.push(id);
  // A byte may have changed the last character.
  state.shaded = Math.min(state.shaded, text.characters.length - 1);
}

// Write and One step repeat from the same place. Other places have other numbers: with the same
// ones, a text that goes on could fall into what was written before.
function seedRandom() {
  random = new Random(number("seed") + Math.imul(text.ids.length, 0x85ebca6b));
}

// Write one symbol at the caret: the one that was chosen, or one that is drawn.
function take(id) {
  pause();
  remember();
  text.truncate(text.caret);
  reader.truncate(text.ids.length);
  seedRandom();
  while (reader.length < text.ids.length) reader.push(text.ids[reader.length]);
  writeSymbol(id);
  text.update(text.string.length);
  const k = reader.length - 1;
  say(`${vocabulary.name(reader.ids[k])}, ${percent(reader.probability(k))}`);
  Object.assign(state, { flow: 600, follow: true });
  ask();
}

function back() {
  pause();
  text.caret = Math.max(0, text.caret - 1);
  state.follow = true;
  ask();
}

function restart() {
  pause();
  remember();
  setIds(text.encode(model.text).ids);
  say("");
}

function setIds(ids) {
  hideTip();
  const kept = text.setIds(ids);
  reader.truncate(text.symbolsBefore(kept));
  state.shaded = Math.min(state.shaded, kept);
  state.follow = true;
  ask();
}

// Keep the text as it is before a change. Edits of the same kind in a burst are one change.
function remember(kind = "") {
  const time = performance.now(), { ids } = text;
  const goesOn = kind && kind === lastEdit.kind && time - lastEdit.time < BURST;
  lastEdit = { kind, time };
  if (goesOn) return;
  undos.push({ ids: [...ids], caret: text.caret });
  if (undos.length > MOST_UNDOS) undos.shift();
}

// Return to the text before the last change.
function undo() {
  pause();
  lastEdit.kind = "";
  let before = undos.pop();
  // A key may have changed nothing, such as Backspace at the beginning.
  while (before && String(before.ids) === String(text.ids)) before = undos.pop();
  if (!before) return say(label("noUndo"));
  setIds(before.ids);
  text.caret = before.caret;
  say(label("undone"));
}

// Take over what was typed, pasted or deleted.
function takeInput() {
  hideTip();
  const { unknown, kept } = text.takeInput();
  reader.truncate(text.symbolsBefore(kept));
  state.shaded = Math.min(state.shaded, kept);
  state.follow = true;
  if (unknown.length) sayUnknown([...new Set(unknown)].map(printable));
  ask();
}

function sayUnknown(names) {
  if (names.length > MOST_NAMED) names.splice(MOST_NAMED, Infinity, "…");
  say(label(vocabulary.unknown === null ? "leftOut" : "readAsUnknown", names.join(" ")), true);
}

// ---- Frames: read and write for some milliseconds, then draw once what has changed

function ask() {
  if (!frameAsked) requestAnimationFrame(frame);
  frameAsked = true;
}

function frame(now) {
  frameAsked = false;
  const isRead = () => reader.length === text.ids.length;
  const end = performance.now() + (isRead() ? BUDGET : READING_BUDGET);
  while (!isRead() && performance.now() < end) reader.push(text.ids[reader.length]);
  if (state.writing && isRead()) writeSome(now, end);
  lastFrame = now;
  show();
  if (state.writing || !isRead()) ask();
}

function writeSome(now, end) {
  // Where the browser paused, such as in another tab, nothing is made up for.
  const seconds = Math.min(100, Math.max(0, now - lastFrame)) / 1000;
  state.due = speed() === Infinity ? state.left : state.due + speed() * seconds;
  const before = state.written;
  // Who has scrolled up reads there.
  state.follow ||= text.isAtEnd;
  while (state.left > 0 && state.due >= 1 && performance.now() < end) {
    writeSymbol();
    state.left--;
    state.due--;
    state.written++;
  }
  if (state.written === before) return;
  if (speed() <= SLOW) state.flow = 900 / speed();
  if (!state.left) pause();
}

function show() {
  fit();
  const k = moment(), record = reader.record(k - 1), { layer, unit } = state;
  shade();
  text.showPen(caret(), state.follow);
  bars.show(weigh(reader.logits(k)), weightsAt(k), text.ids[k]);
  for (let each = 0; each < network.L; each++) units.show(each, reader.memory(k - 1, each));
  strips.show(reader, k, layer, unit);
  const before = k ? reader.before(k - 1) : network.zeroState();
  const step = { before: before[layer], state: record.state[layer], gates: record.gates[layer] };
  cell.show(step, unit, vocabulary.name(k ? reader.ids[k - 1] : model.start));
  // What is read out waits until the page pauses.
  if (!state.writing || state.renamed) {
    bars.name();
    units.name((each) => reader.memory(k - 1, each)[unit]);
  }
  if (state.flow && !calm.matches) cell.flow(state.flow);
  Object.assign(state, { flow: 0, follow: false, renamed: false });
  $("reading").style.transform = `scaleX(${reader.length / Math.max(1, text.ids.length)})`;
  $("reading").classList.toggle("busy", reader.length < text.ids.length);
}

// Fit the canvases to the page. Its height changes with an equation's length, which fits as it is.
function fit() {
  const size = `${document.querySelector("main").clientWidth} ${devicePixelRatio}`;
  if (size === fitted) return;
  fitted = size;
  units.resize();
  strips.resize();
  hideTip();
}

// Colour the characters that were read since the last time.
function shade() {
  for (; state.shaded < text.characters.length; state.shaded++) {
    const { begin, end } = text.characters[state.shaded];
    if (end > reader.length) break;
    const level = Math.min(8, Math.floor(bitsOf(begin, end)));
    const bySurprise = level ? `s${level}` : "";
    text.shade(state.shaded, state.colouredBy === "unit" ? unitClass(end - 1) : bySurprise);
  }
}

function unitClass(k) {
  return stateClass(reader.memory(k, state.layer)[state.unit]);
}

// The surprise of a character: that of its symbols together.
function bitsOf(begin, end) {
  return reader.bits.slice(begin, end).reduce((sum, bits) => sum + bits, 0);
}

// ---- What was expected at a character, and which earlier ones mattered to it

function point(index, where = text.characters[index]?.span) {
  if (index === state.pointed && !tip.hidden) return;
  hideTip();
  const character = text.characters[index];
  if (!character || character.end > reader.length) return;
  state.pointed = index;
  character.span.classList.add("at");
  showTip(character);
  placeTip(where);
  if (!state.writing) lookBackTimer = setTimeout(markLookBack, REST, character.begin);
}

// Of a character of several bytes, what was expected is that of the first one, as in a report.
function showTip({ begin, end, string }) {
  const p = weigh(reader.logits(begin)), came = reader.ids[begin], order = likeliest(p, 5);
  if (!order.includes(came)) order.push(came);
  const [head, name] = make("p", "kbd");
  name.textContent = end - begin > 1 ? string : vocabulary.name(came);
  head.append(name, label("came", bitsOf(begin, end).toFixed(1)));
  tip.replaceChildren(head, ...order.map((id) => row(vocabulary.name(id), p[id], id === came)));
}

// Where there is no room for the tip below, it goes beside: what is above is what mattered.
function placeTip(where) {
  const box = where.getBoundingClientRect(), left = box.right + 12;
  place(box);
  const room = document.documentElement.clientWidth - tip.offsetWidth - 8;
  if (tip.getBoundingClientRect().bottom > box.top || left > room) return;
  tip.style.left = `${left + scrollX}px`;
  tip.style.top = `${innerHeight - tip.offsetHeight - 8 + scrollY}px`;
}

// Underline the characters before symbol k by the gradient of its log-probability: the largest
// fully, the others by their square root, since they soon become small.
function markLookBack(k) {
  const norms = lookBack(network, reader, k, LOOK_BACK), first = k - norms.length;
  const most = Math.max(...norms);
  for (let index = state.pointed - 1; most > 0 && index >= 0; index--) {
    const { begin, end, span } = text.characters[index];
    if (begin < first) return;
    const norm = Math.max(...norms.slice(begin - first, end - first));
    const level = Math.round(8 * Math.sqrt(norm / most));
    if (!level) continue;
    span.classList.add(`b${level}`);
    state.marked.push([span, `b${level}`]);
  }
}

function hideTip() {
  clearTimeout(lookBackTimer);
  text.characters[state.pointed]?.span.classList.remove("at");
  for (const [span, name] of state.marked) span.classList.remove(name);
  Object.assign(state, { marked: [], pointed: -1 });
  tip.hidden = true;
}

// ---- A unit

function choose(layer, unit) {
  Object.assign(state, { layer, unit });
  colourBy("unit");
  const memory = reader.memory(moment() - 1, layer)[unit];
  if (!state.writing) say(label("unitState", layer, unit, signed(memory)));
}

function colourBy(what) {
  state.colouredBy = what;
  state.shaded = 0;
  document.querySelector(`input[name=colour][value=${what}]`).checked = true;
  $("by-surprise-legend").hidden = what !== "surprise";
  $("by-unit-legend").hidden = what !== "unit";
  showUnit();
  ask();
}

function showUnit() {
  const { layer, unit } = state;
  units.showChosen(layer, unit);
  $("by-unit").textContent = label("byUnit", layer, unit);
  $("cell-name").textContent = label("cellName", model.cell.toUpperCase(), layer, unit);
  $("gates-name").textContent = label("gatesName", layer);
  const pressed = state.colouredBy === "unit" && `${layer}.${unit}`;
  for (const chip of $("found").children)
    chip.setAttribute("aria-pressed", chip.dataset.unit === pressed);
}

function showFound() {
  $("found").replaceChildren(...model.units.map(({ layer, unit, property, r }) => {
    const [chip, number] = make("button", "small");
    chip.type = "button";
    chip.dataset.unit = `${layer}.${unit}`;
    number.textContent = `${layer}.${unit}, r = ${signed(r)}`;
    chip.append(label(property), number);
    chip.addEventListener("click", () => choose(layer, unit));
    return chip;
  }));
}

// ---- Words

// Read words out; some are for all to see.
function say(words, seen = false) {
  $("status").textContent = words;
  $("status").classList.toggle("seen", seen);
}

// The whole number that a field gives, within its bounds.
function number(id) {
  const { value, min, max } = $(id);
  return Math.min(max, Math.max(min, Math.floor(Number(value)) || 0));
}

function symbolName() {
  return label(model.level === "byte" ? "byte" : "character");
}

function showTransport() {
  const icon = state.writing ? "M1 0h3v10h-3zM6 0h3v10h-3z" : "M1 0l8.5 5l-8.5 5z";
  $("write").querySelector("path").setAttribute("d", icon);
  $("write").querySelector("span").textContent = label(state.writing ? "pause" : "write");
  document.body.classList.toggle("writing", state.writing);
}

function showSettings() {
  const { temperature, topK, topP, minP } = settings();
  const words = {
    temperature: temperature.toFixed(2), topK: topK ?? label("all"),
    topP: topP?.toFixed(2) ?? label("all"), minP: minP?.toFixed(2) ?? label("off"),
    speed: speed() === Infinity ? label("fastest") : label("perSecond", speed()),
  };
  for (const id in words) {
    $(id).nextElementSibling.textContent = words[id];
    $(id).setAttribute("aria-valuetext", words[id]);
  }
}

function showLead() {
  const symbol = symbolName(), { trained_on: name, validation } = model;
  const size = `${model.layers} × ${model.hidden.toLocaleString(language)}`;
  const kB = Math.round(model.bytes / 1e3);
  const bytes = kB < 1e3 ? `${kB}\u00a0kB` : `${(kB / 1e3).toFixed(1)}\u00a0MB`;
  $("lead").textContent = [
    label("network", symbol, model.cell === "rnn" ? "tanh RNN" : model.cell.toUpperCase(), size),
    name && label("trainedOn", name),
    validation !== null && label("validation", validation.toFixed(3), symbol),
    label("parameters", model.parameters.toLocaleString(language), bytes),
  ].filter(Boolean).join(" ");
}

function showWords() {
  state.renamed = true;
  labelElements();
  showLead();
  $("made").textContent = label("made", model.version);
  $("units-note").textContent = label("unitsNote", model.cell === "lstm" ? "tanh c" : "h");
  $("gates-note").textContent = label(network.gates.length ? "gatesNote" : "noGates");
  cell.name();
  strips.name();
  showFound();
  showUnit();
  showTransport();
  showSettings();
}

// ---- Controls

const clicks = { write, step: () => take(), back, undo, restart };
for (const id in clicks) $(id).addEventListener("click", clicks[id]);
for (const id of ["temperature", "topK", "topP", "minP", "speed"])
  $(id).addEventListener("input", () => {
    showSettings();
    ask();
  });
for (const id of ["length", "seed"])
  $(id).addEventListener("change", () => { $(id).value = number(id); });
for (const choice of document.querySelectorAll("input[name=colour]"))
  choice.addEventListener("change", () => colourBy(choice.value));
$("language").addEventListener("click", () => {
  language = OTHER[language][0];
  showWords();
  say("");
  ask();
});

// On a touch screen the keyboard comes when it is asked for, not at every tap.
if (matchMedia("(pointer: coarse)").matches) input.inputMode = "none";
$("type").addEventListener("click", () => {
  const types = input.inputMode === "none";
  input.inputMode = types ? "text" : "none";
  $("type").setAttribute("aria-pressed", types);
  input.blur();
  if (types) input.focus();
});

// Who types, or moves the caret, pauses what is being written; a finger may scroll it.
input.addEventListener("beforeinput", (event) => {
  pause();
  if (event.inputType === "historyUndo") {
    event.preventDefault();
    undo();
  } else if (!event.isComposing) remember(event.inputType);
});
input.addEventListener("pointerdown", (event) => {
  if (event.pointerType !== "touch") pause();
});
input.addEventListener("input", (event) => {
  // A syllable that is being composed is not read yet; the textarea shows it.
  if (!event.isComposing) takeInput();
});
input.addEventListener("compositionstart", () => {
  remember("insertText");
  document.body.classList.add("composing");
});
input.addEventListener("compositionend", () => {
  document.body.classList.remove("composing");
  takeInput();
});
document.addEventListener("selectionchange", () => {
  if (document.activeElement === input && !state.writing) ask();
});

input.addEventListener("keydown", (event) => {
  if (event.isComposing) return;
  if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) {
    event.preventDefault();
    write();
  } else if (!/^(Tab|Shift|Control|Alt|Meta)$/.test(event.key)) pause();
  if (event.key === "Escape") hideTip();
});
// The browser knows nothing of what the page has written. The fields of numbers have its undo.
document.addEventListener("keydown", (event) => {
  const { key, ctrlKey, metaKey, shiftKey, altKey, isComposing, target } = event;
  const isUndo = /^[zㅋ]$/i.test(key) && (ctrlKey || metaKey) && !shiftKey && !altKey;
  if (!isUndo || isComposing || target.type === "number") return;
  event.preventDefault();
  undo();
});
// Walking with the keys points at the character before the caret, the last one that was read.
input.addEventListener("keyup", (event) => {
  if (!/^(Arrow|Home|End|Page)/.test(event.key)) return;
  state.follow = true;
  ask();
  requestAnimationFrame(() => point(text.caret - 1));
});

const pointAt = ({ clientX, clientY }) => point(text.indexAtPoint(clientX, clientY));
input.addEventListener("click", (event) => {
  pause();
  pointAt(event);
});
input.addEventListener("pointermove", (event) => {
  if (event.pointerType !== "touch" && !event.buttons) pointAt(event);
});
input.addEventListener("pointerleave", (event) => {
  if (event.pointerType === "mouse") hideTip();
});
input.addEventListener("blur", hideTip);
document.addEventListener("pointerdown", (event) => {
  if (!$("field").contains(event.target)) hideTip();
});
// The text may stay in view where the page passes under it, and the tip stays with it.
addEventListener("scroll", () => {
  if (!tip.hidden) placeTip(text.characters[state.pointed].span);
});

new ResizeObserver(ask).observe(document.querySelector("main"));
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => {
  fitted = "";
  ask();
});

$("topK").max = $("topK").value = Math.min(40, network.V);
showWords();
setIds(text.encode(model.text).ids);
