"""A stand-in for the APIs of three models' makers, which knows what it has charged.

It speaks what Claude Code, Codex and Gemini CLI ask: Anthropic's messages, OpenAI's responses and Google's
`generateContent`, streamed and not. No two answers use the same numbers. The last word of the user that begins
with `mock:` is obeyed:

- `mock:say` answers, `mock:tool` asks for a tool first and answers when it is told what that said
- `mock:agent` has Claude Code ask a sub-agent first
- `mock:bare` answers without an id of the request, as platforms and proxies do
- `mock:fail` fails with 400, which no agent tries again
"""

import itertools
import json
import re
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

TEXT = "SECRET answer"


def usage(number):
    """What the answer of that number uses, in disjoint counts but reasoning, which is part of the output."""
    return {"input": 1000 + 7 * number, "cache_read": 300 + 11 * number, "cache_write": 40 + number,
            "output": 50 + 3 * number, "reasoning": 5 + number}


class Models:
    def __init__(self, log=None):
        self.calls, self.failed, self.asked, self.log = [], [], [], log
        self.numbers, self.lock = itertools.count(1), threading.Lock()
        handler = type("Handler", (Handler,), {"models": self})
        self.server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
        self.server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self.server.server_port}"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def charge(self, model, has):
        """Takes a number for an answer, whose caches and reasoning are those that its API has."""
        with self.lock:
            number = next(self.numbers)
            used = {name: count if name in has else 0 for name, count in usage(number).items()}
            self.calls.append({"model": model, **used})
        return number, used


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        self.note(None)
        self.answer(404, {"error": {"message": "not here"}})

    def do_POST(self):
        length = self.headers.get("content-length")
        body = self.rfile.read(int(length)) if length else self.chunks()
        if self.headers.get("content-encoding") == "zstd":
            return self.answer(415, {"error": {"message": "no zstd"}})
        try:
            asked = json.loads(body)
        except ValueError:
            asked = {}
        self.note(asked)
        path = self.path.partition("?")[0]
        gemini = re.search(r"/models/([^:/]+):(\w+)$", path)
        if path.endswith("/v1/messages"):
            self.of_anthropic(asked)
        elif path.endswith("/messages/count_tokens"):
            self.answer(200, {"input_tokens": 10})
        elif path.endswith("/responses"):
            self.of_openai(asked)
        elif gemini and "enerateContent" in gemini[2]:
            self.of_google(asked, *gemini.groups())
        elif gemini and gemini[2] == "countTokens":
            self.answer(200, {"totalTokens": 10})
        else:
            self.answer(404, {"error": {"message": "not here"}})

    def chunks(self):
        body = b""
        while size := int(self.rfile.readline() or b"0", 16):
            body += self.rfile.read(size)
            self.rfile.readline()
        self.rfile.readline()
        return body

    def note(self, asked):
        if self.models.log:
            with self.models.lock, open(self.models.log, "a", encoding="utf-8") as log:
                print(json.dumps({"path": self.path, "headers": dict(self.headers), "asked": asked}), file=log)

    def order(self, asked, result):
        """The last order, unless what follows it is the result of a tool that was asked for."""
        said = json.dumps(asked)
        orders = list(re.finditer(r"mock:(\w+)", said))
        order = orders[-1][1] if orders else "say"
        is_done = order in ("tool", "agent") and said.rfind(result) > orders[-1].start()
        return "say" if is_done else order

    # --- Anthropic -------------------------------------------------------------------------------

    def of_anthropic(self, asked):
        order = self.order(asked["messages"], '"tool_result"')
        if order == "fail":
            return self.fail({"type": "error", "error": {"type": "invalid_request_error", "message": "no"}})
        number, used = self.models.charge(asked["model"], set(usage(0)))
        tools = {"tool": ("Bash", {"command": "echo hi"}),
                 "agent": ("Agent", {"description": "ask", "prompt": "Do mock" + ":say within.",
                                     "subagent_type": "general-purpose", "run_in_background": False})}
        said = {"type": "text", "text": TEXT}
        if tool := tools.get(order):
            said = {"type": "tool_use", "id": f"toolu_{number:024}", "name": tool[0], "input": tool[1]}
        counts = {"input_tokens": used["input"], "cache_read_input_tokens": used["cache_read"],
                  "cache_creation_input_tokens": used["cache_write"],
                  "cache_creation": {"ephemeral_5m_input_tokens": 40, "ephemeral_1h_input_tokens": number},
                  "output_tokens": 1, "service_tier": "standard"}
        message = {"id": f"msg_{number:024}", "type": "message", "role": "assistant", "model": asked["model"],
                   "content": [], "stop_reason": None, "stop_sequence": None, "usage": counts}
        stop = "tool_use" if tool else "end_turn"
        more = {} if order == "bare" else {"request-id": f"req_{number:024}"}
        thought = {"output_tokens_details": {"thinking_tokens": used["reasoning"]}}
        if not asked.get("stream"):
            whole = {**message, "content": [said], "stop_reason": stop,
                     "usage": {**counts, "output_tokens": used["output"], **thought}}
            return self.answer(200, whole, more)
        empty = {**said, "input": {}} if tool else {**said, "text": ""}
        delta = {"type": "text_delta", "text": TEXT}
        if tool:
            delta = {"type": "input_json_delta", "partial_json": json.dumps(said["input"])}
        self.stream([
            ("message_start", {"message": message}),
            ("content_block_start", {"index": 0, "content_block": empty}),
            ("content_block_delta", {"index": 0, "delta": delta}),
            ("content_block_stop", {"index": 0}),
            ("message_delta", {"delta": {"stop_reason": stop, "stop_sequence": None},
                               "usage": {"output_tokens": used["output"], **thought}}),
            ("message_stop", {}),
        ], more)

    # --- OpenAI ----------------------------------------------------------------------------------

    def of_openai(self, asked):
        order = self.order(asked["input"], '_call_output"')
        if order == "fail":
            return self.fail({"error": {"type": "invalid_request_error", "message": "no"}})
        number, used = self.models.charge(asked["model"], {"input", "cache_read", "output", "reasoning"})
        said = {"type": "message", "id": f"msg_{number}", "role": "assistant", "status": "completed",
                "content": [{"type": "output_text", "text": TEXT, "annotations": []}]}
        if order == "tool":
            said = {"type": "function_call", "id": f"fc_{number}", "call_id": f"call_{number}",
                    "name": "update_plan", "status": "completed",
                    "arguments": json.dumps({"plan": [{"step": "one", "status": "completed"}]})}
        response = {"id": f"resp_{number}", "object": "response", "model": asked["model"], "output": []}
        counts = {"input_tokens": used["input"] + used["cache_read"],
                  "input_tokens_details": {"cached_tokens": used["cache_read"]}, "output_tokens": used["output"],
                  "output_tokens_details": {"reasoning_tokens": used["reasoning"]},
                  "total_tokens": used["input"] + used["cache_read"] + used["output"]}
        done = {**response, "status": "completed", "output": [said], "usage": counts}
        self.stream([
            ("response.created", {"response": {**response, "status": "in_progress"}}),
            ("response.output_item.added", {"output_index": 0, "item": {**said, "status": "in_progress"}}),
            ("response.output_item.done", {"output_index": 0, "item": said}),
            ("response.completed", {"response": done}),
        ], {"x-request-id": f"req_{number}"})

    # --- Google ----------------------------------------------------------------------------------

    def of_google(self, asked, model, method):
        order = self.order(asked["contents"], '"functionResponse"')
        if order == "fail":
            return self.fail({"error": {"code": 400, "message": "no", "status": "INVALID_ARGUMENT"}})
        number, used = self.models.charge(model, {"input", "cache_read", "output", "reasoning"})
        part = {"text": TEXT}
        if asked.get("generationConfig", {}).get("responseMimeType") == "application/json":
            part = {"text": "{}"}
        if order == "tool":
            part = {"functionCall": {"name": "list_directory", "args": {"dir_path": "."}}}
        counts = {"promptTokenCount": used["input"] + used["cache_read"], "cachedContentTokenCount": used["cache_read"],
                  "candidatesTokenCount": used["output"] - used["reasoning"], "thoughtsTokenCount": used["reasoning"],
                  "totalTokenCount": used["input"] + used["cache_read"] + used["output"]}
        answer = {"candidates": [{"content": {"role": "model", "parts": [part]}, "finishReason": "STOP", "index": 0}],
                  "usageMetadata": counts, "modelVersion": model, "responseId": f"resp{number}"}
        if method == "generateContent":
            return self.answer(200, answer)
        self.send(200, "text/event-stream", f"data: {json.dumps(answer)}\r\n\r\n".encode(), {})

    # --- answers ---------------------------------------------------------------------------------

    def fail(self, body):
        with self.models.lock:
            self.models.failed.append(self.path)
        self.answer(400, body)

    def stream(self, events, more):
        lines = (f"event: {name}\ndata: {json.dumps({'type': name, **said})}\n\n" for name, said in events)
        self.send(200, "text/event-stream", "".join(lines).encode(), more)

    def answer(self, status, body, more={}):
        self.send(status, "application/json", json.dumps(body).encode(), more)

    def send(self, status, media, body, more):
        self.send_response(status)
        for name, value in {"content-type": media, "content-length": str(len(body)), **more}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


if __name__ == "__main__":
    import sys
    import time
    models = Models(sys.argv[1])
    print(models.url, flush=True)
    time.sleep(1e9)
