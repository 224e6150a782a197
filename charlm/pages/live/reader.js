// A text as the network reads it: what was expected at each symbol, and the states and gates after.
//
//   zero state -> start -> symbol 0 -> symbol 1 -> ...        position k is after k symbols
//
//   bits_k = -log2 p(symbol k | start, symbol 0, ..., symbol k-1)
//
// A symbol's record takes some 12 kB of a 2 x 256 LSTM. So records are kept in blocks, the most
// recently used of them up to a bound; another block is computed again from the record before it,
// which is always kept.
"use strict";

const BLOCK = 64;
const MOST_BYTES = 128 * 2 ** 20;

class Reader {
  constructor(network, vocabulary) {
    this.network = network;
    this.vocabulary = vocabulary;
    this.ids = [];
    this.bits = [];
    this.start = network.step(network.zeroState(), vocabulary.start);
    this.entries = []; // the record before each block
    this.blocks = new Map(); // block number -> records, the most recently used last
    const numbers = network.V + network.L * network.H * (network.gates.length + 2);
    this.mostBlocks = Math.max(4, Math.floor(MOST_BYTES / (4 * numbers * BLOCK)));
  }

  get length() {
    return this.ids.length;
  }

  // Read one more symbol.
  push(id) {
    const k = this.length, before = this.record(k - 1);
    if (k % BLOCK === 0) {
      this.entries.push(before);
      this.blocks.set(k / BLOCK, []);
    }
    const block = this.block(Math.floor(k / BLOCK));
    this.bits.push(-logProbabilities(before.logits)[id] / Math.LN2);
    block.push(this.network.step(before.state, id));
    this.ids.push(id);
  }

  // Read another text; what both have in common at the beginning is not read again.
  setText(ids) {
    let common = 0;
    while (common < Math.min(ids.length, this.length) && ids[common] === this.ids[common]) common++;
    this.truncate(common);
    for (let k = common; k < ids.length; k++) this.push(ids[k]);
  }

  // Return to position k.
  truncate(k) {
    if (k >= this.length) return;
    this.ids.length = this.bits.length = k;
    this.entries.length = Math.ceil(k / BLOCK);
    for (const [number, block] of [...this.blocks]) {
      if (number >= this.entries.length) this.blocks.delete(number);
      else block.length = Math.min(block.length, k - number * BLOCK);
    }
  }

  // Return the logits of symbol k, k = 0 .. length.
  logits(k) {
    return this.record(k - 1).logits;
  }

  // Return the symbols that are never drawn at position k: the unknown one, and the one that ends
  // an item where the item would be empty.
  banned(k) {
    const { boundary } = this.network, { unknown, start, size } = this.vocabulary;
    const never = unknown === null ? [] : [unknown];
    const isEmpty = boundary !== null && (k ? this.ids[k - 1] : start) === boundary;
    return isEmpty && size - never.length > 1 ? [...never, boundary] : never;
  }

  // Return the surprise of symbol k, in bits.
  surprise(k) {
    return this.bits[k];
  }

  probability(k) {
    return 2 ** -this.bits[k];
  }

  // Return the logits, the state and the gates after symbol k; of the start symbol for k = -1.
  record(k) {
    return k < 0 ? this.start : this.block(Math.floor(k / BLOCK))[k % BLOCK];
  }

  // Return the state that enters where symbol k is read.
  before(k) {
    return this.network.entering(this.record(k - 1).state, this.ids[k]);
  }

  // Return what a layer remembers after symbol k, from -1 to 1: tanh(c) of an LSTM, else h.
  memory(k, layer) {
    const { h, c } = this.record(k).state[layer];
    return c ? c.map(Math.tanh) : h;
  }

  // Return the records of a block, and count it as the most recently used.
  block(number) {
    const block = this.blocks.get(number) ?? this.read(number);
    this.blocks.delete(number);
    this.blocks.set(number, block);
    if (this.blocks.size > this.mostBlocks) this.blocks.delete(this.blocks.keys().next().value);
    return block;
  }

  read(number) {
    const block = [];
    let { state } = this.entries[number];
    for (const id of this.ids.slice(number * BLOCK, (number + 1) * BLOCK)) {
      block.push(this.network.step(state, id));
      ({ state } = block.at(-1));
    }
    return block;
  }
}

// Return ln p of every symbol: z - ln sum exp(z).
function logProbabilities(logits) {
  let top = -Infinity, sum = 0;
  for (const z of logits) top = Math.max(top, z);
  for (const z of logits) sum += Math.exp(z - top);
  const logSum = top + Math.log(sum);
  return Float64Array.from(logits, (z) => z - logSum);
}
