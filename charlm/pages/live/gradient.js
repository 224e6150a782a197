// How much each earlier symbol mattered to one: a gradient, by backpropagation through time.
//
//   norms_j = || d ln p(symbol k) / d x_j ||        x_j: the first layer's input at symbol j < k
//
// Backward goes through the equations of network.js in reverse order; dq is the gradient of q.
"use strict";

// Return the norms of symbol k for j = max(0, k - most) .. k-1.
function lookBack(network, reader, k, most = 200) {
  const { L, H, D, layers, output } = network;
  const first = Math.max(0, k - most), norms = new Float32Array(k - first);
  const backward = BACKWARD[network.cell], p = logProbabilities(reader.logits(k)).map(Math.exp);
  // d ln p_k / dz = [k] - p;  dy = W^T @ dz
  const dz = p.map((value, id) => (id === reader.ids[k] ? 1 - value : -value));
  let dx = multiplyTransposed(output.W, dz, H);
  let dstates = network.zeroState();
  for (let t = k - 1; t >= first; t--) {
    const entering = reader.before(t), { state, gates } = reader.record(t);
    const earlier = [];
    for (let layer = L - 1; layer >= 0; layer--) {
      const dstate = dstates[layer];
      const dh = dx ? dstate.h.map((value, j) => value + dx[j]) : dstate.h;
      const step = { entering: entering[layer], state: state[layer], gates: gates[layer] };
      const found = backward(layers[layer], step, dh, dstate.c);
      dx = multiplyTransposed(layers[layer].Wx, found.dax, layer ? H : D);
      earlier[layer] = found.dstate;
    }
    norms[t - first] = Math.sqrt(dx.reduce((sum, value) => sum + value ** 2, 0));
    // The state that entered is zero where an item begins: what was before it did not matter.
    if (reader.ids[t] === network.boundary) break;
    // Only symbol k's probability counts, which the last time step alone leads to directly.
    dx = null;
    dstates = earlier;
  }
  return norms;
}

// Each takes a time step back: from the gradient of the state that leaves to that of
// ax = Wx @ x + bx, and of the state that enters.
const BACKWARD = { lstm: backwardLSTM, gru: backwardGRU, rnn: backwardRNN };

function backwardLSTM({ Wh }, { entering, state, gates }, dh, dcNext) {
  const H = dh.length, { i, f, o, g } = gates;
  const da = new Float32Array(4 * H), [dai, daf, dao, dag] = blocks(da, H);
  const dc = new Float32Array(H);
  for (let k = 0; k < H; k++) {
    // 3. the hidden state
    const tanhC = Math.tanh(state.c[k]), doK = dh[k] * tanhC;
    const dcK = dcNext[k] + dh[k] * o[k] * (1 - tanhC ** 2);
    // 2. the cell state
    const df = dcK * entering.c[k], di = dcK * g[k], dg = dcK * i[k];
    dc[k] = dcK * f[k];
    // 1. the gates
    dai[k] = di * i[k] * (1 - i[k]);
    daf[k] = df * f[k] * (1 - f[k]);
    dao[k] = doK * o[k] * (1 - o[k]);
    dag[k] = dg * (1 - g[k] ** 2);
  }
  return { dax: da, dstate: { h: multiplyTransposed(Wh, da, H), c: dc } };
}

function backwardGRU({ Wh, bh }, { entering, gates }, dh) {
  const H = dh.length, { r, z, n } = gates, { h } = entering;
  const ahN = blocks(multiply(Wh, h, bh), H)[2];
  const dax = new Float32Array(3 * H), dah = new Float32Array(3 * H);
  const [daR, daZ, daN] = blocks(dax, H), [dahR, dahZ, dahN] = blocks(dah, H);
  for (let k = 0; k < H; k++) {
    // 3. the hidden state
    const dn = dh[k] * (1 - z[k]), dz = dh[k] * (h[k] - n[k]);
    // 2. the candidate
    daN[k] = dn * (1 - n[k] ** 2);
    dahN[k] = daN[k] * r[k];
    const dr = daN[k] * ahN[k];
    // 1. the gates
    daR[k] = dahR[k] = dr * r[k] * (1 - r[k]);
    daZ[k] = dahZ[k] = dz * z[k] * (1 - z[k]);
  }
  const through = multiplyTransposed(Wh, dah, H);
  return { dax, dstate: { h: through.map((value, k) => value + dh[k] * z[k]) } };
}

function backwardRNN({ Wh }, { state }, dh) {
  // 1. the hidden state
  const dax = dh.map((value, k) => value * (1 - state.h[k] ** 2));
  return { dax, dstate: { h: multiplyTransposed(Wh, dax, dh.length) } };
}

// Return W^T @ da, K numbers; four rows at a time, so that sums are loaded and stored less often.
function multiplyTransposed(W, da, K) {
  const M = da.length, dx = new Float32Array(K), fours = M - (M % 4);
  for (let m = 0; m < fours; m += 4) {
    const row0 = m * K, row1 = row0 + K, row2 = row1 + K, row3 = row2 + K;
    const da0 = da[m], da1 = da[m + 1], da2 = da[m + 2], da3 = da[m + 3];
    for (let k = 0; k < K; k++)
      dx[k] += W[row0 + k] * da0 + W[row1 + k] * da1 + W[row2 + k] * da2 + W[row3 + k] * da3;
  }
  for (let m = fours; m < M; m++) for (let k = 0; k < K; k++) dx[k] += W[m * K + k] * da[m];
  return dx;
}
