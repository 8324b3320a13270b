"""A login at the DESP identity service with `destinepyauth`, as a process of its own.

`destinepyauth` reads the program's arguments, can end the process, asks on the terminal and waits for
answers without limit, however long they are. In a process of its own none of that reaches the caller: its
time and its memory are limited. The token goes to standard output as JSON, all else to standard error.
"""

import builtins
import getpass
import json
import logging
import os
import resource
import signal
import sys
from collections.abc import Callable

MOST_MEMORY = 1 << 29
"""Bytes that a login may take; `destinepyauth` keeps answers of any length."""


def main() -> None:
    """Log in and print `{"access_token": …}` or `{"error": …}`.

    The argument is the number of seconds after which `SIGALRM` ends the process; the time in which it waits
    for the user does not count.
    """
    seconds = int(sys.argv[1])
    signal.signal(signal.SIGALRM, signal.SIG_DFL)
    signal.alarm(seconds)
    _, most = resource.getrlimit(resource.RLIMIT_DATA)
    if most == resource.RLIM_INFINITY or most > MOST_MEMORY:
        resource.setrlimit(resource.RLIMIT_DATA, (MOST_MEMORY, MOST_MEMORY))
    builtins.input = without_hurry(builtins.input, seconds)
    getpass.getpass = without_hurry(getpass.getpass, seconds)
    answer = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    sys.argv[1:] = []
    logging.disable(logging.CRITICAL)
    json.dump(_login(), answer)
    answer.flush()


def without_hurry(ask: Callable[..., str], seconds: int) -> Callable[..., str]:
    """The same question, during which no time passes.

    Args:
        ask: asks the user.
        seconds: left afterwards.
    """

    def asking(prompt: str = "") -> str:
        signal.alarm(0)
        try:
            return ask(prompt)
        finally:
            signal.alarm(seconds)

    return asking


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
    except MemoryError:
        return {"error": f"the login service answered more than {MOST_MEMORY} bytes"}
    except Exception as error:  # noqa: BLE001 - told to the user by the parent process
        return {"error": str(error) or type(error).__name__}
    if result is None or result.decoded is None:
        return {"error": "the token's signature or expiry date is not valid"}
    return {"access_token": result.access_token}


if __name__ == "__main__":
    main()
