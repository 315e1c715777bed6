"""The board's and the network's figures on made-up kernel files."""

import os
import random
from pathlib import Path

import pytest

from edge_agent.clock import FakeClock
from edge_agent.health.kernel_files import MAX_BYTES, number, read_text
from edge_agent.health.network import MAX_INTERFACES, NetworkProbe
from edge_agent.health.system import SystemProbe
from tests.support.kernel_files import make_board, net_dev, write

FILES = (
    "proc/stat",
    "proc/loadavg",
    "proc/meminfo",
    "proc/uptime",
    "sys/class/thermal/thermal_zone0/temp",
    "proc/net/dev",
    "sys/class/net/wwan0/operstate",
)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return make_board(tmp_path)


def test_system_figures(root: Path) -> None:
    probe = SystemProbe(root)
    first = probe.figures()
    assert first == {
        "load_1min": 0.52,
        "load_5min": 0.6,
        "load_15min": 0.71,
        "load_per_processor": 0.3,
        "memory_used_share": 0.6,
        "temperature_c": 51.9,
        "uptime_s": 351,
    }
    write(root, "proc/stat", "cpu  150 0 150 900 0 0 0 0 0 0\n")
    assert probe.figures()["cpu_load_share"] == 0.5


def test_two_looks_right_after_one_another_share_the_time_since_the_one_before(root: Path) -> None:
    probe = SystemProbe(root)
    probe.figures()
    write(root, "proc/stat", "cpu  102 0 100 800 0 0 0 0 0 0\n")
    assert "cpu_load_share" not in probe.figures()
    write(root, "proc/stat", "cpu  120 0 100 880 0 0 0 0 0 0\n")
    assert probe.figures()["cpu_load_share"] == 0.2


def test_a_sensor_that_is_not_connected_is_no_temperature(root: Path) -> None:
    write(root, "sys/class/thermal/thermal_zone0/temp", "-274000\n")
    write(root, "sys/class/thermal/thermal_zone1/temp", "2147483647\n")
    assert "temperature_c" not in SystemProbe(root).figures()
    write(root, "sys/class/thermal/thermal_zone2/temp", "-12500\n")
    assert SystemProbe(root).figures()["temperature_c"] == -12.5


def test_memory_that_makes_no_sense_is_not_told(root: Path) -> None:
    write(root, "proc/meminfo", "MemTotal:  1000 kB\nMemAvailable:  2000 kB\n")
    assert "memory_used_share" not in SystemProbe(root).figures()
    write(root, "proc/meminfo", "MemTotal:  0 kB\nMemAvailable:  0 kB\n")
    assert "memory_used_share" not in SystemProbe(root).figures()


def test_what_the_kernel_does_not_tell_is_absent(tmp_path: Path) -> None:
    assert SystemProbe(tmp_path).figures() == {}
    assert NetworkProbe(FakeClock(), tmp_path).figures() == {}


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize(
    "content",
    ["", "\n", "garbage\n", "cpu\n", "-1\n", "9" * 5000, "cpu " + "9" * 5000 + "\n", "\0" * 200_000, "ÿ²³ ² ²\n" * 9],
)
def test_garbage_in_one_file_costs_its_own_figures(root: Path, name: str, content: str) -> None:
    (root / name).write_text(content, encoding="latin-1")
    system, network = SystemProbe(root), NetworkProbe(FakeClock(), root)
    found = system.figures() | network.figures() | system.figures()
    wanted = {"memory_used_share", "uptime_s", "temperature_c", "load_1min", "interfaces"}
    assert len(wanted & found.keys()) >= len(wanted) - 1


def test_random_bytes_never_raise(root: Path) -> None:
    source = random.Random(3)
    system, network = SystemProbe(root), NetworkProbe(FakeClock(), root)
    for _ in range(200):
        name = source.choice(FILES)
        kept = (root / name).read_bytes()
        (root / name).write_bytes(bytes(source.choice(kept or b"0") ^ (source.random() < 0.1) for _ in range(300)))
        system.figures()
        network.figures()


def test_what_is_no_file_is_not_waited_for(root: Path) -> None:
    for name in FILES[:3]:
        (root / name).unlink()
    os.mkfifo(root / "proc/stat")
    (root / "proc/loadavg").mkdir()
    (root / "proc/meminfo").symlink_to("/dev/zero")
    assert SystemProbe(root).figures().keys() == {"temperature_c", "uptime_s"}


def test_a_file_without_end_is_read_no_further(tmp_path: Path) -> None:
    write(tmp_path, "endless", "7" * (2 * MAX_BYTES))
    text = read_text(tmp_path / "endless")
    assert text is not None
    assert len(text) == MAX_BYTES
    assert number(text) is None
    assert [number(text) for text in ("12 kB", "-3", "", "x", "1.5", None)] == [12, -3, None, None, None, None]


def test_rates_and_states_of_interfaces(root: Path) -> None:
    clock = FakeClock()
    probe = NetworkProbe(clock, root)
    first = probe.figures()
    assert first == {"interfaces": [{"name": "wwan0", "state": "up", "received_bytes": 1000, "sent_bytes": 2000}]}
    clock.advance(10)
    write(root, "proc/net/dev", net_dev(("wwan0", 1_251_000, 2000), ("eth0", 0, 0)))
    second = probe.figures()
    assert (second["received_kbps"], second["sent_kbps"]) == (1000.0, 0.0)
    assert [interface["name"] for interface in second["interfaces"]] == ["eth0", "wwan0"]
    assert second["interfaces"][0] == {"name": "eth0", "received_bytes": 0, "sent_bytes": 0}
    assert second["interfaces"][1]["received_kbps"] == 1000.0
    clock.advance(10)
    write(root, "proc/net/dev", net_dev(("wwan0", 5, 5)))  # the interface came anew
    assert "received_kbps" not in probe.figures()


def test_of_very_many_interfaces_the_busiest_are_told(root: Path) -> None:
    many = [(f"veth{number}", number, 0) for number in range(MAX_INTERFACES + 7)]
    write(root, "proc/net/dev", net_dev(("wwan0", 10**9, 10**9), *many))
    figures = NetworkProbe(FakeClock(), root).figures()
    assert len(figures["interfaces"]) == MAX_INTERFACES
    assert "wwan0" in {interface["name"] for interface in figures["interfaces"]}
    assert figures["interfaces_left_out"] == 8
