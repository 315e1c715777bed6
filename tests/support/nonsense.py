"""Bodies that are no commands, of every kind that a unit may meet on `down/command`."""

import json
import random
from collections.abc import Iterator

from edge_agent.contract.jws import SigningKey
from tests.support.operator import make_claims


def nonsense(unit_id: str, seed: int = 7) -> Iterator[bytes]:
    """For ever: random bytes, JSON of a wrong shape, documents of an unknown key, deep nesting, something huge."""
    draw = random.Random(seed)
    stranger = SigningKey.generate()
    signed = [stranger.sign("command", make_claims(unit_id, "clip.list", {})).encode() for _ in range(20)]
    shapes: list[object] = [{}, [], 0, None, {"jti": 5, "cmd": ["x"]}, make_claims(unit_id, "clip.list", {})]
    deep = b"[" * 7_000 + b"]" * 7_000
    huge = json.dumps({"cmd": "clip.list", "params": {"x": "y" * 120_000}}).encode()
    number = 0
    while True:
        number += 1
        yield draw.randbytes(draw.randrange(1, 400))
        yield json.dumps(draw.choice(shapes)).encode()
        yield draw.choice(signed)
        yield draw.choice(signed)[: draw.randrange(10, 200)]
        yield deep if number % 20 == 0 else b"{" * draw.randrange(1, 60)
        yield huge if number % 100 == 0 else b"eyJhbGciOiJub25lIn0.e30."
