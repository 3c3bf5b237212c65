#!/usr/bin/env bash
# Makes kernel and initial RAM disk of the test guest in folder $1: Debian's cloud kernel, out of its package and
# not installed, with busybox and the init beside this file.
set -euo pipefail
target=$1
here=$(cd "$(dirname "$0")" && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

package=$(apt-cache depends linux-image-cloud-amd64 | awk '$1 == "Depends:" && $2 ~ /^linux-image-/ { print $2; exit }')
[ -n "$package" ] || { echo 'no package linux-image-cloud-amd64' >&2; exit 1; }
(cd "$work" && apt-get download -qq -o APT::Sandbox::User=root "$package" && dpkg-deb -x ./*.deb kernel)

root=$work/root
mkdir -p "$root/bin" "$root/dev" "$root/proc" "$root/modules"
cp "$(command -v busybox)" "$root/bin/busybox"
cp "$here/init" "$root/init"
chmod +x "$root/init"
# In the order in which they are loaded.
modules=(virtio_ring virtio virtio_pci_modern_dev virtio_pci_legacy_dev virtio_pci virtio_blk libcrc32c xfs)
for module in "${modules[@]}"; do
  find "$work/kernel" -name "$module.ko" -exec cp {} "$root/modules" \;
done
echo "${modules[@]}" >"$root/modules/list"
mkdir -p "$target"
(cd "$root" && find . | cpio -o -H newc --quiet) | gzip -1 >"$target/initrd"
cp "$work"/kernel/boot/vmlinuz-* "$target/vmlinuz"
echo "${package#linux-image-}" >"$target/version"
