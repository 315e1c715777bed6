"""A thin client of the service's JSON API, for the command line."""

import http.client
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlencode, urlsplit

from csu.errors import RequestRefusedError, ServiceUnreachableError
from csu.page_session import make_ticket
from csu.records import FINAL_STATES, ClipRecord, CommandRecord, UnitRecord
from csu.service_info import ServiceInfo, read_info, token_file
from csu.views import AlarmRecord, DaySummary, FleetView
from edge_agent.clock import Clock

_TIMEOUT_S = 15.0
_WATCH_TIMEOUT_S = 45.0
_POLL_S = 0.2
_ABSENCE_US = 20_000_000


class Client:
    """Calls the service that runs on a directory; finds it again when it was restarted."""

    def __init__(self, directory: Path, clock: Clock) -> None:
        self._directory = directory
        self._clock = clock

    def info(self) -> ServiceInfo:
        """Where the service is.

        Raises:
            ServiceUnreachableError: none runs on the directory.
        """
        return read_info(self._directory)

    def page_address(self) -> str:
        """An address that signs a browser in at the page, once and soon (`page_session.TICKET_LIFETIME_S`).

        Raises:
            ServiceUnreachableError: no service runs on the directory, or its token cannot be read.
        """
        url = self.info().api_url
        try:
            token = token_file(self._directory).read_text(encoding="ascii").strip()
        except (OSError, UnicodeDecodeError) as error:
            raise ServiceUnreachableError(f"the token of the service cannot be read: {error}") from error
        return f"{url}/sign-in?{urlencode({'token': make_ticket(token, self._clock.wall_us())})}"

    def units(self) -> list[UnitRecord]:
        """All units."""
        return [UnitRecord.from_object(item) for item in self._call("GET", "/v1/units")]

    def fleet(self) -> FleetView:
        """How all units stand, trouble first."""
        return FleetView.from_object(self._call("GET", "/v1/fleet"))

    def alarms(self, unit_id: str | None, is_open: bool | None, limit: int) -> list[AlarmRecord]:
        """The last alarms, newest first: of one unit or of all, open ones, closed ones or both."""
        query: dict[str, str] = {"limit": str(limit)}
        query |= {} if unit_id is None else {"unit_id": unit_id}
        query |= {} if is_open is None else {"open": "true" if is_open else "false"}
        answer = self._call("GET", f"/v1/alarms?{urlencode(query)}")
        return [AlarmRecord.from_object(item) for item in answer["items"]]

    def acknowledge(self, alarm_id: str, operator: str, note: str | None) -> AlarmRecord:
        """Take notice of an alarm."""
        body = {"operator": operator} | ({} if note is None else {"note": note})
        path = f"/v1/alarms/{quote(alarm_id, safe='')}/acknowledgement"
        return AlarmRecord.from_object(self._call("POST", path, body))

    def summary(self, day: str | None) -> DaySummary:
        """A day (`YYYY-MM-DD`) of the centre's zone; None for today."""
        query = "" if day is None else "?" + urlencode({"day": day})
        return DaySummary.from_object(self._call("GET", f"/v1/summary{query}"))

    def enrol(self, unit_id: str, jwk: dict[str, Any]) -> dict[str, Any]:
        """Let a unit in; what it needs (`api.Enrolment`)."""
        answer = self._call("POST", "/v1/units", {"unit_id": unit_id, "jwk": jwk})
        return dict(answer)

    def expel(self, unit_id: str) -> bool:
        """Shut a unit out; whether its user at the broker is gone too."""
        return bool(self._call("DELETE", f"/v1/units/{quote(unit_id, safe='')}")["own_broker"])

    def command(self, order: dict[str, Any]) -> CommandRecord:
        """Give a command (`api.CommandRequest`)."""
        return CommandRecord.from_object(self._call("POST", "/v1/commands", order))

    def look(self, command_id: str) -> tuple[CommandRecord, ClipRecord | None]:
        """A command and, for a clip, its delivery."""
        answer = self._call("GET", f"/v1/commands/{quote(command_id, safe='')}")
        clip = answer["clip"]
        command = CommandRecord.from_object(answer["command"])
        return command, None if clip is None else ClipRecord.from_object(clip)

    def follow(self, command_id: str, silence_s: float) -> Iterator[tuple[CommandRecord, ClipRecord | None]]:
        """A command each time something about it changed, until its end (a clip's: its verdict).

        Raises:
            ServiceUnreachableError: nothing changed for `silence_s`, a delivered clip's verdict included, or the
                service is gone.
        """
        seen: tuple[int, str | None] | None = None
        heard_us = self._clock.monotonic_us()
        while True:
            command, clip = self._look_again(command_id)
            now = (command.version, None if clip is None else clip.verdict)
            if now != seen:
                seen, heard_us = now, self._clock.monotonic_us()
                yield command, clip
            if _is_over(command, clip):
                return
            if self._clock.monotonic_us() - heard_us > silence_s * 1e6:
                raise ServiceUnreachableError(_silence(command, clip, silence_s))
            self._clock.sleep(_POLL_S)

    def watch(self, unit_id: str | None) -> Iterator[dict[str, Any]]:
        """What happens, as it happens; ends when the service ends.

        Raises:
            ServiceUnreachableError: the service is not there.
            RequestRefusedError: `too-slow`, the items are not taken as fast as they come.
        """
        query = "" if unit_id is None else "?" + urlencode({"unit_id": unit_id})
        connection = self._connect(_WATCH_TIMEOUT_S)
        try:
            response = self._send(connection, "GET", f"/v1/watch{query}", None)
            _check(response)
            while line := response.readline():
                if line.strip():
                    yield item_of(line)
        except (OSError, http.client.HTTPException, ValueError) as error:
            raise ServiceUnreachableError(f"the service on {self._directory} went away: {error}") from error
        finally:
            connection.close()

    def _look_again(self, command_id: str) -> tuple[CommandRecord, ClipRecord | None]:
        """`look`, over a restart of the service."""
        start_us = self._clock.monotonic_us()
        while True:
            try:
                return self.look(command_id)
            except ServiceUnreachableError:
                if self._clock.monotonic_us() - start_us > _ABSENCE_US:
                    raise
                self._clock.sleep(_POLL_S)

    def _call(self, method: str, path: str, body: dict[str, Any] | None = None) -> Any:  # noqa: ANN401 -- JSON
        connection = self._connect(_TIMEOUT_S)
        try:
            return _check(self._send(connection, method, path, body))
        except (OSError, http.client.HTTPException, ValueError) as error:
            raise ServiceUnreachableError(f"the service on {self._directory} does not answer: {error}") from error
        finally:
            connection.close()

    def _connect(self, timeout_s: float) -> http.client.HTTPConnection:
        url = self.info().api_url
        try:
            parts = urlsplit(url)
            return http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=timeout_s)
        except ValueError as error:
            raise ServiceUnreachableError(f"{self._directory} names {url!r:.200} as its service: {error}") from error

    def _send(
        self, connection: http.client.HTTPConnection, method: str, path: str, body: dict[str, Any] | None
    ) -> http.client.HTTPResponse:
        token = token_file(self._directory).read_text(encoding="ascii").strip()
        data = None if body is None else json.dumps(body).encode()
        connection.request(method, path, data, {"Authorization": f"Bearer {token}"})
        return connection.getresponse()


def _silence(command: CommandRecord, clip: ClipRecord | None, silence_s: float) -> str:
    if clip is not None:
        return (
            f"clip {clip.clip_id} has arrived, and has no verdict after {silence_s:g} s; the service goes on"
            f" verifying it, its files lie in {clip.folder}"
        )
    return (
        f"nothing was heard of {command.unit_id} for {silence_s:g} s (command {command.command_id},"
        f" {command.state}); the service goes on asking, see: csu units"
    )


def _is_over(command: CommandRecord, clip: ClipRecord | None) -> bool:
    if clip is not None:
        return clip.verdict != "pending"
    if command.cmd == "clip.request" and command.state == "done":
        return False  # the verdict is being stored
    return command.state in FINAL_STATES


def _check(response: http.client.HTTPResponse) -> Any:  # noqa: ANN401 -- JSON
    """The answer's JSON; None for a stream.

    Raises:
        RequestRefusedError: the service refuses.
        ServiceUnreachableError: it cannot answer now.
    """
    if response.status < 400 and response.headers.get_content_type() == "application/x-ndjson":
        return None
    document = json.loads(response.read())
    if response.status < 400:
        return document
    error = document["error"]
    if response.status >= 500:
        raise ServiceUnreachableError(error["message"])
    raise RequestRefusedError(error["code"], error["message"], response.status)


def item_of(line: bytes) -> dict[str, Any]:
    """One line of `GET /v1/watch`.

    Raises:
        RequestRefusedError: the service ends the stream and says why.
        ValueError: not JSON.
    """
    item: dict[str, Any] = json.loads(line)
    if "error" in item and "kind" not in item:
        raise RequestRefusedError(item["error"]["code"], item["error"]["message"])
    return item
