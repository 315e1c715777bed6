"""The root of the exception tree, and the leaves that reading the contract's formats raises.

They live here because the contract imports nothing; `edge_agent.errors` grows the rest of the tree on them.
"""


class EdgeAgentError(Exception):
    """Base of everything this package raises on purpose."""


class ContractError(EdgeAgentError, ValueError):
    """A message, command or stored record that does not follow the contract; the message names the place."""


class FormatError(ContractError):
    """Bytes that do not follow a published binary format; the message says where."""


class SignatureError(ContractError):
    """A signature that does not hold, a key that is not trusted, or claims that do not fit."""
