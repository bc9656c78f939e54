"""Prints the logs of a cluster as the real client has them, as JSON."""
import argparse
import json

from pylm.registry.clients import LogClient

parser = argparse.ArgumentParser()
parser.add_argument("--registry", required=True)
parser.add_argument("--cluster", required=True)
arguments = parser.parse_args()

print(json.dumps(LogClient(arguments.registry, arguments.cluster).download()))
