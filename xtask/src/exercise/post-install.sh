# Runs inside the root, not booted: every package's postinst once more, as after an installation.
export DEBIAN_FRONTEND=noninteractive DEBCONF_NONINTERACTIVE_SEEN=true
export PATH=/usr/sbin:/usr/bin:/sbin:/bin
failed=0
dpkg --configure -a || failed=1
DPKG_RUNNING_VERSION=$(dpkg-query -W -f '${Version}' dpkg)
export DPKG_RUNNING_VERSION
packages=$(dpkg-query -W -f '${db:Status-Status} ${binary:Package} ${Version} ${Architecture}\n')
while read -r status package version arch; do
    script=/var/lib/dpkg/info/$package.postinst
    [ "$status" = installed ] && [ -x "$script" ] || continue
    export DPKG_MAINTSCRIPT_PACKAGE="${package%%:*}" DPKG_MAINTSCRIPT_ARCH="$arch"
    export DPKG_MAINTSCRIPT_NAME=postinst
    if ! timeout 300 "$script" configure "$version" </dev/null >/tmp/postinst.log 2>&1; then
        echo "$package: postinst failed"
        cat /tmp/postinst.log
        failed=1
    fi
done <<LIST
$packages
LIST
unset DPKG_MAINTSCRIPT_PACKAGE DPKG_MAINTSCRIPT_ARCH DPKG_MAINTSCRIPT_NAME
dpkg --triggers-only --pending || failed=1
ldconfig || failed=1
[ $failed = 0 ] && echo done >"$1/done"
exit $failed
