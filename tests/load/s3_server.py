"""A real S3 protocol server in a process of its own, with faults on demand.

It is moto's, with two things before it. Requests are answered one at a time, because S3 decides a conditional
write at one instant and moto does not. And rules say which requests meet a fault; see `tests.load.buckets`.

As a program it prints its address and serves until it is killed.
"""

import json
import re
import socket
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from moto.moto_server.werkzeug_app import DomainDispatcherApplication, MotoRequestHandler, create_backend_app
from werkzeug.serving import make_server
from werkzeug.wrappers import Request, Response

Environ = dict[str, Any]
Application = Callable[[Environ, Callable[..., Any]], Iterable[bytes]]

_CONDITIONS = ("HTTP_IF_MATCH", "HTTP_IF_NONE_MATCH")
_PATIENCE = 120.0


@dataclass
class Rule:
    """Which requests meet a fault, and which one.

    Attributes:
        fault: `drop` closes the connection without an answer, `drop_answer` does so once the request has
            been obeyed, `hold` keeps the request back until it is let go, `ignore_conditions` writes whatever
            the conditions say, and `answer` answers with an error.
        method: regular expression of the methods meant.
        path: regular expression found in the paths meant.
        conditional: only requests with conditions are meant.
        skip: so many of these requests meet no fault.
        times: and then so many do.
        status: status of the answer.
        code: S3's error code in the answer.
    """

    fault: str
    method: str = "PUT"
    path: str = ""
    conditional: bool = False
    skip: int = 0
    times: int = 1 << 30
    status: int = 503
    code: str = "SlowDown"
    met: int = 0
    held: threading.Event = field(default_factory=threading.Event)
    freed: threading.Event = field(default_factory=threading.Event)

    def applies(self, environ: Environ) -> bool:
        if not re.fullmatch(self.method, environ["REQUEST_METHOD"]) or not re.search(
            self.path, environ["PATH_INFO"]
        ):
            return False
        if self.conditional and not any(name in environ for name in _CONDITIONS):
            return False
        self.met += 1
        return self.skip < self.met <= self.skip + self.times


class Faulty:
    """The rules before a server."""

    def __init__(self, server: Application) -> None:
        self._server = server
        self._one_at_a_time = threading.Lock()
        self._under_way = 0
        self._changed = threading.Condition()
        self._rules: list[Rule] = []

    def __call__(self, environ: Environ, start: Callable[..., Any]) -> Iterable[bytes]:
        if environ["PATH_INFO"].startswith("/faults"):
            return self._asked(Request(environ))(environ, start)
        rules = [rule for rule in self._rules if rule.applies(environ)]
        for rule in rules:
            if rule.fault == "drop":
                return _dropped(environ, start)
            if rule.fault == "answer":
                text = f"<Error><Code>{rule.code}</Code><Message>As asked for.</Message></Error>"
                return Response(text, rule.status, mimetype="application/xml")(environ, start)
            if rule.fault == "hold":
                rule.held.set()
                rule.freed.wait(_PATIENCE)
            if rule.fault == "ignore_conditions":
                for name in _CONDITIONS:
                    environ.pop(name, None)
        with self._counted(), self._one_at_a_time:
            answer = list(self._server(environ, start))
        if any(rule.fault == "drop_answer" for rule in rules):
            return _dropped(environ, start)
        return answer

    @contextmanager
    def _counted(self) -> Iterator[None]:
        with self._changed:
            self._under_way += 1
        try:
            yield
        finally:
            with self._changed:
                self._under_way -= 1
                self._changed.notify_all()

    def _asked(self, request: Request) -> Response:
        """POST sets the rules, GET tells how often each met; it can wait until one holds, or all is quiet."""
        if request.method == "POST":
            for rule in self._rules:
                rule.freed.set()
            self._rules = [Rule(**rule) for rule in json.loads(request.get_data() or b"[]")]
        elif request.path.endswith("/held"):
            for rule in self._rules:
                if rule.fault == "hold":
                    rule.held.wait(_PATIENCE)
        elif request.path.endswith("/quiet"):
            with self._changed:
                self._changed.wait_for(lambda: not self._under_way, _PATIENCE)
        return Response(json.dumps([rule.met for rule in self._rules]))


def _dropped(environ: Environ, start: Callable[..., Any]) -> Iterable[bytes]:
    environ["werkzeug.socket"].shutdown(socket.SHUT_RDWR)
    return Response(status=503)(environ, start)


class _Quiet(MotoRequestHandler):
    def log(self, *_: Any, **__: Any) -> None: ...  # noqa: ANN401 - as werkzeug has it


def main() -> None:
    """Serve."""
    application = Faulty(DomainDispatcherApplication(create_backend_app))
    server = make_server("127.0.0.1", 0, application, threaded=True, request_handler=_Quiet)
    print(f"http://127.0.0.1:{server.server_port}", flush=True)
    server.serve_forever()


if __name__ == "__main__":
    main()
