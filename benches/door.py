#!/usr/bin/env python3
"""How fast the HTTP door is: status reads, durable starts, reads beside a download, and the live limit.

`cargo build --release --features testing`, then `benches/door.py [reads|starts|beside|limit ...]`. Needs `wrk`
(https://github.com/wg/wrk) for the reads. Everything runs on this machine and is gone afterwards.
"""

import http.client
import json
import os
import re
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import peers

ROOT = Path(__file__).resolve().parent.parent
BIN = Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target")) / "release"


class World:
    """A practice hub and a service in a folder of their own."""

    def __init__(self, *hub):
        self.folder = tempfile.TemporaryDirectory(dir=os.environ.get("BENCH_DIR"))
        self.hub = subprocess.Popen(
            [BIN / "practicehub", "--with-stdin", *hub], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL, text=True)
        endpoint = self.hub.stdout.readline().strip().split("=", 1)[1]
        env = {name: os.environ[name] for name in ("PATH", "LANG") if name in os.environ}
        home = self.folder.name
        env |= {"HOME": home, "HF_HOME": f"{home}/hf", "HF_ENDPOINT": endpoint, "MODELHAUL_DB": f"{home}/m.db",
                "MODELHAUL_ADMIN_TOKEN": "bench-door-token-0123456789", "MODELHAUL_LOG": "warn"}
        self.service = subprocess.Popen([BIN / "modelhaul", "serve", "--listen", "127.0.0.1:0"], env=env,
                                        stdout=subprocess.PIPE, text=True)
        self.url = self.service.stdout.readline().strip().removeprefix("listening on ")
        self.address = self.url.removeprefix("http://").rstrip("/")

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.service.terminate()
        self.service.wait(20)
        self.hub.stdin.close()
        self.hub.wait(20)
        self.folder.cleanup()

    def connect(self):
        return http.client.HTTPConnection(self.address, timeout=60)

    def ask(self, method, path, body=None, connection=None):
        connection = connection or self.connect()
        headers = {"Authorization": "Bearer bench-door-token-0123456789"}
        if body is not None:
            headers["Content-Type"] = "application/json"
        connection.request(method, path, json.dumps(body) if body is not None else None, headers)
        answer = connection.getresponse()
        text = answer.read()
        if answer.status >= 300:
            raise SystemExit(f"{method} {path}: {answer.status} {text.decode()}")
        return json.loads(text)

    def register(self, model, connection=None):
        body = {"model_id": model, "kind": "generic", "repo_id": "me/big"}
        return self.ask("POST", "/api/v1/models", body, connection)

    def pause(self, paused):
        self.ask("PATCH", "/api/v1/queue", {"paused": paused})

    def wrk(self, path, seconds, rate=None):
        """Reads as fast as it goes, or about `rate` a second by pausing in each of the connections."""
        command = ["wrk", "-t1", "-c8", f"-d{seconds}s", "--latency", self.url.rstrip("/") + path]
        with tempfile.NamedTemporaryFile("w", suffix=".lua") as script:
            if rate:
                script.write(f"function delay() return {8_000 // rate} end\n")
                script.flush()
                command[1:1] = ["-s", script.name]
            text = subprocess.run(command, capture_output=True, text=True, check=True).stdout
        wrong = re.search(r"Non-2xx.*", text)
        per_second = re.search(r"Requests/sec:\s+([\d.]+)", text)[1]
        p99 = re.search(r"99%\s+(\S+)", text)[1]
        return f"{float(per_second):,.0f} a second, p99 {p99}{' ' + wrong[0] if wrong else ''}"


def reads():
    with World("--repo", "me/big:1M:4") as world:
        for n in range(10):
            world.register(f"m{n}")
        print("status of a registered model:", world.wrk("/api/model-download-status/m0", 5))
        world.pause(True)
        for n in range(10):
            world.ask("POST", f"/api/model-download/m{n}/start")
        print("status of a queued model:", world.wrk("/api/model-download-status/m3", 5))
        print("status of the queue, 10 jobs:", world.wrk("/api/model-download-queue-status", 5))
        world.pause(False)
        world.ask("GET", "/api/v1/models/m0/wait?timeout=60")
        print("status of a complete model:", world.wrk("/api/model-download-status/m0", 5))


def starts():
    count, clients = 4000, 32
    with World("--repo", "me/big:1M:1") as world:
        world.pause(True)

        def each(work, clients):
            """Work for every model by so many clients; seconds in all."""
            def client(number):
                connection = world.connect()
                for n in range(number, count, clients):
                    work(n, connection)
            threads = [threading.Thread(target=client, args=[n]) for n in range(clients)]
            begun = time.monotonic()
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
            return time.monotonic() - begun

        seconds = each(lambda n, c: world.register(f"m{n}", c), clients)
        print(f"{count} registrations by {clients} clients: {count / seconds:,.0f} a second")
        # Python is too slow to ask: wrk starts them one by one.
        with tempfile.NamedTemporaryFile("w", suffix=".lua") as script:
            script.write("local n = -1\nfunction request() n = n + 1; if n >= %d then wrk.thread:stop() end\n"
                         "return wrk.format('POST', '/api/model-download/m' .. n .. '/start') end\n" % (count - 64))
            script.flush()
            begun = time.monotonic()
            watch = subprocess.Popen(["wrk", "-t1", "-c64", "-d30s", "--latency", "-s", script.name, world.url],
                                     stdout=subprocess.PIPE, text=True)
            while watch.poll() is None:
                size = world.ask("GET", "/api/v1/queue?limit=1")["queue_size"]
                if size >= count - 128:
                    break
                time.sleep(0.02)
            seconds = time.monotonic() - begun
            text = watch.communicate()[0]
        p99 = re.search(r"99%\s+(\S+)", text)
        print(f"{size} durable starts by 64 clients: {size / seconds:,.0f} a second, p99 {p99 and p99[1]}")
        connection, times = world.connect(), []
        for n in range(300):
            world.register(f"one{n}", connection)
            begun = time.monotonic()
            world.ask("POST", f"/api/model-download/one{n}/start", None, connection)
            times.append(time.monotonic() - begun)
        times.sort()
        print(f"one client alone: median {times[150] * 1000:.2f} ms, p99 {times[296] * 1000:.2f} ms a start")


def rate_of(world, model, seconds):
    path = f"/api/model-download-status/{model}"
    def here():
        return world.ask("GET", path)["progress"]["bytes_downloaded"], time.monotonic()
    (before, begun), _ = here(), time.sleep(seconds)
    after, ended = here()
    return (after - before) / (ended - begun)


def begin(world, limit):
    world.ask("PATCH", "/api/v1/queue", {"bandwidth_limit": limit})
    world.register("big")
    world.ask("POST", "/api/model-download/big/start")
    while world.ask("GET", "/api/model-download-status/big")["progress"]["bytes_downloaded"] < 1_000_000:
        time.sleep(0.05)
    time.sleep(1)


def beside():
    with World("--repo", "me/big:8G:1") as world:
        begin(world, 100_000_000)
        alone = rate_of(world, "big", 8)
        got = []
        reader = threading.Thread(
            target=lambda: got.append(world.wrk("/api/model-download-status/big", 9, 2500)))
        reader.start()
        time.sleep(0.5)
        both = rate_of(world, "big", 8)
        reader.join()
        print(f"download alone {alone / 1e6:.1f} MB/s, beside reads {both / 1e6:.1f} MB/s ({both / alone:.1%}); {got[0]}")
        world.ask("POST", "/api/v1/models/big/cancel")


def limit():
    # What comes goes into the page cache, at twice the speed of some disks: the machine must have the memory at hand.
    peers.warm(6 << 30)
    with World("--repo", "me/big:20G:1") as world:
        begin(world, 1_000_000)
        for limit, seconds in [(1_000_000, 20), (500_000_000, 4), (1_000_000, 20)]:
            world.ask("PATCH", "/api/v1/queue", {"bandwidth_limit": limit})
            time.sleep(0.2)
            first = rate_of(world, "big", 1)
            average = rate_of(world, "big", seconds)
            print(f"limit {limit / 1e6:g} MB/s: {average / 1e6:.3f} MB/s ({average / limit:.1%}) over {seconds} s; "
                  f"{first / limit:.1%} in the second that begins 200 ms after the change")
        world.ask("POST", "/api/v1/models/big/cancel")


PARTS = {"reads": reads, "starts": starts, "beside": beside, "limit": limit}
for part in sys.argv[1:] or PARTS:
    PARTS[part]()
