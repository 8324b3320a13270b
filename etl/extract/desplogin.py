"""A login at the DESP identity service with `destinepyauth`, as a process of its own.

`destinepyauth` reads the program's arguments, can end the process, asks on the terminal and waits for
answers without limit. In a process of its own none of that reaches the caller. The token goes to standard
output as JSON, all else to standard error.
"""

import json
import logging
import os
import sys


def main() -> None:
    """Log in and print `{"access_token": …}` or `{"error": …}`."""
    answer = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    sys.argv[1:] = []
    logging.disable(logging.CRITICAL)
    json.dump(_login(), answer)
    answer.flush()


def _login() -> dict[str, str]:
    # Imported here so that whatever the import prints or raises is reported like the rest.
    try:
        from destinepyauth import get_token  # noqa: PLC0415

        result = get_token("streamer")
    except EOFError:
        return {
            "error": "it asks for a user name, a password or a one-time password, and there is no terminal"
        }
    except SystemExit as error:
        return {"error": f"the DESPAUTH_… settings are not valid (exit {error.code})"}
    except Exception as error:  # noqa: BLE001 - told to the user by the parent process
        return {"error": str(error) or type(error).__name__}
    if result is None or result.decoded is None:
        return {"error": "the token's signature or expiry date is not valid"}
    return {"access_token": result.access_token}


if __name__ == "__main__":
    main()
