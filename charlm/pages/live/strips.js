// The gates of a layer over the characters before the caret. A column is a symbol, a row some
// units: the stronger, the wider open. Under it the chosen unit's own gate, as bars.
"use strict";

const COLUMN = 12, UNITS_HEIGHT = 44, BARS_HEIGHT = 24, NAMES_HEIGHT = 18, MOST_ROWS = 44;
// In the order of the equations: what is kept, written and shown. g and n are candidates, no gates.
const STRIPS = ["f", "i", "o", "r", "z"];

function meanOf(values) {
  return values.reduce((sum, value) => sum + value, 0) / values.length;
}

class Strips {
  constructor(parent, gates, vocabulary, { point, leave }) {
    this.vocabulary = vocabulary;
    [this.image] = make("canvas"); // a pixel a symbol and row
    this.first = 0; // the symbol of the first column
    this.strips = STRIPS.filter((gate) => gates.includes(gate)).map((gate) => {
      const [figure, title, letter] = make("figure", "figcaption", "em");
      const [meaning, now, canvas] = make("span", "span", "canvas");
      letter.textContent = gate;
      now.className = "now";
      canvas.setAttribute("role", "img");
      title.append(letter, meaning, now);
      figure.append(title, canvas);
      parent.append(figure);
      canvas.addEventListener("pointermove", ({ offsetX }) => {
        point(this.first + Math.floor(offsetX / COLUMN), canvas);
      });
      canvas.addEventListener("pointerleave", leave);
      return { gate, meaning, now, canvas };
    });
  }

  resize() {
    const style = getComputedStyle(document.body);
    this.ink = style.color.match(/[\d.]+/g).slice(0, 3).map(Number);
    this.muted = style.getPropertyValue("--muted");
    this.accent = style.getPropertyValue("--one");
    this.font = `11px ${style.getPropertyValue("--mono")}`;
    const height = UNITS_HEIGHT + BARS_HEIGHT + NAMES_HEIGHT;
    for (const { canvas } of this.strips) {
      const width = canvas.parentNode.clientWidth;
      this.count = Math.max(1, Math.floor(width / COLUMN));
      canvas.style.height = `${height}px`;
      canvas.width = width * devicePixelRatio;
      canvas.height = height * devicePixelRatio;
    }
  }

  // Show the gates of the symbols before position k of what has been read.
  show(reader, k, layer, unit) {
    if (!this.strips.length) return;
    this.first = Math.max(0, k - this.count);
    const ids = reader.ids.slice(this.first, k);
    const records = ids.map((_, column) => reader.record(this.first + column).gates[layer]);
    for (const { gate, now, canvas } of this.strips) {
      const context = canvas.getContext("2d"), values = records.map((gates) => gates[gate]);
      context.setTransform(devicePixelRatio, 0, 0, devicePixelRatio, 0, 0);
      context.clearRect(0, 0, canvas.width, canvas.height);
      now.textContent = "";
      if (!values.length) continue;
      this.drawUnits(context, values);
      this.drawUnit(context, values, unit);
      this.drawNames(context, ids);
      const last = values.at(-1);
      now.textContent = label("gateNow", signed(meanOf(last)), signed(last[unit]));
    }
  }

  drawUnits(context, values) {
    const H = values[0].length, rows = Math.min(H, MOST_ROWS);
    const begin = (row) => Math.floor((row * H) / rows), pixels = new ImageData(values.length, rows);
    values.forEach((gate, column) => {
      for (let row = 0; row < rows; row++) {
        const mean = meanOf(gate.subarray(begin(row), begin(row + 1)));
        pixels.data.set([...this.ink, 235 * mean], 4 * (row * values.length + column));
      }
    });
    Object.assign(this.image, { width: values.length, height: rows });
    this.image.getContext("2d").putImageData(pixels, 0, 0);
    context.imageSmoothingEnabled = false;
    context.drawImage(this.image, 0, 0, values.length * COLUMN, UNITS_HEIGHT);
  }

  drawUnit(context, values, unit) {
    const ground = UNITS_HEIGHT + BARS_HEIGHT;
    context.fillStyle = this.accent;
    values.forEach((gate, column) => {
      const height = Math.max(1, gate[unit] * (BARS_HEIGHT - 3));
      context.fillRect(column * COLUMN + 1, ground - height, COLUMN - 2, height);
    });
  }

  drawNames(context, ids) {
    Object.assign(context, { fillStyle: this.muted, font: this.font, textAlign: "center" });
    ids.forEach((id, column) => {
      const name = this.vocabulary.name(id), shown = [...name].length === 1 ? name : "·";
      context.fillText(shown, (column + 0.5) * COLUMN, UNITS_HEIGHT + BARS_HEIGHT + 13);
    });
  }

  // Write what the gates are called.
  name() {
    for (const { gate, meaning, canvas } of this.strips) {
      meaning.textContent = label(gate);
      canvas.setAttribute("aria-label", label(gate));
    }
  }
}
