"""What the stand-in does wrong, switched while it runs."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from threading import Event
from typing import Any


@dataclass
class Faults:
    """Faults of the stand-in; none by default.

    Fields that count ("for n requests") are counted down as the fault happens; a negative count
    never ends. Offsets are bytes from the start of a file as it is served.
    """

    interim_answers: int = 0
    """Requests of any kind that get interim answers (100, 102 and 103 in turns) without end, and no other."""
    interim_before: int = 0
    """Interim answers sent before every answer."""

    login_unavailable: int = 0
    """Login and token requests answered with 503."""
    wrong_keys: bool = False
    """The published keys do not verify the tokens."""

    drop_connections: int = 0
    """Metadata requests whose connection is closed without an answer."""
    silent_metadata: int = 0
    """Metadata requests that are never answered; the connection stays open."""
    too_many_requests: int = 0
    """Metadata requests answered with 429 and `Retry-After`."""
    retry_after: int | str = 1
    """Value of `Retry-After`: seconds, or an HTTP date."""
    server_errors: int = 0
    """Metadata requests answered with 500."""
    unauthorized_after: int | None = None
    """Metadata requests still accepted; then all tokens issued so far get 401 and this becomes None."""
    always_unauthorized: bool = False
    """Every metadata request gets 401."""
    forbidden: bool = False
    """The account is not in the user group: metadata requests get 403."""
    wrong_size: tuple[int, int] | None = None
    """The `nx` and `ny` metadata claims."""
    nonfinite_scales: Mapping[int, tuple[Any, Any]] = field(default_factory=dict)
    """Image number → JSON values instead of its minimum and maximum, such as infinities, "inf" or None."""
    repeat_dates: bool = False
    """Images 2, 4, 6… carry the time of the image before them."""
    metadata: Callable[[dict[str, Any]], dict[str, Any] | bytes | str] | None = None
    """Edits the answer of a metadata request; text or bytes are sent as they are."""

    files: str = "*"
    """Pattern of the file names that stream faults and interim answers apply to, such as `*.ts`."""
    missing: frozenset[str] = frozenset()
    """File names answered with 404."""
    unavailable_stream: int = 0
    """Stream requests answered with 503."""
    urls_expire_after: int | None = None
    """Stream requests still accepted; then signed URLs issued so far get 403 and this becomes None."""
    urls_expire_every: int | None = None
    """Stream requests accepted with signed URLs before all issued so far expire, again and again."""
    expired_status: int = 403
    """What a request with an expired or wrong signature is answered with."""
    ignore_range: bool = False
    """Range requests are answered with 200 and the whole file."""
    unknown_length: bool = False
    """Answers carry no `Content-Length`: they are sent in chunks."""
    truncate_to: int | None = None
    """Bytes the file is said to have and has."""
    slow_seconds: float = 0.0
    """Seconds before an answer begins."""
    bytes_per_second: float | None = None
    """Speed of an answer's body."""
    cut_after: int | None = None
    """Answers that include the byte at this offset end right before it: the connection is closed."""
    cut_times: int = 1
    """Answers cut that way."""
    stall_after: int | None = None
    """Answers that include the byte at this offset stop right before it: the connection stays open."""
    stall_times: int = 1
    """Answers stalled that way."""
    stalled: Event = field(default_factory=Event)
    """Set once an answer has stalled."""
    unannounced_close: bool = False
    """The connection is closed after every answer although keep-alive was agreed."""

    def take(self, counter: str) -> bool:
        """Use up one occurrence of a fault that counts; return whether there was one."""
        left: int = getattr(self, counter)
        if left > 0:
            setattr(self, counter, left - 1)
        return left != 0

    def runs_out(self, allowance: str) -> bool:
        """Use up one accepted request of a fault that sets in after some; return whether it sets in now."""
        left: int | None = getattr(self, allowance)
        if left is None:
            return False
        setattr(self, allowance, left - 1 if left > 0 else None)
        return left == 0

    def concern(self, file: str) -> bool:
        """Return whether the stream faults apply to a file name."""
        return fnmatchcase(file, self.files)
