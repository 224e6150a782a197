// All words of the page, in two languages: one table, one line a label.
"use strict";

const LABELS = {
  // Header and footer
  network: {
    en: (symbol, cell, size) => `A ${symbol}-level ${cell}, ${size} units.`,
    ko: (symbol, cell, size) => `유닛 ${size}개의 ${symbol} 단위 ${cell} 모델.`,
  },
  trainedOn: { en: (name) => `Trained on ${name}.`, ko: (name) => `학습한 글 ${name}.` },
  validation: {
    en: (loss, symbol) => `Validation loss ${loss} nats per ${symbol}.`,
    ko: (loss, symbol) => `검증 손실 ${symbol}당 ${loss} 냇.`,
  },
  parameters: {
    en: (count, bytes) => `${count} parameters, ${bytes} of this file.`,
    ko: (count, bytes) => `매개변수 ${count}개, 이 파일에서 ${bytes}.`,
  },
  character: { en: "character", ko: "문자" },
  byte: { en: "byte", ko: "바이트" },
  made: {
    en: (version) => `Written by charlm ${version}.`,
    ko: (version) => `charlm ${version}로 만든 페이지입니다.`,
  },

  // The text
  text: { en: "Text", ko: "글" },
  transport: { en: "Write", ko: "쓰기" },
  write: { en: "Write", ko: "쓰기" },
  pause: { en: "Pause", ko: "멈춤" },
  step: { en: "One step", ko: "한 문자" },
  back: { en: "Back", ko: "뒤로" },
  undo: { en: "Undo", ko: "되돌리기" },
  restart: { en: "Start over", ko: "처음부터" },
  type: { en: "Type", ko: "입력" },
  hint: {
    en: "Writing goes on at the caret and replaces what follows it. Type, or move the caret: " +
      "everything shown is the model there. Point at a character to see what was expected in its " +
      "place, and, underlined, the earlier ones that mattered to it. Ctrl+Enter writes and pauses.",
    ko: "글은 커서 자리에서 이어지며, 커서 뒤의 글은 새 글로 바뀝니다. 직접 입력하거나 커서를 옮겨 보세요. " +
      "화면의 모든 값은 커서 자리에서의 모델입니다. 문자를 가리키면 그 자리의 예측이 나타나고, 그 문자에 " +
      "영향을 준 앞 문자에 밑줄이 그어집니다. Ctrl+Enter로 쓰고 멈춥니다.",
  },
  colour: { en: "Colour of the text", ko: "글의 색" },
  surprise: { en: "surprise", ko: "놀라움" },
  byUnit: {
    en: (layer, unit) => `layer ${layer}, unit ${unit}`,
    ko: (layer, unit) => `층 ${layer}, 유닛 ${unit}`,
  },
  bits0: { en: "0 bits", ko: "0비트" },
  bits8: { en: "8 and more", ko: "8 이상" },
  came: { en: (bits) => ` came, ${bits} bits`, ko: (bits) => ` 나옴, ${bits}비트` },
  leftOut: {
    en: (symbols) => `Not among this model's characters, left out: ${symbols}`,
    ko: (symbols) => `이 모델이 모르는 문자라서 뺐습니다: ${symbols}`,
  },
  readAsUnknown: {
    en: (symbols) => `Not among this model's characters, read as the unknown symbol: ${symbols}`,
    ko: (symbols) => `이 모델이 모르는 문자라서 미지 기호로 읽었습니다: ${symbols}`,
  },
  undone: { en: "undone", ko: "되돌렸습니다" },
  noUndo: { en: "nothing to undo", ko: "되돌릴 것이 없습니다" },
  wrote: {
    en: (count, symbol) => `${count} ${symbol}s written`,
    ko: (count, symbol) => `${symbol} ${count}개를 썼습니다`,
  },

  // The next character
  next: { en: "Next character", ko: "다음 문자" },
  nextNote: {
    en: "Grey: the model's probability. Blue: what is drawn from, after temperature and filters. " +
      "Choose one to write it.",
    ko: "회색은 모델의 확률, 파란색은 온도와 필터를 거쳐 실제로 뽑는 확률입니다. 하나를 고르면 그 문자를 씁니다.",
  },
  bar: {
    en: (name, p, drawn) => `${name}: probability ${p}, drawn with ${drawn}`,
    ko: (name, p, drawn) => `${name}: 확률 ${p}, 뽑힐 확률 ${drawn}`,
  },
  others: { en: (count) => `${count} others`, ko: (count) => `그 밖의 ${count}개` },
  settings: { en: "How characters are drawn", ko: "문자를 뽑는 방법" },
  temperature: { en: "temperature", ko: "온도" },
  speed: { en: "speed", ko: "속도" },
  length: { en: "length", ko: "길이" },
  seed: { en: "seed", ko: "시드" },
  all: { en: "all", ko: "모두" },
  off: { en: "off", ko: "끔" },
  perSecond: { en: (count) => `${count} / s`, ko: (count) => `초당 ${count}` },
  fastest: { en: "fastest", ko: "최대" },

  // Units, cell, gates
  units: { en: "Units", ko: "유닛" },
  unitsNote: {
    en: (memory) => `A square is a unit, coloured by its state ${memory} at the caret. ` +
      "Choose one to colour the text by it.",
    ko: (memory) => `네모 하나가 유닛 하나이고, 색은 커서 자리에서의 상태 ${memory}입니다. 하나를 고르면 글에 그 유닛의 색을 입힙니다.`,
  },
  found: { en: "Units that correlate with a property of the text", ko: "글의 성질과 상관이 있는 유닛" },
  layer: { en: (layer) => `layer ${layer}`, ko: (layer) => `층 ${layer}` },
  unitState: {
    en: (layer, unit, value) => `layer ${layer}, unit ${unit}: ${value}`,
    ko: (layer, unit, value) => `층 ${layer}, 유닛 ${unit}: ${value}`,
  },
  cellName: {
    en: (cell, layer, unit) => `${cell} cell of unit ${layer}.${unit}`,
    ko: (cell, layer, unit) => `유닛 ${layer}.${unit}의 ${cell} 셀`,
  },
  gatesName: { en: (layer) => `Gates of layer ${layer}`, ko: (layer) => `층 ${layer}의 게이트` },
  gatesNote: {
    en: "A column is a character, the last one that before the caret; a row is a unit: strong is " +
      "open (1), faint is shut (0). Below, the chosen unit.",
    ko: "열 하나가 문자 하나이고 마지막 열이 커서 자리입니다. 행은 유닛으로, 진하면 열림(1), 흐리면 닫힘(0)입니다. 아래는 고른 유닛입니다.",
  },
  noGates: {
    en: "A tanh RNN has no gates: each time step writes the whole state anew.",
    ko: "tanh RNN에는 게이트가 없어, 시점마다 상태를 전부 새로 씁니다.",
  },
  f: { en: "forget gate: kept", ko: "망각 게이트: 남김" },
  i: { en: "input gate: written", ko: "입력 게이트: 씀" },
  o: { en: "output gate: shown", ko: "출력 게이트: 내보임" },
  r: { en: "reset gate: seen by the candidate", ko: "리셋 게이트: 후보가 봄" },
  z: { en: "update gate: kept", ko: "업데이트 게이트: 남김" },
  forget: { en: "forget", ko: "망각" },
  input: { en: "input", ko: "입력" },
  candidate: { en: "candidate", ko: "후보" },
  output: { en: "output", ko: "출력" },
  reset: { en: "reset", ko: "리셋" },
  update: { en: "update", ko: "업데이트" },
  gateNow: {
    en: (mean, unit) => `mean ${mean}, unit ${unit}`,
    ko: (mean, unit) => `평균 ${mean}, 유닛 ${unit}`,
  },

  // Properties that units are found for: charlm/insight/properties.py
  "inside a speaker's name": { en: "inside a speaker's name", ko: "화자 이름 안" },
  "after a colon": { en: "after a colon", ko: "쌍점 뒤" },
  "upper case": { en: "upper case", ko: "대문자" },
  "position in the line": { en: "position in the line", ko: "줄 안의 위치" },
  "line length": { en: "line length", ko: "줄의 길이" },
  "quotation depth": { en: "quotation depth", ko: "따옴표 깊이" },
  "bracket depth": { en: "bracket depth", ko: "괄호 깊이" },
  "vowel next": { en: "vowel next", ko: "다음이 모음" },
};

// The language, and the one that the switch offers.
let language = navigator.language.toLowerCase().startsWith("ko") ? "ko" : "en";
const OTHER = { en: ["ko", "한국어"], ko: ["en", "English"] };

function label(key, ...values) {
  const words = LABELS[key]?.[language] ?? key;
  return typeof words === "function" ? words(...values) : words;
}

// Write the words of elements whose label does not change: data-label is shown, data-name is read
// out.
function labelElements() {
  document.documentElement.lang = language;
  for (const element of document.querySelectorAll("[data-label]"))
    element.textContent = label(element.dataset.label);
  for (const element of document.querySelectorAll("[data-name]"))
    element.setAttribute("aria-label", label(element.dataset.name));
  const [other, name] = OTHER[language], button = document.getElementById("language");
  button.textContent = name;
  button.lang = other;
}

function signed(value) {
  const size = Math.abs(value).toFixed(2);
  return value < 0 && Number(size) ? `\u2212${size}` : size;
}
