"""What the real registry makes of cluster files and of node files, without its HTTP side; a line of JSON a file."""
import contextlib
import io
import os
import sys

from common import say

folder = sys.argv.pop(1)
# It reads the command line.
from pylm.registry.handlers.manager import ConfigManager  # noqa: E402

NODE = "[DEFAULT]\nName = n\nIp = 127.0.0.1\nProcessors = 1\nPorts_from = 5555\n"
CLUSTER = "[a]\nScript = run\n--db = _1\n"


def files(folder):
    for name in sorted(os.listdir(folder)):
        yield name[: -len(".ini")], os.path.join(folder, name)


def quietly(function):
    """What a function returns, or the name of its error; what it prints is dropped."""
    with contextlib.redirect_stdout(io.StringIO()):
        try:
            return {"commands": function()}
        except Exception as error:
            return {"error": type(error).__name__}


def read(path):
    # As its client does.
    with open(path, encoding="utf-8") as file:
        return file.read()


def cluster(path):
    manager = ConfigManager(read(path))
    commands = []
    # It tells nothing if the last processor that is offered has nothing to do: one at a time.
    while len(commands) < 20:
        more = manager.process_resource(NODE)
        if not more:
            break
        commands = more
    return commands


def node(path):
    return ConfigManager(CLUSTER).process_resource(read(path))


for name, path in files(os.path.join(folder, "clusters")):
    say("cluster", name=name, **quietly(lambda: cluster(path)))
for name, path in files(os.path.join(folder, "nodes")):
    say("node", name=name, **quietly(lambda: node(path)))
