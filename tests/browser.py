"""A headless Chromium that tests talk to by its DevTools protocol, over two pipes."""

import base64
import json
import os
import shutil
import subprocess
import time
from pathlib import Path

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
_FLAGS = (
    "--headless --no-sandbox --disable-gpu --no-first-run --disable-background-networking "
    "--disable-dev-shm-usage --hide-scrollbars --remote-debugging-pipe"
)


class Browser:
    """A browser with a profile of its own, in a folder."""

    def __init__(self, folder: Path) -> None:
        assert CHROMIUM
        self.complaints: list[str] = []  # a page's exceptions, and its errors and warnings
        self.requests: list[str] = []  # the addresses that a page asked for, its own included
        read_by_it, self._to = os.pipe()
        self._from, written_by_it = os.pipe()
        # The shell puts them where Chromium looks for them: 3 and 4.
        script = f'exec {CHROMIUM} {_FLAGS} "$1" about:blank 3<&{read_by_it} 4>&{written_by_it}'
        self._process = subprocess.Popen(
            ["bash", "-c", script, "bash", f"--user-data-dir={folder}"],
            pass_fds=(read_by_it, written_by_it),
            stderr=subprocess.DEVNULL,
        )
        os.close(read_by_it)
        os.close(written_by_it)
        self._pending, self._count, self._session, self._events = b"", 0, {}, []
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        attached = self.call("Target.attachToTarget", targetId=target, flatten=True)
        self._session = {"sessionId": attached["sessionId"]}
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.call(f"{domain}.enable")

    def close(self) -> None:
        """End it."""
        os.close(self._to)
        os.close(self._from)
        self._process.terminate()
        self._process.wait(20)

    def call(self, method: str, **parameters):
        """Ask for something, and wait for the answer."""
        self._count += 1
        message = {"id": self._count, "method": method, "params": parameters} | self._session
        os.write(self._to, json.dumps(message).encode() + b"\0")
        while True:
            answer = self._read()
            if answer.get("id") == self._count:
                assert "error" not in answer, answer
                return answer["result"]

    def open(
        self, path: Path, width: int = 800, height: int = 900, *,
        dark: bool = False, calm: bool = False, language: str = "en-US",
    ) -> None:  # fmt: skip
        """Load a page, on a screen of this size, and wait until it is there.

        `calm` is for readers who asked their system for less motion.
        """
        self.call("Emulation.setDeviceMetricsOverride", width=width, height=height,
                  deviceScaleFactor=1, mobile=width < 500)  # fmt: skip
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        motion = {"name": "prefers-reduced-motion", "value": "reduce" if calm else "no-preference"}
        self.call("Emulation.setEmulatedMedia", features=[scheme, motion])
        agent = self.call("Browser.getVersion")["userAgent"]
        self.call("Network.setUserAgentOverride", userAgent=agent, acceptLanguage=language)
        for seen in (self.complaints, self.requests, self._events):
            seen.clear()
        self.call("Page.navigate", url=path.resolve().as_uri())
        while "Page.loadEventFired" not in self._events:
            self._read()

    def evaluate(self, expression: str):
        """Return the value of a JavaScript expression."""
        result = self.call("Runtime.evaluate", expression=expression, returnByValue=True)
        assert "exceptionDetails" not in result, result
        return result["result"].get("value")

    def point(self, selector: str) -> None:
        """Move the pointer over an element."""
        x, y = self._middle(selector)
        self.call("Input.dispatchMouseEvent", type="mouseMoved", x=x, y=y)

    def click(self, selector: str, across: float = 0.5) -> None:
        """Press and release the mouse over an element; `across` is where, from left to right."""
        x, y = self._middle(selector, across)
        for kind in ("mousePressed", "mouseReleased"):
            self.call("Input.dispatchMouseEvent", type=kind, x=x, y=y, button="left", clickCount=1)

    def tap(self, selector: str) -> None:
        """Touch an element with a finger."""
        self.call("Emulation.setTouchEmulationEnabled", enabled=True)
        # A page may lay itself out for fingers.
        x, y = self._middle(selector)
        self.call("Input.dispatchTouchEvent", type="touchStart", touchPoints=[{"x": x, "y": y}])
        self.call("Input.dispatchTouchEvent", type="touchEnd", touchPoints=[])
        self.call("Emulation.setTouchEmulationEnabled", enabled=False)

    def press(self, key: str, *, control: bool = False) -> None:
        """Press a key."""
        keys = {"Backspace": 8, "Tab": 9, "Enter": 13, "Escape": 27, " ": 32, "End": 35, "Home": 36}
        keys |= {"ArrowLeft": 37, "ArrowUp": 38, "ArrowRight": 39, "ArrowDown": 40, "z": 90}
        for kind in ("rawKeyDown", "keyUp"):
            self.call("Input.dispatchKeyEvent", type=kind, key=key, code=key.replace(" ", "Space"),
                      modifiers=2 * control, windowsVirtualKeyCode=keys.get(key, 0))  # fmt: skip

    def type(self, text: str) -> None:
        """Put text where the focus is."""
        self.call("Input.insertText", text=text)

    def wait(self, condition: str, seconds: float = 20) -> None:
        """Wait until a JavaScript expression is true."""
        end = time.monotonic() + seconds
        while not self.evaluate(condition):
            assert time.monotonic() < end, condition
            time.sleep(0.02)

    def picture(
        self, path: Path, *, whole: bool = False, part: tuple[float, ...] | None = None
    ) -> None:
        """Save what is on the screen, the whole page, or a part of it (x, y, width, height) as PNG."""
        names = ("x", "y", "width", "height")
        clip = {"clip": dict(zip(names, part, strict=True)) | {"scale": 1}} if part else {}
        shot = self.call("Page.captureScreenshot", captureBeyondViewport=whole, **clip)
        path.write_bytes(base64.b64decode(shot["data"]))

    def _middle(self, selector: str, across: float = 0.5) -> tuple[float, float]:
        script = f"""(() => {{
            const element = document.querySelector({json.dumps(selector)});
            element.scrollIntoView({{ block: "center", behavior: "instant" }});
            const box = element.getClientRects()[0];
            return [box.left + box.width * {across}, box.top + box.height / 2];
        }})()"""
        x, y = self.evaluate(script)
        return x, y

    def _read(self) -> dict:
        while b"\0" not in self._pending:
            piece = os.read(self._from, 1 << 20)
            assert piece, "Chromium has ended"
            self._pending += piece
        line, _, self._pending = self._pending.partition(b"\0")
        message = json.loads(line)
        match message.get("method"), message.get("params", {}):
            case "Runtime.exceptionThrown", params:
                details = params["exceptionDetails"]
                exception = details.get("exception", {}).get("description")
                self.complaints.append(exception or details["text"])
            case "Runtime.consoleAPICalled", {"type": "error" | "warning"} as params:
                self.complaints.append(str(params["args"]))
            case "Log.entryAdded", {"entry": {"level": "error" | "warning"} as entry}:
                self.complaints.append(entry["text"])
            case "Network.requestWillBeSent", params:
                self.requests.append(params["request"]["url"])
            case str() as name, _:
                self._events.append(name)
        return message
