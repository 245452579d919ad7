#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""svgcast_chromium.py SVGCAST SAMPLE: a headless Chromium shows frame t at time t.

Makes frames with SAMPLE, the picture with SVGCAST, opens it in Chromium (Debian package chromium), sets the clock of its
animations to a time and compares a screenshot with the frame of that time, pixel by pixel (`svgcast --patches`, which must print an
empty list). Then in an img element, where nothing can reach inside and time is real: the frame before a long wait, at
the beginning, half-way and at the end. Exit code 77, with the reason, where there is no Chromium."""
import base64
import json
import os
import select
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

PROGRAMS = ("chromium", "chromium-browser", "google-chrome", "chromium-headless-shell")
WIDTH, HEIGHT, FRAMES, INTERVAL_MS = 320, 180, 40, 100
ANSWER_SECONDS = 40


class Browser:
    """Chromium's debugging protocol over two pipes: JSON messages that end with a zero byte."""

    def __init__(self, program, folder):
        to_browser, from_browser = os.pipe(), os.pipe()
        self.input, self.output = to_browser[1], from_browser[0]
        flags = ["--headless", "--remote-debugging-pipe", "--disable-gpu", "--hide-scrollbars", "--no-first-run",
                 "--force-color-profile=srgb", "--force-device-scale-factor=1", f"--user-data-dir={folder}/profile"]
        if os.geteuid() == 0:
            flags.append("--no-sandbox")
        command = ["sh", "-c", f'exec "$@" 3<&{to_browser[0]} 4>&{from_browser[1]}', "sh", program, *flags, "about:blank"]
        self.log = open(f"{folder}/chromium.log", "wb")
        self.process = subprocess.Popen(command, pass_fds=(to_browser[0], from_browser[1]), stdout=self.log,
                                        stderr=self.log, env={**os.environ, "HOME": str(folder)})
        os.close(to_browser[0])
        os.close(from_browser[1])
        self.number, self.pending, self.session = 0, b"", None
        targets = self.ask("Target.getTargets")["targetInfos"]
        page = next(target["targetId"] for target in targets if target["type"] == "page")
        self.session = self.ask("Target.attachToTarget", targetId=page, flatten=True)["sessionId"]
        self.ask("Page.enable")
        self.ask("Emulation.setDeviceMetricsOverride", width=WIDTH, height=HEIGHT, deviceScaleFactor=1, mobile=False)

    def message(self, end):
        while b"\0" not in self.pending:
            if not select.select([self.output], [], [], max(0, end - time.monotonic()))[0]:
                raise TimeoutError("Chromium does not answer")
            data = os.read(self.output, 1 << 20)
            if not data:
                raise EOFError("Chromium ended")
            self.pending += data
        text, self.pending = self.pending.split(b"\0", 1)
        return json.loads(text)

    def ask(self, method, **parameters):
        self.number += 1
        message = {"id": self.number, "method": method, "params": parameters}
        if self.session:
            message["sessionId"] = self.session
        os.write(self.input, json.dumps(message).encode() + b"\0")
        end = time.monotonic() + ANSWER_SECONDS
        while True:
            answer = self.message(end)
            if answer.get("id") != self.number:
                continue
            if "error" in answer:
                raise RuntimeError(f"{method}: {answer['error']}")
            return answer["result"]

    def run(self, script):
        result = self.ask("Runtime.evaluate", expression=script, awaitPromise=True, returnByValue=True)
        if "exceptionDetails" in result:
            raise RuntimeError(f"{script}: {result['exceptionDetails']}")
        return result["result"].get("value")

    def open(self, path):
        self.ask("Page.navigate", url=f"file://{path}")
        end = time.monotonic() + ANSWER_SECONDS
        while not self.run(f"document.readyState === 'complete' && location.href.endsWith('{path.name}')"):
            if time.monotonic() > end:
                raise TimeoutError(f"{path} is not loaded")
            time.sleep(0.02)

    def screenshot(self, path):
        data = self.ask("Page.captureScreenshot", format="png", captureBeyondViewport=False)["data"]
        path.write_bytes(base64.b64decode(data))

    def close(self):
        os.close(self.input)
        try:
            self.process.wait(5)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        os.close(self.output)
        self.log.close()


def make_frames(folder, sample):
    frames = subprocess.run([sample, "--size", f"{WIDTH}x{HEIGHT}", "--frames", str(FRAMES), folder], check=True,
                            stdout=subprocess.PIPE, text=True).stdout.split()
    assert len(frames) == FRAMES
    return frames


def make_picture(folder, svgcast, frames, name, stamps):
    picture, times = Path(folder) / f"{name}.svg", Path(folder) / f"{name}.txt"
    times.write_text("".join(f"{stamp}\n" for stamp in stamps))
    subprocess.run([svgcast, "--stamps", times, "-o", picture, *frames], check=True)
    return picture


def difference(svgcast, a, b):
    return json.loads(subprocess.run([svgcast, "--patches", a, b], check=True, stdout=subprocess.PIPE).stdout)


def expect(svgcast, browser, folder, frame, what):
    shot = Path(folder) / "shot.png"
    browser.screenshot(shot)
    regions = difference(svgcast, frame, shot)
    print(f"{what}: {'as ' + Path(frame).name if not regions else 'differs from ' + Path(frame).name + f': {regions[:3]}'}")
    return not regions


def set_clock(browser, at_ms):
    """Every animation to its time; two frames later that is what is drawn."""
    count = browser.run("(async () => { const all = document.getAnimations();"
                        f"for (const one of all) {{ one.pause(); one.currentTime = {at_ms}; }}"
                        "for (let i = 0; i < 2; i++) await new Promise(requestAnimationFrame);"
                        "return all.length; })()")
    assert count > 0, "the picture has no animations"


def check_times(svgcast, browser, folder, frames, picture):
    """At the time of a frame, and one millisecond before the next one's."""
    browser.open(picture)
    good = True
    for index in (0, 1, 2, FRAMES // 3, FRAMES // 2, FRAMES - 2, FRAMES - 1):
        for at_ms in (index * INTERVAL_MS, (index + 1) * INTERVAL_MS - 1):
            set_clock(browser, at_ms)
            good = expect(svgcast, browser, folder, frames[index], f"at {at_ms} ms") and good
    return good


def check_image(svgcast, browser, folder, frames, reached):
    """In an img element, where time is real: the frames up to `reached` come at once, the others in an hour."""
    stamps = [index * 10 if index <= reached else 3600000 + index for index in range(FRAMES)]
    name = f"up-to-{reached}"
    picture = make_picture(folder, svgcast, frames, name, stamps)
    page = Path(folder) / f"{name}.html"
    page.write_text(f"<!DOCTYPE html><body style='margin:0'><img style='display:block' src='{picture.name}'></body>")
    browser.open(page)
    time.sleep(reached * 0.01 + 1)
    return expect(svgcast, browser, folder, frames[reached], f"in an img element, frame {reached}")


def check_all(browser, folder, svgcast, sample):
    frames = make_frames(folder, sample)
    assert difference(svgcast, frames[0], frames[1]), "the sample frames do not differ"
    picture = make_picture(folder, svgcast, frames, "cast", [index * INTERVAL_MS for index in range(FRAMES)])
    good = check_times(svgcast, browser, folder, frames, picture)
    for reached in (0, FRAMES // 2, FRAMES - 1):
        good = check_image(svgcast, browser, folder, frames, reached) and good
    return good


def main():
    svgcast, sample = sys.argv[1:]
    program = next((path for path in map(shutil.which, PROGRAMS) if path), None)
    if not program:
        print("no Chromium here: install the Debian package chromium to see the picture played")
        return 77
    with tempfile.TemporaryDirectory(prefix="rask-svgcast.", ignore_cleanup_errors=True) as folder:
        browser = Browser(program, folder)
        try:
            return 0 if check_all(browser, folder, svgcast, sample) else 1
        finally:
            browser.close()


if __name__ == "__main__":
    sys.exit(main())
