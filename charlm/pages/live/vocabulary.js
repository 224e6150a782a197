// Symbols <-> ids: characters, or the bytes of a text's UTF-8.
//
// A vocabulary of characters may end in one unknown symbol, which stands for all other characters;
// it is read, and never drawn.
"use strict";

const CONTROL_NAMES = { " ": "␣", "\n": "↵", "\t": "⇥" };

class Vocabulary {
  constructor(model) {
    this.size = model.symbols;
    this.start = model.start;
    this.unknown = model.unknown;
    this.symbols = model.vocabulary; // null at byte level
    const known = this.symbols?.slice(0, this.unknown ?? this.size) ?? [];
    this.ids = new Map(known.map((symbol, id) => [symbol, id]));
  }

  // Return a text's ids, and its characters that the vocabulary lacks: these become the unknown
  // symbol, or are left out where there is none.
  encode(text) {
    const lines = text.replaceAll("\r\n", "\n");
    if (!this.symbols) return { ids: [...new TextEncoder().encode(lines)], unknown: [] };
    const ids = [], unknown = [];
    for (const symbol of this.normalize(lines)) {
      const id = this.ids.get(symbol) ?? this.unknown;
      if (!this.ids.has(symbol)) unknown.push(symbol);
      if (id !== null) ids.push(id);
    }
    return { ids, unknown };
  }

  // Return the form of a text in which the vocabulary lacks fewest characters: NFC, in which an
  // accented letter is one character, the text itself, or NFD, in which it is a letter and a mark.
  normalize(text) {
    const lacking = (form) => [...form].filter((symbol) => !this.ids.has(symbol)).length;
    if (!lacking(text)) return text;
    const forms = [text.normalize("NFC"), text, text.normalize("NFD")];
    const counts = forms.map(lacking);
    return forms[counts.indexOf(Math.min(...counts))];
  }

  // Return the text of ids; bytes that are not UTF-8 become U+FFFD.
  decode(ids) {
    if (this.symbols) return Array.from(ids, (id) => this.symbols[id]).join("");
    return new TextDecoder("utf-8", { ignoreBOM: true }).decode(Uint8Array.from(ids));
  }

  // Return a short name of a symbol that prints: a ␣ ↵ ⇥ \x1e 0xe2.
  name(id) {
    if (id === this.unknown) return "rare";
    if (!this.symbols && id >= 0x80) return `0x${id.toString(16)}`;
    return printable(this.symbols ? this.symbols[id] : String.fromCharCode(id));
  }
}

// Return a character, or a name of one that does not print.
function printable(symbol) {
  if (symbol in CONTROL_NAMES) return CONTROL_NAMES[symbol];
  if (/^\p{M}$/u.test(symbol)) return `◌${symbol}`;
  if (/^[\p{L}\p{N}\p{P}\p{S}]$/u.test(symbol)) return symbol;
  const code = symbol.codePointAt(0).toString(16);
  return code.length <= 2 ? `\\x${code.padStart(2, "0")}` : `\\u${code.padStart(4, "0")}`;
}
