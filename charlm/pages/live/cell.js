// The cell as a drawing with the numbers of one unit at one time step, laid out as those of
// docs/theory.md. While the page writes slowly, the values run along the lines in the order of the
// equations: 1 the gates, 2 the memory, 3 the hidden state.
"use strict";

const SVG = "http://www.w3.org/2000/svg";
const TOP = 58, MIDDLE = 138, GATES = 206, BUS = 262, RIGHT = 520;
const HALF_BOX = { width: 29, height: 18 };

// What each cell is drawn of.
//   lines  the value that runs along it, its stage, its points; the memory's are in colour
//   boxes  the value in it, its place, and what it is: a gate, a candidate, or a tanh
//   signs  an operation and its place
//   notes  a value beside a line, its place and alignment
const DRAWINGS = {
  lstm: {
    lines: [
      ["", 1, [[0, BUS], [375, BUS]]], ["", 1, [[44, 300], [44, BUS]]],
      ...[90, 185, 280, 375].map((x) => ["", 1, [[x, BUS], [x, GATES]]]),
      ["c0", 2, [[0, TOP], [90, TOP]], "memory"], ["f", 2, [[90, GATES], [90, TOP]]],
      ["fc", 2, [[90, TOP], [232, TOP]], "memory"],
      ["i", 2, [[185, GATES], [185, MIDDLE], [232, MIDDLE]]],
      ["g", 2, [[280, GATES], [280, MIDDLE], [232, MIDDLE]]],
      ["ig", 2, [[232, MIDDLE], [232, TOP]]], ["c", 3, [[232, TOP], [RIGHT, TOP]], "memory"],
      ["c", 3, [[445, TOP], [445, 102]]], ["tanhC", 3, [[445, 102], [445, 164]]],
      ["o", 3, [[375, GATES], [375, 164], [445, 164]]],
      ["h", 3, [[445, 164], [445, BUS], [RIGHT, BUS]]],
    ],
    boxes: [
      ["f", 90, GATES, "forget"], ["i", 185, GATES, "input"], ["g", 280, GATES, "candidate"],
      ["o", 375, GATES, "output"], ["tanhC", 445, 102, "tanh"],
    ],
    signs: [["×", 90, TOP], ["+", 232, TOP], ["×", 232, MIDDLE], ["×", 445, 164]],
    notes: [
      ["c0", 2, 44, "start"], ["fc", 161, 44, "middle"], ["ig", 242, 102, "start"],
      ["c", 345, 44, "middle"], ["h", 518, 248, "end"],
    ],
  },
  gru: {
    lines: [
      ["", 1, [[0, BUS], [315, BUS]]], ["", 1, [[44, 300], [44, BUS]]],
      ...[90, 203, 315].map((x) => ["", 1, [[x, BUS], [x, GATES]]]),
      ["r", 2, [[203, GATES], [315, GATES]]], ["h0", 3, [[0, TOP], [90, TOP]], "memory"],
      ["z", 3, [[90, GATES], [90, TOP]]], ["zh", 3, [[90, TOP], [390, TOP]], "memory"],
      ["rest", 3, [[90, MIDDLE], [390, MIDDLE]]],
      ["n", 3, [[315, GATES], [390, GATES], [390, MIDDLE]]],
      ["nz", 3, [[390, MIDDLE], [390, TOP]]], ["h", 3, [[390, TOP], [RIGHT, TOP]], "memory"],
    ],
    boxes: [
      ["z", 90, GATES, "update"], ["r", 203, GATES, "reset"], ["n", 315, GATES, "candidate"],
    ],
    signs: [["×", 90, TOP], ["+", 390, TOP], ["×", 390, MIDDLE]],
    notes: [
      ["h0", 2, 44, "start"], ["zh", 240, 44, "middle"], ["rest", 240, 128, "middle"],
      ["nz", 400, 102, "start"], ["h", 518, 44, "end"],
    ],
  },
  rnn: {
    lines: [
      ["", 1, [[0, BUS], [260, BUS]]], ["", 1, [[44, 300], [44, BUS]]],
      ["a", 2, [[260, BUS], [260, 160]]], ["h", 3, [[260, 160], [RIGHT, 160]]],
    ],
    boxes: [["h", 260, 160, "tanh"]],
    signs: [],
    notes: [["a", 270, 224, "start"], ["h", 518, 146, "end"]],
  },
};

// How values are written; what stands in {} is lowered.
const WRITTEN = {
  c0: "c{t−1}", h0: "h{t−1}", c: "c{t}", h: "h{t}", a: "a{t}", fc: "f c{t−1}", ig: "i g",
  zh: "z h{t−1}", rest: "1 − z", nz: "(1 − z) n",
};

// The equations of docs/theory.md, what the right side is with numbers, and its value.
const EQUATIONS = {
  lstm: [
    ["c{t} = f c{t−1} + i g", (v) => `${v.f} · ${v.c0} + ${v.i} · ${v.g}`, "c"],
    ["h{t} = o tanh c{t}", (v) => `${v.o} · ${v.tanhC}`, "h"],
  ],
  gru: [["h{t} = z h{t−1} + (1 − z) n", (v) => `${v.z} · ${v.h0} + ${v.rest} · ${v.n}`, "h"]],
  rnn: [["h{t} = tanh a{t}", (v) => `tanh ${v.a}`, "h"]],
};

// Return the values of one unit at a time step, by the names above.
function cellValues(kind, { before, state, gates }, unit) {
  const v = { h0: before.h[unit], h: state.h[unit] };
  for (const gate in gates) v[gate] = gates[gate][unit];
  if (kind === "lstm") {
    Object.assign(v, { c0: before.c[unit], c: state.c[unit], tanhC: Math.tanh(state.c[unit]) });
    Object.assign(v, { fc: v.f * v.c0, ig: v.i * v.g });
  } else if (kind === "gru") {
    Object.assign(v, { zh: v.z * v.h0, rest: 1 - v.z, nz: (1 - v.z) * v.n });
  } else v.a = Math.atanh(v.h);
  return v;
}

class CellDrawing {
  constructor(parent, kind, equations) {
    const { lines, boxes, signs, notes } = DRAWINGS[kind], top = kind === "rnn" ? 110 : 26;
    this.kind = kind;
    this.svg = this.add("svg", { viewBox: `-6 ${top} 532 ${310 - top}`, role: "img" }, parent);
    this.svg.setAttribute("aria-labelledby", "cell-name");
    this.lines = lines.map((line) => this.line(...line));
    this.boxes = boxes.map((box) => this.box(...box));
    for (const sign of signs) this.sign(...sign);
    this.notes = notes.map(([name, ...place]) => {
      return { name, value: this.note(WRITTEN[name], ...place) };
    });
    this.note(WRITTEN.h0, 2, BUS - 10, "start");
    this.symbol = this.note("x{t}", 54, 300, "start");
    this.equations = EQUATIONS[kind].map((equation) => this.equation(equations, ...equation));
  }

  add(name, attributes, parent = this.svg) {
    const element = document.createElementNS(SVG, name);
    for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
    parent.append(element);
    return element;
  }

  line(name, stage, points, kind = "") {
    const d = `M${points.map((point) => point.join(" ")).join("L")}`;
    const line = this.add("path", { d, class: `wire ${kind}` });
    return { name, stage, line, pulse: this.add("path", { d, class: "pulse", pathLength: 1 }) };
  }

  // A box is filled as far as its value goes.
  box(name, x, y, meaning) {
    const { width, height } = HALF_BOX;
    const size = { x: x - width, y: y - height, width: 2 * width, height: 2 * height, rx: 6 };
    this.add("rect", { ...size, class: "box" });
    const level = this.add("rect", { ...size, class: "level" });
    this.add("rect", { ...size, class: "border" });
    const value = this.add("text", { x, y: y + 5, "text-anchor": "middle", class: "value" });
    const isGate = STRIPS.includes(name);
    const place = y === GATES ? { x, y: BUS + 20, "text-anchor": "middle" }
      : { x: x - width - 8, y: y + 5, "text-anchor": "end" };
    const title = this.add("text", { ...place, class: "meaning" });
    return { name, meaning, level, value, title, isGate, bottom: y + height };
  }

  sign(sign, x, y) {
    this.add("circle", { cx: x, cy: y, r: 12, class: "sign" });
    const turn = sign === "×" ? "rotate(45)" : "";
    const d = "M-5.5 0H5.5M0 -5.5V5.5", transform = `translate(${x} ${y}) ${turn}`;
    this.add("path", { d, transform, class: "stroke" });
  }

  // Write a name, and return the place of its value.
  note(written, x, y, anchor) {
    const text = this.add("text", { x, y, "text-anchor": anchor });
    const [letters, low, rest] = written.split(/[{}]/);
    this.add("tspan", { class: "letter" }, text).textContent = letters;
    if (low) this.add("tspan", { class: "letter low", dy: 4 }, text).textContent = low;
    if (rest) this.add("tspan", { class: "letter", dy: -4 }, text).textContent = rest;
    return this.add("tspan", { class: "value", dx: 6, dy: low && !rest ? -4 : 0 }, text);
  }

  equation(parent, written, write, result) {
    const [line, left, right, sum] = make("span", "em", "span", "b");
    written.split(/[{}]/).forEach((piece, k) => {
      left.append(...make(k % 2 ? "sub" : "span"));
      left.lastChild.textContent = piece;
    });
    line.append(left, right, sum);
    parent.append(line);
    return { write, result, right, sum };
  }

  // Show the numbers of a unit at a time step: the layer's state before and after it and its gates;
  // and the name of the symbol that was read.
  show(step, unit, symbol) {
    const v = cellValues(this.kind, step, unit), shown = {};
    for (const name in v) shown[name] = signed(v[name]);
    this.values = v;
    this.symbol.textContent = symbol;
    for (const { name, value } of this.notes) value.textContent = shown[name];
    for (const { name, level, value, isGate, bottom } of this.boxes) {
      const height = 2 * HALF_BOX.height * Math.abs(v[name]);
      value.textContent = shown[name];
      level.setAttribute("y", bottom - height);
      level.setAttribute("height", height);
      const sign = v[name] < 0 ? "negative" : "positive";
      level.setAttribute("class", `level ${isGate ? "gate" : sign}`);
    }
    for (const { name, line } of this.lines)
      if (name) line.style.strokeWidth = 1 + 3 * Math.min(1, Math.abs(v[name]));
    for (const { write, result, right, sum } of this.equations) {
      right.textContent = `= ${write(shown)}`;
      sum.textContent = `= ${shown[result]}`;
    }
  }

  // Let the values run along the lines once, in so many milliseconds.
  flow(duration) {
    for (const { name, stage, pulse } of this.lines) {
      const value = name ? this.values[name] : 0, part = duration / 3;
      pulse.style.stroke = name ? `rgb(var(${value < 0 ? "--low" : "--high"}))` : "var(--muted)";
      pulse.style.strokeWidth = 3 + 4 * Math.min(1, Math.abs(value));
      pulse.animate(
        { strokeDashoffset: [1.12, 0], opacity: [1, 1] },
        { duration: part, delay: (stage - 1) * part, easing: "ease-in-out" },
      );
    }
  }

  // Write what the boxes are called.
  name() {
    for (const { name, title, meaning } of this.boxes)
      title.textContent = meaning === "tanh" ? meaning : `${name}  ${label(meaning)}`;
  }
}
