"""What the service does wrong in the runs of scripts/soak.py, and how one can tell that it happened."""

# ruff: noqa: D101, D102 - the kind of a fault says what it is; its methods are those of `Fault`

from abc import ABC, abstractmethod
from dataclasses import dataclass
from random import Random

from soak_places import Place
from soak_runs import Ended, Runs

from etl.demo.service import Request, StandIn, Stream
from tests.load.lagging import lag, left_out


@dataclass(frozen=True)
class Stage:
    """Where a run takes place.

    Attributes:
        dice: chooses.
        service: the stand-in, without faults so far.
        stream: what it offers.
        place: where the archive is.
        rebuilding: the run is one with --rebuild.
    """

    dice: Random
    service: StandIn
    stream: Stream
    place: Place
    rebuilding: bool

    @property
    def sizes(self) -> dict[str, int]:
        """Bytes of the stream's files, by name."""
        return {path.name: path.stat().st_size for path in self.stream.file.parent.iterdir()}

    def offset(self) -> int:
        """A byte of one of the stream's larger files, rather towards its end."""
        return int(max(self.sizes.values()) * self.dice.random() ** 0.5)


class Fault(ABC):
    """Something that goes wrong.

    Attributes:
        kind: its name in the counts.
        codes: how a run may end in which it happened; a fault of that passes has 0 only.
        options: what the command line needs for it.
        login: the run has to log in, instead of having a token.
    """

    kind = ""
    codes: frozenset[int] = frozenset({0})
    options: tuple[str, ...] = ()
    login = False

    def __init__(self, stage: Stage) -> None:
        """Prepare it; the run has not begun yet."""
        self.stage = stage

    def meanwhile(self, runs: Runs) -> None:
        """Do something while the first process runs, such as starting another."""
        return

    def is_right(self, ended: Ended, happened: bool) -> bool:
        """Whether a run may end like that, in which it happened or did not."""
        return set(ended.codes) <= (self.codes if happened else {0})

    @abstractmethod
    def happened(self, ended: Ended) -> int:
        """How often it really happened, told from what others counted or said."""


# Faults that a run must get over.


class _Counted(Fault):
    """The stand-in counts it down."""

    field = ""

    def __init__(self, stage: Stage) -> None:
        super().__init__(stage)
        setattr(stage.service.faults, self.field, 1)

    def happened(self, ended: Ended) -> int:
        return 1 - int(getattr(self.stage.service.faults, self.field))


class Dropped(_Counted):
    kind, field = "metadata connection dropped", "drop_connections"


class TooMany(_Counted):
    kind, field = "429", "too_many_requests"

    def __init__(self, stage: Stage) -> None:
        super().__init__(stage)
        stage.service.faults.retry_after = 0


class ServerError(_Counted):
    kind, field = "500 of the metadata", "server_errors"


class Unavailable(_Counted):
    kind, field = "503 of the stream", "unavailable_stream"


class Cut(_Counted):
    kind, field = "stream cut", "cut_times"

    def __init__(self, stage: Stage) -> None:
        super().__init__(stage)
        stage.service.faults.cut_after = stage.offset()


class InterimAnswers(Fault):
    kind = "interim answers before every answer"

    def __init__(self, stage: Stage) -> None:
        super().__init__(stage)
        stage.service.faults.interim_before = stage.dice.choice([1, 2, 3, 30])

    def happened(self, ended: Ended) -> int:
        return min(1, len(ended.requests))


class InterimAnswersOnly(_Counted):
    kind, field = "interim answers without end", "interim_answers"


class Lagging(Fault):
    """Listings of the bucket lack keys that are there: young ones, or those of a pattern."""

    kind = "LIST that lags"

    def __init__(self, stage: Stage) -> None:
        super().__init__(stage)
        dice, frame = stage.dice, stage.dice.randrange(len(stage.stream.images))
        hidden = dice.choice(
            [
                rf"/ndvi/(c/)?{frame}/",
                r"/ndvi/(c/)?\d*[37]/",
                r"/(time|checksum|latitude)/",
                r"/zarr\.json$",
                r"/\.rebuild/",
                r"/\.outdated$|/\.lease$|/catalog\.json$",
                "",
            ]
        )
        self._proxy = stage.place.proxy or ""
        lag(self._proxy, *[hidden] * bool(hidden), seconds=dice.choice([0.5, 3.0, 30.0]))

    def happened(self, ended: Ended) -> int:
        return min(1, left_out(self._proxy))


class Expired(Fault):
    kind = "signed address expired"

    def __init__(self, stage: Stage) -> None:
        super().__init__(stage)
        self._status = stage.dice.choice([401, 403, 410])
        stage.service.faults.expired_status = self._status
        stage.service.faults.urls_expire_after = stage.dice.randrange(6)

    def happened(self, ended: Ended) -> int:
        refused = [r for r in ended.requests if r.path.startswith("/streams/") and r.status == self._status]
        return min(1, len(refused))


class TokenExpired(Fault):
    """The token ends, at once or with the stream's address; a login gives another one."""

    kind, login = "token expired", True

    def __init__(self, stage: Stage) -> None:
        super().__init__(stage)
        faults = stage.service.faults
        faults.unauthorized_after = stage.dice.randrange(2)
        if faults.unauthorized_after:
            faults.urls_expire_after = stage.dice.randrange(4)

    def happened(self, ended: Ended) -> int:
        return min(1, len(_refused(ended, 401)))


PASSING: tuple[type[Fault], ...] = (
    Dropped,
    TooMany,
    ServerError,
    Unavailable,
    Cut,
    Expired,
    InterimAnswers,
    InterimAnswersOnly,
)

# Faults that end a run.


class Revoked(Fault):
    """The token is refused, and there is no other."""

    kind, codes = "401", frozenset({3})

    def __init__(self, stage: Stage) -> None:
        super().__init__(stage)
        faults = stage.service.faults
        faults.unauthorized_after = stage.dice.randrange(2)
        if faults.unauthorized_after:
            faults.urls_expire_after = stage.dice.randrange(4)

    def happened(self, ended: Ended) -> int:
        return min(1, len(_refused(ended, 401)))


class Forbidden(Fault):
    kind, codes = "403", frozenset({3})

    def __init__(self, stage: Stage) -> None:
        super().__init__(stage)
        stage.service.faults.forbidden = True

    def happened(self, ended: Ended) -> int:
        return min(1, len(_refused(ended, 403)))


class LoginDown(_Counted):
    kind, field, codes, login = "503 of the login", "login_unavailable", frozenset({3, 4}), True


class Truncated(Fault):
    kind, codes = "stream truncated", frozenset({4})

    def __init__(self, stage: Stage) -> None:
        super().__init__(stage)
        self._size = stage.service.faults.truncate_to = max(1, stage.offset() * 9 // 10)

    def happened(self, ended: Ended) -> int:
        larger = {name for name, size in self.stage.sizes.items() if size > self._size}
        cut = [r for r in ended.requests if _file(r) in larger and r.status in {200, 206} and r.sent]
        return int(bool(cut) and ended.codes[0] == 4)


class Missing(Fault):
    kind, codes = "part of the stream missing", frozenset({4})

    def __init__(self, stage: Stage) -> None:
        super().__init__(stage)
        names = sorted(stage.sizes)
        self._name = names[int(len(names) * stage.dice.random() ** 0.5)]
        stage.service.faults.missing = frozenset({self._name})

    def happened(self, ended: Ended) -> int:
        asked = any(_file(r) == self._name and r.status == 404 for r in ended.requests)
        # Read only to find the stream's start, it can be done without.
        return int(asked and ended.codes[0] == 4)


def _file(request: Request) -> str:
    return request.path.rpartition("/")[2] if request.path.startswith("/streams/") else ""


def _refused(ended: Ended, status: int) -> list[Request]:
    return [r for r in ended.requests if "/metadata/" in r.path and r.status == status]
