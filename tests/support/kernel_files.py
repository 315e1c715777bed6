"""The kernel's files of a made-up board, under a root of the test's."""

from pathlib import Path


def write(root: Path, name: str, text: str) -> None:
    path = root / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="latin-1")


def net_dev(*interfaces: tuple[str, int, int]) -> str:
    """`/proc/net/dev` of loopback and these: name, received and sent bytes."""
    head = "Inter-|   Receive\n face |bytes packets\n"
    line = "{:>8}: {} 1 0 0 0 0 0 0 {} 1 0 0 0 0 0 0\n"
    return head + line.format("lo", 9, 9) + "".join(line.format(*interface) for interface in interfaces)


def make_board(root: Path) -> Path:
    """A board that is well."""
    write(root, "proc/stat", "cpu  100 0 100 800 0 0 0 0 0 0\ncpu0 1 2 3\ncpu1 1 2 3\n")
    write(root, "proc/loadavg", "0.52 0.60 0.71 1/123 4567\n")
    write(root, "proc/meminfo", "MemTotal:  1000 kB\nMemFree: 100 kB\nMemAvailable:  400 kB\n")
    write(root, "proc/uptime", "351.77 900.12\n")
    write(root, "sys/class/thermal/thermal_zone0/temp", "48312\n")
    write(root, "sys/class/thermal/thermal_zone1/temp", "51900\n")
    write(root, "proc/net/dev", net_dev(("wwan0", 1000, 2000)))
    write(root, "sys/class/net/wwan0/operstate", "up\n")
    return root
