"""Prints the rows of an interop run as a table, with the versions of the peers."""
import os
import subprocess
import sys
from importlib import metadata

PACKAGES = {
    "dissect.archive": "dissect.archive",
    "ovirt-imageio": "ovirt-imageio",
    "ovirt-img": "ovirt-imageio",
    "ovirtsdk4": "ovirt-engine-sdk-python",
}
# Peers that work on images of QEMU. Their row shows QEMU's version, too.
WITH_QEMU = ("ovirt-imageio", "ovirt-img")


def first_line(*command):
    done = subprocess.run(command, capture_output=True, text=True)
    return (done.stdout + done.stderr).splitlines()[0]


def version_of(peer):
    if peer in PACKAGES:
        version = metadata.version(PACKAGES[peer])
        return f"{version}, QEMU {qemu_version()}" if peer in WITH_QEMU else version
    if peer in ("qemu-img", "qemu-io"):
        return qemu_version()
    if peer in ("nbdinfo", "nbdcopy", "nbdfuse", "nbdkit", "guestfish"):
        return first_line(peer, "--version").split()[1]
    if peer == "e2fsck":
        return first_line("e2fsck", "-V").split()[1]
    if peer == "xfs_repair":
        return first_line("xfs_repair", "-V").split()[-1]
    if peer == "guest":
        return f"Linux {guest_version()}, QEMU {qemu_version()}"
    return ""


def guest_version():
    with open(os.path.join(os.environ["INTEROP_GUEST"], "version"), encoding="utf-8") as file:
        return file.read().strip()


def qemu_version():
    return first_line("qemu-img", "--version").split()[2]


def main(path):
    with open(path, encoding="utf-8") as file:
        rows = [line.rstrip("\n").split("\t") for line in file if line.strip()]
    rows.sort(key=lambda row: row[0])
    versions = {peer: version_of(peer) for peer in {row[0] for row in rows}}
    table = [("peer", "scenario", "result", "versions", "bytes")]
    table += [(peer, what, result, versions[peer], more) for peer, what, result, more in rows]
    widths = [max(len(row[at]) for row in table) for at in range(5)]
    for row in table:
        cells = (cell.ljust(width) for cell, width in zip(row, widths))
        print("  ".join(cells).rstrip())


main(sys.argv[1])
