
# What a real initrd does: the root as the kernel command line wants it, and then its init.
mode=rw init=/sbin/init
for word in $(cat /proc/cmdline); do
    case $word in
        ro | rw) mode=$word ;;
        init=*) init=${word#init=} ;;
        --) break ;;
    esac
done
mount -t ext4 -o $mode /dev/vda /root
mount -t tmpfs -o mode=0755,nosuid,nodev,size=32m tmpfs /run
. /prepare
mount --move /run /root/run
# The observer is no part of the image: no unit of it, on no disk, and in nobody's way when systemd
# isolates a target. It ends with the machine.
observe=$(cat /observe) port=$(cat /port)
PATH=/usr/sbin:/usr/bin:/sbin:/bin chroot /root /bin/sh -c "$observe" > "/dev/$port" 2>&1 &
# switch_root removes every program from beneath it: not before it is one of the root's.
until [ -e /root/run/observer ]; do sleep 0.05; done
for tree in dev proc sys; do mount --move /$tree /root/$tree; done
exec switch_root /root "$init" "$@"
