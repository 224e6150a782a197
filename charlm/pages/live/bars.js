// What is expected next, as bars: the model's own probability, and on it the one that is drawn
// from. Each is a button that writes its symbol; the arrow keys walk along them.
"use strict";

const MOST_BARS = 10;

class Bars {
  constructor(list, vocabulary, take) {
    this.vocabulary = vocabulary;
    this.rows = Array.from({ length: Math.min(MOST_BARS, vocabulary.size) }, (_, k) => {
      const [row, button, name] = make("li", "button", "kbd");
      const [track, own, drawn, share] = make("span", "i", "i", "span");
      button.type = "button";
      button.tabIndex = k ? -1 : 0;
      track.className = "track";
      own.className = "own";
      drawn.className = "drawn";
      share.className = "share";
      track.append(own, drawn);
      button.append(name, track, share);
      row.append(button);
      list.append(row);
      button.addEventListener("click", () => take(this.rows[k].id));
      button.addEventListener("keydown", (event) => this.walk(event, k));
      return { button, name, own, drawn, share };
    });
    [this.others] = make("li");
    this.others.className = "others";
    list.append(this.others);
  }

  walk(event, k) {
    const to = { ArrowDown: k + 1, ArrowUp: k - 1, Home: 0, End: this.rows.length - 1 }[event.key];
    if (to === undefined) return;
    event.preventDefault();
    const row = this.rows[to];
    if (!row) return;
    for (const { button } of this.rows) button.tabIndex = button === row.button ? 0 : -1;
    row.button.focus();
  }

  // Show probabilities, those to draw by, and which symbol stands there already, or none.
  show(probabilities, weights, came) {
    const order = likeliest(probabilities, this.rows.length);
    let others = 1;
    this.rows.forEach((row, k) => {
      const id = order[k], own = probabilities[id], drawn = weights[id];
      others -= drawn;
      row.id = id;
      row.name.textContent = this.vocabulary.name(id);
      row.own.style.transform = `scaleX(${own.toFixed(4)})`;
      row.drawn.style.transform = `scaleX(${drawn.toFixed(4)})`;
      row.share.textContent = percent(drawn);
      row.button.classList.toggle("came", id === came);
      row.button.classList.toggle("never", drawn < 0.0005);
    });
    const count = probabilities.length - order.length;
    const share = percent(Math.max(0, others));
    this.others.textContent = count ? `${label("others", count)}: ${share}` : "";
    this.shown = { probabilities, weights };
  }

  // Read out what the bars show; kept apart from `show`, which runs at every frame.
  name() {
    const { probabilities, weights } = this.shown;
    for (const { button, id } of this.rows) {
      const shares = [probabilities[id], weights[id]].map(percent);
      button.setAttribute("aria-label", label("bar", this.vocabulary.name(id), ...shares));
    }
  }
}

// Return the `count` likeliest ids, the likeliest first; of equals the lower id.
function likeliest(probabilities, count) {
  const order = [];
  for (let id = 0; id < probabilities.length; id++) {
    let place = order.length;
    while (place > 0 && probabilities[order[place - 1]] < probabilities[id]) place--;
    if (place === count) continue;
    order.splice(place, 0, id);
    if (order.length > count) order.pop();
  }
  return order;
}
