#!/bin/sh
# Installs from Debian what the tests start beside anyserve, where it is missing. A line for each tool: the program by
# which it is known, and the packages that bring it.
set -eu

wanted=""
need() {
    program=$1
    shift
    command -v "$program" >/dev/null || wanted="$wanted $*"
}

need etcd etcd-server
need etcdctl etcd-client
need openssl openssl
need chromedriver chromium chromium-driver

[ -n "$wanted" ] || exit 0
if ! command -v apt-get >/dev/null; then
    echo "tests need$wanted, and there is no apt-get to install them; install them yourself" >&2
    exit 1
fi
sudo=""
if [ "$(id -u)" -ne 0 ]; then
    if ! command -v sudo >/dev/null; then
        echo "tests need$wanted; run as root: apt-get install$wanted" >&2
        exit 1
    fi
    sudo="sudo"
fi
export DEBIAN_FRONTEND=noninteractive
$sudo apt-get update -qq
# shellcheck disable=SC2086 # a list of packages
$sudo apt-get install -y -qq --no-install-recommends $wanted >/dev/null
