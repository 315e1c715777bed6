"""What gpsd says is understood, and what is no report is refused with its reason."""

import json
import math
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_agent.errors import ReportError
from edge_agent.position.reports import (
    Devices,
    Gst,
    Other,
    Sky,
    TimeOffset,
    Tpv,
    Trouble,
    Version,
    radius_95_m,
    read_report,
)
from tests.unit.position.reports import NOON_US, line

TPV_322 = (
    b'{"class":"TPV","device":"/dev/pts/1","mode":3,"time":"2026-11-02T12:00:00.000Z","ept":0.005,"lat":-37.784791667,'
    b'"lon":175.314896667,"altHAE":83.5000,"altMSL":59.8000,"alt":59.8000,"epx":9.484,"epy":12.791,"epv":34.500,'
    b'"track":181.3900,"magtrack":201.9320,"magvar":20.5,"speed":0.592,"climb":-0.100,"epc":69.00,"geoidSep":23.700,'
    b'"eph":20.900,"sep":34.200}\r\n'
)
"""As gpsd 3.22 wrote it (of the recorded receiver, its date moved)."""

TPV_325 = (
    b'{"class":"TPV","device":"/dev/ttyACM0","status":2,"mode":3,"time":"2026-11-02T12:00:00.000Z","ept":0.005,'
    b'"leapseconds":18,"lat":45.764043,"lon":4.835659,"altHAE":218.1,"altMSL":170.1,"alt":170.1,"epx":3.1,"epy":4.2,'
    b'"epv":8.0,"track":77.1,"speed":13.9,"climb":0.0,"eps":0.4,"epc":16.1,"ecefx":4442000.0,"velN":1.0,'
    b'"geoidSep":48.0,"eph":5.0,"sep":9.5}\r\n'
)
"""With the fields that 3.25 has (gpsd_json(5))."""


@pytest.mark.parametrize("text", [TPV_322, TPV_325])
def test_fixes_of_both_releases_are_understood(text: bytes) -> None:
    report = read_report(text)
    said = json.loads(text)
    assert report == Tpv(
        mode=3,
        time_us=NOON_US,
        time_error_s=0.005,
        longitude_deg=said["lon"],
        latitude_deg=said["lat"],
        altitude_m=said["altHAE"],
        speed_mps=said["speed"],
        radius_m=said["eph"],
        east_m=said["epx"],
        north_m=said["epy"],
    )


@pytest.mark.parametrize(
    ("text", "report"),
    [
        (line(mode=1), Tpv(mode=1)),
        (line(mode=0, time="2026-11-02T12:00:00Z"), Tpv(mode=0, time_us=NOON_US)),
        (line(mode=2, status=9, lat=1, lon=2), Tpv(mode=2, longitude_deg=2, latitude_deg=1, is_simulated=True)),
        (line(cls="SKY", nSat=12, uSat=8, satellites=[]), Sky(12, 8)),
        (line(cls="SKY", satellites=[{"PRN": 1, "used": True}, {"PRN": 2, "used": False}, 7]), Sky(3, 1)),
        (line(cls="SKY", hdop=1.1), Sky(None, None)),
        (line(cls="SKY", nSat=1000, uSat=999), Sky(255, 255)),
        (line(cls="GST", lat=1.5, lon=2.5, major=3), Gst(1.5, 2.5)),
        (
            line(cls="TOFF", real_sec=10, real_nsec=0, clock_sec=11, clock_nsec=250_000_000),
            TimeOffset(False, 10_000_000, 11_250_000),
        ),
        (
            line(cls="PPS", real_sec=10, real_nsec=0, clock_sec=10, clock_nsec=999, precision=-20),
            TimeOffset(True, 10_000_000, 10_000_000),
        ),
        (line(cls="VERSION", release="3.22", proto_major=3, proto_minor=14), Version("3.22")),
        (line(cls="DEVICES", devices=[{}, {}]), Devices(2)),
        (line(cls="ERROR", message="Can't open"), Trouble("Can't open")),
        (line(cls="AIS", type=1), Other("AIS")),
    ],
)
def test_reports_are_understood(text: bytes, report: object) -> None:
    assert read_report(text) == report


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"\r\n",
        b"SSH-2.0-OpenSSH_9.2p1\r\n",
        b"HTTP/1.1 400 Bad Request\r\n",
        b"$GPGGA,030719.000,3747.0873,S,17518.8938,E,1,08,1.1,59.9,M,23.7,M,,0000*7D\r\n",
        b"[1,2]",
        b'"TPV"',
        b"{}",
        b'{"class":7}',
        b'{"class":"TPV"}',
        b'{"class":"TPV","mode":3,"lat":nan,"lon":4.8}',
        b'{"class":"TPV","mode":3,"lat":NaN,"lon":4.8}',
        b'{"class":"TPV","mode":3,"lat":Infinity,"lon":4.8}',
        b'{"class":"TPV","mode":3,"lat":1e999,"lon":4.8}',
        b"[" * 100_000,
        b'{"class":"TPV","mode":' + b"9" * 400 + b"}",
        b"\xff\xfe\x00\x01\n",
        line(mode=4),
        line(mode=True),
        line(mode="3"),
        line(mode=2.5),
        line(mode=3, lat=91, lon=0),
        line(mode=3, lat=0, lon=-180.001),
        line(mode=3, lat="45.7", lon=4.8),
        line(mode=3, lat=[45.7], lon=4.8),
        line(mode=3, speed=-1),
        line(mode=3, eph=-1),
        line(mode=3, time=1793620800),
        line(mode=3, time="yesterday"),
        line(mode=3, time="2026-13-01T00:00:00Z"),
        line(mode=3, time="2026-11-02T12:00:00"),
        line(cls="SKY", satellites="many"),
        line(cls="SKY", nSat=-1),
        line(cls="TOFF", real_sec=1),
        line(cls="PPS", real_sec=10, real_nsec=1_000_000_000, clock_sec=10, clock_nsec=0),
        line(cls="DEVICES", devices=None),
        line(cls="VERSION", release="9.0", proto_major=4),
        line(cls="VERSION", release="3.22"),
    ],
)
def test_what_is_no_report_or_cannot_be_is_refused(text: bytes) -> None:
    with pytest.raises(ReportError):
        read_report(text)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=8,
)
FIELDS = ("mode", "time", "ept", "lon", "lat", "altHAE", "speed", "eph", "epx", "epy", "status", "nSat", "uSat")
MORE_FIELDS = ("satellites", "real_sec", "real_nsec", "clock_sec", "clock_nsec", "devices", "message", "proto_major")


@given(st.sampled_from(["TPV", "SKY", "GST", "TOFF", "PPS", "DEVICES", "ERROR", "VERSION"]), st.data())
def test_whatever_stands_in_a_report_nothing_but_a_refusal_comes_of_it(name: str, data: st.DataObject) -> None:
    body: dict[str, Any] = data.draw(st.dictionaries(st.sampled_from(FIELDS + MORE_FIELDS), JSON, max_size=10))
    body["class"] = name
    try:
        report = read_report(json.dumps(body).encode())
    except ReportError:
        return
    if isinstance(report, Tpv):
        numbers = (report.longitude_deg, report.latitude_deg, report.speed_mps, report.radius_m)
        assert all(number is None or math.isfinite(number) for number in numbers)


@given(st.binary(max_size=200))
def test_bytes_that_are_anything_are_refused_or_understood(data: bytes) -> None:
    with suppress(ReportError):
        read_report(data)


@pytest.mark.parametrize(
    ("report", "gst", "radius_m"),
    [
        (Tpv(3, radius_m=20.9, east_m=9, north_m=12), None, 20.9),
        (Tpv(3, east_m=9, north_m=12), None, 15.0),
        (Tpv(3, radius_m=20.9), Gst(3.0, 4.0), 10.0),
        (Tpv(3, radius_m=20.9), Gst(None, 4.0), 20.9),
        (Tpv(3), None, None),
        (Tpv(3, radius_m=20_000), None, None),
    ],
)
def test_the_radius_at_95_percent(report: Tpv, gst: Gst | None, radius_m: float | None) -> None:
    assert radius_95_m(report, gst) == radius_m
