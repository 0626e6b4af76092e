"""The protocol of a kernel in another process: what crosses the gate, as one JSON object per line.

Both sides are of the same release as a rule; `VERSION` goes up with every change that an older side would misread, and
sides of different versions refuse each other. A reader passes over keys that it does not know.
"""

from aios_kernel.protocol.errors import RemoteError, decode_error, encode_error
from aios_kernel.protocol.lines import LONGEST, Lines, ProtocolError, line
from aios_kernel.protocol.values import (
    decode_call,
    decode_delta,
    decode_reply,
    decode_status,
    decode_usage,
    encode_call,
    encode_delta,
    encode_event,
    encode_reply,
    encode_status,
    encode_usage,
)

__all__ = [
    "LONGEST",
    "VERSION",
    "Lines",
    "ProtocolError",
    "RemoteError",
    "decode_call",
    "decode_delta",
    "decode_error",
    "decode_reply",
    "decode_status",
    "decode_usage",
    "encode_call",
    "encode_delta",
    "encode_error",
    "encode_event",
    "encode_reply",
    "encode_status",
    "encode_usage",
    "line",
]

VERSION = 1
