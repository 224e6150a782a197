// The text. What is typed into is a textarea with transparent letters; under it lies the same text
// in spans, one a character, which carry the colours. A line is an element of its own, so that a
// character more lays out one line and not the whole text.
//
// A character is one symbol, or at byte level the bytes that it consists of.
"use strict";

// Return new elements.
function make(...names) {
  return names.map((name) => document.createElement(name));
}

// What ends an item that is not a line.
const RECORD = "\x1e";

// A textarea keeps no control characters but newline and tab: it has their pictures, ␀ to ␟.
function picture(character) {
  const isControl = character < " " && !"\n\t".includes(character);
  return isControl ? String.fromCharCode(0x2400 + character.charCodeAt(0)) : character;
}

class TextField {
  constructor(field, letters, input, vocabulary) {
    Object.assign(this, { field, letters, input, vocabulary });
    this.ids = [];
    this.characters = []; // {string, begin, end, offset, span}: symbols begin .. end-1
    this.string = "";     // what the textarea holds
    this.indexes = new WeakMap(); // span -> index of its character
    [this.tail] = make("span"); // stands behind the last character
    this.tail.className = "tail";
    this.tail.textContent = "\u200b";
    this.newLine();
    this.pen = this.tail;
    this.penIndex = 0;
    this.dimmed = 0; // characters that are dimmed or not as the pen wants it
  }

  newLine() {
    const [line] = make("div");
    line.className = "line";
    line.append(this.tail);
    this.letters.append(line);
  }

  // Add a symbol at the end.
  append(id) {
    const { characters } = this, last = characters.at(-1), begin = this.ids.length;
    this.ids.push(id);
    // A byte may complete the character before it, which until then is shown as U+FFFD.
    if (last?.string === "\ufffd" && !this.vocabulary.symbols) {
      const joined = this.vocabulary.decode(this.ids.slice(last.begin));
      if ([...joined].length === 1) {
        this.string = this.string.slice(0, last.offset) + joined;
        Object.assign(last, { string: joined, end: begin + 1 });
        last.span.textContent = joined;
        return;
      }
    }
    const decoded = this.vocabulary.decode([id]), isEnd = decoded === "\n" || decoded === RECORD;
    const string = picture(decoded) + (decoded === RECORD ? "\n" : "");
    const [span, mark] = make("span", "i");
    if (isEnd) {
      mark.className = "end";
      mark.textContent = decoded === RECORD ? picture(RECORD) : "↵";
      span.append(mark);
    } else span.textContent = string;
    this.indexes.set(span, characters.length);
    characters.push({ string, begin, end: begin + 1, offset: this.string.length, span });
    this.string += string;
    this.tail.before(span);
    if (isEnd) this.newLine();
  }

  // Leave out all from a character on.
  truncate(index) {
    const first = this.characters[index];
    if (!first) return;
    const line = first.span.parentNode;
    while (line.nextSibling) line.nextSibling.remove();
    while (line.lastChild !== first.span) line.lastChild.remove();
    first.span.remove();
    line.append(this.tail);
    this.characters.length = index;
    this.dimmed = Math.min(this.dimmed, index);
    this.ids.length = first.begin;
    this.string = this.string.slice(0, first.offset);
  }

  // Become the text of these symbols, with the caret at its end. Return how many characters at the
  // beginning were kept.
  setIds(ids) {
    const differs = ({ begin, end }) => {
      for (let k = begin; k < end; k++) if (this.ids[k] !== ids[k]) return true;
    };
    const first = this.characters.findIndex(differs);
    if (first >= 0) this.truncate(first);
    const kept = this.characters.length;
    for (const id of ids.slice(this.ids.length)) this.append(id);
    this.update(this.string.length);
    // A byte may have completed the last character.
    return Math.max(0, kept - 1);
  }

  encode(text) {
    const controls = text.replaceAll(/␞\n/g, "␞")
      .replaceAll(/[␀-␟]/g, (shown) => String.fromCharCode(shown.charCodeAt(0) - 0x2400));
    return this.vocabulary.encode(controls);
  }

  // Take over what was typed, pasted or deleted in the textarea. Characters before and behind the
  // change keep their symbols. Return the characters that the vocabulary lacks, and how many
  // characters before the change were kept.
  takeInput() {
    const { characters } = this, now = this.input.value, count = characters.length;
    let kept = 0, begin = 0;
    while (kept < count && now.startsWith(characters[kept].string, begin))
      begin += characters[kept++].string.length;
    let behind = 0, end = now.length;
    for (let next; behind < count - kept; behind++, end -= next.length) {
      next = characters[count - 1 - behind].string;
      if (end - next.length < begin || !now.endsWith(next, end)) break;
    }
    const symbols = this.ids.slice(characters[count - behind]?.begin ?? this.ids.length);
    const { ids, unknown } = this.encode(now.slice(begin, end));
    this.truncate(kept);
    for (const id of ids) this.append(id);
    const caret = unknown.length || end !== this.input.selectionEnd ? this.string.length : end;
    for (const id of symbols) this.append(id);
    if (this.string !== now) this.update(caret);
    return { unknown, kept };
  }

  // Bring the textarea to the text, with the caret at an offset.
  update(offset) {
    if (this.input.value !== this.string) this.input.value = this.string;
    if (this.input.selectionStart !== offset || this.input.selectionEnd !== offset)
      this.input.setSelectionRange(offset, offset);
  }

  // Return the index of the character that begins at or behind an offset of the textarea.
  indexAt(offset) {
    let low = 0, high = this.characters.length;
    while (low < high) {
      const middle = (low + high) >> 1;
      if (this.characters[middle].offset < offset) low = middle + 1;
      else high = middle;
    }
    return low;
  }

  // The index of the character behind the caret.
  get caret() {
    return this.indexAt(this.input.selectionEnd);
  }

  set caret(index) {
    this.update(this.characters[index]?.offset ?? this.string.length);
  }

  // Return how many symbols stand before a character.
  symbolsBefore(index) {
    return this.characters[index]?.begin ?? this.ids.length;
  }

  // Show where writing goes on; what stands behind it is dimmed.
  showPen(index, follow) {
    const { characters } = this, pen = characters[index]?.span ?? this.tail;
    this.pen.classList.remove("pen");
    pen.classList.add("pen");
    // A class, since a selector of siblings walks along the whole line for each of its characters.
    const first = Math.min(this.penIndex, this.dimmed, index), isNew = this.dimmed < characters.length;
    const end = isNew ? characters.length : Math.max(this.penIndex, index);
    for (const { span } of characters.slice(first, index)) span.classList.remove("behind");
    for (const { span } of characters.slice(index, end)) span.classList.add("behind");
    Object.assign(this, { pen, penIndex: index, dimmed: characters.length });
    if (follow) this.scrollTo(pen);
  }

  get isAtEnd() {
    const { scrollHeight, scrollTop, clientHeight } = this.field;
    return scrollHeight - scrollTop - clientHeight < 2;
  }

  scrollTo(span) {
    const { field } = this;
    if (span === this.tail) {
      field.scrollTop = field.scrollHeight;
      return;
    }
    const box = span.getBoundingClientRect(), frame = field.getBoundingClientRect();
    const below = box.bottom + box.height - frame.bottom, above = frame.top + box.height - box.top;
    if (below > 0) field.scrollTop += below;
    else if (above > 0) field.scrollTop -= above;
  }

  // Colour a character by a class of page.css, s1 .. s8, p1 .. p5 or n1 .. n5; "" for none.
  shade(index, name) {
    const character = this.characters[index];
    if (character.shade === name) return;
    if (character.shade) character.span.classList.remove(character.shade);
    if (name) character.span.classList.add(name);
    character.shade = name;
  }

  // Return the index of the character at a point of the screen, or -1. The textarea lies over it.
  indexAtPoint(x, y) {
    const span = document.elementsFromPoint(x, y).find((element) => this.indexes.has(element));
    const index = span ? this.indexes.get(span) : -1;
    return this.characters[index]?.span === span ? index : -1;
  }
}
