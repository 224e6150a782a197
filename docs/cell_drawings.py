"""Draw the cells as SVG, laid out by hand: the same bytes wherever it runs.

Steps carry the labels that the code's comments carry: 1a, 1b, 2a, 3a.
"""

import re
from html import escape
from itertools import pairwise

INK, PALE, GATE, SQUASH, MEMORY, WAY_BACK = (
    "#1f2933", "#7b8794", "#fde3c8", "#d6eedd", "#1f6fb2", "#c2410c"
)  # fmt: skip
# A light ground of its own, so that it reads on a dark page as well.
GROUND, FRAME = "#ffffff", "#f5f7fa"
SERIF = "Georgia, 'Times New Roman', serif"
SANS = "Helvetica, Arial, sans-serif"


class Drawing:
    """Collect shapes; what is drawn later lies on top."""

    def __init__(self, width: int, height: int, title: str) -> None:
        size = f'viewBox="0 0 {width} {height}" width="{width}" height="{height}"'
        self.shapes = [
            f'<svg xmlns="http://www.w3.org/2000/svg" role="img" {size}>',
            f"<title>{escape(title)}</title>",
            "<defs>",
            *(
                f'<marker id="{name}" viewBox="0 0 10 10" refX="9" refY="5" markerWidth="11" '
                f'markerHeight="11" markerUnits="userSpaceOnUse" orient="auto-start-reverse">'
                f'<path d="M0 0.8 L10 5 L0 9.2 z" fill="{colour}"/></marker>'
                for name, colour in (("ink", INK), ("memory", MEMORY), ("back", WAY_BACK))
            ),
            "</defs>",
            f'<rect width="{width}" height="{height}" rx="10" fill="{GROUND}"/>',
        ]

    def frame(self, x: float, y: float, w: float, h: float) -> None:
        self.shapes.append(
            f'<rect x="{x}" y="{y}" width="{w}" height="{h}" rx="14" fill="{FRAME}" '
            f'stroke="#cbd2d9" stroke-width="1.2"/>'
        )

    def line(
        self, *points: tuple[float, float], colour: str = INK, width: float = 1.6,
        arrow: bool = True, dashed: bool = False,
    ) -> None:  # fmt: skip
        name = {INK: "ink", MEMORY: "memory", WAY_BACK: "back"}[colour]
        way = " ".join(f"{x:g},{y:g}" for x, y in points)
        end = f' marker-end="url(#{name})"' if arrow else ""
        dashes = ' stroke-dasharray="5 4"' if dashed else ""
        self.shapes.append(
            f'<polyline points="{way}" fill="none" stroke="{colour}" stroke-width="{width}" '
            f'stroke-linejoin="round"{dashes}{end}/>'
        )

    def gap(self, x: float, y: float, w: float, h: float) -> None:
        """Clear a little room, for a line that passes over another."""
        self.shapes.append(
            f'<rect x="{x - w / 2:g}" y="{y - h / 2:g}" width="{w}" height="{h}" fill="{FRAME}"/>'
        )

    def box(self, x: float, y: float, label: str, fill: str, w: float = 58, h: float = 36) -> None:
        self.shapes.append(
            f'<rect x="{x - w / 2:g}" y="{y - h / 2:g}" width="{w}" height="{h}" rx="6" '
            f'fill="{fill}" stroke="{INK}" stroke-width="1.3"/>'
        )
        self.text(x, y + 5.5, label, size=17)

    def node(self, x: float, y: float, sign: str, colour: str = INK) -> None:
        """Draw an elementwise operation; the sign is made of strokes, so it sits in the middle."""
        r, k = 12, 5.2
        strokes = {
            "+": f"M{x - k} {y}H{x + k}M{x} {y - k}V{y + k}",
            "x": f"M{x - k * 0.75:g} {y - k * 0.75:g}L{x + k * 0.75:g} {y + k * 0.75:g}"
            f"M{x - k * 0.75:g} {y + k * 0.75:g}L{x + k * 0.75:g} {y - k * 0.75:g}",
        }[sign]
        self.shapes.append(
            f'<circle cx="{x}" cy="{y}" r="{r}" fill="{GROUND}" stroke="{colour}" '
            'stroke-width="1.6"/>'
            f'<path d="{strokes}" stroke="{colour}" stroke-width="1.8" fill="none"/>'
        )

    def dot(self, x: float, y: float, colour: str = INK) -> None:
        self.shapes.append(f'<circle cx="{x}" cy="{y}" r="3.4" fill="{colour}"/>')

    def text(
        self, x: float, y: float, label: str, size: float = 15, anchor: str = "middle",
        colour: str = INK,
    ) -> None:  # fmt: skip
        """Write mathematics: letters in italics, words in quotes upright, `_{...}` lowered.

        `^{...}` is raised, and what is lowered behind it stands below it.
        """
        pieces, low, back = [], 0.0, 0.0
        for part in re.findall(r"[_^]\{[^}]*\}|'[^']*'|[^_^']+", label):
            if part[0] in "_^":
                drop = size * (0.28 if part[0] == "_" else -0.42)
                dx = f'dx="{-back:g}" ' if back else ""
                pieces.append(
                    f'<tspan {dx}dy="{drop - low:g}" font-size="{size * 0.7:g}">'
                    f"{escape(part[2:-1])}</tspan>"
                )
                low = drop
                # About as wide as the digits and parentheses that are raised.
                back = 0.32 * size * len(part[2:-1]) if part[0] == "^" else 0.0
                continue
            up = f' dy="{-low:g}"' if low else ""
            low = 0.0
            upright = part[0] == "'"
            style = ' font-style="normal"' if upright else ""
            pieces.append(f"<tspan{up}{style}>{escape(part[1:-1] if upright else part)}</tspan>")
        self.shapes.append(
            f'<text x="{x:g}" y="{y:g}" text-anchor="{anchor}" font-family="{SERIF}" '
            f'font-style="italic" font-size="{size:g}" fill="{colour}">{"".join(pieces)}</text>'
        )

    def note(
        self, x: float, y: float, words: str, anchor: str = "middle", colour: str = PALE
    ) -> None:
        self.shapes.append(
            f'<text x="{x:g}" y="{y:g}" text-anchor="{anchor}" font-family="{SANS}" '
            f'font-size="12" fill="{colour}">{escape(words)}</text>'
        )

    def step(self, x: float, y: float, label: str) -> None:
        """Write a step's label as the code's comments have it."""
        w = 7.2 * len(label) + 10
        self.shapes.append(
            f'<rect x="{x - w / 2:g}" y="{y - 8.5:g}" width="{w:g}" height="17" rx="8.5" '
            f'fill="#e4e7eb"/><text x="{x:g}" y="{y + 4:g}" text-anchor="middle" '
            f'font-family="{SANS}" font-size="11" fill="{INK}">{label}</text>'
        )

    def svg(self) -> str:
        return "\n".join([*self.shapes, "</svg>", ""])


def rnn_cell() -> str:
    d = Drawing(620, 250, "The tanh RNN's cell")
    d.frame(110, 40, 390, 130)
    d.line((40, 105), (190, 105))
    d.line((150, 215), (150, 105), arrow=False)
    d.dot(150, 105)
    d.box(265, 105, "W_{x} x + W_{h} h + b", GATE, 150)
    d.line((340, 105), (391, 105))
    d.box(420, 105, "'tanh'", SQUASH)
    d.line((449, 105), (580, 105))
    d.text(36, 92, "h_{t−1}", anchor="start")
    d.text(164, 212, "x_{t}", anchor="start")
    d.text(584, 92, "h_{t}", anchor="end")
    d.text(364, 93, "a_{t}", size=13)
    d.step(265, 146, "1a")
    d.step(420, 146, "2a")
    return d.svg()


def lstm_cell() -> str:
    d = Drawing(780, 430, "The LSTM's cell")
    top, middle, gates, bus = 100, 185, 255, 315
    f, i, write, g, o, read = 200, 310, 375, 440, 540, 610
    d.frame(95, 50, 590, 320)
    # The long-term memory runs straight through.
    d.line((35, top), (f - 12, top), colour=MEMORY, width=3)
    d.line((f + 12, top), (write - 12, top), colour=MEMORY, width=3)
    d.line((write + 12, top), (745, top), colour=MEMORY, width=3)
    # Every gate looks at x and the short-term memory.
    d.line((35, bus), (o, bus), (o, gates + 19))
    d.line((140, 410), (140, bus), arrow=False)
    d.dot(140, bus)
    for x in (f, i, g):
        d.line((x, bus), (x, gates + 19))
        d.dot(x, bus)
    # What each does.
    d.line((f, gates - 18), (f, top + 13))
    d.line((i, gates - 18), (i, middle), (write - 13, middle))
    d.line((g, gates - 18), (g, middle), (write + 13, middle))
    d.line((write, middle - 12), (write, top + 13))
    d.line((o, gates - 18), (o, middle + 20), (read - 13, middle + 20))
    d.line((read, top), (read, middle - 38))
    d.line((read, middle - 14), (read, middle + 7))
    d.line((read, middle + 32), (read, bus), (745, bus))
    d.dot(read, top, MEMORY)
    d.box(f, gates, "σ", GATE)
    d.box(i, gates, "σ", GATE)
    d.box(g, gates, "'tanh'", SQUASH)
    d.box(o, gates, "σ", GATE)
    d.box(read, middle - 26, "'tanh'", SQUASH, 50, 24)
    d.node(f, top, "x", MEMORY)
    d.node(write, top, "+", MEMORY)
    d.node(write, middle, "x")
    d.node(read, middle + 20, "x")
    for x, name, label in (
        (f, "forget gate", "f_{t}"), (i, "input gate", "i_{t}"), (g, "candidate", "g_{t}"),
        (o, "output gate", "o_{t}"),
    ):  # fmt: skip
        d.note(x, bus + 24, name)
        d.text(x - 9, gates - 28, label, anchor="end")
    d.text(31, top - 12, "c_{t−1}", anchor="start")
    d.text(749, top - 12, "c_{t}", anchor="end")
    d.text(31, bus - 12, "h_{t−1}", anchor="start")
    d.text(749, bus - 12, "h_{t}", anchor="end")
    d.text(154, 408, "x_{t}", anchor="start")
    d.note(288, 74, "long-term memory: times f, plus i times g", colour=MEMORY)
    d.step(137, gates, "1a, 1b")
    d.step(write + 34, top + 24, "2a")
    d.step(read + 40, middle + 20, "3a")
    return d.svg()


def gru_cell() -> str:
    d = Drawing(780, 430, "The GRU's cell")
    top, middle, gates, bus = 100, 190, 262, 325
    r, inner, n, z, rest = 217, 322, 440, 540, 622
    d.frame(95, 50, 590, 320)
    d.line((35, top), (z - 12, top), colour=MEMORY, width=3)
    d.line((z + 12, top), (rest - 12, top), colour=MEMORY, width=3)
    d.line((rest + 12, top), (745, top), colour=MEMORY, width=3)
    d.line((120, top), (120, bus), (z, bus), (z, gates + 19))
    d.dot(120, top, MEMORY)
    d.line((150, 410), (150, bus), arrow=False)
    d.dot(150, bus)
    for x in (r, inner):
        d.line((x, bus), (x, gates + 19))
        d.dot(x, bus)
    d.line((n, bus), (n, middle + 19))
    d.dot(n, bus)
    d.line((r, gates - 18), (r, middle), (inner - 13, middle))
    d.line((inner, gates - 18), (inner, middle + 13))
    d.line((inner + 12, middle), (n - 30, middle))
    d.line((n + 29, middle), (rest - 13, middle))
    d.gap(z, middle, 12, 8)
    d.line((z, gates - 18), (z, top + 13))
    d.line((z + 29, gates), (rest - 29, gates))
    d.line((rest, gates - 18), (rest, middle + 13))
    d.line((rest, middle - 12), (rest, top + 13))
    d.box(r, gates, "σ", GATE)
    d.box(inner, gates, "W_{h} h + b_{h}", GROUND, 88)
    d.box(n, middle, "'tanh'", SQUASH)
    d.box(z, gates, "σ", GATE)
    d.box(rest, gates, "'1 −' z", GROUND, 54)
    d.node(inner, middle, "x")
    d.node(z, top, "x", MEMORY)
    d.node(rest, top, "+", MEMORY)
    d.node(rest, middle, "x")
    for x, name in ((r, "reset gate"), (z, "update gate"), (n, "candidate")):
        d.note(x, bus + 24, name)
    d.text(r - 9, gates - 28, "r_{t}", anchor="end")
    d.text(z - 9, gates - 28, "z_{t}", anchor="end")
    d.text(n + 50, middle - 9, "n_{t}")
    d.text(31, top - 12, "h_{t−1}", anchor="start")
    d.text(749, top - 12, "h_{t}", anchor="end")
    d.text(164, 408, "x_{t}", anchor="start")
    d.note(300, 74, "one memory: z keeps, 1 − z renews", colour=MEMORY)
    d.text(n + 8, gates + 24, "W_{x} x + b_{x}", size=13, anchor="start")
    d.step(154, gates, "1a, 1b")
    d.step(n, middle - 31, "2a")
    d.step(rest + 38, top + 24, "3a")
    return d.svg()


def unrolled() -> str:
    """Two layers over four steps, and the way of one loss's gradient back through them."""
    d = Drawing(780, 400, "A stacked RNN, unrolled in time")
    columns, rows = (150, 310, 470, 630), (255, 165)
    names = ("t−3", "t−2", "t−1", "t")
    for k, y in enumerate(rows):
        d.line((60, y), (columns[0] - 40, y))
        d.text(56, y - 10, f"'layer {k}'", size=13, anchor="start")
        for a, b in pairwise(columns):
            d.line((a + 38, y), (b - 40, y))
        d.line((columns[-1] + 38, y), (740, y))
    for x, name in zip(columns, names, strict=True):
        d.line((x, 330), (x, rows[0] + 20))
        d.line((x, rows[0] - 18), (x, rows[1] + 20))
        d.line((x, rows[1] - 18), (x, 97))
        d.text(x, 350, f"x_{{{name}}}")
        for k, y in enumerate(rows):
            d.box(x, y, f"h^{{({k})}}_{{{name}}}", SQUASH, 76)
        d.box(x, 80, f"p_{{{name}}}", GATE, 66, 32)
    d.text(columns[-1], 42, "L_{t}", colour=WAY_BACK)
    last = columns[-1]
    d.line((last, 48), (last, 61), colour=WAY_BACK, dashed=True)
    d.line((last + 13, 97), (last + 13, rows[1] - 20), colour=WAY_BACK, dashed=True)
    for y in rows:
        for b, a in pairwise(columns):
            d.line((a - 40, y + 11), (b + 40, y + 11), colour=WAY_BACK, dashed=True)
    for x in columns:
        d.line((x + 13, rows[1] + 18), (x + 13, rows[0] - 20), colour=WAY_BACK, dashed=True)
    for k, y in enumerate(rows):
        d.text(230, y - 9, f"W^{{({k})}}_{{h}}", size=13)
        d.text(138, y + 48, f"W^{{({k})}}_{{x}}", size=13, anchor="end")
    d.text(138, 126, "W", size=13, anchor="end")
    d.note(390, 384, "dashed: the gradient of one loss on its way back, through the recurrent "
           "matrix once a time step")  # fmt: skip
    return d.svg()


DRAWINGS = {
    "rnn-cell.svg": rnn_cell,
    "rnn-unrolled.svg": unrolled,
    "lstm-cell.svg": lstm_cell,
    "gru-cell.svg": gru_cell,
}
