#!/bin/bash
# imds: the user-data of this instance, as a program gets it that wants the role's credentials next.
set -eu
ask() {
    exec 3<> /dev/tcp/169.254.169.254/80
    printf '%s HTTP/1.1\r\nHost: 169.254.169.254\r\n%s\r\n\r\n' "$1" "$2" >&3
    while IFS= read -r line <&3 && [ "$line" != $'\r' ]; do :; done
    cat <&3
    exec 3>&-
}
token=$(ask 'PUT /latest/api/token' 'X-aws-ec2-metadata-token-ttl-seconds: 60')
ask 'GET /latest/user-data' "X-aws-ec2-metadata-token: $token" | grep secret
