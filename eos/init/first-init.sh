#!/bin/sh
# First program of the guest: opens the root file system whose hash stands on the measured command line.
# Nothing read from the host is used before dm-verity stands between it and the guest.

export PATH=/usr/bin:/usr/sbin

fail() {
  echo "COCOS-INIT-FAILED: $1"
  poweroff -f
  sleep 60
}

mount -t proc -o nosuid,nodev,noexec proc /proc
mount -t sysfs -o nosuid,nodev,noexec sysfs /sys
mount -t devtmpfs -o nosuid,mode=0755 devtmpfs /dev

roothash=
rootblocks=
read -r line </proc/cmdline
for word in $line; do
  case $word in
    cocos.probe=1)
      echo COCOS-PROBE-OK
      poweroff -f
      sleep 60
      ;;
    cocos.roothash=*) roothash=${word#*=} ;;
    cocos.rootblocks=*) rootblocks=${word#*=} ;;
  esac
done
[ -n "$roothash" ] && [ -n "$rootblocks" ] || fail "no root hash on the command line"

while read -r file need; do
  insmod "/modules/$file" 2>/dev/null || [ "$need" = optional ] || fail "module $file"
done </modules/list

tries=0
while [ ! -b /dev/vda ]; do
  tries=$((tries + 1))
  [ $tries -lt 100 ] || fail "no root disk"
  sleep 0.1
done

# The tree begins where the data ends. A corrupt block stops the guest at once: an enclave whose disk is
# being changed must not run on with the parts it has in memory.
sectors=$((rootblocks * 8))
table="0 $sectors verity 1 /dev/vda /dev/vda 4096 4096 $rootblocks $rootblocks sha256 $roothash - 1 panic_on_corruption"
DM_DISABLE_UDEV=1 dmsetup create root --readonly --table "$table" >/dev/null || fail "dm-verity"
mount -t erofs -o ro,nosuid,nodev /dev/dm-0 /newroot || fail "root file system"

for folder in proc sys dev; do mount -o move /$folder /newroot/$folder; done
exec switch_root /newroot /usr/sbin/init
