#!/bin/sh
# Takes out of the target what no program of the guest needs, and puts busybox
# where root alone can run it: an algorithm runs as another user and finds no
# shell.
set -eu

target=${1:?}

mv "$target/bin/busybox" "$BINARIES_DIR/busybox"
find "$target" -xdev -type l -lname '*busybox' -delete
install -D -m 0700 "$BINARIES_DIR/busybox" "$target/usr/sbin/busybox"
for name in mkfs.btrfs setpriv; do
	[ -e "$target/usr/bin/$name" ] || continue
	install -D -m 0700 "$target/usr/bin/$name" "$target/usr/sbin/$name"
	rm "$target/usr/bin/$name"
done
rm -f "$target"/usr/bin/btrfs*

for folder in cocos dev proc run sys tmp; do
	rm -rf "${target:?}/$folder"
	mkdir -m 0755 "$target/$folder"
done
rm -rf "$target/etc/init.d" "$target/etc/network" "$target/etc/inittab" \
	"$target/usr/lib/node_modules" "${target:?}/usr/share" "$target/linuxrc"
for name in corepack npm npx; do
	rm -f "$target/usr/bin/$name"
done
