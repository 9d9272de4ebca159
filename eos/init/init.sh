#!/usr/sbin/busybox sh
# Second program of the guest, on the verified root: mounts what the agent needs, runs it, and powers off
# when it ends. There is no other service, no login and no network.

busybox() { /usr/sbin/busybox "$@"; }

step() {
  current=$1
  echo "COCOS-BOOT $1"
}

fail() {
  echo "COCOS-INIT-FAILED: $current: $1"
  busybox poweroff -f
  busybox sleep 60
}

mnt() { busybox mount "$@" || fail "mount $*"; }
set_to() { echo "$2" >"/proc/sys/$1" || fail "setting $1"; }
# For what a kernel may have been built without.
set_if_there() { [ ! -e "/proc/sys/$1" ] || set_to "$1" "$2"; }

# dm-crypt finds a sector that the host has changed, but not one that the host has put back as it was earlier. In btrfs
# the parent of each block of its trees states in which transaction that was written, and the trees hold a digest of each
# block of data. Their root is in the kernel's memory from the first mount to the end of the guest. On a small disk
# data and trees share their space, as its manual advises.
scratch() {
  if [ -e /usr/lib/cocos/modules/list ]; then
    while read -r module; do
      busybox insmod "/usr/lib/cocos/modules/$module" || fail "module $module"
    done </usr/lib/cocos/modules/list
  fi
  # mkfs looks for an older file system there, and a block that was never written cannot be read.
  busybox dd if=/dev/zero of=/dev/dm-2 bs=4096 seek=16 count=1 conv=notrunc 2>/dev/null || fail "scratch disk"
  kind="-m single -d single"
  [ "$(busybox cat /sys/block/dm-2/size)" -ge 2097152 ] || kind="$kind --mixed"
  # shellcheck disable=SC2086 # several options
  /usr/sbin/mkfs.btrfs -f -K --csum sha256 $kind /dev/dm-2 >/dev/null 2>&1 || fail "format of the scratch disk"
  mnt -t btrfs -o nosuid,nodev,noatime,nobarrier /dev/dm-2 /cocos
}

# Writable space is memory, or the scratch disk; bounded, and gone with the guest.
step mounts
mnt -t tmpfs -o nosuid,nodev,noexec,size=32m,nr_inodes=4k,mode=1777 tmpfs /tmp
mnt -t tmpfs -o nosuid,nodev,noexec,size=16m,nr_inodes=4k,mode=0755 tmpfs /run
if [ -b /dev/dm-2 ]; then
  scratch
else
  mnt -t tmpfs -o nosuid,nodev,size=70%,nr_inodes=64k,mode=0755 tmpfs /cocos
fi
busybox mkdir -p /dev/shm /dev/pts
mnt -t tmpfs -o nosuid,nodev,noexec,size=16m,mode=1777 tmpfs /dev/shm
mnt -t devpts -o nosuid,noexec,mode=0600,ptmxmode=666 devpts /dev/pts
mnt -t configfs -o nosuid,nodev,noexec configfs /sys/kernel/config
mnt -t securityfs -o nosuid,nodev,noexec securityfs /sys/kernel/security

# Controllers reach only cgroups whose parent holds no process: the agent lives in a leaf of its own and
# the algorithms below /sys/fs/cgroup/cocos.
step cgroups
cgroup=/sys/fs/cgroup
mnt -t cgroup2 -o nosuid,nodev,noexec cgroup2 $cgroup
busybox mkdir $cgroup/agent $cgroup/cocos
echo "+memory +pids +cpu" >$cgroup/cgroup.subtree_control || fail "controllers"
echo "+memory +pids +cpu" >$cgroup/cocos/cgroup.subtree_control || fail "controllers"

# Nothing more may enter the kernel; no core dump, no swap, and addresses and other processes stay hidden.
step settings
busybox hostname eos
set_if_there kernel/modules_disabled 1
set_if_there kernel/kexec_load_disabled 1
set_if_there kernel/sysrq 0
set_if_there kernel/core_pattern ""
set_to kernel/kptr_restrict 2
set_to kernel/dmesg_restrict 1
set_to kernel/yama/ptrace_scope 2
set_to fs/suid_dumpable 0
set_if_there vm/swappiness 0
# shellcheck disable=SC3045 # busybox has it
ulimit -c 0

# The agent is root, since what it talks to belongs to root: the TPM, the report device, the control groups. Of root's
# capabilities it keeps those with which it hands an algorithm its files, runs it as another user, ends it and reads
# what it leaves; neither it nor anything that it starts can get another.
step agent
# From here on an algorithm can choose the names of processes, and the kernel prints them when it ends one. The host
# reads the console, so only messages about an end of the kernel itself still appear there.
set_if_there vm/oom_dump_tasks 0
set_to kernel/printk "1 4 1 1"
kept=+chown,+dac_override,+kill,+setgid,+setuid
(
  echo 0 >$cgroup/agent/cgroup.procs
  exec /usr/sbin/busybox env -i PATH=/usr/bin:/usr/sbin HOME=/run TMPDIR=/tmp LANG=C.UTF-8 COCOS_MODE=guest \
    /usr/sbin/setpriv --bounding-set=-all,$kept --inh-caps=-all --ambient-caps=-all --no-new-privs \
    /usr/bin/node /usr/lib/cocos/start.cjs </dev/null
) &
wait $!
echo "COCOS-AGENT-EXIT $?"
busybox poweroff -f
busybox sleep 60
