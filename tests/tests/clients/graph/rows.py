"""The calls of the HTTP API's acceptance, as checks of a client: what both Python clients share.

A script names each call with `@row(NAME)`, says with `cannot` which calls its client has not got,
and ends with `run`. For each call one line goes to standard output, in three columns with tabs
between them: `pass`, `fail` or `none`; the call; why. A `part` line names a part of a call that
the client has not got.
"""

import asyncio
import contextlib
import http.server
import inspect
import json
import sys
import threading
import time
import traceback
import urllib.parse
from email.message import EmailMessage

PATIENCE_SECONDS = 120

ROWS = []


def row(name):
    """Makes a function the check of a call."""

    def add(check):
        ROWS.append((name, check))
        return check

    return add


def cannot(name, reason):
    """The client has no such call."""
    ROWS.append((name, reason))


def part(name, reason):
    """The client has not got this part of a call."""
    tell("part", name, reason)


def tell(outcome, name, reason=""):
    print(outcome, name, " ".join(str(reason).split()), sep="\t", flush=True)


def read_setup():
    """Where the daemon is, and who has an account: what the test gives on standard input."""
    return json.load(sys.stdin)


def run(world):
    """Makes all checks, one after the other."""
    asyncio.run(run_all(world))


async def run_all(world):
    for name, check in ROWS:
        if isinstance(check, str):
            tell("none", name, check)
            continue
        try:
            done = check(world)
            if inspect.isawaitable(done):
                await done
        except Exception as error:
            traceback.print_exc()
            tell("fail", name, f"{type(error).__name__}: {error}")
        else:
            tell("pass", name)


def equal(found, expected):
    assert found == expected, f"{found!r} instead of {expected!r}"


def until(look):
    """Looks until there is something; that."""
    end = time.monotonic() + PATIENCE_SECONDS
    while time.monotonic() < end:
        found = look()
        if found:
            return found
        time.sleep(0.05)
    raise AssertionError("waited in vain")


async def until_async(look):
    """As `until`, for a coroutine."""
    end = time.monotonic() + PATIENCE_SECONDS
    while time.monotonic() < end:
        found = await look()
        if found:
            return found
        await asyncio.sleep(0.05)
    raise AssertionError("waited in vain")


def mime(sender, to, subject, bcc=None, text="This is it.\r\n"):
    """A message as it is on the wire."""
    message = EmailMessage()
    message["From"] = sender
    message["To"] = to
    if bcc:
        message["Bcc"] = bcc
    message["Subject"] = subject
    message.set_content(text)
    return message.as_bytes().replace(b"\r\n", b"\n").replace(b"\n", b"\r\n")


class Webhook(http.server.BaseHTTPRequestHandler):
    """Takes change notifications."""

    def do_POST(self):
        content = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        query = urllib.parse.parse_qs(urllib.parse.urlsplit(self.path).query)
        answer = query.get("validationToken", [""])[0].encode()
        if not answer:
            self.server.notified.extend(json.loads(content)["value"])
        self.send_response(200)
        self.send_header("Content-Type", "text/plain")
        self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    def log_message(self, *_):
        pass


@contextlib.contextmanager
def webhook():
    """A server for notifications: its URL, and the list of what came."""
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Webhook)
    server.notified = []
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/hook", server.notified
    finally:
        server.shutdown()
        server.server_close()
