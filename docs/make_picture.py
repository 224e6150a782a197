"""Take the README's picture of a report: docs/report.png.

    charlm train data/shakespeare.txt --preset tiny --steps 900
    charlm report --out report.html
    python docs/make_picture.py report.html

Needs Chromium, and nothing besides.
"""

import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "tests"))

from browser import Browser

WIDTH, HEIGHT = 1200, 640


def main() -> None:
    """Open the page, point at a character, and save what is on the screen."""
    with tempfile.TemporaryDirectory() as folder:
        browser = Browser(Path(folder))
        browser.open(Path(sys.argv[1]), WIDTH, HEIGHT)
        browser.evaluate("document.documentElement.style.scrollBehavior = 'auto'")
        browser.evaluate("document.getElementById('surprise').scrollIntoView()")
        # The first surprising character below the first lines.
        odd = "[...document.querySelectorAll('#text > .s6')].find(span => span.offsetTop > 60)"
        x, y = browser.evaluate(
            f"(box => [box.left + box.width / 2, box.top + box.height / 2])"
            f"({odd}.getBoundingClientRect())"
        )
        browser.call("Input.dispatchMouseEvent", type="mouseMoved", x=x, y=y)
        browser.picture(ROOT / "docs" / "report.png")
        browser.close()


if __name__ == "__main__":
    main()
