"""A stock master with the flags of the example application."""

import argparse

from pylm.servers import Master

from common import add_addresses, end_with_the_test


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--name", required=True)
    add_addresses(parser, "pull", "pub", "wpush", "wpull", "db")
    flags = parser.parse_args()
    end_with_the_test()
    Master(
        name=flags.name,
        pull_address=flags.pull,
        pub_address=flags.pub,
        worker_push_address=flags.wpush,
        worker_pull_address=flags.wpull,
        db_address=flags.db,
    ).start()


main()
