"""An oatlink controller beside us: the firmware in QEMU, or the same core as a program.

Both drive the motors on one tty and offer the host another. QEMU's side can be stopped, continued
and reset through QMP, which is what happens to real controllers by brown-out and debugger.
"""

from __future__ import annotations

import ctypes
import select
import signal
import subprocess
import tempfile
from pathlib import Path
from types import TracebackType

from firmware_bridge.emulation.qmp import Qmp
from firmware_bridge.errors import PortError
from firmware_bridge.oatlink import firmware

START_TIMEOUT_S = 10.0
STOP_TIMEOUT_S = 2.0
HOST_CHARDEV = "host"
QEMU = "qemu-system-arm"
PR_SET_PDEATHSIG = 1  # prctl(2)
_LIBC = ctypes.CDLL(None)


class ControllerProcess:
    """A controller's process and the path of its host port; a context manager."""

    def __init__(self, command: list[str], link: Path | None) -> None:
        self._link = link
        try:
            self._process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                preexec_fn=_end_with_parent,
            )
        except FileNotFoundError as error:
            raise PortError(f"{command[0]} is not installed") from error
        self.path = ""

    def publish(self, path: str) -> None:
        """Make the port known, by the link as well."""
        self.path = path
        if self._link is not None:
            self._link.unlink(missing_ok=True)
            self._link.symlink_to(path)

    def first_line(self) -> str:
        """What the process says first; raises ``PortError`` if that is its last word."""
        stdout = self._process.stdout
        assert stdout is not None
        ready, _, _ = select.select((stdout,), (), (), START_TIMEOUT_S)
        line = stdout.readline().decode().strip() if ready else ""
        if not line or self._process.poll() is not None:
            self.close()
            raise PortError(f"the controller did not start: {line or 'it says nothing'}")
        return line

    def last_words(self) -> str:
        """Last line that an ended process left; empty while it runs."""
        if self.pid is not None or self._process.stdout is None:
            return ""
        return self._process.stdout.read().decode().strip().rpartition("\n")[2]

    @property
    def pid(self) -> int | None:
        """Process id while it runs."""
        return self._process.pid if self._process.poll() is None else None

    def close(self) -> None:
        """End the process; its ports go with it."""
        if self._link is not None and self._link.is_symlink():
            self._link.unlink()
        self._process.terminate()
        try:
            self._process.wait(STOP_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        if self._process.stdout is not None:
            self._process.stdout.close()

    def __enter__(self) -> ControllerProcess:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


def _end_with_parent() -> None:
    """In the child: a parent that is killed takes its controller along, as a power cut would."""
    _LIBC.prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


class HostController(ControllerProcess):
    """The core, compiled for this machine; ``key_file``: see ``oatlink.key_file``."""

    def __init__(
        self, motor_port: str, link: Path | None = None, key_file: Path | None = None
    ) -> None:
        keyed = [] if key_file is None else [str(key_file)]
        super().__init__([str(firmware.build("host")), motor_port, *keyed], link)
        self.publish(self.first_line())


class QemuController(ControllerProcess):
    """The firmware on an emulated Cortex-M3."""

    def __init__(self, motor_port: str, link: Path | None = None) -> None:
        image = firmware.build("lm3s6965")
        self._directory = tempfile.TemporaryDirectory(prefix="oat-qemu-")
        self._monitor = Path(self._directory.name) / "qmp"
        super().__init__(_qemu_command(image, motor_port, self._monitor), link)
        try:
            self._qmp = Qmp(self._monitor, lambda: self.pid is not None)
            self.publish(self._host_port())
        except (PortError, OSError) as error:
            said = self.last_words()
            self.close()
            raise PortError(f"QEMU did not start: {said or error}") from error

    def _host_port(self) -> str:
        """The pseudo-terminal that QEMU made for UART0."""
        for device in self._qmp.execute("query-chardev"):
            if device["label"] == HOST_CHARDEV:
                return str(device["filename"]).removeprefix("pty:")
        raise PortError("no host port")

    def stop(self) -> None:
        """Freeze the controller, its clock included."""
        self._qmp.execute("stop")

    def resume(self) -> None:
        """Let a frozen controller go on; what was sent meanwhile reaches it now."""
        self._qmp.execute("cont")

    def reset(self) -> None:
        """Pull the reset line."""
        self._qmp.execute("system_reset")

    def close(self) -> None:
        """End QEMU."""
        super().close()
        if hasattr(self, "_qmp"):
            self._qmp.close()
        self._directory.cleanup()


def _qemu_command(image: Path, motor_port: str, monitor: Path) -> list[str]:
    return [
        QEMU,
        *("-machine", "lm3s6965evb"),
        *("-kernel", str(image)),
        *("-display", "none", "-monitor", "none", "-nodefaults"),
        *("-chardev", f"pty,id={HOST_CHARDEV}", "-serial", f"chardev:{HOST_CHARDEV}"),
        *("-chardev", f"serial,id=motors,path={motor_port}", "-serial", "chardev:motors"),
        *("-qmp", f"unix:{monitor},server=on,wait=off"),
    ]
