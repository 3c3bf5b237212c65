"""Sends QMP commands to the monitor of a QEMU.

Stdin is a JSON list of commands. Stdout is the JSON list of their results.
One command is not QMP's: {"await": JOB, "status": STATUS} waits until the job has the status.
"""
import json
import socket
import sys
import time

TIMEOUT_SECONDS = 60
POLL_SECONDS = 0.02
CANCELLED = "Operation canceled"


class Monitor:
    def __init__(self, path):
        sock = socket.socket(socket.AF_UNIX)
        sock.settimeout(TIMEOUT_SECONDS)
        sock.connect(path)
        self.file = sock.makefile("rw")
        self.read()
        self.execute({"execute": "qmp_capabilities"})

    def read(self):
        line = self.file.readline()
        if not line:
            sys.exit("QEMU has closed its monitor")
        return json.loads(line)

    def execute(self, command):
        self.file.write(json.dumps(command) + "\n")
        self.file.flush()
        answer = self.read()
        while "event" in answer:
            answer = self.read()
        if "error" in answer:
            sys.exit(f"{json.dumps(command)}: {answer['error']['desc']}")
        return answer["return"]

    def await_job(self, name, wanted):
        while True:
            job = next(job for job in self.execute({"execute": "query-jobs"}) if job["id"] == name)
            has_failed = job.get("error", CANCELLED) != CANCELLED
            if has_failed or (job["status"] == "concluded" and wanted != "concluded"):
                sys.exit(f"job {name} ended: {job.get('error')}")
            if job["status"] == wanted:
                return job
            time.sleep(POLL_SECONDS)

    def run(self, command):
        if "await" in command:
            return self.await_job(command["await"], command["status"])
        return self.execute(command)


def main(path):
    monitor = Monitor(path)
    print(json.dumps([monitor.run(command) for command in json.load(sys.stdin)]))


main(sys.argv[1])
