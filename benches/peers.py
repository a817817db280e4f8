#!/usr/bin/env python3
"""modelhaul beside its peers, against the practice hub, in turn, in one run. Python's standard library only.

`scripts/bench` builds and installs what this needs; then, for example:

    benches/peers.py --only A,C --rounds 5 --peers modelhaul,curl,limit
    benches/peers.py --write                 # everything, and the table goes into docs/PERFORMANCE.md

"wall" is from the start of a program to its end. "safe" adds what modelhaul does and a peer leaves out: an fsync
and a sha256 of each file. Every result is checked by sha256, outside the time that is counted. A peer whose program
is not there is left out, and the report says so.
"""

import argparse
import dataclasses
import datetime
import hashlib
import json
import mmap
import os
import pathlib
import platform
import re
import shutil
import signal
import sqlite3
import statistics
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.parse
import urllib.request

ROOT = pathlib.Path(__file__).resolve().parent.parent
MIB = 1 << 20
PATIENCE = 300
SMALL = [(f"part-{n:03}.json", 50_000, False) for n in range(200)]
BEGIN, END = "<!-- table:begin -->", "<!-- table:end -->"


@dataclasses.dataclass
class Workload:
    """What is fetched, through what, and what modelhaul is held to."""

    title: str
    files: list  # (path, bytes, whether it is an LFS file)
    settings: dict
    target: str
    limit: str = "after"

    @property
    def size(self):
        return sum(size for _, size, _ in self.files)


def shaped(rate, latency, **more):
    return {"rate_per_connection": rate, "latency_ms": latency, "connect_latency_ms": latency, **more}


ONE_GIB = [("model.safetensors", 1024 * MIB, True)]
WORKLOADS = {
    "A": Workload("one file of 2 GiB, no limits", [("model.safetensors", 2048 * MIB, True)], shaped(0, 0),
                  "must 1.25 x, aim 1.1 x the limit", "one-pass"),
    "B": Workload("one file of 1 GiB, 40 MB/s per connection, 50 ms", ONE_GIB, shaped(40_000_000, 50),
                  "must 1.0 x, aim 0.75 x the limit"),
    "C": Workload("200 files of 50 KB, 30 ms, one answer each", SMALL, shaped(0, 30, resolve_cache=False),
                  "must 1.25 x, aim 1.0 x the limit"),
    "C2": Workload("the same, each behind a relative redirect as at the hub", SMALL, shaped(0, 30), ""),
    "D": Workload("4 files of 256 MiB and 30 small ones, 60 MB/s per connection, 30 ms",
                  [(f"model-{n}-of-4.safetensors", 256 * MIB, True) for n in range(1, 5)]
                  + [(f"part-{n:02}.json", 20_000, False) for n in range(30)],
                  shaped(60_000_000, 30, resolve_cache=False), "must 0.75 x, aim 0.62 x the limit"),
    "E": Workload("B killed at 60 % and started again", ONE_GIB, shaped(40_000_000, 50),
                  "must under 2 % sent again and 1.5 s, aim 1 % and 1.2 s"),
    "F": Workload("ten models of 64 MiB queued one after another", [("model.safetensors", 64 * MIB, True)], shaped(0, 0),
                  "must under 50 ms from the end of one to the first byte of the next"),
}


class Hub:
    """The practice hub as a process of its own."""

    def __init__(self, program):
        self.process = subprocess.Popen([program, "--repo", "bench/none:1:1", "--for", "86400", "--with-stdin"],
                                        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        self.endpoint = self.process.stdout.readline().strip().removeprefix("HF_ENDPOINT=")
        self.control = self.process.stderr.readline().strip().removeprefix("control: ")
        if not self.endpoint or not self.control:
            sys.exit("the practice hub did not start")

    def order(self, method, path, body=None):
        request = urllib.request.Request(self.control + path, method=method,
                                         data=None if body is None else json.dumps(body).encode())
        with urllib.request.urlopen(request, timeout=PATIENCE) as answer:
            return json.load(answer)

    def sent(self):
        counters = self.order("GET", "/counters")
        return counters["hub_bytes"] + counters["cdn_bytes"]

    def cpu(self):
        fields = pathlib.Path(f"/proc/{self.process.pid}/stat").read_text().rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def offer(self, repo, files, seed):
        """Makes a repository; its digests are known afterwards, so that no run waits for them."""
        self.order("PATCH", "/settings", shaped(0, 0))
        self.order("POST", "/repos", {"id": repo, "files": [
            {"path": path, "size": size, "seed": seed * 1000 + n, "lfs": lfs} for n, (path, size, lfs) in enumerate(files)]})
        with urllib.request.urlopen(f"{self.endpoint}/api/models/{repo}/tree/main?recursive=true", timeout=PATIENCE) as answer:
            tree = {entry["path"]: entry for entry in json.load(answer)}
        digests = {}
        for path, _, lfs in files:
            if lfs:
                digests[path] = tree[path]["lfs"]["oid"]
            else:
                with urllib.request.urlopen(f"{self.endpoint}/{repo}/resolve/main/{path}", timeout=PATIENCE) as answer:
                    digests[path] = hashlib.sha256(answer.read()).hexdigest()
        return digests

    def stop(self):
        self.process.stdin.close()
        self.process.wait(timeout=10)


class Bench:
    """Where programs are and where they work."""

    def __init__(self, arguments):
        target = pathlib.Path(arguments.target).resolve()
        self.release = target / "release"
        self.tools = target / "bench" / "venvs"
        self.work = pathlib.Path(arguments.dir or target / "bench" / "work").resolve()
        self.aside = self.work.with_name(self.work.name + "-before")
        shutil.rmtree(self.aside, ignore_errors=True)
        self.connections = arguments.connections
        self.hub = Hub(self.release / "practicehub")

    def program(self, peer):
        return {
            "modelhaul": self.release / "modelhaul",
            "curl": shutil.which("curl"),
            "aria2c": shutil.which("aria2c"),
            "hf": self.tools / "hf2/bin/hf",
            "hf-xet": self.tools / "hf2/bin/hf",
            "hf_transfer": self.tools / "hf0/bin/hf",
            "hf-hub": self.release / "examples/peer_hf_hub",
            "limit": self.release / "examples/limit",
        }[peer]

    def environment(self):
        names = ("PATH", "HOME", "LANG", "TMPDIR", "LD_LIBRARY_PATH")
        return {name: os.environ[name] for name in names if name in os.environ} | {
            "HF_ENDPOINT": self.hub.endpoint, "HF_HOME": str(self.work / "home"), "HF_HUB_CACHE": str(self.work / "hub"),
            "HF_HUB_DISABLE_TELEMETRY": "1", "XDG_CONFIG_HOME": str(self.work / "config"),
            "MODELHAUL_DB": str(self.work / "modelhaul.db")}

    def command(self, peer, repo, workload):
        """Command, additions to the environment, standard input."""
        program = str(self.program(peer))
        address = f"{self.hub.endpoint}/{repo}/resolve/main/"
        out = self.work / "out"
        if peer == "modelhaul":
            return [program, "pull", "--quiet", repo], {}, ""
        if peer == "curl":
            text = "".join(f'url = "{address}{path}"\noutput = "{out / path}"\n' for path, _, _ in workload.files)
            return [program, "-sSfL", "-Z", "-C", "-", "--create-dirs", "-K", "-"], {}, text
        if peer == "aria2c":
            text = "".join(f"{address}{path}\n  out={path}\n" for path, _, _ in workload.files)
            return [program, "-q", "-x16", "-s16", "-k1M", "-j16", "-c", "--file-allocation=falloc", "-d", str(out), "-i", "-"], {}, text
        if peer in ("hf", "hf-xet"):
            return [program, "download", repo], {} if peer == "hf-xet" else {"HF_HUB_DISABLE_XET": "1"}, ""
        if peer == "hf_transfer":
            return [program, "download", repo], {"HF_HUB_ENABLE_HF_TRANSFER": "1", "HF_HUB_DISABLE_XET": "1"}, ""
        if peer == "hf-hub":
            return [program, repo], {}, ""
        cdn = self.cdn(repo, workload) if not workload.settings.get("resolve_cache", True) else None
        where = {path: f"{cdn}/plain/{repo}/{path}" if cdn and not lfs else address + path for path, _, lfs in workload.files}
        text = "".join(f"{size} {path} {where[path]}\n" for path, size, _ in workload.files)
        return [program, workload.limit, str(out), str(self.connections)], {}, text

    def cdn(self, repo, workload):
        """The address of the storage, from a redirect to it."""
        class Stay(urllib.request.HTTPRedirectHandler):
            def redirect_request(self, *_):
                return None
        try:
            urllib.request.build_opener(Stay).open(f"{self.hub.endpoint}/bench/none/resolve/main/model-00001-of-00001.safetensors")
        except urllib.error.HTTPError as error:
            parts = urllib.parse.urlsplit(error.headers["Location"])
            return f"{parts.scheme}://{parts.netloc}"
        sys.exit("the practice hub did not redirect")

    def clean(self):
        """An empty folder to work in. The one before is emptied and put aside, and goes at the end: ext4 gives the
        number of a deleted file to no new one for minutes, and searching past hundreds of them would be measured."""
        for folder, _, names in os.walk(self.work):
            for name in names:
                path = os.path.join(folder, name)
                if not os.path.islink(path):
                    os.truncate(path, 0)
        if self.work.exists():
            self.aside.mkdir(parents=True, exist_ok=True)
            self.work.rename(self.aside / str(time.monotonic_ns()))
        (self.work / "out").mkdir(parents=True)
        os.sync()

    def found(self, peer):
        if peer in ("curl", "aria2c", "limit"):
            return self.work / "out"
        snapshots = list((self.work / "hub").glob("models--*/snapshots/*"))
        return snapshots[0] if len(snapshots) == 1 else self.work / "nothing"


class Run:
    """One program at work."""

    def __init__(self, bench, peer, repo, workload):
        command, more, text = bench.command(peer, repo, workload)
        self.log = open(bench.work / "log", "a+b")
        self.start = time.monotonic()
        self.process = subprocess.Popen(command, env=bench.environment() | more, cwd=bench.work, stdin=subprocess.PIPE,
                                        stdout=self.log, stderr=subprocess.STDOUT, start_new_session=True)
        self.peak, self.over = 0, threading.Event()
        self.watcher = threading.Thread(target=self.watch, daemon=True)
        self.watcher.start()
        self.process.stdin.write(text.encode())
        self.process.stdin.close()

    def watch(self):
        """Peak memory of the program itself: what wait4 says includes this script's, from before the exec."""
        status = f"/proc/{self.process.pid}/status"
        end = self.start + PATIENCE
        while not self.over.wait(0.01):
            try:
                found = re.search(r"VmHWM:\s+(\d+)", pathlib.Path(status).read_text())
            except OSError:
                return
            if found:
                self.peak = max(self.peak, int(found[1]) << 10)
            if time.monotonic() > end:
                os.killpg(self.process.pid, signal.SIGKILL)
                return

    def kill(self):
        os.killpg(self.process.pid, signal.SIGKILL)
        return self.end()

    def end(self):
        _, status, usage = os.wait4(self.process.pid, 0)
        self.wall = time.monotonic() - self.start
        self.process.returncode = os.waitstatus_to_exitcode(status)
        self.over.set()
        self.watcher.join()
        self.cpu = usage.ru_utime + usage.ru_stime
        self.log.seek(0)
        self.text = self.log.read().decode(errors="replace")
        return self


def warm(size):
    """Touches and frees memory, so that the page cache finds pages that the machine has.

    A virtual machine hands free memory back to its host, and a write into such memory costs eight times as much. What
    the run needs is not enough: the kernel gives out other free pages than those that were touched last.
    """
    available = int(re.search(r"MemAvailable:\s+(\d+)", pathlib.Path("/proc/meminfo").read_text())[1]) << 10
    length = min(max(2 * size, (1024 if size < 64 * MIB else 8192) * MIB), available * 6 // 10)
    with mmap.mmap(-1, length) as memory:
        memory.madvise(mmap.MADV_HUGEPAGE)
        for page in range(0, length, 4096):
            memory[page] = 1


def secure(folder, files):
    """What a peer leaves out, in seconds: fsync and sha256 of each file."""
    start = time.monotonic()
    for path, _, _ in files:
        with open(folder / path, "rb") as file:
            hashlib.file_digest(file, "sha256")
            os.fsync(file.fileno())
    return time.monotonic() - start


def check(folder, digests):
    """None, or what is wrong."""
    for path, digest in digests.items():
        try:
            with open(folder / path, "rb") as file:
                if hashlib.file_digest(file, "sha256").hexdigest() != digest:
                    return f"{path} is not what the hub has"
        except OSError as error:
            return f"{path}: {error.strerror}"
    return None


def job_seconds(bench):
    """From the accepted job to its end, as the table of jobs has it."""
    with sqlite3.connect(bench.work / "modelhaul.db") as db:
        rows = db.execute("SELECT finished_at_ms - enqueued_at_ms FROM jobs WHERE state = 'completed'").fetchall()
    return rows[-1][0] / 1000 if rows else None


def measure(bench, peer, name, workload, repo, digests):
    """One run of one peer; a dictionary of numbers, or a sentence."""
    bench.clean()
    warm(workload.size)
    bench.hub.order("PATCH", "/settings", {"resolve_cache": True} | workload.settings)
    bench.hub.order("DELETE", "/requests")
    hub_cpu = bench.hub.cpu()
    run = Run(bench, peer, repo, workload)
    first = None
    if name == "E":
        while bench.hub.sent() < 0.6 * workload.size and run.process.poll() is None:
            time.sleep(0.01)
        first = run.kill()
        run = Run(bench, peer, repo, workload)
    run.end()
    sent = bench.hub.sent()
    if run.process.returncode != 0:
        return f"exit {run.process.returncode}: {run.text.strip()[-300:]}"
    result = {"wall": run.wall, "cpu": run.cpu, "peak": run.peak, "sent": sent / workload.size,
              "hub_cpu": bench.hub.cpu() - hub_cpu, "requests": len(bench.hub.order("GET", "/requests"))}
    if first:
        result |= {"cpu": run.cpu + first.cpu, "peak": max(run.peak, first.peak), "first": first.wall}
    folder = bench.found(peer)
    wrong = check(folder, {}) if peer not in ("modelhaul", "limit") else None
    try:
        result["safe"] = run.wall + (0 if peer in ("modelhaul", "limit") else secure(folder, workload.files))
    except OSError as error:
        return f"{error.filename} is missing"
    if peer == "modelhaul":
        result["job"] = job_seconds(bench)
    if peer == "limit":
        result["steps"] = json.loads(run.text)
    wrong = wrong or check(folder, digests)
    return wrong or result


def queue(bench, workload):
    """F: gaps between the end of a job and the first byte of the next one, in milliseconds."""
    bench.clean()
    repos = [f"bench/queued-{n}" for n in range(10)]
    for n, repo in enumerate(repos):
        bench.hub.offer(repo, workload.files, 100 + n)
    bench.hub.order("PATCH", "/settings", {"resolve_cache": True} | workload.settings)
    bench.hub.order("DELETE", "/requests")
    warm(10 * workload.size)
    environment = bench.environment() | {"MODELHAUL_ADMIN_TOKEN": "a-token-for-the-bench-only"}
    with open(bench.work / "log", "wb") as log:
        service = subprocess.Popen([bench.program("modelhaul"), "serve", "--listen", "127.0.0.1:0"], env=environment,
                                   stdout=subprocess.PIPE, stderr=log, text=True)
    try:
        address = service.stdout.readline().strip().removeprefix("listening on ")

        def call(method, path, body=None):
            headers = {"Authorization": "Bearer a-token-for-the-bench-only"} | ({"Content-Type": "application/json"} if body else {})
            request = urllib.request.Request(address + path, method=method, headers=headers,
                                             data=json.dumps(body).encode() if body else None)
            with urllib.request.urlopen(request, timeout=60) as answer:
                return json.load(answer)

        for n, repo in enumerate(repos):
            call("POST", "/api/v1/models", {"model_id": f"queued-{n}", "kind": "generic", "repo_id": repo})
        start = time.monotonic()
        for n in range(10):
            call("POST", f"/api/model-download/queued-{n}/start")
        deadline = start + PATIENCE
        while time.monotonic() < deadline:
            states = [call("GET", f"/api/v1/models/queued-{n}/wait?timeout=30")["state"] for n in range(10)]
            if all(state not in ("queued", "running", "waiting") for state in states):
                break
        wall = time.monotonic() - start
        # One request whose time both clocks know.
        try:
            urllib.request.urlopen(bench.hub.endpoint + "/mark", timeout=10)
        except urllib.error.HTTPError:
            pass
        now = time.time() * 1000
        records = bench.hub.order("GET", "/requests")
        offset = now - next(record["at_ms"] for record in records if record["path"] == "/mark")
        with sqlite3.connect(bench.work / "modelhaul.db") as db:
            ends = db.execute("SELECT model_id, finished_at_ms FROM jobs JOIN models USING (model_key)"
                              " WHERE state = 'completed' ORDER BY finished_at_ms").fetchall()
    finally:
        service.send_signal(signal.SIGTERM)
        service.wait(timeout=30)
    if len(ends) != 10:
        return f"{len(ends)} of 10 jobs completed"
    first = {}
    for record in records:
        if record["place"] == "cdn" and record["method"] == "GET":
            first.setdefault(record["object"].split("/")[1], record["at_ms"] + offset)
    gaps = [first[model] - ended for (_, ended), (model, _) in zip(ends, ends[1:])]
    return {"gaps": gaps, "wall": wall}


def table(name, workload, results):
    """Markdown lines of one workload."""
    lines = [f"### {name}: {workload.title}", ""]
    good = {peer: [run for run in runs if isinstance(run, dict)] for peer, runs in results.items()}
    if name == "F":
        for run in good.get("modelhaul", []):
            gaps = sorted(run["gaps"])
            lines += [f"Gap in ms, least, median, most: {gaps[0]:.0f}, {statistics.median(gaps):.0f}, {gaps[-1]:.0f};"
                      f" all ten in {run['wall']:.1f} s. {workload.target}."]
    else:
        middle = lambda peer, key: statistics.median(run[key] for run in good[peer])
        limit = middle("limit", "wall") if good.get("limit") else None
        safe = [middle(peer, "safe") for peer in good if good[peer] and peer not in ("modelhaul", "limit")]
        again = name == "E"
        lines += ["| program | " + ("second start, s | its safe, s" if again else "wall, s | safe, s")
                  + " | CPU, s | peak RSS, MB | sent, x size | requests | safe, x limit |",
                  "|---|---|---|---|---|---|---|---|"]
        for peer in sorted((peer for peer in good if good[peer]), key=lambda peer: middle(peer, "safe")):
            own = middle(peer, "safe")
            ratio = f"{own / limit:.2f}" if limit and not again else ""
            strong = "**" if peer == "modelhaul" else ""
            lines.append(f"| {strong}{peer}{strong} | {middle(peer, 'wall'):.2f} | {own:.2f} | {middle(peer, 'cpu'):.2f} |"
                         f" {middle(peer, 'peak') / 1e6:.0f} | {middle(peer, 'sent'):.3f} | {middle(peer, 'requests'):.0f} | {ratio} |")
        ours = [run["job"] for run in good.get("modelhaul", []) if run.get("job")]
        if ours and not again:
            job = statistics.median(ours)
            versus = f", {job / limit:.2f} x the limit" if limit else ""
            best = f"; the best peer takes {min(safe) / job:.2f} x as long" if safe else ""
            lines += ["", f"modelhaul from accepted to completed job: {job:.2f} s{versus}{best}."
                      + (f" {workload.target[0].upper()}{workload.target[1:]}." if workload.target else "")]
        elif workload.target:
            lines += ["", f"{workload.target[0].upper()}{workload.target[1:]}."]
    for peer, runs in results.items():
        for run in runs:
            if isinstance(run, str):
                lines += ["", f"{peer} failed: {run.splitlines()[-1] if run else 'without a word'}"]
    return lines + [""]


def version(*command):
    try:
        done = subprocess.run([str(word) for word in command], capture_output=True, text=True, timeout=30)
    except OSError:
        return "not there"
    return (done.stdout or done.stderr).strip().splitlines()[0] if (done.stdout or done.stderr).strip() else "unknown"


def circumstances(bench, arguments, load):
    """Markdown lines: machine, versions, date."""
    processor = re.search(r"model name\s*:\s*(.+)", pathlib.Path("/proc/cpuinfo").read_text())
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1e9
    bench.work.mkdir(parents=True, exist_ok=True)
    system = version("findmnt", "-no", "FSTYPE", "-T", bench.work)
    package = lambda venv, name: version(bench.tools / venv / "bin/python", "-c", f"import importlib.metadata as m; print(m.version('{name}'))")
    commit = version("git", "-C", ROOT, "describe", "--always", "--dirty")
    crate = re.search(r'name = "hf-hub"\nversion = "(.+)"', (ROOT / "Cargo.lock").read_text())
    return [
        f"{datetime.date.today()}, {os.cpu_count()} x {processor[1] if processor else platform.machine()}, {memory:.0f} GB,"
        f" {system}, Linux {platform.release()}; load before the run {load[0]:.1f}, after {os.getloadavg()[0]:.1f};"
        f" {arguments.rounds} round(s), medians; the limit program uses up to"
        f" {bench.connections} connections, modelhaul what it takes by default.", "",
        f"{version(bench.program('modelhaul'), '--version')} ({commit}), {version('curl', '--version').split(' (')[0]},"
        f" {version('aria2c', '--version')}, huggingface_hub {package('hf2', 'huggingface_hub')} (`hf`),"
        f" huggingface_hub {package('hf0', 'huggingface_hub')} with hf_transfer {package('hf0', 'hf_transfer')} (`hf_transfer`),"
        f" hf-hub {crate[1] if crate else '?'}. The practice hub speaks no Xet, so `hf` goes over HTTP with and without it.", ""]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", default="A,B,C,C2,D,E,F", help="workloads, default: %(default)s")
    parser.add_argument("--peers", default="modelhaul,curl,aria2c,hf,hf_transfer,hf-hub,limit", help="default: %(default)s; also hf-xet")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--connections", type=int, default=18, help="of the limit program, default: %(default)s")
    parser.add_argument("--target", default=os.environ.get("CARGO_TARGET_DIR", ROOT / "target"), help="cargo's target folder")
    parser.add_argument("--dir", help="where downloads go, emptied before each run; default: TARGET/bench/work")
    parser.add_argument("--write", action="store_true", help="put the table into docs/PERFORMANCE.md")
    parser.add_argument("--raw", help="append each run as a line of JSON to this file")
    arguments = parser.parse_args()
    names, load = arguments.only.split(","), os.getloadavg()
    if unknown := [name for name in names if name not in WORKLOADS]:
        parser.error(f"no such workload: {', '.join(unknown)}")
    bench = Bench(arguments)
    peers = [peer for peer in arguments.peers.split(",") if bench.program(peer) and pathlib.Path(bench.program(peer)).exists()]
    left_out = [peer for peer in arguments.peers.split(",") if peer not in peers]
    lines = []
    try:
        for name in names:
            workload, results = WORKLOADS[name], {}
            repo = f"bench/{name.lower()}"
            digests = bench.hub.offer(repo, workload.files, ord(name[0]) + len(name)) if name != "F" else {}
            for turn in range(arguments.rounds):
                # Nobody always goes first.
                shift = turn % len(peers)
                for peer in peers[shift:] + peers[:shift] if name != "F" else ["modelhaul"]:
                    if name == "E" and peer == "limit":
                        continue
                    result = queue(bench, workload) if name == "F" else measure(bench, peer, name, workload, repo, digests)
                    results.setdefault(peer, []).append(result)
                    print(f"{name} {turn + 1}/{arguments.rounds} {peer}: {json.dumps(result)}", file=sys.stderr, flush=True)
                    if arguments.raw:
                        with open(arguments.raw, "a") as file:
                            file.write(json.dumps({"workload": name, "peer": peer, "result": result}) + "\n")
            section = table(name, workload, results)
            print("\n".join(section), flush=True)
            lines += section
        top = circumstances(bench, arguments, load)
        if left_out:
            top += [f"Left out, because not there: {', '.join(left_out)}.", ""]
        print("\n".join(top))
    finally:
        bench.hub.stop()
        shutil.rmtree(bench.work, ignore_errors=True)
        shutil.rmtree(bench.aside, ignore_errors=True)
    if arguments.write:
        page = ROOT / "docs/PERFORMANCE.md"
        before, rest = page.read_text().split(BEGIN)
        page.write_text(before + BEGIN + "\n" + "\n".join(top + lines).rstrip() + "\n" + END + rest.split(END)[1])


if __name__ == "__main__":
    main()
