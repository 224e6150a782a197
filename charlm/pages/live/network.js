// The network, one time step at a time: id -> input -> L recurrent layers -> logits.
//
//   x = E[:, id], or one-hot      input of the first layer; the h of each is the next one's input
//   z = W @ y + b                 logits of the next symbol, from the top layer's h
//
// The cells are written with the numbers of charlm/nn/reference.py; gradient.js goes through them
// in reverse. Weights lie row by row; a layer's are (gates H, D) and (gates H, H).
"use strict";

class Network {
  constructor(model) {
    const { arrays, cell } = model;
    this.cell = cell;
    this.L = model.layers;
    this.H = model.hidden;
    this.V = model.symbols;
    this.D = model.embedding || model.symbols;
    this.gates = CELLS[cell].gates;
    this.boundary = model.boundary; // the symbol that ends each independent item, or null
    this.embedding = arrays["embedding.W"]; // none of one-hot input
    this.layers = Array.from({ length: this.L }, (_, k) => {
      const part = (name) => arrays[`${cell}.${k}.${name}`];
      return { Wx: part("Wx"), Wh: part("Wh"), bx: part("b") ?? part("bx"), bh: part("bh") };
    });
    this.output = { W: arrays["output.W"], b: arrays["output.b"] };
    this.firstProducts = [];
  }

  zeroState() {
    const zeros = () => CELLS[this.cell].states.map((name) => [name, new Float32Array(this.H)]);
    return Array.from({ length: this.L }, () => Object.fromEntries(zeros()));
  }

  // Return the state that enters the time step at which a symbol is read: zero where a new
  // independent item begins.
  entering(state, id) {
    return id === this.boundary ? this.zeroState() : state;
  }

  // Read a symbol; return the logits of the next one, the state that leaves, and the gates.
  step(state, id) {
    const cell = CELLS[this.cell], leaving = [], gates = [];
    let h = null;
    this.entering(state, id).forEach((entering, k) => {
      const layer = this.layers[k];
      const ax = k ? multiply(layer.Wx, h, layer.bx) : this.firstProduct(id);
      const step = cell.step(layer, ax, entering);
      leaving.push(step.state);
      gates.push(step.gates);
      h = step.state.h;
    });
    return { logits: multiply(this.output.W, h, this.output.b), state: leaving, gates };
  }

  // Wx @ x + bx of the first layer is the same wherever a symbol occurs: it is computed once.
  firstProduct(id) {
    const { Wx, bx } = this.layers[0];
    return (this.firstProducts[id] ??= multiply(Wx, this.column(id), bx));
  }

  column(id) {
    const { D, V, embedding } = this;
    if (embedding) return Float32Array.from({ length: D }, (_, row) => embedding[row * V + id]);
    const oneHot = new Float32Array(D);
    oneHot[id] = 1;
    return oneHot;
  }
}

// Each cell computes a time step from `ax`, Wx @ x and its bias, and the state that enters.
const CELLS = {
  lstm: { gates: ["i", "f", "o", "g"], states: ["h", "c"], step: stepLSTM },
  gru: { gates: ["r", "z", "n"], states: ["h"], step: stepGRU },
  rnn: { gates: [], states: ["h"], step: stepRNN },
};

function stepLSTM({ Wh }, ax, { h, c }) {
  const H = h.length, hNext = new Float32Array(H), cNext = new Float32Array(H);
  const [i, f, o, g] = blocks(multiply(Wh, h, ax), H);
  for (let k = 0; k < H; k++) {
    // 1. the gates: how much is written, kept and shown; and what would be written
    i[k] = sigmoid(i[k]);
    f[k] = sigmoid(f[k]);
    o[k] = sigmoid(o[k]);
    g[k] = Math.tanh(g[k]);
    // 2. the cell state
    cNext[k] = f[k] * c[k] + i[k] * g[k];
    // 3. the hidden state
    hNext[k] = o[k] * Math.tanh(cNext[k]);
  }
  return { state: { h: hNext, c: cNext }, gates: { i, f, o, g } };
}

function stepGRU({ Wh, bh }, ax, { h }) {
  const H = h.length, hNext = new Float32Array(H);
  const [axR, axZ, axN] = blocks(ax, H), [r, z, n] = blocks(multiply(Wh, h, bh), H);
  for (let k = 0; k < H; k++) {
    // 1. the gates: how much of h the candidate sees, and how much of h is kept
    r[k] = sigmoid(axR[k] + r[k]);
    z[k] = sigmoid(axZ[k] + z[k]);
    // 2. the candidate
    n[k] = Math.tanh(axN[k] + r[k] * n[k]);
    // 3. the hidden state
    hNext[k] = (1 - z[k]) * n[k] + z[k] * h[k];
  }
  return { state: { h: hNext }, gates: { r, z, n } };
}

function stepRNN({ Wh }, ax, { h }) {
  // 1. the hidden state
  return { state: { h: multiply(Wh, h, ax).map(Math.tanh) }, gates: {} };
}

function sigmoid(a) {
  return 1 / (1 + Math.exp(-a));
}

// Return views of a vector's blocks of H numbers each.
function blocks(vector, H) {
  const count = vector.length / H;
  return Array.from({ length: count }, (_, k) => vector.subarray(k * H, (k + 1) * H));
}

// Return W @ x + b; four rows at a time, whose sums do not wait for one another, and two columns.
function multiply(W, x, b) {
  const M = b.length, K = x.length, a = b.slice(), fours = M - (M % 4);
  for (let m = 0; m < fours; m += 4) {
    const row0 = m * K, row1 = row0 + K, row2 = row1 + K, row3 = row2 + K;
    let sum0 = 0, sum1 = 0, sum2 = 0, sum3 = 0;
    for (let k = 0; k + 1 < K; k += 2) {
      const x0 = x[k], x1 = x[k + 1];
      sum0 += W[row0 + k] * x0 + W[row0 + k + 1] * x1;
      sum1 += W[row1 + k] * x0 + W[row1 + k + 1] * x1;
      sum2 += W[row2 + k] * x0 + W[row2 + k + 1] * x1;
      sum3 += W[row3 + k] * x0 + W[row3 + k + 1] * x1;
    }
    a[m] += sum0;
    a[m + 1] += sum1;
    a[m + 2] += sum2;
    a[m + 3] += sum3;
  }
  // The last column of an odd number, and the rows that are left.
  if (K % 2) for (let m = 0; m < fours; m++) a[m] += W[m * K + K - 1] * x[K - 1];
  for (let m = fours; m < M; m++) {
    let sum = 0;
    for (let k = 0; k < K; k++) sum += W[m * K + k] * x[k];
    a[m] += sum;
  }
  return a;
}
