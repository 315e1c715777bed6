"""The JSON API of the service, on loopback: for the page, the command line, and integrators on the same machine.

There are two ways in (`csu.api.guard`): `Authorization: Bearer <token>`, with the token of `api.token` (mode 0600)
under the service's directory; and the page's session, a cookie. No CORS header is ever sent.

| request | answer |
|---|---|
| `GET /`, `GET /assets/{path}` | the page |
| `GET /sign-in?token=…`, `POST /sign-out` | the page's session |
| `GET /v1/openapi.json` | OpenAPI 3.1 of all below |
| `GET /v1/page` | `PageInfo` |
| `GET /v1/service` | `ServiceView`: whether the broker is reached, messages of strangers |
| `GET /v1/fleet` | `FleetView` |
| `GET /v1/units`, `GET /v1/units/{unit_id}` | `UnitRecord` |
| `POST /v1/units` `{"unit_id", "jwk"}` | what the unit needs: `Enrolment` |
| `DELETE /v1/units/{unit_id}` | `Expulsion`: the unit is shut out |
| `GET /v1/units/{unit_id}/view` | `UnitView` |
| `GET /v1/units/{unit_id}/estimate?camera&from&to` | `ClipEstimate` |
| `GET /v1/units/{unit_id}/history?kind&from&to&limit` | `Samples`, oldest first |
| `GET /v1/events?unit_id&limit` | events, oldest first |
| `GET /v1/alarms?unit_id&open&limit&cursor` | `AlarmPage`, newest first |
| `POST /v1/alarms/{alarm_id}/acknowledgement` `{"operator", "note"}` | `AlarmRecord` |
| `GET /v1/summary?day` | `DaySummary` |
| `GET /v1/commands?unit_id&limit&cursor` | `CommandRecord`, newest first |
| `POST /v1/commands` `{"unit_id", "cmd", "params", "operator", …}` | `CommandRecord` |
| `GET /v1/commands/{command_id}` | `{"command", "clip"}` |
| `GET /v1/clips?unit_id&limit&cursor` | `ClipRecord`, newest first |
| `GET /v1/clips/{unit_id}/{clip_id}` | `ClipView` |
| `GET /v1/clips/{unit_id}/{clip_id}/files/{name}` | the file; ranges; `?download` keeps it |
| `GET /v1/stream` | server-sent events |
| `GET /v1/watch?unit_id` | one JSON object a line, as things happen; empty lines keep it alive |

Errors: `{"error": {"code", "message"}}` with a fitting status.
"""

from csu.api.application import Api
from csu.api.ports import Enrolment, EnrolRequest, Expulsion, PageInfo, Parts

__all__ = ["Api", "EnrolRequest", "Enrolment", "Expulsion", "PageInfo", "Parts"]
