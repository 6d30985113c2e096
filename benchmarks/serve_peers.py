"""Throughput and latency of `serve` with many clients, against `infer` and a minimal server.

python benchmarks/serve_peers.py --model demo --data ../shared/data/snippets [--peer PYTHON]

Baselines, each in turn with the server and on the same clips:
- `infer` over the same files, without the time to open the model;
- the same server, sent one request at a time;
- with --peer, faster-whisper (int8) behind FastAPI, one request at a time; PYTHON is that of a
  virtual environment with faster-whisper, fastapi, uvicorn and python-multipart.
Also the latency of a 2-second clip alone, and while an hour-long file is transcribed.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import os
import re
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import soundfile

BOUNDARY = "7d1b3c5f"
AUDIO = {".wav", ".flac", ".mp3", ".aiff"}
HOUR_S = 3600


@dataclass(frozen=True)
class Clip:
    path: Path
    seconds: float


@dataclass(frozen=True, order=True)
class Cost:
    """Wall time and processor time, in seconds."""

    wall_s: float
    cpu_s: float


@dataclass(frozen=True)
class Served:
    """What clients saw: seconds in all, and of each request."""

    cost: Cost
    latencies_s: list[float]
    texts: dict[str, str]


def find_clips(folder: Path, repeats: int, scratch: Path) -> list[Clip]:
    """Return copies of all clips below a folder that last up to 30 s."""
    clips = []
    for path in sorted(folder.rglob("*")):
        if path.suffix in AUDIO and (seconds := soundfile.info(path).duration) <= 30:
            for number in range(repeats):
                copy = scratch / f"{len(clips):05}-{number}-{path.name}"
                copy.write_bytes(path.read_bytes())
                clips.append(Clip(copy, seconds))
    return clips


def start(line: Sequence[str], ready: str) -> tuple[subprocess.Popen[str], str]:
    """Start a server, and return it with its address once it prints a line with `ready`."""
    process = subprocess.Popen(line, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    assert process.stdout is not None
    for text in process.stdout:
        if found := re.search(rf"{ready}.*?(\d+)\s*$", text):
            return process, found[1]
    raise SystemExit(f"{line} did not start.")


def stop(process: subprocess.Popen[str]) -> None:
    process.send_signal(signal.SIGTERM)
    process.wait()


def cpu_s(pid: int) -> float:
    """Return the processor time of a process and its workers so far, in seconds."""
    line = ["ps", "-o", "pid=", "--ppid", str(pid)]
    children = subprocess.run(line, stdout=subprocess.PIPE, text=True, check=False).stdout
    total = 0
    for one in [pid, *map(int, children.split())]:
        fields = Path(f"/proc/{one}/stat").read_text().rpartition(")")[2].split()
        total += int(fields[11]) + int(fields[12])
    return total / os.sysconf("SC_CLK_TCK")


def request_bytes(path: Path, fields: dict[str, str]) -> bytes:
    """Return a whole HTTP request that uploads a file."""
    parts = [
        f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{value}\r\n'
        for name, value in fields.items()
    ]
    head = f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="file"; filename="{path.name}"'
    body = "".join([*parts, head, "\r\nContent-Type: audio/wav\r\n\r\n"]).encode()
    body += path.read_bytes() + f"\r\n--{BOUNDARY}--\r\n".encode()
    lines = [
        "POST /v1/audio/transcriptions HTTP/1.1",
        "Host: localhost",
        f"Content-Type: multipart/form-data; boundary={BOUNDARY}",
        f"Content-Length: {len(body)}",
    ]
    return "\r\n".join([*lines, "", ""]).encode() + body


class Client:
    """A connection that is kept."""

    def __init__(self, port: str, fields: dict[str, str]) -> None:
        self.port, self.fields = port, fields

    async def __aenter__(self) -> Client:
        self.reader, self.writer = await asyncio.open_connection("127.0.0.1", int(self.port))
        return self

    async def __aexit__(self, *_: object) -> None:
        self.writer.close()

    async def post(self, path: Path) -> str:
        self.writer.write(request_bytes(path, self.fields))
        await self.writer.drain()
        head = (await self.reader.readuntil(b"\r\n\r\n")).decode().lower()
        length = int(re.search(r"content-length: (\d+)", head)[1])
        body = await self.reader.readexactly(length)
        if " 200 " not in head.splitlines()[0]:
            raise SystemExit(f"{path}: {head.splitlines()[0]} {body[:300]!r}")
        return str(json.loads(body)["text"])


async def send_all(port: str, clips: Sequence[Clip], clients: int, pid: int) -> Served:
    """Send all clips from so many clients at once to the server of a process."""
    left, latencies, texts = list(reversed(clips)), [], {}

    async def run() -> None:
        async with Client(port, {"model": "m"}) as client:
            while left:
                clip = left.pop()
                began = time.perf_counter()
                texts[clip.path.name] = await client.post(clip.path)
                latencies.append(time.perf_counter() - began)

    began, before_s = time.perf_counter(), cpu_s(pid)
    await asyncio.gather(*(run() for _ in range(clients)))
    cost = Cost(time.perf_counter() - began, cpu_s(pid) - before_s)
    return Served(cost, latencies, texts)


INFER = """
import json, sys
from pathlib import Path
from gaudi_asr_cli.core.devices import open_device
from gaudi_asr_cli.core.runtime import configure
device = open_device("cpu")
configure(device)
from gaudi_asr_cli.core.events import UtteranceDone
from gaudi_asr_cli.core.inference.options import InferenceOptions
from gaudi_asr_cli.core.workflows.infer import InferRequest, infer
texts = {}
def observe(event):
    if isinstance(event, UtteranceDone):
        texts[Path(event.path).name] = event.transcript.text if event.transcript else None
options = InferenceOptions(temperatures=None, vad="auto", timestamps="none")
import os
before = sum(os.times()[:2])
report = infer(InferRequest((sys.argv[2],), model=sys.argv[1], options=options), device, observe)
used = sum(os.times()[:2]) - before
print(json.dumps({"wall_s": report.wall_s, "cpu_s": used, "texts": texts}))
"""


def run_infer(model: str, folder: Path) -> tuple[Cost, dict[str, str]]:
    """Return what `infer` takes (processor time with opening the model), and the texts."""
    line = [sys.executable, "-c", INFER, model, str(folder)]
    done = subprocess.run(line, stdout=subprocess.PIPE, text=True, check=True)
    value = json.loads(done.stdout.splitlines()[-1])
    return Cost(value["wall_s"], value["cpu_s"]), value["texts"]


PEER = """
import asyncio, sys, tempfile
import uvicorn
from fastapi import FastAPI, Form, UploadFile
from faster_whisper import WhisperModel
model = WhisperModel(sys.argv[1], device="cpu", compute_type="int8", cpu_threads=int(sys.argv[2]))
app = FastAPI()
one_by_one = asyncio.Lock()
def transcribe(path):
    segments, _ = model.transcribe(path, language="en", beam_size=1, vad_filter=True)
    return "".join(one.text for one in segments).strip()
@app.post("/v1/audio/transcriptions")
async def answer(file: UploadFile, model: str = Form()):
    with tempfile.NamedTemporaryFile() as copy:
        copy.write(await file.read())
        copy.flush()
        async with one_by_one:
            return {"text": await asyncio.to_thread(transcribe, copy.name)}
import socket
bound = socket.socket(proto=socket.IPPROTO_TCP)
bound.bind(("127.0.0.1", 0))
print("Serving at", bound.getsockname()[1], flush=True)
asyncio.run(uvicorn.Server(uvicorn.Config(app, log_level="warning")).serve([bound]))
"""


def serve_line(model: str, extra: Sequence[str]) -> list[str]:
    line = [sys.executable, "-m", "gaudi_asr_cli", "serve", "--model", f"m={model}"]
    return [*line, "--port", "0", *extra]


def long_file(clips: Sequence[Clip], scratch: Path, seconds: int) -> Path:
    """Return a file of so many seconds of the clips' speech."""
    import soxr

    parts, total = [], 0.0
    while total < seconds:
        for clip in clips[:: max(1, len(clips) // 40)]:
            samples, rate = soundfile.read(clip.path, dtype="float32", always_2d=True)
            parts.append(soxr.resample(samples.mean(1), rate, 16_000))
            total += clip.seconds
    path = scratch / "hour.flac"
    soundfile.write(path, np.concatenate(parts)[: seconds * 16_000], 16_000)
    return path


async def latencies_of(port: str, clip: Path, count: int) -> list[float]:
    latencies = []
    async with Client(port, {"model": "m"}) as client:
        for _ in range(count):
            began = time.perf_counter()
            await client.post(clip)
            latencies.append(time.perf_counter() - began)
            await asyncio.sleep(0.05)
    return latencies


async def latency_beside(port: str, clip: Path, hour: Path, count: int) -> list[float]:
    """Return the latencies of a clip while a long file is transcribed."""
    async with Client(port, {"model": "m"}) as client:
        client.writer.write(request_bytes(hour, {"model": "m"}))
        await client.writer.drain()
        await asyncio.sleep(2)
        latencies = await latencies_of(port, clip, count)
        with contextlib.suppress(asyncio.TimeoutError):
            answer = await asyncio.wait_for(client.reader.readline(), 0.1)
            print(f"  (the long file was answered before the last clip: {answer!r})")
        return latencies


def p95(values: Sequence[float]) -> float:
    return statistics.quantiles(values, n=20)[-1]


def measure_throughput(
    options: argparse.Namespace, clips: list[Clip], folder: Path, repeats: int
) -> None:
    audio_s = sum(clip.seconds for clip in clips)
    print(f"{len(clips)} clips, {audio_s:.0f} s, {options.clients} clients", flush=True)
    process, port = start(serve_line(options.model, options.serve), "Serving at")
    peer = None
    if options.peer:
        line = [options.peer, "-c", PEER, options.peer_model or options.model, str(os.cpu_count())]
        peer, peer_port = start(line, "Serving at")
    found: dict[str, list[Cost]] = {}
    try:
        asyncio.run(send_all(port, clips[:16], 4, process.pid))
        if peer is not None:
            asyncio.run(send_all(peer_port, clips[:4], 1, peer.pid))
        for _ in range(repeats):
            served = asyncio.run(send_all(port, clips, options.clients, process.pid))
            found.setdefault(f"serve, {options.clients} clients", []).append(served.cost)
            cost, texts = run_infer(options.model, folder)
            found.setdefault("infer", []).append(cost)
            same = sum(served.texts[name] == text for name, text in texts.items())
            print(f"  texts equal to those of infer: {same} of {len(texts)}")
            one = asyncio.run(send_all(port, clips, 1, process.pid))
            found.setdefault("serve, one request at a time", []).append(one.cost)
            if peer is not None:
                other = asyncio.run(send_all(peer_port, clips, options.clients, peer.pid))
                found.setdefault("faster-whisper int8", []).append(other.cost)
    finally:
        stop(process)
        if peer is not None:
            stop(peer)
    best = {name: min(costs) for name, costs in found.items()}
    ours = next(iter(best.values()))
    for name, cost in best.items():
        print(
            f"  {name:28} {cost.wall_s:7.2f} s {audio_s / cost.wall_s:7.1f} RTFx "
            f"{cost.cpu_s:7.2f} CPU s; serve is {cost.wall_s / ours.wall_s:.2f} x as fast"
        )


def measure_latency(options: argparse.Namespace, clips: list[Clip], scratch: Path) -> None:
    clip = min(clips, key=lambda one: abs(one.seconds - 2.0))
    hour = long_file(clips, scratch, options.long_s)
    process, port = start(serve_line(options.model, options.serve), "Serving at")
    try:
        asyncio.run(latencies_of(port, clip.path, 5))
        alone = asyncio.run(latencies_of(port, clip.path, options.latencies))
        beside = asyncio.run(latency_beside(port, clip.path, hour, options.latencies))
    finally:
        process.kill()
        process.wait()
    for name, values in (("alone", alone), (f"beside {options.long_s} s", beside)):
        middle = statistics.median(values)
        print(f"  {clip.seconds:.1f} s clip {name}: median {middle:.3f} s, p95 {p95(values):.3f} s")
    print(f"  p95 is {p95(beside) / p95(alone):.2f} x that alone")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", default="demo")
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--copies", type=int, default=10)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--clients", type=int, default=16)
    parser.add_argument("--latencies", type=int, default=60)
    parser.add_argument("--long-s", type=int, default=HOUR_S)
    parser.add_argument("--peer", help="Python with faster-whisper")
    parser.add_argument("--peer-model", help="its model: a folder of CTranslate2, or a name")
    parser.add_argument("--only", choices=["throughput", "latency"])
    parser.add_argument("--serve", nargs="*", default=[], help="more options of serve")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name, "clips")
        folder.mkdir()
        clips = find_clips(options.data, options.copies, folder)
        if options.only != "latency":
            measure_throughput(options, clips, folder, options.repeats)
        if options.only != "throughput":
            measure_latency(options, clips, Path(name))


if __name__ == "__main__":
    main()
