"""A small driver of a headless Chromium, through the DevTools protocol."""

from __future__ import annotations

import base64
import contextlib
import json
import shutil
import subprocess
import time
from pathlib import Path

NAMES = ("chromium", "chromium-browser", "google-chrome", "chrome")
WAIT_S = 30


def find_chromium():
    """Return the path of a Chromium; None if there is none."""
    return next(filter(None, map(shutil.which, NAMES)), None)


class Chromium:
    """One tab; `requests`, `messages` and `errors` are what happened in it."""

    def __init__(self, socket, session):
        self._socket = socket
        self._session = session
        self._number = 0
        self.requests = []
        self.messages = []

    def send(self, method, /, **parameters):
        """Send a command, and return its result."""
        self._number += 1
        message = {"id": self._number, "method": method, "params": parameters}
        if self._session:
            message["sessionId"] = self._session
        self._socket.send(json.dumps(message))
        while True:
            answer = json.loads(self._socket.recv(timeout=WAIT_S))
            if answer.get("id") == self._number:
                assert "error" not in answer, answer
                return answer["result"]
            self._note(answer)

    def _note(self, event):
        parameters = event.get("params", {})
        if event["method"] in {"Network.requestWillBeSent", "Network.webSocketCreated"}:
            self.requests.append(parameters.get("url") or parameters["request"]["url"])
        elif event["method"] == "Runtime.exceptionThrown":
            self.messages.append(str(parameters["exceptionDetails"]))
        elif event["method"] == "Log.entryAdded":
            self.messages.append(f"{parameters['entry']['level']}: {parameters['entry']['text']}")
        elif event["method"] == "Runtime.consoleAPICalled":
            self.messages.append(f"{parameters['type']}: {parameters['args']}")

    def run(self, script):
        """Return the value of an expression, which may be a promise."""
        result = self.send(
            "Runtime.evaluate",
            expression=script,
            awaitPromise=True,
            returnByValue=True,
            userGesture=True,
        )
        assert "exceptionDetails" not in result, result["exceptionDetails"]
        return result["result"].get("value")

    def wait_for(self, script, seconds=WAIT_S):
        """Wait until an expression is true, and return its value."""
        until_s = time.monotonic() + seconds
        while not (value := self.run(script)):
            assert time.monotonic() < until_s, f"{script} was not true in {seconds} s"
            time.sleep(0.1)
        return value

    def set_files(self, selector, *files):
        """Choose files in an input element."""
        root = self.send("DOM.getDocument")["root"]["nodeId"]
        node = self.send("DOM.querySelector", nodeId=root, selector=selector)["nodeId"]
        self.send("DOM.setFileInputFiles", nodeId=node, files=[str(one) for one in files])

    def click(self, selector):
        """Click the middle of an element, as a mouse does."""
        place = self.run(
            f"(() => {{ const one = document.querySelector({json.dumps(selector)});"
            "one.scrollIntoView({block: 'center'}); const box = one.getClientRects()[0];"
            "return {x: box.x + box.width / 2, y: box.y + box.height / 2}; })()"
        )
        for kind in ("mousePressed", "mouseReleased"):
            self.send("Input.dispatchMouseEvent", type=kind, **place, button="left", clickCount=1)

    def press(self, key, code=None):
        """Press a key, such as Enter."""
        text = {"Enter": "\r"}.get(key)
        codes = {"Tab": 9, "Enter": 13, "ArrowLeft": 37, "ArrowRight": 39, "ArrowDown": 40}
        for kind in ("keyDown", "keyUp"):
            self.send(
                "Input.dispatchKeyEvent",
                type=kind,
                key=key,
                code=code or key,
                windowsVirtualKeyCode=codes[key],
                **({"text": text} if text and kind == "keyDown" else {}),
            )

    def open(self, url):
        self.send("Page.navigate", url=url)
        self.wait_for("document.readyState === 'complete'")

    def show(self, *, width=1000, height=1000, scheme="light"):
        """Set the size of the tab and the color scheme."""
        self.send(
            "Emulation.setDeviceMetricsOverride",
            width=width,
            height=height,
            deviceScaleFactor=1,
            mobile=width < 600,
        )
        self.send(
            "Emulation.setEmulatedMedia",
            features=[{"name": "prefers-color-scheme", "value": scheme}],
        )

    def save_screenshot(self, path):
        data = self.send("Page.captureScreenshot", format="png")["data"]
        Path(path).write_bytes(base64.b64decode(data))


@contextlib.contextmanager
def opened_chromium(folder, *, microphone=None):
    """Start a Chromium with its files in a folder; `microphone` is a WAV file that it repeats."""
    from websockets.sync.client import connect

    folder = Path(folder)
    arguments = [
        *("--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"),
        *("--no-first-run", "--disable-background-networking", "--disable-component-update"),
        *("--remote-debugging-port=0", f"--user-data-dir={folder / 'profile'}"),
        "--autoplay-policy=no-user-gesture-required",
    ]
    if microphone is not None:
        arguments += [
            "--use-fake-ui-for-media-stream",
            "--use-fake-device-for-media-stream",
            f"--use-file-for-fake-audio-capture={microphone}",
        ]
    port_file = folder / "profile" / "DevToolsActivePort"
    with (folder / "chromium.log").open("wb") as log:
        process = subprocess.Popen(
            [find_chromium(), *arguments, "about:blank"], stdout=log, stderr=log
        )
    try:
        until_s = time.monotonic() + WAIT_S
        while not port_file.is_file() or port_file.read_text().count("\n") < 1:
            assert time.monotonic() < until_s, (folder / "chromium.log").read_text()
            time.sleep(0.05)
        port, path = port_file.read_text().split("\n")[:2]
        with connect(f"ws://127.0.0.1:{port}{path}", max_size=None, proxy=None) as socket:
            browser = Chromium(socket, None)
            target = browser.send("Target.createTarget", url="about:blank")["targetId"]
            session = browser.send("Target.attachToTarget", targetId=target, flatten=True)
            tab = Chromium(socket, session["sessionId"])
            browser.send("Browser.setDownloadBehavior", behavior="allow", downloadPath=str(folder))
            for domain in ("Page", "Runtime", "Network", "Log", "DOM"):
                tab.send(f"{domain}.enable")
            yield tab
    finally:
        process.terminate()
        process.wait(WAIT_S)
