import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge_agent.capture.address import CameraAddress
from edge_agent.capture.redact import redact

VISIBLE = st.characters(codec="utf-8", categories=("L", "M", "N", "P", "S"))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("rtsp://admin:secret@192.0.2.7/stream1", "rtsp://***@192.0.2.7/stream1"),
        ("rtsp://admin:p@ss/w:rd#%?x@192.0.2.7:554/a?b=c", "rtsp://***@192.0.2.7:554/a?b=c"),
        ("rtsp://admin@192.0.2.7/", "rtsp://***@192.0.2.7/"),
        ("rtsp://admin:se%40cret@[2001:db8::1]:554/x", "rtsp://***@[2001:db8::1]:554/x"),
        ("rtsp://camera.example:554/stream@1", "rtsp://***@1"),
        ("rtsp://192.0.2.7/stream1", "rtsp://192.0.2.7/stream1"),
        (
            "rtsp://192.0.2.7:554/user=admin&password=secret&channel=1.sdp",
            "rtsp://192.0.2.7:554/user=***&password=***&channel=1.sdp",
        ),
        ("rtsps://192.0.2.7/?token=abc123#x", "rtsps://192.0.2.7/?token=***#x"),
        (
            "[Errno 5] Input/output error: 'rtsp://u:secret@h/x' last error log: [rtsp] from rtsp://u:secret@h/x",
            "[Errno 5] Input/output error: 'rtsp://***@h/x' last error log: [rtsp] from rtsp://***@h/x",
        ),
        ("Authorization: Basic YWRtaW46c2VjcmV0", "Authorization: ***"),
        ('Authorization: Digest username="admin", response="1234"\r\nCSeq: 2', "Authorization: ***\r\nCSeq: 2"),
        (
            "rtspsrc user-id=root user-pw=\"ge heim\" proxy-pw='a b' ! queue",
            "rtspsrc user-id=*** user-pw=*** proxy-pw=*** ! queue",
        ),
        ('… user-pw="ge hei', "… user-pw=***"),
        ("cannot open srt://192.0.2.7:9000?passphrase=secret", "cannot open srt://192.0.2.7:9000?passphrase=***"),
        ("nothing to hide: 12:30 a@b", "nothing to hide: 12:30 a@b"),
    ],
)
def test_credentials_are_hidden_and_the_rest_is_kept(text: str, expected: str) -> None:
    assert redact(text) == expected


@settings(deadline=None)
@given(user=st.text(VISIBLE, max_size=12), password=st.text(VISIBLE, max_size=20))
def test_no_password_survives_whatever_its_characters(user: str, password: str) -> None:
    address = f"rtsp://{user}:{password}@192.0.2.7:554/stream1"
    assert redact(f"cannot open {address}") == "cannot open rtsp://***@192.0.2.7:554/stream1"


@settings(deadline=None)
@given(
    user=st.text(st.characters(codec="utf-8", exclude_characters=":/?#@%"), min_size=1, max_size=12),
    password=st.text(st.characters(codec="utf-8", exclude_characters="%"), max_size=20),
)
def test_credentials_reach_libav_percent_encoded(user: str, password: str) -> None:
    parsed = CameraAddress("rtsp", "192.0.2.7/x", user, password)
    again = CameraAddress.parse(parsed.for_libav())
    assert again == parsed


def test_raw_and_encoded_passwords_are_the_same() -> None:
    raw = CameraAddress.parse("rtsp://admin:p@ss/w#rd@192.0.2.7/x")
    encoded = CameraAddress.parse("rtsp://admin:p%40ss%2Fw%23rd@192.0.2.7/x")
    assert raw == encoded
    assert (raw.user, raw.password, raw.place) == ("admin", "p@ss/w#rd", "192.0.2.7/x")


@pytest.mark.parametrize("text", ["rtsp:nothing", "rtsp://", "rtsp:///path", "rtsp://u:secret@", "rtsp://h:99999/x"])
def test_an_unusable_address_is_refused_without_repeating_it(text: str) -> None:
    with pytest.raises(ValueError, match="host") as caught:
        CameraAddress.parse(text)
    assert "secret" not in str(caught.value)
