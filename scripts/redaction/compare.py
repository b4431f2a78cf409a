"""Redacts the corpus with trueup and with peers, and prints what each catches, loses and takes."""

import json
import logging
import os
import resource
import subprocess
import sys
import time
from pathlib import Path

corpus, program, tools = Path(sys.argv[1]), sys.argv[2], Path(sys.argv[3])
MARK = "[REDACTED]"


def unpacked(name):
    return subprocess.run(["zstd", "-dcq", corpus / name], stdout=subprocess.PIPE, check=True).stdout


# --- engines: a list of texts to a list of texts, and the seconds that it was on a processor ---------


def trueup(level):
    def redact(texts):
        lines = "".join(json.dumps(text) + "\n" for text in texts)
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        command = [program, "telemetry", "redact", "--ndjson", "--level", level]
        out = subprocess.run(command, input=lines.encode(), stdout=subprocess.PIPE, check=True).stdout
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        seconds = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
        return [json.loads(line) for line in out.splitlines()], seconds

    return redact


def child(*command):
    """One that reads a list of texts and writes `{"texts","seconds"}`."""

    def redact(texts):
        told = json.dumps(texts).encode()
        out = subprocess.run(command, input=told, stdout=subprocess.PIPE, check=True).stdout
        told = json.loads(out)
        return told["texts"], told["seconds"]

    return redact


def in_process(secrets_of):
    """One that finds secrets, which are then taken out."""

    def redact(texts):
        redacted = []
        begin = time.process_time()
        for text in texts:
            for secret in sorted(secrets_of(text), key=len, reverse=True):
                text = text.replace(secret, MARK)
            redacted.append(text)
        return redacted, time.process_time() - begin

    return redact


def detect_secrets():
    from detect_secrets.core import scan
    from detect_secrets.settings import default_settings

    def secrets_of(text):
        # What `scan_file` does with the lines of a file; `scan_line` takes every word for a secret.
        lines = list(enumerate(text.splitlines(), 1))
        found = scan._process_line_based_plugins(lines=lines, filename="text.log")
        return {one.secret_value for one in found if one.secret_value}

    def redact(texts):
        with default_settings():
            return in_process(secrets_of)(texts)

    return redact


def credsweeper():
    logging.disable(logging.CRITICAL)
    from credsweeper.app import CredSweeper
    from credsweeper.file_handler.string_content_provider import StringContentProvider

    sweeper = CredSweeper()

    def secrets_of(text):
        provider = StringContentProvider(text.splitlines())
        sweeper.credential_manager.set_credentials(sweeper.file_scan(provider))
        sweeper.post_processing(None)
        found = sweeper.credential_manager.get_credentials()
        return {line.value for one in found for line in one.line_data_list if line.value}

    return in_process(secrets_of)


def engines():
    """Name, what makes it, and of how many texts it is given one: the slowest takes 20 ms for each."""
    yield "trueup, template", lambda: trueup("template"), 1
    yield "trueup, redacted", lambda: trueup("redacted"), 1
    bundle = tools / "claude-mem/package/plugin/scripts/worker-service.cjs"
    if bundle.exists():
        script = Path(__file__).with_name("claude-mem.mjs")
        yield "claude-mem 13.15.3", lambda: child("node", str(script), str(bundle)), 1
    yield "detect-secrets 1.5.0", detect_secrets, 1
    yield "CredSweeper 1.19.5", credsweeper, 20
    scanner = tools / "secrets_scanner/target/release/redact"
    if scanner.exists():
        yield "secrets_scanner 0.2.3", lambda: child(str(scanner)), 1


# --- the measure of crates/trueup-telemetry/tests/it/redact.rs ---------------------------------------


def leaks(secret, redacted):
    length = min(max(8, len(secret) // 3), len(secret))
    return any(secret[at : at + length] in redacted for at in range(len(secret) - length + 1))


def lost(message, redacted):
    left = redacted.split()
    words = [word for word in message.split() if any(char.isalnum() for char in word)]
    gone = 0
    for word in words:
        if word in left:
            left.remove(word)
        else:
            gone += 1
    return len(words), gone


def main():
    every = [json.loads(line) for line in unpacked("secrets-dev.jsonl.zst").splitlines()]
    # Words were chosen by looking at the messages at even places.
    harmless = [one["text"] for one in json.loads(unpacked("benign-dev.json.zst"))][1::2]
    print(f"{len(every)} texts with a secret, {len(harmless)} messages without")
    head = ("", "caught %", "words lost %", "marked %", "MB/s", "µs/text")
    print("{:<24}{:>9}{:>14}{:>10}{:>9}{:>10}".format(*head), flush=True)
    caught_by = {}
    for name, engine, step in engines():
        vectors, messages = every[::step], harmless[::step]
        secrets = [vector["text"] for vector in vectors]
        try:
            redact = engine()
        except ImportError as error:
            print(f"{name:<24}SKIPPED: {error}")
            continue
        redacted, seconds = redact(secrets)
        leaked = sum(leaks(vector["secret"], text) for vector, text in zip(vectors, redacted, strict=True))
        cleaned, more = redact(messages)
        each = [lost(message, text) for message, text in zip(messages, cleaned, strict=True)]
        words, gone = (sum(counts) for counts in zip(*each))
        marked = sum(of_message > 0 for _, of_message in each)
        size = sum(len(text.encode()) for text in secrets + messages)
        count, seconds = len(secrets) + len(messages), seconds + more
        caught_by[name] = 100 - 100 * leaked / len(vectors)
        print(
            f"{name:<24}{caught_by[name]:>9.2f}{100 * gone / words:>14.2f}"
            f"{100 * marked / len(messages):>10.2f}{size / seconds / 1e6:>9.3f}"
            f"{seconds / count * 1e6:>10.2f}" + (f"  one text of {step}" if step > 1 else ""),
            flush=True,
        )
    peers = [caught for name, caught in caught_by.items() if not name.startswith("trueup")]
    ours = [caught for name, caught in caught_by.items() if name.startswith("trueup")]
    if peers and min(ours) <= max(peers):
        sys.exit("a peer catches as much")


os.environ["TRUEUP_LEDGER"] = os.devnull
main()
