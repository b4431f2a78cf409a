"""A model API on loopback that writes down what it really answered.

It speaks OpenAI's chat completions, streamed and not, and answers at once with a usage of its own
invention: no two answers use the same numbers, so a sum that is off says by which call. A request
counts as answered when its usage has been sent. The last order among the user's words is obeyed:

- `mock:say` answers, `mock:long` with a long text
- `mock:tool` asks for a tool, `mock:spawn` for a sub-agent
- `mock:fail` fails with 500, and answers when it is asked again; `mock:refuse` always fails, with 400
- `mock:slow` begins an answer and does not end it, but answers when it is asked again
"""

import json
import threading
import time
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

MODEL = "mock-1"
# How long an answer that is not finished is held open; longer than any step takes.
HELD_S_MAX = 120


@dataclass
class Call:
    """One request, and what became of it."""

    number: int
    time_ms: int
    kind: str  # "turn" or "hidden": asked by OpenClaw for itself, such as a summary
    asked: str  # the last user message, shortened
    outcome: str = "open"  # then "answered", "failed", "held" (begun, not ended) or "cut" (never ended)
    usage: dict = field(default_factory=dict)


class Mock:
    """The server, on a port of its own choice, and its account."""

    def __init__(self, record=None):
        self.calls: list[Call] = []
        self.record = record
        self.lock = threading.Lock()
        self.released = threading.Event()
        handler = type("Handler", (Handler,), {"mock": self})
        self.server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
        self.server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}/v1"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def close(self) -> None:
        self.let_go()
        self.server.shutdown()

    def let_go(self) -> None:
        """Ends what is held open, without an answer."""
        self.released.set()
        while self.is_held():
            time.sleep(0.05)
        self.released = threading.Event()

    def begin(self, request: dict) -> Call:
        with self.lock:
            call = Call(len(self.calls) + 1, time.time_ns() // 1_000_000, kind(request), last_asked(request))
            self.calls.append(call)
        if self.record:
            with open(self.record, "a", encoding="utf-8") as file:
                print(json.dumps({"number": call.number, "kind": call.kind, "request": request}), file=file)
        return call

    def failure(self, call: Call) -> int | None:
        """The status to fail with, if this call shall fail."""
        if call.kind == "turn" and order(call) == "mock:refuse":
            return 400
        if call.kind == "turn" and order(call) == "mock:fail" and self.is_first(call):
            return 500
        return None

    def is_slow(self, call: Call) -> bool:
        return call.kind == "turn" and order(call) == "mock:slow" and self.is_first(call)

    def is_first(self, call: Call) -> bool:
        """Whether nothing was asked before in the same words."""
        return all(topic(each) != topic(call) for each in self.calls[: call.number - 1])

    def is_busy(self) -> bool:
        return any(call.outcome == "open" for call in self.calls)

    def is_held(self) -> bool:
        return any(call.outcome == "held" for call in self.calls)

    def cut(self) -> int:
        return sum(call.outcome == "cut" for call in self.calls)

    def of(self, kind: str, outcome: str) -> list[Call]:
        with self.lock:
            return [call for call in self.calls if (call.kind, call.outcome) == (kind, outcome)]


def kind(request: dict) -> str:
    """A turn of an agent brings its tools; what OpenClaw asks for itself does not."""
    return "turn" if request.get("tools") else "hidden"


def text_of(message: dict) -> str:
    content = message.get("content") or ""
    if isinstance(content, list):
        return "".join(part.get("text") or "" for part in content)
    return content


def last_asked(request: dict) -> str:
    """The last user message that is a person's, from its last order on.

    OpenClaw puts messages of its own behind a person's, and joins one that failed to the next.
    """
    asked = [text_of(message) for message in request["messages"] if message["role"] == "user"]
    orders = [text[at:] for text in asked if (at := text.rfind("mock:")) >= 0]
    return orders[-1][:100] if orders else ""


def topic(call: "Call") -> str:
    return call.asked.split("\n")[0]


def order(call: "Call") -> str:
    return call.asked.split()[0] if call.asked else ""


def usage_of(number: int) -> dict:
    """Counts as OpenAI states them: the prompt includes what was cached, the answer its reasoning."""
    return {
        "prompt_tokens": 1000 + 17 * number,
        "completion_tokens": 50 + 3 * number,
        "total_tokens": 1050 + 20 * number,
        "prompt_tokens_details": {"cached_tokens": 400 + 5 * number},
        "completion_tokens_details": {"reasoning_tokens": 7 + number},
    }


def wanted_tool(request: dict, call: Call) -> dict | None:
    """The tool call to answer with: only to a user's message, not to a tool's result."""
    roles = [message["role"] for message in request["messages"]]
    if "tool" in roles[last(roles, "assistant") :]:
        return None
    if order(call) == "mock:tool":
        return tool_call(request, "read", {"path": "AGENTS.md"})
    if order(call) == "mock:spawn":
        return tool_call(request, "sessions_spawn", {"task": "mock:say that you are here"})
    return None


def tool_call(request: dict, name: str, arguments: dict) -> dict:
    """A call of a tool by name; one that is not offered, through OpenClaw's search of tools."""
    offered = {tool["function"]["name"] for tool in request["tools"]}
    if name not in offered and "tool_call" in offered:
        name, arguments = "tool_call", {"id": name, "args": arguments}
    return {"name": name, "arguments": json.dumps(arguments)}


def last(words: list, word: str) -> int:
    return max((place for place, each in enumerate(words) if each == word), default=0)


class Handler(BaseHTTPRequestHandler):
    mock: Mock
    protocol_version = "HTTP/1.1"

    def log_message(self, *_):
        pass

    def do_GET(self):
        self.answer(200, {"object": "list", "data": [{"id": MODEL, "object": "model"}]})

    def do_POST(self):
        request = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        if not self.path.endswith("/chat/completions"):
            self.answer(404, {"error": {"message": f"no {self.path} here"}})
            return
        call = self.mock.begin(request)
        try:
            call.outcome = self.outcome(request, call)
        except (BrokenPipeError, ConnectionResetError):
            call.outcome = "cut"

    def outcome(self, request: dict, call: Call) -> str:
        status = self.mock.failure(call)
        if status:
            self.answer(status, {"error": {"message": "boom", "type": "mock_error"}})
            return "failed"
        if self.mock.is_slow(call):
            self.stream_start(call)
            call.outcome = "held"
            self.mock.released.wait(HELD_S_MAX)
            return "cut"
        call.usage = usage_of(call.number)
        self.complete(request, call)
        return "answered"

    def complete(self, request: dict, call: Call) -> None:
        tool = wanted_tool(request, call) if call.kind == "turn" else None
        message = {"role": "assistant", "content": None if tool else answer_text(call)}
        if tool:
            message["tool_calls"] = [{"index": 0, "id": f"call_{call.number}", "type": "function", "function": tool}]
        finish = "tool_calls" if tool else "stop"
        if request.get("stream"):
            head = self.stream_start(call)
            self.event({**head, "choices": [{"index": 0, "delta": message, "finish_reason": None}]})
            self.event({**head, "choices": [{"index": 0, "delta": {}, "finish_reason": finish}]})
            self.event({**head, "choices": [], "usage": call.usage})
            self.wfile.write(b"data: [DONE]\n\n")
        else:
            choice = {"index": 0, "message": message, "finish_reason": finish}
            head = {**head_of(call), "object": "chat.completion"}
            self.answer(200, {**head, "choices": [choice], "usage": call.usage})

    def stream_start(self, call: Call) -> dict:
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream")
        self.send_header("Connection", "close")
        self.end_headers()
        self.close_connection = True
        head = {**head_of(call), "object": "chat.completion.chunk"}
        begun = {"role": "assistant", "content": ""}
        self.event({**head, "choices": [{"index": 0, "delta": begun, "finish_reason": None}]})
        return head

    def event(self, chunk: dict) -> None:
        self.wfile.write(b"data: " + json.dumps(chunk).encode() + b"\n\n")
        self.wfile.flush()

    def answer(self, status: int, body: dict) -> None:
        data = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)


def head_of(call: Call) -> dict:
    return {"id": f"chatcmpl-{call.number}", "created": call.time_ms // 1000, "model": MODEL}


def answer_text(call: Call) -> str:
    if call.kind == "hidden":
        return f"## Goal\nGo on.\n## Progress\nAnswer {call.number}.\n"
    if order(call) == "mock:long":
        return f"Answer {call.number}. " + "It goes on for a while. " * 400
    return f"Answer {call.number}."
