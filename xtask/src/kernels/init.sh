#!/bin/busybox sh
# The first and last process of the virtual machine: mounts, modules, tests, the end.
# What it prints goes to the first serial port with the kernel's own messages; what the tests print, to the second.
export PATH=/usr/sbin:/bin
busybox mount -t proc proc /proc
busybox mount -t sysfs sys /sys
busybox mount -t devtmpfs dev /dev
busybox mount -t tmpfs tmp /tmp
busybox mount -t tmpfs run /run
busybox mount -t tracefs trace /sys/kernel/tracing
busybox mount -t cgroup2 cgroup /sys/fs/cgroup
# A serial port that turns every line's end into two characters is no file.
busybox stty -F /dev/ttyS1 raw
ip link set lo up
for module in $(busybox cat /modules/order); do
    busybox insmod "/modules/$module.ko" || echo "$module cannot be loaded"
done
for test in /tests/*; do
    name=${test#/tests/}
    echo "obit-machine: begin $name" >/dev/ttyS1
    "$test" --test-threads=4 >/dev/ttyS1 2>&1
    echo "obit-machine: end $name $?" >/dev/ttyS1
done
echo "obit-machine: done" >/dev/ttyS1
busybox poweroff -f
