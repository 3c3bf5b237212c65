#!/usr/bin/env bash
# Makes the kernel and the initial RAM disk of the test guest in folder $1. The kernel is Debian's
# cloud kernel. It is taken out of its package and not installed. The RAM disk holds busybox and the
# file "init" of this folder.
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
# The guest loads the modules in this order.
modules=(virtio_ring virtio virtio_pci_modern_dev virtio_pci_legacy_dev virtio_pci virtio_blk libcrc32c xfs)
for module in "${modules[@]}"; do
  find "$work/kernel" -name "$module.ko" -exec cp {} "$root/modules" \;
done
echo "${modules[@]}" >"$root/modules/list"
mkdir -p "$target"
(cd "$root" && find . | cpio -o -H newc --quiet) | gzip -1 >"$target/initrd"
cp "$work"/kernel/boot/vmlinuz-* "$target/vmlinuz"
version=${package#linux-image-}
# The appliance of libguestfs takes its modules from here.
rm -rf "$target/lib"
mv "$work/kernel/lib" "$target/lib"
if command -v depmod >/dev/null; then depmod -b "$target" "$version"; fi
echo "$version" >"$target/version"
