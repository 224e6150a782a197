"""Take the pictures of pages: docs/report.png, docs/live.png and docs/figures/live-*.png.

    charlm train data/shakespeare.txt --preset tiny --steps 900
    charlm report --out report.html
    charlm train data/shakespeare.txt --name shakespeare
    charlm export shakespeare --to html --out live.html
    python docs/make_picture.py report.html live.html

A page that is left out, as in `make_picture.py "" live.html`, is not drawn. Needs Chromium, and
nothing besides.
"""

import json
import sys
import tempfile
from pathlib import Path

DOCS = Path(__file__).resolve().parent
sys.path.insert(0, str(DOCS.parent / "tests"))

from browser import Browser


def point(browser: Browser, span: str) -> None:
    """Move the pointer over the element that a JavaScript expression is."""
    x, y = browser.evaluate(
        f"(box => [box.left + box.width / 2, box.top + box.height / 2])"
        f"({span}.getBoundingClientRect())"
    )
    browser.call("Input.dispatchMouseEvent", type="mouseMoved", x=x, y=y)


def part(browser: Browser, *selectors: str, margin: int = 12) -> tuple[float, ...]:
    """Return the part of the page that some elements take."""
    boxes = browser.evaluate(
        f"{json.dumps(selectors)}.map(name => document.querySelector(name).getBoundingClientRect())"
        ".map(({ left, top, right, bottom }) => [left, top, right, bottom])"
    )
    x, y = browser.evaluate("[scrollX, scrollY]")
    left, top = (max(0, min(box[k] for box in boxes) - margin) for k in (0, 1))
    right, bottom = (max(box[k] for box in boxes) + margin for k in (2, 3))
    return left + x, top + y, right - left, bottom - top


def report(browser: Browser, page: Path) -> None:
    """Point at a character of a report, and save what is on the screen."""
    browser.open(page, 1200, 640)
    browser.evaluate("document.documentElement.style.scrollBehavior = 'auto'")
    browser.evaluate("document.getElementById('surprise').scrollIntoView()")
    # The first surprising character below the first lines.
    point(browser, "[...document.querySelectorAll('#text > .s6')].find(s => s.offsetTop > 60)")
    browser.picture(DOCS / "report.png")


def live(browser: Browser, page: Path) -> None:
    """Save the steps of the walk through a page that writes, in docs/insight.md."""
    figures, written = DOCS / "figures", "reader.length === text.ids.length && !frameAsked"

    def opened(width: int, height: int) -> None:
        browser.open(page, width, height, calm=True)
        browser.evaluate("document.documentElement.style.scrollBehavior = 'auto'")
        browser.wait(written)

    def write(count: int) -> None:
        browser.evaluate(
            f"$('speed').value = 6, $('length').value = {count}, showSettings(), write()"
        )
        browser.wait(f"!state.writing && {written}")

    opened(1280, 680)
    write(160)
    browser.picture(figures / "live-write.png", part=(0, 0, 1280, 640))

    opened(1280, 800)
    # A surprising character behind others of its line.
    odd = "text.characters.findLast(({ shade, span }) => shade >= 's5' && span.offsetLeft > 200)"
    point(browser, f"{odd}.span")
    browser.wait("state.marked.length")
    browser.picture(figures / "live-look-back.png", part=part(browser, "#field", "#tip"))

    unit = "model.units.find(unit => unit.property === 'position in the line') ?? model.units[0]"
    opened(1280, 830)
    write(160)
    browser.evaluate(f"(unit => choose(unit.layer, unit.unit))({unit})")
    browser.evaluate("scrollTo(0, document.getElementById('grids').offsetTop - 20)")
    browser.wait(written)
    browser.picture(DOCS / "live.png")

    opened(1920, 1080)
    browser.evaluate(f"(unit => choose(unit.layer, unit.unit))({unit})")
    # Behind a speaker's name and the beginning of a line.
    browser.evaluate("text.caret = input.value.lastIndexOf(':\\n') + 14, ask()")
    browser.wait(written)
    browser.picture(figures / "live-gates.png", part=part(browser, "#gates", "#cell"))


def main() -> None:
    """Draw each page that is named."""
    with tempfile.TemporaryDirectory() as folder:
        browser = Browser(Path(folder))
        for draw, page in zip((report, live), sys.argv[1:], strict=False):
            if page:
                draw(browser, Path(page))
        browser.close()


if __name__ == "__main__":
    main()
