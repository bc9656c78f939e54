"""Sets a cluster with the real client, and prints its key."""
import argparse

from common import say
from pylm.registry.clients import RegistryClient

parser = argparse.ArgumentParser()
parser.add_argument("--registry", required=True)
parser.add_argument("--key", required=True)
parser.add_argument("--file", required=True)
arguments = parser.parse_args()

say("set", key=RegistryClient(arguments.registry, arguments.key).set_cluster(arguments.file))
