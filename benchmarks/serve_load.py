#!/usr/bin/env python
"""Service under overload: `cockatoo serve` in a process of its own gets requests of one text at several times its capacity, over the loopback.

The capacity is what clients reach that wait for each answer. Then requests are sent at a fixed rate, whether or not earlier ones are answered. Each answer must be the
score of `Predictor` or a refusal with status 429. The ratio is the capacity divided by that of a service that computes one text at a time (`--max-batch 1`). Targets: no
wrong answer, no lost request, steady memory, 3 times the throughput of one forward pass per request. Clients and service share the processor.

    python benchmarks/serve_load.py
    python benchmarks/serve_load.py --model runs/goemotions --seconds 20 --times 4 --json
"""
import argparse
import asyncio
import json
import os
import socket
import subprocess
import sys
import tempfile
import time
from collections import Counter
from contextlib import contextmanager
from pathlib import Path

RATIO, GROWTH = 3.0, 1.1  # Of the throughput; of the memory from a tenth of the time to the end
ROOT = Path(__file__).resolve().parents[1]
WORDS = "the station at noon is where we meet and you bring a free cake for all of us please click here now or never".split()


def train(folder, size):
    "A run of a classifier on the demo data."
    command = [sys.executable, "-m", "cockatoo.cli", "train", "--model-type", "minilm", "--size", size, "--data", "demo", "--output-dir", str(folder)]
    subprocess.run([*command, "--data.max-samples", "256", "--training.num-epochs", "1"], check=True, stdout=subprocess.DEVNULL)


def make_texts(count, seed=0):
    "Texts of 4 to 40 words, all different."
    import random

    random_ = random.Random(seed)
    return [f"{i} {' '.join(random_.choices(WORDS, k=random_.randint(3, 39)))}" for i in range(count)]


@contextmanager
def serving(model, batch, waiting):
    "A service in a process of its own; gives its port and its process."
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        port = one.getsockname()[1]
    command = [sys.executable, "-m", "cockatoo.cli", "serve", str(model), "--port", str(port), "--max-batch", str(batch), "--max-waiting", str(waiting)]
    process = subprocess.Popen(command, stderr=subprocess.DEVNULL)
    try:
        while socket.socket().connect_ex(("127.0.0.1", port)):
            if process.poll() is not None: raise SystemExit(f"cockatoo serve ended with status {process.returncode}")
            time.sleep(.1)
        yield port, process
    finally:
        process.terminate()
        process.wait()


class Client:
    "Connections that are kept open, and what was answered over them."

    def __init__(self, port, bodies, expected, tolerance):
        self.port, self.bodies, self.expected, self.tolerance = port, bodies, expected, tolerance
        self.free, self.sent, self.count, self.seconds, self.finished = [], 0, Counter(), [], []

    async def _exchange(self, body):
        "Status and content of an answer."
        reader, writer = self.free.pop() if self.free else await asyncio.open_connection("127.0.0.1", self.port)
        head = f"POST /predict HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
        writer.write(head.encode() + body)
        lines = (await reader.readuntil(b"\r\n\r\n")).decode().lower().split("\r\n")
        headers = dict(line.split(": ", 1) for line in lines[1:] if line)
        content = await reader.readexactly(int(headers["content-length"]))
        if headers.get("connection") == "close": writer.close()
        else: self.free.append((reader, writer))
        return int(lines[0].split()[1]), json.loads(content)

    async def ask(self):
        "Send a request, and judge its answer."
        i, start = self.sent % len(self.bodies), time.perf_counter()
        self.sent += 1
        try: status, content = await self._exchange(self.bodies[i])
        except (OSError, EOFError, ValueError) as error: status, content = f"lost: {type(error).__name__}", None
        if status == 200:
            self.seconds.append(time.perf_counter() - start)
            self.finished.append(time.perf_counter())
            scores = list(content["predictions"].values())
            if max(abs(a - b) for a, b in zip(scores, self.expected[i], strict=True)) > self.tolerance: status = "wrong"
        self.count[str(status)] += 1


async def closed_loop(client, clients, seconds):
    "Clients that wait for each answer; gives the answers per second."
    start = time.perf_counter()
    async def work():
        while time.perf_counter() < start + seconds: await client.ask()
    await asyncio.gather(*(work() for _ in range(clients)))
    return sum(at <= start + seconds for at in client.finished) / seconds


async def open_loop(client, rate, seconds, measure):
    "Requests at a fixed rate; gives the answers per second until the last of them, requests per second, and what `measure` gave at a tenth of the time and at the end."
    start, tasks, early = time.perf_counter(), set(), None
    while (now := time.perf_counter() - start) < seconds:
        for _ in range(max(0, int(now * rate) + 1 - client.sent)):
            task = asyncio.ensure_future(client.ask())
            tasks.add(task)
            task.add_done_callback(tasks.discard)
        if early is None and now > seconds / 10: early = measure()
        await asyncio.sleep(.005)
    sent, late = client.sent / seconds, measure()
    await asyncio.gather(*tasks)
    return len(client.finished) / (max(client.finished, default=start + seconds) - start), sent, early, late


def overload(model, batch, options, bodies, expected):
    "A row of the table: one service, its capacity, and its answers under load."
    import numpy as np
    import psutil

    with serving(model, batch, options.waiting) as (port, process):
        new = lambda: Client(port, bodies, expected, options.tolerance)
        memory = lambda: psutil.Process(process.pid).memory_info().rss / 1e6
        asyncio.run(closed_loop(new(), options.clients, 1))
        capacity = asyncio.run(closed_loop(new(), options.clients, max(2, options.seconds / 6)))
        client = new()
        reached, sent, early, late = asyncio.run(open_loop(client, options.times * capacity, options.seconds, memory))
        rest = {status: count for status, count in client.count.items() if status not in ("200", "429")}
        p50, p99 = np.percentile(client.seconds or [0.], (50, 99))
        return {
            "service": f"batches of {batch}" if batch > 1 else "one by one", "capacity": round(capacity, 1), "sent_per_second": round(sent, 1), "sent": client.sent,
            "answered": client.count["200"], "refused": client.count["429"], "other": rest, "answered_per_second": round(reached, 1),
            "p50_ms": round(1000 * p50, 1), "p99_ms": round(1000 * p99, 1), "megabytes_start": round(early), "megabytes_end": round(late)}


def main():
    "Measure, print the table (or, with --json, one JSON object); exit status 1 when a target is missed."
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0], allow_abbrev=False)
    parser.add_argument("--model", help="a finished text classifier (default: one is trained shortly on the demo data)")
    parser.add_argument("--size", default="base", help="of the model that is trained: base or tiny (default base)")
    parser.add_argument("--seconds", type=float, default=60, help="of the load (default 60)")
    parser.add_argument("--times", type=float, default=4, help="load as a multiple of the capacity (default 4)")
    parser.add_argument("--clients", type=int, default=64, help="clients whose throughput is the capacity (default 64)")
    parser.add_argument("--waiting", type=int, default=256, help="texts that may wait, see `cockatoo serve --max-waiting` (default 256)")
    parser.add_argument("--texts", type=int, default=500, help="different texts (default 500)")
    parser.add_argument("--tolerance", type=float, default=2e-4, help="largest difference of a score (default 2e-4: an answer has 4 digits)")
    parser.add_argument("--save", metavar="FILE", help="also write the JSON object to this file")
    parser.add_argument("--json", action="store_true", help="print one JSON object instead of the table")
    options = parser.parse_args()
    from cockatoo.classifier.predict import Predictor
    from cockatoo.core.hardware import detect

    texts = make_texts(options.texts)
    bodies = [json.dumps({"text": text}).encode() for text in texts]
    with tempfile.TemporaryDirectory() as home:
        model = options.model or Path(home)/"run"
        if not options.model: train(model, options.size)
        expected = Predictor.load(model).scores(texts).tolist()
        rows = [overload(model, batch, options, bodies, expected) for batch in (64, 1)]
    ratio = rows[0]["capacity"] / max(rows[1]["capacity"], .1)
    steady = all(row["megabytes_end"] <= GROWTH * row["megabytes_start"] for row in rows)
    within = bool(ratio >= RATIO and steady and all(row["answered"] and not row["other"] for row in rows))
    result = {
        "benchmark": "serve_load", "machine": detect().name, "cores": os.cpu_count(), "seconds": options.seconds, "times": options.times, "rows": rows,
        "ratio": round(ratio, 2), "steady_memory": steady, "within": within}
    if options.save: Path(options.save).write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")
    if options.json: print(json.dumps(result))
    else:
        for row in rows:
            print("{service:15} capacity {capacity:,}/s; {sent_per_second:,}/s sent: {answered:,} answered, {refused:,} refused, other {other}; {answered_per_second:,}/s, "
                  "p50 {p50_ms:,} ms, p99 {p99_ms:,} ms, {megabytes_start:,} MB to {megabytes_end:,} MB".format(**row))
        print(f"ratio {ratio:.2f}; targets reached:", "yes" if within else "NO")
    return int(not within)


if __name__ == "__main__":
    sys.exit(main())
