"""The errors a user can meet, each with the exit code of its class."""

from etl.text import one_line


class ArchiveError(Exception):
    """Base of all errors this program reports in one line, whatever the text in it comes from.

    Attributes:
        what: what happened, and to what.
        remedy: what the user can do about it.
        exit_code: process exit code of the class.
    """

    exit_code = 1

    def __init__(self, what: str, remedy: str) -> None:
        # As given, so that it can go from one process to another.
        super().__init__(what, remedy)
        self.what = one_line(what)
        self.remedy = one_line(remedy)

    def __str__(self) -> str:
        return f"{self.what}; {self.remedy}"


class StorageError(ArchiveError):
    """The archive's storage refused a read or a write: permission, space, disk."""


class UsageError(ArchiveError):
    """A value given by the user cannot be used."""

    exit_code = 2


class LoginError(ArchiveError):
    """No token could be had, or the service refuses the one there is."""

    exit_code = 3


class ServiceError(ArchiveError):
    """The service failed, or answered something that cannot be used."""

    exit_code = 4


class StreamError(ServiceError):
    """The video is not what the metadata says.

    Attributes:
        number: number of the first frame that could not be had, 1-based in the whole stream.
    """

    def __init__(self, what: str, remedy: str, number: int) -> None:
        super().__init__(what, remedy)
        self.args = (what, remedy, number)
        self.number = number


class LostError(StreamError):
    """A frame is not in the stream any more, or damaged there: others may well be had."""


class DeadlineError(ServiceError):
    """The run has taken longer than it may."""


class BusyError(ArchiveError):
    """Another process is writing to the archive."""

    exit_code = 5


class IncompatibleError(ArchiveError):
    """The archive is damaged, is not one of ours, or does not fit the stream."""

    exit_code = 6


class SomeFailedError(ArchiveError):
    """Some continents of a nightly run failed; the others went well."""

    exit_code = 7
