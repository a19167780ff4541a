# Watches a boot from beside systemd, and says what it sees on a serial port of its own.

# step NAME COMMAND...: what the command said, and how it ended, for `Console::step`.
step() {
    name=$1
    shift
    echo "=== step $name"
    {
        code=0
        "$@" 2>&1 || code=$?
        echo
        echo "=== code $name $code"
    } | sed '/^=== code /!s/^/out: /'
}

# Whether systemd has nothing more to do.
idle() {
    case $(systemctl is-system-running 2>&1) in
        running | degraded | maintenance) return 0 ;;
        *) return 1 ;;
    esac
}

# Up to LIMIT seconds for what the test waits for. Asking costs an emulated processor what the boot
# could use: systemd says by itself when it is through.
settle() {
    until [ -S /run/systemd/private ] || late; do sleep 0.5; done
    timeout "$LIMIT" systemctl is-system-running --wait > /dev/null 2>&1
    until settled; do
        ! late || return 1
        sleep 0.5
    done
}

late() {
    read -r uptime _ < /proc/uptime
    [ "${uptime%.*}" -ge "$LIMIT" ]
}

# The state of each unit that systemd has loaded: one question.
states() {
    systemctl list-units --all --full --plain --no-legend --type=service,target,socket
}

# When they were started and stopped: a question for each unit, so it is asked of those that a test wants to know of.
units() {
    systemctl show --property=Id,InactiveExitTimestampMonotonic,ActiveEnterTimestampMonotonic,ExecMainStartTimestampMonotonic,ExecMainExitTimestampMonotonic \
        "$@"
}

# One process for all of them: an emulated processor takes long to start one. A kernel's thread has none.
processes() {
    readlink /proc/[0-9]*/exe || true
}
# The initrd goes once it knows that this needs nothing of it any more, and then hands over /proc.
: > /run/observer
until [ -e /proc/uptime ]; do sleep 0.1; done
