"""Base of the contract's models: strict about what is known, deaf to what is not (unknown fields are ignored)."""

import json
from typing import Any, Self

from pydantic import BaseModel, ConfigDict, ValidationError

from edge_agent.contract.errors import ContractError

MAX_MESSAGE_BYTES = 16_000
"""The largest MQTT body of the contract."""


class ContractModel(BaseModel):
    """A typed message or stored record; immutable."""

    model_config = ConfigDict(frozen=True, extra="ignore", populate_by_name=True, allow_inf_nan=False)

    @classmethod
    def from_json(cls, body: bytes | str, max_bytes: int = MAX_MESSAGE_BYTES) -> Self:
        """Read JSON.

        Raises:
            ContractError: too long, not JSON, or not of this shape; the message names the first wrong field.
        """
        size_bytes = len(body)
        if size_bytes > max_bytes:
            raise ContractError(f"{cls.__name__}: {size_bytes} bytes, at most {max_bytes} are read")
        try:
            return cls.model_validate_json(body)
        except ValidationError as error:
            raise ContractError(f"{cls.__name__}: {first_problem(error)}") from error

    @classmethod
    def from_object(cls, value: object) -> Self:
        """Check an already parsed JSON value.

        Raises:
            ContractError: not of this shape; the message names the first wrong field.
        """
        try:
            return cls.model_validate(value)
        except ValidationError as error:
            raise ContractError(f"{cls.__name__}: {first_problem(error)}") from error

    def to_object(self) -> dict[str, Any]:
        """The value as JSON types, fields that are None left out, aliases used."""
        return self.model_dump(mode="json", by_alias=True, exclude_none=True)

    def to_json(self) -> bytes:
        """Canonical JSON: UTF-8, sorted keys, no white space."""
        return canonical_json(self.to_object())


def canonical_json(value: object) -> bytes:
    """UTF-8 JSON with sorted keys and no white space, so that equal values are equal bytes."""
    return json.dumps(value, ensure_ascii=False, sort_keys=True, separators=(",", ":"), allow_nan=False).encode()


def first_problem(error: ValidationError) -> str:
    """The first complaint of pydantic as `field.path: what is wrong`."""
    problem = error.errors(include_url=False, include_input=False)[0]
    where = ".".join(str(step) for step in problem["loc"]) or "body"
    return f"{where}: {problem['msg']}"
