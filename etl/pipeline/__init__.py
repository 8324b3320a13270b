"""From the service to the archive: plan which frames are new, then archive them."""

from etl.pipeline.archiving import convert
from etl.pipeline.job import Job
from etl.pipeline.preview import Preview, preview

__all__ = ["Job", "Preview", "convert", "preview"]
