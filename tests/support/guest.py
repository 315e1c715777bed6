"""A small virtual machine: Debian's own kernel in qemu, with this machine's files to read, runs one command.

    python -m tests.support.guest --kernel UNPACKED --busybox FILE --qemu FILE --modules vivid -- COMMAND…

The initial file system holds busybox, the kernel modules and a script; all else is this machine's own tree, mounted
read only over 9p, with memory in the place of what has to be written: /dev/shm (`TMPDIR`), and where temporary files
usually lie, unless the checkout lies there. Nothing needs root. The exit code is the command's, 70 when
the machine did not come as far as that. The processor is imitated (the kernel is up in six seconds
all the same); GUEST_KVM=yes uses /dev/kvm, which hangs under some hypervisors. `--report INSIDE OUTSIDE` brings out a
file that the command wrote, over the console. The machine is gone when this ends, after `--timeout-s` at the latest.
"""

import argparse
import base64
import binascii
import gzip
import lzma
import os
import shlex
import signal
import stat
import subprocess
import sys
import threading
from collections.abc import Iterable
from pathlib import Path

_DONE = "guest-exit-code:"
_REPORT, _REPORT_END = "guest-report:", "guest-report-ends:"
_NOT_RUN = 70
_TIMEOUT_S = 900.0
_TRAILER = "TRAILER!!!"
_FIRST = ("virtio_pci", "9pnet_virtio", "9p")
"""What the root needs; loaded before it is mounted."""
_MEMORY = "/dev/shm"
_WRITTEN = ("tmp", "run", "var/tmp", "mnt")


class Archive:
    """A cpio archive in the form that the kernel unpacks ("newc", Documentation/driver-api/early-userspace)."""

    def __init__(self) -> None:
        self._parts: list[bytes] = []
        self._count = 0

    def add(self, name: str, mode: int, data: bytes = b"") -> None:
        """A file or a folder."""
        self._count += 1
        fields = (self._count, mode, 0, 0, 1, 0, len(data), 0, 0, 0, 0, len(name) + 1, 0)
        header = b"070701" + b"".join(b"%08x" % field for field in fields) + name.encode() + b"\0"
        self._parts += [_padded(header), _padded(data)]

    def packed(self) -> bytes:
        """Compressed, with its end."""
        self.add(_TRAILER, 0)
        return gzip.compress(b"".join(self._parts), 1)


def _padded(data: bytes) -> bytes:
    return data + b"\0" * (-len(data) % 4)


class Modules:
    """The modules of an unpacked kernel package, by name."""

    def __init__(self, folder: Path) -> None:
        self._files = {_name(path): path for path in folder.rglob("*.ko*")}

    def data(self, name: str) -> bytes:
        """A module, ready to be loaded."""
        path = self._files[name]
        data = path.read_bytes()
        return lzma.decompress(data) if path.suffix == ".xz" else data

    def in_order(self, names: Iterable[str]) -> list[str]:
        """Names with all that they depend on, each behind what it needs; built-in ones are left out."""
        ordered: list[str] = []

        def visit(name: str) -> None:
            if name in ordered or name not in self._files:
                return
            for needed in _depends(self.data(name)):
                visit(needed)
            ordered.append(name)

        for name in names:
            visit(name)
        return ordered


def _name(path: Path) -> str:
    return path.name.split(".ko")[0].replace("-", "_")


def _depends(module: bytes) -> list[str]:
    """The `depends` entry of a module's information."""
    start = module.find(b"\0depends=")
    text = module[start + 9 : module.index(b"\0", start + 9)].decode() if start >= 0 else ""
    return [name.replace("-", "_") for name in text.split(",") if name]


def init_script(
    first: list[str], folder: Path, command: list[str], environment: dict[str, str], report: str = ""
) -> str:
    """What the virtual machine does; at last it writes the file `report` to its console."""
    exports = "".join(f"export {name}={shlex.quote(value)}\n" for name, value in environment.items())
    load = "".join(f"insmod /modules/{name}.ko\n" for name in first)
    written = " ".join(name for name in _WRITTEN if not folder.is_relative_to(f"/{name}"))
    inside = shlex.quote(f"/new{report}")
    bring_out = f'[ ! -f {inside} ] || {{ echo "{_REPORT}"; base64 {inside}; echo "{_REPORT_END}"; }}'
    return f"""#!/bin/busybox sh
/bin/busybox --install -s /bin
export PATH=/bin:/usr/bin:/usr/sbin:/sbin
mount -t devtmpfs devtmpfs /dev
mount -t proc proc /proc
mount -t sysfs sysfs /sys
{load}
mount -t 9p -o trans=virtio,version=9p2000.L,ro,cache=loose,msize=512000 machine /new || exec poweroff -f
for folder in {written}; do mount -t tmpfs tmpfs /new/$folder; done
for folder in dev proc sys; do mount --move /$folder /new/$folder; done
mkdir -p /new{_MEMORY} && mount -t tmpfs tmpfs /new{_MEMORY}
mkdir /new{_MEMORY}/modules /new{_MEMORY}/tmp && cp /modules/*.ko /bin/busybox /new{_MEMORY}/modules
ip link set lo up
cat > /new{_MEMORY}/command <<'END'
{exports}cd {shlex.quote(str(folder))}
{shlex.join(command)}
END
chroot /new /bin/sh {_MEMORY}/command
code=$?
dmesg -n 1
{bring_out if report else ""}
echo "{_DONE}$code"
poweroff -f
"""


def initial_file_system(modules: Modules, busybox: Path, extra: list[str], script: str) -> bytes:
    """What the kernel unpacks before anything else."""
    archive = Archive()
    for folder in ("bin", "dev", "proc", "sys", "new", "modules"):
        archive.add(folder, stat.S_IFDIR | 0o755)
    archive.add("bin/busybox", stat.S_IFREG | 0o755, busybox.read_bytes())
    archive.add("init", stat.S_IFREG | 0o755, script.encode())
    for name in modules.in_order([*_FIRST, *extra]):
        archive.add(f"modules/{name}.ko", stat.S_IFREG | 0o644, modules.data(name))
    return archive.packed()


def machine_arguments(qemu: str, kernel: Path, initial: Path, memory_mb: int) -> list[str]:
    """The command line of qemu."""
    accelerate = os.environ.get("GUEST_KVM") == "yes"
    is_arm = "aarch64" in qemu
    console = "ttyAMA0" if is_arm else "ttyS0"
    # Under a hypervisor, not all that this processor has may be passed on.
    own = "host" if is_arm else "host,arch-capabilities=off"
    kind = ["-machine", "virt" if is_arm else "q35", "-cpu", own if accelerate else "max"]
    share = "local,id=files,path=/,security_model=none,readonly=on,multidevs=remap"
    return [
        qemu, *kind, "-accel", "kvm" if accelerate else "tcg,thread=multi", "-smp", "2", "-m", str(memory_mb),
        "-kernel", str(kernel), "-initrd", str(initial), "-append", f"console={console} panic=-1 quiet",
        "-fsdev", share, "-device", "virtio-9p-pci,fsdev=files,mount_tag=machine",
        "-display", "none", "-serial", "stdio", "-monitor", "none", "-nic", "none", "-no-reboot",
    ]  # fmt: skip


def run(arguments: list[str], timeout_s: float = _TIMEOUT_S) -> tuple[int, bytes]:
    """Run it, show what it says; the command's exit code, and the report."""
    code, report, in_report = _NOT_RUN, "", False
    process = subprocess.Popen(
        arguments, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True, errors="replace"
    )
    assert process.stdout is not None
    timer = threading.Timer(timeout_s, process.kill)
    timer.start()
    try:
        for line in process.stdout:
            text = line.rstrip()
            if text.startswith(_DONE):
                code = int(text.removeprefix(_DONE))
            elif text in {_REPORT, _REPORT_END}:
                in_report = text == _REPORT
            elif in_report:
                report += text
            else:
                sys.stdout.write(f"{text}\n")
                sys.stdout.flush()
    finally:
        timer.cancel()
        process.kill()
        process.wait()
    try:
        return code, base64.b64decode(report, validate=True)
    except binascii.Error:
        return code or _NOT_RUN, b""


def main() -> int:
    """As the module says."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--kernel", type=Path, required=True, help="folder with an unpacked linux-image package")
    parser.add_argument("--busybox", type=Path, required=True)
    parser.add_argument("--qemu", required=True)
    parser.add_argument("--qemu-data", nargs="*", default=[], help="folders with its firmware, if not installed")
    parser.add_argument("--modules", nargs="*", default=[])
    parser.add_argument("--environment", nargs="*", default=[], metavar="NAME=VALUE")
    parser.add_argument("--memory-mb", type=int, default=2048)
    parser.add_argument("--work", type=Path, required=True, help="folder to write into")
    parser.add_argument("--report", nargs=2, default=["", ""], metavar=("INSIDE", "OUTSIDE"))
    parser.add_argument("--timeout-s", type=float, default=_TIMEOUT_S)
    parser.add_argument("command", nargs="+")
    asked = parser.parse_args()
    modules = Modules(asked.kernel)
    ordered = modules.in_order(asked.modules)
    environment = dict(entry.split("=", 1) for entry in asked.environment)
    environment |= {
        "GUEST_MODULES": f"{_MEMORY}/modules",
        "GUEST_MODULE_ORDER": " ".join(ordered),
        "TMPDIR": f"{_MEMORY}/tmp",
    }
    inside, outside = asked.report
    script = init_script(modules.in_order(_FIRST), Path.cwd(), asked.command, environment, inside)
    initial = asked.work / "initial.cpio.gz"
    initial.write_bytes(initial_file_system(modules, asked.busybox, asked.modules, script))
    kernel = next(iter(sorted(asked.kernel.glob("boot/vmlinuz-*"))))
    arguments = machine_arguments(asked.qemu, kernel, initial, asked.memory_mb)
    arguments += [word for folder in asked.qemu_data for word in ("-L", folder)]
    code, report = run(arguments, asked.timeout_s)
    if outside and report:
        Path(outside).write_bytes(report)
    return code


def _end(_signal: int, _frame: object) -> None:
    """SIGTERM, as an exception, so that the machine is ended too."""
    sys.exit(128 + signal.SIGTERM)


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, _end)
    sys.exit(main())
