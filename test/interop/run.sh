#!/usr/bin/env bash
# Runs the product against software of others. dissect.archive and a strict checker read its chains.
# e2fsck, xfs_repair and qemu-img check its images. QEMU and the real ovirt-imageio serve disks, also
# those of a guest that writes. Clients of NBD, libguestfs and a guest use its exports. versitygw
# holds its repositories, and age opens the key of a sealed one. aiosmtpd takes its mails. Prints a
# table of peers and scenarios.
# A package that cannot be installed is an error. INTEROP_OPTIONAL=1 leaves out its scenarios instead.
set -euo pipefail
cd "$(dirname "$0")/../.."

checker=test/interop/vbk/check_vbk.py
fail() { echo "test:interop: $*" >&2; exit 1; }
lacking() {
  [ "${INTEROP_OPTIONAL:-}" = 1 ] || fail "$1 cannot be installed${2:+: $2}"
  echo "test:interop: $1 cannot be installed, its scenarios are left out" >&2
}

# Each pair is a program and the Debian package that holds it.
need=()
for pair in mkfs.ext4:e2fsprogs qemu-img:qemu-utils python3:python3 xml2-config:libxml2-dev \
  curl-config:libcurl4-openssl-dev qemu-system-x86_64:qemu-system-x86 xfs_repair:xfsprogs busybox:busybox-static cpio:cpio \
  nbdinfo:libnbd-bin nbdkit:nbdkit fusermount3:fuse3 age:age; do
  command -v "${pair%%:*}" >/dev/null || need+=("${pair##*:}")
done
python3 -c 'import ensurepip' 2>/dev/null || need+=(python3-venv)
python3 -c 'import os, sysconfig as s; assert os.path.exists(s.get_path("include") + "/Python.h")' 2>/dev/null ||
  need+=(python3-dev)
install_packages() {
  apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "$@" >/dev/null
}
[ "${#need[@]}" -eq 0 ] || install_packages "${need[@]}" || echo "test:interop: not installed: ${need[*]}" >&2
# Apart from the others: libguestfs needs a hundred packages.
[ -e /usr/lib/x86_64-linux-gnu/guestfs/supermin.d/packages-xfs ] && command -v guestfish >/dev/null ||
  install_packages guestfish libguestfs-xfs || echo 'test:interop: guestfish is not installed' >&2
for tool in mkfs.ext4 e2fsck qemu-img qemu-io qemu-nbd python3; do
  command -v "$tool" >/dev/null || fail "$tool is missing (Debian packages e2fsprogs, qemu-utils, python3)"
done

venv=$PWD/.venv
[ -x "$venv/bin/python" ] || python3 -m venv "$venv"
while read -r package; do
  "$venv/bin/pip" install -q --disable-pip-version-check "$package" 2>"$venv/pip.log" ||
    lacking "Python package $package" "$(grep -v '^ *$' "$venv/pip.log" | tail -n 1)"
done <test/interop/requirements.txt
command -v go >/dev/null || install_packages golang-go || true
gateway=github.com/versity/versitygw
gateway_version=v1.8.0
has_gateway() {
  go version -m "$venv/bin/versitygw" 2>/dev/null | grep -qF "$gateway"$'\t'"$gateway_version"
}
has_gateway ||
  GOBIN="$venv/bin" go install "$gateway/cmd/versitygw@$gateway_version" 2>"$venv/go.log" ||
  lacking "versitygw $gateway_version" "$(tail -n 1 "$venv/go.log")"
command -v age >/dev/null || lacking age 'Debian package age'

has() { "$venv/bin/python" -c "import $1" 2>/dev/null; }
npm run --silent build

export INTEROP_VENV="$venv" INTEROP_GUEST="$venv/guest"

# True when the guest can boot and the tools for its file systems are installed.
has_guest() {
  command -v qemu-system-x86_64 >/dev/null && command -v mkfs.xfs >/dev/null && command -v xfs_repair >/dev/null &&
    [ -s "$INTEROP_GUEST/version" ]
}
for tool in qemu-system-x86_64 busybox cpio xfs_repair mkfs.xfs; do
  command -v "$tool" >/dev/null || lacking "$tool" 'Debian packages qemu-system-x86, busybox-static, cpio, xfsprogs'
done
rm -rf "$INTEROP_GUEST"
# build.sh needs the lists of apt. A new machine has none: then they are read for a second try.
bash test/interop/guest/build.sh "$INTEROP_GUEST" 2>"$venv/guest.log" ||
  { apt-get update -qq 2>/dev/null && bash test/interop/guest/build.sh "$INTEROP_GUEST" 2>"$venv/guest.log"; } ||
  lacking 'the kernel of the guest' "$(tail -n 1 "$venv/guest.log")"

for tool in nbdinfo nbdcopy nbdfuse nbdkit; do
  command -v "$tool" >/dev/null || lacking "$tool" 'Debian packages libnbd-bin, nbdkit'
done
has_clients() { command -v nbdinfo >/dev/null && command -v nbdkit >/dev/null && has_guest; }
[ -w /dev/fuse ] && command -v fusermount3 >/dev/null && command -v nbdfuse >/dev/null ||
  export INTEROP_WITHOUT_FUSE='there is no FUSE on this machine'
[ -z "${INTEROP_WITHOUT_FUSE:-}" ] || echo "test:interop: nbdfuse is left out: $INTEROP_WITHOUT_FUSE" >&2

# The appliance of libguestfs has the kernel of the guest. It must not use KVM, which works on few
# machines inside a VM. supermin looks for /lib/modules, whatever is in there.
has_guestfish() {
  command -v guestfish >/dev/null && [ -s "$INTEROP_GUEST/lib/modules/$(cat "$INTEROP_GUEST/version")/modules.dep" ] &&
    mkdir -p /lib/modules 2>/dev/null
}
if has_guest && has_guestfish; then
  SUPERMIN_MODULES=$INTEROP_GUEST/lib/modules/$(cat "$INTEROP_GUEST/version")
  export SUPERMIN_MODULES SUPERMIN_KERNEL=$INTEROP_GUEST/vmlinuz
  export LIBGUESTFS_BACKEND_SETTINGS=force_tcg LIBGUESTFS_CACHEDIR=$venv
else
  export INTEROP_WITHOUT_GUESTFISH='it cannot be installed'
  lacking 'the appliance of libguestfs' 'it needs guestfish, the kernel of the guest, depmod and /lib/modules'
fi

work=$(mktemp -d)
export INTEROP_TABLE="$work/table"
: >"$INTEROP_TABLE"
finish() {
  echo '-- peer, scenario, result'
  "$venv/bin/python" test/interop/table.py "$INTEROP_TABLE"
  rm -rf "$work"
}
trap finish EXIT
row() { printf '%s\t%s\tpassed\t%s\n' "$1" "$2" "$3" >>"$INTEROP_TABLE"; }
cli() { node dist/cli/launch.cjs "$@"; }

echo '-- an ext4 image of at least 1 GiB, filled with real files'
mkdir "$work/tree"
for folder in /usr/bin /usr/include /usr/share /usr/lib/x86_64-linux-gnu; do
  [ -d "$folder" ] && cp -a "$folder" "$work/tree/"
  [ "$(du -sm "$work/tree" | cut -f1)" -ge 300 ] && break
done
truncate -s $(($(du -sm --apparent-size "$work/tree" | cut -f1) * 115 / 100 + 750))M "$work/disk.raw"
mkfs.ext4 -q -F -d "$work/tree" "$work/disk.raw"
rm -rf "$work/tree"
ls -ls "$work/disk.raw"

sums=()
point() {
  cli backup --image "$work/disk.raw" --name interop --repo "$work/repo" --workers 2 --json >"$work/report.json"
  sums+=("$(sha256sum "$work/disk.raw" | cut -d' ' -f1)")
}
point
debugfs -w -R 'mkdir /made-between-sessions' "$work/disk.raw" 2>/dev/null
dd if=/dev/urandom of="$work/disk.raw" bs=64k seek=9000 count=20 conv=notrunc status=none
point
dd if=/dev/zero of="$work/disk.raw" bs=1M seek=300 count=3 conv=notrunc status=none
truncate -s +5000123 "$work/disk.raw"
point

echo '-- check_vbk.py: strict parser and dissect'
files=("$work"/repo/*/*.vbk "$work"/repo/*/*.vib)
reader=(--fast)
has dissect.archive || reader+=(--no-dissect)
# check CONTAINER… -- SHA256…: checks a chain in order, and the content of its disk at each point.
check() {
  local containers=()
  while [ "$1" != -- ]; do
    containers+=("$1")
    shift
  done
  shift
  "$venv/bin/python" "$checker" "${reader[@]}" "${containers[@]}" >"$work/check.json" || {
    cat "$work/check.json"
    fail 'check_vbk.py found errors'
  }
  "$venv/bin/python" - "$work/check.json" "$@" <<'PY'
import json, sys
report = json.load(open(sys.argv[1]))
assert report["ok"] and not report.get("chain_errors")
for file in report["files"]:
    assert not file["errors"] and not file["warnings"], (file["errors"], file["warnings"])
for point, expected in zip(report.get("chain", []), sys.argv[2:], strict=True):
    disks = [d for d in point["disks"] if not d["path"].rsplit("/", 1)[1].startswith(("summary", "fingerprints"))]
    assert [d["sha256"] for d in disks] == [expected], (point["file"], disks, expected)
    print("ok", point["file"].rsplit("/", 1)[1], disks[0]["size"], expected)
PY
}
check "${files[@]}" -- "${sums[@]}"
row check_vbk.py 'full and two increments of an ext4 disk' 'all bytes'
if has dissect.archive; then row dissect.archive 'full and two increments of an ext4 disk' 'all bytes'; fi

echo '-- restored images'
cli verify --repo "$work/repo" --point all
cli restore --repo "$work/repo" --vm interop --output "$work/raw"
cli restore --repo "$work/repo" --vm interop --output "$work/qcow2" --format qcow2
cmp "$work/disk.raw" "$work/raw/disk.raw"
qemu-img compare -f qcow2 -F raw "$work/qcow2/disk.raw.qcow2" "$work/disk.raw"
first=$(cli list --repo "$work/repo" --json | node -pe 'JSON.parse(require("fs").readFileSync(0)).vms[0].points[0].pointId')
cli restore --repo "$work/repo" --vm interop --point "$first" --output "$work/first" --json >/dev/null
e2fsck -fn "$work/first/disk.raw"
[ "$(sha256sum "$work/first/disk.raw" | cut -d' ' -f1)" = "${sums[0]}" ] || fail 'the full restored differs'
row qemu-img 'restored raw and qcow2 compared' 'identical'
row e2fsck 'restored file system of the full' 'clean'

echo '-- merged: the increments into one, then everything into a full'
cp -rl "$work/repo" "$work/pruned"
cli prune --repo "$work/pruned" --keep-yearly 2
check "$work"/pruned/*/*.vbk "$work"/pruned/*/*.vib -- "${sums[0]}" "${sums[2]}"
row check_vbk.py 'a full and a merged increment' 'all bytes'
cli prune --repo "$work/pruned" --keep-last 1
check "$work"/pruned/*/*.vbk --
cli restore --repo "$work/pruned" --vm interop --output "$work/merged" --json >/dev/null
cmp "$work/disk.raw" "$work/merged/disk.raw"
rm -r "$work/pruned" "$work/merged"
row check_vbk.py 'a full that was merged from its chain' 'no errors'

echo '-- the checker can fail: one bit flipped'
"$venv/bin/python" - "${files[0]}" <<'PY'
import sys
with open(sys.argv[1], "r+b") as file:
    file.seek(5_000_000)
    flipped = file.read(1)[0] ^ 1
    file.seek(5_000_000)
    file.write(bytes([flipped]))
PY
if "$venv/bin/python" "$checker" --fast --no-dissect "${files[0]}" >/dev/null; then
  fail 'a damaged container passed the check'
fi
if cli verify --repo "$work/repo" --point all >/dev/null; then fail 'verify did not find the damage'; fi
row check_vbk.py 'one bit flipped' 'found by the checker and by verify'

echo '-- long and large chains, ovirt-imageio, a guest, the oVirt SDK, ovirt-img, exports'
suites() { npx vitest run --config test/interop/vitest.config.ts "$@"; }
if has ovirt_imageio; then suites /imageio/ /qemu/ $(has ovirtsdk4 && echo /sdk/); fi
# Not at the same time as the others, whose engine has a fast clock: these suites are heavy.
heavy=()
has dissect.archive && heavy+=(/readers/)
has ovirt_imageio && has dissect.archive && has_guest && heavy+=(/guest/)
has_clients && heavy+=(/export/clients /export/writable /export/mountPage)
has_clients && has_guestfish && heavy+=(/export/files)
has_gateway && command -v age >/dev/null && heavy+=(/store/)
has aiosmtpd && heavy+=(/mail/)
[ "${#heavy[@]}" -eq 0 ] || suites "${heavy[@]}"
if has ovirt_imageio; then row ovirt-imageio 'the lab answers 55 requests as it does' ''; fi

echo 'interop: passed'
