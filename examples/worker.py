"""A worker in Python, for a master of either kind."""

import argparse

from pylm.servers import Worker


class Functions(Worker):
    def foo(self, payload):
        return "{} processed{}".format(self.name, payload.decode()).encode()


parser = argparse.ArgumentParser()
parser.add_argument("--name", required=True)
parser.add_argument("--db", default="tcp://127.0.0.1:5559")
flags = parser.parse_args()
Functions(name=flags.name, db_address=flags.db).start()
