#!/bin/sh
# First process of the virtual machine: load modules, mount the host's files read-only, make CAN
# interfaces, run the command beside this file. The console's last line tells its exit status.
export PATH=/bin

mount -t proc proc /proc
while read -r module; do
    insmod "/modules/$module"
done </modules/order

mount -t 9p -o trans=virtio,version=9p2000.L,ro,cache=loose,msize=262144 host /host || poweroff -f
mount -t proc proc /host/proc
mount -t sysfs sys /host/sys
mount -t devtmpfs dev /host/dev
mkdir -p /host/dev/pts /host/dev/shm
mount -t devpts -o ptmxmode=666 pts /host/dev/pts
mount -t tmpfs shm /host/dev/shm
mount -t tmpfs run /host/run
mkdir /host/run/home /host/run/lock

in_host() {
    chroot /host /usr/bin/env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin "$@"
}

in_host ip link set lo up
in_host ip link add dev oat-vcan0 type vcan
in_host ip link set oat-vcan0 mtu 72 # CAN FD
for number in 0 1; do
    in_host ip link set "can$number" name "oat-can$number"
    in_host ip link set "oat-can$number" type can bitrate 1000000
done

in_host HOME=/run/home TMPDIR=/dev/shm /bin/sh -c "$(while IFS= read -r line; do echo "$line"; done </command)"
echo "exit status $?"
poweroff -f
