"""What scripts/fuzz-api.sh needs of Python.

    fuzz_api.py seed URL NAME OTHER    makes things of the user whose token PALM_TOKEN is, and prints what they are called, as JSON
    fuzz_api.py told                   says what was answered, of what FUZZ_API_ANSWERS names

As the hooks of schemathesis (SCHEMATHESIS_HOOKS): most requests are about what FUZZ_API_SEED names, so that they are not all answered by
404; the others are as they were generated.
"""

import collections
import json
import os
import random
import sys
import time
import urllib.request
import uuid

FILE = """[Master]
Script = palm master --name server
--pull = _1
--db = _2

[Worker]
Script = palm worker --demo
--db = _2
Connected = Master
Replicas = 2
"""
FILES = [
    FILE,
    FILE.replace("Replicas = 2", "Replicas = 1"),
    '[[component]]\nname = "Master"\nscript = "m"\n\n[[component]]\nname = "Worker"\nscript = "w"\nrestart = "always"\nconnected = ["Master"]\n',
]
PASSWORD = "a password for the fuzzer"
# What nothing but the link for the first admin can do.
NOT_REACHED = {("POST", "/api/v1/setup")}


def ask(method, path, body=None, token=None):
    token = token or os.environ["PALM_TOKEN"]
    headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(sys.argv[2] + path, data, headers, method=method)
    with urllib.request.urlopen(request, timeout=30) as answer:
        text = answer.read()
    return json.loads(text) if text else None


def seed(name, other):
    """A cluster with versions, nodes, processes and lines, that is shared; and what may be deleted."""
    cluster = ask("POST", "/api/v1/clusters", {"file": FILE, "alias": f"of {name}"})["id"]
    for file in FILES[1:] + FILES[:1]:
        ask("PUT", f"/api/v1/clusters/{cluster}/file", {"file": file})
    ask("PUT", f"/api/v1/clusters/{cluster}/shares/{other}", {"share": "operate"})
    key = ask("GET", f"/api/v1/clusters/{cluster}/key")["key"]
    nodes = [f"node-{number}" for number in range(8)]
    now = time.time_ns() // 1000
    for number, node in enumerate(nodes):
        offer = {"name": node, "ip": f"127.0.0.{number + 1}", "processors": 2, "ports_from": 5555}
        said = {"node": offer, "run": str(uuid.uuid4()), "processes": []}
        wanted = ask("POST", "/api/v1/runner/sync", said, key)["wanted"]
        said["processes"] = [
            {"component": process["component"], "copy": process["copy"], "state": "running", "pid": 17, "since": now,
             "restarts": 1, "exit": {"code": 1}, "cpu_seconds": 0.5, "memory_bytes": 1 << 20}
            for process in wanted
        ]
        ask("POST", "/api/v1/runner/sync", said, key)
        lines = [
            {"seq": seq, "component": process["component"], "copy": process["copy"], "stream": stream, "at": now, "text": text}
            for process in wanted
            for seq, (stream, text) in enumerate([("out", "INFO a line"), ("err", "ERROR another"), ("runner", "started")], 1)
        ]
        for line in lines:
            ask("POST", "/api/v1/runner/logs", {"node": node, "spool": str(uuid.uuid4()), "lines": [line]}, key)
    spare = [ask("POST", "/api/v1/clusters", {"file": FILE})["id"] for _ in range(3)]
    tokens = [ask("POST", "/api/v1/tokens", {"name": "spare", "scope": "read"})["id"] for _ in range(5)]
    users = []
    if ask("GET", "/api/v1/me")["admin"]:
        users = [f"spare-{number}" for number in range(5)]
        for user in users:
            ask("POST", "/api/v1/users", {"name": user, "password": PASSWORD})
    lines = [line["id"] for line in ask("GET", f"/api/v1/clusters/{cluster}/logs")]
    return {
        "cluster": cluster, "spare": spare, "nodes": nodes, "components": ["Master", "Worker"], "lines": lines,
        "tokens": tokens, "users": users, "people": [name, other],
        # Without these the caller would be nobody.
        "kept": [token["id"] for token in ask("GET", "/api/v1/tokens") if token["name"] != "spare"],
    }


def told():
    """Whether everything that the API does was done at least once."""
    answers = [json.loads(line) for line in open(os.environ["FUZZ_API_ANSWERS"])]
    classes = collections.Counter(f"{status // 100}xx" for _, _, status in answers)
    print(", ".join(f"{count} {name}" for name, count in sorted(classes.items())), f"of {len(answers)} answers")
    # It also tries methods that there are not.
    all_of = {(method, path) for method, path, status in answers if status != 405}
    done = {(method, path) for method, path, status in answers if status < 300}
    missed = sorted(all_of - done - NOT_REACHED)
    print(f"{len(done)} of {len(all_of)} operations were done at least once")
    for method, path in missed:
        print(f"never done: {method} {path}")
    return not missed


def known(seed, method, path, name):
    """What a part of a path may be, if it is to be there."""
    match name:
        case "id":
            return seed["spare"] if method == "DELETE" and path.endswith("{id}") else [seed["cluster"]]
        case "number":
            return [1, 2, 3]
        case "node":
            return seed["nodes"]
        case "name":
            # The tokens that may be revoked are the caller's.
            return seed["people"][:1] if "tokens" in path else seed["users"]
        case "user":
            return seed["people"]
        case "token":
            return seed["tokens"]
    return []


def meant(seed, path, name, random):
    """What a field of a body or a query may be, if it is to mean something."""
    match name:
        case "name" if path.endswith("/session"):
            return random.choice(seed["users"] + seed["people"])
        case "file":
            return random.choice(FILES)
        case "component":
            return random.choice(seed["components"])
        case "node" if path.endswith("/sync"):
            # Of those of the seed others speak.
            return {"name": f"new-{random.randrange(100)}", "ip": "127.0.0.1", "processors": 2, "ports_from": 5555}
        case "node":
            return random.choice(seed["nodes"])
        case "text":
            return random.choice(["line", "ERROR", "%"])
        case "to" if random.random() < 0.5:
            return random.choice([1, 2, 3])
        case "before" | "after" if seed["lines"]:
            return random.choice(seed["lines"])
        case "password" | "old" | "new":
            return PASSWORD
        case "expires":
            return time.time_ns() // 1000 + 3_600_000_000
    return None


def aim(seed, case):
    """Makes most of a request be about what is there."""
    method, path = case.method.upper(), case.path
    dice = random.Random(f"{method} {path} {case.path_parameters} {case.query} {case.body!r}")
    # What was made by the requests before is there.
    if case.meta is None or case.meta.phase.name.value != "stateful":
        for name in case.path_parameters or {}:
            values = known(seed, method, path, name)
            if values and dice.random() < 0.8:
                case.path_parameters[name] = dice.choice(values)
        for fields in (case.query, case.body):
            for name in list(fields) if isinstance(fields, dict) else []:
                value = meant(seed, path, name, dice)
                if value is not None and dice.random() < 0.8:
                    fields[name] = value
    # Whoever has a token is a node of the cluster that it names.
    if "/runner/" in path and dice.random() < 0.8:
        case.query = {**(case.query or {}), "cluster": seed["cluster"]}
    parameters = case.path_parameters or {}
    # Who asks, and what is asked about, has to stay.
    if method in ("PUT", "DELETE"):
        kept = {"{name}": seed["people"], "{token}": seed["kept"], "{id}": [seed["cluster"]] if method == "DELETE" else []}
        last = path.rsplit("/", 1)[-1]
        if parameters.get(last[1:-1]) in kept.get(last, []):
            parameters[last[1:-1]] = "none"


if "FUZZ_API_SEED" in os.environ:
    import schemathesis

    with open(os.environ["FUZZ_API_SEED"]) as file:
        SEED = json.load(file)

    @schemathesis.hook
    def before_call(context, case, kwargs):
        aim(SEED, case)

    @schemathesis.hook
    def after_call(context, case, response):
        with open(os.environ["FUZZ_API_ANSWERS"], "a") as answers:
            answers.write(json.dumps([case.method.upper(), case.path, response.status_code]) + "\n")

elif __name__ == "__main__":
    if sys.argv[1] == "seed":
        print(json.dumps(seed(*sys.argv[3:])))
    else:
        sys.exit(0 if told() else 1)
