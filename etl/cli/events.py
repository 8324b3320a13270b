"""The events of `--log-format json`.

A line of that log is an object with `time`, `level`, `event`, `logger`, `message` and the fields of its
event. Names and fields stay as they are from version to version; messages do not. A new event gets its name
where it is logged, `log.info("text", extra={"event": "name", "fields": {...}})`, and a line here.
"""

from collections.abc import Mapping

EVENTS: Mapping[str, str] = {
    "log": "anything without a name of its own",
    "error": "why the program ends: exit_code, and traceback with -vv",
    "another_error": "an error on the way out, after the one that ends the program: exit_code",
    # A run.
    "run_started": "a run begins",
    "planned": "the service was asked: new, archived",
    "progress": "now and then: what (frames or items), done, planned, frames_per_second or items_per_second,"
    " seconds_left",
    "retry": "a request or a connection is tried again: reason, attempt, of",
    "workers_ready": "the frames are shared: workers",
    "frames_committed": "readers see more frames: frames, archived, planned, newest",
    "stale": "the newest frame is older than allowed: days, newest",
    # What is odd about frames: `frame` names one, `frames` counts those of which the log names no more.
    "frame_late": "older than the newest archived one, absent, and not archived: frame or frames",
    "frame_republished": "other values in the stream than in the archive: frame or frames",
    "frame_renumbered": "another number in the stream than in the archive: frame or frames",
    "frame_withdrawn": "archived and no longer listed: frame or frames",
    "frame_ahead": "dated ahead of now, and left out: frame or frames",
    "frame_duplicate": "another has the same time and satellite: frame or frames",
    "frames_before_first": "older than the archive's first, and not archived: frames",
    "numbering_unchecked": "no archived frame could be compared with the stream",
    "frames_unchecked": "the newest archived frames cannot be read from the stream, and an older one was"
    " compared: frames, newest, compared",
    # The archive.
    "commit_completed": "a commit that an earlier run began was completed: frames",
    "metadata_restored": "metadata that an interrupted run had changed are as committed again",
    "overviews_kept": "an archive without overviews goes on without, or one with them though asked otherwise:"
    " overviews",
    "layout_kept": "another layout was asked for than the archive has: layout",
    "series_extended": "a period was put into the series: frames, in_series, closed",
    "period_kept": "another period was asked for than the series has: period",
    "waiting": "another run is writing: holder, seconds",
    "rebuild_completed": "a rebuild that was asked for is one that an interrupted run had finished",
    "damage_looked_for": "a rebuild is refused, so frames are repaired in place: frames",
    "frame_repaired": "a damaged frame was written again as it was archived: frame",
    "frame_not_repaired": "a damaged frame cannot be had as it was archived: frame",
    "rebuild_started": "a rebuild begins, or goes on: frames, rebuilt, taken_over",
    "rebuild_begun_anew": "a rebuild that was begun before no longer fits the stream",
    "group_replaced": "a rebuild is done: its frames are those of the archive now",
    "catalog_link_kept": "a continent cannot be read, its link in the catalog stays: folder",
    "export_left_out": "items are not exported, the library for it is not installed: folder",
    "others_among_items": "what is below items and not from here stays there: keys",
    "metrics_dropped": "the metrics file told of continents of which it no longer does: continents",
    # Files made of frames.
    "file_written": "a frame was written to a file: file, bytes",
    "left_out": "a frame is missing or damaged, and has no file: file, error",
    # The server.
    "request_failed": "the storage refused to read what was requested: path",
    # A night; every line of a continent's run has the field `continent`.
    "continent_begun": "its run begins: continent, pid",
    "verification_started": "its archive is verified: continent, pid",
    "continent_ended": "its run has ended: continent, exit_code",
    "output": "its run said something that is no JSON: continent",
}
"""What each event means, and its fields."""
