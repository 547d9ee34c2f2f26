"""A console in a terminal of its own, for the measuring scripts: its output is read and counted, and kept if asked for."""

import fcntl
import os
import pty
import re
import signal
import struct
import termios
import threading
from pathlib import Path

ROWS, COLUMNS = 40, 120


class Console:
    """The binary without a verb, in a terminal; it runs until `end`."""

    def __init__(self, binary: Path, variables: dict, keeps: bool = False):
        self.bytes, self.kept, self.keeps = 0, b"", keeps
        self.pid, self.terminal = pty.fork()
        if self.pid == 0:
            fcntl.ioctl(0, termios.TIOCSWINSZ, struct.pack("HHHH", ROWS, COLUMNS, 0, 0))
            os.execve(binary, [str(binary)], variables | {"TERM": "xterm-256color", "COLORTERM": "truecolor"})
        self.reading = threading.Thread(target=self.read, daemon=True)
        self.reading.start()

    def read(self) -> None:
        try:
            while read := os.read(self.terminal, 65_536):
                self.bytes += len(read)
                self.kept += read if self.keeps else b""
        except OSError:
            pass  # the end of a terminal's output is an error on Linux

    def press(self, key: bytes) -> None:
        os.write(self.terminal, key)

    def resident_mib(self) -> float:
        return self.memory_mib("VmRSS")

    def peak_mib(self) -> float:
        return self.memory_mib("VmHWM")

    def memory_mib(self, name: str) -> float:
        status = Path(f"/proc/{self.pid}/status").read_text()
        return int(re.search(rf"{name}:\s+(\d+)", status).group(1)) / 1024

    def end(self) -> None:
        os.kill(self.pid, signal.SIGTERM)
        os.waitpid(self.pid, 0)
        self.reading.join()
        os.close(self.terminal)
