"""A stock worker: the example application's `foo`, and functions that go well, fail, dawdle or die."""

import argparse
import logging
import os
import signal
import time
import uuid

from pylm.servers import MuxWorker, Worker

from common import add_addresses, end_with_the_test, say


class Functions:
    """What both kinds of worker can do; `done` counts the calls."""

    done = 0

    def foo(self, payload):
        self.done += 1
        return "{} processed a message".format(self.name).encode()

    def echo(self, payload):
        self.done += 1
        return payload

    def fail(self, payload):
        self.done += 1
        raise ValueError("asked to fail")

    def slow(self, payload):
        """Sleeps the milliseconds that the payload starts with, as in `20:rest`, then answers the payload."""
        time.sleep(int(payload.split(b":")[0]) / 1000)
        self.done += 1
        return payload

    def big(self, payload):
        """As many bytes as the payload says."""
        self.done += 1
        return b"x" * int(payload)

    def die(self, payload):
        """Takes the whole process down, unless the payload asks for an answer."""
        if payload.startswith(b"live"):
            self.done += 1
            return payload
        say("dying", name=self.name)
        os._exit(9)

    def stall(self, payload):
        """Says that it has the message, then waits far longer than any test does."""
        say("stalled", name=self.name)
        time.sleep(3600)
        return payload

    def remember(self, payload):
        """Stores the payload under the key `remembered` and answers what the cache then has."""
        self.done += 1
        key = self.set(payload, "remembered")
        return key.encode() + b"=" + self.get(key)

    def recall(self, payload):
        """What the cache has under the key in the payload."""
        self.done += 1
        return self.get(payload.decode())

    def forget(self, payload):
        """Deletes the key in the payload."""
        self.done += 1
        return self.delete(payload.decode()).encode()

    def whoami(self, payload):
        self.done += 1
        return self.name.encode()

    def userdata(self, payload):
        """The `cache` field of the message."""
        self.done += 1
        return self.message.cache.encode()


class Single(Functions, Worker):
    pass


class Several(Functions, MuxWorker):
    def split(self, payload):
        """The payload's words, each a result."""
        self.done += 1
        for word in payload.split():
            yield word

    def echo(self, payload):
        self.done += 1
        yield payload


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--name", default=str(uuid.uuid4()))
    parser.add_argument("--mux", action="store_true", help="be a MuxWorker")
    add_addresses(parser, "db")
    flags = parser.parse_args()
    end_with_the_test()
    kind = Several if flags.mux else Single
    worker = kind(name=flags.name, db_address=flags.db, log_level=logging.INFO)

    def count(_number, _frame):
        say("count", name=flags.name, done=worker.done)

    signal.signal(signal.SIGUSR1, count)
    say("ready", name=flags.name)
    worker.start()


main()
