# Runs inside the booted root, after multi-user.target: what a host does on its own over a day, and
# then an orderly shutdown. $1 is a directory of the machine outside.
systemctl --failed --no-legend --plain
command -v cloud-init >/dev/null && cloud-init status --wait
for timer in $(systemctl list-units --type=timer --state=active --plain --no-legend | cut -d' ' -f1); do
    unit=$(systemctl show --property=Unit --value "$timer")
    echo "$timer starts $unit"
    timeout 60 systemctl start "$unit" || echo "$unit: exit $?"
done
[ ! -d /etc/cron.daily ] || run-parts /etc/cron.daily
if command -v sendmail >/dev/null; then
    echo "a mail such as cron sends" | sendmail root
    sleep 1
fi
echo done >"$1/done"
systemctl poweroff --no-block
