import json

import pytest

from edge_agent.contract.errors import ContractError
from edge_agent.contract.messages import Progress


@pytest.mark.parametrize("size_bytes", ["-1", str(1 << 63), "9" * 400, "1.5", '"many"'])
def test_amounts_are_such_as_every_reader_can_hold(size_bytes: str) -> None:
    body = f'{{"sent_bytes": 0, "total_bytes": {size_bytes}}}'
    with pytest.raises(ContractError, match="total_bytes"):
        Progress.from_json(body)
    with pytest.raises(ContractError, match="total_bytes"):
        Progress.from_object(json.loads(body))


def test_the_largest_amount_is_read() -> None:
    assert Progress.from_object({"sent_bytes": 0, "total_bytes": (1 << 63) - 1}).total_bytes == (1 << 63) - 1
