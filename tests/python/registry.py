"""A whole session of the real registry clients: sets a cluster, asks for commands, writes and reads logs; each step as a line of JSON."""
import argparse
import datetime
import sys

from common import say
from pylm.registry.clients import LogClient, RegistryClient

parser = argparse.ArgumentParser()
parser.add_argument("--registry", required=True)
parser.add_argument("--key", required=True)
parser.add_argument("--file", required=True)
arguments = parser.parse_args()

NODE = "[DEFAULT]\nName = {}\nIp = 127.0.0.1\nProcessors = {}\nPorts_from = 5555\n"

registry = RegistryClient(arguments.registry, arguments.key)
cluster = registry.set_cluster(arguments.file)
say("set", key=cluster)
say("set", key=registry.set_cluster(arguments.file, key="chosen"))
say("list", clusters=registry.cluster_list())
say("status", status=registry.cluster_status(cluster))
for name, processors in [("one", 2), ("one", 2), ("two", 5)]:
    say("request", node=name, commands=registry.request(cluster, NODE.format(name, processors)))
say("status", status=registry.cluster_status(cluster))

logs = LogClient(arguments.registry, cluster)
for line in ["a line", "ä second one\nof two"]:
    logs.send(line)
lines = logs.download()
say("logs", lines=lines)
last = datetime.datetime.fromisoformat(lines[-1]["when"])
day = datetime.timedelta(days=1)
say("logs", lines=logs.download(fr=last - day, to=last + day))
say("logs", lines=logs.download(fr=last + day))
logs.view()

say("reset", key=registry.cluster_reset(cluster))
say("status", status=registry.cluster_status(cluster))
try:
    RegistryClient(arguments.registry, "nobody's").cluster_list()
except Exception as error:
    say("refused", error=str(error))
sys.stdout.flush()
