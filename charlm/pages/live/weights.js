// The model as the page holds it: JSON, its arrays in base64, little-endian as in every browser.
//
//   float16   1 sign bit, 5 of the exponent e, 10 of the fraction m (IEEE 754 binary16)
//             e = 0         ± m / 1024 * 2^-14          subnormal
//             e = 1 .. 30   ± (1 + m / 1024) * 2^(e-15)
"use strict";

// Return the content of the model's element; `arrays` are Float32Arrays by name, rows in order.
function decodeModel(element) {
  const model = JSON.parse(element.textContent);
  const decode = model.dtype === "float16" ? decodeFloat16 : decodeFloat32;
  const pairs = model.arrays.map(({ name, data }) => [name, decode(decodeBase64(data))]);
  return { ...model, arrays: Object.fromEntries(pairs) };
}

function decodeBase64(text) {
  const binary = atob(text), bytes = new Uint8Array(binary.length);
  for (let k = 0; k < bytes.length; k++) bytes[k] = binary.charCodeAt(k);
  return bytes.buffer;
}

function decodeFloat32(buffer) {
  return new Float32Array(buffer);
}

function decodeFloat16(buffer) {
  const halves = new Uint16Array(buffer), floats = new Float32Array(halves.length);
  // What one unit of the fraction is worth.
  const units = Float64Array.from({ length: 31 }, (_, e) => 2 ** (Math.max(e, 1) - 25));
  for (let k = 0; k < halves.length; k++) {
    const half = halves[k], e = (half >> 10) & 31, m = half & 1023;
    const size = units[e] * (e === 0 ? m : 1024 + m);
    floats[k] = half & 0x8000 ? -size : size;
  }
  return floats;
}
