// The units of each layer as a grid of squares, in the colours that page.css gives to states.
"use strict";

const SHADES = 5;

// Return a state's shade, from -5 to 5, as charlm/pages/coloured.py does.
function shadeOf(value) {
  return Math.round(Math.max(-1, Math.min(1, value)) * SHADES);
}

function stateClass(value) {
  const shade = shadeOf(value);
  return shade > 0 ? `p${shade}` : shade < 0 ? `n${-shade}` : "";
}

// Return the colours of the shades as an element has them, light or dark.
function stateColours(element) {
  const [probe] = make("i"), colours = [];
  element.append(probe);
  for (let shade = -SHADES; shade <= SHADES; shade++) {
    probe.className = stateClass(shade / SHADES);
    colours.push(getComputedStyle(probe).backgroundColor);
  }
  probe.remove();
  return colours;
}

class Units {
  constructor(parent, { L, H }, found, choose) {
    this.H = H;
    this.choose = choose;
    this.columns = H >= 128 ? 32 : H >= 32 ? 16 : Math.min(8, H);
    this.rows = Math.ceil(H / this.columns);
    this.grids = Array.from({ length: L }, (_, layer) => this.grid(parent, layer));
    for (const { layer, unit } of found) this.place(this.mark("known", layer), unit);
  }

  grid(parent, layer) {
    const [figure, name, frame, canvas] = make("figure", "figcaption", "div", "canvas");
    frame.className = "grid";
    frame.tabIndex = 0;
    frame.style.aspectRatio = `${this.columns} / ${this.rows}`;
    // A slider over the units' numbers is what a screen reader knows of a grid to walk in.
    const slider = { role: "slider", "aria-valuemin": 0, "aria-valuemax": this.H - 1 };
    for (const key in slider) frame.setAttribute(key, slider[key]);
    frame.append(canvas);
    figure.append(name, frame);
    parent.append(figure);
    frame.addEventListener("pointerdown", (event) => this.pointed(event, layer));
    frame.addEventListener("pointermove", (event) => {
      if (event.buttons) this.pointed(event, layer);
    });
    frame.addEventListener("keydown", (event) => this.walk(event, layer));
    return { name, frame, canvas, shades: new Int8Array(this.H) };
  }

  // Outline a square.
  mark(name, layer) {
    const [mark] = make("i");
    mark.className = name;
    mark.style.width = `calc(var(--side) * ${100 / this.columns}%)`;
    mark.style.height = `calc(var(--side) * ${100 / this.rows}%)`;
    this.grids[layer].frame.append(mark);
    return mark;
  }

  place(mark, unit) {
    mark.style.left = `${(100 * (unit % this.columns)) / this.columns}%`;
    mark.style.top = `${(100 * Math.floor(unit / this.columns)) / this.rows}%`;
  }

  pointed(event, layer) {
    const box = this.grids[layer].frame.getBoundingClientRect();
    const column = Math.floor(((event.clientX - box.left) / box.width) * this.columns);
    const row = Math.floor(((event.clientY - box.top) / box.height) * this.rows);
    const unit = row * this.columns + column;
    if (column < 0 || column >= this.columns || row < 0 || unit >= this.H) return;
    if (unit !== this.unit || layer !== this.layer) this.choose(layer, unit);
  }

  walk(event, layer) {
    const { unit, columns, H } = this;
    const to = {
      ArrowRight: unit + 1, ArrowLeft: unit - 1, ArrowDown: unit + columns, ArrowUp: unit - columns,
      Home: 0, End: H - 1, Enter: unit, " ": unit,
    }[event.key];
    if (to === undefined) return;
    event.preventDefault();
    if (to >= 0 && to < H) this.choose(layer, to);
  }

  // Fit the canvases to the page, in its colours.
  resize() {
    this.colours = stateColours(this.grids[0].frame);
    // Whole pixels a square, so that all gaps are equally wide.
    const pixels = this.grids[0].frame.clientWidth * devicePixelRatio;
    this.size = Math.max(2, Math.round(pixels / this.columns));
    this.side = this.size - (this.size > 6 ? Math.round(this.size / 9) : 0);
    for (const { frame, canvas, shades } of this.grids) {
      // Outlines have the squares' size, without the gap.
      frame.style.setProperty("--side", this.side / this.size);
      canvas.width = this.size * this.columns;
      canvas.height = this.size * this.rows;
      shades.fill(SHADES + 1); // none: all squares are drawn anew
    }
  }

  // Show the states of a layer's units; a square whose colour stays is not drawn.
  show(layer, states) {
    const { canvas, shades } = this.grids[layer], context = canvas.getContext("2d");
    const { side } = this;
    states.forEach((state, unit) => {
      const shade = shadeOf(state);
      if (shade === shades[unit]) return;
      shades[unit] = shade;
      const x = (unit % this.columns) * this.size, y = Math.floor(unit / this.columns) * this.size;
      context.clearRect(x, y, side, side);
      context.fillStyle = this.colours[shade + SHADES];
      context.fillRect(x, y, side, side);
    });
  }

  showChosen(layer, unit) {
    Object.assign(this, { layer, unit });
    this.chosen?.remove();
    this.chosen = this.mark("chosen", layer);
    this.place(this.chosen, unit);
  }

  // Name the grids, and read out the unit with the chosen number in each.
  name(stateOf) {
    this.grids.forEach(({ frame, name }, layer) => {
      name.textContent = label("layer", layer);
      frame.setAttribute("aria-label", label("layer", layer));
      frame.setAttribute("aria-valuenow", this.unit);
      const value = label("unitState", layer, this.unit, signed(stateOf(layer)));
      frame.setAttribute("aria-valuetext", value);
    });
  }
}
