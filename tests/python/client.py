"""A stock client that does one thing and says what came of it in JSON lines."""

import argparse
import collections
import itertools
import os
import signal
import sys
import threading
import time
import uuid

from pylm.clients import Client

from common import add_addresses, end_with_the_test, payload_of, say


WARM_UP = b"warm up"


class OutOfTime(Exception):
    """The results did not all come within `--patience`."""


def evaluate(client, flags, payloads):
    """Sends the payloads one by one, and yields the list of each one's results before it sends the next."""
    if not flags.warm_up:
        for payload in payloads:
            # Each call has a socket of its own for its result, and one that is over is closed only when libzmq gets to that. On a
            # busy machine a master may take that for the subscriber of the next result.
            client.uuid = str(uuid.uuid4())
            result = client.eval(flags.call, payload, messages=flags.results, cache=flags.cache)
            yield result if flags.results > 1 else [result]
        return

    answered = threading.Event()
    ready_for = threading.Semaphore(0)

    def messages():
        yield from warm_ups(flags, answered)
        for payload in payloads:
            ready_for.acquire()
            yield payload

    results = warmed_up(client.job(flags.call, messages(), cache=flags.cache), answered)
    for _ in payloads:
        ready_for.release()
        yield [next(results) for _ in range(flags.results)]


def warm_ups(flags, answered):
    """Messages until a result shows that the subscription has reached the master.

    A stock master forgets a result that nobody is subscribed to yet, and a stock client sends at once. The result of a
    function other than `echo` does not tell which message it is for: there is only time to give then.
    """
    if flags.function != "echo":
        time.sleep(1)
        return
    while not answered.wait(0.2):
        yield WARM_UP


def warmed_up(results, answered):
    """The results but for those of warm-up messages."""
    for result in results:
        answered.set()
        if result != WARM_UP:
            yield result


def run_eval(client, flags):
    """One message for each payload given; the results in hexadecimal, or only whether they are the payload."""
    payloads = [bytes.fromhex(text) for text in flags.hex]
    payloads += [payload_of(index, size) for index, size in enumerate(flags.size)]
    for payload, results in zip(payloads, evaluate(client, flags, payloads)):
        if flags.compare:
            say("result", same=[each == payload for each in results], lengths=[len(each) for each in results])
        else:
            say("result", hex=[each.hex() for each in results])


def run_job(client, flags):
    """`--count` messages of `--size` bytes, checked as the answers of `echo`."""
    window = threading.Semaphore(flags.window) if flags.window else None

    answered = threading.Event()

    def messages():
        if flags.warm_up:
            yield from warm_ups(flags, answered)
        for index in range(flags.count):
            if window:
                window.acquire()
            yield flags.prefix.encode() + payload_of(index, flags.size[0])
        say("sent", count=flags.count)

    seen = collections.Counter()
    wrong = 0
    in_order = True
    last = -1
    complete = True
    try:
        results = warmed_up(client.job(flags.call, messages(), cache=flags.cache), answered)
        for result in itertools.islice(results, flags.count):
            if window:
                window.release()
            if flags.pause and not seen:
                say("pausing")
                time.sleep(flags.pause)
            result = result[len(flags.prefix) :]
            index = int(result.split(b":", 1)[0]) if b":" in result[:20] else -1
            if not 0 <= index < flags.count or result != payload_of(index, flags.size[0]):
                wrong += 1
                continue
            in_order = in_order and index > last
            last = index
            seen[index] += 1
            if len(seen) % 10000 == 0:
                say("progress", received=len(seen))
    except OutOfTime:
        complete = False
    say(
        "done",
        complete=complete,
        distinct=len(seen),
        duplicates=sum(seen.values()) - len(seen),
        wrong=wrong,
        missing=[index for index in range(flags.count) if index not in seen][:20],
        in_order=in_order,
    )


def run_cache(client, flags):
    """Commands `set=KEY=HEX`, `set==HEX` (the store names the key), `get=KEY`, `delete=KEY`, in order."""
    for command in flags.command:
        verb, rest = command.split("=", 1)
        if verb == "set":
            key, value = rest.split("=", 1)
            say("reply", verb=verb, reply=client.set(bytes.fromhex(value), key or None))
        elif verb == "get":
            say("reply", verb=verb, reply=client.get(rest).hex())
        else:
            say("reply", verb=verb, reply=client.delete(rest))


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("action", choices=["eval", "job", "cache"])
    parser.add_argument("--server", required=True)
    parser.add_argument("--function", default="echo")
    parser.add_argument("--session")
    parser.add_argument("--hex", action="append", default=[], help="a payload")
    parser.add_argument("--size", type=int, action="append", default=[], help="the size of a payload")
    parser.add_argument("--compare", action="store_true", help="say whether the results are the payload")
    parser.add_argument("--results", type=int, default=1)
    parser.add_argument("--warm-up", action="store_true", help="send something until there is a result")
    parser.add_argument("--cache", default="")
    parser.add_argument("--count", type=int, default=10)
    parser.add_argument("--prefix", default="", help="what is in front of each payload of a job")
    parser.add_argument("--window", type=int, default=0)
    parser.add_argument("--pause", type=int, default=0, help="seconds in which the results after the first are not read")
    parser.add_argument("--patience", type=int, default=60, help="seconds that the whole may take")
    parser.add_argument("--command", action="append", default=[])
    add_addresses(parser, "db")
    flags = parser.parse_args()
    flags.call = "{}.{}".format(flags.server, flags.function)
    end_with_the_test()

    def out_of_time(_number, _frame):
        raise OutOfTime()

    signal.signal(signal.SIGALRM, out_of_time)
    signal.alarm(flags.patience)
    try:
        client = Client(flags.server, flags.db, session=flags.session)
        {"eval": run_eval, "job": run_job, "cache": run_cache}[flags.action](client, flags)
    except OutOfTime:
        say("out of time")
        sys.stdout.flush()
    # The context's end would wait for messages that a master does not take.
    signal.alarm(0)
    os._exit(0)


main()
