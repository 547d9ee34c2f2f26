"""A demo of our own in which nothing happens by itself: what the measuring scripts measure beside.

Its reviews never end (OFFLINE_LATENCY=1h), so the machine is quiet. Everything is gone when it ends.
"""

import contextlib
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from urllib.parse import urlparse

ROOT = Path(__file__).resolve().parent.parent
QUIET = {"OFFLINE_LATENCY": "1h", "SHUTDOWN_GRACE": "1s", "LOG": "info", "LOG_FORMAT": "text"}
OURS = {"VALKEY_URL", "REDIS_URL", "DATABASE_URL", "MILLSTREAM_TOKEN", "QUEUE", "QUEUE_GROUP"}
# How long a server may take to answer.
ANSWER_S = 30.0


def find_binary(named: list) -> Path:
    if named:
        return Path(named[0]).resolve()
    target = Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target"))
    for profile in ("release", "debug"):
        binary = target / profile / "millstream"
        if binary.is_file():
            return binary
    sys.exit("there is no binary yet: type 'cargo build --workspace' (add --release for the real figures)")


def headline(binary: Path) -> str:
    return f"{binary.relative_to(ROOT) if binary.is_relative_to(ROOT) else binary}, {machine()}"


def machine() -> str:
    total_kib = re.search(r"MemTotal:\s+(\d+)", Path("/proc/meminfo").read_text()).group(1)
    return f"{os.cpu_count()} cores, {int(total_kib) / 1024 / 1024:.0f} GiB memory, {os.uname().machine}"


@contextlib.contextmanager
def running(binary: Path, settings: dict = QUIET, workers: int = 1):
    """Where the two servers of a demo are, and its folder, for as long as it runs. Other settings make it busy."""
    # Postgres does not run as root, so its folder has to be where its account can go.
    folder = Path(tempfile.mkdtemp(prefix="millstream-quiet-", dir="/tmp"))
    folder.chmod(0o755)
    demo = None
    try:
        demo, servers = start(binary, folder, settings, workers)
        yield servers, folder
    finally:
        if demo is not None:
            end(demo)
        shutil.rmtree(folder, ignore_errors=True)


def start(binary: Path, folder: Path, settings: dict, workers: int):
    variables = environment() | settings | {"XDG_RUNTIME_DIR": str(folder / "run"), "TMPDIR": str(folder)}
    (folder / "run").mkdir(mode=0o700)
    command = [binary, "demo", "--headless", "--workers", str(workers), "--data", folder / "data"]
    demo = subprocess.Popen(command, env=variables, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    found_by = folder / "run" / "millstream" / f"{demo.pid}.json"
    give_up = time.monotonic() + 120
    while not found_by.is_file():
        if demo.poll() is not None or time.monotonic() > give_up:
            end(demo)
            sys.exit("the demo did not start: type './demo --headless --for 5s' and read what it says")
        time.sleep(0.1)
    time.sleep(3)
    running = json.loads(found_by.read_text())
    return demo, {"VALKEY_URL": running["valkey_url"], "DATABASE_URL": running["database_url"]}


def environment() -> dict:
    """Ours without what names another system."""
    return {name: value for name, value in os.environ.items() if name not in OURS}


def connect(servers: dict) -> socket.socket:
    address = urlparse(servers["VALKEY_URL"])
    return socket.create_connection((address.hostname, address.port or 6379), timeout=ANSWER_S)


def end(process: subprocess.Popen) -> None:
    if process.poll() is None:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(timeout=30)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def until_answers(port: int, process: subprocess.Popen) -> None:
    """Waits until a server of this process takes connections."""
    give_up = time.monotonic() + ANSWER_S
    while time.monotonic() < give_up and process.poll() is None:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
            return
        time.sleep(0.05)
    sys.exit("the producer did not start")
