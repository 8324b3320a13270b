"""Options by which commands reach the service."""

from pathlib import Path

import click

from etl.cli.options import option
from etl.extract.api import DEFAULT_API_URL

api_url_option = option(
    "--api-url", default=DEFAULT_API_URL, metavar="URL", help="Address of the service's API."
)

token_file_option = option(
    "--token-file",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="File with an access token, instead of a login.",
)
