#!/bin/sh
# First program of the guest: opens the root file system whose hash stands on the measured command line, and the
# scratch disk where there is one. Nothing read from the host is used before dm-verity or dm-crypt stands between it
# and the guest. Every step is told on the console; a step that fails is named and ends the guest.

export PATH=/usr/bin:/usr/sbin
export DM_DISABLE_UDEV=1

step() {
  current=$1
  echo "COCOS-BOOT $1"
}

fail() {
  echo "COCOS-INIT-FAILED: $current: $1"
  poweroff -f
  sleep 60
}

# $1 is a block device that the host may give: waits for it until the tries in $2 are over.
await_disk() {
  tries=0
  while [ ! -b "$1" ]; do
    tries=$((tries + 1))
    [ $tries -lt "$2" ] || return 1
    sleep 0.1
  done
}

mount -t proc -o nosuid,nodev,noexec proc /proc
mount -t sysfs -o nosuid,nodev,noexec sysfs /sys
mount -t devtmpfs -o nosuid,mode=0755 devtmpfs /dev
step start

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
if [ -z "$roothash" ] || [ -z "$rootblocks" ]; then fail "no root hash on the command line"; fi

# The entry of this kernel (eos/acpi-fence/) has replaced the host's ACPI tables. A kernel that was started around that
# entry, or without it, has read the host's: this guest goes no further.
step acpi
for table in /sys/firmware/acpi/tables/* /sys/firmware/acpi/tables/dynamic/*; do
  [ -f "$table" ] || continue
  case ${table#/sys/firmware/acpi/tables/} in
    DSDT) cmp -s "$table" /acpi/dsdt ;;
    SSDT) cmp -s "$table" /acpi/tpm ;;
    APIC | CCEL | FACP | FACS | HPET | TPM2) ;;
    *) false ;;
  esac || fail "tables that are not the guest's own"
done
[ -f /sys/firmware/acpi/tables/DSDT ] || fail "no tables"

# Modules of the kinds $1 and $2 of the list.
load() {
  while read -r file need; do
    [ "$need" = "$1" ] || [ "$need" = "$2" ] || continue
    insmod "/modules/$file" 2>/dev/null || [ "$need" = optional ] || fail "module $file"
  done </modules/list
}

step modules
load required optional

# The kernel's generator waits for the CPU's random numbers by itself. Those of the TPM are mixed in before any key is
# made: TPM2_GetRandom of 32 bytes, its answer with its header. The host's virtio-rng has no driver here.
step entropy
if [ -c /dev/tpmrm0 ]; then
  exec 3<>/dev/tpmrm0
  printf '\200\001\000\000\000\014\000\000\001\173\000\040' >&3 || fail "the TPM takes no command"
  dd bs=4096 count=1 <&3 >/dev/urandom 2>/dev/null || fail "the TPM gives no random bytes"
  exec 3<&-
fi
head -c 1 /dev/random >/dev/null || fail "no random bytes"

step root-disk
await_disk /dev/vda 100 || fail "no root disk"

# The tree begins where the data ends. A corrupt block stops the guest at once: an enclave whose disk is
# being changed must not run on with the parts it has in memory.
step root-verity
sectors=$((rootblocks * 8))
table="0 $sectors verity 1 /dev/vda /dev/vda 4096 4096 $rootblocks $rootblocks sha256 $roothash - 1 panic_on_corruption"
dmsetup create root --readonly --table "$table" >/dev/null || fail "dm-verity"
mount -t erofs -o ro,nosuid,nodev /dev/dm-0 /newroot || fail "root file system"

# The keys exist in this shell and in the kernel alone; at power-off the disk is noise. Each sector has a tag under the
# second key, so that one which the host changed cannot be read. What was never written has no tag and cannot be
# read either. The disk is formatted twice, since only the first time tells how much room the tags leave.
if [ -b /dev/vdb ]; then
  step scratch
  load scratch -
  tags() { dmsetup create tags --table "0 $1 integrity /dev/vdb 0 32 D 1 block_size:4096" >/dev/null; }
  tags 8 || fail "dm-integrity"
  dmsetup remove tags || fail "dm-integrity"
  size=$(hexdump -v -s 16 -n 4 -e '1/4 "%u"' /dev/vdb)
  [ "$size" -ge 4096 ] 2>/dev/null || fail "size of the scratch disk"
  size=$((size / 8 * 8))
  tags $size || fail "dm-integrity"
  key=$(hexdump -v -n 96 -e '96/1 "%02x"' /dev/random)
  [ ${#key} -eq 192 ] || fail "no key for the scratch disk"
  cipher='capi:authenc(hmac(sha256),xts(aes))-plain64'
  echo "0 $size crypt $cipher $key 0 /dev/dm-1 0 2 integrity:32:aead sector_size:4096" |
    dmsetup create scratch >/dev/null || fail "dm-crypt"
  key=
fi

step switch-root
for folder in proc sys dev; do mount -o move /$folder /newroot/$folder; done
exec switch_root /newroot /usr/sbin/init
