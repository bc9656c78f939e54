"""The example application's launcher: ten times ` a message`, and the ten results."""

import argparse

from pylm.clients import Client

from common import add_addresses, end_with_the_test


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--server", required=True)
    parser.add_argument("--function", required=True)
    parser.add_argument("--bytes", action="store_true", help="print results as Python shows them")
    add_addresses(parser, "db")
    flags = parser.parse_args()
    end_with_the_test()
    client = Client(flags.server, flags.db)
    messages = (b" a message" for _ in range(10))
    for result in client.job("{}.{}".format(flags.server, flags.function), messages, messages=10):
        print(result if flags.bytes else result.decode(), flush=True)


main()
