"""
Downloads one image to a raw file with imageio's own client, and prints the cost.

    imageioClient.py URL CAFILE OUTPUT CONNECTIONS
"""
import json
import resource
import sys
import time

from ovirt_imageio import client


def cpu_seconds():
    own = resource.getrusage(resource.RUSAGE_SELF)
    # The client writes the file through a qemu-nbd, which is a child process.
    children = resource.getrusage(resource.RUSAGE_CHILDREN)
    return own.ru_utime + own.ru_stime + children.ru_utime + children.ru_stime


def main():
    url, cafile, output, connections = sys.argv[1:]
    cpu_before = cpu_seconds()
    started_at = time.monotonic()
    client.download(url, output, cafile, fmt="raw", max_workers=int(connections))
    seconds = time.monotonic() - started_at
    cpu = cpu_seconds() - cpu_before
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    print(json.dumps({"seconds": seconds, "cpuSeconds": cpu, "peakRssBytes": peak}))


main()
