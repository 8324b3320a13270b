"""What commands there are, and what the program says to one who gives none."""

from collections.abc import Mapping

COMMANDS: Mapping[str, Mapping[str, str]] = {
    "Fill the archive": {
        "demo": "Archive a synthetic continent, without an account or a network.",
        "check": "Check login, service, stream and archive, and say what to do.",
        "convert": "Archive the frames of CONTINENT that are not archived yet.",
        "nightly": "Archive what is new of every continent of a configuration.",
    },
    "Use it": {
        "info": "Tell what the archive holds, and how the last run ended.",
        "timeseries": "Tell the NDVI of a place or a region of CONTINENT over time.",
        "export": "Write frames of CONTINENT to files, as GeoTIFF or NetCDF.",
        "animate": "Make a film of CONTINENT, or of a part of it.",
        "serve": "Serve the archive over HTTP: a page, a map, STAC and Zarr.",
    },
    "Look after it": {
        "verify": "Check that all is there, whole, and as it was archived.",
        "optimize": "Keep the frames of CONTINENT once more, for reading along time.",
        "catalog": "Write the STAC catalog anew, or change how it is kept.",
    },
}
"""Commands by what they are for, each with the first sentence of its help.

They are here so that nothing needs to be imported to list them.
"""

FIRST_STEPS = """\
DestinE's Sentinel-3 NDVI, from video to a Zarr archive with a STAC catalog.

Try it, without an account:
  ndvi-archive demo

Archive what the service has, with an account of the DestinE platform:
  export DESPAUTH_USER=… DESPAUTH_PASSWORD=…
  ndvi-archive check Europe --archive archive
  ndvi-archive convert Europe --archive archive --start 2021-03 --end 2021-03

Use what is archived:
  ndvi-archive info --archive archive
  ndvi-archive timeseries Europe --archive archive --lon 11.6 --lat 48.1
  ndvi-archive export Europe --archive archive --start 2021-03 --out maps
  ndvi-archive serve --archive archive

All commands: ndvi-archive --help; all of one: ndvi-archive convert --help
"""
