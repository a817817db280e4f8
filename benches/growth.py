#!/usr/bin/env python3
"""What a byte and a file cost modelhaul as files grow larger and more numerous. Python's standard library only.

`scripts/bench growth` builds what this needs; then, for example:

    benches/growth.py --largest 4096         # files up to 4 GiB instead of 50 GiB
    benches/growth.py --write                # the table goes into docs/PERFORMANCE.md
"""

import argparse
import os
import shutil
import sys

import peers

BEGIN, END = "<!-- growth:begin -->", "<!-- growth:end -->"
SIZES = [1, 16, 128, 1024, 4096, 16384, 51200]
COUNTS = [1, 10, 100, 1000, 10_000]
SMALL = 20_000


def once(bench, name, files):
    """Job seconds, processor seconds and peak memory of one download; the first word tells what failed."""
    workload = peers.Workload(name, files, peers.shaped(0, 0, resolve_cache=False), "")
    repo = f"bench/{name}"
    digests = bench.hub.offer(repo, files, 300 + len(files) % 100)
    result = peers.measure(bench, "modelhaul", name, workload, repo, digests)
    if isinstance(result, str):
        sys.exit(f"{name}: {result}")
    print(f"{name}: {result}", file=sys.stderr, flush=True)
    return result


def row(label, result, per, unit):
    return (f"| {label} | {result['job']:.2f} | {result['cpu']:.2f} | {result['job'] * 1e3 / per:.2f} ms/{unit} |"
            f" {result['cpu'] * 1e3 / per:.2f} ms/{unit} | {result['peak'] / 1e6:.0f} |")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--largest", type=int, default=51_200, help="MiB of the largest file, default: %(default)s")
    parser.add_argument("--most", type=int, default=10_000, help="files of the largest repository, default: %(default)s")
    parser.add_argument("--connections", type=int, default=18)
    parser.add_argument("--target", default=os.environ.get("CARGO_TARGET_DIR", peers.ROOT / "target"), help="cargo's target folder")
    parser.add_argument("--dir", help="where downloads go, emptied before each run; default: TARGET/bench/work")
    parser.add_argument("--write", action="store_true", help="put the table into docs/PERFORMANCE.md")
    arguments = parser.parse_args()
    bench = peers.Bench(arguments)
    lines = ["| what | job, s | CPU, s | job | CPU | peak RSS, MB |", "|---|---|---|---|---|---|"]
    try:
        for mib in [size for size in SIZES if size <= arguments.largest]:
            result = once(bench, f"one-{mib}", [("model.safetensors", mib * peers.MIB, True)])
            lines.append(row(f"one file of {mib} MiB", result, mib, "MiB"))
        for count in [count for count in COUNTS if count <= arguments.most]:
            result = once(bench, f"many-{count}", [(f"part-{n:05}.json", SMALL, False) for n in range(count)])
            lines.append(row(f"{count} files of {SMALL // 1000} KB", result, count, "file"))
    finally:
        bench.hub.stop()
        shutil.rmtree(bench.work, ignore_errors=True)
        shutil.rmtree(bench.aside, ignore_errors=True)
    print("\n".join(lines))
    if arguments.write:
        page = peers.ROOT / "docs/PERFORMANCE.md"
        before, rest = page.read_text().split(BEGIN)
        page.write_text(before + BEGIN + "\n" + "\n".join(lines) + "\n" + END + rest.split(END)[1])


if __name__ == "__main__":
    main()
