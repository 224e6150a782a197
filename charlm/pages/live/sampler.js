// Logits -> the distribution that the next symbol is drawn from, and the draw.
//
//   temperature   p = softmax(z / temperature); 0 is greedy
//   top-k         keep the k likeliest symbols
//   top-p         keep the likeliest, until their probabilities sum to p
//   min-p         keep those at least min_p times as likely as the likeliest
//
// They are applied in this order, each to what the previous ones kept, as in
// charlm/generation/filters.py.
"use strict";

// Return the probabilities to draw by; a filter that is null or left out keeps all. `banned` are
// ids that are never drawn.
function weigh(logits, { temperature = 1, topK, topP, minP } = {}, banned = []) {
  const z = new Float64Array(logits);
  for (const id of banned) z[id] = -Infinity;
  const likeliest = z.indexOf(z.reduce((a, b) => Math.max(a, b)));
  const top = z[likeliest];
  let weights = z.map((value) => Math.exp((value - top) / temperature));
  // At less the library is greedy too: of equals it takes the first.
  if (temperature < 1e-30) weights = z.map((_, id) => (id === likeliest ? 1 : 0));
  if (topK != null || topP != null) keepTop(weights, topK ?? weights.length, topP ?? 1);
  // The likeliest weighs 1.
  if (minP != null) weights = weights.map((weight) => (weight < minP ? 0 : weight));
  const sum = total(weights);
  return weights.map((weight) => weight / sum);
}

// Set to 0 what top-k and top-p leave out.
function keepTop(weights, topK, topP) {
  // Sorting is stable: of equals those with the lowest ids are kept.
  const order = Array.from(weights.keys()).sort((a, b) => weights[b] - weights[a]);
  for (const id of order.slice(topK)) weights[id] = 0;
  const most = topP * total(weights);
  let before = 0;
  for (const id of order) {
    const weight = weights[id];
    if (topP < 1 && before >= most) weights[id] = 0;
    before += weight;
  }
}

function total(weights) {
  return weights.reduce((sum, weight) => sum + weight, 0);
}

// Numbers that look random and depend on the seed alone: a counter of odd stride, each value
// scrambled. Source: Steele, Lea & Flood 2014, SplitMix, with 32 bits in place of 64 and the
// finalizer of Appleby's MurmurHash3.
class Random {
  constructor(seed) {
    this.counter = seed >>> 0;
  }

  // Return the next number, at least 0 and below 1.
  next() {
    this.counter = (this.counter + 0x9e3779b9) >>> 0;
    let bits = this.counter;
    bits = Math.imul(bits ^ (bits >>> 16), 0x85ebca6b);
    bits = Math.imul(bits ^ (bits >>> 13), 0xc2b2ae35);
    return ((bits ^ (bits >>> 16)) >>> 0) / 2 ** 32;
  }
}

// Return a symbol drawn by probabilities; one of probability 0 is never drawn.
function draw(probabilities, random) {
  let rest = random.next() * total(probabilities), drawn = -1;
  for (let id = 0; id < probabilities.length; id++) {
    if (probabilities[id] === 0) continue;
    drawn = id;
    rest -= probabilities[id];
    if (rest < 0) break;
  }
  return drawn;
}
