"""What the test programs share: JSON lines on standard output, and an end that does not outlive the test."""

import json
import os
import sys
import threading


def say(event, **fields):
    """Prints one JSON line, which the tests tell from a log line by its brace."""
    sys.stdout.write(json.dumps(dict(event=event, **fields)) + "\n")
    sys.stdout.flush()


def end_with_the_test():
    """Exits as soon as standard input ends: the test that holds its other end is gone then."""

    def watch():
        while os.read(0, 4096):
            pass
        os._exit(3)

    threading.Thread(target=watch, daemon=True).start()


def add_addresses(parser, *names):
    """The addresses of a master's sockets as flags, with the defaults of the example application."""
    ports = {"pull": 5555, "pub": 5556, "wpush": 5557, "wpull": 5558, "db": 5559}
    for name in names:
        parser.add_argument("--" + name, default="tcp://127.0.0.1:{}".format(ports[name]))


def payload_of(index, size):
    """Payload number `index` of a job: its number, then bytes that depend on it, `size` bytes in all.

    The Rust side of the tests makes the same bytes.
    """
    head = b"%d:" % index
    if size <= len(head):
        return head[:size]
    pattern = bytes((index + place) % 251 for place in range(251))
    body = size - len(head)
    return head + (pattern * (body // 251 + 1))[:body]
