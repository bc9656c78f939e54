#!/usr/bin/env python3
"""Measures `palm master` beside a bare libzmq forwarder and the stock Python master, all on the same machine in one run.

    scripts/bench.py [--rounds 5] [--cpus 0,1] [--case NAME ...] [--no-build]

The load (a windowed client and an echo worker, tests/bench/zpeer.c) is the same for all three. Rounds alternate between the
systems; printed are medians, and the median of the ratios of each round. Needs gcc and libzmq's headers (installs
libzmq3-dev with apt-get if it may), and for the Python master a virtual environment, which it makes under target/.
"""

import argparse
import os
import re
import signal
import socket
import statistics
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
TARGET = Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target"))
PALM = TARGET / "release" / "palm"
ZPEER = TARGET / "bench" / "zpeer"
VENV = TARGET / "pylm-venv"
TICK = os.sysconf("SC_CLK_TCK")

# name: messages, bytes, window, and what the ratio to the forwarder should be ("rate": at least, "p50": at most)
CASES = {
    "10B-w200": (600_000, 10, 200, "rate", 1.25),
    "1KiB-w200": (400_000, 1024, 200, "rate", 1.5),
    "64KiB-w200": (30_000, 65536, 200, "rate", 1.2),
    "10B-w1000": (600_000, 10, 1000, "rate", 1.4),
    "10B-w1": (15_000, 10, 1, "p50", 0.75),
}
PYTHON_MESSAGES = 5_000
PYTHON_RATIO = 150

PYTHON_MASTER = """
import sys
from pylm.servers import Master
pull, pub, wpush, wpull, db = sys.argv[1:6]
Master(name='bench', pull_address=pull, pub_address=pub, worker_push_address=wpush, worker_pull_address=wpull,
       db_address=db).start()
"""


def run(*command):
    print("+", *command, flush=True)
    subprocess.run([str(part) for part in command], check=True)


def build():
    run("cargo", "build", "--release", "--manifest-path", ROOT / "Cargo.toml", "-p", "palm-cli")
    ZPEER.parent.mkdir(parents=True, exist_ok=True)
    compile_peer = ["gcc", "-O2", "-o", ZPEER, ROOT / "tests" / "bench" / "zpeer.c", "-lzmq"]
    probe = subprocess.run(["sh", "-c", "echo '#include <zmq.h>' | gcc -fsyntax-only -xc - 2>/dev/null"])
    if probe.returncode != 0:
        run("apt-get", "update", "-qq")
        run("apt-get", "install", "-y", "-qq", "libzmq3-dev")
    run(*compile_peer)
    if not (VENV / "bin" / "python").exists():
        run(sys.executable, "-m", "venv", VENV)
    probe = subprocess.run([VENV / "bin" / "python", "-c", "import pylm"], capture_output=True)
    if probe.returncode != 0:
        run(VENV / "bin" / "python", "-m", "pip", "install", "-q", "pylm==0.14.4", "protobuf==3.20.3")


def free_addresses():
    sockets = [socket.socket() for _ in range(5)]
    for each in sockets:
        each.bind(("127.0.0.1", 0))
    addresses = [f"tcp://127.0.0.1:{each.getsockname()[1]}" for each in sockets]
    for each in sockets:
        each.close()
    return addresses


def system(name, addresses):
    pull, pub, wpush, wpull, db = addresses
    if name == "palm":
        return [PALM, "master", "--name", "bench", "--pull", pull, "--pub", pub, "--wpush", wpush, "--wpull", wpull, "--db", db]
    if name == "forwarder":
        return [ZPEER, "forward", pull, pub, wpush, wpull, db, "bench"]
    return [VENV / "bin" / "python", "-c", PYTHON_MASTER, pull, pub, wpush, wpull, db]


def cpu_seconds(pid):
    fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / TICK


def listening(address):
    host, port = address.removeprefix("tcp://").split(":")
    for _ in range(200):
        try:
            socket.create_connection((host, int(port)), 1).close()
            return
        except OSError:
            time.sleep(0.05)
    raise SystemExit(f"nothing listens at {address}")


def measure(name, messages, size, window):
    addresses = free_addresses()
    environment = dict(os.environ, PUBHWM="100000")
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL, "env": environment}
    master = subprocess.Popen(system(name, addresses), **quiet)
    worker = None
    try:
        listening(addresses[4])
        time.sleep(0.2)
        worker = subprocess.Popen([ZPEER, "worker", addresses[4]], **quiet)
        time.sleep(0.3)
        before = cpu_seconds(master.pid)
        client = subprocess.run(
            [ZPEER, "client", "bench", addresses[4], str(messages), str(size), str(window)],
            capture_output=True, text=True, timeout=300,
        )
        cpu = cpu_seconds(master.pid) - before
    finally:
        for process in (master, worker):
            if process:
                process.send_signal(signal.SIGKILL)
                process.wait()
    found = re.search(r"rate (\d+) p50us ([\d.]+) p99us ([\d.]+) lost (\d+)", client.stdout)
    if not found:
        raise SystemExit(f"{name}: the client said {client.stdout!r} {client.stderr!r}")
    rate, p50, p99, lost = (float(number) for number in found.groups())
    return {"rate": rate, "p50": p50, "p99": p99, "lost": lost, "cpu": cpu / messages * 1e6}


def median(rounds, key):
    return statistics.median(each[key] for each in rounds)


def show(name, rounds):
    print(
        f"    {name:10} {median(rounds, 'rate'):10,.0f}/s   p50 {median(rounds, 'p50'):9,.1f} us   p99 "
        f"{median(rounds, 'p99'):9,.1f} us   CPU {median(rounds, 'cpu'):6.2f} us/message   lost "
        f"{sum(each['lost'] for each in rounds):,.0f}",
        flush=True,
    )


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--cpus", default="0,1", help="processors to run everything on (default 0,1)")
    parser.add_argument("--case", action="append", choices=[*CASES, "python"], help="only these")
    parser.add_argument("--no-build", action="store_true")
    options = parser.parse_args()
    if not options.no_build:
        build()
    os.sched_setaffinity(0, {int(cpu) for cpu in options.cpus.split(",")})
    missed = []
    for case, (messages, size, window, key, goal) in CASES.items():
        if options.case and case not in options.case:
            continue
        print(f"{case}: {messages:,} messages of {size:,} bytes, window {window}", flush=True)
        rounds = {"palm": [], "forwarder": []}
        for _ in range(options.rounds):
            for name, results in rounds.items():
                results.append(measure(name, messages, size, window))
        for name, results in rounds.items():
            show(name, results)
        ratio = statistics.median(a[key] / b[key] for a, b in zip(rounds["palm"], rounds["forwarder"]))
        met = ratio >= goal if key == "rate" else ratio <= goal
        bound = "at least" if key == "rate" else "at most"
        print(f"    {key} of palm / forwarder: {ratio:.2f} (goal: {bound} {goal}) {'met' if met else 'MISSED'}", flush=True)
        if not met:
            missed.append(case)
    if not options.case or "python" in options.case:
        print(f"python: the stock Python master, 10 bytes, window 200 ({PYTHON_MESSAGES:,} messages; palm: 600,000)", flush=True)
        rounds = {"palm": [], "python": []}
        for _ in range(options.rounds):
            rounds["palm"].append(measure("palm", 600_000, 10, 200))
            rounds["python"].append(measure("python", PYTHON_MESSAGES, 10, 200))
        for name, results in rounds.items():
            show(name, results)
        ratio = statistics.median(a["rate"] / b["rate"] for a, b in zip(rounds["palm"], rounds["python"]))
        met = ratio >= PYTHON_RATIO
        print(f"    rate of palm / python: {ratio:.0f} (goal: at least {PYTHON_RATIO}) {'met' if met else 'MISSED'}", flush=True)
        if not met:
            missed.append("python")
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
