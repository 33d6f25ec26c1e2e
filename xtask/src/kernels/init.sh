#!/bin/busybox sh
# The first and last process of the virtual machine: mounts, modules, tests, the end.
# What it prints goes to the first serial port with the kernel's own messages; what the tests print, to the second.
export PATH=/usr/sbin:/bin
busybox mount -t proc proc /proc
busybox mount -t sysfs sys /sys
busybox mount -t devtmpfs dev /dev
# Not mounted over: what was built may lie below it. Everything here is memory.
busybox chmod 1777 /tmp
busybox mount -t tmpfs run /run
busybox mount -t tracefs trace /sys/kernel/tracing
busybox mount -t cgroup2 cgroup /sys/fs/cgroup
# A serial port that turns every line's end into two characters is no file.
busybox stty -F /dev/ttyS1 raw
ip link set lo up
for module in $(busybox cat /modules/order); do
    busybox insmod "/modules/$module.ko" || echo "$module cannot be loaded"
done
# Four processes at a time, each with its share of the tests, one after another: in one process, what a test starts holds the
# others' sockets open until it has become another program. Emulated that takes so long that a close is seen too late.
run() {
    "$1" --list 2>/dev/null | busybox sed -n 's/: test$//p' | busybox grep -vxF -f /left-out >/tmp/names
    shares=
    for share in 0 1 2 3; do
        names=$(busybox awk "NR % 4 == $share" /tmp/names)
        [ -n "$names" ] || continue
        "$1" --test-threads=1 --exact $names >"/tmp/share.$share" 2>&1 &
        shares="$shares $!:$share"
    done
    code=0
    for share in $shares; do
        wait "${share%:*}" || code=$?
        busybox cat "/tmp/share.${share#*:}"
    done
    return $code
}
for test in /tests/*; do
    name=${test#/tests/}
    echo "obit-machine: begin $name" >/dev/ttyS1
    run "$test" >/dev/ttyS1
    echo "obit-machine: end $name $?" >/dev/ttyS1
done
echo "obit-machine: done" >/dev/ttyS1
busybox poweroff -f
