#!/usr/sbin/busybox sh
# Second program of the guest, on the verified root: mounts what the agent needs, runs it, and powers off
# when it ends. There is no other service, no login and no network.

busybox() { /usr/sbin/busybox "$@"; }
mnt() { busybox mount "$@" 2>/dev/null; }

# Writable space is memory, bounded, and gone with the guest.
mnt -t tmpfs -o nosuid,nodev,size=32m,nr_inodes=4k,mode=1777 tmpfs /tmp
mnt -t tmpfs -o nosuid,nodev,size=16m,nr_inodes=4k,mode=0755 tmpfs /run
mnt -t tmpfs -o nosuid,nodev,size=70%,nr_inodes=64k,mode=0755 tmpfs /cocos
busybox mkdir -p /dev/shm /dev/pts
mnt -t tmpfs -o nosuid,nodev,noexec,size=16m,mode=1777 tmpfs /dev/shm
mnt -t devpts -o nosuid,noexec,mode=0600,ptmxmode=0666 devpts /dev/pts
mnt -t configfs configfs /sys/kernel/config
mnt -t securityfs securityfs /sys/kernel/security

# Controllers reach only cgroups whose parent holds no process: the agent lives in a leaf of its own and
# the algorithms below /sys/fs/cgroup/cocos.
cgroup=/sys/fs/cgroup
mnt -t cgroup2 -o nosuid,nodev,noexec cgroup2 $cgroup
busybox mkdir $cgroup/agent $cgroup/cocos
echo "+memory +pids +cpu" >$cgroup/cgroup.subtree_control
echo "+memory +pids +cpu" >$cgroup/cocos/cgroup.subtree_control

busybox hostname eos
echo 1 >/proc/sys/kernel/modules_disabled
echo 1 >/proc/sys/kernel/kexec_load_disabled
echo 0 >/proc/sys/kernel/sysrq
ulimit -c 0

(
  echo 0 >$cgroup/agent/cgroup.procs
  exec /usr/sbin/busybox env -i PATH=/usr/bin:/usr/sbin HOME=/run TMPDIR=/tmp LANG=C.UTF-8 COCOS_MODE=guest \
    /usr/bin/node /usr/lib/cocos/agent.mjs </dev/null
) &
wait $!
echo "COCOS-AGENT-EXIT $?"
busybox poweroff -f
busybox sleep 60
