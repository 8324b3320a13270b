"""`--threads`: so many frames are written at a time as are asked for, and no more."""

from pathlib import Path

from etl.demo.service import StandIn
from tests.forked import started
from tests.load.buckets import BUCKET, faults, met, s3_server, variables, wait_until_held
from tests.program import with_token

ASKED_FOR = 8
"""Threads; more than would be taken unasked."""


def test_as_many_frames_are_under_way_as_threads_are_asked_for(service: StandIn, tmp_path: Path) -> None:
    with s3_server() as address:
        no_more: dict[str, object] = {"fault": "none", "path": f"ndvi/c/({ASKED_FOR}|9|1[0-9])/"}
        held: list[dict[str, object]] = [
            {"fault": "hold", "path": f"ndvi/c/{position}/"} for position in range(ASKED_FOR)
        ]
        faults(address, no_more, *held)
        process = started(
            *("convert", "Europe", "--archive", f"s3://{BUCKET}/night", "--threads", str(ASKED_FOR)),
            variables=with_token(service) | variables(address),
            err=tmp_path / "err",
        )

        wait_until_held(address)
        further = met(address)
        faults(address)
        process.join(120)

        assert further == 0
        assert process.exitcode == 0, (tmp_path / "err").read_text()
