"""The calls of a backup product, made by the oVirt Python SDK.

The environment names the engine. Each step prints one line of JSON for the test that started it.
"""
import json
import os
import ssl
import time
import urllib.request

import ovirtsdk4 as sdk
from ovirtsdk4 import types
from ovirt_imageio.client import ImageioClient

CAFILE = os.environ["LAB_CA"]
VM = os.environ["LAB_VM"]


def tell(step, **facts):
    print(json.dumps({"step": step, **facts}), flush=True)


def wait(get, is_done, seconds=60):
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        found = get()
        if is_done(found):
            return found
        time.sleep(0.05)
    raise RuntimeError(f"not done after {seconds} s; last answer: {found!r}")


def get_or_none(service):
    try:
        return service.get()
    except sdk.NotFoundError:
        return None


def checksum_of(url):
    context = ssl.create_default_context(cafile=CAFILE)
    with urllib.request.urlopen(url + "/checksum?algorithm=sha256", context=context) as answer:
        return json.load(answer)["checksum"]


def read_transfer(system, disk_id, backup, context):
    transfers = system.image_transfers_service()
    transfer = transfers.add(
        types.ImageTransfer(
            disk=types.Disk(id=disk_id),
            backup=types.Backup(id=backup.id),
            direction=types.ImageTransferDirection.DOWNLOAD,
            format=types.DiskFormat.RAW,
            timeout_policy=types.ImageTransferTimeoutPolicy.CANCEL,
        )
    )
    service = transfers.image_transfer_service(transfer.id)
    ready = wait(service.get, lambda t: t.phase == types.ImageTransferPhase.TRANSFERRING)
    ranges = []
    with ImageioClient(ready.transfer_url, cafile=CAFILE) as client:
        for extent in client.extents(context):
            wanted = extent.dirty if context == "dirty" else not extent.zero
            if wanted:
                data = b""
                if not extent.zero:
                    buf = bytearray(extent.length)
                    client.read(extent.start, buf)
                    data = bytes(buf)
                ranges.append([extent.start, extent.length, data[:8].hex()])
    checksum = checksum_of(ready.transfer_url)
    service.finalize()
    wait(lambda: get_or_none(service), lambda t: t is None or "finished" in t.phase.value)
    return ranges, checksum


def back_up(vm_service, system, disk_id, base, context):
    backups = vm_service.backups_service()
    backup = backups.add(
        types.Backup(
            disks=[types.Disk(id=disk_id)],
            from_checkpoint_id=base,
            description="SDK",
        ),
        query={"require_consistency": True},
    )
    service = backups.backup_service(backup.id)
    backup = wait(service.get, lambda b: b.phase == types.BackupPhase.READY)
    disks = service.disks_service().list()
    ranges, checksum = read_transfer(system, disk_id, backup, context)
    service.finalize()
    ended = wait(
        lambda: get_or_none(service),
        lambda b: b is None or b.phase in (types.BackupPhase.SUCCEEDED, types.BackupPhase.FAILED),
    )
    tell(
        "backup",
        context=context,
        ranges=ranges,
        checksum=checksum,
        mode=str(disks[0].backup_mode.value),
        checkpoint=backup.to_checkpoint_id,
        base=backup.from_checkpoint_id,
        created=backup.creation_date.isoformat(),
        phase=ended.phase.value,
    )
    return backup.to_checkpoint_id


def main():
    try:
        wrong = sdk.Connection(
            url=os.environ["LAB_URL"], username=os.environ["LAB_USER"], password="wrong", ca_file=CAFILE
        )
        wrong.authenticate()
        tell("wrong password", error="none")
    except sdk.AuthError as error:
        tell("wrong password", error=type(error).__name__, code=error.code)

    connection = sdk.Connection(
        url=os.environ["LAB_URL"],
        username=os.environ["LAB_USER"],
        password=os.environ["LAB_PASSWORD"],
        ca_file=CAFILE,
    )
    connection.test(raise_exception=True)
    system = connection.system_service()
    api = system.get()
    tell("api", major=api.product_info.version.major, full=api.product_info.version.full_version)

    vms = system.vms_service()
    (vm,) = vms.list(search=f"name={VM}", all_content=True)
    nobody = vms.list(search="name=nobody")
    tell(
        "search",
        id=vm.id,
        name=vm.name,
        status=vm.status.value,
        memory=vm.memory,
        has_ovf=bool(vm.initialization and vm.initialization.configuration.data),
        nobody=len(nobody),
        created=vm.creation_time.isoformat(),
    )
    vm_service = vms.vm_service(vm.id)
    attachments = vm_service.disk_attachments_service().list(follow="disk")
    disk = attachments[0].disk
    tell(
        "disks",
        count=len(attachments),
        format=disk.format.value,
        backup=disk.backup.value,
        size=disk.provisioned_size,
        bootable=attachments[0].bootable,
        interface=attachments[0].interface.value,
        domain=len(disk.storage_domains),
    )
    clusters = system.clusters_service().list()
    domains = system.storage_domains_service().list()
    tell("system", clusters=len(clusters), domains=[d.name for d in domains])

    first = back_up(vm_service, system, disk.id, None, "zero")
    tell("write now")
    input()
    back_up(vm_service, system, disk.id, first, "dirty")

    checkpoints = vm_service.checkpoints_service()
    listed = checkpoints.list()
    of_first = checkpoints.checkpoint_service(first).disks_service().list()
    checkpoints.checkpoint_service(first).remove()
    left = wait(checkpoints.list, lambda now: len(now) == len(listed) - 1)
    tell("checkpoints", listed=len(listed), disks=len(of_first), left=len(left), parent=left[0].parent_id)

    snapshots = vm_service.snapshots_service()
    snapshot = snapshots.add(types.Snapshot(description="by the SDK", persist_memorystate=False))
    service = snapshots.snapshot_service(snapshot.id)
    wait(service.get, lambda s: s.snapshot_status == types.SnapshotStatus.OK)
    during = [s.description for s in snapshots.list()]
    service.remove()
    wait(lambda: get_or_none(service), lambda s: s is None)
    tell("snapshots", during=during, after=len(snapshots.list()))

    events = system.events_service()
    events.add(
        types.Event(
            vm=types.Vm(id=vm.id),
            origin="sdk",
            severity=types.LogSeverity.WARNING,
            custom_id=4711,
            description="an event of the SDK",
        )
    )
    found = [e for e in events.list(max=50) if e.origin == "sdk"]
    tell("events", count=len(found), severity=found[0].severity.value, text=found[0].description)

    try:
        vm_service.backups_service().add(
            types.Backup(disks=[types.Disk(id=disk.id)], from_checkpoint_id=first)
        )
        tell("refused backup", error="none")
    except sdk.Error as error:
        tell("refused backup", error=type(error).__name__, code=error.code, detail=error.fault.detail)
    missing = get_or_none(vms.vm_service("00000000-0000-0000-0000-000000000001"))
    tell("missing", found=missing is not None)
    connection.close()


main()
