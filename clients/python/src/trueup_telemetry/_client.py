"""The client: a bounded queue, and a thread that empties it."""

from __future__ import annotations

import atexit
import http.client
import json
import math
import os
import socket
import threading
import time
import traceback
import weakref
from collections import deque
from collections.abc import Mapping
from typing import Any, Optional, Union
from urllib.parse import quote, urlsplit

Value = Union[bool, int, float, str, None]

DEFAULT_ADDRESS = "http://127.0.0.1:9090"

# Objects that wait for the daemon at most; more are dropped, and counted.
QUEUE_MAX = 1_000
# Bytes of a request's body: the daemon takes 64 KiB.
BODY_BYTES_MAX = 60_000
# Characters of a text: no field holds as many.
TEXT_CHARS_MAX = 1_024
# Characters of a stack, the innermost frames: the daemon looks at as many.
STACK_CHARS_MAX = 8_000
# Properties of a record: the daemon looks at as many.
PROPS_MAX = 256
# How long a request may take.
REQUEST_SECONDS_MAX = 2.0
# How long the end of the process may wait.
EXIT_SECONDS_MAX = 0.5
# How long after a failure it is tried again, at first and at last.
RETRY_SECONDS = (0.5, 60.0)
# How long objects are collected before they are sent together.
COLLECT_SECONDS = 0.05


class TelemetryClient:
    """What one product tells. Calls come from any thread, return at once, and never raise."""

    def __init__(
        self,
        product: str,
        address: Optional[str] = None,
        *,
        base: Optional[Mapping[str, Value]] = None,
        token: Optional[str] = None,
    ) -> None:
        """
        product: its name, as in its manifest.
        address: of the daemon; TRUEUP_ADDRESS, else http://127.0.0.1:9090.
        base: fields that every event carries.
        token: of the daemon, where it wants one; TRUEUP_TOKEN.
        """
        self._lock = threading.Condition()
        self._queue: deque[bytes] = deque()
        self._sending = 0
        self._dropped = 0
        self._thread: Optional[threading.Thread] = None
        self._is_closed = False
        self._wants_now = False
        self._is_away = False
        self._problem: Optional[str] = None
        self._connection: Optional[http.client.HTTPConnection] = None
        self._has_base = False
        self._base = b""
        self._headers = {"Content-Type": "application/x-ndjson"}
        self._host: Optional[str] = None
        self._port: Optional[int] = None
        self._path = ""
        try:
            self._path = "/v1/telemetry/" + quote(product, safe="")
            self._base = _json(_plain(base)) if base else b""
            token = token or os.environ.get("TRUEUP_TOKEN")
            if token:
                self._headers["Authorization"] = "Bearer " + token
            stated = address or os.environ.get("TRUEUP_ADDRESS") or DEFAULT_ADDRESS
            url = urlsplit(stated if "://" in stated else "http://" + stated)
            if url.scheme != "http" or not url.hostname:
                raise ValueError("the address of the daemon is http://HOST:PORT")
            self._host, self._port = url.hostname, url.port or 80
        except Exception as error:
            self._problem = str(error)
        self._is_off = self._problem is not None or _is_not_to_be_tracked()
        if not self._is_off:
            _at_exit(self)
            _at_fork(self)

    @property
    def is_off(self) -> bool:
        """Whether nothing is told: DO_NOT_TRACK, a wrong address, or closed."""
        return self._is_off or self._is_closed

    @property
    def dropped(self) -> int:
        """Objects that were not handed over: the queue was full, or the daemon did not take them."""
        return self._dropped

    @property
    def problem(self) -> Optional[str]:
        """What did not go well the last time, in words."""
        return self._problem

    def record(
        self,
        event: str,
        key: Optional[Union[str, int]] = None,
        props: Optional[Mapping[str, Value]] = None,
    ) -> None:
        """Adds a record to an event, of a session where the event has sessions."""
        if self.is_off:
            return
        try:
            line: dict[str, Any] = {"event": _text(event), "props": _plain(props)}
            if key is not None:
                line["key"] = _text(key)
            self._put(line)
        except Exception:
            self._dropped += 1

    def lifecycle(self, event: str, props: Optional[Mapping[str, Value]] = None) -> None:
        """Tells that something happened of which there are few by nature."""
        if self.is_off:
            return
        try:
            self._put({"lifecycle": _text(event), "props": _plain(props)})
        except Exception:
            self._dropped += 1

    def end(self, key: Union[str, int]) -> None:
        """Ends a session."""
        if self.is_off:
            return
        try:
            self._put({"end": _text(key)})
        except Exception:
            self._dropped += 1

    def error(
        self,
        error: Union[BaseException, str],
        message: str = "",
        *,
        stack: Optional[str] = None,
        handled: bool = True,
    ) -> None:
        """Tells of an exception, or of an error by its type and message. The daemon redacts it."""
        if self.is_off:
            return
        try:
            if isinstance(error, BaseException):
                of = type(error)
                module = "" if of.__module__ == "builtins" else of.__module__ + "."
                kind, message = module + of.__qualname__, message or str(error)
                stack = stack or _frames(error)
            else:
                kind = str(error)
            told: dict[str, Any] = {
                "type": kind[:TEXT_CHARS_MAX],
                "message": message[:STACK_CHARS_MAX],
                "handled": bool(handled),
            }
            if stack:
                told["stack"] = stack[-STACK_CHARS_MAX:]
            self._put({"error": told})
        except Exception:
            self._dropped += 1

    def flush(self, timeout: float = EXIT_SECONDS_MAX) -> bool:
        """Hands over what waits, and has the daemon seal and send what it may. Whether that was done
        in time; it waits no longer."""
        if self.is_off:
            return False
        try:
            self._put({"flush": True})
            return self._drain(timeout)
        except Exception:
            return False

    def status(self, timeout: float = EXIT_SECONDS_MAX) -> Optional[dict[str, Any]]:
        """How the product's telemetry stands, as the daemon says; None where it does not."""
        if self._is_off or self._host is None:
            return None
        connection = http.client.HTTPConnection(self._host, self._port, timeout=timeout)
        try:
            connection.request("GET", self._path + "/status", headers=self._headers)
            answer = connection.getresponse()
            told = json.loads(answer.read())
            return told if answer.status == 200 and isinstance(told, dict) else None
        except Exception:
            return None
        finally:
            connection.close()

    def close(self, timeout: float = EXIT_SECONDS_MAX) -> None:
        """Hands over what waits, for no longer than that, and takes nothing more."""
        if self.is_off:
            return
        try:
            self._drain(timeout)
            with self._lock:
                self._is_closed = True
                self._dropped += len(self._queue)
                self._queue.clear()
                self._lock.notify_all()
        except Exception:
            self._is_closed = True

    # --- the queue -------------------------------------------------------------------------------

    def _put(self, line: dict[str, Any]) -> None:
        body = _json(line)
        with self._lock:
            if len(self._queue) >= QUEUE_MAX or len(body) > BODY_BYTES_MAX:
                self._dropped += 1
                return
            self._queue.append(body)
            if self._thread is None or not self._thread.is_alive():
                run = weakref.WeakMethod(self._turn)
                self._thread = threading.Thread(
                    target=_run, args=(run,), name="trueup-telemetry", daemon=True
                )
                self._thread.start()
            self._lock.notify_all()

    def _begin_anew(self) -> None:
        """In the child of a fork: the queue is the parent's, and so are the thread and the lock."""
        self._lock = threading.Condition()
        self._queue.clear()
        self._sending = 0
        self._thread = None
        self._hang_up()

    def _hang_up(self) -> None:
        self._has_base = False
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _drain(self, timeout: float) -> bool:
        until = time.monotonic() + timeout
        with self._lock:
            self._wants_now = True
            self._lock.notify_all()
            while self._queue or self._sending:
                left = until - time.monotonic()
                # Whoever is not there now will not be within half a second.
                if left <= 0 or (self._is_away and not self._sending and not self._wants_now):
                    return False
                self._lock.wait(min(left, 0.05))
            return not self._is_away

    # --- the thread ------------------------------------------------------------------------------

    def _turn(self, wait: float) -> Optional[float]:
        """Sends what waits. How long to wait before the next turn; None at the end."""
        with self._lock:
            if not self._queue and not self._is_closed:
                self._wants_now = False
                self._lock.wait(1.0)
            if self._is_closed:
                self._hang_up()
                return None
            if not self._queue:
                return 0.0
            if not self._wants_now:
                self._lock.wait_for(lambda: self._wants_now, wait or COLLECT_SECONDS)
            lines: list[bytes] = []
            size = 0
            while self._queue and size + len(self._queue[0]) <= BODY_BYTES_MAX:
                lines.append(self._queue.popleft())
                size += len(lines[-1]) + 1
            self._sending = len(lines)
        outcome = "lost"
        try:
            outcome = self._send(b"\n".join(lines) + b"\n")
        except Exception as error:
            self._problem = str(error)
        with self._lock:
            self._sending = 0
            self._is_away = outcome != "taken"
            if outcome == "away":
                # Nothing of it was handed over: it goes first the next time.
                self._queue.extendleft(reversed(lines))
                self._wants_now = False
            elif outcome == "lost":
                self._dropped += len(lines)
            self._lock.notify_all()
        if outcome == "taken":
            return 0.0
        return min(max(2 * wait, RETRY_SECONDS[0]), RETRY_SECONDS[1])

    def _send(self, body: bytes) -> str:
        """`taken`, `away` where nobody listens, or `lost`: what may have arrived is never sent again."""
        if self._host is None:
            return "lost"
        if not _is_open(self._connection):
            self._hang_up()
            connection = http.client.HTTPConnection(
                self._host, self._port, timeout=REQUEST_SECONDS_MAX
            )
            try:
                connection.connect()
            except OSError as error:
                self._problem = str(error)
                return "away"
            self._connection = connection
        try:
            if self._base and not self._has_base:
                self._has_base = self._ask("PUT", "/base", self._base)
            return "taken" if self._ask("POST", "/records", body) else "lost"
        except (OSError, http.client.HTTPException) as error:
            self._problem = str(error)
            self._hang_up()
            return "lost"

    def _ask(self, method: str, path: str, body: bytes) -> bool:
        assert self._connection is not None
        self._connection.request(method, self._path + path, body=body, headers=self._headers)
        answer = self._connection.getresponse()
        said = answer.read()
        is_taken = 200 <= answer.status < 300
        words = said[:500].decode("utf-8", "replace") or f"the answer was {answer.status}"
        self._problem = None if is_taken else words
        return is_taken


def _run(turn: weakref.WeakMethod[Any]) -> None:
    """The thread holds no client while it waits for work, so that one that nobody has any more goes."""
    wait: Optional[float] = 0.0
    while wait is not None:
        method = turn()
        if method is None:
            return
        wait = method(wait)


def _is_open(connection: Optional[http.client.HTTPConnection]) -> bool:
    """Whether the daemon has not hung up since: it does so after a minute of silence, and when it ends.
    What is sent to it then is lost, and what it knew of base fields perhaps, too."""
    if connection is None or connection.sock is None:
        return False
    connection.sock.settimeout(0)
    try:
        connection.sock.recv(1, socket.MSG_PEEK)
        # An end, or words that nobody asked for.
        return False
    except BlockingIOError:
        return True
    except OSError:
        return False
    finally:
        connection.sock.settimeout(REQUEST_SECONDS_MAX)


def _at_exit(client: TelemetryClient) -> None:
    """Bounds what the end of the process may take."""
    held = weakref.ref(client)

    def close() -> None:
        client = held()
        if client is not None:
            client.close()

    atexit.register(close)


def _at_fork(client: TelemetryClient) -> None:
    held = weakref.ref(client)

    def begin_anew() -> None:
        client = held()
        if client is not None:
            client._begin_anew()

    if hasattr(os, "register_at_fork"):
        os.register_at_fork(after_in_child=begin_anew)


def _is_not_to_be_tracked() -> bool:
    wish = os.environ.get("DO_NOT_TRACK", "")
    return wish not in ("", "0", "false")


def _frames(error: BaseException) -> str:
    """Its frames in Python's own form, without lines of source code, which might hold anything."""
    places = (
        f'  File "{frame.f_code.co_filename}", line {line}, in {frame.f_code.co_name}'
        for frame, line in traceback.walk_tb(error.__traceback__)
    )
    return "\n".join(places)


def _text(text: Union[str, int]) -> str:
    return str(text)[:TEXT_CHARS_MAX]


def _plain(props: Optional[Mapping[str, Value]]) -> dict[str, Value]:
    """Only what a field can hold; the rest becomes null, which the daemon drops and counts."""
    plain: dict[str, Value] = {}
    for key, value in (props or {}).items():
        if len(plain) >= PROPS_MAX:
            break
        if isinstance(value, str):
            value = value[:TEXT_CHARS_MAX]
        elif isinstance(value, float):
            value = value if math.isfinite(value) else None
        elif not isinstance(value, (bool, int)):
            value = None
        plain[_text(key)] = value
    return plain


def _json(value: Any) -> bytes:
    # What is no Unicode becomes a question mark: as an escape, the whole entry would be refused.
    text = json.dumps(value, separators=(",", ":"), allow_nan=False, ensure_ascii=False)
    return text.encode("utf-8", "replace")
