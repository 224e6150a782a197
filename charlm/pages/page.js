// What the model expected in a character's place: under the pointer, at a tap, with the arrow keys.
"use strict";

const tip = document.getElementById("tip");

function percent(share) {
  return share >= 0.0995 ? `${Math.round(100 * share)} %` : `${(100 * share).toFixed(1)} %`;
}

function row(name, share, came) {
  const line = document.createElement("div");
  if (came) line.className = "came";
  const symbol = document.createElement("kbd");
  symbol.textContent = name;
  const bar = document.createElement("span");
  bar.className = "bar";
  bar.style.width = `${Math.max(0.5, 100 * share)}%`;
  const shown = document.createElement("span");
  shown.className = "share";
  shown.textContent = percent(share);
  line.append(symbol, bar, shown);
  return line;
}

function place(box) {
  const gap = 8, width = document.documentElement.clientWidth;
  tip.hidden = false;
  const left = Math.min(Math.max(gap, box.left - 20), width - tip.offsetWidth - gap);
  const below = box.bottom + gap + tip.offsetHeight < window.innerHeight;
  const top = below ? box.bottom + gap : box.top - gap - tip.offsetHeight;
  tip.style.left = `${left + window.scrollX}px`;
  tip.style.top = `${top + window.scrollY}px`;
}

for (const text of document.querySelectorAll(".text[data-surprise]")) {
  const surprise = JSON.parse(document.getElementById(text.dataset.surprise).textContent);
  const characters = [...text.children];
  const index = new Map(characters.map((span, k) => [span, k]));
  let at = -1;

  const hide = () => {
    if (at >= 0) characters[at].classList.remove("at");
    at = -1;
    tip.hidden = true;
  };

  const show = (k) => {
    hide();
    at = k;
    const span = characters[k], [came, bits, ...likeliest] = surprise.characters[k];
    span.classList.add("at");
    const head = document.createElement("p"), symbol = document.createElement("kbd");
    symbol.textContent = surprise.names[came];
    head.append(symbol, ` came, ${bits.toFixed(1)} bits`);
    const rows = [];
    for (let j = 0; j < likeliest.length; j += 2)
      rows.push(row(surprise.names[likeliest[j]], likeliest[j + 1] / 1000, likeliest[j] === came));
    if (!rows.some((line) => line.className)) rows.push(row(surprise.names[came], 2 ** -bits, true));
    tip.replaceChildren(head, ...rows);
    place(span.getClientRects()[0] ?? span.getBoundingClientRect());
  };

  text.addEventListener("pointerover", (event) => {
    // A finger that scrolls asks for nothing.
    if (event.pointerType === "touch") return;
    const k = index.get(event.target.closest(".text > span"));
    if (k !== undefined) show(k);
  });
  text.addEventListener("pointerleave", (event) => {
    if (event.pointerType === "mouse" && document.activeElement !== text) hide();
  });
  text.addEventListener("click", (event) => {
    const k = index.get(event.target.closest(".text > span"));
    if (k !== undefined) show(k);
  });
  text.addEventListener("focus", () => {
    if (at < 0 && text.matches(":focus-visible")) show(0);
  });
  text.addEventListener("blur", hide);
  text.addEventListener("keydown", (event) => {
    const line = () => characters[Math.max(at, 0)].getBoundingClientRect();
    const moves = {
      ArrowRight: () => Math.min(at + 1, characters.length - 1),
      ArrowLeft: () => Math.max(at - 1, 0),
      Home: () => 0,
      End: () => characters.length - 1,
      ArrowDown: () => vertical(1, line()),
      ArrowUp: () => vertical(-1, line()),
    };
    if (event.key === "Escape") hide();
    else if (event.key in moves) {
      event.preventDefault();
      show(moves[event.key]());
      characters[at].scrollIntoView({ block: "nearest" });
    }
  });

  // The character that stands in the next line, closest to where this one stands.
  function vertical(step, from) {
    let best = Math.max(at, 0), distance = Infinity, row = null;
    for (let k = best + step; k >= 0 && k < characters.length; k += step) {
      const box = characters[k].getBoundingClientRect();
      if (Math.abs(box.top - from.top) < box.height / 2) continue;
      row ??= box.top;
      if (Math.abs(box.top - row) > box.height / 2) break;
      if (Math.abs(box.left - from.left) < distance) {
        distance = Math.abs(box.left - from.left);
        best = k;
      }
    }
    return best;
  }
}

document.addEventListener("pointerdown", (event) => {
  if (!event.target.closest(".text[data-surprise]")) tip.hidden = true;
});
