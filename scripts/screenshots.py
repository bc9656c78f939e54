"""What scripts/screenshots.sh runs: PROGRAM FOLDER. Speaks to chromedriver as WebDriver has it, with the standard library alone."""

import base64
import json
import os
import pathlib
import signal
import subprocess
import sys
import tempfile
import time
import urllib.request

PASSWORD = "a password of an example"
PROBE = (
    "i=0; while :; do i=$((i+1)); t=$(date '+%F %T,%3N'); echo \"$t - probe - INFO - round $i: 3 workers answered\"; "
    "[ $((i % 5)) = 0 ] && echo \"$t - probe - WARNING - worker 2 took 812 ms, expected less than 500 ms\"; "
    "[ $((i % 13)) = 0 ] && echo \"$t - probe - ERROR - no answer to message $i within 2 s; sending it again\" >&2; sleep 0.7; done"
)
FILE = f"""\
# A job that workers share, and what watches it.

[[component]]
name = "Master"
script = "palm master --name server"
role = "hands messages to workers"
ready.cache = "_db"

[component.flags]
"--pull" = "_pull"
"--pub" = "_pub"
"--wpush" = "_wpush"
"--wpull" = "_wpull"
"--db" = "_db"

[[component]]
name = "Worker"
script = "palm worker --exec 'foo=sh work.sh'"
role = "demo functions"
connected = ["Master"]
replicas = 2
ready.line = "Got worker pull address"
flags = {{ "--db" = "_db" }}

[[component]]
name = "Probe"
script = "sh probe.sh"
role = "asks now and then"
connected = ["Worker"]
flags = {{ "--db" = "_db" }}

[[component]]
name = "Load"
script = "palm launch --server server --function foo --repeat 1000000 --window 12 --quiet --output-dir results"
role = "a job"
connected = ["Worker"]
flags = {{ "--db" = "_db" }}

[[component]]
name = "Report"
script = "sh report.sh"
connected = ["Master"]
flags = {{ "--db" = "_db" }}

[[component]]
name = "Archive"
script = "sh archive.sh"
connected = ["Master"]
flags = {{ "--db" = "_db" }}
"""


def request(url, body=None, method=None, headers=None):
    data = None if body is None else json.dumps(body).encode()
    asked = urllib.request.Request(url, data, {"Content-Type": "application/json", **(headers or {})}, method=method)
    with urllib.request.urlopen(asked, timeout=60) as answer:
        text = answer.read()
    return json.loads(text) if text else None


class Browser:
    """A session of chromedriver."""

    def __init__(self, port):
        self.driver = f"http://127.0.0.1:{port}/session"
        options = {"args": ["--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--force-color-profile=srgb",
                            "--hide-scrollbars"]}
        wanted = {"capabilities": {"alwaysMatch": {"browserName": "chrome", "goog:chromeOptions": options}}}
        self.url = f"{self.driver}/{request(self.driver, wanted)['value']['sessionId']}"

    def call(self, path, body=None, method=None):
        return request(f"{self.url}/{path}", body, method)["value"]

    def command(self, name, **parameters):
        return self.call("goog/cdp/execute", {"cmd": name, "params": parameters})

    def go(self, url):
        self.call("url", {"url": url})

    def run(self, script):
        return self.call("execute/sync", {"script": script, "args": []})

    def look(self, path, width, height, dark=False, scale=1.0):
        scheme = [{"name": "prefers-color-scheme", "value": "dark" if dark else "light"}]
        self.command("Emulation.setEmulatedMedia", features=scheme)
        self.command("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=scale, mobile=width < 500)
        time.sleep(0.7)
        overflow = self.run("return document.documentElement.scrollWidth - innerWidth")
        if overflow > 0:
            print(f"{path}: {overflow} px wider than the screen", file=sys.stderr)
        picture = self.command("Page.captureScreenshot", format="png")["data"]
        path.write_bytes(base64.b64decode(picture))
        print(f"{path} {path.stat().st_size // 1024} KiB")

    def quit(self):
        request(self.url, method="DELETE")


def line(process, part):
    for text in process.stdout:
        if part in text:
            return text.strip()
    raise SystemExit(f"{process.args[0]} ended without `{part}`")


def main(program, folder):
    program, folder = pathlib.Path(program).resolve(), pathlib.Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    processes = []
    with tempfile.TemporaryDirectory() as scratch:
        environment = {**os.environ, "PATH": f"{program.parent}:{os.environ['PATH']}", "HOME": scratch}

        def start(*arguments, **more):
            process = subprocess.Popen(arguments, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=environment,
                                       cwd=scratch, **more)
            processes.append(process)
            return process

        try:
            store = f"{scratch}/store.db"
            pathlib.Path(scratch, "probe.sh").write_text(PROBE)
            pathlib.Path(scratch, "work.sh").write_text("exec sleep 0.04")
            pathlib.Path(scratch, "report.sh").write_text("echo cannot read report.toml >&2; exit 3")
            token = subprocess.run([program, "registry", "add-user", "ann", "--admin", "--store", store], check=True, text=True,
                                   capture_output=True).stdout.strip()
            registry = start(program, "registry", "--store", store, "--listen", "127.0.0.1:0")
            url = line(registry, "serving ").split()[-1]
            bearer = {"Authorization": f"Bearer {token}"}

            def api(path, body=None, method=None):
                return request(f"{url}/api/v1/{path}", body, method, bearer)

            api("users/ann", {"password": PASSWORD}, "PUT")
            api("users", {"name": "bob", "password": PASSWORD})
            cluster = api("clusters", {"alias": "recommendations", "file": FILE})["id"]
            api("clusters", {"alias": "nightly import", "file": "[Import]\nScript = import\n--db = _1\n"})
            key = api(f"clusters/{cluster}/key")["key"]
            for number in (1, 2):
                start(program, "runner", "--registry", url, "--cluster", key, "--name", f"node-{number}", "--ip", f"127.0.0.{number}",
                      "--processors", str(5 - number), "--ports-from", str(21000 + 100 * number), "--spool", f"{scratch}/spool-{number}",
                      start_new_session=True)
                time.sleep(1)
            changed = FILE.replace("replicas = 2", "replicas = 2\ngrace-seconds = 20").replace("demo functions", "runs demo functions")
            api(f"clusters/{cluster}/file", {"file": changed}, "PUT")
            time.sleep(20)
            driver = start("chromedriver", "--port=0")
            browser = Browser(int(line(driver, "started successfully on port").rstrip(".").split()[-1]))
            try:
                show(browser, url, f"{url}/clusters/{cluster}", folder)
            finally:
                browser.quit()
        finally:
            for process in reversed(processes):
                process.send_signal(signal.SIGTERM)
            for process in processes:
                try:
                    process.wait(20)
                except subprocess.TimeoutExpired:
                    process.kill()


def show(browser, url, cluster, folder):
    browser.go(f"{url}/login")
    browser.look(folder / "login.png", 1200, 500)
    browser.run(
        "document.querySelector('[name=name]').value = 'ann';"
        f"document.querySelector('[name=password]').value = {json.dumps(PASSWORD)};"
        "document.querySelector('main form').submit()"
    )
    time.sleep(2)
    pages = [("clusters", url), ("cluster", cluster), ("processes", f"{cluster}/processes"), ("logs", f"{cluster}/logs"), ("file", f"{cluster}/file"),
             ("versions", f"{cluster}/versions"), ("nodes", f"{url}/nodes")]
    for name, page in pages:
        browser.go(page)
        # Text is what makes a picture large.
        height = 560 if name == "logs" else 800
        browser.look(folder / f"{name}-light.png", 1100, height)
        if name not in ("file", "processes"):
            browser.look(folder / f"{name}-dark.png", 1100, height, dark=True)
            browser.look(folder / f"{name}-phone.png", 360, 760, scale=1.5)


if __name__ == "__main__":
    main(*sys.argv[1:])
